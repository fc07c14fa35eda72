//! Which environments are started: one for each function in turn, while there is room and few enough are being made.
//!
//! Apart from `scheduler` because it is one loop, run at the end of each step. It does not know who waits or for what.

use super::{Action, Due, Initialization, ProvisionedFailure, Scheduler, WaitedFor, Why};
use crate::admission::Reason;
use crate::environment::Beginning;
use crate::fleet::Room;
use crate::limits::{PASSED_BY_MAX, PASSING_TURN};
use crate::line::{Spot, Wanter};
use crate::{EnvironmentId, InvocationId, ProvisionedId, RevisionId, Time};
use std::time::Duration;

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

/// Who is first in line and needs more room than can be made without something that runs: the others pass it by for a
/// while and then wait for it, in turn, so that neither starves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocked {
    wanter: Wanter,
    since: Time,
    /// Nobody passes now.
    pub(super) holds: bool,
}

/// How far a look along the line has come: each wanter is looked at once, until something changes.
#[derive(Default)]
struct Look {
    at: Option<Spot>,
    seen: usize,
    /// Who was passed by first.
    first: Option<Wanter>,
    /// Who wants no less than one that was passed by has no room either.
    below: Option<u32>,
}

impl Look {
    /// From the beginning: whose turn it is may have changed.
    fn again(&mut self) {
        (self.at, self.seen) = (None, 0);
    }

    fn meets(&mut self, wanter: Wanter) {
        self.first = self.first.or(Some(wanter));
    }
}

/// How the line goes on behind one that was looked at.
enum Onward {
    /// From its beginning.
    Again,
    /// Past this one.
    Past,
    /// Not at all.
    Halt,
}

impl Scheduler {
    /// The revision that the next start of a wanter is for.
    pub(crate) fn next_start_of(&self, wanter: Wanter) -> Option<RevisionId> {
        match wanter {
            Wanter::Function(function) => self.fleet.line.oldest(function),
            Wanter::Provisioned(id) => self.fleet.configuration(id)?.lacking().map(|(revision, _)| revision),
        }
    }

    fn next_of(&self, wanter: Wanter) -> Option<Next> {
        let revision = self.next_start_of(wanter)?;
        let pool = self.fleet.pool(revision)?;
        let goal = match wanter {
            Wanter::Function(_) => Goal::Waiter(pool.first_uncovered()?),
            Wanter::Provisioned(id) => Goal::Provisioned(id),
        };
        Some(Next { revision, memory_mb: pool.memory_mb, goal })
    }

    pub(super) fn starts_are_full(&self) -> bool {
        let starts_max = usize::try_from(self.limits.starts_max.max(1)).unwrap_or(usize::MAX);
        self.fleet.launching() >= starts_max
    }

    /// Starts what is wanted until a bound is met. Whoever has no room holds up the others while what is leaving or idle
    /// makes that room; if it takes more, smaller ones pass it by, but not for ever. Provisioned environments do not hold
    /// up: they are tried again.
    pub(super) fn start_wanted(&mut self, now: Time, todo: &mut Vec<Action>) {
        self.held_up_by(None);
        let mut look = Look::default();
        while let Some((wanter, next)) = self.next(&mut look) {
            if self.starts_are_full() {
                look.meets(wanter);
                self.held_up_by(Some(WaitedFor::Starts));
                break;
            }
            let onward = match self.fleet.room(next.memory_mb, &self.limits) {
                Room::Fits if self.start(now, &next, todo) => {
                    self.unblock(|blocked| blocked.wanter == wanter);
                    Onward::Again
                }
                Room::Fits => Onward::Halt,
                Room::Evict(victims) => {
                    self.make_room(&next, victims, todo);
                    Onward::Again
                }
                Room::Never => {
                    self.never_fits(now, &next, todo);
                    Onward::Again
                }
                room @ (Room::Wait | Room::TooLarge) => self.put_off(now, &next, &room, todo),
            };
            match onward {
                Onward::Again => look.again(),
                Onward::Past if self.passes(now, wanter, look.first.is_none()) => {
                    self.held_up_by(Some(WaitedFor::Capacity));
                    look.meets(wanter);
                    look.below = Some(next.memory_mb);
                    if self.is_vain(next.memory_mb) {
                        break;
                    }
                }
                Onward::Past | Onward::Halt => {
                    look.meets(wanter);
                    self.held_up_by(Some(WaitedFor::Capacity));
                    break;
                }
            }
        }
        self.unblock(|blocked| look.first != Some(blocked.wanter));
    }

    /// Forgets who is blocked, if it is not so any more.
    fn unblock(&mut self, is_over: impl FnOnce(Blocked) -> bool) {
        if self.blocked.is_some_and(is_over) {
            self.blocked = None;
            self.timers.cancel(Due::Pass);
        }
    }

    /// Whose turn it is, of those further on who want less than was passed by, or more than there ever will be.
    fn next(&mut self, look: &mut Look) -> Option<(Wanter, Next)> {
        let budget_mb = self.limits.memory_budget_mb();
        while look.seen < PASSED_BY_MAX {
            let spot = self.fleet.line.after(look.at)?;
            (look.at, look.seen) = (Some(spot), look.seen + 1);
            #[cfg(test)]
            {
                self.looks += 1;
            }
            let (_, wanter) = spot;
            let Some(next) = self.next_of(wanter) else { continue };
            let is_less = look.below.is_none_or(|below| next.memory_mb < below);
            if is_less || u64::from(next.memory_mb) > budget_mb {
                return Some((wanter, next));
            }
        }
        None
    }

    /// True if nobody behind one that has no room can have some: nobody wants less, or there is none for the least either.
    fn is_vain(&self, below: u32) -> bool {
        let Some((least, most)) = self.fleet.line.sizes() else { return false };
        u64::from(most) <= self.limits.memory_budget_mb()
            && (least >= below || self.fleet.room(least, &self.limits) == Room::TooLarge)
    }

    /// Whether others may pass by a wanter that has no room. The first in line takes turns with them.
    fn passes(&mut self, now: Time, wanter: Wanter, is_first: bool) -> bool {
        if !is_first {
            return true;
        }
        let known = self.blocked.filter(|blocked| blocked.wanter == wanter);
        let since = known.map_or(now, |blocked| blocked.since);
        let turn = PASSING_TURN.min(self.limits.wait_max / 4).max(Duration::from_millis(1));
        let turns = now.since(since).as_nanos() / turn.as_nanos();
        let holds = turns % 2 == 1;
        self.blocked = Some(Blocked { wanter, since, holds });
        if holds {
            let rounds = u32::try_from(turns + 1).unwrap_or(u32::MAX);
            self.timers.set(Due::Pass, since.after(turn.saturating_mul(rounds)));
        } else {
            self.timers.cancel(Due::Pass);
        }
        !holds
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

    fn never_fits(&mut self, now: Time, next: &Next, todo: &mut Vec<Action>) {
        match next.goal {
            Goal::Waiter(invocation) => self.refuse(now, invocation, Reason::CapacityExceeded, todo),
            Goal::Provisioned(id) => self.provision_failed(now, id, Some(ProvisionedFailure::Capacity)),
        }
    }

    /// No room: a waiter keeps its turn. A configuration gives up what it has too much of, waits for what is going already,
    /// or leaves its turn to others for a while.
    fn put_off(&mut self, now: Time, next: &Next, room: &Room, todo: &mut Vec<Action>) -> Onward {
        let is_too_large = *room == Room::TooLarge;
        let Goal::Provisioned(id) = next.goal else {
            return if is_too_large { Onward::Past } else { Onward::Halt };
        };
        if self.fleet.leaving() > 0 && !is_too_large {
            return Onward::Halt;
        }
        let held_back = self.fleet.is_held_back(&self.limits);
        let spare = self.fleet.configuration(id).and_then(|found| found.to_spare());
        match spare {
            Some(environment) if !held_back => self.drop_kept(id, environment, todo),
            Some(_) | None => {
                // Nobody knows how long memory stalls: that is no failure yet.
                let failure = (!held_back).then_some(ProvisionedFailure::Capacity);
                self.provision_failed(now, id, failure);
            }
        }
        Onward::Again
    }
}
