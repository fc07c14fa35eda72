//! M3: the processor time of a daemon that keeps very many environments and has nothing to do.

use super::{Bounds, Figure, Gauge, Unit};
use crate::clock;
use crate::cpu;
use crate::daemon::{Daemon, Settings, invoke_path};
use crate::error::Fault;
use crate::http::Request;
use crate::rows::bootstrap_zip;
use crate::world::World;
use serde_json::json;
use std::time::Duration;

pub(super) const GAUGE: Gauge =
    Gauge { id: "M3", what: "idle processor time: daemon and 1,000 idle environments, 60 s", read };

const ENVIRONMENTS: usize = 1000;
const CLIENTS: usize = 4;
/// Until the last of them has settled down.
const SETTLE: Duration = Duration::from_secs(5);
const WATCHED: Duration = Duration::from_secs(60);

fn read(world: &mut World, _: usize) -> Result<Vec<Figure>, Fault> {
    let zip = bootstrap_zip(world)?;
    let daemon = world.daemon()?;
    let share = |reading: f64| reading / clock::us(WATCHED) * 100.0;
    let alone = watch(daemon)?;
    start(daemon, &zip)?;
    let exist = daemon.metric("hearth_environments")?;
    let full = watch(daemon)?;
    let still = daemon.metric("hearth_environments_frozen")?;
    #[expect(clippy::cast_precision_loss, reason = "a thousand")]
    let wanted = ENVIRONMENTS as f64;
    if exist < wanted || still < wanted {
        return Err(Fault::Protocol(format!("{exist} environments, of them {still} frozen, not {wanted}")));
    }
    let figure = |what: String, value, bounds| Figure { what, value, unit: Unit::Percent, bounds };
    let bounds = Some(Bounds::at_most(0.5, 0.05));
    Ok(vec![
        figure("of a core: daemon, forker and parked sandboxes, no function".into(), share(alone), None),
        figure(format!("of a core: the same and {ENVIRONMENTS} idle environments"), share(full), bounds),
    ])
}

/// CPU time of the daemon and everything below it while nothing happens, µs.
fn watch(daemon: &Daemon) -> Result<f64, Fault> {
    clock::pause(SETTLE);
    let before = cpu::rest(&[daemon.pid()])?;
    clock::pause(WATCHED);
    Ok(cpu::of_trees(&[daemon.pid()])?.us - before.us)
}

/// One call of each of as many functions.
fn start(daemon: &Daemon, zip: &[u8]) -> Result<(), Fault> {
    in_parallel(|number| {
        let name = name(number);
        let settings = Settings {
            name: &name,
            runtime: "provided.al2023",
            handler: "bootstrap",
            zip,
            memory_mb: 128,
            environment: json!({}),
        };
        daemon.register(&mut daemon.connect()?, &settings)
    })?;
    // Active, all of them.
    cpu::rest(&[daemon.pid()])?;
    in_parallel(|number| {
        let call = Request::new("POST", daemon.address(), &invoke_path(&name(number)), b"{}");
        daemon.connect()?.call(&call)?.expect(b"{}")
    })
}

fn name(number: usize) -> String {
    format!("bench-m3-{number}")
}

/// Does it for each number, with several clients.
fn in_parallel(work: impl Fn(usize) -> Result<(), Fault> + Sync) -> Result<(), Fault> {
    let client = |client: usize| (client..ENVIRONMENTS).step_by(CLIENTS).try_for_each(&work);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || client(number))).collect();
        let broken = |_| Fault::Protocol("a client panicked".into());
        clients.into_iter().try_for_each(|client| client.join().map_err(broken)?)
    })
}
