//! The series of concurrency, under CloudWatch's names and with their meanings: by function, and for what is provisioned.
//!
//! What an environment or the scheduler's driver sees is counted as it happens; what only the scheduler knows is read
//! when somebody asks for the metrics. Which label a function has is decided in `metrics`.

use prometheus::core::Collector;
use prometheus::{GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec};
use prometheus::{Opts, Registry, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// Configurations that have series of their own.
const CONFIGURATIONS_MAX: usize = 2000;
/// Coarse, for each function has them.
const DURATION_BUCKETS: [f64; 6] = [0.005, 0.025, 0.1, 0.5, 2.5, 15.0];
const FUNCTION: [&str; 1] = ["function"];
const CONFIGURATION: [&str; 2] = ["function", "qualifier"];

/// Figures of one provisioned-concurrency configuration, read from the scheduler.
pub(crate) struct Provisioned {
    /// The function.
    pub(crate) function: String,
    /// Version or alias.
    pub(crate) qualifier: String,
    /// Environments that are ready.
    pub(crate) allocated: u32,
    /// All that have come up, those of parts that are not wanted any more included.
    pub(crate) serving: u32,
    /// Of them, those that run an invocation.
    pub(crate) running: u32,
}

/// See the module.
pub(crate) struct Concurrency {
    durations: HistogramVec,
    all: IntGauge,
    running: IntGaugeVec,
    /// Labels whose `running` is not 0.
    busy: Mutex<BTreeSet<String>>,
    invocations: IntCounterVec,
    spilled_over: IntCounterVec,
    provisioned_running: IntGaugeVec,
    allocated: IntGaugeVec,
    utilization: GaugeVec,
    unreserved: IntGauge,
}

impl Concurrency {
    /// Makes and registers the series.
    pub(super) fn register(registry: &Registry) -> Result<Self> {
        let durations = HistogramOpts::new(
            "hearth_function_duration_seconds",
            "CloudWatch's Duration: handler time of a function's invocations.",
        );
        let all = Opts::new(
            "hearth_concurrent_executions",
            "CloudWatch's ConcurrentExecutions of the account: invocations in flight, waiting ones included.",
        );
        let running = Opts::new(
            "hearth_function_concurrent_executions",
            "CloudWatch's ConcurrentExecutions of a function: its invocations in flight, waiting ones included.",
        );
        let invocations = Opts::new(
            "hearth_provisioned_concurrency_invocations_total",
            "CloudWatch's ProvisionedConcurrencyInvocations: invocations that ran in provisioned environments.",
        );
        let spilled_over = Opts::new(
            "hearth_provisioned_concurrency_spillover_invocations_total",
            "CloudWatch's ProvisionedConcurrencySpilloverInvocations: invocations that ran on demand because all provisioned \
             environments were in use.",
        );
        let provisioned_running = Opts::new(
            "hearth_provisioned_concurrent_executions",
            "CloudWatch's ProvisionedConcurrentExecutions: provisioned environments that run an invocation.",
        );
        let allocated = Opts::new(
            "hearth_provisioned_concurrency_allocated",
            "Provisioned environments that are ready: AllocatedProvisionedConcurrentExecutions.",
        );
        let utilization = Opts::new(
            "hearth_provisioned_concurrency_utilization",
            "CloudWatch's ProvisionedConcurrencyUtilization: share of the allocated environments that runs an invocation.",
        );
        let unreserved = Opts::new(
            "hearth_unreserved_concurrent_executions",
            "CloudWatch's UnreservedConcurrentExecutions: invocations in flight of functions without reserved concurrency.",
        );
        let durations = HistogramVec::new(durations.buckets(DURATION_BUCKETS.to_vec()), &FUNCTION)?;
        Ok(Self {
            durations: kept(registry, durations)?,
            all: kept(registry, IntGauge::with_opts(all)?)?,
            running: kept(registry, IntGaugeVec::new(running, &FUNCTION)?)?,
            busy: Mutex::default(),
            invocations: kept(registry, IntCounterVec::new(invocations, &FUNCTION)?)?,
            spilled_over: kept(registry, IntCounterVec::new(spilled_over, &FUNCTION)?)?,
            provisioned_running: kept(registry, IntGaugeVec::new(provisioned_running, &CONFIGURATION)?)?,
            allocated: kept(registry, IntGaugeVec::new(allocated, &CONFIGURATION)?)?,
            utilization: kept(registry, GaugeVec::new(utilization, &CONFIGURATION)?)?,
            unreserved: kept(registry, IntGauge::with_opts(unreserved)?)?,
        })
    }

    /// Handler times of the function with this label; its invocations in flight are shown from now on, too.
    pub(super) fn of_function(&self, label: &str) -> Histogram {
        self.running.with_label_values(&[label]);
        self.durations.with_label_values(&[label])
    }

    /// What is in flight: in all, of functions without a reservation, and by label; several functions may have one.
    pub(super) fn in_flight<'a>(
        &self,
        all: u32,
        unreserved: u32,
        labels: impl Iterator<Item = (&'a str, u32)>,
    ) {
        self.all.set(i64::from(all));
        self.unreserved.set(i64::from(unreserved));
        let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
        for (label, running) in labels {
            *sums.entry(label).or_default() += i64::from(running);
        }
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        for label in busy.iter().filter(|label| !sums.contains_key(label.as_str())) {
            self.running.with_label_values(&[label]).set(0);
        }
        *busy = sums.keys().map(|label| (*label).to_owned()).collect();
        for (label, running) in sums {
            self.running.with_label_values(&[label]).set(running);
        }
    }

    /// The function with this label was deleted.
    pub(super) fn forget(&self, label: &str) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(label);
        self.durations.remove_label_values(&[label]).ok();
        self.running.remove_label_values(&[label]).ok();
        self.invocations.remove_label_values(&[label]).ok();
        self.spilled_over.remove_label_values(&[label]).ok();
    }

    /// Counts an invocation that was given a provisioned environment.
    pub(super) fn provisioned(&self, label: &str) {
        self.invocations.with_label_values(&[label]).inc();
    }

    /// Counts an invocation that found none of them free.
    pub(super) fn spilled_over(&self, label: &str) {
        self.spilled_over.with_label_values(&[label]).inc();
    }

    /// What the scheduler knows; series of configurations that are gone go with them.
    pub(crate) fn read(&self, provisioned: &[Provisioned]) {
        self.provisioned_running.reset();
        self.allocated.reset();
        self.utilization.reset();
        for one in provisioned.iter().take(CONFIGURATIONS_MAX) {
            let labels = [one.function.as_str(), one.qualifier.as_str()];
            self.provisioned_running.with_label_values(&labels).set(i64::from(one.running));
            self.allocated.with_label_values(&labels).set(i64::from(one.allocated));
            // What runs counts until it has ended, also where its environment is not wanted any more.
            let share = f64::from(one.running) / f64::from(one.serving.max(1));
            self.utilization.with_label_values(&labels).set(share);
        }
    }
}

fn kept<T: Collector + Clone + 'static>(registry: &Registry, series: T) -> Result<T> {
    registry.register(Box::new(series.clone()))?;
    Ok(series)
}
