//! Decides what the root tree of a function may contain, and makes it from a tar archive.
//!
//! The archive is foreign input. Links are kept as they are, whatever they name: they mean something only inside the
//! sandbox whose root this becomes, and nothing here or later follows them (`tree` refuses to, `forker` mounts one
//! level below the root). Devices, pipes, owners and set-uid bits do not survive. The places that a sandbox mounts over
//! and the files that it needs of its own are made here, so that every root has them.

use super::tar::{Archive, Header, Kind, TarError};
use super::tree::Tree;
use hearth_sandbox::mounts::{ETC_OWN, group_line, passwd_line};
use nix::errno::Errno;
use std::fs::{File, Permissions};
use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Bytes of an archive: what the service allows an image.
pub(crate) const ROOT_BYTES_MAX: u64 = 10_737_418_240;
/// Files, folders and links.
const NODES_MAX: usize = 1_000_000;
/// Folders in folders; one descriptor each while the tree is written or removed.
const DEPTH_MAX: usize = 128;
/// Bytes of a whole name, and of a link's target.
const NAME_MAX: usize = 4_000;
/// Bytes of one part of a name.
const PART_MAX: usize = 255;
/// Bytes of `/etc/passwd` or `/etc/group` to which a line is added.
const ACCOUNTS_MAX: u64 = 1024 * 1024;
/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;
/// Folders that are mounted over, or stand for what a sandbox does not have; their content would never be seen.
const PLACES: [&[u8]; 4] = [b"dev", b"proc", b"sys", b"tmp"];
const ETC: &[u8] = b"etc";

/// Why a tree is refused. Displayed text is for the client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootError {
    /// No tar, or a broken one.
    #[error("the root tree is not a tar archive that can be read: {0}")]
    Broken(&'static str),
    /// Too many nodes.
    #[error("the root tree has more than {NODES_MAX} files and folders")]
    TooManyNodes,
    /// An entry breaks a rule.
    #[error("the root tree has an entry that is not allowed: '{entry}' {why}")]
    Refused {
        /// Its name; bytes that are not text are replaced.
        entry: String,
        /// The rule.
        why: &'static str,
    },
    /// This machine's disk.
    #[error("the root tree cannot be {action}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

impl RootError {
    /// Whether it is the tree that is wrong, and not this machine's disk.
    pub(crate) fn is_refusal(&self) -> bool {
        !matches!(self, Self::Io { .. })
    }
}

impl From<TarError> for RootError {
    fn from(error: TarError) -> Self {
        match error {
            TarError::Broken(why) => Self::Broken(why),
            TarError::Io(source) => Self::Io { action: "read", source },
        }
    }
}

fn refused(entry: &[u8], why: &'static str) -> RootError {
    let shown = &entry[..entry.len().min(200)];
    RootError::Refused { entry: String::from_utf8_lossy(shown).escape_debug().to_string(), why }
}

/// A write that failed: some failures mean that the archive contradicts itself.
fn unwritten(entry: &[u8], source: io::Error) -> RootError {
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EEXIST | Errno::EISDIR) => refused(entry, "is there twice"),
        Some(Errno::ELOOP | Errno::ENOTDIR | Errno::EXDEV) => refused(entry, "lies below a link or a file"),
        Some(Errno::ENAMETOOLONG) => refused(entry, "has a name of an unusable length"),
        _ => RootError::Io { action: "written", source },
    }
}

/// Makes the tree in an empty directory.
pub(super) fn fill(root: &Path, source: impl Read) -> Result<(), RootError> {
    let opened = Tree::open(root).map_err(|source| RootError::Io { action: "written", source })?;
    let archive = Archive::new(BufReader::with_capacity(CHUNK, source));
    let mut filling = Filling { tree: opened, archive, nodes: 0, previous: Vec::new() };
    while let Some(header) = filling.archive.next()? {
        filling.take(&header)?;
    }
    filling.furnish()
}

struct Filling<R> {
    tree: Tree,
    archive: Archive<R>,
    nodes: usize,
    /// The name before, by whose folders new ones are told apart.
    previous: Vec<u8>,
}

impl<R: Read> Filling<R> {
    fn take(&mut self, header: &Header) -> Result<(), RootError> {
        let name = clean_name(&header.name)?;
        if name.is_empty() || is_our_own(&name, header.kind)? {
            return Ok(());
        }
        self.count(&name)?;
        match header.kind {
            Kind::Directory => self.tree.directory(&name).map_err(|error| unwritten(&name, error)),
            Kind::File => self.file(&name, header.mode),
            Kind::Link => self.link(&name, &header.target),
            Kind::HardLink => {
                let file = clean_name(&header.target)?;
                self.tree.second_name(&name, &file).map_err(|error| {
                    match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                        Errno::ENOENT | Errno::EPERM => {
                            refused(&name, "is another name of a file that is not there")
                        }
                        _ => unwritten(&name, error),
                    }
                })
            }
            // Nothing inside could open it: sandboxes have the devices that functions may use.
            Kind::Special => Ok(()),
        }
    }

    fn count(&mut self, name: &[u8]) -> Result<(), RootError> {
        let parts = |name: &[u8]| name.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
        let (now, before) = (parts(name), parts(&self.previous));
        let shared = now.iter().zip(&before).take_while(|(a, b)| a == b).count();
        self.nodes += (now.len() - shared).max(1);
        self.previous = name.to_vec();
        if self.nodes > NODES_MAX { Err(RootError::TooManyNodes) } else { Ok(()) }
    }

    fn file(&mut self, name: &[u8], mode: u32) -> Result<(), RootError> {
        let mut file = self.tree.file(name).map_err(|error| unwritten(name, error))?;
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = self.archive.read(&mut chunk)?;
            if read == 0 {
                break;
            }
            file.write_all(&chunk[..read]).map_err(|error| unwritten(name, error))?;
        }
        file.set_permissions(Permissions::from_mode(file_mode(mode))).map_err(|error| unwritten(name, error))
    }

    fn link(&mut self, name: &[u8], target: &[u8]) -> Result<(), RootError> {
        if target.is_empty() || target.contains(&0) || target.len() > NAME_MAX {
            return Err(refused(name, "is a link with an unusable target"));
        }
        self.tree.link(name, target).map_err(|error| unwritten(name, error))
    }

    /// What every root has, whatever the archive had.
    fn furnish(mut self) -> Result<(), RootError> {
        for place in PLACES.into_iter().chain([ETC]) {
            self.tree.directory(place).map_err(|error| unwritten(place, error))?;
        }
        for (name, content) in ETC_OWN {
            self.own(&[b"etc/", name.as_bytes()].concat(), content)?;
        }
        self.account(b"etc/passwd", &passwd_line())?;
        self.account(b"etc/group", &group_line())
    }

    fn own(&mut self, name: &[u8], content: &str) -> Result<(), RootError> {
        let write = |tree: &mut Tree| {
            let mut file = tree.file(name)?;
            file.write_all(content.as_bytes())?;
            file.set_permissions(Permissions::from_mode(0o644))
        };
        write(&mut self.tree).map_err(|error| unwritten(name, error))
    }

    /// Adds the function's own line to a file of accounts. A link, or whatever else is there, is the tree's own affair.
    fn account(&mut self, name: &[u8], line: &str) -> Result<(), RootError> {
        match self.tree.existing(name) {
            Ok(file) => add_line(file, line).map_err(|error| unwritten(name, error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.own(name, line),
            Err(error) => match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                Errno::ELOOP | Errno::EISDIR => Ok(()),
                _ => Err(unwritten(name, error)),
            },
        }
    }
}

fn add_line(mut file: File, line: &str) -> io::Result<()> {
    if file.metadata()?.len() > ACCOUNTS_MAX {
        return Ok(());
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let known = line.split(':').nth(2).unwrap_or_default().trim_end();
    let has = |entry: &[u8]| entry.split(|byte| *byte == b':').nth(2) == Some(known.as_bytes());
    if text.split(|byte| *byte == b'\n').any(has) {
        return Ok(());
    }
    let ends = if text.is_empty() || text.ends_with(b"\n") { "" } else { "\n" };
    file.write_all(format!("{ends}{line}").as_bytes())
}

/// Whether an entry is passed over because a sandbox brings its own. Mount points must be folders.
fn is_our_own(name: &[u8], kind: Kind) -> Result<bool, RootError> {
    let (first, rest) = match name.iter().position(|byte| *byte == b'/') {
        Some(slash) => (&name[..slash], &name[slash + 1..]),
        None => (name, &b""[..]),
    };
    let is_place = PLACES.contains(&first);
    if (is_place || first == ETC) && rest.is_empty() && kind != Kind::Directory {
        return Err(refused(name, "must be a folder: every sandbox has its own there"));
    }
    let own = |own: &str| {
        rest.strip_prefix(own.as_bytes()).is_some_and(|after| after.is_empty() || after[0] == b'/')
    };
    Ok(is_place || (first == ETC && ETC_OWN.iter().any(|(name, _)| own(name))))
}

/// Readable by everyone: all of the tree belongs to a user that does not exist inside, so owners' bits would help nobody.
/// Never set-uid. That it is read-only is the mount's affair.
fn file_mode(packed: u32) -> u32 {
    if packed & 0o111 != 0 { 0o755 } else { 0o644 }
}

/// Parts joined by single slashes; empty for the root itself.
fn clean_name(name: &[u8]) -> Result<Vec<u8>, RootError> {
    let unusable = "has a name of an unusable length";
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(refused(name, unusable));
    }
    if name.starts_with(b"/") {
        return Err(refused(name, "is an absolute path"));
    }
    if name.contains(&0) {
        return Err(refused(name, "has a NUL byte in its name"));
    }
    let mut parts = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(refused(name, "leads out of the tree")),
            _ if part.len() > PART_MAX => return Err(refused(name, unusable)),
            _ => parts.push(part),
        }
    }
    if parts.len() > DEPTH_MAX { Err(refused(name, "lies too deep")) } else { Ok(parts.join(&b'/')) }
}

#[cfg(test)]
#[path = "tests/roots.rs"]
mod tests;
