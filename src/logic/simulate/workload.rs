//! A workload as data: functions, what they are called with and how often, for how long.
//!
//! It plays its part of a simulation (`Outside`): hands out offers in order of time. Traces come in through an iterator,
//! because reading files is not this room's business.

use super::arrivals::{Arrivals, Pattern};
use super::course::{Happening, Offer, Outside, StartTimes};
use super::random::{Random, Stream};
use super::spread::Spread;
use crate::limits::{MEMORY_MIN_MB, TIMEOUT_MAX};
use crate::scheduler::{Event, ProvisionedPart, Source};
use crate::{FunctionId, ProvisionedId, RevisionId, Time};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Functions of a workload.
pub const FUNCTIONS_MAX: usize = 1_000_000;

/// One function.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// For people.
    pub name: String,
    /// Of its environments, MB.
    pub memory_mb: u32,
    /// Reserved concurrency.
    pub reserved: Option<u32>,
    /// Provisioned concurrency; 0 for none.
    pub provisioned: u32,
    /// How long its idle environments are kept, if not as long as others.
    pub idle_timeout: Option<Duration>,
    /// An invocation takes no longer.
    pub timeout: Duration,
    /// Who waits for its answers.
    pub source: Source,
    /// When it is called; a trace may call it besides.
    pub arrivals: Option<Pattern>,
    /// How long an invocation takes.
    pub duration: Spread,
    /// How long initialisation takes.
    pub init: Spread,
    /// How long making the sandbox takes, before that.
    pub launch: Spread,
}

impl Default for Function {
    fn default() -> Self {
        Self {
            name: "function".to_owned(),
            memory_mb: MEMORY_MIN_MB,
            reserved: None,
            provisioned: 0,
            idle_timeout: None,
            timeout: TIMEOUT_MAX,
            source: Source::Synchronous,
            arrivals: None,
            duration: Spread::Constant(Duration::ZERO),
            init: Spread::Constant(Duration::ZERO),
            launch: Spread::Constant(Duration::ZERO),
        }
    }
}

/// One line of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// When, since the beginning. Never before the one above it.
    pub at: Time,
    /// Which function, by its place in the workload.
    pub function: usize,
    /// How long it takes, if that is known.
    pub duration: Option<Duration>,
}

/// Functions and the time for which they are called.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Everything random follows from it.
    pub seed: u64,
    /// Nothing arrives later.
    pub length: Duration,
    /// Who is called.
    pub functions: Vec<Function>,
}

impl Workload {
    /// What the scheduler is told before the first call.
    #[must_use]
    pub fn settings(&self) -> Vec<Event> {
        let mut settings = Vec::new();
        for (at, function) in self.functions.iter().enumerate() {
            let (id, revision) = (FunctionId(at as u64), RevisionId(at as u64));
            if function.reserved.is_some() || function.idle_timeout.is_some() {
                let (reserved, idle_timeout) = (function.reserved, function.idle_timeout);
                settings.push(Event::Function { function: id, reserved, idle_timeout });
            }
            if function.provisioned > 0 {
                let (memory_mb, wanted) = (function.memory_mb, function.provisioned);
                let parts = vec![ProvisionedPart { revision, memory_mb, wanted }];
                settings.push(Event::Provision {
                    provisioned: ProvisionedId(at as u64),
                    function: id,
                    parts,
                });
            }
        }
        settings
    }
}

/// A function with its chances.
#[derive(Debug)]
struct Caller {
    arrivals: Option<Arrivals>,
    durations: Random,
    starts: Random,
}

/// A workload on its way through a simulation.
pub struct Calls<'a, E> {
    workload: &'a Workload,
    end: Time,
    callers: Vec<Caller>,
    /// The next arrival of each function.
    next: BinaryHeap<Reverse<(Time, usize)>>,
    trace: Box<dyn Iterator<Item = Result<Call, E>> + 'a>,
    traced: Option<Call>,
    is_begun: bool,
}

impl<'a, E> Calls<'a, E> {
    /// From the beginning, together with a trace.
    pub fn new(workload: &'a Workload, trace: Box<dyn Iterator<Item = Result<Call, E>> + 'a>) -> Self {
        let end = Time::ZERO.after(workload.length);
        let mut next = BinaryHeap::new();
        let mut callers = Vec::with_capacity(workload.functions.len());
        for (at, function) in workload.functions.iter().enumerate() {
            let random = |stream| Random::new(workload.seed, stream, at as u64);
            let mut arrivals =
                function.arrivals.clone().map(|pattern| Arrivals::new(pattern, random(Stream::Arrivals)));
            if let Some(first) = arrivals.as_mut().and_then(Iterator::next).filter(|first| *first < end) {
                next.push(Reverse((first, at)));
            }
            let (durations, starts) = (random(Stream::Durations), random(Stream::Starts));
            callers.push(Caller { arrivals, durations, starts });
        }
        Self { workload, end, callers, next, trace, traced: None, is_begun: false }
    }

    /// The next line of the trace, if it is the next of all.
    fn pop_trace(&mut self) -> Result<Option<Call>, E> {
        if !self.is_begun {
            self.is_begun = true;
            self.traced = self.trace.next().transpose()?;
        }
        let first = self.next.peek().map(|Reverse((at, _))| *at);
        let Some(call) = self.traced.filter(|call| first.is_none_or(|first| call.at <= first)) else {
            return Ok(None);
        };
        self.traced = self.trace.next().transpose()?;
        Ok(Some(call))
    }

    fn pop_arrival(&mut self) -> Option<Call> {
        let Reverse((at, function)) = self.next.pop()?;
        let end = self.end;
        let following = self.callers[function].arrivals.as_mut().and_then(Iterator::next);
        if let Some(following) = following.filter(|following| *following < end) {
            self.next.push(Reverse((following, function)));
        }
        Some(Call { at, function, duration: None })
    }
}

impl<E> Outside for Calls<'_, E> {
    type Error = E;

    fn next(&mut self) -> Result<Option<(Time, Happening)>, E> {
        let Some(call) = self.pop_trace()?.or_else(|| self.pop_arrival()) else { return Ok(None) };
        if call.at >= self.end {
            return Ok(None);
        }
        let function = &self.workload.functions[call.function];
        let durations = &mut self.callers[call.function].durations;
        let duration = call.duration.unwrap_or_else(|| function.duration.draw(durations));
        let id = call.function as u64;
        let offer = Offer {
            function: FunctionId(id),
            revision: RevisionId(id),
            memory_mb: function.memory_mb,
            source: function.source,
            provisioned: (function.provisioned > 0).then_some(ProvisionedId(id)),
            duration: duration.min(function.timeout),
        };
        Ok(Some((call.at, Happening::Offer(offer))))
    }

    fn start_times(&mut self, revision: RevisionId) -> StartTimes {
        let at = usize::try_from(revision.0).unwrap_or(usize::MAX);
        let (Some(function), Some(caller)) = (self.workload.functions.get(at), self.callers.get_mut(at))
        else {
            return StartTimes::default();
        };
        let launch = function.launch.draw(&mut caller.starts);
        StartTimes { launch, init: function.init.draw(&mut caller.starts) }
    }
}
