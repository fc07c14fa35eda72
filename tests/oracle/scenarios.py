"""What the recording bootstrap does, and which events are sent to it meanwhile.

`steps`: calls in order. `call` is method and path (below the Runtime API's version, or as it is after `//`); `{id}` and
`{attempt}` are those of the last event. `events`: one caller after the other; `timeout`: the function's, in seconds.
"""

NEXT = {"call": "GET /invocation/next"}
UNKNOWN = "11111111-2222-4333-8444-555555555555"
ERROR = '{"errorMessage":"m","errorType":"T","stackTrace":[]}'
LIMIT = 6 * 1_048_576 + 100


def respond(body='{"ok":true}', **more):
    return {"call": "POST /invocation/{id}/response", "body": body} | more


def fail(body=ERROR, **more):
    more.setdefault("headers", {"Lambda-Runtime-Function-Error-Type": "Function.Mine"})
    return {"call": "POST /invocation/{id}/error", "body": body} | more


def init_error(body=ERROR, **more):
    more.setdefault("headers", {"Lambda-Runtime-Function-Error-Type": "Runtime.Mine"})
    return {"call": "POST /init/error", "body": body} | more


def scenario(*steps, events=1, **more):
    return {"steps": list(steps), "events": events} | more


SCENARIOS = {
    # --- as it should be ---
    "two_events": scenario(NEXT, respond(), NEXT, respond("second"), events=2),
    "an_event_with_everything": scenario(NEXT, respond(), headers=True),
    "error": scenario(NEXT, fail(), NEXT, respond(), events=2),
    "error_without_a_type": scenario(NEXT, fail(headers={})),
    "error_of_a_foreign_type": scenario(NEXT, fail(headers={"Lambda-Runtime-Function-Error-Type": "Sand.Box"})),
    "error_with_a_cause": scenario(
        NEXT,
        fail(
            headers={
                "Lambda-Runtime-Function-Error-Type": "Function.Mine",
                "Lambda-Runtime-Function-XRay-Error-Cause": '{"working_directory":"/","exceptions":[],"paths":[]}',
                "Content-Type": "application/vnd.aws.lambda.error+json",
            }
        ),
    ),
    "error_with_a_cause_over_its_limit": scenario(
        NEXT, fail(headers={"Lambda-Runtime-Function-XRay-Error-Cause": '{"message":"%s"}' % ("x" * 70_000)})
    ),
    "chunked_response": scenario(NEXT, respond(chunked=True)),
    "streamed_response": scenario(
        NEXT, respond(chunked=True, headers={"Lambda-Runtime-Function-Response-Mode": "streaming"})
    ),
    "echoed_attempt": scenario(NEXT, respond(headers={"Lambda-Runtime-Invocation-Id": "{attempt}"})),
    # --- bodies ---
    "response_that_is_no_json": scenario(NEXT, respond("plain text")),
    "response_that_is_empty": scenario(NEXT, respond("")),
    "response_that_waits_for_continue": scenario(NEXT, respond(headers={"Expect": "100-continue"})),
    "response_without_a_length": scenario(NEXT, respond("", no_length=True)),
    "error_that_is_no_json": scenario(NEXT, fail("plain text")),
    "error_that_is_empty": scenario(NEXT, fail("")),
    "largest_response": scenario(NEXT, {"call": "POST /invocation/{id}/response", "size": LIMIT}),
    "response_too_large": scenario(
        NEXT, {"call": "POST /invocation/{id}/response", "size": LIMIT + 1}, NEXT, respond(), events=2
    ),
    "error_too_large": scenario(NEXT, {"call": "POST /invocation/{id}/error", "size": LIMIT + 1}),
    "truncated_response": scenario(NEXT, respond('{"cut', missing=100)),
    # --- headers ---
    "response_mode_unknown": scenario(
        NEXT, respond(headers={"Lambda-Runtime-Function-Response-Mode": "buffered"}), respond()
    ),
    "echoed_attempt_wrong": scenario(
        NEXT, respond(headers={"Lambda-Runtime-Invocation-Id": UNKNOWN}), respond()
    ),
    # --- ids ---
    "unknown_id": scenario(
        NEXT,
        {"call": f"POST /invocation/{UNKNOWN}/response", "body": "{}"},
        {"call": f"POST /invocation/{UNKNOWN}/error", "body": ERROR},
        {"call": "POST /invocation/no-uuid/response", "body": "{}"},
        {"call": "POST /invocation//response", "body": "{}"},
        respond(),
    ),
    "id_before_any_event": scenario(
        {"call": f"POST /invocation/{UNKNOWN}/response", "body": "{}"},
        {"call": f"POST /invocation/{UNKNOWN}/error", "body": ERROR},
        NEXT,
        respond(),
    ),
    "id_of_the_event_before": scenario(NEXT, respond(), NEXT, respond(), NEXT, respond(), events=3),
    # --- the same twice ---
    "next_twice": scenario(NEXT, NEXT | {"as": "again"}, respond()),
    "response_twice": scenario(NEXT, respond(), respond("again", **{"as": "again"})),
    "response_then_error": scenario(NEXT, respond(), fail(**{"as": "after the response"})),
    "error_then_response": scenario(NEXT, fail(), respond(**{"as": "after the error"})),
    "error_twice": scenario(NEXT, fail(), fail(**{"as": "again"})),
    # --- init errors ---
    "init_error": scenario(init_error(), {"exit": 1}),
    "init_error_without_a_type": scenario(init_error(headers={}), {"exit": 1}),
    "init_error_that_is_no_json": scenario(init_error("plain text"), {"exit": 1}),
    "init_error_that_is_empty": scenario(init_error(""), {"exit": 1}),
    "init_error_and_exit_with_success": scenario(init_error(), {"exit": 0}),
    "init_error_with_an_event": scenario(NEXT, init_error(), respond()),
    "init_error_after_the_answer": scenario(NEXT, respond(), init_error()),
    # --- places that are not there ---
    "unknown_places": scenario(
        NEXT,
        {"call": "GET //ping"},
        {"call": "GET //2018-06-01/ping"},
        {"call": "GET //"},
        {"call": "GET //2018-06-01"},
        {"call": "GET /unknown"},
        {"call": "GET //2015-01-01/runtime/invocation/next"},
        {"call": "GET /invocation/next/"},
        {"call": "POST /invocation/{id}"},
        {"call": "POST /invocation/{id}/responses"},
        {"call": "GET /restore/next"},
        {"call": "POST /restore/error", "body": ERROR},
        respond(),
    ),
    "wrong_methods": scenario(
        NEXT,
        {"call": "POST /invocation/next"},
        {"call": "PUT /invocation/next"},
        {"call": "GET /invocation/{id}/response"},
        {"call": "PUT /invocation/{id}/response", "body": "{}"},
        {"call": "GET /invocation/{id}/error"},
        {"call": "GET /init/error"},
        {"call": "POST //2018-06-01/ping"},
        respond(),
    ),
    # --- ends ---
    "exit_with_success_in_an_event": scenario(NEXT, {"exit": 0}),
    "exit_with_3_in_an_event": scenario(NEXT, {"exit": 3}),
    "killed_in_an_event": scenario(NEXT, {"signal": "SIGKILL"}),
    "exit_while_starting": scenario({"exit": 3}),
    "exit_after_the_answer": scenario(NEXT, respond(), {"exit": 1}),
    "time_out": scenario(NEXT, {"sleep": 30}, timeout=1),
}
