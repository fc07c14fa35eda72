//! A table of things by number, found in a step whose cost does not grow with them.
//!
//! The scheduler looks things up dozens of times in a decision; among a hundred thousand, each search of a tree misses the
//! cache several times. Order is by number, never by hash: whoever walks over all of it pays for sorting.

/// What can be looked up by.
pub(crate) trait Number: Copy + Ord {
    fn number(self) -> u64;
}

impl Number for crate::EnvironmentId {
    fn number(self) -> u64 {
        self.0
    }
}

impl Number for crate::RevisionId {
    fn number(self) -> u64 {
        self.0
    }
}

const EMPTY: u32 = u32::MAX;
const SLOTS_MIN: usize = 16;

/// One thing, at the beginning of a line of the cache and its key first, so that it is in no more lines than it must be.
#[derive(Debug)]
#[repr(C, align(64))]
struct Entry<K, V> {
    key: K,
    value: V,
}

/// Values by key.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    /// Open addressing: places in `values`, or `EMPTY`. A power of two, at most half full.
    slots: Vec<u32>,
    values: Vec<Option<Entry<K, V>>>,
    free: Vec<u32>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { slots: vec![EMPTY; SLOTS_MIN], values: Vec::new(), free: Vec::new() }
    }
}

impl<K: Number, V> Table<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.values.len() - self.free.len()
    }

    fn home(&self, key: K) -> usize {
        // Fibonacci hashing: by the highest bits, numbers that follow each other lie far apart. They are the daemon's own,
        // nobody can choose them to collide.
        let bits = self.slots.len().trailing_zeros();
        let mixed = key.number().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits);
        usize::try_from(mixed).unwrap_or(0)
    }

    fn after(&self, slot: usize) -> usize {
        (slot + 1) & (self.slots.len() - 1)
    }

    fn key_in(&self, slot: usize) -> Option<K> {
        let place = usize::try_from(self.slots[slot]).unwrap_or(usize::MAX);
        self.values.get(place)?.as_ref().map(|entry| entry.key)
    }

    /// The slot of the key, or the empty one where it belongs.
    fn slot(&self, key: K) -> usize {
        let mut slot = self.home(key);
        while self.slots[slot] != EMPTY && self.key_in(slot) != Some(key) {
            slot = self.after(slot);
        }
        slot
    }

    fn place(&self, key: K) -> Option<usize> {
        let place = self.slots[self.slot(key)];
        if place == EMPTY { None } else { usize::try_from(place).ok() }
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.place(*key).is_some()
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.values.get(self.place(*key)?)?.as_ref().map(|entry| &entry.value)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = self.place(*key)?;
        self.values.get_mut(place)?.as_mut().map(|entry| &mut entry.value)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if let Some(there) = self.get_mut(&key) {
            *there = value;
            return;
        }
        self.insert_new(key, value);
    }

    /// Gives a key that is not there its place.
    fn insert_new(&mut self, key: K, value: V) -> usize {
        if (self.len() + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let slot = self.slot(key);
        let entry = Some(Entry { key, value });
        let place = match self.free.pop().and_then(|free| usize::try_from(free).ok()) {
            Some(free) => {
                self.values[free] = entry;
                free
            }
            None => {
                self.values.push(entry);
                self.values.len() - 1
            }
        };
        self.slots[slot] = u32::try_from(place).unwrap_or(EMPTY);
        place
    }

    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let place = match self.place(key) {
            Some(place) => place,
            None => self.insert_new(key, make()),
        };
        &mut self.values[place].get_or_insert_with(|| unreachable!("its slot names it")).value
    }

    fn grow(&mut self) {
        self.slots = vec![EMPTY; self.slots.len() * 2];
        for place in 0..self.values.len() {
            let Some(key) = self.values[place].as_ref().map(|entry| entry.key) else { continue };
            let mut slot = self.home(key);
            while self.slots[slot] != EMPTY {
                slot = self.after(slot);
            }
            self.slots[slot] = u32::try_from(place).unwrap_or(EMPTY);
        }
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let mut hole = self.slot(*key);
        let place = self.slots[hole];
        if place == EMPTY {
            return None;
        }
        self.slots[hole] = EMPTY;
        // Whoever stands after the hole and belongs at or before it moves up.
        let mut slot = self.after(hole);
        while let Some(there) = self.key_in(slot) {
            let distance = |from: usize, to: usize| to.wrapping_sub(from) & (self.slots.len() - 1);
            if distance(self.home(there), slot) >= distance(hole, slot) {
                self.slots[hole] = std::mem::replace(&mut self.slots[slot], EMPTY);
                hole = slot;
            }
            slot = self.after(slot);
        }
        self.free.push(place);
        let place = usize::try_from(place).ok()?;
        self.values.get_mut(place)?.take().map(|entry| entry.value)
    }

    /// All, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        let mut all: Vec<(K, &V)> =
            self.values.iter().flatten().map(|entry| (entry.key, &entry.value)).collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all.into_iter()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EnvironmentId, RevisionId};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn what_a_decision_touches_lies_in_three_lines_of_the_cache_each() {
        let most = 3 * 64;
        assert!(size_of::<Option<Entry<RevisionId, crate::pool::Pool>>>() <= most);
        assert!(size_of::<Option<Entry<EnvironmentId, crate::environment::Environment>>>() <= most);
    }

    #[test]
    fn numbers_that_follow_each_other_are_each_found_at_once() {
        let mut table = Table::default();
        (0..100_000).for_each(|n| table.insert(EnvironmentId(n), ()));
        let away = (0..100_000).filter(|n| table.slot(EnvironmentId(*n)) != table.home(EnvironmentId(*n)));
        assert_eq!(away.count(), 0);
    }

    proptest! {
        #[test]
        fn a_table_holds_what_a_tree_holds(steps in proptest::collection::vec((0..3u8, 0..40u64), 0..400)) {
            let (mut table, mut tree) = (Table::default(), BTreeMap::new());
            for (at, (what, n)) in steps.into_iter().enumerate() {
                // Numbers far apart and close together, so that some share a slot.
                let key = EnvironmentId(if n % 3 == 0 { n << 40 } else { n });
                if what == 0 {
                    prop_assert_eq!(table.remove(&key), tree.remove(&key));
                } else {
                    table.insert(key, at);
                    tree.insert(key, at);
                }
                prop_assert_eq!(table.get(&key), tree.get(&key));
                prop_assert_eq!(table.contains_key(&key), tree.contains_key(&key));
                prop_assert_eq!(table.len(), tree.len());
                let held: Vec<(EnvironmentId, usize)> = table.iter().map(|(key, value)| (key, *value)).collect();
                let expected: Vec<(EnvironmentId, usize)> = tree.iter().map(|(key, value)| (*key, *value)).collect();
                prop_assert_eq!(held, expected);
            }
        }
    }
}
