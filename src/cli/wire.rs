//! One HTTP exchange with the daemon, over TCP or its admin socket: connect, send, read; every step bounded.
//!
//! A connection serves one request: a command line has few. Knows nothing of operations.

use super::endpoint::Endpoint;
use super::terminal::Progress;
use super::tls;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;

/// How long a connection may take to stand.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Bytes of an answer: far more than any page of functions or any function's answer.
const ANSWER_MAX: usize = 64 << 20;
/// Bytes handed over at a time, so that progress has steps.
const CHUNK: usize = 64 * 1024;

/// A whole answer.
pub(super) type Answer = Response<Bytes>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// Nobody there.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// The connection broke, or what came was not HTTP.
    #[error("the exchange broke off")]
    Exchange(#[source] hyper::Error),
    /// The answer broke off or is too large.
    #[error("the answer could not be read")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No whole answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
}

/// Sends a request to an endpoint and reads the whole answer, within `patience`.
pub(super) async fn exchange(
    endpoint: &Endpoint,
    request: Request<Upload>,
    patience: Duration,
) -> Result<Answer, WireError> {
    let stream = connected(TcpStream::connect((endpoint.host.as_str(), endpoint.port))).await?;
    // Small requests should not wait for the acknowledgement of earlier ones.
    stream.set_nodelay(true).ok();
    let whole = async {
        let answer = match &endpoint.tls {
            None => send(stream, request).await?,
            Some(trust) => {
                send(connected(tls::secured(stream, &endpoint.host, trust)).await?, request).await?
            }
        };
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(WireError::Answer)?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    };
    tokio::time::timeout(patience, whole).await.map_err(|_| WireError::Late(patience))?
}

/// Sends a request to a socket; the answer's body is still to come.
pub(super) async fn open_socket(
    path: &Path,
    request: Request<Upload>,
) -> Result<Response<Incoming>, WireError> {
    let stream = connected(UnixStream::connect(path)).await?;
    tokio::time::timeout(CONNECT_MAX, send(stream, request))
        .await
        .map_err(|_| WireError::Late(CONNECT_MAX))?
}

/// Sends a request to a socket and reads the whole answer, within `patience`.
pub(super) async fn exchange_on_socket(
    path: &Path,
    request: Request<Stream>,
    patience: Duration,
) -> Result<Answer, WireError> {
    let stream = connected(UnixStream::connect(path)).await?;
    let whole = async {
        let (parts, body) = send(stream, request).await?.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(WireError::Answer)?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    };
    tokio::time::timeout(patience, whole).await.map_err(|_| WireError::Late(patience))?
}

async fn connected<S>(connecting: impl Future<Output = io::Result<S>>) -> Result<S, WireError> {
    let late = |_| {
        io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {} s", CONNECT_MAX.as_secs()))
    };
    tokio::time::timeout(CONNECT_MAX, connecting).await.map_err(late).flatten().map_err(WireError::Connect)
}

async fn send<S, B>(stream: S, request: Request<B>) -> Result<Response<Incoming>, WireError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(WireError::Exchange)?;
    // Ends with the exchange; what goes wrong is told to the sender as well.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(WireError::Exchange)
}

/// The body of a request, with the progress of its sending.
#[derive(Debug)]
pub(super) struct Upload {
    left: Bytes,
    sent: usize,
    progress: Progress,
}

impl Upload {
    /// These bytes.
    pub(super) fn new(bytes: impl Into<Bytes>) -> Self {
        let left = bytes.into();
        Self { progress: Progress::new(left.len()), left, sent: 0 }
    }

    /// No bytes.
    pub(super) fn empty() -> Self {
        Self::new(Bytes::new())
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // Asked for more: what was handed over before is in the system's hands.
        let sent = self.sent;
        self.progress.reach(sent);
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let size = self.left.len().min(CHUNK);
        let chunk = self.left.split_to(size);
        self.sent += size;
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}

/// A body that somebody else writes while it is sent.
#[derive(Debug)]
pub(super) struct Stream {
    arriving: mpsc::Receiver<Bytes>,
    left: u64,
}

impl Stream {
    /// So many bytes; a writer that ends before them breaks the exchange off.
    pub(super) fn new(arriving: mpsc::Receiver<Bytes>, size: u64) -> Self {
        Self { arriving, left: size }
    }

    /// No bytes.
    pub(super) fn empty() -> Self {
        Self::new(mpsc::channel(1).1, 0)
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.arriving.poll_recv(context).map(|piece| {
            let piece = piece?;
            self.left = self.left.saturating_sub(piece.len() as u64);
            Some(Ok(Frame::data(piece)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::super::endpoint::Source;
    use super::*;

    #[test]
    fn an_upload_hands_over_every_byte_in_order_and_knows_its_length() {
        let bytes: Vec<u8> = (0..CHUNK * 2 + 5).map(|at| (at % 251) as u8).collect();
        let upload = Upload::new(bytes.clone());
        assert_eq!(upload.size_hint().exact(), Some(bytes.len() as u64));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("builds");
        let collected = runtime.block_on(upload.collect()).expect("cannot fail").to_bytes();
        assert_eq!(collected, bytes);
        assert!(Upload::empty().is_end_stream());
    }

    #[test]
    fn nobody_at_an_address_is_a_failed_connection() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("builds");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let port = listener.local_addr().expect("has an address").port();
        drop(listener);
        let request = Request::new(Upload::empty());
        let endpoint = Endpoint {
            authority: format!("127.0.0.1:{port}"),
            host: "127.0.0.1".to_owned(),
            port,
            source: Source::Given,
            tls: None,
            region: None,
        };
        let result = runtime.block_on(exchange(&endpoint, request, CONNECT_MAX));
        assert!(matches!(result, Err(WireError::Connect(_))), "{result:?}");
        let request = Request::new(Upload::empty());
        let result = runtime.block_on(open_socket(Path::new("/nonexistent/admin.sock"), request));
        assert!(matches!(result, Err(WireError::Connect(_))), "{result:?}");
    }
}
