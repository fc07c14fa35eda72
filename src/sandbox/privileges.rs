//! What the daemon does with its own privileges: check that they are there, use them once, give them up for good.

use crate::sys;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the daemon sees its state directory: SQLite opens by path, and the service uid may not be able to traverse the
/// real one.
const VIEW: &str = "/run/hearth";

/// Bits of the capabilities that making sandboxes takes, with their names.
const NEEDED: [(u32, &str); 11] = [
    (0, "CAP_CHOWN"),
    (1, "CAP_DAC_OVERRIDE"),
    (3, "CAP_FOWNER"),
    (5, "CAP_KILL"),
    (6, "CAP_SETGID"),
    (7, "CAP_SETUID"),
    (8, "CAP_SETPCAP"),
    (10, "CAP_NET_BIND_SERVICE"),
    (12, "CAP_NET_ADMIN"),
    (18, "CAP_SYS_CHROOT"),
    (21, "CAP_SYS_ADMIN"),
];

/// Names of the privileges that are missing; empty if sandboxes can be made.
#[must_use]
pub fn missing() -> Vec<&'static str> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective =
        status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    let effective = effective.unwrap_or(0);
    let lacks = |bit: &u32| effective & (1 << bit) == 0;
    let mut names: Vec<&str> = NEEDED.iter().filter(|(bit, _)| lacks(bit)).map(|(_, name)| *name).collect();
    if !geteuid().is_root() {
        names.insert(0, "root (uid 0)");
    }
    names
}

/// Raises the soft limit of open files to the hard one; gives the limit in force.
pub fn raise_open_files() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 0 };
    if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft }
}

/// Enters a mount namespace of the process's own in which the state directory stands at a fixed path.
///
/// # Errors
/// When the kernel refuses.
pub fn private_view(state_dir: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(VIEW)?;
    unshare(CloneFlags::CLONE_NEWNS)?;
    let nothing = None::<&str>;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)?;
    mount(Some(state_dir), VIEW, nothing, MsFlags::MS_BIND, nothing)?;
    Ok(VIEW.into())
}

/// Becomes the service user, for good: no groups, no capabilities, nothing to gain by exec.
///
/// # Errors
/// When the kernel refuses; the caller must end then.
pub fn give_up(uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    setgroups(&[])?;
    setresgid(gid, gid, gid)?;
    // The bounding set can only be emptied while CAP_SETPCAP is there, the uid only be left while CAP_SETUID is.
    sys::keep_capabilities()?;
    setresuid(uid, uid, uid)?;
    sys::regain_setpcap()?;
    sys::drop_capabilities()?;
    sys::set_no_new_privileges()?;
    sys::set_dumpable(false)?;
    Ok(())
}
