"""Fails, whatever it is asked."""


def handler(event, context):
    raise Exception("some error occurred")
