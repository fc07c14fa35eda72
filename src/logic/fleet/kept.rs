//! The provisioned environments among the others: what happens to one, noted in its group.
//!
//! Each note that changes what a configuration lacks puts it into the line of those who want starts, or takes it out.

use super::Fleet;
use crate::environment::State;
use crate::line::Wanter;
use crate::pool::Turn;
use crate::provisioned::{Configuration, Group};
use crate::scheduler::ProvisionedPart;
use crate::{EnvironmentId, FunctionId, InvocationId, ProvisionedId, RevisionId};

impl Fleet {
    pub(crate) fn configuration(&self, id: ProvisionedId) -> Option<&Configuration> {
        self.configurations.get(&id)
    }

    pub(crate) fn configuration_mut(&mut self, id: ProvisionedId) -> Option<&mut Configuration> {
        self.configurations.get_mut(&id)
    }

    pub(crate) fn configurations(&self) -> impl Iterator<Item = (ProvisionedId, &Configuration)> {
        self.configurations.iter().map(|(id, configuration)| (*id, configuration))
    }

    pub(crate) fn group(&self, id: Option<ProvisionedId>, revision: RevisionId) -> Option<&Group> {
        self.configurations.get(&id?)?.groups.get(&revision)
    }

    pub(super) fn group_mut(
        &mut self,
        id: Option<ProvisionedId>,
        revision: RevisionId,
    ) -> Option<&mut Group> {
        self.configurations.get_mut(&id?)?.groups.get_mut(&revision)
    }

    /// Names what is to be kept ready from now on; revisions that are not named are to go. No part names a revision twice.
    pub(crate) fn keep(&mut self, id: ProvisionedId, function: FunctionId, parts: &[ProvisionedPart]) {
        let configuration = self.configurations.entry(id).or_insert_with(|| Configuration::new(function));
        configuration.function = function;
        let before: Vec<RevisionId> = configuration
            .groups
            .iter_mut()
            .filter_map(|(revision, group)| (std::mem::take(&mut group.wanted) > 0).then_some(*revision))
            .collect();
        for part in parts.iter().filter(|part| part.wanted > 0) {
            let group = configuration.groups.entry(part.revision).or_default();
            (group.wanted, group.memory_mb) = (part.wanted, part.memory_mb);
        }
        for part in parts.iter().filter(|part| part.wanted > 0) {
            self.enter(part.revision, function, part.memory_mb).kept += 1;
        }
        for revision in before {
            if let Some(pool) = self.pool_mut(revision) {
                pool.kept = pool.kept.saturating_sub(1);
            }
            self.forget_if_empty(revision);
        }
    }

    /// Lists one who waits already under a group that came later.
    pub(crate) fn list_waiter(
        &mut self,
        id: ProvisionedId,
        revision: RevisionId,
        turn: Turn,
        invocation: InvocationId,
    ) {
        if let Some(group) = self.group_mut(Some(id), revision) {
            group.waiters.insert(turn, invocation);
        }
    }

    /// Nothing is kept ready any more: the daemon ends.
    pub(crate) fn keep_nothing(&mut self) {
        self.closing = true;
        let all: Vec<ProvisionedId> = self.configurations.keys().copied().collect();
        for id in all {
            self.review(id);
        }
    }

    pub(super) fn wants_more(&self, id: ProvisionedId) -> bool {
        let configuration = self.configurations.get(&id).filter(|found| !found.paused && !self.closing);
        configuration.is_some_and(|found| found.lacking().is_some())
    }

    /// Puts a configuration into the line or takes it out; forgets it with its last environment.
    pub(crate) fn review(&mut self, id: ProvisionedId) {
        let wanter = Wanter::Provisioned(id);
        if self.wants_more(id) {
            self.line.join(wanter);
        } else {
            self.line.quit(wanter);
        }
        let Some(configuration) = self.configurations.get_mut(&id) else { return };
        configuration.groups.retain(|_, group| group.wanted > 0 || group.members > 0);
        if configuration.is_void() {
            self.configurations.remove(&id);
        }
    }

    pub(super) fn kept_begins(&mut self, id: Option<ProvisionedId>, revision: RevisionId) {
        if let Some(group) = self.group_mut(id, revision) {
            group.members += 1;
        }
        if let Some(id) = id {
            self.line.served(Wanter::Provisioned(id));
            self.review(id);
        }
    }

    pub(super) fn kept_serves(&mut self, id: Option<ProvisionedId>, revision: RevisionId) {
        let mut is_wanted = false;
        if let Some(group) = self.group_mut(id, revision) {
            group.serving += 1;
            is_wanted = group.wanted > 0;
        }
        if !is_wanted {
            return;
        }
        if let Some(configuration) = id.and_then(|id| self.configurations.get_mut(&id)) {
            (configuration.failed, configuration.failures) = (None, 0);
        }
    }

    pub(super) fn kept_works(&mut self, id: Option<ProvisionedId>, revision: RevisionId, works: bool) {
        if let Some(group) = self.group_mut(id, revision) {
            group.running = if works { group.running + 1 } else { group.running.saturating_sub(1) };
        }
    }

    pub(super) fn kept_leaves(&mut self, id: EnvironmentId, before: State, works: bool) {
        let Some(environment) = self.get(id) else { return };
        let (revision, provisioned) = (environment.revision, environment.provisioned);
        let Some(group) = self.group_mut(provisioned, revision) else { return };
        group.members = group.members.saturating_sub(1);
        group.serving = group.serving.saturating_sub(u32::from(before == State::Serving));
        group.running = group.running.saturating_sub(u32::from(works));
        if group.renewing == Some(id) {
            group.renewing = None;
        }
        if let Some(id) = provisioned {
            self.review(id);
        }
    }

    pub(super) fn show_kept(&mut self, id: EnvironmentId, turn: Turn) {
        let Some(environment) = self.get(id) else { return };
        let (revision, provisioned) = (environment.revision, environment.provisioned);
        let (open, idle) = (environment.is_open(), environment.is_idle());
        let Some(group) = self.group_mut(provisioned, revision) else { return };
        if open {
            group.open.insert((turn, id));
        }
        if idle && group.idle.insert(id) {
            self.idle_kept += 1;
        }
    }

    pub(super) fn hide_kept(&mut self, id: EnvironmentId, open: Option<Turn>) {
        let Some(environment) = self.get(id) else { return };
        let (revision, provisioned) = (environment.revision, environment.provisioned);
        let Some(group) = self.group_mut(provisioned, revision) else { return };
        if let Some(turn) = open {
            group.open.remove(&(turn, id));
        }
        if group.idle.remove(&id) {
            self.idle_kept -= 1;
        }
    }
}
