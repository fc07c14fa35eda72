//! Secrets at rest: what functions must not leave on the disk in the clear is sealed with the host's key.
//!
//! A secret is bound to the place it belongs to, so that it cannot be moved to another function. The nonce is made from
//! the content (as SIV modes do): the same secret in the same place is the same text, which comparing settings needs, and
//! no nonce is ever used for two contents. XChaCha20-Poly1305, subkeys by HMAC-SHA256. Where the key lies and who may
//! read it is `Key`'s business; what is secret, the records'.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::Mac as _;
use std::fmt;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Bytes of a key.
const KEY_LEN: usize = 32;
/// Bytes of a nonce.
const NONCE_LEN: usize = 24;
/// Bytes of a key file at most: a key as hexadecimal digits, and a line feed.
const FILE_MAX: u64 = 128;
/// The file in the state directory that names the key.
const MARKER: &str = "sealed-with";

type HmacSha256 = hmac::Hmac<sha2::Sha256>;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// The system refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file is not a key.
    #[error(
        "{} is not a key: {KEY_LEN} bytes, or {} hexadecimal digits (head -c {KEY_LEN} /dev/urandom makes one)",
        .path.display(), 2 * KEY_LEN
    )]
    Form {
        /// File.
        path: PathBuf,
    },
    /// Others may read it.
    #[error("{} may be read by other users (mode {mode:04o}): chmod 600 it", .path.display())]
    Open {
        /// File.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The secrets of the state directory were sealed with a key that is gone.
    #[error(
        "the secrets in {} are sealed with key {wanted}, and there is no key at {}: put that key back. Without it the \
         environment variables of its functions are lost; to go on without them, delete {}/{MARKER} and set them again.",
        .state.display(), .path.display(), .state.display()
    )]
    Lost {
        /// State directory.
        state: PathBuf,
        /// Where a key was looked for.
        path: PathBuf,
        /// The key's id.
        wanted: String,
    },
    /// The secrets of the state directory were sealed with another key.
    #[error(
        "the secrets in {} are sealed with key {wanted}, and {} is key {found}: put the other key back. Without it the \
         environment variables of its functions are lost; to go on without them, delete {}/{MARKER} and set them again.",
        .state.display(), .path.display(), .state.display()
    )]
    Other {
        /// State directory.
        state: PathBuf,
        /// Where the key was found.
        path: PathBuf,
        /// The id of the key that is needed.
        wanted: String,
        /// The id of the key that is there.
        found: String,
    },
}

/// A secret cannot be opened: it is damaged, of another place, or of another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value is damaged, or was sealed with another key")]
pub(crate) struct Unreadable;

/// Seals and opens. Prints nothing of its key.
#[derive(Clone)]
pub(crate) struct Sealer {
    cipher: XChaCha20Poly1305,
    nonces: HmacSha256,
    id: String,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({})", self.id)
    }
}

impl Sealer {
    /// With this key.
    pub(crate) fn new(key: &[u8; KEY_LEN]) -> Self {
        let derived = |purpose: &[u8]| -> [u8; KEY_LEN] {
            let mut mac = mac(key);
            mac.update(purpose);
            mac.finalize().into_bytes().into()
        };
        let id = derived(b"hearth id")[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            cipher: XChaCha20Poly1305::new(&derived(b"hearth cipher").into()),
            nonces: mac(&derived(b"hearth nonce")),
            id,
        }
    }

    /// The sealed form of a secret that belongs to `place`.
    pub(crate) fn seal(&self, place: &str, secret: &[u8]) -> Vec<u8> {
        let mut nonces = self.nonces.clone();
        nonces.update(&(place.len() as u64).to_le_bytes());
        nonces.update(place.as_bytes());
        nonces.update(secret);
        let nonce = XNonce::clone_from_slice(&nonces.finalize().into_bytes()[..NONCE_LEN]);
        let payload = Payload { msg: secret, aad: place.as_bytes() };
        let sealed = self.cipher.encrypt(&nonce, payload);
        let mut text = nonce.to_vec();
        // Refused beyond 2^38 bytes only.
        text.extend(sealed.unwrap_or_else(|_| unreachable!("a secret fits into memory")));
        text
    }

    /// The secret of a sealed form.
    ///
    /// # Errors
    /// It was not sealed with this key for this place, or was changed since.
    pub(crate) fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(Unreadable)?;
        let payload = Payload { msg: text, aad: place.as_bytes() };
        self.cipher.decrypt(XNonce::from_slice(nonce), payload).map_err(|_| Unreadable)
    }

    /// The sealer of a state directory, with the key at `path`. A state directory that nothing was sealed in takes
    /// whatever key is there; where none is, one is made. Done while the process may still read it.
    pub(crate) fn of_state_directory(
        state: &Path,
        path: &Path,
        fresh: impl FnOnce() -> [u8; KEY_LEN],
    ) -> Result<Self, KeyError> {
        let marker = state.join(MARKER);
        let wanted = match fs::read_to_string(&marker) {
            Ok(text) => Some(text.trim().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(KeyError::File { action: "read", path: marker, source }),
        };
        let sealer = match (read_key(path)?, &wanted) {
            (Some(key), _) => Self::new(&key),
            (None, Some(wanted)) => {
                let (state, path) = (state.to_owned(), path.to_owned());
                return Err(KeyError::Lost { state, path, wanted: wanted.clone() });
            }
            (None, None) => {
                let key = fresh();
                let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
                write_once(path, &format!("{text}\n"))?;
                tracing::info!(path = %path.display(), "a key for secrets at rest was made: keep a copy of it");
                Self::new(&key)
            }
        };
        match wanted {
            Some(wanted) if wanted == sealer.id => Ok(sealer),
            Some(wanted) => {
                let (state, path) = (state.to_owned(), path.to_owned());
                Err(KeyError::Other { state, path, wanted, found: sealer.id })
            }
            None => {
                write_once(&marker, &format!("{}\n", sealer.id))?;
                Ok(sealer)
            }
        }
    }
}

fn mac(key: &[u8]) -> HmacSha256 {
    <HmacSha256 as hmac::Mac>::new_from_slice(key)
        .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"))
}

fn read_key(path: &Path) -> Result<Option<[u8; KEY_LEN]>, KeyError> {
    let failed = |source| KeyError::File { action: "read", path: path.to_owned(), source };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(source)),
    };
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    // The group may: systemd's credentials are 0440.
    if mode & 0o007 != 0 {
        return Err(KeyError::Open { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes).map_err(failed)?;
    if let Ok(key) = bytes.as_slice().try_into() {
        return Ok(Some(key));
    }
    let digits = bytes.trim_ascii();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let key: Option<Vec<u8>> = match digits.iter().all(u8::is_ascii_hexdigit) {
        true => digits.chunks(2).map(pair).collect(),
        false => None,
    };
    match key.and_then(|key| key.try_into().ok()) {
        Some(key) => Ok(Some(key)),
        None => Err(KeyError::Form { path: path.to_owned() }),
    }
}

/// A small file that is there in full or not at all, and on disk when this returns.
fn write_once(path: &Path, text: &str) -> Result<(), KeyError> {
    let failed = |source| KeyError::File { action: "write", path: path.to_owned(), source };
    let half = path.with_added_extension("new");
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(failed)?;
    fs::remove_file(&half).ok();
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&half, path)?;
        fs::File::open(folder)?.sync_all()
    };
    write().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Scratch;
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn sealer() -> Sealer {
        Sealer::new(&[7; KEY_LEN])
    }

    fn open(scratch: &Scratch) -> Result<Sealer, KeyError> {
        Sealer::of_state_directory(scratch.path(), &scratch.path().join("etc/key"), || [1; KEY_LEN])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_was_sealed_is_opened_and_nothing_else(secret: Vec<u8>, place: String, at: prop::sample::Index, bit in 0_u8..8) {
            let sealed = sealer().seal(&place, &secret);
            prop_assert_eq!(sealer().open(&place, &sealed), Ok(secret.clone()));
            prop_assert_eq!(sealer().open(&format!("{place}x"), &sealed), Err(Unreadable));
            prop_assert_eq!(Sealer::new(&[8; KEY_LEN]).open(&place, &sealed), Err(Unreadable));
            prop_assert_eq!(sealer().seal(&place, &secret), sealed.clone());
            let mut changed = sealed;
            let at = at.index(changed.len());
            changed[at] ^= 1 << bit;
            prop_assert_eq!(sealer().open(&place, &changed), Err(Unreadable));
        }
    }

    #[test]
    fn the_text_shows_nothing_of_the_secret_and_debug_nothing_of_the_key() {
        let sealed = sealer().seal("f", b"correct horse battery staple");
        assert!(!sealed.windows(5).any(|part| part == b"horse"));
        assert_ne!(sealer().seal("g", b"x")[..NONCE_LEN], sealer().seal("f", b"x")[..NONCE_LEN]);
        for short in [0, 1, NONCE_LEN, NONCE_LEN + 15] {
            assert_eq!(sealer().open("f", &sealed[..short]), Err(Unreadable), "{short}");
        }
        assert_eq!(format!("{:?}", sealer()).len(), "Sealer()".len() + 16);
    }

    #[test]
    fn a_new_directory_gets_a_key_that_only_its_owner_reads_and_keeps_it() {
        let scratch = Scratch::new();
        let first = open(&scratch).expect("makes a key");
        let key = scratch.path().join("etc/key");
        assert_eq!(fs::metadata(&key).expect("is there").mode() & 0o777, 0o600);
        let again = Sealer::of_state_directory(scratch.path(), &key, || unreachable!("there is a key"));
        assert_eq!(again.expect("opens").open("f", &first.seal("f", b"x")), Ok(b"x".to_vec()));
    }

    #[test]
    fn a_lost_key_and_another_key_are_refused_in_words_that_help() {
        let scratch = Scratch::new();
        let id = open(&scratch).expect("makes a key").id;
        let key = scratch.path().join("etc/key");
        fs::remove_file(&key).expect("removes");
        let lost = open(&scratch).expect_err("is lost").to_string();
        assert!(
            lost.contains(&id) && lost.contains("etc/key") && lost.contains("put that key back"),
            "{lost}"
        );
        assert!(!key.exists(), "no second key is made");
        write_once(&key, &"ab".repeat(KEY_LEN)).expect("writes");
        let other = open(&scratch).expect_err("is another").to_string();
        assert!(other.contains(&id) && other.contains("put the other key back"), "{other}");
    }

    #[test]
    fn keys_are_raw_bytes_or_digits_and_no_others_may_read_them() {
        let scratch = Scratch::new();
        let key = scratch.path().join("key");
        let put = |bytes: &[u8], mode: u32| {
            fs::write(&key, bytes).expect("writes");
            fs::set_permissions(&key, fs::Permissions::from_mode(mode)).expect("sets");
            read_key(&key)
        };
        assert_eq!(put(&[5; KEY_LEN], 0o400).expect("is a key"), Some([5; KEY_LEN]));
        assert_eq!(put("05".repeat(KEY_LEN).as_bytes(), 0o440).expect("is a key"), Some([5; KEY_LEN]));
        for wrong in
            [b"".as_slice(), b"short", &[5; KEY_LEN + 1], "0g".repeat(KEY_LEN).as_bytes(), "ä".as_bytes()]
        {
            assert!(matches!(put(wrong, 0o600), Err(KeyError::Form { .. })), "{wrong:?}");
        }
        assert!(matches!(put(&[5; KEY_LEN], 0o644), Err(KeyError::Open { .. })));
    }
}
