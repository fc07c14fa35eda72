//! The syntax of filter patterns: JSON objects whose leaves are lists of what a value may be.
//!
//! Only what Lambda lists among its operators is taken; `wildcard`, `cidr` and operators inside `anything-but` belong to
//! EventBridge. Deliberately not here: matching, which is the pollers' part.
//!
//! Source: "Control which events Lambda sends to your function", AWS Lambda Developer Guide.

use super::source::Kind;
use serde_json::{Map, Value};

/// Numbers of the operator `numeric` lie within these bounds, both ways.
const NUMBER_MAX: f64 = 5.0e9;
/// Either of several patterns.
const OR: &str = "$or";

/// Whether this is a pattern that a mapping of this kind may have.
pub(super) fn is_valid(pattern: &str, kind: Kind) -> bool {
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(pattern) else { return false };
    // Data is JSON to a filter, or nothing that could be compared.
    let compares_text = kind == Kind::Kinesis && fields.get("data").is_some_and(|data| !data.is_object());
    !compares_text && is_object(&fields)
}

fn is_object(fields: &Map<String, Value>) -> bool {
    let field = |(name, value): (&String, &Value)| match value {
        Value::Object(below) => is_object(below),
        Value::Array(choices) if name == OR && is_alternatives(choices) => true,
        Value::Array(choices) => !choices.is_empty() && choices.iter().all(is_choice),
        _ => false,
    };
    !fields.is_empty() && fields.iter().all(field)
}

/// Two patterns at least. A field that happens to be called `$or` has a list of values instead.
fn is_alternatives(choices: &[Value]) -> bool {
    choices.len() > 1 && choices.iter().all(|choice| choice.as_object().is_some_and(is_object))
}

fn is_choice(choice: &Value) -> bool {
    match choice {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        Value::Array(_) => false,
        Value::Object(operators) => {
            operators.len() == 1 && operators.iter().all(|(name, operand)| is_operator(name, operand))
        }
    }
}

fn is_operator(name: &str, operand: &Value) -> bool {
    match name {
        "prefix" | "suffix" | "equals-ignore-case" => operand.is_string(),
        "exists" => operand.is_boolean(),
        "anything-but" => is_excluded(operand),
        "numeric" => operand.as_array().is_some_and(|steps| is_range(steps)),
        _ => false,
    }
}

/// A text or a number, or a list of either.
fn is_excluded(operand: &Value) -> bool {
    match operand {
        Value::String(_) | Value::Number(_) => true,
        Value::Array(values) => {
            !values.is_empty() && (values.iter().all(Value::is_string) || values.iter().all(Value::is_number))
        }
        _ => false,
    }
}

/// `["=", 1]`, `["<", 1]`, or `[">", 0, "<=", 5]`.
fn is_range(steps: &[Value]) -> bool {
    let number = |step: &Value| step.as_f64().filter(|number| number.abs() <= NUMBER_MAX);
    match steps {
        [operator, bound] => {
            number(bound).is_some() && matches!(operator.as_str(), Some("=" | "<" | "<=" | ">" | ">="))
        }
        [above, low, below, high] => {
            let ordered = number(low).zip(number(high)).is_some_and(|(low, high)| low < high);
            ordered && matches!((above.as_str(), below.as_str()), (Some(">" | ">="), Some("<" | "<=")))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_lambda_lists_is_a_pattern() {
        for pattern in [
            r#"{"body": {"a": ["x", 1, true, null, ""]}}"#,
            r#"{"a": [{"prefix": "x"}, {"suffix": "y"}, {"equals-ignore-case": "Z"}]}"#,
            r#"{"a": [{"anything-but": ["x", "y"]}], "b": [{"anything-but": 1}]}"#,
            r#"{"a": [{"numeric": [">", 0, "<=", 5]}], "b": [{"numeric": ["=", -1.5]}]}"#,
            r#"{"a": [{"exists": false}]}"#,
            r#"{"$or": [{"a": ["x"]}, {"b": [{"numeric": ["<", 1]}]}]}"#,
            r#"{"a": {"$or": [{"a": ["x"]}, {"b": ["y"]}]}}"#,
            r#"{"dynamodb": {"NewImage": {"prefix": {"S": [{"prefix": "us-1"}]}}}}"#,
        ] {
            assert!(is_valid(pattern, Kind::Kinesis), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in [
            "",
            "single-string",
            "null",
            "[]",
            "{}",
            r#"[{"eventName": ["INSERT"=123}]"#,
            r#"{"a": "x"}"#,
            r#"{"a": []}"#,
            r#"{"a": {}}"#,
            r#"{"a": [["x"]]}"#,
            r#"{"a": [{}]}"#,
            r#"{"a": [{"prefix": 1}]}"#,
            r#"{"a": [{"prefix": "x", "suffix": "y"}]}"#,
            r#"{"a": [{"wildcard": "x*"}]}"#,
            r#"{"a": [{"cidr": "10.0.0.0/8"}]}"#,
            r#"{"a": [{"exists": "true"}]}"#,
            r#"{"a": [{"anything-but": {"prefix": "x"}}]}"#,
            r#"{"a": [{"anything-but": ["x", 1]}]}"#,
            r#"{"a": [{"anything-but": []}]}"#,
            r#"{"a": [{"numeric": []}]}"#,
            r#"{"a": [{"numeric": ["!", 1]}]}"#,
            r#"{"a": [{"numeric": ["=", "1"]}]}"#,
            r#"{"a": [{"numeric": ["=", 6.0e9]}]}"#,
            r#"{"a": [{"numeric": [">", 5, "<", 1]}]}"#,
            r#"{"a": [{"numeric": ["<", 1, ">", 5]}]}"#,
            r#"{"$or": [{"a": ["x"]}]}"#,
        ] {
            assert!(!is_valid(pattern, Kind::DynamoDb), "{pattern}");
        }
    }

    #[test]
    fn data_of_a_stream_is_compared_as_json_only() {
        let pattern = r#"{"data": ["plain"]}"#;
        assert!(!is_valid(pattern, Kind::Kinesis));
        assert!(is_valid(pattern, Kind::Mq));
    }

    proptest! {
        #[test]
        fn reading_a_pattern_never_panics(pattern in r#"[\[\]{}",:$a-z0-9 <>=.-]{0,60}"#) {
            let _ = is_valid(&pattern, Kind::Kinesis);
        }
    }
}
