"""`external.sh` on a suite of three tests that knows nothing of Hearth: they find the daemon by the SDK's own variables."""

import os
import subprocess
import sys

import pytest

from lib.daemon import REPOSITORY, binary

SCRIPT = REPOSITORY / "tests" / "conformance" / "external.sh"
SUITE = '''
import boto3, pytest

def test_lists_functions_of_the_region():
    client = boto3.client("lambda")
    assert client.meta.region_name == "eu-central-1"
    assert client.list_functions()["Functions"] == []
    assert boto3.client("logs").describe_log_groups()["logGroups"] == []

def test_finds_what_is_not_there():
    client = boto3.client("lambda")
    with pytest.raises(client.exceptions.ResourceNotFoundException) as caught:
        client.get_function(FunctionName="nobody")
    assert "eu-central-1:123456789012:function:nobody" in str(caught.value)

def test_asks_for_what_is_wrong():
    assert boto3.client("lambda").list_functions()["Functions"] != []

@pytest.mark.skip(reason="of another service")
def test_of_another_service():
    pass
'''


def external(*arguments, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HEARTH_"))}
    kept |= {"HEARTH_BIN": str(binary()), "HEARTH_PYTHON": sys.executable, **environment}
    return subprocess.run(
        [str(SCRIPT), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, env=kept
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it starts a daemon")
def test_a_suite_of_others_finds_its_daemon_and_is_counted(tmp_path):
    (tmp_path / "test_theirs.py").write_text(SUITE)
    where = {"HEARTH_REGION": "eu-central-1", "HEARTH_ACCOUNT_ID": "123456789012"}
    whole = external(tmp_path, "-q", **where)
    assert whole.stdout.splitlines()[-1] == "2 passed, 1 failed, 1 skipped", whole.stdout + whole.stderr
    assert whole.returncode == 1
    chosen = external(tmp_path / "test_theirs.py", "-q", "-k", "not_there", **where)
    assert chosen.stdout.splitlines()[-1] == "1 passed, 0 failed, 0 skipped", chosen.stdout + chosen.stderr
    assert chosen.returncode == 0
    assert whole.stdout.startswith("daemon: http://127.0.0.1:")


def test_what_is_not_there_is_said(tmp_path):
    missing = external(tmp_path / "nowhere")
    assert (missing.returncode, missing.stderr) == (2, f"external.sh: there is no {tmp_path}/nowhere\n")
    assert external().returncode == 2
