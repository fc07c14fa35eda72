//! What a request says about its own signature, and whether it is true.
//!
//! The verifying half of `sigv4.rs`, in the order in which the service refuses: form, scope, time, then (with the secret,
//! which the caller looks up by [`Claim::access_key`]) the signature itself. Every refusal is an [`ApiError`] in the
//! service's own words. Deliberately absent: keys, policies, a clock.

use crate::error::{ApiError, ErrorCode};
use crate::primitives::{EpochTime, encode_base64};
use crate::sigv4::{
    ALGORITHM, Head, PRESIGNED_MAX_S, PathStyle, Scope, SigningKey, TERMINATOR, UNSIGNED_PAYLOAD, basic_date,
    canonical_request, parse_basic_date, string_to_sign,
};
use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};

/// How far a client's clock may be off, milliseconds.
const SKEW_MS: i64 = 300_000;
/// A longer canonical form is not repeated in the refusal.
const REPEATED_MAX: usize = 16 * 1024;

/// What a request claims: who signed it, when, for what, and over which headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Public half of the key.
    pub access_key: String,
    /// Goes with temporary keys.
    pub session_token: Option<String>,
    /// When it was signed, as text and as moment.
    pub date: String,
    at: EpochTime,
    day: String,
    region: String,
    service: String,
    signed: Vec<String>,
    signature: String,
    /// Seconds that a presigned address is good for; none for a signed request.
    expires_s: Option<u64>,
}

/// What the payload must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Its hash is part of what is signed, but the request does not say it.
    Unsaid,
    /// It must have this hash, in hexadecimal digits.
    Hash(String),
    /// Anything: its hash is not part of what is signed.
    Unsigned,
    /// It comes in chunks, in the form that this word names.
    Chunked(String),
}

/// A signature that was found good.
#[derive(Clone, Debug)]
pub struct Proven {
    /// The key, for what else it signs.
    pub key: SigningKey,
    /// The signature itself, which a first chunk continues.
    pub signature: String,
    /// Date and scope, as strings to sign have them.
    pub date_and_scope: String,
}

fn missing() -> ApiError {
    ApiError::new(ErrorCode::MissingAuthenticationTokenException, "Missing Authentication Token")
}

fn incomplete(text: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::IncompleteSignatureException, text)
}

fn invalid(text: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::InvalidSignatureException, text)
}

/// A value of a query, decoded; none if it is missing, given twice or not text.
fn parameter(query: &str, name: &str) -> Option<String> {
    let mut values = query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(key, _)| *key == name);
    let (_, value) = values.next()?;
    if values.next().is_some() {
        return None;
    }
    percent_decode_str(value).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

impl Claim {
    /// Reads the claim of a request, from its `Authorization` header or, without one, from its query.
    ///
    /// # Errors
    /// `MissingAuthenticationTokenException` where there is none, `IncompleteSignatureException` where it lacks a part.
    pub fn read(head: &Head<'_>) -> Result<Self, ApiError> {
        let claim = if head.headers.iter().any(|(name, _)| *name == "authorization") {
            Self::from_header(head)
        } else if parameter(head.query, "X-Amz-Algorithm").is_some() {
            Self::from_query(head)
        } else {
            Err(missing())
        }?;
        claim.check_headers(head)?;
        Ok(claim)
    }

    fn from_header(head: &Head<'_>) -> Result<Self, ApiError> {
        let header = head
            .header("authorization")
            .ok_or_else(|| incomplete("There must be one Authorization header."))?;
        let (algorithm, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if algorithm != ALGORITHM {
            return Err(match algorithm.starts_with("AWS4-") {
                true => incomplete(format!("Unsupported AWS 'algorithm': '{algorithm}'.")),
                false => missing(),
            });
        }
        let hashed = encode_base64(&Sha256::digest(header.as_bytes()));
        let hashed = format!("(Hashed with SHA-256 and encoded with Base64) Authorization={hashed}");
        let (mut credential, mut signed, mut signature) = (None, None, None);
        for pair in rest.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let Some((name, value)) = pair.split_once('=') else {
                return Err(incomplete(format!(
                    "'{pair}' not a valid key=value pair (missing equal-sign) in Authorization header {hashed}."
                )));
            };
            match name {
                "Credential" => credential = Some(value),
                "SignedHeaders" => signed = Some(value),
                "Signature" => signature = Some(value),
                _ => {}
            }
        }
        let date = head.header("x-amz-date").or_else(|| head.header("date"));
        let (Some(credential), Some(signed), Some(signature), Some(date)) =
            (credential, signed, signature, date)
        else {
            let lacks = |part: Option<&str>, text: &str| {
                if part.is_none() { format!("{text} ") } else { String::new() }
            };
            return Err(incomplete(format!(
                "{}{}{}{}{hashed}",
                lacks(credential, "Authorization header requires 'Credential' parameter."),
                lacks(signature, "Authorization header requires 'Signature' parameter."),
                lacks(signed, "Authorization header requires 'SignedHeaders' parameter."),
                lacks(
                    date,
                    "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
                ),
            )));
        };
        let token = head.header("x-amz-security-token").map(str::to_owned);
        Self::assemble(credential, date, signed, signature, token)
    }

    fn from_query(head: &Head<'_>) -> Result<Self, ApiError> {
        let value = |name: &str| {
            parameter(head.query, name)
                .ok_or_else(|| incomplete(format!("AWS query-string parameters must include '{name}'. Re-examine the query-string parameters.")))
        };
        let algorithm = value("X-Amz-Algorithm")?;
        if algorithm != ALGORITHM {
            return Err(incomplete(format!("Unsupported AWS 'algorithm': '{algorithm}'.")));
        }
        let credential = value("X-Amz-Credential")?;
        let signature = value("X-Amz-Signature")?;
        let signed = value("X-Amz-SignedHeaders")?;
        let date = value("X-Amz-Date")?;
        let expires = value("X-Amz-Expires")?;
        let expires_s = expires.parse::<u64>().ok().filter(|seconds| (1..=PRESIGNED_MAX_S).contains(seconds));
        let expires_s = expires_s.ok_or_else(|| {
            incomplete(format!(
                "X-Amz-Expires must be a number of seconds from 1 to {PRESIGNED_MAX_S}, got '{expires}'."
            ))
        })?;
        let token = parameter(head.query, "X-Amz-Security-Token");
        let claim = Self::assemble(&credential, &date, &signed, &signature, token)?;
        Ok(Self { expires_s: Some(expires_s), ..claim })
    }

    fn assemble(
        credential: &str,
        date: &str,
        signed: &str,
        signature: &str,
        session_token: Option<String>,
    ) -> Result<Self, ApiError> {
        let parts: Vec<&str> = credential.split('/').collect();
        let [access_key, day, region, service, terminator] = parts.as_slice() else {
            return Err(incomplete(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{credential}'"
            )));
        };
        if *terminator != TERMINATOR {
            return Err(invalid(format!(
                "Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{terminator}'. "
            )));
        }
        let at = parse_basic_date(date).ok_or_else(|| {
            incomplete(format!(
                "Date must be in ISO-8601 'basic format'. Got '{date}'. See http://en.wikipedia.org/wiki/ISO_8601"
            ))
        })?;
        if *day != &date[..8] {
            return Err(invalid(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{day}' != '{}', from '{date}'.",
                &date[..8]
            )));
        }
        Ok(Self {
            access_key: (*access_key).to_owned(),
            session_token,
            date: date.to_owned(),
            at,
            day: (*day).to_owned(),
            region: (*region).to_owned(),
            service: (*service).to_owned(),
            signed: signed.split(';').map(str::to_ascii_lowercase).collect(),
            signature: signature.to_owned(),
            expires_s: None,
        })
    }

    /// What says where a request goes and what it means must be signed, and what is signed must be there.
    fn check_headers(&self, head: &Head<'_>) -> Result<(), ApiError> {
        let signed = |name: &str| self.signed.iter().any(|known| known == name);
        if !signed("host") {
            return Err(invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."));
        }
        let left_out = head.headers.iter().find(|(name, _)| name.starts_with("x-amz-") && !signed(name));
        match left_out {
            Some((name, _)) => Err(invalid(format!(
                "There were headers present in the request which were not signed: {name}"
            ))),
            None => Ok(()),
        }
    }

    /// Refuses scopes of other regions and services.
    ///
    /// # Errors
    /// `InvalidSignatureException`.
    pub fn check_scope(&self, region: &str, services: &[&str]) -> Result<(), ApiError> {
        let mut text = String::new();
        if self.region != region {
            text = format!("Credential should be scoped to a valid region, not '{}'. ", self.region);
        }
        if !services.contains(&self.service.as_str()) {
            text = format!(
                "{text}Credential should be scoped to correct service: '{}'. ",
                services.join("', '")
            );
        }
        if text.is_empty() { Ok(()) } else { Err(invalid(text)) }
    }

    /// Refuses what was signed too long ago, or in the future.
    ///
    /// # Errors
    /// `InvalidSignatureException`.
    pub fn check_time(&self, now: EpochTime) -> Result<(), ApiError> {
        let moment = |ms: i64| basic_date(EpochTime::from_ms(ms));
        if self.at.ms > now.ms + SKEW_MS {
            return Err(invalid(format!(
                "Signature not yet current: {} is still later than {} ({} + 5 min.)",
                self.date,
                moment(now.ms + SKEW_MS),
                moment(now.ms)
            )));
        }
        let (age, said) = match self.expires_s {
            Some(seconds) => (i64::try_from(seconds).unwrap_or(0) * 1000, format!("{seconds} sec.")),
            None => (SKEW_MS, "5 min.".to_owned()),
        };
        if self.at.ms + age < now.ms {
            return Err(invalid(format!(
                "Signature expired: {} is now earlier than {} ({} - {said})",
                self.date,
                moment(now.ms - age),
                moment(now.ms)
            )));
        }
        Ok(())
    }

    /// What the payload must be like, as far as the head says.
    #[must_use]
    pub fn payload(&self, head: &Head<'_>) -> Payload {
        let said = head.header("x-amz-content-sha256").map(str::to_owned);
        let said = said
            .or_else(|| parameter(head.query, "X-Amz-Content-Sha256").filter(|_| self.expires_s.is_some()));
        match said {
            None => Payload::Unsaid,
            Some(word) if word == UNSIGNED_PAYLOAD => Payload::Unsigned,
            Some(word) if word.starts_with("STREAMING-") => Payload::Chunked(word),
            Some(hash) => Payload::Hash(hash),
        }
    }

    /// Whether the signature is the one of this request, with this secret, over a payload with this hash (or word).
    ///
    /// # Errors
    /// `InvalidSignatureException` with what should have been signed.
    pub fn verify(&self, head: &Head<'_>, secret: &str, payload: &str) -> Result<Proven, ApiError> {
        let scope = Scope { day: &self.day, region: &self.region, service: &self.service };
        let signed: Vec<&str> = self.signed.iter().map(String::as_str).collect();
        let canonical = canonical_request(head, &signed, payload, PathStyle::Twice);
        let to_sign = string_to_sign(&self.date, &scope, &canonical);
        let key = SigningKey::new(secret, &scope);
        if key.verify(&to_sign, &self.signature) {
            let date_and_scope = format!("{}\n{scope}", self.date);
            return Ok(Proven { key, signature: self.signature.clone(), date_and_scope });
        }
        let mut text = String::from(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
        );
        if canonical.len() <= REPEATED_MAX {
            let canonical = String::from_utf8_lossy(&canonical);
            text = format!(
                "{text}\n\nThe Canonical String for this request should have been\n'{canonical}'\n\nThe String-to-Sign should have been\n'{to_sign}'\n"
            );
        }
        Err(invalid(text))
    }
}

/// Compares the hash that a request says with the one that its payload has, in hexadecimal digits.
///
/// # Errors
/// `InvalidSignatureException`: what came is not what was signed.
pub fn check_payload(said: &str, computed: &str) -> Result<(), ApiError> {
    match said == computed {
        true => Ok(()),
        false => Err(invalid("The provided 'x-amz-content-sha256' header does not match what was computed.")),
    }
}
