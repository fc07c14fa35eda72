//! A log group on disk: the name of its directory, what is known of it beside its events (`group.json`), and its files.
//!
//! The directory is the group: there is no list of groups elsewhere that could disagree. Events are in `events.jsonl`,
//! closed files in `events.NNNNNNNN.jsonl`, numbered in the order in which they were closed. Nothing here locks or
//! writes events.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// The file that events are added to.
pub(super) const CURRENT: &str = "events.jsonl";
const META: &str = "group.json";
/// Longest name of a directory that is the group's own name; a file system takes 255 bytes.
const DIRECTORY_NAME_MAX: usize = 200;
/// How the names of other directories begin. An encoded name has no hyphen.
const BY_HASH: &str = "sha256-";
/// How directories begin that are no groups: half made, or on their way out. An encoded name has no full stop.
pub(super) const HIDDEN: &str = ".";

/// What is known of a group beside its events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// The group's name.
    pub(crate) name: String,
    /// When it was made, milliseconds since the epoch.
    pub(crate) created_ms: u64,
    /// Days after which events go, if somebody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retention_days: Option<u32>,
    /// Tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<String, String>,
    /// Streams that somebody made, which need no events to be there, and when they were made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) streams: BTreeMap<String, u64>,
}

impl Meta {
    /// A new group.
    pub(crate) fn new(name: &str, created_ms: u64) -> Self {
        Self { name: name.to_owned(), created_ms, ..Self::default() }
    }

    /// How old events may become, if somebody said so.
    pub(crate) fn retention(&self) -> Option<Duration> {
        self.retention_days.map(|days| Duration::from_secs(u64::from(days) * 86_400))
    }
}

/// A group's directory below `root`.
pub(super) fn directory(root: &Path, group: &str) -> PathBuf {
    let encoded =
        percent_encoding::utf8_percent_encode(group, percent_encoding::NON_ALPHANUMERIC).to_string();
    if encoded.len() <= DIRECTORY_NAME_MAX {
        return root.join(encoded);
    }
    let mut name = BY_HASH.to_owned();
    for byte in Sha256::digest(group.as_bytes()) {
        name.push_str(&format!("{byte:02x}"));
    }
    root.join(name)
}

/// Reads what is known of the group in `directory`; `None` if there is none. Groups of earlier versions have no such
/// file: their name is the directory's, their birth the directory's.
pub(super) fn read_meta(directory: &Path) -> io::Result<Option<Meta>> {
    match fs::read(directory.join(META)) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => without_meta(directory),
        Err(error) => Err(error),
    }
}

fn without_meta(directory: &Path) -> io::Result<Option<Meta>> {
    let metadata = match fs::metadata(directory) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let made = metadata.created().or_else(|_| metadata.modified())?;
    let created_ms = made.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let name = directory.file_name().and_then(|name| name.to_str()).and_then(decoded);
    Ok(name.map(|name| Meta::new(&name, u64::try_from(created_ms).unwrap_or(u64::MAX))))
}

/// Replaces what is known of the group in `directory`.
pub(super) fn write_meta(directory: &Path, meta: &Meta) -> io::Result<()> {
    let (half, whole) = (directory.join(".group.json.new"), directory.join(META));
    let mut file = File::create(&half)?;
    file.write_all(&serde_json::to_vec(meta)?)?;
    file.sync_all()?;
    fs::rename(half, whole)
}

/// Makes the directory of a group; false if it was there.
pub(super) fn make(root: &Path, meta: &Meta) -> io::Result<bool> {
    let directory = directory(root, &meta.name);
    if directory.is_dir() {
        return Ok(false);
    }
    let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let half = root.join(format!("{HIDDEN}new-{name}"));
    fs::create_dir_all(&half)?;
    write_meta(&half, meta)?;
    fs::rename(half, directory)?;
    Ok(true)
}

fn decoded(directory_name: &str) -> Option<String> {
    let is_group = !directory_name.starts_with(HIDDEN) && !directory_name.starts_with(BY_HASH);
    let decode = || percent_encoding::percent_decode_str(directory_name).decode_utf8().ok();
    is_group.then(decode).flatten().map(std::borrow::Cow::into_owned)
}

/// The names of all groups, sorted.
pub(super) fn names(root: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let Some(text) = file_name.to_str() else { continue };
        if text.starts_with(BY_HASH) {
            names.extend(read_meta(&entry.path())?.map(|meta| meta.name));
        } else {
            names.extend(decoded(text));
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// One file of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EventFile {
    /// Its place in the order of files.
    pub(super) number: u64,
    /// Where it is.
    pub(super) path: PathBuf,
}

/// Closed files of a group, oldest first.
pub(super) fn closed(directory: &Path) -> io::Result<Vec<EventFile>> {
    let number = |path: &Path| -> Option<u64> {
        path.file_name()?.to_str()?.strip_prefix("events.")?.strip_suffix(".jsonl")?.parse().ok()
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files: Vec<EventFile> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter_map(|path| number(&path).map(|number| EventFile { number, path }))
        .collect();
    files.sort_by_key(|file| file.number);
    Ok(files)
}

/// The number that the current file has and will be closed under.
pub(super) fn current_number(closed: &[EventFile]) -> u64 {
    closed.last().map_or(1, |last| last.number + 1)
}

/// The name of a closed file.
pub(super) fn closed_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("events.{number:08}.jsonl"))
}

/// Bytes of all events.
pub(super) fn stored_bytes(directory: &Path) -> u64 {
    let files = closed(directory).unwrap_or_default();
    let paths = files.into_iter().map(|file| file.path).chain([directory.join(CURRENT)]);
    paths.filter_map(|path| path.metadata().ok()).map(|data| data.len()).sum()
}

/// Removes closed files beyond `keep` and those that nothing was added to for `age`. The youngest stays, emptied if it
/// is too old: its number counts.
pub(super) fn prune(directory: &Path, keep: usize, age: Duration) -> io::Result<()> {
    let files = closed(directory)?;
    let surplus = files.len().saturating_sub(keep);
    for (at, file) in files.iter().enumerate() {
        let is_old = is_older(&file.path, age);
        if at + 1 < files.len() && (at < surplus || is_old) {
            fs::remove_file(&file.path)?;
        } else if is_old {
            File::create(&file.path)?;
        }
    }
    Ok(())
}

/// Whether nothing was added to a file for so long.
pub(super) fn is_older(path: &Path, age: Duration) -> bool {
    let modified = path.metadata().and_then(|data| data.modified()).ok();
    modified.and_then(|time| time.elapsed().ok()).is_some_and(|elapsed| elapsed > age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_their_directories_also_long_ones() {
        let root = std::env::temp_dir().join(format!("hearth-groups-{}", std::process::id()));
        fs::remove_dir_all(&root).ok();
        fs::create_dir_all(&root).expect("makes");
        let long = format!("/{}", "ab-".repeat(170));
        for name in ["/aws/lambda/f", "plain", ".dot", long.as_str()] {
            assert!(make(&root, &Meta::new(name, 7)).expect("makes"));
            assert!(!make(&root, &Meta::new(name, 8)).expect("is there"));
            let meta = read_meta(&directory(&root, name)).expect("reads").expect("is there");
            assert_eq!((meta.name.as_str(), meta.created_ms), (name, 7));
        }
        assert_eq!(names(&root).expect("lists"), [".dot", long.as_str(), "/aws/lambda/f", "plain"]);
        assert_eq!(read_meta(&directory(&root, "absent")).expect("reads"), None);
        fs::create_dir(directory(&root, "old/one")).expect("makes");
        let old = read_meta(&directory(&root, "old/one")).expect("reads").expect("is there");
        assert_eq!(old.name, "old/one");
        fs::remove_dir_all(root).expect("cleans up");
    }
}
