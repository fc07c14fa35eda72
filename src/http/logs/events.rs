//! The operations on log events: `GetLogEvents`, `FilterLogEvents`, `PutLogEvents`.
//!
//! A token is a place between two events and a direction: `f/` or `b/` and 56 digits, as the service's are. It stays good
//! for as long as the group is there.

use super::input::{Charset, Input};
use super::pattern::Pattern;
use super::{Answer, Desk, Fault};
use crate::daemon::clock;
use crate::daemon::logs::{
    Direction, EVENT_OVERHEAD, Key, LogEvent, MESSAGE_MAX, Meta, Page, Query, Streams,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Events of one answer, and how many there are if nobody says.
const EVENTS_MAX: u64 = 10_000;
/// Bytes of messages in one answer, and in one `PutLogEvents`.
const BYTES_MAX: usize = 1_048_576;
const TOKEN_MAX: usize = 256;
const PATTERN_MAX: usize = 1024;
/// How far in the past and in the future events may be put, and how far apart, ms.
const TOO_OLD_MS: u64 = 14 * DAY_MS;
const TOO_NEW_MS: u64 = 2 * 3_600_000;
const DAY_MS: u64 = 86_400_000;
/// Digits of the three parts of a place: milliseconds, file, offset.
const DIGITS: [usize; 3] = [17, 19, 20];

/// A place between two events, and which way a reader goes from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Token {
    direction: Direction,
    at: Key,
}

impl Token {
    fn text(self) -> String {
        let letter = match self.direction {
            Direction::Forward => 'f',
            Direction::Backward => 'b',
        };
        format!("{letter}/{}", digits(self.at))
    }

    fn parse(text: &str) -> Option<Self> {
        let (letter, number) = text.split_once('/')?;
        let direction = match letter {
            "f" => Direction::Forward,
            "b" => Direction::Backward,
            _ => return None,
        };
        if number.len() != DIGITS.iter().sum::<usize>() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (ms, rest) = number.split_at(DIGITS[0]);
        let (file, offset) = rest.split_at(DIGITS[1]);
        let at = Key { ms: ms.parse().ok()?, file: file.parse().ok()?, offset: offset.parse().ok()? };
        Some(Self { direction, at })
    }

    fn of(input: &mut Input) -> Result<Option<Self>, Fault> {
        let Some(text) = input.text("nextToken", TOKEN_MAX, Charset::Any)? else { return Ok(None) };
        match Self::parse(&text) {
            Some(token) => Ok(Some(token)),
            None => Err(Fault::invalid("The specified nextToken is invalid.")),
        }
    }
}

/// A place as 56 digits: also what an event at this place is called. Larger parts than fit do not occur but as bounds.
fn digits(key: Key) -> String {
    let ms = key.ms.min(99_999_999_999_999_999);
    let file = key.file.min(9_999_999_999_999_999_999);
    format!("{ms:017}{file:019}{:020}", key.offset)
}

fn just_after(key: Key) -> Key {
    Key { offset: key.offset + 1, ..key }
}

/// The group's description, and the time before which its events are as good as gone.
fn horizon(desk: &Desk, group: &str) -> Result<(Meta, u64), Fault> {
    let meta = desk.logs.group(group)?.ok_or_else(Fault::no_group)?;
    let now = clock::wall().as_millis();
    let kept = meta.retention().map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    Ok((meta, kept.map_or(0, |kept| now.saturating_sub(kept))))
}

fn require_stream(desk: &Desk, meta: &Meta, stream: &str) -> Result<(), Fault> {
    if meta.streams.contains_key(stream) || desk.logs.has_stream(&meta.name, stream)? {
        return Ok(());
    }
    Err(Fault::no_stream())
}

fn limit(input: &mut Input) -> Result<usize, Fault> {
    let limit = input.whole("limit", 1, EVENTS_MAX)?.unwrap_or(EVENTS_MAX);
    Ok(usize::try_from(limit).unwrap_or(1))
}

/// `GetLogEvents`.
pub(super) fn get(desk: &Desk, input: &mut Input) -> Answer {
    let stream = input.stream_name("logStreamName")?;
    if stream.is_none() {
        input.missing("logStreamName");
    }
    let start = input.whole("startTime", 0, u64::MAX)?;
    let end = input.whole("endTime", 0, u64::MAX)?;
    let limit = limit(input)?;
    let from_head = input.flag("startFromHead")?.unwrap_or(false);
    let token = Token::of(input)?;
    let group = input.group(desk)?;
    let stream = stream.unwrap_or_default();
    let (meta, horizon) = horizon(desk, &group)?;
    require_stream(desk, &meta, &stream)?;

    let direction = match token {
        Some(token) => token.direction,
        None if from_head => Direction::Forward,
        None => Direction::Backward,
    };
    let mut from = Key::start_of(start.unwrap_or(0).max(horizon));
    let mut until = Key::start_of(end.unwrap_or(u64::MAX));
    match token {
        Some(Token { direction: Direction::Forward, at }) => from = from.max(at),
        Some(Token { direction: Direction::Backward, at }) => until = until.min(at),
        None => {}
    }
    let streams = Streams::Named([stream].into());
    let query =
        Query { streams: &streams, from, until, direction, limit, bytes: BYTES_MAX, matches: &|_| true };
    let page = desk.logs.page(&group, &query)?;
    let (backward, forward) = ends(&page, &query, token);
    let events: Vec<Value> = page.events.iter().map(|(_, event)| output(event)).collect();
    Ok(json!({ "events": events, "nextForwardToken": forward.text(), "nextBackwardToken": backward.text() }))
}

/// Where to go on from a page in both directions. At the end of a stream a reader gets the token it came with, and
/// thereby knows.
fn ends(page: &Page, query: &Query<'_>, token: Option<Token>) -> (Token, Token) {
    let before = page.events.first().map(|(key, _)| *key);
    let after = page.events.last().map(|(key, _)| just_after(*key));
    // Nothing was found on the way from here to there, unless the page was cut short.
    let (before, after) = match (before, after, query.direction) {
        (Some(before), Some(after), _) => (before, after),
        (_, _, Direction::Forward) => {
            let at = page.next.unwrap_or(token.map_or(query.from, |token| token.at));
            (at, at)
        }
        // Nobody has read on from anywhere yet, and what comes may be of any time.
        (_, _, Direction::Backward) if page.next.is_none() && token.is_none() => (query.until, query.from),
        (_, _, Direction::Backward) => {
            let at = page.next.unwrap_or(token.map_or(query.until, |token| token.at));
            (at, at)
        }
    };
    (Token { direction: Direction::Backward, at: before }, Token { direction: Direction::Forward, at: after })
}

fn output(event: &LogEvent) -> Value {
    json!({
        "timestamp": event.timestamp,
        "message": event.message,
        "ingestionTime": event.ingested.unwrap_or(event.timestamp),
    })
}

/// `FilterLogEvents`.
pub(super) fn filter(desk: &Desk, input: &mut Input) -> Answer {
    let streams = streams(input)?;
    let start = input.whole("startTime", 0, u64::MAX)?.unwrap_or(0);
    let end = input.whole("endTime", 0, u64::MAX)?.unwrap_or(u64::MAX);
    let limit = limit(input)?;
    let from_head = input.flag("startFromHead")?.unwrap_or(true);
    let pattern = filter_pattern(input, "filterPattern")?;
    let token = Token::of(input)?;
    let group = input.group(desk)?;
    let (meta, horizon) = horizon(desk, &group)?;
    if let Streams::Named(names) = &streams {
        let with_events = desk.logs.streams(&group)?;
        let is_there =
            |name: &String| meta.streams.contains_key(name) || with_events.contains_key(name.as_str());
        if !names.iter().all(is_there) {
            return Err(Fault::no_stream());
        }
    }

    let direction = token
        .map_or(if from_head { Direction::Forward } else { Direction::Backward }, |token| token.direction);
    let mut from = Key::start_of(start.max(horizon));
    // The end belongs to it, unlike in GetLogEvents.
    let mut until = Key::start_of(end.saturating_add(1));
    match token {
        Some(Token { direction: Direction::Forward, at }) => from = from.max(at),
        Some(Token { direction: Direction::Backward, at }) => until = until.min(at),
        None => {}
    }
    let matches = |message: &str| pattern.as_ref().is_none_or(|pattern| pattern.matches(message));
    let query =
        Query { streams: &streams, from, until, direction, limit, bytes: BYTES_MAX, matches: &matches };
    let page = desk.logs.page(&group, &query)?;
    let mut events: Vec<Value> = page
        .events
        .iter()
        .map(|(key, event)| {
            let mut found = output(event);
            found["logStreamName"] = (*event.stream).into();
            found["eventId"] = digits(*key).into();
            found
        })
        .collect();
    if direction == Direction::Backward {
        events.reverse();
    }
    let mut answer = json!({ "events": events, "searchedLogStreams": [] });
    if let Some(at) = page.next {
        answer["nextToken"] = Token { direction, at }.text().into();
    }
    Ok(answer)
}

fn streams(input: &mut Input) -> Result<Streams, Fault> {
    let names = input.texts("logStreamNames", 100, Charset::Stream)?;
    let prefix = input.stream_name("logStreamNamePrefix")?;
    match (names, prefix) {
        (None, None) => Ok(Streams::All),
        (Some(names), None) => Ok(Streams::Named(names.into_iter().collect())),
        (None, Some(prefix)) => Ok(Streams::Prefixed(prefix)),
        (Some(_), Some(_)) => {
            Err(Fault::invalid("logStreamNames and logStreamNamePrefix are mutually exclusive parameters."))
        }
    }
}

/// A filter pattern under this member's name.
pub(super) fn filter_pattern(input: &mut Input, name: &str) -> Result<Option<Pattern>, Fault> {
    // Empty means everything, and is no violation.
    if !input.has(name) {
        return Ok(None);
    }
    let text = input.optional_text(name, PATTERN_MAX)?;
    Pattern::parse(&text).map(Some).map_err(|error| Fault::invalid(error.to_string()))
}

/// `PutLogEvents`.
pub(super) fn put(desk: &Desk, input: &mut Input) -> Answer {
    let group = input.group_name()?;
    let stream = input.stream_name("logStreamName")?;
    if stream.is_none() {
        input.missing("logStreamName");
    }
    let given = input.objects("logEvents")?;
    input.settle()?;
    let stream = stream.unwrap_or_default();
    let events = given.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    check_batch(&events)?;
    let (meta, horizon) = horizon(desk, &group)?;
    require_stream(desk, &meta, &stream)?;

    let now = clock::wall().as_millis();
    let too_old = events.iter().take_while(|(ms, _)| *ms < now.saturating_sub(TOO_OLD_MS)).count();
    let expired = events.iter().take_while(|(ms, _)| *ms < horizon).count();
    let too_new = events.iter().position(|(ms, _)| *ms > now + TOO_NEW_MS).unwrap_or(events.len());
    let mut rejected = Map::new();
    for (member, index, is_told) in [
        ("tooOldLogEventEndIndex", too_old, too_old > 0),
        ("expiredLogEventEndIndex", expired, expired > 0),
        ("tooNewLogEventStartIndex", too_new, too_new < events.len()),
    ] {
        if is_told {
            rejected.insert(member.to_owned(), index.into());
        }
    }
    let stream: Arc<str> = stream.into();
    let taken = events.into_iter().take(too_new).skip(too_old.max(expired));
    let taken: Vec<LogEvent> = taken
        .map(|(timestamp, message)| LogEvent {
            timestamp,
            stream: Arc::clone(&stream),
            message,
            ingested: Some(now).filter(|now| *now != timestamp),
        })
        .collect();
    if !taken.is_empty() {
        desk.logs.write_through(&group.into(), taken);
    }
    let mut answer = json!({ "nextSequenceToken": format!("{now:056}") });
    if !rejected.is_empty() {
        answer["rejectedLogEventsInfo"] = rejected.into();
    }
    Ok(answer)
}

fn read(members: &Map<String, Value>) -> Result<(u64, String), Fault> {
    let wrong = |text: &str| Fault::new("SerializationException", text);
    let timestamp = members.get("timestamp").and_then(Value::as_u64);
    let message = members.get("message").and_then(Value::as_str);
    let timestamp = timestamp.ok_or_else(|| wrong("Each event has a timestamp, a whole number."))?;
    let message = message.ok_or_else(|| wrong("Each event has a message, a string."))?;
    Ok((timestamp, message.to_owned()))
}

fn check_batch(events: &[(u64, String)]) -> Result<(), Fault> {
    let (Some((first, _)), Some((last, _))) = (events.first(), events.last()) else {
        return Err(Fault::invalid(
            "1 validation error detected: Value '[]' at 'logEvents' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ));
    };
    if events.len() as u64 > EVENTS_MAX {
        return Err(Fault::invalid(format!(
            "1 validation error detected: Value at 'logEvents' failed to satisfy constraint: Member must have length less than or equal to {EVENTS_MAX}"
        )));
    }
    if !events.is_sorted_by_key(|(ms, _)| *ms) {
        return Err(Fault::invalid(
            "Log events in a single PutLogEvents request must be in chronological order.",
        ));
    }
    if last - first > DAY_MS {
        return Err(Fault::invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ));
    }
    if events.iter().any(|(_, message)| message.is_empty()) {
        return Err(Fault::invalid(
            "1 validation error detected: Value '' at 'logEvents.member.message' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ));
    }
    if let Some((_, long)) = events.iter().find(|(_, message)| message.len() > MESSAGE_MAX) {
        let text = format!("Log event too large: {} bytes exceeds limit of {MESSAGE_MAX}", long.len());
        return Err(Fault::invalid(text));
    }
    let bytes: usize = events.iter().map(|(_, message)| message.len() + EVENT_OVERHEAD).sum();
    if bytes > BYTES_MAX {
        return Err(Fault::invalid(format!("Upload too large: {bytes} bytes exceeds limit of {BYTES_MAX}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_as_they_were() {
        let at = Key { ms: 1_763_700_000_123, file: 7, offset: 16_777_000 };
        for direction in [Direction::Forward, Direction::Backward] {
            let token = Token { direction, at };
            assert_eq!(token.text().len(), 58);
            assert_eq!(Token::parse(&token.text()), Some(token));
        }
        let bound = Token { direction: Direction::Forward, at: Key::start_of(u64::MAX) };
        assert!(Token::parse(&bound.text()).is_some());
        for text in
            ["", "f/", "x/1", "f/12", &format!("f/{}", "9".repeat(56)), &format!("f/+{}", "1".repeat(55))]
        {
            assert_eq!(Token::parse(text), None, "{text}");
        }
    }

    #[test]
    fn batches_are_in_order_short_and_not_too_large() {
        let event = |ms: u64| (ms, "x".to_owned());
        assert_eq!(check_batch(&[event(1), event(1), event(DAY_MS + 1)]), Ok(()));
        assert!(check_batch(&[]).is_err());
        assert!(check_batch(&[event(2), event(1)]).is_err());
        assert!(check_batch(&[event(0), event(DAY_MS + 1)]).is_err());
        assert!(check_batch(&[(1, String::new())]).is_err());
        assert!(check_batch(&[(1, "x".repeat(MESSAGE_MAX + 1))]).is_err());
        assert!(check_batch(&vec![(1, "x".repeat(MESSAGE_MAX)); 4]).is_err());
    }
}
