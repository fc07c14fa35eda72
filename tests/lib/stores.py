"""Object stores to take code from: a whole one (moto), and one that misbehaves exactly as a test asks.

Both listen on loopback. The second checks every signature with the SDK's own signer, so that a store's "signature
does not match" is found here.
"""

import contextlib
import hashlib
import socket
import socketserver
import threading
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials
from botocore.config import Config

from .daemon import REGION, aws_client

ERROR = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{}</Code><Message>{}</Message><RequestId>1</RequestId></Error>'


@contextlib.contextmanager
def moto():
    """Runs moto's server; gives its address and an S3 client for it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        yield endpoint, aws_client("s3", endpoint, config)
    finally:
        server.stop()


class Asked:
    """One request as it came in."""

    def __init__(self, method, target, headers):
        self.method = method
        self.target = target
        self.headers = headers

    def is_signed_with(self, access_key, secret_key, token=None):
        """Whether the SDK would have signed this request so, at the same moment."""
        mine = self.headers.get("authorization", "")
        parts = dict(part.strip().split("=", 1) for part in mine.removeprefix("AWS4-HMAC-SHA256 ").split(",") if "=" in part)
        signed = parts.get("SignedHeaders", "").split(";")
        # What has to be covered for the signature to mean anything.
        required = {"host", "x-amz-date", "x-amz-content-sha256"} | ({"x-amz-security-token"} if token else set())
        if not required <= set(signed):
            return False
        headers = {name: self.headers[name] for name in signed}
        if token is not None and headers.get("x-amz-security-token") != token:
            return False
        url = f"http://{self.headers['host']}{self.target}"
        request = botocore.awsrequest.AWSRequest(self.method, url, headers=headers)
        request.context["timestamp"] = self.headers["x-amz-date"]
        request.context["payload_signing_enabled"] = True
        credentials = botocore.credentials.Credentials(access_key, secret_key, token)
        auth = botocore.auth.S3SigV4Auth(credentials, "s3", REGION)
        text = auth.string_to_sign(request, auth.canonical_request(request))
        scope = f"{self.headers['x-amz-date'][:8]}/{REGION}/s3/aws4_request"
        expected = auth.signature(text, request)
        return parts.get("Credential") == f"{access_key}/{scope}" and parts.get("Signature") == expected


class Store:
    """A store that answers each key as a test says: `store.answers[key] = answer`, a function of the connection and
    the number of the request for this key (from 0)."""

    def __init__(self):
        self.answers = {}
        self.asked = []
        self._counts = {}
        self._lock = threading.Lock()
        store = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                with contextlib.suppress(ConnectionError, TimeoutError):
                    store._serve(self)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def requests_for(self, key):
        return [one for one in self.asked if urllib.parse.urlsplit(one.target).path == f"/bucket/{key}"]

    def _serve(self, handler):
        line = handler.rfile.readline(65536).decode("latin-1").split()
        if len(line) != 3:
            return
        headers = {}
        while (field := handler.rfile.readline(65536)) not in (b"\r\n", b""):
            name, _, value = field.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        asked = Asked(line[0], line[1], headers)
        key = urllib.parse.urlsplit(line[1]).path.removeprefix("/bucket/")
        with self._lock:
            self.asked.append(asked)
            number = self._counts.get(key, 0)
            self._counts[key] = number + 1
        answer = self.answers.get(key) or error(404, "NoSuchKey", "The specified key does not exist.")
        answer(handler, number)


# --- answers ---


def head(status, headers):
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Reason\r\nConnection: close\r\n{lines}\r\n".encode()


def whole(body, headers=None, length=None):
    """The object, its ETag as S3 makes it; headers may say other things."""
    sent = {"Content-Length": len(body) if length is None else length, "ETag": f'"{hashlib.md5(body).hexdigest()}"'}
    sent.update(headers or {})
    return lambda handler, number: handler.wfile.write(head(200, sent) + body)


def chunked(pieces):
    """Pieces of a body whose length is not announced."""

    def answer(handler, number):
        handler.wfile.write(head(200, {"Transfer-Encoding": "chunked"}))
        for piece in pieces:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")

    return answer


def file(path):
    """A large object, sent out of a file."""

    def answer(handler, number):
        handler.wfile.write(head(200, {"Content-Length": path.stat().st_size}))
        with open(path, "rb") as opened:
            handler.connection.sendfile(opened)

    return answer


def error(status, code, message, headers=None):
    body = ERROR.format(code, message).encode()
    sent = {"Content-Type": "application/xml", "Content-Length": len(body), **(headers or {})}
    return lambda handler, number: handler.wfile.write(head(status, sent) + body)


def redirect(status, location):
    return lambda handler, number: handler.wfile.write(head(status, {"Location": location, "Content-Length": 0}))


def in_turn(*answers):
    """The first request gets the first answer, and so on; the last one stays."""
    return lambda handler, number: answers[min(number, len(answers) - 1)](handler, number)


def stalled(before, until):
    """Sends `before`, then nothing until the event is set or the client is gone."""

    def answer(handler, number):
        handler.wfile.write(before)
        handler.connection.settimeout(0.1)
        while not until.is_set():
            try:
                if not handler.connection.recv(1):
                    return
            except TimeoutError:
                continue

    return answer


def free_port():
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
