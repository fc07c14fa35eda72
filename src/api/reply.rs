//! What goes back to the client: a status, headers, and a body that is absent, JSON, or raw bytes.
//!
//! Deliberately not here: the request id, `Date` and lengths, which the front door adds.

/// An answer, ready to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Headers beyond those of every answer (`x-amzn-RequestId`, `Date`, `Content-Length`); `Content-Type` is among them.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Body,
}

/// The body of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// Nothing at all.
    #[default]
    Empty,
    /// A JSON document.
    Json(Vec<u8>),
    /// Bytes passed through as they are.
    Raw(Vec<u8>),
}

impl Body {
    /// The bytes to send.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Empty => Vec::new(),
            Self::Json(bytes) | Self::Raw(bytes) => bytes,
        }
    }

    /// The bytes to send, borrowed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Empty => &[],
            Self::Json(bytes) | Self::Raw(bytes) => bytes,
        }
    }
}

impl Reply {
    /// An answer with a JSON body.
    #[must_use]
    pub fn json(status: u16, body: Vec<u8>) -> Self {
        Self { status, headers: vec![("Content-Type", "application/json".into())], body: Body::Json(body) }
    }

    /// The value of a header, whatever the case of its name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}
