//! Makes sure that a function's code is unpacked before a sandbox is asked to mount it; each tree is made once however
//! many environments start at the same time.

use crate::store::{Unpacker, tree_of};
use hearth_sandbox::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;

/// Trees remembered as present; beyond, the disk is asked again.
const REMEMBERED_MAX: usize = 4096;

type Cell = Arc<OnceCell<Result<(), String>>>;

/// The code trees of this daemon.
pub(crate) struct Code {
    unpacker: Arc<Unpacker>,
    known: Mutex<BTreeMap<Digest, Cell>>,
    used: Arc<Mutex<BTreeMap<Digest, usize>>>,
}

/// A tree that a sandbox has mounted; it stays on disk for as long as this lives.
pub(crate) struct Use {
    digest: Digest,
    used: Arc<Mutex<BTreeMap<Digest, usize>>>,
}

impl Drop for Use {
    fn drop(&mut self) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        match used.get_mut(&self.digest) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                used.remove(&self.digest);
            }
        }
    }
}

impl Code {
    /// Over the store's unpacker.
    pub(crate) fn new(unpacker: Arc<Unpacker>) -> Self {
        Self { unpacker, known: Mutex::default(), used: Arc::default() }
    }

    /// Keeps a tree on disk while a sandbox uses it.
    pub(crate) fn hold(&self, digest: Digest) -> Use {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner).entry(digest).or_default() += 1;
        Use { digest, used: Arc::clone(&self.used) }
    }

    /// Trees that sandboxes use.
    pub(crate) fn in_use(&self) -> BTreeSet<Digest> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Trees may be gone.
    pub(crate) fn forget_all(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Unpacks the blob of this hash if its tree is not there yet.
    pub(crate) async fn ensure_unpacked(&self, code: Digest) -> Result<(), String> {
        let cell = self.cell(code);
        let unpacker = Arc::clone(&self.unpacker);
        let made = cell
            .get_or_init(|| async move {
                let work = tokio::task::spawn_blocking(move || unpacker.ensure(&code.hex()));
                match work.await {
                    Ok(done) => done.map_err(|error| error.to_string()),
                    Err(error) => Err(error.to_string()),
                }
            })
            .await
            .clone();
        if made.is_err() {
            // The next start tries again: a full disk may have been mended meanwhile.
            self.forget(code);
        }
        made
    }

    /// Makes the tree of these layers, in their order, if it is not there yet.
    pub(crate) async fn ensure_layers(&self, layers: &[Digest]) -> Result<(), String> {
        let Some(tree) = tree_of(layers) else { return Ok(()) };
        let (cell, unpacker, layers) = (self.cell(tree), Arc::clone(&self.unpacker), layers.to_vec());
        let made = cell
            .get_or_init(|| async move {
                match tokio::task::spawn_blocking(move || unpacker.ensure_layers(&layers)).await {
                    Ok(done) => done.map_err(|error| error.to_string()),
                    Err(error) => Err(error.to_string()),
                }
            })
            .await
            .clone();
        if made.is_err() {
            self.forget(tree);
        }
        made
    }

    fn forget(&self, code: Digest) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&code);
    }

    fn cell(&self, code: Digest) -> Cell {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        Arc::clone(known.entry(code).or_default())
    }
}
