//! Drivers: one tokio task per machine, performing what the machines in `logic` and `runtime-api` decide.
//!
//! No policy here. Every queue is bounded, every task has an owner, nothing awaits inside `perform`.

mod access;
mod application_log;
mod cached;
pub(crate) mod clock;
pub(crate) mod code;
pub(crate) mod concurrency;
pub(crate) mod credentials;
pub(crate) mod decisions;
mod dns;
pub(crate) mod doors;
mod drive;
mod environment;
mod farewell;
pub(crate) mod fetch;
pub(crate) mod functions;
pub(crate) mod invoke;
pub(crate) mod keyring;
mod lane;
pub(crate) mod logs;
mod meters;
pub(crate) mod metrics;
pub(crate) mod offers;
mod output;
pub(crate) mod overview;
mod pressure;
pub(crate) mod random;
mod reasons;
mod record;
mod residents;
pub(crate) mod revision;
pub(crate) mod sandboxes;
pub(crate) mod scheduler;
pub(crate) mod serve;
mod system_log;
pub(crate) mod uses;
