"""Tells the version of the interpreter."""

import sys


def handler(event, context):
    return {"version": "python%d.%d" % sys.version_info[:2]}
