//! Packing against real directories: determinism, modes, links, what is left out, what is refused.

use super::*;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, UNIX_EPOCH};
use zip::ZipArchive;

/// A directory of its own that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("hearth-pack-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).expect("makes a directory");
        Self(dir)
    }

    fn write(&self, name: &str, body: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("has a parent")).expect("makes directories");
        fs::write(&path, body).expect("writes");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("sets the mode");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Name, mode and content of every entry.
fn entries(package: &Package) -> Vec<(String, u32, String)> {
    let mut archive = ZipArchive::new(Cursor::new(&package.zip)).expect("is a zip");
    (0..archive.len())
        .map(|at| {
            let mut entry = archive.by_index(at).expect("is there");
            let mut body = String::new();
            entry.read_to_string(&mut body).expect("is text");
            (entry.name().expect("is text").into_owned(), entry.unix_mode().expect("has a mode"), body)
        })
        .collect()
}

fn listed(package: &Package) -> Vec<(String, u32)> {
    entries(package).into_iter().map(|(name, mode, _)| (name, mode)).collect()
}

#[test]
fn the_same_content_gives_the_same_bytes() {
    let (one, two) = (Scratch::new(), Scratch::new());
    // In another order, with other times, with other bits for group and others.
    for (name, body, mode) in [("b/x.py", "x", 0o644), ("a.py", "a", 0o600), ("run", "r", 0o755)] {
        one.write(name, body, mode);
    }
    for (name, body, mode) in [("run", "r", 0o700), ("a.py", "a", 0o664), ("b/x.py", "x", 0o640)] {
        let path = two.write(name, body, mode);
        let file = File::options().write(true).open(path).expect("opens");
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000_000)).expect("sets the time");
    }
    let (one, two) = (pack(&one.0).expect("packs"), pack(&two.0).expect("packs"));
    assert_eq!(one.zip, two.zip);
    let expected = [("a.py", 0o100_644), ("b/x.py", 0o100_644), ("run", 0o100_755)];
    assert_eq!(listed(&one), expected.map(|(name, mode)| (name.to_owned(), mode)));
}

#[test]
fn other_content_gives_other_bytes() {
    let scratch = Scratch::new();
    scratch.write("a.py", "a", 0o644);
    let before = pack(&scratch.0).expect("packs").zip;
    scratch.write("a.py", "b", 0o644);
    let after = pack(&scratch.0).expect("packs").zip;
    assert_ne!(before, after);
    scratch.write("a.py", "b", 0o755);
    assert_ne!(pack(&scratch.0).expect("packs").zip, after);
}

#[test]
fn version_control_and_caches_stay_at_home_and_empty_directories_come_along() {
    let scratch = Scratch::new();
    scratch.write("app.py", "x", 0o644);
    scratch.write(".git/HEAD", "x", 0o644);
    scratch.write("lib/__pycache__/app.pyc", "x", 0o644);
    scratch.write("lib/.gitignore", "x", 0o644);
    fs::create_dir_all(scratch.0.join("data")).expect("makes");
    let package = pack(&scratch.0).expect("packs");
    let names: Vec<String> = listed(&package).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["app.py", "data/", "lib/.gitignore"]);
}

#[test]
fn links_inside_are_kept_as_links() {
    let scratch = Scratch::new();
    scratch.write("lib/real.so.1", "so", 0o644);
    symlink("real.so.1", scratch.0.join("lib/real.so")).expect("links");
    symlink("../lib/./real.so.1", scratch.0.join("lib/same.so")).expect("links");
    let package = entries(&pack(&scratch.0).expect("packs"));
    let link = |name: &str, target: &str| (name.to_owned(), 0o120_777, target.to_owned());
    assert_eq!(package[0], link("lib/real.so", "real.so.1"));
    assert_eq!(package[2], link("lib/same.so", "../lib/./real.so.1"));
}

#[test]
fn links_that_lead_out_are_refused_by_name() {
    for target in ["/etc/passwd", "../../x", "a/../../../x"] {
        let scratch = Scratch::new();
        scratch.write("lib/app.py", "x", 0o644);
        symlink(target, scratch.0.join("lib/out")).expect("links");
        let error = pack(&scratch.0).expect_err("is refused");
        assert!(matches!(error, PackError::LinkEscapes { .. }), "{target}: {error}");
        assert!(error.to_string().contains("lib/out") && error.to_string().contains(target), "{error}");
    }
}

#[test]
fn a_file_alone_keeps_its_name_and_bootstrap_becomes_executable() {
    let scratch = Scratch::new();
    let handler = scratch.write("app.py", "x", 0o600);
    let bootstrap = scratch.write("bootstrap", "#!/bin/sh", 0o600);
    assert_eq!(entries(&pack(&handler).expect("packs")), [("app.py".to_owned(), 0o100_644, "x".to_owned())]);
    assert_eq!(listed(&pack(&bootstrap).expect("packs")), [("bootstrap".to_owned(), 0o100_755)]);
}

#[test]
fn a_zip_is_taken_as_it_is_and_only_if_it_is_one() {
    let scratch = Scratch::new();
    scratch.write("app.py", "x", 0o644);
    let zip = pack(&scratch.0).expect("packs").zip;
    let path = scratch.0.join("ready.ZIP");
    fs::write(&path, &zip).expect("writes");
    assert_eq!(pack(&path).expect("packs").zip, zip);
    let fake = scratch.write("fake.zip", "no", 0o644);
    assert!(matches!(pack(&fake), Err(PackError::NotAZip { .. })));
}

#[test]
fn a_zip_above_the_limit_is_refused_before_it_is_sent() {
    let scratch = Scratch::new();
    let path = scratch.write("large.zip", "PK", 0o644);
    let file = File::options().write(true).open(&path).expect("opens");
    file.set_len(ZIPPED_MAX).expect("grows");
    assert!(pack(&path).is_ok(), "exactly the limit is allowed");
    file.set_len(ZIPPED_MAX + 1).expect("grows");
    assert!(matches!(pack(&path), Err(PackError::ZipTooLarge { .. })));
}

#[test]
fn what_cannot_be_code_is_refused() {
    let scratch = Scratch::new();
    assert!(matches!(pack(&scratch.0), Err(PackError::Empty { .. })));
    assert!(matches!(pack(&scratch.0.join("none")), Err(PackError::Io { .. })));
    assert!(matches!(pack(Path::new("/dev/null")), Err(PackError::Special { .. })));
    scratch.write("app.py", "x", 0o644);
    scratch.write("a\\b", "x", 0o644);
    assert!(matches!(pack(&scratch.0), Err(PackError::Backslash { .. })));
}
