//! The host's side of network class `nat`: which addresses this daemon's environments have, and what must stand before
//! the first of them is made.
//!
//! Runs in the forker, whose only sockets are netlink's. Addresses go round: one is used again only when all others have
//! been, so that packets for a dead environment do not reach its successor. The daemons of one host share a range and
//! claim parts of it by names of abstract sockets, which belong to the network namespace and end with the process.

use crate::cidr::Cidr;
use crate::firewall::{self, Attended, Firewall, FirewallError, Rules};
use crate::guard::{self, Guard, Walls};
use crate::link::{Link, ROUTE_PROTOCOL};
use crate::netlink::{DUMP, Message, Netlink, Received};
use crate::spec::NatSpec;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, UnixAddr, bind, socket};
use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// Whether the host forwards packets.
pub const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
/// Parts of the range are claimed in units of this size, so that parts of any two sizes meet in a unit.
const UNIT_PREFIX: u8 = 22;
/// Hexadecimal digits of the instance in a link's name, and of the link's number: `h`, eight and six are the fifteen
/// characters that the kernel allows.
const TAG_DIGITS: usize = 8;
const LINK_NUMBERS: u32 = 1 << 24;
const _: () = assert!(1 + TAG_DIGITS + 6 < libc::IFNAMSIZ);
const RTMSG: usize = 12;

/// Why class `nat` cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum NatError {
    /// Forwarding is off and stays off.
    #[error("{IP_FORWARD} is 0 and cannot be set: {0}")]
    Forwarding(std::io::Error),
    /// No part of the range is free.
    #[error("no {size} addresses are free in {range}: {taken}; choose another `network.range`")]
    Addresses {
        /// How many are wanted together.
        size: u64,
        /// Where.
        range: Cidr,
        /// By whom.
        taken: &'static str,
    },
    /// Routes cannot be listed.
    #[error("the host's routes cannot be read: {0}")]
    Routes(nix::Error),
    /// The kernel refuses a table of one's own.
    #[error(
        "the kernel refuses a table that is owned by a process (Linux 5.12 with nf_tables is needed): {0}"
    )]
    Guard(nix::Error),
    /// The rules are not in force.
    #[error(transparent)]
    Firewall(#[from] FirewallError),
}

/// What stands in the way of class `nat` on this host, with no step taken; empty if nothing does.
#[must_use]
pub fn obstacles() -> Vec<String> {
    let mut found = Vec::new();
    if firewall::program().is_none() {
        found.push("there is no nft (install nftables)".to_owned());
    }
    let forwards = fs::read_to_string(IP_FORWARD).is_ok_and(|text| text.trim() != "0");
    if !forwards && let Err(error) = fs::OpenOptions::new().write(true).open(IP_FORWARD) {
        found.push(format!("{IP_FORWARD} is 0 and cannot be set ({error})"));
    }
    found
}

/// The host's side, standing.
#[derive(Debug)]
pub struct Nat {
    block: Cidr,
    tag: String,
    firewall: Firewall,
    _guard: Guard,
    _claim: Vec<OwnedFd>,
    used: BTreeSet<u64>,
    next: u64,
    number: u32,
    turned_on: bool,
}

impl Nat {
    /// Claims addresses, writes the rules, and only then lets the host forward.
    ///
    /// # Errors
    /// Says what is missing; nothing of it is left then but what ends with this process.
    pub fn set_up(config: &NatSpec, instance: &str) -> Result<Self, NatError> {
        let tag = format!("h{}", &instance[..instance.len().min(TAG_DIGITS)]);
        let routes = routes().map_err(NatError::Routes)?;
        let (block, claim) = claim(config, instance, &routes)?;
        let rules = Rules {
            table: table(instance),
            links: tag.clone(),
            block,
            range: config.range,
            deny: config.deny.clone(),
            allow: config.allow.clone(),
        };
        let walls = Walls { links: &tag, block, never: &rules.walls() };
        let guard = Guard::set_up(&format!("{}_guard", rules.table), walls).map_err(NatError::Guard)?;
        let firewall = Firewall::set_up(rules)?;
        let turned_on = forward().map_err(NatError::Forwarding)?;
        // An earlier run's last links may still be on their way out: begin elsewhere.
        let start = std::process::id();
        Ok(Self {
            block,
            tag,
            firewall,
            _guard: guard,
            _claim: claim,
            used: BTreeSet::new(),
            next: u64::from(start) % block.size(),
            number: start.wrapping_mul(1 << 10),
            turned_on,
        })
    }

    /// One line for the log.
    #[must_use]
    pub fn describe(&self) -> String {
        let note = if self.turned_on { "; net.ipv4.ip_forward was 0 and is 1 now" } else { "" };
        format!("addresses {}, links {}*{note}", self.block, self.tag)
    }

    /// A link for a new sandbox with an address that nobody else has; to be given back by [`Nat::release`].
    ///
    /// # Errors
    /// When no address is free or no socket is to be had.
    pub fn plan(&mut self) -> Result<(Link, Ipv4Addr), Box<dyn std::error::Error>> {
        // The first and the last address of a block are left to those who think of networks and broadcasts.
        let last = self.block.size() - 1;
        let mut places = (self.next..last).chain(1..self.next).filter(|place| *place > 0);
        let place = places.find(|place| !self.used.contains(place));
        let place = place.ok_or("all addresses of environments are in use")?;
        let address = self.block.at(place);
        let name = format!("{}{:06x}", self.tag, self.number % LINK_NUMBERS);
        let link = Link::plan(name, address)?;
        self.used.insert(place);
        self.next = place + 1;
        self.number = self.number.wrapping_add(1);
        Ok((link, address))
    }

    /// The sandbox with this address is no more.
    pub fn release(&mut self, address: Ipv4Addr) {
        self.used.remove(&u64::from(address.to_bits() - self.block.first().to_bits()));
    }

    /// See [`Firewall::attend`].
    pub fn attend(&mut self) -> Option<Attended> {
        self.firewall.attend()
    }

    /// See [`Firewall::announcements`].
    #[must_use]
    pub fn announcements(&self) -> BorrowedFd<'_> {
        self.firewall.announcements()
    }

    /// See [`Firewall::retry_ms`].
    #[must_use]
    pub fn retry_ms(&self) -> Option<u16> {
        self.firewall.retry_ms()
    }

    /// Takes the rules away. Forwarding stays on: others may count on it by now.
    ///
    /// # Errors
    /// When they are still there.
    pub fn remove(&mut self) -> Result<(), FirewallError> {
        self.firewall.remove()
    }
}

/// Takes away the rules that an earlier run of this instance left when it was killed; for a run without class `nat`, which
/// does not replace them.
///
/// # Errors
/// When they are still there, or when the host has no nf_tables, and so no rules.
pub fn sweep(instance: &str) -> nix::Result<()> {
    guard::delete_table(&table(instance))
}

fn table(instance: &str) -> String {
    format!("hearth_{instance}")
}

/// Lets the host forward packets; whether it did not before.
fn forward() -> std::io::Result<bool> {
    if fs::read_to_string(IP_FORWARD)?.trim() != "0" {
        return Ok(false);
    }
    fs::write(IP_FORWARD, "1")?;
    Ok(true)
}

/// Twice what is needed, so that addresses rest; a power of two, whole units.
fn block_prefix(addresses: u32) -> u8 {
    let size = (u64::from(addresses) * 2).next_power_of_two();
    let bits = u8::try_from(size.trailing_zeros()).unwrap_or(32);
    UNIT_PREFIX.min(32 - bits.min(32))
}

/// A part of the range that no daemon has claimed and no route of this host leads into.
fn claim(config: &NatSpec, instance: &str, routes: &[Cidr]) -> Result<(Cidr, Vec<OwnedFd>), NatError> {
    let prefix = block_prefix(config.addresses);
    let range = config.range;
    let size = 1u64 << (32 - prefix);
    let count = range.size() / size;
    let refuse = |taken| Err(NatError::Addresses { size, range, taken });
    if count == 0 {
        return refuse("it is too small");
    }
    // The same part at every start, if it is free; another daemon begins elsewhere.
    let start = u64::from_str_radix(&instance[..instance.len().min(TAG_DIGITS)], 16).unwrap_or(0);
    let mut taken = "routes of this host lead there";
    for step in 0..count {
        let block = Cidr::around(range.at((start + step) % count * size), prefix);
        if routes.iter().any(|route| route.prefix() > range.prefix() && route.overlaps(&block)) {
            continue;
        }
        let units = (0..size)
            .step_by(1 << (32 - UNIT_PREFIX))
            .map(|place| Cidr::around(block.at(place), UNIT_PREFIX));
        match units.map(|unit| reserve(&unit)).collect::<nix::Result<Vec<OwnedFd>>>() {
            Ok(claim) => return Ok((block, claim)),
            Err(_) => taken = "other daemons of this host have them",
        }
    }
    refuse(taken)
}

fn reserve(unit: &Cidr) -> nix::Result<OwnedFd> {
    let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    bind(socket.as_raw_fd(), &UnixAddr::new_abstract(format!("hearth-addresses-{unit}").as_bytes())?)?;
    Ok(socket)
}

/// Where this host's IPv4 routes lead, of all tables, those to environments left out.
fn routes() -> nix::Result<Vec<Cidr>> {
    let mut netlink = Netlink::open(SockProtocol::NetlinkRoute, 0)?;
    let mut fixed = [0; RTMSG];
    fixed[0] = libc::AF_INET as u8;
    let mut found = Vec::new();
    netlink.query(Message::new(libc::RTM_GETROUTE, DUMP, &fixed), |it| found.extend(destination(&it)))?;
    Ok(found)
}

fn destination(route: &Received<'_>) -> Option<Cidr> {
    let [family, prefix, _, _, _, protocol] = *route.body.first_chunk::<6>()?;
    let bytes: [u8; 4] = route.attribute(RTMSG, libc::RTA_DST)?.try_into().ok()?;
    let is_foreign = i32::from(family) == libc::AF_INET && protocol != ROUTE_PROTOCOL;
    is_foreign.then(|| Cidr::around(bytes.into(), prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(range: Cidr, addresses: u32) -> NatSpec {
        NatSpec { range, addresses, deny: Vec::new(), allow: Vec::new() }
    }

    /// A range for one test of one process: claims belong to the whole network namespace. Nobody routes there.
    fn own_range(test: u32) -> Cidr {
        let place = (std::process::id() % 1024) << 18 | test << 16;
        Cidr::around(Ipv4Addr::from_bits(0xf000_0000 | place), 16)
    }

    fn part(range: Cidr, place: u64, prefix: u8) -> Cidr {
        Cidr::around(range.at(place), prefix)
    }

    #[test]
    fn parts_hold_twice_what_is_needed_in_whole_units() {
        assert_eq!(block_prefix(1028), 20);
        assert_eq!(block_prefix(1024), 21);
        assert_eq!(block_prefix(1), 22);
        assert_eq!(block_prefix(60_000), 15);
    }

    #[test]
    fn two_daemons_that_begin_at_the_same_part_get_different_ones() {
        let range = own_range(0);
        let (one, _held) = claim(&config(range, 1028), "0000000300000000", &[]).expect("the first");
        assert_eq!(one, part(range, 3 * 4096, 20));
        let (other, _held) = claim(&config(range, 1028), "0000000300000000", &[]).expect("the second");
        assert_eq!(other, part(range, 4 * 4096, 20));
        // A smaller part does not fit into a claimed one either.
        let (small, _held) = claim(&config(range, 100), "0000000c00000000", &[]).expect("a small one");
        assert_eq!(small, part(range, 5 * 4096, 22));
    }

    #[test]
    fn a_claim_ends_with_its_sockets() {
        let range = Cidr::around(own_range(1).first(), 20);
        let first = claim(&config(range, 1028), "0", &[]).expect("free");
        let refused = claim(&config(range, 1028), "0", &[]).expect_err("taken").to_string();
        assert!(refused.contains("other daemons") && refused.contains("`network.range`"), "{refused}");
        drop(first);
        claim(&config(range, 1028), "0", &[]).expect("free again");
    }

    #[test]
    fn parts_into_which_routes_lead_are_left_alone() {
        let range = own_range(2);
        let wide = Cidr::around(range.first(), 12);
        let routes = [Cidr::around(range.first(), 24), wide, Cidr::around(range.first(), 0)];
        let (block, _held) = claim(&config(range, 1028), "00000000", &routes).expect("free");
        assert_eq!(block, part(range, 4096, 20));
        let first = Cidr::around(range.first(), 20);
        let refused = claim(&config(first, 1028), "00000000", &routes).expect_err("taken").to_string();
        assert!(refused.contains("routes of this host"), "{refused}");
    }

    #[test]
    fn a_range_that_is_too_small_is_refused() {
        let range = "198.19.0.0/24".parse().expect("a range");
        let refused = claim(&config(range, 1028), "0", &[]).expect_err("too small").to_string();
        assert_eq!(
            refused,
            "no 4096 addresses are free in 198.19.0.0/24: it is too small; choose another `network.range`"
        );
    }

    #[test]
    fn the_hosts_routes_can_be_read() {
        let found = routes().expect("routes");
        assert!(found.iter().any(|it| it.overlaps(&Cidr::around(Ipv4Addr::LOCALHOST, 32))), "{found:?}");
    }
}
