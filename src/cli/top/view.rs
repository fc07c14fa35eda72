//! Lines of text from a snapshot: a summary, then a table of functions in the order that was asked for.
//!
//! A function of snapshot, order and height; it knows neither terminal nor daemon. Lines are not cut to a width here.

use super::super::screen::Line;
use super::super::table::{Cell, Table};
use super::super::terminal::{Output, Paint};
use super::super::why::milliseconds;
use clap::ValueEnum;
use hearth_api::primitives::EpochTime;
use serde::Deserialize;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Characters of a function's name that are shown.
const NAME_MAX: usize = 40;
/// Characters of what went wrong.
const TROUBLE_MAX: usize = 500;
const KEYS: &str = "q quit   s, S sort by the next, the previous column   r reverse";

/// The daemon's answer.
#[derive(Debug, Deserialize)]
pub(super) struct Snapshot {
    version: String,
    time_ms: i64,
    window_s: f64,
    concurrency: Concurrency,
    environments: Environments,
    environments_max: u64,
    memory_promised_mb: u64,
    memory_budget_mb: u64,
    recent: Recent,
    functions_total: usize,
    functions: Vec<Function>,
}

#[derive(Debug, Deserialize)]
struct Concurrency {
    running: u64,
    limit: u64,
    unreserved_running: u64,
    unreserved: u64,
    waiting: u64,
}

/// By state; whatever states the daemon names.
type Environments = BTreeMap<String, u64>;

#[derive(Debug, Deserialize)]
struct Function {
    function: String,
    running: u64,
    waiting: u64,
    reserved: Option<u64>,
    environments: Environments,
    recent: Recent,
}

#[derive(Debug, Deserialize)]
struct Recent {
    invocations: u64,
    per_second: f64,
    warm: u64,
    cold: u64,
    provisioned: u64,
    spilled_over: u64,
    cold_share: f64,
    errors: u64,
    failures: u64,
    throttles: BTreeMap<String, u64>,
    latency_ms: Percentiles,
    duration_ms: Percentiles,
}

impl Recent {
    fn throttled(&self) -> u64 {
        self.throttles.values().sum()
    }
}

#[derive(Debug, Deserialize)]
struct Percentiles {
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
}

/// A column to sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// The name
    Function,
    /// Invocations in flight
    Running,
    /// Environments
    Environments,
    /// Invocations per second
    Rate,
    /// Share of cold starts
    Cold,
    /// Errors
    Errors,
    /// Throttles
    Throttles,
    /// Median latency
    P50,
    /// Latency that one in a hundred exceeds
    P99,
}

/// How functions are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    sort: Sort,
    is_reversed: bool,
}

impl Order {
    /// By a column: names from a to z, figures from the largest down.
    pub(super) const fn by(sort: Sort) -> Self {
        Self { sort, is_reversed: false }
    }

    /// By the column after.
    pub(super) fn next(self) -> Self {
        self.moved(1)
    }

    /// By the column before.
    pub(super) fn previous(self) -> Self {
        self.moved(Sort::value_variants().len() - 1)
    }

    /// The other way round.
    pub(super) const fn reversed(self) -> Self {
        Self { is_reversed: !self.is_reversed, ..self }
    }

    fn moved(self, by: usize) -> Self {
        let all = Sort::value_variants();
        let at = all.iter().position(|sort| *sort == self.sort).unwrap_or(0);
        Self { sort: all[(at + by) % all.len()], ..self }
    }

    fn compare(self, one: &Function, other: &Function) -> Ordering {
        let number = |function: &Function| match self.sort {
            Sort::Function => 0.0,
            Sort::Running => function.running as f64,
            Sort::Environments => total(&function.environments) as f64,
            Sort::Rate => function.recent.per_second,
            Sort::Cold => function.recent.cold_share,
            Sort::Errors => (function.recent.errors + function.recent.failures) as f64,
            Sort::Throttles => function.recent.throttled() as f64,
            Sort::P50 => function.recent.latency_ms.p50.unwrap_or(-1.0),
            Sort::P99 => function.recent.latency_ms.p99.unwrap_or(-1.0),
        };
        let by_figure = number(other).total_cmp(&number(one));
        let order = by_figure.then_with(|| one.function.cmp(&other.function));
        if self.is_reversed { order.reverse() } else { order }
    }

    fn name(self) -> String {
        let name = self.sort.to_possible_value().map(|it| it.get_name().to_owned()).unwrap_or_default();
        if self.is_reversed { format!("{name}, reversed") } else { name }
    }
}

fn total(environments: &Environments) -> u64 {
    environments.values().sum()
}

/// A view that fits so many rows, with the keys below it.
pub(super) fn screenful(snapshot: &Snapshot, order: Order, rows: usize, trouble: Option<&str>) -> Vec<Line> {
    let last = match trouble {
        None => plain(KEYS),
        Some(why) => painted(&why.chars().take(TROUBLE_MAX).collect::<String>(), Paint::Red),
    };
    let mut all = lines(snapshot, order, rows.saturating_sub(1));
    all.truncate(rows.saturating_sub(1));
    all.push(last);
    all
}

/// A view of so many lines at most; functions that have no room are counted in its last line.
pub(super) fn lines(snapshot: &Snapshot, order: Order, max: usize) -> Vec<Line> {
    let mut lines = summary(snapshot, order);
    lines.push(plain(""));
    let mut functions: Vec<&Function> = snapshot.functions.iter().collect();
    functions.sort_by(|one, other| order.compare(one, other));
    // The heading of the table, and the line that counts the others.
    let room = max.saturating_sub(lines.len() + 1);
    let is_whole = functions.len() == snapshot.functions_total && functions.len() <= room;
    if !is_whole {
        functions.truncate(room.saturating_sub(1));
    }
    let shown = functions.len();
    let text = table(&functions).render(Output { is_terminal: true, colours: false });
    for (at, row) in text.lines().enumerate() {
        lines.push(if at == 0 { painted(row, Paint::Bold) } else { plain(row.trim_end()) });
    }
    if !is_whole {
        lines.push(plain(&format!("{} of {} functions", shown, snapshot.functions_total)));
    }
    lines
}

fn summary(snapshot: &Snapshot, order: Order) -> Vec<Line> {
    let Snapshot { concurrency, recent, .. } = snapshot;
    let share = |part: u64| if recent.invocations == 0 { 0.0 } else { percent(part, recent.invocations) };
    let head = format!(
        "hearth {}   {}   last {}   sorted by {}",
        snapshot.version,
        EpochTime::from_ms(snapshot.time_ms).to_iso_text(),
        seconds(snapshot.window_s),
        order.name()
    );
    let running = format!(
        "Concurrency   {} of {} in flight, unreserved {} of {}, {} waiting",
        concurrency.running,
        concurrency.limit,
        concurrency.unreserved_running,
        concurrency.unreserved,
        concurrency.waiting
    );
    let states: Vec<String> =
        snapshot.environments.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let environments = format!(
        "Environments  {} of {}: {}; {} of {} MB promised",
        total(&snapshot.environments),
        snapshot.environments_max,
        states.join(", "),
        snapshot.memory_promised_mb,
        snapshot.memory_budget_mb
    );
    let invocations = format!(
        "Invocations   {:.1}/s: {:.1} % warm, {:.1} % cold, {:.1} % provisioned; {} spilled over, {} errors, {} failures",
        recent.per_second,
        share(recent.warm),
        share(recent.cold),
        share(recent.provisioned),
        recent.spilled_over,
        recent.errors,
        recent.failures
    );
    let reasons: Vec<String> =
        recent.throttles.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let throttles = match recent.throttled() {
        0 => plain("Throttles     0"),
        all => painted(&format!("Throttles     {all}: {}", reasons.join(", ")), Paint::Yellow),
    };
    let latency = format!(
        "Latency       {}; of the functions alone {}",
        percentiles(&recent.latency_ms),
        percentiles(&recent.duration_ms)
    );
    let is_full = |used: u64, limit: u64| used > 0 && used >= limit;
    let full = is_full(concurrency.running, concurrency.limit)
        || is_full(concurrency.unreserved_running, concurrency.unreserved);
    let line = |text: String, warns: bool| Line { text, paint: warns.then_some(Paint::Yellow) };
    vec![
        painted(&head, Paint::Bold),
        line(running, full),
        line(environments, is_full(total(&snapshot.environments), snapshot.environments_max)),
        line(invocations, false),
        throttles,
        line(latency, false),
    ]
}

fn table(functions: &[&Function]) -> Table<13> {
    let mut table = Table::new([
        "FUNCTION", "RUN", "RESERVED", "WAIT", "IDLE", "BUSY", "OTHER", "RATE/S", "COLD %", "ERR", "THR",
        "P50", "P99",
    ]);
    for function in functions {
        let recent = &function.recent;
        let state = |name: &str| function.environments.get(name).copied().unwrap_or(0);
        let (idle, busy) = (state("idle") + state("frozen"), state("busy"));
        let figure = |ms: Option<f64>| Cell::number(ms.map_or("-".to_owned(), milliseconds));
        table.push([
            Cell::text(shortened(&function.function)),
            Cell::number(function.running),
            Cell::number(function.reserved.map_or("-".to_owned(), |reserved| reserved.to_string())),
            Cell::number(function.waiting),
            Cell::number(idle),
            Cell::number(busy),
            Cell::number(total(&function.environments) - idle - busy),
            Cell::number(format!("{:.1}", recent.per_second)),
            Cell::number(format!("{:.1}", recent.cold_share * 100.0)),
            Cell::number(recent.errors + recent.failures),
            Cell::number(recent.throttled()),
            figure(recent.latency_ms.p50),
            figure(recent.latency_ms.p99),
        ]);
    }
    table
}

fn shortened(name: &str) -> String {
    match name.chars().count() {
        0..=NAME_MAX => name.to_owned(),
        _ => name.chars().take(NAME_MAX - 1).chain(['~']).collect(),
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64 * 100.0
}

fn percentiles(all: &Percentiles) -> String {
    let one = |ms: Option<f64>| ms.map_or("-".to_owned(), milliseconds);
    format!("p50 {}, p90 {}, p99 {}", one(all.p50), one(all.p90), one(all.p99))
}

fn seconds(seconds: f64) -> String {
    if seconds.fract() < 0.05 { format!("{seconds:.0} s") } else { format!("{seconds:.1} s") }
}

fn plain(text: &str) -> Line {
    Line { text: clean(text), paint: None }
}

fn painted(text: &str, paint: Paint) -> Line {
    Line { text: clean(text), paint: Some(paint) }
}

fn clean(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn recent(per_second: f64, cold_share: f64, p99: Option<f64>) -> Value {
        json!({
            "invocations": (per_second * 10.0) as u64, "per_second": per_second, "warm": 9, "cold": 1,
            "provisioned": 0, "spilled_over": 0, "cold_share": cold_share, "errors": 0, "failures": 0,
            "throttles": { "QueueFull": 2 }, "latency_ms": { "p50": 1.5, "p90": 2.5, "p99": p99 },
            "duration_ms": { "p50": 1.0, "p90": 2.0, "p99": 3.0 },
        })
    }

    fn snapshot(functions: &[(&str, f64)]) -> Snapshot {
        let listed: Vec<Value> = functions
            .iter()
            .map(|(name, rate)| {
                json!({
                    "function": name, "running": 1, "waiting": 0, "reserved": null,
                    "environments": { "starting": 1, "idle": 2, "busy": 3, "leaving": 0, "later": 4 },
                    "recent": recent(*rate, 1.0 / rate, None),
                })
            })
            .collect();
        serde_json::from_value(json!({
            "version": "0.1.0", "time_ms": 0, "window_s": 10.0,
            "concurrency": { "running": 10, "limit": 10, "unreserved_running": 1, "unreserved": 8, "waiting": 2 },
            "environments": { "idle": 2, "busy": 3 }, "environments_max": 1024,
            "memory_promised_mb": 640, "memory_budget_mb": 32768,
            "recent": recent(1.0, 0.1, Some(210.0)),
            "functions_total": functions.len(), "functions": listed,
        }))
        .expect("is a snapshot")
    }

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn a_snapshot_says_everything_at_a_glance() {
        let lines = lines(&snapshot(&[("a", 2.0)]), Order::by(Sort::Rate), usize::MAX);
        let texts = texts(&lines);
        assert_eq!(texts[0], "hearth 0.1.0   1970-01-01T00:00:00.000Z   last 10 s   sorted by rate");
        assert_eq!(texts[1], "Concurrency   10 of 10 in flight, unreserved 1 of 8, 2 waiting");
        assert_eq!(lines[1].paint, Some(Paint::Yellow), "the limit is reached");
        assert_eq!(texts[2], "Environments  5 of 1024: 3 busy, 2 idle; 640 of 32768 MB promised");
        assert!(texts[3].starts_with("Invocations   1.0/s: 90.0 % warm, 10.0 % cold"), "{}", texts[3]);
        assert_eq!(texts[4], "Throttles     2: QueueFull 2");
        assert!(texts[5].starts_with("Latency       p50 1.5 ms, p90 2.5 ms, p99 210 ms;"), "{}", texts[5]);
        let row: Vec<&str> = texts[8].split_whitespace().collect();
        assert_eq!(row, ["a", "1", "-", "0", "2", "3", "5", "2.0", "50.0", "0", "2", "1.5", "ms", "-"]);
    }

    #[test]
    fn functions_come_in_the_order_asked_for() {
        let snapshot = snapshot(&[("a", 2.0), ("b", 4.0), ("c", 4.0)]);
        let names = |order: Order| {
            let lines = lines(&snapshot, order, usize::MAX);
            lines[8..].iter().filter_map(|line| line.text.chars().next()).collect::<String>()
        };
        assert_eq!(names(Order::by(Sort::Rate)), "bca");
        assert_eq!(names(Order::by(Sort::Rate).reversed()), "acb");
        assert_eq!(names(Order::by(Sort::Cold)), "abc");
        assert_eq!(names(Order::by(Sort::Function)), "abc");
        assert_eq!(names(Order::by(Sort::Function).reversed()), "cba");
        assert_eq!(Order::by(Sort::P99).next(), Order::by(Sort::Function));
        assert_eq!(Order::by(Sort::Function).previous(), Order::by(Sort::P99));
    }

    #[test]
    fn a_view_never_has_more_lines_than_rows_and_counts_what_it_leaves_out() {
        let many: Vec<(String, f64)> = (0..50).map(|at| (format!("f{at:02}"), 1.0 + f64::from(at))).collect();
        let many: Vec<(&str, f64)> = many.iter().map(|(name, rate)| (name.as_str(), *rate)).collect();
        let snapshot = snapshot(&many);
        for rows in 0..80 {
            let lines = screenful(&snapshot, Order::by(Sort::Rate), rows, None);
            assert!(lines.len() <= rows.max(1), "{rows}");
            assert_eq!(lines.last().map(|line| line.text.as_str()), Some(KEYS));
            if (12..58).contains(&rows) {
                let told = texts(&lines)[rows - 2].to_owned();
                assert_eq!(told, format!("{} of 50 functions", rows - 10), "{rows}");
            }
        }
        let lines = screenful(&snapshot, Order::by(Sort::Rate), 20, Some("gone\x1b"));
        assert_eq!(
            lines.last().map(|line| (line.text.as_str(), line.paint)),
            Some(("gone ", Some(Paint::Red)))
        );
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(shortened(&"x".repeat(40)).len(), 40);
        assert_eq!(shortened(&"x".repeat(41)), format!("{}~", "x".repeat(39)));
    }
}
