//! The base address of a service: `http://host[:port]` or `https://host[:port]`, and nothing more.
//!
//! Pure; the configuration checks its values with it.

use std::fmt;

/// Where a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    tls: bool,
    /// `host` or `host:port`, lower case.
    authority: String,
}

impl Endpoint {
    /// Reads an address; a single slash at its end is allowed. None if it is anything but scheme, host and port.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let uri: http::Uri = text.parse().ok()?;
        let tls = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let authority = uri.authority()?;
        let bare = uri.path() == "/" && uri.query().is_none() && !text.contains('#');
        let named = !authority.host().is_empty() && !authority.as_str().contains('@');
        // `host:` parses, and `host:99999` does, too.
        let port = authority.as_str().strip_prefix(authority.host())?;
        let ported = port.is_empty() || port.strip_prefix(':')?.parse::<u16>().is_ok_and(|port| port > 0);
        (bare && named && ported).then(|| Self { tls, authority: authority.as_str().to_ascii_lowercase() })
    }

    /// An address of AWS's own.
    pub(crate) fn https(host: &str) -> Self {
        Self { tls: true, authority: host.to_ascii_lowercase() }
    }

    /// The same with a name in front of the host: `name.host`.
    pub(crate) fn below(&self, name: &str) -> Self {
        Self { tls: self.tls, authority: format!("{}.{}", name.to_ascii_lowercase(), self.authority) }
    }

    /// Whether names can be put in front of the host: not of an IP address.
    pub(crate) fn takes_names(&self) -> bool {
        let host = self.host();
        !host.starts_with('[') && host.parse::<std::net::Ipv4Addr>().is_err()
    }

    /// The host without its port.
    pub(crate) fn host(&self) -> &str {
        match self.authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => &self.authority,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    #[test]
    fn an_endpoint_is_scheme_host_and_port() {
        for (text, shown) in [
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
            ("https://S3.Example.org/", "https://s3.example.org"),
            ("http://[::1]:9000", "http://[::1]:9000"),
            ("http://minio", "http://minio"),
        ] {
            assert_eq!(Endpoint::parse(text).expect(text).to_string(), shown);
        }
        for text in [
            "",
            "minio:9000",
            "ftp://x",
            "http://",
            "http://x/path",
            "http://x/?a=b",
            "http://u:p@x",
            "http://x:0",
            "http://x:99999",
            "http://x:",
            "http://x/#f",
            "http://a b",
        ] {
            assert_eq!(Endpoint::parse(text), None, "{text}");
        }
    }

    #[test]
    fn names_go_in_front_of_hosts_and_not_of_addresses() {
        let named = Endpoint::parse("http://s3.local:9000").expect("parses");
        assert!(named.takes_names());
        assert_eq!(named.below("Bucket").to_string(), "http://bucket.s3.local:9000");
        assert_eq!((named.host(), named.below("b").host()), ("s3.local", "b.s3.local"));
        for text in ["http://127.0.0.1:9000", "http://[::1]:9000", "http://[::1]"] {
            assert!(!Endpoint::parse(text).expect(text).takes_names(), "{text}");
        }
    }
}
