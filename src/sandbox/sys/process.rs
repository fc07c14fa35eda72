//! Process calls: clone3 into namespaces and a group, fork, capabilities, prctl, pidfd signals.

use super::check;
use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// `CLONE_*` flags for [`clone3`].
pub(crate) type CloneFlags = u64;

/// clone3: be born in the group given (libc's own constant does not fit its type).
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of a fork this is.
pub(crate) enum Forked {
    /// The child.
    Child,
    /// The parent, with the child's pid and, from [`clone3`], its pidfd.
    Parent(i32, Option<OwnedFd>),
}

/// Forks into new namespaces; on pure v2 hosts the child is born in `group`.
pub(crate) fn clone3(flags: CloneFlags, group: Option<BorrowedFd<'_>>) -> nix::Result<Forked> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: clone_args is plain data for which all zeroes are valid.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = flags | libc::CLONE_PIDFD as u64;
    arguments.pidfd = &raw mut pidfd as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    if let Some(group) = group {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = group.as_raw_fd() as u64;
    }
    // SAFETY: no CLONE_VM and no stack: the child gets a copy of this single-threaded process, like fork.
    let pid = check(unsafe {
        libc::syscall(libc::SYS_clone3, &raw mut arguments, std::mem::size_of::<libc::clone_args>())
    })?;
    Ok(if pid == 0 { Forked::Child } else { Forked::Parent(pid as i32, Some(super::adopt(pidfd))) })
}

/// Forks; the caller is single-threaded.
pub(crate) fn fork() -> nix::Result<Forked> {
    // SAFETY: both users (forker and pid 1) are single-threaded, so the child may do anything.
    Ok(match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Child => Forked::Child,
        nix::unistd::ForkResult::Parent { child } => Forked::Parent(child.as_raw(), None),
    })
}

/// Replaces this process; returns only the error.
pub(crate) fn exec(program: &CString, arguments: &[CString], environment: &[CString]) -> nix::Error {
    match nix::unistd::execve(program, arguments, environment) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

/// SIGKILL through a pidfd: never hits a recycled pid.
pub(crate) fn pidfd_kill(pidfd: BorrowedFd<'_>) -> nix::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: plain integers and a null siginfo, which the kernel allows.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), libc::SIGKILL, no_info, 0) })
        .map(drop)
}

/// Empties every capability set, for good: bounding, ambient, permitted, effective, inheritable.
pub(crate) fn drop_capabilities() -> nix::Result<()> {
    const CAPABILITY_LAST: libc::c_ulong = 40;
    const SECURE_BITS_LOCKED: libc::c_ulong = 0b1110_1111;
    for capability in 0..=CAPABILITY_LAST {
        // SAFETY: integer arguments only. EINVAL means that the kernel knows fewer capabilities.
        match check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) }.into()) {
            Ok(_) | Err(nix::Error::EINVAL) => {}
            Err(error) => return Err(error),
        }
    }
    // SAFETY: integer arguments only.
    check(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) }.into())?;
    // SAFETY: integer arguments only.
    check(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, SECURE_BITS_LOCKED, 0, 0, 0) }.into())?;
    set_capabilities([0; 6])
}

/// The next change from uid 0 to another keeps the permitted capabilities.
pub(crate) fn keep_capabilities() -> nix::Result<()> {
    // SAFETY: integer arguments only.
    check(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) }.into()).map(drop)
}

/// Makes the one capability effective that emptying the bounding set takes; all others are gone from here on.
pub(crate) fn regain_setpcap() -> nix::Result<()> {
    const SETPCAP: u32 = 1 << 8;
    set_capabilities([SETPCAP, SETPCAP, 0, 0, 0, 0])
}

/// Low words of effective, permitted, inheritable, then the high words.
fn set_capabilities(sets: [u32; 6]) -> nix::Result<()> {
    const CAPABILITY_VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [CAPABILITY_VERSION_3, 0];
    // SAFETY: the header and the two data blocks have the layout of capability version 3.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) }).map(drop)
}

/// No program started from here on gains privileges.
pub(crate) fn set_no_new_privileges() -> nix::Result<()> {
    // SAFETY: integer arguments only.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into()).map(drop)
}

/// This process dies with its parent. Must follow the last change of credentials, which resets it.
pub(crate) fn set_parent_death_signal() -> nix::Result<()> {
    // SAFETY: integer arguments only.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) }.into()).map(drop)
}

/// Whether others of the same uid may look into this process.
pub(crate) fn set_dumpable(dumpable: bool) -> nix::Result<()> {
    // SAFETY: integer arguments only.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, libc::c_ulong::from(dumpable), 0, 0, 0) }.into())
        .map(drop)
}

/// Closes every descriptor from `first` to `last`, both included.
pub(crate) fn close_range(first: RawFd, last: RawFd) -> nix::Result<()> {
    // SAFETY: callers use no descriptor object of that range afterwards, and never drop one.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}
