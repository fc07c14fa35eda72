//! What becomes of an environment that has nothing to do: kept, frozen, replaced for its age, let go.
//!
//! One deadline per environment covers all of it, and is set only if it is earlier than the one already there: under load
//! an environment is idle for an instant thousands of times, and what falls due too early costs one look. Who goes for
//! want of room is decided elsewhere.

use super::{Action, Due, Phase, Scheduler, Why};
use crate::environment::Environment;
use crate::{EnvironmentId, FunctionId, Time};
use std::time::Duration;

/// Pause before an old environment that could not be replaced yet is looked at again.
const RENEWAL_PAUSE: Duration = Duration::from_secs(10);

impl Scheduler {
    /// Decides what becomes of a serving environment without work.
    pub(super) fn keep_idle(&mut self, now: Time, environment: EnvironmentId, todo: &mut Vec<Action>) {
        let Some(found) = self.fleet.get(environment) else { return };
        let (revision, provisioned) = (found.revision, found.provisioned);
        if let Some(id) = provisioned
            && self.phase == Phase::Serving
        {
            // One more that serves lets an old one go, also when it has work at once.
            self.drop_surplus(id, todo);
        }
        if !self.fleet.get(environment).is_some_and(Environment::is_idle) {
            return;
        }
        if self.phase != Phase::Serving {
            self.destroy(environment, Why::Draining, todo);
        } else if provisioned.is_some() {
            self.arm(environment);
        } else if self.fleet.pool(revision).is_some_and(|pool| pool.retired) {
            self.destroy(environment, Why::Retired, todo);
        } else if self.is_old(now, environment) {
            self.destroy(environment, Why::Recycled, todo);
        } else {
            self.arm(environment);
        }
    }

    fn is_old(&self, now: Time, environment: EnvironmentId) -> bool {
        let found = self.fleet.get(environment);
        let until = found.and_then(|found| self.limits.recycle_after.map(|age| found.born.after(age)));
        until.is_some_and(|until| until <= now)
    }

    /// The moments at which it is to be let go, and at which it is to be looked at for another reason.
    fn kept_until(&self, found: &Environment) -> Option<Time> {
        if found.provisioned.is_some() {
            return None;
        }
        let own = if self.idle_timeouts.is_empty() {
            None
        } else {
            let function = self.fleet.pool(found.revision).map(|pool| pool.function);
            function.and_then(|function| self.idle_timeouts.get(&function))
        };
        Some(found.idle_since.after(own.copied().unwrap_or(self.limits.idle_timeout)))
    }

    /// When something is to be done about an idle environment.
    pub(crate) fn idle_deadline(&self, found: &Environment) -> Option<Time> {
        let freeze = self.limits.freeze_after.filter(|_| !found.frozen);
        let freeze = freeze.map(|after| found.idle_since.after(after));
        let old = self.limits.recycle_after.map(|age| found.born.after(age));
        self.kept_until(found).into_iter().chain(freeze).chain(old).min()
    }

    /// Makes sure that an idle environment is looked at in time.
    pub(super) fn arm(&mut self, environment: EnvironmentId) {
        let Some(found) = self.fleet.get(environment).filter(|found| found.is_idle()) else { return };
        if let Some(at) = self.idle_deadline(found)
            && found.armed.is_none_or(|armed| at < armed)
        {
            self.arm_at(environment, at);
        }
    }

    fn arm_at(&mut self, environment: EnvironmentId, at: Time) {
        self.timers.set(Due::Idle(environment), at);
        if let Some(found) = self.fleet.get_mut(environment) {
            found.armed = Some(at);
        }
    }

    pub(super) fn disarm(&mut self, environment: EnvironmentId) {
        let armed = self.fleet.get_mut(environment).and_then(|found| found.armed.take());
        if armed.is_some() {
            self.timers.cancel(Due::Idle(environment));
        }
    }

    pub(super) fn idle_due(&mut self, now: Time, environment: EnvironmentId, todo: &mut Vec<Action>) {
        let Some(found) = self.fleet.get_mut(environment) else { return };
        found.armed = None;
        if !found.is_idle() {
            return;
        }
        let Some(found) = self.fleet.get(environment) else { return };
        if self.kept_until(found).is_some_and(|until| until <= now) {
            self.destroy(environment, Why::IdleTimeout, todo);
            return;
        }
        let freezes = self.limits.freeze_after.is_some_and(|after| found.idle_since.after(after) <= now);
        let (frozen, provisioned) = (found.frozen, found.provisioned);
        if self.is_old(now, environment) {
            match provisioned {
                None => {
                    self.destroy(environment, Why::Recycled, todo);
                    return;
                }
                Some(id) => self.renew(id, environment),
            }
        }
        if freezes && !frozen {
            if let Some(found) = self.fleet.get_mut(environment) {
                found.frozen = true;
            }
            todo.push(Action::Freeze { environment });
        }
        let Some(found) = self.fleet.get(environment) else { return };
        if let Some(at) = self.idle_deadline(found) {
            // Only a provisioned one is still there past its age: its successor is under way, or another one's.
            self.arm_at(environment, if at <= now { now.after(RENEWAL_PAUSE) } else { at });
        }
    }

    /// Looks again at all idle environments, or those of one function, after settings have changed.
    pub(super) fn rearm(&mut self, function: Option<FunctionId>) {
        let concerned: Vec<EnvironmentId> = match function {
            None => self.fleet.iter().filter(|(_, found)| found.is_idle()).map(|(id, _)| id).collect(),
            Some(function) => {
                let revisions = self.fleet.revisions_of(function);
                revisions.into_iter().flat_map(|revision| self.fleet.idle_of(revision)).collect()
            }
        };
        for environment in concerned {
            self.arm(environment);
        }
    }
}
