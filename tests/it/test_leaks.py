"""Nothing is left behind: not by any outcome of an invocation, not by `kill -9` of the daemon.

Counts before and after: processes, control groups of all hierarchies, mounts of all mount namespaces, namespaces, loop
devices, network links, descriptors of the daemon and of its forker, temporary files. `HEARTH_LONG=1` runs 300 cold invocations of every
outcome, otherwise 30.
"""

import concurrent.futures
import os
import signal

import pytest

from lib import functions, holding, host, roots, waiting
from lib.daemon import ROLE

WORKERS = 6
# A pool, a cache or a log file may hold a few more descriptors after work than before; a leak grows with the count.
DESCRIPTOR_SLACK = 24
# Where a program may leave files that are meant to be gone.
TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm", "/run")

OUTCOMES = {
    "success": ("def handler(e, c):\n    return 1\n", {}, None),
    "exception": ("def handler(e, c):\n    raise Exception('x')\n", {}, "Exception"),
    "exit": ("import os\ndef handler(e, c):\n    os._exit(3)\n", {}, "Runtime.ExitError"),
    "signal": ("import os\ndef handler(e, c):\n    os.kill(os.getpid(), 9)\n", {}, "Runtime.ExitError"),
    "timeout": ("import time\ndef handler(e, c):\n    time.sleep(60)\n", {"Timeout": 1}, "Sandbox.Timedout"),
    "out of memory": (
        "def handler(e, c):\n    return len(bytearray(b'x') * (400 << 20))\n",
        {"Timeout": 20},
        "Runtime.OutOfMemory",
    ),
    "init error": ("raise RuntimeError('x')\n", {}, "RuntimeError"),
    "init exit": ("import os\nos._exit(3)\n", {}, "Runtime.ExitError"),
    "import error": ("import nothing_of_that_name\n", {}, "Runtime.ImportModuleError"),
    "too large": ("def handler(e, c):\n    return 'x' * (7 << 20)\n", {"Timeout": 20}, "Function.ResponseSizeTooLarge"),
    "children left": (
        "import subprocess\ndef handler(e, c):\n"
        "    subprocess.Popen(['sleep', '1000'], start_new_session=True)\n    return 1\n",
        {},
        None,
    ),
    "tmp full": (
        "def handler(e, c):\n    open('/tmp/big', 'wb').write(b'x' * (20 << 20))\n    return 1\n",
        {},
        None,
    ),
    "no bootstrap": (None, {}, "Runtime.InvalidEntrypoint"),
    "no wrapper": (
        "def handler(e, c):\n    return 1\n",
        {"Environment": {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/none"}}},
        "Runtime.ExitError",
    ),
    "truncated answer": (functions.TRUNCATED, {"Timeout": 5}, "Runtime.TruncatedResponse"),
    # Of roots of their own: what `hearth deploy --rootfs` is told beside the tree.
    "no entry point": (["--entry-point=/missing"], {}, "Runtime.InvalidEntrypoint"),
    "no working directory": (["--entry-point=/srv/app", "--workdir=/missing"], {}, "Runtime.InvalidWorkingDir"),
}


@pytest.fixture
def tree(tmp_path):
    return roots.shell_tree(tmp_path / "tree")


def make_outcome(maker, kind, number, tree):
    code, settings, _ = OUTCOMES[kind]
    name = f"leak-{kind.replace(' ', '-')}-{number}"
    if isinstance(code, list):
        maker.names.append(name)
        return roots.Images(maker.daemon).deploy(tree, *code, name=name)
    if code is None:
        return maker.bootstrap({"other": str(number)}, name=name, **settings)
    if code.startswith("#!"):
        return maker.bootstrap(code, name=name, **settings)
    return maker(code, name=name, **settings)


def run_cold(function, kind):
    wanted = OUTCOMES[kind][2]
    result = function.invoke({}, tail=False)
    seen = None if result.error is None else result.json["errorType"]
    assert seen == wanted, (kind, result.body[:300])


def cold_invocations(daemon, python, count, tree):
    """`count` cold invocations of every outcome, several at a time, each on a revision of its own."""
    maker = functions.Maker(daemon, python, ROLE)
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for kind in OUTCOMES:
            made = [make_outcome(maker, kind, number, tree) for number in range(min(WORKERS, count))]

            def lane(number, kind=kind, made=made):
                for index in range(number, count, WORKERS):
                    if index >= WORKERS:
                        # Changed settings are a new revision: no environment can be reused.
                        made[number].update(Description=f"round {index}")
                    run_cold(made[number], kind)

            for done in [pool.submit(lane, number) for number in range(len(made))]:
                done.result()
    return maker


def descriptor_kinds(pid):
    counted = {}
    for target in host.descriptors(pid).values():
        kind = target.split(":")[0] if ":" in target else "file"
        counted[kind] = counted.get(kind, 0) + 1
    return counted


@pytest.mark.own_daemon
def test_every_outcome_and_then_kill_9_leaves_nothing(start_daemon, python, tree, long_run, figure):
    count = 300 if long_run else 30
    before = host.Inventory()
    daemon = start_daemon(config="[limits]\nidle_timeout_s = 2\n")
    own_uid = daemon.state.stat().st_uid
    assert own_uid > 65_535, "the daemon's files belong to a user of its own"
    temporary = host.files_of_daemon(own_uid, *TEMPORARY)
    # Once with every function first, so that what is made once (pools, parked sandboxes, the bounded cache of open log
    # files: one per log group) is there when counting begins.
    cold_invocations(daemon, python, WORKERS, tree).delete_all()
    (forker,) = host.own_children_of(daemon.pid)
    fresh = {pid: len(host.descriptors(pid)) for pid in (daemon.pid, forker)}
    groups = len(host.Inventory().groups - before.groups)

    maker = cold_invocations(daemon, python, count, tree)
    maker.delete_all()
    for pid, held in fresh.items():
        waiting.until(
            lambda pid=pid, held=held: len(host.descriptors(pid)) <= held + DESCRIPTOR_SLACK,
            lambda pid=pid, held=held: f"{pid} holds {held} (+{DESCRIPTOR_SLACK}) descriptors again: {descriptor_kinds(pid)}",
            within_s=60,
        )
    waiting.until(
        lambda: len(host.Inventory().groups - before.groups) <= groups + 2,
        f"no more control groups than before the {count} rounds ({groups})",
        within_s=60,
    )
    family = host.children_of(daemon.pid)
    assert family
    daemon.kill()
    waiting.until(lambda: not (family & set(host.processes())), "what the daemon started is gone", within_s=30)
    host.settled(before)
    left = host.files_of_daemon(own_uid, *TEMPORARY) - temporary
    assert not {path for path in left if not path.startswith(str(daemon.directory))}
    figure("cold invocations, then kill -9", count * len(OUTCOMES))
    figure("on the host before", before.counts())
    figure("on the host afterwards", host.Inventory().counts())


@pytest.mark.own_daemon
def test_kill_9_in_the_middle_of_invocations_leaves_nothing(start_daemon, python):
    before = host.Inventory()
    daemon = start_daemon()
    maker = functions.Maker(daemon, python, ROLE)
    with holding.under_way(maker(holding.CODE, Timeout=60), 4) as running:
        daemon.kill()
    assert all(one.exception() is not None for one in running)
    host.settled(before)


@pytest.mark.own_daemon
def test_the_forker_alone_killed_ends_the_daemon_and_leaves_nothing(start_daemon, python):
    """The daemon without its forker is of no use: it goes, so that the service manager restarts both."""
    before = host.Inventory()
    daemon = start_daemon()
    functions.Maker(daemon, python, ROLE)(functions.ECHO).invoke({}).ok()
    # Parked sandboxes are copies of the forker with its command line; they are its children, not the daemon's.
    forkers = [pid for pid in host.own_children_of(daemon.pid) if "__forker" in host.processes()[pid][2]]
    assert len(forkers) == 1, "exactly one forker belongs to a daemon"
    os.kill(forkers[0], signal.SIGKILL)
    assert daemon.process.wait(30) != 0
    daemon.kill()
    # Nobody is left who may remove control groups and the firewall's table: they stay, the groups empty, for the next
    # start on this state directory.
    host.settled(before, apart=("groups", "tables"))
    daemon.start()
    assert daemon.stop() == 0
    host.settled(before)


@pytest.mark.own_daemon
def test_the_next_start_sweeps_what_a_killed_one_left_on_disk(start_daemon, python):
    daemon = start_daemon()
    maker = functions.Maker(daemon, python, ROLE)
    maker(functions.ECHO).invoke({}).ok()
    daemon.kill()
    leftovers = [daemon.state / "blobs" / "tmp" / "half", daemon.state / "unpacked" / "half.tmp"]
    for path in leftovers:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    daemon.start()
    assert not [path for path in leftovers if path.exists()]
