//! Provisioned concurrency: kept ready, taken first, spilled over, moved, replaced.

use super::*;

const P: ProvisionedId = ProvisionedId(5);

fn part(revision: RevisionId, wanted: u32) -> ProvisionedPart {
    ProvisionedPart { revision, memory_mb: 128, wanted }
}

fn provision(parts: Vec<ProvisionedPart>) -> Event {
    Event::Provision { provisioned: P, function: F, parts }
}

fn kept(environment: u64, revision: RevisionId) -> Action {
    Action::Start {
        environment: e(environment),
        function: F,
        revision,
        memory_mb: 128,
        initialization: Initialization::Provisioned,
    }
}

fn offer_by(invocation: u64) -> Event {
    Event::Offer {
        invocation: i(invocation),
        function: F,
        revision: R,
        memory_mb: 128,
        source: Source::Synchronous,
        provisioned: Some(P),
    }
}

fn decision(actions: &[Action]) -> &Decision {
    match actions {
        [Action::Assign { decision, .. }] => decision,
        other => panic!("{other:?}"),
    }
}

fn state(desk: &Desk) -> (u32, u32, u32, u32) {
    let state = desk.scheduler.provisioned(P).unwrap();
    (state.wanted, state.allocated, state.available, state.running)
}

/// `n` environments of `R` that are kept and have come up.
fn desk_with(n: u32) -> Desk {
    let mut desk = Desk::new(|_| ());
    let expected: Vec<Action> = (0..n).map(|n| kept(n.into(), R)).collect();
    assert_eq!(desk.tell(provision(vec![part(R, n)])), expected);
    for n in 0..n {
        assert_eq!(desk.ready(n.into()), []);
    }
    desk
}

#[test]
fn provisioned_environments_come_up_without_anybody_waiting_and_stay() {
    let mut desk = desk_with(2);
    assert_eq!(state(&desk), (2, 2, 2, 0));
    assert_eq!(desk.wait(Duration::from_secs(3_600)), []);
    assert!(desk.scheduler.serves(R));
    assert_eq!(desk.scheduler.census().idle, 2);
    assert_eq!(desk.scheduler.admission().unreserved(), 998);
}

#[test]
fn an_invocation_by_the_qualifier_takes_one_first_and_then_spills_over() {
    let mut desk = desk_with(1);
    let said = desk.tell_why(offer_by(1));
    assert_eq!(decision(&said).start, StartType::Provisioned);
    assert_eq!(state(&desk), (1, 1, 1, 1));
    assert_eq!(desk.tell(offer_by(2)), [start(1, R)]);
    let said = desk.tell_why(Event::Ready { environment: e(1) });
    assert_eq!((decision(&said).start, decision(&said).spilled_over), (StartType::Cold, true));
    desk.tell(released(1, 2, true));
    let said = desk.tell_why(offer_by(3));
    assert_eq!((decision(&said).start, decision(&said).spilled_over), (StartType::Warm, true));
}

#[test]
fn who_comes_by_another_qualifier_takes_none() {
    let mut desk = desk_with(1);
    assert_eq!(desk.offer(1), [start(1, R)]);
}

#[test]
fn one_who_spilled_over_takes_a_provisioned_environment_that_comes_free_first() {
    let mut desk = desk_with(1);
    desk.tell(offer_by(1));
    assert_eq!(desk.tell(offer_by(2)), [start(1, R)]);
    let said = desk.tell_why(released(0, 1, true));
    assert_eq!((decision(&said).start, decision(&said).spilled_over), (StartType::Provisioned, false));
    assert_eq!(desk.ready(1), []);
}

#[test]
fn one_that_ends_is_replaced() {
    let mut desk = desk_with(1);
    desk.tell(offer_by(1));
    assert_eq!(
        desk.tell(Event::Died { environment: e(0) }),
        [fail(1, Detail::Died), destroy(0, Why::Died), kept(1, R)]
    );
    assert_eq!(state(&desk), (1, 0, 0, 0));
    desk.ready(1);
    assert_eq!(state(&desk), (1, 1, 1, 0));
}

#[test]
fn one_that_does_not_come_up_says_why_and_is_tried_again_after_longer_and_longer_pauses() {
    let mut desk = Desk::new(|_| ());
    assert_eq!(desk.tell(provision(vec![part(R, 1)])), [kept(0, R)]);
    desk.tell(Event::Launched { environment: e(0) });
    assert_eq!(desk.tell(Event::Died { environment: e(0) }), [destroy(0, Why::Died)]);
    let failed = |desk: &Desk| desk.scheduler.provisioned(P).unwrap().failed;
    assert_eq!(failed(&desk), Some(ProvisionedFailure::Initialization));
    desk.tell(Event::Destroyed { environment: e(0) });
    assert_eq!(desk.wait(Duration::from_millis(999)), []);
    assert_eq!(desk.wait(Duration::from_millis(1)), [kept(1, R)]);
    let failure = Event::StartFailed { environment: e(1), detail: "x".to_owned() };
    assert_eq!(desk.tell(failure), []);
    assert_eq!(failed(&desk), Some(ProvisionedFailure::Sandbox("x".to_owned())));
    assert_eq!(desk.wait(Duration::from_millis(1_999)), []);
    assert_eq!(desk.wait(Duration::from_millis(1)), [kept(2, R)]);
    desk.ready(2);
    assert_eq!(failed(&desk), None);
}

#[test]
fn without_room_it_fails_for_that_and_holds_up_nobody() {
    let mut desk = Desk::new(|limits| (limits.memory_capacity_mb, limits.memory_overcommit) = (256, 1));
    let large = ProvisionedPart { revision: S, memory_mb: 1_024, wanted: 1 };
    assert_eq!(desk.tell(provision(vec![large])), []);
    assert_eq!(desk.scheduler.provisioned(P).unwrap().failed, Some(ProvisionedFailure::Capacity));
    assert_eq!(desk.offer(1), [start(0, R)]);
}

#[test]
fn another_revision_takes_over_one_by_one() {
    let mut desk = desk_with(2);
    desk.tell(offer_by(1));
    assert_eq!(desk.tell(provision(vec![part(S, 2)])), [kept(2, S), kept(3, S)]);
    assert_eq!(state(&desk), (2, 0, 0, 1));
    assert_eq!(desk.ready(2), [destroy(0, Why::Retired)]);
    assert_eq!(state(&desk), (2, 1, 1, 1));
    // The other old one still runs something.
    assert_eq!(desk.ready(3), []);
    assert_eq!(desk.tell(released(1, 1, true)), [destroy(1, Why::Retired)]);
    assert_eq!(state(&desk), (2, 2, 2, 0));
}

#[test]
fn a_weighted_alias_keeps_both_versions_and_fewer_are_let_go() {
    let mut desk = Desk::new(|_| ());
    let all = desk.tell(provision(vec![part(R, 1), part(S, 2)]));
    assert_eq!(all, [kept(0, R), kept(1, S), kept(2, S)]);
    for n in 0..3 {
        desk.ready(n);
    }
    assert_eq!(desk.tell(provision(vec![part(R, 1), part(S, 1)])), [destroy(1, Why::Retired)]);
    let gone = desk.tell(provision(Vec::new()));
    assert_eq!(gone, [destroy(0, Why::Retired), destroy(2, Why::Retired)]);
    assert_eq!(desk.scheduler.provisioned(P), None);
    assert_eq!(desk.scheduler.admission().unreserved(), 1_000);
}

#[test]
fn a_provisioned_environment_is_never_evicted() {
    let mut desk = desk_with(1);
    desk.scheduler.limits.environments_max = 1;
    assert_eq!(desk.offer_to(1, S), []);
    assert_eq!(desk.wait(crate::limits::WAIT_MAX), [refuse(1, Reason::CapacityExceeded)]);
}

#[test]
fn an_old_one_is_replaced_before_it_goes() {
    let mut desk = Desk::new(|limits| limits.recycle_after = Some(Duration::from_secs(60)));
    desk.tell(provision(vec![part(R, 2)]));
    desk.ready(0);
    desk.ready(1);
    assert_eq!(desk.wait(Duration::from_secs(60)), [kept(2, R)]);
    assert_eq!(state(&desk), (2, 2, 2, 0));
    assert_eq!(desk.ready(2), [destroy(0, Why::Recycled)]);
    assert_eq!(desk.wait(Duration::from_secs(10)), [kept(3, R)]);
    assert_eq!(desk.ready(3), [destroy(1, Why::Recycled)]);
    assert_eq!(state(&desk), (2, 2, 2, 0));
}

#[test]
fn who_has_used_up_the_second_of_a_provisioned_environment_spills_over() {
    let mut desk = Desk::new(|limits| limits.requests_per_environment = 1);
    desk.tell(provision(vec![part(R, 1)]));
    desk.ready(0);
    assert_eq!(desk.tell(offer_by(1)), [assign(1, 0)]);
    desk.tell(released(0, 1, true));
    assert_eq!(desk.tell(offer_by(2)), [start(1, R)]);
}

#[test]
fn draining_keeps_nothing_ready() {
    let mut desk = desk_with(1);
    desk.tell(provision(vec![part(R, 3)]));
    assert_eq!(desk.tell(Event::Drain), [destroy(0, Why::Draining)]);
    assert_eq!(desk.ready(1), [destroy(1, Why::Draining)]);
    let failed = Event::StartFailed { environment: e(2), detail: String::new() };
    assert_eq!(desk.tell(failed), []);
    desk.tell(Event::Destroyed { environment: e(0) });
    assert_eq!(desk.tell(Event::Destroyed { environment: e(1) }), [Action::Drained]);
}

#[test]
fn a_deleted_function_keeps_nothing_ready() {
    let mut desk = desk_with(1);
    assert_eq!(desk.tell(Event::FunctionGone { function: F }), [destroy(0, Why::Retired)]);
    assert_eq!(desk.scheduler.provisioned(P), None);
}

#[test]
fn a_start_of_a_former_revision_that_fails_is_no_failure_of_the_new_one() {
    let mut desk = desk_with(1);
    desk.tell(provision(vec![part(R, 2)]));
    assert_eq!(desk.tell(provision(vec![part(S, 1)])), [kept(2, S)]);
    desk.tell(Event::StartFailed { environment: e(1), detail: "x".to_owned() });
    assert_eq!(desk.scheduler.provisioned(P).unwrap().failed, None);
    // And one that comes up is no success of it.
    desk.tell(Event::StartFailed { environment: e(2), detail: "y".to_owned() });
    let failed = Some(ProvisionedFailure::Sandbox("y".to_owned()));
    assert_eq!(desk.scheduler.provisioned(P).unwrap().failed, failed);
}

#[test]
fn what_is_too_much_goes_also_while_an_old_one_that_is_to_be_replaced_works() {
    let mut desk = Desk::new(|limits| limits.recycle_after = Some(Duration::from_secs(60)));
    assert_eq!(desk.tell(provision(vec![part(R, 3)])), [kept(0, R), kept(1, R), kept(2, R)]);
    for environment in 0..3 {
        desk.ready(environment);
    }
    assert_eq!(desk.wait(Duration::from_secs(60)), [kept(3, R)]);
    for (invocation, environment) in [(1, 2), (2, 1), (3, 0)] {
        assert_eq!(desk.tell(offer_by(invocation)), [assign(invocation, environment)]);
    }
    desk.tell(released(2, 1, true));
    desk.tell(released(1, 2, true));
    // The old one works; of the two others one is too much.
    assert_eq!(desk.tell(provision(vec![part(R, 1)])), [destroy(1, Why::Retired)]);
    // Without it there is as much as is wanted, and what was to replace it is too much when it comes.
    let died = [fail(3, Detail::Died), destroy(0, Why::Died)];
    assert_eq!(desk.tell(Event::Died { environment: e(0) }), died);
    assert_eq!(desk.ready(3), [destroy(2, Why::Retired)]);
    assert_eq!(state(&desk), (1, 1, 1, 0));
}
