//! Plain data: what a sandbox is made of and what crosses the sockets to the forker and to a sandbox's pid 1.
//!
//! Requests name things (a hash, a runtime, a size), never paths: the forker derives every mount itself.

use crate::cgroup::Freezer;
use crate::cidr::Cidr;
use serde::{Deserialize, Serialize};

/// Names one sandbox for as long as the daemon lives; handed out by the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SandboxId(pub u64);

/// SHA-256 of a code package; the name of its unpacked tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Lower-case hexadecimal, the directory name.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Parses 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.hex()[..16])
    }
}

/// A tree below `unpacked/`, by the hash of what it was made from and what it is made for: the same bytes may be a
/// package to one reader and a root to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tree {
    /// A package's, mounted at `/var/task`.
    Task(Digest),
    /// A root.
    Root(Digest),
}

const ROOT_SUFFIX: &str = ".root";

impl Tree {
    /// What it was made from.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        match self {
            Self::Task(digest) | Self::Root(digest) => *digest,
        }
    }

    /// Its directory's name.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Task(digest) => digest.hex(),
            Self::Root(digest) => digest.hex() + ROOT_SUFFIX,
        }
    }

    /// The tree of a directory of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name.strip_suffix(ROOT_SUFFIX) {
            Some(hex) => Digest::parse(hex).map(Self::Root),
            None => Digest::parse(name).map(Self::Task),
        }
    }
}

/// What a function's processes find themselves in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Contents {
    /// The host's `/usr` and libraries, with code and runtime mounted into it.
    Task {
        /// The code mounted at `/var/task`.
        code: Digest,
        /// The tree of layers mounted at `/opt`, if there is one.
        layers: Option<Digest>,
        /// Key of the runtime table that the forker was started with.
        runtime: String,
    },
    /// A root of the function's own; nothing of the host's files.
    Root {
        /// The tree.
        tree: Digest,
    },
}

impl Contents {
    /// The tree that must have been unpacked.
    #[must_use]
    pub const fn tree(&self) -> Tree {
        match self {
            Self::Task { code, .. } => Tree::Task(*code),
            Self::Root { tree } => Tree::Root(*tree),
        }
    }
}

/// Who a function is inside its sandbox; the only uid and gid that exist there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InnerUser {
    /// Never 0: programs take root's powers for granted, and there are none.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

impl InnerUser {
    /// Whether a function may be this user.
    #[must_use]
    pub const fn is_allowed(self) -> bool {
        // The highest number means "no change" to the kernel.
        self.uid != 0 && self.uid != u32::MAX && self.gid != u32::MAX
    }
}

impl Default for InnerUser {
    fn default() -> Self {
        Self { uid: INNER_UID, gid: INNER_GID }
    }
}

/// What a launch asks for. Everything else about a sandbox is the same for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchSpec {
    /// What is in it.
    pub contents: Contents,
    /// Who the function is inside.
    pub user: InnerUser,
    /// Hard memory limit, MiB.
    pub memory_mb: u32,
    /// Size of `/tmp`, MiB.
    pub tmp_mb: u32,
    /// What it may reach.
    pub network: NetworkClass,
}

/// What a sandbox may reach over the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NetworkClass {
    /// Its own loopback, with the Runtime API and the door.
    None,
    /// Beside that, whatever the host reaches, but not the host, its link-local network and other sandboxes.
    Nat,
}

impl NetworkClass {
    /// How many sockets are bound inside.
    #[must_use]
    pub const fn listeners(self) -> usize {
        match self {
            Self::None => 2,
            Self::Nat => 2 + DNS_FDS.len(),
        }
    }
}

/// The addresses of sandboxes of class `nat`, and where they may send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatSpec {
    /// The daemons of a host share this range; each claims a part of it.
    pub range: Cidr,
    /// Ranges and addresses that are denied.
    pub deny: Vec<Cidr>,
    /// Exceptions from those.
    pub allow: Vec<Cidr>,
    /// Addresses needed at once, at most.
    pub addresses: u32,
}

/// One runtime that the forker may mount: fixed before the daemon drops its privileges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeMount {
    /// Key, for example `python3.12`.
    pub name: String,
    /// Host directory mounted read-only at `/var/lang`; none for `provided` runtimes.
    pub prefix: Option<String>,
    /// Files of the runtime client, mounted read-only at `/var/runtime`.
    pub files: Vec<(String, Vec<u8>)>,
}

/// All that the forker is told at its start, by the daemon while both are still privileged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkerConfig {
    /// Tags groups and everything else that could be left over; stable for a state directory.
    pub instance: String,
    /// The state directory: `unpacked/` below it holds code trees.
    pub state_dir: String,
    /// First host uid of the reserved range. The first one is the service's own.
    pub uid_base: u32,
    /// How many uids are reserved, the service's included.
    pub uid_count: u32,
    /// Sandboxes kept ready.
    pub parked: u32,
    /// Size of `/tmp` in parked sandboxes, MiB.
    pub tmp_mb: u32,
    /// Processes and threads per sandbox.
    pub pids_max: u32,
    /// Open files per process.
    pub nofile: u32,
    /// Sandboxes at most, parked ones included.
    pub sandboxes_max: u32,
    /// The runtimes that may be named in a launch.
    pub runtimes: Vec<RuntimeMount>,
    /// Class of parked sandboxes.
    pub network: NetworkClass,
    /// Present if any sandbox may be of class `nat`.
    pub nat: Option<NatSpec>,
}

/// The daemon's requests to the forker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForkerRequest {
    /// First message; one descriptor: a file holding the JSON of [`ForkerConfig`]; a second: the state lock.
    Hello,
    /// Hand over a sandbox.
    Launch {
        /// The new sandbox's name.
        sandbox: SandboxId,
        /// What it must hold.
        spec: LaunchSpec,
    },
    /// Kill and remove everything of it.
    Destroy {
        /// Which one.
        sandbox: SandboxId,
    },
}

/// The forker's answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForkerReply {
    /// The forker is set up.
    Welcome {
        /// What the host offers, for the log and `doctor`.
        cgroups: String,
        /// What class `nat` took on the host, for the log; none if it is not offered.
        nat: Option<String>,
        /// How sandboxes are frozen.
        freezer: Freezer,
    },
    /// The sandbox is there; descriptors in the order of [`LAUNCH_FDS`].
    Launched {
        /// Which one.
        sandbox: SandboxId,
    },
    /// The sandbox could not be made; nothing of it is left.
    Failed {
        /// Which one.
        sandbox: SandboxId,
        /// The step that failed and why.
        detail: String,
    },
    /// Another program changed the firewall rules of class `nat`.
    FirewallChanged {
        /// Why they could not be put back; none if they are in force again.
        failure: Option<String>,
    },
    /// Everything of it is gone. Sent once for each launched sandbox, also if pid 1 died by itself.
    Destroyed {
        /// Which one.
        sandbox: SandboxId,
    },
}

/// The descriptors that come with [`ForkerReply::Launched`], in order; those of [`DNS_FDS`] follow for class `nat`.
pub const LAUNCH_FDS: [&str; 8] = [
    "control",
    "runtime listener",
    "door listener",
    "logs",
    "memory peak",
    "out-of-memory events",
    "cpu limit",
    "freezer",
];

/// Where a sandbox of class `nat` asks for names: sockets bound inside, served by the daemon.
pub const DNS_FDS: [&str; 2] = ["name queries over UDP", "name queries over TCP"];

/// The daemon's requests to a sandbox's pid 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitRequest {
    /// The uid maps are written (sent by the forker, before the hand-over).
    Mapped,
    /// Start the runtime.
    Spawn(ProcessSpec),
    /// Kill every process but pid 1.
    Kill,
    /// SIGTERM to the runtime.
    Terminate,
}

/// The process that pid 1 starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// Paths tried in order; the first that is an executable file is started.
    pub candidates: Vec<String>,
    /// Arguments after the program's own name.
    pub arguments: Vec<String>,
    /// `NAME=value` lines.
    pub environment: Vec<String>,
    /// Where it starts; must be there.
    pub directory: String,
    /// A failed exec is an exit with status 127 of the process (exec wrappers), not a failed start.
    pub failure_is_exit: bool,
}

/// What pid 1 tells the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitReport {
    /// The sandbox is set up (read by the forker, before the hand-over).
    Parked,
    /// The runtime process runs.
    Spawned,
    /// It could not be started.
    SpawnFailed {
        /// The program that was found, if any.
        program: Option<String>,
        /// The system's words, for example `exec format error`.
        reason: String,
    },
    /// Its working directory cannot be entered.
    NoDirectory {
        /// The system's words.
        reason: String,
    },
    /// The runtime process ended, and every other process of the sandbox has been killed since.
    Exited(Exit),
    /// Set-up failed (read by the forker).
    Broken {
        /// The step and why.
        detail: String,
    },
    /// The user namespace exists and wants its maps (read by the forker).
    MapMe,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// Exit status.
    Code(i32),
    /// Killed by this signal.
    Signal(i32),
}

/// Uid of a function inside its sandbox (`sbx_user1051`), unless it asks for another.
pub const INNER_UID: u32 = 993;
/// Gid of a function inside its sandbox.
pub const INNER_GID: u32 = 990;
/// Where the Runtime API listens inside.
pub const RUNTIME_API: &str = "127.0.0.1:9001";
/// Where names are asked for inside.
pub const DNS: &str = "169.254.100.1:53";
/// Where the function's door to the daemon listens inside.
pub const DOOR: &str = "169.254.100.1:80";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trees_name_tells_what_it_is_made_for() {
        let digest = Digest([7; 32]);
        for tree in [Tree::Task(digest), Tree::Root(digest)] {
            assert_eq!(Tree::parse(&tree.name()), Some(tree));
        }
        assert_ne!(Tree::Task(digest).name(), Tree::Root(digest).name());
        for name in
            ["", ".root", "BOOT", "../x.root", &(digest.hex() + ".root.root"), &(digest.hex() + ".1-2.tmp")]
        {
            assert_eq!(Tree::parse(name), None, "{name}");
        }
    }

    #[test]
    fn no_function_is_root() {
        assert!(InnerUser::default().is_allowed());
        assert!(InnerUser { uid: 1000, gid: 0 }.is_allowed());
        assert!(!InnerUser { uid: 0, gid: 0 }.is_allowed());
        assert!(!InnerUser { uid: u32::MAX, gid: 1 }.is_allowed());
    }
}
