//! The daemon's side of encryption: a certificate from files, or one that it makes and keeps in its state directory.
//!
//! A certificate made here is signed by an authority that is made with it, whose key is thrown away: clients trust
//! `ca.pem`, and nobody can ever sign a second certificate with it. Only TLS 1.2 and 1.3, only HTTP/1.1 behind them.
//! The only file of the daemon that knows TLS libraries, but for the type of an acceptor in `server.rs`.

use hearth_api::sigv4::payload_hash;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CipherSuite, ServerConfig};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_rustls::TlsAcceptor;

/// A certificate made here is good for ten years; in its last month a start makes another.
const LIFETIME: Duration = Duration::from_secs(3650 * 86_400);
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 86_400);
/// Clients' clocks may be behind.
const BACKDATED: Duration = Duration::from_secs(86_400);
/// Names that reach a daemon on its own machine.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate in use.
pub(crate) struct Tls {
    /// Turns streams into encrypted ones.
    pub(crate) acceptor: TlsAcceptor,
    /// SHA-256 of the certificate, in hexadecimal digits.
    pub(crate) fingerprint: String,
    /// The authority that clients have to trust, where it was made here.
    pub(crate) authority: Option<PathBuf>,
}

/// What both sides of a connection agreed on, in the words of OpenSSL, which are the service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// `TLSv1.3`.
    pub(crate) version: &'static str,
    /// `TLS_AES_128_GCM_SHA256`.
    pub(crate) suite: &'static str,
}

/// What was agreed on with the client of this connection, once it is open.
pub(crate) fn agreed(connection: &rustls::ServerConnection) -> Agreed {
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        // The only other one that is offered.
        _ => "TLSv1.3",
    };
    let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
    Agreed { version, suite: suite.and_then(suite_name).unwrap_or("unknown") }
}

/// OpenSSL's name of a suite; none for those that are not offered here.
const fn suite_name(suite: CipherSuite) -> Option<&'static str> {
    Some(match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => return None,
    })
}

/// Why there is no encryption.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read or has not what it should.
    #[error("`tls.{key}`: cannot use {}: {detail}", .path.display())]
    File {
        /// `cert` or `key`.
        key: &'static str,
        /// Which.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Certificate and key do not go together, or are of a kind that cannot be used.
    #[error("`tls.cert` and `tls.key` cannot be used together: {0}")]
    Pair(#[source] rustls::Error),
    /// A certificate cannot be made.
    #[error("`tls.self_signed`: cannot make a certificate for {names:?}: {source}")]
    Make {
        /// Names in it.
        names: Vec<String>,
        /// The library's answer.
        source: rcgen::Error,
    },
    /// It cannot be kept.
    #[error("cannot keep a certificate in {}: {source}", .path.display())]
    Keep {
        /// Where.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl Tls {
    /// From a file with a certificate and those between it and an authority, and one with its key, both in PEM.
    pub(crate) fn from_files(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let wrong =
            |name, path: &Path, detail: String| TlsError::File { key: name, path: path.to_owned(), detail };
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(cert).and_then(|found| found.collect());
        let certificates = certificates.map_err(|error| wrong("cert", cert, error.to_string()))?;
        if certificates.is_empty() {
            return Err(wrong("cert", cert, "there is no certificate in it".to_owned()));
        }
        let mode = fs::metadata(key).map_err(|error| wrong("key", key, error.to_string()))?.mode();
        if mode & 0o007 != 0 {
            let detail =
                format!("its mode is {:o}, which lets every user at the key: chmod o= it", mode & 0o777);
            return Err(wrong("key", key, detail));
        }
        let secret =
            PrivateKeyDer::from_pem_file(key).map_err(|error| wrong("key", key, error.to_string()))?;
        let fingerprint = payload_hash(&certificates[0]);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, secret))
            .map_err(TlsError::Pair)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), fingerprint, authority: None })
    }

    /// With the certificate in a directory, which is made if there is none for these names or it is about to expire.
    /// `now` is the time since 1970.
    pub(crate) fn self_signed(directory: &Path, names: &[String], now: Duration) -> Result<Self, TlsError> {
        let local = LOCAL_NAMES.iter().map(|name| (*name).to_owned());
        let mut wanted: Vec<String> = local.chain(names.iter().cloned()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let keep = |source| TlsError::Keep { path: directory.to_owned(), source };
        let note = directory.join("made.json");
        let made = fs::read(&note).ok().and_then(|text| serde_json::from_slice::<Made>(&text).ok());
        let is_good =
            made.is_some_and(|made| made.names == wanted && made.expires_s > (now + RENEW_BEFORE).as_secs());
        if !is_good {
            let pems =
                make(&wanted, now).map_err(|source| TlsError::Make { names: wanted.clone(), source })?;
            let made = Made { names: wanted, expires_s: (now + LIFETIME).as_secs() };
            let made = serde_json::to_vec(&made).map_err(|error| keep(error.into()))?;
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(keep)?;
            // The note last: without it the files are made again.
            fs::remove_file(&note).or_else(no_matter_if_absent).map_err(keep)?;
            for (name, bytes) in
                [("ca.pem", &pems.authority), ("cert.pem", &pems.certificate), ("key.pem", &pems.key)]
            {
                write(&directory.join(name), bytes.as_bytes()).map_err(keep)?;
            }
            write(&note, &made).map_err(keep)?;
        }
        let tls = Self::from_files(&directory.join("cert.pem"), &directory.join("key.pem"))?;
        Ok(Self { authority: Some(directory.join("ca.pem")), ..tls })
    }
}

/// What a certificate in the state directory was made for.
#[derive(Serialize, Deserialize)]
struct Made {
    names: Vec<String>,
    expires_s: u64,
}

struct Pems {
    authority: String,
    certificate: String,
    key: String,
}

fn make(names: &[String], now: Duration) -> Result<Pems, rcgen::Error> {
    let moment = |at: Duration| (UNIX_EPOCH + at) as SystemTime;
    let (from, until) = (moment(now.saturating_sub(BACKDATED)).into(), moment(now + LIFETIME).into());
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "Hearth, made for one certificate");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (authority.not_before, authority.not_after) = (from, until);
    let authority_key = KeyPair::generate()?;
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);
    let mut own = CertificateParams::new(names.to_vec())?;
    own.distinguished_name.push(DnType::CommonName, "Hearth");
    own.use_authority_key_identifier_extension = true;
    own.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (own.not_before, own.not_after) = (from, until);
    let key = KeyPair::generate()?;
    let certificate = own.signed_by(&key, &issuer)?.pem();
    Ok(Pems { authority: authority_pem, certificate, key: key.serialize_pem() })
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::remove_file(path).or_else(no_matter_if_absent)?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn no_matter_if_absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_790_000_000);

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("hearth-tls-{name}-{}", std::process::id()));
            fs::remove_dir_all(&path).ok();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    #[test]
    fn a_certificate_is_made_once_and_again_for_other_names_or_at_its_end() {
        let scratch = Scratch::new("made");
        let with = |names: &[&str], now| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            Tls::self_signed(&scratch.0, &names, now).expect("is made")
        };
        let first = with(&["a.example"], NOW);
        assert_eq!(first.authority, Some(scratch.0.join("ca.pem")));
        assert_eq!(with(&["a.example"], NOW + LIFETIME / 2).fingerprint, first.fingerprint);
        assert_ne!(with(&["b.example"], NOW).fingerprint, first.fingerprint);
        let last = with(&["b.example"], NOW).fingerprint;
        assert_ne!(with(&["b.example"], NOW + LIFETIME).fingerprint, last);
        let mode = fs::metadata(scratch.0.join("key.pem")).expect("is there").mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn every_suite_that_is_offered_has_a_name() {
        for suite in rustls::crypto::ring::default_provider().cipher_suites {
            assert!(suite_name(suite.suite()).is_some(), "{suite:?}");
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let scratch = Scratch::new("files");
        Tls::self_signed(&scratch.0, &[], NOW).expect("is made");
        let (cert, key) = (scratch.0.join("cert.pem"), scratch.0.join("key.pem"));
        let refused = |cert: &Path, key: &Path| match Tls::from_files(cert, key) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("is refused"),
        };
        assert!(refused(Path::new("/nonexistent"), &key).starts_with("`tls.cert`: cannot use /nonexistent"));
        assert!(refused(&cert, &cert).starts_with("`tls.key`: cannot use"));
        assert!(refused(&key, &key).contains("`tls.cert`"), "a key is no certificate");
        let other = Scratch::new("other");
        Tls::self_signed(&other.0, &[], NOW).expect("is made");
        assert!(refused(&cert, &other.0.join("key.pem")).contains("together"));
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs::set_permissions(&key, open).expect("opens it");
        assert!(refused(&cert, &key).contains("its mode is 644"));
    }
}
