//! From the disk into memory: which state of a function is the one that serves.
//!
//! That is what is stored, but while an update of `$LATEST` is made, and after one failed, it is what was before
//! (`store/serving.rs`). Deliberately not here: what is kept in memory, and what follows when it changes.

use super::{Functions, Unavailable};
use crate::daemon::revision::Revision;
use crate::store::{FunctionRecord, Version};
use std::sync::Arc;

impl Functions {
    /// Takes a version up from the disk, within the function's turn.
    pub(super) async fn admit_stored(
        &self,
        name: &str,
        version: Version,
    ) -> Result<Arc<Revision>, Unavailable> {
        let record = match version {
            Version::Latest => self.store.function(name).await,
            Version::Number(number) => {
                self.store.version(name, number).await.map(|found| found.map(|it| it.record))
            }
        };
        let record = record.map_err(Unavailable::Store)?.ok_or(Unavailable::Missing)?;
        match version {
            Version::Latest => self.take_up(record).await,
            Version::Number(_) => self.admit(&record),
        }
    }

    /// Takes up what serves where this is stored of `$LATEST`: the state before it while an update is made, and after one
    /// failed. Within the function's turn, or before anybody else can have it.
    pub(crate) async fn take_up(&self, latest: FunctionRecord) -> Result<Arc<Revision>, Unavailable> {
        self.admit(&self.store.standing(latest).await.map_err(Unavailable::Store)?)
    }

    /// A function was created or updated. One that was never invoked stays on disk alone: there may be very many.
    pub(crate) async fn settled(&self, record: &FunctionRecord) -> Result<(), Unavailable> {
        let known =
            self.cached(&record.name, Version::Latest).is_some() || record.reserved_concurrency.is_some();
        if known { self.take_up(record.clone()).await.map(drop) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{functions, native};
    use crate::store::tests::Fixture;
    use crate::store::{Change, UpdateKind, UpdateStatus, serving};
    use hearth_sandbox::Digest;

    #[tokio::test]
    async fn who_was_in_memory_of_nobody_serves_as_before_the_update_too() {
        let fixture = Fixture::new();
        let (functions, _inbox) = functions(&fixture, 10);
        let before = native("f", Some(3));
        let mut next = before.clone();
        next.revision_id = "f-2".to_owned();
        next.code.digest = Digest([9; 32]);
        next.last_update = UpdateStatus::of(UpdateKind::InProgress);
        let kept = serving::keep(&before).expect("encodes");
        let replace = Change::Replace { expected: "f-1".to_owned(), record: Box::new(next.clone()) };
        fixture
            .store
            .commit(vec![Change::Create(Box::new(before.clone())), replace, kept])
            .await
            .expect("commits");
        let serving = functions.serving("f", None, || 0).await.expect("serves");
        assert_eq!(
            (serving.revision.code, serving.reserved),
            (before.code.digest, before.reserved_concurrency)
        );
        next.last_update = UpdateStatus::of(UpdateKind::Failed);
        functions.settled(&next).await.expect("is taken up");
        let serving = functions.serving("f", None, || 0).await.expect("serves");
        assert_eq!(serving.revision.code, before.code.digest);
        next.last_update = UpdateStatus::of(UpdateKind::Successful);
        functions.settled(&next).await.expect("is taken up");
        let serving = functions.serving("f", None, || 0).await.expect("serves");
        assert_eq!(serving.revision.code, next.code.digest);
    }
}
