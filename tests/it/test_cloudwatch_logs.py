"""The CloudWatch Logs API over functions' logs, as boto3 and the aws CLI use it; LoggingConfig on real logs."""

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest
from botocore.config import Config

from lib import daemon as daemons
from lib import functions, waiting
from lib.daemon import ACCOUNT, REGION
from lib.functions import UUID, error_of, unique

PRINTS = "def handler(event, context):\n    print('line', event)\n    return event\n"
ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
DAY_MS = 86_400_000


def now_ms():
    return int(time.time() * 1000)


def arn_of(group):
    return f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}"


def logs_client(daemon, validate=True):
    config = Config(
        connect_timeout=5,
        read_timeout=30,
        retries={"total_max_attempts": 1},
        parameter_validation=validate,
        # `streaming-127.0.0.1` is no name of this endpoint.
        inject_host_prefix=False,
    )
    return daemons.aws_client("logs", daemon.endpoint, config)


@pytest.fixture(scope="module")
def logs(daemon):
    return logs_client(daemon)


@pytest.fixture
def group(logs):
    """A group that no function writes to."""
    name = unique("/test/group")
    logs.create_log_group(logGroupName=name)
    yield name
    with contextlib.suppress(logs.exceptions.ResourceNotFoundException):
        logs.delete_log_group(logGroupName=name)


def put(logs, group, stream, events):
    """Events as (milliseconds, text); the stream is made if need be."""
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
    entries = [{"timestamp": ms, "message": text} for ms, text in events]
    return logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=entries)


def messages(answer):
    return [event["message"] for event in answer["events"]]


def filtered(logs, group, pattern=None, **parameters):
    if pattern is not None:
        parameters["filterPattern"] = pattern
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, **parameters)
    return [event for page in pages for event in page["events"]]


def complete(logs, group, count):
    """All events of a function's group, once so many reports are among them."""

    def reported():
        events = filtered(logs, group)
        return events if sum("REPORT RequestId: " in event["message"] for event in events) >= count else None

    return waiting.until(reported, f"{count} reports are in {group}", 15)


# --- what functions log ---


def test_a_functions_log_is_a_group_with_one_stream_per_environment(logs, make):
    function = make(PRINTS)
    group = f"/aws/lambda/{function.name}"
    ids = [function.invoke(n).request_id for n in range(3)]
    events = complete(logs, group, 3)

    (described,) = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert (described["logGroupName"], described["arn"]) == (group, arn_of(group) + ":*")
    assert described["logGroupArn"] == arn_of(group)
    assert described["storedBytes"] > 0 and abs(described["creationTime"] - now_ms()) < DAY_MS
    (stream,) = logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream["logStreamName"])
    assert stream["arn"] == f"{arn_of(group)}:log-stream:{stream['logStreamName']}"
    assert stream["firstEventTimestamp"] == events[0]["timestamp"]
    assert stream["lastEventTimestamp"] == events[-1]["timestamp"]

    assert {event["logStreamName"] for event in events} == {stream["logStreamName"]}
    assert len({event["eventId"] for event in events}) == len(events)
    texts = [event["message"] for event in events]
    assert [text for text in texts if text.startswith("line ")] == ["line 0\n", "line 1\n", "line 2\n"]
    assert [text.split()[2] for text in texts if text.startswith("START ")] == ids
    answer = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
    assert messages(answer) == texts


def test_reading_right_after_an_answer_misses_nothing(logs, make):
    function = make(PRINTS)
    group = f"/aws/lambda/{function.name}"
    for n in range(20):
        function.invoke(n, tail=False)
        found = filtered(logs, group, f'"line {n}"')
        assert [event["message"] for event in found] == [f"line {n}\n"]


def test_two_functions_can_share_a_group(logs, make):
    group = unique("/shared/by-two")
    one, two = (make(PRINTS, LoggingConfig={"LogGroup": group}) for _ in range(2))
    one.invoke("one")
    two.invoke("two")
    complete(logs, group, 2)
    streams = [stream["logStreamName"] for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]]
    patterns = [rf"\d{{4}}/\d\d/\d\d/{name}\[\$LATEST\][0-9a-f]{{32}}" for name in (one.name, two.name)]
    assert all(any(re.fullmatch(pattern, stream) for stream in streams) for pattern in patterns), streams
    of_one = next(stream for stream in streams if one.name in stream)
    texts = [event["message"] for event in filtered(logs, group, logStreamNames=[of_one])]
    assert "line one\n" in texts and "line two\n" not in texts
    assert logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{one.name}")["logGroups"] == []
    logs.delete_log_group(logGroupName=group)


def test_a_group_outlives_its_function_and_comes_back_after_deletion(logs, make):
    function = make(PRINTS)
    group = f"/aws/lambda/{function.name}"
    function.invoke("first")
    complete(logs, group, 1)
    logs.delete_log_group(logGroupName=group)
    assert error_of(logs.filter_log_events, logGroupName=group)[1] == "ResourceNotFoundException"
    function.invoke("second")
    texts = [event["message"] for event in complete(logs, group, 1)]
    assert "line second\n" in texts and "line first\n" not in texts
    function.client.delete_function(FunctionName=function.name)
    assert "line second\n" in [event["message"] for event in filtered(logs, group)]
    logs.delete_log_group(logGroupName=group)


# --- groups ---


def test_groups_are_made_tagged_kept_and_deleted(logs):
    name = unique("/test/life")
    logs.create_log_group(logGroupName=name, tags={"a": "1"})
    again = error_of(logs.create_log_group, logGroupName=name)
    assert again == (400, "ResourceAlreadyExistsException", "The specified log group already exists")
    assert logs.list_tags_for_resource(resourceArn=arn_of(name))["tags"] == {"a": "1"}
    logs.tag_resource(resourceArn=arn_of(name), tags={"b": "2"})
    logs.untag_resource(resourceArn=arn_of(name), tagKeys=["a"])
    assert logs.list_tags_log_group(logGroupName=name)["tags"] == {"b": "2"}
    (described,) = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert "retentionInDays" not in described
    logs.put_retention_policy(logGroupName=name, retentionInDays=7)
    assert logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"][0]["retentionInDays"] == 7
    assert error_of(logs.put_retention_policy, logGroupName=name, retentionInDays=8)[1] == "InvalidParameterException"
    logs.delete_retention_policy(logGroupName=name)
    assert "retentionInDays" not in logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"][0]
    logs.delete_log_group(logGroupName=name)
    assert logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"] == []
    missing = error_of(logs.delete_log_group, logGroupName=name)
    assert missing == (400, "ResourceNotFoundException", "The specified log group does not exist.")


def test_events_beyond_a_groups_retention_are_not_shown(logs, group):
    put(logs, group, "s", [(now_ms() - 3 * DAY_MS, "old")])
    put(logs, group, "s", [(now_ms(), "new")])
    assert [event["message"] for event in filtered(logs, group)] == ["old", "new"]
    logs.put_retention_policy(logGroupName=group, retentionInDays=1)
    assert [event["message"] for event in filtered(logs, group)] == ["new"]
    rejected = put(logs, group, "s", [(now_ms() - 2 * DAY_MS, "expired")])["rejectedLogEventsInfo"]
    assert rejected == {"expiredLogEventEndIndex": 1}


def test_groups_come_in_pages_and_by_part_of_their_names(logs):
    stem = unique("/test/pages")
    names = [f"{stem}/{number}" for number in range(5)]
    for name in reversed(names):
        logs.create_log_group(logGroupName=name)
    pages = list(
        logs.get_paginator("describe_log_groups").paginate(
            logGroupNamePrefix=stem, PaginationConfig={"PageSize": 2}
        )
    )
    assert [len(page["logGroups"]) for page in pages] == [2, 2, 1]
    assert [group["logGroupName"] for page in pages for group in page["logGroups"]] == names
    part = stem.removeprefix("/test/").upper()
    found = logs.describe_log_groups(logGroupNamePattern=part)["logGroups"]
    assert [group["logGroupName"] for group in found] == names
    for name in names:
        logs.delete_log_group(logGroupName=name)


def test_settings_survive_a_restart_with_the_events(start_daemon, python):
    daemon = start_daemon()
    logs = logs_client(daemon)
    logs.create_log_group(logGroupName="kept", tags={"k": "v"})
    logs.put_retention_policy(logGroupName="kept", retentionInDays=30)
    put(logs, "kept", "s", [(now_ms(), "still there")])
    daemon.stop()
    daemon.start()
    logs = logs_client(daemon)
    (described,) = logs.describe_log_groups()["logGroups"]
    assert (described["logGroupName"], described["retentionInDays"]) == ("kept", 30)
    assert logs.list_tags_for_resource(resourceArn=arn_of("kept"))["tags"] == {"k": "v"}
    assert messages(logs.get_log_events(logGroupName="kept", logStreamName="s")) == ["still there"]


# --- streams and events ---


def test_streams_are_ordered_by_name_or_by_their_last_events(logs, group):
    base = now_ms()
    for name, age in (("b", 1_000), ("a", 3_000), ("c", 2_000)):
        put(logs, group, name, [(base - age, name)])
    logs.create_log_stream(logGroupName=group, logStreamName="empty")
    again = error_of(logs.create_log_stream, logGroupName=group, logStreamName="a")
    assert again[1] == "ResourceAlreadyExistsException"

    def names(**parameters):
        pages = logs.get_paginator("describe_log_streams").paginate(
            logGroupName=group, PaginationConfig={"PageSize": 3}, **parameters
        )
        return [stream["logStreamName"] for page in pages for stream in page["logStreams"]]

    assert names() == ["a", "b", "c", "empty"]
    assert names(descending=True) == ["empty", "c", "b", "a"]
    assert names(orderBy="LastEventTime", descending=True) == ["b", "c", "a", "empty"]
    assert names(logStreamNamePrefix="e") == ["empty"]
    both = error_of(
        logs.describe_log_streams, logGroupName=group, orderBy="LastEventTime", logStreamNamePrefix="a"
    )
    assert both[1] == "InvalidParameterException"


def test_a_reader_that_follows_tokens_sees_everything_once_and_the_end_by_the_same_token(logs, group):
    base = now_ms() - 10_000
    put(logs, group, "s", [(base + n // 2, f"event {n}") for n in range(25)])
    read, token = [], None
    for _ in range(10):
        extra = {"nextToken": token} if token else {"startFromHead": True}
        answer = logs.get_log_events(logGroupName=group, logStreamName="s", limit=10, **extra)
        read += messages(answer)
        if answer["nextForwardToken"] == token:
            break
        token = answer["nextForwardToken"]
    assert read == [f"event {n}" for n in range(25)]
    put(logs, group, "s", [(now_ms(), "later")])
    answer = logs.get_log_events(logGroupName=group, logStreamName="s", nextToken=token)
    assert messages(answer) == ["later"]

    # Without startFromHead the last ones come first, and one goes back from there.
    backwards, token = [], None
    for _ in range(10):
        extra = {"nextToken": token} if token else {}
        answer = logs.get_log_events(logGroupName=group, logStreamName="s", limit=10, **extra)
        backwards = messages(answer) + backwards
        if answer["nextBackwardToken"] == token:
            break
        token = answer["nextBackwardToken"]
    assert backwards == [f"event {n}" for n in range(25)] + ["later"]


def test_a_reader_of_an_empty_stream_sees_what_comes(logs, group):
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    answer = logs.get_log_events(logGroupName=group, logStreamName="s")
    assert answer["events"] == []
    put(logs, group, "s", [(now_ms(), "first")])
    answer = logs.get_log_events(logGroupName=group, logStreamName="s", nextToken=answer["nextForwardToken"])
    assert messages(answer) == ["first"]


def test_times_bound_what_is_read(logs, group):
    base = now_ms() - 10_000
    put(logs, group, "s", [(base + n, str(n)) for n in range(5)])
    answer = logs.get_log_events(logGroupName=group, logStreamName="s", startTime=base + 1, endTime=base + 3)
    assert messages(answer) == ["1", "2"], "the end is exclusive in GetLogEvents"
    found = filtered(logs, group, startTime=base + 1, endTime=base + 3)
    assert [event["message"] for event in found] == ["1", "2", "3"], "and inclusive in FilterLogEvents"


def test_filtered_events_come_in_order_of_time_across_streams_and_in_pages(logs, group):
    base = now_ms() - 10_000
    put(logs, group, "odd", [(base + n, str(n)) for n in range(1, 40, 2)])
    put(logs, group, "even", [(base + n, str(n)) for n in range(0, 40, 2)])
    events = filtered(logs, group, PaginationConfig={"PageSize": 7})
    assert [event["message"] for event in events] == [str(n) for n in range(40)]
    assert [event["message"] for event in filtered(logs, group, logStreamNamePrefix="od")] == [
        str(n) for n in range(1, 40, 2)
    ]
    unknown = error_of(logs.filter_log_events, logGroupName=group, logStreamNames=["odd", "none"])
    assert unknown == (400, "ResourceNotFoundException", "The specified log stream does not exist.")


def test_an_answer_has_at_most_a_mebibyte(logs, group):
    base = now_ms() - 10_000
    for n in range(6):
        put(logs, group, "s", [(base + 10 * n + i, f"{n}.{i} " + "x" * 200_000) for i in range(4)])
    pages = list(logs.get_paginator("filter_log_events").paginate(logGroupName=group))
    sizes = [sum(len(event["message"]) for event in page["events"]) for page in pages]
    assert max(sizes) <= 1_048_576 and sum(len(page["events"]) for page in pages) == 24
    heads = [event["message"].split()[0] for page in pages for event in page["events"]]
    assert heads == [f"{n}.{i}" for n in range(6) for i in range(4)]


def test_events_too_old_or_too_new_are_named_and_the_rest_is_kept(logs, group):
    now = now_ms()
    answer = put(logs, group, "s", [(now - 1000, "kept"), (now + 3 * 3_600_000, "too new")])
    assert answer["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 1}
    answer = put(logs, group, "s", [(now - 15 * DAY_MS, "too old")])
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    assert [event["message"] for event in filtered(logs, group)] == ["kept"]
    assert error_of(put, logs, group, "s", [(now, "b"), (now - 1, "a")])[1] == "InvalidParameterException"


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("ERROR", {"plain error", "quoted"}),
        ("?ERROR ?WARN", {"plain error", "quoted", "warning"}),
        ("ERROR -timeout", {"quoted"}),
        ('"two words"', {"quoted"}),
        ('{ $.level = "ERROR" && $.code >= 500 }', {"json 503"}),
        ("{ $.level = \"ERROR\" || $.tags[*] = blue }", {"json 404", "json 503", "json blue"}),
        ("{ $.code NOT EXISTS }", {"json blue"}),
        ("[ip, user, request = \"GET *\", status = 4*]", {"access"}),
        ("[..., status > 400]", {"access"}),
        ("%ERROR.*two%", {"quoted"}),
        ("nowhere", set()),
    ],
)
def test_filter_patterns_choose_messages(logs, patterned, pattern, wanted):
    group, names = patterned
    assert {names[event["message"]] for event in filtered(logs, group, pattern)} == wanted


@pytest.fixture(scope="module")
def patterned(logs):
    texts = {
        "plain error": "ERROR: timeout while reading",
        "quoted": "ERROR: here are two words",
        "warning": "WARN: nothing happened",
        "json 503": '{"level": "ERROR", "code": 503}',
        "json 404": '{"level": "ERROR", "code": 404}',
        "json blue": '{"level": "INFO", "tags": ["red", "blue"]}',
        "access": '10.0.0.1 frank "GET /index.html" 404',
    }
    # In JSON and elsewhere, what is printed is matched, not what is meant.
    texts["json 503"] = texts["json 503"].replace("ERROR", "ERR\\u004fR")
    texts["json 404"] = texts["json 404"].replace("ERROR", "ERR\\u004fR")
    group = unique("/test/patterns")
    logs.create_log_group(logGroupName=group)
    base = now_ms() - 1000
    put(logs, group, "s", [(base + n, text) for n, text in enumerate(texts.values())])
    yield group, {text: name for name, text in texts.items()}
    logs.delete_log_group(logGroupName=group)


def test_what_is_wrong_with_a_request_is_said_as_the_service_does(daemon, logs, group):
    assert error_of(logs.filter_log_events, logGroupName=group, filterPattern="{ $.a")[:2] == (
        400,
        "InvalidParameterException",
    )
    stream = error_of(logs.get_log_events, logGroupName=group, logStreamName="none")
    assert stream == (400, "ResourceNotFoundException", "The specified log stream does not exist.")
    lenient = logs_client(daemon, validate=False)
    status, code, message = error_of(lenient.create_log_group, logGroupName="no blanks")
    assert (status, code) == (400, "InvalidParameterException")
    assert message.startswith("1 validation error detected: Value 'no blanks' at 'logGroupName' failed to satisfy")
    assert error_of(lenient.describe_log_groups, limit=51)[1] == "InvalidParameterException"
    assert error_of(lenient.describe_log_groups, limit="many")[1] == "SerializationException"
    assert error_of(logs.describe_metric_filters)[1] == "UnknownOperationException"
    assert error_of(logs.describe_log_groups, nextToken="!")[1] == "InvalidParameterException"


# --- LoggingConfig ---


def json_records(logs, group, until):
    """The platform's records of a JSON function, once one of this type is there."""

    def found():
        events = [json.loads(event["message"]) for event in filtered(logs, group, "{ $.type = platform.* }")]
        return events if any(event["type"] == until for event in events) else None

    return waiting.until(found, f"a {until} record is in {group}", 15)


def test_a_json_function_logs_start_and_report_as_records(logs, make):
    function = make(PRINTS, LoggingConfig={"LogFormat": "JSON"})
    result = function.invoke("x")
    records = json_records(logs, f"/aws/lambda/{function.name}", "platform.report")
    assert [record["type"] for record in records] == ["platform.initStart", "platform.start", "platform.report"]
    assert all(re.fullmatch(ISO, record["time"]) for record in records)
    init, start, report = (record["record"] for record in records)
    assert (init["initializationType"], init["phase"]) == ("on-demand", "init")
    assert (init["functionName"], init["functionVersion"]) == (function.name, "$LATEST")
    assert init["runtimeVersion"].startswith("python:") and init["runtimeVersionArn"].startswith("arn:aws:lambda:")
    assert start == {"requestId": result.request_id, "version": "$LATEST"}
    assert (report["requestId"], report["status"]) == (result.request_id, "success")
    metrics = report["metrics"]
    assert set(metrics) == {"durationMs", "billedDurationMs", "memorySizeMB", "maxMemoryUsedMB", "initDurationMs"}
    assert metrics["memorySizeMB"] == 128 and metrics["billedDurationMs"] >= metrics["durationMs"]
    # No line of the text format is left, not in the tail either.
    assert not re.search(rf"^(START|END|REPORT) RequestId: {UUID}", result.log, re.MULTILINE)
    assert [json.loads(line)["type"] for line in result.log.splitlines() if '"platform.' in line] == [
        "platform.start",
        "platform.report",
    ]


def test_debug_adds_the_runtimes_part_and_warn_leaves_out_what_went_well(logs, make):
    debug = make(PRINTS, LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "DEBUG"})
    debug.invoke("x")
    records = json_records(logs, f"/aws/lambda/{debug.name}", "platform.report")
    types = [record["type"].removeprefix("platform.") for record in records]
    assert types == ["initStart", "initRuntimeDone", "initReport", "start", "runtimeDone", "report"]
    done = records[4]["record"]
    assert (done["status"], done["metrics"]["producedBytes"]) == ("success", len('"x"'))

    source = "import os\ndef handler(e, c):\n    if e == 'die': os._exit(3)\n    return e\n"
    warn = make(source, LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "WARN"})
    warn.invoke("x")
    died = warn.invoke("die")
    assert died.error == "Unhandled"
    records = json_records(logs, f"/aws/lambda/{warn.name}", "platform.report")
    assert [record["type"].removeprefix("platform.") for record in records] == ["runtimeDone", "report"]
    for record in records:
        assert record["record"]["requestId"] == died.request_id
        assert (record["record"]["status"], record["record"]["errorType"]) == ("error", "Runtime.ExitError")


def test_a_timeout_is_a_record(logs, make):
    function = make(functions.SLEEP, Timeout=1, LoggingConfig={"LogFormat": "JSON"})
    result = function.invoke({"seconds": 30})
    assert result.error == "Unhandled"
    report = json_records(logs, f"/aws/lambda/{function.name}", "platform.report")[-1]["record"]
    assert (report["requestId"], report["status"]) == (result.request_id, "timeout")


def test_changing_the_format_changes_the_next_environments_log(logs, make):
    function = make(PRINTS)
    assert "START RequestId: " in function.invoke("x").log
    function.update(LoggingConfig={"LogFormat": "JSON"})
    assert '"type":"platform.start"' in function.invoke("y").log
    moved = unique("/moved/to")
    function.update(LoggingConfig={"LogFormat": "Text", "LogGroup": moved})
    function.invoke("z")
    assert "line z\n" in [event["message"] for event in complete(logs, moved, 1)]
    logs.delete_log_group(logGroupName=moved)


def test_lines_that_a_custom_runtime_prints_are_filtered_by_their_level(logs, make):
    stamp = "2026-01-02T03:04:05.678Z"
    script = functions.SHELL_HEAD + (
        "while :; do next\n"
        """echo '{"level":"debug","message":"quiet"}'\n"""
        f"""echo '{{"level":"error","timestamp":"{stamp}","message":"loud"}}'\n"""
        """echo 'no json'\n"""
        'answer "$event"; done\n'
    )
    settings = {"LogFormat": "JSON", "ApplicationLogLevel": "WARN"}
    function = make.bootstrap(script, LoggingConfig=settings)
    function.invoke("x")
    group = f"/aws/lambda/{function.name}"
    json_records(logs, group, "platform.report")
    events = {event["message"]: event for event in filtered(logs, group)}
    assert not any("quiet" in text for text in events) and "no json\n" in events
    (loud,) = (event for text, event in events.items() if "loud" in text)
    assert loud["timestamp"] == 1_767_323_045_678
    assert loud["ingestionTime"] > loud["timestamp"]


# --- following ---


class LiveTail:
    """A Live Tail session read beside the test."""

    def __init__(self, client, **parameters):
        self.stream = client.start_live_tail(**parameters)["responseStream"]
        self.started = None
        self.results = []
        self.updates = 0
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        # Closing ends it with an error of the connection that was closed.
        with contextlib.suppress(Exception):
            for event in self.stream:
                if "sessionStart" in event:
                    self.started = event["sessionStart"]
                elif "sessionUpdate" in event:
                    self.results += event["sessionUpdate"]["sessionResults"]
                    self.updates += 1

    def close(self):
        self.stream.close()
        self.reader.join(10)


def test_live_tail_shows_what_is_logged_as_it_is_logged(daemon, logs, make):
    function = make(PRINTS)
    group = f"/aws/lambda/{function.name}"
    function.invoke("before")
    complete(logs, group, 1)
    client = logs_client(daemon)
    tail = LiveTail(client, logGroupIdentifiers=[arn_of(group)], logEventFilterPattern='"line"')
    try:
        waiting.until(lambda: tail.started and tail.updates, "the session has begun", 15)
        assert tail.started["logGroupIdentifiers"] == [arn_of(group)]
        assert tail.started["logEventFilterPattern"] == '"line"'
        for n in range(3):
            function.invoke(n)
        waiting.until(lambda: len(tail.results) >= 3, "three events came", 15)
        assert [result["message"] for result in tail.results] == [f"line {n}\n" for n in range(3)]
        first = tail.results[0]
        assert first["logGroupIdentifier"] == f"{ACCOUNT}:{group}"
        assert first["logStreamName"].endswith("]" + first["logStreamName"][-32:])
        assert abs(first["timestamp"] - now_ms()) < DAY_MS
    finally:
        tail.close()


def test_live_tail_sessions_are_bounded_and_given_back(start_daemon, python):
    daemon = start_daemon()
    logs, group = logs_client(daemon), "watched"
    logs.create_log_group(logGroupName=group)
    tails = []
    try:
        for _ in range(15):
            tails.append(LiveTail(logs_client(daemon), logGroupIdentifiers=[arn_of(group)]))
        refused = error_of(logs.start_live_tail, logGroupIdentifiers=[arn_of(group)])
        assert refused[1] == "LimitExceededException"
    finally:
        for tail in tails:
            tail.close()

    def is_free():
        # Each client has exception classes of its own.
        client = logs_client(daemon)
        with contextlib.suppress(client.exceptions.LimitExceededException):
            LiveTail(client, logGroupIdentifiers=[arn_of(group)]).close()
            return True

    waiting.until(is_free, "a session that ended gave its place back", 15)

    def refusal():
        """Of a group that is not there, once the last session's place is free as well."""
        code = error_of(logs.start_live_tail, logGroupIdentifiers=[arn_of(group + "/none")])[1]
        return code if code != "LimitExceededException" else None

    assert waiting.until(refusal, "a place is free", 15) == "ResourceNotFoundException"


@contextlib.contextmanager
def following(command, environment=None):
    """A command that prints as things happen; gives a function that waits for a text in what it printed."""
    extra = {"PYTHONUNBUFFERED": "1", **(environment or {})}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=daemons.clean_environment(extra)
    )
    os.set_blocking(process.stdout.fileno(), False)
    seen = bytearray()

    def shows(text):
        seen.extend(process.stdout.read() or b"")
        return text.encode() in seen

    def wait_for(text):
        waiting.until(lambda: shows(text), lambda: f"{text!r} in {bytes(seen)!r}", 30)
        return seen.decode()

    try:
        yield wait_for
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        process.stdout.close()


def aws_2():
    """An aws CLI of version 2: `aws logs tail` is not in version 1."""
    for folder in os.get_exec_path():
        program = os.path.join(folder, "aws")
        if os.access(program, os.X_OK):
            told = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60)
            if told.stdout.startswith("aws-cli/2"):
                return program
    pytest.skip("no AWS CLI 2 on this host: `aws logs tail` cannot be tried")


def test_aws_logs_tail_follows(daemon, make):
    program = aws_2()
    function = make(PRINTS)
    group = f"/aws/lambda/{function.name}"
    function.invoke("first")
    tail = [program, "--endpoint-url", daemon.endpoint, "logs", "tail", group]
    with following([*tail, "--follow"]) as wait_for:
        wait_for("line first")
        function.invoke("second")
        text = wait_for("line second")
        function.invoke("third")
        text = wait_for("line third")
    assert [text.count(f"line {word}\n") for word in ("first", "second", "third")] == [1, 1, 1]
    shown = daemons.run([*tail, "--filter-pattern", "REPORT"], None, True, 90, {}).stdout
    assert shown.count("REPORT RequestId: ") == 3 and "line" not in shown


def test_aws_logs_live_tail_works_without_the_prefix_of_its_host(daemon, make):
    function = make(PRINTS)
    group = f"/aws/lambda/{function.name}"
    function.invoke("first")
    command = daemon.aws_command("start-live-tail", "--log-group-identifiers", arn_of(group), service="logs")
    with following(command, {"AWS_DISABLE_HOST_PREFIX_INJECTION": "true"}) as wait_for:
        stop = threading.Event()

        def invoke():
            while not stop.wait(0.5):
                function.invoke("live", tail=False)

        caller = threading.Thread(target=invoke)
        caller.start()
        try:
            wait_for("line live")
        finally:
            stop.set()
            caller.join(30)


def test_the_aws_cli_describes_and_reads(daemon, make):
    function = make(PRINTS)
    group = f"/aws/lambda/{function.name}"
    function.invoke("x")
    described = json.loads(
        daemon.aws("describe-log-groups", "--log-group-name-prefix", group, service="logs").stdout
    )
    assert [one["logGroupName"] for one in described["logGroups"]] == [group]
    streams = json.loads(daemon.aws("describe-log-streams", "--log-group-name", group, service="logs").stdout)
    name = streams["logStreams"][0]["logStreamName"]
    words = ["get-log-events", "--log-group-name", group, "--log-stream-name", name]
    read = json.loads(daemon.aws(*words, service="logs").stdout)
    assert "line x\n" in [event["message"] for event in read["events"]]
