//! Locks between processes: flock on a directory, gone with the last descriptor, however its holder ends.
//!
//! The daemon holds the lock of its run directory as long as it lives; that, not the text of a pidfile, is what
//! makes it the only one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, retry_on_intr};

/// A lock that is held until it is dropped. Its descriptor is close-on-exec.
#[derive(Debug)]
pub struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Given back here and now, also when a child still has the descriptor; what cannot be is given back with the last one.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Takes the lock of a directory; none when somebody else holds it.
pub fn lock_dir(path: &Path) -> io::Result<Option<Lock>> {
    let dir = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(path)?;
    lock(dir, path)
}

/// Keeps the lock that came with an open directory from the program before us.
pub fn keep_dir(dir: File, path: &Path) -> io::Result<Option<Lock>> {
    lock(dir, path)
}

fn lock(dir: File, path: &Path) -> io::Result<Option<Lock>> {
    let opened = dir.metadata()?;
    match retry_on_intr(|| flock(&dir, FlockOperation::NonBlockingLockExclusive)) {
        // A holder that ends takes the directory away, and another may be there by now: the lock of a directory that nobody
        // can find keeps nobody out.
        Ok(()) => match std::fs::symlink_metadata(path) {
            Ok(found) if (found.dev(), found.ino()) == (opened.dev(), opened.ino()) => Ok(Some(Lock(dir))),
            Ok(_) => Err(io::Error::other("it was made anew meanwhile; try again")),
            Err(error) => Err(error),
        },
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_lock_is_held_once_and_released_when_dropped() {
        let scratch = Scratch::new();
        let dir = scratch.join("dir");
        std::fs::create_dir(&dir).expect("a directory can be made");
        let first = lock_dir(&dir).expect("flock works");
        assert!(first.is_some());
        assert!(lock_dir(&dir).expect("flock works").is_none(), "held by the first");
        drop(first);
        assert!(lock_dir(&dir).expect("flock works").is_some(), "released");
        assert!(lock_dir(&dir.join("none")).is_err());
        std::os::unix::fs::symlink(&dir, dir.join("link")).expect("a link can be made");
        assert!(lock_dir(&dir.join("link")).is_err(), "a link is not ours");
        let old = File::open(&dir).expect("it opens");
        std::fs::rename(&dir, dir.with_extension("old")).expect("it can be renamed");
        std::fs::create_dir(&dir).expect("a directory can be made");
        assert!(lock(old, &dir).is_err(), "what was opened is not there any more");
        std::fs::remove_dir_all(dir.with_extension("old")).expect("it can be removed");
        std::fs::remove_dir_all(&dir).expect("it can be removed");
    }
}
