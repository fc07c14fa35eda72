//! `Code.Location`: signed, expiring addresses under which a function's package can be downloaded from this daemon.
//!
//! The key is random per start, so no address outlives the daemon. It names the endpoint as the client did, who may know it
//! by a name, or by one of many addresses. Knows paths and signatures, not packages.

use crate::daemon::clock;
use hearth_sandbox::Digest;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Path prefix of downloads.
pub(crate) const PREFIX: &str = "/_hearth/code/";
/// An address is good for this long, as the service's are.
const LIFETIME_S: u64 = 600;

/// This endpoint as a client names it that sent this `Host`; none if that names nothing.
pub(crate) fn endpoint(host: &str, secure: bool) -> Option<String> {
    let authority: http::uri::Authority = host.parse().ok()?;
    let is_plain = !authority.host().is_empty() && !host.contains('@');
    let scheme = if secure { "https" } else { "http" };
    is_plain.then(|| format!("{scheme}://{host}"))
}

/// Signs and checks addresses.
pub(crate) struct Signer {
    key: [u8; 32],
}

/// Why a download is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Not an address that was ever signed here.
    Signature,
    /// Signed, but too long ago.
    Expired,
}

impl Signer {
    /// With a key of its own.
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// Path and query for one package.
    pub(crate) fn sign(&self, code: &Digest) -> String {
        let expires = clock::wall().as_millis() / 1000 + LIFETIME_S;
        let signature: String = self
            .mac(&code.hex(), expires)
            .finalize()
            .into_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        format!("{PREFIX}{}?Expires={expires}&Signature={signature}", code.hex())
    }

    /// The package that a path and query name, if they are signed and not expired.
    pub(crate) fn check(&self, path: &str, query: Option<&str>) -> Result<Digest, Refused> {
        let hex = path.strip_prefix(PREFIX).ok_or(Refused::Signature)?;
        let code = Digest::parse(hex).ok_or(Refused::Signature)?;
        let value = |name: &str| {
            query?.split('&').find_map(|pair| pair.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')))
        };
        let expires: u64 = value("Expires").and_then(|text| text.parse().ok()).ok_or(Refused::Signature)?;
        let signature = value("Signature").and_then(unhex).ok_or(Refused::Signature)?;
        // Constant time: a guesser learns nothing from how long a refusal takes.
        self.mac(&code.hex(), expires).verify_slice(&signature).map_err(|_| Refused::Signature)?;
        if clock::wall().as_millis() / 1000 > expires {
            return Err(Refused::Expired);
        }
        Ok(code)
    }

    fn mac(&self, hex: &str, expires: u64) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("any key fits");
        mac.update(hex.as_bytes());
        mac.update(&expires.to_be_bytes());
        mac
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    (0..32).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_is_served() {
        let (signer, code) = (Signer::new([1; 32]), Digest([7; 32]));
        let location = signer.sign(&code);
        let (path, query) = location.split_once('?').expect("has a query");
        assert_eq!(signer.check(path, Some(query)), Ok(code));
        assert_eq!(Signer::new([2; 32]).check(path, Some(query)), Err(Refused::Signature));
        let other = path.replace("0707", "0708");
        assert_eq!(signer.check(&other, Some(query)), Err(Refused::Signature));
        let later = query.replacen("Expires=1", "Expires=2", 1);
        assert_eq!(signer.check(path, Some(&later)), Err(Refused::Signature));
        assert_eq!(signer.check(path, None), Err(Refused::Signature));
    }

    #[test]
    fn an_endpoint_is_named_as_the_client_named_it() {
        assert_eq!(endpoint("hearth.example", true).as_deref(), Some("https://hearth.example"));
        assert_eq!(endpoint("192.0.2.1:3001", false).as_deref(), Some("http://192.0.2.1:3001"));
        assert_eq!(endpoint("[::1]:3001", false).as_deref(), Some("http://[::1]:3001"));
        for wrong in
            ["", ":3001", "a b", "somebody@hearth.example", "hearth.example/x", "a?b", "a#b", "\u{e9}"]
        {
            assert_eq!(endpoint(wrong, false), None, "{wrong:?}");
        }
    }

    #[test]
    fn an_old_address_has_expired() {
        let (signer, code) = (Signer::new([1; 32]), Digest([7; 32]));
        let mac: String =
            signer.mac(&code.hex(), 1).finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
        let query = format!("Expires=1&Signature={mac}");
        assert_eq!(signer.check(&format!("{PREFIX}{}", code.hex()), Some(&query)), Err(Refused::Expired));
    }
}
