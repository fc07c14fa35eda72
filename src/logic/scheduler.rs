//! Decides which invocation runs, where and when: admission, then an environment with room, a new one, or the line.
//!
//! A waiting invocation takes whatever comes first, an environment that others free or one started for it; what is
//! started too much is kept idle. It knows nothing of initialisation, time-outs of functions, payloads or answers: the
//! environment's own machine does. What is taken at all is `offers`; how environments are started is `starts`, kept ready `provisioned`, frozen and let go
//! `idling`, and how things end `endings`.
//!
//! Long for the one conversation that it is: each event's answer, in the order of `Event`.
//!
//! Every step costs O(log n) and what it undoes; settings of functions and limits may cost a walk over what they concern.

mod endings;
mod idling;
mod offers;
mod provisioned;
mod starts;
mod view;

use offers::{Offer, at_once};

pub use crate::exchange::{
    Action, Decision, Detail, Event, Initialization, ProvisionedFailure, ProvisionedPart, ProvisionedState,
    Source, StartType, WaitedFor, Why,
};

pub use view::{FunctionView, PoolView, States, View};

use crate::admission::{Admission, Permit, Reason};
use crate::environment::{Beginning, Environment, State};
use crate::fleet::Fleet;
use crate::laws::Watch;
use crate::limits::{REQUESTS_PER_ENVIRONMENT_MAX, SchedulerLimits};
use crate::pool::Turn;
use crate::provisioned::Configuration;
use crate::scaling::Rates;
use crate::timers::Timers;
use crate::{EnvironmentId, FunctionId, InvocationId, Machine, ProvisionedId, RevisionId, Time};
use starts::Blocked;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// The environment may have been idle for long enough for something.
    Idle(EnvironmentId),
    /// The pause of a provisioned-concurrency configuration is over.
    Provision(ProvisionedId),
    /// The environment may be given something again.
    Rested(EnvironmentId),
    /// The invocation has waited for room for long enough, unless an environment is on its way to it.
    Wait(InvocationId),
    /// `Destroy` is to be said again.
    Destroy(EnvironmentId),
    /// Smaller starts may pass again by one for which there is no room.
    Pass,
    /// `Drained` is to be said again.
    Drained,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Waiting,
    Running(EnvironmentId),
}

/// An invocation with its permit.
#[derive(Debug)]
pub(crate) struct Admitted {
    permit: Permit,
    pub(crate) revision: RevisionId,
    /// By which provisioned concurrency it came.
    pub(crate) provisioned: Option<ProvisionedId>,
    /// When it arrived; its place in line, also after it was given back.
    pub(crate) turn: Turn,
    pub(crate) place: Place,
    deliveries: u32,
    /// When it was offered.
    since: Time,
}

impl Admitted {
    pub(crate) const fn permit(&self) -> &Permit {
        &self.permit
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    /// What was admitted is still run.
    Draining,
    /// Nothing is run any more.
    Stopping,
}

/// The scheduler; see [`Event`] and [`Action`] for what it hears and says.
#[derive(Debug)]
pub struct Scheduler {
    limits: SchedulerLimits,
    admission: Admission,
    rates: Rates,
    fleet: Fleet,
    invocations: BTreeMap<InvocationId, Admitted>,
    idle_timeouts: BTreeMap<FunctionId, Duration>,
    /// What held up the start that was next when the last step ended, if one was.
    held_up: Option<WaitedFor>,
    /// Who is first in line and needs more room than can be made, if somebody is.
    blocked: Option<Blocked>,
    timers: Timers<Due>,
    phase: Phase,
    drained: bool,
    /// Places in the line that were looked at.
    #[cfg(test)]
    looks: u64,
}

impl Machine for Scheduler {
    type Event = Event;
    type Action = Action;

    fn step(&mut self, now: Time, event: Event, todo: &mut Vec<Action>) {
        let watch = Watch::before(self, Some(&event));
        // A deadline of this very moment is before the event, whichever the driver noticed first.
        self.catch_up(now, todo);
        self.hear(now, event, todo);
        self.conclude(now, todo);
        watch.check(self);
    }

    fn elapse(&mut self, now: Time, todo: &mut Vec<Action>) {
        let watch = Watch::before(self, None);
        self.catch_up(now, todo);
        self.conclude(now, todo);
        watch.check(self);
    }

    fn wake_at(&self) -> Option<Time> {
        self.timers.next()
    }
}

impl Scheduler {
    /// Nothing runs, nothing waits.
    #[must_use]
    pub fn new(limits: SchedulerLimits) -> Self {
        let mut fleet = Fleet::default();
        fleet.pace = pace(&limits);
        Self {
            admission: Admission::new(limits.account_concurrency),
            rates: Rates::default(),
            limits,
            fleet,
            invocations: BTreeMap::new(),
            idle_timeouts: BTreeMap::new(),
            held_up: None,
            blocked: None,
            timers: Timers::new(),
            phase: Phase::Serving,
            drained: false,
            #[cfg(test)]
            looks: 0,
        }
    }

    /// The books of concurrency, to read.
    #[must_use]
    pub const fn admission(&self) -> &Admission {
        &self.admission
    }

    /// The limits in force.
    #[must_use]
    pub const fn limits(&self) -> &SchedulerLimits {
        &self.limits
    }

    /// True while the revision has an environment or somebody waits for one, so that `Start` may still name it.
    #[must_use]
    pub fn serves(&self, revision: RevisionId) -> bool {
        self.fleet.pool(revision).is_some()
    }

    /// True while somebody waits for an environment of the revision.
    #[must_use]
    pub fn is_awaited(&self, revision: RevisionId) -> bool {
        self.fleet.pool(revision).is_some_and(|pool| !pool.waiters().is_empty())
    }

    /// True while the invocation waits or runs.
    #[must_use]
    pub fn knows(&self, invocation: InvocationId) -> bool {
        self.invocations.contains_key(&invocation)
    }

    /// What has become of a provisioned-concurrency configuration, if it is known.
    #[must_use]
    pub fn provisioned(&self, provisioned: ProvisionedId) -> Option<ProvisionedState> {
        self.fleet.configuration(provisioned).map(Configuration::state)
    }

    /// Figures for metrics.
    #[must_use]
    pub fn census(&self) -> Census {
        Census {
            invocations: self.invocations.len(),
            waiting: self.fleet.waiting(),
            environments: self.fleet.len(),
            idle: self.fleet.idle_len(),
            launching: self.fleet.launching(),
            committed_mb: self.fleet.committed_mb(),
        }
    }

    fn catch_up(&mut self, now: Time, todo: &mut Vec<Action>) {
        while let Some(due) = self.timers.pop_due(now) {
            self.fall_due(now, due, todo);
        }
    }

    fn conclude(&mut self, now: Time, todo: &mut Vec<Action>) {
        if self.fleet.is_short_of_room(&self.limits) {
            self.fleet.tidy_idle();
        }
        self.start_wanted(now, todo);
        while let Some(function) = self.fleet.line.unneeded() {
            self.rates.return_start(now, function, self.limits.scaling);
        }
        self.wait_anew(now);
        self.say_drained(todo);
    }

    fn hear(&mut self, now: Time, event: Event, todo: &mut Vec<Action>) {
        match event {
            Event::Offer { invocation, function, revision, memory_mb, source, provisioned } => {
                let offer = Offer { invocation, function, revision, memory_mb, source, provisioned };
                if let Err(refusal) = self.offer(now, offer, todo) {
                    todo.push(at_once(invocation, refusal));
                }
            }
            Event::Launched { environment } => self.fleet.launched(environment),
            Event::Ready { environment } => {
                if self.fleet.ready(environment, now) {
                    self.employ(now, environment, None, todo);
                }
            }
            Event::StartFailed { environment, detail } => {
                self.gone(now, environment, &Detail::StartFailed(detail), todo);
            }
            Event::StartUnneeded { environment } => self.unneeded(now, environment),
            Event::Released { environment, invocation, reuse } => {
                self.released(now, environment, invocation, reuse, todo);
            }
            Event::GivenBack { environment, invocation } => {
                self.given_back(now, environment, invocation, todo)
            }
            Event::Died { environment } => self.died(now, environment, todo),
            Event::Destroyed { environment } => self.gone(now, environment, &Detail::Died, todo),
            Event::Configure { limits } => self.configure(now, limits, todo),
            Event::Function { function, reserved, idle_timeout } => {
                self.admission.reserve(function, reserved);
                match idle_timeout {
                    Some(timeout) => self.idle_timeouts.insert(function, timeout),
                    None => self.idle_timeouts.remove(&function),
                };
                self.rearm(Some(function));
            }
            Event::Provision { provisioned, function, parts } => {
                self.provision(provisioned, function, parts, todo);
            }
            Event::Pressure { measured_mb, stalled } => {
                self.fleet.feel(measured_mb, stalled);
                if let Some(environment) = self.fleet.overused(&self.limits) {
                    self.fleet.relieve();
                    self.destroy(environment, Why::Evicted, todo);
                }
            }
            Event::FunctionGone { function } => {
                self.admission.reserve(function, None);
                self.idle_timeouts.remove(&function);
                for revision in self.fleet.revisions_of(function) {
                    self.retire(revision, todo);
                }
                self.provision_nothing(function, todo);
            }
            Event::Retire { revision } => self.retire(revision, todo),
            Event::Cancel { invocation } => self.cancel(invocation),
            Event::Drain => self.drain(todo),
            Event::Stop => self.stop(now, todo),
            Event::Refused { action } => self.refused(now, action, todo),
        }
    }

    /// Who has an environment on its way waits for that, not for room. It is looked at again if it loses it: see
    /// [`Self::wait_anew`].
    fn waited_enough(&mut self, now: Time, invocation: InvocationId, todo: &mut Vec<Action>) {
        if !self.is_covered(invocation) {
            self.refuse(now, invocation, Reason::CapacityExceeded, todo);
        }
    }

    /// Those whose time was over when the start that was under way for them was lost to another, or came to nothing: they
    /// wait for room from now on.
    fn wait_anew(&mut self, now: Time) {
        while let Some((revision, turn)) = self.fleet.line.uncovered() {
            let pool = self.fleet.pool(revision).filter(|pool| pool.is_uncovered(turn));
            let Some(invocation) = pool.and_then(|pool| pool.waiters().get(&turn)).copied() else { continue };
            if !self.timers.is_set(Due::Wait(invocation)) {
                self.timers.set(Due::Wait(invocation), now.after(self.limits.wait_max));
            }
        }
    }

    /// True for one who waits and has a start under way for it.
    pub(crate) fn is_covered(&self, invocation: InvocationId) -> bool {
        let waiting = self.invocations.get(&invocation).filter(|admitted| admitted.place == Place::Waiting);
        waiting.is_some_and(|admitted| {
            self.fleet.pool(admitted.revision).is_some_and(|pool| !pool.is_uncovered(admitted.turn))
        })
    }

    /// What one who waits waits for now, as far as that is known.
    fn held_up_of(&self, invocation: InvocationId) -> Option<WaitedFor> {
        let is_covered = self.is_covered(invocation);
        if is_covered { Some(WaitedFor::Initialization) } else { self.held_up }
    }

    /// Puts an admitted invocation in its revision's line, where its turn is.
    fn wait(&mut self, now: Time, invocation: InvocationId) {
        let Some(admitted) = self.invocations.get_mut(&invocation) else { return };
        admitted.place = Place::Waiting;
        self.fleet.add_waiter(admitted.revision, admitted.provisioned, admitted.turn, invocation);
        self.timers.set(Due::Wait(invocation), now.after(self.limits.wait_max));
    }

    fn assign(
        &mut self,
        now: Time,
        environment: EnvironmentId,
        invocation: InvocationId,
        found: Found,
        todo: &mut Vec<Action>,
    ) {
        let Some(admitted) = self.invocations.get_mut(&invocation) else { return };
        admitted.place = Place::Running(environment);
        admitted.deliveries += 1;
        let Some(taken) = self.fleet.get(environment) else { return };
        taken.fetch();
        let by_qualifier = admitted.provisioned.and_then(|id| self.fleet.configuration(id));
        let start = match taken.provisioned {
            Some(_) => StartType::Provisioned,
            None if found.new => StartType::Cold,
            None => StartType::Warm,
        };
        let decision = Decision {
            start,
            spilled_over: start != StartType::Provisioned
                && by_qualifier.is_some_and(|configuration| configuration.wanted() > 0),
            waited: now.since(admitted.since),
            waited_for: found.waited_for.filter(|_| now > admitted.since),
            evicted: found.evicted,
        };
        self.fleet.occupy(environment, invocation, now);
        todo.push(Action::Assign { invocation, environment, decision });
    }

    /// Gives a serving environment the oldest waiters, or keeps it idle, or lets it go. `rested` if it comes from having had
    /// its share of a second.
    fn employ(
        &mut self,
        now: Time,
        environment: EnvironmentId,
        rested: Option<WaitedFor>,
        todo: &mut Vec<Action>,
    ) {
        while self.fleet.get(environment).is_some_and(Environment::is_open) {
            let Some(invocation) = self.fleet.next_waiter(environment) else { break };
            let found = self.found_by_waiter(environment, invocation, rested);
            self.leave_line(invocation);
            self.assign(now, environment, invocation, found, todo);
        }
        if let Some(at) = self.fleet.rested_at(environment) {
            self.timers.set(Due::Rested(environment), at);
        }
        self.keep_idle(now, environment, todo);
    }

    /// What one who stands in line finds in an environment that comes to it.
    fn found_by_waiter(
        &mut self,
        environment: EnvironmentId,
        invocation: InvocationId,
        rested: Option<WaitedFor>,
    ) -> Found {
        let held_up = self.held_up;
        let admitted = self.invocations.get(&invocation);
        let (Some(admitted), Some(found)) = (admitted, self.fleet.get_mut(environment)) else {
            return Found::default();
        };
        if found.fresh && found.provisioned.is_none() {
            let Beginning { held_up, evicted, .. } =
                found.beginning.take().map(|told| *told).unwrap_or_default();
            return Found { new: true, waited_for: held_up.or(Some(WaitedFor::Initialization)), evicted };
        }
        let (revision, turn) = (admitted.revision, admitted.turn);
        let Some(pool) = self.fleet.pool_mut(revision) else { return Found::default() };
        let uncovered = pool.is_uncovered(turn);
        let evicted = if uncovered { pool.take_evicted() } else { Vec::new() };
        let line = if uncovered { held_up } else { None };
        Found { new: false, waited_for: rested.or(line).or(Some(WaitedFor::Initialization)), evicted }
    }

    fn configure(&mut self, now: Time, limits: SchedulerLimits, todo: &mut Vec<Action>) {
        self.admission.set_account(limits.account_concurrency);
        self.fleet.pace = pace(&limits);
        let before = std::mem::replace(&mut self.limits, limits);
        for environment in self.fleet.over_limits(&self.limits) {
            self.destroy(environment, Why::Evicted, todo);
        }
        if idle_limits(&before) != idle_limits(&self.limits) {
            self.rearm(None);
        }
        if before.requests_per_environment != self.limits.requests_per_environment {
            let resting: Vec<EnvironmentId> =
                self.fleet.iter().filter(|(_, e)| e.resting).map(|(id, _)| id).collect();
            for environment in resting {
                self.fall_due(now, Due::Rested(environment), todo);
            }
        }
    }

    fn retire(&mut self, revision: RevisionId, todo: &mut Vec<Action>) {
        let Some(pool) = self.fleet.pool_mut(revision) else { return };
        pool.retired = true;
        for environment in self.fleet.idle_of(revision) {
            self.destroy(environment, Why::Retired, todo);
        }
    }

    fn cancel(&mut self, invocation: InvocationId) {
        if self.invocations.get(&invocation).is_some_and(|admitted| admitted.place == Place::Waiting) {
            self.settle(invocation);
        }
    }

    fn fall_due(&mut self, now: Time, due: Due, todo: &mut Vec<Action>) {
        match due {
            Due::Idle(environment) => self.idle_due(now, environment, todo),
            Due::Provision(provisioned) => self.pause_over(provisioned),
            Due::Rested(environment) => {
                self.timers.cancel(due);
                self.fleet.rest_over(environment, now);
                self.employ(now, environment, Some(WaitedFor::RequestRate), todo);
            }
            Due::Wait(invocation) => self.waited_enough(now, invocation, todo),
            Due::Destroy(environment) => {
                if let Some(State::Leaving { why }) = self.fleet.get(environment).map(|e| e.state) {
                    todo.push(Action::Destroy { environment, why });
                }
            }
            // The step's end begins what may begin.
            Due::Pass => {}
            Due::Drained => todo.push(Action::Drained),
        }
    }

    fn say_drained(&mut self, todo: &mut Vec<Action>) {
        let stays = self.phase == Phase::Serving || self.fleet.len() > 0 || !self.invocations.is_empty();
        if !stays && !self.drained {
            self.drained = true;
            todo.push(Action::Drained);
        }
    }

    fn destroy(&mut self, environment: EnvironmentId, why: Why, todo: &mut Vec<Action>) {
        self.disarm(environment);
        self.timers.cancel(Due::Rested(environment));
        if self.fleet.leave(environment, why) {
            todo.push(Action::Destroy { environment, why });
        }
    }

    fn refuse(&mut self, now: Time, invocation: InvocationId, reason: Reason, todo: &mut Vec<Action>) {
        let Some(since) = self.invocations.get(&invocation).map(|admitted| admitted.since) else { return };
        let waited_for = self.held_up_of(invocation).filter(|_| now > since);
        if self.settle(invocation) {
            let waited = now.since(since);
            todo.push(Action::Refuse {
                invocation,
                reason,
                rate: None,
                retry_after: None,
                waited,
                waited_for,
            });
        }
    }

    fn fail(&mut self, invocation: InvocationId, detail: Detail, todo: &mut Vec<Action>) {
        if self.settle(invocation) {
            todo.push(Action::Fail { invocation, detail });
        }
    }

    /// Forgets an invocation wherever it is and takes its permit back: the only place where one comes back.
    fn settle(&mut self, invocation: InvocationId) -> bool {
        self.leave_line(invocation);
        let Some(admitted) = self.invocations.remove(&invocation) else { return false };
        if let Place::Running(environment) = admitted.place {
            self.fleet.forget_held(environment, invocation);
        }
        self.admission.give_back(admitted.permit);
        true
    }

    fn leave_line(&mut self, invocation: InvocationId) {
        if let Some(admitted) = self.invocations.get(&invocation)
            && admitted.place == Place::Waiting
        {
            self.fleet.remove_waiter(admitted.revision, admitted.provisioned, admitted.turn);
            self.timers.cancel(Due::Wait(invocation));
        }
    }

    pub(crate) const fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    pub(crate) const fn invocations(&self) -> &BTreeMap<InvocationId, Admitted> {
        &self.invocations
    }

    /// Whether all wait for the room that the first one needs.
    pub(crate) fn holds(&self) -> bool {
        self.blocked.is_some_and(|blocked| blocked.holds)
    }

    pub(crate) const fn timers(&self) -> &Timers<Due> {
        &self.timers
    }
}

fn pace(limits: &SchedulerLimits) -> usize {
    usize::try_from(limits.requests_per_environment.min(REQUESTS_PER_ENVIRONMENT_MAX)).unwrap_or(0)
}

/// How an invocation came to an environment.
#[derive(Default)]
struct Found {
    /// It was started for those who wait.
    new: bool,
    waited_for: Option<WaitedFor>,
    evicted: Vec<EnvironmentId>,
}

/// What decides how long environments idle, and how.
fn idle_limits(limits: &SchedulerLimits) -> (Duration, Option<Duration>, Option<Duration>) {
    (limits.idle_timeout, limits.freeze_after, limits.recycle_after)
}

/// How many of what there are, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Census {
    /// Admitted invocations: permits out.
    pub invocations: usize,
    /// Of them, those that wait for an environment.
    pub waiting: usize,
    /// Environments, the ones being destroyed included.
    pub environments: usize,
    /// Of them, those without work.
    pub idle: usize,
    /// Of them, those whose sandbox is being made.
    pub launching: usize,
    /// Memory promised to all of them, MB.
    pub committed_mb: u64,
}

#[cfg(test)]
mod tests;
