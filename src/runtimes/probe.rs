//! Runs a program that may be an interpreter once and asks for its version and its real place.
//!
//! Whatever it is: it has a bounded time for its answer, which has a bounded length, and is gone afterwards with what it
//! started. Without threads, for the daemon may not have any yet. Which programs are run is `discover`'s business.

use super::{Interpreter, Language};
use crate::daemon::clock;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// An interpreter says what it is within this time.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Bytes of its answer; the compiled runtime client is most of it.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How often a program is looked at that has said everything and is not gone.
const LOOK: Duration = Duration::from_millis(5);
/// Bytes that a pipe takes although nobody reads: the runtime client has to fit, or writing it could block.
const PIPE_BYTES: usize = 65_536;
const _: () = assert!(super::PYTHON_CLIENT.len() < PIPE_BYTES);

/// Also compiles the runtime client, which comes on standard input: source would be compiled at every cold start, which
/// takes longer than all the rest of it.
const PYTHON_PROBE: &str = "import sys, platform, importlib._bootstrap_external as b; print('3.%d' % sys.version_info[1]); print(sys.base_prefix); print(platform.python_version()); print(b._code_to_timestamp_pyc(compile(sys.stdin.buffer.read(), '/var/runtime/bootstrap.py', 'exec')).hex())";
const NODE_PROBE: &str = "console.log(process.versions.node.split('.')[0]); console.log(process.execPath); console.log(process.version)";

/// A program to be asked.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// The file that is run.
    pub(super) real: PathBuf,
    /// The name that it is run by: some programs are several.
    pub(super) name: PathBuf,
}

/// Why a program is no interpreter to be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    /// It cannot be run.
    #[error("{}: {source}", .program.display())]
    Run {
        /// Program.
        program: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It said nothing, or went on, for too long.
    #[error("{} did not say what it is within {} s and was ended", .program.display(), ANSWER_MAX.as_secs())]
    Silent {
        /// Program.
        program: PathBuf,
    },
    /// It said something else.
    #[error("{} is not a {language:?} interpreter", .program.display())]
    Other {
        /// Program.
        program: PathBuf,
        /// What was asked for.
        language: Language,
    },
    /// Its place cannot be given to functions.
    #[error("{}: cannot be used from {place}", .program.display())]
    Place {
        /// Program.
        program: PathBuf,
        /// Where it says that it is.
        place: String,
    },
}

impl ProbeError {
    /// Whether whoever looks for interpreters says so; shims and other things of their names are common.
    pub(super) fn is_worth_telling(&self) -> bool {
        matches!(self, Self::Silent { .. })
    }
}

/// Asks a program that was named outright.
pub(crate) fn ask_named(program: &Path, language: Language) -> Result<Interpreter, ProbeError> {
    ask(&Candidate { real: program.to_owned(), name: program.to_owned() }, language)
}

/// Runs an interpreter once and asks for its version and place.
pub(super) fn ask(candidate: &Candidate, language: Language) -> Result<Interpreter, ProbeError> {
    ask_within(ANSWER_MAX, candidate, language)
}

fn ask_within(bound: Duration, candidate: &Candidate, language: Language) -> Result<Interpreter, ProbeError> {
    let program = candidate.name.clone();
    let (status, answer) = match run(bound, candidate, language) {
        Ok(Some(answered)) => answered,
        Ok(None) => return Err(ProbeError::Silent { program }),
        Err(source) => return Err(ProbeError::Run { program, source }),
    };
    let text = String::from_utf8_lossy(&answer);
    let lines: Vec<&str> = text.lines().collect();
    let (true, [version, place, release, rest @ ..]) = (status.success(), lines.as_slice()) else {
        return Err(ProbeError::Other { program, language });
    };
    let mut found = read_answer(language, version, Path::new(place), release)
        .ok_or_else(|| ProbeError::Place { program, place: (*place).to_owned() })?;
    found.compiled_client = rest.first().and_then(|line| read_hex(line)).map(Arc::from);
    Ok(found)
}

/// How the program ended and what it said; none if it took too long, or said too much.
#[expect(clippy::disallowed_methods, reason = "an interpreter says best what it is")]
fn run(
    bound: Duration,
    candidate: &Candidate,
    language: Language,
) -> io::Result<Option<(ExitStatus, Vec<u8>)>> {
    let (flags, probe): (&[&str], &str) = match language {
        Language::Python => (&["-I", "-S", "-c"], PYTHON_PROBE),
        Language::Node => (&["-e"], NODE_PROBE),
    };
    let mut child = Command::new(&candidate.real)
        .arg0(&candidate.name)
        .args(flags)
        .arg(probe)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    if let (Language::Python, Some(mut input)) = (language, child.stdin.take()) {
        // Something else than an interpreter may not read it; its answer decides.
        input.write_all(super::PYTHON_CLIENT).ok();
    }
    let answered = child.stdout.take().map_or(Ok(None), |output| answer(bound, &mut child, output));
    if !matches!(answered, Ok(Some(_))) {
        end(&mut child);
    }
    answered
}

fn answer(
    bound: Duration,
    child: &mut Child,
    mut output: ChildStdout,
) -> io::Result<Option<(ExitStatus, Vec<u8>)>> {
    let deadline = clock::now().after(bound);
    let mut said = Vec::new();
    let mut part = [0; 16 * 1024];
    loop {
        let left = deadline.since(clock::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut readable = [PollFd::new(output.as_fd(), PollFlags::POLLIN)];
        match poll(&mut readable, timeout) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let count = output.read(&mut part)?;
        if count == 0 {
            break;
        }
        said.extend_from_slice(&part[..count]);
        if said.len() > ANSWER_BYTES_MAX || left.is_zero() {
            return Ok(None);
        }
    }
    while deadline > clock::now() {
        if let Some(status) = child.try_wait()? {
            return Ok(Some((status, said)));
        }
        std::thread::sleep(LOOK);
    }
    Ok(None)
}

/// Ends the program and what it started, unless that has left its group.
fn end(child: &mut Child) {
    let group = i32::try_from(child.id()).map(nix::unistd::Pid::from_raw);
    if let Ok(group) = group {
        // It may be gone already.
        nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL).ok();
    }
    child.wait().ok();
}

fn read_hex(line: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = line.as_bytes().chunks_exact(2);
    let bytes = pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect::<Option<Vec<u8>>>();
    bytes.filter(|bytes| !bytes.is_empty())
}

fn read_answer(language: Language, version: &str, place: &Path, release: &str) -> Option<Interpreter> {
    let (version, prefix, program, release) = match language {
        Language::Python => {
            let minor: u32 = version.strip_prefix("3.")?.parse().ok()?;
            let program = format!("bin/python3.{minor}");
            (minor, place.to_owned(), program, format!("Python {release}"))
        }
        Language::Node => {
            let real = place.canonicalize().ok()?;
            let (bin, name) = (real.parent()?, real.file_name()?.to_str()?);
            let prefix = bin.parent()?.to_owned();
            let dir = bin.file_name()?.to_str()?;
            (version.parse().ok()?, prefix, format!("{dir}/{name}"), format!("Node.js {release}"))
        }
    };
    // Mounting the whole host as `/var/lang` would be no isolation at all.
    let usable = prefix.components().count() > 1 && prefix.join(&program).is_file();
    let compiled_client = None;
    usable.then_some(Interpreter { language, version, prefix, program, release, compiled_client })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn something_that_is_no_interpreter_is_refused() {
        let error = ask_named(Path::new("/bin/true"), Language::Python).expect_err("not an interpreter");
        assert!(error.to_string().contains("not a Python interpreter"), "{error}");
        assert!(!error.is_worth_telling());
    }

    #[test]
    fn a_program_that_says_nothing_is_ended_with_what_it_started() {
        let folder = std::env::temp_dir().join(format!("hearth-probe-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("makes");
        let (program, child) = (folder.join("python3"), folder.join("child"));
        // The second one holds the pipe, too.
        let script = format!("#!/bin/sh\nsleep 600 &\necho $! >{}\nwait\n", child.display());
        std::fs::write(&program, script).expect("writes");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("sets");
        let candidate = Candidate { real: program.clone(), name: program.clone() };
        let bound = Duration::from_secs(3);
        let error = ask_within(bound, &candidate, Language::Python).expect_err("says nothing");
        assert!(matches!(error, ProbeError::Silent { .. }) && error.is_worth_telling(), "{error}");
        assert!(error.to_string().contains(&program.display().to_string()), "{error}");
        let pid = std::fs::read_to_string(&child).expect("was started");
        let state = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).ok()?;
            stat.rsplit_once(") ")?.1.chars().next()
        };
        // Its new parent may not have noticed yet.
        for _ in 0..1000 {
            if matches!(state(), None | Some('Z')) {
                break;
            }
            std::thread::sleep(LOOK);
        }
        assert!(matches!(state(), None | Some('Z')), "{:?}", state());
        std::fs::remove_dir_all(&folder).ok();
    }

    #[test]
    fn a_program_runs_by_its_name() {
        let python = Path::new("/usr/bin/python3");
        if !python.is_file() {
            println!("skipped: no {}", python.display());
            return;
        }
        let real = python.canonicalize().expect("is there");
        let by_name = ask(&Candidate { real, name: python.to_owned() }, Language::Python).expect("runs");
        assert_eq!(by_name, ask_named(python, Language::Python).expect("runs"));
    }

    #[test]
    fn the_client_comes_back_compiled() {
        let python = Path::new("/usr/bin/python3");
        if !python.is_file() {
            println!("skipped: no {}", python.display());
            return;
        }
        let found = ask_named(python, Language::Python).expect("an interpreter");
        let compiled = found.compiled_client.expect("compiled");
        // CPython's files end their magic number so.
        assert_eq!(compiled[2..4], *b"\r\n");
        assert!(compiled.len() > 1000);
    }

    #[test]
    fn digits_that_are_none_are_no_client() {
        assert_eq!(read_hex("00ff"), Some(vec![0, 255]));
        assert!(read_hex("").is_none() && read_hex("0x").is_none());
    }

    #[test]
    fn the_root_directory_is_never_a_prefix() {
        assert!(read_answer(Language::Python, "3.12", Path::new("/"), "3.12.0").is_none());
    }
}
