//! The platform's own lines in a function's log: in which format its function wants them, and which of them it wants.
//!
//! `LoggingConfig` decides: text functions get START, END, REPORT and the lines of initialisation; JSON functions get
//! records from their `SystemLogLevel` on. The texts are made in `logic` (`outcome`, `records`).

use super::clock;
use super::revision::Revision;
use crate::runtimes::image::Image;
use hearth_logic::RequestId;
use hearth_logic::outcome::{self as text, InitPhase, Report, Status};
use hearth_logic::records::Record;
use hearth_logic::scheduler::Initialization;
use std::time::Duration;

/// Lines with their line ends; `None` is one that nobody wants.
pub(super) type Lines = [Option<String>; 2];

fn record(revision: &Revision, record: Record<'_>) -> Option<String> {
    let least = revision.system_log?;
    (record.level() >= least).then(|| record.line(clock::wall()))
}

/// An initialisation begins.
pub(super) fn init_started(revision: &Revision, initialization: Initialization) -> Lines {
    let (version, arn) = (revision.runtime_version.as_str(), revision.runtime_version_arn.as_str());
    // A root of its own brings a runtime that the platform knows nothing of.
    let runtime = revision.image.is_none().then_some((version, arn));
    let line = if revision.system_log.is_none() {
        runtime.map(|(version, arn)| text::init_start_line(version, arn))
    } else {
        let (function, version) = (revision.name.as_str(), revision.version.as_str());
        record(revision, Record::InitStart { initialization, function, version, runtime })
    };
    [line, None]
}

/// An attempt at initialising is over. Among lines of text that is told of failures, and always of environments that are
/// kept ready.
pub(super) fn init_ended(
    (revision, initialization): (&Revision, Initialization),
    phase: InitPhase,
    status: Status<'_>,
    duration: Duration,
) -> Lines {
    if revision.system_log.is_none() {
        let failed = !matches!(status, Status::Success);
        let told = failed || initialization == Initialization::Provisioned;
        return [told.then(|| text::init_report_line(duration, phase, status)), None];
    }
    [
        record(revision, Record::InitRuntimeDone { initialization, phase, status }),
        record(revision, Record::InitReport { initialization, phase, status, duration }),
    ]
}

/// The program of a root of its own did not start. Among records there is none for it: the end of the initialisation
/// has the error's type, and the invocation's answer the reason.
pub(super) fn not_launched(revision: &Revision, image: &Image, why: &str) -> Lines {
    [revision.system_log.is_none().then(|| image.launch_error(why)), None]
}

/// An invocation begins.
pub(super) fn started(revision: &Revision, request_id: RequestId) -> Lines {
    let version = revision.version.as_str();
    let line = if revision.system_log.is_none() {
        Some(text::start_line(request_id, version))
    } else {
        record(revision, Record::Start { request_id, version })
    };
    [line, None]
}

/// An invocation is over.
pub(super) fn ended(revision: &Revision, report: &Report<'_>, produced_bytes: Option<u64>) -> Lines {
    if revision.system_log.is_none() {
        return [Some(text::end_line(report.request_id)), Some(report.line())];
    }
    [
        record(revision, Record::RuntimeDone { report, produced_bytes }),
        record(revision, Record::Report { report }),
    ]
}
