//! `hearth serve`: loads the configuration, starts the daemon's log, and hands over to the daemon.

use super::args;
use super::failure::Failure;
use super::run::Daemon;
use super::settings;
use super::terminal;
use crate::config::LogFormat;
use crate::outlet;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Runs the verb until the daemon ends.
pub(super) fn run(args: &args::Serve, daemon: Daemon) -> Result<(), Failure> {
    let loaded = settings::load(&args.sources)?;
    let log = &loaded.config.log;
    start_log(log.format, &log.level)?;
    for name in &loaded.ignored {
        tracing::warn!(%name, "this environment variable is no setting of hearth's");
    }
    daemon(loaded.config, args.record.as_deref()).map_err(Failure::Failed)
}

/// From here on, events go to standard error in the configured form.
fn start_log(format: LogFormat, level: &str) -> Result<(), Failure> {
    let filter = EnvFilter::builder()
        .parse(level)
        .map_err(|error| Failure::because(format!("`log.level` {level:?} is not a filter: {error}")))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(outlet::line);
    let started = match format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal() && terminal::colours_welcome();
            builder.with_ansi(colours).try_init()
        }
    };
    started.map_err(|error| Failure::Failed(error))
}
