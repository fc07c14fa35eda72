"""Which interpreter a function runs on, and what is said of it when that is not the one that the function names."""

import json
import os

import pytest

from lib import daemon as daemons
from lib import functions, interpreters

VERSION = "import sys\ndef handler(event, context):\n    return sys.version_info[1]\n"
SUBSTITUTE = '[runtimes]\nmissing = "substitute"\n'


def program_of(daemon, runtime):
    """The interpreter of a runtime on this host, by its path."""
    found = json.loads(daemon.cli("doctor", "--json", check=False).stdout)["interpreters"]
    release = f"Python {runtime.removeprefix('python')}."
    return next(it["program"] for it in found if it["release"].startswith(release))


def reason(daemon, name, **qualifier):
    now = daemon.client().get_function_configuration(FunctionName=name, **qualifier)
    assert now["State"] == "Active"
    return now.get("StateReasonCode"), now.get("StateReason", "")


def test_a_function_tells_of_the_interpreter_that_it_has_now(start_daemon, python):
    """The reason follows the host from start to start, whatever it was when the function was made."""
    missing = next((name for name in ("python3.14", "python3.9", "python3.13") if name not in interpreters.runtimes()), None)
    if missing is None:
        pytest.skip("this host has every Python that could be missing")
    daemon = start_daemon(config=SUBSTITUTE)
    client = daemon.client()
    client.create_function(
        FunctionName="f", Runtime=missing, Handler="index.handler", Role=daemons.ROLE,
        Code={"ZipFile": functions.package(VERSION)},
    )
    function = functions.Function(client, "f")
    function.wait()
    client.publish_version(FunctionName="f")

    def substituted():
        return all(
            code == "InvalidRuntime" and f"no interpreter for {missing}; Python " in text and "is used instead" in text
            for code, text in (reason(daemon, "f"), reason(daemon, "f", Qualifier="1"))
        )

    assert substituted()
    ran = function.invoke({}).ok()
    assert f"Python 3.{ran}." in reason(daemon, "f")[1]
    assert "is used instead" in daemon.cli("get", "f").stdout
    # The interpreter comes: what was said at creation is no longer so. Any one can be named for a runtime.
    program = program_of(daemon, python)
    daemon.stop()
    daemon.config.write_text(SUBSTITUTE + f'[runtimes."{missing}"]\ninterpreter = "{program}"\n')
    daemon.start()
    assert reason(daemon, "f") == reason(daemon, "f", Qualifier="1") == (None, "")
    assert "is used instead" not in daemon.cli("get", "f").stdout
    # It goes again, for a function that was updated while it was there.
    functions.Function(daemon.client(), "f").update(Description="made when all was well")
    daemon.stop()
    daemon.config.write_text(SUBSTITUTE)
    daemon.start()
    assert substituted()
    # Without substitution nothing is used, and that is said, too.
    daemon.stop()
    daemon.config.write_text("")
    daemon.start()
    code, text = reason(daemon, "f")
    assert code == "InvalidRuntime" and "invocations fail" in text
    assert functions.error_of(daemon.client().invoke, FunctionName="f")[:2] == (502, "InvalidRuntimeException")


def test_a_program_that_does_not_say_what_it_is_is_named_and_does_not_keep_the_daemon(start_daemon, tmp_path):
    tmp_path.chmod(0o755)
    program = tmp_path / "node"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    # A daemon that waits for it is not ready in the time that daemons have.
    daemon = start_daemon(environment={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert f"{program} did not say what it is" in daemon.errors.read_text()
    assert daemon.client().list_functions()["Functions"] == []


def test_a_service_finds_the_interpreters_below_its_users_home(start_daemon):
    """systemd sets no HOME for a unit without a user, and a PATH of the system's folders."""
    daemon = start_daemon()
    daemon.stop()
    own = daemon.command
    daemon.command = lambda: ["env", "-u", "HOME", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *own()]
    daemon.start()
    report = json.loads(daemon.cli("doctor", "--json", check=False).stdout)["daemon"]
    assert interpreters.runtimes() <= set(report["runtimes"]), report
