//! Decides what an IAM policy document says about a request: allowed, denied by name, or not mentioned.
//!
//! A document is a value that was understood as a whole: what this evaluator does not know (an operator, a member, a
//! variable) is refused when the document is read, because a rule that is skipped may be the one that forbids. Serves
//! identity policies (who signs) and resource policies (what a function lets in) alike. Deliberately absent: files,
//! where keys of conditions come from, and JSON itself: documents are read through serde.
//!
//! Source: "IAM JSON policy evaluation logic" and "IAM JSON policy elements reference", AWS IAM User Guide.

mod conditions;
mod raw;
#[cfg(test)]
mod tests;

pub use conditions::{Condition, ContextKey};
use serde::Deserialize;

/// What a document says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A statement allows it and none denies it.
    Allowed,
    /// A statement denies it; nothing can allow it any more.
    Denied,
    /// No statement is about it.
    Unmentioned,
}

impl Decision {
    /// What two documents say together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Denied, _) | (_, Self::Denied) => Self::Denied,
            (Self::Allowed, _) | (_, Self::Allowed) => Self::Allowed,
            (Self::Unmentioned, Self::Unmentioned) => Self::Unmentioned,
        }
    }
}

/// Who asks, where a document names principals.
#[derive(Clone, Copy, Debug)]
pub enum Principal<'a> {
    /// A service, such as `events.amazonaws.com`.
    Service(&'a str),
    /// An identity: every ARN that means it (a role's session has the role's, too), and its account.
    Identity {
        /// ARNs.
        arns: &'a [&'a str],
        /// Twelve digits.
        account: &'a str,
    },
    /// Nobody known.
    Anonymous,
}

/// What is asked for.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Who asks; documents without principals do not look.
    pub principal: Principal<'a>,
    /// `lambda:InvokeFunction`.
    pub action: &'a str,
    /// ARN, or `*` where an action is about no resource.
    pub resource: &'a str,
    /// The value of a condition key, given in lower case; none if the request has no such thing.
    pub context: &'a dyn Fn(&str) -> Option<String>,
}

/// A policy document that was understood as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "raw::Document")]
pub struct Document {
    statements: Vec<Statement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Statement {
    /// `Sid`, or the number of the statement.
    name: String,
    allows: bool,
    principals: Option<Vec<Named>>,
    actions: Selection,
    resources: Option<Selection>,
    conditions: Vec<Condition>,
}

/// A principal as a document names it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Named {
    Everybody,
    Service(String),
    Account(String),
    Arn(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Selection {
    Only(Vec<String>),
    AllBut(Vec<String>),
}

/// Why a document cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// `Version` is none that exists.
    #[error("Version is {0:?}, but must be \"2012-10-17\" or \"2008-10-17\"")]
    Version(String),
    /// There is nothing in it.
    #[error("the policy has no statements")]
    Empty,
    /// Something in one statement.
    #[error("statement {name}: {detail}")]
    Statement {
        /// `Sid`, or its number.
        name: String,
        /// What is wrong.
        detail: String,
    },
}

fn wrong(name: &str, detail: impl Into<String>) -> PolicyError {
    PolicyError::Statement { name: name.to_owned(), detail: detail.into() }
}

impl Document {
    /// Denies everybody everything: what stands where a document is that cannot be understood.
    #[must_use]
    pub fn closed() -> Self {
        let everything = || Selection::Only(vec!["*".to_owned()]);
        let statement = Statement {
            name: "closed".to_owned(),
            allows: false,
            principals: Some(vec![Named::Everybody]),
            actions: everything(),
            resources: Some(everything()),
            conditions: Vec::new(),
        };
        Self { statements: vec![statement] }
    }

    /// The document as the policy of an identity: names no principals, says for which resources, and conditions use
    /// `keys` (lower case) only, because a condition on anything else would silently never hold.
    ///
    /// # Errors
    /// Which statement breaks which of these rules.
    pub fn into_identity_policy(self, keys: &[&str]) -> Result<Self, PolicyError> {
        for Statement { name, principals, resources, conditions, .. } in &self.statements {
            if principals.is_some() {
                return Err(wrong(name, "Principal has no place in the policy of an identity"));
            }
            if resources.is_none() {
                return Err(wrong(name, "Resource or NotResource is missing"));
            }
            known_keys(name, conditions, keys)?;
        }
        Ok(self)
    }

    /// The document as the policy of a resource: every statement names principals, conditions use `keys` only.
    ///
    /// # Errors
    /// Which statement breaks which of these rules.
    pub fn into_resource_policy(self, keys: &[&str]) -> Result<Self, PolicyError> {
        for Statement { name, principals, conditions, .. } in &self.statements {
            if principals.is_none() {
                return Err(wrong(name, "Principal is missing"));
            }
            known_keys(name, conditions, keys)?;
        }
        Ok(self)
    }

    /// What the document says: a denial by name wins over everything, and what nobody mentions is not allowed.
    #[must_use]
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        let about_it = self.statements.iter().filter(|statement| statement.is_about(request));
        about_it.fold(Decision::Unmentioned, |decision, statement| {
            decision.with(if statement.allows { Decision::Allowed } else { Decision::Denied })
        })
    }
}

fn known_keys(name: &str, conditions: &[Condition], keys: &[&str]) -> Result<(), PolicyError> {
    let unknown = conditions.iter().find(|condition| !keys.contains(&condition.key.as_str()));
    match unknown {
        Some(condition) => {
            let known = keys.join(", ");
            Err(wrong(
                name,
                format!("the condition key {} is not supported; there are {known}", condition.key),
            ))
        }
        None => Ok(()),
    }
}

impl Statement {
    fn is_about(&self, request: &Request<'_>) -> bool {
        // Actions are compared without regard to case, resources with it.
        let action = request.action.to_ascii_lowercase();
        self.actions.has(|pattern| glob(pattern, &action))
            && self.resources.as_ref().is_none_or(|it| it.has(|pattern| arn_like(pattern, request.resource)))
            && self.principals.as_ref().is_none_or(|it| it.iter().any(|named| named.is(&request.principal)))
            && self.conditions.iter().all(|condition| condition.holds(request.context))
    }
}

impl Selection {
    fn has(&self, matches: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Only(patterns) => patterns.iter().any(|pattern| matches(pattern)),
            Self::AllBut(patterns) => !patterns.iter().any(|pattern| matches(pattern)),
        }
    }
}

impl Named {
    fn is(&self, principal: &Principal<'_>) -> bool {
        match (self, principal) {
            (Self::Everybody, _) => true,
            (Self::Service(name), Principal::Service(asking)) => name == asking,
            (Self::Account(named), Principal::Identity { account, .. }) => named == account,
            (Self::Arn(named), Principal::Identity { arns, .. }) => arns.contains(&named.as_str()),
            (Self::Service(_) | Self::Account(_) | Self::Arn(_), _) => false,
        }
    }
}

/// Whether a text fits a pattern of `*` (anything) and `?` (any one character).
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // The last star, and where the text went on after it: the only place worth going back to.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(char) if *char == '?' || *char == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|char| *char == '*')
}

/// Whether an ARN fits a pattern: part by part, so that no star reaches over a colon but in the last part. A pattern
/// that has not all six parts is compared as a whole.
fn arn_like(pattern: &str, arn: &str) -> bool {
    let parts: Vec<&str> = pattern.splitn(6, ':').collect();
    let own: Vec<&str> = arn.splitn(6, ':').collect();
    match (parts.len(), own.len()) {
        (6, 6) => parts.iter().zip(own).all(|(pattern, part)| glob(pattern, part)),
        (6, _) => false,
        _ => glob(pattern, arn),
    }
}
