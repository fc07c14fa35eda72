"""Many clients at once, and `kill -9`: whatever happened to versions is what some order of whole operations explains.

The setting `STAGE` of a function is a register, and so is its code: creating and updating write them, deleting writes
nothing, publishing and reading read both. For every value read there must be a write that had begun before the read
ended and that was not certainly written over before the read began.
"""

import base64
import hashlib
import random
import threading
import time

import botocore.exceptions
import pytest

from lib import functions, waiting
from lib.daemon import ROLE

CLIENTS = 16
# What each does at the least. On a machine where most of it meets a function that is busy, they go on until enough has
# happened (`enough`), or until their time is over.
STEPS = 25
ENOUGH_WITHIN_S = 180
KINDS = {"create", "update", "update code", "publish", "delete", "read"}
LOST = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)
INDEX = "import os\ndef handler(event, context):\n    return os.environ['STAGE']\n"


def code_of(value):
    """A package that no other value has, and its sum as the service tells it."""
    archive = functions.package({"index.py": f"# {value}\n{INDEX}"})
    return archive, base64.b64encode(hashlib.sha256(archive).digest()).decode()


class Call:
    """One operation with the time in which it took effect. `wrote` and `read` are settings, `coded` and `ran` are code;
    `None` is: not there."""

    def __init__(self, what, start, end):
        self.what = what
        self.start = start
        self.end = end
        self.effects = {}

    def __repr__(self):
        return f"{self.what} {self.effects} [{self.start:.4f}, {self.end:.4f}]"


def stage_of(configuration):
    return configuration["Environment"]["Variables"]["STAGE"]


class Client(threading.Thread):
    """Does random operations on one function and writes down what they came to, until it is told that it is enough."""

    def __init__(self, daemon, python, name, number, told):
        super().__init__(daemon=True)
        self.told = told
        self.steps = 0
        self.client = daemon.client(timeout_s=60)
        self.python = python
        self.name = name
        self.number = number
        self.random = random.Random(number)
        self.calls = []
        self.busy = 0
        self.surprise = None

    def run(self):
        try:
            while self.steps < STEPS or not self.told.is_set():
                self.step(f"c{self.number}-{self.steps}")
                self.steps += 1
        except Exception as error:  # shown by the test
            self.surprise = error

    def step(self, value):
        chance = self.random.random()
        settings = {"Environment": {"Variables": {"STAGE": value}}}
        name = {"FunctionName": self.name}
        if chance < 0.15:
            self.make(value, settings)
        elif chance < 0.35:
            self.call("update", lambda: self.client.update_function_configuration(**name, **settings), wrote=value)
        elif chance < 0.5:
            archive, sha = code_of(value)
            self.call("update code", lambda: self.client.update_function_code(**name, ZipFile=archive), coded=sha)
        elif chance < 0.85:
            self.call("publish", lambda: self.client.publish_version(**name))
        elif chance < 0.9:
            self.call("delete", lambda: self.client.delete_function(**name), wrote=None, coded=None)
        else:
            self.call("read", lambda: self.client.get_function_configuration(**name))

    def make(self, value, settings):
        publish = self.random.random() < 0.5
        archive, sha = code_of(value)
        self.call(
            "create",
            lambda: self.client.create_function(
                FunctionName=self.name, Role=ROLE, Runtime=self.python, Handler="index.handler",
                Code={"ZipFile": archive}, Publish=publish, **settings,
            ),
            wrote=value,
            coded=sha,
        )

    def call(self, what, operation, **effects):
        start = time.monotonic()
        try:
            answer = operation()
        except self.client.exceptions.ResourceConflictException as error:
            if "already exist" not in str(error):
                # Being created or updated: the function is there, nothing was done.
                assert "The operation cannot be performed at this time." in str(error), error
                self.busy += 1
            return
        except self.client.exceptions.ResourceNotFoundException:
            answer, effects = None, {"read": None, "ran": None}
        done = Call(what, start, time.monotonic())
        done.effects = effects
        if answer is not None and what in ("publish", "read"):
            done.effects = {"read": stage_of(answer), "ran": answer["CodeSha256"]}
        if answer is not None and answer.get("Version", "$LATEST") != "$LATEST":
            done.effects["version"] = int(answer["Version"])
            done.effects["holds"] = (stage_of(answer), answer["CodeSha256"])
        self.calls.append(done)


def explained(reads, writes, read="read", wrote="wrote"):
    """The reads of a register that no write to it explains."""
    wrong = []
    writes = [write for write in writes if wrote in write.effects]
    for one in (one for one in reads if read in one.effects):
        value = one.effects[read]
        possible = [write for write in writes if write.effects[wrote] == value and write.start < one.end]

        def lasted(write, one=one):
            return not any(other.start > write.end and other.end < one.start for other in writes)

        if not any(lasted(write) for write in possible):
            wrong.append(one)
    return wrong


def test_the_check_itself_finds_what_no_order_explains():
    def call(start, end, **effects):
        made = Call("x", start, end)
        made.effects = effects
        return made

    writes = [call(0, 1, wrote="a"), call(2, 3, wrote="b")]
    assert explained([call(4, 5, read="b"), call(1.5, 2.5, read="b"), call(1.5, 2.5, read="a")], writes) == []
    assert len(explained([call(4, 5, read="a"), call(1.2, 1.5, read="b"), call(4, 5, read="c")], writes)) == 3


def happened(clients):
    """Kinds of operations that were done, how many, versions that they made, writes, and calls that met another's."""
    calls = [call for client in clients for call in list(client.calls)]
    versions = {call.effects["version"] for call in calls if "version" in call.effects}
    writes = sum("wrote" in call.effects for call in calls)
    return {call.what for call in calls}, len(calls), len(versions), writes, sum(client.busy for client in clients)


def enough(clients):
    """Every kind was done, versions were made of many writes, and the clients have been in each other's way."""
    kinds, _, versions, writes, busy = happened(clients)
    return kinds == KINDS and versions >= 3 and writes > CLIENTS and busy > 0


def test_sixteen_clients_leave_what_some_order_explains(daemon, python, figure):
    name = functions.unique("race")
    told = threading.Event()
    clients = [Client(daemon, python, name, number, told) for number in range(CLIENTS)]
    started = time.monotonic()
    for client in clients:
        client.start()
    try:
        over = lambda: any(client.surprise for client in clients) or enough(clients)  # noqa: E731
        waiting.until(over, lambda: f"enough has happened: {happened(clients)}", ENOUGH_WITHIN_S)
    finally:
        told.set()
    for client in clients:
        client.join(60)
        assert not client.is_alive()
        assert client.surprise is None, client.surprise
    calls = sorted((call for client in clients for call in client.calls), key=lambda call: call.start)
    never = Call("never there", started - 1, started - 0.5)
    never.effects = {"wrote": None, "coded": None}
    writes = [never, *calls]
    last = Call("final", time.monotonic(), time.monotonic() + 1)
    boto = daemon.client()
    try:
        there = boto.get_function_configuration(FunctionName=name)
        last.effects = {"read": stage_of(there), "ran": there["CodeSha256"]}
    except boto.exceptions.ResourceNotFoundException:
        last.effects = {"read": None, "ran": None}
    assert explained([*calls, last], writes) == []
    assert explained([*calls, last], writes, read="ran", wrote="coded") == []
    check_versions(calls)
    if last.effects["read"] is not None:
        functions.Function(boto, name).wait()
        check_listed(boto, name, calls)
        boto.delete_function(FunctionName=name)
    figure("operations, versions", "{1}, {2}".format(*happened(clients)))


def check_versions(calls):
    """A number stands for one state for ever; later publishing never gives a lower one."""
    holds = {}
    given = [call for call in calls if "version" in call.effects]
    for call in given:
        number = call.effects["version"]
        assert holds.setdefault(number, call.effects["holds"]) == call.effects["holds"], call
    assert sorted(holds) == list(range(1, len(holds) + 1)), "each number was given to somebody"
    for one in given:
        later = [call for call in given if call.start > one.end]
        assert all(call.effects["version"] >= one.effects["version"] for call in later), one


def check_listed(boto, name, calls):
    """What is there now holds what it held when it was published, and runs."""
    holds = {call.effects["version"]: call.effects["holds"] for call in calls if "version" in call.effects}
    pages = boto.get_paginator("list_versions_by_function").paginate(FunctionName=name)
    numbered = [it for page in pages for it in page["Versions"] if it["Version"] != "$LATEST"]
    for version in numbered:
        assert (stage_of(version), version["CodeSha256"]) == holds[int(version["Version"])]
    for version in numbered[-2:]:
        ran = functions.Function(boto, name).invoke(Qualifier=version["Version"])
        assert ran.ok() == stage_of(version)


class Publisher(threading.Thread):
    """Updates and publishes one function of its own and moves an alias after; keeps books until the daemon is gone."""

    def __init__(self, daemon, name, books, killing):
        super().__init__(daemon=True)
        self.client = daemon.client(timeout_s=20)
        self.name = name
        self.books = books
        self.killing = killing
        self.surprise = None

    def run(self):
        try:
            while True:
                self.step()
        except LOST as error:
            if not self.killing.is_set():
                self.surprise = error

    def step(self):
        book, name = self.books, {"FunctionName": self.name}
        functions.Function(self.client, self.name).wait()
        book["tried"] = f"s{book['count']}"
        book["count"] += 1
        settings = {"Environment": {"Variables": {"STAGE": book["tried"]}}}
        if book["count"] % 3 == 0:
            # Code and version in one commit.
            answer = self.client.update_function_code(
                **name, ZipFile=functions.package({"index.py": f"# {book['tried']}\n" + INDEX}), Publish=True
            )
        else:
            self.client.update_function_configuration(**name, **settings)
            functions.Function(self.client, self.name).wait()
            answer = self.client.publish_version(**name)
        number = int(answer["Version"])
        assert number > book["last"], "a number was given twice"
        book["last"] = number
        book["versions"][number] = (stage_of(answer), answer["CodeSha256"])
        book["alias"] = {book["alias_acknowledged"], answer["Version"]}
        self.client.update_alias(**name, Name="live", FunctionVersion=answer["Version"])
        book["alias_acknowledged"] = answer["Version"]
        book["alias"] = {answer["Version"]}


def check_books(client, name, book):
    """Every acknowledged version is there as it was; at most the one that was under way is there beside them."""
    function = functions.Function(client, name)
    function.wait()
    pages = client.get_paginator("list_versions_by_function").paginate(FunctionName=name)
    listed = {int(it["Version"]): it for page in pages for it in page["Versions"] if it["Version"] != "$LATEST"}
    more = set(listed) - set(book["versions"])
    assert set(book["versions"]) <= set(listed)
    assert more in (set(), {book["last"] + 1}), more
    for number, (value, sha) in book["versions"].items():
        assert (stage_of(listed[number]), listed[number]["CodeSha256"]) == (value, sha)
    for number in more:
        book["versions"][number] = (stage_of(listed[number]), listed[number]["CodeSha256"])
        book["last"] = number
    alias = client.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
    assert alias in book["alias"]
    book["alias"], book["alias_acknowledged"] = {alias}, alias
    for number in [int(alias), max(listed)]:
        client.get_waiter("published_version_active").wait(
            FunctionName=name, Qualifier=str(number), WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )
        assert function.invoke(Qualifier=str(number)).ok() == book["versions"][number][0]
    assert function.invoke(Qualifier="live").version == alias


@pytest.mark.own_daemon
def test_kill_9_while_versions_are_published_leaves_each_done_or_not_done(start_daemon, python, long_run, figure):
    rounds = 30 if long_run else 4
    chance = random.Random(7)
    daemon = start_daemon()
    books = {}
    for number in range(3):
        function = functions.Maker(daemon, python, ROLE)(INDEX, Environment={"Variables": {"STAGE": "first"}})
        version = function.client.publish_version(FunctionName=function.name)
        function.client.create_alias(FunctionName=function.name, Name="live", FunctionVersion="1")
        books[function.name] = {
            "count": 1000 * number, "last": 1, "versions": {1: ("first", version["CodeSha256"])}, "alias": {"1"},
            "alias_acknowledged": "1", "tried": None,
        }
    for _ in range(rounds):
        killing = threading.Event()
        before = sum(len(book["versions"]) for book in books.values())
        publishers = [Publisher(daemon, name, book, killing) for name, book in books.items()]
        for publisher in publishers:
            publisher.start()
        try:
            waiting.until(
                lambda: any(it.surprise for it in publishers)
                or sum(len(book["versions"]) for book in books.values()) >= before + len(books),
                "the publishers have begun",
                within_s=60,
            )
            # Any moment will do, and a different one each time.
            killing.wait(chance.uniform(0.0, 0.7))
        finally:
            killing.set()
            daemon.kill()
        for publisher in publishers:
            publisher.join(60)
            assert not publisher.is_alive()
            assert publisher.surprise is None, publisher.surprise
        daemon.start()
        for name, book in books.items():
            check_books(daemon.client(), name, book)
    figure("kill -9 rounds, versions published in them", f"{rounds}, {sum(len(it['versions']) for it in books.values())}")
