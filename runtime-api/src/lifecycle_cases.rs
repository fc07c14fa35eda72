//! The lifecycle's behaviour, one sentence and one table at a time, in virtual time.
//!
//! It exists to hold the machine to the reference; random orders of events are the business of `lifecycle_laws.rs`.

use crate::exchange::Echo;
use crate::failure::ErrorType;
use crate::lifecycle::{INIT_ERROR_GRACE, KILL_LIMIT, REFUSED_RETRY};
use crate::reply::RuntimeState;
use crate::world::delivery;
use crate::*;
use bytes::Bytes;
use hearth_logic::{Machine, Time};
use std::sync::Arc;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(3);

/// An environment and its clock. Each deed returns the actions it led to.
struct Bench {
    machine: Lifecycle,
    now: Time,
    calls: u64,
    run: Run,
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn id(number: u8) -> RequestId {
    delivery(number).request_id
}

fn unknown() -> ErrorType {
    ErrorType::known("Runtime.Unknown")
}

fn error_status(name: &'static str) -> Status {
    Status::Error { error_type: ErrorType::known(name) }
}

impl Bench {
    fn new() -> Self {
        let machine = Lifecycle::new(Time::ZERO, Settings::default());
        Self { machine, now: Time::ZERO, calls: 0, run: Run::FIRST }
    }

    /// A runtime that took 100 ms to start and waits in call 1.
    fn ready() -> Self {
        let mut bench = Self::new();
        bench.step(Event::Started { run: Run::FIRST });
        bench.pass(ms(100));
        bench.next();
        bench
    }

    /// A ready environment that has been given request 1.
    fn running() -> Self {
        let mut bench = Self::ready();
        bench.deliver(1);
        bench
    }

    fn step(&mut self, event: Event) -> Vec<Action> {
        let mut todo = Vec::new();
        self.machine.step(self.now, event, &mut todo);
        for action in &todo {
            if let Action::Spawn { run, .. } = action {
                self.run = *run;
            }
        }
        todo
    }

    /// Lets time pass, waking the machine when it asks for it.
    fn pass(&mut self, duration: Duration) -> Vec<Action> {
        let end = self.now.after(duration);
        let mut todo = Vec::new();
        while let Some(at) = self.machine.wake_at().filter(|at| *at <= end) {
            self.now = at;
            self.machine.elapse(at, &mut todo);
            assert!(self.machine.wake_at().is_none_or(|next| next > at));
        }
        self.now = end;
        todo
    }

    fn call(&mut self, what: Request) -> Vec<Action> {
        self.calls += 1;
        self.step(Event::Call { call: CallId(self.calls), what })
    }

    fn next(&mut self) -> Vec<Action> {
        self.call(Request::Next)
    }

    fn respond(&mut self, number: u8) -> Vec<Action> {
        let body = Body::Whole(Bytes::from_static(b"42"));
        self.call(Request::Response { request_id: id(number), echo: Echo::Absent, body })
    }

    fn error(&mut self, number: u8) -> Vec<Action> {
        let body = Body::Whole(Bytes::from_static(b"{}"));
        let error_type = unknown();
        self.call(Request::Error { request_id: id(number), echo: Echo::Absent, error_type, body })
    }

    fn init_error(&mut self) -> Vec<Action> {
        let error_type = ErrorType::known("Runtime.ImportModuleError");
        self.call(Request::InitError { error_type, body: Body::Whole(Bytes::from_static(b"{\"e\":1}")) })
    }

    fn deliver(&mut self, number: u8) -> Vec<Action> {
        self.step(Event::Deliver { delivery: Arc::new(delivery(number)), timeout: TIMEOUT })
    }

    fn exit(&mut self, exit: Exit) -> Vec<Action> {
        self.step(Event::Exited { run: self.run, exit, out_of_memory: false })
    }

    fn last(&self) -> CallId {
        CallId(self.calls)
    }

    /// The action that answers the last call.
    fn reply(&self, reply: Reply) -> Action {
        Action::Answer { call: self.last(), reply }
    }

    fn complaint(&self, complaint: Complaint) -> Vec<Action> {
        vec![self.reply(Reply::Error(complaint))]
    }
}

fn settle(number: u8, outcome: Outcome) -> Action {
    Action::Settle { request_id: id(number), outcome }
}

fn success(number: u8) -> Action {
    settle(number, Outcome::Success { payload: Bytes::from_static(b"42") })
}

fn timed_out(number: u8) -> Action {
    settle(number, Outcome::Failed(Failure::TimedOut { timeout: TIMEOUT }))
}

fn finished(number: u8, duration: Duration, init: Option<Duration>, status: Status) -> Action {
    Action::Finished { request_id: id(number), report: Report { duration, init_duration: init, status } }
}

fn init_report(phase: Phase, duration: Duration, status: Status) -> Action {
    Action::InitReport { phase, duration, status }
}

fn import_error() -> Outcome {
    Outcome::FunctionError {
        payload: Bytes::from_static(b"{\"e\":1}"),
        error_type: ErrorType::known("Runtime.ImportModuleError"),
    }
}

fn event(call: u64, number: u8) -> Action {
    Action::Answer { call: CallId(call), reply: Reply::Event(Arc::new(delivery(number))) }
}

fn transition(from: RuntimeState, to: RuntimeState) -> Complaint {
    Complaint::Transition { from, to }
}

#[test]
fn a_cold_and_a_warm_invocation_run_in_one_environment() {
    let mut bench = Bench::new();
    assert_eq!(bench.step(Event::Started { run: Run::FIRST }), []);
    bench.pass(ms(100));
    let report = init_report(Phase::Init, ms(100), Status::Success);
    assert_eq!(bench.next(), [report, Action::Ready]);
    assert_eq!(bench.deliver(1), [Action::Throttle, event(1, 1)]);
    bench.pass(ms(7));
    let answers = bench.respond(1);
    assert_eq!(answers, [success(1), bench.reply(Reply::Accepted)]);
    bench.pass(ms(1));
    assert_eq!(bench.next(), [finished(1, ms(8), Some(ms(100)), Status::Success)]);
    assert_eq!(bench.pass(Duration::from_secs(1000)), []);
    assert_eq!(bench.deliver(2), [event(3, 2)]);
    let answers = bench.error(2);
    let outcome = Outcome::FunctionError { payload: Bytes::from_static(b"{}"), error_type: unknown() };
    assert_eq!(answers, [settle(2, outcome), bench.reply(Reply::Accepted)]);
    assert_eq!(bench.next(), [finished(2, ms(0), None, error_status("Runtime.Unknown"))]);
}

#[test]
fn a_call_before_the_news_of_its_process_counts_as_that_news() {
    let mut bench = Bench::new();
    bench.pass(ms(30));
    assert_eq!(bench.next(), [init_report(Phase::Init, ms(30), Status::Success), Action::Ready]);
    assert_eq!(bench.step(Event::Started { run: Run::FIRST }), []);
    assert_eq!(bench.deliver(1), [Action::Throttle, event(1, 1)]);
}

#[test]
fn a_repeated_next_receives_the_same_event_again() {
    let mut bench = Bench::running();
    assert_eq!(bench.next(), [event(2, 1)]);
    assert_eq!(bench.next(), [event(3, 1)]);
    assert_eq!(bench.respond(1)[0], success(1));
}

#[test]
fn an_event_whose_receiver_left_is_handed_out_again() {
    let mut bench = Bench::ready();
    let lost = bench.deliver(1).remove(1);
    assert_eq!(bench.step(Event::Refused { action: lost }), []);
    assert_eq!(bench.next(), [event(2, 1)]);
}

#[test]
fn the_newest_of_two_polls_stays_parked() {
    let mut bench = Bench::ready();
    assert_eq!(bench.next(), [Action::Answer { call: CallId(1), reply: Reply::Drop }]);
    assert_eq!(bench.deliver(1), [Action::Throttle, event(2, 1)]);
}

#[test]
fn answering_twice_is_an_illegal_transition_until_the_next_poll_and_an_unknown_id_after() {
    let mut bench = Bench::running();
    bench.respond(1);
    let twice = bench.respond(1);
    let to = RuntimeState::InvocationResponse;
    assert_eq!(twice, bench.complaint(transition(RuntimeState::ResponseSent, to)));
    let twice = bench.error(1);
    let to = RuntimeState::InvocationErrorResponse;
    assert_eq!(twice, bench.complaint(transition(RuntimeState::ResponseSent, to)));
    bench.next();
    let twice = bench.respond(1);
    assert_eq!(twice, bench.complaint(Complaint::InvalidRequestId));
}

#[test]
fn an_unknown_id_is_refused_in_every_state() {
    for mut bench in [Bench::new(), Bench::ready(), Bench::running()] {
        let actions = bench.respond(9);
        assert_eq!(actions, bench.complaint(Complaint::InvalidRequestId));
        let actions = bench.error(9);
        assert_eq!(actions, bench.complaint(Complaint::InvalidRequestId));
    }
}

#[test]
fn a_wrong_echo_is_refused_and_a_right_one_accepted() {
    let mut bench = Bench::running();
    let body = Body::Whole(Bytes::from_static(b"42"));
    for echo in [Echo::Foreign, Echo::Delivery(delivery(2).delivery_id)] {
        let actions = bench.call(Request::Response { request_id: id(1), echo, body: body.clone() });
        assert_eq!(actions, bench.complaint(Complaint::InvalidInvocationId));
    }
    let echo = Echo::Delivery(delivery(1).delivery_id);
    assert_eq!(bench.call(Request::Response { request_id: id(1), echo, body })[0], success(1));
}

#[test]
fn an_init_error_is_legal_only_during_init() {
    let mut answered = Bench::running();
    answered.respond(1);
    let mut failed = Bench::new();
    failed.init_error();
    let table = [
        (Bench::ready(), RuntimeState::Ready),
        (Bench::running(), RuntimeState::Running),
        (answered, RuntimeState::ResponseSent),
        (failed, RuntimeState::InitError),
    ];
    for (mut bench, from) in table {
        let actions = bench.init_error();
        assert_eq!(actions, bench.complaint(transition(from, RuntimeState::InitError)));
    }
}

#[test]
fn an_init_error_is_the_answer_to_the_first_invocation_and_the_second_initialises_again() {
    let mut bench = Bench::new();
    bench.pass(ms(20));
    let actions = bench.init_error();
    let failed = init_report(Phase::Init, ms(20), error_status("Runtime.ImportModuleError"));
    assert_eq!(actions, [bench.reply(Reply::Accepted), failed, Action::Ready]);
    assert_eq!(bench.exit(Exit::Code(1)), [Action::KillAll]);
    let end = finished(1, ms(0), None, error_status("Runtime.ImportModuleError"));
    assert_eq!(bench.deliver(1), [settle(1, import_error()), end]);
    let spawn = Action::Spawn { run: Run::FIRST.following(), phase: Phase::Invoke };
    assert_eq!(bench.deliver(2), [Action::Throttle, spawn]);
    bench.step(Event::Started { run: bench.run });
    bench.pass(ms(40));
    let report = init_report(Phase::Invoke, ms(40), Status::Success);
    assert_eq!(bench.next(), [report, event(2, 2)]);
    bench.respond(2);
    assert_eq!(bench.next(), [finished(2, ms(40), None, Status::Success)]);
}

#[test]
fn a_delivery_that_meets_a_leaving_runtime_is_settled_at_once_and_finished_when_it_has_left() {
    let mut bench = Bench::new();
    bench.init_error();
    assert_eq!(bench.deliver(1), [settle(1, import_error())]);
    let end = finished(1, ms(0), None, error_status("Runtime.ImportModuleError"));
    assert_eq!(bench.exit(Exit::Code(1)), [Action::KillAll, end]);
}

#[test]
fn a_runtime_that_stays_after_its_init_error_is_killed() {
    let mut bench = Bench::new();
    bench.init_error();
    assert_eq!(bench.pass(INIT_ERROR_GRACE), [Action::KillAll]);
    assert_eq!(bench.exit(Exit::Signal(9)), []);
    assert_eq!(bench.deliver(1)[0], settle(1, import_error()));
}

#[test]
fn an_exit_during_init_is_the_answer_to_the_first_invocation() {
    let mut bench = Bench::new();
    bench.step(Event::Started { run: Run::FIRST });
    let report = init_report(Phase::Init, ms(0), error_status("Runtime.ExitError"));
    assert_eq!(bench.exit(Exit::Code(127)), [Action::KillAll, report, Action::Ready]);
    let failure = Outcome::Failed(Failure::Exited(Exit::Code(127)));
    assert_eq!(bench.deliver(1)[0], settle(1, failure));
}

#[test]
fn a_process_that_cannot_be_started_fails_each_invocation() {
    let mut bench = Bench::new();
    let error_type = ErrorType::known("Runtime.InvalidEntrypoint");
    let failed = |run| Event::SpawnFailed { run, error_type: error_type.clone(), message: "no".to_owned() };
    let failure = Failure::Launch { error_type: error_type.clone(), message: "no".to_owned() };
    let report = init_report(Phase::Init, ms(0), error_status("Runtime.InvalidEntrypoint"));
    assert_eq!(bench.step(failed(Run::FIRST)), [report, Action::Ready]);
    assert_eq!(bench.deliver(1)[0], settle(1, Outcome::Failed(failure.clone())));
    bench.deliver(2);
    let actions = bench.step(failed(bench.run));
    assert_eq!(actions[1], settle(2, Outcome::Failed(failure)));
    assert_eq!(actions[2], finished(2, ms(0), None, error_status("Runtime.InvalidEntrypoint")));
}

#[test]
fn an_init_over_ten_seconds_is_retried_inside_the_first_invocation() {
    let mut bench = Bench::new();
    bench.step(Event::Started { run: Run::FIRST });
    assert_eq!(bench.pass(ms(9_999)), []);
    let report = init_report(Phase::Init, Duration::from_secs(10), Status::Timeout);
    assert_eq!(bench.pass(ms(1)), [report, Action::KillAll, Action::Ready]);
    // The delivery comes before the killed runtime is seen to have ended.
    assert_eq!(bench.deliver(1), [Action::Throttle]);
    let spawn = Action::Spawn { run: Run::FIRST.following(), phase: Phase::Invoke };
    assert_eq!(bench.exit(Exit::Signal(9)), [spawn]);
    bench.step(Event::Started { run: bench.run });
    let actions = bench.pass(TIMEOUT);
    assert_eq!(actions[0], init_report(Phase::Invoke, TIMEOUT, Status::Timeout));
    assert_eq!(actions[1..], [timed_out(1), Action::KillAll]);
    assert_eq!(bench.exit(Exit::Signal(9)), [finished(1, TIMEOUT, None, Status::Timeout)]);
}

#[test]
fn an_init_error_inside_an_invocation_is_its_answer() {
    let mut bench = Bench::running();
    bench.exit(Exit::Code(1));
    bench.deliver(2);
    let actions = bench.init_error();
    assert_eq!(actions[2], settle(2, import_error()));
    let end = finished(2, ms(0), None, error_status("Runtime.ImportModuleError"));
    assert_eq!(bench.exit(Exit::Code(1)), [Action::KillAll, end]);
}

#[test]
fn a_timeout_kills_and_the_next_invocation_starts_the_runtime_again() {
    let mut bench = Bench::running();
    assert_eq!(bench.pass(TIMEOUT - Duration::from_nanos(1)), []);
    assert_eq!(bench.pass(Duration::from_nanos(1)), [timed_out(1), Action::KillAll]);
    bench.pass(ms(4));
    assert_eq!(bench.exit(Exit::Signal(9)), [finished(1, TIMEOUT, Some(ms(100)), Status::Timeout)]);
    let spawn = Action::Spawn { run: Run::FIRST.following(), phase: Phase::Invoke };
    assert_eq!(bench.deliver(2), [spawn]);
    assert_eq!(bench.next(), [init_report(Phase::Invoke, ms(0), Status::Success), event(2, 2)]);
}

#[test]
fn a_late_response_gets_the_late_error() {
    let mut bench = Bench::running();
    bench.pass(TIMEOUT);
    let late = bench.respond(1);
    assert_eq!(late, bench.complaint(Complaint::InvokeTimeout));
    bench.exit(Exit::Signal(9));
    let later = bench.error(1);
    assert_eq!(later, bench.complaint(Complaint::InvokeTimeout));
}

#[test]
fn a_response_at_the_deadline_is_late_even_if_nobody_woke_the_machine() {
    let mut bench = Bench::running();
    bench.now = bench.now.after(TIMEOUT);
    let actions = bench.respond(1);
    assert_eq!(actions[0], timed_out(1));
    assert_eq!(actions[1..], [Action::KillAll, bench.reply(Reply::Error(Complaint::InvokeTimeout))]);
}

#[test]
fn every_way_to_exit_during_an_invocation_is_told() {
    let table = [
        (Exit::Code(0), false, Failure::Exited(Exit::Code(0)), "Runtime.ExitError"),
        (Exit::Code(3), false, Failure::Exited(Exit::Code(3)), "Runtime.ExitError"),
        (Exit::Signal(11), false, Failure::Exited(Exit::Signal(11)), "Runtime.ExitError"),
        (Exit::Signal(9), true, Failure::OutOfMemory, "Runtime.OutOfMemory"),
    ];
    for (exit, out_of_memory, failure, name) in table {
        let mut bench = Bench::running();
        bench.pass(ms(5));
        let actions = bench.step(Event::Exited { run: Run::FIRST, exit, out_of_memory });
        let end = finished(1, ms(5), Some(ms(100)), error_status(name));
        assert_eq!(actions, [Action::KillAll, settle(1, Outcome::Failed(failure)), end]);
        assert!(matches!(bench.deliver(2)[..], [Action::Spawn { phase: Phase::Invoke, .. }]));
    }
}

#[test]
fn an_exit_after_the_response_leaves_the_caller_its_answer() {
    let mut bench = Bench::running();
    bench.respond(1);
    let end = finished(1, ms(0), Some(ms(100)), error_status("Runtime.ExitError"));
    assert_eq!(bench.exit(Exit::Code(0)), [Action::KillAll, end]);
}

#[test]
fn the_timeout_covers_what_comes_after_the_response() {
    let mut bench = Bench::running();
    bench.respond(1);
    assert_eq!(bench.pass(TIMEOUT), [Action::KillAll]);
    assert_eq!(bench.exit(Exit::Signal(9)), [finished(1, TIMEOUT, Some(ms(100)), Status::Timeout)]);
}

#[test]
fn an_exit_between_invocations_is_healed_by_the_next_one() {
    let mut bench = Bench::ready();
    let dropped = Action::Answer { call: CallId(1), reply: Reply::Drop };
    assert_eq!(bench.exit(Exit::Code(1)), [Action::KillAll, dropped]);
    assert!(matches!(bench.deliver(1)[..], [Action::Throttle, Action::Spawn { phase: Phase::Invoke, .. }]));
    assert_eq!(bench.next()[1], event(2, 1));
}

#[test]
fn a_body_that_is_too_large_or_truncated_fails_the_invocation_and_not_the_environment() {
    let table = [
        (Body::TooLarge, Complaint::TooLarge, Failure::ResponseTooLarge, "Function.ResponseSizeTooLarge"),
        (Body::Truncated, Complaint::Truncated, Failure::TruncatedResponse, "Runtime.TruncatedResponse"),
    ];
    for (body, complaint, failure, name) in table {
        let mut bench = Bench::running();
        let actions = bench.call(Request::Response { request_id: id(1), echo: Echo::Absent, body });
        let answer = bench.reply(Reply::Error(complaint));
        assert_eq!(actions, [settle(1, Outcome::Failed(failure)), answer]);
        assert_eq!(bench.next(), [finished(1, ms(0), Some(ms(100)), error_status(name))]);
        assert_eq!(bench.deliver(2), [event(3, 2)]);
    }
}

#[test]
fn news_of_an_earlier_run_is_ignored() {
    let mut bench = Bench::running();
    bench.exit(Exit::Code(1));
    bench.deliver(2);
    bench.next();
    let old = Event::Exited { run: Run::FIRST, exit: Exit::Code(1), out_of_memory: false };
    assert_eq!(bench.step(old), []);
    assert_eq!(bench.respond(2)[0], success(2));
}

#[test]
fn shutdown_kills_an_idle_environment_and_then_it_is_dead() {
    let mut bench = Bench::ready();
    let dropped = Action::Answer { call: CallId(1), reply: Reply::Drop };
    assert_eq!(bench.step(Event::Shutdown), [dropped, Action::KillAll]);
    let late = bench.next();
    assert_eq!(late, [bench.reply(Reply::Drop)]);
    assert_eq!(bench.exit(Exit::Signal(9)), [Action::Dead { why: Why::Shutdown }]);
    assert!(bench.machine.is_dead());
    assert_eq!(bench.deliver(1), [Action::GiveBack { delivery: Arc::new(delivery(1)) }]);
    assert_eq!(bench.machine.wake_at(), None);
}

#[test]
fn shutdown_fails_what_is_in_flight_and_spares_what_is_answered() {
    let mut bench = Bench::running();
    let failed = settle(1, Outcome::Failed(Failure::Sandbox));
    assert_eq!(bench.step(Event::Shutdown), [failed, Action::KillAll]);
    let actions = bench.exit(Exit::Signal(9));
    assert_eq!(actions[0], finished(1, ms(0), Some(ms(100)), error_status("Sandbox.Failure")));
    let mut bench = Bench::running();
    bench.respond(1);
    assert_eq!(bench.step(Event::Shutdown), [Action::KillAll]);
    assert_eq!(bench.exit(Exit::Signal(9))[0], finished(1, ms(0), Some(ms(100)), Status::Success));
}

#[test]
fn processes_that_do_not_die_end_the_environment() {
    let mut bench = Bench::running();
    bench.pass(TIMEOUT);
    let actions = bench.pass(KILL_LIMIT);
    let end = finished(1, TIMEOUT, Some(ms(100)), Status::Timeout);
    assert_eq!(actions, [end, Action::Dead { why: Why::Unkillable }]);
}

#[test]
fn a_lost_sandbox_settles_everything() {
    let mut bench = Bench::running();
    let end = finished(1, ms(0), Some(ms(100)), error_status("Sandbox.Failure"));
    let dead = Action::Dead { why: Why::Lost };
    assert_eq!(bench.step(Event::Lost), [settle(1, Outcome::Failed(Failure::Sandbox)), end, dead]);
}

#[test]
fn a_second_delivery_is_given_back() {
    let back = |number| [Action::GiveBack { delivery: Arc::new(delivery(number)) }];
    assert_eq!(Bench::new().deliver(1), back(1));
    assert_eq!(Bench::running().deliver(2), back(2));
}

#[test]
fn refused_actions_are_asked_for_again_in_their_order() {
    let mut bench = Bench::running();
    let settled = bench.respond(1).remove(0);
    assert_eq!(bench.step(Event::Refused { action: settled.clone() }), []);
    assert_eq!(bench.next(), []);
    let end = finished(1, ms(0), Some(ms(100)), Status::Success);
    assert_eq!(bench.pass(REFUSED_RETRY), [settled, end]);
    assert_eq!(bench.machine.wake_at(), None);
}

#[test]
fn a_spawn_that_was_never_made_is_not_waited_for() {
    let mut bench = Bench::running();
    bench.exit(Exit::Code(1));
    let spawn = bench.deliver(2).remove(0);
    assert_eq!(bench.step(Event::Refused { action: spawn.clone() }), []);
    assert_eq!(bench.pass(REFUSED_RETRY), std::slice::from_ref(&spawn));
    bench.step(Event::Refused { action: spawn.clone() });
    let actions = bench.step(Event::Shutdown);
    assert!(actions.is_empty(), "behind the refused one: {actions:?}");
    let rest = bench.pass(REFUSED_RETRY);
    assert_eq!(rest.last(), Some(&Action::Dead { why: Why::Shutdown }));
    assert!(!rest.contains(&spawn));
}

#[test]
fn a_runtime_that_never_comes_into_being_is_given_up() {
    let mut bench = Bench::new();
    assert_eq!(bench.pass(Settings::default().init_limit - ms(1)), []);
    let given_up = bench.pass(ms(1));
    let timed_out = |it: &Action| matches!(it, Action::InitReport { status: Status::Timeout, .. });
    assert!(given_up.iter().any(timed_out) && given_up.contains(&Action::KillAll), "{given_up:?}");
    let ended = bench.pass(KILL_LIMIT);
    assert!(ended.contains(&Action::Dead { why: Why::Unkillable }), "{ended:?}");
}

#[test]
fn initialisation_has_its_full_time_however_long_the_process_took_to_come() {
    let mut bench = Bench::new();
    bench.pass(ms(9_000));
    bench.step(Event::Started { run: Run::FIRST });
    assert_eq!(bench.pass(ms(9_999)), []);
    assert!(bench.pass(ms(1)).contains(&Action::KillAll));
}
