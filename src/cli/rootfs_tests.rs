//! What a packed root is, read again by the `tar` program of this machine, and what is not packed.

use super::*;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("hearth-rootfs-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a fresh directory");
        Self(path)
    }

    fn with(self, name: &str, content: &str) -> Self {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("has one")).expect("makes");
        fs::write(path, content).expect("writes");
        self
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn packed(scratch: &Scratch) -> Vec<u8> {
    let rootfs = Rootfs::read(&scratch.0).expect("reads");
    let mut bytes = Vec::new();
    let whole = rootfs.write(&mut |piece| {
        bytes.extend_from_slice(&piece);
        true
    });
    assert!(whole.expect("writes"));
    assert_eq!(bytes.len() as u64, rootfs.size().expect("fits"), "the size is known before");
    bytes
}

/// What another reader lists.
#[expect(clippy::disallowed_methods, reason = "another reader has to say the same")]
fn listed(archive: &[u8]) -> String {
    use std::io::Write as _;
    let mut tar = Command::new("tar")
        .args(["-tvf", "-", "--numeric-owner", "--quoting-style=literal"])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("tar is there");
    tar.stdin.take().expect("piped").write_all(archive).expect("writes");
    let output = tar.wait_with_output().expect("ends");
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn an_archive_is_read_by_others_as_it_was_meant() {
    let long = "deep/".repeat(60) + "file";
    let scratch = Scratch::new().with("bin/app", "#!").with(&long, "x").with("empty", "");
    symlink("/bin/app", scratch.0.join("bin/sh")).expect("links");
    symlink("t".repeat(300), scratch.0.join("far")).expect("links");
    fs::hard_link(scratch.0.join("bin/app"), scratch.0.join("bin/same")).expect("links");
    let text = listed(&packed(&scratch));
    let has = |wanted: &str| assert!(text.lines().any(|line| line.ends_with(wanted)), "{wanted}:\n{text}");
    has(" bin/app");
    has("bin/sh -> /bin/app");
    has("bin/same link to bin/app");
    has(&format!("far -> {}", "t".repeat(300)));
    has(&long);
    assert!(text.lines().all(|line| line.contains(" 0/0 ")), "{text}");
}

#[test]
fn the_same_content_is_the_same_archive() {
    let [one, other] = [0, 1].map(|_| Scratch::new().with("b", "2").with("a/c", "1"));
    let digest = |scratch: &Scratch| Rootfs::read(&scratch.0).expect("reads").digest().expect("hashes");
    assert_eq!(digest(&one), digest(&other));
    let changed = Scratch::new().with("b", "2").with("a/c", "0");
    assert_ne!(digest(&one), digest(&changed));
}

#[test]
fn what_a_sandbox_has_of_its_own_is_left_out() {
    let scratch =
        Scratch::new().with("tmp/x", "").with("proc/1/x", "").with("dev/x", "").with("srv/tmp/y", "y");
    let socket = scratch.0.join("socket");
    let _bound = std::os::unix::net::UnixListener::bind(&socket).expect("binds");
    let rootfs = Rootfs::read(&scratch.0).expect("reads");
    let names: Vec<&str> = rootfs.nodes.keys().map(|name| std::str::from_utf8(name).expect("text")).collect();
    assert_eq!(names, ["dev", "proc", "srv", "srv/tmp", "srv/tmp/y", "tmp"]);
    assert_eq!(rootfs.left_out, 1);
}

#[test]
fn what_is_no_root_is_refused() {
    let empty = Scratch::new();
    let said = |path: &Path| Rootfs::read(path).expect_err("is refused").to_string();
    assert!(said(&empty.0).contains("no files"));
    assert!(said(Path::new("/")).contains("own root"));
    assert!(said(Path::new("/proc/../..")).contains("own root"));
    assert!(said(&empty.0.join("missing")).contains("cannot find"));
}

#[test]
fn a_file_that_changes_meanwhile_is_an_error_and_not_a_broken_archive() {
    let scratch = Scratch::new().with("file", "12345");
    let rootfs = Rootfs::read(&scratch.0).expect("reads");
    for content in ["1234", "123456"] {
        fs::write(scratch.0.join("file"), content).expect("writes");
        let error = rootfs.digest().expect_err("changed").to_string();
        assert!(error.contains("changed while it was read"), "{error}");
    }
}

#[test]
fn users_are_found_in_the_trees_own_accounts() {
    let scratch = Scratch::new().with("etc/passwd", "root:x:0:0::/:\napp:x:1000:50::/:\nbroken:x\n");
    let user = |user: &str| Rootfs::read(&scratch.0).expect("reads").user(user);
    assert_eq!(user("app").expect("is there"), "1000:50");
    assert_eq!(user("1000").expect("is there"), "1000:50");
    assert_eq!(user("7").expect("a number"), "7:7");
    assert_eq!(user("7:8").expect("numbers"), "7:8");
    for missing in ["nobody", "broken", "", "app:50", "-1"] {
        assert!(user(missing).is_err(), "{missing}");
    }
    let linked = Scratch::new().with("x", "");
    fs::create_dir(linked.0.join("etc")).expect("makes");
    symlink("/etc/passwd", linked.0.join("etc/passwd")).expect("links");
    assert!(Rootfs::read(&linked.0).expect("reads").user("root").is_err(), "not this machine's accounts");
}
