//! Going on as the program that is installed now, in the same process: services, sockets, lock and board are handed on by exec.
//!
//! The new program is tried first: it has to read the config and say that it can take over. Then nothing new is begun, and when no
//! command runs any more it is executed. Until that moment any failure leaves everything as it was. Services are found again by
//! their rows in the ledger, and the old door finishes with the clients it has while the new one takes the next.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::control::{Reply, UPGRADE};
use super::core::Core;
use super::doorkeeper::Held;
use super::errands::{Done, Order, Owner};
use super::judgement;
use crate::agent::CommandEnd;
use crate::model::{Command, EventKind, Launch};
use crate::supervisor::Bequest;
use crate::sys::handover::{self, Handover, Parcel, VERSION};

/// How long the new program may take to read the config.
const TRIAL: Duration = Duration::from_secs(15);
/// How long running commands may take to end before it is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// How far an upgrade is. The client is the one who asked and waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    No,
    Trying {
        client: Option<u64>,
    },
    /// The new program can take over; commands are still running.
    Waiting {
        client: Option<u64>,
        until: Duration,
    },
    /// We are the new program, and said so.
    Done,
}

/// What was counted and is not written down, for the program that takes our place.
#[derive(Default, Serialize, Deserialize)]
pub struct Counted {
    pub services: Vec<(String, Bequest)>,
    pub judgement: judgement::Bequest,
}

impl Counted {
    /// What the program before us has left; nothing when it told that in other words.
    pub fn of(left: &Handover) -> Self {
        postcard::from_bytes(&left.counted).unwrap_or_default()
    }
}

impl Upgrade {
    pub fn deadline(self) -> Option<Duration> {
        if let Self::Waiting { until, .. } = self { Some(until) } else { None }
    }
}

/// What a program says that can take our place.
pub fn promise() -> String {
    format!("watchd {} can take over (handover {VERSION})", env!("CARGO_PKG_VERSION"))
}

/// Whether a program that said this is one that understands us.
fn can_take_over(said: &str) -> bool {
    said.starts_with("watchd ") && said.lines().any(|line| line.ends_with(&format!("(handover {VERSION})")))
}

/// The path we were started by; the file behind it may be another one by now. What was looked up in PATH, or is only called so, is
/// named by the kernel.
pub fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    let called = std::env::args_os().next().map(PathBuf::from).filter(|called| called.is_absolute());
    called.filter(|called| called.canonicalize().is_ok_and(|path| path == own)).unwrap_or(own)
}

/// The part of what was left that is the door's.
pub fn held(left: &mut Handover) -> Held {
    let mut held = Held { door: left.door(), ..Held::default() };
    for (what, address, socket) in left.listeners.drain(..) {
        match what.as_str() {
            "munin" => held.munin.push((address, socket)),
            "http" => held.http.push((address, socket)),
            _ => {}
        }
    }
    held
}

impl Core {
    /// Tries the program that stands where ours came from.
    pub(super) fn try_program(&mut self, client: Option<u64>) {
        if let Some(client) = client {
            self.control.hold(client, self.now.mono + UPGRADE);
        }
        if self.upgrade != Upgrade::No {
            return self.say(client, Reply::Failed, "cannot upgrade: an upgrade goes on already");
        }
        let words = ["upgrade".into(), "--test".into()].into_iter().chain(self.places.words());
        let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        let program = self.program.to_string_lossy().into_owned();
        let command = Command::Exec(std::iter::once(program).chain(words).collect());
        let launch = Launch::new(command);
        self.upgrade = Upgrade::Trying { client };
        let order = Order { owner: Owner::Upgrade, launch: &launch, timeout: TRIAL, input: None, is_heard: false };
        if let Some(done) = self.errands.start(&order, &self.poller, self.now.mono) {
            self.on_tried(&done);
        }
    }

    /// The new program has been tried.
    pub(super) fn on_tried(&mut self, done: &Done) {
        let Upgrade::Trying { client } = self.upgrade else { return };
        if done.end == CommandEnd::Exit(0) && can_take_over(&done.text) {
            self.upgrade = Upgrade::Waiting { client, until: self.now.mono + PATIENCE };
            return;
        }
        let why = match done.end {
            CommandEnd::Timeout => "the new program took too long to read the config".to_owned(),
            CommandEnd::Denied | CommandEnd::NotStarted => done.text.clone(),
            _ if done.text.trim().is_empty() => "the new program does not say that it can take over".to_owned(),
            _ => format!("the new program says: {}", done.text.trim()),
        };
        self.refuse_upgrade(client, &why);
    }

    /// Executes the new program when nothing stands in the way any more.
    pub(super) fn go_on(&mut self) {
        let Upgrade::Waiting { client, until } = self.upgrade else { return };
        if let Some(owner) = self.errands.busy() {
            if until <= self.now.mono {
                let promise = match owner {
                    Owner::Promise(place) => self.judgement.agent.promises().get(place),
                    _ => None,
                };
                let what = promise.map_or_else(|| "a check".to_owned(), |promise| format!("command {}", promise.id));
                self.refuse_upgrade(client, &format!("{what} still runs; try again when it has ended"));
            }
            return;
        }
        // A child that hangs on a dead file system does not hold the new program up.
        let is_tending = (self.upkeep.deadline().is_some() || self.crowds.is_busy()) && self.now.mono < until;
        if self.reading.is_some() || is_tending {
            return;
        }
        // What a person asked for a whole group is carried out by the program that was asked.
        if self.services.is_ordering() {
            if until <= self.now.mono {
                self.refuse_upgrade(client, "an order to a group is still being carried out; try again later");
            }
            return;
        }
        let error = self.hand_over(client);
        self.refuse_upgrade(client, &format!("cannot execute {}: {error}", self.program.display()));
    }

    /// Comes back only when it failed.
    fn hand_over(&self, client: Option<u64>) -> std::io::Error {
        let mut parcel = Parcel::new(self.door.pid());
        parcel.add("lock", self.lock.as_fd());
        parcel.add("control", self.control.source());
        if let Some(client) = client.and_then(|client| self.control.client(client)) {
            parcel.add("client", client);
        }
        for (what, address, socket) in self.door.sockets() {
            parcel.add(&format!("{what}/{address}"), socket);
        }
        for (service, socket) in self.ears.sockets() {
            parcel.add(&format!("ear/{service}"), socket);
        }
        // Without it the next one begins as after a crash.
        let counted = Counted { services: self.services.bequeath(), judgement: self.judgement.bequeath() };
        let counted = postcard::to_stdvec(&counted).ok().and_then(|it| handover::memory(&it).ok());
        if let Some(counted) = &counted {
            parcel.add_counted(counted.as_fd());
        }
        let mut words = self.places.words();
        words.insert(0, "run".into());
        if self.manner.is_shadow {
            words.push("--shadow".into());
        }
        parcel.exec(&self.program, &words)
    }

    /// We are the new program.
    pub(super) fn take_over(&mut self, from: &str, client: Option<UnixStream>) {
        let text = format!("watchd {} goes on where {from} left off", env!("CARGO_PKG_VERSION"));
        self.notes.add(EventKind::DaemonUpgraded, "", &text);
        self.upgrade = Upgrade::Done;
        let client = client.map(|client| self.control.adopt(client, self.now.mono));
        self.say(client, Reply::Ok, &text);
    }

    fn refuse_upgrade(&mut self, client: Option<u64>, why: &str) {
        self.upgrade = Upgrade::No;
        self.is_stirred = true;
        let text = format!("cannot upgrade: {why}").replace(char::is_control, " ");
        self.notes.add(EventKind::UpgradeRefused, "", &text);
        self.say(client, Reply::Failed, &format!("{text}; the one before goes on"));
    }

    fn say(&mut self, client: Option<u64>, reply: Reply, text: &str) {
        let Some(client) = client else { return };
        let mut page = Vec::new();
        reply.line(text, &mut page);
        self.control.answer(client, &page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_program_that_promises_it_takes_over() {
        assert!(can_take_over(&promise()));
        assert!(can_take_over("watchd 9.9.9 can take over (handover 1)\nwarning: more\n"));
        for said in
            ["", "watchd 0.1.0\n", "watchd 0.1.0 can take over (handover 2)\n", "x (handover 1)", "(handover 1)"]
        {
            assert!(!can_take_over(said), "{said}");
        }
    }
}
