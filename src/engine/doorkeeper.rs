//! Keeps the door open: binds its addresses, starts it, starts it again when it dies.
//!
//! The sockets belong to core, so a door that dies loses no address and privileged ports need no privileges in it.

use std::fmt::Write as _;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use crate::door::{self, DoorSpec};
use crate::model::Network;
use crate::store::Board;
use crate::sys::files;
use crate::sys::fork::{self, kill_child};
use crate::sys::listen;

/// The first wait after a death, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
/// A door that lived so long was well.
const SETTLE: Duration = Duration::from_secs(10);

/// What the door is to serve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    pub munin: Vec<SocketAddr>,
    pub http: Vec<SocketAddr>,
    pub allow: Vec<Network>,
    pub host: String,
    pub account: Option<(u32, u32)>,
    pub empty_dir: Option<PathBuf>,
    /// An address that is taken is left out instead of refused: nobody wrote it down.
    pub may_miss: bool,
}

/// A bound socket under the address that was asked for.
type Bound = (SocketAddr, TcpListener);

/// The sockets, and the process that serves them.
pub struct Doorkeeper {
    wanted: Wanted,
    munin: Vec<Bound>,
    http: Vec<Bound>,
    pid: Option<i32>,
    started: Duration,
    again_at: Option<Duration>,
    early_deaths: u32,
    /// How much of the past the door was given.
    shows: usize,
    /// It was ended by us, to be given more.
    is_renewed: bool,
}

/// What the door may tell of the past, as far as it could be opened: history and journal.
#[derive(Clone, Copy, Default)]
pub struct Past<'a> {
    pub history: Option<&'a File>,
    pub journal: Option<&'a File>,
}

impl Past<'_> {
    fn count(&self) -> usize {
        usize::from(self.history.is_some()) + usize::from(self.journal.is_some())
    }
}

/// How a door ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, or by somebody else.
    Died,
    /// On our request: there is more to tell now.
    Renewed,
}

impl Doorkeeper {
    /// Binds what is wanted. Gives a line for each address that was left out, or refuses.
    pub fn open(wanted: Wanted) -> Result<(Self, Vec<String>), String> {
        let mut keeper = Self {
            wanted: Wanted::default(),
            munin: Vec::new(),
            http: Vec::new(),
            pid: None,
            started: Duration::ZERO,
            again_at: None,
            early_deaths: 0,
            shows: 0,
            is_renewed: false,
        };
        let missed = keeper.change(wanted)?;
        Ok((keeper, missed))
    }

    /// Serves something else from now on. A socket whose address is still wanted is kept, since nobody else could be kept from
    /// taking it meanwhile; when a new one is refused, everything stays as it is.
    pub fn change(&mut self, wanted: Wanted) -> Result<Vec<String>, String> {
        let (munin, mut missed) = self.bind("Munin", &wanted.munin, wanted.may_miss)?;
        let (http, also_missed) = self.bind("HTTP", &wanted.http, wanted.may_miss)?;
        missed.extend(also_missed);
        (self.munin, self.http, self.wanted) = (munin, http, wanted);
        self.early_deaths = 0;
        self.again_at = None;
        self.is_renewed = false;
        if let Some(pid) = self.pid.take() {
            kill_child(pid);
        }
        Ok(missed)
    }

    fn bind(&self, what: &str, addresses: &[SocketAddr], may_miss: bool) -> Result<(Vec<Bound>, Vec<String>), String> {
        let (mut bound, mut missed) = (Vec::new(), Vec::new());
        for address in addresses {
            let held = self.munin.iter().chain(&self.http).find(|(held, _)| held == address);
            match held.map_or_else(|| listen::tcp(*address), |(_, socket)| socket.try_clone()) {
                Ok(socket) => bound.push((*address, socket)),
                Err(error) => {
                    let line = format!("cannot listen on {address} for {what}: {error}");
                    if !may_miss {
                        return Err(line);
                    }
                    missed.push(line);
                }
            }
        }
        Ok((bound, missed))
    }

    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    pub fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// Where the door can be found, for people: `munin 127.0.0.1:4949, http 127.0.0.1:4950`.
    pub fn listening(&self) -> String {
        let mut text = String::new();
        for (what, sockets) in [("munin", &self.munin), ("http", &self.http)] {
            for address in sockets.iter().filter_map(|(_, socket)| socket.local_addr().ok()) {
                let comma = if text.is_empty() { "" } else { ", " };
                let _ = write!(text, "{comma}{what} {address}");
            }
        }
        text
    }

    /// Starts the door when there is something to serve and it is time. True when it was started.
    /// A door that runs and could tell more of the past is ended first.
    pub fn start(&mut self, board: &Board, past: Past<'_>, mono: Duration) -> Result<bool, std::io::Error> {
        let nothing = self.munin.is_empty() && self.http.is_empty();
        self.renew(past);
        if nothing || self.pid.is_some() || self.again_at.is_some_and(|at| at > mono) {
            return Ok(false);
        }
        match self.try_start(board, past) {
            Ok(pid) => {
                self.shows = past.count();
                (self.pid, self.started, self.again_at) = (Some(pid), mono, None);
                Ok(true)
            }
            Err(error) => {
                self.rest(mono);
                Err(error)
            }
        }
    }

    /// The door has no file system: what could be opened only after it was started needs another door.
    fn renew(&mut self, past: Past<'_>) {
        if let Some(pid) = self.pid.filter(|_| past.count() > self.shows && !self.is_renewed) {
            self.is_renewed = true;
            kill_child(pid);
        }
    }

    fn try_start(&self, board: &Board, past: Past<'_>) -> Result<i32, std::io::Error> {
        let clone =
            |sockets: &[Bound]| sockets.iter().map(|(_, socket)| socket.try_clone()).collect::<Result<Vec<_>, _>>();
        let spec = DoorSpec {
            munin: clone(&self.munin)?,
            http: clone(&self.http)?,
            munin_allow: self.wanted.allow.clone(),
            host_name: self.wanted.host.clone(),
            board: board.reopen()?,
            // Without them everything else is served.
            history: past.history.and_then(|file| files::reopen_for_reading(file).ok()),
            journal: past.journal.and_then(|file| files::reopen_for_reading(file).ok()),
            user: self.wanted.account,
            empty_dir: self.wanted.empty_dir.clone(),
            parent: nix::unistd::getpid().as_raw(),
        };
        fork::split(move || door::run(spec))
    }

    /// A start that came to nothing: waits longer after each.
    fn rest(&mut self, mono: Duration) {
        self.early_deaths = self.early_deaths.saturating_add(1);
        let wait = BACKOFF.0.saturating_mul(1 << self.early_deaths.min(16)).min(BACKOFF.1);
        self.again_at = Some(mono + wait);
    }

    /// A child has ended. None when it was not the door.
    pub fn on_child(&mut self, pid: i32, mono: Duration) -> Option<Ended> {
        if self.pid != Some(pid) {
            return None;
        }
        self.pid = None;
        if std::mem::take(&mut self.is_renewed) {
            self.again_at = Some(mono);
            return Some(Ended::Renewed);
        }
        if mono.saturating_sub(self.started) >= SETTLE {
            (self.early_deaths, self.again_at) = (0, Some(mono));
        } else {
            self.rest(mono);
        }
        Some(Ended::Died)
    }

    /// When a dead door is due again.
    pub fn deadline(&self) -> Option<Duration> {
        if self.pid.is_none() { self.again_at } else { None }
    }

    /// Ends the door for good.
    pub fn close(&mut self) {
        self.munin.clear();
        self.http.clear();
        if let Some(pid) = self.pid.take() {
            kill_child(pid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(http: &[SocketAddr]) -> Wanted {
        Wanted { http: http.to_vec(), ..Wanted::default() }
    }

    fn free() -> SocketAddr {
        let socket = TcpListener::bind("127.0.0.1:0").expect("there is a port");
        socket.local_addr().expect("it is bound")
    }

    #[test]
    fn an_address_that_stays_is_never_let_go() {
        let (first, second) = (free(), free());
        let (mut keeper, _) = Doorkeeper::open(wanted(&[first])).expect("it is free");
        // A door that does not die at once holds the sockets for a while longer.
        let door = keeper.http[0].1.try_clone().expect("there are descriptors");
        let missed = keeper.change(Wanted { host: "other".to_owned(), ..wanted(&[second, first]) });
        assert_eq!(missed, Ok(Vec::new()));
        assert_eq!(keeper.listening(), format!("http {second}, http {first}"));
        let taken = TcpListener::bind("127.0.0.1:0").expect("there is a port");
        let taken = taken.local_addr().map(|address| (address, taken)).expect("it is bound");
        let before = keeper.wanted().clone();
        assert!(keeper.change(wanted(&[first, taken.0])).is_err());
        assert_eq!((keeper.wanted(), keeper.listening()), (&before, format!("http {second}, http {first}")));
        drop(door);
    }

    #[test]
    fn a_door_that_dies_at_once_is_started_ever_more_rarely() {
        let (mut keeper, _) = Doorkeeper::open(Wanted::default()).expect("nothing is wanted");
        let mut mono = Duration::from_secs(1000);
        let mut starts = 0;
        while mono < Duration::from_secs(1000 + 3600) {
            (keeper.pid, keeper.started) = (Some(1), mono);
            assert_eq!(keeper.on_child(1, mono), Some(Ended::Died));
            starts += 1;
            mono = keeper.deadline().expect("it is tried again");
        }
        assert!((60..80).contains(&starts), "{starts} starts in an hour");
        (keeper.pid, keeper.started) = (Some(1), mono);
        assert_eq!(keeper.on_child(1, mono + SETTLE), Some(Ended::Died));
        assert_eq!(keeper.deadline(), Some(mono + SETTLE), "one that lived comes back at once");
    }
}
