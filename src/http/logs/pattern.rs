//! CloudWatch's filter patterns: which messages a pattern matches. Text in, a matcher out; no I/O.
//!
//! Three languages share the syntax: terms (`ERROR -timeout "two words"`), JSON (`{ $.level = "ERROR" }`) and fields
//! (`[ip, user, status = 4*]`). As documented by AWS under "Filter pattern syntax"; matching is by case. Where the
//! documentation is silent: a comparison with a property that is not there matches nothing (ask for `NOT EXISTS`).
//! Refusing is for what cannot be understood; unquoted terms may contain more than AWS allows.

mod fields;
mod json;
mod logic;
mod words;

use fields::Fields;
use regex::Regex;
use words::{Reader, Value};

/// Characters of a pattern.
const PATTERN_MAX: usize = 1024;
/// Bytes that one compiled regular expression may take.
const REGEX_BYTES_MAX: usize = 256 * 1024;
/// Regular expressions in one pattern; the service allows two.
const REGEXES_MAX: usize = 2;
/// Parentheses within parentheses.
const NESTING_MAX: usize = 32;

/// Why a text is no pattern, in words for whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Invalid(String);

fn invalid(text: impl Into<String>) -> Invalid {
    Invalid(text.into())
}

/// A pattern that has been read.
#[derive(Debug)]
pub(super) enum Pattern {
    /// Words of a message.
    Terms(Terms),
    /// Properties of a JSON message.
    Json(json::Condition),
    /// Fields of a message with blanks between them.
    Fields(Fields),
}

/// What words must and must not be there.
#[derive(Debug, Default)]
pub(super) struct Terms {
    all: Vec<Term>,
    /// Only counts if there is nothing else.
    any: Vec<Term>,
    none: Vec<Term>,
}

#[derive(Debug)]
enum Term {
    Text(String),
    Matching(Regex),
}

impl Term {
    fn is_in(&self, message: &str) -> bool {
        match self {
            Self::Text(text) => message.contains(text.as_str()),
            Self::Matching(regex) => regex.is_match(message),
        }
    }
}

impl Terms {
    fn match_in(&self, message: &str) -> bool {
        if self.none.iter().any(|term| term.is_in(message)) {
            return false;
        }
        if self.all.is_empty() && self.none.is_empty() && !self.any.is_empty() {
            return self.any.iter().any(|term| term.is_in(message));
        }
        self.all.iter().all(|term| term.is_in(message))
    }
}

impl Pattern {
    /// Reads a pattern. The empty one matches everything.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, Invalid> {
        if text.chars().count() > PATTERN_MAX {
            return Err(invalid(format!("A filter pattern has at most {PATTERN_MAX} characters")));
        }
        let mut reader = Reader::new(text.trim());
        let pattern = match reader.peek() {
            Some('{') => Self::Json(json::parse(&mut reader)?),
            Some('[') => Self::Fields(fields::parse(&mut reader)?),
            _ => Self::Terms(terms(&mut reader)?),
        };
        reader.skip_blanks();
        if reader.peek().is_some() {
            return Err(invalid(format!("Unexpected text after the pattern: '{}'", reader.rest())));
        }
        Ok(pattern)
    }

    /// Whether a message matches.
    pub(super) fn matches(&self, message: &str) -> bool {
        match self {
            Self::Terms(terms) => terms.match_in(message),
            Self::Json(condition) => json::matches(condition, message),
            Self::Fields(fields) => fields.match_in(message),
        }
    }
}

fn terms(reader: &mut Reader<'_>) -> Result<Terms, Invalid> {
    let mut terms = Terms::default();
    loop {
        reader.skip_blanks();
        let list = match reader.peek() {
            None => return Ok(terms),
            Some('?') => {
                reader.next();
                &mut terms.any
            }
            Some('-') => {
                reader.next();
                &mut terms.none
            }
            Some(_) => &mut terms.all,
        };
        list.push(match reader.value(|c| !c.is_whitespace() && !"\"%{}[]()".contains(c))? {
            Value::Bare(text) | Value::Quoted(text) => Term::Text(text),
            Value::Regex(regex) => Term::Matching(regex),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching<'m>(pattern: &str, messages: &[&'m str]) -> Vec<&'m str> {
        let pattern = Pattern::parse(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        messages.iter().copied().filter(|message| pattern.matches(message)).collect()
    }

    const MESSAGES: [&str; 5] = [
        "[ERROR 400] BAD REQUEST",
        "[ERROR 401] UNAUTHORIZED REQUEST",
        "[ERROR 419] MISSING ARGUMENTS",
        "[ERROR 420] INVALID ARGUMENTS",
        "[WARNING] all is well",
    ];

    #[test]
    fn the_empty_pattern_matches_everything() {
        assert_eq!(matching("", &MESSAGES).len(), 5);
        assert_eq!(matching("  ", &MESSAGES).len(), 5);
    }

    #[test]
    fn all_terms_must_be_there_in_the_same_case() {
        assert_eq!(matching("ERROR ARGUMENTS", &MESSAGES), &MESSAGES[2..4]);
        assert_eq!(matching("error", &MESSAGES), [""; 0]);
        assert_eq!(matching("\"INVALID ARGUMENTS\"", &MESSAGES), &MESSAGES[3..4]);
        assert_eq!(matching("\"[ERROR 4\" REQUEST", &MESSAGES), &MESSAGES[..2]);
    }

    #[test]
    fn any_of_the_optional_terms_is_enough() {
        assert_eq!(matching("?BAD ?WARNING", &MESSAGES), [MESSAGES[0], MESSAGES[4]]);
        assert_eq!(matching("?\"BAD REQUEST\" ?\"well\"", &MESSAGES), [MESSAGES[0], MESSAGES[4]]);
    }

    #[test]
    fn optional_terms_beside_others_are_ignored() {
        assert_eq!(matching("?BAD ERROR", &MESSAGES), &MESSAGES[..4]);
        assert_eq!(matching("?BAD -ERROR", &MESSAGES), &MESSAGES[4..]);
    }

    #[test]
    fn excluded_terms_must_not_be_there() {
        assert_eq!(matching("ERROR -ARGUMENTS", &MESSAGES), &MESSAGES[..2]);
        assert_eq!(matching("-\"MISSING ARGUMENTS\" -REQUEST", &MESSAGES), [MESSAGES[3], MESSAGES[4]]);
    }

    #[test]
    fn regular_expressions_stand_between_percent_signs() {
        assert_eq!(matching("%ERROR 4[01]0%", &MESSAGES), &MESSAGES[..1]);
        assert_eq!(matching("ERROR -%41\\d|42\\d%", &MESSAGES), &MESSAGES[..2]);
    }

    #[test]
    fn quotes_within_quotes_are_escaped() {
        assert_eq!(matching(r#""say \"hi\"""#, &[r#"they say "hi""#, "say hi"]), [r#"they say "hi""#]);
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        for text in [
            "\"open",
            "a(b",
            "?",
            "-",
            "%open",
            "%(%",
            "%a% %b% %c%",
            "{ $.a = 1",
            "{ $.a }",
            "{ a = 1 }",
            "{ $.a = 1 } trailing",
            "{ $.a ~ 1 }",
            "{ $.a > \"x\" }",
            "{ }",
            "[a, b",
            "[a = ]",
            "[..., ...]",
            "[a] b",
            "{ ($.a = 1 }",
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
        assert!(Pattern::parse(&"x".repeat(1025)).is_err());
        assert!(Pattern::parse(&format!("{{ {}$.a = 1{} }}", "(".repeat(99), ")".repeat(99))).is_err());
    }
}
