//! Keeps the door open: binds its addresses, starts it, starts it again when it dies.
//!
//! The sockets belong to core, so a door that dies loses no address and privileged ports need no privileges in it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use super::guests::Kitchen;
use super::orphans;
use crate::door::{self, DoorSpec};
use crate::export::munin::Guest;
use crate::model::{GuestSpec, Network, Settings};
use crate::store::Board;
use crate::sys::clock;
use crate::sys::files;
use crate::sys::fork::{self, kill_child};
use crate::sys::line::Line;
use crate::sys::listen;

/// The first wait after a death, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
/// How long a door may take to answer whether it turns; it is asked no more often than that, and no more often than there are cycles.
const ANSWER: Duration = Duration::from_secs(5);
/// An answer is looked for at the latest after so long.
const LONGEST_CYCLE: Duration = Duration::from_secs(30);
/// A door that was asked to leave has so long; it takes less itself.
const FAREWELL: Duration = Duration::from_secs(15);
/// How many may be leaving at once.
const LEAVING: usize = 4;
/// A door that lived so long was well.
const SETTLE: Duration = Duration::from_secs(10);

/// What the door is to serve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    pub munin: Vec<SocketAddr>,
    pub http: Vec<SocketAddr>,
    pub allow: Vec<Network>,
    pub patterns: Vec<String>,
    /// A Unix socket for masters as well.
    pub socket: Option<PathBuf>,
    pub host: String,
    /// Plugins of others, and settings of our own.
    pub kitchen: Kitchen,
    pub settings: Settings,
    pub account: Option<(u32, u32)>,
    pub empty_dir: Option<PathBuf>,
    /// An address that is taken is left out instead of refused: nobody wrote it down.
    pub may_miss: bool,
}

/// A bound socket under the address that was asked for.
pub type Bound = (SocketAddr, TcpListener);

/// What the program before us has left.
#[derive(Default)]
pub struct Held {
    pub munin: Vec<Bound>,
    pub http: Vec<Bound>,
    /// Its door, which is leaving.
    pub door: Option<i32>,
    /// When the children of one that was killed have noticed it, and hold no address any more.
    pub orphans: Duration,
}

/// The sockets, and the process that serves them.
pub struct Doorkeeper {
    wanted: Wanted,
    munin: Vec<Bound>,
    http: Vec<Bound>,
    unix: Option<UnixListener>,
    /// Until when an address that is taken is waited for.
    orphans: Duration,
    pid: Option<i32>,
    started: Duration,
    again_at: Option<Duration>,
    early_deaths: u32,
    /// How much of the past the door was given.
    shows: usize,
    /// Our end of the line to the door, and when we asked whether it turns.
    line: Option<UnixStream>,
    asked_at: Option<Duration>,
    /// Questions since its last answer.
    unanswered: u8,
    /// Doors that were asked to leave, and when they are made to.
    leaving: heapless::Vec<(i32, Duration), LEAVING>,
}

/// What the door may tell of the past, as far as it could be opened.
#[derive(Clone, Copy, Default)]
pub struct Past<'a> {
    pub history: Option<&'a File>,
    pub journal: Option<&'a File>,
    pub learned: Option<&'a File>,
}

impl Past<'_> {
    fn count(&self) -> usize {
        [self.history, self.journal, self.learned].iter().flatten().count()
    }

    /// Each opened once more, for reading alone; without one of them everything else is served.
    fn reopened(&self) -> door::Past {
        let again = |file: Option<&File>| file.and_then(|file| files::reopen_for_reading(file).ok());
        door::Past { history: again(self.history), journal: again(self.journal), learned: again(self.learned) }
    }
}

impl Doorkeeper {
    /// Binds what is wanted, and waits for addresses that orphans hold. Gives a line for each address that was left out, or refuses. Sockets that are bound already, from
    /// the program before us, are taken by their addresses.
    pub fn open(wanted: Wanted, held: Held, mono: Duration) -> Result<(Self, Vec<String>), String> {
        let leaving = held.door.map(|pid| (pid, mono + FAREWELL)).into_iter().collect();
        let mut keeper = Self {
            wanted: Wanted::default(),
            munin: held.munin,
            http: held.http,
            unix: None,
            orphans: held.orphans,
            line: None,
            asked_at: None,
            unanswered: 0,
            leaving,
            pid: None,
            started: Duration::ZERO,
            again_at: None,
            early_deaths: 0,
            shows: 0,
        };
        let missed = keeper.change(wanted, mono)?;
        keeper.orphans = Duration::ZERO;
        Ok((keeper, missed))
    }

    /// Serves something else from now on. A socket whose address is still wanted is kept, since nobody else could be kept from
    /// taking it meanwhile; when a new one is refused, everything stays as it is.
    pub fn change(&mut self, wanted: Wanted, mono: Duration) -> Result<Vec<String>, String> {
        let (munin, mut missed) = self.bind("Munin", &wanted.munin, wanted.may_miss)?;
        let (http, also_missed) = self.bind("HTTP", &wanted.http, wanted.may_miss)?;
        missed.extend(also_missed);
        let unix = self.bind_unix(&wanted)?;
        if let Some(path) = self.wanted.socket.as_ref().filter(|_| self.wanted.socket != wanted.socket) {
            let _ = std::fs::remove_file(path);
        }
        self.unix = unix;
        (self.munin, self.http, self.wanted) = (munin, http, wanted);
        self.early_deaths = 0;
        self.again_at = None;
        self.dismiss(mono);
        Ok(missed)
    }

    /// Asks the door to leave: it lets nobody in any more, and finishes with those who are there.
    fn dismiss(&mut self, mono: Duration) {
        (self.line, self.asked_at) = (None, None);
        if let Some(pid) = self.pid.take()
            && self.leaving.push((pid, mono + FAREWELL)).is_err()
        {
            kill_child(pid);
        }
    }

    /// The Unix socket that is wanted: the one there is, or a new one.
    fn bind_unix(&mut self, wanted: &Wanted) -> Result<Option<UnixListener>, String> {
        if wanted.socket == self.wanted.socket {
            return Ok(self.unix.take());
        }
        let Some(path) = &wanted.socket else { return Ok(None) };
        listen::unix_for_all(path)
            .map(Some)
            .map_err(|error| format!("cannot listen on {} for Munin: {error}", path.display()))
    }

    fn bind(&self, what: &str, addresses: &[SocketAddr], may_miss: bool) -> Result<(Vec<Bound>, Vec<String>), String> {
        let (mut bound, mut missed) = (Vec::new(), Vec::new());
        for address in addresses {
            let held = self.munin.iter().chain(&self.http).find(|(held, _)| held == address);
            match held.map_or_else(|| self.listen(*address), |(_, socket)| socket.try_clone()) {
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

    fn listen(&self, address: SocketAddr) -> std::io::Result<TcpListener> {
        loop {
            match listen::tcp(address) {
                Err(error) if error.kind() == ErrorKind::AddrInUse && clock::now().mono < self.orphans => {
                    orphans::wait();
                }
                answer => return answer,
            }
        }
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

    /// Starts the door when there is something to serve and it is time; `guest_line` makes its line to who runs plugins. True when
    /// it was started. A door that runs and could tell more of the past is asked to leave first.
    pub fn start(
        &mut self,
        (board, past): (&Board, Past<'_>),
        guest_line: impl FnOnce(&Kitchen) -> std::io::Result<Option<Line>>,
        mono: Duration,
    ) -> Result<bool, std::io::Error> {
        let nothing = self.munin.is_empty() && self.http.is_empty() && self.unix.is_none();
        self.shows = self.shows.min(past.count());
        if past.count() > self.shows {
            // The door has no file system: what could be opened only after it was started needs another door.
            self.dismiss(mono);
        }
        if nothing || self.pid.is_some() || self.again_at.is_some_and(|at| at > mono) {
            return Ok(false);
        }
        match guest_line(&self.wanted.kitchen).and_then(|line| self.try_start(board, past, line)) {
            Ok((pid, line)) => {
                self.shows = past.count();
                (self.pid, self.started, self.again_at) = (Some(pid), mono, None);
                (self.line, self.asked_at, self.unanswered) = (Some(line), None, 0);
                Ok(true)
            }
            Err(error) => {
                self.rest(mono);
                Err(error)
            }
        }
    }

    fn try_start(
        &self,
        board: &Board,
        past: Past<'_>,
        guest_line: Option<Line>,
    ) -> Result<(i32, UnixStream), std::io::Error> {
        let (ours, line) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        line.set_nonblocking(true)?;
        let clone =
            |sockets: &[Bound]| sockets.iter().map(|(_, socket)| socket.try_clone()).collect::<Result<Vec<_>, _>>();
        let spec = DoorSpec {
            munin: clone(&self.munin)?,
            http: clone(&self.http)?,
            munin_unix: self.unix.as_ref().map(UnixListener::try_clone).transpose()?,
            munin_patterns: self.wanted.patterns.clone(),
            munin_allow: self.wanted.allow.clone(),
            host_name: self.wanted.host.clone(),
            guests: self.wanted.kitchen.specs.iter().map(card).collect(),
            guest_line,
            settings: self.wanted.settings.clone(),
            board: board.reopen()?,
            past: past.reopened(),
            user: self.wanted.account,
            empty_dir: self.wanted.empty_dir.clone(),
            parent: nix::unistd::getpid().as_raw(),
            line: Some(line),
        };
        Ok((fork::split(move || door::become_door(spec))?, ours))
    }

    /// A start that came to nothing: waits longer after each.
    fn rest(&mut self, mono: Duration) {
        self.early_deaths = self.early_deaths.saturating_add(1);
        let wait = BACKOFF.0.saturating_mul(1 << self.early_deaths.min(16)).min(BACKOFF.1);
        self.again_at = Some(mono + wait);
    }

    /// A child has ended. True when it was the door.
    pub fn on_child(&mut self, pid: i32, mono: Duration) -> bool {
        self.leaving.retain(|(leaving, _)| *leaving != pid);
        if self.pid != Some(pid) {
            return false;
        }
        (self.pid, self.line, self.asked_at) = (None, None, None);
        if mono.saturating_sub(self.started) >= SETTLE {
            (self.early_deaths, self.again_at) = (0, Some(mono));
        } else {
            self.rest(mono);
        }
        true
    }

    /// Asks the door now and then whether it turns, and ends one that does not: its death is answered like any other. True when
    /// it was ended. It is asked twice, since a host that slept has not let it answer either.
    pub fn mind(&mut self, mono: Duration) -> bool {
        for (pid, _) in self.leaving.iter().filter(|(_, until)| *until <= mono) {
            kill_child(*pid);
        }
        self.leaving.retain(|(_, until)| *until > mono);
        let (Some(line), Some(pid)) = (&mut self.line, self.pid) else { return false };
        if self.asked_at.is_some_and(|asked| mono < asked + ANSWER) {
            return false;
        }
        if matches!(line.read(&mut [0; 8]), Ok(read) if read > 0) {
            self.unanswered = 0;
        }
        if self.unanswered >= 2 {
            self.line = None;
            kill_child(pid);
            return true;
        }
        let _ = line.write(b"?");
        self.asked_at = Some(mono);
        self.unanswered += 1;
        false
    }

    /// When a dead door is due again, or a silent one has had enough time. The first answer is looked for with the next cycle, so
    /// that a door which is well wakes nobody.
    pub fn deadline(&self) -> Option<Duration> {
        let again = if self.pid.is_none() { self.again_at } else { None };
        let wait = if self.unanswered < 2 { LONGEST_CYCLE } else { ANSWER };
        let silent = self.asked_at.filter(|_| self.unanswered > 0 && self.line.is_some()).map(|asked| asked + wait);
        let leaving = self.leaving.iter().map(|(_, until)| *until);
        leaving.chain(again).chain(silent).min()
    }

    /// The sockets, for the program that takes our place.
    pub fn sockets(&self) -> impl Iterator<Item = (&'static str, SocketAddr, BorrowedFd<'_>)> {
        [("munin", &self.munin), ("http", &self.http)]
            .into_iter()
            .flat_map(|(what, sockets)| sockets.iter().map(move |(address, socket)| (what, *address, socket.as_fd())))
    }

    /// Ends the door for good.
    pub fn close(&mut self) {
        for (pid, _) in &self.leaving {
            kill_child(*pid);
        }
        self.munin.clear();
        self.http.clear();
        if let Some(path) = self.unix.take().and(self.wanted.socket.as_ref()) {
            let _ = std::fs::remove_file(path);
        }
        if let Some(pid) = self.pid.take() {
            kill_child(pid);
        }
    }
}

/// A plugin as the door lists it.
fn card(spec: &GuestSpec) -> Guest {
    Guest { name: spec.name.clone(), host: spec.host_name.clone(), ..Guest::default() }
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
        let (mut keeper, _) = Doorkeeper::open(wanted(&[first]), Held::default(), Duration::ZERO).expect("it is free");
        // A door that does not die at once holds the sockets for a while longer.
        let door = keeper.http[0].1.try_clone().expect("there are descriptors");
        let missed = keeper.change(Wanted { host: "other".to_owned(), ..wanted(&[second, first]) }, Duration::ZERO);
        assert_eq!(missed, Ok(Vec::new()));
        assert_eq!(keeper.listening(), format!("http {second}, http {first}"));
        let taken = TcpListener::bind("127.0.0.1:0").expect("there is a port");
        let taken = taken.local_addr().map(|address| (address, taken)).expect("it is bound");
        let before = keeper.wanted().clone();
        assert!(keeper.change(wanted(&[first, taken.0]), Duration::ZERO).is_err());
        assert_eq!((keeper.wanted(), keeper.listening()), (&before, format!("http {second}, http {first}")));
        drop(door);
    }

    #[test]
    fn a_door_that_dies_at_once_is_started_ever_more_rarely() {
        let (mut keeper, _) =
            Doorkeeper::open(Wanted::default(), Held::default(), Duration::ZERO).expect("nothing is wanted");
        let mut mono = Duration::from_secs(1000);
        let mut starts = 0;
        while mono < Duration::from_secs(1000 + 3600) {
            (keeper.pid, keeper.started) = (Some(1), mono);
            assert!(keeper.on_child(1, mono));
            starts += 1;
            mono = keeper.deadline().expect("it is tried again");
        }
        assert!((60..80).contains(&starts), "{starts} starts in an hour");
        (keeper.pid, keeper.started) = (Some(1), mono);
        assert!(keeper.on_child(1, mono + SETTLE));
        assert_eq!(keeper.deadline(), Some(mono + SETTLE), "one that lived comes back at once");
    }
}
