//! What would make an invocation go otherwise next time: the setting that decided, by its name and with its value.
//!
//! Apart from `words`, which says what happened: this says what to do. It reads the same records, and changes nothing.

use super::words::text;
use serde_json::Value;

/// What would make it go otherwise next time.
pub(super) fn advice(record: &Value, limits: &Value) -> Vec<String> {
    let mut advice = Vec::new();
    let function = text(record, "function");
    match (record["throttled_by"].as_str(), text(record, "outcome")) {
        (Some(reason), _) => advice.extend(against(reason, record, limits)),
        (None, "timed-out") => advice.push(format!(
            "See what it did: hearth logs {function}. A longer timeout: hearth api update-function-configuration \
             --function-name {function} --timeout SECONDS"
        )),
        (None, "runtime-error" | "function-error") => {
            advice.push(format!("The function's own log says more: hearth logs {function}"));
        }
        (None, "failed") => advice.push("The daemon's own log says more; so may `hearth doctor`.".to_owned()),
        (None, "shutting-down") => advice.push("Try again when the daemon is back.".to_owned()),
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
        Some("request-rate") => advice.push(format!(
            "limits.requests_per_environment (now {}; 0 for any number) says how many invocations one environment begins \
             within a second.",
            limits["requests_per_environment"]
        )),
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
        ("gone", "recycled") => format!(
            "limits.recycle_after_s (now {}; 0 for never) says at which age environments are replaced once they are idle.",
            limits["recycle_after_s"]
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
        ("first", _) | ("gone", "retired") => {
            "The first invocation of new code is always cold, unless provisioned concurrency keeps environments ready."
                .to_owned()
        }
        _ => "Provisioned concurrency keeps environments ready.".to_owned(),
    }
}

fn room(limits: &Value) -> String {
    format!(
        "This machine was full: limits.memory_capacity_mb (now {}), limits.overcommit (now {}) and \
         limits.environments_max (now {}) say how much fits.",
        limits["memory_capacity_mb"], limits["overcommit"], limits["environments_max"]
    )
}

fn against(reason: &str, record: &Value, limits: &Value) -> Option<String> {
    let function = text(record, "function");
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
        // What it waited for says it.
        "CapacityExceeded" if matches!(text(record, "waited_for"), "starts" | "capacity") => return None,
        "CapacityExceeded" => room(limits),
        "QueueFull" => format!(
            "More came than this machine can take up: send less at once, or let more wait: limits.waiting_max (now {}).",
            limits["waiting_max"]
        ),
        "FunctionInvocationRateLimitExceeded" | "ReservedFunctionInvocationRateLimitExceeded" => {
            against_haste(record, limits)
        }
        "CallerRateLimitExceeded" => {
            "Try again a little later, or raise the limit: [limits] profile = \"box\" sets no such rate."
                .to_owned()
        }
        _ => return None,
    })
}

fn against_haste(record: &Value, limits: &Value) -> String {
    match record["rate"].as_str() {
        Some("scaling") => format!(
            "limits.scaling (now {}), limits.scaling_burst (now {}) and limits.scaling_per_minute (now {}) say how fast \
             environments may be added; \"unlimited\" is as fast as the machine can.",
            limits["scaling"], limits["scaling_burst"], limits["scaling_per_minute"]
        ),
        Some("requests") => format!(
            "limits.requests_per_concurrency (now {}; 0 for any number) says how many requests a second each unit of \
             concurrency may get; more concurrency gets more.",
            limits["requests_per_concurrency"]
        ),
        _ => {
            "Try again a little later, or raise the limits: limits.scaling, limits.requests_per_concurrency."
                .to_owned()
        }
    }
}

/// Limits as the daemon tells them, for tests.
#[cfg(test)]
pub(super) fn sample_limits() -> Value {
    serde_json::json!({
        "account_concurrency": 10, "unreserved": 8, "memory_capacity_mb": 1000, "overcommit": 8,
        "environments_max": 1024, "concurrent_starts": 8, "idle_timeout_s": 300.0, "recycle_after_s": 28800,
        "waiting_max": 10000, "wait_max_s": 60.0, "scaling": "2023", "scaling_burst": 5,
        "scaling_per_minute": 600, "requests_per_concurrency": 7, "requests_per_environment": 9,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn advised(mut record: Value) -> String {
        record["function"] = json!("f");
        advice(&record, &sample_limits()).join("\n")
    }

    #[test]
    fn each_cause_of_a_cold_start_has_its_remedy() {
        let gone = |why: &str| json!({ "cold_because": "gone", "last_ended_by": why });
        for (mut record, remedy) in [
            (json!({ "cold_because": "first" }), "always cold"),
            (json!({ "cold_because": "all-taken", "others": 1 }), "-executions 2"),
            (json!({ "cold_because": "all-taken", "others": 4 }), "-executions 5"),
            (gone("idle-timeout"), "idle_timeout_s (now 300.0)"),
            (gone("recycled"), "limits.recycle_after_s (now 28800; 0 for never)"),
            (gone("evicted"), "overcommit (now 8)"),
            (gone("retired"), "first invocation of new code"),
            (gone("died"), "hearth logs f"),
            (gone("of a reason to come"), "Provisioned concurrency keeps"),
        ] {
            record["start"] = json!("cold");
            let advice = advised(record);
            assert!(advice.contains(remedy), "{remedy:?} in {advice}");
        }
    }

    #[test]
    fn each_limit_has_its_remedy_with_its_value() {
        let reserved_rate = "ReservedFunctionInvocationRateLimitExceeded";
        for (reason, rate, remedy) in [
            ("ReservedFunctionConcurrentInvocationLimitExceeded", None, "put-function-concurrency"),
            ("ConcurrentInvocationLimitExceeded", None, "limits.account_concurrency (now 10)"),
            ("CapacityExceeded", None, "limits.memory_capacity_mb (now 1000)"),
            ("QueueFull", None, "send less"),
            ("FunctionInvocationRateLimitExceeded", Some("scaling"), "limits.scaling_burst (now 5)"),
            (reserved_rate, Some("scaling"), "limits.scaling (now \"2023\")"),
            (reserved_rate, Some("requests"), "limits.requests_per_concurrency (now 7;"),
            (reserved_rate, None, "a little later"),
            ("CallerRateLimitExceeded", None, "profile"),
        ] {
            let advice = advised(json!({ "throttled_by": reason, "rate": rate }));
            assert!(advice.contains(remedy), "{remedy:?} in {advice}");
        }
        assert!(advised(json!({ "outcome": "shutting-down" })).contains("when the daemon is back"));
    }

    #[test]
    fn each_wait_has_its_remedy_once_also_where_it_was_in_vain() {
        for throttled_by in [None, Some("CapacityExceeded")] {
            for (waited_for, remedy) in [
                ("starts", "limits.concurrent_starts (now 8)"),
                ("capacity", "limits.memory_capacity_mb (now 1000)"),
                ("request-rate", "limits.requests_per_environment (now 9;"),
            ] {
                let advice = advised(json!({ "throttled_by": throttled_by, "waited_for": waited_for }));
                assert_eq!(advice.matches(remedy).count(), 1, "{remedy:?} in {advice}");
            }
        }
    }
}
