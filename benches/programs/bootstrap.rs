//! The native function of the benchmarks: a bootstrap that speaks the Runtime API over one kept-alive connection.
//!
//! The same file runs inside Hearth and as a bare process beside the comparators, so that both sides of a pair run
//! the same instructions. It answers each event with the event's own bytes, or, with `BENCH_ANSWER=count`, with the
//! number of events this process has seen, which proves a cold start; with `BENCH_SLEEP_MS` it sleeps before. It knows one protocol and one happy path: what
//! it does not expect ends it with a sentence on standard error.

use std::env;
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// Heads above this are not from a Runtime API.
const HEAD_MAX: usize = 64 * 1024;
/// Answers up to this size leave in one write with their head.
const ONE_WRITE_MAX: usize = 64 * 1024;

type Fault = Box<dyn Error>;

/// One answer of the Runtime API.
struct Message {
    head: String,
    body: Vec<u8>,
}

/// A connection and the bytes that arrived on it beyond the last message.
struct Wire {
    stream: TcpStream,
    ahead: Vec<u8>,
}

impl Wire {
    /// Reads one message; `None` when the other side has closed between messages.
    fn receive(&mut self) -> Result<Option<Message>, Fault> {
        let mut chunk = [0; 8192];
        let head_end = loop {
            if let Some(at) = self.ahead.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if self.ahead.len() > HEAD_MAX {
                return Err("the head does not end".into());
            }
            let count = self.read(&mut chunk)?;
            if count == 0 && self.ahead.is_empty() {
                return Ok(None);
            }
            if count == 0 {
                return Err("closed within a head".into());
            }
            self.ahead.extend_from_slice(&chunk[..count]);
        };
        let head = String::from_utf8_lossy(&self.ahead[..head_end]).into_owned();
        let length: usize = header(&head, "content-length").unwrap_or("0").parse()?;
        let mut body = self.ahead.split_off(head_end);
        self.ahead.clear();
        if body.len() > length {
            self.ahead = body.split_off(length);
        }
        let have = body.len();
        if have < length {
            body.resize(length, 0);
            self.stream.read_exact(&mut body[have..])?;
        }
        Ok(Some(Message { head, body }))
    }

    /// A connection reset between messages is the other side's way of saying that it is done.
    fn read(&mut self, chunk: &mut [u8]) -> Result<usize, Fault> {
        match self.stream.read(chunk) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(0),
            other => Ok(other?),
        }
    }

    fn answer(&mut self, address: &str, id: &str, body: &[u8]) -> Result<(), Fault> {
        let mut message = format!(
            "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nHost: {address}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        if body.len() <= ONE_WRITE_MAX {
            message.extend_from_slice(body);
            return Ok(self.stream.write_all(&message)?);
        }
        self.stream.write_all(&message)?;
        Ok(self.stream.write_all(body)?)
    }
}

/// The value of a header of `head`, `name` in lower case.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

fn run() -> Result<(), Fault> {
    let address = env::var("AWS_LAMBDA_RUNTIME_API")?;
    let counts = env::var("BENCH_ANSWER").is_ok_and(|answer| answer == "count");
    let sleep = match env::var("BENCH_SLEEP_MS") {
        Ok(text) => Duration::from_millis(text.parse()?),
        Err(_) => Duration::ZERO,
    };
    let socket: SocketAddr = address.parse()?;
    let stream = TcpStream::connect(socket)?;
    stream.set_nodelay(true)?;
    let mut wire = Wire { stream, ahead: Vec::new() };
    let next = format!("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let mut seen = 0_u64;
    loop {
        wire.stream.write_all(next.as_bytes())?;
        let Some(event) = wire.receive()? else { return Ok(()) };
        let id =
            header(&event.head, "lambda-runtime-aws-request-id").ok_or("an event without a request id")?;
        seen += 1;
        if !sleep.is_zero() {
            std::thread::sleep(sleep);
        }
        let counted = format!("{{\"invocation\":{seen}}}");
        let body = if counts { counted.as_bytes() } else { &event.body };
        wire.answer(&address, id, body)?;
        if wire.receive()?.is_none() {
            return Ok(());
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bootstrap: {error}");
            ExitCode::FAILURE
        }
    }
}
