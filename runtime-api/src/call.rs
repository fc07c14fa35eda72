//! Which call a raw request is: method, path and headers in, a typed call or a refusal out.
//!
//! It exists so that routing and header rules are a table that a test can walk. It keeps no state: whether a call is
//! legal now is the lifecycle's question.

use crate::event::INVOCATION_ID;
use crate::exchange::{Body, Echo, Request};
use crate::failure::ErrorType;
use crate::reply::Complaint;
use crate::{DeliveryId, RequestId};
use http::header::HeaderName;
use http::{HeaderMap, Method};

/// The error type that a runtime reports.
pub const ERROR_TYPE: HeaderName = HeaderName::from_static("lambda-runtime-function-error-type");
const RESPONSE_MODE: HeaderName = HeaderName::from_static("lambda-runtime-function-response-mode");

/// A request that a runtime may make, without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// `GET /runtime/invocation/next`.
    Next,
    /// `POST /runtime/invocation/{id}/response`.
    Response {
        /// The id in the path.
        request_id: RequestId,
        /// The echoed attempt.
        echo: Echo,
    },
    /// `POST /runtime/invocation/{id}/error`.
    Error {
        /// The id in the path.
        request_id: RequestId,
        /// The echoed attempt.
        echo: Echo,
        /// The type in the header, mapped.
        error_type: ErrorType,
    },
    /// `POST /runtime/init/error`.
    InitError {
        /// The type in the header, mapped.
        error_type: ErrorType,
    },
    /// `GET /ping`, below the version as everything else.
    Ping,
}

impl Call {
    /// The call together with its body, or `None` for `ping`, which concerns nobody's state.
    #[must_use]
    pub fn with_body(self, body: Body) -> Option<Request> {
        Some(match self {
            Self::Next => Request::Next,
            Self::Response { request_id, echo } => Request::Response { request_id, echo, body },
            Self::Error { request_id, echo, error_type } => {
                Request::Error { request_id, echo, error_type, body }
            }
            Self::InitError { error_type } => Request::InitError { error_type, body },
            Self::Ping => return None,
        })
    }
}

/// Tells which call this is.
///
/// The response mode `streaming` is accepted and the response then treated as a buffered one: it is read as a whole up
/// to the buffered limit. The restore paths exist only in sandboxes restored from a snapshot, so they are not found.
///
/// # Errors
/// The complaint to answer with; none of them depends on the environment's state.
pub fn classify(method: &Method, path: &str, headers: &HeaderMap) -> Result<Call, Complaint> {
    let path = path.strip_prefix("/2018-06-01/").ok_or(Complaint::NotFound)?;
    if path == "ping" {
        return only(Method::GET, method).map(|()| Call::Ping);
    }
    let path = path.strip_prefix("runtime/").ok_or(Complaint::NotFound)?;
    match path {
        "invocation/next" => return only(Method::GET, method).map(|()| Call::Next),
        "init/error" => {
            return only(Method::POST, method).map(|()| Call::InitError { error_type: error_type(headers) });
        }
        _ => {}
    }
    let (id, verb) =
        path.strip_prefix("invocation/").and_then(|rest| rest.split_once('/')).ok_or(Complaint::NotFound)?;
    if !matches!(verb, "response" | "error") {
        return Err(Complaint::NotFound);
    }
    only(Method::POST, method)?;
    let request_id = id.parse::<RequestId>().map_err(|_| Complaint::InvalidRequestId)?;
    let echo = echo(headers);
    if verb == "error" {
        return Ok(Call::Error { request_id, echo, error_type: error_type(headers) });
    }
    match headers.get(RESPONSE_MODE).map(|mode| mode.as_bytes()) {
        None | Some(b"" | b"streaming") => Ok(Call::Response { request_id, echo }),
        Some(_) => Err(Complaint::InvalidResponseMode),
    }
}

fn only(wanted: Method, method: &Method) -> Result<(), Complaint> {
    let allowed = if wanted == Method::GET { "GET" } else { "POST" };
    if *method == wanted { Ok(()) } else { Err(Complaint::MethodNotAllowed { allowed }) }
}

fn error_type(headers: &HeaderMap) -> ErrorType {
    ErrorType::reported(headers.get(ERROR_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default())
}

fn echo(headers: &HeaderMap) -> Echo {
    match headers.get(INVOCATION_ID) {
        None => Echo::Absent,
        Some(value) => match value.to_str().ok().and_then(DeliveryId::parse) {
            Some(id) => Echo::Delivery(id),
            None => Echo::Foreign,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const ID: &str = "11111111-1111-1111-1111-111111111111";

    fn of(method: Method, path: &str, headers: &[(HeaderName, &'static str)]) -> Result<Call, Complaint> {
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        classify(&method, path, &headers)
    }

    #[test]
    fn every_path_is_its_call() {
        let id = ID.parse::<RequestId>().unwrap();
        let unknown = ErrorType::known("Runtime.Unknown");
        let table = [
            (Method::GET, "/2018-06-01/ping".to_owned(), Ok(Call::Ping)),
            (Method::GET, "/ping".to_owned(), Err(Complaint::NotFound)),
            (Method::GET, "/2018-06-01/runtime/invocation/next".to_owned(), Ok(Call::Next)),
            (
                Method::POST,
                format!("/2018-06-01/runtime/invocation/{ID}/response"),
                Ok(Call::Response { request_id: id, echo: Echo::Absent }),
            ),
            (
                Method::POST,
                format!("/2018-06-01/runtime/invocation/{ID}/error"),
                Ok(Call::Error { request_id: id, echo: Echo::Absent, error_type: unknown.clone() }),
            ),
            (
                Method::POST,
                "/2018-06-01/runtime/init/error".to_owned(),
                Ok(Call::InitError { error_type: unknown }),
            ),
            (
                Method::POST,
                "/2018-06-01/runtime/invocation/x/response".to_owned(),
                Err(Complaint::InvalidRequestId),
            ),
            (Method::GET, "/2018-06-01/runtime/restore/next".to_owned(), Err(Complaint::NotFound)),
            (Method::POST, "/2018-06-01/runtime/restore/error".to_owned(), Err(Complaint::NotFound)),
            (Method::GET, "/2018-06-01/runtime/invocation/next/".to_owned(), Err(Complaint::NotFound)),
            (Method::GET, "/2020-01-01/extension/event/next".to_owned(), Err(Complaint::NotFound)),
            (Method::GET, "/".to_owned(), Err(Complaint::NotFound)),
            (
                Method::POST,
                "/2018-06-01/runtime/invocation/next".to_owned(),
                Err(Complaint::MethodNotAllowed { allowed: "GET" }),
            ),
            (
                Method::GET,
                format!("/2018-06-01/runtime/invocation/{ID}/response"),
                Err(Complaint::MethodNotAllowed { allowed: "POST" }),
            ),
        ];
        for (method, path, expected) in table {
            assert_eq!(of(method, &path, &[]), expected, "{path}");
        }
    }

    #[test]
    fn an_unknown_response_mode_is_refused_and_streaming_is_not() {
        let path = format!("/2018-06-01/runtime/invocation/{ID}/response");
        for (mode, accepted) in [("", true), ("streaming", true), ("buffered", false), ("Streaming", false)] {
            let call = of(Method::POST, &path, &[(RESPONSE_MODE, mode)]);
            assert_eq!(call.is_ok(), accepted, "{mode}");
            if !accepted {
                assert_eq!(call, Err(Complaint::InvalidResponseMode));
            }
        }
    }

    #[test]
    fn an_echo_that_is_no_id_is_foreign() {
        let path = format!("/2018-06-01/runtime/invocation/{ID}/response");
        let table = [("abc", Echo::Foreign), (ID, Echo::Delivery(DeliveryId::parse(ID).unwrap()))];
        for (value, expected) in table {
            let Ok(Call::Response { echo, .. }) = of(Method::POST, &path, &[(INVOCATION_ID, value)]) else {
                panic!("not a response");
            };
            assert_eq!(echo, expected);
        }
    }
}
