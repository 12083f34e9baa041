//! Waiting for a file to be written to, by inotify.

use std::io;
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// A file that is waited for.
pub struct Changes(Inotify);

impl Changes {
    pub fn of(path: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
        inotify.add_watch(path, AddWatchFlags::IN_MODIFY)?;
        Ok(Self(inotify))
    }

    /// Waits for the next change; changes since the last wait count.
    pub fn wait(&self) -> io::Result<()> {
        match self.0.read_events() {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}
