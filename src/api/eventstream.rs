//! Messages of `application/vnd.amazon.eventstream`: how AWS's services send events within one answer.
//!
//! A message is its length, the length of its headers, a CRC of those two, headers, payload, and a CRC of it all; numbers
//! are big-endian, CRCs are CRC-32. Written, never read: this side only sends. Values of headers are texts; the other
//! types of the format are not needed.

/// The type of a header's value that is a text.
const TEXT: u8 = 7;
/// The first two lengths and their CRC.
const PRELUDE: usize = 12;
/// The CRC at the end.
const TRAILER: usize = 4;
/// Bytes of a payload: the format's bound is 24 MiB.
pub const PAYLOAD_MAX: usize = 24 << 20;

/// An event: `:message-type` is `event`.
#[must_use]
pub fn event(kind: &str, content_type: &str, payload: &[u8]) -> Vec<u8> {
    message(&[(":event-type", kind), (":content-type", content_type), (":message-type", "event")], payload)
}

/// A modelled error in the stream: `:message-type` is `exception`. The stream ends with it.
#[must_use]
pub fn exception(kind: &str, content_type: &str, payload: &[u8]) -> Vec<u8> {
    message(
        &[(":exception-type", kind), (":content-type", content_type), (":message-type", "exception")],
        payload,
    )
}

/// A message with these headers.
///
/// # Panics
/// If a header's name has more than 255 bytes, its value more than 65,535, or the payload more than [`PAYLOAD_MAX`]: all
/// three are our own.
#[must_use]
pub fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() <= PAYLOAD_MAX, "a payload of {} bytes", payload.len());
    let mut block = Vec::new();
    for (name, value) in headers {
        let (Ok(name_length), Ok(value_length)) = (u8::try_from(name.len()), u16::try_from(value.len()))
        else {
            panic!("the header {name} is too long");
        };
        block.push(name_length);
        block.extend_from_slice(name.as_bytes());
        block.push(TEXT);
        block.extend_from_slice(&value_length.to_be_bytes());
        block.extend_from_slice(value.as_bytes());
    }
    let total = PRELUDE + block.len() + payload.len() + TRAILER;
    let mut bytes = Vec::with_capacity(total);
    for length in [total, block.len()] {
        // Both are below 2^32: the payload is bounded, and so are the few headers.
        bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    }
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes.extend_from_slice(&block);
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_are_those_of_the_published_vectors() {
        // From the test suite that AWS publishes for this format: no headers and no payload; a payload alone.
        let empty = [0, 0, 0, 0x10, 0, 0, 0, 0, 5, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];
        assert_eq!(message(&[], b""), empty);
        let bytes = message(&[], b"{'foo':'bar'}");
        assert_eq!(&bytes[..12], [0, 0, 0, 0x1d, 0, 0, 0, 0, 0xfd, 0x52, 0x8c, 0x5a]);
        assert_eq!(&bytes[25..], [0xc3, 0x65, 0x39, 0x36]);
    }

    #[test]
    fn headers_stand_between_prelude_and_payload() {
        let bytes = event("x", "application/json", b"{}");
        let headers = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]) as usize;
        assert_eq!(&bytes[12..12 + 1 + 11 + 1 + 2 + 1], b"\x0b:event-type\x07\x00\x01x");
        assert_eq!(&bytes[12 + headers..bytes.len() - 4], b"{}");
        assert_eq!(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize, bytes.len());
    }
}
