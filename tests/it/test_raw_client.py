"""`hearth api OPERATION` and `hearth completion`: every operation from the command line, made from the table."""

import json
import shutil
import subprocess

import pytest

from lib import daemon as daemons
from lib import functions
from lib.daemon import ROLE

HANDLER = "def handler(event, context):\n    return [event, context.function_version]\n"


@pytest.fixture
def name(daemon):
    chosen = functions.unique("raw")
    yield chosen
    daemon.cli("api", "delete-function", "--function-name", chosen, check=False)


def called(daemon, *words, **how):
    """The answer of an operation, as JSON."""
    text = daemon.cli("api", *words, **how).stdout
    return json.loads(text) if text else None


def test_a_functions_life_by_the_names_of_operations(daemon, name, python, tmp_path):
    package = tmp_path / "code.zip"
    package.write_bytes(functions.package(HANDLER))
    of = ["--function-name", name]
    settings = ["--runtime", python, "--handler", "index.handler", "--role", ROLE, "--environment", "Variables={AA=1,BB=x y}"]
    zipped = f"fileb://{package}"
    made = called(daemon, "create-function", *of, *settings, "--zip-file", zipped, "--publish", "--tags", "team=one")
    assert (made["Version"], made["Environment"]["Variables"]) == ("1", {"AA": "1", "BB": "x y"})
    daemon.client().get_waiter("function_active_v2").wait(FunctionName=name)
    weights = "AdditionalVersionWeights={1=0.0}"
    alias = ["--name", "live", "--function-version", "$LATEST"]
    alias_made = called(daemon, "create-alias", *of, "--name", "live", "--function-version", "1")
    assert alias_made["FunctionVersion"] == "1"
    refused = daemon.cli("api", "update-alias", *of, *alias, "--routing-config", weights, check=False)
    assert refused.returncode == 1 and "InvalidParameterValueException" in refused.stderr
    answer = called(daemon, "invoke", *of, "--qualifier", "live", "--payload", '{"n":1}')
    assert json.loads(answer["Payload"]) == [{"n": 1}, "1"]
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "1")
    newer = called(daemon, "update-function-code", *of, "--zip-file", zipped, "--dry-run")
    assert newer["CodeSha256"] == made["CodeSha256"]
    whole = tmp_path / "input.json"
    whole.write_text(json.dumps({"FunctionName": name, "MemorySize": 256, "Timeout": 7}))
    words = ["update-function-configuration", "--cli-input-json", f"file://{whole}", "--timeout", "8"]
    changed = called(daemon, *words)
    assert (changed["MemorySize"], changed["Timeout"]) == (256, 8)
    arn = functions.arn(name)
    assert called(daemon, "untag-resource", "--resource", arn, "--tag-keys", "team", "none") is None
    assert called(daemon, "list-tags", "--resource", arn) == {"Tags": {}}
    listed = called(daemon, "list-versions-by-function", *of, "--max-items", "10")
    assert [version["Version"] for version in listed["Versions"]] == ["$LATEST", "1"]
    called(daemon, "delete-function", *of)
    gone = daemon.cli("api", "get-function", *of, check=False)
    assert gone.returncode == 1 and "ResourceNotFoundException" in gone.stderr


def test_what_is_not_built_says_so(daemon):
    words = ["api", "list-durable-executions-by-function", "--function-name", "f"]
    refused = daemon.cli(*words, check=False)
    assert refused.returncode == 1 and "ListDurableExecutionsByFunction" in refused.stderr and "501" in refused.stderr
    assert "not in this release" in daemon.cli(*words[:2], "--help").stdout


def test_help_is_made_from_the_table(daemon):
    helped = daemon.cli("api", "update-alias", "--help").stdout
    for word in ("--function-name", "--routing-config", "--revision-id", "--cli-input-json", "PUT /2015-03-31/functions"):
        assert word in helped
    wrong = daemon.cli("api", "update-alias", "--function-name", "f", check=False)
    assert wrong.returncode == 2 and "--name" in wrong.stderr
    unknown = daemon.cli("api", "update-alia", check=False)
    assert unknown.returncode == 2 and "update-alias" in unknown.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_operations_and_options(daemon, shell, tmp_path):
    text = daemon.cli("completion", shell).stdout
    assert "create-alias" in text and "function-version" in text and "deploy" in text
    if shutil.which(shell) is None:
        return
    script = tmp_path / "completion"
    script.write_text(text)
    checked = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr


def test_bash_completes_an_operation(daemon, tmp_path):
    script = tmp_path / "completion"
    script.write_text(daemon.cli("completion", "bash").stdout)
    ask = f'source {script}; COMP_WORDS=(hearth api create-al); COMP_CWORD=2; _hearth hearth create-al api; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, timeout=60, env=daemons.clean_environment())
    assert done.stdout.split() == ["create-alias"], done.stderr
