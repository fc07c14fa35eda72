//! What the calls of a runtime do to its environment.
//!
//! The half of the lifecycle that faces the function: which call is legal in which state, what it is answered with, and
//! what it makes of the invocation. It starts and kills nothing and knows no timer of its own.

use crate::exchange::{Action, Body, Echo, Outcome, Phase, Request, Status};
use crate::failure::{ErrorType, Failure};
use crate::flight::{Progress, State, Timer};
use crate::lifecycle::Lifecycle;
use crate::reply::{Complaint, Reply, RuntimeState};
use crate::{CallId, RequestId};
use hearth_logic::Time;
use std::sync::Arc;
use std::time::Duration;

impl Lifecycle {
    pub(crate) fn call(&mut self, now: Time, call: CallId, what: Request, todo: &mut Vec<Action>) {
        self.ledger.calls += 1;
        if let State::Starting { phase, since } = self.state {
            // A process that calls exists; its `Started` is on the way.
            self.enter_init(phase, since);
        }
        match what {
            Request::Next => self.next(now, call, todo),
            Request::Response { request_id, echo, body } => {
                let result = Posted { request_id, echo, error: None, body };
                self.posted(call, result, todo);
            }
            Request::Error { request_id, echo, error_type, body } => {
                let error = Posted { request_id, echo, error: Some(error_type), body };
                self.posted(call, error, todo);
            }
            Request::InitError { error_type, body } => self.init_error(now, call, error_type, body, todo),
        }
    }

    fn next(&mut self, now: Time, call: CallId, todo: &mut Vec<Action>) {
        match self.state {
            State::Starting { phase, since } | State::Init { phase, since } => {
                self.initialised(phase, now.since(since), call, todo);
            }
            State::Ready { parked } => {
                // The newest poll is the one with a live connection; an abandoned one cannot be told from here.
                self.answer(parked, Reply::Drop, todo);
                self.state = State::Ready { parked: call };
            }
            State::Invoking => match self.flights.first() {
                Some(flight) if flight.progress == Progress::Running => {
                    let event = Reply::Event(Arc::clone(&flight.delivery));
                    self.answer(call, event, todo);
                }
                Some(_) | None => {
                    self.state = State::Ready { parked: call };
                    self.finish(now, todo);
                }
            },
            State::InitFailed => self.refuse(call, RuntimeState::Ready, todo),
            State::Killing { .. } | State::Down | State::Dead => self.answer(call, Reply::Drop, todo),
        }
    }

    fn initialised(&mut self, phase: Phase, took: Duration, call: CallId, todo: &mut Vec<Action>) {
        self.timers.remove(&Timer::Init);
        self.ask(Action::InitReport { phase, duration: took, status: Status::Success }, todo);
        let waiting = self.flights.values_mut().find(|flight| flight.progress == Progress::Waiting);
        if let Some(flight) = waiting {
            flight.progress = Progress::Running;
            let event = Reply::Event(Arc::clone(&flight.delivery));
            self.state = State::Invoking;
            self.answer(call, event, todo);
            return;
        }
        if phase == Phase::Init {
            self.init_duration = Some(took);
        }
        self.state = State::Ready { parked: call };
        self.announce(todo);
    }

    fn init_error(
        &mut self,
        now: Time,
        call: CallId,
        error_type: ErrorType,
        body: Body,
        todo: &mut Vec<Action>,
    ) {
        match self.state {
            State::Starting { .. } | State::Init { .. } => {
                let (reply, outcome) = judge(body, Some(error_type));
                self.answer(call, reply, todo);
                self.fail_init(now, outcome, true, todo);
            }
            State::Ready { .. } | State::Invoking | State::InitFailed => {
                self.refuse(call, RuntimeState::InitError, todo);
            }
            State::Killing { .. } | State::Down | State::Dead => self.answer(call, Reply::Drop, todo),
        }
    }

    fn posted(&mut self, call: CallId, posted: Posted, todo: &mut Vec<Action>) {
        let Posted { request_id, echo, error, body } = posted;
        let Some(flight) = self.flights.get_mut(&request_id) else {
            let late = self.late.contains(request_id);
            let complaint = if late { Complaint::InvokeTimeout } else { Complaint::InvalidRequestId };
            return self.complain(call, complaint, todo);
        };
        let foreign = match echo {
            Echo::Absent => false,
            Echo::Delivery(id) => id != flight.delivery.delivery_id,
            Echo::Foreign => true,
        };
        if foreign {
            return self.complain(call, Complaint::InvalidInvocationId, todo);
        }
        match flight.progress {
            Progress::Running => {
                flight.progress = Progress::Answered;
                let (reply, outcome) = judge(body, error);
                // The caller first: the runtime's next step is housekeeping.
                self.settle(request_id, outcome, todo);
                self.answer(call, reply, todo);
            }
            Progress::Over { .. } if flight.status == Some(Status::Timeout) => {
                self.complain(call, Complaint::InvokeTimeout, todo);
            }
            Progress::Waiting | Progress::Answered | Progress::Over { .. } => {
                let to = match error {
                    Some(_) => RuntimeState::InvocationErrorResponse,
                    None => RuntimeState::InvocationResponse,
                };
                self.refuse(call, to, todo);
            }
        }
    }

    fn refuse(&mut self, call: CallId, to: RuntimeState, todo: &mut Vec<Action>) {
        let answered = self.flights.values().any(|flight| flight.progress == Progress::Answered);
        let from = match self.state {
            State::Starting { .. } | State::Init { .. } => RuntimeState::Started,
            State::Ready { .. } => RuntimeState::Ready,
            State::Invoking if answered => RuntimeState::ResponseSent,
            State::Invoking => RuntimeState::Running,
            State::InitFailed => RuntimeState::InitError,
            State::Killing { .. } | State::Down | State::Dead => {
                return self.answer(call, Reply::Drop, todo);
            }
        };
        self.complain(call, Complaint::Transition { from, to }, todo);
    }

    fn complain(&mut self, call: CallId, complaint: Complaint, todo: &mut Vec<Action>) {
        self.answer(call, Reply::Error(complaint), todo);
    }
}

/// A result or, with a type, an error.
struct Posted {
    request_id: RequestId,
    echo: Echo,
    error: Option<ErrorType>,
    body: Body,
}

/// What a posted body is answered with, and what it makes of the invocation.
fn judge(body: Body, error: Option<ErrorType>) -> (Reply, Outcome) {
    match (body, error) {
        (Body::Whole(payload), None) => (Reply::Accepted, Outcome::Success { payload }),
        (Body::Whole(payload), Some(error_type)) => {
            (Reply::Accepted, Outcome::FunctionError { payload, error_type })
        }
        (Body::TooLarge, _) => {
            (Reply::Error(Complaint::TooLarge), Outcome::Failed(Failure::ResponseTooLarge))
        }
        (Body::Truncated, _) => {
            (Reply::Error(Complaint::Truncated), Outcome::Failed(Failure::TruncatedResponse))
        }
    }
}
