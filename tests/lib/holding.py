"""Invocations that last until a test lets them go, instead of for a time that is hoped to be long enough.

Such a handler waits for a child process; whoever may end that child from the host decides when it answers. Nothing is
opened in the sandbox for it, and the daemon is not asked: that a function runs is seen from its process.
"""

import concurrent.futures
import contextlib
import os
import signal
from pathlib import Path

from . import host, waiting

# Longer than any test. The number tells these processes from others.
COMMAND = ("sleep", "7654321")
# Waits if the event says so, and answers with its instance.
CODE = f"""
import subprocess, uuid
INSTANCE = uuid.uuid4().hex

def handler(event, context):
    if event.get("held"):
        subprocess.run({COMMAND})
    return INSTANCE
"""
EVENT = {"held": True}


def held(function):
    """Host pids of what the invocations of a function that are held at this moment wait for: one each."""
    name = f"AWS_LAMBDA_FUNCTION_NAME={function.name}\0".encode()
    found = []
    for pid, (_, _, line) in host.processes().items():
        with contextlib.suppress(OSError):
            if line == " ".join(COMMAND) and name in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(pid)
    return found


def let_go(function):
    """Lets those answer that are held now."""
    for pid in held(function):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def under_way(function, count=1, event=None, invoke=None, **parameters):
    """So many invocations in their handlers while the block runs; gives their futures, which have results after it."""
    invoke = invoke or (lambda payload: function.invoke(payload, tail=False, **parameters))
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(invoke, event or EVENT) for _ in range(count)]

        def all_are():
            for one in futures:
                assert not one.done(), f"ended before it was held: {one.exception() or getattr(one.result(), 'body', one.result())}"
            return len(held(function)) == count

        try:
            waiting.until(all_are, lambda: f"{count} are held, not {len(held(function))}", within_s=60)
            yield futures
        finally:
            let_go(function)
            # Those that a failure left on their way in.
            with contextlib.suppress(AssertionError):
                waiting.until(lambda: let_go(function) or all(one.done() for one in futures), "they have answered")
