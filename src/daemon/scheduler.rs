//! Drives the scheduler machine: the one task that hands invocations to environments and starts them.
//!
//! Decides nothing: `hearth_logic::scheduler` does. Keeps what the machine only knows by number: the waiting invocations
//! and the inboxes of environments.

mod handle;
mod known;

pub(crate) use self::handle::{EnvironmentHandle, Order, SchedulerHandle, Told};
use self::known::Known;
use super::clock;
use super::decisions::TurnedAway;
use super::doors::Doors;
use super::drive::{Driver, drive};
use super::environment::{self, INBOX_MAX, Message};
use super::invoke::{Invocation, Refusal, Shared};
use super::overview::Overview;
use super::record::{Recorded, Recorder};
use super::residents::Residents;
use super::revision::Revision;
use hearth_logic::admission::Reason;
use hearth_logic::scheduler::{Action, Decision, Event, Initialization, ProvisionedPart, StartType};
use hearth_logic::{
    EnvironmentId, FunctionId, InvocationId, ProvisionedId, RevisionId, Scheduler, SchedulerLimits,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::oneshot;

/// A runtime that has answered asks for the next event well within this time.
const FINISHING_PAUSE: Duration = Duration::from_millis(2);
/// The same with the little processor time that a small function has: so long an invocation is held back at most.
const HOLD_MAX: Duration = Duration::from_millis(250);
const RESERVATION_FULL: Reason = Reason::ReservedFunctionConcurrentInvocationLimitExceeded;

/// Runs the scheduler until the daemon ends.
pub(crate) async fn start(
    (limits, recorder): (SchedulerLimits, Option<Recorder>),
    shared: Arc<Shared>,
    handle: SchedulerHandle,
    mut inbox: mpsc::Receiver<Order>,
) {
    handle.is_recorded.store(recorder.is_some(), Ordering::Relaxed);
    let mut driver = SchedulerDriver {
        machine: Recorded::new(Scheduler::new(limits), recorder),
        shared,
        handle,
        waiting: BTreeMap::new(),
        held: BTreeMap::new(),
        returned: Vec::new(),
        doors: Doors::default(),
        environments: BTreeMap::new(),
        residents: Residents::default(),
        known: Known::default(),
        provisioned: BTreeMap::new(),
        drained: None,
    };
    drive(&mut driver, &mut inbox).await;
}

/// An environment that is there, or on its way.
struct Inhabited {
    inbox: mpsc::Sender<Message>,
    function: FunctionId,
}

struct SchedulerDriver {
    machine: Recorded,
    shared: Arc<Shared>,
    handle: SchedulerHandle,
    waiting: BTreeMap<InvocationId, Box<Invocation>>,
    /// Those that were refused for want of a permit that is on its way; at most as many as have been answered and are not
    /// free yet.
    held: BTreeMap<(RevisionId, InvocationId), Box<Invocation>>,
    /// Those that came back in this step: the machine knows what becomes of them, unless it does not know them.
    returned: Vec<InvocationId>,
    doors: Doors,
    environments: BTreeMap<EnvironmentId, Inhabited>,
    /// For the reasons of decisions.
    residents: Residents,
    known: Known,
    /// Revisions that environments are kept ready of, whether there are any or not.
    provisioned: BTreeMap<ProvisionedId, Vec<RevisionId>>,
    drained: Option<oneshot::Sender<()>>,
}

impl SchedulerDriver {
    fn offer(&mut self, invocation: Box<Invocation>) -> Event {
        let revision = &invocation.revision;
        let event = Event::Offer {
            invocation: invocation.id,
            function: revision.function,
            revision: revision.id,
            memory_mb: revision.memory_mb,
            source: invocation.source,
            provisioned: invocation.provisioned,
        };
        self.known.learn(revision);
        if revision.is_retired() {
            // It was found before it was retired. An offer makes current again: that must not last.
            self.handle.order(Order::Retire(revision.id));
        }
        self.waiting.insert(invocation.id, invocation);
        event
    }

    fn hear(&mut self, told: Told) -> Option<Event> {
        Some(match told {
            Told::Launched { environment } => Event::Launched { environment },
            Told::Ready { environment } => Event::Ready { environment },
            Told::StartFailed { environment, detail } => {
                self.forget(environment);
                Event::StartFailed { environment, detail }
            }
            Told::Released { environment, invocation, reuse, answered } => {
                self.eases(environment);
                if let Some(revision) = answered {
                    revision.finishing.fetch_sub(1, Ordering::Relaxed);
                    // After what is said here: the permit is back by then.
                    let held = self.held_of(revision.id).next();
                    if let Some(held) = held.and_then(|id| self.held.remove(&id)) {
                        self.handle.order(Order::Offer(held));
                    }
                }
                Event::Released { environment, invocation, reuse }
            }
            Told::GivenBack { environment, invocation } => {
                let id = invocation.id;
                self.waiting.insert(id, invocation);
                self.returned.push(id);
                Event::GivenBack { environment, invocation: id }
            }
            Told::Died { environment } => {
                self.eases(environment);
                Event::Died { environment }
            }
            Told::Destroyed { environment } => {
                self.forget(environment);
                Event::Destroyed { environment }
            }
        })
    }

    fn forget(&mut self, environment: EnvironmentId) {
        self.eases(environment);
        self.environments.remove(&environment);
        self.residents.gone(environment);
    }

    fn eases(&mut self, environment: EnvironmentId) {
        if let Some(Inhabited { function, .. }) = self.environments.get(&environment) {
            self.doors.open(*function);
        }
    }

    fn provision(
        &mut self,
        provisioned: ProvisionedId,
        function: FunctionId,
        parts: Vec<(Arc<Revision>, u32)>,
    ) -> Event {
        self.doors.open(function);
        self.provisioned.insert(provisioned, parts.iter().map(|(revision, _)| revision.id).collect());
        if parts.is_empty() {
            self.provisioned.remove(&provisioned);
        }
        let mut told = Vec::with_capacity(parts.len());
        for (revision, wanted) in parts {
            told.push(ProvisionedPart { revision: revision.id, memory_mb: revision.memory_mb, wanted });
            self.known.learn(&revision);
        }
        Event::Provision { provisioned, function, parts: told }
    }

    /// A revision is kept for as long as the machine may ask to start an environment of it.
    fn forget_unneeded(&mut self) {
        let (machine, provisioned) = (&self.machine, &self.provisioned);
        self.known.forget_unless(|revision| {
            machine.serves(revision) || provisioned.values().any(|kept| kept.contains(&revision))
        });
    }

    /// Holds an invocation back, for a moment, that a limit refuses while one like it has been answered and its permit is
    /// on its way back: who calls one after the other must not be throttled for calling at once. One for each such
    /// permit, and each once; all others are refused without delay.
    fn hold_back(&mut self, invocation: InvocationId, reason: Reason) -> bool {
        let is_full = matches!(reason, RESERVATION_FULL | Reason::ConcurrentInvocationLimitExceeded);
        let may_fit = self.waiting.get(&invocation).is_some_and(|waiting| {
            let finishing = waiting.revision.finishing.load(Ordering::Relaxed);
            !waiting.held_back
                && finishing > 0
                && self.held_of(waiting.revision.id).take(finishing as usize).count() < finishing as usize
        });
        if !is_full || !may_fit {
            return false;
        }
        let Some(mut waiting) = self.waiting.remove(&invocation) else { return false };
        waiting.held_back = true;
        let revision = waiting.revision.id;
        self.held.insert((revision, invocation), waiting);
        let handle = self.handle.clone();
        tokio::spawn(async move {
            tokio::time::sleep(HOLD_MAX).await;
            handle.order(Order::OfferAgain(revision, invocation));
        });
        true
    }

    fn held_of(&self, revision: RevisionId) -> impl Iterator<Item = (RevisionId, InvocationId)> {
        let all = (revision, InvocationId(0))..=(revision, InvocationId(u64::MAX));
        self.held.range(all).map(|(key, _)| *key)
    }

    fn refuse(&mut self, invocation: InvocationId, refusal: Refusal) {
        let Some(mut waiting) = self.waiting.remove(&invocation) else { return };
        if matches!(refusal, Refusal::Limit { reason, .. } if reason == RESERVATION_FULL) {
            self.doors.shut(&waiting.revision);
        } else {
            // One that had waited had a permit, which is back.
            self.doors.open(waiting.revision.function);
        }
        waiting.refuse(refusal);
    }

    /// Writes down how an invocation comes to its environment.
    fn note(&self, invocation: InvocationId, environment: EnvironmentId, decision: &Decision) {
        let Some(waiting) = self.waiting.get(&invocation) else { return };
        self.shared.metrics.reasons.assigned(decision);
        let assignment = self.residents.assignment(environment, waiting.revision.id, decision);
        self.shared.decisions.assigned(invocation, assignment);
    }

    /// Writes down which limit refused an invocation, and how much of it was used.
    fn note_refusal(&self, invocation: InvocationId, mut away: TurnedAway) {
        let Some(function) = self.waiting.get(&invocation).map(|waiting| waiting.revision.function) else {
            return;
        };
        let (admission, limits) = (self.machine.admission(), self.machine.limits());
        let mb = |mb| u32::try_from(mb).unwrap_or(u32::MAX);
        away.usage = match away.reason {
            RESERVATION_FULL => {
                admission.reserved_of(function).map(|reserved| (admission.running_of(function), reserved))
            }
            Reason::ConcurrentInvocationLimitExceeded => {
                Some((admission.running_unreserved(), admission.unreserved()))
            }
            Reason::CapacityExceeded => {
                Some((mb(self.machine.census().committed_mb), mb(limits.memory_budget_mb())))
            }
            _ => None,
        };
        if let Some(rate) = away.rate {
            self.shared.metrics.reasons.too_fast(rate);
        }
        self.shared.decisions.refused(invocation, &away);
    }

    /// Starts an environment, or puts that off for a moment in which one that has answered becomes free: its caller may
    /// already be back, and must not be the reason for another environment.
    fn start_environment(
        &mut self,
        environment: EnvironmentId,
        revision: RevisionId,
        initialization: Initialization,
    ) -> Option<Event> {
        let finishing =
            self.known.get(revision).map_or(0, |revision| revision.finishing.load(Ordering::Relaxed));
        if finishing == 0 || initialization == Initialization::Provisioned {
            return self.launch(environment, revision, initialization);
        }
        let handle = self.handle.clone();
        tokio::spawn(async move {
            tokio::time::sleep(FINISHING_PAUSE).await;
            handle.order(Order::Begin { environment, revision });
        });
        None
    }

    fn begin(&mut self, environment: EnvironmentId, revision: RevisionId) -> Option<Event> {
        if self.machine.is_awaited(revision) {
            return self.launch(environment, revision, Initialization::OnDemand);
        }
        Some(Event::StartUnneeded { environment })
    }

    fn launch(
        &mut self,
        environment: EnvironmentId,
        revision: RevisionId,
        initialization: Initialization,
    ) -> Option<Event> {
        let Some(revision) = self.known.get(revision) else {
            return Some(Event::StartFailed { environment, detail: "the revision is gone".to_owned() });
        };
        let (sender, receiver) = mpsc::channel(INBOX_MAX);
        let inhabited = Inhabited { inbox: sender.clone(), function: revision.function };
        self.environments.insert(environment, inhabited);
        self.residents.comes(environment, revision.id, &revision.label);
        let handle = self.handle.of_environment();
        let (revision, shared) = (Arc::clone(revision), Arc::clone(&self.shared));
        let made_for = (revision, initialization);
        tokio::spawn(environment::run(environment, made_for, shared, (sender, receiver), handle));
        None
    }

    fn assign(
        &mut self,
        invocation: InvocationId,
        environment: EnvironmentId,
        decision: &Decision,
    ) -> Option<Event> {
        let waiting = self.waiting.remove(&invocation)?;
        if decision.start == StartType::Provisioned {
            self.shared.metrics.provisioned(&waiting.revision);
        } else if decision.spilled_over {
            self.shared.metrics.spilled_over(&waiting.revision);
        }
        let Some(Inhabited { inbox, .. }) = self.environments.get(&environment) else {
            return self.hear(Told::GivenBack { environment, invocation: waiting });
        };
        match inbox.try_send(Message::Deliver(waiting)) {
            Ok(()) => None,
            Err(
                TrySendError::Full(Message::Deliver(back)) | TrySendError::Closed(Message::Deliver(back)),
            ) => {
                // It died a moment ago: its last word is under way, the invocation starts over.
                self.hear(Told::GivenBack { environment, invocation: back })
            }
            Err(_) => None,
        }
    }
}

impl Driver for SchedulerDriver {
    type Machine = Recorded;
    type Message = Order;

    fn machine(&mut self) -> &mut Recorded {
        &mut self.machine
    }

    fn admit(&mut self, order: Order) -> Option<Event> {
        Some(match order {
            Order::Offer(invocation) => self.offer(invocation),
            Order::Told(told) => return self.hear(told),
            Order::Function { function, reserved, idle_timeout } => {
                self.doors.open(function);
                Event::Function { function, reserved, idle_timeout }
            }
            Order::Provision { provisioned, function, parts } => self.provision(provisioned, function, parts),
            Order::FunctionGone(function) => {
                self.doors.open(function);
                Event::FunctionGone { function }
            }
            Order::Retire(revision) => Event::Retire { revision },
            Order::Pressure { measured_mb, stalled } => Event::Pressure { measured_mb, stalled },
            Order::Drain(done) => {
                self.drained = Some(done);
                Event::Drain
            }
            Order::Stop => Event::Stop,
            Order::Survey(asked) => {
                // Whoever asked may have left.
                asked.send(Overview::of(&self.machine, self.known.all())).ok();
                return None;
            }
            Order::Begin { environment, revision } => return self.begin(environment, revision),
            Order::OfferAgain(revision, invocation) => {
                let held = self.held.remove(&(revision, invocation))?;
                self.offer(held)
            }
            Order::Look(look) => {
                look(&self.machine);
                return None;
            }
            Order::ForgetUnneeded(done) => {
                self.forget_unneeded();
                // Whoever asked may have left.
                done.send(()).ok();
                return None;
            }
        })
    }

    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Assign { invocation, environment, decision } => {
                self.note(invocation, environment, &decision);
                return self.assign(invocation, environment, &decision);
            }
            Action::Start { environment, revision, initialization, .. } => {
                return self.start_environment(environment, revision, initialization);
            }
            Action::Freeze { environment } => {
                // A full inbox has something to do: it is frozen when it has been idle again.
                if let Some(Inhabited { inbox, .. }) = self.environments.get(&environment) {
                    inbox.try_send(Message::Freeze).ok();
                }
            }
            Action::Refuse { invocation, reason, rate, retry_after, waited, waited_for } => {
                if !self.hold_back(invocation, reason) {
                    let away = TurnedAway { reason, rate, retry_after, waited, waited_for, usage: None };
                    self.note_refusal(invocation, away);
                    self.refuse(invocation, Refusal::Limit { reason, retry_after });
                }
            }
            Action::Fail { invocation, detail } => {
                let detail = detail.to_string();
                self.shared.decisions.failed(invocation, &detail, clock::now());
                self.refuse(invocation, Refusal::Internal(detail));
            }
            Action::Destroy { environment, why } => {
                if self.residents.leaves(environment, why) {
                    self.shared.metrics.reasons.ends(why);
                }
                if let Some(Inhabited { inbox, .. }) = self.environments.get(&environment)
                    && let Err(TrySendError::Full(message)) = inbox.try_send(Message::Shutdown)
                {
                    let inbox = inbox.clone();
                    tokio::spawn(async move { inbox.send(message).await.ok() });
                }
            }
            Action::Drained => {
                if let Some(done) = self.drained.take() {
                    done.send(()).ok();
                }
            }
        }
        None
    }

    fn settled(&mut self) {
        for invocation in std::mem::take(&mut self.returned) {
            // Given back by an environment that the machine had counted out already, with all that it held.
            if !self.machine.knows(invocation) {
                self.refuse(invocation, Refusal::Internal("the environment ended".to_owned()));
            }
        }
        let admission = self.machine.admission();
        let is_full = admission.running_unreserved() >= admission.unreserved();
        self.handle.is_full.store(is_full, Ordering::Relaxed);
        if self.known.are_many() {
            self.forget_unneeded();
        }
    }

    fn is_done(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
