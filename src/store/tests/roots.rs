//! What foreign root trees try, one case each: refused, or a tree that stays in its place and holds nothing dangerous.

use super::super::tar::written::{archive, entry, pax};
use super::*;
use crate::store::tests::Scratch;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

struct Made {
    scratch: Scratch,
    root: PathBuf,
}

fn make(entries: &[Vec<u8>]) -> Result<Made, RootError> {
    let scratch = Scratch::new();
    let root = scratch.path().join("root");
    fs::create_dir(&root).expect("makes");
    fs::create_dir(scratch.path().join("outside")).expect("makes");
    let filled = fill(&root, archive(entries).as_slice());
    assert_eq!(fs::read_dir(scratch.path().join("outside")).expect("there").count(), 0, "nothing got out");
    assert_eq!(fs::read_dir(scratch.path()).expect("there").count(), 2, "nothing got out");
    filled.map(|()| Made { scratch, root })
}

fn made(entries: &[Vec<u8>]) -> Made {
    make(entries).expect("is made")
}

fn why(entries: &[Vec<u8>]) -> String {
    match make(entries) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("was not refused"),
    }
}

impl Made {
    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.root.join(name)).expect("is there")
    }
}

fn file(name: &str, content: &str) -> Vec<u8> {
    entry(b'0', name.as_bytes(), b"", content.as_bytes())
}

fn link(name: &str, target: &str) -> Vec<u8> {
    entry(b'2', name.as_bytes(), target.as_bytes(), b"")
}

#[test]
fn an_honest_tree_is_made_with_what_every_root_has() {
    let made = made(&[
        entry(b'5', b"./", b"", b""),
        file("./bin/app", "#!"),
        link("bin/sh", "/bin/app"),
        entry(b'1', b"bin/same", b"bin/app", b""),
        link("var/run", "../../run"),
    ]);
    assert_eq!(made.text("bin/same"), "#!");
    assert_eq!(fs::read_link(made.root.join("bin/sh")).expect("a link"), PathBuf::from("/bin/app"));
    assert_eq!(fs::read_link(made.root.join("var/run")).expect("a link"), PathBuf::from("../../run"));
    for place in ["proc", "sys", "dev", "tmp", "etc"] {
        assert!(fs::symlink_metadata(made.root.join(place)).expect("there").is_dir(), "{place}");
    }
    assert!(made.text("etc/hosts").contains("localhost"));
    assert!(made.text("etc/resolv.conf").contains("169.254.100.1"));
    assert!(made.text("etc/passwd").contains(":993:990:"));
    drop(made.scratch);
}

#[test]
fn devices_pipes_and_set_uid_bits_do_not_survive() {
    let made = made(&[
        entry(b'3', b"null", b"", b""),
        entry(b'4', b"disk", b"", b""),
        entry(b'6', b"pipe", b"", b""),
        // The writer's mode is 06755.
        file("bin/su", "x"),
    ]);
    for name in ["null", "disk", "pipe"] {
        assert!(fs::symlink_metadata(made.root.join(name)).is_err(), "{name}");
    }
    assert_eq!(fs::metadata(made.root.join("bin/su")).expect("there").mode() & 0o7777, 0o755);
}

#[test]
fn names_that_lead_out_are_refused() {
    for name in ["../out", "a/../../out", "/etc/passwd", "..", "a\0b"] {
        let long = pax("path", name.as_bytes());
        assert!(why(&[long, file("x", "")]).contains("not allowed"), "{name}");
    }
    assert!(why(&[pax("path", &[b'n'; 300]), file("x", "")]).contains("length"));
    assert!(why(&[pax("path", "d/".repeat(200).as_bytes()), entry(b'5', b"x", b"", b"")]).contains("deep"));
}

#[test]
fn strange_names_are_only_names() {
    let names = ["new\nline", "-rf", "\u{1b}[31m", "a\\b", ".wh.whiteout", ".wh..wh..opq", " ", "*"];
    let made = made(&names.map(|name| file(name, "1")));
    for name in names {
        assert_eq!(made.text(name), "1", "{name:?}");
    }
}

#[test]
fn nothing_is_written_through_a_link() {
    for target in ["../outside", "/", "bin"] {
        assert!(why(&[link("way", target), file("way/file", "")]).contains("below a link"), "{target}");
        let folder = entry(b'5', b"way/folder/", b"", b"");
        assert!(why(&[link("way", target), folder]).contains("below a link"), "{target}");
        assert!(why(&[link("way", target), file("way", "over it")]).contains("twice"), "{target}");
    }
}

#[test]
fn a_second_name_is_for_files_of_the_tree_only() {
    let hard = |target: &str| entry(b'1', b"second", target.as_bytes(), b"");
    assert!(why(&[hard("missing")]).contains("not there"));
    assert!(why(&[hard("../outside/x")]).contains("leads out"));
    assert!(why(&[hard("/etc/passwd")]).contains("absolute"));
    assert!(why(&[link("to", "/etc/shadow"), hard("to")]).contains("not there"));
    assert!(why(&[entry(b'5', b"dir/", b"", b""), hard("dir")]).contains("not there"));
    assert!(why(&[link("way", "../outside"), hard("way/x")]).contains("below a link"));
}

#[test]
fn places_that_a_sandbox_mounts_over_must_be_folders() {
    for name in ["proc", "sys", "dev", "tmp", "etc"] {
        assert!(why(&[link(name, "../../etc")]).contains("must be a folder"), "{name}");
        assert!(why(&[file(name, "")]).contains("must be a folder"), "{name}");
    }
    let made = made(&[link("dev/null", "/etc/shadow"), file("proc/1/x", ""), file("tmp/x", "")]);
    for place in ["dev", "proc", "tmp"] {
        assert_eq!(fs::read_dir(made.root.join(place)).expect("there").count(), 0, "{place}");
    }
}

#[test]
fn the_files_that_tell_where_a_function_is_are_ours() {
    let made = made(&[
        link("etc/resolv.conf", "/proc/1/root/etc/shadow"),
        link("etc/hosts", "../../outside/hosts"),
        file("etc/hostname/deeper", "x"),
    ]);
    assert!(made.text("etc/resolv.conf").contains("169.254.100.1"));
    assert!(made.text("etc/hosts").contains("localhost"));
    assert_eq!(made.text("etc/hostname"), "sandbox\n");
}

#[test]
fn accounts_get_the_functions_line_once_and_links_are_left_alone() {
    let own = made(&[file("etc/passwd", "root:x:0:0::/:/bin/sh"), file("etc/group", "x:x:990:\n")]);
    assert!(own.text("etc/passwd").starts_with("root:x:0:0::/:/bin/sh\nsbx_user1051:x:993:990:"));
    assert_eq!(own.text("etc/group"), "x:x:990:\n", "the number is known already");
    let linked = made(&[link("etc/passwd", "../../outside/passwd")]);
    assert!(fs::symlink_metadata(linked.root.join("etc/passwd")).expect("there").is_symlink());
}

#[test]
fn more_nodes_than_allowed_are_refused_before_they_are_made() {
    let scratch = Scratch::new();
    let root = Tree::open(scratch.path()).expect("opens");
    let source: &[u8] = &[];
    let archive = Archive::new(BufReader::new(source));
    let mut filling = Filling { tree: root, archive, nodes: NODES_MAX - 2, previous: b"a/b".to_vec() };
    assert!(filling.count(b"a/c").is_ok());
    assert!(filling.count(b"a/c/d").is_ok());
    assert!(matches!(filling.count(b"x/y"), Err(RootError::TooManyNodes)));
}
