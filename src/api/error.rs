//! Protocol errors: which code has which status, how the body spells its members, and what the client reads.
//!
//! Why one table: clients match on the status, the `x-amzn-ErrorType` header and the exact casing of `message`, and
//! the casing differs from exception to exception. What the client reads and what the log reads are two fields.
//! Deliberately not here: which error an operation answers (handlers), and logging (the front door, once).

use crate::operations::Operation;
use crate::reply::Reply;
use serde_json::{Map, Value};
use std::fmt;

/// Who is at fault, as the body's `Type` member says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The caller: `"Type":"User"`.
    User,
    /// The service: `"Type":"Service"`.
    Service,
    /// The body has no `Type` member.
    Unsaid,
}

macro_rules! codes {
    ($($name:ident $status:literal $member:literal $fault:ident;)*) => {
        /// Every error code that a client can see.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $(
                #[doc = concat!("HTTP ", stringify!($status))]
                $name,
            )*
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name on the wire, in `x-amzn-ErrorType`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// The name of the member that carries the text: `message` or `Message`.
            #[must_use]
            pub const fn member(self) -> &'static str {
                match self { $(Self::$name => $member,)* }
            }

            /// What the `Type` member says.
            #[must_use]
            pub const fn fault(self) -> Fault {
                match self { $(Self::$name => Fault::$fault,)* }
            }
        }
    };
}

// Modelled exceptions first; after the gap those that the model does not know but the service answers, then our own 501.
codes! {
    AliasLimitExceededException 400 "message" User;
    CallbackTimeoutException 400 "Message" User;
    CapacityProviderLimitExceededException 400 "message" User;
    CodeArtifactUserDeletedException 409 "message" User;
    CodeArtifactUserFailedException 409 "message" User;
    CodeArtifactUserPendingException 409 "message" User;
    CodeSigningConfigNotFoundException 404 "Message" User;
    CodeStorageExceededException 400 "message" User;
    CodeVerificationFailedException 400 "Message" User;
    DurableExecutionAlreadyStartedException 409 "Message" User;
    EC2AccessDeniedException 502 "Message" Service;
    EC2ThrottledException 502 "Message" Service;
    EC2UnexpectedException 502 "Message" Service;
    EFSIOException 410 "Message" User;
    EFSMountConnectivityException 408 "Message" User;
    EFSMountFailureException 403 "Message" User;
    EFSMountTimeoutException 408 "Message" User;
    ENILimitReachedException 502 "Message" Service;
    ENINotReadyException 502 "Message" Service;
    FunctionVersionsPerCapacityProviderLimitExceededException 400 "message" User;
    InvalidCodeSignatureException 400 "Message" User;
    InvalidParameterValueException 400 "message" User;
    InvalidRequestContentException 400 "message" User;
    InvalidRuntimeException 502 "Message" Service;
    InvalidSecurityGroupIDException 502 "Message" Service;
    InvalidSubnetIDException 502 "Message" Service;
    InvalidZipFileException 502 "Message" Service;
    KMSAccessDeniedException 502 "Message" Service;
    KMSDisabledException 502 "Message" Service;
    KMSInvalidStateException 502 "Message" Service;
    KMSNotFoundException 502 "Message" Service;
    ModeNotSupportedException 400 "message" User;
    NoPublishedVersionException 400 "Message" User;
    PolicyLengthExceededException 400 "message" User;
    PreconditionFailedException 412 "message" User;
    ProvisionedConcurrencyConfigNotFoundException 404 "message" User;
    PublicPolicyException 400 "Message" User;
    RecursiveInvocationException 400 "Message" User;
    RequestTooLargeException 413 "message" User;
    ResourceConflictException 409 "message" User;
    ResourceInUseException 400 "Message" User;
    ResourceNotFoundException 404 "Message" User;
    ResourceNotReadyException 502 "message" Service;
    RuntimeAliasDeletedException 409 "message" User;
    RuntimeVersionDeletedException 409 "message" User;
    S3FilesMountConnectivityException 408 "Message" User;
    S3FilesMountFailureException 403 "Message" User;
    S3FilesMountTimeoutException 408 "Message" User;
    SerializedRequestEntityTooLargeException 413 "message" User;
    ServiceException 500 "Message" Service;
    ServiceQuotaExceededException 402 "Message" User;
    SnapStartException 400 "Message" User;
    SnapStartNotReadyException 409 "Message" User;
    SnapStartRegenerationFailureException 409 "Message" User;
    SnapStartTimeoutException 408 "Message" User;
    SubnetIPAddressLimitReachedException 502 "Message" Service;
    TooManyRequestsException 429 "message" User;
    UnsupportedMediaTypeException 415 "message" User;

    AccessDeniedException 403 "Message" Unsaid;
    ExpiredTokenException 403 "message" Unsaid;
    IncompleteSignatureException 403 "message" Unsaid;
    InvalidSignatureException 403 "message" Unsaid;
    MissingAuthenticationTokenException 403 "message" Unsaid;
    RequestEntityTooLargeException 413 "message" Unsaid;
    SerializationException 400 "Message" Unsaid;
    UnrecognizedClientException 403 "message" Unsaid;
    ValidationException 400 "message" Unsaid;

    UnknownOperationException 404 "message" Unsaid;
    MethodNotAllowedException 405 "message" Unsaid;
    RequestHeadersTooLargeException 431 "message" Unsaid;
    NotImplementedException 501 "message" Unsaid;
}

impl ErrorCode {
    /// The code of this name, if it is one of ours.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An error answer. Boxed inside, because results are passed by value on every path.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}: {}", self.0.code, self.0.message.as_deref().unwrap_or("(no message)"))]
pub struct ApiError(Box<Parts>);

#[derive(Clone, Debug, PartialEq)]
struct Parts {
    code: ErrorCode,
    message: Option<String>,
    log: Option<String>,
    fault: Fault,
    extras: Vec<(&'static str, Value)>,
    headers: Vec<(&'static str, String)>,
    bare: bool,
    is_expected: bool,
}

impl ApiError {
    /// An error of this code that tells the client `message`.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            code,
            message: Some(message.into()),
            log: None,
            fault: code.fault(),
            extras: Vec::new(),
            headers: Vec::new(),
            bare: false,
            is_expected: false,
        }))
    }

    /// 501: the operation exists in the API, not in this release.
    #[must_use]
    pub fn not_built(operation: Operation) -> Self {
        let text = format!("{operation} is not implemented in this release of Hearth.");
        Self::new(ErrorCode::NotImplementedException, text)
    }

    /// 400 `InvalidParameterValueException`: a value that the model accepts makes no sense here.
    #[must_use]
    pub fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidParameterValueException, message)
    }

    /// 404 `ResourceNotFoundException`.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ResourceNotFoundException, message)
    }

    /// 409 `ResourceConflictException`.
    #[must_use]
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ResourceConflictException, message)
    }

    /// 403 without a message: what the service answers for resources of another account.
    #[must_use]
    pub fn access_denied() -> Self {
        let mut error = Self::new(ErrorCode::AccessDeniedException, "");
        error.0.message = None;
        error
    }

    /// 404: no operation has this path.
    #[must_use]
    pub fn unknown_path() -> Self {
        let mut error = Self::new(ErrorCode::UnknownOperationException, "");
        (error.0.message, error.0.bare) = (None, true);
        error
    }

    /// 405: operations have this path, but none with this method.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        let mut error = Self::new(ErrorCode::MethodNotAllowedException, "");
        (error.0.message, error.0.bare) = (None, true);
        error
    }

    /// 500 that tells the client nothing but an identifier to quote; `log` is for the operator.
    #[must_use]
    pub fn internal(id: &str, log: impl Into<String>) -> Self {
        Self::new(
            ErrorCode::ServiceException,
            format!("An internal error occurred. Quote {id} to the operator."),
        )
        .with_log(log)
    }

    /// 429 with its machine-readable reason and, where given, the seconds after which to try again.
    #[must_use]
    pub fn too_many_requests(message: impl Into<String>, reason: &str, retry_after_s: Option<u32>) -> Self {
        let error = Self::new(ErrorCode::TooManyRequestsException, message).with_extra("Reason", reason);
        match retry_after_s {
            Some(seconds) => error.with_header("Retry-After", seconds.to_string()),
            None => error,
        }
    }

    /// Adds what the operator's log says beyond the client's text.
    #[must_use]
    pub fn with_log(mut self, log: impl Into<String>) -> Self {
        self.0.log = Some(log.into());
        self
    }

    /// Marks a fault of the service's own kind that is none: the operator asked for it, and his log need not tell.
    #[must_use]
    pub fn expected(mut self) -> Self {
        self.0.is_expected = true;
        self
    }

    /// True if a log need not tell of it.
    #[must_use]
    pub fn is_expected(&self) -> bool {
        self.0.is_expected
    }

    /// Adds a member to the body.
    #[must_use]
    pub fn with_extra(mut self, member: &'static str, value: impl Into<Value>) -> Self {
        self.0.extras.push((member, value.into()));
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.headers.push((name, value.into()));
        self
    }

    /// Leaves the `Type` member out, as two concurrency messages of the service do.
    #[must_use]
    pub fn without_type(mut self) -> Self {
        self.0.fault = Fault::Unsaid;
        self
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.0.code.status()
    }

    /// What the client reads.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }

    /// What the log reads: the operator's text if there is one, else the client's.
    #[must_use]
    pub fn log_text(&self) -> &str {
        self.0.log.as_deref().or(self.message()).unwrap_or("")
    }

    /// The answer that carries this error.
    #[must_use]
    pub fn to_reply(&self) -> Reply {
        let Parts { code, message, fault, extras, headers, bare, .. } = &*self.0;
        let mut body = Map::new();
        for (member, value) in extras {
            body.insert((*member).to_owned(), value.clone());
        }
        match fault {
            Fault::User => body.insert("Type".into(), "User".into()),
            Fault::Service => body.insert("Type".into(), "Service".into()),
            Fault::Unsaid => None,
        };
        if !bare {
            body.insert(code.member().into(), message.clone().map_or(Value::Null, Value::from));
        }
        let mut reply = Reply::json(code.status(), Value::Object(body).to_string().into_bytes());
        reply.headers.push(("x-amzn-ErrorType", code.name().into()));
        reply.headers.extend(headers.iter().cloned());
        reply
    }
}

/// An error as a client reads it: whatever code a service chose to send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code} (HTTP {status}): {message}")]
pub struct ServiceError {
    /// The HTTP status.
    pub status: u16,
    /// The code from `x-amzn-ErrorType`; `Unknown` if the answer named none.
    pub code: String,
    /// The text from `message` or `Message`; empty if the answer had none.
    pub message: String,
    /// The `Reason` member, if there was one.
    pub reason: Option<String>,
}

impl ServiceError {
    /// Reads an error answer, however malformed.
    #[must_use]
    pub fn read(status: u16, error_type: Option<&str>, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let member =
            |names: [&str; 2]| names.iter().find_map(|name| body.get(name)?.as_str()).map(str::to_owned);
        let code = error_type.map(str::to_owned).or_else(|| member(["__type", "code"]));
        let code = code.as_deref().unwrap_or("Unknown");
        let code = code.rsplit('#').next().unwrap_or(code);
        Self {
            status,
            code: code.split(':').next().unwrap_or(code).to_owned(),
            message: member(["message", "Message"]).unwrap_or_default(),
            reason: member(["Reason", "reason"]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(error: &ApiError) -> String {
        String::from_utf8(error.to_reply().body.into_bytes()).unwrap()
    }

    #[test]
    fn bodies_are_spelled_as_the_service_spells_them() {
        let cases = [
            (ApiError::not_found("gone"), 404, r#"{"Type":"User","Message":"gone"}"#),
            (ApiError::invalid_parameter("odd"), 400, r#"{"Type":"User","message":"odd"}"#),
            (ApiError::invalid_parameter("odd").without_type(), 400, r#"{"message":"odd"}"#),
            (ApiError::new(ErrorCode::ValidationException, "bad"), 400, r#"{"message":"bad"}"#),
            (ApiError::new(ErrorCode::ServiceException, "oh"), 500, r#"{"Type":"Service","Message":"oh"}"#),
            (ApiError::access_denied(), 403, r#"{"Message":null}"#),
            (ApiError::unknown_path(), 404, "{}"),
            (ApiError::method_not_allowed(), 405, "{}"),
        ];
        for (error, status, expected) in cases {
            assert_eq!(body(&error), expected);
            let reply = error.to_reply();
            assert_eq!(reply.status, status);
            assert_eq!(reply.header("X-Amzn-ErrorType"), Some(error.code().name()));
        }
    }

    #[test]
    fn a_throttled_caller_reads_reason_and_retry_after() {
        let error =
            ApiError::too_many_requests("Rate Exceeded.", "ConcurrentInvocationLimitExceeded", Some(2));
        let expected =
            r#"{"Reason":"ConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}"#;
        assert_eq!(body(&error), expected);
        assert_eq!(error.to_reply().header("retry-after"), Some("2"));
        let read = ServiceError::read(429, Some("TooManyRequestsException:http://x"), expected.as_bytes());
        assert_eq!(read.code, "TooManyRequestsException");
        assert_eq!(read.reason.as_deref(), Some("ConcurrentInvocationLimitExceeded"));
    }

    #[test]
    fn the_log_may_say_more_than_the_client_reads() {
        let error = ApiError::internal("4f2a", "disk full at segment 9");
        assert!(!body(&error).contains("disk"));
        assert_eq!(error.log_text(), "disk full at segment 9");
    }

    #[test]
    fn every_code_has_a_status_of_an_error_and_is_found_by_its_name() {
        for code in ErrorCode::ALL {
            assert!((400..600).contains(&code.status()), "{code}");
            assert_eq!(ErrorCode::from_name(code.name()), Some(*code));
        }
    }

    #[test]
    fn garbage_is_still_an_error_to_a_client() {
        let read = ServiceError::read(502, None, b"<html>");
        assert_eq!((read.code.as_str(), read.message.as_str()), ("Unknown", ""));
    }
}
