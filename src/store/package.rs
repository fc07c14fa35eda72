//! The bytes of a code package, in memory or in a file, read in the same way.
//!
//! A package that was fetched may be 250 MB and never has to be in memory as a whole: the readers of its table and of
//! its entries ask for the parts they need. Knows nothing of zip.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

/// Bytes read from a file at a time.
const CHUNK: usize = 64 * 1024;

/// Where a package's bytes are. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Package<'a> {
    /// In memory.
    Bytes(&'a [u8]),
    /// In a file that nobody changes.
    File {
        /// Open for reading.
        file: &'a File,
        /// Its size, bytes.
        size: u64,
    },
}

impl<'a> From<&'a [u8]> for Package<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Package<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> Package<'a> {
    /// Its size, bytes.
    pub(super) fn size(self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } => size,
        }
    }

    /// One part; none if it does not lie in the package. A part of a file is read into memory: the caller bounds it.
    pub(super) fn part(self, range: Range<u64>) -> io::Result<Option<Cow<'a, [u8]>>> {
        if range.start > range.end || range.end > self.size() {
            return Ok(None);
        }
        let (Ok(start), Ok(length)) =
            (usize::try_from(range.start), usize::try_from(range.end - range.start))
        else {
            return Ok(None);
        };
        match self {
            Self::Bytes(bytes) => Ok(Some(Cow::Borrowed(&bytes[start..start + length]))),
            Self::File { file, .. } => {
                let mut part = vec![0; length];
                file.read_exact_at(&mut part, range.start)?;
                Ok(Some(Cow::Owned(part)))
            }
        }
    }

    /// Reads one part from its beginning to its end, without holding more than a chunk of it.
    pub(super) fn reader(self, range: Range<u64>) -> Box<dyn BufRead + 'a> {
        match self {
            Self::Bytes(bytes) => {
                let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(bytes.len());
                Box::new(&bytes[at(range.start).min(at(range.end))..at(range.end)])
            }
            Self::File { file, .. } => Box::new(BufReader::with_capacity(CHUNK, Section { file, range })),
        }
    }
}

/// A part of a file. Reads by position, so that several may be read beside each other.
struct Section<'a> {
    file: &'a File,
    range: Range<u64>,
}

impl Read for Section<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.range.end.saturating_sub(self.range.start);
        let wanted = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut into[..wanted], self.range.start)?;
        self.range.start += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_file_is_read_like_the_same_bytes_in_memory() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|at| u8::try_from(at % 251).expect("small")).collect();
        let scratch = crate::store::tests::Scratch::new();
        let path = scratch.path().join("package");
        File::create(&path).expect("creates").write_all(&bytes).expect("writes");
        let file = File::open(&path).expect("opens");
        let sides = [Package::from(&bytes), Package::File { file: &file, size: bytes.len() as u64 }];
        for range in [0..0, 0..200_000, 7..70_000, 199_999..200_000, 200_000..200_000] {
            let [one, other] = sides.map(|side| {
                let mut streamed = Vec::new();
                side.reader(range.clone()).read_to_end(&mut streamed).expect("reads");
                let part = side.part(range.clone()).expect("reads").expect("inside").into_owned();
                assert_eq!(part, streamed);
                part
            });
            assert_eq!(one, other);
        }
        for side in sides {
            assert!(side.part(1..200_001).expect("no error").is_none());
            assert!(side.part(200_001..200_001).expect("no error").is_none());
        }
    }
}
