//! Who may speak to the control API: anybody, this machine's own people, or whoever signs with a known key.
//!
//! People of this machine are known by their socket's uid, once per connection, which costs requests nothing. What was
//! decided about a connection holds until it closes. Signatures are `signed.rs`'s business, uids of sockets `peer.rs`'s.

use super::peer::Peers;
use super::server::Peer;
use super::signed::Verifier;
use super::tls::Agreed;
use hearth_api::error::{ApiError, ErrorCode};
use nix::unistd::{Group, Uid, User};
use std::net::IpAddr;
use std::sync::Arc;

/// Members of this group may use a local daemon.
const GROUP: &str = "hearth";

/// The rule of one daemon.
pub(crate) enum Identity {
    /// Nobody is asked.
    Anyone,
    /// This machine's root, the daemon itself, who started it, and the group.
    Local(Arc<Locals>),
    /// Whoever signs with a known key, as far as its policy goes.
    Signed(Verifier),
}

/// What is known of a connection before its first request.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// Where it comes from; none for sockets in the file system.
    pub(crate) source: Option<IpAddr>,
    /// How it is encrypted, if it is.
    pub(crate) tls: Option<Agreed>,
    /// Why none of its requests is answered, if so.
    refusal: Option<Arc<str>>,
}

impl Connection {
    /// One through a function's own door: from nowhere that has an address.
    pub(crate) const fn inside() -> Self {
        Self { source: None, tls: None, refusal: None }
    }

    /// What its requests are refused with, if they are.
    pub(crate) fn refusal(&self) -> Option<ApiError> {
        let text = self.refusal.as_deref()?;
        Some(ApiError::new(ErrorCode::AccessDeniedException, text))
    }
}

impl Identity {
    /// Reads the keys again, if there are any. They are used if they can be, else the old ones stay; the log says which.
    pub(crate) fn reload(&self) {
        match self {
            Self::Anyone | Self::Local(_) => tracing::info!("SIGHUP: there are no keys to read again"),
            Self::Signed(verifier) => match verifier.reload() {
                Ok(keys) => tracing::info!(keys, "SIGHUP: the keys were read again"),
                Err(error) => tracing::error!(%error, "SIGHUP: the keys stay as they are"),
            },
        }
    }

    /// Looks at a new connection.
    pub(crate) async fn meet(&self, peer: Peer) -> Connection {
        let refusal = match self {
            Self::Anyone | Self::Signed(_) => None,
            Self::Local(locals) => locals.refuses(&peer).await,
        };
        Connection {
            source: peer.remote.map(|address| address.ip().to_canonical()),
            tls: peer.tls,
            refusal: refusal.map(Into::into),
        }
    }
}

/// Whom a local daemon serves.
pub(crate) struct Locals {
    peers: Peers,
    service: u32,
    starter: Option<u32>,
}

impl Locals {
    /// `service` is the uid that the daemon runs as, `starter` the one that started it through sudo.
    pub(crate) fn new(peers: Peers, service: u32, starter: Option<u32>) -> Self {
        Self { peers, service, starter }
    }

    async fn refuses(self: &Arc<Self>, peer: &Peer) -> Option<String> {
        let (Some(client), Some(server)) = (peer.remote, peer.local) else {
            return Some("it is not known where this connection comes from".to_owned());
        };
        let uid = match self.peers.uid_of(client, server) {
            Ok(Some(uid)) => uid,
            Ok(None) => return Some("the process that opened this connection has closed it".to_owned()),
            Err(error) => {
                tracing::error!(%error, "the kernel does not say whose connection it is");
                return Some("the kernel does not say whose connection this is".to_owned());
            }
        };
        if uid == 0 || uid == self.service || Some(uid) == self.starter {
            return None;
        }
        // The databases of users and groups may be slow, or far away. Nothing is remembered: whoever leaves the group
        // is out with the next connection.
        let is_member = tokio::task::spawn_blocking(move || is_member(uid));
        match is_member.await {
            Ok(true) => None,
            Ok(false) | Err(_) => Some(self.explanation(uid)),
        }
    }

    fn explanation(&self, uid: u32) -> String {
        let starter =
            self.starter.map_or_else(String::new, |uid| format!(", uid {uid}, who started it through sudo,"));
        format!(
            "uid {uid} may not use this endpoint: with auth = \"local\" it serves root, the daemon's own uid {}{starter} and \
             members of the group {GROUP} (usermod -aG {GROUP} NAME lets NAME in)",
            self.service
        )
    }
}

/// Whether the group is a user's primary group or lists the user; false where either is unknown.
fn is_member(uid: u32) -> bool {
    let (Ok(Some(group)), Ok(Some(user))) = (Group::from_name(GROUP), User::from_uid(Uid::from_raw(uid)))
    else {
        return false;
    };
    user.gid == group.gid || group.mem.contains(&user.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locals(starter: Option<u32>) -> Arc<Locals> {
        Arc::new(Locals::new(Peers::open().expect("this kernel answers"), 1_900_000_000, starter))
    }

    #[tokio::test]
    async fn this_process_is_let_in_and_a_connection_from_nowhere_is_not() {
        let own = nix::unistd::geteuid().as_raw();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let client = std::net::TcpStream::connect(listener.local_addr().expect("has one")).expect("connects");
        let peer = Peer { remote: client.local_addr().ok(), local: client.peer_addr().ok(), tls: None };
        let identity = Identity::Local(locals(Some(own)));
        assert!(identity.meet(peer).await.refusal().is_none());
        drop(client);
        let refusal = identity.meet(peer).await.refusal().expect("is refused");
        assert_eq!(refusal.code(), ErrorCode::AccessDeniedException);
        assert!(identity.meet(Peer { remote: None, ..peer }).await.refusal().is_some());
        assert!(Identity::Anyone.meet(Peer { remote: None, ..peer }).await.refusal().is_none());
    }

    #[test]
    fn a_refusal_says_who_would_be_served_and_how_to_get_in() {
        let text = locals(Some(1000)).explanation(7);
        for words in [
            "uid 7 may not",
            "uid 1900000000",
            "uid 1000, who started it through sudo,",
            "usermod -aG hearth",
        ] {
            assert!(text.contains(words), "{text}");
        }
        assert!(!locals(None).explanation(7).contains("sudo"));
    }

    #[test]
    fn users_and_groups_that_do_not_exist_let_nobody_in() {
        assert!(!is_member(4_294_967_000));
    }
}
