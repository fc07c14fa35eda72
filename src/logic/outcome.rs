//! What an invocation came to, and the exact texts that say so: error documents, log lines, billing arithmetic.
//!
//! A failed function is a value here, never an error of ours. Payloads are not: an outcome knows sizes at most, and a
//! document that the function wrote itself passes by. Times are integers throughout, so that a printed figure is the
//! figure that was billed. The records of functions that log in JSON are in `records`.

use crate::RequestId;
use crate::limits::RESPONSE_MAX_BYTES;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};
use std::time::Duration;

const SIGKILL: i32 = 9;
/// Room for a START or END line.
const LINE_BYTES: usize = 72;
/// Room for a REPORT line.
const REPORT_BYTES: usize = 192;

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
    let mut line = String::with_capacity(LINE_BYTES);
    let _ = writeln!(line, "START RequestId: {request_id} Version: {}", Field(version));
    line
}

/// `END …`, with its line end.
#[must_use]
pub fn end_line(request_id: RequestId) -> String {
    let mut line = String::with_capacity(LINE_BYTES);
    let _ = writeln!(line, "END RequestId: {request_id}");
    line
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
    /// Whether that is billed with the invocation: initialisation of environments that are kept ready is not.
    pub init_billed: bool,
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
        billed_ms(self.duration, self.init_duration.filter(|_| self.init_billed))
    }

    /// `REPORT …`, with its line end and, if there is a trace, the line of the trace.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = String::with_capacity(REPORT_BYTES);
        // Writing to a String cannot fail.
        let _ = write!(
            line,
            "REPORT RequestId: {}\tDuration: {} ms\tBilled Duration: {} ms\tMemory Size: {} MB\tMax Memory Used: {} MB\t",
            self.request_id,
            Hundredths::of(self.duration),
            self.billed_ms(),
            self.memory_size_mb,
            self.max_memory_used_mb,
        );
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
    let billed = match u64::try_from(sum) {
        Ok(sum) => sum.div_ceil(100),
        Err(_) => u64::try_from(sum.div_ceil(100)).unwrap_or(u64::MAX),
    };
    billed.max(1)
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
    const NANOS: u32 = 10_000;
    const PER_SECOND: u128 = 100_000;

    /// Divides in 32 bits: a division in 128 is a function call of its own.
    const fn of(duration: Duration) -> Self {
        let rest = (duration.subsec_nanos() + Self::NANOS / 2) / Self::NANOS;
        Self(duration.as_secs() as u128 * Self::PER_SECOND + rest as u128)
    }
}

impl fmt::Display for Hundredths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match u64::try_from(self.0) {
            Ok(small) => write!(f, "{}.{:02}", small / 100, small % 100),
            Err(_) => write!(f, "{}.{:02}", self.0 / 100, self.0 % 100),
        }
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
        if self.0.bytes().all(|byte| byte.is_ascii_graphic()) {
            return f.write_str(self.0);
        }
        self.0.chars().try_for_each(|c| f.write_char(if c.is_control() { ' ' } else { c }))
    }
}

fn document(error_type: &str, message: &str) -> String {
    format!("{{\"errorType\":{},\"errorMessage\":{}}}", JsonText(error_type), JsonText(message))
}

/// A JSON string. By hand: a dependency for eight lines would be the larger evil in this crate.
pub(crate) struct JsonText<'a>(pub(crate) &'a str);

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
mod tests;
