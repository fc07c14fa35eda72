//! Layers the sources of configuration and keeps the origin of each value.
//!
//! Every source is flattened to (key, value, origin) and checked against the table of keys as it comes in, so that a
//! message can name the file and line, the variable or the flag. What a value means is `check`'s business.

use super::keys::{self, Fallback, KEYS, Key, Kind};
use crate::aws::endpoint::Endpoint;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// Bytes of a configuration file at most.
const FILE_MAX: u64 = 1 << 20;
/// Edits between a misspelt name and the one that is suggested, at most.
const NEAR: usize = 3;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Built in.
    Default,
    /// A line of the file.
    File {
        /// File as it was named.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// A variable.
    Environment(String),
    /// A command-line flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A value as the sources have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    List(Vec<String>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{}", toml::Value::String(text.clone())),
            Self::Integer(number) => write!(f, "{number}"),
            Self::List(items) => {
                let items = items.iter().map(|it| toml::Value::String(it.clone())).collect();
                write!(f, "{}", toml::Value::Array(items))
            }
        }
    }
}

/// Every setting that has a value, with its origin, by dotted key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origins {
    pub(super) settings: BTreeMap<Vec<String>, (Value, Origin)>,
    ignored: Vec<String>,
}

impl Origins {
    /// Where the value of this dotted key came from; none if it has no value.
    pub(crate) fn origin(&self, key: &str) -> Option<&Origin> {
        let parts: Vec<String> = key.split('.').map(str::to_owned).collect();
        self.settings.get(&parts).map(|(_, origin)| origin)
    }

    /// Whether a list has anything in it.
    pub(super) fn has_items(&self, key: &str) -> bool {
        let parts: Vec<String> = key.split('.').map(str::to_owned).collect();
        matches!(self.settings.get(&parts), Some((Value::List(items), _)) if !items.is_empty())
    }

    /// `HEARTH_…` variables that are no configuration, for the log.
    pub(crate) fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The configuration in force as TOML, one dotted key per line; with origins as comments.
    pub(crate) fn render(&self, with_origins: bool) -> String {
        let mut text = String::new();
        for key in &KEYS {
            let mut found = self.settings.iter().filter(|(parts, _)| key.matches(parts)).peekable();
            if let (None, Fallback::Unset(meaning)) = (found.peek(), key.fallback) {
                text.push_str(&format!("# {} is not set: {meaning}\n", key.name));
            }
            for (parts, (value, origin)) in found {
                let note = if with_origins { format!("  # {origin}") } else { String::new() };
                text.push_str(&format!("{} = {value}{note}\n", keys::dotted(parts)));
            }
        }
        text
    }
}

/// One thing that is wrong. Displayed: what, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {detail}", .path.display())]
    Unreadable {
        /// File.
        path: PathBuf,
        /// The system's answer.
        detail: String,
    },
    /// The file is not TOML.
    #[error("{}:{line}: {detail}", .path.display())]
    Syntax {
        /// File.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The parser's words.
        detail: String,
    },
    /// No such key.
    #[error("{origin}: there is no key `{key}`{}", suggest(.nearest))]
    Unknown {
        /// As given.
        key: String,
        /// Where.
        origin: Origin,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// A value that its key cannot have.
    #[error("{origin}: `{key}` is {found}, but must be {wanted}")]
    Wrong {
        /// Dotted.
        key: String,
        /// Where.
        origin: Origin,
        /// As given.
        found: String,
        /// What it may be.
        wanted: String,
    },
    /// Values that do not go together; the sentence says what to do.
    #[error("{origin}: {sentence}")]
    Together {
        /// Where the first of them was set.
        origin: Origin,
        /// What is wrong and what to do.
        sentence: String,
    },
}

fn suggest(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |it| format!("; did you mean `{it}`?"))
}

/// All that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigError {
    /// At least one.
    pub(crate) problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if at > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// A source's raw value.
enum Given<'a> {
    Toml(&'a DeValue<'a>),
    Text(&'a str),
}

pub(super) struct Merge {
    pub(super) origins: Origins,
    pub(super) problems: Vec<Problem>,
}

impl Merge {
    /// The defaults.
    pub(super) fn new() -> Self {
        let mut settings = BTreeMap::new();
        for key in &KEYS {
            let value = match key.fallback {
                Fallback::Text(text) => Value::Text(text.into()),
                Fallback::Integer(number) => Value::Integer(number),
                Fallback::Empty => Value::List(Vec::new()),
                Fallback::Unset(_) => continue,
            };
            settings.insert(key.name.split('.').map(str::to_owned).collect(), (value, Origin::Default));
        }
        Self { origins: Origins { settings, ignored: Vec::new() }, problems: Vec::new() }
    }

    /// A file on top.
    pub(super) fn file(&mut self, path: &Path) {
        let unreadable = |detail: String| Problem::Unreadable { path: path.to_owned(), detail };
        let text = match std::fs::metadata(path) {
            Ok(meta) if meta.len() > FILE_MAX => Err(format!("it is larger than {FILE_MAX} bytes")),
            Ok(_) => std::fs::read_to_string(path).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match text {
            Ok(text) => self.text(path, &text),
            Err(detail) => self.problems.push(unreadable(detail)),
        }
    }

    /// The text of a file.
    pub(super) fn text(&mut self, path: &Path, text: &str) {
        let line_of = |at: usize| text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        match DeTable::parse(text) {
            Ok(table) => {
                let place = |at: usize| Origin::File { path: path.to_owned(), line: line_of(at) };
                self.table(&mut Vec::new(), table.get_ref(), &place);
            }
            Err(error) => {
                let line = line_of(error.span().map_or(0, |span| span.start));
                let detail = error.message().replace('\n', ", ");
                self.problems.push(Problem::Syntax { path: path.to_owned(), line, detail });
            }
        }
    }

    fn table(&mut self, above: &mut Vec<String>, table: &DeTable<'_>, place: &dyn Fn(usize) -> Origin) {
        for (name, value) in table {
            above.push(name.get_ref().to_string());
            let origin = place(name.span().start);
            match value.get_ref() {
                // The table's depth is bounded by the parser.
                DeValue::Table(inner) if keys::find(above).is_none() => self.table(above, inner, place),
                other => self.set(above, Given::Toml(other), origin),
            }
            above.pop();
        }
    }

    /// `HEARTH_…` variables on top. Empty ones count as not set; ones that resemble no key are somebody else's.
    pub(super) fn environment(&mut self, variables: &[(String, String)]) {
        for (name, text) in variables {
            let Some(rest) = name.strip_prefix("HEARTH_") else { continue };
            if text.is_empty() {
                continue;
            }
            let mut parts: Vec<String> = rest.to_lowercase().split("__").map(str::to_owned).collect();
            if let [first, runtime, _] = parts.as_mut_slice()
                && first == "runtimes"
            {
                // Variables cannot have dots: PYTHON3_12 is python3.12.
                *runtime = runtime.replace('_', ".");
            }
            let origin = Origin::Environment(name.clone());
            if keys::find(&parts).is_some() {
                self.set(&parts, Given::Text(text), origin);
                continue;
            }
            let known = KEYS.iter().map(Key::variable);
            match nearest(name, known, 2) {
                Some(nearest) => {
                    self.problems.push(Problem::Unknown {
                        key: name.clone(),
                        origin,
                        nearest: Some(nearest),
                    });
                }
                None => self.origins.ignored.push(name.clone()),
            }
        }
    }

    /// Flags on top, by dotted key.
    pub(super) fn flags(&mut self, flags: &[(&str, String)]) {
        for (key, text) in flags {
            let parts: Vec<String> = key.split('.').map(str::to_owned).collect();
            let origin = Origin::Flag(format!("--{}", key.replace(['_', '.'], "-")));
            self.set(&parts, Given::Text(text), origin);
        }
    }

    fn set(&mut self, parts: &[String], given: Given<'_>, origin: Origin) {
        let Some(key) = keys::find(parts) else {
            let name = keys::dotted(parts);
            let nearest = nearest(&name, KEYS.iter().map(|key| key.name.to_owned()), NEAR);
            self.problems.push(Problem::Unknown { key: name, origin, nearest });
            return;
        };
        match parse(key.kind, &given) {
            Ok(value) => {
                self.origins.settings.insert(parts.to_vec(), (value, origin));
            }
            Err(found) => {
                let wanted = wanted(key.kind);
                self.problems.push(Problem::Wrong { key: keys::dotted(parts), origin, found, wanted });
            }
        }
    }
}

/// The value, or how it looks to people when it does not fit.
fn parse(kind: Kind, given: &Given<'_>) -> Result<Value, String> {
    let shown = || match given {
        Given::Text(text) => format!("{text:?}"),
        Given::Toml(DeValue::String(text)) => format!("{text:?}"),
        Given::Toml(DeValue::Integer(number)) => number.to_string(),
        Given::Toml(other) => format!("a TOML {}", other.type_str()),
    };
    let text = match given {
        Given::Text(text) => Some(*text),
        Given::Toml(DeValue::String(text)) => Some(text.as_ref()),
        Given::Toml(_) => None,
    };
    let fits = match kind {
        Kind::Integer(min, max) => {
            let number = match given {
                Given::Text(text) => text.trim().parse().ok(),
                Given::Toml(DeValue::Integer(number)) => {
                    i64::from_str_radix(number.as_str(), number.radix()).ok()
                }
                Given::Toml(_) => None,
            };
            number.filter(|number| (min..=max).contains(number)).map(Value::Integer)
        }
        Kind::List => list(given).map(Value::List),
        Kind::Text | Kind::Path => text.filter(|it| !it.trim().is_empty()).map(|it| Value::Text(it.into())),
        Kind::Choice(words) => text.filter(|it| words.contains(it)).map(|it| Value::Text(it.into())),
        Kind::Address => text.and_then(address).map(|it| Value::Text(it.to_string())),
        Kind::Endpoint => text.and_then(Endpoint::parse).map(|it| Value::Text(it.to_string())),
    };
    fits.ok_or_else(shown)
}

fn list(given: &Given<'_>) -> Option<Vec<String>> {
    match given {
        Given::Text(text) => {
            Some(text.split(',').map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect())
        }
        Given::Toml(DeValue::Array(items)) => {
            items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect()
        }
        Given::Toml(_) => None,
    }
}

fn address(text: &str) -> Option<SocketAddr> {
    // The one name whose meaning is fixed; others would be looked up, and could change.
    let text =
        text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    text.parse().ok()
}

fn wanted(kind: Kind) -> String {
    match kind {
        Kind::Text => "a text that is not empty".into(),
        Kind::Address => "an IP address and a port, like \"127.0.0.1:3001\" or \"[::1]:3001\"".into(),
        Kind::Endpoint => {
            "an address like \"http://10.0.0.5:9000\" or \"https://s3.example.org\", without a path".into()
        }
        Kind::Path => "a path".into(),
        Kind::Choice(words) => words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" or "),
        Kind::Integer(min, max) => format!("a whole number from {min} to {max}"),
        Kind::List => "a list of texts, like [\"hearth.example\"]".into(),
    }
}

/// The known name with the fewest edits from `name`, if they are few.
fn nearest(name: &str, known: impl Iterator<Item = String>, most: usize) -> Option<String> {
    let scored = known.map(|candidate| (edits(name, &candidate), candidate));
    // A key remembered without its table (`idle_timeout_s`) is as good as near.
    let scored = scored.map(|(edits, candidate)| match candidate.rsplit('.').next() == Some(name) {
        true => (0, candidate),
        false => (edits, candidate),
    });
    // What is meant for all is more likely meant than what is meant for one.
    let scored = scored.map(|(edits, candidate)| (edits, candidate.contains('*'), candidate));
    scored.min().filter(|(edits, _, _)| *edits <= most).map(|(_, _, candidate)| candidate)
}

/// Levenshtein distance in bytes; names are short.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().take(256).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
