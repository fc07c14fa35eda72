//! What a run came to: one JSON document for machines, one table for people. No figure is judged here beyond naming
//! which of the row's two bounds its median meets; nothing fails for being slow.

use crate::control::Verdict;
use crate::gauges::{Bounds, Figure, Gauge, Unit};
use crate::pairs::{DISCARDED, Pair, Sample, Statistic, cpu_us_per_operation, ratio};
use crate::rows::Row;
use crate::stats::{Spread, median, percentile, sorted};
use crate::{args, cpu};
use serde_json::{Value, json};
use std::fmt::Write;

/// How a row ended.
pub(crate) enum Outcome {
    /// With figures.
    Measured {
        /// All of them.
        pairs: Vec<Pair>,
        /// The controls between them.
        control: Verdict,
    },
    /// Not possible here.
    Skipped(String),
    /// Something broke.
    Failed(String),
}

/// A row and how it ended.
pub(crate) struct Finished {
    /// The row.
    pub(crate) row: &'static Row,
    /// Its end.
    pub(crate) outcome: Outcome,
}

/// A gauge and what it said, or why it said nothing.
pub(crate) struct Reading {
    /// The gauge.
    pub(crate) gauge: &'static Gauge,
    /// Its figures.
    pub(crate) figures: Result<Vec<Figure>, String>,
}

/// The figures of one run besides the rows.
pub(crate) struct Run<'a> {
    /// See [`crate::machine`].
    pub(crate) machine: Value,
    /// What was built.
    pub(crate) commit: &'a str,
    /// When.
    pub(crate) date: &'a str,
    /// Whether the comparators were measured against themselves.
    pub(crate) calibration: bool,
    /// All controls of the run.
    pub(crate) control: Verdict,
}

/// The document.
pub(crate) fn document(run: &Run<'_>, finished: &[Finished], readings: &[Reading]) -> Value {
    json!({
        "machine": run.machine,
        "commit": run.commit,
        "date": run.date,
        "calibration": run.calibration,
        "rows": finished.iter().map(row_document).collect::<Vec<_>>(),
        "gauges": readings.iter().map(reading_document).collect::<Vec<_>>(),
        "control": control_document(&run.control),
    })
}

fn reading_document(reading: &Reading) -> Value {
    let Reading { gauge, figures } = reading;
    match figures {
        Err(reason) => json!({"id": gauge.id, "what": gauge.what, "status": "failed", "reason": reason}),
        Ok(figures) => {
            let one = |figure: &Figure| {
                json!({
                    "what": figure.what,
                    "value": round(figure.value),
                    "unit": figure.unit.as_str(),
                    "must": figure.bounds.map(|bounds| bounds.must),
                    "aim": figure.bounds.map(|bounds| bounds.aim),
                    "meets": figure.meets(),
                })
            };
            let figures: Vec<Value> = figures.iter().map(one).collect();
            json!({"id": gauge.id, "what": gauge.what, "status": "measured", "figures": figures})
        }
    }
}

/// The figures of the gauges, a line each; nothing if there are none.
pub(crate) fn readings_table(readings: &[Reading]) -> String {
    let mut lines: Vec<Vec<String>> =
        vec![["gauge", "reading", "must", "aim", "meets", ""].map(String::from).into()];
    let mut notes = String::new();
    for Reading { gauge, figures } in readings {
        match figures {
            Err(reason) => note(&mut notes, &format!("{}: FAILED: {reason}", gauge.id)),
            Ok(figures) => lines.extend(figures.iter().map(|figure| {
                let bound = |of: fn(Bounds) -> f64| {
                    let told = |it: Bounds| format!("{} {}", it.sign(), amount(of(it), figure.unit));
                    figure.bounds.map_or_else(String::new, told)
                };
                vec![
                    gauge.id.into(),
                    amount(figure.value, figure.unit),
                    bound(|bounds| bounds.must),
                    bound(|bounds| bounds.aim),
                    figure.meets().unwrap_or_default().into(),
                    figure.what.clone(),
                ]
            })),
        }
    }
    if readings.is_empty() { notes } else { format!("\n{}{notes}", aligned(&lines)) }
}

/// Bytes in the unit in which they read best.
fn amount(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => size(value),
        Unit::Microseconds if value.abs() >= 1e4 => time(value),
        Unit::Microseconds => format!("{value:.0} µs"),
        Unit::Ratio => format!("{value:.2}×"),
        Unit::Percent => format!("{value:.2} %"),
    }
}

fn size(bytes: f64) -> String {
    match bytes {
        bytes if bytes < 1024.0 => format!("{bytes:.0} B"),
        bytes if bytes < 1024.0 * 1024.0 => format!("{:.1} KiB", bytes / 1024.0),
        bytes => format!("{:.1} MiB", bytes / 1024.0 / 1024.0),
    }
}

fn row_document(finished: &Finished) -> Value {
    let row = finished.row;
    let mut document = json!({"id": row.id, "what": row.what, "comparator": row.comparator});
    let facts = match &finished.outcome {
        Outcome::Skipped(reason) => json!({"status": "skipped", "reason": reason}),
        Outcome::Failed(reason) => json!({"status": "failed", "reason": reason}),
        Outcome::Measured { pairs, control } => measured_document(row, pairs, control),
    };
    if let (Some(all), Some(facts)) = (document.as_object_mut(), facts.as_object()) {
        all.extend(facts.clone());
    }
    document
}

fn measured_document(row: &Row, pairs: &[Pair], control: &Verdict) -> Value {
    let (better, value_unit) = match row.statistic {
        Statistic::Latency => ("lower", "us"),
        Statistic::Throughput => ("higher", "per_second"),
    };
    let cpu = Cpu::of(pairs);
    json!({
        "status": "measured",
        "better": better,
        "value_unit": value_unit,
        "pairs": pairs.len(),
        "discarded": DISCARDED,
        "ratio": ratio(row.statistic, pairs).map(spread_document),
        "must": row.must,
        "aim": row.aim,
        "meets": meets(row, pairs),
        "ours": side_document(row.statistic, pairs.iter().map(|pair| &pair.ours)),
        "theirs": side_document(row.statistic, pairs.iter().map(|pair| &pair.theirs)),
        "cpu": {
            "ours_us_per_operation": round(cpu.ours_us),
            "theirs_us_per_operation": round(cpu.theirs_us),
            "ratio": cpu.ratio().map(round),
            "tick_us": cpu::tick_us(),
        },
        "pair_ratios": row.statistic.ratios(pairs).into_iter().map(round).collect::<Vec<_>>(),
        "plot": plot_name(row),
        "control": control_document(control),
    })
}

/// The file beside the document that shows the row's distributions.
pub(crate) fn plot_name(row: &Row) -> String {
    format!("{}.svg", row.id)
}

fn side_document<'a>(statistic: Statistic, samples: impl Iterator<Item = &'a Sample>) -> Value {
    let samples: Vec<&Sample> = samples.collect();
    let latencies: Vec<f64> = samples.iter().flat_map(|sample| sample.latencies_us.iter().copied()).collect();
    let latencies = sorted(&latencies);
    let at = |percent| percentile(&latencies, percent).map(round);
    let values: Vec<f64> = samples.iter().map(|sample| statistic.of(sample)).collect();
    json!({
        "value": Spread::of(&values).map(spread_document),
        "operations": latencies.len(),
        "min_us": at(0.0),
        "p50_us": at(50.0),
        "p90_us": at(90.0),
        "p99_us": at(99.0),
        "max_us": at(100.0),
    })
}

/// CPU time per operation of both sides, microseconds.
struct Cpu {
    ours_us: f64,
    theirs_us: f64,
}

impl Cpu {
    fn of(pairs: &[Pair]) -> Self {
        Self {
            ours_us: cpu_us_per_operation(pairs.iter().map(|pair| &pair.ours)),
            theirs_us: cpu_us_per_operation(pairs.iter().map(|pair| &pair.theirs)),
        }
    }

    fn ratio(&self) -> Option<f64> {
        (self.theirs_us > 0.0).then(|| self.ours_us / self.theirs_us)
    }
}

fn spread_document(spread: Spread) -> Value {
    json!({"median": round(spread.median), "min": round(spread.min), "max": round(spread.max)})
}

fn control_document(control: &Verdict) -> Value {
    json!({
        "what": "fork and exec of a static program that does nothing",
        "samples": control.samples,
        "median_us": round(control.median_us),
        "first_half_us": round(control.halves_us.0),
        "second_half_us": round(control.halves_us.1),
        "drift": round(control.drift()),
        "doubtful": control.is_doubtful(),
    })
}

/// Four digits after the point are more than any of this is worth.
fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// The stricter of the row's bounds that the median meets.
fn meets(row: &Row, pairs: &[Pair]) -> &'static str {
    let Some(median) = ratio(row.statistic, pairs).map(|spread| spread.median) else { return "nothing" };
    match (row.statistic.meets(median, row.aim), row.statistic.meets(median, row.must)) {
        (true, _) => "aim",
        (false, true) => "must",
        (false, false) => "nothing",
    }
}

/// The table, and below it what a reader must know before quoting from it.
pub(crate) fn table(run: &Run<'_>, finished: &[Finished]) -> String {
    let head = ["row", "ratio", "min–max", "must", "aim", "meets", "ours", "theirs", "CPU ratio", "pairs"];
    let mut lines: Vec<Vec<String>> = vec![head.map(String::from).into()];
    let mut notes = String::new();
    for one in finished {
        match &one.outcome {
            Outcome::Measured { pairs, control } => {
                lines.push(table_line(one.row, pairs, run.calibration));
                if control.is_doubtful() {
                    doubt(&mut notes, one.row.id, control);
                }
                if pairs.len() < args::PAIRS_DEFAULT {
                    note(&mut notes, &format!("{}: {} pairs are too few to quote", one.row.id, pairs.len()));
                }
            }
            Outcome::Skipped(reason) => note(&mut notes, &format!("{}: skipped: {reason}", one.row.id)),
            Outcome::Failed(reason) => note(&mut notes, &format!("{}: FAILED: {reason}", one.row.id)),
        }
    }
    if run.control.is_doubtful() {
        doubt(&mut notes, "the run", &run.control);
    }
    if run.calibration {
        note(&mut notes, "calibration: both sides are the comparator; ratios should be 1");
    }
    let control = format!(
        "control: {} per fork and exec, {} samples",
        time(run.control.median_us),
        run.control.samples
    );
    note(&mut notes, &control);
    format!("{}{notes}", aligned(&lines))
}

fn table_line(row: &Row, pairs: &[Pair], calibration: bool) -> Vec<String> {
    let spread = ratio(row.statistic, pairs);
    let times = |value: f64| format!("{value:.3}×");
    let (sign, unit): (&str, fn(f64) -> String) = match row.statistic {
        Statistic::Latency => ("≤", time),
        Statistic::Throughput => ("≥", |value| format!("{value:.0}/s")),
    };
    let middle = |side: fn(&Pair) -> &Sample| {
        median(&pairs.iter().map(|pair| row.statistic.of(side(pair))).collect::<Vec<_>>())
    };
    vec![
        row.id.into(),
        spread.map_or_else(String::new, |spread| times(spread.median)),
        spread.map_or_else(String::new, |spread| format!("{:.3}–{:.3}", spread.min, spread.max)),
        format!("{sign} {}×", row.must),
        format!("{sign} {}×", row.aim),
        if calibration { "—" } else { meets(row, pairs) }.into(),
        unit(middle(|pair| &pair.ours)),
        unit(middle(|pair| &pair.theirs)),
        Cpu::of(pairs).ratio().map_or_else(|| "—".into(), |ratio| format!("{ratio:.2}×")),
        pairs.len().to_string(),
    ]
}

/// A time in the unit in which it reads best.
pub(crate) fn time(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{us:.0} µs"),
        us if us < 1e6 => format!("{:.2} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

fn note(notes: &mut String, text: &str) {
    // Writing to a string cannot fail.
    writeln!(notes, "{text}").ok();
}

fn doubt(notes: &mut String, what: &str, control: &Verdict) {
    let (first, second) = (time(control.halves_us.0), time(control.halves_us.1));
    note(
        notes,
        &format!("WARNING: {what}: the control went from {first} to {second}; do not quote the figures"),
    );
}

/// Columns padded to their widest cell, counted in characters.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::ALL;

    fn verdict(first: f64, second: f64) -> Verdict {
        Verdict { samples: 4, median_us: first, halves_us: (first, second) }
    }

    fn run(control: Verdict) -> Run<'static> {
        Run { machine: json!({}), commit: "abc", date: "today", calibration: false, control }
    }

    fn finished(id: &str, ours: f64, theirs: f64) -> Finished {
        let row = ALL.iter().find(|row| row.id == id).expect("a row");
        let sample = |us: f64| Sample { latencies_us: vec![us], wall_us: us, cpu_us: us };
        let pairs = (0..15).map(|_| Pair { ours: sample(ours), theirs: sample(theirs) }).collect();
        Finished { row, outcome: Outcome::Measured { pairs, control: verdict(1.0, 1.0) } }
    }

    #[test]
    fn the_document_has_the_ratio_and_both_sides() {
        let document = document(&run(verdict(100.0, 100.0)), &[finished("C4", 200.0, 100.0)], &[]);
        let row = &document["rows"][0];
        assert_eq!(row["ratio"], json!({"median": 2.0, "min": 2.0, "max": 2.0}));
        assert_eq!((&row["ours"]["p50_us"], &row["theirs"]["p50_us"]), (&json!(200.0), &json!(100.0)));
        assert_eq!((&row["meets"], &row["cpu"]["ratio"]), (&json!("must"), &json!(2.0)));
    }

    #[test]
    fn a_row_that_did_not_run_has_a_reason_and_no_figures() {
        let row = ALL[0];
        let skipped = Finished { row, outcome: Outcome::Skipped("no Python".into()) };
        let document = document(&run(verdict(1.0, 1.0)), &[skipped], &[]);
        assert_eq!(document["rows"][0]["reason"], "no Python");
        assert!(document["rows"][0].get("ratio").is_none());
    }

    #[test]
    fn gauges_are_told_with_their_bounds() {
        let bounds = Some(Bounds::at_most(2048.0, 512.0));
        let figures =
            Ok(vec![Figure { what: "per function".into(), value: 1024.0, unit: Unit::Bytes, bounds }]);
        let readings = [Reading { gauge: crate::gauges::ALL[0], figures }];
        let document = document(&run(verdict(1.0, 1.0)), &[], &readings);
        let figure = &document["gauges"][0]["figures"][0];
        assert_eq!(
            (&figure["value"], &figure["unit"], &figure["meets"]),
            (&json!(1024.0), &json!("bytes"), &json!("must"))
        );
        let text = readings_table(&readings);
        assert!(
            text.contains("1.0 KiB") && text.contains("≤ 512 B") && text.contains("per function"),
            "{text}"
        );
        assert_eq!(readings_table(&[]), "");
    }

    #[test]
    fn a_drifting_control_is_announced() {
        let text = table(&run(verdict(100.0, 250.0)), &[finished("W4", 100.0, 100.0)]);
        assert!(text.contains("WARNING: the run"), "{text}");
        let text = table(&run(verdict(100.0, 150.0)), &[finished("W4", 100.0, 100.0)]);
        assert!(!text.contains("WARNING"), "{text}");
    }

    #[test]
    fn columns_are_aligned_by_characters_not_bytes() {
        let lines = [["a", "b"], ["µµµ", "c"]].map(|line| line.map(String::from).to_vec());
        assert_eq!(aligned(&lines), "a    b\nµµµ  c\n");
    }
}
