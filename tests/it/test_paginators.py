"""Every paginator that boto3 has for Lambda, and those for CloudWatch Logs that are here: nothing twice, nothing missing.

Each case makes five things; a page holds two. A paginator of an operation that is not built must get its 501. The
daemon is this module's own, because some lists name everything there is.
"""

import json
import time

import boto3
import botocore.exceptions
import pytest
from botocore.config import Config

from lib import functions
from lib.daemon import ACCOUNT, REGION, ROLE, aws_client
from lib.functions import arn, unique

COUNT = 5
CODE_SIGNING = {"SigningProfileVersionArns": [f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/p/1"]}


def paginators(service):
    loader = boto3.session.Session()._session.get_component("data_loader")
    return sorted(loader.load_service_model(service, "paginators-1")["pagination"])


class Scene:
    """A daemon with one function that others are made beside, and what can be made there."""

    def __init__(self, daemon, python):
        self.daemon = daemon
        self.client = daemon.client()
        self.maker = functions.Maker(daemon, python, ROLE)
        rows = json.loads(daemon.cli("api", "dump").stdout)
        self.built = {row["operation"] for row in rows if row["state"] == "built"}

    def function(self, **settings):
        return self.maker(functions.ECHO, **settings).name

    def versions(self, count=COUNT):
        """A function and the numbers of its versions."""
        name = self.function()
        numbers = []
        for number in range(count):
            self.client.update_function_configuration(FunctionName=name, Description=f"{number}")
            functions.Function(self.client, name).wait()
            numbers.append(self.client.publish_version(FunctionName=name)["Version"])
        return name, numbers

    def aliases(self):
        name, (version,) = self.versions(1)
        names = [f"alias-{number}" for number in range(COUNT)]
        for alias in reversed(names):
            self.client.create_alias(FunctionName=name, Name=alias, FunctionVersion=version)
        return name, names

    def layers(self, names):
        for name in names:
            self.client.publish_layer_version(
                LayerName=name, Content={"ZipFile": functions.package({"a": name})}, CompatibleRuntimes=["python3.12"]
            )


# --- one function per paginator: makes things; gives parameters, the key of the list, a name of an entry, all names ---


def list_functions(scene):
    for function in scene.client.list_functions()["Functions"]:
        scene.client.delete_function(FunctionName=function["FunctionName"])
    names = sorted(scene.function() for _ in range(COUNT))
    return {}, "Functions", lambda it: it["FunctionName"], names


def list_versions_by_function(scene):
    name, numbers = scene.versions(COUNT - 1)
    return {"FunctionName": name}, "Versions", lambda it: it["Version"], ["$LATEST", *numbers]


def list_aliases(scene):
    name, names = scene.aliases()
    return {"FunctionName": name}, "Aliases", lambda it: it["Name"], names


def list_layers(scene):
    for layer in scene.client.list_layers()["Layers"]:
        for version in scene.client.list_layer_versions(LayerName=layer["LayerName"])["LayerVersions"]:
            scene.client.delete_layer_version(LayerName=layer["LayerName"], VersionNumber=version["Version"])
    names = sorted(unique("layer") for _ in range(COUNT))
    scene.layers(reversed(names))
    return {}, "Layers", lambda it: it["LayerName"], names


def list_layer_versions(scene):
    name = unique("versions")
    for _ in range(COUNT):
        scene.layers([name])
    # The newest first.
    parameters = {"LayerName": name, "CompatibleRuntime": "python3.12"}
    return parameters, "LayerVersions", lambda it: it["Version"], list(range(COUNT, 0, -1))


def list_function_event_invoke_configs(scene):
    name, names = scene.aliases()
    for alias in names:
        scene.client.put_function_event_invoke_config(FunctionName=name, Qualifier=alias, MaximumRetryAttempts=1)
    expected = [arn(name, alias) for alias in names]
    return {"FunctionName": name}, "FunctionEventInvokeConfigs", lambda it: it["FunctionArn"], expected


def list_function_url_configs(scene):
    name, names = scene.aliases()
    for alias in names:
        scene.client.create_function_url_config(FunctionName=name, Qualifier=alias, AuthType="NONE")
    expected = [arn(name, alias) for alias in names]
    return {"FunctionName": name}, "FunctionUrlConfigs", lambda it: it["FunctionArn"], expected


def list_event_source_mappings(scene):
    name = scene.function()
    made = [
        scene.client.create_event_source_mapping(
            FunctionName=name, EventSourceArn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:queue-{number}", Enabled=False
        )["UUID"]
        for number in range(COUNT)
    ]
    return {"FunctionName": name}, "EventSourceMappings", lambda it: it["UUID"], sorted(made)


def code_signing_configs(scene, count):
    return [
        scene.client.create_code_signing_config(AllowedPublishers=CODE_SIGNING)["CodeSigningConfig"]
        for _ in range(count)
    ]


def list_code_signing_configs(scene):
    made = sorted(it["CodeSigningConfigArn"] for it in code_signing_configs(scene, COUNT))
    return {}, "CodeSigningConfigs", lambda it: it["CodeSigningConfigArn"], made


def list_functions_by_code_signing_config(scene):
    (config,) = code_signing_configs(scene, 1)
    which = {"CodeSigningConfigArn": config["CodeSigningConfigArn"]}
    names = sorted(scene.function(**which) for _ in range(COUNT))
    return which, "FunctionArns", lambda it: it, [arn(name) for name in names]


def list_provisioned_concurrency_configs(scene):
    name, numbers = scene.versions()
    for number in numbers:
        scene.client.put_provisioned_concurrency_config(
            FunctionName=name, Qualifier=number, ProvisionedConcurrentExecutions=1
        )
    expected = [arn(name, number) for number in numbers]
    return {"FunctionName": name}, "ProvisionedConcurrencyConfigs", lambda it: it["FunctionArn"], expected


# Which lists have an order of their own; the others are compared as sets.
UNORDERED = {"ListEventSourceMappings", "ListCodeSigningConfigs"}
CASES = {
    "ListFunctions": list_functions,
    "ListVersionsByFunction": list_versions_by_function,
    "ListAliases": list_aliases,
    "ListLayers": list_layers,
    "ListLayerVersions": list_layer_versions,
    "ListFunctionEventInvokeConfigs": list_function_event_invoke_configs,
    "ListFunctionUrlConfigs": list_function_url_configs,
    "ListEventSourceMappings": list_event_source_mappings,
    "ListCodeSigningConfigs": list_code_signing_configs,
    "ListFunctionsByCodeSigningConfig": list_functions_by_code_signing_config,
    "ListProvisionedConcurrencyConfigs": list_provisioned_concurrency_configs,
}
ALONE = {"FunctionName": "f", "DurableExecutionArn": f"{arn('f', 1)}/durable-execution/n/i", "CheckpointToken": "dG9rZW4=",
         "CodeSigningConfigArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:csc-0123456789abcdefg",
         "CapacityProviderName": "name"}


@pytest.fixture(scope="module")
def scene(start_module_daemon, python):
    return Scene(start_module_daemon(), python)


def method_of(client, operation):
    names = {wire: method for method, wire in client.meta.method_to_api_mapping.items()}
    return names[operation]


def refused_by_name(scene, operation):
    shape = scene.client.meta.service_model.operation_model(operation).input_shape
    parameters = {name: ALONE[name] for name in shape.required_members}
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        list(scene.client.get_paginator(method_of(scene.client, operation)).paginate(**parameters))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert operation in caught.value.response["Error"]["Message"]


@pytest.mark.own_daemon
@pytest.mark.parametrize("operation", paginators("lambda"))
def test_a_paginator_sees_everything_once_and_can_go_on_later(operation, scene):
    if operation not in scene.built:
        refused_by_name(scene, operation)
        return
    parameters, key, name_of, expected = CASES[operation](scene)
    check(scene.client, method_of(scene.client, operation), parameters, key, name_of, expected, operation in UNORDERED)


def check(client, method, parameters, key, name_of, expected, unordered=False):
    paginator = client.get_paginator(method)
    pages = [page[key] for page in paginator.paginate(**parameters, PaginationConfig={"PageSize": 2})]
    seen = [name_of(entry) for page in pages for entry in page]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert (sorted(seen) if unordered else seen) == expected
    # Part of it, and from there on: what `--max-items` and `--starting-token` of the aws CLI do.
    first = paginator.paginate(**parameters, PaginationConfig={"PageSize": 2, "MaxItems": 3}).build_full_result()
    rest = paginator.paginate(
        **parameters, PaginationConfig={"PageSize": 2, "StartingToken": first["NextToken"]}
    ).build_full_result()
    assert [name_of(entry) for entry in first[key] + rest[key]] == seen
    assert "NextToken" not in rest
    # All on one page, without a marker at its end.
    whole = getattr(client, method)(**parameters)
    assert [name_of(entry) for entry in whole[key]] == seen
    assert not whole.get("NextMarker")


# --- CloudWatch Logs ---


@pytest.fixture(scope="module")
def logs(scene):
    return aws_client("logs", scene.daemon.endpoint, Config(retries={"total_max_attempts": 1}))


def describe_log_groups(logs):
    stem = unique("/groups")
    names = [f"{stem}/{number}" for number in range(COUNT)]
    for name in reversed(names):
        logs.create_log_group(logGroupName=name)
    return {"logGroupNamePrefix": stem}, "logGroups", lambda it: it["logGroupName"], names


def describe_log_streams(logs):
    group = unique("/streams")
    logs.create_log_group(logGroupName=group)
    names = [f"stream-{number}" for number in range(COUNT)]
    for name in reversed(names):
        logs.create_log_stream(logGroupName=group, logStreamName=name)
    return {"logGroupName": group}, "logStreams", lambda it: it["logStreamName"], names


LOGS_CASES = {"DescribeLogGroups": describe_log_groups, "DescribeLogStreams": describe_log_streams}


@pytest.mark.own_daemon
@pytest.mark.parametrize("operation", sorted(LOGS_CASES))
def test_a_paginator_of_the_logs_sees_everything_once(operation, logs):
    parameters, key, name_of, expected = LOGS_CASES[operation](logs)
    method = method_of(logs, operation)
    pages = [
        page[key] for page in logs.get_paginator(method).paginate(**parameters, PaginationConfig={"PageSize": 2})
    ]
    assert [[name_of(entry) for entry in page] for page in pages] == [expected[:2], expected[2:4], expected[4:]]
    whole = getattr(logs, method)(**parameters)
    assert [name_of(entry) for entry in whole[key]] == expected and "nextToken" not in whole


@pytest.mark.own_daemon
def test_a_paginator_of_log_events_sees_everything_once(logs):
    group = unique("/events")
    logs.create_log_group(logGroupName=group)
    expected = []
    now = 1_000 * int(time.time())
    for stream in ("a", "b"):
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        events = [{"timestamp": now - 1_000 + number, "message": f"{stream}{number}"} for number in range(COUNT)]
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
        expected += [event["message"] for event in events]
    pages = list(
        logs.get_paginator("filter_log_events").paginate(logGroupName=group, PaginationConfig={"PageSize": 3})
    )
    assert sorted(event["message"] for page in pages for event in page["events"]) == sorted(expected)
    assert max(len(page["events"]) for page in pages) <= 3


OTHERS = sorted(set(paginators("logs")) - set(LOGS_CASES) - {"FilterLogEvents"})


@pytest.mark.own_daemon
def test_other_paginators_of_the_logs_are_refused_and_never_find_nothing(logs):
    """An empty page would say that there is nothing, where nobody looked."""
    assert len(OTHERS) >= 15
    for operation in OTHERS:
        shape = logs.meta.service_model.operation_model(operation).input_shape
        required = {name: (1 if shape.members[name].type_name == "long" else "name") for name in shape.required_members}
        required |= {name: shape.members[name].enum[0] for name in required if getattr(shape.members[name], "enum", None)}
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            list(logs.get_paginator(method_of(logs, operation)).paginate(**required))
        status = caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
        assert status in (400, 501), (operation, caught.value)
