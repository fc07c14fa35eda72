//! What a simulation or a replay came to, as figures, and how they read as JSON.
//!
//! Everything is counted in integers; divisions come last, so that the same course gives the same text.

use crate::FunctionId;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use std::collections::BTreeMap;
use std::time::Duration;

/// The result of a course.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// From the first moment of the load to the end of the last invocation.
    pub span: Duration,
    /// Steps of the scheduler.
    pub steps: u64,
    /// Invocations that came.
    pub invocations: u64,
    /// Of them, those that ran to their end.
    pub completed: u64,
    /// Those that an environment was started for.
    pub cold_starts: u64,
    /// Those that found one.
    pub warm_starts: u64,
    /// Those that found one of the provisioned concurrency.
    pub provisioned_starts: u64,
    /// Those that came by provisioned concurrency and found nothing of it free.
    pub spilled_over: u64,
    /// Refusals by reason.
    pub throttles: BTreeMap<&'static str, u64>,
    /// Invocations that came to nothing, by cause. None in a simulation.
    pub failures: BTreeMap<&'static str, u64>,
    /// Environments started, of provisioned concurrency as well.
    pub environments_started: u64,
    /// Environments destroyed, by cause.
    pub destroyed: BTreeMap<&'static str, u64>,
    /// Times an idle environment was frozen.
    pub frozen: u64,
    /// Invocations that waited, by what for.
    pub waited_for: BTreeMap<&'static str, u64>,
    /// How long invocations waited for their environment.
    pub waits: Percentiles,
    /// From arrival to the end.
    pub responses: Percentiles,
    /// Highest levels.
    pub peaks: Peaks,
    /// Mean levels over the span.
    pub means: Shares,
    /// By function.
    pub functions: BTreeMap<FunctionId, FunctionFigures>,
}

/// Highest levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peaks {
    /// Invocations in flight, waiting ones included.
    pub concurrency: u32,
    /// Environments.
    pub environments: u64,
    /// Invocations that waited for one.
    pub waiting: u64,
    /// Memory promised to environments, MB.
    pub memory_mb: u64,
}

/// Mean levels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shares {
    /// Invocations in flight.
    pub concurrency: f64,
    /// Environments.
    pub environments: f64,
}

/// Of one function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FunctionFigures {
    /// That came.
    pub invocations: u64,
    /// That an environment was started for.
    pub cold_starts: u64,
    /// That were refused.
    pub throttled: u64,
    /// In flight at once.
    pub concurrency_max: u32,
    /// At once.
    pub environments_max: u32,
}

impl Figures {
    /// All refusals.
    #[must_use]
    pub fn throttled(&self) -> u64 {
        self.throttles.values().sum()
    }
}

impl Serialize for Figures {
    /// The names that scripts rely on, in a fixed order.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("invocations", &self.invocations)?;
        map.serialize_entry("completed", &self.completed)?;
        map.serialize_entry("cold_starts", &self.cold_starts)?;
        map.serialize_entry("warm_starts", &self.warm_starts)?;
        map.serialize_entry("provisioned_starts", &self.provisioned_starts)?;
        map.serialize_entry("spilled_over", &self.spilled_over)?;
        map.serialize_entry("throttled", &self.throttled())?;
        map.serialize_entry("throttles", &self.throttles)?;
        map.serialize_entry("failures", &self.failures)?;
        map.serialize_entry("concurrency_max", &self.peaks.concurrency)?;
        map.serialize_entry("concurrency_mean", &rounded(self.means.concurrency))?;
        map.serialize_entry("environments_max", &self.peaks.environments)?;
        map.serialize_entry("environments_mean", &rounded(self.means.environments))?;
        map.serialize_entry("environments_started", &self.environments_started)?;
        map.serialize_entry("destroyed", &self.destroyed)?;
        map.serialize_entry("frozen", &self.frozen)?;
        map.serialize_entry("waiting_max", &self.peaks.waiting)?;
        map.serialize_entry("waited_for", &self.waited_for)?;
        map.serialize_entry("wait_ms", &self.waits)?;
        map.serialize_entry("response_ms", &self.responses)?;
        map.serialize_entry("memory_max_mb", &self.peaks.memory_mb)?;
        map.serialize_entry("span_s", &rounded(self.span.as_secs_f64()))?;
        map.serialize_entry("steps", &self.steps)?;
        map.end()
    }
}

/// Three digits after the point.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// Durations in bounded room: exact below 256 µs, to 0.4 % above.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Percentiles {
    buckets: Vec<u64>,
    count: u64,
    sum_us: u128,
    min_us: u64,
    max_us: u64,
}

/// Buckets per doubling.
const FINENESS: u32 = 8;

impl Percentiles {
    /// One more.
    pub fn add(&mut self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let at = bucket(us);
        if self.buckets.len() <= at {
            self.buckets.resize(at + 1, 0);
        }
        self.buckets[at] += 1;
        self.min_us = if self.count == 0 { us } else { self.min_us.min(us) };
        self.max_us = self.max_us.max(us);
        self.count += 1;
        self.sum_us += u128::from(us);
    }

    /// The value that so many thousandths do not exceed; zero of nothing.
    #[must_use]
    pub fn permille(&self, permille: u64) -> Duration {
        let rank = (u128::from(self.count) * u128::from(permille)).div_ceil(1_000).max(1);
        let mut seen = 0_u128;
        for (at, count) in self.buckets.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= rank {
                return Duration::from_micros(highest(at).clamp(self.min_us, self.max_us));
            }
        }
        Duration::ZERO
    }

    /// The mean; zero of nothing.
    #[must_use]
    pub fn mean(&self) -> Duration {
        let mean = self.sum_us.checked_div(u128::from(self.count)).unwrap_or(0);
        Duration::from_micros(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// The longest; zero of nothing.
    #[must_use]
    pub const fn max(&self) -> Duration {
        Duration::from_micros(self.max_us)
    }
}

fn bucket(us: u64) -> usize {
    let shift = (u64::BITS - us.leading_zeros()).saturating_sub(FINENESS + 1);
    (usize::try_from(shift).unwrap_or(0) << FINENESS) + usize::try_from(us >> shift).unwrap_or(0)
}

/// The highest value of a bucket.
fn highest(at: usize) -> u64 {
    let (at, step) = (at as u64, 1_u64 << FINENESS);
    if at < 2 * step {
        return at;
    }
    let shift = at / step - 1;
    let mantissa = at - (shift << FINENESS);
    (mantissa << shift) + ((1 << shift) - 1)
}

impl Serialize for Percentiles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ms = |duration: Duration| duration.as_micros() as f64 / 1e3;
        let mut map = serializer.serialize_map(Some(5))?;
        map.serialize_entry("mean", &ms(self.mean()))?;
        map.serialize_entry("p50", &ms(self.permille(500)))?;
        map.serialize_entry("p90", &ms(self.permille(900)))?;
        map.serialize_entry("p99", &ms(self.permille(990)))?;
        map.serialize_entry("max", &ms(self.max()))?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bucket_holds_what_is_near_its_highest_value(us: u64) {
            let us = us >> 1;
            let top = highest(bucket(us));
            prop_assert!(top >= us);
            prop_assert!((top - us) as f64 <= us as f64 / 250.0);
            prop_assert_eq!(bucket(top), bucket(us));
        }
    }

    #[test]
    fn percentiles_are_those_of_the_values() {
        let mut percentiles = Percentiles::default();
        assert_eq!((percentiles.permille(500), percentiles.mean()), (Duration::ZERO, Duration::ZERO));
        for us in 1..=100 {
            percentiles.add(Duration::from_micros(us));
        }
        let of = |permille| percentiles.permille(permille).as_micros();
        assert_eq!((of(500), of(900), of(990), of(1_000)), (50, 90, 99, 100));
        assert_eq!(percentiles.mean(), Duration::from_micros(50));
        let mut constant = Percentiles::default();
        constant.add(Duration::from_millis(500));
        assert_eq!(serde_json::to_value(&constant).unwrap()["p50"], 500.0);
    }
}
