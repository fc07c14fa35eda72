//! What foreign packages try, one test each. Every refusal is checked twice: by `validate`, and by unpacking.

use super::Fixture;
use crate::store::archive::{ArchiveError, UNZIPPED_MAX, Why};
use crate::store::blobs::digest_of;
use crate::store::unpack::UnpackError;
use crate::store::validate;
use crate::store::zips::{Raw, end_record, raw_zip, zip};
use hearth_sandbox::Tree;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

const FILE: u32 = 0o100_644;
const LINK: u32 = 0o120_777;

fn unpack(fixture: &Fixture, package: &[u8]) -> Result<PathBuf, UnpackError> {
    let digest = fixture.blobs.put(package).expect("puts").code().digest;
    fixture.unpacker.ensure(Tree::Task(digest))?;
    Ok(fixture.unpacker.path(Tree::Task(digest)))
}

fn unpacked(fixture: &Fixture, package: &[u8]) -> PathBuf {
    validate(package).expect("valid");
    unpack(fixture, package).expect("unpacks")
}

/// Refused by both, leaving nothing behind; the error.
fn refused(package: &[u8]) -> ArchiveError {
    let error = validate(package).expect_err("refused");
    let fixture = Fixture::new();
    match unpack(&fixture, package) {
        Err(UnpackError::Archive(same)) => assert_eq!(same, error),
        other => panic!("unpacking said {other:?}, validation {error:?}"),
    }
    let left = fs::read_dir(fixture.scratch.path().join("unpacked")).expect("there").count();
    assert_eq!(left, 0, "something is left behind");
    error
}

#[track_caller]
fn refused_for(entries: &[Raw], why: Why) {
    let error = refused(&raw_zip(entries));
    assert!(matches!(&error, ArchiveError::Refused { why: found, .. } if *found == why), "{error:?}");
}

fn file(name: &[u8]) -> Raw {
    Raw::file(name, FILE, b"x")
}

fn link(name: &[u8], target: &[u8]) -> Raw {
    Raw::file(name, LINK, target)
}

const BROKEN: &str = "Could not unzip uploaded file. Please check your file, then try to upload again.";

#[test]
fn an_honest_package_is_unpacked_as_it_was_packed() {
    let fixture = Fixture::new();
    let package = zip(&[("index.py", "import lib"), ("lib/__init__.py", ""), ("lib/deep/data.txt", "ü")]);
    let summary = validate(&package).expect("valid");
    assert_eq!((summary.files, summary.unzipped_bytes), (3, 12));
    let tree = unpacked(&fixture, &package);
    assert_eq!(fs::read_to_string(tree.join("index.py")).expect("there"), "import lib");
    assert_eq!(fs::read_to_string(tree.join("lib/deep/data.txt")).expect("there"), "ü");
}

#[test]
fn a_missing_tree_is_made_again_and_a_present_one_is_trusted() {
    let fixture = Fixture::new();
    let package = zip(&[("a", "1")]);
    let tree = unpacked(&fixture, &package);
    fs::remove_dir_all(&tree).expect("removes");
    unpacked(&fixture, &package);
    assert!(tree.join("a").exists());
    fs::write(tree.join("marker"), "").expect("writes");
    unpacked(&fixture, &package);
    assert!(tree.join("marker").exists(), "it was not made a second time");
}

#[test]
fn trees_made_at_the_same_time_come_to_one() {
    let fixture = Fixture::new();
    let package = zip(&[("a", "1"), ("b/c", "2")]);
    let tree = Tree::Task(fixture.blobs.put(&package).expect("puts").code().digest);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| fixture.unpacker.ensure(tree).expect("unpacks"));
        }
    });
    let names: Vec<_> = fs::read_dir(fixture.scratch.path().join("unpacked")).expect("there").collect();
    assert_eq!(names.len(), 1);
}

#[test]
fn modes_keep_execute_bits_and_lose_everything_dangerous() {
    let fixture = Fixture::new();
    let entries = [
        Raw::file(b"bootstrap", 0o104_755, b"#!"),
        Raw::file(b"sticky", 0o103_755, b""),
        Raw::file(b"private", 0o100_600, b""),
        Raw::file(b"owner-only", 0o100_700, b""),
        Raw::file(b"open", 0o100_666, b""),
        Raw::file(b"dos", 0, b""),
        Raw::file(b"folder/", 0o041_777, b""),
        Raw::file(b"implied/file", FILE, b""),
    ];
    let tree = unpacked(&fixture, &raw_zip(&entries));
    let mode = |name: &str| fs::metadata(tree.join(name)).expect("there").permissions().mode() & 0o7777;
    let expected = [
        ("bootstrap", 0o755),
        ("sticky", 0o755),
        ("private", 0o644),
        ("owner-only", 0o744),
        ("open", 0o644),
        ("dos", 0o644),
        ("folder", 0o755),
        ("implied", 0o755),
        (".", 0o755),
    ];
    for (name, bits) in expected {
        assert_eq!(mode(name), bits, "{name}: {:o}", mode(name));
    }
}

#[test]
fn an_empty_upload_and_an_empty_zip_get_the_services_text() {
    for package in [Vec::new(), raw_zip(&[]), raw_zip(&[Raw::file(b"./", 0o040_755, b"")])] {
        assert_eq!(refused(&package).to_string(), "Uploaded file must be a non-empty zip");
    }
}

#[test]
fn broken_packages_get_the_services_text() {
    let good = zip(&[("a", "hello hello hello hello"), ("b", "2")]);
    let mut packages =
        vec![b"not a zip".to_vec(), good[..good.len() - 1].to_vec(), good[good.len() / 2..].to_vec()];
    // The checksum of the first file, in the table.
    let table = good.windows(4).position(|it| it == b"PK\x01\x02").expect("there");
    let mut wrong = good.clone();
    wrong[table + 16] ^= 1;
    packages.push(wrong);
    for package in packages {
        assert_eq!(refused(&package).to_string(), BROKEN);
    }
}

#[test]
fn a_package_damaged_at_any_byte_never_panics_and_never_leaves_its_directory() {
    let good = raw_zip(&[file(b"a"), link(b"b/l", b"../a"), Raw::zeros(b"z", 2_000)]);
    let fixture = Fixture::new();
    for at in 0..good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut package = good.clone();
            package[at] ^= flip;
            let valid = validate(&package).is_ok();
            let unpacked = fixture.unpacker.unpack(&digest_of(&package), &package);
            assert_eq!(unpacked.is_ok(), valid, "byte {at} ^ {flip:#x}");
        }
        // Cut short anywhere, it has no end and must be refused.
        assert!(validate(&good[..at]).is_err(), "cut at {at}");
    }
    let names = fs::read_dir(fixture.scratch.path()).expect("there").map(|it| it.expect("reads").file_name());
    let known = |name: &str| ["blobs", "unpacked"].contains(&name) || name.starts_with("hearth.db");
    let unexpected: Vec<_> = names.filter(|it| !known(&it.to_string_lossy())).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}

#[test]
fn zip_slip_is_refused() {
    for name in [&b"../evil"[..], b"a/../../evil", b"..", b"a/..", b"./../evil"] {
        refused_for(&[file(b"ok"), file(name)], Why::Escapes);
    }
}

#[test]
fn absolute_paths_are_refused() {
    refused_for(&[file(b"/etc/cron.d/evil")], Why::Absolute);
    refused_for(&[file(b"//evil")], Why::Absolute);
}

#[test]
fn nul_bytes_and_backslashes_are_refused() {
    refused_for(&[file(b"a\0b")], Why::Nul);
    refused_for(&[file(b"..\\..\\evil")], Why::Backslash);
}

#[test]
fn names_too_long_or_too_deep_are_refused() {
    refused_for(&[file(&[b'a'; 256])], Why::Length);
    refused_for(&[file(&b"abcdefgh/".repeat(500))], Why::Length);
    refused_for(&[file(&[&b"a/".repeat(64)[..], b"f"].concat())], Why::Depth);
    refused_for(&[file(b"")], Why::Length);
    let fixture = Fixture::new();
    let longest = [&b"a/".repeat(63)[..], &[b'a'; 255]].concat();
    let tree = unpacked(&fixture, &raw_zip(&[file(&longest)]));
    assert!(tree.join(String::from_utf8(longest).expect("text")).exists());
}

#[test]
fn unneeded_dots_and_slashes_are_cleaned() {
    let fixture = Fixture::new();
    let tree = unpacked(&fixture, &raw_zip(&[file(b"./a//b/./c")]));
    assert!(tree.join("a/b/c").exists());
}

#[test]
fn devices_pipes_and_sockets_are_refused() {
    for kind in [0o020_000, 0o060_000, 0o010_000, 0o140_000] {
        refused_for(&[Raw::file(b"dev", kind | 0o666, b"")], Why::Special);
        refused_for(&[Raw::file(b"dev/", kind | 0o666, b"")], Why::Special);
    }
}

#[test]
fn links_that_stay_inside_are_made() {
    let fixture = Fixture::new();
    let entries =
        [file(b"lib/real.so.1"), link(b"lib/real.so", b"real.so.1"), link(b"bin/tool", b"../lib/./real.so")];
    let tree = unpacked(&fixture, &raw_zip(&entries));
    assert_eq!(fs::read_link(tree.join("lib/real.so")).expect("a link"), PathBuf::from("real.so.1"));
    assert_eq!(fs::read_to_string(tree.join("bin/tool")).expect("resolves"), "x");
}

#[test]
fn links_out_of_the_tree_are_refused() {
    for target in [&b"/etc/shadow"[..], b"..", b"../x", b"../../etc", b"a/../../x", b"./../../x"] {
        refused_for(&[file(b"ok"), link(b"l", target)], Why::LinkEscapes);
    }
    refused_for(&[link(b"a/l", b"../../x")], Why::LinkEscapes);
}

#[test]
fn links_that_climb_through_other_links_are_refused() {
    // Read as text, `deep/../..` stays inside; followed, `deep` is far down and the climb starts elsewhere.
    refused_for(&[file(b"a/b/c/x"), link(b"s", b"."), link(b"l", b"s/s/s/../../..")], Why::LinkEscapes);
}

#[test]
fn links_with_unusable_targets_are_refused() {
    refused_for(&[link(b"l", b"")], Why::LinkTarget);
    refused_for(&[link(b"l", b"a\0b")], Why::LinkTarget);
    refused_for(&[link(b"l", &[b'a'; 4_001])], Why::LinkTarget);
}

#[test]
fn nothing_is_written_through_a_link_of_the_package() {
    refused_for(&[link(b"dir", b"."), file(b"dir/evil")], Why::Conflict);
    refused_for(&[file(b"dir/evil"), link(b"dir", b".")], Why::Conflict);
    refused_for(&[link(b"dir", b"."), Raw::file(b"dir/", 0o040_755, b"")], Why::Conflict);
}

#[test]
fn a_name_that_is_file_and_folder_is_refused() {
    refused_for(&[file(b"a"), file(b"a-b"), file(b"a/b")], Why::Conflict);
    refused_for(&[file(b"a"), Raw::file(b"a/", 0o040_755, b"")], Why::Conflict);
}

#[test]
fn of_two_entries_with_one_name_the_last_counts() {
    let fixture = Fixture::new();
    let entries = [Raw::file(b"a", FILE, b"first"), Raw::file(b"./a", FILE, b"second")];
    let tree = unpacked(&fixture, &raw_zip(&entries));
    assert_eq!(fs::read_to_string(tree.join("a")).expect("there"), "second");
    let link_last = [Raw::file(b"a", FILE, b"first"), link(b"a", b"b")];
    let tree = unpacked(&fixture, &raw_zip(&link_last));
    assert!(fs::symlink_metadata(tree.join("a")).expect("there").is_symlink());
}

#[test]
fn encrypted_entries_and_unknown_methods_are_refused_by_name() {
    refused_for(&[Raw { flags: 1, ..file(b"secret") }], Why::Encrypted);
    refused_for(&[Raw { method: 12, ..file(b"bzip2") }], Why::Method);
    let text = refused(&raw_zip(&[Raw { method: 93, ..file(b"zstd.bin") }])).to_string();
    assert!(text.contains("'zstd.bin'") && text.contains("deflate"), "{text}");
}

#[test]
fn a_bomb_that_admits_its_size_is_refused_at_once() {
    let half = Raw { claimed: 131_072_001, ..Raw::zeros(b"a", 10) };
    let entries = [half.clone(), Raw { name: b"b".to_vec(), ..half }];
    let error = refused(&raw_zip(&entries));
    assert_eq!(error.to_string(), "Unzipped size must be smaller than 262144000 bytes");
}

#[test]
fn a_bomb_that_lies_about_its_size_is_stopped_when_it_passes_its_claim() {
    let bomb = Raw { claimed: 10, ..Raw::zeros(b"a", 5_000_000) };
    assert_eq!(refused(&raw_zip(&[bomb])).to_string(), BROKEN);
}

#[test]
fn exactly_the_largest_size_is_accepted() {
    let size = usize::try_from(UNZIPPED_MAX).expect("fits");
    let summary = validate(&raw_zip(&[Raw::zeros(b"a", size)])).expect("valid");
    assert_eq!(summary.unzipped_bytes, UNZIPPED_MAX);
    let more = Raw { claimed: u32::try_from(size + 1).expect("fits"), ..Raw::zeros(b"a", 10) };
    assert_eq!(refused(&raw_zip(&[more])), ArchiveError::TooLarge);
}

#[test]
fn entries_that_share_bytes_are_refused() {
    let kernel = Raw::zeros(b"a", 1_000_000);
    let entries = [kernel.clone(), Raw { name: b"b".to_vec(), shares: Some(0), ..kernel }];
    assert_eq!(refused(&raw_zip(&entries)), ArchiveError::Broken { detail: "entries overlap" });
}

#[test]
fn an_absurd_number_of_entries_is_refused_before_they_are_read() {
    let mut package = b"PK\x06\x06".to_vec();
    package.extend([44, 0, 0, 0, 0, 0, 0, 0, 45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for field in [u64::MAX / 2, u64::MAX / 2, 0, 0] {
        package.extend(field.to_le_bytes());
    }
    package.extend(b"PK\x06\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0");
    package.extend(end_record(0xffff, 0, 0));
    assert_eq!(refused(&package), ArchiveError::TooManyEntries);
}

#[test]
fn few_entries_that_imply_very_many_folders_are_refused() {
    let entries: Vec<Raw> = (0..2_500)
        .map(|at| file(&[format!("{at}/").as_bytes(), &b"d/".repeat(60)[..], b"f"].concat()))
        .collect();
    assert_eq!(refused(&raw_zip(&entries)), ArchiveError::TooManyEntries);
}

#[test]
fn a_prefix_a_comment_and_zip64_are_read() {
    let fixture = Fixture::new();
    let good = zip(&[("a", "1")]);
    let prefixed = [b"#!/bin/sh\nexit 0\n".as_slice(), &good].concat();
    assert!(unpacked(&fixture, &prefixed).join("a").exists());
    let mut commented = good.clone();
    let at = commented.len() - 2;
    commented[at] = 5;
    commented.extend(b"hello");
    assert!(unpacked(&fixture, &commented).join("a").exists());
    let options = zip::write::SimpleFileOptions::default().large_file(true);
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file("large", options).expect("starts");
    std::io::Write::write_all(&mut writer, b"body").expect("writes");
    // An extension of the zip64 end record forces there to be one.
    writer.set_raw_zip64_extensible_data_sector(Box::new([0; 8]));
    let zip64 = writer.finish().expect("finishes").into_inner();
    assert_eq!(fs::read_to_string(unpacked(&fixture, &zip64).join("large")).expect("there"), "body");
}

#[test]
fn names_that_are_no_text_are_kept_byte_by_byte() {
    use std::os::unix::ffi::OsStrExt as _;
    let fixture = Fixture::new();
    let tree = unpacked(&fixture, &raw_zip(&[file(b"caf\xe9.txt")]));
    assert!(tree.join(std::ffi::OsStr::from_bytes(b"caf\xe9.txt")).exists());
}
