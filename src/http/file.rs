//! A response body out of a file: read while the client takes it, a few chunks ahead, never as a whole.

use super::server::{self, Body};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use std::convert::Infallible;
use std::fs::File;
use std::io::Read as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;
/// Chunks read ahead.
const AHEAD: usize = 4;

struct Chunks {
    arriving: mpsc::Receiver<Bytes>,
    left: u64,
}

/// `size` bytes from where the file stands. A file that cannot be read to there ends the body early, and with it the
/// connection: the client has the length and does not take a part for the whole.
pub(crate) fn body(file: File, size: u64) -> Body {
    let (chunks, arriving) = mpsc::channel(AHEAD);
    // Ends with the client: then nobody takes chunks any more.
    tokio::task::spawn_blocking(move || read_ahead(file.take(size), &chunks));
    server::arriving(Chunks { arriving, left: size })
}

fn read_ahead(mut file: std::io::Take<File>, chunks: &mpsc::Sender<Bytes>) {
    loop {
        let mut chunk = vec![0; CHUNK];
        match file.read(&mut chunk) {
            Ok(0) => return,
            Ok(read) => {
                chunk.truncate(read);
                if chunks.blocking_send(chunk.into()).is_err() {
                    return;
                }
            }
            Err(error) => return tracing::error!(%error, "a file that is being sent cannot be read"),
        }
    }
}

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.arriving.poll_recv(context).map(|chunk| {
            let chunk = chunk?;
            self.left = self.left.saturating_sub(chunk.len() as u64);
            Some(Ok(Frame::data(chunk)))
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
