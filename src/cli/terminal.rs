//! What is known of the two output streams, and the few things done to them: colours, one progress line.
//!
//! Colours appear on terminals only and never with `NO_COLOR` set; progress appears on a terminal only.

use super::failure::Failure;
use std::io::{self, IsTerminal, Write};

/// A colour or weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Headings.
    Bold,
    /// What is well.
    Green,
    /// What deserves a look.
    Yellow,
    /// What is wrong.
    Red,
}

impl Paint {
    /// The text between the terminal's codes for this paint, if `colours` are wanted.
    pub(crate) fn on(self, text: &str, colours: bool) -> String {
        let code = match self {
            Self::Bold => "1",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Red => "31",
        };
        if colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// What standard output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    /// People read it.
    pub(crate) is_terminal: bool,
    /// Colours are welcome.
    pub(crate) colours: bool,
}

impl Output {
    /// Of this process.
    pub(crate) fn of_this_process() -> Self {
        let is_terminal = io::stdout().is_terminal();
        Self { is_terminal, colours: is_terminal && colours_welcome() }
    }
}

/// `NO_COLOR`, when present and not empty, forbids colours; so does a terminal that has none.
pub(crate) fn colours_welcome() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
}

/// Writes to standard output, as it is.
pub(crate) fn print(bytes: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    output.write_all(bytes.as_ref()).and_then(|()| output.flush()).map_err(Failure::from_output)
}

/// Writes a JSON document to standard output, indented.
pub(crate) fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(format!("{value:#}\n"))
}

/// Says something to people, on standard error; if nobody listens, so be it.
pub(crate) fn say(text: &str) {
    writeln!(io::stderr().lock(), "{text}").ok();
}

/// Shows on standard error how far an upload has come, if that is a terminal; one line that replaces itself.
#[derive(Debug)]
pub(crate) struct Progress {
    total: usize,
    shown: Option<usize>,
    is_visible: bool,
}

/// Below this an upload is over before anybody could read.
const WORTH_SHOWING: usize = 1 << 20;

impl Progress {
    /// For so many bytes.
    pub(crate) fn new(total: usize) -> Self {
        Self { total, shown: None, is_visible: total >= WORTH_SHOWING && io::stderr().is_terminal() }
    }

    /// So many bytes are on their way.
    pub(crate) fn reach(&mut self, sent: usize) {
        let percent = percent(sent, self.total);
        if self.is_visible && self.shown != Some(percent) {
            self.shown = Some(percent);
            let line = progress_line(sent, self.total);
            let mut stream = io::stderr().lock();
            // Back to the first column, and nothing left over from a longer line.
            write!(stream, "\r\x1b[K{line}").and_then(|()| stream.flush()).ok();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            write!(io::stderr().lock(), "\r\x1b[K").ok();
        }
    }
}

fn percent(sent: usize, total: usize) -> usize {
    sent.saturating_mul(100).checked_div(total).unwrap_or(100).min(100)
}

fn progress_line(sent: usize, total: usize) -> String {
    format!("uploading {} of {} ({} %)", size(sent as u64), size(total as u64), percent(sent, total))
}

/// Bytes for people: `512 B`, `1.5 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut unit = 0;
    let mut scale = 1_u64;
    while unit + 1 < UNITS.len() && bytes / scale >= 1024 {
        scale *= 1024;
        unit += 1;
    }
    if unit == 0 {
        return format!("{bytes} B");
    }
    // Tenths in integers, rounded down: never a size that is not there yet.
    let tenths = u128::from(bytes) * 10 / u128::from(scale);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_the_largest_unit_that_fits() {
        let cases =
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (52_428_800, "50.0 MiB")];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(size(u64::MAX), "17179869183.9 GiB");
    }

    #[test]
    fn progress_is_bounded_by_a_hundred() {
        assert_eq!(progress_line(1 << 20, 4 << 20), "uploading 1.0 MiB of 4.0 MiB (25 %)");
        assert_eq!(percent(5, 0), 100);
        assert_eq!(percent(usize::MAX, 10), 100);
    }

    #[test]
    fn paint_leaves_text_alone_where_colours_are_not_welcome() {
        assert_eq!(Paint::Red.on("x", false), "x");
        assert_eq!(Paint::Red.on("x", true), "\x1b[31mx\x1b[0m");
    }
}
