//! The forker's only clock: for how long something has been under way.
//!
//! This crate decides nothing by the time of day, and its one loop sleeps in `poll`; what is measured here are builds
//! that hang and attempts that must not follow each other at once.
#![expect(clippy::disallowed_methods, reason = "the forker is a process without the daemon's clock")]

use std::time::{Duration, Instant};

/// A moment to measure from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(Instant);

impl Moment {
    /// This one.
    pub(crate) fn now() -> Self {
        Self(Instant::now())
    }

    /// How long ago it was.
    pub(crate) fn elapsed(self) -> Duration {
        Instant::now().duration_since(self.0)
    }
}
