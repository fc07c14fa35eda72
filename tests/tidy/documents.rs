//! What the documents say has to be so: links lead somewhere, lists are complete, tables are what the program prints.
//!
//! Reads Markdown line by line, as far as these documents use it. Deliberately not here: whether the prose is true. What
//! can be held against the program or the tree is, and the examples are the integration tests' business.

use super::{Complaints, Source, at_the_top, hearth, read, repository, sources};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// Sections of the README that need no entry in its contents.
const NOT_IN_CONTENTS: [&str; 2] = ["Inside", "Licence"];
/// Files of a room that its table need not name: they only declare, or are tests beside what they test.
const UNNAMED: [&str; 5] = ["mod.rs", "lib.rs", "main.rs", "outlet.rs", "tests.rs"];

/// All Markdown of the repository.
fn documents() -> Vec<Source> {
    let mut found = at_the_top(".md");
    found.extend(sources(".md"));
    assert!(found.len() > 10, "the documents were not found; looked below {}", repository().display());
    found
}

fn document(place: &str) -> Source {
    read(&repository(), &repository().join(place)).unwrap_or_else(|| panic!("{place} is not there"))
}

/// Lines outside fenced blocks, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((at + 1, line))
    })
}

/// What stands between backticks.
fn code_words(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// Targets of the links in a line.
fn links(line: &str) -> Vec<String> {
    let line = without_code(line);
    let after = line.split("](").skip(1);
    after.filter_map(|rest| rest.split_once(')').map(|(target, _)| target.to_owned())).collect()
}

/// The anchor that GitHub and others give to a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|one| one.is_alphanumeric() || matches!(one, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter(|(_, line)| line.starts_with('#'));
    headings.map(|(_, line)| anchor(line.trim_start_matches('#').trim())).collect()
}

/// A path without `.` and `..`, so far as names alone can say.
fn tidied(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                tidied.pop();
            }
            Component::CurDir => {}
            other => tidied.push(other),
        }
    }
    tidied
}

#[test]
fn every_link_leads_somewhere() {
    let documents = documents();
    let known: BTreeMap<PathBuf, BTreeSet<String>> =
        documents.iter().map(|one| (PathBuf::from(&one.place), anchors(&one.text))).collect();
    let mut complaints = Complaints::default();
    let mut followed = 0;
    for source in &documents {
        let folder = Path::new(&source.place).parent().unwrap_or(Path::new(""));
        for (line, text) in prose(&source.text) {
            for target in links(text).iter().filter(|target| !target.contains("://")) {
                followed += 1;
                let (file, place) = target
                    .split_once('#')
                    .map_or((target.as_str(), None), |(file, place)| (file, Some(place)));
                let file =
                    if file.is_empty() { PathBuf::from(&source.place) } else { tidied(&folder.join(file)) };
                if !repository().join(&file).exists() {
                    complaints.add(source, line, &format!("`{target}`: {} is not there", file.display()));
                } else if place.is_some_and(|place| known.get(&file).is_none_or(|has| !has.contains(place))) {
                    complaints.add(
                        source,
                        line,
                        &format!("`{target}`: {} has no such heading", file.display()),
                    );
                }
            }
        }
    }
    complaints.settle();
    assert!(followed > 50, "only {followed} links");
}

#[test]
fn the_contents_of_the_readme_are_complete() {
    let readme = document("README.md");
    let (contents, _) = readme.text.split_once("\n## ").expect("there are sections");
    let listed: Vec<String> = contents.lines().flat_map(links).collect();
    let mut complaints = Complaints::default();
    for (line, heading) in prose(&readme.text) {
        let Some(heading) = heading.strip_prefix("## ").filter(|heading| !NOT_IN_CONTENTS.contains(heading))
        else {
            continue;
        };
        if !listed.contains(&format!("#{}", anchor(heading))) {
            complaints.add(&readme, line, &format!("`{heading}` is not among the contents"));
        }
    }
    complaints.settle();
}

#[test]
fn the_readme_lists_the_operations_as_the_program_does() {
    let rows = printed_in_the_readme("operations", &["api", "dump", "--markdown"]);
    assert!(rows >= 91, "91 operations, {rows} rows");
}

#[test]
fn the_readme_explains_the_keys_as_the_program_does() {
    let rows = printed_in_the_readme("configuration", &["config", "reference"]);
    assert!(rows > 30, "only {rows} keys");
}

/// That the text between two markers is what the program prints; how many rows of a table that has.
fn printed_in_the_readme(name: &str, arguments: &[&str]) -> usize {
    let printed = hearth(arguments);
    let readme = document("README.md");
    let listed = between(&readme.text, &format!("<!-- {name}:begin -->"), &format!("<!-- {name}:end -->"));
    assert_eq!(
        listed.trim(),
        printed.trim(),
        "\nREADME.md is behind: put the output of `hearth {}` between the markers",
        arguments.join(" ")
    );
    printed.lines().filter(|line| line.starts_with('|')).count()
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let after = text.split_once(begin).map(|(_, after)| after);
    after.and_then(|after| after.split_once(end)).map(|(inside, _)| inside).unwrap_or_else(|| {
        panic!("README.md lacks the markers {begin} and {end}");
    })
}

/// One row of a room's table in the code map: its line, the room's folder, and both cells.
struct Row<'a> {
    line: usize,
    room: String,
    names: &'a str,
    about: &'a str,
}

fn rows(map: &str) -> Vec<Row<'_>> {
    let mut room = None;
    let mut rows = Vec::new();
    for (line, text) in prose(map) {
        if text.starts_with("## ") {
            room = None;
        } else if text.starts_with("### ") {
            room = code_words(text).next().map(folder_of);
        } else if let (Some(room), Some(cells)) = (&room, text.strip_prefix("| "))
            && let Some((names, about)) = cells.split_once(" | ")
        {
            rows.push(Row { line, room: room.clone(), names, about });
        }
    }
    rows
}

fn folder_of(room: &str) -> String {
    match room.trim_end_matches('/').strip_prefix("../") {
        Some(above) => format!("{above}/src/"),
        None => format!("src/{room}"),
    }
}

fn is_file_or_folder(word: &&str) -> bool {
    word.ends_with(".rs") || word.ends_with('/')
}

#[test]
fn the_code_map_names_every_file() {
    let map = document("src/README.md");
    let named: Vec<String> = rows(&map.text)
        .iter()
        .flat_map(|row| {
            code_words(row.names).filter(is_file_or_folder).map(|word| format!("{}{word}", row.room))
        })
        .collect();
    let mut complaints = Complaints::default();
    let rooms: BTreeSet<String> = rows(&map.text).into_iter().map(|row| row.room).collect();
    assert!(rooms.len() >= 11, "only {rooms:?}");
    for source in sources(".rs").iter().filter(|source| source.is_in("src/") || source.is_in("runtime-api/"))
    {
        let name = source.place.rsplit('/').next().unwrap_or_default();
        // Files of the root package that belong to no room stand in the text.
        let has_no_room = source.place == format!("src/{name}") && map.text.contains(&format!("`{name}`"));
        let is_test = source.place.contains("/tests/") || name.ends_with("_tests.rs");
        let is_named = named.iter().any(|word| {
            source.place == *word || word.ends_with('/') && source.place.starts_with(word.as_str())
        });
        if !is_named && !has_no_room && !is_test && !UNNAMED.contains(&name) {
            complaints.add(source, 1, "src/README.md does not say what is in this file");
        }
    }
    complaints.settle();
}

#[test]
fn the_code_map_names_only_what_is_there() {
    let map = document("src/README.md");
    let mut complaints = Complaints::default();
    let is_there = |place: &str| repository().join(place).exists();
    for Row { line, room, names, about } in rows(&map.text) {
        let folders: Vec<&str> = code_words(names).filter(|word| word.ends_with('/')).collect();
        for word in code_words(names).filter(is_file_or_folder) {
            if !is_there(&format!("{room}{word}")) {
                complaints.add(&map, line, &format!("`{room}{word}` is not there"));
            }
        }
        for word in code_words(about).filter(|word| word.ends_with(".rs") && !folders.is_empty()) {
            let inside = folders.iter().any(|folder| is_there(&format!("{room}{folder}{word}")));
            if !inside && !is_there(&format!("{room}{word}")) {
                complaints.add(&map, line, &format!("`{word}` is not in {}", folders.join(", ")));
            }
        }
    }
    complaints.settle();
}

mod the_checks_themselves {
    use super::{anchor, anchors, between, code_words, links, rows, tidied};
    use std::path::Path;

    #[test]
    fn links_and_anchors_are_found() {
        assert_eq!(links("[a](x.md#y) and `[b](c)` and [d](#e-f)"), ["x.md#y", "#e-f"]);
        assert_eq!(anchor("Differences from AWS, on purpose"), "differences-from-aws-on-purpose");
        assert_eq!(anchor("`logic/` (crate): decisions"), "logic-crate-decisions");
        assert_eq!(
            anchors("# A b\n```\n# no heading\n```\n## C\n").into_iter().collect::<Vec<_>>(),
            ["a-b", "c"]
        );
        assert_eq!(tidied(Path::new("tests/../deploy/./README.md")), Path::new("deploy/README.md"));
    }

    #[test]
    fn rows_belong_to_the_room_above_them() {
        let map = "### `a/`: one\n| file | holds |\n|---|---|\n| `x.rs`, `y/` | `z.rs` |\n## Not a room\n| `q.rs` | p |\n\
                   ### `../b/` (crate)\n| `c.rs` | d |\n";
        let found: Vec<(String, Vec<&str>)> = rows(map)
            .iter()
            .map(|row| (row.room.clone(), code_words(row.names).collect::<Vec<_>>()))
            .filter(|(_, words)| !words.is_empty())
            .collect();
        assert_eq!(found, [("src/a/".to_owned(), vec!["x.rs", "y/"]), ("b/src/".to_owned(), vec!["c.rs"])]);
    }

    #[test]
    fn text_between_markers_is_found() {
        assert_eq!(between("a<b>c</b>d", "<b>", "</b>"), "c");
    }
}
