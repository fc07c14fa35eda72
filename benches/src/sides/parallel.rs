//! Calls from several clients at once, each on a kept-alive connection of its own with one call in flight.
//!
//! The clients are tasks on this one thread: two cores are few, and what the clients take the servers lack.

use super::target::Target;
use crate::clock;
use crate::cpu;
use crate::error::Fault;
use crate::http::{Request, TaskConnection};
use crate::pairs::{Sample, Side};
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// A batch of calls by some clients to a target that answers with the bytes it got.
pub(crate) struct Parallel {
    runtime: Runtime,
    clients: Vec<TaskConnection>,
    request: Arc<Request>,
    payload: &'static [u8],
    calls_per_client: usize,
    target: Target,
}

impl Parallel {
    /// Connects all clients.
    ///
    /// # Errors
    /// When the target does not listen.
    pub(crate) fn open(
        target: Target,
        payload: &'static [u8],
        clients: usize,
        calls_per_client: usize,
    ) -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let runtime = runtime.map_err(Fault::system("start the clients"))?;
        let connections = runtime.block_on(async {
            let mut connections = Vec::new();
            for _ in 0..clients {
                connections.push(TaskConnection::open(target.address).await?);
            }
            Ok::<_, Fault>(connections)
        })?;
        let request = Arc::new(Request::new("POST", target.address, &target.path, payload));
        Ok(Self { runtime, clients: connections, request, payload, calls_per_client, target })
    }
}

/// One client's calls; gives the connection back.
async fn client(
    mut connection: TaskConnection,
    request: Arc<Request>,
    payload: &'static [u8],
    calls: usize,
) -> Result<(TaskConnection, Vec<f64>), Fault> {
    let mut latencies_us = Vec::with_capacity(calls);
    for _ in 0..calls {
        let (start, answer) = connection.call(&request).await?;
        latencies_us.push(clock::us_since(start));
        answer.expect(payload)?;
    }
    Ok((connection, latencies_us))
}

impl Side for Parallel {
    fn measure(&mut self) -> Result<Sample, Fault> {
        let before = cpu::of_trees(&self.target.roots)?;
        let clients = std::mem::take(&mut self.clients);
        let (payload, calls) = (self.payload, self.calls_per_client);
        let start = clock::now();
        let finished = self.runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for connection in clients {
                tasks.spawn(client(connection, Arc::clone(&self.request), payload, calls));
            }
            tasks.join_all().await
        });
        let wall_us = clock::us_since(start);
        let mut latencies_us = Vec::new();
        for result in finished {
            let (connection, latencies) = result?;
            self.clients.push(connection);
            latencies_us.extend(latencies);
        }
        let after = cpu::rest(&self.target.roots)?;
        Ok(Sample { latencies_us, wall_us, cpu_us: after.us - before.us })
    }
}
