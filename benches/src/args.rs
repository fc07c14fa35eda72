//! The command line. `run.sh` passes most of it; by hand it is only needed to look into one row.

use crate::error::Fault;
use crate::gauges::{self, Gauge};
use crate::rows::{self, Row};
use crate::world::Python;
use std::path::PathBuf;

/// Pairs of a row whose figures may be quoted.
pub(crate) const PAIRS_DEFAULT: usize = 15;
const PAIRS_MAX: usize = 10_000;
/// Functions that are registered where very many are wanted.
const FUNCTIONS_DEFAULT: usize = 10_000;
const FUNCTIONS_MAX: usize = 1_000_000;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
hearth-bench: interleaved pairs of Hearth and a comparator

  --hearth FILE           the binary to measure
  --programs DIR          where the static programs are
  --out DIR               results.json, plots and logs [results]
  --rows C4,W1,…          only these rows [all]
  --pairs N               measured pairs per row, after 3 discarded ones [15]
  --functions N           functions that M2 and A1 register [10000]
  --config FILE           configuration of the daemon [defaults]
  --python FILE           interpreter for the Python rows, a real binary
  --python-packages DIR   where it finds the official runtime client
  --python-runtime NAME   its Runtime value, e.g. python3.12
  --commit TEXT           what was built, for the document
  --date TEXT             when, for the document
  --calibrate             measure each comparator against itself: ratios should be 1
  --json                  print the document on standard output and the table on standard error
  --list                  print the rows and end
";

/// What was asked for.
pub(crate) struct Options {
    /// Binary under test; absent in a calibration.
    pub(crate) hearth: Option<PathBuf>,
    /// Static programs.
    pub(crate) programs: PathBuf,
    /// Output directory.
    pub(crate) out: PathBuf,
    /// Rows, in the suite's order.
    pub(crate) rows: Vec<&'static Row>,
    /// Gauges, in the suite's order.
    pub(crate) gauges: Vec<&'static Gauge>,
    /// Measured pairs.
    pub(crate) pairs: usize,
    /// Functions to register.
    pub(crate) functions: usize,
    /// The daemon's configuration file.
    pub(crate) config: Option<PathBuf>,
    /// For the Python rows.
    pub(crate) python: Option<Python>,
    /// What was built.
    pub(crate) commit: String,
    /// When.
    pub(crate) date: String,
    /// Comparator against itself.
    pub(crate) calibrate: bool,
    /// Document on standard output.
    pub(crate) json: bool,
}

/// What to do.
pub(crate) enum Task {
    /// Measure.
    Run(Box<Options>),
    /// Print the help text.
    Help,
    /// Print the rows.
    List,
}

/// Reads the arguments, the program's own name left out.
///
/// # Errors
/// A sentence for the user.
pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Task, Fault> {
    let mut arguments = arguments;
    let mut options = Options {
        hearth: None,
        programs: PathBuf::new(),
        out: "results".into(),
        rows: rows::ALL.to_vec(),
        gauges: gauges::ALL.to_vec(),
        pairs: PAIRS_DEFAULT,
        functions: FUNCTIONS_DEFAULT,
        config: None,
        python: None,
        commit: "unknown".into(),
        date: String::new(),
        calibrate: false,
        json: false,
    };
    let mut python = (None, None, None);
    while let Some(flag) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| Fault::Usage(format!("{flag} needs a value")));
        match flag.as_str() {
            "--help" | "-h" => return Ok(Task::Help),
            "--list" => return Ok(Task::List),
            "--calibrate" => options.calibrate = true,
            "--json" => options.json = true,
            "--hearth" => options.hearth = Some(value()?.into()),
            "--programs" => options.programs = value()?.into(),
            "--out" => options.out = value()?.into(),
            "--rows" => (options.rows, options.gauges) = chosen(&value()?)?,
            "--pairs" => options.pairs = count(&flag, &value()?, PAIRS_MAX)?,
            "--functions" => options.functions = count(&flag, &value()?, FUNCTIONS_MAX)?,
            "--config" => options.config = Some(value()?.into()),
            "--python" => python.0 = Some(PathBuf::from(value()?)),
            "--python-packages" => python.1 = Some(PathBuf::from(value()?)),
            "--python-runtime" => python.2 = Some(value()?),
            "--commit" => options.commit = value()?,
            "--date" => options.date = value()?,
            _ => return Err(Fault::Usage(format!("unknown option {flag}; --help lists them"))),
        }
    }
    if let (Some(interpreter), Some(packages), Some(runtime)) = python {
        options.python = Some(Python { interpreter, packages, runtime });
    }
    if options.hearth.is_none() && !options.calibrate {
        return Err(Fault::Usage("--hearth names the binary to measure; --calibrate needs none".into()));
    }
    Ok(Task::Run(Box::new(options)))
}

fn chosen(list: &str) -> Result<(Vec<&'static Row>, Vec<&'static Gauge>), Fault> {
    let wanted: Vec<&str> = list.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
    let ids = || rows::ALL.iter().map(|row| row.id).chain(gauges::ALL.iter().map(|gauge| gauge.id));
    if let Some(unknown) = wanted.iter().find(|id| !ids().any(|known| known.eq_ignore_ascii_case(id))) {
        let known: Vec<&str> = ids().collect();
        return Err(Fault::Usage(format!("no row {unknown}; there are {}", known.join(", "))));
    }
    if wanted.is_empty() {
        return Err(Fault::Usage("--rows needs at least one row".into()));
    }
    let asked = |id: &str| wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(id));
    let rows = rows::ALL.iter().filter(|row| asked(row.id)).copied().collect();
    Ok((rows, gauges::ALL.iter().filter(|gauge| asked(gauge.id)).copied().collect()))
}

fn count(flag: &str, text: &str, max: usize) -> Result<usize, Fault> {
    let count = text.parse().ok().filter(|count| (1..=max).contains(count));
    count.ok_or_else(|| Fault::Usage(format!("{flag} is a number from 1 to {max}, not {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Result<Options, String> {
        match parse(line.split_whitespace().map(str::to_owned)) {
            Ok(Task::Run(options)) => Ok(*options),
            Ok(_) => Err("not a run".into()),
            Err(fault) => Err(fault.to_string()),
        }
    }

    #[test]
    fn rows_come_in_the_order_of_the_suite() {
        let options = run("--hearth h --rows w1,C4").expect("valid");
        assert_eq!(options.rows.iter().map(|row| row.id).collect::<Vec<_>>(), ["C4", "W1"]);
        assert_eq!(options.pairs, PAIRS_DEFAULT);
    }

    #[test]
    fn rows_and_gauges_are_chosen_by_one_list() {
        let options = run("--hearth h --rows m2 --functions 100000").expect("valid");
        assert_eq!((options.rows.len(), options.gauges[0].id, options.functions), (0, "M2", 100_000));
        assert!(run("--hearth h --rows W1").expect("valid").gauges.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(run("--hearth h --rows X9").err().expect("refused").contains("no row X9"));
        assert!(run("--hearth h --pairs 0").err().expect("refused").contains("from 1 to"));
        assert!(run("--hearth").err().expect("refused").contains("needs a value"));
        assert!(run("--speed").err().expect("refused").contains("unknown option"));
        assert!(run("").err().expect("refused").contains("--calibrate"));
    }
}
