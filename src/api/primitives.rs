//! Values with a form of their own: bytes, moments, hashes.
//!
//! Moments are integers of milliseconds inside and take the wire's forms at the border only, so that no rounding
//! hides in between. Deliberately not here: a clock; the caller says what time it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::fmt;

/// Bytes that travel as base64 inside JSON. `Debug` shows how many, never which.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64;
        impl Visitor<'_> for Base64 {
            type Value = Blob;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64 text")
            }
            // One buffer from text to bytes: a package may be 50 MB.
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Blob, E> {
                decode_base64(text).map(Blob).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Base64)
    }
}

/// The bytes behind standard base64 text, with or without padding.
///
/// # Errors
/// The text is not base64; the message says where.
pub fn decode_base64(text: &str) -> Result<Vec<u8>, String> {
    const LENIENT: base64::engine::GeneralPurpose = base64::engine::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        base64::engine::GeneralPurposeConfig::new()
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    LENIENT.decode(text).map_err(|error| error.to_string())
}

/// Standard base64 with padding.
#[must_use]
pub fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The hash of a package as `CodeSha256` carries it: base64 of SHA-256.
#[must_use]
pub fn base64_sha256(bytes: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(bytes))
}

/// A moment in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EpochTime {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub ms: i64,
}

/// Within these bounds a double of seconds holds every millisecond exactly enough: the years 0000 to 9999.
const EPOCH_MS: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

impl EpochTime {
    /// The moment that many milliseconds after the epoch, kept within the years 0000 to 9999.
    #[must_use]
    pub fn from_ms(ms: i64) -> Self {
        Self { ms: ms.clamp(*EPOCH_MS.start(), *EPOCH_MS.end()) }
    }

    /// Epoch seconds as JSON carries them; `None` outside the years 0000 to 9999.
    #[must_use]
    pub fn from_seconds(seconds: f64) -> Option<Self> {
        let ms = (seconds * 1000.0).round();
        #[expect(clippy::cast_possible_truncation, reason = "the bounds are checked in the same expression")]
        let whole = (ms.is_finite() && ms.abs() < 1e15).then_some(ms as i64)?;
        EPOCH_MS.contains(&whole).then_some(Self { ms: whole })
    }

    /// `2024-05-01T12:34:56.789+0000`, as `LastModified` of a function carries it.
    #[must_use]
    pub fn to_service_text(self) -> String {
        let part = self.parts();
        format!("{}.{:03}+0000", part.to_the_second(), part.ms)
    }

    /// `2024-05-01T12:34:56+0000`, as provisioned concurrency carries it.
    #[must_use]
    pub fn to_second_text(self) -> String {
        format!("{}+0000", self.parts().to_the_second())
    }

    /// `2024-05-01T12:34:56.789Z`, as query strings carry it.
    #[must_use]
    pub fn to_iso_text(self) -> String {
        let part = self.parts();
        format!("{}.{:03}Z", part.to_the_second(), part.ms)
    }

    /// Reads ISO 8601 with `Z` or an offset and any fraction, or plain epoch seconds.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(seconds) = text.parse::<f64>() {
            return Self::from_seconds(seconds);
        }
        let (date, rest) = text.split_once(['T', 't', ' '])?;
        let number = |text: &str, range: std::ops::RangeInclusive<i64>| {
            let whole =
                (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)?;
            whole.parse::<i64>().ok().filter(|value| range.contains(value))
        };
        let mut fields = date.splitn(3, '-');
        let year = number(fields.next()?, 0..=9999)?;
        let month = number(fields.next()?, 1..=12)?;
        let day = number(fields.next()?, 1..=31)?;
        let zone = rest.find(['Z', 'z', '+', '-'])?;
        let (clock, zone) = rest.split_at(zone);
        let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
        let mut fields = clock.splitn(3, ':');
        let hour = number(fields.next()?, 0..=23)?;
        let minute = number(fields.next()?, 0..=59)?;
        let second = number(fields.next()?, 0..=60)?;
        let padded: String = fraction.chars().chain("000".chars()).take(3).collect();
        let ms = number(&padded, 0..=999)?;
        let offset_minutes = match zone.split_at(1) {
            ("Z" | "z", "") => 0,
            (sign, digits) => {
                let digits: String = digits.chars().filter(|char| *char != ':').collect();
                let (hours, minutes) = (digits.len() == 4).then(|| digits.split_at(2))?;
                let minutes = number(hours, 0..=23)? * 60 + number(minutes, 0..=59)?;
                if sign == "-" { -minutes } else { minutes }
            }
        };
        let days = days_from_civil(year, month, day);
        let seconds = (days * 24 + hour) * 3600 + (minute - offset_minutes) * 60 + second;
        let ms = seconds * 1000 + ms;
        EPOCH_MS.contains(&ms).then_some(Self { ms })
    }

    fn parts(self) -> Parts {
        let (days, ms) = (self.ms.div_euclid(86_400_000), self.ms.rem_euclid(86_400_000));
        let (year, month, day) = civil_from_days(days);
        let second = ms / 1000;
        Parts {
            year,
            month,
            day,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
            ms: ms % 1000,
        }
    }
}

impl Serialize for EpochTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.ms % 1000 == 0 {
            return serializer.serialize_i64(self.ms / 1000);
        }
        #[expect(clippy::cast_precision_loss, reason = "moments stay far below 2^52 milliseconds")]
        serializer.serialize_f64(self.ms as f64 / 1000.0)
    }
}

impl<'de> Deserialize<'de> for EpochTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Self::from_seconds(seconds).ok_or_else(|| D::Error::custom("a moment outside the years 0000 to 9999"))
    }
}

struct Parts {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    ms: i64,
}

impl Parts {
    fn to_the_second(&self) -> String {
        let Self { year, month, day, hour, minute, second, .. } = self;
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }
}

// Both directions count days in eras of 400 years that start on 1 March, so that the leap day is the last of its year
// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_moment_prints_in_the_three_forms_of_the_service() {
        let moment = EpochTime::from_ms(1_714_566_896_789);
        assert_eq!(moment.to_service_text(), "2024-05-01T12:34:56.789+0000");
        assert_eq!(moment.to_second_text(), "2024-05-01T12:34:56+0000");
        assert_eq!(moment.to_iso_text(), "2024-05-01T12:34:56.789Z");
        assert_eq!(serde_json::to_string(&moment).unwrap(), "1714566896.789");
    }

    #[test]
    fn offsets_fractions_and_epoch_seconds_are_read() {
        let moment = Some(EpochTime::from_ms(1_714_566_896_000));
        for text in [
            "2024-05-01T12:34:56Z",
            "2024-05-01T14:34:56+02:00",
            "2024-05-01T12:34:56.0000+0000",
            "1714566896",
        ] {
            assert_eq!(EpochTime::parse(text), moment, "{text}");
        }
        for text in ["", "T", "2024-05-01", "2024-13-01T00:00:00Z", "NaN", "1e300", "2024-05-01T12:34:56+2"] {
            assert_eq!(EpochTime::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_blob_never_prints_its_bytes() {
        assert_eq!(format!("{:?}", Blob(b"secret".to_vec())), "Blob(6 bytes)");
    }

    #[test]
    fn the_hash_of_nothing_is_the_known_one() {
        assert_eq!(base64_sha256(b""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }

    proptest! {
        #[test]
        fn moments_survive_every_form(ms in EPOCH_MS) {
            let moment = EpochTime::from_ms(ms);
            prop_assert_eq!(EpochTime::parse(&moment.to_iso_text()), Some(moment));
            prop_assert_eq!(EpochTime::parse(&moment.to_service_text()), Some(moment));
            let json = serde_json::to_string(&moment).unwrap();
            prop_assert_eq!(serde_json::from_str::<EpochTime>(&json).unwrap(), moment);
        }

        #[test]
        fn parsing_a_moment_never_panics(text in ".{0,40}") {
            let _ = EpochTime::parse(&text);
        }

        #[test]
        fn blobs_survive_json(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let blob = Blob(bytes);
            let json = serde_json::to_string(&blob).unwrap();
            prop_assert_eq!(serde_json::from_str::<Blob>(&json).unwrap(), blob);
        }
    }
}
