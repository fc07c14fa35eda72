//! The house rules that a machine can check: sizes, headers, forbidden words, who may use what, honest documentation.
//!
//! Reads the sources as text, so it is approximate where a compiler would be exact; what the compiler and clippy can
//! say (unused code, missing docs, `unwrap`) is left to them. Deliberately without dependencies: it must be the last
//! thing to break.

#[path = "tidy/documents.rs"]
mod documents;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of a module, its tests included.
const MODULE_LINES_MAX: usize = 1_000;
/// Above this the header has to say why.
const MODULE_LINES_EXPLAINED: usize = 600;
/// The sentence that a long module's header begins its reason with.
const LONG_BECAUSE: &str = "Long because";
/// Lines of a function between its first and its last line.
const FUNCTION_LINES_MAX: usize = 70;
/// Where sources and documents are, beside those at the top.
const SOURCE_ROOTS: [&str; 7] =
    ["src", "runtime-api", "tests", "benches", "sample-functions", "sample-workloads", "deploy"];
/// Folders that hold no sources of ours.
const SKIPPED_FOLDERS: [&str; 5] = ["target", "build", "node_modules", "__pycache__", ".git"];

/// One source file: its place relative to the repository, and its text.
struct Source {
    place: String,
    text: String,
}

impl Source {
    fn is_in(&self, room: &str) -> bool {
        self.place.starts_with(room)
    }

    /// Lines outside `#[cfg(test)]` modules at the end of the file, numbered from 1, comments taken away.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = self.text.find("\n#[cfg(test)]\nmod ").unwrap_or(self.text.len());
        self.text[..end].lines().enumerate().map(|(at, line)| (at + 1, without_comment(line)))
    }
}

/// What went wrong, collected, so that one run shows all of it.
#[derive(Default)]
struct Complaints(String);

impl Complaints {
    fn add(&mut self, source: &Source, line: usize, what: &str) {
        let _ = writeln!(self.0, "{}:{line}: {what}", source.place);
    }

    fn settle(self) {
        assert!(self.0.is_empty(), "\n{}", self.0);
    }
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below the source roots whose name ends so.
fn sources(ending: &str) -> Vec<Source> {
    let root = repository();
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> =
        SOURCE_ROOTS.iter().map(|name| root.join(name)).filter(|path| path.is_dir()).collect();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && !SKIPPED_FOLDERS.contains(&name) {
                folders.push(path);
            } else if path.is_file() && name.ends_with(ending) {
                found.extend(read(&root, &path));
            }
        }
    }
    found.sort_by(|one, other| one.place.cmp(&other.place));
    found
}

/// Files at the top of the repository whose name ends so.
fn at_the_top(ending: &str) -> Vec<Source> {
    let root = repository();
    let entries =
        fs::read_dir(&root).expect("the repository can be read").flatten().map(|entry| entry.path());
    let files =
        entries.filter(|path| path.is_file() && path.to_str().is_some_and(|name| name.ends_with(ending)));
    files.filter_map(|path| read(&root, &path)).collect()
}

fn read(root: &Path, path: &Path) -> Option<Source> {
    let text = fs::read_to_string(path).ok()?;
    let place = path.strip_prefix(root).ok()?.to_str()?.to_owned();
    Some(Source { place, text })
}

/// The line without a trailing `//` comment. A `//` inside a string ends the line, too: good enough for words of code.
fn without_comment(line: &str) -> &str {
    let cut = line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':')).map(|(at, _)| at);
    cut.map_or(line, |at| &line[..at])
}

/// This file is full of the words that it looks for.
fn is_this_file(source: &Source) -> bool {
    source.place == "tests/tidy.rs"
}

fn rust() -> Vec<Source> {
    let found: Vec<Source> = sources(".rs").into_iter().filter(|source| !is_this_file(source)).collect();
    assert!(found.len() > 20, "the sources were not found; looked below {}", repository().display());
    found
}

#[test]
fn modules_are_short_or_say_why() {
    let mut complaints = Complaints::default();
    for source in rust() {
        let lines = source.text.lines().count();
        let header: String = source.text.lines().take_while(|line| line.starts_with("//!")).collect();
        let generated = header.contains("Generated table");
        if lines > MODULE_LINES_MAX && !generated {
            complaints.add(&source, lines, &format!("{lines} lines; {MODULE_LINES_MAX} at most"));
        } else if lines > MODULE_LINES_EXPLAINED && !header.contains(LONG_BECAUSE) && !generated {
            let rule =
                format!("{lines} lines; above {MODULE_LINES_EXPLAINED} the header says `{LONG_BECAUSE} …`");
            complaints.add(&source, lines, &rule);
        }
    }
    complaints.settle();
}

#[test]
fn every_file_has_a_header() {
    let mut complaints = Complaints::default();
    for source in rust() {
        if !source.text.starts_with("//!") {
            complaints.add(&source, 1, "the first line has to be `//!`: what the file decides or does");
        }
    }
    complaints.settle();
}

#[test]
fn functions_fit_a_screen() {
    let mut complaints = Complaints::default();
    for source in rust() {
        for (line, length) in function_lengths(&source.text) {
            if length > FUNCTION_LINES_MAX {
                complaints.add(
                    &source,
                    line,
                    &format!("a function of {length} lines; {FUNCTION_LINES_MAX} at most"),
                );
            }
        }
    }
    complaints.settle();
}

/// (line, length) of each function. rustfmt closes an item in the column where it began, and that is all this needs.
fn function_lengths(text: &str) -> Vec<(usize, usize)> {
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let trimmed = line.trim_start();
        if let Some(&(begun, column)) = open.last()
            && indent == column
            && (trimmed == "}" || trimmed.ends_with(';') && at == begun)
        {
            open.pop();
            found.push((begun + 1, at - begun + 1));
        } else if begins_function(trimmed) && !trimmed.ends_with('}') && !trimmed.ends_with(';') {
            open.push((at, indent));
        }
    }
    found
}

fn begins_function(trimmed: &str) -> bool {
    let mut rest = trimmed;
    if let Some(after) = rest.strip_prefix("pub") {
        rest =
            after.strip_prefix('(').and_then(|inner| inner.split_once(')')).map_or(after, |(_, after)| after);
    }
    let mut words = rest.split_whitespace();
    loop {
        match words.next() {
            Some("const" | "async" | "unsafe" | "extern" | "\"C\"") => {}
            word => return word == Some("fn"),
        }
    }
}

#[test]
fn unsafe_code_is_in_one_place() {
    let mut complaints = Complaints::default();
    for source in rust().iter().filter(|source| !source.is_in("src/sandbox/sys/")) {
        for (line, text) in source.code() {
            let opens = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "unsafe trait"];
            if opens.iter().any(|word| text.contains(word)) {
                complaints.add(source, line, "`unsafe` belongs to src/sandbox/sys");
            }
        }
    }
    complaints.settle();
}

#[test]
fn nothing_is_left_for_later() {
    let mut complaints = Complaints::default();
    let words = ["todo!(", "unimplemented!(", "FIXME", "XXX", "#[ignore", "#[allow(", "#![allow("];
    for source in rust() {
        for (at, text) in source.text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| text.contains(**word)) {
                complaints.add(
                    &source,
                    at + 1,
                    &format!("`{word}`: finish it, or use `#[expect(…, reason = …)]`"),
                );
            }
        }
    }
    complaints.settle();
}

/// What a room must never use, with the reason that is shown.
const BANNED: [(&str, &[&str], &str); 10] = [
    (
        "src/logic/",
        &[
            "tokio",
            "hyper::",
            "nix::",
            "std::fs",
            "std::net",
            "std::thread",
            "std::process",
            "std::env",
            "HashMap",
            "HashSet",
        ],
        "logic decides; it does no I/O, reads no clock and has no order by hash",
    ),
    (
        "src/logic/",
        &["Instant::now", "SystemTime", ".await", "async fn"],
        "logic gets the time and never waits",
    ),
    (
        "src/api/",
        &["tokio", "hyper", "std::fs::", "std::net", "std::thread"],
        "api is codec only: no async, no I/O",
    ),
    ("src/sandbox/", &["hearth_api", "hyper", "rusqlite"], "the sandbox never parses client input"),
    (
        "src/sandbox/forker/",
        &["std::thread", "AF_INET", "TcpListener", "TcpStream", "UdpSocket"],
        "the forker has one thread and no internet socket",
    ),
    (
        "src/cli/",
        &["crate::store", "crate::daemon", "crate::http", "rusqlite"],
        "the CLI is a client: api and HTTP only",
    ),
    (
        "src/http/",
        &["hearth_sandbox::forker", "hearth_sandbox::channel", "crate::store::sqlite"],
        "front doors do not touch sandboxes",
    ),
    (
        "src/aws/",
        &["crate::store", "crate::http", "crate::cli", "hearth_sandbox"],
        "a client of AWS's services knows none of its users",
    ),
    ("src/daemon/", &["rusqlite", "crate::cli"], "the store's engine does not leak"),
    ("src/store/", &["crate::daemon", "crate::http", "crate::cli"], "the store knows none of its users"),
];

#[test]
fn rooms_keep_their_walls() {
    let mut complaints = Complaints::default();
    for source in rust() {
        for (room, words, reason) in BANNED {
            // Files of tests may read the model that the tables are compared with.
            if !source.is_in(room) || source.place.ends_with("_tests.rs") {
                continue;
            }
            for (line, text) in source.code() {
                if let Some(word) = words.iter().find(|word| text.contains(**word)) {
                    complaints.add(&source, line, &format!("`{word}`: {reason}"));
                }
            }
        }
    }
    complaints.settle();
}

#[test]
fn pure_rooms_and_their_tests_do_not_sleep() {
    let pure = ["src/logic/", "src/api/", "runtime-api/src/lifecycle.rs", "runtime-api/src/call.rs"];
    let mut complaints = Complaints::default();
    for source in rust().iter().filter(|source| pure.iter().any(|room| source.is_in(room))) {
        for (at, text) in source.text.lines().enumerate() {
            if text.contains("thread::sleep") || text.contains("time::sleep") {
                complaints.add(source, at + 1, "time is virtual here");
            }
        }
    }
    complaints.settle();
}

#[test]
fn the_clock_is_read_in_one_place() {
    let mut complaints = Complaints::default();
    // The forker is a process of its own and knows nothing of the daemon's.
    let clocks = ["src/daemon/clock.rs", "src/sandbox/clock.rs"];
    let may = |source: &&Source| !clocks.contains(&source.place.as_str()) && !source.is_in("benches/");
    for source in rust().iter().filter(may) {
        for (line, text) in source.code() {
            if text.contains("Instant::now(") || text.contains("SystemTime::now(") {
                complaints.add(source, line, "only the two files clock.rs and the benches read the clock");
            }
        }
    }
    complaints.settle();
}

/// Folders that a machine of ours may have and a reader's does not, and papers that are not in the repository. Written in
/// pieces: this file is checked as well.
fn foreign_words() -> Vec<String> {
    let folders =
        [("/wo", "rk/"), ("/fa", "rm/"), ("/ro", "ot/."), (".library", "/env"), ("/tmp/", "target-")];
    let papers = [("lambda-", "behaviour"), ("DES", "IGN"), ("BENCH", "MARKS")];
    folders.iter().chain(&papers).map(|(one, other)| format!("{one}{other}")).collect()
}

#[test]
fn the_repository_knows_no_particular_machine() {
    let words = foreign_words();
    let mut complaints = Complaints::default();
    for ending in [".rs", ".py", ".mjs", ".js", ".sh", ".toml", ".md", ".json", ".yml", ".service"] {
        for source in sources(ending).into_iter().chain(at_the_top(ending)) {
            for (at, text) in source.text.lines().enumerate() {
                if let Some(word) = words.iter().find(|word| text.contains(word.as_str())) {
                    // The jail looks for the home of root; that is an attack, not a path of this machine.
                    let attack = source.is_in("tests/jail/");
                    if !attack {
                        complaints.add(&source, at + 1, &format!("`{word}` is not in the repository"));
                    }
                }
            }
        }
    }
    complaints.settle();
}

#[test]
fn every_sample_function_is_complete() {
    let folder = repository().join("sample-functions");
    let mut missing = String::new();
    let mut samples = 0;
    for path in fs::read_dir(&folder).expect("sample-functions/ is there").flatten().map(|entry| entry.path())
    {
        if !path.is_dir() {
            continue;
        }
        samples += 1;
        for name in ["README.md", "function.json", "event.json", "expected.json"] {
            if !path.join(name).is_file() {
                let _ = writeln!(missing, "{} lacks {name}", path.display());
            }
        }
    }
    assert!(samples >= 6, "only {samples} sample functions");
    assert!(missing.is_empty(), "\n{missing}");
}

/// Runs the program that was built with these tests.
#[expect(clippy::disallowed_methods, reason = "the program says what the documents have to say")]
fn hearth(arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_hearth")).args(arguments).output().expect("the program starts");
    assert!(output.status.success(), "hearth {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the output is UTF-8")
}

mod the_checks_themselves {
    use super::{begins_function, function_lengths, without_comment};

    #[test]
    fn a_function_is_found_and_measured() {
        let text = "fn a() {\n    x();\n}\n\nimpl T {\n    pub(crate) const fn b(\n        &self,\n    ) {\n        y();\n    }\n\n    fn c();\n}\n";
        assert_eq!(function_lengths(text), [(1, 3), (6, 5)]);
    }

    #[test]
    fn only_functions_begin_functions() {
        for yes in [
            "fn a() {",
            "pub fn a() {",
            "pub(crate) async fn a() {",
            "const fn a() {",
            "unsafe extern \"C\" fn a() {",
        ] {
            assert!(begins_function(yes), "{yes}");
        }
        for no in ["fnord()", "let fn_ = 1;", "// fn a() {", "pub struct A {", "impl Fn() for A {"] {
            assert!(!begins_function(no), "{no}");
        }
    }

    #[test]
    fn comments_are_taken_away_and_addresses_are_not() {
        assert_eq!(without_comment("a(); // unsafe {"), "a(); ");
        assert_eq!(without_comment("a(\"http://x\"); // y"), "a(\"http://x\"); ");
    }
}
