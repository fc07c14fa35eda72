"""Fixtures of all black-box tests: the shared daemon, daemons of one's own, functions that go away afterwards.

Ordinary tests share one daemon, started when the first of them needs it. Tests that kill, count or configure start
their own. What the daemon printed is shown with every failure.
"""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from lib import daemon as daemons  # noqa: E402
from lib import functions, interpreters  # noqa: E402

LONG = os.environ.get("HEARTH_LONG") == "1"


# These take minutes, or do where they install or build something first: where tests run side by side, they are not to be
# the last ones.
SLOW_FIRST = (
    "test_terraform.py",
    "test_provisioned_terraform.py",
    "test_outcomes.py",
    "test_sam.py",
    "test_official_clients.py",
    "test_many_endings.py",
    "test_kill_points.py",
)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in SLOW_FIRST)
    if os.geteuid() == 0:
        return
    for item in items:
        if {"daemon", "start_daemon", "start_module_daemon"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.skip(reason="needs root: sandboxes are made of namespaces, mounts and groups"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for daemon in RUNNING:
            report.sections.append((f"daemon in {daemon.directory}", daemon.stderr_tail()))
    return report


RUNNING = []


def launch(**settings):
    daemon = daemons.Daemon(**settings)
    RUNNING.append(daemon)
    try:
        return daemon.start()
    except BaseException:
        # What it printed is part of the error; its directory is of no use any more.
        RUNNING.remove(daemon)
        daemon.kill()
        daemon.remove()
        raise


def end(daemon):
    """Ends a daemon; a daemon that is asked to stop and does not exit with 0 is a failure."""
    RUNNING.remove(daemon)
    try:
        code = daemon.stop()
        assert code in (None, 0), f"exit code {code} after SIGTERM\n{daemon.stderr_tail()}"
    finally:
        daemon.kill()
        daemon.remove()


@pytest.fixture(scope="session")
def daemon():
    """The daemon that ordinary tests share."""
    running = launch()
    yield running
    end(running)


def starter():
    """Gives what starts daemons; ends those it started."""
    started = []

    def start(**settings):
        started.append(launch(**settings))
        return started[-1]

    yield start
    for one in reversed(started):
        end(one)


@pytest.fixture
def start_daemon():
    """Starts daemons of the test's own: `start_daemon(config=…, environment=…)`."""
    yield from starter()


@pytest.fixture(scope="module")
def start_module_daemon():
    """The same for daemons that the tests of one module share."""
    yield from starter()


@pytest.fixture(scope="session")
def python():
    """Name of a python runtime that this host has."""
    name = interpreters.python()
    if name is None:
        pytest.skip("no Python between 3.9 and 3.14 on this host")
    return name


@pytest.fixture(scope="session")
def node():
    """Name of a node runtime that this host has."""
    name = interpreters.node()
    if name is None:
        pytest.skip("no Node.js 18, 20, 22 or 24 on this host")
    return name


@pytest.fixture
def client(daemon):
    return daemon.client()


@pytest.fixture
def lenient(daemon):
    """A client that sends what it is given, however wrong."""
    return daemon.client(validate=False)


@pytest.fixture
def make(daemon, python):
    """Creates functions in the shared daemon and deletes them after the test."""
    with functions.making(daemon, python) as maker:
        yield maker


@pytest.fixture(scope="module")
def echo(daemon, python):
    """One echo function for the tests of a module that only read."""
    with functions.making(daemon, python) as maker:
        yield maker(functions.ECHO)


FIGURES = []


@pytest.fixture
def figure(request):
    """Notes a figure that the end of the run tells: counts that a reader wants to see although nothing failed."""
    return lambda what, value: FIGURES.append(f"{request.node.name}: {what}: {value}")


def pytest_terminal_summary(terminalreporter):
    for line in FIGURES:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def long_run():
    """True when the full counts are asked for."""
    return LONG
