//! The same promises held against both engines, and a model against which random histories are checked.

use super::{Fixture, Scratch, record, sealer};
use crate::store::catalog::{SCAN_MAX, TAGS_MAX, Usage};
use crate::store::memory::MemoryStore;
use crate::store::{
    Change, CommitError, FunctionRecord, Published, Sealer, State, StateKind, Store, StoreError, UpdateKind,
    UpdateStatus, VersionChange,
};
use std::collections::BTreeMap;

fn engines() -> (Fixture, Vec<(&'static str, Store)>) {
    let fixture = Fixture::new();
    let stores = vec![("memory", Store::Memory(MemoryStore::default())), ("sqlite", fixture.store.clone())];
    (fixture, stores)
}

fn create(record: FunctionRecord) -> Vec<Change> {
    vec![Change::Create(Box::new(record))]
}

fn replace(expected: &str, record: FunctionRecord) -> Vec<Change> {
    vec![Change::Replace { expected: expected.into(), record: Box::new(record) }]
}

fn reserve(name: &str, reserved: Option<u32>) -> Vec<Change> {
    vec![Change::Reserve { name: name.into(), reserved, reservable: 900 }]
}

fn tag(name: &str, set: &[(&str, &str)], remove: &[&str]) -> Vec<Change> {
    let set = set.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    vec![Change::Tag { name: name.into(), set, remove: remove.iter().map(|key| (*key).into()).collect() }]
}

fn rich(name: &str) -> FunctionRecord {
    let mut it = record(name);
    it.state = State::because(StateKind::Pending, "Creating", "The function is being created.");
    it.last_update = UpdateStatus::because(UpdateKind::InProgress, "Creating", "…");
    it.tags = BTreeMap::from([("stage".into(), "test \"quoted\"".into())]);
    it.configuration.environment = Some(BTreeMap::from([("A".into(), "ä\n\0".into())]));
    it.configuration.vpc_config = Some(serde_json::json!({"SubnetIds": [], "VpcId": ""}));
    it.configuration.extras.insert("DurableConfig".into(), serde_json::json!({"ExecutionTimeout": 5}));
    it
}

#[tokio::test]
async fn what_is_committed_is_read_back_member_by_member() {
    let (_fixture, stores) = engines();
    for (engine, store) in stores {
        store.commit(create(rich("f"))).await.expect(engine);
        assert_eq!(store.function("f").await.expect(engine), Some(rich("f")), "{engine}");
        assert_eq!(store.function("F").await.expect(engine), None, "{engine}");
    }
}

#[tokio::test]
async fn a_taken_name_is_refused_and_the_first_function_stays() {
    let (_fixture, stores) = engines();
    for (engine, store) in stores {
        store.commit(create(record("f"))).await.expect(engine);
        let error = store.commit(create(rich("f"))).await.expect_err(engine);
        assert_eq!(error, CommitError::Exists { name: "f".into() }, "{engine}");
        assert_eq!(store.function("f").await.expect(engine), Some(record("f")), "{engine}");
    }
}

#[tokio::test]
async fn a_stale_revision_is_refused_and_names_the_stored_one() {
    let (_fixture, stores) = engines();
    for (engine, store) in stores {
        store.commit(create(record("f"))).await.expect(engine);
        let mut next = record("f");
        next.revision_id = "f-2".into();
        store.commit(replace("f-1", next.clone())).await.expect(engine);
        let error = store.commit(replace("f-1", next)).await.expect_err(engine);
        let stale = CommitError::Stale { name: "f".into(), expected: "f-1".into(), stored: "f-2".into() };
        assert_eq!(error, stale, "{engine}");
    }
}

#[tokio::test]
async fn an_update_keeps_tags_reservation_and_creation_time() {
    let (_fixture, stores) = engines();
    for (engine, store) in stores {
        store.commit(create(record("f"))).await.expect(engine);
        store.commit(tag("f", &[("a", "1")], &[])).await.expect(engine);
        store.commit(reserve("f", Some(7))).await.expect(engine);
        let mut next = record("f");
        next.created_ms = 99;
        store.commit(replace("f-1", next)).await.expect(engine);
        let stored = store.function("f").await.expect(engine).expect(engine);
        assert_eq!(stored.tags, BTreeMap::from([("a".into(), "1".into())]), "{engine}");
        assert_eq!((stored.reserved_concurrency, stored.created_ms), (Some(7), 1), "{engine}");
    }
}

#[tokio::test]
async fn a_commit_is_all_or_nothing() {
    let (_fixture, stores) = engines();
    for (engine, store) in stores {
        store.commit(create(record("old"))).await.expect(engine);
        let mut changes = create(record("new"));
        changes.extend(tag("old", &[("a", "1")], &[]));
        changes.push(Change::Delete { name: "old".into() });
        changes.push(Change::Delete { name: "absent".into() });
        let error = store.commit(changes).await.expect_err(engine);
        assert_eq!(error, CommitError::Missing { name: "absent".into() }, "{engine}");
        assert_eq!(store.functions(None, 10).await.expect(engine), [record("old")], "{engine}");
    }
}

#[tokio::test]
async fn changes_of_one_commit_see_each_other() {
    let (_fixture, stores) = engines();
    for (engine, store) in stores {
        let mut changes = create(record("f"));
        changes.push(Change::Delete { name: "f".into() });
        changes.extend(create(rich("f")));
        store.commit(changes).await.expect(engine);
        assert_eq!(store.function("f").await.expect(engine), Some(rich("f")), "{engine}");
    }
}

#[tokio::test]
async fn every_change_of_an_absent_function_is_missing() {
    let (_fixture, stores) = engines();
    for (engine, store) in stores {
        let delete = vec![Change::Delete { name: "f".into() }];
        for changes in [delete, reserve("f", None), tag("f", &[], &[]), replace("f-1", record("f"))] {
            let error = store.commit(changes).await.expect_err(engine);
            assert_eq!(error, CommitError::Missing { name: "f".into() }, "{engine}");
        }
    }
}

#[tokio::test]
async fn reservations_of_all_functions_stay_below_the_bound() {
    let (_fixture, stores) = engines();
    for (engine, store) in stores {
        for name in ["a", "b"] {
            store.commit(create(record(name))).await.expect(engine);
        }
        store.commit(reserve("a", Some(600))).await.expect(engine);
        let error = store.commit(reserve("b", Some(301))).await.expect_err(engine);
        let expected =
            CommitError::TooMuchReserved { name: "b".into(), asked: 301, others: 600, reservable: 900 };
        assert_eq!(error, expected, "{engine}");
        store.commit(reserve("b", Some(300))).await.expect(engine);
        store.commit(reserve("a", Some(0))).await.expect("a function's own old reservation does not count");
        assert_eq!(store.usage().await.expect(engine).reserved, 300, "{engine}");
        store.commit(reserve("b", None)).await.expect(engine);
        assert_eq!(store.usage().await.expect(engine).reserved, 0, "{engine}");
    }
}

#[tokio::test]
async fn a_reservation_may_become_less_where_all_together_are_too_much() {
    let (_fixture, stores) = engines();
    for (engine, store) in stores {
        for name in ["a", "b"] {
            store.commit(create(record(name))).await.expect(engine);
            store.commit(reserve(name, Some(400))).await.expect(engine);
        }
        let asked = |reserved| {
            let change = Change::Reserve { name: "a".into(), reserved: Some(reserved), reservable: 10 };
            store.commit(vec![change])
        };
        assert!(asked(401).await.is_err(), "{engine}");
        for reserved in [400, 399, 1, 0] {
            asked(reserved).await.expect(engine);
        }
        assert!(asked(1).await.is_err(), "{engine}: what was given up is gone");
    }
}

#[tokio::test]
async fn tags_are_removed_then_set_and_bounded() {
    let (_fixture, stores) = engines();
    for (engine, store) in stores {
        store.commit(create(record("f"))).await.expect(engine);
        store.commit(tag("f", &[("a", "1"), ("b", "2")], &[])).await.expect(engine);
        store.commit(tag("f", &[("b", "3")], &["a", "b", "absent"])).await.expect(engine);
        let stored = store.function("f").await.expect(engine).expect(engine);
        assert_eq!(stored.tags, BTreeMap::from([("b".into(), "3".into())]), "{engine}");
        assert_eq!(stored.revision_id, "f-1", "{engine}");
        let keys: Vec<String> = (0..TAGS_MAX).map(|at| format!("k{at}")).collect();
        let many: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "")).collect();
        let error = store.commit(tag("f", &many, &[])).await.expect_err(engine);
        assert_eq!(error, CommitError::TooManyTags { name: "f".into(), count: TAGS_MAX + 1 }, "{engine}");
        store.commit(tag("f", &many, &["b"])).await.expect(engine);
    }
}

#[tokio::test]
async fn a_scan_goes_by_name_after_the_marker_up_to_the_limit() {
    let (_fixture, stores) = engines();
    for (engine, store) in stores {
        for name in ["b", "a-b", "a", "B", "a_b"] {
            store.commit(create(record(name))).await.expect(engine);
        }
        let names = async |after: Option<&str>, limit| -> Vec<String> {
            let found = store.functions(after, limit).await.expect(engine);
            found.into_iter().map(|it| it.name).collect()
        };
        assert_eq!(names(None, SCAN_MAX + 1).await, ["B", "a", "a-b", "a_b", "b"], "{engine}");
        assert_eq!(names(Some("a"), 2).await, ["a-b", "a_b"], "{engine}");
        assert_eq!(names(Some("aa"), 2).await, ["b"], "a marker that is not there, {engine}");
        assert_eq!(names(None, 0).await, Vec::<String>::new(), "{engine}");
    }
}

#[tokio::test]
async fn usage_counts_functions_and_their_code() {
    let (_fixture, stores) = engines();
    for (engine, store) in stores {
        assert_eq!(store.usage().await.expect(engine), Usage::default(), "{engine}");
        for name in ["a", "bbb"] {
            store.commit(create(record(name))).await.expect(engine);
        }
        let expected = Usage { functions: 2, code_bytes: 4, reserved: 0 };
        assert_eq!(store.usage().await.expect(engine), expected, "{engine}");
        assert!(store.refers_to(&record("a").code.digest).expect(engine), "{engine}");
        assert!(!store.refers_to(&record("c").code.digest).expect(engine), "{engine}");
    }
}

#[tokio::test]
async fn many_commits_at_once_are_all_answered_and_stored() {
    let fixture = Fixture::new();
    let tasks: Vec<_> = (0..2_000)
        .map(|at| {
            let store = fixture.store.clone();
            // Every name is wanted by two: one gets it.
            tokio::spawn(async move { store.commit(create(record(&format!("f{:04}", at / 2)))).await })
        })
        .collect();
    let mut refused = 0;
    for task in tasks {
        refused += usize::from(matches!(task.await.expect("no panic"), Err(CommitError::Exists { .. })));
    }
    assert_eq!(refused, 1_000);
    assert_eq!(fixture.store.usage().await.expect("reads").functions, 1_000);
}

#[tokio::test]
async fn a_closed_store_refuses_commits_and_its_file_opens_again() {
    let fixture = Fixture::new();
    fixture.store.commit(create(record("f"))).await.expect("commits");
    fixture.store.close().await;
    let error = fixture.store.commit(create(record("g"))).await.expect_err("closed");
    assert_eq!(error, CommitError::Store(StoreError::Closed));
    let again = Store::open(&fixture.scratch.path().join("hearth.db"), sealer()).expect("opens");
    assert_eq!(again.functions(None, 10).await.expect("reads"), [record("f")]);
}

#[tokio::test]
async fn a_catalog_of_a_later_release_is_refused_naming_both_schemas() {
    let scratch = Scratch::new();
    let path = scratch.path().join("hearth.db");
    let later = rusqlite::Connection::open(&path).expect("opens");
    later.pragma_update(None, "user_version", 9).expect("sets");
    drop(later);
    let Err(error) = Store::open(&path, sealer()) else { panic!("opened") };
    assert_eq!(error, StoreError::Newer { found: 9, known: 5 });
    assert!(error.to_string().contains("schema 9") && error.to_string().contains("up to 5"));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_not_overwritten() {
    let scratch = Scratch::new();
    let path = scratch.path().join("hearth.db");
    std::fs::write(&path, "dear diary, ".repeat(100)).expect("writes");
    assert!(matches!(Store::open(&path, sealer()), Err(StoreError::Open { .. })));
    assert!(std::fs::read_to_string(&path).expect("reads").starts_with("dear diary"));
}

#[tokio::test]
async fn a_damaged_record_is_named_and_others_are_served() {
    let fixture = Fixture::new();
    for name in ["a", "b"] {
        fixture.store.commit(create(record(name))).await.expect("commits");
    }
    let vandal = rusqlite::Connection::open(fixture.scratch.path().join("hearth.db")).expect("opens");
    vandal.execute("UPDATE functions SET configuration = '{' WHERE name = 'a'", []).expect("damages");
    let error = fixture.store.function("a").await.expect_err("damaged");
    assert!(matches!(error, StoreError::Damaged { name, .. } if name == "a"));
    assert_eq!(fixture.store.function("b").await.expect("reads"), Some(record("b")));
}

#[tokio::test]
async fn a_document_of_a_later_release_keeps_its_unknown_members() {
    let text = r#"{"role":"r","timeout_s":9,"invented_later":{"x":[1]}}"#;
    let read: crate::store::Configuration = serde_json::from_str(text).expect("reads");
    assert_eq!((read.timeout_s, read.memory_mb), (9, 128));
    let written = serde_json::to_value(&read).expect("writes");
    assert_eq!(written["invented_later"], serde_json::json!({"x": [1]}));
}

/// A small generator, so that a failing history is named by its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn change(&mut self) -> Change {
        let name = format!("f{}", self.roll(5));
        let mut it = record(&name);
        it.revision_id = format!("r{}", self.roll(3));
        match self.roll(5) {
            0 => Change::Create(Box::new(it)),
            1 => Change::Replace { expected: format!("r{}", self.roll(3)), record: Box::new(it) },
            2 => Change::Delete { name },
            3 => {
                let reserved = (self.roll(3) > 0).then_some(u32::try_from(self.roll(60)).expect("small"));
                Change::Reserve { name, reserved, reservable: 100 }
            }
            _ => Change::Tag {
                name,
                set: BTreeMap::from([(format!("k{}", self.roll(4)), self.roll(9).to_string())]),
                remove: vec![format!("k{}", self.roll(4))],
            },
        }
    }
}

/// The rules once more, written as plainly as possible and independently of the store's.
fn model(functions: &mut BTreeMap<String, FunctionRecord>, changes: &[Change]) -> bool {
    let before = functions.clone();
    let ok = changes.iter().all(|change| {
        let taken: u32 = functions
            .values()
            .filter(|it| it.name != change.name())
            .filter_map(|it| it.reserved_concurrency)
            .sum();
        let stored = functions.get_mut(change.name());
        match (change, stored) {
            (Change::Create(record), None) => {
                functions.insert(record.name.clone(), *record.clone()).is_none()
            }
            (Change::Create(_), Some(_)) | (_, None) => false,
            (Change::Replace { expected, record }, Some(stored)) => {
                let fits = stored.revision_id == *expected;
                if fits {
                    stored.revision_id.clone_from(&record.revision_id);
                }
                fits
            }
            (Change::Delete { name }, Some(_)) => functions.remove(name).is_some(),
            (Change::Reserve { reserved, .. }, Some(stored)) => {
                let before = stored.reserved_concurrency.unwrap_or(0);
                let fits = reserved.is_none_or(|asked| asked <= before || taken + asked <= 100);
                if fits {
                    stored.reserved_concurrency = *reserved;
                }
                fits
            }
            (Change::Tag { set, remove, .. }, Some(stored)) => {
                stored.tags.retain(|key, _| !remove.contains(key));
                stored.tags.extend(set.clone());
                true
            }
            (change @ (Change::Version(_) | Change::Document(_)), Some(_)) => {
                unreachable!("{change:?} is no part of these histories")
            }
        }
    });
    if !ok {
        *functions = before;
    }
    ok
}

#[tokio::test]
async fn any_history_of_commits_leaves_what_the_model_says() {
    let (_fixture, stores) = engines();
    let mut expected = BTreeMap::new();
    let mut accepted = 0;
    for seed in 0..60 {
        let mut dice = Dice(seed);
        for _ in 0..20 {
            let changes: Vec<Change> = (0..=dice.roll(3)).map(|_| dice.change()).collect();
            let fits = model(&mut expected, &changes);
            accepted += u32::from(fits);
            for (engine, store) in &stores {
                let done = store.commit(changes.clone()).await;
                assert_eq!(done.is_ok(), fits, "{engine}, seed {seed}: {changes:?}: {done:?}");
            }
        }
        for (engine, store) in &stores {
            let found = store.functions(None, SCAN_MAX).await.expect(engine);
            assert!(found.iter().eq(expected.values()), "{engine}, seed {seed}");
        }
    }
    assert!(accepted > 100, "the histories must exercise success too: {accepted}");
}

#[tokio::test]
async fn secrets_are_sealed_on_disk_bound_to_their_function_and_lost_with_another_key() {
    let fixture = Fixture::new();
    let mut it = record("f");
    it.configuration.environment = Some(BTreeMap::from([("TOKEN".into(), "correct-horse".into())]));
    fixture.store.commit(vec![Change::Create(Box::new(it.clone()))]).await.expect("creates");
    let published = Published::of(&it, 1, "v1".into(), None);
    let publish = VersionChange::Publish {
        expected: it.revision_id.clone(),
        revision_id: it.revision_id.clone(),
        published: Box::new(published),
    };
    fixture.store.commit(vec![Change::Version(publish)]).await.expect("publishes");
    assert_eq!(fixture.store.function("f").await.expect("reads"), Some(it.clone()));
    let version = fixture.store.version("f", 1).await.expect("reads").expect("is there");
    assert_eq!(version.record.configuration.environment, it.configuration.environment);
    assert!(version.is_still(&it));
    fixture.store.close().await;
    let path = fixture.scratch.path().join("hearth.db");
    for entry in std::fs::read_dir(fixture.scratch.path()).expect("lists").flatten() {
        if entry.file_type().expect("has one").is_file() {
            let bytes = std::fs::read(entry.path()).expect("reads");
            let found = bytes.windows(13).any(|part| part == b"correct-horse");
            assert!(!found, "{:?} has the secret in the clear", entry.path());
        }
    }
    let other = Store::open(&path, Sealer::new(&[8; 32])).expect("opens");
    let unreadable = other.function("f").await.expect("reads").expect("is there").configuration;
    assert_eq!(unreadable.environment, None);
    assert!(unreadable.sealed_environment.is_some(), "what cannot be opened is kept");
}

#[tokio::test]
async fn what_an_earlier_release_stored_in_the_clear_is_read_and_sealed_without_a_trace() {
    const FUNCTIONS: usize = 300;
    let fixture = Fixture::new();
    let created = (0..FUNCTIONS).map(|at| Change::Create(Box::new(record(&format!("f{at}"))))).collect();
    fixture.store.commit(created).await.expect("creates");
    let it = record("f7");
    let publish = VersionChange::Publish {
        expected: it.revision_id.clone(),
        revision_id: it.revision_id.clone(),
        published: Box::new(Published::of(&it, 1, "v1".into(), None)),
    };
    fixture.store.commit(vec![Change::Version(publish)]).await.expect("publishes");
    fixture.store.close().await;
    let path = fixture.scratch.path().join("hearth.db");
    let direct = rusqlite::Connection::open(&path).expect("opens");
    let set =
        "SET configuration = json_set(configuration, '$.environment', json('{\"A\":\"in-the-clear\"}'))";
    assert_eq!(direct.execute(&format!("UPDATE functions {set}"), []).expect("writes"), FUNCTIONS);
    assert_eq!(direct.execute(&format!("UPDATE versions {set}"), []).expect("writes"), 1);
    // Their pages become free ones, with what was on them.
    direct
        .execute_batch("DELETE FROM functions WHERE name LIKE 'f1%'; PRAGMA user_version = 4;")
        .expect("deletes");
    drop(direct);
    assert!(holds(&fixture, b"in-the-clear"), "there is something to seal");
    let expected = Some(BTreeMap::from([("A".into(), "in-the-clear".into())]));
    for _ in 0..2 {
        let store = Store::open(&path, sealer()).expect("opens");
        let found = store.functions(None, SCAN_MAX).await.expect("reads");
        assert_eq!(found.len(), FUNCTIONS - 111);
        assert!(found.iter().all(|found| found.configuration.environment == expected));
        let version = store.version("f7", 1).await.expect("reads").expect("is there");
        assert_eq!(version.record.configuration.environment, expected);
        assert!(!holds(&fixture, b"in-the-clear"), "also while it is open");
        store.close().await;
        assert!(!holds(&fixture, b"in-the-clear"));
    }
}

/// Whether a file of the directory has these bytes.
fn holds(fixture: &Fixture, text: &[u8]) -> bool {
    let files = std::fs::read_dir(fixture.scratch.path()).expect("lists").flatten();
    files
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .any(|entry| std::fs::read(entry.path()).expect("reads").windows(text.len()).any(|part| part == text))
}
