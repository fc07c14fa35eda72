//! Code packages as files named by their SHA-256: written once, never changed, read with a check.
//!
//! A package is durable (file and name synced) before [`Blobs::put`] returns, so that a catalog commit that follows
//! never names bytes that are not there. Until that commit a [`Pin`] keeps garbage collection away. All functions
//! block on the disk: call them from blocking tasks.

use super::incoming::Incoming;
use super::layout::sync_dir;
use super::package::Package;
use hearth_sandbox::Digest;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes read from a file at a time.
const CHUNK: usize = 64 * 1024;

/// The content-addressed files of a state directory. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Blobs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    sha256: PathBuf,
    tmp: PathBuf,
    written: AtomicU64,
    pins: Mutex<BTreeMap<Digest, usize>>,
}

/// Keeps a blob from being collected as long as it lives: hold it until the catalog names the blob.
#[derive(Debug)]
pub(crate) struct Pin {
    shared: Arc<Shared>,
    digest: Digest,
    size: u64,
}

/// A blob whose bytes were found to be the right ones, open for reading from its beginning.
#[derive(Debug)]
pub(crate) struct Stored {
    /// At its beginning.
    pub(crate) file: File,
    /// Bytes.
    pub(crate) size: u64,
}

impl Stored {
    /// For the readers of packages.
    pub(super) fn package(&self) -> Package<'_> {
        Package::File { file: &self.file, size: self.size }
    }
}

/// Why a blob could not be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    /// There is no such blob.
    #[error("code package {} is missing from the state directory", .0.hex())]
    Missing(Digest),
    /// The bytes on disk are not those that were stored.
    #[error("code package {} is damaged on disk: its bytes have another hash", .0.hex())]
    Damaged(Digest),
    /// A package whose hash is not known yet could not be taken in.
    #[error("cannot {action} a code package that is arriving: {source}")]
    Arriving {
        /// What was being done.
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The file system refused.
    #[error("cannot {action} code package {}: {source}", .digest.hex())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        digest: Digest,
        /// The system's answer.
        source: io::Error,
    },
}

/// SHA-256 of some bytes.
pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

impl Blobs {
    /// Over the `blobs` directory of a layout.
    pub(crate) fn new(dir: &Path) -> Self {
        let (sha256, tmp) = (dir.join("sha256"), dir.join("tmp"));
        Self(Arc::new(Shared { sha256, tmp, written: AtomicU64::new(0), pins: Mutex::default() }))
    }

    /// Stores `bytes`; on disk when it returns. The same bytes again cost a check instead of a write.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<Pin, BlobError> {
        let digest = digest_of(bytes);
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        // Pinned before it is looked for: from here on the collector cannot take it away.
        let pin = self.pin(digest, size);
        let failed = |action| move |source| BlobError::Io { action, digest, source };
        match self.open(&digest) {
            Ok(_) => {}
            // A damaged file is replaced by the right bytes under the same name.
            Err(BlobError::Missing(_) | BlobError::Damaged(_)) => {
                self.write(&digest, bytes).map_err(failed("write"))?;
            }
            Err(error) => return Err(error),
        }
        // Also when it was there: whoever wrote it may not have come this far yet.
        sync_dir(&self.0.sha256).map_err(failed("sync"))?;
        Ok(pin)
    }

    /// Pins a blob if it is there.
    pub(crate) fn find(&self, digest: &Digest) -> Result<Option<Pin>, BlobError> {
        // Pinned before it is looked for: from here on the collector cannot take it away.
        let mut pin = self.pin(*digest, 0);
        match fs::metadata(self.path(digest)) {
            Ok(data) => {
                pin.size = data.len();
                Ok(Some(pin))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(BlobError::Io { action: "look for", digest: *digest, source }),
        }
    }

    /// Begins to take in a package that comes in pieces.
    pub(crate) fn receive(&self) -> Result<Incoming, BlobError> {
        Incoming::begin(self.clone(), self.fresh())
    }

    /// Puts a file of `tmp/`, its bytes on disk, in its place. On disk when it returns.
    pub(super) fn adopt(&self, tmp: &Path, digest: Digest, size: u64) -> Result<Pin, BlobError> {
        let pin = self.pin(digest, size);
        let failed = |action| move |source| BlobError::Io { action, digest, source };
        // Over whatever is there: the bytes are the same, or damaged.
        fs::rename(tmp, self.path(&digest)).map_err(failed("write"))?;
        sync_dir(&self.0.sha256).map_err(failed("sync"))?;
        Ok(pin)
    }

    /// A blob, its hash checked; it is read once for that, a chunk at a time.
    pub(crate) fn open(&self, digest: &Digest) -> Result<Stored, BlobError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => BlobError::Missing(*digest),
            _ => BlobError::Io { action: "read", digest: *digest, source },
        };
        let mut file = File::open(self.path(digest)).map_err(failed)?;
        let mut hash = Sha256::new();
        let mut chunk = vec![0; CHUNK];
        let mut size = 0;
        loop {
            let read = file.read(&mut chunk).map_err(failed)?;
            if read == 0 {
                break;
            }
            hash.update(&chunk[..read]);
            size += read as u64;
        }
        file.rewind().map_err(failed)?;
        match Digest(hash.finalize().into()) == *digest {
            true => Ok(Stored { file, size }),
            false => Err(BlobError::Damaged(*digest)),
        }
    }

    /// The whole blob, its hash checked.
    #[cfg(test)]
    pub(crate) fn read(&self, digest: &Digest) -> Result<Vec<u8>, BlobError> {
        let mut stored = self.open(digest)?;
        let mut bytes = Vec::new();
        stored.file.read_to_end(&mut bytes).expect("reads");
        Ok(bytes)
    }

    /// Every blob on disk with its size in bytes.
    pub(super) fn list(&self) -> io::Result<Vec<(Digest, u64)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.0.sha256)? {
            let entry = entry?;
            if let Some(digest) = entry.file_name().to_str().and_then(Digest::parse) {
                found.push((digest, entry.metadata()?.len()));
            }
        }
        Ok(found)
    }

    /// Takes a blob that nobody wants (see [`Self::unless_wanted`]) to where the next start would clear it: quick, while
    /// the removal of a large file takes long. None if it is not there.
    pub(super) fn set_aside(&self, digest: &Digest) -> io::Result<Option<PathBuf>> {
        let aside = self.fresh();
        match fs::rename(self.path(digest), &aside) {
            Ok(()) => Ok(Some(aside)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Does something to an unwanted blob or its tree. The question is asked and the deed done under the lock that a
    /// new pin takes: a create that comes in between finds everything, or finds it gone and makes it again.
    pub(super) fn unless_wanted<E>(
        &self,
        digest: &Digest,
        wanted: impl FnOnce() -> Result<bool, E>,
        deed: impl FnOnce() -> io::Result<bool>,
    ) -> Result<io::Result<bool>, E> {
        let pins = self.0.lock();
        if pins.contains_key(digest) || wanted()? { Ok(Ok(false)) } else { Ok(deed()) }
    }

    fn pin(&self, digest: Digest, size: u64) -> Pin {
        *self.0.lock().entry(digest).or_default() += 1;
        Pin { shared: Arc::clone(&self.0), digest, size }
    }

    fn write(&self, digest: &Digest, bytes: &[u8]) -> io::Result<()> {
        let tmp = self.fresh();
        let done = write_synced(&tmp, bytes).and_then(|()| fs::rename(&tmp, self.path(digest)));
        if done.is_err() {
            // The first error counts; what stays is cleared at the next start.
            fs::remove_file(&tmp).ok();
        }
        done
    }

    fn fresh(&self) -> PathBuf {
        let number = self.0.written.fetch_add(1, Ordering::Relaxed);
        self.0.tmp.join(format!("{}-{number}", std::process::id()))
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.0.sha256.join(digest.hex())
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Digest, usize>> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pin {
    /// What is pinned, as the catalog names it.
    pub(crate) fn code(&self) -> super::record::Code {
        super::record::Code { digest: self.digest, size: self.size }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = self.shared.lock();
        match pins.get_mut(&self.digest) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                pins.remove(&self.digest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::Scratch;

    fn blobs(scratch: &Scratch) -> Blobs {
        for name in ["sha256", "tmp"] {
            fs::create_dir_all(scratch.path().join(name)).expect("makes");
        }
        Blobs::new(scratch.path())
    }

    #[test]
    fn what_is_put_is_read_back_and_leaves_no_temporary_file() {
        let scratch = Scratch::new();
        let blobs = blobs(&scratch);
        let code = blobs.put(b"abc").expect("puts").code();
        assert_eq!(code.digest.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(code.sha256_base64(), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
        assert_eq!(blobs.read(&code.digest).expect("reads"), b"abc");
        assert_eq!(fs::read_dir(scratch.path().join("tmp")).expect("there").count(), 0);
    }

    #[test]
    fn a_damaged_blob_is_never_served_and_a_new_upload_mends_it() {
        let scratch = Scratch::new();
        let blobs = blobs(&scratch);
        let digest = blobs.put(b"abc").expect("puts").code().digest;
        let path = blobs.path(&digest);
        fs::remove_file(&path).expect("removes");
        fs::write(&path, b"abd").expect("damages");
        assert!(matches!(blobs.read(&digest), Err(BlobError::Damaged(_))));
        drop(blobs.put(b"abc").expect("puts again"));
        assert_eq!(blobs.read(&digest).expect("reads"), b"abc");
    }

    #[test]
    fn a_missing_blob_is_named() {
        let scratch = Scratch::new();
        let error = blobs(&scratch).read(&digest_of(b"abc")).expect_err("missing").to_string();
        assert!(error.contains("ba7816bf"), "{error}");
    }

    #[test]
    fn a_pinned_blob_is_not_removed_until_its_last_pin_goes() {
        let scratch = Scratch::new();
        let blobs = blobs(&scratch);
        let pins = [blobs.put(b"abc").expect("puts"), blobs.put(b"abc").expect("puts")];
        let digest = pins[0].code().digest;
        let remove = || {
            let deed = || blobs.set_aside(&digest).map(|aside| aside.is_some());
            blobs.unless_wanted(&digest, || Ok::<_, ()>(false), deed).expect("asks").expect("works")
        };
        assert!(!remove());
        let [first, second] = pins;
        drop(first);
        assert!(!remove());
        drop(second);
        assert!(remove());
        assert!(matches!(blobs.read(&digest), Err(BlobError::Missing(_))));
    }
}
