"""Deployment packages as they should not be: every one ends in a clear error, nothing outside is touched."""

import io
import json
import os
import stat
import struct
import zipfile
import zlib

import botocore.exceptions
import pytest

from lib import functions, host, wire
from lib.daemon import ROLE
from lib.functions import error_of

UNREADABLE = "Could not unzip uploaded file. Please check your file, then try to upload again."
TOO_BIG = "Unzipped size must be smaller than 262144000 bytes"


def create(client, archive, python):
    return client.create_function(
        FunctionName=functions.unique("bad"),
        Role=ROLE,
        Runtime=python,
        Handler="index.handler",
        Code={"ZipFile": archive},
    )


def refused(client, archive, python):
    """(code, message) of the refusal; any success is deleted and is a failure."""
    try:
        made = create(client, archive, python)
    except botocore.exceptions.ClientError as error:
        answer = error.response
        status = answer["ResponseMetadata"]["HTTPStatusCode"]
        assert 400 <= status < 500, answer
        return answer["Error"]["Code"], answer["Error"]["Message"]
    client.delete_function(FunctionName=made["FunctionName"])
    raise AssertionError("the package was accepted")


def archive_of(*entries):
    """Entries are (name, content, mode with type bits); names are written as they are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in entries:
            entry = zipfile.ZipInfo("placeholder", functions.ZIP_TIME)
            entry.filename = name
            entry.create_system = 3
            entry.external_attr = mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return buffer.getvalue()


FILE = stat.S_IFREG | 0o644
LINK = stat.S_IFLNK | 0o777
GOOD = ("index.py", functions.ECHO, FILE)


@pytest.mark.parametrize(
    "archive",
    [
        b"not a zip at all",
        b"PK\x03\x04" + b"\0" * 40,
        functions.package(functions.ECHO)[:-10],
        functions.package(functions.ECHO)[: len(functions.package(functions.ECHO)) // 2],
    ],
    ids=["text", "header only", "end cut off", "half"],
)
def test_a_broken_archive_is_told_in_the_services_words(archive, client, python):
    assert refused(client, archive, python) == ("InvalidParameterValueException", UNREADABLE)


def test_a_flipped_byte_in_the_content_is_found(client, python):
    archive = bytearray(archive_of(("index.py", os.urandom(4_000), FILE)))
    archive[2_000] ^= 0xFF
    assert refused(client, bytes(archive), python) == ("InvalidParameterValueException", UNREADABLE)


def test_an_empty_archive_is_refused(client, python):
    empty = b"PK\x05\x06" + b"\0" * 18
    assert refused(client, empty, python) == ("InvalidParameterValueException", "Uploaded file must be a non-empty zip")


@pytest.mark.parametrize(
    "name",
    [
        "../escaped",
        "a/../../escaped",
        "/escaped",
        "a/../../../../../../tmp/hearth-escaped",
        "..\\escaped",
        "a\0b",
        "./../x",
    ],
)
def test_names_that_lead_out_are_refused(name, client, python):
    before = os.path.exists("/tmp/hearth-escaped")
    refused(client, archive_of(GOOD, (name, "bad", FILE)), python)
    assert os.path.exists("/tmp/hearth-escaped") == before


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../etc/passwd", "a/../../out"])
def test_links_that_lead_out_are_refused(target, client, python):
    refused(client, archive_of(GOOD, ("link", target, LINK)), python)


def test_writing_through_a_link_is_refused(client, python):
    refused(client, archive_of(GOOD, ("dir", "/tmp", LINK), ("dir/hearth-escaped", "bad", FILE)), python)
    assert not os.path.exists("/tmp/hearth-escaped")


def test_a_link_that_stays_inside_works(make):
    archive = archive_of(("real.py", functions.ECHO, FILE), ("index.py", "real.py", LINK))
    assert make(archive).invoke(5).ok() == 5


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_devices_and_pipes_are_refused(kind, client, python):
    refused(client, archive_of(GOOD, ("device", "", kind | 0o666)), python)


def test_setuid_bits_are_not_taken_over(make):
    code = "import os\ndef handler(e, c):\n    return oct(os.stat('/var/task/tool').st_mode & 0o7777)\n"
    archive = archive_of(("index.py", code, FILE), ("tool", "#!/bin/sh\n", stat.S_IFREG | 0o6755))
    assert make(archive).invoke({}).ok() == "0o755"


def test_files_keep_their_execute_bit_and_are_readable(make):
    code = "import os\ndef handler(e, c):\n    return [oct(os.stat(f'/var/task/{n}').st_mode & 0o777) for n in ('a', 'b')]\n"
    archive = archive_of(("index.py", code, FILE), ("a", "", stat.S_IFREG | 0o700), ("b", "", stat.S_IFREG | 0o600))
    executable, plain = make(archive).invoke({}).ok()
    assert int(executable, 8) & 0o111 and not int(plain, 8) & 0o111
    assert int(executable, 8) & 0o444 == int(plain, 8) & 0o444 == 0o444


def test_a_package_without_modes_is_readable(make):
    archive = archive_of(("index.py", functions.ECHO, 0))
    assert make(archive).invoke(1).ok() == 1


def test_too_much_content_is_refused(client, python):
    block = b"\0" * (1 << 20)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(251):
            archive.writestr(f"file-{number}", block)
    assert refused(client, buffer.getvalue(), python) == ("InvalidParameterValueException", TOO_BIG)


def test_a_size_that_lies_does_not_help(client, python):
    """300 MB of zeros in an entry that claims to hold ten bytes."""
    deflate = zlib.compressobj(1, zlib.DEFLATED, -15)
    pieces = [deflate.compress(b"\0" * (1 << 20)) for _ in range(300)]
    data = b"".join(pieces) + deflate.flush()
    name, crc, claimed = b"index.py", 0, 10
    local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 8, 0, 0, crc, len(data), claimed, len(name), 0) + name
    central = struct.pack(
        "<4sHHHHHHIIIHHHHHII",
        b"PK\1\2",
        0x0314,
        20,
        0,
        8,
        0,
        0,
        crc,
        len(data),
        claimed,
        len(name),
        0,
        0,
        0,
        0,
        FILE << 16,
        0,
    )
    central += name
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local) + len(data), 0)
    code, message = refused(client, local + data + central + end, python)
    assert code == "InvalidParameterValueException" and message in (UNREADABLE, TOO_BIG)


def test_too_many_entries_are_refused_in_time(client, python):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for number in range(300_000):
            archive.writestr(zipfile.ZipInfo(f"{number:x}"), b"")
    assert len(buffer.getvalue()) < 52_428_800
    refused(client, buffer.getvalue(), python)


def test_more_than_fifty_megabytes_zipped_are_refused(client, python):
    archive = archive_of(GOOD, ("noise", os.urandom(52_428_800), FILE))
    status, code, message = error_of(create, client, archive, python)
    assert (status, message) == (413, "Zipped size must be smaller than 52428800 bytes")
    assert code == "RequestEntityTooLargeException"


def test_forty_megabytes_are_accepted(make):
    archive = archive_of(GOOD, ("noise", os.urandom(40 << 20), FILE))
    function = make(archive)
    assert function.configuration()["CodeSize"] == len(archive)
    assert function.invoke(1).ok() == 1


@pytest.mark.parametrize("text", ["!!!!", "QUJD=", "QUJ", "QUJD QUJD\u00e9"])
def test_broken_base64_is_a_clear_400(text, daemon, python):
    body = {
        "FunctionName": functions.unique(),
        "Role": ROLE,
        "Runtime": python,
        "Handler": "index.handler",
        "Code": {"ZipFile": text},
    }
    answer = wire.request(daemon.address, "POST", "/2015-03-31/functions", json.dumps(body).encode())
    assert answer.status == 400 and answer.code


def test_no_code_at_all_is_refused(lenient, python):
    status, code, _ = error_of(
        lenient.create_function, FunctionName="x", Role=ROLE, Runtime=python, Handler="a.b", Code={}
    )
    assert status == 400 and code in ("InvalidParameterValueException", "ValidationException")


def test_refused_packages_leave_no_files(daemon, client, python):
    places = [daemon.state / "blobs", daemon.state / "unpacked"]
    before = host.files(*places)
    for archive in (b"junk", archive_of(GOOD, ("../x", "bad", FILE)), archive_of(GOOD, ("link", "/etc/passwd", LINK))):
        refused(client, archive, python)
    assert host.files(*places) - before == set()


def test_a_bad_update_leaves_the_old_code(make):
    function = make(functions.ECHO)
    before = function.configuration()
    assert error_of(function.client.update_function_code, FunctionName=function.name, ZipFile=b"junk")[2] == UNREADABLE
    assert function.configuration()["CodeSha256"] == before["CodeSha256"]
    assert function.invoke(3).ok() == 3
