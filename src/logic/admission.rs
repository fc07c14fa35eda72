//! Decides whether one more invocation may be in flight: account limit and reserved concurrency → permit or refusal.
//!
//! A reservation is guarantee and ceiling at once: functions with one may use that much and no more, the others share what
//! all reservations leave. It does not know where invocations run, and counts waiting ones as in flight, as Lambda does.

use crate::FunctionId;
use crate::limits::UNRESERVED_FLOOR;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Why an invocation is not run. The first five are `Reason` of `TooManyRequestsException`, to the letter; the others say
/// what this machine, not Lambda's model, could not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// The function uses all of its reserved concurrency, or has reserved none.
    ReservedFunctionConcurrentInvocationLimitExceeded,
    /// The account, or the part of it that is not reserved, is used up.
    ConcurrentInvocationLimitExceeded,
    /// A function without a reservation grows, or is called, faster than it may.
    FunctionInvocationRateLimitExceeded,
    /// A function with a reservation grows, or is called, faster than it may.
    ReservedFunctionInvocationRateLimitExceeded,
    /// One who calls the API does so faster than he may. The scheduler does not know who calls and never says it.
    CallerRateLimitExceeded,
    /// The box has no room for another environment and none came free in time.
    CapacityExceeded,
    /// As many invocations as may wait are waiting, or a queue in between is full.
    QueueFull,
    /// The daemon takes no new work.
    ShuttingDown,
}

impl Reason {
    /// The name, as clients see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReservedFunctionConcurrentInvocationLimitExceeded => {
                "ReservedFunctionConcurrentInvocationLimitExceeded"
            }
            Self::ConcurrentInvocationLimitExceeded => "ConcurrentInvocationLimitExceeded",
            Self::FunctionInvocationRateLimitExceeded => "FunctionInvocationRateLimitExceeded",
            Self::ReservedFunctionInvocationRateLimitExceeded => {
                "ReservedFunctionInvocationRateLimitExceeded"
            }
            Self::CallerRateLimitExceeded => "CallerRateLimitExceeded",
            Self::CapacityExceeded => "CapacityExceeded",
            Self::QueueFull => "QueueFull",
            Self::ShuttingDown => "ShuttingDown",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("refused: {reason}")]
pub struct Refusal {
    /// Why not.
    pub reason: Reason,
    /// After what pause another try may succeed, where that is known.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// One that nobody knows the end of.
    pub(crate) const fn of(reason: Reason) -> Self {
        Self { reason, retry_after: None }
    }
}

/// The right to have one invocation in flight. Cannot be copied: it comes back by [`Admission::give_back`], once.
#[derive(Debug)]
#[must_use = "a permit that is not given back is lost"]
pub struct Permit {
    function: FunctionId,
}

impl Permit {
    /// Whose it is.
    #[must_use]
    pub const fn function(&self) -> FunctionId {
        self.function
    }
}

/// A reservation that would leave too little to the functions without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its \
     minimum value of [{minimum}]."
)]
pub struct BelowFloor {
    /// What must be left.
    pub minimum: u32,
}

/// Whether a function may reserve `wanted` while others reserve `reserved_by_others` of `account`.
///
/// An account smaller than the usual floor must be left whole, as Lambda has it.
///
/// # Errors
/// [`BelowFloor`] prints Lambda's own sentence.
pub fn check_reservation(account: u32, reserved_by_others: u64, wanted: u32) -> Result<(), BelowFloor> {
    let minimum = UNRESERVED_FLOOR.min(account);
    let left = u64::from(account).saturating_sub(reserved_by_others).saturating_sub(u64::from(wanted));
    // A reservation of nothing takes nothing away, so it is never what breaks the floor.
    if wanted > 0 && left < u64::from(minimum) { Err(BelowFloor { minimum }) } else { Ok(()) }
}

#[derive(Debug, Default, Clone, Copy)]
struct Share {
    reserved: Option<u32>,
    running: u32,
}

/// The books of concurrency.
#[derive(Debug)]
pub struct Admission {
    account: u32,
    shares: BTreeMap<FunctionId, Share>,
    reserved: u64,
    running: u32,
    running_unreserved: u32,
}

impl Admission {
    /// Nothing in flight, nothing reserved.
    #[must_use]
    pub const fn new(account: u32) -> Self {
        Self { account, shares: BTreeMap::new(), reserved: 0, running: 0, running_unreserved: 0 }
    }

    /// Takes a permit for one invocation of `function`.
    ///
    /// # Errors
    /// A [`Refusal`] with one of Lambda's two reasons.
    pub fn admit(&mut self, function: FunctionId) -> Result<Permit, Refusal> {
        let share = self.shares.get(&function).copied().unwrap_or_default();
        let refuse = |reason| Err(Refusal::of(reason));
        match share.reserved {
            Some(reserved) if share.running >= reserved => {
                return refuse(Reason::ReservedFunctionConcurrentInvocationLimitExceeded);
            }
            None if self.running_unreserved >= self.unreserved() => {
                return refuse(Reason::ConcurrentInvocationLimitExceeded);
            }
            // Only while what runs was admitted under other settings can a guarantee meet a full account.
            Some(_) | None if self.running >= self.account => {
                return refuse(Reason::ConcurrentInvocationLimitExceeded);
            }
            Some(_) => {}
            None => self.running_unreserved += 1,
        }
        self.running += 1;
        self.shares.entry(function).or_default().running += 1;
        Ok(Permit { function })
    }

    /// Takes a permit back.
    pub fn give_back(&mut self, permit: Permit) {
        let Permit { function } = permit;
        let Some(share) = self.shares.get_mut(&function) else { return };
        share.running = share.running.saturating_sub(1);
        self.running = self.running.saturating_sub(1);
        if share.reserved.is_none() {
            self.running_unreserved = self.running_unreserved.saturating_sub(1);
        }
        self.forget_if_plain(function);
    }

    /// Sets or removes a function's reservation. What runs goes on, and counts where it now belongs.
    pub fn reserve(&mut self, function: FunctionId, reserved: Option<u32>) {
        let share = self.shares.entry(function).or_default();
        let before = std::mem::replace(&mut share.reserved, reserved);
        self.reserved = self.reserved - before.map_or(0, u64::from) + reserved.map_or(0, u64::from);
        match (before, reserved) {
            (None, Some(_)) => {
                self.running_unreserved = self.running_unreserved.saturating_sub(share.running)
            }
            (Some(_), None) => self.running_unreserved += share.running,
            (None, None) | (Some(_), Some(_)) => {}
        }
        self.forget_if_plain(function);
    }

    /// Sets the account limit.
    pub const fn set_account(&mut self, account: u32) {
        self.account = account;
    }

    /// The account limit.
    #[must_use]
    pub const fn account(&self) -> u32 {
        self.account
    }

    /// What functions without a reservation share: `UnreservedConcurrentExecutions`.
    #[must_use]
    pub fn unreserved(&self) -> u32 {
        let left = u64::from(self.account).saturating_sub(self.reserved);
        u32::try_from(left).unwrap_or(self.account)
    }

    /// Permits out.
    #[must_use]
    pub const fn running(&self) -> u32 {
        self.running
    }

    /// Permits out for functions without a reservation.
    #[must_use]
    pub const fn running_unreserved(&self) -> u32 {
        self.running_unreserved
    }

    /// Permits out for one function.
    #[must_use]
    pub fn running_of(&self, function: FunctionId) -> u32 {
        self.shares.get(&function).map_or(0, |share| share.running)
    }

    /// The reservation of one function.
    #[must_use]
    pub fn reserved_of(&self, function: FunctionId) -> Option<u32> {
        self.shares.get(&function).and_then(|share| share.reserved)
    }

    /// Functions with a reservation or something in flight, in order of their ids.
    pub fn functions(&self) -> impl Iterator<Item = FunctionId> + '_ {
        self.shares.keys().copied()
    }

    fn forget_if_plain(&mut self, function: FunctionId) {
        if let Some(Share { reserved: None, running: 0 }) = self.shares.get(&function) {
            self.shares.remove(&function);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: FunctionId = FunctionId(1);
    const B: FunctionId = FunctionId(2);

    fn admit(admission: &mut Admission, function: FunctionId) -> Result<Permit, Reason> {
        admission.admit(function).map_err(|refusal| refusal.reason)
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
    fn a_reservation_must_leave_the_floor() {
        assert_eq!(check_reservation(1_000, 0, 900), Ok(()));
        assert_eq!(check_reservation(1_000, 0, 901), Err(BelowFloor { minimum: 100 }));
        assert_eq!(check_reservation(1_000, 900, 1), Err(BelowFloor { minimum: 100 }));
        assert_eq!(check_reservation(1_000, 900, 0), Ok(()));
        assert_eq!(check_reservation(10, 0, 1), Err(BelowFloor { minimum: 10 }));
        assert_eq!(check_reservation(u32::MAX, u64::MAX, u32::MAX), Err(BelowFloor { minimum: 100 }));
        assert_eq!(
            BelowFloor { minimum: 100 }.to_string(),
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution \
             below its minimum value of [100]."
        );
    }

    #[derive(Clone, Debug)]
    enum Step {
        Admit(u64),
        GiveBack(usize),
        Reserve(u64, Option<u32>),
        Account(u32),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0..4u64).prop_map(Step::Admit),
            4 => any::<usize>().prop_map(Step::GiveBack),
            1 => (0..4u64, proptest::option::of(0..6u32)).prop_map(|(f, r)| Step::Reserve(f, r)),
            1 => (0..12u32).prop_map(Step::Account),
        ];
        proptest::collection::vec(step, 0..200)
    }

    /// The rule, said once more and slowly: recounts everything from the list of permits.
    fn expected(
        account: u32,
        reserved: &BTreeMap<u64, u32>,
        out: &[Permit],
        function: u64,
    ) -> Result<(), Reason> {
        let mine = out.iter().filter(|p| p.function.0 == function).count() as u64;
        let unreserved = out.iter().filter(|p| !reserved.contains_key(&p.function.0)).count() as u64;
        let left = u64::from(account).saturating_sub(reserved.values().map(|n| u64::from(*n)).sum());
        match reserved.get(&function) {
            Some(n) if mine >= u64::from(*n) => {
                Err(Reason::ReservedFunctionConcurrentInvocationLimitExceeded)
            }
            None if unreserved >= left => Err(Reason::ConcurrentInvocationLimitExceeded),
            _ if out.len() as u64 >= u64::from(account) => Err(Reason::ConcurrentInvocationLimitExceeded),
            _ => Ok(()),
        }
    }

    proptest! {
        #[test]
        fn every_decision_is_the_one_that_a_recount_gives(steps in steps()) {
            let mut admission = Admission::new(8);
            let (mut account, mut reserved, mut out) = (8, BTreeMap::new(), Vec::new());
            for step in steps {
                match step {
                    Step::Admit(function) => {
                        let expected = expected(account, &reserved, &out, function);
                        let decided = admit(&mut admission, FunctionId(function));
                        prop_assert_eq!(decided.as_ref().map(|_| ()).map_err(|r| *r), expected);
                        out.extend(decided);
                    }
                    Step::GiveBack(at) if !out.is_empty() => {
                        let at = at % out.len();
                        admission.give_back(out.swap_remove(at));
                    }
                    Step::GiveBack(_) => {}
                    Step::Reserve(function, n) => {
                        admission.reserve(FunctionId(function), n);
                        match n {
                            Some(n) => reserved.insert(function, n),
                            None => reserved.remove(&function),
                        };
                    }
                    Step::Account(n) => {
                        admission.set_account(n);
                        account = n;
                    }
                }
                prop_assert_eq!(admission.running() as usize, out.len());
            }
            for permit in out {
                admission.give_back(permit);
            }
            prop_assert_eq!((admission.running(), admission.running_unreserved()), (0, 0));
            prop_assert_eq!(admission.functions().count(), reserved.len());
        }
    }
}
