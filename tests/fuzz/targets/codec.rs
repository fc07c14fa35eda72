//! Any request to an operation: it is refused with a well-formed error, or what was read from it is written and read
//! again as the same value. The same bytes as an answer are read by the client's half.
#![no_main]

use hearth_api::codec::{self, EncodeError, Head};
use hearth_api::{Row, router};
use hearth_fuzz::Request;
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some(request) = Request::read(input) else { return Corpus::Reject };
    let Ok(found) = router::find(request.method, request.path, request.query) else { return Corpus::Reject };
    let headers = |name: &str| request.header(name);
    let head = Head { labels: &found.labels, query: request.query, headers: &headers };
    let _ = codec::decode_head(found.row, &head);
    match codec::decode(found.row, &head, request.body) {
        Ok(value) => law(found.row, &value),
        Err(error) => {
            let reply = error.to_reply();
            assert!(reply.status >= 400);
            let body = reply.body.as_bytes();
            assert!(body.is_empty() || serde_json::from_slice::<Value>(body).is_ok());
        }
    }
    for status in [200, 400] {
        let _: Result<Value, _> = codec::decode_response(found.row, status, &headers, request.body);
    }
    Corpus::Keep
});

/// decode(encode(x)) = x for what a request was understood to say.
fn law(row: &'static Row, value: &Value) {
    let parts = match codec::encode_request(row, value) {
        Ok(parts) => parts,
        // The label stood there, empty.
        Err(EncodeError::MissingLabel { .. }) => return,
        Err(error) => panic!("what was read cannot be written: {error}"),
    };
    let (path, query) = parts.path_and_query.split_once('?').unwrap_or((&parts.path_and_query, ""));
    let found = router::find(parts.method, path, query).expect("a written request has a row");
    assert_eq!(found.row.name, row.name);
    let headers = |name: &str| {
        parts.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    };
    let head = Head { labels: &found.labels, query, headers: &headers };
    let again = codec::decode(row, &head, &parts.body).expect("a written request is read");
    assert_eq!(&again, value);
}
