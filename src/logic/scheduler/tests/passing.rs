//! What it costs to look along the line for one that fits behind those that do not.

use super::*;
use crate::limits::PASSED_BY_MAX;

const BUDGET_MB: u32 = 20_000;

fn offer_of(n: u64, memory_mb: u32) -> Event {
    Event::Offer {
        invocation: i(n),
        function: FunctionId(n),
        revision: RevisionId(n),
        memory_mb,
        source: Source::Synchronous,
        provisioned: None,
    }
}

/// A machine with so much memory free, the rest in use.
fn with_free(free_mb: u32) -> Desk {
    let mut desk = Desk::new(|limits| {
        (limits.memory_capacity_mb, limits.memory_overcommit) = (u64::from(BUDGET_MB), 1);
        limits.account_concurrency = 10_000;
    });
    desk.tell(offer_of(0, BUDGET_MB - free_mb));
    desk.ready(0);
    desk
}

/// How many places in the line one more event has looked at.
fn looks(desk: &mut Desk, event: Event) -> (Vec<Action>, u64) {
    let before = desk.scheduler.looks;
    let said = desk.tell(event);
    (said, desk.scheduler.looks - before)
}

/// So many wait, each for less than the one before, and the last for `least_mb`.
fn descending(desk: &mut Desk, count: u32, least_mb: u32) {
    for n in 1..=count {
        assert_eq!(desk.tell(offer_of(u64::from(n), least_mb + count - n)), []);
    }
}

#[test]
fn who_cannot_fit_is_not_looked_at_while_nobody_who_waits_can() {
    let mut desk = with_free(100);
    descending(&mut desk, 255, 128);
    // None of their sizes has room: the first says so for all.
    let (said, looked) = looks(&mut desk, offer_of(1_000, 200));
    assert_eq!((said, looked), (vec![], 1));
    // As small as all the others: there is nobody less to look for.
    let mut desk = with_free(150);
    for n in 1..=255 {
        desk.tell(offer_of(n, 200));
    }
    let (said, looked) = looks(&mut desk, offer_of(1_000, 200));
    assert_eq!((said, looked), (vec![], 1));
}

#[test]
fn one_that_fits_behind_many_of_falling_sizes_is_found_in_one_pass() {
    let mut desk = with_free(150);
    descending(&mut desk, 200, 300);
    let (said, looked) = looks(&mut desk, offer_of(1_000, 150));
    assert!(matches!(said.as_slice(), [Action::Start { revision: RevisionId(1_000), .. }]), "{said:?}");
    // Once to find it, and once more from the beginning, to no avail.
    assert!(looked <= 2 * 201, "{looked} places were looked at");
}

#[test]
fn who_stands_too_far_back_to_be_looked_at_breaks_no_law() {
    let mut desk = with_free(150);
    let many = u32::try_from(PASSED_BY_MAX).unwrap();
    descending(&mut desk, many, 300);
    assert_eq!(desk.tell(offer_of(1_000, 128)), [], "it would fit, and is not seen");
    assert_eq!(crate::laws::broken_law(&desk.scheduler), None);
    // Once one in front of it is gone, it is.
    let said = desk.tell(Event::Cancel { invocation: i(7) });
    assert!(matches!(said.as_slice(), [Action::Start { revision: RevisionId(1_000), .. }]), "{said:?}");
}
