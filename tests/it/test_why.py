"""`hearth why`: what the daemon remembers of its decisions, in words and as JSON; and the metrics that count their reasons."""

import json

import pytest

from lib import daemon as daemons
from lib import functions, holding, metrics, waiting

UNKNOWN = "11111111-2222-4333-8444-555555555555"


def invoke(function, payload=None, **parameters):
    """Runs it; gives the request id."""
    answer = function.client.invoke(FunctionName=function.name, Payload=json.dumps(payload or {}), **parameters)
    answer["Payload"].read()
    return answer["ResponseMetadata"]["RequestId"]


def throttled(function):
    """A call that is to be throttled; gives the request id and the reason."""
    with pytest.raises(function.client.exceptions.TooManyRequestsException) as refused:
        invoke(function)
    answer = refused.value.response
    return answer["ResponseMetadata"]["RequestId"], answer["Reason"]


def record(daemon, request_id):
    """The record as it is once the invocation has come to its end, which is a moment after its answer."""

    def ended():
        told = json.loads(daemon.cli("why", request_id, "--json").stdout)
        return told["outcome"] not in ("waiting", "running") and told

    return waiting.until(ended, f"the record of {request_id} is complete")


@pytest.fixture
def own(start_daemon, python):
    """Functions in a daemon of the test's own with these limits: `own("idle_timeout_s = 1")` gives daemon and maker."""

    def start(limits):
        daemon = start_daemon(config=f"[limits]\n{limits}\n")
        return daemon, functions.Maker(daemon, python, daemons.ROLE)

    return start


def test_the_first_invocation_is_cold_and_the_next_one_warm(daemon, make):
    function = make(functions.ECHO)
    first = invoke(function)
    told = record(daemon, first)
    assert (told["function"], told["version"], told["qualifier"]) == (function.name, "$LATEST", None)
    assert (told["outcome"], told["start"], told["cold_because"]) == ("succeeded", "cold", "first")
    assert told["waited_for"] == "initialization" and told["waited_ms"] > 0
    assert 0 < told["init_ms"] < told["total_ms"] and 0 < told["duration_ms"] < told["total_ms"]
    assert told["log_group"] == f"/aws/lambda/{function.name}"
    second = record(daemon, invoke(function))
    assert (second["start"], second["waited_ms"], second["waited_for"]) == ("warm", 0, None)
    assert second["environment"] == told["environment"] and second["log_stream"] == told["log_stream"]
    assert second["init_ms"] is None and second["cold_because"] is None
    words = daemon.cli("why", first).stdout
    for part in (
        f"Function   {function.name} (version $LATEST)\n",
        "Outcome    it succeeded after ",
        "Start      cold: an environment was made for it. This code with these settings had no environment before",
        "for that environment; its code took ",
        f"stream {told['log_stream']}\n",
        "What to do:\n",
        "provisioned concurrency",
    ):
        assert part in words, words


def test_the_stream_is_the_one_that_the_function_logs_to(daemon, make):
    function = make(functions.IDENTITY)
    answer = function.client.invoke(FunctionName=function.name, Payload="{}")
    stream = json.loads(answer["Payload"].read())["stream"]
    assert record(daemon, answer["ResponseMetadata"]["RequestId"])["log_stream"] == stream


def test_environments_that_are_taken_are_the_reason_for_another_one(daemon, make):
    function = make(holding.CODE, Timeout=60)
    invoke(function)
    with holding.under_way(function, 2, invoke=lambda event: invoke(function, event)) as asked:
        pass
    records = [record(daemon, one.result()) for one in asked]
    cold = [told for told in records if told["start"] == "cold"]
    assert len(cold) == 1, records
    assert (cold[0]["cold_because"], cold[0]["others"]) == ("all-taken", 1)
    words = daemon.cli("why", cold[0]["request_id"]).stdout
    assert "The one other environment of this version was taken" in words
    assert "--provisioned-concurrent-executions 2" in words


def test_an_idle_time_out_is_named_with_its_setting(own):
    daemon, make = own("idle_timeout_s = 1")
    function = make(functions.ECHO)
    invoke(function)
    waiting.until(lambda: metrics.series(daemon, "hearth_environments") == 0, "the idle environment is gone")
    again = invoke(function)
    told = record(daemon, again)
    assert (told["start"], told["cold_because"], told["last_ended_by"]) == ("cold", "gone", "idle-timeout")
    assert "limits.idle_timeout_s (now 1" in daemon.cli("why", again).stdout
    assert metrics.series(daemon, "hearth_environments_ended_total", why="idle-timeout") == 1


def test_a_function_that_is_disabled_says_so(daemon, make):
    function = make(functions.ECHO)
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
    request_id, reason = throttled(function)
    assert reason == "ReservedFunctionConcurrentInvocationLimitExceeded"
    told = record(daemon, request_id)
    assert (told["outcome"], told["throttled_by"], told["start"]) == ("throttled", reason, None)
    assert (told["limit_used"], told["limit"]) == (0, 0)
    words = daemon.cli("why", request_id).stdout
    assert "reserved concurrency is 0, which disables it" in words
    assert f"put-function-concurrency --function-name {function.name}" in words


def test_a_limit_is_named_with_how_much_of_it_was_used(own):
    daemon, make = own("account_concurrency = 1\nunreserved_minimum = 0")
    slow, other = make(holding.CODE, Timeout=60), make(functions.ECHO)
    with holding.under_way(slow, invoke=lambda event: invoke(slow, event)) as (running,):

        def now():
            told = daemon.cli("why", "--function", slow.name, "--json", check=False)
            found = json.loads(told.stdout)["records"] if told.returncode == 0 else []
            return found[0] if found and found[0]["outcome"] == "running" else None

        waiting.until(now, "it runs")
        request_id, reason = throttled(other)
        assert metrics.series(daemon, "hearth_concurrent_executions") == 1
        assert now()["total_ms"] is None
    running.result()
    told = record(daemon, request_id)
    assert told["throttled_by"] == reason
    assert reason == "ConcurrentInvocationLimitExceeded"
    words = daemon.cli("why", request_id).stdout
    # At the door it is known that all is in use; the scheduler counts.
    assert "1 of the 1 invocations that functions" in words or "functions without a reservation share 1)" in words
    assert "limits.account_concurrency (now 1)" in words
    assert metrics.series(daemon, "hearth_throttles_total", function=other.name, reason=reason) == 1


def test_failures_are_told_by_their_kind(daemon, make):
    failing = make("import os, time\ndef handler(event, context):\n"
                   "    if event['how'] == 'exit': os._exit(3)\n"
                   "    if event['how'] == 'late': time.sleep(9)\n"
                   "    raise ValueError('no')\n", Timeout=1)
    kinds = {"raise": "function-error", "exit": "runtime-error", "late": "timed-out"}
    for how, outcome in kinds.items():
        told = record(daemon, invoke(failing, {"how": how}))
        assert told["outcome"] == outcome, told
        assert told["error"] == ("Runtime.ExitError" if how == "exit" else None)
        assert f"hearth logs {failing.name}" in daemon.cli("why", told["request_id"]).stdout


def test_the_last_invocations_of_a_function_come_newest_first(daemon, make):
    function = make(functions.ECHO)
    function.client.publish_version(FunctionName=function.name)
    function.client.create_alias(FunctionName=function.name, Name="live", FunctionVersion="1")
    asked = [invoke(function), invoke(function, Qualifier="live"), invoke(function)]
    for one in asked:
        record(daemon, one)
    ask = ("why", "--function", function.name)
    listed = [line.split("\t") for line in daemon.cli(*ask).stdout.splitlines()]
    assert [columns[1] for columns in listed] == asked[::-1]
    assert [columns[2] for columns in listed] == ["$LATEST", "live", "$LATEST"]
    assert [columns[4] for columns in listed] == ["warm", "cold", "cold"]
    assert listed[1][8] == "first of its code and settings"
    last = json.loads(daemon.cli(*ask, "--last", "1", "--json").stdout)["records"]
    assert [one["request_id"] for one in last] == asked[2:]
    of_alias = json.loads(daemon.cli("why", "--function", f"{function.name}:live", "--json").stdout)["records"]
    assert [(one["request_id"], one["version"]) for one in of_alias] == [(asked[1], "1")]


def test_what_is_not_known_is_said_with_the_bound(daemon):
    for arguments in ([UNKNOWN], ["--function", "there-is-none"]):
        failed = daemon.cli("why", *arguments, check=False)
        assert failed.returncode == 1 and failed.stdout == ""
        assert arguments[-1] in failed.stderr and "last 65536 decisions" in failed.stderr
    wrong = daemon.cli("why", "no-uuid", check=False)
    assert wrong.returncode == 1 and "UUID" in wrong.stderr
    assert daemon.cli("why", check=False).returncode == 2


def test_without_a_daemon_the_socket_is_named(tmp_path):
    command = [str(daemons.binary()), "why", UNKNOWN, "--state-dir", str(tmp_path)]
    failed = daemons.run(command, None, False, 30, {})
    assert failed.returncode == 1 and str(tmp_path) in failed.stderr and "hearth serve" in failed.stderr


def test_decisions_are_counted_by_their_reasons(own):
    daemon, make = own("idle_timeout_s = 300")
    function = make(functions.ECHO)
    for _ in range(3):
        # Not before the environment is free again: who comes too soon waits for it.
        record(daemon, invoke(function))
    waiting.until(lambda: metrics.series(daemon, "hearth_starts_total", start="warm") == 2, "two were warm")
    assert metrics.series(daemon, "hearth_starts_total", start="cold") == 1
    assert metrics.series(daemon, "hearth_starts_total", start="provisioned") == 0
    assert metrics.series(daemon, "hearth_wait_seconds_count", waited_for="initialization") == 1
    assert metrics.series(daemon, "hearth_wait_seconds_count", waited_for="capacity") == 0
    function.client.delete_function(FunctionName=function.name)
    waiting.until(lambda: metrics.series(daemon, "hearth_environments_ended_total", why="retired") == 1, "it is retired")


def test_an_eviction_is_the_reason_for_the_next_cold_start(own):
    daemon, make = own("environments_max = 1")
    one, other = make(functions.ECHO), make(functions.ECHO)
    invoke(one)
    made_room = record(daemon, invoke(other))
    assert [gone["function"] for gone in made_room["evicted"]] == [one.name] and made_room["evicted_count"] == 1
    assert f"of {one.name}\n" in daemon.cli("why", made_room["request_id"]).stdout
    assert metrics.series(daemon, "hearth_environments_ended_total", why="evicted") == 1
    again = invoke(one)
    told = record(daemon, again)
    assert (told["start"], told["cold_because"], told["last_ended_by"]) == ("cold", "gone", "evicted")
    words = daemon.cli("why", again).stdout
    assert "the last one went to make room for others" in words and "limits.environments_max (now 1)" in words


def test_a_refusal_by_the_rate_of_growth_names_that_and_its_settings(own):
    daemon, make = own('profile = "box"\nscaling = "2023"\nscaling_burst = 1\nscaling_per_minute = 1')
    function = make(holding.CODE, Timeout=60)
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=5)
    with holding.under_way(function):
        request_id, reason = throttled(function)
    assert reason == "ReservedFunctionInvocationRateLimitExceeded"
    told = record(daemon, request_id)
    assert (told["throttled_by"], told["rate"]) == (reason, "scaling")
    assert metrics.series(daemon, "hearth_rate_throttles_total", rate="scaling") == 1
    assert metrics.series(daemon, "hearth_rate_throttles_total", rate="requests") == 0
    words = daemon.cli("why", request_id).stdout
    assert "the function may add 1 at once and 1 more per minute" in words
    assert "limits.scaling_burst (now 1)" in words and "requests_per_concurrency" not in words


def test_a_refusal_by_the_rate_of_requests_names_that_and_its_setting(own):
    daemon, make = own('profile = "box"\nrequests_per_concurrency = 3')
    function = make(functions.ECHO)
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=2)
    refused = None
    for _ in range(100):
        try:
            invoke(function)
        except function.client.exceptions.TooManyRequestsException as error:
            refused = error.response
            break
    assert refused["Reason"] == "ReservedFunctionInvocationRateLimitExceeded"
    request_id = refused["ResponseMetadata"]["RequestId"]
    assert record(daemon, request_id)["rate"] == "requests"
    words = daemon.cli("why", request_id).stdout
    assert "than 3 for each unit of the function's own concurrency" in words
    assert "limits.requests_per_concurrency (now 3;" in words and "limits.scaling" not in words


def test_who_waits_for_its_own_environment_is_not_refused_for_want_of_room(own):
    daemon, make = own("wait_max_s = 1")
    function = make("import time\ntime.sleep(3)\n" + functions.ECHO, Timeout=20)
    told = record(daemon, invoke(function))
    assert (told["outcome"], told["start"], told["waited_for"]) == ("succeeded", "cold", "initialization")
    assert told["waited_ms"] >= 3000


def test_who_waits_for_room_in_vain_is_told_so(own):
    daemon, make = own("wait_max_s = 1\nenvironments_max = 1")
    function, other = make(holding.CODE, Timeout=60), make(functions.ECHO)
    with holding.under_way(function):
        request_id, reason = throttled(other)
    told = record(daemon, request_id)
    assert (reason, told["outcome"], told["waited_for"]) == ("CapacityExceeded", "throttled", "capacity")
    assert told["waited_ms"] >= 1000
    words = daemon.cli("why", request_id).stdout
    assert "for memory, or a place among the environments" in words
    assert words.count("limits.environments_max (now 1)") == 1


def test_aliases_whose_names_begin_alike_are_told_apart(daemon, make):
    function = make(functions.ECHO)
    function.client.publish_version(FunctionName=function.name)
    asked = {}
    for name in ("release-of-the-web-shop-blue", "release-of-the-web-shop-green"):
        function.client.create_alias(FunctionName=function.name, Name=name, FunctionVersion="1")
        asked[name] = invoke(function, Qualifier=name)
    for name, request_id in asked.items():
        told = daemon.cli("why", "--function", f"{function.name}:{name}", "--json").stdout
        records = json.loads(told)["records"]
        assert [(one["request_id"], one["qualifier"]) for one in records] == [(request_id, name)]


def test_an_environment_replaced_for_its_age_is_named_with_its_setting(own):
    daemon, make = own("recycle_after_s = 1")
    function = make(functions.ECHO)
    invoke(function)
    waiting.until(lambda: metrics.series(daemon, "hearth_environments") == 0, "the old environment is gone")
    again = invoke(function)
    told = record(daemon, again)
    assert (told["start"], told["cold_because"], told["last_ended_by"]) == ("cold", "gone", "recycled")
    words = daemon.cli("why", again).stdout
    assert "had reached the age" in words and "limits.recycle_after_s (now 1;" in words
    assert "always cold" not in words
