//! The catalog: typed verbs over an engine, and the rules of a commit, which are the same for every engine.
//!
//! [`decide`] is the one place where a change meets what is stored: uniqueness, revision check, what an update must
//! not overwrite. Engines only fetch, call it, and write. A commit is atomic: all of its changes or none. It does not
//! make ids, read clocks or know quotas: callers bring them.

use super::documents::{Document, DocumentChange, DocumentError, Family};
use super::memory::MemoryStore;
use super::record::FunctionRecord;
use super::seal::Sealer;
use super::serving;
use super::sqlite::SqliteStore;
use super::versions::{Alias, Published, Version, VersionChange, VersionError};
use hearth_logic::admission::may_reserve;
use hearth_sandbox::Digest;
use std::collections::BTreeMap;
use std::path::Path;

/// Tags on one function at most (the service's own limit).
pub(crate) const TAGS_MAX: usize = 50;
/// Records that one scan returns at most.
pub(crate) const SCAN_MAX: usize = 1_000;

/// Where functions are kept. Cheap to clone; every clone is the same catalog.
#[derive(Clone)]
pub(crate) enum Store {
    /// Durable, in the state directory.
    Sqlite(SqliteStore),
    /// For tests and simulations; gone with the process.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the second engine keeps the seam honest; tests run both")
    )]
    Memory(MemoryStore),
}

/// One step of a commit.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A new function; fails if the name is taken.
    Create(Box<FunctionRecord>),
    /// New code, settings or state. Tags, reserved concurrency and creation time of the stored record stay.
    Replace {
        /// The revision that the record was derived from; another one stored is [`CommitError::Stale`].
        expected: String,
        /// What is to be stored.
        record: Box<FunctionRecord>,
    },
    /// Forgets a function with its versions, aliases and documents. The number of its last version is remembered.
    Delete {
        /// Its name.
        name: String,
    },
    /// Sets or clears reserved concurrency. The revision stays.
    Reserve {
        /// Function.
        name: String,
        /// None clears.
        reserved: Option<u32>,
        /// The sum of all functions' reservations may not pass this.
        reservable: u32,
    },
    /// Removes tags, then sets tags. The revision stays.
    Tag {
        /// Function.
        name: String,
        /// Set or overwritten.
        set: BTreeMap<String, String>,
        /// Removed; absent keys are no error.
        remove: Vec<String>,
    },
    /// Concerns versions or aliases; its rules are in `versions`.
    Version(VersionChange),
    /// Concerns a document; its rules are in `documents`.
    Document(DocumentChange),
}

impl Change {
    /// For the disk: what is secret in it sealed.
    pub(super) fn seal(&mut self, sealer: &Sealer) -> Result<(), StoreError> {
        let record = match self {
            Self::Create(record) | Self::Replace { record, .. } => record,
            Self::Version(VersionChange::Publish { published, .. }) => &mut published.record,
            Self::Document(DocumentChange::Put { document, .. }) => return serving::seal(document, sealer),
            _ => return Ok(()),
        };
        record.configuration.seal(sealer, &record.name);
        Ok(())
    }

    /// The function that it is about.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Create(record) | Self::Replace { record, .. } => &record.name,
            Self::Delete { name } | Self::Reserve { name, .. } | Self::Tag { name, .. } => name,
            Self::Version(change) => change.function(),
            Self::Document(change) => change.function(),
        }
    }
}

/// Totals over all functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// How many functions.
    pub(crate) functions: u64,
    /// Sizes of the code packages of all versions and layers, bytes; a package used twice counts twice, as the service counts.
    pub(crate) code_bytes: u64,
    /// Sum of reserved concurrency.
    pub(crate) reserved: u64,
}

/// Why a commit was refused. Nothing of it was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommitError {
    /// The name is taken.
    #[error("function {name} exists already")]
    Exists {
        /// Function.
        name: String,
    },
    /// There is no such function.
    #[error("function {name} does not exist")]
    Missing {
        /// Function.
        name: String,
    },
    /// Somebody changed the function in between.
    #[error("function {name} is at revision {stored}, not {expected}")]
    Stale {
        /// Function.
        name: String,
        /// Given.
        expected: String,
        /// Found.
        stored: String,
    },
    /// The reservations of all functions would pass the bound.
    #[error("reserving {asked} for function {name} leaves too little: {others} of {reservable} are taken")]
    TooMuchReserved {
        /// Function.
        name: String,
        /// Asked for.
        asked: u32,
        /// Reserved by the other functions.
        others: u64,
        /// The bound given.
        reservable: u32,
    },
    /// More tags than a function may have.
    #[error("function {name} would have {count} tags; {TAGS_MAX} is the most")]
    TooManyTags {
        /// Function.
        name: String,
        /// How many it would have.
        count: usize,
    },
    /// A change of versions or aliases does not fit what is stored.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// A change of a document does not fit what is stored.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The engine failed; the change is not acknowledged.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The engine failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StoreError {
    /// The database could not be opened or migrated.
    #[error("cannot open the catalog {path}: {detail}")]
    Open {
        /// File.
        path: String,
        /// The engine's words.
        detail: String,
    },
    /// Written by a later release.
    #[error(
        "the catalog has schema {found}, this hearth knows up to {known}: run the hearth that wrote it, or a later one"
    )]
    Newer {
        /// On disk.
        found: i64,
        /// Known here.
        known: i64,
    },
    /// Reading or writing failed.
    #[error("the catalog failed to {action}: {detail}")]
    Engine {
        /// What was being done.
        action: &'static str,
        /// The engine's words.
        detail: String,
    },
    /// A stored record cannot be read.
    #[error("the catalog's record of function {name} is damaged: {detail}")]
    Damaged {
        /// Function.
        name: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The writer is gone: the store was closed.
    #[error("the catalog is closed")]
    Closed,
}

/// What an engine must write.
#[derive(Debug)]
pub(super) enum Effect {
    Put(Box<FunctionRecord>),
    Remove,
}

/// The rules of a commit but for versions and documents, which engines give to the `plan` of their module. `current` is the stored record; `reserved_by_others` sums the other functions' reservations.
pub(super) fn decide(
    change: Change,
    current: Option<FunctionRecord>,
    reserved_by_others: impl FnOnce() -> Result<u64, StoreError>,
) -> Result<Effect, CommitError> {
    let name = change.name().to_owned();
    let missing = || CommitError::Missing { name: name.clone() };
    match change {
        Change::Create(record) => match current {
            Some(_) => Err(CommitError::Exists { name }),
            None => Ok(Effect::Put(record)),
        },
        Change::Replace { expected, mut record } => {
            let current = current.ok_or_else(missing)?;
            if current.revision_id != expected {
                return Err(CommitError::Stale { name, expected, stored: current.revision_id });
            }
            // Changed without a new revision, so the caller's copy may be older than what is stored.
            record.tags = current.tags;
            record.reserved_concurrency = current.reserved_concurrency;
            record.created_ms = current.created_ms;
            Ok(Effect::Put(record))
        }
        Change::Delete { .. } => current.map(|_| Effect::Remove).ok_or_else(missing),
        Change::Reserve { reserved, reservable, .. } => {
            let mut record = current.ok_or_else(missing)?;
            if let Some(asked) = reserved {
                let others = reserved_by_others()?;
                if !may_reserve(asked, record.reserved_concurrency, others, reservable) {
                    return Err(CommitError::TooMuchReserved { name, asked, others, reservable });
                }
            }
            record.reserved_concurrency = reserved;
            Ok(Effect::Put(Box::new(record)))
        }
        Change::Tag { set, remove, .. } => {
            let mut record = current.ok_or_else(missing)?;
            for key in &remove {
                record.tags.remove(key);
            }
            record.tags.extend(set);
            match record.tags.len() {
                count if count > TAGS_MAX => Err(CommitError::TooManyTags { name, count }),
                _ => Ok(Effect::Put(Box::new(record))),
            }
        }
        Change::Version(_) | Change::Document(_) => unreachable!("engines plan these by themselves"),
    }
}

impl Store {
    /// Opens the catalog of a state directory, making or migrating it; secrets in it are sealed. Blocks; call before
    /// the runtime starts or from a blocking task.
    pub(crate) fn open(path: &Path, sealer: Sealer) -> Result<Self, StoreError> {
        SqliteStore::open(path, sealer).map(Self::Sqlite)
    }

    /// What secrets in it are sealed with, if they are.
    pub(super) fn sealer(&self) -> Option<&Sealer> {
        match self {
            Self::Sqlite(store) => Some(store.sealer()),
            Self::Memory(_) => None,
        }
    }

    /// The function of this name.
    pub(crate) async fn function(&self, name: &str) -> Result<Option<FunctionRecord>, StoreError> {
        match self {
            Self::Sqlite(store) => store.function(name).await,
            Self::Memory(store) => Ok(store.function(name)),
        }
    }

    /// Functions whose names come after `after`, by name, `limit` (at most [`SCAN_MAX`]) of them. Fewer than asked
    /// for means that the end was reached.
    pub(crate) async fn functions(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<FunctionRecord>, StoreError> {
        let limit = limit.min(SCAN_MAX);
        match self {
            Self::Sqlite(store) => store.functions(after, limit).await,
            Self::Memory(store) => Ok(store.functions(after, limit)),
        }
    }

    /// A published version, with tags and reservation of its function.
    pub(crate) async fn version(&self, function: &str, number: u64) -> Result<Option<Published>, StoreError> {
        match self {
            Self::Sqlite(store) => store.version(function, number).await,
            Self::Memory(store) => Ok(store.version(function, number)),
        }
    }

    /// Published versions of a function after `after`, by number, `limit` (at most [`SCAN_MAX`]) of them.
    pub(crate) async fn versions(
        &self,
        function: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<FunctionRecord>, StoreError> {
        let limit = limit.min(SCAN_MAX);
        match self {
            Self::Sqlite(store) => store.versions(function, after, limit).await,
            Self::Memory(store) => Ok(store.versions(function, after, limit)),
        }
    }

    /// All versions of all functions after a function's name and a number (0 is `$LATEST`), in that order, `limit` (at
    /// most [`SCAN_MAX`]) of them.
    pub(crate) async fn all_versions(
        &self,
        after: (&str, u64),
        limit: usize,
    ) -> Result<Vec<FunctionRecord>, StoreError> {
        let limit = limit.min(SCAN_MAX);
        match self {
            Self::Sqlite(store) => store.all_versions(after, limit).await,
            Self::Memory(store) => Ok(store.all_versions(after, limit)),
        }
    }

    /// The number that a function's last published version got, whether that still exists or not; 0 for none.
    pub(crate) async fn last_number(&self, function: &str) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(store) => store.last_number(function).await,
            Self::Memory(store) => Ok(store.last_number(function)),
        }
    }

    /// An alias.
    pub(crate) async fn alias(&self, function: &str, name: &str) -> Result<Option<Alias>, StoreError> {
        match self {
            Self::Sqlite(store) => store.alias(function, name).await,
            Self::Memory(store) => Ok(store.alias(function, name)),
        }
    }

    /// Aliases of a function whose names come after `after`, by name, `limit` (at most [`SCAN_MAX`]) of them; with `of`
    /// only those that may run that version.
    pub(crate) async fn aliases(
        &self,
        function: &str,
        after: &str,
        of: Option<Version>,
        limit: usize,
    ) -> Result<Vec<Alias>, StoreError> {
        let limit = limit.min(SCAN_MAX);
        match self {
            Self::Sqlite(store) => store.aliases(function, after, of, limit).await,
            Self::Memory(store) => Ok(store.aliases(function, after, of, limit)),
        }
    }

    /// A document.
    pub(crate) async fn document(&self, family: Family, key: &str) -> Result<Option<Document>, StoreError> {
        match self {
            Self::Sqlite(store) => store.document(family, key).await,
            Self::Memory(store) => Ok(store.document(family, key)),
        }
    }

    /// Documents of a family whose keys start with `prefix` and come after `after`, by key, `limit` (at most
    /// [`SCAN_MAX`]) of them.
    pub(crate) async fn documents(
        &self,
        family: Family,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Document>, StoreError> {
        let limit = limit.min(SCAN_MAX);
        match self {
            Self::Sqlite(store) => store.documents(family, prefix, after, limit).await,
            Self::Memory(store) => Ok(store.documents(family, prefix, after, limit)),
        }
    }

    /// Totals.
    pub(crate) async fn usage(&self) -> Result<Usage, StoreError> {
        match self {
            Self::Sqlite(store) => store.usage().await,
            Self::Memory(store) => Ok(store.usage()),
        }
    }

    /// Stores all the changes, in order, or none. When it returns `Ok`, they are on disk. Dropping the future does
    /// not take a submitted commit back.
    pub(crate) async fn commit(&self, changes: Vec<Change>) -> Result<(), CommitError> {
        match self {
            Self::Sqlite(store) => store.commit(changes).await,
            Self::Memory(store) => store.commit(changes),
        }
    }

    /// Whether any version of any function, or any document, has this code package. Blocks on the disk.
    pub(crate) fn refers_to(&self, code: &Digest) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(store) => store.refers_to(code),
            Self::Memory(store) => Ok(store.refers_to(code)),
        }
    }

    /// Waits for submitted commits, writes the log back into the database and stops the writer. Later commits are
    /// refused. Without it nothing is lost either.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Memory(_) => {}
        }
    }
}
