"""One test per recorded case; the counts of all cases are told at the end of the run."""

import pytest
import replay

CASES = replay.cases()
there = pytest.mark.skipif(not CASES, reason=f"the recordings are not at {replay.SHARED}")


@pytest.fixture(scope="module")
def recorded_daemon(request):
    """A daemon that says it is the account of the recordings."""
    import conftest

    daemon = conftest.launch(environment={"HEARTH_ACCOUNT_ID": replay.ACCOUNT, "HEARTH_REGION": replay.REGION})
    yield daemon
    conftest.end(daemon)


@there
def test_the_recordings_are_there():
    assert len(CASES) > 200


# One case that is skipped stands for all of them where they are not.
@there
@pytest.mark.parametrize("name", CASES or ["recordings"], ids=replay.short)
def test_an_answer_is_that_of_the_service(name, request):
    if reason := replay.reason_against(name):
        pytest.skip(reason)
    wanted = replay.runtime_of(name)
    present = replay.interpreters.runtimes()
    if wanted and wanted.startswith(("python", "nodejs")) and wanted not in present and "deprecated" not in name:
        pytest.skip(f"{wanted} is not on this host")
    try:
        differences = replay.replayed(request.getfixturevalue("recorded_daemon"), name)
    except replay.NotApplicable as reason:
        pytest.skip(str(reason))
    if differences:
        shown = "\n".join(map(repr, differences))
        pytest.fail(f"{len(differences)} differences from the service:\n{shown}", pytrace=False)


@there
def test_every_entry_of_the_tables_is_used():
    """An entry that fits no case any more is dead and hides nothing."""
    names = [replay.short(name) for name in CASES]
    for table, key, entries in (
        ("not_applicable.toml", "name", "case"),
        ("drift.toml", "case", "answer"),
        ("drift.toml", "case", "value"),
    ):
        for entry in replay.table(table).get(entries, []):
            assert any(replay.re.search(entry[key], name) for name in names), f"{table}: {entry[key]}"
            assert entry["reason"]


@there
def test_a_case_that_is_made_again_has_names_of_its_own(recorded_daemon):
    name = next(name for name in CASES if name.endswith("TestLambdaVersions::test_publish_with_update"))
    first, again = replay.Replay(recorded_daemon, name), replay.Replay(recorded_daemon, name, 1)
    used = first.values["<function-name:1>"]
    assert again.values["<function-name:1>"] != used and len(again.values["<function-name:1>"]) == len(used)
