//! Versions and aliases in SQLite: their tables, reads, and the writes that the rules ask for.
//!
//! Part of the durable engine, apart because each half fits a screen better. A version's tags and reservation are read
//! from its function's row. Decides nothing.

use super::super::catalog::{CommitError, StoreError};
use super::super::record::FunctionRecord;
use super::super::versions::{Act, Alias, NUMBERS_KEPT_MAX, Published, Shelf, Version, VersionChange, plan};
use super::{Raw, SqliteStore, fetch, json, put, signed, unsigned, writing};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

/// `numbers` outlives its functions, so that no number is given twice; `deleted` says in which order they went.
pub(super) const SCHEMA: &str = "CREATE TABLE versions (
        function TEXT NOT NULL,
        number INTEGER NOT NULL,
        revision_id TEXT NOT NULL,
        code_sha256 BLOB NOT NULL,
        code_size INTEGER NOT NULL,
        state TEXT NOT NULL,
        last_update TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        last_modified_ms INTEGER NOT NULL,
        configuration TEXT NOT NULL,
        source_description TEXT NOT NULL,
        PRIMARY KEY (function, number)
    ) WITHOUT ROWID;
    CREATE INDEX versions_by_code ON versions (code_sha256, code_size);
    CREATE TABLE aliases (
        function TEXT NOT NULL,
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        additional INTEGER,
        weight REAL,
        description TEXT NOT NULL,
        revision_id TEXT NOT NULL,
        PRIMARY KEY (function, name)
    ) WITHOUT ROWID;
    CREATE TABLE numbers (
        function TEXT PRIMARY KEY NOT NULL,
        last INTEGER NOT NULL,
        deleted INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX numbers_deleted ON numbers (deleted) WHERE deleted IS NOT NULL;";

/// A version in the columns of a function, and what it has beyond.
const COLUMNS: &str = "v.function AS name, CAST(v.number AS TEXT), v.revision_id, v.code_sha256, v.code_size, v.state, \
                       v.last_update, f.reserved, f.tags, v.created_ms, v.last_modified_ms, v.configuration, \
                       v.source_description, v.number AS number";
const TABLES: &str = "versions v JOIN functions f ON f.name = v.function";
const ALIAS_COLUMNS: &str = "function, name, version, additional, weight, description, revision_id";

impl SqliteStore {
    pub(in super::super) async fn version(
        &self,
        function: &str,
        number: u64,
    ) -> Result<Option<Published>, StoreError> {
        let function = function.to_owned();
        let found =
            self.read("read a version", move |connection| fetch_version(connection, &function, number));
        Ok(found.await??.map(|it| Published { record: self.opened(it.record), ..it }))
    }

    pub(in super::super) async fn versions(
        &self,
        function: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<FunctionRecord>, StoreError> {
        let (function, limit) = (function.to_owned(), i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = self.read("list versions", move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM {TABLES} WHERE v.function = ?1 AND v.number > ?2 ORDER BY v.number LIMIT ?3"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_map(params![function, signed(after), limit], Raw::from_row)?.collect::<Result<Vec<_>, _>>()
        });
        rows.await?.into_iter().map(|row| row.parse().map(|record| self.opened(record))).collect()
    }

    pub(in super::super) async fn all_versions(
        &self,
        (function, number): (&str, u64),
        limit: usize,
    ) -> Result<Vec<FunctionRecord>, StoreError> {
        let (function, limit) = (function.to_owned(), i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = self.read("list all versions", move |connection| {
            // Both halves come in order from their keys, so that this merges and never sorts.
            let sql = format!(
                "SELECT {}, '', 0 AS number FROM functions WHERE name > ?1 UNION ALL SELECT {COLUMNS} FROM {TABLES} \
                 WHERE (v.function, v.number) > (?1, ?2) ORDER BY name, number LIMIT ?3",
                super::COLUMNS
            );
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_map(params![function, signed(number), limit], Raw::from_row)?.collect::<Result<Vec<_>, _>>()
        });
        rows.await?.into_iter().map(|row| row.parse().map(|record| self.opened(record))).collect()
    }

    pub(in super::super) async fn last_number(&self, function: &str) -> Result<u64, StoreError> {
        let function = function.to_owned();
        self.read("read a version's number", move |connection| fetch_last(connection, &function)).await
    }

    pub(in super::super) async fn alias(
        &self,
        function: &str,
        name: &str,
    ) -> Result<Option<Alias>, StoreError> {
        let (function, name) = (function.to_owned(), name.to_owned());
        self.read("read an alias", move |connection| fetch_alias(connection, &function, &name)).await
    }

    pub(in super::super) async fn aliases(
        &self,
        function: &str,
        after: &str,
        of: Option<Version>,
        limit: usize,
    ) -> Result<Vec<Alias>, StoreError> {
        let (function, after) = (function.to_owned(), after.to_owned());
        let (of, limit) = (of.map(|of| signed(of.number())), i64::try_from(limit).unwrap_or(i64::MAX));
        self.read("list aliases", move |connection| {
            let sql = format!(
                "SELECT {ALIAS_COLUMNS} FROM aliases WHERE function = ?1 AND name > ?2 \
                 AND (?3 IS NULL OR version = ?3 OR additional = ?3) ORDER BY name LIMIT ?4"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_map(params![function, after, of, limit], alias_from_row)?.collect()
        })
        .await
    }
}

/// Writes one change.
pub(super) fn apply(connection: &Connection, change: VersionChange) -> Result<(), CommitError> {
    for act in plan(change, &Rows(connection))? {
        match act {
            Act::PutFunction(record) => put(connection, &record)?,
            Act::PutVersion(published) => put_version(connection, &published)?,
            Act::PutAlias(alias) => put_alias(connection, &alias).map_err(writing)?,
            Act::RemoveVersion { function, number } => {
                let sql = "DELETE FROM versions WHERE function = ?1 AND number = ?2";
                execute(connection, sql, params![function, signed(number)]).map_err(writing)?;
            }
            Act::RemoveAlias { function, alias } => {
                let sql = "DELETE FROM aliases WHERE function = ?1 AND name = ?2";
                execute(connection, sql, params![function, alias]).map_err(writing)?;
            }
        }
    }
    Ok(())
}

/// A deleted function's versions and aliases; the number of its last version stays.
pub(super) fn forget(connection: &Connection, function: &str) -> rusqlite::Result<()> {
    execute(connection, "DELETE FROM versions WHERE function = ?1", [function])?;
    execute(connection, "DELETE FROM aliases WHERE function = ?1", [function])?;
    let sql = "UPDATE numbers SET deleted = (SELECT coalesce(max(deleted), 0) + 1 FROM numbers WHERE deleted IS NOT NULL) \
               WHERE function = ?1";
    execute(connection, sql, [function])?;
    let sql = "DELETE FROM numbers WHERE deleted IS NOT NULL \
               AND deleted <= (SELECT max(deleted) FROM numbers WHERE deleted IS NOT NULL) - ?1";
    execute(connection, sql, [signed(NUMBERS_KEPT_MAX)])
}

/// A function of this name exists again.
pub(super) fn revive(connection: &Connection, function: &str) -> rusqlite::Result<()> {
    execute(
        connection,
        "UPDATE numbers SET deleted = NULL WHERE function = ?1 AND deleted IS NOT NULL",
        [function],
    )
}

fn execute(connection: &Connection, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute(values).map(drop)
}

fn put_version(connection: &Connection, published: &Published) -> Result<(), StoreError> {
    let (record, number) = (&published.record, signed(published.number()));
    let sql = "INSERT OR REPLACE INTO versions (function, number, revision_id, code_sha256, code_size, state, last_update, \
               created_ms, last_modified_ms, configuration, source_description) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let values = params![
        record.name,
        number,
        record.revision_id,
        record.code.digest.0.as_slice(),
        signed(record.code.size),
        json(&record.state)?,
        json(&record.last_update)?,
        signed(record.created_ms),
        signed(record.last_modified_ms),
        json(&record.configuration)?,
        published.source_description,
    ];
    execute(connection, sql, values).map_err(writing)?;
    let sql = "INSERT INTO numbers (function, last) VALUES (?1, ?2) \
               ON CONFLICT (function) DO UPDATE SET last = max(last, excluded.last)";
    execute(connection, sql, params![record.name, number]).map_err(writing)
}

fn put_alias(connection: &Connection, alias: &Alias) -> rusqlite::Result<()> {
    let sql = format!("INSERT OR REPLACE INTO aliases ({ALIAS_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    let values = params![
        alias.function,
        alias.name,
        signed(alias.version.number()),
        alias.additional.map(|(number, _)| signed(number)),
        alias.additional.map(|(_, weight)| weight),
        alias.description,
        alias.revision_id,
    ];
    execute(connection, &sql, values)
}

fn fetch_version(
    connection: &Connection,
    function: &str,
    number: u64,
) -> rusqlite::Result<Result<Option<Published>, StoreError>> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE v.function = ?1 AND v.number = ?2");
    let raw = |row: &Row<'_>| Ok((Raw::from_row(row)?, row.get::<_, String>(12)?));
    let found =
        connection.prepare_cached(&sql)?.query_row(params![function, signed(number)], raw).optional()?;
    let parse = |(raw, source_description): (Raw, String)| {
        raw.parse().map(|record| Published { record, source_description })
    };
    Ok(found.map(parse).transpose())
}

fn fetch_last(connection: &Connection, function: &str) -> rusqlite::Result<u64> {
    let sql = "SELECT last FROM numbers WHERE function = ?1";
    let found = connection.prepare_cached(sql)?.query_row([function], |row| row.get(0)).optional()?;
    Ok(found.map_or(0, unsigned))
}

fn fetch_alias(connection: &Connection, function: &str, name: &str) -> rusqlite::Result<Option<Alias>> {
    let sql = format!("SELECT {ALIAS_COLUMNS} FROM aliases WHERE function = ?1 AND name = ?2");
    connection.prepare_cached(&sql)?.query_row([function, name], alias_from_row).optional()
}

fn alias_from_row(row: &Row<'_>) -> rusqlite::Result<Alias> {
    let additional = row.get::<_, Option<i64>>(3)?.map(unsigned).zip(row.get(4)?);
    Ok(Alias {
        function: row.get(0)?,
        name: row.get(1)?,
        version: Version::from_number(unsigned(row.get(2)?)),
        additional,
        description: row.get(5)?,
        revision_id: row.get(6)?,
    })
}

/// What the rules read, within the writer's transaction.
struct Rows<'a>(&'a Connection);

impl Shelf for Rows<'_> {
    fn function(&self, name: &str) -> Result<Option<FunctionRecord>, StoreError> {
        fetch(self.0, name).map_err(writing)?
    }

    fn version(&self, function: &str, number: u64) -> Result<Option<Published>, StoreError> {
        fetch_version(self.0, function, number).map_err(writing)?
    }

    fn last_number(&self, function: &str) -> Result<u64, StoreError> {
        fetch_last(self.0, function).map_err(writing)
    }

    fn alias(&self, function: &str, name: &str) -> Result<Option<Alias>, StoreError> {
        fetch_alias(self.0, function, name).map_err(writing)
    }

    fn aliases_of(&self, function: &str, number: u64) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT name FROM aliases WHERE function = ?1 AND (version = ?2 OR additional = ?2) ORDER BY name";
        let names = || -> rusqlite::Result<Vec<String>> {
            let mut statement = self.0.prepare_cached(sql)?;
            statement.query_map(params![function, signed(number)], |row| row.get(0))?.collect()
        };
        names().map_err(writing)
    }
}
