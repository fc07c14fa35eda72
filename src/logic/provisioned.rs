//! Environments that are kept ready for a version or alias: how many there are, are lacking, and are too many.
//!
//! Decides what each configuration still needs and which of its environments goes when there are more than wanted: while
//! parts change, an old one for each new one that has come up. It starts and destroys nothing; `scheduler/provisioned.rs`
//! does, and memory is `fleet`'s.

use crate::exchange::{ProvisionedFailure, ProvisionedState};
use crate::pool::Turn;
use crate::{EnvironmentId, FunctionId, InvocationId, ProvisionedId, RevisionId};
use std::collections::{BTreeMap, BTreeSet};

/// Environments of one revision in one configuration.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) memory_mb: u32,
    pub(crate) wanted: u32,
    /// Starting or serving.
    pub(crate) members: u32,
    pub(crate) serving: u32,
    /// Serving, with something to do.
    pub(crate) running: u32,
    /// With room, by when they came free.
    pub(crate) open: BTreeSet<(Turn, EnvironmentId)>,
    /// Without work, the oldest first.
    pub(crate) idle: BTreeSet<EnvironmentId>,
    /// Who wait and came by the configuration's qualifier.
    pub(crate) waiters: BTreeMap<Turn, InvocationId>,
    /// The one that goes as soon as another has come up in its place: it is old.
    pub(crate) renewing: Option<EnvironmentId>,
}

impl Group {
    fn need(&self) -> u32 {
        (self.wanted + u32::from(self.renewing.is_some())).saturating_sub(self.members)
    }

    fn to_spare(&self) -> Option<EnvironmentId> {
        if self.serving <= self.wanted {
            return None;
        }
        match self.renewing.filter(|old| !self.idle.contains(old)) {
            None => self.renewing.or_else(|| self.idle.first().copied()),
            // The old one counts as one too many, which goes when it has done its work; any more go at once.
            Some(_) => self.idle.first().copied().filter(|_| self.serving - self.wanted > 1),
        }
    }

    pub(crate) fn newest_open(&self) -> Option<EnvironmentId> {
        self.open.last().map(|(_, environment)| *environment)
    }
}

/// Provisioned concurrency of one version or alias.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) function: FunctionId,
    pub(crate) groups: BTreeMap<RevisionId, Group>,
    pub(crate) failed: Option<ProvisionedFailure>,
    /// Pauses in a row.
    pub(crate) failures: u32,
    /// Nothing is started until the pause is over.
    pub(crate) paused: bool,
}

impl Configuration {
    pub(crate) const fn new(function: FunctionId) -> Self {
        Self { function, groups: BTreeMap::new(), failed: None, failures: 0, paused: false }
    }

    fn sum(&self, of: impl Fn(&Group) -> u32) -> u32 {
        self.groups.values().map(of).fold(0, u32::saturating_add)
    }

    pub(crate) fn wanted(&self) -> u32 {
        self.sum(|group| group.wanted)
    }

    /// What to start next, if something is lacking, and its memory.
    pub(crate) fn lacking(&self) -> Option<(RevisionId, u32)> {
        let lacking = self.groups.iter().find(|(_, group)| group.need() > 0);
        lacking.map(|(revision, group)| (*revision, group.memory_mb))
    }

    /// An idle environment of which there are too many, once as many serve as are wanted in all.
    pub(crate) fn surplus(&self) -> Option<EnvironmentId> {
        if self.sum(|group| group.serving) <= self.wanted() {
            return None;
        }
        self.to_spare()
    }

    /// An idle environment of a part that has more than it wants, whether the others have come up or not.
    pub(crate) fn to_spare(&self) -> Option<EnvironmentId> {
        self.groups.values().find_map(Group::to_spare)
    }

    /// True while each part has what it wants.
    pub(crate) fn is_complete(&self) -> bool {
        self.groups.values().all(|group| group.serving >= group.wanted)
    }

    pub(crate) fn is_void(&self) -> bool {
        self.groups.values().all(|group| group.wanted == 0 && group.members == 0)
    }

    pub(crate) fn state(&self) -> ProvisionedState {
        ProvisionedState {
            wanted: self.wanted(),
            allocated: self.sum(|group| group.serving.min(group.wanted)),
            available: self.sum(|group| group.serving.min(group.wanted)),
            running: self.sum(|group| group.running),
            serving: self.sum(|group| group.serving),
            failed: self.failed.clone(),
        }
    }
}

/// All configurations.
pub(crate) type Configurations = BTreeMap<ProvisionedId, Configuration>;
