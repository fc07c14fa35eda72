//! A world around one lifecycle, with laws: an owner that performs what it is told, and a function that does whatever it
//! likes, in virtual time.
//!
//! It exists so that two drivers share one judge: random orders of events (`lifecycle_laws.rs`) and the fuzzer, which
//! looks for the orders that chance does not find. It keeps its own books, independent of the machine's, and panics when
//! a law is broken. What each single step should do is not asked here; only what must hold whatever happens.

use crate::exchange::Echo;
use crate::failure::ErrorType;
use crate::*;
use bytes::Bytes;
use hearth_logic::{Machine, Time, WallTime};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The function timeout of every delivery in this world.
pub const TIMEOUT: Duration = Duration::from_secs(3);

/// One thing that happens next.
#[derive(Clone, Debug)]
pub enum Deed {
    /// Milliseconds pass.
    Wait(u64),
    /// The function asks for an event.
    Next,
    /// The function answers the delivery this many before the last.
    Respond(u8, Body),
    /// The function posts an error for the delivery this many before the last.
    Error(u8),
    /// The function says that it cannot start.
    InitError,
    /// The function makes a call of any kind.
    Call(Request),
    /// An invocation arrives, if one may.
    Deliver,
    /// The process that was asked for comes up, or does not.
    Born(bool),
    /// The process ends by itself.
    Leave(i32, bool),
    /// What was killed is seen to have ended.
    Reap,
    /// The environment is told to end.
    Shutdown,
    /// The sandbox goes away.
    Lost,
    /// The next action that is performed is refused.
    Refuse,
    /// News of a run that is over.
    Stale,
}

/// The owner, the function, and the books of both.
#[derive(Debug)]
pub struct World {
    machine: Lifecycle,
    now: Time,
    calls: u64,
    unanswered: BTreeSet<CallId>,
    deliveries: u8,
    in_flight: BTreeMap<RequestId, bool>,
    may_deliver: bool,
    wanted: Option<Run>,
    alive: Option<Run>,
    ended: Option<Run>,
    killed: bool,
    dead: bool,
    refuse: bool,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// An environment whose first process is being made.
    #[must_use]
    pub fn new() -> Self {
        Self {
            machine: Lifecycle::new(Time::ZERO, Settings::default()),
            now: Time::ZERO,
            calls: 0,
            unanswered: BTreeSet::new(),
            deliveries: 0,
            in_flight: BTreeMap::new(),
            may_deliver: false,
            wanted: Some(Run::FIRST),
            alive: None,
            ended: None,
            killed: false,
            dead: false,
            refuse: false,
        }
    }

    fn step(&mut self, event: Event) {
        let mut todo = Vec::new();
        self.machine.step(self.now, event, &mut todo);
        self.perform(todo);
    }

    /// Lets time pass, and what falls due happen.
    pub fn wait(&mut self, millis: u64) {
        let end = self.now.after(Duration::from_millis(millis));
        while let Some(at) = self.machine.wake_at().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            let mut todo = Vec::new();
            self.machine.elapse(self.now, &mut todo);
            assert!(self.machine.wake_at().is_none_or(|next| next > self.now), "nothing due is left");
            self.perform(todo);
        }
        self.now = end;
    }

    fn perform(&mut self, todo: Vec<Action>) {
        let mut refused = Vec::new();
        let mut full = false;
        for action in todo {
            let answer = matches!(action, Action::Answer { .. });
            let refuses = std::mem::take(&mut self.refuse) || (full && !answer);
            full |= refuses && !answer;
            if refuses {
                if let Action::Answer { call, .. } = &action {
                    assert!(self.unanswered.remove(call), "answered once");
                }
                refused.push(action);
            } else {
                self.act(action);
            }
        }
        for action in refused {
            self.step(Event::Refused { action });
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Answer { call, reply } => {
                assert!(self.unanswered.remove(&call), "a call is answered once");
                if let Reply::Event(delivery) = reply {
                    let settled = self.in_flight.get(&delivery.request_id);
                    assert_eq!(settled, Some(&false), "only an open invocation is handed out");
                }
            }
            Action::Spawn { run, phase } => {
                assert_eq!(phase, Phase::Invoke);
                assert!(self.alive.is_none() && self.wanted.is_none(), "one runtime at a time");
                assert!(self.in_flight.values().any(|settled| !settled), "a spawn is for an invocation");
                self.wanted = Some(run);
            }
            Action::KillAll => self.killed = self.alive.is_some() || self.wanted.is_some(),
            Action::Ready => {
                assert!(!self.may_deliver && self.deliveries == 0, "ready is said once");
                self.may_deliver = true;
            }
            Action::Throttle | Action::InitReport { .. } => {}
            Action::Settle { request_id, .. } => {
                let was = self.in_flight.insert(request_id, true);
                assert_eq!(was, Some(false), "one outcome for each delivery");
            }
            Action::Finished { request_id, report } => {
                assert_eq!(self.in_flight.remove(&request_id), Some(true), "settled, then finished");
                assert!(report.duration <= TIMEOUT, "bounded by the timeout: {report:?}");
                self.may_deliver = true;
            }
            Action::GiveBack { delivery } => {
                assert_eq!(self.in_flight.remove(&delivery.request_id), Some(false), "given back unsettled");
                self.may_deliver = true;
            }
            Action::Dead { .. } => {
                assert!(!self.dead, "it dies once");
                // A delivery that crossed this news is given back next.
                assert!(self.in_flight.values().all(|settled| !settled), "what was settled is finished");
                self.dead = true;
            }
        }
    }

    fn call(&mut self, what: Request) {
        self.calls += 1;
        let call = CallId(self.calls);
        self.unanswered.insert(call);
        self.step(Event::Call { call, what });
    }

    /// One of the latest requests.
    fn recent(&self, back: u8) -> RequestId {
        delivery(self.deliveries.saturating_sub(back)).request_id
    }

    /// Lets one thing happen.
    pub fn do_one(&mut self, deed: Deed) {
        let error_type = ErrorType::known("Runtime.Unknown");
        let whole = Body::Whole(Bytes::new());
        match deed {
            Deed::Wait(millis) => self.wait(millis),
            Deed::Next => self.call(Request::Next),
            Deed::Respond(back, body) => {
                self.call(Request::Response { request_id: self.recent(back), echo: Echo::Absent, body });
            }
            Deed::Error(back) => {
                let request_id = self.recent(back);
                self.call(Request::Error { request_id, echo: Echo::Absent, error_type, body: whole });
            }
            Deed::InitError => self.call(Request::InitError { error_type, body: whole }),
            Deed::Call(what) => self.call(what),
            Deed::Deliver => self.deliver(),
            Deed::Born(well) => {
                let Some(run) = self.wanted.take() else { return };
                if well {
                    self.alive = Some(run);
                    self.step(Event::Started { run });
                } else {
                    self.killed = false;
                    self.ended = Some(run);
                    self.step(Event::SpawnFailed { run, error_type, message: String::new() });
                }
            }
            Deed::Leave(code, out_of_memory) => self.exit(Exit::Code(code), out_of_memory),
            Deed::Reap if self.killed => self.exit(Exit::Signal(9), false),
            Deed::Reap => {}
            Deed::Shutdown => self.step(Event::Shutdown),
            Deed::Lost => {
                (self.alive, self.wanted, self.killed) = (None, None, false);
                self.step(Event::Lost);
            }
            Deed::Refuse => self.refuse = true,
            Deed::Stale => {
                if let Some(run) = self.ended {
                    self.step(Event::Exited { run, exit: Exit::Code(0), out_of_memory: false });
                }
            }
        }
    }

    fn deliver(&mut self) {
        if !self.may_deliver || self.dead || self.deliveries == u8::MAX {
            return;
        }
        self.may_deliver = false;
        self.deliveries += 1;
        let delivery = Arc::new(delivery(self.deliveries));
        self.in_flight.insert(delivery.request_id, false);
        self.step(Event::Deliver { delivery, timeout: TIMEOUT });
    }

    fn exit(&mut self, exit: Exit, out_of_memory: bool) {
        let Some(run) = self.alive.take() else { return };
        self.killed = false;
        self.ended = Some(run);
        self.step(Event::Exited { run, exit, out_of_memory });
    }

    /// Plays fair for as long as an invocation may take, and for a retry of what was refused before: whatever the
    /// function did, its caller has an answer by then.
    pub fn settle_down(&mut self) {
        self.refuse = false;
        let retry = Duration::from_millis(20);
        self.wait(u64::try_from((TIMEOUT + retry).as_millis()).unwrap_or(u64::MAX));
        assert!(self.in_flight.values().all(|settled| *settled), "settled by its timeout");
    }

    /// Plays fair until the end: every promise must then be kept.
    pub fn wind_down(mut self) {
        self.refuse = false;
        self.step(Event::Shutdown);
        self.wait(20);
        self.do_one(Deed::Born(true));
        self.exit(Exit::Signal(9), false);
        self.wait(20_000);
        assert!(self.dead && self.machine.is_dead(), "a shutdown ends in death");
        assert!(self.in_flight.is_empty(), "every delivery is settled and finished");
        assert!(self.unanswered.is_empty(), "every call is answered");
        assert_eq!(self.machine.wake_at(), None, "the dead wait for nothing");
    }
}

/// The delivery of this number; its request id is the number sixteen times.
#[must_use]
pub fn delivery(number: u8) -> Delivery {
    Delivery {
        request_id: RequestId::from_bytes([number; 16]),
        delivery_id: DeliveryId::from_bytes([number ^ 0x80; 16]),
        deadline: WallTime::from_millis(1_700_000_003_000),
        invoked_arn: "arn:aws:lambda:us-east-1:000000000000:function:hello".to_owned(),
        trace_id: String::new(),
        client_context: String::new(),
        cognito_identity: String::new(),
        tenant_id: String::new(),
        content_type: String::new(),
        payload: Bytes::from_static(b"{\"a\":1}"),
    }
}
