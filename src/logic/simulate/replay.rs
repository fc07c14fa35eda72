//! Runs a recording again: the same scheduler, told the same things at the same moments, must say the same.
//!
//! It compares digests of actions, record by record, and counts what happened on the way. It reads records, not files.

use super::figures::Figures;
use super::tally::Tally;
use crate::recording::{self, Ending, Input, Record};
use crate::scheduler::{Action, Event, Scheduler};
use crate::{Machine, SchedulerLimits, Time};
use std::fmt;

/// The first record whose actions are not those that were recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// Its number, from 1.
    pub record: u64,
    /// When.
    pub at: Time,
    /// What the scheduler was told; `None` if deadlines were due.
    pub event: Option<Event>,
    /// What it says now.
    pub actions: Vec<Action>,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { record, at, event, actions } = self;
        let seconds = at.since(Time::ZERO).as_secs_f64();
        match event {
            Some(event) => write!(f, "record {record}, at {seconds:.6} s, told {event:?}")?,
            None => write!(f, "record {record}, at {seconds:.6} s, deadlines due")?,
        }
        write!(f, ": this scheduler says {actions:?}, the recorded one said something else")
    }
}

/// A scheduler that lives a recorded life again.
#[derive(Debug)]
pub struct Replay {
    scheduler: Scheduler,
    tally: Tally,
    begin: Option<Time>,
    now: Time,
    records: u64,
    divergence: Option<Divergence>,
    ending: Option<Ending>,
    todo: Vec<Action>,
    scratch: Vec<u8>,
}

impl Replay {
    /// With the limits that the recording names.
    #[must_use]
    pub fn new(limits: SchedulerLimits) -> Self {
        Self {
            scheduler: Scheduler::new(limits),
            tally: Tally::default(),
            begin: None,
            now: Time::ZERO,
            records: 0,
            divergence: None,
            ending: None,
            todo: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Lives through one record; what the scheduler says to it is returned.
    pub fn feed(&mut self, record: Record) -> &[Action] {
        self.records += 1;
        self.todo.clear();
        let (at, input, recorded) = match record {
            Record::Input { at, input, digest } => (at, input, digest),
            Record::End { at, ending } => {
                (self.now, self.ending) = (at, Some(ending));
                return &self.todo;
            }
        };
        self.now = at;
        if self.begin.is_none() {
            self.begin = Some(at);
            self.tally.begin(at);
        }
        let mut told = None;
        match input {
            Input::Elapse => self.scheduler.elapse(at, &mut self.todo),
            Input::Step(event) => {
                self.note(at, &event);
                told = self.divergence.is_none().then(|| event.clone());
                self.scheduler.step(at, event, &mut self.todo);
            }
        }
        for action in &self.todo {
            self.tally.acted(action);
        }
        let offered = match &told {
            Some(Event::Offer { function, .. }) => Some(*function),
            _ => None,
        };
        self.tally.look(at, &self.scheduler, offered);
        if self.divergence.is_none() && recording::digest(&self.todo, &mut self.scratch) != recorded {
            let (record, actions) = (self.records, self.todo.clone());
            self.divergence = Some(Divergence { record, at, event: told, actions });
        }
        &self.todo
    }

    fn note(&mut self, at: Time, event: &Event) {
        match event {
            Event::Offer { invocation, function, .. } => self.tally.offered(at, *invocation, *function),
            Event::Released { invocation, .. } => self.tally.released(at, *invocation),
            Event::Cancel { invocation } => {
                self.tally.land(*invocation);
            }
            Event::StartFailed { environment, .. }
            | Event::StartUnneeded { environment }
            | Event::Died { environment }
            | Event::Destroyed { environment } => self.tally.gone(*environment),
            _ => {}
        }
    }

    /// Records lived through.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// Where decisions first differ from the recorded ones, if they do.
    #[must_use]
    pub const fn divergence(&self) -> Option<&Divergence> {
        self.divergence.as_ref()
    }

    /// How the recording ended; `None` if it was cut off.
    #[must_use]
    pub const fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// What happened.
    #[must_use]
    pub fn figures(self) -> Figures {
        self.tally.figures(self.begin.unwrap_or_default(), self.now, self.records)
    }
}
