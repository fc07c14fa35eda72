//! The numbers that the machines keep to, and those of Lambda's that more than one room knows, with unit and source.
//!
//! What an operator may change is a field of [`SchedulerLimits`]; what AWS fixes is a constant. A bound that one file alone
//! needs stands in that file. It decides nothing.

use crate::scaling::Scaling;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Invocations in flight per account and region, unless configured (AWS: 1,000).
pub const ACCOUNT_CONCURRENCY: u32 = 1_000;
/// How long an environment is kept warm without work, unless configured.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// Memory of the box that environments may use, in MB, unless the daemon says what it has.
pub const MEMORY_CAPACITY_MB: u64 = 4_096;
/// How many times the capacity may be promised: few functions use what they are allowed.
pub const MEMORY_OVERCOMMIT: u32 = 8;
/// Environments that exist at once, the ones being destroyed included.
pub const ENVIRONMENTS_MAX: u32 = 1_024;
/// Sandboxes that are being made at once, unless the daemon says how many processors it has.
pub const STARTS_MAX: u32 = 8;
/// Invocations that wait for an environment, over all revisions.
pub const WAITERS_MAX: u32 = 10_000;
/// How long an invocation waits for an environment.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// How long starts for smaller environments pass by one for which there is no room, and how long they then wait for it, in
/// turn; at most a quarter of the time that one waits.
pub const PASSING_TURN: Duration = Duration::from_secs(5);
/// Wanters that are looked at in one step for one that fits.
pub const PASSED_BY_MAX: usize = 256;
/// How long an environment idles before it is frozen.
pub const FREEZE_AFTER: Duration = Duration::from_secs(1);
/// Age at which an idle environment is replaced (AWS: some hours).
pub const RECYCLE_AFTER: Duration = Duration::from_secs(8 * 60 * 60);
/// Memory that must be unused in fact before another environment is started, in MB.
pub const START_RESERVE_MB: u64 = 64;
/// Synchronous requests per second and unit of concurrency (AWS: 10).
pub const REQUESTS_PER_CONCURRENCY: u32 = 10;
/// Invocations that an environment begins within a second (AWS: 10).
pub const REQUESTS_PER_ENVIRONMENT: u32 = 10;
/// Highest value of those that keep count of single moments: per environment, bounds what is remembered of it.
pub const REQUESTS_PER_ENVIRONMENT_MAX: u32 = 10_000;
/// First pause before an environment of provisioned concurrency that did not come up is tried again; doubles.
pub const PROVISIONED_PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest such pause.
pub const PROVISIONED_PAUSE_MAX: Duration = Duration::from_secs(60);
/// Invocations that one environment runs at once.
pub const SLOTS: usize = 1;
/// Environments that may give an invocation back before it is failed.
pub const DELIVERY_ATTEMPTS_MAX: u32 = 3;
/// Pause before an action that could not be handed over is tried again.
pub const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Initialisation of an on-demand environment (AWS: 10 s).
pub const INIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Initialisation of an environment that is kept ready, where the function's timeout is shorter (AWS: 130 s, or the
/// timeout).
pub const PROVISIONED_INIT_MIN: Duration = Duration::from_secs(130);
/// Function timeout unless given (AWS: 3 s).
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(3);
/// Function timeout, highest (AWS: 900 s).
pub const TIMEOUT_MAX: Duration = Duration::from_secs(900);
/// `MemorySize`, lowest and default, in MB (AWS).
pub const MEMORY_MIN_MB: u32 = 128;
/// `MemorySize`, highest, in MB (AWS).
pub const MEMORY_MAX_MB: u32 = 10_240;
/// Memory that buys one core, in MB (AWS).
pub const MEMORY_PER_CORE_MB: u32 = 1_769;
/// Payload of a synchronous invocation, in bytes (AWS: 6 MB).
pub const REQUEST_MAX_BYTES: usize = 6_291_456;
/// Buffered answer of a function, in bytes (AWS: 6 MB and 100 bytes).
pub const RESPONSE_MAX_BYTES: usize = 6_291_556;
/// Log text that `LogType: Tail` returns, in bytes (AWS: 4 KB).
pub const LOG_TAIL_BYTES: usize = 4_096;

/// What the scheduler keeps to. Zero where a zero would stop everything counts as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchedulerLimits {
    /// Invocations in flight, waiting ones included; 0 refuses everything.
    pub account_concurrency: u32,
    /// Memory of the box that environments may use, MB.
    pub memory_capacity_mb: u64,
    /// How many times that memory may be promised.
    pub memory_overcommit: u32,
    /// Environments that exist at once, the ones being destroyed included.
    pub environments_max: u32,
    /// Sandboxes that are being made at once; further starts queue.
    pub starts_max: u32,
    /// Invocations that wait for an environment; one more is refused.
    pub waiters_max: u32,
    /// How long one waits before it is refused.
    pub wait_max: Duration,
    /// How long an environment is kept without work, unless its function says otherwise.
    pub idle_timeout: Duration,
    /// How fast environments may be added on demand.
    pub scaling: Scaling,
    /// Synchronous requests per second for each unit of concurrency; 0 for any number.
    pub requests_per_concurrency: u32,
    /// Invocations that an environment begins within a second; 0 for any number.
    pub requests_per_environment: u32,
    /// Memory that must be unused in fact, for each environment on its way, before another is started, MB.
    pub start_reserve_mb: u64,
    /// How long an environment idles before it is frozen, if it is.
    pub freeze_after: Option<Duration>,
    /// The age at which environments are replaced when they idle, if they are.
    pub recycle_after: Option<Duration>,
}

/// A set of limits by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// What protects this machine, and what was set.
    #[default]
    Box,
    /// Lambda's artificial rates too.
    Aws,
}

impl SchedulerLimits {
    /// The defaults of a profile.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        match profile {
            Profile::Box => Self::default(),
            Profile::Aws => Self {
                scaling: Scaling::PER_FUNCTION,
                requests_per_concurrency: REQUESTS_PER_CONCURRENCY,
                requests_per_environment: REQUESTS_PER_ENVIRONMENT,
                ..Self::default()
            },
        }
    }

    /// Memory that may be promised, MB.
    #[must_use]
    pub fn memory_budget_mb(&self) -> u64 {
        self.memory_capacity_mb.saturating_mul(u64::from(self.memory_overcommit.max(1)))
    }
}

impl Default for SchedulerLimits {
    fn default() -> Self {
        Self {
            account_concurrency: ACCOUNT_CONCURRENCY,
            memory_capacity_mb: MEMORY_CAPACITY_MB,
            memory_overcommit: MEMORY_OVERCOMMIT,
            environments_max: ENVIRONMENTS_MAX,
            starts_max: STARTS_MAX,
            waiters_max: WAITERS_MAX,
            wait_max: WAIT_MAX,
            idle_timeout: IDLE_TIMEOUT,
            scaling: Scaling::Unlimited,
            requests_per_concurrency: 0,
            requests_per_environment: 0,
            start_reserve_mb: START_RESERVE_MB,
            freeze_after: Some(FREEZE_AFTER),
            recycle_after: Some(RECYCLE_AFTER),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_budget_is_capacity_times_overcommit_and_never_wraps() {
        let of = |memory_capacity_mb, memory_overcommit| {
            SchedulerLimits { memory_capacity_mb, memory_overcommit, ..SchedulerLimits::default() }
                .memory_budget_mb()
        };
        assert_eq!(of(1_000, 8), 8_000);
        assert_eq!(of(1_000, 0), 1_000);
        assert_eq!(of(u64::MAX, 8), u64::MAX);
    }

    #[test]
    fn a_misspelt_limit_is_refused_and_a_missing_one_has_its_default() {
        assert!(serde_json::from_str::<SchedulerLimits>(r#"{"starts":3}"#).is_err());
        let some: SchedulerLimits = serde_json::from_str(r#"{"starts_max":3}"#).unwrap();
        assert_eq!(some, SchedulerLimits { starts_max: 3, ..SchedulerLimits::default() });
    }
}
