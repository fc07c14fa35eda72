//! What is waited for, for how long, and what a refusal says of it.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// The reason of the only refusal among the actions, and what was waited for.
fn refusal(actions: &[Action]) -> (Reason, Duration, Option<WaitedFor>) {
    match actions {
        [Action::Refuse { reason, waited, waited_for, .. }] => (*reason, *waited, *waited_for),
        other => panic!("{other:?}"),
    }
}

fn elapse(desk: &mut Desk, duration: Duration) -> Vec<Action> {
    desk.now = desk.now.after(duration);
    let mut todo = Vec::new();
    desk.scheduler.elapse(desk.now, &mut todo);
    todo
}

#[test]
fn who_waits_for_its_own_environment_is_not_refused_for_want_of_room() {
    let mut desk = Desk::new(|limits| limits.wait_max = SECOND);
    assert_eq!(desk.offer(1), [start(0, R)]);
    desk.tell(Event::Launched { environment: e(0) });
    assert_eq!(elapse(&mut desk, 3 * SECOND), []);
    let assigned = desk.tell_why(Event::Ready { environment: e(0) });
    let [Action::Assign { decision, .. }] = assigned.as_slice() else { panic!("{assigned:?}") };
    let waited = (decision.start, decision.waited, decision.waited_for);
    assert_eq!(waited, (StartType::Cold, 3 * SECOND, Some(WaitedFor::Initialization)));
}

#[test]
fn who_outlived_its_deadline_still_ends_with_its_start() {
    for end in [Event::Died { environment: e(0) }, Event::Destroyed { environment: e(0) }] {
        let mut desk = Desk::new(|limits| limits.wait_max = SECOND);
        desk.offer(1);
        desk.tell(Event::Launched { environment: e(0) });
        elapse(&mut desk, 3 * SECOND);
        assert!(desk.tell(end).contains(&fail(1, Detail::Died)));
        assert!(!desk.scheduler.knows(i(1)));
    }
    let mut desk = Desk::new(|limits| limits.wait_max = SECOND);
    desk.offer(1);
    elapse(&mut desk, 3 * SECOND);
    let said = desk.tell_why(Event::Stop);
    let Some(refused) = said.iter().find(|action| matches!(action, Action::Refuse { .. })) else {
        panic!("{said:?}")
    };
    let expected = (Reason::ShuttingDown, 3 * SECOND, Some(WaitedFor::Initialization));
    assert_eq!(refusal(std::slice::from_ref(refused)), expected);
}

#[test]
fn a_refusal_says_what_was_waited_for() {
    let capacity: fn(&mut SchedulerLimits) = |limits| limits.environments_max = 1;
    let starts: fn(&mut SchedulerLimits) = |limits| limits.starts_max = 1;
    for (change, waited_for) in [(capacity, WaitedFor::Capacity), (starts, WaitedFor::Starts)] {
        let mut desk = Desk::new(|limits| {
            limits.wait_max = SECOND;
            change(limits);
        });
        assert_eq!(desk.offer(1), [start(0, R)]);
        assert_eq!(desk.offer_to(2, S), []);
        let refused = refusal(&elapse(&mut desk, SECOND));
        assert_eq!(refused, (Reason::CapacityExceeded, SECOND, Some(waited_for)));
        assert!(desk.scheduler.knows(i(1)), "its environment is under way");
    }
}

#[test]
fn who_is_refused_at_once_waited_for_nothing() {
    let mut desk = Desk::new(|limits| (limits.environments_max, limits.waiters_max) = (1, 0));
    desk.offer(1);
    let refused = refusal(&desk.tell_why(offer(2, S)));
    assert_eq!(refused, (Reason::QueueFull, Duration::ZERO, None));
}

#[test]
fn who_loses_the_start_under_way_waits_for_room_anew() {
    let mut desk = Desk::new(|limits| (limits.wait_max, limits.environments_max) = (SECOND, 2));
    desk.offer(1);
    desk.ready(0);
    assert_eq!(desk.offer(2), [start(1, R)]);
    assert_eq!(elapse(&mut desk, 5 * SECOND), []);
    // The older one takes the environment that comes, and there is no room for a third while the first one leaves.
    let back = Event::GivenBack { environment: e(0), invocation: i(1) };
    assert_eq!(desk.tell(back), [destroy(0, Why::Unreachable)]);
    assert_eq!(elapse(&mut desk, SECOND - Duration::from_nanos(1)), []);
    let refused = refusal(&elapse(&mut desk, Duration::from_nanos(1)));
    assert_eq!(refused, (Reason::CapacityExceeded, 6 * SECOND, Some(WaitedFor::Capacity)));
    assert_eq!(desk.ready(1), [assign(1, 1)]);
}

#[test]
fn who_loses_the_start_under_way_gets_another_if_there_is_room() {
    let mut desk = Desk::new(|limits| limits.wait_max = SECOND);
    desk.offer(1);
    desk.ready(0);
    assert_eq!(desk.offer(2), [start(1, R)]);
    assert_eq!(elapse(&mut desk, 5 * SECOND), []);
    let back = Event::GivenBack { environment: e(0), invocation: i(1) };
    assert_eq!(desk.tell(back), [destroy(0, Why::Unreachable), start(2, R)]);
    assert_eq!(elapse(&mut desk, 5 * SECOND), []);
    assert_eq!(desk.ready(1), [assign(1, 1)]);
    assert_eq!(desk.ready(2), [assign(2, 2)]);
}
