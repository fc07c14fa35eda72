"""Reserved concurrency and the account's limit as an unmodified client meets them: what is refused, how, and how soon."""

import http.client
import json
import time

import pytest

from lib import functions, holding, metrics, waiting
from lib.functions import error_of

RESERVED = "ReservedFunctionConcurrentInvocationLimitExceeded"
ACCOUNT = "ConcurrentInvocationLimitExceeded"
LARGE = 5 * 1024 * 1024


def reason_of(client, call):
    """(reason, seconds to wait) of a call that is throttled; none and its answer if it is not."""
    try:
        return None, call()
    except client.exceptions.TooManyRequestsException as error:
        answer = error.response
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 429
        assert answer["Error"]["Message"] == "Rate Exceeded."
        return answer["Reason"], int(answer["ResponseMetadata"]["HTTPHeaders"]["retry-after"])


def running(daemon, function):
    return metrics.value(daemon, "hearth_function_concurrent_executions", function=function.name)


def test_one_who_calls_after_the_other_is_never_throttled_by_a_reservation_of_one(client, make):
    function = make(functions.ECHO)
    client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    for number in range(100):
        assert function.invoke(number, tail=False).ok() == number


def test_a_refusal_says_when_to_try_again_and_is_counted_by_its_reason(client, daemon, make):
    function = make(holding.CODE, Timeout=60)
    client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    with holding.under_way(function) as (one,):
        begun = time.monotonic()
        assert running(daemon, function) == 1
        reason, pause_s = reason_of(client, lambda: function.invoke({}, tail=False))
        lasted_s = time.monotonic() - begun
    assert reason == RESERVED and pause_s >= 1
    assert one.result().ok()
    labels = {"function": function.name}
    assert metrics.value(daemon, "hearth_throttles_total", **labels, reason=RESERVED) == 1
    assert metrics.value(daemon, "hearth_invocations_total", **labels) == 1, "a throttle is no invocation"
    assert metrics.value(daemon, "hearth_function_duration_seconds_count", **labels) == 1
    assert metrics.value(daemon, "hearth_function_duration_seconds_sum", **labels) >= lasted_s
    assert running(daemon, function) == 0


def test_what_is_refused_anyway_is_refused_before_it_is_sent_and_its_connection_serves_on(client, daemon, make):
    function, other = make(functions.ECHO), make(functions.ECHO)
    client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
    path = "/2015-03-31/functions/{}/invocations"
    connection = http.client.HTTPConnection(*daemon.address, timeout=30)
    try:
        connection.putrequest("POST", path.format(function.name))
        connection.putheader("Content-Length", str(LARGE))
        connection.endheaders()
        connection.send(b'"')
        # Nothing more comes until the answer is there.
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["Reason"]) == (429, RESERVED)
        assert int(answer.headers["Retry-After"]) >= 1
        connection.sock.sendall(b"x" * (LARGE - 2) + b'"')
        connection.request("POST", path.format(other.name), body=b"1")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"1")
    finally:
        connection.close()


@pytest.fixture(scope="module")
def small(start_module_daemon):
    """A daemon whose account may run three invocations at once, one of them without a reservation."""
    limits = {"HEARTH_LIMITS__ACCOUNT_CONCURRENCY": "3", "HEARTH_LIMITS__UNRESERVED_MINIMUM": "1"}
    return start_module_daemon(environment=limits)


@pytest.fixture
def put(small, python):
    with functions.making(small, python) as maker:
        yield maker


def test_a_lowered_account_limit_throttles_all_but_what_is_reserved(small, put):
    client = small.client()
    reserving, first, second = put(functions.ECHO), put(holding.CODE, Timeout=60), put(functions.ECHO)
    client.put_function_concurrency(FunctionName=reserving.name, ReservedConcurrentExecutions=1)
    limit = client.get_account_settings()["AccountLimit"]
    assert (limit["ConcurrentExecutions"], limit["UnreservedConcurrentExecutions"]) == (3, 2)
    with holding.under_way(first, 2) as two:
        assert metrics.value(small, "hearth_unreserved_concurrent_executions") == 2
        reason, pause_s = reason_of(client, lambda: second.invoke({}, tail=False))
        assert reason == ACCOUNT and pause_s >= 1
        assert reserving.invoke(7, tail=False).ok() == 7, "what is reserved is kept from the others"
    assert all(one.result().ok() for one in two)
    assert metrics.value(small, "hearth_throttles_total", function=second.name, reason=ACCOUNT) == 1
    waiting.until(lambda: metrics.value(small, "hearth_unreserved_concurrent_executions") == 0, "none runs")
    assert second.invoke(1, tail=False).ok() == 1


def test_a_reservation_must_leave_the_minimum(small, put):
    client = small.client()
    function = put(functions.ECHO)
    status, code, message = error_of(
        client.put_function_concurrency, FunctionName=function.name, ReservedConcurrentExecutions=3
    )
    assert (status, code) == (400, "InvalidParameterValueException")
    assert message == (
        "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
        "below its minimum value of [1]."
    )


def test_a_lowered_scaling_rate_throttles_what_would_start_too_many(start_daemon, python):
    from lib.daemon import ROLE

    rate = {"SCALING": "2023", "SCALING_BURST": "2", "SCALING_PER_MINUTE": "1"}
    daemon = start_daemon(environment={f"HEARTH_LIMITS__{name}": value for name, value in rate.items()})
    function = functions.Maker(daemon, python, ROLE)(holding.CODE, Timeout=60)
    with holding.under_way(function, 2) as two:
        reason, pause_s = reason_of(daemon.client(), lambda: function.invoke({}, tail=False))
        assert reason == "FunctionInvocationRateLimitExceeded" and 1 <= pause_s <= 120
    assert all(one.result().ok() for one in two)
    assert function.invoke({}, tail=False).ok(), "what is warm needs no start"


def test_more_requests_per_second_than_a_reservation_allows_are_throttled(start_daemon, python):
    from lib.daemon import ROLE

    daemon = start_daemon(environment={"HEARTH_LIMITS__REQUESTS_PER_CONCURRENCY": "2"})
    function, client = functions.Maker(daemon, python, ROLE)(functions.ECHO), daemon.client()
    client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)

    def refused():
        reason, _ = reason_of(client, lambda: function.invoke(1, tail=False))
        return reason

    # However slow this machine is: three within one second come sooner or later.
    found = waiting.until(refused, "one too many within a second")
    assert found == "ReservedFunctionInvocationRateLimitExceeded"
    waiting.until(lambda: refused() is None, "the second is over")
