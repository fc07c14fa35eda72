//! Pid 1 of a sandbox: starts the runtime, kills, reaps, reports. Unprivileged and filtered by the time it runs.
//!
//! Takes orders from the daemon over its own channel, so that environment variables never pass through the forker.
//! When the runtime ends, for whatever reason, everything else in the sandbox is killed before the end is reported.

use crate::channel::{Channel, ChannelError};
use crate::spec::{Exit, InitReport, InitRequest, ProcessSpec};
use crate::sys::{self, Forked};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, access, chdir, dup2_stderr, dup2_stdin, dup2_stdout, pipe2, setsid};
use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

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

impl Init {
    /// Serves until the daemon (or the forker) is gone; then the namespace dies with this process.
    pub(super) fn run(self) -> ! {
        let code = match self.serve() {
            Ok(()) => 0,
            Err(_) => 1,
        };
        std::process::exit(code)
    }

    fn serve(&self) -> nix::Result<()> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&mask), None)?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let mut runtime = None;
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
            if order && matches!(self.obey(&mut runtime)?, Next::Leave) {
                return Ok(());
            }
        }
    }

    fn obey(&self, runtime: &mut Option<Pid>) -> nix::Result<Next> {
        let request = match self.channel.receive() {
            Ok(Some((request, _))) => request,
            Ok(None) => return Ok(Next::Go),
            Err(ChannelError::Closed | ChannelError::Malformed) => return Ok(Next::Leave),
            Err(ChannelError::Os(error)) => return Err(error),
        };
        match request {
            InitRequest::Spawn(process) if runtime.is_none() => {
                let report = match self.spawn(&process)? {
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
    fn spawn(&self, process: &ProcessSpec) -> nix::Result<Result<Pid, InitReport>> {
        let refused = |program: Option<&str>, reason: String| {
            Ok(Err(InitReport::SpawnFailed { program: program.map(str::to_owned), reason }))
        };
        let executable = |path: &&String| access(path.as_str(), nix::unistd::AccessFlags::X_OK).is_ok();
        let found = process.candidates.iter().find(executable);
        let Some(program) = found.or_else(|| process.candidates.first().filter(|_| process.failure_is_exit))
        else {
            let exists = process.candidates.iter().find(|path| std::path::Path::new(path).exists());
            return match exists {
                Some(path) => refused(Some(path), "permission denied".to_owned()),
                None => refused(None, "no such file or directory".to_owned()),
            };
        };
        let strings = |lines: &[String]| -> Option<Vec<CString>> {
            lines.iter().map(|line| CString::new(line.as_str()).ok()).collect()
        };
        let mut arguments = vec![program.clone()];
        arguments.extend(process.arguments.iter().cloned());
        let prepared = CString::new(program.as_str()).ok().zip(strings(&arguments));
        let Some(((path, arguments), environment)) = prepared.zip(strings(&process.environment)) else {
            return refused(Some(program), "a NUL byte in the command or environment".to_owned());
        };
        let (failed, fails) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        match sys::fork()? {
            Forked::Child => self.become_runtime(&path, &arguments, &environment, fails),
            Forked::Parent(pid, _) => {
                drop(fails);
                let mut errno = [0; 4];
                let failure = File::from(failed).read_exact(&mut errno).is_ok();
                if failure && !process.failure_is_exit {
                    waitpid(Pid::from_raw(pid), None).ok();
                    let error = nix::Error::from_raw(i32::from_ne_bytes(errno));
                    return refused(Some(program), error.desc().to_lowercase());
                }
                Ok(Ok(Pid::from_raw(pid)))
            }
        }
    }

    fn become_runtime(&self, path: &CString, args: &[CString], env: &[CString], fails: OwnedFd) -> ! {
        let prepare = || -> nix::Result<()> {
            sys::set_dumpable(true)?;
            // Under memory pressure the runtime goes first, never pid 1. Raising needs no privilege.
            std::fs::write("/proc/self/oom_score_adj", OOM_SCORE).ok();
            setsid()?;
            dup2_stdin(&self.null)?;
            dup2_stdout(&self.logs)?;
            dup2_stderr(&self.logs)?;
            chdir("/var/task")?;
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
        };
        let error = match prepare() {
            Ok(()) => sys::exec(path, args, env),
            Err(error) => error,
        };
        nix::unistd::write(&fails, &(error as i32).to_ne_bytes()).ok();
        std::process::exit(EXEC_FAILED)
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
