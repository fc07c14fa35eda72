//! Any bytes as a code package: refused, or a tree that stays in its place, of the files and bytes that were counted.
//!
//! The reader is private to the daemon, which is one program and no library; its files are pure and know only each
//! other, so they are compiled into this target as they are. What the `zip` crate makes of the same bytes is compared:
//! two unpackers that disagree about a file are how a package smuggles something past whoever looked at it.
#![no_main]

#[path = "../../../src/store/archive.rs"]
#[expect(dead_code, reason = "the limits are used by the daemon's other rooms")]
mod archive;
#[path = "../../../src/store/index.rs"]
mod index;
#[path = "../../../src/store/package.rs"]
mod package;
#[path = "../../../src/store/tree.rs"]
#[expect(dead_code, reason = "the planner needs one of its limits; nothing is written here")]
mod tree;

use archive::{Budget, Node};
use libfuzzer_sys::{Corpus, fuzz_target};
use nix::sys::memfd::{MFdFlags, memfd_create};
use package::Package;
use std::fs::File;
use std::io::{Cursor, Read as _, Write as _};
use zip::ZipArchive;

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let package = Package::from(bytes);
    let Ok(summary) = archive::validate(package) else {
        // A refusal of the whole is not news; the plan is where most decisions are.
        return if archive::plan(package).is_ok() { Corpus::Keep } else { Corpus::Reject };
    };
    from_a_file(bytes, summary);
    let plan = archive::plan(package).expect("what is valid has a plan");
    let (mut files, mut unpacked) = (0, 0);
    let mut budget = Budget::new();
    // Of several end records each reader may take another; ours takes the last that fits, as unzip does.
    let ends = bytes.windows(4).filter(|mark| *mark == b"PK\x05\x06").count();
    let mut other = ZipArchive::new(Cursor::new(bytes)).ok().filter(|_| ends == 1);
    for (path, node) in &plan.nodes {
        stays_inside(path);
        match node {
            Node::Directory => continue,
            Node::Link { entry } => {
                let target =
                    archive::link_target(package, path, entry, &mut budget).expect("what is valid is read");
                unpacked += target.len();
            }
            Node::File { entry, mode } => {
                assert_eq!(
                    (mode & 0o444, mode & !0o755),
                    (0o444, 0),
                    "readable by all, writable by its owner"
                );
                let mut content = Vec::new();
                let mut keep = |piece: &[u8]| {
                    content.extend_from_slice(piece);
                    Ok(())
                };
                archive::inflate(package, entry, &mut budget, &mut keep).expect("what is valid is read");
                unpacked += content.len();
                if let Some(other) = &mut other {
                    agree(other, &entry.name, &content);
                }
            }
        }
        files += 1;
    }
    assert_eq!((files, unpacked as u64), (summary.files, summary.unzipped_bytes));
    Corpus::Keep
});

/// The same package in a file is the same package.
fn from_a_file(bytes: &[u8], summary: archive::Summary) {
    let mut file = File::from(memfd_create("package", MFdFlags::MFD_CLOEXEC).expect("a file in memory"));
    file.write_all(bytes).expect("written");
    let package = Package::File { file: &file, size: bytes.len() as u64 };
    assert_eq!(archive::validate(package), Ok(summary));
}

fn stays_inside(path: &[u8]) {
    let clean = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && part.len() <= 255;
    assert!(path.split(|byte| *byte == b'/').all(clean), "{}", path.escape_ascii());
    assert!(!path.contains(&0) && !path.contains(&b'\\'), "{}", path.escape_ascii());
}

/// If the other reader can read this entry at all, it reads the same.
fn agree(other: &mut ZipArchive<Cursor<&[u8]>>, name: &[u8], content: &[u8]) {
    let Ok(name) = std::str::from_utf8(name) else { return };
    let Ok(mut entry) = other.by_name(name) else { return };
    let mut theirs = Vec::new();
    if entry.read_to_end(&mut theirs).is_ok() {
        assert_eq!(theirs, content, "{name:?} is another file to another reader");
    }
}
