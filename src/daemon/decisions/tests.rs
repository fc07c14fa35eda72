//! The ring as readers find it.

use super::*;
use crate::runtimes::Served;
use hearth_logic::scheduler::{StartType, WaitedFor, Why};
use hearth_logic::{EnvironmentId, FunctionId, RevisionId};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU32;

pub(in crate::daemon) fn revision(name: &str) -> Revision {
    Revision {
        id: RevisionId(1),
        function: FunctionId(1),
        name: name.to_owned(),
        version: "3".to_owned(),
        label: Arc::new(Label { function: name.to_owned(), version: "3".to_owned() }),
        arn: format!("arn:aws:lambda:us-east-1:000000000000:function:{name}"),
        code: hearth_sandbox::Digest([0; 32]),
        layers: Vec::new(),
        image: None,
        runtime: String::new(),
        served: Served::image(),
        handler: String::new(),
        memory_mb: 128,
        tmp_mb: 512,
        timeout: Duration::from_secs(3),
        variables: BTreeMap::new(),
        log_group: "g".into(),
        json_log_level: None,
        system_log: None,
        runtime_version: String::new(),
        runtime_version_arn: String::new(),
        region: String::new(),
        role: String::new(),
        finishing: AtomicU32::new(0),
        door: crate::daemon::doors::Door::default(),
        held: Vec::new(),
        retired: std::sync::atomic::AtomicBool::new(false),
    }
}

fn request(number: u64) -> RequestId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    RequestId::from_bytes(bytes)
}

fn open(decisions: &Decisions, revision: &Revision, number: u64, qualifier: &str) {
    decisions.open(&Arrival {
        id: InvocationId(number),
        request_id: request(number),
        revision,
        invoked_arn: &format!("{}{qualifier}", revision.arn),
        since: Time::from_nanos(number * 1_000_000),
        at: WallTime::from_millis(number),
    });
}

fn cold(evicted: &[u64]) -> Decision {
    Decision {
        start: StartType::Cold,
        spilled_over: false,
        waited: Duration::from_micros(1_500),
        waited_for: Some(WaitedFor::Initialization),
        evicted: evicted.iter().map(|id| EnvironmentId(*id)).collect(),
    }
}

#[test]
fn a_record_follows_its_invocation_to_the_end() {
    let (decisions, revision) = (Decisions::default(), revision("f"));
    open(&decisions, &revision, 1, ":live");
    let at_first = decisions.find(request(1)).expect("is held").json();
    assert_eq!((&at_first["outcome"], &at_first["start"]), (&"waiting".into(), &serde_json::Value::Null));
    let decision = cold(&[4]);
    let evicted = vec![Evicted { environment: EnvironmentId(4), label: Some(Arc::clone(&revision.label)) }];
    let cause = Some(ColdCause::Gone(Why::IdleTimeout));
    decisions.assigned(InvocationId(1), Assignment { decision: &decision, cause, others: 0, evicted });
    let place = Place { environment: EnvironmentId(9), group: "g".into(), stream: "s".into() };
    decisions.begun(InvocationId(1), &Arc::new(place));
    let ended = Ended {
        status: Status::Error { error_type: Some("Runtime.ExitError") },
        is_own_error: false,
        duration: Duration::from_millis(20),
        init: Some(Duration::from_millis(300)),
        at: Time::from_nanos(31_000_000),
    };
    decisions.ended(InvocationId(1), &ended);
    decisions.failed(InvocationId(1), "too late to matter", Time::from_nanos(99_000_000));
    let told = decisions.find(request(1)).expect("is held").json();
    for (member, expected) in [
        ("function", serde_json::json!("f")),
        ("version", "3".into()),
        ("qualifier", "live".into()),
        ("outcome", "runtime-error".into()),
        ("error", "Runtime.ExitError".into()),
        ("start", "cold".into()),
        ("cold_because", "gone".into()),
        ("last_ended_by", "idle-timeout".into()),
        ("waited_ms", 1.5.into()),
        ("waited_for", "initialization".into()),
        ("evicted", serde_json::json!([{ "environment": 4, "function": "f" }])),
        ("environment", 9.into()),
        ("log_stream", "s".into()),
        ("init_ms", 300.0.into()),
        ("duration_ms", 20.0.into()),
        ("total_ms", 30.0.into()),
        ("throttled_by", serde_json::Value::Null),
    ] {
        assert_eq!(told[member], expected, "{member} of {told:#}");
    }
}

#[test]
fn a_refusal_says_by_which_limit_and_how_much_of_it_was_used() {
    let (decisions, revision) = (Decisions::default(), revision("f"));
    open(&decisions, &revision, 1, "");
    let reason = Reason::ReservedFunctionConcurrentInvocationLimitExceeded;
    let retry_after = Some(Duration::from_millis(250));
    let away = TurnedAway { retry_after, usage: Some((2, 2)), ..TurnedAway::at_once(reason) };
    decisions.refused(InvocationId(1), &away);
    let told = decisions.find(request(1)).expect("is held").json();
    assert_eq!(told["outcome"], "throttled");
    assert_eq!(told["throttled_by"], reason.as_str());
    assert_eq!((&told["limit_used"], &told["limit"]), (&2.into(), &2.into()));
    assert_eq!(told["retry_after_ms"], 250.0);
    assert_eq!(told["qualifier"], serde_json::Value::Null);
}

#[test]
fn the_ring_holds_the_last_records_and_forgets_the_others() {
    let (decisions, revision) = (Decisions::default(), revision("f"));
    assert_eq!(decisions.extent(), (0, None));
    let all = RECORDS_MAX as u64 + 10;
    for number in 1..=all {
        open(&decisions, &revision, number, "");
    }
    assert!(decisions.find(request(10)).is_none(), "it was overwritten");
    assert!(decisions.find(request(11)).is_some() && decisions.find(request(all)).is_some());
    assert_eq!(decisions.extent(), (RECORDS_MAX, Some(WallTime::from_millis(11))));
    // News of what is not held any more is for nobody.
    decisions.failed(InvocationId(10), "late", Time::ZERO);
    let heir = decisions.find(request(RECORDS_MAX as u64 + 10)).expect("is held").json();
    assert_eq!(heir["outcome"], "waiting");
    let size = std::mem::size_of::<Mutex<Record>>();
    assert!(size <= 152, "{size} bytes a record: say so where RECORDS_MAX stands");
}

#[test]
fn the_last_records_of_a_function_come_newest_first_and_by_qualifier_if_asked() {
    let decisions = Decisions::default();
    let (one, other) = (revision("one"), revision("other"));
    for number in 1..=9 {
        open(
            &decisions,
            if number % 3 == 0 { &other } else { &one },
            number,
            if number < 5 { ":a" } else { "" },
        );
    }
    let numbers = |records: Vec<Record>| records.iter().map(|record| record.id).collect::<Vec<_>>();
    assert_eq!(numbers(decisions.last("one", None, 3)), [8, 7, 5]);
    assert_eq!(numbers(decisions.last("one", Some("a"), 9)), [4, 2, 1]);
    assert_eq!(numbers(decisions.last("none", None, 9)), [0; 0]);
}

#[test]
fn a_window_counts_what_ended_in_it() {
    let (decisions, revision) = (Decisions::default(), revision("f"));
    for number in 1..=4 {
        open(&decisions, &revision, number, "");
        let decision =
            Decision { start: if number == 1 { StartType::Cold } else { StartType::Warm }, ..cold(&[]) };
        let assignment = Assignment { decision: &decision, cause: None, others: 0, evicted: Vec::new() };
        decisions.assigned(InvocationId(number), assignment);
        let (duration, at) = (Duration::from_millis(number), Time::from_nanos(number * 100_000_000));
        decisions.ended(
            InvocationId(number),
            &Ended { status: Status::Success, is_own_error: number == 4, duration, init: None, at },
        );
    }
    open(&decisions, &revision, 5, "");
    let away = TurnedAway { waited: Duration::from_secs(1), ..TurnedAway::at_once(Reason::QueueFull) };
    decisions.refused(InvocationId(5), &away);
    open(&decisions, &revision, 6, "");
    decisions.refused(InvocationId(6), &TurnedAway::at_once(Reason::ShuttingDown));
    let mut window = decisions.window(Time::from_nanos(250_000_000));
    let all = window.all.json(2.0);
    assert_eq!((&all["invocations"], &all["per_second"]), (&2.into(), &1.0.into()), "{all:#}");
    assert_eq!((&all["warm"], &all["cold"], &all["errors"]), (&2.into(), &0.into(), &1.into()));
    assert_eq!(
        all["throttles"],
        serde_json::json!({ "QueueFull": 1 }),
        "a daemon that ends throttles nobody"
    );
    assert_eq!(all["duration_ms"]["p99"], 4.0);
    assert_eq!(all["latency_ms"]["p50"], 297.0);
    assert_eq!(window.functions.keys().collect::<Vec<_>>(), ["f"]);
    let mut everything = decisions.window(Time::ZERO);
    assert_eq!(everything.all.json(1.0)["cold_share"], 0.25);
}

#[test]
fn qualifiers_are_kept_whole_however_long() {
    let (decisions, revision) = (Decisions::default(), revision("f"));
    let names: Vec<String> = (21..=24)
        .chain([128])
        .flat_map(|length| [0, 1].map(|last| format!("{}{last}", "a".repeat(length - 1))))
        .collect();
    for (number, name) in (1..).zip(&names) {
        open(&decisions, &revision, number, &format!(":{name}"));
    }
    for (number, name) in (1..).zip(&names) {
        let found = decisions.last("f", Some(name), 9);
        assert_eq!(found.iter().map(|record| record.id).collect::<Vec<_>>(), [number], "{name}");
        assert_eq!(found[0].json()["qualifier"], **name);
    }
}

#[test]
fn a_refusal_says_by_which_rate_and_what_was_waited_for() {
    let (decisions, revision) = (Decisions::default(), revision("f"));
    for (number, rate, word) in [(1, Exceeded::Scaling, "scaling"), (2, Exceeded::Requests, "requests")] {
        open(&decisions, &revision, number, "");
        let reason = Reason::ReservedFunctionInvocationRateLimitExceeded;
        let away = TurnedAway { rate: Some(rate), ..TurnedAway::at_once(reason) };
        decisions.refused(InvocationId(number), &away);
        assert_eq!(decisions.find(request(number)).expect("is held").json()["rate"], word);
    }
    open(&decisions, &revision, 3, "");
    let waited_for = Some(WaitedFor::Starts);
    let away = TurnedAway { waited_for, ..TurnedAway::at_once(Reason::CapacityExceeded) };
    decisions.refused(InvocationId(3), &away);
    let told = decisions.find(request(3)).expect("is held").json();
    assert_eq!((&told["waited_for"], &told["rate"]), (&"starts".into(), &serde_json::Value::Null));
}

#[test]
fn a_daemon_that_ends_is_not_said_to_throttle() {
    let (decisions, revision) = (Decisions::default(), revision("f"));
    open(&decisions, &revision, 1, "");
    decisions.refused(InvocationId(1), &TurnedAway::at_once(Reason::ShuttingDown));
    let told = decisions.find(request(1)).expect("is held").json();
    assert_eq!(
        (&told["outcome"], &told["throttled_by"]),
        (&"shutting-down".into(), &serde_json::Value::Null)
    );
}

#[test]
fn many_threads_write_and_read_at_once() {
    let (decisions, revision) = (Decisions::default(), revision("f"));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (decisions, revision) = (&decisions, &revision);
            scope.spawn(move || {
                for number in 0..500 {
                    open(decisions, revision, 1 + thread + 4 * number, "");
                    decisions.failed(InvocationId(1 + thread + 4 * number), "x", Time::ZERO);
                }
            });
        }
        for _ in 0..20 {
            for record in decisions.last("f", None, usize::MAX) {
                assert_eq!(record.request_id, request(record.id), "a record is whole");
            }
        }
    });
    assert_eq!(decisions.last("f", None, usize::MAX).len(), 2_000);
}
