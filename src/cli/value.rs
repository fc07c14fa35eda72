//! Values on the command line: text, JSON, files and the shorthand of the aws CLI, as the shapes of the API want them.
//!
//! Shorthand is `Key=Value,Key={Key=Value},Key=[a,b]`; a value may stand in quotes. It knows shapes, not operations.

use hearth_api::primitives::encode_base64;
use hearth_api::shape::{Kind, Shape};
use serde_json::{Map, Value};
use std::iter::Peekable;
use std::path::PathBuf;
use std::str::Chars;

/// Structures within structures at most.
const DEPTH_MAX: usize = 16;
/// Bytes of a file at most: a package of 50 MB, and room for a better error from the daemon.
const FILE_MAX: u64 = 64 << 20;

/// Why a value cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ValueError {
    /// It does not have the form.
    #[error("{0}")]
    Form(String),
    /// A file cannot be read.
    #[error("cannot read {}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The same, naming the option.
    #[error("--{option}: {source}")]
    Option {
        /// Which.
        option: String,
        /// What is wrong with its value.
        source: Box<ValueError>,
    },
}

impl ValueError {
    /// Names the option.
    pub(super) fn of(self, option: &str) -> Self {
        Self::Option { option: option.to_owned(), source: Box::new(self) }
    }
}

/// What help calls a value of this shape.
pub(super) fn name_of(shape: &Shape) -> &'static str {
    match shape.kind {
        Kind::Structure(_) => "STRUCTURE",
        Kind::List(_) => "LIST",
        Kind::Map(_) => "MAP",
        Kind::Text(_) => "TEXT",
        Kind::Integer(_) | Kind::Long(_) => "INTEGER",
        Kind::Double(_) => "NUMBER",
        Kind::Boolean => "BOOLEAN",
        Kind::Blob(_) => "BLOB",
        Kind::Timestamp => "TIME",
    }
}

/// A whole input: a JSON object, or `file://` with one.
pub(super) fn whole(text: &str) -> Result<Map<String, Value>, ValueError> {
    let text = contents(text)?;
    serde_json::from_str(&text).map_err(|error| ValueError::Form(format!("not a JSON object: {error}")))
}

/// A raw payload: text, or a file's contents.
pub(super) fn raw(text: &str) -> Result<Value, ValueError> {
    let path = text.strip_prefix("fileb://");
    contents(&path.map_or_else(|| text.to_owned(), |path| format!("file://{path}"))).map(Value::String)
}

/// Bytes as base64: a file's, or base64 as given.
pub(super) fn blob(text: &str) -> Result<Value, ValueError> {
    match text.strip_prefix("fileb://") {
        Some(path) => Ok(Value::String(encode_base64(&file(path)?))),
        None if text.starts_with("file://") => {
            Err(ValueError::Form("bytes come from a file as fileb://PATH".to_owned()))
        }
        None => Ok(Value::String(text.to_owned())),
    }
}

/// The values of one option.
pub(super) fn read(shape: &Shape, texts: &[&str]) -> Result<Value, ValueError> {
    if let (Kind::List(list), [first, ..]) = (&shape.kind, texts)
        && (texts.len() > 1 || !looks_like_json(first))
    {
        return texts
            .iter()
            .map(|text| read(list.member, &[text]))
            .collect::<Result<_, _>>()
            .map(Value::Array);
    }
    let text = texts.first().copied().unwrap_or_default();
    if matches!(shape.kind, Kind::Blob(_)) {
        return blob(text);
    }
    let text = contents(text)?;
    let value = match shape.kind {
        Kind::Structure(_) | Kind::Map(_) | Kind::List(_) if looks_like_json(&text) => {
            serde_json::from_str(&text)
                .map_err(|error| ValueError::Form(format!("{text:?} is not JSON: {error}")))?
        }
        Kind::Structure(_) | Kind::Map(_) => Shorthand::of(&text).pairs(None, 0).map(Value::Object)?,
        _ => Value::String(text),
    };
    fit(shape, value)
}

fn looks_like_json(text: &str) -> bool {
    text.starts_with(['{', '['])
}

/// Texts of shorthand become what the shape wants; JSON stays as it is.
fn fit(shape: &Shape, value: Value) -> Result<Value, ValueError> {
    let wrong = |text: &str| ValueError::Form(format!("{text:?} is not {}", name_of(shape).to_lowercase()));
    match (&shape.kind, value) {
        (Kind::Structure(members), Value::Object(given)) => {
            let fitted = given.into_iter().map(|(name, value)| {
                let known = members.iter().find(|member| member.name == name);
                Ok((name, known.map_or(Ok(value.clone()), |member| fit(member.shape, value))?))
            });
            fitted.collect::<Result<_, _>>().map(Value::Object)
        }
        (Kind::Map(map), Value::Object(given)) => {
            let fitted = given.into_iter().map(|(key, value)| Ok((key, fit(map.value, value)?)));
            fitted.collect::<Result<_, _>>().map(Value::Object)
        }
        (Kind::List(list), Value::Array(given)) => {
            given.into_iter().map(|value| fit(list.member, value)).collect::<Result<_, _>>().map(Value::Array)
        }
        (Kind::List(list), value) => fit(list.member, value).map(|value| Value::Array(vec![value])),
        (Kind::Integer(_) | Kind::Long(_), Value::String(text)) => {
            text.parse::<i64>().map(Value::from).map_err(|_| wrong(&text))
        }
        (Kind::Double(_), Value::String(text)) => {
            text.parse::<f64>().map(Value::from).map_err(|_| wrong(&text))
        }
        (Kind::Boolean, Value::String(text)) => {
            text.parse::<bool>().map(Value::from).map_err(|_| wrong(&text))
        }
        // Moments are seconds or text; the daemon tells them apart.
        (Kind::Timestamp, Value::String(text)) => {
            Ok(text.parse::<i64>().map_or(Value::String(text), Value::from))
        }
        (Kind::Blob(_), Value::String(text)) => blob(&text),
        (_, value) => Ok(value),
    }
}

fn contents(text: &str) -> Result<String, ValueError> {
    let Some(path) = text.strip_prefix("file://") else { return Ok(text.to_owned()) };
    String::from_utf8(file(path)?).map_err(|_| ValueError::Form(format!("{path} is not text")))
}

fn file(path: &str) -> Result<Vec<u8>, ValueError> {
    let failed = |source| ValueError::File { path: path.into(), source };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > FILE_MAX {
        return Err(ValueError::Form(format!("{path} has {size} bytes; {FILE_MAX} can be sent")));
    }
    std::fs::read(path).map_err(failed)
}

/// A reader of shorthand.
struct Shorthand<'a> {
    whole: &'a str,
    left: Peekable<Chars<'a>>,
}

impl<'a> Shorthand<'a> {
    fn of(whole: &'a str) -> Self {
        Self { whole, left: whole.chars().peekable() }
    }

    fn wrong(&self, wanted: &str) -> ValueError {
        ValueError::Form(format!(
            "{:?} is neither JSON nor Key=Value,Key=Value: {wanted} is missing",
            self.whole
        ))
    }

    /// `Key=Value` pairs up to `end`.
    fn pairs(&mut self, end: Option<char>, depth: usize) -> Result<Map<String, Value>, ValueError> {
        let mut pairs = Map::new();
        if end.is_some() && self.left.next_if(|it| Some(*it) == end).is_some() {
            return Ok(pairs);
        }
        loop {
            let key = self.text(&['=', ',', '}', ']']);
            if key.is_empty() || self.left.next_if_eq(&'=').is_none() {
                return Err(self.wrong("\"=\""));
            }
            let value = self.value(depth)?;
            pairs.insert(key, value);
            match self.left.next() {
                Some(',') => {}
                found if found == end => return Ok(pairs),
                _ => return Err(self.wrong("\",\"")),
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, ValueError> {
        if depth > DEPTH_MAX {
            return Err(self.wrong("an end of braces"));
        }
        if self.left.next_if_eq(&'{').is_some() {
            return self.pairs(Some('}'), depth + 1).map(Value::Object);
        }
        if self.left.next_if_eq(&'[').is_none() {
            return Ok(Value::String(self.text(&[',', '}', ']'])));
        }
        let mut items = Vec::new();
        if self.left.next_if_eq(&']').is_some() {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            match self.left.next() {
                Some(',') => {}
                Some(']') => return Ok(Value::Array(items)),
                _ => return Err(self.wrong("\"]\"")),
            }
        }
    }

    /// Text up to one of these, or within quotes.
    fn text(&mut self, ends: &[char]) -> String {
        if let Some(quote) = self.left.next_if(|it| matches!(it, '"' | '\'')) {
            return self.left.by_ref().take_while(|it| *it != quote).collect();
        }
        std::iter::from_fn(|| self.left.next_if(|it| !ends.contains(it))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearth_api::shapes::{Environment, TagResourceRequest, UpdateFunctionConfigurationRequest};
    use serde_json::json;

    fn member(name: &str) -> &'static Shape {
        let members = UpdateFunctionConfigurationRequest.members().iter().chain(TagResourceRequest.members());
        members.into_iter().find(|member| member.name == name).expect("is a member").shape
    }

    #[test]
    fn shorthand_is_read_as_the_aws_cli_reads_it() {
        let environment = &Environment;
        let read = |text| read(environment, &[text]).expect("is right");
        assert_eq!(read("Variables={A=1,B=x y}"), json!({ "Variables": { "A": "1", "B": "x y" } }));
        assert_eq!(read("Variables={A='a,b',B=\"}\"}"), json!({ "Variables": { "A": "a,b", "B": "}" } }));
        assert_eq!(read("Variables={}"), json!({ "Variables": {} }));
        assert_eq!(read(r#"{"Variables":{"A":"1"}}"#), json!({ "Variables": { "A": "1" } }));
    }

    #[test]
    fn values_take_the_kind_of_their_shape() {
        assert_eq!(read(member("MemorySize"), &["256"]).expect("is right"), json!(256));
        assert_eq!(
            read(member("EphemeralStorage"), &["Size=1024"]).expect("is right"),
            json!({ "Size": 1024 })
        );
        assert_eq!(read(member("Layers"), &["a", "b"]).expect("is right"), json!(["a", "b"]));
        assert_eq!(read(member("Layers"), &["a"]).expect("is right"), json!(["a"]));
        assert_eq!(read(member("Layers"), &["[]"]).expect("is right"), json!([]));
        let vpc = "SubnetIds=[a,b],SecurityGroupIds=c";
        let expected = json!({ "SubnetIds": ["a", "b"], "SecurityGroupIds": ["c"] });
        assert_eq!(read(member("VpcConfig"), &[vpc]).expect("is right"), expected);
    }

    #[test]
    fn files_are_read_and_named_when_they_cannot_be() {
        let path = std::env::temp_dir().join(format!("hearth-value-{}", std::process::id()));
        std::fs::write(&path, "a=b").expect("writes");
        let at = |scheme: &str| format!("{scheme}://{}", path.display());
        assert_eq!(read(member("Tags"), &[&at("file")]).expect("is right"), json!({ "a": "b" }));
        assert_eq!(blob(&at("fileb")).expect("is right"), json!("YT1i"));
        assert!(blob(&at("file")).is_err());
        std::fs::remove_file(&path).expect("removes");
        let error = read(member("Tags"), &[&at("file")]).expect_err("is gone").to_string();
        assert!(error.contains("hearth-value-"), "{error}");
    }

    #[test]
    fn what_is_no_value_is_said_and_nothing_panics() {
        for text in ["Variables", "=", "Variables={A=1", "Variables={A=1}}", "Variables=[", "a=b,", "{"] {
            assert!(read(&Environment, &[text]).is_err(), "{text}");
        }
        let deep = "a={".repeat(1_000);
        assert!(read(&Environment, &[&deep]).is_err());
        let error = read(member("MemorySize"), &["much"]).expect_err("is no number").to_string();
        assert!(error.contains("much") && error.contains("integer"), "{error}");
    }
}
