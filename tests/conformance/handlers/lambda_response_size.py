"""Answers with as many bytes as the event says."""


def handler(event, context):
    return "a" * event["bytenum"]
