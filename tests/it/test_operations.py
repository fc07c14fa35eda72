"""All 91 operations: what is built works, what is not says so by name. Nothing pretends."""

import json

import boto3
import botocore.exceptions
import pytest

from lib import wire
from lib.daemon import ACCOUNT, REGION

BUILT = {
    "AddLayerVersionPermission",
    "AddPermission",
    "CreateAlias",
    "CreateCodeSigningConfig",
    "CreateEventSourceMapping",
    "CreateFunction",
    "CreateFunctionUrlConfig",
    "DeleteAlias",
    "DeleteCodeSigningConfig",
    "DeleteEventSourceMapping",
    "DeleteFunction",
    "DeleteFunctionCodeSigningConfig",
    "DeleteFunctionConcurrency",
    "DeleteFunctionEventInvokeConfig",
    "DeleteFunctionUrlConfig",
    "DeleteLayerVersion",
    "DeleteProvisionedConcurrencyConfig",
    "DeleteResourcePolicy",
    "GetAccountSettings",
    "GetAlias",
    "GetCodeSigningConfig",
    "GetEventSourceMapping",
    "GetFunction",
    "GetFunctionCodeSigningConfig",
    "GetFunctionConcurrency",
    "GetFunctionConfiguration",
    "GetFunctionEventInvokeConfig",
    "GetFunctionRecursionConfig",
    "GetFunctionUrlConfig",
    "GetLayerVersion",
    "GetLayerVersionByArn",
    "GetLayerVersionPolicy",
    "GetPolicy",
    "GetProvisionedConcurrencyConfig",
    "GetResourcePolicy",
    "GetRuntimeManagementConfig",
    "Invoke",
    "ListAliases",
    "ListCodeSigningConfigs",
    "ListEventSourceMappings",
    "ListFunctionEventInvokeConfigs",
    "ListFunctionUrlConfigs",
    "ListFunctions",
    "ListFunctionsByCodeSigningConfig",
    "ListLayerVersions",
    "ListLayers",
    "ListProvisionedConcurrencyConfigs",
    "ListTags",
    "ListVersionsByFunction",
    "PublishLayerVersion",
    "PublishVersion",
    "PutFunctionCodeSigningConfig",
    "PutFunctionConcurrency",
    "PutFunctionEventInvokeConfig",
    "PutFunctionRecursionConfig",
    "PutProvisionedConcurrencyConfig",
    "PutResourcePolicy",
    "PutRuntimeManagementConfig",
    "RemoveLayerVersionPermission",
    "RemovePermission",
    "TagResource",
    "UntagResource",
    "UpdateAlias",
    "UpdateCodeSigningConfig",
    "UpdateEventSourceMapping",
    "UpdateFunctionCode",
    "UpdateFunctionConfiguration",
    "UpdateFunctionEventInvokeConfig",
    "UpdateFunctionUrlConfig",
}
MODEL = boto3.session.Session(region_name=REGION).client("lambda", region_name=REGION).meta.service_model
LAMBDA = f"arn:aws:lambda:{REGION}:{ACCOUNT}"

# One valid value per shape that has a pattern; everything else follows from its type.
SAMPLES = {
    "LayerPermissionAllowedAction": "lambda:GetLayerVersion",
    "LayerPermissionAllowedPrincipal": ACCOUNT,
    "Action": "lambda:InvokeFunction",
    "DurableExecutionArn": f"{LAMBDA}:function:fn:1/durable-execution/name/id",
    "CheckpointToken": "dG9rZW4=",
    "CallbackId": "aWQ=",
    "VersionWithLatestPublished": "1",
    "SubnetId": "subnet-1",
    "SecurityGroupId": "sg-1",
    "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/r",
    "Arn": f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/p/1",
    "CodeSigningConfigArn": f"{LAMBDA}:code-signing-config:csc-0123456789abcdefg",
    "UUIDString": "01234567-89ab-4cde-8f01-23456789abcd",
    "PolicyResourceArn": f"{LAMBDA}:function:fn",
    "PublishedFunctionQualifier": "1",
    "LayerVersionArn": f"{LAMBDA}:layer:layer:1",
    "TaggableResource": f"{LAMBDA}:function:fn",
    "ResourcePolicy": "{}",
}


def sample(shape):
    """A valid value of a shape, required members only."""
    if shape.name in SAMPLES:
        return SAMPLES[shape.name]
    if shape.type_name == "structure":
        return {name: sample(shape.members[name]) for name in shape.required_members}
    if shape.type_name == "list":
        return [sample(shape.member)]
    if shape.type_name == "map":
        return {sample(shape.key): sample(shape.value)}
    if shape.type_name == "string":
        return (shape.metadata.get("enum") or ["name"])[0]
    return {"integer": 1, "long": 1, "boolean": True, "blob": b"{}", "float": 0.5, "double": 0.5}[shape.type_name]


def method_of(client, operation):
    names = {wire_name: method for method, wire_name in client.meta.method_to_api_mapping.items()}
    return getattr(client, names[operation])


def test_there_are_91_operations():
    assert len(MODEL.operation_names) == 91
    assert set(MODEL.operation_names) > BUILT


@pytest.mark.parametrize("operation", sorted(set(MODEL.operation_names) - BUILT))
def test_what_is_not_built_answers_501_with_its_name(operation, daemon):
    shape = MODEL.operation_model(operation).input_shape
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        method_of(daemon.client(), operation)(**(sample(shape) if shape else {}))
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert operation in answer["Error"]["Message"]


@pytest.mark.parametrize("operation", sorted(BUILT))
def test_what_is_built_does_not_answer_501(operation, daemon):
    shape = MODEL.operation_model(operation).input_shape
    parameters = sample(shape) if shape else {}
    if operation == "CreateFunction":
        parameters["Code"] = {"ZipFile": b"not a zip"}
    try:
        method_of(daemon.client(), operation)(**parameters)
    except botocore.exceptions.ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 404)


def test_the_table_that_the_program_prints_is_the_model(daemon):
    rows = json.loads(daemon.cli("api", "dump").stdout)
    assert {row["operation"] for row in rows if row["state"] == "built"} == BUILT
    printed = {(row["operation"], row["method"], row["uri"].rstrip("/")) for row in rows}
    model = set()
    for name in MODEL.operation_names:
        http = MODEL.operation_model(name).http
        model.add((name, http["method"], http["requestUri"].split("?")[0].rstrip("/")))
    assert {(name, method, uri.split("?")[0]) for name, method, uri in printed} == model


# --- the wire ---


def test_an_error_has_type_header_id_and_members(daemon):
    answer = wire.request(daemon.address, "GET", "/2015-03-31/functions/nobody")
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-amzn-errortype"] == "ResourceNotFoundException"
    assert answer.headers["x-amzn-requestid"]
    assert answer.json["Type"] == "User"
    assert answer.json["Message"] == f"Function not found: {LAMBDA}:function:nobody"


def test_a_validation_error_has_no_type_member(daemon):
    answer = wire.request(daemon.address, "GET", "/2015-03-31/functions/a%20b")
    assert (answer.status, answer.code) == (400, "ValidationException")
    assert "Type" not in answer.json


def test_a_success_has_type_id_and_date(daemon):
    answer = wire.request(daemon.address, "GET", "/2015-03-31/functions")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-amzn-requestid"] and answer.headers["date"]


def test_a_trailing_slash_is_the_same_place(daemon):
    for path in ("/2015-03-31/functions/", "/2016-08-19/account-settings/"):
        assert wire.request(daemon.address, "GET", path).status == 200


def test_labels_are_decoded_once(daemon, echo):
    encoded = f"{LAMBDA}:function:{echo.name}".replace(":", "%3A")
    assert wire.request(daemon.address, "GET", f"/2015-03-31/functions/{encoded}").status == 200
    assert wire.request(daemon.address, "GET", f"/2015-03-31/functions/{encoded.replace('%', '%25')}").status == 400


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/2015-03-31/nothing", "/2099-01-01/functions", "/2015-03-31//functions"]
)
def test_an_unknown_path_is_404(path, daemon):
    assert wire.request(daemon.address, "GET", path).status == 404


def test_a_wrong_method_is_405(daemon):
    assert wire.request(daemon.address, "PATCH", "/2015-03-31/functions").status == 405


def test_unknown_members_are_ignored(daemon, make):
    function = make("def handler(e, c):\n    return 1\n")
    body = json.dumps({"Timeout": 9, "MadeUp": {"x": [1]}}).encode()
    answer = wire.request(daemon.address, "PUT", f"/2015-03-31/functions/{function.name}/configuration", body)
    assert (answer.status, answer.json["Timeout"]) == (200, 9)


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'"x"', b'{"Timeout":"three"}', b'{"Environment":[]}', b"\xff\xfe", b'{"Timeout":1e99}'],
)
def test_a_body_of_the_wrong_shape_is_a_clear_400(body, daemon, echo):
    answer = wire.request(daemon.address, "PUT", f"/2015-03-31/functions/{echo.name}/configuration", body)
    assert answer.status == 400
    assert answer.code
    assert answer.json.get("message") or answer.json.get("Message")


def test_a_body_of_null_is_like_no_body(daemon, echo):
    """What the service does with it is not recorded; of members, `null` means that they are absent, so here, too."""
    before = echo.configuration()
    path = f"/2015-03-31/functions/{echo.name}/configuration"
    for body in (b"null", b""):
        answer = wire.request(daemon.address, "PUT", path, body)
        assert answer.status == 200
        echo.wait()
    changed = {"RevisionId", "LastModified", "ResponseMetadata"}
    after = echo.configuration()
    assert {key: after[key] for key in after if key not in changed} == {
        key: before[key] for key in before if key not in changed
    }
