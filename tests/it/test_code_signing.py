"""Code signing as an unmodified client sees it: configurations, functions that have one, and what it refuses."""

import json
import re

import pytest
from test_auth import Folder, signed

from lib import functions, metrics, roots, wire
from lib.daemon import ACCOUNT, REGION, ROLE
from lib.functions import arn, error_of, package

CODE = "def handler(event, context):\n    return 1\n"
OTHER = "def handler(event, context):\n    return 2\n"
INVALID = (400, "InvalidParameterValueException")
PUBLISHER = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/test/abc"
NOBODY = f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:csc-00000000000000000"
ELSEWHERE = NOBODY.replace(REGION, "eu-west-1")
FOREIGN = NOBODY.replace(ACCOUNT, "999999999999")


def gone(config):
    return (404, "ResourceNotFoundException", f"The Lambda code signing configuration {config} can not be found.")


def unattachable(config):
    return (
        404,
        "CodeSigningConfigNotFoundException",
        "The code signing configuration cannot be found. Check that the provided configuration is not deleted: "
        f"{config}.",
    )


def unsigned(what):
    return (
        400,
        "CodeVerificationFailedException",
        "Lambda cannot deploy the function. The function or layer might be signed using a signature that the client "
        f"is not configured to accept. Check the provided signature for {what}.",
    )


@pytest.fixture
def configure(client, make):
    """Makes a configuration; it goes away after the functions of the test."""
    made = []

    def configure(policy=None, **parameters):
        if policy:
            parameters["CodeSigningPolicies"] = {"UntrustedArtifactOnDeployment": policy}
        parameters.setdefault("AllowedPublishers", {"SigningProfileVersionArns": [PUBLISHER]})
        answer = client.create_code_signing_config(**parameters)["CodeSigningConfig"]
        made.append(answer["CodeSigningConfigArn"])
        return answer

    yield configure
    make.delete_all()
    for config in made:
        try:
            client.delete_code_signing_config(CodeSigningConfigArn=config)
        except client.exceptions.ResourceNotFoundException:
            pass


# --- configurations ---


def test_a_configuration_has_an_id_an_arn_and_warns_unless_it_is_told_otherwise(client, configure):
    made = configure()
    config = made["CodeSigningConfigArn"]
    assert re.fullmatch("csc-[a-z0-9]{17}", made["CodeSigningConfigId"])
    assert config == f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:{made['CodeSigningConfigId']}"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", made["LastModified"])
    assert made["AllowedPublishers"] == {"SigningProfileVersionArns": [PUBLISHER]}
    assert made["CodeSigningPolicies"] == {"UntrustedArtifactOnDeployment": "Warn"}
    assert made["Description"] == ""
    assert client.get_code_signing_config(CodeSigningConfigArn=config)["CodeSigningConfig"] == made


def test_an_update_changes_what_it_names_and_the_time(client, configure):
    made = configure("Enforce", Description="first")
    config = made["CodeSigningConfigArn"]

    def update(**parameters):
        return client.update_code_signing_config(CodeSigningConfigArn=config, **parameters)["CodeSigningConfig"]

    described = update(Description="second")
    assert described == {**made, "Description": "second", "LastModified": described["LastModified"]}
    assert described["LastModified"] > made["LastModified"]
    assert update(CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Warn"})["CodeSigningPolicies"] == {
        "UntrustedArtifactOnDeployment": "Warn"
    }
    other = PUBLISHER.replace("test", "other")
    last = update(AllowedPublishers={"SigningProfileVersionArns": [other]})
    assert last["AllowedPublishers"] == {"SigningProfileVersionArns": [other]}
    assert (last["Description"], last["CodeSigningPolicies"]["UntrustedArtifactOnDeployment"]) == ("second", "Warn")
    assert client.get_code_signing_config(CodeSigningConfigArn=config)["CodeSigningConfig"] == last
    untouched = update()
    assert {**untouched, "LastModified": None} == {**last, "LastModified": None}


def test_configurations_are_listed_in_pages_each_once(client, configure):
    mine = {configure()["CodeSigningConfigId"] for _ in range(3)}
    seen = []
    for page in client.get_paginator("list_code_signing_configs").paginate(PaginationConfig={"PageSize": 2}):
        assert len(page["CodeSigningConfigs"]) <= 2
        seen += [config["CodeSigningConfigId"] for config in page["CodeSigningConfigs"]]
    assert mine <= set(seen) and len(seen) == len(set(seen))


def test_a_deleted_configuration_is_gone(client, configure):
    config = configure()["CodeSigningConfigArn"]
    answer = client.delete_code_signing_config(CodeSigningConfigArn=config)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert error_of(client.get_code_signing_config, CodeSigningConfigArn=config) == gone(config)


@pytest.mark.parametrize("config", [NOBODY, ELSEWHERE])
@pytest.mark.parametrize(
    "call",
    [
        "get_code_signing_config",
        "update_code_signing_config",
        "delete_code_signing_config",
        "list_functions_by_code_signing_config",
    ],
)
def test_a_configuration_that_does_not_exist_is_not_found(client, call, config):
    assert error_of(getattr(client, call), CodeSigningConfigArn=config) == gone(config)


def test_another_accounts_configuration_is_denied(client):
    assert error_of(client.get_code_signing_config, CodeSigningConfigArn=FOREIGN)[:2] == (403, "AccessDeniedException")


def test_the_models_bounds_are_held(lenient):
    def create(publishers, **parameters):
        allowed = {"SigningProfileVersionArns": publishers}
        return error_of(lenient.create_code_signing_config, AllowedPublishers=allowed, **parameters)[:2]

    invalid = (400, "ValidationException")
    assert create([]) == invalid
    assert create([PUBLISHER] * 21) == invalid
    assert create(["no arn"]) == invalid
    assert create([PUBLISHER], Description="x" * 257) == invalid
    assert create([PUBLISHER], CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Ignore"}) == invalid
    assert error_of(lenient.get_code_signing_config, CodeSigningConfigArn="csc-1")[:2] == invalid


# --- functions that have one ---


def test_a_function_has_the_configuration_that_was_put_last(client, make, configure):
    function, first, second = make(CODE), configure(), configure()
    put = client.put_function_code_signing_config
    for config in (first, second):
        answer = put(FunctionName=arn(function.name), CodeSigningConfigArn=config["CodeSigningConfigArn"])
        answer.pop("ResponseMetadata")
        assert answer == {"FunctionName": function.name, "CodeSigningConfigArn": config["CodeSigningConfigArn"]}
    got = client.get_function_code_signing_config(FunctionName=function.name)
    assert (got["FunctionName"], got["CodeSigningConfigArn"]) == (function.name, second["CodeSigningConfigArn"])

    def having(config):
        return client.list_functions_by_code_signing_config(CodeSigningConfigArn=config["CodeSigningConfigArn"])[
            "FunctionArns"
        ]

    assert (having(first), having(second)) == ([], [arn(function.name)])
    answer = client.delete_function_code_signing_config(FunctionName=function.name)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert having(second) == []


def test_a_function_without_one_answers_nothing_and_has_nothing_to_delete(client, make):
    name = make(CODE).name
    got = client.get_function_code_signing_config(FunctionName=name)
    assert set(got) == {"ResponseMetadata"}
    client.delete_function_code_signing_config(FunctionName=name)


def test_functions_of_a_configuration_are_listed_in_pages(client, make, configure):
    config = configure("Warn")["CodeSigningConfigArn"]
    names = sorted(make(CODE, CodeSigningConfigArn=config).name for _ in range(3))
    first = client.list_functions_by_code_signing_config(CodeSigningConfigArn=config, MaxItems=2)
    rest = client.list_functions_by_code_signing_config(CodeSigningConfigArn=config, Marker=first["NextMarker"])
    assert first["FunctionArns"] + rest["FunctionArns"] == [arn(name) for name in names]
    assert "NextMarker" not in rest


def test_neither_side_may_be_missing(client, make):
    put = client.put_function_code_signing_config
    name = make(CODE).name
    assert error_of(put, FunctionName=name, CodeSigningConfigArn=NOBODY) == unattachable(NOBODY)
    assert error_of(put, FunctionName="nobody", CodeSigningConfigArn=NOBODY) == unattachable(NOBODY)
    for call in (client.get_function_code_signing_config, client.delete_function_code_signing_config):
        missing = (404, "ResourceNotFoundException", f"Function not found: {arn('nobody')}")
        assert error_of(call, FunctionName="nobody") == missing


def test_versions_and_aliases_have_none_of_their_own(client, make, configure):
    name = make(CODE).name
    client.publish_version(FunctionName=name)
    config = configure()["CodeSigningConfigArn"]
    put = client.put_function_code_signing_config
    assert error_of(put, FunctionName=f"{name}:1", CodeSigningConfigArn=config)[:2] == INVALID
    assert error_of(client.get_function_code_signing_config, FunctionName=f"{name}:1")[:2] == INVALID


def test_a_configuration_that_functions_have_cannot_be_deleted(client, make, configure):
    config = configure()["CodeSigningConfigArn"]
    name = make(CODE, CodeSigningConfigArn=config).name
    status, code, text = error_of(client.delete_code_signing_config, CodeSigningConfigArn=config)
    assert (status, code) == (409, "ResourceConflictException") and name in text
    client.delete_function(FunctionName=name)
    client.delete_code_signing_config(CodeSigningConfigArn=config)


def test_a_function_made_anew_has_no_configuration(client, make, configure):
    config = configure()["CodeSigningConfigArn"]
    name = make(CODE, CodeSigningConfigArn=config).name
    client.delete_function(FunctionName=name)
    make(CODE, name=name)
    assert "CodeSigningConfigArn" not in client.get_function_code_signing_config(FunctionName=name)


def test_a_function_keeps_its_revision_when_it_gets_a_configuration(client, make, configure):
    function = make(CODE)
    before = function.configuration()["RevisionId"]
    config = configure()["CodeSigningConfigArn"]
    client.put_function_code_signing_config(FunctionName=function.name, CodeSigningConfigArn=config)
    assert function.configuration()["RevisionId"] == before


def test_functions_with_a_root_of_their_own_cannot_have_one(daemon, client, configure, tmp_path):
    images = roots.Images(daemon)
    text = "Code signing is not supported for functions created with container images."
    try:
        name = images.deploy(roots.shell_tree(tmp_path / "shell"), "--entry-point", "/srv/app").name
        config = configure()["CodeSigningConfigArn"]
        put = client.put_function_code_signing_config
        assert error_of(put, FunctionName=name, CodeSigningConfigArn=config) == (*INVALID, text)
        assert error_of(client.get_function_code_signing_config, FunctionName=name) == (*INVALID, text)
        assert error_of(client.delete_function_code_signing_config, FunctionName=name) == (*INVALID, text)
    finally:
        images.delete_all()


# --- what it refuses ---


def test_enforcing_refuses_to_create_a_function_of_unsigned_code(client, python, configure):
    config = configure("Enforce")["CodeSigningConfigArn"]
    name = functions.unique()

    def create(config):
        client.create_function(
            FunctionName=name,
            Role=ROLE,
            Runtime=python,
            Handler="index.handler",
            Code={"ZipFile": package(CODE)},
            CodeSigningConfigArn=config,
        )

    assert error_of(create, config) == unsigned(name)
    assert error_of(create, NOBODY) == unattachable(NOBODY)
    assert error_of(client.get_function, FunctionName=name)[:2] == (404, "ResourceNotFoundException")
    assert client.list_functions_by_code_signing_config(CodeSigningConfigArn=config)["FunctionArns"] == []


def test_enforcing_refuses_new_code_and_new_layers_and_lets_the_old_code_run(client, make, configure):
    function = make(CODE)
    name = function.name
    config = configure("Enforce")["CodeSigningConfigArn"]
    layer = client.publish_layer_version(LayerName=functions.unique("layer"), Content={"ZipFile": package({"a": "b"})})
    client.put_function_code_signing_config(FunctionName=name, CodeSigningConfigArn=config)
    before = function.configuration()
    update = client.update_function_code
    assert error_of(update, FunctionName=name, ZipFile=package(OTHER)) == unsigned(name)
    assert error_of(update, FunctionName=name, ZipFile=package(OTHER), DryRun=True) == unsigned(name)
    layers = [layer["LayerVersionArn"]]
    try:
        add = client.update_function_configuration
        assert error_of(add, FunctionName=name, Layers=layers) == unsigned(layers[0])
    finally:
        client.delete_layer_version(LayerName=layer["LayerArn"], VersionNumber=1)
    after = function.configuration()
    before.pop("ResponseMetadata"), after.pop("ResponseMetadata")
    assert after == before
    assert function.invoke({}).ok() == 1
    # What is no code may be changed, layers taken away, versions published.
    function.update(Timeout=7, Layers=[])
    client.publish_version(FunctionName=name)
    # The policy that counts is the one at the time of deployment.
    policies = {"UntrustedArtifactOnDeployment": "Warn"}
    client.update_code_signing_config(CodeSigningConfigArn=config, CodeSigningPolicies=policies)
    function.update_code(OTHER)
    assert function.invoke({}).ok() == 2


def test_warning_lets_unsigned_code_through_and_counts_it(daemon, client, make, configure):
    config = configure("Warn")["CodeSigningConfigArn"]
    function = make(CODE, CodeSigningConfigArn=config)

    def counted():
        return metrics.series(daemon, "hearth_signature_validation_errors_total", function=function.name)

    assert counted() == 1
    function.update_code(OTHER)
    assert counted() == 2
    assert function.invoke({}).ok() == 2
    client.delete_function_code_signing_config(FunctionName=function.name)
    function.update_code(CODE)
    assert counted() == 2


def test_configurations_and_who_has_them_survive_a_restart(start_daemon, python):
    daemon = start_daemon()
    client = daemon.client()
    make = functions.Maker(daemon, python, ROLE)
    allowed = {"SigningProfileVersionArns": [PUBLISHER]}
    made = client.create_code_signing_config(AllowedPublishers=allowed, Tags={"a": "1"})["CodeSigningConfig"]
    config = made["CodeSigningConfigArn"]
    name = make(CODE, CodeSigningConfigArn=config).name
    daemon.stop()
    daemon.start()
    client = daemon.client()
    assert client.get_code_signing_config(CodeSigningConfigArn=config)["CodeSigningConfig"] == made
    assert client.list_tags(Resource=config)["Tags"] == {"a": "1"}
    assert client.get_function_code_signing_config(FunctionName=name)["CodeSigningConfigArn"] == config
    assert client.list_functions_by_code_signing_config(CodeSigningConfigArn=config)["FunctionArns"] == [arn(name)]


# --- who may ---


def test_who_gives_a_function_a_configuration_must_be_allowed_on_both(tmp_path, start_daemon, python):
    folder = Folder(tmp_path)
    put = "lambda:PutFunctionCodeSigningConfig"
    half = folder.add("half", {"Action": put, "Resource": arn("*")})
    whole = folder.add("whole", {"Action": put, "Resource": [arn("*"), NOBODY.replace("0" * 17, "*")]})
    daemon = start_daemon(config=folder.config())
    daemon.key = folder.admin
    client = daemon.client()
    name = functions.Maker(daemon, python, ROLE)(CODE).name
    allowed = {"SigningProfileVersionArns": [PUBLISHER]}
    config = client.create_code_signing_config(AllowedPublishers=allowed)["CodeSigningConfig"]["CodeSigningConfigArn"]
    path, body = f"/2020-06-30/functions/{name}/code-signing-config", json.dumps({"CodeSigningConfigArn": config}).encode()

    def given_by(key):
        return wire.request(daemon.address, "PUT", path, body, signed(daemon, "PUT", path, body, key=key)).status

    assert given_by(half) == 403
    assert "CodeSigningConfigArn" not in client.get_function_code_signing_config(FunctionName=name)
    assert given_by(whole) == 200
