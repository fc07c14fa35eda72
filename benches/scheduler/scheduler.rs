//! What a decision costs: S1, an invocation that finds a warm environment, at few and at many functions, beside a random
//! touch of a table of the same size; S3, decisions per second of a whole course of events.
//!
//! Runs the scheduler alone, in virtual time: no daemon, no sandbox. Prints a table; judges nothing.

#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use hearth_logic::scheduler::{Action, Event, Source};
use hearth_logic::{
    EnvironmentId, FunctionId, InvocationId, Machine, Profile, RevisionId, Scheduler, SchedulerLimits, Time,
};
use std::hint::black_box;
use std::time::{Duration, Instant};

const CYCLES: u64 = 1_000_000;
const RUNS: usize = 3;

/// SplitMix64.
struct Random(u64);

impl Random {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn offer(invocation: u64, function: u64) -> Event {
    Event::Offer {
        invocation: InvocationId(invocation),
        function: FunctionId(function),
        revision: RevisionId(function),
        memory_mb: 128,
        source: Source::Synchronous,
        provisioned: None,
    }
}

fn limits(profile: Profile) -> SchedulerLimits {
    SchedulerLimits {
        memory_capacity_mb: u64::MAX,
        environments_max: u32::MAX,
        starts_max: u32::MAX,
        idle_timeout: Duration::from_secs(1 << 30),
        recycle_after: None,
        ..SchedulerLimits::of(profile)
    }
}

/// One function after the other has one idle environment.
fn warmed(functions: u64) -> Scheduler {
    let mut scheduler = Scheduler::new(limits(Profile::Box));
    let mut todo = Vec::new();
    for n in 0..functions {
        let (environment, invocation) = (EnvironmentId(n), InvocationId(n));
        scheduler.step(Time::ZERO, offer(n, n), &mut todo);
        scheduler.step(Time::ZERO, Event::Ready { environment }, &mut todo);
        scheduler.step(Time::ZERO, Event::Released { environment, invocation, reuse: true }, &mut todo);
        todo.clear();
    }
    scheduler
}

/// Nanoseconds per arrive, pick, complete.
fn cycle(functions: u64) -> f64 {
    let mut scheduler = warmed(functions);
    let mut random = Random(7);
    let mut todo = Vec::new();
    let mut now = Time::from_nanos(1);
    let begun = Instant::now();
    for n in 0..CYCLES {
        // Slow enough that nothing idles for long: what falls due is S3's.
        now = now.after(Duration::from_micros(1));
        let invocation = functions + n;
        scheduler.step(now, offer(invocation, random.next() % functions), &mut todo);
        let assigned = todo.drain(..).find_map(|action| match action {
            Action::Assign { environment, .. } => Some(environment),
            _ => None,
        });
        let Some(environment) = assigned else { continue };
        let released = Event::Released { environment, invocation: InvocationId(invocation), reuse: true };
        scheduler.step(now, released, &mut todo);
        todo.clear();
    }
    nanos_each(begun, CYCLES)
}

/// Nanoseconds per random touch of 128 bytes.
fn touch(functions: u64) -> f64 {
    let mut table = vec![[0_u64; 16]; usize::try_from(functions).unwrap_or(usize::MAX)];
    let mut random = Random(7);
    let begun = Instant::now();
    for n in 0..CYCLES {
        let at = usize::try_from(random.next() % functions).unwrap_or(0);
        table[at][at % 16] += n;
    }
    black_box(&table);
    nanos_each(begun, CYCLES)
}

/// Decisions per second of a stream of arrivals over `functions`, with starts and completions, in a heap of events.
fn course(functions: u64, profile: Profile) -> f64 {
    use std::collections::BTreeMap;
    let mut scheduler = Scheduler::new(limits(profile));
    let mut random = Random(11);
    let mut future: BTreeMap<(Time, u64), Event> = BTreeMap::new();
    let (mut todo, mut next, mut decisions) = (Vec::new(), 0, 0_u64);
    let begun = Instant::now();
    for n in 0..CYCLES / 4 {
        let arrival = Time::from_nanos(n * 500_000);
        while let Some(((at, _), event)) = future.pop_first() {
            if at > arrival {
                future.insert((at, next), event);
                next += 1;
                break;
            }
            scheduler.step(at, event, &mut todo);
            follow(at, &mut todo, &mut future, &mut next, &mut decisions);
        }
        scheduler.step(arrival, offer(n, random.next() % functions), &mut todo);
        follow(arrival, &mut todo, &mut future, &mut next, &mut decisions);
    }
    decisions as f64 / begun.elapsed().as_secs_f64()
}

fn follow(
    now: Time,
    todo: &mut Vec<Action>,
    future: &mut std::collections::BTreeMap<(Time, u64), Event>,
    next: &mut u64,
    decisions: &mut u64,
) {
    for action in todo.drain(..) {
        *decisions += 1;
        *next += 1;
        match action {
            Action::Start { environment, .. } => {
                future.insert((now.after(Duration::from_millis(80)), *next), Event::Ready { environment });
            }
            Action::Assign { invocation, environment, .. } => {
                let released = Event::Released { environment, invocation, reuse: true };
                future.insert((now.after(Duration::from_millis(20)), *next), released);
            }
            Action::Destroy { environment, .. } => {
                future.insert((now, *next), Event::Destroyed { environment });
            }
            Action::Refuse { .. } | Action::Fail { .. } | Action::Freeze { .. } | Action::Drained => {}
        }
    }
}

fn nanos_each(begun: Instant, n: u64) -> f64 {
    begun.elapsed().as_nanos() as f64 / n as f64
}

fn best(mut measure: impl FnMut() -> f64, better: fn(f64, f64) -> f64) -> f64 {
    let first = measure();
    (1..RUNS).fold(first, |best, _| better(best, measure()))
}

fn main() {
    println!("S1: arrive, pick, complete (ns; best of {RUNS} runs of {CYCLES})");
    println!("{:>10} {:>10} {:>10}", "functions", "step", "touch");
    for functions in [10, 1_000, 100_000] {
        let stepped = best(|| cycle(functions), f64::min);
        let touched = best(|| touch(functions), f64::min);
        println!("{functions:>10} {stepped:>10.0} {touched:>10.1}");
    }
    println!("S3: decisions per second of a course of events (best of {RUNS} runs)");
    for profile in [Profile::Box, Profile::Aws] {
        println!("{profile:>10?} {:>10.0}", best(|| course(100, profile), f64::max));
    }
}
