"""Synchronous invocation as a caller sees it: types, headers, payloads, reuse, concurrency, environment variables."""

import base64
import concurrent.futures
import json
import re

import botocore.exceptions
import pytest

from lib import functions, holding, interpreters, waiting, wire
from lib.daemon import ACCOUNT, REGION, ROLE
from lib.functions import arn, error_of

SYNC_LIMIT = 6 * 1024 * 1024
RESPONSE_LIMIT = SYNC_LIMIT + 100


def path(name):
    return f"/2015-03-31/functions/{name}/invocations"


# --- types ---


def test_the_answer_carries_the_executed_version_and_no_error(echo):
    result = echo.invoke({"a": [1, 2.5, None, "ü"]})
    assert (result.status, result.error, result.version) == (200, None, "$LATEST")
    assert result.json == {"a": [1, 2.5, None, "ü"]}
    assert result.headers["x-amz-executed-version"] == "$LATEST"
    assert result.headers["content-type"] == "application/json"
    assert "x-amz-function-error" not in result.headers


def test_a_dry_run_answers_204_without_running(client, make):
    function = make(functions.IDENTITY)
    answer = client.invoke(FunctionName=function.name, InvocationType="DryRun")
    assert answer["StatusCode"] == 204
    assert answer["Payload"].read() == b""
    assert function.invoke({}).ok()["count"] == 1


def test_a_dry_run_of_an_unknown_function_is_not_found(client):
    assert error_of(client.invoke, FunctionName="nobody", InvocationType="DryRun")[0] == 404


def test_event_is_not_built_and_says_so(client, echo):
    status, code, message = error_of(client.invoke, FunctionName=echo.name, InvocationType="Event")
    assert status == 501
    assert "Event" in message


def test_no_log_comes_without_asking(echo):
    assert echo.invoke({}, tail=False).log_bytes is None


def test_the_request_id_of_the_caller_is_that_of_the_function(make):
    function = make("def handler(event, context):\n    return context.aws_request_id\n")
    result = function.invoke({})
    assert result.ok() == result.headers["x-amzn-requestid"]
    assert re.fullmatch(functions.UUID, result.ok())


def test_two_invocations_have_two_request_ids(echo):
    assert echo.invoke({}).request_id != echo.invoke({}).request_id


def test_the_answer_carries_a_trace_id(echo):
    trace = echo.invoke({}).headers["x-amzn-trace-id"]
    assert re.match(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}(;|$)", trace)


# --- context ---

CONTEXT = """
def handler(event, context):
    left = context.get_remaining_time_in_millis()
    client = context.client_context
    return {
        "name": context.function_name,
        "version": context.function_version,
        "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb,
        "group": context.log_group_name,
        "stream": context.log_stream_name,
        "left": left,
        "client": client and {"custom": client.custom, "env": client.env, "title": client.client.app_title},
    }
"""


def test_the_context_object_is_complete(make):
    function = make(CONTEXT, Timeout=10, MemorySize=192)
    seen = function.invoke({}).ok()
    assert 5_000 < seen.pop("left") <= 10_000
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", seen.pop("stream"))
    assert seen == {
        "name": function.name,
        "version": "$LATEST",
        "arn": arn(function.name),
        "memory": "192",
        "group": f"/aws/lambda/{function.name}",
        "client": None,
    }


def test_the_invoked_arn_has_the_qualifier_only_when_given(make):
    function = make(CONTEXT)
    answer = function.client.invoke(FunctionName=function.name, Qualifier="$LATEST")
    assert json.loads(answer["Payload"].read())["arn"] == arn(function.name, "$LATEST")


def test_client_context_reaches_the_function(make):
    function = make(CONTEXT)
    text = json.dumps({"custom": {"a": "1"}, "env": {"b": "2"}, "client": {"app_title": "title"}})
    result = function.invoke({}, ClientContext=base64.b64encode(text.encode()).decode())
    assert result.ok()["client"] == {"custom": {"a": "1"}, "env": {"b": "2"}, "title": "title"}


def test_node_sees_its_context(make, node):
    code = """exports.handler = async (event, context) => ({
      name: context.functionName, id: context.awsRequestId, left: context.getRemainingTimeInMillis(), event });"""
    function = make({"index.js": code}, runtime=node, Timeout=9)
    result = function.invoke({"x": 1})
    seen = result.ok()
    assert 1_000 < seen.pop("left") <= 9_000
    assert seen == {"name": function.name, "id": result.request_id, "event": {"x": 1}}


# --- payloads ---


@pytest.mark.parametrize("payload", [b"true", b"null", b"1", b'"text"', b"[1, 2]", b'{"a":{}}', b"1.50", b"  {} "])
def test_any_json_value_is_a_payload(payload, echo):
    assert echo.invoke(payload).ok() == json.loads(payload)


def test_an_empty_body_is_an_empty_object(echo):
    assert echo.invoke().ok() == {}


def test_payload_bytes_are_not_rewritten(make):
    script = functions.SHELL_HEAD + 'while :; do next; answer "$event"; done\n'
    function = make.bootstrap(script)
    payload = b'{"b":1, "a" :  1.0,"n":1e400,"d":1,"d":2}'
    assert function.invoke(payload).body == payload


@pytest.mark.parametrize(
    ("payload", "where"),
    [
        (b"x", "Unexpected character (('x' (code 120))"),
        (b"{", None),
        (b"{} {}", None),
        (b'{"a":}', None),
        (b"[1,]", None),
        (b"nul", None),
        (b"'a'", None),
        (b'"\xff"', "Invalid UTF-8"),
        (b"\xef\xbb\xbfx", None),
        (b"01", None),
        (b'"\x01"', None),
    ],
)
def test_what_is_not_json_is_refused(payload, where, echo):
    status, code, message = error_of(echo.client.invoke, FunctionName=echo.name, Payload=payload)
    assert (status, code) == (400, "InvalidRequestContentException")
    assert message.startswith("Could not parse request body into json: Could not parse payload into json: ")
    if where:
        assert where in message


def test_the_place_of_the_mistake_is_named(echo):
    _, _, message = error_of(echo.client.invoke, FunctionName=echo.name, Payload=b"x")
    assert message == (
        "Could not parse request body into json: Could not parse payload into json: Unexpected character "
        "(('x' (code 120)): expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or "
        "'false')\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, "
        "column: 1]"
    )


def test_deep_nesting_ends_in_an_answer(echo):
    deep = b"[" * 100_000 + b"]" * 100_000
    try:
        echo.client.invoke(FunctionName=echo.name, Payload=deep)
    except botocore.exceptions.ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert echo.invoke(1).ok() == 1


def test_the_largest_payload_goes_through(make):
    function = make("def handler(event, context):\n    return len(event)\n", MemorySize=512, Timeout=20)
    assert function.invoke(b'"' + b"a" * (SYNC_LIMIT - 2) + b'"').ok() == SYNC_LIMIT - 2


def test_one_byte_more_is_too_large(echo):
    payload = b'"' + b"a" * (SYNC_LIMIT - 1) + b'"'
    assert error_of(echo.client.invoke, FunctionName=echo.name, Payload=payload) == (
        413,
        "RequestEntityTooLargeException",
        "Request must be smaller than 6291456 bytes for the InvokeFunction operation",
    )


def test_the_largest_answer_goes_through(make):
    function = make(
        f"def handler(event, context):\n    return 'x' * ({RESPONSE_LIMIT} - 2)\n", MemorySize=512, Timeout=20
    )
    assert len(function.invoke({}).body) == RESPONSE_LIMIT


def test_a_function_that_returns_nothing_answers_null(make):
    assert make("def handler(event, context):\n    pass\n").invoke({}).body == b"null"


def test_any_content_type_is_accepted(daemon, echo):
    for kind in ("application/octet-stream", "text/plain", "application/x-www-form-urlencoded"):
        answer = wire.request(daemon.address, "POST", path(echo.name), b'{"a":1}', {"Content-Type": kind})
        assert (answer.status, answer.json) == (200, {"a": 1})


def test_a_chunked_body_is_accepted(daemon, echo):
    body = b'5\r\n{"a":\r\n2\r\n1}\r\n0\r\n\r\n'
    answer = wire.request(daemon.address, "POST", path(echo.name), body, {"Transfer-Encoding": "chunked"})
    assert (answer.status, answer.json) == (200, {"a": 1})


# --- environments: reuse and concurrency ---


def test_a_warm_environment_is_reused_with_its_globals(make):
    function = make(functions.IDENTITY)
    seen = [function.invoke({}).ok() for _ in range(4)]
    assert [one["count"] for one in seen] == [1, 2, 3, 4]
    assert len({one["instance"] for one in seen}) == 1
    assert len({one["stream"] for one in seen}) == 1


def test_tmp_is_kept_between_invocations(make):
    function = make(
        "import os\n"
        "def handler(event, context):\n"
        "    before = open('/tmp/a').read() if os.path.exists('/tmp/a') else None\n"
        "    open('/tmp/a', 'w').write(event)\n"
        "    return before\n"
    )
    assert [function.invoke(word).ok() for word in ("one", "two", "three")] == [None, "one", "two"]


def test_two_functions_never_share_an_environment(make):
    one, two = make(functions.IDENTITY), make(functions.IDENTITY)
    assert one.invoke({}).ok()["instance"] != two.invoke({}).ok()["instance"]
    assert two.invoke({}).ok()["count"] == 2


def test_new_code_never_runs_in_an_old_environment(make):
    function = make(functions.IDENTITY)
    old = function.invoke({}).ok()
    function.update(Description="changed")
    assert function.invoke({}).ok()["instance"] != old["instance"]


def test_n_invocations_at_once_use_n_environments(make):
    count = 6
    function = make(holding.CODE, Timeout=60)
    with holding.under_way(function, count) as all_of_them:
        pass
    assert len({one.result().ok() for one in all_of_them}) == count


def test_a_slow_function_does_not_delay_another(make, echo):
    slow = make(holding.CODE, Timeout=60)
    with holding.under_way(slow) as (running,):
        assert [echo.invoke(n).ok() for n in range(20)] == list(range(20))
        assert not running.done()
    assert running.result().ok()


# --- reserved concurrency ---


def test_reserved_concurrency_is_put_read_and_removed(client, make):
    function = make(functions.ECHO)
    name = {"FunctionName": function.name}
    assert "ReservedConcurrentExecutions" not in client.get_function_concurrency(**name)
    put = client.put_function_concurrency(**name, ReservedConcurrentExecutions=5)
    assert put["ReservedConcurrentExecutions"] == 5
    assert client.get_function_concurrency(**name)["ReservedConcurrentExecutions"] == 5
    assert client.get_function(**name)["Concurrency"] == {"ReservedConcurrentExecutions": 5}
    limit = client.get_account_settings()["AccountLimit"]
    assert limit["ConcurrentExecutions"] - limit["UnreservedConcurrentExecutions"] == 5
    gone = client.delete_function_concurrency(**name)
    assert gone["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert "Concurrency" not in client.get_function(**name)


def test_reserving_nothing_disables_the_function(client, make):
    function = make(functions.ECHO)
    client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
    with pytest.raises(client.exceptions.TooManyRequestsException) as caught:
        function.invoke({})
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert answer["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert answer["Error"]["Message"] == "Rate Exceeded."
    client.delete_function_concurrency(FunctionName=function.name)
    assert function.invoke(1).ok() == 1


def rush(function, count, served):
    """So many calls at once, of which `served` are taken in; gives the reasons of the others, and who served."""
    answers, reasons = [], []

    def attempt(_):
        try:
            answers.append(function.invoke(holding.EVENT, tail=False).ok())
        except function.client.exceptions.TooManyRequestsException as error:
            reasons.append(error.response["Reason"])

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        calls = [pool.submit(attempt, n) for n in range(count)]
        try:
            waiting.until(
                lambda: len(holding.held(function)) == served and len(reasons) == count - served,
                lambda: f"{served} are served: {len(holding.held(function))}, {reasons}",
            )
        finally:
            waiting.until(lambda: holding.let_go(function) or all(one.done() for one in calls), "all have answers")
    return reasons, answers


def test_more_than_reserved_is_throttled_and_the_permit_comes_back(client, make):
    function = make(holding.CODE, Timeout=60)
    client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=2)
    reasons, served = rush(function, 6, 2)
    assert reasons == ["ReservedFunctionConcurrentInvocationLimitExceeded"] * 4
    assert len(set(served)) == 2
    assert function.invoke({}).ok() in served


def test_permits_come_back_after_failures(client, make):
    function = make("import os\ndef handler(event, context):\n    os._exit(1)\n")
    client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    assert all(function.invoke({}).error == "Unhandled" for _ in range(4))


def test_the_account_limit_has_a_reason_of_its_own(start_daemon, python):
    daemon = start_daemon(config="[limits]\naccount_concurrency = 2\nunreserved_minimum = 0\n")
    function = functions.Maker(daemon, python, ROLE)(holding.CODE, Timeout=60)
    assert rush(function, 4, 2)[0] == ["ConcurrentInvocationLimitExceeded"] * 2


def test_the_unreserved_floor_is_kept(client, make):
    function = make(functions.ECHO)
    assert error_of(client.put_function_concurrency, FunctionName=function.name, ReservedConcurrentExecutions=901) == (
        400,
        "InvalidParameterValueException",
        "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below "
        "its minimum value of [100].",
    )


def test_concurrency_is_of_the_whole_function(client, echo):
    assert error_of(
        client.put_function_concurrency, FunctionName=arn(echo.name, "$LATEST"), ReservedConcurrentExecutions=1
    ) == (
        400,
        "InvalidParameterValueException",
        "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
        "Please specify either a function name or an unqualified function ARN.",
    )


# --- environment variables ---

ENVIRONMENT = "import os\ndef handler(event, context):\n    return dict(os.environ)\n"


def expected_variables(function, stream):
    return {
        "_HANDLER": "index.handler",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": stream,
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:"
        "/opt/lib",
    }


def test_python_sees_the_variables_of_the_service(make, python):
    function = make(ENVIRONMENT, Environment={"Variables": {"MINE": "yes"}})
    seen = function.invoke({}).ok()
    wanted = expected_variables(function, seen["AWS_LAMBDA_LOG_STREAM_NAME"])
    wanted |= {
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{python}",
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "PYTHONPATH": "/var/runtime",
        "MINE": "yes",
    }
    assert {key: seen.get(key) for key in wanted} == wanted
    assert re.fullmatch(r"[0-9.]+:9001", seen["AWS_LAMBDA_RUNTIME_API"])
    assert seen["_X_AMZN_TRACE_ID"].startswith("Root=1-")
    for secret in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        assert seen[secret]
    assert seen["AWS_ENDPOINT_URL_LAMBDA"].startswith("http://")


def test_nothing_of_the_daemons_environment_gets_in(start_daemon, python):
    daemon = start_daemon(environment={"SECRET_OF_THE_HOST": "leaked", "HEARTH_LOG__LEVEL": "info"})
    function = functions.Maker(daemon, python, f"arn:aws:iam::{ACCOUNT}:role/r")(ENVIRONMENT)
    seen = function.invoke({}).ok()
    assert "leaked" not in seen.values()
    assert not [key for key in seen if key.startswith("HEARTH")]


def test_each_environment_has_credentials_of_its_own(make):
    one, two = (make(ENVIRONMENT).invoke({}).ok() for _ in range(2))
    for secret in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        assert one[secret] != two[secret]


def test_node_sees_the_variables_of_the_service(make, node):
    function = make({"index.js": "exports.handler = async () => process.env;\n"}, runtime=node)
    seen = function.invoke({}).ok()
    major = re.match(r"nodejs(\d+)", node).group(1)
    wanted = expected_variables(function, seen["AWS_LAMBDA_LOG_STREAM_NAME"])
    wanted |= {
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{node}",
        "NODE_PATH": f"/opt/nodejs/node{major}/node_modules:/opt/nodejs/node_modules:/var/runtime/node_modules:"
        "/var/runtime:/var/task",
    }
    assert {key: seen.get(key) for key in wanted} == wanted


def test_a_bootstrap_sees_no_managed_variables(make):
    function = make.bootstrap(functions.SHELL_HEAD + 'while :; do next; answer "\\"$(env | base64 -w0)\\""; done\n')
    text = base64.b64decode(function.invoke({}).ok()).decode()
    seen = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    assert "AWS_EXECUTION_ENV" not in seen and "_X_AMZN_TRACE_ID" not in seen
    assert seen["PATH"] == "/usr/local/bin:/usr/bin/:/bin:/opt/bin"
    assert seen["_HANDLER"] == "function.handler"


def test_the_working_directory_and_user_are_those_of_the_service(make):
    function = make(
        "import os, pwd\n"
        "def handler(event, context):\n"
        "    me = pwd.getpwuid(os.getuid())\n"
        "    return [os.getcwd(), me.pw_name, os.getuid(), oct(os.stat('/tmp').st_mode & 0o7777)]\n"
    )
    assert function.invoke({}).ok() == ["/var/task", "sbx_user1051", 993, "0o1777"]


# --- runtimes and handlers ---


@pytest.mark.parametrize("runtime", sorted(interpreters.runtimes()))
def test_every_runtime_of_this_host_runs(runtime, make):
    if runtime.startswith("python"):
        function = make(
            "import sys\ndef handler(e, c):\n    return 'python%d.%d' % sys.version_info[:2]\n", runtime=runtime
        )
    else:
        code = "exports.handler = async () => `nodejs${process.versions.node.split('.')[0]}.x`;\n"
        function = make({"index.js": code}, runtime=runtime)
    assert function.invoke({}).ok() == runtime


@pytest.mark.parametrize("runtime", ["provided.al2", "provided.al2023"])
def test_a_bootstrap_runs(runtime, make):
    assert make.bootstrap(functions.SHELL_ECHO, runtime=runtime).invoke({"a": 1}).ok() == {"a": 1}


@pytest.mark.parametrize(
    ("files", "handler"),
    [
        ({"index.js": "exports.handler = async (e) => e;"}, "index.handler"),
        ({"index.mjs": "export const handler = async (e) => e;"}, "index.handler"),
        (
            {"index.mjs": "const late = await Promise.resolve(1); export const handler = async (e) => e;"},
            "index.handler",
        ),
        ({"index.js": "export const handler = async (e) => e;", "package.json": '{"type":"module"}'}, "index.handler"),
        ({"index.cjs": "exports.handler = async (e) => e;"}, "index.handler"),
        ({"src/app.js": "exports.handler = async (e) => e;"}, "src/app.handler"),
        ({"index.js": "exports.a = { b: async (e) => e };"}, "index.a.b"),
    ],
)
def test_node_handler_forms(files, handler, make, node):
    assert make(files, runtime=node, handler=handler).invoke({"x": 1}).ok() == {"x": 1}


def test_node_callbacks_work_where_the_runtime_has_them(make, node):
    if node == "nodejs24.x":
        pytest.skip("callback handlers are gone in nodejs24.x and no older one is on this host")
    function = make({"index.js": "exports.handler = (e, c, done) => done(null, e);"}, runtime=node)
    assert function.invoke({"x": 1}).ok() == {"x": 1}


@pytest.mark.parametrize(
    ("files", "handler"),
    [
        ({"app.py": functions.ECHO}, "app.handler"),
        ({"pkg/__init__.py": "", "pkg/app.py": functions.ECHO}, "pkg.app.handler"),
        ({"pkg/app.py": functions.ECHO}, "pkg/app.handler"),
    ],
)
def test_python_handler_forms(files, handler, make):
    assert make(files, handler=handler).invoke({"x": 1}).ok() == {"x": 1}


def test_an_exec_wrapper_runs_before_the_interpreter(make):
    wrapper = '#!/bin/bash\nexport FROM_WRAPPER="$#"\nexec "$@"\n'
    archive = functions.package(
        {"index.py": "import os\ndef handler(e, c):\n    return os.environ['FROM_WRAPPER']\n", "wrap": wrapper},
        executable=("wrap",),
    )
    function = make(archive, Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrap"}})
    assert int(function.invoke({}).ok()) >= 2


def test_big_functions_have_more_memory(make):
    function = make("def handler(event, context):\n    return len(bytearray(event))\n", MemorySize=1024, Timeout=20)
    assert function.invoke(700 * 1024 * 1024).ok() == 700 * 1024 * 1024


def test_a_full_tmp_does_not_count_as_memory(make):
    function = make(
        "def handler(event, context):\n"
        "    block = b'x' * (1 << 20)\n"
        "    with open('/tmp/big', 'wb') as file:\n"
        "        for _ in range(event):\n"
        "            file.write(block)\n"
        "    return event\n",
        Timeout=60,
    )
    assert function.invoke(300).ok() == 300
