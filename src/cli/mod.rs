//! The command line: every verb but `serve` is a client of the daemon's API and admin socket, or a tool.
//!
//! `args` and `help` are what can be typed, `run` sends each verb to its file and turns the outcome into an exit code,
//! `endpoint` finds the daemon, `wire` speaks HTTP to it, `client` speaks the API over `wire`. Verbs know neither the
//! store nor the daemon; `serve` alone hands a configuration to it. Results go to standard output, all else to
//! standard error.

mod api;
mod args;
mod client;
mod deploy;
mod doctor;
mod duration;
mod endpoint;
mod failure;
mod functions;
mod help;
mod host;
mod invoke;
mod keys;
mod logs;
mod pack;
mod raw;
mod rootfs;
mod run;
mod screen;
mod serve;
mod settings;
mod source;
mod table;
mod terminal;
mod tls;
mod top;
mod value;
mod why;
mod wire;

pub(crate) use run::main;
