//! Hearth's side of the cold rows: an Invoke whose function has no environment yet, from request out to answer in.
//!
//! Before each one the function's settings change, which retires its environments, and the daemon's process tree
//! comes to rest: nothing is left to clean up, and the parked sandboxes that a start takes from are refilled. The CPU
//! time is that of the daemon and everything below it from the request until it rests again, refill included.

use crate::clock;
use crate::cpu;
use crate::daemon::{Function, Settings};
use crate::error::{Fault, shorten};
use crate::http::Request;
use crate::pairs::{Sample, Side};
use crate::world::World;
use serde_json::{Value, json};

/// What the function must answer: the first event of its process. Also the proof that the start was cold.
pub(crate) fn is_first(body: &[u8]) -> Result<(), Fault> {
    let expected = json!({"invocation": 1});
    if serde_json::from_slice::<Value>(body).is_ok_and(|got| got == expected) {
        return Ok(());
    }
    Err(Fault::WrongAnswer { got: shorten(body), expected: expected.to_string() })
}

/// What both sides send.
pub(crate) const EVENT: &[u8] = br#"{"key1":"value1","key2":"value2","key3":"value3"}"#;

/// A function that is started afresh for each sample.
pub(crate) struct Cold {
    function: Function,
    invoke: Request,
    daemon: u32,
    round: u64,
}

impl Cold {
    /// Deploys the function; its variables are set by every sample.
    ///
    /// # Errors
    /// When it cannot be deployed.
    pub(crate) fn open(world: &World, settings: &Settings<'_>) -> Result<Self, Fault> {
        let daemon = world.daemon()?;
        let function = daemon.deploy(settings)?;
        let invoke = Request::new("POST", daemon.address(), &function.invoke_path(), EVENT);
        Ok(Self { function, invoke, daemon: daemon.pid(), round: 0 })
    }
}

impl Side for Cold {
    fn measure(&mut self) -> Result<Sample, Fault> {
        self.round += 1;
        let round = self.round.to_string();
        self.function.set_environment(&json!({"BENCH_ANSWER": "count", "BENCH_ROUND": round}))?;
        let before = cpu::rest(&[self.daemon])?;
        let start = clock::now();
        let answer = self.function.connection().call(&self.invoke)?;
        let wall_us = clock::us_since(start);
        if answer.status != 200 || answer.function_error {
            let body = shorten(answer.body);
            return Err(Fault::Refused { call: "Invoke".into(), status: answer.status, body });
        }
        is_first(answer.body)?;
        let after = cpu::rest(&[self.daemon])?;
        Ok(Sample { latencies_us: vec![wall_us], wall_us, cpu_us: after.us - before.us })
    }
}
