//! All environments and what they take of the box: memory, places, starts under way.
//!
//! Keeps the pools, the order of idleness and the sums in step with each other, and answers whether there is room for one
//! more environment and who would have to go for it (the one idle longest). It decides no invocation's fate.

use crate::exchange::Why;
use crate::limits::SLOTS;
use crate::line::Line;
use crate::pool::{Pool, Turn};
use crate::{EnvironmentId, FunctionId, InvocationId, RevisionId, SchedulerLimits, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Starting { launched: bool },
    Serving,
    Leaving { why: Why },
}

#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) revision: RevisionId,
    pub(crate) memory_mb: u64,
    pub(crate) state: State,
    /// What it runs, with the moment of assignment; never more than `slots`.
    pub(crate) in_flight: BTreeMap<InvocationId, Time>,
    pub(crate) slots: usize,
    /// Since which turn it has room, if it has.
    open: Option<Turn>,
    /// Where it stands among the idle ones, if it is idle.
    idle: Option<Turn>,
    /// It has room and may not take more yet: it has had its share of this second.
    pub(crate) resting: bool,
    /// When it was last given something; as many moments as the pace asks for.
    recent: VecDeque<Time>,
    /// Since when it has been without work; counts only while it is.
    pub(crate) idle_since: Time,
    /// It has run nothing yet.
    fresh: bool,
}

impl Environment {
    pub(crate) fn is_idle(&self) -> bool {
        self.state == State::Serving && self.in_flight.is_empty()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// When it may be given something again, as far as the pace goes.
    fn rested_at(&self, pace: usize) -> Time {
        let oldest = if pace == 0 { None } else { self.recent.len().checked_sub(pace) };
        let oldest = oldest.and_then(|at| self.recent.get(at));
        oldest.map_or(Time::ZERO, |at| at.after(PACE_WINDOW))
    }
}

/// Within this time an environment is given no more than its pace.
const PACE_WINDOW: Duration = Duration::from_secs(1);

/// Whether one more environment fits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Fits,
    /// Once these are gone; none of them has work.
    Evict(Vec<EnvironmentId>),
    /// Not before something else is gone.
    Wait,
    /// Not even on an empty box.
    Never,
}

#[derive(Debug, Default)]
pub(crate) struct Fleet {
    pools: BTreeMap<RevisionId, Pool>,
    of_function: BTreeSet<(FunctionId, RevisionId)>,
    environments: BTreeMap<EnvironmentId, Environment>,
    pub(crate) line: Line,
    waiting: usize,
    idle: BTreeSet<(Turn, EnvironmentId)>,
    idle_mb: u64,
    committed_mb: u64,
    leaving: usize,
    leaving_mb: u64,
    launching: usize,
    /// Invocations that an environment begins within a second; 0 for any number.
    pub(crate) pace: usize,
    next_environment: u64,
    next_turn: u64,
}

impl Fleet {
    pub(crate) fn turn(&mut self) -> Turn {
        self.next_turn += 1;
        Turn(self.next_turn)
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
        self.environments.iter().map(|(id, environment)| (*id, environment))
    }

    pub(crate) fn len(&self) -> usize {
        self.environments.len()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// True until it runs its first invocation.
    pub(crate) fn is_fresh(&self, environment: EnvironmentId) -> bool {
        self.get(environment).is_some_and(|environment| environment.fresh)
    }

    pub(crate) fn launching(&self) -> usize {
        self.launching
    }

    pub(crate) fn committed_mb(&self) -> u64 {
        self.committed_mb
    }

    pub(crate) fn idle(&self) -> impl Iterator<Item = EnvironmentId> + '_ {
        self.idle.iter().map(|(_, environment)| *environment)
    }

    pub(crate) fn idle_len(&self) -> usize {
        self.idle.len()
    }

    /// The pool of the revision, made if there is none.
    pub(crate) fn enter(&mut self, revision: RevisionId, function: FunctionId, memory_mb: u32) -> &mut Pool {
        let pool = self.pools.entry(revision).or_insert_with(|| Pool::new(revision, function, memory_mb));
        self.of_function.insert((pool.function, revision));
        pool
    }

    pub(crate) fn forget_if_empty(&mut self, revision: RevisionId) {
        if self.pools.get(&revision).is_some_and(Pool::is_empty)
            && let Some(pool) = self.pools.remove(&revision)
        {
            self.of_function.remove(&(pool.function, revision));
        }
    }

    pub(crate) fn add_waiter(&mut self, revision: RevisionId, turn: Turn, invocation: InvocationId) {
        if let Some(pool) = self.pools.get_mut(&revision) {
            pool.add_waiter(turn, invocation, &mut self.line);
            self.waiting += 1;
        }
    }

    pub(crate) fn remove_waiter(&mut self, revision: RevisionId, turn: Turn) {
        if let Some(pool) = self.pools.get_mut(&revision) {
            pool.remove_waiter(turn, &mut self.line);
            self.waiting -= 1;
        }
        self.forget_if_empty(revision);
    }

    /// Counts a new environment in and names it.
    pub(crate) fn start(&mut self, revision: RevisionId) -> Option<EnvironmentId> {
        let pool = self.pools.get_mut(&revision)?;
        let id = EnvironmentId(self.next_environment);
        self.next_environment += 1;
        pool.start_began(&mut self.line);
        let memory_mb = u64::from(pool.memory_mb);
        self.committed_mb += memory_mb;
        self.launching += 1;
        let environment = Environment {
            revision,
            memory_mb,
            state: State::Starting { launched: false },
            in_flight: BTreeMap::new(),
            slots: SLOTS,
            open: None,
            idle: None,
            resting: false,
            recent: VecDeque::new(),
            idle_since: Time::ZERO,
            fresh: true,
        };
        self.environments.insert(id, environment);
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
        if let Some(pool) = self.pools.get_mut(&environment.revision) {
            pool.start_ended(&mut self.line);
        }
        self.show(id, now);
        true
    }

    pub(crate) fn occupy(&mut self, id: EnvironmentId, invocation: InvocationId, now: Time) {
        self.hide(id);
        if let Some(environment) = self.environments.get_mut(&id) {
            environment.in_flight.insert(invocation, now);
            environment.fresh = false;
            if self.pace > 0 {
                environment.recent.push_back(now);
            }
            while environment.recent.len() > self.pace {
                environment.recent.pop_front();
            }
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
        if let Some(environment) = self.environments.get_mut(&id) {
            environment.in_flight.remove(&invocation);
        }
    }

    /// From now on it takes nothing; its memory is counted until `remove`. False if it was leaving already.
    pub(crate) fn leave(&mut self, id: EnvironmentId, why: Why) -> bool {
        self.hide(id);
        let Some(environment) = self.environments.get_mut(&id) else { return false };
        match environment.state {
            State::Leaving { .. } => return false,
            State::Serving => {}
            State::Starting { launched } => {
                self.launching -= usize::from(!launched);
                if let Some(pool) = self.pools.get_mut(&environment.revision) {
                    pool.start_ended(&mut self.line);
                }
            }
        }
        environment.state = State::Leaving { why };
        self.leaving += 1;
        self.leaving_mb += environment.memory_mb;
        true
    }

    /// It is gone, with what it held.
    pub(crate) fn remove(&mut self, id: EnvironmentId) -> Option<Environment> {
        self.leave(id, Why::Died);
        let environment = self.environments.remove(&id)?;
        self.leaving -= 1;
        self.leaving_mb -= environment.memory_mb;
        self.committed_mb -= environment.memory_mb;
        if let Some(pool) = self.pools.get_mut(&environment.revision) {
            pool.member_gone();
        }
        Some(environment)
    }

    /// Whether an environment of that size may be started.
    pub(crate) fn room(&self, memory_mb: u32, limits: &SchedulerLimits) -> Room {
        let (memory_mb, budget_mb) = (u64::from(memory_mb), limits.memory_budget_mb());
        if memory_mb > budget_mb {
            return Room::Never;
        }
        self.excess(memory_mb, 1, limits)
    }

    /// Idle environments to give up because the limits were lowered.
    pub(crate) fn over_limits(&self, limits: &SchedulerLimits) -> Vec<EnvironmentId> {
        match self.excess(0, 0, limits) {
            Room::Evict(victims) => victims,
            // Not enough is idle: all of it goes.
            Room::Wait if self.lacks(0, 0, limits) != (0, 0) => self.idle().collect(),
            Room::Fits | Room::Wait | Room::Never => Vec::new(),
        }
    }

    fn excess(&self, memory_mb: u64, places: usize, limits: &SchedulerLimits) -> Room {
        if self.over(memory_mb, places, limits) == (0, 0) {
            return Room::Fits;
        }
        let (lack_mb, lack) = self.lacks(memory_mb, places, limits);
        if (lack_mb, lack) == (0, 0) || lack_mb > self.idle_mb || lack > self.idle.len() {
            return Room::Wait;
        }
        let (mut victims, mut freed_mb) = (Vec::new(), 0);
        for id in self.idle() {
            if freed_mb >= lack_mb && victims.len() >= lack {
                break;
            }
            freed_mb += self.get(id).map_or(0, |environment| environment.memory_mb);
            victims.push(id);
        }
        Room::Evict(victims)
    }

    /// How far that much more would go over the limits: MB and environments.
    fn over(&self, memory_mb: u64, places: usize, limits: &SchedulerLimits) -> (u64, usize) {
        let environments_max = usize::try_from(limits.environments_max.max(1)).unwrap_or(usize::MAX);
        let over_mb = (self.committed_mb + memory_mb).saturating_sub(limits.memory_budget_mb());
        (over_mb, (self.len() + places).saturating_sub(environments_max))
    }

    /// What of that is not being freed already.
    fn lacks(&self, memory_mb: u64, places: usize, limits: &SchedulerLimits) -> (u64, usize) {
        let (over_mb, over) = self.over(memory_mb, places, limits);
        (over_mb.saturating_sub(self.leaving_mb), over.saturating_sub(self.leaving))
    }

    /// Lists the environment wherever one with room, or without work, is looked for.
    fn show(&mut self, id: EnvironmentId, now: Time) {
        self.next_turn += 1;
        let turn = Turn(self.next_turn);
        let Some(environment) = self.environments.get_mut(&id) else { return };
        if environment.state != State::Serving || environment.in_flight.len() >= environment.slots {
            return;
        }
        environment.resting = environment.rested_at(self.pace) > now;
        if !environment.resting {
            environment.open = Some(turn);
            if let Some(pool) = self.pools.get_mut(&environment.revision) {
                pool.set_open(turn, id);
            }
        }
        if environment.in_flight.is_empty() {
            environment.idle_since = now;
            environment.idle = Some(turn);
            self.idle.insert((turn, id));
            self.idle_mb += environment.memory_mb;
        }
    }

    fn hide(&mut self, id: EnvironmentId) {
        let Some(environment) = self.environments.get_mut(&id) else { return };
        environment.resting = false;
        if let Some(turn) = environment.open.take()
            && let Some(pool) = self.pools.get_mut(&environment.revision)
        {
            pool.set_closed(turn, id);
        }
        if let Some(turn) = environment.idle.take()
            && self.idle.remove(&(turn, id))
        {
            self.idle_mb -= environment.memory_mb;
        }
    }

    /// Says which sum or list is not what a recount gives, if one is not.
    pub(crate) fn broken_law(&self) -> Option<String> {
        let all = || self.environments.values();
        let mb = |which: &dyn Fn(&Environment) -> bool| -> u64 {
            all().filter(|e| which(e)).map(|e| e.memory_mb).sum()
        };
        let leaving = |e: &Environment| matches!(e.state, State::Leaving { .. });
        let open: usize =
            all().filter(|e| e.state == State::Serving && e.in_flight.len() < e.slots && !e.resting).count();
        let starting = all().filter(|e| matches!(e.state, State::Starting { .. })).count();
        let holds = [
            (mb(&|_| true) == self.committed_mb, "committed memory is the sum over environments"),
            (mb(&leaving) == self.leaving_mb, "leaving memory is the sum over leaving environments"),
            (mb(&Environment::is_idle) == self.idle_mb, "idle memory is the sum over idle environments"),
            (all().filter(|e| leaving(e)).count() == self.leaving, "leaving environments are counted"),
            (all().filter(|e| e.is_idle()).count() == self.idle.len(), "idle environments are listed"),
            (
                self.idle().all(|id| self.get(id).is_some_and(Environment::is_idle)),
                "what is listed as idle is",
            ),
            (self.pools().map(|p| p.open().count()).sum::<usize>() == open, "open environments are listed"),
            (
                self.pools().map(Pool::starting).sum::<usize>() == starting,
                "starting environments are counted",
            ),
            (
                all().filter(|e| e.state == State::Starting { launched: false }).count() == self.launching,
                "sandboxes being made are counted",
            ),
            (all().all(|e| e.in_flight.len() <= e.slots), "no environment runs more than it has slots"),
            (all().all(|e| self.pools.contains_key(&e.revision)), "every environment has a pool"),
            (self.pools().map(|p| p.waiters().len()).sum::<usize>() == self.waiting, "waiters are counted"),
            (!self.pools().any(Pool::is_empty), "no pool outlives its last member"),
            (
                self.line.turns().all(|(_, revision)| self.pools.contains_key(&revision)),
                "nobody gone wants a start",
            ),
            (self.of_function.len() == self.pools.len(), "every pool is listed under its function"),
        ];
        let broken = holds.iter().find(|(holds, _)| !holds).map(|(_, law)| format!("not true: {law}"));
        broken
            .or_else(|| self.line.broken_law().map(|law| format!("not true: {law}")))
            .or_else(|| self.pools().find_map(|pool| pool.broken_law(&self.line)))
    }
}
