"""Comes up on demand only."""

import os

if os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency":
    raise RuntimeError("not on demand")


def handler(event, context):
    return os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
