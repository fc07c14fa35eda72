//! Sums over everything that is kept, in SQLite: one row that triggers keep true, so that asking costs the same however
//! many functions there are. Each creation asks.

use super::super::catalog::{StoreError, Usage};
use super::{SqliteStore, unsigned};

/// Replacing a row deletes the old one first, which triggers see because `recursive_triggers` is on.
pub(super) const SCHEMA: &str = "CREATE TABLE totals (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        functions INTEGER NOT NULL,
        code_bytes INTEGER NOT NULL,
        reserved INTEGER NOT NULL
    );
    INSERT INTO totals SELECT 1, count(*),
        coalesce(sum(code_size), 0)
            + (SELECT coalesce(sum(code_size), 0) FROM versions)
            + (SELECT coalesce(sum(code_size), 0) FROM documents WHERE code_sha256 IS NOT NULL),
        coalesce(sum(reserved), 0) FROM functions;
    CREATE TRIGGER functions_come AFTER INSERT ON functions BEGIN
        UPDATE totals SET functions = functions + 1, code_bytes = code_bytes + new.code_size,
            reserved = reserved + coalesce(new.reserved, 0);
    END;
    CREATE TRIGGER functions_go AFTER DELETE ON functions BEGIN
        UPDATE totals SET functions = functions - 1, code_bytes = code_bytes - old.code_size,
            reserved = reserved - coalesce(old.reserved, 0);
    END;
    CREATE TRIGGER functions_change AFTER UPDATE ON functions BEGIN
        UPDATE totals SET code_bytes = code_bytes - old.code_size + new.code_size,
            reserved = reserved - coalesce(old.reserved, 0) + coalesce(new.reserved, 0);
    END;
    CREATE TRIGGER versions_come AFTER INSERT ON versions BEGIN
        UPDATE totals SET code_bytes = code_bytes + new.code_size;
    END;
    CREATE TRIGGER versions_go AFTER DELETE ON versions BEGIN
        UPDATE totals SET code_bytes = code_bytes - old.code_size;
    END;
    CREATE TRIGGER versions_change AFTER UPDATE ON versions BEGIN
        UPDATE totals SET code_bytes = code_bytes - old.code_size + new.code_size;
    END;
    CREATE TRIGGER documents_come AFTER INSERT ON documents WHEN new.code_sha256 IS NOT NULL BEGIN
        UPDATE totals SET code_bytes = code_bytes + new.code_size;
    END;
    CREATE TRIGGER documents_go AFTER DELETE ON documents WHEN old.code_sha256 IS NOT NULL BEGIN
        UPDATE totals SET code_bytes = code_bytes - old.code_size;
    END;
    CREATE TRIGGER documents_change AFTER UPDATE ON documents
        WHEN old.code_sha256 IS NOT NULL OR new.code_sha256 IS NOT NULL BEGIN
        UPDATE totals SET code_bytes = code_bytes
            - CASE WHEN old.code_sha256 IS NULL THEN 0 ELSE old.code_size END
            + CASE WHEN new.code_sha256 IS NULL THEN 0 ELSE new.code_size END;
    END;";

impl SqliteStore {
    pub(in super::super) async fn usage(&self) -> Result<Usage, StoreError> {
        self.read("read the totals", |connection| {
            let sql = "SELECT functions, code_bytes, reserved FROM totals";
            connection.prepare_cached(sql)?.query_row([], |row| {
                Ok(Usage {
                    functions: unsigned(row.get(0)?),
                    code_bytes: unsigned(row.get(1)?),
                    reserved: unsigned(row.get(2)?),
                })
            })
        })
        .await
    }
}
