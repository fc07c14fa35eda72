"""Makes the disk that a guest boots: a small Debian out of packages, with systemd, and a kernel beside it.

Nothing of it touches the host: packages are fetched with `apt-get download` and taken apart in `target/guest/`. Made
once and kept until the list of packages or this file changes. What is tested comes on a second disk (see `guest.py`).
"""

import functools
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

KERNEL = "linux-image-cloud-amd64"
INITRAMFS = "busybox-static"
# What the daemon, its sandboxes and the tests call; their dependencies come by themselves.
PACKAGES = (
    "base-files",
    "bash",
    "coreutils",
    "curl",
    "dash",
    "e2fsprogs",
    "findutils",
    "grep",
    "iproute2",
    "kmod",
    "libc-bin",
    "mount",
    "nftables",
    "procps",
    "python3",
    "sed",
    "systemd",
    "util-linux",
)
# In Debian's dependencies, and of no use here: they would only make the disk larger.
LEFT_OUT = {"debconf", "perl-base", "tzdata", "ca-certificates", "openssl", "dbus", "login", "passwd", "media-types", "usrmerge", "dpkg"}
# The way to the disk; what they depend on comes by itself, everything else is loaded from there.
BOOT_MODULES = ("virtio_pci", "virtio_blk", "ext4", "crc32c_generic")
ROOT_MB = 1536
FETCH_WITHIN_S = 600
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
MOUNT_POINTS = ("dev", "proc", "sys", "run", "tmp", "root", "opt/hearth", "etc/systemd/system")
# Links to what the second disk holds.
LINKS = {
    "etc/systemd/system/guest.service": "/opt/hearth/tests/guest/inside/guest.service",
    "etc/systemd/system/hearth.service": "/opt/hearth/deploy/hearth.service",
    "usr/local/bin/hearth": "/opt/hearth/target/debug/hearth",
}
# Kinds of modules that a machine without devices, desktop or foreign disks has no use for.
MODULES_LEFT_OUT = ("drivers/gpu", "drivers/infiniband", "drivers/md", "drivers/scsi", "drivers/usb", "sound")
ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "group": "root:x:0:\nnogroup:x:65534:\n",
    "hostname": "guest\n",
    "hosts": "127.0.0.1 localhost guest\n",
    "fstab": "",
    "machine-id": "0123456789abcdef0123456789abcdef\n",
}
INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc none /proc
/bin/busybox mount -t devtmpfs none /dev
for module in {modules}; do /bin/busybox insmod /$module.ko; done
until [ -b /dev/vdb ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 /dev/vda /root
/bin/busybox mount -t ext4 -o ro /dev/vdb /root/opt/hearth
/bin/busybox umount /proc
exec /bin/busybox switch_root /root /lib/systemd/systemd
"""


class CannotBeHad(Exception):
    """The guest cannot be made on this host; the text says why."""


def call(*command, **settings):
    """Runs a command; a failure is a reason why there is no guest."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=FETCH_WITHIN_S, **settings)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotBeHad(f"{words[0]}: {error}") from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise CannotBeHad(f"{' '.join(words[:3])} …: exit {done.returncode}: {said[-1] if said else 'no message'}")
    return done.stdout


def need(*programs):
    """Fails with the first program that is missing."""
    for program, package in programs:
        if shutil.which(program, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") is None:
            raise CannotBeHad(f"{program} is not here (Debian package {package})")


def closure(packages):
    """These packages and all that they depend on, without choices: the first that is a real package serves."""
    arguments = ["no-recommends", "no-suggests", "no-conflicts", "no-breaks", "no-replaces", "no-enhances"]
    text = call("apt-cache", "depends", "--recurse", *[f"--{one}" for one in arguments], *packages)
    wanted, waiting, depends, alternative = set(), list(packages), {}, False
    name = None
    for line in text.splitlines():
        if not line.startswith((" ", "|", "<")):
            name = line.split(":")[0]
            depends.setdefault(name, [])
            alternative = False
        elif match := re.match(r"\s*(\|?)(?:Pre)?Depends: (\S+)", line):
            if not alternative and not match.group(2).startswith("<"):
                depends[name].append(match.group(2).split(":")[0])
            alternative = bool(match.group(1))
    while waiting:
        one = waiting.pop()
        if one not in wanted and one not in LEFT_OUT:
            wanted.add(one)
            waiting.extend(depends.get(one, []))
    return sorted(wanted)


class Image:
    """The files of a bootable guest below one folder."""

    def __init__(self, place):
        self.place = Path(place)
        self.debs = self.place / "debs"
        self.kernel = self.place / "vmlinuz"
        self.initramfs = self.place / "initramfs"
        self.disk = self.place / "root.ext4"
        self.stamp = self.place / "made-from"

    @functools.cached_property
    def recipe(self):
        return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()

    def make(self):
        """Makes what is missing. Raises `CannotBeHad` with the reason when it cannot."""
        need(("mke2fs", "e2fsprogs"), ("dpkg-deb", "dpkg"), ("apt-get", "apt"), ("apt-cache", "apt"))
        if self.stamp.exists() and self.stamp.read_text() == self.recipe:
            return
        self.stamp.unlink(missing_ok=True)
        kernel = next((name for name in closure([KERNEL]) if re.match(r"linux-image-\d", name)), None)
        if kernel is None:
            raise CannotBeHad(f"apt knows no kernel for {KERNEL}")
        self.fetch([*closure(PACKAGES), INITRAMFS, kernel])
        boot, root = self.place / "boot", self.place / "root"
        for folder in (boot, root):
            shutil.rmtree(folder, ignore_errors=True)
        self.unpack(boot, [kernel, INITRAMFS])
        self.make_root(root, boot)
        shutil.copy(next((boot / "boot").glob("vmlinuz-*")), self.kernel)
        self.make_initramfs(boot, root)
        make_disk(self.disk, root, ROOT_MB)
        for folder in (boot, root):
            shutil.rmtree(folder)
        self.stamp.write_text(self.recipe)

    def fetch(self, packages):
        shutil.rmtree(self.debs, ignore_errors=True)
        self.debs.mkdir(parents=True)
        options = ["-qq", "-o", "APT::Sandbox::User=root"]
        try:
            call("apt-get", *options, "download", *packages, cwd=self.debs)
        except CannotBeHad:
            # Lists that are older than the archive name packages that are gone.
            call("apt-get", *options, "update")
            call("apt-get", *options, "download", *packages, cwd=self.debs)

    def unpack(self, folder, packages):
        folder.mkdir(parents=True)
        for name in MERGED:
            (folder / "usr" / name).mkdir(parents=True)
            (folder / name).symlink_to(f"usr/{name}")
        for name in packages:
            for archive in self.debs.glob(f"{name}_*.deb"):
                # Not `--extract`: it puts a folder where the link of the merged /usr is.
                with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as files:
                    call("tar", "-x", "--keep-directory-symlink", "-C", folder, stdin=files.stdout)

    def make_root(self, root, boot):
        names = {archive.name.split("_")[0] for archive in self.debs.glob("*.deb")}
        self.unpack(root, sorted(name for name in names if name != INITRAMFS and not name.startswith("linux-image")))
        for name in MOUNT_POINTS:
            (root / name).mkdir(parents=True, exist_ok=True)
        for name, text in ETC.items():
            (root / "etc" / name).write_text(text)
        for name, target in LINKS.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).symlink_to(target)
        for name in ("doc", "man", "locale", "info"):
            shutil.rmtree(root / "usr/share" / name, ignore_errors=True)
        release = next((boot / "usr/lib/modules").iterdir())
        modules = root / "usr/lib/modules" / release.name
        shutil.copytree(release, modules)
        for kind in MODULES_LEFT_OUT:
            shutil.rmtree(modules / "kernel" / kind, ignore_errors=True)
        call("chroot", root, "/sbin/depmod", release.name)
        call("chroot", root, "/sbin/ldconfig")
        # The shell that scripts ask for; Debian's own link is made when the package is configured.
        if not (root / "usr/bin/sh").exists():
            (root / "usr/bin/sh").symlink_to("dash")

    def make_initramfs(self, boot, root):
        """A newc archive, uncompressed: it is small, and the guest's processor is slow."""
        modules = next((root / "usr/lib/modules").iterdir())
        wanted = in_order(BOOT_MODULES, (modules / "modules.dep").read_text())
        names = " ".join(Path(path).stem for path in wanted)
        files = [(name, 0o040755, b"") for name in ("bin", "dev", "proc", "root")]
        files.append(("bin/busybox", 0o100755, next(boot.glob("usr/bin/busybox")).read_bytes()))
        files.append(("init", 0o100755, INIT.format(modules=names).encode()))
        files += [(Path(path).name, 0o100644, (modules / path).read_bytes()) for path in wanted]
        with open(self.initramfs, "wb") as archive:
            for number, (name, mode, content) in enumerate([*files, ("TRAILER!!!", 0, b"")], 1):
                archive.write(entry(number, name, mode, content))


def in_order(names, dependencies):
    """Paths of modules and of what they need, each after what it needs; modules that are built in are left out."""
    known = {}
    for line in dependencies.splitlines():
        path, needs = line.split(":", 1)
        known[Path(path).stem] = (path, needs.split())
    ordered = []
    for name in names:
        path, needs = known.get(name, (None, []))
        # `modules.dep` names the needs of the needs, too, the deepest last.
        ordered += [one for one in [*reversed(needs), path] if one is not None and one not in ordered]
    return ordered


def entry(number, name, mode, content):
    """One file of a newc archive."""
    fields = [number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return pad(head) + pad(content)


def pad(data):
    return data + b"\0" * (-len(data) % 4)


def make_disk(path, tree, megabytes):
    """An ext4 image with the content of a folder, all of it owned by root."""
    path.unlink(missing_ok=True)
    call(
        "/sbin/mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0", "-d", tree, path, f"{megabytes}M"
    )
