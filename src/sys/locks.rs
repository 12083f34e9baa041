//! Locks between processes: flock on a directory, gone with the last descriptor, however its holder ends.
//!
//! The daemon holds the lock of its run directory as long as it lives; that, not the text of a pidfile, is what
//! makes it the only one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// A lock that is held until it is dropped. Its descriptor is close-on-exec.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "held for its lock, never read")] Flock<File>);

/// Takes the lock of a directory; none when somebody else holds it.
pub fn lock_dir(path: &Path) -> io::Result<Option<Lock>> {
    let dir = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(path)?;
    match Flock::lock(dir, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(Lock(lock))),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_lock_is_held_once_and_released_when_dropped() {
        let dir = Scratch::new();
        let first = lock_dir(&dir).expect("flock works");
        assert!(first.is_some());
        assert!(lock_dir(&dir).expect("flock works").is_none(), "held by the first");
        drop(first);
        assert!(lock_dir(&dir).expect("flock works").is_some(), "released");
        assert!(lock_dir(&dir.join("none")).is_err());
    }
}
