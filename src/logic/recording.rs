//! The scheduler's life as bytes: what it heard, when, and a digest of what it said, so that it can be run again.
//!
//! A file is one line of JSON (the header: format, program, the limits at the start), then chunks. A chunk is its length
//! and a CRC-32 (u32, little endian) before records, a record a kind, the nanoseconds since the one before (varint), for
//! steps the event (postcard), and the CRC-32 of the actions that followed. The last record says how the recording ended;
//! without it, it was cut off. Only numbers are in it (and the texts of failed starts): no names, no payloads.
//!
//! Encodes and decodes; reading and writing files is for others.

use crate::scheduler::{Action, Event};
use crate::{SchedulerLimits, Time};
use serde::{Deserialize, Serialize};

/// Changes whenever events or actions are encoded otherwise; the test of golden bytes says when.
pub const FORMAT: u32 = 3;
/// Bytes of the header line.
pub const HEADER_MAX: usize = 64 << 10;
/// Bytes of a chunk's records.
pub const CHUNK_MAX: usize = 1 << 20;
/// Bytes before a chunk's records.
pub const FRAME: usize = 8;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`]; named so that a reader knows the file by its first bytes.
    pub hearth_recording: u32,
    /// Version of the program that wrote it.
    pub program: String,
    /// When it began, milliseconds since 1970-01-01T00:00:00Z.
    pub begun_ms: u64,
    /// The limits that the scheduler was made with.
    pub limits: SchedulerLimits,
}

/// Why bytes are no recording, or no more of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Something else.
    #[error("this is no recording of hearth's: it does not begin with {{\"hearth_recording\":…}}")]
    NoRecording,
    /// Another format.
    #[error("this recording has format {found} (hearth {program}); this hearth reads format {FORMAT}")]
    OtherFormat {
        /// Its format.
        found: u32,
        /// Who wrote it.
        program: String,
    },
    /// A header of this format that does not hold what it should.
    #[error("the header of this recording cannot be read: {0}")]
    Header(String),
    /// A length that no chunk has, or bytes that are not those that were written.
    #[error("the bytes are not those that were written (checksum or length)")]
    Checksum,
    /// Intact bytes that are no record: written by a program that differs in secret.
    #[error("record {0} makes no sense: it was written by another build of this format")]
    Record(u64),
}

impl Header {
    /// As the first line of a file.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }

    /// Reads the first line.
    ///
    /// # Errors
    /// What it is instead.
    pub fn parse(line: &[u8]) -> Result<Self, Broken> {
        #[derive(Deserialize)]
        struct Beginning {
            hearth_recording: u32,
            #[serde(default)]
            program: String,
        }
        let beginning: Beginning = serde_json::from_slice(line).map_err(|_| Broken::NoRecording)?;
        if beginning.hearth_recording != FORMAT {
            let (found, program) = (beginning.hearth_recording, beginning.program);
            return Err(Broken::OtherFormat { found, program });
        }
        serde_json::from_slice(line).map_err(|error| Broken::Header(error.to_string()))
    }
}

/// How a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// With the daemon.
    Closed,
    /// The disk could not follow: what happened afterwards is not in it.
    FellBehind,
    /// The disk refused a write: what happened afterwards is not in it.
    WriteFailed,
    /// It had reached the length that a recording may have.
    Full,
}

/// One thing that happened to the scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// It heard an event.
    Step(Event),
    /// Deadlines were due.
    Elapse,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// What happened, and what the scheduler's answer was.
    Input {
        /// When.
        at: Time,
        /// What.
        input: Input,
        /// Of the actions that followed.
        digest: u32,
    },
    /// The last one.
    End {
        /// When.
        at: Time,
        /// How.
        ending: Ending,
    },
}

const STEP: u8 = 0;
const ELAPSE: u8 = 1;
const END: u8 = 2;

/// Writes records behind each other.
#[derive(Debug, Default)]
pub struct Encoder {
    last: Time,
    scratch: Vec<u8>,
}

impl Encoder {
    /// The scheduler is about to hear an event.
    pub fn step(&mut self, at: Time, event: &Event, bytes: &mut Vec<u8>) {
        self.begin(STEP, at, bytes);
        append(event, bytes);
    }

    /// The scheduler is about to look at its deadlines.
    pub fn elapse(&mut self, at: Time, bytes: &mut Vec<u8>) {
        self.begin(ELAPSE, at, bytes);
    }

    /// What it said: completes the record.
    pub fn said(&mut self, actions: &[Action], bytes: &mut Vec<u8>) {
        let digest = digest(actions, &mut self.scratch);
        bytes.extend_from_slice(&digest.to_le_bytes());
    }

    /// The last record.
    pub fn end(&mut self, ending: Ending, bytes: &mut Vec<u8>) {
        self.begin(END, self.last, bytes);
        append(&ending, bytes);
    }

    fn begin(&mut self, kind: u8, at: Time, bytes: &mut Vec<u8>) {
        bytes.push(kind);
        append(&(at.as_nanos() - self.last.as_nanos().min(at.as_nanos())), bytes);
        self.last = at;
    }
}

fn append<T: Serialize>(value: &T, bytes: &mut Vec<u8>) {
    // Writing plain data to memory cannot fail; were it to, the reader's checks would say so.
    postcard::to_io(value, bytes).ok();
}

/// CRC-32 of actions as they are encoded; 0 of none.
#[must_use]
pub fn digest(actions: &[Action], scratch: &mut Vec<u8>) -> u32 {
    if actions.is_empty() {
        return 0;
    }
    scratch.clear();
    for action in actions {
        append(action, scratch);
    }
    crc32fast::hash(scratch)
}

/// What stands before a chunk's records in the file.
#[must_use]
pub fn frame(records: &[u8]) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    let length = u32::try_from(records.len()).unwrap_or(u32::MAX);
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame[4..].copy_from_slice(&crc32fast::hash(records).to_le_bytes());
    frame
}

/// The length of the records that a frame announces.
///
/// # Errors
/// [`Broken::Checksum`] if no chunk is so long.
pub fn announced(frame: [u8; FRAME]) -> Result<usize, Broken> {
    let [a, b, c, d, ..] = frame;
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).map_err(|_| Broken::Checksum)?;
    if length == 0 || length > CHUNK_MAX { Err(Broken::Checksum) } else { Ok(length) }
}

/// Reads records, chunk by chunk.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    last: Time,
    count: u64,
}

impl Decoder {
    /// Records read so far.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The records of a chunk.
    ///
    /// # Errors
    /// The chunk is not as it was written, or not by this build.
    pub fn chunk(&mut self, frame: [u8; FRAME], mut records: &[u8]) -> Result<Vec<Record>, Broken> {
        if self::frame(records) != frame {
            return Err(Broken::Checksum);
        }
        let mut all = Vec::new();
        while !records.is_empty() {
            let (record, rest) = self.record(records).ok_or(Broken::Record(self.count + 1))?;
            self.count += 1;
            all.push(record);
            records = rest;
        }
        Ok(all)
    }

    fn record<'a>(&mut self, bytes: &'a [u8]) -> Option<(Record, &'a [u8])> {
        let (kind, rest) = bytes.split_first()?;
        let (passed, rest): (u64, _) = postcard::take_from_bytes(rest).ok()?;
        let at = Time::from_nanos(self.last.as_nanos().checked_add(passed)?);
        self.last = at;
        let (input, rest) = match *kind {
            STEP => {
                let (event, rest) = postcard::take_from_bytes(rest).ok()?;
                (Input::Step(event), rest)
            }
            ELAPSE => (Input::Elapse, rest),
            END => {
                let (ending, rest) = postcard::take_from_bytes(rest).ok()?;
                return Some((Record::End { at, ending }, rest));
            }
            _ => return None,
        };
        let (digest, rest) = rest.split_first_chunk()?;
        Some((Record::Input { at, input, digest: u32::from_le_bytes(*digest) }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Reason;
    use crate::exchange::{Decision, StartType, WaitedFor};
    use crate::{EnvironmentId, Exceeded, FunctionId, InvocationId, RevisionId};
    use proptest::prelude::*;
    use std::time::Duration;

    fn offer(n: u64) -> Event {
        Event::Offer {
            invocation: InvocationId(n),
            function: FunctionId(2),
            revision: RevisionId(3),
            memory_mb: 128,
            source: crate::scheduler::Source::Synchronous,
            provisioned: None,
        }
    }

    fn assign() -> Action {
        let decision = Decision {
            start: StartType::Warm,
            spilled_over: false,
            waited: Duration::ZERO,
            waited_for: None,
            evicted: Vec::new(),
        };
        Action::Assign { invocation: InvocationId(300), environment: EnvironmentId(5), decision }
    }

    fn refuse() -> Action {
        Action::Refuse {
            invocation: InvocationId(7),
            reason: Reason::FunctionInvocationRateLimitExceeded,
            rate: Some(Exceeded::Requests),
            retry_after: Some(Duration::from_millis(1)),
            waited: Duration::from_secs(2),
            waited_for: Some(WaitedFor::Capacity),
        }
    }

    fn sample() -> (Vec<u8>, Vec<Record>) {
        let (mut encoder, mut bytes) = (Encoder::default(), Vec::new());
        let at = Time::from_nanos;
        let action = assign();
        encoder.step(at(1_000), &offer(300), &mut bytes);
        encoder.said(std::slice::from_ref(&action), &mut bytes);
        encoder.elapse(at(5_000), &mut bytes);
        encoder.said(&[], &mut bytes);
        let failed = Event::StartFailed { environment: EnvironmentId(5), detail: "no room".to_owned() };
        encoder.step(at(5_000), &failed, &mut bytes);
        encoder.said(&[], &mut bytes);
        let refused = Event::Refused { action: refuse() };
        encoder.step(at(5_000), &refused, &mut bytes);
        encoder.said(&[], &mut bytes);
        encoder.end(Ending::Closed, &mut bytes);
        let digest = digest(&[action], &mut Vec::new());
        let records = vec![
            Record::Input { at: at(1_000), input: Input::Step(offer(300)), digest },
            Record::Input { at: at(5_000), input: Input::Elapse, digest: 0 },
            Record::Input { at: at(5_000), input: Input::Step(failed), digest: 0 },
            Record::Input { at: at(5_000), input: Input::Step(refused), digest: 0 },
            Record::End { at: at(5_000), ending: Ending::Closed },
        ];
        (bytes, records)
    }

    #[test]
    fn records_read_back_as_they_were_written() {
        let (bytes, records) = sample();
        let mut decoder = Decoder::default();
        assert_eq!(decoder.chunk(frame(&bytes), &bytes), Ok(records));
        assert_eq!(decoder.count(), 5);
    }

    #[test]
    fn the_bytes_are_those_of_this_format() {
        let (bytes, _) = sample();
        // Other bytes here: readers of old recordings must be told. Count `FORMAT` up, then take the new bytes.
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN);
        let limits = SchedulerLimits::default();
        let header = Header { hearth_recording: FORMAT, program: "0".into(), begun_ms: 1, limits };
        assert_eq!(Header::parse(&header.line()), Ok(header));
    }

    const GOLDEN: &str = "00e80700ac02020380010000543107f101a01f0000000000000305076e6f20726f6f6d0000000000001202070201010100c0843d0200010200000000020000";

    #[test]
    fn what_is_no_header_says_what_it_is() {
        assert_eq!(Header::parse(b"hello\n"), Err(Broken::NoRecording));
        assert_eq!(Header::parse(b"{}\n"), Err(Broken::NoRecording));
        let newer = Header::parse(b"{\"hearth_recording\":999,\"program\":\"9.0\",\"more\":1}");
        assert_eq!(newer, Err(Broken::OtherFormat { found: 999, program: "9.0".into() }));
        let text = format!("{{\"hearth_recording\":{FORMAT},\"program\":\"0\",\"begun_ms\":1}}");
        assert!(matches!(Header::parse(text.as_bytes()), Err(Broken::Header(why)) if why.contains("limits")));
    }

    proptest! {
        #[test]
        fn no_flipped_bit_goes_unnoticed(at in 0_usize..64, bit in 0_u32..8) {
            let (bytes, _) = sample();
            let sound = frame(&bytes);
            let mut broken = bytes.clone();
            let at = at % broken.len();
            broken[at] ^= 1 << bit;
            prop_assert_eq!(Decoder::default().chunk(sound, &broken), Err(Broken::Checksum));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _ = Decoder::default().chunk(frame(&bytes), &bytes);
            let _ = Header::parse(&bytes);
        }
    }

    #[test]
    fn a_length_that_no_chunk_has_is_refused() {
        assert_eq!(announced([0; 8]), Err(Broken::Checksum));
        assert_eq!(announced([0xff; 8]), Err(Broken::Checksum));
        assert_eq!(announced(frame(&[1, 2, 3])), Ok(3));
    }
}
