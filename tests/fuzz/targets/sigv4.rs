//! Any request to a daemon that takes signed ones: nothing that was not signed with the key is believed, whatever its
//! head claims; what is signed here is believed, and no more once a byte of it is another. Bodies in chunks included.
#![no_main]

use hearth_api::chunked;
use hearth_api::claim::{Claim, Payload, check_payload};
use hearth_api::error::ApiError;
use hearth_api::primitives::EpochTime;
use hearth_api::sigv4::{Head, PathStyle, Signing, UNSIGNED_PAYLOAD, payload_hash};
use hearth_fuzz::Request;
use libfuzzer_sys::{Corpus, fuzz_target};

const NOW: EpochTime = EpochTime { ms: 1_714_567_890_000 };
/// Nobody who writes a seed or a mutation knows it.
const SECRET: &str = "9qbRkUJ8r0x2n5vYtWfPzAhLsDmEgCoI";

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some(request) = Request::read(input) else { return Corpus::Reject };
    // As hyper gives them: names in lower case.
    let names: Vec<String> = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    let values = request.headers.iter().map(|(_, value)| value.as_bytes());
    let headers: Vec<(&str, &[u8])> = names.iter().map(String::as_str).zip(values).collect();
    let head =
        Head { method: request.method, path: request.path, query: request.query, headers: &headers };
    let refused = believed(&head, request.body).expect_err("nobody signed this");
    assert!(refused.to_reply().status >= 400);
    signed_here(&request, &headers);
    Corpus::Keep
});

/// The way of a request through the daemon.
fn believed(head: &Head<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let claim = Claim::read(head)?;
    claim.check_scope("us-east-1", &["lambda"])?;
    claim.check_time(NOW)?;
    match claim.payload(head) {
        Payload::Hash(said) => {
            claim.verify(head, SECRET, &said)?;
            check_payload(&said, &payload_hash(body))?;
        }
        Payload::Unsigned => drop(claim.verify(head, SECRET, UNSIGNED_PAYLOAD)?),
        Payload::Unsaid => drop(claim.verify(head, SECRET, &payload_hash(body))?),
        Payload::Chunked(word) => {
            let proven = claim.verify(head, SECRET, &word)?;
            return chunked::decode(&word, body, &proven, head);
        }
    }
    Ok(body.to_vec())
}

/// Signs the request as a client would, and tries what somebody on the way could.
fn signed_here(request: &Request<'_>, headers: &[(&str, &[u8])]) {
    let own = ["host", "authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];
    let mut plain: Vec<(&str, &[u8])> =
        headers.iter().copied().filter(|(name, _)| !own.contains(name)).collect();
    plain.push(("host", b"localhost"));
    let word = request.header("x-amz-content-sha256").filter(|word| word.starts_with("STREAMING-"));
    let hash = word.map_or_else(|| payload_hash(request.body), str::to_owned);
    if let Some(word) = word {
        plain.push(("x-amz-content-sha256", word.as_bytes()));
    }
    let Request { method, path, query, .. } = *request;
    let signing = Signing {
        access_key: "AKIDEXAMPLE",
        secret_key: SECRET,
        session_token: request.header("x-amz-security-token"),
        region: "us-east-1",
        service: "lambda",
        now: NOW,
        style: PathStyle::Twice,
    };
    let added = signing.sign(&Head { method, path, query, headers: &plain }, &hash);
    let mut whole = plain.clone();
    whole.extend(added.iter().map(|(name, value)| (*name, value.as_bytes())));
    let head = Head { method, path, query, headers: &whole };
    if word.is_some() {
        // The head is good now, so that the body is looked at; it has to be in chunks.
        drop(believed(&head, request.body));
        return;
    }
    // A request may have headers that make it none, two dates for example.
    if believed(&head, request.body).is_err() {
        return;
    }
    let longer = [request.body, b"x"].concat();
    believed(&head, &longer).expect_err("another body");
    let path = format!("{path}x");
    believed(&Head { path: &path, ..head }, request.body).expect_err("another path");
    let query = format!("{query}&x=1");
    believed(&Head { query: &query, ..head }, request.body).expect_err("another query");
}
