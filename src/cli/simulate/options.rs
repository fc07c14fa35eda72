//! What `hearth simulate` can be told on the command line.
//!
//! Each option that is also a key of `--set` and `--vary` goes the same way as they do: `settings` knows what it means.

use super::super::duration::Length;
use super::super::failure::Failure;
use super::settings::Settings;
use clap::Args;
use std::path::PathBuf;

/// `hearth simulate`.
#[derive(Args, Debug)]
pub(crate) struct Simulate {
    /// Workload file (TOML); without one, the options describe one function
    pub(crate) workload: Option<PathBuf>,
    /// Requests per second
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<String>,
    /// How they are spaced: constant or poisson
    #[arg(long, value_name = "KIND")]
    pub(crate) arrivals: Option<String>,
    /// How long one runs, in ms: 500, exponential:500, lognormal:P50:P99 or uniform:MIN:MAX
    #[arg(long, value_name = "MS")]
    pub(crate) duration_ms: Option<String>,
    /// How long an environment initialises, written alike
    #[arg(long, value_name = "MS")]
    pub(crate) init_ms: Option<String>,
    /// For how long requests come, such as 60s or 1h30m [default: 60s, or the whole trace]
    #[arg(long = "for", value_name = "TIME")]
    pub(crate) length: Option<Length>,
    /// Everything random follows from it [default: 1, or what the workload file says]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Invocations in flight at once
    #[arg(long, value_name = "N")]
    pub(crate) account_limit: Option<String>,
    /// Reserved concurrency
    #[arg(long, value_name = "N")]
    pub(crate) reserved: Option<String>,
    /// Provisioned concurrency
    #[arg(long, value_name = "N")]
    pub(crate) provisioned: Option<String>,
    /// Whose limits: aws (Lambda's rates, a machine without end) or box (a daemon's defaults) [default: aws]
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// How fast functions may grow: 2023, classic or unlimited [default: that of the profile]
    #[arg(long, value_name = "MODEL")]
    pub(crate) scaling: Option<String>,
    /// Requests of a CSV or JSON file: time_ms, function, duration_ms
    #[arg(long, value_name = "FILE", conflicts_with = "workload")]
    pub(crate) trace: Option<PathBuf>,
    /// Any setting, such as idle-timeout-s=60 or FUNCTION.memory-mb=512; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Runs side by side, one per value; may be repeated
    #[arg(long, value_name = "KEY=VALUE,VALUE,…")]
    pub(crate) vary: Vec<String>,
    /// Run a recording of `hearth serve --record` again; with limits, its traffic under those
    #[arg(long, value_name = "FILE", conflicts_with_all = ["workload", "trace", "rate", "arrivals", "duration_ms", "init_ms", "length"])]
    pub(crate) replay: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Simulate {
    /// What the options set.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        let options = [
            ("rate", &self.rate),
            ("arrivals", &self.arrivals),
            ("duration-ms", &self.duration_ms),
            ("init-ms", &self.init_ms),
            ("account-limit", &self.account_limit),
            ("reserved", &self.reserved),
            ("provisioned", &self.provisioned),
            ("profile", &self.profile),
            ("scaling", &self.scaling),
        ];
        let mut settings = Settings::default();
        for (key, value) in options {
            if let Some(value) = value {
                settings.set(key, value).map_err(|why| Failure::Usage(format!("--{key} {value}: {why}")))?;
            }
        }
        for one in &self.set {
            let wrong = |why: String| Failure::Usage(format!("--set {one}: {why}"));
            let (key, value) =
                one.split_once('=').ok_or_else(|| wrong("write it as KEY=VALUE".to_owned()))?;
            settings.set(key, value).map_err(wrong)?;
        }
        Ok(settings)
    }
}
