//! What an invocation came to when the platform, not the function, had to write the answer.
//!
//! Data, so that the lifecycle states what happened; the texts are those of `hearth_logic::outcome`. It knows no log line:
//! only the JSON document for the caller and the error type that logs and metrics name.

use crate::RequestId;
use hearth_logic::outcome::Outcome;
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// `Category.Reason`, as it stands in log lines and metrics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorType(Cow<'static, str>);

impl ErrorType {
    /// A type named in this program.
    #[must_use]
    pub const fn known(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// What a runtime said in `Lambda-Runtime-Function-Error-Type`: kept if it has the form
    /// `(Runtime|Function).[A-Z][a-zA-Z]+`, else mapped to the `Unknown` of its category.
    ///
    /// The whole text must have the form: it goes into tab-separated log lines, where a tab would forge a field.
    #[must_use]
    pub fn reported(text: &str) -> Self {
        let reason = text.strip_prefix("Runtime.").or_else(|| text.strip_prefix("Function."));
        let well_formed = |reason: &str| {
            let bytes = reason.as_bytes();
            let capital = bytes.first().is_some_and(u8::is_ascii_uppercase);
            capital && (2..=128).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_alphabetic)
        };
        match reason {
            Some(reason) if well_formed(reason) => Self(Cow::Owned(text.to_owned())),
            _ if text.starts_with("Function.") => Self::known("Function.Unknown"),
            _ => Self::known("Runtime.Unknown"),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for ErrorType {
    fn from(name: String) -> Self {
        Self(Cow::Owned(name))
    }
}

impl fmt::Display for ErrorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the runtime process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It returned or called `exit` with this status, 0 to 255.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// Why there is no answer of the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The function timeout passed.
    TimedOut {
        /// The timeout.
        timeout: Duration,
    },
    /// The runtime process ended before it answered.
    Exited(Exit),
    /// The kernel killed the runtime process for want of memory.
    OutOfMemory,
    /// The runtime posted more than [`crate::RESPONSE_LIMIT`] bytes.
    ResponseTooLarge,
    /// The runtime posted less than it had announced.
    TruncatedResponse,
    /// The runtime process could not be started.
    Launch {
        /// `Runtime.InvalidEntrypoint` and the like.
        error_type: ErrorType,
        /// What was wrong, in words for the function's owner.
        message: String,
    },
    /// The sandbox went away underneath; nothing the function did.
    Sandbox,
}

impl Failure {
    /// What an ended process means: out of memory only if the kernel's kill is what ended the runtime itself.
    #[must_use]
    pub fn from_exit(exit: Exit, out_of_memory: bool) -> Self {
        const SIGKILL: i32 = 9;
        if out_of_memory && exit == Exit::Signal(SIGKILL) { Self::OutOfMemory } else { Self::Exited(exit) }
    }

    /// The same in the words of the room that writes the texts.
    fn outcome(&self) -> Outcome {
        match self {
            Self::TimedOut { timeout } => Outcome::Timeout { timeout: *timeout },
            Self::Exited(Exit::Code(status)) => Outcome::Exit { status: *status },
            Self::Exited(Exit::Signal(signal)) => Outcome::Signal { signal: *signal },
            Self::OutOfMemory => Outcome::OutOfMemory,
            Self::ResponseTooLarge => Outcome::ResponseTooLarge,
            Self::TruncatedResponse => Outcome::TruncatedResponse,
            Self::Launch { error_type, message } => {
                Outcome::LaunchError { error_type: error_type.to_string(), message: message.clone() }
            }
            Self::Sandbox => Outcome::SandboxFailure,
        }
    }

    /// The type in the caller's document and in `Error Type:`.
    #[must_use]
    pub fn error_type(&self) -> ErrorType {
        ErrorType::from(self.outcome().error_type().unwrap_or_default().to_owned())
    }

    /// The JSON document that the caller receives instead of an answer.
    #[must_use]
    pub fn document(&self, request_id: RequestId) -> Vec<u8> {
        self.outcome().document(request_id).unwrap_or_default().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: RequestId = RequestId::from_bytes([0x11; 16]);

    #[test]
    fn every_failure_has_the_document_that_aws_sends() {
        let launch = Failure::Launch {
            error_type: ErrorType::known("Runtime.InvalidEntrypoint"),
            message: "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]".to_owned(),
        };
        let table = [
            (
                Failure::TimedOut { timeout: Duration::from_secs(3) },
                "Sandbox.Timedout",
                "Task timed out after 3.00 seconds",
            ),
            (
                Failure::Exited(Exit::Code(0)),
                "Runtime.ExitError",
                "Runtime exited without providing a reason",
            ),
            (Failure::Exited(Exit::Code(3)), "Runtime.ExitError", "Runtime exited with error: exit status 3"),
            (
                Failure::Exited(Exit::Signal(11)),
                "Runtime.ExitError",
                "Runtime exited with error: signal: segmentation fault",
            ),
            (Failure::OutOfMemory, "Runtime.OutOfMemory", "Runtime exited with error: signal: killed"),
            (
                launch,
                "Runtime.InvalidEntrypoint",
                "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]",
            ),
        ];
        for (failure, error_type, message) in table {
            let expected = format!(
                r#"{{"errorType":"{error_type}","errorMessage":"RequestId: {ID} Error: {message}"}}"#
            );
            assert_eq!(String::from_utf8(failure.document(ID)).unwrap(), expected);
        }
    }

    #[test]
    fn the_document_of_a_large_response_names_no_request() {
        assert_eq!(
            String::from_utf8(Failure::ResponseTooLarge.document(ID)).unwrap(),
            r#"{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes)."}"#
        );
    }

    #[test]
    fn memory_is_blamed_only_for_the_kernels_own_kill() {
        assert_eq!(Failure::from_exit(Exit::Signal(9), true), Failure::OutOfMemory);
        assert_eq!(Failure::from_exit(Exit::Signal(9), false), Failure::Exited(Exit::Signal(9)));
        assert_eq!(Failure::from_exit(Exit::Code(1), true), Failure::Exited(Exit::Code(1)));
    }

    #[test]
    fn a_reported_type_is_kept_only_in_its_form() {
        let table = [
            ("Runtime.NoSuchHandler", "Runtime.NoSuchHandler"),
            ("Function.Whatever", "Function.Whatever"),
            ("Function.whatever", "Function.Unknown"),
            ("Function.A\tStatus: timeout", "Function.Unknown"),
            ("Runtime.X", "Runtime.Unknown"),
            ("Unhandled", "Runtime.Unknown"),
            ("", "Runtime.Unknown"),
        ];
        for (given, kept) in table {
            assert_eq!(ErrorType::reported(given).as_str(), kept, "{given}");
        }
    }
}
