//! `auth = "sigv4"`: proves who a request is from.
//!
//! In two steps around the reading of the body: what its head alone can refuse is refused before anything is read, and
//! where the head says the payload's hash, the signature itself is. A body is hashed once and never copied, but for one
//! in chunks. Keys are those of `keys.toml` and the ones that living environments hold. Deliberately not here: what a caller
//! may do (`authorise.rs`).

use super::authorise::{Caller, Origin};
use super::server::{BodyError, Intake};
use crate::daemon::clock;
use crate::daemon::credentials::Keys;
use crate::daemon::keyring::{self, KeyringError, Ring};
use bytes::Bytes;
use hearth_api::chunked;
use hearth_api::claim::{Claim, Payload, check_payload};
use hearth_api::error::{ApiError, ErrorCode};
use hearth_api::primitives::EpochTime;
use hearth_api::sigv4::{Head, UNSIGNED_PAYLOAD, payload_hash};
use hmac::{Hmac, Mac as _};
use http::request::Parts;
use sha2::Sha256;

/// Larger payloads are hashed on a thread for slow work.
const HASHED_AT_ONCE: usize = 256 * 1024;
/// Where a service says for whom it asks; signed like all headers of this kind.
const SOURCE_ARN: &str = "x-amz-source-arn";
const SOURCE_ACCOUNT: &str = "x-amz-source-account";
const EVENT_SOURCE_TOKEN: &str = "x-amz-event-source-token";
const INVALID_TOKEN: &str = "The security token included in the request is invalid.";

/// Verifies the requests of one daemon.
pub(crate) struct Verifier {
    ring: Ring,
    issued: Keys,
}

/// A key, wherever it came from.
struct Holder {
    secret: String,
    token: Option<String>,
    caller: Caller,
}

impl Verifier {
    /// With these keys, and those that are issued to environments.
    pub(crate) fn new(ring: Ring, issued: Keys) -> Self {
        Self { ring, issued }
    }

    /// Reads the file again; the old keys stay if it cannot be used. Gives the number of keys.
    pub(crate) fn reload(&self) -> Result<usize, KeyringError> {
        self.ring.reload()
    }

    /// Who signed a request for a service, with its payload. `limit` bounds the payload in bytes; `refusal` says to the client why it was not read.
    pub(crate) async fn prove(
        &self,
        (service, parts): (&str, &Parts),
        body: Intake,
        limit: usize,
        refusal: impl Fn(BodyError) -> ApiError,
    ) -> Result<(Caller, Bytes), ApiError> {
        let headers: Vec<(&str, &[u8])> =
            parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let head = Head {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            headers: &headers,
        };
        let claim = Claim::read(&head)?;
        claim.check_scope(&self.ring.home().region, &[service])?;
        claim.check_time(now())?;
        let Holder { secret, token, caller } = self.holder(&claim, parts)?;
        check_token(token.as_deref(), claim.session_token.as_deref())?;
        match claim.payload(&head) {
            Payload::Hash(said) => {
                claim.verify(&head, &secret, &said)?;
                let body = body.read(limit).await.map_err(refusal)?;
                check_payload(&said, &hash(&body).await?)?;
                Ok((caller, body))
            }
            Payload::Unsigned => {
                claim.verify(&head, &secret, UNSIGNED_PAYLOAD)?;
                Ok((caller, body.read(limit).await.map_err(refusal)?))
            }
            Payload::Unsaid => {
                let body = body.read(limit).await.map_err(refusal)?;
                claim.verify(&head, &secret, &hash(&body).await?)?;
                Ok((caller, body))
            }
            Payload::Chunked(word) => {
                let proven = claim.verify(&head, &secret, &word)?;
                // Sizes and signatures of chunks add a hundredth, or more where chunks are small.
                let body = body.read(limit + limit / 8 + 4096).await.map_err(&refusal)?;
                let payload = chunked::decode(&word, &body, &proven, &head)?;
                if payload.len() > limit {
                    return Err(refusal(BodyError::TooLarge));
                }
                Ok((caller, payload.into()))
            }
        }
    }

    /// Whose key a claim names. What a service says of itself counts only once the claim is verified: it refuses
    /// headers of the kind `x-amz-` that are not signed.
    fn holder(&self, claim: &Claim, parts: &Parts) -> Result<Holder, ApiError> {
        let ring = self.ring.now();
        if let Some(key) = ring.key(&claim.access_key) {
            let caller = match &key.holder {
                keyring::Holder::Identity { arn, policy } => Caller::holder(arn.clone(), policy.clone()),
                keyring::Holder::Service(name) => Caller::service(name.clone(), origin(parts)),
            };
            return Ok(Holder { secret: key.secret.clone(), token: None, caller });
        }
        let Some(issued) = self.issued.find(&claim.access_key) else {
            return Err(ApiError::new(ErrorCode::UnrecognizedClientException, INVALID_TOKEN));
        };
        if issued.expires <= clock::wall() {
            let text = "The security token included in the request is expired";
            return Err(ApiError::new(ErrorCode::ExpiredTokenException, text));
        }
        let caller = Caller::function(issued.session_arn(), issued.role.clone(), ring.role(&issued.role));
        Ok(Holder { secret: issued.secret.clone(), token: Some(issued.token.clone()), caller })
    }
}

fn origin(parts: &Parts) -> Origin {
    let said = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Origin { arn: said(SOURCE_ARN), account: said(SOURCE_ACCOUNT), token: said(EVENT_SOURCE_TOKEN) }
}

fn now() -> EpochTime {
    EpochTime::from_ms(i64::try_from(clock::wall().as_millis()).unwrap_or(i64::MAX))
}

async fn hash(body: &Bytes) -> Result<String, ApiError> {
    if body.len() < HASHED_AT_ONCE {
        return Ok(payload_hash(body));
    }
    let body = body.clone();
    let hashed = tokio::task::spawn_blocking(move || payload_hash(&body)).await;
    hashed.map_err(|error| ApiError::internal(&crate::daemon::random::uuid(), error.to_string()))
}

/// A temporary key goes with its token, a lasting one with none. Both sides are hashed under a key of this moment, so
/// that the time of the comparison tells nothing.
fn check_token(wanted: Option<&str>, given: Option<&str>) -> Result<(), ApiError> {
    let is_same = match (wanted, given) {
        (None, None) => true,
        (Some(wanted), Some(given)) => {
            let mac = |text: &str| {
                #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
                let mut mac = Hmac::<Sha256>::new_from_slice(wanted.as_bytes()).expect("any key fits");
                mac.update(text.as_bytes());
                mac
            };
            mac(wanted).verify_slice(&mac(given).finalize().into_bytes()).is_ok()
        }
        (Some(_), None) | (None, Some(_)) => false,
    };
    if is_same { Ok(()) } else { Err(ApiError::new(ErrorCode::UnrecognizedClientException, INVALID_TOKEN)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::authorise::{Circumstances, Kind, authorise};
    use crate::http::identity::Identity;
    use crate::http::server::Peer;
    use hearth_api::arn::Home;
    use hearth_api::permission::Permission;
    use hearth_api::sigv4::{PathStyle, Signing};
    use hearth_sandbox::SandboxId;
    use std::os::unix::fs::OpenOptionsExt as _;

    const ID: &str = "AKIAIOSFODNN7EXAMPLE";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const ROLE: &str = "arn:aws:iam::000000000000:role/path/r";
    const F: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

    fn write(path: &std::path::Path, text: &str) {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new();
        let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(path).expect("opens");
        file.write_all(text.as_bytes()).expect("writes");
    }

    /// A verifier with one user, who may invoke `f` from 10.0.0.0/8, and the keys that environments get.
    fn verifier(name: &str) -> (Verifier, Keys) {
        let folder = std::env::temp_dir().join(format!("hearth-signed-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("makes a directory");
        let policy = format!(
            r#"{{"Statement":{{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"{F}",
                "Condition":{{"IpAddress":{{"aws:SourceIp":"10.0.0.0/8"}},"StringEquals":{{"aws:username":"ci"}}}}}}}}"#
        );
        write(&folder.join("p.json"), &policy);
        let path = folder.join("keys.toml");
        let user = "arn:aws:iam::000000000000:user/team/ci";
        write(
            &path,
            &format!(
                "[[key]]\nid = \"{ID}\"\nsecret = \"{SECRET}\"\narn = \"{user}\"\npolicy = \"p.json\"\n"
            ),
        );
        let home = Home::new("us-east-1", "000000000000");
        let issued = Keys::default();
        (Verifier::new(Ring::open(&path, home).expect("is a keyring"), issued.clone()), issued)
    }

    fn request(id: &str, secret: &str, token: Option<&str>, body: &[u8]) -> Parts {
        let headers: [(&str, &[u8]); 1] = [("host", b"localhost")];
        let path = "/2015-03-31/functions/f/invocations";
        let head = Head { method: "POST", path, query: "", headers: &headers };
        let signing = Signing {
            access_key: id,
            secret_key: secret,
            session_token: token,
            region: "us-east-1",
            service: "lambda",
            now: now(),
            style: PathStyle::Twice,
        };
        let mut request = http::Request::post(path).header("host", "localhost");
        for (name, value) in signing.sign(&head, &payload_hash(body)) {
            request = request.header(name, value);
        }
        request.body(()).expect("is a request").into_parts().0
    }

    async fn proven(verifier: &Verifier, parts: &Parts, body: &'static [u8]) -> Result<Caller, ErrorCode> {
        let refusal = |_| ApiError::new(ErrorCode::RequestEntityTooLargeException, "");
        let proven =
            verifier.prove(("lambda", parts), Intake::Here(Bytes::from_static(body)), 1024, refusal).await;
        proven.map(|(caller, _)| caller).map_err(|error| error.code())
    }

    async fn allowed(caller: &Caller, action: &str, source: &str) -> Result<(), ApiError> {
        let remote = Some(std::net::SocketAddr::new(source.parse().expect("is one"), 1));
        let connection = Identity::Anyone.meet(Peer { remote, local: None, tls: None }).await;
        let permission = Permission::new(action, F);
        let circumstances =
            Circumstances { region: "us-east-1", connection: &connection, agent: None, url: None };
        authorise(caller, &permission, None, &circumstances)
    }

    #[tokio::test]
    async fn a_known_key_is_proven_and_an_unknown_or_wrong_one_is_not() {
        let (verifier, _) = verifier("known");
        let good = request(ID, SECRET, None, b"{}");
        assert_eq!(
            proven(&verifier, &good, b"{}").await.expect("is proven").arn,
            "arn:aws:iam::000000000000:user/team/ci"
        );
        let invalid = ErrorCode::InvalidSignatureException;
        let unknown = ErrorCode::UnrecognizedClientException;
        assert_eq!(proven(&verifier, &good, b"[]").await.expect_err("another body"), invalid);
        assert_eq!(
            proven(&verifier, &request(ID, "other", None, b"{}"), b"{}").await.expect_err("secret"),
            invalid
        );
        let other = request("AKIAOTHEROTHEROTHER1", SECRET, None, b"{}");
        assert_eq!(proven(&verifier, &other, b"{}").await.expect_err("key"), unknown);
        let with_token = request(ID, SECRET, Some("token"), b"{}");
        assert_eq!(proven(&verifier, &with_token, b"{}").await.expect_err("a token it never had"), unknown);
    }

    #[tokio::test]
    async fn the_key_of_an_environment_is_its_functions_role_and_ends_with_it() {
        let (verifier, issued) = verifier("issued");
        let minted = issued.mint(SandboxId(7), ROLE, "f");
        let keys = &minted.credentials;
        let good = request(&keys.access_key, &keys.secret_key, Some(&keys.session_token), b"{}");
        let caller = proven(&verifier, &good, b"{}").await.expect("is proven");
        assert_eq!(caller.arn, "arn:aws:sts::000000000000:assumed-role/r/f");
        assert_eq!(caller.kind, Kind::Function);
        allowed(&caller, "lambda:InvokeFunction", "127.0.0.1").await.expect("functions may invoke functions");
        allowed(&caller, "lambda:DeleteFunction", "127.0.0.1").await.expect_err("and nothing else");
        let unknown = ErrorCode::UnrecognizedClientException;
        for token in [None, Some("other")] {
            let parts = request(&keys.access_key, &keys.secret_key, token, b"{}");
            assert_eq!(proven(&verifier, &parts, b"{}").await.expect_err("its token is missing"), unknown);
        }
        drop(minted);
        assert_eq!(proven(&verifier, &good, b"{}").await.expect_err("it is gone"), unknown);
    }

    #[tokio::test]
    async fn the_key_of_an_environment_expires_at_the_api_though_the_environment_lives() {
        let (verifier, issued) = verifier("expired");
        let now_ms = clock::wall().as_millis();
        for (expires_ms, expected) in
            [(now_ms + 3_600_000, Ok(())), (now_ms, Err(ErrorCode::ExpiredTokenException))]
        {
            let until = hearth_logic::WallTime::from_millis(expires_ms);
            let minted = issued.mint_until(until, SandboxId(7), ROLE, "f");
            let keys = &minted.credentials;
            let good = request(&keys.access_key, &keys.secret_key, Some(&keys.session_token), b"{}");
            assert_eq!(proven(&verifier, &good, b"{}").await.map(drop), expected);
            assert_eq!(issued.holder(&keys.access_key), Some(SandboxId(7)), "its own door asks for no date");
        }
    }

    #[tokio::test]
    async fn a_policy_is_asked_with_what_is_known_of_the_request() {
        let (verifier, _) = verifier("policy");
        let parts = request(ID, SECRET, None, b"");
        let caller = proven(&verifier, &parts, b"").await.expect("is proven");
        allowed(&caller, "lambda:InvokeFunction", "10.1.2.3").await.expect("is allowed");
        allowed(&caller, "lambda:InvokeFunction", "192.0.2.1").await.expect_err("from elsewhere");
        allowed(&caller, "lambda:GetFunction", "10.1.2.3").await.expect_err("something else");
    }

    #[tokio::test]
    async fn a_large_body_is_not_taken_for_the_empty_one_that_was_signed() {
        let (verifier, _) = verifier("large");
        let empty = request(ID, SECRET, None, b"");
        static LARGE: [u8; HASHED_AT_ONCE] = [b' '; HASHED_AT_ONCE];
        let refusal = |_| ApiError::new(ErrorCode::RequestEntityTooLargeException, "");
        let body = Intake::Here(Bytes::from_static(&LARGE));
        let error =
            verifier.prove(("lambda", &empty), body, LARGE.len(), refusal).await.expect_err("another body");
        assert_eq!(error.code(), ErrorCode::InvalidSignatureException);
        let right = request(ID, SECRET, None, &LARGE);
        let body = Intake::Here(Bytes::from_static(&LARGE));
        verifier.prove(("lambda", &right), body, LARGE.len(), refusal).await.expect("its own body");
    }

    #[tokio::test]
    async fn reloaded_keys_replace_the_old_ones_and_broken_ones_do_not() {
        let (verifier, _) = verifier("reload");
        let good = request(ID, SECRET, None, b"");
        write(verifier.ring.path(), "nonsense");
        assert!(verifier.reload().is_err());
        assert!(proven(&verifier, &good, b"").await.is_ok(), "the old keys stay");
        write(verifier.ring.path(), "");
        assert_eq!(verifier.reload().expect("is a keyring"), 0);
        assert!(proven(&verifier, &good, b"").await.is_err());
    }
}
