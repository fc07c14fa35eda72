"""AWS's own runtime clients, unchanged: `awslambdaric`, `aws-lambda-ric` and the `lambda_runtime` crate as bootstraps.

They are the judges here: what they ask of the Runtime API, of the file system and of the kernel has to be there. The
same questions to each, and what a caller sees of the answers, down to the error documents that these clients write.
"""

import base64
import json
import re

import pytest

from lib import official
from lib.functions import UUID, arn

SYNC_LIMIT = 6 * 1_048_576
RESPONSE_LIMIT = SYNC_LIMIT + 100

# What tells the clients apart: the handler's name, and how an error class of one's own is reported.
CLIENTS = {"python": "handler.handler", "node": "index.handler", "rust": "bootstrap"}
STACK = {"python": "stackTrace", "node": "trace", "rust": None}


class Client:
    def __init__(self, name, make):
        self.name = name
        self.archive = getattr(official, name)()
        self.make = make

    def __call__(self, handler=None, start=None, **settings):
        if start:
            settings["Environment"] = {"Variables": {"START": start}}
        return self.make(
            self.archive,
            runtime="provided.al2023",
            handler=handler or CLIENTS[self.name],
            **{"Timeout": 20, "MemorySize": 256} | settings,
        )


@pytest.fixture(params=CLIENTS)
def client_of(request, make):
    return Client(request.param, make)


def do(what, value=None):
    return {"do": what, "value": value}


# --- what goes well ---


@pytest.mark.parametrize("value", [None, True, -1.5, "ü\U0001f600\u2028", ["a", {"b": {}}]], ids=repr)
def test_values_come_back_as_they_went(value, client_of):
    function = client_of()
    assert function.invoke(do("echo", value)).ok() == value


def test_the_context_is_complete(client_of, daemon):
    function = client_of(Timeout=10, MemorySize=192)
    # All members, and the variables under both names: the crate ends the process over a context that lacks one of
    # these, and reads `environment` where the other clients read `env`.
    members = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")
    client = {"custom": {"k": "v"}, "client": {name: name[:3] for name in members}}
    client |= {"env": {"e": "f"}, "environment": {"e": "f"}}
    encoded = base64.b64encode(json.dumps(client).encode()).decode()
    begun_ms = int(function.invoke(do("echo", 0)).ok())
    result = function.invoke(do("context"), ClientContext=encoded, Qualifier="$LATEST")
    seen = result.ok()
    if client_of.name == "rust":
        # Milliseconds since the epoch, as the header has them; a function's own clock judges elsewhere.
        assert seen.pop("deadline_ms") > 1_700_000_000_000 + begun_ms
    else:
        assert 1_000 < seen.pop("left_ms") <= 10_000
    trace = seen.pop("trace")
    assert re.match(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}(;|$)", trace)
    assert trace.split(";")[0] == result.headers["x-amzn-trace-id"].split(";")[0]
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", seen.pop("stream"))
    assert re.fullmatch(UUID, seen["request_id"])
    assert seen == {
        "request_id": result.request_id,
        "arn": arn(function.name, "$LATEST"),
        "name": function.name,
        "version": "$LATEST",
        "memory": 192,
        "group": f"/aws/lambda/{function.name}",
        "client": {"custom": {"k": "v"}, "env": {"e": "f"}, "installation": "ins"},
        # Only callers with a Cognito identity have one, and there are none here.
        "identity": None,
    }


def test_without_a_client_context_there_is_none(client_of):
    assert client_of().invoke(do("context")).ok()["client"] is None


def test_a_warm_environment_serves_again(client_of):
    function = client_of()
    first, second = (function.invoke(do("count")) for _ in range(2))
    assert "Init Duration" in first.report and "Init Duration" not in second.report
    assert (first.ok()["count"], second.ok()["count"]) == (1, 2)
    assert first.ok()["instance"] == second.ok()["instance"]


def test_what_a_function_prints_is_logged_with_its_invocation(client_of):
    function = client_of()
    function.invoke(do("print", "first"))
    log = function.invoke(do("print", "second")).log
    assert "printed second\n" in log and "logged second\n" in log and "first" not in log
    start, end = log.index("START RequestId"), log.index("END RequestId")
    assert start < log.index("printed second") < end and start < log.index("logged second") < end


def test_the_largest_event_goes_in(client_of):
    function = client_of(MemorySize=512)
    head, tail = b'{"do":"length","value":"', b'"}'
    text = b"a" * (SYNC_LIMIT - len(head) - len(tail))
    assert function.invoke(head + text + tail).ok() == len(text)


def test_the_largest_answer_comes_out(client_of):
    function = client_of(MemorySize=512)
    assert len(function.invoke(do("large", RESPONSE_LIMIT - 2)).body) == RESPONSE_LIMIT


# --- what goes wrong ---


def test_a_larger_answer_is_too_large_and_the_next_one_is_served(client_of):
    function = client_of(MemorySize=512)
    result = function.invoke(do("large", RESPONSE_LIMIT))
    assert result.error == "Unhandled"
    assert result.json == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    }
    assert function.invoke(do("echo", 1)).ok() == 1


def test_an_error_of_the_handler_is_relayed_as_the_client_writes_it(client_of):
    function = client_of()
    result = function.invoke(do("fail", "boom ü"))
    assert (result.status, result.error) == (200, "Unhandled")
    document = result.json
    assert (document["errorType"], document["errorMessage"]) == ("Boom", "boom ü")
    if stack := STACK[client_of.name]:
        assert document[stack] and "handler" in "".join(document[stack])
    assert function.invoke(do("count")).ok()["count"] == 2, "the environment goes on"


# Every value of the crate can be written.
@pytest.mark.parametrize(
    ("name", "error_types", "text"),
    [
        ("python", ["Runtime.MarshalError"], "Unable to marshal response"),
        # 3.x and 4.x.
        ("node", ["Error", "Runtime.JSONStringifyError"], "Unable to stringify response body"),
    ],
)
def test_an_answer_that_cannot_be_written_is_an_error(name, error_types, text, make):
    result = Client(name, make)().invoke(do("unserialisable"))
    assert result.error == "Unhandled"
    assert result.json["errorType"] in error_types and text in result.json["errorMessage"]


def test_a_panic_of_the_rust_handler_is_an_error_and_not_an_exit(make):
    function = Client("rust", make)()
    result = function.invoke(do("panic", "out of luck"))
    assert result.error == "Unhandled"
    assert "out of luck" in result.json["errorMessage"]
    assert function.invoke(do("count")).ok()["count"] == 2


def test_a_slow_handler_times_out_and_the_next_one_is_served(client_of):
    function = client_of(Timeout=2)
    function.invoke(do("echo"))
    result = function.invoke(do("sleep", 60))
    assert result.error == "Unhandled"
    assert result.json == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {result.request_id} Error: Task timed out after 2.00 seconds",
    }
    assert function.invoke(do("count")).ok()["count"] == 1, "the client was started again"


def test_a_handler_that_ends_the_process_is_an_exit(client_of):
    result = client_of().invoke(do("exit", 3))
    assert result.error == "Unhandled"
    assert result.json == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {result.request_id} Error: Runtime exited with error: exit status 3",
    }


def test_an_error_while_loading_is_the_answer(client_of):
    function = client_of(start="raise")
    for _ in range(2):
        result = function.invoke(do("echo"))
        assert result.error == "Unhandled"
        document = result.json
        if client_of.name == "rust":
            # The program returned from main before the crate had a say.
            assert document["errorType"] == "Runtime.ExitError"
            assert document["errorMessage"].endswith("Error: Runtime exited with error: exit status 1")
        else:
            wanted = {"python": "RuntimeError", "node": "RangeError"}
            assert (document["errorType"], document["errorMessage"]) == (wanted[client_of.name], "too early")


def test_a_process_that_ends_while_it_starts_is_an_exit(client_of):
    result = client_of(start="exit").invoke(do("echo"))
    assert result.json["errorType"] == "Runtime.ExitError"
    assert result.json["errorMessage"].endswith("Error: Runtime exited with error: exit status 7")


@pytest.mark.parametrize(
    ("name", "handler", "error_type", "text"),
    [
        ("python", "missing.handler", "Runtime.ImportModuleError", "No module named 'missing'"),
        ("python", "handler.missing", "Runtime.HandlerNotFound", "Handler 'missing' missing on module 'handler'"),
        ("python", "handler", "Runtime.MalformedHandlerName", "Bad handler 'handler'"),
        ("node", "missing.handler", "Runtime.ImportModuleError", "Cannot find module 'missing'"),
        ("node", "index.missing", "Runtime.HandlerNotFound", "index.missing is undefined or not exported"),
        ("node", "index", "Runtime.MalformedHandlerName", "Bad handler"),
    ],
)
def test_a_handler_that_is_not_there_is_reported(name, handler, error_type, text, make):
    result = Client(name, make)(handler=handler).invoke(do("echo"))
    assert result.error == "Unhandled"
    assert result.json["errorType"] == error_type
    assert text in result.json["errorMessage"]
