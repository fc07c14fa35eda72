"""The share of the cores that a function gets: as much as there is while it initialises, from its first event on its own."""

import concurrent.futures
from pathlib import Path

from lib import daemon as daemons
from lib import functions, host, waiting

# Initialisation ends when the host says so, which reaches into the sandbox's /tmp.
WAITS = """
import os, time

while not os.path.exists("/tmp/go"):
    time.sleep(0.01)

def handler(event, context):
    return "ran"
"""
PER_CORE_MB = 1769


def runtime_of(daemon):
    """The pid of the one interpreter that runs a function's code."""
    family = host.children_of(daemon.pid)
    found = [pid for pid, (_, _, line) in host.processes().items() if pid in family and "/var/runtime/bootstrap" in line]
    return found[0] if len(found) == 1 else None


def tree_of(controller):
    """Where the hierarchy of a v1 controller is mounted; for none, the one of v2."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options = line.split()[:4]
        if (kind == "cgroup2" and controller is None) or (kind == "cgroup" and controller in options.split(",")):
            return Path(place)
    return None


def share_of(pid):
    """Which part of a core a process's group may use; None without a limit."""
    groups = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    v1 = next((path for _, controllers, path in groups if "cpu" in controllers.split(",")), None)
    if v1 is not None:
        group = tree_of("cpu") / v1.removeprefix("/")
        quota, period = (int((group / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        return None if quota < 0 else quota / period
    path = next(path for number, _, path in groups if number == "0")
    quota, period = (tree_of(None) / path.removeprefix("/") / "cpu.max").read_text().split()
    return None if quota == "max" else int(quota) / int(period)


def test_initialisation_runs_unthrottled_and_the_first_event_within_the_functions_share(start_daemon, python):
    daemon = start_daemon()
    function = functions.Maker(daemon, python, daemons.ROLE)(WAITS, MemorySize=256, Timeout=30)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        call = pool.submit(function.invoke, {})
        pid = waiting.until(lambda: runtime_of(daemon), "the function initialises")
        during = share_of(pid)
        Path(f"/proc/{pid}/root/tmp/go").touch()
        assert call.result().ok() == "ran"
    assert during is None, "initialisation has all there is"
    assert runtime_of(daemon) == pid, "it was not started over meanwhile"
    assert abs(share_of(pid) - 256 / PER_CORE_MB) < 0.001
