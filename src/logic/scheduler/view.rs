//! The scheduler as somebody sees it who looks on: every revision's environments by state, lines, concurrency, limits.
//!
//! Costs a walk over all environments, so it is for people who ask now and then, not for decisions. It changes nothing.

use super::{Census, Scheduler};
use crate::environment::{Environment, State};
use crate::{FunctionId, RevisionId, SchedulerLimits};
use std::collections::BTreeMap;

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The limits in force.
    pub limits: SchedulerLimits,
    /// The sums.
    pub census: Census,
    /// Concurrency in use.
    pub running: u32,
    /// What functions without a reservation share.
    pub unreserved: u32,
    /// How much of that is in use.
    pub running_unreserved: u32,
    /// Revisions that have environments or waiting invocations, in order of their ids.
    pub pools: Vec<PoolView>,
    /// Functions with a reservation or something in flight, in order of their ids.
    pub functions: Vec<FunctionView>,
}

/// One revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolView {
    /// Which.
    pub revision: RevisionId,
    /// Whose.
    pub function: FunctionId,
    /// Its environments.
    pub environments: States,
    /// Invocations that wait for one.
    pub waiting: usize,
}

/// One function's concurrency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionView {
    /// Which.
    pub function: FunctionId,
    /// In use, waiting invocations included.
    pub running: u32,
    /// Its reservation.
    pub reserved: Option<u32>,
}

/// Environments by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct States {
    /// Not serving yet.
    pub starting: usize,
    /// Without work.
    pub idle: usize,
    /// Without work, and stopped.
    pub frozen: usize,
    /// With work.
    pub busy: usize,
    /// On their way out.
    pub leaving: usize,
}

impl States {
    fn count(&mut self, environment: &Environment) {
        match environment.state {
            State::Starting { .. } => self.starting += 1,
            State::Serving if environment.is_idle() && environment.frozen => self.frozen += 1,
            State::Serving if environment.is_idle() => self.idle += 1,
            State::Serving => self.busy += 1,
            State::Leaving { .. } => self.leaving += 1,
        }
    }
}

impl Scheduler {
    /// Everything at this moment.
    #[must_use]
    pub fn view(&self) -> View {
        let mut states: BTreeMap<RevisionId, States> = BTreeMap::new();
        for (_, environment) in self.fleet().iter() {
            states.entry(environment.revision).or_default().count(environment);
        }
        let admission = self.admission();
        View {
            limits: self.limits().clone(),
            census: self.census(),
            running: admission.running(),
            unreserved: admission.unreserved(),
            running_unreserved: admission.running_unreserved(),
            pools: self
                .fleet()
                .pools()
                .map(|pool| PoolView {
                    revision: pool.revision(),
                    function: pool.function,
                    environments: states.remove(&pool.revision()).unwrap_or_default(),
                    waiting: pool.waiters().len(),
                })
                .collect(),
            functions: admission
                .functions()
                .map(|function| FunctionView {
                    function,
                    running: admission.running_of(function),
                    reserved: admission.reserved_of(function),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{Action, Event, Source};
    use crate::{InvocationId, Machine, Time};

    #[test]
    fn who_looks_on_sees_each_environment_in_its_state() {
        let mut scheduler = Scheduler::new(SchedulerLimits { starts_max: 2, ..SchedulerLimits::default() });
        let mut todo = Vec::new();
        let (function, revision) = (FunctionId(1), RevisionId(7));
        scheduler.step(
            Time::ZERO,
            Event::Function { function, reserved: Some(5), idle_timeout: None },
            &mut todo,
        );
        for number in 1..=3 {
            let offer = Event::Offer {
                invocation: InvocationId(number),
                function,
                revision,
                memory_mb: 128,
                source: Source::Synchronous,
                provisioned: None,
            };
            scheduler.step(Time::ZERO, offer, &mut todo);
        }
        let started: Vec<_> = todo
            .iter()
            .filter_map(|action| match action {
                Action::Start { environment, .. } => Some(*environment),
                _ => None,
            })
            .collect();
        assert_eq!(started.len(), 2, "two may be made at once");
        scheduler.step(Time::ZERO, Event::Ready { environment: started[0] }, &mut todo);
        let view = scheduler.view();
        assert_eq!((view.running, view.unreserved, view.running_unreserved), (3, 995, 0));
        assert_eq!(view.functions, [FunctionView { function, running: 3, reserved: Some(5) }]);
        let [pool] = view.pools[..] else { panic!("one pool: {:?}", view.pools) };
        let States { starting, idle, frozen, busy, leaving } = pool.environments;
        assert_eq!((starting, idle, busy, leaving, pool.waiting), (2, 0, 1, 0, 2), "{pool:?}");
        assert_eq!(view.census.environments, starting + idle + frozen + busy + leaving);
    }
}
