//! The laws of the scheduler, as a recount of everything after each step.
//!
//! Bugs here are assertions, not errors: a broken law stops a debug build at the step that broke it. The recount is O(n),
//! so that it is left out of release builds and, to keep debug builds usable under load, of large worlds.

use crate::environment::Environment;
use crate::exchange::Event;
use crate::fleet::Room;
use crate::limits::PASSED_BY_MAX;
use crate::scheduler::{Due, Place, Scheduler};
use crate::{FunctionId, InvocationId, ProvisionedId, Time};
use std::collections::BTreeMap;

/// Larger worlds are not recounted.
const SMALL_ENVIRONMENTS: usize = 64;
const SMALL_INVOCATIONS: usize = 256;

/// What must not grow beyond a limit, as it was before a step. Lowered limits stop nothing that runs, so that a limit may
/// be exceeded, but never by more.
pub(crate) struct Watch(Option<Before>);

struct Before {
    /// Settings changed: what runs may count under another heading.
    settings: bool,
    running: u32,
    unreserved: u32,
    functions: BTreeMap<FunctionId, u32>,
    committed_mb: u64,
    environments: usize,
    launching: usize,
}

fn is_setting(event: &Event) -> bool {
    matches!(
        event,
        Event::Configure { .. }
            | Event::Function { .. }
            | Event::FunctionGone { .. }
            | Event::Provision { .. }
    )
}

/// True where the scheduler recounts after each step of its own accord.
pub(crate) fn checks_itself(scheduler: &Scheduler) -> bool {
    cfg!(debug_assertions) && is_small(scheduler)
}

fn is_small(scheduler: &Scheduler) -> bool {
    scheduler.fleet().len() <= SMALL_ENVIRONMENTS && scheduler.invocations().len() <= SMALL_INVOCATIONS
}

impl Watch {
    pub(crate) fn before(scheduler: &Scheduler, event: Option<&Event>) -> Self {
        if !checks_itself(scheduler) {
            return Self(None);
        }
        let admission = scheduler.admission();
        Self(Some(Before {
            settings: event.is_some_and(is_setting),
            running: admission.running(),
            unreserved: admission.running_unreserved(),
            functions: admission.functions().map(|f| (f, admission.running_of(f))).collect(),
            committed_mb: scheduler.fleet().committed_mb(),
            environments: scheduler.fleet().len(),
            launching: scheduler.fleet().launching(),
        }))
    }

    pub(crate) fn check(self, scheduler: &Scheduler) {
        let Some(before) = self.0 else { return };
        if !is_small(scheduler) {
            return;
        }
        let broken = broken_law(scheduler).or_else(|| before.outgrown(scheduler));
        assert!(broken.is_none(), "scheduler: {}", broken.unwrap_or_default());
    }
}

impl Before {
    fn outgrown(&self, scheduler: &Scheduler) -> Option<String> {
        let (admission, fleet, limits) = (scheduler.admission(), scheduler.fleet(), scheduler.limits());
        let size = |n: u32| usize::try_from(n.max(1)).unwrap_or(usize::MAX);
        if fleet.committed_mb() > limits.memory_budget_mb().max(self.committed_mb) {
            return Some("committed memory is above capacity × overcommit".to_owned());
        }
        if fleet.len() > size(limits.environments_max).max(self.environments) {
            return Some("there are more environments than allowed".to_owned());
        }
        if fleet.launching() > size(limits.starts_max).max(self.launching) {
            return Some("more sandboxes are being made than allowed".to_owned());
        }
        if self.settings {
            return None;
        }
        if admission.running() > admission.account().max(self.running) {
            return Some("more is in flight than the account may have".to_owned());
        }
        if admission.running_unreserved() > admission.unreserved().max(self.unreserved) {
            return Some("the unreserved share is exceeded".to_owned());
        }
        let over = admission.functions().find(|function| {
            let before = self.functions.get(function).copied().unwrap_or(0);
            admission.reserved_of(*function).is_some_and(|n| admission.running_of(*function) > n.max(before))
        });
        over.map(|function| format!("function {function} exceeds its reservation"))
    }
}

/// Says which law is broken, if one is.
pub(crate) fn broken_law(scheduler: &Scheduler) -> Option<String> {
    scheduler
        .fleet()
        .broken_law()
        .or_else(|| broken_permits(scheduler))
        .or_else(|| broken_deadlines(scheduler))
}

/// Every permit belongs to one invocation, and every invocation is in exactly one place.
fn broken_permits(scheduler: &Scheduler) -> Option<String> {
    let (admission, fleet) = (scheduler.admission(), scheduler.fleet());
    let mut functions: BTreeMap<FunctionId, u32> = BTreeMap::new();
    let mut promises: BTreeMap<(FunctionId, ProvisionedId), u32> = BTreeMap::new();
    let mut plain: BTreeMap<FunctionId, u32> = BTreeMap::new();
    for (invocation, admitted) in scheduler.invocations() {
        let permit = admitted.permit();
        *functions.entry(permit.function()).or_default() += 1;
        match permit.promise() {
            Some(id) => *promises.entry((permit.function(), id)).or_default() += 1,
            None => *plain.entry(permit.function()).or_default() += 1,
        }
        let is_there = match admitted.place {
            Place::Waiting => {
                fleet.pool(admitted.revision).and_then(|pool| pool.waiters().get(&admitted.turn))
                    == Some(invocation)
            }
            Place::Running(environment) => fleet.get(environment).is_some_and(|environment| {
                environment.in_flight.contains_key(invocation) && environment.revision == admitted.revision
            }),
        };
        if !is_there {
            return Some(format!("invocation {invocation} is not where it should be: {:?}", admitted.place));
        }
    }
    let held: usize = fleet.iter().map(|(_, environment)| environment.in_flight.len()).sum();
    if held + fleet.waiting() != scheduler.invocations().len() {
        return Some("somewhere is an invocation without a permit".to_owned());
    }
    let free = |function: &FunctionId| admission.reserved_of(*function).is_none();
    let beyond = promises.iter().filter(|((function, _), _)| free(function));
    let beyond = beyond.map(|((_, id), n)| n.saturating_sub(admission.promised_to(*id)));
    let unreserved: u32 =
        plain.iter().filter(|(function, _)| free(function)).map(|(_, n)| *n).chain(beyond).sum();
    let counted = functions.iter().all(|(function, n)| admission.running_of(*function) == *n);
    let all = usize::try_from(admission.running()) == Ok(scheduler.invocations().len());
    if !counted || !all || unreserved != admission.running_unreserved() {
        return Some("permits out are not invocations in flight".to_owned());
    }
    None
}

/// Whoever waits or idles has a deadline, and nobody else; nobody waits for a start that could begin now.
fn broken_deadlines(scheduler: &Scheduler) -> Option<String> {
    let (fleet, timers) = (scheduler.fleet(), scheduler.timers());
    for (id, environment) in fleet.iter().filter(|(_, environment)| environment.is_idle()) {
        let armed = timers.at(Due::Idle(id));
        if armed != environment.armed {
            return Some(format!("environment {id} is not looked at when it thinks"));
        }
        let wanted = scheduler.idle_deadline(environment);
        // One that is past its age and provisioned is looked at now and then.
        let late = |at: Time| armed.is_none_or(|armed| armed > at) && environment.provisioned.is_none();
        if wanted.is_some_and(late) || wanted.is_some() && armed.is_none() {
            return Some(format!("environment {id} would be idle for too long"));
        }
    }
    // Who has a start under way may have outlived its deadline: the driver bounds the start.
    let mut waiters = fleet.pools().flat_map(|pool| pool.waiters().values());
    let endless = |invocation: &&InvocationId| {
        !timers.is_set(Due::Wait(**invocation)) && !scheduler.is_covered(**invocation)
    };
    if let Some(invocation) = waiters.find(endless) {
        return Some(format!("invocation {invocation} would wait for ever"));
    }
    let resting = |environment: &Environment| environment.resting;
    if let Some((id, _)) = fleet.iter().find(|(id, e)| resting(e) && !timers.is_set(Due::Rested(*id))) {
        return Some(format!("environment {id} would rest for ever"));
    }
    let stale = timers.keys().find(|due| match due {
        Due::Idle(id) => fleet.get(*id).is_none_or(Environment::is_leaving),
        // The pause of one that is forgotten ends without anything.
        Due::Provision(id) => fleet.configuration(*id).is_some_and(|found| !found.paused),
        Due::Rested(id) => !fleet.get(*id).is_some_and(resting),
        Due::Destroy(id) => !fleet.get(*id).is_some_and(Environment::is_leaving),
        Due::Wait(id) => {
            !scheduler.invocations().get(id).is_some_and(|admitted| admitted.place == Place::Waiting)
        }
        Due::Pass => !scheduler.holds(),
        Due::Drained => false,
    });
    if let Some(due) = stale {
        return Some(format!("a deadline is left of nothing: {due:?}"));
    }
    if let Some((id, _)) =
        fleet.configurations().find(|(id, found)| found.paused != timers.is_set(Due::Provision(*id)))
    {
        return Some(format!("provisioned {id} pauses for ever"));
    }
    idle_start(scheduler)
}

/// Nobody waits for a start that could begin now, of those who are looked at. Behind one that has no room smaller ones begin,
/// unless all wait for it.
fn idle_start(scheduler: &Scheduler) -> Option<String> {
    let (fleet, limits) = (scheduler.fleet(), scheduler.limits());
    if fleet.launching() >= usize::try_from(limits.starts_max.max(1)).unwrap_or(usize::MAX) {
        return None;
    }
    for wanter in fleet.line.wanters().take(PASSED_BY_MAX) {
        let Some(pool) = scheduler.next_start_of(wanter).and_then(|revision| fleet.pool(revision)) else {
            return Some(format!("{wanter:?} wants a start of nothing"));
        };
        match fleet.room(pool.memory_mb, limits) {
            Room::Wait => return None,
            Room::TooLarge if scheduler.holds() => return None,
            Room::TooLarge => {}
            Room::Fits | Room::Evict(_) | Room::Never => {
                return Some("a start could begin and does not".to_owned());
            }
        }
    }
    None
}
