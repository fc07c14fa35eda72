//! W1: what stands between a client and a warm function, in time per call.

use super::Row;
use crate::error::Fault;
use crate::pairs::{Side, Statistic};
use crate::sides::cold::EVENT;
use crate::sides::sequential::Sequential;
use crate::sides::target::Target;
use crate::world::World;

pub(super) const ROW: Row = Row {
    id: "W1",
    what: "warm call of a native function, one client, with everything that production does",
    comparator: "a minimal hyper relay with the same bootstrap as a plain process",
    statistic: Statistic::Latency,
    must: 2.0,
    aim: 1.25,
    ours,
    theirs,
};

/// Calls per sample.
const CALLS: usize = 300;

fn ours(world: &World) -> Result<Box<dyn Side>, Fault> {
    Ok(Box::new(Sequential::open(Target::function(world, "bench-w1")?, EVENT.to_vec(), CALLS)?))
}

fn theirs(world: &World) -> Result<Box<dyn Side>, Fault> {
    Ok(Box::new(Sequential::open(Target::relay(world, 1)?, EVENT.to_vec(), CALLS)?))
}
