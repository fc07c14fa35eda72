//! What must survive: the catalog of functions (SQLite), code packages (content-addressed files), and the state
//! directory that holds both. Nothing acknowledged is lost by `kill -9`.
//!
//! Engine types stay behind [`Store`]; nothing here decides policy or knows of sandboxes. `archive` and `unpack` make
//! code trees from packages and trust no byte of them.

mod archive;
mod blobs;
mod catalog;
mod documents;
mod garbage;
mod incoming;
mod index;
mod layers;
mod layout;
mod memory;
mod package;
pub(crate) mod record;
mod root;
mod seal;
pub(crate) mod serving;
mod sqlite;
mod tar;
mod tree;
mod unpack;
mod versions;

#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod zips;

pub(crate) use archive::{ArchiveError, UNZIPPED_MAX, validate};
pub(crate) use blobs::{BlobError, Blobs, Pin};
pub(crate) use catalog::{Change, CommitError, Store, StoreError};
pub(crate) use documents::DocumentError;
pub(crate) use documents::{Document, DocumentChange, Expect, Family};
pub(crate) use garbage::{GarbageError, Users, collect_garbage};
pub(crate) use incoming::Incoming;
pub(crate) use layers::{tree_of, unzipped};
pub(crate) use layout::{Layout, RunInfo};
pub(crate) use record::{
    Code, Configuration, FunctionRecord, Layer, Logging, Reason, State, StateKind, UpdateKind, UpdateStatus,
};
pub(crate) use root::ROOT_BYTES_MAX;
pub(crate) use seal::Sealer;
pub(crate) use unpack::{UnpackError, Unpacker};
pub(crate) use versions::{Alias, Published, Version, VersionChange, VersionError};
