//! The API as a client calls it: an operation's row turns input into a request and the answer into output.
//!
//! Requests carry the endpoint's own name in `Host`, and a signature where keys are at hand: a daemon that needs none does
//! not mind. Nothing is retried here: whether a call may be made twice is the verb's to know.

use super::args::Connection;
use super::duration::Since;
use super::endpoint::{self, Endpoint, EndpointError};
use super::wire::{self, Answer, Upload, WireError};
use crate::aws::credentials::{Credentials, at_hand};
use crate::aws::surroundings::Surroundings;
use bytes::Bytes;
use hearth_api::ServiceError;
use hearth_api::codec::{self, EncodeError};
use hearth_api::operations::Operation;
use hearth_api::primitives::EpochTime;
use hearth_api::shapes::{FunctionConfiguration, GetFunctionConfigurationRequest};
use hearth_api::sigv4::{Head, PathStyle, Signing, payload_hash};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io;
use std::time::Duration;

/// How long the daemon may take for anything but an invocation, beside the time of an upload.
const PATIENCE: Duration = Duration::from_secs(120);
/// The same where the daemon may have to fetch code first: a little more than it takes for that at most.
const CODE_PATIENCE: Duration = Duration::from_secs(330);
/// The slowest upload that is waited for, bytes per second.
const UPLOAD_RATE_MIN: u64 = 64 * 1024;

/// Speaks to one daemon.
#[derive(Debug)]
pub(super) struct Client {
    endpoint: Endpoint,
    signer: Option<Signer>,
    runtime: tokio::runtime::Runtime,
}

/// Keys, and the region that signatures are for.
#[derive(Debug)]
struct Signer {
    credentials: Credentials,
    region: String,
}

impl Signer {
    /// From the variables and files of the aws CLI; the region is the daemon's, where that is known.
    fn of_this_process(endpoint: &Endpoint, surroundings: &Surroundings) -> Option<Self> {
        let variable = |name| surroundings.variable(name).map(str::to_owned);
        let region = endpoint.region.clone().or_else(|| variable("AWS_REGION"));
        let region =
            region.or_else(|| variable("AWS_DEFAULT_REGION")).unwrap_or_else(|| "us-east-1".to_owned());
        Some(Self { credentials: at_hand(surroundings)?, region })
    }

    fn sign(
        &self,
        method: &str,
        path_and_query: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Vec<(&'static str, String)> {
        let headers: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let now = i64::try_from(Since::Ago(Duration::ZERO).epoch_ms()).unwrap_or(i64::MAX);
        let signing = Signing {
            access_key: &self.credentials.access_key,
            secret_key: &self.credentials.secret_key,
            session_token: self.credentials.session_token.as_deref(),
            region: &self.region,
            service: "lambda",
            now: EpochTime::from_ms(now),
            style: PathStyle::Twice,
        };
        signing.sign(&Head { method, path, query, headers: &headers }, &payload_hash(body))
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// No usable address.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The system refused what any network client needs.
    #[error("cannot start network input and output")]
    Runtime(#[from] io::Error),
}

/// Why a call has no output.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The input cannot be sent.
    #[error("{call}: the request cannot be written")]
    Encode {
        /// Operation and what it was called on.
        call: String,
        /// The codec's answer.
        source: EncodeError,
    },
    /// A value cannot be sent as a header.
    #[error("{call}: {header} has characters that a header cannot carry")]
    Header {
        /// Operation and what it was called on.
        call: String,
        /// Which.
        header: &'static str,
    },
    /// Nobody there.
    #[error(
        "cannot reach the daemon at {endpoint} ({}): {source}. Start it with `hearth serve`, or say where it is with \
         --endpoint URL, HEARTH_ENDPOINT or --state-dir DIR.", .endpoint.source
    )]
    Connect {
        /// What was tried.
        endpoint: Box<Endpoint>,
        /// The system's answer.
        source: io::Error,
    },
    /// No answer, or half of one.
    #[error("{call}: no answer from the daemon at {endpoint}")]
    Wire {
        /// Operation and what it was called on.
        call: String,
        /// Where.
        endpoint: Box<Endpoint>,
        /// What broke.
        source: WireError,
    },
    /// The daemon refused.
    #[error("{call}: {}", describe(.error))]
    Refused {
        /// Operation and what it was called on.
        call: String,
        /// The daemon's words.
        error: ServiceError,
    },
}

impl CallError {
    /// The daemon's error code, if it was the daemon that refused.
    pub(super) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { error, .. } => Some(&error.code),
            Self::Encode { .. } | Self::Header { .. } | Self::Connect { .. } | Self::Wire { .. } => None,
        }
    }
}

fn called(operation: Operation, subject: &str) -> String {
    if subject.is_empty() { operation.to_string() } else { format!("{operation} {subject}") }
}

fn describe(error: &ServiceError) -> String {
    if error.code == "MissingAuthenticationTokenException" {
        return "the daemon takes signed requests only: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile of the \
                aws CLI (MissingAuthenticationTokenException, HTTP 403)"
            .to_owned();
    }
    let reason = error.reason.as_ref().map_or_else(String::new, |reason| format!(", {reason}"));
    match error.message.as_str() {
        "" => format!("{} (HTTP {}{reason})", error.code, error.status),
        message => format!("{message} ({}, HTTP {}{reason})", error.code, error.status),
    }
}

impl Client {
    /// For the daemon that the user means. Connects when it is called.
    pub(super) fn new(connection: &Connection) -> Result<Self, ClientError> {
        let surroundings = Surroundings::of_this_process();
        let bundle = || surroundings.variable("AWS_CA_BUNDLE").map(Into::into);
        let connection = Connection { ca: connection.ca.clone().or_else(bundle), ..connection.clone() };
        let endpoint = endpoint::find(&connection)?;
        let signer = Signer::of_this_process(&endpoint, &surroundings);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { endpoint, signer, runtime })
    }

    /// Calls an operation on `subject`, which errors name; empty where there is none.
    pub(super) fn call<O: DeserializeOwned>(
        &self,
        operation: Operation,
        subject: &str,
        input: &impl Serialize,
    ) -> Result<O, CallError> {
        let patience = match operation {
            Operation::CreateFunction | Operation::UpdateFunctionCode => CODE_PATIENCE,
            _ => PATIENCE,
        };
        let answer = self.exchange(operation, subject, input, None, patience)?;
        let (status, headers) = (answer.status().as_u16(), answer.headers());
        let header = |name: &str| text(headers, name);
        codec::decode_response(operation.row(), status, &header, answer.body())
            .map_err(|error| CallError::Refused { call: called(operation, subject), error })
    }

    /// Calls an operation with a raw payload and gives the answer as it came, refusals as errors.
    pub(super) fn exchange(
        &self,
        operation: Operation,
        subject: &str,
        input: &impl Serialize,
        payload: Option<Bytes>,
        patience: Duration,
    ) -> Result<Answer, CallError> {
        let call = || called(operation, subject);
        let parts = codec::encode_request(operation.row(), input)
            .map_err(|source| CallError::Encode { call: call(), source })?;
        let body = payload.unwrap_or_else(|| parts.body.into());
        let patience = patience + Duration::from_secs(body.len() as u64 / UPLOAD_RATE_MIN);
        let mut request = Request::new(Upload::new(body.clone()));
        *request.method_mut() = http::Method::from_bytes(parts.method.as_bytes()).unwrap_or_default();
        let unusable = |header| CallError::Header { call: call(), header };
        *request.uri_mut() = parts.path_and_query.parse().map_err(|_| unusable("the path"))?;
        for (name, value) in parts.headers.iter().map(|(name, value)| (*name, value.as_str())) {
            let value = HeaderValue::from_str(value).map_err(|_| unusable(name))?;
            request
                .headers_mut()
                .append(HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable(name))?, value);
        }
        let host = HeaderValue::from_str(&self.endpoint.authority).map_err(|_| unusable("Host"))?;
        request.headers_mut().insert(http::header::HOST, host);
        if let Some(signer) = &self.signer {
            for (name, value) in signer.sign(parts.method, &parts.path_and_query, request.headers(), &body) {
                let value = HeaderValue::from_str(&value).map_err(|_| unusable(name))?;
                request.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        let endpoint = || Box::new(self.endpoint.clone());
        let exchange = wire::exchange(&self.endpoint, request, patience);
        let answer = self.runtime.block_on(exchange).map_err(|source| match source {
            WireError::Connect(source) => CallError::Connect { endpoint: endpoint(), source },
            source => CallError::Wire { call: call(), endpoint: endpoint(), source },
        })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let kind = text(answer.headers(), "x-amzn-ErrorType");
        let error = ServiceError::read(answer.status().as_u16(), kind, answer.body());
        Err(CallError::Refused { call: call(), error })
    }

    /// A function's settings and state, if there is such a function.
    pub(super) fn configuration(
        &self,
        name: &str,
    ) -> Result<Option<(FunctionConfiguration, Value)>, CallError> {
        let input =
            GetFunctionConfigurationRequest { function_name: Some(name.to_owned()), ..Default::default() };
        let operation = Operation::GetFunctionConfiguration;
        match self.call::<Value>(operation, name, &input) {
            Ok(value) => Ok(Some((typed(operation, name, value.clone())?, value))),
            Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// An output as its type, where the verb needs the original as well.
pub(super) fn typed<T: DeserializeOwned>(
    operation: Operation,
    subject: &str,
    value: Value,
) -> Result<T, CallError> {
    serde_json::from_value(value).map_err(|error| CallError::Refused {
        call: called(operation, subject),
        error: ServiceError {
            status: 200,
            code: "Unknown".to_owned(),
            message: error.to_string(),
            reason: None,
        },
    })
}

/// A header's value, if it is there and text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    /// Answers one request with `answer`; gives what was asked.
    fn once(answer: &'static str) -> (Client, std::thread::JoinHandle<String>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let endpoint = format!("http://{}", listener.local_addr().expect("has an address"));
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody connects");
            let mut request = Vec::new();
            while !request.windows(4).any(|four| four == b"\r\n\r\n") {
                let mut buffer = [0; 4096];
                let count = stream.read(&mut buffer).expect("reads");
                assert!(count > 0, "the request ends early");
                request.extend_from_slice(&buffer[..count]);
            }
            stream.write_all(answer.as_bytes()).expect("answers");
            String::from_utf8(request).expect("is text")
        });
        let connection = Connection { endpoint: Some(endpoint), ..Connection::default() };
        let client = Client::new(&connection).expect("is an address");
        // Whatever this process's environment holds.
        (Client { signer: None, ..client }, served)
    }

    #[test]
    fn a_call_is_addressed_and_carries_the_endpoints_name() {
        let body = r#"{"FunctionName":"f o","State":"Active","New":1}"#;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let (client, served) = once(answer.leak());
        let (configuration, value) = client.configuration("f o").expect("answers").expect("is there");
        assert_eq!(configuration.state.as_deref(), Some("Active"));
        assert_eq!(value["FunctionName"], "f o");
        let request = served.join().expect("served");
        assert!(
            request.starts_with("GET /2015-03-31/functions/f%20o/configuration HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.contains(&format!("host: {}\r\n", client.endpoint.authority)), "{request}");
        assert!(!request.to_lowercase().contains("authorization"), "{request}");
    }

    #[test]
    fn a_call_is_signed_for_the_daemons_region_where_keys_are_at_hand() {
        let variables = [
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("AWS_REGION", "eu-west-3"),
        ];
        let surroundings =
            Surroundings::new(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let answer = "HTTP/1.1 404 Not Found\r\nx-amzn-ErrorType: ResourceNotFoundException\r\ncontent-length: 2\r\n\r\n{}";
        let (client, served) = once(answer);
        let elsewhere = Endpoint { region: Some("eu-west-1".to_owned()), ..client.endpoint.clone() };
        let signer = Signer::of_this_process(&elsewhere, &surroundings).expect("there are keys");
        assert_eq!(signer.region, "eu-west-1");
        let signer = Signer::of_this_process(&client.endpoint, &surroundings);
        Client { signer, ..client }.configuration("f").expect("answers");
        let request = served.join().expect("served");
        assert!(request.contains("authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{request}");
        assert!(
            request.contains("/eu-west-3/lambda/aws4_request, SignedHeaders=host;x-amz-date,"),
            "{request}"
        );
        assert!(Signer::of_this_process(&elsewhere, &Surroundings::new([])).is_none());
    }

    #[test]
    fn a_function_that_is_not_there_is_no_error() {
        let answer = "HTTP/1.1 404 Not Found\r\nx-amzn-ErrorType: ResourceNotFoundException\r\ncontent-length: 2\r\n\r\n{}";
        let (client, served) = once(answer);
        assert!(client.configuration("f").expect("answers").is_none());
        served.join().expect("served");
    }

    #[test]
    fn a_refusal_names_operation_function_and_reason() {
        let answer = "HTTP/1.1 429 Too Many\r\nx-amzn-ErrorType: TooManyRequestsException\r\ncontent-length: 44\r\n\r\n\
                      {\"message\":\"Rate Exceeded.\",\"Reason\":\"Here\"}";
        let (client, served) = once(answer);
        let error = client.configuration("f").expect_err("is refused");
        let text = "GetFunctionConfiguration f: Rate Exceeded. (TooManyRequestsException, HTTP 429, Here)";
        assert_eq!(error.to_string(), text);
        served.join().expect("served");
    }

    #[test]
    fn a_failed_connection_says_what_was_tried_and_what_to_do() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let endpoint = format!("http://{}", listener.local_addr().expect("has an address"));
        drop(listener);
        let connection = Connection { endpoint: Some(endpoint.clone()), ..Connection::default() };
        let error =
            Client::new(&connection).expect("is an address").configuration("f").expect_err("nobody is there");
        let text = error.to_string();
        assert!(
            text.contains(&format!("{endpoint} (as given)")) && text.contains("`hearth serve`"),
            "{text}"
        );
    }
}
