"""`deploy/run.sh` as an operator runs it: from a checkout, stopped and run again, with a program that is built already."""

import contextlib
import json
import os
import shutil
import signal
import subprocess

import pytest

from lib import daemon as daemons
from lib import waiting
from lib.daemon import REPOSITORY, clean_environment

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it starts a daemon")


@pytest.fixture
def checkout(tmp_path):
    """What the script needs of a checkout: itself and samples. Those that are built are left to `test_samples.py`; one
    whose build fails stands in for them."""
    place = tmp_path / "checkout"
    shutil.copytree(REPOSITORY / "deploy", place / "deploy")
    for told in sorted((REPOSITORY / "sample-functions").glob("*/function.json")):
        if "build" not in json.loads(told.read_text()):
            shutil.copytree(told.parent, place / "sample-functions" / told.parent.name)
    broken = place / "sample-functions" / "broken"
    shutil.copytree(place / "sample-functions" / "python-hello", broken)
    told = json.loads((broken / "function.json").read_text())
    (broken / "function.json").write_text(json.dumps({**told, "build": "build.sh"}))
    (broken / "build.sh").write_text("echo it cannot be built; exit 1\n")
    # The daemon gives up its privileges; it must still be able to walk to its state.
    for above in (tmp_path, *tmp_path.parents[:2]):
        above.chmod(above.stat().st_mode | 0o055)
    return place


def environment(tmp_path, **more):
    own = {
        "HEARTH_BIN": str(daemons.binary().absolute()),
        "HEARTH_STATE_DIR": str(tmp_path / "state"),
        "HEARTH_KEY_FILE": str(tmp_path / "key"),
        "HEARTH_LISTEN": "127.0.0.1:0",
    }
    return clean_environment({**own, **more})


@contextlib.contextmanager
def running(checkout, tmp_path):
    """The script, once it says that all is done; asked to stop at the end, as by Ctrl-C."""
    out = tmp_path / "said"
    with open(out, "wb") as said:
        script = subprocess.Popen(
            [str(checkout / "deploy" / "run.sh"), "--", "--admin-listen", "127.0.0.1:0"],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=environment(tmp_path),
            start_new_session=True,
            # Who is started in the background may have been told to ignore it, and a shell cannot take that back.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def done():
        assert script.poll() is None, out.read_text()
        return "Ctrl-C stops it." in out.read_text()

    try:
        waiting.until(done, lambda: f"the script is done\n{out.read_text()}", 60)
        yield script, out.read_text()
    finally:
        script.send_signal(signal.SIGINT)
        code = script.wait(waiting.stretched(60))
    assert code == 130 and "==> stopping" in out.read_text(), f"{code}\n{out.read_text()}"


def hearth(tmp_path, *arguments):
    command = [str(daemons.binary()), *arguments, "--state-dir", str(tmp_path / "state")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment(tmp_path))
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_script_starts_a_daemon_with_samples_and_again_with_the_same_state(checkout, tmp_path):
    listed = []
    for _ in range(2):
        with running(checkout, tmp_path) as (_, said):
            assert "building" not in said
            assert "it cannot be built" in said and "==> left out broken" in said
            assert "==> deployed python-hello (python3." in said
            answer = json.loads(hearth(tmp_path, "invoke", "python-hello", '{"name": "you"}'))
            assert "you" in json.dumps(answer)
            pid = json.loads((tmp_path / "state" / "run.json").read_text())["pid"]
            listed.append(sorted(line.split()[0] for line in hearth(tmp_path, "list").splitlines()[1:]))
        assert not os.path.exists(f"/proc/{pid}"), "the daemon went with the script"
    assert "python-hello" in listed[0] and listed[0] == listed[1]


def test_a_program_that_is_not_there_is_said(checkout, tmp_path):
    script = [str(checkout / "deploy" / "run.sh"), "--no-samples"]
    done = subprocess.run(
        script, capture_output=True, text=True, timeout=60, env=environment(tmp_path, HEARTH_BIN="/nowhere/hearth")
    )
    assert (done.returncode, done.stderr) == (1, "deploy/run.sh: HEARTH_BIN: there is no program /nowhere/hearth\n")
