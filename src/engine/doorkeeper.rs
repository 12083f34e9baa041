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

/// The sockets, and the process that serves them.
pub struct Doorkeeper {
    wanted: Wanted,
    munin: Vec<TcpListener>,
    http: Vec<TcpListener>,
    pid: Option<i32>,
    started: Duration,
    again_at: Option<Duration>,
    early_deaths: u32,
}

impl Doorkeeper {
    /// Binds what is wanted. Gives a line for each address that was left out, or refuses.
    pub fn open(wanted: Wanted) -> Result<(Self, Vec<String>), String> {
        let mut missed = Vec::new();
        let mut bind = |what: &str, addresses: &[SocketAddr]| -> Result<Vec<TcpListener>, String> {
            let mut sockets = Vec::new();
            for address in addresses {
                match listen::tcp(*address) {
                    Ok(socket) => sockets.push(socket),
                    Err(error) => {
                        let line = format!("cannot listen on {address} for {what}: {error}");
                        if !wanted.may_miss {
                            return Err(line);
                        }
                        missed.push(line);
                    }
                }
            }
            Ok(sockets)
        };
        let munin = bind("Munin", &wanted.munin)?;
        let http = bind("HTTP", &wanted.http)?;
        let keeper = Self { wanted, munin, http, pid: None, started: Duration::ZERO, again_at: None, early_deaths: 0 };
        Ok((keeper, missed))
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
            for address in sockets.iter().filter_map(|socket| socket.local_addr().ok()) {
                let comma = if text.is_empty() { "" } else { ", " };
                let _ = write!(text, "{comma}{what} {address}");
            }
        }
        text
    }

    /// Starts the door when there is something to serve and it is time. True when it was started.
    pub fn start(&mut self, board: &Board, history: Option<&File>, mono: Duration) -> Result<bool, std::io::Error> {
        let nothing = self.munin.is_empty() && self.http.is_empty();
        if nothing || self.pid.is_some() || self.again_at.is_some_and(|at| at > mono) {
            return Ok(false);
        }
        self.again_at = Some(mono + BACKOFF.0);
        let clone = |sockets: &[TcpListener]| sockets.iter().map(TcpListener::try_clone).collect::<Result<Vec<_>, _>>();
        let spec = DoorSpec {
            munin: clone(&self.munin)?,
            http: clone(&self.http)?,
            munin_allow: self.wanted.allow.clone(),
            host_name: self.wanted.host.clone(),
            board: board.reopen()?,
            // Without it everything else is served.
            history: history.and_then(|file| files::reopen_for_reading(file).ok()),
            user: self.wanted.account,
            empty_dir: self.wanted.empty_dir.clone(),
            parent: nix::unistd::getpid().as_raw(),
        };
        let pid = fork::split(move || door::run(spec))?;
        self.pid = Some(pid);
        self.started = mono;
        self.again_at = None;
        Ok(true)
    }

    /// A child has ended. True when it was the door.
    pub fn on_child(&mut self, pid: i32, mono: Duration) -> bool {
        if self.pid != Some(pid) {
            return false;
        }
        self.pid = None;
        self.early_deaths = if mono.saturating_sub(self.started) >= SETTLE { 0 } else { self.early_deaths + 1 };
        let wait = BACKOFF.0.saturating_mul(1 << self.early_deaths.min(16)).min(BACKOFF.1);
        self.again_at = Some(if self.early_deaths == 0 { mono } else { mono + wait });
        true
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
