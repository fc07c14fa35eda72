"""The program's client verbs, and the aws CLI, against a running daemon."""

import json
import os
import signal
import subprocess

import pytest

from lib import daemon as daemons
from lib import functions, waiting
from lib.daemon import ROLE
from lib.functions import arn


@pytest.fixture
def name(daemon):
    with functions.free_name(daemon.client()) as chosen:
        yield chosen


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "index.py").write_text(
        "import helper\ndef handler(e, c):\n    print('seen')\n    return helper.answer(e)\n"
    )
    (tmp_path / "helper.py").write_text("import os\ndef answer(e):\n    return [e, os.environ.get('MODE')]\n")
    return tmp_path


def deploy(daemon, path, name, python, *more, check=True):
    words = ["deploy", path, "--name", name, "--runtime", python, "--handler", "index.handler", *more]
    return daemon.cli(*words, check=check)


# --- deploy ---


def test_deploy_creates_and_then_updates(daemon, name, python, folder):
    settings = ["--memory", "256", "--timeout", "9", "--env", "MODE=one"]
    deploy(daemon, folder, name, python, *settings)
    function = functions.Function(daemon.client(), name)
    made = function.wait()
    assert (made["MemorySize"], made["Timeout"], made["Environment"]) == (256, 9, {"Variables": {"MODE": "one"}})
    assert function.invoke(1).ok() == [1, "one"]
    (folder / "helper.py").write_text("def answer(e):\n    return 'new code'\n")
    deploy(daemon, folder, name, python)
    function.wait()
    assert function.invoke(1).ok() == "new code"
    assert function.configuration()["MemorySize"] == 256


def test_deploy_takes_a_zip(daemon, name, python, tmp_path):
    archive = tmp_path / "package.zip"
    archive.write_bytes(functions.package(functions.ECHO))
    deploy(daemon, archive, name, python)
    function = functions.Function(daemon.client(), name)
    function.wait()
    assert function.invoke(4).ok() == 4


def test_deploy_takes_a_file(daemon, name, python, tmp_path):
    (tmp_path / "index.py").write_text(functions.ECHO)
    deploy(daemon, tmp_path / "index.py", name, python)
    function = functions.Function(daemon.client(), name)
    function.wait()
    assert function.invoke(4).ok() == 4


def test_deploy_keeps_the_execute_bit(daemon, name, tmp_path):
    bootstrap = tmp_path / "bootstrap"
    bootstrap.write_text(functions.SHELL_ECHO)
    bootstrap.chmod(0o755)
    daemon.cli("deploy", tmp_path, "--name", name, "--runtime", "provided.al2023", "--handler", "x")
    function = functions.Function(daemon.client(), name)
    function.wait()
    assert function.invoke({"a": 1}).ok() == {"a": 1}


def test_deploy_of_nothing_names_the_path(daemon, name, python):
    failed = deploy(daemon, "/nonexistent/folder", name, python, check=False)
    assert failed.returncode != 0
    assert "/nonexistent/folder" in failed.stderr and "panicked" not in failed.stderr


def test_deploy_tells_the_daemons_refusal(daemon, name, folder):
    failed = deploy(daemon, folder, name, "cobol85", check=False)
    assert failed.returncode != 0
    assert "cobol85" in failed.stderr


# --- invoke ---


def test_invoke_takes_the_payload_as_argument_from_a_file_and_from_standard_input(daemon, echo, tmp_path):
    event = tmp_path / "event.json"
    event.write_text('{"from": "file"}')
    assert json.loads(daemon.cli("invoke", echo.name, '{"from": "argument"}').stdout) == {"from": "argument"}
    assert json.loads(daemon.cli("invoke", echo.name, "--payload-file", event).stdout) == {"from": "file"}
    assert json.loads(daemon.cli("invoke", echo.name, "-", stdin='{"from": "input"}').stdout) == {"from": "input"}


def test_invoke_shows_the_log_tail_when_asked_and_keeps_standard_output_clean(daemon, make):
    function = make("def handler(e, c):\n    print('from inside')\n    return 5\n")
    shown = daemon.cli("invoke", function.name, "--log")
    assert json.loads(shown.stdout) == 5
    assert "from inside" in shown.stderr and "REPORT RequestId:" in shown.stderr
    assert "from inside" not in daemon.cli("invoke", function.name).stderr


def test_the_exit_code_of_invoke_tells_failure(daemon, make):
    failed = daemon.cli("invoke", make("def handler(e, c):\n    raise Exception('no')\n").name, check=False)
    assert failed.returncode != 0
    assert json.loads(failed.stdout)["errorType"] == "Exception"
    unknown = daemon.cli("invoke", "nobody", check=False)
    assert unknown.returncode not in (0, failed.returncode)
    assert "Function not found" in unknown.stderr


# --- list, get, delete, logs ---


def test_list_and_get_as_table_and_as_json(daemon, echo):
    assert echo.name in daemon.cli("list").stdout
    listed = json.loads(daemon.cli("list", "--json").stdout)
    entries = listed["Functions"] if isinstance(listed, dict) else listed
    assert echo.name in {entry["FunctionName"] for entry in entries}
    assert echo.name in daemon.cli("get", echo.name).stdout
    got = json.loads(daemon.cli("get", echo.name, "--json").stdout)
    assert got.get("Configuration", got)["FunctionArn"] == arn(echo.name)


def test_list_shows_more_than_one_page(start_daemon, python):
    daemon = start_daemon()
    maker = functions.Maker(daemon, python, ROLE)
    for number in range(53):
        maker(functions.ECHO, name=f"many-{number:02}", wait=False)
    listed = json.loads(daemon.cli("list", "--json").stdout)
    assert len(listed["Functions"] if isinstance(listed, dict) else listed) == 53


def test_delete_deletes(daemon, make):
    function = make(functions.ECHO)
    daemon.cli("delete", function.name)
    assert daemon.cli("get", function.name, check=False).returncode != 0
    assert daemon.cli("delete", function.name, check=False).returncode != 0


def test_logs_show_all_invocations_in_order(daemon, make):
    function = make("def handler(e, c):\n    print('line', e)\n")
    ids = [function.invoke(n).request_id for n in range(3)]

    def complete():
        text = daemon.cli("logs", function.name).stdout
        return text if text.count("REPORT RequestId: ") == 3 else None

    text = waiting.until(complete, "three reports are in the log", 10)
    places = [text.index(f"START RequestId: {one}") for one in ids]
    assert places == sorted(places)
    assert [text.count(f"line {n}\n") for n in range(3)] == [1, 1, 1]
    assert "INIT_START Runtime Version: " in text


def test_logs_follow(daemon, make):
    function = make("def handler(e, c):\n    print('line', e)\n")
    function.invoke("first")
    command = [str(daemons.binary()), "logs", "-f", function.name]
    extra = {"HEARTH_ENDPOINT": daemon.endpoint, "HEARTH_STATE_DIR": str(daemon.state), "PYTHONUNBUFFERED": "1"}
    follower = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=daemons.clean_environment(extra)
    )
    try:
        os.set_blocking(follower.stdout.fileno(), False)
        seen = bytearray()

        def shows(text):
            seen.extend(follower.stdout.read() or b"")
            return text in seen

        waiting.until(lambda: shows(b"line first\n"), "the log so far is shown", 15)
        function.invoke("second")
        waiting.until(lambda: shows(b"line second\n"), "what happens next is shown", 15)
    finally:
        follower.send_signal(signal.SIGTERM)
        follower.wait(10)


# --- the rest ---


def test_doctor_says_what_the_host_offers(daemon, python):
    told = daemon.cli("doctor", check=False)
    assert told.returncode in (0, 1)
    assert python in told.stdout
    assert json.loads(daemon.cli("doctor", "--json", check=False).stdout)


def test_config_print_tells_the_origin_of_each_value(daemon, tmp_path):
    config = tmp_path / "hearth.toml"
    config.write_text('region = "eu-west-3"\n')
    environment = {"HEARTH_ACCOUNT_ID": "123456789012"}
    shown = daemon.cli("config", "print", "--origins", "--config", config, environment=environment).stdout
    region = next(line for line in shown.splitlines() if line.startswith("region"))
    account = next(line for line in shown.splitlines() if line.startswith("account_id"))
    assert "eu-west-3" in region and "hearth.toml" in region
    assert "123456789012" in account and "HEARTH_ACCOUNT_ID" in account


def test_the_version_is_told(daemon):
    assert daemon.cli("--version").stdout.startswith("hearth ")


@pytest.mark.parametrize("arguments", [["nonsense"], ["deploy"], ["invoke"], ["list", "--nonsense"], []])
def test_wrong_arguments_show_the_usage(arguments, daemon):
    failed = daemon.cli(*arguments, check=False)
    assert failed.returncode == 2
    assert "Usage" in failed.stderr + failed.stdout


def test_help_is_there_for_every_verb(daemon):
    for verb in ("serve", "deploy", "invoke", "list", "get", "delete", "logs", "why", "top", "doctor", "api", "config"):
        shown = daemon.cli(verb, "--help")
        assert "Usage" in shown.stdout


def test_without_a_daemon_the_client_says_where_it_looked():
    command = [str(daemons.binary()), "list"]
    extra = {"HEARTH_ENDPOINT": "http://127.0.0.1:9", "HEARTH_STATE_DIR": "/nonexistent"}
    failed = daemons.run(command, None, False, 30, extra)
    assert failed.returncode not in (0, 2)
    assert "127.0.0.1:9" in failed.stderr and "panicked" not in failed.stderr


# --- the aws CLI ---


def test_the_aws_cli_creates_waits_invokes_and_deletes(daemon, name, python, tmp_path):
    archive, out = tmp_path / "package.zip", tmp_path / "out.json"
    archive.write_bytes(functions.package(functions.ECHO))
    created = daemon.aws(
        "create-function", "--function-name", name, "--runtime", python, "--handler", "index.handler",
        "--role", ROLE, "--zip-file", f"fileb://{archive}", "--environment", "Variables={MODE=b}", "--tags", "t=1",
    )  # fmt: skip
    assert json.loads(created.stdout)["State"] == "Pending"
    daemon.aws("wait", "function-active-v2", "--function-name", name)
    invoked = daemon.aws(
        "invoke", "--function-name", name, "--log-type", "Tail", "--cli-binary-format", "raw-in-base64-out",
        "--payload", '{"x": [1, "ü"]}', out, check=False,
    )  # fmt: skip
    if invoked.returncode != 0:
        # Version 1 of the CLI takes payloads as they are and does not know the format flag.
        invoked = daemon.aws(
            "invoke", "--function-name", name, "--log-type", "Tail", "--payload", '{"x": [1, "ü"]}', out
        )
    assert json.loads(out.read_text()) == {"x": [1, "ü"]}
    assert json.loads(invoked.stdout)["StatusCode"] == 200
    daemon.aws("update-function-configuration", "--function-name", name, "--timeout", "11")
    daemon.aws("wait", "function-updated-v2", "--function-name", name)
    got = json.loads(daemon.aws("get-function", "--function-name", name).stdout)
    assert (got["Configuration"]["Timeout"], got["Tags"]) == (11, {"t": "1"})
    assert name in daemon.aws("list-functions", "--query", "Functions[].FunctionName").stdout
    daemon.aws("put-function-concurrency", "--function-name", name, "--reserved-concurrent-executions", "3")
    daemon.aws("delete-function", "--function-name", name)
    assert "ResourceNotFoundException" in daemon.aws("get-function", "--function-name", name, check=False).stderr


def test_the_aws_cli_pages_through_a_list(daemon, make):
    names = {make(functions.ECHO, wait=False).name for _ in range(4)}
    listed = daemon.aws("list-functions", "--page-size", "2", "--query", "Functions[].FunctionName")
    assert names <= set(json.loads(listed.stdout))
