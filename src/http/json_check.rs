//! Checks that an Invoke payload is JSON, in one pass, without building a tree or copying a byte.
//!
//! The payload itself reaches the function unchanged; only the verdict and, for a refusal, the service's wording
//! (it is Jackson's) come from here. Nesting is bounded, memory is one bit per open bracket.

/// Brackets open at once; Jackson's default.
const DEPTH_MAX: usize = 1000;
const VALUE: &str =
    "expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')";
const SOURCE: &str = "at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line:";
const TOKEN_SHOWN_MAX: usize = 256;

/// Says nothing if `text` is one JSON value, else why not, in the service's words.
pub(crate) fn check(text: &[u8]) -> Result<(), String> {
    let mut checker = Checker { text, at: 0, open: Vec::new() };
    checker.document().map_err(|problem| {
        let (line, column) = checker.place(problem.at);
        format!("{}\n {SOURCE} {line}, column: {column}]", problem.what)
    })
}

struct Problem {
    what: String,
    at: usize,
}

type Check<T> = Result<T, Problem>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bracket {
    Array,
    Object,
}

struct Checker<'a> {
    text: &'a [u8],
    at: usize,
    open: Vec<(Bracket, usize)>,
}

impl Checker<'_> {
    fn place(&self, at: usize) -> (usize, usize) {
        let before = &self.text[..at.min(self.text.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        (before.iter().filter(|byte| **byte == b'\n').count() + 1, at - line_start + 1)
    }

    fn document(&mut self) -> Check<()> {
        self.value()?;
        // Here a value has just ended.
        while let Some((bracket, _)) = self.open.last().copied() {
            match (self.next_solid()?, bracket) {
                (b',', Bracket::Array) => self.value()?,
                (b',', Bracket::Object) => {
                    self.key()?;
                    self.value()?;
                }
                (b']', Bracket::Array) | (b'}', Bracket::Object) => {
                    self.open.pop();
                }
                (other, bracket) => {
                    let entries = if bracket == Bracket::Array { "Array" } else { "Object" };
                    return Err(
                        self.unexpected(other, &format!("was expecting comma to separate {entries} entries"))
                    );
                }
            }
        }
        self.skip_blank();
        match self.text.get(self.at) {
            None => Ok(()),
            Some(byte) => {
                self.at += 1;
                Err(self.unexpected(*byte, "expected the end of the payload"))
            }
        }
    }

    fn skip_blank(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    /// The next byte that is not blank; the position is behind it.
    fn next_solid(&mut self) -> Check<u8> {
        self.skip_blank();
        let Some(byte) = self.text.get(self.at) else { return Err(self.ended()) };
        self.at += 1;
        Ok(*byte)
    }

    /// One value; an opening bracket that does not close at once stays open.
    fn value(&mut self) -> Check<()> {
        loop {
            match self.next_solid()? {
                b'"' => return self.string("was expecting closing quote for a string value"),
                b'{' => {
                    self.push(Bracket::Object)?;
                    self.skip_blank();
                    if self.text.get(self.at) == Some(&b'}') {
                        return Ok(());
                    }
                    self.key()?;
                }
                b'[' => {
                    self.push(Bracket::Array)?;
                    self.skip_blank();
                    if self.text.get(self.at) == Some(&b']') {
                        return Ok(());
                    }
                }
                byte @ (b'-' | b'0'..=b'9') => return self.number(byte),
                b't' => return self.word("true"),
                b'f' => return self.word("false"),
                b'n' => return self.word("null"),
                byte => return Err(self.unexpected(byte, VALUE)),
            }
        }
    }

    fn push(&mut self, bracket: Bracket) -> Check<()> {
        if self.open.len() == DEPTH_MAX {
            let what = format!(
                "Document nesting depth ({}) exceeds the maximum allowed ({DEPTH_MAX}, from `StreamReadConstraints.getMaxNestingDepth()`)",
                DEPTH_MAX + 1
            );
            return Err(Problem { what, at: self.at });
        }
        self.open.push((bracket, self.at - 1));
        Ok(())
    }

    fn key(&mut self) -> Check<()> {
        match self.next_solid()? {
            b'"' => self.string("was expecting closing quote for a field name")?,
            byte => return Err(self.unexpected(byte, "was expecting double-quote to start field name")),
        }
        match self.next_solid()? {
            b':' => Ok(()),
            byte => Err(self.unexpected(byte, "was expecting a colon to separate field name and value")),
        }
    }

    fn string(&mut self, unfinished: &str) -> Check<()> {
        loop {
            // Most of a large payload is plain text: skipped in one tight loop.
            let plain = |byte: &u8| matches!(byte, 32..=33 | 35..=91 | 93..=127);
            let rest = &self.text[self.at..];
            self.at += rest.iter().position(|byte| !plain(byte)).unwrap_or(rest.len());
            let Some(byte) = self.text.get(self.at) else {
                return Err(Problem { what: format!("Unexpected end-of-input: {unfinished}"), at: self.at });
            };
            self.at += 1;
            match byte {
                b'"' => return Ok(()),
                b'\\' => self.escape()?,
                0..=31 => {
                    let what = format!(
                        "Illegal unquoted character ({}): has to be escaped using backslash to be included in string value",
                        describe(*byte)
                    );
                    return Err(Problem { what, at: self.at });
                }
                32..=127 => {}
                _ => self.beyond_ascii(*byte)?,
            }
        }
    }

    fn escape(&mut self) -> Check<()> {
        let Some(byte) = self.text.get(self.at) else { return Err(self.ended()) };
        self.at += 1;
        match byte {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => {
                for _ in 0..4 {
                    match self.text.get(self.at) {
                        Some(digit) if digit.is_ascii_hexdigit() => self.at += 1,
                        Some(other) => {
                            self.at += 1;
                            return Err(
                                self.unexpected(*other, "expected a hex-digit for character escape sequence")
                            );
                        }
                        None => return Err(self.ended()),
                    }
                }
                Ok(())
            }
            other => {
                let what = format!("Unrecognized character escape {}", describe(*other));
                Err(Problem { what, at: self.at })
            }
        }
    }

    /// The rest of a character whose first byte has just been read.
    fn beyond_ascii(&mut self, first: u8) -> Check<()> {
        let follow = match first {
            0xC2..=0xDF => 1,
            0xE0..=0xEF => 2,
            0xF0..=0xF4 => 3,
            _ => {
                return Err(Problem { what: format!("Invalid UTF-8 start byte 0x{first:x}"), at: self.at });
            }
        };
        let character = self.text.get(self.at - 1..self.at + follow);
        if character.is_some_and(|bytes| std::str::from_utf8(bytes).is_ok()) {
            self.at += follow;
            return Ok(());
        }
        let bad = self.text[self.at..].iter().position(|byte| byte & 0xC0 != 0x80).unwrap_or(0);
        match self.text.get(self.at + bad) {
            Some(byte) => {
                let what = format!("Invalid UTF-8 middle byte 0x{byte:x}");
                Err(Problem { what, at: self.at + bad + 1 })
            }
            None => Err(self.ended()),
        }
    }

    fn number(&mut self, first: u8) -> Check<()> {
        let mut lead = first;
        if first == b'-' {
            let text = "Expected digit (0-9) to follow minus sign, for valid numeric value";
            lead = self.digit(text)?;
        }
        if lead == b'0' {
            if self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
                let what = "Invalid numeric value: Leading zeroes not allowed".to_owned();
                return Err(Problem { what, at: self.at });
            }
        } else {
            self.skip_digits();
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digit("Decimal point not followed by a digit")?;
            self.skip_digits();
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.text.get(self.at) {
                self.at += 1;
            }
            self.digit("Exponent indicator not followed by a digit")?;
            self.skip_digits();
        }
        match self.text.get(self.at) {
            None | Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b']' | b'}') => Ok(()),
            Some(byte) => {
                self.at += 1;
                let text = "Expected space separating root-level values";
                Err(self.unexpected(*byte, text))
            }
        }
    }

    fn digit(&mut self, expected: &str) -> Check<u8> {
        match self.text.get(self.at) {
            Some(byte) if byte.is_ascii_digit() => {
                self.at += 1;
                Ok(*byte)
            }
            Some(byte) => {
                self.at += 1;
                Err(self.unexpected(*byte, expected))
            }
            None => Err(self.ended()),
        }
    }

    fn skip_digits(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &str) -> Check<()> {
        let start = self.at - 1;
        let whole = self.text[start..].starts_with(word.as_bytes());
        let longer = self.text.get(start + word.len()).is_some_and(|byte| is_token(*byte));
        if !whole || longer {
            return Err(self.bad_token(start));
        }
        self.at = start + word.len();
        Ok(())
    }

    /// Jackson reads the whole token for its message, and stumbles over bytes in it that are no text.
    fn bad_token(&mut self, start: usize) -> Problem {
        self.at = start;
        while let Some(byte) = self.text.get(self.at).copied() {
            let begin = self.at;
            if byte.is_ascii() {
                if !is_token(byte) {
                    break;
                }
                self.at += 1;
                continue;
            }
            self.at += 1;
            if let Err(problem) = self.beyond_ascii(byte) {
                return problem;
            }
            let character = std::str::from_utf8(&self.text[begin..self.at]);
            if !character.is_ok_and(|text| text.chars().all(char::is_alphanumeric)) {
                self.at = begin;
                break;
            }
        }
        let (rest, length) = (&self.text[start..], self.at - start);
        let shown = String::from_utf8_lossy(&rest[..length.min(TOKEN_SHOWN_MAX)]);
        let more = if length > TOKEN_SHOWN_MAX { "..." } else { "" };
        let expected = VALUE.strip_prefix("expected a valid value ").unwrap_or(VALUE);
        let what = format!("Unrecognized token '{shown}{more}': was expecting {expected}");
        Problem { what, at: start + length }
    }

    fn unexpected(&self, byte: u8, expected: &str) -> Problem {
        Problem { what: format!("Unexpected character ({}): {expected}", describe(byte)), at: self.at - 1 }
    }

    fn ended(&self) -> Problem {
        let what = match self.open.last() {
            None => "No content to map due to end-of-input".to_owned(),
            Some((bracket, start)) => {
                let name = if *bracket == Bracket::Array { "Array" } else { "Object" };
                let (line, column) = self.place(*start);
                format!(
                    "Unexpected end-of-input: expected close marker for {name} (start marker {SOURCE} {line}, column: {column}])"
                )
            }
        };
        Problem { what, at: self.text.len() }
    }
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$'
}

/// Jackson's way to show one byte.
fn describe(byte: u8) -> String {
    if byte < 32 || (127..160).contains(&byte) {
        format!("(CTRL-CHAR, code {byte})")
    } else {
        // The opening bracket is the service's own.
        format!("('{}' (code {byte})", char::from(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_is_accepted() {
        for text in [
            "null",
            " true ",
            "-0.5e+3",
            "\"a\\u00e9\\n\u{e9}\u{1F600}\"",
            "[]",
            "{}",
            "[1,{\"a\":[[]]}]",
            "0",
        ] {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
        }
    }

    #[test]
    fn refusals_use_the_recorded_words() {
        let error = check(&[0x99, 0x01]).expect_err("no JSON");
        assert_eq!(
            error,
            "Unexpected character ((CTRL-CHAR, code 153)): expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: 1]"
        );
        let error = check(&[b'"', 0x87]).expect_err("no UTF-8");
        assert!(error.starts_with("Invalid UTF-8 start byte 0x87\n at [Source:"), "{error}");
        assert!(error.ends_with("line: 1, column: 3]"), "{error}");
    }

    #[test]
    fn a_misspelt_word_is_named_and_bytes_in_it_that_are_no_text_come_first() {
        assert!(check(b"n\x87").expect_err("no UTF-8").ends_with("line: 1, column: 3]"));
        assert!(
            check("n\u{e9}".as_bytes()).expect_err("no word").starts_with("Unrecognized token 'n\u{e9}'")
        );
    }

    #[test]
    fn broken_documents_are_refused() {
        let broken = [
            "",
            "{",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "[1 2]",
            "01",
            "1.",
            "-",
            "1e",
            "nul",
            "trueish",
            "\"",
            "\"\\x\"",
            "\"\n\"",
            "{} {}",
            "[}",
            "'a'",
            "x",
            "\"\\u12\"",
            "1a",
            "{\"a\":1,}",
        ];
        for text in broken {
            assert!(check(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = "[".repeat(100_000);
        assert!(check(deep.as_bytes()).expect_err("too deep").contains("nesting depth (1001)"));
        let fits = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        assert_eq!(check(fits.as_bytes()), Ok(()));
    }

    #[test]
    fn it_agrees_with_a_full_parser_on_small_texts() {
        let alphabet = b"[]{},:\"\\1-.e0tru nulfase";
        let mut seed = 7_u64;
        for _ in 0..200_000 {
            let mut text = Vec::new();
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            for shift in 0..(seed >> 60) {
                text.push(alphabet[((seed >> (shift * 4)) % alphabet.len() as u64) as usize]);
            }
            let reference = serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok();
            assert_eq!(check(&text).is_ok(), reference, "{}", String::from_utf8_lossy(&text));
        }
    }
}
