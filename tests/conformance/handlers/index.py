"""Prints the event as JSON and gives it back."""

import json


def handler(event, context):
    print(json.dumps(event))
    return event
