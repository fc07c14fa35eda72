"""The SAM CLI, unmodified: what it builds runs here, and `sam remote invoke` and `sam logs` find it.

`sam deploy` speaks CloudFormation, which is not here; `hearth deploy` takes what `sam build` leaves. The CLI has
dependencies of its own that it pins, so it is installed once below `target/official`, apart from the tests' own.
"""

import json
import os
import subprocess
import sys

import pytest

from lib import functions, interpreters, official, waiting
from lib.daemon import clean_environment

AWS_SAM_CLI = "1.170.0"
# `sam build` wants the interpreter that it builds for.
RUNTIME = f"python3.{sys.version_info.minor}"
TEMPLATE = f"""
AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: {RUNTIME}
      Handler: app.handler
      CodeUri: src/
"""
HANDLER = """
import os

def handler(event, context):
    print("hello from sam,", event.get("name"))
    return {"greeting": os.environ["GREETING"], "event": event}
"""


def install(folder):
    official.run([sys.executable, "-m", "venv", folder / "venv"])
    pip = [folder / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    official.run([*pip, f"aws-sam-cli=={AWS_SAM_CLI}"])


@pytest.fixture(scope="module")
def programs():
    if RUNTIME not in interpreters.runtimes():
        pytest.skip(f"no {RUNTIME} for functions on this host")
    return official.installed(f"sam-{AWS_SAM_CLI}-{RUNTIME}", install) / "venv" / "bin"


@pytest.fixture
def sam(programs, daemon, tmp_path):
    """Runs the CLI in a project of its own, against the shared daemon."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.py").write_text(HANDLER)
    (tmp_path / "src" / "requirements.txt").touch()
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    environment = clean_environment({
        "AWS_ENDPOINT_URL": daemon.endpoint, "SAM_CLI_TELEMETRY": "0", "HOME": str(tmp_path),
        "PATH": f"{programs}:{os.environ['PATH']}",
    })

    def run(*arguments):
        done = subprocess.run(
            [programs / "sam", *arguments], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=waiting.stretched(180),
        )
        assert done.returncode == 0, f"sam {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done

    return run


def test_what_sam_builds_is_deployed_invoked_and_read(sam, daemon, tmp_path):
    name = functions.unique("sam")
    sam("validate", "--lint")
    sam("build")
    built = tmp_path / ".aws-sam" / "build" / "Hello"
    daemon.cli("deploy", built, "--name", name, "--runtime", RUNTIME, "--handler", "app.handler", "--env", "GREETING=Hi")
    try:
        # By ARN: what is only a name, SAM looks up in CloudFormation.
        ran = sam("remote", "invoke", functions.arn(name), "--event", '{"name": "Ada"}')
        assert json.loads(ran.stdout) == {"greeting": "Hi", "event": {"name": "Ada"}}
        assert "hello from sam, Ada" in ran.stderr and "REPORT RequestId" in ran.stderr
        whole = json.loads(sam("remote", "invoke", functions.arn(name), "--event", "{}", "--output", "json").stdout)
        assert (whole["StatusCode"], whole["ExecutedVersion"]) == (200, "$LATEST")
        read = sam("logs", "--cw-log-group", f"/aws/lambda/{name}", "--filter", "hello").stdout
        assert "hello from sam, Ada" in read and "hello from sam, None" in read and "REPORT" not in read
    finally:
        daemon.client().delete_function(FunctionName=name)
