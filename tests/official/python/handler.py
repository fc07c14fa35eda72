"""The function of test_official_clients.py on `awslambdaric`."""

import logging
import os
import time
import uuid

if os.environ.get("START") == "raise":
    raise RuntimeError("too early")
if os.environ.get("START") == "exit":
    os._exit(7)

INSTANCE = uuid.uuid4().hex
COUNT = 0


class Boom(Exception):
    pass


def context_of(context):
    client = context.client_context
    return {
        "request_id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "left_ms": context.get_remaining_time_in_millis(),
        "name": context.function_name,
        "version": context.function_version,
        "memory": int(context.memory_limit_in_mb),
        "group": context.log_group_name,
        "stream": context.log_stream_name,
        "trace": os.environ.get("_X_AMZN_TRACE_ID"),
        "client": client and {"custom": client.custom, "env": client.env, "installation": client.client.installation_id},
        "identity": context.identity.cognito_identity_id,
    }


def handler(event, context):
    global COUNT
    COUNT += 1
    what, value = event["do"], event.get("value")
    if what == "context":
        return context_of(context)
    if what == "print":
        print(f"printed {value}")
        logging.getLogger().warning("logged %s", value)
    if what == "fail":
        raise Boom(value)
    if what == "count":
        return {"instance": INSTANCE, "count": COUNT}
    if what == "sleep":
        time.sleep(value)
    if what == "exit":
        os._exit(value)
    if what == "large":
        return "x" * value
    if what == "unserialisable":
        return {1, 2}
    if what == "length":
        return len(value)
    return value
