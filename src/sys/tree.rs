//! Files reached from a directory that is held open: no name on the way is a link, and what is swapped meanwhile is not met.
//!
//! A path is resolved once, without symbolic links, into a [`Dir`]; everything else names one entry of it. A kernel without
//! openat2 (before 5.6, or behind an old filter) is walked step by step, with the same answer.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{
    self as os, AtFlags, CWD, FileType, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Stat, Uid, XattrFlags,
};
use rustix::io::Errno;

/// The extended attributes of one file together may be so large.
const ATTRIBUTES: usize = 64 << 10;

/// The bits by which a program runs as the owner or the group of its file.
pub const SET_ID: u32 = 0o6000;

/// What kind of thing a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Dir,
    Link,
    Other,
}

/// What is known about one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub kind: Kind,
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    /// What it takes on the disk.
    pub bytes: u64,
    /// Last written, since 1970; before that counts as 1970.
    pub modified: Duration,
    /// Last changed in any way, rights and names included.
    pub changed: Duration,
    /// Permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub links: u64,
}

impl Facts {
    /// Whether it is the same file with the same contents, as far as that shows from outside.
    pub fn is_same_state(&self, other: &Self) -> bool {
        (self.device, self.inode, self.size, self.modified) == (other.device, other.inode, other.size, other.modified)
    }

    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl From<Stat> for Facts {
    // The kernel's types differ from machine to machine; all of them are at most 64 bits, sizes are not negative.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    fn from(stat: Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Dir,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        };
        let time = |seconds: i64, nanos: u64| {
            let nanos = u32::try_from(nanos).unwrap_or(0).min(999_999_999);
            Duration::new(u64::try_from(seconds).unwrap_or(0), nanos)
        };
        Self {
            kind,
            device: u64::from(stat.st_dev),
            inode: u64::from(stat.st_ino),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            bytes: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512),
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
            mode: Mode::from_raw_mode(stat.st_mode).bits(),
            uid: stat.st_uid,
            gid: stat.st_gid,
            links: u64::from(stat.st_nlink),
        }
    }
}

/// What is known about an open file.
pub fn facts(file: &File) -> io::Result<Facts> {
    Ok(os::fstat(file)?.into())
}

/// A directory that is held open.
pub struct Dir(OwnedFd);

const DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

impl Dir {
    /// Opens a directory by its whole path; a link anywhere in it is refused with ELOOP.
    pub fn open(path: &str) -> io::Result<Self> {
        // Without NOFOLLOW, with which a link at the end is called no directory instead of a link.
        let flags = DIR.difference(OFlags::NOFOLLOW);
        match os::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS) {
            Ok(fd) => Ok(Self(fd)),
            Err(Errno::NOSYS | Errno::PERM) => Self::walk(path),
            Err(error) => Err(error.into()),
        }
    }

    /// Step by step.
    fn walk(path: &str) -> io::Result<Self> {
        let mut dir = os::openat(CWD, "/", DIR, Mode::empty())?;
        for step in path.split('/').filter(|step| !step.is_empty() && *step != ".") {
            // A link that is to be opened as a directory without being followed is called "not a directory".
            dir = os::openat(&dir, step, DIR, Mode::empty()).map_err(|error| {
                let is_link = os::statat(&dir, step, AtFlags::SYMLINK_NOFOLLOW)
                    .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink);
                if is_link { Errno::LOOP } else { error }
            })?;
        }
        Ok(Self(dir))
    }

    /// Opens a directory below, on the same file system.
    pub fn child(&self, name: &str) -> io::Result<Self> {
        let here = os::fstat(&self.0)?.st_dev;
        let flags = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let fd = match os::openat2(&self.0, name, DIR, Mode::empty(), flags) {
            Err(Errno::NOSYS | Errno::PERM) => os::openat(&self.0, name, DIR, Mode::empty())?,
            other => other?,
        };
        if os::fstat(&fd)?.st_dev != here {
            return Err(Errno::XDEV.into());
        }
        Ok(Self(fd))
    }

    /// What is known about an entry; a link is not followed.
    pub fn facts(&self, name: &str) -> io::Result<Facts> {
        Ok(os::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?.into())
    }

    /// Opens an entry for reading; neither follows a link nor waits for the other end of a pipe.
    pub fn read(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(os::openat(&self.0, name, flags, Mode::empty())?.into())
    }

    /// Opens an entry for reading and writing in the same way.
    pub fn write(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(os::openat(&self.0, name, flags, Mode::empty())?.into())
    }

    /// Makes a file that must not be there yet, for us alone until its rights are set.
    pub fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(os::openat(&self.0, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Puts one entry in the place of another, or where nothing was.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(os::renameat(&self.0, from, &self.0, to)?)
    }

    /// Gives an entry a name that must not be taken.
    pub fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(os::renameat_with(&self.0, from, &self.0, to, RenameFlags::NOREPLACE)?)
    }

    /// Lets two entries change places in one step. Not every file system can.
    pub fn exchange(&self, one: &str, other: &str) -> io::Result<()> {
        Ok(os::renameat_with(&self.0, one, &self.0, other, RenameFlags::EXCHANGE)?)
    }

    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(os::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Makes sure that the names outlast a loss of power.
    pub fn sync(&self) -> io::Result<()> {
        Ok(os::fsync(&self.0)?)
    }

    /// Gives every entry to `look`, in the order of the directory, until it says false. Names that are not UTF-8 are passed over.
    pub fn each(&self, look: &mut dyn FnMut(&str) -> bool) -> io::Result<()> {
        for entry in os::Dir::read_from(&self.0)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name != "." && name != ".." && !look(name) {
                break;
            }
        }
        Ok(())
    }
}

/// How much of the file system a path lies on ordinary users cannot have, in percent, as `df` has it.
pub fn used_pct(path: &str) -> io::Result<f64> {
    used(&os::statvfs(path)?)
}

#[allow(clippy::cast_precision_loss)]
fn used(space: &os::StatVfs) -> io::Result<f64> {
    let used = space.f_blocks.saturating_sub(space.f_bfree) as f64;
    let whole = used + space.f_bavail as f64;
    if whole > 0.0 { Ok(used / whole * 100.0) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Sets the owner; `None` leaves that part as it is.
pub fn own(file: &File, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    Ok(os::fchown(file, uid.map(Uid::from_raw), gid.map(Gid::from_raw))?)
}

/// Sets the permission bits.
pub fn permit(file: &File, mode: u32) -> io::Result<()> {
    Ok(os::fchmod(file, Mode::from_bits_truncate(mode))?)
}

/// Sets when it was last written, and read.
pub fn date(file: &File, modified: Duration) -> io::Result<()> {
    file.set_modified(std::time::UNIX_EPOCH + modified)
}

/// Gives a file the access lists and extended attributes of another, and takes away what that has not: a new file gets a list from its
/// directory. A file system without any is no fault.
pub fn copy_attributes(from: &File, to: &File) -> io::Result<()> {
    let (mut names, mut given) = (vec![0; ATTRIBUTES], vec![0; ATTRIBUTES]);
    let names = attributes(from, &mut names)?;
    let is_label = |name: &[u8]| name.starts_with(b"security.");
    for name in attributes(to, &mut given)?.filter(|name| !is_label(name) && !names.clone().any(|kept| kept == *name)) {
        os::fremovexattr(to.as_fd(), name)?;
    }
    let mut value = vec![0; ATTRIBUTES];
    for name in names {
        let length = match os::fgetxattr(from.as_fd(), name, value.as_mut_slice()) {
            Err(Errno::NODATA) => continue,
            other => other?,
        };
        match os::fsetxattr(to.as_fd(), name, value.get(..length).unwrap_or_default(), XattrFlags::empty()) {
            // A label that the file system gives by itself, or one that only the kernel may set.
            Err(Errno::NOTSUP) if is_label(name) => {}
            other => other?,
        }
    }
    Ok(())
}

/// The names of a file's attributes.
fn attributes<'a>(file: &File, room: &'a mut [u8]) -> io::Result<impl Iterator<Item = &'a [u8]> + Clone> {
    let length = match os::flistxattr(file.as_fd(), &mut *room) {
        Err(Errno::NOTSUP | Errno::NOSYS) => 0,
        other => other?,
    };
    Ok(room.get(..length).unwrap_or_default().split(|byte| *byte == 0).filter(|name| !name.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_on_the_way_is_refused_both_ways() {
        let scratch = Scratch::new();
        scratch.write("real/deep/file", "x");
        symlink(scratch.join("real"), scratch.join("link")).expect("a link can be made");
        for (path, good) in [("real/deep", true), ("link/deep", false), ("link", false), ("real/deep/file", false)] {
            let path = scratch.join(path).to_string_lossy().into_owned();
            assert_eq!(Dir::open(&path).is_ok(), good, "{path}");
            assert_eq!(Dir::walk(&path).is_ok(), good, "{path}, step by step");
        }
        let link = scratch.join("link/deep").to_string_lossy().into_owned();
        for error in [Dir::open(&link).err(), Dir::walk(&link).err()] {
            assert_eq!(error.and_then(|error| error.raw_os_error()), Some(libc::ELOOP));
        }
        let dir = Dir::open(&scratch.to_string_lossy()).expect("it opens");
        assert!(dir.child("link").is_err() && dir.child("..").is_err() && dir.child("real").is_ok());
        assert!(dir.read("link").is_err());
        assert_eq!(dir.facts("link").map(|facts| facts.kind).ok(), Some(Kind::Link));
    }

    #[test]
    fn attributes_follow() {
        let scratch = Scratch::new();
        scratch.write("a", "");
        scratch.write("b", "");
        let open = |name: &str| File::options().write(true).read(true).open(scratch.join(name)).expect("it opens");
        let (from, to) = (open("a"), open("b"));
        if os::fsetxattr(from.as_fd(), "user.note", b"kept", XattrFlags::empty()).is_err() {
            return;
        }
        copy_attributes(&from, &to).expect("they can be copied");
        let mut value = [0; 16];
        let length = os::fgetxattr(to.as_fd(), "user.note", &mut value[..]).expect("it is there");
        assert_eq!(&value[..length], b"kept");
    }
}
