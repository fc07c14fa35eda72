//! Makes the tree of a code package or of a root: `unpacked/<name>`, the directory that sandboxes mount.
//!
//! Trees are disposable: made beside their place and renamed into it, so that a tree that is there is whole; not
//! synced, because the layout throws away trees of an earlier boot. All functions block: call them from blocking
//! tasks. Who still runs from a tree is not known here.

use super::archive::{self, ArchiveError, Budget, Halt, Node};
use super::blobs::{BlobError, Blobs};
use super::package::Package;
use super::root::{self, RootError};
use super::tree;
use hearth_sandbox::{Digest, Tree};
use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes and removes code trees.
#[derive(Debug)]
pub(crate) struct Unpacker {
    dir: PathBuf,
    pub(super) blobs: Blobs,
    made: AtomicU64,
}

/// Why a tree could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    /// The package is refused; the text is for the client.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The package is not there or damaged.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The root tree is refused; the text is for the client.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The file system refused.
    #[error("cannot unpack code package {}: {source}", .digest.hex())]
    Io {
        /// Which package.
        digest: Digest,
        /// The system's answer.
        source: io::Error,
    },
}

impl Unpacker {
    /// Over the `unpacked` directory of a layout.
    pub(crate) fn new(blobs: Blobs, dir: &Path) -> Self {
        Self { dir: dir.to_owned(), blobs, made: AtomicU64::new(0) }
    }

    /// Makes a tree from what is stored unless it is there.
    pub(crate) fn ensure(&self, tree: Tree) -> Result<(), UnpackError> {
        if self.path(tree).is_dir() {
            return Ok(());
        }
        let stored = self.blobs.open(&tree.digest())?;
        match tree {
            Tree::Task(digest) => self.unpack(&digest, stored.package()),
            Tree::Root(_) => self.make(tree, |tmp| root::fill(tmp, &stored.file).map_err(UnpackError::Root)),
        }
    }

    /// Where a tree is, or would be.
    pub(crate) fn path(&self, tree: Tree) -> PathBuf {
        self.dir.join(tree.name())
    }

    /// Takes a tree out of its place, to where the next start would clear it: quick, and never half a tree that looks
    /// whole. None if there is no tree.
    pub(super) fn set_aside(&self, tree: Tree) -> io::Result<Option<PathBuf>> {
        let aside = self.fresh(tree);
        match fs::rename(self.path(tree), &aside) {
            Ok(()) => Ok(Some(aside)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The trees that are there.
    pub(super) fn list(&self) -> io::Result<Vec<Tree>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            found.extend(entry?.file_name().to_str().and_then(Tree::parse));
        }
        Ok(found)
    }

    /// Makes the tree of a package in hand.
    pub(super) fn unpack<'a>(
        &self,
        digest: &Digest,
        package: impl Into<Package<'a>>,
    ) -> Result<(), UnpackError> {
        self.unpack_all(digest, &[package.into()])
    }

    /// Makes one tree of several packages under this name; where they have the same names, the later one counts.
    pub(super) fn unpack_all(&self, digest: &Digest, packages: &[Package<'_>]) -> Result<(), UnpackError> {
        let digest = *digest;
        self.make(Tree::Task(digest), |tmp| {
            fill(tmp, packages).map_err(|halt| match halt {
                Halt::Archive(error) => error.into(),
                Halt::Sink(source) => UnpackError::Io { digest, source },
            })
        })
    }

    fn make(
        &self,
        tree: Tree,
        fill: impl FnOnce(&Path) -> Result<(), UnpackError>,
    ) -> Result<(), UnpackError> {
        let tmp = self.fresh(tree);
        let failed = |source| UnpackError::Io { digest: tree.digest(), source };
        fs::create_dir(&tmp).map_err(failed)?;
        let done = fill(&tmp).and_then(|()| self.put_in_place(&tmp, tree).map_err(failed));
        if done.is_err() {
            // The first error counts; what stays is cleared at the next start.
            fs::remove_dir_all(&tmp).ok();
        }
        done
    }

    fn put_in_place(&self, tmp: &Path, tree: Tree) -> io::Result<()> {
        match fs::rename(tmp, self.path(tree)) {
            // Somebody else made the same tree meanwhile; the bytes are the same.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => fs::remove_dir_all(tmp),
            done => done,
        }
    }

    fn fresh(&self, tree: Tree) -> PathBuf {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        self.dir.join(format!("{}.{}-{number}.tmp", tree.name(), std::process::id()))
    }
}

fn fill(root: &Path, packages: &[Package<'_>]) -> Result<(), Halt> {
    let nodes = super::layers::merge(packages)?;
    let mut tree = tree::Tree::open(root).map_err(Halt::Sink)?;
    let mut budget = Budget::new();
    for (path, (package, node)) in &nodes {
        match node {
            Node::Directory => tree.directory(path).map_err(Halt::Sink)?,
            Node::File { entry, mode } => {
                let mut file = tree.file(path).map_err(Halt::Sink)?;
                archive::inflate(*package, entry, &mut budget, &mut |bytes| file.write_all(bytes))?;
                file.set_permissions(Permissions::from_mode(*mode)).map_err(Halt::Sink)?;
            }
            Node::Link { .. } => {}
        }
    }
    // Links last: while files are written there is none that could be followed.
    for (path, (package, node)) in &nodes {
        if let Node::Link { entry } = node {
            let target = archive::link_target(*package, path, entry, &mut budget)?;
            tree.link(path, &target).map_err(Halt::Sink)?;
        }
    }
    Ok(())
}
