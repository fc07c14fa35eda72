//! The listeners inside a sandbox: the Runtime API and the door on its loopback, and, where it has a network (`nat`), the
//! place to ask for names.
//!
//! Identity is a listener: all are bound inside the sandbox's network namespace and passed out, so whoever
//! connects to one is that sandbox, and the host cannot reach it.

use crate::link::{Link, LinkError};
use crate::spec::{DNS, DOOR, RUNTIME_API};
use crate::sys;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, setsockopt, socket, sockopt,
};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

const BACKLOG: i32 = 128;

/// A network that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// Loopback or a listener.
    #[error("loopback: {0}")]
    Loopback(#[from] nix::Error),
    /// The link to the host.
    #[error("link: {0}")]
    Link(#[from] LinkError),
}

/// Brings loopback up and binds the listeners (Runtime API, door), non-blocking; for class `nat`, which has a link, also
/// makes that, and binds the sockets for names over UDP and TCP.
///
/// # Errors
/// When the kernel refuses; the caller is in a fresh network namespace and privileged over it.
pub fn prepare(link: Option<Link>) -> Result<Vec<OwnedFd>, NetError> {
    let any = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    sys::interface_up(any.as_fd(), "lo")?;
    sys::interface_address(any.as_fd(), "lo:1", Ipv4Addr::new(169, 254, 100, 1))?;
    let mut listeners = vec![listening(RUNTIME_API)?, listening(DOOR)?];
    if let Some(link) = link {
        link.make()?;
        listeners.push(bound(DNS, SockType::Datagram)?);
        listeners.push(listening(DNS)?);
    }
    Ok(listeners)
}

fn listening(address: &str) -> nix::Result<OwnedFd> {
    let listener = bound(address, SockType::Stream)?;
    listen(&listener, Backlog::new(BACKLOG)?)?;
    Ok(listener)
}

fn bound(address: &str, kind: SockType) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Inet, kind, flags, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    let address: std::net::SocketAddrV4 = address.parse().map_err(|_| nix::Error::EINVAL)?;
    bind(socket.as_raw_fd(), &SockaddrIn::from(address))?;
    Ok(socket)
}
