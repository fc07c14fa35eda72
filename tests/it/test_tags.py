"""Tags of everything that has them: functions, code signing configurations, event source mappings; through boto3."""

import pytest

from lib import functions
from lib.daemon import ACCOUNT, REGION, ROLE
from lib.functions import arn, error_of

INVALID = (400, "InvalidParameterValueException")
TOO_MANY = (*INVALID, "Number of tags exceeds resource tag limit.")
RESERVED = (*INVALID, "aws: prefixed tag key names are not allowed for external use.")
PUBLISHERS = {"SigningProfileVersionArns": [f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/test/abc"]}
LAMBDA = f"arn:aws:lambda:{REGION}:{ACCOUNT}"
UUID = "01234567-89ab-4cde-8f01-23456789abcd"
NOBODY = f"{LAMBDA}:code-signing-config:csc-00000000000000000"


def numbered(count):
    return {f"{number}_key": f"{number}_value" for number in range(count)}


class Functions:
    """How a resource of one kind is made with tags: a function."""

    def __init__(self, client, make, python):
        self.client, self.make, self.python = client, make, python

    def create(self, tags):
        return arn(self.make(functions.ECHO, Tags=tags).name)

    def refused(self, tags):
        return error_of(
            self.client.create_function,
            FunctionName=functions.unique(),
            Role=ROLE,
            Runtime=self.python,
            Handler="index.handler",
            Code={"ZipFile": functions.package(functions.ECHO)},
            Tags=tags,
        )

    def end(self):
        self.make.delete_all()


class Configurations:
    """The same of code signing configurations."""

    def __init__(self, client):
        self.client, self.made = client, []

    def create(self, tags):
        made = self.client.create_code_signing_config(AllowedPublishers=PUBLISHERS, Tags=tags)
        self.made.append(made["CodeSigningConfig"]["CodeSigningConfigArn"])
        return self.made[-1]

    def refused(self, tags):
        return error_of(self.client.create_code_signing_config, AllowedPublishers=PUBLISHERS, Tags=tags)

    def end(self):
        for config in self.made:
            self.client.delete_code_signing_config(CodeSigningConfigArn=config)


class Mappings:
    """The same of event source mappings, each of a queue of its own."""

    def __init__(self, client, make):
        self.client, self.function, self.made = client, make(functions.ECHO), []

    def request(self, tags):
        queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{functions.unique('queue')}"
        return {"EventSourceArn": queue, "FunctionName": self.function.name, "Tags": tags}

    def create(self, tags):
        made = self.client.create_event_source_mapping(**self.request(tags))
        self.made.append(made["UUID"])
        return made["EventSourceMappingArn"]

    def refused(self, tags):
        return error_of(self.client.create_event_source_mapping, **self.request(tags))

    def end(self):
        for uuid in self.made:
            self.client.delete_event_source_mapping(UUID=uuid)


KINDS = {
    "functions": lambda client, make, python: Functions(client, make, python),
    "code signing configurations": lambda client, make, python: Configurations(client),
    "event source mappings": lambda client, make, python: Mappings(client, make),
}


@pytest.fixture(params=KINDS)
def kind(request, client, make, python):
    kind = KINDS[request.param](client, make, python)
    yield kind
    kind.end()


def test_tags_are_kept_listed_changed_and_removed(client, kind):
    resource = kind.create({"a": "1"})
    assert client.tag_resource(Resource=resource, Tags={"b": "2", "a": "3"})["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert client.list_tags(Resource=resource)["Tags"] == {"a": "3", "b": "2"}
    answer = client.untag_resource(Resource=resource, TagKeys=["a", "missing"])
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert client.list_tags(Resource=resource)["Tags"] == {"b": "2"}
    client.untag_resource(Resource=resource, TagKeys=["b"])
    assert client.list_tags(Resource=resource)["Tags"] == {}


def test_a_resource_has_fifty_tags_at_most(client, kind):
    assert kind.refused(numbered(51)) == TOO_MANY
    resource = kind.create({})
    assert error_of(client.tag_resource, Resource=resource, Tags=numbered(51)) == TOO_MANY
    client.tag_resource(Resource=resource, Tags=numbered(50))
    assert error_of(client.tag_resource, Resource=resource, Tags={"one": "more"}) == TOO_MANY
    client.tag_resource(Resource=resource, Tags={"0_key": "another value"})
    assert client.list_tags(Resource=resource)["Tags"] == {**numbered(50), "0_key": "another value"}


def test_keys_of_the_service_are_refused(client, kind):
    resource = kind.create({})
    for key in ("aws:x", "AWS:cloudformation:stack-name", "aws:"):
        assert kind.refused({"mine": "1", key: "2"}) == RESERVED
        assert error_of(client.tag_resource, Resource=resource, Tags={"mine": "1", key: "2"}) == RESERVED
    assert client.list_tags(Resource=resource)["Tags"] == {}


def test_lengths_and_characters_are_those_of_the_model(client, lenient, kind):
    resource = kind.create({})
    longest = {"k" * 128: "v" * 256, "Grüße /=+-@:_.": "", "値": "１２"}
    client.tag_resource(Resource=resource, Tags=longest)
    assert client.list_tags(Resource=resource)["Tags"] == longest
    for tags in ({"k" * 129: ""}, {"": "v"}, {"k": "v" * 257}, {"k#": "v"}, {"k": "<v>"}):
        assert error_of(lenient.tag_resource, Resource=resource, Tags=tags)[:2] == (400, "ValidationException"), tags
    assert client.list_tags(Resource=resource)["Tags"] == longest


def test_a_request_that_changes_nothing_is_an_error(client, lenient, kind):
    resource = kind.create({})
    assert error_of(client.tag_resource, Resource=resource, Tags={}) == (
        *INVALID,
        "An error occurred and the request cannot be processed.",
    )
    status, code, text = error_of(lenient.untag_resource, Resource=resource, TagKeys=[])
    assert (status, code) == (400, "ValidationException") and "'tagKeys'" in text


def test_other_changes_of_a_configuration_leave_its_tags(client):
    kind = Configurations(client)
    resource = kind.create({"a": "1"})
    client.update_code_signing_config(CodeSigningConfigArn=resource, Description="new")
    assert client.list_tags(Resource=resource)["Tags"] == {"a": "1"}
    before = client.get_code_signing_config(CodeSigningConfigArn=resource)["CodeSigningConfig"]
    client.tag_resource(Resource=resource, Tags={"b": "2"})
    assert client.get_code_signing_config(CodeSigningConfigArn=resource)["CodeSigningConfig"] == before
    kind.end()


def test_other_changes_of_a_mapping_leave_its_tags_and_tags_leave_the_mapping(client, make):
    kind = Mappings(client, make)
    resource = kind.create({"a": "1"})
    client.update_event_source_mapping(UUID=kind.made[0], BatchSize=5)
    before = client.get_event_source_mapping(UUID=kind.made[0])
    client.tag_resource(Resource=resource, Tags={"b": "2"})
    after = client.get_event_source_mapping(UUID=kind.made[0])
    before.pop("ResponseMetadata"), after.pop("ResponseMetadata")
    assert after == before
    assert client.list_tags(Resource=resource)["Tags"] == {"a": "1", "b": "2"}
    kind.end()


def test_tags_of_a_function_are_told_with_it_and_leave_its_revision(client, make):
    function = make(functions.ECHO)
    assert "Tags" not in client.get_function(FunctionName=function.name)
    before = function.configuration()["RevisionId"]
    client.tag_resource(Resource=arn(function.name), Tags={"a": "1"})
    assert client.get_function(FunctionName=function.name)["Tags"] == {"a": "1"}
    assert function.configuration()["RevisionId"] == before


@pytest.mark.parametrize(
    ("resource", "text"),
    [
        (arn("nobody"), "Function not found: "),
        (NOBODY, "Code signing config not found: "),
        (f"{LAMBDA}:event-source-mapping:{UUID}", "Event source mapping not found: "),
        (f"{LAMBDA}:capacity-provider:nobody", "Capacity provider not found: "),
    ],
)
def test_what_does_not_exist_has_no_tags(client, resource, text):
    expected = (404, "ResourceNotFoundException", text + resource)
    assert error_of(client.list_tags, Resource=resource) == expected
    assert error_of(client.tag_resource, Resource=resource, Tags={"a": "1"}) == expected
    assert error_of(client.untag_resource, Resource=resource, TagKeys=["a"]) == expected


def test_what_is_elsewhere_has_none_here(client):
    foreign, far = NOBODY.replace(ACCOUNT, "999999999999"), NOBODY.replace(REGION, "eu-west-1")
    assert error_of(client.list_tags, Resource=foreign)[:2] == (403, "AccessDeniedException")
    assert error_of(client.list_tags, Resource=far)[:2] == (404, "ResourceNotFoundException")


def test_versions_aliases_and_layers_have_no_tags(client, echo):
    for qualifier in ("1", "live", "$LATEST"):
        assert error_of(client.list_tags, Resource=arn(echo.name, qualifier)) == (
            *INVALID,
            "Tags on function aliases and versions are not supported. Please specify a function ARN.",
        )
    assert error_of(client.list_tags, Resource=f"{LAMBDA}:layer:some")[:2] == INVALID
