//! What documents say, by table, and which documents are refused.

use super::{Decision, Document, Principal, Request, arn_like, glob};
use proptest::prelude::*;
use serde_json::{Value, json};

const F: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";
const KEYS: [&str; 3] = ["aws:sourceip", "aws:securetransport", "aws:principalarn"];

fn read(statements: Value) -> Result<Document, String> {
    let text = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
    let document: Document = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    document.into_identity_policy(&KEYS).map_err(|error| error.to_string())
}

fn context(key: &str) -> Option<String> {
    match key {
        "aws:sourceip" => Some("10.1.2.3".to_owned()),
        "aws:securetransport" => Some("false".to_owned()),
        _ => None,
    }
}

#[track_caller]
fn says(statements: Value, action: &str, resource: &str) -> Decision {
    let document = read(statements).expect("is a policy");
    document.decide(&Request { principal: Principal::Anonymous, action, resource, context: &context })
}

fn allow(action: &str, resource: &str) -> Value {
    json!({ "Effect": "Allow", "Action": action, "Resource": resource })
}

#[test]
fn what_nobody_mentions_is_not_allowed_and_a_denial_wins() {
    let invoke = "lambda:InvokeFunction";
    assert_eq!(says(allow(invoke, F), invoke, F), Decision::Allowed);
    assert_eq!(says(allow(invoke, F), "lambda:GetFunction", F), Decision::Unmentioned);
    assert_eq!(
        says(allow(invoke, F), invoke, "arn:aws:lambda:us-east-1:000000000000:function:g"),
        Decision::Unmentioned
    );
    let deny = json!({ "Effect": "Deny", "Action": "lambda:*", "Resource": F });
    for both in [json!([allow("*", "*"), deny]), json!([deny, allow("*", "*")])] {
        assert_eq!(says(both, invoke, F), Decision::Denied);
    }
    assert_eq!(Decision::Allowed.with(Decision::Denied), Decision::Denied);
    assert_eq!(Decision::Unmentioned.with(Decision::Allowed), Decision::Allowed);
}

#[test]
fn actions_ignore_case_and_resources_do_not() {
    assert_eq!(says(allow("LAMBDA:invoke*", F), "lambda:InvokeFunction", F), Decision::Allowed);
    assert_eq!(
        says(allow("lambda:*", &F.to_uppercase().replace("ARN", "arn")), "lambda:X", F),
        Decision::Unmentioned
    );
}

#[test]
fn a_star_stays_within_its_part_of_an_arn() {
    for (pattern, fits) in [
        ("*", true),
        ("arn:aws:lambda:*", true),
        ("arn:aws:lambda:*:*:function:*", true),
        ("arn:aws:lambda:us-*-?:000000000000:function:f", true),
        ("arn:aws:lambda:*:function:f", false),
        ("arn:aws:lambda:us-east-1:*:layer:*", false),
        ("arn:aws:*:*:function:f", false),
    ] {
        assert_eq!(arn_like(pattern, F), fits, "{pattern}");
    }
    assert!(arn_like("arn:aws:lambda:*:*:function:*", &format!("{F}:live")), "the last part may hold colons");
    assert!(
        !arn_like("arn:aws:lambda:*:*:function:f", &format!("{F}:live")),
        "a qualifier is part of the name"
    );
    assert!(
        !arn_like("arn:aws:lambda:*:*:function:*", "*"),
        "an action on everything is not one on functions"
    );
}

#[test]
fn not_action_and_not_resource_turn_a_list_around() {
    let all_but = json!({ "Effect": "Allow", "NotAction": ["lambda:Delete*"], "NotResource": [F] });
    let other = "arn:aws:lambda:us-east-1:000000000000:function:g";
    assert_eq!(says(all_but.clone(), "lambda:GetFunction", other), Decision::Allowed);
    assert_eq!(says(all_but.clone(), "lambda:DeleteFunction", other), Decision::Unmentioned);
    assert_eq!(says(all_but, "lambda:GetFunction", F), Decision::Unmentioned);
}

#[test]
fn conditions_hold_as_documented() {
    let cases = [
        (json!({ "IpAddress": { "aws:SourceIp": ["192.0.2.0/24", "10.0.0.0/8"] } }), true),
        (json!({ "IpAddress": { "aws:SourceIp": "10.1.2.4" } }), false),
        (json!({ "NotIpAddress": { "aws:SourceIp": "10.0.0.0/8" } }), false),
        (json!({ "IpAddress": { "aws:SourceIp": "0.0.0.0/0" } }), true),
        (json!({ "IpAddress": { "aws:SourceIp": "::/0" } }), false),
        (json!({ "Bool": { "aws:SecureTransport": false } }), true),
        (json!({ "Bool": { "AWS:SECURETRANSPORT": "true" } }), false),
        (json!({ "BoolIfExists": { "aws:SecureTransport": "true" } }), false),
        (json!({ "StringEquals": { "aws:SourceIp": "10.1.2.3" } }), true),
        (json!({ "StringEquals": { "aws:PrincipalArn": "x" } }), false),
        (json!({ "StringNotEquals": { "aws:PrincipalArn": "x" } }), true),
        (json!({ "StringEqualsIfExists": { "aws:PrincipalArn": "x" } }), true),
        (json!({ "StringLike": { "aws:SourceIp": "10.1.*" } }), true),
        (json!({ "StringNotLike": { "aws:SourceIp": ["10.1.*", "y"] } }), false),
        (json!({ "StringEqualsIgnoreCase": { "aws:SecureTransport": "FALSE" } }), true),
        (json!({ "Null": { "aws:PrincipalArn": "true" } }), true),
        (json!({ "Null": { "aws:SourceIp": true } }), false),
        (json!({ "ArnLike": { "aws:PrincipalArn": "arn:aws:iam::*:user/*" } }), false),
        (json!({ "Bool": { "aws:SecureTransport": false }, "StringEquals": { "aws:SourceIp": "x" } }), false),
    ];
    for (condition, holds) in cases {
        let statement = json!({ "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition });
        let expected = if holds { Decision::Allowed } else { Decision::Unmentioned };
        assert_eq!(says(statement, "lambda:GetFunction", F), expected, "{condition}");
    }
}

#[test]
fn what_is_not_understood_is_refused_when_it_is_read() {
    let with = |member: &str, value: Value| {
        let mut statement = allow("lambda:*", "*");
        statement[member] = value;
        read(statement).expect_err(member)
    };
    let cases = [
        (
            with("Condition", json!({ "DateLessThan": { "aws:SourceIp": "x" } })),
            "statement 1: the condition operator DateLessThan is not supported",
        ),
        (
            with("Condition", json!({ "ForAnyValue:StringEquals": { "aws:SourceIp": "x" } })),
            "ForAnyValue:StringEquals is not supported",
        ),
        (
            with("Condition", json!({ "StringEquals": { "aws:TagKeys": "x" } })),
            "the condition key aws:tagkeys is not supported",
        ),
        (with("Condition", json!({ "StringEquals": { "aws:SourceIp": [] } })), "has no values"),
        (
            with("Condition", json!({ "IpAddress": { "aws:SourceIp": "10.0.0.0/33" } })),
            "neither an IP address nor a range",
        ),
        (with("Condition", json!({ "Bool": { "aws:SecureTransport": "yes" } })), "neither true nor false"),
        (with("Effect", json!("allow")), "must be \"Allow\" or \"Deny\""),
        (with("Actions", json!("x")), "unknown field `Actions`"),
        (with("Action", json!("InvokeFunction")), "Action has \"InvokeFunction\", which is none"),
        (with("Action", json!([])), "Action is an empty list"),
        (with("NotAction", json!("lambda:*")), "has both Action and NotAction"),
        (with("Resource", json!("function:f")), "Resource has \"function:f\""),
        (
            with("Resource", json!("arn:aws:lambda:*:*:function:${aws:username}")),
            "policy variables are not supported",
        ),
        (with("Principal", json!("*")), "Principal has no place in the policy of an identity"),
        (with("NotPrincipal", json!("*")), "unknown field `NotPrincipal`"),
        (with("Sid", json!(1)), "invalid type"),
        (
            read(json!({ "Effect": "Allow", "Action": "*" })).expect_err("no resource"),
            "Resource or NotResource is missing",
        ),
        (
            read(json!({ "Effect": "Allow", "Resource": "*" })).expect_err("no action"),
            "Action or NotAction is missing",
        ),
        (read(json!([])).expect_err("empty"), "no statements"),
    ];
    for (error, words) in cases {
        assert!(error.contains(words), "{error} / {words}");
    }
    let version = r#"{"Version":"2013-01-01","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    assert!(serde_json::from_str::<Document>(version).is_err());
    let twice = r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"},"Bool":{"aws:SecureTransport":"false"}}}}"#;
    assert!(serde_json::from_str::<Document>(twice).is_err(), "a condition that comes twice would be lost");
}

#[test]
fn a_resources_policy_looks_at_who_asks() {
    let policy = |principal: Value| {
        let text = json!({ "Statement": { "Effect": "Allow", "Principal": principal, "Action": "lambda:InvokeFunction", "Resource": F } });
        let document: Document = serde_json::from_value(text).map_err(|error| error.to_string())?;
        document.into_resource_policy(&KEYS).map_err(|error| error.to_string())
    };
    let role = "arn:aws:iam::111122223333:role/r";
    let session = "arn:aws:sts::111122223333:assumed-role/r/f";
    let identity = Principal::Identity { arns: &[session, role], account: "111122223333" };
    let service = Principal::Service("events.amazonaws.com");
    let cases = [
        (json!("*"), [true, true, true]),
        (json!({ "AWS": "*" }), [true, true, true]),
        (json!({ "AWS": "111122223333" }), [true, false, false]),
        (json!({ "AWS": ["arn:aws:iam::111122223333:root"] }), [true, false, false]),
        (json!({ "AWS": role }), [true, false, false]),
        (json!({ "AWS": session }), [true, false, false]),
        (json!({ "AWS": "arn:aws:iam::111122223333:role/other" }), [false, false, false]),
        (json!({ "Service": "events.amazonaws.com" }), [false, true, false]),
        (json!({ "Service": "s3.amazonaws.com", "AWS": role }), [true, false, false]),
    ];
    for (principal, expected) in cases {
        let document = policy(principal.clone()).expect("is a policy");
        for (asking, allowed) in [identity, service, Principal::Anonymous].iter().zip(expected) {
            let request = Request {
                principal: *asking,
                action: "lambda:InvokeFunction",
                resource: F,
                context: &context,
            };
            let decision = if allowed { Decision::Allowed } else { Decision::Unmentioned };
            assert_eq!(document.decide(&request), decision, "{principal} {asking:?}");
        }
    }
    for refused in [
        json!("x"),
        json!({ "AWS": "arn:aws:iam::1:role/r" }),
        json!({ "Federated": "x" }),
        json!({ "Service": "*" }),
    ] {
        assert!(policy(refused.clone()).is_err(), "{refused}");
    }
    let without: Document = serde_json::from_value(json!({ "Statement": allow("*", "*") })).expect("reads");
    assert!(without.into_resource_policy(&KEYS).is_err());
}

proptest! {
    #[test]
    fn a_pattern_of_stars_for_parts_of_a_text_fits_it(text in "[a-c:/]{0,12}", from in 0..13_usize, to in 0..13_usize) {
        let (from, to) = (from.min(text.len()), to.min(text.len()));
        let pattern = format!("{}*{}", &text[..from.min(to)], &text[from.max(to)..]);
        prop_assert!(glob(&pattern, &text), "{pattern}");
        prop_assert!(glob(&"?".repeat(text.len()), &text));
        prop_assert!(!glob(&"?".repeat(text.len() + 1), &text));
    }

    #[test]
    fn a_text_without_wildcards_fits_itself_only(one in "[a-c]{0,4}", other in "[a-c]{0,4}") {
        prop_assert_eq!(glob(&one, &other), one == other);
    }

    #[test]
    fn reading_a_policy_never_panics(text in "\\PC{0,200}") {
        let _ = serde_json::from_str::<Document>(&text);
    }
}
