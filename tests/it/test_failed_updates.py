"""What was there goes on serving while an update is made and after one failed, whatever happens to the daemon meanwhile."""

import base64
import contextlib
import hashlib
import shutil

import pytest
from test_kill_points import DROPPED, Killer

from lib import daemon as daemons
from lib import functions, waiting
from lib.disk import nothing_can_be_unpacked


def saying(word):
    return f"import os\ndef handler(event, context):\n    return [{word!r}, os.environ.get('STAGE')]\n"


@pytest.fixture
def own(start_daemon, python):
    daemon = start_daemon()
    return daemon, functions.Maker(daemon, python, daemons.ROLE)


def status_of(function):
    now = function.configuration()
    return now["LastUpdateStatus"] != "InProgress" and now


def fail_to_update(daemon, function, word):
    with nothing_can_be_unpacked(daemon):
        answer = function.client.update_function_code(
            FunctionName=function.name, ZipFile=functions.package(saying(word))
        )
        now = waiting.until(lambda: status_of(function), "the update is over")
    assert (now["State"], now["LastUpdateStatus"]) == ("Active", "Failed")
    assert now["CodeSha256"] == answer["CodeSha256"], "what was asked for is told"
    return now


def restart(daemon, how):
    getattr(daemon, how)()
    daemon.start()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_the_old_code_serves_after_an_update_that_failed(own, how):
    daemon, make = own
    function = make(saying("old"), Environment={"Variables": {"STAGE": "one"}})
    assert function.invoke({}).ok() == ["old", "one"]
    # Nothing of it in memory any more: it comes from the disk.
    restart(daemon, how)
    function.client = daemon.client()
    fail_to_update(daemon, function, "new")
    assert function.invoke({}).ok() == ["old", "one"]
    restart(daemon, how)
    function.client = daemon.client()
    assert function.configuration()["LastUpdateStatus"] == "Failed"
    assert function.invoke({}).ok() == ["old", "one"], "what no function has was collected at the start; this was not"
    # Another failure does not make the first one serve.
    fail_to_update(daemon, function, "newer")
    assert function.invoke({}).ok() == ["old", "one"]
    function.update_code(saying("newest"))
    assert function.invoke({}).ok() == ["newest", "one"]
    restart(daemon, how)
    function.client = daemon.client()
    assert function.invoke({}).ok() == ["newest", "one"]


def test_settings_that_came_with_a_failed_update_do_not_serve_alone(own):
    daemon, make = own
    function = make(saying("old"), Environment={"Variables": {"STAGE": "one"}})
    fail_to_update(daemon, function, "new")
    assert function.invoke({}).ok() == ["old", "one"]
    # The next change tries everything again that is not in force yet.
    function.update(Environment={"Variables": {"STAGE": "two"}})
    assert function.invoke({}).ok() == ["new", "two"]


def test_no_version_is_made_of_what_could_not_be_made_ready(own):
    daemon, make = own
    function = make(saying("old"))
    fail_to_update(daemon, function, "new")
    about = {"FunctionName": function.name}
    status, code, text = functions.error_of(function.client.publish_version, **about)
    assert (status, code) == (409, "ResourceConflictException") and "last update of the function failed" in text, text
    assert [it["Version"] for it in function.client.list_versions_by_function(**about)["Versions"]] == ["$LATEST"]
    assert function.invoke({}).ok() == ["old", None]
    function.update_code(saying("new"))
    assert function.client.publish_version(**about)["Version"] == "1"
    assert function.invoke({}, Qualifier="1").ok() == ["new", None]


def test_code_whose_version_failed_can_be_published_once_the_disk_is_mended(own):
    daemon, make = own
    function = make(saying("old"))
    about = {"FunctionName": function.name, "ZipFile": functions.package(saying("new")), "Publish": True}
    with nothing_can_be_unpacked(daemon):
        failed = function.client.update_function_code(**about)["Version"]
        waiting.until(lambda: status_of(function), "the update is over")
    state = function.client.get_function_configuration(FunctionName=function.name, Qualifier=failed)["State"]
    assert state == "Failed"
    made = function.client.update_function_code(**about)["Version"]
    assert made != failed
    function.wait()
    assert function.invoke({}, Qualifier=made).ok() == ["new", None]
    assert function.invoke({}).ok() == ["new", None]
    # What is there already is not made again.
    assert function.client.update_function_code(**about)["Version"] == made
    function.wait()


def test_what_failed_goes_with_its_function(own):
    daemon, make = own
    function = make(saying("old"))
    fail_to_update(daemon, function, "new")
    function.client.delete_function(FunctionName=function.name)
    again = make(saying("again"), name=function.name)
    assert again.invoke({}).ok() == ["again", None]

    def blobs():
        return [path for path in (daemon.state / "blobs").rglob("*") if path.is_file()]

    waiting.until(lambda: len(blobs()) == 1, "the packages that nobody has are gone")


POINTS = [("pwrite64", 1), ("pwrite64", 4), ("pwrite64", 8), ("fsync", 1), ("fsync", 2), ("write", 1), ("write", 2)]


@pytest.mark.own_daemon
@pytest.mark.parametrize("can_be_unpacked", [True, False])
def test_a_daemon_that_is_killed_during_an_update_serves_the_old_or_the_new_as_a_whole(own, can_be_unpacked):
    if shutil.which("strace") is None:
        pytest.skip("no strace on this machine")
    daemon, make = own
    function = make(saying("0"), Environment={"Variables": {"STAGE": "0"}})
    serves, killed = "0", 0
    for number, point in enumerate(POINTS, 1):
        word = str(number)
        code = functions.package(saying(word))
        with contextlib.ExitStack() as stack:
            if not can_be_unpacked:
                stack.enter_context(nothing_can_be_unpacked(daemon))
            killer = Killer(daemon, *point)
            try:
                client = daemon.client(timeout_s=20)
                client.update_function_code(FunctionName=function.name, ZipFile=code)
                waiting.until(lambda: status_of(function), "the update is over")
            except DROPPED:
                waiting.until(lambda: daemon.process.poll() is not None, "the daemon is dead", within_s=20)
            finally:
                killer.end()
            if not daemon.is_running():
                killed += 1
                # A start gives the directory back, so that what was begun can be finished.
                restart(daemon, "kill")
                function.client = daemon.client()
            meanwhile = function.invoke({}).ok()
            now = waiting.until(lambda: status_of(function), "the update is over")
            is_new = now["CodeSha256"] == base64.b64encode(hashlib.sha256(code).digest()).decode()
            before, serves = serves, word if is_new and now["LastUpdateStatus"] == "Successful" else serves
            assert meanwhile in ([before, "0"], [serves, "0"]), point
            assert function.invoke({}).ok() == [serves, "0"], point
    assert killed > 0
