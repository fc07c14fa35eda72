//! Administration: health and metrics on an address; logs, host report, decisions and root trees on the socket in the
//! state directory.
//!
//! Whoever reaches the address may know whether the daemon is well. Metrics name functions: unless nobody is asked for
//! anything here, they are for this machine only, like the socket, which its mode protects.

use super::control::Control;
use super::insight;
use super::roots;
use super::server::{Body, Peer, arriving, full};
use crate::daemon::concurrency::Provisioned;
use crate::daemon::invoke::Shared;
use crate::daemon::logs::LogEvent;
use crate::daemon::metrics::InFlight;
use bytes::Bytes;
use hearth_logic::{FunctionId, ProvisionedId, Scheduler, WallTime};
use http::{Method, Request, Response, StatusCode};
use hyper::body::{Frame, Incoming};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// Log events that one answer carries at most.
const EVENTS_MAX: usize = 10_000;
const EVENTS_DEFAULT: usize = 200;
/// How often a follower looks for new events.
const FOLLOW_PAUSE: Duration = Duration::from_millis(250);

/// Whether the daemon takes work; false while it drains.
#[derive(Clone, Default)]
pub(crate) struct Health(Arc<AtomicBool>);

impl Health {
    /// Sets it.
    pub(crate) fn set(&self, healthy: bool) {
        self.0.store(healthy, Ordering::Relaxed);
    }
}

pub(super) fn text(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}

pub(super) const PLAIN: &str = "text/plain; charset=utf-8";
pub(super) const JSON: &str = "application/json";

/// `/healthz` and `/metrics`.
pub(crate) async fn public(
    control: &Control,
    health: &Health,
    peer: Peer,
    request: Request<Incoming>,
) -> Response<Body> {
    if let Some(why) = control.refuses(request.headers()) {
        return text(StatusCode::FORBIDDEN, PLAIN, format!("{why}\n"));
    }
    let shared = &control.shared;
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/healthz") if health.0.load(Ordering::Relaxed) => {
            text(StatusCode::OK, PLAIN, "ok\n")
        }
        (&Method::GET | &Method::HEAD, "/healthz") => {
            text(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "draining\n")
        }
        (&Method::GET, "/metrics") if !control.tells_everyone() && !is_local(peer) => {
            let why =
                "metrics are for callers on this machine, at its loopback address, unless auth = \"none\"\n";
            text(StatusCode::FORBIDDEN, PLAIN, why)
        }
        (&Method::GET, "/metrics") => {
            let dropped = shared.logs.dropped().saturating_sub(shared.metrics.log_events_dropped.get());
            shared.metrics.log_events_dropped.inc_by(dropped);
            read_concurrency(shared).await;
            text(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", shared.metrics.render())
        }
        _ => text(StatusCode::NOT_FOUND, PLAIN, "this address serves /healthz and /metrics\n"),
    }
}

/// Brings the series up to date that only the scheduler knows.
pub(crate) async fn read_concurrency(shared: &Shared) {
    let names = shared.functions.provisions();
    let read = move |machine: &Scheduler| {
        let of = |(function, qualifier, id): (String, String, ProvisionedId)| {
            let state = machine.provisioned(id)?;
            let (allocated, serving, running) = (state.allocated, state.serving, state.running);
            Some(Provisioned { function, qualifier, allocated, serving, running })
        };
        let provisioned: Vec<Provisioned> = names.into_iter().filter_map(of).collect();
        let admission = machine.admission();
        let running = admission.functions().map(|function| (function, admission.running_of(function)));
        let functions: BTreeMap<FunctionId, u32> = running.filter(|(_, running)| *running > 0).collect();
        (admission.running(), admission.running_without_reservation(), functions, provisioned)
    };
    if let Some((all, unreserved, functions, provisioned)) = shared.scheduler.look(read).await {
        shared.metrics.concurrency.read(&provisioned);
        let functions = shared.functions.named(&functions);
        shared.metrics.in_flight(&InFlight { all, unreserved, functions });
    }
}

fn is_local(peer: Peer) -> bool {
    peer.remote.is_some_and(|address| address.ip().to_canonical().is_loopback())
}

/// What the socket serves: `GET /logs?group=…&since_ms=…&limit=…&follow=1`, `GET /doctor`, `GET /why?…`, `GET /top?…`,
/// `GET` and `PUT` `/rootfs/<hash>`.
pub(crate) async fn private(control: Arc<Control>, request: Request<Incoming>) -> Response<Body> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/logs") => {
            logs(Arc::clone(&control.shared), request.uri().query().unwrap_or_default()).await
        }
        (&Method::GET, "/doctor") => text(StatusCode::OK, JSON, control.report().to_string()),
        (&Method::GET, "/why") => insight::why(&control.shared, request.uri().query()).await,
        (&Method::GET, "/top") => insight::top(&control.shared, request.uri().query()).await,
        (_, path) if path.starts_with(roots::PREFIX) => roots::handle(control, request).await,
        _ => text(
            StatusCode::NOT_FOUND,
            PLAIN,
            "the admin socket serves /logs, /doctor, /why, /top and /rootfs\n",
        ),
    }
}

async fn logs(shared: Arc<Shared>, query: &str) -> Response<Body> {
    let value = |name: &str| {
        let raw = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        percent_encoding::percent_decode_str(raw).decode_utf8().ok().map(std::borrow::Cow::into_owned)
    };
    let Some(group) = value("group") else {
        return text(StatusCode::BAD_REQUEST, PLAIN, "`group` is missing\n");
    };
    let since = value("since_ms").and_then(|text| text.parse().ok()).unwrap_or(0);
    let limit = value("limit").and_then(|text| text.parse().ok()).unwrap_or(EVENTS_DEFAULT).min(EVENTS_MAX);
    let follow = value("follow").is_some_and(|flag| flag == "1");
    let (sender, receiver) = mpsc::channel::<Bytes>(4);
    tokio::spawn(async move {
        let mut seen = Seen { since, at_since: Vec::new() };
        let mut limit = limit;
        loop {
            let (reader, from, group) =
                (shared.logs.clone(), WallTime::from_millis(seen.since), group.clone());
            let read = tokio::task::spawn_blocking(move || reader.read(&group, from, limit)).await;
            let Ok(Ok(events)) = read else { return };
            let mut lines = Vec::new();
            for event in seen.fresh(events) {
                if serde_json::to_writer(&mut lines, &event).is_err() {
                    return;
                }
                lines.push(b'\n');
            }
            if !lines.is_empty() && sender.send(lines.into()).await.is_err() {
                return;
            }
            if !follow || sender.is_closed() {
                return;
            }
            limit = EVENTS_MAX;
            tokio::time::sleep(FOLLOW_PAUSE).await;
        }
    });
    let mut response = Response::new(arriving(Channel(receiver)));
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/x-ndjson"));
    response
}

/// Remembers how far a follower has read: events of the last millisecond come again and are told apart.
struct Seen {
    since: u64,
    at_since: Vec<LogEvent>,
}

impl Seen {
    fn fresh(&mut self, events: Vec<LogEvent>) -> Vec<LogEvent> {
        let mut known = std::mem::take(&mut self.at_since);
        let fresh: Vec<LogEvent> = events
            .into_iter()
            .filter(|event| match known.iter().position(|old| old == event) {
                Some(at) => {
                    let old = known.remove(at);
                    self.at_since.push(old);
                    false
                }
                None => true,
            })
            .collect();
        if let Some(last) = fresh.last().map(|event| event.timestamp) {
            if last > self.since {
                self.at_since.clear();
            }
            self.since = last;
            self.at_since.extend(fresh.iter().filter(|event| event.timestamp == last).cloned());
        }
        fresh
    }
}

/// A body that ends when its sender does.
pub(super) struct Channel(pub(super) mpsc::Receiver<Bytes>);

impl hyper::body::Body for Channel {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
