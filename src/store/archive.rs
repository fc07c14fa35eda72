//! Decides what a code package may contain, and unpacks entries under a budget.
//!
//! A package is foreign input: names, sizes, modes and links are checked before anything is written, and bytes are
//! counted as they come out of the decompressor, never as headers claim. It writes nothing itself: `unpack` does,
//! from the same [`Plan`], so that a package that [`validate`] accepts unpacks.

use super::index::{self, Entry};
use super::package::Package;
use super::tree::DEPTH_MAX;
use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use std::collections::BTreeMap;
use std::io::{self, Read};

/// Bytes that a package may have unpacked.
pub(crate) const UNZIPPED_MAX: u64 = 262_144_000;
/// Files, directories (also those that only appear in longer names) and links that a package may make.
const NODES_MAX: usize = 100_000;
/// Bytes of a whole name. With the place where code is mounted it stays below the system's 4,096.
const NAME_MAX: usize = 4_000;
/// Bytes of one part of a name, as file systems have it.
const PART_MAX: usize = 255;
/// Bytes of a link's target.
const TARGET_MAX: u64 = 4_000;
/// Bytes taken from the decompressor at a time.
const CHUNK: usize = 64 * 1024;

/// Why a package is refused. Displayed text is for the client, in the service's own words where it has some.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// No entries.
    #[error("Uploaded file must be a non-empty zip")]
    Empty,
    /// Not a zip, cut short, or with wrong checksums.
    #[error("Could not unzip uploaded file. Please check your file, then try to upload again.")]
    Broken {
        /// For the log.
        detail: &'static str,
    },
    /// The disk, not the package.
    #[error("The uploaded file could not be read back from this machine's disk: {0}.")]
    Unreadable(io::ErrorKind),
    /// More bytes than a function may have.
    #[error("Unzipped size must be smaller than {UNZIPPED_MAX} bytes")]
    TooLarge,
    /// More files than this daemon makes for one function.
    #[error("Uploaded file must have at most {NODES_MAX} files and directories")]
    TooManyEntries,
    /// An entry that is not allowed.
    #[error("Uploaded file has an entry that is not allowed: '{entry}' {why}")]
    Refused {
        /// Its name; bytes that are not text are replaced.
        entry: String,
        /// The rule that it breaks.
        why: Why,
    },
}

/// Rules that entries break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Why {
    /// Begins with a slash.
    #[error("is an absolute path")]
    Absolute,
    /// Has a `..` part.
    #[error("leads out of the package")]
    Escapes,
    /// Has a NUL byte.
    #[error("has a NUL byte in its name")]
    Nul,
    /// Has a backslash.
    #[error("has a backslash in its name; use / between folders")]
    Backslash,
    /// Name or part too long, or nothing left of it.
    #[error("has a name of an unusable length")]
    Length,
    /// Too many parts.
    #[error("lies too deep")]
    Depth,
    /// Neither file nor directory nor link.
    #[error("is a device, pipe or socket")]
    Special,
    /// Needs a password.
    #[error("is encrypted")]
    Encrypted,
    /// Neither stored nor deflated.
    #[error("is compressed by an unsupported method; use deflate")]
    Method,
    /// A link that leads out.
    #[error("is a link out of the package")]
    LinkEscapes,
    /// A link whose target cannot be followed safely.
    #[error("is a link with an unusable target")]
    LinkTarget,
    /// The same name is a file and a folder.
    #[error("is both a file and a folder")]
    Conflict,
}

/// What a package comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Files, links included.
    pub(crate) files: usize,
    /// Their real size, bytes.
    pub(crate) unzipped_bytes: u64,
}

/// What a package asks to be made; keys are clean relative paths (`a/b`, no empty, `.` or `..` parts).
#[derive(Debug)]
pub(super) struct Plan {
    /// Ordered by name, so that parents that are named come first.
    pub(super) nodes: BTreeMap<Vec<u8>, Node>,
}

/// One thing to be made.
#[derive(Debug)]
pub(super) enum Node {
    /// A folder.
    Directory,
    /// A file with its final permission bits.
    File { entry: Entry, mode: u32 },
    /// A symbolic link; its target is the entry's data.
    Link { entry: Entry },
}

/// Why an entry stopped coming out.
#[derive(Debug)]
pub(super) enum Halt {
    /// The package's fault.
    Archive(ArchiveError),
    /// The receiver's.
    Sink(io::Error),
}

impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error.kind())
    }
}

impl From<ArchiveError> for Halt {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

/// Checks a package as a whole, without writing: names, kinds, links, real sizes, checksums.
pub(crate) fn validate<'a>(package: impl Into<Package<'a>>) -> Result<Summary, ArchiveError> {
    let package = package.into();
    let plan = plan(package)?;
    let mut budget = Budget::new();
    let mut files = 0;
    for (path, node) in &plan.nodes {
        let done = match node {
            Node::Directory => continue,
            Node::File { entry, .. } => inflate(package, entry, &mut budget, &mut |_| Ok(())),
            Node::Link { entry } => link_target(package, path, entry, &mut budget).map(drop),
        };
        match done {
            Ok(()) => files += 1,
            Err(Halt::Archive(error)) => return Err(error),
            Err(Halt::Sink(_)) => return Err(ArchiveError::Broken { detail: "unreadable" }),
        }
    }
    Ok(Summary { files, unzipped_bytes: budget.spent })
}

/// Reads and checks the table of contents.
pub(super) fn plan(package: Package<'_>) -> Result<Plan, ArchiveError> {
    if package.size() == 0 {
        return Err(ArchiveError::Empty);
    }
    let entries = index::read(package)?;
    // A claim proves nothing, but one that is too large by itself need not be tried.
    let claimed = entries.iter().fold(0_u64, |sum, it| sum.saturating_add(it.size));
    if claimed > UNZIPPED_MAX {
        return Err(ArchiveError::TooLarge);
    }
    let mut nodes = BTreeMap::new();
    for entry in entries {
        let path = clean_name(&entry.name)?;
        let node = classify(entry)?;
        if path.is_empty() {
            continue; // "./", the package's own root
        }
        match (nodes.get(&path), &node) {
            (Some(Node::Directory), Node::Directory) | (None, _) => {}
            (Some(Node::Directory), _) | (Some(_), Node::Directory) => return refuse(&path, Why::Conflict),
            // The same file twice: the later one counts, as with every unpacker.
            (Some(_), _) => {}
        }
        nodes.insert(path, node);
    }
    match nodes.is_empty() {
        true => Err(ArchiveError::Empty),
        false => check_tree(nodes),
    }
}

fn refuse<T>(entry: &[u8], why: Why) -> Result<T, ArchiveError> {
    let shown = &entry[..entry.len().min(200)];
    Err(ArchiveError::Refused { entry: String::from_utf8_lossy(shown).escape_debug().to_string(), why })
}

fn clean_name(name: &[u8]) -> Result<Vec<u8>, ArchiveError> {
    let why = match name {
        [] => Some(Why::Length),
        [b'/', ..] => Some(Why::Absolute),
        _ if name.contains(&0) => Some(Why::Nul),
        _ if name.contains(&b'\\') => Some(Why::Backslash),
        _ if name.len() > NAME_MAX => Some(Why::Length),
        _ => None,
    };
    if let Some(why) = why {
        return refuse(name, why);
    }
    let mut parts = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return refuse(name, Why::Escapes),
            _ if part.len() > PART_MAX => return refuse(name, Why::Length),
            _ => parts.push(part),
        }
    }
    match parts.len() > DEPTH_MAX {
        true => refuse(name, Why::Depth),
        false => Ok(parts.join(&b'/')),
    }
}

fn classify(entry: Entry) -> Result<Node, ArchiveError> {
    const KIND: u32 = 0o170_000;
    let folder = entry.name.ends_with(b"/");
    let kind = match entry.mode & KIND {
        0o120_000 if !folder => 'l',
        0o040_000 => 'd',
        0o100_000 | 0 if folder || entry.dos_directory => 'd',
        0o100_000 | 0 => 'f',
        _ => return refuse(&entry.name, Why::Special),
    };
    if kind == 'd' {
        return Ok(Node::Directory);
    }
    if entry.encrypted {
        return refuse(&entry.name, Why::Encrypted);
    }
    if entry.method != 0 && entry.method != 8 {
        return refuse(&entry.name, Why::Method);
    }
    Ok(match kind {
        'l' => Node::Link { entry },
        _ => Node::File { mode: file_mode(entry.mode), entry },
    })
}

/// Permissions as packed, readable by everyone, writable by the owner only, never with setuid, setgid or sticky bits.
fn file_mode(packed: u32) -> u32 {
    match packed & 0o777 {
        0 => 0o644,
        bits => (bits & 0o755) | 0o444,
    }
}

/// Names must form a tree, of a bounded number of nodes.
fn check_tree(nodes: BTreeMap<Vec<u8>, Node>) -> Result<Plan, ArchiveError> {
    let mut made = 0_usize;
    let mut previous: &[u8] = b"";
    for (path, node) in &nodes {
        // Names below one folder are neighbours in byte order, so each folder is counted where it first appears.
        let parts = || path.split(|byte| *byte == b'/');
        let shared = parts().zip(previous.split(|byte| *byte == b'/')).take_while(|(a, b)| a == b).count();
        made += parts().count() - shared;
        previous = path;
        if made > NODES_MAX {
            return Err(ArchiveError::TooManyEntries);
        }
        let below = [path.as_slice(), b"/"].concat();
        let has_children =
            nodes.range(below.clone()..).next().is_some_and(|(next, _)| next.starts_with(&below));
        if has_children && !matches!(node, Node::Directory) {
            return refuse(path, Why::Conflict);
        }
    }
    Ok(Plan { nodes })
}

/// Bytes that may still come out of a package.
#[derive(Debug)]
pub(super) struct Budget {
    spent: u64,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { spent: 0 }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), ArchiveError> {
        self.spent = self.spent.saturating_add(bytes as u64);
        if self.spent > UNZIPPED_MAX { Err(ArchiveError::TooLarge) } else { Ok(()) }
    }
}

/// Unpacks one entry into `sink`, chunk by chunk; each chunk is paid for before it is handed over. Size and checksum
/// must be those that the table claims.
pub(super) fn inflate(
    package: Package<'_>,
    entry: &Entry,
    budget: &mut Budget,
    sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), Halt> {
    let packed = package.reader(entry.data.clone());
    let mut source: Box<dyn Read + '_> = match entry.method {
        0 => Box::new(packed),
        _ => Box::new(DeflateDecoder::new(packed)),
    };
    let mut crc = Crc::new();
    let mut size = 0_u64;
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = source.read(&mut chunk).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                ArchiveError::Broken { detail: "undecodable data" }
            }
            kind => ArchiveError::Unreadable(kind),
        })?;
        if read == 0 {
            break;
        }
        budget.spend(read)?;
        size += read as u64;
        if size > entry.size {
            return Err(ArchiveError::Broken { detail: "more data than claimed" }.into());
        }
        crc.update(&chunk[..read]);
        sink(&chunk[..read]).map_err(Halt::Sink)?;
    }
    match size == entry.size && crc.sum() == entry.crc {
        true => Ok(()),
        false => Err(ArchiveError::Broken { detail: "wrong size or checksum" }.into()),
    }
}

/// The target of a link, which must stay in the package.
///
/// Only leading `..` parts are allowed: the folders above a link are real folders, so that those can be counted.
/// After a name, `..` would climb from wherever *that* name, maybe a link, leads.
pub(super) fn link_target(
    package: Package<'_>,
    path: &[u8],
    entry: &Entry,
    budget: &mut Budget,
) -> Result<Vec<u8>, Halt> {
    if entry.size > TARGET_MAX {
        return Ok(refuse(path, Why::LinkTarget)?);
    }
    let mut target = Vec::new();
    inflate(package, entry, budget, &mut |bytes| {
        target.extend_from_slice(bytes);
        Ok(())
    })?;
    if target.is_empty() || target.contains(&0) {
        return Ok(refuse(path, Why::LinkTarget)?);
    }
    let mut above = path.split(|byte| *byte == b'/').count() - 1;
    let mut named = false;
    let escapes = target.starts_with(b"/")
        || target.split(|byte| *byte == b'/').any(|part| match part {
            b"" | b"." => false,
            b".." if named || above == 0 => true,
            b".." => {
                above -= 1;
                false
            }
            _ => {
                named = true;
                false
            }
        });
    if escapes { Ok(refuse(path, Why::LinkEscapes)?) } else { Ok(target) }
}
