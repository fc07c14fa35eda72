//! `hearth logs`: a function's events from the daemon's admin socket, past ones or as they come.
//!
//! The API says which log group is the function's; the socket, which only people of this machine can open, says what
//! is in it.

use super::args;
use super::client::Client;
use super::endpoint;
use super::failure::Failure;
use super::terminal;
use super::wire::{self, Upload, WireError};
use hearth_api::codec::encode_label;
use hearth_api::primitives::EpochTime;
use hearth_api::shapes::FunctionConfiguration;
use http::Request;
use http_body_util::BodyExt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of one line: an event's message has 256 KiB at most, which JSON may make six times as long.
const LINE_MAX: usize = 2 << 20;
/// How long a document may take.
const JSON_WITHIN: Duration = Duration::from_secs(15);

/// One event, as the daemon writes it.
#[derive(Debug, PartialEq, Eq, serde::Deserialize)]
struct Event {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    timestamp: i64,
    message: String,
}

/// Why events cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    /// Nobody there, or not for this user.
    #[error("cannot reach the daemon's admin socket {}: {source}. {}", .path.display(), hint(.source))]
    Connect {
        /// What was tried.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The exchange broke.
    #[error("the daemon's admin socket {} gave no whole answer", .path.display())]
    Wire {
        /// Who was asked.
        path: PathBuf,
        /// What broke.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The daemon refused.
    #[error("the daemon's admin socket {} answered {status}: {text}", .path.display())]
    Refused {
        /// Who was asked.
        path: PathBuf,
        /// The HTTP status.
        status: u16,
        /// The daemon's words.
        text: String,
    },
    /// A line that is no event.
    #[error("the daemon's admin socket {} sent a line that is no log event", .path.display())]
    Line {
        /// Who sent it.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "Only root and the daemon's group may use it.",
        io::ErrorKind::NotFound => {
            "Start the daemon with `hearth serve`, or name its state directory with --state-dir."
        }
        _ => "Start the daemon with `hearth serve`.",
    }
}

/// Runs the verb.
pub(super) fn run(args: &args::Logs) -> Result<(), Failure> {
    let client = Client::new(&args.connection)?;
    let found = client.configuration(&args.name)?.map(|(configuration, _)| configuration);
    let missing =
        || Failure::because(format!("there is no function {}, and there are no logs of one", args.name));
    if found.is_none() && args.follow {
        return Err(missing());
    }
    let group = group(&args.name, found.as_ref());
    let socket = endpoint::admin_socket(&endpoint::state_dir(args.connection.state_dir.as_deref()));
    let since = args.since.map_or(0, super::duration::Since::epoch_ms);
    let query = format!(
        "/logs?group={}&since_ms={since}&limit={}{}",
        encode_label(&group),
        args.limit,
        if args.follow { "&follow=1" } else { "" }
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut is_empty = true;
    runtime.block_on(stream(&socket, &query, |line| {
        is_empty = false;
        if args.json {
            return terminal::print([line, b"\n"].concat());
        }
        let event = serde_json::from_slice(line)
            .map_err(|source| SocketError::Line { path: socket.clone(), source })?;
        terminal::print(shown(&event))
    }))?;
    // Logs outlive their function; without either, the name is probably misspelt.
    if found.is_none() && is_empty { Err(missing()) } else { Ok(()) }
}

/// Where a function logs; of one that is gone only the usual place is known.
fn group(given: &str, found: Option<&FunctionConfiguration>) -> String {
    let configured = found.and_then(|function| function.logging_config.as_ref()?.log_group.clone());
    let name = found.and_then(|function| function.function_name.as_deref()).unwrap_or(given);
    configured.unwrap_or_else(|| format!("/aws/lambda/{name}"))
}

/// Asks the socket, and hands over each line of the answer as it comes.
async fn stream(
    socket: &Path,
    path_and_query: &str,
    mut each: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut body = ask(socket, path_and_query).await?;
    let broken = |source| SocketError::Wire { path: socket.to_owned(), source };
    let mut lines = Lines::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(error.into()))?;
        lines.push(frame.data_ref().map_or(&[], |data| data));
        while let Some(line) = lines.next() {
            each(&line)?;
        }
        if lines.pending.len() > LINE_MAX {
            return Err(broken(format!("a line has more than {LINE_MAX} bytes").into()).into());
        }
    }
    Ok(())
}

/// A JSON document from the admin socket, of so many bytes at most.
pub(super) async fn ask_json(
    socket: &Path,
    path_and_query: &str,
    max: usize,
) -> Result<serde_json::Value, SocketError> {
    let broken = |source| SocketError::Wire { path: socket.to_owned(), source };
    let whole = async {
        let body = ask(socket, path_and_query).await?;
        let bytes = http_body_util::Limited::new(body, max).collect().await.map_err(broken)?.to_bytes();
        serde_json::from_slice(&bytes).map_err(|error| broken(error.into()))
    };
    let late = || format!("nothing came within {} s", JSON_WITHIN.as_secs()).into();
    tokio::time::timeout(JSON_WITHIN, whole).await.map_err(|_| broken(late())).flatten()
}

/// The body of a successful answer to `GET` on the admin socket.
pub(super) async fn ask(socket: &Path, path_and_query: &str) -> Result<hyper::body::Incoming, SocketError> {
    let path = || socket.to_owned();
    let request = Request::get(path_and_query)
        .header(http::header::HOST, "localhost")
        .body(Upload::empty())
        .map_err(|error| SocketError::Wire { path: path(), source: error.into() })?;
    let answer = wire::open_socket(socket, request).await.map_err(|error| match error {
        WireError::Connect(source) => SocketError::Connect { path: path(), source },
        other => SocketError::Wire { path: path(), source: other.into() },
    })?;
    let (parts, body) = answer.into_parts();
    if parts.status.is_success() {
        return Ok(body);
    }
    let text = http_body_util::Limited::new(body, LINE_MAX)
        .collect()
        .await
        .map_err(|source| SocketError::Wire { path: path(), source })?
        .to_bytes();
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    Err(SocketError::Refused { path: path(), status: parts.status.as_u16(), text })
}

/// Lines out of pieces that end anywhere.
#[derive(Default)]
struct Lines {
    pending: Vec<u8>,
    /// Bytes of `pending` that have been handed over.
    done: usize,
}

impl Lines {
    fn push(&mut self, piece: &[u8]) {
        self.pending.drain(..self.done);
        self.done = 0;
        self.pending.extend_from_slice(piece);
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        let rest = &self.pending[self.done..];
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = rest[..end].to_vec();
        self.done += end + 1;
        Some(line)
    }
}

/// An event for people: moment, text, exactly one line end.
fn shown(event: &Event) -> String {
    let moment = EpochTime::from_ms(event.timestamp).to_iso_text();
    format!("{moment}  {}\n", event.message.trim_end_matches(['\n', '\r']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearth_api::shapes::LoggingConfig;

    #[test]
    fn lines_come_out_whole_however_they_arrive() {
        let text = b"one\ntwo\n\nlast";
        for size in 1..text.len() {
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            for piece in text.chunks(size) {
                lines.push(piece);
                found.extend(std::iter::from_fn(|| lines.next()));
            }
            assert_eq!(found, [b"one".to_vec(), b"two".to_vec(), Vec::new()], "{size}");
        }
    }

    #[test]
    fn a_function_logs_where_it_says_or_under_its_name() {
        let named = FunctionConfiguration { function_name: Some("f".to_owned()), ..Default::default() };
        let logging = LoggingConfig { log_group: Some("own".to_owned()), ..Default::default() };
        let configured = FunctionConfiguration { logging_config: Some(logging), ..named.clone() };
        assert_eq!(group("arn:aws:lambda:us-east-1:000000000000:function:f", Some(&named)), "/aws/lambda/f");
        assert_eq!(group("f", Some(&configured)), "own");
        assert_eq!(group("gone", None), "/aws/lambda/gone");
    }

    #[test]
    fn an_event_is_one_moment_and_its_text() {
        let line = br#"{"timestamp":1,"stream":"s","message":"hello\n"}"#;
        let event: Event = serde_json::from_slice(line).expect("is an event");
        assert_eq!(shown(&event), "1970-01-01T00:00:00.001Z  hello\n");
    }

    #[test]
    fn a_socket_that_is_not_there_is_named_with_what_to_do() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("builds");
        let asked = runtime.block_on(ask(Path::new("/nonexistent/admin.sock"), "/doctor"));
        let error = asked.map(drop).expect_err("is not there").to_string();
        assert!(error.contains("/nonexistent/admin.sock") && error.contains("--state-dir"), "{error}");
    }

    #[test]
    fn events_are_streamed_line_by_line() {
        use std::io::{Read as _, Write as _};
        let path = std::env::temp_dir().join(format!("hearth-logs-{}.sock", std::process::id()));
        std::fs::remove_file(&path).ok();
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("binds");
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody connects");
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).expect("reads");
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\na\nb").expect("writes");
            stream.write_all(b"c\n").expect("writes");
            String::from_utf8_lossy(&buffer[..count]).into_owned()
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("builds");
        let mut lines = Vec::new();
        let take = |line: &[u8]| {
            lines.push(String::from_utf8_lossy(line).into_owned());
            Ok(())
        };
        runtime.block_on(stream(&path, "/logs?group=g", take)).expect("streams");
        assert_eq!(lines, ["a", "bc"]);
        assert!(served.join().expect("served").starts_with("GET /logs?group=g HTTP/1.1\r\n"));
        std::fs::remove_file(&path).expect("cleans up");
    }
}
