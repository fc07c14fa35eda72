//! The table of keys: name, kind, default, unit, meaning. Everything else about configuration derives from it.
//!
//! Long because it is one table: each key costs it some lines, and a reader looks for one of them.

/// What a key's value may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Not empty.
    Text,
    /// `address:port`.
    Address,
    /// `http://host:port` or `https://host:port`.
    Endpoint,
    /// A path, not empty.
    Path,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number within bounds.
    Integer(i64, i64),
    /// Texts; comma-separated where a source has only strings.
    List,
}

/// What holds when nobody sets a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fallback {
    /// A text value.
    Text(&'static str),
    /// A number.
    Integer(i64),
    /// No elements.
    Empty,
    /// No value; what that means.
    Unset(&'static str),
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Parts joined by dots; `*` stands for any one part.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) fallback: Fallback,
    /// Empty where there is none.
    pub(super) unit: &'static str,
    pub(super) doc: &'static str,
}

const fn key(
    name: &'static str,
    kind: Kind,
    fallback: Fallback,
    unit: &'static str,
    doc: &'static str,
) -> Key {
    Key { name, kind, fallback, unit, doc }
}

use Fallback::{Empty, Integer as Number, Text as Words, Unset};
use Kind::{Address, Choice, Endpoint, Integer, List, Path, Text};

/// Keys without a table first, then table by table: the order of the sample file.
pub(super) const KEYS: [Key; 58] = [
    key("listen", Address, Words("127.0.0.1:3001"), "", "Where the API listens. Port 0 picks a free one."),
    key(
        "admin_listen",
        Address,
        Words("127.0.0.1:3002"),
        "",
        "Where /healthz and /metrics are served. Port 0 picks a free one.",
    ),
    key(
        "state_dir",
        Path,
        Words("/var/lib/hearth"),
        "",
        "Functions, code and logs. One daemon per directory.",
    ),
    key(
        "key_file",
        Path,
        Unset("hearth-key in $CREDENTIALS_DIRECTORY, else /etc/hearth/key"),
        "",
        "Key that environment variables are sealed with in the state directory: 32 bytes or 64 hexadecimal digits, read before \
         privileges are given up. Made if it is not there and nothing was sealed yet.",
    ),
    key("region", Text, Words("us-east-1"), "", "Region in ARNs and in the functions' environment."),
    key("account_id", Text, Words("000000000000"), "", "Account in ARNs: twelve digits."),
    key(
        "auth",
        Choice(&["local", "sigv4", "none"]),
        Words("local"),
        "",
        "Who may use the API. \"local\": root, the daemon's own user, the user who started it through sudo, and members of \
         the group hearth, all on this machine. \"sigv4\": requests signed with a key of `auth_keys`, as far as its \
         policy goes. \"none\": nobody is asked anything; everyone who reaches `listen` can run code here.",
    ),
    key(
        "auth_keys",
        Path,
        Words("/etc/hearth/keys.toml"),
        "",
        "Keys that requests may be signed with, each with an ARN and a policy, for auth = \"sigv4\". `hearth keys new` \
         adds one.",
    ),
    key(
        "allowed_hosts",
        List,
        Empty,
        "",
        "Names beside localhost that requests may carry in Host, and the only ones in Origin. Others are refused, so that \
         web pages cannot reach the API through a browser.",
    ),
    key(
        "url_domain",
        Text,
        Words("localhost"),
        "",
        "Last part of the host names of function URLs: <id>.lambda-url.<region>.<url_domain>. Most machines find every name \
         below localhost at home; another domain needs a wildcard in DNS.",
    ),
    key(
        "user",
        Text,
        Unset("the first uid of the sandboxes' range"),
        "",
        "User name or uid that the daemon runs as once it has started. Never root or nobody.",
    ),
    key(
        "threads",
        Integer(1, 1_024),
        Unset("as many as processors"),
        "threads",
        "Threads that serve requests. Few leave more of the processors to functions.",
    ),
    key(
        "drain_grace_s",
        Integer(0, 3_600),
        Number(30),
        "seconds",
        "How long running invocations may take to finish after SIGTERM.",
    ),
    key(
        "tls.cert",
        Path,
        Unset("the API is not encrypted, unless `tls.self_signed` says so"),
        "",
        "Certificate for the API in PEM, followed by those between it and its authority.",
    ),
    key("tls.key", Path, Unset("as for `tls.cert`"), "", "Its private key in PEM."),
    key(
        "tls.self_signed",
        List,
        Empty,
        "",
        "Names and addresses for a certificate that the daemon makes and keeps in its state directory, for example \
         [\"hearth.example\"]; localhost is always in it. Clients have to trust tls/ca.pem there.",
    ),
    key(
        "log.format",
        Choice(&["text", "json"]),
        Words("text"),
        "",
        "Form of the daemon's own log on standard error.",
    ),
    key(
        "log.level",
        Text,
        Words("info"),
        "",
        "error, warn, info, debug or trace; or per module, as in \"info,hearth::http=debug\".",
    ),
    key(
        "limits.profile",
        Choice(&["box", "aws"]),
        Words("box"),
        "",
        "Which limits hold unless they are set. \"box\": those that protect this machine. \"aws\": Lambda's artificial rates as \
         well: `scaling`, `requests_per_concurrency`, `requests_per_environment`.",
    ),
    key(
        "limits.account_concurrency",
        Integer(0, 1_000_000),
        Number(1_000),
        "invocations",
        "Invocations in flight over all functions; more are throttled.",
    ),
    key(
        "limits.unreserved_minimum",
        Integer(0, 1_000_000),
        Number(100),
        "invocations",
        "Part of it that reserved concurrency must leave to functions without a reservation.",
    ),
    key(
        "limits.code_storage_mb",
        Integer(1, 1 << 30),
        Number(76_800),
        "MiB",
        "Packages of all versions and layers together; more are refused.",
    ),
    key(
        "limits.scaling",
        Choice(&["unlimited", "2023", "classic"]),
        Unset("\"unlimited\", or \"2023\" in the profile aws"),
        "",
        "How fast environments may be added. \"2023\": a function gets 1,000 at once and 6,000 more per minute. \"classic\": all \
         functions together get 3,000 at once and 500 more per minute. What is beyond is throttled.",
    ),
    key(
        "limits.scaling_burst",
        Integer(0, 1_000_000),
        Unset("what `limits.scaling` says"),
        "environments",
        "How many may be added at once.",
    ),
    key(
        "limits.scaling_per_minute",
        Integer(0, 100_000_000),
        Unset("what `limits.scaling` says"),
        "environments",
        "How many more may be added per minute after that.",
    ),
    key(
        "limits.requests_per_concurrency",
        Integer(0, 1_000_000),
        Unset("0, or 10 in the profile aws"),
        "requests",
        "Synchronous requests per second for each unit of concurrency that a function has reserved, that a version or alias is \
         provisioned with, or that all others share; 0 for any number.",
    ),
    key(
        "limits.requests_per_environment",
        Integer(0, 10_000),
        Unset("0, or 10 in the profile aws"),
        "requests",
        "Invocations that one environment begins within a second, before another is used or started; 0 for any number.",
    ),
    key(
        "limits.memory_capacity_mb",
        Integer(128, 1 << 30),
        Unset("the memory of this machine"),
        "MiB",
        "Memory that environments may use together.",
    ),
    key(
        "limits.overcommit",
        Integer(1, 1_000),
        Number(8),
        "times",
        "How many times that memory may be promised: few functions use all that they may.",
    ),
    key(
        "limits.start_reserve_mb",
        Integer(0, 1 << 20),
        Number(64),
        "MiB",
        "Part of that memory that must be unused in fact, for each environment on its way, before another is started.",
    ),
    key(
        "limits.environments_max",
        Integer(1, 60_000),
        Number(1_024),
        "environments",
        "Environments that exist at once, idle ones included. The limit on open files may lower it.",
    ),
    key(
        "limits.concurrent_starts",
        Integer(1, 1_024),
        Unset("4 for each processor of this machine"),
        "environments",
        "Environments being made at once. Functions that want more get them in turn.",
    ),
    key(
        "limits.waiting_max",
        Integer(0, 1_000_000),
        Number(10_000),
        "invocations",
        "Invocations that wait until the start of an environment for them may begin; more are throttled.",
    ),
    key(
        "limits.wait_max_s",
        Integer(1, 3_600),
        Number(60),
        "seconds",
        "How long one waits for room before it is throttled; not counted once an environment is being made for it.",
    ),
    key(
        "limits.idle_timeout_s",
        Integer(1, 86_400),
        Number(300),
        "seconds",
        "How long an environment is kept warm without work.",
    ),
    key(
        "limits.freeze_after_ms",
        Integer(0, 3_600_000),
        Number(1_000),
        "milliseconds",
        "How long an environment idles before it is frozen: it gets no processor time until its next invocation. 0: never.",
    ),
    key(
        "limits.recycle_after_s",
        Integer(0, 31_536_000),
        Number(28_800),
        "seconds",
        "Age at which an environment is replaced once it is idle. 0: never.",
    ),
    key(
        "sandbox.uid_base",
        Integer(1_000, 4_294_967_293),
        Number(1_900_000_000),
        "uid",
        "First host uid of the range reserved for sandboxes. No user of this machine may be in it.",
    ),
    key("sandbox.uid_count", Integer(16, 16_777_216), Number(65_536), "uids", "Size of that range."),
    key(
        "sandbox.parked",
        Integer(0, 256),
        Number(4),
        "sandboxes",
        "Sandboxes kept ready, so that a cold start need not wait for one.",
    ),
    key(
        "sandbox.tmp_default_mb",
        Integer(512, 10_240),
        Number(512),
        "MiB",
        "Size of /tmp in parked sandboxes; functions that ask for another get theirs when they start.",
    ),
    key(
        "sandbox.pids_max",
        Integer(16, 32_768),
        Number(1_024),
        "processes",
        "Processes and threads per sandbox.",
    ),
    key(
        "sandbox.nofile",
        Integer(64, 1_048_576),
        Number(1_024),
        "files",
        "Open files per process in a sandbox.",
    ),
    key(
        "network.class",
        Choice(&["nat", "none"]),
        Words("nat"),
        "",
        "What functions reach unless they have a class of their own. \"nat\": the outside, through this machine's \
         address, but neither this machine nor other environments nor cloud metadata. \"none\": loopback only.",
    ),
    key(
        "network.range",
        Text,
        Words("100.121.0.0/16"),
        "",
        "Addresses of environments. Never leaves this machine; every daemon on it takes a free part. Functions cannot \
         reach other machines of this range.",
    ),
    key(
        "network.deny",
        List,
        Empty,
        "",
        "IPv4 ranges that functions cannot reach, such as [\"10.0.0.0/8\", \"172.16.0.0/12\", \"192.168.0.0/16\"]. \
         Private networks are reachable unless they are listed.",
    ),
    key(
        "network.allow",
        List,
        Empty,
        "",
        "IPv4 ranges that functions reach although they are denied. Never opens this machine, other environments, \
         169.254.0.0/16 or cloud metadata.",
    ),
    key(
        "network.dns",
        List,
        Empty,
        "",
        "Resolvers that answer functions, three at most; empty for those of this machine's /etc/resolv.conf.",
    ),
    key(
        "functions.*.network",
        Choice(&["nat", "none"]),
        Unset("network.class"),
        "",
        "Network class of one function, for example [functions.\"resize\"] network = \"none\".",
    ),
    key(
        "functions.*.idle_timeout_s",
        Integer(1, 86_400),
        Unset("limits.idle_timeout_s"),
        "seconds",
        "How long environments of one function are kept warm without work.",
    ),
    key(
        "logs.max_file_mb",
        Integer(1, 4_096),
        Number(16),
        "MiB",
        "Size at which a function's log file is closed and a new one begun.",
    ),
    key("logs.keep_files", Integer(1, 1_000), Number(4), "files", "Closed log files kept per function."),
    key("logs.retention_days", Integer(1, 3_653), Number(14), "days", "Age at which closed log files go."),
    key(
        "endpoints.s3",
        Endpoint,
        Unset(
            "AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL of the daemon's environment; else Amazon S3 in `region`",
        ),
        "",
        "Where functions' code in S3 is: the address of a store that speaks S3.",
    ),
    key(
        "endpoints.s3_addressing",
        Choice(&["auto", "path", "virtual"]),
        Words("auto"),
        "",
        "Where a bucket's name goes: \"path\" (host/bucket/key), \"virtual\" (bucket.host/key), or \"auto\": path at an \
         endpoint of your own, virtual at Amazon's.",
    ),
    key(
        "endpoints.timeout_s",
        Integer(1, 300),
        Number(20),
        "seconds",
        "How long a service that the daemon asks may be silent before the request counts as failed.",
    ),
    key(
        "runtimes.missing",
        Choice(&["refuse", "substitute"]),
        Words("refuse"),
        "",
        "What happens to a function whose runtime this machine lacks: \"refuse\" it, saying what is there, or \
         \"substitute\" the nearest interpreter of its language.",
    ),
    key(
        "runtimes.*.interpreter",
        Path,
        Unset("the one found on this machine"),
        "",
        "Interpreter of one runtime, for example [runtimes.\"python3.12\"] interpreter = \"/opt/python/bin/python3.12\".",
    ),
];

impl Key {
    /// Whether this is the row of the key with these parts.
    pub(super) fn matches(&self, parts: &[String]) -> bool {
        let mut own = self.name.split('.');
        parts.iter().all(|part| own.next().is_some_and(|it| it == "*" || it == part)) && own.next().is_none()
    }

    /// The environment variable that sets it; `*` becomes an example.
    pub(super) fn variable(&self) -> String {
        let example = if self.name.starts_with("runtimes.") { "python3_12" } else { "name" };
        let parts: Vec<&str> =
            self.name.split('.').map(|part| if part == "*" { example } else { part }).collect();
        variable(&parts)
    }
}

/// The row of a key.
pub(super) fn find(parts: &[String]) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.matches(parts))
}

/// `HEARTH_`, upper case, `__` between parts.
pub(super) fn variable(parts: &[&str]) -> String {
    format!("HEARTH_{}", parts.join("__").to_uppercase())
}

/// The name as TOML writes it: parts with dots are quoted.
pub(super) fn dotted(parts: &[String]) -> String {
    let bare =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    let shown = parts
        .iter()
        .map(|part| if bare(part) && !part.is_empty() { part.clone() } else { format!("{part:?}") });
    shown.collect::<Vec<_>>().join(".")
}
