//! Receiving one packet together with the descriptors that came with it.
//!
//! nix hands out no descriptor of a packet whose control data was cut short (more were sent than there was room for, or
//! this process may not open more), although the kernel has installed the others by then: they would stay open for
//! good. Here every installed descriptor has an owner.

use super::adopt;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Words of control data: the kernel's largest number of descriptors (253) and their header.
const CONTROL_WORDS: usize = 160;

/// One packet.
pub(crate) struct Packet {
    /// Bytes put into the buffer.
    pub(crate) length: usize,
    /// The descriptors that came with it, close-on-exec.
    pub(crate) fds: Vec<OwnedFd>,
    /// No bytes were cut off.
    pub(crate) whole: bool,
    /// No descriptors were cut off.
    pub(crate) all_fds: bool,
}

/// Receives one packet.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> nix::Result<Packet> {
    // Words, because control headers want their alignment.
    let mut control = [0_u64; CONTROL_WORDS];
    let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: msghdr is plain data for which all zeroes are valid.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<[u64; CONTROL_WORDS]>();
    // SAFETY: every pointer in the message is to a live buffer of the length that stands beside it.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    let length = usize::try_from(length).map_err(|_| nix::Error::last())?;
    let lacks = |flag| message.msg_flags & flag == 0;
    let (whole, all_fds) = (lacks(libc::MSG_TRUNC), lacks(libc::MSG_CTRUNC));
    Ok(Packet { length, fds: take_descriptors(&message), whole, all_fds })
}

/// Takes what the kernel installed, also of a message that was cut short: each header tells what is behind it.
fn take_descriptors(message: &libc::msghdr) -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    // SAFETY: the kernel has filled in the message; its headers lie within the control buffer.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: not null, so it points to a header that the kernel has written.
        let (level, kind, length) =
            unsafe { ((*header).cmsg_level, (*header).cmsg_type, (*header).cmsg_len) };
        if (level, kind) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: arithmetic on numbers; the header's data follows it in the buffer.
            let (data, empty) =
                unsafe { (libc::CMSG_DATA(header).cast::<RawFd>(), libc::CMSG_LEN(0) as usize) };
            for at in 0..length.saturating_sub(empty) / size_of::<RawFd>() {
                // SAFETY: `length` counts this descriptor, which the kernel has just installed here.
                fds.push(adopt(unsafe { data.add(at).read_unaligned() }));
            }
        }
        // SAFETY: as for the first header.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    fds
}
