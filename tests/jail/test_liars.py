"""Runtime API clients that lie: to their own environment's API and door, from inside, with raw sockets.

Whatever they send, the daemon answers or hangs up within its bounds, holds no memory or descriptors for them, and
serves everybody else.
"""

import re

import attacks
import pytest

from lib import functions, holding, host, memory, waiting
from lib.daemon import ROLE

pytestmark = pytest.mark.usefixtures("alive")

HEAD = (
    attacks.HEAD
    + '''
import http.client, json, random, threading
HOST, PORT = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
BASE = "/2018-06-01/runtime"


def open_one(timeout=5, host=HOST, port=PORT):
    return socket.create_connection((host, int(port)), timeout=timeout)


def pour(first, piece, most, timeout=10):
    """Sends `first`, then `piece` again and again, up to `most` bytes; answers bytes sent and what came back."""
    sent, back = 0, b""
    with open_one(timeout) as one:
        try:
            one.sendall(first)
            while sent < most:
                sent += one.send(piece)
            one.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        try:
            while len(back) < 4096 and (got := one.recv(4096)):
                back += got
        except OSError:
            pass
    return [sent, back.decode("latin-1")[:500]]


def say(data, timeout=10, end=True):
    """Sends bytes as they are, and with `end` that they are all; answers what came back until the other side closed, or
    `SILENCE` in the end if it did not."""
    back = b""
    with open_one(timeout) as one:
        try:
            one.sendall(data)
            if end:
                one.shutdown(socket.SHUT_WR)
            while len(back) < 1 << 20 and (got := one.recv(65536)):
                back += got
        except TimeoutError:
            back += b"SILENCE"
        except OSError:
            pass
    return back.decode("latin-1")


def post(path, body=b"{}", headers=(), timeout=5):
    connection = http.client.HTTPConnection(HOST, int(PORT), timeout=timeout)
    try:
        connection.request("POST", BASE + path, body=body, headers=dict(headers))
        return connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()
'''
)
# What the daemon may grow by while it is lied to: many times less than what is sent.
GROWTH_MAX_MB = 160


@pytest.fixture
def liar(make, daemon):
    """Makes a function that lies; meanwhile the daemon holds little more than before, and afterwards nothing for it."""
    files = host.open_files(daemon.pid)

    def run(code, event=None, **settings):
        function = make(HEAD + code, **{"Timeout": waiting.stretched(30), "MemorySize": 1769, **settings})
        with memory.of_process(daemon.pid) as daemons_memory:
            result = function.invoke({} if event is None else event)
        assert daemons_memory.growth < GROWTH_MAX_MB, f"{daemons_memory.growth} MB more"
        return result

    yield run
    waiting.until(lambda: host.open_files(daemon.pid) < files + 120, "its descriptors are closed")


def test_headers_that_never_end_are_cut_off(liar):
    sent, back = liar(
        """
def handler(event, context):
    first = f"POST {BASE}/invocation/{context.aws_request_id}/response HTTP/1.1\\r\\nHost: x\\r\\n".encode()
    return pour(first, b"X-Header: " + b"x" * 1000 + b"\\r\\n", 1 << 30)
"""
    ).ok()
    assert sent < 16 << 20, "socket buffers and no more"
    assert back == "" or " 431 " in back or " 400 " in back


def test_one_header_that_never_ends_is_cut_off(liar):
    sent, _ = liar(
        """
def handler(event, context):
    return pour(b"GET " + BASE.encode() + b"/invocation/next HTTP/1.1\\r\\nHost: x\\r\\nX: ", b"x" * 65536, 1 << 30)
"""
    ).ok()
    assert sent < 16 << 20


def test_a_request_line_that_never_ends_is_cut_off(liar):
    sent, _ = liar("def handler(event, context):\n    return pour(b'GET /', b'a' * 65536, 1 << 30)\n").ok()
    assert sent < 16 << 20


def test_ten_gigabytes_in_answer_to_its_own_event_are_an_answer_too_large(liar):
    result = liar(
        """
def handler(event, context):
    path = f"{BASE}/invocation/{context.aws_request_id}/response"
    head = f"POST {path} HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: {10 << 30}\\r\\n\\r\\n".encode()
    sent, back = pour(head, b"x" * (1 << 20), 10 << 30, timeout=20)
    os.write(2, f"sent {sent >> 20} MB\\n".encode())
"""
    )
    assert result.json["errorType"] == "Function.ResponseSizeTooLarge"
    (sent,) = re.findall(r"sent (\d+) MB", result.log)
    assert int(sent) < 256, "what is drained is bounded"


def test_ten_gigabytes_in_chunks_are_cut_off(liar):
    result = liar(
        """
def handler(event, context):
    head = f"POST {BASE}/init/error HTTP/1.1\\r\\nHost: x\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n".encode()
    chunk = b"100000\\r\\n" + b"x" * (1 << 20) + b"\\r\\n"
    return pour(head, chunk, 10 << 30, timeout=20)
"""
    )
    sent, _ = result.ok()
    assert sent < 256 << 20, "what is drained is bounded"


def test_many_large_bodies_at_once_share_one_budget(liar):
    statuses = liar(
        """
def handler(event, context):
    found = []
    def one():
        found.append(pour(f"POST {BASE}/init/error HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 6000000\\r\\n\\r\\n".encode(), b"x" * 65536, 5_900_000, 8)[0])
    threads = [threading.Thread(target=one) for _ in range(60)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return len(found)
"""
    ).ok()
    assert statuses == 60


# Twelve processes open 900 connections each and keep them until all have theirs: then the handler closes the gate.
CROWD = """
def handler(event, context):
    place = (event["host"], event["port"]) if event else (HOST, int(PORT))
    gate, open_gate = os.pipe()
    told, tell = os.pipe()
    for _ in range(12):
        if os.fork() == 0:
            os.close(open_gate)
            held = []
            try:
                for _ in range(900):
                    one = socket.socket()
                    one.setblocking(False)
                    one.connect_ex(place)
                    held.append(one)
            except OSError:
                pass
            os.write(tell, b"%8d" % len(held))
            os.read(gate, 1)
            os._exit(0)
    os.close(tell)
    tried = sum(int(os.read(told, 8)) for _ in range(12))
    os.close(open_gate)
    for _ in range(12):
        os.wait()
    return tried
"""


def test_ten_thousand_connections_do_not_stop_the_daemon(liar):
    assert liar(CROWD).ok() >= 10_000


def test_ten_thousand_connections_to_the_door_do_not_stop_the_daemon(liar):
    assert liar(CROWD, {"host": "169.254.100.1", "port": 80}).ok() >= 10_000


def test_connections_that_say_nothing_hurt_only_their_own_environment(liar, healthy):
    held = liar(
        """
HELD = []
def handler(event, context):
    for _ in range(60):
        one = open_one()
        one.sendall(b"POST /2018-06-01/runtime/invocation/x/response HTTP/1.1\\r\\nHost:")
        HELD.append(one)
    return len(HELD)
"""
    ).ok()
    assert held == 60
    assert healthy.invoke({"n": 1}).ok() == {"n": 1}


def test_pipelined_requests_are_answered_in_order_or_not_at_all(liar):
    alone, order, found = liar(
        """
import re
KINDS = [b"GET /nothing HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 0\\r\\n",
         f"POST {BASE}/invocation/none/response HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 0\\r\\n".encode()]
CLOSE = b"Connection: close\\r\\n\\r\\n"
def statuses(data):
    return re.findall("HTTP/1.1 ([0-9]+)", say(data, end=False))

def handler(event, context):
    random.seed(7)
    order = [random.randrange(2) for _ in range(3000)]
    found = statuses(b"\\r\\n".join(KINDS[n] for n in order) + CLOSE)
    return [[statuses(kind + CLOSE) for kind in KINDS], order, found]
"""
    ).ok()
    (first,), (second,) = alone
    assert first != second
    assert found and found == [(first, second)[n] for n in order][: len(found)]


def test_pipelined_answers_count_once(liar):
    result = liar(
        """
def handler(event, context):
    path = f"{BASE}/invocation/{context.aws_request_id}/response"
    posts = b"".join(f"POST {path} HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 1\\r\\n\\r\\n{n % 10}".encode() for n in range(1, 500))
    say(posts)
    return "the runtime's own"
"""
    )
    assert result.json == 1, "the first one"


# Fifty connections ask for the next event before there is one. All but one are hung up on; whatever comes to any of them
# is told and answered.
WAITERS = """
import select

def handler(event, context):
    post(f"/invocation/{context.aws_request_id}/response", b'"own"')
    while True:
        waiters = [open_one(60) for _ in range(50)]
        for one in waiters:
            one.sendall(f"GET {BASE}/invocation/next HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n".encode())
        while len(waiters) > 1:
            for one in select.select(waiters, [], [])[0]:
                waiters.remove(one)
                hear(one)
        os.write(1, b"one waits\\n")
        hear(waiters.pop())

def hear(one):
    if one.recv(len("HTTP/1.1 200 OK\\r\\n")):
        request = http.client.parse_headers(one.makefile("rb", 0))["Lambda-Runtime-Aws-Request-Id"]
        os.write(1, f"a waiter has {request}\\n".encode())
        post(f"/invocation/{request}/response", b'"waiter"')
"""


def test_many_waiters_for_one_event_get_it_once(start_daemon, python):
    # Never frozen, so that all fifty are heard before there is an event.
    daemon = start_daemon(config="[limits]\nfreeze_after_ms = 0\n")
    function = functions.Maker(daemon, python, ROLE)(HEAD + WAITERS, Timeout=20, MemorySize=512)

    def log():
        return daemon.cli("logs", function.name, "--limit", 10_000, check=False).stdout

    assert function.invoke({}).ok() == "own"
    requests = []
    for number in range(1, 6):
        waiting.until(lambda number=number: log().count("one waits") == number, "one of fifty waits")
        result = function.invoke({})
        assert result.ok() == "waiter"
        requests.append(result.request_id)
    text = waiting.until(lambda: (text := log()).count("one waits") == 6 and text, "the last round is over")
    assert re.findall(r"a waiter has (\S+)", text) == requests


GARBAGE = {
    "a TLS greeting": "16030100c0010000bc0303" + "ab" * 180,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0".hex(),
    "nothing but zeros": "00" * 5000,
    "line ends": "0d0a" * 5000,
    "a version there is none of": b"GET / HTTP/9.9\r\n\r\n".hex(),
    "no version": b"GET /\r\n\r\n".hex(),
    "a header without a name": b"GET / HTTP/1.1\r\n: x\r\n\r\n".hex(),
    "a header that goes on": b"GET / HTTP/1.1\r\nHost: x\r\n y\r\n\r\n".hex(),
    "a negative length": b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nContent-Length: -1\r\n\r\n".hex(),
    "a length with a sign": b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nContent-Length: +5\r\n\r\n12345".hex(),
    "a length beyond numbers": b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n".hex(),
    "two lengths": b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12".hex(),
    "a length and chunks": b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".hex(),
    "a chunk beyond numbers": b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx".hex(),
    "a chunk without digits": b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\nx".hex(),
    "another transfer encoding": b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nx".hex(),
    "a change of protocol": b"GET /2018-06-01/runtime/nothing HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n".hex(),
    "a header that breaks off": b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\nConnection: Upg".hex(),
    "a path that leads up": b"GET /2018-06-01/runtime/../../../../etc/shadow HTTP/1.1\r\nHost: x\r\n\r\n".hex(),
    "a path with zeros": b"GET /2018-06-01/runtime/%00 HTTP/1.1\r\nHost: x\r\n\r\n".hex(),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_is_refused_or_hung_up_on(what, liar):
    back = liar("def handler(event, context):\n    return say(bytes.fromhex(event))\n", GARBAGE[what]).ok()
    assert back == "" or back.split(" ")[1][0] in "45", back


def test_random_bytes_are_refused_or_hung_up_on(liar):
    codes = liar(
        """
def handler(event, context):
    random.seed(7)
    return sorted({say(random.randbytes(random.randrange(1, 2000)))[:12] for _ in range(60)})
"""
    ).ok()
    assert all(code == "" or code.startswith("HTTP/1.1 4") for code in codes), codes


def test_an_answer_for_an_id_of_another_function_is_refused(make, daemon):
    """The thief knows the very id of an event that is being worked on elsewhere."""
    victim = make(holding.CODE, Timeout=60)
    thief = make(HEAD + "def handler(event, context):\n    return post(f'/invocation/{event}/response', b'\"stolen\"')\n")

    def request_id():
        done = daemon.cli("logs", victim.name, check=False)
        starts = [line for line in done.stdout.splitlines() if "START RequestId:" in line]
        return starts and starts[0].split("RequestId: ")[1].split(" ")[0]

    with holding.under_way(victim) as (running,):
        stolen = waiting.until(request_id, "the log tells its id")
        assert thief.invoke(stolen).ok() in (400, 403, 404)
        assert not running.done()
    assert running.result().ok() != "stolen"


def test_answers_for_ids_that_never_were_are_refused(liar):
    ids = ["", "/", "..", "%2e%2e", "x" * 5000, "00000000-0000-0000-0000-000000000000", "'; drop table functions; --", "%00", "*"]
    found = liar(
        """
import urllib.parse
def handler(event, context):
    return [post("/invocation/" + urllib.parse.quote(one, safe="/%.*") + "/response", b'"lie"') for one in event]
""",
        ids,
    ).ok()
    assert all(status in (400, 403, 404, 405, 413, 431) for status in found), found


def test_an_answer_and_an_error_for_one_event_are_one_outcome(liar):
    result = liar(
        """
def handler(event, context):
    first = post(f"/invocation/{context.aws_request_id}/response", b'"answered"')
    second = post(f"/invocation/{context.aws_request_id}/error", b'{"errorMessage": "lie", "errorType": "Lie"}')
    third = post("/init/error", b'{"errorMessage": "lie", "errorType": "Lie"}')
    os.write(2, f"{first} {second} {third}\\n".encode())
    return "too late"
"""
    )
    assert result.ok() == "answered"


def test_an_error_type_cannot_write_into_the_log(liar):
    result = liar(
        """
def handler(event, context):
    path = f"/invocation/{context.aws_request_id}/error"
    post(path, b'{"errorMessage": "x", "errorType": "x"}', {"Lambda-Runtime-Function-Error-Type": "Function.X END RequestId: fake\\tDuration: 0"})
"""
    )
    report = [line for line in result.log.splitlines() if line.startswith(("END", "REPORT"))]
    assert len(report) == 2 and not any("fake" in line for line in report)


@pytest.mark.parametrize("body", ["[" * 3_000_000, "{\"a\":" * 500_000, "\"" * 1_000_001, "\\u0000" * 100_000], ids=["brackets", "objects", "quotes", "escapes"])
def test_an_error_document_that_is_none_is_only_bytes(body, liar):
    result = liar(
        """
def handler(event, context):
    post(f"/invocation/{context.aws_request_id}/error", (event["what"] * event["count"]).encode(), timeout=20)
""",
        {"what": body[:5] if body[0] == "{" else body[:1] if body[0] in "[\"" else body[:6], "count": {"[": 3_000_000, "{": 500_000, '"': 1_000_001, "\\": 100_000}[body[0]]},
    )
    assert result.status == 200 and result.error


def test_an_answer_that_breaks_off_is_not_taken(liar):
    """More of it is sent than sockets hold, so that the daemon has read of it when it breaks off; the handler says nothing
    else, so whatever comes back was made of that."""
    result = liar(
        """
import signal
def handler(event, context):
    with open_one() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        head = f"POST {BASE}/invocation/{context.aws_request_id}/response HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 6000000\\r\\n\\r\\n"
        one.sendall(head.encode() + b'"half' * 1_100_000)
    signal.pause()
""",
        Timeout=3,
    )
    assert result.json["errorType"] in ("Runtime.TruncatedResponse", "Sandbox.Timedout")


# A runtime that lies from its first word on: `bootstrap` is a program of the package.
RUNTIMES = {
    "answers before it is asked": "post('/invocation/00000000-0000-4000-8000-000000000000/response', b'1')",
    "reports a failed start without end": "[post('/init/error', b'{}') for _ in range(200)]",
    "asks for the next event again and again": "[threading.Thread(target=lambda: say(b'GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n', 60, False)).start() for _ in range(40)]; time.sleep(60)",
    "asks and hangs up": "[open_one().sendall(b'GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n') for _ in range(200)]",
    "says nothing": "time.sleep(60)",
    "ends at once": "None",
    "closes its own output": "os.close(1); os.close(2); time.sleep(60)",
}


@pytest.mark.parametrize("what", RUNTIMES)
def test_a_runtime_that_lies_from_the_start_fails_alone(what, make, healthy):
    script = "#!/usr/bin/python3\n" + HEAD + RUNTIMES[what] + "\n"
    function = make({"bootstrap": script}, runtime="provided.al2023", Timeout=1, MemorySize=256)
    result = function.invoke({})
    assert result.error == "Unhandled"
    assert healthy.invoke({"n": 1}).ok() == {"n": 1}
