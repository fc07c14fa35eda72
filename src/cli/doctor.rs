//! `hearth doctor`: what `host` found, which runtimes follow, and what a running daemon says of itself.

use super::args;
use super::endpoint;
use super::failure::Failure;
use super::host::{self, Finding, Languages, Verdict};
use super::logs;
use super::table::{Cell, Table};
use super::terminal::{self, Output, Paint};
use crate::runtimes::Language;
use serde_json::{Value, json};
use std::path::Path;

/// Bytes of a daemon's report.
const REPORT_MAX: usize = 1 << 20;

/// Runs the verb.
pub(super) fn run(args: &args::Doctor) -> Result<(), Failure> {
    let findings = host::look();
    let languages = host::languages();
    let socket = endpoint::admin_socket(&endpoint::state_dir(args.state_dir.as_deref()));
    let daemon = ask(&socket);
    let output = Output::of_this_process();
    if args.json {
        terminal::print_json(&as_json(&findings, &languages, &daemon))?;
    } else {
        terminal::print(as_text(&findings, &languages, &daemon, output))?;
    }
    // The report is the explanation.
    if findings.iter().any(|finding| finding.verdict == Verdict::Missing) {
        Err(Failure::Reported)
    } else {
        Ok(())
    }
}

/// What a running daemon says of itself, or why none does.
fn ask(socket: &Path) -> Result<Value, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(logs::ask_json(socket, "/doctor", REPORT_MAX)).map_err(|error| error.to_string())
}

fn as_json(findings: &[Finding], languages: &Languages, daemon: &Result<Value, String>) -> Value {
    let host: Vec<Value> = findings
        .iter()
        .map(|it| json!({ "name": it.name, "state": it.verdict.word(), "detail": it.detail, "remedy": it.remedy }))
        .collect();
    let interpreters: Vec<Value> = languages
        .interpreters
        .iter()
        .map(|it| json!({ "release": it.release, "program": it.prefix.join(&it.program) }))
        .collect();
    json!({
        "host": host,
        "interpreters": interpreters,
        "runtimes": {
            "available": languages.available,
            "absent": languages.absent,
            "remedy": host::languages_remedy(&languages.absent),
        },
        "daemon": daemon.as_ref().ok(),
    })
}

fn as_text(
    findings: &[Finding],
    languages: &Languages,
    daemon: &Result<Value, String>,
    output: Output,
) -> String {
    let mut table = Table::new(["STATE", "WHAT", "FOUND"]);
    for finding in findings {
        table.push([state(finding.verdict), Cell::text(finding.name), Cell::text(&finding.detail)]);
    }
    for language in [Language::Python, Language::Node] {
        let name = match language {
            Language::Python => "python",
            Language::Node => "node",
        };
        let mut found = languages.interpreters.iter().filter(|it| it.language == language).peekable();
        if found.peek().is_none() {
            table.push([state(Verdict::Limited), Cell::text(name), Cell::text("no interpreter")]);
        }
        for it in found {
            let place = format!("{} at {}", it.release, it.prefix.join(&it.program).display());
            table.push([state(Verdict::Fine), Cell::text(name), Cell::text(place)]);
        }
    }
    let said = match daemon {
        Ok(report) => [state(Verdict::Fine), Cell::text("daemon"), Cell::text(running(report))],
        Err(why) => [Cell::text("-"), Cell::text("daemon"), Cell::text(format!("none answers: {why}"))],
    };
    table.push(said);
    let mut text = table.render(output);
    text.push_str(&format!("\nRuntimes here: {}\n", languages.available.join(", ")));
    if !languages.absent.is_empty() {
        text.push_str(&format!("Not here:      {}\n", languages.absent.join(", ")));
    }
    let remedies = findings.iter().filter_map(|finding| Some((finding.name, finding.remedy.clone()?)));
    let remedies: Vec<_> = remedies
        .chain(host::languages_remedy(&languages.absent).map(|remedy| ("runtimes", remedy)))
        .collect();
    if !remedies.is_empty() {
        text.push_str("\nWhat to do:\n");
    }
    for (name, remedy) in remedies {
        text.push_str(&format!("  {name}: {remedy}\n"));
    }
    text
}

fn state(verdict: Verdict) -> Cell {
    let paint = match verdict {
        Verdict::Fine => Paint::Green,
        Verdict::Limited => Paint::Yellow,
        Verdict::Missing => Paint::Red,
    };
    Cell::text(verdict.word()).paint(paint)
}

/// One line from a daemon's report, whatever release wrote it.
fn running(report: &Value) -> String {
    let absent = report["runtimes_absent"].as_array().map_or(0, Vec::len);
    let present = report["runtimes"].as_array().map_or(0, Vec::len);
    format!(
        "version {}, process {}, control groups {}, {present} runtimes served, {absent} not",
        report["version"].as_str().unwrap_or("unknown"),
        report["pid"],
        report["cgroups"].as_str().unwrap_or("unknown"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn languages() -> Languages {
        Languages { interpreters: Vec::new(), available: vec!["provided.al2023"], absent: vec!["python3.12"] }
    }

    fn missing() -> Finding {
        Finding {
            name: "mkfs.ext4",
            verdict: Verdict::Missing,
            detail: "not found".to_owned(),
            remedy: Some("apt-get install e2fsprogs".to_owned()),
        }
    }

    #[test]
    fn people_read_what_is_missing_and_what_to_do() {
        let output = Output { is_terminal: true, colours: false };
        let text = as_text(&[missing()], &languages(), &Err("no socket".to_owned()), output);
        assert!(text.contains("missing  mkfs.ext4  not found\n"), "{text}");
        assert!(text.contains("  mkfs.ext4: apt-get install e2fsprogs\n"), "{text}");
        assert!(
            text.contains("Not here:      python3.12\n") && text.contains("none answers: no socket"),
            "{text}"
        );
    }

    #[test]
    fn programs_read_the_same() {
        let report = json!({ "version": "0.1.0", "pid": 7, "cgroups": "v2", "runtimes": ["x"], "runtimes_absent": [] });
        let value = as_json(&[missing()], &languages(), &Ok(report.clone()));
        assert_eq!(value["host"][0]["state"], "missing");
        assert_eq!(value["host"][0]["remedy"], "apt-get install e2fsprogs");
        assert_eq!(value["runtimes"]["absent"][0], "python3.12");
        assert_eq!(value["daemon"], report);
        assert_eq!(running(&report), "version 0.1.0, process 7, control groups v2, 1 runtimes served, 0 not");
        assert_eq!(as_json(&[], &languages(), &Err("x".to_owned()))["daemon"], Value::Null);
    }
}
