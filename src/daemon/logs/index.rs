//! Where in a group's files which times and streams are, so that a question reads the blocks that can answer it.
//!
//! Made by readers when somebody asks, never by the writer: a group that nobody reads costs nothing. The first question
//! to a group reads its files once (the heads of the events, at a few hundred MB/s); later ones read what was added
//! since. Kept in memory within [`ENTRIES_MAX`], the groups asked last; after a restart it is made again.

use super::group::{self, CURRENT, EventFile};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Streams and blocks that all kept indexes have together, at about 150 bytes each; the group asked last is kept even
/// if it alone has more.
const ENTRIES_MAX: usize = 200_000;
/// Bytes of a file that are one block: what a question reads at least.
const BLOCK_MIN: u64 = 256 * 1024;
/// Blocks of one file at most, however large files may be.
const BLOCKS_PER_FILE: u64 = 256;

/// A part of a file and the times in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Where it begins.
    pub(super) offset: u64,
    /// How long it is.
    pub(super) length: u64,
    /// The earliest event in it.
    pub(super) first_ms: u64,
    /// The latest.
    pub(super) last_ms: u64,
}

/// What a file, or a group, has of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamSpan {
    /// The earliest event.
    pub(crate) first_ms: u64,
    /// The latest event.
    pub(crate) last_ms: u64,
    /// When the first one that is still there came.
    pub(crate) created_ms: u64,
    /// When the last one came.
    pub(crate) ingested_ms: u64,
    blocks: (usize, usize),
}

impl StreamSpan {
    fn join(&mut self, other: &Self) {
        self.first_ms = self.first_ms.min(other.first_ms);
        self.last_ms = self.last_ms.max(other.last_ms);
        self.created_ms = self.created_ms.min(other.created_ms);
        self.ingested_ms = self.ingested_ms.max(other.ingested_ms);
    }
}

/// The index of one file.
#[derive(Clone, Debug, Default)]
pub(super) struct FileIndex {
    covered: u64,
    pub(super) blocks: Vec<Block>,
    pub(super) streams: BTreeMap<Arc<str>, StreamSpan>,
}

/// An event without its text.
#[derive(Deserialize)]
struct Head<'a> {
    timestamp: u64,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(default)]
    ingested: Option<u64>,
}

impl FileIndex {
    /// Reads what was added to the file since the last time.
    fn extend(&mut self, file: &File) -> io::Result<()> {
        let length = file.metadata()?.len();
        if length < self.covered {
            // Emptied for its age.
            *self = Self::default();
        }
        if length == self.covered {
            return Ok(());
        }
        let block_bytes = BLOCK_MIN.max(length / BLOCKS_PER_FILE);
        let mut file = file.try_clone()?;
        file.seek(SeekFrom::Start(self.covered))?;
        let mut reader = BufReader::with_capacity(64 * 1024, file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line)? as u64;
            if read == 0 || line.last() != Some(&b'\n') {
                // Half a line: the writer is at it.
                return Ok(());
            }
            // A torn line of a crashed run is no event.
            if let Ok(head) = serde_json::from_slice::<Head<'_>>(&line) {
                self.add(self.covered, read, &head, block_bytes);
            }
            self.covered += read;
        }
    }

    fn add(&mut self, offset: u64, length: u64, head: &Head<'_>, block_bytes: u64) {
        let ms = head.timestamp;
        match self.blocks.last_mut() {
            Some(block) if block.length < block_bytes => {
                block.length = offset + length - block.offset;
                block.first_ms = block.first_ms.min(ms);
                block.last_ms = block.last_ms.max(ms);
            }
            _ => self.blocks.push(Block { offset, length, first_ms: ms, last_ms: ms }),
        }
        let ingested_ms = head.ingested.unwrap_or(ms);
        let at = self.blocks.len() - 1;
        let new =
            StreamSpan { first_ms: ms, last_ms: ms, created_ms: ingested_ms, ingested_ms, blocks: (at, at) };
        match self.streams.get_mut(head.stream.as_ref()) {
            Some(span) => {
                span.join(&new);
                span.blocks.1 = at;
            }
            None => drop(self.streams.insert(head.stream.as_ref().into(), new)),
        }
    }

    /// Between which blocks a stream's events are.
    pub(super) fn blocks_of(&self, stream: &str) -> Option<std::ops::RangeInclusive<usize>> {
        self.streams.get(stream).map(|span| span.blocks.0..=span.blocks.1)
    }

    fn entries(&self) -> usize {
        self.streams.len() + self.blocks.len()
    }
}

/// A file as it is read, open if its name may come to mean another.
pub(super) struct Source {
    /// Its place in the order of files.
    pub(super) number: u64,
    file: Option<File>,
    path: std::path::PathBuf,
}

impl Source {
    /// The file; `None` if it is gone by now.
    pub(super) fn open(&self) -> io::Result<Option<File>> {
        match &self.file {
            Some(file) => file.try_clone().map(Some),
            None => match File::open(&self.path) {
                Ok(file) => Ok(Some(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            },
        }
    }
}

/// The files of a group, oldest first, the current one open. Whoever calls keeps files from being closed meanwhile.
pub(super) fn sources(directory: &Path) -> io::Result<Vec<Source>> {
    let closed = group::closed(directory)?;
    let number = group::current_number(&closed);
    let mut sources: Vec<Source> =
        closed.into_iter().map(|EventFile { number, path }| Source { number, file: None, path }).collect();
    let path = directory.join(CURRENT);
    match File::open(&path) {
        Ok(file) => sources.push(Source { number, file: Some(file), path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(sources)
}

/// The index of one group: a file's index by its number.
#[derive(Debug, Default)]
pub(super) struct GroupIndex {
    pub(super) files: BTreeMap<u64, FileIndex>,
}

impl GroupIndex {
    /// Brings it up to date with these files.
    pub(super) fn follow(&mut self, sources: &[Source]) -> io::Result<()> {
        self.files.retain(|number, _| sources.iter().any(|source| source.number == *number));
        for source in sources {
            if let Some(file) = source.open()? {
                self.files.entry(source.number).or_default().extend(&file)?;
            }
        }
        Ok(())
    }

    /// All streams of the group.
    pub(super) fn streams(&self) -> BTreeMap<Arc<str>, StreamSpan> {
        let mut all: BTreeMap<Arc<str>, StreamSpan> = BTreeMap::new();
        for (name, span) in self.files.values().flat_map(|file| &file.streams) {
            match all.get_mut(name) {
                Some(known) => known.join(span),
                None => drop(all.insert(Arc::clone(name), *span)),
            }
        }
        all
    }

    /// Whether a stream has events.
    pub(super) fn has_stream(&self, name: &str) -> bool {
        self.files.values().any(|file| file.streams.contains_key(name))
    }

    fn entries(&self) -> usize {
        self.files.values().map(FileIndex::entries).sum()
    }
}

/// Indexes kept for the next question.
#[derive(Default)]
pub(super) struct Indexes(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    clock: u64,
    groups: BTreeMap<String, Entry>,
}

struct Entry {
    index: Arc<Mutex<GroupIndex>>,
    used: u64,
    entries: usize,
}

impl Indexes {
    /// Uses a group's index, made or brought up to date by `each` itself.
    pub(super) fn with<T>(&self, group: &str, each: impl FnOnce(&mut GroupIndex) -> T) -> T {
        let index = {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.clock += 1;
            let used = kept.clock;
            let entry = kept.groups.entry(group.to_owned()).or_insert_with(|| Entry {
                index: Arc::default(),
                used,
                entries: 0,
            });
            entry.used = used;
            Arc::clone(&entry.index)
        };
        let mut index = index.lock().unwrap_or_else(PoisonError::into_inner);
        let result = each(&mut index);
        let entries = index.entries();
        drop(index);
        self.settle(group, entries);
        result
    }

    fn settle(&self, group: &str, entries: usize) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = kept.groups.get_mut(group) {
            // An entry weighs something even if it is empty.
            entry.entries = entries + 1;
        }
        while kept.groups.len() > 1
            && kept.groups.values().map(|entry| entry.entries).sum::<usize>() > ENTRIES_MAX
        {
            let oldest = kept.groups.iter().min_by_key(|(_, entry)| entry.used).map(|(name, _)| name.clone());
            let Some(oldest) = oldest else { return };
            kept.groups.remove(&oldest);
        }
    }

    /// The group was deleted.
    pub(super) fn forget(&self, group: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).groups.remove(group);
    }
}
