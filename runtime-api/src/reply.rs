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
    /// It has posted.
    ResponseSent,
    /// It has reported that it cannot start.
    InitError,
}

impl fmt::Display for RuntimeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
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
    MethodNotAllowed,
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
            Self::MethodNotAllowed => 405,
            Self::InvokeTimeout => 410,
            Self::TooLarge => 413,
            Self::Internal => 500,
        }
    }

    /// The `errorType` of the document.
    #[must_use]
    pub const fn error_type(self) -> &'static str {
        match self {
            Self::InvalidRequestId => "InvalidRequestID",
            Self::InvalidInvocationId => "InvalidInvocationId",
            Self::InvalidResponseMode => "InvalidFunctionResponseMode",
            Self::Truncated => "TruncatedHTTPRequest",
            Self::Transition { .. } => "InvalidStateTransition",
            Self::InvokeTimeout => "InvokeTimeout",
            Self::TooLarge => "RequestEntityTooLarge",
            Self::Internal => "InternalServerError",
            Self::NotFound => "NotFound",
            Self::MethodNotAllowed => "MethodNotAllowed",
        }
    }

    /// The `errorMessage` of the document.
    #[must_use]
    pub fn message(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::InvalidRequestId => "Invalid request ID",
            Self::InvalidInvocationId => "Invalid invocation ID",
            Self::InvalidResponseMode => "Invalid function response mode",
            Self::Truncated => "Truncated HTTP request",
            Self::InvokeTimeout => "Invoke timeout",
            Self::Internal => "Internal Server Error",
            Self::NotFound => "404 page not found",
            Self::MethodNotAllowed => "405 method not allowed",
            Self::Transition { from, to } => {
                return Cow::Owned(format!(
                    "State transition from {from} to {to} failed for runtime. Error: State transition is not allowed"
                ));
            }
            Self::TooLarge => {
                return Cow::Owned(format!(
                    "Exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes)."
                ));
            }
        })
    }

    /// The document `{"errorMessage": …, "errorType": …}`. No text of the table needs escaping in JSON.
    #[must_use]
    pub fn document(self) -> String {
        format!(r#"{{"errorMessage":"{}","errorType":"{}"}}"#, self.message(), self.error_type())
    }
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
            assert_eq!((complaint.status(), complaint.document().as_str()), (status, document));
            let value: serde_json::Value = serde_json::from_str(document).unwrap();
            assert_eq!(value["errorType"], complaint.error_type());
        }
    }
}
