//! CPU time of whole process trees, which a busy neighbour hardly moves.
//!
//! Living processes are read to the nanosecond from their CPU clocks (threads that have ended included); those that
//! were waited for are in their parents' `cutime` and `cstime`, which the kernel shows in ticks of 10 ms. So a single
//! cold start is coarse, the sum over a run is not. Control groups are not read: sandboxes have groups of their own,
//! at places that the product may choose freely, while everything it starts stays below its process.

use crate::clock;
use crate::error::Fault;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::unistd::{Pid, SysconfVar, sysconf};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

/// Processes looked at per reading, at most.
const PROCESSES_MAX: usize = 65_536;
/// A tree that uses less than this between two looks is at rest.
const REST_US: f64 = 300.0;
const REST_LOOKS: u32 = 4;
const REST_EVERY: Duration = Duration::from_millis(10);
const REST_LIMIT: Duration = Duration::from_secs(3);

/// What some process trees have used so far.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    /// CPU time, microseconds.
    pub(crate) us: f64,
    /// The processes that were alive.
    pub(crate) processes: BTreeSet<i32>,
}

/// One line of `/proc/<pid>/stat`, as far as it is needed.
struct Stat {
    parent: i32,
    waited_ticks: i64,
}

impl Stat {
    /// Fields are counted from the last parenthesis: a process may have any name.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<i64>().ok();
        Some(Self { parent: i32::try_from(number(1)?).ok()?, waited_ticks: number(13)? + number(14)? })
    }
}

/// CPU time of `roots` and of everything below them.
///
/// # Errors
/// When `/proc` cannot be listed. A process that ends meanwhile is counted with its parent.
pub(crate) fn of_trees(roots: &[u32]) -> Result<Reading, Fault> {
    let entries = fs::read_dir("/proc").map_err(Fault::system("list processes"))?;
    let mut stats = BTreeMap::new();
    for entry in entries.flatten().take(PROCESSES_MAX) {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(text) = fs::read_to_string(entry.path().join("stat")) else { continue };
        if let Some(stat) = Stat::parse(&text) {
            stats.insert(pid, stat);
        }
    }
    let mut processes: BTreeSet<i32> = roots.iter().filter_map(|&pid| i32::try_from(pid).ok()).collect();
    // A child may have a smaller pid than its parent once pids wrap, hence the passes until nothing is added.
    loop {
        let before = processes.len();
        let below: Vec<i32> =
            stats.iter().filter(|(_, stat)| processes.contains(&stat.parent)).map(|(&pid, _)| pid).collect();
        processes.extend(below);
        if processes.len() == before {
            break;
        }
    }
    let us = processes.iter().map(|&pid| own_us(pid) + stats.get(&pid).map_or(0.0, waited_us)).sum();
    Ok(Reading { us, processes })
}

#[expect(clippy::cast_precision_loss, reason = "CPU times are far below 2^52 of their unit")]
fn own_us(pid: i32) -> f64 {
    let clock = nix::time::clock_getcpuclockid(Pid::from_raw(pid));
    clock.and_then(|clock| clock.now()).map_or(0.0, |time| time.num_nanoseconds() as f64 / 1e3)
}

#[expect(clippy::cast_precision_loss, reason = "CPU times are far below 2^52 of their unit")]
fn waited_us(stat: &Stat) -> f64 {
    stat.waited_ticks as f64 * tick_us()
}

/// The length of a tick of `/proc/<pid>/stat`.
#[expect(clippy::cast_precision_loss, reason = "ticks per second are at most some thousands")]
pub(crate) fn tick_us() -> f64 {
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    1e6 / per_second as f64
}

/// CPU time of all children that were waited for, microseconds.
///
/// # Errors
/// When the kernel does not say.
#[expect(clippy::cast_precision_loss, reason = "CPU times are far below 2^52 of their unit")]
pub(crate) fn of_waited_children() -> Result<f64, Fault> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)
        .map_err(|error| Fault::System { what: "read the CPU time of children", source: error.into() })?;
    Ok((usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64)
}

/// Waits until the trees neither run nor change, so that nothing of one measurement reaches into the next: retired
/// environments are gone, parked sandboxes are refilled. A tree that never rests is measured all the same.
///
/// # Errors
/// Those of [`of_trees`].
pub(crate) fn rest(roots: &[u32]) -> Result<Reading, Fault> {
    let start = clock::now();
    let mut last = of_trees(roots)?;
    let mut quiet = 0;
    while quiet < REST_LOOKS && clock::now().duration_since(start) < REST_LIMIT {
        clock::pause(REST_EVERY);
        let reading = of_trees(roots)?;
        let calm = reading.us - last.us < REST_US && reading.processes == last.processes;
        quiet = if calm { quiet + 1 } else { 0 };
        last = reading;
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let line = "7 (a) b (c) S 42 7 7 0 -1 4194560 1 2 3 4 11 12 13 14 20 0 1 0 5 6 7";
        let stat = Stat::parse(line).expect("a stat line");
        assert_eq!((stat.parent, stat.waited_ticks), (42, 27));
    }

    #[test]
    fn this_process_has_used_cpu_time_and_is_in_its_own_tree() {
        let me = std::process::id();
        let before = of_trees(&[me]).expect("a reading");
        let mut sum = 0_u64;
        for value in 0..20_000_000_u64 {
            sum = std::hint::black_box(sum.wrapping_add(value));
        }
        let after = of_trees(&[me]).expect("a reading");
        assert!(after.us > before.us, "{} then {}", before.us, after.us);
        assert!(after.processes.contains(&i32::try_from(me).expect("a pid")));
    }
}
