//! The control API: one request from the router to the answer, and the state all operations share.
//!
//! `service` names the operations, the files beside it hold them; `side` is what the small families share, `settings` the
//! semantic checks, `names` the forms of a function's name. Errors become answers here and nowhere else; what the operator
//! must know is logged here, once.

mod account;
mod aliases;
mod code;
mod code_signing;
mod concurrency;
mod conduct;
mod constraints;
mod described;
mod event_invoke;
mod functions;
mod images;
mod layer_policies;
mod layers;
mod mappings;
pub(crate) mod policies;
mod provisioned;
mod service;
mod settings;
mod side;
mod tags;
mod urls;
mod versions;

use super::authorise::{Caller, Circumstances, Kind, authorise};
use super::file;
use super::guard::Guard;
use super::identity::{Connection, Identity};
use super::invoke;
use super::location::{self, Refused, Signer};
use super::logs;
use super::names::Target;
use super::roots;
use super::server::{Body, BodyError, Intake, full};
use super::signed::Verifier;
use super::standing::Standing;
use super::url::{Door, Places};
use crate::config::Config;
use crate::daemon::credentials;
use crate::daemon::fetch::Fetcher;
use crate::daemon::invoke::Shared;
use crate::daemon::random;
use crate::store::Blobs;
use bytes::Bytes;
use hearth_api::codec::{self, Head};
use hearth_api::error::{ApiError, ErrorCode};
use hearth_api::operations::{Operation, Row, dispatch};
use hearth_api::permission::Permission;
use hearth_api::reply::Reply;
use hearth_api::router;
use hearth_logic::RequestId;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use std::borrow::Cow;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Bytes of a request that carries a package: 50 MB in base64 and the rest of the document.
const PACKAGE_REQUEST_MAX: usize = 70_167_211;
/// Bytes of any other control request.
const REQUEST_MAX: usize = 1_048_576;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// The control API of one daemon.
pub(crate) struct Control {
    /// What the daemon's parts share.
    pub(crate) shared: Arc<Shared>,
    pub(super) blobs: Blobs,
    fetcher: Fetcher,
    /// Who may use it.
    pub(crate) identity: Identity,
    /// Whom nobody asks for a signature.
    pub(super) owner: Caller,
    guard: Guard,
    signer: Signer,
    /// Taken before a function's gate: while layers are attached or deleted.
    layer_turn: tokio::sync::Mutex<()>,
    /// Taken before a function's gate and after the layers' turn: while code signing configurations are changed or given.
    signing_turn: tokio::sync::Mutex<()>,
    /// Taken before a function's gate: while concurrency is promised, which all functions share.
    concurrency_turn: tokio::sync::Mutex<()>,
    pub(super) uploads: Semaphore,
    /// `http://host:port` or `https://host:port` where this endpoint listens, for clients that name it no other way.
    base: String,
    /// Where functions' URLs are.
    pub(super) places: Places,
    pub(super) account_concurrency: u32,
    pub(super) unreserved_minimum: u32,
    /// Bytes that all packages may have together.
    code_storage: u64,
    report: serde_json::Value,
}

/// What an operation knows beside its input.
pub(crate) struct Context {
    /// The JSON of `Environment.Variables`, in the order in which the client gave them.
    pub(crate) environment: Option<String>,
    /// This endpoint as the client names it, without a path: `https://hearth.example`.
    pub(crate) endpoint: String,
}

/// Who a request is from, and where.
struct Asker<'a> {
    caller: Cow<'a, Caller>,
    connection: &'a Connection,
}

/// Bytes of a control request's body.
fn body_limit(row: &Row) -> usize {
    match row.operation {
        Operation::CreateFunction | Operation::UpdateFunctionCode | Operation::PublishLayerVersion => {
            PACKAGE_REQUEST_MAX
        }
        _ => REQUEST_MAX,
    }
}

/// Up to this many headers are looked through; hashing the name took longer.
const LOOKED_THROUGH_MAX: usize = 16;

/// One of hyper's headers as the codec reads it.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = if headers.len() <= LOOKED_THROUGH_MAX {
        headers.iter().find(|(given, _)| given.as_str().eq_ignore_ascii_case(name)).map(|(_, value)| value)
    } else {
        headers.get(name)
    };
    value.and_then(|value| value.to_str().ok())
}

impl Control {
    /// Over the daemon's parts.
    pub(crate) fn new(
        shared: Arc<Shared>,
        (blobs, fetcher): (Blobs, Fetcher),
        config: &Config,
        (identity, base): (Identity, String),
    ) -> Self {
        let report = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "cgroups": if shared.pure_v2 { "v2" } else { "hybrid" },
            "runtimes": shared.functions.runtimes().names(),
            "runtimes_absent": shared.functions.runtimes().absent(),
        });
        Self {
            owner: Caller::owner(shared.functions.home()),
            shared,
            blobs,
            fetcher,
            identity,
            guard: Guard::new(&config.allowed_hosts, [config.listen.ip(), config.admin_listen.ip()]),
            signer: Signer::new(random::bytes()),
            layer_turn: tokio::sync::Mutex::new(()),
            signing_turn: tokio::sync::Mutex::new(()),
            concurrency_turn: tokio::sync::Mutex::new(()),
            uploads: Semaphore::new(roots::UPLOADS_MAX),
            places: Places::new(config, &base),
            base,
            account_concurrency: config.limits.account_concurrency,
            unreserved_minimum: config.limits.unreserved_minimum,
            code_storage: config.limits.code_storage_mb << 20,
            report,
        }
    }

    /// What `hearth doctor` shows of a running daemon.
    pub(crate) fn report(&self) -> &serde_json::Value {
        &self.report
    }

    /// Answers one request.
    pub(crate) async fn handle(&self, connection: &Connection, request: Request<Incoming>) -> Response<Body> {
        // An invocation keeps this future small, which is moved into place with each request: the rest is boxed.
        if let Some(door) = Door::of(request.uri(), request.headers()) {
            return Box::pin(self.serve_url(&door, connection, request.map(Intake::Arriving))).await;
        }
        let id = RequestId::from_random(random::id());
        let unread = !hyper::body::Body::is_end_stream(request.body());
        let turned_away = move |error: &ApiError| closing(error_response(error, &id.to_string()), unread);
        if let Some(error) = connection.refusal() {
            return turned_away(&error);
        }
        if let Some(why) = self.refuses(request.headers()) {
            return turned_away(&ApiError::new(ErrorCode::AccessDeniedException, why));
        }
        if let Some(operation) = logs::asked(request.headers()) {
            return Box::pin(self.logs(connection, &operation, request.map(Intake::Arriving))).await;
        }
        let (path, query) = (request.uri().path(), request.uri().query());
        if path.starts_with(location::PREFIX) && request.method() == http::Method::GET {
            return Box::pin(self.download(path, query)).await;
        }
        let found = match router::find(request.method().as_str(), path, query.unwrap_or_default()) {
            Ok(found) => found,
            Err(error) => return turned_away(&error.into()),
        };
        let row = found.row;
        let request = request.map(Intake::Arriving);
        let admitted = match &self.identity {
            Identity::Anyone | Identity::Local(_) => {
                Ok((request, Asker { caller: Cow::Borrowed(&self.owner), connection }))
            }
            Identity::Signed(verifier) => Box::pin(self.admit(verifier, connection, &found, request)).await,
        };
        let response = match admitted {
            Err(error) => turned_away(&error),
            Ok((request, _)) if row.operation == Operation::Invoke => {
                invoke::handle(&self.shared, &found.labels, request, id).await
            }
            Ok((request, asker)) => match Box::pin(self.answer(row, &found.labels, request, &asker)).await {
                Ok(reply) => reply_response(reply, &id.to_string()),
                Err(error) => error_response(&error, &id.to_string()),
            },
        };
        self.shared.metrics.operation(row, response.status());
        response
    }

    /// A request for an operation of CloudWatch Logs, which has rows and errors of its own.
    async fn logs(
        &self,
        connection: &Connection,
        operation: &str,
        request: Request<Intake>,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let proven = match &self.identity {
            Identity::Anyone | Identity::Local(_) => Ok((Cow::Borrowed(&self.owner), body)),
            Identity::Signed(verifier) => {
                let refusal = |error| body_error(error, logs::REQUEST_MAX, operation);
                let proven = verifier.prove(("logs", &parts), body, logs::REQUEST_MAX, refusal).await;
                proven.map(|(caller, body)| (Cow::Owned(caller), Intake::Here(body)))
            }
        };
        let (caller, body) = match proven {
            Ok(proven) => proven,
            Err(error) => return logs::refused(&error),
        };
        let region = &self.shared.functions.home().region;
        let agent = header(&parts.headers, USER_AGENT.as_str());
        let circumstances = Circumstances { region, connection, agent, url: None };
        let may = |permission: &Permission| authorise(&caller, permission, None, &circumstances);
        logs::handle(&self.shared, operation, body, &may).await
    }

    /// Proves whose a request is; an invocation is allowed or not at once, before anything is said about its function.
    async fn admit<'a>(
        &'a self,
        verifier: &'a Verifier,
        connection: &'a Connection,
        found: &router::Match,
        request: Request<Intake>,
    ) -> Result<(Request<Intake>, Asker<'a>), ApiError> {
        let row = found.row;
        let (parts, body) = request.into_parts();
        let (limit, name) = match row.operation {
            Operation::Invoke => (invoke::PAYLOAD_MAX, "InvokeFunction"),
            _ => (body_limit(row), row.name),
        };
        let refusal = |error| body_error(error, limit, name);
        if body.announced() > (limit + limit / 8 + 4096) as u64 {
            return Err(refusal(BodyError::TooLarge));
        }
        let (caller, body) = verifier.prove(("lambda", &parts), body, limit, refusal).await?;
        let asker = Asker { caller: Cow::Owned(caller), connection };
        if row.operation == Operation::Invoke {
            let input = {
                let headers = |name: &str| header(&parts.headers, name);
                let query = parts.uri.query().unwrap_or_default();
                codec::decode_head(row, &Head { labels: &found.labels, query, headers: &headers })?
            };
            self.authorise(&asker, row, &input, &parts).await?;
        }
        Ok((Request::from_parts(parts, Intake::Here(body)), asker))
    }

    async fn authorise(
        &self,
        asker: &Asker<'_>,
        row: &Row,
        input: &serde_json::Value,
        parts: &http::request::Parts,
    ) -> Result<(), ApiError> {
        if asker.caller.kind == Kind::Owner {
            // Nothing to ask, so that nothing needs to be named.
            return Ok(());
        }
        let home = self.shared.functions.home();
        let agent = header(&parts.headers, USER_AGENT.as_str());
        let circumstances =
            Circumstances { region: &home.region, connection: asker.connection, agent, url: None };
        let permission = Permission::of(row.operation, home, input)?;
        let standing = Standing::of_resource(&self.shared.functions, &permission.resource).await?;
        let policy = standing.decided_by_for(row.operation);
        for permission in self.of_mapping(permission, row.operation, input).await? {
            authorise(&asker.caller, &permission, policy.as_ref(), &circumstances)?;
        }
        // Policies of layers let other accounts in; for this one they say nothing.
        let mut beside = Permission::beside(row.operation, home, input).into_iter();
        beside.try_for_each(|permission| authorise(&asker.caller, &permission, None, &circumstances))
    }

    /// Whether this daemon asks nobody who they are.
    pub(crate) fn tells_everyone(&self) -> bool {
        matches!(self.identity, Identity::Anyone)
    }

    /// Why requests with these headers are refused on any of the daemon's addresses. No web page can sign.
    pub(crate) fn refuses(&self, headers: &HeaderMap) -> Option<&'static str> {
        if matches!(self.identity, Identity::Signed(_)) {
            return None;
        }
        let key = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(credentials::access_key);
        if key.is_some_and(|key| self.shared.keys.holder(key).is_some()) {
            return Some(
                "credentials of a function are not accepted here; functions use AWS_ENDPOINT_URL_LAMBDA",
            );
        }
        self.guard.refuses(headers)
    }

    async fn answer(
        &self,
        row: &'static Row,
        labels: &router::Labels,
        request: Request<Intake>,
        asker: &Asker<'_>,
    ) -> Result<Reply, ApiError> {
        let (parts, body) = request.into_parts();
        let limit = body_limit(row);
        // First, whatever is said about it: a connection with a body that nobody read could not be used again.
        let body = body.read(limit).await.map_err(|error| body_error(error, limit, row.name))?;
        if !row.is_built() {
            return Err(ApiError::not_built(row.operation));
        }
        let input = {
            let headers = |name: &str| header(&parts.headers, name);
            let head = Head { labels, query: parts.uri.query().unwrap_or_default(), headers: &headers };
            codec::decode(row, &head, &body)?
        };
        drop(body);
        self.authorise(asker, row, &input, &parts).await?;
        let environment = input.pointer("/Environment/Variables").map(serde_json::Value::to_string);
        // Its `Host` was looked at by the guard, or signed. Who comes through a file of this machine names none.
        let host = asker.connection.source.and(header(&parts.headers, HOST.as_str()));
        let endpoint = host.and_then(|host| location::endpoint(host, asker.connection.tls.is_some()));
        let endpoint = endpoint.unwrap_or_else(|| self.base.clone());
        dispatch(self, Context { environment, endpoint }, row.operation, input).await
    }

    async fn download(&self, path: &str, query: Option<&str>) -> Response<Body> {
        let xml = |status: StatusCode, code: &str, text: &str| {
            let body = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{text}</Message></Error>"
            );
            let mut response = Response::new(full(body));
            *response.status_mut() = status;
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
            response
        };
        let digest = match self.signer.check(path, query) {
            Ok(digest) => digest,
            Err(Refused::Signature) => {
                return xml(
                    StatusCode::FORBIDDEN,
                    "SignatureDoesNotMatch",
                    "The address was not signed by this endpoint.",
                );
            }
            Err(Refused::Expired) => {
                return xml(StatusCode::FORBIDDEN, "AccessDenied", "Request has expired");
            }
        };
        let blobs = self.blobs.clone();
        match tokio::task::spawn_blocking(move || blobs.open(&digest)).await {
            Ok(Ok(stored)) => {
                let mut response = Response::new(file::body(stored.file, stored.size));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
                response
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "a code download failed");
                xml(
                    StatusCode::NOT_FOUND,
                    "NoSuchKey",
                    "The package is gone: the function was updated or deleted.",
                )
            }
            Err(_) => {
                xml(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "The package could not be read.")
            }
        }
    }

    /// The function that a request names, qualifier included.
    fn target(&self, name: Option<&str>, qualifier: Option<&str>) -> Result<Target, ApiError> {
        Target::parse(&self.shared.functions, name.unwrap_or_default(), qualifier)
    }

    /// The function that an update names. A qualifier other than `$LATEST` names something that cannot be updated.
    fn unqualified(&self, name: Option<&str>) -> Result<Target, ApiError> {
        let target = self.target(name, None)?;
        match target.qualifier.as_deref() {
            None => Ok(target),
            Some("$LATEST") => Ok(Target { name: target.name, qualifier: None }),
            Some(_) => Err(target.not_found(&self.shared.functions)),
        }
    }

    /// The function that an operation on functions as a whole names.
    fn whole_function(&self, name: Option<&str>) -> Result<Target, ApiError> {
        let target = self.target(name, None)?;
        if target.qualifier.is_none() {
            return Ok(target);
        }
        Err(ApiError::invalid_parameter(
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN.",
        ))
    }

    /// An error of this daemon's own making: the client gets an id, the log the reason.
    pub(super) fn internal(&self, error: impl std::fmt::Display) -> ApiError {
        ApiError::internal(&random::uuid(), error.to_string())
    }
}

/// A body that was not read, as the client hears of it.
pub(super) fn body_error(error: BodyError, limit: usize, operation: &str) -> ApiError {
    match error {
        BodyError::TooLarge => ApiError::new(
            ErrorCode::RequestEntityTooLargeException,
            format!("Request must be smaller than {limit} bytes for the {operation} operation"),
        ),
        BodyError::TooSlow => ApiError::new(
            ErrorCode::InvalidRequestContentException,
            "The request body did not arrive in time.",
        ),
        BodyError::OverBudget => ApiError::too_many_requests(
            "The payloads of the calls under way, with this one, are larger than one environment may send at a time.",
            "CallerRateLimitExceeded",
            Some(1),
        ),
        BodyError::Broken => ApiError::new(
            ErrorCode::InvalidRequestContentException,
            "The request body ended before its announced end.",
        ),
    }
}

/// An answer with the headers that every answer has.
pub(super) fn reply_response(reply: Reply, request_id: &str) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    for (name, value) in &reply.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, value);
    }
    *response.body_mut() = full(reply.body.into_bytes());
    response
}

/// Says that the connection ends here where a body was left unread on it: the client must not use it again.
fn closing(mut response: Response<Body>, unread: bool) -> Response<Body> {
    if unread {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// An error as an answer; logs what only the operator may read.
pub(super) fn error_response(error: &ApiError, request_id: &str) -> Response<Body> {
    if error.status() == 500 && !error.is_expected() {
        tracing::error!(code = %error.code(), request_id, detail = error.log_text(), "request failed");
    }
    // What is too large is not read to its end.
    closing(reply_response(error.to_reply(), request_id), error.status() == 413)
}
