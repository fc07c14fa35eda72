//! The network inside a sandbox, class `none`: loopback with two listeners, and nothing else.
//!
//! Identity is a listener: both are bound inside the sandbox's network namespace and passed out, so whoever
//! connects to one is that sandbox, and the host cannot reach it.

use crate::spec::{DOOR, RUNTIME_API};
use crate::sys;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, setsockopt, socket, sockopt,
};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

const BACKLOG: i32 = 128;

/// Brings loopback up and binds the two listeners (Runtime API, door), non-blocking.
///
/// # Errors
/// When the kernel refuses; the caller is in a fresh network namespace and privileged over it.
pub fn prepare() -> nix::Result<[OwnedFd; 2]> {
    let any = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    sys::interface_up(any.as_fd(), "lo")?;
    sys::interface_address(any.as_fd(), "lo:1", Ipv4Addr::new(169, 254, 100, 1))?;
    Ok([bound(RUNTIME_API)?, bound(DOOR)?])
}

fn bound(address: &str) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let listener = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
    setsockopt(&listener, sockopt::ReuseAddr, &true)?;
    let address: std::net::SocketAddrV4 = address.parse().map_err(|_| nix::Error::EINVAL)?;
    bind(listener.as_raw_fd(), &SockaddrIn::from(address))?;
    listen(&listener, Backlog::new(BACKLOG)?)?;
    Ok(listener)
}
