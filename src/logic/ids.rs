//! The names of things that machines talk about.
//!
//! They exist so that one kind of number is never taken for another. Nothing here makes up a number: dense ids come from
//! their owner's counter, random ones from bytes handed in.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// One request to run, within one life of the daemon. Never used twice.
    InvocationId
}

number! {
    /// One sandbox with its lifecycle, within one life of the daemon. The scheduler hands them out, from 0 upwards.
    EnvironmentId
}

number! {
    /// A function, whatever it is called: a function created again under an old name is another one.
    FunctionId
}

number! {
    /// A provisioned-concurrency configuration, of a version or an alias. The daemon numbers them.
    ProvisionedId
}

number! {
    /// Effective settings of a version: all environments of one revision are alike. The daemon numbers the fingerprints.
    RevisionId
}

/// The id of a request as clients, functions and logs see it: a UUID, the same in every attempt at the request.
///
/// ```
/// use hearth_logic::RequestId;
/// let id = RequestId::from_random([0xff; 16]);
/// assert_eq!(id.to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
/// assert_eq!(id.to_string().parse(), Ok(id));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId([u8; 16]);

/// A text that is not a UUID of 36 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")]
pub struct NotAUuid;

impl RequestId {
    /// The id with exactly these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// A version 4 UUID: of the random bytes, the six bits that name version and variant are overwritten.
    #[must_use]
    pub const fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Its text, in ASCII: each invocation writes its id several times.
    #[must_use]
    pub fn to_text(&self) -> [u8; 36] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (index, byte) in self.0.iter().enumerate() {
            at += usize::from(hyphen_before(index));
            text[at] = DIGITS[usize::from(byte >> 4)];
            text[at + 1] = DIGITS[usize::from(byte & 15)];
            at += 2;
        }
        text
    }
}

/// True where a hyphen stands before this byte of a UUID's text.
const fn hyphen_before(index: usize) -> bool {
    matches!(index, 4 | 6 | 8 | 10)
}

impl fmt::Display for RequestId {
    /// Lower-case text, written in one piece.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_text()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for RequestId {
    type Err = NotAUuid;

    /// Reads the hyphenated form, digits of either case.
    fn from_str(text: &str) -> Result<Self, NotAUuid> {
        let text: &[u8; 36] = text.as_bytes().try_into().map_err(|_| NotAUuid)?;
        let mut bytes = [0; 16];
        let mut at = 0;
        for (index, byte) in bytes.iter_mut().enumerate() {
            if hyphen_before(index) {
                if text[at] != b'-' {
                    return Err(NotAUuid);
                }
                at += 1;
            }
            *byte = (digit(text[at])? << 4) | digit(text[at + 1])?;
            at += 2;
        }
        Ok(Self(bytes))
    }
}

fn digit(byte: u8) -> Result<u8, NotAUuid> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        b'A'..=b'F' => Ok(byte - b'A' + 10),
        _ => Err(NotAUuid),
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_request_id_reads_back_as_it_is_written(bytes: [u8; 16]) {
            let id = RequestId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
            let json = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(&json, &format!("\"{id}\""));
            prop_assert_eq!(serde_json::from_str::<RequestId>(&json).unwrap(), id);
        }

        #[test]
        fn a_random_request_id_is_of_version_4(bytes: [u8; 16]) {
            let text = RequestId::from_random(bytes).to_string();
            prop_assert_eq!(text.as_bytes()[14], b'4');
            prop_assert!(b"89ab".contains(&text.as_bytes()[19]));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            if let Ok(id) = text.parse::<RequestId>() {
                prop_assert_eq!(id.to_string(), text.to_lowercase());
            }
        }
    }

    #[test]
    fn other_forms_of_a_uuid_are_refused() {
        let table = [
            "",
            "00112233445566778899aabbccddeeff",
            "00112233-4455-6677-8899-aabbccddeef",
            "00112233-4455-6677-8899-aabbccddeefff",
            "00112233_4455-6677-8899-aabbccddeeff",
            "g0112233-4455-6677-8899-aabbccddeeff",
            "{0112233-4455-6677-8899-aabbccddeef}",
        ];
        for text in table {
            assert_eq!(text.parse::<RequestId>(), Err(NotAUuid), "{text}");
        }
    }
}
