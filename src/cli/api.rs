//! `hearth api dump`: the table of operations that drives the daemon and this client, for people and programs.

use super::args::Api;
use super::failure::Failure;
use super::terminal;
use hearth_api::operations;

/// Runs the verb.
pub(super) fn run(args: &Api) -> Result<(), Failure> {
    match args {
        Api::Dump { markdown: true } => terminal::print(operations::coverage()),
        Api::Dump { markdown: false } => terminal::print_json(&operations::dump()),
    }
}
