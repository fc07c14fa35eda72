//! What serves of a function while `$LATEST` is being changed, and after such a change failed: the state before it.
//!
//! A document of the function's, written in the commit that begins an update and removed in the one that ends it well, so
//! that at every instant the old or the new can be found as a whole. It keeps the old package; packages of layers and their
//! trees are kept by documents of their own until the function goes. The variables in it are sealed as those of records
//! are. Deliberately not here: when an update begins and how it ends.

use super::catalog::{Change, Store, StoreError};
use super::documents::{Document, DocumentChange, Expect, Family};
use super::record::{Code, Configuration, FunctionRecord, State, UpdateKind, UpdateStatus};
use super::seal::Sealer;
use hearth_sandbox::Digest;
use serde::{Deserialize, Serialize};

const FAMILY: Family = Family::Serving;

/// A record without what the function has as a whole.
#[derive(Serialize, Deserialize)]
struct Body {
    version: String,
    revision_id: String,
    digest: Digest,
    size: u64,
    state: State,
    last_update: UpdateStatus,
    last_modified_ms: u64,
    configuration: Configuration,
}

/// The change by which `$LATEST`, as it serves, goes on serving whatever is written in its place.
pub(crate) fn keep(serving: &FunctionRecord) -> Result<Change, StoreError> {
    let body = Body {
        version: serving.version.clone(),
        revision_id: serving.revision_id.clone(),
        digest: serving.code.digest,
        size: serving.code.size,
        state: serving.state.clone(),
        last_update: serving.last_update.clone(),
        last_modified_ms: serving.last_modified_ms,
        configuration: serving.configuration.clone(),
    };
    // Of no size: what is counted is the code that a function is told to have.
    let document = Document::of(FAMILY, serving.name.clone(), &body)?
        .of_function(&serving.name)
        .with_code(Code { digest: serving.code.digest, size: 0 });
    let change = DocumentChange::Put { document: Box::new(document), expect: Expect::Anything };
    Ok(Change::Document(change))
}

/// The change by which what is stored of `$LATEST` serves from now on.
pub(crate) fn forget(function: &str) -> Change {
    let (family, key) = (FAMILY, function.to_owned());
    Change::Document(DocumentChange::Remove { family, key, expect: Expect::Anything })
}

/// For the disk: what is secret in it sealed. Documents of other families have no secrets.
pub(super) fn seal(document: &mut Document, sealer: &Sealer) -> Result<(), StoreError> {
    if document.family != FAMILY {
        return Ok(());
    }
    let mut body: Body = document.read()?;
    body.configuration.seal(sealer, &document.key);
    document.body = Document::of(FAMILY, String::new(), &body)?.body;
    Ok(())
}

impl Store {
    /// What serves where this is stored of `$LATEST`: itself, unless it is being made ready or could not be.
    pub(crate) async fn standing(&self, latest: FunctionRecord) -> Result<FunctionRecord, StoreError> {
        if !matches!(latest.last_update.kind, Some(UpdateKind::InProgress | UpdateKind::Failed)) {
            return Ok(latest);
        }
        let Some(document) = self.document(FAMILY, &latest.name).await? else { return Ok(latest) };
        let Body {
            version,
            revision_id,
            digest,
            size,
            state,
            last_update,
            last_modified_ms,
            mut configuration,
        } = document.read()?;
        if let Some(sealer) = self.sealer() {
            configuration.open(sealer, &latest.name);
        }
        Ok(FunctionRecord {
            version,
            revision_id,
            code: Code { digest, size },
            state,
            last_update,
            last_modified_ms,
            configuration,
            ..latest
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;
    use crate::store::tests::{Fixture, record};
    use std::collections::BTreeMap;

    fn before() -> FunctionRecord {
        let mut before = record("f");
        before.configuration.environment = Some(BTreeMap::from([("SECRET".into(), "hunter2-value".into())]));
        before
    }

    #[tokio::test]
    async fn the_state_before_an_update_serves_until_that_is_settled() {
        let fixture = Fixture::new();
        for store in [fixture.store.clone(), Store::Memory(MemoryStore::default())] {
            let before = before();
            store.commit(vec![Change::Create(Box::new(before.clone()))]).await.expect("commits");
            assert_eq!(store.standing(before.clone()).await.expect("reads"), before);
            let mut next = before.clone();
            next.revision_id = "f-2".to_owned();
            next.code.digest = Digest([9; 32]);
            next.configuration.environment = None;
            next.last_update = UpdateStatus::of(UpdateKind::InProgress);
            let replace =
                Change::Replace { expected: before.revision_id.clone(), record: Box::new(next.clone()) };
            store.commit(vec![replace, keep(&before).expect("encodes")]).await.expect("commits");
            assert!(store.refers_to(&before.code.digest).expect("asks"), "its package stays");
            for kind in [UpdateKind::InProgress, UpdateKind::Failed] {
                next.last_update = UpdateStatus::of(kind);
                assert_eq!(store.standing(next.clone()).await.expect("reads"), before);
            }
            next.last_update = UpdateStatus::of(UpdateKind::Successful);
            assert_eq!(store.standing(next.clone()).await.expect("reads"), next);
            store.commit(vec![forget("f")]).await.expect("commits");
            assert!(!store.refers_to(&before.code.digest).expect("asks"));
        }
    }

    #[tokio::test]
    async fn secrets_in_it_are_not_on_disk_as_they_are() {
        let fixture = Fixture::new();
        let before = before();
        let changes = vec![Change::Create(Box::new(before.clone())), keep(&before).expect("encodes")];
        fixture.store.commit(changes).await.expect("commits");
        fixture.store.close().await;
        let mut seen = 0;
        for entry in std::fs::read_dir(fixture.scratch.path()).expect("lists").flatten() {
            let Ok(bytes) = std::fs::read(entry.path()) else { continue };
            seen += bytes.len();
            let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
            assert!(!has(b"hunter2-value"), "{}", entry.path().display());
        }
        assert!(seen > 0, "there is a catalog");
    }
}
