//! The comparator of the cold rows: fork and exec of the same program, which does the same exchange with a stub of the
//! Runtime API in this process. No isolation, no limits, no records: what a cold start cannot be cheaper than.
//!
//! The time runs from before the fork until the answer is read. The start is the standard library's, which shares the
//! parent's memory until the exec, so a large parent costs nothing. The child is then killed; its CPU time counts.

use super::cold::{EVENT, is_first};
use crate::clock;
use crate::cpu;
use crate::error::{Fault, shorten};
use crate::pairs::{Sample, Side};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A child that does not connect or answer within this has failed.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
const ANSWER_LIMIT_MS: u16 = 20_000;
const MESSAGE_MAX: usize = 1 << 20;
const REQUEST_ID: &str = "8476a536-e9f4-11e8-9739-2dfe598c3fcd";

/// What is started.
pub(crate) struct Recipe {
    /// Its absolute path.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// Its environment, beside the stub's address.
    pub(crate) environment: Vec<(String, String)>,
    /// Where its standard error goes.
    pub(crate) log: PathBuf,
}

/// The stub, and what to start against it.
pub(crate) struct Bare {
    recipe: Recipe,
    listener: TcpListener,
    address: SocketAddr,
    event: Vec<u8>,
}

/// A process that does not outlive the sample.
struct Mortal(Child);

impl Mortal {
    fn end(mut self) -> Result<(), Fault> {
        self.0.kill().and_then(|()| self.0.wait()).map_err(Fault::system("end a child"))?;
        Ok(())
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        // Both fail only when the child has been waited for.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Bare {
    /// Opens the stub.
    ///
    /// # Errors
    /// When it cannot listen.
    pub(crate) fn open(recipe: Recipe) -> Result<Self, Fault> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(Fault::system("listen"))?;
        let address = listener.local_addr().map_err(Fault::system("read the stub's address"))?;
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: {REQUEST_ID}\r\n\
             Lambda-Runtime-Deadline-Ms: 4102444800000\r\nLambda-Runtime-Invoked-Function-Arn: \
             arn:aws:lambda:us-east-1:000000000000:function:bare\r\nContent-Length: {}\r\n\r\n",
            EVENT.len()
        );
        let event = [head.as_bytes(), EVENT].concat();
        Ok(Self { recipe, listener, address, event })
    }

    fn command(&self) -> Result<Command, Fault> {
        let log = &self.recipe.log;
        let file = File::options().create(true).append(true).open(log);
        let file = file.map_err(|source| Fault::File { path: log.clone(), source })?;
        let mut command = Command::new(&self.recipe.program);
        command.args(&self.recipe.arguments).env_clear();
        command.envs(self.recipe.environment.iter().map(|(key, value)| (key, value)));
        command.env("AWS_LAMBDA_RUNTIME_API", self.address.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        Ok(command)
    }

    fn accept(&self) -> Result<TcpStream, Fault> {
        let mut ready = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        let count = poll(&mut ready, PollTimeout::from(ANSWER_LIMIT_MS));
        let count =
            count.map_err(|error| Fault::System { what: "wait for a child", source: error.into() })?;
        if count == 0 {
            return Err(Fault::Timeout { what: "the connection of a bare child", limit: ANSWER_LIMIT });
        }
        let (stream, _) = self.listener.accept().map_err(Fault::system("accept a child"))?;
        stream.set_nodelay(true).map_err(Fault::system("set TCP_NODELAY"))?;
        stream.set_read_timeout(Some(ANSWER_LIMIT)).map_err(Fault::system("set a read limit"))?;
        Ok(stream)
    }

    /// Gives the event to whoever connects and returns what it posts.
    fn exchange(&self) -> Result<Vec<u8>, Fault> {
        let mut stream = self.accept()?;
        let asked = read_message(&mut stream)?;
        let asked = asked.ok_or_else(|| Fault::Protocol("a child closed without a request".into()))?;
        if !asked.head.starts_with("GET /2018-06-01/runtime/invocation/next ") {
            return Err(Fault::Protocol(format!("a child asked {:?}", shorten(asked.head.as_bytes()))));
        }
        stream.write_all(&self.event).map_err(Fault::system("send the event"))?;
        let posted = match read_message(&mut stream)? {
            Some(message) => message,
            // Clients may use a connection per request.
            None => read_message(&mut self.accept()?)?
                .ok_or_else(|| Fault::Protocol("a child closed without an answer".into()))?,
        };
        let wanted = format!("POST /2018-06-01/runtime/invocation/{REQUEST_ID}/response ");
        if !posted.head.starts_with(&wanted) {
            return Err(Fault::Protocol(format!("a child posted {:?}", shorten(posted.head.as_bytes()))));
        }
        Ok(posted.body)
    }
}

/// One request of a child.
struct Message {
    head: String,
    body: Vec<u8>,
}

/// Reads one message; `None` when the other side closes before it.
fn read_message(stream: &mut TcpStream) -> Result<Option<Message>, Fault> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let mut body_start = 0;
    let mut end = usize::MAX;
    while bytes.len() < end {
        let count = stream.read(&mut chunk).map_err(Fault::system("read from a child"))?;
        if count == 0 && bytes.is_empty() {
            return Ok(None);
        }
        if count == 0 || bytes.len() > MESSAGE_MAX {
            return Err(Fault::Protocol("a child's message does not end".into()));
        }
        bytes.extend_from_slice(&chunk[..count]);
        if end == usize::MAX
            && let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n")
        {
            body_start = at + 4;
            end = body_start.saturating_add(content_length(&bytes[..at]));
        }
    }
    let head = String::from_utf8_lossy(&bytes[..body_start]).into_owned();
    Ok(Some(Message { head, body: bytes.split_off(body_start) }))
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let value = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    value.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

impl Side for Bare {
    fn measure(&mut self) -> Result<Sample, Fault> {
        let mut command = self.command()?;
        let before_us = cpu::of_waited_children()?;
        let start = clock::now();
        let child = command.spawn();
        let child = child
            .map_err(|source| Fault::Spawn { program: self.recipe.program.clone(), source })
            .map(Mortal)?;
        let body = self.exchange()?;
        let wall_us = clock::us_since(start);
        is_first(&body)?;
        child.end()?;
        let cpu_us = cpu::of_waited_children()? - before_us;
        Ok(Sample { latencies_us: vec![wall_us], wall_us, cpu_us })
    }
}
