//! The few route-netlink requests that a sandbox's network is made of, encoded by hand over a blocking socket.
//!
//! A dozen fixed messages: a general encoder (`netlink-packet-route`) would be the larger part of the forker.
//! A socket belongs to the network namespace in which it was opened, so whoever configures a sandbox opens one there.
//! Numbers and layouts are those of `linux/rtnetlink.h`, `if_link.h`, `if_addr.h`, `neighbour.h` and `veth.h`.

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, connect, recv, send, socket,
};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

const RTM_NEWLINK: u16 = 16;
const RTM_SETLINK: u16 = 19;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_NEWNEIGH: u16 = 28;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NUD_PERMANENT: u16 = 0x80;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;
const AF_INET: u8 = 2;
const IFF_UP: u32 = 1;
/// The group of `NETLINK_NETFILTER` that hears of every change of the nftables ruleset (`NFNLGRP_NFTABLES`), as a bit.
const GROUP_NFTABLES: u32 = 1 << 6;
const REPLY_BYTES: usize = 8192;

/// An Ethernet address.
pub(crate) type Mac = [u8; 6];

/// One end of a veth pair.
pub(crate) struct End<'a> {
    /// Name.
    pub(crate) name: &'a str,
    /// Number; 0 lets the kernel choose.
    pub(crate) index: i32,
    /// Ethernet address.
    pub(crate) mac: Mac,
}

/// Where packets of a route go.
pub(crate) struct Route {
    /// Destination; all with a prefix of 0.
    pub(crate) to: Ipv4Addr,
    /// Bits of it that count.
    pub(crate) prefix: u8,
    /// Next hop; none for what is on the link.
    pub(crate) gateway: Option<Ipv4Addr>,
    /// Interface.
    pub(crate) index: i32,
}

/// A request under construction.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut bytes = vec![0; 16];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
        bytes.extend_from_slice(body);
        Self(bytes)
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let start = self.open(kind);
        self.0.extend_from_slice(value);
        self.close(start);
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.0.len();
        self.0.extend_from_slice(&[0, 0]);
        self.0.extend_from_slice(&kind.to_ne_bytes());
        start
    }

    /// Writes the length of what was opened at `start` and pads to four bytes.
    fn close(&mut self, start: usize) {
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}

/// `struct ifinfomsg`.
fn link(index: i32, flags: u32) -> [u8; 16] {
    let mut body = [0; 16];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    body[8..12].copy_from_slice(&flags.to_ne_bytes());
    body[12..16].copy_from_slice(&flags.to_ne_bytes());
    body
}

fn name(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

fn veth(ours: &End<'_>, theirs: &End<'_>, namespace: i32) -> Vec<u8> {
    let mut message = Message::new(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link(ours.index, IFF_UP));
    message.attribute(IFLA_IFNAME, &name(ours.name));
    message.attribute(IFLA_ADDRESS, &ours.mac);
    let info = message.open(IFLA_LINKINFO);
    message.attribute(IFLA_INFO_KIND, b"veth");
    let data = message.open(IFLA_INFO_DATA);
    let peer = message.open(VETH_INFO_PEER);
    message.0.extend_from_slice(&link(theirs.index, 0));
    message.attribute(IFLA_IFNAME, &name(theirs.name));
    message.attribute(IFLA_ADDRESS, &theirs.mac);
    message.attribute(IFLA_NET_NS_FD, &namespace.to_ne_bytes());
    message.close(peer);
    message.close(data);
    message.close(info);
    message.finish()
}

/// A blocking route-netlink socket of the namespace in which it was opened.
pub(crate) struct Netlink(OwnedFd);

impl Netlink {
    /// Opens one in the caller's network namespace.
    pub(crate) fn open() -> nix::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self(socket))
    }

    /// Makes a pair: `ours` here and up, `theirs` in the namespace that the descriptor names.
    pub(crate) fn add_veth(
        &self,
        ours: &End<'_>,
        theirs: &End<'_>,
        namespace: BorrowedFd<'_>,
    ) -> nix::Result<()> {
        self.ask(&veth(ours, theirs, namespace.as_raw_fd()))
    }

    /// Takes an interface up.
    pub(crate) fn set_up(&self, index: i32) -> nix::Result<()> {
        self.ask(&Message::new(RTM_SETLINK, 0, &link(index, IFF_UP)).finish())
    }

    /// Gives an interface one address and no subnet.
    pub(crate) fn add_address(&self, index: i32, address: Ipv4Addr) -> nix::Result<()> {
        let mut body = [AF_INET, 32, 0, RT_SCOPE_UNIVERSE, 0, 0, 0, 0];
        body[4..].copy_from_slice(&index.to_ne_bytes());
        let mut message = Message::new(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &body);
        message.attribute(IFA_LOCAL, &address.octets());
        message.attribute(IFA_ADDRESS, &address.octets());
        self.ask(&message.finish())
    }

    /// Says for good which Ethernet address a neighbour has, so that nobody needs to ask for it.
    pub(crate) fn add_neighbour(&self, index: i32, address: Ipv4Addr, mac: Mac) -> nix::Result<()> {
        let mut body = [0; 12];
        body[0] = AF_INET;
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        body[8..10].copy_from_slice(&NUD_PERMANENT.to_ne_bytes());
        let mut message = Message::new(RTM_NEWNEIGH, NLM_F_CREATE, &body);
        message.attribute(NDA_DST, &address.octets());
        message.attribute(NDA_LLADDR, &mac);
        self.ask(&message.finish())
    }

    /// Adds a route; one that exists already is an error (`EEXIST`).
    pub(crate) fn add_route(&self, route: &Route) -> nix::Result<()> {
        let scope = if route.gateway.is_some() { RT_SCOPE_UNIVERSE } else { RT_SCOPE_LINK };
        let mut body = [0; 12];
        body[..8].copy_from_slice(&[
            AF_INET,
            route.prefix,
            0,
            0,
            RT_TABLE_MAIN,
            RTPROT_STATIC,
            scope,
            RTN_UNICAST,
        ]);
        let mut message = Message::new(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &body);
        if route.prefix > 0 {
            message.attribute(RTA_DST, &route.to.octets());
        }
        if let Some(gateway) = route.gateway {
            message.attribute(RTA_GATEWAY, &gateway.octets());
        }
        message.attribute(RTA_OIF, &route.index.to_ne_bytes());
        self.ask(&message.finish())
    }

    /// Sends one request and reads its acknowledgement.
    fn ask(&self, request: &[u8]) -> nix::Result<()> {
        send(self.0.as_raw_fd(), request, MsgFlags::empty())?;
        let mut reply = [0; REPLY_BYTES];
        let length = loop {
            match recv(self.0.as_raw_fd(), &mut reply, MsgFlags::empty()) {
                Err(nix::Error::EINTR) => {}
                other => break other?,
            }
        };
        acknowledged(&reply[..length])
    }
}

/// Reads an acknowledgement: a header, then the negative error number.
fn acknowledged(reply: &[u8]) -> nix::Result<()> {
    let kind = reply.get(4..6).map(|bytes| u16::from_ne_bytes([bytes[0], bytes[1]]));
    let (Some(NLMSG_ERROR), Some(code)) = (kind, reply.get(16..20)) else { return Err(nix::Error::EBADMSG) };
    match i32::from_ne_bytes([code[0], code[1], code[2], code[3]]) {
        0 => Ok(()),
        code => Err(nix::Error::from_raw(-code)),
    }
}

/// Hears of changes of the nftables ruleset in the caller's network namespace.
pub(crate) struct RulesetWatch(OwnedFd);

impl RulesetWatch {
    /// Begins to listen.
    pub(crate) fn open() -> nix::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkNetFilter)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUP_NFTABLES))?;
        Ok(Self(socket))
    }

    /// Forgets what was heard so far; true if there was anything. Messages lost for want of room count as heard.
    pub(crate) fn take(&self) -> bool {
        let mut buffer = [0; REPLY_BYTES];
        let mut heard = false;
        loop {
            match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(_) | Err(nix::Error::ENOBUFS) => heard = true,
                Err(nix::Error::EINTR) => {}
                Err(_) => return heard,
            }
        }
    }
}

impl AsFd for RulesetWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_content_and_everything_is_padded() {
        let mut message = Message::new(RTM_NEWLINK, 0, &link(3, IFF_UP));
        message.attribute(IFLA_IFNAME, &name("ab"));
        let bytes = message.finish();
        assert_eq!(bytes.len(), 16 + 16 + 8);
        assert_eq!(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]), 40);
        // Four bytes of header and `ab\0`; the eighth is padding that does not count.
        assert_eq!(u16::from_ne_bytes([bytes[32], bytes[33]]), 7);
        assert_eq!(&bytes[36..40], b"ab\0\0");
    }

    #[test]
    fn a_veth_carries_its_peer_inside() {
        let ours = End { name: "h0", index: 0, mac: [2, 0, 0, 0, 0, 1] };
        let theirs = End { name: "eth0", index: 9, mac: [2, 0, 0, 0, 0, 2] };
        let bytes = veth(&ours, &theirs, 77);
        assert_eq!(bytes.len() % 4, 0);
        for part in [b"veth".as_slice(), b"eth0\0", &77_i32.to_ne_bytes(), &theirs.mac] {
            assert!(bytes.windows(part.len()).any(|window| window == part), "{part:?}");
        }
    }

    #[test]
    fn only_a_zero_acknowledges() {
        let reply = |kind: u16, code: i32| {
            let mut bytes = vec![0; 20];
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes[16..20].copy_from_slice(&code.to_ne_bytes());
            bytes
        };
        assert_eq!(acknowledged(&reply(NLMSG_ERROR, 0)), Ok(()));
        assert_eq!(acknowledged(&reply(NLMSG_ERROR, -17)), Err(nix::Error::EEXIST));
        assert_eq!(acknowledged(&reply(RTM_NEWLINK, 0)), Err(nix::Error::EBADMSG));
        assert_eq!(acknowledged(&[]), Err(nix::Error::EBADMSG));
    }

    #[test]
    fn the_kernel_takes_the_requests() {
        // Needs privileges over a namespace of its own, and a thread of its own to be in it.
        let done = std::thread::spawn(|| {
            if nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_err() {
                println!("skipped: no privilege to make a network namespace");
                return;
            }
            let own = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
            let netlink = Netlink::open().unwrap();
            let ours = End { name: "h0", index: 100, mac: [2, 0, 0, 0, 0, 1] };
            let theirs = End { name: "eth9", index: 200, mac: [2, 0, 0, 0, 0, 2] };
            netlink.add_veth(&ours, &theirs, own.as_fd()).unwrap();
            netlink.set_up(200).unwrap();
            let address = Ipv4Addr::new(100, 64, 0, 2);
            netlink.add_address(200, address).unwrap();
            netlink.add_neighbour(200, Ipv4Addr::new(100, 64, 0, 1), ours.mac).unwrap();
            let gateway = Ipv4Addr::new(100, 64, 0, 1);
            netlink.add_route(&Route { to: gateway, prefix: 32, gateway: None, index: 200 }).unwrap();
            let all = Ipv4Addr::UNSPECIFIED;
            netlink.add_route(&Route { to: all, prefix: 0, gateway: Some(gateway), index: 200 }).unwrap();
            let again = Route { to: gateway, prefix: 32, gateway: None, index: 200 };
            assert_eq!(netlink.add_route(&again), Err(nix::Error::EEXIST));
        });
        done.join().unwrap();
    }
}
