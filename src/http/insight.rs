//! What the admin socket tells of decisions: records of invocations (`/why`), and everything at a glance (`/top`).
//!
//! Answers are JSON for the command line, which finds the words. Looking through the records takes milliseconds and is
//! done beside the threads that serve; nothing is prepared for a question that nobody asks.

use super::admin::{JSON, PLAIN, text};
use super::names::Target;
use super::server::Body;
use crate::daemon::clock;
use crate::daemon::decisions::RECORDS_MAX;
use crate::daemon::invoke::Shared;
use crate::daemon::overview::Overview;
use crate::daemon::scheduler::Order;
use hearth_logic::{RequestId, Time};
use http::{Response, StatusCode};
use serde_json::{Value, json};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Records that one answer carries.
const LAST: RangeInclusive<u64> = 1..=1_000;
const LAST_DEFAULT: u64 = 50;
/// Seconds that a window may span.
const WINDOW_S: RangeInclusive<u64> = 1..=3_600;
const WINDOW_DEFAULT_S: u64 = 10;
/// The scheduler answers within microseconds; it does not when the daemon ends.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    /// The question is wrong.
    Wrong(String),
    /// The daemon cannot say.
    Failed(String),
}

/// `GET /why?request_id=UUID` or `GET /why?function=NAME[:QUALIFIER]&last=N`: the records, newest first, with the limits
/// in force and how far back records reach. A request that is not held gives no records.
pub(super) async fn why(shared: &Arc<Shared>, query: Option<&str>) -> Response<Body> {
    answer(explain(shared, query.unwrap_or_default()).await)
}

/// `GET /top?window_s=N`: environments, concurrency and limits now; what ended within the last N seconds.
pub(super) async fn top(shared: &Arc<Shared>, query: Option<&str>) -> Response<Body> {
    answer(look(shared, query.unwrap_or_default()).await)
}

fn answer(told: Result<Value, Refused>) -> Response<Body> {
    match told {
        Ok(value) => text(StatusCode::OK, JSON, value.to_string()),
        Err(Refused::Wrong(why)) => text(StatusCode::BAD_REQUEST, PLAIN, format!("{why}\n")),
        Err(Refused::Failed(why)) => text(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{why}\n")),
    }
}

/// Whose records are asked for.
enum Wanted {
    Request(RequestId),
    Last { target: Target, count: usize },
}

async fn explain(shared: &Arc<Shared>, query: &str) -> Result<Value, Refused> {
    let wanted = match (parameter(query, "request_id"), parameter(query, "function")) {
        (Some(id), None) => {
            Wanted::Request(id.parse().map_err(|error| wrong(&format!("`request_id` is {error}")))?)
        }
        (None, Some(name)) => {
            let target = Target::parse(&shared.functions, &name, None).map_err(|error| {
                wrong(&format!("`function`: {}", error.message().unwrap_or("not a name")))
            })?;
            let count = number(query, "last", LAST, LAST_DEFAULT)?;
            Wanted::Last { target, count: usize::try_from(count).unwrap_or(1) }
        }
        _ => return Err(wrong("say either `request_id` or `function`")),
    };
    let overview = overview(shared).await?;
    let shared = Arc::clone(shared);
    let looked = tokio::task::spawn_blocking(move || {
        let decisions = &shared.decisions;
        let records = match &wanted {
            Wanted::Request(id) => decisions.find(*id).into_iter().collect(),
            Wanted::Last { target, count } => {
                decisions.last(&target.name, target.qualifier.as_deref(), *count)
            }
        };
        let records: Vec<Value> = records
            .iter()
            .map(|record| {
                let mut value = record.json();
                value["reserved"] = json!(overview.reserved(record.function()));
                value
            })
            .collect();
        let (held, oldest) = decisions.extent();
        json!({
            "records": records,
            "held": held,
            "held_max": RECORDS_MAX,
            "oldest_ms": oldest.map(|at| at.as_millis()),
            "limits": overview.limits(),
        })
    });
    looked.await.map_err(|error| failed(&error.to_string()))
}

async fn look(shared: &Arc<Shared>, query: &str) -> Result<Value, Refused> {
    let window_s = number(query, "window_s", WINDOW_S, WINDOW_DEFAULT_S)?;
    let overview = overview(shared).await?;
    let shared = Arc::clone(shared);
    let looked = tokio::task::spawn_blocking(move || {
        let now = clock::now();
        let wanted = Duration::from_secs(window_s).min(now.since(Time::ZERO));
        let since = Time::from_nanos(now.as_nanos().saturating_sub(wanted.as_nanos() as u64));
        let window = shared.decisions.window(since);
        // Under load the records may not reach back that far.
        let (held, _) = shared.decisions.extent();
        let reach = window.oldest.filter(|_| held == RECORDS_MAX).map_or(wanted, |oldest| now.since(oldest));
        let mut told = overview.json(window, wanted.min(reach));
        told["time_ms"] = json!(clock::wall().as_millis());
        told
    });
    looked.await.map_err(|error| failed(&error.to_string()))
}

async fn overview(shared: &Shared) -> Result<Overview, Refused> {
    let (asked, told) = oneshot::channel();
    shared.scheduler.order(Order::Survey(asked));
    match tokio::time::timeout(LOOK_MAX, told).await {
        Ok(Ok(overview)) => Ok(overview),
        _ => Err(failed("the scheduler does not answer; the daemon may be about to end")),
    }
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let raw = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    percent_encoding::percent_decode_str(raw).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

fn number(query: &str, name: &str, range: RangeInclusive<u64>, default: u64) -> Result<u64, Refused> {
    let Some(given) = parameter(query, name) else { return Ok(default) };
    given
        .parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| wrong(&format!("`{name}` is a number from {} to {}", range.start(), range.end())))
}

fn wrong(why: &str) -> Refused {
    Refused::Wrong(why.to_owned())
}

fn failed(why: &str) -> Refused {
    Refused::Failed(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_numbers_bounded() {
        let query = "function=a%3Ab&last=7&window_s=0";
        assert_eq!(parameter(query, "function").as_deref(), Some("a:b"));
        assert_eq!(parameter(query, "unction"), None);
        assert_eq!(number(query, "last", LAST, LAST_DEFAULT).ok(), Some(7));
        assert_eq!(number(query, "other", LAST, LAST_DEFAULT).ok(), Some(LAST_DEFAULT));
        let refused = number(query, "window_s", WINDOW_S, WINDOW_DEFAULT_S).expect_err("is out of range");
        assert_eq!(refused, wrong("`window_s` is a number from 1 to 3600"));
    }
}
