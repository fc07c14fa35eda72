"""The daemon as a process: its one line, its run file, its ports, its refusals and its end."""

import json
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import uuid
from itertools import pairwise
from pathlib import Path

import pytest

from lib import daemon as daemons
from lib import functions, holding, host, metrics, waiting, wire

SERVE_WITHIN_S = 30


def serve(*arguments, environment=None, within_s=SERVE_WITHIN_S):
    """Runs `hearth serve` that is expected to give up by itself."""
    return subprocess.run(
        [str(daemons.binary()), "serve", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=within_s,
        stdin=subprocess.DEVNULL,
        env=daemons.clean_environment(environment),
    )


@pytest.fixture
def state():
    directory = tempfile.mkdtemp(prefix="hearth-test-", dir="/tmp")
    os.chmod(directory, 0o755)
    yield os.path.join(directory, "state")
    shutil.rmtree(directory, ignore_errors=True)


def test_run_json_says_where_the_daemon_is(daemon):
    run = daemon.run_file()
    assert set(run) >= {"listen", "admin", "pid", "instance"}
    assert run["pid"] == daemon.pid
    assert run["listen"].removeprefix("http://") == daemon.endpoint.removeprefix("http://")
    assert run["instance"]


def test_ready_is_one_line_on_standard_output_and_sigterm_ends_with_zero(start_daemon):
    daemon = start_daemon()
    assert daemon.stop() == 0
    assert daemon.rest_of_stdout == ""


def test_sigint_ends_with_zero_too(start_daemon):
    daemon = start_daemon()
    daemon.process.send_signal(signal.SIGINT)
    assert daemon.process.wait(daemons.STOP_WITHIN_S) == 0


def test_run_json_is_there_while_the_daemon_is(start_daemon):
    daemon = start_daemon()
    assert daemon.run_file()["pid"] == daemon.pid
    daemon.stop()
    assert not (daemon.state / "run.json").exists()


def test_health_and_metrics_answer_on_the_admin_address(daemon, echo):
    echo.invoke({})
    assert health(daemon) == (200, b"ok\n")
    host, port = daemon.admin.removeprefix("http://").rsplit(":", 1)
    metrics = wire.request((host, int(port)), "GET", "/metrics")
    assert metrics.status == 200
    assert metrics.headers["content-type"].startswith("text/plain")
    assert b"# TYPE hearth_" in metrics.body


def test_the_admin_address_does_not_speak_the_control_api(daemon):
    host, port = daemon.admin.removeprefix("http://").rsplit(":", 1)
    assert wire.request((host, int(port)), "GET", "/2015-03-31/functions").status == 404


def test_the_admin_socket_is_for_owner_and_group_only(daemon):
    mode = os.stat(daemon.state / "admin.sock").st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


def test_the_state_directory_is_closed_to_others(daemon):
    assert stat.S_IMODE(os.stat(daemon.state).st_mode) == 0o700
    assert (daemon.state / "hearth.db").is_file()


def test_the_daemon_has_given_up_root(daemon):
    status = (Path("/proc") / str(daemon.pid) / "status").read_text()
    uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
    assert "0" not in uids, status


def test_a_second_daemon_on_the_same_state_directory_is_refused(start_daemon):
    first = start_daemon()
    second = serve("--state-dir", first.state, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
    assert second.returncode not in (0, None)
    assert second.stdout == ""
    assert str(first.state) in second.stderr or "state directory" in second.stderr
    assert first.client().list_functions()["Functions"] == []


def test_a_port_in_use_is_named(start_daemon, state):
    first = start_daemon()
    taken = first.endpoint.removeprefix("http://")
    second = serve("--state-dir", state, "--listen", taken, "--admin-listen", "127.0.0.1:0")
    assert second.returncode != 0
    assert taken in second.stderr


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:3001"])
def test_an_address_beyond_loopback_is_refused(address, state):
    refused = serve("--state-dir", state, "--listen", address, "--admin-listen", "127.0.0.1:0")
    assert refused.returncode not in (0, None)
    assert refused.stdout == ""
    assert "auth" in refused.stderr and "loopback" in refused.stderr


def test_an_address_beyond_loopback_needs_auth_none_written_out_and_is_logged():
    """In a network namespace of its own, so that nobody else can reach the open door."""
    daemon = daemons.Daemon(config='auth = "none"\n')
    words = ["0.0.0.0:0" if last == "--listen" else word for last, word in pairwise(["", *daemon.command()])]
    alone = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    daemon.command = lambda: [*alone, *words]
    try:
        daemon.start()
        assert daemon.stop() == 0
        assert "none" in daemon.stderr_tail() and "WARN" in daemon.stderr_tail().upper()
    finally:
        daemon.kill()
        daemon.remove()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--no-such-flag"], "no-such-flag"),
        (["--listen", "nonsense"], "nonsense"),
        (["--listen", "127.0.0.1:99999"], "99999"),
        (["--config", "/nonexistent/hearth.toml"], "/nonexistent/hearth.toml"),
    ],
)
def test_a_bad_flag_is_named_and_the_exit_code_is_not_zero(arguments, word, state):
    refused = serve("--state-dir", state, *arguments)
    assert refused.returncode not in (0, None) and refused.returncode < 128
    assert refused.stdout == ""
    assert word in refused.stderr
    assert "panicked" not in refused.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lisen = '127.0.0.1:1'\n", ["lisen", "listen"]),
        ("listen = 5\n", ["listen"]),
        ("[limits]\naccount_concurrency = 'many'\n", ["account_concurrency"]),
        ("this is no toml", ["hearth.toml"]),
    ],
)
def test_a_wrong_configuration_file_is_refused_with_the_key(text, words, state, tmp_path):
    config = tmp_path / "hearth.toml"
    config.write_text(text)
    refused = serve("--state-dir", state, "--config", config)
    assert refused.returncode not in (0, None)
    assert "panicked" not in refused.stderr
    for word in words:
        assert word in refused.stderr


def test_without_privileges_the_daemon_says_what_is_missing(tmp_path):
    program = tmp_path / "hearth"
    shutil.copy(daemons.binary(), program)
    for place in (tmp_path, *tmp_path.parents[:-2]):
        os.chmod(place, 0o755)
    done = subprocess.run(
        [str(program), "serve", "--state-dir", "/tmp/hearth-never", "--listen", "127.0.0.1:0"],
        user=65534,
        group=65534,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=SERVE_WITHIN_S,
        env=daemons.clean_environment(),
    )
    assert done.returncode not in (0, None)
    assert done.stdout == ""
    assert "root" in done.stderr or "CAP_" in done.stderr, done.stderr


def test_region_and_account_come_from_the_environment(start_daemon, python):
    daemon = start_daemon(environment={"HEARTH_REGION": "eu-central-1", "HEARTH_ACCOUNT_ID": "123456789012"})
    client = daemon.client(region="eu-central-1")
    name = functions.unique()
    created = client.create_function(
        FunctionName=name,
        Role="arn:aws:iam::123456789012:role/r",
        Runtime=python,
        Handler="index.handler",
        Code={"ZipFile": functions.package(functions.ECHO)},
    )
    assert created["FunctionArn"] == f"arn:aws:lambda:eu-central-1:123456789012:function:{name}"


def test_a_restart_keeps_functions_and_their_code(start_daemon, python):
    daemon = start_daemon()
    maker = functions.Maker(daemon, python, daemons.ROLE)
    kept = maker("def handler(event, context):\n    return 'still here'\n")
    revision = kept.configuration()["RevisionId"]
    daemon.stop()
    daemon.start()
    again = functions.Function(daemon.client(), kept.name)
    assert again.wait()["RevisionId"] == revision
    assert again.invoke({}).ok() == "still here"


def test_draining_finishes_what_runs_and_takes_nothing_new(start_daemon, python):
    daemon = start_daemon()
    make = functions.Maker(daemon, python, daemons.ROLE)
    slow = make(holding.CODE, Timeout=60)
    with holding.under_way(slow) as (running,):
        daemon.process.send_signal(signal.SIGTERM)
        waiting.until(lambda: health(daemon) == (503, b"draining\n"), "it says that it drains")
        refused = functions.error_of(slow.invoke, {})
        assert refused == (500, "ServiceException", "The daemon is shutting down; try again when it is back.")
        # That is no throttle, and nothing that the log would call a fault.
        last = ("--function", slow.name, "--last", "1")
        told = json.loads(daemon.cli("why", *last, "--json").stdout)["records"][0]
        assert (told["outcome"], told["throttled_by"]) == ("shutting-down", None)
        words = daemon.cli("why", told["request_id"]).stdout
        assert "refused (500)" in words and "429" not in words
        assert json.loads(daemon.cli("top", "--once", "--json").stdout)["recent"]["throttles"] == {}
        throttles = [labels for name, labels in metrics.read(daemon) if name == "hearth_throttles_total"]
        assert throttles == []
        assert not running.done() and daemon.is_running()
    assert daemon.process.wait(daemons.STOP_WITHIN_S) == 0
    assert uuid.UUID(running.result().ok())
    assert "request failed" not in daemon.errors.read_text()


def health(daemon):
    host, port = daemon.admin.removeprefix("http://").rsplit(":", 1)
    answer = wire.request((host, int(port)), "GET", "/healthz")
    return answer.status, answer.body


def test_nothing_of_a_daemon_is_left_after_sigterm(start_daemon, python):
    daemon = start_daemon()
    maker = functions.Maker(daemon, python, daemons.ROLE)
    maker(functions.ECHO).invoke({}).ok()
    pid = daemon.pid
    family = host.children_of(pid)
    assert family, "the daemon has no helper process"
    assert daemon.stop() == 0
    waiting.until(lambda: not (family & set(host.processes())), "the helpers are gone", within_s=10)
