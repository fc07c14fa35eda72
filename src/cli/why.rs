//! `hearth why`: the reason for what happened to an invocation, from the records that the daemon holds.
//!
//! The daemon says what it decided, by what limit and on which grounds; `words` makes sentences of that, `advice` says
//! what to do. With `--json` everything passes through as the daemon said it.

mod advice;
mod words;

pub(super) use words::milliseconds;

use super::args;
use super::endpoint;
use super::failure::Failure;
use super::logs;
use super::table::{Cell, Table};
use super::terminal::{self, Output, Paint};
use hearth_api::codec::encode_label;
use hearth_api::primitives::EpochTime;
use serde_json::{Value, json};

/// Bytes of an answer: a thousand records of at most some kilobytes.
const ANSWER_MAX: usize = 16 << 20;

/// Runs the verb.
pub(super) fn run(args: &args::Why) -> Result<(), Failure> {
    let query = match (&args.request_id, &args.function) {
        (Some(id), _) => format!("/why?request_id={}", encode_label(id.trim())),
        (None, Some(name)) => format!("/why?function={}&last={}", encode_label(name), args.last),
        // The command line has one of them.
        (None, None) => return Err(Failure::Usage("say a request id or --function NAME".to_owned())),
    };
    let socket = endpoint::admin_socket(&endpoint::state_dir(args.state_dir.as_deref()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let told = runtime.block_on(logs::ask_json(&socket, &query, ANSWER_MAX))?;
    let records: Vec<Value> = told["records"].as_array().cloned().unwrap_or_default();
    let Some(first) = records.first() else {
        let subject = match (&args.request_id, &args.function) {
            (Some(id), _) => format!("no decision about a request {id} is known"),
            (None, name) => format!("no decision about {} is known", name.as_deref().unwrap_or_default()),
        };
        return Err(Failure::because(format!("{subject}: {}", reach(&told))));
    };
    if args.json {
        return match args.request_id {
            Some(_) => terminal::print_json(first),
            None => terminal::print_json(&json!({ "records": records })),
        };
    }
    let output = Output::of_this_process();
    match args.request_id {
        Some(_) => terminal::print(in_full(first, &told["limits"], output)),
        None => terminal::print(listed(&records, output)),
    }
}

/// How far the daemon's memory goes.
fn reach(told: &Value) -> String {
    let max = &told["held_max"];
    match told["oldest_ms"].as_i64() {
        Some(oldest) if told["held"] == *max => format!(
            "the daemon holds the last {max} decisions, and the oldest of them is of {}. What was invoked before, \
             or never reached it, is not known",
            EpochTime::from_ms(oldest).to_iso_text()
        ),
        Some(_) => format!(
            "the daemon holds the last {max} decisions since it was started, {} so far. Requests that were refused \
             before they were decided about, and those of an earlier start, are not among them",
            told["held"]
        ),
        None => format!(
            "the daemon holds the last {max} decisions since it was started, and there has been no invocation yet"
        ),
    }
}

fn moment(record: &Value) -> String {
    EpochTime::from_ms(record["time_ms"].as_i64().unwrap_or(0)).to_iso_text()
}

fn paint(record: &Value) -> Option<Paint> {
    match record["outcome"].as_str() {
        Some("succeeded") => Some(Paint::Green),
        Some("waiting" | "running") | None => None,
        Some("throttled") => Some(Paint::Yellow),
        Some(_) => Some(Paint::Red),
    }
}

fn painted(text: &str, record: &Value) -> Cell {
    let cell = Cell::text(text);
    match paint(record) {
        Some(paint) => cell.paint(paint),
        None => cell,
    }
}

/// One line per invocation, newest first.
fn listed(records: &[Value], output: Output) -> String {
    let mut table =
        Table::new(["TIME", "REQUEST", "QUALIFIER", "OUTCOME", "START", "WAITED", "INIT", "DURATION", "WHY"]);
    for record in records {
        let figure =
            |name: &str| Cell::number(record[name].as_f64().map_or("-".to_owned(), words::milliseconds));
        let outcome = record["outcome"].as_str().unwrap_or("unknown");
        let qualifier = record["qualifier"].as_str().or(record["version"].as_str()).unwrap_or("-");
        table.push([
            Cell::text(moment(record)),
            Cell::text(record["request_id"].as_str().unwrap_or("-")),
            Cell::text(qualifier),
            painted(outcome, record),
            Cell::text(record["start"].as_str().unwrap_or("-")),
            figure("waited_ms"),
            figure("init_ms"),
            figure("duration_ms"),
            Cell::text(words::in_short(record)),
        ]);
    }
    table.render(output)
}

/// All that is known of one invocation, in sentences under short headings.
fn in_full(record: &Value, limits: &Value, output: Output) -> String {
    let text = |name: &str| record[name].as_str().unwrap_or("-");
    let mut rows = vec![
        ("Request", text("request_id").to_owned()),
        ("Function", words::name(record)),
        ("Time", moment(record)),
        ("Outcome", words::outcome(record)),
    ];
    rows.extend(words::start(record).map(|it| ("Start", it)));
    rows.extend(words::waiting(record).map(|it| ("Waited", it)));
    rows.extend(words::throttle(record, limits).map(|it| ("Throttled", it)));
    rows.extend(words::eviction(record).map(|it| ("Made room", it)));
    if record["environment"].is_u64() {
        rows.push(("Ran in", format!("environment {}", record["environment"])));
        rows.push(("Log", format!("{}, stream {}", text("log_group"), text("log_stream"))));
    }
    let advice = advice::advice(record, limits);
    let mut shown = String::new();
    for (heading, said) in rows {
        // What the function's name or an error says must not steer the terminal.
        let clean: String = said.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
        let body = match (heading, paint(record)) {
            ("Outcome", Some(paint)) => paint.on(&clean, output.colours),
            _ => clean,
        };
        shown.push_str(&format!("{}  {body}\n", Paint::Bold.on(&format!("{heading:<9}"), output.colours)));
    }
    if !advice.is_empty() {
        shown.push_str("\nWhat to do:\n");
        for line in advice {
            shown.push_str(&format!("  {line}\n"));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Output = Output { is_terminal: true, colours: false };

    #[test]
    fn what_is_not_known_is_said_with_the_bound() {
        let early = reach(&json!({ "held": 3, "held_max": 65536, "oldest_ms": 0 }));
        assert!(early.contains("last 65536 decisions") && early.contains("3 so far"), "{early}");
        let full = reach(&json!({ "held": 65536, "held_max": 65536, "oldest_ms": 1000 }));
        assert!(full.contains("the oldest of them is of 1970-01-01T00:00:01.000Z"), "{full}");
        assert!(
            reach(&json!({ "held": 0, "held_max": 65536, "oldest_ms": null })).contains("no invocation yet")
        );
    }

    #[test]
    fn a_record_is_told_in_full() {
        let record = json!({
            "request_id": "6a3f0d0e-0000-4000-8000-000000000000", "time_ms": 0, "function": "f\u{1b}[2J",
            "version": "3", "qualifier": "live", "outcome": "succeeded", "start": "cold", "cold_because": "first",
            "spilled_over": false, "others": 0, "waited_ms": 210.5, "waited_for": "initialization",
            "evicted": [], "evicted_count": 0, "environment": 4, "log_group": "/aws/lambda/f",
            "log_stream": "s", "init_ms": 200.0, "duration_ms": 1.25, "total_ms": 212.0, "deliveries": 1,
        });
        let text = in_full(&record, &json!({ "idle_timeout_s": 300.0 }), PLAIN);
        for part in [
            "Function   f [2J:live (version 3)\n",
            "Outcome    it succeeded after 1.25 ms of the function's time, 212 ms after it came\n",
            "Start      cold: an environment was made for it",
            "Waited     210.5 ms for that environment",
            "Ran in     environment 4\n",
            "Log        /aws/lambda/f, stream s\n",
            "What to do:\n",
        ] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
    }

    #[test]
    fn records_are_listed_one_a_line() {
        let records = [
            json!({ "request_id": "a", "time_ms": 0, "outcome": "succeeded", "start": "warm", "version": "$LATEST",
                    "waited_ms": 0.0, "duration_ms": 1.5 }),
            json!({ "request_id": "b", "time_ms": 0, "outcome": "throttled", "qualifier": "live",
                    "throttled_by": "ConcurrentInvocationLimitExceeded", "waited_ms": 0.0 }),
        ];
        let text = listed(&records, Output { is_terminal: false, colours: false });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "1970-01-01T00:00:00.000Z\ta\t$LATEST\tsucceeded\twarm\t0 ms\t-\t1.5 ms\t-");
        assert!(
            lines[1].ends_with("\tlive\tthrottled\t-\t0 ms\t-\t-\tConcurrentInvocationLimitExceeded"),
            "{text}"
        );
    }
}
