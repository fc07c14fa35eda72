//! Payloads in chunks (`aws-chunked`): each chunk signed, or unsigned with a checksum at the end.
//!
//! The three forms that SDKs send where a payload's hash is not known before it is sent. Chunk signatures form a chain
//! that begins with the request's own, so that no chunk can be left out, changed or moved. The whole body is at hand
//! here: Lambda's bodies are bounded, and nothing may happen before the last chunk is proven anyway.
//!
//! Source: "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks", Amazon S3 API.

use crate::claim::Proven;
use crate::error::{ApiError, ErrorCode};
use crate::primitives::encode_base64;
use crate::sigv4::{EMPTY_SHA256, Head, payload_hash};
use sha2::{Digest as _, Sha256};

/// Bytes of a chunk's first line at most; size and signature take 98.
const LINE_MAX: usize = 256;
/// Bytes of all trailers at most.
const TRAILERS_MAX: usize = 4096;

struct Form {
    signed: bool,
    has_trailer: bool,
}

fn invalid(text: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::InvalidSignatureException, text)
}

fn malformed(text: &str) -> ApiError {
    ApiError::new(
        ErrorCode::InvalidRequestContentException,
        format!("The chunked payload cannot be read: {text}."),
    )
}

/// The payload inside a chunked body. `word` is what `x-amz-content-sha256` says instead of a hash.
///
/// # Errors
/// `InvalidSignatureException` for a form that is not known or a signature or checksum that is wrong,
/// `InvalidRequestContentException` for a body that has not this form.
pub fn decode(word: &str, body: &[u8], proven: &Proven, head: &Head<'_>) -> Result<Vec<u8>, ApiError> {
    let form = match word {
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Form { signed: true, has_trailer: false },
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Form { signed: true, has_trailer: true },
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Form { signed: false, has_trailer: true },
        _ => return Err(invalid(format!("The value '{word}' of x-amz-content-sha256 is not supported."))),
    };
    let mut payload = Vec::with_capacity(body.len());
    let mut chain = proven.signature.clone();
    let mut rest = body;
    loop {
        let (line, after) = line_of(rest)?;
        let (size, signature) = chunk_head(line)?;
        let chunk = after.get(..size).ok_or_else(|| malformed("a chunk ends early"))?;
        if form.signed {
            let signature = signature.ok_or_else(|| malformed("a chunk has no signature"))?;
            let hash = payload_hash(chunk);
            let text = format!(
                "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{chain}\n{EMPTY_SHA256}\n{hash}",
                proven.date_and_scope
            );
            check(proven, &text, signature)?;
            chain = signature.to_owned();
        }
        rest = &after[size..];
        if size == 0 {
            break;
        }
        rest = rest.strip_prefix(b"\r\n").ok_or_else(|| malformed("a chunk is longer than it says"))?;
        payload.extend_from_slice(chunk);
    }
    let trailers = trailers_of(rest)?;
    check_trailers(&form, &trailers, &chain, (proven, head), &payload)?;
    let announced = head.header("x-amz-decoded-content-length");
    if announced.is_some_and(|length| length.parse() != Ok(payload.len())) {
        return Err(malformed("its length is not the one of x-amz-decoded-content-length"));
    }
    Ok(payload)
}

fn check(proven: &Proven, text: &str, signature: &str) -> Result<(), ApiError> {
    match proven.key.verify(text, signature) {
        true => Ok(()),
        false => {
            Err(invalid("The chunk signature we calculated does not match the chunk signature you provided."))
        }
    }
}

/// The first line, without its end, and what follows.
fn line_of(bytes: &[u8]) -> Result<(&str, &[u8]), ApiError> {
    let window = &bytes[..bytes.len().min(LINE_MAX)];
    let end = window
        .windows(2)
        .position(|two| two == b"\r\n")
        .ok_or_else(|| malformed("a chunk's size is missing"))?;
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| malformed("a chunk's size is not text"))?;
    Ok((line, &bytes[end + 2..]))
}

/// `SIZE` or `SIZE;chunk-signature=SIGNATURE`, the size in hexadecimal digits.
fn chunk_head(line: &str) -> Result<(usize, Option<&str>), ApiError> {
    let (size, extension) = line.split_once(';').map_or((line, None), |(size, more)| (size, Some(more)));
    let is_number = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit());
    let size = is_number.then(|| usize::from_str_radix(size, 16).ok()).flatten();
    let size = size.ok_or_else(|| malformed("a chunk's size is no number"))?;
    Ok((size, extension.and_then(|text| text.trim().strip_prefix("chunk-signature="))))
}

/// Names in lower case with their values.
fn trailers_of(rest: &[u8]) -> Result<Vec<(String, String)>, ApiError> {
    if rest.len() > TRAILERS_MAX {
        return Err(malformed("too much follows the last chunk"));
    }
    let text = std::str::from_utf8(rest).map_err(|_| malformed("a trailer is not text"))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let pair = |line: &str| {
        let (name, value) = line.split_once(':').ok_or_else(|| malformed("a trailer has no value"))?;
        Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
    };
    lines.map(pair).collect()
}

/// The trailers must be those that the head announces, signed if the chunks are, and true.
fn check_trailers(
    form: &Form,
    trailers: &[(String, String)],
    chain: &str,
    (proven, head): (&Proven, &Head<'_>),
    payload: &[u8],
) -> Result<(), ApiError> {
    const SIGNATURE: &str = "x-amz-trailer-signature";
    let announced = head.header("x-amz-trailer").unwrap_or_default().to_ascii_lowercase();
    let announced: Vec<&str> = announced.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let content: Vec<&(String, String)> = trailers.iter().filter(|(name, _)| name != SIGNATURE).collect();
    let names: Vec<&str> = content.iter().map(|(name, _)| name.as_str()).collect();
    if names != announced || form.has_trailer == names.is_empty() {
        return Err(malformed("its trailers are not the ones of x-amz-trailer"));
    }
    if form.signed && form.has_trailer {
        let signature = trailers.iter().find(|(name, _)| name == SIGNATURE).map(|(_, value)| value.as_str());
        let signature = signature.ok_or_else(|| malformed("its trailers are not signed"))?;
        let lines: String = content.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let hash = payload_hash(lines.as_bytes());
        let text = format!("AWS4-HMAC-SHA256-TRAILER\n{}\n{chain}\n{hash}", proven.date_and_scope);
        check(proven, &text, signature)?;
    }
    for (name, value) in content {
        let computed = match name.as_str() {
            "x-amz-checksum-crc32" => encode_base64(&crc32(0xedb8_8320, payload).to_be_bytes()),
            "x-amz-checksum-crc32c" => encode_base64(&crc32(0x82f6_3b78, payload).to_be_bytes()),
            "x-amz-checksum-sha256" => encode_base64(&Sha256::digest(payload)),
            _ => {
                return Err(invalid(format!(
                    "The trailer {name} is not supported; use a CRC32, CRC32C or SHA256 checksum."
                )));
            }
        };
        if computed != *value {
            return Err(invalid(format!("The payload does not have the checksum that {name} says.")));
        }
    }
    Ok(())
}

/// The 32-bit checksum with a reflected polynomial, bit by bit: payloads in this form are rare.
fn crc32(polynomial: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { polynomial } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sigv4::{Scope, SigningKey};

    /// The key, date and first signature of the example in Amazon's documentation.
    fn documented() -> Proven {
        let scope = Scope { day: "20130524", region: "us-east-1", service: "s3" };
        Proven {
            key: SigningKey::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", &scope),
            signature: "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9".to_owned(),
            date_and_scope: format!("20130524T000000Z\n{scope}"),
        }
    }

    fn documented_body() -> Vec<u8> {
        let mut body = Vec::new();
        let chunks = [
            (65_536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
            (1_024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
            (0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
        ];
        for (size, signature) in chunks {
            body.extend_from_slice(format!("{size:x};chunk-signature={signature}\r\n").as_bytes());
            body.extend(std::iter::repeat_n(b'a', size));
            body.extend_from_slice(b"\r\n");
        }
        body
    }

    fn head<'a>(headers: &'a [(&'a str, &'a [u8])]) -> Head<'a> {
        Head { method: "PUT", path: "/", query: "", headers }
    }

    const SIGNED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
    const UNSIGNED: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

    #[test]
    fn the_documented_chunks_are_accepted_and_changed_ones_are_not() {
        let length: [(&str, &[u8]); 1] = [("x-amz-decoded-content-length", b"66560")];
        let body = documented_body();
        let payload = decode(SIGNED, &body, &documented(), &head(&length)).expect("is proven");
        assert!(payload.len() == 66_560 && payload.iter().all(|byte| *byte == b'a'));
        for (place, what) in [(100, "data"), (66_300, "data of the second chunk"), (30, "a signature")] {
            let mut changed = body.clone();
            changed[place] = if changed[place] == b'a' { b'b' } else { b'a' };
            let error = decode(SIGNED, &changed, &documented(), &head(&length)).expect_err(what);
            assert_eq!(error.code(), ErrorCode::InvalidSignatureException, "{what}");
        }
        let cut = &body[..body.len() - 90];
        assert!(decode(SIGNED, cut, &documented(), &head(&length)).is_err(), "without the last chunk");
        let other: [(&str, &[u8]); 1] = [("x-amz-decoded-content-length", b"66561")];
        assert!(decode(SIGNED, &body, &documented(), &head(&other)).is_err(), "another length");
    }

    #[test]
    fn an_unsigned_payload_must_have_its_checksum() {
        let trailer: [(&str, &[u8]); 1] = [("x-amz-trailer", b"x-amz-checksum-crc32")];
        let body = |text: &str, checksum: &str| {
            format!("{:x}\r\n{text}\r\n0\r\nx-amz-checksum-crc32:{checksum}\r\n\r\n", text.len())
        };
        let sum = encode_base64(&0xcbf4_3926_u32.to_be_bytes());
        let good = decode(UNSIGNED, body("123456789", &sum).as_bytes(), &documented(), &head(&trailer));
        assert_eq!(good.expect("is true"), b"123456789");
        for bad in
            [body("123456780", &sum), body("123456789", "AAAAAA=="), "0\r\n\r\n".to_owned(), String::new()]
        {
            assert!(decode(UNSIGNED, bad.as_bytes(), &documented(), &head(&trailer)).is_err(), "{bad:?}");
        }
        assert!(decode(UNSIGNED, body("123456789", &sum).as_bytes(), &documented(), &head(&[])).is_err());
        assert_eq!(crc32(0x82f6_3b78, b"123456789"), 0xe306_9283, "CRC-32C");
    }

    #[test]
    fn signed_trailers_continue_the_chain() {
        let proven = documented();
        let trailer: [(&str, &[u8]); 1] = [("x-amz-trailer", b"x-amz-checksum-crc32")];
        let chunk = |chain: &str, data: &[u8]| {
            let hash = payload_hash(data);
            proven.key.signature(&format!(
                "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{chain}\n{EMPTY_SHA256}\n{hash}",
                proven.date_and_scope
            ))
        };
        let first = chunk(&proven.signature, b"123456789");
        let last = chunk(&first, b"");
        let line = format!("x-amz-checksum-crc32:{}\n", encode_base64(&0xcbf4_3926_u32.to_be_bytes()));
        let text = format!(
            "AWS4-HMAC-SHA256-TRAILER\n{}\n{last}\n{}",
            proven.date_and_scope,
            payload_hash(line.as_bytes())
        );
        let signature = proven.key.signature(&text);
        let body = format!(
            "9;chunk-signature={first}\r\n123456789\r\n0;chunk-signature={last}\r\n{line}\r\nx-amz-trailer-signature:{signature}\r\n\r\n"
        );
        let word = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
        assert_eq!(decode(word, body.as_bytes(), &proven, &head(&trailer)).expect("is proven"), b"123456789");
        let unsigned = body.split("x-amz-trailer-signature").next().expect("is there");
        assert!(decode(word, unsigned.as_bytes(), &proven, &head(&trailer)).is_err());
        let other = body.replace(&signature, &first);
        assert!(decode(word, other.as_bytes(), &proven, &head(&trailer)).is_err());
    }

    #[test]
    fn other_forms_are_refused_by_name() {
        let error = decode("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", b"", &documented(), &head(&[]))
            .expect_err("is refused");
        assert!(error.message().unwrap_or_default().contains("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"));
    }

    proptest::proptest! {
        #[test]
        fn decoding_never_panics(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..120), front in "[0-9a-f]{0,20}(\r\n)?") {
            let body = [front.as_bytes(), &body].concat();
            let _ = decode(SIGNED, &body, &documented(), &head(&[]));
            let _ = decode(UNSIGNED, &body, &documented(), &head(&[]));
        }
    }
}
