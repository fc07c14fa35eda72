//! Who idles, freezes, ages and goes; what holds starts back; what a decision says of itself.

use super::*;

const G: FunctionId = FunctionId(2);

fn offer_of(invocation: u64, function: FunctionId, revision: RevisionId) -> Event {
    Event::Offer {
        invocation: i(invocation),
        function,
        revision,
        memory_mb: 128,
        source: Source::Synchronous,
        provisioned: None,
    }
}

fn freeze(environment: u64) -> Action {
    Action::Freeze { environment: e(environment) }
}

fn pressure(measured_mb: u64, stalled: bool) -> Event {
    Event::Pressure { measured_mb, stalled }
}

fn assigned(actions: Vec<Action>) -> Decision {
    match actions.into_iter().next() {
        Some(Action::Assign { decision, .. }) => decision,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_idle_environment_is_frozen_once_and_again_after_its_next_work() {
    let mut desk = Desk::new(|limits| limits.freeze_after = Some(Duration::from_secs(1)));
    desk.warm(1, 0, R);
    assert_eq!(desk.wait(Duration::from_millis(999)), []);
    assert_eq!(desk.wait(Duration::from_millis(1)), [freeze(0)]);
    assert_eq!(desk.wait(Duration::from_secs(60)), []);
    assert_eq!(desk.offer(2), [assign(2, 0)]);
    assert_eq!(desk.wait(Duration::from_secs(60)), []);
    desk.tell(released(0, 2, true));
    assert_eq!(desk.wait(Duration::from_secs(1)), [freeze(0)]);
    assert_eq!(desk.wait(Duration::from_secs(299)), [destroy(0, Why::IdleTimeout)]);
}

#[test]
fn an_old_environment_goes_when_it_idles() {
    let mut desk = Desk::new(|limits| limits.recycle_after = Some(Duration::from_secs(60)));
    desk.warm(1, 0, R);
    desk.offer(2);
    assert_eq!(desk.wait(Duration::from_secs(60)), []);
    assert_eq!(desk.tell(released(0, 2, true)), [destroy(0, Why::Recycled)]);
    desk.warm(3, 1, R);
    assert_eq!(desk.wait(Duration::from_secs(60)), [destroy(1, Why::Recycled)]);
}

#[test]
fn what_starts_slowly_and_is_used_often_is_evicted_last() {
    let mut desk = Desk::new(|limits| limits.environments_max = 2);
    desk.offer_to(1, R);
    desk.wait(Duration::from_secs(2));
    desk.ready(0);
    desk.tell(released(0, 1, true));
    desk.warm(2, 1, S);
    // The slow one has idled longer and stays.
    let third = RevisionId(30);
    assert_eq!(desk.offer_to(3, third), [destroy(1, Why::Evicted)]);
}

#[test]
fn functions_get_starts_in_turn() {
    let mut desk = Desk::new(|limits| limits.starts_max = 1);
    desk.offer(1);
    desk.offer(2);
    desk.offer(3);
    desk.tell(offer_of(4, G, S));
    let launched = |environment| Event::Launched { environment: e(environment) };
    let second = desk.tell(launched(0));
    assert_eq!(second, [start(1, R)], "it was in the circle first");
    let third = desk.tell(launched(1));
    assert!(matches!(third.as_slice(), [Action::Start { function: G, .. }]), "{third:?}");
    assert_eq!(desk.tell(launched(2)), [start(3, R)]);
}

#[test]
fn memory_that_is_used_in_fact_holds_starts_back_until_there_is_some_again() {
    let mut desk = Desk::new(|limits| (limits.memory_capacity_mb, limits.start_reserve_mb) = (1_000, 100));
    desk.warm(1, 0, R);
    desk.tell(pressure(901, false));
    // An idle environment goes for it, one for each measurement.
    assert_eq!(desk.offer_to(2, S), [destroy(0, Why::Evicted), start(1, S)]);
    desk.tell(Event::Destroyed { environment: e(0) });
    assert_eq!(desk.offer_to(3, S), []);
    assert_eq!(desk.tell(pressure(850, false)), []);
    assert_eq!(desk.ready(1), [assign(2, 1), start(2, S)]);
}

#[test]
fn while_memory_stalls_nothing_is_started_unless_nothing_runs() {
    let mut desk = Desk::new(|_| ());
    desk.tell(pressure(0, true));
    assert_eq!(desk.offer(1), [start(0, R)]);
    assert_eq!(desk.offer(2), []);
    assert_eq!(desk.tell(pressure(0, false)), [start(1, R)]);
}

#[test]
fn more_memory_in_use_than_there_is_costs_one_idle_environment_for_each_measurement() {
    let mut desk = Desk::new(|limits| limits.memory_capacity_mb = 1_000);
    desk.warm(1, 0, R);
    desk.warm(2, 1, S);
    assert_eq!(desk.tell(pressure(1_001, false)), [destroy(0, Why::Evicted)]);
    assert_eq!(desk.tell(pressure(1_001, false)), [destroy(1, Why::Evicted)]);
    assert_eq!(desk.tell(pressure(1_001, false)), []);
}

#[test]
fn a_decision_says_what_was_waited_for_and_who_went() {
    let mut desk = Desk::new(|limits| limits.environments_max = 1);
    desk.offer(1);
    desk.wait(Duration::from_millis(70));
    let cold = assigned(desk.tell_why(Event::Ready { environment: e(0) }));
    assert_eq!((cold.start, cold.waited), (StartType::Cold, Duration::from_millis(70)));
    assert_eq!((cold.waited_for, cold.evicted), (Some(WaitedFor::Initialization), vec![]));
    desk.tell(released(0, 1, true));
    let warm = assigned(desk.tell_why(offer(2, R)));
    assert_eq!((warm.start, warm.waited, warm.waited_for), (StartType::Warm, Duration::ZERO, None));
    desk.offer(3);
    desk.wait(Duration::from_millis(30));
    let freed = assigned(desk.tell_why(released(0, 2, true)));
    assert_eq!((freed.start, freed.waited_for), (StartType::Warm, Some(WaitedFor::Capacity)));
    desk.tell(released(0, 3, true));
    assert_eq!(desk.offer_to(4, S), [destroy(0, Why::Evicted)]);
    desk.wait(Duration::from_millis(5));
    assert_eq!(desk.tell(Event::Destroyed { environment: e(0) }), [start(1, S)]);
    desk.wait(Duration::from_millis(5));
    let cold = assigned(desk.tell_why(Event::Ready { environment: e(1) }));
    assert_eq!((cold.waited_for, cold.evicted), (Some(WaitedFor::Capacity), vec![e(0)]));
}

#[test]
fn a_decision_names_the_rate_of_requests_and_the_queue_of_starts() {
    let mut desk = Desk::new(|limits| limits.requests_per_environment = 1);
    desk.warm(1, 0, R);
    assert_eq!(desk.offer(2), [start(1, R)]);
    let mut todo = Vec::new();
    desk.now = desk.now.after(Duration::from_secs(1));
    desk.scheduler.elapse(desk.now, &mut todo);
    assert_eq!(assigned(todo).waited_for, Some(WaitedFor::RequestRate));

    let mut desk = Desk::new(|limits| limits.starts_max = 1);
    desk.offer(1);
    desk.offer(2);
    desk.wait(Duration::from_millis(1));
    desk.tell(Event::Launched { environment: e(0) });
    desk.wait(Duration::from_millis(1));
    let cold = assigned(desk.tell_why(Event::Ready { environment: e(1) }));
    assert_eq!(cold.waited_for, Some(WaitedFor::Starts));
    let cold = assigned(desk.tell_why(Event::Ready { environment: e(0) }));
    assert_eq!((cold.start, cold.waited), (StartType::Cold, Duration::from_millis(2)));
    assert_eq!(cold.waited_for, Some(WaitedFor::Initialization));
}
