//! What the scheduler hears and says: its whole interface as two enums.
//!
//! Apart from the machine so that a reader sees the conversation without the decisions. All of it is plain data and can be
//! written down, so that a recorded trace can be replayed.

use crate::admission::Reason;
use crate::{EnvironmentId, FunctionId, InvocationId, RevisionId, SchedulerLimits};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What can happen to the scheduler. News of an environment or invocation that it does not (or no longer) know is ignored.
///
/// An environment ends with exactly one [`Event::Destroyed`] or, if nothing of it ever was, [`Event::StartFailed`]:
/// until then its memory is counted.
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
    },
    /// Make an environment. `Ready`, `StartFailed` or `Died` must follow, within a time that the driver bounds.
    Start {
        /// Its id, never used before.
        environment: EnvironmentId,
        /// Whose it is.
        function: FunctionId,
        /// What it runs.
        revision: RevisionId,
        /// Its memory, MB.
        memory_mb: u32,
    },
    /// The invocation will not be run: it was throttled. It never ran, and its permit, if it had one, is back.
    Refuse {
        /// Which.
        invocation: InvocationId,
        /// Why.
        reason: Reason,
    },
    /// The invocation was admitted and came to nothing by a fault of this machine. Its permit is back.
    Fail {
        /// Which.
        invocation: InvocationId,
        /// What went wrong.
        detail: Detail,
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

/// Why an environment is destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Why {
    /// It was idle for longer than its function wants it kept.
    IdleTimeout,
    /// Others need its memory.
    Evicted,
    /// Its revision was replaced or its function deleted.
    Retired,
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
