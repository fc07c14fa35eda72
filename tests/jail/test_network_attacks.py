"""The jail's network: what functions of either class cannot reach, forge or change, judged by what arrived.

Everything happens in an internet of the test's own (lib/internet.py): the daemon's host is a network namespace, with a
web server and a datagram sink on all of its addresses; the world behind it answers at the addresses of cloud metadata.
After every attack a healthy function still fetches from the world.
"""

import attacks
import network_attacks
import pytest

from lib import daemon as daemons
from lib import functions, holding, host, internet, waiting
from lib.daemon import ROLE
from lib.internet import (
    EXCEPTION,
    HOST,
    HOST6,
    HOST_INNER,
    HOST_TCP,
    HOST_UDP,
    METADATA,
    METADATA6,
    PRIVATE,
    PUBLIC,
    SINK_UDP,
    WEB_PORT,
    WORLD,
    WORLD6,
)

# What is allowed here would open every wall if it could.
CONFIG = f"""
[network]
dns = ["{WORLD}"]
deny = ["10.0.0.0/8"]
allow = ["10.20.99.0/24", "0.0.0.0/1", "128.0.0.0/1"]
[functions."offline"]
network = "none"
"""
NOTHING_ALLOWED = f'[network]\ndns = ["{WORLD}"]\ndeny = ["10.0.0.0/8"]\nallow = ["10.20.99.0/24"]\n'
HOST_ADDRESSES = ("127.0.0.1", HOST, HOST_INNER)


@pytest.fixture(scope="module")
def net():
    with internet.internet() as it:
        yield it


@pytest.fixture(scope="module")
def routed(net):
    daemon = daemons.Daemon(config=CONFIG, prefix=net.prefix())
    try:
        daemon.start()
        yield daemon
        assert daemon.stop() == 0, daemon.stderr_tail()
    finally:
        daemon.kill()
        daemon.remove()


@pytest.fixture(scope="module")
def healthy(routed, python):
    return functions.Maker(routed, python, ROLE)(network_attacks.FETCH, Timeout=waiting.stretched(20))


@pytest.fixture(autouse=True)
def alive(net, routed, healthy):
    """Before every attack nobody has come; after it the daemon is the same process, and its network works."""
    pid = routed.pid
    net.visits.clear()
    net.sources.clear()
    yield
    assert routed.is_running() and routed.pid == pid
    assert healthy.invoke(f"http://{PUBLIC}/").ok()["client"] == HOST


@pytest.fixture
def put(routed, python):
    maker = functions.Maker(routed, python, ROLE)

    def make(code, **settings):
        settings.setdefault("Timeout", waiting.stretched(60))
        settings.setdefault("MemorySize", 256)
        return maker(attacks.HEAD + code, **settings)

    yield make
    maker.delete_all()


@pytest.fixture
def attack(put):
    """Runs an attack and returns what it answers."""
    return lambda code, event=None, **settings: put(code, **settings).invoke({} if event is None else event).ok()


def came(net, *places):
    return [visit for visit in net.visits.all if visit[0][:2] in places or visit[0] in places]


# --- the host ---


def test_the_host_cannot_be_reached_at_any_of_its_addresses(attack, net):
    assert attack(network_attacks.CONNECT, [[address, HOST_TCP] for address in HOST_ADDRESSES]) == []
    assert not came(net, *[("tcp", address) for address in HOST_ADDRESSES])


def test_the_daemons_own_ports_cannot_be_reached(attack, routed):
    ports = [routed.address[1], int(routed.admin.rsplit(":", 1)[1])]
    assert attack(network_attacks.CONNECT, [[a, port] for a in HOST_ADDRESSES for port in ports]) == []


def test_no_datagram_reaches_the_host(attack, net):
    everywhere = [*HOST_ADDRESSES, "255.255.255.255", "198.51.100.255", "224.0.0.1", "224.0.0.251", "0.0.0.0"]
    attack(network_attacks.DATAGRAMS, [[address, HOST_UDP] for address in everywhere])
    # The sink has taken what came before a visit of the healthy function, which follows the same way.
    assert not came(net, ("udp", "any", HOST_UDP))


def test_a_port_that_the_host_forwards_to_a_container_is_the_hosts(attack, net):
    """Translated before it is filtered, it would look like an address that is allowed."""
    net.nft(
        "add table ip published { chain in { type nat hook prerouting priority dstnat; "
        f"tcp dport 8099 dnat to {EXCEPTION}:{WEB_PORT}; }}; }}"
    )
    try:
        assert attack(network_attacks.CONNECT, [[HOST, 8099], [HOST_INNER, 8099]]) == []
        assert not came(net, ("tcp", EXCEPTION))
    finally:
        net.nft("delete table ip published")


# --- each other ---


@pytest.mark.parametrize("port", [7777, 9001, 80, 53])
def test_another_environment_cannot_be_reached(port, put, net):
    """Neither what it listens on nor its Runtime API, its door or its name service."""
    victim, thief = put(internet.LISTEN), put(network_attacks.CONNECT)
    sender = put(network_attacks.DATAGRAMS)
    thief.invoke([]).ok(), sender.invoke([]).ok()
    with holding.under_way(victim, event=internet.LISTENING) as (listening,):
        address = waiting.until(lambda: net.listener(), "the other environment listens")
        assert thief.invoke([[address, port]]).ok() == []
        sender.invoke([[address, port]]).ok()
    assert listening.result().ok() == []


def test_neither_host_nor_world_can_call_on_an_environment(put, net):
    """Connections begin inside or not at all; the world even knows the way."""
    victim = put(internet.LISTEN)
    with holding.under_way(victim, event=internet.LISTENING) as (listening,):
        address = waiting.until(lambda: net.listener(), "the environment listens")
        connect = f"import socket; socket.create_connection(('{address}', 7777), timeout=1.5)"
        for place in (net.host_path, net.world_path):
            done = internet.command("nsenter", f"--net={place}", "python3", "-c", connect, check=False)
            assert done.returncode != 0
    assert listening.result().ok() == []


# --- what is denied ---


def test_cloud_metadata_cannot_be_reached_whatever_is_allowed(attack, net):
    assert attack(network_attacks.CONNECT, [[address, WEB_PORT] for address in METADATA]) == []
    assert not came(net, *[("tcp", address) for address in METADATA])


def test_a_socket_bound_to_the_link_gets_past_loopback(attack, net):
    """The proof that the attacks above try what they say: this way leads out, to where nothing is denied."""
    assert attack(network_attacks.CONNECT, [[PUBLIC, WEB_PORT]]) == [f"{PUBLIC}:{WEB_PORT}: 'HTTP/1.0 200 OK\\r'"] * 2
    assert came(net, ("tcp", PUBLIC))


def test_the_world_would_have_answered(healthy, net):
    """The proof that the addresses above are served: from the host they can be reached."""
    for address in METADATA:
        fetch = f"import urllib.request; urllib.request.urlopen('http://{address}/', timeout=5)"
        internet.command(*net.prefix("python3", "-c", fetch))
    assert came(net, *[("tcp", address) for address in METADATA])


def test_a_part_of_the_link_local_network_that_is_no_metadata_cannot_be_reached_either(attack, net):
    attack(network_attacks.DATAGRAMS, [[f"169.254.{n}.{n}", SINK_UDP] for n in (0, 1, 100, 170, 254)])
    assert not came(net, ("udp", "any", SINK_UDP))


def test_addresses_of_environments_that_do_not_exist_lead_nowhere(attack, net):
    """The range belongs to this host; what is not there must not be looked for outside."""
    attack(network_attacks.DATAGRAMS, [[f"100.121.{n}.9", SINK_UDP] for n in range(0, 250, 10)])
    assert not came(net, ("udp", "any", SINK_UDP))


def test_denied_ranges_cannot_be_reached_by_datagram_either(net, python):
    daemon = daemons.Daemon(config=NOTHING_ALLOWED, prefix=net.prefix())
    try:
        daemon.start()
        maker = functions.Maker(daemon, python, ROLE)
        sender = maker(attacks.HEAD + network_attacks.DATAGRAMS, Timeout=20)
        sender.invoke([[PRIVATE, SINK_UDP]]).ok()
        assert not net.sources.all
        sender.invoke([[EXCEPTION, SINK_UDP]]).ok()
        waiting.until(lambda: net.sources.all, "what is allowed arrives")
    finally:
        daemon.kill()
        daemon.remove()


def test_ipv6_leads_nowhere(attack, net):
    targets = [WORLD6, METADATA6, HOST6, "fe80::1", "ff02::1", f"::ffff:{HOST}", f"64:ff9b::{HOST}"]
    found = attack(network_attacks.SIX, [[address, port] for address in targets for port in (WEB_PORT, HOST_TCP)])
    assert found == []
    assert not net.visits.all


# --- being somebody else ---


def test_no_datagram_leaves_under_a_foreign_address(attack, net):
    event = {"to": WORLD, "sources": [HOST, "203.0.113.99", "127.0.0.1", "169.254.100.1", "10.1.1.1", "100.121.0.5"]}
    attack(network_attacks.SPOOF, event)
    # The honest one comes last, so all others would have been there before it.
    waiting.until(lambda: came_as(net, b"honest"), "the honest datagram arrives")
    assert came_as(net, b"honest") == [HOST]
    spoofed = {(data, source) for data, source in net.sources.all if data.startswith(b"spoofed ")}
    assert not spoofed


@pytest.mark.parametrize("reverse_path_filter", [1, 0])
def test_the_host_drops_forged_addresses_even_of_root_inside(reverse_path_filter, put, net, routed):
    """The kernel keeps functions from forging; were they root in their namespace, the host's rules still would."""
    put(functions.ECHO).invoke(1).ok()
    forker = host.own_children_of(routed.pid).pop()
    namespaces = [f"/proc/{pid}/ns/net" for pid in host.own_children_of(forker)]
    if not reverse_path_filter:
        for link in net.links():
            net.setting(f"net.ipv4.conf.{link}.rp_filter", 0)
    sources = [HOST, HOST_INNER, "203.0.113.99", "100.121.0.5", *METADATA]
    for namespace in namespaces:
        net.sources.clear()
        internet.command("nsenter", f"--net={namespace}", "python3", "-c", network_attacks.FORGE, WORLD, *sources)
        waiting.until(lambda: came_as(net, b"honest"), "the honest datagram, which was sent last, arrives")
        assert {source for _, source in net.sources.all} == {HOST}
        assert not [data for data, _ in net.sources.all if data.startswith(b"spoofed ")]


def came_as(net, data):
    return [source for what, source in net.sources.all if what == data]


RAW_SOCKETS = {
    "AF_PACKET": [17, 3, 768],
    "AF_VSOCK": [40, 1, 0],
    "AF_PACKET datagrams": [17, 2, 768],
    "raw ip": [2, 3, 255],
    "raw icmp": [2, 3, 1],
    "raw tcp": [2, 3, 6],
    "raw ip6": [10, 3, 58],
    "netfilter": [16, 3, 12],
    "xfrm": [16, 3, 6],
    "AF_XDP": [44, 3, 0],
}


def test_raw_and_packet_sockets_cannot_be_made(attack):
    assert attack(attacks.SOCKET_FAMILIES, RAW_SOCKETS) == []


def test_links_addresses_routes_and_neighbours_cannot_be_changed(attack):
    assert attack(network_attacks.NETLINK) == []


def test_interfaces_cannot_be_changed_by_ioctl_either(attack, net):
    assert attack(network_attacks.INTERFACE_IOCTLS) == []
    assert not came(net, ("udp", "any", HOST_UDP))


def test_settings_of_the_network_cannot_be_written(attack):
    assert attack(network_attacks.NETWORK_SETTINGS) == []


def test_one_environment_cannot_fill_the_hosts_table_of_connections(attack, net):
    before = int(net.setting("net.netfilter.nf_conntrack_count"))
    attack(network_attacks.MANY_FLOWS, {"to": WORLD, "flows": 12_000})
    assert int(net.setting("net.netfilter.nf_conntrack_count")) - before <= 4096 + 64


# --- class none ---


def test_without_a_network_nothing_can_be_reached(attack, net):
    targets = [[a, WEB_PORT] for a in (WORLD, PUBLIC, PRIVATE, *METADATA)] + [[a, HOST_TCP] for a in HOST_ADDRESSES]
    assert attack(network_attacks.CONNECT, targets, name="offline") == []
    assert not net.visits.all


def test_without_a_network_no_datagram_leaves(attack, net):
    attack(network_attacks.DATAGRAMS, [[a, SINK_UDP] for a in (WORLD, PUBLIC)], name="offline")
    assert not net.visits.all and not net.sources.all


def test_without_a_network_loopback_is_the_only_interface(attack):
    assert attack(attacks.INTERFACES, name="offline") == ["lo"]
