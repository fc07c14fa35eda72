//! Credentials that somebody else gives: STS for a token, the agent beside a container, the instance's metadata.
//!
//! Asks and reads, once; when to ask and what to do with a failure is decided in `credentials`.

use super::credentials::{Credentials, CredentialsError, WebIdentity};
use super::endpoint::Endpoint;
use super::http::{Outgoing, Web, WebError};
use super::xml;
use bytes::Bytes;
use hearth_api::primitives::EpochTime;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;
use std::net::IpAddr;
use std::time::Duration;

/// An answer on this machine takes this long at most, and one of STS that long.
const NEAR: Duration = Duration::from_secs(2);
const FAR: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const ANSWER_MAX: usize = 64 * 1024;
/// Of an answer that is shown.
const SHOWN: usize = 200;
/// How long a token of the metadata service is asked for, seconds.
const TOKEN_TTL: HeaderValue = HeaderValue::from_static("300");

const STS: &str = "STS (AssumeRoleWithWebIdentity)";
const AGENT: &str = "the container's credentials agent";
const METADATA: &str = "the instance metadata service";
/// Session of roles whose configuration names none.
const SESSION: &str = "hearth";

fn request(method: Method, address: &str) -> Result<http::request::Builder, CredentialsError> {
    let uri: http::Uri = address.parse().map_err(|_| CredentialsError::Address(address.to_owned()))?;
    Ok(Request::builder().method(method).uri(uri))
}

fn finished(builder: http::request::Builder, body: String) -> Result<Outgoing, CredentialsError> {
    builder.body(Full::new(Bytes::from(body))).map_err(|error| CredentialsError::Address(error.to_string()))
}

fn refused(asked: &'static str, answer: &Response<Bytes>, said: Option<String>) -> CredentialsError {
    let body = String::from_utf8_lossy(answer.body());
    let said = said.unwrap_or_else(|| body.chars().take(SHOWN).collect());
    CredentialsError::Refused { asked, answer: format!("{}: {}", answer.status(), said.trim()) }
}

/// Exchanges a token for the role's temporary keys.
pub(super) async fn assume_role(
    web: &Web,
    sts: &Endpoint,
    identity: &WebIdentity,
    token: &str,
) -> Result<Credentials, CredentialsError> {
    let encoded = |text: &str| utf8_percent_encode(text, super::RESERVED).to_string();
    let form = format!(
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn={}&RoleSessionName={}&WebIdentityToken={}",
        encoded(&identity.role),
        encoded(identity.session.as_deref().unwrap_or(SESSION)),
        encoded(token)
    );
    let builder = request(Method::POST, &format!("{sts}/"))?
        .header("Content-Type", "application/x-www-form-urlencoded");
    let sent = web.ask(finished(builder, form)?, FAR, ANSWER_MAX).await;
    let answer = sent.map_err(|error| CredentialsError::Unreachable { asked: STS, error })?;
    let document = String::from_utf8_lossy(answer.body()).into_owned();
    let element = |name: &str| xml::text(&document, name).filter(|text| !text.is_empty());
    let keys = (element("AccessKeyId"), element("SecretAccessKey"), element("SessionToken"));
    match (answer.status(), keys) {
        (StatusCode::OK, (Some(access_key), Some(secret_key), session_token)) => Ok(Credentials {
            access_key,
            secret_key,
            session_token,
            expires_ms: moment(element("Expiration").as_deref()),
        }),
        _ => {
            let said = element("Code").zip(element("Message")).map(|(code, text)| format!("{code}: {text}"));
            Err(refused(STS, &answer, said))
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<String>,
}

fn given(asked: &'static str, answer: &Response<Bytes>) -> Result<Credentials, CredentialsError> {
    match serde_json::from_slice::<Given>(answer.body()) {
        Ok(given) if answer.status() == StatusCode::OK => Ok(Credentials {
            access_key: given.access_key_id,
            secret_key: given.secret_access_key,
            session_token: given.token,
            expires_ms: moment(given.expiration.as_deref()),
        }),
        // The body may hold a secret all the same.
        Ok(_) => Err(refused(asked, answer, Some("credentials with this status".to_owned()))),
        Err(_) if answer.status() == StatusCode::OK => {
            Err(refused(asked, answer, Some("something that is no set of credentials".to_owned())))
        }
        Err(_) => Err(refused(asked, answer, None)),
    }
}

fn moment(text: Option<&str>) -> Option<u64> {
    text.and_then(EpochTime::parse).and_then(|time| u64::try_from(time.ms).ok())
}

/// Whether credentials may be fetched from an address: by TLS, from this machine, or where container services put
/// their agents. Anything else would show them to the network.
pub(super) fn may_give_credentials(address: &str) -> bool {
    let Ok(uri) = address.parse::<http::Uri>() else { return false };
    let host = uri.host().unwrap_or_default();
    let agents = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => {
            host == "localhost"
                || agents.contains(&host)
                || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        _ => false,
    }
}

/// What the agent beside this container gives.
pub(super) async fn container(
    web: &Web,
    address: &str,
    authorization: Option<&str>,
) -> Result<Credentials, CredentialsError> {
    let mut builder = request(Method::GET, address)?;
    if let Some(authorization) = authorization {
        builder = builder.header("Authorization", authorization);
    }
    let sent = web.ask(finished(builder, String::new())?, NEAR, ANSWER_MAX).await;
    given(AGENT, &sent.map_err(|error| CredentialsError::Unreachable { asked: AGENT, error })?)
}

/// What the metadata service gives this instance (its second version, with a token); none where there is no such
/// service, or no role.
pub(super) async fn instance(web: &Web, service: &Endpoint) -> Result<Option<Credentials>, CredentialsError> {
    let unreachable = |error: WebError| CredentialsError::Unreachable { asked: METADATA, error };
    let asked = request(Method::PUT, &format!("{service}/latest/api/token"))?
        .header("x-aws-ec2-metadata-token-ttl-seconds", TOKEN_TTL);
    // Most machines are no instances: silence is an answer, too.
    let token = match web.ask(finished(asked, String::new())?, NEAR, ANSWER_MAX).await {
        Ok(answer) if answer.status() == StatusCode::OK => answer,
        Ok(_) | Err(_) => return Ok(None),
    };
    let token = HeaderValue::from_bytes(token.body()).map_err(|_| refused(METADATA, &token, None))?;
    let place = format!("{service}/latest/meta-data/iam/security-credentials/");
    let ask = async |address: &str| {
        let builder = request(Method::GET, address)?.header("x-aws-ec2-metadata-token", token.clone());
        web.ask(finished(builder, String::new())?, NEAR, ANSWER_MAX).await.map_err(unreachable)
    };
    let roles = ask(&place).await?;
    let text = String::from_utf8_lossy(roles.body()).into_owned();
    let role = text.lines().next().map(str::trim).filter(|role| !role.is_empty());
    match (roles.status(), role) {
        (StatusCode::OK, Some(role)) => {
            let encoded = utf8_percent_encode(role, super::RESERVED);
            given(METADATA, &ask(&format!("{place}{encoded}")).await?).map(Some)
        }
        (StatusCode::OK, None) | (StatusCode::NOT_FOUND, _) => Ok(None),
        _ => Err(refused(METADATA, &roles, None)),
    }
}
