//! Takes in root trees over the admin socket: `PUT /rootfs/<sha256>` with a tar, `GET /rootfs/<sha256>` to ask for one.
//!
//! A tree streams to disk within its bound, must have the hash that was announced, and is unpacked before the answer, so
//! that what is wrong with it is told to whoever sent it. Until a function names it, it is kept for a while.

use super::admin::{JSON, PLAIN, text};
use super::control::Control;
use super::pace::Pace;
use super::server::{Body, Intake};
use crate::runtimes::image::RootUri;
use crate::store::{BlobError, Blobs, Incoming, Pin, ROOT_BYTES_MAX, UnpackError};
use bytes::Bytes;
use hearth_sandbox::{Digest, InnerUser, Tree};
use http::{Method, Request, Response, StatusCode};
use hyper::body;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Where the socket has them.
pub(crate) const PREFIX: &str = "/rootfs/";
/// Trees that arrive at the same time.
pub(crate) const UPLOADS_MAX: usize = 2;
/// Of a tree that is not taken, so much is read all the same.
const DISCARDED_MAX: usize = 16 << 20;
/// Pieces between the socket and the disk.
const PIECES: usize = 8;

/// Why a tree is not taken.
enum Refusal {
    /// The client's fault.
    Client(StatusCode, String),
    /// This machine's.
    Daemon(String),
}

impl From<BlobError> for Refusal {
    fn from(error: BlobError) -> Self {
        Self::Daemon(error.to_string())
    }
}

impl From<tokio::task::JoinError> for Refusal {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Daemon(error.to_string())
    }
}

/// Answers a request below [`PREFIX`].
pub(crate) async fn handle(control: Arc<Control>, request: Request<body::Incoming>) -> Response<Body> {
    let hash = request.uri().path().strip_prefix(PREFIX).unwrap_or_default();
    let Some(digest) = Digest::parse(hash) else {
        return text(StatusCode::BAD_REQUEST, PLAIN, "this is not a SHA-256 in hexadecimal\n");
    };
    let answer = match *request.method() {
        Method::GET => find(&control, digest).await,
        Method::PUT => take(&control, digest, request.into_body()).await,
        _ => Err(Refusal::Client(StatusCode::METHOD_NOT_ALLOWED, "GET and PUT only".to_owned())),
    };
    match answer {
        Ok(()) => {
            let uri = RootUri { digest, user: InnerUser::default() }.to_string();
            text(StatusCode::OK, JSON, serde_json::json!({ "ImageUri": uri }).to_string())
        }
        Err(Refusal::Client(status, why)) => text(status, PLAIN, format!("{why}\n")),
        Err(Refusal::Daemon(why)) => {
            tracing::error!(%why, "a root tree could not be taken in");
            text(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("{why}\n"))
        }
    }
}

async fn find(control: &Control, digest: Digest) -> Result<(), Refusal> {
    let blobs = control.blobs.clone();
    let found = tokio::task::spawn_blocking(move || blobs.find(&digest)).await??;
    let missing = || Refusal::Client(StatusCode::NOT_FOUND, "there is no such root tree".to_owned());
    offer(control, found.ok_or_else(missing)?).await
}

async fn take(control: &Control, digest: Digest, body: body::Incoming) -> Result<(), Refusal> {
    let Ok(_turn) = control.uploads.try_acquire() else {
        // So that whoever sends a small one reads why instead of a broken connection.
        Intake::Arriving(body).discard(DISCARDED_MAX);
        let text = format!("{UPLOADS_MAX} root trees are arriving already; try again when they are in");
        return Err(Refusal::Client(StatusCode::SERVICE_UNAVAILABLE, text));
    };
    let too_large = || {
        let text = format!("a root tree must be smaller than {ROOT_BYTES_MAX} bytes");
        Refusal::Client(StatusCode::PAYLOAD_TOO_LARGE, text)
    };
    if body::Body::size_hint(&body).lower() > ROOT_BYTES_MAX {
        return Err(too_large());
    }
    let (pieces, arriving) = mpsc::channel(PIECES);
    let blobs = control.blobs.clone();
    let writing = tokio::task::spawn_blocking(move || write(&blobs, arriving));
    let read = read(body, &pieces).await;
    drop(pieces);
    let incoming = writing.await??;
    match read {
        Ok(()) => {}
        Err(Broken::TooLarge) => return Err(too_large()),
        Err(Broken::Off) => {
            return Err(Refusal::Client(StatusCode::BAD_REQUEST, "the root tree broke off".to_owned()));
        }
    }
    if incoming.digest() != digest {
        let text = "what arrived has another hash than was announced: the tree changed meanwhile";
        return Err(Refusal::Client(StatusCode::BAD_REQUEST, text.to_owned()));
    }
    let pin = tokio::task::spawn_blocking(move || incoming.keep()).await??;
    offer(control, pin).await
}

/// Unpacks a tree and keeps it until a function names it. One that cannot be unpacked is not kept.
async fn offer(control: &Control, pin: Pin) -> Result<(), Refusal> {
    let tree = Tree::Root(pin.code().digest);
    match control.shared.code.try_root(tree).await? {
        Ok(()) => {
            control.shared.code.offers.keep(pin);
            Ok(())
        }
        Err(error) => {
            drop(pin);
            control.shared.code.released.notify_one();
            match error {
                UnpackError::Root(error) if error.is_refusal() => {
                    Err(Refusal::Client(StatusCode::BAD_REQUEST, error.to_string()))
                }
                error => Err(Refusal::Daemon(error.to_string())),
            }
        }
    }
}

enum Broken {
    TooLarge,
    Off,
}

async fn read(mut body: body::Incoming, pieces: &mpsc::Sender<Bytes>) -> Result<(), Broken> {
    let (mut pace, mut size) = (Pace::start(), 0_u64);
    loop {
        let piece = match pace.next(&mut body).await {
            Ok(Some(piece)) => piece,
            Ok(None) => return Ok(()),
            Err(_) => return Err(Broken::Off),
        };
        size += piece.len() as u64;
        if size > ROOT_BYTES_MAX {
            return Err(Broken::TooLarge);
        }
        // The writer has ended with an error of its own, which is the one that counts.
        if pieces.send(piece).await.is_err() {
            return Ok(());
        }
    }
}

fn write(blobs: &Blobs, mut arriving: mpsc::Receiver<Bytes>) -> Result<Incoming, BlobError> {
    let mut incoming = blobs.receive()?;
    while let Some(piece) = arriving.blocking_recv() {
        incoming.write(&piece)?;
    }
    Ok(incoming)
}
