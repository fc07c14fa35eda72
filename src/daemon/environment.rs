//! One environment: the driver of a `Lifecycle` over a sandbox.
//!
//! Performs what the lifecycle decides: starts and kills the runtime, answers its calls, answers callers, writes the
//! platform's log lines. It decides nothing about reuse or limits: it tells the scheduler what happened.
//! A driver's actions stay together, so that anybody can see that each is performed; how the environment comes to be and
//! goes is `environment/course.rs`'.

mod course;

pub(super) use self::course::run;

use super::clock;
use super::credentials::Minted;
use super::decisions::{Ended, Place};
use super::drive::Driver;
use super::invoke::{Answer, Invocation, Shared};
use super::meters::Meters;
use super::metrics::Series;
use super::output::{LogPipe, Output};
use super::random;
use super::revision::Revision;
use super::sandboxes::Control;
use super::scheduler::{EnvironmentHandle, Told};
use super::system_log;
use crate::runtimes::image;
use crate::runtimes::process::{self, Context};
use hearth_logic::limits::{INIT_TIMEOUT, PROVISIONED_INIT_MIN, TIMEOUT_MAX};
use hearth_logic::outcome as text;
use hearth_logic::scheduler::Initialization;
use hearth_logic::{EnvironmentId, Few};
use hearth_runtime_api::failure::ErrorType;
use hearth_runtime_api::server::{Arrival, Desk};
use hearth_runtime_api::{
    Action, Delivery, DeliveryId, Event, Exit, Lifecycle, Outcome, Phase, Reply, Report, RequestId, Run,
    Settings, Status,
};
use hearth_sandbox::SandboxId;
use hearth_sandbox::spec::{InitReport, InitRequest, ProcessSpec};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use tokio::sync::mpsc;

/// Messages that wait for one environment: its own calls are bounded by its connections.
pub(crate) const INBOX_MAX: usize = 256;

/// What arrives at an environment. Small, because a queue makes room for dozens: what is larger is boxed.
pub(crate) enum Message {
    /// The scheduler assigned an invocation.
    Deliver(Box<Invocation>),
    /// The scheduler wants it to stand still until the next `Deliver` or `Shutdown`.
    Freeze,
    /// The scheduler wants it gone.
    Shutdown,
    /// A process inside called.
    Call(Box<Arrival>),
    /// Pid 1 reported.
    Report(Box<InitReport>),
    /// Pid 1 is gone.
    Lost,
    /// Something was printed.
    Printed,
    /// A reader of the log waits until what is held has been handed over.
    HandOver(SyncSender<()>),
}

impl From<Arrival> for Message {
    fn from(arrival: Arrival) -> Self {
        Self::Call(Box::new(arrival))
    }
}

struct Flight {
    invocation: Box<Invocation>,
    /// The answer, kept back until the report is written when the caller wants the log with it.
    held: Option<(Outcome, bool)>,
    /// Its error document is the handler's own.
    reported_by_handler: bool,
    /// Bytes of its answer, for the log.
    produced_bytes: Option<u64>,
}

struct Environment {
    id: EnvironmentId,
    revision: Arc<Revision>,
    initialization: Initialization,
    shared: Arc<Shared>,
    lifecycle: Lifecycle,
    control: Arc<Control>,
    output: Output,
    place: Arc<Place>,
    meters: Meters,
    scheduler: EnvironmentHandle,
    minted: Minted,
    series: Series,
    inbox: mpsc::Sender<Message>,
    metadata_token: String,
    run: Run,
    desk: Desk,
    flights: Few<RequestId, Flight>,
    /// The caller has its answer, the runtime has not asked for its next event yet.
    answered: bool,
    /// An initialisation failed and nobody has heard of it yet.
    init_failed: bool,
    /// A runtime that was started again initialises without the CPU limit, until it gets the event.
    unthrottled: bool,
    frozen: bool,
    dead: bool,
}

impl Environment {
    fn new(
        (id, metadata_token): (EnvironmentId, String),
        (revision, initialization): (Arc<Revision>, Initialization),
        shared: &Arc<Shared>,
        control: Arc<Control>,
        (pipe, meters): (Arc<LogPipe>, Meters),
        (inbox, scheduler): (mpsc::Sender<Message>, EnvironmentHandle),
    ) -> Self {
        let stream: Arc<str> = revision.new_log_stream().into();
        let place =
            Place { environment: id, group: Arc::clone(&revision.log_group), stream: Arc::clone(&stream) };
        let output = Output::new(pipe, shared.logs.clone(), &revision, stream);
        Self {
            lifecycle: Lifecycle::new(clock::now(), settings(&revision, initialization)),
            minted: shared.keys.mint(SandboxId(id.0), &revision.role, &revision.name),
            series: shared.metrics.series(&revision),
            shared: Arc::clone(shared),
            id,
            revision,
            initialization,
            control,
            output,
            place: Arc::new(place),
            meters,
            scheduler,
            inbox,
            metadata_token,
            run: Run::FIRST,
            desk: Desk::default(),
            flights: Few::default(),
            answered: false,
            init_failed: false,
            unthrottled: false,
            frozen: false,
            dead: false,
        }
    }

    fn throttle(&mut self) {
        self.unthrottled = false;
        self.meters.limit_cpu(Some(self.revision.memory_mb));
    }

    /// Stops all that runs inside until it is needed: nothing computes between two invocations, as with Lambda.
    fn freeze(&mut self) {
        // An assignment that was under way already has come first.
        if self.frozen || self.dead || !self.flights.is_empty() {
            return;
        }
        match self.meters.freeze(true) {
            Ok(()) => {
                self.frozen = true;
                self.shared.metrics.frozen.inc();
            }
            Err(error) => tracing::warn!(%error, environment = self.id.0, "cannot freeze"),
        }
    }

    /// Lets it go on. Pid 1 stands still, too: without this it hears no order.
    fn thaw(&mut self) {
        if !std::mem::take(&mut self.frozen) {
            return;
        }
        self.shared.metrics.frozen.dec();
        if let Err(error) = self.meters.freeze(false) {
            // The group is gone, and pid 1 with it: its reader says `Lost`.
            tracing::debug!(%error, environment = self.id.0, "cannot thaw");
        }
    }

    /// Starts the runtime for the first time.
    fn begin(&mut self) {
        self.output.platform(system_log::init_started(&self.revision, self.initialization));
        self.spawn();
    }

    /// Made anew whenever a runtime is started, which is mostly once: all its variables take some kilobytes.
    fn process(&self) -> ProcessSpec {
        let credentials = &self.minted.credentials;
        let context = Context {
            initialization: self.initialization.as_str(),
            ..self.revision.process_context(self.output.stream(), &self.metadata_token, credentials)
        };
        match &self.revision.image {
            Some(image) => image.process(&self.revision.served, &context),
            None => process::spec(&self.revision.served, &context),
        }
    }

    fn spawn(&self) {
        if self.control.send(&InitRequest::Spawn(self.process())).is_err() {
            // Pid 1 is gone: its reader says `Lost`.
            tracing::debug!(environment = self.id.0, "spawn: the sandbox is gone");
        }
    }

    /// Whatever is still waiting for this environment gets an answer.
    fn end(&mut self) {
        // Not thawed: what is killed while it stands still has no last word.
        if std::mem::take(&mut self.frozen) {
            self.shared.metrics.frozen.dec();
        }
        self.desk = Desk::default();
        if std::mem::take(&mut self.answered) {
            self.revision.finishing.fetch_sub(1, Ordering::Relaxed);
        }
        while let Some((request_id, mut flight)) = self.flights.pop_first() {
            let id = flight.invocation.id;
            self.shared.decisions.failed(id, "the environment ended without a report", clock::now());
            match flight.held {
                Some((outcome, failed)) => {
                    let (payload, log_tail) = (outcome.into_payload(request_id), None);
                    flight.invocation.answer(Answer { payload, failed, log_tail });
                }
                None => flight.invocation.fail_internally("the environment ended"),
            }
        }
        self.output.drain();
        self.output.flush();
    }

    fn deliver(&mut self, invocation: Box<Invocation>) -> Event {
        self.output.keep_tail(invocation.wants_log);
        let request_id = invocation.request_id;
        self.output.platform(system_log::started(&self.revision, request_id));
        self.shared.decisions.begun(invocation.id, &self.place);
        let timeout = self.revision.timeout;
        let delivery = Delivery {
            request_id,
            delivery_id: DeliveryId::from_bytes(random::id()),
            deadline: clock::wall().after(timeout),
            invoked_arn: invocation.invoked_arn.clone(),
            trace_id: invocation.trace_id.clone(),
            client_context: invocation.client_context.clone(),
            cognito_identity: String::new(),
            tenant_id: String::new(),
            content_type: String::new(),
            payload: invocation.payload.clone(),
        };
        self.flights.insert(
            request_id,
            Flight { invocation, held: None, reported_by_handler: false, produced_bytes: None },
        );
        Event::Deliver { delivery: Arc::new(delivery), timeout }
    }

    fn report(&mut self, report: InitReport) -> Option<Event> {
        let run = self.run;
        match report {
            InitReport::Spawned => Some(Event::Started { run }),
            InitReport::SpawnFailed { program, reason } => {
                let message = match (program, &self.revision.image) {
                    (Some(program), _) => format!("fork/exec {program}: {reason}"),
                    (None, Some(image)) => image.not_found(),
                    (None, None) => {
                        format!("Couldn't find valid bootstrap(s): [{}]", bootstraps_searched())
                    }
                };
                Some(self.not_started(image::INVALID_ENTRYPOINT, message))
            }
            InitReport::NoDirectory { reason } => {
                let message = format!("chdir {}: {reason}", self.process().directory);
                Some(self.not_started(image::INVALID_WORKING_DIR, message))
            }
            InitReport::Exited(exit) => {
                let exit = match exit {
                    hearth_sandbox::Exit::Code(code) => Exit::Code(code),
                    hearth_sandbox::Exit::Signal(signal) => Exit::Signal(signal),
                };
                let out_of_memory = self.meters.ran_out_of_memory();
                Some(Event::Exited { run, exit, out_of_memory })
            }
            InitReport::Parked | InitReport::MapMe | InitReport::Broken { .. } => None,
        }
    }

    /// The runtime's process did not come to be.
    fn not_started(&mut self, error_type: &'static str, message: String) -> Event {
        if let Some(image) = &self.revision.image {
            self.output.platform(system_log::not_launched(&self.revision, image, &message));
        }
        Event::SpawnFailed { run: self.run, error_type: ErrorType::known(error_type), message }
    }

    fn settle(&mut self, request_id: RequestId, outcome: Outcome) {
        let failed = !matches!(outcome, Outcome::Success { .. });
        self.series.count(failed);
        let init_failed = std::mem::take(&mut self.init_failed);
        let Some(flight) = self.flights.get_mut(&request_id) else { return };
        flight.reported_by_handler = !init_failed && matches!(outcome, Outcome::FunctionError { .. });
        flight.produced_bytes = match &outcome {
            Outcome::Success { payload } | Outcome::FunctionError { payload, .. } => {
                Some(payload.len() as u64)
            }
            Outcome::Failed(_) => None,
        };
        // After these the runtime is killed or gone: whoever calls again at once must find this environment free.
        let ends_the_runtime = matches!(outcome, Outcome::Failed(_));
        if flight.invocation.wants_log || ends_the_runtime {
            flight.held = Some((outcome, failed));
        } else {
            // Counted by the scheduler before it starts another environment for a caller who is already back.
            self.revision.finishing.fetch_add(1, Ordering::Relaxed);
            self.answered = true;
            let payload = outcome.into_payload(request_id);
            flight.invocation.answer(Answer { payload, failed, log_tail: None });
        }
    }

    fn finish(&mut self, request_id: RequestId, report: &Report) {
        // The handler's own error is the function's answer: the platform's report says nothing of it.
        let flight = self.flights.get(&request_id);
        let own = flight.is_some_and(|flight| flight.reported_by_handler);
        let produced_bytes = flight.and_then(|flight| flight.produced_bytes);
        let status = if own { text::Status::Success } else { log_status(&report.status) };
        let figures = text::Report {
            request_id,
            duration: report.duration,
            init_duration: report.init_duration,
            init_billed: self.initialization == Initialization::OnDemand,
            memory_size_mb: self.revision.memory_mb,
            max_memory_used_mb: u32::try_from(self.meters.peak_mb()).unwrap_or(u32::MAX),
            status,
            trace: None,
        };
        self.output.platform(system_log::ended(&self.revision, &figures, produced_bytes));
        self.output.flush();
        self.shared.metrics.duration.observe(report.duration.as_secs_f64());
        self.series.end(report.duration);
        let tail = self.output.take_tail();
        let Some(flight) = self.flights.remove(&request_id) else { return };
        let mut invocation = flight.invocation;
        self.shared.decisions.ended(
            invocation.id,
            &Ended {
                status: log_status(&report.status),
                is_own_error: own,
                duration: report.duration,
                init: report.init_duration,
                at: clock::now(),
            },
        );
        // First, so that a caller who comes right back is given this environment.
        let answered = std::mem::take(&mut self.answered).then(|| Arc::clone(&self.revision));
        self.scheduler.tell(Told::Released {
            environment: self.id,
            invocation: invocation.id,
            // Nobody may be given to one that is dying.
            reuse: !self.lifecycle.is_dead(),
            answered,
        });
        if let Some((outcome, failed)) = flight.held {
            invocation.answer(Answer { payload: outcome.into_payload(request_id), failed, log_tail: tail });
        }
    }

    fn init_report(&mut self, phase: Phase, duration: Duration, status: &Status) {
        let failed = !matches!(status, Status::Success);
        if failed {
            self.init_failed = true;
        } else {
            self.shared.metrics.init_duration.observe(duration.as_secs_f64());
        }
        let phase = match phase {
            Phase::Init => text::InitPhase::Init,
            Phase::Invoke => text::InitPhase::Invoke,
        };
        let made_for = (&*self.revision, self.initialization);
        let lines = system_log::init_ended(made_for, phase, log_status(status), duration);
        self.output.platform(lines);
        if failed || self.initialization == Initialization::Provisioned {
            self.output.flush();
        }
    }
}

/// How long an initialisation may take: nobody waits for that of a provisioned environment (AWS
/// documentation, "Understanding the Lambda execution environment lifecycle").
fn settings(revision: &Revision, initialization: Initialization) -> Settings {
    let init_limit = match initialization {
        Initialization::OnDemand => INIT_TIMEOUT,
        Initialization::Provisioned => revision.timeout.clamp(PROVISIONED_INIT_MIN, TIMEOUT_MAX),
    };
    Settings { init_limit }
}

fn bootstraps_searched() -> String {
    let [task, layer, _] = process::bootstraps();
    format!("{task} {layer}")
}

fn log_status(status: &Status) -> text::Status<'_> {
    match status {
        Status::Success => text::Status::Success,
        Status::Timeout => text::Status::Timeout,
        Status::Error { error_type } => text::Status::Error { error_type: Some(error_type.as_str()) },
    }
}

impl Driver for Environment {
    type Machine = Lifecycle;
    type Message = Message;

    fn machine(&mut self) -> &mut Lifecycle {
        &mut self.lifecycle
    }

    fn admit(&mut self, message: Message) -> Option<Event> {
        match message {
            Message::Deliver(invocation) => {
                self.thaw();
                Some(self.deliver(invocation))
            }
            Message::Freeze => {
                self.freeze();
                None
            }
            Message::Shutdown => {
                self.thaw();
                Some(Event::Shutdown)
            }
            Message::Lost => Some(Event::Lost),
            Message::Report(report) => self.report(*report),
            Message::Printed => {
                if self.output.drain() {
                    // More than one reading takes: the rest is not announced again.
                    self.inbox.try_send(Message::Printed).ok();
                }
                // While an invocation runs, a log is followed as it grows; its last lines come with the report.
                self.output.flush();
                None
            }
            Message::HandOver(done) => {
                self.output.drain();
                self.output.flush();
                drop(done);
                None
            }
            Message::Call(arrival) => Some(self.desk.accept(*arrival)),
        }
    }

    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Answer { call, reply } => {
                if self.unthrottled && matches!(reply, Reply::Event(_)) {
                    self.throttle();
                }
                // The runtime has hung up; the lifecycle decides what that means for what it was given.
                let reply = self.desk.answer(call, reply).err()?;
                return Some(Event::Refused { action: Action::Answer { call, reply } });
            }
            Action::Spawn { run, .. } => {
                self.run = run;
                self.unthrottled = true;
                self.meters.limit_cpu(None);
                self.spawn();
            }
            Action::KillAll => {
                // Many processes that end within a small share of a core would take longer than there is time.
                self.meters.limit_cpu(None);
                self.control.send(&InitRequest::Kill).ok();
            }
            // One that is kept ready and is not is of no use: nobody waits to hear of its failure.
            Action::Ready if self.init_failed && self.initialization == Initialization::Provisioned => {
                return Some(Event::Shutdown);
            }
            Action::Ready => self.scheduler.tell(Told::Ready { environment: self.id }),
            Action::Throttle => self.throttle(),
            Action::Settle { request_id, outcome } => self.settle(request_id, outcome),
            Action::Finished { request_id, report } => self.finish(request_id, &report),
            Action::InitReport { phase, duration, status } => self.init_report(phase, duration, &status),
            Action::GiveBack { delivery } => {
                let flight = self.flights.remove(&delivery.request_id)?;
                self.scheduler.tell(Told::GivenBack { environment: self.id, invocation: flight.invocation });
            }
            Action::Dead { why } => {
                tracing::debug!(environment = self.id.0, ?why, "environment ended");
                self.dead = true;
            }
        }
        None
    }

    fn is_done(&self) -> bool {
        self.dead
    }
}

#[cfg(test)]
mod tests;
