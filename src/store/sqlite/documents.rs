//! Documents in SQLite: their table, reads, and the writes that the rules ask for. Decides nothing.

use super::super::catalog::{CommitError, StoreError};
use super::super::documents::{Act, Document, DocumentChange, Family, after_prefix, plan};
use super::super::record::Code;
use super::{SqliteStore, fetch, signed, unsigned, writing};
use hearth_sandbox::Digest;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

pub(super) const SCHEMA: &str = "CREATE TABLE documents (
        family TEXT NOT NULL,
        key TEXT NOT NULL,
        function TEXT,
        revision TEXT NOT NULL,
        code_sha256 BLOB,
        code_size INTEGER,
        body TEXT NOT NULL,
        PRIMARY KEY (family, key)
    ) WITHOUT ROWID;
    CREATE INDEX documents_by_function ON documents (function) WHERE function IS NOT NULL;
    CREATE INDEX documents_by_code ON documents (code_sha256, code_size) WHERE code_sha256 IS NOT NULL;";

const COLUMNS: &str = "key, function, revision, code_sha256, code_size, body";

impl SqliteStore {
    pub(in super::super) async fn document(
        &self,
        family: Family,
        key: &str,
    ) -> Result<Option<Document>, StoreError> {
        let key = key.to_owned();
        self.read("read a document", move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM documents WHERE family = ?1 AND key = ?2");
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_row(params![family.name(), key], |row| from_row(family, row)).optional()
        })
        .await
    }

    pub(in super::super) async fn documents(
        &self,
        family: Family,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Document>, StoreError> {
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read("list documents", move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM documents WHERE family = ?1 AND key >= ?2 AND key > ?3 \
                 AND (?4 IS NULL OR key < ?4) ORDER BY key LIMIT ?5"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let values = params![family.name(), prefix, after, after_prefix(&prefix), limit];
            statement.query_map(values, |row| from_row(family, row))?.collect()
        })
        .await
    }
}

/// Writes one change.
pub(super) fn apply(connection: &Connection, change: DocumentChange) -> Result<(), CommitError> {
    let (family, key) = change.address();
    let key = key.to_owned();
    let stored = connection
        .prepare_cached("SELECT revision FROM documents WHERE family = ?1 AND key = ?2")
        .and_then(|mut it| it.query_row(params![family.name(), key], |row| row.get(0)).optional())
        .map_err(writing)?;
    let owner_exists = |function: &str| Ok(fetch(connection, function).map_err(writing)??.is_some());
    match plan(change, stored, owner_exists)? {
        Act::Put(document) => put(connection, &document).map_err(writing)?,
        Act::Remove => connection
            .prepare_cached("DELETE FROM documents WHERE family = ?1 AND key = ?2")
            .and_then(|mut it| it.execute(params![family.name(), key]))
            .map(drop)
            .map_err(writing)?,
    }
    Ok(())
}

/// A deleted function's documents.
pub(super) fn forget(connection: &Connection, function: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM documents WHERE function = ?1")?.execute([function]).map(drop)
}

fn put(connection: &Connection, document: &Document) -> rusqlite::Result<()> {
    let sql =
        format!("INSERT OR REPLACE INTO documents (family, {COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    let values = params![
        document.family.name(),
        document.key,
        document.function,
        document.revision,
        document.code.as_ref().map(|code| code.digest.0.to_vec()),
        document.code.as_ref().map(|code| signed(code.size)),
        document.body,
    ];
    connection.prepare_cached(&sql)?.execute(values).map(drop)
}

fn from_row(family: Family, row: &Row<'_>) -> rusqlite::Result<Document> {
    let code = row.get::<_, Option<[u8; 32]>>(3)?.zip(row.get::<_, Option<i64>>(4)?);
    Ok(Document {
        family,
        key: row.get(0)?,
        function: row.get(1)?,
        revision: row.get(2)?,
        code: code.map(|(digest, size)| Code { digest: Digest(digest), size: unsigned(size) }),
        body: row.get(5)?,
    })
}
