//! The catalog in memory: the reference that the durable engine is tested against.
//!
//! It keeps the same promises but for durability, and is written to be plainly right: a refused commit is undone by a
//! copy of everything.

use super::catalog::{Change, CommitError, Effect, StoreError, Usage, decide};
use super::documents::{self, Document, DocumentChange, Family};
use super::record::FunctionRecord;
use super::versions::{Act, Alias, NUMBERS_KEPT_MAX, Published, Shelf, Version, VersionChange, plan};
use hearth_sandbox::Digest;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The last number of a function, and when it was deleted, if it was.
#[derive(Clone, Copy, Default)]
struct Numbering {
    last: u64,
    deleted: Option<u64>,
}

#[derive(Clone, Default)]
struct Books {
    functions: BTreeMap<String, FunctionRecord>,
    versions: BTreeMap<(String, u64), Published>,
    aliases: BTreeMap<(String, String), Alias>,
    documents: BTreeMap<(Family, String), Document>,
    numbering: BTreeMap<String, Numbering>,
    deletions: u64,
}

/// A catalog that is gone with the process.
#[derive(Clone, Default)]
pub(crate) struct MemoryStore(Arc<Mutex<Books>>);

impl MemoryStore {
    pub(super) fn function(&self, name: &str) -> Option<FunctionRecord> {
        self.lock().functions.get(name).cloned()
    }

    pub(super) fn functions(&self, after: Option<&str>, limit: usize) -> Vec<FunctionRecord> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let books = self.lock();
        books
            .functions
            .range::<str, _>((from, Bound::Unbounded))
            .take(limit)
            .map(|(_, it)| it.clone())
            .collect()
    }

    pub(super) fn version(&self, function: &str, number: u64) -> Option<Published> {
        self.lock().read_version(function, number)
    }

    pub(super) fn versions(&self, function: &str, after: u64, limit: usize) -> Vec<FunctionRecord> {
        let books = self.lock();
        let numbers = books.versions.keys().filter(|(name, number)| name == function && *number > after);
        numbers
            .take(limit)
            .filter_map(|(_, number)| books.read_version(function, *number))
            .map(|it| it.record)
            .collect()
    }

    pub(super) fn all_versions(&self, after: (&str, u64), limit: usize) -> Vec<FunctionRecord> {
        let books = self.lock();
        let mut all = BTreeMap::new();
        for record in books.functions.values() {
            all.insert((record.name.as_str(), 0), record.clone());
        }
        for (name, number) in books.versions.keys() {
            all.extend(books.read_version(name, *number).map(|it| ((name.as_str(), *number), it.record)));
        }
        all.into_iter().filter(|(key, _)| *key > after).take(limit).map(|(_, record)| record).collect()
    }

    pub(super) fn last_number(&self, function: &str) -> u64 {
        self.lock().last(function)
    }

    pub(super) fn alias(&self, function: &str, name: &str) -> Option<Alias> {
        self.lock().aliases.get(&(function.to_owned(), name.to_owned())).cloned()
    }

    pub(super) fn aliases(
        &self,
        function: &str,
        after: &str,
        of: Option<Version>,
        limit: usize,
    ) -> Vec<Alias> {
        let books = self.lock();
        let fits = |it: &&Alias| {
            let named = [Some(it.version), it.additional.map(|(number, _)| Version::Number(number))];
            it.function == function
                && *it.name > *after
                && of.is_none_or(|wanted| named.contains(&Some(wanted)))
        };
        books.aliases.values().filter(fits).take(limit).cloned().collect()
    }

    pub(super) fn document(&self, family: Family, key: &str) -> Option<Document> {
        self.lock().documents.get(&(family, key.to_owned())).cloned()
    }

    pub(super) fn documents(&self, family: Family, prefix: &str, after: &str, limit: usize) -> Vec<Document> {
        let books = self.lock();
        let fits = |it: &&Document| it.family == family && it.key.starts_with(prefix) && *it.key > *after;
        books.documents.values().filter(fits).take(limit).cloned().collect()
    }

    pub(super) fn usage(&self) -> Usage {
        let books = self.lock();
        let versions: u64 = books.versions.values().map(|it| it.record.code.size).sum();
        let documents: u64 =
            books.documents.values().filter_map(|it| it.code.as_ref()).map(|it| it.size).sum();
        books.functions.values().fold(
            Usage { code_bytes: versions + documents, ..Usage::default() },
            |sum, it| Usage {
                functions: sum.functions + 1,
                code_bytes: sum.code_bytes + it.code.size,
                reserved: sum.reserved + u64::from(it.reserved_concurrency.unwrap_or(0)),
            },
        )
    }

    pub(super) fn refers_to(&self, code: &Digest) -> bool {
        let books = self.lock();
        let mut records = books.functions.values().chain(books.versions.values().map(|it| &it.record));
        let mut documents = books.documents.values().filter_map(|it| it.code.as_ref());
        records.any(|it| it.code.digest == *code) || documents.any(|it| it.digest == *code)
    }

    pub(super) fn commit(&self, changes: Vec<Change>) -> Result<(), CommitError> {
        let mut books = self.lock();
        let before = books.clone();
        let done = changes.into_iter().try_for_each(|change| books.apply(change));
        if done.is_err() {
            *books = before;
        }
        done
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn apply(&mut self, change: Change) -> Result<(), CommitError> {
        let change = match change {
            Change::Version(change) => return self.apply_version(change),
            Change::Document(change) => return self.apply_document(change),
            change => change,
        };
        let name = change.name().to_owned();
        let current = self.functions.get(&name).cloned();
        let others = || Ok(self.reserved_by_others(&name));
        match decide(change, current, others)? {
            Effect::Put(record) => {
                if let Some(numbering) = self.numbering.get_mut(&name) {
                    numbering.deleted = None;
                }
                self.functions.insert(name, *record);
            }
            Effect::Remove => self.forget(&name),
        }
        Ok(())
    }

    fn apply_version(&mut self, change: VersionChange) -> Result<(), CommitError> {
        for act in plan(change, self)? {
            match act {
                Act::PutFunction(record) => {
                    self.functions.insert(record.name.clone(), *record);
                }
                Act::PutVersion(published) => {
                    let (function, number) = (published.record.name.clone(), published.number());
                    let numbering = self.numbering.entry(function.clone()).or_default();
                    numbering.last = numbering.last.max(number);
                    self.versions.insert((function, number), *published);
                }
                Act::RemoveVersion { function, number } => {
                    self.versions.remove(&(function, number));
                }
                Act::PutAlias(alias) => {
                    self.aliases.insert((alias.function.clone(), alias.name.clone()), *alias);
                }
                Act::RemoveAlias { function, alias } => {
                    self.aliases.remove(&(function, alias));
                }
            }
        }
        Ok(())
    }

    fn apply_document(&mut self, change: DocumentChange) -> Result<(), CommitError> {
        let (family, key) = change.address();
        let address = (family, key.to_owned());
        let stored = self.documents.get(&address).map(|it| it.revision.clone());
        match documents::plan(change, stored, |name| Ok(self.functions.contains_key(name)))? {
            documents::Act::Put(document) => self.documents.insert(address, *document),
            documents::Act::Remove => self.documents.remove(&address),
        };
        Ok(())
    }

    fn forget(&mut self, name: &str) {
        self.functions.remove(name);
        self.versions.retain(|(function, _), _| function != name);
        self.aliases.retain(|(function, _), _| function != name);
        self.documents.retain(|_, it| it.function.as_deref() != Some(name));
        if let Some(numbering) = self.numbering.get_mut(name) {
            self.deletions += 1;
            numbering.deleted = Some(self.deletions);
        }
        let deletions = self.deletions;
        let kept = |it: &Numbering| it.deleted.is_none_or(|at| at + NUMBERS_KEPT_MAX > deletions);
        self.numbering.retain(|_, it| kept(it));
    }

    fn last(&self, function: &str) -> u64 {
        self.numbering.get(function).map_or(0, |it| it.last)
    }

    fn reserved_by_others(&self, name: &str) -> u64 {
        let others = self.functions.values().filter(|it| it.name != name);
        others.map(|it| u64::from(it.reserved_concurrency.unwrap_or(0))).sum()
    }

    /// A version with what is its function's.
    fn read_version(&self, function: &str, number: u64) -> Option<Published> {
        let mut published = self.versions.get(&(function.to_owned(), number)).cloned()?;
        let latest = self.functions.get(function)?;
        published.record.tags.clone_from(&latest.tags);
        published.record.reserved_concurrency = latest.reserved_concurrency;
        Some(published)
    }
}

impl Shelf for Books {
    fn function(&self, name: &str) -> Result<Option<FunctionRecord>, StoreError> {
        Ok(self.functions.get(name).cloned())
    }

    fn version(&self, function: &str, number: u64) -> Result<Option<Published>, StoreError> {
        Ok(self.read_version(function, number))
    }

    fn last_number(&self, function: &str) -> Result<u64, StoreError> {
        Ok(self.last(function))
    }

    fn alias(&self, function: &str, name: &str) -> Result<Option<Alias>, StoreError> {
        Ok(self.aliases.get(&(function.to_owned(), name.to_owned())).cloned())
    }

    fn aliases_of(&self, function: &str, number: u64) -> Result<Vec<String>, StoreError> {
        let named = |it: &&Alias| {
            it.function == function
                && (it.version.number() == number || it.additional.is_some_and(|(other, _)| other == number))
        };
        Ok(self.aliases.values().filter(named).map(|it| it.name.clone()).collect())
    }
}
