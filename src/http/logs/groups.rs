//! The operations on log groups and streams: making, describing, retention, tags.
//!
//! A group comes into being with its first event, too, and outlives the functions that log to it.

use super::input::{Charset, Input, TAGS_MAX, arn_prefix};
use super::{Answer, Desk, Fault};
use crate::daemon::clock;
use crate::daemon::logs::{GroupError, Meta, StreamSpan};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Entries of a page of groups or streams, and how many there are if nobody says.
const PAGE_MAX: u64 = 50;
const TOKEN_MAX: usize = 4096;
/// The retentions that the service has, days.
const RETENTIONS: [u64; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

impl From<GroupError> for Fault {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::Exists => {
                Self::new("ResourceAlreadyExistsException", "The specified log group already exists")
            }
            GroupError::Absent => Self::no_group(),
            GroupError::TooMany => {
                Self::new("LimitExceededException", "The log group has too many streams without events.")
            }
            GroupError::Io(error) => Self::internal(&error),
        }
    }
}

/// `CreateLogGroup`.
pub(super) fn create(desk: &Desk, input: &mut Input) -> Answer {
    let name = input.group_name()?;
    let tags = input.tags()?.unwrap_or_default();
    let class = input.text("logGroupClass", 64, Charset::Any)?;
    let protected = input.flag("deletionProtectionEnabled")?;
    input.settle()?;
    if tags.len() > TAGS_MAX {
        return Err(too_many_tags());
    }
    if input.has("kmsKeyId") {
        return Err(Fault::invalid("Hearth does not encrypt log groups: leave kmsKeyId out."));
    }
    if class.is_some_and(|class| class != "STANDARD") {
        return Err(Fault::invalid("Hearth has one class of log groups: STANDARD."));
    }
    if protected == Some(true) {
        return Err(Fault::invalid("Hearth does not protect log groups from deletion."));
    }
    let meta = Meta { tags, ..Meta::new(&name, clock::wall().as_millis()) };
    desk.logs.create_group(&meta)?;
    Ok(Value::Null)
}

/// `DeleteLogGroup`.
pub(super) fn delete(desk: &Desk, input: &mut Input) -> Answer {
    let name = input.group_name()?;
    input.settle()?;
    desk.logs.delete_group(&name)?;
    Ok(Value::Null)
}

/// `DescribeLogGroups`.
pub(super) fn describe(desk: &Desk, input: &mut Input) -> Answer {
    let prefix = input.text("logGroupNamePrefix", 512, Charset::Group)?;
    let pattern = input.text("logGroupNamePattern", 512, Charset::Group)?;
    let limit = input.whole("limit", 1, PAGE_MAX)?.unwrap_or(PAGE_MAX);
    let token = input.text("nextToken", TOKEN_MAX, Charset::Any)?;
    let class = input.text("logGroupClass", 64, Charset::Any)?;
    let identifiers = input.texts("logGroupIdentifiers", 50, Charset::Any)?;
    input.settle()?;
    if prefix.is_some() && pattern.is_some() {
        return Err(Fault::invalid(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
        ));
    }
    let after = token.map(|token| opened(&token)).transpose()?;
    let only = identifiers
        .map(|all| {
            all.iter().map(|one| super::input::group_of(&desk.home, one)).collect::<Result<Vec<_>, _>>()
        })
        .transpose()?;
    let part = pattern.map(|pattern| pattern.to_ascii_lowercase());
    let mut names = desk.logs.groups()?;
    names.retain(|name| {
        after.as_ref().is_none_or(|after| name > after)
            && prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix.as_str()))
            && part.as_ref().is_none_or(|part| name.to_ascii_lowercase().contains(part.as_str()))
            && only.as_ref().is_none_or(|only| only.contains(name))
            && class.as_ref().is_none_or(|class| class == "STANDARD")
    });
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let next = (names.len() > limit).then(|| sealed(&names[limit - 1]));
    let mut groups = Vec::new();
    for name in names.iter().take(limit) {
        // One that was deleted meanwhile is none.
        groups.extend(desk.logs.group(name)?.map(|meta| described(desk, &meta)));
    }
    Ok(page("logGroups", groups, next))
}

fn described(desk: &Desk, meta: &Meta) -> Value {
    let arn = format!("{}{}", arn_prefix(&desk.home), meta.name);
    let mut group = json!({
        "logGroupName": meta.name,
        "creationTime": meta.created_ms,
        "metricFilterCount": 0,
        "arn": format!("{arn}:*"),
        "storedBytes": desk.logs.stored_bytes(&meta.name),
        "logGroupClass": "STANDARD",
        "logGroupArn": arn,
        "deletionProtectionEnabled": false,
    });
    if let Some(days) = meta.retention_days {
        group["retentionInDays"] = days.into();
    }
    group
}

/// `PutRetentionPolicy`.
pub(super) fn put_retention(desk: &Desk, input: &mut Input) -> Answer {
    let name = input.group_name()?;
    let days = input.whole("retentionInDays", 0, u64::from(u32::MAX))?;
    if days.is_none() {
        input.missing("retentionInDays");
    }
    input.settle()?;
    let days = days.unwrap_or_default();
    if !RETENTIONS.contains(&days) {
        let known = RETENTIONS.map(|days| days.to_string()).join(", ");
        return Err(Fault::invalid(format!(
            "1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: [{known}]"
        )));
    }
    desk.logs.change_group(&name, |meta| {
        meta.retention_days = u32::try_from(days).ok();
        Ok(())
    })?;
    Ok(Value::Null)
}

/// `DeleteRetentionPolicy`.
pub(super) fn delete_retention(desk: &Desk, input: &mut Input) -> Answer {
    let name = input.group_name()?;
    input.settle()?;
    desk.logs.change_group(&name, |meta| {
        meta.retention_days = None;
        Ok(())
    })?;
    Ok(Value::Null)
}

fn too_many_tags() -> Fault {
    Fault::new("TooManyTagsException", format!("A log group has at most {TAGS_MAX} tags."))
}

fn tag(desk: &Desk, name: &str, tags: Option<BTreeMap<String, String>>, input: &mut Input) -> Answer {
    let Some(tags) = tags else {
        input.missing("tags");
        return input.settle().map(|()| Value::Null);
    };
    let mut fits = true;
    desk.logs.change_group(name, |meta| {
        let mut all = meta.tags.clone();
        all.extend(tags);
        fits = all.len() <= TAGS_MAX;
        if fits {
            meta.tags = all;
        }
        Ok(())
    })?;
    if fits { Ok(Value::Null) } else { Err(too_many_tags()) }
}

fn untag(desk: &Desk, name: &str, keys: &[String]) -> Answer {
    desk.logs.change_group(name, |meta| {
        meta.tags.retain(|key, _| !keys.contains(key));
        Ok(())
    })?;
    Ok(Value::Null)
}

fn tags_of(desk: &Desk, name: &str) -> Answer {
    let meta = desk.logs.group(name)?.ok_or_else(Fault::no_group)?;
    Ok(json!({ "tags": meta.tags }))
}

/// `TagResource`.
pub(super) fn tag_resource(desk: &Desk, input: &mut Input) -> Answer {
    let tags = input.tags()?;
    let name = input.resource(desk)?;
    tag(desk, &name, tags, input)
}

/// `TagLogGroup`.
pub(super) fn tag_group(desk: &Desk, input: &mut Input) -> Answer {
    let tags = input.tags()?;
    let name = input.group_name()?;
    input.settle()?;
    tag(desk, &name, tags, input)
}

/// `UntagResource`.
pub(super) fn untag_resource(desk: &Desk, input: &mut Input) -> Answer {
    let keys = input.texts("tagKeys", TAGS_MAX, Charset::Any)?;
    if keys.is_none() {
        input.missing("tagKeys");
    }
    let name = input.resource(desk)?;
    untag(desk, &name, &keys.unwrap_or_default())
}

/// `UntagLogGroup`.
pub(super) fn untag_group(desk: &Desk, input: &mut Input) -> Answer {
    let keys = input.texts("tags", TAGS_MAX, Charset::Any)?;
    if keys.is_none() {
        input.missing("tags");
    }
    let name = input.group_name()?;
    input.settle()?;
    untag(desk, &name, &keys.unwrap_or_default())
}

/// `ListTagsForResource`.
pub(super) fn list_tags_for_resource(desk: &Desk, input: &mut Input) -> Answer {
    let name = input.resource(desk)?;
    tags_of(desk, &name)
}

/// `ListTagsLogGroup`.
pub(super) fn list_tags_of_group(desk: &Desk, input: &mut Input) -> Answer {
    let name = input.group_name()?;
    input.settle()?;
    tags_of(desk, &name)
}

/// `CreateLogStream`.
pub(super) fn create_stream(desk: &Desk, input: &mut Input) -> Answer {
    let name = input.group_name()?;
    let stream = input.stream_name("logStreamName")?;
    if stream.is_none() {
        input.missing("logStreamName");
    }
    input.settle()?;
    let stream = stream.unwrap_or_default();
    let exists = || Fault::new("ResourceAlreadyExistsException", "The specified log stream already exists");
    if desk.logs.has_stream(&name, &stream)? {
        return Err(exists());
    }
    let now = clock::wall().as_millis();
    desk.logs
        .change_group(&name, |meta| match meta.streams.insert(stream, now) {
            None => Ok(()),
            Some(_) => Err(GroupError::Exists),
        })
        .map_err(|error| if matches!(error, GroupError::Exists) { exists() } else { error.into() })?;
    Ok(Value::Null)
}

/// `DescribeLogStreams`.
pub(super) fn describe_streams(desk: &Desk, input: &mut Input) -> Answer {
    let prefix = input.stream_name("logStreamNamePrefix")?;
    let order = input.text("orderBy", 64, Charset::Any)?;
    let descending = input.flag("descending")?.unwrap_or(false);
    let limit = input.whole("limit", 1, PAGE_MAX)?.unwrap_or(PAGE_MAX);
    let token = input.text("nextToken", TOKEN_MAX, Charset::Any)?;
    let group = input.group(desk)?;
    let by_time = match order.as_deref() {
        None | Some("LogStreamName") => false,
        Some("LastEventTime") => true,
        Some(other) => {
            return Err(Fault::invalid(format!(
                "1 validation error detected: Value '{other}' at 'orderBy' failed to satisfy constraint: Member must satisfy enum value set: [LogStreamName, LastEventTime]"
            )));
        }
    };
    if by_time && prefix.is_some() {
        return Err(Fault::invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let after = token.map(|token| place(&opened(&token)?)).transpose()?;
    let meta = desk.logs.group(&group)?.ok_or_else(Fault::no_group)?;
    let mut streams: Vec<(u64, String, Option<StreamSpan>, u64)> = Vec::new();
    let with_events = desk.logs.streams(&group)?;
    for (name, made) in meta.streams.iter().filter(|(name, _)| !with_events.contains_key(name.as_str())) {
        streams.push((0, name.clone(), None, *made));
    }
    for (name, span) in &with_events {
        let made = meta.streams.get(&**name).copied().unwrap_or(span.created_ms);
        streams.push((if by_time { span.last_ms } else { 0 }, name.to_string(), Some(*span), made));
    }
    streams.retain(|(_, name, ..)| prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix.as_str())));
    streams.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    if descending {
        streams.reverse();
    }
    if let Some((ms, name)) = after {
        let at = (ms, name);
        streams.retain(|(ms, name, ..)| {
            let this = (*ms, name.as_str());
            if descending { this < (at.0, at.1.as_str()) } else { this > (at.0, at.1.as_str()) }
        });
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let next = (streams.len() > limit)
        .then(|| &streams[limit - 1])
        .map(|(ms, name, ..)| sealed(&format!("{ms}:{name}")));
    streams.truncate(limit);
    let described = streams.into_iter().map(|(_, name, span, made)| stream(desk, &group, &name, span, made));
    Ok(page("logStreams", described.collect(), next))
}

fn stream(desk: &Desk, group: &str, name: &str, span: Option<StreamSpan>, made: u64) -> Value {
    let mut stream = json!({
        "logStreamName": name,
        "creationTime": made,
        "arn": format!("{}{group}:log-stream:{name}", arn_prefix(&desk.home)),
        "storedBytes": 0,
    });
    if let Some(span) = span {
        stream["firstEventTimestamp"] = span.first_ms.into();
        stream["lastEventTimestamp"] = span.last_ms.into();
        stream["lastIngestionTime"] = span.ingested_ms.into();
        // Ignored by everybody, and asked for by old clients.
        stream["uploadSequenceToken"] = format!("{:056}", span.ingested_ms).into();
    }
    stream
}

fn page(member: &str, entries: Vec<Value>, next: Option<String>) -> Value {
    let mut answer = json!({ member: entries });
    if let Some(next) = next {
        answer["nextToken"] = next.into();
    }
    answer
}

fn sealed(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn invalid_token() -> Fault {
    Fault::invalid("The specified nextToken is invalid.")
}

fn opened(token: &str) -> Result<String, Fault> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid_token())?;
    String::from_utf8(bytes).map_err(|_| invalid_token())
}

fn place(text: &str) -> Result<(u64, String), Fault> {
    let (ms, name) = text.split_once(':').ok_or_else(invalid_token)?;
    Ok((ms.parse().map_err(|_| invalid_token())?, name.to_owned()))
}
