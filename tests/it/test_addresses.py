"""By which address a daemon is reached, and which address it tells: the one that the client knows it by.

What listens beyond loopback does so in a network namespace of its own, so that nobody else can reach it.
"""

import contextlib
import json
import shutil
import ssl
import sys
import urllib.request
from pathlib import Path

import pytest

from lib import daemon as daemons
from lib import functions, wire

ADDRESS, SECOND = "192.0.2.1", "192.0.2.2"
# Asks one daemon, as somebody in its namespace does: the endpoint, a function's name, a layer's.
ASK = """
import json, sys, urllib.request, boto3, botocore.config
endpoint, package = sys.argv[1:3]
config = botocore.config.Config(retries={"total_max_attempts": 1}, connect_timeout=5)
client = boto3.client("lambda", endpoint_url=endpoint, config=config)
zip = open(package, "rb").read()
if not client.list_functions()["Functions"]:
    client.create_function(FunctionName="f", Runtime="provided.al2023", Handler="h", Role=%r, Code={"ZipFile": zip})
layer = client.publish_layer_version(LayerName="l", Content={"ZipFile": zip})
arn = layer["LayerVersionArn"]
told = [
    client.get_function(FunctionName="f")["Code"],
    layer["Content"],
    client.get_layer_version(LayerName="l", VersionNumber=layer["Version"])["Content"],
    client.get_layer_version_by_arn(Arn=arn)["Content"],
]
for it in told:
    assert urllib.request.urlopen(it["Location"], timeout=10).read() == zip, it
print(json.dumps([it["Location"] for it in told]))
""" % daemons.ROLE


@contextlib.contextmanager
def alone(config, listen):
    """A daemon in a namespace with two addresses of its own."""
    if shutil.which("ip") is None:
        pytest.skip("ip is not installed")
    daemon = daemons.Daemon(config=config)
    command = daemon.command()
    command[command.index("--listen") + 1] = f"{listen}:0"
    steps = "ip link set lo up" + "".join(f" && ip addr add {it}/32 dev lo" for it in (ADDRESS, SECOND))
    daemon.command = lambda: ["unshare", "--net", "sh", "-c", f'{steps} && exec "$@"', "sh", *command]
    try:
        daemon.start()
        yield daemon
        assert daemon.stop() == 0
    finally:
        daemon.kill()
        daemon.remove()


def inside(daemon, *command, check=True):
    entered = ["nsenter", f"--net=/proc/{daemon.pid}/ns/net", "--", sys.executable, "-c"]
    return daemons.run([*entered, *command], None, check, 60, {"PYTHONPATH": str(Path(wire.__file__).parent)})


def status_by(daemon, address, host):
    """What a list comes to that is asked for at an address under a `Host`."""
    script = (
        "import sys, wire; print(wire.request((sys.argv[1], int(sys.argv[2])), 'GET', '/2015-03-31/functions', None,"
        " {'Host': sys.argv[3]}).status)"
    )
    return int(inside(daemon, script, address, str(daemon.address[1]), host).stdout)


def test_code_is_where_the_client_found_the_daemon_that_listens_everywhere(tmp_path):
    package = tmp_path / "package.zip"
    package.write_bytes(functions.package({"bootstrap": functions.SHELL_HEAD}))
    with alone(f'auth = "none"\nallowed_hosts = ["{ADDRESS}", "{SECOND}"]\n', "0.0.0.0") as daemon:
        assert daemon.endpoint.startswith("http://0.0.0.0:")
        port = daemon.address[1]
        for address in (ADDRESS, SECOND, "127.0.0.1"):
            base = f"http://{address}:{port}"
            found = json.loads(inside(daemon, ASK, base, str(package)).stdout)
            assert len(found) == 4 and all(url.startswith(f"{base}/_hearth/code/") for url in found), found


def test_code_is_under_the_name_that_the_certificate_has(start_daemon, python):
    daemon = start_daemon(config='allowed_hosts = ["hearth.example"]\n[tls]\nself_signed = ["hearth.example"]\n')
    daemon.ca = str(daemon.state / "tls" / "ca.pem")
    function = functions.Maker(daemon, python, daemons.ROLE)(functions.ECHO)
    trusting = ssl.create_default_context(cafile=daemon.ca)

    def location(host):
        request = urllib.request.Request(
            f"{daemon.endpoint}/2015-03-31/functions/{function.name}", headers={"Host": host, "Authorization": "any"}
        )
        with urllib.request.urlopen(request, timeout=10, context=trusting) as answer:
            return json.load(answer)["Code"]["Location"]

    # The port is the client's to know: behind a forwarder it is another one.
    for host in ("hearth.example", f"hearth.example:{daemon.address[1]}", f"localhost:{daemon.address[1]}"):
        assert location(host).startswith(f"https://{host}/_hearth/code/"), host
    url = location(f"localhost:{daemon.address[1]}")
    assert urllib.request.urlopen(url, timeout=10, context=trusting).read()[:2] == b"PK"


def test_who_comes_by_an_address_that_the_daemon_listens_on_is_let_in_and_pages_are_not(tmp_path):
    package = tmp_path / "package.zip"
    package.write_bytes(functions.package({"bootstrap": functions.SHELL_HEAD}))
    with alone('auth = "none"\n', ADDRESS) as daemon:
        port = daemon.address[1]
        found = json.loads(inside(daemon, ASK, daemon.endpoint, str(package)).stdout)
        assert all(url.startswith(f"http://{ADDRESS}:{port}/") for url in found), found
        assert status_by(daemon, ADDRESS, ADDRESS) == 200
        for host in (SECOND, "0.0.0.0", "hearth.example", f"{ADDRESS}.evil.example"):
            assert status_by(daemon, ADDRESS, host) == 403, host
        page = f"'Origin': 'http://{ADDRESS}:{port}', 'Sec-Fetch-Site': 'same-origin'"
        script = (
            "import sys, wire; print(wire.request((sys.argv[1], int(sys.argv[2])), 'GET', '/2015-03-31/functions', None,"
            f" {{{page}}}).status)"
        )
        assert inside(daemon, script, ADDRESS, str(port)).stdout.strip() == "403"
