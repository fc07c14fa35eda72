"""Plain HTTP/1.1 over a socket, for what no client library would send."""

import http.client
import json
import socket


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.lines = headers
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body

    def all(self, name):
        """All values of a header, in their order."""
        return [value for given, value in self.lines if given.lower() == name]

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The error code as an SDK reads it."""
        kind = self.headers.get("x-amzn-errortype", "")
        return kind.split(":")[0].split("#")[-1]


def request(address, method, path, body=None, headers=None, timeout_s=30):
    """One request; headers are sent as given, a `Host` among them replaces the usual one."""
    connection = http.client.HTTPConnection(*address, timeout=timeout_s)
    headers = dict(headers or {})
    try:
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is not None and "Content-Length" not in headers and "Transfer-Encoding" not in headers:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(message_body=body)
        answer = connection.getresponse()
        return Answer(answer.status, answer.getheaders(), answer.read())
    finally:
        connection.close()


def raw(address, data, timeout_s=30, end=True):
    """Sends bytes as they are and returns all that comes back until the other side closes. Fails if it never does."""
    with socket.create_connection(address, timeout=timeout_s) as connection:
        received = b""
        try:
            connection.sendall(data)
            if end:
                connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                received += piece
        except (ConnectionResetError, BrokenPipeError):
            pass  # refusing by closing is an answer, too; the caller judges what was received
        return received


def status_of(received):
    """Status code of a raw answer, or None when the connection was closed without one."""
    head = received.split(b"\r\n", 1)[0].split(b" ")
    return int(head[1]) if len(head) > 1 and head[1].isdigit() else None
