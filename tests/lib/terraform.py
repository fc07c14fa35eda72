"""Terraform with its provider for AWS, unmodified, against a daemon: commands in a folder of their own.

Nothing is downloaded: the provider has to lie on this machine, as a file mirror in one of Terraform's places or where
`HEARTH_TERRAFORM_PLUGINS` points.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from . import waiting
from .daemon import clean_environment

PROVIDER = "registry.terraform.io/hashicorp/aws"
MIRRORS = (
    os.environ.get("HEARTH_TERRAFORM_PLUGINS"),
    "/opt/tf-plugins",
    "/usr/local/share/terraform/plugins",
    "/usr/share/terraform/plugins",
    os.path.expanduser("~/.terraform.d/plugins"),
)
SHOWN = 12_000
# The provider is large: on a busy machine its start alone takes a minute, and each command starts it twice.
COMMAND_WITHIN_S = 1_200


def mirror():
    """The folder with the provider; the calling test is skipped where Terraform or the provider is missing."""
    if shutil.which("terraform") is None:
        pytest.skip("no terraform on this machine")
    found = [place for place in MIRRORS if place and any(Path(place, PROVIDER).glob("*"))]
    if not found:
        pytest.skip("no AWS provider for terraform on this machine; HEARTH_TERRAFORM_PLUGINS may name its folder")
    return found[0]


class Workspace:
    """One folder with configuration and state."""

    def __init__(self, folder, mirror, **variables):
        self.folder = Path(folder)
        self.mirror = mirror
        self.variables = variables

    def run(self, command, *arguments, codes=(0,)):
        """One command of Terraform's; gives its exit code and what it printed."""
        empty = self.folder / "cli.tfrc"
        empty.touch()
        environment = {
            "TF_CLI_CONFIG_FILE": str(empty),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
            **{f"TF_VAR_{name}": str(value) for name, value in self.variables.items()},
        }
        done = subprocess.run(
            ["terraform", command, *arguments, "-no-color"],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=waiting.stretched(COMMAND_WITHIN_S),
            env=clean_environment(environment),
        )
        assert done.returncode in codes, f"terraform {command}: exit {done.returncode}\n{done.stdout[-SHOWN:]}"
        return done.returncode, done.stdout

    def init(self):
        self.run("init", "-input=false", f"-plugin-dir={self.mirror}")

    def apply(self):
        return self.run("apply", "-auto-approve", "-input=false")[1]

    def destroy(self):
        return self.run("destroy", "-auto-approve", "-input=false")[1]

    def plan(self):
        """What Terraform would change, or nothing at all."""
        code, shown = self.run("plan", "-detailed-exitcode", "-input=false", codes=(0, 2))
        return shown if code == 2 else None

    def outputs(self):
        text = self.run("output", "-json")[1]
        return {name: about["value"] for name, about in json.loads(text).items()}
