"""A small internet: one network namespace for the host under test, another with servers, a link between them.

The daemon and its clients run in the first, so nothing of the machine's own network is used or changed. Python before
3.12 has no `setns`, hence the call through the C library; a namespace belongs to the thread that enters it.
"""

import contextlib
import ctypes
import json
import os
import shutil
import subprocess
import sys
import textwrap
import uuid

import pytest

HOST = "198.51.100.1"
OUTSIDE = "198.51.100.2"
PRIVATE = "10.9.9.9"
PRIVATE_ALLOWED = "10.1.2.3"
METADATA = "169.254.169.254"
WEB = 8000
DATAGRAMS = 9999
CLONE_NEWNET = 0x40000000

SERVERS = textwrap.dedent(
    """
    import http.server, json, socket, struct, sys, threading
    here, heard = sys.argv[1], []

    class Web(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({"from": self.client_address[0], "heard": heard}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *_):
            pass

    def answer(query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        question = query[12:at + 5]
        kind = struct.unpack("!H", query[at + 1:at + 3])[0]
        known = ".".join(labels) == "web.example"
        flags = 0x8180 if known else 0x8183
        found = known and kind == 1
        head = query[:2] + struct.pack("!5H", flags, 1, int(found), 0, 0)
        record = b"\\xc0\\x0c" + struct.pack("!HHIH", 1, 1, 5, 4) + socket.inet_aton(here) if found else b""
        return head + question + record

    def names_over_udp():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((here, 53))
        while True:
            query, asker = s.recvfrom(4096)
            s.sendto(answer(query), asker)

    def names_over_tcp():
        s = socket.create_server((here, 53))
        while True:
            c, _ = s.accept()
            with c:
                length = struct.unpack("!H", c.recv(2))[0]
                reply = answer(c.recv(length))
                c.sendall(struct.pack("!H", len(reply)) + reply)

    def datagrams():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", 9999))
        while True:
            _, asker = s.recvfrom(4096)
            heard.append(asker[0])

    for work in (names_over_udp, names_over_tcp, datagrams):
        threading.Thread(target=work, daemon=True).start()
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Web)
    print("ready", flush=True)
    server.serve_forever()
    """
)


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
    return done.stdout


def setns(path):
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY)
    try:
        if libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {path}")
    finally:
        os.close(fd)


class Internet:
    """Both namespaces and the servers outside; the calling thread is in the host's."""

    def __init__(self):
        for program in ("ip", "nft"):
            if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
                pytest.skip(f"{program} is not installed")
        tag = uuid.uuid4().hex[:8]
        self.host, self.outside = f"hearth-host-{tag}", f"hearth-out-{tag}"
        self.server = None

    def open(self):
        for name in (self.host, self.outside):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", self.host, "link", "add", "up0", "type", "veth", "peer", "name", "e0", "netns", self.outside)
        for name, link, address in ((self.host, "up0", HOST), (self.outside, "e0", OUTSIDE)):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", link)
            ip("-n", name, "link", "set", link, "up")
        for address in (PRIVATE, PRIVATE_ALLOWED, METADATA):
            ip("-n", self.outside, "addr", "add", f"{address}/32", "dev", "lo")
        ip("-n", self.host, "route", "add", "default", "via", OUTSIDE)
        command = ["ip", "netns", "exec", self.outside, sys.executable, "-c", SERVERS, OUTSIDE]
        self.server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.server.stdout.readline() == "ready\n"
        setns(f"/run/netns/{self.host}")
        return self

    def close(self):
        if self.server is not None:
            self.server.terminate()
            self.server.wait()
            self.server.stdout.close()
        for name in (self.host, self.outside):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)

    # --- what the tests look at, in the host's namespace ---

    def heard(self):
        """Senders of all datagrams that reached the outside."""
        import urllib.request

        with urllib.request.urlopen(f"http://{OUTSIDE}:{WEB}/", timeout=5) as answer:
            return json.load(answer)["heard"]

    def links(self):
        """Names of the host's links to sandboxes."""
        lines = ip("-o", "link").splitlines()
        return [name for line in lines if (name := line.split(": ")[1].split("@")[0]).startswith("h")]

    def tables(self):
        return [line.split()[-1] for line in nft("list", "tables").splitlines()]


def nft(*words):
    done = subprocess.run(["nft", *words], capture_output=True, text=True, env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})
    assert done.returncode == 0, f"nft {' '.join(words)}: {done.stderr}"
    return done.stdout


@contextlib.contextmanager
def internet():
    """Opens one for the calling thread."""
    world = Internet()
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        yield world.open()
    finally:
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.setns(own, CLONE_NEWNET) == 0
        os.close(own)
        world.close()


# A function that does what its event says and tells how it went.
PROBE = """
import ctypes, os, socket, struct, time, urllib.request

def connect(host, port, timeout=1.5):
    try:
        with socket.create_connection((host, port), timeout):
            return "connected"
    except Exception as error:
        return type(error).__name__

def own(target="198.51.100.2"):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((target, 1))
        return s.getsockname()[0]

def fetch(url):
    with urllib.request.urlopen(url, timeout=3) as answer:
        return answer.read().decode()

def resolve(name):
    try:
        return socket.gethostbyname(name)
    except OSError as error:
        return type(error).__name__

def listen(port, seconds):
    with socket.create_server(("0.0.0.0", port)) as server:
        server.settimeout(seconds)
        try:
            return server.accept()[1][0]
        except TimeoutError:
            return None

def spoof(source, target, port):
    IP_FREEBIND = 15
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)
        s.bind((source, 0))
        try:
            s.sendto(b"spoofed", (target, port))
        except OSError as error:
            return type(error).__name__
    return "sent"

def datagram(target, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"honest", (target, port))
    return "sent"

def tcp_query(name):
    query = b"\\x12\\x34\\x01\\x00\\x00\\x01" + bytes(6)
    query += b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\\0\\0\\x01\\0\\x01"
    with socket.create_connection(("169.254.100.1", 53), 3) as s:
        s.sendall(struct.pack("!H", len(query)) + query)
        length = struct.unpack("!H", s.recv(2))[0]
        return socket.inet_ntoa(s.recv(length)[-4:])

def raw(family, kind, protocol=0):
    try:
        socket.socket(family, kind, protocol).close()
        return "opened"
    except OSError as error:
        return type(error).__name__

def route_netlink(kind, flags, body):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        s.bind((0, 0))
        s.send(struct.pack("=IHHII", 16 + len(body), kind, flags | 5, 1, 0) + body)
        reply = s.recv(4096)
    return os.strerror(-struct.unpack_from("=i", reply, 16)[0]) if struct.unpack_from("=H", reply, 4)[0] == 2 else "data"

def add_address(address):
    index = socket.if_nametoindex("eth0")
    body = struct.pack("=BBBBI", 2, 32, 0, 0, index)
    for kind in (2, 1):
        body += struct.pack("=HH", 8, kind) + socket.inet_aton(address)
    return route_netlink(20, 0x600, body)

def add_route(address):
    index = socket.if_nametoindex("eth0")
    body = struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 254, 4, 253, 1, 0)
    body += struct.pack("=HH", 8, 1) + socket.inet_aton(address) + struct.pack("=HHi", 8, 4, index)
    return route_netlink(24, 0x600, body)

def delete_link(_=None):
    return route_netlink(17, 0, struct.pack("=BxHiII", 0, 0, socket.if_nametoindex("eth0"), 0, 0))

def interfaces(_=None):
    return sorted(name for _, name in socket.if_nameindex())

def six(_=None):
    try:
        return open("/proc/net/if_inet6").read().split()[-1::-6]
    except FileNotFoundError:
        return []

def handler(event, context):
    return {name: globals()[name](*arguments) for name, arguments in event.items()}
"""
