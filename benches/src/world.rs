//! What all rows share: the daemon, the programs beside it, the interpreter, the place for logs.

use crate::daemon::Daemon;
use crate::error::Fault;
use std::path::{Path, PathBuf};

/// The programs that the harness starts.
#[derive(Clone)]
pub(crate) struct Programs {
    /// The native function.
    pub(crate) bootstrap: PathBuf,
    /// The control.
    pub(crate) succeed: PathBuf,
    /// The comparator of the warm rows.
    pub(crate) relay: PathBuf,
}

impl Programs {
    /// The relay lies beside this binary, the static programs in `directory`.
    ///
    /// # Errors
    /// When one of them was not built.
    pub(crate) fn find(directory: &Path) -> Result<Self, Fault> {
        let own = std::env::current_exe().map_err(Fault::system("find this binary"))?;
        let present = |path: PathBuf| {
            let sentence = || Fault::Unavailable(format!("{} is missing; run.sh builds it", path.display()));
            std::fs::canonicalize(&path).map_err(|_| sentence())
        };
        Ok(Self {
            bootstrap: present(directory.join("hearth-bench-bootstrap"))?,
            succeed: present(directory.join("hearth-bench-true"))?,
            relay: present(own.with_file_name("hearth-bench-relay"))?,
        })
    }
}

/// The Python that both sides of a row run.
#[derive(Clone)]
pub(crate) struct Python {
    /// The real binary, not a version manager's shim.
    pub(crate) interpreter: PathBuf,
    /// A directory with the official runtime client in it.
    pub(crate) packages: PathBuf,
    /// Its Runtime value, `python3.12`.
    pub(crate) runtime: String,
}

/// What rows are opened in.
pub(crate) struct World {
    /// The daemon; absent when the comparators are measured against themselves.
    pub(crate) daemon: Option<Daemon>,
    /// What runs beside it.
    pub(crate) programs: Programs,
    /// Set when the caller named one.
    pub(crate) python: Option<Python>,
    /// For results, plots and logs.
    pub(crate) out: PathBuf,
}

impl World {
    /// The daemon.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn daemon(&self) -> Result<&Daemon, Fault> {
        self.daemon.as_ref().ok_or_else(|| Fault::Unavailable("no daemon in a calibration run".into()))
    }

    /// Ends the daemon and starts it again over the same state: with an empty heap.
    ///
    /// # Errors
    /// When there is none, or it does not start.
    pub(crate) fn restart_daemon(&mut self) -> Result<&Daemon, Fault> {
        let running = self.daemon.take();
        let daemon = running.ok_or_else(|| Fault::Unavailable("no daemon to restart".into()))?;
        Ok(self.daemon.insert(daemon.restart()?))
    }

    /// The Python to use.
    ///
    /// # Errors
    /// When none was named.
    pub(crate) fn python(&self) -> Result<&Python, Fault> {
        let sentence = "no Python with the official runtime client (see --python and --python-packages)";
        self.python.as_ref().ok_or_else(|| Fault::Unavailable(sentence.into()))
    }
}
