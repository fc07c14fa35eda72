//! A small seeded world around the machines: the daemon's own decisions in virtual time.
//!
//! One seed, one course of events, always the same; a failing seed is a test case. It measures nothing: durations are
//! drawn, not modelled.

mod ledger;
pub(crate) mod random;
mod world;

pub use world::{Plan, Tally, Violation, World};
