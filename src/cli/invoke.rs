//! `hearth invoke`: an event in, an answer out, unchanged; the exit code says whether the function failed.
//!
//! Standard output carries the answer and nothing else. Not retried: an invocation may have effects.

use super::args;
use super::client::{self, Client};
use super::failure::Failure;
use super::terminal::{self, Output};
use super::wire::Answer;
use bytes::Bytes;
use hearth_api::operations::Operation;
use hearth_api::primitives::{decode_base64, encode_base64};
use hearth_api::shapes::InvocationRequest;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of a synchronous payload.
const PAYLOAD_MAX: u64 = 6_291_456;
/// The longest function (15 minutes), its start, and a margin.
const PATIENCE: Duration = Duration::from_secs(960);

/// Why there is no event to send.
#[derive(Debug, thiserror::Error)]
enum PayloadError {
    /// The system refused.
    #[error("cannot read the payload from {}", .from.display())]
    Unreadable {
        /// File, or what standard input is called.
        from: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// More than can be sent.
    #[error("the payload is larger than {PAYLOAD_MAX} bytes (6 MiB), the most that an invocation can carry")]
    TooLarge,
}

/// Runs the verb.
pub(super) fn run(args: &args::Invoke) -> Result<(), Failure> {
    let payload = payload(args)?;
    let client = Client::new(&args.connection)?;
    let input = InvocationRequest {
        function_name: Some(args.name.clone()),
        qualifier: args.qualifier.clone(),
        client_context: args.client_context.as_deref().map(context),
        invocation_type: args.dry_run.then(|| "DryRun".to_owned()),
        log_type: args.log.then(|| "Tail".to_owned()),
        ..Default::default()
    };
    let answer = client.exchange(Operation::Invoke, &args.name, &input, Some(payload), PATIENCE)?;
    if args.dry_run {
        terminal::say(&format!("{} can be invoked", args.name));
        return Ok(());
    }
    show(args, &answer, Output::of_this_process())
}

fn show(args: &args::Invoke, answer: &Answer, output: Output) -> Result<(), Failure> {
    if let Some(tail) = client::text(answer.headers(), "x-amz-log-result") {
        let tail = decode_base64(tail).map_err(|why| {
            Failure::because(format!(
                "Invoke {}: the log that came with the answer is not base64: {why}",
                args.name
            ))
        })?;
        terminal::say(String::from_utf8_lossy(&tail).trim_end_matches('\n'));
    }
    terminal::print(answer.body())?;
    if output.is_terminal && !answer.body().ends_with(b"\n") {
        terminal::print("\n")?;
    }
    match client::text(answer.headers(), "x-amz-function-error") {
        None => Ok(()),
        Some(kind) => {
            terminal::say(&format!("hearth: function {} failed ({kind})", args.name));
            Err(Failure::FunctionFailed)
        }
    }
}

/// The event: as given, from a file, from standard input, or the empty object.
fn payload(args: &args::Invoke) -> Result<Bytes, PayloadError> {
    let file = match (args.payload.as_deref(), args.payload_file.as_deref()) {
        (None, None) => return Ok(Bytes::from_static(b"{}")),
        (Some("-"), _) => Path::new("-"),
        (Some(text), _) => return bounded(text.as_bytes(), Path::new("the command line")),
        (None, Some(file)) => file,
    };
    if file == Path::new("-") {
        return bounded(io::stdin().lock(), Path::new("standard input"));
    }
    match File::open(file) {
        Ok(open) => bounded(open, file),
        Err(source) => Err(PayloadError::Unreadable { from: file.to_owned(), source }),
    }
}

fn bounded(source: impl Read, from: &Path) -> Result<Bytes, PayloadError> {
    let mut bytes = Vec::new();
    let unreadable = |source| PayloadError::Unreadable { from: from.to_owned(), source };
    source.take(PAYLOAD_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > PAYLOAD_MAX {
        return Err(PayloadError::TooLarge);
    }
    Ok(bytes.into())
}

/// The header carries base64; people write JSON.
fn context(given: &str) -> String {
    if given.trim_start().starts_with('{') { encode_base64(given.as_bytes()) } else { given.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{CommandLine, Verb};
    use clap::Parser;
    use http::Response;

    fn parse(words: &[&str]) -> args::Invoke {
        let line = ["hearth", "invoke", "f"].iter().chain(words);
        match CommandLine::try_parse_from(line).expect("parses").verb {
            Verb::Invoke(invoke) => invoke,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_event_is_what_was_given_byte_for_byte() {
        assert_eq!(payload(&parse(&[])).expect("is there"), "{}");
        assert_eq!(payload(&parse(&["{\"a\": 1} "])).expect("is there"), "{\"a\": 1} ");
        let path = std::env::temp_dir().join(format!("hearth-invoke-{}", std::process::id()));
        std::fs::write(&path, "[1]\n").expect("writes");
        let name = path.to_str().expect("is text");
        assert_eq!(payload(&parse(&["--payload-file", name])).expect("is there"), "[1]\n");
        std::fs::remove_file(&path).expect("cleans up");
        let error = payload(&parse(&["--payload-file", name])).expect_err("is gone");
        assert!(error.to_string().contains(name), "{error}");
    }

    #[test]
    fn an_event_above_the_limit_is_not_sent() {
        let limit = usize::try_from(PAYLOAD_MAX).expect("fits");
        assert!(bounded(vec![b' '; limit].as_slice(), Path::new("x")).is_ok());
        assert!(matches!(
            bounded(vec![b' '; limit + 1].as_slice(), Path::new("x")),
            Err(PayloadError::TooLarge)
        ));
    }

    #[test]
    fn a_context_travels_as_base64_whichever_way_it_was_written() {
        assert_eq!(context("{\"custom\":{}}"), "eyJjdXN0b20iOnt9fQ==");
        assert_eq!(context("eyJjdXN0b20iOnt9fQ=="), "eyJjdXN0b20iOnt9fQ==");
    }

    #[test]
    fn a_failed_function_has_an_exit_code_of_its_own() {
        let output = Output { is_terminal: false, colours: false };
        let failed = Response::builder()
            .header("X-Amz-Function-Error", "Unhandled")
            .body(Bytes::new())
            .expect("builds");
        let failure = show(&parse(&[]), &failed, output).expect_err("failed");
        assert_eq!(failure.exit_code(), 3);
        assert!(show(&parse(&[]), &Response::new(Bytes::new()), output).is_ok());
    }
}
