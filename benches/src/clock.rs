//! The only place that reads a clock, and the only one that waits.

use crate::error::Fault;
use std::time::{Duration, Instant};

/// Time between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Now.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Microseconds since `start`.
pub(crate) fn us_since(start: Instant) -> f64 {
    us(now().duration_since(start))
}

/// A duration in microseconds.
pub(crate) fn us(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Waits a while outside any measured interval.
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Looks until `condition` yields a value.
///
/// # Errors
/// Those of the condition, and [`Fault::Timeout`] after `limit`.
pub(crate) fn wait_for<T>(
    what: &'static str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<Option<T>, Fault>,
) -> Result<T, Fault> {
    let start = now();
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if now().duration_since(start) > limit {
            return Err(Fault::Timeout { what, limit });
        }
        pause(LOOK_EVERY);
    }
}
