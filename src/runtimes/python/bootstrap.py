"""Runtime client for Python functions: takes invocations from the Runtime API and answers them.

It behaves as AWS's client does (handler forms, error documents, log lines, JSON encoding), because functions
and log scrapers depend on it, and it is small, because its start is part of every cold start: no `http`, no
`socket`, and `logging` and `traceback` are loaded only when somebody needs them.
It is one file, longer than the rule allows, because every further module is one more search at a cold start.
Deliberately absent: any dependency, threads, time-outs (the platform owns time), multi-concurrency and SnapStart.
Runs on CPython 3.9 to 3.14; started as a script, as source or compiled, with the handler in `_HANDLER`.
"""

import sys

import _socket
import importlib
import json
import os
import time

API_VERSION = "/2018-06-01/runtime/"
MAX_RESPONSE_BYTES = 6_291_556  # 6 MiB + 100, the platform's limit
MAX_HEAD_BYTES = 1024 * 1024
MAX_CAUSE_BYTES = 64 * 1024  # a larger X-Ray cause is dropped by the platform
JOIN_BYTES = 64 * 1024  # bodies up to this size leave in one write with their head
NBSP = "\u00a0"

# Standard modules that `logging`, `traceback` and `decimal` bring in. If the function ships a file of one of these
# names it would be taken for the standard one when loaded late, so they are then loaded before the function's path.
LAZY_MODULES = frozenset(
    "logging traceback linecache tokenize token string weakref threading textwrap contextlib warnings decimal "
    "_pydecimal numbers contextvars codeop keyword _colorize _weakrefset __future__ ast dis opcode _opcode_metadata "
    "inspect types collections functools io dataclasses copy typing datetime fractions atexit".split()
)

FRAME_TEXT = 0xA55A0003
FRAME_JSON = 0xA55A0002
FRAME_LEVELS = {10: 0x08, 20: 0x0C, 30: 0x10, 40: 0x14, 50: 0x18}
ERROR_LEVEL = 40

INIT_FAILED_WARNING = (
    "LAMBDA_WARNING: Unhandled exception. The most likely cause is an issue in the function code. However, in rare "
    "cases, a Lambda runtime update can cause unexpected function behavior. For functions using managed runtimes, "
    "runtime updates can be triggered by a function change, or can be applied automatically. To determine if the "
    "runtime has been updated, check the runtime version in the INIT_START log entry. If this error correlates with "
    "a change in the runtime version, you may be able to mitigate this error by temporarily rolling back to the "
    "previous runtime version. For more information, see "
    "https://docs.aws.amazon.com/lambda/latest/dg/runtimes-update.html"
)

# From 3.12 on AWS answers in UTF-8, before that in ASCII with \u escapes.
ASCII_ONLY = (
    os.environ.get("AWS_EXECUTION_ENV", "AWS_Lambda_python3.%d" % sys.version_info[1])
    .rpartition("python3.")[2] in ("9", "10", "11")
)
LOG_JSON = os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"
LOG_LEVEL = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
if LOG_LEVEL == "TRACE":
    LOG_LEVEL = "DEBUG"  # Python knows no TRACE


class Fault(Exception):
    """A failure that the client itself names, such as a handler that cannot be found."""

    def __init__(self, error_type, message, trace=None):
        super().__init__(message)
        self.error_type = error_type
        self.message = message
        self.trace = trace


class CallFailed(Exception):
    """The Runtime API refused a call; the process cannot go on."""


# ---- JSON -----------------------------------------------------------------------------------------------------------


class _Decimals:
    """Writes `Decimal`s as plain numbers, digit for digit, which `json` itself cannot do.

    The encoder sees a string wrapped in a random mark; the mark and the quotes around it are taken out afterwards.
    """

    mark = None

    @classmethod
    def default(cls, value):
        if isinstance(value, bytes):
            return value.decode("utf-8")
        decimal = sys.modules.get("decimal")
        if decimal is not None and isinstance(value, decimal.Decimal):
            if value.is_nan():
                return float("nan")
            if cls.mark is None:
                cls.mark = os.urandom(16).hex()
            return cls.mark + str(value) + cls.mark
        raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)

    @classmethod
    def unwrap(cls, text):
        if cls.mark is None:
            return text
        return text.replace('"' + cls.mark, "").replace(cls.mark + '"', "")


_encode = json.JSONEncoder(ensure_ascii=ASCII_ONLY, default=_Decimals.default).encode
_encode_ascii = json.JSONEncoder(default=str).encode


def _holds_named_tuple(value):
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return False
    elif hasattr(value, "_asdict"):
        return True
    for item in value:
        if isinstance(item, (dict, list, tuple)) and _holds_named_tuple(item):
            return True
    return False


def _normalise(value):
    """Named tuples become objects and bytes keys text, as AWS's encoder has it."""
    if isinstance(value, dict):
        return {(k.decode("utf-8") if isinstance(k, bytes) else k): _normalise(v) for k, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _normalise(dict(value._asdict()))
    if isinstance(value, (list, tuple)):
        return [_normalise(item) for item in value]
    return value


def to_json(value):
    try:
        if _holds_named_tuple(value):
            value = _normalise(value)
    except RecursionError:
        pass  # circular: the encoder says so in its own words
    try:
        text = _encode(value)
    except TypeError as error:
        if "not bytes" not in str(error):
            raise
        text = _encode(_normalise(value))
    return _Decimals.unwrap(text)


def _document(value):
    """An error document as bytes; a lone surrogate in a message must not hide the failure it describes."""
    return _encode(value).encode("utf-8", "backslashreplace")


# ---- Runtime API ----------------------------------------------------------------------------------------------------


class RuntimeApi:
    """One keep-alive connection, one call at a time, no time-outs: `next` may block for days."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self._peer = (host, int(port))
        self._socket = None
        self._rest = b""
        self._heard = False  # has the answer to this call begun?
        self._common = " HTTP/1.1\r\nHost: %s\r\nUser-Agent: hearth-python/%d.%d.%d\r\n" % (
            (address,) + tuple(sys.version_info[:3])
        )
        self._next = ("GET " + API_VERSION + "invocation/next" + self._common + "\r\n").encode("latin-1")

    def next(self):
        status, headers, body = self._exchange(self._next, b"")
        if status != 200:
            raise CallFailed("Failed to get next invocation. Http response code: %d." % status)
        return headers, body

    def post(self, path, body, headers):
        """Posts `body` and returns the status; headers that are `None` are left out."""
        lines = ["POST ", API_VERSION, path, self._common]
        for name, value in headers:
            if value:
                lines.append("%s: %s\r\n" % (name, _header_value(value)))
        lines.append("Content-Length: %d\r\n\r\n" % len(body))
        head = "".join(lines).encode("latin-1")
        try:
            return self._exchange(head, body)[0]
        except OSError:
            if len(body) > MAX_RESPONSE_BYTES:
                return 413  # the platform may hang up before it has read an oversized body
            raise

    def _exchange(self, head, body):
        while True:
            reused = self._socket is not None
            if not reused:
                self._connect()
            try:
                self._send(head, body)
                return self._receive()
            except OSError:
                self._close()
                # An idle connection may have been closed by the other side; a fresh one may not.
                if self._heard or not reused:
                    raise

    def _connect(self):
        link = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        link.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        link.connect(self._peer)
        self._socket = link
        self._rest = b""

    def _close(self):
        self._socket.close()
        self._socket = None
        self._rest = b""

    def _send(self, head, body):
        self._heard = False
        try:
            if len(body) <= JOIN_BYTES:
                self._socket.sendall(head + body)
            else:
                self._socket.sendall(head)
                self._socket.sendall(body)
        except (BrokenPipeError, ConnectionResetError):
            # A refusal may have been sent before the connection was closed for writing.
            if not self._fill():
                raise

    def _fill(self):
        chunk = self._socket.recv(65536)
        self._rest += chunk
        self._heard = self._heard or bool(chunk)
        return len(chunk)

    def _receive(self):
        while True:
            end = self._rest.find(b"\r\n\r\n")
            while end < 0:
                if len(self._rest) > MAX_HEAD_BYTES or not self._fill():
                    raise ConnectionResetError("the Runtime API closed the connection")
                end = self._rest.find(b"\r\n\r\n")
            lines = self._rest[:end].decode("utf-8", "surrogateescape").split("\r\n")
            self._rest = self._rest[end + 4:]
            status = int(lines[0].split(" ", 2)[1])
            if status >= 200:
                break
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = self._chunks()
        else:
            body = self._take(int(headers.get("content-length", 0)))
        if headers.get("connection", "").lower() == "close":
            self._close()
        return status, headers, body

    def _take(self, size):
        body = self._rest[:size]
        self._rest = self._rest[size:]
        if len(body) == size:
            return body
        whole = bytearray(size)
        whole[: len(body)] = body
        view = memoryview(whole)
        at = len(body)
        while at < size:
            got = self._socket.recv_into(view[at:])
            if not got:
                raise ConnectionResetError("the Runtime API closed the connection")
            at += got
        return bytes(whole)

    def _line(self):
        while b"\r\n" not in self._rest:
            if not self._fill():
                raise ConnectionResetError("the Runtime API closed the connection")
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line

    def _chunks(self):
        body = b""
        while True:
            size = int(self._line().split(b";")[0], 16)
            if size == 0:
                while self._line():
                    pass
                return body
            body += self._take(size)
            self._take(2)


def _header_value(text):
    return "".join(c if " " <= c <= "~" else "?" for c in text)


# ---- Logs -----------------------------------------------------------------------------------------------------------


class Unbuffered:
    """Flushes every write, so that output is seen even if the process is killed or frozen right after it."""

    def __init__(self, stream):
        self.stream = stream

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def write(self, text):
        written = self.stream.write(text)
        self.stream.flush()
        return written

    def writelines(self, lines):
        self.stream.writelines(lines)
        self.stream.flush()


class PlainSink:
    """Log records as lines on standard output; a carriage return keeps an error one line."""

    def log(self, text, frame=None):
        sys.stdout.write(text)

    def log_error(self, lines, frame):
        # A lone surrogate in a message must not hide the failure it describes.
        text = "\r".join(lines).encode("utf-8", "backslashreplace").decode("utf-8")
        sys.stdout.write(text + "\n")


class FramedSink:
    """Log records as frames on a descriptor of the platform: type, length, microseconds, text; big-endian."""

    def __init__(self, fd):
        self._fd = fd
        if fd > 2:  # the standard streams belong to the function's own children, too
            os.set_inheritable(fd, False)

    def log(self, text, frame=None):
        data = text.encode("utf-8", "backslashreplace")
        frame = FRAME_TEXT if frame is None else frame
        stamp = time.time_ns() // 1000
        if self._fd == 1:  # what was printed before comes first
            sys.stdout.flush()
        data = frame.to_bytes(4, "big") + len(data).to_bytes(4, "big") + stamp.to_bytes(8, "big") + data
        while data:
            data = data[os.write(self._fd, data):]

    def log_error(self, lines, frame):
        self.log("\n".join(lines), frame)


def make_sink():
    fd = os.environ.pop("_LAMBDA_TELEMETRY_LOG_FD", None)
    return PlainSink() if fd is None else FramedSink(int(fd))


def _frame_of(levelno):
    level = min(50, max(0, levelno)) // 10 * 10
    return (FRAME_JSON if LOG_JSON else FRAME_TEXT) | FRAME_LEVELS.get(level, 0)


def log_error(document, sink):
    if LOG_JSON:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        lines = [to_json({"timestamp": stamp, "level": "ERROR", **document})]
    else:
        first = "[ERROR]"
        if document["errorType"]:
            first += " " + document["errorType"]
        if document["errorMessage"]:
            first += (": " if document["errorType"] else " ") + document["errorMessage"]
        lines = [first, "Traceback (most recent call last):"]
        for element in document["stackTrace"]:
            for line in element.splitlines() or [""]:
                text = line.lstrip(" ")
                lines.append(NBSP * (len(line) - len(text)) + text)
    sink.log_error(lines, _frame_of(ERROR_LEVEL))


class Current:
    """What the log lines name; set for each invocation."""

    request_id = ""
    tenant_id = None


def install_logging(logging, sink):
    """Gives the root logger the platform's handler, format and level."""
    logging.Formatter.converter = time.gmtime

    class LambdaLoggerHandler(logging.Handler):
        def __init__(self):
            super().__init__()
            self.log_sink = sink

        def emit(self, record):
            text = self.format(record)
            sink.log(text, _frame_of(record.levelno) if LOG_JSON or LOG_LEVEL else None)

    class LambdaLoggerFilter(logging.Filter):
        def filter(self, record):
            record.aws_request_id = Current.request_id
            record.tenant_id = Current.tenant_id
            return True

    handler = LambdaLoggerHandler()
    if LOG_JSON:
        handler.setFormatter(_json_formatter(logging))
    else:
        handler.setFormatter(logging.Formatter(
            "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n", "%Y-%m-%dT%H:%M:%S"
        ))
    handler.addFilter(LambdaLoggerFilter())
    root = logging.getLogger()
    if LOG_LEVEL in ("DEBUG", "INFO", "WARN", "WARNING", "ERROR", "FATAL", "CRITICAL"):
        root.setLevel(LOG_LEVEL)
    root.addHandler(handler)


def _json_formatter(logging):
    standard = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "aws_request_id", "tenant_id"}
    encode = json.JSONEncoder(ensure_ascii=False, default=str).encode

    class JsonFormatter(logging.Formatter):
        def format(self, record):
            level = min(50, max(0, record.levelno)) // 10 * 10
            result = {
                "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
                "level": logging.getLevelName(level),
                "message": record.msg if isinstance(record.msg, dict) and not record.args else record.getMessage(),
                "logger": record.name,
            }
            if record.exc_info:
                import traceback

                kind, value, trace = record.exc_info
                result["stackTrace"] = traceback.format_tb(trace)
                result["errorType"] = getattr(kind, "__name__", None)
                result["errorMessage"] = str(value)
            result["requestId"] = record.aws_request_id
            if record.exc_info:
                result["location"] = "%s:%s:%s" % (record.pathname, record.funcName, record.lineno)
            if record.tenant_id is not None:
                result["tenantId"] = record.tenant_id
            for key, value in record.__dict__.items():
                if key not in standard and key not in result:
                    result[key] = value
            return encode({k: v for k, v in result.items() if v is not None}) + "\n"

    return JsonFormatter()


class LoggingOnDemand:
    """Finds `logging` for the first importer and configures it before that importer sees it."""

    def __init__(self, sink):
        self._sink = sink

    def find_spec(self, name, path=None, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        for finder in list(sys.meta_path):
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                break
        else:
            return None
        execute, sink = spec.loader.exec_module, self._sink

        def exec_module(module):
            execute(module)
            install_logging(module, sink)

        spec.loader.exec_module = exec_module
        return spec


# ---- Context --------------------------------------------------------------------------------------------------------


class _Record:
    """An object with fixed members, each `None` if it was not given."""

    __slots__ = ()

    def __init__(self, members):
        for name in self.__slots__:
            setattr(self, name, members.get(name))

    def __repr__(self):
        return "%s([%s])" % (type(self).__name__, ",".join("%s=%s" % (n, getattr(self, n)) for n in self.__slots__))


class CognitoIdentity(_Record):
    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")


class Client(_Record):
    __slots__ = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")


class ClientContext(_Record):
    __slots__ = ("custom", "env", "client")


class LambdaContext:
    """What a handler gets as its second argument."""

    _SHOWN = (
        "aws_request_id log_group_name log_stream_name function_name memory_limit_in_mb function_version "
        "invoked_function_arn client_context identity tenant_id"
    ).split()

    def __init__(self, headers, sink):
        environ = os.environ.get
        self.aws_request_id = headers.get("lambda-runtime-aws-request-id")
        self.log_group_name = environ("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = environ("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = environ("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = environ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = environ("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn")
        self.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
        client = _json_header(headers.get("lambda-runtime-client-context"), "Client Context")
        trace = client.pop("w3c", None) if isinstance(client, dict) else None
        self._w3c_fields = {
            k: trace[k] for k in ("traceparent", "tracestate", "baggage") if isinstance(trace.get(k), str)
        } if isinstance(trace, dict) else {}
        self.client_context = None
        if client is not None:
            self.client_context = ClientContext(client)
            if self.client_context.client is not None:
                self.client_context.client = Client(self.client_context.client)
        identity = _json_header(headers.get("lambda-runtime-cognito-identity"), "Cognito Identity") or {}
        self.identity = CognitoIdentity({
            "cognito_identity_id": identity.get("cognitoIdentityId"),
            "cognito_identity_pool_id": identity.get("cognitoIdentityPoolId"),
        })
        self._epoch_deadline_time_in_ms = int(headers.get("lambda-runtime-deadline-ms") or 0)
        self._sink = sink

    def get_remaining_time_in_millis(self):
        return max(0, self._epoch_deadline_time_in_ms - int(time.time() * 1000))

    def w3c(self):
        return dict(self._w3c_fields)

    def log(self, message):
        self._sink.log(str(message))

    def __repr__(self):
        shown = ",".join("%s=%s" % (name, getattr(self, name)) for name in self._SHOWN)
        return "LambdaContext([%s])" % shown


def _json_header(text, name):
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise Fault("Runtime.LambdaContextUnmarshalError", "Unable to parse %s JSON: %s" % (name, error))


# ---- Handler --------------------------------------------------------------------------------------------------------


def find_handler(name):
    """Imports the function's module and returns its handler, or raises the `Fault` that says why not."""
    try:
        module_name, member = name.rsplit(".", 1)
    except ValueError as error:
        raise Fault("Runtime.MalformedHandlerName", "Bad handler '%s': %s" % (name, error))
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise Fault(
            "Runtime.BuiltInModuleConflict", "Cannot use built-in module %s as a handler module" % module_name
        )
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise Fault("Runtime.ImportModuleError", "Unable to import module '%s': %s" % (module_name, error))
    except SyntaxError as error:
        trace = ['  File "%s" Line %s\n    %s' % (error.filename, error.lineno, error.text)]
        raise Fault(
            "Runtime.UserCodeSyntaxError", "Syntax error in module '%s': %s" % (module_name, error), trace
        )
    try:
        return getattr(module, member)
    except AttributeError:
        raise Fault("Runtime.HandlerNotFound", "Handler '%s' missing on module '%s'" % (member, module_name))


def describe(error, request_id):
    """An exception as (error document, X-Ray cause)."""
    if isinstance(error, Fault):
        kind, message, frames = "LambdaValidationError", error.message, []
        document = _error_document(message, error.error_type, request_id, error.trace or [])
    else:
        import traceback

        kind, message = type(error).__name__, str(error)
        frames = [(f.filename, f.lineno, f.name, f.line) for f in traceback.extract_tb(error.__traceback__)]
        own = 0
        own_file = describe.__code__.co_filename  # `__file__` is another one when a compiled client was started
        while own < len(frames) and frames[own][0] == own_file:
            own += 1
        if own < len(frames):
            frames = frames[own:]
        document = _error_document(message, kind, request_id, traceback.format_list(frames))
    stack = [{"label": name, "path": path, "line": line} for path, line, name, _ in frames]
    cause = {
        "working_directory": os.getcwd(),
        "exceptions": [{"message": message, "type": kind, "stack": stack}],
        "paths": sorted({path for path, _, _, _ in frames}),
    }
    return document, cause


def _error_document(message, error_type, request_id, trace):
    return {"errorMessage": message, "errorType": error_type, "requestId": request_id, "stackTrace": trace}


def handle(handler, headers, body, sink):
    """Runs one invocation: (content type, answer) or the exception that it came to, as (None, exception)."""
    try:
        context = LambdaContext(headers, sink)
        event = body
        if headers.get("content-type", "application/json") == "application/json":
            try:
                event = json.loads(body)
            except ValueError as error:
                raise Fault("Runtime.UnmarshalError", "Unable to unmarshal input: %s" % error)
        result = handler(event, context)
        if isinstance(result, bytes):
            return "application/unknown", result
        try:
            return "application/json", to_json(result).encode("utf-8")
        except Exception as error:
            raise Fault("Runtime.MarshalError", "Unable to marshal response: %s" % error)
    except Exception as error:
        return None, error


def serve_one(api, handler, sink):
    headers, body = api.next()
    Current.request_id = request_id = headers.get("lambda-runtime-aws-request-id", "")
    Current.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
    trace_id = headers.get("lambda-runtime-trace-id")
    if trace_id:
        os.environ["_X_AMZN_TRACE_ID"] = trace_id
    else:
        os.environ.pop("_X_AMZN_TRACE_ID", None)
    content_type, answer = handle(handler, headers, body, sink)
    echo = ("Lambda-Runtime-Invocation-Id", headers.get("lambda-runtime-invocation-id"))
    if content_type is not None:
        status = api.post(
            "invocation/" + request_id + "/response", answer, (("Content-Type", content_type), echo)
        )
        _check(status, "success response")
        return
    document, cause = describe(answer, request_id)
    del answer
    log_error(document, sink)
    cause = _encode_ascii(cause)
    status = api.post("invocation/" + request_id + "/error", _document(document), (
        ("Content-Type", "application/json"),
        ("Lambda-Runtime-Function-Error-Type", document["errorType"]),
        ("Lambda-Runtime-Function-XRay-Error-Cause", cause if len(cause) <= MAX_CAUSE_BYTES else None),
        echo,
    ))
    _check(status, "failure")


def _check(status, what):
    if status == 202:
        return
    sys.stderr.write("[ERROR] [%d] LAMBDA_RUNTIME Failed to post handler %s. Http response code: %d.\n" % (
        time.time() * 1000, what, status
    ))
    # An answer that is too large is settled by the platform and the environment stays good; any other refusal means
    # that this process and the platform disagree about what is running.
    if status != 413:
        raise CallFailed("Failed to post invocation %s" % what)


def report_init_failure(api, error, sink):
    import logging

    document, _ = describe(error, "")
    logging.getLogger().warning(INIT_FAILED_WARNING)
    log_error(document, sink)
    api.post("init/error", _document(document), (
        ("Content-Type", "application/json"),
        ("Lambda-Runtime-Function-Error-Type", document["errorType"]),
    ))


# ---- Start ----------------------------------------------------------------------------------------------------------


def search_path():
    """Where the function's imports are looked for: package, layers, client, then the interpreter's own."""
    libraries = "/opt/python/lib/python%d.%d/site-packages" % sys.version_info[:2]
    runtime = os.environ.get("LAMBDA_RUNTIME_DIR", "/var/runtime")
    return [os.environ.get("LAMBDA_TASK_ROOT", "/var/task"), libraries, "/opt/python", runtime]


def _shadows_standard_modules(directories):
    for directory in directories:
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        if not LAZY_MODULES.isdisjoint(name.partition(".")[0] for name in names):
            return True
    return False


def prepare(sink):
    """Standard streams, search path and logging, in this order."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream.encoding.lower() not in ("utf-8", "utf8"):
            stream.reconfigure(encoding="utf-8")
        setattr(sys, name, Unbuffered(stream))
    own = search_path()
    sys.meta_path.insert(0, LoggingOnDemand(sink))
    if _shadows_standard_modules(own[:3]):
        import decimal  # noqa: F401
        import logging  # noqa: F401
        import traceback  # noqa: F401
    # The first entry is the directory of this script.
    sys.path[:] = own + [entry for entry in sys.path[1:] if entry not in own]


def main():
    sink = make_sink()
    prepare(sink)
    api = RuntimeApi(os.environ["AWS_LAMBDA_RUNTIME_API"])
    try:
        handler = find_handler(os.environ.get("_HANDLER") or sys.argv[-1])
    except Exception as error:
        report_init_failure(api, error, sink)
        sys.exit(1)
    while True:
        serve_one(api, handler, sink)


if __name__ == "__main__":
    main()
