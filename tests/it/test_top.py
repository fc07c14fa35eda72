"""`hearth top`: one snapshot for people and for programs, and the live view in a terminal that is given back."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios

import pytest

from lib import daemon as daemons
from lib import functions, waiting

# Rows for the functions of all tests that share the daemon.
TALL = 2000
ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
SHOW_CURSOR = "\x1b[?25h"


class Terminal:
    """The program with a terminal of its own; `screen()` is what a person would see of the last frame."""

    def __init__(self, daemon, *arguments, rows=30, columns=120):
        self.ours, theirs = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(theirs)
        extra = {"HEARTH_STATE_DIR": str(daemon.state), "TERM": "xterm", "NO_COLOR": "1"}
        self.process = subprocess.Popen(
            [str(daemons.binary()), "top", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=daemons.clean_environment(extra),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.theirs = theirs
        self.text = ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        while select.select([self.ours], [], [], 0)[0]:
            try:
                self.text += os.read(self.ours, 65536).decode(errors="replace")
            except OSError:
                break
        return self.text

    def type(self, keys):
        os.write(self.ours, keys.encode())

    def frames(self):
        """What was drawn, frame by frame: each begins in the first row."""
        return self.read().split("\x1b[1;1H")[1:]

    def shows(self, what, after=0):
        """Waits for a frame that holds this text."""

        def shown():
            # The last frame may still be under way.
            return [frame for frame in self.frames()[after:-1] if what in frame]

        return waiting.until(shown, lambda: f"{what!r} on the screen; there is\n{self.text[-3000:]!r}")[0]

    def ends(self):
        code = self.process.wait(waiting.stretched(20))
        self.read()
        return code

    def is_given_back(self):
        now = termios.tcgetattr(self.theirs)
        return now[:4] == self.before[:4] and self.text.rfind(LEAVE) > self.text.rfind(ENTER) >= 0

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def terminal(daemon):
    opened = []

    def open_one(*arguments, **settings):
        opened.append(Terminal(settings.pop("daemon", daemon), *arguments, **settings))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def snapshot(daemon, *arguments):
    return json.loads(daemon.cli("top", "--json", *arguments).stdout)


def row(daemon, name, *arguments):
    found = [one for one in snapshot(daemon, *arguments)["functions"] if one["function"] == name]
    return found[0] if found else None


def test_programs_read_what_there_is_and_what_ended_lately(daemon, make):
    function = make(functions.ECHO)
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=7)
    for _ in range(4):
        function.invoke({}).ok()
    ended = lambda: (row(daemon, function.name, "--window", "600") or {"recent": {"invocations": 0}})  # noqa: E731
    waiting.until(lambda: ended()["recent"]["invocations"] == 4, "four have ended")
    unused = lambda one: one["environments"]["idle"] + one["environments"]["frozen"] == 1  # noqa: E731
    told = waiting.until(lambda: unused(ended()) and ended(), "the environment is idle")
    assert (told["running"], told["waiting"], told["reserved"]) == (0, 0, 7)
    recent = told["recent"]
    assert (recent["cold"], recent["warm"], recent["cold_share"]) == (1, 3, 0.25)
    assert (recent["errors"], recent["failures"], recent["throttles"]) == (0, 0, {})
    latency = recent["latency_ms"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"]
    assert recent["duration_ms"]["p99"] <= latency["p99"]
    whole = snapshot(daemon)
    assert whole["concurrency"]["limit"] == 1000 and whole["concurrency"]["unreserved"] <= 993
    assert whole["environments_max"] > 0 and whole["memory_budget_mb"] >= whole["memory_promised_mb"] > 0
    assert 0 < whole["window_s"] <= 10


def test_throttles_are_counted_by_their_reason(daemon, make):
    function = make(functions.ECHO)
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
    for _ in range(2):
        with pytest.raises(function.client.exceptions.TooManyRequestsException):
            function.invoke({})
    recent = row(daemon, function.name, "--window", "600")["recent"]
    assert recent["throttles"] == {"ReservedFunctionConcurrentInvocationLimitExceeded": 2}
    assert recent["invocations"] == 0 and recent["latency_ms"]["p50"] is None


def test_one_snapshot_is_printed_where_nobody_watches(daemon, make):
    function = make(functions.ECHO)
    function.invoke({}).ok()
    waiting.until(lambda: (row(daemon, function.name) or {}).get("recent", {}).get("invocations"), "it has ended")
    for arguments in (["--once"], []):
        shown = daemon.cli("top", "--window", "600", *arguments).stdout
        assert "\x1b" not in shown
        assert re.search(r"^Concurrency   \d+ of 1000 in flight", shown, re.MULTILINE)
        assert re.search(rf"^{function.name} +0 +- +0 +1 +0 ", shown, re.MULTILINE), shown


def test_the_view_renews_itself_and_gives_the_terminal_back(terminal, daemon, make):
    function = make(functions.ECHO)
    view = terminal("--window", "600", rows=TALL)
    first = view.shows("Concurrency")
    assert function.name not in first
    function.invoke({}).ok()
    view.shows(function.name)
    assert not termios.tcgetattr(view.theirs)[3] & termios.ICANON, "keys come at once"
    view.type("q")
    assert view.ends() == 0
    assert view.is_given_back() and SHOW_CURSOR in view.text


def test_keys_sort_and_turn_around(terminal, daemon, make):
    names = sorted(make(functions.ECHO).name for _ in range(2))
    for name in names:
        daemon.client().invoke(FunctionName=name)
    waiting.until(lambda: row(daemon, names[1]), "both are known")
    view = terminal("--sort", "p99", "--window", "600", rows=TALL)
    view.shows("sorted by p99")
    view.type("s")
    frame = view.shows("sorted by function")
    assert frame.index(names[0]) < frame.index(names[1])
    view.type("r")
    frame = view.shows("sorted by function, reversed")
    assert frame.index(names[1]) < frame.index(names[0])
    view.type("\x03")
    assert view.ends() == 0 and view.is_given_back()


def test_the_view_follows_the_size_of_the_terminal(terminal):
    view = terminal(rows=30, columns=120)
    view.shows("q quit   s, S sort by the next, the previous column   r reverse")
    before = len(view.frames())
    view.resize(8, 20)
    frame = view.shows("q quit   s, S sort b", after=before)
    rows = [int(row) for row in re.findall(r"\x1b\[(\d+);1H", frame)]
    assert max(rows, default=1) <= 8
    lines = [re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", line) for line in re.split(r"\x1b\[\d+;1H", frame)]
    assert max(map(len, lines)) <= 20, lines


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_view_and_gives_the_terminal_back(terminal, number):
    view = terminal()
    view.shows("Concurrency")
    view.process.send_signal(number)
    assert view.ends() == 0 and view.is_given_back()


def test_a_daemon_that_goes_away_is_said_so_and_the_view_goes_on(terminal, start_daemon):
    own = start_daemon()
    view = terminal(daemon=own, columns=200)
    view.shows("Concurrency")
    own.stop()
    view.shows("cannot reach the daemon's admin socket")
    before = len(view.frames())
    own.start()
    view.shows("q quit", after=before)
    view.type("q")
    assert view.ends() == 0 and view.is_given_back()


def test_without_a_daemon_nothing_is_taken_over(tmp_path):
    command = [str(daemons.binary()), "top", "--once", "--state-dir", str(tmp_path)]
    failed = daemons.run(command, None, False, 30, {})
    assert failed.returncode == 1 and "hearth serve" in failed.stderr and failed.stdout == ""
    assert daemons.run([*command[:2], "--sort", "colour"], None, False, 30, {}).returncode == 2
