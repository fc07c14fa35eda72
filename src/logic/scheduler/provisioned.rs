//! Provisioned concurrency: what is asked for, what came of it, and which environments are too many.
//!
//! Apart from the decisions of `scheduler` because nobody waits for it: environments are started, kept and replaced without
//! an invocation. The starts themselves stand in the one line of `starts`.

use super::{Action, Due, ProvisionedFailure, ProvisionedPart, Scheduler, Why};
use crate::limits::{PROVISIONED_PAUSE_MAX, PROVISIONED_PAUSE_MIN};
use crate::{EnvironmentId, FunctionId, ProvisionedId, RevisionId, Time};
use std::collections::BTreeMap;

impl Scheduler {
    /// Other parts from now on. What is kept already stays where a part still wants it, and otherwise until the new ones
    /// have come up.
    pub(super) fn provision(
        &mut self,
        id: ProvisionedId,
        function: FunctionId,
        parts: Vec<ProvisionedPart>,
        todo: &mut Vec<Action>,
    ) {
        let parts = merged(parts);
        let wanted = parts.iter().map(|part| part.wanted).fold(0, u32::saturating_add);
        self.admission.promise(id, function, wanted);
        self.fleet.keep(id, function, &parts);
        self.timers.cancel(Due::Provision(id));
        if let Some(configuration) = self.fleet.configuration_mut(id) {
            (configuration.failed, configuration.failures, configuration.paused) = (None, 0, false);
        }
        for part in &parts {
            self.list_waiters(id, part.revision);
        }
        self.drop_surplus(id, todo);
    }

    /// Nothing is provisioned for the function any more.
    pub(super) fn provision_nothing(&mut self, function: FunctionId, todo: &mut Vec<Action>) {
        let mine = self.fleet.configurations().filter(|(_, found)| found.function == function);
        let mine: Vec<ProvisionedId> = mine.map(|(id, _)| id).collect();
        for id in mine {
            self.provision(id, function, Vec::new(), todo);
        }
    }

    /// Who waits already and came by the qualifier may take what will be kept for it.
    fn list_waiters(&mut self, id: ProvisionedId, revision: RevisionId) {
        let Some(pool) = self.fleet.pool(revision) else { return };
        let came_by = |invocation| {
            self.invocations.get(invocation).is_some_and(|admitted| admitted.provisioned == Some(id))
        };
        let waiters = pool.waiters().iter().filter(|(_, invocation)| came_by(invocation));
        let waiters: Vec<_> = waiters.map(|(turn, invocation)| (*turn, *invocation)).collect();
        for (turn, invocation) in waiters {
            self.fleet.list_waiter(id, revision, turn, invocation);
        }
    }

    /// Lets go what is idle and too much, once as many serve as are wanted.
    pub(super) fn drop_surplus(&mut self, id: ProvisionedId, todo: &mut Vec<Action>) {
        while let Some(environment) = self.fleet.configuration(id).and_then(|found| found.surplus()) {
            self.drop_kept(id, environment, todo);
        }
        self.fleet.review(id);
        if self.fleet.configuration(id).is_none() {
            self.timers.cancel(Due::Provision(id));
        }
    }

    pub(super) fn drop_kept(
        &mut self,
        id: ProvisionedId,
        environment: EnvironmentId,
        todo: &mut Vec<Action>,
    ) {
        let mut groups = self.fleet.configuration(id).into_iter().flat_map(|found| found.groups.values());
        let renewed = groups.any(|group| group.renewing == Some(environment));
        self.destroy(environment, if renewed { Why::Recycled } else { Why::Retired }, todo);
    }

    /// An old one is to be replaced: one at a time, and only while all are there.
    pub(super) fn renew(&mut self, id: ProvisionedId, environment: EnvironmentId) {
        let Some(revision) = self.fleet.get(environment).map(|found| found.revision) else { return };
        let Some(configuration) = self.fleet.configuration_mut(id) else { return };
        let busy = configuration.groups.values().any(|group| group.renewing.is_some());
        if !busy
            && configuration.is_complete()
            && let Some(group) = configuration.groups.get_mut(&revision)
        {
            group.renewing = Some(environment);
            self.fleet.review(id);
        }
    }

    /// One did not come up: a pause, longer each time, before more are started.
    pub(super) fn provision_failed(
        &mut self,
        now: Time,
        id: ProvisionedId,
        failure: Option<ProvisionedFailure>,
    ) {
        let Some(configuration) = self.fleet.configuration_mut(id) else { return };
        if failure.is_some() {
            configuration.failed = failure;
        }
        if !configuration.paused {
            configuration.paused = true;
            let doubled = PROVISIONED_PAUSE_MIN * 2_u32.saturating_pow(configuration.failures.min(16));
            configuration.failures += 1;
            self.timers.set(Due::Provision(id), now.after(doubled.min(PROVISIONED_PAUSE_MAX)));
        }
        self.fleet.review(id);
        if self.fleet.configuration(id).is_none() {
            self.timers.cancel(Due::Provision(id));
        }
    }

    pub(super) fn pause_over(&mut self, id: ProvisionedId) {
        if let Some(configuration) = self.fleet.configuration_mut(id) {
            configuration.paused = false;
            self.fleet.review(id);
        }
    }
}

/// One part for each revision.
fn merged(parts: Vec<ProvisionedPart>) -> Vec<ProvisionedPart> {
    let mut merged: BTreeMap<RevisionId, ProvisionedPart> = BTreeMap::new();
    for part in parts {
        match merged.get_mut(&part.revision) {
            Some(before) => before.wanted = before.wanted.saturating_add(part.wanted),
            None => {
                merged.insert(part.revision, part);
            }
        }
    }
    merged.into_values().collect()
}
