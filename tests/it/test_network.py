"""Network class `nat` and `none`, on a small internet of the tests' own."""

import pytest

from lib import daemon as daemons
from lib import functions, waiting
from lib.internet import HOST, OUTSIDE, PRIVATE, PRIVATE_ALLOWED, PROBE, WEB, internet, nft

CONFIG = f"""
[network]
dns = ["{OUTSIDE}"]
deny = ["10.0.0.0/8"]
allow = ["{PRIVATE_ALLOWED}"]
[functions."alone"]
network = "none"
"""
MENDED = "put back"


@pytest.fixture(scope="module")
def world(request):
    with internet() as world:
        yield world


@pytest.fixture
def networked(world, start_daemon):
    return start_daemon(config=CONFIG)


@pytest.fixture
def maker(networked, python):
    maker = functions.Maker(networked, python, daemons.ROLE)
    yield maker
    maker.delete_all()


@pytest.fixture
def probe(maker):
    """A function with a network; called with what to do."""
    function = maker(PROBE, Timeout=20)
    return lambda **event: function.invoke(event).ok()


@pytest.fixture
def alone(maker):
    function = maker(PROBE, name="alone", Timeout=20)
    return lambda **event: function.invoke(event).ok()


def test_a_function_reaches_what_the_host_reaches_by_address_and_by_name(probe):
    assert f'"from": "{HOST}"' in probe(fetch=[f"http://{OUTSIDE}:{WEB}/"])["fetch"], "hidden behind the host"
    assert probe(resolve=["web.example"])["resolve"] == OUTSIDE
    assert probe(fetch=[f"http://web.example:{WEB}/"])["fetch"]


def test_names_can_be_asked_for_over_tcp_and_unknown_ones_fail(probe):
    assert probe(tcp_query=["web.example"])["tcp_query"] == OUTSIDE
    assert probe(resolve=["nowhere.example"])["resolve"] == "gaierror"


def test_a_function_of_class_none_reaches_nothing_and_hears_so_at_once(alone):
    assert alone(connect=[OUTSIDE, WEB])["connect"] == "OSError"
    assert alone(resolve=["web.example"])["resolve"] == "gaierror"
    assert alone(interfaces=[])["interfaces"] == ["lo"]


@pytest.mark.parametrize("which", ["probe", "alone"])
def test_the_door_is_open_in_every_class(request, which):
    assert request.getfixturevalue(which)(connect=["169.254.100.1", 80])["connect"] == "connected"


def test_denied_ranges_are_refused_and_exceptions_win(probe):
    assert probe(connect=[PRIVATE, WEB])["connect"] != "connected"
    assert probe(connect=[PRIVATE_ALLOWED, WEB])["connect"] == "connected"


def test_it_works_where_ipv6_is_off_and_there_is_none_inside(world, start_daemon, python):
    with open("/proc/sys/net/ipv6/conf/all/disable_ipv6", "w") as file:
        file.write("1")
    try:
        daemon = start_daemon(config=CONFIG)
        maker = functions.Maker(daemon, python, daemons.ROLE)
        function = maker(PROBE, Timeout=20)
        assert function.invoke({"connect": [OUTSIDE, WEB]}).ok()["connect"] == "connected"
        assert "eth0" not in function.invoke({"six": []}).ok()["six"]
    finally:
        with open("/proc/sys/net/ipv6/conf/all/disable_ipv6", "w") as file:
            file.write("0")


def test_a_reload_of_the_firewall_is_noticed_mended_and_logged(world, networked, probe):
    before = nft("list", "ruleset")
    assert probe(connect=[OUTSIDE, WEB])["connect"] == "connected"
    for damage in (("flush", "ruleset"), ("flush", "chain", "inet", world.tables()[0], "leaving")):
        told = networked.errors.read_text().count(MENDED)
        nft(*damage)
        waiting.until(lambda: networked.errors.read_text().count(MENDED) > told, "the daemon says so")
        assert nft("list", "ruleset") == before
        assert probe(connect=[OUTSIDE, WEB])["connect"] == "connected"
        assert probe(connect=[HOST, networked.address[1]])["connect"] != "connected"


def test_rules_of_others_are_left_alone(world, networked):
    told = networked.errors.read_text().count(MENDED)
    nft("add", "table", "inet", "somebody")
    nft("add", "chain", "inet", "somebody", "chain1")
    assert "somebody" in world.tables()
    nft("delete", "table", "inet", "somebody")
    assert networked.errors.read_text().count(MENDED) == told


def test_a_stop_takes_links_and_rules_away(world, start_daemon):
    daemon = start_daemon(config=CONFIG)
    waiting.until(world.links, "sandboxes are parked")
    assert world.tables()
    daemon.stop()
    waiting.until(lambda: not world.links() and not world.tables(), "nothing is left")


def test_after_kill_9_nothing_is_left_either(world, start_daemon):
    daemon = start_daemon(config=CONFIG)
    waiting.until(world.links, "sandboxes are parked")
    daemon.kill()
    waiting.until(lambda: not world.links() and not world.tables(), "nothing is left")
    daemon.start()
    waiting.until(world.links, "sandboxes are parked again")


def test_two_daemons_side_by_side_have_addresses_of_their_own(world, start_daemon, python):
    addresses = set()
    for _ in range(2):
        maker = functions.Maker(start_daemon(config=CONFIG), python, daemons.ROLE)
        addresses.add(maker(PROBE).invoke({"own": []}).ok()["own"])
    assert len(addresses) == 2


@pytest.mark.parametrize(
    "line, said",
    [
        ('range = "10.0.0.1/8"', "an IPv4 range"),
        ('deny = ["fd00::/8"]', "sandboxes have no IPv6"),
        ('dns = ["resolver"]', "with or without a port"),
        ('class = "open"', "network.class"),
    ],
)
def test_what_is_no_network_is_refused_with_a_sentence(tmp_path, line, said):
    file = tmp_path / "hearth.toml"
    file.write_text(f"[network]\n{line}\n")
    done = daemons.run([str(daemons.binary()), "serve", "--config", str(file)], None, False, 30, {})
    assert done.returncode != 0 and said in done.stderr, done.stderr


def test_a_range_without_room_is_refused_with_a_sentence(world, tmp_path):
    file = tmp_path / "hearth.toml"
    file.write_text('[network]\nrange = "192.0.2.0/28"\n')
    listen = ["--state-dir", str(tmp_path / "state"), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
    done = daemons.run([str(daemons.binary()), "serve", "--config", str(file), *listen], None, False, 30, {})
    assert done.returncode != 0 and "has no room for" in done.stderr, done.stderr
