//! Mount, loop device and interface calls.

use super::{adopt, check};
use nix::NixPath;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// `mount_setattr`: read-only.
pub(crate) const MOUNT_ATTR_RDONLY: u64 = 0x1;
/// `mount_setattr`: set-uid bits are ignored.
pub(crate) const MOUNT_ATTR_NOSUID: u64 = 0x2;
/// `mount_setattr`: device nodes do not open.
pub(crate) const MOUNT_ATTR_NODEV: u64 = 0x4;

const OPEN_TREE_CLONE: libc::c_uint = 1;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 4;
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LOOP_ATTEMPTS_MAX: usize = 64;

/// A detached copy of the mount (or directory) at `path` below `dir`; an empty path means `dir` itself.
pub(crate) fn open_tree<P: NixPath + ?Sized>(
    dir: BorrowedFd<'_>,
    path: &P,
    recursive: bool,
) -> nix::Result<OwnedFd> {
    let mut flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as u32 | libc::AT_EMPTY_PATH as u32;
    if recursive {
        flags |= libc::AT_RECURSIVE as u32;
    }
    // SAFETY: the path is a C string that lives through the call.
    let fd = path.with_nix_path(|path| unsafe {
        libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), path.as_ptr(), flags)
    })?;
    Ok(adopt(check(fd)? as i32))
}

/// Attaches a detached mount at `path`.
pub(crate) fn move_mount<P: NixPath + ?Sized>(from: BorrowedFd<'_>, path: &P) -> nix::Result<()> {
    // SAFETY: both paths are C strings that live through the call.
    let result = path.with_nix_path(|path| unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            from.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            path.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    })?;
    check(result).map(drop)
}

#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Sets attributes on a mount, or on it and all below it.
pub(crate) fn mount_setattr(mount: BorrowedFd<'_>, set: u64, recursive: bool) -> nix::Result<()> {
    let attributes = MountAttributes { set, clear: 0, propagation: 0, user_namespace: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the structure has the kernel's layout (MOUNT_ATTR_SIZE_VER0) and lives through the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            std::mem::size_of::<MountAttributes>(),
        )
    })
    .map(drop)
}

#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// Attaches `image` to a free loop device that vanishes with its last user; gives its path and handle.
pub(crate) fn attach_loop(image: BorrowedFd<'_>) -> nix::Result<(String, OwnedFd)> {
    use nix::fcntl::{OFlag, open};
    use nix::sys::stat::Mode;
    let control = open("/dev/loop-control", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    for _ in 0..LOOP_ATTEMPTS_MAX {
        // SAFETY: this ioctl takes no argument.
        let number = check(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) }.into())?;
        let path = format!("/dev/loop{number}");
        ensure_loop_node(&path, number as u64)?;
        let device = open(path.as_str(), OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
        // SAFETY: LoopConfig is plain data for which all zeroes are valid.
        let mut config: LoopConfig = unsafe { std::mem::zeroed() };
        config.fd = image.as_raw_fd() as u32;
        config.info.flags = LO_FLAGS_AUTOCLEAR;
        // SAFETY: the structure has the kernel's layout and lives through the call.
        match check(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) }.into()) {
            Ok(_) => return Ok((path, device)),
            Err(nix::Error::EBUSY) => {}
            Err(error) => return Err(error),
        }
    }
    Err(nix::Error::EBUSY)
}

/// Where no device manager runs, the node of a new loop device must be made by hand.
fn ensure_loop_node(path: &str, number: u64) -> nix::Result<()> {
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    if std::path::Path::new(path).exists() {
        return Ok(());
    }
    match mknod(path, SFlag::S_IFBLK, Mode::S_IRUSR | Mode::S_IWUSR, makedev(7, number)) {
        Ok(()) | Err(nix::Error::EEXIST) => Ok(()),
        Err(error) => Err(error),
    }
}

/// An interface name for the ioctls below.
pub(crate) type InterfaceName = &'static str;

fn interface_request(name: InterfaceName) -> libc::ifreq {
    // SAFETY: ifreq is plain data for which all zeroes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *slot = byte as libc::c_char;
    }
    request
}

/// Brings an interface up.
pub(crate) fn interface_up(socket: BorrowedFd<'_>, name: InterfaceName) -> nix::Result<()> {
    let mut request = interface_request(name);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request is a valid ifreq that lives through the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) }.into()).map(drop)
}

/// Gives an interface (or an alias such as `lo:1`) an IPv4 address.
pub(crate) fn interface_address(
    socket: BorrowedFd<'_>,
    name: InterfaceName,
    address: std::net::Ipv4Addr,
) -> nix::Result<()> {
    let mut request = interface_request(name);
    // SAFETY: sockaddr_in is plain data for which all zeroes are valid.
    let mut inet: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    inet.sin_family = libc::AF_INET as libc::sa_family_t;
    inet.sin_addr.s_addr = u32::from_ne_bytes(address.octets());
    // SAFETY: sockaddr_in and sockaddr have the same size; the kernel reads the family first.
    request.ifr_ifru.ifru_addr = unsafe { std::mem::transmute::<libc::sockaddr_in, libc::sockaddr>(inet) };
    // SAFETY: the request is a valid ifreq that lives through the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFADDR, &raw mut request) }.into()).map(drop)
}
