//! `StartLiveTail`: what is logged to some groups, as it is logged, as a stream of events within one answer.
//!
//! Each session reads the files on from where it was, once a second; the writer knows nothing of it. What a second has
//! beyond its share is left out, and the update says so (`sampled`), as the service does.

use super::events::filter_pattern;
use super::input::{Charset, Input, group_of};
use super::pattern::Pattern;
use super::{Desk, Fault, blocking};
use crate::daemon::logs::{Cursor, LogEvent, Logs, Streams};
use crate::daemon::random;
use crate::http::admin::Channel;
use crate::http::server::{Body, arriving};
use bytes::Bytes;
use hearth_api::eventstream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// Sessions at once, as the service has them per account.
const SESSIONS_MAX: usize = 15;
static SESSIONS: Semaphore = Semaphore::const_new(SESSIONS_MAX);
const GROUPS_MAX: usize = 10;
const STREAMS_MAX: usize = 100;
/// A session looks for new events this often, and ends after so many looks: three hours.
const PERIOD: Duration = Duration::from_secs(1);
const UPDATES_MAX: u32 = 3 * 60 * 60;
/// Events of one update.
const EVENTS_MAX: usize = 500;
/// Bytes of messages of one update, and bytes of one group's files that are read for it.
const BYTES_MAX: usize = 1 << 20;
const SCAN_MAX: u64 = 8 << 20;
/// A client that takes nothing for so long is gone.
const STALL_MAX: Duration = Duration::from_secs(60);
/// Messages that wait for a client.
const QUEUE_MAX: usize = 4;

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("application/vnd.amazon.eventstream");
const JSON: &str = "application/json";

/// What a session watches.
struct Session {
    groups: Vec<(String, Cursor)>,
    streams: Streams,
    pattern: Option<Pattern>,
    logs: Logs,
    account: String,
}

/// Answers `StartLiveTail`: refuses, or begins a stream.
pub(super) async fn start(desk: Desk, mut input: Input, request_id: &str) -> Result<Response<Body>, Fault> {
    let seat = SESSIONS.try_acquire().map_err(|_| {
        Fault::new("LimitExceededException", format!("There are {SESSIONS_MAX} Live Tail sessions already."))
    })?;
    let request_id = request_id.to_owned();
    let (session, begin) = blocking(move || open(desk, &mut input, &request_id)).await?;
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    tokio::spawn(async move {
        run(session, begin, sender).await;
        drop(seat);
    });
    let mut response = Response::new(arriving(Channel(receiver)));
    response.headers_mut().insert(CONTENT_TYPE, EVENT_STREAM);
    Ok(response)
}

/// The session that a request asks for, and what its first event says.
fn open(desk: Desk, input: &mut Input, request_id: &str) -> Result<(Session, Value), Fault> {
    let identifiers = input.texts("logGroupIdentifiers", GROUPS_MAX, Charset::Any)?;
    let names = input.texts("logStreamNames", STREAMS_MAX, Charset::Stream)?;
    let prefixes = input.texts("logStreamNamePrefixes", STREAMS_MAX, Charset::Stream)?;
    let pattern_text = input.peek_text("logEventFilterPattern");
    let pattern = filter_pattern(input, "logEventFilterPattern")?;
    if identifiers.is_none() {
        input.missing("logGroupIdentifiers");
    }
    input.settle()?;
    let identifiers = identifiers.unwrap_or_default();
    if names.is_some() && prefixes.is_some() {
        let text = "logStreamNames and logStreamNamePrefixes are mutually exclusive parameters.";
        return Err(Fault::invalid(text));
    }
    if identifiers.len() > 1 && (names.is_some() || prefixes.is_some()) {
        return Err(Fault::invalid("Streams can be chosen in one log group only."));
    }
    let mut groups = Vec::new();
    for identifier in &identifiers {
        let name = group_of(&desk.home, identifier)?;
        desk.logs.group(&name)?.ok_or_else(Fault::no_group)?;
        let cursor = desk.logs.end(&name)?;
        groups.push((name, cursor));
    }
    let begin = json!({
        "requestId": request_id,
        "sessionId": random::uuid(),
        "logGroupIdentifiers": identifiers,
        "logStreamNames": names.clone().unwrap_or_default(),
        "logStreamNamePrefixes": prefixes.clone().unwrap_or_default(),
        "logEventFilterPattern": pattern_text,
    });
    let streams = match (names, prefixes) {
        (Some(names), _) => Streams::Named(names.into_iter().collect()),
        (None, Some(prefixes)) => Streams::PrefixedByAny(prefixes),
        (None, None) => Streams::All,
    };
    Ok((Session { groups, streams, pattern, logs: desk.logs, account: desk.home.account }, begin))
}

/// Sends updates until the client leaves or the time is up.
async fn run(mut session: Session, begin: Value, sender: mpsc::Sender<Bytes>) {
    // Clients of this protocol wait for an answer to the call itself before they look at the stream.
    let first = [
        eventstream::event("initial-response", "application/x-amz-json-1.1", b"{}"),
        eventstream::event("sessionStart", JSON, begin.to_string().as_bytes()),
    ];
    if send(&sender, first.concat()).await.is_none() {
        return;
    }
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for _ in 0..UPDATES_MAX {
        ticks.tick().await;
        if sender.is_closed() {
            return;
        }
        let looked = blocking(move || session.look().map(|update| (session, update))).await;
        let Ok((next, update)) = looked else {
            return end(&sender, "SessionStreamingException", "The logs could not be read.").await;
        };
        session = next;
        let update = eventstream::event("sessionUpdate", JSON, update.to_string().as_bytes());
        if send(&sender, update).await.is_none() {
            return;
        }
    }
    end(&sender, "SessionTimeoutException", "The session has lasted three hours.").await;
}

async fn end(sender: &mpsc::Sender<Bytes>, kind: &str, text: &str) {
    let payload = json!({ "message": text }).to_string();
    // Whoever is not there any more needs no reason.
    send(sender, eventstream::exception(kind, JSON, payload.as_bytes())).await;
}

/// Hands a message to the client; `None` if it is gone.
async fn send(sender: &mpsc::Sender<Bytes>, message: Vec<u8>) -> Option<()> {
    tokio::time::timeout(STALL_MAX, sender.send(message.into())).await.ok()?.ok()
}

impl Session {
    /// What was logged since the last look. Blocks.
    fn look(&mut self) -> Result<Value, Fault> {
        let (mut results, mut bytes, mut sampled) = (Vec::new(), 0, false);
        for (group, cursor) in &mut self.groups {
            let (events, next) = self.logs.after(group, *cursor, SCAN_MAX)?;
            *cursor = next;
            for event in events {
                let wanted = self.streams.contain(&event.stream)
                    && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(&event.message));
                if !wanted {
                    continue;
                }
                bytes += event.message.len();
                if results.len() >= EVENTS_MAX || bytes > BYTES_MAX && !results.is_empty() {
                    sampled = true;
                    break;
                }
                results.push(told(&self.account, group, &event));
            }
        }
        Ok(json!({ "sessionMetadata": { "sampled": sampled }, "sessionResults": results }))
    }
}

fn told(account: &str, group: &str, event: &LogEvent) -> Value {
    json!({
        "logStreamName": &*event.stream,
        "logGroupIdentifier": format!("{account}:{group}"),
        "message": event.message,
        "timestamp": event.timestamp,
        "ingestionTime": event.ingested.unwrap_or(event.timestamp),
    })
}
