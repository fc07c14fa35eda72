"""Tells the trace id it sees."""

import os


def handler(event, context):
    return {"trace_id_outside_handler": os.environ.get("_X_AMZN_TRACE_ID")}
