"""Resource policies where requests are signed: what they add to an identity's own policy, and what they take away."""

import json

import pytest
from test_auth import Folder, signed

from lib import daemon as daemons
from lib import functions, wire
from lib.functions import arn

USER = f"arn:aws:iam::{daemons.ACCOUNT}:user/"
SERVER = "def handler(event, context):\n    return event\n"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, start_module_daemon):
    """A daemon with a user who may invoke everything, and one who may do nothing of use."""
    folder = Folder(tmp_path_factory.mktemp("keys"))
    mighty = folder.add("mighty", {"Action": ["lambda:InvokeFunction", "lambda:InvokeFunctionUrl"]})
    feeble = folder.add("feeble", {"Action": "lambda:ListFunctions"})
    daemon = start_module_daemon(config=folder.config())
    daemon.key, daemon.mighty, daemon.feeble = folder.admin, mighty, feeble
    return daemon


@pytest.fixture
def function(guarded, python):
    with functions.making(guarded, python) as maker:
        yield maker(SERVER)


def invoke(daemon, key, name):
    path, body = f"/2015-03-31/functions/{name}/invocations", b"{}"
    return wire.request(daemon.address, "POST", path, body, signed(daemon, "POST", path, body, key=key)).status


def put(function, *statements, qualifier=None):
    resource = arn(function.name, qualifier)
    whole = [{"Effect": "Allow", "Principal": "*", "Resource": resource} | statement for statement in statements]
    document = json.dumps({"Version": "2012-10-17", "Statement": whole})
    function.client.put_resource_policy(ResourceArn=resource, Policy=document)


def test_a_resource_policy_lets_in_whom_it_names(guarded, function):
    assert [invoke(guarded, key, function.name) for key in (guarded.mighty, guarded.feeble)] == [200, 403]
    function.client.add_permission(
        FunctionName=function.name, StatementId="s", Action="lambda:InvokeFunction", Principal=USER + "feeble"
    )
    assert invoke(guarded, guarded.feeble, function.name) == 200
    assert invoke(guarded, guarded.feeble, f"{function.name}:%24LATEST") == 200
    path = f"/2015-03-31/functions/{function.name}"
    answer = wire.request(guarded.address, "GET", path, None, signed(guarded, "GET", path, key=guarded.feeble))
    assert answer.status == 403, "another action"
    function.client.remove_permission(FunctionName=function.name, StatementId="s")
    assert invoke(guarded, guarded.feeble, function.name) == 403


def test_a_denial_of_the_resource_wins_over_what_the_identity_may(guarded, function):
    denial = {"Effect": "Deny", "Action": "lambda:InvokeFunction", "Principal": {"AWS": USER + "mighty"}}
    put(function, denial, {"Action": "lambda:*"})
    for name in (function.name, f"{function.name}:%24LATEST", arn(function.name)):
        assert [invoke(guarded, key, name) for key in (guarded.mighty, guarded.feeble)] == [403, 200], name


def test_each_alias_lets_in_by_a_policy_of_its_own(guarded, function):
    client, named = function.client, {"FunctionName": function.name}
    client.publish_version(**named)
    client.create_alias(**named, Name="live", FunctionVersion="1")
    put(function, {"Action": "lambda:InvokeFunction"}, qualifier="live")
    names = (f"{function.name}:live", f"{function.name}:1", function.name)
    assert [invoke(guarded, guarded.feeble, name) for name in names] == [200, 403, 403]


def call(daemon, url_id, key=None):
    path = f"/lambda-url/{url_id}/x"
    return wire.request(daemon.address, "GET", path, None, signed(daemon, "GET", path, key=key) if key else None)


def test_a_url_with_iam_asks_both_policies(guarded, function):
    client, named = function.client, {"FunctionName": function.name}
    url = client.create_function_url_config(**named, AuthType="AWS_IAM")["FunctionUrl"]
    url_id = url.split("/")[2].split(".")[0]
    assert call(guarded, url_id).status == 403
    answer = call(guarded, url_id, guarded.mighty)
    assert answer.status == 200
    assert answer.json["requestContext"]["authorizer"]["iam"]["userArn"] == USER + "mighty"
    assert answer.json["requestContext"]["authorizer"]["iam"]["accessKey"] == guarded.mighty[0]
    assert call(guarded, url_id, (guarded.mighty[0], "another secret")).status == 403
    assert call(guarded, url_id, guarded.feeble).status == 403
    client.add_permission(
        **named,
        StatementId="s",
        Action="lambda:InvokeFunctionUrl",
        Principal=USER + "feeble",
        FunctionUrlAuthType="AWS_IAM",
    )
    assert call(guarded, url_id, guarded.feeble).status == 200


def test_a_public_url_needs_no_signature_but_the_permission(guarded, function):
    client, named = function.client, {"FunctionName": function.name}
    url = client.create_function_url_config(**named, AuthType="NONE")["FunctionUrl"]
    url_id = url.split("/")[2].split(".")[0]
    assert call(guarded, url_id).status == 403
    client.add_permission(
        **named, StatementId="s", Action="lambda:InvokeFunctionUrl", Principal="*", FunctionUrlAuthType="NONE"
    )
    assert call(guarded, url_id).status == 200
