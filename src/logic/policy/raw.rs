//! A policy document as it is written: members by name, one or many of everything, nothing unknown, nothing twice.

use super::conditions::Condition;
use super::{Named, PolicyError, Selection, Statement, wrong};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error as _, IntoDeserializer as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::marker::PhantomData;

/// Statements of one document, and values of one member; the service's own limit of 20 KB allows fewer.
const STATEMENTS_MAX: usize = 500;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Document {
    version: Option<String>,
    #[serde(rename = "Id")]
    _id: Option<String>,
    statement: OneOrMany<RawStatement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RawStatement {
    sid: Option<String>,
    effect: String,
    principal: Option<Principals>,
    action: Option<OneOrMany<String>>,
    not_action: Option<OneOrMany<String>>,
    resource: Option<OneOrMany<String>>,
    not_resource: Option<OneOrMany<String>>,
    condition: Option<Pairs<Pairs<OneOrMany<Scalar>>>>,
}

enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

// By hand, because serde's own choice between variants forgets what was wrong with the one that was meant.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OneOrMany<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one or a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(OneOrMany::Many)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(OneOrMany::One)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(text.into_deserializer()).map(OneOrMany::One)
            }
            fn visit_bool<E: serde::de::Error>(self, truth: bool) -> Result<Self::Value, E> {
                T::deserialize(truth.into_deserializer()).map(OneOrMany::One)
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
                T::deserialize(number.into_deserializer()).map(OneOrMany::One)
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// `"*"`, or lists by kind.
#[derive(Deserialize)]
#[serde(untagged)]
enum Principals {
    Word(String),
    Kinds(Pairs<OneOrMany<String>>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Truth(bool),
    Number(u64),
}

impl Scalar {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Truth(truth) => truth.to_string(),
            Self::Number(number) => number.to_string(),
        }
    }
}

/// The members of an object in their order. A name that comes twice is refused: one of the two rules would be lost.
struct Pairs<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Pairs<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<T>, A::Error> {
                let mut pairs: Vec<(String, T)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, T>()? {
                    if pairs.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                        return Err(A::Error::custom(format!("{name} is there twice")));
                    }
                    pairs.push((name, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}

impl TryFrom<Document> for super::Document {
    type Error = PolicyError;

    fn try_from(raw: Document) -> Result<Self, PolicyError> {
        if let Some(version) = raw.version.filter(|it| !matches!(it.as_str(), "2012-10-17" | "2008-10-17")) {
            return Err(PolicyError::Version(version));
        }
        let raw = raw.statement.into_vec();
        if raw.is_empty() {
            return Err(PolicyError::Empty);
        }
        if raw.len() > STATEMENTS_MAX {
            let name = (STATEMENTS_MAX + 1).to_string();
            return Err(wrong(&name, format!("a policy has {STATEMENTS_MAX} statements at most")));
        }
        let statements: Result<Vec<Statement>, PolicyError> =
            raw.into_iter().enumerate().map(|(at, statement)| statement.understood(at + 1)).collect();
        Ok(Self { statements: statements? })
    }
}

impl RawStatement {
    fn understood(self, number: usize) -> Result<Statement, PolicyError> {
        let name = self.sid.unwrap_or_else(|| number.to_string());
        let allows = match self.effect.as_str() {
            "Allow" => true,
            "Deny" => false,
            other => {
                return Err(wrong(&name, format!("Effect is {other:?}, but must be \"Allow\" or \"Deny\"")));
            }
        };
        let actions = selection(&name, "Action", self.action, self.not_action)?
            .ok_or_else(|| wrong(&name, "Action or NotAction is missing"))?;
        let lower = |list: Vec<String>| list.iter().map(|action| action.to_ascii_lowercase()).collect();
        let actions = match actions {
            Selection::Only(list) => Selection::Only(lower(list)),
            Selection::AllBut(list) => Selection::AllBut(lower(list)),
        };
        let resources = selection(&name, "Resource", self.resource, self.not_resource)?;
        let principals = self.principal.map(|principals| named(&name, principals)).transpose()?;
        let mut conditions = Vec::new();
        for (operator, keys) in self.condition.map(|pairs| pairs.0).unwrap_or_default() {
            for (key, values) in keys.0 {
                let values: Vec<String> = values.into_vec().into_iter().map(Scalar::into_text).collect();
                for value in &values {
                    no_variable(&name, value)?;
                }
                conditions.push(Condition::new(&operator, &key, values).map_err(|why| wrong(&name, why))?);
            }
        }
        Ok(Statement { name, allows, principals, actions, resources, conditions })
    }
}

/// One of the two members that exclude each other; none if neither is there.
fn selection(
    name: &str,
    member: &str,
    only: Option<OneOrMany<String>>,
    all_but: Option<OneOrMany<String>>,
) -> Result<Option<Selection>, PolicyError> {
    let selection = match (only, all_but) {
        (Some(_), Some(_)) => return Err(wrong(name, format!("has both {member} and Not{member}"))),
        (Some(only), None) => Selection::Only(only.into_vec()),
        (None, Some(all_but)) => Selection::AllBut(all_but.into_vec()),
        (None, None) => return Ok(None),
    };
    let (Selection::Only(list) | Selection::AllBut(list)) = &selection;
    if list.is_empty() {
        return Err(wrong(name, format!("{member} is an empty list")));
    }
    for text in list {
        no_variable(name, text)?;
        let has_form = match member {
            "Action" => {
                text == "*"
                    || text
                        .split_once(':')
                        .is_some_and(|(service, action)| !service.is_empty() && !action.is_empty())
            }
            _ => text == "*" || text.starts_with("arn:"),
        };
        if !has_form {
            return Err(wrong(name, format!("{member} has {text:?}, which is none")));
        }
    }
    Ok(Some(selection))
}

fn no_variable(name: &str, text: &str) -> Result<(), PolicyError> {
    match text.contains("${") {
        true => Err(wrong(name, format!("policy variables are not supported: {text:?}"))),
        false => Ok(()),
    }
}

fn named(name: &str, principals: Principals) -> Result<Vec<Named>, PolicyError> {
    let kinds = match principals {
        Principals::Word(word) if word == "*" => return Ok(vec![Named::Everybody]),
        Principals::Word(word) => {
            return Err(wrong(name, format!("Principal is {word:?}, but must be \"*\" or an object")));
        }
        Principals::Kinds(kinds) => kinds.0,
    };
    let mut found = Vec::new();
    for (kind, values) in kinds {
        for value in values.into_vec() {
            found.push(match kind.as_str() {
                "AWS" => identity(name, value)?,
                "Service" if !value.contains('*') => Named::Service(value),
                _ => {
                    return Err(wrong(
                        name,
                        format!("principals of the kind {kind} {value:?} are not supported"),
                    ));
                }
            });
        }
    }
    Ok(found)
}

/// `*`, an account, the ARN of an account's root, or the ARN of an identity.
fn identity(name: &str, text: String) -> Result<Named, PolicyError> {
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if text == "*" {
        return Ok(Named::Everybody);
    }
    if is_account(&text) {
        return Ok(Named::Account(text));
    }
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", _, "iam", "", account, "root"] if is_account(account) => {
            Ok(Named::Account((*account).to_owned()))
        }
        ["arn", _, "iam" | "sts", "", account, _] if is_account(account) && !text.contains('*') => {
            Ok(Named::Arn(text))
        }
        _ => Err(wrong(name, format!("Principal has {text:?}, which is no identity"))),
    }
}
