//! How the scheduler takes it that things end: invocations, environments, the daemon itself, and what never began.
//!
//! Apart from the decisions of `scheduler` because it is one subject: whatever ends, and in whatever order the news comes,
//! each permit returns once and each environment is counted out once. Nothing is begun here.

use super::{Action, Due, Found, Phase, ProvisionedFailure, Scheduler, Why};
use crate::admission::Reason;
use crate::environment::State;
use crate::exchange::Detail;
use crate::limits::{DELIVERY_ATTEMPTS_MAX, RETRY_PAUSE};
use crate::provisioned::Group;
use crate::{EnvironmentId, InvocationId, ProvisionedId, Time};

impl Scheduler {
    pub(super) fn released(
        &mut self,
        now: Time,
        environment: EnvironmentId,
        invocation: InvocationId,
        reuse: bool,
        todo: &mut Vec<Action>,
    ) {
        if !self.fleet.vacate(environment, invocation, now) {
            return;
        }
        self.settle(invocation);
        if reuse {
            self.employ(now, environment, None, todo);
        } else {
            self.destroy(environment, Why::Spent, todo);
        }
    }

    pub(super) fn given_back(
        &mut self,
        now: Time,
        environment: EnvironmentId,
        invocation: InvocationId,
        todo: &mut Vec<Action>,
    ) {
        if !self.fleet.vacate(environment, invocation, now) {
            return;
        }
        self.destroy(environment, Why::Unreachable, todo);
        let Some(admitted) = self.invocations.get(&invocation) else { return };
        if self.phase == Phase::Stopping {
            self.refuse(now, invocation, Reason::ShuttingDown, todo);
            return;
        }
        if admitted.deliveries >= DELIVERY_ATTEMPTS_MAX {
            self.fail(invocation, Detail::NotTaken, todo);
            return;
        }
        let kept = self.fleet.group(admitted.provisioned, admitted.revision).and_then(Group::newest_open);
        let open = self.fleet.pool(admitted.revision).and_then(|pool| pool.newest_open());
        match kept.or(open) {
            Some(other) => self.assign(now, other, invocation, Found::default(), todo),
            None => self.wait(now, invocation),
        }
    }

    pub(super) fn died(&mut self, now: Time, environment: EnvironmentId, todo: &mut Vec<Action>) {
        let Some(found) = self.fleet.get(environment) else { return };
        let (starting, provisioned) = (found.is_starting(), found.provisioned);
        self.fail_held(environment, todo);
        self.destroy(environment, Why::Died, todo);
        if starting {
            self.start_came_to_nothing(now, environment, provisioned, &Detail::Died, todo);
        }
    }

    /// Counts out an environment of which nothing is left.
    pub(super) fn gone(
        &mut self,
        now: Time,
        environment: EnvironmentId,
        detail: &Detail,
        todo: &mut Vec<Action>,
    ) {
        let Some(found) = self.fleet.get(environment) else { return };
        let (starting, revision, provisioned) = (found.is_starting(), found.revision, found.provisioned);
        self.disarm(environment);
        self.fail_held(environment, todo);
        // While it is still listed, so that its pool is there for the waiters.
        self.fleet.leave(environment, Why::Died);
        if starting {
            self.start_came_to_nothing(now, environment, provisioned, detail, todo);
        }
        self.fleet.remove(environment);
        self.timers.cancel(Due::Rested(environment));
        self.timers.cancel(Due::Destroy(environment));
        self.fleet.forget_if_empty(revision);
    }

    /// Counts out an environment that was never begun to be made; what its start cost goes to the next who needs one.
    pub(super) fn unneeded(&mut self, now: Time, environment: EnvironmentId) {
        let Some(found) = self.fleet.get(environment) else { return };
        let (revision, paid) = (found.revision, found.paid);
        let pool = self.fleet.pool(revision);
        let Some(function) = pool.map(|pool| pool.function) else { return };
        self.fleet.leave(environment, Why::Unreachable);
        if paid && !self.fleet.line.paid(function) {
            self.rates.return_start(now, function, self.limits.scaling);
        }
        self.fleet.remove(environment);
        self.timers.cancel(Due::Destroy(environment));
        self.fleet.forget_if_empty(revision);
    }

    fn fail_held(&mut self, environment: EnvironmentId, todo: &mut Vec<Action>) {
        let Some(found) = self.fleet.get(environment) else { return };
        let held: Vec<InvocationId> = found.in_flight.keys().copied().collect();
        for invocation in held {
            self.fail(invocation, Detail::Died, todo);
        }
    }

    /// A start came to nothing: who has none under way thereby would wait for nothing. A provisioned one is tried again.
    fn start_came_to_nothing(
        &mut self,
        now: Time,
        environment: EnvironmentId,
        provisioned: Option<ProvisionedId>,
        detail: &Detail,
        todo: &mut Vec<Action>,
    ) {
        let revision = self.fleet.get(environment).map(|found| found.revision);
        let group = revision.and_then(|revision| self.fleet.group(provisioned, revision));
        match (provisioned, detail) {
            // It was for what is not wanted any more.
            (Some(_), _) if group.is_none_or(|group| group.wanted == 0) => {}
            (Some(id), Detail::StartFailed(why)) => {
                self.provision_failed(now, id, Some(ProvisionedFailure::Sandbox(why.clone())));
            }
            (Some(id), Detail::Died | Detail::NotTaken) => {
                self.provision_failed(now, id, Some(ProvisionedFailure::Initialization));
            }
            (None, _) => {
                if let Some(invocation) = self.uncovered_beside(environment) {
                    self.fail(invocation, detail.clone(), todo);
                }
            }
        }
    }

    fn uncovered_beside(&self, environment: EnvironmentId) -> Option<InvocationId> {
        let revision = self.fleet.get(environment)?.revision;
        self.fleet.pool(revision)?.first_uncovered()
    }

    pub(super) fn drain(&mut self, todo: &mut Vec<Action>) {
        if self.phase == Phase::Serving {
            self.phase = Phase::Draining;
        }
        self.fleet.keep_nothing();
        let idle: Vec<EnvironmentId> =
            self.fleet.iter().filter(|(_, found)| found.is_idle()).map(|(id, _)| id).collect();
        for environment in idle {
            self.destroy(environment, Why::Draining, todo);
        }
    }

    pub(super) fn stop(&mut self, now: Time, todo: &mut Vec<Action>) {
        self.drain(todo);
        self.phase = Phase::Stopping;
        let waiting: Vec<InvocationId> =
            self.fleet.pools().flat_map(|pool| pool.waiters().values().copied()).collect();
        for invocation in waiting {
            self.refuse(now, invocation, Reason::ShuttingDown, todo);
        }
        let all: Vec<EnvironmentId> = self.fleet.iter().map(|(id, _)| id).collect();
        for environment in all {
            self.destroy(environment, Why::Draining, todo);
        }
    }

    pub(super) fn refused(&mut self, now: Time, action: Action, todo: &mut Vec<Action>) {
        match action {
            Action::Assign { invocation, environment, .. } => {
                self.given_back(now, environment, invocation, todo)
            }
            Action::Start { environment, .. } => self.start_refused(now, environment, todo),
            Action::Destroy { environment, .. } => {
                if self.fleet.get(environment).is_some() {
                    self.timers.set(Due::Destroy(environment), now.after(RETRY_PAUSE));
                }
            }
            Action::Drained => {
                if self.drained {
                    self.timers.set(Due::Drained, now.after(RETRY_PAUSE));
                }
            }
            // The permit is back; who waits for the answer sees its channel close. An environment that was not frozen costs
            // a little; the next time it idles it is asked for again.
            Action::Refuse { .. } | Action::Fail { .. } | Action::Freeze { .. } => {}
        }
    }

    fn start_refused(&mut self, now: Time, environment: EnvironmentId, todo: &mut Vec<Action>) {
        let Some(found) = self.fleet.get(environment) else { return };
        let (revision, provisioned) = (found.revision, found.provisioned);
        match found.state {
            State::Starting { .. } => {
                self.fleet.leave(environment, Why::Unreachable);
                if let Some(id) = provisioned {
                    self.provision_failed(now, id, None);
                } else if let Some(invocation) = self.uncovered_beside(environment) {
                    self.refuse(now, invocation, Reason::QueueFull, todo);
                }
            }
            // Told to go in the meantime: it never was, so it is gone.
            State::Leaving { .. } => {}
            State::Serving => return,
        }
        self.fleet.remove(environment);
        self.timers.cancel(Due::Destroy(environment));
        self.fleet.forget_if_empty(revision);
    }
}
