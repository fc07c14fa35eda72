"""Network classes: what functions reach by address and by name, and what they leave on the host.

Everything happens between network namespaces of the test's own (lib/internet.py). What functions must not reach is in
tests/jail/test_network_attacks.py.
"""

import concurrent.futures
import contextlib
import ipaddress
import os
import re
import signal
import subprocess

import pytest

from lib import functions, holding, host, internet, metrics, waiting
from lib import daemon as daemons
from lib.daemon import ROLE
from lib.internet import (
    EXCEPTION,
    HOST,
    HOST_INNER,
    HOST_TCP,
    LARGE_COUNT,
    LARGE_NAME,
    METADATA,
    PRIVATE,
    PUBLIC,
    WORLD,
)

CONFIG = f"""
[network]
dns = ["{WORLD}"]
deny = ["10.0.0.0/8"]
allow = ["10.20.99.0/24"]
[functions."offline"]
network = "none"
"""

MENDED = "the firewall rules of the sandboxes had been changed from outside and were put back"

FETCH = '''
import json, os, socket, urllib.request

def handler(event, context):
    """Fetches an address; says what came, or why nothing did."""
    try:
        with urllib.request.urlopen(event, timeout=5) as answer:
            return json.load(answer)
    except OSError as error:
        return {"error": str(error)}
'''

RESOLVE = '''
import socket

def handler(event, context):
    try:
        return sorted({entry[4][0] for entry in socket.getaddrinfo(event, 80, socket.AF_INET)})
    except socket.gaierror as error:
        return error.errno
'''

SURROUNDINGS = '''
import os, socket, urllib.request

def handler(event, context):
    """Interfaces, IPv6 addresses, resolvers, and what the door says to the environment's own token."""
    token = os.environ["AWS_LAMBDA_METADATA_TOKEN"]
    url = f"http://{os.environ['AWS_LAMBDA_METADATA_API']}/2026-01-15/metadata/execution-environment"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with open("/proc/net/if_inet6") if os.path.exists("/proc/net/if_inet6") else open(os.devnull) as file:
        inet6 = sorted(line.split()[5] for line in file)
    return {
        "interfaces": sorted(name for _, name in socket.if_nameindex()),
        "inet6": inet6,
        "resolv": open("/etc/resolv.conf").read(),
        "door": urllib.request.urlopen(request, timeout=5).status,
        "localhost": socket.gethostbyname("localhost"),
    }
'''


@pytest.fixture(scope="module")
def net():
    with internet.internet() as it:
        yield it


@contextlib.contextmanager
def running(net, config=CONFIG, **settings):
    daemon = daemons.Daemon(config=config, prefix=settings.pop("prefix", net.prefix()), **settings)
    try:
        daemon.start()
        yield daemon
        assert daemon.stop() in (None, 0), daemon.stderr_tail()
    except BaseException:
        print(daemon.stderr_tail())
        raise
    finally:
        daemon.kill()
        daemon.remove()


@pytest.fixture(scope="module")
def routed(net):
    """A daemon on the host of the internet."""
    with running(net) as daemon:
        yield daemon


@pytest.fixture
def put(routed, python):
    with functions.making(routed, python) as maker:
        yield maker


def maker_of(daemon, python):
    return functions.Maker(daemon, python, ROLE)


def fetch(function, address, port=80):
    return function.invoke(f"http://{address}:{port}/").ok()


# --- what functions reach ---


def test_a_function_fetches_by_address_and_is_seen_under_the_hosts_address(put, net):
    assert fetch(put(FETCH, Timeout=20), WORLD)["client"] == HOST


def test_a_function_fetches_by_name(put):
    assert fetch(put(FETCH, Timeout=20), "www.world.test") == {"client": HOST, "host": "www.world.test:80"}


def test_names_with_more_addresses_than_fit_a_datagram_are_resolved(put):
    assert len(put(RESOLVE, Timeout=20).invoke(LARGE_NAME).ok()) == LARGE_COUNT


def test_a_name_that_does_not_exist_is_said_not_to(put):
    assert put(RESOLVE, Timeout=20).invoke("nobody.example").ok() == -2


def test_the_resolver_is_asked_by_the_daemon_and_not_by_the_function(put, net):
    function = put(RESOLVE, Timeout=20)
    net.visits.clear()
    assert function.invoke("fresh.world.test").ok() == [PUBLIC]
    assert set(net.visits.to(("dns", WORLD, 53))) == {HOST}


def test_without_others_the_hosts_resolvers_are_asked_as_they_are_at_the_time(net, python, tmp_path):
    resolv = tmp_path / "resolv.conf"
    # Nobody answers there.
    resolv.write_text(f"search example\nnameserver {HOST_INNER}\n")
    swapped = ("unshare", "--mount", "sh", "-c", f'mount --bind {resolv} /etc/resolv.conf && exec "$@"', "sh")
    with running(net, "", prefix=net.prefix(*swapped)) as daemon:
        function = maker_of(daemon, python)(RESOLVE, Timeout=20)
        assert function.invoke("www.world.test").ok() != [PUBLIC]
        resolv.write_text(f"nameserver {HOST_INNER}\nnameserver {WORLD}\n")
        waiting.until(lambda: function.invoke("www.world.test").ok() == [PUBLIC], "the new list is used")


def test_what_is_denied_is_out_of_reach_and_what_is_allowed_is_not(put, net):
    function = put(FETCH, Timeout=20)
    net.visits.clear()
    assert "error" in fetch(function, PRIVATE)
    assert not net.visits.to(("tcp", PRIVATE, 80))
    assert fetch(function, EXCEPTION)["client"] == HOST


def test_what_cannot_be_reached_is_refused_and_nobody_waits_for_a_time_out(put):
    function = put(FETCH, Timeout=20)
    for address in (PRIVATE, *METADATA, HOST, HOST_INNER, "100.121.255.9", "224.0.0.1"):
        said = fetch(function, address)["error"]
        # Link-local addresses do not even leave: loopback has them, for the door.
        assert any(word in said for word in ("No route to host", "unreachable", "refused")), (address, said)


def test_a_name_is_not_found_at_once_in_class_none(put):
    assert put(RESOLVE, name="offline", Timeout=20).invoke("www.world.test").ok() != [PUBLIC]


FLOOD = r'''
import socket, time

def handler(event, context):
    """Sends questions that nobody answers, and nonsense, for some seconds; answers how many."""
    sent, end = 0, time.monotonic() + event
    question = b"\x00\x01\x01\x00\x00\x01" + bytes(6) + b"\x04slow\x07example\0\0\x01\0\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        while time.monotonic() < end:
            for data in (question, b"", b"\xff" * 3, b"\xff" * 1400):
                try:
                    one.sendto(data, ("169.254.100.1", 53))
                    sent += 1
                except OSError:
                    pass
    for data in (b"\0", b"\xff\xff", b"\0\x05abc"):
        with socket.create_connection(("169.254.100.1", 53), timeout=5) as one:
            one.sendall(data)
    return sent
'''


def test_questions_without_end_and_nonsense_harm_nobody_else(put):
    flood, asker = put(FLOOD, Timeout=20), put(RESOLVE, Timeout=20)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        flooding = pool.submit(flood.invoke, 3)
        while not flooding.done():
            assert asker.invoke("www.world.test").ok() == [PUBLIC]
        assert flooding.result().ok() > 0
    assert asker.invoke("www.world.test").ok() == [PUBLIC]


def test_environments_that_come_and_go_always_have_a_network(put, net):
    """A link outlives its namespace for a moment; the next environment must not trip over it."""
    function = put(FETCH, Timeout=20)
    for number in range(25):
        function.update(Description=f"round {number}")
        assert fetch(function, WORLD)["client"] == HOST


def test_many_environments_fetch_at_once(put, net):
    function = put(FETCH, Timeout=30)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda _: fetch(function, PUBLIC), range(36)))
    assert [one["client"] for one in found] == [HOST] * 36


def test_class_nat_has_one_link_its_door_and_names(put):
    seen = put(SURROUNDINGS, Timeout=20).invoke({}).ok()
    assert seen["interfaces"] == ["eth0", "lo"]
    assert seen["door"] == 200
    assert seen["localhost"] == "127.0.0.1"
    assert "nameserver 169.254.100.1\n" in seen["resolv"]
    assert set(seen["inet6"]) <= {"lo"}, "IPv6 is off but for loopback"


def test_class_none_of_one_function_has_loopback_and_its_door(put, net):
    seen = put(SURROUNDINGS, name="offline", Timeout=20).invoke({}).ok()
    assert seen["interfaces"] == ["lo"]
    assert seen["door"] == 200
    assert seen["localhost"] == "127.0.0.1"


def test_class_none_of_one_function_reaches_nothing(put, net):
    function = put(FETCH, name="offline", Timeout=20)
    net.visits.clear()
    for address in (WORLD, PUBLIC):
        assert "unreachable" in fetch(function, address)["error"], "told so, not left to wait"
    assert "error" in fetch(function, "www.world.test")
    assert not net.visits.all


def test_the_configured_class_is_what_everybody_else_gets(net, python):
    config = f'[network]\nclass = "none"\ndns = ["{WORLD}"]\n[functions."online"]\nnetwork = "nat"\n'
    with running(net, config) as daemon:
        maker = maker_of(daemon, python)
        assert maker(SURROUNDINGS, Timeout=20).invoke({}).ok()["interfaces"] == ["lo"]
        assert fetch(maker(FETCH, name="online", Timeout=20), WORLD)["client"] == HOST


# --- the host ---


def test_without_class_nat_the_host_is_left_alone(python):
    with internet.internet() as net:
        net.setting("net.ipv4.ip_forward", 0)
        with running(net, '[network]\nclass = "none"\n') as daemon:
            assert maker_of(daemon, python)(functions.ECHO).invoke(1).ok() == 1
        assert net.tables() == set() and net.links() == set()
        assert net.setting("net.ipv4.ip_forward") == "0"


def test_forwarding_is_turned_on_and_said_to_be_and_stays_on():
    with internet.internet() as net:
        net.setting("net.ipv4.ip_forward", 0)
        with running(net) as daemon:
            assert net.setting("net.ipv4.ip_forward") == "1"
            assert "net.ipv4.ip_forward was 0 and is 1 now" in daemon.stderr_tail()
        assert net.setting("net.ipv4.ip_forward") == "1", "others may count on it by now"


@pytest.mark.parametrize("setting", ["all", "default"])
def test_hosts_without_ipv6_serve_as_well(setting, python):
    with internet.internet() as net:
        net.setting(f"net.ipv6.conf.{setting}.disable_ipv6", 1)
        with running(net) as daemon:
            maker = maker_of(daemon, python)
            assert fetch(maker(FETCH, Timeout=20), WORLD)["client"] == HOST
            assert set(maker(SURROUNDINGS, Timeout=20).invoke({}).ok()["inet6"]) <= {"lo"}


def test_loose_or_absent_reverse_path_filters_of_the_host_change_nothing(python):
    with internet.internet() as net:
        net.setting("net.ipv4.conf.all.rp_filter", 2)
        net.setting("net.ipv4.conf.default.forwarding", 0)
        with running(net) as daemon:
            assert fetch(maker_of(daemon, python)(FETCH, Timeout=20), WORLD)["client"] == HOST


def test_links_are_strict_and_without_arp(routed, put, net):
    put(functions.ECHO).invoke(1).ok()
    links = net.links()
    assert links
    for link in links:
        assert net.setting(f"net.ipv4.conf.{link}.rp_filter") == "1"
        assert "NOARP" in internet.command("ip", "-n", net.host_name, "link", "show", link).stdout
        assert not internet.command("ip", "-n", net.host_name, "-6", "addr", "show", "dev", link).stdout


def test_pid_1_keeps_no_way_into_the_hosts_network(routed, put, net):
    """The link is set up through a socket of the host's namespace, which must not outlive that step."""
    put(functions.ECHO).invoke(1).ok()
    with open("/proc/thread-self/net/netlink") as table:
        inodes = {line.split()[-1] for line in table.readlines()[1:]}
    forkers = [pid for pid in host.own_children_of(routed.pid)]
    inits = {child for forker in forkers for child in host.own_children_of(forker)}
    assert inodes and inits

    def of_the_host():
        """Who holds one now: a sandbox that is just being made may."""
        held = {}
        for pid in inits:
            targets = host.descriptors(pid).values()
            held[pid] = {target[8:-1] for target in targets if target.startswith("socket:[")} & inodes
        return {pid: sockets for pid, sockets in held.items() if sockets}

    waiting.until(lambda: not of_the_host(), lambda: f"no pid 1 holds a netlink socket of the host: {of_the_host()}")


def test_two_daemons_of_one_host_share_the_range_and_not_an_address(net, routed, python):
    with running(net) as other:
        for daemon in (routed, other):
            assert fetch(maker_of(daemon, python)(FETCH, Timeout=20), WORLD)["client"] == HOST
        blocks = []
        for table in net.tables():
            if table.endswith("_guard"):
                continue
            rules = net.nft("list", "chain", "inet", table, "masking")
            blocks.append(ipaddress.ip_network(rules.split("ip saddr ")[1].split()[0]))
        assert len(blocks) == 2 and not blocks[0].overlaps(blocks[1])
    assert fetch(maker_of(routed, python)(FETCH, Timeout=20), WORLD)["client"] == HOST


# --- other programs at the firewall ---


def static_rules(net, table):
    """A daemon's table as text, without the set that counts connections."""
    return re.sub(r"(?s)\tset flows \{.*?\n\t\}", "", net.nft("-s", "list", "table", "inet", table, check=False))


def restored(daemon, times):
    return metrics.series(daemon, "hearth_firewall_changes_total") == times


@pytest.mark.parametrize(
    "change",
    ["flush ruleset", "delete table inet {table}", "flush chain inet {table} outward", "flush set inet {table} walls"],
)
def test_rules_that_another_program_takes_away_come_back(change, net, python):
    with running(net) as daemon:
        function = maker_of(daemon, python)(FETCH, Timeout=20)
        assert fetch(function, WORLD)["client"] == HOST
        instance = daemon.run_file()["instance"]
        table = f"hearth_{instance}"
        rules = static_rules(net, table)
        assert rules
        others = net.tables() - {table}
        net.nft(change.format(table=table))
        guards = {name for name in others if name.endswith("_guard")}
        assert guards and guards <= net.tables(), "no guard can be taken away"

        waiting.until(lambda: static_rules(net, table) == rules, "the rules are as they were")
        waiting.until(lambda: restored(daemon, 1), "the change is counted")
        waiting.until(lambda: MENDED in daemon.stderr_tail(), "the log says so")
        assert fetch(function, WORLD)["client"] == HOST
        assert "error" in fetch(function, PRIVATE) and "error" in fetch(function, HOST_INNER, HOST_TCP)


def test_rules_of_others_do_not_matter(net, routed):
    before = net.nft("-a", "list", "table", "inet", f"hearth_{routed.run_file()['instance']}")
    for _ in range(3):
        net.nft("add table inet somebody { chain c { type filter hook forward priority 0; policy accept; }; }")
        net.nft("delete table inet somebody")
    # Handles are given anew with every writing.
    assert net.nft("-a", "list", "table", "inet", f"hearth_{routed.run_file()['instance']}") == before


def test_while_the_rules_are_gone_nothing_is_open(python):
    """The forker, which would write them again, is stopped meanwhile; what it guards stays shut."""
    with internet.internet() as net, running(net) as daemon:
        maker = maker_of(daemon, python)
        one, other = maker(REACH, Timeout=20), maker(internet.LISTEN, Timeout=120)
        assert reached(one, [(WORLD, 80)]) == [(WORLD, 80)]
        forker = host.own_children_of(daemon.pid).pop()
        with holding.under_way(other, event=internet.LISTENING) as (listening,):
            address = waiting.until(lambda: net.listener(), "the other environment listens")
            os.kill(forker, signal.SIGSTOP)
            try:
                net.nft("flush", "ruleset")
                net.visits.clear()
                assert net.tables() == {f"hearth_{daemon.run_file()['instance']}_guard"}
                near = [(HOST, HOST_TCP), (HOST_INNER, HOST_TCP), (address, 7777), (address, 9001)]
                metadata = [(one, 80) for one in METADATA]
                # The world knows the way back: without translation it would answer all the same.
                assert reached(one, [*near, *metadata, (WORLD, 80), (PUBLIC, 80), (PRIVATE, 80)]) == []
                assert not net.visits.all
                # Somebody else's rules translate, and the outside is open; the walls stand.
                net.nft(FOREIGN_MASQUERADE)
                assert reached(one, [(WORLD, 80)]) == [(WORLD, 80)]
                net.visits.clear()
                assert reached(one, [*near, *metadata]) == []
                assert not net.visits.all
            finally:
                os.kill(forker, signal.SIGCONT)
            waiting.until(lambda: len(net.tables()) == 2, "the rules are back")
            net.nft("delete", "table", "ip", "somebody")
            assert reached(one, [(WORLD, 80), (PRIVATE, 80)]) == [(WORLD, 80)]
        assert listening.result().ok() == []


FOREIGN_MASQUERADE = "add table ip somebody { chain c { type nat hook postrouting priority srcnat; oifname up0 masquerade; }; }"


REACH = '''
import concurrent.futures, socket

def handler(event, context):
    """Sends a datagram to each target and connects to it; answers with those that took the connection."""
    def reach(target):
        address, port = target
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.sendto(b"datagram", (address, 9000))
        except OSError:
            pass
        try:
            socket.create_connection((address, port), timeout=2).close()
        except OSError:
            return []
        return [target]

    with concurrent.futures.ThreadPoolExecutor(len(event)) as pool:
        return sum(pool.map(reach, event), [])
'''


def reached(function, targets):
    return [tuple(target) for target in function.invoke(targets, tail=False).ok()]


def test_rules_that_cannot_be_put_back_are_tried_again_and_nothing_is_open_meanwhile(python):
    with internet.internet() as net, running(net) as daemon:
        function = maker_of(daemon, python)(FETCH, Timeout=20)
        assert fetch(function, WORLD)["client"] == HOST
        inside = ("nsenter", f"--mount=/proc/{host.own_children_of(daemon.pid).pop()}/ns/mnt")
        nft = os.path.realpath(internet.program("nft"))
        internet.command(*inside, "mount", "--bind", "/dev/null", nft)
        try:
            net.nft("flush", "ruleset")
            waiting.until(lambda: "cannot be put back" in daemon.stderr_tail(), "the log says so")
            net.visits.clear()
            assert "error" in fetch(function, WORLD) and "error" in fetch(function, HOST, HOST_TCP)
            assert not net.visits.all
        finally:
            internet.command(*inside, "umount", nft)
        waiting.until(lambda: MENDED in daemon.stderr_tail(), "they are put back")
        assert daemon.stderr_tail().count("cannot be put back") == 1, "said once"
        assert fetch(function, WORLD)["client"] == HOST


# --- afterwards ---


def test_a_stop_leaves_neither_links_nor_tables(python):
    with internet.internet() as net:
        with running(net) as daemon:
            assert fetch(maker_of(daemon, python)(FETCH, Timeout=20), WORLD)["client"] == HOST
            assert net.links() and len(net.tables()) == 2
        assert net.tables() == set()
        waiting.until(lambda: not net.links(), "the links are gone")


def test_kill_9_of_the_daemon_leaves_neither_links_nor_tables(python):
    with internet.internet() as net, running(net) as daemon:
        maker_of(daemon, python)(functions.ECHO).invoke(1).ok()
        daemon.kill()
        waiting.until(lambda: not net.links() and not net.tables(), "links and tables are gone")
        daemon.start()
        assert fetch(maker_of(daemon, python)(FETCH, Timeout=20), WORLD)["client"] == HOST


@pytest.mark.parametrize("next_class", ["nat", "none"])
def test_kill_9_of_the_forker_leaves_what_the_next_start_removes(next_class, python):
    with internet.internet() as net:
        daemon = daemons.Daemon(config=CONFIG, prefix=net.prefix())
        try:
            daemon.start()
            maker_of(daemon, python)(functions.ECHO).invoke(1).ok()
            instance = daemon.run_file()["instance"]
            os.kill(host.own_children_of(daemon.pid).pop(), signal.SIGKILL)
            assert daemon.process.wait(30) != 0
            daemon.kill()
            waiting.until(lambda: not net.links(), "links die with their namespaces")
            # Nobody is left to remove the table; the guard's own is the kernel's to remove.
            assert net.tables() == {f"hearth_{instance}"}
            daemon.environment["HEARTH_NETWORK__CLASS"] = next_class
            daemon.start()
            function = maker_of(daemon, python)(FETCH, Timeout=20)
            if next_class == "nat":
                assert net.tables() == {f"hearth_{instance}", f"hearth_{instance}_guard"}
                assert fetch(function, WORLD)["client"] == HOST
            else:
                assert net.tables() == set()
                assert "unreachable" in fetch(function, WORLD)["error"]
            assert daemon.stop() == 0
            assert net.tables() == set()
        finally:
            daemon.kill()
            daemon.remove()


# --- what a host may lack ---


def refused(net, *prefix, config=CONFIG):
    daemon = daemons.Daemon(config=config, prefix=net.prefix(*prefix))
    try:
        done = subprocess.run(daemon.command(), capture_output=True, text=True, timeout=60, env=daemons.clean_environment())
        assert done.returncode != 0
        return done.stderr
    finally:
        daemon.remove()


WITHOUT_NFT = ("unshare", "--mount", "sh", "-c", 'mount --bind /dev/null "$(readlink -f "$(command -v nft)")" && exec "$@"', "sh")


def test_a_host_without_nft_is_told_what_is_missing_and_what_goes_without(net, python):
    said = refused(net, *WITHOUT_NFT)
    assert "there is no nft (install nftables)" in said and 'network.class = "none"' in said
    with running(net, '[network]\nclass = "none"\n', prefix=net.prefix(*WITHOUT_NFT)) as daemon:
        assert maker_of(daemon, python)(functions.ECHO).invoke(1).ok() == 1


def test_a_range_that_is_in_use_on_the_host_is_not_taken(net):
    said = refused(net, config=f'[network]\nrange = "{HOST_INNER.rsplit(".", 2)[0]}.0.0/20"\n')
    assert "choose another `network.range`" in said and "routes of this host" in said


@pytest.mark.parametrize(
    "line, said",
    [
        ('range = "10.0.0.1/8"', "an IPv4 range from /8 to /22"),
        ('range = "10.0.0.0/24"', "an IPv4 range from /8 to /22"),
        ('deny = ["fd00::/8"]', "functions have no IPv6"),
        ('dns = ["resolver"]', "a list of addresses like"),
        ('class = "open"', 'must be "nat" or "none"'),
    ],
)
def test_what_is_no_network_is_refused_with_a_sentence(net, line, said):
    assert said in refused(net, config=f"[network]\n{line}\n")


def test_a_range_without_room_for_all_environments_is_refused_with_a_sentence(net):
    said = refused(net, config='[network]\nrange = "192.0.0.0/22"\n')
    assert "it is too small" in said and "choose another `network.range`" in said
