//! Which environments are started: one for each function in turn, while there is room and few enough are being made.
//!
//! Apart from `scheduler` because it is one loop, run at the end of each step. It does not know who waits or for what.

use super::{Action, Initialization, ProvisionedFailure, Scheduler, WaitedFor, Why};
use crate::admission::Reason;
use crate::fleet::{Beginning, Room};
use crate::line::Wanter;
use crate::{EnvironmentId, InvocationId, ProvisionedId, RevisionId, Time};

/// A start that could begin now, as far as turns go.
struct Next {
    revision: RevisionId,
    memory_mb: u32,
    goal: Goal,
}

#[derive(Clone, Copy)]
enum Goal {
    Waiter(InvocationId),
    Provisioned(ProvisionedId),
}

impl Scheduler {
    /// The revision that the next start is for.
    pub(crate) fn next_start(&self) -> Option<RevisionId> {
        match self.fleet.line.next()? {
            Wanter::Function(function) => self.fleet.line.oldest(function),
            Wanter::Provisioned(id) => self.fleet.configuration(id)?.lacking().map(|(revision, _)| revision),
        }
    }

    fn next(&self) -> Option<Next> {
        let wanter = self.fleet.line.next()?;
        let revision = self.next_start()?;
        let pool = self.fleet.pool(revision)?;
        let goal = match wanter {
            Wanter::Function(_) => Goal::Waiter(pool.first_uncovered()?),
            Wanter::Provisioned(id) => Goal::Provisioned(id),
        };
        Some(Next { revision, memory_mb: pool.memory_mb, goal })
    }

    /// Starts what is wanted until a bound is met. The first that has no room holds up the others: passing it by would
    /// starve the large. Provisioned environments do not hold up: they are tried again.
    pub(super) fn start_wanted(&mut self, now: Time, todo: &mut Vec<Action>) {
        let starts_max = usize::try_from(self.limits.starts_max.max(1)).unwrap_or(usize::MAX);
        self.held_up_by(None);
        while let Some(next) = self.next() {
            if self.fleet.launching() >= starts_max {
                self.held_up_by(Some(WaitedFor::Starts));
                return;
            }
            let goes_on = match self.fleet.room(next.memory_mb, &self.limits) {
                Room::Fits => self.start(now, &next, todo),
                Room::Evict(victims) => {
                    self.make_room(&next, victims, todo);
                    true
                }
                Room::Never => self.never_fits(now, &next, todo),
                Room::Wait => self.put_off(now, &next, todo),
            };
            if !goes_on {
                self.held_up_by(Some(WaitedFor::Capacity));
                return;
            }
        }
    }

    /// Remembers the reason for as long as somebody is held up: a start that comes of the next event tells it.
    fn held_up_by(&mut self, reason: Option<WaitedFor>) {
        if reason.is_some() || self.fleet.line.next().is_none() {
            self.held_up = reason;
        }
    }

    fn start(&mut self, now: Time, next: &Next, todo: &mut Vec<Action>) -> bool {
        let Some(pool) = self.fleet.pool_mut(next.revision) else { return false };
        let function = pool.function;
        let (beginning, initialization) = match next.goal {
            Goal::Waiter(invocation) => {
                let evicted = pool.take_evicted();
                let since = self.invocations.get(&invocation).map(|admitted| admitted.since);
                let held_up = self.held_up.filter(|_| since.is_some_and(|since| since < now));
                (Beginning { provisioned: None, held_up, evicted }, Initialization::OnDemand)
            }
            Goal::Provisioned(id) => {
                (Beginning { provisioned: Some(id), ..Beginning::default() }, Initialization::Provisioned)
            }
        };
        let Some(environment) = self.fleet.start(next.revision, beginning, now) else { return false };
        let (revision, memory_mb) = (next.revision, next.memory_mb);
        todo.push(Action::Start { environment, function, revision, memory_mb, initialization });
        true
    }

    fn make_room(&mut self, next: &Next, victims: Vec<EnvironmentId>, todo: &mut Vec<Action>) {
        if self.fleet.is_held_back(&self.limits) {
            self.fleet.relieve();
        }
        for environment in victims {
            if let (Goal::Waiter(_), Some(pool)) = (next.goal, self.fleet.pool_mut(next.revision)) {
                pool.note_evicted(environment);
            }
            self.destroy(environment, Why::Evicted, todo);
        }
    }

    fn never_fits(&mut self, now: Time, next: &Next, todo: &mut Vec<Action>) -> bool {
        match next.goal {
            Goal::Waiter(invocation) => self.refuse(now, invocation, Reason::CapacityExceeded, todo),
            Goal::Provisioned(id) => self.provision_failed(now, id, Some(ProvisionedFailure::Capacity)),
        }
        true
    }

    /// No room: a waiter holds its turn. A configuration gives up what it has too much of, waits for what is going already,
    /// or leaves its turn to others for a while.
    fn put_off(&mut self, now: Time, next: &Next, todo: &mut Vec<Action>) -> bool {
        let Goal::Provisioned(id) = next.goal else { return false };
        if self.fleet.leaving() > 0 {
            return false;
        }
        let held_back = self.fleet.is_held_back(&self.limits);
        let spare = self.fleet.configuration(id).and_then(|found| found.to_spare());
        match spare {
            Some(environment) if !held_back => {
                self.drop_kept(id, environment, todo);
                true
            }
            Some(_) | None => {
                // Nobody knows how long memory stalls: that is no failure yet.
                let failure = (!held_back).then_some(ProvisionedFailure::Capacity);
                self.provision_failed(now, id, failure);
                true
            }
        }
    }
}
