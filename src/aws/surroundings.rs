//! What the daemon's environment and files say about AWS, gathered while it may still read them.
//!
//! Credentials often lie where only root may read, and the daemon stops being root once it has started. So every file
//! that matters is read at the start and kept; later it is read again where that is possible, so that renewed keys
//! and rotated tokens are seen. None of this is passed to functions.

use super::endpoint::Endpoint;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Bytes of a file of credentials or tokens that are read.
const FILE_MAX: u64 = 1 << 20;

/// Variables and files of the daemon that concern AWS.
pub(crate) struct Surroundings {
    variables: BTreeMap<String, String>,
    /// Contents at the start, by path.
    kept: BTreeMap<PathBuf, Vec<u8>>,
}

impl Surroundings {
    /// Of this process, now.
    pub(crate) fn of_this_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self::new(std::env::vars_os().filter_map(text))
    }

    /// Of given variables; the files that they name are read.
    pub(crate) fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let variables = variables
            .into_iter()
            .filter(|(name, value)| (name.starts_with("AWS_") || name == "HOME") && !value.is_empty())
            .collect();
        let mut found = Self { variables, kept: BTreeMap::new() };
        let named =
            ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CA_BUNDLE"];
        let mut paths: Vec<PathBuf> = named.iter().filter_map(|name| found.path(name)).collect();
        paths.extend([found.shared_credentials(), found.shared_config()].into_iter().flatten());
        paths.iter().for_each(|path| found.keep(path));
        found
    }

    /// Reads a file now, for the time when it can no longer be read.
    pub(super) fn keep(&mut self, path: &Path) {
        if let Some(bytes) = bounded(path) {
            self.kept.insert(path.to_owned(), bytes);
        }
    }

    /// A variable that is set and not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// A variable that says yes.
    pub(super) fn claims(&self, name: &str) -> bool {
        self.variable(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The service's address that the first of these variables gives.
    pub(crate) fn endpoint(&self, names: [&str; 2]) -> Result<Option<Endpoint>, String> {
        let Some((name, text)) = names.iter().find_map(|name| Some((name, self.variable(name)?))) else {
            return Ok(None);
        };
        let wrong = || {
            format!("{name} is {text:?}, but must be http://host:port or https://host:port, without a path")
        };
        Endpoint::parse(text).map(Some).ok_or_else(wrong)
    }

    /// A file's contents: now if it can be read, else at the start.
    pub(super) fn file(&self, path: &Path) -> Option<Vec<u8>> {
        bounded(path).or_else(|| self.kept.get(path).cloned())
    }

    /// The same for a file that a variable names.
    pub(crate) fn file_of(&self, name: &str) -> Option<Vec<u8>> {
        self.file(&self.path(name)?)
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.variable(name).map(PathBuf::from)
    }

    /// `~/.aws/credentials`, or what a variable names instead.
    pub(super) fn shared_credentials(&self) -> Option<PathBuf> {
        self.path("AWS_SHARED_CREDENTIALS_FILE").or_else(|| self.at_home(".aws/credentials"))
    }

    /// `~/.aws/config`, or what a variable names instead.
    pub(super) fn shared_config(&self) -> Option<PathBuf> {
        self.path("AWS_CONFIG_FILE").or_else(|| self.at_home(".aws/config"))
    }

    fn at_home(&self, name: &str) -> Option<PathBuf> {
        self.path("HOME").map(|home| home.join(name))
    }
}

fn bounded(path: &Path) -> Option<Vec<u8>> {
    // Neither a pipe, which would never end, nor a directory.
    let file = File::open(path).ok().filter(|file| file.metadata().is_ok_and(|data| data.is_file()))?;
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::Scratch;

    #[test]
    fn a_file_that_is_gone_still_says_what_it_said_at_the_start() {
        let scratch = Scratch::new();
        let path = scratch.path().join("token");
        std::fs::write(&path, "first").expect("writes");
        let name = "AWS_WEB_IDENTITY_TOKEN_FILE".to_owned();
        let found = Surroundings::new([(name.clone(), path.display().to_string())]);
        std::fs::write(&path, "second").expect("writes");
        assert_eq!(found.file_of(&name).expect("there"), b"second");
        std::fs::remove_file(&path).expect("removes");
        assert_eq!(found.file_of(&name).expect("kept"), b"first");
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let found = Surroundings::new([("AWS_PROFILE".to_owned(), String::new())]);
        assert_eq!(found.variable("AWS_PROFILE"), None);
    }

    #[test]
    fn only_regular_files_are_read() {
        assert_eq!(bounded(Path::new("/dev/zero")), None);
        assert_eq!(bounded(Path::new("/proc")), None);
    }
}
