//! Whether what is offered is taken: concurrency, rates, a place in the line; each refusal with its reason and, where that is
//! known, when to come back.
//!
//! Apart from `scheduler` because it is one decision, made once for each invocation, before it is anywhere.

use super::{Action, Admitted, Found, Phase, Place, Scheduler, Source};
use crate::admission::{Reason, Refusal};
use crate::fleet::Room;
use crate::provisioned::Group;
use crate::scaling::{Rate, Scaling, TooFast, Whose};
use crate::{Exceeded, FunctionId, InvocationId, ProvisionedId, RevisionId, Time};
use std::time::Duration;

/// Who wants what run, and waits for it how.
pub(super) struct Offer {
    pub(super) invocation: InvocationId,
    pub(super) function: FunctionId,
    pub(super) revision: RevisionId,
    pub(super) memory_mb: u32,
    pub(super) source: Source,
    pub(super) provisioned: Option<ProvisionedId>,
}

/// The refusal of what never waited.
pub(super) const fn at_once(invocation: InvocationId, refusal: Refusal) -> Action {
    let Refusal { reason, rate, retry_after } = refusal;
    Action::Refuse { invocation, reason, rate, retry_after, waited: Duration::ZERO, waited_for: None }
}

impl Scheduler {
    pub(super) fn offer(&mut self, now: Time, offer: Offer, todo: &mut Vec<Action>) -> Result<(), Refusal> {
        let Offer { invocation, function, revision, memory_mb, provisioned, .. } = offer;
        if self.invocations.contains_key(&invocation) {
            return Ok(());
        }
        if self.phase != Phase::Serving {
            return Err(Refusal::of(Reason::ShuttingDown));
        }
        let permit = self.admission.admit(function, provisioned)?;
        let request = match self.request_rate(now, &offer) {
            Ok(request) => request,
            Err(too_fast) => {
                self.admission.give_back(permit);
                return Err(self.too_fast(function, Exceeded::Requests, too_fast));
            }
        };
        let pool = self.fleet.enter(revision, function, memory_mb);
        pool.fetch();
        pool.retired = false;
        let (open, covered, memory_mb) = (pool.newest_open(), pool.covers_one_more(), pool.memory_mb);
        let kept = self.fleet.group(provisioned, revision).and_then(Group::newest_open);
        let open = kept.or(open);
        if open.is_none()
            && let Err(refusal) = self.place_in_line(now, function, memory_mb, covered)
        {
            self.admission.give_back(permit);
            self.fleet.forget_if_empty(revision);
            return Err(refusal);
        }
        if let Some((whose, rate)) = request {
            self.rates.count_request(now, whose, rate);
        }
        let turn = self.fleet.turn();
        let place = Place::Waiting;
        let admitted = Admitted { permit, revision, provisioned, turn, place, deliveries: 0, since: now };
        self.invocations.insert(invocation, admitted);
        match open {
            Some(environment) => self.assign(now, environment, invocation, Found::default(), todo),
            None => {
                self.wait(now, invocation);
                if !covered && self.limits.scaling != Scaling::Unlimited {
                    self.fleet.line.paid(function);
                }
            }
        }
        Ok(())
    }

    /// Whose requests this one is counted with, and their rate: each unit of concurrency may be used so many times a second.
    /// What is promised to a qualifier is used by those who come by it first; beyond that they are one of the others. It
    /// counts from when it is promised, as the concurrency does: while it comes up they run on demand.
    fn request_rate(&self, now: Time, offer: &Offer) -> Result<Option<(Whose, Rate)>, TooFast> {
        let each = u64::from(self.limits.requests_per_concurrency);
        if each == 0 || offer.source != Source::Synchronous {
            return Ok(None);
        }
        let within = |whose, units: u32| {
            let rate = Rate::per_second(each * u64::from(units));
            self.rates.may_request(now, whose, rate).map(|()| Some((whose, rate)))
        };
        let promised =
            offer.provisioned.map(|id| (id, self.admission.promised_of_qualifier(id, offer.function)));
        let soonest = match promised.filter(|(_, units)| *units > 0) {
            None => None,
            Some((id, units)) => match within(Whose::Provisioned(id), units) {
                Err(TooFast(wait)) => wait,
                found => return found,
            },
        };
        let others = match self.admission.reserved_of(offer.function) {
            Some(reserved) => {
                let units = reserved.saturating_sub(self.admission.promised_of(offer.function));
                within(Whose::Function(offer.function), units)
            }
            None => within(Whose::Shared, self.admission.unreserved()),
        };
        others.map_err(|TooFast(wait)| TooFast(wait.into_iter().chain(soonest).min()))
    }

    /// Lambda has one reason for both rates; which it was is said beside it.
    fn too_fast(&self, function: FunctionId, rate: Exceeded, TooFast(retry_after): TooFast) -> Refusal {
        let reason = match self.admission.reserved_of(function) {
            Some(_) => Reason::ReservedFunctionInvocationRateLimitExceeded,
            None => Reason::FunctionInvocationRateLimitExceeded,
        };
        Refusal { reason, rate: Some(rate), retry_after }
    }

    /// Whether one more may wait; takes the right to a start for it, unless one is `covered` by a start under way. The line
    /// that has an end is of those for whom no start is under way: the others are as many as environments.
    fn place_in_line(
        &mut self,
        now: Time,
        function: FunctionId,
        memory_mb: u32,
        covered: bool,
    ) -> Result<(), Refusal> {
        let room = self.fleet.room(memory_mb, &self.limits);
        if room == Room::Never {
            return Err(Refusal::of(Reason::CapacityExceeded));
        }
        if covered {
            return Ok(());
        }
        let waiters_max = usize::try_from(self.limits.waiters_max).unwrap_or(usize::MAX);
        let begins_now = self.fleet.line.is_empty() && room == Room::Fits && !self.starts_are_full();
        if !begins_now && self.fleet.line.len() >= waiters_max {
            return Err(Refusal::of(Reason::QueueFull));
        }
        let claimed = self.rates.claim_start(now, function, self.limits.scaling);
        claimed.map_err(|too_fast| self.too_fast(function, Exceeded::Scaling, too_fast))
    }
}
