//! Signs requests with Signature Version 4 as S3 wants it: the path encoded once, the payload's hash in a header.

use super::credentials::Credentials;
use hearth_api::primitives::EpochTime;
use hmac::{Hmac, Mac as _};
use http::{HeaderName, HeaderValue, request};
use sha2::{Digest as _, Sha256};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const CONTENT: HeaderName = HeaderName::from_static("x-amz-content-sha256");
/// SHA-256 of nothing.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

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
    let date = basic_date(scope.now_ms);
    let day = &date[..8];
    let text = |value: &str| HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static(""));
    parts.headers.insert(DATE, text(&date));
    parts.headers.insert(CONTENT, HeaderValue::from_static(EMPTY));
    if let Some(token) = &credentials.session_token {
        parts.headers.insert(TOKEN, text(token));
    }
    let (names, canonical) = canonical(parts);
    let where_and_when = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let hash = hex(&Sha256::digest(canonical));
    let to_sign = format!("{ALGORITHM}\n{date}\n{where_and_when}\n{hash}");
    let mut key = format!("AWS4{}", credentials.secret_key).into_bytes();
    for part in [day, scope.region, scope.service, "aws4_request"] {
        key = mac(&key, part);
    }
    let signature = hex(&mac(&key, &to_sign));
    let header = format!(
        "{ALGORITHM} Credential={}/{where_and_when}, SignedHeaders={names}, Signature={signature}",
        credentials.access_key
    );
    parts.headers.insert(http::header::AUTHORIZATION, text(&header));
}

/// The names of all headers, and the request in the form that is signed.
fn canonical(parts: &request::Parts) -> (String, String) {
    let mut headers: Vec<(&str, String)> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).trim().to_owned()))
        .collect();
    headers.sort();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let mut query: Vec<String> = parts
        .uri
        .query()
        .into_iter()
        .flat_map(|query| query.split('&'))
        .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
        .collect();
    // By name, then by value: as whole texts `a-=` would come before `a=`.
    query.sort_by(|one, other| one.split_once('=').cmp(&other.split_once('=')));
    let request =
        format!("{}\n{}\n{}\n{lines}\n{names}\n{EMPTY}", parts.method, parts.uri.path(), query.join("&"));
    (names, request)
}

/// `20240501T123456Z`.
fn basic_date(now_ms: u64) -> String {
    let iso = EpochTime::from_ms(i64::try_from(now_ms).unwrap_or(i64::MAX)).to_iso_text();
    let seconds = iso.split('.').next().unwrap_or_default();
    seconds.chars().filter(|it| !matches!(it, '-' | ':')).chain(['Z']).collect()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn a_query_is_signed_in_the_order_of_names_then_values() {
        let request = http::Request::get("/b/k?a-=1&b&a=2&a=1").body(()).expect("a request");
        let (_, canonical) = canonical(&request.into_parts().0);
        assert_eq!(canonical.lines().nth(2), Some("a=1&a=2&a-=1&b="));
    }
}
