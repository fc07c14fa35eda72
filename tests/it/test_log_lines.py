"""Which events a function's output becomes, line for line, and what of it the tail of an answer shows."""

import json
import re

from lib import functions, waiting

# Prints until the moment at which it asks for its first event, and then answers.
LOUD_START = """
for number in range(200):
    print("init", number)
print("init, and no end", end="", flush=True)

def handler(event, context):
    print("handler")
    return event
"""
EMPTY_LINES = """
def handler(event, context):
    print("\\nmulti\\n\\nline\\n")
    print("")
    print(" ")
    return event
"""
COLD_STARTS = 20


def lines_of(daemon, function, wanted):
    """All messages of a function's log, once there are so many reports."""

    def reported():
        done = daemon.cli("logs", function.name, "--limit", 10_000, check=False)
        return done.stdout if done.stdout.count("REPORT RequestId: ") >= wanted else None

    return waiting.until(reported, f"{wanted} reports are in the log", 15)


def messages_of(daemon, function):
    """The same as the events themselves, with their line ends."""
    lines_of(daemon, function, 1)
    lines = daemon.cli("logs", function.name, "--json").stdout.removesuffix("\n").split("\n")
    return [json.loads(line)["message"] for line in lines]


def test_a_tail_begins_with_its_own_invocation_however_loud_the_start_was(daemon, make):
    function = make(LOUD_START)
    for number in range(COLD_STARTS):
        # Another revision, and so another environment.
        function.update(Description=f"start {number}")
        lines = function.invoke({}).log.splitlines()
        assert lines[0].startswith("START RequestId: "), lines[:3]
        assert lines[1] == "handler" and "Init Duration" in lines[-1]
    whole = lines_of(daemon, function, COLD_STARTS)
    assert len(re.findall(r"init 199$", whole, re.MULTILINE)) == COLD_STARTS
    assert len(re.findall(r"init, and no end", whole)) == COLD_STARTS, "what had no end comes before what follows"


def test_an_empty_line_is_no_event_and_is_in_the_tail(daemon, make):
    function = make(EMPTY_LINES)
    tail = function.invoke({}).log
    said = tail.split("Version: $LATEST\n")[1].split("END RequestId")[0]
    assert said == "\nmulti\n\nline\n\n\n \n"
    messages = messages_of(daemon, function)
    assert [one for one in messages if not re.match(r"[A-Z_]+ ", one)] == ["multi\n", "line\n", " \n"]


def test_a_program_of_ones_own_has_its_runtime_named_when_it_starts(daemon, make):
    function = make.bootstrap(functions.SHELL_ECHO)
    assert function.invoke({"a": 1}).ok() == {"a": 1}
    first = messages_of(daemon, function)[0]
    arn = function.configuration()["RuntimeVersionConfig"]["RuntimeVersionArn"]
    pattern = rf"INIT_START Runtime Version: provided:al2023\.v\S+\tRuntime Version ARN: {re.escape(arn)}\n"
    assert re.fullmatch(pattern, first), first
