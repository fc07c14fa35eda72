"""What a state directory of `tests/states` holds, how a client describes it, and what it looks like on disk.

The scene must stay what it is: an old release plays it, too, without the parts that it answers 501 to. A new family of
things gets a function of its own in `SCENE`, and a new archive (`make.py`).
"""

import contextlib
import json
import re
import sqlite3

import botocore.exceptions

from lib import disk, functions, waiting
from lib.daemon import ACCOUNT, REGION, ROLE, aws_client

BOOTSTRAP = functions.SHELL_HEAD + 'while :; do next; answer "\\"$STAGE $(cat /opt/said 2>/dev/null)\\""; done\n'
PLAIN, RICH = "plain", "rich"
# With what acts on other services, and with an update that failed.
BOUND, UNFINISHED = "bound", "unfinished"
NAMES = (PLAIN, RICH, BOUND, UNFINISHED)
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:queue"
STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/stream"
PROFILE = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/test/abc"
LAYER_TEXT = "layer"
# Where the clock, this host or the daemon's port show.
FLEETING = (
    "Location", "RuntimeVersionConfig", "FunctionUrl", "ResponseMetadata", "arn", "logGroupArn", "storedBytes",
    # Of provisioned concurrency, which is made anew at each start.
    "Status", "StatusReason", "AllocatedProvisionedConcurrentExecutions", "AvailableProvisionedConcurrentExecutions",
)


@contextlib.contextmanager
def if_built():
    """Leaves out what the release does not have."""
    try:
        yield
    except botocore.exceptions.ClientError as error:
        if not is_missing(error):
            raise


def is_missing(error):
    """Refused by name, or by a release that knew no such protocol: a 404 without an error document."""
    return error.response["ResponseMetadata"]["HTTPStatusCode"] == 501 or error.response["Error"]["Code"] == "404"


def code(word):
    return functions.package({"bootstrap": BOOTSTRAP, "word": word})


def code_that_says(word):
    return functions.package({"bootstrap": BOOTSTRAP.replace("/opt/said", "word"), "word": word})


def logs_client(daemon):
    return aws_client("logs", daemon.endpoint)


# --- playing it ---


def play_functions(daemon, client):
    for name, settings in (
        (PLAIN, {"Environment": {"Variables": {"STAGE": "kept secret"}}}),
        (RICH, {
            "Description": "all settings", "Timeout": 30, "MemorySize": 256, "Tags": {"team": "a"},
            "Environment": {"Variables": {"STAGE": "one", "OTHER": "ünïcode"}}, "EphemeralStorage": {"Size": 1024},
            "TracingConfig": {"Mode": "Active"},
            "LoggingConfig": {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "SystemLogLevel": "WARN"},
        }),
    ):
        client.create_function(
            FunctionName=name, Role=ROLE, Runtime="provided.al2023", Handler="h", Code={"ZipFile": code(name)}, **settings
        )
        functions.Function(client, name).wait()
    client.put_function_concurrency(FunctionName=RICH, ReservedConcurrentExecutions=3)


def play_versions(daemon, client):
    client.publish_version(FunctionName=RICH, Description="the first")
    functions.Function(client, RICH).update(Environment={"Variables": {"STAGE": "two"}})
    client.publish_version(FunctionName=RICH)
    client.create_alias(FunctionName=RICH, Name="live", FunctionVersion="1", Description="where it is")
    client.create_alias(
        FunctionName=RICH, Name="half", FunctionVersion="1", RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}}
    )


def play_layers(daemon, client):
    files = {"said": LAYER_TEXT}
    made = client.publish_layer_version(
        LayerName="words", Description="a layer", Content={"ZipFile": functions.package(files)},
        CompatibleRuntimes=["provided.al2023"], LicenseInfo="MIT",
    )
    client.add_layer_version_permission(
        LayerName="words", VersionNumber=1, StatementId="all", Action="lambda:GetLayerVersion", Principal="*"
    )
    functions.Function(client, PLAIN).update(Layers=[made["LayerVersionArn"]])


def play_permissions(daemon, client):
    for qualifier in ({}, {"Qualifier": "live"}):
        client.add_permission(
            FunctionName=RICH, StatementId="s3", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com",
            SourceAccount="000000000000", SourceArn="arn:aws:s3:::bucket", **qualifier,
        )


def play_urls(daemon, client):
    client.create_function_url_config(FunctionName=RICH, AuthType="NONE", Cors={"AllowOrigins": ["https://example.com"]})
    client.create_function_url_config(FunctionName=RICH, Qualifier="live", AuthType="AWS_IAM")


def play_conduct(daemon, client):
    client.put_function_event_invoke_config(
        FunctionName=RICH, MaximumRetryAttempts=1, DestinationConfig={"OnFailure": {"Destination": QUEUE}}
    )
    client.put_function_recursion_config(FunctionName=RICH, RecursiveLoop="Allow")
    client.put_runtime_management_config(FunctionName=RICH, UpdateRuntimeOn="FunctionUpdate")


def play_logs(daemon, client):
    logs = logs_client(daemon)
    logs.create_log_group(logGroupName="/kept", tags={"k": "v"})
    logs.put_retention_policy(logGroupName="/kept", retentionInDays=30)


def play_surroundings(daemon, client):
    """Settings that name what is elsewhere."""
    client.create_function(
        FunctionName=BOUND, Role=ROLE, Runtime="provided.al2023", Handler="h", Code={"ZipFile": code(BOUND)},
        Environment={"Variables": {"STAGE": "bound"}},
        VpcConfig={"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        FileSystemConfigs=[{
            "Arn": f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:access-point/fsap-0123456789abcdef0",
            "LocalMountPath": "/mnt/data",
        }],
        DeadLetterConfig={"TargetArn": QUEUE},
        KMSKeyArn=f"arn:aws:kms:{REGION}:{ACCOUNT}:key/01234567-89ab-4cde-8f01-23456789abcd",
        LoggingConfig={"LogFormat": "Text", "LogGroup": "/elsewhere"},
    )
    functions.Function(client, BOUND).wait()


def play_signing(daemon, client):
    made = client.create_code_signing_config(
        Description="who signs", AllowedPublishers={"SigningProfileVersionArns": [PROFILE]}, Tags={"k": "v"}
    )["CodeSigningConfig"]
    client.put_function_code_signing_config(FunctionName=BOUND, CodeSigningConfigArn=made["CodeSigningConfigArn"])


def play_mappings(daemon, client):
    for source, settings in (
        (QUEUE, {"BatchSize": 5, "FilterCriteria": {"Filters": [{"Pattern": '{"body": {"a": [1]}}'}]}}),
        (STREAM, {"StartingPosition": "LATEST", "Enabled": False, "Tags": {"k": "v"}}),
    ):
        uuid = client.create_event_source_mapping(FunctionName=BOUND, EventSourceArn=source, **settings)["UUID"]
        waiting.until(
            lambda uuid=uuid: client.get_event_source_mapping(UUID=uuid)["State"] in ("Enabled", "Disabled"),
            "the mapping is made",
        )


def play_provisioned(daemon, client):
    client.publish_version(FunctionName=BOUND)
    client.put_provisioned_concurrency_config(FunctionName=BOUND, Qualifier="1", ProvisionedConcurrentExecutions=1)


def play_a_failed_update(daemon, client):
    """What was before the update goes on serving."""
    client.create_function(
        FunctionName=UNFINISHED, Role=ROLE, Runtime="provided.al2023", Handler="h", Code={"ZipFile": code_that_says("before")},
        Environment={"Variables": {"STAGE": "kept secret"}},
    )
    functions.Function(client, UNFINISHED).wait()
    with disk.nothing_can_be_unpacked(daemon):
        client.update_function_code(FunctionName=UNFINISHED, ZipFile=code_that_says("after"))
        waiting.until(
            lambda: client.get_function_configuration(FunctionName=UNFINISHED)["LastUpdateStatus"] == "Failed",
            "the update has failed",
        )


SCENE = (
    play_functions, play_versions, play_layers, play_permissions, play_urls, play_conduct, play_logs, play_surroundings,
    play_signing, play_mappings, play_provisioned, play_a_failed_update,
)


def play(daemon):
    for part in SCENE:
        with if_built():
            part(daemon, daemon.client())


# --- what a client sees of it ---


def steady(value):
    """An answer without what changes from one daemon to the next."""
    if isinstance(value, dict):
        return {key: steady(it) for key, it in value.items() if key not in FLEETING}
    if isinstance(value, list):
        return [steady(it) for it in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def describe(daemon, names=NAMES):
    """Everything that the scene made, as the API tells it, of these functions. Parts that the release does not have are absent."""
    client, logs, told = daemon.client(), logs_client(daemon), {}

    def tell(what, call, **parameters):
        try:
            told[what] = steady(call(**parameters))
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                told[what] = None
            elif not is_missing(error):
                raise

    tell("functions", client.list_functions)
    tell("layers", client.list_layers)
    tell("layer", client.get_layer_version, LayerName="words", VersionNumber=1)
    tell("layer's policy", client.get_layer_version_policy, LayerName="words", VersionNumber=1)
    tell("log groups", logs.describe_log_groups, logGroupNamePrefix="/kept")
    tell("log group's tags", logs.list_tags_log_group, logGroupName="/kept")
    tell("mappings", client.list_event_source_mappings)
    tell("signing", client.list_code_signing_configs)
    for config in (told.get("signing") or {}).get("CodeSigningConfigs", ()):
        arn, who = config["CodeSigningConfigArn"], config["Description"]
        tell(f"{who}: functions", client.list_functions_by_code_signing_config, CodeSigningConfigArn=arn)
        tell(f"{who}: tags", client.list_tags, Resource=arn)
    for name in names:
        about = {"FunctionName": name}
        tell(f"{name}", client.get_function, **about)
        tell(f"{name}: versions", client.list_versions_by_function, **about)
        tell(f"{name}: aliases", client.list_aliases, **about)
        tell(f"{name}: concurrency", client.get_function_concurrency, **about)
        tell(f"{name}: policy", client.get_policy, **about)
        tell(f"{name}: policy of live", client.get_policy, Qualifier="live", **about)
        tell(f"{name}: URLs", client.list_function_url_configs, **about)
        tell(f"{name}: events", client.list_function_event_invoke_configs, **about)
        tell(f"{name}: recursion", client.get_function_recursion_config, **about)
        tell(f"{name}: runtime", client.get_runtime_management_config, **about)
        tell(f"{name}: signing", client.get_function_code_signing_config, **about)
        tell(f"{name}: provisioned", client.list_provisioned_concurrency_configs, **about)
    return told


def differences(old, new, path=""):
    """Where `new` does not say what `old` said. What it says beyond that may be a later release's."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [line for key in old for line in differences(old[key], new.get(key), f"{path}/{key}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [line for at, it in enumerate(old) for line in differences(it, new[at], f"{path}/{at}")]
    return [] if old == new else [f"{path}: was {old!r}, is {new!r}"]


# --- what it looks like on disk ---


def shape_of(value):
    """Names and types of a JSON value, without its contents."""
    if isinstance(value, dict):
        return {key: shape_of(it) for key, it in value.items()}
    if isinstance(value, list):
        return [shape_of(it) for it in value[:1]]
    return type(value).__name__


def families(state):
    """What kinds of documents the catalog of a state directory has."""
    with contextlib.closing(sqlite3.connect(f"file:{state / 'hearth.db'}?mode=ro", uri=True)) as catalog:
        return {family for (family,) in catalog.execute("SELECT DISTINCT family FROM documents")}


def on_disk(state):
    """The schema of a state directory's catalog, and the shape of every row: what a later release has to read."""
    with contextlib.closing(sqlite3.connect(f"file:{state / 'hearth.db'}?mode=ro", uri=True)) as catalog:
        version = catalog.execute("PRAGMA user_version").fetchone()[0]
        schema = catalog.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
        rows = {}
        for (table,) in catalog.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            cursor = catalog.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in cursor.description]
            shapes = {json.dumps(row_shape(names, row), sort_keys=True) for row in cursor}
            rows[table] = sorted(shapes)
    return {"version": version, "schema": [(name, re.sub(r"\s+", " ", sql)) for name, sql in schema], "rows": rows}


def row_shape(names, row):
    shape = {}
    for name, value in zip(names, row, strict=True):
        shape[name] = type(value).__name__
        if name == "family":
            shape[name] = value
        if isinstance(value, (str, bytes)):
            with contextlib.suppress(ValueError):
                shape[name] = shape_of(json.loads(value))
    return shape
