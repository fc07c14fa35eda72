"""How invocations fail, to the letter: the document the caller gets and the lines the log gets."""

import base64
import json
import re
import time

import pytest

from lib import functions, waiting
from lib.functions import UUID

# Figures of a REPORT line: milliseconds with two decimals, whole milliseconds, megabytes.
MS = r"\d+\.\d\d ms"
WHOLE_MS = r"\d+ ms"
MB = r"\d+ MB"


def report_pattern(request_id, memory=128, cold=None, status=None, error_type=None):
    """The REPORT line as a pattern. `cold` None: with or without `Init Duration`."""
    init = {True: rf"Init Duration: {MS}\t", False: "", None: rf"(?:Init Duration: {MS}\t)?"}[cold]
    end = ""
    if status:
        end = rf"Status: {status}" + (rf"\tError Type: {re.escape(error_type)}" if error_type else "")
    # The recordings end a good line with a tab; for a bad one the reference gives the words, not the line's end.
    tail = rf"{end}\t?\n" if end else "\n"
    figures = rf"Duration: {MS}\tBilled Duration: {WHOLE_MS}\tMemory Size: {memory} MB\tMax Memory Used: {MB}\t"
    return rf"REPORT RequestId: {request_id}\t{figures}{init}{tail}"


def assert_log(result, *between, **report):
    """START, the given lines (patterns), END, REPORT, and nothing else."""
    pattern = rf"START RequestId: {result.request_id} Version: \$LATEST\n"
    pattern += "".join(between)
    pattern += rf"END RequestId: {result.request_id}\n" + report_pattern(result.request_id, **report)
    assert re.fullmatch(pattern, result.log, re.DOTALL), f"the log is\n{result.log!r}\nnot\n{pattern!r}"


def pairs(body):
    """A document as its members in order."""
    return json.loads(body, object_pairs_hook=list)


def failed(result, *members):
    """The function failed with exactly these members, in this order."""
    assert (result.status, result.error) == (200, "Unhandled"), result.body
    assert result.headers["x-amz-function-error"] == "Unhandled"
    assert pairs(result.body) == list(members)


def exit_document(result, reason, error_type="Runtime.ExitError"):
    failed(
        result,
        ("errorType", error_type),
        ("errorMessage", f"RequestId: {result.request_id} Error: {reason}"),
    )


# --- log lines of success ---


def test_a_cold_log_is_start_output_end_report_with_init(make):
    result = make("def handler(e, c):\n    print('hello')\n").invoke({})
    assert_log(result, "hello\n", cold=True)


def test_a_warm_report_has_no_init_and_ends_with_a_tab(make):
    function = make(functions.ECHO, MemorySize=256)
    function.invoke({})
    result = function.invoke({})
    assert_log(result, memory=256, cold=False)
    assert result.report.endswith(" MB\t\n")


def figures(report):
    found = dict(re.findall(r"(Duration|Billed Duration|Init Duration|Max Memory Used): ([\d.]+)", report))
    return {key: float(value) for key, value in found.items()}


def test_the_figures_of_a_report_are_true(make):
    function = make("import time\ndef handler(e, c):\n    time.sleep(e)\n", Timeout=10)
    cold = figures(function.invoke(0.5).report)
    assert 500 <= cold["Duration"] < 5_000
    # Cold: duration and init together, rounded up to a whole millisecond.
    assert abs(cold["Billed Duration"] - (cold["Duration"] + cold["Init Duration"])) <= 1.02
    warm = figures(function.invoke(0.2).report)
    assert 200 <= warm["Duration"] < 3_000
    assert 0 <= warm["Billed Duration"] - warm["Duration"] < 1
    assert 1 <= warm["Max Memory Used"] <= 128


def test_memory_used_follows_what_is_used(make):
    function = make("def handler(e, c):\n    return len(bytearray(b'x') * (e << 20))\n", MemorySize=512, Timeout=20)
    small = figures(function.invoke(1).report)["Max Memory Used"]
    large = figures(function.invoke(200).report)["Max Memory Used"]
    assert small < 120 and 200 <= large <= 512


def test_python_log_records_have_level_time_and_request_id(make):
    code = "import logging\nlogging.getLogger().setLevel('INFO')\ndef handler(e, c):\n    logging.info('told %s', 1)\n"
    result = make(code).invoke({})
    assert_log(result, rf"\[INFO\]\t\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z\t{result.request_id}\ttold 1\n")


def test_node_log_lines_have_time_request_id_and_level(make, node):
    result = make(
        {"index.js": "exports.handler = async (e) => { console.log(e); console.error('bad'); };"}, runtime=node
    ).invoke({})
    stamp = rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z\t{result.request_id}"
    assert_log(result, rf"{stamp}\tINFO\t\{{\}}\n", rf"{stamp}\tERROR\tbad\n", cold=True)


def test_output_of_a_bootstrap_is_logged_as_it_is(make):
    script = functions.SHELL_HEAD + 'while :; do next; echo out; echo err >&2; answer "{}"; done\n'
    result = make.bootstrap(script).invoke({})
    assert_log(result, "(?:out\nerr\n|err\nout\n)", cold=True)


def test_output_of_child_processes_is_logged(make):
    result = make(
        "import subprocess\ndef handler(e, c):\n    subprocess.run(['echo', 'from a child'], check=True)\n"
    ).invoke({})
    assert_log(result, "from a child\n")


def test_the_tail_is_the_last_4096_bytes(make):
    function = make("def handler(e, c):\n    for n in range(400):\n        print('line %04d of a long log' % n)\n")
    result = function.invoke({})
    assert len(result.log_bytes) == 4096
    assert "line 0399 of a long log\nEND RequestId: " in result.log
    assert result.log.endswith("\t\n")
    assert "line 0000" not in result.log


def test_a_tail_cut_inside_a_character_does_no_harm(make):
    result = make("def handler(e, c):\n    print('ü' * 5000)\n    print('x')\n").invoke({})
    assert len(result.log_bytes) == 4096
    assert "ü" in result.log


def test_output_of_one_invocation_is_not_in_the_tail_of_the_next(make):
    function = make("def handler(e, c):\n    print(e)\n")
    function.invoke("first")
    second = function.invoke("second")
    assert "second\n" in second.log and "first" not in second.log


# --- python ---

PYTHON_FILE = r'  File "/var/task/index.py", line \d+, in handler\n    raise ValueError\("boom"\)\n'


def test_python_raised(make):
    result = make('def handler(e, c):\n    raise ValueError("boom")\n').invoke({})
    assert result.error == "Unhandled"
    document = pairs(result.body)
    assert [key for key, _ in document] == ["errorMessage", "errorType", "requestId", "stackTrace"]
    assert document[:3] == [("errorMessage", "boom"), ("errorType", "ValueError"), ("requestId", result.request_id)]
    (frame,) = document[3][1]
    assert re.fullmatch(PYTHON_FILE, frame)
    nbsp = "\u00a0"
    assert f"[ERROR] ValueError: boom\nTraceback (most recent call last):\n{nbsp * 2}File" in result.log
    # A function error is not a platform error: the REPORT line says nothing about it.
    assert re.search(report_pattern(result.request_id), result.log)


def test_python_exception_class_of_ones_own(make):
    code = "class Mine(Exception):\n    pass\ndef handler(e, c):\n    raise Mine({'a': 1})\n"
    document = make(code).invoke({}).json
    assert (document["errorType"], document["errorMessage"]) == ("Mine", "{'a': 1}")


def test_python_goes_on_after_an_exception(make):
    code = "N = 0\ndef handler(e, c):\n    global N\n    N += 1\n    if e == 'fail':\n        raise Exception('x')\n    return N\n"
    function = make(code)
    function.invoke("fail")
    assert function.invoke("ok").ok() == 2


def test_python_module_missing(make):
    result = make({"other.py": functions.ECHO}).invoke({})
    failed(
        result,
        ("errorMessage", "Unable to import module 'index': No module named 'index'"),
        ("errorType", "Runtime.ImportModuleError"),
        ("requestId", ""),
        ("stackTrace", []),
    )


def test_python_handler_missing(make):
    document = make(functions.ECHO, handler="index.nothing").invoke({}).json
    assert document["errorType"] == "Runtime.HandlerNotFound"
    assert document["errorMessage"] == "Handler 'nothing' missing on module 'index'"


def test_python_handler_name_malformed(make):
    document = make(functions.ECHO, handler="index").invoke({}).json
    assert document["errorType"] == "Runtime.MalformedHandlerName"


def test_python_syntax_error(make):
    document = make("def handler(e, c:\n").invoke({}).json
    assert document["errorType"] == "Runtime.UserCodeSyntaxError"
    assert document["errorMessage"].startswith("Syntax error in module 'index': ")


def test_python_raised_while_loading(make):
    result = make("raise RuntimeError('too early')\n").invoke({})
    document = pairs(result.body)
    assert [key for key, _ in document] == ["errorMessage", "errorType", "requestId", "stackTrace"]
    assert document[:3] == [("errorMessage", "too early"), ("errorType", "RuntimeError"), ("requestId", "")]


def test_python_answer_that_is_no_json(make):
    document = make("def handler(e, c):\n    return {1, 2}\n").invoke({}).json
    assert document["errorType"] == "Runtime.MarshalError"
    assert document["errorMessage"] == "Unable to marshal response: Object of type set is not JSON serializable"


# --- node ---


def node_error(make, node, code, name="index.js"):
    return make({name: code}, runtime=node).invoke({})


def test_node_rejected(make, node):
    result = node_error(make, node, "exports.handler = async () => { throw new TypeError('boom'); };")
    assert result.error == "Unhandled"
    document = pairs(result.body)
    assert [key for key, _ in document] == ["errorType", "errorMessage", "trace"]
    assert document[:2] == [("errorType", "TypeError"), ("errorMessage", "boom")]
    trace = document[2][1]
    assert trace[0] == "TypeError: boom"
    assert re.match(r"    at .*handler \(/var/task/index\.js:1:\d+\)", trace[1])


def test_node_module_missing(make, node):
    document = node_error(make, node, "", name="other.js").json
    assert document["errorType"] == "Runtime.ImportModuleError"
    assert document["errorMessage"].startswith("Error: Cannot find module 'index'")


def test_node_handler_missing(make, node):
    document = node_error(make, node, "exports.other = 1;").json
    assert document["errorType"] == "Runtime.HandlerNotFound"
    assert document["errorMessage"] == "index.handler is undefined or not exported"


def test_node_syntax_error(make, node):
    assert node_error(make, node, "exports.handler = async (").json["errorType"] == "Runtime.UserCodeSyntaxError"


def test_node_unhandled_rejection(make, node):
    code = "exports.handler = () => new Promise(() => { Promise.reject(new Error('lost')); });"
    document = node_error(make, node, code).json
    assert document["errorType"] == "Runtime.UnhandledPromiseRejection"
    assert "lost" in document["errorMessage"]


def test_node_exited(make, node):
    exit_document(
        node_error(make, node, "exports.handler = async () => process.exit(4);"),
        "Runtime exited with error: exit status 4",
    )


# --- a runtime of one's own ---


def test_an_error_document_is_relayed_byte_for_byte(make):
    script = functions.SHELL_HEAD + (
        "while :; do next; curl -sS -o /dev/null -H 'Lambda-Runtime-Function-Error-Type: Function.Mine' "
        '--data-binary \'{ "errorType":"Mine", "extra" :[1] }\' "$api/invocation/$id/error"; done\n'
    )
    result = make.bootstrap(script).invoke({})
    assert result.error == "Unhandled"
    assert result.body == b'{ "errorType":"Mine", "extra" :[1] }'


def test_an_init_error_is_the_answer_of_the_next_invocation(make):
    script = functions.SHELL_HEAD + (
        'curl -sS -o /dev/null --data-binary \'{"errorMessage":"no luck","errorType":"Mine"}\' "$api/init/error"\nexit 1\n'
    )
    function = make.bootstrap(script)
    for _ in range(2):
        failed(function.invoke({}), ("errorMessage", "no luck"), ("errorType", "Mine"))


def test_a_missing_bootstrap_is_an_invalid_entrypoint(make):
    result = make.bootstrap({"other": "x"}).invoke({})
    exit_document(
        result,
        "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]",
        error_type="Runtime.InvalidEntrypoint",
    )


def test_a_bootstrap_that_may_not_be_run_is_an_invalid_entrypoint(make):
    archive = functions.package({"bootstrap": functions.SHELL_ECHO}, executable=())
    result = make(archive, runtime="provided.al2023", handler="x").invoke({})
    assert result.json["errorType"] == "Runtime.InvalidEntrypoint"


def test_a_bootstrap_with_a_missing_interpreter_fails_and_does_not_hang(make):
    result = make.bootstrap("#!/no/such/shell\n").invoke({})
    assert result.error == "Unhandled"
    assert result.json["errorType"].startswith("Runtime.")


def test_an_exec_wrapper_that_is_not_there_is_exit_status_127(make):
    function = make(functions.ECHO, Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/none"}})
    exit_document(function.invoke({}), "Runtime exited with error: exit status 127")


def test_a_truncated_answer_is_an_error_of_its_own(make):
    result = make.bootstrap(functions.TRUNCATED, Timeout=5).invoke({})
    assert result.error == "Unhandled"
    assert result.json["errorType"] == "Runtime.TruncatedResponse"


def test_an_answer_that_is_no_json_is_passed_on(make):
    script = functions.SHELL_HEAD + "while :; do next; answer 'plain text'; done\n"
    result = make.bootstrap(script).invoke({})
    assert (result.error, result.body) == (None, b"plain text")


def test_an_answer_before_the_exit_still_counts(make):
    script = functions.SHELL_HEAD + 'next; answer "$event"; exit 0\n'
    function = make.bootstrap(script)
    assert [function.invoke(n).ok() for n in range(3)] == [0, 1, 2]


def test_output_after_the_answer_belongs_to_the_invocation(make):
    script = functions.SHELL_HEAD + "while :; do next; answer '{}'; echo late; done\n"
    assert "late\n" in make.bootstrap(script).invoke({}).log


# --- exits and signals ---


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; sys.exit(0)", "Runtime exited without providing a reason"),
        ("import os; os._exit(0)", "Runtime exited without providing a reason"),
        ("import os; os._exit(3)", "Runtime exited with error: exit status 3"),
        ("import os; os._exit(255)", "Runtime exited with error: exit status 255"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "Runtime exited with error: signal: killed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "Runtime exited with error: signal: terminated"),
    ],
)
def test_a_runtime_that_ends_while_it_works(code, reason, make):
    result = make(f"def handler(e, c):\n    {code}\n").invoke({})
    exit_document(result, reason)
    assert_log(result, status="error", error_type="Runtime.ExitError")


def test_a_segfault_is_reported(make):
    result = make("import ctypes\ndef handler(e, c):\n    ctypes.string_at(0)\n", Timeout=3).invoke({})
    # The service shows a crash of managed Python as a time-out.
    exit_document(result, "Runtime exited with error: signal: segmentation fault")
    assert_log(result, status="error", error_type="Runtime.ExitError")


def test_a_runtime_that_ends_while_it_starts(make):
    function = make("import os\nos._exit(7)\n")
    for _ in range(2):
        result = function.invoke({})
        exit_document(result, "Runtime exited with error: exit status 7")


def test_a_runtime_that_ends_between_invocations_is_started_again(make):
    code = (
        "import os, threading, time, uuid\n"
        "INSTANCE = uuid.uuid4().hex\n"
        "def handler(e, c):\n"
        "    if e == 'die':\n"
        "        threading.Timer(0.05, lambda: os._exit(1)).start()\n"
        "    return INSTANCE\n"
    )
    function = make(code)
    first = function.invoke("die").ok()
    seen = []

    def started_again():
        # Frozen or not in between, the exit comes within some of these calls; one of them may meet it.
        seen.append(function.invoke("live"))
        return seen[-1].error is None and seen[-1].ok() != first

    waiting.until(started_again, "another process answers", within_s=20)
    assert all(one.error is None or one.json["errorType"] == "Runtime.ExitError" for one in seen)


# --- time ---


def timeout_members(result, seconds):
    return (
        ("errorType", "Sandbox.Timedout"),
        ("errorMessage", f"RequestId: {result.request_id} Error: Task timed out after {seconds} seconds"),
    )


@pytest.mark.parametrize("kind", ["python", "shell"])
def test_a_function_that_takes_too_long(kind, make):
    if kind == "python":
        function = make("import time\ndef handler(e, c):\n    print('begun')\n    time.sleep(60)\n", Timeout=1)
    else:
        function = make.bootstrap(functions.SHELL_HEAD + "next; echo begun; sleep 60\n", Timeout=1)
    result = function.invoke({})
    failed(result, *timeout_members(result, "1.00"))
    assert_log(result, "begun\n", status="timeout")
    assert 1_000 <= figures(result.report)["Duration"] < 2_000


def test_a_busy_loop_is_stopped_too(make):
    result = make("def handler(e, c):\n    while True:\n        pass\n", Timeout=1).invoke({})
    failed(result, *timeout_members(result, "1.00"))


def test_ignoring_signals_does_not_help(make):
    code = (
        "import signal, time\n"
        "for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:\n"
        "    signal.signal(number, signal.SIG_IGN)\n"
        "def handler(e, c):\n"
        "    time.sleep(60)\n"
    )
    result = make(code, Timeout=1).invoke({})
    failed(result, *timeout_members(result, "1.00"))


def test_after_a_timeout_tmp_is_kept_and_globals_are_lost(make):
    code = (
        "import os, time\n"
        "NUMBER = 0\n"
        "def handler(e, c):\n"
        "    global NUMBER\n"
        "    if e == 'hang':\n"
        "        time.sleep(60)\n"
        "    if e == 'set':\n"
        "        NUMBER = 42\n"
        "        open('/tmp/kept', 'w').write('content')\n"
        "    return [NUMBER, os.path.exists('/tmp/kept') and open('/tmp/kept').read(), c.log_stream_name]\n"
    )
    function = make(code, Timeout=1)
    number, text, stream = function.invoke("set").ok()
    assert (number, text) == (42, "content")
    assert function.invoke("hang").json["errorType"] == "Sandbox.Timedout"
    assert function.invoke("get").ok() == [0, "content", stream]


def test_after_a_crash_tmp_is_kept_and_globals_are_lost(make):
    code = (
        "import os\n"
        "NUMBER = 0\n"
        "def handler(e, c):\n"
        "    global NUMBER\n"
        "    if e == 'die':\n"
        "        open('/tmp/kept', 'w').write('content')\n"
        "        os._exit(1)\n"
        "    NUMBER += 1\n"
        "    return [NUMBER, os.path.exists('/tmp/kept')]\n"
    )
    function = make(code)
    assert function.invoke("").ok() == [1, False]
    function.invoke("die")
    assert function.invoke("").ok() == [1, True]


def test_a_reinitialisation_has_no_init_duration_of_its_own(make):
    function = make("import time\ndef handler(e, c):\n    time.sleep(e)\n", Timeout=1)
    function.invoke(0)
    function.invoke(30)
    assert_log(function.invoke(0), cold=False)


def test_init_beyond_ten_seconds_is_tried_again_inside_the_invocation(daemon, make):
    code = (
        "import os, time\n"
        "again = os.path.exists('/tmp/tried')\n"
        "open('/tmp/tried', 'w').close()\n"
        "time.sleep(1 if again else 60)\n"
        "def handler(e, c):\n"
        "    return 'at last'\n"
    )
    function = make(code, Timeout=20)
    result = function.invoke({})
    assert result.ok() == "at last"
    assert figures(result.report)["Duration"] >= 1_000
    pattern = r"INIT_REPORT Init Duration: 1\d{4}\.\d\d ms\tPhase: init\tStatus: timeout\t\n"
    waiting.until(
        lambda: re.search(pattern, daemon.cli("logs", function.name).stdout), "the log tells of the failed init", 10
    )


# --- memory and size ---


def test_memory_beyond_the_size_is_out_of_memory(make):
    function = make("def handler(e, c):\n    return len(bytearray(b'x') * (e << 20))\n", Timeout=20)
    result = function.invoke(400)
    exit_document(result, "Runtime exited with error: signal: killed", error_type="Runtime.OutOfMemory")
    assert_log(result, status="error", error_type="Runtime.OutOfMemory")
    assert function.invoke(1).ok() == 1 << 20


def test_a_child_that_is_killed_for_memory_does_not_fail_the_function_by_itself(make):
    code = (
        "import subprocess, sys\n"
        "def handler(e, c):\n"
        "    child = subprocess.run([sys.executable, '-c', 'bytearray(b\"x\") * (400 << 20)'])\n"
        "    return child.returncode\n"
    )
    result = make(code, Timeout=20).invoke({})
    # Either the child alone is gone or, as the service does, the whole sandbox: never a success with the memory taken.
    if result.error is None:
        assert result.json in (-9, 1)
    else:
        assert result.json["errorType"] == "Runtime.OutOfMemory"


def test_an_answer_that_is_too_large(make):
    function = make("def handler(e, c):\n    return 'x' * e\n", MemorySize=256, Timeout=20)
    for _ in range(2):
        failed(
            function.invoke(7 * 1024 * 1024),
            ("errorType", "Function.ResponseSizeTooLarge"),
            (
                "errorMessage",
                "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
            ),
        )
    assert function.invoke(2).ok() == "xx"


def test_one_byte_above_the_limit_is_too_large(make):
    function = make("def handler(e, c):\n    return 'x' * e\n", MemorySize=256, Timeout=20)
    assert function.invoke(6_291_555).json["errorType"] == "Function.ResponseSizeTooLarge"


# --- the Runtime API from inside ---

PROBE = (
    functions.SHELL_HEAD
    + """
call() { curl -sS -o /tmp/body -w '%{http_code} ' "$@"; cat /tmp/body; echo; }
"""
)


def test_calls_out_of_turn_are_refused_with_the_services_answers(make):
    script = PROBE + (
        "next; first=$id\n"
        "call -d '{}' \"$api/invocation/00000000-0000-4000-8000-000000000000/response\"\n"
        "call -d '{}' \"$api/invocation/$first/response\"\n"
        "call -d '{}' \"$api/invocation/$first/response\"\n"
        "call -d '{}' \"$api/init/error\"\n"
        'call "$api/nothing"\n'
        "while :; do next; answer '{}'; done\n"
    )
    log = make.bootstrap(script).invoke({}).log
    lines = [line for line in log.splitlines() if re.match(r"\d{3} ", line)]
    codes = [line.split(" ", 1) for line in lines]
    assert [code for code, _ in codes] == ["400", "202", "403", "403", "404"], log
    assert json.loads(codes[0][1]) == {"errorMessage": "Invalid request ID", "errorType": "InvalidRequestID"}
    assert json.loads(codes[1][1]) == {"status": "OK"}
    assert json.loads(codes[2][1])["errorType"] == "InvalidStateTransition"


def test_the_headers_of_next_are_those_of_the_service(make):
    script = functions.SHELL_HEAD + (
        "while :; do\n"
        'head=$(mktemp); curl -sS -D "$head" -o /dev/null "$api/invocation/next"\n'
        "id=$(sed -n 's/^lambda-runtime-aws-request-id: *\\([^[:space:]]*\\).*/\\1/Ip' \"$head\")\n"
        'curl -sS -o /dev/null --data-binary "\\"$(base64 -w0 <"$head")\\"" "$api/invocation/$id/response"\ndone\n'
    )
    function = make.bootstrap(script, Timeout=7)
    before = time.time() * 1000
    result = function.invoke({})
    text = base64.b64decode(result.ok()).decode()
    headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in text.splitlines() if ":" in line)}
    assert headers["lambda-runtime-aws-request-id"] == result.request_id
    assert 0 <= int(headers["lambda-runtime-deadline-ms"]) - before - 7_000 < 10_000
    assert headers["lambda-runtime-invoked-function-arn"] == functions.arn(function.name)
    assert re.match(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};", headers["lambda-runtime-trace-id"])
    assert headers["content-type"] == "application/json"
    assert "lambda-runtime-client-context" not in headers


def test_every_request_id_is_a_uuid(echo):
    assert re.fullmatch(UUID, echo.invoke({}).request_id)
