//! What waits for the writer, in bytes: all together, and of one source.
//!
//! The number of batches says little: one may hold a few bytes or many megabytes, and a function decides which. A source
//! may have as much waiting as is free beside it: one alone half of all, three a quarter each, and there is always as
//! much left for the next. So who prints faster than the disk takes loses its own events and not those of others.
//! Nothing here waits.

use super::LogEvent;
use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that may wait in all.
const QUEUED_MAX: usize = 64 << 20;
/// What the allocator adds to a message, however short.
const ALLOCATION: usize = 32;

/// Whoever prints: an environment, usually.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source(Arc<AtomicUsize>);

/// What waits of all sources.
#[derive(Clone, Debug, Default)]
pub(super) struct Queued(Arc<AtomicUsize>);

/// The bytes of one batch; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    all: Arc<AtomicUsize>,
    source: Arc<AtomicUsize>,
    bytes: usize,
}

impl Queued {
    /// Counts a batch; `None` if there is no room for it.
    pub(super) fn admit(&self, source: &Source, events: &[LogEvent]) -> Option<Place> {
        let bytes =
            events.iter().map(|event| size_of::<LogEvent>() + ALLOCATION + event.message.capacity()).sum();
        // Counted first and looked at then: two at once can only be too strict.
        let place = Place { all: Arc::clone(&self.0), source: Arc::clone(&source.0), bytes };
        let all = self.0.fetch_add(bytes, Ordering::AcqRel) + bytes;
        let of_source = source.0.fetch_add(bytes, Ordering::AcqRel) + bytes;
        // On refusal the place goes at once, and gives its bytes back.
        (of_source <= QUEUED_MAX.saturating_sub(all)).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::AcqRel);
        self.source.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(messages: usize, length: usize) -> Vec<LogEvent> {
        let stream: Arc<str> = "s".into();
        let event = |_| LogEvent {
            timestamp: 1,
            stream: Arc::clone(&stream),
            message: "x".repeat(length),
            ingested: None,
        };
        (0..messages).map(event).collect()
    }

    /// How many batches of a tenth of a MiB a source gets in.
    fn fill(queued: &Queued, held: &mut Vec<Place>) -> usize {
        let (source, before) = (Source::default(), held.len());
        while let Some(place) = queued.admit(&source, &batch(1, 104_000)) {
            held.push(place);
        }
        held.len() - before
    }

    #[test]
    fn each_source_may_have_what_is_free_beside_it_and_something_is_always_free() {
        let (queued, mut held) = (Queued::default(), Vec::new());
        let tenths: Vec<usize> = (0..4).map(|_| fill(&queued, &mut held) / 10).collect();
        assert_eq!(tenths, [32, 16, 8, 4], "MiB of 64");
        for _ in 0..100 {
            fill(&queued, &mut held);
        }
        assert!(queued.0.load(Ordering::Acquire) <= QUEUED_MAX);
        drop(held);
        assert_eq!(queued.0.load(Ordering::Acquire), 0, "all is given back, also what was refused");
        assert_eq!(fill(&queued, &mut Vec::new()) / 10, 32);
    }

    #[test]
    fn empty_lines_are_not_for_nothing() {
        let queued = Queued::default();
        let (source, lines) = (Source::default(), batch(1_000, 1));
        let place = queued.admit(&source, &lines).expect("there is room");
        assert!(place.bytes >= 1_000 * size_of::<LogEvent>(), "{}", place.bytes);
    }
}
