//! Whose start is next on a machine that is too small, against rules that are too simple to be wrong: lists, walked from end
//! to end.
//!
//! Functions of different sizes, one invocation for each environment, nothing idle: each event must have the same answer, to
//! the action and its order, at every moment of the turns that the large and the small take. Eviction, pressure and
//! provisioned concurrency are left to the worlds of `sim`.

use super::*;
use crate::limits::PASSING_TURN;
use crate::sim::random::Random;

const BUDGET_MB: u64 = 1_024;
const FUNCTIONS: u64 = 6;

#[derive(Clone, Copy, PartialEq)]
enum Does {
    Starts,
    Runs(u64),
    Leaves,
}

struct Environment {
    number: u64,
    function: u64,
    does: Does,
}

#[derive(Default)]
struct Naive {
    sizes: Vec<u32>,
    /// (invocation, function), the oldest first.
    waiting: Vec<(u64, u64)>,
    environments: Vec<Environment>,
    made: u64,
    /// Functions that want starts, whose turn it is first.
    circle: Vec<u64>,
    /// Who is first and too large, and since when.
    blocked: Option<(u64, Time)>,
}

impl Naive {
    fn size(&self, function: u64) -> u64 {
        u64::from(self.sizes[usize::try_from(function).unwrap()])
    }

    fn used(&self, which: impl Fn(&Environment) -> bool) -> u64 {
        self.environments.iter().filter(|one| which(one)).map(|one| self.size(one.function)).sum()
    }

    fn lacks_starts(&self, function: u64) -> usize {
        let waiting = self.waiting.iter().filter(|(_, of)| *of == function).count();
        let starts = |one: &&Environment| one.function == function && one.does == Does::Starts;
        waiting.saturating_sub(self.environments.iter().filter(starts).count())
    }

    fn review_circle(&mut self) {
        let wants: Vec<u64> = (0..FUNCTIONS).filter(|function| self.lacks_starts(*function) > 0).collect();
        self.circle.retain(|function| wants.contains(function));
        self.circle.extend(
            wants.iter().filter(|function| !self.circle.contains(function)).copied().collect::<Vec<_>>(),
        );
    }

    fn begin(&mut self, now: Time) -> Vec<Action> {
        let mut said = Vec::new();
        let first = loop {
            self.review_circle();
            match self.next(now) {
                Ok(function) => said.push(self.start(function)),
                Err(first) => break first,
            }
        };
        if self.blocked.is_some_and(|(function, _)| first != Some(function)) {
            self.blocked = None;
        }
        said
    }

    /// Who starts now or, if nobody does, who is the first in line.
    fn next(&mut self, now: Time) -> Result<u64, Option<u64>> {
        let (mut first, mut below) = (None, u64::MAX);
        for function in self.circle.clone() {
            if self.size(function) >= below {
                continue;
            }
            let wanted = self.used(|_| true) + self.size(function);
            if wanted <= BUDGET_MB {
                return Ok(function);
            }
            let is_coming = wanted - BUDGET_MB <= self.used(|one| one.does == Does::Leaves);
            if is_coming {
                return Err(first.or(Some(function)));
            }
            if first.is_none() {
                let since = self.blocked.filter(|(of, _)| *of == function).map_or(now, |(_, since)| since);
                self.blocked = Some((function, since));
                if (now.since(since).as_nanos() / PASSING_TURN.as_nanos()) % 2 == 1 {
                    return Err(Some(function));
                }
            }
            first = first.or(Some(function));
            below = self.size(function);
        }
        Err(first)
    }

    fn start(&mut self, function: u64) -> Action {
        let number = self.made;
        self.made += 1;
        self.environments.push(Environment { number, function, does: Does::Starts });
        self.circle.retain(|one| *one != function);
        if self.lacks_starts(function) > 0 {
            self.circle.push(function);
        }
        if self.blocked.is_some_and(|(of, _)| of == function) {
            self.blocked = None;
        }
        Action::Start {
            environment: e(number),
            function: FunctionId(function),
            revision: RevisionId(function),
            memory_mb: u32::try_from(self.size(function)).unwrap(),
            initialization: Initialization::OnDemand,
        }
    }

    fn any(&self, random: &mut Random, fits: impl Fn(Does) -> bool) -> Option<usize> {
        let some: Vec<usize> =
            (0..self.environments.len()).filter(|at| fits(self.environments[*at].does)).collect();
        some.get(usize::try_from(random.below(some.len() as u64)).unwrap()).copied()
    }

    /// What happens to both, and what this one says to it but for the starts.
    fn happening(&mut self, random: &mut Random, offered: &mut u64) -> Option<(Event, Vec<Action>)> {
        match random.below(10) {
            0..4 => {
                let function = random.below(FUNCTIONS);
                *offered += 1;
                self.waiting.push((*offered, function));
                let event = Event::Offer {
                    invocation: i(*offered),
                    function: FunctionId(function),
                    revision: RevisionId(function),
                    memory_mb: u32::try_from(self.size(function)).unwrap(),
                    source: Source::Synchronous,
                    provisioned: None,
                };
                Some((event, Vec::new()))
            }
            4..6 => {
                let at = self.any(random, |does| does == Does::Starts)?;
                let (number, function) = (self.environments[at].number, self.environments[at].function);
                let waiter = self.waiting.iter().position(|(_, of)| *of == function)?;
                let (invocation, _) = self.waiting.remove(waiter);
                self.environments[at].does = Does::Runs(invocation);
                Some((Event::Ready { environment: e(number) }, vec![assign(invocation, number)]))
            }
            6..8 => {
                let at = self.any(random, |does| matches!(does, Does::Runs(_)))?;
                let Does::Runs(invocation) = self.environments[at].does else { return None };
                self.environments[at].does = Does::Leaves;
                let number = self.environments[at].number;
                Some((released(number, invocation, false), vec![destroy(number, Why::Spent)]))
            }
            _ => {
                let at = self.any(random, |does| does == Does::Leaves)?;
                Some((Event::Destroyed { environment: e(self.environments.remove(at).number) }, Vec::new()))
            }
        }
    }
}

#[test]
fn every_start_is_that_of_rules_too_simple_to_be_wrong() {
    let (mut starts, mut passed, mut held) = (0, 0, 0);
    for seed in 0..80 {
        let (mut random, mut offered) = (Random::new(seed), 0);
        let mut desk = Desk::new(|limits| {
            (limits.memory_capacity_mb, limits.memory_overcommit) = (BUDGET_MB, 1);
            (limits.starts_max, limits.wait_max) = (1_000, Duration::from_secs(1_000_000));
        });
        let sizes = (0..FUNCTIONS).map(|_| 128 * u32::try_from(1 + random.below(8)).unwrap()).collect();
        let mut naive = Naive { sizes, ..Naive::default() };
        for step in 0..200 {
            let (said, expected) = if random.percent(20) {
                let pause = Duration::from_millis(random.below(4_000));
                let said = desk.wait(pause);
                (said, naive.begin(desk.now))
            } else {
                let Some((event, mut expected)) = naive.happening(&mut random, &mut offered) else {
                    continue;
                };
                expected.extend(naive.begin(desk.now));
                (desk.tell(event), expected)
            };
            assert_eq!(said, expected, "seed {seed}, step {step}");
            let begun = expected.iter().filter(|one| matches!(one, Action::Start { .. })).count();
            starts += begun;
            passed += if naive.blocked.is_some() { begun } else { 0 };
            held += usize::from(desk.scheduler.holds());
        }
    }
    assert!(starts > 1_000 && passed > 50 && held > 200, "{starts} starts, {passed} passed by, {held} held");
}
