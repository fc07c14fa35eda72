"""Every sample function: built, deployed with `hearth deploy`, invoked, and its answer compared."""

import json
import subprocess
from pathlib import Path

import pytest

from lib import daemon as daemons
from lib import functions, interpreters

SAMPLES = daemons.REPOSITORY / "sample-functions"
BUILD_WITHIN_S = 600


def folders():
    found = sorted(path.parent.name for path in SAMPLES.glob("*/function.json"))
    return found or ["none"]


class Sample:
    def __init__(self, name):
        self.name = name
        self.folder = SAMPLES / name
        assert self.folder.is_dir(), "sample-functions/ holds no sample"
        self.settings = self.read("function.json")
        self.event = self.read("event.json")
        self.expected = self.read("expected.json")

    def read(self, name):
        return json.loads((self.folder / name).read_text())

    def runtime(self):
        wanted = [self.settings["runtime"], *self.settings.get("or_runtimes", [])]
        for runtime in wanted:
            if runtime.startswith("provided") or runtime in interpreters.runtimes():
                return runtime
        return pytest.skip(f"none of {', '.join(wanted)} is on this host")

    def package(self):
        """Builds the sample where that is needed; returns what to deploy."""
        if build := self.settings.get("build"):
            done = subprocess.run(
                ["/bin/sh", str(self.folder / build)], capture_output=True, text=True, timeout=BUILD_WITHIN_S
            )
            assert done.returncode == 0, f"{self.name}/{build} failed\n{done.stdout}\n{done.stderr}"
        return self.folder / self.settings.get("path", ".")

    def deploy(self, daemon, name, variant=None):
        settings = self.settings | (variant or {})
        words = [
            "deploy",
            self.package(),
            "--name",
            name,
            "--runtime",
            self.runtime(),
            "--handler",
            settings["handler"],
        ]
        words += ["--memory", settings.get("memory", 128), "--timeout", settings.get("timeout", 3)]
        for key, value in settings.get("env", {}).items():
            words += ["--env", f"{key}={value}"]
        daemon.cli(*words, within_s=BUILD_WITHIN_S)
        function = functions.Function(daemon.client(), name)
        function.wait()
        return function


@pytest.fixture
def deploy(daemon):
    names = []

    def deploy_one(sample, variant=None):
        names.append(functions.unique(sample.name))
        return sample.deploy(daemon, names[-1], variant)

    yield deploy_one
    for name in names:
        daemon.client().delete_function(FunctionName=name)


@pytest.mark.parametrize("name", folders())
def test_a_sample_answers_as_it_says(name, deploy):
    sample = Sample(name)
    function = deploy(sample)
    wanted = sample.settings.get("expect_error")
    for _ in ("cold", "warm"):
        result = function.invoke(sample.event)
        if wanted:
            assert (result.error, result.json["errorType"]) == ("Unhandled", wanted)
        else:
            assert result.ok() == sample.expected


def ways():
    """(sample, value of the member that chooses, error type) of the samples that fail on purpose."""
    found = []
    for name in folders():
        path = SAMPLES / name / "function.json"
        if path.is_file() and (member := json.loads(path.read_text()).get("event_member")):
            expected = json.loads((SAMPLES / name / "expected.json").read_text())
            found += [(name, member, value, kind) for value, kind in expected.items()]
    return found


@pytest.mark.parametrize(("name", "member", "value", "kind"), ways())
def test_a_sample_fails_as_it_says(name, member, value, kind, deploy):
    result = deploy(Sample(name)).invoke({member: value})
    if kind is None:
        assert result.error is None
    else:
        assert (result.error, result.json["errorType"]) == ("Unhandled", kind)


def variants():
    found = []
    for name in folders():
        path = SAMPLES / name / "function.json"
        if path.is_file():
            found += [(name, key) for key in json.loads(path.read_text()).get("variants", {})]
    return found


@pytest.mark.parametrize(("name", "variant"), variants())
def test_a_variant_of_a_sample_fails_as_it_says(name, variant, deploy):
    sample = Sample(name)
    settings = sample.settings["variants"][variant]
    result = deploy(sample, settings).invoke(sample.event)
    assert (result.error, result.json["errorType"]) == ("Unhandled", settings["expect_error"])


def test_every_sample_has_its_files():
    assert folders() != ["none"], "sample-functions/ holds no sample"
    for name in folders():
        folder = Path(SAMPLES / name)
        missing = [file for file in ("README.md", "event.json", "expected.json") if not (folder / file).is_file()]
        assert not missing, f"{name} lacks {missing}"
