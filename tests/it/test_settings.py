"""What each setting of a function may be, how it is changed and taken away, and what happens during a change."""

import platform

import pytest

from lib import functions, interpreters
from lib.daemon import ACCOUNT, REGION, ROLE
from lib.functions import arn, error_of, package

INVALID = (400, "InvalidParameterValueException")
VALIDATION = (400, "ValidationException")
CONFLICT = (409, "ResourceConflictException")
OWN = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
OTHER = {"x86_64": "arm64", "arm64": "x86_64"}[OWN]
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:dead"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/01234567-89ab-4cde-8f01-23456789abcd"
ACCESS_POINT = f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:access-point/fsap-0123456789abcdef0"
FILES = [{"Arn": ACCESS_POINT, "LocalMountPath": "/mnt/data"}]
VPC = {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
NO_VPC = {"SubnetIds": [], "SecurityGroupIds": []}


@pytest.fixture
def refused(lenient, python, echo):
    """(status, code, message) with which both creation and update refuse these settings; they must agree."""

    def refused(**settings):
        creation = {"Runtime": python, **settings}
        created = error_of(
            lenient.create_function,
            FunctionName=functions.unique(),
            Role=ROLE,
            Handler="index.handler",
            Code={"ZipFile": package(functions.ECHO)},
            **creation,
        )
        before = echo.configuration()
        assert error_of(lenient.update_function_configuration, FunctionName=echo.name, **settings) == created
        after = echo.configuration()
        before.pop("ResponseMetadata"), after.pop("ResponseMetadata")
        assert after == before
        return created

    return refused


# --- numbers ---


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"MemorySize": 127}, VALIDATION),
        ({"MemorySize": 10241}, INVALID),
        ({"Timeout": 0}, VALIDATION),
        ({"Timeout": 901}, VALIDATION),
        ({"EphemeralStorage": {"Size": 511}}, VALIDATION),
        ({"EphemeralStorage": {"Size": 10241}}, VALIDATION),
        ({"Description": "x" * 257}, VALIDATION),
        ({"TracingConfig": {"Mode": "active"}}, VALIDATION),
    ],
)
def test_what_is_out_of_bounds_is_refused(refused, settings, expected):
    assert refused(**settings)[:2] == expected


def test_bounds_themselves_are_allowed_and_sizes_are_kept_apart(make):
    function = make(functions.ECHO, MemorySize=10240, Timeout=900, EphemeralStorage={"Size": 10240})
    small = function.update(MemorySize=128, Timeout=1, EphemeralStorage={"Size": 512})
    assert (small["MemorySize"], small["Timeout"], small["EphemeralStorage"]) == (128, 1, {"Size": 512})
    assert function.update(MemorySize=129)["Timeout"] == 1


# --- environment variables ---


def test_four_kilobytes_of_variables_as_json_are_allowed_and_no_byte_more(make, refused):
    def variables(size, filler):
        frame = len('{"KEY":""}')
        return {"Variables": {"KEY": filler * ((size - frame) // len(filler.encode()))}}

    function = make(functions.ECHO, Environment=variables(4096, "x"))
    function.update(Environment=variables(4096, "ü"))
    for filler, size in (("x", 4097), ("ü", 4098)):
        status, code, text = refused(Environment=variables(size, filler))
        assert (status, code) == INVALID
        assert "exceeded the 4KB limit. String measured: {" in text


@pytest.mark.parametrize("name", ["A", "1A", "A-B", "_A", "Ä1", "A B", ""])
def test_names_of_variables_have_two_characters_and_no_others(refused, name):
    assert refused(Environment={"Variables": {name: "x"}})[:2] == VALIDATION


@pytest.mark.parametrize(
    "name",
    [
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "LAMBDA_TASK_ROOT",
        "LAMBDA_RUNTIME_DIR",
    ],
)
def test_reserved_variables_are_refused_by_name(refused, name):
    status, code, text = refused(Environment={"Variables": {name: "x", "FINE": "y"}})
    if name.startswith("_"):
        # Their names are none that a variable may have.
        assert (status, code) == VALIDATION
        return
    assert (status, code) == INVALID
    assert text.startswith("Lambda was unable to configure your environment variables because the environment")
    assert text.endswith(f"Reserved keys used in this request: {name}")


def test_a_variable_that_no_program_could_be_started_with_is_refused(refused):
    status, code, text = refused(Environment={"Variables": {"KEY": "a\0b"}})
    assert (status, code) == INVALID and "KEY" in text


# --- logging ---


def test_log_settings_are_changed_one_by_one(make):
    function = make(functions.ECHO)
    group = f"/aws/lambda/{function.name}"

    def changed(**settings):
        return function.update(LoggingConfig=settings)["LoggingConfig"]

    levels = {"ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO"}
    assert changed(LogFormat="JSON") == {"LogFormat": "JSON", "LogGroup": group, **levels}
    warn = {**levels, "SystemLogLevel": "WARN"}
    assert changed(SystemLogLevel="WARN") == {"LogFormat": "JSON", "LogGroup": group, **warn}
    assert changed(LogGroup="/own/group") == {"LogFormat": "JSON", "LogGroup": "/own/group", **warn}
    # With the format the levels go.
    assert changed(LogFormat="Text") == {"LogFormat": "Text", "LogGroup": "/own/group"}
    assert changed(LogFormat="JSON") == {"LogFormat": "JSON", "LogGroup": "/own/group", **levels}


@pytest.mark.parametrize(
    "settings",
    [
        {"LogFormat": "json"},
        {"LogFormat": "JSON", "ApplicationLogLevel": "LOUD"},
        {"LogFormat": "JSON", "SystemLogLevel": "TRACE"},
        {"LogGroup": ""},
        {"LogGroup": "a:b"},
        {"LogGroup": "x" * 513},
    ],
)
def test_log_settings_out_of_the_model_are_refused(refused, settings):
    assert refused(LoggingConfig=settings)[:2] == VALIDATION


# --- tracing, architectures ---


def test_tracing_passes_through_until_it_is_active(make):
    function = make(functions.ECHO)
    assert function.configuration()["TracingConfig"] == {"Mode": "PassThrough"}
    assert function.update(TracingConfig={"Mode": "Active"})["TracingConfig"] == {"Mode": "Active"}
    assert function.update(Timeout=5)["TracingConfig"] == {"Mode": "Active"}


def test_the_machines_architecture_is_the_only_one(lenient, python, make):
    function = make(functions.ECHO)
    assert function.configuration()["Architectures"] == [OWN]
    code = {"ZipFile": package(functions.ECHO)}

    def create(architectures):
        return error_of(
            lenient.create_function,
            FunctionName=functions.unique(),
            Role=ROLE,
            Runtime=python,
            Handler="index.handler",
            Code=code,
            Architectures=architectures,
        )

    def update(architectures):
        return error_of(lenient.update_function_code, FunctionName=function.name, Architectures=architectures, **code)

    for attempt in (create, update):
        status, kind, text = attempt([OTHER])
        assert (status, kind) == INVALID and OWN in text
        for wrong in ([OWN, OTHER], [OWN.upper()], []):
            assert attempt(wrong)[:2] == VALIDATION, wrong
    lenient.update_function_code(FunctionName=function.name, Architectures=[OWN], **code)
    assert function.wait()["Architectures"] == [OWN]


# --- networks and file systems ---


def test_a_network_is_kept_changed_in_part_and_left(make):
    function = make(functions.ECHO, VpcConfig=VPC)
    kept = {**VPC, "VpcId": "", "Ipv6AllowedForDualStack": False}
    assert function.configuration()["VpcConfig"] == kept
    assert function.update(VpcConfig={"Ipv6AllowedForDualStack": True})["VpcConfig"] == {
        **kept,
        "Ipv6AllowedForDualStack": True,
    }
    assert function.update(VpcConfig={"SubnetIds": ["subnet-3"]})["VpcConfig"]["SubnetIds"] == ["subnet-3"]
    assert function.update(Timeout=5)["VpcConfig"]["SecurityGroupIds"] == ["sg-1"]
    left = function.update(VpcConfig=NO_VPC)["VpcConfig"]
    assert (left["SubnetIds"], left["SecurityGroupIds"], left["VpcId"]) == ([], [], "")
    assert function.invoke(1).ok() == 1
    assert "VpcConfig" not in make(functions.ECHO).configuration()


@pytest.mark.parametrize("vpc", [{**VPC, "SubnetIds": []}, {**VPC, "SecurityGroupIds": []}, {"SubnetIds": ["subnet-1"]}])
def test_subnets_and_security_groups_come_together(refused, vpc):
    assert refused(VpcConfig=vpc) == (*INVALID, "SubnetIds and SecurityIds must coexist or be both empty list.")


@pytest.mark.parametrize(
    "vpc",
    [
        {**VPC, "SubnetIds": ["net-1"]},
        {**VPC, "SecurityGroupIds": ["group"]},
        {**VPC, "SubnetIds": [f"subnet-{number}" for number in range(17)]},
        {**VPC, "SecurityGroupIds": [f"sg-{number}" for number in range(6)]},
    ],
)
def test_networks_out_of_the_model_are_refused(refused, vpc):
    assert refused(VpcConfig=vpc)[:2] == VALIDATION


def test_a_file_system_needs_a_network(make, refused):
    text = (
        f"Function must be configured to execute in a VPC to reference access point {ACCESS_POINT}. Please update the "
        "function configuration to include VPC subnets and security groups."
    )
    assert refused(FileSystemConfigs=FILES) == (*INVALID, text)
    assert refused(FileSystemConfigs=FILES, VpcConfig=NO_VPC) == (*INVALID, text)
    function = make(functions.ECHO, FileSystemConfigs=FILES, VpcConfig=VPC)
    assert function.configuration()["FileSystemConfigs"] == FILES
    update = function.client.update_function_configuration
    assert error_of(update, FunctionName=function.name, VpcConfig=NO_VPC) == (*INVALID, text)
    assert "FileSystemConfigs" not in function.update(FileSystemConfigs=[], VpcConfig=NO_VPC)


@pytest.mark.parametrize(
    "files",
    [
        [{"Arn": ACCESS_POINT, "LocalMountPath": "/data"}],
        [{"Arn": ACCESS_POINT, "LocalMountPath": "/mnt/a/b"}],
        [{"Arn": "arn:aws:s3:::bucket", "LocalMountPath": "/mnt/data"}],
        [{"LocalMountPath": "/mnt/data"}],
        FILES * 2,
    ],
)
def test_file_systems_out_of_the_model_are_refused(refused, files):
    assert refused(FileSystemConfigs=files, VpcConfig=VPC)[:2] == VALIDATION


# --- keys and dead letters ---


def test_a_key_is_kept_and_taken_away(make, refused):
    function = make(functions.ECHO, KMSKeyArn=KEY)
    assert function.configuration()["KMSKeyArn"] == KEY
    assert function.update(Timeout=5)["KMSKeyArn"] == KEY
    assert "KMSKeyArn" not in function.update(KMSKeyArn="")
    assert refused(KMSKeyArn="no key")[:2] == VALIDATION
    status, code, text = refused(KMSKeyArn=QUEUE)
    assert (status, code) == INVALID and "InvalidArnException" in text


@pytest.mark.parametrize("target", [QUEUE, TOPIC])
def test_a_dead_letter_target_is_kept_and_taken_away(make, target):
    function = make(functions.ECHO, DeadLetterConfig={"TargetArn": target})
    assert function.configuration()["DeadLetterConfig"] == {"TargetArn": target}
    assert function.update(Timeout=5)["DeadLetterConfig"] == {"TargetArn": target}
    assert "DeadLetterConfig" not in function.update(DeadLetterConfig={"TargetArn": ""})


def test_dead_letters_go_to_standard_queues_and_topics_only(refused):
    for target in (f"{QUEUE}.fifo", f"{TOPIC}.fifo", arn("other"), "arn:aws:s3:::bucket"):
        status, code, text = refused(DeadLetterConfig={"TargetArn": target})
        assert (status, code) == INVALID and target in text
    assert refused(DeadLetterConfig={"TargetArn": "dead"})[:2] == VALIDATION


# --- SnapStart, images ---


def snap_start(runtimes):
    """The first runtime of this host that SnapStart exists for, or does not."""
    return next((name for name in runtimes if name in interpreters.runtimes()), None)


def test_snap_start_is_kept_and_its_status_is_off_because_no_snapshot_is_made(make, client):
    runtime = snap_start(["python3.12", "python3.13", "python3.14"])
    if runtime is None:
        pytest.skip("no Python from 3.12 on on this host")
    function = make(functions.ECHO, runtime=runtime)
    assert function.configuration()["SnapStart"] == {"ApplyOn": "None", "OptimizationStatus": "Off"}
    asked = {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}
    assert function.update(SnapStart={"ApplyOn": "PublishedVersions"})["SnapStart"] == asked
    published = client.publish_version(FunctionName=function.name)
    assert published["SnapStart"] == asked
    assert function.invoke(1, Qualifier="1").ok() == 1
    update = client.update_function_configuration
    for settings, what in (
        ({"EphemeralStorage": {"Size": 513}}, "EphemeralStorage above 512 MB"),
        ({"FileSystemConfigs": FILES, "VpcConfig": VPC}, "FileSystemConfigs"),
        ({"Runtime": "provided.al2023"}, "provided.al2023"),
    ):
        text = f"{what} is not supported for SnapStart enabled functions."
        assert error_of(update, FunctionName=function.name, **settings) == (*INVALID, text)
    function.update(SnapStart={"ApplyOn": "None"}, EphemeralStorage={"Size": 513})


def test_snap_start_exists_for_some_runtimes_only(refused):
    old = snap_start(["python3.9", "python3.10", "python3.11"])
    for runtime in filter(None, [old, "provided.al2023"]):
        text = f"{runtime} is not supported for SnapStart enabled functions."
        assert refused(Runtime=runtime, SnapStart={"ApplyOn": "PublishedVersions"}) == (*INVALID, text)
    status, code, text = refused(SnapStart={"ApplyOn": "Sometimes"})
    assert (status, code) == VALIDATION and text.endswith("enum value set: [PublishedVersions, None]")


def test_functions_of_packages_have_no_image_settings(refused):
    for config in ({"Command": ["x"]}, {"WorkingDirectory": "/"}, {}):
        assert refused(ImageConfig=config)[:2] == INVALID, config


# --- changes ---


def busy_package(word):
    """A package that takes a while to unpack: many files, of which one answers `word`."""
    files = {f"data/{number // 100}/{number}": str(number) for number in range(30_000)}
    return package({**files, "index.py": f"def handler(event, context):\n    return {word!r}\n"})


@pytest.fixture
def updating(make, client):
    """A function to be updated: it answers `old`, and it has a tag."""
    function = make("def handler(event, context):\n    return 'old'\n")
    client.tag_resource(Resource=arn(function.name), Tags={"kept": "1"})
    assert function.invoke({}).ok() == "old"
    return function


def in_progress(function):
    return function.configuration()["LastUpdateStatus"] == "InProgress"


def test_during_an_update_the_old_code_serves_and_other_changes_are_refused(updating, client):
    name = updating.name
    message = (
        "The operation cannot be performed at this time. An update is in progress for resource: " + arn(name)
    )
    calls = {
        "code": lambda: client.update_function_code(FunctionName=name, ZipFile=package(functions.ECHO)),
        "configuration": lambda: client.update_function_configuration(FunctionName=name, Timeout=9),
        "version": lambda: client.publish_version(FunctionName=name),
        "tags": lambda: client.tag_resource(Resource=arn(name), Tags={"a": "1"}),
        "no tags": lambda: client.untag_resource(Resource=arn(name), TagKeys=["kept"]),
    }
    answer = client.update_function_code(FunctionName=name, ZipFile=busy_package("new"))
    assert (answer["State"], answer["LastUpdateStatus"]) == ("Active", "InProgress")
    # Each is looked at only while the update is seen to be under way right after it.
    for what, call in calls.items():
        assert error_of(call) == (*CONFLICT, message), what
        assert in_progress(updating), f"the update was over before {what} was tried: the package is too small"
    served = updating.invoke({}).ok()
    assert in_progress(updating), "the update was over before it was invoked: the package is too small"
    assert served == "old"
    during = updating.configuration()
    assert (during["State"], during["CodeSha256"]) == ("Active", answer["CodeSha256"])
    assert during["RevisionId"] == answer["RevisionId"]
    updating.wait()
    assert updating.invoke({}).ok() == "new"
    assert client.list_tags(Resource=arn(name))["Tags"] == {"kept": "1"}
    calls["configuration"]()
    updating.wait()


def test_while_a_function_is_created_it_cannot_be_changed(make, client):
    function = make(busy_package("made"), wait=False)
    name = function.name
    text = "The operation cannot be performed at this time. The function is currently in the following state: Pending"
    assert error_of(client.update_function_configuration, FunctionName=name, Timeout=9) == (*CONFLICT, text)
    assert error_of(client.publish_version, FunctionName=name) == (*CONFLICT, text)
    client.tag_resource(Resource=arn(name), Tags={"a": "1"})
    assert function.configuration()["State"] == "Pending", "it was ready too soon: the package is too small"
    function.wait()
    assert function.invoke({}).ok() == "made"
    assert client.list_tags(Resource=arn(name))["Tags"] == {"a": "1"}


def test_the_revision_changes_with_code_settings_states_and_versions_and_with_nothing_else(make, client):
    name = (function := make(functions.ECHO)).name

    def revision(qualifier="$LATEST"):
        return client.get_function_configuration(FunctionName=name, Qualifier=qualifier)["RevisionId"]

    seen = [revision()]
    answered = client.update_function_configuration(FunctionName=name, Timeout=9)["RevisionId"]
    function.wait()
    seen += [answered, revision()]
    answered = client.update_function_code(FunctionName=name, ZipFile=package("def handler(e, c):\n    return 1\n"))
    function.wait()
    seen += [answered["RevisionId"], revision()]
    version = client.publish_version(FunctionName=name)["RevisionId"]
    seen += [version, revision()]
    assert len(set(seen)) == len(seen)

    # The same version again, a check, and what is kept beside the settings.
    assert client.publish_version(FunctionName=name)["RevisionId"] == version
    client.update_function_code(FunctionName=name, ZipFile=package(functions.ECHO), DryRun=True)
    client.tag_resource(Resource=arn(name), Tags={"a": "1"})
    client.untag_resource(Resource=arn(name), TagKeys=["a"])
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    client.delete_function_concurrency(FunctionName=name)
    client.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")
    client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    alias = client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")["RevisionId"]
    assert revision() == seen[-1] and revision("1") == version
    assert alias not in seen


def test_a_dry_run_answers_as_the_update_would_and_refuses_what_it_would(make, client):
    function = make(functions.ECHO)
    before = function.configuration()
    new = package("def handler(e, c):\n    return 'new'\n")
    dry = client.update_function_code(FunctionName=function.name, ZipFile=new, DryRun=True, Publish=True)
    assert (dry["Version"], dry["CodeSize"]) == ("$LATEST", len(new))
    assert (dry["RevisionId"], dry["LastModified"]) == (before["RevisionId"], before["LastModified"])
    update = client.update_function_code
    stale = {"ZipFile": new, "RevisionId": functions.unique()}
    assert error_of(update, FunctionName=function.name, DryRun=True, **stale)[:2] == (412, "PreconditionFailedException")
    assert error_of(update, FunctionName=function.name, DryRun=True, ZipFile=b"no zip")[:2] == INVALID
    assert len(client.list_versions_by_function(FunctionName=function.name)["Versions"]) == 1
    assert function.configuration()["CodeSha256"] == before["CodeSha256"]
