//! `[network]` and the functions' own classes: what sandboxes may reach.

use super::check::{Reader, origin_of};
use super::merge::{Origins, Problem, Value};
use hearth_sandbox::NetworkClass;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const DNS_PORT: u16 = 53;

/// `[network]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    /// Class of functions that have none of their own.
    pub(crate) class: NetworkClass,
    /// Where sandboxes' addresses come from.
    pub(crate) range: String,
    /// What functions may not reach.
    pub(crate) deny: Vec<String>,
    /// Exceptions from that.
    pub(crate) allow: Vec<String>,
    /// Who is asked for names; empty for the host's own.
    pub(crate) dns: Vec<String>,
    /// `[functions.<name>] network`.
    pub(crate) functions: BTreeMap<String, NetworkClass>,
}

impl Network {
    /// From the merged settings.
    pub(super) fn read(it: &Reader<'_>, origins: &Origins) -> Self {
        let own = origins.settings.iter().filter_map(|(parts, (value, _))| match (parts.as_slice(), value) {
            ([first, name, last], Value::Text(text)) if first == "functions" && last == "network" => {
                Some((name.clone(), class(text)))
            }
            _ => None,
        });
        let functions = own.collect();
        Self {
            class: class(&it.text("network.class")),
            range: it.text("network.range"),
            deny: it.list("network.deny"),
            allow: it.list("network.allow"),
            dns: it.list("network.dns"),
            functions,
        }
    }

    /// What is wrong with the texts.
    pub(super) fn problems(&self, origins: &Origins) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut wrong = |key: &str, found: &str, wanted: &str| {
            let (key, origin) = (key.to_owned(), origin_of(origins, key));
            problems.push(Problem::Wrong { key, origin, found: format!("{found:?}"), wanted: wanted.into() });
        };
        if !is_range(&self.range) {
            wrong(
                "network.range",
                &self.range,
                "an IPv4 range like \"100.64.0.0/10\", with zeroes after its prefix",
            );
        }
        for (key, list) in [("network.deny", &self.deny), ("network.allow", &self.allow)] {
            for element in
                list.iter().filter(|element| !is_range(element) && element.parse::<Ipv4Addr>().is_err())
            {
                wrong(key, element, "IPv4 addresses and ranges like \"10.0.0.0/8\"; sandboxes have no IPv6");
            }
        }
        for element in self.dns.iter().filter(|element| resolver(element).is_none()) {
            wrong("network.dns", element, "addresses, each with or without a port");
        }
        problems
    }

    /// Class of a function.
    pub(crate) fn class_of(&self, function: &str) -> NetworkClass {
        self.functions.get(function).copied().unwrap_or(self.class)
    }

    /// Whether any function has a network.
    pub(crate) fn is_needed(&self) -> bool {
        self.class == NetworkClass::Nat || self.functions.values().any(|class| *class == NetworkClass::Nat)
    }

    /// Who is asked for names: as configured, else what the host's `resolv.conf` says.
    pub(crate) fn resolvers(&self, resolv_conf: &str) -> Vec<SocketAddr> {
        let own = resolv_conf
            .lines()
            .filter_map(|line| line.trim().strip_prefix("nameserver")?.split_whitespace().next());
        let texts: Vec<&str> =
            if self.dns.is_empty() { own.collect() } else { self.dns.iter().map(String::as_str).collect() };
        texts.into_iter().filter_map(resolver).collect()
    }
}

fn class(text: &str) -> NetworkClass {
    if text == "none" { NetworkClass::None } else { NetworkClass::Nat }
}

fn resolver(text: &str) -> Option<SocketAddr> {
    let address = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, DNS_PORT));
    address.ok().or_else(|| text.parse().ok())
}

/// `a.b.c.d/n` with zeroes after the prefix.
fn is_range(text: &str) -> bool {
    let parts = text.split_once('/').and_then(|(address, bits)| {
        Some((address.parse::<Ipv4Addr>().ok()?, bits.parse::<u32>().ok().filter(|bits| *bits <= 32)?))
    });
    parts.is_some_and(|(address, bits)| u32::from(address) & u32::MAX.checked_shr(bits).unwrap_or(0) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(dns: &[&str]) -> Network {
        Network {
            class: NetworkClass::Nat,
            range: "100.64.0.0/10".into(),
            deny: Vec::new(),
            allow: Vec::new(),
            dns: dns.iter().map(|text| (*text).to_owned()).collect(),
            functions: BTreeMap::from([("alone".to_owned(), NetworkClass::None)]),
        }
    }

    #[test]
    fn a_function_may_have_a_class_of_its_own() {
        let network = network(&[]);
        assert_eq!(network.class_of("alone"), NetworkClass::None);
        assert_eq!(network.class_of("other"), NetworkClass::Nat);
    }

    #[test]
    fn the_hosts_resolvers_are_asked_unless_others_are_named() {
        let host = "# by hand\nnameserver 127.0.0.53\nsearch example\nnameserver ::1 # six\n";
        let texts = |found: Vec<SocketAddr>| found.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(network(&[]).resolvers(host)), ["127.0.0.53:53", "[::1]:53"]);
        assert_eq!(texts(network(&["192.0.2.1:5353"]).resolvers(host)), ["192.0.2.1:5353"]);
    }

    #[test]
    fn ranges_have_nothing_after_their_prefix() {
        for good in ["10.0.0.0/8", "0.0.0.0/0", "192.0.2.7/32"] {
            assert!(is_range(good), "{good}");
        }
        for bad in ["10.0.0.1/8", "10.0.0.0", "::/0", "10.0.0.0/33", "/8", ""] {
            assert!(!is_range(bad), "{bad}");
        }
    }
}
