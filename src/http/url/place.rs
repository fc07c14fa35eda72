//! Where function URLs are: their ids, host names and paths, and the requests that are for them.
//!
//! An id follows from what it belongs to, so it is the same whenever a URL is made again. It is no secret: who may call is
//! decided elsewhere. A host name is ours by its second label, whatever the domain, so that any wildcard will do.

use super::super::names::Target;
use crate::config::Config;
use hearth_api::arn::Home;
use hearth_api::shapes::Cors;
use http::header::HOST;
use http::{HeaderMap, Uri};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

const ID_LENGTH: usize = 32;
const LABEL: &str = "lambda-url";
/// Paths of URLs on machines without names for them.
const PREFIX: &str = "/lambda-url/";
const DIGITS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// A configured URL as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Url {
    /// Whose it is.
    pub(crate) function: String,
    /// Its alias, if it is an alias's.
    pub(crate) qualifier: Option<String>,
    /// `NONE` or `AWS_IAM`.
    pub(crate) auth_type: String,
    /// What web pages may do.
    pub(crate) cors: Option<Cors>,
    /// `BUFFERED` or `RESPONSE_STREAM`.
    pub(crate) invoke_mode: String,
    /// ISO 8601.
    pub(crate) created: String,
    /// ISO 8601.
    pub(crate) modified: String,
}

/// Host names and ports of one daemon's URLs.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    scheme: String,
    port: u16,
    suffix: String,
}

impl Places {
    /// `base` is the endpoint's own address, with a port: `http://127.0.0.1:3001`.
    pub(crate) fn new(config: &Config, base: &str) -> Self {
        let (scheme, rest) = base.split_once("://").unwrap_or(("http", base));
        let port = rest.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(80);
        let suffix = format!("{LABEL}.{}.{}", config.region, config.url_domain);
        Self { scheme: scheme.to_owned(), port, suffix }
    }

    /// Where requests arrive.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The host name of a URL.
    pub(crate) fn host(&self, id: &str) -> String {
        format!("{id}.{}", self.suffix)
    }

    /// The URL.
    pub(crate) fn url(&self, id: &str) -> String {
        let (scheme, host) = (&self.scheme, self.host(id));
        match (scheme.as_str(), self.port) {
            ("http", 80) | ("https", 443) => format!("{scheme}://{host}/"),
            (_, port) => format!("{scheme}://{host}:{port}/"),
        }
    }
}

/// The id of a function's or alias's URL.
pub(crate) fn id_of(home: &Home, target: &Target) -> String {
    let text =
        [&home.partition, &home.region, &home.account, &target.document_key()].map(String::as_str).join("\n");
    let digest = Sha256::digest(text.as_bytes());
    let digits = digest.iter().map(|byte| char::from(DIGITS[usize::from(*byte) % DIGITS.len()]));
    digits.take(ID_LENGTH).collect()
}

/// Where a URL is stored for its door. No function's name begins like this.
pub(crate) fn id_key(id: &str) -> String {
    format!("@{id}")
}

/// The URL that a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Door {
    /// Its id.
    pub(crate) id: String,
    /// The host name that it was called by; none if it was called by path.
    pub(crate) domain: Option<String>,
}

impl Door {
    /// The URL that a request is for, if it is for one.
    pub(crate) fn of(uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let host = uri.host().or_else(|| headers.get(HOST)?.to_str().ok())?;
        let host = host.split(':').next().unwrap_or_default();
        if let Some((id, rest)) = host.split_once('.')
            && rest.split('.').next().is_some_and(|label| label.eq_ignore_ascii_case(LABEL))
        {
            return Some(Self { id: id.to_ascii_lowercase(), domain: Some(host.to_ascii_lowercase()) });
        }
        let id = uri.path().strip_prefix(PREFIX)?.split('/').next()?;
        Some(Self { id: id.to_owned(), domain: None })
    }

    /// The path that the function sees.
    pub(crate) fn path_of<'a>(&self, path: &'a str) -> &'a str {
        if self.domain.is_some() {
            return path;
        }
        match path.get(PREFIX.len() + self.id.len()..) {
            None | Some("") => "/",
            Some(rest) => rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(qualifier: Option<&str>) -> Target {
        Target { name: "f".to_owned(), qualifier: qualifier.map(str::to_owned) }
    }

    fn door(uri: &str, host: &'static str) -> Option<Door> {
        let headers = HeaderMap::from_iter([(HOST, host.parse().expect("a value"))]);
        Door::of(&uri.parse().expect("a URI"), &headers)
    }

    #[test]
    fn an_id_has_the_services_form_and_is_the_same_every_time() {
        let home = Home::new("us-east-1", "000000000000");
        let id = id_of(&home, &target(None));
        assert!(
            id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()),
            "{id}"
        );
        assert_eq!(id, id_of(&home, &target(None)));
        assert_ne!(id, id_of(&home, &target(Some("live"))));
        assert_ne!(id, id_of(&Home::new("us-east-1", "111111111111"), &target(None)));
    }

    #[test]
    fn a_door_is_found_by_host_in_any_domain_or_by_path() {
        for host in ["abc.lambda-url.us-east-1.localhost:3001", "ABC.lambda-url.us-east-1.on.aws"] {
            let found = door("/x/y", host).expect("is one");
            assert_eq!((found.id.as_str(), found.path_of("/x/y")), ("abc", "/x/y"));
            assert!(
                found
                    .domain
                    .is_some_and(|domain| domain.starts_with("abc.lambda-url.") && !domain.contains(':'))
            );
        }
        for (path, seen) in
            [("/lambda-url/abc", "/"), ("/lambda-url/abc/", "/"), ("/lambda-url/abc//x/y", "//x/y")]
        {
            let found = door(path, "127.0.0.1:3001").expect("is one");
            assert_eq!((found.id.as_str(), found.path_of(path)), ("abc", seen));
        }
        assert_eq!(door("/2015-03-31/functions", "localhost:3001"), None);
        assert_eq!(door("/", "lambda-url.localhost"), None);
    }

    #[test]
    fn an_address_names_its_port_unless_it_is_the_schemes_own() {
        let (config, _) = Config::load(None, &[], &[]).expect("loads");
        let of = |base: &str| Places::new(&config, base).url("abc");
        assert_eq!(of("http://127.0.0.1:3001"), "http://abc.lambda-url.us-east-1.localhost:3001/");
        assert_eq!(of("https://[::1]:443"), "https://abc.lambda-url.us-east-1.localhost/");
    }
}
