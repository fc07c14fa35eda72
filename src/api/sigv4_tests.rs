//! Signing and verifying against each other, against AWS's own signer, and against every kind of tampering.

use crate::claim::{Claim, Payload, check_payload};
use crate::error::ErrorCode;
use crate::primitives::EpochTime;
use crate::sigv4::{Head, PathStyle, Signing, UNSIGNED_PAYLOAD, payload_hash};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use proptest::prelude::*;
use std::time::{Duration, UNIX_EPOCH};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const NOW_MS: i64 = 1_714_566_896_000;

/// A request that owns its parts.
#[derive(Clone, Debug)]
struct Owned {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Owned {
    fn new(method: &str, path: &str, query: &str) -> Self {
        let headers = vec![("host".to_owned(), "lambda.example:3001".to_owned())];
        Self { method: method.into(), path: path.into(), query: query.into(), headers, body: Vec::new() }
    }

    fn with<T>(&self, use_it: impl FnOnce(&Head<'_>) -> T) -> T {
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        use_it(&Head { method: &self.method, path: &self.path, query: &self.query, headers: &headers })
    }

    fn signed(mut self, token: Option<&str>) -> Self {
        let added = self.with(|head| signing(token).sign(head, &payload_hash(&self.body)));
        self.headers.extend(added.into_iter().map(|(name, value)| (name.to_owned(), value)));
        self
    }

    fn presigned(mut self, expires_s: u64) -> Self {
        self.query = self.with(|head| signing(None).presign(head, &payload_hash(&self.body), expires_s));
        self
    }

    fn set(&mut self, name: &str, value: &str) {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    fn header(&self, name: &str) -> String {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
            .expect("is there")
    }

    /// The code and text of the refusal, if it is one.
    fn verdict_at(&self, now_ms: i64, secret: &str) -> Result<(), (ErrorCode, String)> {
        let checked = self.with(|head| {
            let claim = Claim::read(head)?;
            claim.check_scope("eu-west-1", &["lambda"])?;
            claim.check_time(EpochTime::from_ms(now_ms))?;
            let hash = match claim.payload(head) {
                Payload::Unsaid => payload_hash(&self.body),
                Payload::Unsigned => UNSIGNED_PAYLOAD.to_owned(),
                Payload::Chunked(word) => word,
                Payload::Hash(said) => {
                    check_payload(&said, &payload_hash(&self.body))?;
                    said
                }
            };
            claim.verify(head, secret, &hash).map(|_| ())
        });
        checked.map_err(|error| (error.code(), error.message().unwrap_or_default().to_owned()))
    }

    fn verdict(&self) -> Result<(), (ErrorCode, String)> {
        self.verdict_at(NOW_MS, SECRET)
    }
}

fn signing(session_token: Option<&str>) -> Signing<'_> {
    Signing {
        access_key: "AKIDEXAMPLE",
        secret_key: SECRET,
        session_token,
        region: "eu-west-1",
        service: "lambda",
        now: EpochTime::from_ms(NOW_MS),
        style: PathStyle::Twice,
    }
}

#[track_caller]
fn refused(request: &Owned, code: ErrorCode, words: &str) {
    let (found, text) = request.verdict().expect_err("is refused");
    assert_eq!(found, code, "{text}");
    assert!(text.contains(words), "{text}");
}

fn invoke() -> Owned {
    let mut request = Owned::new("POST", "/2015-03-31/functions/f/invocations", "Qualifier=%24LATEST");
    request.body = b"{\"a\":1}".to_vec();
    request.set("x-amz-invocation-type", "RequestResponse");
    request
}

#[test]
fn a_signed_request_is_accepted_and_another_secret_is_not() {
    let request = invoke().signed(Some("token"));
    assert_eq!(request.verdict(), Ok(()));
    let (code, text) = request.verdict_at(NOW_MS, "other").expect_err("is refused");
    assert_eq!(code, ErrorCode::InvalidSignatureException);
    assert!(text.starts_with("The request signature we calculated does not match"), "{text}");
    assert!(text.contains("The Canonical String for this request should have been\n'POST\n"), "{text}");
    assert!(!text.contains("other"), "the secret stays secret: {text}");
}

#[test]
fn a_presigned_request_is_good_until_it_expires() {
    let request = invoke().presigned(60);
    assert_eq!(request.verdict(), Ok(()));
    assert_eq!(request.verdict_at(NOW_MS + 60_000, SECRET), Ok(()));
    let (code, text) = request.verdict_at(NOW_MS + 61_000, SECRET).expect_err("is refused");
    assert_eq!(code, ErrorCode::InvalidSignatureException);
    assert_eq!(
        text,
        "Signature expired: 20240501T123456Z is now earlier than 20240501T123457Z (20240501T123557Z - 60 sec.)"
    );
    let mut longer = request.clone();
    longer.query = request.query.replace("X-Amz-Expires=60", "X-Amz-Expires=600");
    refused(&longer, ErrorCode::InvalidSignatureException, "does not match");
    refused(&invoke().presigned(604_801), ErrorCode::IncompleteSignatureException, "X-Amz-Expires");
    refused(&invoke().presigned(0), ErrorCode::IncompleteSignatureException, "X-Amz-Expires");
}

#[test]
fn a_clock_may_be_off_by_five_minutes_and_no_more() {
    let request = invoke().signed(None);
    for off in [-300_000, 300_000] {
        assert_eq!(request.verdict_at(NOW_MS + off, SECRET), Ok(()), "{off}");
    }
    let text = |off| request.verdict_at(NOW_MS + off, SECRET).expect_err("is refused").1;
    assert_eq!(
        text(301_000),
        "Signature expired: 20240501T123456Z is now earlier than 20240501T123457Z (20240501T123957Z - 5 min.)"
    );
    assert_eq!(
        text(-301_000),
        "Signature not yet current: 20240501T123456Z is still later than 20240501T123455Z (20240501T122955Z + 5 min.)"
    );
}

#[test]
fn requests_without_a_whole_signature_say_what_is_missing() {
    refused(&invoke(), ErrorCode::MissingAuthenticationTokenException, "Missing Authentication Token");
    let mut request = invoke();
    request.set("authorization", "Bearer token");
    refused(&request, ErrorCode::MissingAuthenticationTokenException, "");
    request.set("authorization", "AWS4-HMAC-SHA256");
    refused(
        &request,
        ErrorCode::IncompleteSignatureException,
        "requires 'Credential' parameter. Authorization",
    );
    request.set("authorization", "AWS4-HMAC-SHA256 nonsense");
    refused(&request, ErrorCode::IncompleteSignatureException, "'nonsense' not a valid key=value pair");
    request.set("authorization", "AWS4-ECDSA-P256-SHA256 Credential=a");
    refused(&request, ErrorCode::IncompleteSignatureException, "Unsupported AWS 'algorithm'");
    let mut signed = invoke().signed(None);
    signed.headers.retain(|(name, _)| name != "x-amz-date");
    refused(&signed, ErrorCode::IncompleteSignatureException, "either a 'X-Amz-Date' or a 'Date' header");
    let mut presigned = invoke().presigned(60);
    presigned.query = presigned.query.replace("X-Amz-SignedHeaders", "X-Amz-Other");
    refused(&presigned, ErrorCode::IncompleteSignatureException, "must include 'X-Amz-SignedHeaders'");
}

#[test]
fn scopes_are_checked_part_by_part() {
    let scoped = |from: &str, to: &str| {
        let mut request = invoke().signed(None);
        let header = request.header("authorization").replace(from, to);
        request.set("authorization", &header);
        request
    };
    let invalid = ErrorCode::InvalidSignatureException;
    refused(&scoped("/eu-west-1/", "/us-east-1/"), invalid, "valid region, not 'us-east-1'");
    refused(&scoped("/lambda/", "/s3/"), invalid, "scoped to correct service: 'lambda'");
    refused(
        &scoped("/aws4_request", "/aws5_request"),
        invalid,
        "valid terminator: 'aws4_request', not 'aws5_request'",
    );
    refused(&scoped("/20240501/", "/20240502/"), invalid, "Date in Credential scope does not match YYYYMMDD");
    let short = scoped("/eu-west-1/", "/");
    refused(&short, ErrorCode::IncompleteSignatureException, "exactly 5 slash-delimited elements");
}

#[test]
fn host_and_amazons_own_headers_must_be_signed() {
    let mut request = invoke().signed(None);
    request.set("x-amz-client-context", "e30=");
    refused(&request, ErrorCode::InvalidSignatureException, "not signed: x-amz-client-context");
    let mut request = invoke().signed(None);
    let header = request.header("authorization").replace("SignedHeaders=host;", "SignedHeaders=");
    request.set("authorization", &header);
    refused(
        &request,
        ErrorCode::InvalidSignatureException,
        "'Host' or ':authority' must be a 'SignedHeader'",
    );
    let mut request = invoke().signed(None);
    request.set("user-agent", "of a proxy");
    assert_eq!(request.verdict(), Ok(()), "other headers may come on the way");
}

#[test]
fn a_payload_that_is_not_what_its_header_says_is_refused() {
    let mut request = invoke();
    request.set("x-amz-content-sha256", &payload_hash(b"{\"a\":2}"));
    refused(&request.signed(None), ErrorCode::InvalidSignatureException, "'x-amz-content-sha256'");
    let mut request = invoke();
    request.set("x-amz-content-sha256", &payload_hash(&request.body));
    assert_eq!(request.signed(None).verdict(), Ok(()));
}

#[test]
fn a_payload_that_was_not_signed_may_be_any() {
    let mut request = invoke();
    let added = request.with(|head| signing(None).sign(head, UNSIGNED_PAYLOAD));
    request.headers.extend(added.into_iter().map(|(name, value)| (name.to_owned(), value)));
    request.body = b"anything".to_vec();
    assert_eq!(request.verdict(), Ok(()));
}

/// What AWS's own signer adds to a request: headers, or the parts of its query.
fn signed_by_aws(request: &Owned, location: SignatureLocation, token: Option<&str>) -> Vec<(String, String)> {
    let identity = Credentials::new("AKIDEXAMPLE", SECRET, token.map(str::to_owned), None, "test").into();
    let mut settings = SigningSettings::default();
    settings.signature_location = location;
    if location == SignatureLocation::QueryParams {
        settings.expires_in = Some(Duration::from_secs(60));
    }
    let time = UNIX_EPOCH + Duration::from_millis(u64::try_from(NOW_MS).expect("is later"));
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name("lambda")
        .time(time)
        .settings(settings)
        .build()
        .expect("all is given")
        .into();
    let question = if request.query.is_empty() { "" } else { "?" };
    let uri = format!("http://{}{}{question}{}", request.header("host"), request.path, request.query);
    let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let signable = SignableRequest::new(&request.method, uri, headers, SignableBody::Bytes(&request.body));
    let (added, _) = sign(signable.expect("is a request"), &parameters).expect("signs").into_parts();
    let (headers, query) = added.into_parts();
    let headers = headers.iter().map(|header| (header.name().to_owned(), header.value().to_owned()));
    headers.chain(query.iter().map(|(name, value)| ((*name).to_owned(), value.to_string()))).collect()
}

fn requests() -> impl Strategy<Value = Owned> {
    let segment = "[a-zA-Z0-9_.~-]{1,8}|a%3Ab%2Fc|%24LATEST";
    let path = proptest::collection::vec(segment, 0..5)
        .prop_filter("dot segments are tested by table", |parts| {
            parts.iter().all(|it| it != "." && it != "..")
        })
        .prop_map(|parts| format!("/{}", parts.join("/")));
    let pair = "[A-Za-z]{1,6}=[a-zA-Z0-9_.~-]{0,6}|k%20x=%2F%3D%C3%A9|Marker=a%2Bb";
    let query = proptest::collection::btree_set(pair, 0..4)
        .prop_map(|pairs| pairs.into_iter().collect::<Vec<_>>().join("&"));
    let headers = proptest::collection::btree_map("x-amz-meta-[a-z]{1,5}", "[!-~]([ -~]{0,10}[!-~])?", 0..3);
    let body = proptest::collection::vec(any::<u8>(), 0..64);
    ("GET|POST|PUT|DELETE", path, query, headers, body).prop_map(|(method, path, query, headers, body)| {
        let mut request = Owned::new(&method, &path, &query);
        request.headers.extend(headers);
        request.body = body;
        request
    })
}

/// Another letter or digit in the place of one of these, if there is one.
fn changed(text: &str, at: usize) -> Option<String> {
    let places: Vec<usize> =
        text.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_alphanumeric()).map(|(at, _)| at).collect();
    let place = *places.get(at.checked_rem(places.len())?)?;
    let other = if text.as_bytes()[place] == b'q' { "r" } else { "q" };
    Some(format!("{}{other}{}", &text[..place], &text[place + 1..]))
}

proptest! {
    #[test]
    fn what_is_signed_here_verifies(request in requests(), token in proptest::option::of("[a-zA-Z0-9+/=]{1,20}")) {
        prop_assert_eq!(request.clone().signed(token.as_deref()).verdict(), Ok(()));
        prop_assert_eq!(request.presigned(60).verdict(), Ok(()));
    }

    #[test]
    fn what_awss_own_signer_signs_is_signed_alike_and_verifies(request in requests(), token in proptest::option::of("[a-zA-Z0-9]{1,20}")) {
        let added = signed_by_aws(&request, SignatureLocation::Headers, token.as_deref());
        let mut theirs = request.clone();
        theirs.headers.extend(added.clone());
        prop_assert_eq!(theirs.verdict(), Ok(()));
        let ours = request.clone().signed(token.as_deref());
        prop_assert_eq!(ours.header("authorization"), theirs.header("authorization"));

        let added = signed_by_aws(&request, SignatureLocation::QueryParams, None);
        let mut theirs = request;
        for (name, value) in added {
            let value = percent_encoding::utf8_percent_encode(&value, percent_encoding::NON_ALPHANUMERIC);
            let and = if theirs.query.is_empty() { "" } else { "&" };
            theirs.query = format!("{}{and}{name}={value}", theirs.query);
        }
        prop_assert_eq!(theirs.verdict(), Ok(()));
    }

    #[test]
    fn a_change_of_any_signed_part_is_refused(request in requests(), part in 0..6_usize, at in any::<usize>()) {
        let mut signed = request.signed(Some("token"));
        prop_assert_eq!(signed.verdict(), Ok(()));
        let changed_one = match part {
            0 => changed(&signed.method, at).map(|text| signed.method = text),
            1 => changed(&signed.path, at).map(|text| signed.path = text),
            2 => changed(&signed.query, at).map(|text| signed.query = text),
            3 => {
                signed.body.push(b'x');
                Some(())
            }
            4 => {
                let header = signed.header("authorization");
                let (front, signature) = header.split_once("Signature=").expect("has one");
                changed(signature, at).map(|text| signed.set("authorization", &format!("{front}Signature={text}")))
            }
            _ => {
                let place = at % signed.headers.len();
                let (name, value) = signed.headers[place].clone();
                // The authorization itself is the case above.
                (name != "authorization").then(|| changed(&value, at)).flatten().map(|text| signed.headers[place].1 = text)
            }
        };
        if changed_one.is_some() {
            prop_assert!(signed.verdict().is_err(), "{signed:?}");
        }
    }

    #[test]
    fn reading_a_claim_never_panics(header in "\\PC{0,80}|AWS4-HMAC-SHA256 \\PC{0,80}", date in "\\PC{0,20}", query in "\\PC{0,80}|X-Amz-Algorithm=AWS4-HMAC-SHA256&\\PC{0,80}") {
        let mut request = Owned::new("GET", "/", &query);
        let _ = request.verdict();
        request.set("authorization", &header);
        request.set("x-amz-date", &date);
        let _ = request.verdict();
    }
}
