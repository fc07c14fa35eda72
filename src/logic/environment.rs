//! One environment as the scheduler knows it: what it is for, what it runs, since when it has nothing to do.
//!
//! Its moments and its own answers; where it is listed is kept by `fleet`. It knows nothing of sandboxes.

use crate::exchange::{WaitedFor, Why};
use crate::idle::Rank;
use crate::pool::Turn;
use crate::{EnvironmentId, Few, InvocationId, ProvisionedId, RevisionId, Time};
use std::collections::VecDeque;
use std::time::Duration;

/// Within this time an environment is given no more than its pace.
const PACE_WINDOW: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Starting { launched: bool },
    Serving,
    Leaving { why: Why },
}

/// What a decision touches comes first, so that it is in few lines of the cache.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Environment {
    /// What it runs, with the moment of assignment; never more than `slots`.
    pub(crate) in_flight: Few<InvocationId, Time>,
    pub(crate) state: State,
    /// It has run nothing yet.
    pub(crate) fresh: bool,
    /// What runs in it was told to be stopped.
    pub(crate) frozen: bool,
    /// It has room and may not take more yet: it has had its share of this second.
    pub(crate) resting: bool,
    /// Its start took a token of a scaling rate.
    pub(crate) paid: bool,
    pub(crate) slots: u32,
    pub(crate) revision: RevisionId,
    /// Since which turn it has room, if it has.
    pub(crate) open: Option<Turn>,
    /// The configuration that it is kept for.
    pub(crate) provisioned: Option<ProvisionedId>,
    pub(crate) memory_mb: u64,
    /// Where it stands among those that may be evicted, if it may be.
    pub(crate) rank: Option<Rank>,
    /// Since when it has been without work; counts only while it is.
    pub(crate) idle_since: Time,
    /// Where it is listed among them: no later than where it stands.
    pub(crate) listed: Option<Rank>,
    /// When it was last given something, if there is a pace.
    pub(crate) recent: Option<Box<Recent>>,
    /// What its start went through, until that is told.
    pub(crate) beginning: Option<Box<Beginning>>,
    /// When it is next looked at for having idled; may be earlier than there is something to do.
    pub(crate) armed: Option<Time>,
    /// When its start was said, and since when it serves.
    pub(crate) began: Time,
    pub(crate) born: Time,
}

/// What the start of an environment went through.
#[derive(Debug, Default)]
pub(crate) struct Beginning {
    /// The configuration that it is kept for.
    pub(crate) provisioned: Option<ProvisionedId>,
    /// What put it off.
    pub(crate) held_up: Option<WaitedFor>,
    /// Who went for it.
    pub(crate) evicted: Vec<EnvironmentId>,
}

/// As many moments as the pace asks for. Boxed, as all that most environments do not have: at a hundred thousand, a decision
/// costs what it touches of memory that no cache holds.
#[derive(Debug, Default)]
pub(crate) struct Recent(VecDeque<Time>);

impl Environment {
    /// Reads something of each line of the cache that it lies in: they come together then, and not one after the other.
    pub(crate) fn fetch(&self) {
        std::hint::black_box((self.state, self.memory_mb, self.born));
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.state == State::Serving && self.in_flight.is_empty()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.state == State::Serving && self.in_flight.len() < self.slots()
    }

    /// How many invocations it runs at once.
    pub(crate) fn slots(&self) -> usize {
        usize::try_from(self.slots).unwrap_or(usize::MAX)
    }

    pub(crate) fn is_leaving(&self) -> bool {
        matches!(self.state, State::Leaving { .. })
    }

    pub(crate) fn is_starting(&self) -> bool {
        matches!(self.state, State::Starting { .. })
    }

    /// When it may be given something again, as far as the pace goes.
    pub(crate) fn rested_at(&self, pace: usize) -> Time {
        let recent = self.recent.as_ref().filter(|_| pace > 0).map(|recent| &recent.0);
        let oldest = recent.and_then(|recent| recent.get(recent.len().checked_sub(pace)?));
        oldest.map_or(Time::ZERO, |at| at.after(PACE_WINDOW))
    }

    pub(crate) fn note_assignment(&mut self, now: Time, pace: usize) {
        if pace == 0 {
            self.recent = None;
            return;
        }
        let recent = &mut self.recent.get_or_insert_default().0;
        recent.push_back(now);
        while recent.len() > pace {
            recent.pop_front();
        }
    }
}
