"""Boots a guest with pure cgroup v2 and runs tests inside it, on a processor in software: any Linux host will do.

Two disks: a small Debian (`image.py`, kept) and one with the binary, the tests and what they import, made for each run.
Both are opened for reading; what the guest writes goes to temporary files. Results come out of the second serial line,
one JSON line a test, as they happen; the first one is the console and is kept for those who look for a reason.
"""

import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from image import CannotBeHad, Image, call, make_disk, need

REPOSITORY = Path(__file__).resolve().parents[2]
PLACE = REPOSITORY / "target" / "guest"
INSIDE = Path("opt/hearth")
# The modules that the tests import, without what they would drag in.
MODULES = (
    "_pytest boto3 botocore dateutil iniconfig jmespath packaging pluggy py.py pygments pytest s3transfer six.py urllib3".split()
)
BOTOCORE_DATA = ("lambda", "endpoints.json", "partitions.json", "sdk-default-configuration.json", "_retry.json")
TESTS_MB = 256
MEMORY_MB = 2048
# How much slower than the host the guest is; time limits of the tests are stretched by it.
SLOWNESS = 4
CONSOLE_SHOWN = 4_000
CONSOLE = "console=ttyS0 quiet loglevel=4 panic=-1 systemd.show_status=0 systemd.unit=guest.service mitigations=off"


class Guest:
    """One boot. `result(test)` waits for a test's outcome."""

    def __init__(self, binary, selected, within_s, place=PLACE):
        self.place = Path(place)
        self.selected = list(selected)
        self.binary = Path(binary)
        self.within_s = within_s
        self.outcomes = {}
        self.under_way = None
        self.exit = None
        self.changed = threading.Condition()
        self.console = self.place / "console.log"
        self.process = None
        self.begun = None

    # --- before the boot ---

    def boot(self):
        """Makes the disks and starts the machine. Raises `CannotBeHad` with the reason when it cannot."""
        need(("qemu-system-x86_64", "qemu-system-x86"), ("strip", "binutils"))
        if os.uname().machine != "x86_64":
            raise CannotBeHad("the guest is made for x86_64 hosts")
        self.place.mkdir(parents=True, exist_ok=True)
        image = Image(self.place)
        image.make()
        tests = self.place / "tests.ext4"
        with tempfile.TemporaryDirectory(dir=self.place) as tree:
            self.fill(Path(tree))
            make_disk(tests, tree, TESTS_MB)
        self.results = self.place / "results.jsonl"
        self.results.unlink(missing_ok=True)
        self.results.touch()
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            self.command(image, tests),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=open(self.place / "qemu.log", "wb"),
        )
        threading.Thread(target=self.listen, daemon=True).start()

    def fill(self, tree):
        """What the second disk holds: a checkout as the tests expect it, with only what they need."""
        shutil.copytree(REPOSITORY / "tests", tree / "tests", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(REPOSITORY / "deploy", tree / "deploy")
        # Part of the roots that tests make.
        client = Path("src/runtimes/python/bootstrap.py")
        (tree / client).parent.mkdir(parents=True)
        shutil.copy(REPOSITORY / client, tree / client)
        program = tree / "target/debug/hearth"
        program.parent.mkdir(parents=True)
        call("strip", "-o", program, self.binary)
        program.chmod(0o755)
        here = Path(__import__("pytest").__file__).parents[1]
        for name in MODULES:
            one = here / name
            if one.is_dir():
                shutil.copytree(one, tree / "site-packages" / name, ignore=self.left_out)
            else:
                shutil.copy(one, tree / "site-packages")
        for name in ("pytest", "pluggy"):
            for about in here.glob(f"{name}-*.dist-info"):
                shutil.copytree(about, tree / "site-packages" / about.name)
        (tree / "selected").write_text("".join(f"{test}\n" for test in self.selected))
        (tree / "environment").write_text(f"export HEARTH_SLOWNESS={SLOWNESS}\n")

    @staticmethod
    def left_out(folder, names):
        """The descriptions of all services but one, and what a Python of another version compiled."""
        if Path(folder).parts[-2:] == ("botocore", "data"):
            return [name for name in names if name not in BOTOCORE_DATA]
        return [name for name in names if name == "__pycache__"]

    def command(self, image, tests):
        disks = []
        # An error of a disk is the guest's to tell; by default the machine would stop without a word.
        for disk in (image.disk, tests):
            disks += ["-drive", f"file={disk},format=raw,if=virtio,snapshot=on,discard=ignore,werror=report,rerror=report"]
        return [
            *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", str(MEMORY_MB)),
            *("-display", "none", "-nodefaults", "-no-user-config", "-no-reboot", "-net", "none"),
            *("-kernel", str(image.kernel), "-initrd", str(image.initramfs), "-append", CONSOLE),
            *disks,
            *("-serial", f"file:{self.console}", "-serial", f"file:{self.results}"),
        ]

    # --- while it runs ---

    def listen(self):
        """Follows the result lines until the machine is off or its time is over."""
        read = 0
        while True:
            off = self.process.poll() is not None
            with open(self.results, "rb") as lines:
                lines.seek(read)
                *whole, _ = lines.read().split(b"\n")
            for line in whole:
                read += len(line) + 1
                self.hear(line)
            if not off and time.monotonic() - self.begun > self.within_s:
                self.process.kill()
            if off:
                break
            time.sleep(0.2)
        with self.changed:
            self.exit = "ended" if self.exit is None else self.exit
            self.changed.notify_all()

    def hear(self, line):
        try:
            said = json.loads(line)
        except ValueError:
            return
        with self.changed:
            if "test" in said:
                self.outcomes[said["test"]] = said
                self.under_way = None
            elif "begun" in said:
                self.under_way = said["begun"]
            elif "end" in said:
                self.exit = f"pytest ended with {said['end']}"
            self.changed.notify_all()

    def result(self, test):
        """The outcome of one test, or a failure that tells where the guest stood when it ended."""
        with self.changed:
            self.changed.wait_for(lambda: test in self.outcomes or self.exit is not None)
            if test in self.outcomes:
                return self.outcomes[test]
        took = time.monotonic() - self.begun
        where = f"during {self.under_way}" if self.under_way else "between tests"
        text = f"the guest told nothing of this test; {self.exit} {where} after {took:.0f} s\n{self.console_tail()}"
        return {"outcome": "failed", "seconds": 0.0, "text": text}

    def console_tail(self):
        text = self.console.read_text(errors="replace") if self.console.exists() else ""
        return f"--- console of the guest, last {CONSOLE_SHOWN} characters ---\n{text[-CONSOLE_SHOWN:]}"

    def end(self):
        """Ends the machine if it still runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
