//! W7: what freezing an environment after each call and thawing it for the next one adds to the call.

use super::added::{Side, measure};
use super::{Bounds, Figure, Gauge};
use crate::clock;
use crate::daemon::Daemon;
use crate::error::Fault;
use crate::world::World;
use std::time::Duration;

pub(super) const GAUGE: Gauge = Gauge { id: "W7", what: "freeze and thaw around each warm call", read };

/// As soon as it can be said; never.
const FREEZE: &str = "[limits]\nfreeze_after_ms = 1\n";
const KEEP: &str = "[limits]\nfreeze_after_ms = 0\n";
/// Between calls: by then the environment is frozen.
const PAUSE: Duration = Duration::from_millis(5);

fn read(world: &mut World, _: usize) -> Result<Vec<Figure>, Fault> {
    let mut sides = [Side::open(world, KEEP, &[])?, Side::open(world, FREEZE, &[])?];
    measure("freezing", &mut sides, PAUSE, Some(Bounds::at_most(30.0, 12.0)), frozen)
}

/// That one of them has frozen its environment, and the other has not.
fn frozen(without: &Daemon, with: &Daemon) -> Result<(), Fault> {
    clock::pause(PAUSE);
    let frozen = |daemon: &Daemon| daemon.metric("hearth_environments_frozen");
    match (frozen(without)?, frozen(with)?) {
        (none, one) if none < 0.5 && one > 0.5 => Ok(()),
        (none, one) => {
            Err(Fault::Protocol(format!("frozen environments: {none} without, {one} with freezing")))
        }
    }
}
