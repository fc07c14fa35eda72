//! The lifecycle's states, its invocations in flight, and the books that prove its laws.
//!
//! Kept apart from the machine because it is plain bookkeeping: nothing here decides.

use crate::exchange::{Phase, Status, Why};
use crate::lifecycle::Lifecycle;
use crate::{CallId, Delivery, RequestId};
use hearth_logic::Time;
use hearth_logic::limits::SLOTS;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// A runtime process was asked for and has not been heard of.
    Starting { phase: Phase, since: Time },
    /// It runs and has not asked for an event.
    Init { phase: Phase, since: Time },
    /// It waits for an event in this call.
    Ready { parked: CallId },
    /// It has an event.
    Invoking,
    /// It said that it cannot start, and is about to leave.
    InitFailed,
    /// Everything was killed and has not been seen to end.
    Killing { then: Then },
    /// Nothing runs; the next delivery starts a runtime.
    Down,
    /// The end.
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Reset,
    Die(Why),
}

/// All deadlines of the machine are in one table under these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The first initialisation takes too long.
    Init,
    /// The function timeout.
    Invocation(RequestId),
    /// A runtime that failed to start has not left.
    Grace,
    /// Killed processes have not ended.
    Kill,
    /// Refused actions are due again.
    Retry,
}

/// How far an invocation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Delivered to an environment whose runtime is being started.
    Waiting,
    /// The runtime has the event.
    Running,
    /// The runtime has posted, and has not asked for the next event.
    Answered,
    /// Its time is measured; it finishes when the processes are gone.
    Over {
        /// When it ended.
        ended: Time,
    },
}

#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) timeout: Duration,
    pub(crate) began: Time,
    pub(crate) progress: Progress,
    /// Known exactly when the caller has been answered.
    pub(crate) status: Option<Status>,
}

impl Flight {
    pub(crate) fn new(delivery: Arc<Delivery>, timeout: Duration, began: Time, progress: Progress) -> Self {
        Self { delivery, timeout, began, progress, status: None }
    }

    /// The moment of the measured end, or `now` if none was measured.
    pub(crate) fn ended(&self, now: Time) -> Time {
        match self.progress {
            Progress::Over { ended } => ended,
            Progress::Waiting | Progress::Running | Progress::Answered => now,
        }
    }
}

/// The requests whose time ran out, so that a late answer is told so. Remembers the latest few.
#[derive(Debug, Default)]
pub(crate) struct Late(VecDeque<RequestId>);

impl Late {
    const REMEMBERED: usize = 16;

    pub(crate) fn remember(&mut self, request_id: RequestId) {
        if self.0.len() == Self::REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(request_id);
    }

    pub(crate) fn contains(&self, request_id: RequestId) -> bool {
        self.0.contains(&request_id)
    }
}

/// Counts of what came in and went out; the laws are equations between them.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) calls: u64,
    pub(crate) answers: u64,
    pub(crate) deliveries: u64,
    pub(crate) given_back: u64,
    pub(crate) settled: u64,
    pub(crate) finished: u64,
}

impl Lifecycle {
    /// Panics if a law is broken; called after every step in debug builds.
    pub(crate) fn laws(&self) {
        let Ledger { calls, answers, deliveries, given_back, settled, finished } = self.ledger;
        let flights = self.flights.len() as u64;
        let open = self.flights.values().filter(|flight| flight.status.is_none()).count() as u64;
        let parked = u64::from(matches!(self.state, State::Ready { .. }));
        assert_eq!(calls, answers + parked, "every call is answered once, but for the parked one");
        assert_eq!(deliveries, given_back + settled + open, "one outcome for each delivery");
        assert_eq!(deliveries, given_back + finished + flights, "one end for each delivery");
        assert!(self.flights.len() <= SLOTS, "no more flights than slots");
        assert!(self.owed.is_empty() || self.timers.contains_key(&Timer::Retry), "what is owed is due");
        let progress = self.flights.first().map(|flight| flight.progress);
        match self.state {
            State::Starting { phase, .. } | State::Init { phase, .. } => {
                assert_eq!(progress, (phase == Phase::Invoke).then_some(Progress::Waiting));
            }
            State::Ready { .. } | State::Down | State::Dead => {
                assert_eq!(progress, None, "reuse only when nothing is in flight");
            }
            State::Invoking => {
                assert!(matches!(progress, Some(Progress::Running | Progress::Answered)));
            }
            State::InitFailed => assert!(self.timers.contains_key(&Timer::Grace)),
            State::Killing { .. } => assert!(self.timers.contains_key(&Timer::Kill)),
        }
        for (id, flight) in self.flights.iter() {
            let over = matches!(flight.progress, Progress::Over { .. });
            assert_eq!(
                !over,
                self.timers.contains_key(&Timer::Invocation(*id)),
                "a running flight has its timer"
            );
            let answered = over || flight.progress == Progress::Answered;
            assert_eq!(answered, flight.status.is_some(), "answered and settled are one");
        }
    }
}
