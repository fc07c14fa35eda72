//! The file system inside a sandbox: one read-only base tree made once, and what is mounted over it.
//!
//! The base is a small tmpfs in the forker's own mount namespace with the host's `/usr` and libraries bound into it
//! (never `/home`, `/root`, or `/etc` beyond a safe handful). Sandboxes get detached copies of it. Paths come from
//! this file and from the configuration that the forker was started with, never from a request.

use crate::roots;
use crate::spec::{Contents, INNER_GID, INNER_UID, RuntimeMount, Tree};
use crate::sys::{self, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use nix::fcntl::{AT_FDCWD, OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Where the forker keeps its private mounts; visible in its own mount namespace only.
pub const PRIVATE: &str = "/run/hearth";
const NOTHING: Option<&str> = None;

const TOP_LEVEL: [&str; 7] = ["bin", "sbin", "lib", "lib64", "lib32", "libx32", "libexec"];
const EMPTY_DIRS: [&str; 14] = [
    "proc",
    "sys",
    "tmp",
    "opt",
    "run",
    "home",
    "mnt",
    "etc",
    "dev",
    "usr",
    "var",
    "var/task",
    "var/lang",
    "var/runtime",
];
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
/// Bound from the host when they are there: what libraries read, nothing that names people or secrets.
const ETC_BOUND: [&str; 14] = [
    "alternatives",
    "ca-certificates",
    "ssl/certs",
    "ssl/openssl.cnf",
    "pki/tls/certs",
    "pki/ca-trust/extracted",
    "crypto-policies",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "services",
    "protocols",
];
/// Hidden below `/proc`: they tell of the host, or are the favourite targets of escapes.
const PROC_MASKED: [&str; 9] = [
    "kcore",
    "keys",
    "kmsg",
    "latency_stats",
    "timer_list",
    "sched_debug",
    "sysrq-trigger",
    "kallsyms",
    "config.gz",
];
const PROC_HIDDEN_DIRS: [&str; 4] = ["acpi", "scsi", "bus", "irq"];
const PROC_READ_ONLY: [&str; 2] = ["sys", "fs"];

/// Files of `/etc` that say where a function is; the same in every sandbox, whatever its root.
pub const ETC_OWN: [(&str, &str); 3] = [
    ("hosts", "127.0.0.1 localhost sandbox.localdomain sandbox\n::1 localhost\n"),
    // The daemon answers there in sandboxes with a network; in others nobody does, and the kernel says so at once.
    ("resolv.conf", "nameserver 169.254.100.1\n"),
    ("hostname", "sandbox\n"),
];

/// The function's line in `/etc/passwd`.
#[must_use]
pub fn passwd_line() -> String {
    format!("sbx_user1051:x:{INNER_UID}:{INNER_GID}:Lambda function:/tmp:/bin/sh\n")
}

/// Its group's line in `/etc/group`.
#[must_use]
pub fn group_line() -> String {
    format!("sbx_user1051:x:{INNER_GID}:\n")
}

/// A mount step that failed.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct MountError {
    what: String,
    source: io::Error,
}

pub(crate) type Result<T> = std::result::Result<T, MountError>;

pub(crate) fn at<T, E: Into<io::Error>>(
    what: impl std::fmt::Display,
    result: std::result::Result<T, E>,
) -> Result<T> {
    result.map_err(|error| MountError { what: what.to_string(), source: error.into() })
}

/// The trees from which sandboxes are made: attached below [`PRIVATE`], in the forker's mount namespace only.
#[derive(Debug)]
pub struct Trees {
    /// Whether each runtime has an interpreter to mount.
    runtimes: BTreeMap<String, bool>,
}

/// What is mounted over a parked sandbox at its hand-over: detached, locked, ready to be moved.
#[derive(Debug)]
pub enum Furniture {
    /// Mounted over the base, each at its place.
    Over(Vec<(&'static str, OwnedFd)>),
    /// Takes the base's place.
    Root(OwnedFd),
}

/// Enters a private mount namespace and builds all trees. Called once, by the forker.
///
/// # Errors
/// Names the mount that failed.
pub fn prepare(runtimes: &[RuntimeMount]) -> Result<Trees> {
    at("own mount namespace", unshare(CloneFlags::CLONE_NEWNS))?;
    at("private mounts", mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING))?;
    at(PRIVATE, fs::create_dir_all(PRIVATE))?;
    let options = Some("mode=0755,size=64m,nr_inodes=4096");
    let flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
    at(PRIVATE, mount(Some("hearth"), PRIVATE, Some("tmpfs"), flags, options))?;
    for dir in ["root", "next", "client", "lang"] {
        at(dir, fs::create_dir(private(dir)))?;
    }
    let root = private("root");
    build_base(&root)?;
    let base = at("root", nix::fcntl::open(&root, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()))?;
    at("read-only root", sys::mount_setattr(base.as_fd(), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, true))?;
    let mut made = BTreeMap::new();
    for runtime in runtimes {
        build_runtime(runtime)?;
        made.insert(runtime.name.clone(), runtime.prefix.is_some());
    }
    Ok(Trees { runtimes: made })
}

fn private(name: &str) -> PathBuf {
    Path::new(PRIVATE).join(name)
}

fn build_runtime(runtime: &RuntimeMount) -> Result<()> {
    if let Some(prefix) = &runtime.prefix {
        let lang = private("lang").join(&runtime.name);
        at(&runtime.name, fs::create_dir(&lang))?;
        bind(Path::new(prefix), &lang)?;
    }
    let client = private("client").join(&runtime.name);
    at(&runtime.name, fs::create_dir(&client))?;
    for (name, content) in &runtime.files {
        let path = client.join(name);
        if let Some(parent) = path.parent() {
            at(name, fs::create_dir_all(parent))?;
        }
        at(name, fs::write(&path, content))?;
        at(name, fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))?;
    }
    Ok(())
}

fn clone_tree(path: &Path, recursive: bool) -> Result<OwnedFd> {
    let cwd = AT_FDCWD;
    at(path.display(), sys::open_tree(cwd, path, recursive))
}

/// A detached read-only copy of a host directory.
fn read_only(path: &Path) -> Result<OwnedFd> {
    let tree = clone_tree(path, false)?;
    lock_down(tree.as_fd(), path)?;
    Ok(tree)
}

fn lock_down(tree: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let flags = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    at(path.display(), sys::mount_setattr(tree, flags, false))
}

fn build_base(root: &Path) -> Result<()> {
    // The base itself must be a mount of its own to be cloned with what is bound into it.
    at("root", mount(Some(root), root, NOTHING, MsFlags::MS_BIND, NOTHING))?;
    for dir in EMPTY_DIRS {
        at(dir, fs::create_dir_all(root.join(dir)))?;
    }
    bind(Path::new("/usr"), &root.join("usr"))?;
    for name in TOP_LEVEL {
        let host = Path::new("/").join(name);
        match fs::symlink_metadata(&host) {
            Ok(data) if data.file_type().is_symlink() => {
                let target = at(name, fs::read_link(&host))?;
                at(name, symlink(target, root.join(name)))?;
            }
            Ok(data) if data.is_dir() => {
                at(name, fs::create_dir(root.join(name)))?;
                bind(&host, &root.join(name))?;
            }
            _ => {}
        }
    }
    build_etc(&root.join("etc"))?;
    build_dev(&root.join("dev"))
}

/// Binds one mount of the host, without what is mounted below it.
fn bind(host: &Path, target: &Path) -> Result<()> {
    let tree = read_only(host)?;
    at(target.display(), sys::move_mount(tree.as_fd(), target))
}

fn build_etc(etc: &Path) -> Result<()> {
    let user = format!("root:x:0:0:root:/:/bin/false\n{}", passwd_line());
    let group = format!("root:x:0:\n{}", group_line());
    let files = [
        ("passwd", user.as_str()),
        ("group", group.as_str()),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
        ),
    ];
    for (name, content) in files.into_iter().chain(ETC_OWN) {
        at(name, fs::write(etc.join(name), content))?;
    }
    for name in ETC_BOUND {
        let host = Path::new("/etc").join(name);
        let Ok(host) = fs::canonicalize(&host) else { continue };
        let target = etc.join(name);
        if let Some(parent) = target.parent() {
            at(name, fs::create_dir_all(parent))?;
        }
        if host.is_dir() {
            at(name, fs::create_dir_all(&target))?;
        } else {
            at(name, fs::write(&target, ""))?;
        }
        bind(&host, &target)?;
    }
    Ok(())
}

fn build_dev(dev: &Path) -> Result<()> {
    for name in DEVICES {
        let target = dev.join(name);
        at(name, fs::write(&target, ""))?;
        let tree = clone_tree(&Path::new("/dev").join(name), false)?;
        at(name, sys::move_mount(tree.as_fd(), &target))?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        at(name, symlink(target, dev.join(name)))?;
    }
    Ok(())
}

impl Trees {
    /// Whether a launch may name this runtime.
    #[must_use]
    pub fn knows(&self, runtime: &str) -> bool {
        self.runtimes.contains_key(runtime)
    }

    /// Makes the base the root of the calling process's own mount namespace; the host is gone afterwards.
    ///
    /// `tmp` is the block device of `/tmp`.
    ///
    /// # Errors
    /// Names the mount that failed.
    pub fn become_root(tmp: &str) -> Result<()> {
        let next = private("next");
        let tree = clone_tree(&private("root"), true)?;
        at("root", sys::move_mount(tree.as_fd(), &next))?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        at("/tmp", mount(Some(tmp), &next.join("tmp"), Some("ext4"), flags, NOTHING))?;
        let proc = next.join("proc");
        at("/proc", mount(Some("proc"), &proc, Some("proc"), flags | MsFlags::MS_NOEXEC, NOTHING))?;
        mask_proc(&proc, &next.join("dev/null"), &next.join("sys"))?;
        at("chdir", nix::unistd::chdir(&next))?;
        at("pivot_root", nix::unistd::pivot_root(".", "."))?;
        at("leaving the host", umount2(".", MntFlags::MNT_DETACH))?;
        at("chdir", nix::unistd::chdir("/"))
    }

    /// Detached mounts of what is to be in a sandbox, made in the forker's own mount namespace.
    ///
    /// # Errors
    /// When the tree or the runtime is not there.
    pub fn furniture(&self, unpacked: BorrowedFd<'_>, contents: &Contents) -> Result<Furniture> {
        let tree = unpacked_tree(unpacked, contents.tree())?;
        let Contents::Task { runtime, layers, .. } = contents else { return Ok(Furniture::Root(tree)) };
        let known = self.runtimes.get(runtime).ok_or(nix::Error::ENOENT);
        let has_lang = *at(format_args!("runtime {runtime}"), known)?;
        let mut mounts = vec![("/var/task", tree)];
        if let Some(layers) = layers {
            mounts.push(("/opt", unpacked_tree(unpacked, Tree::Task(*layers))?));
        }
        mounts.push(("/var/runtime", read_only(&private("client").join(runtime))?));
        if has_lang {
            mounts.push(("/var/lang", read_only(&private("lang").join(runtime))?));
        }
        Ok(Furniture::Over(mounts))
    }
}

impl Furniture {
    /// Moves everything in. The caller has entered the sandbox's mount namespace and leaves it afterwards.
    ///
    /// # Errors
    /// Names the mount that failed.
    pub fn place(&self) -> Result<()> {
        match self {
            Self::Over(mounts) => {
                mounts.iter().try_for_each(|(path, tree)| at(path, sys::move_mount(tree.as_fd(), *path)))
            }
            Self::Root(tree) => roots::take_over(tree.as_fd()),
        }
    }
}

fn mask_proc(proc: &Path, null: &Path, empty: &Path) -> Result<()> {
    for name in PROC_MASKED {
        let path = proc.join(name);
        if path.exists() {
            let tree = clone_tree(null, false)?;
            at(path.display(), sys::move_mount(tree.as_fd(), &path))?;
        }
    }
    for name in PROC_HIDDEN_DIRS {
        let path = proc.join(name);
        if path.is_dir() {
            let tree = clone_tree(empty, false)?;
            at(path.display(), sys::move_mount(tree.as_fd(), &path))?;
        }
    }
    for name in PROC_READ_ONLY {
        let path = proc.join(name);
        if path.is_dir() {
            let tree = clone_tree(&path, false)?;
            lock_down(tree.as_fd(), &path)?;
            at(path.display(), sys::move_mount(tree.as_fd(), &path))?;
        }
    }
    Ok(())
}

/// A detached, locked copy of an unpacked tree: a directory below `unpacked`, by its name.
fn unpacked_tree(unpacked: BorrowedFd<'_>, tree: Tree) -> Result<OwnedFd> {
    let name = tree.name();
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let what = format_args!("code {name}");
    let dir = at(what, nix::fcntl::openat(unpacked, name.as_str(), flags, Mode::empty()))?;
    let copy = at(what, sys::open_tree(dir.as_fd(), "", false))?;
    lock_down(copy.as_fd(), Path::new(&name))?;
    Ok(copy)
}

/// Opens a directory for later `*at` calls.
///
/// # Errors
/// When it is not there.
pub fn open_dir(path: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    at(path.display(), open(path, flags, Mode::empty()))
}
