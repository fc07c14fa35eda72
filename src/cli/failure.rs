//! Why a verb ends without success: what people read on standard error, and the exit code that scripts see.
//!
//! Every operation has an error type of its own; here they only meet.

use std::error::Error;
use std::fmt::Write as _;
use std::io;

/// How a verb ended, if not well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line asks for something that does not go together: exit code 2.
    Usage(String),
    /// It could not be done: exit code 1.
    Failed(Box<dyn Error>),
    /// Said already, in full: exit code 1.
    Reported,
    /// The function that was invoked failed, which was said already: exit code 3.
    FunctionFailed,
    /// Whoever read standard output has seen enough: no failure.
    ReaderGone,
}

impl Failure {
    /// With a sentence of its own.
    pub(crate) fn because(sentence: impl Into<String>) -> Self {
        Self::Failed(sentence.into().into())
    }

    /// What the process returns.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Failed(_) | Self::Reported => 1,
            Self::Usage(_) => 2,
            Self::FunctionFailed => 3,
        }
    }

    /// What is left to say.
    pub(crate) fn sentence(&self) -> Option<String> {
        match self {
            Self::Usage(sentence) => Some(sentence.clone()),
            Self::Failed(error) => Some(with_sources(error.as_ref())),
            Self::Reported | Self::FunctionFailed | Self::ReaderGone => None,
        }
    }

    /// A failed write to standard output.
    pub(crate) fn from_output(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::because(format!("cannot write to standard output: {error}")),
        }
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// An error with its causes, each said once.
fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let said = source.to_string();
        if !text.contains(&said) {
            write!(text, ": {said}").ok();
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read app.py")]
    struct Outer(#[source] io::Error);

    #[test]
    fn causes_are_said_once() {
        let failure = Failure::from(Outer(io::Error::other("it is gone")));
        assert_eq!(failure.sentence().as_deref(), Some("cannot read app.py: it is gone"));
        let failure = Failure::because("one sentence");
        assert_eq!(failure.sentence().as_deref(), Some("one sentence"));
    }

    #[test]
    fn exit_codes_are_the_documented_ones() {
        assert_eq!(Failure::Usage(String::new()).exit_code(), 2);
        assert_eq!(Failure::because("x").exit_code(), 1);
        assert_eq!(Failure::FunctionFailed.exit_code(), 3);
        assert_eq!(Failure::from_output(io::ErrorKind::BrokenPipe.into()).exit_code(), 0);
        assert_eq!(Failure::from_output(io::ErrorKind::StorageFull.into()).exit_code(), 1);
    }
}
