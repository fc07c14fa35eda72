//! `hearth simulate --replay FILE`: a recording run again, or its traffic under other limits.
//!
//! Without settings every decision must come out as it was recorded, and the exit code says whether it did. With settings
//! the recording is replayed first, to measure it, and then its calls are simulated once for each variation.

use super::super::failure::Failure;
use super::super::terminal;
use super::options::Simulate;
use super::progress::Progress;
use super::recorded::Records;
use super::report::{self, Run};
use super::settings::Settings;
use hearth_logic::SchedulerLimits;
use hearth_logic::recording::{Ending, Header};
use hearth_logic::simulate::course::Course;
use hearth_logic::simulate::replay::Replay;
use hearth_logic::simulate::traffic::{Measured, Measuring, Traffic};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Duration;

/// Records between two looks at how far the file is read.
const RECORDS_PER_REPORT: u64 = 1 << 14;

/// Runs the verb with a recording.
pub(super) fn run(
    args: &Simulate,
    file: &Path,
    given: &Settings,
    variations: &[Settings],
) -> Result<(), Failure> {
    let is_same = given.is_empty() && variations.iter().all(Settings::is_empty);
    if is_same { again(args, file) } else { otherwise(args, file, given, variations) }
}

fn progress(records: &Records, progress: &mut Progress, count: u64) {
    if count.is_multiple_of(RECORDS_PER_REPORT) {
        progress.reach(Duration::from_millis(records.permille()));
    }
}

/// The same limits: the same decisions?
fn again(args: &Simulate, file: &Path) -> Result<(), Failure> {
    let (header, mut records) = Records::open(file)?;
    let mut replay = Replay::new(header.limits.clone());
    let mut shown = Progress::new(Duration::from_secs(1), "the recording");
    while let Some(record) = records.next().transpose()? {
        replay.feed(record);
        progress(&records, &mut shown, replay.records());
        if replay.divergence().is_some() {
            break;
        }
    }
    drop(shown);
    let divergence = replay.divergence().map(ToString::to_string);
    let about = about(&header, &replay, divergence.as_deref());
    warn(&replay, divergence.is_none());
    let run = Run::new(Settings::default(), &replay.figures(), function_name);
    report::print(args.json, &about, &[run])?;
    match divergence {
        Some(why) => Err(Failure::because(format!("the decisions are not those that were recorded: {why}"))),
        None => Ok(()),
    }
}

/// Recordings know functions by number only.
fn function_name(id: u64) -> String {
    format!("function {id}")
}

const fn ending(ending: Option<Ending>) -> &'static str {
    match ending {
        Some(Ending::Closed) => "closed",
        Some(Ending::FellBehind) => "fell-behind",
        Some(Ending::WriteFailed) => "write-failed",
        Some(Ending::Full) => "full",
        None => "cut-off",
    }
}

fn about(header: &Header, replay: &Replay, divergence: Option<&str>) -> Map<String, Value> {
    let about = json!({
        "identical": divergence.is_none(),
        "divergence": divergence,
        "records": replay.records(),
        "ending": ending(replay.ending()),
        "program": header.program,
        "begun_ms": header.begun_ms,
        "limits": header.limits,
    });
    match about {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Says how much of the daemon's life the recording holds.
fn warn(replay: &Replay, is_identical: bool) {
    let records = replay.records();
    if is_identical {
        terminal::say(&format!("hearth: {records} records, every decision as it was recorded"));
    }
    let what = match replay.ending() {
        Some(Ending::Closed) => return,
        Some(Ending::FellBehind) => "the disk could not follow",
        Some(Ending::WriteFailed) => "the disk refused a write",
        Some(Ending::Full) => "it had reached the size that a recording may have",
        None if !is_identical => return,
        None => "it was cut off (the daemon was killed, or still runs)",
    };
    terminal::say(&format!("hearth: the recording ends before its daemon did: {what}"));
}

/// Other limits: what would have become of the same calls?
fn otherwise(args: &Simulate, file: &Path, given: &Settings, variations: &[Settings]) -> Result<(), Failure> {
    let seed = args.seed.unwrap_or(1);
    let (header, measured, span) = measure(file, seed)?;
    let mut runs = Vec::new();
    for varied in variations {
        let settings = given.clone().over(varied);
        let changes = settings.changes().map_err(Failure::Usage)?;
        let change = |mut limits: SchedulerLimits| {
            // The values were checked when they were set.
            settings.limit(&mut limits).ok();
            limits
        };
        let (_, records) = Records::open(file)?;
        let mut traffic = Traffic::new(&measured, &changes, &change, records);
        let mut shown = Progress::new(span, &varied.to_string());
        let course = Course::new(change(header.limits.clone()));
        let figures = course.run(Vec::new(), &mut traffic, &mut |at| shown.reach(at))?;
        runs.push(Run::new(varied.clone(), &figures, function_name));
    }
    let about = json!({ "seed": seed, "file": file.display().to_string(), "settings": {} });
    let Value::Object(mut about) = about else { return Ok(()) };
    about.insert(
        "settings".to_owned(),
        given.pairs().map(|(name, value)| (name, json!(value))).collect::<Map<_, _>>().into(),
    );
    report::print(args.json, &about, &runs)
}

/// The first pass: how long calls ran and environments took, and for how long it was recorded.
fn measure(file: &Path, seed: u64) -> Result<(Header, Measured, Duration), Failure> {
    let (header, mut records) = Records::open(file)?;
    let mut measuring = Measuring::new(header.limits.clone(), seed);
    let mut shown = Progress::new(Duration::from_secs(1), "(measuring)");
    let mut count = 0;
    while let Some(record) = records.next().transpose()? {
        measuring.feed(record);
        count += 1;
        progress(&records, &mut shown, count);
    }
    drop(shown);
    let (measured, replay) = measuring.done();
    if let Some(divergence) = replay.divergence() {
        let sentence = "the traffic cannot be measured, because its decisions cannot be followed";
        return Err(Failure::because(format!("{sentence}: {divergence}")));
    }
    warn(&replay, true);
    Ok((header, measured, replay.figures().span))
}
