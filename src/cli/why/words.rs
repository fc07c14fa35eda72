//! Sentences for a decision: what was found, what was waited for, which limit said no. What changes that says `advice`.
//!
//! Reads what the daemon wrote, of whatever release: a word that is not known here is shown as it is.

use serde_json::Value;

/// Milliseconds for people: three digits that matter.
pub(in crate::cli) fn milliseconds(ms: f64) -> String {
    let text = match ms {
        ms if ms < 10.0 => format!("{ms:.2}"),
        ms if ms < 1_000.0 => format!("{ms:.1}"),
        ms => return format!("{:.2} s", ms / 1e3),
    };
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} ms")
}

pub(super) fn text<'a>(record: &'a Value, name: &str) -> &'a str {
    record[name].as_str().unwrap_or_default()
}

fn took(record: &Value, name: &str) -> String {
    milliseconds(record[name].as_f64().unwrap_or(0.0))
}

/// `name:qualifier (version 3)`.
pub(super) fn name(record: &Value) -> String {
    let qualifier = record["qualifier"].as_str().map_or(String::new(), |qualifier| format!(":{qualifier}"));
    format!("{}{qualifier} (version {})", text(record, "function"), text(record, "version"))
}

/// What came of it.
pub(super) fn outcome(record: &Value) -> String {
    let after = format!(
        "after {} of the function's time, {} after it came",
        took(record, "duration_ms"),
        took(record, "total_ms")
    );
    let error = record["error"].as_str().unwrap_or("an error that has no name");
    match text(record, "outcome") {
        "waiting" => "it still waits for an environment".to_owned(),
        "running" => "it is running".to_owned(),
        "succeeded" => format!("it succeeded {after}"),
        "function-error" => format!("the function answered with an error {after}"),
        "timed-out" => format!("the function ran out of time {after}"),
        "runtime-error" => format!("the runtime failed with {error} {after}"),
        "throttled" => "it was refused (429) and never ran".to_owned(),
        "shutting-down" => {
            "it was refused (500) and never ran: the daemon was about to stop, which is no throttle"
                .to_owned()
        }
        "failed" => {
            format!("it was admitted and came to nothing by a fault of this machine (500): {error}")
        }
        other => other.to_owned(),
    }
}

/// What it found, and why that.
pub(super) fn start(record: &Value) -> Option<String> {
    let spilled = if record["spilled_over"] == true {
        ". It came for provisioned concurrency, but all of that was taken: it spilled over to an environment on demand"
    } else {
        ""
    };
    let said = match record["start"].as_str()? {
        "warm" => "warm: it took an environment that had run before or had come up for another invocation"
            .to_owned(),
        "provisioned" => "provisioned: an environment was kept ready for it".to_owned(),
        "cold" => format!("cold: an environment was made for it. {}", cause(record)),
        other => other.to_owned(),
    };
    let again = match record["deliveries"].as_u64() {
        Some(times @ 2..) => {
            format!(". {times} environments were tried: the others ended before they took it")
        }
        _ => String::new(),
    };
    Some(format!("{said}{spilled}{again}"))
}

fn cause(record: &Value) -> String {
    let others = record["others"].as_u64().unwrap_or(0);
    match text(record, "cold_because") {
        "first" => {
            "This code with these settings had no environment before, as far as is remembered".to_owned()
        }
        "all-taken" if others == 1 => "The one other environment of this version was taken".to_owned(),
        "all-taken" => format!("All {others} other environments of this version were taken"),
        "gone" => format!("There was none left: the last one {}", gone(text(record, "last_ended_by"))),
        _ => "None was free".to_owned(),
    }
}

fn gone(why: &str) -> String {
    match why {
        "idle-timeout" => "had been idle for too long".to_owned(),
        "evicted" => "went to make room for others".to_owned(),
        "retired" => "belonged to code or settings that were replaced".to_owned(),
        "recycled" => "had reached the age at which environments are replaced".to_owned(),
        "spent" => "could not be used again".to_owned(),
        "died" => "had died".to_owned(),
        "unreachable" => "could not take an invocation".to_owned(),
        other => format!("was ended ({other})"),
    }
}

/// For how long it waited, and what for.
pub(super) fn waiting(record: &Value) -> Option<String> {
    let waited = record["waited_ms"].as_f64().filter(|ms| *ms > 0.0)?;
    let waited = milliseconds(waited);
    let init = record["init_ms"].as_f64().map(milliseconds);
    let spent = init.map_or(String::new(), |init| format!("; its code took {init} to initialise"));
    Some(match record["waited_for"].as_str() {
        Some("initialization") if record["start"] == "cold" => {
            format!("{waited} for that environment{spent}")
        }
        Some("initialization") if record["start"].is_null() => {
            format!("{waited} for an environment that was being made")
        }
        Some("initialization") => format!("{waited}: an environment was being made, or became free"),
        Some("starts") => {
            format!(
                "{waited}: as many sandboxes were being made as may be at once, its own after them{spent}"
            )
        }
        Some("capacity") => format!("{waited} for memory, or a place among the environments{spent}"),
        Some("request-rate") => {
            format!("{waited}: its environments had taken as many requests as they may in a second")
        }
        Some(other) => format!("{waited} for {other}{spent}"),
        None => waited,
    })
}

/// Which limit refused it.
pub(super) fn throttle(record: &Value, limits: &Value) -> Option<String> {
    let reason = record["throttled_by"].as_str()?;
    let (used, limit) = (&record["limit_used"], &record["limit"]);
    let said = match reason {
        "ReservedFunctionConcurrentInvocationLimitExceeded" if record["reserved"] == 0 || *limit == 0 => {
            "the function's reserved concurrency is 0, which disables it".to_owned()
        }
        _ if limit.is_null() && reason.ends_with("ConcurrentInvocationLimitExceeded") => {
            let shared = &limits["unreserved"];
            format!(
                "all of the concurrency that it could use was in use (functions without a reservation share {shared})"
            )
        }
        "ReservedFunctionConcurrentInvocationLimitExceeded" => {
            format!("{used} of the {limit} invocations that the function has reserved were in flight")
        }
        "ConcurrentInvocationLimitExceeded" => format!(
            "{used} of the {limit} invocations that functions without a reservation share were in flight \
             (the account has {})",
            limits["account_concurrency"]
        ),
        "CapacityExceeded" if text(record, "waited_for") == "starts" => format!(
            "as many sandboxes were being made as may be at once ({}), for as long as an invocation waits for that \
             (limits.wait_max_s, {})",
            limits["concurrent_starts"], limits["wait_max_s"]
        ),
        "CapacityExceeded" => format!(
            "this machine had no room for another environment: {used} of {limit} MB were promised, and at most {} \
             environments may exist",
            limits["environments_max"]
        ),
        "QueueFull" => format!("as many invocations waited as may ({})", limits["waiting_max"]),
        "FunctionInvocationRateLimitExceeded" | "ReservedFunctionInvocationRateLimitExceeded" => {
            too_fast(record, limits)
        }
        "CallerRateLimitExceeded" => "the caller sent more requests in a second than it may".to_owned(),
        _ => return Some(reason.to_owned()),
    };
    let again = match record["retry_after_ms"].as_f64() {
        Some(pause) => format!(" Another try was worth it after {}.", milliseconds(pause)),
        None => String::new(),
    };
    Some(format!("{reason}: {said}.{again}"))
}

/// Lambda has one reason for two rates; the record says which it was.
fn too_fast(record: &Value, limits: &Value) -> String {
    match record["rate"].as_str() {
        Some("scaling") => {
            let whose =
                if limits["scaling"] == "classic" { "all functions together" } else { "the function" };
            format!(
                "it needed another environment, and {whose} may add {} at once and {} more per minute (limits.scaling {})",
                limits["scaling_burst"], limits["scaling_per_minute"], limits["scaling"]
            )
        }
        Some("requests") => {
            let whose = if text(record, "throttled_by").starts_with("Reserved") {
                "of the function's own concurrency"
            } else {
                "of what functions without a reservation share"
            };
            format!(
                "more requests came in a second than {} for each unit {whose}",
                limits["requests_per_concurrency"]
            )
        }
        _ => "requests came, or environments were needed, faster than the function may have them".to_owned(),
    }
}

/// What had to go for it.
pub(super) fn eviction(record: &Value) -> Option<String> {
    let count = record["evicted_count"].as_u64().filter(|count| *count > 0)?;
    let named: Vec<String> = record["evicted"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| {
            format!("{} of {}", one["environment"], one["function"].as_str().unwrap_or("a function unknown"))
        })
        .collect();
    let more = count.saturating_sub(named.len() as u64);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("{count} idle went for it: environment {}{more}", named.join(", ")))
}

/// The reason in a few words, for a list.
pub(super) fn in_short(record: &Value) -> String {
    if let Some(reason) = record["throttled_by"].as_str().or(record["error"].as_str()) {
        return reason.to_owned();
    }
    if record["outcome"] == "shutting-down" {
        return "the daemon was about to stop".to_owned();
    }
    let mut parts = Vec::new();
    match text(record, "cold_because") {
        "first" => parts.push("first of its code and settings".to_owned()),
        "all-taken" => parts.push(format!("{} others were taken", record["others"])),
        "gone" => parts.push(format!("the last one {}", gone(text(record, "last_ended_by")))),
        _ => {}
    }
    if record["spilled_over"] == true {
        parts.push("spilled over".to_owned());
    }
    if let Some(waited_for) = record["waited_for"].as_str().filter(|it| *it != "initialization") {
        parts.push(format!("waited for {waited_for}"));
    }
    if let Some(count) = record["evicted_count"].as_u64().filter(|count| *count > 0) {
        parts.push(format!("evicted {count}"));
    }
    if parts.is_empty() { "-".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn limits() -> Value {
        super::super::advice::sample_limits()
    }

    #[test]
    fn durations_keep_the_digits_that_matter() {
        let cases =
            [(0.0, "0 ms"), (1.25, "1.25 ms"), (100.0, "100 ms"), (210.54, "210.5 ms"), (1500.0, "1.50 s")];
        for (ms, shown) in cases {
            assert_eq!(milliseconds(ms), shown);
        }
    }

    #[test]
    fn each_cause_of_a_cold_start_has_its_sentence() {
        let gone = |why: &str| json!({ "cold_because": "gone", "last_ended_by": why });
        let cases = [
            (json!({ "cold_because": "first" }), "had no environment before"),
            (json!({ "cold_because": "all-taken", "others": 1 }), "The one other environment"),
            (json!({ "cold_because": "all-taken", "others": 4 }), "All 4 other environments"),
            (gone("idle-timeout"), "idle for too long"),
            (gone("evicted"), "make room"),
            (gone("recycled"), "the last one had reached the age"),
            (gone("died"), "had died"),
        ];
        for (mut record, sentence) in cases {
            record["start"] = json!("cold");
            let said = start(&record).expect("has a start");
            assert!(said.starts_with("cold: ") && said.contains(sentence), "{said}");
        }
    }

    #[test]
    fn each_limit_has_its_sentence() {
        let reserved_rate = "ReservedFunctionInvocationRateLimitExceeded";
        let rate = "FunctionInvocationRateLimitExceeded";
        let cases = [
            ("ReservedFunctionConcurrentInvocationLimitExceeded", json!({}), "3 of the 4 invocations"),
            ("ConcurrentInvocationLimitExceeded", json!({}), "the account has 10"),
            ("CapacityExceeded", json!({}), "3 of 4 MB"),
            ("CapacityExceeded", json!({ "waited_for": "capacity" }), "3 of 4 MB"),
            ("CapacityExceeded", json!({ "waited_for": "starts" }), "may be at once (8)"),
            ("QueueFull", json!({}), "(10000)"),
            (rate, json!({ "rate": "requests" }), "than 7 for each unit of what functions without"),
            (reserved_rate, json!({ "rate": "requests" }), "than 7 for each unit of the function's own"),
            (rate, json!({ "rate": "scaling" }), "the function may add 5 at once and 600 more per minute"),
            (reserved_rate, json!({ "rate": "scaling" }), "it needed another environment"),
            (reserved_rate, json!({}), "requests came, or environments were needed, faster"),
            ("CallerRateLimitExceeded", json!({}), "the caller"),
        ];
        for (reason, mut record, sentence) in cases {
            record["throttled_by"] = json!(reason);
            (record["limit_used"], record["limit"]) = (json!(3), json!(4));
            let said = throttle(&record, &limits()).expect("was throttled");
            assert!(said.starts_with(reason) && said.contains(sentence), "{said}");
            assert!(!said.contains("ten"), "limits are told as they are: {said}");
        }
        let classic = json!({ "scaling": "classic", "scaling_burst": 3000, "scaling_per_minute": 500 });
        let said = throttle(&json!({ "throttled_by": rate, "rate": "scaling" }), &classic);
        assert!(said.is_some_and(|said| said.contains("all functions together may add 3000 at once")));
        let disabled = json!({
            "throttled_by": "ReservedFunctionConcurrentInvocationLimitExceeded", "limit_used": null, "limit": null, "reserved": 0,
        });
        assert!(throttle(&disabled, &limits()).is_some_and(|said| said.contains("disables it")));
        assert_eq!(throttle(&json!({ "throttled_by": "NewLimit" }), &limits()).as_deref(), Some("NewLimit"));
        assert_eq!(throttle(&json!({ "throttled_by": null }), &limits()), None);
    }

    #[test]
    fn a_refusal_at_the_daemons_end_is_no_throttle() {
        let record = json!({ "outcome": "shutting-down", "throttled_by": null, "error": null });
        assert!(outcome(&record).contains("(500)") && throttle(&record, &limits()).is_none());
        assert_eq!(in_short(&record), "the daemon was about to stop");
    }

    #[test]
    fn each_wait_has_its_sentence() {
        for (waited_for, sentence) in [
            ("initialization", "for that environment; its code took 12 ms"),
            ("starts", "may be at once"),
            ("capacity", "for memory"),
            ("request-rate", "in a second"),
        ] {
            let record =
                json!({ "start": "cold", "waited_ms": 20.0, "waited_for": waited_for, "init_ms": 12.0 });
            let said = waiting(&record).expect("waited");
            assert!(said.starts_with("20 ms") && said.contains(sentence), "{said}");
        }
        let refused = json!({ "start": null, "waited_ms": 20.0, "waited_for": "initialization" });
        assert_eq!(waiting(&refused).as_deref(), Some("20 ms for an environment that was being made"));
        assert_eq!(waiting(&json!({ "waited_ms": 0.0 })), None);
    }

    #[test]
    fn what_made_room_is_named_and_the_rest_counted() {
        let record = json!({
            "evicted_count": 3,
            "evicted": [{ "environment": 1, "function": "a" }, { "environment": 2, "function": null }],
        });
        let said = "3 idle went for it: environment 1 of a, 2 of a function unknown and 1 more";
        assert_eq!(eviction(&record).as_deref(), Some(said));
        assert_eq!(eviction(&json!({ "evicted_count": 0, "evicted": [] })), None);
    }

    #[test]
    fn spill_over_and_second_tries_are_said() {
        let record = json!({ "start": "warm", "spilled_over": true, "deliveries": 2 });
        let said = start(&record).expect("has a start");
        assert!(said.contains("spilled over") && said.contains("2 environments were tried"), "{said}");
    }
}
