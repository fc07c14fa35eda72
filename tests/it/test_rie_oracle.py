"""The Runtime API against AWS's own emulator: the same bootstrap, the same calls, the same answers.

Where both differ, `tests/oracle/differences.toml` says why ours is as it is. See `tests/oracle/README.md`.
"""

import sys

import pytest

from lib import oracle

sys.path.insert(0, str(oracle.HERE))

from scenarios import SCENARIOS  # noqa: E402

# Which entries of the list were met, by the scenarios that ran.
MET = set()
RAN = set()


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_runtime_sees_what_it_sees_under_the_emulator(name, daemon, make):
    scenario = SCENARIOS[name]
    emulated = oracle.under_emulator(name, scenario)
    ours = oracle.under_hearth(name, scenario, daemon, make)
    found = oracle.differences(emulated, ours)
    unlisted = []
    for place, pair in found.items():
        entries = [at for at, entry in enumerate(oracle.listed()) if oracle.covers(entry, name, place, pair)]
        MET.update(entries)
        if not entries:
            unlisted.append(f"{place}\n    emulator: {pair[0]!r}\n    hearth:   {pair[1]!r}")
    RAN.add(name)
    assert not unlisted, f"{name}: not listed in differences.toml:\n" + "\n".join(unlisted)


def test_every_listed_difference_is_still_there():
    if set(SCENARIOS) != RAN:
        pytest.skip("only meaningful after all scenarios of this file have run")
    gone = [entry for at, entry in enumerate(oracle.listed()) if at not in MET]
    assert not gone, f"no longer there, take them out of differences.toml: {gone}"


def test_every_listed_difference_has_a_reason():
    for entry in oracle.listed():
        assert set(entry) <= {"scenario", "place", "emulator", "hearth", "reason"}, entry
        assert len(entry["reason"].split()) >= 5, entry
