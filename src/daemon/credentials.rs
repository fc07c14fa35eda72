//! Temporary credentials, minted for one environment and revoked with it.
//!
//! The function's door accepts an access key only from the environment it was minted for. The control API takes
//! requests that are signed with them where it takes signatures at all, for some hours, as the function's role.

use super::{clock, random};
use crate::runtimes::process::Credentials;
use hearth_logic::WallTime;
use hearth_sandbox::SandboxId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

const PREFIX: &str = "ASIA";
const KEY_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// How long the control API takes a key, milliseconds: as long as Lambda's own are good.
const LIFETIME_MS: u64 = 12 * 3_600_000;

/// Keys that are valid now, and whose they are.
#[derive(Clone, Default)]
pub(crate) struct Keys {
    living: Arc<Mutex<BTreeMap<String, Arc<Issued>>>>,
}

/// Credentials as the daemon knows them.
pub(crate) struct Issued {
    environment: SandboxId,
    /// Secret half.
    pub(crate) secret: String,
    /// Session token.
    pub(crate) token: String,
    /// ARN of the function's role.
    pub(crate) role: String,
    /// Name of the function.
    function: String,
    /// The end of their use at the control API.
    pub(crate) expires: WallTime,
}

impl Issued {
    /// `arn:aws:sts::ACCOUNT:assumed-role/ROLE/FUNCTION`.
    pub(crate) fn session_arn(&self) -> String {
        session_arn(&self.role, &self.function)
    }
}

/// The name of a function that acts as its role: `arn:aws:sts::ACCOUNT:assumed-role/ROLE/FUNCTION`.
pub(crate) fn session_arn(role: &str, function: &str) -> String {
    let parts: Vec<&str> = role.splitn(6, ':').collect();
    let (partition, account) = (parts.get(1).unwrap_or(&"aws"), parts.get(4).unwrap_or(&""));
    let role = role.rsplit('/').next().unwrap_or_default();
    format!("arn:{partition}:sts::{account}:assumed-role/{role}/{function}")
}

/// Credentials that end with this value.
pub(crate) struct Minted {
    /// What the environment gets.
    pub(crate) credentials: Credentials,
    keys: Keys,
}

impl Keys {
    /// New credentials for an environment of a function with a role.
    pub(crate) fn mint(&self, environment: SandboxId, role: &str, function: &str) -> Minted {
        let expires = WallTime::from_millis(clock::wall().as_millis() + LIFETIME_MS);
        self.mint_until(expires, environment, role, function)
    }

    /// The same with another end of their use at the control API.
    pub(crate) fn mint_until(
        &self,
        expires: WallTime,
        environment: SandboxId,
        role: &str,
        function: &str,
    ) -> Minted {
        let letters = |byte: &u8| char::from(KEY_ALPHABET[usize::from(byte % 32)]);
        let access_key = format!("{PREFIX}{}", random::bytes::<16>().iter().map(letters).collect::<String>());
        let credentials = Credentials {
            access_key: access_key.clone(),
            secret_key: random::base64::<30>(),
            session_token: random::base64::<96>(),
        };
        let issued = Issued {
            environment,
            secret: credentials.secret_key.clone(),
            token: credentials.session_token.clone(),
            role: role.to_owned(),
            function: function.to_owned(),
            expires,
        };
        self.lock().insert(access_key, Arc::new(issued));
        Minted { credentials, keys: self.clone() }
    }

    /// Whose key this is, if it is a living one.
    pub(crate) fn holder(&self, access_key: &str) -> Option<SandboxId> {
        self.lock().get(access_key).map(|issued| issued.environment)
    }

    /// All about a living key.
    pub(crate) fn find(&self, access_key: &str) -> Option<Arc<Issued>> {
        self.lock().get(access_key).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Issued>>> {
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
        let minted = keys.mint(SandboxId(7), "arn:aws:iam::000000000000:role/path/r", "f");
        let name = minted.credentials.access_key.clone();
        assert!(name.starts_with("ASIA") && name.len() == 20);
        assert_eq!(keys.holder(&name), Some(SandboxId(7)));
        let issued = keys.find(&name).expect("lives");
        assert_eq!(issued.session_arn(), "arn:aws:sts::000000000000:assumed-role/r/f");
        assert_eq!(
            (&issued.secret, &issued.token),
            (&minted.credentials.secret_key, &minted.credentials.session_token)
        );
        let left_ms = issued.expires.as_millis() - clock::wall().as_millis();
        assert!(left_ms <= LIFETIME_MS && left_ms > LIFETIME_MS - 3_600_000, "{left_ms}");
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
