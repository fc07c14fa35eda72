"""Tells what came to the function's URL; without the headers that the way there added, if it is asked to."""

import json
import os


def handler(event, context):
    headers = event["headers"]
    if os.environ["TRIM_X_HEADERS"] == "1":
        headers = {name: value for name, value in headers.items() if not name.startswith("x-")}
    body = event.get("body")
    if headers.get("content-type") == "application/json":
        body = json.loads(body)
    about = event["requestContext"]
    return {
        "args": event.get("queryStringParameters", {}),
        "data": body,
        "domain": about["domainName"],
        "headers": headers,
        "method": about["http"]["method"],
        "origin": about["http"]["sourceIp"],
        "path": about["http"]["path"],
    }
