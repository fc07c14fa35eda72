//! All environments and what they take of the box: memory, places, starts under way.
//!
//! Keeps the pools, the provisioned groups, the order of idleness and the sums in step with each other. Whether there is
//! room for one more is `fleet/room.rs`, what is kept ready `fleet/kept.rs`, the recount of it all `fleet/recount.rs`. It
//! decides no invocation's fate.

mod kept;
mod recount;
mod room;

pub(crate) use room::Room;

use crate::environment::{Beginning, Environment, State};
use crate::exchange::Why;
use crate::idle::{Idle, worth};
use crate::limits::SLOTS;
use crate::line::Line;
use crate::pool::{Pool, Turn};
use crate::provisioned::Configurations;
use crate::table::Table;
use crate::{EnvironmentId, Few, FunctionId, InvocationId, ProvisionedId, RevisionId, Time};
use std::collections::BTreeSet;

/// Idle environments that are listed anew in one step; each use of one makes one necessary at most.
const TIDIED_AT_ONCE: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct Fleet {
    pools: Table<RevisionId, Pool>,
    of_function: BTreeSet<(FunctionId, RevisionId)>,
    environments: Table<EnvironmentId, Environment>,
    pub(crate) line: Line,
    waiting: usize,
    /// Those that may be evicted.
    idle: Idle,
    /// Provisioned ones without work.
    idle_kept: usize,
    configurations: Configurations,
    /// No environment is kept ready any more.
    closing: bool,
    committed_mb: u64,
    leaving: usize,
    leaving_mb: u64,
    starting: usize,
    launching: usize,
    pressure: room::Pressure,
    /// Invocations that an environment begins within a second; 0 for any number.
    pub(crate) pace: usize,
    next_environment: u64,
    next_turn: u64,
}

impl Fleet {
    pub(crate) fn turn(&mut self) -> Turn {
        self.next_turn += 1;
        Turn::nth(self.next_turn)
    }

    pub(crate) fn pool(&self, revision: RevisionId) -> Option<&Pool> {
        self.pools.get(&revision)
    }

    pub(crate) fn pool_mut(&mut self, revision: RevisionId) -> Option<&mut Pool> {
        self.pools.get_mut(&revision)
    }

    pub(crate) fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.pools.values()
    }

    pub(crate) fn revisions_of(&self, function: FunctionId) -> Vec<RevisionId> {
        let all = (function, RevisionId(0))..=(function, RevisionId(u64::MAX));
        self.of_function.range(all).map(|(_, revision)| *revision).collect()
    }

    pub(crate) fn get(&self, environment: EnvironmentId) -> Option<&Environment> {
        self.environments.get(&environment)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (EnvironmentId, &Environment)> {
        self.environments.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.environments.len()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(crate) fn launching(&self) -> usize {
        self.launching
    }

    pub(crate) fn committed_mb(&self) -> u64 {
        self.committed_mb
    }

    /// Those that may be evicted, in the order in which they would go.
    pub(crate) fn idle(&self) -> impl Iterator<Item = EnvironmentId> + '_ {
        self.idle.iter(|id| self.get(id).and_then(|environment| environment.rank))
    }

    /// Puts some of those that are not listed where they stand there; quick if there are none at the beginning.
    pub(crate) fn tidy_idle(&mut self) {
        for _ in 0..TIDIED_AT_ONCE {
            let Some((listed, id)) = self.idle.first_listed() else { return };
            let Some(environment) = self.environments.get_mut(&id) else { return };
            if environment.rank == Some(listed) {
                return;
            }
            environment.listed = self.idle.list_again(id, listed, environment.rank);
        }
    }

    /// All without work.
    pub(crate) fn idle_len(&self) -> usize {
        self.idle.len() + self.idle_kept
    }

    /// Idle environments of a revision that are not kept ready.
    pub(crate) fn idle_of(&self, revision: RevisionId) -> Vec<EnvironmentId> {
        let members = self.pools.get(&revision).map(|pool| pool.open().chain(pool.resting()));
        let idle = |id: &EnvironmentId| self.get(*id).is_some_and(Environment::is_idle);
        members.into_iter().flatten().filter(idle).collect()
    }

    /// Whoever the environment is for and has waited longest.
    pub(crate) fn next_waiter(&self, id: EnvironmentId) -> Option<InvocationId> {
        let environment = self.get(id)?;
        match environment.provisioned {
            None => self.pool(environment.revision)?.oldest_waiter(),
            some => {
                self.group(some, environment.revision)?.waiters.first_key_value().map(|(_, waiter)| *waiter)
            }
        }
    }

    /// Environments that are being destroyed.
    pub(crate) fn leaving(&self) -> usize {
        self.leaving
    }

    pub(crate) fn get_mut(&mut self, environment: EnvironmentId) -> Option<&mut Environment> {
        self.environments.get_mut(&environment)
    }

    /// The pool of the revision, made if there is none.
    pub(crate) fn enter(&mut self, revision: RevisionId, function: FunctionId, memory_mb: u32) -> &mut Pool {
        if !self.pools.contains_key(&revision) {
            self.of_function.insert((function, revision));
        }
        self.pools.get_or_insert_with(revision, || Pool::new(revision, function, memory_mb))
    }

    pub(crate) fn forget_if_empty(&mut self, revision: RevisionId) {
        if self.pools.get(&revision).is_some_and(Pool::is_empty)
            && let Some(pool) = self.pools.remove(&revision)
        {
            self.of_function.remove(&(pool.function, revision));
        }
    }

    pub(crate) fn add_waiter(
        &mut self,
        revision: RevisionId,
        provisioned: Option<ProvisionedId>,
        turn: Turn,
        invocation: InvocationId,
    ) {
        if let Some(pool) = self.pools.get_mut(&revision) {
            pool.add_waiter(turn, invocation, &mut self.line);
            self.waiting += 1;
            if let Some(group) = self.group_mut(provisioned, revision) {
                group.waiters.insert(turn, invocation);
            }
        }
    }

    pub(crate) fn remove_waiter(
        &mut self,
        revision: RevisionId,
        provisioned: Option<ProvisionedId>,
        turn: Turn,
    ) {
        if let Some(pool) = self.pools.get_mut(&revision) {
            pool.remove_waiter(turn, &mut self.line);
            self.waiting -= 1;
        }
        if let Some(group) = self.group_mut(provisioned, revision) {
            group.waiters.remove(&turn);
        }
        self.forget_if_empty(revision);
    }

    /// Counts a new environment in and names it.
    pub(crate) fn start(
        &mut self,
        revision: RevisionId,
        beginning: Beginning,
        now: Time,
    ) -> Option<EnvironmentId> {
        let pool = self.pools.get_mut(&revision)?;
        let id = EnvironmentId(self.next_environment);
        self.next_environment += 1;
        pool.member_came();
        let provisioned = beginning.provisioned;
        let paid = provisioned.is_none() && pool.start_began(&mut self.line);
        let environment = Environment {
            revision,
            provisioned,
            memory_mb: u64::from(pool.memory_mb),
            state: State::Starting { launched: false },
            in_flight: Few::default(),
            slots: u32::try_from(SLOTS).unwrap_or(u32::MAX),
            open: None,
            rank: None,
            listed: None,
            resting: false,
            recent: None,
            idle_since: Time::ZERO,
            fresh: true,
            frozen: false,
            began: now,
            born: now,
            armed: None,
            paid,
            beginning: Some(Box::new(beginning)),
        };
        self.committed_mb += environment.memory_mb;
        self.starting += 1;
        self.launching += 1;
        self.environments.insert(id, environment);
        self.kept_begins(provisioned, revision);
        Some(id)
    }

    pub(crate) fn launched(&mut self, id: EnvironmentId) {
        if let Some(environment) = self.environments.get_mut(&id)
            && environment.state == (State::Starting { launched: false })
        {
            environment.state = State::Starting { launched: true };
            self.launching -= 1;
        }
    }

    /// A starting environment begins to serve, with all its room; false if it was not starting.
    pub(crate) fn ready(&mut self, id: EnvironmentId, now: Time) -> bool {
        self.launched(id);
        let Some(environment) = self.environments.get_mut(&id) else { return false };
        if environment.state != (State::Starting { launched: true }) {
            return false;
        }
        environment.state = State::Serving;
        environment.born = now;
        self.starting -= 1;
        let (revision, provisioned) = (environment.revision, environment.provisioned);
        if let Some(pool) = self.pools.get_mut(&revision) {
            pool.learn(now.since(environment.began));
            if provisioned.is_none() {
                pool.start_ended(&mut self.line);
            }
        }
        self.kept_serves(provisioned, revision);
        self.show(id, now);
        true
    }

    pub(crate) fn occupy(&mut self, id: EnvironmentId, invocation: InvocationId, now: Time) {
        self.hide(id);
        let Some(environment) = self.environments.get_mut(&id) else { return };
        let begins = environment.in_flight.is_empty();
        environment.in_flight.insert(invocation, now);
        (environment.fresh, environment.frozen, environment.beginning) = (false, false, None);
        environment.note_assignment(now, self.pace);
        let (revision, provisioned) = (environment.revision, environment.provisioned);
        if let Some(pool) = self.pools.get_mut(&revision) {
            pool.uses += 1;
        }
        if begins {
            self.kept_works(provisioned, revision, true);
        }
        self.show(id, now);
    }

    /// Takes an invocation out; false if the environment did not hold it.
    pub(crate) fn vacate(&mut self, id: EnvironmentId, invocation: InvocationId, now: Time) -> bool {
        if !self.environments.get(&id).is_some_and(|e| e.in_flight.contains_key(&invocation)) {
            return false;
        }
        self.hide(id);
        self.forget_held(id, invocation);
        self.show(id, now);
        true
    }

    /// When a resting environment may be given something again.
    pub(crate) fn rested_at(&self, id: EnvironmentId) -> Option<Time> {
        let environment = self.get(id).filter(|environment| environment.resting)?;
        Some(environment.rested_at(self.pace))
    }

    /// A resting environment may have rested for long enough.
    pub(crate) fn rest_over(&mut self, id: EnvironmentId, now: Time) {
        if self.get(id).is_some_and(|environment| environment.resting) {
            let since = self.get(id).map(|environment| environment.idle_since);
            self.hide(id);
            self.show(id, now);
            if let (Some(environment), Some(since)) = (self.environments.get_mut(&id), since) {
                environment.idle_since = since;
            }
        }
    }

    /// Forgets what it held without giving it room again: it is on its way out.
    pub(crate) fn forget_held(&mut self, id: EnvironmentId, invocation: InvocationId) {
        let Some(environment) = self.environments.get_mut(&id) else { return };
        let held = environment.in_flight.remove(&invocation).is_some();
        if held && environment.is_idle() {
            let (revision, provisioned) = (environment.revision, environment.provisioned);
            self.kept_works(provisioned, revision, false);
        }
    }

    /// From now on it takes nothing; its memory is counted until `remove`. False if it was leaving already.
    pub(crate) fn leave(&mut self, id: EnvironmentId, why: Why) -> bool {
        if why == Why::Evicted
            && let Some(rank) = self.get(id).and_then(|environment| environment.rank)
        {
            self.idle.evicted(rank);
        }
        self.hide(id);
        let Some(environment) = self.environments.get_mut(&id) else { return false };
        let (revision, provisioned) = (environment.revision, environment.provisioned);
        let before = environment.state;
        match before {
            State::Leaving { .. } => return false,
            State::Serving => {}
            State::Starting { launched } => {
                self.starting -= 1;
                self.launching -= usize::from(!launched);
                if provisioned.is_none()
                    && let Some(pool) = self.pools.get_mut(&revision)
                {
                    pool.start_ended(&mut self.line);
                }
            }
        }
        environment.state = State::Leaving { why };
        self.leaving += 1;
        self.leaving_mb += environment.memory_mb;
        let works = !environment.in_flight.is_empty();
        self.kept_leaves(id, before, works);
        true
    }

    /// It is gone, with what it held.
    pub(crate) fn remove(&mut self, id: EnvironmentId) -> Option<Environment> {
        self.leave(id, Why::Died);
        let environment = self.environments.remove(&id)?;
        self.idle.forget(id, environment.listed);
        self.leaving -= 1;
        self.leaving_mb -= environment.memory_mb;
        self.committed_mb -= environment.memory_mb;
        if let Some(pool) = self.pools.get_mut(&environment.revision) {
            pool.member_gone();
        }
        Some(environment)
    }

    /// Lists the environment wherever one with room, or without work, is looked for.
    fn show(&mut self, id: EnvironmentId, now: Time) {
        self.next_turn += 1;
        let turn = Turn::nth(self.next_turn);
        let Some(environment) = self.environments.get_mut(&id) else { return };
        if !environment.has_room() {
            return;
        }
        environment.resting = environment.rested_at(self.pace) > now;
        if !environment.resting {
            environment.open = Some(turn);
        }
        if environment.is_idle() {
            environment.idle_since = now;
        }
        if environment.provisioned.is_some() {
            self.show_kept(id, turn);
            return;
        }
        let Some(pool) = self.pools.get_mut(&environment.revision) else { return };
        if environment.resting {
            pool.set_resting(id);
        } else {
            pool.set_open(turn, id);
        }
        if environment.is_idle() {
            let worth = worth(pool.uses, pool.start_cost(), environment.memory_mb);
            let (rank, listed) =
                self.idle.insert(id, worth, turn, (environment.memory_mb, environment.listed));
            (environment.rank, environment.listed) = (Some(rank), Some(listed));
        }
    }

    fn hide(&mut self, id: EnvironmentId) {
        let Some(environment) = self.environments.get_mut(&id) else { return };
        let rested = std::mem::take(&mut environment.resting);
        let open = environment.open.take();
        if environment.provisioned.is_some() {
            self.hide_kept(id, open);
            return;
        }
        if rested && let Some(pool) = self.pools.get_mut(&environment.revision) {
            pool.unset_resting(id);
        }
        if let Some(turn) = open
            && let Some(pool) = self.pools.get_mut(&environment.revision)
        {
            pool.set_closed(turn, id);
        }
        if environment.rank.take().is_some() {
            self.idle.remove(environment.memory_mb);
        }
    }
}
