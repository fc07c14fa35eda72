//! Seals what a release from before sealing left in the clear, once: a step of the schema, though no table changes.
//!
//! Rewriting the rows is not all of it: what was overwritten or deleted earlier is still in free pages and in the log. So
//! the file is written anew and the log cut off before the step counts as done; a daemon that dies meanwhile does it again.
//! Deliberately not here: what of a record is secret (`record.rs`).

use super::super::catalog::StoreError;
use super::super::record::Configuration;
use super::super::seal::Sealer;
use rusqlite::{Connection, params};

/// Rows that are read at a time.
const CHUNK: usize = 256;

/// A row whose settings hold variables in the clear. `number` is 0 where there is none.
struct Clear {
    function: String,
    number: i64,
    configuration: String,
}

/// Where settings are kept: how they are found and written, after a function and a number.
const PLACES: [(&str, &str); 2] = [
    (
        "SELECT name, 0, configuration FROM functions WHERE name > ?1 AND instr(configuration, '\"environment\":') \
         AND ?2 = 0 ORDER BY name LIMIT ?3",
        "UPDATE functions SET configuration = ?3 WHERE name = ?1 AND ?2 = 0",
    ),
    (
        "SELECT function, number, configuration FROM versions WHERE (function, number) > (?1, ?2) \
         AND instr(configuration, '\"environment\":') ORDER BY function, number LIMIT ?3",
        "UPDATE versions SET configuration = ?3 WHERE function = ?1 AND number = ?2",
    ),
];

/// Seals everything, and leaves no trace of what it was. `is_new`: there cannot be anything yet.
pub(super) fn run(connection: &mut Connection, sealer: &Sealer, is_new: bool) -> Result<(), StoreError> {
    if is_new {
        return Ok(());
    }
    let failed = |error: rusqlite::Error| failed(error.to_string());
    let transaction = connection.transaction().map_err(failed)?;
    let mut count = 0;
    for (find, write) in PLACES {
        count += seal_rows(&transaction, (find, write), sealer).map_err(failed)?;
    }
    transaction.commit().map_err(failed)?;
    // In memory: a catalog is small, and other places may not be writable, or not private.
    connection
        .execute_batch("PRAGMA temp_store = MEMORY; VACUUM; PRAGMA temp_store = DEFAULT;")
        .map_err(failed)?;
    truncate_log(connection)?;
    if count > 0 {
        tracing::info!(records = count, "environment variables that were stored in the clear are sealed now");
    }
    Ok(())
}

fn seal_rows(connection: &Connection, (find, write): (&str, &str), sealer: &Sealer) -> rusqlite::Result<u64> {
    let (mut find, mut write) = (connection.prepare(find)?, connection.prepare(write)?);
    let (mut after, mut count) = ((String::new(), 0_i64), 0);
    loop {
        let limit = i64::try_from(CHUNK).unwrap_or(i64::MAX);
        let found = find.query_map(params![after.0, after.1, limit], |row| {
            Ok(Clear { function: row.get(0)?, number: row.get(1)?, configuration: row.get(2)? })
        })?;
        let found = found.collect::<rusqlite::Result<Vec<_>>>()?;
        for row in &found {
            match sealed(row, sealer) {
                Ok(sealed) => {
                    write.execute(params![row.function, row.number, sealed])?;
                    count += 1;
                }
                Err(error) => {
                    tracing::error!(function = %row.function, version = row.number, %error, "settings are damaged: what is secret in them cannot be sealed");
                }
            }
        }
        match found.last() {
            Some(last) if found.len() == CHUNK => after = (last.function.clone(), last.number),
            _ => return Ok(count),
        }
    }
}

fn sealed(row: &Clear, sealer: &Sealer) -> Result<String, serde_json::Error> {
    let mut configuration: Configuration = serde_json::from_str(&row.configuration)?;
    configuration.seal(sealer, &row.function);
    serde_json::to_string(&configuration)
}

/// Everything into the file, nothing in the log.
fn truncate_log(connection: &Connection) -> Result<(), StoreError> {
    let busy: i64 = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(|error| failed(error.to_string()))?;
    match busy {
        0 => Ok(()),
        _ => Err(failed("another program reads the catalog; end it and start again".to_owned())),
    }
}

fn failed(detail: String) -> StoreError {
    StoreError::Engine { action: "seal what an earlier release stored in the clear", detail }
}
