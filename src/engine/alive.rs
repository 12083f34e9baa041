//! `[watchd] alive`: a file that is touched in each cycle, for a watchdog that knows nothing but files.
//!
//! It is opened once and held. It should lie where nothing hangs, such as below /run: touching it is part of the turn.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::notes::Notes;
use crate::model::EventKind;

/// The file, if one is wanted.
#[derive(Default)]
pub struct Alive {
    path: Option<PathBuf>,
    file: Option<File>,
    is_told: bool,
}

impl Alive {
    pub fn new(path: Option<&str>) -> Self {
        Self { path: path.map(PathBuf::from), ..Self::default() }
    }

    /// Another policy.
    pub fn follow(&mut self, path: Option<&str>) {
        if self.path.as_deref() != path.map(std::path::Path::new) {
            *self = Self::new(path);
        }
    }

    /// Gives it the time of this turn; one that was removed is made again. That it cannot be is told once.
    pub fn beat(&mut self, wall: Duration, notes: &mut Notes) {
        let Some(path) = &self.path else { return };
        let touched = match self.file.take().filter(|file| file.metadata().is_ok_and(|facts| facts.nlink() > 0)) {
            Some(file) => Ok(file),
            None => open(path),
        }
        .and_then(|file| file.set_modified(SystemTime::UNIX_EPOCH + wall).map(|()| file));
        match touched {
            Ok(file) => (self.file, self.is_told) = (Some(file), false),
            Err(error) if !std::mem::replace(&mut self.is_told, true) => {
                let text = format!("cannot touch {}: {error}", path.display());
                notes.add(EventKind::Trouble, "", &text);
            }
            Err(_) => {}
        }
    }
}

/// Only a plain file with no other name: whoever may write to its directory must not lead us to another one.
fn open(path: &std::path::Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).custom_flags(flags).open(path)?;
    let facts = file.metadata()?;
    if facts.is_file() && facts.nlink() == 1 { Ok(file) } else { Err(io::Error::other("it is not a plain file")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use watchd_probes::Now;

    #[test]
    fn it_is_touched_in_each_cycle_and_made_again() {
        let scratch = Scratch::new();
        let path = scratch.join("alive");
        let mut notes = Notes::passing(Now::default());
        let mut alive = Alive::new(path.to_str());
        let at = |path: &std::path::Path| {
            let touched = std::fs::metadata(path).expect("it is there").modified().expect("it has a time");
            touched.duration_since(SystemTime::UNIX_EPOCH).expect("it is later").as_secs()
        };
        for second in [1_000, 1_010] {
            alive.beat(Duration::from_secs(second), &mut notes);
            assert_eq!(at(&path), second);
        }
        std::fs::remove_file(&path).expect("ours");
        alive.beat(Duration::from_secs(1_020), &mut notes);
        assert_eq!(at(&path), 1_020);
        assert_eq!(notes.total(), 0);
    }

    #[test]
    fn no_link_is_followed_and_the_failure_is_told_once() {
        let scratch = Scratch::new();
        scratch.write("precious", "x");
        let before = std::fs::metadata(scratch.join("precious")).expect("ours").modified().expect("a time");
        std::os::unix::fs::symlink(scratch.join("precious"), scratch.join("link")).expect("ours");
        std::fs::hard_link(scratch.join("precious"), scratch.join("name")).expect("ours");
        for name in ["link", "name"] {
            let mut notes = Notes::passing(Now::default());
            let mut alive = Alive::new(scratch.join(name).to_str());
            alive.beat(Duration::from_secs(5), &mut notes);
            alive.beat(Duration::from_secs(6), &mut notes);
            assert_eq!(notes.total(), 1, "{name}");
        }
        assert_eq!(std::fs::metadata(scratch.join("precious")).expect("ours").modified().expect("a time"), before);
    }
}
