//! The only place that reads a clock.

#![expect(clippy::disallowed_methods, reason = "this is the one place where time enters")]

use hearth_logic::{Time, WallTime};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

static ZERO: OnceLock<Instant> = OnceLock::new();

fn zero() -> Instant {
    *ZERO.get_or_init(Instant::now)
}

/// The monotonic time line of this process.
pub(crate) fn now() -> Time {
    let zero = zero();
    Time::ZERO.after(Instant::now().duration_since(zero))
}

/// The calendar.
pub(crate) fn wall() -> WallTime {
    WallTime::from_millis(u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX))
}

/// Time since 1970-01-01T00:00:00Z.
pub(crate) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A moment of the time line as tokio's timers want it.
pub(crate) fn instant(time: Time) -> tokio::time::Instant {
    tokio::time::Instant::from_std(zero() + time.since(Time::ZERO))
}
