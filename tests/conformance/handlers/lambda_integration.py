"""Stands in a package of packages; gives the event back."""

import json


def handler(event, context):
    print(json.dumps(event))
    return event
