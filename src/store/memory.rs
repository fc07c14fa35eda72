//! The catalog in memory: the reference that the durable engine is tested against.
//!
//! It keeps the same promises but for durability.

use super::catalog::{Change, CommitError, Effect, Usage, decide};
use super::record::FunctionRecord;
use hearth_sandbox::Digest;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Functions = BTreeMap<String, FunctionRecord>;

/// A catalog that is gone with the process.
#[derive(Clone, Default)]
pub(crate) struct MemoryStore(Arc<Mutex<Functions>>);

impl MemoryStore {
    pub(super) fn function(&self, name: &str) -> Option<FunctionRecord> {
        self.lock().get(name).cloned()
    }

    pub(super) fn functions(&self, after: Option<&str>, limit: usize) -> Vec<FunctionRecord> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.lock().range::<str, _>((from, Bound::Unbounded)).take(limit).map(|(_, it)| it.clone()).collect()
    }

    pub(super) fn usage(&self) -> Usage {
        self.lock().values().fold(Usage::default(), |sum, it| Usage {
            functions: sum.functions + 1,
            code_bytes: sum.code_bytes + it.code.size,
            reserved: sum.reserved + u64::from(it.reserved_concurrency.unwrap_or(0)),
        })
    }

    pub(super) fn refers_to(&self, code: &Digest) -> bool {
        self.lock().values().any(|it| it.code.digest == *code)
    }

    pub(super) fn commit(&self, changes: Vec<Change>) -> Result<(), CommitError> {
        let mut functions = self.lock();
        let mut undo = Vec::new();
        for change in changes {
            let name = change.name().to_owned();
            let current = functions.get(&name).cloned();
            let others = || Ok(reserved_by_others(&functions, &name));
            match decide(change, current, others) {
                Ok(effect) => {
                    let before = match effect {
                        Effect::Put(record) => functions.insert(name.clone(), *record),
                        Effect::Remove => functions.remove(&name),
                    };
                    undo.push((name, before));
                }
                Err(error) => {
                    roll_back(&mut functions, undo);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Functions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn roll_back(functions: &mut Functions, undo: Vec<(String, Option<FunctionRecord>)>) {
    for (name, before) in undo.into_iter().rev() {
        match before {
            Some(record) => functions.insert(name, record),
            None => functions.remove(&name),
        };
    }
}

fn reserved_by_others(functions: &Functions, name: &str) -> u64 {
    let others = functions.values().filter(|it| it.name != name);
    others.map(|it| u64::from(it.reserved_concurrency.unwrap_or(0))).sum()
}
