//! What is counted while a simulation or a replay runs, in memory that what is in flight bounds.
//!
//! Reads the scheduler's actions and books; it never influences them.

use super::figures::{Figures, FunctionFigures, Peaks, Percentiles, Shares};
use super::recent::Recent;
use crate::admission::Reason;
use crate::exchange::{Detail, StartType, WaitedFor};
use crate::scheduler::{Action, Scheduler, Why};
use crate::{EnvironmentId, FunctionId, InvocationId, Time};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    function: FunctionId,
    arrived: Time,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    flights: BTreeMap<InvocationId, Flight>,
    /// When the last call came.
    now: Time,
    /// Those that were refused and may come again: why, and since when they wait.
    refused: Recent<(Reason, Time)>,
    /// Environments that are not being destroyed.
    environments: BTreeMap<EnvironmentId, FunctionId>,
    functions: BTreeMap<FunctionId, FunctionTally>,
    counts: Counts,
    throttles: BTreeMap<Reason, u64>,
    failures: BTreeMap<&'static str, u64>,
    destroyed: BTreeMap<Why, u64>,
    waited_for: BTreeMap<WaitedFor, u64>,
    waits: Percentiles,
    responses: Percentiles,
    peaks: Peaks,
    areas: Areas,
}

#[derive(Debug, Default)]
struct Counts {
    invocations: u64,
    completed: u64,
    cold: u64,
    warm: u64,
    provisioned: u64,
    spilled_over: u64,
    environments: u64,
    frozen: u64,
}

#[derive(Debug, Default)]
struct FunctionTally {
    invocations: u64,
    cold_starts: u64,
    throttled: u64,
    running: u32,
    environments: u32,
    concurrency_max: u32,
    environments_max: u32,
}

/// Sums of a level over time, in units of nanoseconds, for means.
#[derive(Debug, Default)]
struct Areas {
    since: Time,
    level_concurrency: u32,
    level_environments: u64,
    concurrency: u128,
    environments: u128,
}

impl Tally {
    /// Means count from now on.
    pub(super) fn begin(&mut self, now: Time) {
        let Areas { level_concurrency, level_environments, .. } = self.areas;
        self.areas = Areas { since: now, level_concurrency, level_environments, ..Areas::default() };
    }

    pub(super) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    pub(super) fn offered(&mut self, now: Time, invocation: InvocationId, function: FunctionId) {
        self.now = now;
        let again = self.refused.take(invocation);
        let arrived = again.map_or(now, |(_, arrived)| arrived);
        self.flights.insert(invocation, Flight { function, arrived });
        let tally = self.functions.entry(function).or_default();
        tally.running += 1;
        match again {
            None => {
                self.counts.invocations += 1;
                tally.invocations += 1;
            }
            // It was held back and not throttled.
            Some((reason, _)) => {
                tally.throttled = tally.throttled.saturating_sub(1);
                if let Some(n) = self.throttles.get_mut(&reason) {
                    *n = n.saturating_sub(1);
                }
            }
        }
        // Whoever is refused was never in flight: its refusal takes this back before anybody looks.
    }

    pub(super) fn released(&mut self, now: Time, invocation: InvocationId) {
        if let Some(flight) = self.land(invocation) {
            self.counts.completed += 1;
            self.responses.add(now.since(flight.arrived));
        }
    }

    /// Forgets an invocation that is over or that nobody waits for any more.
    pub(super) fn land(&mut self, invocation: InvocationId) -> Option<Flight> {
        let flight = self.flights.remove(&invocation)?;
        if let Some(tally) = self.functions.get_mut(&flight.function) {
            tally.running -= 1;
        }
        Some(flight)
    }

    /// An environment ended, or is about to.
    pub(super) fn gone(&mut self, environment: EnvironmentId) {
        if let Some(function) = self.environments.remove(&environment)
            && let Some(tally) = self.functions.get_mut(&function)
        {
            tally.environments -= 1;
        }
    }

    pub(super) fn acted(&mut self, action: &Action) {
        match action {
            Action::Assign { invocation, decision, .. } => {
                let function = self.flights.get(invocation).map(|flight| flight.function);
                let tally = function.and_then(|function| self.functions.get_mut(&function));
                match decision.start {
                    StartType::Cold => {
                        self.counts.cold += 1;
                        if let Some(tally) = tally {
                            tally.cold_starts += 1;
                        }
                    }
                    StartType::Warm => self.counts.warm += 1,
                    StartType::Provisioned => self.counts.provisioned += 1,
                }
                self.counts.spilled_over += u64::from(decision.spilled_over);
                self.waits.add(decision.waited);
                if let Some(what) = decision.waited_for {
                    *self.waited_for.entry(what).or_default() += 1;
                }
            }
            Action::Start { environment, function, .. } => {
                self.counts.environments += 1;
                self.environments.insert(*environment, *function);
                let tally = self.functions.entry(*function).or_default();
                tally.environments += 1;
                tally.environments_max = tally.environments_max.max(tally.environments);
            }
            Action::Refuse { invocation, reason, .. } => {
                *self.throttles.entry(*reason).or_default() += 1;
                if let Some(flight) = self.land(*invocation) {
                    self.refused.keep(self.now, *invocation, (*reason, flight.arrived));
                    if let Some(tally) = self.functions.get_mut(&flight.function) {
                        tally.throttled += 1;
                    }
                }
            }
            Action::Fail { invocation, detail } => {
                *self.failures.entry(failure(detail)).or_default() += 1;
                self.land(*invocation);
            }
            Action::Destroy { environment, why } => {
                *self.destroyed.entry(*why).or_default() += 1;
                self.gone(*environment);
            }
            Action::Freeze { .. } => self.counts.frozen += 1,
            Action::Drained => {}
        }
    }

    /// Notes the levels after a step.
    pub(super) fn look(&mut self, now: Time, scheduler: &Scheduler, offered: Option<FunctionId>) {
        let census = scheduler.census();
        let running = scheduler.admission().running();
        let areas = &mut self.areas;
        let passed = now.since(areas.since).as_nanos();
        areas.concurrency += passed * u128::from(areas.level_concurrency);
        areas.environments += passed * u128::from(areas.level_environments);
        areas.since = now;
        (areas.level_concurrency, areas.level_environments) = (running, self.environments.len() as u64);
        let peaks = &mut self.peaks;
        peaks.concurrency = peaks.concurrency.max(running);
        peaks.environments = peaks.environments.max(self.environments.len() as u64);
        peaks.waiting = peaks.waiting.max(census.waiting as u64);
        peaks.memory_mb = peaks.memory_mb.max(census.committed_mb);
        if let Some(tally) = offered.and_then(|function| self.functions.get_mut(&function)) {
            tally.concurrency_max = tally.concurrency_max.max(tally.running);
        }
    }

    pub(super) fn figures(self, begin: Time, end: Time, steps: u64) -> Figures {
        let span = end.since(begin);
        let mean = |area: u128| if span.is_zero() { 0.0 } else { area as f64 / span.as_nanos() as f64 };
        let means =
            Shares { concurrency: mean(self.areas.concurrency), environments: mean(self.areas.environments) };
        let functions = self.functions.into_iter().map(|(id, tally)| (id, tally.figures())).collect();
        let names = |map: BTreeMap<WaitedFor, u64>| {
            map.into_iter().map(|(what, n)| (waited_for(what), n)).collect::<BTreeMap<_, _>>()
        };
        let Counts { invocations, completed, cold, warm, provisioned, spilled_over, environments, frozen } =
            self.counts;
        Figures {
            span,
            steps,
            invocations,
            completed,
            cold_starts: cold,
            warm_starts: warm,
            provisioned_starts: provisioned,
            spilled_over,
            throttles: self
                .throttles
                .into_iter()
                .filter(|(_, n)| *n > 0)
                .map(|(reason, n)| (reason.as_str(), n))
                .collect(),
            failures: self.failures,
            environments_started: environments,
            destroyed: self.destroyed.into_iter().map(|(why, n)| (why.as_str(), n)).collect(),
            frozen,
            waited_for: names(self.waited_for),
            waits: self.waits,
            responses: self.responses,
            peaks: self.peaks,
            means,
            functions,
        }
    }
}

impl FunctionTally {
    const fn figures(&self) -> FunctionFigures {
        FunctionFigures {
            invocations: self.invocations,
            cold_starts: self.cold_starts,
            throttled: self.throttled,
            concurrency_max: self.concurrency_max,
            environments_max: self.environments_max,
        }
    }
}

const fn failure(detail: &Detail) -> &'static str {
    match detail {
        Detail::StartFailed(_) => "start-failed",
        Detail::Died => "died",
        Detail::NotTaken => "not-taken",
    }
}

const fn waited_for(what: WaitedFor) -> &'static str {
    match what {
        WaitedFor::Initialization => "initialization",
        WaitedFor::Starts => "starts",
        WaitedFor::Capacity => "capacity",
        WaitedFor::RequestRate => "request-rate",
    }
}
