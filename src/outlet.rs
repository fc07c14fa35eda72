//! The way of the daemon's own log to standard error: a thread writes it, so that whoever reads it can stand still.
//!
//! A full pipe to a journal that hangs would stop the thread that logs, and with it everybody's calls. Here lines beyond
//! a bound are dropped and counted, and the log says so when it is read again. Until `start`, lines are written at once:
//! before privileges are given up there must be one thread only. What the forker says goes to standard error directly: it
//! speaks of failures, seldom, and has no second thread.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Lines that wait to be written.
const LINES_MAX: usize = 4096;
/// Their bytes.
const BYTES_MAX: usize = 4 << 20;
/// At the end, what waits has this long to be written.
const FLUSH_MAX: Duration = Duration::from_secs(1);

static OUTLET: OnceLock<Outlet> = OnceLock::new();

enum Parcel {
    Line(Vec<u8>),
    /// Answered when everything before it is written.
    Flush(SyncSender<()>),
}

/// What the writing thread and those who log share.
#[derive(Default)]
struct Backlog {
    bytes: AtomicUsize,
    lost: AtomicU64,
}

struct Outlet {
    parcels: SyncSender<Parcel>,
    backlog: Arc<Backlog>,
}

/// From here on a thread writes; what waits is written when the returned value is dropped, if that is possible at once.
pub(crate) fn start() -> io::Result<Ending> {
    let outlet = Outlet::start(io::stderr(), |lost| {
        tracing::warn!(lost, "lines of this log are missing here: nobody took them in time");
    })?;
    OUTLET.set(outlet).ok();
    Ok(Ending(()))
}

/// The end of the log.
pub(crate) struct Ending(());

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(outlet) = OUTLET.get() {
            outlet.flush(FLUSH_MAX);
        }
    }
}

/// One event's line.
pub(crate) struct Line(());

/// For the subscriber, which asks for one with each event.
pub(crate) fn line() -> Line {
    Line(())
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match OUTLET.get() {
            Some(outlet) => outlet.put(bytes),
            None => io::stderr().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Outlet {
    /// `missing` is told, between two lines, how many were dropped since the last time.
    fn start(
        writer: impl Write + Send + 'static,
        missing: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let (parcels, inbox) = sync_channel(LINES_MAX);
        let backlog = Arc::<Backlog>::default();
        let shared = Arc::clone(&backlog);
        let thread = std::thread::Builder::new().name("log".to_owned());
        thread.spawn(move || write_all(writer, &inbox, &shared, missing))?;
        Ok(Self { parcels, backlog })
    }

    /// Never waits.
    fn put(&self, bytes: &[u8]) {
        let length = bytes.len();
        let has_room = self.backlog.bytes.fetch_add(length, Ordering::AcqRel) + length <= BYTES_MAX;
        if !has_room || self.parcels.try_send(Parcel::Line(bytes.to_vec())).is_err() {
            self.backlog.bytes.fetch_sub(length, Ordering::AcqRel);
            self.backlog.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self, limit: Duration) {
        const PAUSE: Duration = Duration::from_millis(5);
        let (done, wait) = sync_channel(1);
        let mut parcel = Parcel::Flush(done);
        let mut waited = Duration::ZERO;
        // A full queue may be one that is being read; if nobody reads, the limit ends it.
        while let Err(TrySendError::Full(back)) = self.parcels.try_send(parcel) {
            if waited >= limit {
                return;
            }
            parcel = back;
            std::thread::sleep(PAUSE);
            waited += PAUSE;
        }
        wait.recv_timeout(limit).ok();
    }
}

fn write_all(mut writer: impl Write, inbox: &Receiver<Parcel>, backlog: &Backlog, missing: impl Fn(u64)) {
    for parcel in inbox {
        match parcel {
            Parcel::Line(bytes) => {
                // A log that cannot be written has nowhere to say so.
                writer.write_all(&bytes).ok();
                backlog.bytes.fetch_sub(bytes.len(), Ordering::AcqRel);
            }
            Parcel::Flush(done) => drop(done.send(())),
        }
        let lost = backlog.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            missing(lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A reader that stands still until it is told to go on.
    struct Still {
        go: Option<Receiver<()>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Still {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(go) = self.go.take() {
                go.recv().expect("the test says so");
            }
            self.written.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_logs_does_not_wait_and_what_is_missing_is_counted() {
        let (go, wait) = sync_channel(1);
        let (told, missing) = sync_channel(16);
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let still = Still { go: Some(wait), written: Arc::clone(&written) };
        let outlet =
            Outlet::start(still, move |lost| told.send(lost).expect("the test listens")).expect("starts");
        // Each returns, or else the test never ends.
        let sent = 3 * LINES_MAX as u64;
        for _ in 0..sent {
            outlet.put(b"line\n");
        }
        go.send(()).expect("the thread waits");
        // Also while the queue is full.
        outlet.flush(PATIENCE);
        let lost = missing.recv_timeout(PATIENCE).expect("is told");
        let lines = written.lock().expect("not poisoned").len() as u64 / 5;
        assert_eq!(lines + lost, sent);
        assert!(lines > LINES_MAX as u64 / 2, "{lines} were written");
    }

    #[test]
    fn long_lines_are_bounded_in_bytes() {
        let (go, wait) = sync_channel(1);
        let still = Still { go: Some(wait), written: Arc::default() };
        let outlet = Outlet::start(still, |_| ()).expect("starts");
        for _ in 0..100 {
            outlet.put(&vec![b'x'; 1 << 20]);
        }
        let waiting = outlet.backlog.bytes.load(Ordering::Acquire);
        assert!(waiting <= BYTES_MAX, "{waiting}");
        assert!(outlet.backlog.lost.load(Ordering::Relaxed) >= 90);
        go.send(()).expect("the thread waits");
        outlet.flush(PATIENCE);
    }
}
