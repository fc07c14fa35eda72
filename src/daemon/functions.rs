//! Functions as they can be invoked: what the store holds, turned into revisions and kept in memory once used.
//!
//! The one place that says which revision of a function serves now. A write goes through `change`, so that what is
//! committed and what serves never disagree; the scheduler hears of every change.

use super::revision::Revision;
use super::scheduler::{Order, SchedulerHandle};
use crate::runtimes::image::Image;
use crate::runtimes::{Kind, Language, Runtimes, Served};
use crate::store::{Change, CommitError, FunctionRecord, StateKind, Store, StoreError, UpdateKind};
use hearth_api::arn::Home;
use hearth_logic::{FunctionId, RevisionId};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// Writers of different functions rarely meet; those of one function always take turns.
const GATES: usize = 64;
/// Functions kept in memory. When it is passed, one that nothing runs of goes; it is read again when it is invoked.
const CACHED_MAX: usize = 10_000;

/// Why a function cannot be invoked.
#[derive(Debug)]
pub(crate) enum Unavailable {
    /// There is no such function.
    Missing,
    /// It is in a state in which it does not run.
    State(StateKind),
    /// Its runtime is not on this host (any more).
    Runtime(String),
    /// The store failed.
    Store(StoreError),
}

struct Entry {
    function: FunctionId,
    revision: Arc<Revision>,
    /// Its reservation holds whether it runs or not, so the scheduler must go on knowing it.
    reserves: bool,
}

/// See the module.
pub(crate) struct Functions {
    /// The catalog.
    pub(crate) store: Store,
    runtimes: Arc<Runtimes>,
    scheduler: SchedulerHandle,
    home: Home,
    entries: RwLock<BTreeMap<String, Entry>>,
    gates: Vec<Mutex<()>>,
    last_id: AtomicU64,
}

impl Functions {
    /// Over a store.
    pub(crate) fn new(store: Store, runtimes: Arc<Runtimes>, scheduler: SchedulerHandle, home: Home) -> Self {
        let gates = (0..GATES).map(|_| Mutex::new(())).collect();
        let (entries, last_id) = (RwLock::default(), AtomicU64::new(0));
        Self { store, runtimes, scheduler, home, entries, gates, last_id }
    }

    /// The runtimes of this host.
    pub(crate) fn runtimes(&self) -> &Runtimes {
        &self.runtimes
    }

    /// Where this installation stands.
    pub(crate) const fn home(&self) -> &Home {
        &self.home
    }

    /// Unqualified ARN of a function.
    pub(crate) fn arn(&self, name: &str) -> String {
        let Home { partition, region, account } = &self.home;
        format!("arn:{partition}:lambda:{region}:{account}:function:{name}")
    }

    /// The revision that serves now.
    pub(crate) async fn serving(&self, name: &str) -> Result<Arc<Revision>, Unavailable> {
        if let Some(revision) = self.cached(name) {
            return Ok(revision);
        }
        let _turn = self.gate(name).await;
        if let Some(revision) = self.cached(name) {
            return Ok(revision);
        }
        let record =
            self.store.function(name).await.map_err(Unavailable::Store)?.ok_or(Unavailable::Missing)?;
        self.admit(&record)
    }

    /// Writes one change; whoever writes to the same function waits. The caller derives `change` from what it read
    /// under the same turn, see [`Functions::gate`].
    pub(crate) async fn commit(&self, change: Change) -> Result<(), CommitError> {
        self.store.commit(vec![change]).await
    }

    /// The turn to write to this function.
    pub(crate) async fn gate(&self, name: &str) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        self.gates[usize::try_from(hasher.finish() % GATES as u64).unwrap_or(0)].lock().await
    }

    /// A function was created or updated. One that was never invoked stays on disk alone: there may be very many.
    pub(crate) fn settled(&self, record: &FunctionRecord) -> Result<(), Unavailable> {
        let known = self.cached(&record.name).is_some() || record.reserved_concurrency.is_some();
        if known { self.admit(record).map(drop) } else { Ok(()) }
    }

    /// From now on this state of the function serves. Called after it is on disk, within the function's turn.
    pub(crate) fn admit(&self, record: &FunctionRecord) -> Result<Arc<Revision>, Unavailable> {
        if matches!(record.state.kind, StateKind::Pending | StateKind::Failed | StateKind::Inactive) {
            return Err(Unavailable::State(record.state.kind));
        }
        if let Some(revision) = self.cached(&record.name)
            && (revision.revision_id == record.revision_id
                || record.last_update.kind == Some(UpdateKind::InProgress))
        {
            // Old code serves until the new one is active.
            return Ok(revision);
        }
        let runtime = record.configuration.runtime.clone().unwrap_or_default();
        let served = match record.is_image() {
            true => Served::image(),
            false => self.runtimes.get(&runtime).cloned().ok_or(Unavailable::Runtime(runtime))?,
        };
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let old = entries.get(&record.name).map(|entry| (entry.function, entry.revision.id));
        let function = old.map_or_else(|| FunctionId(self.next_id()), |(function, _)| function);
        let revision = Arc::new(self.revision(record, served, function));
        self.scheduler.order(Order::Function { function, reserved: record.reserved_concurrency });
        if let Some((_, old)) = old {
            self.scheduler.order(Order::Retire(old));
        }
        if entries.len() >= CACHED_MAX && old.is_none() {
            self.make_room(&mut entries);
        }
        let reserves = record.reserved_concurrency.is_some();
        entries.insert(record.name.clone(), Entry { function, revision: Arc::clone(&revision), reserves });
        Ok(revision)
    }

    /// Reserved concurrency changed.
    pub(crate) fn reserve(&self, name: &str, reserved: Option<u32>) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get_mut(name) {
            entry.reserves = reserved.is_some();
            self.scheduler.order(Order::Function { function: entry.function, reserved });
        }
    }

    /// The function was deleted.
    pub(crate) fn forget(&self, name: &str) {
        let gone = self.entries.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        if let Some(entry) = gone {
            self.scheduler.order(Order::Retire(entry.revision.id));
            self.scheduler.order(Order::FunctionGone(entry.function));
        }
    }

    fn cached(&self, name: &str) -> Option<Arc<Revision>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(name).map(|entry| Arc::clone(&entry.revision))
    }

    /// Drops one entry that nothing runs of: its revision is held by nobody else.
    fn make_room(&self, entries: &mut BTreeMap<String, Entry>) {
        let is_unused = |entry: &Entry| !entry.reserves && Arc::strong_count(&entry.revision) == 1;
        let unused = entries.iter().find(|(_, entry)| is_unused(entry)).map(|(name, _)| name.clone());
        if let Some(entry) = unused.and_then(|name| entries.remove(&name)) {
            self.scheduler.order(Order::Retire(entry.revision.id));
            self.scheduler.order(Order::FunctionGone(entry.function));
        }
    }

    fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn revision(&self, record: &FunctionRecord, served: Served, function: FunctionId) -> Revision {
        let settings = &record.configuration;
        let runtime = settings.runtime.clone().unwrap_or_default();
        let logging = &settings.logging;
        let group = logging.group.clone().unwrap_or_else(|| format!("/aws/lambda/{}", record.name));
        let level = || logging.application_level.clone().unwrap_or_else(|| "INFO".to_owned());
        Revision {
            id: RevisionId(self.next_id()),
            function,
            name: record.name.clone(),
            version: record.version.clone(),
            arn: self.arn(&record.name),
            revision_id: record.revision_id.clone(),
            code: record.code.digest,
            image: record
                .is_image()
                .then(|| Image::of(settings.image_uri.as_deref(), settings.image_config.as_ref())),
            handler: settings.handler.clone().unwrap_or_default(),
            memory_mb: settings.memory_mb,
            tmp_mb: settings.ephemeral_mb,
            timeout: Duration::from_secs(u64::from(settings.timeout_s)),
            variables: settings.environment.clone().unwrap_or_default(),
            log_group: group.into(),
            json_log_level: (logging.format == "JSON").then(level),
            runtime_version: runtime_version(&runtime, &served),
            runtime_version_arn: runtime_version_arn(&self.home.region, &runtime, &served),
            region: self.home.region.clone(),
            finishing: std::sync::atomic::AtomicU32::new(0),
            runtime,
            served,
        }
    }
}

/// What `INIT_START` calls the runtime: language, version, and the interpreter's own release.
fn runtime_version(runtime: &str, served: &Served) -> String {
    let release = served.interpreter.as_ref().map(|found| found.release.as_str()).unwrap_or_default();
    let release = release.rsplit(' ').next().unwrap_or_default().trim_start_matches('v');
    match served.kind {
        Kind::Interpreted(Language::Python, minor) => format!("python:3.{minor}.v{release}"),
        Kind::Interpreted(Language::Node, major) => format!("nodejs:{major}.v{release}"),
        Kind::Provided | Kind::Image => runtime.to_owned(),
    }
}

/// Names the very runtime: changes when interpreter or client change.
pub(crate) fn runtime_version_arn(region: &str, runtime: &str, served: &Served) -> String {
    let release = served.interpreter.as_ref().map(|found| found.release.as_str()).unwrap_or_default();
    let mut hash = Sha256::new();
    for part in [runtime, release, env!("CARGO_PKG_VERSION")] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("arn:aws:lambda:{region}::runtime:{hex}")
}
