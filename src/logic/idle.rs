//! Which idle environment goes first when room is needed: Greedy-Dual priority.
//!
//! An environment is worth keeping by how often its revision is used and how long its starts take, for each MB that it
//! holds. A clock that moves to the worth of whoever went lets what was worth much long ago age against what is used now
//! (Fuerst and Sharma, "FaasCache", 2021). It evicts nobody itself.

use crate::EnvironmentId;
use crate::pool::Turn;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::time::Duration;

/// A place in the order: who has the lowest goes first; among equals the one idle longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    priority: u64,
    turn: Turn,
}

/// Idle environments that may be evicted.
///
/// Under load each is idle for an instant thousands of times, and nobody asks who would go. So one that is used stays where
/// it is listed; when it is idle again it stands there or later, since whoever was used is worth more. Who asks for the
/// order gets it from what each says of itself, and what lies at the beginning of the list without standing there is put
/// right ([`Self::list_again`]) while room is short.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    list: BTreeSet<(Rank, EnvironmentId)>,
    clock: u64,
    count: usize,
    mb: u64,
}

/// Starts that would be paid again, in microseconds, for each MB.
pub(crate) fn worth(uses: u64, start: Duration, memory_mb: u64) -> u64 {
    let micros = u64::try_from(start.as_micros()).unwrap_or(u64::MAX);
    uses.saturating_mul(micros) / memory_mb.max(1)
}

impl Idle {
    /// One has nothing to do; where it stands, and where it is listed, given where it was listed before.
    pub(crate) fn insert(
        &mut self,
        id: EnvironmentId,
        worth: u64,
        turn: Turn,
        (memory_mb, listed): (u64, Option<Rank>),
    ) -> (Rank, Rank) {
        let rank = Rank { priority: self.clock.saturating_add(worth), turn };
        self.count += 1;
        self.mb += memory_mb;
        match listed {
            Some(listed) if listed <= rank => (rank, listed),
            Some(_) | None => {
                self.forget(id, listed);
                self.list.insert((rank, id));
                (rank, rank)
            }
        }
    }

    /// One is not idle any more.
    pub(crate) fn remove(&mut self, memory_mb: u64) {
        self.count -= 1;
        self.mb -= memory_mb;
    }

    /// One is gone.
    pub(crate) fn forget(&mut self, id: EnvironmentId, listed: Option<Rank>) {
        if let Some(listed) = listed {
            self.list.remove(&(listed, id));
        }
    }

    /// One of that rank was evicted: the others age.
    pub(crate) fn evicted(&mut self, rank: Rank) {
        self.clock = self.clock.max(rank.priority);
    }

    /// In the order in which they would go; `rank` is where each stands by now, if it is idle.
    pub(crate) fn iter(
        &self,
        rank: impl Fn(EnvironmentId) -> Option<Rank>,
    ) -> impl Iterator<Item = EnvironmentId> {
        let mut listed = self.list.iter().peekable();
        let mut later: BinaryHeap<Reverse<(Rank, EnvironmentId)>> = BinaryHeap::new();
        std::iter::from_fn(move || {
            loop {
                let next = listed.peek().copied();
                if let Some(Reverse(first)) = later.peek().copied()
                    && next.is_none_or(|next| first < *next)
                {
                    later.pop();
                    return Some(first.1);
                }
                let (_, id) = *next?;
                listed.next();
                if let Some(rank) = rank(id) {
                    later.push(Reverse((rank, id)));
                }
            }
        })
    }

    /// Who is listed first, wherever it stands.
    pub(crate) fn first_listed(&self) -> Option<(Rank, EnvironmentId)> {
        self.list.first().copied()
    }

    /// Lists one where it stands, if it is idle, and not where it is listed; returns where that is.
    pub(crate) fn list_again(&mut self, id: EnvironmentId, listed: Rank, rank: Option<Rank>) -> Option<Rank> {
        self.forget(id, Some(listed));
        self.list.extend(rank.map(|rank| (rank, id)));
        rank
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn mb(&self) -> u64 {
        self.mb
    }

    /// How many are listed.
    pub(crate) fn listed(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn is_listed(&self, id: EnvironmentId, rank: Rank) -> bool {
        self.list.contains(&(rank, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn what_is_used_often_costs_much_to_start_and_holds_little_stays_longest() {
        let mut idle = Idle::default();
        let table = [(0, 9, 100, 128), (1, 1, 100, 128), (2, 9, 1_000, 128), (3, 9, 100, 1_024)];
        let mut ranks = BTreeMap::new();
        for (id, uses, cost, memory_mb) in table {
            let worth = worth(uses, millis(cost), memory_mb);
            let (rank, _) = idle.insert(EnvironmentId(id), worth, Turn::nth(id), (memory_mb, None));
            ranks.insert(EnvironmentId(id), rank);
        }
        let order: Vec<u64> = idle.iter(|id| ranks.get(&id).copied()).map(|id| id.0).collect();
        assert_eq!(order, [1, 3, 0, 2]);
        assert_eq!((idle.len(), idle.mb()), (4, 1_408));
    }

    #[test]
    fn the_order_is_of_where_they_stand_wherever_they_are_listed() {
        let mut idle = Idle::default();
        let (one, two, three) = (EnvironmentId(1), EnvironmentId(2), EnvironmentId(3));
        let (first, listed) = idle.insert(one, 10, Turn::nth(1), (1, None));
        let (second, _) = idle.insert(two, 20, Turn::nth(2), (1, None));
        let (third, _) = idle.insert(three, 30, Turn::nth(3), (1, None));
        // The first is used, and worth more than the second then: it stays where it was listed.
        idle.remove(1);
        let order = |idle: &Idle, first: Option<Rank>| -> Vec<u64> {
            let ranks = BTreeMap::from([(one, first), (two, Some(second)), (three, Some(third))]);
            idle.iter(|id| ranks[&id]).map(|id| id.0).collect()
        };
        assert_eq!(order(&idle, None), [2, 3]);
        let (again, still) = idle.insert(one, 25, Turn::nth(4), (1, Some(listed)));
        assert_eq!((still, order(&idle, Some(again))), (first, vec![2, 1, 3]));
        assert_eq!(idle.first_listed(), Some((first, one)));
        assert_eq!(idle.list_again(one, first, Some(again)), Some(again));
        assert_eq!((idle.first_listed(), order(&idle, Some(again))), (Some((second, two)), vec![2, 1, 3]));
        // Worth less than before, because its starts have become quicker: it is listed where it stands at once.
        idle.remove(1);
        let (less, listed) = idle.insert(one, 5, Turn::nth(5), (1, Some(again)));
        assert_eq!((listed, order(&idle, Some(less))), (less, vec![1, 2, 3]));
        assert_eq!((idle.listed(), idle.len()), (3, 3));
    }

    #[test]
    fn what_was_worth_much_long_ago_ages() {
        let mut idle = Idle::default();
        let (old, _) = idle.insert(EnvironmentId(0), 100, Turn::nth(0), (1, None));
        for n in 1..=100 {
            let (rank, listed) = idle.insert(EnvironmentId(n), 2, Turn::nth(n), (1, None));
            if rank > old {
                // The evictions of small fry have brought the clock to it.
                assert_eq!(n, 50);
                return;
            }
            idle.evicted(rank);
            idle.remove(1);
            idle.forget(EnvironmentId(n), Some(listed));
        }
        panic!("it never ages");
    }

    #[test]
    fn no_worth_overflows() {
        assert_eq!(worth(u64::MAX, Duration::MAX, 0), u64::MAX);
        let mut idle = Idle::default();
        let (rank, _) = idle.insert(EnvironmentId(0), u64::MAX, Turn::nth(0), (1, None));
        idle.evicted(rank);
        assert!(idle.insert(EnvironmentId(1), u64::MAX, Turn::nth(1), (1, None)).0 > rank);
    }
}
