//! The room as a whole: every source of credentials against a server of the test's own, and what requests look like.

use super::credentials::{Chain, Credentials, CredentialsError, Source, source};
use super::endpoint::Endpoint;
use super::http::Web;
use super::s3::{Addressing, Object, S3, S3Error};
use super::sign::{self, Scope};
use super::surroundings::Surroundings;
use crate::daemon::clock;
use crate::store::tests::Scratch;
use hearth_api::primitives::EpochTime;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Heads (and small bodies) of the requests that came, and where to send more.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers each request with status and body, by its text and its number.
    async fn start(answer: impl Fn(&str, usize) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let book = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut bytes = vec![0; 16 * 1024];
                let mut size = 0;
                // The test's requests have small bodies that come with their heads.
                while !bytes[..size].windows(4).any(|it| it == b"\r\n\r\n") {
                    match stream.read(&mut bytes[size..]).await {
                        Ok(read) if read > 0 => size += read,
                        _ => break,
                    }
                }
                let text = String::from_utf8_lossy(&bytes[..size]).into_owned();
                let number = {
                    let mut book = book.lock().expect("not poisoned");
                    book.push(text.clone());
                    book.len() - 1
                };
                let (status, body) = answer(&text, number);
                let head = format!(
                    "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + &body).as_bytes()).await.ok();
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

fn around(variables: &[(&str, &str)]) -> Surroundings {
    Surroundings::new(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn chain(variables: &[(&str, &str)], sts: &str) -> Chain {
    Chain::new(around(variables), Web::new(None), Endpoint::parse(sts).expect("an endpoint"))
}

const NOWHERE: &str = "http://127.0.0.1:9";

fn in_minutes(minutes: i64) -> String {
    let now = i64::try_from(clock::wall().as_millis()).expect("fits");
    EpochTime::from_ms(now + minutes * 60_000).to_iso_text()
}

fn as_json(key: &str, minutes: i64) -> String {
    let end = in_minutes(minutes);
    format!(
        r#"{{"Code":"Success","AccessKeyId":"{key}","SecretAccessKey":"s","Token":"t","Expiration":"{end}"}}"#
    )
}

async fn key_of(chain: &Chain) -> String {
    chain.current().await.expect("no error").expect("credentials").access_key
}

#[test]
fn the_first_source_that_is_configured_counts() {
    let scratch = Scratch::new();
    let file = scratch.path().join("credentials");
    std::fs::write(&file, "[default]\naws_access_key_id=AKFILE\naws_secret_access_key=s\n").expect("writes");
    let file = file.display().to_string();
    let mut variables = vec![
        ("AWS_ACCESS_KEY_ID", "AKENV"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_SHARED_CREDENTIALS_FILE", file.as_str()),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent"),
        ("AWS_ROLE_ARN", "arn:x"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x"),
    ];
    let found = |variables: &[(&str, &str)]| source(&around(variables)).expect("no error");
    assert!(matches!(found(&variables), Some(Source::Keys(keys)) if keys.access_key == "AKENV"));
    variables.drain(..2);
    assert!(matches!(found(&variables), Some(Source::Keys(keys)) if keys.access_key == "AKFILE"));
    variables.remove(0);
    assert!(matches!(found(&variables), Some(Source::WebIdentity(_))));
    variables.drain(..2);
    let container =
        Source::Container { address: "http://169.254.170.2/v2/x".to_owned(), authorization: None };
    assert_eq!(found(&variables), Some(container));
    variables.clear();
    let address = Endpoint::parse("http://169.254.169.254").expect("parses");
    assert_eq!(found(&variables), Some(Source::Instance { address }));
    assert_eq!(found(&[("AWS_EC2_METADATA_DISABLED", "True")]), None);
}

#[test]
fn half_a_configuration_is_an_error_and_not_the_next_source() {
    let scratch = Scratch::new();
    let file = scratch.path().join("config");
    std::fs::write(&file, "[profile sso]\nsso_session = x\n[profile half]\naws_access_key_id = x\n")
        .expect("writes");
    let file = file.display().to_string();
    let said = |variables: &[(&str, &str)]| source(&around(variables)).expect_err("an error").to_string();
    assert!(said(&[("AWS_ACCESS_KEY_ID", "x")]).contains("the other is not"));
    assert!(said(&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/x")]).contains("AWS_ROLE_ARN"));
    let config = ("AWS_CONFIG_FILE", file.as_str());
    assert!(said(&[config, ("AWS_PROFILE", "sso")]).contains("sso_session"));
    assert!(said(&[config, ("AWS_PROFILE", "half")]).contains("not the other"));
    assert!(said(&[config, ("AWS_PROFILE", "nobody")]).contains("no such profile"));
    for foreign in ["http://198.51.100.7/x", "http://[2001:db8::1]/x", "ftp://127.0.0.1/x", "/x"] {
        assert!(
            said(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", foreign)]).contains("this machine"),
            "{foreign}"
        );
    }
}

#[tokio::test]
async fn the_containers_agent_is_asked_with_the_token_of_its_file() {
    let server = Server::start(|_, _| (200, as_json("AKBOX", 60))).await;
    let scratch = Scratch::new();
    let token = scratch.path().join("token");
    std::fs::write(&token, "Bearer abc\n").expect("writes");
    let address = format!("{}/creds?id=1", server.address);
    let chain = chain(
        &[
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &address),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token.display().to_string()),
        ],
        NOWHERE,
    );
    let found = chain.current().await.expect("no error").expect("credentials");
    assert_eq!((found.access_key.as_str(), found.session_token.as_deref()), ("AKBOX", Some("t")));
    // Good for an hour: nobody is asked again.
    assert_eq!(key_of(&chain).await, "AKBOX");
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert!(
        asked[0].starts_with("GET /creds?id=1 ") && asked[0].contains("authorization: Bearer abc\r\n"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn the_metadata_service_is_asked_with_a_token() {
    let server = Server::start(|text, _| match text.split(' ').nth(1) {
        Some("/latest/api/token") => (200, "TOKEN".to_owned()),
        Some("/latest/meta-data/iam/security-credentials/") => (200, "my-role\nother".to_owned()),
        Some("/latest/meta-data/iam/security-credentials/my-role") => (200, as_json("AKEC2", 60)),
        _ => (500, String::new()),
    })
    .await;
    let chain = chain(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &server.address)], NOWHERE);
    assert_eq!(key_of(&chain).await, "AKEC2");
    let asked = server.asked();
    assert!(asked[0].starts_with("PUT ") && asked[0].contains("x-aws-ec2-metadata-token-ttl-seconds: 300"));
    assert!(asked[1..].iter().all(|text| text.contains("x-aws-ec2-metadata-token: TOKEN\r\n")), "{asked:?}");
}

#[tokio::test]
async fn a_machine_that_is_no_instance_has_no_credentials_and_is_not_asked_at_once_again() {
    for (status, body) in [(404, ""), (200, "")] {
        let server = Server::start(move |text, _| match text.starts_with("PUT ") {
            true => (if status == 404 { 403 } else { 200 }, "T".to_owned()),
            false => (status, body.to_owned()),
        })
        .await;
        let chain = chain(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &server.address)], NOWHERE);
        assert_eq!(chain.current().await.expect("no error"), None);
        let before = server.asked().len();
        assert_eq!(chain.current().await.expect("no error"), None);
        assert_eq!(server.asked().len(), before);
    }
    let chain = chain(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", NOWHERE)], NOWHERE);
    assert_eq!(chain.current().await.expect("no error"), None);
}

fn assumed(key: &str, minutes: i64) -> String {
    let end = in_minutes(minutes);
    format!(
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{key}</AccessKeyId>\
         <SecretAccessKey>a&amp;b</SecretAccessKey><SessionToken>tok</SessionToken><Expiration>{end}</Expiration>\
         </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    )
}

#[tokio::test]
async fn a_token_is_exchanged_for_a_role_and_read_anew_each_time() {
    let scratch = Scratch::new();
    let token = scratch.path().join("token");
    std::fs::write(&token, "first.token\n").expect("writes");
    // Less than five minutes are left of the first: it is renewed a second later.
    let server =
        Server::start(|_, number| (200, assumed(["AKONE", "AKTWO"][number.min(1)], [1, 60][number.min(1)])))
            .await;
    let path = token.display().to_string();
    let variables =
        [("AWS_WEB_IDENTITY_TOKEN_FILE", path.as_str()), ("AWS_ROLE_ARN", "arn:aws:iam::1:role/x")];
    let chain = chain(&variables, &server.address);
    let first = chain.current().await.expect("no error").expect("credentials");
    assert_eq!((first.access_key.as_str(), first.secret_key.as_str()), ("AKONE", "a&b"));
    std::fs::write(&token, "second/token").expect("writes");
    chain.forget().await;
    assert_eq!(key_of(&chain).await, "AKTWO");
    // Once it has been read, it need not be readable any more.
    std::fs::remove_file(&token).expect("removes");
    chain.forget().await;
    assert_eq!(key_of(&chain).await, "AKTWO");
    let asked = server.asked();
    assert!(asked[0].ends_with(
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx&RoleSessionName=hearth&WebIdentityToken=first.token"
    ), "{}", asked[0]);
    assert!(asked[1].ends_with("WebIdentityToken=second%2Ftoken"), "{}", asked[1]);
    assert!(asked[2].ends_with("WebIdentityToken=first.token"), "{}", asked[2]);
    assert!(
        asked.iter().all(|text| !text.to_lowercase().contains("authorization:")),
        "STS gets the token alone"
    );
}

#[tokio::test]
async fn credentials_that_are_good_serve_on_when_they_cannot_be_renewed() {
    let server = Server::start(|_, number| match number {
        0 => (200, as_json("AKOLD", 4)),
        _ => (503, "later".to_owned()),
    })
    .await;
    let address = format!("{}/x", server.address);
    let chain = chain(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &address)], NOWHERE);
    assert_eq!(key_of(&chain).await, "AKOLD");
    let renewed = async {
        while server.asked().len() < 2 {
            assert_eq!(key_of(&chain).await, "AKOLD");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), renewed).await.expect("a renewal is tried");
    assert_eq!(key_of(&chain).await, "AKOLD");
    chain.forget().await;
    let error = chain.current().await.expect_err("nothing is left");
    assert!(
        matches!(&error, CredentialsError::Refused { answer, .. } if answer.starts_with("503") && answer.ends_with("later")),
        "{error}"
    );
}

#[tokio::test]
async fn a_refusal_of_sts_is_told_in_its_words() {
    let server = Server::start(|_, _| {
        (400, "<Error><Code>InvalidIdentityToken</Code><Message>No.</Message></Error>".to_owned())
    })
    .await;
    let variables = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/proc/self/stat"), ("AWS_ROLE_ARN", "arn:x")];
    let error = chain(&variables, &server.address).current().await.expect_err("refused").to_string();
    assert!(error.contains("STS") && error.contains("InvalidIdentityToken: No."), "{error}");
    let variables = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent/token"), ("AWS_ROLE_ARN", "arn:x")];
    let error = chain(&variables, &server.address).current().await.expect_err("no token").to_string();
    assert!(error.contains("/nonexistent/token"), "{error}");
}

#[test]
fn a_secret_is_not_shown_by_debug() {
    let credentials = Credentials {
        access_key: "AK".to_owned(),
        secret_key: "hidden".to_owned(),
        session_token: Some("hidden".to_owned()),
        expires_ms: None,
    };
    let shown = format!("{credentials:?}");
    assert!(shown.contains("AK") && !shown.contains("hidden"), "{shown}");
}

#[test]
fn a_request_is_signed_like_the_services_own_example() {
    // AWS documentation, "Signature Calculations for the Authorization Header": GET Object with a range.
    let mut parts = http::Request::get("https://examplebucket.s3.amazonaws.com/test.txt")
        .header("Host", "examplebucket.s3.amazonaws.com")
        .header("Range", "bytes=0-9")
        .body(())
        .expect("a request")
        .into_parts()
        .0;
    let credentials = Credentials {
        access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
        session_token: None,
        expires_ms: None,
    };
    sign::sign(
        &mut parts,
        &credentials,
        Scope { region: "us-east-1", service: "s3", now_ms: 1_369_353_600_000 },
    );
    assert_eq!(
        parts.headers["authorization"],
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
         SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
         Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    );
}

fn s3(endpoint: Option<&str>, addressing: Addressing) -> S3 {
    let chain = chain(&[("AWS_EC2_METADATA_DISABLED", "true")], NOWHERE);
    let endpoint = endpoint.map(|text| Endpoint::parse(text).expect("an endpoint"));
    S3::new(Web::new(None), chain, endpoint, (addressing, "eu-west-1"), Duration::from_secs(1))
}

#[test]
fn a_bucket_stands_in_the_path_or_in_front_of_the_host() {
    let own = Some("http://minio.local:9000");
    let number = Some("http://127.0.0.1:9000");
    for (endpoint, addressing, bucket, expected) in [
        (own, Addressing::Auto, "b", "http://minio.local:9000/b/k/x%20y"),
        (own, Addressing::Path, "b", "http://minio.local:9000/b/k/x%20y"),
        (own, Addressing::Virtual, "b", "http://b.minio.local:9000/k/x%20y"),
        (number, Addressing::Virtual, "b", "http://127.0.0.1:9000/b/k/x%20y"),
        (None, Addressing::Auto, "b-1", "https://b-1.s3.eu-west-1.amazonaws.com/k/x%20y"),
        (None, Addressing::Auto, "b.1", "https://s3.eu-west-1.amazonaws.com/b.1/k/x%20y"),
        (None, Addressing::Auto, "Old_One", "https://s3.eu-west-1.amazonaws.com/Old_One/k/x%20y"),
        (None, Addressing::Path, "b", "https://s3.eu-west-1.amazonaws.com/b/k/x%20y"),
    ] {
        let object = Object { bucket: bucket.to_owned(), key: "k/x y".to_owned(), version: None };
        let address = s3(endpoint, addressing).address(&object).expect("an address");
        assert_eq!(address.to_string(), expected);
    }
    let object = Object { bucket: "b".into(), key: "ü?#".into(), version: Some("a+b".into()) };
    let address = s3(own, Addressing::Auto).address(&object).expect("an address").to_string();
    assert_eq!(address, "http://minio.local:9000/b/%C3%BC%3F%23?versionId=a%2Bb");
}

#[tokio::test]
async fn an_expired_token_is_replaced_by_the_next_try() {
    let expired = "<Error><Code>ExpiredToken</Code><Message>x</Message></Error>";
    let server = Server::start(|text, _| match text.contains("/agent") {
        true => (200, as_json("AKAGENT", 60)),
        false => (400, expired.to_owned()),
    })
    .await;
    let agent = format!("{}/agent", server.address);
    let chain = chain(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &agent)], NOWHERE);
    let endpoint = Endpoint::parse(&server.address);
    let store = S3::new(Web::new(None), chain, endpoint, (Addressing::Auto, "r"), Duration::from_secs(5));
    let object = Object { bucket: "b".into(), key: "k".into(), version: None };
    for _ in 0..2 {
        let error = store.get(&object).await.err().expect("refused");
        assert!(
            matches!(&error, S3Error::Answer { code, .. } if code == "ExpiredToken") && error.may_pass(),
            "{error}"
        );
    }
    let agents = server.asked().iter().filter(|text| text.starts_with("GET /agent ")).count();
    assert_eq!(agents, 2, "each refusal makes the next request ask for new credentials");
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_told_apart_from_none() {
    let server = Server::start(|_, _| (200, String::new())).await;
    let endpoint = server.address.replace("http://", "https://");
    let object = Object { bucket: "b".into(), key: "k".into(), version: None };
    let error = s3(Some(&endpoint), Addressing::Auto).get(&object).await.err().expect("no TLS").to_string();
    assert!(error.starts_with(&format!("{endpoint} did not answer: ")), "{error}");
    assert!(!error.contains("refused"), "{error}");
}
