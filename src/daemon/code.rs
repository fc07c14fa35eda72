//! Makes sure that a function's code or root is unpacked before a sandbox is asked to mount it; each tree is made once however
//! many environments start at the same time.

use super::offers::Offers;
use crate::store::{UnpackError, Unpacker, tree_of};
use hearth_sandbox::{Digest, Tree};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, OnceCell};

/// Trees remembered as present; beyond, the disk is asked again.
const REMEMBERED_MAX: usize = 4096;

type Cell = Arc<OnceCell<Result<(), String>>>;

/// The code trees of this daemon.
pub(crate) struct Code {
    unpacker: Arc<Unpacker>,
    known: Mutex<BTreeMap<Tree, Cell>>,
    /// Code may have lost its last function.
    pub(crate) released: Notify,
    /// Roots that no function has yet.
    pub(crate) offers: Offers,
}

impl Code {
    /// Over the store's unpacker.
    pub(crate) fn new(unpacker: Arc<Unpacker>) -> Self {
        Self { unpacker, known: Mutex::default(), released: Notify::new(), offers: Offers::default() }
    }

    /// Unpacks a root that has just come, and says why it cannot be.
    pub(crate) async fn try_root(
        &self,
        root: Tree,
    ) -> Result<Result<(), UnpackError>, tokio::task::JoinError> {
        let unpacker = Arc::clone(&self.unpacker);
        tokio::task::spawn_blocking(move || unpacker.ensure(root)).await
    }

    /// Makes a tree from its blob if it is not there yet.
    pub(crate) async fn ensure_unpacked(&self, code: Tree) -> Result<(), String> {
        let cell = self.cell(code);
        let unpacker = Arc::clone(&self.unpacker);
        let made = cell
            .get_or_init(|| async move {
                let work = tokio::task::spawn_blocking(move || unpacker.ensure(code));
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
        let Some(tree) = tree_of(layers).map(Tree::Task) else { return Ok(()) };
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

    /// A tree is gone, or was never made.
    pub(crate) fn forget(&self, code: Tree) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&code);
    }

    fn cell(&self, code: Tree) -> Cell {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        Arc::clone(known.entry(code).or_default())
    }
}
