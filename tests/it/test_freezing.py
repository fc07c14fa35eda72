"""Environments stand still between invocations: they keep what they have, and get no time."""

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lib import functions, host, metrics, waiting
from lib.daemon import ROLE

# Time on a processor, in ticks of the kernel.
MUCH = 20
SOON = "[limits]\nfreeze_after_ms = 50\n"
# Counts in a thread that goes on after the answer.
RESTLESS = """
import os, threading, time, uuid
INSTANCE = uuid.uuid4().hex
spun = [0]

def spin():
    while True:
        spun[0] += 1

threading.Thread(target=spin, daemon=True).start()

def handler(event, context):
    time.sleep(event.get("sleep", 0))
    return {"instance": INSTANCE, "spun": spun[0], "time": time.monotonic()}
"""
# Prints, answers, and prints again from a thread after a while.
TALKATIVE = """
import threading, time

def handler(event, context):
    def later():
        time.sleep(0.5)
        print("late " + event["word"], flush=True)
    threading.Thread(target=later).start()
    return event["word"]
"""
# A process of its own, in a session of its own, that goes on.
BEHIND = """
import subprocess, uuid
INSTANCE = uuid.uuid4().hex
subprocess.Popen(["sh", "-c", "while :; do :; done"], start_new_session=True)

def handler(event, context):
    return INSTANCE
"""


@pytest.fixture(scope="module")
def quick(start_module_daemon):
    return start_module_daemon(config=SOON)


@pytest.fixture
def deploy(quick, python):
    with functions.making(quick, python) as maker:
        yield maker
    waiting.until(lambda: metrics.series(quick, "hearth_environments") == 0, "nothing is left of the test")


def frozen(daemon):
    return metrics.series(daemon, "hearth_environments_frozen")


def all_frozen(daemon):
    waiting.until(lambda: frozen(daemon) == metrics.series(daemon, "hearth_environments") > 0, "all environments are frozen")


def inside(daemon, word):
    """Host pids of processes in sandboxes whose command line has the word."""
    family = host.children_of(daemon.pid)
    return [pid for pid, (_, _, line) in host.processes().items() if pid in family and word in line]


def ticks(pid):
    """Time on a processor so far, user and kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def gets_no_time(pids):
    """Whether they get none while somebody else, who computes as they would, gets much. A tick that was under way may still
    be booked."""
    before = [ticks(pid) for pid in pids]
    witness = subprocess.Popen(["sh", "-c", "while :; do :; done"])
    try:
        waiting.until(lambda: ticks(witness.pid) >= MUCH, "the witness has had much time")
    finally:
        witness.kill()
        witness.wait()
    return all(ticks(pid) - earlier <= 1 for pid, earlier in zip(pids, before, strict=True))


def test_who_computes_on_after_the_answer_gets_no_time(quick, deploy):
    function = deploy(RESTLESS, MemorySize=1769)
    first = function.invoke({}).ok()
    all_frozen(quick)
    pids = inside(quick, "bootstrap.py")
    assert pids and gets_no_time(pids)
    again = function.invoke({"sleep": 0.2}).ok()
    assert again["instance"] == first["instance"] and again["spun"] > first["spun"]
    all_frozen(quick)
    assert gets_no_time(pids)


def test_a_process_left_behind_stands_still_as_well(quick, deploy):
    function = deploy(BEHIND, MemorySize=512)
    instance = function.invoke({}).ok()
    all_frozen(quick)
    pids = inside(quick, "while :")
    assert pids and gets_no_time(pids)
    assert function.invoke({}).ok() == instance


def test_calls_in_a_row_are_answered_by_the_same_environment_however_they_fall(quick, deploy):
    """Around the moment of freezing: before, at and after."""
    function = deploy(RESTLESS)
    seen = set()
    for pause in [0, 0.02, 0.04, 0.045, 0.05, 0.055, 0.06, 0.1] * 3:
        time.sleep(pause)
        seen.add(function.invoke({}).ok()["instance"])
    assert len(seen) == 1


def test_what_is_printed_late_comes_with_the_next_invocation(quick, deploy):
    function = deploy(TALKATIVE)
    assert function.invoke({"word": "one"}).ok() == "one"
    all_frozen(quick)

    def logged():
        # Thaws it for long enough, again and again.
        assert function.invoke({"word": "two"}).ok() == "two"
        return "late one" in quick.cli("logs", function.name).stdout

    waiting.until(logged, "the late line is there")


def test_frozen_environments_end_when_their_function_does(quick, deploy):
    function = deploy(BEHIND)
    with ThreadPoolExecutor(4) as callers:
        list(callers.map(lambda _: function.invoke({}).ok(), range(4)))
    all_frozen(quick)
    pids = inside(quick, "while :")
    assert pids
    quick.client().delete_function(FunctionName=function.name)
    waiting.until(lambda: frozen(quick) == metrics.series(quick, "hearth_environments") == 0, "nothing is left")
    waiting.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the processes are gone")


def test_a_daemon_with_frozen_environments_stops_at_once(start_daemon, python):
    daemon = start_daemon(config=SOON)
    function = functions.Maker(daemon, python, ROLE)(BEHIND)
    function.invoke({}).ok()
    all_frozen(daemon)
    pids = inside(daemon, "while :")
    daemon.stop()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_killed_daemons_frozen_environments_are_swept_away(start_daemon, python):
    daemon = start_daemon(config=SOON)
    function = functions.Maker(daemon, python, ROLE)(BEHIND)
    function.invoke({}).ok()
    all_frozen(daemon)
    pids = inside(daemon, "while :")
    daemon.kill()
    waiting.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the processes are gone")


def test_nothing_is_frozen_where_that_is_switched_off(start_daemon, python):
    daemon = start_daemon(config="[limits]\nfreeze_after_ms = 0\n")
    function = functions.Maker(daemon, python, ROLE)(RESTLESS, MemorySize=1769)
    function.invoke({}).ok()
    (pid,) = inside(daemon, "bootstrap.py")
    before = ticks(pid)
    waiting.until(lambda: ticks(pid) > before + 5, "it computes on")
    assert frozen(daemon) == 0


def test_memory_that_environments_use_is_told(quick, deploy):
    function = deploy("kept = bytearray(64 << 20)\n\ndef handler(event, context):\n    return len(kept)\n", MemorySize=256)
    assert function.invoke({}).ok() == 64 << 20
    waiting.until(lambda: metrics.series(quick, "hearth_environments_memory_bytes") >= 64 << 20, "it is measured")
    assert metrics.series(quick, "hearth_memory_stalled") in (0, 1)
