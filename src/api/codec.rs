//! Between values and HTTP, in both directions, by interpreting a row's shapes: the server decodes requests and encodes
//! answers, the client encodes requests and decodes answers.
//!
//! Law: decode(encode(x)) = x. Unknown members are ignored, `null` is absence, wrong types are refused, broken JSON is
//! told from a wrong value. Raw payloads are neither parsed nor copied: they are not part of a value.
//! Deliberately not here: sizes (the front door bounds them before reading), constraints (`validate`), routes.

use crate::bounded::{self, Bounds};
use crate::error::{ApiError, ErrorCode, ServiceError};
use crate::operations::Row;
use crate::primitives::EpochTime;
use crate::reply::{Body, Reply};
use crate::router::Labels;
use crate::shape::{Kind, Member, Place, Shape};
use crate::validate;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use serde_json::{Map, Number, Value};
use std::borrow::Cow;

/// What stays as it is in a path label or a query value: RFC 3986's unreserved characters, as signatures need it.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Looks a header up by its name, whatever the case; the first value, if it is text.
pub type Headers<'a> = &'a dyn Fn(&str) -> Option<&'a str>;

/// What one request brings beside its body.
pub struct Head<'a> {
    /// The labels that the router found.
    pub labels: &'a Labels,
    /// The raw query string without `?`.
    pub query: &'a str,
    /// The headers.
    pub headers: Headers<'a>,
}

/// Reads and validates the input of a request, body included.
///
/// # Errors
/// `InvalidRequestContentException` for a body that is not JSON, `SerializationException` for a value of the wrong
/// type, `ValidationException` with every violation of the model's constraints, or one of its odd relatives.
pub fn decode(row: &Row, head: &Head<'_>, body: &[u8]) -> Result<Value, ApiError> {
    let value = read(row, head, body)?;
    validate::check(row, &value)?;
    Ok(value)
}

/// Reads and validates labels, query and headers only; the body is nobody's business here.
///
/// # Errors
/// As [`decode`], without those of bodies.
pub fn decode_head(row: &Row, head: &Head<'_>) -> Result<Value, ApiError> {
    let members = read_head(row, head)?;
    validate::check(row, &members)?;
    Ok(Value::Object(object(members)))
}

/// The same straight into the Rust type, without a map in between: every invocation comes this way.
///
/// # Errors
/// As [`decode_head`], and as [`typed`].
pub fn decode_head_typed<T: DeserializeOwned>(row: &Row, head: &Head<'_>) -> Result<T, ApiError> {
    let members = read_head(row, head)?;
    validate::check(row, &members)?;
    let members = MapDeserializer::new(members.into_iter());
    T::deserialize(members).map_err(|error: serde_json::Error| serialization(error.to_string()))
}

/// Reads a request without judging its values.
fn read(row: &Row, head: &Head<'_>, body: &[u8]) -> Result<Value, ApiError> {
    let mut input = object(read_head(row, head)?);
    match row.input.payload() {
        Some(payload) if !row.input.has_raw_payload() && !body.is_empty() => {
            let mut value = parse_request(body)?;
            conform(payload.shape, &mut value)?;
            if !value.is_null() {
                input.insert(payload.name.into(), value);
            }
        }
        Some(_) => {}
        None if body.is_empty() || !has_body(row.input) => {}
        None => read_body(row.input, parse_request(body)?, &mut input)?,
    }
    Ok(Value::Object(input))
}

/// The members that a head holds, by name, each once.
type HeadMembers = Vec<(&'static str, Value)>;

fn object(members: HeadMembers) -> Map<String, Value> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn read_head(row: &Row, head: &Head<'_>) -> Result<HeadMembers, ApiError> {
    let mut input = HeadMembers::new();
    for member in row.input.members() {
        let value = match member.place {
            Place::Label => {
                let label = head.labels.iter().find(|(name, _)| *name == member.name);
                label.map(|(_, text)| scalar(member.shape, text)).transpose()?
            }
            Place::Query(name) => query_value(member.shape, head.query, name)?,
            Place::Header(name) => (head.headers)(name).map(|text| scalar(member.shape, text)).transpose()?,
            Place::Body | Place::Payload | Place::Status => None,
        };
        if let Some(value) = value {
            input.push((member.name, value));
        }
    }
    Ok(input)
}

fn read_body(
    shape: &'static Shape,
    mut value: Value,
    input: &mut Map<String, Value>,
) -> Result<(), ApiError> {
    // Checked as a structure first, so that a body that is no object is refused in the same words as a member.
    conform(shape, &mut value)?;
    if let Value::Object(mut members) = value {
        for member in shape.members().iter().filter(|member| member.place == Place::Body) {
            // Moved, not cloned: a package may be 70 MB of base64.
            if let Some(value) = members.swap_remove(member.name) {
                input.insert(member.name.into(), value);
            }
        }
    }
    Ok(())
}

/// Turns a decoded input or output into its Rust type.
///
/// # Errors
/// `SerializationException`: the value does not fit the type.
pub fn typed<T: DeserializeOwned>(value: Value) -> Result<T, ApiError> {
    serde_json::from_value(value).map_err(|error| serialization(error.to_string()))
}

/// Encodes an operation's answer: members bound to headers and to the status leave the body.
///
/// # Errors
/// `ServiceException`: the output cannot be written as JSON, which would be a bug in its type.
pub fn encode<T: Serialize>(row: &Row, output: &T) -> Result<Reply, ApiError> {
    let mut reply = Reply { status: row.success, ..Reply::default() };
    if !row.has_output() {
        return Ok(reply);
    }
    let bug = |error: serde_json::Error| ApiError::internal(row.name, error.to_string());
    let Value::Object(mut members) = serde_json::to_value(output).map_err(bug)? else {
        return Err(ApiError::internal(row.name, "the output is not an object"));
    };
    let mut payload = None;
    for member in row.output.members() {
        if member.place == Place::Body {
            continue;
        }
        let Some(value) = members.remove(member.name) else { continue };
        match member.place {
            Place::Header(name) => reply.headers.push((name, plain(member.shape, &value))),
            Place::Status => {
                reply.status =
                    value.as_u64().and_then(|status| status.try_into().ok()).unwrap_or(reply.status)
            }
            _ => payload = Some(value),
        }
    }
    let only_in_the_head = !row.output.members().is_empty() && payload.is_none() && !has_body(row.output);
    if only_in_the_head || reply.status == 204 {
        return Ok(reply);
    }
    let body = payload.unwrap_or(Value::Object(members));
    reply.headers.push(("Content-Type", "application/json".into()));
    reply.body = Body::Json(serde_json::to_vec(&body).map_err(bug)?);
    Ok(reply)
}

/// A request as the client sends it. Signatures and connection headers come on top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestParts {
    /// The HTTP method.
    pub method: &'static str,
    /// Path and query string, percent-encoded.
    pub path_and_query: String,
    /// Headers that belong to the operation.
    pub headers: Vec<(&'static str, String)>,
    /// The JSON body; empty where there is none and where the caller adds a raw payload.
    pub body: Vec<u8>,
}

/// Encodes a request. A raw payload is the caller's to add as the body.
///
/// # Errors
/// The input lacks a label of the path, or cannot be written as JSON.
pub fn encode_request<T: Serialize>(row: &Row, input: &T) -> Result<RequestParts, EncodeError> {
    let Value::Object(mut members) = serde_json::to_value(input)? else {
        return Err(EncodeError::NotAnObject);
    };
    let mut path = row.uri.to_owned();
    let (mut query, mut headers, mut payload) = (Vec::new(), Vec::new(), None);
    for member in row.input.members() {
        match (member.place, members.get(member.name)) {
            (Place::Body | Place::Status, _) => continue,
            (Place::Label, value) => {
                let text = value.map(|value| plain(member.shape, value)).filter(|text| !text.is_empty());
                let text = text.ok_or(EncodeError::MissingLabel { member: member.name })?;
                path = path.replace(&format!("{{{}}}", member.name), &encode_label(&text));
            }
            (Place::Query(name), Some(value)) => match value {
                Value::Array(items) => {
                    query.extend(items.iter().map(|item| (name, plain(item_shape(member), item))))
                }
                value => query.push((name, plain(member.shape, value))),
            },
            (Place::Header(name), Some(value)) => headers.push((name, plain(member.shape, value))),
            (Place::Payload, Some(value)) => payload = Some(serde_json::to_vec(value)?),
            (_, None) => {}
        }
        members.remove(member.name);
    }
    for (name, value) in query {
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(&format!("{name}={}", encode_label(&value)));
    }
    let body = match payload {
        Some(bytes) => bytes,
        None if has_body(row.input) => serde_json::to_vec(&Value::Object(members))?,
        None => Vec::new(),
    };
    if !body.is_empty() {
        headers.push(("Content-Type", "application/json".into()));
    }
    Ok(RequestParts { method: row.method.as_str(), path_and_query: path, headers, body })
}

/// Why a request could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The path needs this member.
    #[error("{member} is needed to address the request")]
    MissingLabel {
        /// The member's wire name.
        member: &'static str,
    },
    /// The input is not a structure.
    #[error("the input is not a structure")]
    NotAnObject,
    /// The input cannot be written as JSON.
    #[error("the input cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// Reads an answer into the operation's output type. A raw payload stays with the caller.
///
/// # Errors
/// The service's own error for a status of 300 and above; code `Unknown` if the answer makes no sense.
pub fn decode_response<T: DeserializeOwned>(
    row: &Row,
    status: u16,
    headers: Headers<'_>,
    body: &[u8],
) -> Result<T, ServiceError> {
    if !(200..300).contains(&status) {
        return Err(ServiceError::read(status, headers("x-amzn-ErrorType"), body));
    }
    let nonsense = |message: String| ServiceError { status, code: "Unknown".into(), message, reason: None };
    let value = read_response(row, status, headers, body).map_err(|error| nonsense(error.to_string()))?;
    serde_json::from_value(value).map_err(|error| nonsense(error.to_string()))
}

fn read_response(row: &Row, status: u16, headers: Headers<'_>, body: &[u8]) -> Result<Value, ApiError> {
    let mut output = Map::new();
    for member in row.output.members() {
        match member.place {
            Place::Status => drop(output.insert(member.name.into(), status.into())),
            Place::Header(name) => {
                if let Some(text) = headers(name) {
                    output.insert(member.name.into(), scalar(member.shape, text)?);
                }
            }
            _ => {}
        }
    }
    if !row.output.has_raw_payload() && !body.is_empty() && has_body(row.output) {
        let value = serde_json::from_slice(body).map_err(unparsed)?;
        read_body(row.output, value, &mut output)?;
    }
    Ok(Value::Object(output))
}

/// Percent-encodes all but unreserved characters.
#[must_use]
pub fn encode_label(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

fn has_body(shape: &Shape) -> bool {
    shape.members().iter().any(|member| member.place == Place::Body)
}

/// A request's document: from somebody of whom nothing may be known yet, so that it must not become large.
fn parse_request(body: &[u8]) -> Result<Value, ApiError> {
    bounded::parse(body, Bounds::REQUEST).map_err(unparsed)
}

fn unparsed(error: serde_json::Error) -> ApiError {
    let text = format!("Could not parse request body into json: {error}");
    ApiError::new(ErrorCode::InvalidRequestContentException, text)
}

fn serialization(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::SerializationException, message)
}

fn item_shape(member: &'static Member) -> &'static Shape {
    match member.shape.kind {
        Kind::List(list) => list.member,
        _ => member.shape,
    }
}

/// A query parameter: the first of its name, or all of them if the member is a list. `None` if there is none.
fn query_value(shape: &'static Shape, query: &str, name: &str) -> Result<Option<Value>, ApiError> {
    let mut given = query.split('&').filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (!pair.is_empty() && query_text(key) == name).then(|| query_text(value).into_owned())
    });
    if let Kind::List(list) = shape.kind {
        let items = given.map(|text| scalar(list.member, &text)).collect::<Result<Vec<_>, _>>()?;
        return Ok(if items.is_empty() { None } else { Some(Value::Array(items)) });
    }
    given.next().map(|text| scalar(shape, &text)).transpose()
}

fn query_text(raw: &str) -> Cow<'_, str> {
    if !raw.contains(['+', '%']) {
        return Cow::Borrowed(raw);
    }
    let spaced = raw.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

/// Text from a label, a query string or a header, as the JSON value of a scalar shape.
fn scalar(shape: &Shape, text: &str) -> Result<Value, ApiError> {
    let value = match shape.kind {
        Kind::Integer(_) => text.parse::<i32>().ok().map(Value::from),
        Kind::Long(_) => text.parse::<i64>().ok().map(Value::from),
        Kind::Double(_) => text.parse::<f64>().ok().and_then(Number::from_f64).map(Value::from),
        Kind::Boolean => match text {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            _ => None,
        },
        Kind::Timestamp => EpochTime::parse(text).and_then(|moment| serde_json::to_value(moment).ok()),
        _ => Some(Value::from(text)),
    };
    value.ok_or_else(|| serialization(format!("STRING_VALUE can not be converted to {}", article(shape))))
}

/// The reverse of [`scalar`].
fn plain(shape: &Shape, value: &Value) -> String {
    match (shape.kind, value) {
        (Kind::Timestamp, value) => match value.as_f64().and_then(EpochTime::from_seconds) {
            Some(moment) => moment.to_iso_text(),
            None => String::new(),
        },
        (_, Value::String(text)) => text.clone(),
        (_, value) => value.to_string(),
    }
}

/// Refuses values of the wrong type, drops `null` members, and writes whole numbers as whole numbers.
fn conform(shape: &'static Shape, value: &mut Value) -> Result<(), ApiError> {
    match (shape.kind, value) {
        (_, Value::Null) | (Kind::Text(_), Value::String(_)) | (Kind::Boolean, Value::Bool(_)) => Ok(()),
        (Kind::Double(_), Value::Number(number)) => {
            // Written with a fraction, as messages and the type print it.
            if let Some(double) = number.as_f64().and_then(Number::from_f64) {
                *number = double;
            }
            Ok(())
        }
        (Kind::Structure(members), Value::Object(object)) => {
            object.retain(|_, value| !value.is_null());
            for member in members {
                if let Some(value) = object.get_mut(member.name) {
                    conform(member.shape, value)?;
                }
            }
            Ok(())
        }
        (Kind::List(list), Value::Array(items)) => {
            items.iter_mut().try_for_each(|item| conform(list.member, item))
        }
        (Kind::Map(map), Value::Object(object)) => {
            object.values_mut().try_for_each(|value| conform(map.value, value))
        }
        (Kind::Integer(_) | Kind::Long(_), Value::Number(number)) => conform_whole(shape, number),
        (Kind::Timestamp, Value::Number(number)) => match number.as_f64().and_then(EpochTime::from_seconds) {
            Some(_) => Ok(()),
            None => Err(serialization("NUMBER_VALUE can not be converted to a Date")),
        },
        (Kind::Blob(_), Value::String(text)) => conform_base64(text),
        (_, value) => Err(wrong_type(shape, value)),
    }
}

fn conform_whole(shape: &Shape, number: &mut Number) -> Result<(), ApiError> {
    let whole = number.as_i64().or_else(|| {
        let value = number.as_f64()?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "checked to be whole and small in the same expression"
        )]
        (value.fract() == 0.0 && value.abs() < 9e15).then_some(value as i64)
    });
    let fits = |value: &i64| matches!(shape.kind, Kind::Long(_)) || i32::try_from(*value).is_ok();
    match whole.filter(fits) {
        Some(value) => {
            *number = value.into();
            Ok(())
        }
        None => Err(serialization(format!("NUMBER_VALUE can not be converted to {}", article(shape)))),
    }
}

/// The alphabet is checked here so that a bad package is refused with a clear text; the bytes are made once, by the type.
fn conform_base64(text: &str) -> Result<(), ApiError> {
    let digits = text.trim_end_matches('=');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let padding = text.len() - digits.len();
    if padding > 2 || digits.len() % 4 == 1 || !digits.bytes().all(is_digit) {
        return Err(serialization("A blob in the request body is not valid base64."));
    }
    Ok(())
}

fn wrong_type(shape: &Shape, value: &Value) -> ApiError {
    let text = match (shape.kind, value) {
        (Kind::Structure(_) | Kind::Map(_), Value::Array(_)) => {
            "Start of list found where not expected".to_owned()
        }
        (Kind::Structure(_) | Kind::Map(_), _) => "Expected null".to_owned(),
        (Kind::List(_), Value::Object(_)) => "Start of structure or map found where not expected.".to_owned(),
        (Kind::List(_), _) => "Expected list or null".to_owned(),
        (_, Value::Object(_)) => "Start of structure or map found where not expected.".to_owned(),
        (_, Value::Array(_)) => "Start of list found where not expected".to_owned(),
        (_, Value::Bool(true)) => format!("TRUE_VALUE can not be converted to {}", article(shape)),
        (_, Value::Bool(false)) => format!("FALSE_VALUE can not be converted to {}", article(shape)),
        (_, Value::Number(_)) => format!("NUMBER_VALUE can not be converted to {}", article(shape)),
        (_, Value::String(_) | Value::Null) => {
            format!("STRING_VALUE can not be converted to {}", article(shape))
        }
    };
    serialization(text)
}

fn article(shape: &Shape) -> &'static str {
    match shape.kind {
        Kind::Integer(_) => "an Integer",
        Kind::Long(_) => "a Long",
        Kind::Double(_) => "a Double",
        Kind::Boolean => "a Boolean",
        Kind::Timestamp => "a Date",
        Kind::Blob(_) => "a Blob",
        _ => "a String",
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
