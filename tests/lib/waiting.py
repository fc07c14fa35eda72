"""Waiting for a condition, with a bound. Tests never sleep for a duration and hope."""

import os
import time

STEP_S = 0.02
# How much slower than usual this machine is: stretches bounds, never what is asserted. Set in the guest (tests/guest).
SLOWNESS = float(os.environ.get("HEARTH_SLOWNESS", "1"))


def stretched(seconds):
    """A bound for this machine, in whole seconds."""
    return int(seconds * SLOWNESS)


def until(condition, what, within_s=30.0):
    """Returns the first true value of `condition()`; fails after `within_s` seconds.

    `what` says what was waited for: a text, or a function that gives one at that moment.
    """
    within_s = within_s * SLOWNESS
    end = time.monotonic() + within_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError(f"not within {within_s:g} s: {what() if callable(what) else what}")
        time.sleep(STEP_S)
