//! Temporary credentials, minted for one environment and revoked with it.
//!
//! The function's door accepts an access key only from the environment it was minted for; the control API refuses
//! minted keys altogether. Secrets are kept by the environment alone.

use super::random;
use crate::runtimes::process::Credentials;
use hearth_sandbox::SandboxId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

const PREFIX: &str = "ASIA";
const KEY_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Keys that are valid now, and whose they are.
#[derive(Clone, Default)]
pub(crate) struct Keys {
    living: Arc<Mutex<BTreeMap<String, SandboxId>>>,
}

/// Credentials that end with this value.
pub(crate) struct Minted {
    /// What the environment gets.
    pub(crate) credentials: Credentials,
    keys: Keys,
}

impl Keys {
    /// New credentials for an environment.
    pub(crate) fn mint(&self, environment: SandboxId) -> Minted {
        let letters = |byte: &u8| char::from(KEY_ALPHABET[usize::from(byte % 32)]);
        let access_key = format!("{PREFIX}{}", random::bytes::<16>().iter().map(letters).collect::<String>());
        let credentials = Credentials {
            access_key: access_key.clone(),
            secret_key: random::base64::<30>(),
            session_token: random::base64::<96>(),
        };
        self.lock().insert(access_key, environment);
        Minted { credentials, keys: self.clone() }
    }

    /// Whose key this is, if it is a living one.
    pub(crate) fn holder(&self, access_key: &str) -> Option<SandboxId> {
        self.lock().get(access_key).copied()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, SandboxId>> {
        // A panic elsewhere cannot leave the map half-changed: every use is one call.
        self.living.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Minted {
    fn drop(&mut self) {
        self.keys.lock().remove(&self.credentials.access_key);
    }
}

/// The access key that an `Authorization` header names, if it is of AWS's signature form.
pub(crate) fn access_key(authorization: &str) -> Option<&str> {
    let (_, rest) = authorization.strip_prefix("AWS4-HMAC-SHA256")?.split_once("Credential=")?;
    rest.split(['/', ',', ' ']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_lives_as_long_as_its_environment() {
        let keys = Keys::default();
        let minted = keys.mint(SandboxId(7));
        let name = minted.credentials.access_key.clone();
        assert!(name.starts_with("ASIA") && name.len() == 20);
        assert_eq!(keys.holder(&name), Some(SandboxId(7)));
        drop(minted);
        assert_eq!(keys.holder(&name), None);
    }

    #[test]
    fn the_access_key_is_read_from_the_header() {
        let header =
            "AWS4-HMAC-SHA256 Credential=ASIAX/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host";
        assert_eq!(access_key(header), Some("ASIAX"));
        assert_eq!(access_key("Bearer x"), None);
    }
}
