//! What a runtime's call is answered with, and the texts of every refusal.
//!
//! It exists so that statuses, types and messages stand in one table. It writes no bytes to anyone.

use crate::{Delivery, RESPONSE_LIMIT};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The answer to one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 200 with an event: the answer to `next`.
    Event(Arc<Delivery>),
    /// 202 `{"status":"OK"}`.
    Accepted,
    /// An error with a JSON document, or a bare status for paths that do not exist.
    Error(Complaint),
    /// No answer: the connection is closed. For calls of processes that are being killed.
    Drop,
}

/// The runtime's states as they are named in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeState {
    /// It runs and has not asked for an event.
    Started,
    /// It waits for an event.
    Ready,
    /// It has an event.
    Running,
    /// It posts a result.
    InvocationResponse,
    /// It posts an error.
    InvocationErrorResponse,
    /// It has posted, and not asked for the next event yet.
    ResponseSent,
    /// It has reported that it cannot start.
    InitError,
}

impl fmt::Display for RuntimeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The one name that the supervisor writes in another way than its fellows.
            Self::ResponseSent => f.write_str("RuntimeResponseSentState"),
            state => fmt::Debug::fmt(state, f),
        }
    }
}

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Complaint {
    /// The request id is unknown, or answered and finished.
    InvalidRequestId,
    /// The echoed invocation id is not that of the current attempt.
    InvalidInvocationId,
    /// A response mode other than `streaming`.
    InvalidResponseMode,
    /// The body ended before its announced end.
    Truncated,
    /// The call is not legal now.
    Transition {
        /// Where the runtime is.
        from: RuntimeState,
        /// Where the call would have led.
        to: RuntimeState,
    },
    /// The answer came after the deadline.
    InvokeTimeout,
    /// The body is over the limit.
    TooLarge,
    /// The platform cannot take the call.
    Internal,
    /// No such path.
    NotFound,
    /// The path exists for another method.
    MethodNotAllowed {
        /// That method.
        allowed: &'static str,
    },
}

impl Complaint {
    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidRequestId | Self::InvalidInvocationId => 400,
            Self::InvalidResponseMode | Self::Truncated => 400,
            Self::Transition { .. } => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed { .. } => 405,
            Self::InvokeTimeout => 410,
            Self::TooLarge => 413,
            Self::Internal => 500,
        }
    }

    /// The body: a JSON document `{"errorMessage": …, "errorType": …}` and a line end, plain text for a path that does
    /// not exist, nothing for a wrong method. No text of the table needs escaping in JSON.
    #[must_use]
    pub fn body(self) -> Cow<'static, str> {
        let (error_type, message) = match self {
            Self::InvalidRequestId => ("InvalidRequestID", "Invalid request ID"),
            Self::InvalidInvocationId => ("InvalidInvocationId", "Invalid invocation ID"),
            Self::InvalidResponseMode => ("InvalidFunctionResponseMode", "Invalid function response mode"),
            Self::Truncated => ("TruncatedHTTPRequest", "Truncated HTTP request"),
            Self::InvokeTimeout => ("InvokeTimeout", "Invoke timeout"),
            Self::Internal => ("InternalServerError", "Internal Server Error"),
            Self::Transition { from, to } => {
                let text = format!(
                    "State transition from {from} to {to} failed for runtime. Error: State transition is not allowed"
                );
                return document("InvalidStateTransition", &text);
            }
            Self::TooLarge => {
                let text = format!("Exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes).");
                return document("RequestEntityTooLarge", &text);
            }
            Self::NotFound => return Cow::Borrowed("404 page not found\n"),
            Self::MethodNotAllowed { .. } => return Cow::Borrowed(""),
        };
        document(error_type, message)
    }
}

fn document(error_type: &str, message: &str) -> Cow<'static, str> {
    Cow::Owned(format!("{{\"errorMessage\":\"{message}\",\"errorType\":\"{error_type}\"}}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_the_texts_of_the_reference() {
        let illegal =
            Complaint::Transition { from: RuntimeState::Ready, to: RuntimeState::InvocationResponse };
        let table = [
            (
                Complaint::InvalidRequestId,
                400,
                r#"{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}"#,
            ),
            (
                Complaint::InvokeTimeout,
                410,
                r#"{"errorMessage":"Invoke timeout","errorType":"InvokeTimeout"}"#,
            ),
            (
                Complaint::InvalidResponseMode,
                400,
                r#"{"errorMessage":"Invalid function response mode","errorType":"InvalidFunctionResponseMode"}"#,
            ),
            (
                Complaint::TooLarge,
                413,
                r#"{"errorMessage":"Exceeded maximum allowed payload size (6291556 bytes).","errorType":"RequestEntityTooLarge"}"#,
            ),
            (
                illegal,
                403,
                r#"{"errorMessage":"State transition from Ready to InvocationResponse failed for runtime. Error: State transition is not allowed","errorType":"InvalidStateTransition"}"#,
            ),
        ];
        for (complaint, status, document) in table {
            assert_eq!((complaint.status(), &*complaint.body()), (status, &*format!("{document}\n")));
            let value: serde_json::Value = serde_json::from_str(document).unwrap();
            assert!(value["errorType"].is_string() && value["errorMessage"].is_string());
        }
    }

    #[test]
    fn a_path_that_does_not_exist_and_a_wrong_method_have_no_document() {
        assert_eq!(Complaint::NotFound.body(), "404 page not found\n");
        assert_eq!(Complaint::MethodNotAllowed { allowed: "GET" }.body(), "");
    }

    #[test]
    fn the_state_after_an_answer_is_named_as_the_supervisor_names_it() {
        assert_eq!(RuntimeState::ResponseSent.to_string(), "RuntimeResponseSentState");
        assert_eq!(RuntimeState::Running.to_string(), "Running");
    }
}
