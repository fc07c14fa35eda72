"""The comparer itself: what it lets through and what it catches."""

import pytest
from compare import MISSING, Bindings, compare

ID = "12345678-1234-4234-8234-123456789abc"
OTHER = "87654321-1234-4234-8234-123456789abc"


def differences(expected, actual, **known):
    return [
        one.place
        for one in compare(expected, actual, Bindings(known.get("known", {})), "", known.get("optional", frozenset()))
    ]


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ({"a": 1, "b": [True, None]}, {"b": [True, None], "a": 1}),
        ("<uuid:1>", ID),
        ("<code-size>", 276),
        ("date", "2024-05-01T12:34:56.789+0000"),
        ("timestamp", 1714567890123),
        ("arn:<partition>:lambda:<region>:1:function:<function-name:1>", "arn:aws:lambda:us-east-1:1:function:f"),
        ("<<code-sha-256>:1>", "abc="),
        (
            "[INFO]\tdate\t<request-id>\ttext",
            f"[INFO]\t2024-05-01T12:34:56.789Z\t{ID}\ttext",
        ),
        ("date\t<request-id>\tINFO\t{}\n", f"2024-05-01T12:34:56.789Z\t{ID}\tINFO\t{{}}\n"),
        ("REPORT <request-id>\tDuration: <duration> ms\t\n", f"REPORT {ID}\tDuration: 3.01 ms\t\n"),
        ("pattern: ([a-z]+) <x>", "pattern: ([a-z]+) anything"),
        ("no date here", "no date here"),
        (None, None),
    ],
)
def test_what_is_the_same_passes(expected, actual):
    assert differences(expected, actual) == []


@pytest.mark.parametrize(
    ("expected", "actual", "places"),
    [
        ({"a": 1}, {"a": 2}, ["a"]),
        ({"a": 1}, {"a": True}, ["a"]),
        ({"a": 1}, {"a": "1"}, ["a"]),
        ({"a": {"b": 1}}, {"a": {}}, ["a.b"]),
        ({"a": {}}, {"a": {"b": 1}}, ["a.b"]),
        ({"a": [1, 2]}, {"a": [1]}, ["a"]),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, ["a[1].b"]),
        ("<uuid:1>", "no uuid", [""]),
        ("date", "", [""]),
        ("date", None, [""]),
        ("text", None, [""]),
        ("a <duration> b", "a x b", [""]),
        ("<code-size>", "many", [""]),
    ],
)
def test_what_differs_is_named_by_its_place(expected, actual, places):
    assert differences(expected, actual) == places


def test_a_variable_has_one_value():
    assert differences({"a": "<uuid:1>", "b": "<uuid:1>"}, {"a": ID, "b": ID}) == []
    assert differences({"a": "<uuid:1>", "b": "<uuid:1>"}, {"a": ID, "b": OTHER}) == ["b"]


def test_two_revisions_are_two_values():
    assert differences({"a": "<uuid:1>", "b": "<uuid:2>"}, {"a": ID, "b": OTHER}) == []
    assert differences({"a": "<uuid:1>", "b": "<uuid:2>"}, {"a": ID, "b": ID}) == ["b"]


def test_a_placeholder_without_number_is_anything_each_time():
    assert differences(["<duration>", "<duration>"], ["1.00", "2.00"]) == []


def test_a_known_variable_is_held_to():
    known = {"function-name:1": "f"}
    assert differences("arn:<function-name:1>", "arn:f", known=known) == []
    assert differences("arn:<function-name:1>", "arn:g", known=known) == [""]


def test_members_newer_than_the_recording_may_be_optional():
    assert differences({"a": 1}, {"a": 1, "new": 2}, optional=frozenset({"new"})) == []
    assert differences({"a": 1, "new": 3}, {"a": 1, "new": 2}, optional=frozenset({"new"})) == ["new"]


def test_a_failed_match_binds_nothing():
    bindings = Bindings()
    assert compare("<uuid:1> <uuid:1>", f"{ID} {OTHER}", bindings)
    assert bindings.values == {}


def test_a_difference_tells_both_sides():
    (one,) = compare({"a": 1}, {}, Bindings())
    assert (one.expected, one.actual) == (1, MISSING)
    assert "a: recorded 1, got nothing" in repr(one)
