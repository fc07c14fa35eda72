//! Where ids and secrets come from: the kernel's generator, and nothing else.
//!
//! Ids are taken from a block per thread: an invocation needs five, and a system call for each showed in profiles.
//! Secrets are never kept: each is asked for by itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hearth_logic::RequestId;
use std::cell::RefCell;

/// Random bytes asked for at once for ids.
const BLOCK: usize = 1024;

thread_local! {
    /// A block and how much of it is used. The daemon never forks, so no two processes share one.
    static IDS: RefCell<([u8; BLOCK], usize)> = const { RefCell::new(([0; BLOCK], BLOCK)) };
}

/// Random bytes for a secret.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut buffer = [0; N];
    fill(&mut buffer);
    buffer
}

fn fill(buffer: &mut [u8]) {
    #[expect(clippy::expect_used, reason = "without the kernel's generator no id and no secret can be made")]
    getrandom::fill(buffer).expect("the kernel's random generator answers");
}

/// Random bytes for an id: unpredictable too, each given out once.
pub(crate) fn id<const N: usize>() -> [u8; N] {
    const { assert!(N <= BLOCK) };
    IDS.with_borrow_mut(|(block, used)| {
        if *used + N > BLOCK {
            fill(block);
            *used = 0;
        }
        let mut id = [0; N];
        id.copy_from_slice(&block[*used..*used + N]);
        *used += N;
        id
    })
}

/// Random bytes in base64, for a secret.
pub(crate) fn base64<const N: usize>() -> String {
    STANDARD.encode(bytes::<N>())
}

/// A secret in lower-case hexadecimal.
pub(crate) fn hex<const N: usize>() -> String {
    let mut text = String::with_capacity(2 * N);
    push_hex(&bytes::<N>(), &mut text);
    text
}

/// Appends bytes in lower-case hexadecimal.
pub(crate) fn push_hex(bytes: &[u8], text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// A random UUID (version 4), lower case.
pub(crate) fn uuid() -> String {
    RequestId::from_random(id()).to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_uuid_has_version_and_variant() {
        let text = super::uuid();
        assert_eq!(text.len(), 36);
        assert_eq!(text.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&text.as_bytes()[19]));
    }
}
