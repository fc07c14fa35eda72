//! Rates: of scaling, of requests, of one environment; and what a refusal by one of them says.

use super::*;
use crate::Scaling;

/// The only refusal among the actions, whole.
fn refusal(actions: Vec<Action>) -> (Reason, Option<Duration>) {
    match actions.as_slice() {
        [Action::Refuse { reason, retry_after, .. }] => (*reason, *retry_after),
        other => panic!("{other:?}"),
    }
}

fn offer_by(source: Source, invocation: u64) -> Event {
    Event::Offer {
        invocation: i(invocation),
        function: F,
        revision: R,
        memory_mb: 128,
        source,
        provisioned: None,
    }
}

#[test]
fn a_function_that_meets_its_scaling_rate_is_throttled_at_once_and_told_when_to_come_back() {
    let mut desk = Desk::new(|limits| limits.scaling = Scaling::PerFunction { burst: 2, per_minute: 60 });
    assert_eq!(desk.offer(1), [start(0, R)]);
    assert_eq!(desk.offer(2), [start(1, R)]);
    let rate = Reason::FunctionInvocationRateLimitExceeded;
    assert_eq!(refusal(desk.tell_why(offer(3, R))), (rate, Some(Duration::from_secs(1))));
    assert_eq!(desk.scheduler.admission().running(), 2);
    desk.wait(Duration::from_millis(400));
    assert_eq!(refusal(desk.tell_why(offer(3, R))), (rate, Some(Duration::from_millis(600))));
    desk.wait(Duration::from_millis(600));
    assert_eq!(desk.offer(3), [start(2, R)]);
}

#[test]
fn an_idle_environment_needs_no_scaling_rate_and_neither_does_a_surplus_start() {
    let mut desk = Desk::new(|limits| limits.scaling = Scaling::PerFunction { burst: 2, per_minute: 0 });
    desk.offer(1);
    desk.ready(0);
    assert_eq!(desk.offer(2), [start(1, R)]);
    assert_eq!(desk.tell(released(0, 1, true)), [assign(2, 0)]);
    // The second environment comes up for nobody: the next one waits for it.
    assert_eq!(desk.offer(3), []);
    assert_eq!(desk.ready(1), [assign(3, 1)]);
    assert_eq!(desk.offer(4), [refuse(4, Reason::FunctionInvocationRateLimitExceeded)]);
    assert_eq!(desk.tell(released(1, 3, true)), []);
    assert_eq!(desk.offer(5), [assign(5, 1)]);
}

#[test]
fn a_start_that_was_never_begun_goes_back_to_the_rate() {
    let mut desk = Desk::new(|limits| {
        limits.scaling = Scaling::PerFunction { burst: 2, per_minute: 0 };
        limits.starts_max = 1;
    });
    assert_eq!(desk.offer(1), [start(0, R)]);
    assert_eq!(desk.offer(2), []);
    assert_eq!(desk.offer(3), [refuse(3, Reason::FunctionInvocationRateLimitExceeded)]);
    desk.tell(Event::Cancel { invocation: i(2) });
    assert_eq!(desk.offer(3), []);
    assert_eq!(desk.ready(0), [assign(1, 0), start(1, R)]);
}

#[test]
fn the_classic_rate_is_one_for_all_functions() {
    let mut desk = Desk::new(|limits| limits.scaling = Scaling::Classic { burst: 1, per_minute: 30 });
    assert_eq!(desk.offer(1), [start(0, R)]);
    let other = Event::Offer {
        invocation: i(2),
        function: FunctionId(2),
        revision: S,
        memory_mb: 128,
        source: Source::Synchronous,
        provisioned: None,
    };
    let two_seconds = Some(Duration::from_secs(2));
    assert_eq!(refusal(desk.tell_why(other)), (Reason::FunctionInvocationRateLimitExceeded, two_seconds));
}

#[test]
fn requests_per_second_are_ten_for_each_unit_of_reserved_concurrency() {
    let mut desk = Desk::new(|limits| limits.requests_per_concurrency = 10);
    desk.tell(Event::Function { function: F, reserved: Some(1), idle_timeout: None });
    desk.warm(1, 0, R);
    for n in 2..=10 {
        assert_eq!(desk.offer(n), [assign(n, 0)]);
        desk.tell(released(0, n, true));
    }
    let rate = Reason::ReservedFunctionInvocationRateLimitExceeded;
    let tenth = Some(Duration::from_millis(100));
    assert_eq!(refusal(desk.tell_why(offer(11, R))), (rate, tenth));
    // Events of a queue are under no such rate.
    assert_eq!(desk.tell(offer_by(Source::Asynchronous, 12)), [assign(12, 0)]);
    desk.tell(released(0, 12, true));
    desk.wait(Duration::from_millis(100));
    assert_eq!(desk.offer(13), [assign(13, 0)]);
}

#[test]
fn functions_without_a_reservation_share_the_rate_of_what_is_not_reserved() {
    let mut desk = Desk::new(|limits| {
        (limits.account_concurrency, limits.requests_per_concurrency) = (3, 1);
    });
    desk.tell(Event::Function { function: FunctionId(9), reserved: Some(1), idle_timeout: None });
    desk.warm(1, 0, R);
    assert_eq!(desk.offer(2), [assign(2, 0)]);
    let rate = Reason::FunctionInvocationRateLimitExceeded;
    assert_eq!(refusal(desk.tell_why(offer(3, R))), (rate, Some(Duration::from_millis(500))));
}

#[test]
fn a_function_that_reserves_nothing_is_refused_for_that_and_not_for_its_rate() {
    let mut desk = Desk::new(|limits| limits.requests_per_concurrency = 10);
    desk.tell(Event::Function { function: F, reserved: Some(0), idle_timeout: None });
    assert_eq!(desk.offer(1), [refuse(1, Reason::ReservedFunctionConcurrentInvocationLimitExceeded)]);
}

#[test]
fn an_environment_that_has_had_its_share_of_the_second_is_passed_over() {
    let mut desk = Desk::new(|limits| limits.requests_per_environment = 2);
    desk.warm(1, 0, R);
    desk.wait(Duration::from_millis(300));
    assert_eq!(desk.offer(2), [assign(2, 0)]);
    assert_eq!(desk.tell(released(0, 2, true)), []);
    assert_eq!(desk.offer(3), [start(1, R)]);
    // It may be used again a second after its first, before the other one is up: whatever comes first.
    assert_eq!(desk.wait(Duration::from_millis(699)), []);
    assert_eq!(desk.wait(Duration::from_millis(1)), [assign(3, 0)]);
    assert_eq!(desk.ready(1), []);
    assert_eq!(desk.offer(4), [assign(4, 1)]);
}

#[test]
fn an_environment_that_rests_may_be_evicted_and_ages_as_any_idle_one() {
    let mut desk = Desk::new(|limits| {
        limits.requests_per_environment = 1;
        limits.environments_max = 1;
        limits.idle_timeout = Duration::from_millis(500);
    });
    desk.warm(1, 0, R);
    assert_eq!(desk.offer_to(2, S), [destroy(0, Why::Evicted)]);
    assert_eq!(desk.tell(Event::Destroyed { environment: e(0) }), [start(1, S)]);
    assert_eq!(desk.ready(1), [assign(2, 1)]);
    desk.tell(released(1, 2, true));
    assert_eq!(desk.wait(Duration::from_millis(500)), [destroy(1, Why::IdleTimeout)]);
}

#[test]
fn a_pace_that_is_lifted_frees_who_rests_within_the_second() {
    let mut desk = Desk::new(|limits| limits.requests_per_environment = 1);
    desk.warm(1, 0, R);
    desk.wait(Duration::from_millis(100));
    let limits = SchedulerLimits { freeze_after: None, ..SchedulerLimits::default() };
    assert_eq!(desk.tell(Event::Configure { limits }), []);
    assert_eq!(desk.offer(2), [assign(2, 0)]);
}
