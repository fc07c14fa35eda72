//! Functions as they can be invoked: what the store holds, turned into revisions and kept in memory once used.
//!
//! The one place that says which revision serves under a function's name, version or alias. A write goes through `commit`
//! within the function's turn, and what follows from it for what serves is told here before the turn ends; the scheduler
//! hears of every change. All versions of a function are one function to the scheduler: they share its reservation.

mod provisioned;
mod taking_up;

pub(crate) use super::cached::Provision;
pub(crate) use provisioned::{Promise, watch as watch_provisioned};

use super::cached::{Cached, Entry, Latest, Route};
use super::decisions::Label;
use super::doors::Door;
use super::revision::Revision;
use super::scheduler::{Order, SchedulerHandle};
use super::uses::Uses;
use crate::runtimes::image::Image;
use crate::runtimes::{Kind, Language, Runtimes, Served};
use crate::store::{
    Alias, Change, CommitError, FunctionRecord, StateKind, Store, StoreError, UpdateKind, Version,
};
use hearth_api::arn::Home;
use hearth_logic::records::SystemLevel;
use hearth_logic::{FunctionId, ProvisionedId, RevisionId};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// Writers of different functions rarely meet; those of one function always take turns.
const GATES: usize = 64;
/// How often an alias is followed: it may lead elsewhere, and its old version be gone, before that is found.
const FOLLOWED_MAX: usize = 3;

/// Why a function cannot be invoked.
#[derive(Debug)]
pub(crate) enum Unavailable {
    /// There is no such function.
    Missing,
    /// It is in a state in which it does not run.
    State(StateKind),
    /// Its runtime is not on this host (any more).
    Runtime(String),
    /// Its environment variables cannot be opened.
    Sealed,
    /// The store failed.
    Store(StoreError),
}

/// What an invocation runs, and what its function is promised.
pub(crate) struct Serving {
    /// What it runs.
    pub(crate) revision: Arc<Revision>,
    /// The provisioned concurrency that it may use: of the version or alias by which it was called, else of the version
    /// that the alias led to.
    pub(crate) provisioned: Option<ProvisionedId>,
    /// The function's reserved concurrency.
    pub(crate) reserved: Option<u32>,
}

/// See the module.
pub(crate) struct Functions {
    /// The catalog.
    pub(crate) store: Store,
    runtimes: Arc<Runtimes>,
    scheduler: SchedulerHandle,
    home: Home,
    cached: RwLock<Cached>,
    /// Of functions with an idle time-out of their own.
    idle_timeouts: BTreeMap<String, Duration>,
    uses: Uses,
    gates: Vec<Mutex<()>>,
    last_id: AtomicU64,
}

impl Functions {
    /// Over a store.
    pub(crate) fn new(store: Store, runtimes: Arc<Runtimes>, scheduler: SchedulerHandle, home: Home) -> Self {
        let gates = (0..GATES).map(|_| Mutex::new(())).collect();
        let (cached, last_id) = (RwLock::default(), AtomicU64::new(0));
        let idle_timeouts = BTreeMap::new();
        let uses = Uses::default();
        Self { store, runtimes, scheduler, home, cached, idle_timeouts, uses, gates, last_id }
    }

    /// With idle time-outs for some functions, by name.
    pub(crate) fn with_idle_timeouts(self, idle_timeouts: BTreeMap<String, Duration>) -> Self {
        Self { idle_timeouts, ..self }
    }

    /// What of the disk may still be run, whatever the catalog says.
    pub(crate) const fn uses(&self) -> &Uses {
        &self.uses
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

    /// The revision that an invocation of this function runs now, by version or alias. `draw` is uniform over `u64` and
    /// asked for only where an alias has two versions to choose from.
    pub(crate) async fn serving(
        &self,
        name: &str,
        qualifier: Option<&str>,
        draw: impl Fn() -> u64,
    ) -> Result<Serving, Unavailable> {
        // Nearly all invocations mean the latest state of a function that has been invoked before.
        if qualifier.is_none()
            && let Some(serving) = self.found(name, Version::Latest, None)
        {
            return Ok(serving);
        }
        Box::pin(self.followed(name, qualifier, draw)).await
    }

    async fn followed(
        &self,
        name: &str,
        qualifier: Option<&str>,
        draw: impl Fn() -> u64,
    ) -> Result<Serving, Unavailable> {
        let alias = match qualifier.map(|text| (Version::parse(text), text)) {
            None => return self.version(name, Version::Latest, None).await,
            Some((Some(version), _)) => return self.version(name, version, None).await,
            Some((None, alias)) => alias,
        };
        for _ in 1..FOLLOWED_MAX {
            let version = self.route(name, alias).await?.pick(draw());
            match self.version(name, version, Some(alias)).await {
                Err(Unavailable::Missing) => {}
                found => return found,
            }
        }
        let version = self.route(name, alias).await?.pick(draw());
        self.version(name, version, Some(alias)).await
    }

    async fn version(
        &self,
        name: &str,
        version: Version,
        alias: Option<&str>,
    ) -> Result<Serving, Unavailable> {
        if let Some(serving) = self.found(name, version, alias) {
            return Ok(serving);
        }
        let _turn = self.gate(name).await;
        if let Some(serving) = self.found(name, version, alias) {
            return Ok(serving);
        }
        let revision = self.admit_stored(name, version).await?;
        // It may have had to leave at once; what is promised to it does not.
        let plain = Serving { revision, provisioned: None, reserved: None };
        Ok(self.found(name, version, alias).unwrap_or(plain))
    }

    /// What is in memory, with one look.
    fn found(&self, name: &str, version: Version, alias: Option<&str>) -> Option<Serving> {
        let cached = self.read();
        let entry = cached.get(name)?;
        let revision = Arc::clone(entry.revision(version)?);
        let provisioned = entry.provisioned(version, alias);
        Some(Serving { revision, provisioned, reserved: entry.reserved })
    }

    async fn route(&self, name: &str, alias: &str) -> Result<Route, Unavailable> {
        if let Some(route) = self.read().get(name).and_then(|entry| entry.aliases.get(alias)) {
            return Ok(*route);
        }
        let _turn = self.gate(name).await;
        let stored = self.store.alias(name, alias).await.map_err(Unavailable::Store)?;
        let route = Route::of(&stored.ok_or(Unavailable::Missing)?);
        // Kept only with the function: who has not been invoked yet takes no memory.
        let mut cached = self.write();
        if cached.get(name).is_some() {
            self.make_room(&mut cached, name);
            cached.change(name, |entry| entry.aliases.insert(alias.to_owned(), route));
        }
        Ok(route)
    }

    /// Writes changes of one function, all or none; whoever writes to the same function waits. The caller derives them
    /// from what it read under the same turn, see [`Functions::gate`].
    pub(crate) async fn commit(&self, changes: Vec<Change>) -> Result<(), CommitError> {
        self.store.commit(changes).await
    }

    /// The turn to write to this function.
    pub(crate) async fn gate(&self, name: &str) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        self.gates[usize::try_from(hasher.finish() % GATES as u64).unwrap_or(0)].lock().await
    }

    /// From now on this state of a version serves. Called after it is on disk, within the function's turn.
    pub(crate) fn admit(&self, record: &FunctionRecord) -> Result<Arc<Revision>, Unavailable> {
        if matches!(record.state.kind, StateKind::Pending | StateKind::Failed | StateKind::Inactive) {
            return Err(Unavailable::State(record.state.kind));
        }
        if record.configuration.sealed_environment.is_some() {
            return Err(Unavailable::Sealed);
        }
        let version = Version::parse(&record.version).unwrap_or(Version::Latest);
        if let Some(revision) = self.current(record, version) {
            return Ok(revision);
        }
        let runtime = record.configuration.runtime.clone().unwrap_or_default();
        let served = match record.is_image() {
            true => Served::image(),
            false => self.runtimes.get(&runtime).cloned().ok_or(Unavailable::Runtime(runtime))?,
        };
        let mut cached = self.write();
        self.make_room(&mut cached, &record.name);
        cached.open(&record.name, || Entry::new(FunctionId(self.next_id())));
        let admitted = cached.change(&record.name, |entry| {
            let revision = Arc::new(self.revision(record, served, (entry.function, entry.door.clone())));
            entry.reserved = record.reserved_concurrency;
            let old = match version {
                Version::Latest => {
                    let stored = record.revision_id.clone();
                    let latest = Latest { stored, revision: Arc::clone(&revision) };
                    entry.latest.replace(latest).map(|old| old.revision)
                }
                Version::Number(number) => entry.versions.insert(number, Arc::clone(&revision)),
            };
            (entry.function, old, revision)
        });
        // It was opened three lines above, under the same lock.
        let (function, old, revision) = admitted.ok_or(Unavailable::Missing)?;
        self.tell_limits(&record.name, function, record.reserved_concurrency);
        if let Some(old) = old {
            self.retire(&old);
        }
        Ok(revision)
    }

    /// The cached revision, if it is what this record says, or serves until that is ready.
    fn current(&self, record: &FunctionRecord, version: Version) -> Option<Arc<Revision>> {
        let cached = self.read();
        let entry = cached.get(&record.name)?;
        let stays = match version {
            Version::Number(_) => true,
            Version::Latest => {
                let waits =
                    matches!(record.last_update.kind, Some(UpdateKind::InProgress | UpdateKind::Failed));
                waits || entry.latest.as_ref()?.stored == record.revision_id
            }
        };
        entry.revision(version).filter(|_| stays).cloned()
    }

    /// `$LATEST` was published: it has another revision in the store and is the same to run.
    pub(crate) fn published(&self, name: &str, before: &str, after: &str) {
        self.write().change(name, |entry| {
            if let Some(latest) = entry.latest.as_mut().filter(|latest| latest.stored == before) {
                after.clone_into(&mut latest.stored);
            }
        });
    }

    /// Reserved concurrency changed.
    pub(crate) fn reserve(&self, name: &str, reserved: Option<u32>) {
        self.write().change(name, |entry| {
            entry.reserved = reserved;
            self.tell_limits(name, entry.function, reserved);
        });
    }

    /// An alias leads elsewhere now.
    pub(crate) fn reroute(&self, alias: &Alias) {
        self.write().change(&alias.function, |entry| {
            if let Some(route) = entry.aliases.get_mut(&alias.name) {
                *route = Route::of(alias);
            }
        });
    }

    /// An alias was deleted.
    pub(crate) fn forget_alias(&self, name: &str, alias: &str) {
        self.write().change(name, |entry| entry.aliases.remove(alias));
    }

    /// A version was deleted.
    pub(crate) fn forget_version(&self, name: &str, number: u64) {
        let gone = self.write().change(name, |entry| entry.versions.remove(&number)).flatten();
        if let Some(revision) = gone {
            self.retire(&revision);
        }
    }

    /// The function was deleted.
    pub(crate) fn forget(&self, name: &str) {
        let gone = self.write().remove(name);
        if let Some(entry) = gone {
            self.dismiss(&entry);
        }
    }

    fn tell_limits(&self, name: &str, function: FunctionId, reserved: Option<u32>) {
        let idle_timeout = self.idle_timeouts.get(name).copied();
        self.scheduler.order(Order::Function { function, reserved, idle_timeout });
    }

    /// Marked before it is told: whoever offers it afterwards is recognised as late.
    fn retire(&self, revision: &Revision) {
        revision.retire();
        self.scheduler.order(Order::Retire(revision.id));
    }

    fn dismiss(&self, entry: &Entry) {
        for provision in entry.provisions.values() {
            self.scheduler.order(Order::Provision {
                provisioned: provision.id,
                function: entry.function,
                parts: Vec::new(),
            });
        }
        for revision in entry.revisions() {
            self.retire(revision);
        }
        self.scheduler.order(Order::FunctionGone(entry.function));
    }

    fn make_room(&self, cached: &mut Cached, but: &str) {
        if let Some(entry) = cached.make_room(but) {
            self.dismiss(&entry);
        }
    }

    /// These functions by name, with what is known of each; who was deleted has none.
    pub(crate) fn named(&self, functions: &BTreeMap<FunctionId, u32>) -> Vec<(String, u32)> {
        let cached = self.read();
        let known = cached.iter().filter_map(|(name, entry)| Some((name, functions.get(&entry.function)?)));
        known.map(|(name, count)| (name.to_owned(), *count)).collect()
    }

    fn cached(&self, name: &str, version: Version) -> Option<Arc<Revision>> {
        self.read().get(name)?.revision(version).cloned()
    }

    fn read(&self) -> RwLockReadGuard<'_, Cached> {
        self.cached.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Cached> {
        self.cached.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn revision(
        &self,
        record: &FunctionRecord,
        served: Served,
        (function, door): (FunctionId, Door),
    ) -> Revision {
        let settings = &record.configuration;
        let runtime = settings.runtime.clone().unwrap_or_default();
        let logging = &settings.logging;
        let group = logging.group.clone().unwrap_or_else(|| format!("/aws/lambda/{}", record.name));
        let level = || logging.application_level.clone().unwrap_or_else(|| "INFO".to_owned());
        Revision {
            id: RevisionId(self.next_id()),
            function,
            name: record.name.clone(),
            role: settings.role.clone(),
            version: record.version.clone(),
            label: Arc::new(Label { function: record.name.clone(), version: record.version.clone() }),
            arn: self.arn(&record.name),
            code: record.code.digest,
            layers: settings.layers.iter().map(|layer| layer.digest).collect(),
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
            system_log: (logging.format == "JSON")
                .then(|| SystemLevel::parse(logging.system_level.as_deref().unwrap_or_default())),
            runtime_version: runtime_version(&runtime, &served),
            runtime_version_arn: runtime_version_arn(&self.home.region, &runtime, &served),
            region: self.home.region.clone(),
            finishing: std::sync::atomic::AtomicU32::new(0),
            door,
            held: Vec::new(),
            retired: std::sync::atomic::AtomicBool::new(false),
            runtime,
            served,
        }
        .holding(&self.uses)
    }
}

/// What `INIT_START` calls the runtime: language, version, and the interpreter's own release; nothing for an image.
fn runtime_version(runtime: &str, served: &Served) -> String {
    let release = served.interpreter.as_ref().map(|found| found.release.as_str()).unwrap_or_default();
    let release = release.rsplit(' ').next().unwrap_or_default().trim_start_matches('v');
    match served.kind {
        Kind::Interpreted(Language::Python, minor) => format!("python:3.{minor}.v{release}"),
        Kind::Interpreted(Language::Node, major) => format!("nodejs:{major}.v{release}"),
        // There is no interpreter of ours in it: what is left to have a version is the platform's own part.
        Kind::Provided => {
            format!("{}.v{}", runtime.replacen('.', ":", 1), env!("CARGO_PKG_VERSION"))
        }
        Kind::Image => String::new(),
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

#[cfg(test)]
mod tests;
