//! Turns merged settings into a [`Config`], and refuses values that do not go together.

use super::limits::{self, Limits};
use super::merge::{ConfigError, Merge, Origin, Origins, Problem, Value};
use super::network::{self, Network};
use crate::aws::endpoint::Endpoint;
use crate::aws::s3::Addressing;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of a domain below which host names are made.
const DOMAIN_MAX: usize = 180;

/// The daemon's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Address of the API.
    pub(crate) listen: SocketAddr,
    /// Address of health and metrics.
    pub(crate) admin_listen: SocketAddr,
    /// The state directory.
    pub(crate) state_dir: PathBuf,
    /// The key of secrets at rest, where one is named.
    pub(crate) key_file: Option<PathBuf>,
    /// Region in ARNs.
    pub(crate) region: String,
    /// Account in ARNs, twelve digits.
    pub(crate) account_id: String,
    /// Who may use the API.
    pub(crate) auth: Auth,
    /// Keys that requests are signed with.
    pub(crate) auth_keys: PathBuf,
    /// Encryption of the API.
    pub(crate) tls: Option<Certificate>,
    /// Host names beside localhost.
    pub(crate) allowed_hosts: Vec<String>,
    /// Last part of the host names of function URLs.
    pub(crate) url_domain: String,
    /// Name or uid that the daemon runs as; none for the first of the sandboxes' range.
    pub(crate) user: Option<String>,
    /// Threads that serve requests, if somebody chose.
    pub(crate) threads: Option<usize>,
    /// Time for running invocations to finish at the end, seconds.
    pub(crate) drain_grace_s: u64,
    /// The daemon's own log.
    pub(crate) log: Log,
    /// `[limits]`.
    pub(crate) limits: Limits,
    /// Idle time-outs of `[functions.*]`.
    pub(crate) idle_timeouts: BTreeMap<String, Duration>,
    /// `[sandbox]`.
    pub(crate) sandbox: Sandbox,
    /// `[network]`.
    pub(crate) network: Network,
    /// `[logs]`.
    pub(crate) logs: Logs,
    /// `[endpoints]`.
    pub(crate) endpoints: Endpoints,
    /// `[runtimes] missing`.
    pub(crate) missing_runtime: MissingRuntime,
    interpreters: BTreeMap<String, PathBuf>,
}

/// Who may use the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Auth {
    /// Known users of this machine.
    Local,
    /// Whoever signs with a known key.
    Sigv4,
    /// Anybody.
    None,
}

/// `[tls]`: where the API's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Certificate {
    /// From files.
    Files {
        /// The certificate and those between it and an authority.
        cert: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// Made by the daemon.
    SelfSigned {
        /// Names and addresses beside the local ones.
        names: Vec<String>,
    },
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    /// Form.
    pub(crate) format: LogFormat,
    /// Filter, as `tracing` reads it.
    pub(crate) level: String,
}

/// Form of the daemon's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One object per line.
    Json,
}

/// `[sandbox]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sandbox {
    /// First uid of the reserved range.
    pub(crate) uid_base: u32,
    /// Size of the range.
    pub(crate) uid_count: u32,
    /// Sandboxes kept ready.
    pub(crate) parked: u32,
    /// `/tmp` of parked sandboxes, MiB.
    pub(crate) tmp_default_mb: u32,
    /// Processes and threads.
    pub(crate) pids_max: u32,
    /// Open files per process.
    pub(crate) nofile: u32,
}

/// `[logs]`: the functions' logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Logs {
    /// Size of one file, MiB.
    pub(crate) max_file_mb: u64,
    /// Closed files kept per function.
    pub(crate) keep_files: u32,
    /// Age at which closed files go, days.
    pub(crate) retention_days: u64,
}

/// `[endpoints]`: services that the daemon asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoints {
    /// Address of the object store; none for the environment's, or Amazon's.
    pub(crate) s3: Option<Endpoint>,
    /// How buckets are named in addresses.
    pub(crate) s3_addressing: Addressing,
    /// How long a service may be silent, seconds.
    pub(crate) timeout_s: u64,
}

/// What happens to a function whose runtime is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MissingRuntime {
    /// It is refused.
    Refuse,
    /// The nearest interpreter of its language runs it.
    Substitute,
}

impl Config {
    /// Layers defaults, `file`, `HEARTH_…` of `env` and `flags` (dotted key, text); later ones win. Reports all that
    /// is wrong at once.
    pub(crate) fn load(
        file: Option<&Path>,
        env: &[(String, String)],
        flags: &[(&str, String)],
    ) -> Result<(Self, Origins), ConfigError> {
        let mut merge = Merge::new();
        if let Some(path) = file {
            merge.file(path);
        }
        merge.environment(env);
        merge.flags(flags);
        finish(merge)
    }

    /// Configured interpreters by runtime name.
    pub(crate) fn interpreters(&self) -> BTreeMap<String, PathBuf> {
        self.interpreters.clone()
    }

    /// Whether a missing interpreter is replaced by the nearest.
    pub(crate) fn substitutes_runtimes(&self) -> bool {
        self.missing_runtime == MissingRuntime::Substitute
    }
}

/// Reads typed values out of merged settings. The merge has checked kinds and bounds, and every key read here has a
/// default or is read as optional; `keys_and_config_agree` proves both.
pub(super) struct Reader<'a>(pub(super) &'a Origins);

impl Reader<'_> {
    fn value(&self, key: &str) -> Option<&Value> {
        let parts: Vec<String> = key.split('.').map(str::to_owned).collect();
        self.0.settings.get(&parts).map(|(value, _)| value)
    }

    pub(super) fn text(&self, key: &str) -> String {
        self.optional_text(key).unwrap_or_default()
    }

    pub(super) fn optional_text(&self, key: &str) -> Option<String> {
        match self.value(key) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }

    pub(super) fn number(&self, key: &str) -> u64 {
        self.optional_number(key).unwrap_or_default()
    }

    pub(super) fn optional_number(&self, key: &str) -> Option<u64> {
        match self.value(key) {
            Some(Value::Integer(number)) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    pub(super) fn small(&self, key: &str) -> u32 {
        u32::try_from(self.number(key)).unwrap_or(u32::MAX)
    }

    pub(super) fn list(&self, key: &str) -> Vec<String> {
        match self.value(key) {
            Some(Value::List(items)) => items.clone(),
            _ => Vec::new(),
        }
    }

    fn address(&self, key: &str) -> SocketAddr {
        self.text(key).parse().unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Half a pair of files is refused by `together`.
    fn certificate(&self) -> Option<Certificate> {
        let names = self.list("tls.self_signed");
        let (cert, key) = (self.optional_text("tls.cert"), self.optional_text("tls.key"));
        match (cert, key) {
            (None, None) if names.is_empty() => None,
            (None, None) => Some(Certificate::SelfSigned { names }),
            (cert, key) => Some(Certificate::Files {
                cert: cert.unwrap_or_default().into(),
                key: key.unwrap_or_default().into(),
            }),
        }
    }

    fn interpreters(&self) -> BTreeMap<String, PathBuf> {
        let found =
            self.0.settings.iter().filter_map(|(parts, (value, _))| match (parts.as_slice(), value) {
                ([first, runtime, _], Value::Text(path)) if first == "runtimes" => {
                    Some((runtime.clone(), path.into()))
                }
                _ => None,
            });
        found.collect()
    }
}

pub(super) fn finish(merge: Merge) -> Result<(Config, Origins), ConfigError> {
    let Merge { origins, mut problems } = merge;
    let config = build(&Reader(&origins));
    problems.extend(values(&config, &origins));
    problems.extend(network::problems(&origins));
    problems.extend(limits::problems(&config.limits, &origins));
    problems.extend(together(&config, &origins));
    match problems.is_empty() {
        true => Ok((config, origins)),
        false => Err(ConfigError { problems }),
    }
}

fn build(it: &Reader<'_>) -> Config {
    Config {
        listen: it.address("listen"),
        admin_listen: it.address("admin_listen"),
        state_dir: it.text("state_dir").into(),
        key_file: it.optional_text("key_file").map(PathBuf::from),
        region: it.text("region"),
        account_id: it.text("account_id"),
        auth: match it.text("auth").as_str() {
            "none" => Auth::None,
            "sigv4" => Auth::Sigv4,
            _ => Auth::Local,
        },
        auth_keys: it.text("auth_keys").into(),
        tls: it.certificate(),
        allowed_hosts: it.list("allowed_hosts"),
        url_domain: it.text("url_domain"),
        user: it.optional_text("user"),
        threads: it.optional_number("threads").and_then(|threads| usize::try_from(threads).ok()),
        drain_grace_s: it.number("drain_grace_s"),
        log: Log {
            format: if it.text("log.format") == "json" { LogFormat::Json } else { LogFormat::Text },
            level: it.text("log.level"),
        },
        limits: limits::read(it),
        idle_timeouts: limits::idle_timeouts(it),
        sandbox: Sandbox {
            uid_base: it.small("sandbox.uid_base"),
            uid_count: it.small("sandbox.uid_count"),
            parked: it.small("sandbox.parked"),
            tmp_default_mb: it.small("sandbox.tmp_default_mb"),
            pids_max: it.small("sandbox.pids_max"),
            nofile: it.small("sandbox.nofile"),
        },
        network: network::read(it),
        logs: Logs {
            max_file_mb: it.number("logs.max_file_mb"),
            keep_files: it.small("logs.keep_files"),
            retention_days: it.number("logs.retention_days"),
        },
        endpoints: Endpoints {
            s3: it.optional_text("endpoints.s3").as_deref().and_then(Endpoint::parse),
            s3_addressing: match it.text("endpoints.s3_addressing").as_str() {
                "path" => Addressing::Path,
                "virtual" => Addressing::Virtual,
                _ => Addressing::Auto,
            },
            timeout_s: it.number("endpoints.timeout_s"),
        },
        missing_runtime: match it.text("runtimes.missing").as_str() {
            "substitute" => MissingRuntime::Substitute,
            _ => MissingRuntime::Refuse,
        },
        interpreters: it.interpreters(),
    }
}

pub(super) fn origin_of(origins: &Origins, key: &str) -> Origin {
    origins.origin(key).cloned().unwrap_or(Origin::Default)
}

/// Texts with a shape of their own.
fn values(config: &Config, origins: &Origins) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut wrong = |key: &str, found: &str, wanted: &str| {
        let origin = origin_of(origins, key);
        problems.push(Problem::Wrong {
            key: key.into(),
            origin,
            found: format!("{found:?}"),
            wanted: wanted.into(),
        });
    };
    if config.account_id.len() != 12 || !config.account_id.bytes().all(|byte| byte.is_ascii_digit()) {
        wrong("account_id", &config.account_id, "twelve digits");
    }
    if !is_domain(&config.url_domain) {
        wrong(
            "url_domain",
            &config.url_domain,
            "a domain in lower case without a port, for example \"lambda.example\"",
        );
    }
    if !is_region(&config.region) {
        wrong("region", &config.region, "shaped like a region, for example \"us-east-1\"");
    }
    if let Some(user) = &config.user
        && ["root", "0", "nobody", "65534"].contains(&user.as_str())
    {
        wrong("user", user, "a user of its own, neither root nor nobody, which others share");
    }
    for (parts, (_, origin)) in &origins.settings {
        if let [first, runtime, _] = parts.as_slice()
            && first == "runtimes"
            && !is_interpreted(runtime)
        {
            let sentence = format!(
                "there is no interpreter to configure for the runtime {runtime:?}: name one like \"python3.12\" or \
                 \"nodejs22.x\""
            );
            problems.push(Problem::Together { origin: origin.clone(), sentence });
        }
    }
    problems
}

/// `us-east-1`, `us-gov-west-1`: what clients accept in ARNs.
/// Labels of a host name, as they are written in URLs.
fn is_domain(text: &str) -> bool {
    let fits = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    text.len() <= DOMAIN_MAX && text.split('.').all(fits)
}

fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return false };
    let word = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let number = last.len() == 1 && last.bytes().all(|byte| byte.is_ascii_digit());
    first.len() == 2 && word(first) && (1..=2).contains(&middle.len()) && middle.iter().all(word) && number
}

/// `python3.N` or `nodejsN.x`.
fn is_interpreted(runtime: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let python = runtime.strip_prefix("python3.").is_some_and(digits);
    python || runtime.strip_prefix("nodejs").and_then(|it| it.strip_suffix(".x")).is_some_and(digits)
}

fn together(config: &Config, origins: &Origins) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut refuse = |key: &str, sentence: String| {
        problems.push(Problem::Together { origin: origin_of(origins, key), sentence })
    };
    for (key, address) in [("listen", config.listen), ("admin_listen", config.admin_listen)] {
        if config.auth == Auth::Local && !address.ip().is_loopback() {
            refuse(
                key,
                format!(
                    "`{key}` is {address}, which other machines can reach, but auth = \"local\" knows the users of this \
                     machine only: use a loopback address like 127.0.0.1, or auth = \"sigv4\" so that requests must be \
                     signed with a known key, or write auth = \"none\" if everyone who can reach it may run code here"
                ),
            );
        }
    }
    if let Some(Certificate::Files { cert, key }) = &config.tls {
        let empty = |path: &PathBuf| path.as_os_str().is_empty();
        if empty(cert) || empty(key) {
            let there = if empty(cert) { "tls.key" } else { "tls.cert" };
            refuse(there, "`tls.cert` and `tls.key` go together: name both files".into());
        } else if origins.has_items("tls.self_signed") {
            let sentence = "the certificate comes either from `tls.cert` or from `tls.self_signed`: drop one";
            refuse("tls.self_signed", sentence.into());
        }
    }
    if config.listen == config.admin_listen && config.listen.port() != 0 {
        refuse(
            "admin_listen",
            format!("`listen` and `admin_listen` are both {}: give them two ports", config.listen),
        );
    }
    let sandbox = &config.sandbox;
    // The highest uid means "none" to the kernel.
    if u64::from(sandbox.uid_base) + u64::from(sandbox.uid_count) > u64::from(u32::MAX) {
        refuse(
            "sandbox.uid_base",
            "`sandbox.uid_base` plus `sandbox.uid_count` passes the highest uid".into(),
        );
    }
    let needed = u64::from(config.limits.environments_max) + u64::from(sandbox.parked) + 1;
    if u64::from(sandbox.uid_count) < needed {
        refuse(
            "sandbox.uid_count",
            format!(
                "`sandbox.uid_count` is {}, but `limits.environments_max`, `sandbox.parked` and the daemon itself need \
                 {needed} uids: raise it, or lower those",
                sandbox.uid_count
            ),
        );
    }
    problems
}
