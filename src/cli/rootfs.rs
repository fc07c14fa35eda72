//! `hearth deploy --rootfs DIR`: packs a directory tree as a root and hands it to the daemon, once.
//!
//! The archive is the same bytes for the same content (sorted, without times and owners), so its hash says whether the
//! daemon has it already. It is written twice, for its hash and for sending, and never held in memory. What a sandbox has
//! of its own (devices, `/proc`, `/sys`, `/tmp`) and what cannot be sent (sockets, pipes) is left out.

use super::client::ClientError;
use super::failure::Failure;
use super::terminal::{self, Progress};
use super::wire::{self, Stream, WireError};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

/// Bytes of an archive: what the daemon takes.
const ARCHIVE_MAX: u64 = 10_737_418_240;
/// Files, folders and links.
const NODES_MAX: usize = 1_000_000;
/// Folders whose content a sandbox never shows.
const LEFT_EMPTY: [&[u8]; 4] = [b"dev", b"proc", b"sys", b"tmp"];
const BLOCK: usize = 512;
const CHUNK: usize = 64 * 1024;
/// Chunks written ahead of the sending.
const AHEAD: usize = 8;
/// `etc/passwd` is read to find a user; more than this is not one.
const PASSWD_MAX: u64 = 1024 * 1024;
/// How long the daemon may take, beside the time of the upload.
const PATIENCE: Duration = Duration::from_secs(120);
/// The slowest upload that is waited for, bytes per second; unpacking included.
const RATE_MIN: u64 = 256 * 1024;

/// Why there is no root.
#[derive(Debug, thiserror::Error)]
pub(super) enum RootfsError {
    /// The system refused.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The host itself.
    #[error("{} is this machine's own root: copy what the function needs into a directory", .path.display())]
    Host {
        /// As given.
        path: PathBuf,
    },
    /// Nothing to run.
    #[error("{} has no files", .path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// Too many.
    #[error("{} has more than {NODES_MAX} files and directories", .path.display())]
    TooMany {
        /// The directory.
        path: PathBuf,
    },
    /// Too much.
    #[error("{} is larger than {ARCHIVE_MAX} bytes (10 GiB), the most that a root may be", .path.display())]
    TooLarge {
        /// The directory.
        path: PathBuf,
    },
    /// Somebody writes into it.
    #[error("{} changed while it was read: deploy again", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// No such user.
    #[error("--user {user}: {}/etc/passwd has no such user; write it as UID or UID:GID", .path.display())]
    User {
        /// As given.
        user: String,
        /// The tree.
        path: PathBuf,
    },
    /// The daemon has gone, or never was.
    #[error("cannot send the root through the daemon's admin socket {}: {hint}", .path.display())]
    Socket {
        /// Where it was looked for.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
        /// What broke.
        source: WireError,
    },
    /// The daemon refuses it.
    #[error("the daemon refuses the root ({status}): {text}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its words.
        text: String,
    },
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RootfsError {
    let path = path.to_owned();
    move |source| RootfsError::Io { action, path, source }
}

/// One thing in the tree.
#[derive(Debug)]
enum Node {
    Directory,
    File { mode: u32, size: u64 },
    Link { target: Vec<u8> },
    SecondName { of: Vec<u8> },
}

/// A directory tree, as it will be sent.
#[derive(Debug)]
pub(super) struct Rootfs {
    root: PathBuf,
    /// By name, so that folders come before what is in them.
    nodes: BTreeMap<Vec<u8>, Node>,
    left_out: usize,
}

impl Rootfs {
    /// Looks at a directory.
    pub(super) fn read(root: &Path) -> Result<Self, RootfsError> {
        let real = fs::canonicalize(root).map_err(failed("find", root))?;
        if real == Path::new("/") {
            return Err(RootfsError::Host { path: root.to_owned() });
        }
        let mut found = Self { root: real, nodes: BTreeMap::new(), left_out: 0 };
        found.walk()?;
        let is_file = |node: &Node| matches!(node, Node::File { .. });
        if !found.nodes.values().any(is_file) {
            return Err(RootfsError::Empty { path: root.to_owned() });
        }
        Ok(found)
    }

    fn walk(&mut self) -> Result<(), RootfsError> {
        let mut waiting = vec![Vec::new()];
        let mut files: BTreeMap<(u64, u64), Vec<Vec<u8>>> = BTreeMap::new();
        while let Some(prefix) = waiting.pop() {
            let dir = self.path(&prefix);
            for entry in fs::read_dir(&dir).map_err(failed("list", &dir))? {
                let name = entry.map_err(failed("list", &dir))?.file_name().into_vec();
                let inside = if prefix.is_empty() { name } else { [&prefix, &b"/"[..], &name].concat() };
                if self.nodes.len() >= NODES_MAX {
                    return Err(RootfsError::TooMany { path: self.root.clone() });
                }
                let path = self.path(&inside);
                let data = fs::symlink_metadata(&path).map_err(failed("read", &path))?;
                if data.is_file() && data.nlink() > 1 {
                    files.entry((data.dev(), data.ino())).or_default().push(inside.clone());
                }
                let Some(node) = node(&path, &data)? else {
                    self.left_out += 1;
                    continue;
                };
                if data.is_dir() && !LEFT_EMPTY.contains(&inside.as_slice()) {
                    waiting.push(inside.clone());
                }
                self.nodes.insert(inside, node);
            }
        }
        // The first in order is the file, the others are its names: the same for every walk.
        for mut names in files.into_values() {
            names.sort();
            for name in names.iter().skip(1) {
                self.nodes.insert(name.clone(), Node::SecondName { of: names[0].clone() });
            }
        }
        Ok(())
    }

    fn path(&self, inside: &[u8]) -> PathBuf {
        self.root.join(std::ffi::OsStr::from_bytes(inside))
    }

    /// Bytes of the archive.
    fn size(&self) -> Result<u64, RootfsError> {
        let block = BLOCK as u64;
        let sum = self.nodes.iter().fold(2 * block, |sum, (name, node)| {
            let content = if let Node::File { size, .. } = node { *size } else { 0 };
            sum.saturating_add(header(name, node).len() as u64)
                .saturating_add(content.next_multiple_of(block))
        });
        if sum > ARCHIVE_MAX { Err(RootfsError::TooLarge { path: self.root.clone() }) } else { Ok(sum) }
    }

    /// Writes the archive, piece by piece; whether the sink wanted all of it.
    fn write(&self, sink: &mut dyn FnMut(Bytes) -> bool) -> Result<bool, RootfsError> {
        for (name, node) in &self.nodes {
            if !sink(header(name, node).into()) {
                return Ok(false);
            }
            if let Node::File { size, .. } = node
                && !self.write_file(name, *size, sink)?
            {
                return Ok(false);
            }
        }
        Ok(sink(Bytes::from_static(&[0; 2 * BLOCK])))
    }

    fn write_file(
        &self,
        name: &[u8],
        size: u64,
        sink: &mut dyn FnMut(Bytes) -> bool,
    ) -> Result<bool, RootfsError> {
        let path = self.path(name);
        // Between the two looks somebody may have put a link or a pipe in its place.
        let mut options = fs::OpenOptions::new();
        let options = options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let mut file = options.open(&path).map_err(failed("open", &path))?.take(size + 1);
        let mut left = size;
        loop {
            let mut chunk = vec![0; CHUNK];
            let read = file.read(&mut chunk).map_err(failed("read", &path))?;
            if read == 0 {
                break;
            }
            left =
                left.checked_sub(read as u64).ok_or_else(|| RootfsError::Changed { path: path.clone() })?;
            chunk.truncate(read);
            if !sink(chunk.into()) {
                return Ok(false);
            }
        }
        if left > 0 {
            return Err(RootfsError::Changed { path });
        }
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        Ok(sink(vec![0; usize::try_from(padding).unwrap_or(0)].into()))
    }

    fn digest(&self) -> Result<String, RootfsError> {
        let mut hash = Sha256::new();
        self.write(&mut |piece| {
            hash.update(&piece);
            true
        })?;
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// What `ImageUri` says of a user: a number, two numbers, or a name of the tree's own `etc/passwd`.
    fn user(&self, user: &str) -> Result<String, RootfsError> {
        let is_number = |text: &str| text.parse::<u32>().is_ok();
        if user.split_once(':').is_some_and(|(uid, gid)| is_number(uid) && is_number(gid)) {
            return Ok(user.to_owned());
        }
        let place = if is_number(user) { 2 } else { 0 };
        for line in self.passwd().lines() {
            let fields: Vec<&str> = line.split(':').collect();
            if fields.len() > 3 && fields[place] == user && is_number(fields[2]) && is_number(fields[3]) {
                return Ok(format!("{}:{}", fields[2], fields[3]));
            }
        }
        match place {
            2 => Ok(format!("{user}:{user}")),
            _ => Err(RootfsError::User { user: user.to_owned(), path: self.root.clone() }),
        }
    }

    fn passwd(&self) -> String {
        let name = &b"etc/passwd"[..];
        // Only as the file that will be sent: a link would be read as this machine's.
        let is_sent = matches!(self.nodes.get(name), Some(Node::File { .. } | Node::SecondName { .. }));
        let mut text = String::new();
        if is_sent && let Ok(file) = File::open(self.path(name)) {
            // What is not text has no user that could be named.
            file.take(PASSWD_MAX).read_to_string(&mut text).ok();
        }
        text
    }
}

fn node(path: &Path, data: &Metadata) -> Result<Option<Node>, RootfsError> {
    let kind = data.file_type();
    if kind.is_dir() {
        return Ok(Some(Node::Directory));
    }
    if kind.is_symlink() {
        let target = fs::read_link(path).map_err(failed("read the link", path))?;
        return Ok(Some(Node::Link { target: target.into_os_string().into_vec() }));
    }
    let is_special = kind.is_block_device() || kind.is_char_device() || kind.is_fifo() || kind.is_socket();
    Ok((!is_special).then(|| Node::File { mode: data.mode() & 0o777, size: data.len() }))
}

/// The header blocks of an entry; what does not fit the old fields goes into one of pax before them.
fn header(name: &[u8], node: &Node) -> Vec<u8> {
    let none = &b""[..];
    let (kind, mode, size, target) = match node {
        Node::Directory => (b'5', 0o755, 0, none),
        Node::File { mode, size } => (b'0', *mode, *size, none),
        Node::Link { target } => (b'2', 0o777, 0, target.as_slice()),
        Node::SecondName { of } => (b'1', 0o644, 0, of.as_slice()),
    };
    let mut records = Vec::new();
    if name.len() > 100 {
        records.extend(record("path", name));
    }
    if target.len() > 100 {
        records.extend(record("linkpath", target));
    }
    let fits = size < 1 << 33;
    if !fits {
        records.extend(record("size", size.to_string().as_bytes()));
    }
    let mut bytes = Vec::new();
    if !records.is_empty() {
        bytes.extend(block(b"pax", b'x', 0o644, records.len() as u64, b""));
        bytes.extend(&records);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes.extend(block(name, kind, mode, if fits { size } else { 0 }, target));
    bytes
}

fn record(keyword: &str, value: &[u8]) -> Vec<u8> {
    let rest = keyword.len() + value.len() + 3;
    // The length counts its own digits.
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length += 1;
    }
    [format!("{length} {keyword}=").as_bytes(), value, b"\n"].concat()
}

fn block(name: &[u8], kind: u8, mode: u32, size: u64, target: &[u8]) -> [u8; BLOCK] {
    let mut block = [0_u8; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &name[..name.len().min(100)]);
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000\x000000000\0");
    put(124, format!("{size:011o}").as_bytes());
    put(136, b"00000000000\0        ");
    put(156, &[kind]);
    put(157, &target[..target.len().min(100)]);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// Makes sure that the daemon has the tree of a directory; the address by which functions name it.
pub(super) fn deliver(socket: &Path, root: &Path, user: Option<&str>) -> Result<String, Failure> {
    let rootfs = Rootfs::read(root)?;
    let query = user.map(|user| rootfs.user(user)).transpose()?;
    let size = rootfs.size()?;
    let digest = rootfs.digest()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(ClientError::Runtime)?;
    let path = format!("/rootfs/{digest}");
    let mut answer = runtime.block_on(ask(socket, Method::GET, &path, Stream::empty(), 0))?;
    if answer.0 == StatusCode::NOT_FOUND {
        if rootfs.left_out > 0 {
            let what = format!("hearth: {} devices, sockets and pipes are left out", rootfs.left_out);
            terminal::say(&what);
        }
        answer = send(&runtime, socket, &path, rootfs, size)?;
    }
    let (status, text) = answer;
    if status != StatusCode::OK {
        return Err(RootfsError::Refused { status: status.as_u16(), text: text.trim().to_owned() }.into());
    }
    let value: serde_json::Value = serde_json::from_str(&text)?;
    let uri = value.get("ImageUri").and_then(serde_json::Value::as_str).unwrap_or_default();
    Ok(query.map_or_else(|| uri.to_owned(), |user| format!("{uri}?user={user}")))
}

/// Sends the archive while it is written by a thread of its own.
fn send(
    runtime: &tokio::runtime::Runtime,
    socket: &Path,
    path: &str,
    rootfs: Rootfs,
    size: u64,
) -> Result<(StatusCode, String), Failure> {
    let (pieces, arriving) = mpsc::channel(AHEAD);
    let writer = std::thread::spawn(move || {
        let mut progress = Progress::new(usize::try_from(size).unwrap_or(usize::MAX));
        let mut sent = 0_usize;
        rootfs.write(&mut |piece| {
            sent += piece.len();
            progress.reach(sent);
            pieces.blocking_send(piece).is_ok()
        })
    });
    let asked = runtime.block_on(ask(socket, Method::PUT, path, Stream::new(arriving, size), size));
    // Its error is the reason of the other's.
    match writer.join() {
        Ok(written) => written?,
        Err(_) => return Err(Failure::because("the packing of the root broke off")),
    };
    Ok(asked?)
}

async fn ask(
    socket: &Path,
    method: Method,
    path: &str,
    body: Stream,
    size: u64,
) -> Result<(StatusCode, String), RootfsError> {
    let broken = |source: WireError| RootfsError::Socket {
        path: socket.to_owned(),
        hint: "a root goes to a daemon on this machine, from root or the daemon's group; --state-dir says which",
        source,
    };
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap_or_default();
    request.headers_mut().insert(http::header::HOST, http::HeaderValue::from_static("hearth"));
    let patience = PATIENCE + Duration::from_secs(size / RATE_MIN);
    let answer = wire::exchange_on_socket(socket, request, patience).await.map_err(broken)?;
    Ok((answer.status(), String::from_utf8_lossy(answer.body()).into_owned()))
}

#[cfg(test)]
#[path = "rootfs_tests.rs"]
mod tests;
