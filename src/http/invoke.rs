//! `Invoke`: the hot path from request to answer. Head first, then limits, then the body, then the scheduler.
//!
//! Serves the control API and the functions' own door alike. The payload is read once, checked in one pass and never
//! copied; everything that can be refused is refused before it is read.

use super::control::{body_error, error_response, header, reply_response};
use super::json_check;
use super::names::Target;
use super::server::{Body, Intake, full};
use crate::daemon::functions::Unavailable;
use crate::daemon::invoke::{Answer, Call, Refusal, Shared, invoke};
use crate::daemon::random;
use crate::daemon::revision::Revision;
use bytes::Bytes;
use hearth_api::codec::{self, Head};
use hearth_api::error::{ApiError, ErrorCode};
use hearth_api::operations::Operation;
use hearth_api::primitives::{decode_base64, encode_base64};
use hearth_api::reply::Reply;
use hearth_api::router::Labels;
use hearth_api::shapes::InvocationRequest;
use hearth_logic::RequestId;
use hearth_logic::admission::Reason;
use http::header::{CONTENT_TYPE, InvalidHeaderValue};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use std::sync::Arc;

/// Bytes of a synchronous payload.
pub(super) const PAYLOAD_MAX: usize = 6_291_456;
/// Bytes of a client context in base64.
const CLIENT_CONTEXT_MAX: usize = 3583;
const RETRY_AFTER_S: u32 = 1;
/// Room for the headers of an answer, those that hyper adds included.
const ANSWER_HEADERS: usize = 10;
const LATEST: &str = "$LATEST";

const EXECUTED_VERSION: HeaderName = HeaderName::from_static("x-amz-executed-version");
const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");
const LOG_RESULT: HeaderName = HeaderName::from_static("x-amz-log-result");
pub(super) const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
const REMAPPED_LENGTH: HeaderName = HeaderName::from_static("x-amzn-remapped-content-length");

enum Kind {
    RequestResponse,
    DryRun,
}

/// Answers one Invoke request, whose id is `id`.
pub(crate) async fn handle(
    shared: &Arc<Shared>,
    labels: &Labels,
    request: Request<Intake>,
    id: RequestId,
) -> Response<Body> {
    match answer(shared, labels, request, id).await {
        Ok(response) => response,
        Err(error) => error_response(&error, &id.to_string()),
    }
}

async fn answer(
    shared: &Arc<Shared>,
    labels: &Labels,
    request: Request<Intake>,
    id: RequestId,
) -> Result<Response<Body>, ApiError> {
    let (parts, body) = request.into_parts();
    // Whatever is said about it: a connection with a body that nobody read could not be used again.
    let payload = body.read(PAYLOAD_MAX).await;
    let input = read_head(labels, &parts)?;
    let kind = kind(&input)?;
    let target = Target::parse(
        &shared.functions,
        input.function_name.as_deref().unwrap_or_default(),
        input.qualifier.as_deref(),
    )?;
    let payload = payload.map_err(|error| body_error(error, PAYLOAD_MAX, "InvokeFunction"))?;
    let revision = resolve(shared, &target).await?;
    if matches!(kind, Kind::DryRun) {
        return Ok(reply_response(Reply { status: 204, ..Reply::default() }, &id.to_string()));
    }
    let client_context = client_context(input.client_context.as_deref())?;
    let payload = if payload.is_empty() { Bytes::from_static(b"{}") } else { payload };
    json_check::check(&payload).map_err(|why| {
        let text =
            format!("Could not parse request body into json: Could not parse payload into json: {why}");
        ApiError::new(ErrorCode::InvalidRequestContentException, text)
    })?;
    let call = Call {
        revision: Arc::clone(&revision),
        invoked_arn: target.arn_of(&revision.arn),
        trace_header: parts.headers.get(&TRACE_ID).and_then(|value| value.to_str().ok()).map(str::to_owned),
        client_context,
        payload,
        wants_log: input.log_type.as_deref() == Some("Tail"),
        request_id: id,
    };
    let returned = invoke(shared, call).await;
    match returned.result {
        Ok(answer) => Ok(success(answer, &revision.version, returned.trace_id, id)),
        Err(refusal) => Err(refused(refusal)),
    }
}

fn read_head(labels: &Labels, parts: &http::request::Parts) -> Result<InvocationRequest, ApiError> {
    let headers = |name: &str| header(&parts.headers, name);
    let head = Head { labels, query: parts.uri.query().unwrap_or_default(), headers: &headers };
    codec::decode_head_typed(Operation::Invoke.row(), &head)
}

fn kind(input: &InvocationRequest) -> Result<Kind, ApiError> {
    if input.tenant_id.is_some() {
        return Err(ApiError::invalid_parameter(
            "The invoked function is not enabled with tenancy configuration. Remove the tenant ID from your request and try again.",
        ));
    }
    if input.durable_execution_name.is_some() {
        return Err(not_built("Durable execution names"));
    }
    match input.invocation_type.as_deref() {
        None | Some("RequestResponse") => Ok(Kind::RequestResponse),
        Some("DryRun") => Ok(Kind::DryRun),
        Some(other) => Err(not_built(&format!("InvocationType {other}"))),
    }
}

fn not_built(what: &str) -> ApiError {
    let text = format!("{what} is not implemented in this release of Hearth.");
    ApiError::new(ErrorCode::NotImplementedException, text)
}

async fn resolve(shared: &Shared, target: &Target) -> Result<Arc<Revision>, ApiError> {
    let draw = || u64::from_ne_bytes(random::id());
    let found = shared.functions.serving(&target.name, target.qualifier.as_deref(), draw).await;
    found.map_err(|unavailable| match unavailable {
        Unavailable::Missing => target.version_not_found(&shared.functions),
        Unavailable::State(state) => ApiError::conflict(format!(
            "The operation cannot be performed at this time. The function is currently in the following state: {}",
            state.name()
        )),
        Unavailable::Runtime(runtime) => ApiError::new(
            ErrorCode::InvalidRuntimeException,
            format!("The runtime {runtime} is not available on this host any more; `hearth doctor` lists what is."),
        ),
        Unavailable::Sealed => ApiError::new(
            ErrorCode::KMSAccessDeniedException,
            "Lambda was unable to decrypt the environment variables because KMS access was denied.",
        ),
        Unavailable::Store(error) => ApiError::internal(&random::uuid(), error.to_string()),
    })
}

fn client_context(given: Option<&str>) -> Result<String, ApiError> {
    let Some(given) = given.filter(|text| !text.is_empty()) else { return Ok(String::new()) };
    let wrong = |text: &str| ApiError::new(ErrorCode::InvalidRequestContentException, text);
    if given.len() > CLIENT_CONTEXT_MAX {
        return Err(wrong("Client context must be no more than 3583 bytes when base64-encoded"));
    }
    let decoded = decode_base64(given).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded
        .filter(|text| json_check::check(text.as_bytes()).is_ok())
        .ok_or_else(|| wrong("Client context must be a valid Base64-encoded JSON object."))
}

fn success(answer: Answer, version: &str, trace_id: String, id: RequestId) -> Response<Body> {
    let mut headers = HeaderMap::with_capacity(ANSWER_HEADERS);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(REMAPPED_LENGTH, HeaderValue::from_static("0"));
    let mut put = |name: HeaderName, value: Result<HeaderValue, InvalidHeaderValue>| {
        if let Ok(value) = value {
            headers.insert(name, value);
        }
    };
    put(super::control::REQUEST_ID, HeaderValue::from_bytes(&id.to_text()));
    put(
        EXECUTED_VERSION,
        if version == LATEST { Ok(HeaderValue::from_static(LATEST)) } else { HeaderValue::from_str(version) },
    );
    put(TRACE_ID, trace_id.try_into());
    if let Some(tail) = answer.log_tail {
        put(LOG_RESULT, encode_base64(&tail).try_into());
    }
    if answer.failed {
        headers.insert(FUNCTION_ERROR, HeaderValue::from_static("Unhandled"));
    }
    let mut response = Response::new(full(answer.payload));
    *response.headers_mut() = headers;
    response
}

pub(super) fn refused(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Limit(Reason::ShuttingDown) => ApiError::new(
            ErrorCode::ServiceException,
            "The daemon is shutting down; try again when it is back.",
        ),
        Refusal::Limit(reason) => {
            ApiError::too_many_requests("Rate Exceeded.", reason.as_str(), Some(RETRY_AFTER_S))
        }
        Refusal::Internal(detail) => ApiError::internal(&random::uuid(), detail),
    }
}
