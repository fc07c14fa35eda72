"""Tells the host of each test as it ends: one JSON line on the second serial line of the guest. A pytest plugin."""

import json

PLACE = "/dev/ttyS1"
TEXT_MAX = 6_000
ended = {}


def tell(**members):
    with open(PLACE, "w", encoding="utf-8") as line:
        line.write(json.dumps(members) + "\n")


def pytest_runtest_logstart(nodeid):
    tell(begun=nodeid)


def pytest_runtest_logreport(report):
    """Set-up, call and tear-down of one test become one outcome: the worst of them."""
    so_far = ended.setdefault(report.nodeid, {"outcome": "passed", "seconds": 0.0, "text": ""})
    so_far["seconds"] += report.duration
    if report.failed:
        so_far["outcome"] = "failed"
        so_far["text"] += f"{report.longreprtext}\n" + "\n".join(f"{name}\n{text}" for name, text in report.sections)
    elif report.skipped and so_far["outcome"] == "passed":
        so_far["outcome"] = "skipped"
        so_far["text"] = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if report.when == "teardown":
        tell(test=report.nodeid, **{**so_far, "text": so_far["text"][-TEXT_MAX:]})
