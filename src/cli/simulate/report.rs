//! What `hearth simulate` prints: JSON whose names scripts may rely on, or tables.
//!
//! Only what was counted; deciding whether a result is good is the reader's.

use super::super::failure::Failure;
use super::super::table::{Cell, Table};
use super::super::terminal::{self, Output};
use super::options::Simulate;
use super::settings::Settings;
use hearth_logic::simulate::figures::Figures;
use hearth_logic::simulate::workload::Workload;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Functions that are listed, the busiest first.
const FUNCTIONS_SHOWN: usize = 100;

/// One run: what was varied for it, and what came of it.
#[derive(Debug)]
pub(super) struct Run {
    varied: Settings,
    figures: Map<String, Value>,
    row: [String; 7],
}

impl Run {
    /// Of figures, with the names of functions.
    pub(super) fn new(varied: Settings, figures: &Figures, name: impl Fn(u64) -> String) -> Self {
        let mut functions: Vec<_> = figures.functions.iter().collect();
        // The order of ids stays among equals.
        functions.sort_by_key(|(_, function)| std::cmp::Reverse(function.invocations));
        let rows: Vec<Value> = functions
            .iter()
            .take(FUNCTIONS_SHOWN)
            .map(|(id, function)| {
                let mut row = Map::from_iter([("name".to_owned(), json!(name(id.0)))]);
                row.extend(object(json!(function)));
                Value::Object(row)
            })
            .collect();
        let mut all = object(json!(figures));
        all.insert("functions_called".to_owned(), json!(functions.len()));
        all.insert("functions".to_owned(), Value::Array(rows));
        let row = [
            figures.invocations.to_string(),
            figures.cold_starts.to_string(),
            figures.throttled().to_string(),
            figures.peaks.concurrency.to_string(),
            figures.peaks.environments.to_string(),
            milliseconds(figures.responses.permille(500)),
            milliseconds(figures.responses.permille(990)),
        ];
        Self { varied, figures: all, row }
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1}", duration.as_micros() as f64 / 1e3)
}

fn settings(settings: &Settings) -> Value {
    Value::Object(settings.pairs().map(|(name, value)| (name, json!(value))).collect())
}

/// What was simulated.
pub(super) fn about(workload: &Workload, args: &Simulate, given: &Settings) -> Map<String, Value> {
    let file = args.workload.as_ref().or(args.trace.as_ref()).map(|file| file.display().to_string());
    object(json!({
        "seed": workload.seed,
        "for_s": workload.length.as_secs_f64(),
        "file": file,
        "settings": settings(given),
    }))
}

/// Prints runs: one by itself, several side by side.
pub(super) fn print(json: bool, about: &Map<String, Value>, runs: &[Run]) -> Result<(), Failure> {
    let output = Output::of_this_process();
    match runs {
        [run] if run.varied.is_empty() && json => {
            let mut all = about.clone();
            all.extend(run.figures.clone());
            terminal::print_json(&Value::Object(all))
        }
        [run] if run.varied.is_empty() => terminal::print(one(run).render(output)),
        runs if json => {
            let rows = runs.iter().map(|run| {
                let mut row = Map::from_iter([("settings".to_owned(), settings(&run.varied))]);
                row.extend(run.figures.clone());
                Value::Object(row)
            });
            let mut all = about.clone();
            if let Some(given) = all.remove("settings") {
                all.insert("given".to_owned(), given);
            }
            all.insert("runs".to_owned(), rows.collect());
            terminal::print_json(&Value::Object(all))
        }
        runs => terminal::print(several(runs).render(output)),
    }
}

/// A figure per line.
fn one(run: &Run) -> Table<2> {
    let mut table = Table::new(["FIGURE", "VALUE"]);
    for (name, value) in &run.figures {
        match value {
            Value::Array(functions) if functions.len() > 1 => {
                for function in functions {
                    let name = function["name"].as_str().unwrap_or_default();
                    let cells =
                        ["invocations", "cold_starts", "throttled", "concurrency_max", "environments_max"]
                            .map(|figure| format!("{figure} {}", function[figure]));
                    table.push([Cell::text(format!("function {name}")), Cell::text(cells.join(", "))]);
                }
            }
            Value::Array(_) => {}
            Value::Object(parts) => {
                for (part, value) in parts {
                    table.push([Cell::text(format!("{name} {part}")), Cell::number(value)]);
                }
            }
            value => table.push([Cell::text(name), Cell::number(value)]),
        }
    }
    table
}

/// A run per line.
fn several(runs: &[Run]) -> Table<8> {
    let mut table = Table::new([
        "SETTINGS",
        "INVOCATIONS",
        "COLD STARTS",
        "THROTTLED",
        "CONCURRENCY",
        "ENVIRONMENTS",
        "P50 MS",
        "P99 MS",
    ]);
    for run in runs {
        let [a, b, c, d, e, f, g] = run.row.each_ref().map(Cell::number);
        table.push([Cell::text(run.varied.to_string()), a, b, c, d, e, f, g]);
    }
    table
}
