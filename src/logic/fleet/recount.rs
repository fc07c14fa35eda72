//! The recount of the fleet: every sum and list against what the environments themselves say.

use super::Fleet;
use crate::environment::{Environment, State};
use crate::line::Wanter;
use crate::pool::Pool;
use crate::provisioned::Group;
use crate::{ProvisionedId, RevisionId};

impl Fleet {
    /// Says which sum or list is not what a recount gives, if one is not.
    pub(crate) fn broken_law(&self) -> Option<String> {
        let all = || self.environments.values();
        let mb = |which: &dyn Fn(&Environment) -> bool| -> u64 {
            all().filter(|e| which(e)).map(|e| e.memory_mb).sum()
        };
        let idle = |e: &Environment| e.is_idle() && e.provisioned.is_none();
        let open: usize = all().filter(|e| e.has_room() && !e.resting && e.provisioned.is_none()).count();
        let starting = all().filter(|e| e.is_starting()).count();
        let covering = all().filter(|e| e.is_starting() && e.provisioned.is_none()).count();
        let holds = [
            (mb(&|_| true) == self.committed_mb, "committed memory is the sum over environments"),
            (
                mb(&Environment::is_leaving) == self.leaving_mb,
                "leaving memory is the sum over leaving environments",
            ),
            (mb(&idle) == self.idle.mb(), "idle memory is the sum over idle environments"),
            (all().filter(|e| e.is_leaving()).count() == self.leaving, "leaving environments are counted"),
            (all().filter(|e| idle(e)).count() == self.idle.len(), "idle environments are listed"),
            (self.idle().all(|id| self.get(id).is_some_and(idle)), "what is listed as idle is"),
            (self.idle().count() == self.idle.len(), "what is idle is found in the list"),
            (
                self.idle().is_sorted_by_key(|id| self.get(id).map(|e| e.rank)),
                "in the order in which it goes",
            ),
            (
                self.iter().all(|(id, e)| e.listed.is_none_or(|listed| self.idle.is_listed(id, listed)))
                    && self.idle.listed() == all().filter(|e| e.listed.is_some()).count(),
                "each environment knows where it is listed",
            ),
            (
                all().all(|e| e.rank.is_none() || e.listed <= e.rank),
                "nobody is listed behind where he stands",
            ),
            (self.pools().map(|p| p.open().count()).sum::<usize>() == open, "open environments are listed"),
            (
                self.starting == starting && self.pools().map(Pool::starting).sum::<usize>() == covering,
                "starting environments are counted",
            ),
            (
                all().filter(|e| e.state == State::Starting { launched: false }).count() == self.launching,
                "sandboxes being made are counted",
            ),
            (all().all(|e| e.in_flight.len() <= e.slots()), "no environment runs more than it has slots"),
            (all().all(|e| self.pools.contains_key(&e.revision)), "every environment has a pool"),
            (self.pools().map(|p| p.waiters().len()).sum::<usize>() == self.waiting, "waiters are counted"),
            (!self.pools().any(Pool::is_empty), "no pool outlives its last member"),
            (
                self.line.turns().all(|(_, revision)| self.pools.contains_key(&revision)),
                "nobody gone wants a start",
            ),
            (self.of_function.len() == self.pools.len(), "every pool is listed under its function"),
        ];
        let broken = holds.iter().find(|(holds, _)| !holds).map(|(_, law)| format!("not true: {law}"));
        let broken = broken.or_else(|| self.broken_keeping());
        broken
            .or_else(|| self.line.broken_law().map(|law| format!("not true: {law}")))
            .or_else(|| self.pools().find_map(|pool| pool.broken_law(&self.line)))
    }

    /// The same for what is kept ready.
    fn broken_keeping(&self) -> Option<String> {
        for (id, environment) in self.iter().filter(|(_, e)| !e.is_leaving()) {
            if environment.provisioned.is_some()
                && self.group(environment.provisioned, environment.revision).is_none()
            {
                return Some(format!("environment {id} is kept for nothing"));
            }
        }
        let kept = self.iter().filter(|(_, e)| e.is_idle() && e.provisioned.is_some()).count();
        if kept != self.idle_kept {
            return Some("idle provisioned environments are not counted".to_owned());
        }
        for (id, configuration) in self.configurations() {
            let wants = self.wants_more(id);
            if wants != self.line.has(Wanter::Provisioned(id)) {
                return Some(format!("provisioned {id}: it wants a start: {wants}, and the line differs"));
            }
            let broken = configuration
                .groups
                .iter()
                .find_map(|(revision, group)| self.broken_group(id, *revision, group));
            if broken.is_some() {
                return broken;
            }
            if configuration.surplus().is_some() {
                return Some(format!("provisioned {id}: more idle than are wanted"));
            }
        }
        None
    }

    fn broken_group(&self, id: ProvisionedId, revision: RevisionId, group: &Group) -> Option<String> {
        let of = |e: &Environment| e.provisioned == Some(id) && e.revision == revision && !e.is_leaving();
        let count = |which: &dyn Fn(&Environment) -> bool| {
            u32::try_from(self.iter().filter(|(_, e)| of(e) && which(e)).count()).unwrap_or(u32::MAX)
        };
        let size = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let holds = [
            (group.members == count(&|_| true), "members are counted"),
            (group.serving == count(&|e| e.state == State::Serving), "serving ones are counted"),
            (group.running == count(&|e| !e.in_flight.is_empty()), "running ones are counted"),
            (size(group.open.len()) == count(&|e| e.has_room() && !e.resting), "open ones are listed"),
            (size(group.idle.len()) == count(&Environment::is_idle), "idle ones are listed"),
            (group.open.is_empty() || group.waiters.is_empty(), "nobody waits while one is idle"),
            (group.wanted == 0 || self.pool(revision).is_some(), "the revision is served"),
            (
                group.waiters.iter().all(|(turn, waiter)| {
                    self.pool(revision).and_then(|pool| pool.waiters().get(turn)) == Some(waiter)
                }),
                "who is listed waits",
            ),
            (group.renewing.is_none_or(|old| self.get(old).is_some_and(of)), "who is renewed is there"),
        ];
        let broken = holds.iter().find(|(holds, _)| !holds);
        broken.map(|(_, law)| format!("provisioned {id}, revision {revision}: not true: {law}"))
    }
}
