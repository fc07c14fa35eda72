"""Ends the runtime while it handles an event."""

import sys


def handler(event, context):
    sys.exit(0)
