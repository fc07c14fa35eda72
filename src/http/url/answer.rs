//! What a function returned, as the HTTP answer of its URL.
//!
//! An object with `statusCode` says the answer itself; any other JSON is the body of a 200. What cannot be sent is a 502,
//! as a failed function is. Deliberately not here: CORS (`cors.rs`) and refusals (`mod.rs`).
//!
//! Source: "Response payload format", AWS Lambda developer guide; recorded answers.

use super::super::server::{Body, full};
use bytes::Bytes;
use hearth_api::primitives::decode_base64;
use http::header::{CONTENT_TYPE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value};

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

/// The answer that a function's payload means; none if it cannot be sent.
pub(super) fn answer(payload: &[u8]) -> Option<Response<Body>> {
    let value: Value = serde_json::from_slice(payload).ok()?;
    match value {
        Value::Object(mut said) if said.contains_key("statusCode") => spoken(&mut said),
        Value::String(text) => Some(plain(text.into_bytes())),
        _ => Some(plain(payload.to_vec())),
    }
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

fn spoken(said: &mut Map<String, Value>) -> Option<Response<Body>> {
    let status = status(said.get("statusCode")?)?;
    let encoded = matches!(said.get("isBase64Encoded"), Some(Value::Bool(true)));
    let body = match said.remove("body") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) if encoded => decode_base64(&text).ok()?,
        Some(Value::String(text)) => text.into_bytes(),
        Some(other) => other.to_string().into_bytes(),
    };
    let mut response = plain(body);
    *response.status_mut() = status;
    headers(said.get("headers"), response.headers_mut())?;
    match said.get("cookies") {
        None | Some(Value::Null) => {}
        Some(Value::Array(cookies)) => {
            for cookie in cookies {
                response.headers_mut().append(SET_COOKIE, HeaderValue::from_str(cookie.as_str()?).ok()?);
            }
        }
        Some(_) => return None,
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

fn headers(said: Option<&Value>, headers: &mut HeaderMap) -> Option<()> {
    let said = match said {
        None | Some(Value::Null) => return Some(()),
        Some(said) => said.as_object()?,
    };
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

    #[test]
    fn what_cannot_be_sent_is_no_answer() {
        for payload in [
            "",
            "not json",
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
