"""Clients that take their time: over a body, over an answer. Each is given up, and nobody waits for them."""

import os
import select
import socket
import time

import pytest

from lib import functions, waiting
from lib.daemon import ROLE, Daemon

# Longer than the daemon bears with anybody who makes no progress.
GIVEN_UP_WITHIN_S = 120
LARGE = "def handler(event, context):\n    return 'x' * 5_000_000\n"


@pytest.fixture
def make(daemon, python):
    maker = functions.Maker(daemon, python, ROLE)
    yield maker
    maker.delete_all()


def invocation(name, length):
    return (
        f"POST /2015-03-31/functions/{name}/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def ended(connection):
    """Whether the other side has ended the connection; reads nothing that it may have sent before."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return any(event & (select.POLLRDHUP | select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))


def test_a_trickle_of_a_body_is_given_up_and_a_slow_line_is_not(daemon, echo):
    """A byte now and then is within every pause that is allowed, and would hold its place for days."""
    body = b'"' + b"x" * 1_000_000 + b'"'
    with (
        socket.create_connection(daemon.address, timeout=30) as trickle,
        socket.create_connection(daemon.address, timeout=30) as slow,
        slow.makefile("rb") as answers,
    ):
        trickle.sendall(invocation(echo.name, 1_000_000) + b'"')
        slow.sendall(invocation(echo.name, len(body)))
        end, sent = time.monotonic() + waiting.stretched(GIVEN_UP_WITHIN_S), 0
        while not select.select([trickle], [], [], 1)[0]:
            assert time.monotonic() < end, "the trickle is never given up"
            trickle.send(b"x")
            # Thirty kilobytes a second.
            slow.sendall(body[sent : sent + 30_000])
            sent += 30_000
        assert b" 400 " in trickle.recv(4096).split(b"\r\n")[0]
        assert sent < len(body), "the slow one is still at it"
        slow.sendall(body[sent:])
        assert b" 200 " in answers.readline()


def test_who_never_reads_the_answer_loses_the_connection(daemon, make):
    function = make(LARGE, Timeout=30)
    with socket.socket() as deaf:
        # Room for a small part of the answer.
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(daemon.address)
        deaf.sendall(invocation(function.name, 2) + b"{}")
        waiting.until(lambda: ended(deaf), "it is hung up on", within_s=GIVEN_UP_WITHIN_S)


def test_a_log_that_nobody_reads_stops_nobody(tmp_path, python):
    """Standard error is a full pipe; the daemon says more than fits into it, and serves, and ends."""
    daemon = Daemon(environment={"HEARTH_LOG__LEVEL": "trace"})
    os.mkfifo(daemon.errors)
    reader = os.open(daemon.errors, os.O_RDONLY | os.O_NONBLOCK)
    try:
        daemon.start()
        maker = functions.Maker(daemon, python, ROLE)
        function = maker(functions.ECHO)
        assert [function.invoke(n).ok() for n in range(300)] == list(range(300))
        said = os.read(reader, 1 << 20)
        assert len(said) > 40_000, "the pipe was full"
        maker.delete_all()

        def goes_on():
            nonlocal said
            try:
                said += os.read(reader, 1 << 20)
            except BlockingIOError:
                pass
            return b"lines of this log are missing here" in said

        waiting.until(goes_on, "it says that something is missing once it is read again")
        assert daemon.stop() == 0
    finally:
        os.close(reader)
        daemon.kill()
        daemon.remove()
