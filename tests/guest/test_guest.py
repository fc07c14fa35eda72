"""The daemon on a host with pure cgroup v2: boots a guest once and runs tests inside it, each a result of its own.

Which tests run there is written here. What takes long under a processor in software runs with `HEARTH_LONG=1`.
Skipped, with the reason, where the guest cannot be had.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from guest import Guest  # noqa: E402
from image import CannotBeHad  # noqa: E402

from lib import daemon as daemons  # noqa: E402

TESTS = Path(__file__).resolve().parents[1]
LONG = os.environ.get("HEARTH_LONG") == "1"
WITHIN_S = 10_800 if LONG else 900
COLLECT_WITHIN_S = 120
OWN = ["guest/inside/pure_v2.py"]
# What the kernel's control groups, mounts and namespaces decide. Bombs that take minutes here are left to the long run,
# and so are roots and networks of one's own: making one takes too long. Left out altogether is `test_hoarders.py`: it is
# about what the daemon itself holds, which no control group decides, and times its functions for a real processor.
JAIL_SHORT = [
    "jail/test_jail.py::test_host_files_cannot_be_read",
    "jail/test_jail.py::test_other_processes_cannot_be_seen",
    "jail/test_jail.py::test_kernel_settings_cannot_be_written",
    "jail/test_jail.py::test_a_forbidden_call_is_refused",
    "jail/test_jail.py::test_nobody_becomes_root",
    "jail/test_jail.py::test_processes_and_threads_end_at_1024",
    "jail/test_liars.py::test_an_error_type_cannot_write_into_the_log",
    "jail/test_secrets.py::test_a_set_uid_file_of_a_package_is_an_ordinary_one",
]
JAIL_LONG = [
    "jail/test_jail.py",
    "jail/test_resources.py",
    "jail/test_secrets.py",
    "jail/test_root_attacks.py",
    "jail/test_network_attacks.py",
    "jail/test_liars.py",
]
SELECTED = OWN + (JAIL_LONG if LONG else JAIL_SHORT)


def collected():
    """Names of the selected tests, as pytest inside the guest will name them."""
    command = [sys.executable, "-m", "pytest", "-c", "pytest.ini", "--rootdir", ".", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--collect-only", "-q", *SELECTED],
        cwd=TESTS,
        capture_output=True,
        text=True,
        timeout=COLLECT_WITHIN_S,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
    )
    names = [line for line in done.stdout.splitlines() if "::" in line]
    assert done.returncode == 0 and names, f"cannot tell the guest's tests:\n{done.stdout}\n{done.stderr}"
    return names


def pytest_generate_tests(metafunc):
    if "inside" in metafunc.fixturenames:
        names = collected()
        # Ids of their own: pytest leaves long texts out.
        ids = [name.split("/")[-1].replace(".py::", ": ").replace("test_", "", 1) for name in names]
        metafunc.parametrize("inside", names, ids=ids)


@pytest.fixture(scope="module")
def guest():
    machine = Guest(daemons.binary(), SELECTED, WITHIN_S)
    try:
        machine.boot()
    except CannotBeHad as reason:
        pytest.skip(f"no guest with pure cgroup v2 here: {reason}")
    yield machine
    machine.end()


def test_in_the_guest(guest, inside):
    told = guest.result(inside)
    if told["outcome"] == "skipped":
        pytest.skip(told["text"])
    assert told["outcome"] == "passed", told["text"]
