//! Finds the daemon: what the user says, else `run.json` in the state directory, else the default address (unless a
//! state directory was named: then only its daemon is meant).
//!
//! Remembers where an address came from, because that is what helps when nobody answers there. Reads `run.json` only;
//! nothing else in the state directory is the client's business but the admin socket, whose path is given here.

use super::args::Connection;
use super::tls::Trust;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where a daemon keeps its state if nobody says otherwise.
const STATE_DIR: &str = "/var/lib/hearth";
const DEFAULT: &str = "127.0.0.1:3001";
/// `run.json` is a few hundred bytes; more is not `run.json`.
const RUN_INFO_MAX: u64 = 64 * 1024;

/// Where a daemon is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Host and port, as the `Host` header names them.
    pub(crate) authority: String,
    /// Host to connect to, without brackets.
    pub(crate) host: String,
    /// Port to connect to.
    pub(crate) port: u16,
    /// Why it is looked for there.
    pub(crate) source: Source,
    /// How it proves who it is, if what is said to it is encrypted.
    pub(crate) tls: Option<Trust>,
    /// Region that it takes signatures for, if that is known.
    pub(crate) region: Option<String>,
}

/// Why a daemon is looked for at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The user said so.
    Given,
    /// `run.json` says so.
    RunInfo(PathBuf),
    /// Nobody says otherwise; why `run.json` at that path does not.
    Default {
        /// Where it was looked for.
        path: PathBuf,
        /// The system's answer.
        why: String,
    },
}

/// An endpoint that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EndpointError {
    /// Not `http://HOST[:PORT]` or `https://HOST[:PORT]`.
    #[error("the endpoint {given:?} is not an address: write it as http://HOST:PORT or https://HOST:PORT")]
    NotAnAddress {
        /// As given.
        given: String,
    },
    /// More than an address.
    #[error("the endpoint {given:?} has a path: the daemon serves its API at the root, http://HOST:PORT")]
    HasPath {
        /// As given.
        given: String,
    },
    /// A state directory was named, but no daemon can be found by it.
    #[error(
        "no daemon can be found by the state directory {}: cannot read run.json there: {why}. Start one with \
         `hearth serve --state-dir`, or say where it listens with --endpoint URL.", .dir.display()
    )]
    NoRunInfo {
        /// The directory.
        dir: PathBuf,
        /// The system's answer.
        why: String,
    },
    /// `run.json` makes no sense.
    #[error("{} does not say where the daemon listens: {detail}", .path.display())]
    RunInfo {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
}

#[derive(serde::Deserialize)]
struct RunInfo {
    listen: SocketAddr,
    region: Option<String>,
    certificate: Option<String>,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.authority)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => f.write_str("as given"),
            Self::RunInfo(path) => write!(f, "as {} says", path.display()),
            Self::Default { path, why } => {
                write!(f, "the default, since {} could not be read: {why}", path.display())
            }
        }
    }
}

/// The state directory that the user means.
pub(crate) fn state_dir(given: Option<&Path>) -> PathBuf {
    given.filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(STATE_DIR)).to_owned()
}

/// Where the daemon of a state directory answers what is not the API's.
pub(crate) fn admin_socket(state_dir: &Path) -> PathBuf {
    state_dir.join("admin.sock")
}

/// The daemon that the user means.
pub(crate) fn find(connection: &Connection) -> Result<Endpoint, EndpointError> {
    if let Some(given) = connection.endpoint.as_deref().filter(|given| !given.is_empty()) {
        return parse(given, connection.ca.as_deref());
    }
    let named = connection.state_dir.as_deref().filter(|dir| !dir.as_os_str().is_empty());
    let path = state_dir(named).join("run.json");
    match (read_bounded(&path), named) {
        (Ok(text), _) => from_run_info(&text, path),
        // Whoever names a directory means its daemon: another one at the default address would be the wrong one.
        (Err(error), Some(dir)) => {
            Err(EndpointError::NoRunInfo { dir: dir.to_owned(), why: error.to_string() })
        }
        (Err(error), None) => Ok(usual(Source::Default { path, why: error.to_string() })),
    }
}

/// The address that daemons have if nobody says otherwise.
fn usual(source: Source) -> Endpoint {
    let (authority, host) = (DEFAULT.to_owned(), "127.0.0.1".to_owned());
    Endpoint { authority, host, port: 3001, source, tls: None, region: None }
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(RUN_INFO_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn from_run_info(text: &str, path: PathBuf) -> Result<Endpoint, EndpointError> {
    match serde_json::from_str::<RunInfo>(text) {
        Ok(RunInfo { mut listen, region, certificate }) => {
            // A daemon that listens everywhere is reached on this machine.
            if listen.ip().is_unspecified() {
                listen.set_ip(if listen.is_ipv4() {
                    [127, 0, 0, 1].into()
                } else {
                    std::net::Ipv6Addr::LOCALHOST.into()
                });
            }
            Ok(Endpoint {
                authority: listen.to_string(),
                host: listen.ip().to_string(),
                port: listen.port(),
                source: Source::RunInfo(path),
                tls: certificate.map(Trust::Certificate),
                region: region.filter(|region| !region.is_empty()),
            })
        }
        Err(error) => Err(EndpointError::RunInfo { path, detail: error.to_string() }),
    }
}

fn parse(given: &str, ca: Option<&Path>) -> Result<Endpoint, EndpointError> {
    let nonsense = || EndpointError::NotAnAddress { given: given.to_owned() };
    let uri: http::Uri = given.parse().map_err(|_| nonsense())?;
    let tls = match uri.scheme_str() {
        Some("http") => None,
        Some("https") => Some(ca.map_or(Trust::Host, |path| Trust::File(path.to_owned()))),
        Some(_) | None => return Err(nonsense()),
    };
    if uri.path() != "/" || uri.query().is_some() {
        return Err(EndpointError::HasPath { given: given.to_owned() });
    }
    let authority =
        uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(nonsense)?;
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    // `host:` and `host:99999` have no port that a number can hold.
    let has_port = authority.as_str().len() > host.len();
    let port = match (authority.port_u16(), has_port) {
        (Some(port), _) => port,
        (None, false) => {
            if tls.is_some() {
                443
            } else {
                80
            }
        }
        (None, true) => return Err(nonsense()),
    };
    if bare.is_empty() {
        return Err(nonsense());
    }
    let (authority, host) = (authority.to_string(), bare.to_owned());
    Ok(Endpoint { authority, host, port, source: Source::Given, tls, region: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("hearth-endpoint-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("makes a directory");
        dir
    }

    fn connection(endpoint: Option<&str>, state_dir: &Path) -> Connection {
        Connection { endpoint: endpoint.map(str::to_owned), state_dir: Some(state_dir.to_owned()), ca: None }
    }

    #[test]
    fn what_the_user_says_wins_over_run_info() {
        let dir = scratch("given");
        std::fs::write(dir.join("run.json"), r#"{"listen":"127.0.0.1:4000"}"#).expect("writes");
        let found = find(&connection(Some("http://localhost:5000"), &dir)).expect("is an address");
        assert_eq!((found.host.as_str(), found.port, &found.source), ("localhost", 5000, &Source::Given));
        let found = find(&connection(Some(""), &dir)).expect("an empty variable is none");
        assert_eq!(found.port, 4000);
        std::fs::remove_dir_all(dir).expect("cleans up");
    }

    #[test]
    fn run_info_wins_over_the_default() {
        let dir = scratch("run-info");
        let text = r#"{"listen":"0.0.0.0:4000","admin":"127.0.0.1:4001","pid":7,"instance":"ab"}"#;
        std::fs::write(dir.join("run.json"), text).expect("writes");
        let found = find(&connection(None, &dir)).expect("is there");
        assert_eq!(found.to_string(), "http://127.0.0.1:4000");
        assert_eq!(found.source, Source::RunInfo(dir.join("run.json")));
        std::fs::write(dir.join("run.json"), "{").expect("writes");
        assert!(matches!(find(&connection(None, &dir)), Err(EndpointError::RunInfo { .. })));
        std::fs::remove_dir_all(dir).expect("cleans up");
    }

    #[test]
    fn without_either_the_default_says_where_it_looked() {
        let source = Source::Default { path: "/nonexistent/run.json".into(), why: "it is gone".to_owned() };
        assert_eq!(
            source.to_string(),
            "the default, since /nonexistent/run.json could not be read: it is gone"
        );
        let endpoint = usual(source);
        assert_eq!((endpoint.to_string().as_str(), endpoint.port), ("http://127.0.0.1:3001", 3001));
    }

    #[test]
    fn a_named_state_directory_without_a_daemon_is_never_another_daemon() {
        let error = find(&connection(None, Path::new("/nonexistent/hearth"))).expect_err("nobody is there");
        assert!(
            error.to_string().contains("/nonexistent/hearth") && error.to_string().contains("--endpoint"),
            "{error}"
        );
        let unnamed = Connection { state_dir: Some(PathBuf::new()), ..Connection::default() };
        assert!(
            !matches!(find(&unnamed), Err(EndpointError::NoRunInfo { .. })),
            "an empty variable names nothing"
        );
    }

    #[test]
    fn addresses_have_a_host_and_maybe_a_port() {
        let cases = [
            ("http://127.0.0.1:3001", "127.0.0.1", 3001),
            ("http://127.0.0.1:3001/", "127.0.0.1", 3001),
            ("http://box", "box", 80),
            ("http://[::1]:3001", "::1", 3001),
        ];
        for (text, host, port) in cases {
            let found = parse(text, None).expect(text);
            assert_eq!((found.host.as_str(), found.port), (host, port), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_by_name() {
        for text in [
            "127.0.0.1:3001",
            "box",
            "",
            "http://",
            "http://:80",
            "ftp://box",
            "http://u@box",
            "http://box:99999",
        ] {
            assert_eq!(
                parse(text, None),
                Err(EndpointError::NotAnAddress { given: text.to_owned() }),
                "{text}"
            );
        }
        assert!(matches!(parse("http://box/api", None), Err(EndpointError::HasPath { .. })));
        assert!(matches!(parse("http://box/?x=1", None), Err(EndpointError::HasPath { .. })));
    }

    #[test]
    fn an_encrypted_endpoint_is_known_by_an_authority_or_by_run_info() {
        let found = parse("https://box", None).expect("is an address");
        assert_eq!(
            (found.port, found.tls.clone(), found.to_string()),
            (443, Some(Trust::Host), "https://box".into())
        );
        let found = parse("https://box:3001", Some(Path::new("ca.pem"))).expect("is an address");
        assert_eq!(found.tls, Some(Trust::File("ca.pem".into())));
        let text = r#"{"listen":"[::]:4000","region":"eu-west-1","certificate":"ab"}"#;
        let found = from_run_info(text, "run.json".into()).expect("is an address");
        assert_eq!(found.to_string(), "https://[::1]:4000");
        assert_eq!(
            (found.tls, found.region.as_deref()),
            (Some(Trust::Certificate("ab".into())), Some("eu-west-1"))
        );
    }
}
