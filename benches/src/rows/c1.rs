//! C1: the cold start of a Python function. Both sides run the same interpreter binary and the same handler.

use super::Row;
use crate::daemon::Settings;
use crate::error::Fault;
use crate::pairs::{Side, Statistic};
use crate::sides::bare::{Bare, Recipe};
use crate::sides::cold::Cold;
use crate::world::World;
use crate::zipfile::{Entry, archive};
use serde_json::json;

pub(super) const ROW: Row = Row {
    id: "C1",
    what: "cold start of a Python zip hello, 512 MB: request out to answer in",
    comparator: "exec of the same interpreter with the official runtime client and the same handler",
    statistic: Statistic::Latency,
    must: 0.25,
    aim: 0.05,
    ours,
    theirs,
};

const HANDLER: &str = "hello.handler";
const MODULE: &str = "hello.py";
const SOURCE: &str = "\
invocations = 0


def handler(event, context):
    global invocations
    invocations += 1
    return {'invocation': invocations}
";

fn ours(world: &World) -> Result<Box<dyn Side>, Fault> {
    let settings = Settings {
        name: "bench-c1",
        runtime: &world.python()?.runtime,
        handler: HANDLER,
        zip: &archive(&[Entry { name: MODULE, mode: 0o644, content: SOURCE.as_bytes() }]),
        memory_mb: 512,
        environment: json!({}),
    };
    Ok(Box::new(Cold::open(world, &settings)?))
}

fn theirs(world: &World) -> Result<Box<dyn Side>, Fault> {
    let python = world.python()?;
    let task = world.out.join("c1-task");
    let path = task.join(MODULE);
    let written = std::fs::create_dir_all(&task).and_then(|()| std::fs::write(&path, SOURCE));
    written.map_err(|source| Fault::File { path, source })?;
    let (task, packages) = (task.display().to_string(), python.packages.display());
    let environment = [
        ("PYTHONPATH", format!("{task}:{packages}")),
        ("LAMBDA_TASK_ROOT", task.clone()),
        ("AWS_LAMBDA_FUNCTION_NAME", "bare".into()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".into()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512".into()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/bare".into()),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "bare".into()),
        ("AWS_REGION", "us-east-1".into()),
        ("LANG", "C.UTF-8".into()),
        ("PATH", "/usr/bin:/bin".into()),
    ];
    Ok(Box::new(Bare::open(Recipe {
        program: python.interpreter.clone(),
        arguments: vec!["-m".into(), "awslambdaric".into(), HANDLER.into()],
        environment: environment.map(|(key, value)| (key.to_owned(), value)).into(),
        log: world.out.join("bare-python.log"),
    })?))
}
