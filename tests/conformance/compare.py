"""Compares an answer with a recorded one in which everything that differs from run to run is a placeholder.

A placeholder stands in angle brackets: `<uuid:1>`, `<function-name:1>`, `<duration>`. One with a number is a variable:
within one case it has one value, and two different ones of the same kind that must differ (revisions) do differ. One
without a number stands for any text. A few bare words (`date`, `timestamp`) are placeholders, too. The comparer knows
nothing of particular operations, so that later suites can use it.
"""

import re

PLACEHOLDER = re.compile(r"<(<?[A-Za-z][A-Za-z0-9_ -]*>?(?::\d+)?)>")
# Whole values that the recordings put in place of what differs.
ANY_VALUE = {
    "date",
    "timestamp",
    "event-id",
    "log-result",
    "code-sha256",
    "datetime",
    "function-url",
    "lambda-url",
    "maximum-batching-window-in-seconds",
}
DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+\d{4})?"
# Variables of these kinds stand for different values when their numbers differ.
DISTINCT = {"uuid"}
# What a placeholder may stand for, where that is known; anything else is any text on one line.
SHAPES = {
    "uuid": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "request-id": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "duration": r"\d+(?:\.\d+)?",
    "memory": r"\d+",
    "code-size": r"\d+",
    "function-name": r"[A-Za-z0-9_-]+",
    "partition": r"aws[a-z-]*",
    "region": r"[a-z]{2}-[a-z]+-\d",
    "log-stream-name": r"\d{4}/\d\d/\d\d/\[[^\]]+\][0-9a-f]{32}",
}


class Difference:
    """One place where the answer is not what was recorded."""

    def __init__(self, place, expected, actual):
        self.place = place
        self.expected = expected
        self.actual = actual

    def __repr__(self):
        return f"{self.place or '(all)'}: recorded {shorten(self.expected)}, got {shorten(self.actual)}"


def shorten(value, size=400):
    text = repr(value)
    return text if len(text) <= size else f"{text[:size]}… ({len(text)} characters)"


MISSING = type("Missing", (), {"__repr__": lambda self: "nothing"})()


class Bindings:
    """Values of the variables of one case."""

    def __init__(self, known=()):
        self.values = dict(known)

    def bind(self, name, value):
        """True when the variable has this value or can take it."""
        kind, _, number = name.partition(":")
        if not number and name not in self.values:
            return True
        if name in self.values:
            return self.values[name] == value
        if kind in DISTINCT and any(old == value for key, old in self.values.items() if key.split(":")[0] == kind):
            return False
        self.values[name] = value
        return True

    def fill(self, text):
        """The text with the variables that have a value replaced by it."""
        return PLACEHOLDER.sub(lambda match: str(self.values.get(match.group(1), match.group(0))), text)


def compare(expected, actual, bindings, place="", optional=frozenset()):
    """All differences. `optional`: members that may be there although the recording lacks them."""
    if isinstance(expected, dict):
        return compare_members(expected, actual, bindings, place, optional)
    if isinstance(expected, list):
        return compare_items(expected, actual, bindings, place, optional)
    if isinstance(expected, str):
        return [] if matches(expected, actual, bindings) else [Difference(place, bindings.fill(expected), actual)]
    same = expected == actual and isinstance(expected, bool) == isinstance(actual, bool)
    return [] if same else [Difference(place, expected, actual)]


def compare_members(expected, actual, bindings, place, optional):
    if not isinstance(actual, dict):
        return [Difference(place, expected, actual)]
    found = []
    for name in sorted(expected):
        below = f"{place}.{name}" if place else name
        if name in actual:
            found += compare(expected[name], actual[name], bindings, below, optional)
        else:
            found.append(Difference(below, expected[name], MISSING))
    for name in sorted(set(actual) - set(expected) - optional):
        found.append(Difference(f"{place}.{name}" if place else name, MISSING, actual[name]))
    return found


def compare_items(expected, actual, bindings, place, optional):
    if not isinstance(actual, list) or len(actual) != len(expected):
        return [Difference(place, expected, actual)]
    found = []
    for index, (wanted, got) in enumerate(zip(expected, actual, strict=True)):
        found += compare(wanted, got, bindings, f"{place}[{index}]", optional)
    return found


def matches(expected, actual, bindings):
    """Whether a value is what a recorded text stands for; binds its variables if so."""
    if expected in ANY_VALUE:
        return actual not in (None, "", MISSING)
    whole = PLACEHOLDER.fullmatch(expected)
    if whole and not isinstance(actual, str):
        return actual is not None and fits(whole.group(1), str(actual)) and bindings.bind(whole.group(1), actual)
    if not isinstance(actual, str):
        return False
    pattern, names = pattern_of(expected, bindings)
    match = re.fullmatch(pattern, actual, re.DOTALL)
    if not match:
        return False
    tried = Bindings(bindings.values)
    if not all(tried.bind(name, value) for name, value in zip(names, match.groups(), strict=True)):
        return False
    bindings.values.update(tried.values)
    return True


def kind_of(name):
    return name.partition(":")[0].strip("<>")


def fits(name, text):
    shape = SHAPES.get(kind_of(name))
    return shape is None or re.fullmatch(shape, text) is not None


def pattern_of(expected, bindings):
    """A recorded text as a pattern with one group per placeholder, and the names of the groups."""
    pattern, names, at = "", [], 0
    for match in PLACEHOLDER.finditer(expected):
        pattern += literal(expected[at : match.start()])
        name = match.group(1)
        known = bindings.values.get(name)
        shape = re.escape(str(known)) if known is not None else SHAPES.get(kind_of(name), r"[^\n]+?")
        pattern += f"({shape})"
        names.append(name)
        at = match.end()
    return pattern + literal(expected[at:]), names


def literal(text):
    """A text to be met as it is, but for the word `date` between blanks, which stands for a time."""
    return re.sub(r"(?:(?<=^)|(?<=\\\t)|(?<=\t))date(?=(?:\\)?[\t ]|$)", lambda _: DATE, re.escape(text))
