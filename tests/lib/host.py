"""What the host holds that a sandbox could leave behind: counted before and after.

Everything is told apart by what was there before, so that other daemons and containers on the machine do not matter
as long as they are quiet while a test counts.
"""

import os
import shutil
import subprocess
from pathlib import Path

from . import waiting

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")


def processes():
    """pid → (start time, command line) of all processes; kernel threads left out."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        flags, state, start = int(fields[6]), fields[0], fields[19]
        kernel_thread = flags & 0x00200000
        if not kernel_thread:
            found[int(entry.name)] = (start, state, line)
    return found


def parents():
    """pid → pid of its parent, of all processes."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    return found


def own_children_of(pid):
    """The living processes whose parent a process is, by pid."""
    return {child for child, parent in parents().items() if parent == pid}


def children_of(pid):
    """All living descendants of a process, by pid."""
    known = parents()
    found, grown = {pid}, True
    while grown:
        grown = False
        for child, parent in known.items():
            if parent in found and child not in found:
                found.add(child)
                grown = True
    return found - {pid}


def control_groups():
    """Paths of all groups in all hierarchies."""
    found = set()
    for root, names, _ in os.walk("/sys/fs/cgroup"):
        found.update(os.path.join(root, name) for name in names)
    return found


def mounts():
    """(mount namespace, mount point, root, source) of every mount that any process can see."""
    found, seen = set(), set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            namespace = os.readlink(entry / "ns" / "mnt")
            if namespace in seen:
                continue
            lines = (entry / "mountinfo").read_text().splitlines()
        except OSError:
            continue
        seen.add(namespace)
        for line in lines:
            fields = line.split(" ")
            found.add((namespace, fields[4], fields[3], fields[2]))
    return found


def namespaces():
    """Identities of all namespaces that some process is in or holds open."""
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        for kind in NAMESPACES:
            try:
                found.add(os.readlink(entry / "ns" / kind))
            except OSError:
                continue
    return found


def loop_devices():
    """Loop devices with a file behind them: name → file."""
    found = {}
    for entry in Path("/sys/block").glob("loop*"):
        backing = entry / "loop" / "backing_file"
        try:
            found[entry.name] = backing.read_text().strip()
        except OSError:
            continue
    return found


def links():
    """Network interfaces of the host's own network namespace."""
    return set(os.listdir("/sys/class/net"))


def firewall_tables():
    """Tables of the host's firewall: family and name. None without `nft`."""
    nft = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin")
    if not nft:
        return set()
    return set(subprocess.run([nft, "list", "tables"], capture_output=True, text=True).stdout.splitlines())


def descriptors(pid):
    """number → target of the open descriptors of a process."""
    found = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[int(entry.name)] = os.readlink(entry)
        except OSError:
            continue
    return found


def open_files(pid):
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def files(*places):
    """All files and directories below the places given."""
    found = set()
    for place in places:
        for root, names, leaves in os.walk(place):
            found.update(os.path.join(root, name) for name in [*names, *leaves])
    return found


def files_of_daemon(uid, *places):
    """Files below the places given that a daemon may have made, by user (its own or a sandbox's) or by name.

    Nothing else is told apart from what other programs do meanwhile: a compiler fills /tmp with files of its own.
    """
    found = set()
    for path in files(*places):
        try:
            owner = os.lstat(path).st_uid
        except OSError:
            continue
        if owner >= uid or "hearth" in os.path.basename(path):
            found.add(path)
    return found


def is_foreign(pid):
    """Whether a process is of a kind that a daemon makes: in namespaces that are not ours, or the program itself.

    Anything else that starts while a test counts (a compiler, a cron job) is the machine's own business.
    """
    place = Path(f"/proc/{pid}")
    try:
        if (place / "comm").read_text().startswith("hearth"):
            return True
        return any(os.readlink(place / "ns" / kind) != os.readlink(f"/proc/self/ns/{kind}") for kind in ("pid", "mnt"))
    except OSError:
        return False


class Inventory:
    """All of it at one moment. Zombies of the program count as processes: somebody has to reap them."""

    def __init__(self):
        self.processes = {(pid, start): line for pid, (start, _, line) in processes().items() if is_foreign(pid)}
        self.groups = control_groups()
        self.mounts = mounts()
        self.namespaces = namespaces()
        self.loops = loop_devices()
        self.links = links()
        self.tables = firewall_tables()

    def new_since(self, before, apart=()):
        """What is here now and was not before, by kind; empty kinds and those named in `apart` are left out."""
        news = {
            "processes": {key: line for key, line in self.processes.items() if key not in before.processes},
            "groups": self.groups - before.groups,
            "mounts": self.mounts - before.mounts,
            "namespaces": self.namespaces - before.namespaces,
            "loops": {name: file for name, file in self.loops.items() if before.loops.get(name) != file},
            "links": self.links - before.links,
            "tables": self.tables - before.tables,
        }
        return {kind: what for kind, what in news.items() if what and kind not in apart}

    def counts(self):
        return {
            "processes": len(self.processes),
            "groups": len(self.groups),
            "mounts": len(self.mounts),
            "namespaces": len(self.namespaces),
            "loops": len(self.loops),
            "links": len(self.links),
            "tables": len(self.tables),
        }


def settled(before, within_s=30.0, apart=()):
    """Waits until nothing is left that was not there before, kinds named in `apart` aside; fails with what is."""
    left = {}

    def nothing_new():
        left.clear()
        left.update(Inventory().new_since(before, apart))
        # A namespace shows up here only through a process; one of our own short-lived readers is not a leak.
        return not left

    try:
        waiting.until(nothing_new, "everything the daemon made is gone", within_s)
    except AssertionError as error:
        shown = {
            kind: sorted(map(str, what.items() if isinstance(what, dict) else what))[:8] for kind, what in left.items()
        }
        raise AssertionError(f"{error}; left behind: {shown}") from None
