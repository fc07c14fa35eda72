//! The link of one sandbox of class `nat`: a veth pair between the host and the sandbox's network namespace.
//!
//! Routed, not bridged: the sandbox has one address (/32), the host one route to it. There is no ARP: both ends have
//! the same hardware address and never ask for one, so there is nothing to spoof and nothing to resolve. IPv6 is off.
//! Made while the sandbox is parked, by its future pid 1; a link is never deleted, it dies with the namespace (deleting
//! links one by one costs the kernel milliseconds each).

use crate::netlink::{ACK, CREATE, EXCLUSIVE, Message, Netlink, REPLACE, Received};
use nix::sys::socket::SockProtocol;
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

/// The interface's name inside.
pub const INNER: &str = "eth0";
/// Routes of ours say so: `proto 72` in `ip route`.
pub const ROUTE_PROTOCOL: u8 = 72;

/// Locally administered; the same on both ends of every link.
const HARDWARE_ADDRESS: [u8; 6] = [0x02, b'H', b'e', b'a', b'r', b't'];
const VETH_INFO_PEER: u16 = 1;
const INET6_ADDR_GEN_MODE: u16 = 8;
const ADDR_GEN_MODE_NONE: u8 = 1;
const INET_CONF: u16 = 1;
const EXT_MASK: u16 = 29;
const SKIP_STATISTICS: u32 = 1 << 3;
const IFINFO: usize = 16;

/// Numbers of `net.ipv4.conf.<link>.*`, from the kernel's `linux/ip.h`, with the values of the host's end. Set one by
/// one because what the host has by default for new interfaces is the owner's choice.
const HOST_SETTINGS: [(u16, &str, u32); 8] = [
    (1, "forwarding", 1),
    (3, "proxy_arp", 0),
    (4, "accept_redirects", 0),
    (6, "send_redirects", 0),
    (8, "rp_filter", 1),
    (9, "accept_source_route", 0),
    (23, "accept_local", 0),
    (26, "route_localnet", 0),
];

/// What a link is to be, and the socket through which the host's side of it is set up.
#[derive(Debug)]
pub struct Link {
    name: String,
    address: Ipv4Addr,
    host: Netlink,
}

/// The step that failed.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {source}")]
pub struct LinkError {
    step: &'static str,
    source: nix::Error,
}

fn at<T>(step: &'static str, result: nix::Result<T>) -> Result<T, LinkError> {
    result.map_err(|source| LinkError { step, source })
}

impl Link {
    /// Plans a link with this name on the host and this address inside. Called in the host's network namespace: the
    /// socket opened here keeps acting there.
    ///
    /// # Errors
    /// When there is no socket.
    pub fn plan(name: String, address: Ipv4Addr) -> nix::Result<Self> {
        Ok(Self { name, address, host: Netlink::open(SockProtocol::NetlinkRoute, 0)? })
    }

    /// The descriptor that must survive into the sandbox's future pid 1.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.host.as_fd()
    }

    /// Makes and configures both ends; called in the sandbox's fresh network namespace, with privileges over both.
    /// Consumes the plan, so that no socket of the host's namespace stays behind.
    ///
    /// # Errors
    /// Names the step.
    pub fn make(mut self) -> Result<(), LinkError> {
        // For the interface that comes; loopback keeps its ::1.
        let setting = "/proc/sys/net/ipv6/conf/default/disable_ipv6";
        if Path::new(setting).exists() {
            let no_ipv6 = std::fs::write(setting, "1");
            at(
                "IPv6 off",
                no_ipv6.map_err(|error| error.raw_os_error().map_or(nix::Error::EIO, nix::Error::from_raw)),
            )?;
        }
        let own = File::open("/proc/self/ns/net");
        let own = at("network namespace", own.map_err(|_| nix::Error::ENOENT))?;
        let has_ipv6 = Path::new("/proc/sys/net/ipv6").exists();
        let requests =
            vec![pair(&self.name, own.as_raw_fd()), settings(&self.name, has_ipv6), up(&self.name)];
        at("veth pair", self.host.ask(requests))?;
        let index = at("host's end", index_of(&mut self.host, &self.name))?;
        at("route to the sandbox", self.host.ask(vec![route(Some(self.address), index)]))?;
        let mut inside = at("socket", Netlink::open(SockProtocol::NetlinkRoute, 0))?;
        at("interface up", inside.ask(vec![up(INNER)]))?;
        let index = at("inner end", index_of(&mut inside, INNER))?;
        at("address and route", inside.ask(vec![address(self.address, index), route(None, index)]))
    }
}

fn index_of(netlink: &mut Netlink, name: &str) -> nix::Result<u32> {
    let request = Message::new(libc::RTM_GETLINK, 0, &[0; IFINFO])
        .text(libc::IFLA_IFNAME, name)
        .number(EXT_MASK, SKIP_STATISTICS);
    let mut index = None;
    netlink.query(request, |answer: Received<'_>| {
        index = answer
            .body
            .get(4..8)
            .and_then(|bytes| bytes.first_chunk::<4>())
            .map(|it| u32::from_ne_bytes(*it));
    })?;
    index.ok_or(nix::Error::ENODEV)
}

fn pair(name: &str, inner_namespace: i32) -> Message {
    Message::new(libc::RTM_NEWLINK, CREATE | EXCLUSIVE | ACK, &[0; IFINFO])
        .text(libc::IFLA_IFNAME, name)
        .attribute(libc::IFLA_ADDRESS, &HARDWARE_ADDRESS)
        .nested(libc::IFLA_LINKINFO, &[], |info| {
            info.attribute(libc::IFLA_INFO_KIND, b"veth").nested(libc::IFLA_INFO_DATA, &[], |data| {
                data.nested(VETH_INFO_PEER, &[0; IFINFO], |peer| {
                    peer.text(libc::IFLA_IFNAME, INNER)
                        .attribute(libc::IFLA_ADDRESS, &HARDWARE_ADDRESS)
                        .number(libc::IFLA_NET_NS_FD, inner_namespace.cast_unsigned())
                })
            })
        })
}

fn settings(name: &str, has_ipv6: bool) -> Message {
    let message = Message::new(libc::RTM_SETLINK, ACK, &[0; IFINFO]).text(libc::IFLA_IFNAME, name);
    message.nested(libc::IFLA_AF_SPEC, &[], |families| {
        let families = families.nested(libc::AF_INET as u16, &[], |family| {
            family.nested(INET_CONF, &[], |all| {
                HOST_SETTINGS.iter().fold(all, |all, (number, _, value)| all.number(*number, *value))
            })
        });
        // The kernel refuses the whole message where IPv6 is off altogether.
        if !has_ipv6 {
            return families;
        }
        families.nested(libc::AF_INET6 as u16, &[], |family| {
            family.attribute(INET6_ADDR_GEN_MODE, &[ADDR_GEN_MODE_NONE])
        })
    })
}

fn up(name: &str) -> Message {
    let flags = (libc::IFF_UP | libc::IFF_NOARP).cast_unsigned();
    let mut fixed = [0; IFINFO];
    fixed[8..12].copy_from_slice(&flags.to_ne_bytes());
    fixed[12..16].copy_from_slice(&flags.to_ne_bytes());
    Message::new(libc::RTM_SETLINK, ACK, &fixed).text(libc::IFLA_IFNAME, name)
}

fn address(address: Ipv4Addr, index: u32) -> Message {
    let mut fixed = [libc::AF_INET as u8, 32, 0, libc::RT_SCOPE_UNIVERSE, 0, 0, 0, 0];
    fixed[4..].copy_from_slice(&index.to_ne_bytes());
    Message::new(libc::RTM_NEWADDR, CREATE | EXCLUSIVE | ACK, &fixed)
        .attribute(libc::IFA_LOCAL, &address.octets())
        .attribute(libc::IFA_ADDRESS, &address.octets())
}

/// To one address, or to everywhere.
fn route(to: Option<Ipv4Addr>, index: u32) -> Message {
    let bits = if to.is_some() { 32 } else { 0 };
    let [table, scope, kind] = [libc::RT_TABLE_MAIN, libc::RT_SCOPE_LINK, libc::RTN_UNICAST];
    let fixed = [libc::AF_INET as u8, bits, 0, 0, table, ROUTE_PROTOCOL, scope, kind, 0, 0, 0, 0];
    // Replace: a link that is still being torn down may have had the address before.
    let message = Message::new(libc::RTM_NEWROUTE, CREATE | REPLACE | ACK, &fixed);
    let message = match to {
        Some(address) => message.attribute(libc::RTA_DST, &address.octets()),
        None => message,
    };
    message.number(libc::RTA_OIF, index)
}
