//! The platform's log lines of functions that log in JSON: which records there are, how important each is, and their
//! exact text (AWS documentation, "Lambda Telemetry API Event schema reference" and "Log-level filtering").
//!
//! The counterpart of the lines in `outcome`, which functions that log as text get. Optional members that say nothing
//! here (`spans`, `tracing`) are left out.

use crate::exchange::Initialization;
use crate::outcome::{InitPhase, JsonText, Report, Status};
use crate::{RequestId, WallTime};
use std::fmt::{self, Write as _};
use std::time::Duration;

/// `SystemLogLevel`, and the importance of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SystemLevel {
    /// Everything.
    Debug,
    /// What belongs to each invocation.
    Info,
    /// What went wrong.
    Warn,
}

impl SystemLevel {
    /// The level that a setting names; `INFO` unless it is another.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "DEBUG" => Self::Debug,
            "WARN" => Self::Warn,
            _ => Self::Info,
        }
    }
}

/// Something the platform says.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// An initialisation begins.
    InitStart {
        /// What the environment is made for.
        initialization: Initialization,
        /// Function name.
        function: &'a str,
        /// `$LATEST` or a number.
        version: &'a str,
        /// Version and ARN of the runtime, if it is one of the platform's.
        runtime: Option<(&'a str, &'a str)>,
    },
    /// The runtime's part of an initialisation is over.
    InitRuntimeDone {
        /// What the environment is made for.
        initialization: Initialization,
        /// When it happened.
        phase: InitPhase,
        /// How it ended.
        status: Status<'a>,
    },
    /// An initialisation is over.
    InitReport {
        /// What the environment is made for.
        initialization: Initialization,
        /// When it happened.
        phase: InitPhase,
        /// How it ended.
        status: Status<'a>,
        /// How long it took.
        duration: Duration,
    },
    /// An invocation begins.
    Start {
        /// The request.
        request_id: RequestId,
        /// `$LATEST` or a number.
        version: &'a str,
    },
    /// The runtime is done with an invocation.
    RuntimeDone {
        /// The invocation's figures.
        report: &'a Report<'a>,
        /// Bytes of its answer, if it gave one.
        produced_bytes: Option<u64>,
    },
    /// An invocation is over.
    Report {
        /// Its figures.
        report: &'a Report<'a>,
    },
}

impl Record<'_> {
    /// How important it is.
    #[must_use]
    pub fn level(&self) -> SystemLevel {
        let unless_success = |level, status: &Status<'_>| match status {
            Status::Success => level,
            Status::Timeout | Status::Error { .. } => SystemLevel::Warn,
        };
        match self {
            Self::InitStart { runtime: Some(_), .. } | Self::Start { .. } => SystemLevel::Info,
            Self::InitStart { runtime: None, .. } => SystemLevel::Debug,
            Self::InitReport { initialization: Initialization::Provisioned, status, .. } => {
                unless_success(SystemLevel::Info, status)
            }
            Self::InitRuntimeDone { status, .. } | Self::InitReport { status, .. } => {
                unless_success(SystemLevel::Debug, status)
            }
            Self::RuntimeDone { report, .. } => unless_success(SystemLevel::Debug, &report.status),
            Self::Report { report } => unless_success(SystemLevel::Info, &report.status),
        }
    }

    /// The line, with its line end.
    #[must_use]
    pub fn line(&self, time: WallTime) -> String {
        let kind = match self {
            Self::InitStart { .. } => "initStart",
            Self::InitRuntimeDone { .. } => "initRuntimeDone",
            Self::InitReport { .. } => "initReport",
            Self::Start { .. } => "start",
            Self::RuntimeDone { .. } => "runtimeDone",
            Self::Report { .. } => "report",
        };
        format!(
            "{{\"time\":\"{}\",\"type\":\"platform.{kind}\",\"record\":{{{}}}}}\n",
            Iso(time),
            Members(self)
        )
    }
}

struct Members<'a>(&'a Record<'a>);

impl fmt::Display for Members<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Record::InitStart { initialization, function, version, runtime } => {
                write!(f, "{}", Init(*initialization, InitPhase::Init))?;
                write!(
                    f,
                    ",\"functionName\":{},\"functionVersion\":{}",
                    JsonText(function),
                    JsonText(version)
                )?;
                if let Some((version, arn)) = runtime {
                    let (version, arn) = (JsonText(version), JsonText(arn));
                    write!(f, ",\"runtimeVersion\":{version},\"runtimeVersionArn\":{arn}")?;
                }
                Ok(())
            }
            Record::InitRuntimeDone { initialization, phase, status } => {
                write!(f, "{},{}", Init(*initialization, *phase), Ended(status))
            }
            Record::InitReport { initialization, phase, status, duration } => {
                let (init, duration) = (Init(*initialization, *phase), Milliseconds(*duration));
                write!(f, "{init},{},\"metrics\":{{\"durationMs\":{duration}}}", Ended(status))
            }
            Record::Start { request_id, version } => {
                write!(f, "\"requestId\":\"{request_id}\",\"version\":{}", JsonText(version))
            }
            Record::RuntimeDone { report, produced_bytes } => {
                let Report { request_id, duration, status, .. } = report;
                write!(f, "\"requestId\":\"{request_id}\",{}", Ended(status))?;
                write!(f, ",\"metrics\":{{\"durationMs\":{}", Milliseconds(*duration))?;
                if let Some(bytes) = produced_bytes {
                    write!(f, ",\"producedBytes\":{bytes}")?;
                }
                f.write_char('}')
            }
            Record::Report { report } => {
                write!(f, "\"requestId\":\"{}\"", report.request_id)?;
                write!(
                    f,
                    ",\"metrics\":{{\"durationMs\":{},\"billedDurationMs\":{},\"memorySizeMB\":{},\"maxMemoryUsedMB\":{}",
                    Milliseconds(report.duration),
                    report.billed_ms(),
                    report.memory_size_mb,
                    report.max_memory_used_mb,
                )?;
                if let Some(init) = report.init_duration {
                    write!(f, ",\"initDurationMs\":{}", Milliseconds(init))?;
                }
                write!(f, "}},{}", Ended(&report.status))
            }
        }
    }
}

struct Init(Initialization, InitPhase);

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.1 {
            InitPhase::Init => "init",
            InitPhase::Invoke => "invoke",
        };
        write!(f, "\"initializationType\":\"{}\",\"phase\":\"{phase}\"", self.0.as_str())
    }
}

struct Ended<'a>(&'a Status<'a>);

impl fmt::Display for Ended<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Status::Success => f.write_str("\"status\":\"success\""),
            Status::Timeout => f.write_str("\"status\":\"timeout\""),
            Status::Error { error_type: None } => f.write_str("\"status\":\"error\""),
            Status::Error { error_type: Some(text) } => {
                write!(f, "\"status\":\"error\",\"errorType\":{}", JsonText(text))
            }
        }
    }
}

/// Milliseconds as a number of JSON: the figures of the text lines, without a zero at the end.
struct Milliseconds(Duration);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = crate::outcome::milliseconds(self.0);
        f.write_str(text.strip_suffix('0').unwrap_or(&text))
    }
}

/// `2024-05-01T12:34:56.789Z`.
struct Iso(WallTime);

impl fmt::Display for Iso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        let (year, month, day) = date(ms / 86_400_000);
        let (seconds, ms) = (ms / 1000 % 86_400, ms % 1000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

/// Year, month and day (proleptic Gregorian), so many days after 1970-01-01; days-from-civil inverted.
#[must_use]
pub const fn date(epoch_days: u64) -> (u64, u64, u64) {
    let days = epoch_days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + (month <= 2) as u64, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: WallTime = WallTime::from_millis(1_714_566_896_789);

    fn report(status: Status<'static>, init: Option<Duration>) -> Report<'static> {
        Report {
            request_id: RequestId::from_random([0; 16]),
            duration: Duration::from_micros(3_010),
            init_duration: init,
            init_billed: true,
            memory_size_mb: 128,
            max_memory_used_mb: 36,
            status,
            trace: None,
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(951_782_400 / 86_400), (2000, 2, 29));
        assert_eq!(date(1_767_225_599 / 86_400), (2025, 12, 31));
    }

    #[test]
    fn an_invocation_is_told_as_lambda_tells_it() {
        let id = RequestId::from_random([0; 16]);
        let start = Record::Start { request_id: id, version: "$LATEST" };
        assert_eq!(
            start.line(TIME),
            format!(
                "{{\"time\":\"2024-05-01T12:34:56.789Z\",\"type\":\"platform.start\",\"record\":{{\"requestId\":\"{id}\",\"version\":\"$LATEST\"}}}}\n"
            )
        );
        let figures = report(Status::Success, Some(Duration::from_micros(110_100)));
        assert_eq!(
            Record::Report { report: &figures }.line(TIME),
            format!(
                "{{\"time\":\"2024-05-01T12:34:56.789Z\",\"type\":\"platform.report\",\"record\":{{\"requestId\":\"{id}\",\"metrics\":{{\"durationMs\":3.01,\"billedDurationMs\":114,\"memorySizeMB\":128,\"maxMemoryUsedMB\":36,\"initDurationMs\":110.1}},\"status\":\"success\"}}}}\n"
            )
        );
        let done = Record::RuntimeDone { report: &figures, produced_bytes: Some(2) };
        assert!(
            done.line(TIME).ends_with(
                "\"status\":\"success\",\"metrics\":{\"durationMs\":3.01,\"producedBytes\":2}}}\n"
            )
        );
    }

    #[test]
    fn texts_from_outside_cannot_leave_their_string() {
        let initialization = Initialization::OnDemand;
        let runtime = Some(("a\"b\n", "arn"));
        let line = Record::InitStart { initialization, function: "f", version: "1", runtime }.line(TIME);
        assert!(line.contains(r#""runtimeVersion":"a\"b\n","runtimeVersionArn":"arn""#), "{line}");
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn failures_are_warnings_whatever_they_are_of() {
        let failed = Status::Error { error_type: Some("Runtime.ExitError") };
        let (good, bad) = (report(Status::Success, None), report(failed, None));
        let (initialization, phase, duration) = (Initialization::OnDemand, InitPhase::Init, Duration::ZERO);
        let kept = Initialization::Provisioned;
        for (record, level) in [
            (
                Record::InitStart { initialization, function: "f", version: "1", runtime: Some(("v", "a")) },
                SystemLevel::Info,
            ),
            (
                Record::InitStart { initialization, function: "f", version: "1", runtime: None },
                SystemLevel::Debug,
            ),
            (Record::InitRuntimeDone { initialization, phase, status: Status::Success }, SystemLevel::Debug),
            (Record::InitRuntimeDone { initialization, phase, status: Status::Timeout }, SystemLevel::Warn),
            (
                Record::InitReport { initialization, phase, status: Status::Success, duration },
                SystemLevel::Debug,
            ),
            (Record::InitReport { initialization, phase, status: failed, duration }, SystemLevel::Warn),
            (
                Record::InitReport { initialization: kept, phase, status: Status::Success, duration },
                SystemLevel::Info,
            ),
            (Record::Start { request_id: good.request_id, version: "1" }, SystemLevel::Info),
            (Record::RuntimeDone { report: &good, produced_bytes: None }, SystemLevel::Debug),
            (Record::RuntimeDone { report: &bad, produced_bytes: None }, SystemLevel::Warn),
            (Record::Report { report: &good }, SystemLevel::Info),
            (Record::Report { report: &bad }, SystemLevel::Warn),
        ] {
            assert_eq!(record.level(), level, "{record:?}");
        }
        assert!(Record::Report { report: &bad }.line(TIME).contains("\"errorType\":\"Runtime.ExitError\""));
        assert!(SystemLevel::parse("WARN") > SystemLevel::parse("INFO"));
        assert_eq!(SystemLevel::parse("DEBUG"), SystemLevel::Debug);
    }
}
