//! What waits for the writer, in bytes: all together, and of one source.
//!
//! The number of batches says little: one may hold a few bytes or many megabytes, and a function decides which. A source
//! that prints faster than the disk takes loses its own events before it loses those of others. Nothing here waits.

use super::LogEvent;
use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that may wait in all.
const QUEUED_MAX: usize = 64 << 20;
/// Bytes of one source that may wait: a sixteenth.
const QUEUED_OF_SOURCE_MAX: usize = QUEUED_MAX / 16;
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
        (all <= QUEUED_MAX && of_source <= QUEUED_OF_SOURCE_MAX).then_some(place)
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

    #[test]
    fn one_source_cannot_take_the_room_of_others_and_all_together_have_a_bound() {
        let queued = Queued::default();
        let (one, mut held) = (Source::default(), Vec::new());
        while let Some(place) = queued.admit(&one, &batch(1, 200_000)) {
            held.push(place);
        }
        assert!((15..=21).contains(&held.len()), "{} of 200 kB within 4 MiB", held.len());
        for _ in 0..100 {
            let other = Source::default();
            while let Some(place) = queued.admit(&other, &batch(1, 200_000)) {
                held.push(place);
            }
        }
        assert!((300..=336).contains(&held.len()), "{} of 200 kB within 64 MiB", held.len());
        drop(held);
        assert_eq!(queued.0.load(Ordering::Acquire), 0, "all is given back, also what was refused");
        assert!(queued.admit(&one, &batch(1, 200_000)).is_some());
    }

    #[test]
    fn empty_lines_are_not_for_nothing() {
        let queued = Queued::default();
        let (source, lines) = (Source::default(), batch(1_000, 1));
        let place = queued.admit(&source, &lines).expect("there is room");
        assert!(place.bytes >= 1_000 * size_of::<LogEvent>(), "{}", place.bytes);
    }
}
