//! Typed messages with descriptors over a SOCK_SEQPACKET socket pair.
//!
//! One message is one packet, so a reader never sees half of one, and the size is bounded before it is read.
//! Not async: callers poll the descriptor themselves.

use crate::sys;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde::{Serialize, de::DeserializeOwned};
use std::io::IoSlice;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// The largest message, bytes. Environment variables (4 KiB) and paths fit many times over.
pub const MESSAGE_MAX: usize = 64 * 1024;
/// Descriptors with one message, at most.
pub const FDS_MAX: usize = 12;

/// Sends `S`, receives `R`.
#[derive(Debug)]
pub struct Channel<S, R> {
    socket: OwnedFd,
    kind: PhantomData<fn(S) -> R>,
}

/// Why a message did not get through.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The other side is gone.
    #[error("the other side closed the channel")]
    Closed,
    /// The kernel refused.
    #[error("channel: {0}")]
    Os(#[from] nix::Error),
    /// The bytes are not a message, or the message is too large.
    #[error("not a valid message")]
    Malformed,
}

impl<S: Serialize, R: DeserializeOwned> Channel<S, R> {
    /// Takes one end of a socket pair.
    #[must_use]
    pub const fn new(socket: OwnedFd) -> Self {
        Self { socket, kind: PhantomData }
    }

    /// Sends one message with descriptors; never blocks on a non-blocking socket (`Os(EAGAIN)`).
    ///
    /// # Errors
    /// When the other side is gone, its queue is full, or the message is over [`MESSAGE_MAX`].
    pub fn send(&self, message: &S, fds: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
        let bytes = postcard::to_stdvec(message).map_err(|_| ChannelError::Malformed)?;
        if bytes.len() > MESSAGE_MAX || fds.len() > FDS_MAX {
            return Err(ChannelError::Malformed);
        }
        let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
        let flags = MsgFlags::MSG_NOSIGNAL;
        match sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(&bytes)], control, flags, None) {
            Ok(_) => Ok(()),
            Err(nix::Error::EPIPE | nix::Error::ECONNRESET) => Err(ChannelError::Closed),
            Err(error) => Err(error.into()),
        }
    }

    /// Receives one message; `None` if a non-blocking socket has none. Descriptors come all or none: where this process
    /// may not open so many, the message comes without any, and its reader, who knows how many there should be, can
    /// refuse what it is about instead of the whole conversation.
    ///
    /// # Errors
    /// When the other side is gone or sent something that is not a message.
    pub fn receive(&self) -> Result<Option<(R, Vec<OwnedFd>)>, ChannelError> {
        let mut buffer = match self.waiting_bytes() {
            Ok(length) => vec![0_u8; length.clamp(1, MESSAGE_MAX)],
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => return Ok(None),
            Err(nix::Error::ECONNRESET) => return Err(ChannelError::Closed),
            Err(error) => return Err(error.into()),
        };
        let packet = match sys::receive(self.socket.as_fd(), &mut buffer) {
            Ok(packet) => packet,
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => return Ok(None),
            Err(nix::Error::ECONNRESET) => return Err(ChannelError::Closed),
            Err(error) => return Err(error.into()),
        };
        if packet.length == 0 {
            return Err(ChannelError::Closed);
        }
        if !packet.whole || packet.fds.len() > FDS_MAX {
            return Err(ChannelError::Malformed);
        }
        let message = postcard::from_bytes(&buffer[..packet.length]).map_err(|_| ChannelError::Malformed)?;
        Ok(Some((message, if packet.all_fds { packet.fds } else { Vec::new() })))
    }

    /// Bytes of the next message, waiting for it as the socket does. Room for the largest one, made each time, would
    /// cost more than the message: most are a few bytes, and pages are faulted in one by one.
    fn waiting_bytes(&self) -> nix::Result<usize> {
        nix::sys::socket::recv(self.socket.as_raw_fd(), &mut [], MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC)
    }

    /// Gives the socket up.
    #[must_use]
    pub fn into_inner(self) -> OwnedFd {
        self.socket
    }
}

impl<S, R> AsFd for Channel<S, R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl<S, R> AsRawFd for Channel<S, R> {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// A connected pair of sequenced-packet sockets, close-on-exec.
///
/// # Errors
/// When the kernel is out of descriptors.
pub fn pair() -> nix::Result<(OwnedFd, OwnedFd)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn channel() -> (OwnedFd, Channel<u8, u8>) {
        let (here, there) = pair().unwrap();
        (here, Channel::new(there))
    }

    /// Sends a packet past the checks of `send`.
    fn send(socket: &OwnedFd, packet: &[u8], file: &File, count: usize) {
        let fds = vec![file.as_raw_fd(); count];
        let rights = [ControlMessage::ScmRights(&fds)];
        sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(packet)], &rights, MsgFlags::empty(), None).unwrap();
    }

    /// How many descriptors of this process are open on the file.
    fn open_on(file: &File) -> usize {
        let wanted = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
        let fds = std::fs::read_dir("/proc/self/fd").unwrap();
        fds.filter(|fd| std::fs::read_link(fd.as_ref().unwrap().path()).is_ok_and(|it| it == wanted)).count()
    }

    #[test]
    fn descriptors_arrive_with_their_message() {
        let (here, channel) = channel();
        let file = File::open("/dev/zero").unwrap();
        send(&here, &[7], &file, FDS_MAX);
        let (message, fds) = channel.receive().unwrap().unwrap();
        assert_eq!((message, fds.len()), (7, FDS_MAX));
    }

    #[test]
    fn a_message_with_too_many_descriptors_is_refused_and_leaves_none_open() {
        let (here, channel) = channel();
        let file = File::open("/proc/self/stat").unwrap();
        for count in [FDS_MAX + 1, 253] {
            send(&here, &[7], &file, count);
            assert!(matches!(channel.receive(), Err(ChannelError::Malformed)), "{count}");
            assert_eq!(open_on(&file), 1, "{count}");
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_refused() {
        let (here, channel) = channel();
        let file = File::open("/dev/null").unwrap();
        send(&here, &vec![0; MESSAGE_MAX + 1], &file, 1);
        assert!(matches!(channel.receive(), Err(ChannelError::Malformed)));
    }

    #[test]
    fn a_message_whose_descriptors_may_not_be_opened_comes_without_any() {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        let (here, channel) = channel();
        let file = File::open("/proc/self/status").unwrap();
        send(&here, &[7], &file, 4);
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        // The lowest free number is the limit then, but for one.
        let free = std::os::fd::AsRawFd::as_raw_fd(&File::open("/dev/null").unwrap());
        let limit = u64::try_from(free).unwrap() + 1;
        setrlimit(Resource::RLIMIT_NOFILE, limit, hard).unwrap();
        let received = channel.receive();
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        let (message, fds) = received.unwrap().unwrap();
        assert_eq!((message, fds.len()), (7, 0));
        assert_eq!(open_on(&file), 1);
    }
}
