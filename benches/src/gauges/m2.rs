//! M2: the daemon's memory at rest, without functions and with very many, and what an idle environment adds to it.

use super::{Bounds, Figure, Gauge, Unit};
use crate::cpu;
use crate::daemon::{Daemon, Settings, invoke_path};
use crate::error::Fault;
use crate::http::Request;
use crate::memory;
use crate::rows::bootstrap_zip;
use crate::world::World;
use crate::zipfile::{Entry, archive};
use serde_json::json;
use std::ops::Range;

pub(super) const GAUGE: Gauge = Gauge {
    id: "M2",
    what: "the daemon's memory: without functions, per registered function, per idle environment",
    read,
};

/// Connections over which functions are registered at the same time.
const CLIENTS: usize = 16;
/// Environments whose memory is shared out; the first few pay for what is made once.
const FIRST: usize = 32;
const ENVIRONMENTS: usize = 544;
const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * 1024.0;

#[expect(clippy::cast_precision_loss, reason = "sizes and counts are far below 2^52")]
fn read(world: &mut World, functions: usize) -> Result<Vec<Figure>, Fault> {
    let zip = bootstrap_zip(world)?;
    let daemon = world.daemon()?;
    let empty = resting(daemon)?;
    let forker = memory::of_children(daemon.pid())?;
    let small = small_zip();
    register(daemon, &small, 0..functions)?;
    let full = resting(daemon)?;
    for number in 0..ENVIRONMENTS {
        daemon.register(&mut daemon.connect()?, &settings(&idle(number), &zip))?;
    }
    // With an empty heap: what deploying left free in it would hide what environments take.
    let daemon = world.restart_daemon()?;
    let again = resting(daemon)?;
    let grown = environments(daemon)?;
    let per = |grown: u64, count: usize| grown as f64 / count.max(1) as f64;
    let figure = |what: &str, bytes: u64| Figure {
        what: what.into(),
        value: bytes as f64,
        unit: Unit::Bytes,
        bounds: None,
    };
    let bounded = |what: &str, value, must, aim| Figure {
        what: what.into(),
        value,
        unit: Unit::Bytes,
        bounds: Some(Bounds::at_most(must, aim)),
    };
    let each = per(full.rss.saturating_sub(empty.rss), functions);
    let environment = per(grown, ENVIRONMENTS - FIRST);
    Ok(vec![
        bounded("daemon without functions, RSS", empty.rss as f64, 40.0 * MIB, 15.0 * MIB),
        figure("of that, its own pages (the rest is the program's file)", empty.anonymous),
        figure("forker and parked sandboxes, own pages, shared ones once", forker),
        figure(&format!("daemon after {functions} functions were registered, RSS"), full.rss),
        bounded("per registered function, RSS", each, 2.0 * KIB, 512.0),
        figure("daemon started with them, RSS", again.rss),
        bounded("per idle environment, RSS of the daemon", environment, 32.0 * KIB, 8.0 * KIB),
    ])
}

/// For functions that are never called: what is measured is not its upload.
pub(super) fn small_zip() -> Vec<u8> {
    archive(&[Entry { name: "bootstrap", mode: 0o755, content: b"#!/bin/sh\n" }])
}

/// The daemon's memory once nothing is going on.
fn resting(daemon: &Daemon) -> Result<memory::Reading, Fault> {
    cpu::rest(&[daemon.pid()])?;
    memory::of(daemon.pid())
}

/// Registers functions that are never called, over several connections at once.
pub(super) fn register(daemon: &Daemon, zip: &[u8], numbers: Range<usize>) -> Result<(), Fault> {
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let numbers = numbers.clone();
                scope.spawn(move || {
                    let mut connection = daemon.connect()?;
                    for number in numbers.skip(client).step_by(CLIENTS) {
                        let name = format!("bench-m2-{number}");
                        daemon.register(&mut connection, &settings(&name, zip))?;
                    }
                    Ok(())
                })
            })
            .collect();
        let broken = |_| Fault::Protocol("a client panicked".into());
        clients.into_iter().try_for_each(|client| client.join().map_err(broken)?)
    })
}

pub(super) fn settings<'a>(name: &'a str, zip: &'a [u8]) -> Settings<'a> {
    Settings {
        name,
        runtime: "provided.al2023",
        handler: "bootstrap",
        zip,
        memory_mb: 128,
        environment: json!({"STAGE": "production"}),
    }
}

/// Name of a function whose environment is kept.
fn idle(number: usize) -> String {
    format!("bench-m2-idle-{number}")
}

/// How much the daemon grows by the environments after the first few, bytes.
fn environments(daemon: &Daemon) -> Result<u64, Fault> {
    let mut connection = daemon.connect()?;
    let mut start = |numbers: Range<usize>| {
        numbers.into_iter().try_for_each(|number| {
            let call = Request::new("POST", daemon.address(), &invoke_path(&idle(number)), b"{}");
            connection.call(&call)?.expect(b"{}")
        })
    };
    start(0..FIRST)?;
    let before = resting(daemon)?.rss;
    start(FIRST..ENVIRONMENTS)?;
    Ok(resting(daemon)?.rss.saturating_sub(before))
}
