"""Functions to put into a daemon: packages made in memory, creation, invocation, and what came back."""

import base64
import contextlib
import io
import json
import shutil
import stat
import uuid
import zipfile

import botocore.exceptions
import pytest

from . import waiting
from .daemon import ACCOUNT, REGION, ROLE

# Of a function that says nothing else.
TIMEOUT_S = 3
ZIP_TIME = (2024, 1, 1, 0, 0, 0)
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def package(files, executable=("bootstrap",)):
    """A zip archive of `files` (name → text or bytes). The same files give the same bytes."""
    if isinstance(files, str):
        files = {"index.py": files}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, ZIP_TIME)
            mode = 0o755 if name in executable else 0o644
            entry.external_attr = (stat.S_IFREG | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return buffer.getvalue()


def remove_tree(path):
    """Removes a file or a folder, whatever it is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def unique(prefix="fn"):
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def arn(name, qualifier=None):
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}" + (f":{qualifier}" if qualifier else "")


def error_of(call, *arguments, **parameters):
    """(status, code, message) of a call that must fail."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(*arguments, **parameters)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


class Result:
    """What one synchronous invocation came to."""

    def __init__(self, answer):
        meta = answer["ResponseMetadata"]
        self.status = answer["StatusCode"]
        self.headers = meta["HTTPHeaders"]
        self.request_id = meta["RequestId"]
        self.error = answer.get("FunctionError")
        self.version = answer.get("ExecutedVersion")
        self.body = answer["Payload"].read()
        encoded = answer.get("LogResult")
        self.log_bytes = base64.b64decode(encoded) if encoded else None

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def log(self):
        """Text of the log tail; bytes cut in the middle of a character are replaced."""
        assert self.log_bytes is not None, "no log tail was asked for"
        return self.log_bytes.decode(errors="replace")

    @property
    def report(self):
        """The REPORT line with its line end."""
        lines = [line for line in self.log.splitlines(keepends=True) if line.startswith("REPORT ")]
        assert len(lines) == 1, f"one REPORT line expected:\n{self.log}"
        return lines[0]

    def ok(self):
        """The answer as JSON; fails when the function failed."""
        assert self.error is None, f"the function failed: {self.body!r}"
        return self.json


class Function:
    """A function that a test created; the fixture deletes it."""

    def __init__(self, client, name):
        self.client = client
        self.name = name

    def invoke(self, payload=None, tail=True, **parameters):
        if payload is not None and not isinstance(payload, (bytes, bytearray)):
            payload = json.dumps(payload).encode()
        if payload is not None:
            parameters["Payload"] = payload
        if tail:
            parameters["LogType"] = "Tail"
        return Result(self.client.invoke(FunctionName=self.name, **parameters))

    def configuration(self):
        return self.client.get_function_configuration(FunctionName=self.name)

    def wait(self):
        """Until the function is active and no update is under way."""

        def settled():
            now = self.configuration()
            assert now["State"] != "Failed", f"creation failed: {now.get('StateReason')}"
            return now["State"] == "Active" and now.get("LastUpdateStatus") == "Successful" and now

        return waiting.until(settled, f"{self.name} is active", within_s=60)

    def update(self, **settings):
        self.client.update_function_configuration(FunctionName=self.name, **settings)
        return self.wait()

    def update_code(self, files):
        answer = self.client.update_function_code(FunctionName=self.name, ZipFile=package(files))
        self.wait()
        return answer


class Maker:
    """Creates functions and remembers them for deletion."""

    def __init__(self, daemon, python, role):
        self.daemon = daemon
        self.python = python
        self.role = role
        self.names = []

    def __call__(self, files, runtime=None, handler="index.handler", name=None, wait=True, client=None, **settings):
        client = client or self.daemon.client()
        name = name or unique()
        archive = files if isinstance(files, bytes) else package(files)
        if waiting.SLOWNESS != 1:
            settings.setdefault("Timeout", waiting.stretched(TIMEOUT_S))
        self.names.append(name)
        client.create_function(
            FunctionName=name,
            Role=self.role,
            Runtime=runtime or self.python,
            Handler=handler,
            Code={"ZipFile": archive},
            **settings,
        )
        function = Function(client, name)
        if wait:
            function.wait()
        return function

    def bootstrap(self, script, runtime="provided.al2023", **settings):
        """A function whose `bootstrap` is the shell script given."""
        files = script if isinstance(script, dict) else {"bootstrap": script}
        return self(files, runtime=runtime, handler="function.handler", **settings)

    def delete_all(self):
        client = self.daemon.client()
        for name in self.names:
            with contextlib.suppress(client.exceptions.ResourceNotFoundException):
                client.delete_function(FunctionName=name)
        self.names.clear()


@contextlib.contextmanager
def making(daemon, python):
    """A maker whose functions go when the block ends."""
    maker = Maker(daemon, python, ROLE)
    try:
        yield maker
    finally:
        maker.delete_all()


@contextlib.contextmanager
def free_name(client):
    """A name that no function has; whatever is created under it goes when the block ends."""
    name = unique()
    try:
        yield name
    finally:
        with contextlib.suppress(client.exceptions.ResourceNotFoundException):
            client.delete_function(FunctionName=name)


# Handlers that many tests use. `INSTANCE` names the environment: it lives as long as the process does.
ECHO = "def handler(event, context):\n    return event\n"
IDENTITY = """
import os, uuid
INSTANCE = uuid.uuid4().hex
COUNT = 0

def handler(event, context):
    global COUNT
    COUNT += 1
    return {"instance": INSTANCE, "count": COUNT, "stream": context.log_stream_name, "pid": os.getpid()}
"""
SLEEP = """
import time, uuid
INSTANCE = uuid.uuid4().hex

def handler(event, context):
    time.sleep(event.get("seconds", 0))
    return INSTANCE
"""
NODE_ECHO = "exports.handler = async (event) => event;\n"
SHELL_HEAD = """#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
next() {
    head=$(mktemp)
    event=$(curl -sS -D "$head" "$api/invocation/next")
    id=$(sed -n 's/^lambda-runtime-aws-request-id: *\\([^[:space:]]*\\).*/\\1/Ip' "$head")
    rm -f "$head"
}
answer() { curl -sS -o /dev/null --data-binary "$1" "$api/invocation/$id/response"; }
"""
SHELL_ECHO = SHELL_HEAD + 'while :; do next; answer "$event"; done\n'
# Promises more of its answer than it sends.
TRUNCATED = SHELL_HEAD + (
    "while :; do next\n"
    "host=${AWS_LAMBDA_RUNTIME_API%:*}; port=${AWS_LAMBDA_RUNTIME_API#*:}\n"
    "bash -c 'exec 3<>/dev/tcp/$0/$1; printf \"POST /2018-06-01/runtime/invocation/$2/response HTTP/1.1\\r\\n"
    'Host: x\\r\\nContent-Length: 100\\r\\n\\r\\n{\\"cut" >&3; exec 3>&-\' "$host" "$port" "$id"\n'
    "done\n"
)
