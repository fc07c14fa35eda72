//! Gives a parked sandbox another root: a tree of the function's own takes the base's place.
//!
//! Done by the forker from within the sandbox's mount namespace, before anything foreign runs in it. `pivot_root` moves
//! every process whose root is the old one, so pid 1 and the runner that waits in the park go along; then the base is
//! detached, and with it the host's files: no name and no descriptor inside leads back. The tree is foreign: nothing of
//! it is followed, it is only mounted upon, one level below its root.

use crate::mounts::{Result, at};
use crate::sys;
use nix::fcntl::{AT_FDCWD, OFlag, open};
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::Mode;
use nix::unistd::{chdir, pivot_root};
use std::os::fd::{AsFd, BorrowedFd};

/// An empty folder of the base.
const NEXT: &str = "/mnt";
/// Mounts of the sandbox that go on in the new root: its own `/proc` with all masks, its own `/tmp`.
const TAKEN_ALONG: [(&str, &str); 2] = [("/proc", "/mnt/proc"), ("/tmp", "/mnt/tmp")];

/// Makes `tree`, detached and locked, the root of the mount namespace that the caller has entered.
///
/// # Errors
/// Names the mount that failed; the sandbox must not be used then.
pub(crate) fn take_over(tree: BorrowedFd<'_>) -> Result<()> {
    at("root", sys::move_mount(tree, NEXT))?;
    // The devices are mounts in a folder of the base, which is no mount itself: a copy with all that is mounted in it.
    let devices = at("/dev", sys::open_tree(AT_FDCWD, "/dev", true))?;
    at("/dev", sys::move_mount(devices.as_fd(), "/mnt/dev"))?;
    for (from, to) in TAKEN_ALONG {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mounted = at(from, open(from, flags, Mode::empty()))?;
        at(from, sys::move_mount(mounted.as_fd(), to))?;
    }
    at("chdir", chdir(NEXT))?;
    at("pivot_root", pivot_root(".", "."))?;
    at("leaving the base", umount2(".", MntFlags::MNT_DETACH))?;
    at("chdir", chdir("/"))
}
