//! Which revision serves, and what the scheduler hears of it.

use super::*;
use crate::runtimes::Missing;
use crate::store::VersionChange;
use crate::store::tests::{Fixture, record};
use tokio::sync::mpsc;

pub(super) fn functions(fixture: &Fixture, cached_max: usize) -> (Functions, mpsc::Receiver<Order>) {
    let runtimes = Arc::new(Runtimes::new(&[], &BTreeMap::new(), Missing::Refuse));
    let (scheduler, inbox) = SchedulerHandle::new();
    let home = Home::new("us-east-1".to_owned(), "000000000000".to_owned());
    let mut functions = Functions::new(fixture.store.clone(), runtimes, scheduler, home);
    functions.cached = RwLock::new(Cached::bounded(cached_max));
    (functions, inbox)
}

pub(super) fn native(name: &str, reserved: Option<u32>) -> FunctionRecord {
    let mut record = record(name);
    record.configuration.runtime = Some("provided.al2023".to_owned());
    record.reserved_concurrency = reserved;
    record
}

pub(super) fn told(inbox: &mut mpsc::Receiver<Order>) -> Vec<String> {
    let mut told = Vec::new();
    while let Ok(order) = inbox.try_recv() {
        told.push(match order {
            Order::Function { function, reserved, idle_timeout: None } => {
                format!("function {} {reserved:?}", function.0)
            }
            Order::Function { function, idle_timeout, .. } => {
                format!("function {} idles {idle_timeout:?}", function.0)
            }
            Order::FunctionGone(function) => format!("gone {}", function.0),
            Order::Retire(_) => "retire".to_owned(),
            Order::Provision { provisioned, parts, .. } => {
                let parts: Vec<String> =
                    parts.iter().map(|(revision, wanted)| format!("{} {wanted}", revision.version)).collect();
                format!("provision {} [{}]", provisioned.0, parts.join(", "))
            }
            _ => "other".to_owned(),
        });
    }
    told
}

#[tokio::test]
async fn a_function_that_was_never_invoked_is_not_kept_in_memory() {
    let fixture = Fixture::new();
    let (functions, mut inbox) = functions(&fixture, 10);
    functions.settled(&native("a", None)).await.expect("settles");
    assert!(functions.cached("a", Version::Latest).is_none() && told(&mut inbox).is_empty());
    functions.settled(&native("b", Some(5))).await.expect("settles");
    assert_eq!(told(&mut inbox), ["function 1 Some(5)"], "a reservation holds before the first call");
    functions.admit(&native("c", None)).expect("admits");
    let mut changed = native("c", None);
    changed.revision_id = "c-2".to_owned();
    functions.settled(&changed).await.expect("settles");
    let stored = |name| functions.read().get(name)?.latest.as_ref().map(|latest| latest.stored.clone());
    assert_eq!(stored("c").as_deref(), Some("c-2"));
    // Publishing changes the stored revision, and nothing that runs.
    let before = functions.cached("c", Version::Latest).expect("kept").id;
    functions.published("c", "c-1", "other");
    assert_eq!(stored("c").as_deref(), Some("c-2"), "of another revision");
    functions.published("c", "c-2", "c-3");
    changed.revision_id = "c-3".to_owned();
    assert_eq!(functions.admit(&changed).expect("admits").id, before);
}

#[tokio::test]
async fn an_idle_time_out_of_ones_own_is_told_with_every_setting() {
    let fixture = Fixture::new();
    let (functions, mut inbox) = functions(&fixture, 10);
    let own = BTreeMap::from([("a".to_owned(), Duration::from_secs(7))]);
    let functions = functions.with_idle_timeouts(own);
    functions.admit(&native("a", None)).expect("admits");
    functions.admit(&native("b", None)).expect("admits");
    functions.reserve("a", Some(3));
    assert_eq!(
        told(&mut inbox),
        ["function 1 idles Some(7s)", "function 3 None", "function 1 idles Some(7s)"]
    );
}

#[tokio::test]
async fn a_revision_that_was_replaced_or_deleted_knows_it() {
    let fixture = Fixture::new();
    let (functions, _inbox) = functions(&fixture, 10);
    let before = functions.admit(&native("f", None)).expect("admits");
    let mut changed = native("f", None);
    changed.revision_id = "f-2".to_owned();
    let after = functions.admit(&changed).expect("admits");
    assert!(before.is_retired() && !after.is_retired());
    functions.forget("f");
    assert!(after.is_retired());
}

#[tokio::test]
async fn the_scheduler_hears_of_functions_that_leave_memory_and_reservations_stay() {
    let fixture = Fixture::new();
    let (functions, mut inbox) = functions(&fixture, 3);
    functions.admit(&native("a-reserves", Some(7))).expect("admits");
    let running = functions.admit(&native("b-runs", None)).expect("admits");
    functions.admit(&native("c-idle", None)).expect("admits");
    told(&mut inbox);
    let gone = functions.cached("c-idle", Version::Latest).expect("there").function;
    functions.admit(&native("d", None)).expect("admits");
    let said = told(&mut inbox);
    assert_eq!(said[..2], ["retire".to_owned(), format!("gone {}", gone.0)], "{said:?}");
    let kept: Vec<bool> = ["a-reserves", "b-runs", "c-idle", "d"]
        .map(|name| functions.cached(name, Version::Latest).is_some())
        .into();
    assert_eq!(kept, [true, true, false, true]);
    // Its reservation gone, the first one may leave as well.
    functions.reserve("a-reserves", None);
    functions.admit(&native("e", None)).expect("admits");
    assert!(functions.cached("a-reserves", Version::Latest).is_none());
    drop(running);
}
fn numbered(name: &str, number: u64, reserved: Option<u32>) -> FunctionRecord {
    let mut record = native(name, reserved);
    record.version = number.to_string();
    record
}

#[tokio::test]
async fn all_versions_are_one_function_to_the_scheduler_and_go_together() {
    let fixture = Fixture::new();
    let (functions, mut inbox) = functions(&fixture, 10);
    let one = functions.admit(&numbered("f", 1, Some(3))).expect("admits");
    let latest = functions.admit(&native("f", Some(3))).expect("admits");
    assert!(one.function == latest.function && one.id != latest.id);
    assert_eq!(told(&mut inbox), ["function 1 Some(3)", "function 1 Some(3)"]);
    let mut settled = numbered("f", 1, Some(3));
    settled.revision_id = "later".to_owned();
    assert_eq!(functions.admit(&settled).expect("admits").id, one.id, "a version never changes");
    functions.forget_version("f", 1);
    functions.forget_version("f", 2);
    assert_eq!(told(&mut inbox), ["retire"]);
    functions.admit(&numbered("f", 3, Some(3))).expect("admits");
    told(&mut inbox);
    functions.forget("f");
    assert_eq!(told(&mut inbox), ["retire", "retire", "gone 1"]);
}

#[tokio::test]
async fn what_was_before_serves_while_an_update_is_made_and_after_it_failed() {
    let fixture = Fixture::new();
    let (functions, _inbox) = functions(&fixture, 10);
    let before = functions.admit(&native("f", None)).expect("admits").id;
    let mut next = native("f", None);
    next.revision_id = "f-2".to_owned();
    for kind in [UpdateKind::InProgress, UpdateKind::Failed] {
        next.last_update = crate::store::UpdateStatus::of(kind);
        assert_eq!(functions.admit(&next).expect("admits").id, before);
    }
    next.last_update = crate::store::UpdateStatus::of(UpdateKind::Successful);
    assert_ne!(functions.admit(&next).expect("admits").id, before);
}

#[tokio::test]
async fn an_alias_is_followed_from_the_disk_then_from_memory_and_where_it_was_moved() {
    let fixture = Fixture::new();
    let (functions, _inbox) = functions(&fixture, 10);
    let store = &fixture.store;
    let latest = native("f", None);
    let mut alias = Alias {
        function: "f".to_owned(),
        name: "live".to_owned(),
        version: Version::Number(1),
        additional: Some((2, 0.5)),
        description: String::new(),
        revision_id: "a".to_owned(),
    };
    let published = |number: u64, expected: &str, after: &str| {
        let (expected, revision_id) = (expected.to_owned(), after.to_owned());
        let published = Box::new(crate::store::Published::of(&latest, number, format!("v{number}"), None));
        Change::Version(VersionChange::Publish { expected, revision_id, published })
    };
    let changes = vec![
        Change::Create(Box::new(latest.clone())),
        published(1, "f-1", "f-2"),
        published(2, "f-2", "f-3"),
        Change::Version(VersionChange::CreateAlias(Box::new(alias.clone()))),
    ];
    store.commit(changes).await.expect("commits");
    let serving = async |draw: u64| match functions.serving("f", Some("live"), || draw).await {
        Ok(serving) => serving.revision.version.clone(),
        Err(error) => format!("{error:?}"),
    };
    for _ in 0..3 {
        assert_eq!([serving(u64::MAX).await, serving(0).await], ["1", "2"]);
    }
    assert!(functions.read().get("f").is_some_and(|entry| entry.aliases.contains_key("live")));
    alias.additional = None;
    functions.reroute(&alias);
    assert_eq!([serving(u64::MAX).await, serving(0).await], ["1", "1"]);
    functions.forget_alias("f", "live");
    assert_eq!(serving(0).await, "2", "it is on disk still");
    let missing = functions.serving("f", Some("other"), || 0).await;
    assert!(matches!(missing, Err(Unavailable::Missing)));
}

#[tokio::test]
async fn what_can_be_run_keeps_its_packages_from_the_collector_until_it_is_let_go_of() {
    use crate::store::Users as _;
    use hearth_sandbox::Digest;
    let fixture = Fixture::new();
    let (functions, _inbox) = functions(&fixture, 10);
    let [code, one, two, next] = [1, 2, 3, 4].map(|number| Digest([number; 32]));
    let mut record = native("a", None);
    record.code.digest = code;
    let layer = |digest| crate::store::Layer { arn: String::new(), digest, size: 1 };
    record.configuration.layers = [one, two].map(layer).to_vec();
    let merged = crate::store::tree_of(&[one, two]).expect("layers");
    let unused = |digest: &Digest| functions.uses().unless_used(digest, &mut || Ok(true)).is_some();
    let found = functions.admit(&record).expect("admits");
    assert_eq!([code, one, two, merged].map(|digest| unused(&digest)), [false; 4]);
    record.code.digest = next;
    record.configuration.layers.clear();
    record.revision_id = "a-2".to_owned();
    functions.admit(&record).expect("admits");
    assert_eq!([code, merged, next].map(|digest| unused(&digest)), [false; 3], "somebody has it still");
    drop(found);
    assert_eq!([code, one, two, merged].map(|digest| unused(&digest)), [true; 4]);
    assert!(!unused(&next));
}
