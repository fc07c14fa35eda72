//! What the world outside the scheduler knows for itself, to hold the scheduler to it.
//!
//! Kept from events and actions alone: whether the scheduler's own books agree is checked by its own laws.

use crate::admission::Reason;
use crate::scheduler::{Action, Event, Initialization, StartType};
use crate::{EnvironmentId, FunctionId, InvocationId, RevisionId};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Waiting,
    Running(EnvironmentId),
    /// Settled, refused, failed or cancelled: nothing may be said of it any more.
    Over,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Sandbox {
    pub(super) revision: RevisionId,
    pub(super) ready: bool,
    /// `Destroy` was said.
    pub(super) doomed: bool,
    /// It is known to have died.
    pub(super) died: bool,
    pub(super) running: Option<InvocationId>,
    /// It is kept ready, not started for somebody.
    pub(super) provisioned: bool,
    /// It has run something.
    pub(super) used: bool,
    /// `Freeze` was said and nothing was assigned since.
    pub(super) frozen: bool,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) invocations: BTreeMap<InvocationId, (RevisionId, Fate)>,
    pub(super) sandboxes: BTreeMap<EnvironmentId, Sandbox>,
    pub(super) last_environment: Option<EnvironmentId>,
    pub(super) drained: u32,
    pub(super) assigned: u64,
    pub(super) refused: u64,
    pub(super) failed: u64,
    pub(super) kept: u64,
    pub(super) frozen: u64,
    /// Assignments after a wait of [`PATIENCE`] or more.
    pub(super) patient: u64,
}

/// Longer than anybody waits for room in any world.
const PATIENCE: Duration = Duration::from_secs(3);

type Verdict = Result<(), String>;

impl Ledger {
    pub(super) fn offered(&mut self, invocation: InvocationId, revision: RevisionId) {
        self.invocations.insert(invocation, (revision, Fate::Waiting));
    }

    /// Notes an event that is about to be told.
    pub(super) fn hear(&mut self, event: &Event) {
        match event {
            Event::Ready { environment } => {
                if let Some(sandbox) = self.sandboxes.get_mut(environment) {
                    sandbox.ready = true;
                }
            }
            Event::Released { environment, invocation, .. } => {
                if self.leave(*environment, *invocation) {
                    self.settle(*invocation);
                }
            }
            Event::GivenBack { environment, invocation } => {
                if self.leave(*environment, *invocation)
                    && let Some((_, fate)) = self.invocations.get_mut(invocation)
                {
                    *fate = Fate::Waiting;
                }
            }
            Event::Cancel { invocation } => {
                if self.invocations.get(invocation).is_some_and(|(_, fate)| *fate == Fate::Waiting) {
                    self.settle(*invocation);
                }
            }
            Event::StartFailed { environment, .. }
            | Event::StartUnneeded { environment }
            | Event::Destroyed { environment } => {
                self.sandboxes.remove(environment);
            }
            Event::Refused { action: Action::Assign { invocation, environment, .. } } => {
                self.hear(&Event::GivenBack { environment: *environment, invocation: *invocation });
            }
            Event::Refused { action: Action::Start { environment, .. } } => {
                self.sandboxes.remove(environment);
            }
            Event::Died { environment } => {
                if let Some(sandbox) = self.sandboxes.get_mut(environment) {
                    sandbox.died = true;
                }
            }
            Event::Refused { .. }
            | Event::Offer { .. }
            | Event::Launched { .. }
            | Event::Configure { .. }
            | Event::Function { .. }
            | Event::Provision { .. }
            | Event::Pressure { .. }
            | Event::FunctionGone { .. }
            | Event::Retire { .. }
            | Event::Drain
            | Event::Stop => {}
        }
    }

    /// Notes an action and says what is wrong with it, if something is.
    pub(super) fn obey(&mut self, action: &Action) -> Verdict {
        match action {
            Action::Assign { invocation, environment, decision } => {
                self.patient += u64::from(decision.waited >= PATIENCE);
                self.assign(*invocation, *environment, decision.start)
            }
            Action::Start { environment, revision, initialization, .. } => {
                self.start(*environment, *revision, *initialization)
            }
            Action::Refuse { invocation, reason, waited, .. } => {
                self.refused += 1;
                let fate = self.invocations.get(invocation).map(|(_, fate)| *fate);
                let in_vain = *reason == Reason::CapacityExceeded && !waited.is_zero();
                ensure(!in_vain || !self.all_are_served(*invocation), || {
                    format!("{invocation} is refused while an environment is on its way to it")
                })?;
                self.settle(*invocation);
                ensure(fate == Some(Fate::Waiting), || format!("{invocation} is refused but {fate:?}"))
            }
            Action::Fail { invocation, .. } => {
                self.failed += 1;
                let fate = self.invocations.get(invocation).map(|(_, fate)| *fate);
                if let Some(Fate::Running(environment)) = fate {
                    self.leave(environment, *invocation);
                }
                self.settle(*invocation);
                ensure(matches!(fate, Some(Fate::Waiting | Fate::Running(_))), || {
                    format!("{invocation} is failed but {fate:?}")
                })
            }
            Action::Destroy { environment, .. } => match self.sandboxes.get_mut(environment) {
                None => Err(format!("{environment} is destroyed and is not")),
                Some(sandbox) => {
                    let before = std::mem::replace(&mut sandbox.doomed, true);
                    ensure(!before, || format!("{environment} is destroyed twice"))
                }
            },
            Action::Freeze { environment } => {
                let Some(sandbox) = self.sandboxes.get_mut(environment) else {
                    return Err(format!("{environment} is frozen and is not"));
                };
                let idle = sandbox.ready && sandbox.running.is_none() && !sandbox.doomed && !sandbox.frozen;
                sandbox.frozen = true;
                self.frozen += 1;
                ensure(idle, || format!("{environment} is frozen as {sandbox:?}"))
            }
            Action::Drained => {
                self.drained += 1;
                ensure(self.sandboxes.is_empty(), || "drained with sandboxes left".to_owned())?;
                ensure(self.open() == 0, || "drained with invocations left".to_owned())
            }
        }
    }

    /// A `Destroy` that could not be handed over may be said again.
    pub(super) fn pardon(&mut self, environment: EnvironmentId) {
        if let Some(sandbox) = self.sandboxes.get_mut(&environment) {
            sandbox.doomed = false;
        }
    }

    /// True if as many environments are on their way as wait for one of that kind.
    fn all_are_served(&self, invocation: InvocationId) -> bool {
        let Some((revision, _)) = self.invocations.get(&invocation) else { return false };
        let waits = |fate: &Fate| *fate == Fate::Waiting;
        let waiting = self.invocations.values().filter(|(of, fate)| of == revision && waits(fate)).count();
        let comes = |sandbox: &&Sandbox| {
            sandbox.revision == *revision
                && !(sandbox.ready || sandbox.provisioned || sandbox.doomed || sandbox.died)
        };
        self.sandboxes.values().filter(comes).count() >= waiting
    }

    /// Invocations without an end.
    pub(super) fn open(&self) -> usize {
        self.invocations.values().filter(|(_, fate)| *fate != Fate::Over).count()
    }

    fn assign(&mut self, invocation: InvocationId, environment: EnvironmentId, start: StartType) -> Verdict {
        self.assigned += 1;
        self.kept += u64::from(start == StartType::Provisioned);
        let Some((revision, fate)) = self.invocations.get_mut(&invocation) else {
            return Err(format!("{invocation} is assigned and unknown"));
        };
        let before = std::mem::replace(fate, Fate::Running(environment));
        ensure(before == Fate::Waiting, || format!("{invocation} is assigned but {before:?}"))?;
        let Some(sandbox) = self.sandboxes.get_mut(&environment) else {
            return Err(format!("{invocation} is assigned to {environment}, which is not"));
        };
        ensure(sandbox.revision == *revision, || format!("{environment} serves two revisions"))?;
        ensure(sandbox.ready && !sandbox.doomed, || format!("{environment} is assigned as {sandbox:?}"))?;
        let fits = sandbox.provisioned == (start == StartType::Provisioned)
            && !(sandbox.used && start == StartType::Cold);
        ensure(fits, || format!("{environment} is said to be {start:?} and is {sandbox:?}"))?;
        (sandbox.used, sandbox.frozen) = (true, false);
        let held = sandbox.running.replace(invocation);
        ensure(held.is_none(), || format!("{environment} runs {held:?} and {invocation}"))
    }

    fn start(
        &mut self,
        environment: EnvironmentId,
        revision: RevisionId,
        initialization: Initialization,
    ) -> Verdict {
        let fresh = self.last_environment.is_none_or(|last| environment.0 == last.0 + 1);
        self.last_environment = Some(environment);
        let sandbox = Sandbox {
            revision,
            ready: false,
            doomed: false,
            died: false,
            running: None,
            provisioned: initialization == Initialization::Provisioned,
            used: false,
            frozen: false,
        };
        self.sandboxes.insert(environment, sandbox);
        ensure(fresh, || format!("{environment} is not the next id"))
    }

    fn leave(&mut self, environment: EnvironmentId, invocation: InvocationId) -> bool {
        let Some(sandbox) = self.sandboxes.get_mut(&environment) else { return false };
        let held = sandbox.running == Some(invocation);
        if held {
            sandbox.running = None;
        }
        held
    }

    fn settle(&mut self, invocation: InvocationId) {
        if let Some((_, fate)) = self.invocations.get_mut(&invocation) {
            *fate = Fate::Over;
        }
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// Two revisions of each function, numbered apart.
pub(super) fn revision_of(function: FunctionId, which: u64) -> RevisionId {
    RevisionId(function.0 * 1_000 + which)
}
