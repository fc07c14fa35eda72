//! What a setting adds to each warm call: two daemons that differ in it alone are called in turns, one client each.

use super::{Bounds, Figure, Unit};
use crate::clock;
use crate::daemon::{Daemon, Function, Settings};
use crate::error::Fault;
use crate::http::Request;
use crate::pairs::DISCARDED;
use crate::rows::bootstrap_zip;
use crate::sides::cold::EVENT;
use crate::stats::median;
use crate::world::World;
use serde_json::json;
use std::time::Duration;

const PAIRS: usize = 15;
const CALLS: usize = 200;
/// W rows have one whole CPU.
const MEMORY_MB: u32 = 1769;

/// A daemon with one native function.
pub(super) struct Side {
    /// The daemon.
    pub(super) daemon: Daemon,
    function: Function,
    invoke: Request,
}

impl Side {
    /// Starts it.
    ///
    /// # Errors
    /// When it does not start, or does not take the function.
    pub(super) fn open(world: &World, config: &str, arguments: &[&str]) -> Result<Self, Fault> {
        let daemon = world.daemon()?.another(config, arguments)?;
        let function = daemon.deploy(&Settings {
            name: "bench-added",
            runtime: "provided.al2023",
            handler: "bootstrap",
            zip: &bootstrap_zip(world)?,
            memory_mb: MEMORY_MB,
            environment: json!({}),
        })?;
        let invoke = Request::new("POST", daemon.address(), &function.invoke_path(), EVENT);
        Ok(Self { daemon, function, invoke })
    }

    /// The median of a batch of calls, each after a pause, µs.
    fn batch(&mut self, pause: Duration) -> Result<f64, Fault> {
        let mut took = Vec::with_capacity(CALLS);
        for _ in 0..CALLS {
            clock::pause(pause);
            let start = clock::now();
            let answer = self.function.connection().call(&self.invoke)?;
            took.push(clock::us_since(start));
            answer.expect(EVENT)?;
        }
        Ok(median(&took))
    }
}

/// Calls both in turns and tells the median call without, with, and the median of the pairs' differences. `check` sees
/// both after each pair.
///
/// # Errors
/// Those of the calls and of `check`.
pub(super) fn measure(
    what: &str,
    [without, with]: &mut [Side; 2],
    pause: Duration,
    bounds: Option<Bounds>,
    check: impl Fn(&Daemon, &Daemon) -> Result<(), Fault>,
) -> Result<Vec<Figure>, Fault> {
    let (mut plain, mut burdened, mut added) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..DISCARDED + PAIRS {
        let pair = (without.batch(pause)?, with.batch(pause)?);
        check(&without.daemon, &with.daemon)?;
        if round >= DISCARDED {
            plain.push(pair.0);
            burdened.push(pair.1);
            added.push(pair.1 - pair.0);
        }
    }
    let figure = |what: String, values: &[f64], bounds| Figure {
        what,
        value: median(values),
        unit: Unit::Microseconds,
        bounds,
    };
    Ok(vec![
        figure(format!("warm call without {what}"), &plain, None),
        figure(format!("warm call with {what}"), &burdened, None),
        figure(format!("added by {what}, median of {PAIRS} pairs of {CALLS} calls"), &added, bounds),
    ])
}
