"""Event invoke configurations as an unmodified client sees them: replacing, merging, listing, refusing, forgetting."""

import pytest

from lib.functions import arn, error_of

CODE = "def handler(event, context):\n    return 1\n"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:results"
NOT_FOUND = (404, "ResourceNotFoundException")
INVALID = (400, "InvalidParameterValueException")



def settings(answer):
    return {key: value for key, value in answer.items() if key not in ("ResponseMetadata", "LastModified")}


def test_put_replaces_and_update_merges(make):
    function = make(CODE)
    client, name = function.client, function.name
    put = client.put_function_event_invoke_config(
        FunctionName=name, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": QUEUE}}
    )
    assert settings(put) == {
        "FunctionArn": arn(name, "$LATEST"),
        "MaximumRetryAttempts": 0,
        "DestinationConfig": {"OnSuccess": {}, "OnFailure": {"Destination": QUEUE}},
    }
    merged = client.update_function_event_invoke_config(FunctionName=name, MaximumEventAgeInSeconds=60)
    assert settings(merged) == {**settings(put), "MaximumEventAgeInSeconds": 60}
    assert settings(client.get_function_event_invoke_config(FunctionName=name)) == settings(merged)
    replaced = client.put_function_event_invoke_config(FunctionName=name, MaximumEventAgeInSeconds=120)
    assert "MaximumRetryAttempts" not in replaced
    assert replaced["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}


def test_each_version_and_alias_has_its_own_and_loses_it_when_it_goes(make):
    function = make(CODE)
    client, name = function.client, function.name
    client.publish_version(FunctionName=name)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    for qualifier in ("$LATEST", "1", "live"):
        client.put_function_event_invoke_config(FunctionName=name, Qualifier=qualifier, MaximumRetryAttempts=1)
    pages = client.get_paginator("list_function_event_invoke_configs").paginate(
        FunctionName=name, PaginationConfig={"PageSize": 2}
    )
    found = [[config["FunctionArn"] for config in page["FunctionEventInvokeConfigs"]] for page in pages]
    assert found == [[arn(name, "$LATEST"), arn(name, "1")], [arn(name, "live")]]
    client.delete_alias(FunctionName=name, Name="live")
    client.delete_function(FunctionName=name, Qualifier="1")
    left = client.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"]
    assert [config["FunctionArn"] for config in left] == [arn(name, "$LATEST")]
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="$LATEST")
    status, code, _ = error_of(client.get_function_event_invoke_config, FunctionName=name, Qualifier="live")
    assert (status, code) == NOT_FOUND


def test_configurations_go_with_their_function(make):
    function = make(CODE)
    client, name = function.client, function.name
    client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=2)
    client.delete_function(FunctionName=name)
    again = make(CODE, name=name)
    *problem, text = error_of(again.client.get_function_event_invoke_config, FunctionName=name)
    assert tuple(problem) == NOT_FOUND
    assert text == f"The function {arn(name, '$LATEST')} doesn't have an EventInvokeConfig"


@pytest.mark.parametrize(
    "destination",
    [
        {"OnSuccess": {"Destination": "arn:aws:lambda:us-east-1:000000000000:function:absent"}},
        {"OnSuccess": {"Destination": "arn:aws:iam::000000000000:role/x"}},
        {"OnSuccess": {"Destination": "arn:aws:s3:::results"}},
    ],
)
def test_a_destination_that_cannot_take_results_is_refused(make, destination):
    function = make(CODE)
    put = function.client.put_function_event_invoke_config
    *problem, text = error_of(put, FunctionName=function.name, DestinationConfig=destination)
    assert tuple(problem) == INVALID
    assert destination["OnSuccess"]["Destination"] in text


def test_a_function_is_no_destination_for_itself_and_a_bucket_takes_failures(make):
    function = make(CODE)
    put, name = function.client.put_function_event_invoke_config, function.name
    itself = {"OnFailure": {"Destination": arn(name)}}
    *problem, text = error_of(put, FunctionName=name, DestinationConfig=itself)
    assert (tuple(problem), text) == (INVALID, "You can't specify the function as a destination for itself.")
    bucket = {"OnFailure": {"Destination": "arn:aws:s3:::results"}}
    assert put(FunctionName=name, DestinationConfig=bucket)["DestinationConfig"]["OnFailure"] == bucket["OnFailure"]


def test_nothing_to_set_and_nobody_to_set_it_for_are_refused(make):
    function = make(CODE)
    for call in ("put_function_event_invoke_config", "update_function_event_invoke_config"):
        *problem, _ = error_of(getattr(function.client, call), FunctionName=function.name)
        assert tuple(problem) == INVALID
        *problem, text = error_of(getattr(function.client, call), FunctionName="absent", MaximumRetryAttempts=1)
        assert (tuple(problem), text) == (NOT_FOUND, "The function doesn't exist.")
