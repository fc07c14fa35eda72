//! What all three languages of filter patterns are made of: blanks, quoted and bare values, regular expressions, and
//! the comparison of a text with a value.

use super::{Invalid, REGEX_BYTES_MAX, REGEXES_MAX, invalid};
use regex::{Regex, RegexBuilder};

/// Reads a pattern from left to right.
pub(super) struct Reader<'a> {
    rest: &'a str,
    regexes: usize,
}

/// A value as it was written.
#[derive(Debug)]
pub(super) enum Value {
    /// `word`
    Bare(String),
    /// `"two words"`
    Quoted(String),
    /// `%expression%`
    Regex(Regex),
}

impl<'a> Reader<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { rest: text, regexes: 0 }
    }

    pub(super) const fn rest(&self) -> &'a str {
        self.rest
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    pub(super) fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Takes a text if it comes next, after blanks.
    pub(super) fn take(&mut self, text: &str) -> bool {
        self.skip_blanks();
        let taken = self.rest.strip_prefix(text);
        self.rest = taken.unwrap_or(self.rest);
        taken.is_some()
    }

    /// Takes a word if it comes next, after blanks, in either case and not as the beginning of another.
    pub(super) fn take_word(&mut self, word: &str) -> bool {
        self.skip_blanks();
        let Some((head, tail)) = self.rest.split_at_checked(word.len()) else { return false };
        let ends = !tail.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        if head.eq_ignore_ascii_case(word) && ends {
            self.rest = tail;
            return true;
        }
        false
    }

    pub(super) fn expect(&mut self, text: &str) -> Result<(), Invalid> {
        if self.take(text) { Ok(()) } else { Err(self.unexpected(&format!("'{text}'"))) }
    }

    pub(super) fn unexpected(&self, wanted: &str) -> Invalid {
        let found: String = self.rest.chars().take(20).collect();
        let found = if found.is_empty() { "the end".to_owned() } else { format!("'{found}'") };
        invalid(format!("Invalid filter pattern: expected {wanted}, found {found}"))
    }

    /// Characters for which this holds, at least one.
    pub(super) fn bare(&mut self, is_part: impl Fn(char) -> bool) -> Result<String, Invalid> {
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        if end == 0 {
            return Err(self.unexpected("a value"));
        }
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(taken.to_owned())
    }

    /// A value; `is_part` says which characters an unquoted one may have.
    pub(super) fn value(&mut self, is_part: impl Fn(char) -> bool) -> Result<Value, Invalid> {
        match self.peek() {
            Some('"') => self.quoted('"').map(Value::Quoted),
            Some('%') => self.regex().map(Value::Regex),
            _ => self.bare(is_part).map(Value::Bare),
        }
    }

    /// A text between quotes, in which a backslash takes the next character as it is.
    pub(super) fn quoted(&mut self, quote: char) -> Result<String, Invalid> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err(invalid("Invalid filter pattern: a quotation has no end")),
                Some(c) if c == quote => return Ok(text),
                Some('\\') => text.extend(self.next()),
                Some(c) => text.push(c),
            }
        }
    }

    fn regex(&mut self) -> Result<Regex, Invalid> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err(invalid("Invalid filter pattern: a regular expression has no end")),
                Some('%') => break,
                Some('\\') => {
                    text.push('\\');
                    text.extend(self.next());
                }
                Some(c) => text.push(c),
            }
        }
        self.regexes += 1;
        if self.regexes > REGEXES_MAX {
            let text = format!("A filter pattern has at most {REGEXES_MAX} regular expressions");
            return Err(invalid(text));
        }
        RegexBuilder::new(&text)
            .size_limit(REGEX_BYTES_MAX)
            .build()
            .map_err(|error| invalid(format!("Invalid regular expression in the filter pattern: {error}")))
    }
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    /// Takes an operator if one comes next.
    pub(super) fn take(reader: &mut Reader<'_>) -> Option<Self> {
        // Longer ones first: `<` begins `<=`.
        let all = [
            ("!=", Self::NotEqual),
            ("<=", Self::LessOrEqual),
            (">=", Self::GreaterOrEqual),
            ("=", Self::Equal),
            ("<", Self::Less),
            (">", Self::Greater),
        ];
        all.into_iter().find(|(text, _)| reader.take(text)).map(|(_, operator)| operator)
    }

    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

/// What something is compared with.
#[derive(Debug)]
pub(super) enum Literal {
    /// A number; texts are compared as written.
    Number(f64, String),
    /// A text with `*` for anything.
    Text(String),
    /// A regular expression.
    Regex(Regex),
}

/// An operator and what stands to its right.
#[derive(Debug)]
pub(super) struct Comparison {
    operator: Operator,
    literal: Literal,
}

impl Comparison {
    /// Reads the literal after an operator.
    pub(super) fn parse(
        operator: Operator,
        reader: &mut Reader<'_>,
        is_part: impl Fn(char) -> bool,
    ) -> Result<Self, Invalid> {
        reader.skip_blanks();
        let literal = match reader.value(is_part)? {
            Value::Regex(regex) => Literal::Regex(regex),
            Value::Quoted(text) => Literal::Text(text),
            Value::Bare(text) => match number(&text) {
                Some(number) => Literal::Number(number, text),
                None => Literal::Text(text),
            },
        };
        let orders = !matches!(operator, Operator::Equal | Operator::NotEqual);
        if orders && !matches!(literal, Literal::Number(..)) {
            return Err(invalid("Invalid filter pattern: only numbers can be less or greater"));
        }
        Ok(Self { operator, literal })
    }

    /// Whether a number compares so.
    pub(super) fn holds_for_number(&self, left: f64) -> bool {
        match &self.literal {
            Literal::Number(right, _) => self.operator.holds(left, *right),
            // A text is not a number, and so is not equal to one.
            Literal::Text(_) | Literal::Regex(_) => self.operator == Operator::NotEqual,
        }
    }

    /// Whether a text compares so.
    pub(super) fn holds_for_text(&self, left: &str) -> bool {
        let equal = match &self.literal {
            Literal::Number(right, written) => match (self.operator, number(left)) {
                (Operator::Equal | Operator::NotEqual, _) => wildcard(written, left),
                (operator, Some(left)) => return operator.holds(left, *right),
                (_, None) => return false,
            },
            Literal::Text(text) => wildcard(text, left),
            Literal::Regex(regex) => regex.is_match(left),
        };
        equal == (self.operator == Operator::Equal)
    }

    /// As [`Self::holds_for_text`], for texts that are numbers if they look like one.
    pub(super) fn holds_for_field(&self, left: &str) -> bool {
        match (&self.literal, number(left)) {
            (Literal::Number(..), Some(number)) => self.holds_for_number(number),
            _ => self.holds_for_text(left),
        }
    }
}

/// Digits, perhaps with sign, fraction and exponent; not `inf`, `nan` and the like.
fn number(text: &str) -> Option<f64> {
    let looks = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    looks.then_some(number).flatten()
}

/// Whether a text is the pattern, in which `*` stands for anything, also nothing.
fn wildcard(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        // The first place is as good as any: what follows may stand further right.
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::{number, wildcard};

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text) in [
            ("*", ""),
            ("a*", "a"),
            ("*b", "aab"),
            ("a*c*e", "abcde"),
            ("a*a", "aa"),
            ("*.1*", "10.1.2"),
            ("x", "x"),
        ] {
            assert!(wildcard(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a*a", "a"), ("a*", "ba"), ("a*c*e", "aec"), ("", "x"), ("*x*", "y")] {
            assert!(!wildcard(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn numbers_look_like_numbers() {
        assert_eq!(number("1e-3"), Some(0.001));
        assert_eq!(number("-2.5"), Some(-2.5));
        assert_eq!(number("inf"), None);
        assert_eq!(number("NaN"), None);
        assert_eq!(number("4*"), None);
    }
}
