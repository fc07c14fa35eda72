//! The durable catalog: SQLite in WAL mode, one writer thread, a few read connections beside it.
//!
//! The writer drains its bounded queue into one transaction per sync (group commit), so that many small commits cost
//! one `fdatasync`; each commit has its own savepoint and its own answer, given after the sync. Secrets are sealed on the way in. Readers see committed
//! snapshots and never wait for the writer. Only the files below also name engine types.

mod documents;
mod sealing;
mod totals;
mod versions;

use super::catalog::{Change, CommitError, Effect, StoreError, decide};
use super::record::{Code, FunctionRecord};
use super::seal::Sealer;
use hearth_sandbox::Digest;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, params};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Commits that wait for the writer at most; more wait in their callers.
const QUEUE_MAX: usize = 1_024;
/// Commits that share one sync at most.
const GROUP_MAX: usize = 256;
/// Read connections at most.
const READERS: usize = 4;
/// Page cache of each connection, KiB.
const CACHE_KIB: i64 = 1_024;
/// How long a statement waits for a lock, milliseconds. Only a checkpoint of another process could hold one.
const BUSY_MS: u64 = 5_000;

/// One change of what is on disk.
enum Step {
    /// Statements, in one transaction.
    Schema(&'static str),
    /// What was stored in the clear becomes sealed.
    Seal,
}

/// Changes in order; how many were made is the schema's version. Never edited, only appended to.
const STEPS: [Step; 5] = [
    Step::Schema(FUNCTIONS),
    Step::Schema(versions::SCHEMA),
    Step::Schema(documents::SCHEMA),
    Step::Schema(totals::SCHEMA),
    Step::Seal,
];

const FUNCTIONS: &str = "CREATE TABLE functions (
        name TEXT PRIMARY KEY NOT NULL,
        version TEXT NOT NULL,
        revision_id TEXT NOT NULL,
        code_sha256 BLOB NOT NULL,
        code_size INTEGER NOT NULL,
        state TEXT NOT NULL,
        last_update TEXT NOT NULL,
        reserved INTEGER,
        tags TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        last_modified_ms INTEGER NOT NULL,
        configuration TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX functions_by_code ON functions (code_sha256);
    CREATE INDEX functions_reserved ON functions (reserved) WHERE reserved IS NOT NULL;";

const COLUMNS: &str = "name, version, revision_id, code_sha256, code_size, state, last_update, reserved, tags, \
                       created_ms, last_modified_ms, configuration";

enum Order {
    Commit { changes: Vec<Change>, answer: oneshot::Sender<Result<(), CommitError>> },
    Close(oneshot::Sender<()>),
}

/// Handle to the writer thread and the readers.
#[derive(Clone)]
pub(crate) struct SqliteStore {
    orders: mpsc::Sender<Order>,
    readers: Arc<Readers>,
    sealer: Arc<Sealer>,
}

impl SqliteStore {
    pub(super) fn open(path: &Path, sealer: Sealer) -> Result<Self, StoreError> {
        let failed = |detail: String| StoreError::Open { path: path.display().to_string(), detail };
        let mut writer = Connection::open(path).map_err(|error| failed(error.to_string()))?;
        configure(&writer).map_err(|error| failed(error.to_string()))?;
        migrate(&mut writer, &sealer)?;
        let readers = Readers::open(path).map_err(|error| failed(error.to_string()))?;
        let (orders, inbox) = mpsc::channel(QUEUE_MAX);
        std::thread::Builder::new()
            .name("catalog-writer".into())
            .spawn(move || write(&mut writer, inbox))
            .map_err(|error| failed(format!("no writer thread: {error}")))?;
        Ok(Self { orders, readers: Arc::new(readers), sealer: Arc::new(sealer) })
    }

    pub(super) async fn function(&self, name: &str) -> Result<Option<FunctionRecord>, StoreError> {
        let name = name.to_owned();
        let found = self.read("read a function", move |connection| fetch(connection, &name)).await??;
        Ok(found.map(|record| self.opened(record)))
    }

    pub(super) async fn functions(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<FunctionRecord>, StoreError> {
        // No name sorts before the empty string and no function is called that.
        let after = after.unwrap_or_default().to_owned();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.read("list functions", move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM functions WHERE name > ?1 ORDER BY name LIMIT ?2");
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_map(params![after, limit], Raw::from_row)?.collect::<Result<Vec<_>, _>>()
        });
        rows.await?.into_iter().map(|row| row.parse().map(|record| self.opened(record))).collect()
    }

    /// A record with its secrets.
    fn opened(&self, mut record: FunctionRecord) -> FunctionRecord {
        record.configuration.open(&self.sealer, &record.name);
        record
    }

    pub(super) fn refers_to(&self, code: &Digest) -> Result<bool, StoreError> {
        self.readers.with("look for a code package", |connection| {
            let sql = "SELECT EXISTS (SELECT 1 FROM functions WHERE code_sha256 = ?1) \
                       OR EXISTS (SELECT 1 FROM versions WHERE code_sha256 = ?1) \
                       OR EXISTS (SELECT 1 FROM documents WHERE code_sha256 = ?1)";
            connection.prepare_cached(sql)?.query_row([code.0.as_slice()], |row| row.get(0))
        })
    }

    pub(super) async fn commit(&self, mut changes: Vec<Change>) -> Result<(), CommitError> {
        for change in &mut changes {
            change.seal(&self.sealer)?;
        }
        let (answer, answered) = oneshot::channel();
        let order = Order::Commit { changes, answer };
        self.orders.send(order).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    pub(super) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    pub(super) async fn close(&self) {
        let (answer, answered) = oneshot::channel();
        if self.orders.send(Order::Close(answer)).await.is_ok() {
            // An error means that the writer has ended already.
            answered.await.ok();
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        action: &'static str,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let readers = Arc::clone(&self.readers);
        let work = tokio::task::spawn_blocking(move || readers.with(action, query));
        work.await.map_err(|error| StoreError::Engine { action, detail: error.to_string() })?
    }
}

/// A few connections that are lent out; who finds none waits for the next.
struct Readers {
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
}

impl Readers {
    fn open(path: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(std::time::Duration::from_millis(BUSY_MS))?;
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
            connection.pragma_update(None, "recursive_triggers", "ON")?;
            Ok(connection)
        };
        let idle = (0..READERS).map(|_| open()).collect::<Result<_, _>>()?;
        Ok(Self { idle: Mutex::new(idle), returned: Condvar::new() })
    }

    fn with<T>(
        &self,
        action: &'static str,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = loop {
            match idle.pop() {
                Some(connection) => break connection,
                None => idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(idle);
        let lent = Lent { readers: self, connection: Some(connection) };
        let Some(connection) = &lent.connection else { return Err(StoreError::Closed) };
        query(connection).map_err(|error| StoreError::Engine { action, detail: error.to_string() })
    }
}

/// Brings the connection back, also from a panic.
struct Lent<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            self.readers.returned.notify_one();
        }
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_millis(BUSY_MS))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "recursive_triggers", "ON")?;
    // What is overwritten or deleted goes where that costs no write of its own; it is sealed all the same.
    connection.pragma_update(None, "secure_delete", "FAST")?;
    connection.pragma_update(None, "trusted_schema", "OFF")
}

fn migrate(connection: &mut Connection, sealer: &Sealer) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| StoreError::Engine {
        action: "migrate its schema",
        detail: error.to_string(),
    };
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    let done = usize::try_from(found).unwrap_or(0);
    for (at, step) in STEPS.iter().enumerate().skip(done) {
        let version = i64::try_from(at + 1).unwrap_or(known);
        if let Step::Seal = step {
            sealing::run(connection, sealer, found == 0)?;
        }
        let transaction = connection.transaction().map_err(failed)?;
        if let Step::Schema(sql) = step {
            transaction.execute_batch(sql).map_err(failed)?;
        }
        transaction.pragma_update(None, "user_version", version).map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}

/// The writer thread: ends when it is told to or when nobody is left to give orders.
fn write(connection: &mut Connection, mut inbox: mpsc::Receiver<Order>) {
    while let Some(first) = inbox.blocking_recv() {
        let mut group = Vec::new();
        let mut closing = None;
        let mut next = Some(first);
        while let Some(order) = next {
            match order {
                Order::Commit { changes, answer } => group.push((changes, answer)),
                Order::Close(answer) => closing = Some(answer),
            }
            next = if closing.is_none() && group.len() < GROUP_MAX { inbox.try_recv().ok() } else { None };
        }
        if !group.is_empty() {
            commit_group(connection, group);
        }
        if let Some(answer) = closing {
            inbox.close();
            // The log is replayed at the next start if this fails, so nothing hangs on it.
            connection.pragma_update(None, "wal_checkpoint", "TRUNCATE").ok();
            answer.send(()).ok();
            return;
        }
    }
}

type Waiting = (Vec<Change>, oneshot::Sender<Result<(), CommitError>>);

fn commit_group(connection: &mut Connection, group: Vec<Waiting>) {
    let (requests, answers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
    let results = transact(connection, requests);
    for (at, answer) in answers.into_iter().enumerate() {
        let result = match &results {
            Ok(results) => results[at].clone(),
            Err(error) => Err(CommitError::Store(error.clone())),
        };
        // A caller that went away does not take its commit back.
        answer.send(result).ok();
    }
}

/// One transaction, one sync. An error means that nothing of the whole group was stored.
fn transact(
    connection: &mut Connection,
    requests: Vec<Vec<Change>>,
) -> Result<Vec<Result<(), CommitError>>, StoreError> {
    let mut transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(writing)?;
    let mut results = Vec::with_capacity(requests.len());
    for changes in requests {
        let mut savepoint = transaction.savepoint().map_err(writing)?;
        let result = changes.into_iter().try_for_each(|change| apply(&savepoint, change));
        match result {
            Ok(()) => savepoint.commit().map_err(writing)?,
            Err(_) => savepoint.rollback().and_then(|()| savepoint.commit()).map_err(writing)?,
        }
        results.push(result);
    }
    transaction.commit().map_err(writing)?;
    Ok(results)
}

fn apply(connection: &Connection, change: Change) -> Result<(), CommitError> {
    let change = match change {
        Change::Version(change) => return versions::apply(connection, change),
        Change::Document(change) => return documents::apply(connection, change),
        change => change,
    };
    let name = change.name().to_owned();
    let current = fetch(connection, &name).map_err(writing)??;
    let others = || {
        let sql =
            "SELECT coalesce(sum(reserved), 0) FROM functions WHERE reserved IS NOT NULL AND name <> ?1";
        let sum = connection.prepare_cached(sql).and_then(|mut it| it.query_row([&name], |row| row.get(0)));
        sum.map(unsigned).map_err(writing)
    };
    let is_new = current.is_none();
    match decide(change, current, others)? {
        Effect::Put(record) => {
            put(connection, &record)?;
            if is_new {
                versions::revive(connection, &name).map_err(writing)?;
            }
        }
        Effect::Remove => {
            let sql = "DELETE FROM functions WHERE name = ?1";
            connection.prepare_cached(sql).and_then(|mut it| it.execute([&name])).map_err(writing)?;
            versions::forget(connection, &name).map_err(writing)?;
            documents::forget(connection, &name).map_err(writing)?;
        }
    }
    Ok(())
}

fn put(connection: &Connection, record: &FunctionRecord) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT OR REPLACE INTO functions ({COLUMNS}) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)"
    );
    let mut statement = connection.prepare_cached(&sql).map_err(writing)?;
    let done = statement.execute(params![
        record.name,
        record.version,
        record.revision_id,
        record.code.digest.0.as_slice(),
        signed(record.code.size),
        json(&record.state)?,
        json(&record.last_update)?,
        record.reserved_concurrency,
        json(&record.tags)?,
        signed(record.created_ms),
        signed(record.last_modified_ms),
        json(&record.configuration)?,
    ]);
    done.map(drop).map_err(writing)
}

fn fetch(
    connection: &Connection,
    name: &str,
) -> rusqlite::Result<Result<Option<FunctionRecord>, StoreError>> {
    let sql = format!("SELECT {COLUMNS} FROM functions WHERE name = ?1");
    let raw = connection.prepare_cached(&sql)?.query_row([name], Raw::from_row).optional()?;
    Ok(raw.map(Raw::parse).transpose())
}

/// A row before its documents are parsed: so that a damaged document is our error, with the function's name.
struct Raw {
    record: FunctionRecord,
    digest: Vec<u8>,
    state: String,
    last_update: String,
    tags: String,
    configuration: String,
}

impl Raw {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let record = FunctionRecord {
            name: row.get(0)?,
            version: row.get(1)?,
            revision_id: row.get(2)?,
            code: Code { digest: Digest([0; 32]), size: unsigned(row.get(4)?) },
            state: super::record::State::active(),
            last_update: super::record::UpdateStatus::none(),
            reserved_concurrency: row.get(7)?,
            tags: std::collections::BTreeMap::new(),
            created_ms: unsigned(row.get(9)?),
            last_modified_ms: unsigned(row.get(10)?),
            configuration: super::record::Configuration::default(),
        };
        Ok(Self {
            record,
            digest: row.get(3)?,
            state: row.get(5)?,
            last_update: row.get(6)?,
            tags: row.get(8)?,
            configuration: row.get(11)?,
        })
    }

    fn parse(self) -> Result<FunctionRecord, StoreError> {
        let mut record = self.record;
        let damaged = |detail: String| StoreError::Damaged { name: record.name.clone(), detail };
        let digest = <[u8; 32]>::try_from(self.digest.as_slice())
            .map_err(|_| damaged(format!("a code hash of {} bytes", self.digest.len())))?;
        let part = |what: &str, error: serde_json::Error| damaged(format!("{what}: {error}"));
        let state = serde_json::from_str(&self.state).map_err(|error| part("state", error))?;
        let last_update =
            serde_json::from_str(&self.last_update).map_err(|error| part("last update", error))?;
        let tags = serde_json::from_str(&self.tags).map_err(|error| part("tags", error))?;
        let configuration =
            serde_json::from_str(&self.configuration).map_err(|error| part("configuration", error))?;
        record.code.digest = Digest(digest);
        record.state = state;
        record.last_update = last_update;
        record.tags = tags;
        record.configuration = configuration;
        Ok(record)
    }
}

fn writing(error: rusqlite::Error) -> StoreError {
    StoreError::Engine { action: "write", detail: error.to_string() }
}

fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Engine { action: "encode a record", detail: error.to_string() })
}

/// SQLite's integers are signed; sizes and times stay far below 2^63.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
