"""Terraform's resource for provisioned concurrency, unmodified: applied, planned without a difference, changed, destroyed."""

import pytest

from lib import functions, terraform
from lib.daemon import ROLE

CONFIGURATION = """
terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "endpoint" { type = string }
variable "function" { type = string }
variable "wanted" { type = number }

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true

  endpoints {
    lambda = var.endpoint
  }
}

resource "aws_lambda_provisioned_concurrency_config" "version" {
  function_name                     = var.function
  provisioned_concurrent_executions = var.wanted
  qualifier                         = "1"
}

resource "aws_lambda_provisioned_concurrency_config" "alias" {
  function_name                     = var.function
  provisioned_concurrent_executions = 1
  qualifier                         = "live"
}
"""


def requested(function):
    found = function.client.list_provisioned_concurrency_configs(FunctionName=function.name)
    return {
        it["FunctionArn"].rsplit(":", 1)[1]: (it["RequestedProvisionedConcurrentExecutions"], it["Status"])
        for it in found["ProvisionedConcurrencyConfigs"]
    }


@pytest.mark.own_daemon
def test_terraform_provisions_waits_until_it_is_ready_and_takes_it_back(start_daemon, tmp_path, python):
    mirror = terraform.mirror()
    daemon = start_daemon()
    function = functions.Maker(daemon, python, ROLE)(functions.ECHO)
    client, name = function.client, function.name
    client.publish_version(FunctionName=name)
    function.update(Description="two")
    client.publish_version(FunctionName=name)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="2")
    space = terraform.Workspace(tmp_path, mirror, endpoint=daemon.endpoint, function=name, wanted=1)
    (tmp_path / "main.tf").write_text(CONFIGURATION)
    space.init()
    space.apply()
    assert requested(function) == {"1": (1, "READY"), "live": (1, "READY")}
    assert space.plan() is None
    space.variables["wanted"] = 2
    space.apply()
    assert requested(function) == {"1": (2, "READY"), "live": (1, "READY")}
    assert space.plan() is None
    provisioned = client.put_provisioned_concurrency_config
    provisioned(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=1)
    assert "1 -> 2" in space.plan()
    space.destroy()
    assert requested(function) == {}
