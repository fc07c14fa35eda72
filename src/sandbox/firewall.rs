//! The host's rules for the links of class `nat`: one static ruleset, applied by `nft`, watched, applied again.
//!
//! No rule names a sandbox: links are known by the beginning of their name, so nothing changes when one comes or goes.
//! Other programs may reload the host's firewall and take this table along. Kernel announcements tell of it, the table
//! is written again in one transaction, and until then `guard` keeps shut what must never be open.

use crate::cidr::Cidr;
use crate::clock::Moment;
use crate::guard;
use crate::netlink::{DUMP, Message, Netlink};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::SockProtocol;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where `nft` may be: the forker has no PATH, and would not trust one.
pub const NFT_PLACES: [&str; 6] = [
    "/usr/sbin/nft",
    "/sbin/nft",
    "/usr/bin/nft",
    "/usr/local/sbin/nft",
    "/usr/local/bin/nft",
    "/run/current-system/sw/bin/nft",
];
/// Never reachable, whatever the configuration allows: this host, link-local and with it cloud metadata, metadata
/// services at other addresses (Alibaba, Azure, Oracle), multicast, and what is no host's address.
const WALLS: [&str; 7] = [
    "0.0.0.0/8",
    "100.100.100.200/32",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "192.0.0.192/32",
    "224.0.0.0/3",
];
/// Connections that one environment may have open to the outside; more would fill the host's table of connections.
const FLOWS_MAX: u32 = 4096;
/// Applying takes ten milliseconds; a program that hangs is ended.
const NFT_WITHIN_MS: u16 = 10_000;
const COMPLAINT_BYTES_MAX: u64 = 4096;
/// Pause before another attempt after one failed.
const RETRY_MS: u16 = 1000;

const NFTABLES: u16 = 10;
const GET_RULE: u16 = NFTABLES << 8 | 7;
const NEW_RULE: u16 = NFTABLES << 8 | 6;
const NFPROTO_INET: u8 = 1;
/// The table's name is attribute 1 of everything that belongs to a table.
const TABLE_NAME: u16 = 1;
const NFGEN: usize = 4;
/// Mask of the multicast group NFNLGRP_NFTABLES (7).
const ANNOUNCEMENTS: u32 = 1 << 6;

/// What the ruleset is made of.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Name of the table, in family `inet`.
    pub table: String,
    /// How the host's ends of all links begin.
    pub links: String,
    /// Addresses of this daemon's environments.
    pub block: Cidr,
    /// Addresses of any daemon's environments.
    pub range: Cidr,
    /// Not reachable.
    pub deny: Vec<Cidr>,
    /// Reachable although denied.
    pub allow: Vec<Cidr>,
}

impl Rules {
    /// The chains: head, then rules.
    fn chains(&self) -> [(&'static str, &'static str, Vec<String>); 7] {
        let Self { links, block, .. } = self;
        let refuse = "reject with icmp type admin-prohibited";
        let from = format!("iifname \"{links}*\"");
        let to = format!("oifname \"{links}*\"");
        [
            // Before address translation: a port that the host forwards to a container is the host's, too.
            (
                "arriving",
                "type filter hook prerouting priority mangle; policy accept;",
                vec![
                    format!("iifname != \"{links}*\" accept"),
                    "meta nfproto != ipv4 drop".into(),
                    "fib saddr . iif oif missing drop".into(),
                    format!("fib daddr type local {refuse}"),
                ],
            ),
            (
                "host",
                "type filter hook input priority filter - 5; policy accept;",
                vec![format!("{from} drop")],
            ),
            (
                "crossing",
                "type filter hook forward priority filter - 5; policy accept;",
                vec![format!("{from} goto outward"), format!("{to} goto inward")],
            ),
            // The walls come before everything, so that a connection made while the table was away ends with its return.
            (
                "outward",
                "",
                vec![
                    format!("ip daddr @walls {refuse}"),
                    format!("ct state new add @flows {{ ip saddr ct count over {FLOWS_MAX} }} {refuse}"),
                    "ip daddr @allowed accept".into(),
                    format!("ip daddr @denied {refuse}"),
                ],
            ),
            ("inward", "", vec!["ct state established,related accept".into(), "drop".into()]),
            (
                "leaving",
                "type filter hook output priority filter - 5; policy accept;",
                vec![format!("{to} goto inward")],
            ),
            (
                "masking",
                "type nat hook postrouting priority srcnat; policy accept;",
                vec![format!("ip saddr {block} oifname != \"{links}*\" masquerade")],
            ),
        ]
    }

    /// The whole ruleset as `nft` reads it: replaces what is there in one transaction.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { table, deny, allow, .. } = self;
        let mut text = format!("table inet {table} {{}}\ndelete table inet {table}\ntable inet {table} {{\n");
        for (name, ranges) in [("walls", &self.walls()), ("denied", deny), ("allowed", allow)] {
            let elements: Vec<String> = ranges.iter().map(Cidr::to_string).collect();
            let _ = writeln!(text, "\tset {name} {{\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\tauto-merge");
            if !elements.is_empty() {
                let _ = writeln!(text, "\t\telements = {{ {} }}", elements.join(", "));
            }
            text.push_str("\t}\n");
        }
        text.push_str("\tset flows {\n\t\ttype ipv4_addr\n\t\tsize 65535\n\t\tflags dynamic\n\t}\n");
        // Chains that are gone to are defined before those that go there.
        let mut chains = self.chains();
        chains.sort_by_key(|(_, hook, _)| !hook.is_empty());
        for (name, hook, rules) in chains {
            let _ = writeln!(text, "\tchain {name} {{");
            for line in [hook.to_owned()].iter().chain(&rules).filter(|line| !line.is_empty()) {
                let _ = writeln!(text, "\t\t{line}");
            }
            text.push_str("\t}\n");
        }
        text.push_str("}\n");
        text
    }

    /// What is never reachable, whatever is allowed.
    #[must_use]
    pub fn walls(&self) -> Vec<Cidr> {
        let always = WALLS.iter().filter_map(|text| text.parse().ok());
        always.chain([self.range]).collect()
    }

    fn count(&self) -> usize {
        self.chains().iter().map(|(_, _, rules)| rules.len()).sum()
    }
}

/// Why the rules are not in force.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    /// There is no `nft`.
    #[error("there is no nft on this host; install nftables")]
    NoProgram,
    /// It could not be run.
    #[error("nft: {0}")]
    Run(#[from] std::io::Error),
    /// It did not end.
    #[error("nft did not end within {NFT_WITHIN_MS} ms")]
    Slow,
    /// It refused.
    #[error("nft refused the rules: {0}")]
    Refused(String),
    /// The kernel's announcements or lists cannot be read.
    #[error("netlink: {0}")]
    Netlink(#[from] nix::Error),
    /// The rules went away while they were made.
    #[error("another program keeps changing the table")]
    Unstable,
}

/// What [`Firewall::attend`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attended {
    /// Another program had changed the table; it is back.
    Restored,
    /// Another program has changed the table, and it cannot be written again for now; told once.
    Failed(String),
}

/// The ruleset in force.
#[derive(Debug)]
pub struct Firewall {
    rules: Rules,
    program: &'static str,
    watch: Netlink,
    lists: Netlink,
    /// Changed by another program and not restored yet: when that was last tried.
    broken: Option<Moment>,
}

/// The first `nft` there is.
#[must_use]
pub fn program() -> Option<&'static str> {
    NFT_PLACES.into_iter().find(|path| Path::new(path).is_file())
}

impl Firewall {
    /// Applies the rules and watches them from then on. Replaces what an earlier run left under the same name.
    ///
    /// # Errors
    /// When they are not in force afterwards.
    pub fn set_up(rules: Rules) -> Result<Self, FirewallError> {
        let program = program().ok_or(FirewallError::NoProgram)?;
        let watch = Netlink::open(SockProtocol::NetlinkNetFilter, ANNOUNCEMENTS)?;
        let lists = Netlink::open(SockProtocol::NetlinkNetFilter, 0)?;
        let mut firewall = Self { rules, program, watch, lists, broken: None };
        firewall.apply()?;
        Ok(firewall)
    }

    fn apply(&mut self) -> Result<(), FirewallError> {
        run(self.program, &self.rules.text())?;
        // Our own transaction has been announced by the time nft ends; what else was is caught by the count.
        self.watch.drain(|_| ()).or_else(ignore_overrun)?;
        if self.rules_there()? == self.rules.count() { Ok(()) } else { Err(FirewallError::Unstable) }
    }

    fn rules_there(&mut self) -> nix::Result<usize> {
        let request =
            Message::new(GET_RULE, DUMP, &[NFPROTO_INET, 0, 0, 0]).text(TABLE_NAME, &self.rules.table);
        let mut count = 0;
        let name = terminated(&self.rules.table);
        self.lists.query(request, |it| {
            count += usize::from(it.kind == NEW_RULE && it.attribute(NFGEN, TABLE_NAME) == Some(&name[..]));
        })?;
        Ok(count)
    }

    /// Looks whether another program changed the table, and writes it again if so. Cheap when nothing happened.
    pub fn attend(&mut self) -> Option<Attended> {
        let name = terminated(&self.rules.table);
        let mut touched = false;
        let heard = self.watch.drain(|it| {
            touched |= it.kind >> 8 == NFTABLES && it.attribute(NFGEN, TABLE_NAME) == Some(&name[..]);
        });
        // Announcements were lost: look at the table itself.
        touched |= heard.is_err();
        if !is_due(touched, self.broken.map(Moment::elapsed)) {
            return None;
        }
        match self.apply() {
            Ok(()) => {
                self.broken = None;
                Some(Attended::Restored)
            }
            Err(error) => {
                let is_news = self.broken.replace(Moment::now()).is_none();
                is_news.then(|| Attended::Failed(error.to_string()))
            }
        }
    }

    /// What to poll for announcements.
    #[must_use]
    pub fn announcements(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }

    /// When to attend again although nothing was announced, milliseconds.
    #[must_use]
    pub fn retry_ms(&self) -> Option<u16> {
        self.broken.map(|_| RETRY_MS)
    }

    /// Takes the table away.
    ///
    /// # Errors
    /// When it is still there.
    pub fn remove(&mut self) -> Result<(), FirewallError> {
        Ok(guard::delete_table(&self.rules.table)?)
    }
}

/// Whether the rules are to be written now. While they cannot be, each attempt is a program's run that everybody who waits
/// for a sandbox waits for: one after each pause, however often somebody looks.
fn is_due(touched: bool, since_failure: Option<Duration>) -> bool {
    since_failure.map_or(touched, |elapsed| elapsed >= Duration::from_millis(RETRY_MS.into()))
}

fn terminated(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

fn ignore_overrun(error: nix::Error) -> nix::Result<()> {
    if error == nix::Error::ENOBUFS { Ok(()) } else { Err(error) }
}

#[expect(clippy::disallowed_methods, reason = "nft writes the rules, in one transaction")]
fn run(program: &str, script: &str) -> Result<(), FirewallError> {
    let mut child = Command::new(program)
        .args(["-f", "-"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // A program that refuses to read says why on its standard error.
        input.write_all(script.as_bytes()).ok();
    }
    let mut complaint = String::new();
    if let Some(errors) = child.stderr.take() {
        let mut fds = [PollFd::new(errors.as_fd(), PollFlags::POLLIN)];
        // It closes when the program ends.
        if poll(&mut fds, PollTimeout::from(NFT_WITHIN_MS)) == Ok(0) {
            child.kill()?;
            child.wait()?;
            return Err(FirewallError::Slow);
        }
        errors.take(COMPLAINT_BYTES_MAX).read_to_string(&mut complaint)?;
    }
    if child.wait()?.success() { Ok(()) } else { Err(FirewallError::Refused(complaint.trim().to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        let range = |text: &str| text.parse().expect("a range");
        Rules {
            table: "hearth_0123456789abcdef".into(),
            links: "h01234567".into(),
            block: range("100.121.16.0/20"),
            range: range("100.121.0.0/16"),
            deny: vec![range("10.0.0.0/8"), range("10.1.0.0/16")],
            allow: vec![range("10.2.3.4/32")],
        }
    }

    #[test]
    fn the_ruleset_reads_so() {
        let wanted = include_str!("ruleset.nft");
        let text = rules().text();
        assert!(text == wanted, "src/sandbox/ruleset.nft differs from what is made:\n{text}");
    }

    #[test]
    fn without_lists_the_sets_are_empty() {
        let text = Rules { deny: Vec::new(), allow: Vec::new(), ..rules() }.text();
        assert_eq!(text.matches("elements").count(), 1);
        assert_eq!(text.matches("set ").count(), 4);
    }

    #[test]
    fn walls_are_looked_at_before_what_is_allowed() {
        let text = rules().text();
        let outward = &text[text.find("chain outward").expect("there")..];
        let at = |what: &str| outward.find(what).expect(what);
        assert!(
            at("@walls") < at("@flows") && at("@flows") < at("@allowed") && at("@allowed") < at("@denied")
        );
    }

    #[test]
    fn every_wall_stands() {
        assert_eq!(rules().walls().len(), WALLS.len() + 1);
    }

    #[test]
    fn every_rule_is_counted() {
        assert_eq!(rules().count(), 15);
    }

    #[test]
    fn after_a_failure_the_rules_are_tried_once_each_pause_whatever_happens() {
        let ago = |ms| Some(Duration::from_millis(ms));
        assert!(is_due(true, None) && !is_due(false, None));
        for touched in [false, true] {
            assert!(!is_due(touched, ago(0)) && !is_due(touched, ago(u64::from(RETRY_MS) - 1)));
            assert!(is_due(touched, ago(RETRY_MS.into())));
        }
    }
}
