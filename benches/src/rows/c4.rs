//! C4: what full isolation adds to the start of a program.

use super::{Row, bootstrap_zip};
use crate::daemon::Settings;
use crate::error::Fault;
use crate::pairs::{Side, Statistic};
use crate::sides::bare::{Bare, Recipe};
use crate::sides::cold::Cold;
use crate::world::World;
use serde_json::json;

pub(super) const ROW: Row = Row {
    id: "C4",
    what: "cold start of a static native bootstrap in a full sandbox, 512 MB: request out to answer in",
    comparator: "fork and exec of the same bootstrap as a bare process, doing the same exchange",
    statistic: Statistic::Latency,
    must: 3.0,
    aim: 1.8,
    ours,
    theirs,
};

fn ours(world: &World) -> Result<Box<dyn Side>, Fault> {
    let settings = Settings {
        name: "bench-c4",
        runtime: "provided.al2023",
        handler: "bootstrap",
        zip: &bootstrap_zip(world)?,
        memory_mb: 512,
        environment: json!({}),
    };
    Ok(Box::new(Cold::open(world, &settings)?))
}

fn theirs(world: &World) -> Result<Box<dyn Side>, Fault> {
    Ok(Box::new(Bare::open(Recipe {
        program: world.programs.bootstrap.clone(),
        arguments: Vec::new(),
        environment: vec![("BENCH_ANSWER".into(), "count".into())],
        log: world.out.join("bare.log"),
    })?))
}
