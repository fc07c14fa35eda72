//! Serves HTTP/1.1 on a listener with bounds on everything a client can make large or slow.
//!
//! Knows nothing of what is served: a handler is a function from request to response, made for all connections or for
//! each by itself.

use super::pace::Pace;
use super::patience::Patience;
use super::progress::{Progress, STANDSTILL_MAX};
use super::tls::{self, Agreed};
use bytes::{Bytes, BytesMut};
use hearth_runtime_api::joined::Joined;
use hearth_runtime_api::server::Share;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

/// What one listener's clients may take together.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Connections served at once; more wait in the listener's queue. Each ends by itself: heads, bodies and answers
    /// have their time.
    pub(crate) connections: usize,
    /// Shared with other listeners: each connection but the first takes a place, and is closed at once if there is none.
    pub(crate) pool: Option<Arc<Semaphore>>,
}

impl Limits {
    /// For a listener by itself.
    pub(crate) const fn of(connections: usize) -> Self {
        Self { connections, pool: None }
    }

    /// What a connection holds of the pool, of which `open` are open with it; nothing if it needs nothing. `None` if it
    /// cannot be served.
    fn place(&self, open: usize) -> Option<Option<OwnedSemaphorePermit>> {
        match &self.pool {
            Some(pool) if open > 1 => Arc::clone(pool).try_acquire_owned().ok().map(Some),
            Some(_) | None => Some(None),
        }
    }
}

/// A client has this long to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// A client has this long to agree on encryption.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Bytes of a request's head (its lines are bounded by hyper's own 100: another number costs an allocation per request); Lambda allows 1 MB of request line and header values in all.
const HEAD_BYTES_MAX: usize = 1024 * 1024;
/// Open connections get this long to finish after the listener has closed.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// What handlers answer with.
pub(crate) enum Body {
    /// There as a whole, as nearly all are.
    Whole(Full<Bytes>),
    /// Made while it is sent.
    Arriving(BoxBody<Bytes, Infallible>),
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx),
            Self::Arriving(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Arriving(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Arriving(body) => body.size_hint(),
        }
    }
}

/// A body that is there as a whole.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Body::Whole(Full::new(bytes.into()))
}

/// A body that is made while it is sent.
pub(crate) fn arriving(
    body: impl hyper::body::Body<Data = Bytes, Error = Infallible> + Send + Sync + 'static,
) -> Body {
    Body::Arriving(body.boxed())
}

/// A bound listener.
pub(crate) enum Listener {
    /// On an address.
    Tcp(TcpListener),
    /// On an address, encrypted.
    Tls(TcpListener, TlsAcceptor),
    /// In the file system.
    Unix(UnixListener),
}

/// The ends of a connection; no addresses for one in the file system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The client's.
    pub(crate) remote: Option<SocketAddr>,
    /// The one it connected to.
    pub(crate) local: Option<SocketAddr>,
    /// How what goes between them is encrypted, if it is.
    pub(crate) tls: Option<Agreed>,
}

/// Bytes in and out.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection before anything was said on it.
enum Accepted {
    Tcp(TcpStream),
    Tls(TcpStream, TlsAcceptor),
    Unix(UnixStream),
}

impl Listener {
    async fn accept(&self) -> std::io::Result<(Accepted, Peer)> {
        let listener = match self {
            Self::Tcp(listener) | Self::Tls(listener, _) => listener,
            Self::Unix(listener) => {
                let peer = Peer { remote: None, local: None, tls: None };
                return Ok((Accepted::Unix(listener.accept().await?.0), peer));
            }
        };
        let (stream, remote) = listener.accept().await?;
        stream.set_nodelay(true).ok();
        // How it is encrypted is known once both sides agree.
        let peer = Peer { remote: Some(remote), local: stream.local_addr().ok(), tls: None };
        Ok(match self {
            Self::Tls(_, acceptor) => (Accepted::Tls(stream, acceptor.clone()), peer),
            Self::Tcp(_) | Self::Unix(_) => (Accepted::Tcp(stream), peer),
        })
    }
}

impl Accepted {
    /// The stream, once both sides agree on how to speak, and on what; none if they do not, or not in time.
    async fn ready(self) -> Option<(Box<dyn Stream>, Option<Agreed>)> {
        match self {
            Self::Tcp(stream) => Some((Box::new(stream), None)),
            Self::Unix(stream) => Some((Box::new(stream), None)),
            Self::Tls(stream, acceptor) => {
                match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => {
                        let agreed = tls::agreed(stream.get_ref().1);
                        Some((Box::new(stream), Some(agreed)))
                    }
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "no agreement on encryption");
                        None
                    }
                    Err(_) => None,
                }
            }
        }
    }
}

/// Serves until `stop` turns true, then lets open requests finish for a short while.
pub(crate) async fn serve<H, F>(
    listener: Listener,
    handler: Arc<H>,
    limits: Limits,
    stop: watch::Receiver<bool>,
) where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let same = move |_: Peer| {
        let handler = Arc::clone(&handler);
        std::future::ready(move |request| handler(request))
    };
    serve_each(listener, Arc::new(same), limits, stop).await;
}

/// The same with a handler for each connection, which `meet` makes when it is accepted.
pub(crate) async fn serve_each<M, A, H, F>(
    listener: Listener,
    meet: Arc<M>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) where
    M: Fn(Peer) -> A + Send + Sync + 'static,
    A: Future<Output = H> + Send + 'static,
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX).half_close(true);
    loop {
        let accepted = tokio::select! {
            accepted = next(&listener, &slots) => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let ((accepted, peer), slot) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: accepting again at once would spin.
                tracing::warn!(%error, "accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let open = limits.connections.saturating_sub(slots.available_permits());
        let Some(place) = limits.place(open) else { continue };
        let (meet, mut builder, watcher) = (Arc::clone(&meet), builder.clone(), graceful.watcher());
        builder.timer(Patience::default());
        tokio::spawn(async move {
            if let Some((stream, tls)) = accepted.ready().await {
                let stream = Joined(Progress::new(stream, STANDSTILL_MAX));
                let handler = meet(Peer { tls, ..peer }).await;
                let service = hyper::service::service_fn(move |request| {
                    let answer = handler(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                // Clients that hang up in the middle are their own business.
                watcher.watch(builder.serve_connection(TokioIo::new(stream), service)).await.ok();
            }
            drop((slot, place));
        });
    }
    drop(listener);
    tokio::time::timeout(CLOSE_GRACE, graceful.shutdown()).await.ok();
}

/// The next connection and its place, which comes first: without one, it waits in the listener's queue.
async fn next(
    listener: &Listener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<((Accepted, Peer), OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(std::io::Error::other)?;
    Ok((listener.accept().await?, slot))
}

/// The body of a request: on its way, or read already because the signature is about it.
pub(crate) enum Intake {
    /// Not read yet.
    Arriving(Incoming),
    /// Not read yet; draws on what its sender may have the daemon hold. The share is the sender's for as long as the
    /// request lasts.
    Metered(Incoming, Arc<Mutex<Share>>),
    /// Read.
    Here(Bytes),
}

impl Intake {
    /// Its length, if it was announced or is known.
    pub(crate) fn announced(&self) -> u64 {
        use hyper::body::Body as _;
        match self {
            Self::Arriving(body) | Self::Metered(body, _) => body.size_hint().lower(),
            Self::Here(bytes) => bytes.len() as u64,
        }
    }

    /// Lets it run out unread, within a limit, so that the answer reaches a client that is still sending and its
    /// connection stays of use.
    pub(crate) fn discard(self, limit: usize) {
        use hyper::body::Body as _;
        let (Self::Arriving(mut body) | Self::Metered(mut body, _)) = self else { return };
        if body.is_end_stream() {
            return;
        }
        tokio::spawn(async move {
            let (mut pace, mut left) = (Pace::start(), limit);
            while let Ok(Some(piece)) = pace.next(&mut body).await {
                match left.checked_sub(piece.len()) {
                    Some(rest) => left = rest,
                    None => return,
                }
            }
        });
    }

    /// All of it, within a limit.
    pub(crate) async fn read(self, limit: usize) -> Result<Bytes, BodyError> {
        match self {
            Self::Arriving(body) => read_body(body, limit, |_| true).await,
            Self::Metered(body, share) => {
                let take = |bytes| share.lock().unwrap_or_else(PoisonError::into_inner).take(bytes);
                read_body(body, limit, take).await
            }
            Self::Here(bytes) if bytes.len() > limit => Err(BodyError::TooLarge),
            Self::Here(bytes) => Ok(bytes),
        }
    }
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// More than the limit, announced or sent.
    TooLarge,
    /// The client paused too long, or took too long in all.
    TooSlow,
    /// Its sender has too many others under way.
    OverBudget,
    /// The client went away.
    Broken,
}

/// Reads a body within a limit; an announced excess is refused before anything is read. `take` is asked before bytes are
/// kept.
async fn read_body(
    mut body: Incoming,
    limit: usize,
    take: impl Fn(usize) -> bool,
) -> Result<Bytes, BodyError> {
    use hyper::body::Body as _;
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Err(BodyError::TooLarge);
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut pace = Pace::start();
    while let Some(data) = pace.next(&mut body).await? {
        if first.len() + rest.len() + data.len() > limit {
            return Err(BodyError::TooLarge);
        }
        if !take(data.len()) {
            return Err(BodyError::OverBudget);
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
            if body.is_end_stream() {
                break;
            }
            continue;
        }
        if rest.is_empty() {
            rest.reserve(usize::try_from(announced).unwrap_or(0).max(first.len() + data.len()));
            rest.extend_from_slice(&std::mem::take(&mut first));
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

#[cfg(test)]
mod tests;
