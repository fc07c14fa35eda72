//! Whether a text matches a pattern of the service, which speaks Java's dialect and always matches the whole text.
//!
//! Each pattern is compiled once. Six patterns look around, which the regex engine (linear in time, by design) cannot;
//! those are a simpler pattern plus a hand-written condition, in one table.
//! Deliberately not here: the wording of violations (`validate`).

use regex::Regex;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// A pattern of the service that looks around, and what stands in for it here.
struct LookAround {
    pattern: &'static str,
    simpler: &'static str,
    condition: fn(&str) -> bool,
}

static LOOK_AROUND: &[LookAround] = &[
    LookAround {
        pattern: r"(?!^[0-9]+$)([a-zA-Z0-9-_]+)",
        simpler: r"[a-zA-Z0-9-_]+",
        condition: |text| !is_number(text),
    },
    LookAround {
        pattern: r"((?!^\d+$)^[0-9a-zA-Z-_]+$)",
        simpler: r"[0-9a-zA-Z-_]+",
        condition: |text| !is_number(text),
    },
    LookAround {
        pattern: r"(^(?!(system\x2e)))(^[_a-zA-Z0-9])([^$]*)",
        simpler: r"[_a-zA-Z0-9][^$]*",
        condition: |text| !text.starts_with("system."),
    },
    LookAround {
        pattern: r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]{1,64})(:((?!\d+$)[0-9a-zA-Z-_]+))?",
        simpler: r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]{1,64})(:[0-9]*[a-zA-Z-_][0-9a-zA-Z-_]*)?",
        condition: |_| true,
    },
    LookAround {
        pattern: r"[0-9A-Za-z\.\-_]*(?<!\.)",
        simpler: r"[0-9A-Za-z\.\-_]*",
        condition: |text| !text.ends_with('.'),
    },
];

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A pattern ready for use, with its hand-written condition.
#[derive(Clone)]
struct Compiled {
    regex: Arc<Regex>,
    condition: Option<fn(&str) -> bool>,
}

/// Where a pattern's text lies and how long it is: patterns are long and static, and hashing one took longer than
/// matching it.
type Address = (usize, usize);

// Bounded by the number of patterns in the shapes.
static COMPILED: RwLock<BTreeMap<Address, Compiled>> = RwLock::new(BTreeMap::new());

/// True if the whole of `text` matches `pattern`.
///
/// A pattern that does not compile matches nothing; a test compiles them all, so that this cannot happen.
pub(crate) fn matches(pattern: &'static str, text: &str) -> bool {
    let Some(compiled) = compiled(pattern) else { return false };
    compiled.regex.is_match(text) && compiled.condition.is_none_or(|condition| condition(text))
}

fn compiled(pattern: &'static str) -> Option<Compiled> {
    let address = (pattern.as_ptr().addr(), pattern.len());
    let known = COMPILED.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(compiled) = known.get(&address) {
        return Some(compiled.clone());
    }
    drop(known);
    let look_around = LOOK_AROUND.iter().find(|row| row.pattern == pattern);
    let simpler = look_around.map_or(pattern, |row| row.simpler);
    let condition = look_around.map(|row| row.condition);
    let compiled = Compiled { regex: Arc::new(compile(simpler).ok()?), condition };
    let mut known = COMPILED.write().unwrap_or_else(PoisonError::into_inner);
    known.insert(address, compiled.clone());
    Some(compiled)
}

fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(&format!("^(?:{})$", ascii_classes(pattern))).size_limit(1 << 24).build()
}

/// `\d`, `\w` and `\s` are ASCII in Java and Unicode here: spelled out.
fn ascii_classes(pattern: &str) -> String {
    let (mut text, mut inside, mut chars) = (String::new(), false, pattern.chars());
    while let Some(char) = chars.next() {
        if char != '\\' {
            inside = (inside || char == '[') && char != ']';
            text.push(char);
            continue;
        }
        let class = match chars.next() {
            Some('d') => "0-9",
            Some('w') => "a-zA-Z_0-9",
            Some('s') => r" \t\n\x0B\f\r",
            other => {
                text.push('\\');
                text.extend(other);
                continue;
            }
        };
        if inside {
            text.push_str(class);
        } else {
            text.push_str(&format!("[{class}]"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::TABLE;
    use crate::shape::{Kind, Shape};
    use std::collections::BTreeSet;

    fn patterns(shape: &'static Shape, found: &mut BTreeSet<&'static str>) {
        match shape.kind {
            Kind::Structure(members) => members.iter().for_each(|member| patterns(member.shape, found)),
            Kind::List(list) => patterns(list.member, found),
            Kind::Map(map) => [map.key, map.value].into_iter().for_each(|shape| patterns(shape, found)),
            Kind::Text(text) => found.extend(text.pattern),
            _ => {}
        }
    }

    #[test]
    fn every_pattern_of_the_table_compiles_or_has_a_stand_in() {
        let mut found = BTreeSet::new();
        for row in TABLE {
            patterns(row.input, &mut found);
            patterns(row.output, &mut found);
        }
        assert!(found.len() > 60, "only {} patterns found", found.len());
        for pattern in found {
            let row = LOOK_AROUND.iter().find(|row| row.pattern == pattern);
            let simpler = row.map_or(pattern, |row| row.simpler);
            assert!(compile(simpler).is_ok(), "{pattern}: {:?}", compile(simpler));
        }
    }

    #[test]
    fn look_around_is_obeyed() {
        let alias = LOOK_AROUND[0].pattern;
        assert!(
            matches(alias, "prod-1")
                && !matches(alias, "123")
                && !matches(alias, "a b")
                && !matches(alias, "")
        );
        let collection = LOOK_AROUND[2].pattern;
        assert!(
            matches(collection, "orders.2024")
                && !matches(collection, "system.users")
                && !matches(collection, "a$b")
        );
        let url = LOOK_AROUND[3].pattern;
        assert!(matches(url, "f") && matches(url, "f:prod") && matches(url, "f:1a") && !matches(url, "f:12"));
        let bucket = LOOK_AROUND[4].pattern;
        assert!(matches(bucket, "my.bucket") && !matches(bucket, "bucket."));
    }

    #[test]
    fn the_whole_text_must_match_and_digits_are_ascii() {
        assert!(matches("[0-9]+", "12") && !matches("[0-9]+", "12a"));
        assert!(matches(r"\d{2}", "12") && !matches(r"\d{2}", "١٢"));
        assert!(matches(r"[^\s]+", "a.b") && !matches(r"[^\s]+", "a b"));
    }
}
