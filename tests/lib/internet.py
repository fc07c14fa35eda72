"""An internet of one's own: a host that daemons run on, and a world behind it, each a network namespace.

Nothing leaves the machine, and what a test does to the host's firewall it does to the namespace's. The world answers on
several addresses, private ones and cloud metadata's among them, and remembers who came; so does the host.
"""

import contextlib
import ctypes
import http.server
import json
import os
import shutil
import socket
import socketserver
import struct
import subprocess
import threading
import uuid

import pytest

from . import holding

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)

HOST = "198.51.100.1"
WORLD = "198.51.100.2"
# Another address of the host, one that is on no link to anybody.
HOST_INNER = "192.0.2.77"
PUBLIC = "203.0.113.7"
PRIVATE = "10.20.30.40"
EXCEPTION = "10.20.99.1"
METADATA = ("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192")
HOST6, WORLD6, METADATA6 = "fd57::1", "fd57::2", "fd00:ec2::254"
RANGE = "100.121.0.0/16"

WEB_PORT = 80
HOST_TCP, HOST_UDP, SINK_UDP = 8088, 8089, 9000
# Names that the world's name server knows, beside any below world.test.
LARGE_NAME = "large.world.test"
LARGE_COUNT = 60


# A function that listens on all its addresses, tells the world its own, and answers with who came before the program that
# it starts has ended; to be held (`holding`).
LISTEN = """
import socket, subprocess

def handler(event, context):
    server = socket.create_server(("", event["port"]))
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("", event["port"]))
    server.settimeout(0.1)
    datagrams.settimeout(0.1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect((event["world"], 9000))
        out.send(b"listening at " + out.getsockname()[0].encode())
    came, going, told = [], True, subprocess.Popen(event["until"])
    # Once more after the end: who came before it is heard.
    while going:
        going = told.poll() is None
        for hear in (lambda: server.accept()[1][0], lambda: datagrams.recvfrom(64)[1][0]):
            try:
                came.append(hear())
            except TimeoutError:
                pass
    return came
"""
LISTENING = {"port": 7777, "world": WORLD, "until": holding.COMMAND}

# Where Debian has `ip`, `nft` and `sysctl`, also for those whose PATH lacks it.
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def program(name):
    return shutil.which(name, path=PATH)


def command(*words, check=True):
    environment = {**os.environ, "PATH": PATH}
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60, env=environment)
    if check:
        assert done.returncode == 0, f"{' '.join(str(word) for word in words)}: {done.stderr}"
    return done


def enter(path):
    """Moves the calling thread, and what it starts from now on, into a network namespace."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if LIBC.setns(handle, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {path}")
    finally:
        os.close(handle)


class Visits:
    """Who came to an address: (where, from whom), in order."""

    def __init__(self):
        self.lock = threading.Lock()
        self.all = []

    def note(self, where, client):
        with self.lock:
            self.all.append((where, client))

    def to(self, where):
        with self.lock:
            return [client for place, client in self.all if place == where]

    def clear(self):
        with self.lock:
            self.all.clear()


class Web(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Answers every GET with who asked and where."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address, visits):
        self.visits = visits
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, Page)

    def server_bind(self):
        # The library's own looks up its name, which takes seconds where nobody answers.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def process_request(self, request, client_address):
        self.visits.note(("tcp", request.getsockname()[0], request.getsockname()[1]), client_address[0])
        super().process_request(request, client_address)


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"client": self.client_address[0], "host": self.headers.get("Host")}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def answer_name(question, by_datagram):
    """A DNS answer: one address for names below world.test, many for the large one, and NXDOMAIN for all others."""
    number, _, count = struct.unpack("!HHH", question[:6])
    labels, at = [], 12
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode().lower())
        at += question[at] + 1
    kind = struct.unpack("!H", question[at + 1 : at + 3])[0]
    asked = question[12 : at + 5]
    name = ".".join(labels)
    known = name.endswith("world.test")
    addresses = []
    if known and kind == 1:
        addresses = [f"203.0.113.{n}" for n in range(100, 100 + LARGE_COUNT)] if name == LARGE_NAME else [PUBLIC]
    flags = 0x8180 | (0 if known else 3)
    if by_datagram and len(addresses) > 10:
        flags, addresses = flags | 0x0200, []
    records = b"".join(struct.pack("!HHHIH4s", 0xC00C, 1, 1, 60, 4, socket.inet_aton(one)) for one in addresses)
    return struct.pack("!HHHHHH", number, flags, count, len(addresses), 0, 0) + asked + records


class Internet:
    """Both namespaces, what answers in them, and who came."""

    def __init__(self):
        tag = uuid.uuid4().hex[:6]
        self.host_name, self.world_name = f"ht-host-{tag}", f"ht-world-{tag}"
        self.visits = Visits()
        self.sources = Visits()
        self._servers = []
        self._closing = threading.Event()
        self._threads = []

    def listener(self):
        """The address that a function which listens (`LISTEN`) has told the world; None before."""
        told = [data for data, _ in list(self.sources.all) if data.startswith(b"listening at ")]
        return told[0].split()[-1].decode() if told else None

    # --- life ---

    def make(self):
        for name in (self.host_name, self.world_name):
            command("ip", "netns", "add", name)
            command("ip", "-n", name, "link", "set", "lo", "up")
        command("ip", "-n", self.host_name, "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", self.world_name)
        host, world = ("ip", "-n", self.host_name), ("ip", "-n", self.world_name)
        command(*host, "addr", "add", f"{HOST}/24", "dev", "up0")
        command(*host, "addr", "add", f"{HOST_INNER}/32", "dev", "lo")
        command(*host, "-6", "addr", "add", f"{HOST6}/64", "dev", "up0", "nodad")
        command(*host, "link", "set", "up0", "up")
        command(*world, "addr", "add", f"{WORLD}/24", "dev", "eth0")
        for address in (PUBLIC, PRIVATE, EXCEPTION, *METADATA):
            command(*world, "addr", "add", f"{address}/32", "dev", "lo")
        for address in (WORLD6, METADATA6):
            command(*world, "-6", "addr", "add", f"{address}/64", "dev", "eth0", "nodad")
        command(*world, "link", "set", "eth0", "up")
        command(*host, "route", "add", "default", "via", WORLD)
        command(*host, "-6", "route", "add", "default", "via", WORLD6)
        # The world knows the way to environments: were they let out under their own addresses, it would answer.
        command(*world, "route", "add", RANGE, "via", HOST)
        self._run(self.world_path, self._serve_world)
        self._run(self.host_path, self._serve_host)
        return self

    def remove(self):
        self._closing.set()
        for server in self._servers:
            server.shutdown() if isinstance(server, Web) else None
        for thread in self._threads:
            thread.join(10)
        for server in self._servers:
            (server.server_close if isinstance(server, Web) else server.close)()
        for name in (self.host_name, self.world_name):
            command("ip", "netns", "del", name, check=False)

    @property
    def host_path(self):
        return f"/run/netns/{self.host_name}"

    @property
    def world_path(self):
        return f"/run/netns/{self.world_name}"

    # --- being there ---

    @contextlib.contextmanager
    def on_host(self):
        """The calling thread is on the host meanwhile: it can talk to daemons that listen on its loopback."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        enter(self.host_path)
        try:
            yield self
        finally:
            try:
                assert LIBC.setns(own, CLONE_NEWNET) == 0
            finally:
                os.close(own)

    def prefix(self, *more):
        """What starts a command on the host; `ip netns exec` would hide the control groups."""
        return ["nsenter", f"--net={self.host_path}", *more]

    def nft(self, *words, check=True):
        return command(*self.prefix("nft", *words), check=check).stdout

    def tables(self):
        """Names of the daemons' tables on the host."""
        return {line.split()[2] for line in self.nft("list", "tables").splitlines() if "hearth_" in line}

    def links(self):
        """Names of the host's ends of environments' links."""
        lines = command("ip", "-n", self.host_name, "-o", "link", "show", "type", "veth").stdout.splitlines()
        return {line.split()[1].split("@")[0].rstrip(":") for line in lines} - {"up0"}

    def setting(self, name, value=None):
        """Reads or sets a sysctl of the host."""
        if value is not None:
            command(*self.prefix("sysctl", "-qw", f"{name}={value}"))
        return command(*self.prefix("sysctl", "-n", name)).stdout.strip()

    # --- what answers ---

    def _run(self, path, serve):
        ready, failed = threading.Event(), []

        def run():
            try:
                enter(path)
                serve()
            except BaseException as error:
                failed.append(error)
            finally:
                ready.set()

        threading.Thread(target=run, daemon=True).start()
        assert ready.wait(30)
        if failed:
            raise failed[0]

    def _start(self, target):
        thread = threading.Thread(target=target, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _web(self, address, port):
        server = Web((address, port), self.visits)
        self._servers.append(server)
        self._start(lambda: server.serve_forever(poll_interval=0.1))

    def _sink(self, port):
        """Takes datagrams at all addresses and notes their sources."""
        sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sink.settimeout(0.2)
        sink.bind(("0.0.0.0", port))
        self._servers.append(sink)

        def take():
            while not self._closing.is_set():
                with contextlib.suppress(TimeoutError):
                    data, client = sink.recvfrom(2048)
                    self.sources.note(data, client[0])
                    self.visits.note(("udp", "any", port), client[0])

        self._start(take)

    def _serve_world(self):
        for address in (WORLD, PUBLIC, PRIVATE, EXCEPTION, *METADATA, WORLD6, METADATA6):
            self._web(address, WEB_PORT)
        self._sink(SINK_UDP)
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.settimeout(0.2)
        datagrams.bind((WORLD, 53))
        listener = socket.create_server((WORLD, 53))
        listener.settimeout(0.2)
        self._servers += [datagrams, listener]

        def by_datagram():
            while not self._closing.is_set():
                with contextlib.suppress(TimeoutError):
                    question, client = datagrams.recvfrom(4096)
                    self.visits.note(("dns", WORLD, 53), client[0])
                    datagrams.sendto(answer_name(question, True), client)

        def by_connection():
            while not self._closing.is_set():
                with contextlib.suppress(TimeoutError, OSError):
                    connection, client = listener.accept()
                    with connection:
                        connection.settimeout(5)
                        question = connection.recv(4096)[2:]
                        self.visits.note(("dns", WORLD, 53), client[0])
                        answer = answer_name(question, False)
                        connection.sendall(struct.pack("!H", len(answer)) + answer)

        self._start(by_datagram)
        self._start(by_connection)

    def _serve_host(self):
        self._web("0.0.0.0", HOST_TCP)
        self._sink(HOST_UDP)


def needed():
    """Skips, saying why, where namespaces or their tools are missing."""
    if os.geteuid() != 0:
        pytest.skip("needs root: makes network namespaces")
    for name, package in (("ip", "iproute2"), ("nft", "nftables"), ("nsenter", "util-linux"), ("sysctl", "procps")):
        if not program(name):
            pytest.skip(f"{name} is not installed (Debian: {package}; tests/run.sh installs it)")


@contextlib.contextmanager
def internet():
    """Makes one, with the calling thread on its host, and takes it away again."""
    needed()
    it = Internet()
    try:
        it.make()
        with it.on_host():
            yield it
    finally:
        it.remove()
