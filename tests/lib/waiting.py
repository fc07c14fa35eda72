"""Waiting for a condition, with a bound. Tests never sleep for a duration and hope."""

import time

STEP_S = 0.02


def until(condition, what, within_s=30.0):
    """Returns the first true value of `condition()`; fails after `within_s` seconds.

    `what` says what was waited for: a text, or a function that gives one at that moment.
    """
    end = time.monotonic() + within_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError(f"not within {within_s:g} s: {what() if callable(what) else what}")
        time.sleep(STEP_S)
