//! `Invoke`: the hot path from request to answer. Head first, then limits, then the body, then the scheduler.
//!
//! Serves the control API and the functions' own door alike. The payload is read once, checked in one pass and never
//! copied; everything that can be refused is refused before it is read.

use super::control::{body_error, error_response, header, reply_response};
use super::json_check;
use super::names::Target;
use super::server::{Body, Intake, full};
use crate::daemon::functions::{Serving, Unavailable};
use crate::daemon::invoke::{Answer, Call, Refusal, Shared, invoke, refused_at_the_door};
use crate::daemon::random;
use bytes::Bytes;
use hearth_api::codec;
use hearth_api::error::{ApiError, ErrorCode};
use hearth_api::operations::Operation;
use hearth_api::primitives::{decode_base64, encode_base64};
use hearth_api::reply::Reply;
use hearth_api::router::Labels;
use hearth_api::shapes::InvocationRequest;
use hearth_logic::RequestId;
use hearth_logic::admission::Reason;
use hearth_logic::limits::REQUEST_MAX_BYTES;
use hearth_logic::scheduler::Source;
use http::header::{CONTENT_TYPE, InvalidHeaderValue};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a synchronous payload.
pub(super) const PAYLOAD_MAX: usize = REQUEST_MAX_BYTES;
/// Bytes of a client context in base64.
const CLIENT_CONTEXT_MAX: usize = 3583;
/// What `Retry-After` says where nothing better is known.
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

/// What a request says before its body.
struct Head {
    input: InvocationRequest,
    kind: Kind,
    target: Target,
    serving: Serving,
    client_context: String,
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
    let Head { input, kind, target, serving, client_context } =
        match before_the_body(shared, labels, &parts, body.announced(), id).await {
            Ok(head) => head,
            Err(error) => {
                body.discard(PAYLOAD_MAX);
                return Err(error);
            }
        };
    if matches!(kind, Kind::DryRun) {
        body.discard(PAYLOAD_MAX);
        return Ok(reply_response(Reply { status: 204, ..Reply::default() }, &id.to_string()));
    }
    let payload =
        body.read(PAYLOAD_MAX).await.map_err(|error| body_error(error, PAYLOAD_MAX, "InvokeFunction"))?;
    let payload = if payload.is_empty() { Bytes::from_static(b"{}") } else { payload };
    json_check::check(&payload).map_err(|why| {
        let text =
            format!("Could not parse request body into json: Could not parse payload into json: {why}");
        ApiError::new(ErrorCode::InvalidRequestContentException, text)
    })?;
    let revision = Arc::clone(&serving.revision);
    let call = Call {
        serving,
        source: Source::Synchronous,
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

/// All that can be refused before anybody has waited for the body.
async fn before_the_body(
    shared: &Shared,
    labels: &Labels,
    parts: &http::request::Parts,
    announced: u64,
    id: RequestId,
) -> Result<Head, ApiError> {
    let input = read_head(labels, parts)?;
    let kind = kind(&input)?;
    let target = Target::parse(
        &shared.functions,
        input.function_name.as_deref().unwrap_or_default(),
        input.qualifier.as_deref(),
    )?;
    if announced > PAYLOAD_MAX as u64 {
        return Err(body_error(super::server::BodyError::TooLarge, PAYLOAD_MAX, "InvokeFunction"));
    }
    let serving = resolve(shared, &target).await?;
    if matches!(kind, Kind::RequestResponse)
        && let Some(refusal) =
            refused_at_the_door(shared, &serving, id, &target.arn_of(&serving.revision.arn))
    {
        return Err(refused(refusal));
    }
    let client_context = match kind {
        Kind::RequestResponse => client_context(input.client_context.as_deref())?,
        Kind::DryRun => String::new(),
    };
    Ok(Head { input, kind, target, serving, client_context })
}

fn read_head(labels: &Labels, parts: &http::request::Parts) -> Result<InvocationRequest, ApiError> {
    let headers = |name: &str| header(&parts.headers, name);
    let head = codec::Head { labels, query: parts.uri.query().unwrap_or_default(), headers: &headers };
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

async fn resolve(shared: &Shared, target: &Target) -> Result<Serving, ApiError> {
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

/// `Retry-After` knows whole seconds only; never too early, and never at once.
fn whole_seconds(pause: Duration) -> u32 {
    let rounded = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
    u32::try_from(rounded).unwrap_or(u32::MAX).max(RETRY_AFTER_S)
}

pub(super) fn refused(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Limit { reason: Reason::ShuttingDown, .. } => ApiError::new(
            ErrorCode::ServiceException,
            "The daemon is shutting down; try again when it is back.",
        )
        .expected(),
        Refusal::Limit { reason, retry_after } => {
            let pause_s = retry_after.map_or(RETRY_AFTER_S, whole_seconds);
            ApiError::too_many_requests("Rate Exceeded.", reason.as_str(), Some(pause_s))
        }
        Refusal::Internal(detail) => ApiError::internal(&random::uuid(), detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_told_in_whole_seconds_and_never_too_short() {
        for (ms, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_999, 60)] {
            assert_eq!(whole_seconds(Duration::from_millis(ms)), seconds, "{ms} ms");
        }
        let refusal = Refusal::Limit {
            reason: Reason::ConcurrentInvocationLimitExceeded,
            retry_after: Some(Duration::from_millis(2500)),
        };
        let reply = refused(refusal).to_reply();
        let header = reply.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
        assert_eq!((reply.status, header.map(|(_, value)| value.as_str())), (429, Some("3")));
    }

    #[test]
    fn a_daemon_that_ends_answers_500_and_its_log_need_not_tell() {
        let error = refused(Refusal::Limit { reason: Reason::ShuttingDown, retry_after: None });
        assert!(error.is_expected() && error.to_reply().status == 500);
        assert!(error.message().is_some_and(|text| text.contains("shutting down")));
        let fault = refused(Refusal::Internal("a disk".to_owned()));
        assert!(!fault.is_expected() && fault.to_reply().status == 500);
    }
}
