"""Attacks that take or tie up: sockets, pipes, names, links, signals, priorities, groups. Each ends where its function does."""

import os
from pathlib import Path

import pytest

from lib import functions, host, memory, waiting

pytestmark = pytest.mark.usefixtures("alive")


# --- signals ---


def test_a_function_that_stops_itself_times_out_and_starts_again(make):
    code = "import os, signal\ndef handler(event, context):\n    if event == 'stop':\n        os.kill(os.getpid(), signal.SIGSTOP)\n    return 'runs'\n"
    function = make(code, Timeout=2)
    assert function.invoke("stop").json["errorType"] == "Sandbox.Timedout"
    assert function.invoke("go").ok() == "runs"


def test_stopping_everybody_ends_with_the_invocation(make):
    code = "import os, signal, subprocess\ndef handler(event, context):\n    if event == 'stop':\n        subprocess.Popen(['sleep', '1000'])\n        os.kill(-1, signal.SIGSTOP)\n        os.kill(os.getpid(), signal.SIGSTOP)\n    return 'runs'\n"
    function = make(code, Timeout=2)
    assert function.invoke("stop").json["errorType"] == "Sandbox.Timedout"
    assert function.invoke("go").ok() == "runs"


def test_a_stopped_pid_1_still_ends_the_invocation(make):
    code = """
import os, signal
def handler(event, context):
    if event == "stop":
        for number in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
            os.kill(1, number)
        while True:
            pass
    return "runs"
"""
    function = make(code, Timeout=2)
    assert function.invoke("stop").json["errorType"] == "Sandbox.Timedout"
    assert function.invoke("go").ok() == "runs"


def test_a_process_that_ignores_every_signal_ends_with_its_environment(make):
    code = """
import os, signal, subprocess
def handler(event, context):
    if os.fork() == 0:
        os.setsid()
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        os.execvp("sleep", ["sleep", "87654"])
    return 1
"""
    function = make(code)
    assert function.invoke({}).ok() == 1
    function.client.delete_function(FunctionName=function.name)
    left = lambda: [1 for _, _, line in host.processes().values() if line == "sleep 87654"]  # noqa: E731
    waiting.until(lambda: not left(), "it is gone", within_s=30)


def test_a_crash_leaves_no_core_and_starts_no_handler(attack):
    """A limit of 1 is the kernel's word for: not even to a program that `core_pattern` names, which would run as root."""
    code = """
import resource, signal, subprocess
def handler(event, context):
    os.chdir("/tmp")
    before = set(os.listdir("/tmp"))
    for _ in range(5):
        pid = os.fork()
        if pid == 0:
            os.kill(os.getpid(), signal.SIGSEGV)
        _, status = os.waitpid(pid, 0)
    return [sorted(set(os.listdir("/tmp")) - before), os.WCOREDUMP(status), list(resource.getrlimit(resource.RLIMIT_CORE))]
"""
    assert attack(code).ok() == [[], False, [1, 1]]


def test_orphans_are_buried_as_they_die(attack):
    """More of them than there may be processes, one after the other: pid 1 takes each in and lets none pile up."""
    code = """
def handler(event, context):
    for _ in range(2000):
        child = os.fork()
        if child == 0:
            if os.fork() == 0:
                os._exit(0)
            os._exit(0)
        os.waitpid(child, 0)
    return "through"
"""
    assert attack(code, MemorySize=1769, Timeout=120).ok() == "through"


def test_a_line_without_an_end_is_cut_into_pieces_on_its_way(make, daemon):
    code = "import os\ndef handler(event, context):\n    for _ in range(1024):\n        os.write(1, b'x' * (1 << 17))\n    return 1\n"
    function = make(code, Timeout=60, MemorySize=1769)
    with memory.of_process(daemon.pid) as daemons_memory:
        assert function.invoke({}).ok() == 1
    assert daemons_memory.growth < 100, f"{daemons_memory.growth} MB more for a line of 128 MB"
    lines = daemon.cli("logs", function.name, "--json", "--limit", 40).stdout.splitlines()
    assert len(lines) == 40 and max(len(line) for line in lines) < 2 << 20


# --- memory that is not a process's own ---


# Processes fill what `fill` fills until the kernel refuses, and keep it. The handler goes on once each of them is full or
# dead: both close its end of the pipe.
MANY_FILL = """
import fcntl, signal
def handler(event, context):
    read, write = os.pipe()
    for _ in range(event):
        if os.fork() == 0:
            os.close(read)
            held = []
            try:
                while True:
                    fill(held)
            except OSError:
                os.write(write, b"x")
                os.close(write)
                signal.pause()
    os.close(write)
    full = b""
    while got := os.read(read, event):
        full += got
    return len(full)

def brim(write):
    try:
        while True:
            write(b"x" * 65536)
    except BlockingIOError:
        pass
"""
FILLED_WITH = {
    "pipes": """
def fill(held):
    held.append(os.pipe())
    write = held[-1][1]
    try:
        fcntl.fcntl(write, 1031, 1 << 20)
    except OSError:
        pass
    os.set_blocking(write, False)
    brim(lambda data: os.write(write, data))
""",
    "sockets": """
def fill(held):
    held.append(socket.socketpair())
    for one in held[-1]:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        one.setblocking(False)
        brim(one.send)
""",
}


def used_mb(result):
    return int(result.report.split("Max Memory Used: ")[1].split()[0])


def test_pipes_full_to_the_brim_are_the_functions_own_memory(attack):
    result = attack(MANY_FILL + FILLED_WITH["pipes"], 40, MemorySize=1769, Timeout=60)
    # Without privileges a user's pipes are small after the first 64 MB; all of them together are still more than this.
    assert result.ok() == 40 and used_mb(result) > 150, result.report


def test_sockets_full_to_the_brim_do_not_take_the_host(attack):
    result = attack(MANY_FILL + FILLED_WITH["sockets"], 10, MemorySize=1769, Timeout=60)
    assert result.json["errorType"] == "Runtime.OutOfMemory", result.body


def test_datagrams_that_nobody_reads_do_not_take_the_host(attack):
    """The host says how much a socket may hold, whatever the function asks for."""
    sent, held = attack(
        """
def handler(event, context):
    sockets, sent, held = [], 0, 0
    try:
        while len(sockets) < 900:
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 26)
            one.bind(("127.0.0.1", 0))
            one.setblocking(False)
            sockets.append(one)
            for _ in range(8):
                one.sendto(b"x" * 60000, one.getsockname())
                sent += 60000
    except OSError:
        pass
    for one in sockets:
        try:
            while True:
                held += len(one.recv(60000))
        except BlockingIOError:
            pass
    return [sent, held]
""",
        Timeout=60,
    ).ok()
    # The kernel doubles what is asked for, for its own needs.
    most = 2 * int(Path("/proc/sys/net/core/rmem_max").read_text())
    assert sent > 100 << 20 and held <= 900 * most, (sent, held)


def test_memory_without_a_process_counts_as_the_functions(attack):
    result = attack(
        """
def handler(event, context):
    held = []
    while True:
        held.append(os.memfd_create("x"))
        os.write(held[-1], b"x" * (8 << 20))
""",
        MemorySize=128,
    )
    assert result.json["errorType"] == "Runtime.OutOfMemory"


def test_watches_timers_and_events_end_at_a_limit(attack):
    counts = attack(
        """
import select
def handler(event, context):
    found = {}
    makers = {
        "epoll": lambda: select.epoll(),
        "inotify": lambda: syscall(294, 0)[0],
        "timerfd": lambda: syscall(283, 1, 0)[0],
        "eventfd": lambda: syscall(290, 0, 0)[0],
        "signalfd": lambda: socket.socketpair(),
    }
    for name, make in makers.items():
        held = []
        try:
            while len(held) < 5000:
                one = make()
                if isinstance(one, int) and one < 0:
                    break
                held.append(one)
        except OSError:
            pass
        found[name] = len(held)
        for one in held:
            if isinstance(one, int):
                os.close(one)
        held.clear()
    return found
"""
    ).ok()
    assert all(0 <= count <= 1024 for count in counts.values()), counts


# --- names, links and files in /tmp ---


def test_deep_directories_go_with_the_environment(make, daemon):
    code = """
import os
def handler(event, context):
    os.chdir("/tmp")
    depth = 0
    try:
        while depth < 20_000 and context.get_remaining_time_in_millis() > 3000:
            os.mkdir("d")
            os.chdir("d")
            depth += 1
    except OSError:
        pass
    os.chdir("/")
    return depth
"""
    function = make(code, Timeout=30, MemorySize=1769)
    assert function.invoke({}).ok() > 1000
    function.client.delete_function(FunctionName=function.name)
    waiting.until(lambda: environments_of(daemon, function.name) == 0, "its environment is gone", within_s=60)


def environments_of(daemon, name):
    wanted = f"AWS_LAMBDA_FUNCTION_NAME={name}\0".encode()
    found = 0
    for pid in host.children_of(daemon.pid):
        try:
            found += wanted in Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
    return found


def test_long_names_end_where_the_system_ends_them(attack):
    found = attack(
        """
def handler(event, context):
    ends = []
    for length in (255, 256, 4096, 100_000):
        try:
            os.close(os.open("/tmp/" + "n" * length, os.O_CREAT | os.O_WRONLY))
            ends.append("OK")
        except OSError as error:
            ends.append(errno.errorcode[error.errno])
    return ends
"""
    ).ok()
    assert found == ["OK", "ENAMETOOLONG", "ENAMETOOLONG", "ENAMETOOLONG"]


def test_hard_links_reach_nothing_outside_tmp(attack):
    found = attack(
        """
def handler(event, context):
    found = []
    for path in ("/var/task/index.py", "/etc/passwd", "/usr/bin/env", "/proc/self/exe", "/proc/1/exe", "/dev/null"):
        found += attempt(path, lambda: os.link(path, "/tmp/link"))
    open("/tmp/one", "w").close()
    count = 1
    try:
        while count < 70_000:
            os.link("/tmp/one", f"/tmp/one-{count}")
            count += 1
    except OSError as error:
        return [found, errno.errorcode[error.errno]]
    return [found, "OK"]
""",
        Timeout=60,
        MemorySize=1769,
    ).ok()
    assert found[0] == [] and found[1] in ("EMLINK", "ENOSPC")


def test_links_that_lead_in_circles_or_out_reach_nothing(attack):
    found = attack(
        """
def handler(event, context):
    os.symlink("/tmp/a", "/tmp/b")
    os.symlink("/tmp/b", "/tmp/a")
    os.symlink("../../../../../../../../etc/shadow", "/tmp/c")
    os.symlink("/proc/1/root/etc/shadow", "/tmp/d")
    os.symlink("/proc/self/fd/0/../../../etc/shadow", "/tmp/e")
    return sum((attempt(path, lambda: open("/tmp/" + path).read(10)) for path in "abcde"), [])
"""
    ).ok()
    assert found == []


def test_a_pipe_that_nobody_writes_to_ends_with_the_invocation(make):
    code = "import os\ndef handler(event, context):\n    if event == 'hang':\n        os.mkfifo('/tmp/pipe')\n        open('/tmp/pipe').read()\n    return 'runs'\n"
    function = make(code, Timeout=2)
    assert function.invoke("hang").json["errorType"] == "Sandbox.Timedout"
    assert function.invoke("go").ok() == "runs"


def test_a_file_of_nothing_is_as_large_as_it_likes_and_takes_no_disk(attack, daemon):
    def used():
        status = os.statvfs(daemon.state)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    before = used()
    found = attack(
        """
def handler(event, context):
    found = []
    with open("/tmp/sparse", "wb") as file:
        for size in (1 << 33, 1 << 50):
            found += attempt("sparse", lambda: file.truncate(size))
        found += attempt("allocated", lambda: os.posix_fallocate(file.fileno(), 0, 1 << 34))
    return found
"""
    ).ok()
    assert "allocated" not in found
    assert used() < before + (2 << 30)


def test_capabilities_of_files_cannot_be_set(attack):
    found = attack(
        """
import shutil, subprocess
def handler(event, context):
    shutil.copy("/usr/bin/env", "/tmp/env")
    value = struct.pack("<IIIII", 0x02000001, 0xFFFFFFFF, 0, 0xFFFFFFFF, 0)
    root = struct.pack("<IIIIII", 0x03000001, 0xFFFFFFFF, 0, 0xFFFFFFFF, 0, 0)
    found = []
    for name, data in (("security.capability", value), ("security.capability", root), ("trusted.x", b"x"), ("security.selinux", b"x"), ("system.posix_acl_access", b"x")):
        found += attempt(name, lambda: os.setxattr("/tmp/env", name, data))
    status = subprocess.run(["/tmp/env", "cat", "/proc/self/status"], capture_output=True, text=True).stdout
    caps = [line.split()[1] for line in status.splitlines() if line.startswith("CapEff")]
    return [found, caps]
"""
    ).ok()
    # A label is a name and no power: whether one may be set depends on the host's security module.
    assert [name for name in found[0] if name != "security.selinux"] == [] and found[1] == ["0000000000000000"]


def test_a_set_uid_copy_of_a_shell_is_the_same_user(attack):
    code = """
import shutil, subprocess
def handler(event, context):
    found = []
    for mode in (0o4755, 0o2755, 0o6777):
        shutil.copy("/usr/bin/id", "/tmp/id")
        attempt("chmod", lambda: os.chmod("/tmp/id", mode))
        attempt("chown", lambda: os.chown("/tmp/id", 0, 0))
        found.append(subprocess.run(["/tmp/id", "-u"], capture_output=True, text=True).stdout.strip())
    return found
"""
    assert attack(code).ok() == ["993"] * 3


# --- groups and priorities ---


def test_control_groups_cannot_be_seen_or_left(attack):
    found = attack(
        """
def handler(event, context):
    found = []
    lines = open("/proc/self/cgroup").read().splitlines()
    found += [line for line in lines if line.split(":", 2)[2] != "/"]
    for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified", "/proc/self/root/sys/fs/cgroup"):
        for name in ("cgroup.procs", "tasks", "release_agent", "notify_on_release", "memory.max", "memory.limit_in_bytes", "cgroup.subtree_control"):
            def write():
                with open(f"{root}/{name}", "w") as file:
                    file.write(str(os.getpid()))
            found += attempt(f"{root}/{name}", write)
        found += attempt(root, lambda: os.mkdir(f"{root}/evil"))
    found += [line for line in open("/proc/self/mountinfo").read().splitlines() if "cgroup" in line]
    return found
"""
    ).ok()
    assert found == []


def test_priorities_cannot_be_raised(attack):
    found = attack(
        """
def handler(event, context):
    found = attempt("nice", lambda: os.setpriority(os.PRIO_PROCESS, 0, -20))
    for name, policy in (("SCHED_FIFO", 1), ("SCHED_RR", 2)):
        found += attempt(name, lambda: os.sched_setscheduler(0, policy, os.sched_param(50)))
    # Deadline, and real time of the disk.
    attributes = struct.pack("IIQiIQQQ", 48, 6, 0, 0, 0, 10_000_000, 30_000_000, 30_000_000)
    found += ["SCHED_DEADLINE"] if syscall(314, 0, attributes, 0)[0] == 0 else []
    found += ["ioprio"] if syscall(251, 1, 0, 1 << 13)[0] == 0 else []
    return found
"""
    ).ok()
    assert found == []


def test_more_than_the_allowed_memory_cannot_be_locked(attack):
    code = """
def handler(event, context):
    size = 200 << 20
    address = LIBC.mmap
    address.restype = ctypes.c_void_p
    where = address(None, ctypes.c_size_t(size), 3, 0x22, -1, ctypes.c_long(0))
    return LIBC.mlock(ctypes.c_void_p(where), ctypes.c_size_t(size))
"""
    assert attack(code, MemorySize=512).ok() == -1


def test_a_signal_to_a_process_of_the_host_finds_nobody(attack, daemon):
    """Pids of the host, the daemon's and the forker's among them, are nobody inside."""
    pids = [daemon.pid, os.getpid(), 1, *host.own_children_of(daemon.pid)]
    code = """
import signal
def handler(event, context):
    found = []
    for pid in event:
        if pid != 1 and pid != os.getpid() and not os.path.exists(f"/proc/{pid}"):
            found += attempt(pid, lambda: os.kill(pid, signal.SIGTERM))
            found += attempt(pid, lambda: os.pidfd_open(pid))
    return found
"""
    assert attack(code, pids).ok() == []


def test_a_binary_that_writes_into_its_own_text_is_not_written_back(make):
    """What is mapped from a read-only place is private: the package of the next environment is as it was."""
    code = """
import ctypes, mmap, os
def handler(event, context):
    with open("/var/task/index.py", "rb") as file:
        page = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        page[:1] = b"#"
        try:
            mmap.mmap(file.fileno(), 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE)
            shared = True
        except OSError:
            shared = False
    return [shared, open("/var/task/index.py").read(7)]
"""
    assert make(code).invoke({}).ok() == [False, "\nimport"]


@pytest.mark.parametrize("runs", range(2))
def test_an_environment_begins_with_nothing_of_the_one_before(runs, make):
    """Functions that leave much behind, one after the other in the same slot: each begins with an empty /tmp."""
    code = "import os\ndef handler(event, context):\n    seen = os.listdir('/tmp')\n    open('/tmp/left', 'w').write('x' * 1000)\n    return seen\n"
    assert make(code).invoke({}).ok() == []
    assert make(functions.ECHO).invoke({"runs": runs}).ok() == {"runs": runs}
