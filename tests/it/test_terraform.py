"""Terraform and its AWS provider, unmodified: what is applied is planned again without a difference, in two stages.

The configuration lies in `terraform/`; a file that begins with `# needs: OPERATION` takes part as soon as that
operation is built. Everything runs once, in order: a state of Terraform's is the result of the steps before.
"""

import json
import re
import shutil
from pathlib import Path

import pytest

from lib import functions, terraform
from lib.daemon import REGION, REPOSITORY, ROLE, aws_client

CONFIGURATION = Path(__file__).parent / "terraform"
HANDLER = """
import os
import lay

def handler(event, context):
    return {{"code": {stage}, "layer": lay.STAGE, "variable": os.environ["STAGE"], "version": context.function_version,
             "event": event}}
"""


def built_by(daemon):
    """Names of the operations that this release has."""
    rows = json.loads(daemon.cli("api", "dump").stdout)
    return {row["operation"] for row in rows if row["state"] == "built"}


def write_packages(folder):
    folder.mkdir()
    for stage in (1, 2):
        code = functions.package({"index.py": HANDLER.format(stage=stage)})
        (folder / f"code{stage}.zip").write_bytes(code)
        layer = functions.package({"python/lay.py": f"STAGE = {stage}\n"})
        (folder / f"layer{stage}.zip").write_bytes(layer)


class Site:
    """A daemon, a workspace, and clients to look at what came of it."""

    def __init__(self, start, folder, python):
        mirror = terraform.mirror()
        self.daemon = start()
        self.built = built_by(self.daemon)
        write_packages(folder / "packages")
        self.folder = folder / "workspace"
        self.folder.mkdir()
        self.name = "infra"
        self.space = terraform.Workspace(
            self.folder, mirror, endpoint=self.daemon.endpoint, region=REGION, runtime=python, stage=1,
            packages=folder / "packages", name=self.name,
        )
        self.client = self.daemon.client()
        self.logs = aws_client("logs", self.daemon.endpoint)

    def has(self, operation):
        return operation in self.built

    def copy(self, *names):
        """Files of the configuration that this release can serve."""
        for path in sorted(CONFIGURATION.glob("*.tf")):
            needs = re.match(r"# needs: (\w+)\n", path.read_text())
            if (not names or path.name in names) and (needs is None or self.has(needs.group(1))):
                shutil.copy(path, self.folder)
        self.space.init()


@pytest.fixture
def site(start_daemon, tmp_path, python):
    # The daemon's own state is elsewhere; Terraform alone reads these folders.
    return Site(start_daemon, tmp_path, python)


def settings_of(site):
    got = site.client.get_function_configuration(FunctionName=site.name)
    return {
        "memory": got["MemorySize"],
        "variables": got["Environment"]["Variables"],
        "layers": [layer["Arn"].rsplit(":", 1)[1] for layer in got["Layers"]],
        "tmp": got["EphemeralStorage"]["Size"],
        "levels": (got["LoggingConfig"]["ApplicationLogLevel"], got["LoggingConfig"]["SystemLogLevel"]),
        "reserved": site.client.get_function_concurrency(FunctionName=site.name)["ReservedConcurrentExecutions"],
        "tags": site.client.list_tags(Resource=got["FunctionArn"])["Tags"],
    }


def statements(client, **about):
    return {it["Sid"]: it for it in json.loads(client.get_policy(**about)["Policy"])["Statement"]}


def check_first(site):
    client, name = site.client, site.name
    assert settings_of(site) == {
        "memory": 128, "variables": {"STAGE": "1", "LESS": "yes"}, "layers": ["1"], "tmp": 512,
        "levels": ("INFO", "WARN"), "reserved": 5, "tags": {"stage": "1", "less": "yes"},
    }
    told = site.space.outputs()
    assert told["invocation"] == {"code": 1, "layer": 1, "variable": "1", "version": "1", "event": {"stage": 1}}
    assert told["function"]["version"] == told["function"]["read_version"] == told["function"]["read_alias"] == "1"
    # A third where code signing is built.
    assert told["function"]["names"][:2] == [name, f"{name}-plain"]
    assert told["function"]["url"] == told["function"]["read_url"]
    cors = client.get_function_url_config(FunctionName=name)["Cors"]
    assert (cors["AllowOrigins"], cors["MaxAge"]) == (["https://example.com"], 60)
    assert statements(client, FunctionName=name)["events"]["Condition"]["ArnLike"]["AWS:SourceArn"].endswith("stage-1")
    assert client.get_runtime_management_config(FunctionName=f"{name}-plain")["UpdateRuntimeOn"] == "FunctionUpdate"


def check_second(site):
    client, name = site.client, site.name
    assert settings_of(site) == {
        "memory": 256, "variables": {"STAGE": "2", "MORE": "yes"}, "layers": ["2"], "tmp": 1024,
        "levels": ("DEBUG", "INFO"), "reserved": 7, "tags": {"stage": "2", "more": "yes"},
    }
    told = site.space.outputs()
    assert told["invocation"] == {"code": 2, "layer": 2, "variable": "2", "version": "2", "event": {"stage": 2}}
    alias = client.get_alias(FunctionName=name, Name="live")
    assert (alias["FunctionVersion"], alias["Description"]) == ("1", "stage 2")
    assert alias["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.25}}
    url = client.get_function_url_config(FunctionName=name)
    assert url["AuthType"] == "AWS_IAM" and not url.get("Cors")
    assert client.get_function_url_config(FunctionName=name, Qualifier="live")["InvokeMode"] == "RESPONSE_STREAM"
    assert statements(client, FunctionName=name)["events"]["Condition"]["ArnLike"]["AWS:SourceArn"].endswith("stage-2")
    assert set(statements(client, FunctionName=name, Qualifier="live")) == {"s3"}
    events = client.get_function_event_invoke_config(FunctionName=name)
    assert (events["MaximumRetryAttempts"], events["MaximumEventAgeInSeconds"]) == (1, 120)
    assert not events.get("DestinationConfig", {}).get("OnFailure")
    assert client.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Terminate"
    (group,) = site.logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{name}")["logGroups"]
    assert (group["logGroupName"], group["retentionInDays"]) == (f"/aws/lambda/{name}", 30)
    (layer,) = client.list_layer_versions(LayerName=name)["LayerVersions"]
    assert (layer["Version"], layer["Description"]) == (2, "layer of stage 2")


def left(site):
    """Whatever is still there."""
    client = site.client
    found = {
        "functions": client.list_functions(FunctionVersion="ALL")["Functions"],
        "layers": client.list_layers()["Layers"],
        "groups": site.logs.describe_log_groups()["logGroups"],
    }
    if site.has("CreateEventSourceMapping"):
        found["mappings"] = client.list_event_source_mappings()["EventSourceMappings"]
    if site.has("CreateCodeSigningConfig"):
        found["signing"] = client.list_code_signing_configs()["CodeSigningConfigs"]
    return {what: there for what, there in found.items() if there}


@pytest.mark.own_daemon
def test_everything_is_applied_changed_and_destroyed_and_planned_without_a_difference(site):
    site.copy()
    site.space.apply()
    check_first(site)
    assert site.space.plan() is None
    site.space.variables["stage"] = 2
    site.space.apply()
    check_second(site)
    assert site.space.plan() is None
    # What somebody else changes is a difference: the plans above could have failed.
    site.client.update_alias(FunctionName=site.name, Name="live", Description="by hand")
    assert '"by hand" -> "stage 2"' in site.space.plan()
    site.space.destroy()
    assert left(site) == {}


IMPORTED = """
import {
  to = aws_lambda_function.there
  id = "there"
}

import {
  to = aws_lambda_alias.there
  id = "there/live"
}

import {
  to = aws_lambda_function_url.there
  id = "there"
}

import {
  to = aws_lambda_permission.there
  id = "there/everybody"
}

import {
  to = aws_lambda_function_event_invoke_config.there
  id = "there"
}
"""


@pytest.mark.own_daemon
def test_what_is_there_already_is_taken_over_as_it_is(site, python):
    """Terraform writes the configuration itself from what it reads, and then has nothing to change."""
    client = site.client
    functions.Maker(site.daemon, python, ROLE)(
        functions.ECHO, name="there", client=client, MemorySize=192, Environment={"Variables": {"STAGE": "b"}}
    )
    client.publish_version(FunctionName="there")
    client.create_alias(FunctionName="there", Name="live", FunctionVersion="1")
    client.create_function_url_config(FunctionName="there", AuthType="NONE", Cors={"AllowOrigins": ["*"]})
    client.add_permission(
        FunctionName="there", StatementId="everybody", Action="lambda:InvokeFunctionUrl", Principal="*",
        FunctionUrlAuthType="NONE",
    )
    client.put_function_event_invoke_config(
        FunctionName="there", MaximumRetryAttempts=1, MaximumEventAgeInSeconds=120
    )
    site.copy("provider.tf")
    (site.folder / "imported.tf").write_text(IMPORTED)
    # The provider cannot know where the code came from, and asks for exactly one source.
    site.space.run("plan", "-input=false", "-generate-config-out=generated.tf", codes=(0, 1))
    generated = site.folder / "generated.tf"
    package = site.folder.parent / "packages" / "code1.zip"
    text = re.sub(r"(?m)^(\s+filename\s+=) null$", rf'\1 "{package}"', generated.read_text(), count=1)
    generated.write_text(text)
    shown = site.space.apply()
    assert "5 imported, 0 added, 1 changed, 0 destroyed." in shown, shown
    assert client.get_function_configuration(FunctionName="there")["MemorySize"] == 192
    assert site.space.plan() is None


def test_the_provider_block_of_the_readme_is_the_one_that_is_tested():
    readme = (REPOSITORY / "README.md").read_text()
    (shown,) = re.findall(r"```hcl\n(provider \"aws\" \{.*?\n\})\n```", readme, re.S)
    (used,) = re.findall(r"(?m)^provider \"aws\" \{.*?^\}$", (CONFIGURATION / "provider.tf").read_text(), re.S)
    used = used.replace("var.endpoint", '"http://127.0.0.1:3001"').replace("var.region", f'"{REGION}"')
    assert [line.split() for line in shown.splitlines()] == [line.split() for line in used.splitlines()]
