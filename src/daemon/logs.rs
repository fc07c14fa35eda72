//! Stores what functions print and what the platform says of them: one directory per log group, JSON lines, rotated.
//!
//! A thread of its own writes (`logs/writer.rs`), fed through a channel that is bounded in bytes (`logs/queue.rs`); when the
//! disk cannot follow, events are dropped and counted, never an invocation delayed. Whoever reads first asks the group's environments for what they
//! still hold, then reads the same files: by time (`logs/query.rs`, over `logs/index.rs`) or as they grow
//! (`logs/follow.rs`). Everything here that reads blocks its thread.

mod follow;
mod group;
mod index;
mod query;
mod queue;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use follow::Cursor;
pub(crate) use group::Meta;
pub(crate) use index::StreamSpan;
pub(crate) use query::{Direction, EVENT_OVERHEAD, Key, Page, Query, Streams};
pub(crate) use queue::Source;

use hearth_logic::WallTime;
use index::Indexes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use writer::{BATCHES_MAX, Order, Writer};

/// The longest message of one event, bytes; longer ones are split.
pub(crate) const MESSAGE_MAX: usize = 256 * 1024;
/// How long a reader waits for what environments still hold, and for the writer.
const HAND_OVER_MAX: Duration = Duration::from_millis(500);
const FLUSH_MAX: Duration = Duration::from_secs(5);
/// Bytes of messages that `read` answers at most.
const READ_BYTES_MAX: usize = 64 << 20;
/// Streams without events that may be made in a group.
const MADE_STREAMS_MAX: usize = 10_000;

/// One log event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogEvent {
    /// When, milliseconds since the epoch.
    pub(crate) timestamp: u64,
    /// Stream of the environment.
    pub(crate) stream: Arc<str>,
    /// Text, with its line end.
    pub(crate) message: String,
    /// When it came, if that is another time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ingested: Option<u64>,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// A file is rotated at this size, bytes.
    pub(crate) file_bytes: u64,
    /// Rotated files kept per group.
    pub(crate) files: u32,
    /// Rotated files older than this go, in groups that say nothing else.
    pub(crate) age: Duration,
}

/// Asks an environment to hand over what it holds; it drops the sender when it has, or if it cannot.
pub(crate) type Nudge = Box<dyn Fn(SyncSender<()>) + Send + Sync>;

/// Why a change of a group was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GroupError {
    /// It is there already.
    #[error("it exists")]
    Exists,
    /// There is no such group.
    #[error("there is no such group")]
    Absent,
    /// It has too many of them.
    #[error("too many streams")]
    TooMany,
    /// The file system.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Handle to the store; cheap to clone.
#[derive(Clone)]
pub(crate) struct Logs(Arc<Inner>);

struct Inner {
    orders: SyncSender<Order>,
    root: PathBuf,
    retention: Retention,
    dropped: AtomicU64,
    /// What waits for the writer.
    queued: queue::Queued,
    layout: Arc<RwLock<()>>,
    indexes: Indexes,
    /// One change of a group's description at a time.
    changes: Mutex<()>,
    nudges: Mutex<Nudges>,
}

#[derive(Default)]
struct Nudges {
    last: u64,
    /// By group and number.
    all: BTreeMap<(Arc<str>, u64), Nudge>,
}

/// An environment that can be asked; not any more once this is dropped.
pub(crate) struct Registration {
    logs: Logs,
    key: (Arc<str>, u64),
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.logs.0.nudges.lock().unwrap_or_else(PoisonError::into_inner).all.remove(&self.key);
    }
}

impl Logs {
    /// Starts the writer over `root`.
    pub(crate) fn start(root: &Path, retention: Retention) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let (orders, inbox) = sync_channel(BATCHES_MAX);
        let layout: Arc<RwLock<()>> = Arc::default();
        let writer = Writer {
            root: root.to_owned(),
            retention,
            layout: Arc::clone(&layout),
            open: BTreeMap::new(),
            pending: None,
            text: Vec::new(),
        };
        std::thread::Builder::new().name("logs".to_owned()).spawn(move || writer.run(&inbox))?;
        Ok(Self(Arc::new(Inner {
            orders,
            root: root.to_owned(),
            retention,
            dropped: AtomicU64::new(0),
            queued: queue::Queued::default(),
            layout,
            indexes: Indexes::default(),
            changes: Mutex::default(),
            nudges: Mutex::default(),
        })))
    }

    /// Hands events over without waiting; drops and counts them if the writer is too far behind, or behind with what this
    /// source has printed.
    pub(crate) fn write(&self, group: &Arc<str>, source: &Source, events: Vec<LogEvent>) {
        let count = events.len() as u64;
        if count == 0 {
            return;
        }
        let taken = self.0.queued.admit(source, &events).is_some_and(|place| {
            let group = Arc::clone(group);
            self.0.orders.try_send(Order::Write { group, events, place: Some(place) }).is_ok()
        });
        if !taken {
            self.0.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Hands events over and waits until they are in the files. Blocks.
    pub(crate) fn write_through(&self, group: &Arc<str>, events: Vec<LogEvent>) {
        // The writer lives as long as this handle.
        self.0.orders.send(Order::Write { group: Arc::clone(group), events, place: None }).ok();
        self.flush();
    }

    /// Events dropped since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything handed over so far is in the files. Blocks.
    pub(crate) fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.0.orders.send(Order::Flush(done)).is_ok() {
            wait.recv_timeout(FLUSH_MAX).ok();
        }
    }

    /// An environment that writes to a group and can be asked for what it holds.
    pub(crate) fn register(&self, group: &Arc<str>, nudge: Nudge) -> Registration {
        let mut nudges = self.0.nudges.lock().unwrap_or_else(PoisonError::into_inner);
        nudges.last += 1;
        let key = (Arc::clone(group), nudges.last);
        nudges.all.insert(key.clone(), nudge);
        drop(nudges);
        Registration { logs: self.clone(), key }
    }

    /// Waits until what a group's environments hold is in the files. Without it an event could appear in the past of a
    /// reader who has already read on. Blocks.
    fn gather(&self, group: &str) {
        let (done, wait) = sync_channel(1);
        {
            let nudges = self.0.nudges.lock().unwrap_or_else(PoisonError::into_inner);
            let group: Arc<str> = group.into();
            for (_, nudge) in nudges.all.range((Arc::clone(&group), 0)..=(group, u64::MAX)) {
                nudge(done.clone());
            }
        }
        drop(done);
        // Nothing is ever sent: it ends when all have dropped their sender.
        wait.recv_timeout(HAND_OVER_MAX).ok();
        self.flush();
    }

    /// The last `limit` events of a group that are not older than `since`, oldest first. Blocks.
    pub(crate) fn read(&self, group: &str, since: WallTime, limit: usize) -> io::Result<Vec<LogEvent>> {
        let query = Query {
            streams: &Streams::All,
            from: Key::start_of(since.as_millis()),
            until: Key::start_of(u64::MAX),
            direction: Direction::Backward,
            limit,
            bytes: READ_BYTES_MAX,
            matches: &|_| true,
        };
        Ok(self.page(group, &query)?.events.into_iter().map(|(_, event)| event).collect())
    }

    /// Answers a question; a group that is not there has no events. Blocks.
    pub(crate) fn page(&self, group: &str, query: &Query<'_>) -> io::Result<Page> {
        self.gather(group);
        let sources = self.sources(group)?;
        let tasks = self.0.indexes.with(group, |index| {
            index.follow(&sources)?;
            Ok::<_, io::Error>(query::plan(index, &sources, query))
        })?;
        query::page(&tasks, query)
    }

    /// The streams that have events, by name. Blocks.
    pub(crate) fn streams(&self, group: &str) -> io::Result<BTreeMap<Arc<str>, StreamSpan>> {
        self.gather(group);
        let sources = self.sources(group)?;
        self.0.indexes.with(group, |index| index.follow(&sources).map(|()| index.streams()))
    }

    /// Whether a stream has events. Blocks.
    pub(crate) fn has_stream(&self, group: &str, stream: &str) -> io::Result<bool> {
        self.gather(group);
        let sources = self.sources(group)?;
        self.0.indexes.with(group, |index| index.follow(&sources).map(|()| index.has_stream(stream)))
    }

    fn sources(&self, group: &str) -> io::Result<Vec<index::Source>> {
        let _still = self.0.layout.read().unwrap_or_else(PoisonError::into_inner);
        index::sources(&group::directory(&self.0.root, group))
    }

    /// The names of all groups, sorted. Blocks.
    pub(crate) fn groups(&self) -> io::Result<Vec<String>> {
        self.flush();
        group::names(&self.0.root)
    }

    /// What is known of a group, if it is there. Blocks.
    pub(crate) fn group(&self, name: &str) -> io::Result<Option<Meta>> {
        let directory = group::directory(&self.0.root, name);
        if !directory.is_dir() {
            // Its first events may be on their way.
            self.gather(name);
        }
        group::read_meta(&directory)
    }

    /// Bytes of a group's files. Blocks.
    pub(crate) fn stored_bytes(&self, name: &str) -> u64 {
        group::stored_bytes(&group::directory(&self.0.root, name))
    }

    /// Makes a group. Blocks.
    pub(crate) fn create_group(&self, meta: &Meta) -> Result<(), GroupError> {
        let _alone = self.0.changes.lock().unwrap_or_else(PoisonError::into_inner);
        match group::make(&self.0.root, meta) {
            Ok(true) => Ok(()),
            Ok(false) => Err(GroupError::Exists),
            // The writer made it meanwhile.
            Err(_) if group::directory(&self.0.root, &meta.name).is_dir() => Err(GroupError::Exists),
            Err(error) => Err(GroupError::Io(error)),
        }
    }

    /// Changes what is known of a group. Blocks.
    pub(crate) fn change_group(
        &self,
        name: &str,
        change: impl FnOnce(&mut Meta) -> Result<(), GroupError>,
    ) -> Result<(), GroupError> {
        let _alone = self.0.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut meta = self.group(name)?.ok_or(GroupError::Absent)?;
        change(&mut meta)?;
        if meta.streams.len() > MADE_STREAMS_MAX {
            return Err(GroupError::TooMany);
        }
        Ok(group::write_meta(&group::directory(&self.0.root, name), &meta)?)
    }

    /// Removes a group and everything in it. Blocks.
    pub(crate) fn delete_group(&self, name: &str) -> Result<(), GroupError> {
        let _alone = self.0.changes.lock().unwrap_or_else(PoisonError::into_inner);
        self.group(name)?.ok_or(GroupError::Absent)?;
        let (done, wait) = sync_channel(1);
        let gone = || io::Error::other("the log writer is gone");
        self.0.orders.send(Order::Delete { group: name.into(), done }).map_err(|_| gone())?;
        wait.recv().map_err(|_| gone())??;
        self.0.indexes.forget(name);
        Ok(())
    }

    /// Removes what is too old in groups to which nothing is added any more. Blocks.
    pub(crate) fn sweep(&self) -> io::Result<()> {
        for name in group::names(&self.0.root)? {
            let directory = group::directory(&self.0.root, &name);
            let asked = group::read_meta(&directory)?.and_then(|meta| meta.retention());
            let age = asked.unwrap_or(self.0.retention.age);
            let current = directory.join(group::CURRENT);
            if group::is_older(&current, age) && current.metadata().is_ok_and(|data| data.len() > 0) {
                self.0.orders.send(Order::Close(name.into())).ok();
            } else {
                group::prune(&directory, self.0.retention.files as usize, age)?;
            }
        }
        Ok(())
    }
}
