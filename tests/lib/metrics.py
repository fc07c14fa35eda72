"""Series of a daemon, as Prometheus reads them."""

import re
import urllib.request


def read(daemon):
    """(name, labels as a frozenset of pairs) → value, of every series."""
    with urllib.request.urlopen(f"{daemon.admin}/metrics", timeout=20) as answer:
        text = answer.read().decode()
    found = {}
    for line in text.splitlines():
        if match := re.match(r"([a-z_]+)(?:\{(.*)\})? (\S+)$", line):
            labels = frozenset(re.findall(r'(\w+)="([^"]*)"', match.group(2) or ""))
            found[match.group(1), labels] = float(match.group(3))
    return found


def series(daemon, name, **labels):
    """One value; None where there is no such series."""
    return read(daemon).get((name, frozenset(labels.items())))


def value(daemon, name, **labels):
    """One value; 0 where there is no such series."""
    return series(daemon, name, **labels) or 0.0
