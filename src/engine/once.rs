//! `watchd agent`: one pass over the promises and its end, with the loop, the rooms and the locks of the daemon.
//!
//! Without a daemon the pass has everything: it starts services that are down, waits until they have settled, and what it
//! knows of them is in the ledger for the next one. Beside a daemon it keeps commands and reports only, each under the
//! lock of its promise. A dry run judges and writes nothing; like a guest it has a directory of its own.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::core::Core;
use super::manner::{Manner, Role};
use super::run_as;
use super::start::{self, Failure, system};
use crate::agent::Work;
use crate::files::Memory;
use crate::model::{EventKind, Outcome, Places, PromiseKind, ServiceState};
use crate::store::board::text;
use crate::sys::{clock, files};

/// How long a look may wait for file systems that answer from elsewhere.
const FOREIGN: Duration = Duration::from_millis(2_500);

/// How one promise came out of a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Came {
    pub kind: PromiseKind,
    pub id: String,
    pub outcome: Outcome,
    /// What was done, or why nothing was.
    pub why: String,
    /// Of a dry run: the lines that would change.
    pub diff: String,
}

/// What a pass came to.
pub struct Passed {
    pub came: Vec<Came>,
    /// A daemon looks after the services.
    pub is_guest: bool,
}

/// Makes one pass.
pub fn run(places: &Places, is_dry: bool) -> Result<Passed, Failure> {
    let became = if is_dry { None } else { run_as::become_owner(places).map_err(Failure::System)? };
    let alone = if is_dry { None } else { start::lock(places, None)? };
    let is_alone = alone.is_some();
    let role = if is_alone { Role::Alone } else { Role::Guest(places.state_dir.clone()) };
    let manner = Manner { role, is_shadow: is_dry };
    let own = Own::new(places, &manner)?;
    let lock = alone.map_or_else(|| start::lock(&own.places, None), |lock| Ok(Some(lock)))?;
    let lock = lock.ok_or_else(|| Failure::System("cannot make a pass: its own directory is in use".to_owned()))?;
    let loaded = start::load(&own.places, &manner)?;
    if !is_dry {
        run_as::follow(&own.places, loaded.policy.daemon.run_as.as_deref(), became.as_ref())
            .map_err(Failure::System)?;
    }
    let mut core = Core::new(&own.places, loaded, (lock, manner), None)?;
    let before = core.notes.total();
    core.run_once()?;
    let is_guest = !is_dry && !is_alone;
    if is_guest {
        core.give_to_daemon(&places.control());
    }
    let mut came = core.came_out(before, is_guest);
    if is_dry {
        let memory = Memory::new(&own.places.state_dir);
        for came in came.iter_mut().filter(|came| came.kind == PromiseKind::File && came.outcome == Outcome::Would) {
            let diff = memory.read(&format!("{}.diff", came.id)).unwrap_or_default();
            came.diff = String::from_utf8_lossy(&diff).into_owned();
        }
    }
    let lock = core.into_lock();
    if is_alone {
        start::tidy(places);
    }
    drop(lock);
    Ok(Passed { came, is_guest })
}

/// Where the pass has its board: the daemon's place, or one that is gone afterwards.
struct Own {
    places: Places,
    dir: Option<PathBuf>,
}

impl Own {
    fn new(places: &Places, manner: &Manner) -> Result<Self, Failure> {
        if !manner.is_guest() {
            return Ok(Self { places: places.clone(), dir: None });
        }
        let dir = make_dir(&std::env::temp_dir()).map_err(|error| system("make a directory for the pass", &error))?;
        let own = Self {
            places: Places { run_dir: dir.clone(), state_dir: dir.join("state"), ..places.clone() },
            dir: Some(dir),
        };
        files::own_dir(&own.places.state_dir).map_err(|error| system("make a directory for the pass", &error))?;
        Ok(own)
    }
}

/// A directory of our own. A name that is taken, by a pass that was killed or by somebody else, is never used.
fn make_dir(above: &Path) -> io::Result<PathBuf> {
    /// So many passes of one number are killed before somebody tidies.
    const NAMES: u32 = 16;
    let mut number = 0;
    loop {
        let dir = above.join(format!("watchd-pass-{}-{number}", std::process::id()));
        match std::fs::DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < NAMES => number += 1,
            made => return made.map(|()| dir),
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(dir) = &self.dir {
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

impl Core {
    /// One pass, and all that follows from it.
    fn run_once(&mut self) -> Result<(), Failure> {
        self.on_children();
        self.look();
        self.postpone_cycles();
        let end = clock::now().mono + FOREIGN;
        if self.mounts.deadline().is_some() {
            while self.mounts.deadline().is_some() && clock::now().mono < end {
                self.turn_once(Some(end))?;
            }
            self.look();
            self.postpone_cycles();
        }
        self.finish_turn(true);
        while !self.is_settled() && !self.is_stopping() {
            self.turn_once(None)?;
        }
        self.errands.end_all();
        Ok(())
    }

    /// Nothing that the pass began still goes on.
    fn is_settled(&self) -> bool {
        let is_moving = |state| matches!(state, ServiceState::Starting | ServiceState::Stopping);
        !self.is_stirred
            && self.errands.busy().is_none()
            && self.upkeep.deadline().is_none()
            && !self.upkeep.is_due()
            && !self.crowds.is_busy()
            && !self.services.facts(self.now).any(|fact| is_moving(fact.state))
    }

    /// How the promises came out, with the last thing that was noted about each since event number `before`.
    fn came_out(&self, before: u64, is_guest: bool) -> Vec<Came> {
        let agent = &self.judgement.agent;
        let rows = self.notes.rows();
        let new = usize::try_from(self.notes.total().saturating_sub(before)).unwrap_or(usize::MAX);
        let rows = rows.get(rows.len().saturating_sub(new)..).unwrap_or_default();
        let came = |(place, promise): (usize, &crate::agent::Promise)| {
            let (outcome, _) = agent.outcome(place)?;
            let told = rows
                .iter()
                .rev()
                .find(|row| text(&row.subject) == promise.id && row.kind() != EventKind::PromiseChanged);
            let why = match (promise.kind(), told) {
                (PromiseKind::Process, _) if is_guest && matches!(promise.work, Work::Process(_)) => {
                    "the daemon that runs looks after it".to_owned()
                }
                (_, Some(row)) => text(&row.text).to_owned(),
                (_, None) => String::new(),
            };
            Some(Came { kind: promise.kind(), id: promise.id.clone(), outcome, why, diff: String::new() })
        };
        agent.promises().iter().enumerate().filter_map(came).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn what_a_killed_pass_has_left_stops_no_other() {
        let scratch = Scratch::new();
        let first = make_dir(&scratch).expect("it can be made");
        let second = make_dir(&scratch).expect("another can be made");
        assert!(first != second && first.is_dir() && second.is_dir());
        assert!(make_dir(&scratch.join("nowhere")).is_err());
        std::os::unix::fs::symlink("/nowhere", scratch.join(format!("watchd-pass-{}-2", std::process::id())))
            .expect("a link can be made");
        assert!(make_dir(&scratch).is_ok_and(|third| third.is_dir()), "a link is not followed");
    }
}
