//! What the records of a window come to, in all and function by function: counts, shares, latencies.
//!
//! Computed when somebody looks, from the records themselves: nothing is counted for it while nobody does, and percentiles
//! are exact.

use super::record::{Ending, Record, State};
use hearth_logic::Time;
use hearth_logic::scheduler::StartType;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Everything that ended within a window.
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// In all.
    pub(crate) all: Tally,
    /// By function.
    pub(crate) functions: BTreeMap<String, Tally>,
    /// When the oldest record came that was looked at.
    pub(crate) oldest: Option<Time>,
}

/// What came of some invocations.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    warm: u64,
    cold: u64,
    provisioned: u64,
    spilled_over: u64,
    errors: u64,
    /// Failures of this machine.
    failures: u64,
    throttles: BTreeMap<&'static str, u64>,
    /// From coming to end, µs, of those that ran.
    total_us: Vec<u32>,
    /// The function's own time, µs.
    duration_us: Vec<u32>,
}

impl Window {
    /// Counts the record if what it is about ended since then.
    pub(super) fn count(&mut self, record: &Record, since: Time) {
        self.oldest = Some(record.since);
        if record.end().is_none_or(|end| end < since) {
            return;
        }
        self.all.count(record);
        match self.functions.get_mut(record.function()) {
            Some(tally) => tally.count(record),
            None => self.functions.entry(record.function().to_owned()).or_default().count(record),
        }
    }
}

impl Tally {
    fn count(&mut self, record: &Record) {
        match record.state {
            State::Waiting | State::Running => return,
            State::Refused => {
                if let Some(reason) = record.throttled_by() {
                    *self.throttles.entry(reason.as_str()).or_default() += 1;
                }
                return;
            }
            State::Failed => {
                self.failures += 1;
                return;
            }
            State::Ended(ending) => {
                self.errors += u64::from(ending != Ending::Success);
                self.total_us.push(record.total_us);
                self.duration_us.push(record.duration_us);
            }
        }
        match record.start {
            Some(StartType::Cold) => self.cold += 1,
            Some(StartType::Provisioned) => self.provisioned += 1,
            Some(StartType::Warm) | None => self.warm += 1,
        }
        self.spilled_over += u64::from(record.spilled_over);
    }

    /// How many ran.
    pub(crate) fn invocations(&self) -> usize {
        self.total_us.len()
    }

    /// For programs; `seconds` is what rates are over.
    pub(crate) fn json(&mut self, seconds: f64) -> Value {
        let count = self.total_us.len() as u64;
        let share = |part: u64| if count == 0 { 0.0 } else { part as f64 / count as f64 };
        json!({
            "invocations": count,
            "per_second": if seconds > 0.0 { count as f64 / seconds } else { 0.0 },
            "warm": self.warm,
            "cold": self.cold,
            "provisioned": self.provisioned,
            "spilled_over": self.spilled_over,
            "cold_share": share(self.cold),
            "errors": self.errors,
            "failures": self.failures,
            "throttles": self.throttles,
            "latency_ms": percentiles(&mut self.total_us),
            "duration_ms": percentiles(&mut self.duration_us),
        })
    }
}

/// The nearest-rank percentiles, in milliseconds; `null` of nothing.
fn percentiles(values: &mut [u32]) -> Value {
    values.sort_unstable();
    let rank = |percent: usize| {
        let at = (values.len() * percent).div_ceil(100).max(1) - 1;
        values.get(at).map(|micros| f64::from(*micros) / 1e3)
    };
    json!({ "p50": rank(50), "p90": rank(90), "p99": rank(99) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut values: Vec<u32> = (1..=100).rev().map(|value| value * 1000).collect();
        assert_eq!(percentiles(&mut values), json!({ "p50": 50.0, "p90": 90.0, "p99": 99.0 }));
        assert_eq!(percentiles(&mut [7_000]), json!({ "p50": 7.0, "p90": 7.0, "p99": 7.0 }));
        assert_eq!(percentiles(&mut []), json!({ "p50": null, "p90": null, "p99": null }));
    }
}
