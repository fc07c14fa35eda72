"""Tells the event and the context; stands in a package of packages, too."""

import json


def handler(event, context):
    print(json.dumps(event))
    names = (
        "invoked_function_arn",
        "function_version",
        "function_name",
        "memory_limit_in_mb",
        "aws_request_id",
        "log_group_name",
        "log_stream_name",
        "client_context",
    )
    return {"event": event, "context": {name: getattr(context, name) for name in names}}
