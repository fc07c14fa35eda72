//! What can be set and varied, by name: limits of the scheduler, and what functions are like.
//!
//! Options, `[limits]` of workload files, `--set` and `--vary` all come here, so that a name means one thing. Later ones
//! replace earlier ones of the same name; `FUNCTION.KEY` is about one function.

use super::spreads;
use hearth_logic::simulate::arrivals::{Pattern, RATE_MAX};
use hearth_logic::simulate::traffic::Changes;
use hearth_logic::simulate::workload::{Function, Workload};
use hearth_logic::{Profile, Scaling, SchedulerLimits};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What can be set. In the order in which it is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Profile,
    Scaling,
    ScalingBurst,
    ScalingPerMinute,
    RequestsPerConcurrency,
    RequestsPerEnvironment,
    AccountLimit,
    MemoryCapacityMb,
    Overcommit,
    EnvironmentsMax,
    ConcurrentStarts,
    WaitingMax,
    WaitMaxS,
    IdleTimeoutS,
    RecycleAfterS,
    FreezeAfterMs,
    StartReserveMb,
    Arrivals,
    Rate,
    Load,
    Reserved,
    Provisioned,
    MemoryMb,
    DurationMs,
    InitMs,
    LaunchMs,
}

/// Whom a key concerns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// The scheduler.
    Limits,
    /// A function, or all of them.
    Functions,
}

const KEYS: [(&str, Key, Scope); 26] = [
    ("profile", Key::Profile, Scope::Limits),
    ("scaling", Key::Scaling, Scope::Limits),
    ("scaling-burst", Key::ScalingBurst, Scope::Limits),
    ("scaling-per-minute", Key::ScalingPerMinute, Scope::Limits),
    ("requests-per-concurrency", Key::RequestsPerConcurrency, Scope::Limits),
    ("requests-per-environment", Key::RequestsPerEnvironment, Scope::Limits),
    ("account-limit", Key::AccountLimit, Scope::Limits),
    ("memory-capacity-mb", Key::MemoryCapacityMb, Scope::Limits),
    ("overcommit", Key::Overcommit, Scope::Limits),
    ("environments-max", Key::EnvironmentsMax, Scope::Limits),
    ("concurrent-starts", Key::ConcurrentStarts, Scope::Limits),
    ("waiting-max", Key::WaitingMax, Scope::Limits),
    ("wait-max-s", Key::WaitMaxS, Scope::Limits),
    ("idle-timeout-s", Key::IdleTimeoutS, Scope::Limits),
    ("recycle-after-s", Key::RecycleAfterS, Scope::Limits),
    ("freeze-after-ms", Key::FreezeAfterMs, Scope::Limits),
    ("start-reserve-mb", Key::StartReserveMb, Scope::Limits),
    ("arrivals", Key::Arrivals, Scope::Functions),
    ("rate", Key::Rate, Scope::Functions),
    ("load", Key::Load, Scope::Functions),
    ("reserved", Key::Reserved, Scope::Functions),
    ("provisioned", Key::Provisioned, Scope::Functions),
    ("memory-mb", Key::MemoryMb, Scope::Functions),
    ("duration-ms", Key::DurationMs, Scope::Functions),
    ("init-ms", Key::InitMs, Scope::Functions),
    ("launch-ms", Key::LaunchMs, Scope::Functions),
];

fn row(name: &str) -> Option<(Key, Scope)> {
    let name = name.replace('_', "-");
    // The configuration's name of it.
    let name = if name == "account-concurrency" { "account-limit" } else { &name };
    KEYS.iter().find(|(known, ..)| known == &name).map(|(_, key, scope)| (*key, *scope))
}

fn name_of(key: Key) -> &'static str {
    KEYS.iter().find(|(_, known, _)| *known == key).map_or("", |(name, ..)| name)
}

/// Values by key, and by function where one is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings(BTreeMap<(Option<String>, Key), String>);

impl Settings {
    /// Sets a key, after a look at whether the value is one.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        // Names of functions may have dots, keys have none.
        let (function, (key, scope)) = match (row(name), name.rsplit_once('.')) {
            (Some(found), _) => (None, found),
            (None, Some((function, name))) => (Some(function.to_owned()), row(name).ok_or_else(unknown)?),
            (None, None) => return Err(unknown()),
        };
        match scope {
            Scope::Limits if function.is_some() => {
                return Err(format!("{} is not a setting of single functions", name_of(key)));
            }
            Scope::Limits => apply_limit(&mut SchedulerLimits::default(), key, value)?,
            Scope::Functions => {
                let any = Pattern::Constant { rate: 1.0, offset: Duration::ZERO };
                apply(&mut Function { arrivals: Some(any), ..Function::default() }, key, value)?;
            }
        }
        self.0.insert((function, key), value.to_owned());
        Ok(())
    }

    /// These with others that win.
    pub(super) fn over(mut self, others: &Self) -> Self {
        self.0.extend(others.0.iter().map(|(key, value)| (key.clone(), value.clone())));
        self
    }

    /// Name and value of each.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (String, &str)> {
        self.0.iter().map(|((function, key), value)| {
            let name = name_of(*key);
            let name = function.as_ref().map_or_else(|| name.to_owned(), |of| format!("{of}.{name}"));
            (name, value.as_str())
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The limits of a simulation: those of the profile, `aws` unless another is set, and what is set beside it.
    pub(super) fn limits(&self) -> Result<SchedulerLimits, String> {
        let profile = self.0.get(&(None, Key::Profile)).map_or("aws", String::as_str);
        let profile = self::profile(profile)?;
        let mut limits = SchedulerLimits::of(profile);
        if profile == Profile::Aws {
            limits = without_end(limits);
        }
        self.limit(&mut limits)?;
        Ok(limits)
    }

    /// Changes limits to what is set.
    pub(super) fn limit(&self, limits: &mut SchedulerLimits) -> Result<(), String> {
        for ((_, key), value) in &self.0 {
            if KEYS.iter().any(|(_, known, scope)| known == key && *scope == Scope::Limits) {
                apply_limit(limits, *key, value)?;
            }
        }
        Ok(())
    }

    /// Changes functions to what is set, and looks whether a daemon would take them so.
    pub(super) fn shape(&self, workload: &mut Workload) -> Result<(), String> {
        for ((name, key), value) in &self.0 {
            if !KEYS.iter().any(|(_, known, scope)| known == key && *scope == Scope::Functions) {
                continue;
            }
            let mut is_found = false;
            let concerned =
                |function: &&mut Function| name.as_ref().is_none_or(|name| *name == function.name);
            for function in workload.functions.iter_mut().filter(concerned) {
                is_found = true;
                apply(function, *key, value).map_err(|why| format!("{}: {why}", function.name))?;
            }
            if let Some(name) = name.as_ref().filter(|_| !is_found) {
                return Err(format!("{name}.{}: there is no function {name:?}", name_of(*key)));
            }
        }
        for function in &workload.functions {
            fits(function.reserved, function.provisioned)
                .map_err(|why| format!("{}: {why}", function.name))?;
        }
        Ok(())
    }

    /// What of it recorded traffic can be given besides limits.
    pub(super) fn changes(&self) -> Result<Changes, String> {
        let mut changes = Changes::default();
        for ((function, key), value) in &self.0 {
            match (function, key) {
                (None, Key::Reserved) => changes.reserved = Some(number(value, 0, u32::MAX)?),
                (None, Key::Provisioned) => changes.provisioned = Some(number(value, 0, u32::MAX)?),
                _ if KEYS.iter().any(|(_, known, scope)| known == key && *scope == Scope::Limits) => {}
                _ => {
                    return Err(format!(
                        "{} is not among what recorded traffic can be varied by: limits, reserved, provisioned",
                        name_of(*key)
                    ));
                }
            }
        }
        fits(changes.reserved, changes.provisioned.unwrap_or(0))?;
        Ok(changes)
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.pairs().enumerate() {
            write!(f, "{}{name}={value}", if at > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

fn unknown() -> String {
    let names: Vec<&str> = KEYS.iter().map(|(name, ..)| *name).collect();
    format!("there is no such setting; there are: {}", names.join(", "))
}

/// A machine that is never full: what remains are Lambda's own limits.
fn without_end(limits: SchedulerLimits) -> SchedulerLimits {
    SchedulerLimits {
        memory_capacity_mb: u64::MAX,
        memory_overcommit: 1,
        environments_max: u32::MAX,
        starts_max: u32::MAX,
        waiters_max: u32::MAX,
        wait_max: Duration::from_secs(86_400),
        start_reserve_mb: 0,
        ..limits
    }
}

fn profile(value: &str) -> Result<Profile, String> {
    match value {
        "aws" => Ok(Profile::Aws),
        "box" => Ok(Profile::Box),
        _ => Err("aws or box".to_owned()),
    }
}

fn apply_limit(limits: &mut SchedulerLimits, key: Key, value: &str) -> Result<(), String> {
    let count = |min| number(value, min, u32::MAX);
    match key {
        Key::Profile => {
            let of = SchedulerLimits::of(profile(value)?);
            limits.scaling = of.scaling;
            limits.requests_per_concurrency = of.requests_per_concurrency;
            limits.requests_per_environment = of.requests_per_environment;
        }
        Key::Scaling => {
            limits.scaling = match value {
                "2023" => Scaling::PER_FUNCTION,
                "classic" => Scaling::CLASSIC,
                "unlimited" => Scaling::Unlimited,
                _ => return Err("2023, classic or unlimited".to_owned()),
            }
        }
        Key::ScalingBurst | Key::ScalingPerMinute => {
            let n = count(0)?;
            // Of an unlimited rate there is nothing to change.
            if let Scaling::PerFunction { burst, per_minute } | Scaling::Classic { burst, per_minute } =
                &mut limits.scaling
            {
                *(if key == Key::ScalingBurst { burst } else { per_minute }) = n;
            }
        }
        Key::RequestsPerConcurrency => limits.requests_per_concurrency = count(0)?,
        Key::RequestsPerEnvironment => limits.requests_per_environment = number(value, 0, 10_000)?,
        Key::AccountLimit => limits.account_concurrency = count(0)?,
        Key::MemoryCapacityMb => limits.memory_capacity_mb = u64::from(count(1)?),
        Key::Overcommit => limits.memory_overcommit = count(1)?,
        Key::EnvironmentsMax => limits.environments_max = count(1)?,
        Key::ConcurrentStarts => limits.starts_max = count(1)?,
        Key::WaitingMax => limits.waiters_max = count(0)?,
        Key::WaitMaxS => limits.wait_max = Duration::from_secs(u64::from(count(0)?)),
        Key::IdleTimeoutS => limits.idle_timeout = Duration::from_secs(u64::from(count(0)?)),
        // 0 is never, as in the configuration.
        Key::RecycleAfterS => {
            let after = Duration::from_secs(u64::from(count(0)?));
            limits.recycle_after = (!after.is_zero()).then_some(after);
        }
        Key::FreezeAfterMs => {
            let after = Duration::from_millis(u64::from(count(0)?));
            limits.freeze_after = (!after.is_zero()).then_some(after);
        }
        Key::StartReserveMb => limits.start_reserve_mb = u64::from(count(0)?),
        _ => {}
    }
    Ok(())
}

fn apply(function: &mut Function, key: Key, value: &str) -> Result<(), String> {
    match key {
        Key::Arrivals => arrive(function, value)?,
        Key::Rate => {
            let wanted = rate(value)?;
            match &mut function.arrivals {
                Some(
                    Pattern::Constant { rate, .. }
                    | Pattern::Poisson { rate }
                    | Pattern::Bursty { rate, .. }
                    | Pattern::Diurnal { rate, .. },
                ) => *rate = wanted,
                Some(Pattern::Steps { .. }) => {
                    return Err(
                        "steps have no one rate; `load` makes all of them so many times as much".to_owned()
                    );
                }
                None => {}
            }
        }
        Key::Load => {
            let factor = rate(value)?;
            function.arrivals = function.arrivals.as_ref().map(|pattern| pattern.times(factor));
        }
        Key::Reserved => {
            function.reserved = match value {
                "none" => None,
                _ => Some(number(value, 0, u32::MAX)?),
            }
        }
        Key::Provisioned => function.provisioned = number(value, 0, 100_000)?,
        Key::MemoryMb => function.memory_mb = number(value, 1, 1 << 20)?,
        Key::DurationMs => function.duration = spreads::from_text(value)?,
        Key::InitMs => function.init = spreads::from_text(value)?,
        Key::LaunchMs => function.launch = spreads::from_text(value)?,
        _ => {}
    }
    Ok(())
}

/// What is provisioned comes out of what is reserved.
fn fits(reserved: Option<u32>, provisioned: u32) -> Result<(), String> {
    match reserved {
        Some(reserved) if provisioned > reserved => Err(format!(
            "provisioned={provisioned} is more than reserved={reserved}: no daemon takes that, for it comes out of what is \
             reserved"
        )),
        _ => Ok(()),
    }
}

/// Another spacing of the same rate.
fn arrive(function: &mut Function, value: &str) -> Result<(), String> {
    let Some(
        Pattern::Constant { rate, .. }
        | Pattern::Poisson { rate }
        | Pattern::Bursty { rate, .. }
        | Pattern::Diurnal { rate, .. },
    ) = function.arrivals
    else {
        return Ok(());
    };
    function.arrivals = Some(match value {
        "constant" => Pattern::Constant { rate, offset: Duration::ZERO },
        "poisson" => Pattern::Poisson { rate },
        _ => return Err("constant or poisson".to_owned()),
    });
    Ok(())
}

fn rate(value: &str) -> Result<f64, String> {
    let rate = value.parse::<f64>().ok().filter(|rate| (0.0..=RATE_MAX).contains(rate));
    rate.ok_or_else(|| format!("a number from 0 to {RATE_MAX}"))
}

fn number(value: &str, min: u32, max: u32) -> Result<u32, String> {
    let number = value.parse::<u32>().ok().filter(|n| (min..=max).contains(n));
    number.ok_or_else(|| format!("a whole number from {min} to {max}"))
}

#[cfg(test)]
mod tests;
