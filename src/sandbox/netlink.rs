//! Netlink, as little of it as the networks of sandboxes need: messages, attributes, a blocking socket with bounds.
//!
//! Written here because it is small: the usual crates bring async or a type per kernel structure. What the messages
//! mean is the business of `link`, `guard` and `firewall`.

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
    socket, sockopt,
};
use nix::sys::time::TimeVal;
use nix::sys::time::TimeValLike;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

const HEADER: usize = 16;
const ALIGNMENT: usize = 4;
/// A datagram from the kernel is smaller; dumps come in pieces.
const RECEIVE_BYTES: usize = 32 * 1024;
/// Pieces of one answer at most: a host has some thousands of routes, not millions.
const PIECES_MAX: usize = 65_536;
/// The kernel answers while it handles the request; this only keeps a bug from hanging the forker.
const ANSWER_WITHIN_S: i64 = 10;

const NESTED: u16 = 0x8000;
const KIND_MASK: u16 = 0x3fff;

/// Flags of requests.
pub(crate) const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
/// The kernel confirms.
pub(crate) const ACK: u16 = libc::NLM_F_ACK as u16;
/// Make it if it is not there.
pub(crate) const CREATE: u16 = libc::NLM_F_CREATE as u16;
/// Refuse if it is there.
pub(crate) const EXCLUSIVE: u16 = libc::NLM_F_EXCL as u16;
/// Replace it if it is there.
pub(crate) const REPLACE: u16 = libc::NLM_F_REPLACE as u16;
/// Append.
pub(crate) const APPEND: u16 = libc::NLM_F_APPEND as u16;
/// List all.
pub(crate) const DUMP: u16 = libc::NLM_F_DUMP as u16;

/// One message under construction.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A message with its fixed part.
    pub(crate) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | REQUEST).to_ne_bytes());
        bytes.extend(fixed);
        Self { bytes }.padded()
    }

    fn padded(mut self) -> Self {
        self.pad();
        self
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }

    /// Appends an attribute.
    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.padded()
    }

    /// Appends a text attribute with its NUL.
    pub(crate) fn text(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    /// Appends a number in host order.
    pub(crate) fn number(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Appends a number in network order.
    pub(crate) fn big_endian(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Appends an attribute that holds attributes, after an optional fixed part.
    pub(crate) fn nested(mut self, kind: u16, fixed: &[u8], fill: impl FnOnce(Self) -> Self) -> Self {
        let start = self.bytes.len();
        self.bytes.extend([0; 4]);
        self.bytes.extend(fixed);
        let mut filled = fill(self.padded());
        let length = u16::try_from(filled.bytes.len() - start).unwrap_or(u16::MAX);
        filled.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        filled.bytes[start + 2..start + 4].copy_from_slice(&(kind | NESTED).to_ne_bytes());
        filled
    }

    /// The finished bytes.
    fn seal(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }

    fn wants_ack(&self) -> bool {
        u16::from_ne_bytes([self.bytes[6], self.bytes[7]]) & ACK != 0
    }
}

/// One message that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received<'a> {
    /// Its kind.
    pub(crate) kind: u16,
    sequence: u32,
    /// All after the header.
    pub(crate) body: &'a [u8],
}

impl<'a> Received<'a> {
    /// The value of the first attribute of this kind, after a fixed part of so many bytes.
    pub(crate) fn attribute(&self, fixed: usize, wanted: u16) -> Option<&'a [u8]> {
        attributes(self.body.get(fixed.next_multiple_of(ALIGNMENT)..)?)
            .find(|(kind, _)| *kind == wanted)
            .map(|(_, value)| value)
    }
}

fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let [a, b, c, d, ..] = *rest else { return None };
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let kind = u16::from_ne_bytes([c, d]) & KIND_MASK;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The messages of one datagram; ends at the first that is malformed.
fn messages(mut rest: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || {
        let header = rest.get(..HEADER)?;
        let word =
            |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let length = usize::try_from(word(0)).ok()?;
        let body = rest.get(HEADER..length)?;
        rest = rest.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some(Received { kind, sequence: word(8), body })
    })
}

/// The error of an acknowledgement: a negative errno, 0 for success.
fn outcome(body: &[u8]) -> nix::Result<()> {
    let code = body.first_chunk::<4>().map_or(-libc::EPROTO, |bytes| i32::from_ne_bytes(*bytes));
    if code == 0 { Ok(()) } else { Err(nix::Error::from_raw(-code)) }
}

/// A socket of this process in the network namespace in which it was opened.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket; `groups` is the mask of what is announced to it.
    pub(crate) fn open(protocol: SockProtocol, groups: u32) -> nix::Result<Self> {
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(ANSWER_WITHIN_S))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends messages as one datagram and waits for each acknowledgement that they ask for.
    ///
    /// # Errors
    /// The first that the kernel names; later messages may have been done all the same.
    pub(crate) fn ask(&mut self, requests: Vec<Message>) -> nix::Result<()> {
        let first = self.sequence.wrapping_add(1);
        let mut awaited = requests.iter().filter(|message| message.wants_ack()).count();
        let mut datagram = Vec::new();
        for message in requests {
            self.sequence = self.sequence.wrapping_add(1);
            datagram.extend(message.seal(self.sequence));
        }
        send(self.socket.as_raw_fd(), &datagram, MsgFlags::empty())?;
        let mut result = Ok(());
        let mut buffer = vec![0; RECEIVE_BYTES];
        for _ in 0..PIECES_MAX {
            if awaited == 0 {
                return result;
            }
            let size = self.receive(&mut buffer, MsgFlags::empty())?;
            for answer in messages(&buffer[..size]) {
                let ours = answer.sequence.wrapping_sub(first) <= self.sequence.wrapping_sub(first);
                if ours && i32::from(answer.kind) == libc::NLMSG_ERROR {
                    awaited = awaited.saturating_sub(1);
                    result = result.and(outcome(answer.body));
                }
            }
            // A batch that is refused as a whole is answered once.
            if result.is_err() && awaited > 0 && self.is_silent()? {
                return result;
            }
        }
        Err(nix::Error::EOVERFLOW)
    }

    fn is_silent(&self) -> nix::Result<bool> {
        let mut probe = [0; 1];
        match recv(self.socket.as_raw_fd(), &mut probe, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT) {
            Ok(_) => Ok(false),
            Err(nix::Error::EAGAIN) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Sends one request and hears every message of its answer: one, or all of a dump.
    pub(crate) fn query(&mut self, request: Message, mut hear: impl FnMut(Received<'_>)) -> nix::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let is_dump = u16::from_ne_bytes([request.bytes[6], request.bytes[7]]) & DUMP == DUMP;
        send(self.socket.as_raw_fd(), &request.seal(self.sequence), MsgFlags::empty())?;
        let mut buffer = vec![0; RECEIVE_BYTES];
        for _ in 0..PIECES_MAX {
            let size = self.receive(&mut buffer, MsgFlags::empty())?;
            for answer in messages(&buffer[..size]).filter(|it| it.sequence == self.sequence) {
                match i32::from(answer.kind) {
                    libc::NLMSG_ERROR => return outcome(answer.body),
                    libc::NLMSG_DONE => return Ok(()),
                    _ => hear(answer),
                }
                if !is_dump {
                    return Ok(());
                }
            }
        }
        Err(nix::Error::EOVERFLOW)
    }

    /// Hears what has been announced since the last call, without waiting. `ENOBUFS` says that some of it was lost.
    pub(crate) fn drain(&self, mut hear: impl FnMut(Received<'_>)) -> nix::Result<()> {
        let mut buffer = vec![0; RECEIVE_BYTES];
        for _ in 0..PIECES_MAX {
            match self.receive(&mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(size) => messages(&buffer[..size]).for_each(&mut hear),
                Err(nix::Error::EAGAIN) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn receive(&self, buffer: &mut [u8], flags: MsgFlags) -> nix::Result<usize> {
        loop {
            match recv(self.socket.as_raw_fd(), buffer, flags) {
                Err(nix::Error::EINTR) => {}
                other => return other,
            }
        }
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_to_four_bytes_and_nested_ones_know_their_length() {
        let message = Message::new(16, CREATE | ACK, &[9; 5])
            .text(3, "eth0")
            .nested(18, &[7; 2], |inner| inner.number(1, 5).attribute(2, &[1]));
        let bytes = message.seal(4);
        // Header and a padded fixed part.
        assert_eq!(bytes[..4], 60u32.to_ne_bytes());
        assert_eq!(
            (bytes[4..6].to_vec(), bytes[8..12].to_vec()),
            (16u16.to_ne_bytes().to_vec(), 4u32.to_ne_bytes().to_vec())
        );
        assert_eq!(bytes[16..24], [9, 9, 9, 9, 9, 0, 0, 0]);
        // "eth0\0" has length 9 and three bytes of padding.
        assert_eq!(bytes[24..36], [9, 0, 3, 0, b'e', b't', b'h', b'0', 0, 0, 0, 0]);
        // 4 header, 2 fixed + 2 padding, 8 number, 8 padded byte.
        assert_eq!(bytes[36..44], [24, 0, 18, 0x80, 7, 7, 0, 0]);
        assert_eq!(bytes[44..52], [8, 0, 1, 0, 5, 0, 0, 0]);
        assert_eq!(bytes[52..60], [5, 0, 2, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn what_was_written_is_read_back() {
        let mut datagram = Message::new(20, 0, &[1, 2, 3, 4]).text(1, "one").number(2, 7).seal(1);
        datagram.extend(Message::new(21, 0, &[]).seal(2));
        let all: Vec<_> = messages(&datagram).collect();
        assert_eq!(all.iter().map(|it| (it.kind, it.sequence)).collect::<Vec<_>>(), [(20, 1), (21, 2)]);
        assert_eq!(all[0].attribute(4, 1), Some(&b"one\0"[..]));
        assert_eq!(all[0].attribute(4, 2), Some(&7u32.to_ne_bytes()[..]));
        assert_eq!(all[0].attribute(4, 3), None);
        assert_eq!(all[1].attribute(4, 1), None);
    }

    #[test]
    fn malformed_datagrams_end_the_reading() {
        let whole = Message::new(20, 0, &[]).text(1, "one").seal(1);
        for cut in 0..whole.len() {
            assert_eq!(messages(&whole[..cut]).count(), 0, "{cut}");
        }
        let mut lies = whole.clone();
        lies[..4].copy_from_slice(&3u32.to_ne_bytes());
        assert_eq!(messages(&lies).count(), 0);
        let mut short = whole;
        short[16..18].copy_from_slice(&2u16.to_ne_bytes());
        assert_eq!(messages(&short).next().expect("one").attribute(0, 1), None);
    }

    #[test]
    fn an_acknowledgement_carries_a_negative_errno() {
        assert_eq!(outcome(&0i32.to_ne_bytes()), Ok(()));
        assert_eq!(outcome(&(-libc::EEXIST).to_ne_bytes()), Err(nix::Error::EEXIST));
        assert_eq!(outcome(&[]), Err(nix::Error::EPROTO));
    }

    #[test]
    fn the_kernel_tells_of_the_loopback_interface() {
        let mut netlink = Netlink::open(SockProtocol::NetlinkRoute, 0).expect("a socket");
        let request = Message::new(libc::RTM_GETLINK, 0, &[0; 16]).text(libc::IFLA_IFNAME, "lo");
        let mut index = None;
        let hear = |it: Received<'_>| index = it.body.get(4..8).map(<[u8]>::to_vec);
        netlink.query(request, hear).expect("an answer");
        assert_eq!(index, Some(1i32.to_ne_bytes().to_vec()));
        let request = Message::new(libc::RTM_GETLINK, 0, &[0; 16]).text(libc::IFLA_IFNAME, "no-such-link");
        assert_eq!(netlink.query(request, |_| ()), Err(nix::Error::ENODEV));
    }
}
