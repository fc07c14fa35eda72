//! Programs the harness starts: each has an owner, is stopped with it, also when the harness is interrupted.

use crate::clock;
use crate::error::Fault;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::signal::unix;

/// Time from start to the line that says "ready".
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Time a program has to stop by itself.
const STOP_LIMIT: Duration = Duration::from_secs(45);

/// Whether somebody asked this process to end.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether to stop: looked at between pairs, so that owners end their programs in their usual way.
pub(crate) fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Takes note of SIGINT and SIGTERM; the second one ends the process at once. Handlers, not blocked signals: children
/// inherit a signal mask, and would then never see the signal that stops them.
///
/// # Errors
/// When no handler can be installed.
pub(crate) fn watch_signals() -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.map_err(Fault::system("start the signal watcher"))?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        let watch = |kind| unix::signal(kind).map_err(Fault::system("watch a signal"));
        (watch(unix::SignalKind::interrupt())?, watch(unix::SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        for _ in 0..2 {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            eprintln!("hearth-bench: stopping after this pair");
        }
    });
    Ok(())
}

/// A program that runs until its owner is dropped.
pub(crate) struct Program {
    child: Child,
}

impl Program {
    /// Starts `command`; its standard error goes to `log`.
    ///
    /// # Errors
    /// When the program or its log cannot be opened.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self, Fault> {
        let file = File::options().create(true).append(true).open(log);
        let file = file.map_err(|source| Fault::File { path: log.to_owned(), source })?;
        let child = command.stdin(Stdio::null()).stderr(file).spawn();
        let child =
            child.map_err(|source| Fault::Spawn { program: PathBuf::from(command.get_program()), source })?;
        Ok(Self { child })
    }

    /// Starts `command` and waits for the first line of its standard output.
    ///
    /// # Errors
    /// When it does not start, or says nothing in time.
    pub(crate) fn start_and_hear(
        name: &'static str,
        command: &mut Command,
        log: &Path,
    ) -> Result<(Self, String), Fault> {
        let mut program = Self::start(command.stdout(Stdio::piped()), log)?;
        let Some(output) = program.child.stdout.take() else {
            return Err(Fault::NotReady { program: name, said: "no standard output".into() });
        };
        let (sender, line) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let mut lines = BufReader::new(output).lines();
            let first = lines.next().and_then(Result::ok).unwrap_or_default();
            // The receiver is gone only when the wait was given up.
            sender.send(first).ok();
            // Read on, so that the program never blocks on a full pipe.
            lines.for_each(drop);
        });
        let line = line
            .recv_timeout(READY_LIMIT)
            .map_err(|_| Fault::Timeout { what: "the line that says ready", limit: READY_LIMIT })?;
        Ok((program, line))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

fn pid_of(child: &Child) -> i32 {
    i32::try_from(child.id()).expect("the kernel's pids fit")
}

impl Drop for Program {
    fn drop(&mut self) {
        let pid = pid_of(&self.child);
        // Not yet waited for, so the pid is still this child's.
        kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
        let ended = clock::wait_for("the end of a program", STOP_LIMIT, || {
            self.child.try_wait().map_err(Fault::system("wait for a program"))
        });
        if let Err(fault) = ended {
            eprintln!("hearth-bench: killing process {pid}: {}", fault.line());
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}
