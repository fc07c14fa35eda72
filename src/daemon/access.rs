//! What decides who reaches the control API and how: keys and certificates, read while the daemon may read everything,
//! and the rule of `auth`, made once the daemon is who it stays.
//!
//! Deliberately not here: the rule itself (`http/identity.rs`) and the listeners (`serve.rs`).

use super::clock;
use super::credentials::Keys;
use super::keyring::{KeyringError, Ring};
use crate::config::{Auth, Certificate, Config};
use crate::http::identity::{Identity, Locals};
use crate::http::peer::Peers;
use crate::http::server::Listener;
use crate::http::signed::Verifier;
use crate::http::tls::{Tls, TlsError};
use crate::store::Layout;
use hearth_api::arn::Home;
use std::io;

/// Read with privileges.
pub(crate) struct Access {
    /// Encryption of the control API, if it is encrypted.
    tls: Option<Tls>,
    rule: Rule,
}

enum Rule {
    Anyone,
    Local { service: u32, starter: Option<u32> },
    Signed(Ring),
}

/// Why a daemon with this configuration cannot know who speaks to it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    /// The keys cannot be used.
    #[error("auth = \"sigv4\" needs keys (`auth_keys`; `hearth keys new` makes one): {0}")]
    Keys(#[source] KeyringError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The kernel does not say whose a socket is.
    #[error(
        "auth = \"local\" asks the kernel whose a connection is, and it does not answer ({0}): it may lack inet_diag and \
         tcp_diag (modprobe tcp_diag). Use auth = \"sigv4\", or \"none\" if every user of this machine may run code here."
    )]
    Peers(#[source] io::Error),
}

impl Access {
    /// Reads keys and certificates; makes a certificate if one is to be made. `service` is the uid that the daemon will
    /// run as, `sudo_uid` the value of the variable that sudo leaves behind.
    pub(crate) fn open(
        config: &Config,
        layout: &Layout,
        service: u32,
        sudo_uid: Option<String>,
    ) -> Result<Self, AccessError> {
        let tls = match &config.tls {
            None => None,
            Some(Certificate::Files { cert, key }) => Some(Tls::from_files(cert, key)?),
            Some(Certificate::SelfSigned { names }) => {
                Some(Tls::self_signed(&layout.tls(), names, clock::since_epoch())?)
            }
        };
        let rule = match config.auth {
            Auth::None => Rule::Anyone,
            Auth::Local => Rule::Local { service, starter: sudo_uid.and_then(|uid| uid.parse().ok()) },
            Auth::Sigv4 => {
                let home = Home::new(config.region.clone(), config.account_id.clone());
                Rule::Signed(Ring::open(&config.auth_keys, home).map_err(AccessError::Keys)?)
            }
        };
        let access = Self { tls, rule };
        access.tell(config);
        Ok(access)
    }

    /// What the operator should know of the choice.
    fn tell(&self, config: &Config) {
        if let Some(Tls { fingerprint, authority, .. }) = &self.tls {
            let authority = authority.as_ref().map(|path| path.display().to_string());
            tracing::info!(sha256 = %fingerprint, ca = authority, "TLS");
        }
        let listen = config.listen;
        match &self.rule {
            Rule::Anyone => {
                tracing::warn!(%listen, "auth = \"none\": whoever reaches this address controls every function");
            }
            Rule::Local { .. } => {}
            Rule::Signed(ring) => {
                tracing::info!(keys = ring.now().len(), file = %config.auth_keys.display(), "auth = \"sigv4\"");
                if self.tls.is_none() && !listen.ip().is_loopback() {
                    tracing::warn!(%listen, "requests are signed, but not encrypted: code and payloads can be read on the way (see `tls`)");
                }
            }
        }
    }

    /// The keys that requests may be signed with, where they must be signed.
    pub(crate) fn ring(&self) -> Option<Ring> {
        match &self.rule {
            Rule::Anyone | Rule::Local { .. } => None,
            Rule::Signed(ring) => Some(ring.clone()),
        }
    }

    /// The rule of this daemon, made when it has given its privileges up: asking the kernel must work without them.
    pub(crate) fn identity(self, issued: &Keys) -> Result<Identity, AccessError> {
        Ok(match self.rule {
            Rule::Anyone => Identity::Anyone,
            Rule::Local { service, starter } => {
                let peers = Peers::open().map_err(AccessError::Peers)?;
                Identity::Local(Locals::new(peers, service, starter).into())
            }
            Rule::Signed(ring) => Identity::Signed(Verifier::new(ring, issued.clone())),
        })
    }

    /// `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// SHA-256 of the certificate.
    pub(crate) fn fingerprint(&self) -> Option<String> {
        self.tls.as_ref().map(|tls| tls.fingerprint.clone())
    }

    /// The control API's listener, encrypted if it is to be.
    pub(crate) fn listener(&self, listener: tokio::net::TcpListener) -> Listener {
        match &self.tls {
            Some(tls) => Listener::Tls(listener, tls.acceptor.clone()),
            None => Listener::Tcp(listener),
        }
    }
}
