"""Provisioned concurrency as an unmodified client sees it: kept, counted, split, moved, refused, spilled over."""

import re

import pytest

from lib import functions, holding, metrics, waiting
from lib.functions import arn, error_of

CODE = f"""
import os, subprocess, uuid
INSTANCE = uuid.uuid4().hex

def handler(event, context):
    if event.get("held"):
        subprocess.run({holding.COMMAND})
    return {{"type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"], "version": context.function_version, "instance": INSTANCE}}
"""
BROKEN = """
import os
if os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency":
    raise RuntimeError("only on demand")

def handler(event, context):
    return "here"
"""
PROVISIONED = "provisioned-concurrency"
ON_DEMAND = "on-demand"
INVALID = (400, "InvalidParameterValueException")
CONFLICT = (409, "ResourceConflictException")
NONE = (404, "ProvisionedConcurrencyConfigNotFoundException")
OVER_RESERVED = (
    "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function"
)


def provision(function, qualifier, count):
    return function.client.put_provisioned_concurrency_config(
        FunctionName=function.name, Qualifier=qualifier, ProvisionedConcurrentExecutions=count
    )


def refusal(function, qualifier, count):
    return error_of(provision, function, qualifier, count)


def config(function, qualifier):
    answer = function.client.get_provisioned_concurrency_config(FunctionName=function.name, Qualifier=qualifier)
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}


def settled(function, qualifier):
    """The configuration once it is ready or has failed."""

    def there():
        found = config(function, qualifier)
        return found["Status"] != "IN_PROGRESS" and found

    return waiting.until(there, lambda: f"{qualifier} is settled: {config(function, qualifier)}", within_s=60)


def ready(function, qualifier, count):
    found = settled(function, qualifier)
    numbers = {name: found[f"{name}ProvisionedConcurrentExecutions"] for name in ("Requested", "Allocated", "Available")}
    assert (found["Status"], numbers) == ("READY", dict.fromkeys(numbers, count)), found
    return found


def call(function, qualifier):
    return function.invoke({}, tail=False, Qualifier=qualifier).ok()


def call_together(function, qualifier, count):
    """So many calls at once, all of them in their handlers before the first answers; in answers."""
    with holding.under_way(function, count, Qualifier=qualifier) as calls:
        pass
    return [one.result().ok() for one in calls]


def log_of(function):
    """All that the function's log has, as one text."""
    text = function.daemon.cli("logs", function.name).stdout
    return text.decode() if isinstance(text, bytes) else text


@pytest.fixture
def published(make):
    """A function with a version."""

    def publish(code=CODE, versions=1, **settings):
        settings.setdefault("Timeout", 60)
        function = make(code, **settings)
        function.daemon = make.daemon
        for number in range(1, versions + 1):
            if number > 1:
                function.update(Description=f"version {number}")
            assert function.client.publish_version(FunctionName=function.name)["Version"] == str(number)
        return function

    return publish


def test_environments_are_ready_before_anybody_calls_and_the_next_call_spills_over(published, daemon):
    function = published()
    put = provision(function, "1", 2)
    assert put["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert (put["Status"], put["RequestedProvisionedConcurrentExecutions"]) == ("IN_PROGRESS", 2)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0000", put["LastModified"])
    assert ready(function, "1", 2)["LastModified"] == put["LastModified"]
    labels = {"function": function.name}
    assert metrics.value(daemon, "hearth_cold_starts_total", **labels) == 2
    assert metrics.value(daemon, "hearth_provisioned_concurrency_allocated", **labels, qualifier="1") == 2
    answers = call_together(function, "1", 3)
    assert sorted(answer["type"] for answer in answers) == [ON_DEMAND, PROVISIONED, PROVISIONED]
    assert len({answer["instance"] for answer in answers}) == 3
    assert metrics.value(daemon, "hearth_provisioned_concurrency_invocations_total", **labels) == 2
    assert metrics.value(daemon, "hearth_provisioned_concurrency_spillover_invocations_total", **labels) == 1
    assert call(function, "1")["type"] == PROVISIONED, "the free one is taken first"
    assert call(function, "$LATEST")["type"] == ON_DEMAND


def test_busy_environments_are_available_and_used(published, daemon):
    function = published()
    provision(function, "1", 2)
    ready(function, "1", 2)
    labels = {"function": function.name, "qualifier": "1"}
    with holding.under_way(function, Qualifier="1") as (answer,):
        assert metrics.value(daemon, "hearth_provisioned_concurrent_executions", **labels) == 1
        assert metrics.value(daemon, "hearth_provisioned_concurrency_utilization", **labels) == 0.5
        ready(function, "1", 2)
    assert answer.result().ok()


def test_their_initialisation_is_told_in_the_log_and_not_billed_with_an_invocation(published):
    function = published()
    provision(function, "1", 1)
    ready(function, "1", 1)
    assert re.search(r"INIT_REPORT Init Duration: [\d.]+ ms\tPhase: init\t", log_of(function))
    first = function.invoke({}, Qualifier="1").report
    assert "Init Duration: " in first
    duration, billed = (float(re.search(rf"{name}: ([\d.]+) ms", first)[1]) for name in ("Duration", "Billed Duration"))
    assert duration <= billed < duration + 1.01, first
    assert "Init Duration: " not in function.invoke({}, Qualifier="1").report


def test_more_and_fewer_are_asked_for_later(published):
    function = published()
    for count in (1, 3, 2):
        provision(function, "1", count)
        ready(function, "1", count)
    assert sum(answer["type"] == PROVISIONED for answer in call_together(function, "1", 3)) == 2


def test_an_initialisation_that_fails_is_the_reason_and_on_demand_serves(published):
    function = published(BROKEN)
    provision(function, "1", 1)
    found = settled(function, "1")
    assert (found["Status"], found["StatusReason"]) == ("FAILED", "FUNCTION_ERROR_INIT_FAILURE")
    assert found["AllocatedProvisionedConcurrentExecutions"] == 0
    assert function.invoke({}, tail=False, Qualifier="1").ok() == "here"
    assert re.search(r"INIT_REPORT [^\n]*Status: error", log_of(function))


def test_an_initialisation_may_take_longer_than_ten_seconds(published):
    function = published("import time\ntime.sleep(11)\n" + CODE)
    provision(function, "1", 1)
    ready(function, "1", 1)
    assert call(function, "1")["type"] == PROVISIONED


def test_an_alias_with_weights_gets_its_versions_shares(published):
    function = published(versions=2)
    client, name = function.client, function.name
    routing = {"AdditionalVersionWeights": {"2": 0.25}}
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1", RoutingConfig=routing)
    provision(function, "live", 4)
    ready(function, "live", 4)
    answers = call_together(function, "live", 4)
    # Which version a call goes to is drawn; of those that go to one, as many as it has a share find it ready.
    for version, share in (("1", 3), ("2", 1)):
        types = [it["type"] for it in answers if it["version"] == version]
        assert types.count(PROVISIONED) == min(len(types), share), answers


def test_an_alias_takes_its_environments_along_when_it_moves(published):
    function = published(versions=2)
    client, name = function.client, function.name
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    provision(function, "live", 1)
    ready(function, "live", 1)
    assert call(function, "live") | {"instance": 0} == {"type": PROVISIONED, "version": "1", "instance": 0}
    client.update_alias(FunctionName=name, Name="live", FunctionVersion="2")

    def moved():
        found = call(function, "live")
        assert found["version"] == "2"
        return found["type"] == PROVISIONED

    waiting.until(moved, "version 2 has the environment", within_s=60)
    ready(function, "live", 1)
    status = error_of(client.update_alias, FunctionName=name, Name="live", FunctionVersion="$LATEST")
    assert status == (*INVALID, "Provisioned Concurrency Configs cannot be applied to unpublished function versions.")


def test_a_version_and_an_alias_that_leads_there_cannot_both_have_some(published):
    function = published(versions=2)
    client, name = function.client, function.name
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    provision(function, "1", 1)
    both = "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
    assert refusal(function, "live", 1) == (*CONFLICT, both)
    assert call(function, "live")["version"] == "1"
    client.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
    provision(function, "live", 1)
    assert refusal(function, "1", 1) == (*CONFLICT, "Version is pointed by a Provisioned Concurrency alias")
    provision(function, "2", 1)
    status = error_of(client.update_alias, FunctionName=name, Name="live", FunctionVersion="2")
    assert status == (*CONFLICT, both)
    assert client.get_alias(FunctionName=name, Name="live")["FunctionVersion"] == "1"


def test_it_comes_out_of_what_the_function_reserves(published):
    function = published(versions=2)
    client, name = function.client, function.name
    provision(function, "1", 2)
    ready(function, "1", 2)
    put = client.put_function_concurrency
    text = " ReservedConcurrentExecutions  1 should not be lower than function's total provisioned concurrency [2]."
    assert error_of(put, FunctionName=name, ReservedConcurrentExecutions=1) == (*INVALID, text)
    put(FunctionName=name, ReservedConcurrentExecutions=2)
    assert refusal(function, "2", 1) == (*INVALID, OVER_RESERVED)
    assert refusal(function, "1", 3) == (*INVALID, OVER_RESERVED)
    with pytest.raises(client.exceptions.TooManyRequestsException) as caught:
        function.invoke({}, tail=False)
    assert caught.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert call(function, "1")["type"] == PROVISIONED
    put(FunctionName=name, ReservedConcurrentExecutions=3)
    assert call(function, "$LATEST")["type"] == ON_DEMAND


def test_it_comes_out_of_what_the_account_leaves_to_all(published):
    function = published()
    client = function.client

    def unreserved():
        return client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]

    before = unreserved()
    greater = f"Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [{before}]."
    assert refusal(function, "1", before + 1) == (*INVALID, greater)
    floor = (
        "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
        "minimum value of [100]."
    )
    assert refusal(function, "1", before) == (*INVALID, floor)
    provision(function, "1", 2)
    assert unreserved() == before - 2
    client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=5)
    assert unreserved() == before - 5
    client.delete_function_concurrency(FunctionName=function.name)
    client.delete_provisioned_concurrency_config(FunctionName=function.name, Qualifier="1")
    assert unreserved() == before


def test_each_is_listed_read_and_forgotten_by_its_name(published):
    function = published(versions=3)
    client, name = function.client, function.name
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="3")
    for qualifier in ("1", "2", "live"):
        provision(function, qualifier, 1)
    pages = client.get_paginator("list_provisioned_concurrency_configs").paginate(
        FunctionName=name, PaginationConfig={"PageSize": 2}
    )
    found = [[it["FunctionArn"] for it in page["ProvisionedConcurrencyConfigs"]] for page in pages]
    assert found == [[arn(name, "1"), arn(name, "2")], [arn(name, "live")]]
    client.delete_alias(FunctionName=name, Name="live")
    client.delete_function(FunctionName=name, Qualifier="1")
    gone = client.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="2")
    assert gone["ResponseMetadata"]["HTTPStatusCode"] == 204
    client.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="2")
    assert client.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"] == []
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="3")
    assert error_of(config, function, "live") == (
        *NONE, "No Provisioned Concurrency Config found for this function",
    )
    assert metrics.value(function.daemon, "hearth_provisioned_concurrency_allocated", function=name, qualifier="2") == 0


def test_it_goes_with_its_function_and_its_environments_go_too(published, daemon):
    function = published()
    client, name = function.client, function.name
    provision(function, "1", 2)
    ready(function, "1", 2)
    before = metrics.value(daemon, "hearth_environments")
    client.delete_function(FunctionName=name)
    waiting.until(lambda: metrics.value(daemon, "hearth_environments") <= before - 2, "its environments are gone")
    status = error_of(config, function, "1")
    assert status == (404, "ResourceNotFoundException", f"Function not found: {arn(name, '1')}")


def test_it_survives_the_daemon(start_daemon, python):
    from lib.daemon import ROLE

    daemon = start_daemon()
    function = functions.Maker(daemon, python, ROLE)(CODE)
    function.client.publish_version(FunctionName=function.name)
    put = provision(function, "1", 2)
    ready(function, "1", 2)
    daemon.stop()
    daemon.start()
    function.client = daemon.client()
    assert ready(function, "1", 2)["LastModified"] == put["LastModified"]
    assert {answer["type"] for answer in call_together(function, "1", 2)} == {PROVISIONED}
