//! The thread that writes events: collects what is handed over, adds it to the files, closes and removes files.
//!
//! It alone adds to files and renames them. Closing and deleting exclude readers for a moment (`layout`), so that a
//! reader never takes one file for another; adding does not.

use super::group::{self, CURRENT, Meta};
use super::queue::Place;
use super::{LogEvent, Retention};
use crate::daemon::clock;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Batches that wait for the writer. What they hold is bounded in bytes (`queue.rs`).
pub(super) const BATCHES_MAX: usize = 4096;
/// Files kept open by the writer.
const OPEN_FILES_MAX: usize = 64;
/// Bytes collected for one write.
const TEXT_MAX: usize = 256 * 1024;
/// The writer's rest between two rounds: waking it for each invocation cost more than its work.
const PAUSE: Duration = Duration::from_millis(4);

/// What the writer is told.
pub(super) enum Order {
    /// Events to be added, and what they hold of the queue's bytes; none if their sender waits for them.
    Write { group: Arc<str>, events: Vec<LogEvent>, place: Option<Place> },
    /// Answered when everything before it is in the files.
    Flush(SyncSender<()>),
    /// A new file is begun.
    Close(Arc<str>),
    /// The group goes with everything in it.
    Delete { group: Arc<str>, done: SyncSender<io::Result<()>> },
}

/// The state of the thread.
pub(super) struct Writer {
    /// Where the groups are.
    pub(super) root: PathBuf,
    /// How much is kept of groups that say nothing else.
    pub(super) retention: Retention,
    /// Held for writing while files change their names.
    pub(super) layout: Arc<RwLock<()>>,
    pub(super) open: BTreeMap<Arc<str>, (File, u64)>,
    /// The group that `text` is to be written to.
    pub(super) pending: Option<Arc<str>>,
    pub(super) text: Vec<u8>,
}

impl Writer {
    /// Works until nobody can send orders any more.
    pub(super) fn run(mut self, inbox: &Receiver<Order>) {
        while let Ok(first) = inbox.recv() {
            let mut flushes = Vec::new();
            for order in std::iter::once(first).chain(inbox.try_iter().take(BATCHES_MAX)) {
                match order {
                    Order::Write { group, events, place } => {
                        self.take(&group, &events);
                        drop((events, place));
                    }
                    Order::Flush(done) => flushes.push(done),
                    Order::Close(group) => self.close(&group),
                    Order::Delete { group, done } => {
                        done.send(self.delete(&group)).ok();
                    }
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
            group::make(&self.root, &Meta::new(group, clock::wall().as_millis()))?;
            let path = group::directory(&self.root, group).join(CURRENT);
            let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
            let length = file.metadata()?.len();
            end_torn_line(&mut file, length)?;
            self.open.insert(Arc::clone(group), (file, length));
        }
        let Some((file, length)) = self.open.get_mut(group) else { return Ok(()) };
        file.write_all(&self.text)?;
        *length += self.text.len() as u64;
        if *length >= self.retention.file_bytes {
            self.rotate(group)?;
        }
        Ok(())
    }

    /// Closes the current file, and removes what is too much or too old.
    fn rotate(&mut self, group: &str) -> io::Result<()> {
        self.open.remove(group);
        let directory = group::directory(&self.root, group);
        {
            let _alone = self.layout.write().unwrap_or_else(PoisonError::into_inner);
            let number = group::current_number(&group::closed(&directory)?);
            fs::rename(directory.join(CURRENT), group::closed_path(&directory, number))?;
        }
        let asked = group::read_meta(&directory)?.and_then(|meta| meta.retention());
        group::prune(&directory, self.retention.files as usize, asked.unwrap_or(self.retention.age))
    }

    fn close(&mut self, group: &str) {
        self.put();
        if !group::directory(&self.root, group).join(CURRENT).is_file() {
            return;
        }
        if let Err(error) = self.rotate(group) {
            tracing::warn!(%group, %error, "a log file could not be closed");
        }
    }

    fn delete(&mut self, group: &str) -> io::Result<()> {
        self.put();
        self.open.remove(group);
        let directory = group::directory(&self.root, group);
        let gone = self.root.join(format!("{}gone", group::HIDDEN));
        if gone.exists() {
            fs::remove_dir_all(&gone)?;
        }
        {
            let _alone = self.layout.write().unwrap_or_else(PoisonError::into_inner);
            fs::rename(directory, &gone)?;
        }
        fs::remove_dir_all(gone)
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
