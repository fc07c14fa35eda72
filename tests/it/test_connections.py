"""Connections stay usable after a refusal: what was sent with a refused request is taken in before the answer."""

import select
import socket

import pytest

from lib.functions import unique

# How long the daemon may show that it answers without waiting for the body. Only a wrong one answers within it.
LOOK_S = 0.3


def read_answer(stream):
    """Status and body of one answer with a length."""
    status = int(stream.readline().split()[1])
    length = 0
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return status, stream.read(length)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/2015-03-31/functions/{name}/invocations", 404),
        ("POST", "/2025-11-30/capacity-providers", 501),
        ("PUT", "/2017-10-31/functions/{name}/concurrency", 400),
    ],
)
def test_a_refusal_before_the_body_has_come_leaves_the_connection_usable(method, path, status, daemon):
    body = b'{"a": 1}'
    head = f"{method} {path.format(name=unique('nobody'))} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(daemon.address, timeout=30) as connection, connection.makefile("rb") as stream:
        connection.sendall(head.encode())
        select.select([connection], [], [], LOOK_S)
        connection.sendall(body)
        assert read_answer(stream)[0] == status
        connection.sendall(b"GET /2015-03-31/functions/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_answer(stream)[0] == 200
