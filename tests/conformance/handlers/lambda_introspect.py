"""Gives the event back: no case that calls it was kept with what it found out."""


def handler(event, context):
    return event
