//! Traces: who was called when, and for how long, from a CSV or JSON file of any length.
//!
//! A file is read twice, line by line: once to check it and to learn the functions, then while the simulation runs. CSV
//! begins with the names of its columns; JSON is one object per line, or a list of them. Members are `time_ms` or `time_s`
//! (since the beginning), `function`, and if known `duration_ms` or `duration_s`. Others are ignored.

use super::super::failure::Failure;
use super::{place, spreads};
use hearth_logic::Time;
use hearth_logic::simulate::workload::{Call, FUNCTIONS_MAX, Function};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of a line, or of a JSON object.
const ROW_MAX: u64 = 64 << 10;
/// Milliseconds that a trace may span: ten years.
const TIME_MS_MAX: f64 = 3.2e11;

/// A file that has been checked.
#[derive(Debug)]
pub(super) struct Trace {
    file: PathBuf,
    functions: BTreeMap<String, usize>,
    last: Time,
}

impl Trace {
    /// Reads the file once. Functions that are not among `functions` yet are added, alike `unknown`.
    pub(super) fn open(
        file: &Path,
        functions: &mut Vec<Function>,
        unknown: &Function,
    ) -> Result<Self, Failure> {
        let mut places: BTreeMap<String, usize> =
            functions.iter().enumerate().map(|(at, function)| (function.name.clone(), at)).collect();
        let mut last = Time::ZERO;
        for row in Rows::open(file)? {
            let Row { line, at, function, .. } = row?;
            if at < last {
                let sentence = "this time is before the one above it; sort the trace by time";
                return Err(Failure::because(format!("{}: {sentence}", place(file, line))));
            }
            last = at;
            if !places.contains_key(&function) {
                if functions.len() >= FUNCTIONS_MAX {
                    let sentence = format!("more than {FUNCTIONS_MAX} functions");
                    return Err(Failure::because(format!("{}: {sentence}", place(file, line))));
                }
                places.insert(function.clone(), functions.len());
                functions.push(Function { name: function, ..unknown.clone() });
            }
        }
        Ok(Self { file: file.to_owned(), functions: places, last })
    }

    /// Long enough for the last call.
    pub(super) fn length(&self) -> Duration {
        self.last.since(Time::ZERO) + Duration::from_nanos(1)
    }

    /// The calls, from the beginning.
    pub(super) fn calls(&self) -> Result<impl Iterator<Item = Result<Call, Failure>> + '_, Failure> {
        let rows = Rows::open(&self.file)?;
        Ok(rows.map(|row| {
            let Row { line, at, function, duration } = row?;
            let changed = || Failure::because(format!("{}: the file has changed", place(&self.file, line)));
            let function = self.functions.get(&function).copied().ok_or_else(changed)?;
            Ok(Call { at, function, duration })
        }))
    }
}

#[derive(Debug, PartialEq)]
struct Row {
    line: usize,
    at: Time,
    function: String,
    duration: Option<Duration>,
}

/// Which column is what, and how many milliseconds its unit has.
#[derive(Debug)]
struct Columns {
    time: (usize, f64),
    function: usize,
    duration: Option<(usize, f64)>,
}

#[derive(Debug)]
enum Form {
    Csv(Columns),
    Json,
}

struct Rows<R> {
    file: PathBuf,
    source: R,
    line: usize,
    form: Form,
    is_over: bool,
}

impl Rows<BufReader<File>> {
    fn open(file: &Path) -> Result<Self, Failure> {
        let opened = File::open(file)
            .map_err(|error| Failure::because(format!("cannot open {}: {error}", file.display())))?;
        Rows::of(file, BufReader::new(opened))
    }
}

impl<R: BufRead> Rows<R> {
    fn of(file: &Path, source: R) -> Result<Self, Failure> {
        let mut rows = Self { file: file.to_owned(), source, line: 0, form: Form::Json, is_over: false };
        let first = rows.source.fill_buf().map_err(|error| rows_error(file, 1, &error.to_string()))?;
        let first = first.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
        if !matches!(first, Some(b'[' | b'{')) {
            let heading = rows.line().map_err(|why| rows.wrong(&why))?.unwrap_or_default();
            rows.form = Form::Csv(columns(&heading).map_err(|why| rows.wrong(&why))?);
        }
        Ok(rows)
    }

    fn wrong(&self, why: &str) -> Failure {
        rows_error(&self.file, self.line.max(1), why)
    }

    /// The next line that is not empty, without its end.
    fn line(&mut self) -> Result<Option<String>, String> {
        loop {
            let mut bytes = Vec::new();
            let read = (&mut self.source).take(ROW_MAX).read_until(b'\n', &mut bytes);
            if read.map_err(|error| error.to_string())? == 0 {
                return Ok(None);
            }
            self.line += 1;
            if bytes.len() as u64 == ROW_MAX && bytes.last() != Some(&b'\n') {
                return Err(format!("longer than {ROW_MAX} bytes"));
            }
            let text = String::from_utf8(bytes).map_err(|_| "this is not UTF-8".to_owned())?;
            let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\n', '\r']);
            if !text.trim().is_empty() {
                return Ok(Some(text.to_owned()));
            }
        }
    }

    /// The next object of a list or of lines.
    fn object(&mut self) -> Result<Option<Value>, String> {
        let (mut bytes, mut depth, mut in_text, mut escaped) = (Vec::new(), 0_u32, false, false);
        loop {
            let buffer = self.source.fill_buf().map_err(|error| error.to_string())?;
            let Some(byte) = buffer.first().copied() else {
                return if bytes.is_empty() {
                    Ok(None)
                } else {
                    Err("the file ends within an object".to_owned())
                };
            };
            self.source.consume(1);
            self.line = self.line.max(1) + usize::from(byte == b'\n');
            if depth == 0 && byte != b'{' {
                if byte.is_ascii_whitespace() || matches!(byte, b'[' | b']' | b',') {
                    continue;
                }
                return Err("objects are expected here, in a list or one per line".to_owned());
            }
            bytes.push(byte);
            if bytes.len() as u64 > ROW_MAX {
                return Err(format!("an object longer than {ROW_MAX} bytes"));
            }
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_text => escaped = true,
                b'"' => in_text = !in_text,
                b'{' if !in_text => depth += 1,
                b'}' if !in_text => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return serde_json::from_slice(&bytes).map(Some).map_err(|error| error.to_string());
            }
        }
    }

    fn row(&mut self) -> Result<Option<Row>, String> {
        if matches!(self.form, Form::Json) {
            let Some(object) = self.object()? else { return Ok(None) };
            return row_of_json(self.line, &object).map(Some);
        }
        let Some(text) = self.line()? else { return Ok(None) };
        let Form::Csv(columns) = &self.form else { return Ok(None) };
        row_of_csv(self.line, columns, &text).map(Some)
    }
}

impl<R: BufRead> Iterator for Rows<R> {
    type Item = Result<Row, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let row = self.row().map_err(|why| self.wrong(&why)).transpose();
        self.is_over = !matches!(row, Some(Ok(_)));
        row
    }
}

fn rows_error(file: &Path, line: usize, why: &str) -> Failure {
    Failure::because(format!("{}: {why}", place(file, line)))
}

/// Milliseconds in the unit of a column called so.
fn unit(name: &str, what: &str) -> Option<f64> {
    match name.strip_prefix(what)? {
        "_ms" => Some(1.0),
        "_s" => Some(1_000.0),
        _ => None,
    }
}

fn columns(heading: &str) -> Result<Columns, String> {
    let names = fields(heading)?;
    let find = |what| names.iter().enumerate().find_map(|(at, name)| Some((at, unit(name.trim(), what)?)));
    let lacks = |what| format!("the first line names the columns and lacks {what}");
    Ok(Columns {
        time: find("time").ok_or_else(|| lacks("time_ms or time_s"))?,
        function: names.iter().position(|name| name.trim() == "function").ok_or_else(|| lacks("function"))?,
        duration: find("duration"),
    })
}

fn row_of_csv(line: usize, columns: &Columns, text: &str) -> Result<Row, String> {
    let fields = fields(text)?;
    let field = |at: usize| fields.get(at).map(|field| field.trim()).unwrap_or_default();
    let number = |(at, unit): (usize, f64), what: &str| {
        let number = field(at).parse::<f64>();
        number.map(|number| number * unit).map_err(|_| format!("{what} {:?} is no number", field(at)))
    };
    let duration = columns.duration.filter(|(at, _)| !field(*at).is_empty());
    let duration = duration.map(|column| number(column, "duration")).transpose()?;
    row(line, number(columns.time, "time")?, field(columns.function), duration)
}

fn row_of_json(line: usize, object: &Value) -> Result<Row, String> {
    let number = |what: &str| {
        let named = [("_ms", 1.0), ("_s", 1_000.0)].into_iter().find_map(|(suffix, unit)| {
            let value = object.get(format!("{what}{suffix}")).filter(|value| !value.is_null())?;
            Some(value.as_f64().map(|number| number * unit).ok_or_else(|| format!("{what} is no number")))
        });
        named.transpose()
    };
    let time = number("time")?.ok_or("this object lacks time_ms or time_s")?;
    let function = object.get("function").and_then(Value::as_str).ok_or("this object lacks function")?;
    row(line, time, function, number("duration")?)
}

fn row(line: usize, time_ms: f64, function: &str, duration_ms: Option<f64>) -> Result<Row, String> {
    if !(0.0..=TIME_MS_MAX).contains(&time_ms) {
        return Err(format!("time {time_ms} ms: from 0 to ten years after the beginning"));
    }
    if function.is_empty() {
        return Err("the function has no name".to_owned());
    }
    let at = Time::from_nanos((time_ms * 1e6).round() as u64);
    let duration = duration_ms.map(spreads::duration).transpose()?;
    Ok(Row { line, at, function: function.to_owned(), duration })
}

/// The fields of a line; one in quotes may hold commas, and quotes twice.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    if quoted {
        return Err("a quote is not closed".to_owned());
    }
    fields.push(field);
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(u64, String, Option<u128>)>, String> {
        let say = |failure: Failure| failure.sentence().unwrap_or_default();
        let rows = Rows::of(Path::new("t"), BufReader::with_capacity(7, text.as_bytes())).map_err(say)?;
        rows.map(|row| {
            let row = row.map_err(say)?;
            Ok((row.at.as_nanos() / 1_000_000, row.function, row.duration.map(|d| d.as_millis())))
        })
        .collect()
    }

    #[test]
    fn all_forms_say_the_same() {
        let expected = Ok(vec![(0, "a".into(), Some(5)), (1_500, "b, c".into(), None)]);
        let forms = [
            "time_ms,function,duration_ms\n0,a,5\n1500,\"b, c\",\n",
            "\u{feff}duration_s,extra,function,time_s\r\n0.005,x,a,0\r\n\r\n,,\"b, c\",1.5",
            "{\"time_ms\":0,\"function\":\"a\",\"duration_ms\":5}\n{\"time_s\":1.5,\"function\":\"b, c\"}\n",
            "[ {\"time_ms\":0,\"function\":\"a\",\"duration_s\":0.005},\n {\"x\":{\"}\":1},\"time_ms\":1500,\"function\":\"b, c\",\"duration_ms\":null}\n]",
        ];
        for form in forms {
            assert_eq!(read(form), expected, "{form}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let cases = [
            ("", "t:1: the first line names the columns and lacks time_ms or time_s"),
            ("time_ms,name\n", "t:1: the first line names the columns and lacks function"),
            ("time_ms,function\n0,a\n\nsoon,a\n", "t:4: time \"soon\" is no number"),
            ("time_ms,function\n-1,a\n", "t:2: time -1 ms: from 0 to ten years after the beginning"),
            ("time_ms,function\n1,\n", "t:2: the function has no name"),
            ("time_ms,function\n1,\"a\n", "t:2: a quote is not closed"),
            ("time_ms,function,duration_ms\n1,a,x\n", "t:2: duration \"x\" is no number"),
            ("{\"time_ms\":1}\n", "t:1: this object lacks function"),
            ("[\n{\"function\":\"a\"}]", "t:2: this object lacks time_ms or time_s"),
            ("[{\"function\":\"a\"", "t:1: the file ends within an object"),
            ("[1]", "t:1: objects are expected here, in a list or one per line"),
        ];
        for (text, sentence) in cases {
            assert_eq!(read(text), Err(sentence.to_owned()), "{text}");
        }
    }

    #[test]
    fn rows_without_end_are_refused() {
        let long = format!("time_ms,function\n1,{}", "a".repeat(100_000));
        assert!(read(&long).unwrap_err().contains("longer than"));
        let long = format!("{{\"function\":\"{}", "a".repeat(100_000));
        assert!(read(&long).unwrap_err().contains("longer than"));
    }
}
