//! The Prometheus series of this daemon. One registry, made once; everything else gets a handle.

use super::reasons::Reasons;
use hearth_api::operations::{Row, TABLE};
use http::StatusCode;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use std::sync::OnceLock;
use std::time::Duration;

/// Functions with series of their own; the invocations of further ones are counted under `function="other"`, so that
/// no client can make the registry grow without bound.
const FUNCTIONS_MAX: usize = 2000;
const PROVISIONED_LABELS: [&str; 2] = ["function", "qualifier"];
const OTHER: &str = "other";
/// Coarse, for each function has them.
const FUNCTION_DURATION_BUCKETS: [f64; 6] = [0.005, 0.025, 0.1, 0.5, 2.5, 15.0];
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
    function_duration: HistogramVec,
    function_concurrent: IntGaugeVec,
    provisioned_invocations: IntCounterVec,
    spilled_over: IntCounterVec,
    provisioned_running: IntGaugeVec,
    provisioned_allocated: IntGaugeVec,
    provisioned_utilization: GaugeVec,
    /// Invocations in flight of functions without reserved concurrency.
    unreserved: IntGauge,
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
    /// Invocations in flight.
    pub(crate) concurrent: IntGauge,
    /// Log events that were not stored.
    pub(crate) log_events_dropped: IntCounter,
    /// Times another program changed the firewall rules of network class `nat`.
    pub(crate) firewall_changes: IntCounter,
    /// Sandboxes that could not be made.
    pub(crate) launch_failures: IntCounter,
    /// Decisions by their reasons.
    pub(super) reasons: Reasons,
}

/// What is counted for each invocation of one function.
pub(crate) struct Series {
    invocations: IntCounter,
    errors: IntCounter,
    duration: Histogram,
    concurrent: IntGauge,
}

/// Figures of one provisioned-concurrency configuration, read from the scheduler.
pub(crate) struct Provisioned {
    /// The function.
    pub(crate) function: String,
    /// Version or alias.
    pub(crate) qualifier: String,
    /// Environments that are ready.
    pub(crate) allocated: u32,
    /// Of them, those that run an invocation.
    pub(crate) running: u32,
}

impl Series {
    /// An invocation begins to run.
    pub(crate) fn begin(&self) {
        self.concurrent.inc();
    }

    /// One is over, or was given back without having run.
    pub(crate) fn end(&self, duration: Option<Duration>) {
        self.concurrent.dec();
        if let Some(duration) = duration {
            self.duration.observe(duration.as_secs_f64());
        }
    }

    /// Counts an invocation that ran.
    pub(crate) fn count(&self, failed: bool) {
        self.invocations.inc();
        if failed {
            self.errors.inc();
        }
    }
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
        let labelled = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntGaugeVec> {
            let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let function_duration = HistogramVec::new(
            HistogramOpts::new(
                "hearth_function_duration_seconds",
                "CloudWatch's Duration: handler time of a function's invocations.",
            )
            .buckets(FUNCTION_DURATION_BUCKETS.to_vec()),
            &["function"],
        )?;
        registry.register(Box::new(function_duration.clone()))?;
        let provisioned_utilization = GaugeVec::new(
            Opts::new(
                "hearth_provisioned_concurrency_utilization",
                "CloudWatch's ProvisionedConcurrencyUtilization: share of the allocated environments that runs an invocation.",
            ),
            &PROVISIONED_LABELS,
        )?;
        registry.register(Box::new(provisioned_utilization.clone()))?;
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
            function_duration,
            function_concurrent: labelled(
                "hearth_function_concurrent_executions",
                "CloudWatch's ConcurrentExecutions of a function: its invocations in flight.",
                &["function"],
            )?,
            provisioned_invocations: counters(
                "hearth_provisioned_concurrency_invocations_total",
                "CloudWatch's ProvisionedConcurrencyInvocations: invocations that ran in provisioned environments.",
                &["function"],
            )?,
            spilled_over: counters(
                "hearth_provisioned_concurrency_spillover_invocations_total",
                "CloudWatch's ProvisionedConcurrencySpilloverInvocations: invocations that ran on demand because all provisioned environments were in use.",
                &["function"],
            )?,
            provisioned_running: labelled(
                "hearth_provisioned_concurrent_executions",
                "CloudWatch's ProvisionedConcurrentExecutions: provisioned environments that run an invocation.",
                &PROVISIONED_LABELS,
            )?,
            provisioned_allocated: labelled(
                "hearth_provisioned_concurrency_allocated",
                "Provisioned environments that are ready: AllocatedProvisionedConcurrentExecutions.",
                &PROVISIONED_LABELS,
            )?,
            provisioned_utilization,
            unreserved: gauge(
                "hearth_unreserved_concurrent_executions",
                "CloudWatch's UnreservedConcurrentExecutions: invocations in flight of functions without reserved concurrency, beyond what is provisioned.",
            )?,
            duration: histogram("hearth_duration_seconds", "Handler time of invocations.")?,
            init_duration: histogram("hearth_init_duration_seconds", "Init time of environments.")?,
            requests: counters("hearth_requests_total", "Control API requests.", &["operation", "status"])?,
            environments: gauge("hearth_environments", "Environments that exist.")?,
            memory: gauge(
                "hearth_environments_memory_bytes",
                "Memory that all sandboxes use, without files that the kernel can drop.",
            )?,
            memory_stalled: gauge(
                "hearth_memory_stalled",
                "1 while tasks of this machine stall for want of memory, and no environment is started.",
            )?,
            frozen: gauge("hearth_environments_frozen", "Idle environments that are frozen.")?,
            concurrent: gauge(
                "hearth_concurrent_executions",
                "CloudWatch's ConcurrentExecutions of the account: invocations in flight.",
            )?,
            log_events_dropped: counter(
                "hearth_log_events_dropped_total",
                "Log events that were not stored.",
            )?,
            firewall_changes: counter(
                "hearth_firewall_changes_total",
                "Times another program changed the firewall rules of network class nat.",
            )?,
            launch_failures: counter("hearth_launch_failures_total", "Sandboxes that could not be made.")?,
            reasons: Reasons::register(&registry)?,
            registry,
        })
    }

    /// The label under which a function is counted.
    fn label<'a>(&self, function: &'a str) -> &'a str {
        if self.named.read().is_ok_and(|named| named.contains(function)) {
            return function;
        }
        let Ok(mut named) = self.named.write() else { return OTHER };
        if named.len() >= FUNCTIONS_MAX {
            return OTHER;
        }
        named.insert(function.to_owned());
        function
    }

    /// The series of a function's invocations, looked up once per environment.
    pub(crate) fn series(&self, function: &str) -> Series {
        let label = self.label(function);
        Series {
            invocations: self.invocations.with_label_values(&[label]),
            errors: self.errors.with_label_values(&[label]),
            duration: self.function_duration.with_label_values(&[label]),
            concurrent: self.function_concurrent.with_label_values(&[label]),
        }
    }

    /// Counts an invocation that was given a provisioned environment.
    pub(crate) fn provisioned(&self, function: &str) {
        self.provisioned_invocations.with_label_values(&[self.label(function)]).inc();
    }

    /// Counts an invocation that found none of them free.
    pub(crate) fn spilled_over(&self, function: &str) {
        self.spilled_over.with_label_values(&[self.label(function)]).inc();
    }

    /// What the scheduler knows about concurrency; series of configurations that are gone go with them.
    pub(crate) fn concurrency(&self, unreserved: u32, provisioned: &[Provisioned]) {
        self.unreserved.set(i64::from(unreserved));
        self.provisioned_running.reset();
        self.provisioned_allocated.reset();
        self.provisioned_utilization.reset();
        for one in provisioned.iter().take(FUNCTIONS_MAX) {
            let labels = [one.function.as_str(), one.qualifier.as_str()];
            self.provisioned_running.with_label_values(&labels).set(i64::from(one.running));
            self.provisioned_allocated.with_label_values(&labels).set(i64::from(one.allocated));
            let share = f64::from(one.running) / f64::from(one.allocated.max(1));
            self.provisioned_utilization.with_label_values(&labels).set(share);
        }
    }

    /// Counts an invocation that was refused.
    pub(crate) fn throttle(&self, function: &str, reason: &str) {
        self.throttles.with_label_values(&[self.label(function), reason]).inc();
    }

    /// Counts an environment that was started.
    pub(crate) fn cold_start(&self, function: &str) {
        self.cold_starts.with_label_values(&[self.label(function)]).inc();
    }

    /// Counts a package that was deployed without a signature, against the wish of its code signing configuration.
    pub(crate) fn signature_failure(&self, function: &str) {
        self.signature_failures.with_label_values(&[self.label(function)]).inc();
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
