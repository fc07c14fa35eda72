//! A subset of the CloudWatch Logs API over the logs that exist: JSON 1.1, told from Lambda's API by `X-Amz-Target`.
//!
//! `groups` and `events` hold the operations, `live` the stream of `StartLiveTail`, `pattern` the language of filters,
//! `input` the checks of members. Reading files blocks, so operations run beside the asynchronous threads, few at a time.
//! Not here: metric filters, subscriptions, Insights; and no ingestion limits, since it is the operator's own disk.

mod events;
mod groups;
mod input;
mod live;
mod pattern;

use super::server::{Body, BodyError, Intake, full};
use crate::daemon::invoke::Shared;
use crate::daemon::logs::Logs;
use crate::daemon::random;
use hearth_api::arn::Home;
use hearth_api::error::ApiError;
use hearth_api::permission::Permission;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use input::Input;
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use tokio::sync::Semaphore;

const TARGET: &str = "x-amz-target";
const PREFIX: &str = "Logs_20140328.";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");
/// Bytes of a request: 1 MiB of events, and what JSON may make of them.
pub(super) const REQUEST_MAX: usize = 8 << 20;
/// Larger requests wait for one of the few places in which documents are made of them.
const READ_AT_ONCE: usize = 64 << 10;
/// Operations at once: each may read tens of MiB and hold a page of 1 MiB.
static AT_ONCE: Semaphore = Semaphore::const_new(4);

/// What an operation that was refused answers: `__type`, text and status.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    kind: &'static str,
    text: String,
    status: StatusCode,
}

impl Fault {
    fn new(kind: &'static str, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), status: StatusCode::BAD_REQUEST }
    }

    fn invalid(text: impl Into<String>) -> Self {
        Self::new("InvalidParameterException", text)
    }

    fn no_group() -> Self {
        Self::new("ResourceNotFoundException", "The specified log group does not exist.")
    }

    fn no_stream() -> Self {
        Self::new("ResourceNotFoundException", "The specified log stream does not exist.")
    }

    /// The client learns an id, the operator the reason.
    fn internal(error: &dyn std::error::Error) -> Self {
        let id = random::uuid();
        tracing::error!(%error, request_id = %id, "a logs request failed");
        let text = format!("The logs could not be read or written. Error id: {id}");
        Self { kind: "ServiceUnavailableException", text, status: StatusCode::INTERNAL_SERVER_ERROR }
    }

    fn into_response(self) -> Response<Body> {
        let body = json!({ "__type": self.kind, "message": self.text });
        let mut response = Response::new(full(body.to_string()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        response
    }
}

impl From<&ApiError> for Fault {
    fn from(error: &ApiError) -> Self {
        let fault = Self::new(error.code().name(), error.message().unwrap_or_default());
        // Services that speak JSON alone answer 400 where Lambda answers 403.
        match StatusCode::from_u16(error.status()) {
            Ok(status) if status != StatusCode::FORBIDDEN => Self { status, ..fault },
            Ok(_) | Err(_) => fault,
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::internal(&error)
    }
}

/// What the operations work on.
struct Desk {
    logs: Logs,
    home: Home,
}

type Answer = Result<Value, Fault>;

/// How an operation answers.
#[derive(Clone, Copy)]
enum Perform {
    /// With a document: reads its members, answers or refuses. May block.
    Document(fn(&Desk, &mut Input) -> Answer),
    /// With a stream of events.
    LiveTail,
}
use Perform::Document;

/// The operations, and what they are called in policies and metrics.
const OPERATIONS: [(&str, &str, Perform); 17] = [
    ("CreateLogGroup", "logs:CreateLogGroup", Document(groups::create)),
    ("DeleteLogGroup", "logs:DeleteLogGroup", Document(groups::delete)),
    ("DescribeLogGroups", "logs:DescribeLogGroups", Document(groups::describe)),
    ("PutRetentionPolicy", "logs:PutRetentionPolicy", Document(groups::put_retention)),
    ("DeleteRetentionPolicy", "logs:DeleteRetentionPolicy", Document(groups::delete_retention)),
    ("TagResource", "logs:TagResource", Document(groups::tag_resource)),
    ("UntagResource", "logs:UntagResource", Document(groups::untag_resource)),
    ("ListTagsForResource", "logs:ListTagsForResource", Document(groups::list_tags_for_resource)),
    ("TagLogGroup", "logs:TagLogGroup", Document(groups::tag_group)),
    ("UntagLogGroup", "logs:UntagLogGroup", Document(groups::untag_group)),
    ("ListTagsLogGroup", "logs:ListTagsLogGroup", Document(groups::list_tags_of_group)),
    ("CreateLogStream", "logs:CreateLogStream", Document(groups::create_stream)),
    ("DescribeLogStreams", "logs:DescribeLogStreams", Document(groups::describe_streams)),
    ("GetLogEvents", "logs:GetLogEvents", Document(events::get)),
    ("FilterLogEvents", "logs:FilterLogEvents", Document(events::filter)),
    ("PutLogEvents", "logs:PutLogEvents", Document(events::put)),
    ("StartLiveTail", "logs:StartLiveTail", Perform::LiveTail),
];

/// The operation of this API that a request with these headers asks for, if it does.
pub(crate) fn asked(headers: &HeaderMap) -> Option<String> {
    headers.get(TARGET)?.to_str().ok()?.strip_prefix(PREFIX).map(str::to_owned)
}

/// Whether who asks may do something.
pub(super) type May<'a> = &'a (dyn Fn(&Permission) -> Result<(), ApiError> + Sync);

/// What a request is answered that was not let in.
pub(super) fn refused(error: &ApiError) -> Response<Body> {
    Fault::from(error).into_response()
}

/// Answers a request for one of this API's operations.
pub(super) async fn handle(
    shared: &Arc<Shared>,
    operation: &str,
    body: Intake,
    may: May<'_>,
) -> Response<Body> {
    let row = OPERATIONS.iter().find(|(name, ..)| *name == operation);
    let request_id = random::uuid();
    let answered = match row {
        None => Err(Fault::new(
            "UnknownOperationException",
            format!("Hearth does not have the operation {operation} of CloudWatch Logs."),
        )),
        Some((_, action, perform)) => answer(shared, (action, may), *perform, body, &request_id).await,
    };
    let mut response = answered.unwrap_or_else(Fault::into_response);
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let label = row.map_or("logs:unknown", |(_, label, _)| label);
    shared.metrics.request(label, response.status());
    response
}

async fn read(body: Intake) -> Result<Input, Fault> {
    let body = body.read(REQUEST_MAX).await.map_err(|error| match error {
        BodyError::TooLarge => Fault {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            ..Fault::new(
                "RequestEntityTooLargeException",
                format!("A request has at most {REQUEST_MAX} bytes."),
            )
        },
        BodyError::TooSlow | BodyError::OverBudget | BodyError::Broken => {
            Fault::new("SerializationException", "The request body did not arrive as a whole.")
        }
    })?;
    if body.len() <= READ_AT_ONCE {
        return Input::read(&body);
    }
    blocking(move || Input::read(&body)).await
}

async fn answer(
    shared: &Arc<Shared>,
    (action, may): (&str, May<'_>),
    perform: Perform,
    body: Intake,
    request_id: &str,
) -> Result<Response<Body>, Fault> {
    let mut input = read(body).await?;
    let desk = Desk { logs: shared.logs.clone(), home: shared.functions.home().clone() };
    for resource in resources(input.groups(&desk.home)) {
        may(&Permission::new(action, resource)).map_err(|error| Fault::from(&error))?;
    }
    let perform = match perform {
        Document(perform) => perform,
        Perform::LiveTail => return live::start(desk, input, request_id).await,
    };
    let answer = blocking(move || perform(&desk, &mut input)).await?;
    let mut response = Response::new(full(if answer.is_null() { String::new() } else { answer.to_string() }));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    Ok(response)
}

/// What a policy must allow: each group that is named, in the form that IAM gives groups, or `*` where none is.
fn resources(groups: Vec<String>) -> Vec<String> {
    if groups.is_empty() {
        return vec!["*".to_owned()];
    }
    groups.into_iter().map(|group| format!("{}:*", group.trim_end_matches(":*"))).collect()
}

/// Does something that reads files, beside the asynchronous threads and few at a time.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let permit = AT_ONCE.acquire().await.map_err(|error| Fault::internal(&error))?;
    let done = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(permit);
        done
    });
    done.await.map_err(|error| Fault::internal(&error))?
}
