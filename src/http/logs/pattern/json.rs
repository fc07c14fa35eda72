//! Patterns for JSON messages: `{ ($.level = "ERROR" || $.status >= 500) && $.items[0].id NOT EXISTS }`.
//!
//! A message that is no JSON object or array matches nothing.

use super::logic::Logic;
use super::words::{Comparison, Operator, Reader};
use super::{Invalid, invalid};
use serde_json::Value;

/// What must hold of a message.
pub(in super::super) type Condition = Logic<Property>;

/// Something about one property.
#[derive(Debug)]
pub(in super::super) struct Property(Selector, Test);

/// The way to a property.
#[derive(Debug)]
struct Selector(Vec<Step>);

#[derive(Debug)]
enum Step {
    Member(String),
    Element(usize),
    Every,
}

/// What is asked of a property.
#[derive(Debug)]
enum Test {
    Compares(Comparison),
    IsNull,
    IsBool(bool),
    NotExists,
}

/// Reads `{ … }`.
pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Condition, Invalid> {
    reader.expect("{")?;
    let condition = Logic::parse(reader, &property)?;
    reader.expect("}")?;
    Ok(condition)
}

fn property(reader: &mut Reader<'_>) -> Result<Property, Invalid> {
    let selector = selector(reader)?;
    let test = if reader.take_word("NOT") {
        if !reader.take_word("EXISTS") {
            return Err(reader.unexpected("EXISTS"));
        }
        Test::NotExists
    } else if reader.take_word("IS") {
        match () {
            () if reader.take_word("NULL") => Test::IsNull,
            () if reader.take_word("TRUE") => Test::IsBool(true),
            () if reader.take_word("FALSE") => Test::IsBool(false),
            () => return Err(reader.unexpected("NULL, TRUE or FALSE")),
        }
    } else {
        let operator = Operator::take(reader).ok_or_else(|| reader.unexpected("an operator"))?;
        Test::Compares(Comparison::parse(operator, reader, |c| {
            !c.is_whitespace() && !"\"%{}()&|=<>!".contains(c)
        })?)
    };
    Ok(Property(selector, test))
}

/// `$.member`, `$.a.b[0].c`, `$.a[*]`, `$.['any name']`, `$.*`.
fn selector(reader: &mut Reader<'_>) -> Result<Selector, Invalid> {
    reader.expect("$")?;
    let mut steps = Vec::new();
    loop {
        match reader.peek() {
            Some('.') => {
                reader.next();
                match reader.peek() {
                    Some('[') => {}
                    Some('*') => {
                        reader.next();
                        steps.push(Step::Every);
                    }
                    _ => steps
                        .push(Step::Member(reader.bare(|c| c.is_alphanumeric() || "_-@#:/".contains(c))?)),
                }
            }
            Some('[') => {
                reader.next();
                steps.push(bracketed(reader)?);
            }
            _ if steps.is_empty() => return Err(reader.unexpected("a property such as $.name")),
            _ => return Ok(Selector(steps)),
        }
    }
}

fn bracketed(reader: &mut Reader<'_>) -> Result<Step, Invalid> {
    reader.skip_blanks();
    let step = match reader.peek() {
        Some(quote @ ('"' | '\'')) => Step::Member(reader.quoted(quote)?),
        Some('*') => {
            reader.next();
            Step::Every
        }
        _ => {
            let digits = reader.bare(|c| c.is_ascii_digit())?;
            Step::Element(
                digits.parse().map_err(|_| invalid("Invalid filter pattern: an index is too large"))?,
            )
        }
    };
    reader.expect("]")?;
    Ok(step)
}

/// Whether a message matches.
pub(super) fn matches(condition: &Condition, message: &str) -> bool {
    // Most messages of most functions are no JSON: not worth a parser's look.
    if !message.trim_start().starts_with(['{', '[']) {
        return false;
    }
    serde_json::from_str::<Value>(message).is_ok_and(|document| holds(condition, &document))
}

fn holds(condition: &Condition, document: &Value) -> bool {
    condition.holds(&|Property(selector, test)| match test {
        Test::NotExists => find(&selector.0, document, &|_| true).is_none(),
        test => find(&selector.0, document, &|value| passes(test, value)).is_some(),
    })
}

/// The first property on the way for which this holds.
fn find<'v>(steps: &[Step], value: &'v Value, holds: &dyn Fn(&Value) -> bool) -> Option<&'v Value> {
    let Some((step, rest)) = steps.split_first() else { return holds(value).then_some(value) };
    match step {
        Step::Member(name) => find(rest, value.get(name)?, holds),
        Step::Element(at) => find(rest, value.get(at)?, holds),
        Step::Every => match value {
            Value::Array(elements) => elements.iter().find_map(|element| find(rest, element, holds)),
            Value::Object(members) => members.values().find_map(|member| find(rest, member, holds)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        },
    }
}

fn passes(test: &Test, value: &Value) -> bool {
    match (test, value) {
        (Test::IsNull, value) => value.is_null(),
        (Test::IsBool(wanted), value) => value.as_bool() == Some(*wanted),
        (Test::Compares(comparison), Value::Number(number)) => {
            number.as_f64().is_some_and(|number| comparison.holds_for_number(number))
        }
        (Test::Compares(comparison), Value::String(text)) => comparison.holds_for_text(text),
        (Test::Compares(comparison), Value::Bool(value)) => {
            comparison.holds_for_text(if *value { "true" } else { "false" })
        }
        (Test::Compares(_), Value::Null | Value::Array(_) | Value::Object(_)) | (Test::NotExists, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pattern;

    const EVENT: &str = r#"{"eventType": "UpdateTrail", "sourceIPAddress": "111.111.111.111",
        "arrayKey": ["value", "another value"], "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
        "SomeObject": null, "cluster.name": "c", "num": 0.5, "big": 2e3, "text": "42", "on": true, "off": false,
        "deep": {"er": {"est": [10, 20]}}, "empty": ""}"#;

    fn is_match(pattern: &str) -> bool {
        Pattern::parse(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).matches(EVENT)
    }

    #[test]
    fn properties_are_compared() {
        for pattern in [
            r#"{ $.eventType = "UpdateTrail" }"#,
            "{ $.eventType = UpdateTrail }",
            "{$.eventType=Update*}",
            r#"{ $.sourceIPAddress != 123.123.* }"#,
            "{ $.sourceIPAddress = 111.111.* }",
            "{ $.arrayKey[0] = \"value\" }",
            "{ $.arrayKey[*] = \"another value\" }",
            "{ $.objectList[1].id = 2 }",
            "{ $.objectList[*].id > 1 }",
            "{ $.SomeObject IS NULL }",
            "{ $.SomeOtherObject NOT EXISTS }",
            "{ $.on IS TRUE && $.off is false }",
            "{ $.['cluster.name'] = \"c\" }",
            "{ $.num = 0.5 }",
            "{ $.num >= 5e-1 }",
            "{ $.big = 2000 }",
            "{ $.text = 42 }",
            "{ $.deep.er.est[1] <= 20 }",
            "{ $.eventType = %Update[A-Z]% }",
            r#"{ $.empty = "" }"#,
        ] {
            assert!(is_match(pattern), "{pattern}");
        }
        for pattern in [
            "{ $.eventType = \"Update\" }",
            "{ $.eventType != \"UpdateTrail\" }",
            "{ $.arrayKey[2] = \"value\" }",
            "{ $.eventType NOT EXISTS }",
            "{ $.SomeObject NOT EXISTS }",
            "{ $.eventType IS NULL }",
            "{ $.on IS FALSE }",
            "{ $.missing = 1 }",
            "{ $.missing != 1 }",
            "{ $.num > 0.5 }",
            "{ $.eventType > 5 }",
            "{ $.deep = 1 }",
        ] {
            assert!(!is_match(pattern), "{pattern}");
        }
    }

    #[test]
    fn and_binds_closer_than_or_and_parentheses_closest() {
        assert!(is_match("{ $.num = 0.5 || $.num = 1 && $.num = 2 }"));
        assert!(!is_match("{ ($.num = 0.5 || $.num = 1) && $.num = 2 }"));
        assert!(is_match("{ (($.num = 1) || ($.on IS TRUE)) && ($.text = \"42\") }"));
    }

    #[test]
    fn what_is_no_json_matches_nothing() {
        let pattern = Pattern::parse("{ $.a NOT EXISTS }").expect("is a pattern");
        for message in ["plain text\n", "{broken", "", "[1, 2"] {
            assert!(!pattern.matches(message), "{message}");
        }
        assert!(pattern.matches("{\"b\": 1}\n"));
    }
}
