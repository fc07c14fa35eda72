"""Prints the body of the event."""


def handler(event, context):
    print(event["body"])
