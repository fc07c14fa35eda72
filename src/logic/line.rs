//! Who is next to get an environment started: one start per function in turn.
//!
//! Functions that want starts stand in a circle and get one each, whoever waits longest within a function first, so that
//! a function that wants a thousand holds up another by one start and not by a thousand. Keeps count of the starts that
//! were paid for with a scaling rate, so that what nobody needs any more can be paid back. It knows no room and no rate.

use crate::pool::Turn;
use crate::{FunctionId, ProvisionedId, RevisionId};
use std::collections::{BTreeMap, BTreeSet};

/// Who has a place of its own in the circle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wanter {
    /// Those who wait for a function.
    Function(FunctionId),
    /// A provisioned-concurrency configuration.
    Provisioned(ProvisionedId),
}

#[derive(Debug, Default)]
struct Queue {
    /// The waiters without a start.
    turns: BTreeMap<Turn, RevisionId>,
    /// For how many of them a start has been paid; never more than they are.
    paid: usize,
}

/// All starts that are wanted.
#[derive(Debug, Default)]
pub(crate) struct Line {
    queues: BTreeMap<FunctionId, Queue>,
    places: BTreeMap<Wanter, u64>,
    circle: BTreeSet<(u64, Wanter)>,
    next_place: u64,
    /// Waiters without a start, in all queues.
    len: usize,
    /// Paid starts that are not needed any more, by function.
    unneeded: Vec<FunctionId>,
}

impl Line {
    pub(crate) fn insert(&mut self, function: FunctionId, turn: Turn, revision: RevisionId) {
        let before = self.queues.entry(function).or_default().turns.insert(turn, revision);
        self.len += usize::from(before.is_none());
        self.join(Wanter::Function(function));
    }

    pub(crate) fn remove(&mut self, function: FunctionId, turn: Turn) {
        let Some(queue) = self.queues.get_mut(&function) else { return };
        self.len -= usize::from(queue.turns.remove(&turn).is_some());
        while queue.paid > queue.turns.len() {
            queue.paid -= 1;
            self.unneeded.push(function);
        }
        if queue.turns.is_empty() {
            self.queues.remove(&function);
            self.quit(Wanter::Function(function));
        }
    }

    /// Takes the last place, unless it has one.
    pub(crate) fn join(&mut self, wanter: Wanter) {
        if !self.places.contains_key(&wanter) {
            self.next_place += 1;
            self.places.insert(wanter, self.next_place);
            self.circle.insert((self.next_place, wanter));
        }
    }

    pub(crate) fn quit(&mut self, wanter: Wanter) {
        if let Some(place) = self.places.remove(&wanter) {
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
        self.queues.get(&function)?.turns.first_key_value().map(|(_, revision)| *revision)
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

    /// Waiters without a start, over all functions.
    pub(crate) fn turns(&self) -> impl Iterator<Item = (Turn, RevisionId)> + '_ {
        self.queues.values().flat_map(|queue| queue.turns.iter().map(|(turn, revision)| (*turn, *revision)))
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
            line.insert(FunctionId(1), Turn::nth(n), RevisionId(10));
        }
        line.insert(FunctionId(2), Turn::nth(9), RevisionId(20));
        line.join(Wanter::Provisioned(ProvisionedId(7)));
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
            line.insert(FunctionId(1), Turn::nth(n), RevisionId(10));
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
