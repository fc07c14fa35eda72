//! Calls one after another on one kept-alive connection.

use super::target::Target;
use crate::clock;
use crate::cpu;
use crate::error::Fault;
use crate::http::{Connection, Request};
use crate::pairs::{Sample, Side};

/// A batch of calls to a target that answers with the bytes it got.
pub(crate) struct Sequential {
    connection: Connection,
    request: Request,
    payload: Vec<u8>,
    calls: usize,
    target: Target,
}

impl Sequential {
    /// Connects.
    ///
    /// # Errors
    /// When the target does not listen.
    pub(crate) fn open(target: Target, payload: Vec<u8>, calls: usize) -> Result<Self, Fault> {
        let connection = Connection::open(target.address)?;
        let request = Request::new("POST", target.address, &target.path, &payload);
        Ok(Self { connection, request, payload, calls, target })
    }
}

impl Side for Sequential {
    fn measure(&mut self) -> Result<Sample, Fault> {
        let before = cpu::of_trees(&self.target.roots)?;
        let mut latencies_us = Vec::with_capacity(self.calls);
        for _ in 0..self.calls {
            let start = clock::now();
            let answer = self.connection.call(&self.request)?;
            latencies_us.push(clock::us_since(start));
            answer.expect(&self.payload)?;
        }
        // Work that goes on after the last answer, like log lines and records, counts too; the harness's own checking
        // of answers between the calls does not.
        let wall_us = latencies_us.iter().sum();
        let after = cpu::rest(&self.target.roots)?;
        Ok(Sample { latencies_us, wall_us, cpu_us: after.us - before.us })
    }
}
