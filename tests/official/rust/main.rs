//! The function of `test_official_clients.py` on the `lambda_runtime` crate.

use lambda_runtime::{Context, Diagnostic, Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

static COUNT: AtomicU64 = AtomicU64::new(0);

fn context_of(context: &Context) -> Value {
    let client = context.client_context.as_ref().map(
        |it| json!({ "custom": it.custom, "env": it.environment, "installation": it.client.installation_id }),
    );
    json!({
        "request_id": context.request_id,
        "arn": context.invoked_function_arn,
        "deadline_ms": context.deadline,
        "name": context.env_config.function_name,
        "version": context.env_config.version,
        "memory": context.env_config.memory,
        "group": context.env_config.log_group,
        "stream": context.env_config.log_stream,
        "trace": context.xray_trace_id,
        "client": client,
        "identity": context.identity.as_ref().map(|it| it.identity_id.clone()),
    })
}

async fn handler(event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
    let count = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
    let value = event.payload["value"].clone();
    let number = value.as_u64().unwrap_or_default();
    match event.payload["do"].as_str().unwrap_or_default() {
        "context" => return Ok(context_of(&event.context)),
        "print" => {
            println!("printed {}", value.as_str().unwrap_or_default());
            eprintln!("logged {}", value.as_str().unwrap_or_default());
        }
        "fail" => {
            let error_message = value.as_str().unwrap_or_default().to_owned();
            return Err(Diagnostic { error_type: "Boom".to_owned(), error_message });
        }
        "panic" => panic!("{}", value.as_str().unwrap_or_default()),
        "count" => return Ok(json!({ "instance": event.context.env_config.log_stream, "count": count })),
        "sleep" => tokio::time::sleep(Duration::from_secs(number)).await,
        "exit" => std::process::exit(value.as_i64().unwrap_or_default() as i32),
        "large" => return Ok("x".repeat(usize::try_from(number).unwrap_or_default()).into()),
        "length" => return Ok(value.as_str().map_or(0, str::len).into()),
        _ => {}
    }
    Ok(value)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    match std::env::var("START").as_deref() {
        Ok("raise") => return Err("too early".into()),
        Ok("exit") => std::process::exit(7),
        _ => {}
    }
    run(service_fn(handler)).await
}
