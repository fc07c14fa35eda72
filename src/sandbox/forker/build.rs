//! Makes one sandbox: what the child of the forker does from its birth to being a parked pid 1.
//!
//! Performs `plan::steps()` in order; the parent only writes the uid maps. A step that fails is reported by name
//! and the child ends, which takes everything it made with it.

use super::init::Init;
use super::tmp;
use crate::channel::{Channel, ChannelError};
use crate::link::Link;
use crate::mounts::Trees;
use crate::plan::{Step, steps};
use crate::seccomp::Filters;
use crate::spec::{InitReport, InitRequest, InnerUser};
use crate::{net, sys};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, setgroups, sethostname, setresgid, setresuid};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// No cores. Not 0: to a program that `core_pattern` names, which runs as the host's root, a core of any process is still
/// handed then; 1 is the kernel's own word against that (fs/coredump.c).
const CORE_BYTES: u64 = 1;
const LOCKED_BYTES: u64 = 64 * 1024 * 1024;

/// Everything the child needs; made by the forker before the fork.
pub(super) struct Build<'a> {
    pub(super) filters: &'a Filters,
    pub(super) images: BorrowedFd<'a>,
    pub(super) doors: &'a [File],
    pub(super) logs: &'a OwnedFd,
    pub(super) null: &'a OwnedFd,
    pub(super) tmp_mb: u32,
    pub(super) user: InnerUser,
    pub(super) nofile: u32,
    pub(super) pids_max: u32,
}

/// The network before and after its step; the link's socket into the host's namespace ends with the step.
enum Network {
    Planned(Option<Link>),
    Made(Vec<OwnedFd>),
}

impl Build<'_> {
    /// Never returns: becomes pid 1.
    pub(super) fn become_init(&self, channel: OwnedFd, link: Option<Link>) -> ! {
        self.close_all_but(&channel, link.as_ref());
        let mut channel: Channel<InitReport, InitRequest> = Channel::new(channel);
        let mut network = Network::Planned(link);
        for step in steps() {
            let done = self.perform(step, &mut channel, &mut network);
            if let Err(detail) = done {
                let detail = format!("{step:?}: {detail}");
                channel.send(&InitReport::Broken { detail }, &[]).ok();
                std::process::exit(1);
            }
        }
        let Network::Made(listeners) = network else { std::process::exit(1) };
        let (Ok(logs), Ok(null)) = (self.logs.try_clone(), self.null.try_clone()) else {
            std::process::exit(1);
        };
        Init { channel: Channel::new(channel.into_inner()), logs, null }.run(listeners)
    }

    /// The forker's other descriptors (other sandboxes' among them) must not live on in here.
    fn close_all_but(&self, channel: &OwnedFd, link: Option<&Link>) {
        let mut kept: Vec<RawFd> = vec![0, 1, 2, channel.as_raw_fd(), self.images.as_raw_fd()];
        kept.extend([self.logs.as_raw_fd(), self.null.as_raw_fd()]);
        kept.extend(self.doors.iter().map(AsRawFd::as_raw_fd));
        kept.extend(link.map(|link| link.descriptor().as_raw_fd()));
        kept.sort_unstable();
        kept.dedup();
        let mut first = 0;
        for fd in kept {
            if fd > first {
                sys::close_range(first, fd - 1).ok();
            }
            first = fd + 1;
        }
        sys::close_range(first, RawFd::MAX).ok();
    }

    fn perform(
        &self,
        step: Step,
        channel: &mut Channel<InitReport, InitRequest>,
        network: &mut Network,
    ) -> Result<(), Box<dyn std::error::Error>> {
        match step {
            Step::JoinGroups => {
                for mut door in self.doors {
                    door.write_all(b"0")?;
                }
            }
            Step::Network => {
                if let Network::Planned(link) = network {
                    *network = Network::Made(net::prepare(link.take())?);
                }
            }
            Step::Names => {
                sethostname("sandbox")?;
                unshare(CloneFlags::CLONE_NEWCGROUP)?;
            }
            Step::Root => {
                tmp::ensure_template(self.images, self.tmp_mb)?;
                let (device, _keep) = tmp::attach(self.images, self.tmp_mb)?;
                Trees::become_root(&device)?;
            }
            Step::Limits => {
                let files = u64::from(self.nofile);
                setrlimit(Resource::RLIMIT_NOFILE, files, files)?;
                let processes = u64::from(self.pids_max);
                setrlimit(Resource::RLIMIT_NPROC, processes, processes)?;
                setrlimit(Resource::RLIMIT_CORE, CORE_BYTES, CORE_BYTES)?;
                lower_memlock()?;
            }
            Step::UserNamespace => self.enter_user_namespace(channel)?,
            Step::Identity => {
                let (gid, uid) = (Gid::from_raw(self.user.gid), Uid::from_raw(self.user.uid));
                setresgid(gid, gid, gid)?;
                setresuid(uid, uid, uid)?;
            }
            Step::Capabilities => sys::drop_capabilities()?,
            Step::NoNewPrivileges => sys::set_no_new_privileges()?,
            Step::Undumpable => sys::set_dumpable(false)?,
            Step::DieWithForker => sys::set_parent_death_signal()?,
            Step::Filter => self.filters.install()?,
        }
        Ok(())
    }

    fn enter_user_namespace(&self, channel: &Channel<InitReport, InitRequest>) -> Result<(), ChannelError> {
        setgroups(&[])?;
        unshare(CloneFlags::CLONE_NEWUSER)?;
        channel.send(&InitReport::MapMe, &[])?;
        // Blocks until the forker has written the maps; its end of file means that it is gone.
        channel.receive()?.map(drop).ok_or(ChannelError::Closed)
    }
}

/// The hard limit may be lower already; raising it would need a privilege that we may lack.
fn lower_memlock() -> nix::Result<()> {
    let (_, hard) = nix::sys::resource::getrlimit(Resource::RLIMIT_MEMLOCK)?;
    let bytes = LOCKED_BYTES.min(hard);
    setrlimit(Resource::RLIMIT_MEMLOCK, bytes, bytes)
}

/// Maps the one uid and gid that exist inside to the environment's own on the host. Done by the forker.
pub(super) fn write_maps(pid: i32, user: InnerUser, host_uid: u32) -> std::io::Result<()> {
    std::fs::write(format!("/proc/{pid}/gid_map"), format!("{} {host_uid} 1\n", user.gid))?;
    std::fs::write(format!("/proc/{pid}/uid_map"), format!("{} {host_uid} 1\n", user.uid))
}

/// Reads a whole configuration file handed over as a descriptor, within a bound.
pub(super) fn read_bounded(file: OwnedFd, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::from(file).take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
