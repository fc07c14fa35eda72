//! Function URLs: the door that takes plain HTTP and gives plain HTTP, for whoever its policy lets in.
//!
//! A request is the door's by its host name, or by its path where names cannot be had. It becomes an event (`event`), the
//! function's answer becomes HTTP (`answer`), and `cors` says what web pages may do. The guard against web pages is not for
//! this door: it is made for them. Called by path, a page would share its origin with the control API and with all other
//! functions; such answers are sandboxed, so that the browser gives the page an origin of no one's. Deliberately not here:
//! configuration (`control/urls.rs`) and the limits of a function.

mod access;
mod answer;
mod cors;
mod event;
mod place;

pub(crate) use access::Refused;
pub(crate) use place::{Door, Places, Url, id_key, id_of};

use super::control::{Control, REQUEST_ID, error_response};
use super::identity::Connection;
use super::invoke::{self, PAYLOAD_MAX, TRACE_ID};
use super::names::Target;
use super::server::{Body, BodyError, Intake, full};
use crate::daemon::functions::Unavailable;
use crate::daemon::invoke::{Call, Refusal, invoke, refused_at_the_door};
use crate::daemon::{clock, random};
use crate::store::{Family, StoreError};
use event::Origin;
use hearth_api::error::{ApiError, ErrorCode};
use hearth_api::primitives::EpochTime;
use hearth_logic::RequestId;
use hearth_logic::admission::Reason;
use hearth_logic::scheduler::Source;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use std::net::{IpAddr, Ipv4Addr};

/// All that a page may do which does not need an origin.
const SANDBOXED: HeaderValue =
    HeaderValue::from_static("sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts");

/// Why a request did not come to an answer of its function.
enum Failure {
    /// No such URL.
    Unknown,
    /// Not for this caller.
    Access(Refused),
    /// More than a function takes.
    TooLarge,
    /// Its body did not arrive.
    Broken,
    /// The daemon ends.
    Stopping,
    /// The function cannot be had, or answered what cannot be sent.
    Gateway(String),
    /// As the API would say it.
    Api(ApiError),
}

impl Control {
    /// Answers one request to a function URL.
    pub(crate) async fn serve_url(
        &self,
        door: &Door,
        connection: &Connection,
        request: Request<Intake>,
    ) -> Response<Body> {
        let id = RequestId::from_random(random::id());
        let trace = trace_of(request.headers());
        let mut response = self.through(door, connection, request, id, &trace).await;
        let headers = response.headers_mut();
        if door.domain.is_none() {
            // Beside the function's own policy, if it has one: all of them hold.
            headers.append(CONTENT_SECURITY_POLICY, SANDBOXED);
        }
        for (name, value) in [(REQUEST_ID, id.to_string()), (TRACE_ID, trace)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        self.shared.metrics.request("FunctionUrl", response.status());
        response
    }

    async fn through(
        &self,
        door: &Door,
        connection: &Connection,
        request: Request<Intake>,
        id: RequestId,
        trace: &str,
    ) -> Response<Body> {
        let url = match self.url_named(&door.id).await {
            Ok(Some(url)) => url,
            Ok(None) => return refusal(Failure::Unknown, id),
            Err(error) => return refusal(Failure::Api(self.internal(error)), id),
        };
        let asked = request.headers().clone();
        if let Some(cors) = &url.cors
            && cors::is_preflight(request.method(), &asked)
        {
            let mut response = Response::new(full(""));
            *response.headers_mut() = cors::preflight(cors, &asked);
            return response;
        }
        let mut response = match self.call(door, connection, &url, request, id, trace).await {
            Ok(response) => response,
            Err(failure) => refusal(failure, id),
        };
        if let Some(cors) = &url.cors {
            cors::dress(cors, &asked, response.headers_mut());
        }
        response
    }

    async fn call(
        &self,
        door: &Door,
        connection: &Connection,
        url: &Url,
        request: Request<Intake>,
        id: RequestId,
        trace: &str,
    ) -> Result<Response<Body>, Failure> {
        let target = Target { name: url.function.clone(), qualifier: url.qualifier.clone() };
        let (parts, body) = request.into_parts();
        let (caller, body) =
            self.url_access(url, &target, connection, &parts, body).await.map_err(Failure::Access)?;
        if url.invoke_mode == "RESPONSE_STREAM" {
            let text = "InvokeMode RESPONSE_STREAM is not implemented in this release of Hearth.";
            return Err(Failure::Api(ApiError::new(ErrorCode::NotImplementedException, text)));
        }
        let draw = || u64::from_ne_bytes(random::id());
        let found = self.shared.functions.serving(&target.name, target.qualifier.as_deref(), draw).await;
        let serving = found.map_err(unavailable)?;
        if let Some(refusal) =
            refused_at_the_door(&self.shared, &serving, id, &target.arn(&self.shared.functions))
        {
            body.discard(PAYLOAD_MAX);
            return Err(Failure::Api(invoke::refused(refusal)));
        }
        let body = body.read(PAYLOAD_MAX).await.map_err(|error| match error {
            BodyError::TooLarge => Failure::TooLarge,
            BodyError::TooSlow | BodyError::OverBudget | BodyError::Broken => Failure::Broken,
        })?;
        let origin = Origin {
            id: &door.id,
            domain: &door.domain.clone().unwrap_or_else(|| self.places.host(&door.id)),
            method: parts.method.as_str(),
            path: door.path_of(parts.uri.path()),
            query: parts.uri.query().unwrap_or_default(),
            source: &source_of(connection),
            port: self.places.port(),
            tls: connection.tls,
            trace,
            request_id: &id.to_string(),
            now: EpochTime::from_ms(i64::try_from(clock::wall().as_millis()).unwrap_or(i64::MAX)),
            caller: caller.as_ref(),
        };
        let payload = event::event(&origin, &parts.headers, &body)
            .map_err(|error| Failure::Gateway(error.to_string()))?;
        if payload.len() > PAYLOAD_MAX {
            return Err(Failure::TooLarge);
        }
        let call = Call {
            serving,
            source: Source::Synchronous,
            invoked_arn: target.arn(&self.shared.functions),
            trace_header: Some(trace.to_owned()),
            client_context: String::new(),
            payload: payload.into(),
            wants_log: false,
            request_id: id,
        };
        let given = invoke(&self.shared, call).await.result.map_err(|refused| match refused {
            Refusal::Limit { reason: Reason::ShuttingDown, .. } => Failure::Stopping,
            Refusal::Limit { .. } => Failure::Api(invoke::refused(refused)),
            Refusal::Internal(detail) => Failure::Gateway(detail),
        })?;
        let sent = if given.failed { None } else { answer::answer(&given.payload) };
        Ok(sent.unwrap_or_else(answer::failure))
    }

    /// The URL with this id.
    async fn url_named(&self, id: &str) -> Result<Option<Url>, StoreError> {
        let found = self.shared.functions.store.document(Family::FunctionUrl, &id_key(id)).await?;
        found.map(|document| document.read()).transpose()
    }
}

/// Where a connection comes from; this machine for one that has no address.
fn source_of(connection: &Connection) -> String {
    connection.source.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)).to_string()
}

fn unavailable(why: Unavailable) -> Failure {
    match why {
        Unavailable::Missing => Failure::Unknown,
        Unavailable::State(state) => Failure::Gateway(format!("the function is {}", state.name())),
        Unavailable::Runtime(runtime) => {
            Failure::Gateway(format!("the runtime {runtime} is not on this host"))
        }
        Unavailable::Sealed => Failure::Gateway("its environment variables cannot be opened".to_owned()),
        Unavailable::Store(error) => Failure::Gateway(error.to_string()),
    }
}

/// The caller's X-Ray header, or a new root.
fn trace_of(headers: &HeaderMap) -> String {
    let given = headers.get(&TRACE_ID).and_then(|value| value.to_str().ok());
    if let Some(given) = given.filter(|text| text.starts_with("Root=")) {
        return given.to_owned();
    }
    let seconds = u32::try_from(clock::wall().as_millis() / 1000).unwrap_or(u32::MAX);
    format!("Root=1-{seconds:08x}-{}", random::hex::<12>())
}

/// What cannot be answered by the function, in the service's words. They say less than the log.
fn refusal(failure: Failure, id: RequestId) -> Response<Body> {
    match failure {
        Failure::Unknown => json(StatusCode::FORBIDDEN, "AccessDeniedException", "{\"Message\":null}"),
        Failure::Access(Refused::Forbidden) => json(
            StatusCode::FORBIDDEN,
            "AccessDeniedException",
            "{\"Message\":\"Forbidden. For troubleshooting Function URL authorization issues, see: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html\"}",
        ),
        Failure::Access(Refused::Api(error)) | Failure::Api(error) => error_response(&error, &id.to_string()),
        Failure::TooLarge => json(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLargeException",
            "{\"Message\":\"Request must be smaller than 6291456 bytes for the InvokeFunction operation\"}",
        ),
        Failure::Broken => json(
            StatusCode::BAD_REQUEST,
            "InvalidRequestContentException",
            "{\"Message\":\"The request body did not arrive.\"}",
        ),
        Failure::Stopping => answer::failure(),
        Failure::Gateway(detail) => {
            tracing::warn!(request_id = %id, detail, "a function URL has no answer");
            answer::failure()
        }
    }
}

fn json(status: StatusCode, code: &'static str, body: &'static str) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-amzn-errortype", HeaderValue::from_static(code));
    response
}
