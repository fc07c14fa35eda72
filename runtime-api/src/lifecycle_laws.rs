//! The lifecycle's laws under random orders of events, in virtual time.
//!
//! The world here is an owner that performs what it is told, and a function that does whatever it likes. What each
//! single step should do is not asked here; only what must hold whatever happens.

use crate::event::tests::delivery;
use crate::exchange::Echo;
use crate::failure::ErrorType;
use crate::*;
use bytes::Bytes;
use hearth_logic::{Machine, Time};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// One thing that happens next.
#[derive(Clone, Debug)]
enum Deed {
    Wait(u64),
    Next,
    Respond(u8, Body),
    Error(u8),
    InitError,
    Deliver,
    /// The process that was asked for comes up, or does not.
    Born(bool),
    /// The process ends by itself.
    Leave(i32, bool),
    /// What was killed is seen to have ended.
    Reap,
    Shutdown,
    Lost,
    /// The next action that is performed is refused.
    Refuse,
    /// News of a run that is over.
    Stale,
}

fn deed() -> impl Strategy<Value = Deed> {
    let body = prop_oneof![6 => Just(Body::Whole(Bytes::new())), 1 => Just(Body::TooLarge), 1 => Just(Body::Truncated)];
    prop_oneof![
        4 => (0u64..12_000).prop_map(Deed::Wait),
        2 => (0u64..50).prop_map(Deed::Wait),
        8 => Just(Deed::Next),
        6 => (0u8..4, body).prop_map(|(back, body)| Deed::Respond(back, body)),
        2 => (0u8..4).prop_map(Deed::Error),
        2 => Just(Deed::InitError),
        8 => Just(Deed::Deliver),
        6 => any::<bool>().prop_map(Deed::Born),
        2 => (0i32..3, any::<bool>()).prop_map(|(code, oom)| Deed::Leave(code, oom)),
        6 => Just(Deed::Reap),
        1 => Just(Deed::Shutdown),
        1 => Just(Deed::Lost),
        4 => Just(Deed::Refuse),
        1 => Just(Deed::Stale),
    ]
}

/// Keeps its own books, independent of the machine's.
struct World {
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

impl World {
    fn new() -> Self {
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

    fn wait(&mut self, millis: u64) {
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
                assert!(report.duration <= Duration::from_secs(3), "bounded by the timeout: {report:?}");
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

    fn do_one(&mut self, deed: Deed) {
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
        self.step(Event::Deliver { delivery, timeout: Duration::from_secs(3) });
    }

    fn exit(&mut self, exit: Exit, out_of_memory: bool) {
        let Some(run) = self.alive.take() else { return };
        self.killed = false;
        self.ended = Some(run);
        self.step(Event::Exited { run, exit, out_of_memory });
    }

    /// Plays fair until the end: every promise must then be kept.
    fn wind_down(mut self) {
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

/// At least 2,000 worlds for each law; `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let given = ProptestConfig::default();
    ProptestConfig { cases: given.cases.max(2_000), failure_persistence: None, ..given }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_laws_hold_in_every_order_of_events(deeds in proptest::collection::vec(deed(), 0..60)) {
        let mut world = World::new();
        for deed in deeds {
            world.do_one(deed);
        }
        world.wind_down();
    }

    #[test]
    fn an_invocation_ends_by_its_timeout_whatever_the_function_does(
        deeds in proptest::collection::vec(deed(), 0..30),
    ) {
        let mut world = World::new();
        for deed in deeds {
            world.do_one(deed);
        }
        world.refuse = false;
        // The timeout, and a retry of what was refused on the way.
        world.wait(3_000 + 20);
        prop_assert!(world.in_flight.values().all(|settled| *settled), "settled by its timeout");
    }
}
