//! One environment's life: init → ready → invoking → … → reset → shutdown → dead.
//!
//! Decides when the caller is answered, when the processes are killed and when they are started again; what the
//! runtime's calls do to it stands in `posting.rs`. It exists as a machine so that every order of events can be tried in
//! virtual time. It does not touch payloads, write log lines, or know what a sandbox is; and it serves one invocation at
//! a time.
//! Long because the states share their transitions: torn apart, no reader could check that none is missing.

use crate::exchange::{Action, Event, Outcome, Phase, Report, Status, Why};
use crate::failure::Failure;
use crate::flight::{Flight, Late, Ledger, Progress, State, Then, Timer};
use crate::reply::Reply;
use crate::{CallId, Delivery, RequestId, Run};
use hearth_logic::limits::{INIT_TIMEOUT, SLOTS};
use hearth_logic::{Few, Machine, Time};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How long a runtime that reported an init error may take to leave by itself before it is killed.
pub const INIT_ERROR_GRACE: Duration = Duration::from_millis(500);
/// How long killed processes may take to end before the environment is given up.
pub const KILL_LIMIT: Duration = Duration::from_secs(5);
/// How long to wait before a refused action is asked for again.
pub const REFUSED_RETRY: Duration = Duration::from_millis(10);

/// What may differ between environments.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long the first initialisation may take: 10 s for on-demand functions.
    pub init_limit: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { init_limit: INIT_TIMEOUT }
    }
}

/// The lifecycle of one environment. It begins with the run [`Run::FIRST`] under way in [`Phase::Init`].
#[derive(Debug)]
pub struct Lifecycle {
    pub(crate) settings: Settings,
    pub(crate) state: State,
    pub(crate) run: Run,
    pub(crate) flights: Few<RequestId, Flight>,
    pub(crate) timers: Few<Timer, Time>,
    /// What a failed initialisation left for the first delivery.
    pub(crate) stored: Option<Outcome>,
    pub(crate) init_duration: Option<Duration>,
    pub(crate) announced: bool,
    pub(crate) throttled: bool,
    pub(crate) late: Late,
    /// Refused actions, and all that came after them, in order.
    pub(crate) owed: VecDeque<Action>,
    pub(crate) ledger: Ledger,
}

impl Lifecycle {
    /// An environment whose first runtime process is being made. It may take as long over that as over its
    /// initialisation: the time of that begins when the process is there.
    #[must_use]
    pub fn new(now: Time, settings: Settings) -> Self {
        let mut timers = Few::default();
        timers.insert(Timer::Init, now.after(settings.init_limit));
        Self {
            settings,
            state: State::Starting { phase: Phase::Init, since: now },
            run: Run::FIRST,
            flights: Few::default(),
            timers,
            stored: None,
            init_duration: None,
            announced: false,
            throttled: false,
            late: Late::default(),
            owed: VecDeque::new(),
            ledger: Ledger::default(),
        }
    }

    /// Whether its life has ended. Calls are still dropped and deliveries given back.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.state == State::Dead
    }

    // ---- what goes out ----

    pub(crate) fn answer(&mut self, call: CallId, reply: Reply, todo: &mut Vec<Action>) {
        self.ledger.answers += 1;
        todo.push(Action::Answer { call, reply });
    }

    /// Asks for an action; behind refused ones, so that order is kept.
    pub(crate) fn ask(&mut self, action: Action, todo: &mut Vec<Action>) {
        if self.owed.is_empty() { todo.push(action) } else { self.owed.push_back(action) }
    }

    pub(crate) fn announce(&mut self, todo: &mut Vec<Action>) {
        if !self.announced {
            self.announced = true;
            self.ask(Action::Ready, todo);
        }
    }

    fn throttle(&mut self, todo: &mut Vec<Action>) {
        if !self.throttled {
            self.throttled = true;
            self.ask(Action::Throttle, todo);
        }
    }

    /// Answers the caller, unless that has happened.
    pub(crate) fn settle(&mut self, request_id: RequestId, outcome: Outcome, todo: &mut Vec<Action>) {
        let Some(flight) = self.flights.get_mut(&request_id).filter(|flight| flight.status.is_none()) else {
            return;
        };
        flight.status = Some(outcome.status());
        self.ledger.settled += 1;
        self.ask(Action::Settle { request_id, outcome }, todo);
    }

    /// Ends all flights; each must have been settled.
    pub(crate) fn finish(&mut self, now: Time, todo: &mut Vec<Action>) {
        while let Some((request_id, flight)) = self.flights.pop_first() {
            self.timers.remove(&Timer::Invocation(request_id));
            let status = flight.status.clone().unwrap_or(Status::Success);
            if status == Status::Timeout {
                self.late.remember(request_id);
            }
            let duration = flight.ended(now).since(flight.began);
            let report = Report { duration, init_duration: self.init_duration.take(), status };
            self.ledger.finished += 1;
            self.ask(Action::Finished { request_id, report }, todo);
        }
    }

    /// Settles what is open and stops the clock of every flight: `outcome` is what they came to.
    fn fail_flights(&mut self, ended: Time, outcome: &Outcome, todo: &mut Vec<Action>) {
        let ids: Vec<RequestId> = self.flights.keys().copied().collect();
        for id in ids {
            self.settle(id, outcome.clone(), todo);
            self.timers.remove(&Timer::Invocation(id));
            let Some(flight) = self.flights.get_mut(&id) else { continue };
            // A runtime that fails after a good answer: the caller keeps the answer, the report tells the failure.
            // If it is the platform that ends it, there is nothing to tell.
            let own_fault = *outcome != Outcome::Failed(Failure::Sandbox);
            if own_fault && flight.progress == Progress::Answered && flight.status == Some(Status::Success) {
                flight.status = Some(outcome.status());
            }
            if !matches!(flight.progress, Progress::Over { .. }) {
                flight.progress = Progress::Over { ended };
            }
        }
    }

    // ---- processes ----

    fn spawn(&mut self, now: Time, todo: &mut Vec<Action>) {
        self.run = self.run.following();
        self.state = State::Starting { phase: Phase::Invoke, since: now };
        self.ask(Action::Spawn { run: self.run, phase: Phase::Invoke }, todo);
    }

    fn kill(&mut self, now: Time, then: Then, todo: &mut Vec<Action>) {
        if let State::Ready { parked } = self.state {
            self.answer(parked, Reply::Drop, todo);
        }
        self.timers.remove(&Timer::Init);
        self.timers.remove(&Timer::Grace);
        let owed = self.owed.len();
        self.owed.retain(|action| !matches!(action, Action::Spawn { .. }));
        if self.owed.len() < owed {
            // The process was never made, so nothing will be seen to end.
            self.gone(now, then, todo);
            return;
        }
        self.ask(Action::KillAll, todo);
        self.timers.insert(Timer::Kill, now.after(KILL_LIMIT));
        self.state = State::Killing { then };
    }

    /// Everything that was killed has ended.
    fn gone(&mut self, now: Time, then: Then, todo: &mut Vec<Action>) {
        self.timers.remove(&Timer::Kill);
        match then {
            Then::Die(why) => self.die(now, why, todo),
            Then::Reset => {
                self.state = State::Down;
                if self.flights.values().any(|flight| flight.progress == Progress::Waiting) {
                    self.spawn(now, todo);
                } else {
                    self.finish(now, todo);
                }
            }
        }
    }

    fn die(&mut self, now: Time, why: Why, todo: &mut Vec<Action>) {
        self.fail_flights(now, &Outcome::Failed(Failure::Sandbox), todo);
        self.finish(now, todo);
        self.timers.retain(|timer, _| *timer == Timer::Retry);
        self.stored = None;
        self.state = State::Dead;
        self.ask(Action::Dead { why }, todo);
    }

    /// An initialisation failed: `lives` tells whether its process is still there.
    pub(crate) fn fail_init(&mut self, now: Time, outcome: Outcome, lives: bool, todo: &mut Vec<Action>) {
        let (State::Starting { phase, since } | State::Init { phase, since }) = self.state else { return };
        self.timers.remove(&Timer::Init);
        self.ask(Action::InitReport { phase, duration: now.since(since), status: outcome.status() }, todo);
        match phase {
            Phase::Init => self.stored = Some(outcome),
            Phase::Invoke => self.fail_flights(now, &outcome, todo),
        }
        if lives {
            self.timers.insert(Timer::Grace, now.after(INIT_ERROR_GRACE));
            self.state = State::InitFailed;
        } else {
            self.state = State::Down;
            self.finish(now, todo);
        }
        self.announce(todo);
    }

    fn started(&mut self, now: Time, run: Run, todo: &mut Vec<Action>) {
        if run != self.run {
            return;
        }
        match self.state {
            State::Starting { phase, .. } => self.enter_init(phase, now),
            // It came into being after it was killed, so to speak.
            State::Killing { .. } => self.ask(Action::KillAll, todo),
            State::Init { .. } | State::Ready { .. } | State::Invoking => {}
            State::InitFailed | State::Down | State::Dead => {}
        }
    }

    pub(crate) fn enter_init(&mut self, phase: Phase, since: Time) {
        self.state = State::Init { phase, since };
        if phase == Phase::Init {
            self.timers.insert(Timer::Init, since.after(self.settings.init_limit));
        }
    }

    fn spawn_failed(&mut self, now: Time, run: Run, failure: Failure, todo: &mut Vec<Action>) {
        if run != self.run {
            return;
        }
        match self.state {
            State::Starting { .. } => self.fail_init(now, Outcome::Failed(failure), false, todo),
            State::Killing { then } => self.gone(now, then, todo),
            State::Init { .. } | State::Ready { .. } | State::Invoking => {}
            State::InitFailed | State::Down | State::Dead => {}
        }
    }

    fn exited(&mut self, now: Time, run: Run, failure: Failure, todo: &mut Vec<Action>) {
        if run != self.run {
            return;
        }
        let outcome = Outcome::Failed(failure);
        match self.state {
            State::Down | State::Dead => return,
            State::Killing { then } => return self.gone(now, then, todo),
            // What the runtime left behind must not live beside its successor.
            State::Starting { .. } | State::Init { .. } | State::Ready { .. } => {}
            State::Invoking | State::InitFailed => {}
        }
        self.ask(Action::KillAll, todo);
        match self.state {
            State::Starting { .. } | State::Init { .. } => self.fail_init(now, outcome, false, todo),
            State::Ready { parked } => {
                self.answer(parked, Reply::Drop, todo);
                self.state = State::Down;
            }
            State::Invoking | State::InitFailed => {
                self.timers.remove(&Timer::Grace);
                self.fail_flights(now, &outcome, todo);
                self.state = State::Down;
                self.finish(now, todo);
            }
            State::Killing { .. } | State::Down | State::Dead => {}
        }
    }

    // ---- the owner's side ----

    fn deliver(&mut self, now: Time, delivery: Arc<Delivery>, timeout: Duration, todo: &mut Vec<Action>) {
        self.ledger.deliveries += 1;
        let closed = matches!(self.state, State::Dead | State::Killing { then: Then::Die(_) });
        if closed || !self.announced || self.flights.len() >= SLOTS {
            self.ledger.given_back += 1;
            self.ask(Action::GiveBack { delivery }, todo);
            return;
        }
        let id = delivery.request_id;
        let mut flight = Flight::new(Arc::clone(&delivery), timeout, now, Progress::Waiting);
        if let Some(outcome) = self.stored.take() {
            flight.progress = Progress::Over { ended: now };
            self.flights.insert(id, flight);
            self.settle(id, outcome, todo);
            if self.state == State::Down {
                self.finish(now, todo);
            }
            return;
        }
        self.throttle(todo);
        self.timers.insert(Timer::Invocation(id), now.after(timeout));
        match self.state {
            State::Ready { parked } => {
                flight.progress = Progress::Running;
                self.flights.insert(id, flight);
                self.state = State::Invoking;
                self.answer(parked, Reply::Event(delivery), todo);
            }
            State::Down => {
                self.flights.insert(id, flight);
                self.spawn(now, todo);
            }
            // The runtime is started as soon as what was killed has ended.
            State::Killing { .. } => {
                self.flights.insert(id, flight);
            }
            State::Starting { .. }
            | State::Init { .. }
            | State::InitFailed
            | State::Invoking
            | State::Dead => {
                self.timers.remove(&Timer::Invocation(id));
                self.ledger.given_back += 1;
                self.ask(Action::GiveBack { delivery }, todo);
            }
        }
    }

    fn shutdown(&mut self, now: Time, todo: &mut Vec<Action>) {
        match self.state {
            State::Dead => {}
            State::Down => self.die(now, Why::Shutdown, todo),
            State::Killing { .. } => {
                self.fail_flights(now, &Outcome::Failed(Failure::Sandbox), todo);
                self.state = State::Killing { then: Then::Die(Why::Shutdown) };
            }
            State::Starting { .. } | State::Init { .. } | State::Ready { .. } => {
                self.fail_flights(now, &Outcome::Failed(Failure::Sandbox), todo);
                self.kill(now, Then::Die(Why::Shutdown), todo);
            }
            State::Invoking | State::InitFailed => {
                self.fail_flights(now, &Outcome::Failed(Failure::Sandbox), todo);
                self.kill(now, Then::Die(Why::Shutdown), todo);
            }
        }
    }

    fn lost(&mut self, now: Time, todo: &mut Vec<Action>) {
        if self.state == State::Dead {
            return;
        }
        if let State::Ready { parked } = self.state {
            self.answer(parked, Reply::Drop, todo);
        }
        self.owed.retain(|action| !matches!(action, Action::Spawn { .. } | Action::KillAll));
        self.die(now, Why::Lost, todo);
    }

    fn refused(&mut self, now: Time, action: Action, todo: &mut Vec<Action>) {
        match (&action, self.state) {
            // Whoever made the call has left. An event that nobody received is handed out again at the next `next`.
            (Action::Answer { .. }, _) => return,
            (Action::Spawn { run, .. }, _) if *run != self.run => return,
            (Action::Spawn { .. }, State::Starting { .. } | State::Init { .. }) => {}
            // Killed before it was made: nothing will be seen to end.
            (Action::Spawn { .. }, State::Killing { then }) => return self.gone(now, then, todo),
            (Action::Spawn { .. }, _) => return,
            (_, _) => {}
        }
        self.owed.push_back(action);
        self.timers.insert(Timer::Retry, now.after(REFUSED_RETRY));
    }

    // ---- time ----

    fn fall_due(&mut self, now: Time, todo: &mut Vec<Action>) {
        while let Some((&timer, &due)) = self.timers.iter().min_by_key(|(_, due)| **due) {
            if due > now {
                break;
            }
            self.timers.remove(&timer);
            self.fire(timer, due, now, todo);
        }
    }

    fn fire(&mut self, timer: Timer, due: Time, now: Time, todo: &mut Vec<Action>) {
        match timer {
            Timer::Init => {
                if let State::Starting { phase, since } | State::Init { phase, since } = self.state {
                    let duration = now.since(since);
                    self.ask(Action::InitReport { phase, duration, status: Status::Timeout }, todo);
                }
                self.kill(now, Then::Reset, todo);
                self.announce(todo);
            }
            Timer::Invocation(id) => self.time_out(id, due, now, todo),
            Timer::Grace => self.kill(now, Then::Reset, todo),
            Timer::Kill => self.die(now, Why::Unkillable, todo),
            Timer::Retry => todo.extend(self.owed.drain(..)),
        }
    }

    fn time_out(&mut self, id: RequestId, due: Time, now: Time, todo: &mut Vec<Action>) {
        let Some(flight) = self.flights.get(&id) else { return };
        let timeout = flight.timeout;
        if let State::Starting { phase, since } | State::Init { phase, since } = self.state {
            let duration = due.since(since);
            self.ask(Action::InitReport { phase, duration, status: Status::Timeout }, todo);
        }
        // Measured at the deadline: that the loop woke up a little later is not the function's doing.
        self.fail_flights(due, &Outcome::Failed(Failure::TimedOut { timeout }), todo);
        match self.state {
            State::Killing { .. } => {}
            State::Down | State::Dead => self.finish(now, todo),
            State::Starting { .. } | State::Init { .. } | State::Ready { .. } => {
                self.kill(now, Then::Reset, todo);
            }
            State::Invoking | State::InitFailed => self.kill(now, Then::Reset, todo),
        }
    }
}

impl Machine for Lifecycle {
    type Event = Event;
    type Action = Action;

    fn step(&mut self, now: Time, event: Event, todo: &mut Vec<Action>) {
        // What was due before the event happens before it: a response one nanosecond late is late.
        self.fall_due(now, todo);
        match event {
            Event::Started { run } => self.started(now, run, todo),
            Event::SpawnFailed { run, error_type, message } => {
                self.spawn_failed(now, run, Failure::Launch { error_type, message }, todo);
            }
            Event::Call { call, what } => self.call(now, call, what, todo),
            Event::Deliver { delivery, timeout } => self.deliver(now, delivery, timeout, todo),
            Event::Exited { run, exit, out_of_memory } => {
                self.exited(now, run, Failure::from_exit(exit, out_of_memory), todo);
            }
            Event::Shutdown => self.shutdown(now, todo),
            Event::Lost => self.lost(now, todo),
            Event::Refused { action } => self.refused(now, action, todo),
        }
        if cfg!(debug_assertions) {
            self.laws();
        }
    }

    fn elapse(&mut self, now: Time, todo: &mut Vec<Action>) {
        self.fall_due(now, todo);
        if cfg!(debug_assertions) {
            self.laws();
        }
    }

    fn wake_at(&self) -> Option<Time> {
        self.timers.values().min().copied()
    }
}
