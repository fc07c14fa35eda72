//! The members of a request: their types, and the constraints of the service's model with all violations at once.
//!
//! A member of a wrong type is a `SerializationException`, a value out of bounds part of one
//! `InvalidParameterException`. What a group is called, by name or ARN, is found out here, too.

use super::{Desk, Fault};
use hearth_api::arn::Home;
use hearth_api::bounded::{self, Bounds};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Bytes of a group's or stream's name.
const NAME_MAX: usize = 512;
/// Bytes of an ARN or name of a group.
const IDENTIFIER_MAX: usize = 2048;
/// Tags of a group.
pub(super) const TAGS_MAX: usize = 50;
const TAG_KEY_MAX: usize = 128;
const TAG_VALUE_MAX: usize = 256;

/// What a request may hold: events are many, and texts as large as the request.
const BOUNDS: Bounds = Bounds { values: 100_000, text: super::REQUEST_MAX };

/// A request's members.
pub(super) struct Input {
    members: Map<String, Value>,
    violations: Vec<String>,
}

/// Which characters a text may have.
#[derive(Clone, Copy)]
pub(super) enum Charset {
    /// Any.
    Any,
    /// Those of a group's name.
    Group,
    /// Those of a stream's name.
    Stream,
}

impl Charset {
    const fn pattern(self) -> &'static str {
        match self {
            Self::Any => "",
            Self::Group => r"[\.\-_/#A-Za-z0-9]+",
            Self::Stream => "[^:*]*",
        }
    }

    fn allows(self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Group => text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_/#".contains(&byte)),
            Self::Stream => !text.contains([':', '*']),
        }
    }
}

impl Input {
    /// Reads a body; an empty one has no members.
    pub(super) fn read(body: &[u8]) -> Result<Self, Fault> {
        let document =
            if body.is_empty() { Ok(Value::Object(Map::new())) } else { bounded::parse(body, BOUNDS) };
        match document {
            Ok(Value::Object(members)) => Ok(Self { members, violations: Vec::new() }),
            Ok(_) | Err(_) => Err(Fault::new("SerializationException", "The request is no JSON object.")),
        }
    }

    /// Refuses if anything was out of bounds so far. Every operation calls it before it acts.
    pub(super) fn settle(&mut self) -> Result<(), Fault> {
        let all = std::mem::take(&mut self.violations);
        match all.len() {
            0 => Ok(()),
            1 => Err(Fault::invalid(format!("1 validation error detected: {}", all[0]))),
            n => Err(Fault::invalid(format!("{n} validation errors detected: {}", all.join("; ")))),
        }
    }

    fn violate(&mut self, name: &str, value: &str, constraint: &str) {
        self.violations.push(format!("{value} at '{name}' failed to satisfy constraint: {constraint}"));
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    /// Whether a member is there that this API knows and this daemon does not have.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }

    /// ARNs of the groups that are named under any of the members that name groups, checked or not; names of nothing
    /// that could be a group stay as they were given.
    pub(super) fn groups(&self, home: &Home) -> Vec<String> {
        let single = ["logGroupName", "logGroupIdentifier", "resourceArn"].map(|name| self.members.get(name));
        let several = self.members.get("logGroupIdentifiers").and_then(Value::as_array);
        let named =
            single.into_iter().flatten().chain(several.into_iter().flatten()).filter_map(Value::as_str);
        let arn = |identifier| match group_of(home, identifier) {
            Ok(name) => format!("{}{name}", arn_prefix(home)),
            Err(_) => identifier.to_owned(),
        };
        named.map(arn).collect()
    }

    /// A text as it was given, not looked at; absent is empty.
    pub(super) fn peek_text(&self, name: &str) -> String {
        self.members.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// A text of `1..=max` characters.
    pub(super) fn text(&mut self, name: &str, max: usize, charset: Charset) -> Result<Option<String>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => {
                self.check(name, &text, max, charset);
                Ok(Some(text))
            }
            Some(_) => Err(wrong_type(name, "a string")),
        }
    }

    fn check(&mut self, name: &str, text: &str, max: usize, charset: Charset) {
        let value = format!("Value '{text}'");
        if text.is_empty() {
            self.violate(name, &value, "Member must have length greater than or equal to 1");
        }
        if text.chars().count() > max {
            let constraint = format!("Member must have length less than or equal to {max}");
            self.violate(name, &value, &constraint);
        }
        if !charset.allows(text) {
            let constraint = format!("Member must satisfy regular expression pattern: {}", charset.pattern());
            self.violate(name, &value, &constraint);
        }
    }

    /// A text of at most `max` characters; absent is empty.
    pub(super) fn optional_text(&mut self, name: &str, max: usize) -> Result<String, Fault> {
        if self.members.get(name).and_then(Value::as_str) == Some("") {
            self.members.remove(name);
        }
        Ok(self.text(name, max, Charset::Any)?.unwrap_or_default())
    }

    /// A text that must be there.
    pub(super) fn required(&mut self, name: &str, max: usize, charset: Charset) -> Result<String, Fault> {
        let found = self.text(name, max, charset)?;
        if found.is_none() {
            self.missing(name);
        }
        Ok(found.unwrap_or_default())
    }

    /// A member that should be there is not.
    pub(super) fn missing(&mut self, name: &str) {
        self.violate(name, "Value null", "Member must not be null");
    }

    /// A whole number within bounds.
    pub(super) fn whole(&mut self, name: &str, min: u64, max: u64) -> Result<Option<u64>, Fault> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
        let number = number.ok_or_else(|| wrong_type(name, "a whole number"))?;
        if number < i128::from(min) {
            let constraint = format!("Member must have value greater than or equal to {min}");
            self.violate(name, &format!("Value '{number}'"), &constraint);
        } else if number > i128::from(max) {
            let constraint = format!("Member must have value less than or equal to {max}");
            self.violate(name, &format!("Value '{number}'"), &constraint);
        }
        Ok(Some(u64::try_from(number).unwrap_or(min)))
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(wrong_type(name, "a boolean")),
        }
    }

    /// A list of texts, `1..=max` of them if it is there.
    pub(super) fn texts(
        &mut self,
        name: &str,
        max: usize,
        charset: Charset,
    ) -> Result<Option<Vec<String>>, Fault> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let Value::Array(elements) = value else { return Err(wrong_type(name, "a list")) };
        let mut texts = Vec::new();
        for element in elements {
            let Value::String(text) = element else { return Err(wrong_type(name, "a list of strings")) };
            self.check(name, &text, IDENTIFIER_MAX, charset);
            texts.push(text);
        }
        let value = format!("Value '[{}]'", texts.join(", "));
        if texts.is_empty() {
            self.violate(name, &value, "Member must have length greater than or equal to 1");
        }
        if texts.len() > max {
            let constraint = format!("Member must have length less than or equal to {max}");
            self.violate(name, &value, &constraint);
        }
        Ok(Some(texts))
    }

    /// Tags.
    pub(super) fn tags(&mut self) -> Result<Option<BTreeMap<String, String>>, Fault> {
        let Some(value) = self.take("tags") else { return Ok(None) };
        let Value::Object(members) = value else { return Err(wrong_type("tags", "a map")) };
        let mut tags = BTreeMap::new();
        for (key, value) in members {
            let Value::String(value) = value else { return Err(wrong_type("tags", "a map of strings")) };
            self.check("tags", &key, TAG_KEY_MAX, Charset::Any);
            if value.chars().count() > TAG_VALUE_MAX {
                let constraint = format!("Member must have length less than or equal to {TAG_VALUE_MAX}");
                self.violate("tags", &format!("Value '{value}'"), &constraint);
            }
            tags.insert(key, value);
        }
        Ok(Some(tags))
    }

    /// A list of objects that must be there.
    pub(super) fn objects(&mut self, name: &str) -> Result<Vec<Map<String, Value>>, Fault> {
        let Some(value) = self.take(name) else {
            self.missing(name);
            return Ok(Vec::new());
        };
        let Value::Array(elements) = value else { return Err(wrong_type(name, "a list")) };
        let each = |element| match element {
            Value::Object(members) => Ok(members),
            _ => Err(wrong_type(name, "a list of objects")),
        };
        elements.into_iter().map(each).collect()
    }

    /// `logGroupName`, which must be there.
    pub(super) fn group_name(&mut self) -> Result<String, Fault> {
        self.required("logGroupName", NAME_MAX, Charset::Group)
    }

    /// A stream's name under this member's name.
    pub(super) fn stream_name(&mut self, name: &str) -> Result<Option<String>, Fault> {
        self.text(name, NAME_MAX, Charset::Stream)
    }

    /// The group that `logGroupName` or `logGroupIdentifier` names.
    pub(super) fn group(&mut self, desk: &Desk) -> Result<String, Fault> {
        let name = self.text("logGroupName", NAME_MAX, Charset::Group)?;
        let identifier = self.text("logGroupIdentifier", IDENTIFIER_MAX, Charset::Any)?;
        self.settle()?;
        match (name, identifier) {
            (Some(name), None) => Ok(name),
            (None, Some(identifier)) => group_of(&desk.home, &identifier),
            (Some(_), Some(_)) => {
                Err(Fault::invalid("Only one of logGroupName and logGroupIdentifier can be given."))
            }
            (None, None) => {
                self.missing("logGroupName");
                self.settle()?;
                Ok(String::new())
            }
        }
    }

    /// The group that `resourceArn` names.
    pub(super) fn resource(&mut self, desk: &Desk) -> Result<String, Fault> {
        let arn = self.required("resourceArn", IDENTIFIER_MAX, Charset::Any)?;
        self.settle()?;
        if !arn.starts_with("arn:") {
            return Err(Fault::invalid(format!("'{arn}' is no ARN of a log group.")));
        }
        group_of(&desk.home, &arn)
    }
}

/// The group's name in a name or an ARN, with or without `:*` at its end.
pub(super) fn group_of(home: &Home, identifier: &str) -> Result<String, Fault> {
    if !identifier.starts_with("arn:") {
        return Ok(identifier.to_owned());
    }
    let prefix = arn_prefix(home);
    let rest = identifier.strip_prefix(&prefix).ok_or_else(Fault::no_group)?;
    Ok(rest.strip_suffix(":*").unwrap_or(rest).to_owned())
}

/// What the ARNs of all groups begin with.
pub(super) fn arn_prefix(home: &Home) -> String {
    format!("arn:{}:logs:{}:{}:log-group:", home.partition, home.region, home.account)
}

fn wrong_type(name: &str, wanted: &str) -> Fault {
    Fault::new("SerializationException", format!("{name} must be {wanted}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(text: &str) -> Input {
        Input::read(text.as_bytes()).expect("is an object")
    }

    #[test]
    fn all_violations_are_told_at_once_in_the_services_words() {
        let mut one = input(r#"{"logGroupName": "a b", "limit": 0}"#);
        one.group_name().expect("is a text");
        one.whole("limit", 1, 50).expect("is a number");
        let text = one.settle().expect_err("is refused").text;
        assert_eq!(
            text,
            r"2 validation errors detected: Value 'a b' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+; Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"
        );
        let mut none = input("{}");
        none.group_name().expect("is absent");
        assert!(none.settle().expect_err("is refused").text.contains("Value null at 'logGroupName'"));
    }

    #[test]
    fn members_of_wrong_types_are_refused_as_such() {
        assert_eq!(input(r#"{"a": 1}"#).flag("a").expect_err("refused").kind, "SerializationException");
        assert_eq!(
            input(r#"{"a": "x"}"#).whole("a", 0, 9).expect_err("refused").kind,
            "SerializationException"
        );
        assert_eq!(Input::read(b"[1]").err().expect("refused").kind, "SerializationException");
        assert!(Input::read(b"").is_ok());
    }

    #[test]
    fn groups_are_named_by_name_or_by_arn() {
        let home = Home::new("eu-west-1", "123456789012");
        let arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/f";
        for identifier in ["/aws/lambda/f", arn, &format!("{arn}:*")] {
            assert_eq!(group_of(&home, identifier), Ok("/aws/lambda/f".to_owned()));
        }
        let elsewhere = "arn:aws:logs:us-east-1:123456789012:log-group:x";
        assert!(group_of(&home, elsewhere).is_err());
        let one = input(r#"{"logGroupName": "/aws/lambda/f", "limit": 3}"#);
        assert_eq!(one.groups(&home), [arn]);
        let two = input(&format!(r#"{{"logGroupIdentifiers": ["{arn}:*", "{elsewhere}"]}}"#));
        assert_eq!(two.groups(&home), [arn, elsewhere]);
        assert!(input("{}").groups(&home).is_empty());
    }
}
