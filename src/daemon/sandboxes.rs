//! The daemon's conversation with the forker: launches and burials, each answered exactly once.
//!
//! One task owns the channel. It never waits to send without also listening: the forker's end blocks, and two that wait
//! for each other to read would wait for ever. When the forker is gone the task ends, and the daemon with it.

use super::dns::Names;
use hearth_sandbox::SandboxId;
use hearth_sandbox::channel::{Channel, ChannelError};
use hearth_sandbox::spec::{
    DNS_FDS, ForkerReply, ForkerRequest, InitReport, InitRequest, LAUNCH_FDS, LaunchSpec,
};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use prometheus::IntCounter;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, oneshot};

/// Requests that wait for the forker, at most; callers beyond are refused.
const REQUESTS_MAX: usize = 1024;
/// A sandbox that is not there after so long does not come: the forker gives up what it builds long before
/// (`BUILD_MAX_MS`), and those who wait for it are few.
const LAUNCH_MAX: Duration = Duration::from_secs(120);

/// A sandbox that is ready for a runtime: its descriptors are all the authority there is over it.
pub(crate) struct Launched {
    /// Orders to, and reports from, its pid 1.
    pub(crate) control: Control,
    /// The Runtime API's listener inside.
    pub(crate) runtime: TcpListener,
    /// The door's listener inside.
    pub(crate) door: TcpListener,
    /// Standard output and error of everything inside.
    pub(crate) logs: OwnedFd,
    /// Highest memory use.
    pub(crate) memory_peak: File,
    /// Out-of-memory kills.
    pub(crate) oom_events: File,
    /// CPU limit.
    pub(crate) cpu: File,
    /// Freezes and thaws all that is inside.
    pub(crate) freezer: File,
    /// Where it asks for names, if it has a network.
    pub(crate) names: Option<Names>,
    /// Completes when nothing of the sandbox is left, whoever asked for it.
    pub(crate) gone: oneshot::Receiver<()>,
}

/// The channel to a sandbox's pid 1.
pub(crate) struct Control(AsyncFd<Channel<InitRequest, InitReport>>);

impl Control {
    /// Sends one order without waiting; the socket holds far more than are ever outstanding.
    pub(crate) fn send(&self, order: &InitRequest) -> Result<(), ChannelError> {
        self.0.get_ref().send(order, &[])
    }

    /// The next report.
    pub(crate) async fn receive(&self) -> Result<InitReport, ChannelError> {
        loop {
            let mut ready = self.0.readable().await.map_err(|_| ChannelError::Closed)?;
            match self.0.get_ref().receive() {
                Ok(Some((report, _))) => return Ok(report),
                Ok(None) => ready.clear_ready(),
                Err(error) => return Err(error),
            }
        }
    }
}

enum Command {
    Launch { sandbox: SandboxId, spec: LaunchSpec, reply: oneshot::Sender<Result<Launched, String>> },
    Destroy(SandboxId),
}

/// Handle to the task.
#[derive(Clone)]
pub(crate) struct Sandboxes {
    commands: mpsc::Sender<Command>,
}

impl Sandboxes {
    /// Starts the task; the second value completes when the forker is gone. `firewall_changes` counts how often another
    /// program changed the rules of class `nat`.
    pub(crate) fn start(
        channel: Channel<ForkerRequest, ForkerReply>,
        firewall_changes: IntCounter,
    ) -> io::Result<(Self, tokio::task::JoinHandle<()>)> {
        let channel = non_blocking(channel)?;
        let (commands, inbox) = mpsc::channel(REQUESTS_MAX);
        let (launching, living) = (BTreeMap::new(), BTreeMap::new());
        let outgoing = VecDeque::new();
        let task = Task { channel: watched(channel)?, launching, living, outgoing, firewall_changes };
        Ok((Self { commands }, tokio::spawn(task.run(inbox))))
    }

    /// Asks for a sandbox. One that does not come in time is destroyed, whatever has become of it by then.
    pub(crate) async fn launch(&self, sandbox: SandboxId, spec: LaunchSpec) -> Result<Launched, String> {
        self.launch_within(sandbox, spec, LAUNCH_MAX).await
    }

    async fn launch_within(
        &self,
        sandbox: SandboxId,
        spec: LaunchSpec,
        limit: Duration,
    ) -> Result<Launched, String> {
        let (reply, answer) = oneshot::channel();
        let gone = || "the forker is gone".to_owned();
        self.commands.send(Command::Launch { sandbox, spec, reply }).await.map_err(|_| gone())?;
        match tokio::time::timeout(limit, answer).await {
            Ok(answered) => answered.map_err(|_| gone())?,
            Err(_) => {
                self.destroy(sandbox).await;
                Err(format!("the forker did not hand a sandbox over within {} s", limit.as_secs()))
            }
        }
    }

    /// Kills a sandbox; its `gone` completes when nothing of it is left.
    pub(crate) async fn destroy(&self, sandbox: SandboxId) {
        // Without a forker there is no sandbox either.
        self.commands.send(Command::Destroy(sandbox)).await.ok();
    }
}

/// Registers a descriptor with the runtime.
#[expect(
    deprecated,
    reason = "the replacement is unsafe for types whose descriptor can change; OwnedFd's cannot"
)]
pub(super) fn watched<T: AsRawFd>(inner: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::new(inner)
}

type ForkerChannel = Channel<ForkerRequest, ForkerReply>;

fn non_blocking<S: serde::Serialize, R: serde::de::DeserializeOwned>(
    channel: Channel<S, R>,
) -> io::Result<Channel<S, R>> {
    fcntl(channel.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(channel)
}

struct Task {
    channel: AsyncFd<ForkerChannel>,
    launching: BTreeMap<SandboxId, oneshot::Sender<Result<Launched, String>>>,
    living: BTreeMap<SandboxId, oneshot::Sender<()>>,
    /// Requests that the forker's queue had no room for. While there are any, no command is taken: what is added then
    /// is one for each launch that has not been answered, at most.
    outgoing: VecDeque<ForkerRequest>,
    firewall_changes: IntCounter,
}

impl Task {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        loop {
            let free = self.outgoing.is_empty();
            tokio::select! {
                command = inbox.recv(), if free => {
                    let Some(command) = command else { return };
                    self.obey(command);
                    if flush(self.channel.get_ref(), &mut self.outgoing).is_err() {
                        return;
                    }
                }
                ready = self.channel.writable(), if !free => {
                    let Ok(mut ready) = ready else { return };
                    match flush(self.channel.get_ref(), &mut self.outgoing) {
                        Ok(true) => {}
                        Ok(false) => ready.clear_ready(),
                        Err(_) => return,
                    }
                }
                ready = self.channel.readable() => {
                    let Ok(mut ready) = ready else { return };
                    match self.channel.get_ref().receive() {
                        Ok(Some((reply, fds))) => self.hear(reply, fds),
                        Ok(None) => ready.clear_ready(),
                        Err(error) => {
                            tracing::error!(%error, "the forker is gone");
                            return;
                        }
                    }
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        self.outgoing.push_back(match command {
            Command::Launch { sandbox, spec, reply } => {
                self.launching.insert(sandbox, reply);
                ForkerRequest::Launch { sandbox, spec }
            }
            Command::Destroy(sandbox) => ForkerRequest::Destroy { sandbox },
        });
    }

    fn hear(&mut self, reply: ForkerReply, fds: Vec<OwnedFd>) {
        match reply {
            ForkerReply::FirewallChanged { failure } => {
                self.firewall_changes.inc();
                match failure {
                    None => tracing::warn!(
                        "the firewall rules of the sandboxes had been changed from outside and were put back"
                    ),
                    Some(error) => tracing::error!(
                        %error,
                        "the firewall rules of the sandboxes were changed from outside and cannot be put back; until \
                         they can, functions reach nothing"
                    ),
                }
            }
            ForkerReply::Welcome { .. } => tracing::warn!("the forker greeted twice"),
            ForkerReply::Launched { sandbox } => {
                let (buried, gone) = oneshot::channel();
                self.living.insert(sandbox, buried);
                let launched = unpack(fds, gone).map_err(|error| error.to_string());
                if launched.is_err() {
                    self.outgoing.push_back(ForkerRequest::Destroy { sandbox });
                }
                if let Some(waiting) = self.launching.remove(&sandbox) {
                    // Whoever asked has given up; dropping the control channel ends the sandbox.
                    waiting.send(launched).ok();
                }
            }
            ForkerReply::Failed { sandbox, detail } => {
                if let Some(waiting) = self.launching.remove(&sandbox) {
                    waiting.send(Err(detail)).ok();
                }
            }
            ForkerReply::Destroyed { sandbox } => {
                if let Some(buried) = self.living.remove(&sandbox) {
                    buried.send(()).ok();
                }
            }
        }
    }
}

/// Sends what is to be sent as far as there is room for it; true if that was all.
fn flush(channel: &ForkerChannel, outgoing: &mut VecDeque<ForkerRequest>) -> Result<bool, ChannelError> {
    while let Some(request) = outgoing.front() {
        match channel.send(request, &[]) {
            Ok(()) => drop(outgoing.pop_front()),
            Err(ChannelError::Os(nix::Error::EAGAIN)) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn unpack(mut fds: Vec<OwnedFd>, gone: oneshot::Receiver<()>) -> io::Result<Launched> {
    if fds.is_empty() {
        return Err(io::Error::other(
            "a sandbox's descriptors did not arrive: this process has too many files open",
        ));
    }
    let names = fds.split_off(fds.len().min(LAUNCH_FDS.len()));
    let names = match <[OwnedFd; DNS_FDS.len()]>::try_from(names) {
        Ok([udp, tcp]) => {
            let (udp, tcp) = (UdpSocket::from_std(udp.into())?, TcpListener::from_std(tcp.into())?);
            Some(Names { udp, tcp })
        }
        Err(none) if none.is_empty() => None,
        Err(_) => return Err(io::Error::other("a launch came with the wrong descriptors")),
    };
    let fds: [OwnedFd; LAUNCH_FDS.len()] =
        fds.try_into().map_err(|_| io::Error::other("a launch came with the wrong descriptors"))?;
    let [control, runtime, door, logs, memory_peak, oom_events, cpu, freezer] = fds;
    let control = Control(watched(non_blocking(Channel::new(control))?)?);
    Ok(Launched {
        control,
        runtime: TcpListener::from_std(runtime.into())?,
        door: TcpListener::from_std(door.into())?,
        logs,
        memory_peak: memory_peak.into(),
        oom_events: oom_events.into(),
        cpu: cpu.into(),
        freezer: freezer.into(),
        names,
        gone,
    })
}

#[cfg(test)]
mod tests;
