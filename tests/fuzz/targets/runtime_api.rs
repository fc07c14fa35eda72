//! What a hostile runtime may send, and everything else that may happen to its environment, in any order.
//!
//! Each line of the input is one deed: a letter and what belongs to it (see `deed`), or a call as `METHOD path`, with
//! headers behind `|` and a mark for a body that is too large or cut short. Calls go through the server's own
//! classification; the lifecycle's laws are asserted after each step, and at the end every promise must be kept.
#![no_main]

use bytes::Bytes;
use hearth_runtime_api::call::classify;
use hearth_runtime_api::world::{Deed, World};
use hearth_runtime_api::{Body, Exit, Failure, RequestId};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use libfuzzer_sys::{Corpus, fuzz_target};

/// Longer inputs repeat themselves.
const DEEDS_MAX: usize = 200;

fuzz_target!(|input: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(input) else { return Corpus::Reject };
    let mut world = World::new();
    for line in text.split('\n').take(DEEDS_MAX) {
        if let Some(deed) = deed(line) {
            world.do_one(deed);
        }
    }
    world.wind_down();
    Corpus::Keep
});

fn deed(line: &str) -> Option<Deed> {
    let number = |text: &str| text.parse::<u16>().unwrap_or_default();
    let rest = line.get(1..).unwrap_or_default();
    Some(match line.as_bytes().first()? {
        b'w' => Deed::Wait(number(rest).into()),
        b'n' => Deed::Next,
        b'r' => Deed::Respond(rest.len().try_into().unwrap_or(u8::MAX), Body::Whole(Bytes::new())),
        b'e' => Deed::Error(rest.len().try_into().unwrap_or(u8::MAX)),
        b'i' => Deed::InitError,
        b'd' => Deed::Deliver,
        b'b' => Deed::Born(rest.is_empty()),
        b'x' => {
            let (code, out_of_memory) = (number(rest).into(), rest.ends_with('m'));
            // The document of every exit is JSON, whatever the code.
            let failure = Failure::from_exit(Exit::Signal(code), out_of_memory);
            let document = failure.document(RequestId::from_bytes([1; 16]));
            let read = serde_json::from_slice::<serde_json::Value>(&document);
            assert!(read.is_ok(), "{}", document.escape_ascii());
            Deed::Leave(code, out_of_memory)
        }
        b'k' => Deed::Reap,
        b's' => Deed::Shutdown,
        b'l' => Deed::Lost,
        b'f' => Deed::Refuse,
        b'o' => Deed::Stale,
        _ => return call(line),
    })
}

fn call(line: &str) -> Option<Deed> {
    let mut parts = line.split('|');
    let (method, path) = parts.next()?.split_once(' ')?;
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    let mut body = Body::Whole(Bytes::from_static(b"{}"));
    let mut headers = HeaderMap::new();
    for part in parts {
        match part.split_once(':') {
            None if part == "large" => body = Body::TooLarge,
            None => body = Body::Truncated,
            Some((name, value)) => {
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                headers.append(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
            }
        }
    }
    match classify(&method, path, &headers) {
        Ok(call) => call.with_body(body).map(Deed::Call),
        Err(complaint) => {
            assert!((400..=500).contains(&complaint.status()));
            None
        }
    }
}
