//! All deadlines of a machine in one table.
//!
//! One table, so that `wake_at` cannot forget one. It does not know what the deadlines are for.

use crate::Time;
use std::collections::{BTreeMap, BTreeSet};

/// At most one deadline per key.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    by_time: BTreeSet<(Time, K)>,
    by_key: BTreeMap<K, Time>,
}

impl<K: Ord + Copy> Timers<K> {
    pub(crate) const fn new() -> Self {
        Self { by_time: BTreeSet::new(), by_key: BTreeMap::new() }
    }

    /// Sets the deadline of `key`, in place of an earlier one.
    pub(crate) fn set(&mut self, key: K, at: Time) {
        if let Some(before) = self.by_key.insert(key, at) {
            self.by_time.remove(&(before, key));
        }
        self.by_time.insert((at, key));
    }

    pub(crate) fn cancel(&mut self, key: K) {
        if let Some(at) = self.by_key.remove(&key) {
            self.by_time.remove(&(at, key));
        }
    }

    pub(crate) fn is_set(&self, key: K) -> bool {
        self.by_key.contains_key(&key)
    }

    pub(crate) fn at(&self, key: K) -> Option<Time> {
        self.by_key.get(&key).copied()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = K> + '_ {
        self.by_key.keys().copied()
    }

    /// Takes the earliest deadline if it is not after `now`.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<K> {
        let (at, key) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.cancel(key);
        Some(key)
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_fall_due_in_order_once_and_only_as_last_set() {
        let at = Time::from_nanos;
        let mut timers = Timers::new();
        timers.set('a', at(30));
        timers.set('b', at(20));
        timers.set('c', at(10));
        timers.set('a', at(15));
        timers.cancel('c');
        assert_eq!(timers.next(), Some(at(15)));
        assert_eq!(timers.pop_due(at(14)), None);
        assert_eq!(timers.pop_due(at(99)), Some('a'));
        assert!(timers.is_set('b'));
        assert_eq!(timers.pop_due(at(99)), Some('b'));
        assert_eq!(timers.pop_due(at(99)), None);
        assert_eq!(timers.next(), None);
    }
}
