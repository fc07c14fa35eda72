//! Whose socket is at the other end of a loopback connection: the uid, as the kernel knows it.
//!
//! Asks `sock_diag(7)` for exactly one socket, the client's own, by its four coordinates. That needs no privilege and
//! no list of connections. Answers about sockets that no process holds any more are not believed: the kernel reports
//! uid 0 for a socket in TIME-WAIT and for one whose owner has closed it, and whoever is gone wants no answer.
//! Deliberately not here: which uids are welcome.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send, socket,
};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::{Mutex, PoisonError};

// linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const HEADER_BYTES: usize = 16;
/// `struct inet_diag_sockid`.
const ID_BYTES: usize = 48;
/// `struct inet_diag_req_v2`.
const REQUEST_BYTES: usize = HEADER_BYTES + 8 + ID_BYTES;
/// `struct inet_diag_msg`: where its parts stand in it.
const STATE_AT: usize = 1;
const ID_AT: usize = 4;
const UID_AT: usize = 64;
const INODE_AT: usize = 68;
const MESSAGE_BYTES: usize = 72;
/// A message and the attributes that follow it.
const REPLY_BYTES: usize = 1024;
/// Replies to earlier requests that are passed over, at most.
const STALE_MAX: usize = 8;
/// TCP's states in which a process can hold a connected socket: established, and the ways of closing it.
const HELD: [u8; 6] = [1, 4, 5, 8, 9, 11];

/// Asks the kernel about connections of this network namespace.
pub(crate) struct Peers {
    socket: Mutex<Asking>,
}

struct Asking {
    socket: OwnedFd,
    sequence: u32,
}

impl Peers {
    /// Opens the way to ask, and tries it on a connection of this process's own.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkSockDiag,
        )?;
        connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        let peers = Self { socket: Mutex::new(Asking { socket, sequence: 0 }) };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        let own = nix::unistd::geteuid().as_raw();
        match peers.uid_of(client.local_addr()?, client.peer_addr()?)? {
            Some(uid) if uid == own => Ok(peers),
            found => Err(io::Error::other(format!("a socket of uid {own} was reported as {found:?}"))),
        }
    }

    /// The uid that holds the socket at `client`, connected to `server`; none if no process does.
    pub(crate) fn uid_of(&self, client: SocketAddr, server: SocketAddr) -> io::Result<Option<u32>> {
        // A lock for the time of two system calls that never wait: the kernel answers within the first.
        let mut asking = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        asking.ask(client, server)
    }
}

impl Asking {
    fn ask(&mut self, client: SocketAddr, server: SocketAddr) -> io::Result<Option<u32>> {
        self.sequence = self.sequence.wrapping_add(1);
        let (family, id) = identify(client, server);
        let fd = self.socket.as_raw_fd();
        send(fd, &request(self.sequence, family, &id), MsgFlags::empty())?;
        let mut reply = [0; REPLY_BYTES];
        for _ in 0..=STALE_MAX {
            let length = match recv(fd, &mut reply, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EINTR) => continue,
                other => other?,
            };
            let reply = &reply[..length.min(REPLY_BYTES)];
            if length >= HEADER_BYTES && number(reply, 8) == self.sequence {
                return read(reply, &id);
            }
        }
        Err(io::Error::other("the kernel did not answer about a socket"))
    }
}

/// The family and the coordinates of the client's socket: its own address first.
fn identify(client: SocketAddr, server: SocketAddr) -> (u8, [u8; ID_BYTES]) {
    let mut id = [0; ID_BYTES];
    id[0..2].copy_from_slice(&client.port().to_be_bytes());
    id[2..4].copy_from_slice(&server.port().to_be_bytes());
    // IPv4 in IPv6's clothes is found among IPv4's sockets, whichever family the client's own is.
    let family = match (client.ip().to_canonical(), server.ip().to_canonical()) {
        (IpAddr::V4(client), IpAddr::V4(server)) => {
            id[4..8].copy_from_slice(&client.octets());
            id[20..24].copy_from_slice(&server.octets());
            libc::AF_INET
        }
        (client, server) => {
            let octets = |address: IpAddr| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            };
            id[4..20].copy_from_slice(&octets(client));
            id[20..36].copy_from_slice(&octets(server));
            libc::AF_INET6
        }
    };
    // No cookie: any incarnation of the socket.
    id[40..48].fill(0xff);
    (u8::try_from(family).unwrap_or(u8::MAX), id)
}

fn request(sequence: u32, family: u8, id: &[u8; ID_BYTES]) -> [u8; REQUEST_BYTES] {
    let mut bytes = [0; REQUEST_BYTES];
    bytes[0..4].copy_from_slice(&u32::try_from(REQUEST_BYTES).unwrap_or_default().to_ne_bytes());
    bytes[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
    bytes[16] = family;
    bytes[17] = u8::try_from(libc::IPPROTO_TCP).unwrap_or_default();
    bytes[20..24].fill(0xff);
    bytes[24..].copy_from_slice(id);
    bytes
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

/// The uid in an answer about the socket that was asked for, if a process holds that socket.
fn read(reply: &[u8], id: &[u8; ID_BYTES]) -> io::Result<Option<u32>> {
    let kind = u16::from_ne_bytes([reply[4], reply[5]]);
    let body = &reply[HEADER_BYTES..];
    if kind == NLMSG_ERROR {
        let code = number(body, 0).cast_signed().wrapping_neg();
        return match Errno::from_raw(code) {
            Errno::ENOENT => Ok(None),
            other => Err(other.into()),
        };
    }
    if kind != SOCK_DIAG_BY_FAMILY || body.len() < MESSAGE_BYTES {
        return Err(io::Error::other("the kernel's answer about a socket is not understood"));
    }
    // Where there is no connection any more, the kernel may answer about a listener at the same port.
    let is_the_one = body[ID_AT..ID_AT + 4] == id[0..4];
    let is_held = HELD.contains(&body[STATE_AT]) && number(body, INODE_AT) != 0;
    Ok((is_the_one && is_held).then(|| number(body, UID_AT)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Shutdown;

    fn pair(address: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(address).expect("binds");
        let client = TcpStream::connect(listener.local_addr().expect("has one")).expect("connects");
        (client, listener.accept().expect("accepts").0)
    }

    fn asked(peers: &Peers, served: &TcpStream) -> Option<u32> {
        let (client, server) = (served.peer_addr().expect("has one"), served.local_addr().expect("has one"));
        peers.uid_of(client, server).expect("the kernel answers")
    }

    #[test]
    fn the_holder_of_a_connection_is_known_in_both_families() {
        let peers = Peers::open().expect("this kernel answers");
        let own = nix::unistd::geteuid().as_raw();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (client, served) = pair(address);
            assert_eq!(asked(&peers, &served), Some(own), "{address}");
            client.shutdown(Shutdown::Write).expect("half-closes");
            assert_eq!(asked(&peers, &served), Some(own), "{address}: who still listens is still there");
        }
    }

    #[test]
    fn a_client_of_ipv6_that_speaks_ipv4_is_found() {
        let peers = Peers::open().expect("this kernel answers");
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let port = listener.local_addr().expect("has one").port();
        let _client = TcpStream::connect(("::ffff:127.0.0.1", port)).expect("connects");
        let served = listener.accept().expect("accepts").0;
        assert_eq!(asked(&peers, &served), Some(nix::unistd::geteuid().as_raw()));
    }

    #[test]
    fn nobody_holds_a_socket_that_was_closed() {
        // The kernel says uid 0 of these, which is root's.
        let peers = Peers::open().expect("this kernel answers");
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (client, served) = pair(address);
            let ends = (client.local_addr().expect("has one"), client.peer_addr().expect("has one"));
            let holder = || peers.uid_of(ends.0, ends.1).expect("the kernel answers");
            assert!(holder().is_some(), "{address}: open");
            drop(client);
            assert_eq!(holder(), None, "{address}: closed by its owner");
            // A socket that is gone has no addresses to ask for, so they were taken before.
            drop(served);
            assert_eq!(holder(), None, "{address}: closed by both");
        }
    }

    #[test]
    fn nobody_holds_a_connection_that_does_not_exist() {
        let peers = Peers::open().expect("this kernel answers");
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let there = listener.local_addr().expect("has one");
        // A listener at the port that is asked for is not a client.
        assert_eq!(peers.uid_of(there, "127.0.0.1:9".parse().expect("is one")).expect("answers"), None);
        assert_eq!(peers.uid_of("127.0.0.1:9".parse().expect("is one"), there).expect("answers"), None);
    }
}
