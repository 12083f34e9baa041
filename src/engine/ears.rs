//! The sockets on which services tell how they are: one for each that is asked to, in `RUN_DIR/notify`.
//!
//! Each belongs to the account of its service, so nobody else can fill its queue. What comes in is bounded: so many datagrams
//! a second are heard, the rest waits in the kernel's queue, which is short; whoever talks too much waits for himself.
//! A service finds the name of its socket in its environment; it stays the same over restarts of watchd.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::{EventKind, Form, Launch, Places, ServiceSpec};
use crate::supervisor::Notice;
use crate::sys::ear::{Ear, Heard};
use crate::sys::epoll::{Interest, Poller};
use crate::sys::{accounts, files};

use super::core::Core;
use super::tokens::Token;

/// How many datagrams of one service are heard in a second.
const QUOTA: u32 = 32;
const SECOND: Duration = Duration::from_secs(1);
/// sd_notify's own messages are a few dozen bytes; a status is cut to what people read of it.
const LONGEST: usize = 2048;

/// All sockets.
#[derive(Default)]
pub struct Ears {
    ears: Vec<Open>,
    next_id: u64,
    /// Sockets of the program before us, until the policy has been gone through.
    left: Vec<(String, UnixDatagram)>,
}

struct Open {
    id: u64,
    service: String,
    ear: Ear,
    /// How many were heard in the second that began at `since`.
    heard: u32,
    since: Duration,
    is_full: bool,
}

impl Ears {
    /// Sockets that were left to us.
    pub fn of(left: Vec<(String, UnixDatagram)>) -> Self {
        Self { left, ..Self::default() }
    }

    /// The sockets, by service.
    pub fn sockets(&self) -> impl Iterator<Item = (&str, BorrowedFd<'_>)> {
        self.ears.iter().map(|open| (open.service.as_str(), open.ear.as_fd()))
    }

    /// Makes a socket for each service that is to have one, puts its name into the environment of what is started, and lets go
    /// of the sockets of others. What cannot be made is said, and the service runs without.
    pub fn tune(
        &mut self,
        services: &mut [ServiceSpec],
        places: &Places,
        poller: &Poller,
        note: &mut dyn FnMut(EventKind, &str, &str),
    ) {
        let dir = places.notify();
        let is_wanted = |name: &str| services.iter().any(|spec| spec.id == name && spec.care.is_heard());
        for gone in self.ears.extract_if(.., |open| !is_wanted(&open.service)) {
            poller.remove(&gone.ear);
        }
        for spec in services.iter_mut().filter(|spec| spec.care.is_heard()) {
            let path = dir.join(&spec.id);
            match self.open(spec, &path, poller) {
                Ok(()) => lend(spec, &path),
                Err(error) => {
                    let what = format!("cannot listen to it on {}: {error}", path.display());
                    note(EventKind::Trouble, &spec.id, &what);
                }
            }
        }
        self.left = Vec::new();
    }

    fn open(&mut self, spec: &ServiceSpec, path: &Path, poller: &Poller) -> std::io::Result<()> {
        if self.ears.iter().any(|open| open.service == spec.id && path.exists()) {
            return Ok(());
        }
        if let Some(dir) = path.parent() {
            files::own_dir(dir)?;
        }
        for old in self.ears.extract_if(.., |open| open.service == spec.id) {
            poller.remove(&old.ear);
        }
        let owner = account(spec)?;
        let left = self.left.iter().position(|(id, _)| *id == spec.id).map(|at| self.left.swap_remove(at).1);
        let kept = left.and_then(|socket| Ear::keep(socket, path, owner));
        let ear = kept.map_or_else(|| Ear::open(path, owner), Ok)?;
        self.next_id += 1;
        let id = self.next_id;
        poller.add(&ear, Token::Ear(id).pack(), Interest::Read)?;
        self.ears.push(Open { id, service: spec.id.clone(), ear, heard: 0, since: Duration::ZERO, is_full: false });
        Ok(())
    }

    /// When one that talked too much is heard again.
    pub fn deadline(&self) -> Option<Duration> {
        self.ears.iter().filter(|open| open.is_full).map(|open| open.since + SECOND).min()
    }

    /// Listens again where that was left for a while.
    pub fn renew(&mut self, mono: Duration, poller: &Poller) {
        for open in self.ears.iter_mut().filter(|open| open.is_full && open.since + SECOND <= mono) {
            open.is_full = poller.add(&open.ear, Token::Ear(open.id).pack(), Interest::Read).is_err();
            (open.heard, open.since) = (0, mono);
        }
    }

    /// The next datagram of one socket, and whose socket it is.
    fn hear(&mut self, id: u64, mono: Duration, buffer: &mut [u8], poller: &Poller) -> Option<(&str, Heard)> {
        let open = self.ears.iter_mut().find(|open| open.id == id)?;
        if open.since + SECOND <= mono {
            (open.heard, open.since) = (0, mono);
        }
        if open.heard >= QUOTA {
            poller.remove(&open.ear);
            open.is_full = true;
            return None;
        }
        let heard = open.ear.hear(buffer)?;
        open.heard += 1;
        Some((&open.service, heard))
    }
}

impl Core {
    /// A service has something to say.
    pub(super) fn on_ear(&mut self, id: u64) {
        let mut buffer = [0; LONGEST];
        let mut ears = std::mem::take(&mut self.ears);
        while let Some((name, heard)) = ears.hear(id, self.now.mono, &mut buffer, &self.poller) {
            let Some(pid) = heard.pid else { continue };
            let notice = Notice::parse(buffer.get(..heard.len).unwrap_or_default());
            self.with_services(|services, turn| services.on_notice(name, pid, notice, turn));
        }
        self.ears = ears;
    }
}

/// Whom the socket has to belong to; none when that is who we are.
fn account(spec: &ServiceSpec) -> std::io::Result<Option<(u32, u32)>> {
    let launch = match &spec.form {
        Form::Run(launch) => Some(launch),
        _ => spec.start.as_ref(),
    };
    let Some(user) = launch.and_then(|launch| launch.user.as_deref()) else { return Ok(None) };
    let account = accounts::user(user).map_err(std::io::Error::other)?;
    let own = nix::unistd::geteuid().as_raw();
    Ok((account.uid != own).then_some((account.uid, account.gid)))
}

/// What a path is called behind another root; none when nothing there leads to it.
pub fn seen_from(root: &str, path: &Path) -> Option<PathBuf> {
    match path.strip_prefix(root) {
        Ok(rest) => Some(Path::new("/").join(rest)),
        // Somebody may have mounted it.
        Err(_) => below(root, path).exists().then(|| path.to_owned()),
    }
}

/// The same path, behind another root.
pub fn below(root: &str, path: &Path) -> PathBuf {
    Path::new(root).join(path.strip_prefix("/").unwrap_or(path))
}

fn lend(spec: &mut ServiceSpec, path: &Path) {
    let watchdog = spec.care.watchdog;
    let give = |launch: &mut Launch| {
        let root = launch.setting.as_ref().and_then(|setting| setting.chroot.as_deref());
        let path = root.and_then(|root| seen_from(root, path)).unwrap_or_else(|| path.to_owned());
        let mut set = |name: &str, value: String| {
            launch.env.retain(|(known, _)| known != name);
            launch.env.push((name.to_owned(), value));
        };
        set("NOTIFY_SOCKET", path.display().to_string());
        if let Some(period) = watchdog {
            set("WATCHDOG_USEC", period.as_micros().to_string());
        }
    };
    if let Form::Run(launch) = &mut spec.form {
        give(launch);
    }
    if let Some(launch) = &mut spec.start {
        give(launch);
    }
}
