"""Recursion and runtime management as an unmodified client sees them."""

from lib.functions import arn, error_of

CODE = "def handler(event, context):\n    return 1\n"
NOT_FOUND = (404, "ResourceNotFoundException")
INVALID = (400, "InvalidParameterValueException")



def test_recursive_loops_are_to_be_terminated_until_they_are_allowed(make):
    function = make(CODE)
    client, name = function.client, function.name
    assert client.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Terminate"
    for choice in ("Allow", "Terminate", "Allow"):
        assert client.put_function_recursion_config(FunctionName=name, RecursiveLoop=choice)["RecursiveLoop"] == choice
        assert client.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == choice
    client.delete_function(FunctionName=name)
    status, code, _ = error_of(client.get_function_recursion_config, FunctionName=name)
    assert (status, code) == NOT_FOUND
    make(CODE, name=name)
    assert client.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Terminate"


def test_runtime_management_is_kept_for_each_version(make):
    function = make(CODE)
    client, name = function.client, function.name
    client.publish_version(FunctionName=name)
    put = client.put_runtime_management_config(FunctionName=name, Qualifier="1", UpdateRuntimeOn="FunctionUpdate")
    assert (put["FunctionArn"], put["UpdateRuntimeOn"]) == (arn(name, "1"), "FunctionUpdate")
    latest = client.get_runtime_management_config(FunctionName=name)
    assert (latest["FunctionArn"], latest["UpdateRuntimeOn"]) == (arn(name, "$LATEST"), "Auto")
    first = client.get_runtime_management_config(FunctionName=name, Qualifier="1")
    assert first["UpdateRuntimeOn"] == "FunctionUpdate"


def test_only_the_runtime_version_of_this_host_can_be_pinned(make):
    function = make(CODE)
    put, name = function.client.put_runtime_management_config, function.name
    here = function.configuration()["RuntimeVersionConfig"]["RuntimeVersionArn"]
    pinned = put(FunctionName=name, UpdateRuntimeOn="Manual", RuntimeVersionArn=here)
    assert pinned["RuntimeVersionArn"] == here
    kept = function.client.get_runtime_management_config(FunctionName=name)
    assert (kept["UpdateRuntimeOn"], kept["RuntimeVersionArn"]) == ("Manual", here)
    elsewhere = here[:-1] + ("0" if here[-1] != "0" else "1")
    for parameters in (
        {"UpdateRuntimeOn": "Manual"},
        {"UpdateRuntimeOn": "Manual", "RuntimeVersionArn": elsewhere},
        {"UpdateRuntimeOn": "Auto", "RuntimeVersionArn": here},
    ):
        status, code, _ = error_of(put, FunctionName=name, **parameters)
        assert (status, code) == INVALID
