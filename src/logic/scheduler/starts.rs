//! Which environments are started: one for each function in turn, while there is room and few enough are being made.
//!
//! Apart from `scheduler` because it is one loop, run at the end of each step. It does not know who waits or for what.

use super::{Action, Initialization, Scheduler, Why};
use crate::admission::Reason;
use crate::fleet::Room;
use crate::line::Wanter;
use crate::{RevisionId, Time};

impl Scheduler {
    /// What the next start is for.
    pub(crate) fn next_start(&self) -> Option<RevisionId> {
        match self.fleet.line.next()? {
            Wanter::Function(function) => self.fleet.line.oldest(function),
            Wanter::Provisioned(_) => None,
        }
    }

    /// Starts what is wanted until a bound is met. The first that has no room holds up the others: passing it by would
    /// starve the large.
    pub(super) fn start_wanted(&mut self, now: Time, todo: &mut Vec<Action>) {
        let starts_max = usize::try_from(self.limits.starts_max.max(1)).unwrap_or(usize::MAX);
        while self.fleet.launching() < starts_max {
            let Some(revision) = self.next_start() else { return };
            let Some(pool) = self.fleet.pool(revision) else { return };
            let (function, memory_mb, uncovered) = (pool.function, pool.memory_mb, pool.first_uncovered());
            match (self.fleet.room(memory_mb, &self.limits), uncovered) {
                (Room::Fits, Some(_)) => {
                    let Some(environment) = self.fleet.start(revision) else { return };
                    todo.push(Action::Start {
                        environment,
                        function,
                        revision,
                        memory_mb,
                        initialization: Initialization::OnDemand,
                    });
                }
                (Room::Never, Some(invocation)) => {
                    self.refuse(now, invocation, Reason::CapacityExceeded, todo)
                }
                (Room::Evict(victims), Some(_)) => {
                    for environment in victims {
                        self.destroy(environment, Why::Evicted, todo);
                    }
                    return;
                }
                (Room::Wait, Some(_)) | (_, None) => return,
            }
        }
    }
}
