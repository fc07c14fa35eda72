//! `[network]` and `[functions.*]`: what functions can reach.
//!
//! Only ranges and classes: whether the host can do it is found out when the daemon starts.

use super::check::{Reader, origin_of};
use super::merge::{Origins, Problem, Value};
use hearth_sandbox::{Cidr, NetworkClass};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Elements of one list, at most.
const LIST_MAX: usize = 4096;
/// A resolver list of libc has three; more only make a failing query slower.
const RESOLVERS_MAX: usize = 3;
const DNS_PORT: u16 = 53;
/// A range that cannot hold the smallest part is of no use to anybody; one above /8 would shut out half the world.
const RANGE_PREFIXES: std::ops::RangeInclusive<u8> = 8..=22;

/// `[network]` and the classes of `[functions.*]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    /// Of functions that have none of their own.
    pub(crate) class: NetworkClass,
    /// Addresses of environments.
    pub(crate) range: Cidr,
    /// Not reachable.
    pub(crate) deny: Vec<Cidr>,
    /// Reachable although denied.
    pub(crate) allow: Vec<Cidr>,
    /// Who answers the functions' questions for names; empty for the host's own.
    pub(crate) dns: Vec<SocketAddr>,
    functions: BTreeMap<String, NetworkClass>,
}

impl Network {
    /// What a function can reach.
    pub(crate) fn class_of(&self, function: &str) -> NetworkClass {
        self.functions.get(function).copied().unwrap_or(self.class)
    }

    /// Whether any function may be of class `nat`.
    pub(crate) fn is_needed(&self) -> bool {
        self.class == NetworkClass::Nat || self.functions.values().any(|it| *it == NetworkClass::Nat)
    }
}

fn class(text: &str) -> NetworkClass {
    if text == "none" { NetworkClass::None } else { NetworkClass::Nat }
}

/// An address, or an address and a port.
fn resolver(text: &str) -> Option<SocketAddr> {
    let plain = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, DNS_PORT));
    plain.or_else(|_| text.parse()).ok()
}

pub(super) fn read(it: &Reader<'_>) -> Network {
    let ranges = |key: &str| it.list(key).iter().filter_map(|text| text.parse().ok()).collect();
    let functions = it.0.settings.iter().filter_map(|(parts, (value, _))| match (parts.as_slice(), value) {
        ([first, function, last], Value::Text(text)) if first == "functions" && last == "network" => {
            Some((function.clone(), class(text)))
        }
        _ => None,
    });
    Network {
        class: class(&it.text("network.class")),
        range: it.text("network.range").parse().unwrap_or_else(|_| Cidr::around([100, 121, 0, 0].into(), 16)),
        deny: ranges("network.deny"),
        allow: ranges("network.allow"),
        dns: it.list("network.dns").iter().filter_map(|text| resolver(text)).collect(),
        functions: functions.collect(),
    }
}

/// Values that are no ranges or addresses, or too many.
pub(super) fn problems(origins: &Origins) -> Vec<Problem> {
    let it = Reader(origins);
    let mut problems = Vec::new();
    let mut wrong = |key: &str, found: &str, wanted: String| {
        let (key, origin) = (key.to_owned(), origin_of(origins, key));
        problems.push(Problem::Wrong { key, origin, found: format!("{found:?}"), wanted });
    };
    let range = it.text("network.range");
    if !range.parse().is_ok_and(|it: Cidr| RANGE_PREFIXES.contains(&it.prefix())) {
        wrong("network.range", &range, "an IPv4 range from /8 to /22, like \"100.121.0.0/16\"".into());
    }
    for key in ["network.deny", "network.allow"] {
        let list = it.list(key);
        if let Some(text) = list.iter().find(|text| text.parse::<Cidr>().is_err()) {
            wrong(key, text, "a list of IPv4 ranges like \"10.0.0.0/8\" (functions have no IPv6)".into());
        }
        if list.len() > LIST_MAX {
            wrong(key, &format!("{} ranges", list.len()), format!("{LIST_MAX} ranges at most"));
        }
    }
    let dns = it.list("network.dns");
    if let Some(text) = dns.iter().find(|text| resolver(text).is_none()) {
        wrong("network.dns", text, "a list of addresses like \"192.0.2.53\" or \"192.0.2.53:5353\"".into());
    }
    if dns.len() > RESOLVERS_MAX {
        wrong(
            "network.dns",
            &format!("{} addresses", dns.len()),
            format!("{RESOLVERS_MAX} addresses at most"),
        );
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::check::{Config, finish};
    use super::super::merge::Merge;
    use super::*;
    use std::path::Path;

    fn load(file: &str) -> Result<Config, String> {
        let mut merge = Merge::new();
        merge.text(Path::new("hearth.toml"), file);
        finish(merge).map(|(config, _)| config).map_err(|error| error.to_string())
    }

    #[test]
    fn functions_have_the_default_class_or_their_own() {
        let file = "[network]\nclass = \"none\"\n[functions.\"fetcher\"]\nnetwork = \"nat\"\n";
        let network = load(file).expect("loads").network;
        assert_eq!(
            (network.class_of("fetcher"), network.class_of("other")),
            (NetworkClass::Nat, NetworkClass::None)
        );
        assert!(network.is_needed());
        let network = load("").expect("loads").network;
        assert_eq!(network.class_of("any"), NetworkClass::Nat);
        assert!(!load("network.class = \"none\"").expect("loads").network.is_needed());
    }

    #[test]
    fn ranges_and_resolvers_are_read() {
        let file = "[network]\ndeny = [\"10.0.0.0/8\", \"192.0.2.1\"]\nallow = [\"10.1.0.0/16\"]\n\
                    dns = [\"192.0.2.53\", \"127.0.0.1:5353\", \"2001:db8::1\"]\nrange = \"10.64.0.0/16\"\n";
        let network = load(file).expect("loads").network;
        let written = |ranges: &[Cidr]| ranges.iter().map(Cidr::to_string).collect::<Vec<_>>();
        assert_eq!(written(&network.deny), ["10.0.0.0/8", "192.0.2.1/32"]);
        assert_eq!(
            (written(&network.allow), network.range.to_string()),
            (vec!["10.1.0.0/16".into()], "10.64.0.0/16".into())
        );
        let dns: Vec<String> = network.dns.iter().map(SocketAddr::to_string).collect();
        assert_eq!(dns, ["192.0.2.53:53", "127.0.0.1:5353", "[2001:db8::1]:53"]);
    }

    #[test]
    fn what_is_no_range_or_address_is_refused() {
        for (file, words) in [
            (
                "network.deny = [\"10.0.0.1/8\"]",
                "`network.deny` is \"10.0.0.1/8\", but must be a list of IPv4 ranges",
            ),
            ("network.allow = [\"fd00::/8\"]", "functions have no IPv6"),
            ("network.range = \"10.0.0.0/24\"", "from /8 to /22"),
            ("network.dns = [\"resolver.example\"]", "a list of addresses"),
            (
                "network.dns = [\"192.0.2.1\", \"192.0.2.2\", \"192.0.2.3\", \"192.0.2.4\"]",
                "3 addresses at most",
            ),
            ("network.class = \"bridge\"", "must be \"nat\" or \"none\""),
            ("functions.a.network = \"host\"", "must be \"nat\" or \"none\""),
            ("functions.a.netwrok = \"nat\"", "there is no key `functions.a.netwrok`"),
        ] {
            let error = load(file).expect_err(file);
            assert!(error.contains(words), "{error}");
        }
    }
}
