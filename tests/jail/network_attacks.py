"""The attacks over the network: python functions that try to reach what they must not, or to be somebody else.

As in attacks.py, each answers with what it reached; what arrived is counted where it must not arrive.
"""

# Follows attacks.HEAD.

CONNECT = '''
def handler(event, context):
    """Targets (address, port) that took a connection, as routed or past loopback, which has all of 169.254.0.0/16."""
    found = []
    for address, port, device in [(*target, device) for target in event for device in (None, b"eth0")]:
        def reach():
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family, socket.SOCK_STREAM) as one:
                if device:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
                one.settimeout(1.5)
                one.connect((address, port))
                one.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
                return one.recv(16).decode(errors="replace")
        found += attempt(f"{address}:{port}", reach)
    return found
'''

DATAGRAMS = '''
def handler(event, context):
    """Sends datagrams to each (address, port), broadcast and multicast included; says which the kernel took."""
    found = []
    for device in (None, b"eth0"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            if device:
                attempt("device", lambda: one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            for address, port in event:
                found += attempt(f"{address}:{port}", lambda: one.sendto(b"datagram", (address, port)))
    return found
'''

OWN_ADDRESS = '''
def own_address(to):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect((to, 9000))
        return one.getsockname()[0]
'''

SPOOF = OWN_ADDRESS + '''
IP_FREEBIND, IP_TRANSPARENT, IP_PKTINFO = 15, 19, 8
def handler(event, context):
    """Sends datagrams under other addresses; IP_FREEBIND needs no privilege. Says which the kernel took."""
    found = []
    own = own_address(event["to"])
    for source in [*event["sources"], ".".join([*own.split(".")[:3], str(int(own.split(".")[3]) ^ 1)])]:
        def freely():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
                one.bind((source, 0))
                one.sendto(b"spoofed " + source.encode(), (event["to"], 9000))
        found += attempt(f"freebind {source}", freely)
        def by_header():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                info = struct.pack("I4s4s", 0, socket.inet_aton(source), bytes(4))
                one.sendmsg([b"spoofed " + source.encode()], [(socket.IPPROTO_IP, IP_PKTINFO, info)], 0, (event["to"], 9000))
        found += attempt(f"pktinfo {source}", by_header)
        def transparently():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
        found += attempt("IP_TRANSPARENT", transparently)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"honest", (event["to"], 9000))
    return found
'''

NETLINK = '''
RTM = {"newlink": 16, "dellink": 17, "setlink": 19, "newaddr": 20, "deladdr": 21, "newroute": 24, "delroute": 25,
       "newneigh": 28, "newrule": 32, "newqdisc": 36, "newnsid": 88}
def attribute(kind, value):
    return struct.pack("HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)

def handler(event, context):
    """Asks the kernel, as `ip` would, to change links, addresses, routes, neighbours and rules of this namespace."""
    index = dict((name, number) for number, name in socket.if_nameindex())["eth0"]
    link = struct.pack("BxHiII", 0, 0, index, 0, 0)
    address = struct.pack("BBBBI", 2, 24, 0, 0, index) + attribute(2, socket.inet_aton("198.51.100.9"))
    route = struct.pack("BBBBBBBBI", 2, 32, 0, 0, 254, 3, 253, 1, 0)
    route += attribute(1, socket.inet_aton("169.254.169.254")) + attribute(4, struct.pack("I", index))
    default = struct.pack("BBBBBBBBI", 2, 0, 0, 0, 254, 72, 253, 1, 0) + attribute(4, struct.pack("I", index))
    neighbour = struct.pack("BxxxiHBB", 2, index, 0x80, 0, 1) + attribute(1, socket.inet_aton("198.51.100.1"))
    rule = struct.pack("BBBBBBBBI", 2, 0, 0, 0, 254, 0, 0, 1, 0)
    dummy = struct.pack("BxHiII", 0, 0, 0, 0, 0) + attribute(3, b"evil\\0") + attribute(18, attribute(1, b"dummy"))
    bodies = {"newlink": dummy, "dellink": link, "setlink": link + attribute(1, bytes(6)), "newaddr": address,
              "deladdr": address, "newroute": route, "delroute": default, "newneigh": neighbour, "newrule": rule,
              "newqdisc": struct.pack("BxxxiIII", 0, index, 0, 0xFFFFFFFF, 0), "newnsid": bytes(4)}
    found = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as one:
        one.settimeout(5)
        for name, body in bodies.items():
            one.send(struct.pack("IHHII", 16 + len(body), RTM[name], 0x405, 1, 0) + body)
            code = -struct.unpack("i", one.recv(65536)[16:20])[0]
            if code not in (errno.EPERM, errno.EACCES):
                found.append(f"{name}: {errno.errorcode.get(code, code)}")
    return found
'''

INTERFACE_IOCTLS = '''
import fcntl
def handler(event, context):
    """The older way: address, flags (down, promiscuous), hardware address, neighbour, route, tunnel device."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        def ask(number, data):
            return lambda: fcntl.ioctl(one, number, data) and None
        inet = struct.pack("HH4s8x", 2, 0, socket.inet_aton("198.51.100.9"))
        found += attempt("SIOCSIFADDR", ask(0x8916, struct.pack("16s16s8x", b"eth0", inet)))
        found += attempt("SIOCSIFFLAGS down", ask(0x8914, struct.pack("16sh22x", b"eth0", 0)))
        found += attempt("SIOCSIFFLAGS promiscuous", ask(0x8914, struct.pack("16sh22x", b"eth0", 0x1143)))
        found += attempt("SIOCSIFHWADDR", ask(0x8924, struct.pack("16sH6s16x", b"eth0", 1, b"\\2evil!")))
        found += attempt("SIOCSIFMTU", ask(0x8922, struct.pack("16si20x", b"eth0", 68)))
        found += attempt("SIOCSARP", ask(0x8955, inet + struct.pack("H6s8x", 1, b"\\2evil!") + struct.pack("i16s16s", 4, bytes(16), b"eth0")))
        found += attempt("SIOCADDRT", ask(0x890B, bytes(120)))
        found += attempt("SO_MARK", lambda: one.setsockopt(1, 36, 1))
    # Anybody may choose the device; what counts is where the datagram arrives.
    for device in (b"lo", b"eth0"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
            attempt("out of a chosen device", lambda: one.sendto(b"x", ("198.51.100.1", 8089)))
    found += attempt("/dev/net/tun", lambda: os.close(os.open("/dev/net/tun", os.O_RDWR)))
    return found
'''

NETWORK_SETTINGS = '''
def handler(event, context):
    """Files that would change the network of this namespace, opened for writing."""
    found = []
    for root, _, names in os.walk("/proc/sys/net"):
        for name in names:
            path = os.path.join(root, name)
            found += attempt(path, lambda: os.close(os.open(path, os.O_WRONLY)))
    return found[:20]
'''

MANY_FLOWS = '''
def handler(event, context):
    """Opens as many flows to the world as it can; every datagram to another port is one."""
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        for port in range(10_000, 10_000 + event["flows"]):
            try:
                one.sendto(b"flow", (event["to"], port))
                sent += 1
            except OSError:
                pass
    return sent
'''

SIX = '''
def handler(event, context):
    """Every way to IPv6: addresses, link-local scopes, mapped and translated forms. Says what answered."""
    found = []
    for address, port in event:
        for scope in (0, 1, 2, 3):
            def reach():
                with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as one:
                    one.settimeout(1)
                    one.connect((address, port, 0, scope))
            found += attempt(f"[{address}%{scope}]:{port}", reach)
    return found
'''

# Not a function: run by root within a sandbox's network namespace, as if everything inside had been broken.
FORGE = '''
import socket, struct, sys
IP_TRANSPARENT = 19
to, sources = sys.argv[1], sys.argv[2:]
for source in [*sources, None]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        if source:
            one.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
            one.bind((source, 0))
        one.sendto(b"spoofed " + source.encode() if source else b"honest", (to, 9000))
'''

FETCH = '''
import json, urllib.request
def handler(event, context):
    with urllib.request.urlopen(event, timeout=10) as answer:
        return json.load(answer)
'''
