//! The privileged helper: small, single-threaded, in its own mount namespace, without network sockets.
//!
//! `client` is the daemon's side, `serve` the loop, `checks` what it refuses, `build` makes one sandbox, `tmp` its `/tmp`,
//! `init` is what pid 1 of a sandbox does for the rest of its life. Fails closed: a request that does not fit is refused.

mod build;
mod checks;
pub mod client;
mod init;
mod serve;
mod tmp;

pub use serve::main;
