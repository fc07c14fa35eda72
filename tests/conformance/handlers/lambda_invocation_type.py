"""Says what its environment was made for."""

import os


def handler(event, context):
    return os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
