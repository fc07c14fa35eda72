"""Creating, reading, listing, changing and deleting functions, through boto3."""

import base64
import datetime
import hashlib
import re
import urllib.error
import urllib.parse
import urllib.request

import pytest

from lib import functions
from lib.daemon import ACCOUNT, REGION, ROLE
from lib.functions import arn, error_of

LAST_MODIFIED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000")
OTHER_ECHO = "def handler(event, context):\n    return {'other': event}\n"


def sha(archive):
    return base64.b64encode(hashlib.sha256(archive).digest()).decode()


@pytest.fixture
def name(daemon):
    with functions.free_name(daemon.client()) as chosen:
        yield chosen


def create(client, name, python, **settings):
    settings.setdefault("Code", {"ZipFile": functions.package(functions.ECHO)})
    settings.setdefault("Handler", "index.handler")
    return client.create_function(FunctionName=name, Role=ROLE, Runtime=python, **settings)


# --- create ---


def test_the_answer_to_create_is_that_of_the_service(client, name, python):
    archive = functions.package(functions.ECHO)
    answer = create(client, name, python, Code={"ZipFile": archive}, Timeout=5, MemorySize=256)
    meta = answer.pop("ResponseMetadata")
    assert meta["HTTPStatusCode"] == 201
    assert LAST_MODIFIED.fullmatch(answer.pop("LastModified"))
    assert re.fullmatch(functions.UUID, answer.pop("RevisionId"))
    runtime_arn = answer.pop("RuntimeVersionConfig")["RuntimeVersionArn"]
    assert re.fullmatch(rf"arn:aws:lambda:{REGION}::runtime:[0-9a-f]{{64}}", runtime_arn)
    assert answer == {
        "FunctionName": name,
        "FunctionArn": arn(name),
        "Runtime": python,
        "Role": ROLE,
        "Handler": "index.handler",
        "CodeSize": len(archive),
        "Description": "",
        "Timeout": 5,
        "MemorySize": 256,
        "CodeSha256": sha(archive),
        "Version": "$LATEST",
        "TracingConfig": {"Mode": "PassThrough"},
        "State": "Pending",
        "StateReason": "The function is being created.",
        "StateReasonCode": "Creating",
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"},
    }


def test_defaults_are_three_seconds_and_128_megabytes(client, name, python):
    answer = create(client, name, python)
    assert (answer["Timeout"], answer["MemorySize"]) == (3, 128)
    assert "Environment" not in answer


def test_an_empty_environment_stays_an_empty_environment(client, name, python):
    answer = create(client, name, python, Environment={"Variables": {}})
    assert answer["Environment"] == {"Variables": {}}


def test_all_settings_come_back_as_given(client, name, python):
    settings = {
        "Description": "what it does – ünïcode",
        "Timeout": 900,
        "MemorySize": 10240,
        "Environment": {"Variables": {"KEY": "value", "EMPTY": ""}},
        "EphemeralStorage": {"Size": 1024},
        "Architectures": ["x86_64"],
        "TracingConfig": {"Mode": "Active"},
        "LoggingConfig": {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "SystemLogLevel": "WARN"},
    }
    create(client, name, python, Tags={"team": "a"}, **settings)
    answer = client.get_function_configuration(FunctionName=name)
    settings["LoggingConfig"]["LogGroup"] = f"/aws/lambda/{name}"
    assert {key: answer[key] for key in settings} == settings


def test_a_function_becomes_active_with_a_new_revision(client, name, python):
    created = create(client, name, python)
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    active = client.get_function_configuration(FunctionName=name)
    assert active["State"] == "Active"
    assert active["LastUpdateStatus"] == "Successful"
    assert "StateReason" not in active and "StateReasonCode" not in active
    assert active["RevisionId"] != created["RevisionId"]
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 5})


def test_a_name_can_be_taken_once(client, make, python):
    taken = make(functions.ECHO)
    assert error_of(create, client, taken.name, python) == (
        409,
        "ResourceConflictException",
        f"Function already exist: {taken.name}",
    )


@pytest.mark.parametrize("form", ["{name}", "function:{name}", ACCOUNT + ":function:{name}", "{arn}"])
def test_create_takes_every_form_of_a_name(form, client, name, python):
    given = form.format(name=name, arn=arn(name))
    answer = create(client, given, python)
    assert (answer["FunctionName"], answer["FunctionArn"]) == (name, arn(name))


# --- names ---

FORMS = [
    "{name}",
    "{name}:$LATEST",
    "function:{name}",
    "function:{name}:$LATEST",
    ACCOUNT + ":function:{name}",
    REGION + ":" + ACCOUNT + ":function:{name}",
    "{arn}",
    "{arn}:$LATEST",
]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_name_finds_the_function(form, client, echo):
    given = form.format(name=echo.name, arn=arn(echo.name))
    qualifier = "$LATEST" if given.endswith(":$LATEST") else None
    got = client.get_function(FunctionName=given)["Configuration"]
    assert got["FunctionName"] == echo.name
    assert got["FunctionArn"] == arn(echo.name, qualifier)
    answer = client.invoke(FunctionName=given, Payload=b'"hello"')
    assert answer["Payload"].read() == b'"hello"'


def test_a_qualifier_may_stand_beside_the_name(client, echo):
    got = client.get_function_configuration(FunctionName=echo.name, Qualifier="$LATEST")
    assert got["FunctionArn"] == arn(echo.name, "$LATEST")


def test_two_qualifiers_must_agree(client, echo):
    assert error_of(client.invoke, FunctionName=f"{echo.name}:1", Qualifier="2") == (
        400,
        "InvalidParameterValueException",
        "The derived qualifier from the function name does not match the specified qualifier.",
    )


@pytest.mark.parametrize("operation", ["get_function", "get_function_configuration", "delete_function", "invoke"])
def test_an_unknown_function_is_not_found(operation, client):
    # An invocation is of a version; without a qualifier it means, and names, the unpublished one (recorded).
    missing = arn("nobody", "$LATEST") if operation == "invoke" else arn("nobody")
    assert error_of(getattr(client, operation), FunctionName="nobody") == (
        404,
        "ResourceNotFoundException",
        f"Function not found: {missing}",
    )


def test_an_unknown_version_is_not_found_with_its_number(client, echo):
    status, code, message = error_of(client.get_function, FunctionName=echo.name, Qualifier="7")
    assert (status, code, message) == (404, "ResourceNotFoundException", f"Function not found: {arn(echo.name, '7')}")


def test_another_region_cannot_be_reached(client, echo):
    other = arn(echo.name).replace(REGION, "eu-west-1")
    assert error_of(client.invoke, FunctionName=other) == (
        404,
        "ResourceNotFoundException",
        f"Functions from 'eu-west-1' are not reachable in this region ('{REGION}')",
    )


def test_another_account_is_denied(client, echo):
    other = arn(echo.name).replace(ACCOUNT, "999999999999")
    status, code, _ = error_of(client.get_function, FunctionName=other)
    assert (status, code) == (403, "AccessDeniedException")


# --- validation ---


def test_all_violations_are_reported_at_once(lenient, python):
    status, code, message = error_of(
        lenient.create_function,
        FunctionName="fn",
        Role="nonsense",
        Runtime=python,
        Handler="has space",
        Timeout=0,
        MemorySize=1,
        Code={"ZipFile": b"x"},
    )
    assert (status, code) == (400, "ValidationException")
    assert message.startswith("4 validation errors detected: Value ")
    for item in (
        "Value 'nonsense' at 'role' failed to satisfy constraint: Member must satisfy regular expression pattern: ",
        r"Value 'has space' at 'handler' failed to satisfy constraint: Member must satisfy regular expression "
        r"pattern: [^\s]+",
        "Value '0' at 'timeout' failed to satisfy constraint: Member must have value greater than or equal to 1",
        "Value '1' at 'memorySize' failed to satisfy constraint: Member must have value greater than or equal to 128",
    ):
        assert item in message
    assert message.count("; ") == 3


def test_one_violation_is_singular_and_an_unlisted_word_shows_the_list(lenient, echo):
    assert error_of(lenient.invoke, FunctionName=echo.name, InvocationType="Sometimes") == (
        400,
        "ValidationException",
        "1 validation error detected: Value 'Sometimes' at 'invocationType' failed to satisfy constraint: "
        "Member must satisfy enum value set: [Event, RequestResponse, DryRun]",
    )


def test_a_bare_name_of_65_characters_is_an_invalid_parameter(lenient, python):
    long = "a" * 65
    assert error_of(create, lenient, long, python) == (
        400,
        "InvalidParameterValueException",
        f"1 validation error detected: Value '{long}' at 'functionName' failed to satisfy constraint: "
        "Member must have length less than or equal to 64",
    )


def test_an_unknown_runtime_is_named_unquoted(lenient, name):
    status, code, message = error_of(create, lenient, name, "cobol85")
    assert (status, code) == (400, "InvalidParameterValueException")
    assert message.startswith(
        "Value cobol85 at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: ["
    )
    assert message.endswith("] or be a valid ARN")


@pytest.mark.parametrize("runtime", ["go1.x", "python3.7", "nodejs14.x", "ruby2.7", "provided", "java8"])
def test_a_retired_runtime_is_refused_with_the_advice(runtime, client, name):
    assert error_of(create, client, name, runtime) == (
        400,
        "InvalidParameterValueException",
        f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions. "
        "We recommend you use a supported runtime while creating or updating functions.",
    )


def test_a_runtime_that_the_host_lacks_is_refused_with_what_there_is(client, name, python):
    status, code, message = error_of(create, client, name, "java21")
    assert (status, code) == (400, "InvalidParameterValueException")
    assert "java21" in message and python in message


def test_more_than_four_kilobytes_of_environment_are_measured(client, name, python):
    variables = {"SMALL": "ok", "LARGE": "x" * 4090}
    measured = '{"SMALL":"ok","LARGE":"' + "x" * 4090 + '"}'
    assert error_of(create, client, name, python, Environment={"Variables": variables}) == (
        400,
        "InvalidParameterValueException",
        "Lambda was unable to configure your environment variables because the environment variables you have "
        f"provided exceeded the 4KB limit. String measured: {measured}",
    )


def test_reserved_variables_cannot_be_set(client, name, python):
    variables = {"AWS_REGION": "x", "FINE": "y"}
    status, code, message = error_of(create, client, name, python, Environment={"Variables": variables})
    assert (status, code) == (400, "InvalidParameterValueException")
    assert message.endswith("Reserved keys used in this request: AWS_REGION")


def test_log_levels_need_the_json_format(client, name, python):
    assert error_of(
        create, client, name, python, LoggingConfig={"LogFormat": "Text", "ApplicationLogLevel": "DEBUG"}
    ) == (
        400,
        "InvalidParameterValueException",
        'LogLevel is not supported when LogFormat is set to "Text". Remove LogLevel from your request or change the '
        'LogFormat to "JSON" and try again.',
    )


# --- read ---


def test_the_code_location_gives_back_the_same_bytes(client, make):
    archive = functions.package({"index.py": functions.ECHO, "data.bin": bytes(range(256)) * 64})
    function = make(archive)
    code = client.get_function(FunctionName=function.name)["Code"]
    assert code["RepositoryType"] == "S3"
    with urllib.request.urlopen(code["Location"], timeout=10) as answer:
        assert answer.read() == archive


def test_a_changed_code_location_is_refused(client, make):
    location = client.get_function(FunctionName=make(functions.ECHO).name)["Code"]["Location"]
    other = client.get_function(FunctionName=make(OTHER_ECHO).name)["Code"]["Location"]
    changed = [tampered for tampered in variations(location) if tampered != location]
    mixed = urllib.parse.urlsplit(other)._replace(query=urllib.parse.urlsplit(location).query).geturl()
    if urllib.parse.urlsplit(other).path != urllib.parse.urlsplit(location).path:
        changed.append(mixed)
    changed.append(location.split("?")[0])
    assert len(changed) >= 3
    for tampered in changed:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(tampered, timeout=10)
        assert refused.value.code == 403, tampered


def variations(location):
    """The location with one parameter after the other changed by one character."""
    parts = urllib.parse.urlsplit(location)
    pairs = urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
    for index, (key, value) in enumerate(pairs):
        last = "0" if value[-1:] != "0" else "1"
        changed = [*pairs]
        changed[index] = (key, value[:-1] + last)
        yield parts._replace(query=urllib.parse.urlencode(changed)).geturl()


def test_list_omits_what_the_service_omits(client, make):
    function = make(functions.ECHO)
    listed = {entry["FunctionName"]: entry for page in pages(client) for entry in page["Functions"]}
    entry = listed[function.name]
    full = function.configuration()
    absent = {"State", "LastUpdateStatus", "RuntimeVersionConfig"}
    assert not absent & set(entry)
    assert entry == {key: value for key, value in full.items() if key not in absent | {"ResponseMetadata"}}


def pages(client, **parameters):
    return client.get_paginator("list_functions").paginate(**parameters)


def test_list_pages_through_everything_once(client, make):
    mine = {make(functions.ECHO, name=functions.unique("page"), wait=False).name for _ in range(7)}
    seen = []
    for page in pages(client, PaginationConfig={"PageSize": 3}):
        assert len(page["Functions"]) <= 3
        seen += [entry["FunctionName"] for entry in page["Functions"]]
    assert len(seen) == len(set(seen))
    assert mine <= set(seen)


def test_a_page_holds_fifty_at_most(start_daemon, python):
    daemon = start_daemon()
    maker = functions.Maker(daemon, python, ROLE)
    for number in range(51):
        maker(functions.ECHO, name=f"many-{number:02}", wait=False)
    first = daemon.client().list_functions(MaxItems=1000)
    assert len(first["Functions"]) == 50 and first["NextMarker"]
    rest = daemon.client().list_functions(Marker=first["NextMarker"])
    assert len(rest["Functions"]) == 1 and "NextMarker" not in rest


def test_a_made_up_marker_is_refused(lenient):
    status, code, _ = error_of(lenient.list_functions, Marker="made-up")
    assert status == 400 and code in ("InvalidParameterValueException", "ValidationException")


# --- change ---


def test_new_code_is_run_and_has_a_new_hash(make):
    function = make(functions.ECHO)
    before = function.configuration()
    archive = functions.package(OTHER_ECHO)
    answer = function.client.update_function_code(FunctionName=function.name, ZipFile=archive)
    assert answer["State"] == "Active"
    assert answer["LastUpdateStatus"] == "InProgress"
    assert answer["LastUpdateStatusReason"] == "The function is being created."
    assert answer["LastUpdateStatusReasonCode"] == "Creating"
    assert (answer["CodeSha256"], answer["CodeSize"]) == (sha(archive), len(archive))
    assert answer["RevisionId"] != before["RevisionId"]
    function.client.get_waiter("function_updated_v2").wait(FunctionName=function.name)
    after = function.configuration()
    assert after["LastUpdateStatus"] == "Successful"
    assert after["RevisionId"] != answer["RevisionId"]
    assert function.invoke(1).ok() == {"other": 1}


def test_a_dry_run_of_new_code_changes_nothing(make):
    function = make(functions.ECHO)
    before = function.configuration()
    archive = functions.package(OTHER_ECHO)
    answer = function.client.update_function_code(FunctionName=function.name, ZipFile=archive, DryRun=True)
    assert answer["CodeSha256"] == sha(archive)
    after = function.configuration()
    assert (after["RevisionId"], after["CodeSha256"]) == (before["RevisionId"], before["CodeSha256"])
    assert function.invoke(1).ok() == 1


def test_settings_that_are_not_named_stay(make):
    function = make(functions.ECHO, Timeout=7, Environment={"Variables": {"KEY": "1"}}, Description="first")
    changed = function.update(Description="second")
    assert changed["Description"] == "second"
    assert (changed["Timeout"], changed["Environment"]) == (7, {"Variables": {"KEY": "1"}})
    cleared = function.update(Environment={"Variables": {}})
    assert cleared["Environment"] == {"Variables": {}}


def test_new_settings_reach_the_function(make):
    function = make("import os\ndef handler(e, c):\n    return [os.environ.get('KEY'), c.memory_limit_in_mb]\n")
    assert function.invoke({}).ok() == [None, "128"]
    function.update(Environment={"Variables": {"KEY": "now"}}, MemorySize=256)
    assert function.invoke({}).ok() == ["now", "256"]


@pytest.mark.parametrize("operation", ["code", "configuration"])
def test_a_stale_revision_is_refused(operation, make):
    function = make(functions.ECHO)
    wrong = {"FunctionName": function.name, "RevisionId": "00000000-0000-4000-8000-000000000000"}
    if operation == "code":
        call, parameters = function.client.update_function_code, {"ZipFile": functions.package(OTHER_ECHO)}
    else:
        call, parameters = function.client.update_function_configuration, {"Timeout": 9}
    assert error_of(call, **wrong, **parameters) == (
        412,
        "PreconditionFailedException",
        "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to "
        "retrieve the latest Revision Id",
    )


def test_the_right_revision_is_accepted(make):
    function = make(functions.ECHO)
    revision = function.configuration()["RevisionId"]
    assert function.update(RevisionId=revision, Timeout=11)["Timeout"] == 11


def test_every_write_makes_a_new_revision_even_a_redundant_one(make):
    function = make(functions.ECHO)
    seen = [function.configuration()["RevisionId"]]
    for _ in range(2):
        seen.append(function.update(Description="same")["RevisionId"])
    assert len(set(seen)) == 3


def test_last_modified_moves_forward(make):
    function = make(functions.ECHO)

    def modified():
        return datetime.datetime.strptime(function.configuration()["LastModified"], "%Y-%m-%dT%H:%M:%S.%f%z")

    first = modified()
    function.update(Description="later")
    assert modified() > first


# --- delete ---


def test_a_deleted_function_is_gone_and_its_name_is_free(client, make, python):
    function = make(functions.ECHO)
    function.invoke({})
    answer = client.delete_function(FunctionName=function.name)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert error_of(client.invoke, FunctionName=function.name)[0] == 404
    assert error_of(client.delete_function, FunctionName=function.name)[0] == 404
    make(OTHER_ECHO, name=function.name)
    assert function.invoke(2).ok() == {"other": 2}


def test_latest_alone_cannot_be_deleted(client, echo):
    assert error_of(client.delete_function, FunctionName=echo.name, Qualifier="$LATEST") == (
        400,
        "InvalidParameterValueException",
        "$LATEST version cannot be deleted without deleting the function.",
    )
