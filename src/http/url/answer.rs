//! What a function returned, as the HTTP answer of its URL.
//!
//! An object with `statusCode` says the answer itself; any other JSON is the body of a 200. What cannot be sent is a 502,
//! as a failed function is. Deliberately not here: CORS (`cors.rs`) and refusals (`mod.rs`).
//!
//! Source: "Response payload format", AWS Lambda developer guide; recorded answers.

use super::super::server::{Body, full};
use bytes::Bytes;
use hearth_api::bounded::{self, Bounds};
use hearth_api::primitives::decode_base64;
use http::header::{CONTENT_TYPE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;

/// What the status, the headers or the cookies may hold: more than any client takes.
const MEMBER: Bounds = Bounds { values: 10_000, text: 1 << 20 };

/// Headers that are the connection's or the server's business.
const OWN: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-amzn-requestid",
];

/// What an object says of its answer, as it was written. Of what is not looked at no tree is made, so it may be as deep
/// and its numbers as large as JSON allows.
#[derive(Default)]
struct Said<'a> {
    status: Option<&'a RawValue>,
    encoded: Option<&'a RawValue>,
    body: Option<&'a RawValue>,
    headers: Option<&'a RawValue>,
    cookies: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Said<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Said<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            // The last one of a name counts, as everywhere.
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Said<'de>, A::Error> {
                let mut said = Said::default();
                while let Some(name) = members.next_key::<String>()? {
                    let place = match name.as_str() {
                        "statusCode" => &mut said.status,
                        "isBase64Encoded" => &mut said.encoded,
                        "body" => &mut said.body,
                        "headers" => &mut said.headers,
                        "cookies" => &mut said.cookies,
                        _ => {
                            members.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *place = Some(members.next_value()?);
                }
                Ok(said)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// The answer that a function's payload means; none if it cannot be sent.
pub(super) fn answer(payload: &[u8]) -> Option<Response<Body>> {
    let text = std::str::from_utf8(payload).ok()?;
    match text.trim_start_matches([' ', '\t', '\n', '\r']).as_bytes().first() {
        Some(b'{') => {
            let said: Said<'_> = serde_json::from_str(text).ok()?;
            if said.status.is_some() {
                return spoken(&said);
            }
        }
        Some(b'"') => return Some(plain(serde_json::from_str::<String>(text).ok()?.into_bytes())),
        _ => {
            serde_json::from_str::<IgnoredAny>(text).ok()?;
        }
    }
    Some(plain(payload.to_vec()))
}

/// What callers see of a function that failed, or answered what cannot be sent.
pub(super) fn failure() -> Response<Body> {
    let mut response = plain(b"Internal Server Error".to_vec());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
        .headers_mut()
        .insert("x-amzn-errortype", HeaderValue::from_static("InternalServerErrorException"));
    response
}

fn plain(body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(full(Bytes::from(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn spoken(said: &Said<'_>) -> Option<Response<Body>> {
    let read = |raw: &RawValue| bounded::parse(raw.get().as_bytes(), MEMBER).ok();
    let member = |raw: Option<&RawValue>| raw.map_or(Some(Value::Null), read);
    let status = status(&member(said.status)?)?;
    let encoded = said.encoded.is_some_and(|raw| raw.get() == "true");
    let body = match said.body.map(RawValue::get) {
        None | Some("null") => Vec::new(),
        Some(raw) if raw.starts_with('"') => {
            let text: String = serde_json::from_str(raw).ok()?;
            if encoded { decode_base64(&text).ok()? } else { text.into_bytes() }
        }
        Some(raw) => raw.as_bytes().to_vec(),
    };
    let mut response = plain(body);
    *response.status_mut() = status;
    headers(&member(said.headers)?, response.headers_mut())?;
    match member(said.cookies)? {
        Value::Null => {}
        Value::Array(cookies) => {
            for cookie in cookies {
                response.headers_mut().append(SET_COOKIE, HeaderValue::from_str(cookie.as_str()?).ok()?);
            }
        }
        _ => return None,
    }
    Some(response)
}

/// A number or its digits; informational ones cannot end a request.
fn status(said: &Value) -> Option<StatusCode> {
    let number = match said {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    let number = u16::try_from(number).ok().filter(|number| (200..=599).contains(number))?;
    StatusCode::from_u16(number).ok()
}

fn headers(said: &Value, headers: &mut HeaderMap) -> Option<()> {
    if said.is_null() {
        return Some(());
    }
    let said = said.as_object()?;
    for (name, value) in said {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::Null => continue,
            Value::Array(_) | Value::Object(_) => return None,
        };
        if !OWN.contains(&name.as_str()) {
            headers.insert(name, HeaderValue::from_str(&text).ok()?);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use proptest::prelude::*;

    async fn parts(payload: &str) -> Option<(u16, HeaderMap, Vec<u8>)> {
        let (parts, body) = answer(payload.as_bytes())?.into_parts();
        let body = body.collect().await.expect("is there").to_bytes().to_vec();
        Some((parts.status.as_u16(), parts.headers, body))
    }

    #[tokio::test]
    async fn an_object_with_a_status_says_the_answer() {
        let (status, headers, body) = parts(
            r#"{"statusCode": 201, "headers": {"Content-Type": "text/plain", "X-N": 5, "Content-Length": "999"},
                "cookies": ["a=1", "b=2; Secure"], "body": "aGk=", "isBase64Encoded": true}"#,
        )
        .await
        .expect("is sent");
        assert_eq!((status, body.as_slice()), (201, b"hi".as_slice()));
        assert_eq!(
            (&headers["content-type"], &headers["x-n"]),
            (&"text/plain".parse().expect("v"), &"5".parse().expect("v"))
        );
        assert_eq!(headers.get_all(SET_COOKIE).iter().count(), 2);
        assert!(!headers.contains_key("content-length"));
        let (status, headers, body) =
            parts(r#"{"statusCode": "418", "body": "teapot"}"#).await.expect("is sent");
        assert_eq!((status, body.as_slice()), (418, b"teapot".as_slice()));
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(parts(r#"{"statusCode": 204}"#).await.expect("is sent").2, b"");
    }

    #[tokio::test]
    async fn any_other_json_is_the_body_of_a_200() {
        for (payload, shown) in
            [(r#"{"a": 1}"#, r#"{"a": 1}"#), (r#""hello""#, "hello"), ("null", "null"), ("[1, 2]", "[1, 2]")]
        {
            let (status, headers, body) = parts(payload).await.expect("is sent");
            assert_eq!((status, body.as_slice()), (200, shown.as_bytes()));
            assert_eq!(headers["content-type"], "application/json");
        }
    }

    #[tokio::test]
    async fn what_is_only_passed_on_may_be_anything_that_is_json() {
        let deep = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
        let large = format!("[1e400{}]", ",0".repeat(200_000));
        for payload in [&deep, &large, &format!("{{\"a\":{deep}}}"), &format!(" {{\"b\":{large}}}")] {
            let (status, _, body) = parts(payload).await.expect("is sent");
            assert_eq!((status, body.as_slice()), (200, payload.as_bytes()));
        }
        for body in [&deep, &large, r#"{"a": 1}"#, "17", "true"] {
            let payload = format!("{{\"x\":{deep},\"statusCode\":202,\"body\":{body}}}");
            let (status, _, sent) = parts(&payload).await.expect("is sent");
            assert_eq!((status, sent.as_slice()), (202, body.as_bytes()));
        }
        let headers = format!("{{\"statusCode\":200,\"headers\":{large}}}");
        assert!(parts(&headers).await.is_none(), "but not where it is looked at");
    }

    #[test]
    fn what_cannot_be_sent_is_no_answer() {
        for payload in [
            "",
            "not json",
            "[1,]",
            r#"{"a": 1"#,
            r#"{"a": 1} 2"#,
            "\"\u{1}\"",
            r#"{"statusCode": 99}"#,
            r#"{"statusCode": 600}"#,
            r#"{"statusCode": "x"}"#,
            r#"{"statusCode": null}"#,
            r#"{"statusCode": 200, "headers": []}"#,
            r#"{"statusCode": 200, "headers": {"a b": "c"}}"#,
            r#"{"statusCode": 200, "headers": {"a": "b\nc"}}"#,
            r#"{"statusCode": 200, "headers": {"a": ["b"]}}"#,
            r#"{"statusCode": 200, "cookies": "a=1"}"#,
            r#"{"statusCode": 200, "body": "?", "isBase64Encoded": true}"#,
        ] {
            assert!(answer(payload.as_bytes()).is_none(), "{payload}");
        }
        assert_eq!(failure().status(), 502);
    }

    proptest! {
        #[test]
        fn no_payload_makes_it_panic(payload: Vec<u8>, status: i64, name: String, value: String) {
            answer(&payload);
            let said = serde_json::json!({"statusCode": status, "headers": {name: &value}, "cookies": [value]});
            if let Some(response) = answer(said.to_string().as_bytes()) {
                prop_assert!((200..=599).contains(&response.status().as_u16()));
            }
        }
    }
}
