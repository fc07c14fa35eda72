//! Versions and aliases on both engines, and random histories in which the durable engine follows the reference.

use super::{Fixture, Scratch, record, sealer};
use crate::store::blobs::digest_of;
use crate::store::catalog::{SCAN_MAX, Usage};
use crate::store::memory::MemoryStore;
use crate::store::{
    Alias, Change, CommitError, FunctionRecord, Published, State, StateKind, Store, UpdateKind, UpdateStatus,
    Version, VersionChange, VersionError,
};
use proptest::prelude::*;

fn engines() -> (Fixture, Vec<(&'static str, Store)>) {
    let fixture = Fixture::new();
    let stores = vec![("memory", Store::Memory(MemoryStore::default())), ("sqlite", fixture.store.clone())];
    (fixture, stores)
}

fn create(name: &str) -> Change {
    Change::Create(Box::new(record(name)))
}

/// Publishing `latest` under `number`; its revision becomes `after`.
fn publish(latest: &FunctionRecord, number: u64, after: &str) -> Change {
    Change::Version(VersionChange::Publish {
        expected: latest.revision_id.clone(),
        revision_id: after.into(),
        published: Box::new(Published::of(latest, number, format!("v{number}"), None)),
    })
}

fn remove(number: u64) -> Change {
    Change::Version(VersionChange::Remove { function: "f".into(), number })
}

fn alias(name: &str, version: Version, additional: Option<(u64, f64)>) -> Alias {
    Alias {
        function: "f".into(),
        name: name.into(),
        version,
        additional,
        description: "ä".into(),
        revision_id: format!("{name}-1"),
    }
}

fn name_it(alias: Alias) -> Change {
    Change::Version(VersionChange::CreateAlias(Box::new(alias)))
}

async fn latest(store: &Store) -> FunctionRecord {
    store.function("f").await.expect("reads").expect("there")
}

/// `f` with versions 1 and 2.
async fn two_versions(store: &Store) {
    store.commit(vec![create("f")]).await.expect("creates");
    for number in [1, 2] {
        let change = publish(&latest(store).await, number, &format!("f-{}", number + 1));
        store.commit(vec![change]).await.expect("publishes");
    }
}

#[tokio::test]
async fn a_version_is_read_back_with_what_is_its_functions() {
    let (_fixture, stores) = engines();
    for (engine, store) in stores {
        let mut it = record("f");
        it.configuration.description = "own".into();
        let tag = Change::Tag { name: "f".into(), set: [("a".into(), "1".into())].into(), remove: vec![] };
        let reserve = Change::Reserve { name: "f".into(), reserved: Some(5), reservable: 10 };
        store
            .commit(vec![Change::Create(Box::new(it.clone())), publish(&it, 1, "f-2"), tag, reserve])
            .await
            .expect(engine);
        let mut expected = Published::of(&it, 1, "v1".into(), None);
        expected.record.tags = [("a".into(), "1".into())].into();
        expected.record.reserved_concurrency = Some(5);
        assert_eq!(store.version("f", 1).await.expect(engine), Some(expected), "{engine}");
        assert_eq!(latest(&store).await.revision_id, "f-2", "{engine}");
        assert_eq!(store.last_number("f").await.expect(engine), 1, "{engine}");
        for (name, number) in [("f", 2), ("g", 1), ("f", u64::MAX)] {
            assert_eq!(store.version(name, number).await.expect(engine), None, "{engine}");
        }
    }
}

#[tokio::test]
async fn only_the_next_number_of_the_stored_revision_is_published() {
    let (_fixture, stores) = engines();
    for (engine, store) in stores {
        two_versions(&store).await;
        let now = latest(&store).await;
        for number in [1, 2, 4] {
            let error = store.commit(vec![publish(&now, number, "x")]).await.expect_err(engine);
            let expected = VersionError::NotNext { function: "f".into(), number };
            assert_eq!(error, CommitError::Version(expected), "{engine}");
        }
        let error = store.commit(vec![publish(&record("f"), 3, "x")]).await.expect_err(engine);
        assert!(matches!(error, CommitError::Stale { .. }), "{engine}: {error}");
        let error = store.commit(vec![publish(&record("g"), 1, "x")]).await.expect_err(engine);
        assert_eq!(error, CommitError::Missing { name: "g".into() }, "{engine}");
    }
}

#[tokio::test]
async fn numbers_are_not_given_again_after_deletion() {
    let (_fixture, stores) = engines();
    for (engine, store) in stores {
        two_versions(&store).await;
        store.commit(vec![remove(2)]).await.expect(engine);
        let now = latest(&store).await;
        store.commit(vec![publish(&now, 2, "x")]).await.expect_err(engine);
        store.commit(vec![publish(&now, 3, "x"), Change::Delete { name: "f".into() }]).await.expect(engine);
        assert_eq!(store.versions("f", 0, 9).await.expect(engine), [], "{engine}");
        store.commit(vec![create("f")]).await.expect(engine);
        assert_eq!(store.last_number("f").await.expect(engine), 3, "{engine}");
        assert_eq!(store.versions("f", 0, 9).await.expect(engine), [], "{engine}");
        store.commit(vec![publish(&record("f"), 4, "x")]).await.expect(engine);
    }
}

#[tokio::test]
async fn settling_changes_the_state_of_a_version_and_nothing_else() {
    let (_fixture, stores) = engines();
    for (engine, store) in stores {
        two_versions(&store).await;
        let settle = |number| {
            Change::Version(VersionChange::Settle {
                function: "f".into(),
                number,
                revision_id: "settled".into(),
                state: State::because(StateKind::Failed, "InternalError", "…"),
                last_update: UpdateStatus::of(UpdateKind::Failed),
            })
        };
        let mut expected = store.version("f", 1).await.expect(engine).expect(engine);
        store.commit(vec![settle(1)]).await.expect(engine);
        expected.record.revision_id = "settled".into();
        expected.record.state = State::because(StateKind::Failed, "InternalError", "…");
        expected.record.last_update = UpdateStatus::of(UpdateKind::Failed);
        assert_eq!(store.version("f", 1).await.expect(engine), Some(expected), "{engine}");
        assert_eq!(store.last_number("f").await.expect(engine), 2, "{engine}");
        let error = store.commit(vec![settle(7)]).await.expect_err(engine);
        assert_eq!(error, VersionError::Missing { function: "f".into(), number: 7 }.into(), "{engine}");
    }
}

#[tokio::test]
async fn a_version_that_an_alias_names_cannot_be_deleted() {
    let (_fixture, stores) = engines();
    for (engine, store) in stores {
        two_versions(&store).await;
        let both = alias("both", Version::Number(1), Some((2, 0.03)));
        store
            .commit(vec![name_it(both.clone()), name_it(alias("a", Version::Number(2), None))])
            .await
            .expect(engine);
        assert_eq!(store.alias("f", "both").await.expect(engine), Some(both), "{engine}");
        let in_use = |number, aliases: &[&str]| {
            let aliases = aliases.iter().map(|it| (*it).to_owned()).collect();
            CommitError::Version(VersionError::InUse { function: "f".into(), number, aliases })
        };
        assert_eq!(store.commit(vec![remove(1)]).await.expect_err(engine), in_use(1, &["both"]), "{engine}");
        assert_eq!(
            store.commit(vec![remove(2)]).await.expect_err(engine),
            in_use(2, &["a", "both"]),
            "{engine}"
        );
        let unname = |alias: &str| {
            Change::Version(VersionChange::RemoveAlias { function: "f".into(), alias: alias.into() })
        };
        store.commit(vec![unname("both"), unname("both"), remove(1), remove(1)]).await.expect(engine);
        assert_eq!(store.version("f", 1).await.expect(engine), None, "{engine}");
    }
}

#[tokio::test]
async fn an_alias_names_only_what_exists_and_is_changed_by_its_revision() {
    let (_fixture, stores) = engines();
    for (engine, store) in stores {
        two_versions(&store).await;
        for (version, additional) in [(Version::Number(3), None), (Version::Number(1), Some((3, 0.5)))] {
            let error = store.commit(vec![name_it(alias("a", version, additional))]).await.expect_err(engine);
            assert_eq!(error, VersionError::Missing { function: "f".into(), number: 3 }.into(), "{engine}");
        }
        let first = alias("a", Version::Latest, None);
        let update = |expected: &str, alias: &Alias| {
            let alias = Box::new(alias.clone());
            vec![Change::Version(VersionChange::UpdateAlias { expected: expected.into(), alias })]
        };
        let missing = VersionError::AliasMissing { function: "f".into(), alias: "a".into() };
        assert_eq!(store.commit(update("a-1", &first)).await.expect_err(engine), missing.into(), "{engine}");
        store.commit(vec![name_it(first.clone())]).await.expect(engine);
        let exists = VersionError::AliasExists { function: "f".into(), alias: "a".into() };
        assert_eq!(store.commit(vec![name_it(first)]).await.expect_err(engine), exists.into(), "{engine}");
        let mut next = alias("a", Version::Number(2), Some((1, 1.0)));
        next.revision_id = "a-2".into();
        let error = store.commit(update("a-0", &next)).await.expect_err(engine);
        assert!(matches!(error, CommitError::Stale { .. }), "{engine}: {error}");
        store.commit(update("a-1", &next)).await.expect(engine);
        assert_eq!(store.alias("f", "a").await.expect(engine), Some(next), "{engine}");
        store.commit(vec![Change::Delete { name: "f".into() }, create("f")]).await.expect(engine);
        assert_eq!(store.alias("f", "a").await.expect(engine), None, "{engine}");
    }
}

#[tokio::test]
async fn lists_come_in_order_after_the_marker_up_to_the_limit() {
    let (_fixture, stores) = engines();
    for (engine, store) in stores {
        two_versions(&store).await;
        store.commit(vec![create("f-g"), create("a"), publish(&record("a"), 1, "x")]).await.expect(engine);
        let all = async |after, limit| -> Vec<String> {
            let found = store.all_versions(after, limit).await.expect(engine);
            found.into_iter().map(|it| format!("{}:{}", it.name, it.version)).collect()
        };
        let expected = ["a:$LATEST", "a:1", "f:$LATEST", "f:1", "f:2", "f-g:$LATEST"];
        assert_eq!(all(("", 0), SCAN_MAX).await, expected, "{engine}");
        assert_eq!(all(("f", 0), 2).await, ["f:1", "f:2"], "{engine}");
        assert_eq!(all(("f", 1), 9).await, ["f:2", "f-g:$LATEST"], "{engine}");
        let numbers = store.versions("f", 1, 9).await.expect(engine);
        assert_eq!(numbers.iter().map(|it| it.version.as_str()).collect::<Vec<_>>(), ["2"], "{engine}");
        for (name, version, additional) in [
            ("c", Version::Number(1), None),
            ("a", Version::Latest, None),
            ("b", Version::Number(2), Some((1, 0.5))),
        ] {
            store.commit(vec![name_it(alias(name, version, additional))]).await.expect(engine);
        }
        let names = async |after, of, limit| -> Vec<String> {
            store.aliases("f", after, of, limit).await.expect(engine).into_iter().map(|it| it.name).collect()
        };
        assert_eq!(names("", None, 9).await, ["a", "b", "c"], "{engine}");
        assert_eq!(names("a", None, 1).await, ["b"], "{engine}");
        assert_eq!(names("", Some(Version::Number(1)), 9).await, ["b", "c"], "{engine}");
        assert_eq!(names("", Some(Version::Latest), 9).await, ["a"], "{engine}");
    }
}

#[tokio::test]
async fn code_of_a_version_is_kept_and_counted() {
    let (_fixture, stores) = engines();
    for (engine, store) in stores {
        two_versions(&store).await;
        let mut next = latest(&store).await;
        let old = next.code;
        next.code.digest = digest_of(b"next");
        let expected = next.revision_id.clone();
        store.commit(vec![Change::Replace { expected, record: Box::new(next.clone()) }]).await.expect(engine);
        assert!(store.refers_to(&old.digest).expect(engine), "{engine}");
        assert_eq!(store.usage().await.expect(engine).code_bytes, next.code.size + 2 * old.size, "{engine}");
        assert_eq!(store.usage().await.expect(engine).functions, 1, "{engine}");
        store.commit(vec![remove(1), remove(2)]).await.expect(engine);
        assert!(!store.refers_to(&old.digest).expect(engine), "{engine}");
    }
}

/// The tables as the first release wrote them; never to be changed.
const FIRST_SCHEMA: &str = "CREATE TABLE functions (
        name TEXT PRIMARY KEY NOT NULL, version TEXT NOT NULL, revision_id TEXT NOT NULL, code_sha256 BLOB NOT NULL,
        code_size INTEGER NOT NULL, state TEXT NOT NULL, last_update TEXT NOT NULL, reserved INTEGER, tags TEXT NOT NULL,
        created_ms INTEGER NOT NULL, last_modified_ms INTEGER NOT NULL, configuration TEXT NOT NULL) WITHOUT ROWID;
    CREATE INDEX functions_by_code ON functions (code_sha256);
    CREATE INDEX functions_reserved ON functions (reserved) WHERE reserved IS NOT NULL;
    INSERT INTO functions VALUES ('f', '$LATEST', 'f-1',
        x'252f10c83610ebca1a059c0bae8255eba2f95be4d1d7bcfa89d7248a82d9f111', 1, '{\"kind\":\"Active\"}',
        '{\"kind\":\"Successful\"}', 3, '{\"a\":\"1\"}', 1, 2,
        '{\"role\":\"r\",\"timeout_s\":9,\"memory_mb\":256,\"logging\":{\"format\":\"Text\"}}');
    PRAGMA user_version = 1;";

#[tokio::test]
async fn a_catalog_of_the_first_release_opens_with_its_functions_and_can_publish() {
    let scratch = Scratch::new();
    let path = scratch.path().join("hearth.db");
    let old = rusqlite::Connection::open(&path).expect("opens");
    old.pragma_update(None, "journal_mode", "WAL").expect("sets");
    old.execute_batch(FIRST_SCHEMA).expect("makes");
    drop(old);
    for _ in 0..2 {
        let store = Store::open(&path, sealer()).expect("opens");
        let found = latest(&store).await;
        assert_eq!((found.configuration.timeout_s, found.configuration.memory_mb), (9, 256));
        assert_eq!((found.reserved_concurrency, found.tags.len()), (Some(3), 1));
        let number_of_versions = store.last_number("f").await.expect("reads");
        let usage = Usage { functions: 1, code_bytes: 1 + number_of_versions, reserved: 3 };
        assert_eq!(store.usage().await.expect("reads"), usage);
        let number = store.last_number("f").await.expect("reads") + 1;
        store.commit(vec![publish(&found, number, &format!("next-{number}"))]).await.expect("publishes");
        assert_eq!(store.versions("f", 0, 9).await.expect("reads").len() as u64, number);
        store.close().await;
    }
}

/// A step of a random history. Numbers are small, so that steps meet.
#[derive(Clone, Debug)]
enum Step {
    Create,
    Update { timeout: u32 },
    Publish { off: u64 },
    Settle { number: u64 },
    Remove { number: u64 },
    PutAlias { name: u8, version: u64, additional: Option<u64>, replaces: bool },
    RemoveAlias { name: u8 },
    Reserve { reserved: Option<u32> },
    Tag,
    Delete,
}

fn step() -> impl Strategy<Value = (u8, Step)> {
    let number = 0..6_u64;
    let steps = prop_oneof![
        2 => Just(Step::Create),
        2 => (1..4_u32).prop_map(|timeout| Step::Update { timeout }),
        6 => prop_oneof![9 => Just(1), 1 => 0..3_u64].prop_map(|off| Step::Publish { off }),
        1 => number.clone().prop_map(|number| Step::Settle { number }),
        3 => number.clone().prop_map(|number| Step::Remove { number }),
        4 => (0..3_u8, number.clone(), proptest::option::of(number), any::<bool>()).prop_map(
            |(name, version, additional, replaces)| Step::PutAlias { name, version, additional, replaces }
        ),
        2 => (0..3_u8).prop_map(|name| Step::RemoveAlias { name }),
        1 => proptest::option::of(0..600_u32).prop_map(|reserved| Step::Reserve { reserved }),
        1 => Just(Step::Tag),
        1 => Just(Step::Delete),
    ];
    (0..2_u8, steps)
}

/// The change that a step comes to in the reference's present state; `at` makes revisions unique.
async fn change(store: &Store, function: u8, step: &Step, at: usize) -> Change {
    let function = format!("f{function}");
    let stored = store.function(&function).await.expect("reads").unwrap_or_else(|| record(&function));
    let revision_id = format!("r{at}");
    let version = |change| Change::Version(change);
    match step.clone() {
        Step::Create => create(&function),
        Step::Update { timeout } => {
            let mut next = stored.clone();
            next.revision_id = revision_id;
            next.configuration.timeout_s = timeout;
            next.code.size = u64::from(timeout) * 1000;
            Change::Replace { expected: stored.revision_id, record: Box::new(next) }
        }
        Step::Publish { off } => {
            let number = store.last_number(&function).await.expect("reads") + off;
            let published = Box::new(Published::of(&stored, number, format!("v{at}"), None));
            version(VersionChange::Publish { expected: stored.revision_id, revision_id, published })
        }
        Step::Settle { number } => version(VersionChange::Settle {
            function,
            number,
            revision_id,
            state: State::active(),
            last_update: UpdateStatus::of(UpdateKind::Successful),
        }),
        Step::Remove { number } => version(VersionChange::Remove { function, number }),
        Step::PutAlias { name, version: number, additional, replaces } => {
            let name = format!("a{name}");
            let stored = store.alias(&function, &name).await.expect("reads");
            let alias = Box::new(Alias {
                function,
                name,
                version: if number == 0 { Version::Latest } else { Version::Number(number) },
                additional: additional.map(|number| (number, 0.25)),
                description: String::new(),
                revision_id,
            });
            let expected = stored.map_or_else(|| "none".to_owned(), |stored| stored.revision_id);
            version(if replaces {
                VersionChange::UpdateAlias { expected, alias }
            } else {
                VersionChange::CreateAlias(alias)
            })
        }
        Step::RemoveAlias { name } => {
            version(VersionChange::RemoveAlias { function, alias: format!("a{name}") })
        }
        Step::Reserve { reserved } => Change::Reserve { name: function, reserved, reservable: 900 },
        Step::Tag => Change::Tag {
            name: function,
            set: [(format!("k{}", at % 3), String::new())].into(),
            remove: vec![],
        },
        Step::Delete => Change::Delete { name: function },
    }
}

/// All that can be read: records, aliases, last numbers, versions by number.
type Everything = (Vec<FunctionRecord>, Vec<Alias>, Vec<u64>, Vec<Option<Published>>);

async fn everything(store: &Store) -> Everything {
    let all = store.all_versions(("", 0), SCAN_MAX).await.expect("reads");
    let (mut aliases, mut numbers, mut versions) = (Vec::new(), Vec::new(), Vec::new());
    for function in ["f0", "f1"] {
        aliases.extend(store.aliases(function, "", None, SCAN_MAX).await.expect("reads"));
        numbers.push(store.last_number(function).await.expect("reads"));
        for number in 0..6 {
            versions.push(store.version(function, number).await.expect("reads"));
        }
    }
    (all, aliases, numbers, versions)
}

/// What holds after every commit, whatever came before.
fn check_laws((all, aliases, numbers, _): &Everything) {
    for alias in aliases {
        let named = [Some(alias.version), alias.additional.map(|(number, _)| Version::Number(number))];
        for version in named.into_iter().flatten().map(|version| version.to_string()) {
            let exists = all.iter().any(|it| it.name == alias.function && it.version == version);
            assert!(exists, "{alias:?} leads nowhere");
        }
    }
    for (function, last) in ["f0", "f1"].iter().zip(numbers) {
        let highest = all
            .iter()
            .filter(|it| it.name == *function)
            .filter_map(|it| it.version.parse::<u64>().ok())
            .max();
        assert!(highest.unwrap_or(0) <= *last);
        let is_there = all.iter().any(|it| it.name == *function && it.version == "$LATEST");
        assert!(is_there || highest.is_none(), "a version without its function");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn in_any_history_both_engines_agree_and_aliases_lead_somewhere(
        history in proptest::collection::vec(proptest::collection::vec(step(), 1..3), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("builds");
        runtime.block_on(async {
            let fixture = Fixture::new();
            let reference = Store::Memory(MemoryStore::default());
            for (at, steps) in history.iter().enumerate() {
                let mut changes = Vec::new();
                for (function, step) in steps {
                    changes.push(change(&reference, *function, step, at).await);
                }
                let numbers_before = everything(&reference).await.2;
                let expected = reference.commit(changes.clone()).await;
                let found = fixture.store.commit(changes.clone()).await;
                assert_eq!(found, expected, "{changes:?}");
                let state = everything(&reference).await;
                check_laws(&state);
                assert!(state.2.iter().zip(&numbers_before).all(|(now, before)| now >= before));
                assert_eq!(everything(&fixture.store).await, state, "{changes:?}");
                let usage = reference.usage().await.expect("adds up");
                assert_eq!(fixture.store.usage().await.expect("reads"), usage, "{changes:?}");
                let (one, other) = (fixture.store.usage().await, reference.usage().await);
                assert_eq!(one.expect("reads"), other.expect("reads"));
            }
        });
    }
}
