"""All waiters of boto3 and of the aws CLI: what they wait for comes, and what cannot come is said."""

import boto3
import botocore.exceptions
import pytest

from lib import functions
from lib.daemon import REGION, ROLE
from lib.functions import unique

WAITERS = sorted(boto3.session.Session(region_name=REGION).client("lambda", region_name=REGION).waiter_names)
FREQUENT = {"Delay": 1, "MaxAttempts": 60}
STATE_WAITERS = ("function_active", "function_active_v2", "function_exists")
UPDATE_WAITERS = ("function_updated", "function_updated_v2")


def test_these_are_all_waiters():
    assert WAITERS == sorted([*STATE_WAITERS, *UPDATE_WAITERS, "published_version_active"])


@pytest.fixture
def name(daemon):
    with functions.free_name(daemon.client()) as chosen:
        yield chosen


def create(client, name, python, **settings):
    return client.create_function(
        FunctionName=name, Role=ROLE, Runtime=python, Handler="index.handler",
        Code={"ZipFile": functions.package(functions.ECHO)}, **settings,
    )


def begun(client, name, python, waiter):
    """Sets going what a waiter waits for; gives its parameters."""
    if waiter == "published_version_active":
        return {"FunctionName": name, "Qualifier": create(client, name, python, Publish=True)["Version"]}
    assert create(client, name, python)["State"] == "Pending"
    if waiter in UPDATE_WAITERS:
        client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=FREQUENT)
        answer = client.update_function_configuration(FunctionName=name, Description="changed")
        assert answer["LastUpdateStatus"] == "InProgress"
    return {"FunctionName": name}


def check_reached(client, waiter, which):
    got = client.get_function_configuration(**which)
    if waiter != "function_exists":
        assert (got["State"], got["LastUpdateStatus"]) == ("Active", "Successful")
    assert got["Description"] == ("changed" if waiter in UPDATE_WAITERS else "")


@pytest.mark.parametrize("waiter", WAITERS)
def test_boto3_waits_until_it_is_so(waiter, client, name, python):
    which = begun(client, name, python, waiter)
    client.get_waiter(waiter).wait(**which, WaiterConfig=FREQUENT)
    check_reached(client, waiter, which)


@pytest.mark.parametrize("waiter", WAITERS)
def test_the_aws_cli_waits_until_it_is_so(waiter, daemon, client, name, python):
    which = begun(client, name, python, waiter)
    options = ["--function-name", name] + (["--qualifier", which["Qualifier"]] if "Qualifier" in which else [])
    done = daemon.aws("wait", waiter.replace("_", "-"), *options, within_s=120)
    assert done.stdout == ""
    check_reached(client, waiter, which)


@pytest.mark.parametrize("waiter", WAITERS)
def test_boto3_gives_up_on_what_is_not_there(waiter, client):
    which = {"FunctionName": unique("nobody")}
    if waiter == "published_version_active":
        which["Qualifier"] = "1"
    with pytest.raises(botocore.exceptions.WaiterError) as caught:
        client.get_waiter(waiter).wait(**which, WaiterConfig={"Delay": 1, "MaxAttempts": 2})
    assert caught.value.last_response["Error"]["Code"] == "ResourceNotFoundException"
    # Only `function_exists` knows that it may come yet.
    assert ("Max attempts exceeded" in str(caught.value)) == (waiter == "function_exists")


def test_the_aws_cli_gives_up_on_what_is_not_there(daemon):
    done = daemon.aws("wait", "function-updated-v2", "--function-name", unique("nobody"), check=False)
    assert done.returncode == 255
    assert "ResourceNotFoundException" in done.stderr
