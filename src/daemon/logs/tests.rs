//! The store as a whole: order across rotation, retention, torn lines, pages, streams, followers.

use super::*;
use std::fs::OpenOptions;
use std::io::Write;

fn event(timestamp: u64, message: &str) -> LogEvent {
    of_stream("s", timestamp, message)
}

fn of_stream(stream: &str, timestamp: u64, message: &str) -> LogEvent {
    LogEvent { timestamp, stream: stream.into(), message: message.to_owned(), ingested: None }
}

/// A directory that goes with the test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("hearth-logs-{name}-{}", std::process::id()));
        fs::remove_dir_all(&dir).ok();
        Self(dir)
    }

    fn start(&self, file_bytes: u64, files: u32) -> Logs {
        let retention = Retention { file_bytes, files, age: Duration::from_secs(3600) };
        Logs::start(&self.0, retention).expect("starts")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn everything<'a>(direction: Direction, limit: usize) -> Query<'a> {
    Query {
        streams: &Streams::All,
        from: Key::start_of(0),
        until: Key::start_of(u64::MAX),
        direction,
        limit,
        bytes: usize::MAX,
        matches: &|_| true,
    }
}

fn times(page: &Page) -> Vec<u64> {
    page.events.iter().map(|(key, _)| key.ms).collect()
}

#[test]
fn the_last_events_come_back_in_order_across_rotation() {
    let place = Place::new("rotation");
    let logs = place.start(200, 100);
    let group: Arc<str> = "/aws/lambda/f".into();
    for n in 0..20 {
        logs.write(&group, &Source::default(), vec![event(n, &format!("line {n}\n"))]);
    }
    let read = logs.read(&group, WallTime::from_millis(5), 3).expect("reads");
    assert_eq!(read.iter().map(|e| e.timestamp).collect::<Vec<_>>(), [17, 18, 19]);
    assert_eq!(logs.read(&group, WallTime::from_millis(5), 100).expect("reads").len(), 15);
}

#[test]
fn only_so_many_rotated_files_are_kept() {
    let place = Place::new("retention");
    let logs = place.start(1, 2);
    let group: Arc<str> = "g".into();
    for n in 0..10 {
        logs.write(&group, &Source::default(), vec![event(n, "x")]);
        logs.flush();
    }
    let files = group::closed(&place.0.join("g")).expect("there");
    assert_eq!(files.iter().map(|file| file.number).collect::<Vec<_>>(), [9, 10]);
}

#[test]
fn a_torn_line_costs_only_itself() {
    let place = Place::new("torn");
    fs::create_dir_all(place.0.join("g")).expect("makes");
    fs::write(place.0.join("g").join(group::CURRENT), "{\"timestamp\":1,\"str").expect("writes");
    let logs = place.start(1 << 20, 2);
    logs.write(&"g".into(), &Source::default(), vec![event(2, "whole")]);
    assert_eq!(logs.read("g", WallTime::from_millis(0), 9).expect("reads"), [event(2, "whole")]);
}

#[test]
fn pages_follow_each_other_without_gap_or_repetition_also_over_late_events() {
    let place = Place::new("pages");
    let logs = place.start(3_000, 1000);
    let group: Arc<str> = "g".into();
    let mut all = Vec::new();
    for n in 0..200_u64 {
        // Every seventh event is late, and some have the same time.
        let ms = if n % 7 == 0 { n.saturating_sub(60) } else { n - n % 3 };
        logs.write(&group, &Source::default(), vec![event(1000 + ms, &format!("event {n}"))]);
        logs.flush();
        all.push((1000 + ms, format!("event {n}")));
    }
    all.sort_by_key(|(ms, _)| *ms);
    for direction in [Direction::Forward, Direction::Backward] {
        let (mut from, mut until) = (Key::start_of(0), Key::start_of(u64::MAX));
        let mut pages = Vec::new();
        loop {
            let page = logs.page("g", &Query { from, until, ..everything(direction, 13) }).expect("reads");
            assert!(times(&page).is_sorted());
            assert!(page.events.len() <= 13);
            pages.push(page.events);
            match (page.next, direction) {
                (None, _) => break,
                (Some(next), Direction::Forward) => from = next,
                (Some(next), Direction::Backward) => until = next,
            }
            assert!(pages.len() < 100, "pages without end");
        }
        if direction == Direction::Backward {
            pages.reverse();
        }
        let read: Vec<_> = pages.concat().into_iter().map(|(key, event)| (key.ms, event.message)).collect();
        assert_eq!(read, all, "{direction:?}");
    }
}

#[test]
fn a_page_is_bounded_in_bytes_but_never_empty_for_it() {
    let place = Place::new("bytes");
    let logs = place.start(1 << 20, 9);
    let group: Arc<str> = "g".into();
    logs.write(&group, &Source::default(), (0..4).map(|n| event(n, &"x".repeat(100))).collect());
    let page = logs.page("g", &Query { bytes: 300, ..everything(Direction::Forward, 99) }).expect("reads");
    assert_eq!(times(&page), [0, 1]);
    let page = logs.page("g", &Query { bytes: 1, ..everything(Direction::Backward, 99) }).expect("reads");
    assert_eq!(times(&page), [3]);
    assert!(page.next.is_some());
}

#[test]
fn streams_and_messages_can_be_chosen() {
    let place = Place::new("streams");
    let logs = place.start(1 << 20, 9);
    let group: Arc<str> = "g".into();
    logs.write(
        &group,
        &Source::default(),
        vec![of_stream("a/1", 5, "one"), of_stream("a/2", 3, "two"), of_stream("b", 4, "two")],
    );
    let found = |streams: Streams, word: &'static str| {
        let matches = move |message: &str| message.contains(word);
        let query = Query { streams: &streams, matches: &matches, ..everything(Direction::Forward, 99) };
        times(&logs.page("g", &query).expect("reads"))
    };
    assert_eq!(found(Streams::All, ""), [3, 4, 5]);
    assert_eq!(found(Streams::Prefixed("a/".to_owned()), ""), [3, 5]);
    assert_eq!(found(Streams::PrefixedByAny(vec!["x".to_owned(), "b".to_owned()]), ""), [4]);
    assert_eq!(found(Streams::Named(["b".to_owned()].into()), ""), [4]);
    assert_eq!(found(Streams::Named(["c".to_owned()].into()), ""), [0; 0]);
    assert_eq!(found(Streams::All, "two"), [3, 4]);
    logs.write(&group, &Source::default(), vec![of_stream("a/1", 2, "earlier")]);
    let streams = logs.streams("g").expect("reads");
    let spans: Vec<_> = streams.iter().map(|(name, span)| (&**name, span.first_ms, span.last_ms)).collect();
    assert_eq!(spans, [("a/1", 2, 5), ("a/2", 3, 3), ("b", 4, 4)]);
}

#[test]
fn a_follower_sees_each_event_once_across_rotation_and_deletion() {
    let place = Place::new("follow");
    let logs = place.start(300, 1000);
    let group: Arc<str> = "g".into();
    logs.write(&group, &Source::default(), vec![event(1, "before")]);
    let mut cursor = logs.end("g").expect("reads");
    let mut seen = Vec::new();
    for n in 0..50 {
        logs.write(&group, &Source::default(), vec![event(100 - n, "during")]);
        // Little at a time, so that it has to come back.
        let (events, next) = logs.after("g", cursor, 10).expect("reads");
        cursor = next;
        seen.extend(events.into_iter().map(|event| event.timestamp));
    }
    assert_eq!(seen, (51..=100).rev().collect::<Vec<_>>());
    logs.delete_group("g").expect("is there");
    let (events, cursor) = logs.after("g", cursor, 10).expect("reads");
    assert_eq!(events, []);
    logs.write(&group, &Source::default(), vec![event(7, "again")]);
    assert_eq!(logs.after("g", cursor, 10).expect("reads").0, [event(7, "again")]);
}

#[test]
fn what_environments_hold_is_asked_for_before_reading() {
    let place = Place::new("nudge");
    let logs = place.start(1 << 20, 9);
    let group: Arc<str> = "g".into();
    let (writer, to) = (logs.clone(), Arc::clone(&group));
    let registration = logs.register(
        &group,
        Box::new(move |done| {
            writer.write(&to, &Source::default(), vec![event(1, "held")]);
            drop(done);
        }),
    );
    assert_eq!(logs.read("other", WallTime::from_millis(0), 9).expect("reads"), []);
    assert_eq!(logs.read("g", WallTime::from_millis(0), 9).expect("reads").len(), 1);
    drop(registration);
    assert_eq!(logs.read("g", WallTime::from_millis(0), 9).expect("reads").len(), 1);
}

#[test]
fn a_group_is_made_once_changed_and_deleted() {
    let place = Place::new("groups");
    let logs = place.start(1 << 20, 9);
    let meta = Meta::new("/mine", 77);
    logs.create_group(&meta).expect("is new");
    assert!(matches!(logs.create_group(&meta), Err(GroupError::Exists)));
    let keep = |meta: &mut Meta| {
        meta.retention_days = Some(3);
        Ok(())
    };
    logs.change_group("/mine", keep).expect("is there");
    assert!(matches!(logs.change_group("/other", keep), Err(GroupError::Absent)));
    logs.write(&"/mine".into(), &Source::default(), vec![event(1, "kept")]);
    logs.write(&"/theirs".into(), &Source::default(), vec![event(1, "x")]);
    assert_eq!(logs.groups().expect("lists"), ["/mine", "/theirs"]);
    let found = logs.group("/mine").expect("reads").expect("is there");
    assert_eq!((found.created_ms, found.retention_days), (77, Some(3)));
    assert!(logs.stored_bytes("/mine") > 0);
    logs.delete_group("/mine").expect("is there");
    assert!(matches!(logs.delete_group("/mine"), Err(GroupError::Absent)));
    assert_eq!(logs.groups().expect("lists"), ["/theirs"]);
    assert_eq!(logs.read("/mine", WallTime::from_millis(0), 9).expect("reads"), []);
}

#[test]
fn old_events_of_idle_groups_go_and_numbers_go_on() {
    let place = Place::new("sweep");
    let logs = place.start(1 << 20, 9);
    let group: Arc<str> = "g".into();
    logs.write_through(&group, vec![event(1, "old")]);
    let dir = place.0.join("g");
    let current = OpenOptions::new().append(true).open(dir.join(group::CURRENT)).expect("opens");
    current.set_modified(std::time::UNIX_EPOCH).expect("sets");
    logs.sweep().expect("sweeps");
    assert_eq!(logs.read("g", WallTime::from_millis(0), 9).expect("reads"), []);
    logs.write_through(&group, vec![event(2, "new")]);
    assert_eq!(logs.read("g", WallTime::from_millis(0), 9).expect("reads"), [event(2, "new")]);
    let page = logs.page("g", &everything(Direction::Forward, 9)).expect("reads");
    assert_eq!(page.events[0].0.file, 2);
}

#[test]
fn half_a_line_is_read_when_it_is_whole() {
    let place = Place::new("half");
    let logs = place.start(1 << 20, 9);
    logs.write_through(&"g".into(), vec![event(1, "one")]);
    let path = place.0.join("g").join(group::CURRENT);
    let mut file = OpenOptions::new().append(true).open(path).expect("opens");
    file.write_all(b"{\"timestamp\":2,\"stream\":\"s\",").expect("writes");
    assert_eq!(logs.read("g", WallTime::from_millis(0), 9).expect("reads").len(), 1);
    file.write_all(b"\"message\":\"two\"}\n").expect("writes");
    assert_eq!(logs.read("g", WallTime::from_millis(0), 9).expect("reads").len(), 2);
}
