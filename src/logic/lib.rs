//! Decisions: functions of (state, time, event). No async, no I/O, no clock, no hash order.

pub mod machine;
pub mod time;

pub use machine::Machine;
pub use time::{Time, WallTime};
