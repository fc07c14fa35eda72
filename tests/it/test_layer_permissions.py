"""Layers where requests are signed: each operation is about a layer or a version of one, and attaching takes reading."""

import pytest
from test_auth import Folder

from lib import daemon as daemons
from lib import functions
from lib.daemon import ACCOUNT, REGION
from lib.functions import error_of, package

LAYER = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:"
DENIED = (403, "AccessDeniedException")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, start_module_daemon):
    """A daemon with a user who may publish layers named `open`, get the first version of it, and change functions."""
    folder = Folder(tmp_path_factory.mktemp("keys"))
    user = folder.add(
        "user",
        {"Action": ["lambda:PublishLayerVersion", "lambda:ListLayerVersions"], "Resource": f"{LAYER}open"},
        {"Action": ["lambda:GetLayerVersion", "lambda:GetLayerVersionPolicy"], "Resource": f"{LAYER}open:1"},
        {"Action": ["lambda:UpdateFunctionConfiguration", "lambda:CreateFunction"]},
    )
    daemon = start_module_daemon(config=folder.config())
    daemon.key, daemon.user = folder.admin, user
    return daemon


@pytest.fixture(scope="module")
def user(guarded):
    return guarded.client(signer=guarded.user)


@pytest.fixture(scope="module")
def published(guarded, user):
    """Two versions of `open`, published by the user, and one of `other`, by the administrator."""
    content = {"Content": {"ZipFile": package({"file": "x"})}}
    arns = [user.publish_layer_version(LayerName="open", **content)["LayerVersionArn"] for _ in range(2)]
    return [*arns, guarded.client().publish_layer_version(LayerName="other", **content)["LayerVersionArn"]]


def test_a_policy_names_the_layer_or_its_version(user, published):
    first, second, other = published
    assert user.get_layer_version(LayerName="open", VersionNumber=1)["LayerVersionArn"] == first
    assert user.get_layer_version_by_arn(Arn=first)["Version"] == 1
    assert len(user.list_layer_versions(LayerName="open")["LayerVersions"]) == 2
    assert error_of(user.get_layer_version_policy, LayerName="open", VersionNumber=1)[0] == 404
    for arn in (second, other):
        status, code, text = error_of(user.get_layer_version_by_arn, Arn=arn)
        assert (status, code) == DENIED
        assert f"not authorized to perform: lambda:GetLayerVersion on resource: {arn} because" in text
    refusals = [
        (user.get_layer_version, {"LayerName": "open", "VersionNumber": 2}),
        (user.get_layer_version_policy, {"LayerName": "open", "VersionNumber": 2}),
        (user.delete_layer_version, {"LayerName": "open", "VersionNumber": 1}),
        (user.list_layer_versions, {"LayerName": "other"}),
        (user.publish_layer_version, {"LayerName": "other", "Content": {"ZipFile": b"x"}}),
        (user.list_layers, {}),
    ]
    for call, parameters in refusals:
        assert error_of(call, **parameters)[:2] == DENIED, (call.__name__, parameters)


def test_who_attaches_a_layer_must_be_allowed_to_get_it(guarded, user, published, python):
    first, second, other = published
    maker = functions.Maker(guarded, python, daemons.ROLE)
    function = maker(functions.ECHO)
    try:
        attach = user.update_function_configuration
        for layers in ([second], [first, other]):
            assert error_of(attach, FunctionName=function.name, Layers=layers)[:2] == DENIED
        assert "Layers" not in function.configuration()
        attach(FunctionName=function.name, Layers=[first])
        assert [layer["Arn"] for layer in function.configuration()["Layers"]] == [first]
    finally:
        maker.delete_all()
