//! `ApplicationLogLevel` for programs that write their own JSON: which of their lines are kept, and at what time.
//!
//! Our runtime clients filter what goes through their languages' logging; a `provided` runtime prints, and Lambda looks at
//! the members `level` and `timestamp` of each line that is a JSON object (AWS documentation, "Log-level filtering").
//! Other lines pass.

use hearth_api::primitives::EpochTime;
use serde::Deserialize;
use serde_json::Value;

/// Importance of a line, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

impl Level {
    /// The level that a word names, in any case; `INFO` if it names none.
    pub(super) fn parse(word: &str) -> Self {
        let all = [
            ("TRACE", Self::Trace),
            ("DEBUG", Self::Debug),
            ("WARN", Self::Warn),
            ("ERROR", Self::Error),
            ("FATAL", Self::Fatal),
        ];
        all.into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(word))
            .map_or(Self::Info, |(_, level)| level)
    }
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is stored, at this time (milliseconds since the epoch) or when it came.
    Keep(Option<u64>),
    /// Its level is too low.
    Drop,
}

#[derive(Deserialize)]
struct Said {
    level: Option<Value>,
    timestamp: Option<Value>,
}

/// Judges one line by the least level that is kept.
pub(super) fn judge(line: &str, least: Level) -> Verdict {
    if !line.trim_start().starts_with('{') {
        return Verdict::Keep(None);
    }
    let Ok(said) = serde_json::from_str::<Said>(line) else { return Verdict::Keep(None) };
    let level = said.level.as_ref().and_then(Value::as_str).map_or(Level::Info, Level::parse);
    if level < least {
        return Verdict::Drop;
    }
    let time = said.timestamp.as_ref().and_then(Value::as_str).filter(|text| text.contains(['T', 't']));
    Verdict::Keep(time.and_then(EpochTime::parse).and_then(|time| u64::try_from(time.ms).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_below_the_level_are_dropped_and_a_missing_one_is_info() {
        for (line, least, verdict) in [
            (r#"{"level":"debug"}"#, Level::Info, Verdict::Drop),
            (r#"{"level":"WARN"}"#, Level::Warn, Verdict::Keep(None)),
            (r#"{"message":"x"}"#, Level::Info, Verdict::Keep(None)),
            (r#"{"message":"x"}"#, Level::Warn, Verdict::Drop),
            (r#"{"level":"loud"}"#, Level::Error, Verdict::Drop),
            (r#"{"level":7}"#, Level::Debug, Verdict::Keep(None)),
            ("plain text\n", Level::Fatal, Verdict::Keep(None)),
            ("{no json\n", Level::Fatal, Verdict::Keep(None)),
        ] {
            assert_eq!(judge(line, least), verdict, "{line}");
        }
    }

    #[test]
    fn a_lines_own_time_counts_if_it_is_one() {
        let at = |time: &str| judge(&format!("{{\"level\":\"ERROR\",\"timestamp\":{time}}}\n"), Level::Info);
        assert_eq!(at("\"2024-05-01T12:34:56.789Z\""), Verdict::Keep(Some(1_714_566_896_789)));
        assert_eq!(at("\"2024-05-01T14:34:56.789+02:00\""), Verdict::Keep(Some(1_714_566_896_789)));
        for wrong in ["\"yesterday\"", "1714566896", "\"1714566896\"", "null"] {
            assert_eq!(at(wrong), Verdict::Keep(None), "{wrong}");
        }
    }
}
