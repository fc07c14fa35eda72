//! `hearth simulate`: a load in virtual time through the daemon's own scheduler, or a recording run again.
//!
//! Reads what is to be simulated and prints what came of it; the course itself is `hearth_logic::simulate`'s. Everything
//! printed follows from the files, the options and the seed, to the byte; progress alone appears as it pleases, and only
//! on a terminal.

mod options;
mod progress;
mod recorded;
mod replay;
mod report;
mod settings;
mod spreads;
mod trace;
mod workload;

pub(crate) use options::Simulate;

use super::failure::Failure;
use hearth_logic::simulate::arrivals::Pattern;
use hearth_logic::simulate::course::Course;
use hearth_logic::simulate::figures::Figures;
use hearth_logic::simulate::workload::{Calls, Function, Workload};
use progress::Progress;
use report::Run;
use settings::Settings;
use std::iter;
use std::path::{Path, PathBuf};
use std::time::Duration;
use trace::Trace;

/// Runs side by side.
const RUNS_MAX: usize = 64;
/// How long calls come unless said otherwise.
const LENGTH: Duration = Duration::from_secs(60);

/// What is to be simulated.
struct Plan {
    workload: Workload,
    trace: Option<Trace>,
    settings: Settings,
}

/// Runs the verb.
pub(super) fn run(args: &Simulate) -> Result<(), Failure> {
    let variations = variations(&args.vary)?;
    let given = args.settings()?;
    if let Some(file) = &args.replay {
        return replay::run(args, file, &given, &variations);
    }
    let plan = plan(args)?;
    let mut runs = Vec::new();
    for varied in &variations {
        let settings = plan.settings.clone().over(&given).over(varied);
        let (workload, figures) = simulate(&plan, &settings, varied)?;
        runs.push(Run::new(varied.clone(), &figures, |id| name_of(&workload, id)));
    }
    report::print(args.json, &report::about(&plan.workload, args, &given), &runs)
}

fn name_of(workload: &Workload, id: u64) -> String {
    let at = usize::try_from(id).unwrap_or(usize::MAX);
    workload.functions.get(at).map(|function| function.name.clone()).unwrap_or_default()
}

/// One run.
fn simulate(plan: &Plan, settings: &Settings, varied: &Settings) -> Result<(Workload, Figures), Failure> {
    let mut workload = plan.workload.clone();
    settings.shape(&mut workload).map_err(Failure::Usage)?;
    let limits = settings.limits().map_err(Failure::Usage)?;
    let mut progress = Progress::new(workload.length, &varied.to_string());
    let calls: Box<dyn Iterator<Item = _>> = match &plan.trace {
        Some(trace) => Box::new(trace.calls()?),
        None => Box::new(iter::empty()),
    };
    let course = Course::new(limits);
    let figures = {
        let mut calls = Calls::new(&workload, calls);
        course.run(workload.settings(), &mut calls, &mut |at| progress.reach(at))?
    };
    Ok((workload, figures))
}

/// From a workload file, or from options alone: one function.
fn plan(args: &Simulate) -> Result<Plan, Failure> {
    let mut plan = match &args.workload {
        Some(file) => workload::read(file)?,
        None => quick(args)?,
    };
    if let Some(seed) = args.seed {
        plan.workload.seed = seed;
    }
    if let Some(length) = args.length {
        plan.workload.length = length.0;
    }
    Ok(plan)
}

fn quick(args: &Simulate) -> Result<Plan, Failure> {
    let is_called = args.rate.is_some() || args.vary.iter().any(|vary| vary.starts_with("rate="));
    if !is_called && args.trace.is_none() {
        let sentence = "say what is to be simulated: a workload file, --rate, --trace or --replay";
        return Err(Failure::Usage(sentence.to_owned()));
    }
    let constant = Pattern::Constant { rate: 0.0, offset: Duration::ZERO };
    let function = Function {
        name: "function".to_owned(),
        arrivals: is_called.then_some(constant),
        ..Function::default()
    };
    let mut functions = if is_called { vec![function.clone()] } else { Vec::new() };
    let trace = args.trace.as_deref().map(|file| Trace::open(file, &mut functions, &function)).transpose()?;
    let length = trace.as_ref().filter(|_| !is_called).map_or(LENGTH, Trace::length);
    let workload = Workload { seed: 1, length, functions };
    Ok(Plan { workload, trace, settings: Settings::default() })
}

/// All combinations of what is varied, the last key changing fastest.
fn variations(vary: &[String]) -> Result<Vec<Settings>, Failure> {
    let mut all = vec![Settings::default()];
    for one in vary {
        let (key, values) = one
            .split_once('=')
            .ok_or_else(|| Failure::Usage(format!("--vary {one}: write it as KEY=VALUE,VALUE,…")))?;
        let mut next = Vec::new();
        for before in &all {
            for value in values.split(',') {
                let mut settings = before.clone();
                settings.set(key, value).map_err(|why| Failure::Usage(format!("--vary {one}: {why}")))?;
                next.push(settings);
            }
        }
        if next.len() > RUNS_MAX {
            return Err(Failure::Usage(format!("--vary: at most {RUNS_MAX} runs side by side")));
        }
        all = next;
    }
    Ok(all)
}

/// A path as errors name it, with a line.
fn place(file: &Path, line: usize) -> String {
    format!("{}:{line}", file.display())
}

/// A path beside another one, unless it is absolute.
fn beside(file: &Path, other: &Path) -> PathBuf {
    file.parent().unwrap_or_else(|| Path::new("")).join(other)
}
