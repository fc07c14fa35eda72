"""Starts, asks and ends one `hearth serve`.

Each daemon has a state directory and ports of its own, so any number of them run beside each other and beside one that
the machine's owner runs. Processes are ended by the pid that was started here, never by name.
"""

import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import boto3
from botocore.config import Config

from . import waiting

REPOSITORY = Path(__file__).resolve().parents[2]
READY_LINE = re.compile(r"hearth: listening on (https?://\S+:\d+)\n")
READY_WITHIN_S = waiting.stretched(60)
STOP_WITHIN_S = waiting.stretched(60)
STDERR_SHOWN = 6_000
REGION = "us-east-1"
ACCOUNT = "000000000000"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/lambda-role"


def binary():
    """The program under test: `$HEARTH_BIN`, else what cargo built last for release, else for debug."""
    named = os.environ.get("HEARTH_BIN")
    candidates = [Path(named)] if named else [REPOSITORY / "target" / kind / "hearth" for kind in ("release", "debug")]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    looked = ", ".join(str(path) for path in candidates)
    raise FileNotFoundError(f"no hearth to test; looked at {looked}. Build it: cargo build --release")


def clean_environment(extra=None):
    """The caller's environment without anything that would change what a daemon or a client does."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HEARTH_", "AWS_"))}
    # The runner of parallel tests sets it, and help would be wrapped to it.
    kept.pop("COLUMNS", None)
    kept.update(
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_DEFAULT_REGION=REGION,
        AWS_CONFIG_FILE="/nonexistent",
        AWS_SHARED_CREDENTIALS_FILE="/nonexistent",
        AWS_EC2_METADATA_DISABLED="true",
        AWS_PAGER="",
    )
    kept.update(extra or {})
    return kept


# One for all clients: a session reads the description of a service once, which takes longer than all else.
SESSION = boto3.session.Session()
# A session may make one client at a time.
MAKING = threading.Lock()


def aws_client(service, endpoint, config=None, signer=("test", "test"), region=REGION, verify=None):
    """A boto3 client; `signer` is id, secret and, for temporary keys, token."""
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    with MAKING:
        return SESSION.client(
            service, region, endpoint_url=endpoint, config=config, verify=verify, **dict(zip(names, signer, strict=False))
        )


class Daemon:
    """One daemon process and the clients that talk to it."""

    def __init__(self, environment=None, config=None, directory=None, arguments=(), prefix=()):
        self.owns_directory = directory is None
        self.directory = Path(directory or tempfile.mkdtemp(prefix="hearth-test-", dir="/tmp"))
        # The daemon gives up its privileges; it must still be able to walk to its own directory.
        self.directory.chmod(0o755)
        self.state = self.directory / "state"
        self.errors = self.directory / "stderr.log"
        # The host's own key is its owner's.
        self.environment = {"HEARTH_KEY_FILE": str(self.directory / "key"), **(environment or {})}
        self.arguments = list(arguments)
        # A command that starts the daemon somewhere else, in another namespace for example; it must become the daemon.
        self.prefix = [str(word) for word in prefix]
        self.config = None
        if config is not None:
            self.config = self.directory / "hearth.toml"
            self.config.write_text(config)
        self.process = None
        self.endpoint = None
        self.key = ("test", "test")
        self.ca = None
        self._clients = {}

    # --- life ---

    def command(self):
        listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
        config = ["--config", str(self.config)] if self.config else []
        return [*self.prefix, str(binary()), "serve", "--state-dir", str(self.state), *listen, *config, *self.arguments]

    def start(self):
        """Starts the daemon and returns when it says that it listens."""
        assert self.process is None, "already started"
        with open(self.errors, "ab") as errors:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=clean_environment(self.environment),
                cwd="/",
            )
        line = self._first_line()
        match = READY_LINE.fullmatch(line)
        if not match:
            self.kill()
            raise AssertionError(f"the daemon did not become ready; it printed {line!r}\n{self.stderr_tail()}")
        self.endpoint = match.group(1)
        self._clients.clear()
        return self

    def _first_line(self):
        end = time.monotonic() + READY_WITHIN_S
        text = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not text.endswith(b"\n") and time.monotonic() < end:
                if not selector.select(timeout=0.2):
                    continue
                byte = os.read(self.process.stdout.fileno(), 1)
                if not byte:
                    break
                text += byte
        return text.decode(errors="replace")

    def stop(self):
        """Asks the daemon to end, waits, returns its exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running {STOP_WITHIN_S:g} s after SIGTERM\n{self.stderr_tail()}") from None
        self.rest_of_stdout = self.process.stdout.read().decode(errors="replace")
        self.process.stdout.close()
        self.process = None
        return code

    def kill(self):
        """`kill -9` of the daemon alone; what it started has to notice by itself."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        self.process = None

    def remove(self):
        if self.owns_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def pid(self):
        return self.process.pid

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def stderr_tail(self, size=STDERR_SHOWN):
        text = self.errors.read_text(errors="replace") if self.errors.exists() else ""
        return f"--- standard error of the daemon, last {size} characters ---\n{text[-size:]}"

    # --- talking to it ---

    def run_file(self):
        return json.loads((self.state / "run.json").read_text())

    @property
    def admin(self):
        """Base URL of the health and metrics listener."""
        address = self.run_file()["admin"]
        return address if address.startswith("http") else f"http://{address}"

    @property
    def address(self):
        """(host, port) of the control API."""
        host, port = self.endpoint.split("://")[1].rsplit(":", 1)
        return host, int(port)

    def client(self, timeout_s=70, validate=True, retries=0, region=REGION, signer=None):
        """A boto3 lambda client; `validate=False` lets wrong parameters through to the daemon.

        `signer` is id, secret and, for temporary keys, token of another key than the daemon's usual one.
        """
        signer = signer or self.key
        key = (timeout_s, validate, retries, region, signer)
        if key not in self._clients:
            config = Config(
                connect_timeout=5,
                read_timeout=waiting.stretched(timeout_s),
                retries={"total_max_attempts": retries + 1},
                parameter_validation=validate,
                max_pool_connections=64,
            )
            self._clients[key] = aws_client("lambda", self.endpoint, config, signer, region, verify=self.ca)
        return self._clients[key]

    def cli(self, *arguments, stdin=None, check=True, within_s=90, environment=None):
        """Runs one of the program's client verbs against this daemon."""
        extra = {"HEARTH_STATE_DIR": str(self.state), **self._signing(), **(environment or {})}
        if self.endpoint:
            extra.setdefault("HEARTH_ENDPOINT", self.endpoint)
        return run([str(binary()), *arguments], stdin, check, within_s, extra)

    def aws_command(self, *arguments, service="lambda"):
        """The command that runs `aws lambda …` of the aws CLI against this daemon."""
        program = shutil.which("aws", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        assert program, "the aws CLI is not installed; tests/run.sh installs it"
        return [program, "--endpoint-url", self.endpoint, "--output", "json", service, *arguments]

    def aws(self, *arguments, service="lambda", stdin=None, check=True, within_s=90):
        """Runs `aws lambda …` of the aws CLI against this daemon."""
        return run(self.aws_command(*arguments, service=service), stdin, check, within_s, self._signing())

    def _signing(self):
        variables = {"AWS_ACCESS_KEY_ID": self.key[0], "AWS_SECRET_ACCESS_KEY": self.key[1]}
        return variables | ({"AWS_CA_BUNDLE": str(self.ca)} if self.ca else {})


def run(command, stdin, check, within_s, extra):
    """Runs a command; text in, text out. With `check`, a failure shows what the command printed."""
    done = subprocess.run(
        [str(word) for word in command],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=waiting.stretched(within_s),
        env=clean_environment(extra),
    )
    if check:
        shown = " ".join(str(word) for word in command)
        assert done.returncode == 0, f"{shown}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done
