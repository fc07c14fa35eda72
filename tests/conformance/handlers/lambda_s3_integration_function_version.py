"""Tells which variant of the function served which request; the wait is cut short."""

import os
import time


def handler(event, context):
    time.sleep(min(event.get("sleep_seconds", 0), 1))
    return {
        "function_version": context.function_version,
        "request_id": context.aws_request_id,
        "request_prefix": event.get("request_prefix"),
        "function_variant": os.environ.get("FUNCTION_VARIANT"),
    }
