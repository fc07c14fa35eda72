//! A request to a function URL as the event that the function gets: payload format 2.0.
//!
//! Members, order and forms are those of the service. What a client says of its own origin (`x-forwarded-…`) is
//! replaced by what is known. Deliberately not here: who may call, and sizes (`mod.rs`).
//!
//! Source: "Request payload format", AWS Lambda developer guide; recorded events.

use crate::http::tls::Agreed;
use hearth_api::primitives::{EpochTime, encode_base64};
use http::HeaderMap;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use std::collections::BTreeMap;

const CIPHER_SUITE: &str = "x-amzn-tls-cipher-suite";
const TLS_VERSION: &str = "x-amzn-tls-version";
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// What is known of a request beside its headers and body.
pub(super) struct Origin<'a> {
    /// The id of the URL.
    pub(super) id: &'a str,
    /// The host name of the URL, without a port.
    pub(super) domain: &'a str,
    /// `GET`.
    pub(super) method: &'a str,
    /// As it was sent, from its slash on.
    pub(super) path: &'a str,
    /// As it was sent.
    pub(super) query: &'a str,
    /// Where it comes from.
    pub(super) source: &'a str,
    /// Port of the listener.
    pub(super) port: u16,
    /// How it came encrypted, if it did.
    pub(super) tls: Option<Agreed>,
    /// X-Ray header.
    pub(super) trace: &'a str,
    /// Id of the invocation.
    pub(super) request_id: &'a str,
    /// When it came.
    pub(super) now: EpochTime,
    /// Who signed it, at a URL that asks.
    pub(super) caller: Option<&'a Iam>,
}

/// Who signed a request.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Iam {
    pub(super) access_key: String,
    pub(super) account_id: String,
    pub(super) caller_id: String,
    pub(super) cognito_identity: (),
    pub(super) principal_org_id: (),
    pub(super) user_arn: String,
    pub(super) user_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    version: &'static str,
    route_key: &'static str,
    raw_path: &'a str,
    raw_query_string: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<String>,
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    query_string_parameters: BTreeMap<String, String>,
    request_context: Context<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    is_base64_encoded: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Context<'a> {
    account_id: &'a str,
    api_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorizer: Option<Authorizer<'a>>,
    domain_name: &'a str,
    domain_prefix: &'a str,
    http: Http<'a>,
    request_id: &'a str,
    route_key: &'static str,
    stage: &'static str,
    time: String,
    time_epoch: i64,
}

#[derive(Serialize)]
struct Authorizer<'a> {
    iam: &'a Iam,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Http<'a> {
    method: &'a str,
    path: &'a str,
    protocol: &'static str,
    source_ip: &'a str,
    user_agent: &'a str,
}

/// The event as JSON.
pub(super) fn event(
    origin: &Origin<'_>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Vec<u8>, serde_json::Error> {
    let path = decoded_path(origin.path);
    let (body, is_base64_encoded) = text_of(headers, body);
    let agent = headers.get(http::header::USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
    serde_json::to_vec(&Event {
        version: "2.0",
        route_key: "$default",
        raw_path: &path,
        raw_query_string: origin.query,
        cookies: cookies(headers),
        headers: joined(headers, origin),
        query_string_parameters: parameters(origin.query),
        request_context: Context {
            account_id: origin.caller.map_or("anonymous", |iam| &iam.account_id),
            api_id: origin.id,
            authorizer: origin.caller.map(|iam| Authorizer { iam }),
            domain_name: origin.domain,
            domain_prefix: origin.id,
            http: Http {
                method: origin.method,
                path: &path,
                protocol: "HTTP/1.1",
                source_ip: origin.source,
                user_agent: agent.as_deref().unwrap_or_default(),
            },
            request_id: origin.request_id,
            route_key: "$default",
            stage: "$default",
            time: log_time(origin.now),
            time_epoch: origin.now.ms,
        },
        body,
        is_base64_encoded,
    })
}

/// The path as the service shows it: decoded once, but for a slash, which would be another path.
fn decoded_path(path: &str) -> String {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten().and_then(|digits| {
            let digits =
                std::str::from_utf8(digits).ok().filter(|it| it.bytes().all(|byte| byte.is_ascii_hexdigit()));
            u8::from_str_radix(digits?, 16).ok()
        });
        match escaped.filter(|byte| *byte != b'/') {
            Some(byte) => {
                decoded.push(byte);
                rest = &after[2..];
            }
            None => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(http::header::COOKIE).iter();
    let texts = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    texts.flat_map(|text| text.split("; ").map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Headers by their names in lower case, values of one name joined; cookies have a place of their own.
fn joined(headers: &HeaderMap, origin: &Origin<'_>) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        // What a client says of its own encryption is not believed either.
        if matches!(name.as_str(), "cookie" | "connection" | CIPHER_SUITE | TLS_VERSION) {
            continue;
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        joined
            .entry(name.as_str().to_owned())
            .and_modify(|all| {
                all.push(',');
                all.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    for (name, value) in [
        ("x-amzn-trace-id", origin.trace),
        ("x-forwarded-for", origin.source),
        ("x-forwarded-port", &origin.port.to_string()),
        ("x-forwarded-proto", if origin.tls.is_some() { "https" } else { "http" }),
    ] {
        joined.insert(name.to_owned(), value.to_owned());
    }
    if let Some(Agreed { version, suite }) = origin.tls {
        joined.insert(CIPHER_SUITE.to_owned(), suite.to_owned());
        joined.insert(TLS_VERSION.to_owned(), version.to_owned());
    }
    joined
}

fn parameters(query: &str) -> BTreeMap<String, String> {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(value);
        parameters
            .entry(decoded(name))
            .and_modify(|all| {
                all.push(',');
                all.push_str(&value);
            })
            .or_insert(value);
    }
    parameters
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// The body as text where its type says that it is text and it is; else in base64. None at all if it is empty.
fn text_of(headers: &HeaderMap, body: &[u8]) -> (Option<String>, bool) {
    if body.is_empty() {
        return (None, false);
    }
    let declared = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    match std::str::from_utf8(body) {
        Ok(text) if declared.is_some_and(is_text) => (Some(text.to_owned()), false),
        _ => (Some(encode_base64(body)), true),
    }
}

fn is_text(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || matches!(kind.as_str(), "application/json" | "application/javascript" | "application/xml")
}

/// `12/Mar/2020:19:03:58 +0000`.
fn log_time(now: EpochTime) -> String {
    let iso = now.to_iso_text();
    let part = |from: usize, to: usize| iso.get(from..to).unwrap_or_default();
    let month: usize = part(5, 7).parse().unwrap_or(1);
    let month = MONTHS.get(month.saturating_sub(1)).copied().unwrap_or_default();
    format!("{}/{month}/{}:{} +0000", part(8, 10), part(0, 4), part(11, 19))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn origin<'a>(path: &'a str, query: &'a str) -> Origin<'a> {
        Origin {
            id: "abc",
            domain: "abc.lambda-url.us-east-1.localhost",
            method: "POST",
            path,
            query,
            source: "127.0.0.1",
            port: 3001,
            tls: None,
            trace: "Root=1-2-3",
            request_id: "id",
            now: EpochTime::from_ms(1_583_348_638_390),
            caller: None,
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .collect()
    }

    fn made(origin: &Origin<'_>, headers: &HeaderMap, body: &[u8]) -> Value {
        serde_json::from_slice(&event(origin, headers, body).expect("is written")).expect("is JSON")
    }

    #[test]
    fn a_request_becomes_the_event_of_the_service() {
        let mut sent = headers(&[
            ("content-type", "application/json"),
            ("connection", "close"),
            ("x-forwarded-for", "6.6.6.6"),
            ("user-agent", "test"),
        ]);
        for (name, value) in [("x-a", "1"), ("x-a", "2"), ("cookie", "a=1; b=2"), ("cookie", "c=3")] {
            sent.append(name, value.parse().expect("a value"));
        }
        let event = made(&origin("/my/path", "p1=v1&p1=%2Fv2&p2=a+b&p3"), &sent, b"{\"a\": 1}");
        assert_eq!(
            event,
            json!({
                "version": "2.0", "routeKey": "$default", "rawPath": "/my/path",
                "rawQueryString": "p1=v1&p1=%2Fv2&p2=a+b&p3", "cookies": ["a=1", "b=2", "c=3"],
                "headers": {
                    "content-type": "application/json", "user-agent": "test", "x-a": "1,2",
                    "x-amzn-trace-id": "Root=1-2-3", "x-forwarded-for": "127.0.0.1", "x-forwarded-port": "3001",
                    "x-forwarded-proto": "http",
                },
                "queryStringParameters": {"p1": "v1,/v2", "p2": "a b", "p3": ""},
                "requestContext": {
                    "accountId": "anonymous", "apiId": "abc",
                    "domainName": "abc.lambda-url.us-east-1.localhost", "domainPrefix": "abc",
                    "http": {
                        "method": "POST", "path": "/my/path", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1",
                        "userAgent": "test",
                    },
                    "requestId": "id", "routeKey": "$default", "stage": "$default",
                    "time": "04/Mar/2020:19:03:58 +0000", "timeEpoch": 1_583_348_638_390_i64,
                },
                "body": "{\"a\": 1}", "isBase64Encoded": false,
            })
        );
    }

    #[test]
    fn how_a_request_came_encrypted_is_told_as_the_service_tells_it_and_never_as_a_client_says() {
        let claimed = headers(&[("x-amzn-tls-version", "TLSv9"), ("x-amzn-tls-cipher-suite", "NONE")]);
        let plain = made(&origin("/", ""), &claimed, b"");
        assert_eq!(plain["headers"]["x-forwarded-proto"], "http");
        assert!(plain["headers"].get("x-amzn-tls-version").is_none());
        assert!(plain["headers"].get("x-amzn-tls-cipher-suite").is_none());
        let agreed = Agreed { version: "TLSv1.3", suite: "TLS_AES_128_GCM_SHA256" };
        let encrypted = made(&Origin { tls: Some(agreed), ..origin("/", "") }, &claimed, b"");
        assert_eq!(encrypted["headers"]["x-forwarded-proto"], "https");
        assert_eq!(encrypted["headers"]["x-amzn-tls-version"], "TLSv1.3");
        assert_eq!(encrypted["headers"]["x-amzn-tls-cipher-suite"], "TLS_AES_128_GCM_SHA256");
    }

    #[test]
    fn a_path_is_decoded_once_and_keeps_its_slashes() {
        for (sent, shown) in [
            ("/pa2%25Fth/1", "/pa2%Fth/1"),
            ("/a%2Fb%2fc%20d", "/a%2Fb%2fc d"),
            ("/%C3%A9%C3", "/\u{e9}\u{fffd}"),
            ("/%", "/%"),
            ("/%zz%2", "/%zz%2"),
            ("//x", "//x"),
        ] {
            assert_eq!(decoded_path(sent), shown);
        }
    }

    #[test]
    fn bodies_are_text_only_where_they_say_so_and_are() {
        let body_of = |kind: &'static str, body: &[u8]| {
            let event = made(&origin("/", ""), &headers(&[("content-type", kind)]), body);
            (event["body"].as_str().expect("has one").to_owned(), event["isBase64Encoded"] == true)
        };
        for kind in
            ["text/plain", "application/problem+json; charset=utf-8", "APPLICATION/XML", "image/svg+xml"]
        {
            assert_eq!(body_of(kind, b"hello"), ("hello".to_owned(), false), "{kind}");
        }
        for kind in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "image/png"] {
            assert_eq!(body_of(kind, b"hello"), ("aGVsbG8=".to_owned(), true), "{kind}");
        }
        assert_eq!(body_of("text/plain", b"\xff"), ("/w==".to_owned(), true));
        let without = made(&origin("/", ""), &HeaderMap::new(), b"");
        assert!(without.get("body").is_none() && without["isBase64Encoded"] == false);
        assert!(without.get("cookies").is_none() && without.get("queryStringParameters").is_none());
    }

    #[test]
    fn whoever_signed_is_named() {
        let iam = Iam {
            access_key: "AKIA".to_owned(),
            account_id: "000000000000".to_owned(),
            caller_id: "000000000000".to_owned(),
            cognito_identity: (),
            principal_org_id: (),
            user_arn: "arn:aws:iam::000000000000:root".to_owned(),
            user_id: "000000000000".to_owned(),
        };
        let event = made(&Origin { caller: Some(&iam), ..origin("/", "") }, &HeaderMap::new(), b"");
        assert_eq!(event["requestContext"]["accountId"], "000000000000");
        assert_eq!(event["requestContext"]["authorizer"]["iam"]["accessKey"], "AKIA");
        assert_eq!(event["requestContext"]["authorizer"]["iam"]["cognitoIdentity"], Value::Null);
    }

    proptest! {
        #[test]
        fn whatever_is_sent_becomes_json_with_the_same_body(
            path in "/[ -~é]{0,40}",
            query in "[ -~é]{0,40}",
            body in proptest::collection::vec(any::<u8>(), 1..200),
            kind in proptest::sample::select(vec!["text/plain", "application/octet-stream"]),
        ) {
            let event = made(&origin(&path, &query), &headers(&[("content-type", kind)]), &body);
            let text = event["body"].as_str().expect("has one");
            let back = match event["isBase64Encoded"] == true {
                true => hearth_api::primitives::decode_base64(text).expect("is base64"),
                false => text.as_bytes().to_vec(),
            };
            prop_assert_eq!(back, body);
        }
    }
}
