//! The series that count decisions by their reasons: starts, waits, ends of environments.
//!
//! Every label comes from an enum, so each series is made at the start and counting one costs an addition. Throttles are
//! counted by function as well, in `metrics`.

use super::decisions::{start_word, waited_word};
use hearth_logic::Exceeded;
use hearth_logic::scheduler::{Decision, StartType, WaitedFor, Why};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

const WAIT_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0];
const STARTS: [StartType; 3] = [StartType::Warm, StartType::Cold, StartType::Provisioned];
const WAITS: [WaitedFor; 4] =
    [WaitedFor::Initialization, WaitedFor::Starts, WaitedFor::Capacity, WaitedFor::RequestRate];
const ENDS: [Why; 8] = [
    Why::IdleTimeout,
    Why::Evicted,
    Why::Retired,
    Why::Recycled,
    Why::Spent,
    Why::Died,
    Why::Unreachable,
    Why::Draining,
];

const RATES: [Exceeded; 2] = [Exceeded::Scaling, Exceeded::Requests];

/// See the module.
pub(crate) struct Reasons {
    starts: [IntCounter; STARTS.len()],
    waits: [Histogram; WAITS.len()],
    ends: IntCounterVec,
    rates: [IntCounter; RATES.len()],
}

impl Reasons {
    /// Makes and registers the series.
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let starts = IntCounterVec::new(
            Opts::new(
                "hearth_starts_total",
                "Invocations that came to an environment, by what they found: an idle one (warm), one made for them (cold), \
                 one of the provisioned concurrency.",
            ),
            &["start"],
        )?;
        let waits = HistogramVec::new(
            HistogramOpts::new(
                "hearth_wait_seconds",
                "How long invocations waited that had to, by what they waited for last.",
            )
            .buckets(WAIT_BUCKETS.to_vec()),
            &["waited_for"],
        )?;
        let ends = IntCounterVec::new(
            Opts::new("hearth_environments_ended_total", "Environments that were destroyed, by why."),
            &["why"],
        )?;
        let rates = IntCounterVec::new(
            Opts::new(
                "hearth_rate_throttles_total",
                "Of the throttles, those by a rate: of adding environments (scaling), of requests for each unit of \
                 concurrency (requests). Their reasons, which are Lambda's, do not tell.",
            ),
            &["rate"],
        )?;
        registry.register(Box::new(rates.clone()))?;
        registry.register(Box::new(starts.clone()))?;
        registry.register(Box::new(waits.clone()))?;
        registry.register(Box::new(ends.clone()))?;
        for why in ENDS {
            ends.with_label_values(&[why.as_str()]);
        }
        Ok(Self {
            starts: STARTS.map(|start| starts.with_label_values(&[start_word(start)])),
            waits: WAITS.map(|wait| waits.with_label_values(&[waited_word(wait)])),
            ends,
            rates: RATES.map(|rate| rates.with_label_values(&[rate.as_str()])),
        })
    }

    /// Counts an invocation that comes to an environment.
    pub(super) fn assigned(&self, decision: &Decision) {
        if let Some(at) = STARTS.iter().position(|start| *start == decision.start) {
            self.starts[at].inc();
        }
        if let Some(at) = WAITS.iter().position(|wait| decision.waited_for == Some(*wait)) {
            self.waits[at].observe(decision.waited.as_secs_f64());
        }
    }

    /// Counts a refusal by a rate.
    pub(super) fn too_fast(&self, exceeded: Exceeded) {
        if let Some(at) = RATES.iter().position(|rate| *rate == exceeded) {
            self.rates[at].inc();
        }
    }

    /// Counts an environment that is to go.
    pub(super) fn ends(&self, why: Why) {
        self.ends.with_label_values(&[why.as_str()]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::TextEncoder;
    use std::time::Duration;

    #[test]
    fn decisions_are_counted_under_their_reasons() {
        let registry = Registry::new();
        let reasons = Reasons::register(&registry).expect("registers");
        let waited = Duration::from_millis(30);
        reasons.assigned(&Decision {
            start: StartType::Cold,
            spilled_over: true,
            waited,
            waited_for: Some(WaitedFor::Capacity),
            evicted: Vec::new(),
        });
        reasons.ends(Why::Evicted);
        reasons.too_fast(Exceeded::Requests);
        let text = TextEncoder::new().encode_to_string(&registry.gather()).expect("renders");
        for line in [
            "hearth_starts_total{start=\"cold\"} 1",
            "hearth_starts_total{start=\"warm\"} 0",
            "hearth_wait_seconds_count{waited_for=\"capacity\"} 1",
            "hearth_wait_seconds_count{waited_for=\"initialization\"} 0",
            "hearth_environments_ended_total{why=\"evicted\"} 1",
            "hearth_environments_ended_total{why=\"idle-timeout\"} 0",
            "hearth_rate_throttles_total{rate=\"requests\"} 1",
            "hearth_rate_throttles_total{rate=\"scaling\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
