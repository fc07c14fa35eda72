"""Several hundred environments that end at once, and sandboxes that fail while they are handed over."""

import base64
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import botocore.exceptions
import pytest

from lib import functions, host, metrics, waiting
from lib.daemon import ROLE

# More deaths, and more orders to die, than the sockets between the daemon and its helper hold.
MANY = 350
ROOM = f"[limits]\nmemory_capacity_mb = 1_000_000\nstart_reserve_mb = 0\nenvironments_max = {MANY + 50}\n"
# Asks for an event and waits for it: the smallest environment there is.
WAITS = '#!/bin/sh\nexec curl -sS -o /dev/null "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next"\n'


@pytest.fixture(scope="module")
def roomy(start_module_daemon):
    return start_module_daemon(config=ROOM)


@pytest.fixture
def deploy(roomy, python):
    with functions.making(roomy, python) as maker:
        yield maker


def test_several_hundred_environments_that_end_at_once_leave_a_daemon_that_starts_others(roomy, deploy):
    function = deploy.bootstrap(WAITS, MemorySize=128)
    version = function.client.publish_version(FunctionName=function.name)["Version"]
    function.client.put_provisioned_concurrency_config(
        FunctionName=function.name, Qualifier=version, ProvisionedConcurrentExecutions=MANY
    )

    def available():
        found = function.client.get_provisioned_concurrency_config(FunctionName=function.name, Qualifier=version)
        assert found["Status"] != "FAILED", found
        return found.get("AvailableProvisionedConcurrentExecutions", 0) == MANY

    waiting.until(available, "all are there", within_s=300)
    function.client.delete_function(FunctionName=function.name)
    other = deploy(functions.ECHO)
    assert other.invoke({"cold": "start"}).ok() == {"cold": "start"}
    waiting.until(lambda: metrics.value(roomy, "hearth_environments") == 1, "all others are gone", within_s=120)


def test_a_sandbox_that_failed_while_it_was_handed_over_is_given_to_nobody_else(roomy, deploy):
    """Its code is taken away behind the daemon's back: the hand-over fails, and what was parked for it is killed."""
    broken = [deploy(f"def handler(event, context):\n    return {n}\n") for n in range(4)]
    good = [deploy(f"def handler(event, context):\n    return ['good', {n}]\n") for n in range(8)]
    for function in broken:
        assert isinstance(function.invoke({}).ok(), int)
        shutil.rmtree(roomy.state / "unpacked" / directory_of(function))
        # The environment that is there still has its code; the next one will not.
        function.update(Description="another environment")

    def call(function):
        try:
            return function.invoke({}, tail=False)
        except botocore.exceptions.ClientError as error:
            return error.response["ResponseMetadata"]["HTTPStatusCode"]

    with ThreadPoolExecutor(12) as pool:
        for _ in range(5):
            failing = [pool.submit(call, function) for function in broken]
            fine = [pool.submit(call, function) for function in good]
            assert [one.result() for one in failing] == [500] * len(broken)
            assert [one.result().ok() for one in fine] == [["good", n] for n in range(len(good))]
            for n, function in enumerate(good):
                function.update(Description=f"{n}: cold again")


def directory_of(function):
    """Name of the directory of a function's code: the hash of its package."""
    return base64.b64decode(function.configuration()["CodeSha256"]).hex()


def test_sandboxes_that_hang_while_they_are_made_are_given_up_and_others_are_made(start_daemon, python):
    """The image of their /tmp is a pipe that nobody writes to: whoever makes them waits for it. As many hang as are made
    at a time."""
    daemon = start_daemon(config="[sandbox]\nparked = 0\n")
    maker = functions.Maker(daemon, python, ROLE)
    hanging = [maker(functions.ECHO, EphemeralStorage={"Size": 1024}) for _ in range(4)]
    fine = maker(functions.ECHO)
    image = daemon.state / "tmp" / "template-1024.ext4"
    os.mkfifo(image)

    def call(function):
        try:
            return function.invoke(1, tail=False).ok()
        except botocore.exceptions.ClientError as error:
            return error.response["ResponseMetadata"]["HTTPStatusCode"]

    with ThreadPoolExecutor(5) as pool:
        waiting_for_ever = [pool.submit(call, function) for function in hanging]
        waiting.until(lambda: builders(daemon) >= 4, "all hang")
        assert call(fine) == 1, "its turn comes"
        assert [one.result() for one in waiting_for_ever] == [500] * 4
    image.unlink()
    assert [call(function) for function in hanging] == [1] * 4
    assert builders(daemon) <= 5, "those that hung are gone"
    maker.delete_all()


def builders(daemon):
    """Sandboxes that there are: children of the daemon's helper."""
    helper = host.own_children_of(daemon.pid)
    return sum(len(host.own_children_of(child)) for child in helper)


def test_an_environment_takes_at_most_twelve_descriptors_of_the_daemon_and_its_helper(start_daemon, python):
    """All of one function, whose log is one more file; nothing is parked, so that the helper has what they have only."""
    daemon = start_daemon(config="[sandbox]\nparked = 0\n")
    (helper,) = host.own_children_of(daemon.pid)
    with functions.making(daemon, python) as deploy:
        function = deploy(functions.ECHO)
        version = function.client.publish_version(FunctionName=function.name)["Version"]

        def with_environments(number):
            function.client.put_provisioned_concurrency_config(
                FunctionName=function.name, Qualifier=version, ProvisionedConcurrentExecutions=number
            )
            waiting.until(lambda: metrics.value(daemon, "hearth_environments") == number, "all are there")
            waiting.until(lambda: builders(daemon) == number, "and no other")
            return host.open_files(daemon.pid) + host.open_files(helper)

        before = with_environments(2)
        assert (with_environments(12) - before) / 10 <= 12
