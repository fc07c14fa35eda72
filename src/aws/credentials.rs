//! Finds the daemon's own credentials, in the order that AWS's SDKs have, and keeps them fresh.
//!
//! Variables, then the profile, then a web identity, then the container's, then the instance's. The first source that
//! is configured counts: one that is and fails is an error, not a reason to become somebody else. Credentials that
//! expire are renewed before they do; while a renewal fails, the old ones serve as long as they are good.

use super::endpoint::Endpoint;
use super::http::{Web, WebError};
use super::profile::Profile;
use super::remote;
use super::surroundings::Surroundings;
use crate::daemon::clock;
use std::fmt;
use std::path::{Path, PathBuf};
use tokio::sync::Mutex;

/// Credentials are renewed when less than this is left of them, milliseconds.
const RENEW_BEFORE_MS: u64 = 300_000;
/// After a renewal failed, or nothing was found, nobody is asked again for this long, milliseconds.
const RETRY_AFTER_MS: u64 = 30_000;
/// Credentials without an end are looked up again after this long, so that changed files are seen, milliseconds.
const LOOK_AGAIN_MS: u64 = 60_000;

/// Keys to sign with.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// Public part.
    pub(crate) access_key: String,
    /// Secret part.
    pub(crate) secret_key: String,
    /// Goes with temporary keys.
    pub(crate) session_token: Option<String>,
    /// Milliseconds since the epoch; none if they have no end.
    pub(crate) expires_ms: Option<u64>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, expires {:?})", self.access_key, self.expires_ms)
    }
}

/// Why there are no credentials although a source of them is configured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialsError {
    /// The profile that `AWS_PROFILE` names is nowhere.
    #[error("AWS_PROFILE is {0:?}, and there is no such profile")]
    NoProfile(String),
    /// It uses something that is not built.
    #[error(
        "the AWS profile {profile:?} uses {way}, which hearth does not support: give keys, or role_arn with web_identity_token_file"
    )]
    Foreign {
        /// Which.
        profile: String,
        /// The setting.
        way: &'static str,
    },
    /// One of two values is missing.
    #[error("{0}")]
    Incomplete(&'static str),
    /// A file that must be readable is not.
    #[error("cannot read {} (the daemon runs as a user of its own; what root alone can read is read at the start only)", .0.display())]
    File(PathBuf),
    /// An address that must not be asked.
    #[error(
        "{0}: credentials are fetched from https addresses, this machine, and the containers' own addresses only"
    )]
    Address(String),
    /// Nobody answered.
    #[error("{asked} cannot be reached: {error}")]
    Unreachable {
        /// Who was asked.
        asked: &'static str,
        /// What came of it.
        error: WebError,
    },
    /// An answer of another kind.
    #[error("{asked} answered {answer}")]
    Refused {
        /// Who was asked.
        asked: &'static str,
        /// Status, and the text of an error.
        answer: String,
    },
}

/// A role that is assumed with a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WebIdentity {
    pub(super) role: String,
    pub(super) session: Option<String>,
    pub(super) token: PathBuf,
}

/// What was found last.
#[derive(Default)]
struct Found {
    credentials: Option<Credentials>,
    /// Milliseconds since the epoch; nobody is asked before.
    look_at_ms: u64,
}

/// The sources, and what they gave.
pub(crate) struct Chain {
    surroundings: Surroundings,
    web: Web,
    sts: Endpoint,
    found: Mutex<Found>,
}

impl Chain {
    /// Over what was gathered; `sts` is asked for roles.
    pub(crate) fn new(mut surroundings: Surroundings, web: Web, sts: Endpoint) -> Self {
        if let Ok(Some(Source::WebIdentity(identity))) = source(&surroundings) {
            surroundings.keep(&identity.token);
        }
        Self { surroundings, web, sts, found: Mutex::default() }
    }

    /// Credentials that are good now; none if no source is configured, which means: do not sign. Requests that come
    /// while somebody is asked wait for the answer.
    pub(crate) async fn current(&self) -> Result<Option<Credentials>, CredentialsError> {
        let mut found = self.found.lock().await;
        let now = clock::wall().as_millis();
        if now < found.look_at_ms {
            return Ok(found.credentials.clone());
        }
        match self.look().await {
            Ok(credentials) => {
                let again = match credentials.as_ref().map(|it| it.expires_ms) {
                    Some(Some(end)) => end.saturating_sub(RENEW_BEFORE_MS).max(now + 1_000),
                    Some(None) => now + LOOK_AGAIN_MS,
                    None => now + RETRY_AFTER_MS,
                };
                *found = Found { credentials, look_at_ms: again };
            }
            Err(error) => {
                let good = |it: &Credentials| it.expires_ms.is_some_and(|end| now < end);
                if !found.credentials.as_ref().is_some_and(good) {
                    return Err(error);
                }
                tracing::warn!(%error, "credentials could not be renewed; the old ones are good for a while");
                found.look_at_ms = now + RETRY_AFTER_MS;
            }
        }
        Ok(found.credentials.clone())
    }

    /// These were refused as expired: the next request gets others.
    pub(crate) async fn forget(&self) {
        *self.found.lock().await = Found::default();
    }

    async fn look(&self) -> Result<Option<Credentials>, CredentialsError> {
        let (around, web) = (&self.surroundings, &self.web);
        Ok(match source(around)? {
            Some(Source::Keys(credentials)) => Some(credentials),
            Some(Source::WebIdentity(identity)) => {
                let bytes = around
                    .file(&identity.token)
                    .ok_or_else(|| CredentialsError::File(identity.token.clone()))?;
                let token = String::from_utf8_lossy(&bytes).trim().to_owned();
                Some(remote::assume_role(web, &self.sts, &identity, &token).await?)
            }
            Some(Source::Container { address, authorization }) => {
                Some(remote::container(web, &address, authorization.as_deref()).await?)
            }
            Some(Source::Instance { address }) => remote::instance(web, &address).await?,
            None => None,
        })
    }
}

/// Keys that variables or a profile hold, for a client that asks nobody; none where that is not how it is set up.
pub(crate) fn at_hand(around: &Surroundings) -> Option<Credentials> {
    match source(around) {
        Ok(Some(Source::Keys(credentials))) => Some(credentials),
        Ok(Some(Source::WebIdentity(_) | Source::Container { .. } | Source::Instance { .. }) | None)
        | Err(_) => None,
    }
}

/// Where credentials are to be had.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Here.
    Keys(Credentials),
    /// STS.
    WebIdentity(WebIdentity),
    /// An agent beside this container.
    Container { address: String, authorization: Option<String> },
    /// The metadata service of this instance, if there is one.
    Instance { address: Endpoint },
}

const METADATA: &str = "http://169.254.169.254";
const CONTAINERS: &str = "http://169.254.170.2";
const HALF_A_PAIR: &str = "one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set, and the other is not";
const HALF_A_PROFILE: &str =
    "the AWS profile has one of aws_access_key_id and aws_secret_access_key, and not the other";
const NO_ROLE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not";

/// The first source that is configured.
pub(super) fn source(around: &Surroundings) -> Result<Option<Source>, CredentialsError> {
    if let Some(keys) = keys(
        |name| around.variable(name),
        ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"],
        HALF_A_PAIR,
    )? {
        return Ok(Some(Source::Keys(keys)));
    }
    if let Some(found) = of_profile(around)? {
        return Ok(Some(found));
    }
    if let Some(token) = around.variable("AWS_WEB_IDENTITY_TOKEN_FILE") {
        let role = around.variable("AWS_ROLE_ARN").ok_or(CredentialsError::Incomplete(NO_ROLE))?.to_owned();
        let session = around.variable("AWS_ROLE_SESSION_NAME").map(str::to_owned);
        return Ok(Some(Source::WebIdentity(WebIdentity { role, session, token: token.into() })));
    }
    if let Some(container) = of_container(around)? {
        return Ok(Some(container));
    }
    if around.claims("AWS_EC2_METADATA_DISABLED") {
        return Ok(None);
    }
    let address = around.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or(METADATA);
    let address = Endpoint::parse(address).ok_or_else(|| CredentialsError::Address(address.to_owned()))?;
    Ok(Some(Source::Instance { address }))
}

fn keys<'a>(
    value: impl Fn(&str) -> Option<&'a str>,
    [access, secret, token]: [&str; 3],
    half: &'static str,
) -> Result<Option<Credentials>, CredentialsError> {
    match (value(access), value(secret)) {
        (Some(access), Some(secret)) => Ok(Some(Credentials {
            access_key: access.to_owned(),
            secret_key: secret.to_owned(),
            session_token: value(token).map(str::to_owned),
            expires_ms: None,
        })),
        (None, None) => Ok(None),
        (Some(_), None) | (None, Some(_)) => Err(CredentialsError::Incomplete(half)),
    }
}

fn of_profile(around: &Surroundings) -> Result<Option<Source>, CredentialsError> {
    let named = around.variable("AWS_PROFILE");
    let text = |path: Option<PathBuf>| {
        let bytes = path.and_then(|path| around.file(&path)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (own, general) = (text(around.shared_credentials()), text(around.shared_config()));
    let name = named.unwrap_or("default");
    let Some(profile) = Profile::read(name, &own, &general) else {
        return match named {
            Some(name) => Err(CredentialsError::NoProfile(name.to_owned())),
            None => Ok(None),
        };
    };
    let setting = |name: &str| profile.setting(name);
    if let (Some(role), Some(token)) = (setting("role_arn"), setting("web_identity_token_file")) {
        let session = setting("role_session_name").map(str::to_owned);
        let identity = WebIdentity { role: role.to_owned(), session, token: Path::new(token).into() };
        return Ok(Some(Source::WebIdentity(identity)));
    }
    if let Some(way) = profile.foreign() {
        return Err(CredentialsError::Foreign { profile: name.to_owned(), way });
    }
    let names = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"];
    Ok(keys(setting, names, HALF_A_PROFILE)?.map(Source::Keys))
}

fn of_container(around: &Surroundings) -> Result<Option<Source>, CredentialsError> {
    let relative =
        around.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").map(|path| format!("{CONTAINERS}{path}"));
    let full = around.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").map(str::to_owned);
    let Some(address) = relative.or(full) else { return Ok(None) };
    if !remote::may_give_credentials(&address) {
        return Err(CredentialsError::Address(address));
    }
    let authorization = match around.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(path) => {
            let bytes = around.file(Path::new(path)).ok_or_else(|| CredentialsError::File(path.into()))?;
            Some(String::from_utf8_lossy(&bytes).trim().to_owned())
        }
        None => around.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(str::to_owned),
    };
    Ok(Some(Source::Container { address, authorization }))
}
