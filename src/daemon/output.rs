//! What a function prints, from its pipe to the log store and to the `LogType: Tail` of its caller.
//!
//! Splits the stream into events at line ends, bounds what is held, and keeps the last 4 KiB of the running invocation
//! for whoever asked. Reading never waits: it takes what is in the pipe.

use super::application_log::{self, Level, Verdict};
use super::clock;
use super::logs::{LogEvent, Logs, MESSAGE_MAX, Source};
use super::revision::Revision;
use super::system_log::Lines;
use hearth_logic::WallTime;
use hearth_logic::limits::LOG_TAIL_BYTES;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::io::unix::AsyncFd;

/// Read at once from a pipe at most: more than a pipe holds, so what was there is read, and a function that never stops
/// writing cannot hold the reader.
const DRAIN_MAX: usize = 256 * 1024;
const CHUNK: usize = 8 * 1024;

thread_local! {
    /// What readings go through, so that none has to clear a buffer of its own first.
    static PASSAGE: RefCell<[u8; CHUNK]> = const { RefCell::new([0; CHUNK]) };
}
/// Events collected at most before the writer gets them.
const UNSENT_MAX: usize = 256;

/// Bytes of a frame's head: type, length, time (AWS's runtime clients, such as `awslambdaric`: `_LAMBDA_TELEMETRY_LOG_FD`).
const FRAME_HEAD: usize = 16;
/// How every frame type begins. The first byte never begins a character of UTF-8 text.
const FRAME_MARK: [u8; 3] = [0xA5, 0x5A, 0x00];

enum Cut {
    /// So many bytes of text, to the end of the line or before a frame.
    Text(usize),
    /// A whole frame with so many bytes of message.
    Frame(usize),
    /// Nothing, or the beginning of a frame.
    Wait,
}

/// What stands at the beginning of `bytes`. Looks at no byte behind the cut but those of a mark, so that cutting all that
/// was printed takes time in proportion to it, whatever it is.
fn cut(bytes: &[u8]) -> Cut {
    if bytes.is_empty() {
        return Cut::Wait;
    }
    if FRAME_MARK.starts_with(&bytes[..bytes.len().min(FRAME_MARK.len())]) {
        let Some(length) = bytes.get(4..8) else { return Cut::Wait };
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        if length <= MESSAGE_MAX {
            return if bytes.len() >= FRAME_HEAD + length { Cut::Frame(length) } else { Cut::Wait };
        }
    }
    let window = &bytes[..bytes.len().min(MESSAGE_MAX)];
    Cut::Text(text_length(window.iter().copied()))
}

/// How much of a text, which has a first byte, there is: to the end of its line, or before a mark or the beginning of one.
fn text_length(bytes: impl Iterator<Item = u8>) -> usize {
    let (mut length, mut matched) = (0, 0);
    for byte in bytes {
        length += 1;
        if byte == b'\n' {
            return length;
        }
        if length == 1 {
            // Not a mark's beginning, or else it would have been taken for one.
            continue;
        }
        matched = if byte == FRAME_MARK[matched] { matched + 1 } else { usize::from(byte == FRAME_MARK[0]) };
        if matched == FRAME_MARK.len() {
            break;
        }
    }
    length - matched
}

/// The read end of a sandbox's log pipe, non-blocking.
pub(crate) struct LogPipe(AsyncFd<OwnedFd>);

impl LogPipe {
    /// Registers the descriptor with the runtime.
    pub(crate) fn new(pipe: OwnedFd) -> std::io::Result<Self> {
        super::sandboxes::watched(pipe).map(Self)
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
    source: Source,
    group: Arc<str>,
    stream: Arc<str>,
    partial: Vec<u8>,
    /// The beginning of a frame whose rest has not come yet.
    unsplit: Vec<u8>,
    tail: Option<VecDeque<u8>>,
    /// Events that the writer has not been given yet.
    unsent: Vec<LogEvent>,
    /// Below which level JSON lines are dropped, where the platform has to do it.
    least: Option<Level>,
}

impl Output {
    /// Over the read end of the sandbox's pipe.
    pub(super) fn new(pipe: Arc<LogPipe>, logs: Logs, revision: &Revision, stream: Arc<str>) -> Self {
        // Our runtime clients filter by themselves.
        let level = revision.json_log_level.as_deref().filter(|_| !revision.is_managed());
        Self {
            pipe,
            logs,
            source: Source::default(),
            group: Arc::clone(&revision.log_group),
            stream,
            partial: Vec::new(),
            unsplit: Vec::new(),
            tail: None,
            unsent: Vec::new(),
            least: level.map(Level::parse),
        }
    }

    /// Name of the log stream.
    pub(crate) fn stream(&self) -> &str {
        &self.stream
    }

    /// Starts or stops keeping the tail. What was printed before is not part of it: that is the initialisation's, or
    /// came after the last answer, and may still be in the pipe.
    pub(crate) fn keep_tail(&mut self, keep: bool) {
        if keep {
            self.tail = None;
            self.unsent = self.drain_to_the_end();
        }
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
        let mut events = std::mem::take(&mut self.unsent);
        let more = PASSAGE.with_borrow_mut(|chunk| {
            let mut total = 0;
            loop {
                match nix::unistd::read(self.pipe.0.get_ref(), chunk) {
                    Ok(0) => break false,
                    Ok(length) => {
                        total += length;
                        self.split(&chunk[..length], &mut events);
                        if events.len() >= UNSENT_MAX {
                            self.logs.write(&self.group, &self.source, std::mem::take(&mut events));
                        }
                        if total >= DRAIN_MAX {
                            break true;
                        }
                    }
                    Err(nix::Error::EINTR) => {}
                    // Empty, or gone with its sandbox.
                    Err(_) => break false,
                }
            }
        });
        self.unsent = events;
        more
    }

    /// Cuts what was read into events: lines, and the frames that our runtime clients write for records of several lines.
    fn split(&mut self, bytes: &[u8], events: &mut Vec<LogEvent>) {
        let mut all = std::mem::take(&mut self.unsplit);
        all.extend_from_slice(bytes);
        let mut done = 0;
        loop {
            let rest = &all[done..];
            match cut(rest) {
                Cut::Text(length) => {
                    self.partial.extend_from_slice(&rest[..length]);
                    done += length;
                    if self.partial.last() == Some(&b'\n') || self.partial.len() >= MESSAGE_MAX {
                        self.flush_partial(events);
                    }
                }
                Cut::Frame(length) => {
                    self.flush_partial(events);
                    self.partial.extend_from_slice(&rest[FRAME_HEAD..FRAME_HEAD + length]);
                    if self.partial.last() != Some(&b'\n') {
                        self.partial.push(b'\n');
                    }
                    self.flush_partial(events);
                    done += FRAME_HEAD + length;
                }
                Cut::Wait => break,
            }
        }
        // Stays where it is while it only grows: a frame may come byte by byte. Nothing is kept of what is done.
        if done < all.len() {
            all.drain(..done);
            self.unsplit = all;
        }
    }

    fn flush_partial(&mut self, events: &mut Vec<LogEvent>) {
        if self.partial.is_empty() {
            return;
        }
        let line = std::mem::take(&mut self.partial);
        let message =
            String::from_utf8(line).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        if message == "\n" {
            // Lambda makes no event of an empty line.
            self.add_to_tail(&message);
            return;
        }
        let verdict = self.least.map_or(Verdict::Keep(None), |least| application_log::judge(&message, least));
        if let Verdict::Keep(time) = verdict {
            let mut event = self.event(message, clock::wall());
            if let Some(time) = time {
                event.ingested = Some(std::mem::replace(&mut event.timestamp, time));
            }
            events.push(event);
        }
    }

    fn add_to_tail(&mut self, message: &str) {
        if let Some(tail) = &mut self.tail {
            tail.extend(message.as_bytes());
            let surplus = tail.len().saturating_sub(LOG_TAIL_BYTES);
            tail.drain(..surplus);
        }
    }

    fn event(&mut self, message: String, now: WallTime) -> LogEvent {
        self.add_to_tail(&message);
        LogEvent { timestamp: now.as_millis(), stream: Arc::clone(&self.stream), message, ingested: None }
    }

    /// What has been collected, with all that is in the pipe now, also a line or a frame that has not ended.
    fn drain_to_the_end(&mut self) -> Vec<LogEvent> {
        self.drain();
        let mut events = std::mem::take(&mut self.unsent);
        let cut_short = std::mem::take(&mut self.unsplit);
        self.partial.extend_from_slice(&cut_short);
        self.flush_partial(&mut events);
        events
    }

    /// Adds lines of the platform after everything that was printed before them; `flush` sends them on their way.
    pub(super) fn platform(&mut self, lines: Lines) {
        if lines.iter().all(Option::is_none) {
            return;
        }
        let mut events = self.drain_to_the_end();
        let now = clock::wall();
        for line in lines.into_iter().flatten() {
            let event = self.event(line, now);
            events.push(event);
        }
        self.unsent = events;
    }

    /// Hands over what has been collected: once per invocation, so that the writer is woken once.
    pub(crate) fn flush(&mut self) {
        self.logs.write(&self.group, &self.source, std::mem::take(&mut self.unsent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(mut bytes: &[u8]) -> Vec<(char, usize)> {
        let mut all = Vec::new();
        loop {
            match cut(bytes) {
                Cut::Text(length) => {
                    all.push(('t', length));
                    bytes = &bytes[length..];
                }
                Cut::Frame(length) => {
                    all.push(('f', length));
                    bytes = &bytes[FRAME_HEAD + length..];
                }
                Cut::Wait => return all,
            }
        }
    }

    fn frame(message: &str) -> Vec<u8> {
        let mut bytes = vec![0xA5, 0x5A, 0x00, 0x03];
        bytes.extend_from_slice(&u32::try_from(message.len()).expect("short").to_be_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(message.as_bytes());
        bytes
    }

    #[test]
    fn lines_and_frames_are_told_apart_also_in_the_middle_of_a_line() {
        let mut bytes = b"one\ntwo".to_vec();
        bytes.extend(frame("a\nb"));
        bytes.extend_from_slice(b"rest");
        assert_eq!(lengths(&bytes), [('t', 4), ('t', 3), ('f', 3), ('t', 4)]);
    }

    #[test]
    fn half_a_frame_waits_for_its_rest() {
        let whole = frame("message");
        for length in 1..whole.len() {
            assert!(lengths(&whole[..length]).is_empty(), "{length}");
        }
    }

    #[test]
    fn a_frame_that_claims_too_much_is_text() {
        let mut bytes = frame("x");
        bytes[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(lengths(&bytes), [('t', bytes.len())]);
    }

    #[test]
    fn a_mark_that_is_cut_in_two_is_still_one() {
        let mut bytes = b"text".to_vec();
        bytes.extend(frame("a"));
        for length in 5..7 {
            assert_eq!(lengths(&bytes[..length]), [('t', 4)], "{length}");
        }
        assert_eq!(lengths(&bytes), [('t', 4), ('f', 1)]);
        assert_eq!(lengths(&[0xA5, 0x5A, b'x', 0xA5, 0xA5, 0x5A, 0xA5]), [('t', 6)]);
    }

    #[test]
    fn text_is_looked_at_once_whatever_it_is_made_of() {
        let claims = [0xA5, 0x5A, 0x00].repeat(100_000);
        let (mut done, mut looked) = (0, 0);
        while done + FRAME_HEAD < claims.len() {
            let counted = claims[done..].iter().copied().inspect(|_| looked += 1);
            assert!(matches!(cut(&claims[done..]), Cut::Text(length) if length == FRAME_MARK.len()));
            done += text_length(counted);
        }
        assert!(looked <= 2 * claims.len(), "{looked} looks at {} bytes", claims.len());
    }
}
