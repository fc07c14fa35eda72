//! A load in virtual time, run through the scheduler that the daemon runs: what would happen, without waiting for it.
//!
//! `workload` says who calls how often, `course` is the loop, `tally` and `figures` what came of it, `replay` runs a
//! recording again, `traffic` its offers under other limits. The world has no accidents here: `sim` is the one that has.
//! Everything follows from the seed, to the last bit and on every machine (`random` brings its own logarithm for that).

pub mod arrivals;
pub mod course;
pub mod figures;
pub mod random;
mod recent;
pub mod replay;
pub mod spread;
pub mod synthetic;
mod tally;
pub mod traffic;
pub mod workload;
