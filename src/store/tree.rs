//! Writes a tree below one directory that nothing can lead out of.
//!
//! Every step is relative to an open descriptor and goes through `openat2` with `RESOLVE_BENEATH` and
//! `RESOLVE_NO_SYMLINKS`: even if names were wrong, or somebody else wrote into the directory meanwhile, the kernel
//! refuses to leave it. It decides nothing about what is written.

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{Mode, SFlag, fchmod, fstatat, mkdirat};
use nix::unistd::{linkat, symlinkat};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Folders in folders at most; one descriptor each while a tree is written or removed.
pub(super) const DEPTH_MAX: usize = 64;

/// An open tree. Paths are clean and relative: parts joined by single slashes.
pub(super) struct Tree {
    root: OwnedFd,
    /// The folders from the root to the one last used, so that neighbours need no new walk.
    open: Vec<(Vec<u8>, OwnedFd)>,
}

impl Tree {
    /// Opens an existing directory as the root.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let root = open(root, flags, Mode::empty())?;
        fchmod(&root, Mode::from_bits_truncate(0o755))?;
        Ok(Self { root, open: Vec::new() })
    }

    /// Makes a folder and those above it, mode 0755; no error if it is there.
    pub(super) fn directory(&mut self, path: &[u8]) -> io::Result<()> {
        self.folder(Some(path)).map(drop)
    }

    /// Makes a file that must not exist, and the folders above it. The caller sets its mode when it is written.
    pub(super) fn file(&mut self, path: &[u8]) -> io::Result<File> {
        let (above, name) = split(path);
        let folder = self.folder(above)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let how = how(flags).mode(Mode::from_bits_truncate(0o600));
        Ok(File::from(openat2(folder, name, how)?))
    }

    /// Makes a symbolic link that must not exist, and the folders above it.
    pub(super) fn link(&mut self, path: &[u8], target: &[u8]) -> io::Result<()> {
        let (above, name) = split(path);
        let folder = self.folder(above)?;
        Ok(symlinkat(target, folder, name)?)
    }

    /// Opens a file that is there, to read it and to write more.
    pub(super) fn existing(&mut self, path: &[u8]) -> io::Result<File> {
        let (above, name) = split(path);
        let folder = self.folder(above)?;
        let flags = OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(File::from(openat2(folder, name, how(flags))?))
    }

    /// Gives a file that is there a second name, which must not exist, and makes the folders above it.
    pub(super) fn second_name(&mut self, path: &[u8], file: &[u8]) -> io::Result<()> {
        let (from_above, from_name) = split(file);
        let from = self.folder(from_above)?.try_clone_to_owned()?;
        let kind = fstatat(&from, from_name, AtFlags::AT_SYMLINK_NOFOLLOW)?.st_mode & SFlag::S_IFMT.bits();
        if kind != SFlag::S_IFREG.bits() {
            return Err(Errno::EPERM.into());
        }
        let (above, name) = split(path);
        let folder = self.folder(above)?;
        Ok(linkat(&from, from_name, folder, name, AtFlags::empty())?)
    }

    fn folder(&mut self, path: Option<&[u8]>) -> io::Result<BorrowedFd<'_>> {
        let parts: Vec<&[u8]> = path.map(|it| it.split(|byte| *byte == b'/').collect()).unwrap_or_default();
        let shared = parts.iter().zip(&self.open).take_while(|(part, (open, _))| *part == open).count();
        self.open.truncate(shared);
        for part in &parts[shared..] {
            let folder = descend(self.here(), part)?;
            self.open.push((part.to_vec(), folder));
        }
        Ok(self.here())
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.open.last().map_or(&self.root, |(_, folder)| folder).as_fd()
    }
}

fn split(path: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (Some(&path[..slash]), &path[slash + 1..]),
        None => (None, path),
    }
}

fn descend(from: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    let made = match mkdirat(from, name, Mode::from_bits_truncate(0o755)) {
        Ok(()) => true,
        Err(Errno::EEXIST) => false,
        Err(error) => return Err(error.into()),
    };
    let folder = openat2(from, name, how(OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC))?;
    if made {
        // The process's umask may have taken bits away.
        fchmod(&folder, Mode::from_bits_truncate(0o755))?;
    }
    Ok(folder)
}

fn how(flags: OFlag) -> OpenHow {
    let resolve =
        ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    OpenHow::new().flags(flags).resolve(resolve)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::Scratch;

    #[test]
    fn the_kernel_refuses_to_leave_the_tree_even_for_unclean_names() {
        let scratch = Scratch::new();
        let root = scratch.path().join("root");
        std::fs::create_dir(&root).expect("makes");
        let mut tree = Tree::open(&root).expect("opens");
        assert!(tree.file(b"../out").is_err());
        assert!(tree.file(b"..").is_err());
        assert!(tree.directory(b"../out").is_err());
        assert!(!scratch.path().join("out").exists());
    }

    #[test]
    fn a_link_planted_in_the_tree_is_not_followed() {
        let scratch = Scratch::new();
        let (root, outside) = (scratch.path().join("root"), scratch.path().join("outside"));
        std::fs::create_dir(&root).expect("makes");
        std::fs::create_dir(&outside).expect("makes");
        let mut tree = Tree::open(&root).expect("opens");
        std::os::unix::fs::symlink(&outside, root.join("link")).expect("links");
        std::os::unix::fs::symlink(outside.join("file"), root.join("file")).expect("links");
        assert!(tree.file(b"link/file").is_err());
        assert!(tree.directory(b"link/folder").is_err());
        assert!(tree.file(b"file").is_err());
        assert_eq!(std::fs::read_dir(&outside).expect("there").count(), 0);
    }
}
