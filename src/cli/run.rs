//! From the command line to an exit code: sends each verb to its file, says what went wrong, once.

use super::args::{CommandLine, Keys, Verb};
use super::failure::Failure;
use super::terminal::{self, Paint};
use super::{api, deploy, doctor, functions, invoke, keys, logs, raw, serve, settings, top, why};
use crate::config::Config;
use clap::{FromArgMatches, Parser};
use std::io::IsTerminal;
use std::process::ExitCode;

/// What runs a daemon with a configuration until it ends.
pub(crate) type Daemon = fn(Config) -> Result<(), Box<dyn std::error::Error>>;

/// Runs the verb that this process was started with; `serve` hands over to `daemon`.
pub(crate) fn main(daemon: Daemon) -> ExitCode {
    // Wrong command lines end here, with exit code 2; `--help` and `--version` with 0.
    match parse_and_run(daemon) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(sentence) = failure.sentence() {
                let colours = std::io::stderr().is_terminal() && terminal::colours_welcome();
                terminal::say(&format!("{} {sentence}", Paint::Red.on("hearth:", colours)));
            }
            failure.exit_code().into()
        }
    }
}

fn parse_and_run(daemon: Daemon) -> Result<(), Failure> {
    // The operations are ninety more verbs, which the others need not wait for.
    if std::env::args_os().nth(1).is_some_and(|verb| verb == "api" || verb == "completion") {
        let matches = raw::command().get_matches();
        if let Some((operation, options)) = raw::called(&matches) {
            return raw::run(operation, options);
        }
        let line = CommandLine::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        return run(&line.verb, daemon);
    }
    run(&CommandLine::parse().verb, daemon)
}

fn run(verb: &Verb, daemon: Daemon) -> Result<(), Failure> {
    match verb {
        Verb::Serve(args) => serve::run(args, daemon),
        Verb::Deploy(args) => deploy::run(args),
        Verb::Invoke(args) => invoke::run(args),
        Verb::List(args) => functions::list(args),
        Verb::Get(args) => functions::get(args),
        Verb::Delete(args) => functions::delete(args),
        Verb::Logs(args) => logs::run(args),
        Verb::Why(args) => why::run(args),
        Verb::Top(args) => top::run(args),
        Verb::Doctor(args) => doctor::run(args),
        Verb::Api(args) => api::run(args),
        Verb::Keys(Keys::New(args)) => keys::new(args),
        Verb::Completion { shell } => api::completion(*shell),
        Verb::Config(args) => settings::run(args),
    }
}
