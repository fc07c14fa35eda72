//! The daemon's side of the forker: starts it by re-exec and greets it. Messages themselves are `Channel`'s.

use crate::cgroup::Freezer;
use crate::channel::{self, Channel};
use crate::spec::{ForkerConfig, ForkerReply, ForkerRequest};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};

/// Hidden verb of the binary that becomes the forker.
pub const VERB: &str = "__forker";

/// A running forker.
#[derive(Debug)]
pub struct Forker {
    /// Requests out, replies in; blocking.
    pub channel: Channel<ForkerRequest, ForkerReply>,
    /// The process, for its exit status.
    pub child: Child,
    /// What it said of the host's control groups: `v2` or `hybrid`.
    pub cgroups: String,
    /// How sandboxes are frozen.
    pub freezer: Freezer,
    /// What all sandboxes together use: the files of [`cgroup::read_use`](crate::cgroup::read_use).
    pub meters: [File; 2],
    /// What network class `nat` took on the host; none if it is not offered.
    pub nat: Option<String>,
}

impl Forker {
    /// Starts `hearth __forker` and waits until it is set up. Called before any thread exists.
    ///
    /// # Errors
    /// When it cannot be started or its set-up fails; it has printed the reason to standard error.
    #[expect(clippy::disallowed_methods, reason = "the helper is this program, started again")]
    pub fn start(config: &ForkerConfig, state_lock: Option<BorrowedFd<'_>>) -> io::Result<Self> {
        let (ours, theirs) = channel::pair()?;
        let child =
            Command::new("/proc/self/exe").arg(VERB).env_clear().stdin(Stdio::from(theirs)).spawn()?;
        let channel: Channel<ForkerRequest, ForkerReply> = Channel::new(ours);
        let name = c"hearth-forker-config";
        let memory = nix::sys::memfd::memfd_create(name, nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?;
        let mut file = std::fs::File::from(memory);
        file.write_all(&serde_json::to_vec(config)?)?;
        file.rewind()?;
        let mut fds = vec![file.as_fd()];
        fds.extend(state_lock);
        channel.send(&ForkerRequest::Hello, &fds).map_err(io::Error::other)?;
        match channel.receive() {
            Ok(Some((ForkerReply::Welcome { cgroups, nat, freezer }, fds))) => {
                let meters = <[OwnedFd; 2]>::try_from(fds)
                    .map_err(|_| io::Error::other("the forker greeted with the wrong descriptors"))?;
                Ok(Self { channel, child, cgroups, freezer, meters: meters.map(File::from), nat })
            }
            Ok(_) => Err(io::Error::other("the forker answered something unexpected")),
            Err(_) => Err(io::Error::other("the forker could not be set up; its message is above")),
        }
    }
}
