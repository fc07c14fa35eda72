"""Who may do what where requests are signed, against those who would get around it.

Services as callers, functions through their own door, roles that are passed on, and one thing under several spellings.
"""

import json
import re
import sqlite3

import pytest
from test_auth import Folder, denied, policy, signed

from lib import daemon as daemons
from lib import functions, wire
from lib.functions import arn, error_of

USER = f"arn:aws:iam::{daemons.ACCOUNT}:user/"
PREFIX = f"arn:aws:lambda:{daemons.REGION}:{daemons.ACCOUNT}"
TIGHT = f"arn:aws:iam::{daemons.ACCOUNT}:role/tight"
BUCKET = "arn:aws:s3:::photos"
DOOR = """
import json, os, urllib.error, urllib.request

def handler(event, context):
    path = f"/2015-03-31/functions/{event['call']}/invocations"
    request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL_LAMBDA"] + path, data=b"{}")
    try:
        with urllib.request.urlopen(request) as answer:
            return [answer.status, answer.read().decode()]
    except urllib.error.HTTPError as error:
        return [error.code, json.loads(error.read())["Message"]]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return Folder(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def guarded(folder, start_module_daemon):
    """A daemon with services, a role that may do next to nothing, and people with denials."""
    everything = {"Action": "*"}
    deny = lambda *names, **more: {"Effect": "Deny", "Action": "lambda:*", "Resource": [*names], **more}  # noqa: E731
    keys = {
        "warned": folder.add(
            "warned", everything, deny(arn("prod"), f"{PREFIX}:layer:prod:7", f"{PREFIX}:code-signing-config:*")
        ),
        "mapper": folder.add(
            "mapper", {"Condition": {"ArnEquals": {"lambda:FunctionArn": arn("mapped")}}}, {"Action": "iam:*"}
        ),
        "maker": folder.add("maker", {"Action": "lambda:*"}),
        "passer": folder.add(
            "passer",
            {"Action": "lambda:*"},
            {
                "Action": "iam:PassRole",
                "Resource": TIGHT,
                "Condition": {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}},
            },
        ),
        "caller": folder.add("caller", {"Action": "lambda:InvokeFunctionUrl"}),
        "stopped": folder.add(
            "stopped", {"Action": "lambda:*"}, {"Effect": "Deny", "Action": "lambda:InvokeFunction", "Resource": "*"}
        ),
        "s3": service_key(folder, "s3.amazonaws.com"),
        "sns": service_key(folder, "sns.amazonaws.com"),
    }
    (folder.path / "tight.json").write_text(policy({"Action": "lambda:GetFunction"}))
    with folder.file.open("a") as file:
        file.write(f'\n[roles."{TIGHT}"]\npolicy = "tight.json"\n')
    daemon = start_module_daemon(config=folder.config())
    daemon.key, daemon.keys = folder.admin, keys
    return daemon


def service_key(folder, principal):
    command = [daemons.binary(), "keys", "new", "--service", principal, "--file", folder.file]
    printed = daemons.run(command, None, True, 30, {}).stdout
    return tuple(re.findall(r"^export AWS_(?:ACCESS_KEY_ID|SECRET_ACCESS_KEY)=(\S+)$", printed, re.MULTILINE))


@pytest.fixture
def make_guarded(guarded, python):
    with functions.making(guarded, python) as maker:
        yield maker


def put(function, *statements):
    resource = arn(function.name)
    whole = [{"Effect": "Allow", "Resource": resource} | statement for statement in statements]
    document = json.dumps({"Version": "2012-10-17", "Statement": whole})
    function.client.put_resource_policy(ResourceArn=resource, Policy=document)


# --- services ---


def ask_as(daemon, key, name, source=None, account=None, sign_source=True):
    path = f"/2015-03-31/functions/{name}/invocations"
    said = {"X-Amz-Source-Arn": source, "X-Amz-Source-Account": account}
    said = {name: value for name, value in said.items() if value}
    headers = signed(daemon, "POST", path, b"{}", key=key, headers=said if sign_source else {})
    return wire.request(daemon.address, "POST", path, b"{}", headers | said)


def test_a_service_may_invoke_what_a_statement_lets_it_invoke(guarded, make_guarded):
    function = make_guarded(functions.ECHO)
    s3, sns = guarded.keys["s3"], guarded.keys["sns"]
    answer = ask_as(guarded, s3, function.name, BUCKET)
    action = "lambda:InvokeFunction"
    assert answer.status == 403
    assert answer.json["Message"] == (
        f"User: s3.amazonaws.com is not authorized to perform: {action} on resource: {arn(function.name)} because no "
        f"resource-based policy allows the {action} action"
    )
    named = {"FunctionName": function.name, "Action": action, "Principal": "s3.amazonaws.com"}
    function.client.add_permission(
        **named, StatementId="bucket", SourceArn=BUCKET, SourceAccount=daemons.ACCOUNT
    )
    cases = [
        ((s3, BUCKET, daemons.ACCOUNT), 200),
        ((s3, BUCKET, None), 403),
        ((s3, None, daemons.ACCOUNT), 403),
        ((s3, None, None), 403),
        ((s3, f"{BUCKET}-2", daemons.ACCOUNT), 403),
        ((s3, BUCKET, "111111111111"), 403),
        ((sns, BUCKET, daemons.ACCOUNT), 403),
        # What an identity says of a source is nobody's word.
        ((guarded.keys["caller"], BUCKET, daemons.ACCOUNT), 403),
    ]
    for (key, source, account), status in cases:
        assert ask_as(guarded, key, function.name, source, account).status == status, (source, account)
    unsigned = ask_as(guarded, s3, function.name, BUCKET, daemons.ACCOUNT, sign_source=False)
    assert unsigned.code == "InvalidSignatureException", "what is not signed does not count"
    for call in ("get_function", "delete_function"):
        client = guarded.client(signer=s3)
        assert error_of(getattr(client, call), FunctionName=function.name)[0] == 403
    assert error_of(guarded.client(signer=s3).list_functions)[0] == 403
    function.client.remove_permission(FunctionName=function.name, StatementId="bucket")
    service = {"Principal": {"Service": "s3.amazonaws.com"}, "Action": action}
    put(function, service)
    assert ask_as(guarded, s3, function.name).status == 200
    put(function, service, service | {"Effect": "Deny", "Condition": {"ArnLike": {"aws:SourceArn": f"{BUCKET}*"}}})
    assert ask_as(guarded, s3, function.name).status == 200
    assert ask_as(guarded, s3, function.name, BUCKET).status == 403, "a denial wins"


# --- a function's own door ---


def test_a_function_invokes_through_its_door_as_its_role(guarded, make_guarded):
    target, caller = make_guarded(functions.ECHO), make_guarded(DOOR)
    invoke = lambda name: caller.invoke({"call": name}).ok()  # noqa: E731
    assert invoke(target.name) == [200, "{}"], "a role that no entry speaks of may invoke"
    session = f"arn:aws:sts::{daemons.ACCOUNT}:assumed-role/lambda-role/{caller.name}"
    put(target, {"Effect": "Deny", "Principal": {"AWS": session}, "Action": "lambda:InvokeFunction"})
    for name in (target.name, f"{target.name}:%24LATEST"):
        status, text = invoke(name)
        assert status == 403 and text.startswith(f"User: {session} is not authorized to perform: lambda:InvokeFunction")
        assert text.endswith("with an explicit deny in a resource-based policy")
    target.client.delete_resource_policy(ResourceArn=arn(target.name))
    caller.update(Role=TIGHT)
    status, text = invoke(target.name)
    assert status == 403 and "because no identity-based policy allows the lambda:InvokeFunction action" in text
    put(target, {"Principal": {"AWS": TIGHT}, "Action": "lambda:InvokeFunction"})
    assert invoke(target.name) == [200, "{}"], "the other function lets the role in"


# --- spellings ---


def test_a_denial_counts_however_the_thing_is_spelled(guarded, make_guarded, folder):
    function = make_guarded(functions.ECHO, name="prod")
    client = guarded.client(signer=guarded.keys["warned"])
    explicit = "with an explicit deny in an identity-based policy"
    code = functions.package(functions.ECHO)
    for name in ("prod", "prod:$LATEST", "prod:anything", arn("prod"), arn("prod", "$LATEST")):
        for call, more in [
            (client.update_function_code, {"ZipFile": code}),
            (client.update_function_configuration, {"Description": "x"}),
            (client.publish_version, {}),
            (client.list_versions_by_function, {}),
        ]:
            if name == "prod:anything" and call != client.list_versions_by_function:
                continue  # no such form of a name there
            status, kind, text = error_of(call, FunctionName=name, **more)
            assert (status, kind) == (403, "AccessDeniedException") and text.endswith(explicit), (name, text)
    for name in ("prod:$LATEST", arn("prod", "$LATEST")):
        assert error_of(client.invoke, FunctionName=name)[2].endswith(explicit)
        assert error_of(client.get_function, FunctionName=name)[2].endswith(explicit)
    assert function.configuration()["Description"] == ""


@pytest.mark.parametrize("partition", ["aws-cn", "aws-us-gov"])
def test_what_is_of_another_partition_is_not_here(guarded, make_guarded, partition):
    function = make_guarded(functions.ECHO)
    client = guarded.client(validate=False)
    foreign = lambda text: text.replace("arn:aws:", f"arn:{partition}:")  # noqa: E731
    layer = client.publish_layer_version(
        LayerName=functions.unique("layer"), Content={"ZipFile": functions.package({"a": "b"})}
    )
    config = client.create_code_signing_config(
        AllowedPublishers={
            "SigningProfileVersionArns": [f"arn:aws:signer:us-east-1:{daemons.ACCOUNT}:/signing-profiles/p/abcdefghij"]
        }
    )["CodeSigningConfig"]["CodeSigningConfigArn"]
    cases = [
        (client.get_function, {"FunctionName": foreign(arn(function.name))}, 404),
        (client.invoke, {"FunctionName": foreign(arn(function.name))}, 404),
        (client.get_layer_version, {"LayerName": foreign(layer["LayerArn"]), "VersionNumber": 1}, 404),
        (client.get_layer_version_by_arn, {"Arn": foreign(layer["LayerVersionArn"])}, 404),
        (
            client.update_function_configuration,
            {"FunctionName": function.name, "Layers": [foreign(layer["LayerVersionArn"])]},
            400,
        ),
        (client.get_code_signing_config, {"CodeSigningConfigArn": foreign(config)}, 404),
        (client.list_tags, {"Resource": foreign(config)}, 404),
        (client.list_tags, {"Resource": foreign(arn(function.name))}, 404),
    ]
    for call, parameters, status in cases:
        assert error_of(call, **parameters)[0] == status, parameters
    client.delete_layer_version(LayerName=layer["LayerArn"], VersionNumber=1)
    client.delete_code_signing_config(CodeSigningConfigArn=config)


def test_a_layers_version_has_one_number(guarded, make_guarded):
    admin = guarded.client()
    for _ in range(7):
        made = admin.publish_layer_version(LayerName="prod", Content={"ZipFile": functions.package({"a": "b"})})
    assert made["Version"] == 7
    client = guarded.client(signer=guarded.keys["warned"])
    function = make_guarded(functions.ECHO)
    explicit = "with an explicit deny in an identity-based policy"
    for number in ("7", "007"):
        spelled = f"{PREFIX}:layer:prod:{number}"
        assert error_of(client.get_layer_version_by_arn, Arn=spelled)[2].endswith(explicit)
        assert error_of(client.update_function_configuration, FunctionName=function.name, Layers=[spelled])[2].endswith(
            explicit
        )
    function.update(Layers=[f"{PREFIX}:layer:prod:0006"])
    assert [layer["Arn"] for layer in function.configuration()["Layers"]] == [f"{PREFIX}:layer:prod:6"]


# --- roles ---


def test_who_gives_a_function_a_role_must_be_allowed_to_pass_it(guarded, make_guarded):
    function = make_guarded(functions.ECHO)
    maker, passer = (guarded.client(signer=guarded.keys[name]) for name in ("maker", "passer"))
    create = {
        "FunctionName": "passed",
        "Runtime": function.configuration()["Runtime"],
        "Handler": "index.handler",
        "Code": {"ZipFile": functions.package(functions.ECHO)},
    }
    denied(maker.create_function, f"{USER}maker", "iam:PassRole", TIGHT, **create, Role=TIGHT)
    update = {"FunctionName": function.name, "Role": TIGHT}
    denied(maker.update_function_configuration, f"{USER}maker", "iam:PassRole", TIGHT, **update)
    denied(passer.create_function, f"{USER}passer", "iam:PassRole", daemons.ROLE, **create, Role=daemons.ROLE)
    maker.update_function_configuration(FunctionName=function.name, Description="without a role")
    function.wait()
    passer.update_function_configuration(**update)
    assert function.wait()["Role"] == TIGHT


# --- mappings ---


def test_mappings_can_be_limited_to_a_function(guarded, make_guarded):
    make_guarded(functions.ECHO, name="mapped")
    make_guarded(functions.ECHO, name="other")
    admin, mapper = guarded.client(), guarded.client(signer=guarded.keys["mapper"])
    queue = f"arn:aws:sqs:{daemons.REGION}:{daemons.ACCOUNT}:"
    foreign = admin.create_event_source_mapping(FunctionName="other", EventSourceArn=f"{queue}a")["UUID"]
    source = {"EventSourceArn": f"{queue}b"}
    assert error_of(mapper.create_event_source_mapping, FunctionName="other", **source)[0] == 403
    own = mapper.create_event_source_mapping(FunctionName="mapped:$LATEST", **source)["UUID"]
    assert mapper.get_event_source_mapping(UUID=own)["UUID"] == own
    mapper.update_event_source_mapping(UUID=own, BatchSize=7)
    for call, parameters in [
        (mapper.get_event_source_mapping, {"UUID": foreign}),
        (mapper.update_event_source_mapping, {"UUID": foreign, "BatchSize": 7}),
        (mapper.update_event_source_mapping, {"UUID": foreign, "FunctionName": "mapped"}),
        (mapper.update_event_source_mapping, {"UUID": own, "FunctionName": "other"}),
        (mapper.delete_event_source_mapping, {"UUID": foreign}),
    ]:
        assert error_of(call, **parameters)[:2] == (403, "AccessDeniedException"), parameters
    mapper.delete_event_source_mapping(UUID=own)
    admin.delete_event_source_mapping(UUID=foreign)


# --- URLs ---


def test_who_is_denied_a_function_does_not_reach_it_by_its_url(guarded, make_guarded):
    function = make_guarded(functions.ECHO)
    client, named = function.client, {"FunctionName": function.name}
    url_id = client.create_function_url_config(**named, AuthType="AWS_IAM")["FunctionUrl"].split("/")[2].split(".")[0]

    def call(name):
        path = f"/lambda-url/{url_id}/"
        return wire.request(guarded.address, "GET", path, None, signed(guarded, "GET", path, key=guarded.keys[name])).status

    assert [call("caller"), call("stopped")] == [200, 403]
    deny = {"Effect": "Deny", "Principal": {"AWS": f"{USER}caller"}, "Action": "lambda:InvokeFunction"}
    put(function, deny)
    assert call("caller") == 403
    put(function, deny | {"Action": "lambda:GetFunction"})
    assert call("caller") == 200


# --- policies that nobody understands ---


WRONG_PRINCIPAL = "The provided principal was invalid. Please check the principal and try again."


@pytest.mark.parametrize(
    "parameters, words",
    [
        ({"Principal": "*.amazonaws.com"}, WRONG_PRINCIPAL),
        ({"Principal": "s3*.amazonaws.com"}, WRONG_PRINCIPAL),
        ({"Principal": "arn:aws:iam::123456789012:role/*"}, WRONG_PRINCIPAL),
        ({"SourceArn": "arn:aws:s3:::${aws:username}"}, "The policy is invalid"),
    ],
)
def test_a_permission_that_could_not_be_decided_upon_is_refused(guarded, make_guarded, parameters, words):
    function = make_guarded(functions.ECHO)
    grant = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"} | parameters
    status, code, text = error_of(function.client.add_permission, FunctionName=function.name, **grant)
    assert (status, code) == (400, "InvalidParameterValueException") and words in text, text
    assert function.invoke({}).ok() == {}
    assert error_of(function.client.get_policy, FunctionName=function.name)[0] == 404


def test_an_unreadable_policy_lets_nobody_in_and_can_be_taken_away(folder, start_daemon, python, tmp_path):
    daemon = start_daemon(config=folder.config())
    daemon.key = folder.admin
    make = functions.Maker(daemon, python, daemons.ROLE)
    names = [make(functions.ECHO).name for _ in range(3)]
    for name in names:
        daemon.client().add_permission(
            FunctionName=name, StatementId="s", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com"
        )
    daemon.stop()
    # As a release kept it that knew other rules.
    with sqlite3.connect(daemon.state / "hearth.db") as catalog:
        catalog.execute(
            "UPDATE documents SET body = replace(body, 's3.amazonaws.com', '*.amazonaws.com') WHERE family = 'policy'"
        )
        assert catalog.total_changes == len(names)
    catalog.close()
    daemon.start()
    client = daemon.client()
    for name in names:
        for call in (client.invoke, client.get_function, client.list_versions_by_function):
            status, code, text = error_of(call, FunctionName=name)
            assert (status, code) == (403, "AccessDeniedException"), text
            assert text.endswith("with an explicit deny in a resource-based policy")
        assert "*.amazonaws.com" in client.get_policy(FunctionName=name)["Policy"]
    client.remove_permission(FunctionName=names[0], StatementId="s")
    client.delete_resource_policy(ResourceArn=arn(names[1]))
    for name in names[:2]:
        assert json.loads(client.invoke(FunctionName=name)["Payload"].read()) == {}
    client.delete_function(FunctionName=names[2])
    assert error_of(client.get_function, FunctionName=names[2])[0] == 404
