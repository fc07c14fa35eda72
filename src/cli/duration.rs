//! How far back: durations as people write them, and the moment that they lead to.
//!
//! Reads the client's own clock, once, through the age of the epoch: the daemon's clock is the daemon's.

use hearth_api::primitives::EpochTime;
use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

/// A start for reading logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// So long ago.
    Ago(Duration),
    /// Milliseconds since 1970-01-01T00:00:00Z.
    At(u64),
}

impl Since {
    /// Milliseconds since 1970-01-01T00:00:00Z, as of now.
    pub(crate) fn epoch_ms(self) -> u64 {
        match self {
            Self::At(ms) => ms,
            Self::Ago(ago) => millis(UNIX_EPOCH.elapsed().unwrap_or_default().saturating_sub(ago)),
        }
    }
}

/// A span of time, written alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Length(pub(crate) Duration);

impl FromStr for Length {
    type Err = NotALength;

    fn from_str(text: &str) -> Result<Self, NotALength> {
        duration(text).map(Self).ok_or(NotALength)
    }
}

/// Why a text is no span of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a duration such as 500ms, 90s, 5m, 2h, 1h30m or 7d")]
pub(crate) struct NotALength;

/// Why a text is no start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a duration such as 90s, 5m, 2h, 1h30m or 7d, or a moment such as 2026-05-01T12:00:00Z")]
pub(crate) struct NotATime;

impl FromStr for Since {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        if let Some(duration) = duration(text) {
            return Ok(Self::Ago(duration));
        }
        // A bare number would be taken for seconds since 1970, which nobody means.
        let moment = EpochTime::parse(text).filter(|_| text.contains('T')).ok_or(NotATime)?;
        u64::try_from(moment.ms).map(Self::At).map_err(|_| NotATime)
    }
}

/// `1h30m`: numbers with units, largest first, each unit once.
fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 5] =
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
    let (mut rest, mut total_ms, mut next) = (text, 0_u64, 0);
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|char: char| !char.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let at = UNITS.iter().position(|(name, _)| *name == unit).filter(|at| *at >= next)?;
        total_ms = total_ms.checked_add(number.parse::<u64>().ok()?.checked_mul(UNITS[at].1)?)?;
        (rest, next) = (tail, at + 1);
    }
    (!text.is_empty()).then(|| Duration::from_millis(total_ms))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units_largest_first() {
        let cases = [
            ("90s", 90_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("250ms", 250),
            ("1m1ms", 60_001),
            ("0s", 0),
        ];
        for (text, ms) in cases {
            assert_eq!(text.parse(), Ok(Since::Ago(Duration::from_millis(ms))), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "5",
            "m",
            "5x",
            "5 m",
            "-5m",
            "1m1h",
            "1m1m",
            "99999999999999999999s",
            "18446744073709551615d",
            "soon",
        ] {
            assert_eq!(text.parse::<Since>(), Err(NotATime), "{text}");
        }
    }

    #[test]
    fn a_moment_is_a_start_too() {
        assert_eq!("1970-01-01T00:01:00Z".parse(), Ok(Since::At(60_000)));
        assert_eq!("1970-01-01T01:01:00+0100".parse(), Ok(Since::At(60_000)));
        assert_eq!("1969-01-01T00:00:00Z".parse::<Since>(), Err(NotATime));
    }

    #[test]
    fn a_longer_ago_is_earlier() {
        let hour = Since::Ago(Duration::from_secs(3600)).epoch_ms();
        let now = Since::Ago(Duration::ZERO).epoch_ms();
        assert!(now - hour >= 3_600_000 && now > 1_700_000_000_000);
        assert_eq!(Since::Ago(Duration::MAX).epoch_ms(), 0);
    }
}
