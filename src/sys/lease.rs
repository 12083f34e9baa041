//! A lease on a file that is being read: whoever opens it for writing meanwhile waits, and we can see that somebody does.
//!
//! What is asked for is F_RDLCK, which the kernel refuses while the file is open for writing anywhere. Where leases do not exist
//! (network file systems, files of others without CAP_LEASE) there is none, and the caller relies on looking twice.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// What came of asking.
pub enum Lease<'a> {
    /// Nobody has it open for writing.
    Held(Held<'a>),
    /// Somebody has.
    Busy,
    /// This file cannot be leased.
    Impossible,
}

/// A lease; it ends with this.
pub struct Held<'a> {
    file: &'a File,
    kind: i32,
}

impl<'a> Lease<'a> {
    pub fn take(file: &'a File) -> Self {
        Self::ask(file, libc::F_RDLCK)
    }

    fn ask(file: &'a File, kind: i32) -> Self {
        // SAFETY: the signal that tells of a waiting writer is only to be ignored: we ask instead.
        unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
        match set(file, kind) {
            Ok(()) => Self::Held(Held { file, kind }),
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Self::Busy,
            Err(_) => Self::Impossible,
        }
    }

    /// Asks for more: nobody else has it open at all.
    pub fn take_alone(file: &'a File) -> Self {
        Self::ask(file, libc::F_WRLCK)
    }

    /// Whether somebody waits for us to be done, to write into it.
    pub fn is_wanted(&self) -> bool {
        matches!(self, Self::Held(held) if held.is_wanted())
    }
}

impl Held<'_> {
    fn is_wanted(&self) -> bool {
        // SAFETY: takes no argument and changes nothing.
        let kind = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_GETLEASE) };
        kind != self.kind
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let _ = set(self.file, libc::F_UNLCK);
    }
}

fn set(file: &File, kind: i32) -> io::Result<()> {
    // SAFETY: a plain number; it concerns this descriptor alone.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::os::unix::fs::OpenOptionsExt;

    #[test]
    fn a_writer_is_seen_before_and_during_a_lease() {
        let scratch = Scratch::new();
        scratch.write("f", "x");
        let path = scratch.join("f");
        let file = File::open(&path).expect("it opens");
        let writer = File::options().append(true).open(&path).expect("it opens");
        if matches!(Lease::take(&file), Lease::Impossible) {
            return;
        }
        assert!(matches!(Lease::take(&file), Lease::Busy));
        drop(writer);
        let lease = Lease::take(&file);
        assert!(matches!(lease, Lease::Held(_)) && !lease.is_wanted());
        let refused = File::options().append(true).custom_flags(libc::O_NONBLOCK).open(&path).err();
        assert_eq!(refused.and_then(|error| error.raw_os_error()), Some(libc::EWOULDBLOCK));
        assert!(lease.is_wanted());
        drop(lease);
        File::options().append(true).custom_flags(libc::O_NONBLOCK).open(&path).expect("nothing is in the way");
    }
}
