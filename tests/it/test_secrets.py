"""Environment variables at rest: sealed with the host's key, which is never lost silently."""

import subprocess

import pytest

from lib import daemon as daemons
from lib import functions
from lib.daemon import ROLE

SECRET = "correct-horse-battery"
HANDLER = "import os\ndef handler(event, context):\n    return os.environ.get('TOKEN')\n"


@pytest.fixture
def sealed(start_daemon, python):
    daemon = start_daemon()
    client = daemon.client()
    client.create_function(
        FunctionName="keeps",
        Runtime=python,
        Role=ROLE,
        Handler="index.handler",
        Code={"ZipFile": functions.package(HANDLER)},
        Environment={"Variables": {"TOKEN": SECRET}},
    )
    client.get_waiter("function_active_v2").wait(FunctionName="keeps")
    client.publish_version(FunctionName="keeps")
    return daemon


def refused(daemon):
    done = subprocess.run(
        daemon.command(), capture_output=True, text=True, timeout=60, env=daemons.clean_environment(daemon.environment)
    )
    assert done.returncode == 1 and done.stdout == "", done.stderr
    return done.stderr


def test_variables_are_on_no_disk_in_the_clear_and_come_back(sealed):
    for stopped in (sealed.kill, sealed.stop):
        function = functions.Function(sealed.client(), "keeps")
        assert function.invoke().ok() == SECRET
        assert function.invoke(Qualifier="1").ok() == SECRET
        stopped()
        for path in sealed.state.rglob("*"):
            if path.is_file() and not path.is_symlink():
                assert SECRET.encode() not in path.read_bytes(), path
        sealed.start()
    assert sealed.client().get_function_configuration(FunctionName="keeps")["Environment"]["Variables"]["TOKEN"] == SECRET
    key = sealed.directory / "key"
    assert key.stat().st_mode & 0o777 == 0o600 and key.stat().st_uid == 0


def test_a_lost_key_is_a_clear_error_and_no_second_key_is_made(sealed):
    sealed.stop()
    key = sealed.directory / "key"
    kept = key.read_bytes()
    key.unlink()
    said = refused(sealed)
    assert str(key) in said and "put that key back" in said
    assert not key.exists()
    key.write_text("ab" * 32)
    key.chmod(0o600)
    assert "put the other key back" in refused(sealed)
    key.write_text("nonsense")
    assert "is not a key" in refused(sealed)
    key.write_bytes(kept)
    key.chmod(0o644)
    assert "chmod 600" in refused(sealed)
    key.chmod(0o600)
    sealed.start()
    assert functions.Function(sealed.client(), "keeps").invoke().ok() == SECRET


def test_without_the_key_one_can_go_on_and_set_the_variables_again(sealed):
    sealed.stop()
    (sealed.directory / "key").unlink()
    (sealed.state / "sealed-with").unlink()
    sealed.start()
    client = sealed.client()
    shown = client.get_function_configuration(FunctionName="keeps")["Environment"]
    assert shown["Error"]["ErrorCode"] == "KMSAccessDeniedException" and "Variables" not in shown
    status, code, _ = functions.error_of(client.invoke, FunctionName="keeps")
    assert (status, code) == (502, "KMSAccessDeniedException")
    client.update_function_configuration(FunctionName="keeps", Environment={"Variables": {"TOKEN": "new"}})
    client.get_waiter("function_updated_v2").wait(FunctionName="keeps")
    assert functions.Function(client, "keeps").invoke().ok() == "new"


def test_systemds_credential_is_the_key(start_daemon, tmp_path):
    tmp_path.chmod(0o700)
    (tmp_path / "hearth-key").write_bytes(bytes(range(32)))
    (tmp_path / "hearth-key").chmod(0o400)
    daemon = start_daemon(environment={"HEARTH_KEY_FILE": "", "CREDENTIALS_DIRECTORY": str(tmp_path)})
    with_credential = (daemon.state / "sealed-with").read_text()
    daemon.stop()
    # The same key as digits, named outright.
    key = daemon.directory / "key"
    key.write_text(bytes(range(32)).hex())
    key.chmod(0o600)
    daemon.environment = {"HEARTH_KEY_FILE": str(key)}
    daemon.start()
    assert (daemon.state / "sealed-with").read_text() == with_credential
