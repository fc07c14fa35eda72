//! Where ids and secrets come from: the kernel's generator, and nothing else.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut buffer = [0; N];
    #[expect(clippy::expect_used, reason = "without the kernel's generator no id and no secret can be made")]
    getrandom::fill(&mut buffer).expect("the kernel's random generator answers");
    buffer
}

/// Random bytes in base64.
pub(crate) fn base64<const N: usize>() -> String {
    STANDARD.encode(bytes::<N>())
}

/// Random bytes in lower-case hexadecimal.
pub(crate) fn hex<const N: usize>() -> String {
    bytes::<N>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A random UUID (version 4), lower case.
pub(crate) fn uuid() -> String {
    let mut raw = bytes::<16>();
    raw[6] = raw[6] & 0x0F | 0x40;
    raw[8] = raw[8] & 0x3F | 0x80;
    let text: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
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
