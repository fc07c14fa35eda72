//! How long a client may take over a body: a pause may last only so long, and all of it together only in proportion to
//! what has come.
//!
//! A client that sends one byte before each pause ends would hold its connection, and what it has sent, for days. Half a
//! minute and a slow line are enough for everything that is allowed; nothing here knows how large that is.

use super::server::BodyError;
use crate::daemon::clock;
use bytes::Bytes;
use hearth_logic::Time;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::time::Duration;

/// A client may pause this long within a body.
const PAUSE_MAX: Duration = Duration::from_secs(20);
/// It may take this long in any case …
const GRACE: Duration = Duration::from_secs(30);
/// … and a second more for so many bytes that have come: 50 MB may take almost an hour.
const BYTES_PER_SECOND: u64 = 16 * 1024;

/// One body on its way.
pub(super) struct Pace {
    began: Time,
    received: u64,
}

impl Pace {
    /// From now on.
    pub(super) fn start() -> Self {
        Self { began: clock::now(), received: 0 }
    }

    /// The next piece of the body; `None` at its end.
    pub(super) async fn next(&mut self, body: &mut Incoming) -> Result<Option<Bytes>, BodyError> {
        loop {
            let frame = match tokio::time::timeout(self.patience(clock::now()), body.frame()).await {
                Err(_) => return Err(BodyError::TooSlow),
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => return Err(BodyError::Broken),
                Ok(Some(Ok(frame))) => frame,
            };
            // What follows a body's end is of no interest.
            if let Ok(piece) = frame.into_data() {
                self.received += piece.len() as u64;
                return Ok(Some(piece));
            }
        }
    }

    /// How long to wait for what comes next.
    fn patience(&self, now: Time) -> Duration {
        let earned = Duration::from_secs(self.received / BYTES_PER_SECOND);
        PAUSE_MAX.min((GRACE + earned).saturating_sub(now.since(self.began)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_for_a_trickle_and_not_for_a_slow_line() {
        let patience = |received, seconds| {
            let now = Time::ZERO.after(Duration::from_secs(seconds));
            Pace { began: Time::ZERO, received }.patience(now).as_secs()
        };
        assert_eq!(patience(0, 0), 20, "a pause");
        assert_eq!(patience(2, 19), 11, "a byte for each pause");
        assert_eq!(patience(3, 30), 0, "and no more of them");
        assert_eq!(patience(1 << 20, 60), 20, "a megabyte in a minute");
        assert_eq!(patience(50 << 20, 50 * 64), 20, "50 MiB at 128 kbit/s");
        assert_eq!(patience(50 << 20, 50 * 64 + 30), 0);
    }
}
