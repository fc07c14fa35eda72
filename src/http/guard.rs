//! The door that does not open to web pages: without signatures, a browser on this machine must not be a way in.
//!
//! This endpoint has no pages of its own, so nothing that a page sends is wanted: an `Origin`, a `Sec-Fetch-Site` other
//! than a person's own navigation, or a `Host` that is neither loopback nor configured (DNS rebinding; a literal address
//! that the daemon listens on is configured: no name leads a browser there under it). A page on this very
//! origin is no exception: function URLs that are called by path are there, and what they show is a function's. Where the
//! operator serves pages of theirs beside the API, under a name in `allowed_hosts`, that name is let in; that functions' pages
//! are not of that origin, whatever the address says, is `url`'s to see to (it sandboxes them). Decides by headers only.

use http::HeaderMap;
use http::header::{HOST, ORIGIN};
use std::net::IpAddr;

/// Which names this door answers to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guard {
    allowed_hosts: Vec<String>,
    /// Addresses that it listens on. They let nobody's pages in.
    own: Vec<IpAddr>,
}

impl Guard {
    /// Loopback names and addresses are always allowed; `allowed_hosts` adds to them, and so do the addresses that the
    /// daemon listens on, unless they stand for all.
    pub(crate) fn new(allowed_hosts: &[String], listens_on: impl IntoIterator<Item = IpAddr>) -> Self {
        Self {
            allowed_hosts: allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            own: listens_on.into_iter().filter(|address| !address.is_unspecified()).collect(),
        }
    }

    /// Why the request is refused, if it is.
    pub(crate) fn refuses(&self, headers: &HeaderMap) -> Option<&'static str> {
        let mut hosts = headers.get_all(HOST).iter();
        let (host, more) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next());
        if let Some(site) = headers.get("sec-fetch-site")
            && site != "none"
            && !(site == "same-origin" && host.is_some_and(|host| self.is_listed(host)))
        {
            return Some("requests from web pages are refused");
        }
        if let Some(origin) = headers.get(ORIGIN) {
            let own = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
            if !own.is_some_and(|(_, host)| self.is_listed(host)) {
                return Some("the Origin is not listed in `allowed_hosts`");
            }
        }
        if more.is_some() || !host.is_some_and(|host| self.is_ours(host)) {
            return Some("the Host is neither loopback nor listed in `allowed_hosts`");
        }
        None
    }

    fn is_ours(&self, host_and_port: &str) -> bool {
        let host = without_port(host_and_port);
        let last = host.rsplit_once('.').map_or(host, |(_, label)| label);
        last.eq_ignore_ascii_case("localhost")
            || host.parse().is_ok_and(|address: IpAddr| address.is_loopback() || self.own.contains(&address))
            || self.is_listed(host_and_port)
    }

    fn is_listed(&self, host_and_port: &str) -> bool {
        let host = without_port(host_and_port);
        self.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }
}

/// `name:port`, `1.2.3.4:port`, `[::1]:port`, each also without a port.
fn without_port(text: &str) -> &str {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match text.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(headers: &[(&'static str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, http::HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
        }
        let listens_on =
            ["192.0.2.1", "0.0.0.0", "2001:db8::1"].map(|text| text.parse().expect("an address"));
        Guard::new(&["Lambda.Example".to_owned()], listens_on).refuses(&map).is_some()
    }

    #[test]
    fn loopback_and_configured_hosts_are_served() {
        for host in [
            "localhost:3001",
            "127.0.0.1:3001",
            "127.9.9.9",
            "[::1]:3001",
            "LAMBDA.example:80",
            "a.localhost",
            "192.0.2.1:3001",
            "[2001:db8::1]:3001",
        ] {
            assert!(!refused(&[("host", host)]), "{host}");
        }
    }

    #[test]
    fn other_hosts_are_refused() {
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:3001",
            "10.0.0.1",
            "0.0.0.0",
            "",
            "[::2]",
        ] {
            assert!(refused(&[("host", host)]), "{host}");
        }
        assert!(refused(&[]), "no Host at all");
        assert!(refused(&[("host", "localhost"), ("host", "localhost")]), "two of them");
    }

    #[test]
    fn web_pages_of_other_sites_are_refused() {
        assert!(refused(&[("host", "localhost"), ("origin", "https://evil.example")]));
        assert!(refused(&[("host", "localhost"), ("origin", "null")]));
        assert!(refused(&[("host", "localhost"), ("sec-fetch-site", "cross-site")]));
        assert!(refused(&[("host", "localhost"), ("sec-fetch-site", "same-site")]));
    }

    #[test]
    fn web_pages_of_this_machine_are_refused_and_a_person_is_not() {
        let host = ("host", "localhost:3001");
        // A page that a function shows by path can leave out neither of the two.
        assert!(refused(&[host, ("sec-fetch-site", "same-origin")]));
        assert!(refused(&[host, ("origin", "http://localhost:3001")]));
        assert!(refused(&[host, ("origin", "http://localhost:8080")]));
        assert!(refused(&[host, ("sec-fetch-site", "\u{e9}")]));
        assert!(!refused(&[host, ("sec-fetch-site", "none")]));
        let own = ("host", "192.0.2.1:3001");
        assert!(refused(&[own, ("sec-fetch-site", "same-origin")]));
        assert!(refused(&[own, ("origin", "http://192.0.2.1:3001")]));
    }

    #[test]
    fn pages_that_the_operator_serves_under_a_listed_name_are_let_in() {
        let host = ("host", "lambda.example:3001");
        assert!(!refused(&[host, ("sec-fetch-site", "same-origin")]));
        assert!(!refused(&[host, ("origin", "https://lambda.example"), ("sec-fetch-site", "same-origin")]));
        assert!(refused(&[host, ("sec-fetch-site", "cross-site")]));
        assert!(refused(&[host, ("origin", "https://other.example")]));
    }
}
