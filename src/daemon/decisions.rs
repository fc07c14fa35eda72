//! Why each invocation went as it did: one small record per invocation, the last so many of them, in memory.
//!
//! A ring of cells by invocation number: no list to maintain, and a record that was overwritten is simply not found.
//! Each cell has a lock of its own, held for the few stores of one step; a reader holds one cell at a time, so nobody waits
//! for a reader who looks through all of them. Memory comes with the first invocations, a chunk at a time, and never
//! more than [`RECORDS_MAX`] records. Nothing is decided, nothing survives the daemon, and payloads are not here.

mod record;
mod window;

#[cfg(test)]
pub(super) mod tests;

pub(crate) use record::{ColdCause, Evicted, Label, Place, Record, start_word, waited_word};
pub(crate) use window::{Tally, Window};

use super::revision::Revision;
use hearth_logic::admission::Reason;
use hearth_logic::outcome::Status;
use hearth_logic::scheduler::{Decision, WaitedFor};
use hearth_logic::{Exceeded, InvocationId, RequestId, Time, WallTime};
use record::{Ending, Qualifier, State};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// Records held; about 140 bytes each (a test knows), and what environments and failures add.
pub(crate) const RECORDS_MAX: usize = 64 * 1024;
/// Records that get their memory at once.
const CHUNK: usize = 1024;
/// Evicted environments that one record names.
pub(crate) const EVICTED_MAX: usize = 8;
/// Bytes of a failure's text.
const DETAIL_MAX: usize = 256;

type Chunk = Box<[Mutex<Record>]>;

/// The ring.
pub(crate) struct Decisions {
    chunks: Box<[OnceLock<Chunk>]>,
    /// The highest number that was opened.
    newest: AtomicU64,
}

/// What is known of an invocation when it comes.
pub(crate) struct Arrival<'a> {
    /// Its number: fresh, from the daemon's own counter.
    pub(crate) id: InvocationId,
    /// The id that client and log see.
    pub(crate) request_id: RequestId,
    /// What it is to run.
    pub(crate) revision: &'a Revision,
    /// The ARN by which it was invoked.
    pub(crate) invoked_arn: &'a str,
    /// When, on the daemon's time line.
    pub(crate) since: Time,
    /// When, in the calendar.
    pub(crate) at: WallTime,
}

/// How an invocation was turned away.
pub(crate) struct TurnedAway {
    /// By which limit.
    pub(crate) reason: Reason,
    /// Which rate, if it was one.
    pub(crate) rate: Option<Exceeded>,
    /// After what pause another try may succeed.
    pub(crate) retry_after: Option<Duration>,
    /// How long it had waited.
    pub(crate) waited: Duration,
    /// What for.
    pub(crate) waited_for: Option<WaitedFor>,
    /// How much of the limit was used, and the limit, where that is a number.
    pub(crate) usage: Option<(u32, u32)>,
}

impl TurnedAway {
    /// At once, by a limit that is no rate.
    pub(crate) const fn at_once(reason: Reason) -> Self {
        let waited = Duration::ZERO;
        Self { reason, rate: None, retry_after: None, waited, waited_for: None, usage: None }
    }
}

/// How an invocation came to its environment.
pub(crate) struct Assignment<'a> {
    /// The scheduler's words.
    pub(crate) decision: &'a Decision,
    /// Why there was no environment for it, if it was started for it.
    pub(crate) cause: Option<ColdCause>,
    /// Other environments of the same revision at that moment.
    pub(crate) others: usize,
    /// Whose environments went for it.
    pub(crate) evicted: Vec<Evicted>,
}

/// How an invocation ended.
pub(crate) struct Ended<'a> {
    /// What the report says.
    pub(crate) status: Status<'a>,
    /// Whether the answer is an error document of the function's own.
    pub(crate) is_own_error: bool,
    /// The function's time.
    pub(crate) duration: Duration,
    /// The environment's initialisation, if this was its first invocation.
    pub(crate) init: Option<Duration>,
    /// When.
    pub(crate) at: Time,
}

impl Default for Decisions {
    fn default() -> Self {
        Self {
            chunks: (0..RECORDS_MAX / CHUNK).map(|_| OnceLock::new()).collect(),
            newest: AtomicU64::new(0),
        }
    }
}

impl Decisions {
    /// Opens the record of an invocation, over the oldest one.
    pub(crate) fn open(&self, arrival: &Arrival<'_>) {
        let qualifier = arrival.invoked_arn.get(arrival.revision.arn.len() + 1..).unwrap_or_default();
        let record = Record {
            id: arrival.id.0,
            request_id: arrival.request_id,
            at: arrival.at,
            since: arrival.since,
            label: Some(Arc::clone(&arrival.revision.label)),
            qualifier: Qualifier::of(qualifier),
            state: State::Waiting,
            ..Record::EMPTY
        };
        // What was there is dropped after the lock.
        let before = std::mem::replace(&mut *self.cell(arrival.id.0), record);
        self.newest.fetch_max(arrival.id.0, Ordering::Relaxed);
        drop(before);
    }

    /// An environment gets it.
    pub(crate) fn assigned(&self, id: InvocationId, assignment: Assignment<'_>) {
        let Assignment { decision, cause, others, mut evicted } = assignment;
        self.change(id, |record| {
            record.state = State::Running;
            record.start = Some(decision.start);
            record.spilled_over = decision.spilled_over;
            record.waited_for = decision.waited_for;
            record.waited_us = micros(decision.waited);
            record.cause = cause;
            record.used = u32::try_from(others).unwrap_or(u32::MAX);
            // It may have been refused for a moment, and offered again.
            (record.reason, record.rate, record.limit) = (None, None, 0);
            record.deliveries = record.deliveries.saturating_add(1);
            if !decision.evicted.is_empty() {
                evicted.truncate(EVICTED_MAX);
                let all = u32::try_from(decision.evicted.len()).unwrap_or(u32::MAX);
                let extra = record.extra();
                (extra.evicted, extra.evicted_all) = (evicted, all);
            }
        });
    }

    /// A limit refused it.
    pub(crate) fn refused(&self, id: InvocationId, away: &TurnedAway) {
        self.change(id, |record| {
            record.state = State::Refused;
            (record.reason, record.rate) = (Some(away.reason), away.rate);
            record.waited_for = away.waited_for;
            record.waited_us = micros(away.waited);
            record.total_us = record.waited_us;
            (record.used, record.limit) = away.usage.unwrap_or_default();
            record.has_usage = away.usage.is_some();
            if let Some(pause) = away.retry_after {
                record.extra().retry_after = Some(pause);
            }
        });
    }

    /// It came to nothing by a fault of this machine. One that has ended stays as it is.
    pub(crate) fn failed(&self, id: InvocationId, detail: &str, now: Time) {
        self.change(id, |record| {
            if matches!(record.state, State::Waiting | State::Running) {
                record.state = State::Failed;
                record.total_us = micros(now.since(record.since));
                record.extra().detail = Some(cut(detail).into());
            }
        });
    }

    /// An environment has it.
    pub(crate) fn begun(&self, id: InvocationId, place: &Arc<Place>) {
        self.change(id, |record| record.place = Some(Arc::clone(place)));
    }

    /// It ran, and this is what came of it.
    pub(crate) fn ended(&self, id: InvocationId, ended: &Ended<'_>) {
        self.change(id, |record| {
            record.state = State::Ended(match &ended.status {
                _ if ended.is_own_error => Ending::FunctionError,
                Status::Success => Ending::Success,
                Status::Timeout => Ending::Timeout,
                Status::Error { error_type } => {
                    record.extra().detail = Some(cut(error_type.unwrap_or("Unknown")).into());
                    Ending::Error
                }
            });
            record.duration_us = micros(ended.duration);
            record.init_us = ended.init.map(micros);
            record.total_us = micros(ended.at.since(record.since));
        });
    }

    /// The record of a request, if it is still held. Looks at all of them: not for the async threads.
    pub(crate) fn find(&self, request_id: RequestId) -> Option<Record> {
        self.held().find(|record| record.request_id == request_id)
    }

    /// The last records of a function, or of what was called by one qualifier of it, newest first.
    pub(crate) fn last(&self, function: &str, qualifier: Option<&str>, count: usize) -> Vec<Record> {
        let wanted = |record: &Record| {
            record.function() == function && qualifier.is_none_or(|one| record.qualifier.as_str() == one)
        };
        self.held().filter(wanted).take(count).collect()
    }

    /// How many records are held, and when the oldest of them came.
    pub(crate) fn extent(&self) -> (usize, Option<WallTime>) {
        let newest = self.newest.load(Ordering::Relaxed);
        let count = usize::try_from(newest).unwrap_or(usize::MAX).min(RECORDS_MAX);
        (count, self.record(self.oldest()).map(|record| record.at))
    }

    /// What ended since then, function by function.
    pub(crate) fn window(&self, since: Time) -> Window {
        let mut window = Window::default();
        for record in self.held() {
            window.count(&record, since);
        }
        window
    }

    /// Copies of all records, newest first; those that change meanwhile are as they were or as they are.
    fn held(&self) -> impl Iterator<Item = Record> + '_ {
        let newest = self.newest.load(Ordering::Relaxed);
        (self.oldest()..=newest).rev().filter_map(|id| self.record(id))
    }

    fn oldest(&self) -> u64 {
        self.newest.load(Ordering::Relaxed).saturating_sub(RECORDS_MAX as u64 - 1).max(1)
    }

    fn record(&self, id: u64) -> Option<Record> {
        let (chunk, at) = place_of(id);
        let record = self.chunks[chunk].get()?[at].lock().unwrap_or_else(PoisonError::into_inner);
        (record.id == id).then(|| record.clone())
    }

    fn change(&self, id: InvocationId, change: impl FnOnce(&mut Record)) {
        let mut record = self.cell(id.0);
        // Another one may have its place by now.
        if record.id == id.0 {
            change(&mut record);
        }
    }

    fn cell(&self, id: u64) -> MutexGuard<'_, Record> {
        let (chunk, at) = place_of(id);
        let chunk =
            self.chunks[chunk].get_or_init(|| (0..CHUNK).map(|_| Mutex::new(Record::EMPTY)).collect());
        chunk[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which cell a number has: chunk, and place in it.
fn place_of(id: u64) -> (usize, usize) {
    let cell = usize::try_from(id % RECORDS_MAX as u64).unwrap_or(0);
    (cell / CHUNK, cell % CHUNK)
}

/// Microseconds, at most 71 minutes.
fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

fn cut(text: &str) -> &str {
    let end = (0..=DETAIL_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}
