//! Signs requests with Signature Version 4 as S3 wants it: the path encoded once, the payload's hash in a header.

use super::credentials::Credentials;
use hearth_api::primitives::EpochTime;
use hearth_api::sigv4::{EMPTY_SHA256, Head, PathStyle, Signing};
use http::{HeaderName, HeaderValue, request};

/// What a signature is good for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    /// Region.
    pub(super) region: &'a str,
    /// Service, `s3`.
    pub(super) service: &'a str,
    /// Milliseconds since the epoch.
    pub(super) now_ms: u64,
}

/// Signs a request without a body and with a `Host` header; every header that it has is signed.
pub(super) fn sign(parts: &mut request::Parts, credentials: &Credentials, scope: Scope<'_>) {
    let signing = Signing {
        access_key: &credentials.access_key,
        secret_key: &credentials.secret_key,
        session_token: credentials.session_token.as_deref(),
        region: scope.region,
        service: scope.service,
        now: EpochTime::from_ms(i64::try_from(scope.now_ms).unwrap_or(i64::MAX)),
        style: PathStyle::Once,
    };
    let headers: Vec<(&str, &[u8])> =
        parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let head = Head {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &headers,
    };
    let added = signing.sign(&head, EMPTY_SHA256);
    for (name, value) in added {
        // A token that no header can carry is none that the service knows.
        let value = HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static(""));
        parts.headers.insert(HeaderName::from_static(name), value);
    }
}
