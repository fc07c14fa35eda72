//! A function as it can be run: immutable code and settings, made once from what the store holds.

use super::{clock, random};
use crate::runtimes::process::{Context, Credentials};
use crate::runtimes::{Kind, Served};
use hearth_logic::{FunctionId, RevisionId};
use hearth_sandbox::Digest;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// One function version with its effective settings; the key of a pool.
pub(crate) struct Revision {
    /// The pool's key.
    pub(crate) id: RevisionId,
    /// The function, for its limits.
    pub(crate) function: FunctionId,
    /// Function name.
    pub(crate) name: String,
    /// `$LATEST` or a number.
    pub(crate) version: String,
    /// Unqualified ARN.
    pub(crate) arn: String,
    /// Code tree.
    pub(crate) code: Digest,
    /// Packages of its layers, in order.
    pub(crate) layers: Vec<Digest>,
    /// Runtime name.
    pub(crate) runtime: String,
    /// How that runtime is served here.
    pub(crate) served: Served,
    /// Handler; empty if there is none.
    pub(crate) handler: String,
    /// MiB.
    pub(crate) memory_mb: u32,
    /// MiB of `/tmp`.
    pub(crate) tmp_mb: u32,
    /// Function timeout.
    pub(crate) timeout: Duration,
    /// The function's own variables.
    pub(crate) variables: BTreeMap<String, String>,
    /// Log group.
    pub(crate) log_group: Arc<str>,
    /// Application log level if the function logs in JSON.
    pub(crate) json_log_level: Option<String>,
    /// For `INIT_START`.
    pub(crate) runtime_version: String,
    /// For `INIT_START`.
    pub(crate) runtime_version_arn: String,
    /// Region of this installation.
    pub(crate) region: String,
    /// How many of its environments have answered and are not free yet.
    pub(crate) finishing: AtomicU32,
}

impl Revision {
    /// Whether an interpreter of ours runs it.
    pub(crate) const fn is_managed(&self) -> bool {
        matches!(self.served.kind, Kind::Interpreted(..))
    }

    /// A name for the log stream of a new environment: `YYYY/MM/DD/[<version>]<32 hex>`, with the function's name
    /// before it in a log group of the user's own choice (lambda-behaviour §3.6).
    pub(crate) fn new_log_stream(&self) -> String {
        let (year, month, day) = date(clock::wall().as_millis() / 1000);
        let own_group = *self.log_group == *format!("/aws/lambda/{}", self.name);
        let name = if own_group { "" } else { self.name.as_str() };
        format!("{year:04}/{month:02}/{day:02}/{name}[{}]{}", self.version, random::hex::<16>())
    }

    /// What the runtime's process is started with.
    pub(crate) fn process_context<'a>(
        &'a self,
        log_stream: &'a str,
        metadata_token: &'a str,
        credentials: &'a Credentials,
    ) -> Context<'a> {
        Context {
            function: &self.name,
            version: &self.version,
            runtime: &self.runtime,
            handler: &self.handler,
            memory_mb: self.memory_mb,
            variables: &self.variables,
            region: &self.region,
            log_group: &self.log_group,
            log_stream,
            json_log_level: self.json_log_level.as_deref(),
            metadata_token,
            credentials,
        }
    }
}

/// Year, month and day of a moment (proleptic Gregorian, UTC); days-from-civil inverted.
pub(crate) fn date(epoch_s: u64) -> (u64, u64, u64) {
    let days = epoch_s / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(951_782_400), (2000, 2, 29));
        assert_eq!(date(1_767_225_599), (2025, 12, 31));
    }
}
