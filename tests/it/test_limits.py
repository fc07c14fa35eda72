"""Limits at their edges, as an unmodified client meets them: tiny rates, no line, a lowered account, one function's own."""

import concurrent.futures
import http.client
import json
import subprocess

from lib import functions, holding, metrics, waiting
from lib.daemon import ROLE, binary, clean_environment
from lib.functions import error_of

RESERVED = "ReservedFunctionConcurrentInvocationLimitExceeded"
LARGE = 5 * 1024 * 1024
SLOW_INIT = f"import subprocess\nsubprocess.run({holding.COMMAND})\n\ndef handler(event, context):\n    return 1\n"


def in_flight(daemon, function):
    return metrics.value(daemon, "hearth_function_concurrent_executions", function=function.name)


def environments(daemon):
    return metrics.value(daemon, "hearth_environments")


def test_one_who_calls_after_the_other_is_never_throttled_by_a_scaling_rate(start_daemon, python):
    rate = {"SCALING": "2023", "SCALING_BURST": "3", "SCALING_PER_MINUTE": "0"}
    daemon = start_daemon(environment={f"HEARTH_LIMITS__{name}": value for name, value in rate.items()})
    function = functions.Maker(daemon, python, ROLE)(functions.ECHO)
    for number in range(300):
        assert function.invoke(number, tail=False).ok() == number


def test_without_a_line_who_can_be_started_for_at_once_is(start_daemon, python):
    daemon = start_daemon(environment={"HEARTH_LIMITS__WAITING_MAX": "0"})
    make = functions.Maker(daemon, python, ROLE)
    first, second = make(functions.ECHO), make(functions.ECHO)
    for function in (first, second, first):
        assert function.invoke(1, tail=False).ok() == 1


def test_a_reservation_can_be_lowered_and_given_up_once_the_account_is_smaller(start_daemon, python):
    daemon = start_daemon()
    make = functions.Maker(daemon, python, ROLE)
    first, second = make(functions.ECHO), make(functions.ECHO)
    for function in (first, second):
        daemon.client().put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=400)
    assert daemon.stop() == 0
    daemon.environment["HEARTH_LIMITS__ACCOUNT_CONCURRENCY"] = "150"
    daemon.start()
    client = daemon.client()

    def reserve(number):
        return client.put_function_concurrency(FunctionName=first.name, ReservedConcurrentExecutions=number)

    status, code, message = error_of(reserve, 401)
    assert (status, code) == (400, "InvalidParameterValueException") and "minimum value of [100]" in message
    for number in (400, 200, 1, 0):
        assert reserve(number)["ReservedConcurrentExecutions"] == number
    assert client.get_function_concurrency(FunctionName=first.name)["ReservedConcurrentExecutions"] == 0
    assert error_of(reserve, 1)[0] == 400, "what was given up is gone"


def test_one_function_may_be_kept_warm_for_less_time_than_the_others(start_daemon, python):
    daemon = start_daemon(config='[functions."brief"]\nidle_timeout_s = 1\n')
    make = functions.Maker(daemon, python, ROLE)
    brief, other = make(functions.IDENTITY, name="brief"), make(functions.IDENTITY)
    kept = other.invoke(tail=False).ok()["instance"]
    instance = brief.invoke(tail=False).ok()["instance"]
    waiting.until(lambda: environments(daemon) == 1, "the brief one's environment is gone")
    assert brief.invoke(tail=False).ok()["instance"] != instance
    assert other.invoke(tail=False).ok()["instance"] == kept
    # Settings that are told later do not take it away.
    daemon.client().put_function_concurrency(FunctionName="brief", ReservedConcurrentExecutions=5)
    brief.invoke(tail=False).ok()
    waiting.until(lambda: environments(daemon) == 1, "it is gone again")


def announce(daemon, function):
    """Announces a large body and sends one byte of it; gives the connection."""
    connection = http.client.HTTPConnection(*daemon.address, timeout=waiting.stretched(30))
    connection.putrequest("POST", f"/2015-03-31/functions/{function.name}/invocations")
    connection.putheader("Content-Length", str(LARGE))
    connection.endheaders()
    connection.send(b'"')
    return connection


def test_a_function_at_its_reservation_refuses_before_it_is_sent_anything_large(client, daemon, make):
    function = make(holding.CODE, Timeout=60)
    client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    with holding.under_way(function) as (held,):
        assert in_flight(daemon, function) == 1
        # The first one that is refused is read.
        status, code, _ = error_of(function.invoke, {}, tail=False)
        assert (status, code) == (429, "TooManyRequestsException")
        connection = announce(daemon, function)
        try:
            # Nothing more is sent until the answer is there.
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())["Reason"]) == (429, RESERVED)
        finally:
            connection.close()
    assert held.result().ok()
    assert function.invoke({}, tail=False).ok(), "what has come back can be used"


def test_what_is_in_flight_is_counted_alike_everywhere(client, daemon, make):
    reserving, other = make(holding.CODE, Timeout=60), make(holding.CODE, Timeout=60)
    waits = make(SLOW_INIT, Timeout=60)
    client.put_function_concurrency(FunctionName=reserving.name, ReservedConcurrentExecutions=5)

    def figures():
        read = metrics.read(daemon)
        named = [("hearth_function_concurrent_executions", frozenset({("function", it.name)})) for it in (reserving, other, waits)]
        plain = [(f"hearth_{name}concurrent_executions", frozenset()) for name in ("", "unreserved_")]
        return [read.get(key, 0) for key in named + plain]

    with holding.under_way(reserving, 2) as two, holding.under_way(other) as (one,):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waits_for_init = pool.submit(waits.invoke, {}, False)
            # Who waits for an initialisation is in flight, too.
            waiting.until(lambda: figures() == [2, 1, 1, 4, 2], lambda: f"four are in flight: {figures()}")
            waiting.until(lambda: holding.held(waits), "it is initialised")
            holding.let_go(waits)
    assert all(it.result().ok() for it in (*two, one, waits_for_init))
    waiting.until(lambda: figures() == [0, 0, 0, 0, 0], lambda: f"none is: {figures()}")


def test_the_series_of_a_deleted_function_go(client, daemon, make):
    function = make(functions.ECHO)
    assert function.invoke(1, tail=False).ok() == 1
    label = ("function", function.name)

    def named():
        return [name for name, labels in metrics.read(daemon) if label in labels]

    assert "hearth_invocations_total" in named()
    client.delete_function(FunctionName=function.name)
    waiting.until(lambda: not named(), named)


def test_a_recording_is_of_all_traffic_and_counts_each_call_once(start_daemon, python, tmp_path):
    recording = tmp_path / "saturated.rec"
    daemon = start_daemon(arguments=["--record", str(recording)])
    make, client = functions.Maker(daemon, python, ROLE), daemon.client()
    busy, disabled = make(holding.CODE, Timeout=60), make(functions.ECHO)
    client.put_function_concurrency(FunctionName=busy.name, ReservedConcurrentExecutions=1)
    client.put_function_concurrency(FunctionName=disabled.name, ReservedConcurrentExecutions=0)
    seen = {"offered": 0, "throttled": 0}

    def call(function, payload):
        seen["offered"] += 1
        try:
            function.invoke(payload, tail=False).ok()
        except client.exceptions.TooManyRequestsException:
            seen["throttled"] += 1

    # One after the other: some are held back for the permit of the one before.
    for _ in range(100):
        call(busy, {})
    for _ in range(20):
        call(disabled, {})
    with holding.under_way(busy, invoke=lambda event: call(busy, event)):
        for _ in range(20):
            call(busy, {})
    assert daemon.stop() == 0
    assert seen["throttled"] >= 40
    command = [str(binary()), "simulate", "--json", "--replay", str(recording)]
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environment(), timeout=120, check=True)
    figures = json.loads(done.stdout)
    assert figures["invocations"] == seen["offered"]
    assert figures["throttled"] == seen["throttled"] and figures["identical"] is True
    # With room for all of them each of them runs, once.
    command += ["--reserved", "100"]
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environment(), timeout=120, check=True)
    figures = json.loads(done.stdout)
    assert (figures["invocations"], figures["completed"]) == (seen["offered"], seen["offered"])
