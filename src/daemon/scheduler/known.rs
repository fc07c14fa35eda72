//! The revisions that environments may be started of, by the numbers by which the machine knows them.
//!
//! A revision holds its code on disk, so those that are not needed any more are forgotten before unused code is collected;
//! and, for the memory, when there are twice as many as were needed the last time.

use super::super::revision::Revision;
use hearth_logic::RevisionId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Below so many, none is looked for.
const FORGET_AT_MIN: usize = 64;

/// See the module.
pub(super) struct Known {
    revisions: BTreeMap<RevisionId, Arc<Revision>>,
    forget_at: usize,
}

impl Default for Known {
    fn default() -> Self {
        Self { revisions: BTreeMap::new(), forget_at: FORGET_AT_MIN }
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

    /// Whether it is time to look for those that are not needed.
    pub(super) fn are_many(&self) -> bool {
        self.revisions.len() > self.forget_at
    }

    /// Forgets those of which no environment will be asked for.
    pub(super) fn forget_unless(&mut self, needed: impl Fn(RevisionId) -> bool) {
        self.revisions.retain(|revision, _| needed(*revision));
        self.forget_at = (self.revisions.len() * 2).max(FORGET_AT_MIN);
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
    fn what_is_not_needed_is_let_go_of() {
        let mut known = Known::default();
        let (one, two) = (numbered(1), numbered(2));
        known.learn(&one);
        known.learn(&one);
        known.learn(&two);
        known.forget_unless(|revision| revision == two.id);
        assert!(known.get(one.id).is_none() && known.get(two.id).is_some());
        assert_eq!((known.all().count(), Arc::strong_count(&one)), (1, 1));
    }

    #[test]
    fn it_is_time_again_when_there_are_twice_as_many() {
        let mut known = Known::default();
        let learn = |known: &mut Known, numbers: std::ops::RangeInclusive<u64>| {
            numbers.for_each(|number| known.learn(&numbered(number)));
            known.are_many()
        };
        assert!(!learn(&mut known, 1..=64));
        assert!(learn(&mut known, 65..=65));
        known.forget_unless(|revision| revision.0 > 20);
        assert!(!learn(&mut known, 66..=110));
        assert!(learn(&mut known, 111..=111));
    }
}
