//! The Prometheus series of this daemon. One registry, made once; everything else gets a handle.

use super::concurrency::Concurrency;
use super::reasons::Reasons;
use super::revision::Revision;
use hearth_api::operations::{Row, TABLE};
use hearth_logic::admission::Reason;
use http::StatusCode;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};
use std::sync::OnceLock;
use std::time::Duration;

/// Functions with series of their own; the invocations of further ones are counted under `function="other"`, so that
/// no client can make the registry grow without bound.
const FUNCTIONS_MAX: usize = 2000;
const OTHER: &str = "other";
const DURATION_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0, 900.0];

/// All series.
pub(crate) struct Metrics {
    registry: Registry,
    /// Functions that have series of their own.
    named: std::sync::RwLock<std::collections::BTreeSet<String>>,
    invocations: IntCounterVec,
    errors: IntCounterVec,
    throttles: IntCounterVec,
    cold_starts: IntCounterVec,
    signature_failures: IntCounterVec,
    /// Handler time of finished invocations, seconds.
    pub(crate) duration: Histogram,
    /// Init time of cold starts, seconds.
    pub(crate) init_duration: Histogram,
    requests: IntCounterVec,
    /// Those of `requests` that were answered with 200, by operation: looked up once.
    answered: Vec<OnceLock<IntCounter>>,
    /// Environments that exist.
    pub(crate) environments: IntGauge,
    /// Memory that they use, bytes.
    pub(crate) memory: IntGauge,
    /// Whether tasks of this machine stall for want of memory.
    pub(crate) memory_stalled: IntGauge,
    /// Of them, those that stand still.
    pub(crate) frozen: IntGauge,
    /// Log events that were not stored.
    pub(crate) log_events_dropped: IntCounter,
    /// Times another program changed the firewall rules of network class `nat`.
    pub(crate) firewall_changes: IntCounter,
    /// Sandboxes that could not be made.
    pub(crate) launch_failures: IntCounter,
    /// Decisions by their reasons.
    pub(super) reasons: Reasons,
    /// By function, and what is provisioned.
    pub(crate) concurrency: Concurrency,
}

/// What is counted for each invocation of one function.
pub(crate) struct Series {
    invocations: IntCounter,
    errors: IntCounter,
    duration: Histogram,
}

impl Series {
    /// An invocation is over.
    pub(crate) fn end(&self, duration: Duration) {
        self.duration.observe(duration.as_secs_f64());
    }

    /// Counts an invocation that ran.
    pub(crate) fn count(&self, failed: bool) {
        self.invocations.inc();
        if failed {
            self.errors.inc();
        }
    }
}

/// Permits that are out.
pub(crate) struct InFlight {
    /// All.
    pub(crate) all: u32,
    /// Those of functions without a reservation.
    pub(crate) unreserved: u32,
    /// By function, as far as they are known by name.
    pub(crate) functions: Vec<(String, u32)>,
}

impl Metrics {
    /// Makes and registers all series.
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let histogram = |name: &str, help: &str| -> prometheus::Result<Histogram> {
            let options = HistogramOpts::new(name, help).buckets(DURATION_BUCKETS.to_vec());
            let histogram = Histogram::with_opts(options)?;
            registry.register(Box::new(histogram.clone()))?;
            Ok(histogram)
        };
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        Ok(Self {
            named: std::sync::RwLock::default(),
            answered: TABLE.iter().map(|_| OnceLock::new()).collect(),
            invocations: counters(
                "hearth_invocations_total",
                "CloudWatch's Invocations: times function code ran, failures included, throttles not.",
                &["function"],
            )?,
            errors: counters(
                "hearth_errors_total",
                "CloudWatch's Errors: invocations that ended in a function error.",
                &["function"],
            )?,
            throttles: counters(
                "hearth_throttles_total",
                "CloudWatch's Throttles: invocations refused with 429, by the reason that the caller was told.",
                &["function", "reason"],
            )?,
            cold_starts: counters("hearth_cold_starts_total", "Environments started.", &["function"])?,
            signature_failures: counters(
                "hearth_signature_validation_errors_total",
                "Unsigned packages and layers deployed under a code signing configuration that only warns.",
                &["function"],
            )?,
            duration: histogram("hearth_duration_seconds", "Handler time of invocations.")?,
            init_duration: histogram("hearth_init_duration_seconds", "Init time of environments.")?,
            requests: counters("hearth_requests_total", "Control API requests.", &["operation", "status"])?,
            environments: gauge("hearth_environments", "Environments that exist.")?,
            memory: gauge("hearth_environments_memory_bytes", "Memory that all sandboxes use.")?,
            memory_stalled: gauge("hearth_memory_stalled", "1 while tasks stall for want of memory.")?,
            frozen: gauge("hearth_environments_frozen", "Idle environments that are frozen.")?,
            log_events_dropped: counter("hearth_log_events_dropped_total", "Log events not stored.")?,
            firewall_changes: counter(
                "hearth_firewall_changes_total",
                "Times another program changed the firewall rules of network class nat.",
            )?,
            launch_failures: counter("hearth_launch_failures_total", "Sandboxes that could not be made.")?,
            reasons: Reasons::register(&registry)?,
            concurrency: Concurrency::register(&registry)?,
            registry,
        })
    }

    /// The label under which a function is counted. What is not current any more adds none: nobody would take it away.
    fn label<'a>(&self, revision: &'a Revision) -> &'a str {
        self.label_of(&revision.name, !revision.is_retired())
    }

    fn label_of<'a>(&self, function: &'a str, may_add: bool) -> &'a str {
        if self.named.read().is_ok_and(|named| named.contains(function)) {
            return function;
        }
        let Ok(mut named) = self.named.write() else { return OTHER };
        if !may_add || named.len() >= FUNCTIONS_MAX {
            return OTHER;
        }
        named.insert(function.to_owned());
        function
    }

    /// The function was deleted: its series go, and another one may have its place.
    pub(crate) fn forget(&self, function: &str) {
        if !self.named.write().is_ok_and(|mut named| named.remove(function)) {
            return;
        }
        for series in [&self.invocations, &self.errors, &self.cold_starts, &self.signature_failures] {
            // One that never was counted has no series.
            series.remove_label_values(&[function]).ok();
        }
        for reason in Reason::ALL {
            self.throttles.remove_label_values(&[function, reason.as_str()]).ok();
        }
        self.concurrency.forget(function);
    }

    /// The series of a function's invocations, looked up once per environment.
    pub(crate) fn series(&self, revision: &Revision) -> Series {
        let label = self.label(revision);
        Series {
            invocations: self.invocations.with_label_values(&[label]),
            errors: self.errors.with_label_values(&[label]),
            duration: self.concurrency.of_function(label),
        }
    }

    /// Counts an invocation that was given a provisioned environment.
    pub(crate) fn provisioned(&self, revision: &Revision) {
        self.concurrency.provisioned(self.label(revision));
    }

    /// Counts an invocation that found none of them free.
    pub(crate) fn spilled_over(&self, revision: &Revision) {
        self.concurrency.spilled_over(self.label(revision));
    }

    /// Counts an invocation that was refused with 429. A daemon that ends refuses with 500 and throttles nobody.
    pub(crate) fn throttle(&self, revision: &Revision, reason: Reason) {
        if reason != Reason::ShuttingDown {
            self.throttles.with_label_values(&[self.label(revision), reason.as_str()]).inc();
        }
    }

    /// Counts an environment that was started.
    pub(crate) fn cold_start(&self, revision: &Revision) {
        self.cold_starts.with_label_values(&[self.label(revision)]).inc();
    }

    /// Counts a package that was deployed without a signature, against the wish of its code signing configuration.
    pub(crate) fn signature_failure(&self, function: &str) {
        self.signature_failures.with_label_values(&[self.label_of(function, true)]).inc();
    }

    /// Takes over what is in flight, as the scheduler's books have it.
    pub(crate) fn in_flight(&self, in_flight: &InFlight) {
        let labels = in_flight.functions.iter().map(|(function, n)| (self.label_of(function, false), *n));
        self.concurrency.in_flight(in_flight.all, in_flight.unreserved, labels);
    }

    /// Counts a control API request; the operation comes from the table, so it is bounded.
    pub(crate) fn operation(&self, row: &Row, status: StatusCode) {
        match self.answered.get(row.operation as usize).filter(|_| status == StatusCode::OK) {
            Some(kept) => {
                kept.get_or_init(|| self.requests.with_label_values(&[row.label, status.as_str()])).inc();
            }
            None => self.request(row.label, status),
        }
    }

    /// Counts a request for something else, of which there must be few.
    pub(crate) fn request(&self, label: &str, status: StatusCode) {
        self.requests.with_label_values(&[label, status.as_str()]).inc();
    }

    /// Everything in the text format.
    pub(crate) fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}
