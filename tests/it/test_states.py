"""State directories of earlier releases open, tell what they told, run and change.

`tests/states/*.tar.xz` were written by the releases of their time; the last one in the order of names is of today's form.
When that is no longer so, `tests/states/make.py` writes the next one, and the others stay.
"""

import json
import os
import re
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest

from lib import functions
from lib.daemon import REPOSITORY

STATES = REPOSITORY / "tests" / "states"
sys.path.insert(0, str(STATES))

import scene  # noqa: E402

ARCHIVES = sorted(path.name.removesuffix(".tar.xz") for path in STATES.glob("*.tar.xz"))


def unpack(name, folder):
    with tarfile.open(STATES / f"{name}.tar.xz") as archive:
        archive.extractall(folder, filter="tar")
    if (folder / "key").exists():
        os.chmod(folder / "key", 0o400)
    return json.loads((folder / "seen.json").read_text())


@pytest.fixture
def old_daemon(start_daemon):
    """Starts today's release on the state of an archive; gives it with what its own release saw."""
    # Not below pytest's own folder: the daemon gives up its privileges and has to walk there.
    with tempfile.TemporaryDirectory(prefix="hearth-test-") as folder:

        def start(name):
            seen = unpack(name, Path(folder))
            return start_daemon(directory=folder), seen

        yield start


@pytest.mark.own_daemon
@pytest.mark.parametrize("name", ARCHIVES)
def test_an_earlier_state_tells_what_it_told_and_goes_on(name, old_daemon):
    daemon, seen = old_daemon(name)
    assert scene.differences(seen, scene.describe(daemon)) == []
    client = daemon.client()
    plain, rich = functions.Function(client, scene.PLAIN), functions.Function(client, scene.RICH)
    check_they_run(plain, rich, seen)
    check_the_others_run(client, seen)
    check_nothing_is_in_the_clear(daemon)
    # All of it can still be changed, and survives another start in its new form.
    plain.update(Environment={"Variables": {"STAGE": "changed"}})
    rich.update_code({"bootstrap": scene.BOOTSTRAP, "word": "other"})
    version = client.publish_version(FunctionName=scene.RICH)["Version"]
    assert version == str(len(versions(seen)))
    now = scene.describe(daemon)
    daemon.stop()
    daemon.start()
    assert scene.differences(now, scene.describe(daemon)) == []
    again = functions.Function(daemon.client(), scene.PLAIN)
    assert again.invoke({}).ok().split()[0] == "changed"
    for gone in daemon.client().list_functions()["Functions"]:
        daemon.client().delete_function(FunctionName=gone["FunctionName"])
    assert daemon.client().list_functions()["Functions"] == []
    daemon.stop()
    check_nothing_is_in_the_clear(daemon)


def check_the_others_run(client, seen):
    if seen.get(scene.BOUND):
        bound = functions.Function(client, scene.BOUND)
        assert bound.invoke({}).ok() == bound.invoke({}, Qualifier="1").ok() == "bound "
    if seen.get(scene.UNFINISHED):
        unfinished = functions.Function(client, scene.UNFINISHED)
        assert unfinished.configuration()["LastUpdateStatus"] == "Failed"
        assert unfinished.invoke({}).ok() == "kept secret before"
        assert unfinished.update(Timeout=9)["LastUpdateStatus"] == "Successful"
        assert unfinished.invoke({}).ok() == "kept secret after"


def check_nothing_is_in_the_clear(daemon):
    """Variables are sealed whatever release wrote them, free pages and the database's log included."""
    for path in daemon.state.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert b"kept secret" not in path.read_bytes(), path


def versions(seen):
    return (seen.get(f"{scene.RICH}: versions") or {"Versions": ["$LATEST"]})["Versions"]


def check_they_run(plain, rich, seen):
    """Packages, layers and secrets are whole: each function says what it was made to say."""
    layer = scene.LAYER_TEXT if seen.get("layers") else ""
    assert plain.invoke({}).ok() == f"kept secret {layer}"
    if len(versions(seen)) == 1:
        assert rich.invoke({}).ok() == "one "
        return
    assert rich.invoke({}).ok() == "two "
    assert rich.invoke({}, Qualifier="1").ok() == "one "
    live = rich.invoke({}, Qualifier="live")
    assert (live.ok(), live.version) == ("one ", "1")


@pytest.mark.own_daemon
def test_the_last_archive_is_of_the_form_that_is_written_today(start_daemon, tmp_path):
    """A change of what is on disk has to leave an archive of what was there before."""
    unpack(ARCHIVES[-1], tmp_path)
    daemon = start_daemon()
    scene.play(daemon)
    daemon.stop()
    old, new = scene.on_disk(tmp_path / "state"), scene.on_disk(daemon.state)
    advice = f"what is written to disk is not what {ARCHIVES[-1]} has: write the next archive with tests/states/make.py"
    assert new == old, advice
    daemon.start()


def test_the_last_archive_has_something_of_every_family(tmp_path):
    """A new family of documents belongs into the scene, with the release that brings it."""
    unpack(ARCHIVES[-1], tmp_path)
    source = (REPOSITORY / "src" / "store" / "documents.rs").read_text()
    known = set(re.findall(r'Self::\w+ => "([a-z-]+)",', source))
    assert len(known) >= 15 and scene.families(tmp_path / "state") == known


def test_the_shape_of_what_is_on_disk_can_differ():
    assert scene.shape_of({"a": [1, 2], "b": None}) == {"a": ["int"], "b": "NoneType"}
    assert scene.row_shape(["family", "body"], ["policy", '{"a": "x"}']) == {"family": "policy", "body": {"a": "str"}}
    assert scene.differences({"a": 1, "b": [1]}, {"a": 1, "b": [2], "c": 3}) == ["/b/0: was 1, is 2"]
