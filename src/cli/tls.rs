//! The client's side of encryption: connects to a daemon that is who it should be.
//!
//! A daemon found by its state directory is known by the certificate that `run.json` names, whatever names are in it; any
//! other is known by an authority: the one that the user names, else those of this host. Nothing turns the check off.

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How a daemon proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// By the certificate with this SHA-256, in hexadecimal digits.
    Certificate(String),
    /// By an authority in this file.
    File(PathBuf),
    /// By an authority that this host trusts.
    Host,
}

/// Speaks TLS on a connection to `host`.
pub(super) async fn secured(
    stream: TcpStream,
    host: &str,
    trust: &Trust,
) -> io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let mut config = match trust {
        Trust::Certificate(fingerprint) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned { fingerprint: fingerprint.clone(), provider }))
            .with_no_client_auth(),
        Trust::File(_) | Trust::Host => {
            let roots = Arc::new(roots(trust)?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
            builder.with_webpki_verifier(verifier.map_err(io::Error::other)?).with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

fn roots(trust: &Trust) -> io::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    let Trust::File(path) = trust else {
        let host = rustls_native_certs::load_native_certs();
        store.add_parsable_certificates(host.certs);
        return Ok(store);
    };
    let wrong = |error: String| io::Error::other(format!("cannot trust {}: {error}", path.display()));
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))? {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        store.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if store.is_empty() { Err(wrong("there is no certificate in it".to_owned())) } else { Ok(store) }
}

/// Takes one certificate and no other. That its holder has the key is checked as ever.
#[derive(Debug)]
struct Pinned {
    fingerprint: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match hearth_api::sigv4::payload_hash(end_entity) == self.fingerprint {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_certificates_are_refused_by_name() {
        for path in ["/nonexistent/ca.pem", "/dev/null"] {
            let error = roots(&Trust::File(path.into())).expect_err(path).to_string();
            assert!(error.starts_with(&format!("cannot trust {path}: ")), "{error}");
        }
    }
}
