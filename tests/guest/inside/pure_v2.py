"""What only a host with pure cgroup v2 shows. Runs inside the guest, as root, beside the ordinary tests.

Groups are looked at from outside, through the process that a function runs in: what the kernel says counts, not what
the daemon reports. The guest runs systemd, and these tests are a unit with delegated groups.
"""

import subprocess
from pathlib import Path

import pytest
from botocore.config import Config

from lib import functions, holding, host, waiting
from lib.daemon import ROLE, aws_client

TREE = Path("/sys/fs/cgroup")
HOG = "def handler(event, context):\n    return len(bytearray(b'x') * (event << 20))\n"
ROUNDS_LONG, ROUNDS_SHORT = 30, 1
OUTCOMES = {
    "success": ("def handler(e, c):\n    return 1\n", {}, None),
    "exit": ("import os\ndef handler(e, c):\n    os._exit(3)\n", {}, "Runtime.ExitError"),
    "timeout": ("import time\ndef handler(e, c):\n    time.sleep(600)\n", {"Timeout": 1}, "Sandbox.Timedout"),
    "out of memory": (
        "def handler(e, c):\n    return len(bytearray(b'x') * (400 << 20))\n",
        {"Timeout": 120},
        "Runtime.OutOfMemory",
    ),
    "children left": (
        "import subprocess\ndef handler(e, c):\n"
        "    subprocess.Popen(['sleep', '1000'], start_new_session=True)\n    return 1\n",
        {"Timeout": 60},
        None,
    ),
}


def own_group(pid="self"):
    """Directory of the one group that a process is in."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    assert len(lines) == 1 and lines[0].startswith("0::/"), lines
    return TREE / lines[0].removeprefix("0::/")


def group_of(daemon):
    """The group of the one environment in which a python handler runs."""
    groups = set()

    def alone():
        groups.clear()
        family = host.children_of(daemon.pid)
        runs = [pid for pid, (_, _, line) in host.processes().items() if pid in family and "bootstrap.py" in line]
        groups.update(own_group(pid) for pid in runs)
        return len(groups) == 1

    # Environments of deleted functions go a moment later.
    waiting.until(alone, lambda: f"one environment runs, not {groups}")
    return groups.pop()


def identity(group):
    """Tells a group from a later one of the same name: slots are used again."""
    try:
        return group.stat().st_ino
    except FileNotFoundError:
        return None


def read(group, name):
    return (group / name).read_text().strip()


def test_this_host_has_one_hierarchy_and_the_daemon_says_so(daemon):
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    assert [line[2] for line in mounts if line[2].startswith("cgroup")] == ["cgroup2"]
    assert "cgroups=v2" in daemon.stderr_tail()
    assert "pure v2" in daemon.cli("doctor", check=False).stdout


def test_the_limits_of_an_environment_are_those_of_its_group(daemon, make):
    function = make(functions.IDENTITY, MemorySize=256, Timeout=60)
    seen = [function.invoke({}) for _ in range(2)]
    assert [result.ok()["count"] for result in seen] == [1, 2]
    assert seen[0].ok()["instance"] == seen[1].ok()["instance"]
    group = group_of(daemon)
    assert read(group, "memory.max") == str(256 << 20)
    assert read(group, "memory.swap.max") == "0"
    assert int(read(group, "pids.max")) > 0
    # 256 MB of the 1,769 MB that are worth one core, of a period of 20 ms.
    quota, period = map(int, read(group, "cpu.max").split())
    assert period == 20_000 and abs(quota - 20_000 * 256 / 1769) < 20
    told = int(seen[1].report.split("Max Memory Used: ")[1].split()[0])
    assert 0 < told <= 256


def test_a_function_that_wants_more_memory_than_it_has_is_killed_and_the_next_call_served(daemon, make):
    function = make(HOG, MemorySize=128, Timeout=120)
    assert function.invoke(1).ok() == 1 << 20
    group = group_of(daemon)
    result = function.invoke(400)
    assert result.json["errorType"] == "Runtime.OutOfMemory"
    # The process is started over where it was: the group stays, and has counted.
    assert int(read(group, "memory.events").split("oom_kill ")[1].split()[0]) >= 1
    assert function.invoke(2).ok() == 2 << 20


def test_an_idle_environment_stands_still_and_goes_on_with_the_next_call(daemon, make):
    function = make(functions.IDENTITY, Timeout=600)
    before = function.invoke({}).ok()
    group = group_of(daemon)
    waiting.until(lambda: "frozen 1" in read(group, "cgroup.events"), "the group is frozen")
    after = function.invoke({}).ok()
    assert (after["instance"], after["count"]) == (before["instance"], 2)
    waiting.until(lambda: "frozen 1" in read(group, "cgroup.events"), "the group is frozen again")


def test_an_environment_killed_through_its_group_is_replaced(daemon, make):
    function = make(functions.IDENTITY, Timeout=60)
    before = function.invoke({}).ok()
    group = group_of(daemon)
    first = identity(group)
    (group / "cgroup.kill").write_text("1")
    waiting.until(lambda: identity(group) != first, "the group is gone")
    after = function.invoke({}).ok()
    assert after["instance"] != before["instance"] and after["count"] == 1


def outcome_rounds(maker, count):
    """`count` cold invocations of every outcome."""
    for kind, (code, settings, wanted) in OUTCOMES.items():
        function = maker(code, **settings)
        for number in range(count):
            if number:
                # Changed settings are a new revision: no environment can be reused.
                function.update(Description=f"round {number}")
            result = function.invoke({}, tail=False)
            seen = None if result.error is None else result.json["errorType"]
            assert seen == wanted, (kind, result.body[:300])


@pytest.mark.own_daemon
def test_cold_outcomes_and_then_kill_9_leave_nothing_and_the_next_start_serves(start_daemon, python, long_run):
    before = host.Inventory()
    daemon = start_daemon(config="[limits]\nidle_timeout_s = 1\n")
    maker = functions.Maker(daemon, python, ROLE)
    outcome_rounds(maker, ROUNDS_LONG if long_run else ROUNDS_SHORT)
    parked = 4
    settled = len(before.groups) + 2 + parked + 1
    waiting.until(lambda: len(host.control_groups()) <= settled, "no groups but those of parked sandboxes are left")
    with holding.under_way(maker(holding.CODE, name="held", Timeout=600)) as (running,):
        daemon.kill()
    assert running.exception() is not None
    host.settled(before)
    daemon.start()
    assert functions.Function(daemon.client(), "held").invoke({}).ok()
    assert daemon.stop() == 0
    host.settled(before)


@pytest.mark.own_daemon
@pytest.mark.parametrize("place", ["", "by-hand", "by-hand/deeper"], ids=["root", "group", "group in a group"])
def test_a_daemon_serves_from_wherever_it_is_started(place, start_daemon, python):
    """At the root no member is in the way; in a group of its own the daemon has to move first."""
    group = TREE / place
    group.mkdir(parents=True, exist_ok=True)
    home = own_group()
    before = host.control_groups()
    (group / "cgroup.procs").write_text("0")
    try:
        daemon = start_daemon()
    finally:
        # Those who were moved meanwhile are moved back, too.
        (home / "cgroup.procs").write_text("0")
    function = functions.Maker(daemon, python, ROLE)(functions.ECHO, Timeout=60)
    assert function.invoke({"from": place}).ok() == {"from": place}
    environment = group_of(daemon)
    assert environment.parent.parent == group
    assert own_group(daemon.pid) == (group / "hearth.main" if place else group)
    assert daemon.stop() == 0
    waiting.until(lambda: host.control_groups() == before, lambda: f"left: {host.control_groups() - before}")
    for one in [group, *group.parents]:
        if TREE in one.parents:
            one.rmdir()


def systemctl(*words):
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=240)
    return done.stdout.strip()


def unit_log():
    return subprocess.run(["journalctl", "-u", "hearth", "--no-pager"], capture_output=True, text=True, timeout=120).stdout


@pytest.fixture
def unit():
    systemctl("start", "hearth")
    yield
    systemctl("stop", "hearth")
    # Shown if the test failed.
    print(unit_log())


def serving(client):
    try:
        return client.list_functions()
    except Exception:  # not yet listening
        return None


def test_the_unit_runs_functions_restarts_after_a_crash_and_leaves_nothing_when_stopped(unit, python):
    before_groups = host.control_groups()
    config = Config(read_timeout=400, retries={"total_max_attempts": 1})
    client = aws_client("lambda", "http://127.0.0.1:3001", config)
    waiting.until(lambda: serving(client), unit_log, within_s=30)
    client.create_function(
        FunctionName="unit",
        Role=ROLE,
        Runtime=python,
        Handler="index.handler",
        Timeout=60,
        Code={"ZipFile": functions.package(functions.ECHO)},
    )
    function = functions.Function(client, "unit")
    function.wait()
    assert function.invoke({"in": "a unit"}).ok() == {"in": "a unit"}, unit_log()

    main = systemctl("show", "-P", "MainPID", "hearth")
    group = TREE / "system.slice/hearth.service"
    assert own_group(main) == group / "hearth.main"
    status = Path(f"/proc/{main}/status").read_text()
    assert "CapEff:\t0000000000000000" in status and "NoNewPrivs:\t1" in status
    subprocess.run(["kill", "-KILL", main], check=True)
    waiting.until(lambda: systemctl("show", "-P", "MainPID", "hearth") not in (main, "0"), "it is started again")
    waiting.until(lambda: serving(client), unit_log, within_s=30)
    assert function.invoke({"again": 1}).ok() == {"again": 1}, unit_log()
    systemctl("stop", "hearth")
    assert systemctl("is-active", "hearth") == "inactive", unit_log()
    waiting.until(lambda: not group.exists(), "the unit's groups are gone")
    assert host.control_groups() <= before_groups

    def of_the_unit():
        return [file for file in host.loop_devices().values() if file.startswith("/var/lib/hearth/")]

    waiting.until(lambda: not of_the_unit(), lambda: f"the unit's loop devices are gone: {of_the_unit()}")
