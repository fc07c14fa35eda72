//! The daemon under test and the few calls of its control API that the rows need.

use crate::clock;
use crate::error::{Fault, shorten};
use crate::http::{Connection, Request};
use crate::process::Program;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const READY: &str = "hearth: listening on http://";
/// Creation and updates settle within this.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
const FUNCTIONS: &str = "/2015-03-31/functions";
/// Any role does: nothing assumes it.
const ROLE: &str = "arn:aws:iam::000000000000:role/benchmark";

/// A running `hearth serve`, stopped when dropped.
pub(crate) struct Daemon {
    program: Program,
    address: SocketAddr,
    hearth: PathBuf,
    arguments: Vec<String>,
    out: PathBuf,
    // Dropped after the program that uses it.
    state: Scratch,
}

/// A directory that goes away.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left-overs in the temporary directory are a nuisance, not a fault of the measurement.
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("hearth-bench: cannot remove {}: {error}", self.0.display());
        }
    }
}

impl Daemon {
    /// Starts the daemon with a state directory of its own and `config` as its configuration.
    ///
    /// # Errors
    /// When it does not say that it listens.
    pub(crate) fn start(hearth: &Path, config: &str, out: &Path) -> Result<Self, Fault> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let scratch = std::env::temp_dir().join(format!("hearth-bench-{}-{number}", std::process::id()));
        let file = |path: &Path| {
            let path = path.to_owned();
            move |source| Fault::File { path, source }
        };
        fs::create_dir_all(&scratch).map_err(file(&scratch))?;
        let state = Scratch(scratch.clone());
        let config_path = scratch.join("hearth.toml");
        fs::write(&config_path, config).map_err(file(&config_path))?;
        Self::over(state, hearth.to_owned(), Vec::new(), out.to_owned())
    }

    /// Starts another one beside it, of the same binary, with a state directory of its own; `{scratch}` in its arguments
    /// is a directory that goes away with it.
    ///
    /// # Errors
    /// When it does not say that it listens.
    pub(crate) fn another(&self, config: &str, arguments: &[&str]) -> Result<Self, Fault> {
        let plain = Self::start(&self.hearth, config, &self.out)?;
        if arguments.is_empty() {
            return Ok(plain);
        }
        let Self { program, hearth, out, state, .. } = plain;
        drop(program);
        let scratch = state.0.display().to_string();
        let arguments = arguments.iter().map(|argument| argument.replace("{scratch}", &scratch)).collect();
        Self::over(state, hearth, arguments, out)
    }

    /// Ends it and starts it again over the same state, at another address.
    ///
    /// # Errors
    /// When it does not say that it listens.
    pub(crate) fn restart(self) -> Result<Self, Fault> {
        let Self { program, hearth, arguments, out, state, .. } = self;
        drop(program);
        Self::over(state, hearth, arguments, out)
    }

    fn over(state: Scratch, hearth: PathBuf, arguments: Vec<String>, out: PathBuf) -> Result<Self, Fault> {
        let (program, address) = launch(&hearth, &arguments, &state, &out)?;
        Ok(Self { program, address, hearth, arguments, out, state })
    }

    /// One value of its metrics, by the whole name of the series.
    ///
    /// # Errors
    /// When there is no such series.
    pub(crate) fn metric(&self, series: &str) -> Result<f64, Fault> {
        let path = self.state.0.join("state/run.json");
        let text = fs::read_to_string(&path).map_err(|source| Fault::File { path, source })?;
        let run: Value = serde_json::from_str(&text).map_err(|error| Fault::Protocol(error.to_string()))?;
        let admin = run["admin"].as_str().and_then(|admin| admin.parse().ok());
        let admin = admin.ok_or_else(|| Fault::Protocol("run.json names no admin address".into()))?;
        let mut connection = Connection::open(admin)?;
        let answer = connection.call(&Request::new("GET", admin, "/metrics", b""))?;
        let text = String::from_utf8_lossy(answer.body);
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.ok_or_else(|| Fault::Protocol(format!("no series {series}")))
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The root of its process tree.
    pub(crate) fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Creates a function and waits until it is active.
    ///
    /// # Errors
    /// What the daemon answered.
    pub(crate) fn deploy(&self, settings: &Settings<'_>) -> Result<Function, Fault> {
        let mut function = Function {
            address: self.address,
            name: settings.name.to_owned(),
            connection: Connection::open(self.address)?,
        };
        function.control("POST", FUNCTIONS, &settings.body())?;
        function.settled()?;
        Ok(function)
    }

    /// A connection to it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn connect(&self) -> Result<Connection, Fault> {
        Connection::open(self.address)
    }

    /// Creates a function that lasts as long as the daemon, without waiting until it is active.
    ///
    /// # Errors
    /// What the daemon answered.
    pub(crate) fn register(&self, connection: &mut Connection, settings: &Settings<'_>) -> Result<(), Fault> {
        let body = settings.body().to_string().into_bytes();
        let answer = connection.call(&Request::new("POST", self.address, FUNCTIONS, &body))?;
        match answer.status {
            201 => Ok(()),
            status => {
                Err(Fault::Refused { call: "CreateFunction".into(), status, body: shorten(answer.body) })
            }
        }
    }
}

fn launch(
    hearth: &Path,
    arguments: &[String],
    state: &Scratch,
    out: &Path,
) -> Result<(Program, SocketAddr), Fault> {
    let scratch = &state.0;
    let mut command = Command::new(hearth);
    command.arg("serve").arg("--config").arg(scratch.join("hearth.toml"));
    command.arg("--state-dir").arg(scratch.join("state"));
    command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    command.args(arguments);
    // Settings from the caller's environment would measure something else than the configuration says.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"HEARTH_")) {
        command.env_remove(name);
    }
    // The host's own key is its owner's.
    command.env("HEARTH_KEY_FILE", scratch.join("key"));
    let (program, line) = Program::start_and_hear("hearth", &mut command, &out.join("hearth.log"))?;
    let address = line.strip_prefix(READY).and_then(|address| address.trim().parse().ok());
    let address = address.ok_or(Fault::NotReady { program: "hearth", said: format!("{line:?}") })?;
    Ok((program, address))
}

/// The path of a function's Invoke.
pub(crate) fn invoke_path(name: &str) -> String {
    format!("{FUNCTIONS}/{name}/invocations")
}

/// What a function is made of.
pub(crate) struct Settings<'a> {
    /// FunctionName.
    pub(crate) name: &'a str,
    /// Runtime.
    pub(crate) runtime: &'a str,
    /// Handler.
    pub(crate) handler: &'a str,
    /// The code.
    pub(crate) zip: &'a [u8],
    /// MemorySize.
    pub(crate) memory_mb: u32,
    /// Environment variables.
    pub(crate) environment: Value,
}

impl Settings<'_> {
    fn body(&self) -> Value {
        json!({
            "FunctionName": self.name,
            "Role": ROLE,
            "Runtime": self.runtime,
            "Handler": self.handler,
            "Code": {"ZipFile": STANDARD.encode(self.zip)},
            "MemorySize": self.memory_mb,
            "Timeout": 60,
            "Environment": {"Variables": self.environment},
        })
    }
}

/// A function of the daemon, deleted when dropped, and a kept-alive connection to call it on.
pub(crate) struct Function {
    address: SocketAddr,
    name: String,
    connection: Connection,
}

impl Function {
    /// The path of Invoke.
    pub(crate) fn invoke_path(&self) -> String {
        invoke_path(&self.name)
    }

    /// The connection that the control calls went over, warm.
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Replaces the environment variables, which retires the function's environments, and waits until that is done.
    ///
    /// # Errors
    /// What the daemon answered.
    pub(crate) fn set_environment(&mut self, variables: &Value) -> Result<(), Fault> {
        let path = format!("{FUNCTIONS}/{}/configuration", self.name);
        self.control("PUT", &path, &json!({"Environment": {"Variables": variables}}))?;
        self.settled()
    }

    /// Reserves concurrency, which is also the most that it gets.
    ///
    /// # Errors
    /// What the daemon answered.
    pub(crate) fn reserve(&mut self, concurrency: usize) -> Result<(), Fault> {
        let path = format!("/2017-10-31/functions/{}/concurrency", self.name);
        self.control("PUT", &path, &json!({"ReservedConcurrentExecutions": concurrency})).map(drop)
    }

    fn settled(&mut self) -> Result<(), Fault> {
        let path = format!("{FUNCTIONS}/{}", self.name);
        clock::wait_for("an active function", SETTLE_LIMIT, || {
            let answer = self.control("GET", &path, &Value::Null)?;
            let word = |key: &str| answer["Configuration"][key].as_str().unwrap_or_default();
            match (word("State"), word("LastUpdateStatus")) {
                ("Active", "Successful") => Ok(Some(())),
                ("Failed", _) | (_, "Failed") => Err(Fault::Refused {
                    call: "GetFunction".into(),
                    status: 200,
                    body: answer["Configuration"].to_string(),
                }),
                _ => Ok(None),
            }
        })
    }

    fn control(&mut self, method: &str, path: &str, body: &Value) -> Result<Value, Fault> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let answer = self.connection.call(&Request::new(method, self.address, path, &body))?;
        let status = answer.status;
        if !(200..300).contains(&status) {
            let call = format!("{method} {path}");
            return Err(Fault::Refused { call, status, body: shorten(answer.body) });
        }
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(answer.body).map_err(|error| Fault::Protocol(error.to_string()))
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let path = format!("{FUNCTIONS}/{}", self.name);
        // A broken connection must not keep the function alive beside the next row.
        let deleted = Connection::open(self.address).and_then(|connection| {
            self.connection = connection;
            self.control("DELETE", &path, &Value::Null)
        });
        if let Err(fault) = deleted {
            eprintln!("hearth-bench: {}: {}", self.name, fault.line());
        }
    }
}
