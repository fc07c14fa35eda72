"""Functions with a root of their own: deployed, run as asked, isolated like any other, gone without a trace."""

import hashlib
import http.client
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lib import functions, host, roots, waiting
from lib.functions import error_of

APP = ("--entry-point", "/srv/app")
CONFIG = {"EntryPoint": ["/srv/app"]}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return roots.shell_tree(tmp_path_factory.mktemp("roots") / "shell")


@pytest.fixture
def images(daemon):
    images = roots.Images(daemon)
    yield images
    images.delete_all()


@pytest.fixture(scope="module")
def app(daemon, tree):
    """One function that runs what it is told, for tests that only look."""
    images = roots.Images(daemon)
    yield images.deploy(tree, *APP)
    images.delete_all()


def unpacked(daemon):
    return {path.name for path in (daemon.state / "unpacked").iterdir() if path.name != "BOOT"}


# --- deploying ---


def test_a_tree_becomes_a_function_that_answers(app):
    assert roots.shell(app, "echo hello") == "hello\n"


def test_it_is_described_as_an_image(app):
    found = app.client.get_function(FunctionName=app.name)
    settings, code = found["Configuration"], found["Code"]
    assert settings["PackageType"] == "Image" and settings["CodeSize"] == 0
    assert "Runtime" not in settings and "Handler" not in settings
    assert settings["ImageConfigResponse"]["ImageConfig"] == {"EntryPoint": ["/srv/app"]}
    assert code["ImageUri"] == code["ResolvedImageUri"] == f"hearth-rootfs:sha256:{settings['CodeSha256']}"
    assert "Location" not in code


def test_what_is_the_same_is_not_deployed_again(images, tree, daemon):
    function = images.deploy(tree, *APP)
    again = daemon.cli("deploy", "--rootfs", tree, "--name", function.name, *APP)
    assert "unchanged" in again.stdout
    shown = daemon.cli("get", function.name).stdout
    assert "hearth-rootfs:sha256:" in shown and "/srv/app" in shown


def test_a_changed_tree_replaces_the_old_one(images, tmp_path, daemon):
    place = roots.shell_tree(tmp_path / "tree", {"srv/version": "one\n"})
    function = images.deploy(place, *APP)
    assert roots.shell(function, "cat /srv/version") == "one\n"
    old = function.configuration()["CodeSha256"]
    roots.write(place / "srv" / "version", "two\n")
    assert "updated" in daemon.cli("deploy", "--rootfs", place, "--name", function.name).stdout
    assert roots.shell(function, "cat /srv/version") == "two\n"
    waiting.until(lambda: f"{old}.root" not in unpacked(daemon), "the old tree is gone", within_s=60)


def test_settings_change_without_the_tree(images, tree, daemon):
    function = images.deploy(tree, *APP, "--env", "WHO=me")
    assert roots.shell(function, "echo $WHO $#") == "me 0\n"
    daemon.cli("deploy", "--rootfs", tree, "--name", function.name, "--command", "a b", "--command=-c", "--memory", 256)
    assert roots.shell(function, "echo $#:$1:$2:$AWS_LAMBDA_FUNCTION_MEMORY_SIZE") == "2:a b:-c:256\n"


def test_deployments_that_make_no_sense_are_refused_in_a_sentence(images, tree, tmp_path, daemon, make):
    def said(*words):
        done = daemon.cli("deploy", *words, check=False)
        return done.returncode, done.stderr

    new = functions.unique("root")
    code, text = said("--rootfs", "/", "--name", new, *APP)
    assert code == 1 and "own root" in text
    code, text = said("--rootfs", tmp_path / "missing", "--name", new, *APP)
    assert code == 1 and "cannot find" in text
    code, text = said("--rootfs", tree, "--name", new)
    assert code == 2 and "--entry-point" in text
    code, text = said("--rootfs", tree, "--name", new, *APP, "--user", "nobody-here")
    assert code == 1 and "etc/passwd" in text
    code, text = said("--rootfs", tree, "--name", new, *APP, "--user", "root")
    assert code == 1 and "uid is not 0" in text
    zipped = make(functions.ECHO)
    code, text = said("--rootfs", tree, "--name", zipped.name, *APP)
    assert code == 1 and "packageType Zip" in text
    done = daemon.cli(
        "deploy", "--rootfs", tree, "--name", new, *APP, check=False, environment={"HEARTH_STATE_DIR": str(tmp_path)}
    )
    assert done.returncode == 1 and "admin socket" in done.stderr


# --- how it starts ---


def test_it_starts_in_its_working_directory_with_its_arguments(images, tree):
    function = images.deploy(tree, "--entry-point", "./app", "--command", "first", "--command", "second", "--workdir", "/srv")
    assert roots.shell(function, "echo $PWD $1 $2") == "/srv first second\n"


def test_environments_made_in_a_hurry_have_the_tree_as_their_root(images, tree):
    """With the park empty each sandbox is handed over at the moment in which it is finished."""
    function = images.deploy(tree, *APP, "--workdir", "/bin")
    for _ in range(3):
        with ThreadPoolExecutor(24) as callers:
            said = list(callers.map(lambda _: roots.shell(function, "sleep 0.3; pwd; ls /srv"), range(24)))
        assert said == ["/bin\napp\n"] * 24
        # New environments for the next round.
        function.update(Description=functions.unique("round"))


def test_a_program_is_looked_up_in_path(images, tree):
    function = images.deploy(tree, "--entry-point", "sh", "--command", "/srv/app")
    assert roots.shell(function, "echo $PWD") == "/\n"
    own_path = images.deploy(tree, "--entry-point", "app", "--env", "PATH=/nowhere:/srv:/bin")
    assert roots.shell(own_path, "echo $PATH") == "/nowhere:/srv:/bin\n"


def test_its_environment_is_an_images(images, tree):
    function = images.deploy(tree, *APP, "--command", "index.handler")
    lines = roots.shell(function, "env").splitlines()
    seen = dict(line.split("=", 1) for line in lines if "=" in line)
    assert seen["_HANDLER"] == "index.handler"
    assert seen["AWS_EXECUTION_ENV"] == "AWS_Lambda_Image"
    assert seen["PATH"] == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert seen["LAMBDA_TASK_ROOT"] == "/var/task" and seen["AWS_LAMBDA_FUNCTION_NAME"] == function.name
    assert not {"LANG", "TZ", "LD_LIBRARY_PATH", "_LAMBDA_TELEMETRY_LOG_FD"} & set(seen)


def test_it_is_the_usual_user_unless_it_asks_for_another(app, images, tree, daemon):
    assert roots.shell(app, "id -u; id -g; id -un") == "993\n990\nsbx_user1051\n"
    named = images.deploy(tree, *APP, "--user", "ana")
    assert roots.shell(named, "id -u; id -g; id -un; touch /tmp/x; stat -c %u /tmp/x") == "1234\n567\nana\n1234\n"
    numbered = images.deploy(tree, *APP, "--user", "4000000000:7")
    assert roots.shell(numbered, "id -u; id -g") == "4000000000\n7\n"
    # On the host none of them is who it says inside.
    running = host.children_of(daemon.pid)
    users = {
        line.split()[1]
        for pid in running
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("Uid:") and "/srv/app" in Path(f"/proc/{pid}/cmdline").read_text()
    }
    assert len(users) >= 3 and not users & {"0", "993", "1234", "4000000000"}


def test_another_user_alone_is_an_update(images, tree, daemon):
    function = images.deploy(tree, *APP)
    done = daemon.cli("deploy", "--rootfs", tree, "--name", function.name, "--user", "77")
    assert "updated" in done.stdout
    assert roots.shell(function, "id -u; id -g") == "77\n77\n"


BAD_STARTS = {
    "a missing program": ({"EntryPoint": ["/missing"]}, "InvalidEntrypoint", "fork/exec /missing: no such file or directory"),
    "a program not in PATH": (
        {"EntryPoint": ["missing"]},
        "InvalidEntrypoint",
        'exec: "missing": executable file not found in $PATH',
    ),
    "a folder": ({"EntryPoint": ["/srv"]}, "InvalidEntrypoint", "fork/exec /srv: permission denied"),
    "a file that is none": ({"EntryPoint": ["/etc/passwd"]}, "InvalidEntrypoint", "fork/exec /etc/passwd: permission denied"),
    "a program of another kind": ({"EntryPoint": ["/srv/broken"]}, "InvalidEntrypoint", "fork/exec /srv/broken: exec format error"),
    "a missing working directory": (
        {"EntryPoint": ["/srv/app"], "WorkingDirectory": "/missing"},
        "InvalidWorkingDir",
        "chdir /missing: no such file or directory",
    ),
    "a working directory that is none": (
        {"EntryPoint": ["/srv/app"], "WorkingDirectory": "/srv/app"},
        "InvalidWorkingDir",
        "chdir /srv/app: not a directory",
    ),
    "a way back to the host": ({"EntryPoint": ["/../../../usr/bin/python3"]}, "InvalidEntrypoint", "no such file or directory"),
}


@pytest.fixture(scope="module")
def odd_uri(daemon, tmp_path_factory):
    place = roots.shell_tree(tmp_path_factory.mktemp("roots") / "odd", {"srv/broken": b"\x7fELF nothing"})
    tar = roots.archive(*roots.directory_entries(place))
    assert roots.upload(daemon, tar)[0] == 200
    # A tree stays for as long as a function has it.
    images = roots.Images(daemon)
    images.create(roots.uri_of(tar), CONFIG)
    yield roots.uri_of(tar)
    images.delete_all()


@pytest.mark.parametrize("what", BAD_STARTS)
def test_a_start_that_fails_is_told_as_lambda_tells_it(what, images, odd_uri, daemon):
    config, kind, text = BAD_STARTS[what]
    function = images.create(odd_uri, config)
    result = function.invoke({})
    assert result.json["errorType"] == f"Runtime.{kind}"
    assert text in result.json["errorMessage"]
    logged = waiting.until(lambda: [line for line in daemon.cli("logs", function.name).stdout.splitlines() if "IMAGE" in line], "it is logged")
    assert "IMAGE\tLaunch error: " in logged[0] and text in logged[0]
    assert f"Entrypoint: [{config['EntryPoint'][0]}]" in logged[0]


# --- the same isolation ---


def test_nothing_but_the_tree_is_there(app, tree):
    seen = set(roots.shell(app, "ls -a /").split()) - {".", ".."}
    own = {path.name for path in tree.iterdir()}
    assert seen == own | {"proc", "sys", "dev", "tmp", "etc"}
    assert roots.shell(app, "ls /sys; ls /dev | sort | tr '\n' ' '".replace("\n", "' '")).strip()
    for path in ("/usr", "/var/lib", "/home", "/root", "/mnt", "/run/hearth", "/var/task", "/var/runtime"):
        assert "No such file" in roots.shell(app, f"ls {path}"), path


def test_no_mount_of_the_host_or_of_the_base_is_left(app):
    lines = roots.shell(app, "cat /proc/self/mountinfo").splitlines()
    points = [line.split()[4] for line in lines]
    assert points.count("/") == 1
    root = next(line for line in lines if line.split()[4] == "/")
    assert ".root " in root.split(" - ")[0] + " " and " ro," in root
    allowed = ("/", "/proc", "/tmp", "/dev")
    assert all(point in allowed or point.startswith(("/proc/", "/dev/")) for point in points), points
    assert not [line for line in lines if "//deleted" in line]


def test_a_marker_of_the_host_is_not_found(app):
    marker = Path("/tmp") / f"hearth-root-marker-{os.getpid()}"
    marker.write_text("host")
    try:
        assert roots.shell(app, f"find / -name {marker.name} 2>/dev/null") == ""
        assert "host" not in roots.shell(app, f"cat {marker} /../../tmp/{marker.name} /proc/1/root/tmp/{marker.name}")
    finally:
        marker.unlink()


def test_absolute_links_lead_into_the_tree(images, tmp_path):
    place = roots.shell_tree(tmp_path / "tree", {"srv/inside": "inside\n"})
    (place / "srv" / "absolute").symlink_to("/srv/inside")
    (place / "srv" / "up").symlink_to("../../../../../../srv/inside")
    (place / "srv" / "shadow").symlink_to("/etc/shadow")
    (place / "srv" / "home").symlink_to("/root")
    function = images.deploy(place, *APP)
    assert roots.shell(function, "cat /srv/absolute /srv/up") == "inside\ninside\n"
    assert "No such file" in roots.shell(function, "cat /srv/shadow")
    assert "No such file" in roots.shell(function, "ls /srv/home/")


def test_the_root_is_read_only_and_tmp_is_not(app):
    for path in ("/x", "/srv/x", "/etc/x", "/bin/sh", "/dev/x", "/sys/x", "/proc/x"):
        assert "rror" in roots.shell(app, f"touch {path} || echo error"), path
    assert "Read-only" in roots.shell(app, "echo x > /srv/app")
    assert "rror" in roots.shell(app, "mount -o remount,rw / || echo error")
    assert roots.shell(app, "echo kept > /tmp/x; cat /tmp/x") == "kept\n"
    assert "-p no" not in roots.shell(app, "df -m /tmp")


def test_devices_of_the_sandbox_work(app):
    assert roots.shell(app, "head -c 4 /dev/zero | od -An -tx1; echo x > /dev/null; echo done") .split() == ["00"] * 4 + ["done"]
    assert roots.shell(app, "head -c 16 /dev/urandom | wc -c").strip() == "16"


def test_names_and_hosts_are_the_sandboxs(app):
    assert "169.254.100.1" in roots.shell(app, "cat /etc/resolv.conf")
    assert "localhost" in roots.shell(app, "cat /etc/hosts")
    assert roots.shell(app, "hostname; cat /etc/hostname") == "sandbox\nsandbox\n"


def test_two_functions_of_one_tree_share_it_and_nothing_else(images, tree, daemon):
    one, other = (images.deploy(tree, *APP) for _ in range(2))
    roots.shell(one, "echo mine > /tmp/secret")
    assert "No such file" in roots.shell(other, "cat /tmp/secret")
    assert roots.shell(one, "cat /tmp/secret") == "mine\n"
    digest = one.configuration()["CodeSha256"]
    assert [name for name in unpacked(daemon) if name.startswith(digest)] == [f"{digest}.root"]


def test_memory_and_time_are_limited(images, tree):
    function = images.deploy(tree, *APP, "--timeout", 2, "--memory", 128)
    assert function.invoke("sleep 60").json["errorType"] == "Sandbox.Timedout"
    function.update(Timeout=30)
    # The killed program is a child of the runtime: the kernel picks the largest.
    assert "ok" not in roots.shell(function, "dd if=/dev/zero of=/dev/null bs=400M count=1 && echo ok")


def test_an_archive_that_is_also_a_package_is_two_trees(images, make, daemon, tree):
    """One file, read as a tar and as a zip: what a package may not hold does not come in as a root, nor the reverse."""
    entries = roots.directory_entries(tree)
    tar = roots.archive(*entries, ({"name": "link", "type": tarfile.SYMTYPE, "linkname": "/etc/shadow"}, None))
    both = tar + functions.package({"index.py": functions.ECHO})
    zipped = make(both)
    assert zipped.invoke({"a": 1}).ok() == {"a": 1}
    assert roots.upload(daemon, both)[0] == 200
    function = images.create(roots.uri_of(both), CONFIG)
    assert roots.shell(function, "ls /index.py").startswith("ls:")
    digest = function.configuration()["CodeSha256"]
    assert {digest, f"{digest}.root"} <= unpacked(daemon)


# --- hostile trees ---


def outside():
    return Path("/tmp") / f"hearth-root-escape-{os.getpid()}"


SYM, HARD, DIR = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
REFUSED = {
    "a name that leads up": [({"name": f"../../../../..{outside()}"}, b"x")],
    "an absolute name": [({"name": str(outside())}, b"x")],
    "a way through an absolute link": [({"name": "way", "type": SYM, "linkname": "/tmp"}, None), ({"name": f"way/{outside().name}"}, b"x")],
    "a way through a relative link": [
        ({"name": "way", "type": SYM, "linkname": "../../../../../../tmp"}, None),
        ({"name": f"way/{outside().name}"}, b"x"),
    ],
    "a file over a link": [({"name": "f", "type": SYM, "linkname": str(outside())}, None), ({"name": "f"}, b"x")],
    "a second name of a host's file": [({"name": "f", "type": HARD, "linkname": "/etc/passwd"}, None)],
    "a second name of a file above": [({"name": "f", "type": HARD, "linkname": "../../hearth.db"}, None)],
    "a second name of a link": [({"name": "l", "type": SYM, "linkname": "/etc/shadow"}, None), ({"name": "f", "type": HARD, "linkname": "l"}, None)],
    "proc as a link": [({"name": "proc", "type": SYM, "linkname": "../../etc"}, None)],
    "dev as a link": [({"name": "dev", "type": SYM, "linkname": "/"}, None)],
    "tmp as a file": [({"name": "tmp"}, b"x")],
    "etc as a link": [({"name": "etc", "type": SYM, "linkname": "../../../etc"}, None)],
    "a file twice": [({"name": "f"}, b"1"), ({"name": "f"}, b"2")],
    "a folder below a file": [({"name": "f"}, b"1"), ({"name": "f/g"}, b"2")],
    "a long part": [({"name": "n" * 300}, b"x")],
    "a deep tree": [({"name": "d/" * 500 + "f"}, b"x")],
    "a long target": [({"name": "l", "type": SYM, "linkname": "t" * 5000}, None)],
    "a header that is too long": [({"name": "f", "pax_headers": {"comment": "x" * 100_000}}, b"x")],
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_hostile_tree_is_refused_and_leaves_nothing(what, daemon):
    before = unpacked(daemon)
    tar = roots.archive(*REFUSED[what])
    status, text = roots.upload(daemon, tar)
    assert status == 400 and "root tree" in text, text
    assert not outside().exists()
    # Trees of earlier tests may be on their way out under another name.
    waiting.until(lambda: unpacked(daemon) <= before, "nothing is left of it")
    assert roots.ask(daemon, "GET", "/rootfs/" + hashlib.sha256(tar).hexdigest())[0] in (400, 404)


HARMLESS = {
    "devices": (
        [({"name": "disk", "type": tarfile.BLKTYPE, "devmajor": 8}, None), ({"name": "mem", "type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 1}, None)],
        "ls /disk /mem 2>/dev/null | wc -l",
        "0",
    ),
    "pipes": ([({"name": "pipe", "type": tarfile.FIFOTYPE}, None)], "ls /pipe 2>/dev/null | wc -l", "0"),
    "set-uid programs": (
        [({"name": "srv/su", "mode": 0o6777}, b"#!/bin/sh\nid -u\n")],
        "stat -c %a /srv/su; /srv/su",
        "755\n993",
    ),
    "resolv.conf as a link to the host": (
        [({"name": "etc/resolv.conf", "type": SYM, "linkname": "/proc/1/root/etc/shadow"}, None)],
        "cat /etc/resolv.conf",
        "nameserver 169.254.100.1",
    ),
    "accounts as a link to the host": (
        [({"name": "etc/group", "type": SYM, "linkname": "../../../../../etc/gshadow"}, None)],
        "readlink /etc/group; cat /etc/group 2>/dev/null | wc -l",
        "../../../../../etc/gshadow\n0",
    ),
    "content of proc, dev and tmp": (
        [({"name": "proc/1/fake"}, b"x"), ({"name": "dev/null"}, b"x"), ({"name": "tmp/fake"}, b"x")],
        "ls /proc/1/fake /tmp/fake 2>/dev/null | wc -l; stat -c %F /dev/null",
        "0\ncharacter special file",
    ),
    "names with line breaks": (
        [({"name": "srv/new\nline"}, b"x"), ({"name": "srv/-rf"}, b"x"), ({"name": "srv/\x1b[2J"}, b"x")],
        "ls -1 /srv | wc -l",
        "4",
    ),
    "whiteouts": ([({"name": "srv/.wh.app"}, b""), ({"name": "srv/.wh..wh..opq"}, b"")], "ls -a /srv | grep -c wh", "2"),
    "second names": (
        [({"name": "srv/one"}, b"same\n"), ({"name": "srv/two", "type": HARD, "linkname": "srv/one"}, None)],
        "cat /srv/two; stat -c %h /srv/one",
        "same\n2",
    ),
    "a deep tree": ([({"name": "deep/" + "d/" * 100 + "f"}, b"deep\n")], "cat $(find /deep -name f)", "deep"),
}


@pytest.mark.parametrize("what", HARMLESS)
def test_a_strange_tree_is_harmless(what, daemon, images, tree):
    strange, script, expected = HARMLESS[what]
    taken = {fields["name"] for fields, _ in strange}
    entries = [entry for entry in roots.directory_entries(tree) if entry[0]["name"] not in taken]
    tar = roots.archive(*entries, *strange)
    status, text = roots.upload(daemon, tar)
    assert status == 200, text
    function = images.create(roots.uri_of(tar), CONFIG)
    assert roots.shell(function, script).strip() == expected


# --- uploads that are none ---


def test_what_is_no_archive_is_refused(daemon):
    for body in (b"", b"x", b"\0" * 100, b"PK\x03\x04" * 1000, os.urandom(5000)):
        status, text = roots.upload(daemon, body)
        assert status == 400 and "not a tar archive" in text, (body[:8], text)
    # Two empty blocks are an archive of nothing: a root with nothing in it.
    assert roots.upload(daemon, b"\0" * 1024)[0] == 200


def test_another_hash_than_announced_is_refused(daemon):
    tar = roots.archive(({"name": "f"}, b"x"))
    status, text = roots.upload(daemon, tar, digest="0" * 64)
    assert status == 400 and "another hash" in text
    assert roots.ask(daemon, "GET", "/rootfs/" + "0" * 64)[0] == 404
    for wrong in ("", "0", "../../etc/passwd", "%2e%2e", "0" * 63 + "g"):
        assert roots.ask(daemon, "PUT", f"/rootfs/{wrong}")[0] == 400, wrong
    assert roots.ask(daemon, "DELETE", "/rootfs/" + "0" * 64)[0] == 405


def test_an_upload_that_announces_too_much_is_refused_at_once(daemon):
    connection = roots.OverSocket(daemon.state / "admin.sock")
    connection.putrequest("PUT", "/rootfs/" + "0" * 64)
    connection.putheader("Content-Length", str(11 << 30))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_an_upload_that_breaks_off_leaves_nothing(daemon):
    place = daemon.state / "blobs" / "tmp"
    for _ in range(3):
        connection = roots.OverSocket(daemon.state / "admin.sock")
        connection.putrequest("PUT", "/rootfs/" + "0" * 64)
        connection.putheader("Content-Length", "1000000")
        connection.endheaders()
        connection.send(b"x" * 100_000)
        waiting.until(lambda: list(place.iterdir()), "it is arriving")
        connection.close()
        waiting.until(lambda: not list(place.iterdir()), "it is gone")


def test_no_more_than_two_arrive_at_once(daemon):
    held = []
    try:
        for _ in range(2):
            connection = roots.OverSocket(daemon.state / "admin.sock")
            connection.putrequest("PUT", "/rootfs/" + "0" * 64)
            connection.putheader("Content-Length", "1000000")
            connection.endheaders()
            connection.send(b"x")
            held.append(connection)
        place = daemon.state / "blobs" / "tmp"
        waiting.until(lambda: len(list(place.iterdir())) == 2, "both are arriving")
        assert roots.upload(daemon, roots.archive(({"name": "f"}, b"x")))[0] == 503
    finally:
        for connection in held:
            connection.close()


def test_roots_do_not_come_over_the_network(daemon):
    """Neither the API's address nor the one of metrics takes a root."""
    for host_and_port in (daemon.endpoint.removeprefix("http://"), daemon.admin.removeprefix("http://")):
        connection = http.client.HTTPConnection(host_and_port, timeout=10)
        connection.request("PUT", "/rootfs/" + "0" * 64, body=b"x")
        assert connection.getresponse().status in (403, 404)
        connection.close()


# --- the API ---


def test_the_api_creates_and_updates_functions_of_images_it_has(images, odd_uri, client):
    function = images.create(odd_uri, CONFIG, MemorySize=256)
    assert roots.shell(function, "echo hi") == "hi\n"
    config = {"EntryPoint": ["/srv/app"], "Command": ["x"], "WorkingDirectory": "/bin"}
    function.update(ImageConfig=config)
    assert roots.shell(function, "echo $PWD $1") == "/bin x\n"
    client.update_function_code(FunctionName=function.name, ImageUri=f"{odd_uri}?user=5:6")
    function.wait()
    assert client.get_function(FunctionName=function.name)["Code"]["ImageUri"] == f"{odd_uri}?user=5:6"
    assert roots.shell(function, "id -u") == "5\n"


def test_requests_that_mix_images_and_packages_are_refused(images, odd_uri, lenient, python, make):
    def create(**parameters):
        base = {"FunctionName": functions.unique("root"), "Role": roots.ROLE, "PackageType": "Image", "Code": {"ImageUri": odd_uri}}
        return error_of(lenient.create_function, **{**base, "ImageConfig": CONFIG, **parameters})

    zipped = {"ZipFile": functions.package(functions.ECHO)}
    for parameters, status, said in (
        ({"Runtime": python}, 400, "Please don't provide Handler or Runtime or Layer"),
        ({"Handler": "index.handler"}, 400, "Please don't provide Handler or Runtime or Layer"),
        ({"Code": zipped}, 400, "Please provide ImageUri"),
        ({"Code": {"ImageUri": odd_uri, **zipped}}, 400, "do not provide other FunctionCode parameters"),
        ({"PackageType": "Zip"}, 400, "Please don't provide ImageUri"),
        ({"ImageConfig": {}}, 400, "EntryPoint or Command"),
        ({"ImageConfig": {"WorkingDirectory": "/"}}, 400, "EntryPoint or Command"),
        ({"ImageConfig": {"EntryPoint": ["x" * 20_000]}}, 400, "smaller than"),
        ({"Code": {"ImageUri": "hearth-rootfs:sha256:" + "0" * 64}}, 400, "does not exist"),
        ({"Code": {"ImageUri": f"{odd_uri}?user=0:0"}}, 400, "uid is not 0"),
        ({"Code": {"ImageUri": "hearth-rootfs:sha256:../../etc"}}, 400, "is not valid"),
        ({"Code": {"ImageUri": "public.ecr.aws/lambda/python:3.12"}}, 501, "not implemented"),
    ):
        got, _, message = create(**parameters)
        assert got == status and said in message, (parameters, message)
    image, package = images.create(odd_uri, CONFIG), make(functions.ECHO)
    update = lenient.update_function_code
    assert "Please provide ImageUri" in error_of(update, FunctionName=image.name, **zipped)[2]
    assert "Please don't provide ImageUri" in error_of(update, FunctionName=package.name, ImageUri=odd_uri)[2]
    configure = lenient.update_function_configuration
    assert "packageType Zip" in error_of(configure, FunctionName=package.name, ImageConfig=CONFIG)[2]
    assert "Handler or Runtime" in error_of(configure, FunctionName=image.name, Handler="a.b")[2]


def test_the_hash_of_a_package_is_no_root(daemon, lenient, make):
    function = make({"index.py": functions.ECHO, "unique.txt": os.urandom(8).hex()})
    blob = next(
        path.name
        for path in (daemon.state / "blobs" / "sha256").iterdir()
        if path.read_bytes() == function_package(function)
    )
    parameters = {"FunctionName": functions.unique("root"), "Role": roots.ROLE, "PackageType": "Image", "ImageConfig": CONFIG}
    status, _, message = error_of(lenient.create_function, Code={"ImageUri": f"hearth-rootfs:sha256:{blob}"}, **parameters)
    assert status == 400 and "not a tar archive" in message


def function_package(function):
    import urllib.request

    location = function.client.get_function(FunctionName=function.name)["Code"]["Location"]
    return urllib.request.urlopen(location, timeout=30).read()


# --- its end, and the daemon's ---


def test_a_deleted_function_leaves_neither_tree_nor_archive(images, tmp_path, daemon, client):
    place = roots.shell_tree(tmp_path / "tree", {"srv/unique": os.urandom(8).hex()})
    function = images.deploy(place, *APP)
    assert roots.shell(function, "echo runs") == "runs\n"
    digest = function.configuration()["CodeSha256"]
    assert f"{digest}.root" in unpacked(daemon)
    client.delete_function(FunctionName=function.name)
    archive = daemon.state / "blobs" / "sha256" / digest
    waiting.until(lambda: f"{digest}.root" not in unpacked(daemon), "its tree is gone", within_s=60)
    waiting.until(lambda: not archive.exists(), "its archive is gone", within_s=60)


def test_a_version_keeps_its_tree_until_it_is_deleted(images, tmp_path, daemon, client):
    place = roots.shell_tree(tmp_path / "tree", {"srv/version": "one" + os.urandom(8).hex()})
    function = images.deploy(place, *APP, "--user", "ana")
    first = function.configuration()["CodeSha256"]
    number = client.publish_version(FunctionName=function.name)["Version"]
    roots.write(place / "srv" / "version", "two")
    daemon.cli("deploy", "--rootfs", place, "--name", function.name)
    assert roots.shell(function, "cat /srv/version") == "two"
    published = functions.Function(client, f"{function.name}:{number}")
    assert roots.shell(published, "head -c 3 /srv/version; id -un") == "oneana\n"
    again = client.publish_version(FunctionName=function.name)
    assert again["Version"] != number and again["PackageType"] == "Image"
    client.delete_function(FunctionName=function.name, Qualifier=number)
    waiting.until(lambda: f"{first}.root" not in unpacked(daemon), "the version's tree is gone", within_s=60)
    assert roots.shell(function, "cat /srv/version") == "two"


def test_functions_survive_a_restart_and_unused_roots_do_not(start_daemon, tmp_path):
    daemon = start_daemon()
    images = roots.Images(daemon)
    kept, dropped = (
        images.deploy(roots.shell_tree(tmp_path / name, {"srv/name": name}), *APP) for name in ("kept", "dropped")
    )
    assert roots.shell(dropped, "cat /srv/name") == "dropped"
    digests = [function.configuration()["CodeSha256"] for function in (kept, dropped)]
    daemon.client().delete_function(FunctionName=dropped.name)
    daemon.stop()
    # Trees are made again from what is stored.
    functions.remove_tree(daemon.state / "unpacked" / f"{digests[0]}.root")
    daemon.start()
    again = functions.Function(daemon.client(), kept.name)
    assert roots.shell(again, "cat /srv/name") == "kept"
    names = {path.name for path in (daemon.state / "blobs" / "sha256").iterdir()}
    assert names == {digests[0]}
    assert unpacked(daemon) == {f"{digests[0]}.root"}


def test_a_tree_with_a_whole_python_runs_our_client(images, tmp_path):
    """The way official images work: an interpreter, a runtime client and a handler, all from the tree."""
    handler = "import os, sys\ndef handler(event, context):\n    return [event, sys.prefix, os.getcwd(), context.function_name]\n"
    place = roots.python_tree(tmp_path / "tree", handler)
    words = [f"--entry-point={word}" for word in roots.PYTHON_IMAGE["EntryPoint"]]
    function = images.deploy(place, *words, "--command", "index.handler", "--workdir", "/var/task", "--timeout", 20)
    assert function.invoke({"a": 1}).ok() == [{"a": 1}, "/usr", "/var/task", function.name]
