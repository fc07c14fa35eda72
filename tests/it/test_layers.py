"""Layers as an unmodified client sees them: versions, filters, policies, and what functions find at `/opt`."""

import json
import os
import urllib.request

import pytest

from lib import functions
from lib.daemon import ACCOUNT, REGION
from lib.functions import error_of, package

INVALID = (400, "InvalidParameterValueException")
NOT_FOUND = (404, "ResourceNotFoundException")
IMPORT = """
import os, sys
import said

def handler(event, context):
    return {"said": said.WORD, "files": sorted(os.listdir("/opt")), "writable": os.access("/opt", os.W_OK)}
"""


def layer_arn(name, number=None):
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:{name}" + (f":{number}" if number else "")


@pytest.fixture
def publish(client):
    """Publishes a version of a layer; all of them are deleted afterwards."""
    made = []

    def publish(files, name=None, executable=("bootstrap",), **parameters):
        answer = client.publish_layer_version(
            LayerName=name or functions.unique("layer"),
            Content={"ZipFile": package(files, executable)},
            **parameters,
        )
        made.append((answer["LayerArn"], answer["Version"]))
        return answer

    yield publish
    for name, version in made:
        client.delete_layer_version(LayerName=name, VersionNumber=version)


def say(word):
    return {"python/said.py": f"WORD = {word!r}\n"}


# --- versions ---


def test_a_large_package_may_come_with_the_request(client, publish):
    noise = os.urandom(2_000_000)
    made = publish({"python/noise": noise})
    assert made["Content"]["CodeSize"] > len(noise)
    with urllib.request.urlopen(made["Content"]["Location"]) as answer:
        assert len(answer.read()) == made["Content"]["CodeSize"]


def test_a_version_is_told_by_number_and_by_arn_and_its_package_comes_back(client, publish):
    name = functions.unique("layer")
    made = publish(
        say("a"),
        name=name,
        Description="words",
        CompatibleRuntimes=["python3.12"],
        CompatibleArchitectures=["x86_64"],
        LicenseInfo="MIT",
    )
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (made["Version"], made["LayerArn"]) == (1, layer_arn(name))
    assert made["LayerVersionArn"] == layer_arn(name, 1)
    by_number = client.get_layer_version(LayerName=name, VersionNumber=1)
    by_arn = client.get_layer_version_by_arn(Arn=made["LayerVersionArn"])
    for found in (by_number, by_arn):
        with urllib.request.urlopen(found["Content"].pop("Location")) as answer:
            assert answer.read() == package(say("a"))
        found.pop("ResponseMetadata")
    made["Content"].pop("Location")
    made.pop("ResponseMetadata")
    assert by_number == made == by_arn


def test_numbers_are_never_given_twice_and_deleting_is_idempotent(client, publish):
    name = functions.unique("layer")
    for number in (1, 2):
        assert publish(say(str(number)), name=name)["Version"] == number
    for _ in range(2):
        answer = client.delete_layer_version(LayerName=name, VersionNumber=2)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert publish(say("3"), name=name)["Version"] == 3
    listed = client.list_layer_versions(LayerName=layer_arn(name))["LayerVersions"]
    assert [version["Version"] for version in listed] == [3, 1]
    missing = error_of(client.get_layer_version, LayerName=name, VersionNumber=2)
    assert missing == (*NOT_FOUND, "The resource you requested does not exist.")
    low = error_of(client.get_layer_version, LayerName=name, VersionNumber=0)
    assert low == (*INVALID, "Layer Version Cannot be less than 1")


def test_lists_are_paged_newest_first_and_filtered(client, publish):
    name = functions.unique("layer")
    for number in range(5):
        runtimes = ["nodejs22.x"] if number % 2 else ["python3.12", "python3.13"]
        publish(say(str(number)), name=name, CompatibleRuntimes=runtimes)
    pages = client.get_paginator("list_layer_versions").paginate(LayerName=name, PaginationConfig={"PageSize": 2})
    assert [version["Version"] for page in pages for version in page["LayerVersions"]] == [5, 4, 3, 2, 1]
    python = client.list_layer_versions(LayerName=name, CompatibleRuntime="python3.13")["LayerVersions"]
    assert [version["Version"] for version in python] == [5, 3, 1]
    pages = client.get_paginator("list_layers").paginate(CompatibleRuntime="nodejs22.x", PaginationConfig={"PageSize": 1})
    latest = {layer["LayerName"]: layer["LatestMatchingVersion"]["Version"] for page in pages for layer in page["Layers"]}
    assert latest[name] == 4
    assert client.list_layer_versions(LayerName=functions.unique())["LayerVersions"] == []


def test_a_layer_without_versions_is_not_listed(client, publish):
    name = functions.unique("layer")
    publish(say("a"), name=name)
    client.delete_layer_version(LayerName=name, VersionNumber=1)
    pages = client.get_paginator("list_layers").paginate()
    assert name not in [layer["LayerName"] for page in pages for layer in page["Layers"]]


def test_what_is_no_package_is_refused(client):
    bad = error_of(client.publish_layer_version, LayerName=functions.unique(), Content={"ZipFile": b"no zip"})
    assert bad[:2] == INVALID


# --- policies ---


def test_a_policy_has_statements_that_come_and_go(client, publish):
    made = publish(say("a"))
    version = {"LayerName": made["LayerArn"], "VersionNumber": 1}
    none = error_of(client.get_layer_version_policy, **version)
    assert none == (*NOT_FOUND, "No policy is associated with the given resource.")
    allow = {**version, "StatementId": "s1", "Action": "lambda:GetLayerVersion", "Principal": "*"}
    added = client.add_layer_version_permission(**allow)
    statement = {
        "Sid": "s1",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "lambda:GetLayerVersion",
        "Resource": made["LayerVersionArn"],
    }
    assert json.loads(added["Statement"]) == statement
    told = client.get_layer_version_policy(**version)
    assert json.loads(told["Policy"])["Statement"] == [statement]
    assert told["RevisionId"] == added["RevisionId"]
    twice = error_of(client.add_layer_version_permission, **allow)
    assert twice[:2] == (409, "ResourceConflictException") and "The statement id (s1) provided already exists" in twice[2]
    stale = error_of(client.remove_layer_version_permission, **version, StatementId="s1", RevisionId="other")
    assert stale[:2] == (412, "PreconditionFailedException") and "GetLayerPolicy" in stale[2]
    unknown = error_of(client.remove_layer_version_permission, **version, StatementId="s2")
    assert unknown == (*NOT_FOUND, "Statement s2 is not found in resource policy.")
    client.remove_layer_version_permission(**version, StatementId="s1", RevisionId=told["RevisionId"])
    assert error_of(client.get_layer_version_policy, **version) == none


# --- functions ---


def test_python_imports_from_layers_and_the_later_one_wins(make, publish):
    first = publish({**say("first"), "one": "1"})
    second = publish({**say("second"), "two": "2"})
    arns = [first["LayerVersionArn"], second["LayerVersionArn"]]
    function = make(IMPORT, Layers=arns)
    assert function.invoke().ok() == {"said": "second", "files": ["one", "python", "two"], "writable": False}
    sizes = [first["Content"]["CodeSize"], second["Content"]["CodeSize"]]
    expected = [{"Arn": arn, "CodeSize": size} for arn, size in zip(arns, sizes, strict=True)]
    assert function.configuration()["Layers"] == expected
    version = function.client.publish_version(FunctionName=function.name)
    assert version["Layers"] == expected
    assert function.update(Layers=arns[::-1])["Layers"] == expected[::-1]
    assert function.invoke().ok()["said"] == "first"
    assert function.invoke(Qualifier="1").ok()["said"] == "second"
    assert "Layers" not in function.update(Layers=[])
    assert "No module named 'said'" in function.invoke().body.decode()


def test_node_requires_from_a_layer(make, node, publish):
    layer = publish({"nodejs/node_modules/said/index.js": "module.exports = 'node';\n"})
    code = {"index.js": "const said = require('said');\nexports.handler = async () => said;\n"}
    assert make(code, runtime=node, Layers=[layer["LayerVersionArn"]]).invoke().ok() == "node"


def test_a_runtime_comes_from_a_layer_and_finds_its_programs_there(make, publish):
    script = functions.SHELL_HEAD + 'while :; do next; answer "\\"$(said)\\""; done\n'
    files = {"bootstrap": script, "bin/said": "#!/bin/sh\necho from-bin\n"}
    layer = publish(files, executable=("bootstrap", "bin/said"))
    function = make({"data": "x"}, runtime="provided.al2023", Layers=[layer["LayerVersionArn"]])
    assert function.invoke().ok() == "from-bin"


def test_a_deleted_version_serves_those_that_have_it_and_nobody_else(start_daemon, python):
    daemon = start_daemon()
    client = daemon.client()
    made = client.publish_layer_version(LayerName="gone", Content={"ZipFile": package(say("still"))})
    create = {
        "Role": "arn:aws:iam::000000000000:role/r",
        "Runtime": python,
        "Handler": "index.handler",
        "Code": {"ZipFile": package(IMPORT)},
        "Layers": [made["LayerVersionArn"]],
    }
    client.create_function(FunctionName="has", **create)
    function = functions.Function(client, "has")
    function.wait()
    client.delete_layer_version(LayerName="gone", VersionNumber=1)
    assert function.invoke().ok()["said"] == "still"
    function.update(MemorySize=256)
    assert function.invoke().ok()["said"] == "still"
    late = error_of(client.create_function, FunctionName="late", **create)
    assert late == (*INVALID, f"Layer version {made['LayerVersionArn']} does not exist.")
    # At its start a daemon removes what nothing refers to.
    daemon.kill()
    daemon.start()
    function = functions.Function(daemon.client(), "has")
    assert function.invoke().ok()["said"] == "still"


def test_layers_that_cannot_be_attached_are_refused(client, make, publish):
    function = make(functions.ECHO)
    name = functions.unique("layer")
    one, two = (publish(say(word), name=name)["LayerVersionArn"] for word in "ab")

    def refused(*layers):
        return error_of(client.update_function_configuration, FunctionName=function.name, Layers=list(layers))

    assert refused(*[one] * 6)[:2] == INVALID
    both = "Two different versions of the same layer are not allowed to be referenced in the same function."
    assert refused(one, two) == (*INVALID, f"{both} {one} and {two} are versions of the same layer.")
    elsewhere = one.replace(REGION, "eu-north-1" if REGION != "eu-north-1" else "us-west-2")
    assert refused(elsewhere)[2].endswith(f"Layers are expected to be in region {REGION}.")
    assert refused(one.replace(ACCOUNT, "210987654321"))[:2] == (403, "AccessDeniedException")
    assert refused(layer_arn(name))[1] == "ValidationException"
    assert "Layers" not in function.configuration()


def test_code_and_layers_together_are_bounded(client, make, publish):
    half = b"\0" * 131_072_000
    layers = [publish({"half": half})["LayerVersionArn"] for _ in range(2)]
    function = make(functions.ECHO, Layers=layers[:1])
    big = error_of(client.update_function_configuration, FunctionName=function.name, Layers=layers)
    total = 2 * len(half) + len(functions.ECHO)
    assert big == (
        *INVALID,
        "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. "
        f"The actual size is {total} bytes.",
    )
    assert len(function.configuration()["Layers"]) == 1
