//! Removes code packages that no function has, and their trees.
//!
//! Run at the start and after functions changed. Safe beside creates: a package that is being stored is pinned until
//! the catalog names it. What environments may still be started of is the daemon's to protect: it is asked.

use super::blobs::{BlobError, Blobs};
use super::catalog::{Store, StoreError};
use super::unpack::Unpacker;
use hearth_sandbox::{Digest, Tree};
use std::collections::BTreeSet;
use std::io;

/// What a collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Collected {
    /// Code packages.
    pub(crate) blobs: u64,
    /// Their size, bytes.
    pub(crate) bytes: u64,
    /// Unpacked trees.
    pub(crate) trees: u64,
    /// Packages that no function has, and that somebody may still run.
    pub(crate) kept: u64,
}

/// Why a collection stopped; what it had removed before stays removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GarbageError {
    /// The catalog could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A package could not be removed.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The directory could not be read.
    #[error("cannot look for unused code: {0}")]
    Io(#[from] io::Error),
}

/// Who runs what the catalog may not refer to any more.
pub(crate) trait Users {
    /// Does the deed, which is to be quick, if nobody uses what is on disk under this name, and lets nobody begin to
    /// meanwhile. `None` if somebody does.
    fn unless_used(
        &self,
        digest: &Digest,
        deed: &mut dyn FnMut() -> io::Result<bool>,
    ) -> Option<io::Result<bool>>;
}

/// Removes blobs that nothing refers to and nobody uses, and such trees. `gone` is told of each tree before anybody can want
/// it again: whoever remembers it as present must not. Blocks.
pub(crate) fn collect_garbage(
    store: &Store,
    blobs: &Blobs,
    unpacker: &Unpacker,
    users: &dyn Users,
    gone: impl Fn(Tree),
) -> Result<Collected, GarbageError> {
    let mut collected = Collected::default();
    let mut kept = BTreeSet::new();
    let mut unless_used = |digest: &Digest, deed: &mut dyn FnMut() -> io::Result<bool>| {
        users.unless_used(digest, deed).unwrap_or_else(|| {
            kept.insert(*digest);
            Ok(false)
        })
    };
    for (digest, size) in blobs.list()? {
        // First without the lock: most blobs are wanted.
        if store.refers_to(&digest)? {
            continue;
        }
        let failed = |source| BlobError::Io { action: "remove", digest, source };
        let mut aside = None;
        let mut take = || {
            aside = blobs.set_aside(&digest)?;
            Ok(aside.is_some())
        };
        let deed = || unless_used(&digest, &mut take);
        blobs.unless_wanted(&digest, || store.refers_to(&digest), deed)?.map_err(failed)?;
        if let Some(blob) = aside {
            std::fs::remove_file(blob).map_err(failed)?;
            collected.blobs += 1;
            collected.bytes += size;
        }
    }
    for tree in unpacker.list()? {
        let digest = tree.digest();
        if store.refers_to(&digest)? {
            continue;
        }
        let mut aside = None;
        let mut take = || {
            aside = unpacker.set_aside(tree)?;
            gone(tree);
            Ok(aside.is_some())
        };
        blobs.unless_wanted(&digest, || store.refers_to(&digest), || unless_used(&digest, &mut take))??;
        if let Some(tree) = aside {
            std::fs::remove_dir_all(tree)?;
            collected.trees += 1;
        }
    }
    collected.kept = kept.len() as u64;
    Ok(collected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{Fixture, record};
    use crate::store::{Change, zips};

    #[tokio::test]
    async fn unused_packages_and_trees_go_and_used_or_pinned_ones_stay() {
        let fixture = Fixture::new();
        let package = |body: &str| zips::zip(&[("index.py", body)]);
        let used = fixture.blobs.put(&package("used")).expect("puts").code();
        let unused = fixture.blobs.put(&package("unused")).expect("puts").code();
        let running = fixture.blobs.put(&package("running")).expect("puts").code();
        let arriving = fixture.blobs.put(&package("arriving")).expect("puts");
        for code in [used, unused, running] {
            fixture.unpacker.ensure(Tree::Task(code.digest)).expect("unpacks");
        }
        let mut function = record("f");
        function.code = used;
        fixture.store.commit(vec![Change::Create(Box::new(function))]).await.expect("commits");
        struct Running(Digest);
        impl Users for Running {
            fn unless_used(
                &self,
                digest: &Digest,
                deed: &mut dyn FnMut() -> io::Result<bool>,
            ) -> Option<io::Result<bool>> {
                (*digest != self.0).then(deed)
            }
        }
        let in_use = Running(running.digest);
        let gone = std::cell::RefCell::new(Vec::new());
        let collect = || {
            let note = |tree| gone.borrow_mut().push(tree);
            collect_garbage(&fixture.store, &fixture.blobs, &fixture.unpacker, &in_use, note)
                .expect("collects")
        };
        let collected = collect();
        assert_eq!(*gone.borrow(), [Tree::Task(unused.digest)]);
        assert_eq!((collected.blobs, collected.bytes, collected.trees), (1, unused.size, 1));
        assert!(fixture.blobs.read(&used.digest).is_ok());
        assert!(fixture.blobs.read(&running.digest).is_ok());
        assert!(fixture.blobs.read(&arriving.code().digest).is_ok());
        assert_eq!(fixture.unpacker.list().expect("lists").len(), 2);
        assert_eq!(collect(), Collected { kept: 1, ..Collected::default() });
        drop(arriving);
        assert_eq!(collect().blobs, 1);
    }
}
