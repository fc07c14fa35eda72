//! Reads tar archives (ustar, pax, GNU's long names) in one pass: what is in them, entry by entry, and their bytes.
//!
//! Trusts no byte: numbers are checked, extension headers are bounded before they are read, and nothing is allocated
//! for what a header merely claims. What may be made of an entry is decided elsewhere.

use std::io::{self, Read};

const BLOCK: usize = 512;
/// Bytes of one extension header (a long name, pax records).
const EXTENSION_MAX: u64 = 64 * 1024;
/// Extension headers before one entry.
const EXTENSIONS_MAX: u32 = 8;

/// Why an archive cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(super) enum TarError {
    /// It is no tar, or a broken one.
    #[error("{0}")]
    Broken(&'static str),
    /// The bytes could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file, its bytes follow.
    File,
    /// Another name of a file before it.
    HardLink,
    /// A symbolic link.
    Link,
    /// A folder.
    Directory,
    /// A device or a pipe.
    Special,
}

/// One entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// As it stands there.
    pub(super) name: Vec<u8>,
    /// What it is.
    pub(super) kind: Kind,
    /// Permission bits.
    pub(super) mode: u32,
    /// Bytes of a file.
    pub(super) size: u64,
    /// Where a link leads.
    pub(super) target: Vec<u8>,
}

/// An archive that is being read.
#[derive(Debug)]
pub(super) struct Archive<R> {
    source: R,
    /// Bytes of the last entry that have not been read.
    left: u64,
    /// Bytes after those, up to the next block.
    padding: u64,
}

/// What extension headers say of the entry that follows.
#[derive(Default)]
struct Extension {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<R: Read> Archive<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, left: 0, padding: 0 }
    }

    /// The next entry; none at the archive's end. What was not read of the one before is passed over.
    pub(super) fn next(&mut self) -> Result<Option<Header>, TarError> {
        let mut extension = Extension::default();
        for _ in 0..=EXTENSIONS_MAX {
            self.pass_over()?;
            let block = self.block()?;
            if block == [0; BLOCK] {
                return Ok(None);
            }
            check_sum(&block)?;
            let size = number(&block[124..136])?;
            match block[156] {
                b'x' => self.records(size, &mut extension)?,
                b'L' => extension.name = Some(self.long(size)?),
                b'K' => extension.target = Some(self.long(size)?),
                b'g' => self.expect(size),
                _ => return self.entry(&block, size, extension).map(Some),
            }
        }
        Err(TarError::Broken("too many extension headers before an entry"))
    }

    /// Bytes of the entry; 0 at their end.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize, TarError> {
        let wanted = into.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.source.read(&mut into[..wanted])?;
        if read == 0 {
            return Err(TarError::Broken("it ends within a file"));
        }
        self.left -= read as u64;
        Ok(read)
    }

    fn entry(&mut self, block: &[u8; BLOCK], size: u64, extension: Extension) -> Result<Header, TarError> {
        let name = extension.name.unwrap_or_else(|| plain_name(block));
        let kind = match block[156] {
            0 | b'0' | b'7' if name.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Link,
            b'3' | b'4' | b'6' => Kind::Special,
            b'5' => Kind::Directory,
            _ => return Err(TarError::Broken("an entry is of a kind that is not supported")),
        };
        let size = extension.size.unwrap_or(size);
        if kind != Kind::File && size > 0 {
            // Readers disagree on whether bytes follow: what one of them sees, another does not.
            return Err(TarError::Broken("a link or folder has content"));
        }
        self.expect(size);
        let mode = u32::try_from(number(&block[100..108])? & 0o7777).unwrap_or(0);
        let target = extension.target.unwrap_or_else(|| until_nul(&block[157..257]).to_vec());
        Ok(Header { name, kind, mode, size, target })
    }

    fn expect(&mut self, size: u64) {
        self.left = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    fn pass_over(&mut self) -> Result<(), TarError> {
        let unread = self.left.saturating_add(self.padding);
        (self.left, self.padding) = (0, 0);
        let passed = io::copy(&mut (&mut self.source).take(unread), &mut io::sink())?;
        if passed == unread { Ok(()) } else { Err(TarError::Broken("it ends within an entry")) }
    }

    fn block(&mut self) -> Result<[u8; BLOCK], TarError> {
        let mut block = [0; BLOCK];
        self.source.read_exact(&mut block).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => TarError::Broken("it ends early"),
            _ => error.into(),
        })?;
        Ok(block)
    }

    /// The content of an extension header.
    fn content(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        if size > EXTENSION_MAX {
            return Err(TarError::Broken("an extension header is too long"));
        }
        self.expect(size);
        let mut content = Vec::new();
        let mut chunk = [0; BLOCK];
        loop {
            match self.read(&mut chunk)? {
                0 => return Ok(content),
                read => content.extend_from_slice(&chunk[..read]),
            }
        }
    }

    fn long(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        Ok(until_nul(&self.content(size)?).to_vec())
    }

    /// Records of pax: `LENGTH KEYWORD=VALUE\n`, the length counting all of it.
    fn records(&mut self, size: u64, extension: &mut Extension) -> Result<(), TarError> {
        const BROKEN: TarError = TarError::Broken("a pax header makes no sense");
        let content = self.content(size)?;
        let mut rest = content.as_slice();
        while !rest.is_empty() {
            let space = rest.iter().position(|byte| *byte == b' ').ok_or(BROKEN)?;
            let length = decimal(&rest[..space]).and_then(|length| usize::try_from(length).ok());
            let length = length.filter(|length| (space + 2..=rest.len()).contains(length)).ok_or(BROKEN)?;
            let record = rest[space + 1..length].strip_suffix(b"\n").ok_or(BROKEN)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or(BROKEN)?;
            let (keyword, value) = (&record[..equals], &record[equals + 1..]);
            match keyword {
                b"path" => extension.name = Some(value.to_vec()),
                b"linkpath" => extension.target = Some(value.to_vec()),
                b"size" => extension.size = Some(decimal(value).ok_or(BROKEN)?),
                _ if keyword.starts_with(b"GNU.sparse") => {
                    return Err(TarError::Broken("sparse files are not supported"));
                }
                _ => {}
            }
            rest = &rest[length..];
        }
        Ok(())
    }
}

fn plain_name(block: &[u8; BLOCK]) -> Vec<u8> {
    let name = until_nul(&block[..100]);
    let prefix = until_nul(&block[345..500]);
    // GNU's own format has other things where ustar has the name's beginning.
    if &block[257..263] != b"ustar\0" || prefix.is_empty() {
        return name.to_vec();
    }
    [prefix, b"/", name].concat()
}

fn until_nul(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|byte| *byte == 0).unwrap_or(field.len())]
}

/// Octal text, or GNU's base 256 for what does not fit it.
fn number(field: &[u8]) -> Result<u64, TarError> {
    const BROKEN: TarError = TarError::Broken("a number makes no sense");
    if field[0] & 0x80 != 0 {
        let digits = [&[field[0] & 0x7f], &field[1..]].concat();
        return digits.iter().try_fold(0_u64, |sum, digit| {
            sum.checked_mul(256).map(|sum| sum | u64::from(*digit)).ok_or(BROKEN)
        });
    }
    let text = until_nul(field).trim_ascii();
    text.iter().try_fold(0_u64, |sum, digit| match digit {
        b'0'..=b'7' => sum.checked_mul(8).map(|sum| sum + u64::from(digit - b'0')).ok_or(BROKEN),
        _ => Err(BROKEN),
    })
}

fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

/// The sum of a header's bytes, with its own field taken as spaces.
fn check_sum(block: &[u8; BLOCK]) -> Result<(), TarError> {
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = block[148..156].iter().map(|byte| u64::from(*byte)).sum();
    match number(&block[148..156])? == sum - own + 8 * u64::from(b' ') {
        true => Ok(()),
        false => Err(TarError::Broken("a header has a wrong checksum")),
    }
}

/// Archives for tests, byte by byte.
#[cfg(test)]
pub(super) mod written {
    use super::BLOCK;

    /// One entry of this kind; its size field says `claimed`.
    pub(crate) fn claiming(kind: u8, name: &[u8], target: &[u8], content: &[u8], claimed: u64) -> Vec<u8> {
        let mut block = [0_u8; BLOCK];
        block[..name.len()].copy_from_slice(name);
        block[100..107].copy_from_slice(b"0006755");
        block[124..135].copy_from_slice(format!("{claimed:011o}").as_bytes());
        block[156] = kind;
        block[157..157 + target.len()].copy_from_slice(target);
        block[257..265].copy_from_slice(b"ustar\x0000");
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let mut bytes = block.to_vec();
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }

    /// One honest entry.
    pub(crate) fn entry(kind: u8, name: &[u8], target: &[u8], content: &[u8]) -> Vec<u8> {
        claiming(kind, name, target, content, content.len() as u64)
    }

    /// A pax header.
    pub(crate) fn pax(keyword: &str, value: &[u8]) -> Vec<u8> {
        let rest = keyword.len() + value.len() + 3;
        let length = (1..).find(|length: &usize| *length == rest + length.to_string().len()).expect("exists");
        let record = [format!("{length} {keyword}=").as_bytes(), value, b"\n"].concat();
        entry(b'x', b"pax", b"", &record)
    }

    /// Entries as an archive.
    pub(crate) fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
        [entries.concat(), vec![0; 2 * BLOCK]].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::written::{archive, claiming, entry, pax};
    use super::*;

    /// Names, kinds and contents, or why there are none.
    fn read(bytes: &[u8]) -> Result<Vec<(String, Kind, String)>, String> {
        let mut archive = Archive::new(bytes);
        let mut found = Vec::new();
        while let Some(header) = archive.next().map_err(|error| error.to_string())? {
            let mut content = Vec::new();
            let mut chunk = [0; 7];
            loop {
                match archive.read(&mut chunk).map_err(|error| error.to_string())? {
                    0 => break,
                    count => content.extend_from_slice(&chunk[..count]),
                }
            }
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
            let content = if header.kind == Kind::File { content } else { header.target };
            found.push((text(header.name), header.kind, text(content)));
        }
        Ok(found)
    }

    #[test]
    fn entries_come_with_their_names_targets_and_bytes() {
        let long = "l/".repeat(200) + "x";
        let bytes = archive(&[
            entry(b'5', b"dir/", b"", b""),
            entry(b'0', b"dir/file", b"", b"content"),
            entry(0, b"old/", b"", b""),
            entry(b'2', b"link", b"/dir/file", b""),
            entry(b'1', b"same", b"dir/file", b""),
            pax("path", long.as_bytes()),
            entry(b'0', b"short", b"", b"1"),
            entry(b'L', b"././@LongLink", b"", b"gnu\0"),
            entry(b'3', b"short", b"", b""),
            entry(b'g', b"global", b"", b"whatever"),
            entry(b'0', b"last", b"", &[b'x'; BLOCK]),
        ]);
        let found = read(&bytes).expect("reads");
        let names: Vec<&str> = found.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["dir/", "dir/file", "old/", "link", "same", &long, "gnu", "last"]);
        assert_eq!(found[1], ("dir/file".into(), Kind::File, "content".into()));
        assert_eq!(found[2].1, Kind::Directory);
        assert_eq!(found[3], ("link".into(), Kind::Link, "/dir/file".into()));
        assert_eq!(found[4], ("same".into(), Kind::HardLink, "dir/file".into()));
        assert_eq!(found[6].1, Kind::Special);
        assert_eq!(found[7].2.len(), BLOCK);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let file = entry(b'0', b"f", b"", b"content");
        let mut bent = archive(std::slice::from_ref(&file));
        bent[0] ^= 1;
        let whole = archive(std::slice::from_ref(&file));
        for (what, bytes) in [
            ("nothing", Vec::new()),
            ("another format", b"PK\x03\x04".repeat(200)),
            ("a wrong checksum", bent),
            ("no end", file),
            ("cut within a file", whole[..BLOCK + 3].to_vec()),
            ("more claimed than there is", archive(&[claiming(b'0', b"f", b"", b"", 0o77_777_777_777)])),
            ("a folder with content", archive(&[entry(b'5', b"d", b"", b"x")])),
            ("a link with content", archive(&[entry(b'2', b"l", b"t", b"x")])),
            ("an unknown kind", archive(&[entry(b'S', b"s", b"", b"")])),
            ("a long long name", archive(&[claiming(b'L', b"n", b"", b"", 1 << 30)])),
            ("extensions without an entry", archive(&vec![pax("path", b"x"); 40])),
            ("a pax length out of range", archive(&[entry(b'x', b"p", b"", b"99 path=x\n")])),
            ("a pax length of nothing", archive(&[entry(b'x', b"p", b"", b"0 path=x\n")])),
            ("a pax record without a value", archive(&[entry(b'x', b"p", b"", b"7 path\n")])),
            ("a pax size that is none", archive(&[pax("size", b"-1"), entry(b'0', b"f", b"", b"")])),
            ("a sparse file", archive(&[pax("GNU.sparse.major", b"1"), entry(b'0', b"f", b"", b"")])),
        ] {
            assert!(read(&bytes).is_err(), "{what}");
        }
    }

    #[test]
    fn large_numbers_are_read_in_base_256() {
        let mut field = [0; 12];
        field[0] = 0x80;
        field[7] = 2;
        assert_eq!(number(&field).expect("a number"), 2 << 32);
        assert!(number(&[0xff; 12]).is_err());
        assert!(number(b"0000008\0").is_err());
    }
}
