//! The scheduler's promises one by one, in virtual time; worlds in which everything happens at once are in `sim`.

use super::*;
use crate::Profile;
use crate::limits::RETRY_PAUSE;

mod arrivals;
mod model;
mod model_room;
mod passing;
mod pools;
mod provisioned;
mod rates;
mod room;
mod waits;

const F: FunctionId = FunctionId(1);
const R: RevisionId = RevisionId(10);
const S: RevisionId = RevisionId(20);

/// A scheduler, the moment, and what it said last.
struct Desk {
    scheduler: Scheduler,
    now: Time,
}

fn i(n: u64) -> InvocationId {
    InvocationId(n)
}

fn e(n: u64) -> EnvironmentId {
    EnvironmentId(n)
}

fn assign(invocation: u64, environment: u64) -> Action {
    Action::Assign { invocation: i(invocation), environment: e(environment), decision: anyhow() }
}

/// Most tests ask what is decided, not how it came to that.
fn anyhow() -> Decision {
    Decision {
        start: StartType::Warm,
        spilled_over: false,
        waited: Duration::ZERO,
        waited_for: None,
        evicted: Vec::new(),
    }
}

fn without_reasons(mut actions: Vec<Action>) -> Vec<Action> {
    for action in &mut actions {
        match action {
            Action::Assign { decision, .. } => *decision = anyhow(),
            Action::Refuse { rate, waited, waited_for, retry_after, .. } => {
                (*waited, *retry_after) = (Duration::ZERO, None);
                (*rate, *waited_for) = (None, None);
            }
            _ => {}
        }
    }
    actions
}

fn start(environment: u64, revision: RevisionId) -> Action {
    Action::Start {
        environment: e(environment),
        function: F,
        revision,
        memory_mb: 128,
        initialization: Initialization::OnDemand,
    }
}

fn refuse(invocation: u64, reason: Reason) -> Action {
    Action::Refuse {
        invocation: i(invocation),
        reason,
        rate: None,
        retry_after: None,
        waited: Duration::ZERO,
        waited_for: None,
    }
}

fn fail(invocation: u64, detail: Detail) -> Action {
    Action::Fail { invocation: i(invocation), detail }
}

fn destroy(environment: u64, why: Why) -> Action {
    Action::Destroy { environment: e(environment), why }
}

fn released(environment: u64, invocation: u64, reuse: bool) -> Event {
    Event::Released { environment: e(environment), invocation: i(invocation), reuse }
}

fn offer(invocation: u64, revision: RevisionId) -> Event {
    Event::Offer {
        invocation: i(invocation),
        function: F,
        revision,
        memory_mb: 128,
        source: Source::Synchronous,
        provisioned: None,
    }
}

impl Desk {
    fn new(change: impl FnOnce(&mut SchedulerLimits)) -> Self {
        let mut limits = SchedulerLimits { freeze_after: None, ..SchedulerLimits::default() };
        change(&mut limits);
        Self { scheduler: Scheduler::new(limits), now: Time::ZERO }
    }

    fn tell(&mut self, event: Event) -> Vec<Action> {
        without_reasons(self.tell_why(event))
    }

    /// With all that the decisions say of themselves.
    fn tell_why(&mut self, event: Event) -> Vec<Action> {
        let mut todo = Vec::new();
        self.scheduler.step(self.now, event, &mut todo);
        todo
    }

    fn offer_to(&mut self, invocation: u64, revision: RevisionId) -> Vec<Action> {
        self.tell(offer(invocation, revision))
    }

    fn offer(&mut self, invocation: u64) -> Vec<Action> {
        self.offer_to(invocation, R)
    }

    fn ready(&mut self, environment: u64) -> Vec<Action> {
        self.tell(Event::Ready { environment: e(environment) })
    }

    /// Runs one invocation cold and leaves its environment idle.
    fn warm(&mut self, invocation: u64, environment: u64, revision: RevisionId) {
        assert_eq!(self.offer_to(invocation, revision), [start(environment, revision)]);
        assert_eq!(self.ready(environment), [assign(invocation, environment)]);
        assert_eq!(self.tell(released(environment, invocation, true)), []);
    }

    fn wait(&mut self, duration: Duration) -> Vec<Action> {
        self.now = self.now.after(duration);
        let mut todo = Vec::new();
        self.scheduler.elapse(self.now, &mut todo);
        without_reasons(todo)
    }
}

#[test]
fn a_cold_invocation_gets_the_environment_started_for_it() {
    let mut desk = Desk::new(|_| ());
    assert_eq!(desk.offer(1), [start(0, R)]);
    assert_eq!(desk.tell(Event::Launched { environment: e(0) }), []);
    assert_eq!(desk.ready(0), [assign(1, 0)]);
    assert_eq!(desk.scheduler.admission().running(), 1);
    assert_eq!(desk.tell(released(0, 1, true)), []);
    assert_eq!(desk.scheduler.admission().running(), 0);
}

#[test]
fn a_warm_invocation_reuses_the_environment_that_came_free_last() {
    let mut desk = Desk::new(|_| ());
    desk.offer(1);
    desk.offer(2);
    assert_eq!(desk.ready(0), [assign(1, 0)]);
    assert_eq!(desk.ready(1), [assign(2, 1)]);
    desk.tell(released(1, 2, true));
    desk.tell(released(0, 1, true));
    assert_eq!(desk.offer(3), [assign(3, 0)]);
    assert_eq!(desk.offer(4), [assign(4, 1)]);
    assert_eq!(desk.offer(5), [start(2, R)]);
}

#[test]
fn whoever_waits_takes_what_comes_first_and_the_surplus_is_kept_idle() {
    let mut desk = Desk::new(|_| ());
    desk.warm(1, 0, R);
    assert_eq!(desk.offer(2), [assign(2, 0)]);
    assert_eq!(desk.offer(3), [start(1, R)]);
    assert_eq!(desk.tell(released(0, 2, true)), [assign(3, 0)]);
    assert_eq!(desk.ready(1), []);
    assert_eq!(desk.scheduler.census().idle, 1);
    assert_eq!(desk.offer(4), [assign(4, 1)]);
}

#[test]
fn waiters_of_one_revision_are_served_in_order_of_arrival() {
    let mut desk = Desk::new(|limits| limits.starts_max = 1);
    assert_eq!(desk.offer(1), [start(0, R)]);
    for n in 2..=4 {
        assert_eq!(desk.offer(n), []);
    }
    assert_eq!(desk.tell(Event::Launched { environment: e(0) }), [start(1, R)]);
    assert_eq!(desk.ready(0), [assign(1, 0)]);
    assert_eq!(desk.tell(released(0, 1, true)), [assign(2, 0)]);
    assert_eq!(desk.ready(1), [assign(3, 1), start(2, R)]);
    assert_eq!(desk.tell(released(0, 2, true)), [assign(4, 0)]);
}

#[test]
fn no_more_sandboxes_are_made_at_once_than_allowed() {
    let mut desk = Desk::new(|limits| limits.starts_max = 2);
    assert_eq!(desk.offer(1), [start(0, R)]);
    assert_eq!(desk.offer_to(2, S), [start(1, S)]);
    assert_eq!(desk.offer_to(3, S), []);
    assert_eq!(desk.offer(4), []);
    let failed = Event::StartFailed { environment: e(0), detail: "x".to_owned() };
    // The next start is for the longest wait of all, and the failed one's invocation waits no more.
    assert_eq!(desk.tell(failed), [fail(1, Detail::StartFailed("x".to_owned())), start(2, S)]);
}

#[test]
fn a_start_that_nobody_needs_any_more_is_not_begun() {
    let mut desk = Desk::new(|limits| limits.starts_max = 1);
    desk.warm(1, 0, R);
    assert_eq!(desk.offer(2), [assign(2, 0)]);
    assert_eq!(desk.offer_to(3, S), [start(1, S)]);
    assert_eq!(desk.offer(4), []);
    assert_eq!(desk.tell(released(0, 2, true)), [assign(4, 0)]);
    assert_eq!(desk.ready(1), [assign(3, 1)]);
}

#[test]
fn a_failed_start_fails_the_oldest_waiter_without_another_under_way() {
    let mut desk = Desk::new(|_| ());
    desk.offer(1);
    desk.offer(2);
    let failed = |environment| Event::StartFailed { environment: e(environment), detail: "x".to_owned() };
    assert_eq!(desk.tell(failed(1)), [fail(2, Detail::StartFailed("x".to_owned()))]);
    assert_eq!(desk.tell(failed(0)), [fail(1, Detail::StartFailed("x".to_owned()))]);
    assert_eq!(desk.scheduler.census().environments, 0);
    assert_eq!(desk.scheduler.admission().running(), 0);
}

#[test]
fn a_failed_surplus_start_fails_nobody() {
    let mut desk = Desk::new(|_| ());
    desk.offer(1);
    desk.offer(2);
    assert_eq!(desk.ready(0), [assign(1, 0)]);
    assert_eq!(desk.tell(released(0, 1, true)), [assign(2, 0)]);
    assert_eq!(desk.tell(Event::StartFailed { environment: e(1), detail: String::new() }), []);
}

#[test]
fn throttling_has_lambdas_reasons() {
    let mut desk = Desk::new(|limits| limits.account_concurrency = 2);
    desk.offer(1);
    desk.offer(2);
    assert_eq!(desk.offer(3), [refuse(3, Reason::ConcurrentInvocationLimitExceeded)]);
    desk.tell(Event::Function { function: F, reserved: Some(0), idle_timeout: None });
    let reserved = Reason::ReservedFunctionConcurrentInvocationLimitExceeded;
    assert_eq!(desk.offer(4), [refuse(4, reserved)]);
    assert_eq!(reserved.to_string(), "ReservedFunctionConcurrentInvocationLimitExceeded");
}

#[test]
fn an_idle_environment_is_destroyed_after_its_functions_timeout() {
    let mut desk = Desk::new(|_| ());
    desk.warm(1, 0, R);
    let five_minutes = Duration::from_secs(300);
    assert_eq!(desk.wait(five_minutes - Duration::from_nanos(1)), []);
    assert_eq!(desk.wait(Duration::from_nanos(1)), [destroy(0, Why::IdleTimeout)]);
    assert_eq!(desk.scheduler.census().committed_mb, 128);
    desk.tell(Event::Destroyed { environment: e(0) });
    assert_eq!(desk.scheduler.census().committed_mb, 0);

    desk.warm(2, 1, R);
    let idle_timeout = Some(Duration::from_secs(7));
    desk.tell(Event::Function { function: F, reserved: None, idle_timeout });
    assert_eq!(desk.scheduler.wake_at(), Some(desk.now.after(Duration::from_secs(7))));
    assert_eq!(desk.offer(3), [assign(3, 1)]);
    // The deadline is looked at when it comes, and moves as long as it is busy.
    assert_eq!(desk.wait(Duration::from_secs(7)), []);
    assert_eq!(desk.tell(released(1, 3, true)), []);
    assert_eq!(desk.wait(Duration::from_secs(7)), [destroy(1, Why::IdleTimeout)]);
}

#[test]
fn the_environment_idle_longest_is_evicted_when_another_revision_needs_memory() {
    let mut desk = Desk::new(|limits| (limits.memory_capacity_mb, limits.memory_overcommit) = (128, 2));
    desk.warm(1, 0, R);
    desk.warm(2, 1, S);
    let third = RevisionId(30);
    assert_eq!(desk.offer_to(3, third), [destroy(0, Why::Evicted)]);
    assert_eq!(desk.tell(Event::Destroyed { environment: e(0) }), [start(2, third)]);
    assert_eq!(desk.ready(2), [assign(3, 2)]);
}

#[test]
fn who_needs_more_than_can_be_evicted_waits_and_is_refused_in_the_end() {
    let mut desk = Desk::new(|limits| (limits.memory_capacity_mb, limits.memory_overcommit) = (128, 1));
    desk.offer(1);
    desk.ready(0);
    assert_eq!(desk.offer_to(2, S), []);
    assert_eq!(desk.offer_to(3, S), []);
    assert_eq!(desk.tell(released(0, 1, true)), [destroy(0, Why::Evicted)]);
    assert_eq!(desk.tell(Event::Destroyed { environment: e(0) }), [start(1, S)]);
    assert_eq!(desk.ready(1), [assign(2, 1)]);
    assert_eq!(desk.wait(crate::limits::WAIT_MAX), [refuse(3, Reason::CapacityExceeded)]);
}

#[test]
fn who_needs_more_than_the_box_has_is_refused_at_once() {
    let mut desk = Desk::new(|limits| (limits.memory_capacity_mb, limits.memory_overcommit) = (100, 1));
    assert_eq!(desk.offer(1), [refuse(1, Reason::CapacityExceeded)]);
    assert_eq!(desk.scheduler.admission().running(), 0);
}

#[test]
fn the_line_has_an_end() {
    let mut desk = Desk::new(|limits| (limits.waiters_max, limits.starts_max) = (2, 1));
    desk.offer(1);
    desk.offer(2);
    desk.offer(3);
    assert_eq!(desk.offer(4), [refuse(4, Reason::QueueFull)]);
    // Who has a start under way does not stand in it.
    assert_eq!(desk.tell(Event::Launched { environment: e(0) }), [start(1, R)]);
    assert_eq!(desk.offer(5), []);
}

#[test]
fn without_a_line_who_can_be_started_for_at_once_is_and_nobody_else() {
    let mut desk = Desk::new(|limits| (limits.waiters_max, limits.starts_max) = (0, 1));
    assert_eq!(desk.offer(1), [start(0, R)]);
    assert_eq!(desk.offer_to(2, S), [refuse(2, Reason::QueueFull)]);
    assert_eq!(desk.ready(0), [assign(1, 0)]);
    assert_eq!(desk.offer_to(3, S), [start(1, S)]);
    assert_eq!(desk.tell(released(0, 1, true)), []);
    assert_eq!(desk.offer(4), [assign(4, 0)]);
}

#[test]
fn a_retired_revision_serves_its_line_and_goes() {
    let mut desk = Desk::new(|limits| limits.environments_max = 2);
    desk.warm(1, 0, R);
    assert_eq!(desk.offer(2), [assign(2, 0)]);
    assert_eq!(desk.offer(3), [start(1, R)]);
    assert_eq!(desk.offer(4), []);
    assert_eq!(desk.tell(Event::Retire { revision: R }), []);
    assert_eq!(desk.tell(released(0, 2, true)), [assign(3, 0)]);
    assert_eq!(desk.ready(1), [assign(4, 1)]);
    assert_eq!(desk.tell(released(0, 3, true)), [destroy(0, Why::Retired)]);
    assert_eq!(desk.tell(released(1, 4, true)), [destroy(1, Why::Retired)]);
}

#[test]
fn a_retired_revision_is_served_until_nothing_of_it_is_left() {
    let mut desk = Desk::new(|limits| limits.starts_max = 1);
    assert!(!desk.scheduler.serves(R));
    assert_eq!(desk.offer_to(1, S), [start(0, S)]);
    assert_eq!(desk.offer(2), []);
    desk.tell(Event::Retire { revision: R });
    assert!(desk.scheduler.serves(R));
    assert_eq!(desk.ready(0), [assign(1, 0), start(1, R)]);
    assert_eq!(desk.ready(1), [assign(2, 1)]);
    desk.tell(released(1, 2, true));
    assert!(desk.scheduler.serves(R));
    desk.tell(Event::Destroyed { environment: e(1) });
    assert!(!desk.scheduler.serves(R));
}

#[test]
fn retiring_destroys_what_is_idle_now_and_an_offer_makes_current_again() {
    let mut desk = Desk::new(|_| ());
    desk.warm(1, 0, R);
    assert_eq!(desk.tell(Event::Retire { revision: R }), [destroy(0, Why::Retired)]);
    desk.warm(2, 1, R);
    assert_eq!(desk.tell(Event::FunctionGone { function: F }), [destroy(1, Why::Retired)]);
}

#[test]
fn what_an_environment_held_when_it_died_is_failed_once() {
    let mut desk = Desk::new(|_| ());
    desk.offer(1);
    desk.ready(0);
    let died = Event::Died { environment: e(0) };
    assert_eq!(desk.tell(died.clone()), [fail(1, Detail::Died), destroy(0, Why::Died)]);
    assert_eq!(desk.tell(died), []);
    assert_eq!(desk.tell(released(0, 1, true)), []);
    assert_eq!(desk.tell(Event::Destroyed { environment: e(0) }), []);
    assert_eq!(desk.scheduler.admission().running(), 0);
}

#[test]
fn what_was_settled_before_the_death_is_not_failed() {
    let mut desk = Desk::new(|_| ());
    desk.offer(1);
    desk.ready(0);
    assert_eq!(desk.tell(released(0, 1, false)), [destroy(0, Why::Spent)]);
    assert_eq!(desk.tell(Event::Died { environment: e(0) }), []);
}

#[test]
fn an_environment_that_dies_while_starting_fails_the_one_it_was_for() {
    let mut desk = Desk::new(|_| ());
    desk.offer(1);
    let died = Event::Died { environment: e(0) };
    assert_eq!(desk.tell(died), [destroy(0, Why::Died), fail(1, Detail::Died)]);
}

#[test]
fn what_is_given_back_goes_to_the_head_of_the_line_but_not_for_ever() {
    let mut desk = Desk::new(|_| ());
    desk.offer(1);
    desk.ready(0);
    desk.offer(2);
    let back = |environment| Event::GivenBack { environment: e(environment), invocation: i(1) };
    assert_eq!(desk.tell(back(0)), [destroy(0, Why::Unreachable), start(2, R)]);
    assert_eq!(desk.ready(1), [assign(1, 1)]);
    assert_eq!(desk.tell(back(1)), [destroy(1, Why::Unreachable), start(3, R)]);
    assert_eq!(desk.ready(2), [assign(1, 2)]);
    assert_eq!(desk.tell(back(2)), [destroy(2, Why::Unreachable), fail(1, Detail::NotTaken)]);
    assert_eq!(desk.ready(3), [assign(2, 3)]);
}

#[test]
fn an_action_that_could_not_be_handed_over_is_made_good() {
    let mut desk = Desk::new(|_| ());
    desk.offer(1);
    assert_eq!(desk.tell(Event::Refused { action: start(0, R) }), [refuse(1, Reason::QueueFull)]);
    assert_eq!(desk.scheduler.census().environments, 0);

    desk.offer(2);
    desk.ready(1);
    let refused = Event::Refused { action: assign(2, 1) };
    assert_eq!(desk.tell(refused), [destroy(1, Why::Unreachable), start(2, R)]);
    desk.tell(Event::Refused { action: destroy(1, Why::Unreachable) });
    assert_eq!(desk.wait(RETRY_PAUSE), [destroy(1, Why::Unreachable)]);
}

#[test]
fn a_cancelled_waiter_returns_its_permit_and_its_start() {
    let mut desk = Desk::new(|limits| limits.starts_max = 1);
    desk.offer(1);
    desk.offer(2);
    assert_eq!(desk.tell(Event::Cancel { invocation: i(1) }), []);
    assert_eq!(desk.scheduler.admission().running(), 1);
    assert_eq!(desk.ready(0), [assign(2, 0)]);
    assert_eq!(desk.tell(Event::Cancel { invocation: i(2) }), []);
    assert_eq!(desk.scheduler.admission().running(), 1);
}

#[test]
fn draining_refuses_new_work_finishes_the_old_and_says_so() {
    let mut desk = Desk::new(|_| ());
    desk.warm(1, 0, R);
    desk.offer(2);
    desk.offer(3);
    assert_eq!(desk.tell(Event::Drain), []);
    assert_eq!(desk.offer(4), [refuse(4, Reason::ShuttingDown)]);
    assert_eq!(desk.tell(released(0, 2, true)), [assign(3, 0)]);
    assert_eq!(desk.ready(1), [destroy(1, Why::Draining)]);
    assert_eq!(desk.tell(released(0, 3, true)), [destroy(0, Why::Draining)]);
    assert_eq!(desk.tell(Event::Destroyed { environment: e(1) }), []);
    assert_eq!(desk.tell(Event::Destroyed { environment: e(0) }), [Action::Drained]);
    assert_eq!(desk.tell(Event::Refused { action: Action::Drained }), []);
    assert_eq!(desk.wait(RETRY_PAUSE), [Action::Drained]);
}

#[test]
fn an_empty_house_is_drained_at_once() {
    assert_eq!(Desk::new(|_| ()).tell(Event::Drain), [Action::Drained]);
    assert_eq!(Desk::new(|_| ()).tell(Event::Stop), [Action::Drained]);
}

#[test]
fn stopping_refuses_who_waits_and_destroys_everything() {
    let mut desk = Desk::new(|_| ());
    desk.warm(1, 0, R);
    desk.offer(2);
    desk.offer(3);
    let said = desk.tell(Event::Stop);
    let all = [refuse(3, Reason::ShuttingDown), destroy(0, Why::Draining), destroy(1, Why::Draining)];
    assert_eq!(said, all);
    assert_eq!(desk.ready(1), []);
    assert_eq!(desk.tell(Event::Destroyed { environment: e(1) }), []);
    let gone = desk.tell(Event::Destroyed { environment: e(0) });
    assert_eq!(gone, [fail(2, Detail::Died), Action::Drained]);
}

#[test]
fn what_is_given_back_after_stopping_is_refused() {
    let mut desk = Desk::new(|_| ());
    desk.offer(1);
    desk.ready(0);
    assert_eq!(desk.tell(Event::Stop), [destroy(0, Why::Draining)]);
    let back = Event::GivenBack { environment: e(0), invocation: i(1) };
    assert_eq!(desk.tell(back), [refuse(1, Reason::ShuttingDown)]);
}

#[test]
fn a_new_idle_timeout_holds_for_who_idles_already() {
    let mut desk = Desk::new(|_| ());
    desk.warm(1, 0, R);
    desk.wait(Duration::from_secs(10));
    let limits = SchedulerLimits { idle_timeout: Duration::from_secs(4), ..SchedulerLimits::default() };
    assert_eq!(desk.tell(Event::Configure { limits }), []);
    assert_eq!(desk.wait(Duration::ZERO), [destroy(0, Why::IdleTimeout)]);
}

#[test]
fn an_idle_environment_that_vanishes_leaves_no_deadline() {
    let mut desk = Desk::new(|_| ());
    desk.warm(1, 0, R);
    assert_eq!(desk.tell(Event::Destroyed { environment: e(0) }), []);
    assert_eq!(desk.scheduler.wake_at(), None);
}

#[test]
fn lowered_limits_evict_what_is_idle_and_stop_nothing_that_runs() {
    let mut desk = Desk::new(|_| ());
    desk.warm(1, 0, R);
    assert_eq!(desk.offer_to(2, S), [start(1, S)]);
    desk.ready(1);
    let limits = SchedulerLimits {
        account_concurrency: 1,
        memory_capacity_mb: 128,
        memory_overcommit: 1,
        ..SchedulerLimits::default()
    };
    assert_eq!(desk.tell(Event::Configure { limits }), [destroy(0, Why::Evicted)]);
    assert_eq!(desk.offer(3), [refuse(3, Reason::ConcurrentInvocationLimitExceeded)]);
    assert_eq!(desk.tell(released(1, 2, true)), []);
    assert_eq!(desk.offer_to(4, S), [assign(4, 1)]);
}

#[test]
fn news_of_the_unknown_is_ignored() {
    let mut desk = Desk::new(|_| ());
    desk.warm(1, 0, R);
    let table = [
        Event::Ready { environment: e(0) },
        Event::Ready { environment: e(9) },
        Event::Launched { environment: e(0) },
        released(0, 1, true),
        released(9, 9, false),
        Event::GivenBack { environment: e(0), invocation: i(1) },
        Event::Died { environment: e(9) },
        Event::Destroyed { environment: e(9) },
        Event::StartFailed { environment: e(9), detail: String::new() },
        Event::StartUnneeded { environment: e(9) },
        Event::Cancel { invocation: i(9) },
        Event::Retire { revision: S },
        Event::FunctionGone { function: FunctionId(9) },
        Event::Refused { action: start(9, R) },
        Event::Refused { action: start(0, R) },
        Event::Refused { action: assign(1, 0) },
        Event::Refused { action: destroy(9, Why::Spent) },
        Event::Refused { action: Action::Drained },
    ];
    for event in table {
        assert_eq!(desk.tell(event.clone()), [], "{event:?}");
    }
    assert_eq!(desk.offer(2), [assign(2, 0)]);
    assert_eq!(desk.offer(2), []);
}

#[test]
fn a_conversation_can_be_written_down_and_replayed() {
    let events = vec![
        Event::Configure { limits: SchedulerLimits { starts_max: 1, ..SchedulerLimits::default() } },
        offer(1, R),
        Event::StartFailed { environment: e(0), detail: "x".to_owned() },
        Event::Refused { action: fail(1, Detail::StartFailed("x".to_owned())) },
        Event::Stop,
    ];
    let trace = serde_json::to_string(&events).unwrap();
    let read: Vec<Event> = serde_json::from_str(&trace).unwrap();
    assert_eq!(read, events);
    let run = |events: Vec<Event>| {
        let mut desk = Desk::new(|_| ());
        events.into_iter().flat_map(|event| desk.tell(event)).collect::<Vec<_>>()
    };
    assert_eq!(run(read), run(events));
}
