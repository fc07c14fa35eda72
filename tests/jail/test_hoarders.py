"""Functions that make the daemon hold things for them: lines, payloads, descriptors. Others find it as it was."""

import socket
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import attacks
import pytest

from lib import functions, host, memory, waiting

# Far below what each attack sends.
GROWTH_MAX_MB = 200
OPEN_FILES = 1024
FEW_FILES = ("prlimit", f"--nofile={OPEN_FILES}:{OPEN_FILES}")
# `hearth logs` shows no more at once; a call takes four.
LINES_MAX = 10_000
DOOR = '("169.254.100.1", 80)'


def test_a_flood_of_short_lines_is_held_within_a_bound_and_drowns_nobody_elses(make, daemon, alive):
    """Two bytes of each line are the function's; what the daemon holds for it is a hundred times as much."""
    flood = make(
        'import os\ndef handler(event, context):\n    while True:\n        os.write(1, b".\\n" * 32768)\n',
        Timeout=6,
        MemorySize=1769,
    )
    quiet = make("def handler(event, context):\n    print('heard', event)\n    return event\n")
    with memory.of_process(daemon.pid) as held_by_daemon, ThreadPoolExecutor(1) as pool:
        flooding = pool.submit(flood.invoke, {})
        heard = 0
        while not flooding.done() and heard < LINES_MAX // 5:
            assert quiet.invoke(heard).ok() == heard
            heard += 1
        assert flooding.result().json["errorType"] == "Sandbox.Timedout"
    assert held_by_daemon.growth < GROWTH_MAX_MB, f"{held_by_daemon.growth} MB more"
    last = f"heard {heard - 1}\n"

    def all_is_there():
        text = daemon.cli("logs", quiet.name, "--limit", LINES_MAX).stdout
        return last in text and text

    text = waiting.until(all_is_there, "the last line is there")
    assert [n for n in range(heard) if f"heard {n}\n" not in text] == []


def test_payloads_that_never_end_are_held_within_a_bound(make, daemon, alive):
    code = (
        attacks.HEAD
        + f"""
import threading
def handler(event, context):
    path = "/2015-03-31/functions/" + context.function_name + "/invocations"
    head = f"POST {{path}} HTTP/1.1\\r\\nHost: door\\r\\nContent-Length: 6000000\\r\\n\\r\\n".encode()
    held, answers = [], []
    def push():
        try:
            one = socket.create_connection({DOOR}, timeout=8)
            held.append(one)
            one.sendall(head)
            one.sendall(b"x" * 5_900_000)
        except OSError:
            pass
        try:
            one.settimeout(3)
            answers.append(one.recv(12).decode())
        except OSError:
            pass
    threads = [threading.Thread(target=push) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [len(held), answers]
"""
    )
    function = make(code, Timeout=60, MemorySize=1769)
    with memory.of_process(daemon.pid) as held_by_daemon:
        held, answers = function.invoke({}).ok()
    assert held == 60 and held_by_daemon.growth < GROWTH_MAX_MB, f"{held_by_daemon.growth} MB more for {held} payloads"
    assert answers.count("HTTP/1.1 429") >= 40, answers


def test_calls_with_large_payloads_one_after_the_other_are_not_refused(make):
    """What was held for a call is given back with its answer."""
    code = (
        attacks.HEAD
        + f"""
import http.client
def handler(event, context):
    if event:
        return len(event)
    path = "/2015-03-31/functions/" + context.function_name + "/invocations"
    body = b'"' + b"x" * 5_000_000 + b'"'
    found = []
    for _ in range(8):
        door = http.client.HTTPConnection(*{DOOR}, timeout=20)
        door.request("POST", path, body)
        answer = door.getresponse()
        found.append([answer.status, answer.read().decode()])
        door.close()
    return found
"""
    )
    assert make(code, Timeout=60, MemorySize=512).invoke("").ok() == [[200, "5000000"]] * 8


# --- a daemon that may open few files ---


@pytest.fixture(scope="module")
def small(start_module_daemon):
    return start_module_daemon(prefix=FEW_FILES)


@pytest.fixture
def deploy(small, python):
    with functions.making(small, python) as maker:
        yield maker


GREEDY = (
    attacks.HEAD
    + f"""
HELD = []
def handler(event, context):
    host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
    for place in ((host, int(port)), {DOOR}):
        for _ in range(200):
            one = socket.socket()
            try:
                one.settimeout(1)
                one.connect(place)
                one.sendall(b"POST /2018-06-01/runtime/invocation/x/response HTTP/1.1\\r\\nHost:")
            except OSError:
                break
            HELD.append(one)
    return len(HELD)
"""
)


def test_functions_that_take_every_connection_leave_descriptors_for_others(small, deploy):
    greedy = [deploy(GREEDY, Timeout=60) for _ in range(8)]
    with ThreadPoolExecutor(len(greedy)) as pool:
        held = list(pool.map(lambda one: one.invoke({}).ok(), greedy))
    assert sum(held) > OPEN_FILES, held
    assert host.open_files(small.pid) < OPEN_FILES - 100
    pid = small.pid
    for n in range(6):
        fresh = deploy(functions.ECHO)
        assert fresh.invoke(n).ok() == n
    # Those who have taken all are served, too: each environment's first connection is its own.
    assert all(one.invoke({}).error in (None, "Unhandled") for one in greedy)
    assert small.is_running() and small.pid == pid


def test_clients_that_take_every_connection_leave_descriptors_for_functions(small, deploy):
    client = small.client()
    client.list_functions()
    function = deploy(functions.ECHO)
    held = []
    try:
        for _ in range(1500):
            one = socket.socket()
            one.settimeout(0.2)
            held.append(one)
            try:
                one.connect(small.address)
            except OSError:
                break
        assert len(held) > 100
        with urllib.request.urlopen(f"{small.admin}/healthz", timeout=20) as answer:
            assert answer.status == 200
        assert host.open_files(small.pid) < OPEN_FILES - 100
        # They say nothing, so they lose their places; whoever waits gets one.
        assert function.invoke({"in": "turn"}).ok() == {"in": "turn"}
    finally:
        for one in held:
            one.close()
    assert deploy(functions.ECHO).invoke(time.time()).status == 200
