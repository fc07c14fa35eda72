//! Packages for tests: honest ones from the `zip` crate, hostile ones byte by byte.

use flate2::Crc;
use std::io::{Cursor, Write as _};
use zip::write::{SimpleFileOptions, ZipWriter};

/// An honest package of text files, mode 0644.
pub(crate) fn zip(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, body) in files {
        writer.start_file(*name, SimpleFileOptions::default().unix_permissions(0o644)).expect("starts");
        writer.write_all(body.as_bytes()).expect("writes");
    }
    writer.finish().expect("finishes").into_inner()
}

/// One entry, every field free.
#[derive(Clone)]
pub(crate) struct Raw {
    pub(crate) name: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) flags: u16,
    pub(crate) method: u16,
    pub(crate) data: Vec<u8>,
    pub(crate) claimed: u32,
    pub(crate) crc: u32,
    /// Points the table at an earlier entry's bytes instead of own ones.
    pub(crate) shares: Option<usize>,
}

impl Raw {
    /// A stored file.
    pub(crate) fn file(name: &[u8], mode: u32, data: &[u8]) -> Self {
        let mut crc = Crc::new();
        crc.update(data);
        let claimed = u32::try_from(data.len()).expect("small");
        Self {
            name: name.into(),
            mode,
            flags: 0,
            method: 0,
            data: data.into(),
            claimed,
            crc: crc.sum(),
            shares: None,
        }
    }

    /// A deflated file of zeros.
    pub(crate) fn zeros(name: &[u8], size: usize) -> Self {
        let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut crc = Crc::new();
        let chunk = vec![0; 1 << 20];
        let mut left = size;
        while left > 0 {
            let part = &chunk[..left.min(chunk.len())];
            packer.write_all(part).expect("packs");
            crc.update(part);
            left -= part.len();
        }
        let data = packer.finish().expect("packs");
        let claimed = u32::try_from(size).expect("below 4 GiB");
        Self { method: 8, data, claimed, crc: crc.sum(), ..Self::file(name, 0o100_644, b"") }
    }
}

/// Puts entries together as a package.
pub(crate) fn raw_zip(entries: &[Raw]) -> Vec<u8> {
    let mut package = Vec::new();
    let mut table = Vec::new();
    let mut offsets: Vec<u32> = Vec::new();
    for entry in entries {
        let size = u32::try_from(entry.data.len()).expect("small");
        let name = u16::try_from(entry.name.len()).expect("short");
        let mut common = Vec::new();
        common.extend([20, 0]);
        common.extend(entry.flags.to_le_bytes());
        common.extend(entry.method.to_le_bytes());
        common.extend([0; 4]);
        for field in [entry.crc, size, entry.claimed] {
            common.extend(field.to_le_bytes());
        }
        common.extend(name.to_le_bytes());
        common.extend([0; 2]);
        let offset =
            entry.shares.map_or_else(|| u32::try_from(package.len()).expect("small"), |at| offsets[at]);
        offsets.push(offset);
        if entry.shares.is_none() {
            package.extend(b"PK\x03\x04");
            package.extend(&common);
            package.extend(&entry.name);
            package.extend(&entry.data);
        }
        table.extend(b"PK\x01\x02\x14\x03");
        table.extend(&common);
        table.extend([0; 6]);
        table.extend((entry.mode << 16).to_le_bytes());
        table.extend(offset.to_le_bytes());
        table.extend(&entry.name);
    }
    let (start, size) =
        (u32::try_from(package.len()).expect("small"), u32::try_from(table.len()).expect("small"));
    package.extend(table);
    package.extend(end_record(u16::try_from(entries.len()).expect("few"), size, start));
    package
}

/// The record that ends a package.
pub(crate) fn end_record(entries: u16, size: u32, start: u32) -> Vec<u8> {
    let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
    end.extend(entries.to_le_bytes());
    end.extend(entries.to_le_bytes());
    end.extend(size.to_le_bytes());
    end.extend(start.to_le_bytes());
    end.extend([0; 2]);
    end
}
