//! The forker's loop: takes requests, keeps sandboxes parked, hands them over, buries them.
//!
//! Single-threaded, and nothing here waits for a sandbox: building happens in the children, and this loop reacts to
//! their messages and deaths. When the daemon is gone, everything is killed and removed.

use super::build::{Build, read_bounded, write_maps};
use super::checks::{self, Offer};
use crate::cgroup::{Group, Groups, Layout};
use crate::channel::{self, Channel, ChannelError};
use crate::clock::Moment;
use crate::firewall::Attended;
use crate::link::Link;
use crate::mounts::{self, Trees};
use crate::nat::{self, Nat};
use crate::seccomp::Filters;
use crate::spec::{
    ForkerConfig, ForkerReply, ForkerRequest, InitReport, InitRequest, InnerUser, LaunchSpec, NetworkClass,
    SandboxId,
};
use crate::sys::{self, Forked};
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

const CONFIG_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Sandboxes under construction at once: a build is mostly kernel work, more only queue up there.
const BUILDING_MAX: usize = 4;
/// A build that has not ended after so long hangs. It takes some ten milliseconds, on a crowded machine a second.
const BUILD_MAX: Duration = Duration::from_secs(30);
const REMOVE_RETRY_MS: u16 = 20;
/// After a hand-over the park is refilled when nothing has happened for so long: making a sandbox takes a core and the
/// kernel's network lock, which the function that has just been given one needs for its own start.
const REST_MS: u16 = 20;

type Problem = Box<dyn std::error::Error>;

/// Entry point of `hearth __forker`: the channel to the daemon is standard input.
///
/// # Errors
/// When set-up fails; the daemon reads the message from standard error and its channel closes.
pub fn main() -> Result<(), Problem> {
    // The daemon does without huge pages; functions, which would inherit that, may have them.
    nix::sys::prctl::set_thp_disable(false)?;
    let daemon = std::io::stdin().as_fd().try_clone_to_owned()?;
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    nix::unistd::dup2_stdin(&null)?;
    let daemon: Channel<ForkerReply, ForkerRequest> = Channel::new(daemon);
    let Some((ForkerRequest::Hello, mut fds)) = daemon.receive()? else {
        return Err("the first message must be Hello".into());
    };
    if fds.is_empty() {
        return Err("Hello came without a configuration".into());
    }
    let config: ForkerConfig = serde_json::from_slice(&read_bounded(fds.remove(0), CONFIG_BYTES_MAX)?)?;
    let mut forker = Forker::set_up(config, daemon, null)?;
    // Whatever else came with Hello (the state lock) stays open for as long as this process lives.
    let _kept = fds;
    let result = forker.run();
    forker.bury_everything();
    result
}

enum Phase {
    Building {
        since: Moment,
    },
    Parked {
        listeners: Vec<OwnedFd>,
    },
    Given(SandboxId),
    /// Killed before anybody had it; it only waits to be buried.
    Broken,
}

struct Sandbox {
    pid: i32,
    pidfd: OwnedFd,
    channel: Option<Channel<InitRequest, InitReport>>,
    /// Its mount namespace, until it is furnished.
    mounts: Option<File>,
    logs: Option<OwnedFd>,
    group: Group,
    kind: Kind,
    /// In class `nat`; nobody else's until it is given back.
    address: Option<Ipv4Addr>,
    phase: Phase,
}

impl Sandbox {
    /// Kills it; from now on it counts for nothing.
    fn break_off(&mut self) {
        sys::pidfd_kill(self.pidfd.as_fd()).ok();
        self.phase = Phase::Broken;
        (self.channel, self.logs) = (None, None);
    }
}

/// What must be right about a sandbox when it is built; all else is set at the hand-over.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind {
    tmp_mb: u32,
    network: NetworkClass,
    user: InnerUser,
}

impl From<&LaunchSpec> for Kind {
    fn from(spec: &LaunchSpec) -> Self {
        Self { tmp_mb: spec.tmp_mb, network: spec.network, user: spec.user }
    }
}

/// A sandbox's pid 1 at its birth: pid, its handle, the channel to it, its log pipe, its mount namespace.
type Newborn = (i32, OwnedFd, Channel<InitRequest, InitReport>, OwnedFd, File);

struct Forker {
    config: ForkerConfig,
    daemon: Channel<ForkerReply, ForkerRequest>,
    null: OwnedFd,
    groups: Groups,
    trees: Trees,
    filters: Filters,
    unpacked: OwnedFd,
    images: OwnedFd,
    own_mounts: File,
    nat: Option<Nat>,
    sandboxes: BTreeMap<u32, Sandbox>,
    waiting: VecDeque<(SandboxId, LaunchSpec)>,
    /// Groups in which the kernel still saw a member when they were to be removed.
    lingering: Vec<(u32, Group)>,
    /// A sandbox was handed over a moment ago.
    resting: bool,
    /// After a build failed nothing is parked ahead until a launch asks again.
    parking: bool,
}

impl Forker {
    fn set_up(
        config: ForkerConfig,
        daemon: Channel<ForkerReply, ForkerRequest>,
        null: OwnedFd,
    ) -> Result<Self, Problem> {
        let state = Path::new(&config.state_dir);
        let groups = Groups::prepare(Layout::detect()?, &config.instance)?;
        let trees = mounts::prepare(&config.runtimes)?;
        // Opened in the new mount namespace: trees are cloned from it, which the kernel allows in one's own only.
        let unpacked = mounts::open_dir(&state.join("unpacked"))?;
        let images = state.join("tmp");
        std::fs::create_dir_all(&images)?;
        let images = mounts::open_dir(&images)?;
        super::tmp::ensure_template(images.as_fd(), config.tmp_mb)
            .map_err(|error| format!("the image of /tmp: {error}"))?;
        let filters = Filters::compile()?;
        if config.nat.is_none() {
            // Where it fails there are no rules at all: the kernel has no nf_tables.
            nat::sweep(&config.instance).ok();
        }
        let nat = config.nat.as_ref().map(|spec| Nat::set_up(spec, &config.instance)).transpose();
        let nat = nat.map_err(|error| {
            format!("network class \"nat\": {error}. With network.class = \"none\" functions have loopback only, and this is not needed.")
        })?;
        let own_mounts = File::open("/proc/self/ns/mnt")?;
        let cgroups = if groups.is_pure() { "v2" } else { "hybrid" };
        let welcome = ForkerReply::Welcome {
            cgroups: cgroups.to_owned(),
            nat: nat.as_ref().map(Nat::describe),
            freezer: groups.freezer(),
        };
        let meters = groups.meters()?;
        daemon.send(&welcome, &meters.each_ref().map(AsFd::as_fd))?;
        Ok(Self {
            config,
            daemon,
            null,
            groups,
            trees,
            filters,
            unpacked,
            images,
            own_mounts,
            nat,
            sandboxes: BTreeMap::new(),
            waiting: VecDeque::new(),
            lingering: Vec::new(),
            resting: false,
            parking: true,
        })
    }

    fn run(&mut self) -> Result<(), Problem> {
        loop {
            self.refill();
            let (from_daemon, from_sandboxes) = self.wait()?;
            for (slot, died) in from_sandboxes {
                self.hear(slot);
                if died {
                    self.bury(slot)?;
                }
            }
            self.give_up_builds();
            self.mend_firewall()?;
            if from_daemon {
                match self.daemon.receive() {
                    Ok(Some((request, _))) => self.obey(request)?,
                    Ok(None) => {}
                    Err(ChannelError::Closed) => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
            self.lingering.retain(|(_, group)| !group.remove());
        }
    }

    /// Puts the rules back if somebody (a firewall's reload) took them away.
    fn mend_firewall(&mut self) -> Result<(), Problem> {
        let failure = match self.nat.as_mut().and_then(Nat::attend) {
            None => return Ok(()),
            Some(Attended::Restored) => None,
            // Tried again later; the guard's rules are there all the time.
            Some(Attended::Failed(why)) => Some(why),
        };
        Ok(self.daemon.send(&ForkerReply::FirewallChanged { failure }, &[])?)
    }

    /// Waits for something to happen: whether the daemon wrote, and which sandboxes spoke or died.
    fn wait(&mut self) -> nix::Result<(bool, Vec<(u32, bool)>)> {
        let mut fds = vec![PollFd::new(self.daemon.as_fd(), PollFlags::POLLIN)];
        let mut owners = Vec::new();
        for (slot, sandbox) in &self.sandboxes {
            fds.push(PollFd::new(sandbox.pidfd.as_fd(), PollFlags::POLLIN));
            owners.push((*slot, true));
            if let (Phase::Building { .. }, Some(channel)) = (&sandbox.phase, &sandbox.channel) {
                fds.push(PollFd::new(channel.as_fd(), PollFlags::POLLIN));
                owners.push((*slot, false));
            }
        }
        if let Some(nat) = &self.nat {
            // Only wakes; `mend_firewall` looks.
            fds.push(PollFd::new(nat.announcements(), PollFlags::POLLIN));
        }
        let building = self.sandboxes.values().filter_map(|sandbox| match sandbox.phase {
            Phase::Building { since } => Some(BUILD_MAX.saturating_sub(since.elapsed())),
            _ => None,
        });
        // One more, so that the build is over its time by then.
        let build_ms = building.min().map(|left| u16::try_from(left.as_millis() + 1).unwrap_or(u16::MAX));
        let wakes = [
            self.resting.then_some(REST_MS),
            (!self.lingering.is_empty()).then_some(REMOVE_RETRY_MS),
            self.nat.as_ref().and_then(Nat::retry_ms),
            build_ms,
        ];
        let timeout = wakes.into_iter().flatten().min().map_or(PollTimeout::NONE, PollTimeout::from);
        match poll(&mut fds, timeout) {
            Ok(0) => self.resting = false,
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error),
        }
        let ready = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
        let mut happened: BTreeMap<u32, bool> = BTreeMap::new();
        for (fd, (slot, is_death)) in fds[1..].iter().zip(owners) {
            if ready(fd) {
                *happened.entry(slot).or_default() |= is_death;
            }
        }
        Ok((ready(&fds[0]), happened.into_iter().collect()))
    }

    fn obey(&mut self, request: ForkerRequest) -> Result<(), Problem> {
        match request {
            ForkerRequest::Hello => Err("a second Hello".into()),
            ForkerRequest::Launch { sandbox, spec } => {
                if let Err(detail) = self.check(&spec) {
                    return self.fail(sandbox, detail);
                }
                self.parking = true;
                self.waiting.push_back((sandbox, spec));
                self.serve_waiting()
            }
            ForkerRequest::Destroy { sandbox } => {
                let given = |s: &Sandbox| matches!(s.phase, Phase::Given(id) if id == sandbox);
                if let Some(found) = self.sandboxes.values().find(|s| given(s)) {
                    sys::pidfd_kill(found.pidfd.as_fd()).ok();
                    found.group.hurry();
                } else if let Some(at) = self.waiting.iter().position(|(id, _)| *id == sandbox) {
                    self.waiting.remove(at);
                    self.fail(sandbox, "destroyed before it was made".to_owned())?;
                }
                Ok(())
            }
        }
    }

    /// Refuses what does not fit, before anything is made.
    fn check(&self, spec: &LaunchSpec) -> Result<(), String> {
        let knows = |runtime: &str| self.trees.knows(runtime);
        checks::launch(spec, &Offer { knows: &knows, nat: self.nat.is_some(), waiting: self.waiting.len() })
    }

    fn fail(&self, sandbox: SandboxId, detail: String) -> Result<(), Problem> {
        Ok(self.daemon.send(&ForkerReply::Failed { sandbox, detail }, &[])?)
    }

    /// Hands parked sandboxes to those who wait, first come first served per size of `/tmp`.
    fn serve_waiting(&mut self) -> Result<(), Problem> {
        let mut at = 0;
        while at < self.waiting.len() {
            let kind = Kind::from(&self.waiting[at].1);
            let fits = |s: &Sandbox| matches!(s.phase, Phase::Parked { .. }) && s.kind == kind;
            let Some(slot) = self.sandboxes.iter().find(|(_, s)| fits(s)).map(|(slot, _)| *slot) else {
                at += 1;
                continue;
            };
            let Some((sandbox, spec)) = self.waiting.remove(at) else { break };
            if let Err(problem) = self.hand_over(slot, sandbox, &spec) {
                if let Some(sandbox) = self.sandboxes.get_mut(&slot) {
                    // At once nobody's: it dies in its own time, and the next who waits must not be given it.
                    sandbox.break_off();
                }
                self.fail(sandbox, problem.to_string())?;
            }
        }
        Ok(())
    }

    fn hand_over(&mut self, slot: u32, id: SandboxId, spec: &LaunchSpec) -> Result<(), Problem> {
        let furniture = self.trees.furniture(self.unpacked.as_fd(), &spec.contents)?;
        let Some(sandbox) = self.sandboxes.get_mut(&slot) else { return Err("no such slot".into()) };
        sandbox.group.limit_memory(spec.memory_mb)?;
        let files = sandbox.group.files()?;
        let Some(mounts) = sandbox.mounts.take() else { return Err("already handed over".into()) };
        setns(&mounts, CloneFlags::CLONE_NEWNS)?;
        let furnished = furniture.place();
        // Staying in a function's mount namespace would be worse than ending.
        if let Err(error) = setns(&self.own_mounts, CloneFlags::CLONE_NEWNS) {
            eprintln!("hearth forker: cannot return to the own mount namespace: {error}");
            std::process::exit(1);
        }
        furnished?;
        let Phase::Parked { listeners } = std::mem::replace(&mut sandbox.phase, Phase::Given(id)) else {
            return Err("not parked".into());
        };
        let (Some(channel), Some(logs)) = (sandbox.channel.take(), sandbox.logs.take()) else {
            return Err("already handed over".into());
        };
        let mut fds: Vec<BorrowedFd<'_>> = vec![channel.as_fd()];
        let (doors, names) = listeners.split_at(NetworkClass::None.listeners());
        fds.extend(doors.iter().map(AsFd::as_fd));
        fds.push(logs.as_fd());
        fds.extend(files.iter().map(AsFd::as_fd));
        fds.extend(names.iter().map(AsFd::as_fd));
        self.daemon.send(&ForkerReply::Launched { sandbox: id }, &fds)?;
        self.resting = true;
        Ok(())
    }

    /// Keeps enough sandboxes under construction for those who wait and for the park.
    fn refill(&mut self) {
        loop {
            let building: Vec<Kind> = self.in_phase(|phase| matches!(phase, Phase::Building { .. }));
            let parked: Vec<Kind> = self.in_phase(|phase| matches!(phase, Phase::Parked { .. }));
            if building.len() >= BUILDING_MAX || self.sandboxes.len() >= self.config.sandboxes_max as usize {
                return;
            }
            let coming = |kind: Kind| building.iter().filter(|other| **other == kind).count();
            let wanted =
                |kind: Kind| self.waiting.iter().filter(|(_, spec)| Kind::from(spec) == kind).count();
            let mut unserved = self.waiting.iter().map(|(_, spec)| Kind::from(spec));
            let kind = match unserved.find(|kind| wanted(*kind) > coming(*kind)) {
                Some(kind) => kind,
                None if self.parking && self.wants_more(building.len() + parked.len()) => self.usual_kind(),
                None => return,
            };
            if let Err(problem) = self.start_build(kind) {
                self.build_failed(kind, &problem.to_string());
                return;
            }
        }
    }

    /// What is parked ahead.
    fn usual_kind(&self) -> Kind {
        Kind { tmp_mb: self.config.tmp_mb, network: self.config.network, user: InnerUser::default() }
    }

    /// Whether the park is refilled now: at leisure, but at once when half of it is gone.
    fn wants_more(&self, parked: usize) -> bool {
        let wanted = self.config.parked as usize;
        parked < wanted && (!self.resting || parked * 2 <= wanted)
    }

    fn in_phase(&self, fits: impl Fn(&Phase) -> bool) -> Vec<Kind> {
        self.sandboxes.values().filter(|s| fits(&s.phase)).map(|s| s.kind).collect()
    }

    /// One who waits for this size is told; if nobody does, parking pauses until the next launch.
    fn build_failed(&mut self, kind: Kind, detail: &str) {
        self.parking = false;
        if let Some(at) = self.waiting.iter().position(|(_, spec)| Kind::from(spec) == kind) {
            if let Some((sandbox, _)) = self.waiting.remove(at) {
                self.fail(sandbox, detail.to_owned()).ok();
            }
        } else {
            eprintln!("hearth forker: cannot park a sandbox: {detail}");
        }
    }

    fn free_slot(&self) -> Option<u32> {
        let lingers = |slot: &u32| self.lingering.iter().any(|(other, _)| other == slot);
        let mut slots = 1..self.config.uid_count;
        slots.find(|slot| !self.sandboxes.contains_key(slot) && !lingers(slot))
    }

    fn start_build(&mut self, kind: Kind) -> Result<(), Problem> {
        let slot = self.free_slot().ok_or("all uids of the reserved range are in use")?;
        let (link, address) = self.plan_link(kind)?;
        match self.fork_into_group(slot, kind, link) {
            Ok((group, (pid, pidfd, channel, logs, mounts))) => {
                let phase = Phase::Building { since: Moment::now() };
                let (channel, logs) = (Some(channel), Some(logs));
                let sandbox =
                    Sandbox { pid, pidfd, channel, mounts: Some(mounts), logs, group, kind, address, phase };
                self.sandboxes.insert(slot, sandbox);
                Ok(())
            }
            Err(problem) => {
                self.release(address);
                Err(problem)
            }
        }
    }

    fn plan_link(&mut self, kind: Kind) -> Result<(Option<Link>, Option<Ipv4Addr>), Problem> {
        match (kind.network, &mut self.nat) {
            (NetworkClass::None, _) => Ok((None, None)),
            (NetworkClass::Nat, Some(nat)) => nat.plan().map(|(link, address)| (Some(link), Some(address))),
            (NetworkClass::Nat, None) => Err("no sandbox of this daemon has a network".into()),
        }
    }

    fn release(&mut self, address: Option<Ipv4Addr>) {
        if let (Some(nat), Some(address)) = (&mut self.nat, address) {
            nat.release(address);
        }
    }

    fn fork_into_group(
        &self,
        slot: u32,
        kind: Kind,
        link: Option<Link>,
    ) -> Result<(Group, Newborn), Problem> {
        let group = self.groups.create(slot, self.config.pids_max)?;
        match self.fork_sandbox(kind, &group, link) {
            Ok(newborn) => Ok((group, newborn)),
            Err(problem) => {
                group.remove();
                Err(problem)
            }
        }
    }

    fn fork_sandbox(&self, kind: Kind, group: &Group, link: Option<Link>) -> Result<Newborn, Problem> {
        let doors = group.doors()?;
        let birthplace = group.birthplace()?;
        let (ours, theirs) = channel::pair()?;
        let (read, logs) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        nix::fcntl::fcntl(&read, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let flags = CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS;
        match sys::clone3(flags.bits().cast_unsigned().into(), birthplace.as_ref().map(AsFd::as_fd))? {
            Forked::Child => {
                let build = Build {
                    filters: &self.filters,
                    images: self.images.as_fd(),
                    doors: &doors,
                    logs: &logs,
                    null: &self.null,
                    tmp_mb: kind.tmp_mb,
                    user: kind.user,
                    nofile: self.config.nofile,
                    pids_max: self.config.pids_max,
                };
                build.become_init(theirs, link)
            }
            Forked::Parent(pid, Some(pidfd)) => {
                let mounts = File::open(format!("/proc/{pid}/ns/mnt"))?;
                Ok((pid, pidfd, Channel::new(ours), read, mounts))
            }
            Forked::Parent(_, None) => Err("no pidfd".into()),
        }
    }

    /// Hears what a sandbox under construction has to say.
    fn hear(&mut self, slot: u32) {
        let Some(sandbox) = self.sandboxes.get_mut(&slot) else { return };
        let (Phase::Building { .. }, Some(channel)) = (&sandbox.phase, &sandbox.channel) else { return };
        let mut poll_fd = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
        if !matches!(poll(&mut poll_fd, PollTimeout::ZERO), Ok(1)) {
            return;
        }
        let kind = sandbox.kind;
        let detail = match channel.receive() {
            Ok(Some((InitReport::MapMe, _))) => {
                let mapped = write_maps(sandbox.pid, kind.user, self.config.uid_base + slot);
                let told =
                    mapped.map_err(Problem::from).and_then(|()| Ok(channel.send(&InitRequest::Mapped, &[])?));
                match told {
                    Ok(()) => return,
                    Err(problem) => format!("uid maps: {problem}"),
                }
            }
            Ok(Some((InitReport::Parked, listeners))) if listeners.len() == kind.network.listeners() => {
                sandbox.phase = Phase::Parked { listeners };
                if let Err(problem) = self.serve_waiting() {
                    eprintln!("hearth forker: {problem}");
                }
                return;
            }
            Ok(Some((InitReport::Broken { detail }, _))) => detail,
            Ok(Some(_)) => "a sandbox under construction said something unexpected".to_owned(),
            Ok(None) => return,
            Err(error) => format!("a sandbox under construction died: {error}"),
        };
        sandbox.break_off();
        self.build_failed(kind, &detail);
    }

    /// Builds that hang end here, so that others can begin.
    fn give_up_builds(&mut self) {
        let hangs =
            |s: &Sandbox| matches!(s.phase, Phase::Building { since } if since.elapsed() >= BUILD_MAX);
        while let Some(sandbox) = self.sandboxes.values_mut().find(|s| hangs(s)) {
            sandbox.break_off();
            let kind = sandbox.kind;
            self.build_failed(kind, "a sandbox under construction did not become ready in time");
        }
    }

    /// A sandbox's pid 1 is dead, and with it all its processes and mounts: remove the rest.
    fn bury(&mut self, slot: u32) -> Result<(), Problem> {
        let Some(sandbox) = self.sandboxes.remove(&slot) else { return Ok(()) };
        waitpid(Pid::from_raw(sandbox.pid), None).ok();
        self.release(sandbox.address);
        if !sandbox.group.remove() {
            self.lingering.push((slot, sandbox.group));
        }
        match sandbox.phase {
            Phase::Given(id) => Ok(self.daemon.send(&ForkerReply::Destroyed { sandbox: id }, &[])?),
            Phase::Building { .. } => {
                self.build_failed(sandbox.kind, "a sandbox under construction died");
                Ok(())
            }
            Phase::Parked { .. } | Phase::Broken => Ok(()),
        }
    }

    fn bury_everything(&mut self) {
        for sandbox in self.sandboxes.values() {
            sys::pidfd_kill(sandbox.pidfd.as_fd()).ok();
            sandbox.group.hurry();
        }
        for (slot, sandbox) in std::mem::take(&mut self.sandboxes) {
            waitpid(Pid::from_raw(sandbox.pid), None).ok();
            if !sandbox.group.remove() {
                self.lingering.push((slot, sandbox.group));
            }
        }
        self.groups.remove();
        if let Some(Err(error)) = self.nat.as_mut().map(Nat::remove) {
            eprintln!("hearth forker: the rules of network class \"nat\" are left: {error}");
        }
    }
}
