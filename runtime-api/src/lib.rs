//! Everything a function can see: the Runtime API.
//!
//! The pure half decides ([`Lifecycle`] and the vocabulary around it) and knows no socket, task or clock. The optional
//! halves do: `server` speaks HTTP to the processes of a sandbox and hands their calls to the lifecycle's owner,
//! `client` is the smallest runtime that speaks it from inside.
//!
//! It deliberately knows nothing of schedulers, sandboxes and logs: the lifecycle states facts, its owner acts on them.

pub mod call;
pub mod event;
pub mod exchange;
pub mod failure;
mod flight;
pub mod ids;
pub mod lifecycle;
mod posting;
pub mod reply;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
mod intake;
#[cfg(feature = "server")]
pub mod joined;
#[cfg(feature = "server")]
pub mod server;

#[cfg(any(test, feature = "world"))]
pub mod world;

#[cfg(test)]
mod lifecycle_cases;
#[cfg(test)]
mod lifecycle_laws;
#[cfg(all(test, feature = "server", feature = "client"))]
mod server_cases;

pub use event::Delivery;
pub use exchange::{Action, Body, Event, Outcome, Phase, Report, Request, Status, Why};
pub use failure::{Exit, Failure};
pub use ids::{CallId, DeliveryId, RequestId, Run};
pub use lifecycle::{Lifecycle, Settings};
pub use reply::{Complaint, Reply};

/// The largest answer or error document a runtime may post, in bytes: 6 MiB and 100 (AWS Lambda quota, as enforced).
pub const RESPONSE_LIMIT: usize = hearth_logic::limits::RESPONSE_MAX_BYTES;
