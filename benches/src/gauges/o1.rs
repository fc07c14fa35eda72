//! O1: three times as many calls as the concurrency of a function lets through: what still gets through, and how soon the
//! others are refused.
//!
//! An open loop: each call has its moment, whatever became of those before it.

use super::{Bounds, Figure, Gauge, Unit};
use crate::clock;
use crate::daemon::Settings;
use crate::error::{Fault, shorten};
use crate::http::{Request, TaskConnection};
use crate::rows::bootstrap_zip;
use crate::stats::{median, percentile, sorted};
use crate::world::World;
use serde_json::json;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;

pub(super) const GAUGE: Gauge = Gauge {
    id: "O1",
    what: "overload: concurrency 100 of 50 ms calls, 6,000 calls per second for 20 s",
    read,
};

const CONCURRENCY: usize = 100;
const SLEEP_MS: u64 = 50;
const OFFERED_PER_SECOND: u64 = 6000;
const WARM_UP: Duration = Duration::from_secs(3);
const WATCHED: Duration = Duration::from_secs(20);
/// Each has one call in flight: more than the concurrency, so that refusals never wait for a connection.
const CLIENTS: usize = 256;
const NOTHING: &[u8] = b"{}";

/// Of the calls that were to be made, so many must have been in time: else it is no overload that was measured.
const OFFERED_MIN: f64 = 0.95;

/// What came of some calls.
#[derive(Default)]
struct Tally {
    succeeded: usize,
    /// From when each was sent: that they were sent in time is checked by itself, and the timer counts milliseconds.
    refused_us: Vec<f64>,
    /// Until the last answer.
    took: Duration,
}

fn read(world: &mut World, _: usize) -> Result<Vec<Figure>, Fault> {
    let daemon = world.daemon()?;
    let mut function = daemon.deploy(&Settings {
        name: "bench-o1",
        runtime: "provided.al2023",
        handler: "bootstrap",
        zip: &bootstrap_zip(world)?,
        memory_mb: 512,
        environment: json!({"BENCH_SLEEP_MS": SLEEP_MS.to_string()}),
    })?;
    function.reserve(CONCURRENCY)?;
    let address = daemon.address();
    let request = Rc::new(Request::new("POST", address, &function.invoke_path(), NOTHING));
    offer(address, &request, WARM_UP)?;
    let tally = offer(address, &request, WATCHED)?;
    let figures = figures(&tally);
    if let Some(offered) = figures.first().map(|figure| figure.value)
        && offered < OFFERED_MIN
    {
        let text = format!("the clients made {offered:.2} of the calls per second that were meant");
        return Err(Fault::Protocol(text));
    }
    Ok(figures)
}

#[expect(clippy::cast_precision_loss, reason = "counts of some seconds")]
fn figures(tally: &Tally) -> Vec<Figure> {
    let seconds = tally.took.as_secs_f64();
    let capacity = CONCURRENCY as f64 * 1000.0 / SLEEP_MS as f64;
    let refused = sorted(&tally.refused_us);
    let calls = tally.succeeded + refused.len();
    let offered = calls as f64 / seconds / OFFERED_PER_SECOND as f64;
    let figure = |what: &str, value, unit, bounds| Figure { what: what.into(), value, unit, bounds };
    let quick = Some(Bounds::at_most(2000.0, 100.0));
    vec![
        figure("calls per second, of those meant", offered, Unit::Ratio, None),
        figure(
            "goodput, of what the concurrency allows (2,000 per second)",
            tally.succeeded as f64 / seconds / capacity,
            Unit::Ratio,
            Some(Bounds::at_least(0.8, 0.95)),
        ),
        figure("a refusal (429), median", median(&refused), Unit::Microseconds, quick),
        figure(
            "a refusal, 99 of 100",
            percentile(&refused, 99.0).unwrap_or_default(),
            Unit::Microseconds,
            None,
        ),
    ]
}

/// Calls at the rate for as long as `during`.
fn offer(address: SocketAddr, request: &Rc<Request>, during: Duration) -> Result<Tally, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Fault::system("start the clients"))?;
    let set = LocalSet::new();
    let tallies = set.block_on(&runtime, async {
        let mut connections = Vec::new();
        for _ in 0..CLIENTS {
            connections.push(TaskConnection::open(address).await?);
        }
        let (start, next) = (clock::now(), Rc::new(Cell::new(0)));
        let client = |connection| client(connection, Rc::clone(request), Rc::clone(&next), start, during);
        let clients: Vec<_> =
            connections.into_iter().map(|connection| tokio::task::spawn_local(client(connection))).collect();
        let mut tallies = Vec::new();
        for client in clients {
            tallies.push(client.await.map_err(|_| Fault::Protocol("a client panicked".into()))??);
        }
        Ok::<_, Fault>(tallies)
    })?;
    let mut all = Tally::default();
    for tally in tallies {
        all.took = all.took.max(tally.took);
        all.succeeded += tally.succeeded;
        all.refused_us.extend(tally.refused_us);
    }
    Ok(all)
}

/// Makes whichever call is next, each at its moment, until the time is over.
async fn client(
    mut connection: TaskConnection,
    request: Rc<Request>,
    next: Rc<Cell<u64>>,
    start: Instant,
    during: Duration,
) -> Result<Tally, Fault> {
    let mut tally = Tally::default();
    loop {
        let number = next.replace(next.get() + 1);
        let due = Duration::from_nanos(number * (1_000_000_000 / OFFERED_PER_SECOND));
        if due >= during {
            tally.took = start.elapsed();
            return Ok(tally);
        }
        tokio::time::sleep_until((start + due).into()).await;
        let (sent, answer) = connection.call(&request).await?;
        match answer.status {
            429 => tally.refused_us.push(clock::us_since(sent)),
            200 => {
                answer.expect(NOTHING)?;
                tally.succeeded += 1;
            }
            status => {
                let (call, body) = ("Invoke".into(), shorten(answer.body));
                return Err(Fault::Refused { call, status, body });
            }
        }
    }
}
