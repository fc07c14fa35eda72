//! What can go wrong in a benchmark run. A fault ends its row, never the run: the rows after it are still measured.

use std::path::PathBuf;
use std::time::Duration;

/// Why a row or the run could not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// A file could not be read or written.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A system call failed.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("cannot start {}", program.display())]
    Spawn {
        /// Its path.
        program: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A program ended before it was ready, or said something else than expected.
    #[error("{program} did not start: {said}; see its log in the output directory")]
    NotReady {
        /// Its name.
        program: &'static str,
        /// What it said.
        said: String,
    },
    /// Something did not come in time.
    #[error("{what} did not happen within {limit:?}")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long.
        limit: Duration,
    },
    /// The server's bytes are not the HTTP this harness reads.
    #[error("unreadable answer: {0}")]
    Protocol(String),
    /// The server refused.
    #[error("{call} was answered {status}: {body}")]
    Refused {
        /// The call.
        call: String,
        /// HTTP status.
        status: u16,
        /// What the server said.
        body: String,
    },
    /// The right status with the wrong bytes: the two sides do not do the same work.
    #[error("the answer is {got:?} instead of {expected:?}")]
    WrongAnswer {
        /// What came, shortened.
        got: String,
        /// What should have come, shortened.
        expected: String,
    },
    /// The command line.
    #[error("{0}")]
    Usage(String),
    /// Somebody asked the harness to stop.
    #[error("interrupted")]
    Interrupted,
    /// The row needs something this host or run does not have.
    #[error("{0}")]
    Unavailable(String),
}

impl Fault {
    /// For `map_err` after a system call.
    pub(crate) fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { what, source }
    }

    /// The fault and its causes on one line.
    pub(crate) fn line(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// At most the first 200 bytes, for messages.
pub(crate) fn shorten(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned()
}
