"""One test per recorded case; the counts of all cases are told at the end of the run."""

import pytest
import replay
from others import Others

from lib import stores

CASES = replay.cases()
there = pytest.mark.skipif(not CASES, reason=f"the recordings are not at {replay.SHARED}")


@pytest.fixture(scope="module")
def store():
    """A store that code comes from: its address, and a client for it."""
    with stores.moto() as whole:
        yield whole


@pytest.fixture(scope="module")
def recorded_daemon(store):
    """A daemon that says it is the account of the recordings, encrypted as the service is."""
    import conftest

    environment = {"HEARTH_ACCOUNT_ID": replay.ACCOUNT, "HEARTH_REGION": replay.REGION, "AWS_ENDPOINT_URL_S3": store[0]}
    daemon = conftest.launch(config='[tls]\nself_signed = ["localhost"]\n', environment=environment)
    daemon.ca = str(daemon.state / "tls" / "ca.pem")
    yield daemon
    conftest.end(daemon)


@pytest.fixture(scope="module")
def others(recorded_daemon, store):
    """The ways to all that is not Lambda."""
    return Others(recorded_daemon, replay.REGION, store[1])


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
        daemon, others = map(request.getfixturevalue, ("recorded_daemon", "others"))
        differences = replay.replayed(daemon, name, others)
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
        ("unjudged.toml", "case", "answer"),
    ):
        for entry in replay.table(table).get(entries, []):
            assert any(replay.re.search(entry[key], name) for name in names), f"{table}: {entry[key]}"
            assert entry["reason"]


@there
def test_what_is_not_judged_are_answers_of_others_that_were_recorded():
    """Each entry of `unjudged.toml` names a label that is there, and never one of a call of Lambda."""
    requests, answers = replay.recordings()
    for entry in replay.table("unjudged.toml")["answer"]:
        if entry["label"] == replay.NOTHING:
            continue
        met = set()
        for name in CASES:
            if not replay.re.search(entry["case"], replay.short(name)):
                continue
            labels = {label for label in answers["cases"][name]["recorded-content"] if replay.re.fullmatch(entry["label"], label)}
            met |= labels
            for call in replay.calls_of(requests["cases"][name]):
                told = {call.get("label"), *call.get("also", [])}
                assert not (labels & told and call["call"].startswith("lambda.")), f"{entry}: {name}"
        assert met, f"{entry} names no recorded answer"


@there
def test_a_case_that_compares_nothing_and_an_answer_that_is_not_judged_are_differences(recorded_daemon):
    name = next(name for name in CASES if name.endswith("TestLambdaVersions::test_publish_with_update"))
    replayed = replay.Replay(recorded_daemon, name)
    labels = set(replayed.answers)
    replayed.calls = []
    assert {one.place for one in replayed.run()} == labels | {""}


@there
def test_a_case_that_is_made_again_has_names_of_its_own(recorded_daemon):
    name = next(name for name in CASES if name.endswith("TestLambdaVersions::test_publish_with_update"))
    first, again = replay.Replay(recorded_daemon, name), replay.Replay(recorded_daemon, name, 1)
    used = first.values["<function-name:1>"]
    assert again.values["<function-name:1>"] != used and len(again.values["<function-name:1>"]) == len(used)
