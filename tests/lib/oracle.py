"""Runs a scenario of `tests/oracle` under AWS's runtime interface emulator and under a daemon; compares what was seen.

The emulator listens on free ports of 127.0.0.1 and is ended, with what it started, by the group that was made for it.
"""

import fnmatch
import functools
import hashlib
import http.client
import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from . import functions, waiting
from .daemon import REGION, REPOSITORY

HERE = REPOSITORY / "tests" / "oracle"
CACHE = REPOSITORY / "target" / "oracle"
WHEEL = "aws-sam-cli==1.170.0"
# Of the binaries in that wheel. Another hash is another oracle.
SHA256 = {
    "x86_64": "6b1e686e62ab2baf5759c412c4864276ef2a88b094fca53ec070637ccba9b9a5",
}
EVENT = {"a": 1}
CLIENT_CONTEXT = {"custom": {"k": "v"}}
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
TIMEOUT_S = 60
UUID = re.compile(functions.UUID)


@functools.cache
def emulator():
    """Path of the emulator's binary."""
    machine = platform.machine()
    if machine not in SHA256:
        pytest.skip(f"no emulator is recorded for {machine}")
    binary = CACHE / f"aws-lambda-rie-{machine}-{SHA256[machine][:12]}"
    if not binary.is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        done = subprocess.run([*pip, "--dest", CACHE, WHEEL], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        (wheel,) = CACHE.glob(f"aws_sam_cli-{WHEEL.split('==')[1]}-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(f"samcli/local/rapid/aws-lambda-rie-{machine}")
        assert hashlib.sha256(content).hexdigest() == SHA256[machine], "the wheel holds another emulator"
        part = binary.with_suffix(".part")
        part.write_bytes(content)
        part.chmod(0o755)
        part.rename(binary)
        wheel.unlink()
    return binary


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Seen:
    """What a scenario came to: an observation for each call, in order, and what each caller was answered."""

    def __init__(self, output, answers):
        found = [json.loads(line.split("OBS ", 1)[1]) for line in output.splitlines() if "OBS {" in line]
        # A runtime that ended may have been started again; what it sees then is another story.
        first = found[0]["run"] if found else None
        self.calls = {one.pop("label"): one for one in found if one.pop("run") == first}
        self.answers = answers

    def facts(self):
        """All of it as one table: place → masked value."""
        table = {}
        for label, one in self.calls.items():
            for name, value in one.pop("headers", {}).items():
                table[f"{label} header {name}"] = mask(name, value)
            for what, value in one.items():
                table[f"{label} {what}"] = mask(what, value)
        for number, answer in enumerate(self.answers, 1):
            table[f"caller {number}"] = mask("body", answer)
        return table


def mask(name, value):
    if name == "date":
        return "<date>"
    if name == "lambda-runtime-deadline-ms":
        return "<milliseconds>"
    if name == "lambda-runtime-invoked-function-arn":
        # Name and account are the implementation's to choose.
        return re.sub(r"^arn:aws:lambda:[a-z0-9-]+:\d{12}:function:[A-Za-z0-9_-]+", "<arn>", value)
    if name == "lambda-runtime-trace-id":
        # What the caller did not give is the platform's to make up.
        return "<the caller's root>" if value.startswith(TRACE.split(";")[0]) else "<a root>"
    if not isinstance(value, str):
        return value
    if len(value) > 2_000:
        return f"<{len(value)} characters>"
    return UUID.sub("<id>", value)


def caller_headers(scenario):
    if not scenario.get("headers"):
        return {}
    context = functions.base64.b64encode(json.dumps(CLIENT_CONTEXT).encode()).decode()
    return {"X-Amz-Client-Context": context, "X-Amzn-Trace-Id": TRACE}


def invoke(address, name, scenario):
    """The bytes that a caller gets."""
    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT_S + 30)
    try:
        path = f"/2015-03-31/functions/{name}/invocations"
        headers = {"Content-Type": "application/json"} | caller_headers(scenario)
        connection.request("POST", path, json.dumps(EVENT), headers)
        return connection.getresponse().read().decode(errors="replace")
    finally:
        connection.close()


def expected_calls(scenario):
    return sum("call" in step for step in scenario["steps"])


def under_emulator(name, scenario):
    """Runs the scenario under the emulator."""
    front, api = free_port(), free_port()
    timeout = scenario.get("timeout", TIMEOUT_S)
    environment = {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "AWS_REGION": REGION,
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout),
        "SCENARIO": name,
        "SCENARIO_TIMEOUT": str(timeout),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    addresses = ["--runtime-interface-emulator-address", f"127.0.0.1:{front}", "--runtime-api-address", f"127.0.0.1:{api}"]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [emulator(), *addresses, HERE / "bootstrap"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=HERE,
            start_new_session=True,
        )

        def text():
            output.seek(0)
            return output.read().decode(errors="replace")

        try:
            waiting.until(lambda: listens(front), "the emulator listens")
            answers = [invoke(("127.0.0.1", front), "function", scenario) for _ in range(scenario["events"])]
            wanted = expected_calls(scenario)
            waiting.until(lambda: text().count("OBS {") >= wanted, lambda: f"{wanted} calls are told:\n{text()}")
            return Seen(text(), answers)
        finally:
            process.terminate()
            try:
                process.wait(10)
            finally:
                # The runtime is in a group of its own making; the session's own group is ended as a whole.
                kill_session(process.pid)
                process.wait()


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def kill_session(session):
    """Ends every process of the session that was made for one emulator, its runtime included."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getsid(int(entry.name)) == session:
                    os.kill(int(entry.name), signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue


def under_hearth(name, scenario, daemon, make):
    """Runs the scenario as a function."""
    timeout = scenario.get("timeout", TIMEOUT_S)
    function = make(
        functions.package({file: (HERE / file).read_bytes() for file in ("bootstrap", "scenarios.py")}),
        runtime="provided.al2023",
        handler="function.handler",
        Timeout=timeout,
        Environment={"Variables": {"SCENARIO": name, "SCENARIO_TIMEOUT": str(timeout)}},
    )
    answers = [invoke(daemon.address, function.name, scenario) for _ in range(scenario["events"])]
    wanted = expected_calls(scenario)

    def text():
        return daemon.cli("logs", function.name).stdout

    if wanted:
        waiting.until(lambda: text().count("OBS {") >= wanted, lambda: f"{wanted} calls are told:\n{text()}")
    return Seen(text() if wanted else "", answers)


def differences(emulated, ours):
    """place → (the emulator's, ours), for all places where they differ; `(nothing)` for what one side lacks."""
    theirs, own = emulated.facts(), ours.facts()
    places = [*theirs, *(place for place in own if place not in theirs)]
    pairs = {place: (theirs.get(place, "(nothing)"), own.get(place, "(nothing)")) for place in places}
    return {place: pair for place, pair in pairs.items() if pair[0] != pair[1]}


@functools.cache
def listed():
    """The entries of `differences.toml`."""
    return tomllib.loads((HERE / "differences.toml").read_text())["difference"]


def covers(entry, name, place, pair):
    """Whether a listed difference is this one. Places may be patterns; values are compared where they are given."""
    if not (fnmatch.fnmatchcase(name, entry.get("scenario", "*")) and fnmatch.fnmatchcase(place, entry["place"])):
        return False
    return all(side not in entry or entry[side] == value for side, value in zip(("emulator", "hearth"), pair))
