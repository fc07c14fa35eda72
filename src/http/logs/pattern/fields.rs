//! Patterns for messages made of fields: `[ip, user, time, request = "GET *", status = 4* || status = 5*, ...]`.
//!
//! Fields are separated by blanks; what stands between square brackets or quotation marks is one field. A message
//! matches if it has as many fields as the pattern, or, with an ellipsis, at least as many.

use super::logic::Logic;
use super::words::{Comparison, Operator, Reader};
use super::{Invalid, invalid};

/// The fields of a message.
#[derive(Debug)]
pub(in super::super) struct Fields {
    before: Vec<Field>,
    /// After an ellipsis, if there is one: counted from the end.
    after: Option<Vec<Field>>,
}

/// What must hold of one field; nothing where none is compared.
type Field = Logic<Option<Comparison>>;

/// Reads `[…]`.
pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Fields, Invalid> {
    reader.expect("[")?;
    let mut fields = Fields { before: Vec::new(), after: None };
    loop {
        if reader.take("...") {
            if fields.after.replace(Vec::new()).is_some() {
                return Err(invalid("Invalid filter pattern: there can be one ellipsis"));
            }
        } else {
            let field = Logic::parse(reader, &field)?;
            fields.after.as_mut().unwrap_or(&mut fields.before).push(field);
        }
        if reader.take("]") {
            return Ok(fields);
        }
        reader.expect(",")?;
    }
}

fn field(reader: &mut Reader<'_>) -> Result<Option<Comparison>, Invalid> {
    reader.skip_blanks();
    // The name says nothing: fields are told apart by their places.
    reader.bare(|c| c.is_alphanumeric() || "_-.".contains(c))?;
    let Some(operator) = Operator::take(reader) else { return Ok(None) };
    Comparison::parse(operator, reader, |c| !c.is_whitespace() && !"\"%[](),&|=<>!".contains(c)).map(Some)
}

fn holds(field: &Field, text: &str) -> bool {
    field.holds(&|one| one.as_ref().is_none_or(|comparison| comparison.holds_for_field(text)))
}

impl Fields {
    /// Whether a message has such fields.
    pub(super) fn match_in(&self, message: &str) -> bool {
        let found = split(message.trim());
        let after = self.after.as_deref().unwrap_or_default();
        let least = self.before.len() + after.len();
        let fits = if self.after.is_some() { found.len() >= least } else { found.len() == least };
        fits && self.before.iter().zip(&found).all(|(field, text)| holds(field, text))
            && after.iter().rev().zip(found.iter().rev()).all(|(field, text)| holds(field, text))
    }
}

/// A message's fields, without the brackets or quotation marks around them.
fn split(message: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let closing = match rest.as_bytes()[0] {
            b'[' => Some(']'),
            b'"' => Some('"'),
            _ => None,
        };
        let enclosed = closing.and_then(|closing| rest[1..].split_once(closing));
        let (field, after) = match enclosed {
            // The mark must end the field, else it is part of a word.
            Some((field, after)) if after.is_empty() || after.starts_with(char::is_whitespace) => {
                (field, after)
            }
            _ => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
        };
        fields.push(field);
        rest = after.trim_start();
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::super::Pattern;

    const LINE: &str =
        "127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] \"GET /index.html HTTP/1.0\" 404 1534\n";

    fn is_match(pattern: &str) -> bool {
        Pattern::parse(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).matches(LINE)
    }

    #[test]
    fn fields_are_counted_and_compared() {
        for pattern in [
            "[ip, id, user, timestamp, request, status_code, bytes]",
            "[ip, id, user, timestamp, request, status_code = 4*, bytes > 1000]",
            "[ip=127.0.0.1, ..., request =*.html*, status_code = 4*, bytes]",
            "[..., status_code = 404 || status_code = 410, bytes]",
            "[ip, id, user, timestamp, request, status_code != 3* && status_code != 5*, bytes]",
            "[w1=*, ...]",
            "[..., request=\"GET *\", status, size <= 1534]",
            "[a, b, c, ..., (status=404 || status=500) && status!=500, bytes]",
            "[..., status = %4\\d\\d%, bytes]",
        ] {
            assert!(is_match(pattern), "{pattern}");
        }
        for pattern in [
            "[ip, id, user]",
            "[ip, id, user, timestamp, request, status_code = 5*, bytes]",
            "[ip, id, user, timestamp, request, status_code, bytes > 1534]",
            "[a, b, c, d, e, f, g, h, ...]",
            "[..., user = frank]",
        ] {
            assert!(!is_match(pattern), "{pattern}");
        }
    }
}
