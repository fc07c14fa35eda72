//! The last thing a daemon does: it waits for its forker.
//!
//! The forker puts the host in order once its channel closes, and a service manager kills what is left of a unit as soon
//! as the main process is gone. It neither asks the forker to end nor kills it: the closed channel says enough.

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::time::Duration;

/// How long it may take to remove what it made: 5 s.
const END_STEPS: u32 = 1000;
const END_STEP: Duration = Duration::from_millis(5);

/// Waits until the forker has ended; false if it is still at work when its time is over.
pub(crate) fn await_forker(pid: u32) -> bool {
    let Ok(pid) = i32::try_from(pid) else { return true };
    for _ in 0..END_STEPS {
        let ended = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
        if ended != Ok(WaitStatus::StillAlive) {
            return true;
        }
        std::thread::sleep(END_STEP);
    }
    false
}
