//! Provisioned concurrency in memory: what each version and alias is promised, and what the scheduler is told of it.
//!
//! A function with a promise stays in memory. Of what an alias is promised, each of its versions gets its share, anew
//! whenever the alias is moved. What may be promised is decided in the control API; when an environment is ready, by
//! the scheduler.

use super::{Entry, Functions, Order, Route, Unavailable, Version};
use crate::daemon::cached::Provision;
use crate::daemon::invoke::Shared;
use crate::daemon::revision::Revision;
use crate::store::{Document, Family, StoreError};
use hearth_logic::limits::PROVISIONED_PAUSE_MAX;
use hearth_logic::{FunctionId, ProvisionedId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Documents that are read at once when a daemon starts.
const CHUNK: usize = 500;

/// What is kept on disk under `function\nqualifier`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Promise {
    /// Environments in all.
    pub(crate) wanted: u32,
    /// When it was made, ms since 1970.
    pub(crate) modified_ms: i64,
}

struct Runnable {
    parts: Vec<(Arc<Revision>, u32)>,
    obstacle: Option<String>,
}

/// Looks now and then after provisioned concurrency that could not be had (AWS documentation, "Configuring provisioned
/// concurrency for a function"), for as long as the daemon lives.
pub(crate) async fn watch(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(PROVISIONED_PAUSE_MAX).await;
        if let Err(error) = shared.functions.provision_stuck().await {
            tracing::error!(%error, "provisioned concurrency could not be tried again");
        }
    }
}

impl Functions {
    /// From now on this many environments of a version or alias are kept ready. Called after it is on disk, within the
    /// function's turn; for an alias again whenever that leads elsewhere.
    pub(crate) async fn provision(&self, name: &str, qualifier: &str, wanted: u32) -> Result<(), StoreError> {
        let found = self.runnable(name, qualifier, wanted).await?;
        self.promise(name, qualifier, wanted, found);
        Ok(())
    }

    /// The parts that can run here, and why one cannot.
    async fn runnable(&self, name: &str, qualifier: &str, wanted: u32) -> Result<Runnable, StoreError> {
        let mut found = Runnable { parts: Vec::new(), obstacle: None };
        for (version, count) in self.parts(name, qualifier, wanted).await? {
            match self.admit_stored(name, version).await {
                Ok(revision) => found.parts.push((revision, count)),
                Err(Unavailable::Store(error)) => return Err(error),
                Err(unavailable) => found.obstacle = Some(why_not(version, unavailable)),
            }
        }
        Ok(found)
    }

    fn promise(&self, name: &str, qualifier: &str, wanted: u32, found: Runnable) {
        let Runnable { parts, obstacle } = found;
        let mut cached = self.write();
        cached.open(name, || Entry::new(FunctionId(self.next_id())));
        cached.change(name, |entry| {
            let known = entry.provisions.get(qualifier).map(|provision| provision.id);
            let id = known.unwrap_or_else(|| ProvisionedId(self.next_id()));
            entry.provisions.insert(qualifier.to_owned(), Provision { id, wanted, obstacle });
            self.tell(id, entry.function, parts);
        });
    }

    /// Tries again what could not run: a version may have become active. Who is still in the way is not told of again.
    pub(crate) async fn provision_stuck(&self) -> Result<(), StoreError> {
        let stuck: Vec<(String, String)> = {
            let cached = self.read();
            let all = cached.iter().flat_map(|(name, entry)| {
                let stuck = entry.provisions.iter().filter(|(_, it)| it.obstacle.is_some());
                stuck.map(|(qualifier, _)| (name.to_owned(), qualifier.clone()))
            });
            all.collect()
        };
        for (name, qualifier) in stuck {
            let _turn = self.gate(&name).await;
            let Some(Provision { wanted, obstacle: Some(before), .. }) = self.promised(&name, &qualifier)
            else {
                continue;
            };
            let found = self.runnable(&name, &qualifier, wanted).await?;
            if found.obstacle.as_ref() != Some(&before) {
                self.promise(&name, &qualifier, wanted, found);
            }
        }
        Ok(())
    }

    /// The same after an alias was moved, if something is promised to it.
    pub(crate) async fn provision_again(&self, name: &str, qualifier: &str) -> Result<(), StoreError> {
        match self.promised(name, qualifier) {
            Some(Provision { wanted, .. }) => self.provision(name, qualifier, wanted).await,
            None => Ok(()),
        }
    }

    /// Nothing is promised to this version or alias any more.
    pub(crate) fn unprovision(&self, name: &str, qualifier: &str) {
        self.write().change(name, |entry| {
            if let Some(provision) = entry.provisions.remove(qualifier) {
                self.tell(provision.id, entry.function, Vec::new());
            }
        });
    }

    /// What is promised to a version or alias.
    pub(crate) fn promised(&self, name: &str, qualifier: &str) -> Option<Provision> {
        self.read().get(name)?.provisions.get(qualifier).cloned()
    }

    /// What is promised to all versions and aliases of a function, but for one.
    pub(crate) fn promised_beside(&self, name: &str, qualifier: &str) -> u64 {
        let cached = self.read();
        let all = cached.get(name).into_iter().flat_map(|entry| &entry.provisions);
        all.filter(|(other, _)| *other != qualifier).map(|(_, provision)| u64::from(provision.wanted)).sum()
    }

    /// What is promised out of the account's unreserved concurrency: to functions that reserve none, but for one of them.
    pub(crate) fn promised_unreserved(&self, but: &str) -> u64 {
        let cached = self.read();
        let unreserved = cached.iter().filter(|(name, entry)| *name != but && entry.reserved.is_none());
        unreserved.flat_map(|(_, entry)| entry.provisions.values()).map(|it| u64::from(it.wanted)).sum()
    }

    /// Every provision with its names, for figures.
    pub(crate) fn provisions(&self) -> Vec<(String, String, ProvisionedId)> {
        let cached = self.read();
        let of = |name: &str, entry: &Entry| {
            let each =
                entry.provisions.iter().map(|(qualifier, it)| (name.to_owned(), qualifier.clone(), it.id));
            each.collect::<Vec<_>>()
        };
        cached.iter().flat_map(|(name, entry)| of(name, entry)).collect()
    }

    /// Tells the scheduler what was promised by the daemon before this one.
    pub(crate) async fn resume_provisioned(&self) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let found = self.store.documents(Family::ProvisionedConcurrency, "", &after, CHUNK).await?;
            for document in &found {
                let Some((name, qualifier)) = document.key.split_once('\n') else { continue };
                let promise: Promise = document.read()?;
                let _turn = self.gate(name).await;
                self.provision(name, qualifier, promise.wanted).await?;
            }
            match found.last() {
                Some(Document { key, .. }) if found.len() == CHUNK => after.clone_from(key),
                _ => return Ok(()),
            }
        }
    }

    async fn parts(
        &self,
        name: &str,
        qualifier: &str,
        wanted: u32,
    ) -> Result<Vec<(Version, u32)>, StoreError> {
        if let Some(version) = Version::parse(qualifier) {
            return Ok(vec![(version, wanted)]);
        }
        let alias = self.store.alias(name, qualifier).await?;
        Ok(alias.map(|alias| Route::of(&alias).split(wanted)).unwrap_or_default())
    }

    fn tell(&self, provisioned: ProvisionedId, function: FunctionId, parts: Vec<(Arc<Revision>, u32)>) {
        self.scheduler.order(Order::Provision { provisioned, function, parts });
    }
}

fn why_not(version: Version, unavailable: Unavailable) -> String {
    match unavailable {
        Unavailable::Missing => format!("Version {version} does not exist."),
        Unavailable::State(state) => format!("Version {version} is in the state {}.", state.name()),
        Unavailable::Runtime(runtime) => {
            format!("The runtime {runtime} is not available on this host; `hearth doctor` lists what is.")
        }
        Unavailable::Sealed => "The environment variables cannot be decrypted.".to_owned(),
        Unavailable::Store(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{functions, native, told};
    use super::*;
    use crate::store::tests::Fixture;
    use crate::store::{Alias, Change, DocumentChange, Expect, Published, VersionChange};

    async fn published(fixture: &Fixture, numbers: u64) {
        let latest = native("f", None);
        let mut changes = vec![Change::Create(Box::new(latest.clone()))];
        for number in 1..=numbers {
            let (expected, revision_id) = (format!("f-{number}"), format!("f-{}", number + 1));
            let published = Box::new(Published::of(&latest, number, format!("v{number}"), None));
            changes.push(Change::Version(VersionChange::Publish { expected, revision_id, published }));
        }
        fixture.store.commit(changes).await.expect("commits");
    }

    fn alias(additional: Option<(u64, f64)>) -> Alias {
        Alias {
            function: "f".to_owned(),
            name: "live".to_owned(),
            version: Version::Number(1),
            additional,
            description: String::new(),
            revision_id: "a".to_owned(),
        }
    }

    #[tokio::test]
    async fn an_alias_gets_its_versions_shares_anew_when_it_moves() {
        let fixture = Fixture::new();
        let (functions, mut inbox) = functions(&fixture, 10);
        published(&fixture, 2).await;
        let first = alias(Some((2, 0.25)));
        let create = Change::Version(VersionChange::CreateAlias(Box::new(first.clone())));
        fixture.store.commit(vec![create]).await.expect("commits");
        functions.provision("f", "live", 4).await.expect("provisions");
        let provisions = |told: Vec<String>| -> Vec<String> {
            told.into_iter()
                .filter_map(|text| Some(text.strip_prefix("provision ")?.split_once(' ')?.1.to_owned()))
                .collect()
        };
        assert_eq!(provisions(told(&mut inbox)), ["[1 3, 2 1]"]);
        let mut second = alias(None);
        second.version = Version::Number(2);
        let change = VersionChange::UpdateAlias { expected: "a".to_owned(), alias: Box::new(second) };
        fixture.store.commit(vec![Change::Version(change)]).await.expect("commits");
        functions.provision_again("f", "live").await.expect("provisions");
        functions.provision_again("f", "other").await.expect("nothing to do");
        assert_eq!(provisions(told(&mut inbox)), ["[2 4]"]);
        functions.forget("f");
        assert_eq!(provisions(told(&mut inbox)), ["[]"], "it goes with its function");
        assert_eq!(functions.promised_unreserved(""), 0);
    }

    #[tokio::test]
    async fn a_promise_counts_against_what_nobody_reserves_and_is_used_by_its_qualifier() {
        let fixture = Fixture::new();
        let (functions, _inbox) = functions(&fixture, 10);
        published(&fixture, 2).await;
        let create = Change::Version(VersionChange::CreateAlias(Box::new(alias(None))));
        fixture.store.commit(vec![create]).await.expect("commits");
        functions.provision("f", "1", 3).await.expect("provisions");
        functions.provision("f", "2", 4).await.expect("provisions");
        assert_eq!((functions.promised_unreserved(""), functions.promised_unreserved("f")), (7, 0));
        assert_eq!((functions.promised_beside("f", "1"), functions.promised_beside("f", "")), (4, 7));
        functions.reserve("f", Some(9));
        assert_eq!(functions.promised_unreserved(""), 0, "a reservation holds it");
        let used = async |qualifier: Option<&str>| {
            functions.serving("f", qualifier, || 0).await.expect("serves").provisioned
        };
        let of = |qualifier: &str| functions.promised("f", qualifier).map(|provision| provision.id);
        assert_eq!(used(Some("1")).await, of("1"));
        assert_eq!(used(Some("live")).await, of("1"), "an alias is a name for its version");
        assert_eq!((used(None).await, used(Some("$LATEST")).await), (None, None));
        functions.unprovision("f", "1");
        assert_eq!((used(Some("1")).await, of("1")), (None, None));
    }

    #[tokio::test]
    async fn a_daemon_that_starts_tells_what_was_promised_before() {
        let fixture = Fixture::new();
        published(&fixture, 1).await;
        let promise = Promise { wanted: 2, modified_ms: 0 };
        let document =
            Document::of(Family::ProvisionedConcurrency, "f\n1", &promise).expect("encodes").of_function("f");
        let put = DocumentChange::Put { document: Box::new(document), expect: Expect::Anything };
        fixture.store.commit(vec![Change::Document(put)]).await.expect("commits");
        let (functions, mut inbox) = functions(&fixture, 10);
        functions.resume_provisioned().await.expect("resumes");
        assert!(told(&mut inbox).iter().any(|text| text.ends_with(" [1 2]")));
        assert_eq!(functions.promised("f", "1").map(|it| (it.wanted, it.obstacle)), Some((2, None)));
    }
    #[tokio::test]
    async fn what_could_not_run_is_tried_again_and_told_once_it_can() {
        let fixture = Fixture::new();
        let (functions, mut inbox) = functions(&fixture, 10);
        functions.provision("f", "1", 2).await.expect("provisions");
        let obstacle = || functions.promised("f", "1").and_then(|provision| provision.obstacle);
        assert_eq!(obstacle().as_deref(), Some("Version 1 does not exist."));
        told(&mut inbox);
        functions.provision_stuck().await.expect("tries");
        assert_eq!(told(&mut inbox), Vec::<String>::new(), "nothing has changed");
        published(&fixture, 1).await;
        functions.provision_stuck().await.expect("tries");
        assert_eq!(obstacle(), None);
        assert!(told(&mut inbox).iter().any(|text| text.ends_with(" [1 2]")));
        functions.provision_stuck().await.expect("tries");
        assert_eq!(told(&mut inbox), Vec::<String>::new(), "nothing is stuck");
    }
}
