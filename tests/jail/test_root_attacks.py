"""The same attacks from a function whose root is a tree of its own: another root must not be another jail.

One function with a whole Python in its tree runs them all; each attack comes as its event. What may differ from a
package's sandbox is what the tree holds, and nothing else.
"""

import os
from pathlib import Path

import attacks
import pytest
from test_jail import EMPTY_IS_FINE, FORBIDDEN, HOST_FILES, SOCKETS

from lib import functions, host, roots

pytestmark = pytest.mark.usefixtures("alive")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return roots.python_tree(tmp_path_factory.mktemp("roots") / "python")


@pytest.fixture(scope="module")
def victim_of_root(daemon, tree):
    images = roots.Images(daemon)
    words = [f"--entry-point={word}" for word in roots.PYTHON_IMAGE["EntryPoint"]]
    options = ("--command", "index.handler", "--workdir", "/var/task", "--timeout", 60, "--memory", 1769)
    yield images.deploy(tree, *words, *options)
    images.delete_all()


@pytest.fixture
def attack(victim_of_root):
    def run(code, event=None):
        return victim_of_root.invoke({"code": attacks.HEAD + code, "event": {} if event is None else event})

    return run


def test_host_files_cannot_be_read_from_an_own_root(attack, daemon):
    paths = [*HOST_FILES, str(daemon.state), str(daemon.state / "hearth.db"), "/run/hearth", "/mnt", "/old", "/.old_root"]
    assert [one for one in attack(attacks.READ_HOST, paths).ok() if not one.endswith(EMPTY_IS_FINE)] == []


def test_the_host_is_not_there_under_any_name_of_an_own_root(attack):
    marker = Path("/tmp") / f"hearth-root-attack-{os.getpid()}"
    marker.write_text("host")
    try:
        code = "def handler(event, context):\n    return [r for r, _, n in os.walk('/') if event in n]\n"
        assert attack(code, marker.name).ok() == []
    finally:
        marker.unlink()


def test_the_base_of_packages_is_not_there_from_an_own_root(attack, tree):
    """The old root of the sandbox is gone: not by a mount, not by a descriptor, not by the working directory of anybody."""
    code = """
def handler(event, context):
    found = [line for line in open("/proc/self/mountinfo").read().splitlines() if line.split()[4] == "/"][1:]
    for pid in [name for name in os.listdir("/proc") if name.isdigit()]:
        for what in ("root", "cwd"):
            found += attempt(pid + what, lambda: os.readlink(f"/proc/{pid}/{what}"))
    here, up = os.stat("/"), os.stat("/..")
    found += [] if (up.st_dev, up.st_ino) == (here.st_dev, here.st_ino) else ["a folder above the root"]
    return [found, sorted(os.listdir("/"))]
"""
    found, names = attack(code).ok()
    assert not [one for one in found if not one.endswith(("root: '/'", "cwd: '/var/task'", "cwd: '/'"))], found
    assert set(names) == {path.name for path in tree.iterdir()} | {"dev", "etc", "proc", "sys", "tmp"}


def test_other_processes_cannot_be_seen_from_an_own_root(attack):
    assert len(attack(attacks.SEE_PROCESSES).ok()) <= 4


def test_pid_1_cannot_be_looked_into_from_an_own_root(attack):
    assert [one for one in attack(attacks.OTHER_INIT).ok() if "/proc/1/maps: b''" not in one] == []


def test_only_a_few_devices_are_there_in_an_own_root(attack):
    allowed = {"null", "zero", "full", "random", "urandom", "stdin", "stdout", "stderr"}
    assert {name for name in attack(attacks.DEVICES).ok() if not name.startswith("fd/")} <= allowed


def test_no_descriptor_is_inherited_by_an_own_root(attack):
    found = attack(attacks.INHERITED).ok()
    fine = ("/dev/null", "pipe:", "socket:", "/proc/", "anon_inode:[event")
    assert [target for target in found.values() if not target.startswith(fine)] == []


def test_the_daemons_sockets_cannot_be_reached_from_an_own_root(attack, daemon):
    names = [str(daemon.state / "admin.sock"), "/run/docker.sock", "/run/dbus/system_bus_socket"]
    abstract = [line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines() if " @" in line]
    assert attack(attacks.UNIX_SOCKETS, [*names, *abstract[:50]]).ok() == []


def test_the_daemons_ports_cannot_be_reached_from_an_own_root(attack, daemon):
    admin = int(daemon.admin.rsplit(":", 1)[1])
    targets = [[name, port] for name in ("127.0.0.1", "::1") for port in (daemon.address[1], admin)]
    assert attack(attacks.CONNECT, targets).ok() == []


def test_other_socket_families_cannot_be_made_from_an_own_root(attack):
    assert attack(attacks.SOCKET_FAMILIES, SOCKETS).ok() == []


@pytest.fixture(scope="module")
def calls(victim_of_root):
    code = attacks.HEAD + attacks.SYSCALLS
    return victim_of_root.invoke({"code": code, "event": FORBIDDEN}).ok()


@pytest.mark.parametrize("name", sorted(FORBIDDEN))
def test_a_forbidden_call_is_refused_in_an_own_root(name, calls):
    assert name not in calls, f"ended with {calls.get(name)}"


def test_nobody_becomes_root_in_an_own_root(attack):
    seen = attack(attacks.BECOME_ROOT).ok()
    assert seen["root"] == [] and set(seen["uids"]) == {993} and 0 not in seen["groups"]
    for line in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(seen["status"][line], 16) == 0, line
    assert seen["status"]["NoNewPrivs"].strip() == "1" and seen["status"]["Seccomp"].strip() == "2"


def test_limits_cannot_be_raised_in_an_own_root(attack):
    assert attack(attacks.RAISE_LIMITS).ok() == []


def test_tmp_is_the_only_place_to_write_in_an_own_root(attack):
    places = attack(attacks.WRITABLE_PLACES).ok()
    assert [place for place in places if place != "/tmp" and not place.startswith("/tmp/")] == []


def test_kernel_settings_cannot_be_written_from_an_own_root(attack):
    event = {
        "/proc/sys/kernel/core_pattern": "|/tmp/x",
        "/proc/sys/kernel/hostname": "evil",
        "/proc/sysrq-trigger": "h",
        "/proc/self/oom_score_adj": "-1000",
        "/proc/self/uid_map": "0 0 1",
        "/sys/kernel/uevent_helper": "/tmp/x",
        "/sys/fs/cgroup/cgroup.procs": "1",
    }
    assert attack(attacks.PROC_WRITES, event).ok() == []


def test_chroot_leads_nowhere_in_an_own_root(attack):
    assert attack(attacks.CHROOT).ok() == []


def test_devices_cannot_be_made_in_an_own_root(attack):
    assert attack(attacks.MKNOD).ok() == []


def test_pid_1_of_an_own_root_cannot_be_killed(attack):
    before, after = (attack(attacks.KILL_INIT).ok() for _ in range(2))
    assert before["count"] == after["count"] == 1
    stream = attack("def handler(event, context):\n    return context.log_stream_name\n")
    assert stream.ok() == attack("def handler(event, context):\n    return context.log_stream_name\n").ok()


def test_processes_end_at_a_limit_in_an_own_root(attack):
    count, _ = attack(attacks.FORK_BOMB).ok()
    assert 100 < count <= 1024
    attack("import signal\ndef handler(event, context):\n    os.kill(-1, signal.SIGKILL)\n")


def test_descriptors_end_at_a_limit_in_an_own_root(attack):
    reached, why = attack(attacks.DESCRIPTOR_BOMB).ok()
    assert why == "EMFILE" and 900 < reached <= 1024


def test_a_disk_bomb_ends_at_the_size_of_tmp_in_an_own_root(attack):
    written, why = attack(attacks.DISK_BOMB).ok()
    assert why == "ENOSPC" and 400 <= written <= 512
    attack("def handler(event, context):\n    os.unlink('/tmp/bomb')\n").ok()


def test_a_memory_bomb_in_an_own_root_is_killed_alone(attack, healthy):
    assert attack(attacks.MEMORY_BOMB).json["errorType"] == "Runtime.OutOfMemory"
    assert healthy.invoke({"n": 1}).ok() == {"n": 1}
    assert attack("def handler(event, context):\n    return 'runs again'\n").ok() == "runs again"


def test_the_tree_of_another_function_is_not_there(attack, make, daemon):
    """Packages and roots of others lie side by side on disk; inside there is one's own and nothing beside it."""
    make({"index.py": functions.ECHO, "secret-of-a-package.txt": "x"}).invoke({})
    code = "def handler(event, context):\n    return [os.path.join(r, n) for r, _, names in os.walk('/') for n in names if n == event]\n"
    assert attack(code, "secret-of-a-package.txt").ok() == []
    digests = [path.name for path in (daemon.state / "unpacked").iterdir()]
    found = "def handler(event, context):\n    return [r for r, folders, _ in os.walk('/') for name in event if name in folders]\n"
    assert attack(found, digests).ok() == []


def test_the_tree_on_the_hosts_disk_is_as_it_was(attack, daemon, victim_of_root):
    digest = victim_of_root.configuration()["CodeSha256"]
    tree = daemon.state / "unpacked" / f"{digest}.root"

    def state():
        return {str(path): (path.lstat().st_mode, path.lstat().st_size, path.lstat().st_mtime_ns) for path in tree.rglob("*")}

    before = state()
    for code in (attacks.WRITE_READ_ONLY, attacks.WRITABLE_PLACES):
        attack(code, ["/", "/usr", "/usr/bin", "/var/task", "/etc", "/dev", "/proc", "/sys"])
    assert state() == before
    assert not any(path.lstat().st_mode & 0o6000 for path in tree.rglob("*"))


def test_an_own_root_runs_as_a_user_of_the_host_that_is_nobody_else(attack, daemon):
    attack("def handler(event, context):\n    return 1\n").ok()
    users = set()
    for pid in host.children_of(daemon.pid):
        try:
            if b"/var/runtime/bootstrap.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                status = Path(f"/proc/{pid}/status").read_text()
                users.add(next(line.split()[1] for line in status.splitlines() if line.startswith("Uid:")))
        except OSError:
            continue
    assert users and not users & {"0", "993", str(Path(f"/proc/{daemon.pid}").stat().st_uid)}
