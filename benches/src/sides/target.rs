//! Something that can be called over HTTP and answers with the bytes it got: a warm function of the daemon, the relay
//! with the same bootstrap as plain processes, or an echo.

use crate::daemon::{Function, Settings};
use crate::error::Fault;
use crate::process::Program;
use crate::rows::bootstrap_zip;
use crate::world::World;
use serde_json::json;
use std::net::SocketAddr;
use std::process::Command;

/// W rows have one whole CPU.
const MEMORY_MB: u32 = 1769;

/// Where to send calls, and whose CPU time they cost.
pub(crate) struct Target {
    /// Address.
    pub(crate) address: SocketAddr,
    /// Path of a call.
    pub(crate) path: String,
    /// Roots of the process trees that do the work.
    pub(crate) roots: Vec<u32>,
    _keep: Keep,
}

/// What ends with the target.
#[expect(dead_code, reason = "held for its end, never read")]
enum Keep {
    Function(Function),
    Programs(Vec<Program>),
}

impl Target {
    /// A native function of the daemon.
    ///
    /// # Errors
    /// When it cannot be deployed.
    pub(crate) fn function(world: &World, name: &str) -> Result<Self, Fault> {
        let daemon = world.daemon()?;
        let function = daemon.deploy(&Settings {
            name,
            runtime: "provided.al2023",
            handler: "bootstrap",
            zip: &bootstrap_zip(world)?,
            memory_mb: MEMORY_MB,
            environment: json!({}),
        })?;
        Ok(Self {
            address: daemon.address(),
            path: function.invoke_path(),
            roots: vec![daemon.pid()],
            _keep: Keep::Function(function),
        })
    }

    /// A relay with as many bootstraps as `runtimes` says.
    ///
    /// # Errors
    /// When one of them does not start.
    pub(crate) fn relay(world: &World, runtimes: usize) -> Result<Self, Fault> {
        let (relay, clients, api) = start_relay(world, &[])?;
        let mut programs = Vec::new();
        for _ in 0..runtimes {
            let mut command = Command::new(&world.programs.bootstrap);
            command.env_clear().env("AWS_LAMBDA_RUNTIME_API", api.to_string());
            programs.push(Program::start(&mut command, &world.out.join("bootstrap.log"))?);
        }
        programs.push(relay);
        Ok(Self::of_programs(clients, programs))
    }

    /// A server that sends a body straight back.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn echo(world: &World) -> Result<Self, Fault> {
        let (relay, clients, _) = start_relay(world, &["--echo"])?;
        Ok(Self::of_programs(clients, vec![relay]))
    }

    fn of_programs(address: SocketAddr, programs: Vec<Program>) -> Self {
        Self {
            address,
            path: "/2015-03-31/functions/relay/invocations".into(),
            roots: programs.iter().map(Program::pid).collect(),
            _keep: Keep::Programs(programs),
        }
    }
}

fn start_relay(world: &World, arguments: &[&str]) -> Result<(Program, SocketAddr, SocketAddr), Fault> {
    let mut command = Command::new(&world.programs.relay);
    command.args(arguments);
    let (program, line) = Program::start_and_hear("relay", &mut command, &world.out.join("relay.log"))?;
    let words: Vec<&str> = line.split(' ').collect();
    if let ["relay:", "clients", clients, "runtimes", api] = words[..]
        && let (Ok(clients), Ok(api)) = (clients.parse(), api.parse())
    {
        return Ok((program, clients, api));
    }
    Err(Fault::NotReady { program: "relay", said: format!("{line:?}") })
}
