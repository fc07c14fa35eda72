//! The client's side of HTTP/1.1, as thin as it can be: a heavy client would hide differences between the servers it
//! measures. One request in one write, one answer with a Content-Length into one reused buffer. No chunked bodies, no
//! redirects, no TLS, no pools.

use crate::clock;
use crate::error::{Fault, shorten};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Longest wait for the next bytes of an answer.
const READ_LIMIT: Duration = Duration::from_secs(60);
/// Answers above this are refused.
const ANSWER_MAX: usize = 64 << 20;
const BUFFER_START: usize = 16 * 1024;

/// The bytes of one request, made once and sent many times.
pub(crate) struct Request(Vec<u8>);

impl Request {
    /// A request with a JSON body.
    pub(crate) fn new(method: &str, address: SocketAddr, path: &str, body: &[u8]) -> Self {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        Self(bytes)
    }
}

/// Where the parts of an answer lie in the buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Layout {
    status: u16,
    body_start: usize,
    end: usize,
    function_error: bool,
}

/// What has arrived of an answer.
struct Inbox {
    bytes: Vec<u8>,
    filled: usize,
    layout: Option<Layout>,
}

impl Inbox {
    fn new() -> Self {
        Self { bytes: vec![0; BUFFER_START], filled: 0, layout: None }
    }

    fn clear(&mut self) {
        self.filled = 0;
        self.layout = None;
    }

    fn space(&mut self) -> &mut [u8] {
        if self.filled == self.bytes.len() {
            let more = self.bytes.len();
            self.bytes.resize(more * 2, 0);
        }
        &mut self.bytes[self.filled..]
    }

    /// Takes note of `count` more bytes; the layout once the answer is complete.
    fn advance(&mut self, count: usize) -> Result<Option<Layout>, Fault> {
        if count == 0 {
            return Err(Fault::Protocol("the server closed the connection within an answer".into()));
        }
        self.filled += count;
        if self.layout.is_none() {
            self.layout = parse_head(&self.bytes[..self.filled])?;
            if let Some(layout) = self.layout
                && layout.end > self.bytes.len()
            {
                self.bytes.resize(layout.end, 0);
            }
        }
        match self.layout {
            Some(layout) if self.filled > layout.end => {
                Err(Fault::Protocol("more bytes than the announced length".into()))
            }
            Some(layout) if self.filled == layout.end => Ok(Some(layout)),
            _ => Ok(None),
        }
    }

    fn answer(&self, layout: Layout) -> Answer<'_> {
        Answer {
            status: layout.status,
            body: &self.bytes[layout.body_start..layout.end],
            function_error: layout.function_error,
        }
    }
}

/// Reads a head; `None` while it is incomplete.
fn parse_head(bytes: &[u8]) -> Result<Option<Layout>, Fault> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let unreadable = || Fault::Protocol(format!("head {:?}", shorten(bytes)));
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| unreadable())?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status: u16 =
        status_line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(unreadable)?;
    let mut length = (status == 204).then_some(0);
    let mut function_error = false;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse::<usize>().map_err(|_| unreadable())?);
        }
        function_error |= name.eq_ignore_ascii_case("x-amz-function-error");
    }
    let length = length.filter(|&length| length <= ANSWER_MAX).ok_or_else(unreadable)?;
    Ok(Some(Layout { status, body_start: end + 4, end: end + 4 + length, function_error }))
}

/// An answer, lying in its connection's buffer.
pub(crate) struct Answer<'a> {
    /// HTTP status.
    pub(crate) status: u16,
    /// The whole body.
    pub(crate) body: &'a [u8],
    /// Whether the function failed: such an answer has status 200 too.
    pub(crate) function_error: bool,
}

impl Answer<'_> {
    /// Whether this is success with exactly these bytes.
    ///
    /// # Errors
    /// What it is instead.
    pub(crate) fn expect(&self, expected: &[u8]) -> Result<(), Fault> {
        if self.status != 200 || self.function_error {
            let call = "Invoke".to_owned();
            return Err(Fault::Refused { call, status: self.status, body: shorten(self.body) });
        }
        if self.body != expected {
            return Err(Fault::WrongAnswer { got: shorten(self.body), expected: shorten(expected) });
        }
        Ok(())
    }
}

/// A kept-alive connection that blocks its thread.
pub(crate) struct Connection {
    stream: TcpStream,
    inbox: Inbox,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub(crate) fn open(address: SocketAddr) -> Result<Self, Fault> {
        let stream = TcpStream::connect(address).map_err(Fault::system("connect"))?;
        stream.set_nodelay(true).map_err(Fault::system("set TCP_NODELAY"))?;
        stream.set_read_timeout(Some(READ_LIMIT)).map_err(Fault::system("set a read limit"))?;
        Ok(Self { stream, inbox: Inbox::new() })
    }

    /// Sends one request and reads its answer.
    ///
    /// # Errors
    /// When the connection breaks or the answer cannot be read.
    pub(crate) fn call(&mut self, request: &Request) -> Result<Answer<'_>, Fault> {
        self.inbox.clear();
        self.stream.write_all(&request.0).map_err(Fault::system("send a request"))?;
        loop {
            let count = match self.stream.read(self.inbox.space()) {
                // A read with a limit is not resumed by the kernel after a signal.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other.map_err(Fault::system("read an answer"))?,
            };
            if let Some(layout) = self.inbox.advance(count)? {
                return Ok(self.inbox.answer(layout));
            }
        }
    }
}

/// The same for a task.
pub(crate) struct TaskConnection {
    stream: tokio::net::TcpStream,
    inbox: Inbox,
}

impl TaskConnection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Fault> {
        let stream = tokio::net::TcpStream::connect(address).await.map_err(Fault::system("connect"))?;
        stream.set_nodelay(true).map_err(Fault::system("set TCP_NODELAY"))?;
        Ok(Self { stream, inbox: Inbox::new() })
    }

    /// Sends one request and reads its answer; also when it was sent.
    ///
    /// # Errors
    /// When the connection breaks or the answer cannot be read.
    pub(crate) async fn call(&mut self, request: &Request) -> Result<(Instant, Answer<'_>), Fault> {
        self.inbox.clear();
        let start = clock::now();
        self.stream.write_all(&request.0).await.map_err(Fault::system("send a request"))?;
        loop {
            let count =
                self.stream.read(self.inbox.space()).await.map_err(Fault::system("read an answer"))?;
            if let Some(layout) = self.inbox.advance(count)? {
                return Ok((start, self.inbox.answer(layout)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(pieces: &[&[u8]]) -> Result<Option<(u16, Vec<u8>, bool)>, Fault> {
        let mut inbox = Inbox::new();
        let mut found = None;
        for piece in pieces {
            inbox.space()[..piece.len()].copy_from_slice(piece);
            found = inbox.advance(piece.len())?;
        }
        Ok(found.map(|layout| {
            let answer = inbox.answer(layout);
            (answer.status, answer.body.to_vec(), answer.function_error)
        }))
    }

    #[test]
    fn an_answer_in_pieces_is_put_together() {
        let got = feed(&[b"HTTP/1.1 200 OK\r\nConte", b"nt-length: 4\r\n\r\nab", b"cd"]);
        assert_eq!(got.expect("readable"), Some((200, b"abcd".to_vec(), false)));
    }

    #[test]
    fn a_function_error_is_seen_although_the_status_is_200() {
        let got = feed(&[b"HTTP/1.1 200 OK\r\nX-Amz-Function-Error: Unhandled\r\ncontent-length: 0\r\n\r\n"]);
        assert_eq!(got.expect("readable"), Some((200, Vec::new(), true)));
    }

    #[test]
    fn an_answer_without_content_needs_no_length() {
        assert_eq!(
            feed(&[b"HTTP/1.1 204 No Content\r\n\r\n"]).expect("readable"),
            Some((204, Vec::new(), false))
        );
    }

    #[test]
    fn surplus_bytes_missing_lengths_and_early_ends_are_faults() {
        assert!(feed(&[b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab"]).is_err());
        assert!(feed(&[b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"]).is_err());
        assert!(feed(&[b"HTTP/1.1 200 OK\r\n", b""]).is_err());
    }
}
