"""Versions and aliases as an unmodified client sees them: publishing, finding, listing, invoking, moving, deleting."""

import concurrent.futures
import json

import pytest
from botocore.exceptions import ClientError

from lib import functions, holding
from lib.daemon import ROLE
from lib.functions import arn, error_of

# Says which code ran, with which settings, as what.
WHO = """
import os, uuid
INSTANCE = uuid.uuid4().hex

def handler(event, context):
    return {
        "code": CODE, "stage": os.environ.get("STAGE"), "instance": INSTANCE,
        "arn": context.invoked_function_arn, "version": context.function_version,
        "variable": os.environ["AWS_LAMBDA_FUNCTION_VERSION"], "stream": context.log_stream_name,
    }
"""
STALE = (
    "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the "
    "latest Revision Id"
)
NOT_FOUND = (404, "ResourceNotFoundException")
CONFLICT = (409, "ResourceConflictException")
INVALID = (400, "InvalidParameterValueException")


def code(number):
    return f"CODE = {number}\n{WHO}"


def stage(value):
    return {"Environment": {"Variables": {"STAGE": value}}}


def publish(function, **parameters):
    return function.client.publish_version(FunctionName=function.name, **parameters)


def name_it(function, alias, version, **parameters):
    return function.client.create_alias(
        FunctionName=function.name, Name=alias, FunctionVersion=version, **parameters
    )


def weights(**shares):
    return {"RoutingConfig": {"AdditionalVersionWeights": {name.strip("v"): share for name, share in shares.items()}}}


@pytest.fixture
def two(make):
    """A function with versions 1 and 2, each with code and settings of its own; `$LATEST` is a third."""
    function = make(code(1), **stage("one"))
    publish(function)
    function.update_code(code(2))
    function.update(**stage("two"))
    publish(function)
    function.update_code(code(3))
    function.update(**stage("three"))
    return function


# --- publishing ---


def test_a_version_is_a_copy_under_a_number_with_a_revision_of_its_own(make):
    function = make(code(1), Description="mine", Tags={"a": "1"}, **stage("one"))
    before = function.configuration()
    version = publish(function, Description="the first")
    assert version["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (version["Version"], version["Description"]) == ("1", "the first")
    assert version["FunctionArn"] == arn(function.name, "1")
    assert (version["State"], version["LastUpdateStatus"]) == ("Active", "Successful")
    after = function.configuration()
    assert len({version["RevisionId"], before["RevisionId"], after["RevisionId"]}) == 3
    different = {"ResponseMetadata", "RevisionId", "Version", "Description", "FunctionArn"}
    for member in set(before) - different:
        assert version[member] == before[member] == after[member], member
    assert after["Description"] == "mine"
    found = function.client.get_function(FunctionName=function.name, Qualifier="1")
    assert found["Configuration"] == {key: value for key, value in version.items() if key != "ResponseMetadata"}
    assert found["Tags"] == {"a": "1"}


def test_publishing_again_without_a_change_gives_the_same_version(make):
    function = make(code(1), Description="mine")
    first = publish(function, Description="the first")
    latest = function.configuration()["RevisionId"]
    again = publish(function, Description="the second")
    for member in set(first) - {"ResponseMetadata"}:
        assert again[member] == first[member], member
    assert function.configuration()["RevisionId"] == latest, "nothing was published, so nothing changed"
    function.client.tag_resource(Resource=arn(function.name), Tags={"a": "1"})
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    assert publish(function)["Version"] == "1", "tags and reservation are no part of a version"
    function.update_code(code(1))
    assert publish(function)["Version"] == "1", "the same code again is no change"
    for number, change in enumerate([{"Timeout": 9}, {"Description": "ours"}, stage("one"), {"MemorySize": 256}], 2):
        function.update(**change)
        assert publish(function)["Version"] == str(number)
    function.update_code(code(2))
    assert publish(function)["Version"] == "6"


def test_preconditions_of_publishing(make):
    function = make(code(1))
    call, name = function.client.publish_version, {"FunctionName": function.name}
    now = function.configuration()
    assert error_of(call, **name, RevisionId="other") == (412, "PreconditionFailedException", STALE)
    text = (
        f"CodeSHA256 (other) is different from current CodeSHA256 in $LATEST ({now['CodeSha256']}). Please try again "
        "with the CodeSHA256 in $LATEST."
    )
    assert error_of(call, **name, CodeSha256="other") == (*INVALID, text)
    assert call(**name, RevisionId=now["RevisionId"], CodeSha256=now["CodeSha256"])["Version"] == "1"
    assert error_of(call, **name, RevisionId=now["RevisionId"])[0] == 412, "publishing changed the revision"
    assert error_of(call, FunctionName="absent") == (*NOT_FOUND, f"Function not found: {arn('absent')}")
    assert error_of(call, FunctionName=f"{function.name}:1")[:2] == NOT_FOUND


def test_publish_on_create_and_update_makes_the_version_with_the_function(make, client):
    name = functions.unique()
    created = client.create_function(
        FunctionName=name, Role=ROLE, Runtime=make.python, Handler="index.handler", Publish=True,
        Code={"ZipFile": functions.package(code(1))},
    )
    make.names.append(name)
    # The service's own inconsistency: the version's number, the function's ARN.
    assert (created["Version"], created["FunctionArn"], created["State"]) == ("1", arn(name), "Pending")
    client.get_waiter("published_version_active").wait(
        FunctionName=name, Qualifier="1", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    function = functions.Function(client, name)
    function.wait()
    first = client.get_function_configuration(FunctionName=name, Qualifier="1")
    assert (first["State"], first["LastUpdateStatus"]) == ("Active", "Successful")
    assert "StateReason" not in first
    assert first["RevisionId"] not in (created["RevisionId"], function.configuration()["RevisionId"])
    updated = client.update_function_code(FunctionName=name, ZipFile=functions.package(code(2)), Publish=True)
    assert (updated["Version"], updated["FunctionArn"], updated["State"]) == ("2", arn(name, "2"), "Pending")
    assert updated["StateReasonCode"] == "Creating" and "LastUpdateStatus" not in updated
    client.get_waiter("function_updated_v2").wait(FunctionName=name)
    client.get_waiter("function_active_v2").wait(FunctionName=name, Qualifier="2")
    assert [function.invoke(Qualifier=it).ok()["code"] for it in ("1", "2", "$LATEST")] == [1, 2, 2]
    assert publish(function)["Version"] == "2"
    again = client.update_function_code(FunctionName=name, ZipFile=functions.package(code(2)), Publish=True)
    assert again["Version"] == "2", "the same code is the same version"
    function.wait()
    dry = client.update_function_code(
        FunctionName=name, ZipFile=functions.package(code(3)), Publish=True, DryRun=True
    )
    assert dry["Version"] == "$LATEST"
    assert [it["Version"] for it in client.list_versions_by_function(FunctionName=name)["Versions"]] == [
        "$LATEST", "1", "2",
    ]


def test_published_versions_cannot_be_updated(two):
    for qualifier in ("1", "nothing"):
        name = f"{two.name}:{qualifier}"
        expected = (*NOT_FOUND, f"Function not found: {arn(two.name, qualifier)}")
        assert error_of(two.client.update_function_configuration, FunctionName=name, Timeout=9) == expected
        package = functions.package(code(9))
        assert error_of(two.client.update_function_code, FunctionName=name, ZipFile=package) == expected


# --- finding and invoking ---


def test_each_version_runs_its_own_code_with_its_own_settings(two):
    for qualifier, (number, value) in {"1": (1, "one"), "2": (2, "two"), "$LATEST": (3, "three")}.items():
        result = two.invoke(Qualifier=qualifier)
        seen = result.ok()
        assert (seen["code"], seen["stage"]) == (number, value)
        assert seen["version"] == seen["variable"] == result.version == qualifier
        assert result.headers["x-amz-executed-version"] == qualifier
        assert seen["arn"] == arn(two.name, qualifier)
        assert f"/[{qualifier}]" in seen["stream"]
        assert f"Version: {qualifier}\n" in result.log
    assert two.invoke().ok()["arn"] == arn(two.name)


def test_a_version_is_named_in_every_form(two):
    call = two.client.get_function_configuration
    for form in (f"{two.name}:1", arn(two.name, "1"), f"function:{two.name}:1"):
        found = call(FunctionName=form)
        assert (found["Version"], found["FunctionArn"]) == ("1", arn(two.name, "1"))
        assert found["Environment"]["Variables"] == {"STAGE": "one"}
        assert call(FunctionName=form, Qualifier="1")["Version"] == "1"
        text = "The derived qualifier from the function name does not match the specified qualifier."
        assert error_of(call, FunctionName=form, Qualifier="2") == (*INVALID, text)
    for qualifier in ("3", "007", "0", "99999999999999999999", "nothing"):
        expected = (*NOT_FOUND, f"Function not found: {arn(two.name, qualifier)}")
        for method in (call, two.client.get_function, two.client.invoke):
            assert error_of(method, FunctionName=two.name, Qualifier=qualifier) == expected


def test_publishing_leaves_warm_environments_alone(make):
    function = make(code(1))
    instance = function.invoke().ok()["instance"]
    publish(function)
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=5)
    assert function.invoke().ok()["instance"] == instance
    # The version is a pool of its own, though it is the same code.
    version = function.invoke(Qualifier="1").ok()["instance"]
    assert version != instance
    function.update_code(code(2))
    assert function.invoke(Qualifier="1").ok()["instance"] == version, "updates do not touch versions"
    assert function.invoke().ok()["code"] == 2


def test_the_reservation_is_shared_by_all_versions(make):
    function = make(holding.CODE, Timeout=60)
    publish(function)
    name_it(function, "live", "1")
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    with holding.under_way(function, Qualifier="1") as (held,):
        reasons = []
        for qualifier in ("$LATEST", "live"):
            with pytest.raises(ClientError) as caught:
                function.invoke({}, Qualifier=qualifier)
            reasons.append(caught.value.response["Reason"])
    assert reasons == ["ReservedFunctionConcurrentInvocationLimitExceeded"] * 2
    assert held.result().ok() and function.invoke({}).ok(), "the permit came back"



# --- listing ---


def test_versions_are_listed_by_number_in_pages(make):
    function = make(code(1))
    for number in range(1, 13):
        function.update(Timeout=number + 10)
        assert publish(function)["Version"] == str(number)
    pages = list(
        function.client.get_paginator("list_versions_by_function").paginate(
            FunctionName=function.name, PaginationConfig={"PageSize": 5}
        )
    )
    assert [len(page["Versions"]) for page in pages] == [5, 5, 3]
    listed = [it for page in pages for it in page["Versions"]]
    expected = ["$LATEST", *map(str, range(1, 13))]
    assert [it["Version"] for it in listed] == expected
    assert [it["FunctionArn"] for it in listed] == [arn(function.name, it) for it in expected]
    assert [it["Timeout"] for it in listed] == [22, *range(11, 23)]
    for entry in listed:
        assert not {"State", "LastUpdateStatus", "RuntimeVersionConfig"} & set(entry)
    call = function.client.list_versions_by_function
    assert error_of(call, FunctionName="absent") == (*NOT_FOUND, f"Function not found: {arn('absent')}")


def test_all_versions_of_all_functions_are_listed_in_pages(start_daemon, python):
    daemon = start_daemon()
    maker = functions.Maker(daemon, python, ROLE)
    client = daemon.client()
    for name, count in (("b", 2), ("a", 0), ("b-b", 1), ("c", 3)):
        function = maker(code(1), name=name)
        for number in range(count):
            function.update(Timeout=number + 10)
            publish(function)
    expected = [
        "a:$LATEST", "b:$LATEST", "b:1", "b:2", "b-b:$LATEST", "b-b:1", "c:$LATEST", "c:1", "c:2", "c:3",
    ]
    for size in (1, 3, 50):
        pages = client.get_paginator("list_functions").paginate(
            FunctionVersion="ALL", PaginationConfig={"PageSize": size}
        )
        listed = [it for page in pages for it in page["Functions"]]
        assert [f"{it['FunctionName']}:{it['Version']}" for it in listed] == expected
        assert [it["FunctionArn"] for it in listed] == [arn(*it.split(":")) for it in expected]
    everywhere = client.list_functions(FunctionVersion="ALL", MasterRegion="ALL")["Functions"]
    assert len(everywhere) == len(expected)
    assert client.list_functions(FunctionVersion="ALL", MasterRegion="eu-west-1")["Functions"] == []
    assert error_of(client.list_functions, MasterRegion="ALL")[:2] == INVALID
    assert [it["FunctionName"] for it in client.list_functions()["Functions"]] == ["a", "b", "b-b", "c"]
    account = client.get_account_settings()["AccountUsage"]
    assert account == {"FunctionCount": 4, "TotalCodeSize": sum(it["CodeSize"] for it in everywhere)}


# --- deleting ---


def test_a_deleted_version_is_gone_and_its_number_is_not_given_again(two):
    assert two.invoke(Qualifier="2").ok()["code"] == 2
    for _ in range(2):
        answer = two.client.delete_function(FunctionName=two.name, Qualifier="2")
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    gone = (*NOT_FOUND, f"Function not found: {arn(two.name, '2')}")
    assert error_of(two.client.invoke, FunctionName=two.name, Qualifier="2") == gone
    assert error_of(two.client.get_function, FunctionName=two.name, Qualifier="2") == gone
    assert two.invoke(Qualifier="1").ok()["code"] == 1
    assert publish(two)["Version"] == "3"
    two.client.delete_function(FunctionName=f"{two.name}:3")
    assert publish(two)["Version"] == "4", "the last version is gone, so there is nothing that it could be the same as"
    call = two.client.delete_function
    text = "$LATEST version cannot be deleted without deleting the function."
    assert error_of(call, FunctionName=two.name, Qualifier="$LATEST") == (*INVALID, text)


def test_a_version_in_use_by_aliases_is_not_deleted(two):
    name_it(two, "one", "1")
    name_it(two, "both", "2", **weights(v1=0.5))
    call = two.client.delete_function
    text = "Unable to delete version because the following aliases reference it: [{}]"
    assert error_of(call, FunctionName=two.name, Qualifier="1") == (*CONFLICT, text.format("both, one"))
    assert error_of(call, FunctionName=two.name, Qualifier="2") == (*CONFLICT, text.format("both"))
    text = "Deletion of aliases is not currently supported."
    assert error_of(call, FunctionName=two.name, Qualifier="one") == (*INVALID, text)
    two.client.delete_alias(FunctionName=two.name, Name="both")
    call(FunctionName=two.name, Qualifier="2")
    assert two.invoke(Qualifier="one").ok()["code"] == 1


def test_deleting_the_function_deletes_versions_and_aliases_and_remembers_the_number(make, client):
    function = make(code(1))
    publish(function)
    name_it(function, "live", "1")
    assert function.invoke(Qualifier="live").ok()["code"] == 1
    client.delete_function(FunctionName=function.name)
    for qualifier in ("1", "live"):
        assert error_of(client.invoke, FunctionName=function.name, Qualifier=qualifier)[:2] == NOT_FOUND
    again = make(code(2), name=function.name)
    for qualifier in ("1", "live"):
        assert error_of(client.get_function, FunctionName=function.name, Qualifier=qualifier)[:2] == NOT_FOUND
        assert error_of(client.invoke, FunctionName=function.name, Qualifier=qualifier)[:2] == NOT_FOUND
    assert client.list_aliases(FunctionName=function.name)["Aliases"] == []
    assert publish(again)["Version"] == "2"


def test_code_stays_as_long_as_a_version_has_it(start_daemon, python):
    daemon = start_daemon()
    function = functions.Maker(daemon, python, ROLE)(code(1))
    publish(function)
    function.update_code(code(2))
    daemon.stop()
    # The next start collects what nothing refers to, and has nothing in memory.
    daemon.start()
    again = functions.Function(daemon.client(), function.name)
    assert [again.invoke(Qualifier=it).ok()["code"] for it in ("1", "$LATEST")] == [1, 2]
    again.client.delete_function(FunctionName=function.name, Qualifier="1")
    blobs = daemon.state / "blobs" / "sha256"
    assert len(list(blobs.iterdir())) == 2
    daemon.stop()
    daemon.start()
    assert len(list(blobs.iterdir())) == 1


# --- aliases ---


def test_an_alias_is_made_moved_and_deleted(two):
    client, name = two.client, {"FunctionName": two.name}
    made = name_it(two, "live", "1", Description="what runs")
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    expected = {
        "AliasArn": arn(two.name, "live"), "Name": "live", "FunctionVersion": "1", "Description": "what runs",
        "RevisionId": made["RevisionId"],
    }
    found = client.get_alias(**name, Name="live")
    assert {key: value for key, value in found.items() if key != "ResponseMetadata"} == expected
    result = two.invoke(Qualifier="live")
    assert (result.version, result.ok()["arn"], result.ok()["code"]) == ("1", arn(two.name, "live"), 1)
    described = client.get_function_configuration(**name, Qualifier="live")
    assert (described["Version"], described["FunctionArn"]) == ("1", arn(two.name, "live"))
    moved = client.update_alias(**name, Name="live", FunctionVersion="2", RevisionId=made["RevisionId"])
    assert (moved["FunctionVersion"], moved["Description"]) == ("2", "what runs")
    assert moved["RevisionId"] != made["RevisionId"]
    assert two.invoke(Qualifier="live").ok()["code"] == 2
    latest = client.update_alias(**name, Name="live", FunctionVersion="$LATEST", Description="")
    assert (latest["FunctionVersion"], latest["Description"]) == ("$LATEST", "")
    result = two.invoke(Qualifier="live")
    assert (result.version, result.ok()["code"]) == ("$LATEST", 3)
    for _ in range(2):
        assert client.delete_alias(**name, Name="live")["ResponseMetadata"]["HTTPStatusCode"] == 204
    gone = (*NOT_FOUND, f"Function not found: {arn(two.name, 'live')}")
    assert error_of(client.invoke, **name, Qualifier="live") == gone


def test_what_an_alias_cannot_be(two, lenient):
    client, name = two.client, {"FunctionName": two.name}
    live = name_it(two, "live", "1", **weights(v2=0.5))
    make, change = lenient.create_alias, lenient.update_alias
    exists = (*CONFLICT, f"Alias already exists: {arn(two.name, 'live')}")
    assert error_of(make, **name, Name="live", FunctionVersion="2") == exists
    for version in ("3", "0", "007"):
        missing = (*NOT_FOUND, f"Function not found: {arn(two.name, version)}")
        assert error_of(make, **name, Name="x", FunctionVersion=version) == missing
        assert error_of(change, **name, Name="live", FunctionVersion=version) == missing
        assert error_of(make, **name, Name="x", FunctionVersion="1", **weights(**{version: 0.1})) == missing
    twice = (*INVALID, "Invalid function version 2. Function version 2 is already included in routing configuration.")
    assert error_of(make, **name, Name="x", FunctionVersion="2", **weights(v2=0.5)) == twice
    assert error_of(change, **name, Name="live", FunctionVersion="2") == twice, "the routing stays unless given"
    latest = (*INVALID, "$LATEST is not supported for an alias pointing to more than 1 version")
    assert error_of(change, **name, Name="live", FunctionVersion="$LATEST") == latest
    many = (*INVALID, "Number of items in AdditionalVersionWeights cannot be greater than 1")
    assert error_of(make, **name, Name="x", FunctionVersion="1", **weights(v1=0.1, v2=0.1)) == many
    assert error_of(make, **name, Name="42", FunctionVersion="1")[:2] == (400, "ValidationException")
    assert error_of(change, **name, Name="live", RevisionId="other") == (412, "PreconditionFailedException", STALE)
    assert error_of(change, **name, Name="no") == (*NOT_FOUND, f"Alias not found: {arn(two.name, 'no')}")
    cannot = (*NOT_FOUND, f"Cannot find alias arn: {arn(two.name, 'no')}")
    assert error_of(client.get_alias, **name, Name="no") == cannot
    assert error_of(make, FunctionName=f"{two.name}:1", Name="x", FunctionVersion="1")[:2] == INVALID
    found = client.get_alias(**name, Name="live")
    assert found["RevisionId"] == live["RevisionId"], "nothing that was refused left a trace"


def test_versions_of_one_alias_have_one_role_and_one_dead_letter_queue(make):
    function = make(code(1))
    publish(function)
    function.update(Role=ROLE + "-other")
    publish(function)
    function.update(DeadLetterConfig={"TargetArn": "arn:aws:sqs:us-east-1:000000000000:dlq"})
    publish(function)
    call, name = function.client.create_alias, {"FunctionName": function.name, "Name": "live"}
    text = "Specified versions must be associated with the same execution role"
    assert error_of(call, **name, FunctionVersion="1", **weights(v2=0.1)) == (*INVALID, text)
    code_and_text = error_of(call, **name, FunctionVersion="2", **weights(v3=0.1))
    assert code_and_text[:2] == INVALID and "dead letter" in code_and_text[2]


def test_aliases_are_listed_by_name_and_by_version(two):
    for alias, version in (("b", "1"), ("c", "2"), ("a", "$LATEST")):
        name_it(two, alias, version)
    name_it(two, "d", "2", **weights(v1=0.03))
    pages = list(
        two.client.get_paginator("list_aliases").paginate(FunctionName=two.name, PaginationConfig={"PageSize": 3})
    )
    assert [[it["Name"] for it in page["Aliases"]] for page in pages] == [["a", "b", "c"], ["d"]]
    assert pages[1]["Aliases"][0]["RoutingConfig"] == {"AdditionalVersionWeights": {"1": 0.03}}

    def of(version):
        found = two.client.list_aliases(FunctionName=two.name, FunctionVersion=version)
        return [it["Name"] for it in found["Aliases"]]

    assert [of("1"), of("2"), of("$LATEST"), of("7")] == [["b", "d"], ["c", "d"], ["a"], []]
    call = two.client.list_aliases
    assert error_of(call, FunctionName="absent") == (*NOT_FOUND, f"Function not found: {arn('absent')}")


def test_invocations_are_shared_out_by_weight_and_say_which_version_ran(two):
    """Of 400 with a weight of 0.25, 100 are expected and the deviation is 8.7: outside 40 to 160 is no chance."""
    name_it(two, "live", "1", **weights(v2=0.25))

    def one(_):
        result = two.invoke(Qualifier="live", tail=False)
        assert result.version == str(result.ok()["code"])
        assert result.ok()["arn"] == arn(two.name, "live")
        return result.version

    def versions(count):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            return list(pool.map(one, range(count)))

    seen = versions(400)
    assert set(seen) == {"1", "2"}
    assert 40 <= seen.count("2") <= 160, seen.count("2")
    for weight, expected in ((0.0, "1"), (1.0, "2")):
        two.client.update_alias(FunctionName=two.name, Name="live", **weights(v2=weight))
        assert set(versions(40)) == {expected}
    described = {
        two.client.get_function(FunctionName=two.name, Qualifier="live")["Configuration"]["Version"] for _ in range(9)
    }
    assert described == {"1"}, "reading is not routed"
    cleared = two.client.update_alias(FunctionName=two.name, Name="live", RoutingConfig={})
    assert "RoutingConfig" not in cleared
    assert set(versions(40)) == {"1"}


# --- other clients ---


def test_the_aws_cli_publishes_waits_and_invokes_by_alias(make, daemon, tmp_path):
    function = make(code(1))
    name = ("--function-name", function.name)
    version = json.loads(daemon.aws("publish-version", *name).stdout)["Version"]
    daemon.aws("wait", "published-version-active", *name, "--qualifier", version)
    daemon.aws("create-alias", *name, "--name", "live", "--function-version", version)
    target = tmp_path / "answer.json"
    answer = json.loads(daemon.aws("invoke", *name, "--qualifier", "live", str(target)).stdout)
    assert answer["ExecutedVersion"] == version
    assert json.loads(target.read_text())["arn"] == arn(function.name, "live")
