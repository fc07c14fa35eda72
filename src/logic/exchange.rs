//! What the scheduler hears and says: its whole interface as two enums.
//!
//! Apart from the machine so that a reader sees the conversation without the decisions. All of it is plain data and can be
//! written down, so that a recorded trace can be replayed.

use crate::admission::Reason;
use crate::{EnvironmentId, Exceeded, FunctionId, InvocationId, ProvisionedId, RevisionId, SchedulerLimits};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What can happen to the scheduler. News of an environment or invocation that it does not (or no longer) know is ignored.
///
/// An environment ends with exactly one [`Event::Destroyed`] or, if nothing of it ever was, [`Event::StartFailed`] or
/// [`Event::StartUnneeded`]: until then its memory is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Somebody wants this to run. Answered by `Assign`, `Refuse` or `Fail`, now or later, unless `Cancel` comes first.
    /// An id that is known already is ignored.
    Offer {
        /// A fresh id.
        invocation: InvocationId,
        /// Whose concurrency it uses.
        function: FunctionId,
        /// Which environments may run it.
        revision: RevisionId,
        /// Memory of such an environment, MB. The same in each offer of a revision; the first one counts.
        memory_mb: u32,
        /// Who waits for the answer.
        source: Source,
        /// The provisioned concurrency of the version or alias by which it was called, if there is some.
        provisioned: Option<ProvisionedId>,
    },
    /// The sandbox is made, what runs in it is initialising: another start may begin. May be left out before `Ready`.
    Launched {
        /// Which.
        environment: EnvironmentId,
    },
    /// It takes invocations from now on.
    Ready {
        /// Which.
        environment: EnvironmentId,
    },
    /// The sandbox could not be made and nothing of it is left. An invocation that thereby has no start under way for it
    /// is failed.
    StartFailed {
        /// Which.
        environment: EnvironmentId,
        /// In words for the log.
        detail: String,
    },
    /// The start was not begun, because nobody waited for it any more: nothing of it ever was, and the right to it that a
    /// scaling rate gave is back.
    StartUnneeded {
        /// Which.
        environment: EnvironmentId,
    },
    /// The invocation is settled and its permit comes back.
    Released {
        /// Where it ran.
        environment: EnvironmentId,
        /// Which.
        invocation: InvocationId,
        /// Whether the environment can take another one; if not, `Destroy` follows.
        reuse: bool,
    },
    /// The environment could not take the assigned invocation: nothing of it ran, it is not settled. It goes back to the
    /// head of its line, and the environment is destroyed.
    GivenBack {
        /// Who could not.
        environment: EnvironmentId,
        /// Which.
        invocation: InvocationId,
    },
    /// The environment runs nothing any more. What it still held is failed here (so what the driver has settled itself must
    /// have been `Released` before); `Destroy` follows for its remains.
    Died {
        /// Which.
        environment: EnvironmentId,
    },
    /// Nothing of it is left: its memory is free.
    Destroyed {
        /// Which.
        environment: EnvironmentId,
    },
    /// Other limits from now on. Nothing that runs is stopped.
    Configure {
        /// All of them.
        limits: SchedulerLimits,
    },
    /// Settings of a function; replaces earlier ones. A function never mentioned has none of both.
    Function {
        /// Which.
        function: FunctionId,
        /// Its reserved concurrency: guarantee and ceiling, 0 disables it.
        reserved: Option<u32>,
        /// How long its idle environments are kept.
        idle_timeout: Option<Duration>,
    },
    /// Provisioned concurrency of a version or alias, from now on; replaces what was said of it earlier. Environments of it
    /// are started, kept without work and replaced when they end, until other parts are named. No parts: it is removed.
    Provision {
        /// Which configuration.
        provisioned: ProvisionedId,
        /// Whose concurrency it takes.
        function: FunctionId,
        /// What to keep ready: one part for a version, one or two for an alias.
        parts: Vec<ProvisionedPart>,
    },
    /// What the machine feels, told every now and then.
    Pressure {
        /// Memory that all environments use in fact, MB.
        measured_mb: u64,
        /// Whether tasks of the machine stall for want of memory (PSI): no environment is started meanwhile unless none runs.
        stalled: bool,
    },
    /// The function was deleted: its settings are dropped and its revisions retired. What was admitted still runs.
    FunctionGone {
        /// Which.
        function: FunctionId,
    },
    /// The revision was replaced: idle environments go now, the others when nobody waits for them any more. An offer for
    /// it makes it current again.
    Retire {
        /// Which.
        revision: RevisionId,
    },
    /// Nobody wants the answer any more. A waiting invocation is forgotten without an action; one that runs goes on.
    Cancel {
        /// Which.
        invocation: InvocationId,
    },
    /// No new work; what was admitted is still run. `Drained` follows when nothing is left.
    Drain,
    /// The grace is over: who waits is refused, every environment is destroyed. `Drained` follows when nothing is left.
    Stop,
    /// The driver could not hand this action over because a queue was full.
    Refused {
        /// The action, as it was.
        action: Action,
    },
}

/// What the scheduler wants done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Deliver the invocation there. `Released`, `GivenBack` or the environment's end must follow.
    Assign {
        /// Which.
        invocation: InvocationId,
        /// Where.
        environment: EnvironmentId,
        /// How it came to that.
        decision: Decision,
    },
    /// Make an environment. `Ready`, `StartFailed`, `StartUnneeded` or `Died` must follow, within a time that the driver bounds.
    Start {
        /// Its id, never used before.
        environment: EnvironmentId,
        /// Whose it is.
        function: FunctionId,
        /// What it runs.
        revision: RevisionId,
        /// Its memory, MB.
        memory_mb: u32,
        /// What it is made for.
        initialization: Initialization,
    },
    /// The invocation will not be run: it was throttled. It never ran, and its permit, if it had one, is back.
    Refuse {
        /// Which.
        invocation: InvocationId,
        /// Why.
        reason: Reason,
        /// Which rate it met, if it was one.
        rate: Option<Exceeded>,
        /// After what pause another try may succeed, where that is known.
        retry_after: Option<Duration>,
        /// How long it had waited.
        waited: Duration,
        /// What for, if it had.
        waited_for: Option<WaitedFor>,
    },
    /// The invocation was admitted and came to nothing by a fault of this machine. Its permit is back.
    Fail {
        /// Which.
        invocation: InvocationId,
        /// What went wrong.
        detail: Detail,
    },
    /// The environment has been idle for a while: what runs in it may be stopped until the next `Assign`, which thaws it.
    Freeze {
        /// Which.
        environment: EnvironmentId,
    },
    /// Destroy the environment and all that is left of it. `Destroyed` must follow; asked for again only if `Refused`.
    Destroy {
        /// Which.
        environment: EnvironmentId,
        /// Why.
        why: Why,
    },
    /// After `Drain` or `Stop`: no environment and no invocation is left.
    Drained,
}

/// Who waits for the answer of an invocation. Rates of requests bind synchronous ones only, as Lambda has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Source {
    /// A caller who waits.
    Synchronous,
    /// The queue of events.
    Asynchronous,
    /// The poller of an event source.
    Polled,
}

/// Environments of one revision that are to be kept ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvisionedPart {
    /// What they run.
    pub revision: RevisionId,
    /// Their memory, MB.
    pub memory_mb: u32,
    /// How many.
    pub wanted: u32,
}

/// What an environment is made for: `AWS_LAMBDA_INITIALIZATION_TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Initialization {
    /// Somebody waits.
    OnDemand,
    /// It is to be ready before anybody comes.
    Provisioned,
}

impl Initialization {
    /// The name, as functions and logs see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OnDemand => "on-demand",
            Self::Provisioned => "provisioned-concurrency",
        }
    }
}

/// What an invocation found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StartType {
    /// An environment that had run before, or had come up for another invocation.
    Warm,
    /// An environment was started for it.
    Cold,
    /// An environment of the provisioned concurrency.
    Provisioned,
}

/// Why an invocation had to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WaitedFor {
    /// A new environment.
    Initialization,
    /// A place among the sandboxes that are being made.
    Starts,
    /// Memory, or a place among the environments.
    Capacity,
    /// The rate of requests of its environments.
    RequestRate,
}

/// How an invocation came to its environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What it found.
    pub start: StartType,
    /// Whether it came by a qualifier with provisioned concurrency, of which nothing was free.
    pub spilled_over: bool,
    /// How long it stood in line.
    pub waited: Duration,
    /// What for, if it did: what held it up last before its environment was made or freed.
    pub waited_for: Option<WaitedFor>,
    /// Idle environments that went to make room for it.
    pub evicted: Vec<EnvironmentId>,
}

/// What has become of one provisioned-concurrency configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvisionedState {
    /// Environments that were asked for.
    pub wanted: u32,
    /// Of them, those that have come up: `AllocatedProvisionedConcurrentExecutions`.
    pub allocated: u32,
    /// Of them, those that take or run an invocation: `AvailableProvisionedConcurrentExecutions`.
    pub available: u32,
    /// Of them, those that run one.
    pub running: u32,
    /// All that have come up for it, those of former parts included.
    pub serving: u32,
    /// Why the last one did not come up, if the last one did not.
    pub failed: Option<ProvisionedFailure>,
}

/// Why an environment of provisioned concurrency did not come up. It is tried again after a pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProvisionedFailure {
    /// The function failed while it initialised: `FUNCTION_ERROR_INIT_FAILURE`.
    Initialization,
    /// The machine has no room.
    Capacity,
    /// No sandbox could be made, in words for the log.
    Sandbox(String),
}

/// Why an environment is destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Why {
    /// It was idle for longer than its function wants it kept.
    IdleTimeout,
    /// Others need its memory.
    Evicted,
    /// Its revision was replaced or its function deleted.
    Retired,
    /// It is old, and was idle or replaced.
    Recycled,
    /// It was released as not reusable.
    Spent,
    /// It died; its remains go.
    Died,
    /// It could not take an invocation.
    Unreachable,
    /// The daemon stops.
    Draining,
}

impl Why {
    /// One word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IdleTimeout => "idle-timeout",
            Self::Evicted => "evicted",
            Self::Retired => "retired",
            Self::Recycled => "recycled",
            Self::Spent => "spent",
            Self::Died => "died",
            Self::Unreachable => "unreachable",
            Self::Draining => "draining",
        }
    }
}

/// Why an admitted invocation came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Detail {
    /// The sandbox for it could not be made.
    #[error("no sandbox could be made: {0}")]
    StartFailed(String),
    /// The environment that had it, or was to have it, died.
    #[error("the environment died")]
    Died,
    /// Environments gave it back as often as is allowed.
    #[error("no environment took the invocation")]
    NotTaken,
}
