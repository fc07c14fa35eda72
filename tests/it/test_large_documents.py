"""JSON that is small to send and large as a tree costs the daemon what was sent, not what could be made of it."""

import contextlib
import json
import os
from pathlib import Path

import pytest

from lib import functions, wire

MB = 1 << 20
LIST = "/2015-03-31/functions"
LOGS = {"X-Amz-Target": "Logs_20140328.PutLogEvents", "Content-Type": "application/x-amz-json-1.1"}


@pytest.fixture
def own(start_daemon):
    """A daemon whose memory nobody else's requests change."""
    return start_daemon(config='auth = "none"\n')


class Peak:
    """The most memory that a process had in use while something ran, above what it had before; bytes."""

    def __init__(self, pid):
        self.process = Path("/proc") / str(pid)

    def _status(self, name):
        lines = (self.process / "status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))

    @contextlib.contextmanager
    def within(self, most):
        (self.process / "clear_refs").write_text("5")
        before = self._status("VmRSS")
        yield
        taken = self._status("VmHWM") - before
        assert taken < most, f"{taken >> 20} MiB for a request that may cost {most >> 20}"


def zeros(size):
    return b"[0" + b",0" * (size // 2 - 1) + b"]"


@pytest.mark.parametrize("form", [b"%s", b'{"Layers":%s}', b'{"FunctionName":"f","x":{"y":%s}}'])
def test_a_request_of_many_values_is_refused_before_they_are_a_tree(own, form):
    body = form % zeros(66 * MB)
    # The body itself, while it grows as it arrives: twice.
    with Peak(own.pid).within(3 * len(body)):
        answer = wire.request(own.address, "POST", LIST, body)
    assert (answer.status, answer.code) == (400, "InvalidRequestContentException")
    assert "more than 100000 values" in answer.body.decode()


def test_a_request_of_much_text_is_refused_before_it_is_a_tree(own):
    body = json.dumps({"Layers": ["x" * 1000] * 60_000}).encode()
    with Peak(own.pid).within(3 * len(body)):
        answer = wire.request(own.address, "POST", LIST, body)
    assert (answer.status, answer.code) == (400, "InvalidRequestContentException")
    assert "bytes of text" in answer.body.decode()


def test_a_package_is_the_one_text_that_may_be_large(own, python):
    make = functions.Maker(own, python, "arn:aws:iam::000000000000:role/r")
    noise = os.urandom(4 * MB)
    assert make({"index.py": functions.ECHO, "noise": noise}).invoke([1]).ok() == [1]


def test_logs_of_many_values_are_refused_before_they_are_a_tree(own):
    body = b'{"logGroupName":"g","logEvents":%s}' % zeros(7 * MB)
    with Peak(own.pid).within(40 * MB):
        answer = wire.request(own.address, "POST", "/", body, LOGS)
    assert (answer.status, answer.json["__type"]) == (400, "SerializationException")




def test_what_a_function_answers_at_its_url_never_becomes_a_tree(own, python):
    make = functions.Maker(own, python, "arn:aws:iam::000000000000:role/r")
    function = make("def handler(event, context):\n    return [0] * 1_900_000\n", Timeout=30, MemorySize=512)
    client, named = function.client, {"FunctionName": function.name}
    url_id = client.create_function_url_config(**named, AuthType="NONE")["FunctionUrl"].split("/")[2].split(".")[0]
    path = f"/lambda-url/{url_id}/"
    assert wire.request(own.address, "GET", path).status == 200
    with Peak(own.pid).within(50 * MB):
        answer = wire.request(own.address, "GET", path)
    assert answer.status == 200 and len(answer.body) > 3 * MB and answer.body.startswith(b"[0")


@pytest.mark.parametrize("value", ["[" * 500 + "]" * 500, "1e400", '{"a":' * 300 + "1" + "}" * 300])
def test_any_json_can_be_answered_at_a_url(own, value):
    make = functions.Maker(own, None, "arn:aws:iam::000000000000:role/r")
    script = functions.SHELL_HEAD + f"while next; do answer '{value}'; done\n"
    function = make.bootstrap(script)
    client, named = function.client, {"FunctionName": function.name}
    url_id = client.create_function_url_config(**named, AuthType="NONE")["FunctionUrl"].split("/")[2].split(".")[0]
    answer = wire.request(own.address, "GET", f"/lambda-url/{url_id}/")
    assert (answer.status, answer.body.decode()) == (200, value)
