"""Who may use the API: users of this machine, holders of keys as far as their policies go, functions as their roles."""

import base64
import datetime
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import zlib
from pathlib import Path

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions
import pytest

from lib import daemon as daemons
from lib import functions, waiting, wire

ADMIN = f"arn:aws:iam::{daemons.ACCOUNT}:user/admin"
LIST = "/2015-03-31/functions"
WRONG = "The request signature we calculated does not match the signature you provided."
INVALID_TOKEN = "The security token included in the request is invalid."
NOBODY = 65_534

# Tells whose keys it has, and what the door that it is given answers.
KEYS = """
import os

def handler(event, context):
    keys = [os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")]
    return {"keys": keys, "pid": os.getpid()}
"""
CALLER = """
import os, urllib.request

def handler(event, context):
    path = f"/2015-03-31/functions/{event['call']}/invocations"
    request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL_LAMBDA"] + path, data=b'{"through": "the door"}')
    with urllib.request.urlopen(request) as answer:
        return answer.read().decode()
"""


def keys_new(file, arn, *arguments):
    """Makes a key with the program itself; returns its id and its secret."""
    command = [daemons.binary(), "keys", "new", "--arn", arn, "--file", file, *arguments]
    printed = daemons.run(command, None, True, 30, {}).stdout
    return tuple(re.findall(r"^export AWS_(?:ACCESS_KEY_ID|SECRET_ACCESS_KEY)=(\S+)$", printed, re.MULTILINE))


def policy(*statements):
    whole = [{"Effect": "Allow", "Action": "lambda:*", "Resource": "*"} | statement for statement in statements]
    return json.dumps({"Version": "2012-10-17", "Statement": whole})


class Folder:
    """Keys and policies of one daemon."""

    def __init__(self, path):
        self.path = path
        self.file = path / "keys.toml"
        self.admin = keys_new(self.file, ADMIN)

    def add(self, name, *statements):
        """A key of a user with a policy of these statements."""
        (self.path / f"{name}.json").write_text(policy(*statements))
        arn = f"arn:aws:iam::{daemons.ACCOUNT}:user/{name}"
        return keys_new(self.file, arn, "--policy", f"{name}.json")

    def config(self, more=""):
        return f'auth = "sigv4"\nauth_keys = "{self.file}"\n{more}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return Folder(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def guarded(folder, start_module_daemon):
    """A daemon that takes signed requests only; its usual key may do everything."""
    folder.reader = folder.add("reader", {"Action": ["lambda:Get*", "lambda:List*"]})
    folder.caller = folder.add(
        "caller",
        {"Action": "lambda:InvokeFunction", "Resource": f"{functions.arn('open-')}*"},
        {"Effect": "Deny", "Action": "*", "Resource": f"{functions.arn('open-not')}*"},
        {"Action": "lambda:GetFunction", "Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}},
        {"Action": "lambda:GetPolicy", "Condition": {"StringEquals": {"aws:username": "caller"}}},
    )
    groups = f"arn:aws:logs:*:{daemons.ACCOUNT}:log-group:/aws/lambda/open-*:*"
    folder.teller = folder.add("teller", {"Action": ["logs:FilterLogEvents", "logs:StartLiveTail"], "Resource": groups})
    role = f"arn:aws:iam::{daemons.ACCOUNT}:role/reader"
    with folder.file.open("a") as file:
        file.write(f'\n[roles."{role}"]\npolicy = "reader.json"\n')
    daemon = start_module_daemon(config=folder.config())
    daemon.key = folder.admin
    return daemon


@pytest.fixture(scope="module")
def shared_echo(guarded, python):
    with functions.making(guarded, python) as maker:
        yield maker(functions.ECHO, name="open-echo")


@pytest.fixture
def make_guarded(guarded, python):
    with functions.making(guarded, python) as maker:
        yield maker


def signed(daemon, method="GET", path=LIST, body=b"", at=None, key=None, headers=None, region="us-east-1", service="lambda"):
    """A request as botocore signs it; `at` is its moment if not now. Returns headers to send."""
    return sign(botocore.auth.SigV4Auth, daemon, method, path, body, at, key, headers, region, service).headers


def presigned(daemon, method="GET", path=LIST, body=b"", at=None, expires=60, key=None):
    """The path of an address that is signed by itself."""

    class Auth(botocore.auth.SigV4QueryAuth):
        def __init__(self, *words):
            super().__init__(*words, expires=expires)

    url = sign(Auth, daemon, method, path, body, at, key, None, "us-east-1", "lambda").url
    return url.removeprefix(daemon.endpoint)


def sign(kind, daemon, method, path, body, at, key, headers, region, service):
    request = botocore.awsrequest.AWSRequest(method, daemon.endpoint + path, headers=dict(headers or {}), data=body)
    auth = kind(botocore.credentials.Credentials(*(key or daemon.key)), service, region)
    name = "get_current_datetime" if hasattr(botocore.auth, "get_current_datetime") else None
    real = getattr(botocore.auth, name) if name else None
    if at is not None:
        assert name, "this botocore has another clock"
        setattr(botocore.auth, name, lambda remove_tzinfo=True: at.replace(tzinfo=None))
    try:
        auth.add_auth(request)
    finally:
        if name:
            setattr(botocore.auth, name, real)
    prepared = request.prepare()
    prepared.headers = {str(k): v.decode() if isinstance(v, bytes) else str(v) for k, v in prepared.headers.items()}
    # Whoever sends the request says how long it is.
    prepared.headers.pop("Content-Length", None)
    return prepared


def now(**shift):
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(**shift)


def ask(daemon, headers=None, method="GET", path=LIST, body=None):
    return wire.request(daemon.address, method, path, body, headers)


def refused(answer, code, words=""):
    assert (answer.status, answer.code) == (403, code), answer.body
    text = answer.json.get("message") or answer.json.get("Message")
    assert words in text, text
    return text


# --- signatures ---


def test_the_right_key_is_served_through_sdk_aws_cli_and_our_own(guarded, shared_echo):
    assert shared_echo.invoke({"a": 1}).ok() == {"a": 1}
    names = [function["FunctionName"] for function in guarded.client().list_functions()["Functions"]]
    assert shared_echo.name in names
    listed = json.loads(guarded.aws("list-functions").stdout)["Functions"]
    assert [function["FunctionName"] for function in listed] == names
    assert shared_echo.name in guarded.cli("list").stdout
    assert json.loads(guarded.cli("invoke", shared_echo.name, '{"b": 2}').stdout) == {"b": 2}


def test_a_large_package_is_verified_like_a_small_one(guarded, make_guarded):
    function = make_guarded({"index.py": functions.ECHO, "noise": os.urandom(3_000_000)})
    assert function.invoke({"x": "y" * 1_000_000}, tail=False).ok()["x"].endswith("y")


def test_a_wrong_secret_is_told_what_should_have_been_signed(guarded):
    client = guarded.client(signer=(guarded.key[0], "wrong"))
    status, code, message = functions.error_of(client.list_functions)
    assert (status, code) == (403, "InvalidSignatureException")
    assert message.startswith(WRONG)
    assert "The Canonical String for this request should have been\n'GET\n/2015-03-31/functions" in message
    assert "The String-to-Sign should have been\n'AWS4-HMAC-SHA256\n" in message


def test_an_unknown_key_is_not_recognised(guarded):
    client = guarded.client(signer=("AKIAUNKNOWNUNKNOWN12", guarded.key[1]))
    expected = (403, "UnrecognizedClientException", INVALID_TOKEN)
    assert functions.error_of(client.list_functions) == expected
    with_token = guarded.client(signer=(*guarded.key, "a token that nobody gave"))
    assert functions.error_of(with_token.list_functions) == expected


def test_a_request_without_signature_is_refused_whatever_it_asks(guarded, shared_echo):
    for method, path in [("GET", LIST), ("POST", f"{LIST}/{shared_echo.name}/invocations"), ("DELETE", f"{LIST}/x")]:
        refused(ask(guarded, method=method, path=path), "MissingAuthenticationTokenException")
    refused(ask(guarded, {"Authorization": "Bearer x"}), "MissingAuthenticationTokenException")
    failed = guarded.cli("list", check=False, environment={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""})
    assert failed.returncode == 1 and "takes signed requests only" in failed.stderr


def test_a_signature_without_all_its_parts_is_incomplete(guarded):
    headers = signed(guarded)
    whole = headers["Authorization"]
    for name in ["Credential", "SignedHeaders", "Signature"]:
        parts = [part for part in re.split(r"[ ,]+", whole) if not part.startswith(f"{name}=")]
        headers["Authorization"] = f"{parts[0]} {', '.join(parts[1:])}"
        refused(ask(guarded, headers), "IncompleteSignatureException", f"requires '{name}' parameter")
    del headers["X-Amz-Date"]
    refused(ask(guarded, headers | {"Authorization": whole}), "IncompleteSignatureException", "X-Amz-Date")


def test_whatever_is_changed_after_signing_is_noticed(guarded, shared_echo):
    path = f"{LIST}/{shared_echo.name}/invocations"
    body = b'{"amount": 1}'
    headers = signed(guarded, "POST", path, body, headers={"X-Amz-Log-Type": "Tail"})
    assert ask(guarded, headers, "POST", path, body).status == 200
    wrong = [
        (headers, "POST", path, b'{"amount": 2}'),
        (headers, "POST", path, None),
        (headers | {"X-Amz-Log-Type": "None"}, "POST", path, body),
        (headers, "POST", f"{path}?Qualifier=%24LATEST", body),
        (headers, "POST", path.replace(shared_echo.name, "other"), body),
        (headers | {"X-Amz-Invocation-Type": "DryRun"}, "POST", path, body),
        (headers | {"Host": "localhost"}, "POST", path, body),
        (headers | {"X-Amz-Date": now(seconds=-1).strftime("%Y%m%dT%H%M%SZ")}, "POST", path, body),
    ]
    for changed in wrong:
        refused(ask(guarded, *changed), "InvalidSignatureException")
    own = f"{LIST}/{shared_echo.name}"
    headers = signed(guarded, path=own)
    assert ask(guarded, headers, path=own).status == 200
    refused(ask(guarded, headers, path=f"{own}?Qualifier=1"), "InvalidSignatureException", WRONG)
    refused(ask(guarded, headers, "DELETE", path=own), "InvalidSignatureException", WRONG)


def test_a_payload_must_have_the_hash_that_was_said(guarded, shared_echo):
    path = f"{LIST}/{shared_echo.name}/invocations"
    body = json.dumps("x" * 400_000).encode()
    said = hashlib.sha256(body).hexdigest()
    headers = signed(guarded, "POST", path, body, headers={"X-Amz-Content-SHA256": said})
    assert ask(guarded, headers, "POST", path, body).status == 200
    words = "The provided 'x-amz-content-sha256' header does not match what was computed."
    refused(ask(guarded, headers, "POST", path, body.replace(b"x", b"y")), "InvalidSignatureException", words)
    # What was signed as empty is not taken for something large.
    empty = signed(guarded, "POST", path, headers={"X-Amz-Content-SHA256": hashlib.sha256(b"").hexdigest()})
    refused(ask(guarded, empty, "POST", path, body), "InvalidSignatureException", words)


def test_unsigned_and_chunked_payloads_are_taken_as_sdks_send_them(guarded, shared_echo):
    path = f"{LIST}/{shared_echo.name}/invocations"
    unsigned = signed(guarded, "POST", path, b"", headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    assert ask(guarded, unsigned, "POST", path, b"[1]").json == [1]
    word = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    chunks = b"4\r\n[1, \r\n2\r\n2]\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n"
    checksum = base64.b64encode(zlib.crc32(b"[1, 2]").to_bytes(4))
    headers = {"X-Amz-Content-SHA256": word, "X-Amz-Decoded-Content-Length": "6", "X-Amz-Trailer": "x-amz-checksum-crc32"}
    headers = signed(guarded, "POST", path, b"", headers=headers)
    answer = ask(guarded, headers, "POST", path, chunks % checksum)
    assert answer.json == [1, 2], answer.body
    assert ask(guarded, headers, "POST", path, b"[1, 2]").status == 400
    unknown = signed(guarded, "POST", path, b"", headers={"X-Amz-Content-SHA256": "STREAMING-SOMETHING"})
    refused(ask(guarded, unknown, "POST", path, b"[1]"), "InvalidSignatureException", "not supported")


def test_another_region_or_service_is_not_this_one(guarded):
    words = "Credential should be scoped to a valid region, not 'eu-north-1'."
    refused(ask(guarded, signed(guarded, region="eu-north-1")), "InvalidSignatureException", words)
    words = "Credential should be scoped to correct service: 'lambda'."
    refused(ask(guarded, signed(guarded, service="s3")), "InvalidSignatureException", words)


def test_clocks_may_be_apart_by_five_minutes(guarded):
    for minutes in (-4, 4):
        assert ask(guarded, signed(guarded, at=now(minutes=minutes))).status == 200
    text = refused(ask(guarded, signed(guarded, at=now(minutes=-6))), "InvalidSignatureException")
    assert re.fullmatch(r"Signature expired: \d{8}T\d{6}Z is now earlier than \d{8}T\d{6}Z \(\d{8}T\d{6}Z - 5 min\.\)", text)
    text = refused(ask(guarded, signed(guarded, at=now(minutes=6))), "InvalidSignatureException")
    assert re.fullmatch(r"Signature not yet current: \S+ is still later than \S+ \(\S+ \+ 5 min\.\)", text)


def test_a_presigned_address_serves_until_it_expires_and_says_nothing_else(guarded, shared_echo):
    assert shared_echo.name in ask(guarded, path=presigned(guarded)).body.decode()
    path = f"{LIST}/{shared_echo.name}/invocations"
    assert ask(guarded, method="POST", path=presigned(guarded, "POST", path)).json == {}
    assert ask(guarded, path=presigned(guarded, at=now(minutes=-30), expires=3600)).status == 200
    refused(ask(guarded, path=presigned(guarded, at=now(minutes=-30), expires=60)), "InvalidSignatureException", "expired")
    good = presigned(guarded)
    refused(ask(guarded, path=good.replace("X-Amz-Expires=60", "X-Amz-Expires=61")), "InvalidSignatureException", WRONG)
    refused(ask(guarded, path=f"{good}&MaxItems=1"), "InvalidSignatureException", WRONG)
    good = presigned(guarded, path=f"{LIST}/{shared_echo.name}")
    refused(ask(guarded, path=good, method="DELETE"), "InvalidSignatureException", WRONG)
    too_long = presigned(guarded, expires=604_801)
    refused(ask(guarded, path=too_long), "IncompleteSignatureException", "604800")


# --- policies ---


def denied(call, arn, action, resource, because=None, **parameters):
    because = because or f"because no identity-based policy allows the {action} action"
    text = f"User: {arn} is not authorized to perform: {action} on resource: {resource} {because}"
    assert functions.error_of(call, **parameters) == (403, "AccessDeniedException", text)


def test_a_key_may_do_what_its_policy_says_and_nothing_else(guarded, folder, shared_echo):
    arn = f"arn:aws:iam::{daemons.ACCOUNT}:user/reader"
    client = guarded.client(signer=folder.reader)
    assert client.get_function(FunctionName=shared_echo.name)["Configuration"]["FunctionName"] == shared_echo.name
    client.list_functions()
    own = functions.arn(shared_echo.name)
    denied(client.invoke, arn, "lambda:InvokeFunction", own, FunctionName=shared_echo.name)
    denied(client.delete_function, arn, "lambda:DeleteFunction", own, FunctionName=own)
    denied(
        client.create_function,
        arn,
        "lambda:CreateFunction",
        functions.arn("new"),
        FunctionName="new",
        Role=daemons.ROLE,
        Runtime="python3.12",
        Handler="index.handler",
        Code={"ZipFile": functions.package(functions.ECHO)},
    )
    assert shared_echo.invoke({}).ok() == {}, "nothing was deleted"


def test_resources_conditions_and_denials_count(guarded, folder, shared_echo, make_guarded):
    arn = f"arn:aws:iam::{daemons.ACCOUNT}:user/caller"
    client = guarded.client(signer=folder.caller)
    assert client.invoke(FunctionName=shared_echo.name)["StatusCode"] == 200
    action = "lambda:InvokeFunction"
    # Whether there is such a function is nothing that everybody learns.
    denied(client.invoke, arn, action, functions.arn("closed"), FunctionName="closed")
    make_guarded(functions.ECHO, name="open-not-this")
    explicit = "with an explicit deny in an identity-based policy"
    denied(client.invoke, arn, action, functions.arn("open-not-this"), explicit, FunctionName="open-not-this")
    own = functions.arn(shared_echo.name)
    denied(client.get_function, arn, "lambda:GetFunction", own, FunctionName=shared_echo.name)
    denied(client.list_functions, arn, "lambda:ListFunctions", "*")
    status, code, _ = functions.error_of(client.get_policy, FunctionName=shared_echo.name)
    assert code != "AccessDeniedException", f"a condition that holds lets the request in: {status} {code}"


def test_logs_are_guarded_like_functions(guarded, folder, shared_echo):
    def logs(key):
        return boto3.client(
            "logs",
            endpoint_url=guarded.endpoint,
            region_name=daemons.REGION,
            aws_access_key_id=key[0],
            aws_secret_access_key=key[1],
        )

    shared_echo.invoke({})
    group = f"/aws/lambda/{shared_echo.name}"
    for key in (guarded.key, folder.teller):
        waiting.until(lambda key=key: logs(key).filter_log_events(logGroupName=group)["events"], "the log is there")

    def refusal(call, **parameters):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            call(**parameters)
        return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]

    own = f"arn:aws:logs:{daemons.REGION}:{daemons.ACCOUNT}:log-group:"
    for key, name, action, call, parameters in [
        (folder.reader, "reader", "FilterLogEvents", "filter_log_events", {"logGroupName": group}),
        (folder.teller, "teller", "DeleteLogGroup", "delete_log_group", {"logGroupName": group}),
        (folder.teller, "teller", "FilterLogEvents", "filter_log_events", {"logGroupName": "/aws/lambda/closed"}),
        (folder.teller, "teller", "FilterLogEvents", "filter_log_events", {"logGroupIdentifier": f"{own}/aws/lambda/closed"}),
    ]:
        code, text = refusal(getattr(logs(key), call), **parameters)
        group_asked = parameters.get("logGroupName", "/aws/lambda/closed")
        user = f"arn:aws:iam::{daemons.ACCOUNT}:user/{name}"
        expected = f"User: {user} is not authorized to perform: logs:{action} on resource: {own}{group_asked}:* because"
        assert code == "AccessDeniedException" and text.startswith(expected), text
    code, text = refusal(logs(folder.teller).describe_log_groups)
    assert code == "AccessDeniedException" and "on resource: * because" in text
    assert refusal(logs(("AKIAUNKNOWNUNKNOWN12", "x")).describe_log_groups)[0] == "UnrecognizedClientException"
    headers = {"X-Amz-Target": "Logs_20140328.DescribeLogGroups", "Content-Type": "application/x-amz-json-1.1"}
    answer = ask(guarded, headers, "POST", "/", b"{}")
    assert (answer.status, answer.json["__type"]) == (400, "MissingAuthenticationTokenException")
    # A signature for one service is none for another.
    for service, status in [("logs", 200), ("lambda", 400)]:
        signature = signed(guarded, "POST", "/", b"{}", headers=headers, service=service)
        assert ask(guarded, signature, "POST", "/", b"{}").status == status
    smuggled = signed(guarded, path=LIST, service="logs")
    refused(ask(guarded, smuggled, path=LIST), "InvalidSignatureException", "correct service: 'lambda'")


# --- keys of functions ---


def keys_of(function):
    answer = function.invoke({}).ok()
    return tuple(answer["keys"]), answer["pid"]


def test_a_functions_own_keys_are_its_role_and_end_with_its_environment(guarded, shared_echo, make_guarded):
    function = make_guarded(KEYS)
    keys, _ = keys_of(function)
    assert keys[0].startswith("ASIA")
    client = guarded.client(signer=keys)
    assert json.loads(client.invoke(FunctionName=shared_echo.name, Payload=b"[1]")["Payload"].read()) == [1]
    session = f"arn:aws:sts::{daemons.ACCOUNT}:assumed-role/lambda-role/{function.name}"
    denied(client.list_functions, session, "lambda:ListFunctions", "*")
    unknown = (403, "UnrecognizedClientException", INVALID_TOKEN)
    for token in [(), ("another",)]:
        without = guarded.client(signer=(*keys[:2], *token))
        assert functions.error_of(without.invoke, FunctionName=shared_echo.name) == unknown
    wrong = guarded.client(signer=(keys[0], "x" * 40, keys[2]))
    assert functions.error_of(wrong.list_functions)[1] == "InvalidSignatureException"
    # A new revision ends the environments of the old one.
    function.update(Description="another")
    function.invoke({}).ok()

    def is_over():
        try:
            client.invoke(FunctionName=shared_echo.name)
        except botocore.exceptions.ClientError as error:
            return error.response["Error"]["Code"] == "UnrecognizedClientException"
        return False

    waiting.until(is_over, "the keys of the ended environment are refused")


def test_a_role_with_a_policy_may_do_what_that_says(guarded, make_guarded, shared_echo):
    function = make_guarded(KEYS)
    function.update(Role=f"arn:aws:iam::{daemons.ACCOUNT}:role/reader")
    keys, _ = keys_of(function)
    client = guarded.client(signer=keys)
    assert client.list_functions()["Functions"]
    session = f"arn:aws:sts::{daemons.ACCOUNT}:assumed-role/reader/{function.name}"
    own = functions.arn(shared_echo.name)
    denied(client.invoke, session, "lambda:InvokeFunction", own, FunctionName=shared_echo.name)


def test_functions_still_call_functions_through_their_own_door(guarded, make_guarded, shared_echo):
    caller = make_guarded(CALLER)
    assert json.loads(caller.invoke({"call": shared_echo.name}).ok()) == {"through": "the door"}


# --- the file of keys ---


def serve_refused(config, path, *arguments):
    file = path / "hearth.toml"
    file.write_text(config)
    command = [daemons.binary(), "serve", "--state-dir", path / "state", "--config", file]
    command += ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", *arguments]
    done = daemons.run(command, None, False, 30, {})
    assert done.returncode not in (0, None) and done.stdout == "" and "panicked" not in done.stderr, done.stderr
    return done.stderr


def test_a_daemon_without_usable_keys_does_not_start(tmp_path):
    config = f'auth = "sigv4"\nauth_keys = "{tmp_path}/keys.toml"\n'
    assert "hearth keys new" in serve_refused(config, tmp_path)
    keys_new(tmp_path / "keys.toml", ADMIN)
    (tmp_path / "keys.toml").chmod(0o644)
    assert "has the mode 644" in serve_refused(config, tmp_path)
    (tmp_path / "keys.toml").chmod(0o600)
    unknown = {"Condition": {"DateLessThan": {"aws:CurrentTime": "2030-01-01T00:00:00Z"}}}
    (tmp_path / "admin.json").write_text(policy(unknown))
    assert "DateLessThan" in serve_refused(config, tmp_path)


def test_keys_are_read_again_at_sighup(tmp_path, start_daemon):
    folder = Folder(tmp_path)
    daemon = start_daemon(config=folder.config())
    daemon.key = folder.admin
    daemon.client().list_functions()
    added = folder.add("late", {})
    assert functions.error_of(daemon.client(signer=added).list_functions)[1] == "UnrecognizedClientException"
    # Its own user must be able to read what root could when it started.
    uid = os.stat(f"/proc/{daemon.pid}").st_uid
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_mode & 0o005 != 0o005 and parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o055)
    os.chown(folder.file, uid, -1)
    daemon.process.send_signal(signal.SIGHUP)

    def is_known():
        try:
            return daemon.client(signer=added).list_functions() is not None
        except botocore.exceptions.ClientError:
            return False

    waiting.until(is_known, lambda: f"the added key is known\n{daemon.stderr_tail()}")
    folder.file.write_text("nonsense")
    daemon.process.send_signal(signal.SIGHUP)
    waiting.until(lambda: "the keys stay as they are" in daemon.stderr_tail(), "the broken file is reported")
    daemon.client(signer=added).list_functions()


# --- users of this machine ---


class Machine(daemons.Daemon):
    """A daemon that sees other users and groups than this host has."""

    def __init__(self, users="", group="", **settings):
        super().__init__(**settings)
        files = {"passwd": users, "group": group}
        self.mounts = []
        for name, more in files.items():
            copy = self.directory / name
            copy.write_text(Path(f"/etc/{name}").read_text().rstrip("\n") + f"\n{more}\n")
            copy.chmod(0o644)
            self.mounts.append(f"mount --bind {copy} /etc/{name}")

    def command(self):
        steps = " && ".join([*self.mounts, 'exec "$@"'])
        return ["unshare", "--mount", "sh", "-c", steps, "sh", *super().command()]


def as_user(daemon, uid, gids=()):
    """The answer that a process of another user gets."""
    script = """
import http.client, json, sys
host, port = sys.argv[1:]
connection = http.client.HTTPConnection(host, int(port), timeout=30)
answers = []
for _ in range(2):
    connection.request("GET", "/2015-03-31/functions")
    answer = connection.getresponse()
    answers.append([answer.status, json.loads(answer.read())])
assert answers[0] == answers[1], "what was decided about a connection holds"
print(json.dumps(answers[0]))
"""
    host, port = daemon.address
    done = subprocess.run(
        ["/usr/bin/env", "-i", find_python(), "-c", script, host, str(port)],
        capture_output=True,
        text=True,
        timeout=60,
        user=uid,
        group=uid,
        extra_groups=list(gids),
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def find_python():
    """An interpreter that every user can run."""
    for program in ("/usr/bin/python3", os.path.realpath(sys.executable)):
        if os.access(program, os.X_OK):
            return program
    pytest.skip("no Python that every user can run")


def test_other_users_of_this_machine_are_refused_and_told_how_to_get_in(daemon):
    status, body = as_user(daemon, NOBODY)
    assert status == 403, body
    text = body.get("message") or body.get("Message")
    assert text.startswith(f"uid {NOBODY} may not use this endpoint") and "usermod -aG hearth" in text, text
    assert as_user(daemon, 0)[0] == 200


def test_the_daemons_own_user_is_served(daemon):
    uid = os.stat(f"/proc/{daemon.pid}").st_uid
    assert uid != 0
    assert as_user(daemon, uid)[0] == 200


def test_who_started_the_daemon_through_sudo_is_served(start_daemon):
    daemon = start_daemon(environment={"SUDO_UID": "12345"})
    assert as_user(daemon, 12_345)[0] == 200
    assert as_user(daemon, 12_346)[0] == 403


def test_members_of_the_group_hearth_are_served():
    users = "\n".join(f"hearth-test-{uid}:x:{uid}:{gid}::/:/bin/sh" for uid, gid in [(54321, 54321), (54322, 54000), (54323, 54323)])
    daemon = Machine(users=users, group="hearth:x:54000:hearth-test-54321")
    try:
        daemon.start()
        assert as_user(daemon, 54_321)[0] == 200, "listed"
        assert as_user(daemon, 54_322)[0] == 200, "by the primary group"
        assert as_user(daemon, 54_323)[0] == 403
        # What a process says its groups are is not asked: the databases of the machine are.
        assert as_user(daemon, 54_323, gids=[54_000])[0] == 403
        assert daemon.stop() == 0
    finally:
        daemon.kill()
        daemon.remove()


# --- encryption ---


def test_a_certificate_of_ones_own_making_is_trusted_by_its_authority_file(folder, start_daemon, python, tmp_path):
    daemon = start_daemon(config=folder.config('[tls]\nself_signed = ["hearth.example"]\n'))
    assert daemon.endpoint.startswith("https://")
    daemon.key = folder.admin
    # By run.json, without any file.
    assert daemon.cli("list", environment={"HEARTH_ENDPOINT": ""}).returncode == 0
    with pytest.raises(botocore.exceptions.SSLError):
        daemon.client().list_functions()
    daemon.ca = str(daemon.state / "tls" / "ca.pem")
    daemon._clients.clear()
    function = functions.Maker(daemon, python, daemons.ROLE)(functions.ECHO)
    assert function.invoke({"a": 1}).ok() == {"a": 1}
    url = daemon.client().get_function(FunctionName=function.name)["Code"]["Location"]
    assert url.startswith("https://")
    assert json.loads(daemon.aws("list-functions").stdout)["Functions"]
    assert function.name in daemon.cli("list").stdout
    handshake(daemon)


def handshake(daemon):
    host, port = daemon.address
    context = ssl.create_default_context(cafile=daemon.ca)
    context.set_alpn_protocols(["h2", "http/1.1"])
    for name in (host, "localhost", "hearth.example"):
        with socket.create_connection((host, port), timeout=10) as plain, context.wrap_socket(plain, server_hostname=name) as secure:
            assert secure.selected_alpn_protocol() == "http/1.1"
            assert secure.version() in ("TLSv1.2", "TLSv1.3")
            shown = hashlib.sha256(secure.getpeercert(binary_form=True)).hexdigest()
            assert shown == daemon.run_file()["certificate"]
            assert shown in daemon.errors.read_text()
    with pytest.raises(ssl.SSLCertVerificationError), socket.create_connection((host, port), timeout=10) as plain:
        context.wrap_socket(plain, server_hostname="other.example")
    assert b"2015-03-31" not in wire.raw((host, port), b"GET /2015-03-31/functions HTTP/1.1\r\nHost: localhost\r\n\r\n")
    # Who never finishes a handshake costs the others nothing.
    with socket.create_connection((host, port), timeout=10):
        assert daemon.client().list_functions()["Functions"]


def test_a_certificate_from_files_serves_and_another_authority_does_not_trust_it(start_daemon, tmp_path):
    first = start_daemon(config='[tls]\nself_signed = ["localhost"]\n')
    for name in ("ca", "cert", "key"):
        shutil.copy(first.state / "tls" / f"{name}.pem", tmp_path)
    files = f'[tls]\ncert = "{tmp_path}/cert.pem"\nkey = "{tmp_path}/key.pem"\n'
    second = start_daemon(config=files)
    assert not (second.state / "tls").exists()
    second.ca = str(tmp_path / "ca.pem")
    assert second.client().list_functions()["Functions"] == []
    third = start_daemon(config='[tls]\nself_signed = ["localhost"]\n')
    other = {"HEARTH_CA": str(third.state / "tls" / "ca.pem")}
    failed = second.cli("list", check=False, environment=other)
    assert failed.returncode == 1 and "certificate" in failed.stderr.lower(), failed.stderr
    assert second.cli("list", "--ca", str(tmp_path / "ca.pem")).returncode == 0
    # A daemon with the same state directory and another certificate is not the one that run.json speaks of.
    assert second.cli("list", environment={"HEARTH_ENDPOINT": "", "AWS_CA_BUNDLE": ""}).returncode == 0


def test_keys_of_certificates_that_others_can_read_are_refused(tmp_path, start_daemon):
    first = start_daemon(config='[tls]\nself_signed = ["localhost"]\n')
    for name in ("cert", "key"):
        shutil.copy(first.state / "tls" / f"{name}.pem", tmp_path)
    (tmp_path / "key.pem").chmod(0o644)
    config = f'[tls]\ncert = "{tmp_path}/cert.pem"\nkey = "{tmp_path}/key.pem"\n'
    assert "its mode is 644" in serve_refused(config, tmp_path)
    assert "go together" in serve_refused(f'[tls]\ncert = "{tmp_path}/cert.pem"\n', tmp_path)


# --- other machines ---


def test_other_machines_are_served_by_key_on_any_address_and_learn_health_but_no_metrics(folder):
    """In a network namespace of its own, so that nobody else can reach the addresses."""
    address = "192.0.2.1"
    daemon = daemons.Daemon(config=folder.config())
    daemon.key = folder.admin
    command = [f"{address}:0" if word == "127.0.0.1:0" else word for word in daemon.command()]
    steps = f"ip link set lo up && ip addr add {address}/32 dev lo"
    if shutil.which("ip") is None:
        pytest.skip("ip is not installed")
    daemon.command = lambda: ["unshare", "--net", "sh", "-c", f'{steps} && exec "$@"', "sh", *command]
    try:
        daemon.start()
        inside = ["nsenter", f"--net=/proc/{daemon.pid}/ns/net", "--"]
        client = [str(daemons.binary()), "list", "--endpoint", daemon.endpoint]
        keys = {"AWS_ACCESS_KEY_ID": daemon.key[0], "AWS_SECRET_ACCESS_KEY": daemon.key[1]}
        assert daemon.endpoint.startswith(f"http://{address}:")
        daemons.run([*inside, *client], None, True, 30, keys)
        wrong = daemons.run([*inside, *client], None, False, 30, keys | {"AWS_SECRET_ACCESS_KEY": "wrong"})
        assert wrong.returncode == 1 and "InvalidSignatureException" in wrong.stderr
        script = "import sys, wire; answer = wire.request((sys.argv[1], int(sys.argv[2])), 'GET', sys.argv[3]); print(answer.status)"
        host, port = daemon.run_file()["admin"].rsplit(":", 1)
        for path, status in [("/healthz", "200"), ("/metrics", "403")]:
            python = [sys.executable, "-c", script, host, port, path]
            done = daemons.run([*inside, *python], None, True, 30, {"PYTHONPATH": str(Path(wire.__file__).parent)})
            assert done.stdout.strip() == status, path
        assert "not encrypted" in daemon.stderr_tail()
        assert daemon.stop() == 0
    finally:
        daemon.kill()
        daemon.remove()
