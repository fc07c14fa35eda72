"""What the account may use, what it uses, and the refusal of what would be too much."""

import os

import pytest

from lib import functions
from lib.daemon import ROLE
from lib.functions import error_of, package

CODE = "def handler(event, context):\n    return 1\n"
OTHER = CODE + "# longer than the other\n"
EXCEEDED = (400, "CodeStorageExceededException", "Code storage limit exceeded.")


def usage(client):
    answer = client.get_account_settings()["AccountUsage"]
    return answer["FunctionCount"], answer["TotalCodeSize"]


@pytest.fixture
def alone(start_daemon, python):
    """A client of a daemon with nothing in it, and how to make functions there."""
    daemon = start_daemon()
    return daemon.client(), functions.Maker(daemon, python, ROLE)


def test_the_limits_are_the_services_unless_they_are_configured(alone, start_daemon):
    client, _ = alone
    limits = {
        "TotalCodeSize": 80530636800,
        "CodeSizeUnzipped": 262144000,
        "CodeSizeZipped": 52428800,
        "ConcurrentExecutions": 1000,
        "UnreservedConcurrentExecutions": 1000,
    }
    assert client.get_account_settings()["AccountLimit"] == limits
    assert usage(client) == (0, 0)
    config = "[limits]\naccount_concurrency = 50\nunreserved_minimum = 10\ncode_storage_mb = 2\n"
    configured = start_daemon(config=config).client().get_account_settings()["AccountLimit"]
    other = {"TotalCodeSize": 2 << 20, "ConcurrentExecutions": 50, "UnreservedConcurrentExecutions": 50}
    assert configured == {**limits, **other}


def test_usage_counts_each_version_and_each_layer(alone):
    client, make = alone
    code, other, layer = package(CODE), package(OTHER), package({"python/a.py": "A = 1\n"})
    function = make(code)
    assert usage(client) == (1, len(code))
    # The same package counts once more wherever it is.
    second = make(code)
    client.publish_version(FunctionName=function.name)
    assert usage(client) == (2, 3 * len(code))
    client.publish_version(FunctionName=function.name)
    assert usage(client) == (2, 3 * len(code))
    client.update_function_code(FunctionName=function.name, ZipFile=other, Publish=True)
    function.wait()
    assert usage(client) == (2, 2 * len(code) + 2 * len(other))
    published = client.publish_layer_version(LayerName="l", Content={"ZipFile": layer})
    second.update(Layers=[published["LayerVersionArn"]])
    assert usage(client) == (2, 2 * len(code) + 2 * len(other) + len(layer))
    client.create_alias(FunctionName=function.name, Name="live", FunctionVersion="1")
    assert usage(client) == (2, 2 * len(code) + 2 * len(other) + len(layer))
    client.delete_function(FunctionName=function.name, Qualifier="2")
    assert usage(client) == (2, 2 * len(code) + len(other) + len(layer))
    client.delete_function(FunctionName=function.name)
    assert usage(client) == (1, len(code) + len(layer))
    client.delete_layer_version(LayerName="l", VersionNumber=1)
    client.delete_function(FunctionName=second.name)
    assert usage(client) == (0, 0)


def test_what_functions_reserve_is_not_unreserved(alone):
    client, make = alone

    def unreserved():
        limits = client.get_account_settings()["AccountLimit"]
        assert limits["ConcurrentExecutions"] == 1000
        return limits["UnreservedConcurrentExecutions"]

    first, second = make(CODE), make(CODE)
    client.put_function_concurrency(FunctionName=first.name, ReservedConcurrentExecutions=300)
    client.put_function_concurrency(FunctionName=second.name, ReservedConcurrentExecutions=0)
    assert unreserved() == 700
    client.put_function_concurrency(FunctionName=first.name, ReservedConcurrentExecutions=200)
    assert unreserved() == 800
    client.delete_function_concurrency(FunctionName=second.name)
    client.delete_function(FunctionName=first.name)
    assert unreserved() == 1000


def test_code_beyond_the_limit_is_refused_and_leaves_nothing(start_daemon, python):
    daemon = start_daemon(config="[limits]\ncode_storage_mb = 1\n")
    client = daemon.client()
    make = functions.Maker(daemon, python, ROLE)

    def sized(kilobytes):
        return package({"index.py": CODE, "data": os.urandom(kilobytes << 10)})

    function, small = make(sized(600)), make(sized(100))
    before = usage(client)
    name = functions.unique()
    creation = {"Role": ROLE, "Runtime": python, "Handler": "index.handler", "Code": {"ZipFile": sized(400)}}
    assert error_of(client.create_function, FunctionName=name, **creation) == EXCEEDED
    assert error_of(client.update_function_code, FunctionName=small.name, ZipFile=sized(500)) == EXCEEDED
    assert error_of(client.publish_version, FunctionName=function.name) == EXCEEDED
    assert error_of(client.publish_layer_version, LayerName="l", Content={"ZipFile": sized(400)}) == EXCEEDED
    publish = {"ZipFile": sized(250), "Publish": True}
    assert error_of(client.update_function_code, FunctionName=small.name, **publish) == EXCEEDED
    assert usage(client) == before
    assert client.list_layers()["Layers"] == []
    assert error_of(client.get_function, FunctionName=name)[0] == 404
    assert small.invoke({}).ok() == 1
    # What takes no more room than before goes on working.
    function.update(Timeout=9)
    function.update_code({"index.py": OTHER})
    client.publish_version(FunctionName=small.name)
    client.create_function(FunctionName=name, **creation)
    functions.Function(client, name).wait()
