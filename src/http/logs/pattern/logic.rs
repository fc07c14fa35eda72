//! `&&`, `||` and parentheses, which patterns for JSON and for fields have in common. `&&` binds closer than `||`.
//!
//! Deliberately not here: what stands between them, and whether it holds.

use super::words::Reader;
use super::{Invalid, NESTING_MAX, invalid};

/// Tests, joined.
#[derive(Debug)]
pub(in super::super) enum Logic<T> {
    /// All of them must hold.
    All(Vec<Logic<T>>),
    /// One of them must.
    Any(Vec<Logic<T>>),
    /// This one must.
    Test(T),
}

type Read<'f, T> = &'f dyn Fn(&mut Reader<'_>) -> Result<T, Invalid>;

impl<T> Logic<T> {
    /// Reads as much as belongs together; `read` reads one test.
    pub(super) fn parse(reader: &mut Reader<'_>, read: Read<'_, T>) -> Result<Self, Invalid> {
        any(reader, read, 0)
    }

    /// Whether it holds, if this says so of one test.
    pub(super) fn holds(&self, test: &dyn Fn(&T) -> bool) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(test)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(test)),
            Self::Test(one) => test(one),
        }
    }
}

fn any<T>(reader: &mut Reader<'_>, read: Read<'_, T>, depth: usize) -> Result<Logic<T>, Invalid> {
    let mut parts = vec![all(reader, read, depth)?];
    while reader.take("||") {
        parts.push(all(reader, read, depth)?);
    }
    Ok(Logic::Any(parts))
}

fn all<T>(reader: &mut Reader<'_>, read: Read<'_, T>, depth: usize) -> Result<Logic<T>, Invalid> {
    let mut parts = vec![one(reader, read, depth)?];
    while reader.take("&&") {
        parts.push(one(reader, read, depth)?);
    }
    Ok(Logic::All(parts))
}

fn one<T>(reader: &mut Reader<'_>, read: Read<'_, T>, depth: usize) -> Result<Logic<T>, Invalid> {
    if !reader.take("(") {
        return read(reader).map(Logic::Test);
    }
    if depth >= NESTING_MAX {
        return Err(invalid(format!("A filter pattern has at most {NESTING_MAX} levels of parentheses")));
    }
    let inner = any(reader, read, depth + 1)?;
    reader.expect(")")?;
    Ok(inner)
}
