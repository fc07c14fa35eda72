//! What an invocation came to, and the exact texts that say so: error documents, log lines, billing arithmetic.
//!
//! A failed function is a value here, never an error of ours. Payloads are not: an outcome knows sizes at most, and a
//! document that the function wrote itself passes by. Times are integers throughout, so that a printed figure is the
//! figure that was billed. JSON-format system records are not written here.

use crate::RequestId;
use crate::limits::RESPONSE_MAX_BYTES;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};
use std::time::Duration;

const SIGKILL: i32 = 9;

/// What an invocation came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The function answered.
    Success {
        /// Bytes of the answer.
        response_bytes: u64,
    },
    /// The handler reported an error of its own; the caller gets the document as posted.
    FunctionError {
        /// `Category.Reason`, as reported.
        error_type: String,
    },
    /// The initialisation reported an error; the caller gets the document as posted.
    InitError {
        /// `Category.Reason`, as reported.
        error_type: String,
    },
    /// The function timeout passed.
    Timeout {
        /// The timeout.
        timeout: Duration,
    },
    /// The runtime ended before it answered.
    Exit {
        /// Exit status, 0 to 255.
        status: i32,
    },
    /// A signal ended the runtime.
    Signal {
        /// Which, by number.
        signal: i32,
    },
    /// The kernel ended the runtime for want of memory.
    OutOfMemory,
    /// The answer was larger than [`RESPONSE_MAX_BYTES`].
    ResponseTooLarge,
    /// The runtime posted less than it had announced.
    TruncatedResponse,
    /// The runtime could not be started.
    LaunchError {
        /// `Runtime.InvalidEntrypoint` and the like.
        error_type: String,
        /// In words for the function's owner.
        message: String,
    },
    /// The sandbox failed underneath; nothing the function did.
    SandboxFailure,
}

impl Outcome {
    /// What the end of the runtime's process means.
    #[must_use]
    pub const fn from_exit(exit: Result<i32, i32>, out_of_memory: bool) -> Self {
        match exit {
            Err(SIGKILL) if out_of_memory => Self::OutOfMemory,
            Ok(status) => Self::Exit { status },
            Err(signal) => Self::Signal { signal },
        }
    }

    /// The value of `X-Amz-Function-Error`, if the header is sent.
    #[must_use]
    pub const fn function_error(&self) -> Option<&'static str> {
        match self {
            Self::Success { .. } => None,
            Self::FunctionError { .. }
            | Self::InitError { .. }
            | Self::Timeout { .. }
            | Self::Exit { .. }
            | Self::Signal { .. }
            | Self::OutOfMemory
            | Self::ResponseTooLarge
            | Self::TruncatedResponse
            | Self::LaunchError { .. }
            | Self::SandboxFailure => Some("Unhandled"),
        }
    }

    /// `Category.Reason` of a failure.
    #[must_use]
    pub fn error_type(&self) -> Option<&str> {
        match self {
            Self::Success { .. } => None,
            Self::FunctionError { error_type }
            | Self::InitError { error_type }
            | Self::LaunchError { error_type, .. } => Some(error_type),
            Self::Timeout { .. } => Some("Sandbox.Timedout"),
            Self::Exit { .. } | Self::Signal { .. } => Some("Runtime.ExitError"),
            Self::OutOfMemory => Some("Runtime.OutOfMemory"),
            Self::ResponseTooLarge => Some("Function.ResponseSizeTooLarge"),
            Self::TruncatedResponse => Some("Runtime.TruncatedResponse"),
            Self::SandboxFailure => Some("Sandbox.Failure"),
        }
    }

    /// The JSON document for the caller, where the platform has to write it; `None` where the function wrote the answer.
    #[must_use]
    pub fn document(&self, request_id: RequestId) -> Option<String> {
        let error_type = self.error_type()?;
        let message = match self {
            Self::Success { .. } | Self::FunctionError { .. } | Self::InitError { .. } => return None,
            Self::Timeout { timeout } => {
                let hundredths = timeout.as_millis() / 10;
                format!("Task timed out after {}.{:02} seconds", hundredths / 100, hundredths % 100)
            }
            Self::Exit { status: 0 } => "Runtime exited without providing a reason".to_owned(),
            Self::Exit { status } => format!("Runtime exited with error: exit status {status}"),
            Self::Signal { signal } => format!("Runtime exited with error: signal: {}", SignalName(*signal)),
            Self::OutOfMemory => format!("Runtime exited with error: signal: {}", SignalName(SIGKILL)),
            Self::ResponseTooLarge => {
                let text = format!(
                    "Response payload size exceeded maximum allowed payload size ({RESPONSE_MAX_BYTES} bytes)."
                );
                return Some(document(error_type, &text));
            }
            Self::TruncatedResponse => "Runtime sent a truncated response".to_owned(),
            Self::LaunchError { message, .. } => message.clone(),
            Self::SandboxFailure => "The execution environment failed".to_owned(),
        };
        Some(document(error_type, &format!("RequestId: {request_id} Error: {message}")))
    }

    /// How REPORT puts it. A handler that reports its own error is, to Lambda's log, a runtime that works: no status.
    #[must_use]
    pub fn status(&self) -> Status<'_> {
        match self {
            Self::Success { .. } | Self::FunctionError { .. } => Status::Success,
            Self::Timeout { .. } => Status::Timeout,
            Self::InitError { .. }
            | Self::Exit { .. }
            | Self::Signal { .. }
            | Self::OutOfMemory
            | Self::ResponseTooLarge
            | Self::TruncatedResponse
            | Self::LaunchError { .. }
            | Self::SandboxFailure => Status::Error { error_type: self.error_type() },
        }
    }
}

/// How a report says that something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status<'a> {
    /// Well: nothing is said.
    Success,
    /// `Status: timeout`.
    Timeout,
    /// `Status: error`.
    Error {
        /// `Error Type: …`, if known.
        error_type: Option<&'a str>,
    },
}

impl fmt::Display for Status<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => Ok(()),
            Self::Timeout => f.write_str("Status: timeout"),
            Self::Error { error_type: None } => f.write_str("Status: error"),
            Self::Error { error_type: Some(text) } => write!(f, "Status: error\tError Type: {}", Field(text)),
        }
    }
}

/// `START …`, with its line end.
#[must_use]
pub fn start_line(request_id: RequestId, version: &str) -> String {
    format!("START RequestId: {request_id} Version: {}\n", Field(version))
}

/// `END …`, with its line end.
#[must_use]
pub fn end_line(request_id: RequestId) -> String {
    format!("END RequestId: {request_id}\n")
}

/// `INIT_START …`, with its line end.
#[must_use]
pub fn init_start_line(runtime_version: &str, runtime_version_arn: &str) -> String {
    format!(
        "INIT_START Runtime Version: {}\tRuntime Version ARN: {}\n",
        Field(runtime_version),
        Field(runtime_version_arn)
    )
}

/// When an initialisation happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitPhase {
    /// On its own, before the first invocation.
    Init,
    /// As part of an invocation.
    Invoke,
}

/// `INIT_REPORT …`, with its line end.
#[must_use]
pub fn init_report_line(duration: Duration, phase: InitPhase, status: Status<'_>) -> String {
    let phase = match phase {
        InitPhase::Init => "init",
        InitPhase::Invoke => "invoke",
    };
    // Lambda leaves room for the type after a time-out, and ends the line at a known type.
    let end = match status {
        Status::Success | Status::Error { error_type: Some(_) } => "",
        Status::Timeout | Status::Error { error_type: None } => "\t",
    };
    format!("INIT_REPORT Init Duration: {} ms\tPhase: {phase}\t{status}{end}\n", Hundredths::of(duration))
}

/// The figures of a finished invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report<'a> {
    /// The request.
    pub request_id: RequestId,
    /// From the delivery until everything was waiting again.
    pub duration: Duration,
    /// Of the initialisation before the environment's first invocation; `None` in all later ones.
    pub init_duration: Option<Duration>,
    /// `MemorySize`, MB.
    pub memory_size_mb: u32,
    /// Highest use since the environment began, MB.
    pub max_memory_used_mb: u32,
    /// How it ended.
    pub status: Status<'a>,
    /// The trace, if the function is traced actively.
    pub trace: Option<Trace<'a>>,
}

/// What the XRAY line names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace<'a> {
    /// `1-…`.
    pub trace_id: &'a str,
    /// Segment.
    pub segment_id: &'a str,
    /// Whether it is kept.
    pub sampled: bool,
}

impl Report<'_> {
    /// `Billed Duration`, ms.
    #[must_use]
    pub fn billed_ms(&self) -> u64 {
        billed_ms(self.duration, self.init_duration)
    }

    /// `REPORT …`, with its line end and, if there is a trace, the line of the trace.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!(
            "REPORT RequestId: {}\tDuration: {} ms\tBilled Duration: {} ms\tMemory Size: {} MB\tMax Memory Used: {} MB\t",
            self.request_id,
            Hundredths::of(self.duration),
            self.billed_ms(),
            self.memory_size_mb,
            self.max_memory_used_mb,
        );
        // Writing to a String cannot fail.
        if let Some(init) = self.init_duration {
            let _ = write!(line, "Init Duration: {} ms\t", Hundredths::of(init));
        }
        let _ = writeln!(line, "{}", self.status);
        if let Some(Trace { trace_id, segment_id, sampled }) = self.trace {
            let (trace_id, segment_id) = (Field(trace_id), Field(segment_id));
            let _ = writeln!(line, "XRAY TraceId: {trace_id}\tSegmentId: {segment_id}\tSampled: {sampled}\t");
        }
        line
    }
}

/// What is billed, in ms: the printed figures of duration and initialisation added and rounded up, at least 1.
///
/// Initialisation of on-demand environments is billed since August 2025.
#[must_use]
pub fn billed_ms(duration: Duration, init_duration: Option<Duration>) -> u64 {
    let init = init_duration.map_or(0, |init| Hundredths::of(init).0);
    let sum = Hundredths::of(duration).0.saturating_add(init);
    u64::try_from(sum.div_ceil(100)).unwrap_or(u64::MAX).max(1)
}

/// Milliseconds with two decimals, as logs print durations: `3.01`.
#[must_use]
pub fn milliseconds(duration: Duration) -> String {
    Hundredths::of(duration).to_string()
}

/// Hundredths of a millisecond, rounded to the nearest: the precision of every printed duration.
#[derive(Clone, Copy)]
struct Hundredths(u128);

impl Hundredths {
    const NANOS: u128 = 10_000;

    const fn of(duration: Duration) -> Self {
        Self((duration.as_nanos() + Self::NANOS / 2) / Self::NANOS)
    }
}

impl fmt::Display for Hundredths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// A signal in the words of Lambda's supervisor, which are Go's.
struct SignalName(i32);

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            1 => "hangup",
            2 => "interrupt",
            3 => "quit",
            4 => "illegal instruction",
            5 => "trace/breakpoint trap",
            6 => "aborted",
            7 => "bus error",
            8 => "floating point exception",
            SIGKILL => "killed",
            10 => "user defined signal 1",
            11 => "segmentation fault",
            12 => "user defined signal 2",
            13 => "broken pipe",
            14 => "alarm clock",
            15 => "terminated",
            other => return write!(f, "signal {other}"),
        };
        f.write_str(name)
    }
}

/// Text from outside in a line whose fields are tabs apart: a tab or line end in it would forge a field or a line.
struct Field<'a>(&'a str);

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| f.write_char(if c.is_control() { ' ' } else { c }))
    }
}

fn document(error_type: &str, message: &str) -> String {
    format!("{{\"errorType\":{},\"errorMessage\":{}}}", JsonText(error_type), JsonText(message))
}

/// A JSON string. By hand: a dependency for eight lines would be the larger evil in this crate.
struct JsonText<'a>(&'a str);

impl fmt::Display for JsonText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: RequestId = RequestId::from_bytes([0x11; 16]);
    const ID_TEXT: &str = "11111111-1111-1111-1111-111111111111";

    fn report(duration_us: u64, init_us: Option<u64>, status: Status<'_>) -> String {
        Report {
            request_id: ID,
            duration: Duration::from_micros(duration_us),
            init_duration: init_us.map(Duration::from_micros),
            memory_size_mb: 128,
            max_memory_used_mb: 36,
            status,
            trace: None,
        }
        .line()
    }

    #[test]
    fn every_failure_has_the_document_that_lambda_sends() {
        let seconds = |n| Outcome::Timeout { timeout: Duration::from_secs(n) };
        let launch = Outcome::LaunchError {
            error_type: "Runtime.InvalidEntrypoint".to_owned(),
            message: "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]".to_owned(),
        };
        let table = [
            (seconds(3), "Sandbox.Timedout", "Task timed out after 3.00 seconds"),
            (seconds(900), "Sandbox.Timedout", "Task timed out after 900.00 seconds"),
            (Outcome::Exit { status: 0 }, "Runtime.ExitError", "Runtime exited without providing a reason"),
            (Outcome::Exit { status: 3 }, "Runtime.ExitError", "Runtime exited with error: exit status 3"),
            (Outcome::Signal { signal: 9 }, "Runtime.ExitError", "Runtime exited with error: signal: killed"),
            (
                Outcome::Signal { signal: 11 },
                "Runtime.ExitError",
                "Runtime exited with error: signal: segmentation fault",
            ),
            (
                Outcome::Signal { signal: 34 },
                "Runtime.ExitError",
                "Runtime exited with error: signal: signal 34",
            ),
            (Outcome::OutOfMemory, "Runtime.OutOfMemory", "Runtime exited with error: signal: killed"),
            (
                launch,
                "Runtime.InvalidEntrypoint",
                "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]",
            ),
        ];
        for (outcome, error_type, message) in table {
            let expected = format!(
                r#"{{"errorType":"{error_type}","errorMessage":"RequestId: {ID_TEXT} Error: {message}"}}"#
            );
            assert_eq!(outcome.document(ID), Some(expected));
            assert_eq!(outcome.function_error(), Some("Unhandled"));
        }
    }

    #[test]
    fn the_document_of_a_large_answer_names_no_request() {
        let expected = r#"{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes)."}"#;
        assert_eq!(Outcome::ResponseTooLarge.document(ID).as_deref(), Some(expected));
    }

    #[test]
    fn what_the_function_wrote_itself_gets_no_document_of_ours() {
        let error_type = || "Runtime.Unknown".to_owned();
        assert_eq!(Outcome::FunctionError { error_type: error_type() }.document(ID), None);
        assert_eq!(Outcome::InitError { error_type: error_type() }.document(ID), None);
        assert_eq!(Outcome::Success { response_bytes: 2 }.document(ID), None);
        assert_eq!(Outcome::Success { response_bytes: 2 }.function_error(), None);
    }

    #[test]
    fn memory_is_blamed_only_for_the_kernels_own_kill() {
        assert_eq!(Outcome::from_exit(Err(9), true), Outcome::OutOfMemory);
        assert_eq!(Outcome::from_exit(Err(9), false), Outcome::Signal { signal: 9 });
        assert_eq!(Outcome::from_exit(Err(11), true), Outcome::Signal { signal: 11 });
        assert_eq!(Outcome::from_exit(Ok(1), true), Outcome::Exit { status: 1 });
    }

    #[test]
    fn log_lines_are_lambdas_to_the_byte() {
        assert_eq!(start_line(ID, "$LATEST"), format!("START RequestId: {ID_TEXT} Version: $LATEST\n"));
        assert_eq!(end_line(ID), format!("END RequestId: {ID_TEXT}\n"));
        assert_eq!(
            init_start_line("python:3.13.v58", "arn:aws:lambda:us-east-1::runtime:00ff"),
            "INIT_START Runtime Version: python:3.13.v58\tRuntime Version ARN: arn:aws:lambda:us-east-1::runtime:00ff\n"
        );
    }

    #[test]
    fn a_report_line_is_lambdas_to_the_byte() {
        let head = format!("REPORT RequestId: {ID_TEXT}\t");
        let oom = Outcome::OutOfMemory;
        let exit = Outcome::Exit { status: 1 };
        let own = Outcome::FunctionError { error_type: "Runtime.Unknown".to_owned() };
        let init = Outcome::InitError { error_type: "Runtime.ImportModuleError".to_owned() };
        let table = [
            (
                report(3_010, None, Status::Success),
                "Duration: 3.01 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\t\n",
            ),
            (
                report(3_010, Some(110_100), Status::Success),
                "Duration: 3.01 ms\tBilled Duration: 114 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tInit Duration: 110.10 ms\t\n",
            ),
            (
                report(3_000_000, None, Status::Timeout),
                "Duration: 3000.00 ms\tBilled Duration: 3000 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tStatus: timeout\n",
            ),
            (
                report(10_935_700, None, oom.status()),
                "Duration: 10935.70 ms\tBilled Duration: 10936 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tStatus: error\tError Type: Runtime.OutOfMemory\n",
            ),
            (
                report(1, Some(2_370), exit.status()),
                "Duration: 0.00 ms\tBilled Duration: 3 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tInit Duration: 2.37 ms\tStatus: error\tError Type: Runtime.ExitError\n",
            ),
            (
                report(1_000, None, own.status()),
                "Duration: 1.00 ms\tBilled Duration: 1 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\t\n",
            ),
            (
                report(98_710, None, init.status()),
                "Duration: 98.71 ms\tBilled Duration: 99 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tStatus: error\tError Type: Runtime.ImportModuleError\n",
            ),
        ];
        for (line, tail) in table {
            assert_eq!(line, format!("{head}{tail}"));
        }
    }

    #[test]
    fn a_traced_report_has_a_line_for_its_trace() {
        let trace = Some(Trace { trace_id: "1-6ac7-15", segment_id: "9d5c", sampled: true });
        let line = Report {
            request_id: ID,
            duration: Duration::from_millis(1),
            init_duration: None,
            memory_size_mb: 128,
            max_memory_used_mb: 36,
            status: Status::Success,
            trace,
        }
        .line();
        assert!(
            line.ends_with("36 MB\t\nXRAY TraceId: 1-6ac7-15\tSegmentId: 9d5c\tSampled: true\t\n"),
            "{line}"
        );
    }

    #[test]
    fn an_init_report_is_lambdas_to_the_byte() {
        let ms = Duration::from_micros;
        let error = Status::Error { error_type: Some("Runtime.ExitError") };
        assert_eq!(
            init_report_line(ms(10_007_100), InitPhase::Init, Status::Timeout),
            "INIT_REPORT Init Duration: 10007.10 ms\tPhase: init\tStatus: timeout\t\n"
        );
        assert_eq!(
            init_report_line(ms(206_720), InitPhase::Invoke, error),
            "INIT_REPORT Init Duration: 206.72 ms\tPhase: invoke\tStatus: error\tError Type: Runtime.ExitError\n"
        );
    }

    #[test]
    fn foreign_text_cannot_forge_a_field_or_a_line() {
        let outcome = Outcome::InitError { error_type: "A\tStatus: timeout\nREPORT".to_owned() };
        let line = report(1_000, None, outcome.status());
        assert!(line.ends_with("\tStatus: error\tError Type: A Status: timeout REPORT\n"), "{line}");
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(start_line(ID, "1\nEND").matches('\n').count(), 1);
    }

    #[test]
    fn durations_are_rounded_to_hundredths_and_bills_up_from_what_is_printed() {
        let table = [
            (0, "0.00", 1),
            (4_999, "0.00", 1),
            (5_000, "0.01", 1),
            (1_000_000, "1.00", 1),
            (1_004_999, "1.00", 1),
            (1_005_000, "1.01", 2),
            (999_995_000, "1000.00", 1_000),
            (900_000_000_000, "900000.00", 900_000),
        ];
        for (nanos, printed, billed) in table {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(
                (milliseconds(duration).as_str(), billed_ms(duration, None)),
                (printed, billed),
                "{nanos}"
            );
        }
        assert_eq!(billed_ms(Duration::from_secs(900), Some(Duration::from_micros(514_300))), 900_515);
        assert_eq!(billed_ms(Duration::MAX, Some(Duration::MAX)), u64::MAX);
    }

    proptest! {
        #[test]
        fn the_bill_is_the_sum_of_the_printed_figures_rounded_up(nanos in 0..2_000_000_000_000u64, init in proptest::option::of(0..20_000_000_000u64)) {
            let duration = Duration::from_nanos(nanos);
            let init = init.map(Duration::from_nanos);
            let printed = |d: Duration| milliseconds(d).replace('.', "").parse::<u64>().unwrap();
            let hundredths = printed(duration) + init.map_or(0, printed);
            prop_assert_eq!(billed_ms(duration, init), hundredths.div_ceil(100).max(1));
            prop_assert!(printed(duration).abs_diff(nanos / 10_000) <= 1);
        }

        #[test]
        fn a_document_is_json_whatever_the_texts(error_type: String, message: String) {
            let outcome = Outcome::LaunchError { error_type: error_type.clone(), message: message.clone() };
            let document: serde_json::Value = serde_json::from_str(&outcome.document(ID).unwrap()).unwrap();
            prop_assert_eq!(&document["errorType"], &error_type);
            prop_assert_eq!(&document["errorMessage"], &format!("RequestId: {ID_TEXT} Error: {message}"));
        }
    }
}
