//! Decides whether one more invocation may be in flight: account limit and reserved concurrency → permit or refusal.
//!
//! A reservation is guarantee and ceiling at once: functions with one may use that much and no more, the others share what
//! all reservations leave. Provisioned concurrency is a promise to one version or alias: it is set aside when it is
//! configured, out of its function's reservation or, without one, out of what is not reserved, and only what its
//! invocations use beyond it competes with others. It does not know where invocations run, and counts waiting ones as in
//! flight, as Lambda does.

use crate::{Exceeded, FunctionId, ProvisionedId};
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
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::ReservedFunctionConcurrentInvocationLimitExceeded,
        Self::ConcurrentInvocationLimitExceeded,
        Self::FunctionInvocationRateLimitExceeded,
        Self::ReservedFunctionInvocationRateLimitExceeded,
        Self::CallerRateLimitExceeded,
        Self::CapacityExceeded,
        Self::QueueFull,
        Self::ShuttingDown,
    ];

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
    /// Which rate, where it was one.
    pub rate: Option<Exceeded>,
    /// After what pause another try may succeed, where that is known.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// One that nobody knows the end of.
    pub(crate) const fn of(reason: Reason) -> Self {
        Self { reason, rate: None, retry_after: None }
    }
}

/// The right to have one invocation in flight. Cannot be copied: it comes back by [`Admission::give_back`], once.
#[derive(Debug)]
#[must_use = "a permit that is not given back is lost"]
pub struct Permit {
    function: FunctionId,
    /// The promise that it counts towards.
    promise: Option<ProvisionedId>,
}

impl Permit {
    /// Whose it is.
    #[must_use]
    pub const fn function(&self) -> FunctionId {
        self.function
    }

    /// The provisioned concurrency that it counts towards.
    #[must_use]
    pub const fn promise(&self) -> Option<ProvisionedId> {
        self.promise
    }
}

/// Whether a function that reserves `current` may reserve `wanted` while others reserve `by_others`, where all together may
/// reserve `reservable`. Nothing, or less than before, takes nothing away from anybody: it is never what breaks the floor, also
/// where that was broken already because the account's limit was lowered.
#[must_use]
pub fn may_reserve(wanted: u32, current: Option<u32>, by_others: u64, reservable: u32) -> bool {
    wanted == 0
        || current.is_some_and(|current| wanted <= current)
        || by_others.saturating_add(u64::from(wanted)) <= u64::from(reservable)
}

#[derive(Debug, Default, Clone, Copy)]
struct Share {
    reserved: Option<u32>,
    running: u32,
    /// Of them, those beyond what was promised to their qualifier.
    beyond: u32,
    /// What is promised to all of its qualifiers.
    promised: u32,
}

/// Provisioned concurrency of one qualifier.
#[derive(Debug, Clone, Copy)]
struct Promise {
    function: FunctionId,
    wanted: u32,
    running: u32,
}

impl Promise {
    const fn beyond(&self) -> u32 {
        self.running.saturating_sub(self.wanted)
    }
}

/// The books of concurrency.
#[derive(Debug)]
pub struct Admission {
    account: u32,
    shares: BTreeMap<FunctionId, Share>,
    promises: BTreeMap<ProvisionedId, Promise>,
    reserved: u64,
    /// Promised to functions without a reservation.
    promised: u64,
    running: u32,
    running_unreserved: u32,
}

impl Admission {
    /// Nothing in flight, nothing reserved.
    #[must_use]
    pub const fn new(account: u32) -> Self {
        Self {
            account,
            shares: BTreeMap::new(),
            promises: BTreeMap::new(),
            reserved: 0,
            promised: 0,
            running: 0,
            running_unreserved: 0,
        }
    }

    /// Takes a permit for one invocation of `function`, by a qualifier with provisioned concurrency or not.
    ///
    /// # Errors
    /// A [`Refusal`] with one of Lambda's two reasons.
    pub fn admit(
        &mut self,
        function: FunctionId,
        provisioned: Option<ProvisionedId>,
    ) -> Result<Permit, Refusal> {
        let share = self.shares.get(&function).copied().unwrap_or_default();
        let known = provisioned.and_then(|id| self.promises.get(&id).map(|promise| (id, *promise)));
        let known = known.filter(|(_, promise)| promise.function == function);
        let beyond = known.is_none_or(|(_, promise)| promise.running >= promise.wanted);
        let refuse = |reason| Err(Refusal::of(reason));
        match share.reserved {
            Some(reserved)
                if share.running >= reserved
                    || beyond && share.beyond >= reserved.saturating_sub(share.promised) =>
            {
                return refuse(Reason::ReservedFunctionConcurrentInvocationLimitExceeded);
            }
            None if beyond && self.running_unreserved >= self.unreserved() => {
                return refuse(Reason::ConcurrentInvocationLimitExceeded);
            }
            // Only while what runs was admitted under other settings can a guarantee meet a full account.
            Some(_) | None if self.running >= self.account => {
                return refuse(Reason::ConcurrentInvocationLimitExceeded);
            }
            Some(_) | None => {}
        }
        let promise = known.map(|(id, _)| id);
        if let Some(promise) = promise.and_then(|id| self.promises.get_mut(&id)) {
            promise.running += 1;
        }
        self.running += 1;
        let share = self.shares.entry(function).or_default();
        share.running += 1;
        share.beyond += u32::from(beyond);
        self.running_unreserved += u32::from(beyond && share.reserved.is_none());
        Ok(Permit { function, promise })
    }

    /// Takes a permit back.
    pub fn give_back(&mut self, permit: Permit) {
        let Permit { function, promise } = permit;
        let mut beyond = true;
        if let Some(id) = promise
            && let Some(promise) = self.promises.get_mut(&id)
        {
            beyond = promise.beyond() > 0;
            promise.running = promise.running.saturating_sub(1);
            self.forget_if_void(id);
        }
        self.running = self.running.saturating_sub(1);
        let Some(share) = self.shares.get_mut(&function) else { return };
        share.running = share.running.saturating_sub(1);
        share.beyond = share.beyond.saturating_sub(u32::from(beyond));
        if beyond && share.reserved.is_none() {
            self.running_unreserved = self.running_unreserved.saturating_sub(1);
        }
        self.forget_if_plain(function);
    }

    /// Sets or removes a function's reservation. What runs goes on, and counts where it now belongs.
    pub fn reserve(&mut self, function: FunctionId, reserved: Option<u32>) {
        let share = self.shares.entry(function).or_default();
        let before = std::mem::replace(&mut share.reserved, reserved);
        self.reserved = self.reserved - before.map_or(0, u64::from) + reserved.map_or(0, u64::from);
        let promised = u64::from(share.promised);
        match (before, reserved) {
            (None, Some(_)) => {
                self.running_unreserved = self.running_unreserved.saturating_sub(share.beyond);
                self.promised = self.promised.saturating_sub(promised);
            }
            (Some(_), None) => {
                self.running_unreserved += share.beyond;
                self.promised += promised;
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
        self.forget_if_plain(function);
    }

    /// Promises concurrency to a qualifier of `function`, in place of what was promised before; 0 ends the promise. What
    /// runs goes on, and counts where it now belongs. An id that has invocations in flight keeps its function.
    pub fn promise(&mut self, id: ProvisionedId, function: FunctionId, wanted: u32) {
        let fresh = Promise { function, wanted: 0, running: 0 };
        let promise = self.promises.entry(id).or_insert(fresh);
        let (function, before) = (promise.function, *promise);
        promise.wanted = wanted;
        let after = *promise;
        let share = self.shares.entry(function).or_default();
        share.promised = share.promised.saturating_sub(before.wanted).saturating_add(wanted);
        share.beyond = (share.beyond + after.beyond()).saturating_sub(before.beyond());
        if share.reserved.is_none() {
            let running = self.running_unreserved + after.beyond();
            self.running_unreserved = running.saturating_sub(before.beyond());
            self.promised = (self.promised + u64::from(wanted)).saturating_sub(u64::from(before.wanted));
        }
        self.forget_if_void(id);
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

    /// What functions without a reservation share, beside what is promised to their qualifiers:
    /// `UnreservedConcurrentExecutions`.
    #[must_use]
    pub fn unreserved(&self) -> u32 {
        let left = u64::from(self.account).saturating_sub(self.reserved).saturating_sub(self.promised);
        u32::try_from(left).unwrap_or(self.account)
    }

    /// Permits out.
    #[must_use]
    pub const fn running(&self) -> u32 {
        self.running
    }

    /// Permits out for functions without a reservation, but for what was promised to their qualifiers.
    #[must_use]
    pub const fn running_unreserved(&self) -> u32 {
        self.running_unreserved
    }

    /// Permits out for all functions without a reservation: `UnreservedConcurrentExecutions` of CloudWatch.
    #[must_use]
    pub fn running_without_reservation(&self) -> u32 {
        self.shares.values().filter(|share| share.reserved.is_none()).map(|share| share.running).sum()
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

    /// What is promised to one qualifier.
    #[must_use]
    pub fn promised_to(&self, id: ProvisionedId) -> u32 {
        self.promises.get(&id).map_or(0, |promise| promise.wanted)
    }

    /// What is promised to one qualifier, if it is one of this function's.
    #[must_use]
    pub fn promised_of_qualifier(&self, id: ProvisionedId, function: FunctionId) -> u32 {
        let promise = self.promises.get(&id).filter(|promise| promise.function == function);
        promise.map_or(0, |promise| promise.wanted)
    }

    /// What is promised to the qualifiers of one function.
    #[must_use]
    pub fn promised_of(&self, function: FunctionId) -> u32 {
        self.shares.get(&function).map_or(0, |share| share.promised)
    }

    /// Functions with a reservation, a promise or something in flight, in order of their ids.
    pub fn functions(&self) -> impl Iterator<Item = FunctionId> + '_ {
        self.shares.keys().copied()
    }

    fn forget_if_plain(&mut self, function: FunctionId) {
        if let Some(Share { reserved: None, running: 0, promised: 0, .. }) = self.shares.get(&function) {
            self.shares.remove(&function);
        }
    }

    fn forget_if_void(&mut self, id: ProvisionedId) {
        if let Some(Promise { wanted: 0, running: 0, .. }) = self.promises.get(&id) {
            self.promises.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests;
