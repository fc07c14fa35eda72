"""Attacks on what is somebody else's: other functions' variables, keys, memory and logs, and the daemon's own files.

Whoever is robbed leaves a mark that is nowhere else; it must not be found by the thief, and the daemon's files must be
the same before and after.
"""

import hashlib
import io
import json
import os
import stat
import uuid
import zipfile

import attacks
import pytest

from lib import functions, waiting, wire
from lib.functions import error_of

pytestmark = pytest.mark.usefixtures("alive")

VICTIM = """
import os
SECRET = os.environ["SECRET"]
KEPT = [SECRET.encode() * 1000]

def handler(event, context):
    print("logged:", SECRET)
    open("/tmp/" + SECRET, "w").write(SECRET)
    return {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")}
"""
SEARCH = '''
def handler(event, context):
    """Looks for marks in every file there is, in every process's variables, in memory and in shared memory."""
    found = {mark: [] for mark in event}
    for root, folders, names in os.walk("/", followlinks=False):
        if root.startswith("/proc/") and root.split("/")[2].isdigit():
            names = [name for name in names if name in ("environ", "cmdline", "mem", "maps", "comm")]
            if "task" in root or root.split("/")[2] == str(os.getpid()):
                continue
        for name in names:
            path = os.path.join(root, name)
            for mark in event:
                if mark in name:
                    found[mark].append(path)
            try:
                if not os.path.isfile(path) or os.path.islink(path):
                    continue
                fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            except OSError:
                continue
            try:
                read = os.read(fd, 1 << 20)
                for mark in event:
                    if mark.encode() in read:
                        found[mark].append(path)
            except OSError:
                pass
            finally:
                os.close(fd)
    return found
'''


@pytest.fixture(scope="module")
def victim(daemon, python):
    """A function with a secret that has run: (its mark, what its keys are)."""
    mark = "mark" + uuid.uuid4().hex
    with functions.making(daemon, python) as make:
        yield mark, make(VICTIM, Environment={"Variables": {"SECRET": mark}}).invoke({}).ok()


@pytest.fixture(scope="module")
def places(daemon, python, victim):
    """Where another function has found what is the victim's, and something of its own: by what it looked for. One walk
    through everything there is serves all."""
    own = "own" + uuid.uuid4().hex
    with functions.making(daemon, python) as make:
        thief = make(
            {"index.py": attacks.HEAD + SEARCH, own: ""}, Timeout=waiting.stretched(120), MemorySize=1769,
        )
        found = thief.invoke([victim[0], victim[1]["AWS_SECRET_ACCESS_KEY"], own]).ok()
    assert found[own] == [f"/var/task/{own}"], "the search finds what is there"
    return found


def test_variables_logs_and_tmp_of_another_function_are_nowhere(places, victim):
    assert places[victim[0]] == []


def test_keys_of_another_function_are_nowhere(places, victim):
    assert places[victim[1]["AWS_SECRET_ACCESS_KEY"]] == []


LISTEN_ABSTRACT = """
HELD = []
def handler(event, context):
    one = socket.socket(socket.AF_UNIX)
    one.bind("\\0" + event)
    one.listen()
    HELD.append(one)
"""


def test_an_abstract_socket_of_another_environment_is_not_there(attack, make):
    mark = "mark" + uuid.uuid4().hex
    listening = make(attacks.HEAD + LISTEN_ABSTRACT)
    listening.invoke(mark).ok()
    assert attack(attacks.UNIX_SOCKETS, ["@" + mark]).ok() == []
    taken = listening.invoke(mark)
    assert taken.json["errorType"] == "OSError", "it was there all the time"


DOOR = '''
import http.client, json
def handler(event, context):
    """Requests at the function's own door, each as [method, path, headers, body]; answers statuses and bodies."""
    found = []
    for method, path, headers, body in event:
        connection = http.client.HTTPConnection("169.254.100.1", timeout=5)
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            found.append([answer.status, answer.read(300).decode(errors="replace")])
        except OSError as error:
            found.append([0, str(error)])
        finally:
            connection.close()
    return found
'''


def test_keys_of_another_function_open_nothing(attack, victim):
    _, keys = victim
    signed = {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={keys['AWS_ACCESS_KEY_ID']}/20240101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature={'0' * 64}",
        "X-Amz-Security-Token": keys["AWS_SESSION_TOKEN"],
    }
    path = "/2015-03-31/functions/whatever/invocations"
    assert [status for status, _ in attack(DOOR, [["POST", path, signed, "{}"]]).ok()] == [403]


CONTROL = [
    ["GET", "/2015-03-31/functions"],
    ["GET", "/2015-03-31/functions/{victim}"],
    ["GET", "/2015-03-31/functions/{victim}/configuration"],
    ["PUT", "/2015-03-31/functions/{victim}/code"],
    ["PUT", "/2015-03-31/functions/{victim}/configuration"],
    ["DELETE", "/2015-03-31/functions/{victim}"],
    ["POST", "/2015-03-31/functions"],
    ["PUT", "/2017-10-31/functions/{victim}/concurrency"],
    ["GET", "/2017-03-31/tags/arn:aws:lambda:us-east-1:000000000000:function:{victim}"],
    ["GET", "/logs?group=/aws/lambda/{victim}"],
    ["GET", "/doctor"],
    ["GET", "/metrics"],
    ["GET", "/healthz"],
    ["GET", "/rootfs/" + "0" * 64],
    ["PUT", "/rootfs/" + "0" * 64],
    ["GET", "/../../admin.sock"],
    ["CONNECT", "127.0.0.1:3001"],
    ["GET", "http://127.0.0.1:3001/2015-03-31/functions"],
]


@pytest.mark.parametrize("method, path", CONTROL, ids=[f"{method} {path}" for method, path in CONTROL])
def test_a_functions_door_controls_nothing(method, path, attack, make):
    victim = make(functions.ECHO)
    before = victim.configuration()["RevisionId"]
    [[status, text]] = attack(DOOR, [[method, path.format(victim=victim.name), {}, "{}"]]).ok()
    assert status in (0, 400, 403, 404, 405, 501) and victim.name not in text, (status, text)
    assert victim.configuration()["RevisionId"] == before


# --- packages that attack the daemon's own files ---


def own_files(daemon):
    """Hash of every file of the state directory that a package has no business with."""
    names = ("LAYOUT", "lock", "run.json")
    return {name: hashlib.sha256((daemon.state / name).read_bytes()).hexdigest() for name in names}


def entry(name, content=b"x", mode=stat.S_IFREG | 0o644):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info, content


def archive(*entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        for info, content in entries:
            package.writestr(info, content)
    return buffer.getvalue()


ESCAPE = f"/tmp/hearth-zip-escape-{os.getpid()}"
LINK = stat.S_IFLNK | 0o777
PACKAGES = {
    "a file over the catalog": [entry("../../hearth.db")],
    "a file over the lock": [entry("../../lock")],
    "a file into another tree": [entry("../" + "0" * 64 + "/index.py")],
    "an absolute name": [entry(ESCAPE)],
    "a name of the daemon's view": [entry("/run/hearth/hearth.db")],
    "a windows name": [entry("..\\..\\hearth.db")],
    "a link out": [entry("index.py"), entry("l", b"../../../hearth.db", LINK)],
    "a link to the host": [entry("index.py"), entry("l", b"/etc/shadow", LINK)],
    "a file through a link": [entry("way", b"/tmp", LINK), entry(f"way/{os.path.basename(ESCAPE)}")],
    "a link to itself": [entry("index.py"), entry("l", b"../l", LINK)],
    "a device": [entry("d", b"", stat.S_IFBLK | 0o666)],
    "a pipe": [entry("p", b"", stat.S_IFIFO | 0o666)],
    "a socket": [entry("s", b"", stat.S_IFSOCK | 0o666)],
    "a long name": [entry("n" * 300)],
    "a deep name": [entry("d/" * 300 + "f")],
    "a file that is a folder": [entry("a"), entry("a/b")],
}


@pytest.mark.parametrize("what", PACKAGES)
def test_a_package_that_reaches_out_is_refused(what, daemon, client, python):
    before = own_files(daemon)
    name = functions.unique("zip")
    code = {"ZipFile": archive(*PACKAGES[what])}
    role = "arn:aws:iam::000000000000:role/r"
    status, kind, _ = error_of(
        client.create_function, FunctionName=name, Role=role, Runtime=python, Handler="index.handler", Code=code
    )
    assert (status, kind) == (400, "InvalidParameterValueException")
    assert not os.path.exists(ESCAPE)
    assert own_files(daemon) == before
    assert error_of(client.get_function, FunctionName=name)[0] == 404


def test_a_small_package_of_very_much_is_refused(client, python):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        zeros = zipfile.ZipInfo("zeros")
        zeros.compress_type = zipfile.ZIP_DEFLATED
        with package.open(zeros, "w", force_zip64=True) as file:
            for _ in range(300):
                file.write(b"\0" * (1 << 20))
    role = "arn:aws:iam::000000000000:role/r"
    parameters = {"Role": role, "Runtime": python, "Handler": "index.handler", "Code": {"ZipFile": buffer.getvalue()}}
    status, kind, text = error_of(client.create_function, FunctionName=functions.unique("bomb"), **parameters)
    assert (status, kind) == (400, "InvalidParameterValueException") and "262144000" in text


def test_a_set_uid_file_of_a_package_is_an_ordinary_one(make):
    code = "import os, subprocess\ndef handler(event, context):\n    mode = os.stat('/var/task/su').st_mode & 0o7777\n    return [oct(mode), subprocess.run(['/var/task/su'], capture_output=True, text=True).stdout.strip()]\n"
    package = archive(
        entry("index.py", code.encode()), entry("su", b"#!/bin/sh\nid -u\n", stat.S_IFREG | 0o6755)
    )
    assert make(package).invoke({}).ok() == ["0o755", "993"]


# --- names that attack the daemon's own files ---

NAMES = ["../../hearth.db", "..", ".", "a/b", "%2e%2e%2fx", "x\0y", "x\ny", "x" * 200, "", " ", "arn:aws:lambda:us-east-1:000000000000:function:../x"]


@pytest.mark.parametrize("name", NAMES, ids=[repr(name)[:20] for name in NAMES])
def test_a_name_that_is_a_path_is_no_function(name, daemon, lenient, python):
    before = own_files(daemon)
    code = {"ZipFile": functions.package(functions.ECHO)}
    role = "arn:aws:iam::000000000000:role/r"
    parameters = {"Role": role, "Runtime": python, "Handler": "index.handler", "Code": code}
    status = error_of(lenient.create_function, FunctionName=name, **parameters)[0] if name else 400
    assert status == 400
    path = "/2015-03-31/functions/" + (name if name.isprintable() and " " not in name else "%00")
    assert wire.request(daemon.address, "GET", path).status in (200, 400, 403, 404)
    assert own_files(daemon) == before


@pytest.mark.parametrize("group", ["../../x", "..", "/../../etc", "a/../../../b", "." * 100, "#/../x", "x" * 512, "/" * 200])
def test_a_log_group_that_is_a_path_stays_below_the_logs(group, make, daemon, client):
    before = {path for path in daemon.state.iterdir()}
    code = "def handler(event, context):\n    print('logged here')\n    return 1\n"
    function = make(code, LoggingConfig={"LogGroup": group})
    assert "logged here" in function.invoke({}).log
    assert {path for path in daemon.state.iterdir()} == before
    place = os.path.realpath(daemon.state / "logs")
    # New groups appear meanwhile, and walking a tree that changes must not fail.
    for root, folders, names in os.walk(place):
        for name in (*folders, *names):
            assert os.path.realpath(os.path.join(root, name)).startswith(place + "/")


def test_a_log_line_cannot_pretend_to_be_the_platforms(make, daemon):
    """What a function prints never becomes another event's end: each of its lines stays a line of its own."""
    code = "def handler(event, context):\n    print('START RequestId: fake\\rEND\\x1b[2K\\x00\\u2028{\"timestamp\":1}')\n    return 1\n"
    function = make(code)
    function.invoke({}).ok()
    lines = daemon.cli("logs", function.name, "--json").stdout.removesuffix("\n").split("\n")
    events = [json.loads(line) for line in lines]
    assert all(event["timestamp"] > 1_600_000_000_000 for event in events)
    first = [event["message"].split(maxsplit=1)[0] for event in events]
    assert sorted(first) == ["END", "INIT_START", "REPORT", "START", "START"], events
    said = [event["message"] for event in events if "fake" in event["message"]]
    assert len(said) == 1 and said[0].rstrip("\n") == 'START RequestId: fake\rEND\x1b[2K\x00\u2028{"timestamp":1}'


FORGED = ["?sig=0", "?Expires=9999999999&Signature=00", "/../hearth.db", "?../../lock", ""]


@pytest.mark.parametrize("tail", FORGED)
def test_an_address_of_code_cannot_be_forged(tail, daemon, client, make):
    function = make(functions.ECHO)
    location = client.get_function(FunctionName=function.name)["Code"]["Location"]
    path = location.split(daemon.endpoint, 1)[1].split("?")[0]
    answer = wire.request(daemon.address, "GET", path + tail)
    assert answer.status in (400, 403, 404)
    assert b"SQLite" not in answer.body and b"PK" not in answer.body[:2]


def test_of_the_hosts_paths_only_its_own_package_is_named(attack, daemon):
    """A mount table says where a mount comes from; it names the function's own tree, and no name of it leads there."""
    code = """
def handler(event, context):
    found = []
    for path in ("/proc/self/mountinfo", "/proc/self/mounts", "/proc/1/mountinfo", "/proc/self/cgroup", "/proc/self/maps",
                 "/proc/cmdline", "/proc/swaps", "/proc/partitions", "/proc/locks", "/proc/self/environ"):
        try:
            text = open(path).read()
        except OSError:
            continue
        found += [[path, line.split()[4], line.split()[3]] for line in text.splitlines() if event in line]
    reached = [name for _, _, name in found if os.path.exists(name) or os.path.exists(os.path.dirname(name))]
    return [found, reached]
"""
    found, reached = attack(code, str(daemon.directory)).ok()
    tables = {("/proc/self/mountinfo", "/var/task"), ("/proc/1/mountinfo", "/var/task")}
    assert reached == [] and {(path, place) for path, place, _ in found} <= tables
    assert len({name for _, _, name in found}) <= 1
