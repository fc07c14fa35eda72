"""What the attacks share: a function that has done nothing, and the proof that the daemon goes on."""

import attacks
import pytest

from lib import functions, waiting


@pytest.fixture(scope="module")
def healthy(daemon, python):
    with functions.making(daemon, python) as maker:
        yield maker(functions.ECHO)


@pytest.fixture
def alive(daemon, healthy):
    """After an attack: the daemon is the same process and serves."""
    pid = daemon.pid
    yield
    assert daemon.is_running() and daemon.pid == pid
    assert healthy.invoke({"still": "here"}).ok() == {"still": "here"}


@pytest.fixture
def attack(make):
    """Runs an attack and returns the result of its invocation."""

    def run(code, event=None, **settings):
        settings["Timeout"] = min(waiting.stretched(settings.get("Timeout", 20)), 900)
        settings.setdefault("MemorySize", 256)
        return make(attacks.HEAD + code, **settings).invoke({} if event is None else event)

    return run
