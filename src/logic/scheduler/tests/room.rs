//! Who goes first when there is not room for all: the large and the small, each for a while.

use super::*;
use crate::limits::PASSING_TURN;

const LARGE: FunctionId = FunctionId(7);
const SMALL: FunctionId = FunctionId(8);
const NANO: Duration = Duration::from_nanos(1);

fn offer_of(invocation: u64, function: FunctionId, memory_mb: u32) -> Event {
    Event::Offer {
        invocation: i(invocation),
        function,
        revision: RevisionId(function.0 * 10),
        memory_mb,
        source: Source::Synchronous,
        provisioned: None,
    }
}

fn start_of(environment: u64, function: FunctionId, memory_mb: u32) -> Action {
    Action::Start {
        environment: e(environment),
        function,
        revision: RevisionId(function.0 * 10),
        memory_mb,
        initialization: Initialization::OnDemand,
    }
}

/// 1,024 MB, of which environment 0 uses 600 for its invocation 1.
fn half_full() -> Desk {
    let mut desk = Desk::new(|limits| (limits.memory_capacity_mb, limits.memory_overcommit) = (1_024, 1));
    assert_eq!(desk.tell(offer_of(1, F, 600)), [start_of(0, F, 600)]);
    assert_eq!(desk.ready(0), [assign(1, 0)]);
    desk
}

/// Runs one more invocation of the small function, in a new environment, and takes that away again.
fn small_one(desk: &mut Desk, invocation: u64, environment: u64) {
    assert_eq!(desk.tell(offer_of(invocation, SMALL, 128)), [start_of(environment, SMALL, 128)]);
    assert_eq!(desk.ready(environment), [assign(invocation, environment)]);
    desk.tell(Event::Died { environment: e(environment) });
    assert_eq!(desk.tell(Event::Destroyed { environment: e(environment) }), []);
}

#[test]
fn who_needs_more_room_than_there_can_be_is_passed_by_and_then_waited_for() {
    let mut desk = half_full();
    assert_eq!(desk.tell(offer_of(2, LARGE, 1_000)), []);
    small_one(&mut desk, 3, 1);
    assert_eq!(desk.wait(PASSING_TURN - NANO), []);
    small_one(&mut desk, 4, 2);
    // Now it is the others' turn to wait, for as long.
    desk.wait(NANO);
    assert_eq!(desk.tell(offer_of(5, SMALL, 128)), []);
    assert_eq!(desk.wait(PASSING_TURN - NANO), []);
    assert_eq!(desk.wait(NANO), [start_of(3, SMALL, 128)]);
    assert_eq!(desk.ready(3), [assign(5, 3)]);
    // Room is for whoever is first in line.
    assert_eq!(desk.tell(released(3, 5, true)), []);
    assert_eq!(desk.tell(released(0, 1, true)), [destroy(3, Why::Evicted), destroy(0, Why::Evicted)]);
    desk.tell(Event::Destroyed { environment: e(3) });
    assert_eq!(desk.tell(Event::Destroyed { environment: e(0) }), [start_of(4, LARGE, 1_000)]);
    assert_eq!(desk.ready(4), [assign(2, 4)]);
}

#[test]
fn who_gets_room_from_what_is_going_is_not_passed_by() {
    let mut desk = Desk::new(|limits| (limits.memory_capacity_mb, limits.memory_overcommit) = (1_024, 1));
    desk.tell(offer_of(1, F, 512));
    desk.ready(0);
    desk.tell(offer_of(2, FunctionId(2), 256));
    desk.ready(1);
    desk.tell(released(0, 1, true));
    assert_eq!(desk.tell(offer_of(3, LARGE, 768)), [destroy(0, Why::Evicted)]);
    // There would be room for it at this moment.
    assert_eq!(desk.tell(offer_of(4, SMALL, 128)), []);
    assert_eq!(desk.tell(Event::Destroyed { environment: e(0) }), [start_of(2, LARGE, 768)]);
}

#[test]
fn a_steady_stream_of_small_ones_does_not_starve_a_large_one_nor_one_large_one_them() {
    let mut desk = Desk::new(|limits| (limits.memory_capacity_mb, limits.memory_overcommit) = (1_024, 1));
    let (mut next, mut small_starts, mut large_starts) = (1_000, 0, 0);
    let mut ends: std::collections::BTreeMap<u64, Vec<(u64, u64)>> = std::collections::BTreeMap::new();
    // Each fifth of a second another function of 128 MB calls for a second; each ten seconds one of 1,024 MB.
    for tick in 0..300_u64 {
        desk.wait(Duration::from_millis(200));
        let mut said = Vec::new();
        for (environment, invocation) in ends.remove(&tick).unwrap_or_default() {
            said.extend(desk.tell(released(environment, invocation, false)));
        }
        next += 1;
        said.extend(desk.tell(offer_of(next, FunctionId(100 + tick), 128)));
        if tick % 50 == 0 {
            next += 1;
            said.extend(desk.tell(offer_of(next, LARGE, 1_024)));
        }
        while let Some(action) = said.pop() {
            match action {
                Action::Start { environment, function, .. } => {
                    *(if function == LARGE { &mut large_starts } else { &mut small_starts }) += 1;
                    said.extend(desk.ready(environment.0));
                }
                Action::Assign { invocation, environment, .. } => {
                    ends.entry(tick + 5).or_default().push((environment.0, invocation.0));
                }
                Action::Destroy { environment, .. } => {
                    said.extend(desk.tell(Event::Destroyed { environment }))
                }
                _ => {}
            }
        }
    }
    assert!(large_starts >= 5, "{large_starts} of 6 large ones");
    assert!(small_starts >= 270, "{small_starts} of 300 small ones");
}
