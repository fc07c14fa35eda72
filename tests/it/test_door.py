"""The door to the daemon: web pages stay outside, big and slow requests cost nobody anything."""

import concurrent.futures
import socket
import time

import pytest

from lib import daemon as daemons
from lib import functions, holding, waiting, wire

LIST = "/2015-03-31/functions"
FOREIGN = "http://evil.example"


def attack(daemon, headers, method="GET", path=LIST, body=None):
    return wire.request(daemon.address, method, path, body, headers)


# --- web pages ---


@pytest.mark.parametrize(
    "origin", [FOREIGN, "null", "https://127.0.0.1.evil.example", "file://", "http://localhost.evil.example"]
)
def test_a_foreign_origin_is_refused(origin, daemon):
    assert attack(daemon, {"Origin": origin}).status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_cross_site_fetch_is_refused(site, daemon):
    assert attack(daemon, {"Sec-Fetch-Site": site}).status == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:3001", "127.0.0.1.evil.example", "localhost.evil.example", "192.0.2.1", ""]
)
def test_a_foreign_host_is_refused(host, daemon):
    """This is what a page behind a rebound name sends."""
    assert attack(daemon, {"Host": host}).status in (400, 403)
    if host:
        assert attack(daemon, {"Host": host}).status == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_loopback_hosts_are_let_in(host, daemon):
    port = daemon.address[1]
    assert attack(daemon, {"Host": f"{host}:{port}"}).status == 200


def test_a_configured_host_is_let_in(start_daemon):
    daemon = start_daemon(config='allowed_hosts = ["lambda.internal"]\n')
    assert attack(daemon, {"Host": "lambda.internal"}).status == 200
    assert attack(daemon, {"Host": "other.internal"}).status == 403


def test_a_page_can_neither_invoke_nor_ask_beforehand(daemon, echo):
    path = f"{LIST}/{echo.name}/invocations"
    assert attack(daemon, {"Origin": FOREIGN, "Content-Type": "text/plain"}, "POST", path, b"{}").status == 403
    preflight = {"Origin": FOREIGN, "Access-Control-Request-Method": "POST"}
    answer = attack(daemon, preflight, "OPTIONS", path)
    assert answer.status in (403, 404, 405)
    assert not [name for name in answer.headers if name.startswith("access-control-")]


PAGE = """
PAGE = "<script>fetch('/2015-03-31/functions')</script>"

def handler(event, context):
    headers = {"Content-Type": "text/html", "Content-Security-Policy": "default-src *", "Service-Worker-Allowed": "/"}
    return {"statusCode": 200, "headers": headers, "body": PAGE}
"""


def test_a_page_that_a_function_shows_by_path_cannot_ask_this_origin(start_daemon, python):
    """Its address has the API's origin; what it sends from there says so, or the browser gives it another."""
    daemon = start_daemon(config='auth = "none"\nallowed_hosts = ["lambda.internal"]\n')
    function = functions.Maker(daemon, python, daemons.ROLE)(PAGE)
    url = function.client.create_function_url_config(FunctionName=function.name, AuthType="NONE")["FunctionUrl"]
    host = url.split("/")[2]
    path = f"/lambda-url/{host.split('.')[0]}/"
    for name in (f"127.0.0.1:{daemon.address[1]}", "localhost", "lambda.internal"):
        answer = attack(daemon, {"Host": name}, path=path)
        assert answer.status == 200 and "<script>" in answer.body.decode()
        policies = answer.all("content-security-policy")
        sandboxed = [policy for policy in policies if policy.startswith("sandbox")]
        # No `allow-same-origin`: the page's origin is no one's. Its own policy holds beside it and cannot take it back.
        assert sandboxed and all("allow-same-origin" not in policy for policy in sandboxed)
    by_name = attack(daemon, {"Host": host}, path="/")
    assert by_name.status == 200 and by_name.all("content-security-policy") == ["default-src *"]
    own = f"http://127.0.0.1:{daemon.address[1]}"
    for headers in (
        {"Sec-Fetch-Site": "same-origin"},
        {"Origin": own},
        {"Origin": "http://localhost:8080"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-origin", "Origin": own},
    ):
        assert attack(daemon, headers).status == 403, headers
    assert attack(daemon, {"Sec-Fetch-Site": "none"}).status == 200
    listed = {"Host": "lambda.internal", "Origin": "https://lambda.internal", "Sec-Fetch-Site": "same-origin"}
    assert attack(daemon, listed).status == 200


def test_the_admin_address_has_the_same_door(daemon):
    host, port = daemon.admin.removeprefix("http://").rsplit(":", 1)
    address = (host, int(port))
    assert wire.request(address, "GET", "/metrics", headers={"Origin": FOREIGN}).status == 403
    assert wire.request(address, "GET", "/metrics", headers={"Host": "evil.example"}).status == 403


# --- malformed and oversize requests ---


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST " + LIST.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: x\r\n\r\n",
        b"POST "
        + LIST.encode()
        + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"POST " + LIST.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET " + b"/" * 200_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /2015-03-31/functions/%ff%fe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
)
def test_nonsense_on_the_wire_is_refused_and_the_daemon_lives(data, daemon):
    status = wire.status_of(wire.raw(daemon.address, data))
    assert status is None or 400 <= status < 500
    assert attack(daemon, {}).status == 200


def test_headers_beyond_the_limit_are_refused(daemon):
    lines = b"".join(b"X-Filler-%d: %s\r\n" % (n, b"a" * 8_000) for n in range(160))
    head = b"GET " + LIST.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n" + lines + b"\r\n"
    assert wire.status_of(wire.raw(daemon.address, head)) in (None, 413, 431)
    assert attack(daemon, {}).status == 200


def test_a_body_announced_too_large_is_refused_before_it_is_sent(daemon, echo):
    for path, size in ((f"{LIST}/{echo.name}/invocations", 6_291_457), (LIST, 70_167_212)):
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {size}\r\n\r\n".encode()
        with socket.create_connection(daemon.address, timeout=20) as connection:
            connection.sendall(head)
            assert wire.status_of(connection.recv(4096)) == 413


def test_an_endless_chunked_body_is_cut_off(daemon, echo):
    with socket.create_connection(daemon.address, timeout=20) as connection:
        head = f"POST {LIST}/{echo.name}/invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode())
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        sent = 0
        try:
            while sent < 64 * 1024 * 1024:
                connection.sendall(chunk)
                sent += len(chunk)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            pass
        assert sent < 64 * 1024 * 1024, "64 MB were taken where 6 are allowed"
    assert echo.invoke(1).ok() == 1


def test_the_create_limit_is_told_in_the_services_words(daemon):
    body = b" " * 70_167_212
    try:
        answer = wire.request(daemon.address, "POST", LIST, body)
    except (BrokenPipeError, ConnectionResetError):
        # The refusal may overtake the body; the next test step shows what it said.
        head = f"POST {LIST} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        received = wire.raw(daemon.address, head, end=False, timeout_s=5)
        assert b"Request must be smaller than 70167211 bytes for the CreateFunction operation" in received
        return
    assert answer.status == 413
    assert answer.json["message"] == "Request must be smaller than 70167211 bytes for the CreateFunction operation"


# --- slow clients ---


def test_slow_clients_do_not_hinder_others(daemon, echo):
    """Two hundred connections that never finish their request, and one client that wants to work."""
    idle = []
    try:
        for number in range(200):
            connection = socket.create_connection(daemon.address, timeout=10)
            if number % 2:
                connection.sendall(f"POST {LIST}/{echo.name}/invocations HTTP/1.1\r\nHost: 127".encode())
            else:
                head = (
                    f"POST {LIST}/{echo.name}/invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{{"
                )
                connection.sendall(head.encode())
            idle.append(connection)
        begun = time.monotonic()
        assert [echo.invoke(n).ok() for n in range(10)] == list(range(10))
        assert time.monotonic() - begun < 20, "ten invocations stood in line behind idle connections"
    finally:
        for connection in idle:
            connection.close()


def test_a_client_that_hangs_up_does_not_stop_the_function(daemon, make):
    code = (
        "import os, subprocess\n"
        "def handler(e, c):\n"
        "    if e == 'slow':\n"
        f"        subprocess.run({holding.COMMAND})\n"
        "        open('/tmp/done', 'w').close()\n"
        "    return os.path.exists('/tmp/done')\n"
    )
    function = make(code, Timeout=60)
    assert function.invoke("look").ok() is False
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    with socket.create_connection(daemon.address, timeout=10) as connection:
        body = b'"slow"'
        head = f"POST {LIST}/{function.name}/invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        # Hung up only once the invocation has surely begun.
        waiting.until(lambda: holding.held(function), "the invocation runs")
    with pytest.raises(function.client.exceptions.TooManyRequestsException):
        function.invoke("look")
    holding.let_go(function)
    patient = functions.Function(daemon.client(retries=8), function.name)
    assert patient.invoke("look").ok() is True


def test_many_clients_at_once_all_get_their_own_answer(daemon, make):
    function = make(functions.ECHO, Timeout=30)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: function.invoke({"n": n}, tail=False).ok(), range(96)))
    assert answers == [{"n": n} for n in range(96)]


def test_one_connection_serves_many_requests(daemon):
    request = f"GET {LIST} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    received = wire.raw(daemon.address, request * 5)
    assert received.count(b"HTTP/1.1 200") == 5
