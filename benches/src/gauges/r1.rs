//! R1: what writing down each of the scheduler's decisions (`hearth serve --record`) adds to a warm call.

use super::added::{Side, measure};
use super::{Figure, Gauge};
use crate::error::Fault;
use crate::world::World;
use std::time::Duration;

pub(super) const GAUGE: Gauge = Gauge { id: "R1", what: "recording the scheduler, per warm call", read };

fn read(world: &mut World, _: usize) -> Result<Vec<Figure>, Fault> {
    let recording = ["--record", "{scratch}/recording"];
    let mut sides = [Side::open(world, "", &[])?, Side::open(world, "", &recording)?];
    measure("recording", &mut sides, Duration::ZERO, None, |_, _| Ok(()))
}
