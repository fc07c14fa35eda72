//! Where foreign code runs: namespaces, control groups, filters, and the privileged helper that makes them.
//!
//! The daemon talks to the *forker* (typed messages over a socket pair), the forker makes sandboxes and passes
//! out file descriptors; from then on authority is those descriptors. This crate decides nothing about
//! functions, parses no client input, and has no async. `unsafe` lives in `sys/` only.

pub mod cgroup;
pub mod channel;
pub mod cidr;
mod clock;
pub mod firewall;
pub mod forker;
pub mod guard;
mod hierarchy;
pub mod link;
pub mod mounts;
pub mod nat;
pub mod net;
mod netlink;
pub mod plan;
pub mod privileges;
mod roots;
pub mod seccomp;
pub mod spec;
mod sys;

pub use channel::{Channel, ChannelError};
pub use cidr::Cidr;
pub use spec::{
    Contents, Digest, Exit, ForkerConfig, InitReport, InitRequest, InnerUser, LaunchSpec, NatSpec,
    NetworkClass, RuntimeMount, SandboxId, Tree,
};
