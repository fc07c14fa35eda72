# The README shows this provider block; tests/it/test_terraform.py holds it to that.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  region     = var.region
  access_key = "any"
  secret_key = "any"

  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true

  endpoints {
    lambda = var.endpoint
    logs   = var.endpoint
  }
}

variable "region" {
  type    = string
  default = "us-east-1"
}

variable "endpoint" {
  type = string
}
