//! The loop of a simulation: the next thing that happens, what the scheduler says to it, what comes of that.
//!
//! It plays the driver and the environments: they start and run for as long as they are told to, and nothing fails. What
//! happens at one moment happens in this order: news of environments, the scheduler's own deadlines, what comes from
//! outside. Memory is bounded by what is in flight, whatever the length of the course.

use super::figures::Figures;
use super::tally::Tally;
use crate::scheduler::{Action, Event, Scheduler, Source};
use crate::{
    EnvironmentId, FunctionId, InvocationId, Machine, ProvisionedId, RevisionId, SchedulerLimits, Time,
};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

/// How long the load waits for provisioned concurrency to be ready, in virtual time.
pub const PREPARATION_MAX: Duration = Duration::from_secs(15 * 60);
/// Steps between two reports of progress.
const STEPS_PER_REPORT: u64 = 1 << 16;

/// An invocation that comes, and what will be found out about it when it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Whose concurrency it uses.
    pub function: FunctionId,
    /// Which environments may run it.
    pub revision: RevisionId,
    /// Their memory, MB.
    pub memory_mb: u32,
    /// Who waits.
    pub source: Source,
    /// The provisioned concurrency that it came by.
    pub provisioned: Option<ProvisionedId>,
    /// How long it will run.
    pub duration: Duration,
}

/// What comes from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A call.
    Offer(Offer),
    /// A change of settings.
    Tell(Event),
}

/// How long an environment takes to come up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartTimes {
    /// Until its sandbox is made.
    pub launch: Duration,
    /// From then until it takes invocations.
    pub init: Duration,
}

/// What the scheduler does not decide: who calls when, and how long things take.
pub trait Outside {
    /// Why it cannot go on.
    type Error;
    /// What comes next, never earlier than what came before; `None` at the end.
    ///
    /// # Errors
    /// Its source cannot be read any further.
    fn next(&mut self) -> Result<Option<(Time, Happening)>, Self::Error>;
    /// How long the next environment of a revision takes.
    fn start_times(&mut self, revision: RevisionId) -> StartTimes;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum News {
    Launched(EnvironmentId),
    Ready(EnvironmentId),
    Released(EnvironmentId, InvocationId),
    Destroyed(EnvironmentId),
}

impl News {
    const fn event(self) -> Event {
        match self {
            Self::Launched(environment) => Event::Launched { environment },
            Self::Ready(environment) => Event::Ready { environment },
            Self::Released(environment, invocation) => {
                Event::Released { environment, invocation, reuse: true }
            }
            Self::Destroyed(environment) => Event::Destroyed { environment },
        }
    }
}

/// A scheduler with a course of events around it.
#[derive(Debug)]
pub struct Course {
    scheduler: Scheduler,
    now: Time,
    /// Added to what comes from outside: the load begins when what was provisioned is ready.
    begin: Time,
    future: BinaryHeap<Reverse<(Time, u64, News)>>,
    durations: BTreeMap<InvocationId, Duration>,
    /// What was asked for before the load, until it is ready.
    provisioned: Vec<(ProvisionedId, u32)>,
    offered: u64,
    told: u64,
    steps: u64,
    todo: Vec<Action>,
    tally: Tally,
}

impl Course {
    /// A scheduler of which nothing is known yet.
    #[must_use]
    pub fn new(limits: SchedulerLimits) -> Self {
        Self {
            scheduler: Scheduler::new(limits),
            now: Time::ZERO,
            begin: Time::ZERO,
            future: BinaryHeap::new(),
            durations: BTreeMap::new(),
            provisioned: Vec::new(),
            offered: 0,
            told: 0,
            steps: 0,
            todo: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Tells the settings, lets provisioned concurrency come up, and then runs everything that `outside` brings until
    /// the last invocation is over. `progress` is told now and then how far the load has come.
    ///
    /// # Errors
    /// That of `outside`.
    pub fn run<O: Outside>(
        mut self,
        settings: Vec<Event>,
        outside: &mut O,
        progress: &mut dyn FnMut(Duration),
    ) -> Result<Figures, O::Error> {
        for event in settings {
            if let Event::Provision { provisioned, parts, .. } = &event {
                self.provisioned.push((*provisioned, parts.iter().map(|part| part.wanted).sum()));
            }
            self.step(event, outside);
        }
        self.prepare(outside);
        let mut pending = outside.next()?;
        let mut reported = 0;
        loop {
            let comes = pending.as_ref().map(|(at, _)| self.begin.after(at.since(Time::ZERO)));
            if self.pass(comes, outside) {
                continue;
            }
            let Some((_, happening)) = pending.take() else { break };
            self.now = self.now.max(comes.unwrap_or_default());
            match happening {
                Happening::Offer(offer) => self.offer(&offer, outside),
                Happening::Tell(event) => self.step(event, outside),
            }
            pending = outside.next()?;
            if self.steps >= reported + STEPS_PER_REPORT {
                reported = self.steps;
                progress(self.now.since(self.begin));
            }
        }
        Ok(self.tally.figures(self.begin, self.now, self.steps))
    }

    /// Waits, in virtual time, until what was provisioned has come up.
    fn prepare<O: Outside>(&mut self, outside: &mut O) {
        let latest = Time::ZERO.after(PREPARATION_MAX);
        let mut awaited = std::mem::take(&mut self.provisioned);
        while let Some((id, wanted)) = awaited.last() {
            let is_ready = self.scheduler.provisioned(*id).is_none_or(|state| state.allocated >= *wanted);
            if is_ready {
                awaited.pop();
            } else if !self.pass(Some(latest), outside) {
                break;
            }
        }
        self.begin = self.now;
        self.tally.begin(self.now);
    }

    /// Lets the next thing happen that needs nobody from outside, if it is not later than `until`. Without a bound it
    /// goes on for as long as an invocation is in flight: what is idle then is of no interest.
    fn pass<O: Outside>(&mut self, until: Option<Time>, outside: &mut O) -> bool {
        if until.is_none() && self.tally.in_flight() == 0 {
            return false;
        }
        let news = self.future.peek().map(|Reverse((at, _, _))| *at);
        let wake = self.scheduler.wake_at();
        let Some(due) = news.into_iter().chain(wake).min() else { return false };
        if until.is_some_and(|until| due > until) {
            return false;
        }
        self.now = self.now.max(due);
        if news == Some(due) {
            if let Some(Reverse((_, _, news))) = self.future.pop() {
                if let News::Released(_, invocation) = news {
                    self.tally.released(self.now, invocation);
                }
                self.step(news.event(), outside);
            }
        } else {
            self.scheduler.elapse(self.now, &mut self.todo);
            self.settle(None, outside);
        }
        true
    }

    fn offer<O: Outside>(&mut self, offer: &Offer, outside: &mut O) {
        let invocation = InvocationId(self.offered);
        self.offered += 1;
        self.durations.insert(invocation, offer.duration);
        self.tally.offered(self.now, invocation, offer.function);
        let Offer { function, revision, memory_mb, source, provisioned, .. } = *offer;
        self.scheduler.step(
            self.now,
            Event::Offer { invocation, function, revision, memory_mb, source, provisioned },
            &mut self.todo,
        );
        self.settle(Some(function), outside);
    }

    fn step<O: Outside>(&mut self, event: Event, outside: &mut O) {
        self.scheduler.step(self.now, event, &mut self.todo);
        self.settle(None, outside);
    }

    /// Performs what was asked for: everything comes of it that is to come.
    fn settle<O: Outside>(&mut self, offered: Option<FunctionId>, outside: &mut O) {
        self.steps += 1;
        let mut todo = std::mem::take(&mut self.todo);
        for action in todo.drain(..) {
            self.tally.acted(&action);
            match action {
                Action::Assign { invocation, environment, .. } => {
                    let duration = self.durations.remove(&invocation).unwrap_or_default();
                    self.expect(duration, News::Released(environment, invocation));
                }
                Action::Start { environment, revision, .. } => {
                    let StartTimes { launch, init } = outside.start_times(revision);
                    self.expect(launch, News::Launched(environment));
                    self.expect(launch.saturating_add(init), News::Ready(environment));
                }
                Action::Destroy { environment, .. } => {
                    self.expect(Duration::ZERO, News::Destroyed(environment));
                }
                Action::Refuse { invocation, .. } | Action::Fail { invocation, .. } => {
                    self.durations.remove(&invocation);
                }
                Action::Freeze { .. } | Action::Drained => {}
            }
        }
        self.todo = todo;
        self.tally.look(self.now, &self.scheduler, offered);
    }

    fn expect(&mut self, after: Duration, news: News) {
        self.told += 1;
        self.future.push(Reverse((self.now.after(after), self.told, news)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::arrivals::Pattern;
    use super::super::spread::Spread;
    use super::super::workload::{Call, Calls, Function, Workload};
    use super::*;
    use std::convert::Infallible;

    const MS: Duration = Duration::from_millis(1);

    fn wide() -> SchedulerLimits {
        SchedulerLimits {
            memory_capacity_mb: u64::MAX,
            environments_max: u32::MAX,
            starts_max: u32::MAX,
            ..SchedulerLimits::default()
        }
    }

    fn workload(functions: Vec<Function>) -> Workload {
        Workload { seed: 1, length: Duration::from_secs(10), functions }
    }

    fn run(limits: SchedulerLimits, workload: &Workload, trace: Vec<Call>) -> Figures {
        let trace = trace.into_iter().map(Ok::<_, Infallible>);
        let mut calls = Calls::new(workload, Box::new(trace));
        match Course::new(limits).run(workload.settings(), &mut calls, &mut |_| {}) {
            Ok(figures) => figures,
            Err(never) => match never {},
        }
    }

    fn constant(rate: f64, duration: Duration, init: Duration) -> Function {
        Function {
            arrivals: Some(Pattern::Constant { rate, offset: Duration::ZERO }),
            duration: Spread::Constant(duration),
            init: Spread::Constant(init),
            ..Function::default()
        }
    }

    #[test]
    fn concurrency_is_rate_times_duration() {
        for (ms, environments) in [(500, 50), (1_000, 100), (200, 20)] {
            let load = workload(vec![constant(100.0, ms * MS, Duration::ZERO)]);
            let figures = run(wide(), &load, vec![]);
            assert_eq!((figures.invocations, figures.completed), (1_000, 1_000));
            assert_eq!(figures.cold_starts, environments, "{ms} ms");
            assert_eq!(figures.peaks.environments, environments);
            assert_eq!(u64::from(figures.peaks.concurrency), environments);
            assert!(figures.throttles.is_empty());
        }
    }

    #[test]
    fn short_calls_need_more_environments_than_run_at_once_in_the_profile_aws() {
        let load = workload(vec![constant(200.0, 50 * MS, Duration::ZERO)]);
        let limits =
            SchedulerLimits { memory_capacity_mb: u64::MAX, ..SchedulerLimits::of(crate::Profile::Aws) };
        let figures = run(limits, &load, vec![]);
        assert_eq!(
            (figures.peaks.concurrency, figures.peaks.environments, figures.cold_starts),
            (10, 20, 20)
        );
    }

    #[test]
    fn a_reservation_throttles_what_is_beyond_it() {
        let function = Function { reserved: Some(40), ..constant(100.0, 500 * MS, Duration::ZERO) };
        let figures = run(wide(), &workload(vec![function]), vec![]);
        assert_eq!((figures.peaks.concurrency, figures.peaks.environments), (40, 40));
        // Of each half second's 50 calls 40 find a place.
        assert_eq!(figures.throttled(), 200);
        assert_eq!(figures.throttles["ReservedFunctionConcurrentInvocationLimitExceeded"], 200);
        assert_eq!(figures.completed, 800);
    }

    #[test]
    fn provisioned_concurrency_is_ready_before_the_load_comes_and_the_rest_spills_over() {
        let function = Function { provisioned: 30, ..constant(100.0, 500 * MS, 2_000 * MS) };
        let figures = run(wide(), &workload(vec![function]), vec![]);
        assert_eq!((figures.invocations, figures.completed), (1_000, 1_000));
        assert!(figures.provisioned_starts >= 500, "{}", figures.provisioned_starts);
        assert!(figures.spilled_over > 0 && figures.cold_starts > 0);
        // Those that came first found an environment that was up.
        assert_eq!(figures.responses.permille(500).as_millis(), 500);
        let enough = Function { provisioned: 60, ..constant(100.0, 500 * MS, 2_000 * MS) };
        let figures = run(wide(), &workload(vec![enough]), vec![]);
        assert_eq!((figures.provisioned_starts, figures.cold_starts, figures.spilled_over), (1_000, 0, 0));
        assert_eq!((figures.responses.max(), figures.environments_started), (500 * MS, 60));
    }

    #[test]
    fn who_waits_for_an_initialisation_takes_what_comes_first() {
        let figures = run(wide(), &workload(vec![constant(100.0, 500 * MS, 200 * MS)]), vec![]);
        assert_eq!(figures.responses.max(), 700 * MS);
        assert_eq!(figures.responses.permille(900).as_millis(), 500);
        assert!((50..=70).contains(&figures.environments_started), "{}", figures.environments_started);
        assert_eq!(figures.completed, 1_000);
    }

    #[test]
    fn a_trace_names_moments_functions_and_durations() {
        let idle_timeout = Some(Duration::from_secs(1));
        let function = Function { idle_timeout, init: Spread::Constant(100 * MS), ..Function::default() };
        let load = workload(vec![function.clone(), function]);
        let call = |ms, function| Call { at: Time::ZERO.after(ms * MS), function, duration: Some(300 * MS) };
        // Warm after a second's pause, cold after a longer one; the other function has its own environments.
        let trace = vec![call(0, 0), call(1_300, 0), call(1_350, 1), call(2_900, 0), call(70_000, 0)];
        let figures = run(wide(), &load, trace);
        assert_eq!((figures.invocations, figures.cold_starts, figures.warm_starts), (4, 3, 1));
        assert_eq!(figures.functions[&FunctionId(0)].cold_starts, 2);
        assert_eq!(figures.destroyed["idle-timeout"], 2);
    }

    #[test]
    fn a_seed_has_one_course_and_another_seed_another() {
        let result = |seed| {
            let function = Function {
                arrivals: Some(Pattern::Poisson { rate: 80.0 }),
                duration: Spread::lognormal(100 * MS, 900 * MS),
                init: Spread::Exponential { mean: 200 * MS },
                reserved: Some(12),
                ..Function::default()
            };
            let load = Workload { seed, ..workload(vec![function]) };
            serde_json::to_string(&run(wide(), &load, vec![])).unwrap()
        };
        assert_eq!(result(7), result(7));
        assert_ne!(result(7), result(8));
    }

    #[test]
    fn other_limits_meet_the_same_load() {
        let load = |reserved| {
            workload(vec![Function {
                arrivals: Some(Pattern::Poisson { rate: 50.0 }),
                duration: Spread::Exponential { mean: 100 * MS },
                reserved,
                ..Function::default()
            }])
        };
        let (free, bound) = (run(wide(), &load(None), vec![]), run(wide(), &load(Some(4)), vec![]));
        assert_eq!(free.invocations, bound.invocations);
        assert!(bound.throttled() > 0 && free.throttled() == 0);
    }
}
