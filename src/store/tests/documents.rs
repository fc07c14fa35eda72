//! Documents on both engines.

use super::{Fixture, record};
use crate::store::blobs::digest_of;
use crate::store::memory::MemoryStore;
use crate::store::record::Code;
use crate::store::{Change, CommitError, Document, DocumentChange, DocumentError, Expect, Family, Store};
use proptest::prelude::*;

fn engines() -> (Fixture, Vec<(&'static str, Store)>) {
    let fixture = Fixture::new();
    let stores = vec![("memory", Store::Memory(MemoryStore::default())), ("sqlite", fixture.store.clone())];
    (fixture, stores)
}

fn document(key: &str, revision: &str) -> Document {
    Document::of(Family::Recursion, key, &vec![key]).expect("encodes").with_revision(revision)
}

fn put(document: Document, expect: Expect) -> Change {
    Change::Document(DocumentChange::Put { document: Box::new(document), expect })
}

fn remove(key: &str, expect: Expect) -> Change {
    Change::Document(DocumentChange::Remove { family: Family::Recursion, key: key.into(), expect })
}

async fn keys(store: &Store, prefix: &str, after: &str, limit: usize) -> Vec<String> {
    let found = store.documents(Family::Recursion, prefix, after, limit).await.expect("reads");
    found.into_iter().map(|it| it.key).collect()
}

#[tokio::test]
async fn a_document_is_written_only_where_what_is_expected_is_there() {
    let (_fixture, engines) = engines();
    for (engine, store) in engines {
        let at = |revision: &str| Expect::Revision(revision.into());
        let missing =
            Err(CommitError::Document(DocumentError::Missing { family: Family::Recursion, key: "a".into() }));
        assert_eq!(store.commit(vec![put(document("a", "1"), Expect::Present)]).await, missing, "{engine}");
        assert_eq!(store.commit(vec![put(document("a", "1"), at("1"))]).await, missing, "{engine}");
        assert_eq!(store.commit(vec![remove("a", Expect::Present)]).await, missing, "{engine}");
        store.commit(vec![remove("a", Expect::Anything)]).await.expect("no error");
        store.commit(vec![put(document("a", "1"), Expect::Absent)]).await.expect("writes");
        let exists = store.commit(vec![put(document("a", "2"), Expect::Absent)]).await;
        assert!(
            matches!(exists, Err(CommitError::Document(DocumentError::Exists { .. }))),
            "{engine}: {exists:?}"
        );
        let stale = store.commit(vec![put(document("a", "3"), at("2"))]).await;
        assert!(
            matches!(stale, Err(CommitError::Document(DocumentError::Stale { .. }))),
            "{engine}: {stale:?}"
        );
        let found = store.document(Family::Recursion, "a").await.expect("reads");
        assert_eq!(found, Some(document("a", "1")), "{engine}");
        assert_eq!(found.expect("there").read::<Vec<String>>().expect("parses"), ["a"], "{engine}");
        assert_eq!(store.document(Family::Policy, "a").await.expect("reads"), None, "{engine}");
        store.commit(vec![put(document("a", "2"), at("1"))]).await.expect("writes");
        store.commit(vec![remove("a", at("2"))]).await.expect("removes");
        assert_eq!(keys(&store, "", "", 9).await, Vec::<String>::new(), "{engine}");
    }
}

#[tokio::test]
async fn a_refused_document_takes_its_whole_commit_back() {
    let (_fixture, engines) = engines();
    for (engine, store) in engines {
        let changes = vec![put(document("a", "1"), Expect::Absent), put(document("b", "1"), Expect::Present)];
        store.commit(changes).await.expect_err("refused");
        assert_eq!(keys(&store, "", "", 9).await, Vec::<String>::new(), "{engine}");
    }
}

#[tokio::test]
async fn a_functions_documents_need_it_and_go_with_it() {
    let (_fixture, engines) = engines();
    for (engine, store) in engines {
        let owned = document("f\nx", "1").of_function("f");
        let missing = CommitError::Missing { name: "f".into() };
        assert_eq!(store.commit(vec![put(owned.clone(), Expect::Absent)]).await, Err(missing), "{engine}");
        let create = Change::Create(Box::new(record("f")));
        store.commit(vec![create, put(owned, Expect::Absent)]).await.expect("both");
        store.commit(vec![put(document("other", "1"), Expect::Absent)]).await.expect("writes");
        store.commit(vec![Change::Delete { name: "f".into() }]).await.expect("deletes");
        assert_eq!(keys(&store, "", "", 9).await, ["other"], "{engine}");
    }
}

#[tokio::test]
async fn a_documents_package_is_in_use_and_counted() {
    let (_fixture, engines) = engines();
    for (engine, store) in engines {
        let code = Code { digest: digest_of(b"layer"), size: 5 };
        store.commit(vec![put(document("l", "1").with_code(code), Expect::Absent)]).await.expect("writes");
        assert!(store.refers_to(&code.digest).expect("reads"), "{engine}");
        assert_eq!(store.usage().await.expect("reads").code_bytes, 5, "{engine}");
        assert_eq!(
            store.document(Family::Recursion, "l").await.expect("reads").and_then(|it| it.code),
            Some(code),
            "{engine}"
        );
        store.commit(vec![remove("l", Expect::Present)]).await.expect("removes");
        assert!(!store.refers_to(&code.digest).expect("reads"), "{engine}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Keys of every kind, the last characters of Unicode among them.
    #[test]
    fn lists_by_prefix_are_the_same_on_both_engines(
        names in prop::collection::btree_set("[ab\n\u{d7ff}\u{e000}\u{10ffff}]{1,4}", 0..20),
        prefix in "[ab\n\u{d7ff}\u{10ffff}]{0,2}",
        after in "[ab\n]{0,2}",
        limit in 0_usize..8,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("builds");
        runtime.block_on(async {
            let (_fixture, engines) = engines();
            let mut answers = Vec::new();
            for (_, store) in engines {
                let changes = names.iter().map(|it| put(document(it, "1"), Expect::Absent)).collect();
                store.commit(changes).await.expect("writes");
                answers.push(keys(&store, &prefix, &after, limit).await);
            }
            let wanted: Vec<String> = names
                .iter()
                .filter(|it| it.starts_with(&prefix) && **it > after)
                .take(limit)
                .cloned()
                .collect();
            prop_assert_eq!(&answers[0], &wanted);
            prop_assert_eq!(&answers[1], &wanted);
            Ok(())
        })?;
    }
}
