//! Judges a decoded input by the constraints of its shape and reports *all* violations at once, in the service's words.
//!
//! The wording, the order and the oddities are those of recorded answers of the real service: clients match on them.
//! Within a structure the service reports later members first. The few answers that no constraint explains stand in
//! `ODDITIES`. Deliberately not here: types (`codec` refuses those first) and checks that need state (handlers).

use crate::arn;
use crate::error::{ApiError, ErrorCode};
use crate::operations::{Operation, Row};
use crate::pattern;
use crate::shape::{Bounds, Kind, Member, Place, Shape, Text};
use serde_json::{Map, Value};
use std::fmt::{self, Display, Formatter, Write as _};

/// Longer texts are cut in messages, so that a large body does not come back.
const MAX_PRINTED: usize = 4096;

const NOT_NULL: &str = "Member must not be null";

/// The runtimes that the service names when it refuses one, in its order.
const RUNTIMES: &[&str] = &[
    "nodejs20.x",
    "python3.14",
    "provided.al2023",
    "python3.12",
    "python3.13",
    "nodejs24.x",
    "nodejs22.x",
    "java25",
    "python3.10",
    "python3.11",
    "java21",
    "ruby3.3",
    "ruby3.4",
    "ruby3.2",
    "python3.8",
    "python3.9",
    "java17",
    "nodejs16.x",
    "dotnet10",
    "dotnet8",
    "java11",
    "dotnet6",
    "nodejs18.x",
    "provided.al2",
    "java8.al2",
];

/// The runtimes that the service names when it refuses one as a filter of layers, in its order.
const RUNTIMES_OF_LAYERS: &[&str] = &[
    "ruby3.5",
    "ruby2.6",
    "dotnetcore1.0",
    "python3.7",
    "nodejs8.10",
    "nasa",
    "ruby2.7",
    "python2.7-greengrass",
    "dotnetcore2.0",
    "python3.8",
    "java21",
    "dotnet6",
    "dotnetcore2.1",
    "python3.9",
    "java11",
    "nodejs6.10",
    "provided",
    "dotnetcore3.1",
    "dotnet8",
    "java25",
    "java17",
    "nodejs",
    "nodejs4.3",
    "java8.al2",
    "go1.x",
    "dotnet10",
    "nodejs20.x",
    "go1.9",
    "byol",
    "nodejs10.x",
    "provided.al2023",
    "nodejs22.x",
    "python3.10",
    "java8",
    "nodejs12.x",
    "python3.11",
    "nodejs24.x",
    "nodejs8.x",
    "python3.12",
    "nodejs14.x",
    "nodejs8.9",
    "nodejs26.x",
    "python3.13",
    "python3.14",
    "nodejs16.x",
    "python3.15",
    "provided.al2",
    "nodejs4.3-edge",
    "nodejs18.x",
    "ruby3.2",
    "python3.4",
    "ruby3.3",
    "ruby3.4",
    "ruby2.5",
    "python3.6",
    "python2.7",
];

/// An answer that the service gives outside of its own rules, after all constraints of the model are satisfied.
struct Oddity {
    operation: Operation,
    judge: fn(&dyn Members) -> Option<String>,
}

/// The members of a structure, however they are kept.
pub(crate) trait Members {
    /// A member's value, if it is there.
    fn get(&self, name: &str) -> Option<&Value>;
}

impl Members for Map<String, Value> {
    fn get(&self, name: &str) -> Option<&Value> {
        Self::get(self, name)
    }
}

/// Few enough to be looked through.
impl Members for Vec<(&'static str, Value)> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.iter().find(|(member, _)| *member == name).map(|(_, value)| value)
    }
}

impl Members for Value {
    fn get(&self, name: &str) -> Option<&Value> {
        self.as_object()?.get(name)
    }
}

/// Each is an `InvalidParameterValueException` in the words of a violation (recorded).
static ODDITIES: &[Oddity] = &[
    Oddity { operation: Operation::CreateFunction, judge: long_bare_name },
    Oddity { operation: Operation::CreateFunction, judge: unknown_runtime },
    Oddity { operation: Operation::UpdateFunctionConfiguration, judge: unknown_runtime },
    Oddity { operation: Operation::CreateEventSourceMapping, judge: missing_starting_position },
];

/// Checks a decoded input against the constraints of the operation.
///
/// # Errors
/// `ValidationException` with every violation, or the first of the service's oddities.
pub(crate) fn check(row: &Row, input: &dyn Members) -> Result<(), ApiError> {
    let mut violations = Violations::default();
    violations.structure(row.input.members(), input, Path::Root);
    if let Some(text) = violations.text() {
        return Err(ApiError::new(ErrorCode::ValidationException, text));
    }
    let mut oddities = ODDITIES.iter().filter(|oddity| oddity.operation == row.operation);
    match oddities.find_map(|oddity| (oddity.judge)(input)) {
        Some(text) => Err(ApiError::invalid_parameter(text)),
        None => Ok(()),
    }
}

fn long_bare_name(input: &dyn Members) -> Option<String> {
    let given = input.get("FunctionName")?.as_str()?;
    let name = arn::FunctionRef::parse(given).ok()?.name;
    let constraint = at_most_long(arn::FunctionName::MAX_LENGTH);
    let violation = || {
        format!(
            "1 validation error detected: Value '{name}' at 'functionName' failed to satisfy constraint: {constraint}"
        )
    };
    (name.as_str().len() > arn::FunctionName::MAX_LENGTH).then(violation)
}

fn unknown_runtime(input: &dyn Members) -> Option<String> {
    let given = input.get("Runtime")?.as_str()?;
    let is_arn = given.starts_with("arn:") && given.contains(":lambda:") && given.contains(":runtime");
    let known = &crate::shapes::Runtime;
    if is_arn || is_choice(known, given) {
        return None;
    }
    let given: String = given.chars().take(MAX_PRINTED).collect();
    Some(format!(
        "Value {given} at 'runtime' failed to satisfy constraint: {} or be a valid ARN",
        one_of(RUNTIMES)
    ))
}

fn missing_starting_position(input: &dyn Members) -> Option<String> {
    let of_stream =
        |arn: &str| ["dynamodb", "kinesis", "kafka", "rds"].contains(&arn.split(':').nth(2).unwrap_or(""));
    let is_stream = input.get("EventSourceArn").and_then(Value::as_str).is_some_and(of_stream);
    let missing = is_stream && input.get("StartingPosition").is_none();
    missing.then(|| format!("1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: {NOT_NULL}."))
}

/// Where a value stands. It becomes text only if something is wrong there, which it hardly ever is.
#[derive(Clone, Copy)]
enum Path<'a> {
    Root,
    Member(&'a Path<'a>, &'static str),
    /// Counted from 1.
    Item(&'a Path<'a>, usize),
    Entry(&'a Path<'a>, &'a str),
}

impl Display for Path<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(Self::Root, name) => f.write_str(&lower_camel(name)),
            Self::Member(above, name) => write!(f, "{above}.{}", lower_camel(name)),
            Self::Item(above, number) => write!(f, "{above}.{number}.member"),
            Self::Entry(above, key) => write!(f, "{above}.{key}.member"),
        }
    }
}

/// The violations found so far, in the order in which they are reported.
#[derive(Default)]
struct Violations(Vec<String>);

impl Violations {
    fn text(&self) -> Option<String> {
        match self.0.as_slice() {
            [] => None,
            [one] => Some(format!("1 validation error detected: {one}")),
            many => Some(format!("{} validation errors detected: {}", many.len(), many.join("; "))),
        }
    }

    fn structure(&mut self, members: &'static [Member], object: &dyn Members, path: Path<'_>) {
        for member in members.iter().rev().filter(|member| member.place != Place::Status) {
            // A raw payload is not part of the input.
            if member.place == Place::Payload && matches!(member.shape.kind, Kind::Blob(_)) {
                continue;
            }
            let path = Path::Member(&path, member.name);
            match object.get(member.name) {
                None | Some(Value::Null) if member.required => {
                    self.0.push(format!("Value null at '{path}' failed to satisfy constraint: {NOT_NULL}"));
                }
                None | Some(Value::Null) => {}
                Some(value) => self.value(member.shape, value, path),
            }
        }
    }

    fn value(&mut self, shape: &'static Shape, value: &Value, path: Path<'_>) {
        match (shape.kind, value) {
            (Kind::Structure(members), Value::Object(object)) => self.structure(members, object, path),
            (Kind::List(list), Value::Array(items)) => {
                self.length(shape, value, items.len(), list.length, path);
                if is_container(list.member) {
                    for (index, item) in items.iter().enumerate() {
                        self.item(list.member, item, Path::Item(&path, index + 1));
                    }
                    return;
                }
                if items.iter().any(|item| item.is_null() || !violated(list.member, item).is_empty()) {
                    let mut constraints = constraints(list.member, list.bare);
                    constraints.extend(list.says_not_null.then(|| NOT_NULL.to_owned()));
                    let text = match (list.bare, constraints.first()) {
                        (true, Some(only)) => only.clone(),
                        _ => format!("Member must satisfy constraint: [{}]", constraints.join(", ")),
                    };
                    self.push(shape, value, path, &text);
                }
            }
            (Kind::Map(map), Value::Object(entries)) => {
                self.length(shape, value, entries.len(), map.length, path);
                if entries.keys().any(|key| !violated(map.key, &Value::from(key.as_str())).is_empty()) {
                    let text = constraints(map.key, false).join(", ");
                    self.push(shape, value, path, &format!("Map keys must satisfy constraint: [{text}]"));
                }
                if is_container(map.value) {
                    for (key, item) in entries {
                        self.item(map.value, item, Path::Entry(&path, key));
                    }
                } else if entries.values().any(|item| item.is_null() || !violated(map.value, item).is_empty())
                {
                    let mut constraints = constraints(map.value, false);
                    constraints.push(NOT_NULL.to_owned());
                    let text = constraints.join(", ");
                    self.push(shape, value, path, &format!("Map value must satisfy constraint: [{text}]"));
                }
            }
            // Whether a function's runtime is known is judged last and in other words: see `ODDITIES`.
            _ if matches!(path, Path::Member(Path::Root, "Runtime")) => {}
            _ => {
                for constraint in violated(shape, value) {
                    self.push(shape, value, path, &constraint);
                }
            }
        }
    }

    fn item(&mut self, shape: &'static Shape, value: &Value, path: Path<'_>) {
        if value.is_null() {
            self.0.push(format!("Value null at '{path}' failed to satisfy constraint: {NOT_NULL}"));
        } else {
            self.value(shape, value, path);
        }
    }

    fn length(&mut self, shape: &Shape, value: &Value, length: usize, bounds: Bounds<usize>, path: Path<'_>) {
        for constraint in outside_length(bounds, length) {
            self.push(shape, value, path, &constraint);
        }
    }

    fn push(&mut self, shape: &Shape, value: &Value, path: Path<'_>, constraint: &str) {
        let mut text = String::from("Value");
        if !shape.sensitive {
            let mut printed = print(value);
            if let Some((cut, _)) = printed.char_indices().nth(MAX_PRINTED) {
                printed.truncate(cut);
            }
            let _ = write!(text, " '{printed}'");
        }
        let _ = write!(text, " at '{path}' failed to satisfy constraint: {constraint}");
        self.0.push(text);
    }
}

fn is_container(shape: &Shape) -> bool {
    matches!(shape.kind, Kind::Structure(_) | Kind::List(_) | Kind::Map(_))
}

fn lower_camel(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(chars).collect()
}

/// Every constraint of a scalar shape, as the service lists them.
fn constraints(shape: &'static Shape, of_functions: bool) -> Vec<String> {
    match shape.kind {
        Kind::Text(text) if !text.choices.is_empty() => {
            vec![one_of(printed_choices(shape, &text, of_functions))]
        }
        Kind::Text(text) => {
            let mut list = Vec::new();
            list.extend(text.length.max.map(at_most_long));
            list.extend(text.length.min.map(at_least_long));
            list.extend(text.pattern.map(like));
            list
        }
        Kind::Integer(bounds) | Kind::Long(bounds) => {
            bounds.max.map(at_most).into_iter().chain(bounds.min.map(at_least)).collect()
        }
        Kind::Double(bounds) => {
            let double = |value: f64| format!("{value:?}");
            bounds
                .max
                .map(|max| at_most(double(max)))
                .into_iter()
                .chain(bounds.min.map(|min| at_least(double(min))))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// The constraints that a scalar value violates, as the service words and orders them.
fn violated(shape: &'static Shape, value: &Value) -> Vec<String> {
    match (shape.kind, value) {
        (Kind::Text(text), Value::String(given)) if !text.choices.is_empty() => {
            let refused = !is_choice(shape, given);
            refused.then(|| one_of(printed_choices(shape, &text, false))).into_iter().collect()
        }
        (Kind::Text(text), Value::String(given)) => {
            let mut list = outside_length(text.length, utf16_length(given));
            list.extend(text.pattern.filter(|pattern| !pattern::matches(pattern, given)).map(like));
            list
        }
        (Kind::Integer(bounds) | Kind::Long(bounds), Value::Number(number)) => match number.as_i64() {
            Some(given) => outside(bounds, given, |value| value.to_string()),
            None => Vec::new(),
        },
        (Kind::Double(bounds), Value::Number(number)) => match number.as_f64() {
            Some(given) => outside(bounds, given, |value| format!("{value:?}")),
            None => Vec::new(),
        },
        // Four digits of base64 are three bytes; what is left over is counted down.
        (Kind::Blob(bounds), Value::String(base64)) => {
            outside_length(bounds, base64.trim_end_matches('=').len() * 3 / 4)
        }
        _ => Vec::new(),
    }
}

fn is_choice(shape: &Shape, given: &str) -> bool {
    let Kind::Text(text) = shape.kind else { return false };
    let newer = shape.name == "Runtime" && (RUNTIMES.contains(&given) || RUNTIMES_OF_LAYERS.contains(&given));
    text.choices.contains(&given) || newer
}

/// The runtimes that the service prints are not those of its model; every other choice is.
fn printed_choices(shape: &Shape, text: &Text, of_functions: bool) -> &'static [&'static str] {
    match (shape.name, of_functions) {
        ("Runtime", true) => RUNTIMES,
        ("Runtime", false) => RUNTIMES_OF_LAYERS,
        _ => text.choices,
    }
}

fn utf16_length(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
}

fn outside<T: PartialOrd + Copy>(bounds: Bounds<T>, given: T, print: fn(T) -> String) -> Vec<String> {
    let max = bounds.max.filter(|max| given > *max).map(|max| at_most(print(max)));
    let min = bounds.min.filter(|min| given < *min).map(|min| at_least(print(min)));
    max.into_iter().chain(min).collect()
}

fn outside_length(bounds: Bounds<usize>, length: usize) -> Vec<String> {
    let max = bounds.max.filter(|max| length > *max).map(at_most_long);
    let min = bounds.min.filter(|min| length < *min).map(at_least_long);
    max.into_iter().chain(min).collect()
}

fn at_most_long(max: usize) -> String {
    format!("Member must have length less than or equal to {max}")
}

fn at_least_long(min: usize) -> String {
    format!("Member must have length greater than or equal to {min}")
}

fn at_most(max: impl Display) -> String {
    format!("Member must have value less than or equal to {max}")
}

fn at_least(min: impl Display) -> String {
    format!("Member must have value greater than or equal to {min}")
}

fn like(pattern: &str) -> String {
    format!("Member must satisfy regular expression pattern: {pattern}")
}

fn one_of(choices: &[&str]) -> String {
    format!("Member must satisfy enum value set: [{}]", choices.join(", "))
}

/// A value as Java prints it.
fn print(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(bool) => bool.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", list(items.iter().map(print).collect())),
        Value::Object(entries) => {
            format!(
                "{{{}}}",
                list(entries.iter().map(|(key, value)| format!("{key}={}", print(value))).collect())
            )
        }
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
