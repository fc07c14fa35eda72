//! Reads a fuzz input as an HTTP request: `METHOD path?query`, header lines, an empty line, a body.
//!
//! Text, so that seeds can be read and written by people and a mutation of one byte stays a request. It refuses nothing:
//! whatever is missing is empty. Real HTTP parsing is hyper's business and not tried here.

/// A request, borrowed from the input.
#[derive(Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The raw path.
    pub path: &'a str,
    /// The raw query string, without `?`.
    pub query: &'a str,
    /// Headers in order.
    pub headers: Vec<(&'a str, &'a str)>,
    /// What follows the first empty line.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Reads an input; `None` if its head is not UTF-8.
    #[must_use]
    pub fn read(input: &'a [u8]) -> Option<Self> {
        let end = input.windows(2).position(|pair| pair == b"\n\n");
        let (head, body) = end.map_or((input, &input[..0]), |at| (&input[..at], &input[at + 2..]));
        let mut lines = std::str::from_utf8(head).ok()?.split('\n');
        let first = lines.next().unwrap_or_default();
        let (method, target) = first.split_once(' ').unwrap_or((first, ""));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers =
            lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim())).collect();
        Some(Self { method, path, query, headers, body })
    }

    /// The first header of this name, whatever the case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}
