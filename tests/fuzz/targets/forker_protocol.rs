//! Any packet on the sockets between daemon, forker and pid 1: a message or a refusal, never a lost descriptor.
//!
//! The packet crosses a real socket pair, so that descriptors, truncation and emptiness are the kernel's. The first
//! byte of an input says how many descriptors come with it; the second, which side reads.
#![no_main]

use hearth_sandbox::channel::{Channel, ChannelError, FDS_MAX, MESSAGE_MAX, pair};
use hearth_sandbox::spec::{
    ForkerConfig, ForkerReply, ForkerRequest, InitReport, InitRequest, LaunchSpec, ProcessSpec,
};
use libfuzzer_sys::{Corpus, fuzz_target};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd};

/// More than the protocol allows, so that the refusal is tried, too.
const FDS_TRIED: usize = FDS_MAX + 4;

fuzz_target!(|input: &[u8]| -> Corpus {
    let [count, kind, packet @ ..] = input else { return Corpus::Reject };
    let count = usize::from(*count) % FDS_TRIED;
    match kind % 5 {
        0 => cross::<ForkerRequest>(packet, count, |request| {
            if let ForkerRequest::Launch { spec: LaunchSpec { contents, .. }, .. } = request {
                // The only part of a request that becomes a path.
                let name = contents.tree().name();
                let hex = name.strip_suffix(".root").unwrap_or(&name);
                assert!(hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
            }
        }),
        1 => cross::<ForkerReply>(packet, count, |_| {}),
        2 => cross::<InitRequest>(packet, count, |request| {
            if let InitRequest::Spawn(ProcessSpec { candidates, arguments, environment, .. }) = request {
                // What was allocated was in the packet: no header makes the reader reserve more.
                let texts = candidates.iter().chain(arguments).chain(environment);
                assert!(texts.map(String::len).sum::<usize>() <= packet.len());
            }
        }),
        3 => cross::<InitReport>(packet, count, |_| {}),
        _ => {
            if let Ok(config) = serde_json::from_slice::<ForkerConfig>(packet) {
                let text = serde_json::to_vec(&config).expect("a configuration is written");
                assert_eq!(serde_json::from_slice::<ForkerConfig>(&text).expect("and read"), config);
            }
        }
    }
    Corpus::Keep
});

/// Sends the packet, receives it as `T`, and checks what came out.
fn cross<T>(packet: &[u8], count: usize, check: impl Fn(&T))
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let free = lowest_free();
    {
        let (here, there) = pair().expect("a socket pair");
        let channel: Channel<T, T> = Channel::new(there);
        send(&here, packet, count);
        drop(here);
        match channel.receive() {
            Ok(Some((message, fds))) => {
                assert_eq!(fds.len(), count, "every descriptor arrives");
                assert!(packet.len() <= MESSAGE_MAX && count <= FDS_MAX);
                check(&message);
                let bytes = postcard::to_stdvec(&message).expect("what was read can be written");
                assert_eq!(postcard::from_bytes::<T>(&bytes).expect("and read again"), message);
            }
            Ok(None) => panic!("there was a packet"),
            Err(ChannelError::Closed) => {
                assert!(packet.is_empty(), "only an empty packet looks like the end")
            }
            Err(ChannelError::Malformed) => {}
            Err(ChannelError::Os(error)) => panic!("{error}"),
        }
    }
    assert_eq!(lowest_free(), free, "no descriptor is left open");
}

fn send(socket: &OwnedFd, packet: &[u8], count: usize) {
    let null = std::fs::File::open("/dev/null").expect("/dev/null");
    let fds = vec![null.as_raw_fd(); count];
    let rights = [ControlMessage::ScmRights(&fds)];
    let control: &[ControlMessage<'_>] = if fds.is_empty() { &[] } else { &rights };
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(packet)], control, MsgFlags::MSG_NOSIGNAL, None)
        .expect("a packet of this size is sent");
}

/// Number that the next descriptor would get.
fn lowest_free() -> i32 {
    std::fs::File::open("/dev/null").expect("/dev/null").as_raw_fd()
}
