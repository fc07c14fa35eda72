//! GetObject of S3 and of everything that speaks like it.
//!
//! One call is one try: address, signature, redirects, and what the store said. Trying again, bounding sizes and
//! checking hashes is its caller's business.

use super::credentials::{Chain, CredentialsError};
use super::endpoint::Endpoint;
use super::http::{self as web, Outgoing, Web, WebError};
use super::sign::{self, Scope};
use super::xml;
use crate::daemon::clock;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, ETAG, HOST, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use percent_encoding::utf8_percent_encode;
use std::fmt;
use std::time::Duration;

/// Redirects of one request that are followed.
const REDIRECTS_MAX: usize = 3;
/// Bytes of an error document.
const ERROR_MAX: usize = 64 * 1024;
/// Characters of a foreign text that are passed on.
const SHOWN: usize = 300;

const CHECKSUM_MODE: HeaderName = HeaderName::from_static("x-amz-checksum-mode");
const BUCKET_REGION: HeaderName = HeaderName::from_static("x-amz-bucket-region");

/// How a bucket is named in an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addressing {
    /// `http://host/bucket/key`.
    Path,
    /// `http://bucket.host/key`.
    Virtual,
    /// By path at an endpoint of one's own, else virtual where the bucket's name allows it.
    Auto,
}

/// An object, or one version of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// Bucket.
    pub(crate) bucket: String,
    /// Key.
    pub(crate) key: String,
    /// Version; none for the newest.
    pub(crate) version: Option<String>,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)?;
        self.version.as_ref().map_or(Ok(()), |version| write!(f, " (version {version})"))
    }
}

/// An object that is coming.
pub(crate) struct Download {
    body: Incoming,
    patience: Duration,
    /// Bytes, if the store says so.
    pub(crate) length: Option<u64>,
    /// What its bytes must come to.
    pub(crate) sums: Sums,
}

/// What a store said of an object's bytes; only sums over the whole object, and only kinds that are checked here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Hexadecimal, out of the ETag.
    pub(crate) md5: Option<String>,
    /// Base64.
    pub(crate) sha256: Option<String>,
    /// Base64 of four bytes.
    pub(crate) crc32: Option<String>,
}

impl Download {
    /// The next piece; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, WebError> {
        web::next(&mut self.body, self.patience).await
    }
}

/// Why there is no object.
#[derive(Debug, thiserror::Error)]
pub(crate) enum S3Error {
    /// The store answered with an error of its own.
    #[error("{code}: {message}")]
    Answer {
        /// HTTP status.
        status: u16,
        /// `NoSuchKey` and the like.
        code: String,
        /// In the store's words.
        message: String,
    },
    /// There was no usable answer.
    #[error("{endpoint} did not answer: {error}")]
    Web {
        /// Who was asked.
        endpoint: String,
        /// What came of it.
        error: WebError,
    },
    /// It sent us elsewhere, too often or to where we do not go.
    #[error("{endpoint} redirects to {to:?}, which is not followed: {why}")]
    Redirect {
        /// Who was asked.
        endpoint: String,
        /// Where it pointed.
        to: String,
        /// The rule.
        why: &'static str,
    },
    /// Nothing to sign with.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Bucket and key make no address.
    #[error("{0} has no address")]
    Address(Object),
}

impl S3Error {
    /// Whether the same request may succeed a moment later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Answer { status, code, .. } => *status >= 500 || *status == 429 || is_expiry(code),
            Self::Web { .. } => true,
            Self::Redirect { .. } | Self::Credentials(_) | Self::Address(_) => false,
        }
    }
}

fn is_expiry(code: &str) -> bool {
    matches!(code, "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired")
}

/// A client of one store.
pub(crate) struct S3 {
    web: Web,
    chain: Chain,
    endpoint: Option<Endpoint>,
    addressing: Addressing,
    region: String,
    patience: Duration,
}

impl S3 {
    /// `endpoint`: none for AWS itself, by region. `patience`: how long the store may be silent.
    pub(crate) fn new(
        web: Web,
        chain: Chain,
        endpoint: Option<Endpoint>,
        (addressing, region): (Addressing, &str),
        patience: Duration,
    ) -> Self {
        Self { web, chain, endpoint, addressing, region: region.to_owned(), patience }
    }

    /// Asks for an object; its bytes are still to come.
    pub(crate) async fn get(&self, object: &Object) -> Result<Download, S3Error> {
        let mut uri = self.address(object).ok_or_else(|| S3Error::Address(object.clone()))?;
        for _ in 0..=REDIRECTS_MAX {
            let credentials = self.chain.current().await?;
            let request =
                self.request(&uri, credentials.as_ref()).ok_or_else(|| S3Error::Address(object.clone()))?;
            let sent = self.web.send(request, self.patience).await;
            let answer = sent.map_err(|error| S3Error::Web { endpoint: origin(&uri), error })?;
            let (head, mut body) = answer.into_parts();
            if head.status == StatusCode::OK {
                let length = head.headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
                return Ok(Download { body, patience: self.patience, length, sums: sums(&head.headers) });
            }
            if let (true, Some(to)) = (head.status.is_redirection(), head.headers.get(LOCATION)) {
                uri = follow(&uri, String::from_utf8_lossy(to.as_bytes()).as_ref())?;
                continue;
            }
            let document = web::read(&mut body, self.patience, ERROR_MAX).await.unwrap_or_default();
            let error =
                answered(head.status, &head.headers, &String::from_utf8_lossy(&document), &origin(&uri));
            if let S3Error::Answer { code, .. } = &error
                && is_expiry(code)
            {
                self.chain.forget().await;
            }
            return Err(error);
        }
        Err(S3Error::Redirect { endpoint: origin(&uri), to: uri.to_string(), why: "it is one too many" })
    }

    pub(super) fn address(&self, object: &Object) -> Option<Uri> {
        let amazon = Endpoint::https(&format!("s3.{}.amazonaws.com", self.region));
        let base = self.endpoint.as_ref().unwrap_or(&amazon);
        // A dot in a bucket's name is one name too many for the certificate; capitals do not survive in a host.
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let by_path = match self.addressing {
            Addressing::Path => true,
            Addressing::Virtual => !base.takes_names(),
            Addressing::Auto => self.endpoint.is_some() || !object.bucket.bytes().all(plain),
        };
        let parts: Vec<String> = object
            .key
            .split('/')
            .map(|part| utf8_percent_encode(part, super::RESERVED).to_string())
            .collect();
        let key = parts.join("/");
        let query = object.version.as_ref().map_or(String::new(), |version| {
            format!("?versionId={}", utf8_percent_encode(version, super::RESERVED))
        });
        let text = match by_path {
            true => format!("{base}/{}/{key}{query}", object.bucket),
            false => format!("{}/{key}{query}", base.below(&object.bucket)),
        };
        text.parse().ok()
    }

    fn request(&self, uri: &Uri, credentials: Option<&super::credentials::Credentials>) -> Option<Outgoing> {
        let (mut parts, ()) = Request::get(uri.clone()).body(()).ok()?.into_parts();
        parts.headers.insert(HOST, HeaderValue::from_str(uri.authority()?.as_str()).ok()?);
        parts.headers.insert(CHECKSUM_MODE, HeaderValue::from_static("ENABLED"));
        if let Some(credentials) = credentials {
            let now_ms = clock::wall().as_millis();
            sign::sign(&mut parts, credentials, Scope { region: &self.region, service: "s3", now_ms });
        }
        Some(Request::from_parts(parts, Full::new(Bytes::new())))
    }
}

fn origin(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("{}://{authority}", uri.scheme_str().unwrap_or_default())
}

/// Where a redirect leads, if it is followed: within the same host or within AWS, and never from TLS to plain. A store
/// must not be able to send signed requests to whomever it likes.
fn follow(from: &Uri, to: &str) -> Result<Uri, S3Error> {
    let refuse =
        |why| S3Error::Redirect { endpoint: origin(from), to: to.chars().take(SHOWN).collect(), why };
    let absolute = if to.starts_with('/') { format!("{}{to}", origin(from)) } else { to.to_owned() };
    let uri: Uri = absolute.parse().map_err(|_| refuse("it is no address"))?;
    let (Some(old), Some(new)) = (from.host(), uri.host()) else { return Err(refuse("it is no address")) };
    let tls = |uri: &Uri| uri.scheme_str() == Some("https");
    if !tls(&uri) && (tls(from) || uri.scheme_str() != Some("http")) {
        return Err(refuse("it leaves TLS"));
    }
    let amazon = |host: &str| host.ends_with(".amazonaws.com");
    match old.eq_ignore_ascii_case(new) || (amazon(old) && amazon(new)) {
        true => Ok(uri),
        false => Err(refuse("it leads to another host")),
    }
}

fn answered(status: StatusCode, headers: &HeaderMap, document: &str, endpoint: &str) -> S3Error {
    let element = |name: &str| xml::text(document, name).filter(|text| !text.is_empty());
    let shown = |text: String| text.chars().take(SHOWN).collect::<String>();
    let status_code = status.as_u16();
    let code = match (element("Code"), status_code) {
        (Some(code), _) => shown(code),
        (None, 301) => "PermanentRedirect".to_owned(),
        (None, 403) => "AccessDenied".to_owned(),
        (None, _) => status.canonical_reason().unwrap_or("Unknown").replace(' ', ""),
    };
    let region = headers.get(BUCKET_REGION).and_then(|value| value.to_str().ok());
    let message = match (code.as_str(), region, element("Message")) {
        ("PermanentRedirect", Some(region), _) => {
            format!("The bucket is in this region: {region}. Please use this region to retry the request")
        }
        (_, _, Some(message)) => shown(message),
        ("AccessDenied", _, None) => "Access Denied".to_owned(),
        (_, _, None) => format!("{endpoint} answered {status} without an S3 error document"),
    };
    S3Error::Answer { status: status_code, code, message }
}

fn sums(headers: &HeaderMap) -> Sums {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    // Sums of parts' sums end in their number.
    let whole = |sum: &String| {
        !sum.contains('-') && text("x-amz-checksum-type").is_none_or(|kind| kind == "FULL_OBJECT")
    };
    // Under keys of the customer or of KMS an ETag is no MD5, and one of several parts has a dash.
    let encrypted = headers.contains_key("x-amz-server-side-encryption-customer-algorithm")
        || text("x-amz-server-side-encryption").is_some_and(|kind| kind.starts_with("aws:"));
    let etag =
        headers.get(ETAG).and_then(|value| value.to_str().ok()).map(|it| it.trim_matches('"').to_owned());
    let is_md5 = |tag: &String| tag.len() == 32 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
    Sums {
        md5: etag.filter(|tag| !encrypted && is_md5(tag)).map(|tag| tag.to_ascii_lowercase()),
        sha256: text("x-amz-checksum-sha256").filter(whole),
        crc32: text("x-amz-checksum-crc32").filter(whole),
    }
}
