//! The Runtime API's HTTP server for one environment.
//!
//! It turns requests into calls for the environment's owner and the owner's replies into answers; a parked `next` is
//! simply a call without a reply yet. It exists apart from the lifecycle so that only this file knows HTTP. It decides
//! nothing: what does not need the environment's state (unknown paths, `ping`) is answered from `call.rs`.
//!
//! The processes it serves are hostile until proven otherwise: connections, headers, bodies and what is drained are
//! bounded by [`Limits`]; a slow client holds only its own connection.

use crate::call::{self, Call};
use crate::exchange::{Body, Event, Request};
use crate::intake;
pub use crate::intake::{Budget, Share};
use crate::joined::Joined;
use crate::reply::{Complaint, Reply};
use crate::{CallId, RESPONSE_LIMIT};
use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, EXPECT, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

/// What one environment may take of the daemon.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections; a further one is closed at once. All but the first take a place in the pool, too.
    pub connections: usize,
    /// Bytes of request line and headers, which are 100 lines at most. X-Ray causes have up to 64 KiB.
    pub header_bytes: usize,
    /// Bytes of one body.
    pub body_bytes: usize,
    /// Bytes that all bodies being received through one listener hold together.
    pub bodies_bytes: usize,
    /// Bytes of a refused body that are read and forgotten before its connection is closed.
    pub drain_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            header_bytes: 128 * 1024,
            body_bytes: RESPONSE_LIMIT,
            bodies_bytes: 4 * RESPONSE_LIMIT,
            drain_bytes: 64 * 1_048_576,
        }
    }
}

/// A bound listener, inside the sandbox's network namespace or beside it.
#[derive(Debug)]
pub enum Listener {
    /// `127.0.0.1:9001` of the sandbox.
    Tcp(TcpListener),
    /// The socket for our own runtime clients.
    Unix(UnixListener),
}

/// A call on its way to the environment's owner, which keeps it at its [`Desk`].
#[derive(Debug)]
pub struct Arrival {
    what: Request,
    reply: oneshot::Sender<Reply>,
}

/// Where the environment's owner keeps the calls that wait for an answer.
///
/// It holds at most one entry for each connection, and those that the lifecycle has not answered yet.
#[derive(Debug, Default)]
pub struct Desk {
    last: u64,
    waiting: BTreeMap<CallId, oneshot::Sender<Reply>>,
}

impl Desk {
    /// Gives the call an id and makes the lifecycle's event of it.
    pub fn accept(&mut self, arrival: Arrival) -> Event {
        self.last += 1;
        let call = CallId(self.last);
        self.waiting.insert(call, arrival.reply);
        Event::Call { call, what: arrival.what }
    }

    /// Answers a call.
    ///
    /// # Errors
    /// The reply, if the caller has left or the call is not waiting. The lifecycle is to be told with
    /// [`Event::Refused`].
    pub fn answer(&mut self, call: CallId, reply: Reply) -> Result<(), Reply> {
        match self.waiting.remove(&call) {
            Some(caller) => caller.send(reply),
            None => Err(reply),
        }
    }
}

/// Serves the Runtime API on a listener until the receiver of `calls` is dropped; then all connections are closed.
///
/// The first connection is always served; each further one at the same time takes one of `pool`, which many environments
/// may share, and is closed at once if there is none.
///
/// Dropping the future closes them too. Two listeners of one environment may share `calls`, which may carry whatever
/// else the owner listens to.
///
/// # Errors
/// When the listener itself fails. Failures of single connections are nobody's concern, and a want of descriptors is
/// waited out.
pub async fn serve<M>(
    listener: Listener,
    calls: mpsc::Sender<M>,
    limits: Limits,
    pool: Arc<Semaphore>,
) -> io::Result<()>
where
    M: From<Arrival> + Send + 'static,
{
    let door = Door { calls, budget: Budget::new(limits.bodies_bytes), limits };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = accept(&listener) => match accepted {
                Ok(stream) => {
                    if let Some(place) = place(connections.len(), limits.connections, &pool) {
                        connections.spawn(door.clone().admit(stream, place));
                    }
                }
                Err(error) => wait_out(error).await?,
            },
            Some(_) = connections.join_next() => {}
            () = door.calls.closed() => return Ok(()),
        }
    }
}

/// What a connection holds of the pool while it is open; none for the first. `None` if there is no room for it.
fn place(open: usize, most: usize, pool: &Arc<Semaphore>) -> Option<Option<OwnedSemaphorePermit>> {
    match open {
        0 => Some(None),
        _ if open >= most => None,
        _ => Arc::clone(pool).try_acquire_owned().ok().map(Some),
    }
}

enum Stream {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

async fn accept(listener: &Listener) -> io::Result<Stream> {
    match listener {
        Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| Stream::Tcp(stream)),
        Listener::Unix(listener) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
    }
}

/// Waits a moment if the error is about a connection or about resources, which come back; else returns it.
async fn wait_out(error: io::Error) -> io::Result<()> {
    const PAUSE: Duration = Duration::from_millis(20);
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    const ENOBUFS: i32 = 105;
    const ENOMEM: i32 = 12;
    let passing = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    );
    if passing {
        return Ok(());
    }
    match error.raw_os_error() {
        Some(EMFILE | ENFILE | ENOBUFS | ENOMEM) => {
            tokio::time::sleep(PAUSE).await;
            Ok(())
        }
        Some(_) | None => Err(error),
    }
}

/// The connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the call was dropped")]
struct Dropped;

/// What is kept of a request.
struct Taken {
    call: Result<Call, Complaint>,
    /// The client asked before it sends the body.
    announced_only: bool,
    body: Incoming,
}

impl From<http::Request<Incoming>> for Taken {
    fn from(request: http::Request<Incoming>) -> Self {
        let (head, body) = request.into_parts();
        let call = call::classify(&head.method, head.uri.path(), &head.headers);
        Self { call, announced_only: head.headers.contains_key(EXPECT), body }
    }
}

#[derive(Debug)]
struct Door<M> {
    calls: mpsc::Sender<M>,
    budget: Budget,
    limits: Limits,
}

impl<M> Clone for Door<M> {
    fn clone(&self) -> Self {
        Self { calls: self.calls.clone(), budget: self.budget.clone(), limits: self.limits }
    }
}

impl<M: From<Arrival> + Send + 'static> Door<M> {
    async fn admit(self, stream: Stream, _place: Option<OwnedSemaphorePermit>) {
        match stream {
            Stream::Tcp(stream) => {
                // An event must not wait for the acknowledgement of the answer before it.
                let _ = stream.set_nodelay(true);
                self.attend(stream).await;
            }
            Stream::Unix(stream) => self.attend(stream).await,
        }
    }

    async fn attend<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S) {
        let door = &self;
        // Taken apart before hyper listens on: while a head lives, its buffer is in use and another one is taken.
        let service = service_fn(move |request| door.handle(Taken::from(request)));
        let mut http = http1::Builder::new();
        // The number of lines stays at hyper's own bound: naming another costs an allocation for each request.
        http.max_buf_size(self.limits.header_bytes);
        // However a connection ends, its calls are answered or dropped; there is nobody to tell.
        let _ = http.serve_connection(TokioIo::new(Joined(stream)), service).await;
    }

    async fn handle(&self, taken: Taken) -> Result<Response<Full<Bytes>>, Dropped> {
        let Taken { call, announced_only, mut body } = taken;
        let call = match call {
            Ok(call) => call,
            Err(complaint) => {
                let whole = intake::drain(&mut body, self.limits.drain_bytes).await;
                return Ok(closing(refusal(complaint), !whole));
            }
        };
        let mut share = self.budget.open();
        let read = match call {
            Call::Next | Call::Ping => Body::Whole(Bytes::new()),
            Call::Response { .. } | Call::Error { .. } | Call::InitError { .. } => {
                let mut upload = Upload { door: self, call: Some(call.clone()) };
                let read = intake::read(&mut body, self.limits.body_bytes, &mut share).await;
                upload.call = None;
                match read {
                    Ok(read) => read,
                    Err(intake::Unread::OverBudget) => {
                        return Ok(closing(refusal(Complaint::Internal), true));
                    }
                }
            }
        };
        let too_large = read == Body::TooLarge;
        let Some(what) = call.with_body(read) else { return Ok(pong()) };
        let reply = self.ask(what).await?;
        // The caller is answered by now; only this connection waits for the rest of what it sends.
        let whole =
            !too_large || (!announced_only && intake::drain(&mut body, self.limits.drain_bytes).await);
        drop(share);
        Ok(closing(render(reply)?, !whole))
    }

    async fn ask(&self, what: Request) -> Result<Reply, Dropped> {
        let (reply, answer) = oneshot::channel();
        self.calls.send(M::from(Arrival { what, reply })).await.map_err(|_| Dropped)?;
        answer.await.map_err(|_| Dropped)
    }
}

/// A body being received. If its connection goes away, the call is told as truncated, because the caller waits for it.
struct Upload<'a, M: From<Arrival>> {
    door: &'a Door<M>,
    call: Option<Call>,
}

impl<M: From<Arrival>> Drop for Upload<'_, M> {
    fn drop(&mut self) {
        let Some(what) = self.call.take().and_then(|call| call.with_body(Body::Truncated)) else { return };
        let (reply, _) = oneshot::channel();
        // If the queue is full the function timeout ends the invocation instead.
        let _ = self.door.calls.try_send(M::from(Arrival { what, reply }));
    }
}

fn render(reply: Reply) -> Result<Response<Full<Bytes>>, Dropped> {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    match reply {
        Reply::Event(delivery) => {
            let mut response = Response::new(Full::new(delivery.payload.clone()));
            *response.headers_mut() = delivery.headers();
            Ok(response)
        }
        Reply::Accepted => {
            let mut response = Response::new(Full::new(Bytes::from_static(b"{\"status\":\"OK\"}\n")));
            *response.status_mut() = StatusCode::ACCEPTED;
            response.headers_mut().insert(CONTENT_TYPE, JSON);
            Ok(response)
        }
        Reply::Error(complaint) => Ok(refusal(complaint)),
        Reply::Drop => Err(Dropped),
    }
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

fn refusal(complaint: Complaint) -> Response<Full<Bytes>> {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
    let mut response = Response::new(Full::new(Bytes::from(complaint.body().into_owned())));
    *response.status_mut() =
        StatusCode::from_u16(complaint.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    match complaint {
        Complaint::NotFound => {
            headers.insert(CONTENT_TYPE, TEXT);
            headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
        }
        Complaint::MethodNotAllowed { allowed } => {
            headers.insert(ALLOW, HeaderValue::from_static(allowed));
        }
        _ => {
            headers.insert(CONTENT_TYPE, JSON);
        }
    }
    response
}

fn pong() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"pong")));
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response
}

/// Marks the answer as the connection's last one.
fn closing(mut response: Response<Full<Bytes>>, closes: bool) -> Response<Full<Bytes>> {
    if closes {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
