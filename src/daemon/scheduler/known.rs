//! The revisions that environments may be started of, by the numbers by which the machine knows them.
//!
//! A revision holds its code on disk, so one that was replaced is to be forgotten soon: one of those is looked at in each
//! step. All others only take memory, and are looked for when there are twice as many as were needed the last time.

use super::super::revision::Revision;
use hearth_logic::RevisionId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Below so many, none is looked for.
const FORGET_AT_MIN: usize = 64;

/// See the module.
pub(super) struct Known {
    revisions: BTreeMap<RevisionId, Arc<Revision>>,
    /// Those that were replaced and may still be needed.
    retired: VecDeque<RevisionId>,
    forget_at: usize,
}

impl Default for Known {
    fn default() -> Self {
        Self { revisions: BTreeMap::new(), retired: VecDeque::new(), forget_at: FORGET_AT_MIN }
    }
}

impl Known {
    /// From now on the machine may name it.
    pub(super) fn learn(&mut self, revision: &Arc<Revision>) {
        self.revisions.entry(revision.id).or_insert_with(|| Arc::clone(revision));
    }

    /// The revision of this number.
    pub(super) fn get(&self, revision: RevisionId) -> Option<&Arc<Revision>> {
        self.revisions.get(&revision)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Revision>> {
        self.revisions.values()
    }

    /// It was replaced: once it is not needed any more, it is to go.
    pub(super) fn retire(&mut self, revision: RevisionId) {
        if self.revisions.contains_key(&revision) && !self.retired.contains(&revision) {
            self.retired.push_back(revision);
        }
    }

    /// Forgets those of which no environment will be asked for.
    pub(super) fn forget_unless(&mut self, needed: impl Fn(RevisionId) -> bool) {
        if let Some(revision) = self.retired.pop_front() {
            if needed(revision) {
                self.retired.push_back(revision);
            } else {
                self.revisions.remove(&revision);
            }
        }
        if self.revisions.len() > self.forget_at {
            self.revisions.retain(|revision, _| needed(*revision));
            self.forget_at = (self.revisions.len() * 2).max(FORGET_AT_MIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::decisions::tests::revision;

    fn numbered(number: u64) -> Arc<Revision> {
        Arc::new(Revision { id: RevisionId(number), ..revision("f") })
    }

    #[test]
    fn a_replaced_revision_goes_once_nobody_needs_it_and_others_stay() {
        let mut known = Known::default();
        let (one, two) = (numbered(1), numbered(2));
        known.learn(&one);
        known.learn(&two);
        known.retire(one.id);
        known.retire(one.id);
        known.retire(RevisionId(9));
        known.forget_unless(|_| true);
        assert!(known.get(one.id).is_some());
        known.forget_unless(|_| false);
        assert!(known.get(one.id).is_none() && known.get(two.id).is_some());
        known.forget_unless(|_| false);
        assert_eq!((known.all().count(), Arc::strong_count(&one)), (1, 1));
    }

    #[test]
    fn too_many_are_reduced_to_those_that_are_needed() {
        let mut known = Known::default();
        for number in 0..=FORGET_AT_MIN as u64 {
            known.learn(&numbered(number));
        }
        known.forget_unless(|revision| revision.0 < 3);
        assert_eq!(known.all().count(), 3);
    }
}
