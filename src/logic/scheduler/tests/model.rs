//! The scheduler against one that is too simple to be wrong: lists, walked from end to end.
//!
//! On a machine with room for everything each event must have the same answer, to the action and its order. Who starts when
//! there is not room for all is `model_room`; what rates, provisioned concurrency and time do is left to the other tests and to
//! the worlds of `sim`.

use super::*;
use crate::sim::random::Random;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    Starts,
    /// Nothing, since that moment.
    Idles(u64),
    Runs(u64),
    Leaves,
}

struct Environment {
    number: u64,
    revision: RevisionId,
    does: Does,
}

/// An admitted invocation; `runs` false while it waits. The oldest comes first.
struct Call {
    number: u64,
    function: FunctionId,
    revision: RevisionId,
    runs: bool,
}

#[derive(Default)]
struct Naive {
    account: u64,
    reserved: Vec<(FunctionId, u64)>,
    calls: Vec<Call>,
    environments: Vec<Environment>,
    made: u64,
    moment: u64,
}

impl Naive {
    fn reserved_of(&self, function: FunctionId) -> Option<u64> {
        self.reserved.iter().find(|(one, _)| *one == function).map(|(_, reserved)| *reserved)
    }

    fn in_flight(&self, of: impl Fn(FunctionId) -> bool) -> u64 {
        self.calls.iter().filter(|call| of(call.function)).count() as u64
    }

    fn refusal(&self, function: FunctionId) -> Option<Reason> {
        let all: u64 = self.reserved.iter().map(|(_, reserved)| reserved).sum();
        match self.reserved_of(function) {
            Some(reserved) if self.in_flight(|one| one == function) >= reserved => {
                Some(Reason::ReservedFunctionConcurrentInvocationLimitExceeded)
            }
            None if self.in_flight(|one| self.reserved_of(one).is_none())
                >= self.account.saturating_sub(all) =>
            {
                Some(Reason::ConcurrentInvocationLimitExceeded)
            }
            _ if self.in_flight(|_| true) >= self.account => Some(Reason::ConcurrentInvocationLimitExceeded),
            _ => None,
        }
    }

    fn offer(&mut self, number: u64, function: FunctionId, revision: RevisionId) -> Vec<Action> {
        if let Some(reason) = self.refusal(function) {
            return vec![refuse(number, reason)];
        }
        self.calls.push(Call { number, function, revision, runs: false });
        let mut idle: Vec<(u64, u64)> = Vec::new();
        for one in self.environments.iter().filter(|one| one.revision == revision) {
            if let Does::Idles(since) = one.does {
                idle.push((since, one.number));
            }
        }
        match idle.iter().max() {
            Some((_, environment)) => self.take_work(*environment),
            None => self.start(function, revision),
        }
    }

    /// One more for each waiter without one on its way.
    fn start(&mut self, function: FunctionId, revision: RevisionId) -> Vec<Action> {
        let starts = |one: &&Environment| one.revision == revision && one.does == Does::Starts;
        let starting = self.environments.iter().filter(starts).count();
        let waiting = self.calls.iter().filter(|call| call.revision == revision && !call.runs).count();
        if waiting <= starting {
            return Vec::new();
        }
        let number = self.made;
        self.made += 1;
        self.environments.push(Environment { number, revision, does: Does::Starts });
        vec![Action::Start {
            environment: e(number),
            function,
            revision,
            memory_mb: 128,
            initialization: Initialization::OnDemand,
        }]
    }

    fn find(&mut self, number: u64) -> Option<&mut Environment> {
        self.environments.iter_mut().find(|one| one.number == number)
    }

    /// The oldest waiter, or nothing from now on.
    fn take_work(&mut self, number: u64) -> Vec<Action> {
        self.moment += 1;
        let (moment, revision) = (self.moment, self.find(number).map(|one| one.revision));
        let waiter = self.calls.iter_mut().find(|call| Some(call.revision) == revision && !call.runs);
        let does = waiter.map_or(Does::Idles(moment), |call| {
            call.runs = true;
            Does::Runs(call.number)
        });
        if let Some(environment) = self.find(number) {
            environment.does = does;
        }
        match does {
            Does::Runs(invocation) => vec![assign(invocation, number)],
            _ => Vec::new(),
        }
    }

    fn died(&mut self, number: u64) -> Vec<Action> {
        let Some(environment) = self.find(number) else { return Vec::new() };
        let mut said = Vec::new();
        if let Does::Runs(invocation) = std::mem::replace(&mut environment.does, Does::Leaves) {
            self.calls.retain(|call| call.number != invocation);
            said.push(fail(invocation, Detail::Died));
        }
        said.push(destroy(number, Why::Died));
        said
    }
}

/// Both, and what happens to both.
struct Pair {
    desk: Desk,
    naive: Naive,
    random: Random,
    offered: u64,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let account = 1 + random.below(12);
        let desk = Desk::new(|limits| {
            limits.account_concurrency = u32::try_from(account).unwrap();
            limits.starts_max = 1_000;
        });
        Self { desk, naive: Naive { account, ..Naive::default() }, random, offered: 0 }
    }

    fn any(&mut self, fits: impl Fn(&Environment) -> bool) -> Option<(u64, Does)> {
        let some: Vec<_> = self
            .naive
            .environments
            .iter()
            .filter(|one| fits(one))
            .map(|one| (one.number, one.does))
            .collect();
        let at = usize::try_from(self.random.below(some.len() as u64)).unwrap();
        some.get(at).copied()
    }

    /// One event, with what the simple one says to it.
    fn happening(&mut self) -> Option<(Event, Vec<Action>)> {
        let function = FunctionId(self.random.below(3));
        match self.random.below(100) {
            0..45 => {
                let revision = RevisionId(function.0 * 10 + self.random.below(2));
                self.offered += 1;
                let event = Event::Offer {
                    invocation: i(self.offered),
                    function,
                    revision,
                    memory_mb: 128,
                    source: Source::Synchronous,
                    provisioned: None,
                };
                Some((event, self.naive.offer(self.offered, function, revision)))
            }
            45..60 => {
                let (number, _) = self.any(|one| one.does == Does::Starts)?;
                Some((Event::Ready { environment: e(number) }, self.naive.take_work(number)))
            }
            60..85 => {
                let (number, does) = self.any(|one| matches!(one.does, Does::Runs(_)))?;
                let Does::Runs(invocation) = does else { return None };
                self.naive.calls.retain(|call| call.number != invocation);
                Some((released(number, invocation, true), self.naive.take_work(number)))
            }
            85..89 => {
                let (number, _) = self.any(|one| matches!(one.does, Does::Runs(_) | Does::Idles(_)))?;
                Some((Event::Died { environment: e(number) }, self.naive.died(number)))
            }
            89..92 => {
                let (number, _) = self.any(|one| one.does == Does::Leaves)?;
                self.naive.environments.retain(|one| one.number != number);
                Some((Event::Destroyed { environment: e(number) }, Vec::new()))
            }
            92..95 => {
                let waiting: Vec<u64> =
                    self.naive.calls.iter().filter(|call| !call.runs).map(|call| call.number).collect();
                let at = usize::try_from(self.random.below(waiting.len() as u64)).unwrap();
                let number = *waiting.get(at)?;
                self.naive.calls.retain(|call| call.number != number);
                Some((Event::Cancel { invocation: i(number) }, Vec::new()))
            }
            _ => {
                let reserved = self.random.percent(60).then(|| self.random.below(4));
                self.naive.reserved.retain(|(one, _)| *one != function);
                self.naive.reserved.extend(reserved.map(|reserved| (function, reserved)));
                let reserved = reserved.map(|reserved| u32::try_from(reserved).unwrap());
                Some((Event::Function { function, reserved, idle_timeout: None }, Vec::new()))
            }
        }
    }
}

#[test]
fn every_answer_is_that_of_a_scheduler_too_simple_to_be_wrong() {
    let (mut starts, mut refusals) = (0, 0);
    for seed in 0..300 {
        let mut pair = Pair::new(seed);
        for step in 0..300 {
            let Some((event, expected)) = pair.happening() else { continue };
            let shown = format!("seed {seed}, step {step}: {event:?}");
            assert_eq!(pair.desk.tell(event), expected, "{shown}");
            starts += expected.iter().filter(|one| matches!(one, Action::Start { .. })).count();
            refusals += expected.iter().filter(|one| matches!(one, Action::Refuse { .. })).count();
        }
    }
    assert!(starts > 1_000 && refusals > 1_000, "{starts} starts, {refusals} refusals");
}
