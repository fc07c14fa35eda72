//! What enters and leaves the lifecycle machine.
//!
//! The words that the lifecycle and its owner share, apart from the machine so that both can be read alone. No
//! behaviour beyond small conversions.

use crate::failure::{ErrorType, Exit, Failure};
use crate::{CallId, Delivery, DeliveryId, Reply, RequestId, Run};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// What can happen to an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The runtime process of this run exists. May come after the process's first call.
    Started {
        /// Which run.
        run: Run,
    },
    /// The runtime process of this run could not be started.
    SpawnFailed {
        /// Which run.
        run: Run,
        /// `Runtime.InvalidEntrypoint` and the like.
        error_type: ErrorType,
        /// For the function's owner.
        message: String,
    },
    /// A process in the sandbox made a call; it is answered by exactly one [`Action::Answer`].
    Call {
        /// The call.
        call: CallId,
        /// What it wants.
        what: Request,
    },
    /// An invocation is to run here. Only after [`Action::Ready`], and then only after the last one's
    /// [`Action::Finished`].
    Deliver {
        /// The event.
        delivery: Arc<Delivery>,
        /// The function timeout; it runs from now.
        timeout: Duration,
    },
    /// The runtime process ended, and its status has been collected. Calls received before it are to be told first: a
    /// runtime may post its answer and leave at once.
    Exited {
        /// Which run.
        run: Run,
        /// How it ended.
        exit: Exit,
        /// Whether the kernel killed for want of memory in the sandbox during the run.
        out_of_memory: bool,
    },
    /// The environment is to end now; what still runs is failed.
    Shutdown,
    /// The sandbox itself is gone, and all processes in it.
    Lost,
    /// An action could not be handed over: a queue was full, or the caller of an answered call had left.
    ///
    /// Order matters between all actions but answers: whoever refuses one of them refuses those after it too.
    Refused {
        /// The action, as it was asked for.
        action: Action,
    },
}

/// A call of a runtime, body included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Asks for an event.
    Next,
    /// Posts a result.
    Response {
        /// For this request.
        request_id: RequestId,
        /// The attempt it claims to answer.
        echo: Echo,
        /// The result.
        body: Body,
    },
    /// Posts an error of the handler.
    Error {
        /// For this request.
        request_id: RequestId,
        /// The attempt it claims to answer.
        echo: Echo,
        /// For logs and metrics.
        error_type: ErrorType,
        /// The error document, relayed as it is.
        body: Body,
    },
    /// Says that the runtime cannot start.
    InitError {
        /// For logs and metrics.
        error_type: ErrorType,
        /// The error document, relayed as it is.
        body: Body,
    },
}

/// What a runtime said in `Lambda-Runtime-Invocation-Id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// Nothing, which is allowed.
    Absent,
    /// An id.
    Delivery(DeliveryId),
    /// Something that is no id, and therefore wrong.
    Foreign,
}

/// A body after it was read, or why it was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// More than [`crate::RESPONSE_LIMIT`] bytes.
    TooLarge,
    /// The connection ended before the body did.
    Truncated,
}

/// What the lifecycle wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Answer a call.
    Answer {
        /// The call.
        call: CallId,
        /// The answer.
        reply: Reply,
    },
    /// Start the runtime process in the sandbox again; `Started` or `SpawnFailed` follows, and later `Exited`.
    Spawn {
        /// The run's name.
        run: Run,
        /// In which phase.
        phase: Phase,
    },
    /// Kill every process in the sandbox but its pid 1. If the runtime process lives, its `Exited` follows; if it has
    /// ended already, this sweeps up what it left.
    KillAll,
    /// An invocation may be delivered. Once in an environment's life, also when init failed: then the first delivery
    /// receives the failure.
    Ready,
    /// The first invocation begins: the CPU quota applies from now on.
    Throttle,
    /// Answer the caller. Exactly once for each delivery that was not given back.
    Settle {
        /// The request.
        request_id: RequestId,
        /// What it came to.
        outcome: Outcome,
    },
    /// The invocation is over, and the environment may be reused if it is not [`Action::Dead`]. Once after each
    /// `Settle`.
    Finished {
        /// The request.
        request_id: RequestId,
        /// The figures of its report.
        report: Report,
    },
    /// An attempt at initialising ended.
    InitReport {
        /// In which phase.
        phase: Phase,
        /// How long it took.
        duration: Duration,
        /// How it ended.
        status: Status,
    },
    /// The delivery cannot be taken here, nothing of it ran, and it is not settled.
    GiveBack {
        /// The delivery.
        delivery: Arc<Delivery>,
    },
    /// The last word, but for answers to calls: nothing runs, destroy the sandbox.
    Dead {
        /// The reason.
        why: Why,
    },
}

/// When an initialisation happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// On its own, before the first invocation.
    Init,
    /// As part of an invocation, in a sandbox that was reset.
    Invoke,
}

/// What a delivery came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The function's result.
    Success {
        /// As posted.
        payload: Bytes,
    },
    /// The function's own error document, of the handler or of its initialisation.
    FunctionError {
        /// As posted.
        payload: Bytes,
        /// For logs and metrics.
        error_type: ErrorType,
    },
    /// No answer of the function.
    Failed(Failure),
}

impl Outcome {
    /// The status that logs and metrics tell.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Success { .. } => Status::Success,
            Self::FunctionError { error_type, .. } => Status::Error { error_type: error_type.clone() },
            Self::Failed(Failure::TimedOut { .. }) => Status::Timeout,
            Self::Failed(failure) => Status::Error { error_type: failure.error_type() },
        }
    }

    /// The bytes for the caller: what the function posted, be it empty, or the failure's document.
    #[must_use]
    pub fn into_payload(self, request_id: RequestId) -> Bytes {
        match self {
            Self::Success { payload } | Self::FunctionError { payload, .. } => payload,
            Self::Failed(failure) => Bytes::from(failure.document(request_id)),
        }
    }
}

/// How something ended, as reports say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Well.
    Success,
    /// Not in time.
    Timeout,
    /// With an error.
    Error {
        /// Which.
        error_type: ErrorType,
    },
}

/// The figures of a finished invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// From the delivery until the runtime asked for the next event, ended, or ran out of time.
    pub duration: Duration,
    /// How long the environment's initialisation took, in the report of its first invocation only, and only if it
    /// succeeded before that invocation.
    pub init_duration: Option<Duration>,
    /// How it ended. It can be worse than what the caller was told: a runtime may fail after it answered.
    pub status: Status,
}

/// Why an environment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was told to.
    Shutdown,
    /// Its sandbox went away.
    Lost,
    /// Its processes did not end after they were killed.
    Unkillable,
}
