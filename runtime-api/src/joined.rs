//! A stream that writes a small message in one piece.
//!
//! An HTTP server hands a head and a body over as two buffers; for the kernel, gathering them costs more than copying a
//! few hundred bytes does. Large messages stay in pieces and are never copied.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Messages of up to this many bytes are copied.
const SMALL: usize = 1024;

/// A stream whose small writes are joined.
#[derive(Debug)]
pub struct Joined<S>(pub S);

impl<S: AsyncRead + Unpin> AsyncRead for Joined<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Joined<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut joined = [0; SMALL];
        let mut length = 0;
        for piece in pieces {
            let Some(room) = joined.get_mut(length..length + piece.len()) else {
                return Pin::new(&mut self.0).poll_write_vectored(cx, pieces);
            };
            room.copy_from_slice(piece);
            length += piece.len();
        }
        Pin::new(&mut self.0).poll_write(cx, &joined[..length])
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes note of how it is written to.
    #[derive(Default)]
    struct Witness {
        pieces: Vec<usize>,
        bytes: Vec<u8>,
    }

    impl AsyncWrite for Witness {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            pieces: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.pieces.push(pieces.len());
            pieces.iter().for_each(|piece| self.bytes.extend_from_slice(piece));
            Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn small_messages_are_one_piece_and_large_ones_are_not_copied() {
        for (body, pieces) in [(0, 1), (SMALL - 4, 1), (SMALL - 3, 2), (100_000, 2)] {
            let mut stream = Joined(Witness::default());
            let message = [b"head".to_vec(), vec![7; body]];
            let slices = [IoSlice::new(&message[0]), IoSlice::new(&message[1])];
            let write = |cx: &mut Context<'_>| Pin::new(&mut stream).poll_write_vectored(cx, &slices);
            let written = std::future::poll_fn(write).await.expect("writes");
            assert_eq!((written, stream.0.pieces), (4 + body, vec![pieces]));
            assert_eq!(stream.0.bytes, message.concat());
        }
    }
}
