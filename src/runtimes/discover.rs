//! Finds the interpreters of this host, well beyond PATH: version managers put shims there, the real ones elsewhere.
//!
//! Every candidate is run once and asked for its version and real place. Runs before privileges drop, so only files
//! that nobody but root or the caller could have written are run.

use super::{Interpreter, Language};
use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Candidates looked at per language, at most.
const CANDIDATES_MAX: usize = 64;
/// Also compiles the runtime client, which comes on standard input: source would be compiled at every cold start, which
/// takes longer than all the rest of it.
const PYTHON_PROBE: &str = "import sys, platform, importlib._bootstrap_external as b; print('3.%d' % sys.version_info[1]); print(sys.base_prefix); print(platform.python_version()); print(b._code_to_timestamp_pyc(compile(sys.stdin.buffer.read(), '/var/runtime/bootstrap.py', 'exec')).hex())";
const NODE_PROBE: &str = "console.log(process.versions.node.split('.')[0]); console.log(process.execPath); console.log(process.version)";

/// Below a home directory (one `*` stands for any name).
const HOME_PATTERNS: [(&str, Language); 9] = [
    (".pyenv/versions/*/bin/python3", Language::Python),
    (".asdf/installs/python/*/bin/python3", Language::Python),
    (".local/share/uv/python/*/bin/python3", Language::Python),
    (".local/share/mise/installs/python/*/bin/python3", Language::Python),
    (".nvm/versions/node/*/bin/node", Language::Node),
    (".asdf/installs/nodejs/*/bin/node", Language::Node),
    (".local/share/mise/installs/node/*/bin/node", Language::Node),
    (".local/share/fnm/node-versions/*/installation/bin/node", Language::Node),
    (".volta/tools/image/node/*/bin/node", Language::Node),
];
const SYSTEM_PATTERNS: [(&str, Language); 8] = [
    ("/opt/*/bin/python3", Language::Python),
    ("/usr/local/bin/python3", Language::Python),
    ("/usr/bin/python3", Language::Python),
    ("/opt/*/bin/node", Language::Node),
    ("/usr/local/bin/node", Language::Node),
    ("/usr/local/n/versions/node/*/bin/node", Language::Node),
    ("/usr/bin/node", Language::Node),
    ("/usr/bin/nodejs", Language::Node),
];

/// All interpreters found, best first: what PATH names, then version managers, then the system's.
pub(crate) fn find(path: &str, home: Option<&Path>) -> Vec<Interpreter> {
    let mut found: Vec<Interpreter> = Vec::new();
    let mut seen = BTreeSet::new();
    for language in [Language::Python, Language::Node] {
        for candidate in candidates(path, home, language).into_iter().take(CANDIDATES_MAX) {
            let Ok(real) = candidate.canonicalize() else { continue };
            if !seen.insert(real.clone()) || !is_trusted(&real) {
                continue;
            }
            let Ok(interpreter) = ask(&candidate, language) else { continue };
            if !found.iter().any(|old| (old.language, old.version) == (language, interpreter.version)) {
                found.push(interpreter);
            }
        }
    }
    found
}

fn candidates(path: &str, home: Option<&Path>, language: Language) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let names: Vec<String> = match language {
        Language::Python => {
            let versions = (9..=14).rev().map(|minor| format!("python3.{minor}"));
            std::iter::once("python3".to_owned()).chain(versions).collect()
        }
        Language::Node => vec!["node".to_owned(), "nodejs".to_owned()],
    };
    for dir in path.split(':').filter(|dir| dir.starts_with('/') && !dir.contains("/shims")) {
        all.extend(names.iter().map(|name| Path::new(dir).join(name)).filter(|path| path.is_file()));
    }
    if let Some(home) = home {
        for (pattern, _) in HOME_PATTERNS.iter().filter(|(_, of)| *of == language) {
            all.extend(expand(&home.join(pattern)));
        }
    }
    for (pattern, _) in SYSTEM_PATTERNS.iter().filter(|(_, of)| *of == language) {
        all.extend(expand(Path::new(pattern)));
    }
    all
}

/// Replaces the one `*` of a pattern by every directory there; newest names first.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let text = pattern.to_string_lossy();
    let Some((before, after)) = text.split_once("/*/") else {
        return if pattern.is_file() { vec![pattern.to_owned()] } else { Vec::new() };
    };
    let Ok(entries) = std::fs::read_dir(before) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path().join(after)).collect();
    paths.retain(|path| path.is_file());
    paths.sort();
    paths.reverse();
    paths
}

/// Root is about to run it: nobody else may be able to write it.
fn is_trusted(real: &Path) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    let Ok(data) = real.metadata() else { return false };
    (data.uid() == 0 || data.uid() == own) && data.mode() & 0o022 == 0
}

/// Runs an interpreter once and asks for its version and place.
#[expect(clippy::disallowed_methods, reason = "an interpreter says best what it is")]
pub(crate) fn ask(program: &Path, language: Language) -> Result<Interpreter, String> {
    let (flags, probe): (&[&str], &str) = match language {
        Language::Python => (&["-I", "-S", "-c"], PYTHON_PROBE),
        Language::Node => (&["-e"], NODE_PROBE),
    };
    let failed = |error: std::io::Error| format!("{}: {error}", program.display());
    let mut child = Command::new(program)
        .args(flags)
        .arg(probe)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    if let (Language::Python, Some(mut input)) = (language, child.stdin.take()) {
        // Something else than an interpreter may not read it; its answer decides.
        input.write_all(super::PYTHON_CLIENT).ok();
    }
    let output = child.wait_with_output().map_err(failed)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text.lines().collect();
    let (true, [version, place, release, rest @ ..]) = (output.status.success(), lines.as_slice()) else {
        return Err(format!("{} is not a {language:?} interpreter", program.display()));
    };
    let mut found = read_answer(language, version, Path::new(place), release)
        .ok_or_else(|| format!("{}: cannot be used from {place}", program.display()))?;
    found.compiled_client = rest.first().and_then(|line| read_hex(line)).map(Arc::from);
    Ok(found)
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

    #[test]
    fn a_pattern_without_a_star_is_the_file_itself() {
        assert_eq!(expand(Path::new("/bin/sh")), [PathBuf::from("/bin/sh")]);
        assert!(expand(Path::new("/nonexistent/*/bin/x")).is_empty());
    }

    #[test]
    fn something_that_is_no_interpreter_is_refused() {
        let error = ask(Path::new("/bin/true"), Language::Python).expect_err("not an interpreter");
        assert!(error.contains("not a Python interpreter"), "{error}");
    }

    #[test]
    fn the_client_comes_back_compiled() {
        let python = Path::new("/usr/bin/python3");
        if !python.is_file() {
            println!("skipped: no {}", python.display());
            return;
        }
        let found = ask(python, Language::Python).expect("an interpreter");
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
