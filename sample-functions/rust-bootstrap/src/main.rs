//! A native function: greets by name and says which request it answers.
//!
//! It shows the whole of a Rust function on `lambda_runtime`; there is no error handling beyond what the crate does.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

async fn greet(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let name = event.payload["name"].as_str().unwrap_or("world");
    println!("greeting {name} for request {}", event.context.request_id);
    Ok(json!({ "message": format!("Hello, {name}, from Rust.") }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(greet)).await
}
