//! Whose turn it is: before a promise acts, its row among the locks is taken, and what other runs did is counted in.
//!
//! The daemon and a pass that cron started share the rows, so that `every`, `limit`, `cooldown` and `quiet` hold over both,
//! and over restarts. Where nothing can be remembered, what is known here has to do: housekeeping must not wait for the disk
//! that it is to make room on.

use std::path::PathBuf;

use watchd_probes::Now;

use super::notes::Notes;
use crate::agent::{Agent, Promise};
use crate::model::{EventKind, Places};
use crate::store::locks::{Locks, Taken, key};
use crate::sys::files;

/// The rows of all promises.
pub struct Turns {
    path: PathBuf,
    boot: [u8; 40],
    locks: Option<Locks>,
    is_told: bool,
}

impl Turns {
    /// Opens the rows; who only looks makes none.
    pub fn open(places: &Places, (boot, only_looks): ([u8; 40], bool), notes: &mut Notes) -> Self {
        let mut turns = Self { path: places.promises(), boot, locks: None, is_told: false };
        if !only_looks || turns.path.exists() {
            turns.retry(notes);
        }
        turns
    }

    pub fn is_writable(&self) -> bool {
        self.locks.is_some() && !self.is_told
    }

    /// Opens what could not be opened.
    pub fn retry(&mut self, notes: &mut Notes) {
        if self.locks.as_ref().is_some_and(Locks::is_removed) {
            self.lose(&files::removed(), notes);
        }
        if self.locks.is_some() && !self.is_told {
            return;
        }
        match Locks::open(&self.path, &self.boot) {
            Ok((locks, aside)) => {
                self.locks = Some(locks);
                if let Some(aside) = aside {
                    let text = format!("what promises have done was damaged; it is kept as {}", aside.display());
                    notes.add(EventKind::StateDamaged, "promises", &text);
                }
                if std::mem::take(&mut self.is_told) {
                    notes.add(EventKind::StateWritable, "promises", "what promises have done is written again");
                }
            }
            Err(error) => self.lose(&error, notes),
        }
    }

    fn lose(&mut self, error: &std::io::Error, notes: &mut Notes) {
        self.locks = None;
        if !std::mem::replace(&mut self.is_told, true) {
            let text = format!("cannot write down what promises have done: {error}");
            notes.add(EventKind::StateUnwritable, "promises", &text);
        }
    }

    /// Tells the promises that have not acted in this run what they did before.
    pub fn recall(&self, agent: &mut Agent, now: Now) {
        let Some(locks) = &self.locks else { return };
        agent.recall(|promise| locks.read(key_of(promise), now).ok().flatten(), now);
    }

    /// Whether the act that a pass has just wished for may go on here and now. What it does is written down.
    pub fn take(&mut self, promise: usize, agent: &mut Agent, now: Now, notes: &mut Notes) -> bool {
        let Some((locks, key)) = self.locks.as_ref().zip(agent.promises().get(promise).map(key_of)) else {
            return true;
        };
        let may = match locks.take(key, now) {
            Ok(Taken::Busy) => {
                agent.leave_to_another(promise);
                return false;
            }
            Ok(Taken::Ours(acts)) => acts.is_none_or(|acts| agent.may_still(promise, &acts, now)),
            Err(error) => {
                self.lose(&error, notes);
                return true;
            }
        };
        // What a look does is known, and written down, at its end.
        let is_look = agent.promises().get(promise).is_some_and(Promise::may_change);
        let written = match (may, is_look) {
            (true, true) => Ok(()),
            (true, false) => agent.share(promise, now).map_or(Ok(()), |acts| locks.write(key, &acts, now)),
            (false, _) => locks.release(key),
        };
        if let Err(error) = written {
            self.lose(&error, notes);
        }
        may
    }

    /// A look is over. What it did is written down where that matters later: writing in every cycle would wear a disk out.
    pub fn looked(&mut self, promise: usize, agent: &mut Agent, (now, acted): (Now, bool), notes: &mut Notes) {
        let Some(known) = agent.promises().get(promise).filter(|known| known.may_change()) else { return };
        let Some(locks) = &self.locks else { return };
        let matters = !known.every.is_zero() || (acted && known.limit.is_some());
        let key = key_of(known);
        let acts = if matters { agent.share(promise, now) } else { None };
        let written = acts.map_or(Ok(()), |acts| locks.write(key, &acts, now)).and_then(|()| locks.release(key));
        if let Err(error) = written {
            self.lose(&error, notes);
        }
    }

    /// Looks that go on no more give their rows back.
    pub fn give_up_looks(&self, agent: &Agent) {
        agent.promises().iter().filter(|promise| promise.may_change()).for_each(|promise| self.done(promise));
    }

    /// A promise has done what it took its turn for.
    pub fn done(&self, promise: &Promise) {
        if let Some(locks) = &self.locks {
            // A lock that cannot be given back goes with this process.
            let _ = locks.release(key_of(promise));
        }
    }
}

fn key_of(promise: &Promise) -> u64 {
    key(promise.kind().word(), &promise.id)
}
