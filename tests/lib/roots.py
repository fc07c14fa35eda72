"""Root trees for functions: a small one of busybox, one with a whole Python, and archives that no packer makes.

Trees are made of what this host has: Debian's static busybox, and the host's own Python with the libraries it needs.
"""

import hashlib
import http.client
import io
import re
import shutil
import socket
import subprocess
import tarfile
from pathlib import Path

import pytest

from .daemon import REPOSITORY, ROLE
from .functions import Function, Result, unique

PYTHON = "/usr/bin/python3"
# Runs the event, a JSON string without escapes, as a script; answers what it printed in base64.
SHELL = r"""#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
while :; do
    wget -q -S -O /tmp/event "$api/invocation/next" 2>/tmp/head
    id=$(sed -n 's/^ *[Ll]ambda-[Rr]untime-[Aa]ws-[Rr]equest-[Ii]d: *//p' /tmp/head | tr -d '\r')
    script=$(sed 's/^"//; s/"$//' /tmp/event)
    answer=$(sh -c "$script" app "$@" 2>&1 | base64 | tr -d '\n')
    wget -q -O /dev/null --post-data "\"$answer\"" "$api/invocation/$id/response"
done
"""
# A handler for any code: the event brings it.
ANY_CODE = """
def handler(event, context):
    space = {}
    exec(compile(event["code"], "attack", "exec"), space)
    return space["handler"](event["event"], context)
"""


def busybox():
    """The program, or a skip."""
    program = shutil.which("busybox", path="/bin:/usr/bin")
    if program is None:
        pytest.skip("no busybox on this host; Debian's package busybox-static has it")
    kind = subprocess.run(["ldd", program], capture_output=True, text=True)
    if "not a dynamic executable" not in kind.stdout + kind.stderr:
        pytest.skip("busybox is not static on this host; Debian's package busybox-static is")
    return Path(program)


def shell_tree(place, files=None):
    """A root of busybox: absolute links to the one program, `/srv/app` that runs what events say."""
    program = busybox()
    write(place / "bin" / "busybox", program.read_bytes(), 0o755)
    for name in subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if name != "busybox" and "/" not in name:
            (place / "bin" / name).symlink_to("/bin/busybox")
    write(place / "srv" / "app", SHELL, 0o755)
    write(place / "etc" / "passwd", "root:x:0:0:root:/:/bin/sh\nana:x:1234:567:Ana:/srv:/bin/sh\n")
    for name, content in (files or {}).items():
        write(place / name, content, 0o755)
    return place


def python_tree(place, handler=ANY_CODE):
    """A root with the host's Python, our runtime client and a handler in `/var/task/index.py`."""
    libraries = Path(sysconfig_of("stdlib"))
    own = place / libraries.relative_to("/")
    unneeded = shutil.ignore_patterns("test", "tests", "idlelib", "lib2to3", "tkinter", "config-*", "ensurepip", "dist-packages")
    shutil.copytree(libraries, own, ignore=unneeded, symlinks=True)
    program = Path(PYTHON).resolve()
    write(place / "usr" / "bin" / "python3", program.read_bytes(), 0o755)
    for binary in (program, *own.glob("lib-dynload/*.so")):
        for library in re.findall(r"(/\S+\.so[^\s]*) ", subprocess.run(["ldd", binary], capture_output=True, text=True).stdout):
            if not (place / library[1:]).exists():
                write(place / library[1:], Path(library).read_bytes(), 0o755)
    client = REPOSITORY / "src" / "runtimes" / "python" / "bootstrap.py"
    write(place / "var" / "runtime" / "bootstrap.py", client.read_text())
    write(place / "var" / "task" / "index.py", handler)
    return place


def sysconfig_of(name):
    if not Path(PYTHON).exists():
        pytest.skip(f"no {PYTHON} on this host")
    code = f"import sysconfig; print(sysconfig.get_path({name!r}))"
    return subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


PYTHON_IMAGE = {
    "EntryPoint": ["/usr/bin/python3", "/var/runtime/bootstrap.py"],
    "Command": ["index.handler"],
    "WorkingDirectory": "/var/task",
}


def write(path, content, mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)


class Images:
    """Functions with roots of their own, in one daemon; deleted after the test."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.names = []

    def deploy(self, tree, *options, name=None, check=True):
        """`hearth deploy --rootfs`; the function, or how the command ended if it is not to be checked."""
        name = name or unique("root")
        self.names.append(name)
        done = self.daemon.cli("deploy", "--rootfs", tree, "--name", name, *options, check=check, within_s=300)
        return Function(self.daemon.client(), name) if check else done

    def create(self, uri, config, wait=True, **settings):
        """CreateFunction with an image that the daemon has."""
        name = unique("root")
        self.names.append(name)
        client = self.daemon.client()
        client.create_function(
            FunctionName=name, Role=ROLE, PackageType="Image", Code={"ImageUri": uri}, ImageConfig=config, **settings
        )
        function = Function(client, name)
        if wait:
            function.wait()
        return function

    def delete_all(self):
        client = self.daemon.client()
        for name in self.names:
            try:
                client.delete_function(FunctionName=name)
            except client.exceptions.ResourceNotFoundException:
                continue
        self.names.clear()


def shell(function, script):
    """What a script printed in a function of `shell_tree`."""
    assert not set(script) & set("\"\\\n"), "the event is read without a JSON parser"
    result = function.invoke(script)
    assert result.error is None, result.body
    import base64

    return base64.b64decode(result.json).decode(errors="replace")


# --- archives byte by byte ---


def archive(*entries):
    """A tar of (TarInfo fields, content) pairs."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for fields, content in entries:
            info = tarfile.TarInfo()
            info.mode = 0o755
            for key, value in fields.items():
                setattr(info, key, value)
            if content is not None:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if content is not None else None)
    return buffer.getvalue()


def directory_entries(place):
    """All of a directory as entries of `archive`."""
    found = []
    for path in sorted(place.rglob("*")):
        name = str(path.relative_to(place))
        if path.is_symlink():
            found.append(({"name": name, "type": tarfile.SYMTYPE, "linkname": str(path.readlink())}, None))
        elif path.is_dir():
            found.append(({"name": name, "type": tarfile.DIRTYPE}, None))
        else:
            found.append(({"name": name, "mode": path.stat().st_mode & 0o777}, path.read_bytes()))
    return found


class OverSocket(http.client.HTTPConnection):
    """HTTP on a socket in the file system."""

    def __init__(self, path):
        super().__init__("hearth", timeout=120)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(daemon, method, path, body=None, headers=None):
    """(status, text) of a request to the admin socket."""
    connection = OverSocket(daemon.state / "admin.sock")
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


def upload(daemon, tar, digest=None):
    """(status, text) of an upload."""
    return ask(daemon, "PUT", f"/rootfs/{digest or hashlib.sha256(tar).hexdigest()}", body=tar)


def uri_of(tar):
    return f"hearth-rootfs:sha256:{hashlib.sha256(tar).hexdigest()}"


__all__ = ["Images", "Result", "archive", "ask", "directory_entries", "python_tree", "shell", "shell_tree", "upload", "uri_of"]
