//! The environments and the waiting line of one revision.
//!
//! Decides who is next (the oldest waiter), which environment is reused (the one freed last: the others may then go cold)
//! and how many starts the line still needs. It does not know the other revisions, memory or time; `fleet` does.

use crate::line::Line;
use crate::{EnvironmentId, FunctionId, InvocationId, RevisionId};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::time::Duration;

/// Evicted environments that are remembered for one start.
const EVICTED_MAX: usize = 64;

/// A place in an order: of arrival for invocations, of coming free for environments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn(NonZeroU64);

impl Turn {
    pub(crate) const fn nth(n: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(n))
    }
}

/// What a decision touches comes first, so that it is in few lines of the cache.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Pool {
    /// Environments with room, by when they came free: they come and mostly go at the end.
    open: SmallVec<[(Turn, EnvironmentId); 1]>,
    pub(crate) memory_mb: u32,
    starting: u32,
    /// No longer current: environments are not kept idle.
    pub(crate) retired: bool,
    waiters: BTreeMap<Turn, InvocationId>,
    /// Invocations so far.
    pub(crate) uses: u64,
    /// How long a start takes, from its beginning until it serves, nanoseconds.
    start_cost: u64,
    pub(crate) function: FunctionId,
    revision: RevisionId,
    members: u32,
    /// Provisioned-concurrency configurations that want environments of it.
    pub(crate) kept: u32,
    /// The waiters for whom no start is under way: always the youngest `waiters - starting`, also in the `Line`.
    uncovered: BTreeSet<Turn>,
    /// With room, but not yet for another.
    resting: BTreeSet<EnvironmentId>,
    /// Who went for a start that has not begun yet.
    evicted: Option<Box<Evicted>>,
}

/// Boxed, since most pools have none; and because the compiler keeps what tells a place from an empty one in a vector if it
/// can, which would be a line of its own.
#[derive(Debug, Default)]
struct Evicted(Vec<EnvironmentId>);

impl Pool {
    pub(crate) fn new(revision: RevisionId, function: FunctionId, memory_mb: u32) -> Self {
        Self {
            revision,
            function,
            memory_mb,
            retired: false,
            waiters: BTreeMap::new(),
            uncovered: BTreeSet::new(),
            open: SmallVec::new(),
            resting: BTreeSet::new(),
            starting: 0,
            members: 0,
            kept: 0,
            uses: 0,
            start_cost: 0,
            evicted: None,
        }
    }

    /// Reads something of each line of the cache that it lies in: they come together then, and not one after the other.
    pub(crate) fn fetch(&self) {
        std::hint::black_box((self.memory_mb, self.uses, self.evicted.is_some()));
    }

    pub(crate) const fn revision(&self) -> RevisionId {
        self.revision
    }

    /// The environment to reuse: the one that came free last.
    pub(crate) fn newest_open(&self) -> Option<EnvironmentId> {
        self.open.last().map(|(_, environment)| *environment)
    }

    pub(crate) fn open(&self) -> impl Iterator<Item = EnvironmentId> + '_ {
        self.open.iter().map(|(_, environment)| *environment)
    }

    pub(crate) fn set_open(&mut self, turn: Turn, environment: EnvironmentId) {
        if let Err(place) = self.open.binary_search(&(turn, environment)) {
            self.open.insert(place, (turn, environment));
        }
    }

    pub(crate) fn set_closed(&mut self, turn: Turn, environment: EnvironmentId) {
        if let Ok(place) = self.open.binary_search(&(turn, environment)) {
            self.open.remove(place);
        }
    }

    pub(crate) fn resting(&self) -> impl Iterator<Item = EnvironmentId> + '_ {
        self.resting.iter().copied()
    }

    pub(crate) fn set_resting(&mut self, environment: EnvironmentId) {
        self.resting.insert(environment);
    }

    pub(crate) fn unset_resting(&mut self, environment: EnvironmentId) {
        self.resting.remove(&environment);
    }

    pub(crate) fn oldest_waiter(&self) -> Option<InvocationId> {
        self.waiters.first_key_value().map(|(_, invocation)| *invocation)
    }

    /// The oldest waiter for whom no start is under way.
    pub(crate) fn first_uncovered(&self) -> Option<InvocationId> {
        self.uncovered.first().and_then(|turn| self.waiters.get(turn)).copied()
    }

    /// True if a start is under way that nobody who waits needs.
    pub(crate) fn covers_one_more(&self) -> bool {
        self.starting() > self.waiters.len()
    }

    pub(crate) fn waiters(&self) -> &BTreeMap<Turn, InvocationId> {
        &self.waiters
    }

    pub(crate) fn starting(&self) -> usize {
        usize::try_from(self.starting).unwrap_or(usize::MAX)
    }

    pub(crate) fn add_waiter(&mut self, turn: Turn, invocation: InvocationId, line: &mut Line) {
        self.waiters.insert(turn, invocation);
        // One who was given back may stand anywhere in the line; the uncovered ones must stay its end.
        if self.uncovered.first().is_some_and(|first| *first < turn) {
            self.uncover(turn, line);
        }
        self.rebalance(line);
    }

    pub(crate) fn remove_waiter(&mut self, turn: Turn, line: &mut Line) {
        self.waiters.remove(&turn);
        self.cover(turn, line);
        self.rebalance(line);
    }

    /// True if the start was paid for with a scaling rate.
    pub(crate) fn start_began(&mut self, line: &mut Line) -> bool {
        let was_paid = line.begins(self.function);
        self.starting += 1;
        self.rebalance(line);
        was_paid
    }

    pub(crate) fn member_came(&mut self) {
        self.members += 1;
    }

    /// Remembers what a start took; later ones count for more.
    pub(crate) fn learn(&mut self, start: Duration) {
        let start = u64::try_from(start.as_nanos()).unwrap_or(u64::MAX);
        let before = self.start_cost;
        self.start_cost = if before == 0 { start } else { before / 4 * 3 + start / 4 };
    }

    pub(crate) const fn start_cost(&self) -> Duration {
        Duration::from_nanos(self.start_cost)
    }

    pub(crate) fn note_evicted(&mut self, environment: EnvironmentId) {
        let evicted = &mut self.evicted.get_or_insert_default().0;
        if evicted.len() < EVICTED_MAX {
            evicted.push(environment);
        }
    }

    /// Who went for the next start, told once.
    pub(crate) fn take_evicted(&mut self) -> Vec<EnvironmentId> {
        self.evicted.take().map(|evicted| evicted.0).unwrap_or_default()
    }

    /// True if no start is under way for this waiter.
    pub(crate) fn is_uncovered(&self, turn: Turn) -> bool {
        self.uncovered.contains(&turn)
    }

    /// A start came to its end, good or bad.
    pub(crate) fn start_ended(&mut self, line: &mut Line) {
        self.starting = self.starting.saturating_sub(1);
        self.rebalance(line);
    }

    pub(crate) fn member_gone(&mut self) {
        self.members = self.members.saturating_sub(1);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members == 0 && self.kept == 0 && self.waiters.is_empty()
    }

    fn cover(&mut self, turn: Turn, line: &mut Line) {
        if self.uncovered.remove(&turn) {
            line.remove(self.function, turn);
        }
    }

    fn uncover(&mut self, turn: Turn, line: &mut Line) {
        if self.uncovered.insert(turn) {
            line.insert(self.function, turn, self.revision, self.memory_mb);
        }
    }

    /// Makes the youngest `waiters - starting` the uncovered ones. Each change above moves that number by one or two.
    fn rebalance(&mut self, line: &mut Line) {
        let need = self.waiters.len().saturating_sub(self.starting());
        while self.uncovered.len() > need {
            let Some(oldest) = self.uncovered.first().copied() else { return };
            self.cover(oldest, line);
        }
        while self.uncovered.len() < need {
            let next = match self.uncovered.first() {
                Some(first) => self.waiters.range(..first).next_back(),
                None => self.waiters.last_key_value(),
            };
            let Some((turn, _)) = next else { return };
            self.uncover(*turn, line);
        }
    }

    /// Says which law of this pool is broken, if one is; `line` may hold entries of others.
    pub(crate) fn broken_law(&self, line: &Line) -> Option<String> {
        let need = self.waiters.len().saturating_sub(self.starting());
        let youngest: BTreeSet<Turn> = self.waiters.keys().rev().take(need).copied().collect();
        let mine: BTreeSet<Turn> =
            line.turns().filter(|(_, revision)| *revision == self.revision).map(|(turn, _)| turn).collect();
        if !self.waiters.is_empty() && !self.open.is_empty() {
            return Some(format!("revision {}: somebody waits while an environment is idle", self.revision));
        }
        if self.uncovered != youngest || mine != youngest {
            return Some(format!("revision {}: starts wanted are not what the line needs", self.revision));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pool() -> Pool {
        Pool::new(RevisionId(0), FunctionId(0), 128)
    }

    #[test]
    fn the_environment_freed_last_is_reused_first() {
        let mut pool = pool();
        for n in 0..3 {
            pool.set_open(Turn::nth(10 - n), EnvironmentId(n));
        }
        assert_eq!(pool.newest_open(), Some(EnvironmentId(0)));
        pool.set_closed(Turn::nth(10), EnvironmentId(0));
        assert_eq!(pool.newest_open(), Some(EnvironmentId(1)));
    }

    #[test]
    fn a_start_covers_the_oldest_waiter_without_one() {
        let (mut pool, mut line) = (pool(), Line::default());
        for n in 1..=3 {
            pool.add_waiter(Turn::nth(n), InvocationId(n), &mut line);
        }
        assert!(!pool.start_began(&mut line), "nobody paid");
        assert_eq!(pool.first_uncovered(), Some(InvocationId(2)));
        pool.remove_waiter(Turn::nth(1), &mut line);
        assert_eq!(pool.first_uncovered(), Some(InvocationId(3)));
        pool.start_ended(&mut line);
        assert_eq!(pool.first_uncovered(), Some(InvocationId(2)));
        assert_eq!(line.turns().count(), 2);
    }

    proptest! {
        #[test]
        fn the_line_always_wants_exactly_the_starts_it_lacks(steps in proptest::collection::vec((0..4u8, 0..12u64), 0..200)) {
            let (mut pool, mut line) = (pool(), Line::default());
            for (what, n) in steps {
                match what {
                    0 if !pool.waiters.contains_key(&Turn::nth(n)) => pool.add_waiter(Turn::nth(n), InvocationId(n), &mut line),
                    0 | 1 => pool.remove_waiter(Turn::nth(n), &mut line),
                    2 => {
                        pool.start_began(&mut line);
                    }
                    _ => pool.start_ended(&mut line),
                }
                prop_assert_eq!(pool.broken_law(&line), None);
            }
        }
    }
}
