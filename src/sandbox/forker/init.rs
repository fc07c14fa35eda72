//! Pid 1 of a sandbox: starts the runtime, kills, reaps, reports. Unprivileged and filtered by the time it runs.
//!
//! Takes orders from the daemon over its own channel, so that environment variables never pass through the forker.
//! When the runtime ends, for whatever reason, everything else in the sandbox is killed before the end is reported.

use crate::channel::{self, Channel, ChannelError};
use crate::spec::{Exit, InitReport, InitRequest, ProcessSpec};
use crate::sys::{self, Forked};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, access, chdir, dup2_stderr, dup2_stdin, dup2_stdout, setsid};
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const OOM_SCORE: &str = "900";
const EXEC_FAILED: i32 = 127;

/// What pid 1 keeps open.
pub(super) struct Init {
    pub(super) channel: Channel<InitReport, InitRequest>,
    pub(super) logs: OwnedFd,
    pub(super) null: OwnedFd,
}

enum Next {
    Go,
    Leave,
}

/// What a runner becomes.
#[derive(Debug, Serialize, Deserialize)]
struct Program {
    path: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    directory: CString,
}

/// Why a runner has not become its program; the system's error number.
#[derive(Debug, Serialize, Deserialize)]
enum Refusal {
    Directory(i32),
    Program(i32),
}

/// A child that has been forked and only waits for its program. Made while parked, when nothing foreign is in the
/// sandbox yet: it is dumpable, so it must not meet a function's processes.
struct Runner {
    pid: Pid,
    channel: Channel<Program, Refusal>,
}

impl Init {
    /// Reports that the sandbox is finished, hands over the listeners, and serves until the daemon (or the forker) is gone;
    /// then the namespace dies with this process.
    pub(super) fn run(self, listeners: Vec<OwnedFd>) -> ! {
        let code = match self.serve(listeners) {
            Ok(()) => 0,
            Err(_) => 1,
        };
        std::process::exit(code)
    }

    fn serve(&self, listeners: Vec<OwnedFd>) -> nix::Result<()> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&mask), None)?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let mut runtime = None;
        let mut waiting = Some(self.fork_runner()?);
        // Not before the runner is there: the hand-over that follows may give the sandbox another root, and the kernel moves
        // every process to it but one that is being forked at that moment.
        let fds: Vec<BorrowedFd<'_>> = listeners.iter().map(AsFd::as_fd).collect();
        if self.channel.send(&InitReport::Parked, &fds).is_err() {
            return Ok(());
        }
        drop(listeners);
        loop {
            let mut fds = [
                PollFd::new(self.channel.as_fd(), PollFlags::POLLIN),
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error),
            }
            let order = fds[0].any().unwrap_or(false);
            while let Ok(Some(_)) = signals.read_signal() {}
            self.reap(&mut runtime)?;
            if order && matches!(self.obey(&mut runtime, &mut waiting)?, Next::Leave) {
                return Ok(());
            }
        }
    }

    fn obey(&self, runtime: &mut Option<Pid>, waiting: &mut Option<Runner>) -> nix::Result<Next> {
        let request = match self.channel.receive() {
            Ok(Some((request, _))) => request,
            Ok(None) => return Ok(Next::Go),
            Err(ChannelError::Closed | ChannelError::Malformed) => return Ok(Next::Leave),
            Err(ChannelError::Os(error)) => return Err(error),
        };
        match request {
            InitRequest::Spawn(process) if runtime.is_none() => {
                let report = match self.spawn(&process, waiting.take())? {
                    Ok(pid) => {
                        *runtime = Some(pid);
                        InitReport::Spawned
                    }
                    Err(report) => report,
                };
                Ok(self.report(&report))
            }
            // One runtime at a time: the daemon asks again only after an exit was reported.
            InitRequest::Spawn(_) | InitRequest::Mapped => Ok(Next::Leave),
            InitRequest::Kill => {
                *waiting = None;
                kill_all();
                self.reap(runtime)?;
                Ok(Next::Go)
            }
            InitRequest::Terminate => {
                if let Some(pid) = *runtime {
                    kill(pid, Signal::SIGTERM).ok();
                }
                Ok(Next::Go)
            }
        }
    }

    fn report(&self, report: &InitReport) -> Next {
        if self.channel.send(report, &[]).is_ok() { Next::Go } else { Next::Leave }
    }

    /// Collects the dead; when the runtime is among them, everything else follows before its end is told.
    fn reap(&self, runtime: &mut Option<Pid>) -> nix::Result<()> {
        loop {
            let (pid, exit) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Exit::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Exit::Signal(signal as i32)),
                Ok(WaitStatus::StillAlive) | Err(nix::Error::ECHILD) => return Ok(()),
                Ok(_) | Err(nix::Error::EINTR) => continue,
                Err(error) => return Err(error),
            };
            if Some(pid) == *runtime {
                *runtime = None;
                kill_all();
                bury_all()?;
                self.report(&InitReport::Exited(exit));
            }
        }
    }

    /// Starts the runtime: outer error, pid 1 is broken; inner one, the program does not start.
    fn spawn(&self, process: &ProcessSpec, waiting: Option<Runner>) -> nix::Result<Result<Pid, InitReport>> {
        let refused = |program: Option<&str>, reason: String| {
            Ok(Err(InitReport::SpawnFailed { program: program.map(str::to_owned), reason }))
        };
        let executable = |path: &&String| access(path.as_str(), nix::unistd::AccessFlags::X_OK).is_ok();
        let found = process.candidates.iter().find(executable);
        let Some(path) = found.or_else(|| process.candidates.first().filter(|_| process.failure_is_exit))
        else {
            let exists = process.candidates.iter().find(|path| std::path::Path::new(path).exists());
            return match exists {
                Some(path) => refused(Some(path), "permission denied".to_owned()),
                None => refused(None, "no such file or directory".to_owned()),
            };
        };
        let Some(program) = Program::new(path, process) else {
            return refused(Some(path), "a NUL byte in the command or environment".to_owned());
        };
        let runner = match waiting.filter(|runner| runner.channel.send(&program, &[]).is_ok()) {
            Some(runner) => runner,
            None => {
                let runner = self.fork_runner()?;
                runner.channel.send(&program, &[]).map_err(|_| nix::Error::EPIPE)?;
                runner
            }
        };
        // The channel closes with the exec; a word before that is the reason why there was none.
        match runner.channel.receive() {
            Ok(Some((refusal, _))) if !process.failure_is_exit => {
                waitpid(runner.pid, None).ok();
                let said = |errno| nix::Error::from_raw(errno).desc().to_lowercase();
                match refusal {
                    Refusal::Directory(errno) => Ok(Err(InitReport::NoDirectory { reason: said(errno) })),
                    Refusal::Program(errno) => refused(Some(path), said(errno)),
                }
            }
            _ => Ok(Ok(runner.pid)),
        }
    }

    fn fork_runner(&self) -> nix::Result<Runner> {
        let (ours, theirs) = channel::pair()?;
        match sys::fork()? {
            Forked::Child => {
                drop(ours);
                self.become_runtime(&Channel::new(theirs))
            }
            Forked::Parent(pid, _) => Ok(Runner { pid: Pid::from_raw(pid), channel: Channel::new(ours) }),
        }
    }

    fn become_runtime(&self, channel: &Channel<Refusal, Program>) -> ! {
        let prepare = || -> nix::Result<()> {
            sys::set_dumpable(true)?;
            // Under memory pressure the runtime goes first, never pid 1. Raising needs no privilege.
            std::fs::write("/proc/self/oom_score_adj", OOM_SCORE).ok();
            setsid()?;
            dup2_stdin(&self.null)?;
            dup2_stdout(&self.logs)?;
            dup2_stderr(&self.logs)?;
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
        };
        let prepared = prepare();
        // Ends with pid 1, or with an exec: whatever else comes is nothing to start.
        let Ok(Some((program, _))) = channel.receive() else { std::process::exit(EXEC_FAILED) };
        let refusal = match (prepared, chdir(program.directory.as_c_str())) {
            (Err(error), _) => Refusal::Program(error as i32),
            (Ok(()), Err(error)) => Refusal::Directory(error as i32),
            (Ok(()), Ok(())) => {
                Refusal::Program(sys::exec(&program.path, &program.arguments, &program.environment) as i32)
            }
        };
        channel.send(&refusal, &[]).ok();
        std::process::exit(EXEC_FAILED)
    }
}

impl Program {
    /// `None` if a NUL byte is in any of it.
    fn new(path: &str, process: &ProcessSpec) -> Option<Self> {
        let strings = |lines: &[String]| -> Option<Vec<CString>> {
            lines.iter().map(|line| CString::new(line.as_str()).ok()).collect()
        };
        let path = CString::new(path).ok()?;
        let mut arguments = vec![path.clone()];
        arguments.extend(strings(&process.arguments)?);
        let directory = CString::new(process.directory.as_str()).ok()?;
        Some(Self { path, arguments, environment: strings(&process.environment)?, directory })
    }
}

/// Sends SIGKILL to every process but pid 1.
fn kill_all() {
    // ESRCH: nobody else is there, which is what we want.
    kill(Pid::from_raw(-1), Signal::SIGKILL).ok();
}

/// Waits until no process but pid 1 is left.
fn bury_all() -> nix::Result<()> {
    loop {
        match waitpid(None, None) {
            Err(nix::Error::ECHILD) => return Ok(()),
            Ok(_) | Err(nix::Error::EINTR) => kill_all(),
            Err(error) => return Err(error),
        }
    }
}
