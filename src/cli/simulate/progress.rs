//! One line on standard error that says how far a simulation has come, if that is a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// How far a run has come.
#[derive(Debug)]
pub(super) struct Progress {
    total: Duration,
    label: String,
    shown: Option<u128>,
    is_visible: bool,
}

impl Progress {
    /// For a run of that length in virtual time.
    pub(super) fn new(total: Duration, label: &str) -> Self {
        Self {
            total,
            label: if label.is_empty() { "the load" } else { label }.to_owned(),
            shown: None,
            is_visible: io::stderr().is_terminal(),
        }
    }

    /// So much virtual time has passed.
    pub(super) fn reach(&mut self, at: Duration) {
        let percent = (at.as_millis() * 100).checked_div(self.total.as_millis()).unwrap_or(100).min(100);
        if self.is_visible && self.shown != Some(percent) {
            self.shown = Some(percent);
            let mut stream = io::stderr().lock();
            write!(stream, "\r\x1b[Ksimulating {}: {percent} %", self.label)
                .and_then(|()| stream.flush())
                .ok();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            write!(io::stderr().lock(), "\r\x1b[K").ok();
        }
    }
}
