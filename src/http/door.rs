//! The functions' own door to the daemon: what `AWS_ENDPOINT_URL_LAMBDA` and `AWS_LAMBDA_METADATA_API` lead to.
//!
//! One listener per sandbox, bound inside it, so whoever speaks here is that function. It may invoke functions and read
//! its metadata; never code, configuration or any other control call. Where callers are asked who they are (`auth =
//! "sigv4"`), it invokes as its role: what the role's policy and the other function's say holds here as at the API.

use super::authorise::{Caller, Circumstances, authorise};
use super::control::{error_response, header};
use super::identity::Connection;
use super::invoke::{self, PAYLOAD_MAX};
use super::server::{self, Body, Intake, full};
use super::standing::Standing;
use crate::daemon::credentials;
use crate::daemon::invoke::Shared;
use crate::daemon::random;
use crate::daemon::revision::Revision;
use hearth_api::codec;
use hearth_api::error::{ApiError, ErrorCode};
use hearth_api::operations::Operation;
use hearth_api::permission::Permission;
use hearth_api::router;
use hearth_logic::RequestId;
use hearth_runtime_api::server::Budget;
use hearth_sandbox::SandboxId;
use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::watch;

const METADATA: &str = "/2026-01-15/metadata/execution-environment";
/// The zone that every environment is in: this machine.
const METADATA_BODY: &str = "{\"AvailabilityZoneID\":\"use1-az1\"}";
/// Connections of one sandbox at once.
const CONNECTIONS_MAX: usize = 64;
/// Bytes of payloads that the daemon holds for one sandbox's calls, from their arrival until they are answered.
const PAYLOADS_MAX: usize = 4 * invoke::PAYLOAD_MAX;

/// Whose door it is.
#[derive(Clone)]
pub(crate) struct Key {
    /// The environment's sandbox.
    pub(crate) environment: SandboxId,
    /// Bearer token of the metadata endpoint.
    pub(crate) metadata_token: String,
}

/// Serves until its task is dropped with the environment.
pub(crate) async fn serve(listener: TcpListener, key: Key, shared: Arc<Shared>, revision: Arc<Revision>) {
    // Never turns true: the environment's task owns this one and ends it.
    let (_running, stop) = watch::channel(false);
    let (budget, pool) = (Budget::new(PAYLOADS_MAX), Some(Arc::clone(&shared.connections)));
    let handler = move |request: Request<Incoming>| {
        let (key, shared, revision) = (key.clone(), Arc::clone(&shared), Arc::clone(&revision));
        let share = Arc::new(Mutex::new(budget.open()));
        async move {
            let request = request.map(|body| Intake::Metered(body, Arc::clone(&share)));
            let answer = answer(&key, &shared, &revision, request).await;
            drop(share);
            answer
        }
    };
    let limits = server::Limits { connections: CONNECTIONS_MAX, pool };
    server::serve(server::Listener::Tcp(listener), Arc::new(handler), limits, stop).await;
}

async fn answer(
    key: &Key,
    shared: &Arc<Shared>,
    revision: &Revision,
    request: Request<Intake>,
) -> Response<Body> {
    if request.uri().path() == METADATA {
        return metadata(key, &request);
    }
    let id = RequestId::from_random(random::id());
    let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let holder = authorization.and_then(credentials::access_key).map(|access| shared.keys.holder(access));
    if holder.is_some_and(|holder| holder != Some(key.environment)) {
        let text = "The security token included in the request is invalid.";
        return error_response(&ApiError::new(ErrorCode::UnrecognizedClientException, text), &id.to_string());
    }
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let found = match router::find(request.method().as_str(), path, query) {
        Ok(found) => found,
        Err(error) => return error_response(&error.into(), &id.to_string()),
    };
    if found.row.operation != Operation::Invoke {
        let text = format!(
            "User: {}/{} is not authorized to perform: lambda:{} because functions may only invoke functions here",
            revision.arn, revision.version, found.row.name
        );
        return error_response(&ApiError::new(ErrorCode::AccessDeniedException, text), &id.to_string());
    }
    let (parts, body) = request.into_parts();
    if let Err(error) = may_invoke(shared, revision, &found, &parts).await {
        body.discard(PAYLOAD_MAX);
        return error_response(&error, &id.to_string());
    }
    invoke::handle(shared, &found.labels, Request::from_parts(parts, body), id).await
}

/// Whether the function's role may invoke what the request names.
async fn may_invoke(
    shared: &Shared,
    revision: &Revision,
    found: &router::Match,
    parts: &Parts,
) -> Result<(), ApiError> {
    let Some(ring) = &shared.ring else { return Ok(()) };
    let input = {
        let headers = |name: &str| header(&parts.headers, name);
        let query = parts.uri.query().unwrap_or_default();
        codec::decode_head(found.row, &codec::Head { labels: &found.labels, query, headers: &headers })?
    };
    let home = shared.functions.home();
    let permission = Permission::of(found.row.operation, home, &input)?;
    let session = credentials::session_arn(&revision.role, &revision.name);
    let caller = Caller::function(session, revision.role.clone(), ring.now().role(&revision.role));
    let policy = Standing::of_resource(&shared.functions, &permission.resource).await?.decided_by();
    let agent = header(&parts.headers, USER_AGENT.as_str());
    let connection = Connection::inside();
    let circumstances = Circumstances { region: &home.region, connection: &connection, agent, url: None };
    authorise(&caller, &permission, policy.as_ref(), &circumstances)
}

/// Where this environment runs (AWS documentation, "Using the Lambda metadata endpoint").
fn metadata(key: &Key, request: &Request<Intake>) -> Response<Body> {
    let mut response = Response::new(full(METADATA_BODY));
    let expected = format!("Bearer {}", key.metadata_token);
    if request.method() != Method::GET {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        *response.body_mut() = full("");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    } else if request.headers().get(AUTHORIZATION).is_none_or(|given| given.as_bytes() != expected.as_bytes())
    {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        *response.body_mut() = full("");
    } else {
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, max-age=43200, immutable"));
    }
    response
}
