//! Yesterday's traffic under other limits: the calls of a recording, with what was measured of them then.
//!
//! What comes from outside is taken as it was: each call at its moment, settings of functions, provisioned concurrency,
//! revisions that are replaced. What environments do is simulated anew, because other decisions start other environments:
//! a call runs for as long as it ran then; one that did not run then takes a duration that was measured of its revision
//! (of all, if there is none); an environment takes what one of its revision took. Accidents do not happen again: deaths,
//! failed starts, cancelled calls, pressure. Nor does a drain: all calls are run to their end.

use super::course::{Happening, Offer, Outside, StartTimes};
use super::random::{Random, Stream};
use super::recent::Recent;
use super::replay::Replay;
use super::spread::{Reservoir, Spread};
use crate::recording::{Input, Record};
use crate::scheduler::{Action, Event, ProvisionedPart};
use crate::{EnvironmentId, FunctionId, InvocationId, RevisionId, SchedulerLimits, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A call that never ran.
const UNKNOWN: u32 = u32::MAX;
/// Revisions whose durations are kept apart; those of further ones go with all others.
const REVISIONS_MAX: usize = 10_000;

/// What was measured of one revision.
#[derive(Clone, Debug)]
struct Measures {
    durations: Reservoir,
    launches: Reservoir,
    inits: Reservoir,
}

impl Measures {
    fn new(seed: u64, revision: u64) -> Self {
        let reservoir = |stream| Reservoir::new(Random::new(seed, stream, revision));
        Self {
            durations: reservoir(Stream::Durations),
            launches: reservoir(Stream::Population),
            inits: reservoir(Stream::Starts),
        }
    }
}

/// An environment on its way.
#[derive(Clone, Copy, Debug)]
struct Rising {
    revision: RevisionId,
    started: Time,
    launched: Option<Time>,
}

/// Measures a recording while it is replayed: the first of two passes. Four bytes per call are kept.
#[derive(Debug)]
pub struct Measuring {
    replay: Replay,
    seed: u64,
    offers: BTreeMap<InvocationId, (usize, RevisionId)>,
    /// Places of those that may come again.
    recent: Recent<usize>,
    running: BTreeMap<InvocationId, Time>,
    rising: BTreeMap<EnvironmentId, Rising>,
    durations_us: Vec<u32>,
    by_revision: BTreeMap<RevisionId, Measures>,
    all: Measures,
}

impl Measuring {
    /// Before the first record.
    #[must_use]
    pub fn new(limits: SchedulerLimits, seed: u64) -> Self {
        Self {
            replay: Replay::new(limits),
            seed,
            offers: BTreeMap::new(),
            recent: Recent::default(),
            running: BTreeMap::new(),
            rising: BTreeMap::new(),
            durations_us: Vec::new(),
            by_revision: BTreeMap::new(),
            all: Measures::new(seed, u64::MAX),
        }
    }

    /// Takes the next record.
    pub fn feed(&mut self, record: Record) {
        let at = match &record {
            Record::Input { at, .. } | Record::End { at, .. } => *at,
        };
        if let Record::Input { input: Input::Step(event), .. } = &record {
            self.hear(at, event);
        }
        for action in self.replay.feed(record) {
            match action {
                Action::Assign { invocation, .. } => {
                    self.running.insert(*invocation, at);
                }
                Action::Start { environment, revision, .. } => {
                    self.rising
                        .insert(*environment, Rising { revision: *revision, started: at, launched: None });
                }
                Action::Refuse { invocation, .. } | Action::Fail { invocation, .. } => {
                    self.running.remove(invocation);
                    self.offers.remove(invocation);
                }
                Action::Destroy { .. } | Action::Freeze { .. } | Action::Drained => {}
            }
        }
    }

    fn hear(&mut self, at: Time, event: &Event) {
        match event {
            Event::Offer { invocation, revision, .. } => {
                let place = self.recent.take(*invocation).unwrap_or_else(|| {
                    self.durations_us.push(UNKNOWN);
                    let place = self.durations_us.len() - 1;
                    self.recent.keep(at, *invocation, place);
                    place
                });
                self.offers.insert(*invocation, (place, *revision));
            }
            Event::Released { invocation, .. } => self.over(at, *invocation),
            Event::Launched { environment } => {
                if let Some(rising) = self.rising.get_mut(environment) {
                    rising.launched = Some(at);
                }
            }
            Event::Ready { environment } => {
                if let Some(rising) = self.rising.remove(environment) {
                    self.up(at, rising);
                }
            }
            Event::StartFailed { environment, .. }
            | Event::StartUnneeded { environment }
            | Event::Died { environment }
            | Event::Destroyed { environment } => {
                self.rising.remove(environment);
            }
            Event::GivenBack { invocation, .. } => {
                self.running.remove(invocation);
            }
            Event::Cancel { invocation } => {
                self.offers.remove(invocation);
            }
            _ => {}
        }
    }

    fn over(&mut self, at: Time, invocation: InvocationId) {
        let (Some((place, revision)), Some(began)) =
            (self.offers.remove(&invocation), self.running.remove(&invocation))
        else {
            return;
        };
        let took = at.since(began);
        if let Some(duration) = self.durations_us.get_mut(place) {
            *duration = u32::try_from(took.as_micros()).unwrap_or(UNKNOWN - 1).min(UNKNOWN - 1);
        }
        self.measures(revision).durations.add(took);
        self.all.durations.add(took);
    }

    fn up(&mut self, at: Time, rising: Rising) {
        let launched = rising.launched.unwrap_or(at);
        let (launch, init) = (launched.since(rising.started), at.since(launched));
        let own = self.measures(rising.revision);
        own.launches.add(launch);
        own.inits.add(init);
        self.all.launches.add(launch);
        self.all.inits.add(init);
    }

    fn measures(&mut self, revision: RevisionId) -> &mut Measures {
        let key = if self.by_revision.len() < REVISIONS_MAX || self.by_revision.contains_key(&revision) {
            revision
        } else {
            RevisionId(u64::MAX)
        };
        self.by_revision.entry(key).or_insert_with(|| Measures::new(self.seed, key.0))
    }

    /// What was measured, and the replay that it was measured on.
    #[must_use]
    pub fn done(self) -> (Measured, Replay) {
        let spreads = |measures: &Measures| Spreads {
            duration: measures.durations.spread(),
            launch: measures.launches.spread(),
            init: measures.inits.spread(),
        };
        let measured = Measured {
            seed: self.seed,
            durations_us: self.durations_us,
            by_revision: self.by_revision.iter().map(|(id, measures)| (*id, spreads(measures))).collect(),
            all: spreads(&self.all),
        };
        (measured, self.replay)
    }
}

#[derive(Clone, Debug, Default)]
struct Spreads {
    duration: Option<Spread>,
    launch: Option<Spread>,
    init: Option<Spread>,
}

/// What was measured of a recording.
#[derive(Clone, Debug)]
pub struct Measured {
    seed: u64,
    /// Of each call in turn, microseconds.
    durations_us: Vec<u32>,
    by_revision: BTreeMap<RevisionId, Spreads>,
    all: Spreads,
}

/// What is to be other than it was.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Reserved concurrency of every function.
    pub reserved: Option<u32>,
    /// Provisioned concurrency of every configuration that was recorded; 0 removes it.
    pub provisioned: Option<u32>,
}

/// The calls of a recording: the second pass.
pub struct Traffic<'a, I> {
    measured: &'a Measured,
    changes: &'a Changes,
    limits: &'a dyn Fn(SchedulerLimits) -> SchedulerLimits,
    records: I,
    begin: Option<Time>,
    calls: usize,
    /// Those that may come again: here they come once.
    recent: Recent<()>,
    durations: Random,
    starts: Random,
    /// Told before the next call.
    reserved: BTreeSet<FunctionId>,
    held: Option<(Time, Happening)>,
}

impl<'a, I> Traffic<'a, I> {
    /// From the first record on. `limits` says what becomes of limits that were set while it was recorded.
    pub fn new(
        measured: &'a Measured,
        changes: &'a Changes,
        limits: &'a dyn Fn(SchedulerLimits) -> SchedulerLimits,
        records: I,
    ) -> Self {
        Self {
            measured,
            changes,
            limits,
            records,
            begin: None,
            calls: 0,
            recent: Recent::default(),
            durations: Random::new(measured.seed, Stream::Durations, 0),
            starts: Random::new(measured.seed, Stream::Starts, 0),
            reserved: BTreeSet::new(),
            held: None,
        }
    }

    fn spread(&self, revision: RevisionId, of: fn(&Spreads) -> &Option<Spread>) -> Option<&'a Spread> {
        let own = self.measured.by_revision.get(&revision).and_then(|spreads| of(spreads).as_ref());
        own.or(of(&self.measured.all).as_ref())
    }

    fn duration(&mut self, revision: RevisionId) -> Duration {
        let own = self.measured.durations_us.get(self.calls).copied().unwrap_or(UNKNOWN);
        self.calls += 1;
        // Drawn for every call, so that one call more or less does not change the luck of those behind it.
        let spread = self.spread(revision, |spreads| &spreads.duration);
        let drawn = spread.map(|spread| spread.draw(&mut self.durations)).unwrap_or_default();
        if own == UNKNOWN { drawn } else { Duration::from_micros(u64::from(own)) }
    }

    /// What a recorded event becomes here.
    fn happening(&mut self, at: Time, event: Event) -> Option<Happening> {
        Some(match event {
            Event::Offer { invocation, function, revision, memory_mb, source, provisioned } => {
                if self.recent.take(invocation).is_some() {
                    return None;
                }
                self.recent.keep(at, invocation, ());
                let duration = self.duration(revision);
                Happening::Offer(Offer { function, revision, memory_mb, source, provisioned, duration })
            }
            Event::Function { function, reserved, idle_timeout } => {
                let reserved = self.changes.reserved.or(reserved);
                self.reserved.insert(function);
                Happening::Tell(Event::Function { function, reserved, idle_timeout })
            }
            Event::Provision { provisioned, function, mut parts } => {
                if let Some(wanted) = self.changes.provisioned {
                    share(&mut parts, wanted);
                }
                Happening::Tell(Event::Provision { provisioned, function, parts })
            }
            Event::Configure { limits } => {
                Happening::Tell(Event::Configure { limits: (self.limits)(limits) })
            }
            Event::Retire { .. } => Happening::Tell(event),
            Event::FunctionGone { function } => {
                self.reserved.remove(&function);
                Happening::Tell(event)
            }
            _ => return None,
        })
    }
}

/// Sets the sum of the parts, in proportion; all of it goes when there are none.
fn share(parts: &mut Vec<ProvisionedPart>, wanted: u32) {
    let total: u64 = parts.iter().map(|part| u64::from(part.wanted)).sum();
    let (mut left, mut of) = (u64::from(wanted), total);
    for part in parts.iter_mut() {
        let before = u64::from(part.wanted);
        let after = if of == 0 { 0 } else { (left * before).div_ceil(of) };
        part.wanted = u32::try_from(after).unwrap_or(u32::MAX);
        (left, of) = (left - after.min(left), of - before);
    }
    parts.retain(|part| part.wanted > 0);
}

impl<E, I: Iterator<Item = Result<Record, E>>> Outside for Traffic<'_, I> {
    type Error = E;

    fn next(&mut self) -> Result<Option<(Time, Happening)>, E> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        loop {
            let Some(record) = self.records.next().transpose()? else { return Ok(None) };
            let Record::Input { at, input: Input::Step(event), .. } = record else { continue };
            let begin = *self.begin.get_or_insert(at);
            let at = Time::ZERO.after(at.since(begin));
            let Some(happening) = self.happening(at, event) else { continue };
            // A function without settings of its own is told of the changed reservation before its first call.
            if let (Happening::Offer(Offer { function, .. }), Some(_)) = (&happening, self.changes.reserved)
                && self.reserved.insert(*function)
            {
                let (function, reserved) = (*function, self.changes.reserved);
                self.held = Some((at, happening));
                let setting = Event::Function { function, reserved, idle_timeout: None };
                return Ok(Some((at, Happening::Tell(setting))));
            }
            return Ok(Some((at, happening)));
        }
    }

    fn start_times(&mut self, revision: RevisionId) -> StartTimes {
        let launch = self.spread(revision, |spreads| &spreads.launch);
        let launch = launch.map(|spread| spread.draw(&mut self.starts)).unwrap_or_default();
        let init = self.spread(revision, |spreads| &spreads.init);
        StartTimes { launch, init: init.map(|spread| spread.draw(&mut self.starts)).unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::course::Course;
    use super::super::figures::Figures;
    use super::*;
    use crate::recording::digest;
    use crate::scheduler::{Scheduler, Source};
    use crate::{Machine, ProvisionedId};
    use std::convert::Infallible;

    const F: FunctionId = FunctionId(1);
    const R: RevisionId = RevisionId(1);

    fn offer(n: u64) -> Event {
        Event::Offer {
            invocation: InvocationId(n),
            function: F,
            revision: R,
            memory_mb: 128,
            source: Source::Synchronous,
            provisioned: None,
        }
    }

    /// One environment runs two calls of 300 ms; a third, in between, is refused. It took 50 ms and 70 ms to come up.
    fn life() -> Vec<Record> {
        let (environment, reuse) = (EnvironmentId(0), true);
        let released = |n| Event::Released { environment, invocation: InvocationId(n), reuse };
        let events = [
            (0, Event::Function { function: F, reserved: Some(1), idle_timeout: None }),
            (1_000, offer(0)),
            (1_050, Event::Launched { environment }),
            (1_120, Event::Ready { environment }),
            (1_300, offer(1)),
            (1_420, released(0)),
            (2_000, offer(2)),
            (2_300, released(2)),
        ];
        recorded(events)
    }

    fn recorded(events: impl IntoIterator<Item = (u64, Event)>) -> Vec<Record> {
        let mut scheduler = Scheduler::new(SchedulerLimits::default());
        let record = |(ms, event): (u64, Event)| {
            let at = Time::ZERO.after(Duration::from_millis(5_000 + ms));
            let mut todo = Vec::new();
            scheduler.step(at, event.clone(), &mut todo);
            Record::Input { at, input: Input::Step(event), digest: digest(&todo, &mut Vec::new()) }
        };
        events.into_iter().map(record).collect()
    }

    fn measured() -> Measured {
        let mut measuring = Measuring::new(SchedulerLimits::default(), 1);
        for record in life() {
            measuring.feed(record);
        }
        let (measured, replay) = measuring.done();
        assert_eq!(replay.divergence(), None);
        measured
    }

    fn under(changes: &Changes, limits: &dyn Fn(SchedulerLimits) -> SchedulerLimits) -> Figures {
        let measured = measured();
        let records = life().into_iter().map(Ok::<_, Infallible>);
        let mut traffic = Traffic::new(&measured, changes, limits, records);
        let course = Course::new(limits(SchedulerLimits::default()));
        match course.run(Vec::new(), &mut traffic, &mut |_| {}) {
            Ok(figures) => figures,
            Err(never) => match never {},
        }
    }

    #[test]
    fn calls_run_for_as_long_as_they_ran_and_environments_take_what_they_took() {
        let measured = measured();
        assert_eq!(measured.durations_us, [300_000, UNKNOWN, 300_000]);
        let only = |ms| Some(Spread::Measured(vec![Duration::from_millis(ms)]));
        assert_eq!(measured.by_revision[&R].launch, only(50));
        assert_eq!(measured.by_revision[&R].init, only(70));
    }

    #[test]
    fn under_the_same_limits_the_same_happens() {
        let figures = under(&Changes::default(), &|limits| limits);
        assert_eq!((figures.invocations, figures.completed, figures.throttled()), (3, 2, 1));
        assert_eq!((figures.cold_starts, figures.warm_starts), (1, 1));
        assert_eq!(figures.responses.max(), Duration::from_millis(420));
    }

    #[test]
    fn a_call_that_was_held_back_and_offered_again_is_one_call() {
        let (environment, reuse) = (EnvironmentId(0), true);
        let released = |n| Event::Released { environment, invocation: InvocationId(n), reuse };
        let events = [
            (0, Event::Function { function: F, reserved: Some(1), idle_timeout: None }),
            (1_000, offer(0)),
            (1_100, Event::Ready { environment }),
            (1_200, offer(1)),
            (1_400, released(0)),
            (1_400, offer(1)),
            (1_900, released(1)),
            (2_000, offer(2)),
            (2_100, released(2)),
        ];
        let records = recorded(events);
        let mut measuring = Measuring::new(SchedulerLimits::default(), 1);
        records.iter().for_each(|record| measuring.feed(record.clone()));
        let (measured, replay) = measuring.done();
        assert_eq!(measured.durations_us, [300_000, 500_000, 100_000]);
        let figures = replay.figures();
        assert_eq!((figures.invocations, figures.completed, figures.throttled()), (3, 3, 0));
        let (changes, same) = (Changes::default(), |limits| limits);
        let records = records.into_iter().map(Ok::<_, Infallible>);
        let mut traffic = Traffic::new(&measured, &changes, &same, records);
        let mut durations = Vec::new();
        while let Ok(Some((_, happening))) = traffic.next() {
            if let Happening::Offer(offer) = happening {
                durations.push(offer.duration.as_millis());
            }
        }
        assert_eq!(durations, [300, 500, 100]);
    }

    #[test]
    fn under_others_another_thing_happens() {
        let wider = under(&Changes { reserved: Some(2), ..Changes::default() }, &|limits| limits);
        assert_eq!((wider.completed, wider.throttled(), wider.environments_started), (3, 0, 2));
        // The one that was refused takes a duration that was measured; it waits for the first environment that is free.
        assert_eq!(wider.responses.mean(), Duration::from_millis((420 + 420 + 300) / 3));
        let none = |limits| SchedulerLimits { account_concurrency: 0, ..limits };
        assert_eq!(under(&Changes::default(), &none).throttled(), 3);
    }

    #[test]
    fn provisioned_concurrency_is_shared_out_in_proportion() {
        let part =
            |revision, wanted| ProvisionedPart { revision: RevisionId(revision), memory_mb: 128, wanted };
        let shares = |mut parts: Vec<ProvisionedPart>, wanted| {
            share(&mut parts, wanted);
            parts.iter().map(|part| part.wanted).collect::<Vec<_>>()
        };
        assert_eq!(shares(vec![part(1, 9), part(2, 1)], 20), [18, 2]);
        assert_eq!(shares(vec![part(1, 2), part(2, 1)], 10), [7, 3]);
        assert!(shares(vec![part(1, 2)], 0).is_empty());
        let none = vec![];
        let event = Event::Provision { provisioned: ProvisionedId(1), function: F, parts: none };
        let measured = measured();
        let (changes, same) = (Changes { provisioned: Some(5), ..Changes::default() }, |limits| limits);
        let mut traffic =
            Traffic::new(&measured, &changes, &same, std::iter::empty::<Result<Record, Infallible>>());
        // What was removed stays removed.
        assert_eq!(traffic.happening(Time::ZERO, event.clone()), Some(Happening::Tell(event)));
    }
}
