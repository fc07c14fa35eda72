//! The suite's program: sets up the daemon and the rows, measures, writes the document, the plots and the table.
//!
//! It exists so that every figure the project quotes comes from one place and one method. It asserts no timing: its
//! exit code tells whether all rows could be measured, never whether they were fast.

mod args;
mod clock;
mod control;
mod cpu;
mod daemon;
mod error;
mod gauges;
mod http;
mod machine;
mod memory;
mod pairs;
mod plot;
mod process;
mod report;
mod rows;
mod sides;
mod stats;
mod world;
mod zipfile;

use args::{Options, Task};
use control::Control;
use daemon::Daemon;
use error::Fault;
use report::{Finished, Outcome, Reading, Run};
use rows::Row;
use std::path::Path;
use std::process::ExitCode;
use world::{Programs, World};

fn main() -> ExitCode {
    // Row C5 has a forker of its own, which is this binary again.
    if std::env::args_os().nth(1).is_some_and(|verb| verb == hearth_sandbox::forker::client::VERB) {
        return match hearth_sandbox::forker::main() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("hearth-bench forker: {error}");
                ExitCode::FAILURE
            }
        };
    }
    match args::parse(std::env::args().skip(1)) {
        Ok(Task::Help) => print!("{}", args::HELP),
        Ok(Task::List) => {
            for row in rows::ALL {
                println!("{}  {}\n    against {}", row.id, row.what, row.comparator);
            }
            for gauge in gauges::ALL {
                println!("{}  {}\n    read off, against nothing", gauge.id, gauge.what);
            }
        }
        Ok(Task::Run(options)) => match run(&options) {
            Ok(_) if process::is_interrupted() => return ExitCode::from(130),
            Ok(true) => {}
            Ok(false) => return ExitCode::FAILURE,
            Err(fault) => return complain(&fault),
        },
        Err(fault) => return complain(&fault),
    }
    ExitCode::SUCCESS
}

fn complain(fault: &Fault) -> ExitCode {
    eprintln!("hearth-bench: {}", fault.line());
    ExitCode::from(2)
}

/// Measures all rows; false when one of them broke.
fn run(options: &Options) -> Result<bool, Fault> {
    process::watch_signals()?;
    std::fs::create_dir_all(&options.out)
        .map_err(|source| Fault::File { path: options.out.clone(), source })?;
    let machine = machine::describe();
    let programs = Programs::find(&options.programs)?;
    let mut control = Control::new(programs.succeed.clone());
    let daemon = match (&options.hearth, options.calibrate || options.rows.is_empty()) {
        (Some(hearth), false) => Some(Daemon::start(hearth, &configuration(options)?, &options.out)?),
        _ => None,
    };
    let out = std::fs::canonicalize(&options.out)
        .map_err(|source| Fault::File { path: options.out.clone(), source })?;
    let world = World { daemon, programs, python: options.python.clone(), out };
    let mut finished = Vec::new();
    for &row in &options.rows {
        eprintln!("hearth-bench: {} …", row.id);
        let outcome = measure(row, &world, &mut control, options);
        if let Outcome::Measured { pairs, .. } = &outcome
            && let Some(svg) = plot::draw(row, pairs, options.calibrate)
        {
            write(&options.out.join(report::plot_name(row)), &svg)?;
        }
        finished.push(Finished { row, outcome });
        if process::is_interrupted() {
            // What was measured before is still published.
            break;
        }
    }
    let readings = read_gauges(options, world)?;
    let run = Run {
        machine,
        commit: &options.commit,
        date: &options.date,
        calibration: options.calibrate,
        control: control.since(0),
    };
    publish(options, &run, &finished, &readings)?;
    let failed = finished.iter().any(|one| matches!(one.outcome, Outcome::Failed(_)));
    Ok(!failed && readings.iter().all(|one| one.figures.is_ok()))
}

/// Reads each gauge off a daemon of its own; the rows' is ended first.
fn read_gauges(options: &Options, world: World) -> Result<Vec<Reading>, Fault> {
    let World { daemon, programs, python, out } = world;
    drop(daemon);
    let Some(hearth) = options.hearth.as_ref().filter(|_| !options.calibrate) else { return Ok(Vec::new()) };
    let mut readings = Vec::new();
    for &gauge in &options.gauges {
        if process::is_interrupted() {
            break;
        }
        eprintln!("hearth-bench: {} …", gauge.id);
        let daemon = Some(Daemon::start(hearth, &configuration(options)?, &out)?);
        let mut world =
            World { daemon, programs: programs.clone(), python: python.clone(), out: out.clone() };
        let figures = (gauge.read)(&mut world, options.functions).map_err(|fault| fault.line());
        readings.push(Reading { gauge, figures });
    }
    Ok(readings)
}

fn measure(row: &Row, world: &World, control: &mut Control, options: &Options) -> Outcome {
    let mark = control.mark();
    let open = if options.calibrate { row.theirs } else { row.ours };
    let pairs = open(world).and_then(|mut ours| {
        let mut theirs = (row.theirs)(world)?;
        pairs::measure(ours.as_mut(), theirs.as_mut(), control, options.pairs)
    });
    match pairs {
        Ok(pairs) => Outcome::Measured { pairs, control: control.since(mark) },
        Err(Fault::Unavailable(reason)) => Outcome::Skipped(reason),
        Err(fault) => Outcome::Failed(fault.line()),
    }
}

/// The daemon's configuration: the caller's, or the defaults with the interpreter that the comparator runs too.
fn configuration(options: &Options) -> Result<String, Fault> {
    if let Some(path) = &options.config {
        return std::fs::read_to_string(path).map_err(|source| Fault::File { path: path.clone(), source });
    }
    Ok(options.python.as_ref().map_or_else(String::new, |python| {
        format!("[runtimes.{:?}]\ninterpreter = {:?}\n", python.runtime, python.interpreter)
    }))
}

fn publish(
    options: &Options,
    run: &Run<'_>,
    finished: &[Finished],
    readings: &[Reading],
) -> Result<(), Fault> {
    let mut document = format!("{:#}", report::document(run, finished, readings));
    document.push('\n');
    let table = report::table(run, finished) + &report::readings_table(readings);
    let path = options.out.join("results.json");
    write(&path, &document)?;
    if options.json {
        print!("{document}");
        eprint!("{table}");
    } else {
        print!("{table}");
        println!("document: {}", path.display());
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Fault> {
    std::fs::write(path, text).map_err(|source| Fault::File { path: path.to_owned(), source })
}
