"""Resource policies as an unmodified client sees them: statements one by one, whole documents, what goes with what."""

import json

import pytest

from lib import functions
from lib.functions import arn, error_of

STALE = (
    "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the "
    "latest Revision Id"
)
ABSENT = (404, "ResourceNotFoundException", "The resource you requested does not exist.")


def grant(function, sid, principal="s3.amazonaws.com", **parameters):
    answer = function.client.add_permission(
        FunctionName=function.name,
        StatementId=sid,
        Action=parameters.pop("Action", "lambda:InvokeFunction"),
        Principal=principal,
        **parameters,
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 201
    return json.loads(answer["Statement"])


def policy(function, **parameters):
    answer = function.client.get_policy(FunctionName=function.name, **parameters)
    return json.loads(answer["Policy"]), answer["RevisionId"]


def sids(function, **parameters):
    return [statement["Sid"] for statement in policy(function, **parameters)[0]["Statement"]]


@pytest.fixture
def function(make):
    return make(functions.ECHO)


def test_a_statement_is_written_as_the_service_writes_it(function):
    statement = grant(
        function,
        "bucket",
        SourceArn="arn:aws:s3:::photos",
        SourceAccount="123456789012",
        PrincipalOrgID="o-abcdefghij",
        EventSourceToken="token",
    )
    assert statement == {
        "Sid": "bucket",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": arn(function.name),
        "Condition": {
            "StringEquals": {
                "AWS:SourceAccount": "123456789012",
                "aws:PrincipalOrgID": "o-abcdefghij",
                "lambda:EventSourceToken": "token",
            },
            "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::photos"},
        },
    }
    document, _ = policy(function)
    assert list(document) == ["Version", "Id", "Statement"]
    assert document == {"Version": "2012-10-17", "Id": "default", "Statement": [statement]}


def test_a_public_url_is_permitted_with_its_authentication_type(function):
    statement = grant(function, "url", "*", Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE")
    assert statement["Principal"] == "*"
    assert statement["Condition"] == {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}
    statement = grant(function, "via", "123456789012", InvokedViaFunctionUrl=True)
    assert statement["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    assert statement["Condition"] == {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}


def test_statements_come_and_go_and_the_last_takes_the_policy_with_it(function):
    client = function.client
    assert error_of(client.get_policy, FunctionName=function.name) == ABSENT
    grant(function, "a")
    _, first = policy(function)
    grant(function, "b", RevisionId=first)
    assert sids(function) == ["a", "b"]
    _, second = policy(function)
    assert second != first
    status, code, text = error_of(grant, function, "c", RevisionId=first)
    assert (status, code, text) == (412, "PreconditionFailedException", STALE)
    status, code, _ = error_of(grant, function, "a")
    assert (status, code) == (409, "ResourceConflictException")
    remove = client.remove_permission
    named = {"FunctionName": function.name}
    assert error_of(remove, **named, StatementId="c")[2] == "Statement c is not found in resource policy."
    assert error_of(remove, **named, StatementId="a", RevisionId=first)[:2] == (412, "PreconditionFailedException")
    remove(**named, StatementId="a", RevisionId=second)
    assert sids(function) == ["b"]
    remove(**named, StatementId="b")
    assert error_of(client.get_policy, **named) == ABSENT
    assert error_of(remove, **named, StatementId="b")[2] == "No policy is associated with the given resource."


def test_each_version_and_alias_has_a_policy_of_its_own_that_goes_with_it(function):
    client, named = function.client, {"FunctionName": function.name}
    client.publish_version(**named)
    client.create_alias(**named, Name="live", FunctionVersion="1")
    for qualifier in ("1", "live"):
        statement = grant(function, "s", Qualifier=qualifier)
        assert statement["Resource"] == arn(function.name, qualifier)
    assert error_of(client.get_policy, **named) == ABSENT
    client.delete_alias(**named, Name="live")
    client.create_alias(**named, Name="live", FunctionVersion="1")
    assert error_of(client.get_policy, **named, Qualifier="live") == ABSENT
    assert sids(function, Qualifier="1") == ["s"]


def test_a_policy_goes_with_its_function(make):
    function = make(functions.ECHO)
    grant(function, "s")
    function.client.delete_function(FunctionName=function.name)
    assert error_of(function.client.get_policy, FunctionName=function.name) == ABSENT
    make(functions.ECHO, name=function.name)
    assert error_of(function.client.get_policy, FunctionName=function.name) == ABSENT


def test_a_policy_has_a_size(function):
    for number in range(200):
        try:
            grant(function, f"s{number}", SourceArn="arn:aws:s3:::" + "b" * 200)
        except function.client.exceptions.PolicyLengthExceededException as error:
            assert "is bigger than the limit (20480)" in error.response["Error"]["Message"]
            break
    else:
        pytest.fail("200 statements fit")
    assert len(sids(function)) == number


# --- whole documents ---


def test_a_whole_document_is_put_read_replaced_and_deleted(function):
    client, named = function.client, {"ResourceArn": arn(function.name)}
    assert error_of(client.get_resource_policy, **named) == ABSENT
    document = {
        "Version": "2012-10-17",
        "Statement": {
            "Sid": "deny",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "lambda:*",
            "Resource": arn(function.name),
            "Condition": {"Bool": {"aws:SecureTransport": False}},
        },
    }
    put = client.put_resource_policy(**named, Policy=json.dumps(document))
    assert json.loads(put["Policy"]) == document
    got = client.get_resource_policy(**named)
    assert (got["Policy"], got["RevisionId"]) == (put["Policy"], put["RevisionId"])
    # Both ways of writing are about one policy.
    grant(function, "s", RevisionId=put["RevisionId"])
    assert sids(function) == ["deny", "s"]
    stale = error_of(client.put_resource_policy, **named, Policy=put["Policy"], RevisionId=put["RevisionId"])
    assert stale[:2] == (412, "PreconditionFailedException")
    assert error_of(client.delete_resource_policy, **named, RevisionId=put["RevisionId"])[0] == 412
    client.delete_resource_policy(**named)
    assert error_of(client.get_resource_policy, **named) == ABSENT
    assert error_of(client.delete_resource_policy, **named) == ABSENT


@pytest.mark.parametrize(
    "text",
    [
        "no document",
        "[]",
        json.dumps({"Statement": []}),
        json.dumps({"Statement": {"Effect": "Allow", "Action": "lambda:*", "Resource": "*"}}),
        json.dumps({"Statement": {"Effect": "Perhaps", "Principal": "*", "Action": "*", "Resource": "*"}}),
        json.dumps(
            {
                "Statement": {
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "*",
                    "Resource": "*",
                    "Condition": {"StringSometimes": {"aws:SourceArn": "x"}},
                }
            }
        ),
    ],
)
def test_a_document_that_cannot_be_decided_upon_is_refused(function, text):
    put = function.client.put_resource_policy
    status, code, message = error_of(put, ResourceArn=arn(function.name), Policy=text)
    assert (status, code) == (400, "InvalidParameterValueException")
    assert message.startswith("The policy is invalid: ")
    assert error_of(function.client.get_policy, FunctionName=function.name) == ABSENT


def test_policies_survive_a_crash(start_daemon, python):
    daemon = start_daemon()
    maker = functions.Maker(daemon, python, "arn:aws:iam::000000000000:role/r")
    function = maker(functions.ECHO)
    grant(function, "s")
    before = policy(function)
    daemon.kill()
    daemon.start()
    function.client = daemon.client()
    assert policy(function) == before
