//! Who is next to get an environment started: one start per function in turn.
//!
//! Functions that want starts stand in a circle and get one each, whoever waits longest within a function first, so that
//! a function that wants a thousand holds up another by one start and not by a thousand. Keeps count of the starts that
//! were paid for with a scaling rate, so that what nobody needs any more can be paid back. It knows no room and no rate.

use crate::pool::Turn;
use crate::{FunctionId, ProvisionedId, RevisionId};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

/// Who has a place of its own in the circle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wanter {
    /// Those who wait for a function.
    Function(FunctionId),
    /// A provisioned-concurrency configuration.
    Provisioned(ProvisionedId),
}

/// A wanter at its place in the circle.
pub(crate) type Spot = (u64, Wanter);

#[derive(Debug, Default)]
struct Queue {
    /// The waiters without a start, and the memory of what they wait for, MB.
    turns: BTreeMap<Turn, (RevisionId, u32)>,
    /// For how many of them a start has been paid; never more than they are.
    paid: usize,
}

/// All starts that are wanted.
#[derive(Debug, Default)]
pub(crate) struct Line {
    queues: BTreeMap<FunctionId, Queue>,
    places: BTreeMap<Wanter, u64>,
    circle: BTreeSet<Spot>,
    next_place: u64,
    /// Those in the circle that are no functions.
    provisioned: usize,
    /// Waiters without a start, in all queues.
    len: usize,
    /// How many of them want how much memory.
    sizes: BTreeMap<u32, usize>,
    /// Paid starts that are not needed any more, by function.
    unneeded: Vec<FunctionId>,
    /// Waiters that have lacked a start since this was last asked; some may have got one meanwhile.
    uncovered: Vec<(RevisionId, Turn)>,
}

impl Line {
    pub(crate) fn insert(&mut self, function: FunctionId, turn: Turn, revision: RevisionId, memory_mb: u32) {
        let before = self.queues.entry(function).or_default().turns.insert(turn, (revision, memory_mb));
        *self.sizes.entry(memory_mb).or_default() += 1;
        match before {
            Some((_, memory_mb)) => self.forget_size(memory_mb),
            None => self.len += 1,
        }
        self.uncovered.push((revision, turn));
        self.join(Wanter::Function(function));
    }

    pub(crate) fn remove(&mut self, function: FunctionId, turn: Turn) {
        let Some(queue) = self.queues.get_mut(&function) else { return };
        let removed = queue.turns.remove(&turn);
        while queue.paid > queue.turns.len() {
            queue.paid -= 1;
            self.unneeded.push(function);
        }
        if queue.turns.is_empty() {
            self.queues.remove(&function);
            self.quit(Wanter::Function(function));
        }
        if let Some((_, memory_mb)) = removed {
            self.len -= 1;
            self.forget_size(memory_mb);
        }
    }

    fn forget_size(&mut self, memory_mb: u32) {
        let Some(count) = self.sizes.get_mut(&memory_mb) else { return };
        *count -= 1;
        if *count == 0 {
            self.sizes.remove(&memory_mb);
        }
    }

    /// Takes the last place, unless it has one.
    pub(crate) fn join(&mut self, wanter: Wanter) {
        if !self.places.contains_key(&wanter) {
            self.next_place += 1;
            self.provisioned += usize::from(matches!(wanter, Wanter::Provisioned(_)));
            self.places.insert(wanter, self.next_place);
            self.circle.insert((self.next_place, wanter));
        }
    }

    pub(crate) fn quit(&mut self, wanter: Wanter) {
        if let Some(place) = self.places.remove(&wanter) {
            self.provisioned -= usize::from(matches!(wanter, Wanter::Provisioned(_)));
            self.circle.remove(&(place, wanter));
        }
    }

    pub(crate) fn has(&self, wanter: Wanter) -> bool {
        self.places.contains_key(&wanter)
    }

    /// Whose turn it is.
    pub(crate) fn next(&self) -> Option<Wanter> {
        self.circle.first().map(|(_, wanter)| *wanter)
    }

    /// Who comes after that spot, or first.
    pub(crate) fn after(&self, spot: Option<Spot>) -> Option<Spot> {
        match spot {
            None => self.circle.first().copied(),
            Some(spot) => self.circle.range((Excluded(spot), Unbounded)).next().copied(),
        }
    }

    /// The least and the most memory that waiters want, MB; nothing where it must be asked of each, because a
    /// configuration is among those who want starts.
    pub(crate) fn sizes(&self) -> Option<(u32, u32)> {
        let (least, most) = (self.sizes.first_key_value()?, self.sizes.last_key_value()?);
        (self.provisioned == 0).then_some((*least.0, *most.0))
    }

    /// Everybody, in the order of their turns.
    pub(crate) fn wanters(&self) -> impl Iterator<Item = Wanter> + '_ {
        self.circle.iter().map(|(_, wanter)| *wanter)
    }

    /// True if nobody wants a start.
    pub(crate) fn is_empty(&self) -> bool {
        self.circle.is_empty()
    }

    /// Waiters for whom no start is under way.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Its turn is over: the others come first.
    pub(crate) fn served(&mut self, wanter: Wanter) {
        self.quit(wanter);
        self.join(wanter);
    }

    /// The revision whose waiter has waited longest of the function's.
    pub(crate) fn oldest(&self, function: FunctionId) -> Option<RevisionId> {
        self.queues.get(&function)?.turns.first_key_value().map(|(_, (revision, _))| *revision)
    }

    /// A start for one of the function's waiters begins: told before that waiter is removed. True if it was paid for.
    pub(crate) fn begins(&mut self, function: FunctionId) -> bool {
        let Some(queue) = self.queues.get_mut(&function) else { return false };
        let was_paid = queue.paid > 0;
        queue.paid = queue.paid.saturating_sub(1);
        self.served(Wanter::Function(function));
        was_paid
    }

    /// One more of the function's waiters has a start paid for; false if none lacks one.
    pub(crate) fn paid(&mut self, function: FunctionId) -> bool {
        let Some(queue) = self.queues.get_mut(&function) else { return false };
        let lacks = queue.paid < queue.turns.len();
        queue.paid += usize::from(lacks);
        lacks
    }

    /// Paid starts that came to nothing, since this was last asked.
    pub(crate) fn unneeded(&mut self) -> Option<FunctionId> {
        self.unneeded.pop()
    }

    /// One that came to lack a start, since this was last asked.
    pub(crate) fn uncovered(&mut self) -> Option<(RevisionId, Turn)> {
        self.uncovered.pop()
    }

    /// Waiters without a start, over all functions.
    pub(crate) fn turns(&self) -> impl Iterator<Item = (Turn, RevisionId)> + '_ {
        self.queues
            .values()
            .flat_map(|queue| queue.turns.iter().map(|(turn, (revision, _))| (*turn, *revision)))
    }

    /// Says which law is broken, if one is.
    pub(crate) fn broken_law(&self) -> Option<&'static str> {
        let listed = |function: &FunctionId| self.places.contains_key(&Wanter::Function(*function));
        let waiting = self.places.keys().all(|wanter| match wanter {
            Wanter::Function(function) => self.queues.contains_key(function),
            Wanter::Provisioned(_) => true,
        });
        if !self.queues.keys().all(listed) || !waiting || self.places.len() != self.circle.len() {
            return Some("who wants a start has one place in the circle");
        }
        if self.queues.values().map(|queue| queue.turns.len()).sum::<usize>() != self.len {
            return Some("who waits without a start is counted");
        }
        let mut sizes: BTreeMap<u32, usize> = BTreeMap::new();
        for (_, memory_mb) in self.queues.values().flat_map(|queue| queue.turns.values()) {
            *sizes.entry(*memory_mb).or_default() += 1;
        }
        let provisioned = self.places.keys().filter(|wanter| matches!(wanter, Wanter::Provisioned(_)));
        if sizes != self.sizes || provisioned.count() != self.provisioned {
            return Some("the sizes of what is wanted are counted wrongly");
        }
        let sound = |queue: &Queue| !queue.turns.is_empty() && queue.paid <= queue.turns.len();
        (!self.queues.values().all(sound)).then_some("no more starts are paid for than wanted")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_get_one_start_each_in_turn() {
        let mut line = Line::default();
        for n in 0..3 {
            line.insert(FunctionId(1), Turn::nth(n), RevisionId(10), 128);
        }
        line.insert(FunctionId(2), Turn::nth(9), RevisionId(20), 256);
        assert_eq!(line.sizes(), Some((128, 256)));
        line.join(Wanter::Provisioned(ProvisionedId(7)));
        assert_eq!(line.sizes(), None, "who knows what the configuration wants");
        let mut order = Vec::new();
        while let Some(wanter) = line.next() {
            order.push(wanter);
            match wanter {
                Wanter::Function(function) => {
                    line.begins(function);
                    let turn = line.queues[&function].turns.keys().next().copied().unwrap();
                    line.remove(function, turn);
                }
                Wanter::Provisioned(_) => line.quit(wanter),
            }
            assert_eq!(line.broken_law(), None);
        }
        let (one, two) = (Wanter::Function(FunctionId(1)), Wanter::Function(FunctionId(2)));
        assert_eq!(order, [one, two, Wanter::Provisioned(ProvisionedId(7)), one, one]);
    }

    #[test]
    fn what_was_paid_and_is_not_needed_is_named_once() {
        let mut line = Line::default();
        for n in 0..3 {
            line.insert(FunctionId(1), Turn::nth(n), RevisionId(10), 128);
            line.paid(FunctionId(1));
        }
        line.begins(FunctionId(1));
        line.remove(FunctionId(1), Turn::nth(0));
        assert_eq!(line.unneeded(), None);
        line.remove(FunctionId(1), Turn::nth(1));
        assert_eq!(line.unneeded(), Some(FunctionId(1)));
        assert_eq!(line.unneeded(), None);
    }
}
