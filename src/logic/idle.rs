//! Which idle environment goes first when room is needed: Greedy-Dual priority.
//!
//! An environment is worth keeping by how often its revision is used and how long its starts take, for each MB that it
//! holds. A clock that moves to the worth of whoever went lets what was worth much long ago age against what is used now
//! (Fuerst and Sharma, "FaasCache", 2021). It evicts nobody itself.

use crate::EnvironmentId;
use crate::pool::Turn;
use std::collections::BTreeSet;
use std::time::Duration;

/// A place in the order: who has the lowest goes first; among equals the one idle longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    priority: u64,
    turn: Turn,
}

/// Idle environments that may be evicted.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    order: BTreeSet<(Rank, EnvironmentId)>,
    clock: u64,
    mb: u64,
}

/// Starts that would be paid again, in microseconds, for each MB.
pub(crate) fn worth(uses: u64, start: Duration, memory_mb: u64) -> u64 {
    let micros = u64::try_from(start.as_micros()).unwrap_or(u64::MAX);
    uses.saturating_mul(micros) / memory_mb.max(1)
}

impl Idle {
    pub(crate) fn insert(&mut self, id: EnvironmentId, worth: u64, turn: Turn, memory_mb: u64) -> Rank {
        let rank = Rank { priority: self.clock.saturating_add(worth), turn };
        if self.order.insert((rank, id)) {
            self.mb += memory_mb;
        }
        rank
    }

    pub(crate) fn remove(&mut self, id: EnvironmentId, rank: Rank, memory_mb: u64) {
        if self.order.remove(&(rank, id)) {
            self.mb -= memory_mb;
        }
    }

    /// One of that rank was evicted: the others age.
    pub(crate) fn evicted(&mut self, rank: Rank) {
        self.clock = self.clock.max(rank.priority);
    }

    /// In the order in which they would go.
    pub(crate) fn iter(&self) -> impl Iterator<Item = EnvironmentId> + '_ {
        self.order.iter().map(|(_, id)| *id)
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn mb(&self) -> u64 {
        self.mb
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn what_is_used_often_costs_much_to_start_and_holds_little_stays_longest() {
        let mut idle = Idle::default();
        let table = [(0, 9, 100, 128), (1, 1, 100, 128), (2, 9, 1_000, 128), (3, 9, 100, 1_024)];
        for (id, uses, cost, memory_mb) in table {
            idle.insert(EnvironmentId(id), worth(uses, millis(cost), memory_mb), Turn(id), memory_mb);
        }
        let order: Vec<u64> = idle.iter().map(|id| id.0).collect();
        assert_eq!(order, [1, 3, 0, 2]);
        assert_eq!((idle.len(), idle.mb()), (4, 1_408));
    }

    #[test]
    fn what_was_worth_much_long_ago_ages() {
        let mut idle = Idle::default();
        idle.insert(EnvironmentId(0), 100, Turn(0), 1);
        for n in 1..=100 {
            let rank = idle.insert(EnvironmentId(n), 2, Turn(n), 1);
            if idle.iter().next() == Some(EnvironmentId(0)) {
                // The evictions of small fry have brought the clock to it.
                assert_eq!(n, 50);
                return;
            }
            idle.evicted(rank);
            idle.remove(EnvironmentId(n), rank, 1);
        }
        panic!("it never ages");
    }

    #[test]
    fn no_worth_overflows() {
        assert_eq!(worth(u64::MAX, Duration::MAX, 0), u64::MAX);
        let mut idle = Idle::default();
        let rank = idle.insert(EnvironmentId(0), u64::MAX, Turn(0), 1);
        idle.evicted(rank);
        assert!(idle.insert(EnvironmentId(1), u64::MAX, Turn(1), 1) > rank);
    }
}
