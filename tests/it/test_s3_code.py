"""Code from an object store: what a store has becomes a function, and whatever a store does wrong is told and leaves
nothing behind."""

import base64
import contextlib
import hashlib
import io
import json
import os
import threading
import urllib.request
import zipfile
import zlib

import botocore.exceptions
import pytest

from lib import functions, stores, waiting
from lib.daemon import ROLE
from lib.functions import Function, Result, error_of

SAY = "def handler(event, context):\n    return {!r}\n"
UNREADABLE = "Could not unzip uploaded file. Please check your file, then try to upload again."
TOO_BIG = "Unzipped size must be smaller than 262144000 bytes"
NO_BUCKET = (
    400,
    "InvalidParameterValueException",
    "Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: The specified bucket does not exist",
)
NO_KEY = (
    400,
    "InvalidParameterValueException",
    "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist.",
)


def package(word):
    return functions.package(SAY.format(word))


def sha256(data):
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


@pytest.fixture(scope="module")
def moto():
    with stores.moto() as (endpoint, s3):
        s3.create_bucket(Bucket="bucket")
        s3.create_bucket(Bucket="versions")
        s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
        yield endpoint, s3


@pytest.fixture(scope="module")
def s3(moto):
    return moto[1]


@pytest.fixture(scope="module")
def with_moto(moto, start_module_daemon):
    return start_module_daemon(environment={"AWS_ENDPOINT_URL_S3": moto[0]})


@pytest.fixture(scope="module")
def store():
    running = stores.Store()
    yield running
    running.close()


@pytest.fixture(scope="module")
def with_store(store, start_module_daemon):
    """A daemon with little patience. The variable must lose against the file."""
    nowhere = f"http://127.0.0.1:{stores.free_port()}"
    config = f'[endpoints]\ns3 = "{store.endpoint}"\ntimeout_s = 1\n'
    keys = {"AWS_ACCESS_KEY_ID": "AKIDAEMON", "AWS_SECRET_ACCESS_KEY": "sekret/+=", "AWS_SESSION_TOKEN": "tok/en+=="}
    return start_module_daemon(config=config, environment={"AWS_ENDPOINT_URL_S3": nowhere, **keys})


@pytest.fixture
def name(request):
    """A function's name; the function goes after the test."""
    name = functions.unique("s3")
    yield name
    for fixture in ("with_moto", "with_store"):
        if fixture in request.fixturenames:
            client = request.getfixturevalue(fixture).client()
            with contextlib.suppress(client.exceptions.ResourceNotFoundException):
                client.delete_function(FunctionName=name)


def create(daemon, python, name, bucket="bucket", key="key", **code):
    return daemon.client().create_function(
        FunctionName=name,
        Role=ROLE,
        Runtime=python,
        Handler="index.handler",
        Code={"S3Bucket": bucket, "S3Key": key, **code},
    )


def answer_of(daemon, name):
    function = Function(daemon.client(), name)
    function.wait()
    return Result(daemon.client().invoke(FunctionName=name)).ok()


def temporary_files(daemon):
    return list((daemon.state / "blobs" / "tmp").iterdir())


# --- a store as it should be ---


def test_a_function_is_created_from_an_object_and_runs(with_moto, s3, python, name):
    data = package("from S3")
    s3.put_object(Bucket="bucket", Key="code/first.zip", Body=data)
    made = create(with_moto, python, name, key="code/first.zip")
    assert (made["CodeSha256"], made["CodeSize"], made["State"]) == (sha256(data), len(data), "Pending")
    assert answer_of(with_moto, name) == "from S3"
    code = with_moto.client().get_function(FunctionName=name)["Code"]
    assert code["RepositoryType"] == "S3"
    assert urllib.request.urlopen(code["Location"], timeout=30).read() == data


def test_an_update_fetches_the_same_key_again(with_moto, s3, python, name):
    client = with_moto.client()
    s3.put_object(Bucket="bucket", Key="same.zip", Body=package("old"))
    create(with_moto, python, name, key="same.zip")
    assert answer_of(with_moto, name) == "old"
    new = package("new")
    s3.put_object(Bucket="bucket", Key="same.zip", Body=new)
    place = {"S3Bucket": "bucket", "S3Key": "same.zip"}
    dry = client.update_function_code(FunctionName=name, DryRun=True, **place)
    assert dry["CodeSha256"] == sha256(new)
    assert client.get_function_configuration(FunctionName=name)["CodeSha256"] == sha256(package("old"))
    assert answer_of(with_moto, name) == "old"
    updated = client.update_function_code(FunctionName=name, **place)
    assert (updated["CodeSha256"], updated["LastUpdateStatus"]) == (sha256(new), "InProgress")
    assert answer_of(with_moto, name) == "new"


def test_a_version_of_an_object_is_the_one_that_is_named(with_moto, s3, python, name):
    old = s3.put_object(Bucket="versions", Key="v.zip", Body=package("first"))["VersionId"]
    s3.put_object(Bucket="versions", Key="v.zip", Body=package("second"))
    create(with_moto, python, name, bucket="versions", key="v.zip", S3ObjectVersion=old)
    assert answer_of(with_moto, name) == "first"
    client = with_moto.client()
    client.update_function_code(FunctionName=name, S3Bucket="versions", S3Key="v.zip")
    assert answer_of(with_moto, name) == "second"
    place = {"S3Bucket": "versions", "S3Key": "v.zip", "S3ObjectVersion": "no-such-version"}
    status, code, message = error_of(client.update_function_code, FunctionName=name, **place)
    assert (status, code) == (400, "InvalidParameterValueException")
    assert message.startswith("Error occurred while GetObject. S3 Error Code: "), message
    assert answer_of(with_moto, name) == "second"


def test_missing_buckets_and_keys_are_told_as_the_service_tells_them(with_moto, s3, python, name):
    assert error_of(create, with_moto, python, name, bucket="nobodys-bucket") == NO_BUCKET
    assert error_of(create, with_moto, python, name, key="no/such.zip") == NO_KEY
    client = with_moto.client()
    assert error_of(client.get_function, FunctionName=name)[0] == 404
    s3.put_object(Bucket="bucket", Key="there.zip", Body=package("there"))
    create(with_moto, python, name, key="there.zip")
    assert answer_of(with_moto, name) == "there"
    update = client.update_function_code
    assert error_of(update, FunctionName=name, S3Bucket="nobodys-bucket", S3Key="x") == NO_BUCKET
    assert error_of(update, FunctionName=name, S3Bucket="bucket", S3Key="no/such.zip") == NO_KEY
    assert answer_of(with_moto, name) == "there"


@pytest.mark.parametrize("key", ["with space/ü+%2F~=&.zip", "a//b.zip", "../up.zip", "q?x=1#f.zip"])
def test_keys_of_all_kinds_are_found(with_moto, s3, python, name, key):
    s3.put_object(Bucket="bucket", Key=key, Body=package(key))
    create(with_moto, python, name, key=key)
    assert answer_of(with_moto, name) == key


def test_what_is_too_large_for_a_request_comes_through_the_store(with_moto, s3, python, name):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("index.py", "import os\ndef handler(e, c):\n    return os.path.getsize('/var/task/data.bin')\n")
        archive.writestr("data.bin", os.urandom(60_000_000))
    data = buffer.getvalue()
    client = with_moto.client()
    settings = {"FunctionName": name, "Role": ROLE, "Runtime": python, "Handler": "index.handler"}
    status, code, _ = error_of(client.create_function, Code={"ZipFile": data}, **settings)
    assert (status, code) == (413, "RequestEntityTooLargeException")
    s3.put_object(Bucket="bucket", Key="large.zip", Body=data)
    made = create(with_moto, python, name, key="large.zip")
    assert (made["CodeSize"], made["CodeSha256"]) == (len(data), sha256(data))
    assert answer_of(with_moto, name) == 60_000_000
    location = client.get_function(FunctionName=name)["Code"]["Location"]
    assert hashlib.sha256(urllib.request.urlopen(location, timeout=60).read()).hexdigest() == hashlib.sha256(data).hexdigest()


def test_objects_that_are_no_packages_are_refused(with_moto, s3, python, name):
    for body, said in [(b"not a zip", UNREADABLE), (package("x")[:-10], UNREADABLE), (b"", "Uploaded file must be a non-empty zip")]:
        s3.put_object(Bucket="bucket", Key="bad.zip", Body=body)
        assert error_of(create, with_moto, python, name, key="bad.zip") == (400, "InvalidParameterValueException", said)
    assert temporary_files(with_moto) == []


def test_one_source_of_code_is_asked_for(with_moto, python, name):
    def refused(**code):
        client = with_moto.client()
        settings = {"FunctionName": name, "Role": ROLE, "Runtime": python, "Handler": "index.handler"}
        status, code, message = error_of(client.create_function, Code=code, **settings)
        assert (status, code) == (400, "InvalidParameterValueException")
        return message

    assert "ZipFile" in refused(ZipFile=package("x"), S3Bucket="bucket", S3Key="key")
    assert "both S3Bucket and S3Key" in refused(S3Bucket="bucket")
    assert refused() == "Please provide a source for function code."


def test_the_command_line_deploys_from_a_store(with_moto, s3, python, name):
    s3.put_object(Bucket="bucket", Key="dir/cli.zip", Body=package("one"))
    flags = ["--name", name, "--runtime", python, "--handler", "index.handler"]
    assert f"{name} created" in with_moto.cli("deploy", "s3://bucket/dir/cli.zip", *flags).stdout
    assert answer_of(with_moto, name) == "one"
    assert f"{name} unchanged" in with_moto.cli("deploy", "s3://bucket/dir/cli.zip", "--name", name).stdout
    s3.put_object(Bucket="bucket", Key="dir/cli.zip", Body=package("two"))
    assert f"{name} updated" in with_moto.cli("deploy", "s3://bucket/dir/cli.zip", "--name", name).stdout
    assert answer_of(with_moto, name) == "two"
    failed = with_moto.cli("deploy", "s3://bucket/dir/absent.zip", "--name", name, check=False)
    assert failed.returncode == 1 and "NoSuchKey" in failed.stderr
    wrong = with_moto.cli("deploy", "s3://bucket", "--name", name, check=False)
    assert wrong.returncode == 2 and "s3://BUCKET/KEY" in wrong.stderr


# --- signatures and credentials ---


def test_requests_are_signed_with_the_daemons_credentials(with_store, store, python, name):
    store.answers["signed%20%C3%BC.zip"] = stores.whole(package("signed"))
    create(with_store, python, name, key="signed ü.zip", S3ObjectVersion="a/b c=")
    (asked,) = store.requests_for("signed%20%C3%BC.zip")
    assert asked.target.endswith("?versionId=a%2Fb%20c%3D")
    assert asked.is_signed_with("AKIDAEMON", "sekret/+=", "tok/en+==")
    assert not asked.is_signed_with("AKIDAEMON", "wrong", "tok/en+==")


def test_functions_see_nothing_of_the_daemons_credentials(with_store, store, python, name):
    code = "import os\ndef handler(event, context):\n    return dict(os.environ)\n"
    store.answers["environment.zip"] = stores.whole(functions.package(code))
    create(with_store, python, name, key="environment.zip")
    seen = json.dumps(answer_of(with_store, name))
    assert "AWS_ACCESS_KEY_ID" in seen
    for secret in ("AKIDAEMON", "sekret", "tok/en", store.endpoint):
        assert secret not in seen


def test_keys_in_a_file_that_only_root_may_read_are_used_after_the_daemon_gave_up_root(start_daemon, store, python, tmp_path):
    path = tmp_path / "credentials"
    path.write_text("[default]\naws_access_key_id = NOT\naws_secret_access_key = THIS\n[ci]\naws_access_key_id = AKIFILE\naws_secret_access_key = s3cr3t\n")
    path.chmod(0o600)
    tmp_path.chmod(0o700)
    environment = {
        "AWS_ENDPOINT_URL": store.endpoint,
        "AWS_ACCESS_KEY_ID": "",
        "AWS_SECRET_ACCESS_KEY": "",
        "AWS_SHARED_CREDENTIALS_FILE": str(path),
        "AWS_PROFILE": "ci",
    }
    daemon = start_daemon(environment=environment)
    store.answers["profile.zip"] = stores.whole(package("profile"))
    create(daemon, python, "profile", key="profile.zip")
    (asked,) = store.requests_for("profile.zip")
    assert asked.is_signed_with("AKIFILE", "s3cr3t")


def test_without_credentials_requests_are_not_signed(start_daemon, store, python):
    environment = {"AWS_ENDPOINT_URL_S3": store.endpoint, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    daemon = start_daemon(environment=environment)
    store.answers["public.zip"] = stores.whole(package("public"))
    create(daemon, python, "public", key="public.zip")
    (asked,) = store.requests_for("public.zip")
    assert "authorization" not in asked.headers and "x-amz-date" not in asked.headers


# --- a store that misbehaves ---


def test_a_denial_is_told_as_the_service_tells_it(with_store, store, python, name):
    store.answers["secret/x.zip"] = stores.error(403, "AccessDenied", "Access Denied")
    text = (
        "Your access has been denied by S3, please make sure your request credentials have permission to GetObject for "
        "bucket/secret/x.zip. S3 Error Code: AccessDenied. S3 Error Message: Access Denied"
    )
    assert error_of(create, with_store, python, name, key="secret/x.zip") == (403, "AccessDeniedException", text)
    assert len(store.requests_for("secret/x.zip")) == 1, "a denial is not asked about again"


def test_other_errors_of_the_store_are_passed_on_with_their_words(with_store, store, python, name):
    store.answers["odd.zip"] = stores.error(400, "Odd&amp;Code", "a &lt;b&gt; &#99;")
    said = "Error occurred while GetObject. S3 Error Code: Odd&Code. S3 Error Message: a <b> c"
    assert error_of(create, with_store, python, name, key="odd.zip") == (400, "InvalidParameterValueException", said)
    store.answers["page.zip"] = lambda handler, number: handler.wfile.write(
        stores.head(404, {"Content-Length": 13}) + b"<html></html>"
    )
    status, code, message = error_of(create, with_store, python, name, key="page.zip")
    assert (status, code) == (400, "InvalidParameterValueException") and store.endpoint in message


def test_trouble_that_passes_is_waited_for(with_store, store, python, name):
    data = package("patience")
    broken = stores.whole(data, length=len(data) + 5)
    store.answers["trouble.zip"] = stores.in_turn(stores.error(503, "SlowDown", "x"), broken, stores.whole(data))
    create(with_store, python, name, key="trouble.zip")
    assert len(store.requests_for("trouble.zip")) == 3
    assert answer_of(with_store, name) == "patience"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("broken off", "broke off"),
        ("unavailable", "SlowDown: Please reduce your request rate."),
        ("hung up", "did not answer"),
        ("silent", "did not answer: nothing came for 1 s"),
        ("stalled", "broke off: nothing came for 1 s"),
        ("wrong ETag", "another MD5 (ETag)"),
        ("wrong SHA-256", "another SHA-256"),
        ("wrong CRC-32", "another CRC-32"),
    ],
)
def test_trouble_that_stays_is_told_with_its_reason_after_three_tries(with_store, store, python, name, kind, said):
    data = package(kind)
    over = threading.Event()
    other = sha256(b"other")
    store.answers["bad"] = {
        "broken off": stores.whole(data, length=len(data) + 5),
        "unavailable": stores.error(503, "SlowDown", "Please reduce your request rate."),
        "hung up": lambda handler, number: None,
        "silent": stores.stalled(b"", over),
        "stalled": stores.stalled(stores.head(200, {"Content-Length": len(data)}) + data[:50], over),
        "wrong ETag": stores.whole(data, {"ETag": f'"{hashlib.md5(b"other").hexdigest()}"'}),
        "wrong SHA-256": stores.whole(data, {"x-amz-checksum-sha256": other}),
        "wrong CRC-32": stores.whole(data, {"x-amz-checksum-crc32": "AAAAAA=="}),
    }[kind]
    before = len(store.requests_for("bad"))
    status, code, message = error_of(create, with_store, python, name, key="bad")
    over.set()
    assert (status, code) == (500, "ServiceException")
    assert message.startswith(f"Error occurred while GetObject of s3://bucket/bad from {store.endpoint}: ")
    assert said in message
    assert len(store.requests_for("bad")) - before == 3
    assert temporary_files(with_store) == []
    assert error_of(with_store.client().get_function, FunctionName=name)[0] == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"0123456789abcdef0123456789abcdef-7"'},
        {"ETag": '"0123456789abcdef0123456789abcdef"', "x-amz-server-side-encryption": "aws:kms"},
        {"ETag": '"anything"', "x-amz-checksum-sha256": sha256(b"parts") + "-3"},
        {"ETag": '"anything"', "x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-type": "COMPOSITE"},
        {"right": "sums"},
    ],
    ids=["several parts", "encrypted", "sum of sums", "composite", "right sums"],
)
def test_sums_that_are_right_or_say_nothing_of_the_whole_are_no_obstacle(with_store, store, python, name, headers):
    data = package("sums")
    if "right" in headers:
        crc = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
        headers = {"x-amz-checksum-sha256": sha256(data), "x-amz-checksum-crc32": crc}
    store.answers["sums.zip"] = stores.whole(data, headers)
    create(with_store, python, name, key="sums.zip")
    assert answer_of(with_store, name) == "sums"


def test_a_length_that_is_too_small_gives_a_broken_package(with_store, store, python, name):
    data = package("short")
    store.answers["short.zip"] = stores.whole(data, {"ETag": '"x"'}, length=len(data) - 20)
    expected = (400, "InvalidParameterValueException", UNREADABLE)
    assert error_of(create, with_store, python, name, key="short.zip") == expected


def test_a_length_that_is_too_large_is_refused_before_anything_is_read(with_store, store, python, name):
    store.answers["huge.zip"] = stores.whole(b"PK", length=1 << 40)
    expected = (400, "InvalidParameterValueException", TOO_BIG)
    assert error_of(create, with_store, python, name, key="huge.zip") == expected
    assert len(store.requests_for("huge.zip")) == 1


def test_a_body_without_a_length_is_stopped_at_the_limit(with_store, store, python, name):
    sent = []

    def pieces():
        for _ in range(400):
            sent.append(1)
            yield bytes(1 << 20)

    store.answers["endless.zip"] = stores.chunked(pieces())
    expected = (400, "InvalidParameterValueException", TOO_BIG)
    assert error_of(create, with_store, python, name, key="endless.zip") == expected
    assert len(sent) < 300
    assert temporary_files(with_store) == []


def test_redirects_are_followed_within_the_host_and_signed_anew(with_store, store, python, name):
    store.answers["from.zip"] = stores.redirect(307, "/bucket/to.zip?x=1")
    store.answers["to.zip"] = stores.whole(package("redirected"))
    create(with_store, python, name, key="from.zip")
    assert answer_of(with_store, name) == "redirected"
    (asked,) = store.requests_for("to.zip")
    assert asked.is_signed_with("AKIDAEMON", "sekret/+=", "tok/en+==")


def test_redirects_elsewhere_or_without_end_are_refused(with_store, store, python, name):
    store.answers["away.zip"] = stores.redirect(302, f"http://localhost:{store.port}/bucket/to.zip")
    status, code, message = error_of(create, with_store, python, name, key="away.zip")
    assert (status, code) == (500, "ServiceException")
    assert "it leads to another host" in message and "localhost" in message
    store.answers["round.zip"] = stores.redirect(307, "/bucket/round.zip")
    status, code, message = error_of(create, with_store, python, name, key="round.zip")
    assert (status, code) == (500, "ServiceException") and "one too many" in message
    assert len(store.requests_for("round.zip")) == 4
    store.answers["region.zip"] = stores.error(301, "PermanentRedirect", "x", {"x-amz-bucket-region": "eu-west-1"})
    said = "Error occurred while GetObject. S3 Error Code: PermanentRedirect. S3 Error Message: The bucket is in this region: eu-west-1. Please use this region to retry the request"
    assert error_of(create, with_store, python, name, key="region.zip") == (400, "InvalidParameterValueException", said)


def test_nobody_there_is_told_with_the_address(start_daemon, python):
    port = stores.free_port()
    daemon = start_daemon(environment={"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"})
    status, code, message = error_of(create, daemon, python, "f")
    assert (status, code) == (500, "ServiceException")
    assert f"http://127.0.0.1:{port}" in message and "refused" in message


# --- what it costs and leaves ---


def test_memory_stays_small_while_a_large_package_comes(with_store, store, python, name, tmp_path, figure):
    path = tmp_path / "large.zip"
    block = os.urandom(1 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("index.py", SAY.format("large"))
        with archive.open("data.bin", "w", force_zip64=True) as data:
            for _ in range(200):
                data.write(block)
    store.answers["large.zip"] = stores.file(path)
    status = f"/proc/{with_store.pid}/status"

    def peak():
        return next(int(line.split()[1]) for line in open(status) if line.startswith("VmHWM"))

    with open(f"/proc/{with_store.pid}/clear_refs", "w") as reset:
        reset.write("5")
    before = peak()
    create(with_store, python, name, key="large.zip")
    assert answer_of(with_store, name) == "large"
    location = with_store.client().get_function(FunctionName=name)["Code"]["Location"]
    got = hashlib.sha256()
    with urllib.request.urlopen(location, timeout=60) as download:
        while piece := download.read(1 << 20):
            got.update(piece)
    assert got.digest() == hashlib.sha256(path.read_bytes()).digest()
    grown = peak() - before
    figure("peak of the daemon's memory grew by (KiB)", grown)
    assert grown < 48 * 1024


def under_way(store, daemon, python, name, key):
    """A create whose object has come half way; returns the thread that waits for its end."""
    over = threading.Event()
    store.answers[key] = stores.stalled(stores.head(200, {"Content-Length": 1_000_000}) + bytes(500_000), over)

    def work():
        with contextlib.suppress(botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            create(daemon, python, name, key=key)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    waiting.until(lambda: any(it.stat().st_size == 500_000 for it in temporary_files(daemon)), "half of it is on disk")
    return thread, over


def test_a_kill_in_the_middle_leaves_nothing(start_daemon, store, python):
    daemon = start_daemon(environment={"AWS_ENDPOINT_URL_S3": store.endpoint})
    thread, over = under_way(store, daemon, python, "killed", "killed.zip")
    daemon.kill()
    thread.join(30)
    over.set()
    assert len(temporary_files(daemon)) == 1
    daemon.start()
    assert temporary_files(daemon) == []
    assert list((daemon.state / "blobs" / "sha256").iterdir()) == []
    assert error_of(daemon.client().get_function, FunctionName="killed")[0] == 404
