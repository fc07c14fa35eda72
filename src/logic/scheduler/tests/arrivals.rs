//! Lambda's own worked examples of scaling: arrivals at a constant rate, in the profile `aws`.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// What came of a stream of equal invocations.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) environments: usize,
    pub(super) concurrency: u32,
    pub(super) cold: usize,
    pub(super) throttled: BTreeMap<Reason, u32>,
}

/// A stream of equal invocations of one function.
#[derive(Clone, Copy)]
pub(super) struct Stream {
    pub(super) per_second: u64,
    pub(super) seconds: u64,
    pub(super) duration: Duration,
    pub(super) init: Duration,
}

pub(super) fn run(limits: SchedulerLimits, stream: Stream) -> Outcome {
    let mut scheduler = Scheduler::new(limits);
    let mut outcome = Outcome::default();
    let mut future: BTreeMap<(Time, u64), Event> = BTreeMap::new();
    let mut cold = BTreeSet::new();
    let total = stream.per_second * stream.seconds;
    for n in 0..total {
        future.insert((Time::from_nanos(n * 1_000_000_000 / stream.per_second), total + n), offer(n, R));
    }
    let mut next = 0;
    while let Some(((now, _), event)) = future.pop_first() {
        // A deadline between two events must not be missed, as the drive loop would not.
        while let Some(at) = scheduler.wake_at().filter(|at| *at < now) {
            let mut todo = Vec::new();
            scheduler.elapse(at, &mut todo);
            assert!(todo.iter().all(|action| matches!(action, Action::Freeze { .. })), "{todo:?}");
        }
        let mut todo = Vec::new();
        scheduler.step(now, event, &mut todo);
        for action in todo {
            next += 1;
            match action {
                Action::Start { environment, .. } => {
                    outcome.environments += 1;
                    future.insert((now.after(stream.init), next), Event::Ready { environment });
                }
                Action::Assign { invocation, environment, decision } => {
                    if decision.start == StartType::Cold {
                        cold.insert(environment);
                    }
                    let done = Event::Released { environment, invocation, reuse: true };
                    future.insert((now.after(stream.duration), next), done);
                }
                Action::Refuse { reason, .. } => *outcome.throttled.entry(reason).or_default() += 1,
                Action::Freeze { .. } => {}
                Action::Fail { .. } | Action::Destroy { .. } | Action::Drained => panic!("{action:?}"),
            }
        }
        outcome.concurrency = outcome.concurrency.max(scheduler.admission().running());
    }
    outcome.cold = cold.len();
    outcome
}

#[test]
fn a_constant_rate_needs_the_environments_that_lambda_says() {
    // Requests per second, duration in ms → concurrency, environments (Lambda's guide, "concurrency and requests per second").
    let table = [(100, 500, 50, 50), (100, 1_000, 100, 100), (100, 200, 20, 20), (200, 50, 10, 20)];
    for (per_second, duration, concurrency, environments) in table {
        let duration = Duration::from_millis(duration);
        let stream = Stream { per_second, seconds: 30, duration, init: Duration::ZERO };
        let outcome = run(SchedulerLimits::of(Profile::Aws), stream);
        let expected = Outcome { environments, concurrency, cold: environments, throttled: BTreeMap::new() };
        assert_eq!(outcome, expected, "{per_second} requests/s of {duration:?}");
    }
}

#[test]
fn without_artificial_rates_concurrency_is_all_that_counts() {
    let stream =
        Stream { per_second: 200, seconds: 30, duration: Duration::from_millis(50), init: Duration::ZERO };
    assert_eq!(run(SchedulerLimits::default(), stream).environments, 10);
}

#[test]
fn beyond_the_account_limit_invocations_are_throttled() {
    let limits = SchedulerLimits { account_concurrency: 30, ..SchedulerLimits::of(Profile::Aws) };
    let stream =
        Stream { per_second: 100, seconds: 10, duration: Duration::from_millis(500), init: Duration::ZERO };
    let outcome = run(limits, stream);
    assert_eq!((outcome.environments, outcome.concurrency), (30, 30));
    // Of each half second's fifty, thirty are taken.
    assert_eq!(outcome.throttled, BTreeMap::from([(Reason::ConcurrentInvocationLimitExceeded, 400)]));
}
