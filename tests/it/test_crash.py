"""`kill -9` at any instant: what was acknowledged is there, nothing half-written is, nobody of the old daemon lives.

Threads create, update, invoke and delete functions and write down what the daemon acknowledged; the daemon is killed
in the middle; after a restart the books are compared. Five rounds, fifty with `HEARTH_LONG=1`.
"""

import random
import threading

import botocore.exceptions
import pytest

from lib import functions, host, waiting
from lib.daemon import ROLE

THREADS = 4
PER_THREAD = 3
LOST = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)


def code_of(version):
    return f"VERSION = {version}\ndef handler(event, context):\n    return VERSION\n"


class Worker(threading.Thread):
    """Works on functions of its own and keeps books: `acknowledged` and `attempted` version per function.

    An attempt that got no answer may or may not have happened: both are right. `None` stands for: not there.
    """

    def __init__(self, daemon, python, number, books, stop, killing):
        super().__init__(daemon=True)
        self.client = daemon.client(timeout_s=20)
        self.python = python
        self.names = [f"crash-{number}-{index}" for index in range(PER_THREAD)]
        self.books = books
        self.stop = stop
        self.killing = killing
        self.random = random.Random(number)
        self.done = 0
        self.surprise = None

    def run(self):
        try:
            while not self.stop.is_set():
                self.step(self.random.choice(self.names))
                self.done += 1
        except LOST as error:
            # Lost because the daemon was killed is what is meant to happen; lost before that is not.
            if not self.killing.is_set():
                self.surprise = error
        except Exception as error:  # a wrong answer of a living daemon is what the test has to show
            self.surprise = error

    def step(self, name):
        book = self.books.setdefault(name, {"acknowledged": None, "attempted": []})
        if book["acknowledged"] is None:
            self.write(book, book.get("last", 0) + 1, lambda version: self.create(name, version))
            return
        action = self.random.random()
        if action < 0.45:
            self.write(book, book["last"] + 1, lambda version: self.update(name, version))
        elif action < 0.55:
            self.write(book, None, lambda _: self.client.delete_function(FunctionName=name))
        else:
            self.look(name, book["acknowledged"])

    def write(self, book, version, call):
        """Notes the attempt, makes it, notes the acknowledgement."""
        book["attempted"] = [version]
        if version is not None:
            book["last"] = version
        try:
            call(version)
        except self.client.exceptions.ResourceConflictException:
            # Still pending or being updated: the daemon said no, so nothing was attempted.
            book["attempted"] = []
            return
        book["acknowledged"] = version
        book["attempted"] = []

    def create(self, name, version):
        self.client.create_function(
            FunctionName=name,
            Role=ROLE,
            Runtime=self.python,
            Handler="index.handler",
            Code={"ZipFile": functions.package(code_of(version))},
            Timeout=10,
        )

    def update(self, name, version):
        self.client.update_function_code(FunctionName=name, ZipFile=functions.package(code_of(version)))

    def look(self, name, version):
        """While an update is under way the old code serves, so only later than acknowledged is wrong here."""
        try:
            answer = self.client.invoke(FunctionName=name)
        except self.client.exceptions.ResourceConflictException:
            return
        seen = answer["Payload"].read()
        assert "FunctionError" not in answer, (name, seen)
        assert int(seen) <= version, f"{name} ran version {seen} before it was acknowledged ({version})"


def crash(daemon, python, books, seconds):
    """Lets the workers work for a while, kills the daemon, returns how much was done."""
    stop, killing = threading.Event(), threading.Event()
    workers = [Worker(daemon, python, number, books, stop, killing) for number in range(THREADS)]
    for worker in workers:
        worker.start()
    try:
        waiting.until(
            lambda: any(worker.surprise for worker in workers) or sum(worker.done for worker in workers) >= THREADS,
            "the workers have begun",
            within_s=60,
        )
        # Any moment will do, and a different one each time: that is what makes this a crash test.
        stop.wait(seconds)
    finally:
        family = host.children_of(daemon.pid)
        killing.set()
        daemon.kill()
        stop.set()
    for worker in workers:
        worker.join(30)
        assert not worker.is_alive()
        assert worker.surprise is None, worker.surprise
    waiting.until(lambda: not (family & set(host.processes())), "nobody of the old daemon lives", within_s=30)
    return sum(worker.done for worker in workers)


def check_books(daemon, books):
    """Every function is in a state that its book allows; its code is whole and runs."""
    client = daemon.client()
    listed = {
        entry["FunctionName"]
        for page in client.get_paginator("list_functions").paginate()
        for entry in page["Functions"]
    }
    for name, book in books.items():
        allowed = {book["acknowledged"], *book["attempted"]}
        if name not in listed:
            assert None in allowed, f"{name} was acknowledged with version {book['acknowledged']} and is gone"
            book.update(acknowledged=None, attempted=[])
            continue
        assert allowed - {None}, f"{name} was deleted, acknowledged, and is back"
        function = functions.Function(client, name)
        function.wait()
        seen = function.invoke({}).ok()
        assert seen in allowed, f"{name} runs version {seen}; its book allows {allowed}"
        book.update(acknowledged=seen, attempted=[], last=max(seen, book.get("last", 0)))
    assert listed <= set(books), f"functions nobody made: {listed - set(books)}"


def no_half_files(daemon):
    """No temporary file of the killed daemon is visible after the next start."""
    left = [path for path in host.files(daemon.state / "blobs", daemon.state / "unpacked") if ".tmp" in path]
    left += list((daemon.state / "blobs" / "tmp").glob("*")) if (daemon.state / "blobs" / "tmp").is_dir() else []
    return not left


@pytest.mark.own_daemon
def test_kill_9_while_functions_are_created_updated_and_invoked(start_daemon, python, long_run, figure):
    rounds = 50 if long_run else 5
    before = host.Inventory()
    chance = random.Random(20_240_501)
    books, done = {}, 0
    daemon = start_daemon()
    for _ in range(rounds):
        done += crash(daemon, python, books, chance.uniform(0.2, 2.0))
        host.settled(before)
        daemon.start()
        check_books(daemon, books)
        waiting.until(lambda: no_half_files(daemon), "no temporary file is left", within_s=20)
    figure("kill -9 rounds", rounds)
    figure("operations in these rounds", done)
    assert done > rounds


@pytest.mark.own_daemon
def test_a_damaged_package_is_noticed_and_never_run(start_daemon, python):
    """Bits rot: the stored package is checked against its name before it is unpacked again."""
    daemon = start_daemon()
    maker = functions.Maker(daemon, python, ROLE)
    function = maker(code_of(1))
    assert function.invoke({}).ok() == 1
    daemon.stop()
    blobs = [path for path in (daemon.state / "blobs" / "sha256").rglob("*") if path.is_file()]
    assert len(blobs) == 1
    damaged = bytearray(blobs[0].read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    blobs[0].chmod(0o600)
    blobs[0].write_bytes(damaged)
    for path in (daemon.state / "unpacked").glob("*"):
        functions.remove_tree(path)
    daemon.start()
    again = functions.Function(daemon.client(), function.name)
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        again.invoke({})
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
    assert daemon.is_running()


@pytest.mark.own_daemon
def test_a_lost_unpacked_tree_is_made_again(start_daemon, python):
    daemon = start_daemon()
    function = functions.Maker(daemon, python, ROLE)(code_of(1))
    daemon.stop()
    for path in (daemon.state / "unpacked").glob("*"):
        functions.remove_tree(path)
    daemon.start()
    assert functions.Function(daemon.client(), function.name).invoke({}).ok() == 1
