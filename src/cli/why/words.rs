//! Sentences for a decision: what was found, what was waited for, which limit said no, and which setting changes that.
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

fn text<'a>(record: &'a Value, name: &str) -> &'a str {
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
        "CapacityExceeded" => format!(
            "this machine had no room for another environment: {used} of {limit} MB were promised, and at most {} \
             environments may exist",
            limits["environments_max"]
        ),
        "QueueFull" => format!("as many invocations waited as may ({})", limits["waiting_max"]),
        "ShuttingDown" => "the daemon was about to stop".to_owned(),
        "FunctionInvocationRateLimitExceeded" => {
            "more requests came in a second than the function's share of concurrency, or its growth, allows"
                .to_owned()
        }
        "ReservedFunctionInvocationRateLimitExceeded" => {
            "more than ten requests a second came for each reserved invocation".to_owned()
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

/// What would make it go otherwise next time.
pub(super) fn advice(record: &Value, limits: &Value) -> Vec<String> {
    let mut advice = Vec::new();
    let function = text(record, "function");
    match (record["throttled_by"].as_str(), text(record, "outcome")) {
        (Some(reason), _) => advice.extend(against(reason, function, limits)),
        (None, "timed-out") => advice.push(format!(
            "See what it did: hearth logs {function}. A longer timeout: hearth api update-function-configuration \
             --function-name {function} --timeout SECONDS"
        )),
        (None, "runtime-error" | "function-error") => {
            advice.push(format!("The function's own log says more: hearth logs {function}"));
        }
        (None, "failed") => advice.push("The daemon's own log says more; so may `hearth doctor`.".to_owned()),
        _ => {}
    }
    if record["start"] == "cold" {
        advice.push(against_cold(record, limits));
    }
    match record["waited_for"].as_str() {
        Some("starts") => advice.push(format!(
            "limits.concurrent_starts (now {}) lets more sandboxes be made at once.",
            limits["concurrent_starts"]
        )),
        Some("capacity") => advice.push(room(limits)),
        Some("request-rate") => advice
            .push("[limits] profile = \"box\" sets no rate of requests per environment; \"aws\" allows ten a second.".to_owned()),
        _ => {}
    }
    advice
}

fn against_cold(record: &Value, limits: &Value) -> String {
    let function = text(record, "function");
    match (text(record, "cold_because"), text(record, "last_ended_by")) {
        ("gone", "idle-timeout") => format!(
            "limits.idle_timeout_s (now {}) says how long environments are kept without work; provisioned concurrency \
             keeps them ready for good.",
            limits["idle_timeout_s"]
        ),
        ("gone", "evicted") => room(limits),
        ("gone", "died" | "spent" | "unreachable") => {
            format!("See what ended the environment before: hearth logs {function}")
        }
        ("all-taken", _) => {
            let more = record["others"].as_u64().unwrap_or(0) + 1;
            format!(
                "{more} were in use at once; so many kept ready spare that: hearth api \
                 put-provisioned-concurrency-config --function-name {function} --qualifier VERSION_OR_ALIAS \
                 --provisioned-concurrent-executions {more}"
            )
        }
        _ => "The first invocation of new code is always cold, unless provisioned concurrency keeps environments ready."
            .to_owned(),
    }
}

fn room(limits: &Value) -> String {
    format!(
        "This machine was full: limits.memory_capacity_mb (now {}), limits.overcommit (now {}) and \
         limits.environments_max (now {}) say how much fits.",
        limits["memory_capacity_mb"], limits["overcommit"], limits["environments_max"]
    )
}

fn against(reason: &str, function: &str, limits: &Value) -> Option<String> {
    Some(match reason {
        "ReservedFunctionConcurrentInvocationLimitExceeded" => format!(
            "More: hearth api put-function-concurrency --function-name {function} \
             --reserved-concurrent-executions N; none of its own: hearth api delete-function-concurrency \
             --function-name {function}"
        ),
        "ConcurrentInvocationLimitExceeded" => format!(
            "limits.account_concurrency (now {}) bounds all functions together; reservations of other functions take \
             from what is shared (now {}).",
            limits["account_concurrency"], limits["unreserved"]
        ),
        "CapacityExceeded" => room(limits),
        "QueueFull" => format!(
            "More came than this machine can take up: send less at once, or let more wait: limits.waiting_max (now {}).",
            limits["waiting_max"]
        ),
        "ShuttingDown" => "Try again when the daemon is back.".to_owned(),
        "FunctionInvocationRateLimitExceeded"
        | "ReservedFunctionInvocationRateLimitExceeded"
        | "CallerRateLimitExceeded" => {
            "Try again a little later, or raise the limit: [limits] profile = \"box\" sets no such rate."
                .to_owned()
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn limits() -> Value {
        json!({
            "account_concurrency": 10, "unreserved": 8, "memory_capacity_mb": 1000, "overcommit": 8,
            "environments_max": 1024, "concurrent_starts": 8, "idle_timeout_s": 300.0, "waiting_max": 10000,
        })
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
    fn each_cause_of_a_cold_start_has_its_sentence_and_its_remedy() {
        let cases = [
            (json!({ "cold_because": "first" }), "had no environment before", "always cold"),
            (
                json!({ "cold_because": "all-taken", "others": 1 }),
                "The one other environment",
                "-executions 2",
            ),
            (
                json!({ "cold_because": "all-taken", "others": 4 }),
                "All 4 other environments",
                "-executions 5",
            ),
            (
                json!({ "cold_because": "gone", "last_ended_by": "idle-timeout" }),
                "idle for too long",
                "idle_timeout_s (now 300.0)",
            ),
            (
                json!({ "cold_because": "gone", "last_ended_by": "evicted" }),
                "make room",
                "overcommit (now 8)",
            ),
            (json!({ "cold_because": "gone", "last_ended_by": "died" }), "had died", "hearth logs f"),
        ];
        for (mut record, sentence, remedy) in cases {
            record["start"] = json!("cold");
            record["function"] = json!("f");
            let said = start(&record).expect("has a start");
            assert!(said.starts_with("cold: ") && said.contains(sentence), "{said}");
            let advice = advice(&record, &limits()).join("\n");
            assert!(advice.contains(remedy), "{remedy:?} in {advice}");
        }
    }

    #[test]
    fn each_limit_has_its_sentence_and_its_remedy() {
        let cases = [
            (
                "ReservedFunctionConcurrentInvocationLimitExceeded",
                "3 of the 4 invocations",
                "put-function-concurrency",
            ),
            (
                "ConcurrentInvocationLimitExceeded",
                "the account has 10",
                "limits.account_concurrency (now 10)",
            ),
            ("CapacityExceeded", "3 of 4 MB", "limits.memory_capacity_mb (now 1000)"),
            ("QueueFull", "(10000)", "send less"),
            ("ShuttingDown", "about to stop", "is back"),
            ("FunctionInvocationRateLimitExceeded", "more requests", "profile"),
            ("ReservedFunctionInvocationRateLimitExceeded", "ten requests", "profile"),
            ("CallerRateLimitExceeded", "the caller", "profile"),
        ];
        for (reason, sentence, remedy) in cases {
            let record = json!({ "throttled_by": reason, "limit_used": 3, "limit": 4, "function": "f" });
            let said = throttle(&record, &limits()).expect("was throttled");
            assert!(said.starts_with(reason) && said.contains(sentence), "{said}");
            let advice = advice(&record, &limits()).join("\n");
            assert!(advice.contains(remedy), "{remedy:?} in {advice}");
        }
        let disabled = json!({
            "throttled_by": "ReservedFunctionConcurrentInvocationLimitExceeded", "limit_used": null, "limit": null, "reserved": 0,
        });
        assert!(throttle(&disabled, &limits()).is_some_and(|said| said.contains("disables it")));
        assert_eq!(throttle(&json!({ "throttled_by": "NewLimit" }), &limits()).as_deref(), Some("NewLimit"));
        assert_eq!(throttle(&json!({ "throttled_by": null }), &limits()), None);
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
