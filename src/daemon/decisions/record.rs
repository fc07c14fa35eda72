//! One record: what an invocation was, what was decided about it, what came of it; and how programs read it.
//!
//! Kept small: microseconds in 32 bits, names shared with revision and environment, rare things behind one pointer.

use hearth_logic::admission::Reason;
use hearth_logic::scheduler::{StartType, WaitedFor, Why};
use hearth_logic::{EnvironmentId, Exceeded, RequestId, Time, WallTime};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// What all invocations of one revision are called.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Label {
    /// Function name.
    pub(crate) function: String,
    /// `$LATEST` or a number.
    pub(crate) version: String,
}

/// Where invocations run: one environment.
#[derive(Debug)]
pub(crate) struct Place {
    /// Its number.
    pub(crate) environment: EnvironmentId,
    /// Log group.
    pub(crate) group: Arc<str>,
    /// Log stream.
    pub(crate) stream: Arc<str>,
}

/// An environment that went to make room.
#[derive(Clone, Debug)]
pub(crate) struct Evicted {
    /// Its number.
    pub(crate) environment: EnvironmentId,
    /// Whose it was, if that is still known.
    pub(crate) label: Option<Arc<Label>>,
}

/// Why there was no environment for a cold start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColdCause {
    /// This code with these settings had none yet, as far back as is remembered.
    First,
    /// There were some, all taken.
    AllTaken,
    /// The last one was gone, for this reason.
    Gone(Why),
}

/// How an invocation that ran ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Well.
    Success,
    /// With an error document of the function's own.
    FunctionError,
    /// Out of time.
    Timeout,
    /// The runtime failed: `Runtime.ExitError` and its like.
    Error,
}

/// A qualifier, whole: short ones in place, so that most records need no memory beside their own. A long alias has at most
/// 128 bytes more.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Qualifier {
    Short { length: u8, bytes: [u8; Self::SHORT_MAX] },
    Long(Box<str>),
}

impl Qualifier {
    const SHORT_MAX: usize = 22;
    const NONE: Self = Self::Short { length: 0, bytes: [0; Self::SHORT_MAX] };

    pub(super) fn of(text: &str) -> Self {
        let mut bytes = [0; Self::SHORT_MAX];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(text.as_bytes());
                Self::Short { length, bytes }
            }
            _ => Self::Long(text.into()),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Short { length, bytes } => {
                std::str::from_utf8(&bytes[..usize::from(*length)]).unwrap_or_default()
            }
            Self::Long(text) => text,
        }
    }
}

impl std::fmt::Debug for Qualifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Waiting,
    Running,
    Ended(Ending),
    Refused,
    Failed,
}

/// What few records have.
#[derive(Clone, Debug, Default)]
pub(super) struct Extra {
    pub(super) evicted: Vec<Evicted>,
    pub(super) evicted_all: u32,
    pub(super) retry_after: Option<Duration>,
    pub(super) detail: Option<Box<str>>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// The invocation's number; 0 in a cell that was never used.
    pub(super) id: u64,
    pub(super) request_id: RequestId,
    pub(super) at: WallTime,
    pub(super) since: Time,
    pub(super) label: Option<Arc<Label>>,
    pub(super) qualifier: Qualifier,
    pub(super) place: Option<Arc<Place>>,
    pub(super) extra: Option<Box<Extra>>,
    pub(super) waited_us: u32,
    pub(super) duration_us: u32,
    /// From its coming to its end.
    pub(super) total_us: u32,
    pub(super) init_us: Option<u32>,
    /// Of a refusal: how much of the limit was used. Of an assignment: other environments of the revision.
    pub(super) used: u32,
    pub(super) limit: u32,
    pub(super) state: State,
    pub(super) start: Option<StartType>,
    pub(super) waited_for: Option<WaitedFor>,
    pub(super) reason: Option<Reason>,
    pub(super) rate: Option<Exceeded>,
    pub(super) cause: Option<ColdCause>,
    pub(super) spilled_over: bool,
    /// `used` and `limit` are of the refusal.
    pub(super) has_usage: bool,
    pub(super) deliveries: u8,
}

impl Record {
    pub(super) const EMPTY: Self = Self {
        id: 0,
        request_id: RequestId::from_bytes([0; 16]),
        at: WallTime::from_millis(0),
        since: Time::ZERO,
        label: None,
        qualifier: Qualifier::NONE,
        place: None,
        extra: None,
        waited_us: 0,
        duration_us: 0,
        total_us: 0,
        init_us: None,
        used: 0,
        limit: 0,
        state: State::Waiting,
        start: None,
        waited_for: None,
        reason: None,
        rate: None,
        cause: None,
        spilled_over: false,
        has_usage: false,
        deliveries: 0,
    };

    pub(super) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Name of the function.
    pub(crate) fn function(&self) -> &str {
        self.label.as_ref().map_or("", |label| &label.function)
    }

    /// When it ended, if it did.
    pub(super) fn end(&self) -> Option<Time> {
        match self.state {
            State::Waiting | State::Running => None,
            State::Ended(_) | State::Refused | State::Failed => {
                Some(self.since.after(Duration::from_micros(u64::from(self.total_us))))
            }
        }
    }

    /// For programs: every member is always there, `null` where it does not apply.
    pub(crate) fn json(&self) -> Value {
        let extra = self.extra.as_deref();
        let ran = matches!(self.state, State::Ended(_));
        json!({
            "request_id": self.request_id,
            "time_ms": self.at.as_millis(),
            "function": self.function(),
            "version": self.label.as_ref().map(|label| &label.version),
            "qualifier": Some(self.qualifier.as_str()).filter(|text| !text.is_empty()),
            "outcome": self.outcome(),
            "error": match &self.state {
                State::Ended(Ending::Error) | State::Failed => extra.and_then(|extra| extra.detail.as_deref()),
                _ => None,
            },
            "start": self.start.map(start_word),
            "spilled_over": self.spilled_over,
            "cold_because": self.cause.map(|cause| match cause {
                ColdCause::First => "first",
                ColdCause::AllTaken => "all-taken",
                ColdCause::Gone(_) => "gone",
            }),
            "last_ended_by": match self.cause {
                Some(ColdCause::Gone(why)) => Some(why.as_str()),
                _ => None,
            },
            "others": self.start.map(|_| self.used),
            "waited_ms": ms(self.waited_us),
            "waited_for": self.waited_for.map(waited_word),
            "throttled_by": self.throttled_by().map(Reason::as_str),
            "rate": self.rate.map(Exceeded::as_str),
            "limit_used": self.reason.filter(|_| self.has_usage).map(|_| self.used),
            "limit": self.reason.filter(|_| self.has_usage).map(|_| self.limit),
            "retry_after_ms": extra.and_then(|extra| extra.retry_after).map(|pause| pause.as_secs_f64() * 1e3),
            "evicted": extra.map_or_else(Vec::new, |extra| extra.evicted.iter().map(evicted).collect()),
            "evicted_count": extra.map_or(0, |extra| extra.evicted_all),
            "deliveries": self.deliveries,
            "environment": self.place.as_ref().map(|place| place.environment),
            "log_group": self.place.as_ref().map(|place| &*place.group),
            "log_stream": self.place.as_ref().map(|place| &*place.stream),
            "init_ms": self.init_us.map(ms),
            "duration_ms": ran.then(|| ms(self.duration_us)),
            "total_ms": self.end().map(|_| ms(self.total_us)),
        })
    }

    /// The limit that refused it. A daemon that ends refuses, too, and throttles nobody.
    pub(super) fn throttled_by(&self) -> Option<Reason> {
        self.reason.filter(|reason| *reason != Reason::ShuttingDown)
    }

    fn outcome(&self) -> &'static str {
        match self.state {
            State::Refused if self.throttled_by().is_none() => "shutting-down",
            State::Waiting => "waiting",
            State::Running => "running",
            State::Ended(Ending::Success) => "succeeded",
            State::Ended(Ending::FunctionError) => "function-error",
            State::Ended(Ending::Timeout) => "timed-out",
            State::Ended(Ending::Error) => "runtime-error",
            State::Refused => "throttled",
            State::Failed => "failed",
        }
    }
}

fn evicted(one: &Evicted) -> Value {
    json!({ "environment": one.environment, "function": one.label.as_ref().map(|label| &label.function) })
}

fn ms(micros: u32) -> f64 {
    f64::from(micros) / 1e3
}

/// One word for what an invocation found.
pub(crate) const fn start_word(start: StartType) -> &'static str {
    match start {
        StartType::Warm => "warm",
        StartType::Cold => "cold",
        StartType::Provisioned => "provisioned",
    }
}

/// One word for what an invocation waited for.
pub(crate) const fn waited_word(waited_for: WaitedFor) -> &'static str {
    match waited_for {
        WaitedFor::Initialization => "initialization",
        WaitedFor::Starts => "starts",
        WaitedFor::Capacity => "capacity",
        WaitedFor::RequestRate => "request-rate",
    }
}
