//! Looking for one service: by the process it was, by its pidfile, by its name. What is found is held before it counts.
//!
//! What a pidfile does not show after a start is searched for in the whole process table before the start counts as failed: a daemon
//! that could not write its pidfile, or whose pidfile somebody has spoiled, would be started a second time.

use std::time::Duration;

use crate::model::{Form, Identity, ServiceState};
use crate::store::ledger::Blob;
use crate::supervisor::{Known, Pidfile, Process, Sighting, judge_pidfile, text};

use super::super::hands::{Hands, Lost};
use super::work::Work;

/// A search of the whole process table costs some 20 µs for each process.
const SEARCH_EVERY: Duration = Duration::from_secs(1);

impl<H: Hands, B: Blob> Work<'_, '_, H, B> {
    /// Whether it runs, and which process it is.
    pub fn look(&mut self) -> Sighting {
        let last = self.entry.machine.last();
        if let Some(last) = last {
            match self.turn.hands.process(last.pid) {
                Ok(Some(process)) if process.identity == last && !process.is_zombie => return self.catch(process),
                Ok(_) => {}
                Err(why) => return Sighting::CannotTell(why),
            }
        }
        match &self.entry.spec.form {
            Form::Run(_) => self.look_for_stray(),
            Form::Pidfile(path) => {
                let file = self.turn.hands.pidfile(path);
                match self.look_at(&file, last) {
                    seen @ (Sighting::NotFound(_) | Sighting::Stranger(_)) => self.look_twice(seen, &file),
                    seen => seen,
                }
            }
            Form::Match(_) => self.search(),
        }
    }

    fn look_at(&mut self, file: &Pidfile, last: Option<Identity>) -> Sighting {
        let Form::Pidfile(path) = &self.entry.spec.form else {
            return Sighting::CannotTell(text(format_args!("no pidfile in the policy")));
        };
        let (pid, written) = match file {
            Pidfile::Names { pid, written } => (*pid, *written),
            Pidfile::Missing => return Sighting::NotFound(text(format_args!("pidfile {path} is not there"))),
            Pidfile::Empty => return Sighting::NotFound(text(format_args!("pidfile {path} is empty"))),
            Pidfile::Garbage(what) => {
                return Sighting::NotFound(text(format_args!("pidfile {path} has no pid in it: '{what}'")));
            }
            Pidfile::Unreadable(errno) => {
                let error = std::io::Error::from_raw_os_error(*errno);
                return Sighting::CannotTell(text(format_args!("cannot read pidfile {path}: {error}")));
            }
        };
        if pid == self.turn.hands.own_pid() {
            return Sighting::Stranger(text(format_args!("pidfile {path} names pid {pid}, which is watchd itself")));
        }
        let process = match self.turn.hands.process(pid) {
            Ok(process) => process,
            Err(why) => return Sighting::CannotTell(why),
        };
        let is_anothers = process.is_some_and(|it| self.books.is_anothers(it.identity, self.entry.place));
        let attempt = self.entry.machine.attempt().filter(|_| !is_anothers);
        let known = Known { last, comm: self.entry.comm, attempt };
        let judged = judge_pidfile(path, (pid, written), process.as_ref(), &known, self.turn.now);
        match (judged, process) {
            (Sighting::Found { .. }, Some(process)) => self.catch(process),
            (other, _) => other,
        }
    }

    /// Nothing is seen of it where it should be: before that counts, looks everywhere.
    fn look_twice(&mut self, seen: Sighting, file: &Pidfile) -> Sighting {
        let (now, comm) = (self.turn.now.mono, self.entry.comm);
        let (Form::Pidfile(path), Some(search)) = (&self.entry.spec.form, self.entry.machine.doubt_about(file, now))
        else {
            return seen;
        };
        let is_unsure = self.entry.machine.state(&self.entry.spec) == ServiceState::Unknown;
        if is_unsure && now < self.entry.next_scan {
            return Sighting::CannotTell(text(format_args!("{}", self.entry.machine.reason())));
        }
        self.entry.next_scan = now.saturating_add(SEARCH_EVERY);
        let mut found: Option<Process> = None;
        let searched = self.turn.hands.search(&self.entry.spec.id, &search, &mut |process, mark| {
            if search.could_be(&process, mark, comm) && found.is_none() {
                found = Some(process);
            }
        });
        match searched {
            Err(why) => Sighting::CannotTell(why),
            Ok(()) => search.judge(path, seen, found.as_ref(), comm),
        }
    }

    /// A child runs as long as it is held. One of which nothing is remembered may have been left by a watchd whose ledger is lost.
    fn look_for_stray(&mut self) -> Sighting {
        let absent = Sighting::NotFound(text(format_args!("does not run")));
        if !self.entry.is_new {
            return absent;
        }
        let sighting = match self.turn.hands.strays(&self.entry.spec.id) {
            Err(why) => return Sighting::CannotTell(why),
            Ok(strays) => match strays.as_slice() {
                [] => absent,
                [stray] => self.catch(*stray),
                [first, second, ..] => {
                    let (first, second) = (first.identity.pid, second.identity.pid);
                    return Sighting::CannotTell(text(format_args!(
                        "processes {first} and {second} may both be it, and nothing is remembered: end all but one"
                    )));
                }
            },
        };
        self.entry.is_new = matches!(sighting, Sighting::CannotTell(_));
        sighting
    }

    /// The oldest of all that match: the one the others descend from.
    fn search(&mut self) -> Sighting {
        let Form::Match(pattern) = &self.entry.spec.form else {
            return Sighting::CannotTell(text(format_args!("no match in the policy")));
        };
        let command = self.entry.command.as_ref().map(|held| held.identity);
        let mut oldest: Option<Process> = None;
        let found = self.turn.hands.find(pattern, &mut |process| {
            let age = |process: &Process| (process.identity.start_ticks, process.identity.pid);
            if Some(process.identity) != command
                && !process.is_zombie
                && oldest.as_ref().is_none_or(|old| age(&process) < age(old))
            {
                oldest = Some(process);
            }
        });
        match (found, oldest) {
            (Err(why), _) => Sighting::CannotTell(why),
            (Ok(()), None) => Sighting::NotFound(text(format_args!("no process '{}'", pattern.name))),
            (Ok(()), Some(process)) => self.catch(process),
        }
    }

    /// Takes hold of what was recognised.
    pub(super) fn catch(&mut self, process: Process) -> Sighting {
        let identity = process.identity;
        let mut rival = None;
        if self.entry.daemon.as_ref().is_none_or(|held| held.identity != identity) {
            match self.grip(identity, 0) {
                Ok(held) => {
                    rival = self.turn.hands.keeper(identity).map(Box::new);
                    if let Some(old) = self.entry.daemon.replace(held) {
                        self.turn.hands.let_go(old.grip);
                    }
                }
                Err(Lost::Gone) => {
                    return Sighting::NotFound(text(format_args!("process {} ended just now", identity.pid)));
                }
                Err(Lost::CannotTell(why)) => return Sighting::CannotTell(why),
            }
        }
        self.entry.comm = process.comm;
        Sighting::Found { identity, born: identity.born(), rival }
    }
}
