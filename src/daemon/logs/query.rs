//! Questions to a group's events: a page of them in the order of their times, forwards or backwards.
//!
//! Events stand in files in the order in which they came, which is not quite that of their times: an environment hands
//! over what it holds when it has something to hand over. So blocks are read in the order of their earliest times, the
//! smallest keys are kept, and reading stops where no later block can hold a smaller one. A page is bounded in events
//! and bytes, its making in bytes read.

use super::LogEvent;
use super::index::{Block, FileIndex, GroupIndex, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

/// Bytes read for one page: then it ends early, and the next one goes on.
const SCAN_MAX: u64 = 64 << 20;
/// What CloudWatch adds to a message's length when it counts bytes.
pub(crate) const EVENT_OVERHEAD: usize = 26;

/// The place of an event in the order of times; of equal times the one that came first is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Its time, milliseconds since the epoch.
    pub(crate) ms: u64,
    /// Its file's number.
    pub(crate) file: u64,
    /// Where in the file.
    pub(crate) offset: u64,
}

impl Key {
    /// After every event of that moment.
    const fn end_of(ms: u64) -> Self {
        Self { ms, file: u64::MAX, offset: u64::MAX }
    }

    /// Before every event of that moment.
    pub(crate) const fn start_of(ms: u64) -> Self {
        Self { ms, file: 0, offset: 0 }
    }
}

/// Which streams are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Streams {
    /// All of them.
    #[default]
    All,
    /// Those.
    Named(BTreeSet<String>),
    /// Those whose names begin so.
    Prefixed(String),
    /// Those whose names begin like one of these.
    PrefixedByAny(Vec<String>),
}

impl Streams {
    /// Whether a stream is among them.
    pub(crate) fn contain(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(name),
            Self::Prefixed(prefix) => name.starts_with(prefix.as_str()),
            Self::PrefixedByAny(prefixes) => prefixes.iter().any(|prefix| name.starts_with(prefix.as_str())),
        }
    }

    /// Whether a block may hold events of them.
    fn may_be_in(&self, file: &FileIndex, block: usize) -> bool {
        match self {
            Self::All | Self::Prefixed(_) | Self::PrefixedByAny(_) => true,
            Self::Named(names) => {
                names.iter().any(|name| file.blocks_of(name).is_some_and(|range| range.contains(&block)))
            }
        }
    }
}

/// From which end a page is filled. Its events are in the order of time either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The first events after `from`.
    Forward,
    /// The last events before `until`.
    Backward,
}

/// What a page is to hold.
pub(crate) struct Query<'a> {
    /// Of which streams.
    pub(crate) streams: &'a Streams,
    /// Not before this place.
    pub(crate) from: Key,
    /// Before this place.
    pub(crate) until: Key,
    /// From which end.
    pub(crate) direction: Direction,
    /// Events at most.
    pub(crate) limit: usize,
    /// Bytes of messages at most, with [`EVENT_OVERHEAD`] each; one event there is always.
    pub(crate) bytes: usize,
    /// Which messages.
    pub(crate) matches: &'a dyn Fn(&str) -> bool,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// In the order of time.
    pub(crate) events: Vec<(Key, LogEvent)>,
    /// Where the next page begins (forwards: its `from`; backwards: its `until`), if there may be one.
    pub(crate) next: Option<Key>,
}

/// One block to be read.
pub(super) struct Task<'s> {
    source: &'s Source,
    block: Block,
}

/// Reads blocks in the order of [`plan`] for a page.
pub(super) fn page(tasks: &[Task<'_>], query: &Query<'_>) -> io::Result<Page> {
    let mut kept = Kept { query, events: BTreeMap::new(), bytes: 0, edge: None };
    let mut scanned = 0;
    for task in tasks {
        if !kept.may_want(&task.block) {
            break;
        }
        if scanned >= SCAN_MAX
            && let Some(cut) = kept.cut_before(&task.block)
        {
            return Ok(kept.end_at(cut));
        }
        scanned += task.block.length;
        read(task, |key, event| kept.offer(key, event))?;
    }
    Ok(kept.end())
}

/// The blocks that may hold an answer, in the order in which they are read.
pub(super) fn plan<'s>(index: &GroupIndex, sources: &'s [Source], query: &Query<'_>) -> Vec<Task<'s>> {
    let mut tasks = Vec::new();
    for source in sources {
        let Some(file) = index.files.get(&source.number) else { continue };
        for (at, block) in file.blocks.iter().enumerate() {
            let in_time = block.last_ms >= query.from.ms && block.first_ms <= query.until.ms;
            if in_time && query.streams.may_be_in(file, at) {
                tasks.push(Task { source, block: *block });
            }
        }
    }
    match query.direction {
        Direction::Forward => tasks.sort_by_key(|task| task.block.first_ms),
        Direction::Backward => tasks.sort_by_key(|task| std::cmp::Reverse(task.block.last_ms)),
    }
    tasks
}

fn read(task: &Task<'_>, mut each: impl FnMut(Key, LogEvent)) -> io::Result<()> {
    let Some(mut file) = task.source.open()? else { return Ok(()) };
    file.seek(SeekFrom::Start(task.block.offset))?;
    let mut reader = BufReader::with_capacity(64 * 1024, file.take(task.block.length));
    let (mut line, mut offset) = (Vec::new(), task.block.offset);
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)? as u64;
        if length == 0 {
            return Ok(());
        }
        if let Ok(event) = serde_json::from_slice::<LogEvent>(&line) {
            each(Key { ms: event.timestamp, file: task.source.number, offset }, event);
        }
        offset += length;
    }
}

/// The best events so far.
struct Kept<'q> {
    query: &'q Query<'q>,
    events: BTreeMap<Key, LogEvent>,
    bytes: usize,
    /// The best key that had no room: from there on nothing is kept.
    edge: Option<Key>,
}

impl Kept<'_> {
    fn may_want(&self, block: &Block) -> bool {
        match (self.edge, self.query.direction) {
            (None, _) => true,
            (Some(edge), Direction::Forward) => block.first_ms <= edge.ms,
            (Some(edge), Direction::Backward) => block.last_ms >= edge.ms,
        }
    }

    fn offer(&mut self, key: Key, event: LogEvent) {
        let query = self.query;
        let beyond = self.edge.is_some_and(|edge| match query.direction {
            Direction::Forward => key >= edge,
            Direction::Backward => key <= edge,
        });
        let wanted = !beyond && key >= query.from && key < query.until;
        if !wanted || !query.streams.contain(&event.stream) || !(query.matches)(&event.message) {
            return;
        }
        self.bytes += event.message.len() + EVENT_OVERHEAD;
        self.events.insert(key, event);
        while self.events.len() > query.limit || self.bytes > query.bytes && self.events.len() > 1 {
            let worst = match query.direction {
                Direction::Forward => self.events.pop_last(),
                Direction::Backward => self.events.pop_first(),
            };
            let Some((key, event)) = worst else { break };
            self.bytes -= event.message.len() + EVENT_OVERHEAD;
            self.edge = Some(key);
        }
    }

    /// Where a page can end that has read every block before this one; `None` if the next would begin where this began.
    fn cut_before(&self, block: &Block) -> Option<Key> {
        match self.query.direction {
            Direction::Forward => Some(Key::start_of(block.first_ms)).filter(|cut| *cut > self.query.from),
            Direction::Backward => Some(Key::end_of(block.last_ms)).filter(|cut| *cut < self.query.until),
        }
    }

    fn end_at(mut self, cut: Key) -> Page {
        match self.query.direction {
            Direction::Forward => drop(self.events.split_off(&cut)),
            Direction::Backward => self.events = self.events.split_off(&cut),
        }
        Page { events: self.events.into_iter().collect(), next: Some(cut) }
    }

    fn end(self) -> Page {
        let next = match self.query.direction {
            Direction::Forward => self.edge,
            // `until` is exclusive: the event that had no room is the last of the next page.
            Direction::Backward => self.edge.map(|edge| Key { offset: edge.offset + 1, ..edge }),
        };
        Page { events: self.events.into_iter().collect(), next }
    }
}
