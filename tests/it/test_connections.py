"""Connections after a refusal: usable, because what came with the request was taken in, or ended aloud."""

import select
import socket

import pytest

from lib.functions import unique

# How long the daemon may show that it answers without waiting for the body. Only a wrong one answers within it.
LOOK_S = 0.3


def read_answer(stream):
    """Status of one answer with a length, and whether it is the last one of its connection."""
    status = int(stream.readline().split()[1])
    headers = {}
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    stream.read(int(headers["content-length"]))
    return status, headers.get("connection") == "close"


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
        assert read_answer(stream) == (status, False)
        connection.sendall(b"GET /2015-03-31/functions/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_answer(stream) == (200, False)


@pytest.mark.parametrize(
    ("path", "length", "headers", "status"),
    [
        ("/2015-03-31/functions/nobody/invocations", 7_000_000, "", 413),
        ("/2015-03-31/functions", 80_000_000, "", 413),
        ("/nowhere", 8, "", 404),
        ("/2015-03-31/functions", 8, "Origin: https://example.com\r\n", 403),
    ],
)
def test_a_connection_with_an_unread_body_is_said_to_end(path, length, headers, status, daemon):
    """Or else a client would send its next request into the end of it."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n"
    with socket.create_connection(daemon.address, timeout=30) as connection, connection.makefile("rb") as stream:
        connection.sendall(head.encode())
        assert read_answer(stream) == (status, True)
        # Whoever may still send what was announced is waited for, a while.
        connection.shutdown(socket.SHUT_WR)
        assert stream.read() == b""
