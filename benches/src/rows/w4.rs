//! W4: how many calls per second get through when several clients call at once.

use super::Row;
use crate::error::Fault;
use crate::pairs::{Side, Statistic};
use crate::sides::parallel::Parallel;
use crate::sides::target::Target;
use crate::world::World;

pub(super) const ROW: Row = Row {
    id: "W4",
    what: "throughput of a native noop function with 16 clients, up to 16 environments",
    comparator: "a minimal hyper relay with 16 of the same bootstrap as plain processes",
    statistic: Statistic::Throughput,
    must: 0.6,
    aim: 0.9,
    ours,
    theirs,
};

const CLIENTS: usize = 16;
const CALLS_PER_CLIENT: usize = 250;
const NOTHING: &[u8] = b"{}";

fn ours(world: &World) -> Result<Box<dyn Side>, Fault> {
    let target = Target::function(world, "bench-w4")?;
    Ok(Box::new(Parallel::open(target, NOTHING, CLIENTS, CALLS_PER_CLIENT)?))
}

fn theirs(world: &World) -> Result<Box<dyn Side>, Fault> {
    let target = Target::relay(world, CLIENTS)?;
    Ok(Box::new(Parallel::open(target, NOTHING, CLIENTS, CALLS_PER_CLIENT)?))
}
