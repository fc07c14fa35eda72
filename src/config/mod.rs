//! The daemon's configuration: defaults, then a TOML file, then `HEARTH_…` variables, then flags; where each value
//! came from is kept.
//!
//! `keys` is the one table: it drives parsing, refusal of unknown keys, the sample file and the reference.
//! `merge` layers the sources, `check` turns the result into a [`Config`] that cannot be wrong by itself. Nothing
//! here opens sockets or looks at users: whether an address is free is found out when it is used.

mod check;
mod keys;
mod limits;
mod merge;
mod network;
mod render;

#[cfg(test)]
mod tests;

pub(crate) use check::{Auth, Certificate, Config, Endpoints, LogFormat};
pub(crate) use limits::{Connections, environments_fit};
pub(crate) use network::Network;
pub(crate) use render::{render_reference, render_sample};
