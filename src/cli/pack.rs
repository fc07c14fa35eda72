//! Turns what the user has (a directory, a file, a zip) into a package, the same bytes for the same content.
//!
//! Sorted, without times, permission bits reduced to "executable or not": so that a package's hash says whether code
//! changed. Refuses what the daemon would refuse, before anything is sent. A zip is taken as it is.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use zip::CompressionMethod;
use zip::DateTime;
use zip::write::{SimpleFileOptions, ZipWriter};

/// Bytes of a package in a request (AWS documentation, "Lambda quotas").
pub(super) const ZIPPED_MAX: u64 = 52_428_800;
/// Bytes of a package's content.
const UNZIPPED_MAX: u64 = 262_144_000;
/// Files, directories and links of a package.
const NODES_MAX: usize = 100_000;
/// What version control and interpreters leave behind.
const LEFT_OUT: [&str; 2] = [".git", "__pycache__"];

/// What is uploaded.
#[derive(Debug)]
pub(super) struct Package {
    /// The zip.
    pub(super) zip: Vec<u8>,
}

/// Why there is no package.
#[derive(Debug, thiserror::Error)]
pub(super) enum PackError {
    /// The system refused.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Neither directory nor file.
    #[error("{} is neither a directory nor a file", .path.display())]
    Special {
        /// What it is about.
        path: PathBuf,
    },
    /// A directory without files.
    #[error("{} has no files to deploy", .path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// Names travel as text.
    #[error("the name of {} is not valid UTF-8: rename it", .path.display())]
    Name {
        /// What it is about.
        path: PathBuf,
    },
    /// Backslashes separate folders elsewhere, so packages may not have them.
    #[error("the name of {} has a backslash: rename it", .path.display())]
    Backslash {
        /// What it is about.
        path: PathBuf,
    },
    /// A link that means nothing inside a package.
    #[error("the link {} leads out of the directory (to {}): replace it by what it leads to", .path.display(), .target.display())]
    LinkEscapes {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// Too many files.
    #[error("{} has more than {NODES_MAX} files and directories", .path.display())]
    TooMany {
        /// The directory.
        path: PathBuf,
    },
    /// Too much content.
    #[error("{} is larger than {UNZIPPED_MAX} bytes (250 MiB), the most that a function's code may be", .path.display())]
    TooLarge {
        /// What was to be packed.
        path: PathBuf,
    },
    /// Too large a zip.
    #[error("the package of {} is larger than {ZIPPED_MAX} bytes (50 MiB), the most that can be uploaded", .path.display())]
    ZipTooLarge {
        /// What was to be packed.
        path: PathBuf,
    },
    /// Called a zip, but none.
    #[error("{} is not a zip file", .path.display())]
    NotAZip {
        /// The file.
        path: PathBuf,
    },
    /// The packer refused.
    #[error("cannot pack {}", .path.display())]
    Zip {
        /// What was being packed.
        path: PathBuf,
        /// Its answer.
        source: zip::result::ZipError,
    },
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PackError {
    let path = path.to_owned();
    move |source| PackError::Io { action, path, source }
}

/// The package for a path.
pub(super) fn pack(path: &Path) -> Result<Package, PackError> {
    let data = fs::metadata(path).map_err(failed("read", path))?;
    if data.is_dir() {
        return Packer::new(path).directory(path);
    }
    if !data.is_file() {
        return Err(PackError::Special { path: path.to_owned() });
    }
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip")) {
        return ready_made(path);
    }
    let name = name_of(path)?;
    let is_executable = name == "bootstrap" || data.permissions().mode() & 0o111 != 0;
    let mut packer = Packer::new(path);
    packer.file(&name, path, is_executable)?;
    packer.finish()
}

fn ready_made(path: &Path) -> Result<Package, PackError> {
    let mut zip = Vec::new();
    let file = File::open(path).map_err(failed("open", path))?;
    file.take(ZIPPED_MAX + 1).read_to_end(&mut zip).map_err(failed("read", path))?;
    if !zip.starts_with(b"PK") {
        return Err(PackError::NotAZip { path: path.to_owned() });
    }
    if zip.len() as u64 > ZIPPED_MAX {
        return Err(PackError::ZipTooLarge { path: path.to_owned() });
    }
    Ok(Package { zip })
}

/// The last part of a path, as text.
fn name_of(path: &Path) -> Result<String, PackError> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| PackError::Name { path: path.to_owned() })?;
    if name.contains('\\') {
        return Err(PackError::Backslash { path: path.to_owned() });
    }
    Ok(name.to_owned())
}

/// One thing in a directory.
enum Node {
    File { is_executable: bool },
    Link { target: String },
    EmptyDirectory,
}

struct Packer<'a> {
    /// What is being packed, for errors.
    whole: &'a Path,
    writer: ZipWriter<Cursor<Vec<u8>>>,
    unzipped: u64,
}

impl<'a> Packer<'a> {
    fn new(whole: &'a Path) -> Self {
        Self { whole, writer: ZipWriter::new(Cursor::new(Vec::new())), unzipped: 0 }
    }

    fn directory(mut self, root: &Path) -> Result<Package, PackError> {
        let nodes = walk(root)?;
        if !nodes.values().any(|node| matches!(node, Node::File { .. })) {
            return Err(PackError::Empty { path: root.to_owned() });
        }
        for (name, node) in nodes {
            let path = root.join(&name);
            match node {
                Node::File { is_executable } => self.file(&name, &path, is_executable)?,
                Node::Link { target } => {
                    self.writer
                        .add_symlink(&*name, target, options(0o777))
                        .map_err(|source| refused(&path, source))?;
                }
                Node::EmptyDirectory => {
                    self.writer
                        .add_directory(&*name, options(0o755))
                        .map_err(|source| refused(&path, source))?;
                }
            }
        }
        self.finish()
    }

    fn file(&mut self, name: &str, path: &Path, is_executable: bool) -> Result<(), PackError> {
        let file = File::open(path).map_err(failed("open", path))?;
        let options = options(if is_executable { 0o755 } else { 0o644 });
        self.writer.start_file(name, options).map_err(|source| refused(path, source))?;
        // A file may grow while it is read; what is read is what counts.
        let left = UNZIPPED_MAX - self.unzipped;
        let copied = io::copy(&mut file.take(left + 1), &mut self.writer).map_err(failed("read", path))?;
        if copied > left {
            return Err(PackError::TooLarge { path: self.whole.to_owned() });
        }
        self.unzipped += copied;
        Ok(())
    }

    fn finish(self) -> Result<Package, PackError> {
        let zip = self.writer.finish().map_err(|source| refused(self.whole, source))?.into_inner();
        if zip.len() as u64 > ZIPPED_MAX {
            return Err(PackError::ZipTooLarge { path: self.whole.to_owned() });
        }
        Ok(Package { zip })
    }
}

fn refused(path: &Path, source: zip::result::ZipError) -> PackError {
    PackError::Zip { path: path.to_owned(), source }
}

/// The same for every run: no time but the format's first, no owner, no mask of the user's.
fn options(mode: u32) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(6))
        .last_modified_time(DateTime::DEFAULT)
        .unix_permissions(mode)
}

/// Everything below a directory, by its name in the package.
fn walk(root: &Path) -> Result<BTreeMap<String, Node>, PackError> {
    let mut nodes = BTreeMap::new();
    let mut waiting = vec![(root.to_owned(), String::new())];
    let mut seen = 0_usize;
    while let Some((dir, prefix)) = waiting.pop() {
        let mut is_empty = true;
        for entry in fs::read_dir(&dir).map_err(failed("list", &dir))? {
            let path = entry.map_err(failed("list", &dir))?.path();
            let name = name_of(&path)?;
            if LEFT_OUT.contains(&name.as_str()) {
                continue;
            }
            is_empty = false;
            seen += 1;
            if seen > NODES_MAX {
                return Err(PackError::TooMany { path: root.to_owned() });
            }
            let inside = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            let data = fs::symlink_metadata(&path).map_err(failed("read", &path))?;
            if data.is_dir() {
                waiting.push((path, inside));
            } else if data.is_symlink() {
                nodes.insert(inside.clone(), Node::Link { target: link_target(&path, &inside)? });
            } else if data.is_file() {
                let is_executable = data.permissions().mode() & 0o111 != 0;
                nodes.insert(inside, Node::File { is_executable });
            } else {
                return Err(PackError::Special { path });
            }
        }
        if is_empty && !prefix.is_empty() {
            nodes.insert(prefix, Node::EmptyDirectory);
        }
    }
    Ok(nodes)
}

/// Where a link leads, if that is inside the package. Decided by names: other links on the way are judged on their own.
fn link_target(path: &Path, inside: &str) -> Result<String, PackError> {
    let target = fs::read_link(path).map_err(failed("read the link", path))?;
    let escapes = || PackError::LinkEscapes { path: path.to_owned(), target: target.clone() };
    // The directory that holds the link has one part less than the link.
    let mut depth = inside.matches('/').count();
    for part in target.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(_) => depth += 1,
            Component::ParentDir => depth = depth.checked_sub(1).ok_or_else(escapes)?,
            Component::RootDir | Component::Prefix(_) => return Err(escapes()),
        }
    }
    target.to_str().map(str::to_owned).ok_or_else(|| PackError::Name { path: path.to_owned() })
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
