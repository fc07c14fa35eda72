"""Tests of the Python runtime client against a stub of the Runtime API, on every Python of this machine.

Each test starts the client as a process of its own, as the platform does, hands it events and looks at what it
posts, prints and exits with. Runs without the daemon: `python3 src/runtimes/python/test_client.py`.
"""

import collections
import glob
import http.server
import json
import os
import queue
import shutil
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest

CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bootstrap.py")
ARN = "arn:aws:lambda:us-east-1:000000000000:function:demo"
PATIENCE_S = 20
VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")

Post = collections.namedtuple("Post", "path headers body")
Run = collections.namedtuple("Run", "posts stdout stderr code connections task")


def request_id(number):
    return "00000000-0000-4000-8000-%012d" % number


class StubApi:
    """Hands out events in order and remembers what was posted; `settled` is set when nothing is left to do."""

    def __init__(self, events, answers=(), drop_idle=False, chunked=False):
        self.events = collections.deque(enumerate(events))
        self.answers = collections.deque(answers)
        self.posts = []
        self.connections = 0
        self.settled = threading.Event()
        self.closing = threading.Event()
        self.drop_idle = drop_idle
        self.chunked = chunked
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                stub.connections += 1
                super().setup()

            def log_message(self, *_):
                pass

            def do_GET(self):
                stub.give_next(self)

            def do_POST(self):
                stub.take_post(self)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = "127.0.0.1:%d" % self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def give_next(self, call):
        if not self.events:
            self.settled.set()
            self.closing.wait(PATIENCE_S)
            call.close_connection = True
            return
        number, event = self.events.popleft()
        body, headers = event if isinstance(event, tuple) else (event, {})
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        call.send_response_only(200)
        sent = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": request_id(number),
            "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 30_000),
            "Lambda-Runtime-Invoked-Function-Arn": ARN,
            **headers,
        }
        for name, value in sent.items():
            call.send_header(name, value)
        if self.chunked:
            call.send_header("Transfer-Encoding", "chunked")
            call.end_headers()
            for at in range(0, len(body), 1000):
                part = body[at:at + 1000]
                call.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            call.wfile.write(b"0\r\n\r\n")
        else:
            call.send_header("Content-Length", str(len(body)))
            call.end_headers()
            call.wfile.write(body)

    def take_post(self, call):
        body = call.rfile.read(int(call.headers["Content-Length"]))
        self.posts.append(Post(call.path, call.headers, body))
        status = self.answers.popleft() if self.answers else 202
        call.send_response_only(status)
        call.send_header("Content-Length", "15")
        call.end_headers()
        call.wfile.write(b'{"status":"OK"}')
        call.close_connection = self.drop_idle

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()


def run_client(
    python, source, events=({},), handler="handler.handler", environ=None, files=None, framed=False, client=CLIENT, **stub
):
    """Runs the client until it waits for an event that does not come, or exits."""
    task = tempfile.mkdtemp(prefix="client-test-")
    api = StubApi(events, **stub)
    try:
        for name, text in {"handler.py": source, **(files or {})}.items():
            target = os.path.join(task, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "w", encoding="utf-8") as file:
                file.write(textwrap.dedent(text))
        variables = {
            "AWS_LAMBDA_RUNTIME_API": api.address,
            "_HANDLER": handler,
            "LAMBDA_TASK_ROOT": task,
            "LANG": "C.UTF-8",
            "AWS_LAMBDA_FUNCTION_NAME": "demo",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/demo",
            "AWS_LAMBDA_LOG_STREAM_NAME": "2024/05/01/[$LATEST]0123",
            "PYTHONDONTWRITEBYTECODE": "1",
            **(environ or {}),
        }
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as frames:
            inherited = ()
            if framed:
                inherited = (frames.fileno(),)
                variables["_LAMBDA_TELEMETRY_LOG_FD"] = str(frames.fileno())
            process = subprocess.Popen(
                [python, client], cwd=task, env=variables, stdout=out, stderr=err, stdin=subprocess.DEVNULL,
                pass_fds=inherited,
            )

            def watch():
                process.wait()
                api.settled.set()

            threading.Thread(target=watch, daemon=True).start()
            if not api.settled.wait(PATIENCE_S):
                process.kill()
                raise AssertionError("the client neither exited nor asked for the next event")
            process.kill()  # does nothing to a process that has exited
            process.wait()
            texts = []
            for file in (out, err, frames):
                file.seek(0)
                texts.append(file.read())
            stdout = texts[2] if framed else texts[0].decode()
            code = None if process.returncode == -9 else process.returncode
            return Run(api.posts, stdout, texts[1].decode(), code, api.connections, task)
    finally:
        api.close()
        shutil.rmtree(task)


def parse_frames(data):
    frames = []
    while data:
        kind, length, stamp = struct.unpack(">IIQ", data[:16])
        frames.append((kind, stamp, data[16:16 + length].decode()))
        data = data[16 + length:]
    return frames


ECHO = "def handler(event, context):\n    return event\n"


class ClientTests:
    """The tests; one subclass per interpreter sets `python` and `version`."""

    python = sys.executable
    version = (3, 0)

    def run_client(self, source=ECHO, **options):
        return run_client(self.python, source, **options)

    def result(self, source, **options):
        """The decoded answer of a single successful invocation."""
        run = self.run_client(source, **options)
        self.assertEqual([post.path for post in run.posts], [self.path(0, "response")], run.stdout + run.stderr)
        return json.loads(run.posts[0].body)

    @staticmethod
    def path(number, what):
        return "/2018-06-01/runtime/invocation/%s/%s" % (request_id(number), what)

    def failure(self, run):
        self.assertEqual(len(run.posts), 1, run.stdout + run.stderr)
        return json.loads(run.posts[0].body)

    # -- answers

    def test_an_event_is_answered_with_the_result_as_json(self):
        run = self.run_client(events=[{"a": [1, None, "x"]}])
        self.assertEqual(run.posts[0].path, self.path(0, "response"))
        self.assertEqual(run.posts[0].headers["Content-Type"], "application/json")
        self.assertEqual(run.posts[0].body, b'{"a": [1, null, "x"]}')

    def test_one_process_and_one_connection_serve_many_events(self):
        source = """
            count = 0
            def handler(event, context):
                global count
                count += 1
                return [count, context.aws_request_id]
        """
        run = self.run_client(source, events=[1, 2, 3])
        self.assertEqual([json.loads(p.body) for p in run.posts], [[n + 1, request_id(n)] for n in range(3)])
        self.assertEqual(run.connections, 1)

    def test_a_dropped_idle_connection_is_opened_again(self):
        run = self.run_client(events=[1, 2, 3], drop_idle=True)
        self.assertEqual([json.loads(p.body) for p in run.posts], [1, 2, 3])

    def test_large_events_and_results_arrive_whole(self):
        text = "é" * 2_500_000
        self.assertEqual(self.result(ECHO, events=[text]), text)

    def test_a_chunked_event_is_put_together(self):
        text = "0123456789" * 1000
        self.assertEqual(self.result(ECHO, events=[text], chunked=True), text)

    def test_the_invocation_id_is_echoed(self):
        run = self.run_client(events=[({}, {"Lambda-Runtime-Invocation-Id": "attempt-7"})])
        self.assertEqual(run.posts[0].headers["Lambda-Runtime-Invocation-Id"], "attempt-7")

    def test_bytes_are_answered_as_they_are(self):
        run = self.run_client("def handler(event, context):\n    return b'\\x00raw'\n")
        self.assertEqual(run.posts[0].body, b"\x00raw")
        self.assertEqual(run.posts[0].headers["Content-Type"], "application/unknown")

    def test_an_event_of_another_content_type_is_given_as_bytes(self):
        source = "def handler(event, context):\n    return repr(event)\n"
        event = (b"plain", {"Content-Type": "text/plain"})
        self.assertEqual(self.result(source, events=[event]), "b'plain'")

    def test_decimals_named_tuples_and_nested_bytes_become_json(self):
        source = """
            import collections, decimal
            D = decimal.Decimal
            Point = collections.namedtuple("Point", "x y")
            def handler(event, context):
                return {"d": D("1.10"), "e": D("1E+5"), "n": D("NaN"), "p": [Point(1, (2, Point(3, 4)))],
                        "b": b"x", b"k": 1, 2: True, "o": collections.OrderedDict(a=Point(5, 6))}
        """
        run = self.run_client(source)
        self.assertEqual(
            run.posts[0].body.decode(),
            '{"d": 1.10, "e": 1E+5, "n": NaN, "p": [{"x": 1, "y": [2, {"x": 3, "y": 4}]}], '
            '"b": "x", "k": 1, "2": true, "o": {"a": {"x": 5, "y": 6}}}',
        )

    def test_text_is_utf8_from_3_12_and_escaped_before(self):
        source = "def handler(event, context):\n    return 'é'\n"
        new = self.run_client(source, environ={"AWS_EXECUTION_ENV": "AWS_Lambda_python3.12"})
        old = self.run_client(source, environ={"AWS_EXECUTION_ENV": "AWS_Lambda_python3.11"})
        self.assertEqual(new.posts[0].body, '"é"'.encode())
        self.assertEqual(old.posts[0].body, b'"\\u00e9"')

    # -- context

    def test_the_context_has_every_member(self):
        source = """
            def handler(event, context):
                left = context.get_remaining_time_in_millis()
                return {"fn": context.function_name, "v": context.function_version, "mem": context.memory_limit_in_mb,
                        "arn": context.invoked_function_arn, "id": context.aws_request_id,
                        "group": context.log_group_name, "stream": context.log_stream_name,
                        "client": context.client_context, "tenant": context.tenant_id, "left": 20_000 < left <= 30_000,
                        "who": [context.identity.cognito_identity_id, context.identity.cognito_identity_pool_id]}
        """
        self.assertEqual(self.result(source), {
            "fn": "demo", "v": "$LATEST", "mem": "128", "arn": ARN, "id": request_id(0), "group": "/aws/lambda/demo",
            "stream": "2024/05/01/[$LATEST]0123", "client": None, "tenant": None, "left": True, "who": [None, None],
        })

    def test_client_context_identity_and_tenant_are_decoded(self):
        source = """
            def handler(event, context):
                c = context.client_context
                return [c.custom, c.env, c.client.app_title, c.client.installation_id, context.tenant_id, context.w3c(),
                        context.identity.cognito_identity_id, context.identity.cognito_identity_pool_id]
        """
        headers = {
            "Lambda-Runtime-Client-Context": json.dumps({
                "custom": {"k": 1}, "env": {"e": "2"}, "client": {"app_title": "t"}, "w3c": {"traceparent": "00-1"},
            }),
            "Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId":"i","cognitoIdentityPoolId":"p"}',
            "Lambda-Runtime-Aws-Tenant-Id": "blue",
        }
        expected = [{"k": 1}, {"e": "2"}, "t", None, "blue", {"traceparent": "00-1"}, "i", "p"]
        self.assertEqual(self.result(source, events=[({}, headers)]), expected)

    def test_a_broken_client_context_fails_the_invocation(self):
        run = self.run_client(events=[({}, {"Lambda-Runtime-Client-Context": "{"})])
        failure = self.failure(run)
        self.assertEqual(failure["errorType"], "Runtime.LambdaContextUnmarshalError")
        self.assertRegex(failure["errorMessage"], "^Unable to parse Client Context JSON: ")

    def test_the_trace_id_follows_the_invocation(self):
        source = "import os\ndef handler(event, context):\n    return os.environ.get('_X_AMZN_TRACE_ID')\n"
        run = self.run_client(source, events=[({}, {"Lambda-Runtime-Trace-Id": "Root=1-2-3"}), {}])
        self.assertEqual([json.loads(p.body) for p in run.posts], ["Root=1-2-3", None])

    # -- handler forms and search path

    def test_every_handler_form_is_found(self):
        files = {"pkg/__init__.py": "", "pkg/mod.py": ECHO}
        for handler in ("handler.handler", "pkg/mod.handler", "pkg.mod.handler"):
            with self.subTest(handler):
                self.assertEqual(self.result(ECHO, handler=handler, files=files, events=[5]), 5)

    def test_the_package_comes_before_layers_and_the_client(self):
        source = "import sys\ndef handler(event, context):\n    return sys.path\n"
        run = self.run_client(source)
        paths = json.loads(run.posts[0].body)
        libraries = "/opt/python/lib/python%d.%d/site-packages" % self.version
        self.assertEqual(paths[:4], [run.task, libraries, "/opt/python", "/var/runtime"])
        self.assertEqual(len(paths), len(set(paths)))

    def test_hello_world_loads_neither_logging_nor_traceback(self):
        source = """
            import sys
            def handler(event, context):
                heavy = {"logging", "traceback", "socket", "http", "http.client", "ssl", "asyncio", "decimal"}
                return sorted(heavy & set(sys.modules))
        """
        self.assertEqual(self.result(source), [])

    def test_a_package_file_does_not_replace_a_standard_module_that_the_client_needs(self):
        source = """
            import logging
            def handler(event, context):
                logging.warning("still here")
                raise ValueError("x")
        """
        for name in ("logging.py", "string.py", "traceback/__init__.py"):
            with self.subTest(name):
                run = self.run_client(source, files={name: "raise SystemExit(9)\n"})
                self.assertEqual(self.failure(run)["errorType"], "ValueError", run.stderr)
                self.assertIn("still here", run.stdout)

    def test_a_compiled_client_behaves_as_the_source(self):
        with tempfile.TemporaryDirectory() as folder:
            compiled = os.path.join(folder, "bootstrap.pyc")
            script = "import py_compile, sys; py_compile.compile(*sys.argv[1:3], dfile='/var/runtime/bootstrap.py', doraise=True)"
            subprocess.run([self.python, "-c", script, CLIENT, compiled], check=True)
            run = self.run_client("def handler(event, context):\n    return 1 / event\n", events=[1, 0], client=compiled)
        self.assertEqual([p.path for p in run.posts], [self.path(0, "response"), self.path(1, "error")], run.stderr)
        trace = json.loads(run.posts[1].body)["stackTrace"]
        self.assertEqual(trace, ['  File "%s/handler.py", line 2, in handler\n    return 1 / event\n' % run.task])

    # -- failures at init

    def init_failure(self, **options):
        run = self.run_client(**options)
        self.assertEqual(run.code, 1, run.stderr)
        self.assertEqual([p.path for p in run.posts], ["/2018-06-01/runtime/init/error"])
        document = json.loads(run.posts[0].body)
        self.assertEqual(list(document), ["errorMessage", "errorType", "requestId", "stackTrace"])
        self.assertEqual(document["requestId"], "")
        self.assertEqual(run.posts[0].headers["Lambda-Runtime-Function-Error-Type"], document["errorType"])
        self.assertRegex(run.stdout, r"^\[WARNING\]\t\S+Z\t\tLAMBDA_WARNING: Unhandled exception\. ")
        self.assertIn("[ERROR] %s: " % document["errorType"], run.stdout)
        return document

    def test_a_missing_module_is_an_import_module_error(self):
        document = self.init_failure(handler="absent.handler")
        self.assertEqual(document, {
            "errorMessage": "Unable to import module 'absent': No module named 'absent'",
            "errorType": "Runtime.ImportModuleError", "requestId": "", "stackTrace": [],
        })

    def test_a_missing_member_is_handler_not_found(self):
        document = self.init_failure(handler="handler.absent")
        self.assertEqual(document["errorMessage"], "Handler 'absent' missing on module 'handler'")
        self.assertEqual(document["errorType"], "Runtime.HandlerNotFound")

    def test_a_name_without_a_dot_is_malformed(self):
        document = self.init_failure(handler="handler")
        self.assertEqual(document["errorType"], "Runtime.MalformedHandlerName")
        self.assertEqual(
            document["errorMessage"], "Bad handler 'handler': not enough values to unpack (expected 2, got 1)"
        )

    def test_a_builtin_module_is_refused(self):
        document = self.init_failure(handler="sys.exit")
        self.assertEqual(document["errorType"], "Runtime.BuiltInModuleConflict")
        self.assertEqual(document["errorMessage"], "Cannot use built-in module sys as a handler module")

    def test_broken_syntax_is_told_with_its_line(self):
        document = self.init_failure(source="x = 1\ndef broken(:\n")
        self.assertEqual(document["errorType"], "Runtime.UserCodeSyntaxError")
        self.assertRegex(document["errorMessage"], r"^Syntax error in module 'handler': .*\(handler.py, line 2\)$")
        self.assertRegex(document["stackTrace"][0], r'^  File ".*/handler.py" Line 2\n    def broken\(:\n$')

    def test_an_exception_at_import_has_an_empty_request_id(self):
        document = self.init_failure(source="raise KeyError('early')\n")
        self.assertEqual((document["errorType"], document["errorMessage"]), ("KeyError", "'early'"))
        self.assertRegex(document["stackTrace"][-1], r'^  File ".*/handler.py", line 1, in <module>\n    raise KeyError')
        self.assertNotIn("bootstrap.py", "".join(document["stackTrace"]))

    def test_an_exit_at_import_ends_the_process_silently(self):
        run = self.run_client("import sys\nsys.exit(4)\n")
        self.assertEqual((run.code, run.posts), (4, []))

    # -- failures of invocations

    def test_an_exception_is_told_with_its_trace_and_the_client_goes_on(self):
        source = """
            def inner():
                raise ValueError("bad thing")
            def handler(event, context):
                if event:
                    inner()
        """
        run = self.run_client(source, events=[1, 0])
        self.assertEqual([p.path for p in run.posts], [self.path(0, "error"), self.path(1, "response")])
        document = json.loads(run.posts[0].body)
        self.assertEqual(list(document), ["errorMessage", "errorType", "requestId", "stackTrace"])
        file = os.path.join(run.task, "handler.py")
        self.assertEqual(document, {
            "errorMessage": "bad thing", "errorType": "ValueError", "requestId": request_id(0), "stackTrace": [
                '  File "%s", line 6, in handler\n    inner()\n' % file,
                '  File "%s", line 3, in inner\n    raise ValueError("bad thing")\n' % file,
            ],
        })
        headers = run.posts[0].headers
        self.assertEqual(headers["Lambda-Runtime-Function-Error-Type"], "ValueError")
        cause = json.loads(headers["Lambda-Runtime-Function-XRay-Error-Cause"])
        self.assertEqual(cause["exceptions"][0]["stack"][1], {"label": "inner", "path": file, "line": 3})
        self.assertEqual(run.stdout, (
            "[ERROR] ValueError: bad thing\rTraceback (most recent call last):\r"
            '\u00a0\u00a0File "{0}", line 6, in handler\r\u00a0\u00a0\u00a0\u00a0inner()\r'
            '\u00a0\u00a0File "{0}", line 3, in inner\r\u00a0\u00a0\u00a0\u00a0raise ValueError("bad thing")\n'
        ).format(file))

    def test_a_handler_of_the_wrong_shape_fails_the_invocation(self):
        failure = self.failure(self.run_client("def handler():\n    pass\n"))
        self.assertEqual(failure["errorType"], "TypeError")
        self.assertIn("takes 0 positional arguments but 2 were given", failure["errorMessage"])

    def test_results_that_are_not_json_are_marshal_errors(self):
        for value, reason in (
            ("{1, 2}", "Object of type set is not JSON serializable"),
            ("{(1, 2): 3}", "keys must be str, int, float, bool or None, not tuple"),
            ("circle", "Circular reference detected"),
        ):
            with self.subTest(value):
                source = "circle = []\ncircle.append(circle)\ndef handler(event, context):\n    return %s\n" % value
                run = self.run_client(source)
                self.assertEqual(self.failure(run), {
                    "errorMessage": "Unable to marshal response: " + reason, "errorType": "Runtime.MarshalError",
                    "requestId": request_id(0), "stackTrace": [],
                })
                log = "[ERROR] Runtime.MarshalError: Unable to marshal response: %s\rTraceback " % reason
                self.assertTrue(run.stdout.startswith(log), run.stdout)

    def test_an_event_that_is_not_json_is_an_unmarshal_error(self):
        failure = self.failure(self.run_client(events=[b"{"]))
        self.assertEqual(failure["errorType"], "Runtime.UnmarshalError")
        self.assertRegex(failure["errorMessage"], "^Unable to unmarshal input: Expecting property name")

    def test_an_exit_in_the_handler_ends_the_process_with_its_code(self):
        for code in (0, 3):
            with self.subTest(code):
                run = self.run_client("import sys\ndef handler(e, c):\n    sys.exit(%d)\n" % code)
                self.assertEqual((run.code, run.posts), (code, []))

    def test_odd_error_texts_do_not_hide_the_failure(self):
        source = "def handler(event, context):\n    raise type('Na\\nme', (Exception,), {})('lone \\ud800 \\n end')\n"
        run = self.run_client(source, environ={"AWS_EXECUTION_ENV": "AWS_Lambda_python3.13"})
        self.assertEqual(self.failure(run)["errorType"], "Na\nme")
        self.assertEqual(run.posts[0].headers["Lambda-Runtime-Function-Error-Type"], "Na?me")

    def test_an_answer_refused_as_too_large_leaves_the_process_usable(self):
        run = self.run_client(events=[1, 2], answers=[413])
        self.assertEqual(len(run.posts), 2)
        self.assertIn("Failed to post handler success response. Http response code: 413.", run.stderr)

    def test_any_other_refusal_ends_the_process(self):
        run = self.run_client(events=[1, 2], answers=[403])
        self.assertEqual((run.code, len(run.posts)), (1, 1))
        self.assertIn("Http response code: 403.", run.stderr)

    # -- logs

    LOGGING = """
        import logging
        logging.getLogger().setLevel("INFO")
        def handler(event, context):
            print("raw", "line")
            logging.info("hello %s", "there")
            logging.getLogger("x").warning("two\\nlines", extra={"colour": "red"})
            logging.debug("hidden")
            context.log("direct\\n")
    """

    def test_text_logs_carry_level_time_and_request_id(self):
        run = self.run_client(self.LOGGING)
        stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
        self.assertRegex(run.stdout, (
            r"^raw line\n\[INFO\]\t{0}\t{1}\thello there\n\[WARNING\]\t{0}\t{1}\ttwo\nlines\ndirect\n$"
        ).format(stamp, request_id(0)))

    def test_framed_logs_keep_a_record_whole(self):
        run = self.run_client(self.LOGGING, framed=True)
        frames = parse_frames(run.stdout)
        self.assertEqual([kind for kind, _, _ in frames], [0xA55A0003] * 3)
        self.assertTrue(frames[1][2].endswith("\ttwo\nlines\n"))
        self.assertEqual(frames[2][2], "direct\n")
        self.assertLess(abs(frames[0][1] / 1e6 - time.time()), 60)

    def test_a_framed_error_is_one_error_frame(self):
        run = self.run_client("def handler(event, context):\n    raise ValueError('x')\n", framed=True)
        frames = parse_frames(run.stdout)
        self.assertEqual([kind for kind, _, _ in frames], [0xA55A0017])
        self.assertRegex(frames[0][2], "^\\[ERROR\\] ValueError: x\nTraceback \\(most recent call last\\):\n\u00a0\u00a0File")

    def test_json_logs_are_objects_filtered_by_level(self):
        source = """
            import logging
            def handler(event, context):
                logging.info("hidden")
                try:
                    1 / 0
                except ZeroDivisionError:
                    logging.getLogger("x").exception("oh", extra={"colour": "red"})
        """
        environ = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "WARN"}
        run = self.run_client(source, environ=environ)
        (line,) = [json.loads(line) for line in run.stdout.splitlines()]
        self.assertRegex(line.pop("timestamp"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(len(line.pop("stackTrace")), 1)
        self.assertRegex(line.pop("location"), r"handler\.py:handler:8$")
        self.assertEqual(line, {
            "level": "ERROR", "message": "oh", "logger": "x", "errorType": "ZeroDivisionError",
            "errorMessage": "division by zero", "requestId": request_id(0), "colour": "red",
        })
        framed = self.run_client(source, environ=environ, framed=True)
        self.assertEqual([kind for kind, _, _ in parse_frames(framed.stdout)], [0xA55A0016])

    def test_a_json_error_is_one_object(self):
        run = self.run_client(
            "def handler(event, context):\n    raise ValueError('x')\n", environ={"AWS_LAMBDA_LOG_FORMAT": "JSON"}
        )
        line = json.loads(run.stdout)
        self.assertEqual(
            list(line), ["timestamp", "level", "errorMessage", "errorType", "requestId", "stackTrace"]
        )
        self.assertEqual((line["level"], line["errorType"]), ("ERROR", "ValueError"))

    def test_output_without_an_end_of_line_is_not_lost(self):
        source = "import os, sys\ndef handler(e, c):\n    sys.stdout.write('part')\n    sys.stderr.write('err')\n    os._exit(7)\n"
        run = self.run_client(source)
        self.assertEqual((run.code, run.stdout, run.stderr), (7, "part", "err"))

    def test_output_is_utf8_whatever_the_locale(self):
        source = "def handler(event, context):\n    print('é')\n"
        run = self.run_client(source, environ={"LANG": "C", "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
        self.assertEqual(run.stdout, "é\n")


def interpreters():
    """version → path of each supported Python here; the real programs behind version managers are preferred."""
    found = {}
    for version in VERSIONS:
        managed = glob.glob(os.path.expanduser("~/.pyenv/versions/%s.*/bin/python%s" % (version, version)))
        for path in sorted(managed) + ["/usr/local/bin/python" + version, "/usr/bin/python" + version]:
            if os.access(path, os.X_OK):
                found[version] = path
                break
    return found


def make_classes():
    for version, path in interpreters().items():
        name = "Python" + version.replace(".", "_")
        numbers = tuple(int(part) for part in version.split("."))
        globals()[name] = type(name, (ClientTests, unittest.TestCase), {"python": path, "version": numbers})
    for version in sorted(set(VERSIONS) - set(interpreters())):
        reason = "python%s is not on this machine" % version
        missing = unittest.skip(reason)(type("Python" + version.replace(".", "_"), (unittest.TestCase,), {
            "test_the_client": lambda self: None,
        }))
        globals()[missing.__name__] = missing


make_classes()

if __name__ == "__main__":
    unittest.main()
