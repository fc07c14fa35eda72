//! A1: what the control API costs as functions grow many: it is to stay flat.
//!
//! The same calls are made at no, a tenth of, and all the functions; the later medians are told as ratios to the first.
//! Sizes can only grow, so that they cannot be interleaved: a neighbour who comes or goes moves the ratio.

use super::m2::{register, settings, small_zip};
use super::{Bounds, Figure, Gauge, Unit};
use crate::clock;
use crate::daemon::Daemon;
use crate::error::{Fault, shorten};
use crate::http::{Connection, Request};
use crate::stats::median;
use crate::world::World;

pub(super) const GAUGE: Gauge =
    Gauge { id: "A1", what: "the control API with no, many and very many functions", read };

/// Calls of each kind at each size.
const CALLS: usize = 200;
/// That all answers are compared with what an empty daemon takes (issue: flat within 1.5×).
const FLAT: Bounds = Bounds::at_most(1.5, 1.2);
/// So that each size lists a full page, the smallest as well.
const PAGE: usize = 50;

/// Medians of one size, µs.
struct Medians {
    get: f64,
    page: f64,
    create: f64,
}

fn read(world: &mut World, functions: usize) -> Result<Vec<Figure>, Fault> {
    let daemon = world.daemon()?;
    let zip = small_zip();
    let mut made = 0;
    let mut at = |size: usize, round: usize| {
        register(daemon, &zip, made..size.max(PAGE))?;
        made = made.max(size.max(PAGE));
        measure(daemon, &zip, size.max(PAGE), round)
    };
    let sizes = [0, functions / 10, functions];
    let [none, many, all] = [at(sizes[0], 0)?, at(sizes[1], 1)?, at(sizes[2], 2)?];
    let mut figures = Vec::new();
    type Which = fn(&Medians) -> f64;
    let calls: [(&str, Which); 3] = [
        ("GetFunction", |medians| medians.get),
        ("a page of ListFunctions", |medians| medians.page),
        ("CreateFunction", |medians| medians.create),
    ];
    for (name, of) in calls {
        let (unit, value) = (Unit::Microseconds, of(&none));
        figures.push(Figure { what: format!("{name}, median with no function"), value, unit, bounds: None });
        for (size, medians) in [(sizes[1], &many), (sizes[2], &all)] {
            let (unit, value) = (Unit::Ratio, of(medians) / of(&none).max(f64::MIN_POSITIVE));
            figures.push(Figure { what: format!("the same with {size}"), value, unit, bounds: Some(FLAT) });
        }
    }
    Ok(figures)
}

fn measure(daemon: &Daemon, zip: &[u8], size: usize, round: usize) -> Result<Medians, Fault> {
    let mut connection = daemon.connect()?;
    let address = daemon.address();
    let mut get = Vec::with_capacity(CALLS);
    let mut page = Vec::with_capacity(CALLS);
    let mut create = Vec::with_capacity(CALLS);
    for call in 0..CALLS {
        // Spread over all, so that it is not always the same that is in memory.
        let number = call * 7_919 % size;
        let path = format!("/2015-03-31/functions/bench-m2-{number}");
        get.push(timed(&mut connection, "GetFunction", &Request::new("GET", address, &path, b""))?);
        let path = format!("/2015-03-31/functions/?MaxItems={PAGE}");
        page.push(timed(&mut connection, "ListFunctions", &Request::new("GET", address, &path, b""))?);
        let name = format!("bench-a1-{round}-{call}");
        let start = clock::now();
        daemon.register(&mut connection, &settings(&name, zip))?;
        create.push(clock::us_since(start));
    }
    Ok(Medians { get: median(&get), page: median(&page), create: median(&create) })
}

/// One call, µs.
fn timed(connection: &mut Connection, call: &str, request: &Request) -> Result<f64, Fault> {
    let start = clock::now();
    let answer = connection.call(request)?;
    let took = clock::us_since(start);
    match answer.status {
        200 => Ok(took),
        status => Err(Fault::Refused { call: call.into(), status, body: shorten(answer.body) }),
    }
}
