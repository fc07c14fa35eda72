//! Tests of the store as a whole, and what they share.

mod archives;
mod catalogs;
mod crash;
mod documents;
mod versions;

use super::blobs::digest_of;
use super::record::Code;
use super::{Blobs, Configuration, FunctionRecord, Sealer, State, Store, Unpacker, UpdateStatus};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The sealer of all these tests.
pub(crate) fn sealer() -> Sealer {
    Sealer::new(&[7; 32])
}

/// A directory that goes with the value.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("hearth-store-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("a fresh directory");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// A durable store with its files.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) blobs: Blobs,
    pub(crate) unpacker: Unpacker,
    pub(crate) scratch: Scratch,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let scratch = Scratch::new();
        for name in ["blobs/sha256", "blobs/tmp", "unpacked"] {
            std::fs::create_dir_all(scratch.path().join(name)).expect("makes");
        }
        let store = Store::open(&scratch.path().join("hearth.db"), sealer()).expect("opens");
        let blobs = Blobs::new(&scratch.path().join("blobs"));
        let unpacker = Unpacker::new(blobs.clone(), &scratch.path().join("unpacked"));
        Self { store, blobs, unpacker, scratch }
    }
}

/// A function of this name whose other members depend on it.
pub(crate) fn record(name: &str) -> FunctionRecord {
    FunctionRecord {
        name: name.into(),
        version: "$LATEST".into(),
        revision_id: format!("{name}-1"),
        code: Code { digest: digest_of(name.as_bytes()), size: name.len() as u64 },
        state: State::active(),
        last_update: UpdateStatus::none(),
        reserved_concurrency: None,
        tags: BTreeMap::new(),
        created_ms: 1,
        last_modified_ms: 2,
        configuration: Configuration::default(),
    }
}

/// Runs nothing: whatever the catalog does not refer to may go.
pub(crate) struct Nobody;

impl crate::store::Users for Nobody {
    fn unless_used(
        &self,
        _: &hearth_sandbox::Digest,
        deed: &mut dyn FnMut() -> std::io::Result<bool>,
    ) -> Option<std::io::Result<bool>> {
        Some(deed())
    }
}
