"""Which managed runtimes this host can run, found without asking the daemon.

A second, simpler search than the daemon's own: where this one finds an interpreter, the daemon must, too. So a daemon
that finds nothing fails the tests instead of having them skipped.
"""

import functools
import glob
import os
import re
import subprocess

PYTHONS = range(9, 15)
NODES = (18, 20, 22, 24)
PYTHON_PLACES = (
    "/usr/bin/python3",
    "/usr/bin/python3.[0-9]*",
    "/usr/local/bin/python3.[0-9]*",
    os.path.expanduser("~/.pyenv/versions/*/bin/python3"),
)
NODE_PLACES = (
    "/usr/bin/node",
    "/usr/bin/nodejs",
    "/usr/local/bin/node",
    os.path.expanduser("~/.nvm/versions/node/*/bin/node"),
)
# The version most recordings were made with comes first, then the nearest ones.
PREFERRED = ("python3.12", "python3.13", "python3.11", "python3.10", "python3.9", "python3.14")


def _versions(places, pattern):
    found = set()
    for place in places:
        for path in glob.glob(place):
            if not re.search(r"/(python3(\.\d+)?|node|nodejs)$", path):
                continue
            try:
                asked = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20)
            except OSError:
                continue
            match = re.match(pattern, asked.stdout)
            if match:
                found.add(int(match.group(1)))
    return found


@functools.cache
def runtimes():
    """Names of the managed runtimes whose interpreter is on this host."""
    pythons = _versions(PYTHON_PLACES, r"Python 3\.(\d+)\.")
    nodes = _versions(NODE_PLACES, r"v(\d+)\.")
    names = {f"python3.{minor}" for minor in pythons if minor in PYTHONS}
    return names | {f"nodejs{major}.x" for major in nodes if major in NODES}


def python():
    """The python runtime that tests use when any will do, or None."""
    return next((name for name in PREFERRED if name in runtimes()), None)


def node():
    """The node runtime that tests use when any will do, or None."""
    return max((name for name in runtimes() if name.startswith("nodejs")), default=None)
