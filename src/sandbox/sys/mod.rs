//! The only `unsafe` in the repository: system calls that no well-kept crate wraps, each with safe arguments.
//!
//! Nothing here decides anything; every function is one kernel call (or one ioctl sequence) with its types.
#![expect(unsafe_code, reason = "raw system calls live here and nowhere else")]

mod message;
mod process;
mod storage;

pub(crate) use message::receive;
pub(crate) use process::{
    Forked, clone3, close_range, drop_capabilities, exec, fork, keep_capabilities, pidfd_kill,
    regain_setpcap, set_dumpable, set_no_new_privileges, set_parent_death_signal,
};
pub(crate) use storage::{
    MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, attach_loop, interface_address, interface_up,
    mount_setattr, move_mount, open_tree,
};

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Takes ownership of a descriptor that the kernel has just handed to this process.
pub(crate) fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: callers pass descriptors freshly received or created, owned by nobody else.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Turns a raw system call's result into a nix one.
fn check(result: libc::c_long) -> nix::Result<libc::c_long> {
    if result < 0 { Err(nix::Error::last()) } else { Ok(result) }
}
