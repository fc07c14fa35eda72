//! `hearth serve --record FILE`: everything the scheduler hears, and digests of what it says, into a file.
//!
//! The scheduler's task appends to a bounded buffer in memory and never waits; a thread of its own writes. If the disk
//! cannot follow, the recording ends there and says so. What a record looks like is `hearth_logic::recording`'s business.

use super::clock;
use hearth_logic::recording::{CHUNK_MAX, Encoder, Ending, FORMAT, Header, frame};
use hearth_logic::scheduler::{Action, Event};
use hearth_logic::{Machine, Scheduler, SchedulerLimits, Time};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes that wait for the disk: about a second of a busy daemon.
const BUFFER_MAX: usize = 16 << 20;
/// Bytes of a file: about 60 million invocations.
const FILE_MAX: u64 = 4 << 30;
/// The writer gathers for so long before it writes.
const GATHER: Duration = Duration::from_millis(50);

/// A file for a recording, opened while the daemon may still open it.
pub(crate) struct RecordingFile(File);

impl RecordingFile {
    /// Makes the file.
    ///
    /// # Errors
    /// It cannot be made, or is there already: a recording never takes the place of another.
    pub(crate) fn create(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let failed = |error| format!("--record: cannot make {shown}: {error}");
        // An empty one is what a daemon leaves that did not come up.
        let options = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = options.map_err(failed)?;
        if file.metadata().map_err(failed)?.len() > 0 {
            return Err(format!("--record: {shown} is there already; name a new file or move it away"));
        }
        Ok(Self(file))
    }

    /// Writes the beginning and starts the thread that writes the rest.
    ///
    /// # Errors
    /// The first bytes cannot be written, or there is no thread to be had.
    pub(crate) fn begin(self, limits: &SchedulerLimits) -> io::Result<(Recorder, Recording)> {
        let header = Header {
            hearth_recording: FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            begun_ms: clock::wall().as_millis(),
            limits: limits.clone(),
        };
        begin(self.0, &header, BUFFER_MAX, FILE_MAX)
    }
}

/// Where a recording is written to.
trait Target: Write + Send + 'static {
    /// Takes back what was written beyond so many bytes.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Target for File {
    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        self.seek(io::SeekFrom::Start(length)).map(|_| ())
    }
}

#[derive(Debug, Default)]
struct Buffer {
    records: Vec<u8>,
    encoder: Encoder,
    /// Where chunks may end: behind each record.
    ends: Vec<usize>,
    /// Nothing is recorded any more.
    ending: Option<Ending>,
}

#[derive(Debug)]
struct Room {
    buffer: Mutex<Buffer>,
    filled: Condvar,
    bytes_max: usize,
}

impl Room {
    fn lock(&self) -> std::sync::MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The scheduler's end of a recording.
#[derive(Debug)]
pub(crate) struct Recorder(Arc<Room>);

impl Recorder {
    fn heard(&self, at: Time, event: Option<&Event>) {
        let mut buffer = self.0.lock();
        if buffer.ending.is_some() {
            return;
        }
        let Buffer { records, encoder, .. } = &mut *buffer;
        match event {
            Some(event) => encoder.step(at, event, records),
            None => encoder.elapse(at, records),
        }
    }

    fn said(&self, actions: &[Action]) {
        let mut buffer = self.0.lock();
        if buffer.ending.is_some() {
            return;
        }
        let Buffer { records, encoder, ends, .. } = &mut *buffer;
        let was_empty = ends.is_empty();
        encoder.said(actions, records);
        ends.push(records.len());
        if records.len() > self.0.bytes_max {
            buffer.ending = Some(Ending::FellBehind);
        }
        if was_empty {
            self.0.filled.notify_one();
        }
    }
}

/// The daemon's end of a recording.
pub(crate) struct Recording {
    room: Arc<Room>,
    writer: JoinHandle<Outcome>,
}

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    ending: Ending,
    bytes: u64,
}

impl Recording {
    /// Ends it; what was recorded is on its way to the disk afterwards.
    pub(crate) fn finish(self) {
        match self.end() {
            Ok(Outcome { ending: Ending::Closed, bytes }) => tracing::info!(bytes, "recording closed"),
            Ok(Outcome { ending, bytes }) => {
                tracing::warn!(?ending, bytes, "the recording ended before the daemon")
            }
            Err(()) => tracing::error!("the recording's thread failed; the recording is cut off"),
        }
    }

    fn end(self) -> Result<Outcome, ()> {
        self.room.lock().ending.get_or_insert(Ending::Closed);
        self.room.filled.notify_one();
        self.writer.join().map_err(|_| ())
    }
}

fn begin<T: Target>(
    mut target: T,
    header: &Header,
    bytes_max: usize,
    file_max: u64,
) -> io::Result<(Recorder, Recording)> {
    let line = header.line();
    target.write_all(&line)?;
    let room = Arc::new(Room { buffer: Mutex::default(), filled: Condvar::new(), bytes_max });
    let mut writer =
        Writer { target, room: Arc::clone(&room), written: line.len() as u64, file_max, failed: None };
    let writer = std::thread::Builder::new().name("hearth-record".to_owned()).spawn(move || writer.run())?;
    Ok((Recorder(Arc::clone(&room)), Recording { room, writer }))
}

struct Writer<T> {
    target: T,
    room: Arc<Room>,
    /// Bytes that are whole chunks.
    written: u64,
    file_max: u64,
    failed: Option<Ending>,
}

impl<T: Target> Writer<T> {
    fn run(&mut self) -> Outcome {
        loop {
            let (records, ends, ending) = self.take();
            if self.failed.is_none() {
                self.write(&records, &ends);
            }
            if let Some(failed) = self.failed {
                self.room.lock().ending = Some(failed);
            }
            let Some(ending) = self.failed.or(ending) else {
                std::thread::sleep(GATHER);
                continue;
            };
            self.write_end(ending);
            return Outcome { ending, bytes: self.written };
        }
    }

    /// Waits for something to write.
    fn take(&self) -> (Vec<u8>, Vec<usize>, Option<Ending>) {
        let mut buffer = self.room.lock();
        while buffer.ends.is_empty() && buffer.ending.is_none() {
            buffer = self.room.filled.wait(buffer).unwrap_or_else(PoisonError::into_inner);
        }
        let ends = std::mem::take(&mut buffer.ends);
        // A record that has been begun and not yet completed stays.
        let rest = buffer.records.split_off(ends.last().copied().unwrap_or(0));
        (std::mem::replace(&mut buffer.records, rest), ends, buffer.ending)
    }

    fn write(&mut self, records: &[u8], ends: &[usize]) {
        let mut from = 0;
        while from < records.len() {
            let fitting = ends.partition_point(|end| *end <= from + CHUNK_MAX);
            // One record is never longer than a chunk.
            let Some(to) = fitting.checked_sub(1).map(|at| ends[at]).filter(|to| *to > from) else {
                self.failed = Some(Ending::WriteFailed);
                return;
            };
            let chunk = &records[from..to];
            if self.written + chunk.len() as u64 > self.file_max {
                self.failed = Some(Ending::Full);
                return;
            }
            if let Err(error) = self.write_chunk(chunk) {
                tracing::error!(%error, "the recording ends: it cannot be written");
                self.failed = Some(Ending::WriteFailed);
                return;
            }
            from = to;
        }
    }

    fn write_chunk(&mut self, records: &[u8]) -> io::Result<()> {
        let frame = frame(records);
        let written = self.target.write_all(&frame).and_then(|()| self.target.write_all(records));
        match written.and_then(|()| self.target.flush()) {
            Ok(()) => {
                self.written += (frame.len() + records.len()) as u64;
                Ok(())
            }
            Err(error) => {
                // Half a chunk would look like damage; without room for the last record, too, the file is cut off.
                self.target.cut(self.written).ok();
                Err(error)
            }
        }
    }

    fn write_end(&mut self, ending: Ending) {
        let mut bytes = Vec::new();
        let mut buffer = self.room.lock();
        buffer.encoder.end(ending, &mut bytes);
        drop(buffer);
        self.write_chunk(&bytes).ok();
    }
}

/// The scheduler, recorded if that is wanted.
pub(crate) struct Recorded {
    scheduler: Scheduler,
    recorder: Option<Recorder>,
}

impl Recorded {
    pub(crate) const fn new(scheduler: Scheduler, recorder: Option<Recorder>) -> Self {
        Self { scheduler, recorder }
    }
}

impl Deref for Recorded {
    type Target = Scheduler;

    fn deref(&self) -> &Scheduler {
        &self.scheduler
    }
}

impl Machine for Recorded {
    type Event = Event;
    type Action = Action;

    fn step(&mut self, now: Time, event: Event, todo: &mut Vec<Action>) {
        let Some(recorder) = &self.recorder else { return self.scheduler.step(now, event, todo) };
        let before = todo.len();
        recorder.heard(now, Some(&event));
        self.scheduler.step(now, event, todo);
        recorder.said(&todo[before..]);
    }

    fn elapse(&mut self, now: Time, todo: &mut Vec<Action>) {
        let Some(recorder) = &self.recorder else { return self.scheduler.elapse(now, todo) };
        let before = todo.len();
        recorder.heard(now, None);
        self.scheduler.elapse(now, todo);
        recorder.said(&todo[before..]);
    }

    fn wake_at(&self) -> Option<Time> {
        self.scheduler.wake_at()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearth_logic::recording::{Decoder, FRAME, Record, announced};
    use hearth_logic::scheduler::Source;
    use hearth_logic::simulate::replay::Replay;
    use hearth_logic::{EnvironmentId, FunctionId, InvocationId, RevisionId};
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    /// A disk of so many bytes, which writes when it is allowed to.
    struct Disk {
        bytes: Arc<Mutex<Vec<u8>>>,
        size: usize,
        allowed: Option<Receiver<()>>,
    }

    impl Write for Disk {
        fn write(&mut self, part: &[u8]) -> io::Result<usize> {
            if let Some(allowed) = &self.allowed {
                // The test's end hung up: everything is allowed.
                allowed.recv().ok();
            }
            let mut bytes = self.bytes.lock().unwrap();
            if bytes.len() + part.len() > self.size {
                return Err(io::ErrorKind::StorageFull.into());
            }
            bytes.extend_from_slice(part);
            Ok(part.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Target for Disk {
        fn cut(&mut self, length: u64) -> io::Result<()> {
            self.bytes.lock().unwrap().truncate(usize::try_from(length).unwrap());
            Ok(())
        }
    }

    struct Bench {
        bytes: Arc<Mutex<Vec<u8>>>,
        machine: Recorded,
        recording: Recording,
        allow: Option<SyncSender<()>>,
        now: u64,
        todo: Vec<Action>,
    }

    fn bench(size: usize, slow: bool, bytes_max: usize, file_max: u64) -> Bench {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (allow, allowed) = sync_channel(64);
        allow.send(()).unwrap();
        let (allow, allowed) = if slow { (Some(allow), Some(allowed)) } else { (None, None) };
        let disk = Disk { bytes: Arc::clone(&bytes), size, allowed };
        let limits = SchedulerLimits::default();
        let header = Header {
            hearth_recording: FORMAT,
            program: "test".to_owned(),
            begun_ms: 0,
            limits: limits.clone(),
        };
        let (recorder, recording) = begin(disk, &header, bytes_max, file_max).unwrap();
        let machine = Recorded::new(Scheduler::new(limits), Some(recorder));
        Bench { bytes, machine, recording, allow, now: 0, todo: Vec::new() }
    }

    impl Bench {
        fn tell(&mut self, event: Event) {
            self.now += 1_000;
            self.todo.clear();
            self.machine.step(Time::from_nanos(self.now), event, &mut self.todo);
        }

        /// One invocation from its offer to its end, in the one environment that there is.
        fn invoke(&mut self, n: u64) {
            let (invocation, environment) = (InvocationId(n), EnvironmentId(0));
            self.tell(Event::Offer {
                invocation,
                function: FunctionId(1),
                revision: RevisionId(1),
                memory_mb: 128,
                source: Source::Synchronous,
                provisioned: None,
            });
            if n == 0 {
                self.tell(Event::Ready { environment });
            }
            self.tell(Event::Released { environment, invocation, reuse: true });
        }

        fn end(self) -> (Outcome, Vec<u8>) {
            drop(self.allow);
            let outcome = self.recording.end().unwrap();
            let bytes = self.bytes.lock().unwrap().clone();
            (outcome, bytes)
        }
    }

    /// Replays what is in the file: (records, ending), and that it says the same.
    fn replay(bytes: &[u8]) -> (u64, Option<Ending>) {
        let line = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let header = Header::parse(&bytes[..line]).unwrap();
        let (mut decoder, mut replay) = (Decoder::default(), Replay::new(header.limits));
        let mut rest = &bytes[line..];
        while let Some((frame, after)) = rest.split_first_chunk::<FRAME>() {
            let (records, after) = after.split_at(announced(*frame).unwrap());
            for record in decoder.chunk(*frame, records).unwrap() {
                assert!(!matches!(record, Record::End { .. }) || after.is_empty());
                replay.feed(record);
            }
            rest = after;
        }
        assert_eq!(replay.divergence(), None);
        (replay.records(), replay.ending())
    }

    #[test]
    fn a_recording_is_replayed_to_the_same_actions() {
        let mut bench = bench(usize::MAX, false, BUFFER_MAX, FILE_MAX);
        for n in 0..20_000 {
            bench.invoke(n);
        }
        let later = Time::from_nanos(bench.now).after(Duration::from_secs(3_600));
        bench.machine.elapse(later, &mut Vec::new());
        let (outcome, bytes) = bench.end();
        assert_eq!(outcome, Outcome { ending: Ending::Closed, bytes: bytes.len() as u64 });
        assert_eq!(replay(&bytes), (40_003, Some(Ending::Closed)));
    }

    #[test]
    fn a_disk_that_cannot_follow_ends_the_recording_and_nobody_waits() {
        let mut bench = bench(usize::MAX, true, 10_000, FILE_MAX);
        // More than the buffer holds, while not one write is allowed.
        for n in 0..20_000 {
            bench.invoke(n);
        }
        let (outcome, bytes) = bench.end();
        assert_eq!(outcome.ending, Ending::FellBehind);
        let (records, ending) = replay(&bytes);
        assert!(ending == Some(Ending::FellBehind) && (100..5_000).contains(&records), "{records}");
    }

    #[test]
    fn a_full_disk_leaves_whole_chunks_and_if_possible_the_reason() {
        let mut bench = bench(100_000, false, BUFFER_MAX, FILE_MAX);
        for n in 0..20_000 {
            bench.invoke(n);
        }
        let (outcome, bytes) = bench.end();
        assert_eq!(outcome.ending, Ending::WriteFailed);
        assert_eq!(replay(&bytes).1, Some(Ending::WriteFailed));
    }

    #[test]
    fn a_recording_ends_at_its_bound() {
        let mut bench = bench(usize::MAX, false, BUFFER_MAX, 50_000);
        for n in 0..20_000 {
            bench.invoke(n);
        }
        let (outcome, bytes) = bench.end();
        assert!(outcome.ending == Ending::Full && bytes.len() < 50_100, "{outcome:?}");
        assert_eq!(replay(&bytes).1, Some(Ending::Full));
    }

    #[test]
    fn a_file_that_is_there_is_never_overwritten() {
        let folder = std::env::temp_dir().join(format!("hearth-record-{}", std::process::id()));
        for _ in 0..2 {
            assert!(RecordingFile::create(&folder).is_ok());
        }
        std::fs::write(&folder, "yesterday").unwrap();
        let again = RecordingFile::create(&folder).err().unwrap_or_default();
        assert!(again.contains("is there already"), "{again}");
        std::fs::remove_file(&folder).unwrap();
        let nowhere = RecordingFile::create(&folder.join("x")).err().unwrap_or_default();
        assert!(nowhere.contains("cannot make"), "{nowhere}");
    }
}
