//! Notices that the config was changed: inotify on its directory and on `conf.d` below it.
//!
//! Directories are watched, not files, because editors put a new file in the place of the old one. A change is answered a moment
//! after the last one of a burst. Without inotify SIGHUP still works.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// How long a burst of changes may pause before it counts as over.
const QUIET: Duration = Duration::from_millis(200);

/// The watch on one config.
pub struct ConfigWatch {
    inotify: Inotify,
    config: PathBuf,
    due: Option<Duration>,
}

impl ConfigWatch {
    pub fn new(config: &Path) -> nix::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let watch = Self { inotify, config: config.to_owned(), due: None };
        watch.renew()?;
        Ok(watch)
    }

    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Watches directories that were made anew since. What has happened and was not answered yet is not forgotten.
    pub fn renew(&self) -> nix::Result<()> {
        let changes = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_DELETE;
        let parent = self.config.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = parent.unwrap_or(Path::new("."));
        self.inotify.add_watch(directory, changes)?;
        let _ = self.inotify.add_watch(&directory.join("conf.d"), changes);
        Ok(())
    }

    pub fn source(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Takes what has happened.
    pub fn drain(&mut self, mono: Duration) {
        while let Ok(events) = self.inotify.read_events() {
            if events.is_empty() {
                break;
            }
            let ours = |name: &std::ffi::OsString| {
                self.config.file_name() == Some(name) || Path::new(name).extension().is_some_and(|end| end == "toml")
            };
            if events.iter().filter_map(|event| event.name.as_ref()).any(ours) {
                self.due = Some(mono + QUIET);
            }
        }
    }

    /// When the burst will be over.
    pub fn deadline(&self) -> Option<Duration> {
        self.due
    }

    /// Whether it is time to read the config again; says so once.
    pub fn take_due(&mut self, mono: Duration) -> bool {
        self.due.take_if(|due| *due <= mono).is_some()
    }
}
