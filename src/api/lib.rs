//! What a client of Hearth sees: operations, shapes, errors, and the codec between them and HTTP, in both directions.
//!
//! One table ([`operations`]) and one description per shape ([`shapes`]) drive everything: [`router`] finds the row of
//! a request, [`codec`] reads its input, [`validate`] reports every violation at once in the service's own words,
//! [`operations::dispatch`] calls the method of a [`operations::Service`] and [`codec`] writes the answer. The client
//! uses the same rows to write requests and read answers.
//!
//! Life of a request: `router::find` → `Row` → (501 if not built) → `codec::decode` → `operations::dispatch` → `Reply`,
//! with `ApiError::to_reply` for what goes wrong on the way. `Invoke` stops after `codec::decode_head`: its payload is
//! never parsed or copied here.
//!
//! Signatures ([`sigv4`], [`claim`], [`chunked`]) and what a caller must be allowed ([`permission`]) are data as well:
//! whose key it is, and what a policy says, is decided elsewhere.
//!
//! Deliberately absent: behaviour, storage, HTTP libraries, async runtimes, clocks.

pub mod arn;
pub mod bounded;
pub mod chunked;
pub mod claim;
pub mod codec;
pub mod error;
pub mod eventstream;
pub mod operations;
pub mod page;
mod pattern;
pub mod permission;
pub mod primitives;
pub mod reply;
pub mod resource;
pub mod router;
pub mod shape;
pub mod shapes;
pub mod sigv4;
pub mod validate;

pub use error::{ApiError, ErrorCode, ServiceError};
pub use operations::{Operation, Row, Service};
pub use reply::{Body, Reply};

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod sigv4_tests;
