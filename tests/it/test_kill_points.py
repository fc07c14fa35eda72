"""`kill -9` at a chosen write of the catalog: an operation is done or not done, whatever it consists of.

strace ends the daemon as its writer thread enters the n-th write (or the sync) of an operation. What a client is told
after the next start must be what it was told before, or what it is told after the whole operation.
"""

import contextlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import botocore.exceptions
import pytest

from lib import functions, waiting
from lib.daemon import REPOSITORY, ROLE

sys.path.insert(0, str(REPOSITORY / "tests" / "states"))

import scene  # noqa: E402

NAME, OTHER = scene.RICH, "other"
ARN = functions.arn(NAME)
# Before which write of an operation, before which sync of what was written, and before which word of it to others. An
# operation that has fewer of them is simply done.
POINTS = [("pwrite64", 2), ("fsync", 1), ("write", 1)]
# Enough for an operation that writes one document.
FEW_POINTS = POINTS[:2]
LONG_POINTS = [(call, n) for call, most in (("pwrite64", 24), ("fsync", 3), ("write", 3)) for n in range(1, most + 1)]
FLEETING = {
    "RevisionId", "LastModified", "CreatedDate", "LastModifiedTime", "CreationTime", "creationTime",
    # Drawn by lot.
    "UUID", "EventSourceMappingArn", "CodeSigningConfigId", "CodeSigningConfigArn",
}
DROPPED = (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError)


def create(client, name):
    client.create_function(
        FunctionName=name, Role=ROLE, Runtime="provided.al2023", Handler="h", Code={"ZipFile": scene.code(name)},
        Environment={"Variables": {"STAGE": "one"}}, Tags={"a": "b"},
    )


def create_whole(client):
    """A function with everything that goes when it goes."""
    create(client, OTHER)
    functions.Function(client, OTHER).wait()
    version = client.publish_version(FunctionName=OTHER)["Version"]
    client.create_alias(FunctionName=OTHER, Name="live", FunctionVersion=version)
    client.create_function_url_config(FunctionName=OTHER, Qualifier="live", AuthType="NONE")
    client.put_function_event_invoke_config(FunctionName=OTHER, MaximumRetryAttempts=1)
    client.add_permission(
        FunctionName=OTHER, StatementId="s", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com"
    )


def delete_newest_version(client):
    found = client.list_versions_by_function(FunctionName=NAME)["Versions"]
    client.delete_function(FunctionName=NAME, Qualifier=found[-1]["Version"])


def publish_layer(client):
    client.publish_layer_version(LayerName=OTHER, Content={"ZipFile": functions.package({"a": "b"})})


def delete_layer(client):
    for version in client.list_layer_versions(LayerName=OTHER)["LayerVersions"]:
        client.delete_layer_version(LayerName=OTHER, VersionNumber=version["Version"])


def update_with_version(client):
    """Code and a version of it: two changes, one operation."""
    client.update_function_code(FunctionName=NAME, ZipFile=scene.code("changed"), Publish=True)


def undo_update_with_version(client):
    delete_newest_version(client)
    client.update_function_code(FunctionName=NAME, ZipFile=scene.code(NAME))


def mapping(client, source):
    """The mapping of a source, by its id."""
    return client.list_event_source_mappings(EventSourceArn=source)["EventSourceMappings"][0]["UUID"]


def signing(client, description):
    configs = client.list_code_signing_configs()["CodeSigningConfigs"]
    return next(it["CodeSigningConfigArn"] for it in configs if it["Description"] == description)


def attach_signing(client):
    client.put_function_code_signing_config(**RAW, CodeSigningConfigArn=signing(client, "who signs"))


def resize_batches(size):
    return lambda client: client.update_event_source_mapping(UUID=mapping(client, scene.QUEUE), BatchSize=size)


def on(method, **parameters):
    return lambda client: getattr(client, method)(**parameters)


# What is done, and how it is undone; undoing is an operation that is killed, too, where it is one.
RAW = {"FunctionName": NAME}
BOUND = functions.arn(scene.BOUND)
ANYBODY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "lambda:InvokeFunction", "Resource": BOUND}],
}
STATEMENT = {"LayerName": "words", "VersionNumber": 1, "StatementId": "n"}
NEW_QUEUE = f"{scene.QUEUE}-new"
# The small families: one document each.
DOCUMENTS = {
    "a layer's permission": (
        on("add_layer_version_permission", **STATEMENT, Action="lambda:GetLayerVersion", Principal="111122223333"),
        on("remove_layer_version_permission", **STATEMENT),
    ),
    "a whole policy": (
        on("put_resource_policy", ResourceArn=BOUND, Policy=json.dumps(ANYBODY)),
        on("delete_resource_policy", ResourceArn=BOUND),
    ),
    "a URL's settings": (
        on("update_function_url_config", **RAW, AuthType="AWS_IAM", Cors={}),
        on("update_function_url_config", **RAW, AuthType="NONE", Cors={"AllowOrigins": ["https://example.com"]}),
    ),
    "a mapping": (
        on("create_event_source_mapping", **RAW, EventSourceArn=NEW_QUEUE),
        lambda client: client.delete_event_source_mapping(UUID=mapping(client, NEW_QUEUE)),
    ),
    "a mapping's settings": (resize_batches(7), resize_batches(5)),
    "a code signing configuration": (
        on("create_code_signing_config", Description="new", AllowedPublishers={"SigningProfileVersionArns": [scene.PROFILE]}),
        lambda client: client.delete_code_signing_config(CodeSigningConfigArn=signing(client, "new")),
    ),
    "a function's code signing": (attach_signing, on("delete_function_code_signing_config", **RAW)),
    "provisioned concurrency": (
        on("put_provisioned_concurrency_config", **RAW, Qualifier="1", ProvisionedConcurrentExecutions=1),
        on("delete_provisioned_concurrency_config", **RAW, Qualifier="1"),
    ),
    "what is done about recursion": (
        on("put_function_recursion_config", **RAW, RecursiveLoop="Terminate"),
        on("put_function_recursion_config", **RAW, RecursiveLoop="Allow"),
    ),
    "how a runtime is updated": (
        on("put_runtime_management_config", **RAW, UpdateRuntimeOn="Auto"),
        on("put_runtime_management_config", **RAW, UpdateRuntimeOn="FunctionUpdate"),
    ),
}
PAIRS = {
    "a function": (lambda client: create(client, OTHER), on("delete_function", FunctionName=OTHER)),
    "settings": (
        on("update_function_configuration", **RAW, Timeout=9, MemorySize=512),
        on("update_function_configuration", **RAW, Timeout=30, MemorySize=256),
    ),
    "a version": (on("publish_version", **RAW), delete_newest_version),
    "code with a version": (update_with_version, undo_update_with_version),
    "an alias": (
        on("create_alias", **RAW, Name="new", FunctionVersion="1"), on("delete_alias", **RAW, Name="new")
    ),
    "an alias's way": (
        on("update_alias", **RAW, Name="live", FunctionVersion="2", Description="moved"),
        on("update_alias", **RAW, Name="live", FunctionVersion="1", Description="where it is"),
    ),
    "a permission": (
        on("add_permission", **RAW, StatementId="n", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com"),
        on("remove_permission", **RAW, StatementId="n"),
    ),
    "a URL": (
        on("create_function_url_config", **RAW, Qualifier="half", AuthType="NONE"),
        on("delete_function_url_config", **RAW, Qualifier="half"),
    ),
    "an event invoke configuration": (
        on("put_function_event_invoke_config", **RAW, Qualifier="half", MaximumRetryAttempts=0),
        on("delete_function_event_invoke_config", **RAW, Qualifier="half"),
    ),
    "tags": (
        on("tag_resource", Resource=ARN, Tags={"team": "b", "more": "c"}),
        lambda client: (
            client.untag_resource(Resource=ARN, TagKeys=["more"]),
            client.tag_resource(Resource=ARN, Tags={"team": "a"}),
        ),
    ),
    "a reservation": (
        on("put_function_concurrency", **RAW, ReservedConcurrentExecutions=9),
        on("put_function_concurrency", **RAW, ReservedConcurrentExecutions=3),
    ),
    "a layer": (publish_layer, delete_layer),
    "the end of a function with everything": (on("delete_function", FunctionName=OTHER), create_whole),
    **DOCUMENTS,
}


# Numbers are never given twice: 1 and 2 are there from the beginning, and all of `other`'s are new each time.
NUMBER = re.compile(rf"^(?:[3-9]|\d\d+)$|(?<=:{NAME}:)[3-9]$|(?<=:{NAME}:)\d\d+$|(?<=:{OTHER}:)\d+$")


def plain(value):
    """Without times, revisions and new numbers of versions."""
    if isinstance(value, dict):
        return {key: plain(it) for key, it in value.items() if key not in FLEETING}
    if isinstance(value, list):
        return [plain(it) for it in value]
    return NUMBER.sub("N", value) if isinstance(value, str) else value


def mappings_rest(client):
    found = client.list_event_source_mappings()["EventSourceMappings"]
    return all(it["State"] in ("Enabled", "Disabled") for it in found)


def seen(daemon):
    """What a client is told, once nothing is under way any more."""
    client = daemon.client()
    told = {"layers": client.list_layers()["Layers"], "functions": client.list_functions()["Functions"]}
    for one in told["functions"]:
        if one["FunctionName"] in (NAME, OTHER):
            functions.Function(client, one["FunctionName"]).wait()
    waiting.until(lambda: mappings_rest(client), "no mapping is being changed")
    told = scene.describe(daemon, (NAME, scene.BOUND))
    # In the order of what is drawn by lot.
    told["mappings"]["EventSourceMappings"].sort(key=lambda it: it["EventSourceArn"])
    told["signing"]["CodeSigningConfigs"].sort(key=lambda it: it["Description"])
    if any(one["FunctionName"] == OTHER for one in told["functions"]["Functions"]):
        about = {"FunctionName": OTHER}
        told["other"] = scene.steady([
            [version["CodeSha256"] for version in client.list_versions_by_function(**about)["Versions"]],
            [alias["AliasArn"] for alias in client.list_aliases(**about)["Aliases"]],
            client.list_function_url_configs(**about)["FunctionUrlConfigs"],
            client.list_function_event_invoke_configs(**about)["FunctionEventInvokeConfigs"],
        ])
    for layer in told["layers"]["Layers"]:
        layer["LatestMatchingVersion"].pop("Version")
    return plain(told)


def writer_of(daemon):
    """The thread that writes the catalog."""
    for task in Path(f"/proc/{daemon.pid}/task").iterdir():
        with contextlib.suppress(OSError):
            if (task / "comm").read_text().strip() == "catalog-writer":
                return task.name
    raise AssertionError("the daemon has no thread `catalog-writer`")


class Killer:
    """strace on the writer: at the n-th of a system call from now on, the daemon is dead before it is made."""

    def __init__(self, daemon, call, count):
        self.process = subprocess.Popen(
            ["strace", "-p", writer_of(daemon), "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={count}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        first = self.process.stderr.readline()
        if "attached" not in first:
            self.end()
            pytest.skip(f"strace cannot watch a process here: {first.strip()}")

    def end(self):
        self.process.terminate()
        self.process.communicate(timeout=30)


@pytest.fixture(scope="module")
def played(start_module_daemon):
    if shutil.which("strace") is None:
        pytest.skip("no strace on this machine")
    # It starts often, and its functions bring what they run on: no need to look for interpreters each time.
    daemon = start_module_daemon(environment={"HOME": "/nonexistent", "PATH": "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"})
    scene.play(daemon)
    return daemon


def kill_at(daemon, point, operation):
    """Runs an operation with the daemon killed at a point of it; whether it was answered, and whether it was killed."""
    killer = Killer(daemon, *point)
    try:
        operation(daemon.client(timeout_s=20))
        answered = True
        # The rest of it is done behind the answer.
        for one in (NAME, OTHER):
            with contextlib.suppress(daemon.client().exceptions.ResourceNotFoundException):
                functions.Function(daemon.client(), one).wait()
        killed = not daemon.is_running()
    except DROPPED:
        answered = "answered" in locals()
        killed = True
        waiting.until(lambda: daemon.process.poll() is not None, "the daemon is dead", within_s=20)
    finally:
        killer.end()
    return answered, killed


@pytest.mark.own_daemon
@pytest.mark.parametrize("what", PAIRS)
def test_an_operation_that_is_killed_is_done_or_not_done(what, played, long_run, figure):
    do, undo = PAIRS[what]
    if what == "the end of a function with everything":
        undo(played.client())
    if what == "a version":
        # Else there is nothing new to publish.
        played.client().update_function_configuration(**RAW, Description="not published")
    before = seen(played)
    do(played.client())
    done = seen(played)
    assert done != before
    undo(played.client())
    assert seen(played) == before, "undone"
    counts = {"done": 0, "not done": 0}
    points = FEW_POINTS if what in DOCUMENTS else POINTS
    for point in LONG_POINTS if long_run else points:
        answered, killed = kill_at(played, point, do)
        if killed:
            played.kill()
            played.start()
        now = seen(played)
        assert now in (before, done), (point, scene.differences(before, now), scene.differences(done, now))
        assert not answered or now == done, f"{point}: answered, and not done"
        if killed:
            counts["done" if now == done else "not done"] += 1
        if now == done:
            undo(played.client())
            assert seen(played) == before, f"{point}: undone"
    figure("kills that left it done, not done", f"{counts['done']}, {counts['not done']}")
    assert counts["done"] > 0 and counts["not done"] > 0, "the kills came before and after"
    if what == "the end of a function with everything":
        do(played.client())
