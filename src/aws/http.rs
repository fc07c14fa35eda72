//! The one outbound HTTP client: plain and TLS, pooled, with a bound on every wait.
//!
//! The only file that knows TLS. Trusts the certificates of this host (or of `SSL_CERT_FILE`, `SSL_CERT_DIR`) and those
//! of `AWS_CA_BUNDLE`. They are loaded when the first request is sent: most daemons never send one. Does not follow
//! redirects and retries nothing: what a request means is its sender's business.

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// Making a connection takes this long at most.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Idle connections are kept this long, and so many per host.
const IDLE_MAX: Duration = Duration::from_secs(30);
const IDLE_PER_HOST: usize = 4;

/// A request with its whole body.
pub(crate) type Outgoing = Request<Full<Bytes>>;

type Connections = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Sends requests. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Web {
    bundle: Option<Arc<[u8]>>,
    connections: Arc<OnceCell<Connections>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebError {
    /// Nobody could be reached, or what was said was no HTTP. The text names the whole chain of causes.
    #[error("{0}")]
    Broken(String),
    /// No answer, or no more of it, in time.
    #[error("nothing came for {} s", .0.as_secs_f32())]
    Slow(Duration),
    /// More than was asked for.
    #[error("the answer is larger than {0} bytes")]
    Large(usize),
}

impl Web {
    /// `bundle`: certificates (PEM) that are trusted beside those of the host.
    pub(crate) fn new(bundle: Option<Vec<u8>>) -> Self {
        Self { bundle: bundle.map(Arc::from), connections: Arc::default() }
    }

    /// Sends a request; its answer's head must come within `patience`.
    pub(crate) async fn send(
        &self,
        request: Outgoing,
        patience: Duration,
    ) -> Result<Response<Incoming>, WebError> {
        let connections = self.connections.get_or_init(|| async {
            let bundle = self.bundle.clone();
            let loaded = tokio::task::spawn_blocking(move || trusted(bundle.as_deref())).await;
            connections(loaded.unwrap_or_else(|_| rustls::RootCertStore::empty()))
        });
        let connections = connections.await;
        match tokio::time::timeout(patience, connections.request(request)).await {
            Err(_) => Err(WebError::Slow(patience)),
            Ok(Err(error)) => Err(WebError::Broken(chain(&error))),
            Ok(Ok(response)) => Ok(response),
        }
    }

    /// The same, with the answer's whole body, which must be small and come without long pauses.
    pub(crate) async fn ask(
        &self,
        request: Outgoing,
        patience: Duration,
        max: usize,
    ) -> Result<Response<Bytes>, WebError> {
        let (head, mut body) = self.send(request, patience).await?.into_parts();
        let body = read(&mut body, patience, max).await?;
        Ok(Response::from_parts(head, body))
    }
}

/// The rest of a body, up to `max` bytes of it.
pub(crate) async fn read(body: &mut Incoming, patience: Duration, max: usize) -> Result<Bytes, WebError> {
    let mut whole = BytesMut::new();
    while let Some(piece) = next(body, patience).await? {
        if whole.len() + piece.len() > max {
            return Err(WebError::Large(max));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// The next piece of a body; none at its announced end.
pub(crate) async fn next(body: &mut Incoming, patience: Duration) -> Result<Option<Bytes>, WebError> {
    loop {
        match tokio::time::timeout(patience, body.frame()).await {
            Err(_) => return Err(WebError::Slow(patience)),
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => return Err(WebError::Broken(chain(&error))),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(Some(data)),
                Ok(_) | Err(_) => {}
            },
        }
    }
}

fn connections(roots: rustls::RootCertStore) -> Connections {
    let mut plain = HttpConnector::new();
    plain.enforce_http(false);
    plain.set_connect_timeout(Some(CONNECT_MAX));
    plain.set_nodelay(true);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    #[expect(clippy::expect_used, reason = "ring offers the suites of both protocol versions; a test asks")]
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for these versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(plain);
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .build(connector)
}

fn trusted(bundle: Option<&[u8]>) -> rustls::RootCertStore {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (known, unusable) = roots.add_parsable_certificates(found.certs);
    let own = bundle.into_iter().flat_map(CertificateDer::pem_slice_iter).filter_map(Result::ok);
    let (added, refused) = roots.add_parsable_certificates(own);
    tracing::debug!(known, unusable, added, refused, "certificates");
    if roots.is_empty() {
        tracing::warn!(
            "no certificates are trusted, so https:// cannot be reached: install ca-certificates, or name a file with AWS_CA_BUNDLE"
        );
    }
    roots
}

/// An error with everything that led to it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}
