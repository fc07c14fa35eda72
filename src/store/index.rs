//! Reads the table of contents of a zip package.
//!
//! It allocates in proportion to the entries that are really there and refuses more than [`ENTRIES_MAX`] before it
//! reads them; it proves that every entry's data lies in the package, before the table, and overlaps no other. It
//! believes no size that a header claims. Zip64, prefixed (self-extracting) and commented archives are read;
//! multi-volume ones are not. What entries may do is decided in `archive`.

use super::archive::ArchiveError;
use super::package::Package;
use std::borrow::Cow;
use std::ops::Range;

/// Entries of a package at most.
pub(super) const ENTRIES_MAX: u64 = 100_000;
/// Bytes of a table of contents at most: room for that many entries with long names.
const TABLE_MAX: u64 = 64 << 20;

const END: [u8; 4] = *b"PK\x05\x06";
const END_SIZE: u64 = 22;
const END64: [u8; 4] = *b"PK\x06\x06";
const END64_SIZE: u64 = 56;
const LOCATOR64: [u8; 4] = *b"PK\x06\x07";
const LOCATOR64_SIZE: u64 = 20;
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const ENTRY_SIZE: usize = 46;
const LOCAL: [u8; 4] = *b"PK\x03\x04";
const LOCAL_SIZE: u64 = 30;
const ZIP64_EXTRA: u16 = 1;

/// One entry as its headers describe it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Name, raw bytes.
    pub(super) name: Box<[u8]>,
    /// Unix mode with type bits; zero when the packer gave none.
    pub(super) mode: u32,
    /// The DOS attribute.
    pub(super) dos_directory: bool,
    /// Bit 0 of the flags.
    pub(super) encrypted: bool,
    /// Compression method.
    pub(super) method: u16,
    /// CRC-32 of the unpacked data, as claimed.
    pub(super) crc: u32,
    /// Size of the unpacked data, as claimed.
    pub(super) size: u64,
    /// Where the packed data lies in the package.
    pub(super) data: Range<u64>,
}

struct Directory {
    /// Where the table starts and ends.
    table: Range<u64>,
    /// Bytes before the archive, which its offsets do not count.
    prefix: u64,
    entries: u64,
}

/// All entries in the order of the table.
pub(super) fn read(package: Package<'_>) -> Result<Vec<Entry>, ArchiveError> {
    let directory = find_directory(package)?;
    if directory.entries > ENTRIES_MAX {
        return Err(ArchiveError::TooManyEntries);
    }
    if directory.table.end - directory.table.start > TABLE_MAX {
        return broken("the table is too large");
    }
    let table = part(package, directory.table.clone())?;
    let mut entries = Vec::new();
    let mut spans = Vec::new();
    let mut at = 0;
    for _ in 0..directory.entries {
        let (entry, span, next) = read_entry(package, &table, at, &directory)?;
        entries.push(entry);
        spans.push(span);
        at = next;
    }
    // Entries that share bytes are how a small package claims petabytes.
    spans.sort_unstable_by_key(|span| span.start);
    match spans.windows(2).any(|pair| pair[0].end > pair[1].start) {
        true => broken("entries overlap"),
        false => Ok(entries),
    }
}

fn broken<T>(detail: &'static str) -> Result<T, ArchiveError> {
    Err(ArchiveError::Broken { detail })
}

fn part(package: Package<'_>, range: Range<u64>) -> Result<Cow<'_, [u8]>, ArchiveError> {
    package.part(range)?.map_or_else(|| broken("a header ends early"), Ok)
}

fn find_directory(package: Package<'_>) -> Result<Directory, ArchiveError> {
    let (end, record) = find_end(package)?;
    let mut entries = u64::from(u16_at(&record, 10)?);
    let mut size = u64::from(u32_at(&record, 12)?);
    let mut offset = u64::from(u32_at(&record, 16)?);
    let mut table_end = end;
    if entries == 0xffff || size == 0xffff_ffff || offset == 0xffff_ffff {
        if let Some((end64, record)) = find_end64(package, end)? {
            entries = u64_at(&record, 32)?;
            size = u64_at(&record, 40)?;
            offset = u64_at(&record, 48)?;
            table_end = end64;
        }
    } else if u16_at(&record, 4)? != 0 || u16_at(&record, 6)? != 0 {
        return broken("one volume of several");
    }
    let Some(start) = table_end.checked_sub(size) else { return broken("the table does not fit") };
    let Some(prefix) = start.checked_sub(offset) else { return broken("the table is misplaced") };
    Ok(Directory { table: start..table_end, prefix, entries })
}

/// Where the last end record whose comment fits stands, and the record; it is in the last 64 KiB.
fn find_end(package: Package<'_>) -> Result<(u64, Vec<u8>), ArchiveError> {
    let Some(last) = package.size().checked_sub(END_SIZE) else { return broken("too short for a zip") };
    let first = last.saturating_sub(u64::from(u16::MAX));
    let tail = part(package, first..package.size())?;
    let candidates = tail.windows(4).enumerate().rev().filter(|(_, it)| **it == END).map(|(at, _)| at);
    let mut records = candidates.filter_map(|at| Some((at, tail.get(at..at + 22)?)));
    let fits = |(at, record): &(usize, &[u8])| {
        u16_at(record, 20).is_ok_and(|comment| at + record.len() + usize::from(comment) <= tail.len())
    };
    match records.find(fits) {
        Some((at, record)) => Ok((first + at as u64, record.to_vec())),
        None => broken("no end record"),
    }
}

fn find_end64(package: Package<'_>, end: u64) -> Result<Option<(u64, Vec<u8>)>, ArchiveError> {
    let Some(locator) = end.checked_sub(LOCATOR64_SIZE) else { return Ok(None) };
    let found = part(package, locator..end)?;
    if !found.starts_with(&LOCATOR64) {
        return Ok(None);
    }
    // With a prefix the claim is off; the record usually stands right before its locator.
    let places = [Some(u64_at(&found, 8)?), locator.checked_sub(END64_SIZE)];
    for at in places.into_iter().flatten() {
        let Some(record_end) = at.checked_add(END64_SIZE).filter(|end| *end <= locator) else { continue };
        let record = part(package, at..record_end)?;
        if record.starts_with(&END64) {
            return Ok(Some((at, record.into_owned())));
        }
    }
    broken("no zip64 end record")
}

fn read_entry(
    package: Package<'_>,
    table: &[u8],
    at: usize,
    directory: &Directory,
) -> Result<(Entry, Range<u64>, usize), ArchiveError> {
    if !table.get(at..).is_some_and(|it| it.starts_with(&ENTRY)) {
        return broken("the table ends early");
    }
    let length = |offset: usize| u16_at(table, at + offset).map(usize::from);
    let name_end = at + ENTRY_SIZE + length(28)?;
    let extra_end = name_end + length(30)?;
    let next = extra_end + length(32)?;
    let (Some(name), Some(extra)) = (table.get(at + ENTRY_SIZE..name_end), table.get(name_end..extra_end))
    else {
        return broken("the table ends early");
    };
    let mut size = u64::from(u32_at(table, at + 24)?);
    let mut packed = u64::from(u32_at(table, at + 20)?);
    let mut offset = u64::from(u32_at(table, at + 42)?);
    widen(extra, [&mut size, &mut packed, &mut offset])?;
    let attributes = u32_at(table, at + 38)?;
    let (header, data) = data_span(package, directory, offset, packed)?;
    let span = header..data.end;
    let entry = Entry {
        name: name.into(),
        // Whatever system the packer names: some write Unix modes under a DOS flag.
        mode: attributes >> 16,
        dos_directory: attributes & 0x10 != 0,
        encrypted: u16_at(table, at + 8)? & 1 != 0,
        method: u16_at(table, at + 10)?,
        crc: u32_at(table, at + 16)?,
        size,
        data,
    };
    Ok((entry, span, next))
}

/// Replaces the saturated fields, in their fixed order, by those of the zip64 extra field.
fn widen(mut extra: &[u8], fields: [&mut u64; 3]) -> Result<(), ArchiveError> {
    if fields.iter().all(|field| **field != 0xffff_ffff) {
        return Ok(());
    }
    while extra.len() >= 4 {
        let (kind, length) = (u16_at(extra, 0)?, usize::from(u16_at(extra, 2)?));
        let Some(body) = extra.get(4..4 + length) else { return broken("an extra field ends early") };
        if kind == ZIP64_EXTRA {
            let mut at = 0;
            for field in fields {
                if *field == 0xffff_ffff {
                    *field = u64_at(body, at)?;
                    at += 8;
                }
            }
            return Ok(());
        }
        extra = &extra[4 + length..];
    }
    // A saturated field without its extension is a plain value of 4 GiB - 1, which the bounds refuse.
    Ok(())
}

/// Where the entry's header starts and where its data lies: wholly before the table.
fn data_span(
    package: Package<'_>,
    directory: &Directory,
    offset: u64,
    packed: u64,
) -> Result<(u64, Range<u64>), ArchiveError> {
    let place = offset.checked_add(directory.prefix);
    let Some(header) = place.filter(|at| at.saturating_add(LOCAL_SIZE) <= directory.table.start) else {
        return broken("an entry lies outside");
    };
    let local = part(package, header..header + LOCAL_SIZE)?;
    if !local.starts_with(&LOCAL) {
        return broken("an entry has no header");
    }
    let start = header + LOCAL_SIZE + u64::from(u16_at(&local, 26)?) + u64::from(u16_at(&local, 28)?);
    match start.checked_add(packed).filter(|end| *end <= directory.table.start) {
        Some(end) => Ok((header, start..end)),
        None => broken("an entry ends outside"),
    }
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Result<[u8; N], ArchiveError> {
    let found = at.checked_add(N).and_then(|end| from.get(at..end)).and_then(|it| it.try_into().ok());
    found.map_or_else(|| broken("a header ends early"), Ok)
}

fn u16_at(from: &[u8], at: usize) -> Result<u16, ArchiveError> {
    bytes(from, at).map(u16::from_le_bytes)
}

fn u32_at(from: &[u8], at: usize) -> Result<u32, ArchiveError> {
    bytes(from, at).map(u32::from_le_bytes)
}

fn u64_at(from: &[u8], at: usize) -> Result<u64, ArchiveError> {
    bytes(from, at).map(u64::from_le_bytes)
}
