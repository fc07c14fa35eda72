//! Opens a state directory: makes it, locks it, checks its version, clears what a crash left half-made.
//!
//! One daemon per directory: the lock is a `flock` on `lock`, kept as long as any process holds the descriptor (the
//! privileged helper inherits it, so that a new daemon waits until the old one's sandboxes are gone). Only this file
//! knows the names in the directory. It does not open the catalog.

use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Version of the directory's layout that this release reads and writes.
pub(crate) const VERSION: u32 = 1;
/// How long a start waits for the helper of a dead daemon to let go of the lock.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two tries.
const RETRY: Duration = Duration::from_millis(50);

/// A state directory that this process has locked.
#[derive(Debug)]
pub(crate) struct Layout {
    root: PathBuf,
    instance: String,
    lock: File,
}

/// Contents of `run.json`: how clients on this machine find the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunInfo {
    /// Address of the API.
    pub(crate) listen: String,
    /// Address of health and metrics.
    pub(crate) admin: String,
    /// The daemon's process.
    pub(crate) pid: u32,
    /// Stable id of the state directory.
    pub(crate) instance: String,
    /// Region that signatures are for.
    #[serde(default)]
    pub(crate) region: String,
    /// SHA-256 of the API's certificate, if it is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<String>,
}

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayoutError {
    /// Another daemon has it.
    #[error("another hearth (pid {pid}) uses this state directory: {}", .root.display())]
    Locked {
        /// Directory.
        root: PathBuf,
        /// Holder as it wrote itself down.
        pid: String,
    },
    /// Made by a later release.
    #[error(
        "the state directory {} has layout version {found}, this hearth knows {VERSION}: run the hearth that wrote \
         it, or a later one",
        .root.display()
    )]
    Newer {
        /// Directory.
        root: PathBuf,
        /// On disk.
        found: u32,
    },
    /// `LAYOUT` cannot be understood.
    #[error("{} is not a hearth state directory: its LAYOUT file is damaged ({detail})", .root.display())]
    Damaged {
        /// Directory.
        root: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// There are files, but none of ours.
    #[error("{} is not empty and has no LAYOUT file: choose an empty or a new directory", .root.display())]
    Foreign {
        /// Directory.
        root: PathBuf,
    },
    /// The file system refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

#[derive(Serialize, Deserialize)]
struct LayoutFile {
    version: u32,
    instance: String,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LayoutError {
    let path = path.to_owned();
    move |source| LayoutError::Io { action, path, source }
}

impl Layout {
    /// Opens `root`, making it (mode 0700) if needed; waits up to ten seconds for the helper of a dead daemon.
    /// `fresh_instance` (16 hexadecimal digits) becomes the id of a new directory and is not used otherwise.
    pub(crate) fn open(root: &Path, fresh_instance: &str) -> Result<Self, LayoutError> {
        Self::open_within(root, fresh_instance, PATIENCE)
    }

    fn open_within(root: &Path, fresh_instance: &str, patience: Duration) -> Result<Self, LayoutError> {
        make_dir(root, 0o700, true)?;
        let root = fs::canonicalize(root).map_err(failed("find", root))?;
        refuse_foreign(&root)?;
        let lock = take_lock(&root, patience)?;
        fs::set_permissions(&root, fs::Permissions::from_mode(0o700))
            .map_err(failed("make private", &root))?;
        let mut layout = Self { root, instance: String::new(), lock };
        layout.instance = layout.read_version(fresh_instance)?;
        for name in ["blobs", "blobs/sha256", "blobs/tmp", "unpacked", "logs"] {
            make_dir(&layout.root.join(name), 0o700, false)?;
        }
        layout.clear_leftovers()?;
        sync_dir(&layout.root).map_err(failed("sync", &layout.root))?;
        Ok(layout)
    }

    /// The same directory under another path (a bind mount of it).
    pub(crate) fn reached_by(self, root: &Path) -> Self {
        Self { root: root.to_owned(), ..self }
    }

    /// The directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Stable id of this directory.
    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    /// The catalog.
    pub(crate) fn catalog(&self) -> PathBuf {
        self.root.join("hearth.db")
    }

    /// Code packages.
    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// Code trees.
    pub(crate) fn unpacked(&self) -> PathBuf {
        self.root.join("unpacked")
    }

    /// Functions' logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// A certificate of the daemon's own making.
    pub(crate) fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }

    /// The administrative socket.
    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.root.join("admin.sock")
    }

    /// The lock's descriptor: who holds a copy holds the lock.
    pub(crate) fn lock(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }

    /// Gives everything in the directory to the uid that the daemon will run as. Needs privilege if that is another.
    pub(crate) fn hand_over(&self, uid: u32, gid: u32) -> Result<(), LayoutError> {
        hand_over(&self.root, uid, gid, 0).map_err(failed("give to the service user", &self.root))
    }

    /// Writes `run.json`; readers see the old file or the new one, whole.
    pub(crate) fn write_run_info(&self, info: &RunInfo) -> Result<(), LayoutError> {
        let path = self.root.join("run.json");
        let text = serde_json::to_vec(info).map_err(io::Error::other).map_err(failed("encode", &path))?;
        replace_file(&path, &text).map_err(failed("write", &path))
    }

    /// Removes `run.json`; its absence is no error.
    pub(crate) fn remove_run_info(&self) -> Result<(), LayoutError> {
        let path = self.root.join("run.json");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    /// Reads `LAYOUT`, or writes it into a new directory; the instance id.
    fn read_version(&self, fresh_instance: &str) -> Result<String, LayoutError> {
        let path = self.root.join("LAYOUT");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let new = LayoutFile { version: VERSION, instance: fresh_instance.to_owned() };
                let text =
                    serde_json::to_vec(&new).map_err(io::Error::other).map_err(failed("encode", &path))?;
                replace_file(&path, &text).map_err(failed("write", &path))?;
                return Ok(new.instance);
            }
            Err(error) => return Err(failed("read", &path)(error)),
        };
        // The version alone first: a later release may have changed everything else.
        let damaged = |error: serde_json::Error| LayoutError::Damaged {
            root: self.root.clone(),
            detail: error.to_string(),
        };
        #[derive(Deserialize)]
        struct VersionOnly {
            version: u32,
        }
        let found = serde_json::from_str::<VersionOnly>(&text).map_err(damaged)?.version;
        if found > VERSION {
            return Err(LayoutError::Newer { root: self.root.clone(), found });
        }
        serde_json::from_str::<LayoutFile>(&text).map(|it| it.instance).map_err(damaged)
    }

    /// Removes what a killed daemon left half-made, and the trees of an earlier boot: they are not synced, so that
    /// after a power failure a tree may be there without its contents.
    fn clear_leftovers(&self) -> Result<(), LayoutError> {
        let tmp = self.root.join("blobs/tmp");
        clear(&tmp, |_| true).map_err(failed("clear", &tmp))?;
        clear(&self.root, |name| name.as_encoded_bytes().ends_with(b".new"))
            .map_err(failed("clear", &self.root))?;
        for stale in ["run.json", "admin.sock"] {
            let path = self.root.join(stale);
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(failed("remove", &path)(error));
            }
        }
        let unpacked = self.unpacked();
        let marker = unpacked.join("BOOT");
        let boot = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let same_boot = !boot.is_empty() && fs::read(&marker).is_ok_and(|found| found == boot);
        let doomed =
            |name: &OsStr| name != "BOOT" && (!same_boot || name.as_encoded_bytes().ends_with(b".tmp"));
        clear(&unpacked, doomed).map_err(failed("clear", &unpacked))?;
        if same_boot { Ok(()) } else { replace_file(&marker, &boot).map_err(failed("write", &marker)) }
    }
}

fn make_dir(path: &Path, mode: u32, parents: bool) -> Result<(), LayoutError> {
    match DirBuilder::new().mode(mode).recursive(parents).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        done => done.map_err(failed("make the directory", path)),
    }
}

/// A directory with files but without `LAYOUT` is somebody's home, not a place to clear things in.
fn refuse_foreign(root: &Path) -> Result<(), LayoutError> {
    if root.join("LAYOUT").exists() {
        return Ok(());
    }
    // `lock` and a half-written `LAYOUT` are what a first start killed early leaves; `lost+found` comes with a disk.
    let ours = |name: &OsStr| ["lock", "LAYOUT.new", "lost+found"].iter().any(|known| name == *known);
    let entries = fs::read_dir(root).map_err(failed("read", root))?;
    for entry in entries {
        let entry = entry.map_err(failed("read", root))?;
        if !ours(&entry.file_name()) {
            return Err(LayoutError::Foreign { root: root.to_owned() });
        }
    }
    Ok(())
}

fn take_lock(root: &Path, patience: Duration) -> Result<File, LayoutError> {
    let path = root.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed("open", &path))?;
    let mut tries = patience.as_millis() / RETRY.as_millis();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
            Err(TryLockError::WouldBlock) => {}
        }
        let mut holder = String::new();
        file.rewind().and_then(|()| file.read_to_string(&mut holder)).map_err(failed("read", &path))?;
        if tries == 0 || lives(&holder) {
            let pid = holder.split_whitespace().next().unwrap_or("unknown").to_owned();
            return Err(LayoutError::Locked { root: root.to_owned(), pid });
        }
        tries -= 1;
        std::thread::sleep(RETRY);
    }
    let pid = std::process::id();
    let line = format!("{pid} {}\n", started(&pid.to_string()).unwrap_or_default());
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(line.as_bytes()))
        .map_err(failed("write", &path))?;
    Ok(file)
}

/// Whether the process of a lock line (`pid start-time`) is still the one that wrote it.
fn lives(holder: &str) -> bool {
    let mut parts = holder.split_whitespace();
    match (parts.next(), parts.next()) {
        (Some(pid), Some(since)) => started(pid).is_some_and(|found| found == since),
        // Locked an instant ago and not written yet, or unreadable: somebody is there.
        _ => true,
    }
}

/// A process's start time in clock ticks since boot, field 22 of `/proc/<pid>/stat`; none for the dead (a zombie
/// holds no lock).
fn started(pid: &str) -> Option<String> {
    if pid.is_empty() || !pid.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name may hold spaces and parentheses; what follows the last one does not.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

/// Writes a small file so that it is there whole or not at all.
fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes names in a directory durable.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes the entries whose names `doomed` picks. Links are removed, not followed.
fn clear(dir: &Path, doomed: impl Fn(&OsStr) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !doomed(&entry.file_name()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Code trees stand two levels down and can be large. Owners change from the leaves up, so that a tree whose root has
/// the right owner has it throughout. Depth is bounded by what this daemon creates.
fn hand_over(path: &Path, uid: u32, gid: u32, level: u32) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    let done = (meta.uid(), meta.gid()) == (uid, gid);
    if meta.is_dir() && !(done && level >= 2) {
        for entry in fs::read_dir(path)? {
            hand_over(&entry?.path(), uid, gid, level + 1)?;
        }
    }
    if done { Ok(()) } else { std::os::unix::fs::lchown(path, Some(uid), Some(gid)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::Scratch;

    const ID: &str = "0123456789abcdef";

    fn open(root: &Path) -> Result<Layout, LayoutError> {
        Layout::open_within(root, ID, Duration::ZERO)
    }

    #[test]
    fn a_new_directory_is_private_and_keeps_its_instance() {
        let scratch = Scratch::new();
        let root = scratch.path().join("deep/state");
        let layout = open(&root).expect("opens");
        assert_eq!(layout.instance(), ID);
        assert_eq!(fs::metadata(&root).expect("there").permissions().mode() & 0o777, 0o700);
        drop(layout);
        let again = Layout::open_within(&root, "ffffffffffffffff", Duration::ZERO).expect("opens again");
        assert_eq!(again.instance(), ID);
    }

    #[test]
    fn a_second_opener_is_refused_and_told_the_pid() {
        let scratch = Scratch::new();
        let first = open(scratch.path()).expect("opens");
        let error = open(scratch.path()).expect_err("locked").to_string();
        let expected = format!("another hearth (pid {}) uses this state directory", std::process::id());
        assert!(error.starts_with(&expected), "{error}");
        drop(first);
        open(scratch.path()).expect("free again");
    }

    #[test]
    fn a_copy_of_the_descriptor_keeps_the_lock() {
        let scratch = Scratch::new();
        let layout = open(scratch.path()).expect("opens");
        let copy = layout.lock().try_clone_to_owned().expect("duplicates");
        drop(layout);
        // As if the daemon had died and its helper lived: the holder named in the file is gone.
        fs::write(scratch.path().join("lock"), "4194304 1\n").expect("writes");
        let error = open(scratch.path()).expect_err("still locked").to_string();
        assert!(error.contains("pid 4194304"), "{error}");
        let waiter = scratch.path().to_owned();
        let waiting = std::thread::spawn(move || Layout::open_within(&waiter, ID, Duration::from_secs(10)));
        drop(copy);
        waiting.join().expect("no panic").expect("opens when the helper is gone");
    }

    #[test]
    fn a_newer_layout_is_refused_naming_both_versions() {
        let scratch = Scratch::new();
        fs::write(scratch.path().join("LAYOUT"), r#"{"version":7,"other":true}"#).expect("writes");
        let error = open(scratch.path()).expect_err("newer").to_string();
        assert!(error.contains("layout version 7") && error.contains("knows 1"), "{error}");
    }

    #[test]
    fn a_damaged_layout_file_is_refused() {
        let scratch = Scratch::new();
        fs::write(scratch.path().join("LAYOUT"), "").expect("writes");
        assert!(matches!(open(scratch.path()), Err(LayoutError::Damaged { .. })));
    }

    #[test]
    fn a_directory_with_foreign_files_is_refused_and_left_alone() {
        let scratch = Scratch::new();
        fs::write(scratch.path().join("thesis.new"), "years of work").expect("writes");
        assert!(matches!(open(scratch.path()), Err(LayoutError::Foreign { .. })));
        assert!(scratch.path().join("thesis.new").exists());
        assert!(!scratch.path().join("lock").exists());
    }

    #[test]
    fn leftovers_of_a_crash_are_cleared_and_the_rest_stays() {
        let scratch = Scratch::new();
        drop(open(scratch.path()).expect("opens"));
        let at = |name: &str| scratch.path().join(name);
        fs::write(at("blobs/tmp/1-1"), "half").expect("writes");
        fs::write(at("run.json"), "{}").expect("writes");
        fs::write(at("run.json.new"), "{").expect("writes");
        fs::create_dir_all(at("unpacked/abc.1.tmp/x")).expect("makes");
        fs::create_dir_all(at("unpacked/abc/x")).expect("makes");
        fs::write(at("blobs/sha256/abc"), "whole").expect("writes");
        drop(open(scratch.path()).expect("opens"));
        for gone in ["blobs/tmp/1-1", "run.json", "run.json.new", "unpacked/abc.1.tmp"] {
            assert!(!at(gone).exists(), "{gone}");
        }
        for kept in ["unpacked/abc/x", "blobs/sha256/abc"] {
            assert!(at(kept).exists(), "{kept}");
        }
    }

    #[test]
    fn trees_of_another_boot_are_not_trusted() {
        let scratch = Scratch::new();
        drop(open(scratch.path()).expect("opens"));
        let tree = scratch.path().join("unpacked/abc");
        fs::create_dir(&tree).expect("makes");
        fs::write(scratch.path().join("unpacked/BOOT"), "another boot").expect("writes");
        drop(open(scratch.path()).expect("opens"));
        assert!(!tree.exists());
    }

    #[test]
    fn run_info_is_written_whole_and_removed_twice_without_error() {
        let scratch = Scratch::new();
        let layout = open(scratch.path()).expect("opens");
        let info = RunInfo {
            listen: "127.0.0.1:1".into(),
            admin: "127.0.0.1:2".into(),
            pid: 3,
            instance: ID.into(),
            region: "us-east-1".into(),
            certificate: None,
        };
        layout.write_run_info(&info).expect("writes");
        let read = fs::read_to_string(scratch.path().join("run.json")).expect("reads");
        let expected = format!(
            r#"{{"listen":"127.0.0.1:1","admin":"127.0.0.1:2","pid":3,"instance":"{ID}","region":"us-east-1"}}"#
        );
        assert_eq!(read, expected);
        layout.remove_run_info().expect("removes");
        layout.remove_run_info().expect("is gone");
    }

    #[test]
    fn handing_over_changes_every_owner_and_follows_no_link() {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: only root may give files away");
            return;
        }
        let scratch = Scratch::new();
        let outside = Scratch::new();
        let layout = open(scratch.path()).expect("opens");
        let at = |name: &str| scratch.path().join(name);
        fs::create_dir_all(at("unpacked/abc/lib")).expect("makes");
        for name in ["unpacked/abc/lib/file", "blobs/sha256/abc", "hearth.db"] {
            fs::write(at(name), "").expect("writes");
        }
        std::os::unix::fs::symlink(outside.path(), at("unpacked/abc/link")).expect("links");
        let owner = |path: &Path| fs::symlink_metadata(path).expect("there").uid();
        for uid in [1_900_000_000, 1_900_000_001] {
            layout.hand_over(uid, uid).expect("works");
            let all = [
                "",
                "LAYOUT",
                "lock",
                "hearth.db",
                "blobs/sha256/abc",
                "unpacked/abc/lib/file",
                "unpacked/abc/link",
            ];
            for name in all {
                assert_eq!(owner(&at(name)), uid, "{name}");
            }
        }
        assert_eq!(owner(outside.path()), 0);
    }
}
