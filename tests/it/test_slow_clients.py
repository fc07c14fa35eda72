"""Clients that take their time: over a body, over an answer. Each is given up, and nobody waits for them."""

import base64
import contextlib
import fcntl
import os
import select
import shutil
import socket
import time
from pathlib import Path

import botocore.exceptions
import pytest

from lib import functions, waiting
from lib.daemon import ROLE, Daemon

# Longer than the daemon bears with anybody who makes no progress.
GIVEN_UP_WITHIN_S = 120
ESTABLISHED = "01"
FAILURES = 60
LARGE = "def handler(event, context):\n    return 'x' * 5_000_000\n"


def invocation(name, length):
    path = f"/2015-03-31/functions/{name}/invocations"
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode()


def is_held(connection):
    """Whether the daemon still has its end: one that it has closed waits with the kernel for its last bytes to be read."""
    ours, theirs = connection.getsockname()[1], connection.getpeername()[1]
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *_ = row.split()
        if (int(local.split(":")[1], 16), int(remote.split(":")[1], 16)) == (theirs, ours):
            return state == ESTABLISHED
    return False


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
        waiting.until(lambda: select.select([deaf], [], [], 0)[0], "the answer begins")
        assert is_held(deaf)
        waiting.until(lambda: not is_held(deaf), "it is hung up on", within_s=GIVEN_UP_WITHIN_S)


def test_a_log_that_nobody_reads_stops_nobody(python):
    """Standard error is a full pipe; the daemon has more to say than fits into it, and serves, and says it later."""
    daemon = Daemon()
    os.mkfifo(daemon.errors)
    reader = os.open(daemon.errors, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    try:
        daemon.start()
        maker = functions.Maker(daemon, python, ROLE)
        broken, fine = maker("def handler(event, context):\n    return 1\n"), maker(functions.ECHO)
        digest = base64.b64decode(broken.configuration()["CodeSha256"]).hex()
        assert broken.invoke({}).ok() == 1
        shutil.rmtree(daemon.state / "unpacked" / digest)
        broken.update(Description="another environment")
        # Each call is a line of the log: its sandbox has no code.
        for n in range(FAILURES):
            with pytest.raises(botocore.exceptions.ClientError):
                broken.invoke({})
            assert fine.invoke(n).ok() == n
        said = b""

        def all_is_said():
            nonlocal said
            with contextlib.suppress(BlockingIOError):
                said += os.read(reader, 1 << 20)
            return said.count(b"a sandbox could not be made") >= FAILURES

        assert all_is_said() is False and len(said) > 2048, "the pipe was full"
        waiting.until(all_is_said, "the rest is there once it is read")
        maker.delete_all()
        assert daemon.stop() == 0
    finally:
        os.close(reader)
        daemon.kill()
        daemon.remove()
