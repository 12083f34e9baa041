//! Asking one file system for its space: open the mount point without touching it (`O_PATH`), then fstatvfs.
//!
//! The open directory also says which device it is on. When that is not the device of the mount table, something is mounted
//! over the mount point and the numbers would be another file system's.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::mounts::{Mount, Mounts};
use crate::{Host, Value};

/// The mount point leads to another file system.
pub(super) const COVERED: Errno = Errno::XDEV;

/// What a file system says about its space; plain data, so that a helper can hand it through a pipe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Space {
    /// In bytes.
    pub size: u64,
    pub free: u64,
    /// May be below 0: root has used some of its reserve.
    pub avail: i64,
    pub files: u64,
    pub files_free: u64,
    /// 1 when it cannot be written.
    pub read_only: u64,
}

impl Space {
    /// From the numbers of statvfs, in fragments.
    pub fn new(fragment: u64, blocks: [u64; 3], files: [u64; 2], read_only: bool) -> Self {
        let [total, free, avail] = blocks;
        let [files, files_free] = files;
        // Some file systems wrap around below 0.
        let avail = i64::try_from(avail).unwrap_or_else(|_| avail.cast_signed());
        Self {
            size: total.saturating_mul(fragment),
            free: free.saturating_mul(fragment),
            avail: avail.saturating_mul(i64::try_from(fragment).unwrap_or(i64::MAX)),
            files,
            files_free,
            read_only: u64::from(read_only),
        }
    }

    #[allow(clippy::cast_precision_loss)]
    pub(super) fn avail_value(self) -> Value {
        u64::try_from(self.avail).map_or(Value::Float(self.avail as f64), Value::Int)
    }
}

/// Asks any mount point below the host's root. It may hang: call it where nothing else waits.
pub fn ask(host: &Host, point: &[u8]) -> Result<Space, Errno> {
    let below = match point.strip_prefix(b"/").unwrap_or(point) {
        b"" => b".",
        path => path,
    };
    let dir = rustix::fs::openat(host.root(), below, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    ask_open(&dir)
}

/// Asks a local mount, and makes sure that it is this mount which answers.
pub(super) fn ask_mount(host: &Host, mounts: &Mounts, mount: &Mount) -> Result<Space, Errno> {
    let path = mounts.path(mount).ok_or(Errno::INVAL)?;
    let dir = match rustix::fs::openat(host.root(), path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => return Err(COVERED),
        result => result?,
    };
    let device = rustix::fs::fstat(&dir)?.st_dev;
    let (major, minor) = (u64::from(rustix::fs::major(device)), u64::from(rustix::fs::minor(device)));
    // Subvolumes and layers have devices of their own, all of them nameless.
    let has_many = matches!(mounts.fstype(mount), b"btrfs" | b"bcachefs" | b"overlay");
    if (has_many && major == 0) || (major, minor) == (mount.major, mount.minor) { ask_open(&dir) } else { Err(COVERED) }
}

fn ask_open(dir: &OwnedFd) -> Result<Space, Errno> {
    let stat = rustix::fs::fstatvfs(dir)?;
    let blocks = [stat.f_blocks, stat.f_bfree, stat.f_bavail];
    let read_only = stat.f_flag.contains(StatVfsMountFlags::RDONLY);
    Ok(Space::new(stat.f_frsize, blocks, [stat.f_files, stat.f_ffree], read_only))
}
