//! Whether what is offered is taken: concurrency, rates, a place in the line; each refusal with its reason and, where that is
//! known, when to come back.
//!
//! Apart from `scheduler` because it is one decision, made once for each invocation, before it is anywhere.

use super::{Action, Admitted, Found, Phase, Place, Scheduler, Source};
use crate::admission::{Reason, Refusal};
use crate::fleet::Room;
use crate::provisioned::Group;
use crate::scaling::{Rate, Scaling, TooFast};
use crate::{FunctionId, InvocationId, ProvisionedId, RevisionId, Time};
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
    let Refusal { reason, retry_after } = refusal;
    Action::Refuse { invocation, reason, retry_after, waited: Duration::ZERO }
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
        let request = self.request_rate(&offer);
        if let Some((whose, rate)) = request
            && let Err(TooFast(retry_after)) = self.rates.may_request(now, whose, rate)
        {
            self.admission.give_back(permit);
            return Err(Refusal { reason: self.too_fast(function), retry_after });
        }
        let pool = self.fleet.enter(revision, function, memory_mb);
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

    /// Whose requests are counted together with this one, and their rate: each unit of concurrency may be used so many
    /// times a second. What goes beyond 10 requests per second of a provisioned environment spills over instead, since no
    /// environment takes more.
    fn request_rate(&self, offer: &Offer) -> Option<(Option<FunctionId>, Rate)> {
        let each = u64::from(self.limits.requests_per_concurrency);
        if each == 0 || offer.source != Source::Synchronous {
            return None;
        }
        Some(match self.admission.reserved_of(offer.function) {
            Some(reserved) => (Some(offer.function), Rate::per_second(each * u64::from(reserved))),
            None => (None, Rate::per_second(each * u64::from(self.admission.unreserved()))),
        })
    }

    fn too_fast(&self, function: FunctionId) -> Reason {
        match self.admission.reserved_of(function) {
            Some(_) => Reason::ReservedFunctionInvocationRateLimitExceeded,
            None => Reason::FunctionInvocationRateLimitExceeded,
        }
    }

    /// Whether one more may wait; takes the right to a start for it, unless one is `covered` by a start under way.
    fn place_in_line(
        &mut self,
        now: Time,
        function: FunctionId,
        memory_mb: u32,
        covered: bool,
    ) -> Result<(), Refusal> {
        if self.fleet.room(memory_mb, &self.limits) == Room::Never {
            return Err(Refusal::of(Reason::CapacityExceeded));
        }
        let waiters_max = usize::try_from(self.limits.waiters_max).unwrap_or(usize::MAX);
        if self.fleet.waiting() >= waiters_max {
            return Err(Refusal::of(Reason::QueueFull));
        }
        if covered {
            return Ok(());
        }
        let claimed = self.rates.claim_start(now, function, self.limits.scaling);
        claimed.map_err(|TooFast(retry_after)| Refusal { reason: self.too_fast(function), retry_after })
    }
}
