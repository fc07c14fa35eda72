//! The names of calls, deliveries and runs.
//!
//! They exist so that one kind of number is never taken for another. Where they come from (randomness, counters) is the
//! business of whoever makes them.

pub use hearth_logic::RequestId;
use std::fmt;

/// `Lambda-Runtime-Invocation-Id`: one attempt at delivering a request; another attempt has another.
///
/// Written like a request id, as a UUID, but never comparable with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(RequestId);

impl DeliveryId {
    /// The id with these 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(RequestId::from_bytes(bytes))
    }

    /// Reads UUID text; any other text is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    /// Its text, in ASCII.
    #[must_use]
    pub fn to_text(&self) -> [u8; 36] {
        self.0.to_text()
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One HTTP request of a runtime that waits for its answer; unique within an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// One start of the runtime process in a sandbox. News of an earlier run is recognised by it and ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run(u32);

impl Run {
    /// The process that is spawned together with its sandbox, without an action asking for it.
    pub const FIRST: Self = Self(0);

    /// The run after this one.
    #[must_use]
    pub const fn following(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}
