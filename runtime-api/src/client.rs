//! The smallest runtime that speaks the Runtime API from inside a sandbox.
//!
//! Used by sample functions and tests. Blocking, one connection, no dependency beyond the standard library, so that a
//! function built on it starts at once. It trusts its server, reconnects never, and knows no chunked answers: the
//! server always announces lengths.

use std::io::{self, BufRead, BufReader, IoSlice, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

/// The longest head of an answer that is read, in bytes.
const HEAD_LIMIT: u64 = 128 * 1024;
/// The longest body of an answer that is read, in bytes: above every event there is.
const BODY_LIMIT: usize = 8 * 1_048_576;

/// An event to handle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    /// `Lambda-Runtime-Aws-Request-Id`.
    pub request_id: String,
    /// `Lambda-Runtime-Invocation-Id`, echoed with the answer; empty if there was none.
    pub invocation_id: String,
    /// When the function timeout fires, in milliseconds since 1970.
    pub deadline_ms: u64,
    /// The ARN as invoked.
    pub invoked_arn: String,
    /// The trace header; empty if there was none.
    pub trace_id: String,
    /// The caller's context as JSON text; empty if there was none.
    pub client_context: String,
    /// What the payload is.
    pub content_type: String,
    /// The event.
    pub payload: Vec<u8>,
}

/// An answer of the server to something posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 202 if it was taken.
    pub status: u16,
    /// A JSON document.
    pub body: Vec<u8>,
}

/// A connection to the Runtime API.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects to the address in `AWS_LAMBDA_RUNTIME_API`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn new(address: impl ToSocketAddrs) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Waits for an event, for as long as it takes.
    ///
    /// # Errors
    /// When the connection ends, or the server refuses; the refusal's document is in the error's text.
    #[expect(
        clippy::should_implement_trait,
        reason = "the API's word, and it can fail in ways an iterator cannot tell"
    )]
    pub fn next(&mut self) -> io::Result<Invocation> {
        let mut invocation = Invocation::default();
        let answer = self.exchange("GET", "invocation/next", "", b"", |name, value| match name {
            "lambda-runtime-aws-request-id" => invocation.request_id = value.to_owned(),
            "lambda-runtime-invocation-id" => invocation.invocation_id = value.to_owned(),
            "lambda-runtime-deadline-ms" => invocation.deadline_ms = value.parse().unwrap_or_default(),
            "lambda-runtime-invoked-function-arn" => invocation.invoked_arn = value.to_owned(),
            "lambda-runtime-trace-id" => invocation.trace_id = value.to_owned(),
            "lambda-runtime-client-context" => invocation.client_context = value.to_owned(),
            "content-type" => invocation.content_type = value.to_owned(),
            _ => {}
        })?;
        if answer.status != 200 {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            return Err(io::Error::other(format!("next was refused with status {}: {text}", answer.status)));
        }
        invocation.payload = answer.body;
        Ok(invocation)
    }

    /// Posts the result of an invocation.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn respond(&mut self, invocation: &Invocation, payload: &[u8]) -> io::Result<Answer> {
        let path = format!("invocation/{}/response", invocation.request_id);
        self.exchange("POST", &path, &echo(invocation), payload, |_, _| {})
    }

    /// Posts an error document for an invocation.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn error(
        &mut self,
        invocation: &Invocation,
        error_type: &str,
        document: &[u8],
    ) -> io::Result<Answer> {
        let path = format!("invocation/{}/error", invocation.request_id);
        let headers = format!("{}{}", echo(invocation), error_header(error_type));
        self.exchange("POST", &path, &headers, document, |_, _| {})
    }

    /// Says that the runtime cannot start.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn init_error(&mut self, error_type: &str, document: &[u8]) -> io::Result<Answer> {
        self.exchange("POST", "init/error", &error_header(error_type), document, |_, _| {})
    }

    fn exchange(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
        header: impl FnMut(&str, &str),
    ) -> io::Result<Answer> {
        let head = format!(
            "{method} /2018-06-01/runtime/{path} HTTP/1.1\r\nHost: runtime\r\nUser-Agent: hearth-runtime-client\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.send(head.as_bytes(), body)?;
        self.receive(header)
    }

    /// Head and body leave in one packet if they fit.
    fn send(&mut self, mut head: &[u8], mut body: &[u8]) -> io::Result<()> {
        let stream = self.stream.get_mut();
        while !head.is_empty() || !body.is_empty() {
            let sent = stream.write_vectored(&[IoSlice::new(head), IoSlice::new(body)])?;
            if sent == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            let of_head = sent.min(head.len());
            head = &head[of_head..];
            body = &body[sent - of_head..];
        }
        Ok(())
    }

    fn receive(&mut self, mut header: impl FnMut(&str, &str)) -> io::Result<Answer> {
        let mut head = self.stream.by_ref().take(HEAD_LIMIT);
        let mut line = Vec::new();
        read_line(&mut head, &mut line)?;
        let status = status(&line)?;
        let mut length = 0;
        loop {
            read_line(&mut head, &mut line)?;
            if line.is_empty() {
                break;
            }
            let text = String::from_utf8_lossy(&line);
            let (name, value) = text.split_once(':').ok_or_else(|| malformed("a header without a colon"))?;
            let (name, value) = (name.to_ascii_lowercase(), value.trim());
            if name == "content-length" {
                length = value.parse().map_err(|_| malformed("a content length that is no number"))?;
            }
            header(&name, value);
        }
        if length > BODY_LIMIT {
            return Err(malformed("a body over the limit"));
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, body })
    }
}

fn echo(invocation: &Invocation) -> String {
    if invocation.invocation_id.is_empty() {
        return String::new();
    }
    format!("Lambda-Runtime-Invocation-Id: {}\r\n", invocation.invocation_id)
}

fn error_header(error_type: &str) -> String {
    // A line break would begin another header.
    let plain = error_type.replace(['\r', '\n'], " ");
    format!("Lambda-Runtime-Function-Error-Type: {plain}\r\nContent-Type: application/json\r\n")
}

fn read_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<()> {
    line.clear();
    from.read_until(b'\n', line)?;
    if line.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(())
}

fn status(line: &[u8]) -> io::Result<u16> {
    let text = std::str::from_utf8(line).map_err(|_| malformed("a status line that is no text"))?;
    let number = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    number.and_then(|digits| digits.parse().ok()).ok_or_else(|| malformed("no HTTP/1.1 status line"))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the server sent {what}"))
}
