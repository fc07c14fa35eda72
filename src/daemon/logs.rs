//! Stores what functions print and what the platform says of them: one directory per log group, JSON lines, rotated.
//!
//! A thread of its own writes, fed through a bounded channel; when the disk cannot follow, events are dropped and
//! counted, never an invocation delayed. Reading (`read`) goes through the same files.

use hearth_logic::WallTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Batches that wait for the writer.
const BATCHES_MAX: usize = 1024;
/// Files kept open by the writer.
const OPEN_FILES_MAX: usize = 64;
/// The longest message of one event, bytes; longer ones are split.
pub(crate) const MESSAGE_MAX: usize = 256 * 1024;
/// Bytes collected for one write.
const TEXT_MAX: usize = 256 * 1024;
/// The writer's rest between two rounds: waking it for each invocation cost more than its work.
const PAUSE: Duration = Duration::from_millis(4);
const CURRENT: &str = "events.jsonl";

/// One log event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogEvent {
    /// When, milliseconds since the epoch.
    pub(crate) timestamp: u64,
    /// Stream of the environment.
    pub(crate) stream: Arc<str>,
    /// Text, with its line end.
    pub(crate) message: String,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// A file is rotated at this size, bytes.
    pub(crate) file_bytes: u64,
    /// Rotated files kept per group.
    pub(crate) files: u32,
    /// Rotated files older than this go.
    pub(crate) age: Duration,
}

enum Order {
    Write { group: Arc<str>, events: Vec<LogEvent> },
    Flush(SyncSender<()>),
}

/// Handle to the writer; cheap to clone.
#[derive(Clone)]
pub(crate) struct Logs {
    orders: SyncSender<Order>,
    dir: Arc<Path>,
    dropped: Arc<AtomicU64>,
}

impl Logs {
    /// Starts the writer over `dir`.
    pub(crate) fn start(dir: &Path, retention: Retention) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let (orders, inbox) = sync_channel(BATCHES_MAX);
        let writer =
            Writer { dir: dir.to_owned(), retention, open: BTreeMap::new(), pending: None, text: Vec::new() };
        std::thread::Builder::new().name("logs".to_owned()).spawn(move || writer.run(&inbox))?;
        Ok(Self { orders, dir: dir.into(), dropped: Arc::default() })
    }

    /// Hands events over without waiting; drops and counts them if the writer is too far behind.
    pub(crate) fn write(&self, group: &Arc<str>, events: Vec<LogEvent>) {
        let count = events.len() as u64;
        if count > 0 && self.orders.try_send(Order::Write { group: Arc::clone(group), events }).is_err() {
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Events dropped since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything handed over so far is in the files. Blocks.
    pub(crate) fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.orders.send(Order::Flush(done)).is_ok() {
            wait.recv_timeout(Duration::from_secs(5)).ok();
        }
    }

    /// The last `limit` events of a group that are not older than `since`, oldest first. Blocks.
    pub(crate) fn read(&self, group: &str, since: WallTime, limit: usize) -> io::Result<Vec<LogEvent>> {
        self.flush();
        let dir = self.dir.join(encode(group));
        let mut files = rotated(&dir).unwrap_or_default();
        files.push(dir.join(CURRENT));
        let mut kept = std::collections::VecDeque::new();
        for path in files {
            let Ok(file) = File::open(&path) else { continue };
            for line in BufReader::new(file).lines() {
                // A torn last line of a crashed run is no event.
                let Ok(event) = serde_json::from_str::<LogEvent>(&line?) else { continue };
                if event.timestamp >= since.as_millis() {
                    kept.push_back(event);
                    if kept.len() > limit {
                        kept.pop_front();
                    }
                }
            }
        }
        Ok(kept.into())
    }
}

/// A group's name as a file name.
fn encode(group: &str) -> String {
    percent_encoding::utf8_percent_encode(group, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Rotated files of a group, oldest first.
fn rotated(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let number = |path: &PathBuf| -> Option<u64> {
        path.file_name()?.to_str()?.strip_prefix("events.")?.strip_suffix(".jsonl")?.parse().ok()
    };
    let mut files: Vec<PathBuf> = fs::read_dir(dir)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| number(path).is_some())
        .collect();
    files.sort_by_key(number);
    Ok(files)
}

struct Writer {
    dir: PathBuf,
    retention: Retention,
    open: BTreeMap<Arc<str>, (File, u64)>,
    /// The group that `text` is to be written to.
    pending: Option<Arc<str>>,
    text: Vec<u8>,
}

impl Writer {
    fn run(mut self, inbox: &Receiver<Order>) {
        while let Ok(first) = inbox.recv() {
            let mut flushes = Vec::new();
            for order in std::iter::once(first).chain(inbox.try_iter().take(BATCHES_MAX)) {
                match order {
                    Order::Write { group, events } => self.take(&group, &events),
                    Order::Flush(done) => flushes.push(done),
                }
            }
            self.put();
            if flushes.is_empty() {
                // Whoever sends meanwhile need not wake this thread, and what they send is written together.
                std::thread::sleep(PAUSE);
            }
            for done in flushes {
                done.send(()).ok();
            }
        }
    }

    /// Adds events to what is to be written; a group's lines stay together.
    fn take(&mut self, group: &Arc<str>, events: &[LogEvent]) {
        if self.pending.as_ref() != Some(group) || self.text.len() >= TEXT_MAX {
            self.put();
            self.pending = Some(Arc::clone(group));
        }
        for event in events {
            if let Err(error) = serde_json::to_writer(&mut self.text, event) {
                tracing::warn!(%group, %error, "a log event cannot be stored");
            }
            self.text.push(b'\n');
        }
        let written = self.open.get(group).map_or(0, |(_, length)| *length);
        if written + self.text.len() as u64 >= self.retention.file_bytes {
            self.put();
        }
    }

    fn put(&mut self) {
        let Some(group) = self.pending.take() else { return };
        if let Err(error) = self.write(&group) {
            tracing::warn!(%group, %error, "log events could not be stored");
            self.open.remove(&group);
        }
        self.text.clear();
    }

    fn write(&mut self, group: &Arc<str>) -> io::Result<()> {
        if !self.open.contains_key(group) {
            if self.open.len() >= OPEN_FILES_MAX {
                self.open.pop_first();
            }
            let dir = self.dir.join(encode(group));
            fs::create_dir_all(&dir)?;
            let mut file = OpenOptions::new().create(true).read(true).append(true).open(dir.join(CURRENT))?;
            let length = file.metadata()?.len();
            end_torn_line(&mut file, length)?;
            self.open.insert(Arc::clone(group), (file, length));
        }
        let Some((file, length)) = self.open.get_mut(group) else { return Ok(()) };
        file.write_all(&self.text)?;
        *length += self.text.len() as u64;
        if *length >= self.retention.file_bytes {
            self.open.remove(group);
            self.rotate(group)?;
        }
        Ok(())
    }

    fn rotate(&self, group: &str) -> io::Result<()> {
        let dir = self.dir.join(encode(group));
        let old = rotated(&dir)?;
        let last =
            old.last().and_then(|path| path.file_name()?.to_str()?.split('.').nth(1)?.parse::<u64>().ok());
        let next = last.map_or(1, |last| last + 1);
        fs::rename(dir.join(CURRENT), dir.join(format!("events.{next:08}.jsonl")))?;
        let surplus = (old.len() + 1).saturating_sub(self.retention.files as usize);
        for (at, path) in old.iter().enumerate() {
            let age =
                path.metadata().and_then(|data| data.modified()).ok().and_then(|time| time.elapsed().ok());
            if at < surplus || age.is_some_and(|age| age > self.retention.age) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// A crash may have left half a line; the next event must not be glued to it.
fn end_torn_line(file: &mut File, length: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(timestamp: u64, message: &str) -> LogEvent {
        LogEvent { timestamp, stream: "s".into(), message: message.to_owned() }
    }

    fn temporary(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("hearth-logs-{name}-{}", std::process::id()));
        fs::remove_dir_all(&dir).ok();
        dir
    }

    #[test]
    fn the_last_events_come_back_in_order_across_rotation() {
        let dir = temporary("rotation");
        let retention = Retention { file_bytes: 200, files: 100, age: Duration::from_secs(3600) };
        let logs = Logs::start(&dir, retention).expect("starts");
        let group: Arc<str> = "/aws/lambda/f".into();
        for n in 0..20 {
            logs.write(&group, vec![event(n, &format!("line {n}\n"))]);
        }
        let read = logs.read(&group, WallTime::from_millis(5), 3).expect("reads");
        assert_eq!(read.iter().map(|e| e.timestamp).collect::<Vec<_>>(), [17, 18, 19]);
        assert_eq!(logs.read(&group, WallTime::from_millis(5), 100).expect("reads").len(), 15);
        fs::remove_dir_all(dir).expect("cleans up");
    }

    #[test]
    fn only_so_many_rotated_files_are_kept() {
        let dir = temporary("retention");
        let retention = Retention { file_bytes: 1, files: 2, age: Duration::from_secs(3600) };
        let logs = Logs::start(&dir, retention).expect("starts");
        let group: Arc<str> = "g".into();
        for n in 0..10 {
            logs.write(&group, vec![event(n, "x")]);
        }
        logs.flush();
        assert_eq!(rotated(&dir.join("g")).expect("there").len(), 2);
        fs::remove_dir_all(dir).expect("cleans up");
    }

    #[test]
    fn a_torn_line_costs_only_itself() {
        let dir = temporary("torn");
        fs::create_dir_all(dir.join("g")).expect("makes");
        fs::write(dir.join("g").join(CURRENT), "{\"timestamp\":1,\"str").expect("writes");
        let retention = Retention { file_bytes: 1 << 20, files: 2, age: Duration::from_secs(3600) };
        let logs = Logs::start(&dir, retention).expect("starts");
        logs.write(&"g".into(), vec![event(2, "whole")]);
        assert_eq!(logs.read("g", WallTime::from_millis(0), 9).expect("reads"), [event(2, "whole")]);
        fs::remove_dir_all(dir).expect("cleans up");
    }
}
