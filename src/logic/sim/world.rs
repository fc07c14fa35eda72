//! The world: arrivals, sandboxes that start, run, fail and die, settings that change, queues that are full.
//!
//! It plays the driver's part of the conversation in `exchange`, with everything that may go wrong in a real one: late
//! news, news of what is gone, deaths at any moment.

use super::ledger::{Fate, Ledger, revision_of};
use super::random::Random;
use crate::laws::{broken_law, checks_itself};
use crate::scheduler::{Action, Event, ProvisionedPart, Scheduler, Source};
use crate::{
    EnvironmentId, FunctionId, InvocationId, Machine, ProvisionedId, RevisionId, Scaling, SchedulerLimits,
    Time,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Revisions that a function goes through in turn.
const REVISIONS: u64 = 3;
/// The least that one may wait for room; at most two seconds are added.
const WAIT_LEAST: Duration = Duration::from_millis(100);
/// No course of events is longer: a world that does not come to rest is a bug.
const STEPS_MAX: u32 = 200_000;

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The course is a function of this number.
    pub seed: u64,
    /// Invocations that arrive, settings that change and accidents, together; what follows from them comes on top.
    pub happenings: u32,
    /// Functions.
    pub functions: u64,
    /// Limits at the beginning.
    pub limits: SchedulerLimits,
    /// Of 100 steps of a sandbox's life, how many go wrong.
    pub trouble_percent: u64,
}

impl Plan {
    /// A narrow world, in which every limit is met and everything goes wrong now and then.
    #[must_use]
    pub fn narrow(seed: u64, happenings: u32) -> Self {
        let mut random = Random::new(seed);
        Self {
            seed,
            happenings,
            functions: 1 + random.below(4),
            limits: limits(&mut random),
            trouble_percent: 10,
        }
    }
}

fn limits(random: &mut Random) -> SchedulerLimits {
    let below = |random: &mut Random, n: u64| u32::try_from(random.below(n)).unwrap_or_default();
    SchedulerLimits {
        account_concurrency: below(random, 24),
        memory_capacity_mb: random.below(600),
        memory_overcommit: 1 + below(random, 4),
        environments_max: 1 + below(random, 16),
        starts_max: 1 + below(random, 4),
        waiters_max: below(random, 12),
        wait_max: WAIT_LEAST + Duration::from_millis(random.below(2_000)),
        idle_timeout: Duration::from_millis(random.below(3_000)),
        scaling: match random.below(3) {
            0 => Scaling::Unlimited,
            1 => Scaling::PerFunction { burst: below(random, 8), per_minute: below(random, 300) },
            _ => Scaling::Classic { burst: below(random, 12), per_minute: below(random, 600) },
        },
        requests_per_concurrency: below(random, 4),
        requests_per_environment: below(random, 4),
        start_reserve_mb: random.below(100),
        freeze_after: random.percent(70).then(|| Duration::from_millis(random.below(500))),
        recycle_after: random.percent(50).then(|| Duration::from_millis(500 + random.below(5_000))),
    }
}

fn memory_of(revision: RevisionId) -> u32 {
    128 * (1 + u32::try_from(revision.0 % 4).unwrap_or_default())
}

/// What happened in a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Invocations offered.
    pub offered: u64,
    /// Assignments, repeated ones included.
    pub assigned: u64,
    /// Refusals.
    pub refused: u64,
    /// Failures of this machine.
    pub failed: u64,
    /// Of the assignments, those to environments that were kept ready.
    pub kept: u64,
    /// Environments frozen.
    pub frozen: u64,
    /// Environments started.
    pub started: u64,
    /// Assignments after a longer wait than any limit allows one who waits for room.
    pub patient: u64,
    /// Steps of the scheduler.
    pub steps: u32,
}

/// A law was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}, step {step}: {law}")]
pub struct Violation {
    /// Of the plan.
    pub seed: u64,
    /// Steps until then.
    pub step: u32,
    /// Which one.
    pub law: String,
}

/// A scheduler, its surroundings and their future.
#[derive(Debug)]
pub struct World {
    plan: Plan,
    scheduler: Scheduler,
    random: Random,
    now: Time,
    future: BTreeMap<(Time, u64), Event>,
    ledger: Ledger,
    next: u64,
    invocations: u64,
    steps: u32,
}

impl World {
    /// A world before anything has happened.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self {
            scheduler: Scheduler::new(plan.limits.clone()),
            random: Random::new(plan.seed),
            now: Time::ZERO,
            future: BTreeMap::new(),
            ledger: Ledger::default(),
            next: 0,
            invocations: 0,
            steps: 0,
            plan,
        }
    }

    /// Lets the world run its course and come to rest.
    ///
    /// # Errors
    /// The first broken law.
    pub fn run(mut self) -> Result<Tally, Violation> {
        for _ in 0..self.plan.happenings {
            // Now and then the clock jumps: the machine was asleep.
            let most = if self.random.percent(1) { 20_000_000 } else { 40_000 };
            let pause = Duration::from_micros(self.random.below(most));
            self.pass(self.now.after(pause))?;
            let event = self.happening();
            self.tell(event)?;
        }
        let end = if self.random.percent(50) { Event::Drain } else { Event::Stop };
        self.tell(end)?;
        self.pass(Time::from_nanos(u64::MAX))?;
        self.judge_rest()?;
        Ok(Tally {
            offered: self.invocations,
            assigned: self.ledger.assigned,
            refused: self.ledger.refused,
            failed: self.ledger.failed,
            kept: self.ledger.kept,
            frozen: self.ledger.frozen,
            patient: self.ledger.patient,
            started: self.ledger.last_environment.map_or(0, |last| last.0 + 1),
            steps: self.steps,
        })
    }

    /// Lets everything happen that is due until then, in order.
    fn pass(&mut self, until: Time) -> Result<(), Violation> {
        loop {
            let event = self.future.first_key_value().map(|((at, _), _)| *at);
            let due = event.into_iter().chain(self.scheduler.wake_at()).min();
            let Some(due) = due.filter(|due| *due <= until) else { break };
            self.now = self.now.max(due);
            if event == Some(due) {
                if let Some((_, event)) = self.future.pop_first() {
                    self.tell(event)?;
                }
            } else {
                self.elapse()?;
            }
        }
        if until < Time::from_nanos(u64::MAX) {
            self.now = self.now.max(until);
        }
        Ok(())
    }

    fn elapse(&mut self) -> Result<(), Violation> {
        let mut todo = Vec::new();
        self.scheduler.elapse(self.now, &mut todo);
        if self.scheduler.wake_at().is_some_and(|at| at <= self.now) {
            return self.broken("after elapse, wake_at is not in the future".to_owned());
        }
        self.count_step()?;
        self.perform(todo)
    }

    fn tell(&mut self, event: Event) -> Result<(), Violation> {
        self.ledger.hear(&event);
        let mut todo = Vec::new();
        self.scheduler.step(self.now, event, &mut todo);
        self.count_step()?;
        self.perform(todo)
    }

    /// Performs all actions in order, then tells of those that could not be handed over, as the drive loop does.
    fn perform(&mut self, todo: Vec<Action>) -> Result<(), Violation> {
        let mut refused = Vec::new();
        for action in todo {
            if let Err(law) = self.ledger.obey(&action) {
                return self.broken(law);
            }
            if self.random.percent(self.plan.trouble_percent / 4) {
                if let Action::Destroy { environment, .. } = action {
                    self.ledger.pardon(environment);
                }
                if action == Action::Drained {
                    self.ledger.drained -= 1;
                }
                refused.push(action);
            } else {
                self.follow(action);
            }
        }
        for action in refused {
            self.tell(Event::Refused { action })?;
        }
        Ok(())
    }

    /// What comes of an action, sooner or later.
    fn follow(&mut self, action: Action) {
        let trouble = self.random.percent(self.plan.trouble_percent);
        match action {
            Action::Start { environment, .. } => {
                let made = self.after_micros(5_000);
                let up = made.after(Duration::from_micros(self.random.below(300_000)));
                if trouble && self.random.percent(25) {
                    let end = if self.random.percent(50) {
                        Event::Ready { environment }
                    } else {
                        Event::Died { environment }
                    };
                    self.at(made, Event::Launched { environment });
                    let late = self.much_later();
                    self.at(made.max(late), end);
                } else if trouble && self.random.percent(30) {
                    self.at(made, Event::StartUnneeded { environment });
                } else if trouble && self.random.percent(50) {
                    self.at(
                        made,
                        Event::StartFailed { environment, detail: "no more loop devices".to_owned() },
                    );
                } else if trouble {
                    self.at(up, Event::Died { environment });
                } else {
                    self.at(made, Event::Launched { environment });
                    self.at(up, Event::Ready { environment });
                }
            }
            Action::Assign { invocation, environment, .. } => {
                // Now and then the answer is lost, or the function hangs.
                let hangs = trouble && self.random.percent(20);
                let done = if hangs { self.much_later() } else { self.after_micros(200_000) };
                let event = match self.random.below(3) {
                    0 if trouble => Event::Died { environment },
                    1 if trouble => Event::GivenBack { environment, invocation },
                    _ => Event::Released { environment, invocation, reuse: !trouble },
                };
                self.at(done, event);
            }
            Action::Destroy { environment, .. } => {
                let gone = self.after_micros(50_000);
                self.at(gone, Event::Destroyed { environment });
            }
            Action::Refuse { .. } | Action::Fail { .. } | Action::Freeze { .. } | Action::Drained => {}
        }
    }

    /// Something new under the sun.
    fn happening(&mut self) -> Event {
        let function = FunctionId(self.random.below(self.plan.functions));
        let revision = revision_of(function, self.random.below(REVISIONS));
        match self.random.below(100) {
            0..70 => self.offer(function),
            70..75 => Event::Retire { revision },
            75..80 => {
                let environment = EnvironmentId(self.random.below(1 + self.ledger.sandboxes.len() as u64));
                Event::Died { environment: self.any_environment().unwrap_or(environment) }
            }
            80..85 => Event::Cancel { invocation: InvocationId(self.random.below(1 + self.invocations)) },
            85..90 => {
                let reserved =
                    self.random.percent(50).then(|| u32::try_from(self.random.below(6)).unwrap_or(0));
                let idle_timeout =
                    self.random.percent(30).then(|| Duration::from_millis(self.random.below(500)));
                Event::Function { function, reserved, idle_timeout }
            }
            90..92 => Event::FunctionGone { function },
            92..94 => Event::Configure { limits: limits(&mut self.random) },
            94..97 => self.provision(function),
            97..99 if self.random.percent(60) => {
                Event::Pressure { measured_mb: self.random.below(700), stalled: self.random.percent(10) }
            }
            97..99 => Event::Ready { environment: EnvironmentId(self.random.below(1_000_000)) },
            _ => {
                let invocation = InvocationId(self.random.below(1 + self.invocations));
                Event::Released { environment: EnvironmentId(u64::MAX), invocation, reuse: true }
            }
        }
    }

    fn offer(&mut self, function: FunctionId) -> Event {
        let invocation = InvocationId(self.invocations);
        self.invocations += 1;
        let revision = revision_of(function, self.random.below(REVISIONS));
        self.ledger.offered(invocation, revision);
        let memory_mb = memory_of(revision);
        let source =
            [Source::Synchronous, Source::Asynchronous, Source::Polled][self.random.below(3) as usize];
        let provisioned = self.random.percent(40).then(|| self.provisioned_of(function));
        Event::Offer { invocation, function, revision, memory_mb, source, provisioned }
    }

    /// Each function has two qualifiers that may have provisioned concurrency.
    fn provisioned_of(&mut self, function: FunctionId) -> ProvisionedId {
        ProvisionedId(function.0 * 2 + self.random.below(2))
    }

    fn provision(&mut self, function: FunctionId) -> Event {
        let provisioned = self.provisioned_of(function);
        let parts = (0..self.random.below(3)).map(|_| {
            let revision = revision_of(function, self.random.below(REVISIONS));
            let wanted = u32::try_from(self.random.below(4)).unwrap_or(0);
            ProvisionedPart { revision, memory_mb: memory_of(revision), wanted }
        });
        Event::Provision { provisioned, function, parts: parts.collect() }
    }

    fn any_environment(&mut self) -> Option<EnvironmentId> {
        let at = usize::try_from(self.random.below(self.ledger.sandboxes.len() as u64)).unwrap_or(0);
        self.ledger.sandboxes.keys().nth(at).copied()
    }

    fn after_micros(&mut self, bound: u64) -> Time {
        self.now.after(Duration::from_micros(1 + self.random.below(bound)))
    }

    /// Later than anybody waits for room.
    fn much_later(&mut self) -> Time {
        self.now.after(Duration::from_millis(1_000 + self.random.below(19_000)))
    }

    fn at(&mut self, time: Time, event: Event) {
        self.next += 1;
        self.future.insert((time, self.next), event);
    }

    fn count_step(&mut self) -> Result<(), Violation> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return self.broken("the world does not come to rest".to_owned());
        }
        if checks_itself(&self.scheduler) {
            return Ok(());
        }
        match broken_law(&self.scheduler) {
            Some(law) => self.broken(law),
            None => Ok(()),
        }
    }

    fn judge_rest(&self) -> Result<(), Violation> {
        let census = self.scheduler.census();
        let running = self.scheduler.admission().running();
        let stuck = self.ledger.invocations.iter().find(|(_, (_, fate))| *fate != Fate::Over);
        if let Some((invocation, (_, fate))) = stuck {
            return self.broken(format!("invocation {invocation} never ends: {fate:?}"));
        }
        if census.environments > 0 || running > 0 || census.committed_mb > 0 {
            return self.broken(format!("something is left: {census:?}, {running} permits out"));
        }
        if self.ledger.drained != 1 {
            return self.broken(format!("drained is said {} times", self.ledger.drained));
        }
        Ok(())
    }

    fn broken<T>(&self, law: String) -> Result<T, Violation> {
        Err(Violation { seed: self.plan.seed, step: self.steps, law })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds() -> u64 {
        std::env::var("HEARTH_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(200)
    }

    #[test]
    fn no_law_breaks_in_any_narrow_world() {
        let mut total = Tally::default();
        for seed in 0..seeds() {
            // The last one printed is the one that panicked.
            println!("seed {seed}");
            match World::new(Plan::narrow(seed, 300)).run() {
                Ok(tally) => {
                    total.assigned += tally.assigned;
                    total.refused += tally.refused;
                    total.failed += tally.failed;
                    total.started += tally.started;
                    total.kept += tally.kept;
                    total.frozen += tally.frozen;
                    total.patient += tally.patient;
                }
                Err(violation) => panic!("{violation}"),
            }
        }
        // A world in which nothing happens proves nothing.
        assert!(
            [
                total.assigned,
                total.refused,
                total.failed,
                total.started,
                total.kept,
                total.frozen,
                total.patient
            ]
            .iter()
            .all(|n| *n > 0),
            "{total:?}"
        );
        println!("{} seeds: {total:?}", seeds());
    }

    #[test]
    fn a_seed_has_one_course() {
        let run = || World::new(Plan::narrow(7, 300)).run().unwrap();
        assert_eq!(run(), run());
    }

    #[test]
    fn a_wide_world_without_trouble_runs_everything_once() {
        let plan = Plan {
            limits: SchedulerLimits { wait_max: Duration::from_secs(3_600), ..SchedulerLimits::default() },
            trouble_percent: 0,
            ..Plan::narrow(3, 0)
        };
        let mut world = World::new(plan);
        for _ in 0..500 {
            let event = world.offer(FunctionId(0));
            world.tell(event).unwrap();
        }
        world.tell(Event::Drain).unwrap();
        world.pass(Time::from_nanos(u64::MAX)).unwrap();
        world.judge_rest().unwrap();
        assert_eq!((world.ledger.assigned, world.ledger.refused, world.ledger.failed), (500, 0, 0));
    }
}
