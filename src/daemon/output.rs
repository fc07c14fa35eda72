//! What a function prints, from its pipe to the log store and to the `LogType: Tail` of its caller.
//!
//! Splits the stream into events at line ends, bounds what is held, and keeps the last 4 KiB of the running invocation
//! for whoever asked. Reading never waits: it takes what is in the pipe.

use super::clock;
use super::logs::{LogEvent, Logs, MESSAGE_MAX};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Bytes of log text that `X-Amz-Log-Result` carries.
pub(crate) const TAIL_BYTES: usize = 4096;
/// Read at once from a pipe at most: more than a pipe holds, so what was there is read, and a function that never stops
/// writing cannot hold the reader.
const DRAIN_MAX: usize = 256 * 1024;
const CHUNK: usize = 8 * 1024;

/// The read end of a sandbox's log pipe, non-blocking.
pub(crate) struct LogPipe(AsyncFd<OwnedFd>);

impl LogPipe {
    /// Registers the descriptor with the runtime.
    pub(crate) fn new(pipe: OwnedFd) -> std::io::Result<Self> {
        AsyncFd::with_interest(pipe, Interest::READABLE).map(Self)
    }

    /// Waits until something was written since the last call.
    pub(crate) async fn written(&self) -> std::io::Result<()> {
        // Cleared before the reader drains, so that whatever is written meanwhile wakes again.
        self.0.readable().await.map(|mut ready| ready.clear_ready())
    }
}

/// The output of one environment.
pub(crate) struct Output {
    pipe: Arc<LogPipe>,
    logs: Logs,
    group: Arc<str>,
    stream: String,
    partial: Vec<u8>,
    tail: Option<VecDeque<u8>>,
}

impl Output {
    /// Over the read end of the sandbox's pipe.
    pub(crate) fn new(pipe: Arc<LogPipe>, logs: Logs, group: Arc<str>, stream: String) -> Self {
        Self { pipe, logs, group, stream, partial: Vec::new(), tail: None }
    }

    /// Name of the log stream.
    pub(crate) fn stream(&self) -> &str {
        &self.stream
    }

    /// Starts or stops keeping the tail.
    pub(crate) fn keep_tail(&mut self, keep: bool) {
        self.tail = keep.then(VecDeque::new);
    }

    /// The tail so far; stops keeping it.
    pub(crate) fn take_tail(&mut self) -> Option<Vec<u8>> {
        self.tail.take().map(Into::into)
    }

    /// Takes what is in the pipe now; true if there may be more.
    ///
    /// Reads the descriptor itself and not through the runtime, whose readiness may lag behind what a function has
    /// already written: nothing printed before an answer may be missing from that answer's log.
    pub(crate) fn drain(&mut self) -> bool {
        let mut events = Vec::new();
        let mut chunk = [0; CHUNK];
        let mut total = 0;
        let more = loop {
            match nix::unistd::read(self.pipe.0.get_ref(), &mut chunk) {
                Ok(0) => break false,
                Ok(length) => {
                    total += length;
                    self.split(&chunk[..length], &mut events);
                    if total >= DRAIN_MAX {
                        break true;
                    }
                }
                Err(nix::Error::EINTR) => {}
                // Empty, or gone with its sandbox.
                Err(_) => break false,
            }
        };
        self.logs.write(&self.group, events);
        more
    }

    fn split(&mut self, mut bytes: &[u8], events: &mut Vec<LogEvent>) {
        while !bytes.is_empty() {
            let room = MESSAGE_MAX - self.partial.len();
            let line = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |newline| newline + 1);
            let take = line.min(room);
            self.partial.extend_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
            if self.partial.last() == Some(&b'\n') || self.partial.len() == MESSAGE_MAX {
                self.flush_partial(events);
            }
        }
    }

    fn flush_partial(&mut self, events: &mut Vec<LogEvent>) {
        if self.partial.is_empty() {
            return;
        }
        let line = std::mem::take(&mut self.partial);
        let message = String::from_utf8(line).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        events.push(self.event(message));
    }

    fn event(&mut self, message: String) -> LogEvent {
        if let Some(tail) = &mut self.tail {
            tail.extend(message.as_bytes());
            let surplus = tail.len().saturating_sub(TAIL_BYTES);
            tail.drain(..surplus);
        }
        LogEvent { timestamp: clock::wall().as_millis(), stream: self.stream.clone(), message }
    }

    /// Writes a line of the platform after everything that was printed before it. `line` has its line end.
    pub(crate) fn platform(&mut self, line: String) {
        self.drain();
        let mut events = Vec::new();
        self.flush_partial(&mut events);
        let event = self.event(line);
        events.push(event);
        self.logs.write(&self.group, events);
    }
}
