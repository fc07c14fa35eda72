//! A package that arrives in pieces: a temporary file that knows its hash, becomes a blob, or leaves nothing.
//!
//! Bounded by the caller's limit while it is written. Blocks on the disk: use it from blocking tasks. Where the bytes
//! come from, and whether they are a package at all, is decided elsewhere.

use super::archive::{self, ArchiveError, Summary};
use super::blobs::{BlobError, Blobs, Pin};
use super::package::Package;
use hearth_sandbox::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

/// A package that is arriving.
pub(crate) struct Incoming {
    blobs: Blobs,
    path: PathBuf,
    file: File,
    hash: Sha256,
    size: u64,
}

impl Incoming {
    pub(super) fn begin(blobs: Blobs, path: PathBuf) -> Result<Self, BlobError> {
        let opened = OpenOptions::new().read(true).write(true).create_new(true).mode(0o400).open(&path);
        match opened {
            Ok(file) => Ok(Self { blobs, path, file, hash: Sha256::new(), size: 0 }),
            Err(source) => Err(BlobError::Arriving { action: "begin", source }),
        }
    }

    /// Takes the next piece.
    pub(crate) fn write(&mut self, piece: &[u8]) -> Result<(), BlobError> {
        self.file.write_all(piece).map_err(failed("write"))?;
        self.hash.update(piece);
        self.size += piece.len() as u64;
        Ok(())
    }

    /// SHA-256 of the bytes so far.
    pub(crate) fn digest(&self) -> Digest {
        Digest(self.hash.clone().finalize().into())
    }

    /// Checks what has arrived as a package.
    pub(crate) fn validate(&self) -> Result<Summary, ArchiveError> {
        archive::validate(Package::File { file: &self.file, size: self.size })
    }

    /// Makes a blob of it; on disk when it returns.
    pub(crate) fn keep(self) -> Result<Pin, BlobError> {
        self.file.sync_all().map_err(failed("sync"))?;
        self.blobs.adopt(&self.path, self.digest(), self.size)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // After `keep` there is no such file; what cannot be removed is cleared at the next start.
        fs::remove_file(&self.path).ok();
    }
}

fn failed(action: &'static str) -> impl FnOnce(io::Error) -> BlobError {
    move |source| BlobError::Arriving { action, source }
}

#[cfg(test)]
mod tests {
    use crate::store::blobs::digest_of;
    use crate::store::tests::Fixture;
    use crate::store::zips;
    use std::fs;

    #[test]
    fn pieces_become_the_blob_that_the_whole_would_have_become() {
        let fixture = Fixture::new();
        let package = zips::zip(&[("index.py", "print()"), ("lib/a.py", "")]);
        for _ in 0..2 {
            let mut incoming = fixture.blobs.receive().expect("begins");
            for piece in package.chunks(7) {
                incoming.write(piece).expect("writes");
            }
            assert_eq!(incoming.digest(), digest_of(&package));
            assert_eq!(incoming.validate().expect("a package").files, 2);
            let code = incoming.keep().expect("keeps").code();
            assert_eq!((code.digest, code.size), (digest_of(&package), package.len() as u64));
            assert_eq!(fixture.blobs.read(&code.digest).expect("reads"), package);
            fixture.unpacker.ensure(hearth_sandbox::Tree::Task(code.digest)).expect("unpacks");
        }
        assert_eq!(fs::read_dir(fixture.scratch.path().join("blobs/tmp")).expect("there").count(), 0);
    }

    #[test]
    fn what_is_dropped_leaves_nothing() {
        let fixture = Fixture::new();
        let mut incoming = fixture.blobs.receive().expect("begins");
        incoming.write(b"half").expect("writes");
        assert!(incoming.validate().is_err());
        drop(incoming);
        for place in ["blobs/tmp", "blobs/sha256"] {
            assert_eq!(fs::read_dir(fixture.scratch.path().join(place)).expect("there").count(), 0);
        }
    }

    #[test]
    fn a_damaged_blob_is_mended_by_one_that_arrives() {
        let fixture = Fixture::new();
        let digest = fixture.blobs.put(b"abc").expect("puts").code().digest;
        let path = fixture.scratch.path().join("blobs/sha256").join(digest.hex());
        fs::remove_file(&path).expect("removes");
        fs::write(&path, b"abd").expect("damages");
        let mut incoming = fixture.blobs.receive().expect("begins");
        incoming.write(b"abc").expect("writes");
        drop(incoming.keep().expect("keeps"));
        assert_eq!(fixture.blobs.read(&digest).expect("reads"), b"abc");
    }
}
