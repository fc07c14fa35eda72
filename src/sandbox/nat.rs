//! Network class `nat`: a routed link of its own for each sandbox, one ruleset for all of them.
//!
//! Each sandbox gets a veth pair and one address (/32), no bridge and no subnet: what leaves it is routed by this host,
//! filtered by one static nftables table, and hidden behind the host's own addresses. Towards the host itself, other
//! sandboxes and link-local addresses (cloud metadata) nothing gets through; IPv6 is off inside. Names are resolved by
//! the daemon's relay, which listens inside. A link dies with its sandbox's namespace and is never deleted one by one.
//!
//! Deliberately not here: the listeners inside (`net`), who gets which class (the daemon's configuration).

use crate::netlink::{End, Mac, Netlink, Route, RulesetWatch};
use crate::spec::NatSpec;
use nix::sched::{CloneFlags, setns};
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Command, Stdio};

const HOST_MAC: Mac = [0x02, b'h', b'e', b'a', b'r', 0x01];
const SANDBOX_MAC: Mac = [0x02, b'h', b'e', b'a', b'r', 0x02];
/// Where packets go that no function may send, whatever is configured: link-local and with it most clouds' metadata, the
/// metadata services of Alibaba, Azure and Oracle, multicast, reserved.
const NEVER: [&str; 8] = [
    "0.0.0.0/8",
    "100.100.100.200",
    "127.0.0.0/8",
    "168.63.129.16",
    "169.254.0.0/16",
    "192.0.0.192",
    "224.0.0.0/4",
    "240.0.0.0/4",
];
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
const SEARCH: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";

type Problem = Box<dyn std::error::Error>;

/// Addresses of one daemon's sandboxes, and the names of their links.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    /// Eight hexadecimal digits of the instance.
    tag: String,
    base: Ipv4Addr,
    prefix: u8,
    deny: Vec<String>,
    allow: Vec<String>,
}

impl Plan {
    /// Takes one of the equal parts of the range, by the instance, so that two daemons rarely meet.
    fn new(instance: &str, spec: &NatSpec) -> Result<Self, Problem> {
        let (range, bits) = parse_range(&spec.range).ok_or("the range of addresses is not one of IPv4")?;
        let size = spec.addresses.saturating_add(2).next_power_of_two();
        let own_bits = 32 - u8::try_from(size.trailing_zeros())?;
        if own_bits < bits {
            return Err(format!("{} has no room for {} environments", spec.range, spec.addresses).into());
        }
        let parts = 1_u64 << (own_bits - bits);
        let mut chosen: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in instance.bytes() {
            chosen = (chosen ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let part = u32::try_from((chosen >> 16) % parts)?;
        let base = Ipv4Addr::from(u32::from(range) + part * size);
        let tag: String = instance.bytes().filter(u8::is_ascii_hexdigit).take(8).map(char::from).collect();
        Ok(Self { tag, base, prefix: own_bits, deny: spec.deny.clone(), allow: spec.allow.clone() })
    }

    /// The next hop of every sandbox. No interface has it: the neighbour entry inside leads to the host's end.
    fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + 1)
    }

    /// How many sandboxes have an address: neither the first nor the last of the part, nor the gateway.
    fn places(&self) -> u32 {
        u32::try_from((1_u64 << (32 - self.prefix)) - 3).unwrap_or(u32::MAX)
    }

    /// The address of a place, from 0.
    fn address(&self, place: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + 2 + place)
    }

    fn link(&self, place: u32) -> String {
        format!("h{}{place:x}", self.tag)
    }

    fn table(&self) -> String {
        format!("hearth_{}", self.tag)
    }

    /// Replaces the table as one transaction.
    fn ruleset(&self) -> String {
        let (table, links) = (self.table(), format!("\"h{}*\"", self.tag));
        let own = format!("{}/{}", self.base, self.prefix);
        let never = NEVER.join(", ");
        let lists = [("allow", &self.allow), ("deny", &self.deny)].map(|(name, list)| {
            let elements = if list.is_empty() {
                String::new()
            } else {
                format!("\n\t\telements = {{ {} }}", list.join(", "))
            };
            format!(
                "\tset {name} {{\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\tauto-merge{elements}\n\t}}\n"
            )
        });
        format!(
            "table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n{}{}\
             \tchain leaving {{\n\
             \t\tmeta nfproto ipv6 drop\n\
             \t\tip saddr != {own} drop\n\
             \t\tfib saddr . iif oif missing drop\n\
             \t\toifname {links} drop\n\
             \t\tip daddr {own} drop\n\
             \t\tip daddr {{ {never} }} drop\n\
             \t\tip daddr @allow accept\n\
             \t\tip daddr @deny reject with icmp admin-prohibited\n\
             \t\taccept\n\
             \t}}\n\
             \tchain forward {{\n\
             \t\ttype filter hook forward priority filter - 10; policy accept;\n\
             \t\tiifname {links} jump leaving\n\
             \t\toifname {links} ct state established,related accept\n\
             \t\toifname {links} drop\n\
             \t}}\n\
             \tchain input {{\n\
             \t\ttype filter hook input priority filter - 10; policy accept;\n\
             \t\tiifname {links} drop\n\
             \t}}\n\
             \tchain postrouting {{\n\
             \t\ttype nat hook postrouting priority srcnat; policy accept;\n\
             \t\tip saddr {own} oifname != {links} masquerade\n\
             \t}}\n}}\n",
            lists[0], lists[1]
        )
    }
}

/// `a.b.c.d/n` with nothing in the host part.
fn parse_range(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, bits) = text.split_once('/')?;
    let (address, bits): (Ipv4Addr, u8) = (address.parse().ok()?, bits.parse().ok()?);
    let host = u32::MAX.checked_shr(bits.into()).unwrap_or(0);
    (bits <= 32 && u32::from(address) & host == 0).then_some((address, bits))
}

/// The network of one forker.
pub(crate) struct Nat {
    plan: Plan,
    netlink: Netlink,
    own: File,
    /// The table as the kernel prints it after it was applied.
    applied: String,
    /// Where the search for a free place begins: the kernel takes links down some time after their sandbox, so a place is
    /// not used again before all others were.
    next: u32,
    /// Hears of changes; polled by the forker's loop.
    pub(crate) watch: RulesetWatch,
}

impl Nat {
    /// Turns forwarding on and applies the ruleset.
    pub(crate) fn set_up(instance: &str, spec: &NatSpec) -> Result<Self, Problem> {
        let plan = Plan::new(instance, spec)?;
        let watch = RulesetWatch::open()?;
        turn_forwarding_on()?;
        let applied = apply(&plan)?;
        watch.take();
        let own = File::open("/proc/self/ns/net")?;
        Ok(Self { plan, netlink: Netlink::open()?, own, applied, next: 0, watch })
    }

    /// Connects a sandbox under construction whose first process is `pid`.
    pub(crate) fn connect(&mut self, pid: i32) -> Result<(), Problem> {
        let namespace = File::open(format!("/proc/{pid}/ns/net"))?;
        let place = self.make_link(namespace.as_fd())?;
        let (address, link) = (self.plan.address(place), self.plan.link(place));
        let named = |what: &str| format!("{what} of link {link}");
        let step =
            |what: &str, done: nix::Result<()>| done.map_err(|error| format!("{}: {error}", named(what)));
        let index = number_of(&link)?;
        // Where IPv6 is off altogether there is no such file.
        fs::write(format!("/proc/sys/net/ipv6/conf/{link}/disable_ipv6"), "1").ok();
        step("neighbour", self.netlink.add_neighbour(index, address, SANDBOX_MAC))?;
        match self.netlink.add_route(&Route { to: address, prefix: 32, gateway: None, index }) {
            Err(nix::Error::EEXIST) => {
                let text =
                    format!("{address} is in use on this host: give this daemon another `network.range`");
                return Err(text.into());
            }
            done => step("route", done)?,
        }
        self.inside(namespace.as_fd(), || {
            let netlink = Netlink::open()?;
            let index = number_of("eth0")?;
            fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1").ok();
            netlink.set_up(index)?;
            netlink.add_address(index, address)?;
            let gateway = self.plan.gateway();
            netlink.add_neighbour(index, gateway, HOST_MAC)?;
            netlink.add_route(&Route { to: gateway, prefix: 32, gateway: None, index })?;
            let all = Ipv4Addr::UNSPECIFIED;
            netlink.add_route(&Route { to: all, prefix: 0, gateway: Some(gateway), index })
        })
        .map_err(|error| format!("inner end of link {link}: {error}").into())
    }

    /// Makes a pair with its inner end in the namespace; the place whose name it has.
    fn make_link(&mut self, namespace: BorrowedFd<'_>) -> Result<u32, Problem> {
        let places = self.plan.places();
        for _ in 0..places {
            let place = self.next;
            self.next = (place + 1) % places;
            let link = self.plan.link(place);
            let ours = End { name: &link, index: 0, mac: HOST_MAC };
            let theirs = End { name: "eth0", index: 0, mac: SANDBOX_MAC };
            match self.netlink.add_veth(&ours, &theirs, namespace) {
                Ok(()) => return Ok(place),
                Err(nix::Error::EEXIST) => {}
                Err(error) => return Err(format!("making of link {link}: {error}").into()),
            }
        }
        Err("all addresses of `network.range` are in use".into())
    }

    /// Does something in a sandbox's network namespace and comes back.
    fn inside(&self, namespace: BorrowedFd<'_>, work: impl FnOnce() -> nix::Result<()>) -> nix::Result<()> {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        let done = work();
        // Staying there would make every later sandbox part of that one's network.
        if let Err(error) = setns(&self.own, CloneFlags::CLONE_NEWNET) {
            eprintln!("hearth forker: cannot return to the own network namespace: {error}");
            std::process::exit(1);
        }
        done
    }

    /// After the ruleset changed: whether this table was among what changed, and had to be put back.
    pub(crate) fn mend(&mut self) -> Result<bool, Problem> {
        if !self.watch.take() || list(&self.plan).is_ok_and(|now| now == self.applied) {
            return Ok(false);
        }
        self.applied = apply(&self.plan)?;
        self.watch.take();
        Ok(true)
    }

    /// Takes the table away; links go with their sandboxes.
    pub(crate) fn remove(&self) {
        nft(&["delete", "table", "inet", &self.plan.table()], None).ok();
    }
}

/// An interface's number in the caller's network namespace.
fn number_of(link: &str) -> nix::Result<i32> {
    i32::try_from(nix::net::if_::if_nametoindex(link)?).map_err(|_| nix::Error::EOVERFLOW)
}

/// It stays on afterwards: another daemon, or somebody else, may have come to rely on it.
fn turn_forwarding_on() -> Result<(), Problem> {
    let reason =
        |error: io::Error| format!("{FORWARDING}: {error}; network class nat needs packets to be forwarded");
    if fs::read_to_string(FORWARDING).map_err(reason)?.trim() != "0" {
        return Ok(());
    }
    Ok(fs::write(FORWARDING, "1").map_err(reason)?)
}

fn apply(plan: &Plan) -> Result<String, Problem> {
    nft(&["-f", "-"], Some(&plan.ruleset()))?;
    list(plan)
}

fn list(plan: &Plan) -> Result<String, Problem> {
    nft(&["--stateless", "list", "table", "inet", &plan.table()], None)
}

/// Runs `nft`; its standard output.
fn nft(arguments: &[&str], input: Option<&str>) -> Result<String, Problem> {
    let mut command = Command::new("nft");
    command.args(arguments).env_clear().env("PATH", SEARCH);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| {
        format!(
            "nft: {error}; network class nat needs it (Debian: apt-get install nftables), `network.class = \"none\"` \
             goes without"
        )
    })?;
    if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
        pipe.write_all(text.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("nft {}: {}", arguments.join(" "), said.lines().next().unwrap_or("failed")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(range: &str, addresses: u32) -> NatSpec {
        NatSpec { range: range.into(), deny: Vec::new(), allow: Vec::new(), addresses }
    }

    fn plan(range: &str, addresses: u32) -> Plan {
        Plan::new("0123456789abcdef", &spec(range, addresses)).expect("fits")
    }

    #[test]
    fn the_own_part_lies_in_the_range_and_has_room() {
        for (range, addresses) in [("100.64.0.0/10", 1284), ("10.9.0.0/16", 60_000), ("192.0.2.0/24", 250)] {
            let plan = plan(range, addresses);
            let (base, bits) = parse_range(range).expect("a range");
            let inside =
                |address: Ipv4Addr| u32::from(address) >> (32 - bits) == u32::from(base) >> (32 - bits);
            assert!(plan.places() + 1 >= addresses, "{range}: {plan:?}");
            let last = plan.address(plan.places() - 1);
            assert!(inside(plan.gateway()) && inside(last), "{range}: {plan:?}");
            assert_ne!(plan.address(0), plan.gateway());
        }
    }

    #[test]
    fn a_range_that_is_too_small_or_crooked_is_refused() {
        assert!(Plan::new("ab", &spec("192.0.2.0/24", 300)).is_err());
        for crooked in ["192.0.2.1/24", "192.0.2.0", "::/64", "192.0.2.0/33", "x/8"] {
            assert!(parse_range(crooked).is_none(), "{crooked}");
        }
    }

    #[test]
    fn names_of_links_fit_the_kernel() {
        assert!(plan("100.64.0.0/10", 1000).link(0xFF_FFFF).len() <= 15);
    }

    #[test]
    fn addresses_end_before_the_last_of_the_part() {
        let plan = plan("192.0.2.0/24", 250);
        assert_eq!(plan.address(plan.places() - 1), Ipv4Addr::new(192, 0, 2, 254));
    }

    #[test]
    fn the_ruleset_denies_first_what_no_list_can_allow() {
        let mut spec = spec("100.64.0.0/10", 1284);
        spec.deny = vec!["10.0.0.0/8".into()];
        spec.allow = vec!["10.1.2.3".into()];
        let text = Plan::new("0123456789abcdef", &spec).expect("fits").ruleset();
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} is missing:\n{text}"));
        assert!(at("169.254.0.0/16") < at("ip daddr @allow accept"));
        assert!(at("ip daddr @allow accept") < at("ip daddr @deny"));
        assert!(at("oifname \"h01234567*\" drop") < at("ip daddr @allow accept"));
        assert!(text.contains("elements = { 10.1.2.3 }") && text.contains("elements = { 10.0.0.0/8 }"));
    }
}
