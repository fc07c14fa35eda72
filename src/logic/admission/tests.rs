//! Tables and a recount by another way.

use super::*;
use proptest::prelude::*;

const A: FunctionId = FunctionId(1);
const B: FunctionId = FunctionId(2);
const P: ProvisionedId = ProvisionedId(9);

fn admit(admission: &mut Admission, function: FunctionId) -> Result<Permit, Reason> {
    admission.admit(function, None).map_err(|refusal| refusal.reason)
}

#[test]
fn a_reservation_is_a_guarantee_and_a_ceiling() {
    let mut admission = Admission::new(5);
    admission.reserve(A, Some(2));
    assert_eq!(admission.unreserved(), 3);
    let mut permits = Vec::new();
    for _ in 0..3 {
        permits.push(admit(&mut admission, B).unwrap());
    }
    assert_eq!(admit(&mut admission, B).unwrap_err(), Reason::ConcurrentInvocationLimitExceeded);
    for _ in 0..2 {
        permits.push(admit(&mut admission, A).unwrap());
    }
    let reserved = Reason::ReservedFunctionConcurrentInvocationLimitExceeded;
    assert_eq!(admit(&mut admission, A).unwrap_err(), reserved);
    for permit in permits {
        admission.give_back(permit);
    }
    assert_eq!((admission.running(), admission.running_unreserved()), (0, 0));
}

#[test]
fn a_reservation_of_zero_disables_the_function() {
    let mut admission = Admission::new(1_000);
    admission.reserve(A, Some(0));
    let reserved = Reason::ReservedFunctionConcurrentInvocationLimitExceeded;
    assert_eq!(admit(&mut admission, A).unwrap_err(), reserved);
    admission.reserve(A, None);
    assert!(admit(&mut admission, A).is_ok());
}

#[test]
fn what_runs_when_a_reservation_comes_counts_against_it() {
    let mut admission = Admission::new(3);
    let one = admit(&mut admission, A).unwrap();
    let two = admit(&mut admission, A).unwrap();
    admission.reserve(A, Some(2));
    assert_eq!((admission.unreserved(), admission.running_unreserved()), (1, 0));
    assert!(admit(&mut admission, A).is_err());
    admission.give_back(one);
    admission.give_back(two);
    assert!(admit(&mut admission, A).is_ok());
}

#[test]
fn a_lower_account_limit_stops_nothing_and_admits_nothing() {
    let mut admission = Admission::new(2);
    let one = admit(&mut admission, A).unwrap();
    let two = admit(&mut admission, A).unwrap();
    admission.set_account(1);
    assert_eq!(admission.running(), 2);
    admission.give_back(one);
    assert_eq!(admit(&mut admission, A).unwrap_err(), Reason::ConcurrentInvocationLimitExceeded);
    admission.give_back(two);
    assert!(admit(&mut admission, A).is_ok());
}

#[test]
fn a_reservation_must_leave_the_floor_unless_it_takes_nothing_more() {
    assert!(may_reserve(900, None, 0, 900));
    assert!(!may_reserve(901, None, 0, 900));
    assert!(!may_reserve(1, None, 900, 900));
    assert!(may_reserve(0, None, 900, 900));
    // The account was made smaller: what is there may become less, and not more.
    assert!(may_reserve(0, Some(500), 900, 50));
    assert!(may_reserve(499, Some(500), 900, 50) && may_reserve(500, Some(500), 900, 50));
    assert!(!may_reserve(501, Some(500), 900, 50));
    assert!(!may_reserve(u32::MAX, None, u64::MAX, u32::MAX));
}

#[test]
fn what_is_promised_is_set_aside_and_the_rest_is_shared() {
    let mut admission = Admission::new(5);
    admission.promise(P, A, 2);
    assert_eq!(admission.unreserved(), 3);
    let mut permits: Vec<Permit> = (0..3).map(|_| admission.admit(B, None).unwrap()).collect();
    let full = Reason::ConcurrentInvocationLimitExceeded;
    assert_eq!(admission.admit(A, None).unwrap_err().reason, full);
    permits.extend((0..2).map(|_| admission.admit(A, Some(P)).unwrap()));
    assert_eq!(admission.admit(A, Some(P)).unwrap_err().reason, full);
    assert_eq!((admission.running(), admission.running_unreserved()), (5, 3));
    // The promise ends: what runs by it is of the unreserved part now.
    admission.promise(P, A, 0);
    assert_eq!((admission.unreserved(), admission.running_unreserved()), (5, 5));
    permits.into_iter().for_each(|permit| admission.give_back(permit));
    assert_eq!((admission.running(), admission.running_unreserved()), (0, 0));
    assert_eq!(admission.functions().count(), 0);
}

#[test]
fn a_promise_is_kept_inside_the_reservation_of_its_function() {
    let mut admission = Admission::new(10);
    admission.reserve(A, Some(3));
    admission.promise(P, A, 2);
    assert_eq!(admission.unreserved(), 7);
    let full = Reason::ReservedFunctionConcurrentInvocationLimitExceeded;
    let one = admission.admit(A, None).unwrap();
    assert_eq!(admission.admit(A, None).unwrap_err().reason, full);
    let two = admission.admit(A, Some(P)).unwrap();
    let three = admission.admit(A, Some(P)).unwrap();
    assert_eq!(admission.admit(A, Some(P)).unwrap_err().reason, full);
    admission.give_back(one);
    // All that is reserved and not promised may spill over.
    let four = admission.admit(A, Some(P)).unwrap();
    assert_eq!(admission.admit(A, None).unwrap_err().reason, full);
    [two, three, four].into_iter().for_each(|permit| admission.give_back(permit));
}

#[test]
fn a_function_whose_reservation_is_all_promised_runs_by_its_qualifier_only() {
    let mut admission = Admission::new(10);
    admission.reserve(A, Some(2));
    admission.promise(P, A, 2);
    assert!(admission.admit(A, None).is_err());
    assert!(admission.admit(A, Some(P)).is_ok());
}

#[derive(Clone, Debug)]
enum Step {
    Admit(u64, Option<u64>),
    GiveBack(usize),
    Reserve(u64, Option<u32>),
    Promise(u64, u32),
    Account(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..4u64, proptest::option::of(0..8u64)).prop_map(|(f, p)| Step::Admit(f, p)),
        4 => any::<usize>().prop_map(Step::GiveBack),
        1 => (0..4u64, proptest::option::of(0..6u32)).prop_map(|(f, r)| Step::Reserve(f, r)),
        1 => (0..8u64, 0..4u32).prop_map(|(p, n)| Step::Promise(p, n)),
        1 => (0..12u32).prop_map(Step::Account),
    ];
    proptest::collection::vec(step, 0..200)
}

/// The rule, said once more and slowly: everything is recounted from the list of permits.
#[derive(Default)]
struct Recount {
    account: u64,
    reserved: BTreeMap<u64, u32>,
    promises: BTreeMap<u64, u32>,
    /// Function and, where a promise was known when it was admitted, its id.
    out: Vec<(u64, Option<u64>)>,
}

impl Recount {
    /// Invocations of the function that no promise of its qualifiers covers.
    fn beyond(&self, function: u64) -> u64 {
        let mine = || self.out.iter().filter(|(f, _)| *f == function);
        let plain = mine().filter(|(_, promise)| promise.is_none()).count() as u64;
        let ids: std::collections::BTreeSet<u64> = mine().filter_map(|(_, promise)| *promise).collect();
        let over = |id: &u64| {
            let running = mine().filter(|(_, promise)| *promise == Some(*id)).count() as u64;
            running.saturating_sub(self.promises.get(id).map_or(0, |n| u64::from(*n)))
        };
        plain + ids.iter().map(over).sum::<u64>()
    }

    fn promised(&self, function: u64) -> u64 {
        self.promises.iter().filter(|(id, _)| **id % 4 == function).map(|(_, n)| u64::from(*n)).sum()
    }

    fn expected(&self, function: u64, promise: Option<u64>) -> Result<(), Reason> {
        let running = |id| self.out.iter().filter(|(_, promise)| *promise == Some(id)).count() as u64;
        let promise = promise.filter(|id| id % 4 == function);
        let within = promise
            .is_some_and(|id| self.promises.get(&id).is_some_and(|wanted| running(id) < u64::from(*wanted)));
        let mine = self.out.iter().filter(|(f, _)| *f == function).count() as u64;
        let free: Vec<u64> = (0..4).filter(|f| !self.reserved.contains_key(f)).collect();
        let used: u64 = free.iter().map(|f| self.beyond(*f)).sum();
        let set_aside: u64 = free.iter().map(|f| self.promised(*f)).sum();
        let reserved: u64 = self.reserved.values().map(|n| u64::from(*n)).sum();
        let left = self.account.saturating_sub(reserved).saturating_sub(set_aside);
        match self.reserved.get(&function).map(|n| u64::from(*n)) {
            Some(n) if mine >= n => Err(Reason::ReservedFunctionConcurrentInvocationLimitExceeded),
            Some(n) if !within && self.beyond(function) >= n.saturating_sub(self.promised(function)) => {
                Err(Reason::ReservedFunctionConcurrentInvocationLimitExceeded)
            }
            None if !within && used >= left => Err(Reason::ConcurrentInvocationLimitExceeded),
            _ if self.out.len() as u64 >= self.account => Err(Reason::ConcurrentInvocationLimitExceeded),
            _ => Ok(()),
        }
    }
}

proptest! {
    #[test]
    fn every_decision_is_the_one_that_a_recount_gives(steps in steps()) {
        let mut admission = Admission::new(8);
        let mut recount = Recount { account: 8, ..Recount::default() };
        let mut out = Vec::new();
        for step in steps {
            match step {
                Step::Admit(function, promise) => {
                    let expected = recount.expected(function, promise);
                    let decided = admission.admit(FunctionId(function), promise.map(ProvisionedId));
                    let reasons = decided.as_ref().map(|_| ()).map_err(|refusal| refusal.reason);
                    prop_assert_eq!(reasons, expected);
                    if let Ok(permit) = decided {
                        recount.out.push((function, permit.promise.map(|id| id.0)));
                        out.push(permit);
                    }
                }
                Step::GiveBack(at) if !out.is_empty() => {
                    let at = at % out.len();
                    admission.give_back(out.swap_remove(at));
                    recount.out.swap_remove(at);
                }
                Step::GiveBack(_) => {}
                Step::Reserve(function, n) => {
                    admission.reserve(FunctionId(function), n);
                    match n {
                        Some(n) => recount.reserved.insert(function, n),
                        None => recount.reserved.remove(&function),
                    };
                }
                Step::Promise(id, n) => {
                    admission.promise(ProvisionedId(id), FunctionId(id % 4), n);
                    recount.promises.insert(id, n);
                }
                Step::Account(n) => {
                    admission.set_account(n);
                    recount.account = u64::from(n);
                }
            }
            prop_assert_eq!(admission.running() as usize, out.len());
        }
        for permit in out {
            admission.give_back(permit);
        }
        prop_assert_eq!((admission.running(), admission.running_unreserved()), (0, 0));
        let promised = |f: &u64| recount.promised(*f) > 0;
        let listed = (0..4).filter(|f| recount.reserved.contains_key(f) || promised(f)).count();
        prop_assert_eq!(admission.functions().count(), listed);
    }
}
