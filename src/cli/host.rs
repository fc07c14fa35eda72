//! What this host offers to sandboxes: one finding per thing that `hearth serve` needs, with the way to get it.
//!
//! Only looks: makes no namespaces, mounts or groups, installs nothing. Remedies name Debian's packages.

use crate::config::environments_fit;
use crate::runtimes::discover::{self, Places};
use crate::runtimes::{Interpreter, Missing, Runtimes};
use hearth_sandbox::{cgroup, firewall, nat, privileges};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Oldest kernel that has every call that sandboxes are made with (`mount_setattr`).
const KERNEL_MIN: (u32, u32) = (5, 12);
/// As many environments as invocations are allowed at once by default (`limits.account_concurrency`).
const ENVIRONMENTS_ENOUGH: u64 = 1000;

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As it should be.
    Fine,
    /// Works, with less.
    Limited,
    /// The daemon cannot work without it.
    Missing,
}

impl Verdict {
    /// One word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Limited => "limited",
            Self::Missing => "missing",
        }
    }
}

/// What was looked at, how it is, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// What.
    pub(super) name: &'static str,
    /// How well it is.
    pub(super) verdict: Verdict,
    /// What was seen.
    pub(super) detail: String,
    /// What to do; none if all is well.
    pub(super) remedy: Option<String>,
}

impl Finding {
    fn fine(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Fine, detail: detail.into(), remedy: None }
    }

    fn wrong(
        name: &'static str,
        verdict: Verdict,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { name, verdict, detail: detail.into(), remedy: Some(remedy.into()) }
    }
}

/// Interpreters and the runtimes that follow from them.
#[derive(Debug)]
pub(super) struct Languages {
    /// Found, best first.
    pub(super) interpreters: Vec<Interpreter>,
    /// Runtimes that functions may name.
    pub(super) available: Vec<&'static str>,
    /// Runtimes that this host has no interpreter for.
    pub(super) absent: Vec<&'static str>,
}

/// Looks at everything but interpreters.
pub(super) fn look() -> Vec<Finding> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    vec![
        privileges_found(&privileges::missing()),
        kernel(release.trim()),
        namespaces(Path::new("/proc/self/ns")),
        control_groups(cgroup::Layout::detect()),
        seccomp(&actions),
        loop_devices(Path::new("/dev/loop-control")),
        mkfs(&programs("mkfs.ext4")),
        network(
            &nat::obstacles(),
            &firewall_chains(),
            &fs::read_to_string("/proc/net/ip_tables_names").unwrap_or_default(),
        ),
        open_files(&fs::read_to_string("/proc/self/limits").unwrap_or_default()),
    ]
}

/// Looks for interpreters; runs each candidate once.
pub(super) fn languages() -> Languages {
    let interpreters = discover::find(&Places::of_this_process());
    let runtimes = Runtimes::new(&interpreters, &BTreeMap::new(), Missing::Refuse);
    Languages { available: runtimes.names(), absent: runtimes.absent(), interpreters }
}

/// How to get interpreters that are not there; none if all are.
pub(super) fn languages_remedy(absent: &[&str]) -> Option<String> {
    let lacks = |prefix: &str| absent.iter().any(|name| name.starts_with(prefix));
    let packages: Vec<&str> = [("python", "python3"), ("nodejs", "nodejs")]
        .into_iter()
        .filter(|(of, _)| lacks(of))
        .map(|(_, name)| name)
        .collect();
    let example = absent.first()?;
    Some(format!(
        "`apt-get install {}` gives the system's version; other versions come with uv, pyenv, mise or nvm, and one of \
         any other place is named in the configuration: [runtimes.\"{example}\"] interpreter = \"/path\"",
        packages.join(" ")
    ))
}

fn privileges_found(missing: &[&str]) -> Finding {
    const NAME: &str = "privileges";
    if missing.is_empty() {
        return Finding::fine(NAME, "root, with every capability that sandboxes take");
    }
    let detail = format!("this user lacks {}", missing.join(", "));
    Finding::wrong(
        NAME,
        Verdict::Missing,
        detail,
        "start `hearth serve` (and this) as root, or from deploy/'s systemd unit",
    )
}

fn kernel(release: &str) -> Finding {
    const NAME: &str = "kernel";
    let mut numbers = release.split(|char: char| !char.is_ascii_digit()).map(str::parse::<u32>);
    let version = numbers.next().and_then(Result::ok).zip(numbers.next().and_then(Result::ok));
    match version {
        Some(version) if version >= KERNEL_MIN => Finding::fine(NAME, format!("Linux {release}")),
        _ => {
            let detail =
                format!("Linux {release}; sandboxes need {}.{} or later", KERNEL_MIN.0, KERNEL_MIN.1);
            Finding::wrong(
                NAME,
                Verdict::Missing,
                detail,
                "install a newer kernel (Debian 12: linux-image-amd64)",
            )
        }
    }
}

fn namespaces(dir: &Path) -> Finding {
    const NAME: &str = "namespaces";
    let absent: Vec<&str> = ["mnt", "pid", "net", "ipc", "uts"]
        .into_iter()
        .filter(|name| fs::symlink_metadata(dir.join(name)).is_err())
        .collect();
    if absent.is_empty() {
        return Finding::fine(NAME, "mnt, pid, net, ipc, uts");
    }
    let remedy = "use a kernel with namespaces (Debian's linux-image-amd64 has them), and not a container that hides them";
    Finding::wrong(NAME, Verdict::Missing, format!("the kernel has no {}", absent.join(", ")), remedy)
}

fn control_groups(found: std::io::Result<cgroup::Layout>) -> Finding {
    const NAME: &str = "control groups";
    match found {
        Ok(layout) => Finding::fine(NAME, layout.describe()),
        Err(error) => Finding::wrong(
            NAME,
            Verdict::Missing,
            error.to_string(),
            "boot with systemd.unified_cgroup_hierarchy=1, or mount them: mount -t cgroup2 none /sys/fs/cgroup",
        ),
    }
}

fn seccomp(actions: &str) -> Finding {
    const NAME: &str = "seccomp";
    if actions.split_whitespace().any(|action| action == "errno") {
        return Finding::fine(NAME, "filters");
    }
    let remedy = "use a kernel built with CONFIG_SECCOMP_FILTER (Debian's are)";
    Finding::wrong(NAME, Verdict::Missing, "the kernel has no seccomp filters", remedy)
}

fn loop_devices(control: &Path) -> Finding {
    const NAME: &str = "loop devices";
    if control.exists() {
        return Finding::fine(NAME, control.display().to_string());
    }
    let detail = format!("{} is not there; every sandbox's /tmp is an image on one", control.display());
    let remedy =
        "load the module: modprobe loop (in a container: pass /dev/loop-control and the loop devices in)";
    Finding::wrong(NAME, Verdict::Missing, detail, remedy)
}

fn mkfs(found: &[PathBuf]) -> Finding {
    const NAME: &str = "mkfs.ext4";
    match found.first() {
        Some(program) => Finding::fine(NAME, program.display().to_string()),
        None => Finding::wrong(
            NAME,
            Verdict::Missing,
            "not found; it makes the image of a sandbox's /tmp",
            "apt-get install e2fsprogs",
        ),
    }
}

/// All chains of the host's firewall with their hooks and policies; empty for those who may not see them.
#[expect(clippy::disallowed_methods, reason = "nft lists what other programs' rules are")]
fn firewall_chains() -> String {
    let Some(nft) = firewall::program() else { return String::new() };
    let output = Command::new(nft).args(["list", "chains"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// `legacy` are the tables of the older iptables, whose chains `nft` does not see.
fn network(obstacles: &[String], chains: &str, legacy: &str) -> Finding {
    const NAME: &str = "network class nat";
    if !obstacles.is_empty() {
        let remedy = "apt-get install nftables, sysctl -w net.ipv4.ip_forward=1; or set network.class = \"none\": functions have loopback only then";
        return Finding::wrong(NAME, Verdict::Missing, obstacles.join("; "), remedy);
    }
    let closed = closed_to_forwarding(chains);
    let detail = if !closed.is_empty() {
        format!("drops forwarded packets that it does not know: {}", closed.join(", "))
    } else if legacy.lines().any(|table| table == "filter") {
        "there are rules of legacy iptables, which may drop forwarded packets".to_owned()
    } else {
        return Finding::fine(NAME, "nft, forwarding");
    };
    let remedy = "if functions reach nothing outside, let `network.range` through, for example (Docker: in the chain DOCKER-USER): \
                  iptables -I FORWARD -s 100.121.0.0/16 -j ACCEPT; \
                  iptables -I FORWARD -d 100.121.0.0/16 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT";
    Finding::wrong(NAME, Verdict::Limited, detail, remedy)
}

/// Tables of other programs with a chain at the forward hook whose policy is to drop.
fn closed_to_forwarding(chains: &str) -> Vec<String> {
    let mut table = "";
    let mut found = Vec::new();
    for line in chains.lines().map(str::trim) {
        table = line.strip_prefix("table ").map_or(table, |it| it.trim_end_matches(" {"));
        if line.contains("hook forward") && line.contains("policy drop") {
            found.push(format!("table {table}"));
        }
    }
    found
}

fn open_files(limits: &str) -> Finding {
    const NAME: &str = "open files";
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let hard = line.and_then(|line| line.split_whitespace().nth(1));
    match hard.map(|text| (text, text.parse::<u64>())) {
        Some(("unlimited", _)) => Finding::fine(NAME, "no limit"),
        Some((_, Ok(number))) if environments_fit(number) >= ENVIRONMENTS_ENOUGH => Finding::fine(
            NAME,
            format!("up to {number}, enough for {} environments", environments_fit(number)),
        ),
        Some((text, number)) => Finding::wrong(
            NAME,
            Verdict::Limited,
            format!("up to {text}, enough for {} environments", environments_fit(number.unwrap_or_default())),
            "raise the hard limit: ulimit -Hn 65536, or LimitNOFILE=65536 in the systemd unit",
        ),
        None => Finding::wrong(NAME, Verdict::Limited, "unknown", "mount /proc"),
    }
}

/// Executables of a name on PATH and where system programs lie, which PATH of a plain user often leaves out.
fn programs(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let candidates = std::env::split_paths(&path).chain(system).map(|dir| dir.join(name));
    let is_program = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    candidates.filter(is_program).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_compared_by_number() {
        for (release, verdict) in [
            ("6.1.0-18-amd64", Verdict::Fine),
            ("5.12.0", Verdict::Fine),
            ("5.9.99", Verdict::Missing),
            ("4.19.0-amd64", Verdict::Missing),
            ("", Verdict::Missing),
        ] {
            assert_eq!(kernel(release).verdict, verdict, "{release}");
        }
    }

    #[test]
    fn what_is_missing_comes_with_a_remedy() {
        let findings = [
            privileges_found(&["CAP_SYS_ADMIN"]),
            namespaces(Path::new("/nonexistent")),
            control_groups(Err(std::io::Error::other("no controllers"))),
            seccomp("kill_process allow"),
            loop_devices(Path::new("/nonexistent/loop-control")),
            mkfs(&[]),
            network(&["there is no nft".to_owned()], "", ""),
        ];
        for finding in findings {
            assert_eq!(finding.verdict, Verdict::Missing, "{}", finding.name);
            assert!(finding.remedy.is_some_and(|remedy| !remedy.is_empty()), "{}", finding.name);
        }
    }

    #[test]
    fn what_is_there_needs_no_remedy() {
        let findings = [
            privileges_found(&[]),
            namespaces(Path::new("/proc/self/ns")),
            seccomp("kill_process trap errno allow\n"),
            loop_devices(Path::new("/dev/null")),
            mkfs(&programs("sh")),
            network(&[], "", "nat\n"),
        ];
        for finding in findings {
            assert_eq!(
                (finding.verdict, &finding.remedy),
                (Verdict::Fine, &None),
                "{}: {}",
                finding.name,
                finding.detail
            );
        }
    }

    #[test]
    fn a_firewall_that_drops_what_it_does_not_know_is_named() {
        let chains = "table inet hearth_1 {\n\tchain crossing {\n\t\ttype filter hook forward priority filter - 5; policy accept;\n\t}\n}\n\
                      table ip filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n\
                      \tchain INPUT {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n";
        let finding = network(&[], chains, "");
        assert_eq!(finding.verdict, Verdict::Limited);
        assert!(finding.detail.ends_with("know: table ip filter"), "{}", finding.detail);
        assert!(finding.remedy.is_some_and(|remedy| remedy.contains("DOCKER-USER")));
        let finding = network(&[], "", "nat\nfilter\n");
        assert_eq!(finding.verdict, Verdict::Limited);
        assert!(finding.detail.contains("legacy iptables"), "{}", finding.detail);
    }

    #[test]
    fn few_open_files_are_a_limit_and_not_the_end() {
        let limits = |hard: &str| {
            format!("Limit  Soft Limit  Hard Limit  Units\nMax open files  1024  {hard}  files\n")
        };
        assert_eq!(open_files(&limits("1048576")).verdict, Verdict::Fine);
        assert_eq!(open_files(&limits("unlimited")).verdict, Verdict::Fine);
        assert_eq!(open_files(&limits("4096")).verdict, Verdict::Limited);
        assert_eq!(open_files("").verdict, Verdict::Limited);
    }

    #[test]
    fn remedies_for_languages_name_only_what_is_missing() {
        assert_eq!(languages_remedy(&[]), None);
        let remedy = languages_remedy(&["nodejs18.x"]).expect("something is missing");
        assert!(remedy.contains("install nodejs`") && remedy.contains("runtimes.\"nodejs18.x\""), "{remedy}");
    }
}
