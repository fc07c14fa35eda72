//! AWS services as a client sees them: the daemon asks S3 (and what speaks like it) for code.
//!
//! Small and general on purpose: `http` sends, `credentials` finds keys and keeps them fresh, `sign` signs, and each
//! service is one file over these three. Deliberately absent: what is done with the answers, and functions as a notion.
//! The daemon's own credentials stay here; nothing in this room is ever put into a function's environment.

#[cfg(test)]
mod client_tests;
pub(crate) mod credentials;
pub(crate) mod endpoint;
pub(crate) mod http;
mod profile;
mod remote;
pub(crate) mod s3;
mod sign;
pub(crate) mod surroundings;
mod xml;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

/// All but letters, digits and `-._~` is encoded, as the signature wants it.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
