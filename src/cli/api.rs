//! `hearth api dump`, `hearth completion`: the table of operations that drives the daemon and this client, for people,
//! programs and shells. Calling operations is `raw`'s.

use super::args::Api;
use super::failure::Failure;
use super::{raw, terminal};
use clap_complete::Shell;
use hearth_api::operations;

/// Runs the verb.
pub(super) fn run(args: &Api) -> Result<(), Failure> {
    match args {
        Api::Dump { markdown: true } => terminal::print(operations::coverage()),
        Api::Dump { markdown: false } => terminal::print_json(&operations::dump()),
    }
}

/// Prints the completion of the whole command line.
pub(super) fn completion(shell: Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut raw::command(), "hearth", &mut text);
    terminal::print(text)
}
