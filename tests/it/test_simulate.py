"""`hearth simulate` as a user sees it, and held against a real daemon: the same calls, and the daemon's own recording."""

import json
import random
import statistics
import subprocess
import threading
import time

import pytest

from lib.daemon import ROLE, REPOSITORY, binary, clean_environment
from lib.functions import SLEEP, Maker

EXAMPLES = REPOSITORY / "sample-workloads"


def simulate(*arguments, code=0, cwd=None):
    """Runs the verb; with the exit code that is expected."""
    command = [str(binary()), "simulate", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=clean_environment(), cwd=cwd)
    assert done.returncode == code, f"{command}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr}"
    return done


def result(*arguments):
    return json.loads(simulate(*arguments, "--json").stdout)


def quick(rate, duration_ms, *more):
    return result("--rate", rate, "--duration-ms", duration_ms, "--init-ms", 0, "--for", "60s", "--seed", 1, *more)


# --- without a daemon ---


@pytest.mark.parametrize(
    ("rate", "duration_ms", "environments", "concurrency"),
    [(100, 500, 50, 50), (100, 1000, 100, 100), (100, 200, 20, 20), (200, 50, 20, 10)],
)
def test_the_worked_examples_come_out(rate, duration_ms, environments, concurrency):
    got = quick(rate, duration_ms, "--arrivals", "constant")
    assert (got["invocations"], got["throttles"]) == (rate * 60, {})
    assert (got["environments_max"], got["cold_starts"]) == (environments, environments)
    assert got["concurrency_max"] == concurrency


def test_without_lambdas_rates_the_last_example_needs_half():
    got = quick(200, 50, "--profile", "box")
    assert (got["environments_max"], got["concurrency_max"]) == (10, 10)


def test_limits_throttle_with_their_reason():
    account = quick(100, 500, "--account-limit", 30)
    assert account["throttles"] == {"ConcurrentInvocationLimitExceeded": 2400}
    reserved = quick(100, 500, "--reserved", 40)
    assert reserved["throttles"] == {"ReservedFunctionConcurrentInvocationLimitExceeded": 1200}
    assert reserved["throttled"] + reserved["completed"] == reserved["invocations"] == 6000


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    load = ["--rate", 70, "--arrivals", "poisson", "--duration-ms", "lognormal:80:900", "--init-ms", "exponential:200"]
    load += ["--reserved", 12, "--json"]
    first = simulate(*load, "--seed", 5).stdout
    assert first == simulate(*load, "--seed", 5).stdout
    assert first != simulate(*load, "--seed", 6).stdout


def test_settings_are_varied_side_by_side():
    load = ["--rate", 50, "--duration-ms", 200, "--for", "10s"]
    got = result(*load, "--vary", "reserved=2,20", "--vary", "init-ms=0,100")
    assert [run["settings"] for run in got["runs"]] == [
        {"reserved": "2", "init-ms": "0"},
        {"reserved": "2", "init-ms": "100"},
        {"reserved": "20", "init-ms": "0"},
        {"reserved": "20", "init-ms": "100"},
    ]
    assert [run["throttled"] > 0 for run in got["runs"]] == [True, True, False, False]
    table = simulate(*load, "--vary", "reserved=2,20").stdout.splitlines()
    assert [line.split("\t")[:2] for line in table] == [["reserved=2", "500"], ["reserved=20", "500"]]


@pytest.mark.parametrize("name", ["shop", "spike", "cloud", "replay"])
def test_the_sample_workloads_run(name):
    # Debug builds recount every law after every step, so they get the beginning only.
    got = result(EXAMPLES / f"{name}.toml", "--for", "20s")
    assert got["invocations"] == got["completed"] + got["throttled"] > 0
    assert got["functions_called"] >= 1


def test_a_trace_says_who_calls_when():
    got = result(EXAMPLES / "replay.toml")
    by_name = {function["name"]: function for function in got["functions"]}
    # Two calls at once, and one after more than a minute's pause in which both environments went.
    assert by_name["checkout"]["invocations"] == 4 and by_name["checkout"]["cold_starts"] == 3
    assert by_name["thumbnails"]["cold_starts"] == 2


def test_the_models_of_scaling_differ_in_a_spike():
    runs = result(EXAMPLES / "spike.toml", "--for", "12s", "--vary", "scaling=unlimited,2023,classic")["runs"]
    unlimited, own, _ = (run["throttled"] for run in runs)
    assert unlimited < own


def test_wrong_files_and_options_are_named_with_their_place(tmp_path):
    wrong = tmp_path / "load.toml"
    wrong.write_text('[[function]]\nname = "a"\narrivals = { poison = 5 }\n')
    assert f"{wrong}:3: arrivals: one of constant, poisson" in simulate(wrong, code=1).stderr
    wrong.write_text('trace = "calls.csv"\n')
    assert "calls.csv: " in simulate(wrong, code=1).stderr
    (tmp_path / "calls.csv").write_text("time_ms,function\n5,a\n4,a\n")
    assert f"{tmp_path / 'calls.csv'}:3: this time is before the one above it" in simulate(wrong, code=1).stderr
    assert "cannot read" in simulate(tmp_path / "none.toml", code=1).stderr
    assert "--vary rates=1: there is no such setting" in simulate("--rate", 1, "--vary", "rates=1", code=2).stderr
    assert "say what is to be simulated" in simulate(code=2).stderr


def test_what_no_daemon_would_take_is_refused():
    more = simulate("--rate", 100, "--reserved", 50, "--provisioned", 60, code=2)
    assert "provisioned=60 is more than reserved=50" in more.stderr and more.stdout == ""
    assert "is more than reserved" in simulate("--rate", 1, "--reserved", 5, "--vary", "provisioned=1,6", code=2).stderr


def test_environments_are_replaced_at_their_age():
    # One call a second finds its environment warm for as long as that may live.
    settings = ["--rate", 1, "--duration-ms", 10, "--init-ms", 0, "--for", "60s", "--set", "freeze-after-ms=0"]
    settings += ["--set", "start-reserve-mb=1"]
    assert result(*settings, "--set", "recycle-after-s=0")["cold_starts"] == 1
    assert result(*settings, "--set", "recycle-after-s=10")["cold_starts"] > 3


# --- against a real daemon ---

IDLE_S = 3
# Function, seconds after the beginning, duration. Whatever decides stands more than 200 ms apart, also if an environment
# takes up to 1.5 s to come up.
PLANNED = [
    ("a", 0.0, 300),
    ("b", 0.5, 200),
    ("a", 2.5, 3000),
    ("a", 2.8, 300),
    ("a", 5.8, 200),
    ("b", 8.0, 200),
    ("a", 8.5, 2500),
    ("a", 8.8, 300),
    ("b", 10.2, 200),
    ("a", 17.5, 200),
]
RESERVED = 4
RANDOM_MS = 400


class Caller:
    """Calls functions at their moments, each in a thread of its own, and notes what came of it."""

    def __init__(self, daemon, functions):
        self.client = daemon.client()
        self.functions = functions
        self.calls = []

    def call(self, name, ms):
        started = time.monotonic()
        parameters = {"Payload": json.dumps({"seconds": ms / 1000})}
        try:
            answer = self.functions[name].invoke(**parameters)
            answer.ok()
            self.calls.append((name, started, "Init Duration" in answer.report, answer.report))
        except self.client.exceptions.TooManyRequestsException as error:
            self.calls.append((name, started, None, error.response["Reason"]))

    def run(self, plan):
        """Returns what came of the calls of a plan."""
        before = len(self.calls)
        begin = time.monotonic() + 0.3
        threads = []
        for name, at, ms in plan:
            time.sleep(max(0, begin + at - time.monotonic()))
            threads.append(threading.Thread(target=self.call, args=(name, ms)))
            threads[-1].start()
        for thread in threads:
            thread.join()
        assert len(self.calls) == before + len(plan), "a call failed"
        return self.calls[before:]


def poisson(seed, rate, seconds):
    chance = random.Random(seed)
    at, plan = 0.0, []
    while True:
        at += chance.expovariate(rate)
        if at >= seconds:
            return plan
        plan.append(("busy", at, RANDOM_MS))


@pytest.fixture(scope="module")
def story(start_module_daemon, python, tmp_path_factory):
    """A daemon's life with a known load, recorded, and what its clients saw."""
    recording = tmp_path_factory.mktemp("recordings") / "life.rec"
    config = f"[limits]\nidle_timeout_s = {IDLE_S}\n"
    daemon = start_module_daemon(config=config, arguments=["--record", str(recording)])
    make = Maker(daemon, python, ROLE)
    names = {name: make(SLEEP, Timeout=30) for name in ("a", "b", "busy")}
    daemon.client().put_function_concurrency(FunctionName=names["busy"].name, ReservedConcurrentExecutions=RESERVED)
    caller = Caller(daemon, names)
    planned = caller.run(PLANNED)
    # All of its environments are there before the random load.
    caller.run([("busy", 0.0, 1500)] * RESERVED)
    plan = poisson(1, 15, 30)
    randomly = caller.run(plan)
    running = recording.read_bytes()
    assert daemon.stop() == 0
    return {
        "recording": recording,
        "while_running": running,
        "planned": planned,
        "plan": plan,
        "random": randomly,
        "calls": caller.calls,
    }


def csv(path, plan):
    rows = [f"{at * 1000:.3f},{name},{ms:.3f}" for name, at, ms in plan]
    path.write_text("\n".join(["time_ms,function,duration_ms", *rows]) + "\n")
    return path


def test_cold_starts_are_those_of_the_daemon(story, tmp_path):
    trace = csv(tmp_path / "planned.csv", PLANNED)
    options = ["--profile", "box", "--init-ms", 300, "--set", f"idle-timeout-s={IDLE_S}"]
    got = result("--trace", trace, *options)
    simulated = {function["name"]: function["cold_starts"] for function in got["functions"]}
    seen = {name: sum(cold for who, _, cold, _ in story["planned"] if who == name) for name in ("a", "b")}
    assert simulated == seen == {"a": 4, "b": 2}


def test_throttles_are_within_two_percent_of_the_daemons(story, tmp_path, figure):
    seen = [reason for _, _, cold, reason in story["random"] if cold is None]
    assert set(seen) == {"ReservedFunctionConcurrentInvocationLimitExceeded"}
    durations = [float(report.split("Duration: ")[1].split()[0]) for _, _, cold, report in story["random"] if cold is False]
    took = statistics.median(durations)
    trace = csv(tmp_path / "random.csv", [(name, at, took) for name, at, _ in story["plan"]])
    got = result("--trace", trace, "--profile", "box", "--reserved", RESERVED, "--set", "idle-timeout-s=60")
    calls = len(story["plan"])
    figure("throttled, daemon and simulation", f"{len(seen)} and {got['throttled']} of {calls}")
    assert got["invocations"] == calls
    assert abs(got["throttled"] - len(seen)) <= 0.02 * calls


def test_a_recording_is_reproduced_decision_by_decision(story):
    got = result("--replay", story["recording"])
    assert got["identical"] is True and got["divergence"] is None and got["ending"] == "closed"
    throttled = [call for call in story["calls"] if call[2] is None]
    assert got["invocations"] == len(story["calls"])
    assert got["throttled"] == len(throttled) > 0
    assert got["completed"] == len(story["calls"]) - len(throttled)
    assert simulate("--replay", story["recording"]).stderr.endswith("every decision as it was recorded\n")


def test_other_limits_are_tried_on_recorded_traffic(story):
    got = result("--replay", story["recording"], "--vary", "reserved=1,4,100")
    few, same, many = (run["throttled"] for run in got["runs"])
    assert few > same > many == 0
    throttled = sum(call[2] is None for call in story["calls"])
    assert abs(same - throttled) <= 0.02 * len(story["calls"])
    none = result("--replay", story["recording"], "--account-limit", 0)
    assert none["throttles"] == {"ConcurrentInvocationLimitExceeded": len(story["calls"])}
    assert "not among what recorded traffic" in simulate("--replay", story["recording"], "--vary", "load=2", code=2).stderr


def test_a_recording_that_was_cut_off_is_replayed_as_far_as_it_goes(story, tmp_path):
    cut = tmp_path / "cut.rec"
    whole = story["recording"].read_bytes()
    for part in (story["while_running"], whole[:-1], whole[: len(whole) // 2]):
        cut.write_bytes(part)
        done = simulate("--replay", cut, "--json")
        got = json.loads(done.stdout)
        assert got["identical"] is True and got["ending"] == "cut-off"
        assert "it was cut off" in done.stderr


def test_damage_is_named_with_its_place(story, tmp_path):
    broken = tmp_path / "broken.rec"
    whole = bytearray(story["recording"].read_bytes())
    whole[len(whole) - 20] ^= 1
    broken.write_bytes(whole)
    assert f"{broken}: damaged after" in simulate("--replay", broken, code=1).stderr
    broken.write_bytes(b"PK\x03\x04 something else")
    assert "this is no recording" in simulate("--replay", broken, code=1).stderr
    broken.write_bytes(b'{"hearth_recording":99,"program":"9.9"}\n')
    assert "has format 99 (hearth 9.9)" in simulate("--replay", broken, code=1).stderr
    broken.write_bytes(b"")
    assert "this is no recording" in simulate("--replay", broken, code=1).stderr


def test_a_recording_that_was_tampered_with_does_not_pass(story, tmp_path):
    """Other limits in the header than those that were in force: the decisions differ, and the first one is named."""
    other = tmp_path / "other.rec"
    header, rest = story["recording"].read_bytes().split(b"\n", 1)
    limits = json.loads(header)
    limits["limits"]["account_concurrency"] = 1
    other.write_bytes(json.dumps(limits).encode() + b"\n" + rest)
    done = simulate("--replay", other, "--json", code=1)
    assert json.loads(done.stdout)["identical"] is False
    assert "the decisions are not those that were recorded: record " in done.stderr


def test_a_recording_never_takes_the_place_of_another(story, tmp_path):
    before = story["recording"].read_bytes()
    command = [str(binary()), "serve", "--state-dir", str(tmp_path / "state"), "--listen", "127.0.0.1:0"]
    command += ["--admin-listen", "127.0.0.1:0", "--record", str(story["recording"])]
    tmp_path.chmod(0o755)
    environment = clean_environment({"HEARTH_KEY_FILE": str(tmp_path / "key")})
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 1 and "is there already" in done.stderr, done.stderr
    assert story["recording"].read_bytes() == before
