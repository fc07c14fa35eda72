//! A sandbox's `/tmp`: a sparse ext4 image on a loop device, because tmpfs would count against MemorySize.
//!
//! The image is an unlinked file, the loop device clears itself: nothing can be left over after a crash.

use crate::sys;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use nix::unistd::{Whence, lseek};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

const CHUNK: usize = 128 * 1024;
/// Files per MiB of `/tmp`; bounds the inode table.
const BYTES_PER_INODE: &str = "16384";

/// Makes sure that the template for this size exists in `dir`. Costs a mkfs the first time.
pub(super) fn ensure_template(dir: BorrowedFd<'_>, megabytes: u32) -> io::Result<()> {
    let name = template_name(megabytes);
    if openat(dir, name.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).is_ok() {
        return Ok(());
    }
    // Nameless until it is complete: nothing to clean up, nothing for two sandboxes at once to collide on.
    let file = nameless(dir)?;
    fill_template(&file, megabytes)?;
    let whole = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = AtFlags::AT_SYMLINK_FOLLOW;
    match nix::unistd::linkat(nix::fcntl::AT_FDCWD, whole.as_str(), dir, name.as_str(), flags) {
        Ok(()) | Err(nix::Error::EEXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A new file in `dir` without a name.
fn nameless(dir: BorrowedFd<'_>) -> io::Result<File> {
    let place = format!("/proc/self/fd/{}", dir.as_raw_fd());
    let flags = OFlag::O_RDWR | OFlag::O_TMPFILE | OFlag::O_CLOEXEC;
    Ok(File::from(open(place.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?))
}

fn template_name(megabytes: u32) -> String {
    format!("template-{megabytes}.ext4")
}

#[expect(clippy::disallowed_methods, reason = "only mkfs knows how to make the file system")]
fn fill_template(file: &File, megabytes: u32) -> io::Result<()> {
    file.set_len(u64::from(megabytes) << 20)?;
    let output = std::process::Command::new("mkfs.ext4")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args(["-q", "-F", "-m", "0", "-O", "^has_journal,^resize_inode", "-i", BYTES_PER_INODE])
        .args(["-E", "lazy_itable_init=1,nodiscard,root_owner=0:0", "-L", "tmp"])
        // Its own standard input: no path to walk, whatever namespace it runs in.
        .arg("/proc/self/fd/0")
        .stdin(std::process::Stdio::from(file.try_clone()?))
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("mkfs.ext4 (package e2fsprogs): {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("mkfs.ext4 failed ({}): {}", output.status, said.trim())));
    }
    let (device, _keep) = sys::attach_loop(file.as_fd())?;
    let place = Path::new(crate::mounts::PRIVATE).join("next");
    mount(Some(device.as_str()), &place, Some("ext4"), MsFlags::MS_NODEV, None::<&str>)?;
    let finish = std::fs::remove_dir(place.join("lost+found"))
        .and_then(|()| std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o1777)));
    umount2(&place, MntFlags::empty())?;
    finish?;
    file.sync_all()
}

/// A fresh copy of the template on a loop device: the device's path, and a handle that keeps it alive until it is
/// mounted.
pub(super) fn attach(dir: BorrowedFd<'_>, megabytes: u32) -> io::Result<(String, OwnedFd)> {
    let name = template_name(megabytes);
    let template = File::from(openat(dir, name.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?);
    let image = nameless(dir)?;
    let size = template.metadata()?.len();
    image.set_len(size)?;
    copy_data(&template, &image, size)?;
    Ok(sys::attach_loop(image.as_fd())?)
}

/// Copies only what is not a hole.
fn copy_data(from: &File, to: &File, size: u64) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut at = 0_i64;
    while at.cast_unsigned() < size {
        at = match lseek(from, at, Whence::SeekData) {
            Ok(start) => start,
            Err(nix::Error::ENXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = lseek(from, at, Whence::SeekHole)?;
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
            let got = from.read_at(&mut buffer[..want], at.cast_unsigned())?;
            if got == 0 {
                return Ok(());
            }
            to.write_all_at(&buffer[..got], at.cast_unsigned())?;
            at += got as i64;
        }
    }
    Ok(())
}
