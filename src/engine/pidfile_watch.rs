//! Notices that a pidfile was written: inotify on the directories they lie in, so that a daemon which somebody else started, or one
//! whose pidfile comes late, is seen at once instead of by the next look.
//!
//! It only brings a look forward: what the file says is judged as ever, and without inotify the looks go on as they are. Directories are
//! watched, not files, because a pidfile comes and goes and is often renamed into its place. A directory in which others are busy
//! would wake us for their sake: with too many such events in one cycle it is not watched any more until the policy changes.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::core::Core;
use super::tokens::Token;
use crate::model::{Form, ServiceSpec};
use crate::sys::epoll::Interest;

/// More events about other files than that in one cycle are too many.
const MOST_OTHERS: u32 = 200;

/// The watch on all pidfiles of a policy; nothing at all where there are none.
#[derive(Default)]
pub struct PidfileWatch {
    inotify: Option<Inotify>,
    /// All their directories are watched.
    is_whole: bool,
    /// Not before the next policy.
    is_off: bool,
    /// Events about other files in this cycle.
    others: u32,
}

fn pidfile(spec: &ServiceSpec) -> Option<&Path> {
    if let Form::Pidfile(path) = &spec.form { Some(Path::new(path)) } else { None }
}

impl PidfileWatch {
    /// The policy may name others now.
    pub fn renew(&mut self) {
        (self.is_whole, self.is_off) = (false, false);
    }

    /// Once a cycle: watches directories that were not there before. Gives what to wait for when that is new.
    pub fn look<'a>(&mut self, specs: impl Iterator<Item = &'a ServiceSpec> + Clone) -> Option<BorrowedFd<'_>> {
        let is_busy = std::mem::take(&mut self.others) > MOST_OTHERS;
        if is_busy {
            (self.inotify, self.is_off) = (None, true);
        }
        if self.is_whole || self.is_off || !specs.clone().any(|spec| pidfile(spec).is_some()) {
            return None;
        }
        let is_new = self.inotify.is_none();
        if is_new {
            self.inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).ok();
        }
        let inotify = self.inotify.as_ref()?;
        let written = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ONLYDIR;
        let watched = |path: &Path| path.parent().is_some_and(|above| inotify.add_watch(above, written).is_ok());
        // Each of them is tried.
        self.is_whole = specs.filter_map(pidfile).filter(|path| !watched(path)).count() == 0;
        is_new.then(|| inotify.as_fd())
    }

    /// Takes what has happened; whether a file of this name was written is asked with `is_ours`, which acts on it.
    pub fn drain(&mut self, is_ours: &mut dyn FnMut(&std::ffi::OsStr) -> bool) {
        while let Some(Ok(events)) = self.inotify.as_ref().map(Inotify::read_events) {
            if events.is_empty() {
                break;
            }
            for event in events {
                // A directory that has gone may come again.
                self.is_whole &= !event.mask.contains(AddWatchFlags::IN_IGNORED);
                if !event.name.is_some_and(|name| is_ours(&name)) {
                    self.others = self.others.saturating_add(1);
                }
            }
            if self.others > MOST_OTHERS {
                // The rest of a flood is not worth a turn; it ends with this cycle.
                (self.inotify, self.is_off) = (None, true);
            }
        }
    }
}

impl Core {
    /// Once a cycle, before the services are looked at.
    pub(super) fn watch_pidfiles(&mut self) {
        if let Some(source) = self.pidfiles.look(self.services.specs())
            && self.poller.add(source, Token::Pidfiles.pack(), Interest::Read).is_err()
        {
            self.pidfiles = PidfileWatch::default();
        }
    }

    pub(super) fn on_pidfiles(&mut self) {
        let mut pidfiles = std::mem::take(&mut self.pidfiles);
        pidfiles.drain(&mut |name| {
            let is_its = |spec: &ServiceSpec| pidfile(spec).is_some_and(|path| path.file_name() == Some(name));
            let is_ours = self.services.specs().any(is_its);
            if is_ours {
                self.with_services(|services, turn| services.on_pidfile(&is_its, turn));
            }
            is_ours
        });
        self.pidfiles = pidfiles;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Care, Limit, OnExit};
    use crate::scratch::Scratch;
    use std::time::Duration;

    fn spec(path: &Path) -> ServiceSpec {
        ServiceSpec {
            id: "web".to_owned(),
            form: Form::Pidfile(path.to_string_lossy().into_owned()),
            start: None,
            stop: None,
            signals: Vec::new(),
            backoff: (Duration::ZERO, Duration::ZERO),
            limit: Limit { count: 1, window: Duration::ZERO },
            settle: Duration::ZERO,
            timeout: Duration::ZERO,
            on_exit: OnExit::Leave,
            care: Care::default(),
        }
    }

    #[test]
    fn a_pidfile_is_told_of_however_it_comes_and_a_busy_directory_is_given_up() {
        let dir = Scratch::new();
        let below = dir.join("web");
        let specs = [spec(&dir.join("a.pid")), spec(&below.join("b.pid"))];
        let mut watch = PidfileWatch::default();
        assert!(watch.look(specs.iter()).is_some(), "there is something new to wait for");
        assert!(watch.look(specs.iter()).is_none() && !watch.is_whole, "one directory is still missing");
        let told = |watch: &mut PidfileWatch| {
            let mut names = Vec::new();
            watch.drain(&mut |name| {
                let name = name.to_string_lossy().into_owned();
                let is_ours = name.ends_with(".pid");
                if is_ours {
                    names.push(name);
                }
                is_ours
            });
            names
        };
        let put = |path: &Path| std::fs::write(path, "7\n").expect("a file can be written");
        put(&dir.join("a.pid"));
        put(&dir.join("other"));
        std::fs::rename(dir.join("other"), dir.join("a.pid")).expect("it is there");
        assert_eq!(told(&mut watch), ["a.pid", "a.pid"]);
        std::fs::create_dir(&below).expect("a directory can be made");
        watch.look(specs.iter());
        assert!(watch.is_whole);
        put(&below.join("b.pid"));
        assert_eq!(told(&mut watch), ["b.pid"]);
        std::fs::remove_dir_all(&below).expect("it is ours");
        assert_eq!(told(&mut watch), [""; 0]);
        assert!(!watch.is_whole, "it may come again");
        // One and the same would be told of once.
        for number in 0..=MOST_OTHERS {
            put(&dir.join(format!("other{number}")));
        }
        told(&mut watch);
        assert!(watch.inotify.is_none() && watch.look(specs.iter()).is_none(), "others are too busy there");
        watch.renew();
        assert!(watch.look(specs.iter()).is_some(), "until the policy changes");
    }
}
