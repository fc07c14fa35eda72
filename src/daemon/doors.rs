//! Functions that use all of their reserved concurrency, so that nobody has to read what they are sent.
//!
//! A door is shut when a permit is refused for the function's reservation, and open again as soon as one of its permits
//! may have come back or its settings changed: open too long costs one body that is read for nothing, shut too long would
//! refuse what could run. It refuses nobody itself; the front door looks.

use super::revision::Revision;
use hearth_logic::FunctionId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One function's door; its revisions share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Door(Arc<AtomicBool>);

impl Door {
    /// Whether the last one who came without provisioned concurrency was refused, and no permit has come back since.
    pub(crate) fn is_shut(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Those that are shut; at most as many as functions have reservations.
#[derive(Default)]
pub(super) struct Doors(BTreeMap<FunctionId, Door>);

impl Doors {
    pub(super) fn shut(&mut self, revision: &Revision) {
        revision.door.0.store(true, Ordering::Relaxed);
        self.0.insert(revision.function, revision.door.clone());
    }

    pub(super) fn open(&mut self, function: FunctionId) {
        if let Some(door) = self.0.remove(&function) {
            door.0.store(false, Ordering::Relaxed);
        }
    }
}
