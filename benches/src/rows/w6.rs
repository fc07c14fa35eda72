//! W6: the largest synchronous payload, there and back.

use super::Row;
use crate::error::Fault;
use crate::pairs::{Side, Statistic};
use crate::sides::sequential::Sequential;
use crate::sides::target::Target;
use crate::world::World;

pub(super) const ROW: Row = Row {
    id: "W6",
    what: "round trips per second of a 6 MB payload through a native function",
    comparator: "a hyper server that sends the same 6 MB straight back",
    statistic: Statistic::Throughput,
    must: 0.3,
    aim: 0.5,
    ours,
    theirs,
};

/// The largest synchronous payload there is.
const PAYLOAD_BYTES: usize = 6 << 20;
const CALLS: usize = 5;

/// One JSON string.
fn payload() -> Vec<u8> {
    let mut payload = vec![b'a'; PAYLOAD_BYTES];
    payload[0] = b'"';
    payload[PAYLOAD_BYTES - 1] = b'"';
    payload
}

fn ours(world: &World) -> Result<Box<dyn Side>, Fault> {
    Ok(Box::new(Sequential::open(Target::function(world, "bench-w6")?, payload(), CALLS)?))
}

fn theirs(world: &World) -> Result<Box<dyn Side>, Fault> {
    Ok(Box::new(Sequential::open(Target::echo(world)?, payload(), CALLS)?))
}
