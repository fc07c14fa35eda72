//! Writes the zip of a benchmark function: stored, not compressed, with Unix modes. Enough for a few small files; a
//! crate would bring a hundred times what is needed.

/// One file of the archive.
pub(crate) struct Entry<'a> {
    /// Path inside.
    pub(crate) name: &'a str,
    /// Unix permission bits.
    pub(crate) mode: u32,
    /// Its bytes, fewer than 4 GiB.
    pub(crate) content: &'a [u8],
}

/// Midnight, 1 January 1980: the zero of DOS time, so that the same files give the same bytes.
const DOS_DATE: u16 = 0x21;
const REGULAR_FILE: u32 = 0o100_000;
/// "Made by Unix", specification version 2.0.
const MADE_BY: u16 = 3 << 8 | 20;
const NEEDS: u16 = 20;

/// The bytes of an archive with these files.
pub(crate) fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for entry in entries {
        let offset = length32(out.len());
        let mut common = Vec::new();
        for value in [0, 0, 0, DOS_DATE] {
            short(&mut common, value);
        }
        long(&mut common, crc32(entry.content));
        long(&mut common, length32(entry.content.len()));
        long(&mut common, length32(entry.content.len()));
        short(&mut common, length16(entry.name.len()));
        short(&mut common, 0);

        long(&mut out, 0x0403_4b50);
        short(&mut out, NEEDS);
        out.extend_from_slice(&common);
        out.extend_from_slice(entry.name.as_bytes());
        out.extend_from_slice(entry.content);

        long(&mut directory, 0x0201_4b50);
        short(&mut directory, MADE_BY);
        short(&mut directory, NEEDS);
        directory.extend_from_slice(&common);
        for _ in 0..3 {
            short(&mut directory, 0);
        }
        long(&mut directory, (REGULAR_FILE | entry.mode) << 16);
        long(&mut directory, offset);
        directory.extend_from_slice(entry.name.as_bytes());
    }
    let start = length32(out.len());
    out.extend_from_slice(&directory);
    long(&mut out, 0x0605_4b50);
    short(&mut out, 0);
    short(&mut out, 0);
    short(&mut out, length16(entries.len()));
    short(&mut out, length16(entries.len()));
    long(&mut out, length32(directory.len()));
    long(&mut out, start);
    short(&mut out, 0);
    out
}

fn short(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn long(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn length16(length: usize) -> u16 {
    u16::try_from(length).expect("names and counts of benchmark functions are short")
}

fn length32(length: usize) -> u32 {
    u32::try_from(length).expect("benchmark functions are far below 4 GiB")
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_known_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn the_directory_is_where_the_end_says() {
        let zip = archive(&[
            Entry { name: "bootstrap", mode: 0o755, content: b"x" },
            Entry { name: "a.py", mode: 0o644, content: b"yz" },
        ]);
        let end = zip.len() - 22;
        let start = u32::from_le_bytes(zip[end + 16..end + 20].try_into().expect("four bytes")) as usize;
        assert_eq!(zip[start..start + 4], 0x0201_4b50_u32.to_le_bytes());
        assert_eq!(zip[end + 10..end + 12], 2_u16.to_le_bytes());
    }
}
