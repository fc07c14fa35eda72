//! `[limits]`: a profile, and every single limit over it.
//!
//! Turns them into what the scheduler keeps to. What the limits mean is `hearth_logic::limits`'; the table of keys is
//! `keys`. Reads the machine's memory and processors where the limits are not set.

use super::check::{Config, Reader, origin_of};
use super::merge::{Origins, Problem, Value};
use hearth_logic::{Profile, Scaling, SchedulerLimits};
use std::collections::BTreeMap;
use std::time::Duration;

/// Sandboxes being made at once, for each processor.
const STARTS_PER_PROCESSOR: u32 = 4;
/// Descriptors that the daemon keeps for itself (files, name queries), and for each environment: ten that come with its
/// sandbox, and a connection for each of its two servers.
const FILES_OWN: u64 = 512;
const FILES_PER_ENVIRONMENT: u64 = 12;
/// Of all others, this part is left to connections, however many environments there may be: one in so many.
const CONNECTIONS_SHARE: u64 = 4;
/// More connections than these are of no use to anybody, and each takes memory.
const CLIENTS_MAX: u64 = 8_192;
const OBSERVERS_MAX: u64 = 1_024;
const FUNCTIONS_MAX: u64 = 16_384;

/// `[limits]`. What is not set follows from the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Which defaults hold.
    pub(crate) profile: Profile,
    /// Invocations in flight.
    pub(crate) account_concurrency: u32,
    /// What reservations must leave.
    pub(crate) unreserved_minimum: u32,
    /// Packages of all versions and layers, MiB.
    pub(crate) code_storage_mb: u64,
    scaling: Option<Model>,
    scaling_burst: Option<u32>,
    scaling_per_minute: Option<u32>,
    requests_per_concurrency: Option<u32>,
    requests_per_environment: Option<u32>,
    /// Memory of environments, MiB; none for what this machine has.
    pub(crate) memory_capacity_mb: Option<u64>,
    /// How many times it may be promised.
    pub(crate) overcommit: u32,
    start_reserve_mb: u64,
    /// Environments at once.
    pub(crate) environments_max: u32,
    concurrent_starts: Option<u32>,
    waiting_max: u32,
    wait_max_s: u64,
    /// How long an idle environment is kept, seconds.
    pub(crate) idle_timeout_s: u64,
    freeze_after_ms: u64,
    recycle_after_s: u64,
}

/// A model of scaling, without its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Model {
    Unlimited,
    PerFunction,
    Classic,
}

pub(super) fn read(it: &Reader<'_>) -> Limits {
    let optional = |key| it.optional_number(key).map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    Limits {
        profile: if it.text("limits.profile") == "aws" { Profile::Aws } else { Profile::Box },
        account_concurrency: it.small("limits.account_concurrency"),
        unreserved_minimum: it.small("limits.unreserved_minimum"),
        code_storage_mb: it.number("limits.code_storage_mb"),
        scaling: it.optional_text("limits.scaling").map(|word| match word.as_str() {
            "2023" => Model::PerFunction,
            "classic" => Model::Classic,
            _ => Model::Unlimited,
        }),
        scaling_burst: optional("limits.scaling_burst"),
        scaling_per_minute: optional("limits.scaling_per_minute"),
        requests_per_concurrency: optional("limits.requests_per_concurrency"),
        requests_per_environment: optional("limits.requests_per_environment"),
        memory_capacity_mb: it.optional_number("limits.memory_capacity_mb"),
        overcommit: it.small("limits.overcommit"),
        start_reserve_mb: it.number("limits.start_reserve_mb"),
        environments_max: it.small("limits.environments_max"),
        concurrent_starts: optional("limits.concurrent_starts"),
        waiting_max: it.small("limits.waiting_max"),
        wait_max_s: it.number("limits.wait_max_s"),
        idle_timeout_s: it.number("limits.idle_timeout_s"),
        freeze_after_ms: it.number("limits.freeze_after_ms"),
        recycle_after_s: it.number("limits.recycle_after_s"),
    }
}

/// Functions that idle for a time of their own.
pub(super) fn idle_timeouts(it: &Reader<'_>) -> BTreeMap<String, Duration> {
    let own = it.0.settings.iter().filter_map(|(parts, (value, _))| match (parts.as_slice(), value) {
        ([first, function, last], Value::Integer(seconds))
            if first == "functions" && last == "idle_timeout_s" =>
        {
            Some((function.clone(), Duration::from_secs(u64::try_from(*seconds).unwrap_or(0))))
        }
        _ => None,
    });
    own.collect()
}

impl Limits {
    fn scaling(&self) -> Scaling {
        let model = match self.scaling {
            None => SchedulerLimits::of(self.profile).scaling,
            Some(Model::Unlimited) => Scaling::Unlimited,
            Some(Model::PerFunction) => Scaling::PER_FUNCTION,
            Some(Model::Classic) => Scaling::CLASSIC,
        };
        let with = |burst, per_minute| {
            (self.scaling_burst.unwrap_or(burst), self.scaling_per_minute.unwrap_or(per_minute))
        };
        match model {
            Scaling::Unlimited => Scaling::Unlimited,
            Scaling::PerFunction { burst, per_minute } => {
                let (burst, per_minute) = with(burst, per_minute);
                Scaling::PerFunction { burst, per_minute }
            }
            Scaling::Classic { burst, per_minute } => {
                let (burst, per_minute) = with(burst, per_minute);
                Scaling::Classic { burst, per_minute }
            }
        }
    }
}

impl Config {
    /// What the scheduler keeps to. `environments_fit` is how many this process has descriptors for. Reads the
    /// machine's memory and processors if nothing is configured.
    pub(crate) fn scheduler_limits(&self, environments_fit: u64) -> SchedulerLimits {
        let limits = &self.limits;
        let fit = u32::try_from(environments_fit).unwrap_or(u32::MAX);
        let profile = SchedulerLimits::of(limits.profile);
        let some = |duration: Duration| (!duration.is_zero()).then_some(duration);
        SchedulerLimits {
            account_concurrency: limits.account_concurrency,
            memory_capacity_mb: limits
                .memory_capacity_mb
                .unwrap_or_else(|| host_memory_mb().unwrap_or(profile.memory_capacity_mb)),
            memory_overcommit: limits.overcommit,
            environments_max: limits.environments_max.min(fit),
            starts_max: limits.concurrent_starts.unwrap_or_else(starts_max),
            waiters_max: limits.waiting_max,
            wait_max: Duration::from_secs(limits.wait_max_s),
            idle_timeout: Duration::from_secs(limits.idle_timeout_s),
            scaling: limits.scaling(),
            requests_per_concurrency: limits
                .requests_per_concurrency
                .unwrap_or(profile.requests_per_concurrency),
            requests_per_environment: limits
                .requests_per_environment
                .unwrap_or(profile.requests_per_environment),
            start_reserve_mb: limits.start_reserve_mb,
            freeze_after: some(Duration::from_millis(limits.freeze_after_ms)),
            recycle_after: some(Duration::from_secs(limits.recycle_after_s)),
        }
    }
}

/// Numbers of a model that is not in force.
pub(super) fn problems(limits: &Limits, origins: &Origins) -> Vec<Problem> {
    let set = [
        ("limits.scaling_burst", limits.scaling_burst),
        ("limits.scaling_per_minute", limits.scaling_per_minute),
    ];
    let idle = set.iter().filter(|(_, n)| n.is_some() && limits.scaling() == Scaling::Unlimited);
    idle.map(|(key, _)| Problem::Together {
        origin: origin_of(origins, key),
        sentence: format!(
            "`{key}` is set, but scaling is unlimited: choose a model with limits.scaling = \"2023\" or \"classic\", or \
             drop `{key}`"
        ),
    })
    .collect()
}

/// How many environments may exist at once where a process may open so many files.
pub(crate) fn environments_fit(open_files: u64) -> u64 {
    let others = open_files.saturating_sub(FILES_OWN);
    (others - others / CONNECTIONS_SHARE) / FILES_PER_ENVIRONMENT
}

/// How many connections may be open at once, so that no client and no function leaves the daemon without descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connections {
    /// To the control API.
    pub(crate) clients: usize,
    /// To the administration's address, and as many to its socket.
    pub(crate) observers: usize,
    /// Of all functions together, beyond the first that each environment has to each of its servers.
    pub(crate) functions: usize,
}

impl Connections {
    /// What is left where a process may open so many files and this many environments may exist: one half for functions,
    /// the other for everybody else.
    pub(crate) fn fit(open_files: u64, environments: u32) -> Self {
        let taken = FILES_OWN + u64::from(environments) * FILES_PER_ENVIRONMENT;
        // Where there are too few for any environment, too, somebody must still be able to ask why.
        let part = (open_files.saturating_sub(taken) / 16).max(1);
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            clients: count((6 * part).min(CLIENTS_MAX)),
            observers: count(part.min(OBSERVERS_MAX)),
            functions: count((8 * part).min(FUNCTIONS_MAX)),
        }
    }
}

fn starts_max() -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(processors).unwrap_or(u32::MAX).saturating_mul(STARTS_PER_PROCESSOR)
}

/// `MemTotal`, MiB.
fn host_memory_mb() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn limits(text: &str) -> SchedulerLimits {
        let mut merge = super::super::merge::Merge::new();
        merge.text(Path::new("hearth.toml"), text);
        super::super::check::finish(merge).expect(text).0.scheduler_limits(u64::MAX)
    }

    #[test]
    fn the_default_profile_has_no_artificial_rates_and_aws_has_them_all() {
        let own = limits("");
        assert_eq!((own.scaling, own.requests_per_concurrency), (Scaling::Unlimited, 0));
        let aws = limits("limits.profile = \"aws\"");
        assert_eq!(aws.scaling, Scaling::PerFunction { burst: 1_000, per_minute: 6_000 });
        assert_eq!((aws.requests_per_concurrency, aws.requests_per_environment), (10, 10));
    }

    #[test]
    fn environments_and_connections_together_stay_within_the_open_files() {
        for open_files in [1_024, 4_096, 65_536, 1_048_576] {
            for wanted in [1, 42, 1_024, 100_000] {
                let environments = wanted.min(environments_fit(open_files));
                let fit = Connections::fit(open_files, u32::try_from(environments).unwrap());
                let connections = (fit.clients + 2 * fit.observers + fit.functions) as u64;
                let all = FILES_OWN + environments * FILES_PER_ENVIRONMENT + connections;
                assert!(all <= open_files, "{all} of {open_files}: {environments}, {fit:?}");
                assert!(fit.observers >= 8, "{open_files}: {fit:?}");
            }
        }
        let most = Connections { clients: 8_192, observers: 1_024, functions: 16_384 };
        assert_eq!(
            Connections::fit(65_536, 1_024),
            Connections { clients: 8_192, ..Connections::fit(65_536, 1_024) }
        );
        assert_eq!(Connections::fit(1 << 20, 1_024), most);
        assert_eq!((environments_fit(0), Connections::fit(0, 0).clients), (0, 6));
    }

    #[test]
    fn every_single_rate_may_be_set_over_a_profile() {
        let classic = limits("limits.scaling = \"classic\"");
        assert_eq!(classic.scaling, Scaling::Classic { burst: 3_000, per_minute: 500 });
        let text = "[limits]\nprofile = \"aws\"\nscaling_burst = 5\nrequests_per_environment = 0\nfreeze_after_ms = 0\n\
                    recycle_after_s = 60";
        let some = limits(text);
        assert_eq!(some.scaling, Scaling::PerFunction { burst: 5, per_minute: 6_000 });
        assert_eq!((some.requests_per_concurrency, some.requests_per_environment), (10, 0));
        assert_eq!((some.freeze_after, some.recycle_after), (None, Some(Duration::from_secs(60))));
        let unlimited = limits("[limits]\nprofile = \"aws\"\nscaling = \"unlimited\"");
        assert_eq!(unlimited.scaling, Scaling::Unlimited);
    }
}
