//! Rates: of scaling, of requests, of one environment; and what a refusal by one of them says.

use super::*;
use crate::{Exceeded, Scaling};

/// The only refusal among the actions, whole.
fn refusal(actions: Vec<Action>) -> (Reason, Option<Duration>) {
    let (reason, _, retry_after) = refusal_by_rate(actions);
    (reason, retry_after)
}

fn refusal_by_rate(actions: Vec<Action>) -> (Reason, Option<Exceeded>, Option<Duration>) {
    match actions.as_slice() {
        [Action::Refuse { reason, rate, retry_after, .. }] => (*reason, *rate, *retry_after),
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

#[test]
fn a_start_that_was_put_off_and_not_needed_goes_back_to_the_rate() {
    let mut desk = Desk::new(|limits| limits.scaling = Scaling::PerFunction { burst: 2, per_minute: 0 });
    desk.warm(1, 0, R);
    for n in 1..=100 {
        // The first has answered and is free a moment later: before the start begins.
        assert_eq!(desk.offer(2 * n), [assign(2 * n, 0)]);
        assert_eq!(desk.offer(2 * n + 1), [start(n, R)]);
        assert_eq!(desk.tell(released(0, 2 * n, true)), [assign(2 * n + 1, 0)]);
        assert_eq!(desk.tell(Event::StartUnneeded { environment: e(n) }), []);
        desk.tell(released(0, 2 * n + 1, true));
    }
    assert_eq!(desk.scheduler.census().environments, 1);
}

#[test]
fn a_start_that_was_not_begun_is_paid_for_whoever_waits_next() {
    let mut desk = Desk::new(|limits| limits.scaling = Scaling::PerFunction { burst: 2, per_minute: 0 });
    desk.warm(1, 0, R);
    desk.offer(2);
    assert_eq!(desk.offer(3), [start(1, R)]);
    assert_eq!(desk.tell(Event::StartUnneeded { environment: e(1) }), [start(2, R)]);
    assert_eq!(desk.offer(4), [refuse(4, Reason::FunctionInvocationRateLimitExceeded)]);
    // What nobody paid for does not come back as a right to another.
    assert_eq!(desk.ready(2), [assign(3, 2)]);
    let back = Event::GivenBack { environment: e(2), invocation: i(3) };
    assert_eq!(desk.tell(back), [destroy(2, Why::Unreachable), start(3, R)]);
    assert_eq!(desk.tell(released(0, 2, true)), [assign(3, 0)]);
    assert_eq!(desk.tell(Event::StartUnneeded { environment: e(3) }), []);
    assert_eq!(desk.offer(5), [refuse(5, Reason::FunctionInvocationRateLimitExceeded)]);
}

const P: ProvisionedId = ProvisionedId(5);

fn offer_for(invocation: u64, provisioned: Option<ProvisionedId>) -> Event {
    Event::Offer {
        invocation: i(invocation),
        function: F,
        revision: R,
        memory_mb: 128,
        source: Source::Synchronous,
        provisioned,
    }
}

/// 2,000 requests a second of 100 ms each, for a while, by a qualifier with `promised` environments: (all, refused).
fn provisioned_stream(account: u32, promised: u32) -> (u64, u64) {
    let mut desk = Desk::new(|limits| {
        *limits = SchedulerLimits {
            account_concurrency: account,
            memory_capacity_mb: u64::MAX,
            environments_max: 10_000,
            starts_max: 10_000,
            freeze_after: None,
            ..SchedulerLimits::of(Profile::Aws)
        }
    });
    let part = ProvisionedPart { revision: R, memory_mb: 128, wanted: promised };
    for action in desk.tell(Event::Provision { provisioned: P, function: F, parts: vec![part] }) {
        let Action::Start { environment, .. } = action else { panic!("{action:?}") };
        desk.ready(environment.0);
    }
    let (mut ends, mut refused) = (std::collections::VecDeque::new(), 0);
    for n in 0..10_000_u64 {
        desk.wait(Duration::from_micros(500));
        if n >= 200
            && let Some(Some(event)) = ends.pop_front()
        {
            desk.tell(event);
        }
        let end = match desk.tell(offer_for(n, Some(P))).as_slice() {
            [Action::Assign { invocation, environment, .. }] => {
                Some(released(environment.0, invocation.0, true))
            }
            [Action::Refuse { .. }] => None,
            other => panic!("{other:?}"),
        };
        refused += u64::from(end.is_none());
        ends.push_back(end);
    }
    (10_000, refused)
}

#[test]
fn requests_that_use_promised_concurrency_have_the_rate_of_the_promise() {
    // 10 for each of 900 environments: nothing of this is for the 1,000 a second that all others share.
    assert_eq!(provisioned_stream(1_000, 900), (10_000, 0));
}

#[test]
fn a_promise_of_all_that_there_is_can_be_used() {
    assert_eq!(provisioned_stream(300, 300), (10_000, 0));
}

#[test]
fn beyond_the_rate_of_the_promise_one_is_one_of_the_others() {
    let mut desk = Desk::new(|limits| (limits.account_concurrency, limits.requests_per_concurrency) = (3, 2));
    let part = ProvisionedPart { revision: R, memory_mb: 128, wanted: 1 };
    desk.tell(Event::Provision { provisioned: P, function: F, parts: vec![part] });
    desk.ready(0);
    let mut taken = |n, by| {
        let said = desk.tell_why(offer_for(n, by));
        let is_taken = matches!(said.as_slice(), [Action::Assign { .. }]);
        if is_taken {
            desk.tell(released(0, n, true));
        }
        is_taken.then_some(()).ok_or(said)
    };
    // Two of the promise, four of the two that are left.
    for n in 0..6 {
        assert_eq!(taken(n, Some(P)), Ok(()), "{n}");
    }
    let said = taken(6, Some(P)).unwrap_err();
    let rate = Reason::FunctionInvocationRateLimitExceeded;
    assert_eq!(refusal(said), (rate, Some(Duration::from_millis(250))));
}

#[test]
fn others_of_a_function_with_a_reservation_do_not_use_up_what_is_promised() {
    let mut desk = Desk::new(|limits| limits.requests_per_concurrency = 1);
    desk.tell(Event::Function { function: F, reserved: Some(2), idle_timeout: None });
    let part = ProvisionedPart { revision: R, memory_mb: 128, wanted: 1 };
    desk.tell(Event::Provision { provisioned: P, function: F, parts: vec![part] });
    desk.ready(0);
    assert_eq!(desk.tell(offer_for(1, None)), [start(1, R)]);
    assert_eq!(desk.ready(1), [assign(1, 1)]);
    desk.tell(released(1, 1, true));
    let rate = Reason::ReservedFunctionInvocationRateLimitExceeded;
    assert_eq!(desk.tell(offer_for(2, None)), [refuse(2, rate)]);
    assert_eq!(desk.tell(offer_for(3, Some(P))), [assign(3, 0)]);
}

#[test]
fn a_refusal_says_which_of_the_two_rates_it_was() {
    for reserved in [None, Some(5)] {
        let reason = match reserved {
            Some(_) => Reason::ReservedFunctionInvocationRateLimitExceeded,
            None => Reason::FunctionInvocationRateLimitExceeded,
        };
        let function = Event::Function { function: F, reserved, idle_timeout: None };
        let mut growing =
            Desk::new(|limits| limits.scaling = Scaling::PerFunction { burst: 1, per_minute: 0 });
        growing.tell(function.clone());
        growing.offer(1);
        let said = refusal_by_rate(growing.tell_why(offer(2, R)));
        assert_eq!(said, (reason, Some(Exceeded::Scaling), None));
        let mut asking =
            Desk::new(|limits| (limits.requests_per_concurrency, limits.account_concurrency) = (1, 5));
        asking.tell(function);
        for n in 1..=5 {
            asking.warm(n, n - 1, RevisionId(n));
        }
        let said = refusal_by_rate(asking.tell_why(offer(6, R)));
        assert_eq!(said, (reason, Some(Exceeded::Requests), Some(Duration::from_millis(200))));
    }
}

#[test]
fn what_no_rate_refuses_names_none() {
    let mut desk = Desk::new(|limits| limits.account_concurrency = 0);
    let reason = Reason::ConcurrentInvocationLimitExceeded;
    assert_eq!(refusal_by_rate(desk.tell_why(offer(1, R))), (reason, None, None));
}
