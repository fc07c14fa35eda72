"""Attacks over the network, on a small internet of the tests' own: each is contained, and the daemon still serves.

What got through is judged by the servers outside and by what a connection reached, never by the attack's own opinion.
"""

import concurrent.futures
import socket

import pytest

from lib import daemon as daemons
from lib import functions, waiting
from lib.internet import DATAGRAMS, HOST, METADATA, OUTSIDE, PROBE, WEB, internet


@pytest.fixture(scope="module")
def world():
    with internet() as world:
        yield world


@pytest.fixture
def networked(world, start_daemon):
    return start_daemon(config=f'[network]\ndns = ["{OUTSIDE}"]\n')


@pytest.fixture
def maker(networked, python):
    maker = functions.Maker(networked, python, daemons.ROLE)
    yield maker
    maker.delete_all()


@pytest.fixture
def probe(networked, maker):
    """A function that does what it is told; afterwards the daemon must be the same and the network still work."""
    pid = networked.pid
    function = maker(PROBE, Timeout=20)
    yield lambda **event: function.invoke(event).ok()
    assert networked.is_running() and networked.pid == pid
    assert function.invoke({"connect": [OUTSIDE, WEB]}).ok()["connect"] == "connected"


def test_the_daemons_own_ports_cannot_be_reached(networked, probe):
    admin = int(networked.run_file()["admin"].rsplit(":", 1)[1])
    for address in ("127.0.0.1", HOST):
        for port in (networked.address[1], admin):
            assert probe(connect=[address, port])["connect"] != "connected", (address, port)


def test_a_server_on_the_host_cannot_be_reached_on_any_of_its_addresses(probe):
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        server.settimeout(0.2)
        for address in (HOST, "127.0.0.1", "127.9.9.9", "0.0.0.0"):
            assert probe(connect=[address, port, 0.5])["connect"] != "connected", address
        with pytest.raises(TimeoutError):
            server.accept()


def test_the_gateway_is_nobody(probe):
    own = probe(own=[])["own"].rsplit(".", 1)[0]
    for last in (0, 1):
        assert probe(connect=[f"{own}.{last}", 22, 0.5])["connect"] != "connected"


def test_cloud_metadata_cannot_be_reached(world, probe):
    assert probe(connect=[METADATA, WEB])["connect"] != "connected"
    probe(datagram=[OUTSIDE, DATAGRAMS])
    waiting.until(world.heard, "honest datagrams arrive")


def test_another_environment_cannot_be_reached(maker, probe):
    other = maker(PROBE, Timeout=20)
    address = other.invoke({"own": []}).ok()["own"]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        listening = pool.submit(lambda: other.invoke({"listen": [7777, 4]}).ok()["listen"])
        reached = {port: probe(connect=[address, port, 0.7])["connect"] for port in (7777, 9001, 80, 53)}
        assert listening.result() is None, "nobody came"
    assert "connected" not in reached.values(), reached


def test_a_false_sender_gets_nowhere(world, probe):
    probe(datagram=[OUTSIDE, DATAGRAMS])
    waiting.until(lambda: HOST in world.heard(), "honest datagrams arrive, from the host's address")
    for source in ("198.51.100.77", HOST, "127.0.0.1", "100.64.0.9"):
        probe(spoof=[source, OUTSIDE, DATAGRAMS])
    count = len(world.heard())
    probe(datagram=[OUTSIDE, DATAGRAMS])
    waiting.until(lambda: len(world.heard()) > count, "the last datagram arrives")
    assert set(world.heard()) == {HOST}, "and nobody else's"
    assert len(world.heard()) == count + 1


@pytest.mark.parametrize(
    "what, arguments",
    [
        ("raw", [socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP]),
        ("raw", [socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW]),
        ("raw", [socket.AF_PACKET, socket.SOCK_RAW, 0]),
        ("raw", [socket.AF_PACKET, socket.SOCK_DGRAM, 0]),
        ("raw", [40, socket.SOCK_STREAM, 0]),
        ("raw", [socket.AF_NETLINK, socket.SOCK_RAW, 12]),
    ],
    ids=["icmp", "raw ip", "packet", "packet datagram", "vsock", "netfilter netlink"],
)
def test_sockets_below_ip_cannot_be_opened(probe, what, arguments):
    assert probe(**{what: arguments})[what] != "opened"


@pytest.mark.parametrize(
    "what, arguments", [("add_address", [HOST]), ("add_route", [METADATA]), ("delete_link", [])]
)
def test_the_link_cannot_be_changed(probe, what, arguments):
    assert probe(**{what: arguments})[what] == "Operation not permitted"


def test_many_name_queries_at_once_harm_nobody_else(maker, probe):
    flood = maker(
        "import socket, time\n"
        "def handler(event, context):\n"
        "    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "    end, sent = time.time() + 3, 0\n"
        "    query = b'\\x00\\x01\\x01\\x00\\x00\\x01' + bytes(6) + b'\\x04slow\\x07example\\0\\0\\x01\\0\\x01'\n"
        "    while time.time() < end and sent < 200000:\n"
        "        try: s.sendto(query, ('169.254.100.1', 53)); sent += 1\n"
        "        except OSError: pass\n"
        "    return sent\n",
        Timeout=20,
    )
    with concurrent.futures.ThreadPoolExecutor() as pool:
        flooding = pool.submit(lambda: flood.invoke({}).ok())
        assert probe(resolve=["web.example"])["resolve"] == OUTSIDE
        assert flooding.result() > 0


def test_nonsense_sent_to_the_resolver_is_survived(probe):
    for port in (53,):
        assert probe(connect=["169.254.100.1", port])["connect"] == "connected"
    for _ in range(3):
        assert probe(datagram=["169.254.100.1", 53])["datagram"] == "sent"
    assert probe(resolve=["web.example"])["resolve"] == OUTSIDE
