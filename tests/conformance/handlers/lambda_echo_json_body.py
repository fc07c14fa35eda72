"""Answers what the body of the request says."""

import json


def handler(event, context):
    return json.loads(event["body"])
