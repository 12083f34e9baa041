//! From the command line to a loop that turns: directories, lock, config, sockets, and the first lines a person reads.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::core::Core;
use super::manner::{Manner, Role};
use super::orphans;
use super::reader::{Answer, Loaded, Reading};
use super::run_as;
use crate::model::Places;
use crate::store::read_header;
use crate::sys::handover::Handover;
use crate::sys::locks::{self, Lock};
use crate::sys::{capabilities, clock, daemon, files, memory, reap, stderr};

/// Why watchd does not run.
#[derive(Debug)]
pub enum Failure {
    /// What we were given is wrong; one line for each fault.
    Config(Vec<String>),
    /// The system refused.
    System(String),
}

/// Runs the daemon in the foreground until it is asked to stop; in the shadow it acts on nothing.
pub fn run(places: &Places, is_shadow: bool) -> Result<(), Failure> {
    let mut left = Handover::take();
    memory::trim_text();
    let became = run_as::become_owner(places).map_err(Failure::System)?;
    let Some(lock) = lock(places, left.as_mut().and_then(|left| left.lock.take()))? else {
        return Err(Failure::System(format!(
            "cannot start: a watchd runs with {} already; `watchd status` shows it",
            places.run_dir.display()
        )));
    };
    let manner = Manner { role: Role::Daemon, is_shadow };
    let loaded = load(places, &manner)?;
    run_as::follow(places, loaded.policy.daemon.run_as.as_deref(), became.as_ref()).map_err(Failure::System)?;
    memory::spare_from_oom();
    if let Some(powers) = loaded.policy.daemon.powers
        && let Err(error) = capabilities::keep(powers)
    {
        let _ = stderr::write(
            format!("watchd: warning: cannot give up the capabilities that the config does not need: {error}\n")
                .as_bytes(),
        );
    }
    memory::trim_text();
    let mut core = Core::new(places, loaded, (lock, manner), left)?;
    memory::trim_text();
    core.run()?;
    let lock = core.into_lock();
    tidy(places);
    drop(lock);
    Ok(())
}

/// Reads the config in a child of ours, and makes of it what may be done in this manner.
pub(super) fn load(places: &Places, manner: &Manner) -> Result<Loaded, Failure> {
    let mut loaded = read_config(places)?;
    for warning in &loaded.warnings {
        // A logger that reads nothing must not keep us from starting.
        let _ = stderr::write(format!("watchd: warning: {warning}\n").as_bytes());
    }
    manner.adapt(&mut loaded.policy);
    reap::become_subreaper().map_err(|error| system("become the reaper of our children", &error))?;
    Ok(loaded)
}

/// Makes the directories and takes the lock that makes us the only one, or keeps the one that was left to us; none when
/// somebody else is the only one.
pub(super) fn lock(places: &Places, left: Option<File>) -> Result<Option<Lock>, Failure> {
    for (what, path, may_miss) in [("run", &places.run_dir, false), ("state", &places.state_dir, true)] {
        match files::own_dir(path) {
            // A disk in trouble is what a watchdog is there for; the loop tries again.
            Err(error) if may_miss && is_trouble(error.kind()) => {}
            Err(error) => {
                return Err(Failure::System(format!(
                    "cannot use {} as the {what} directory: {error}; choose another with --{what}-dir",
                    path.display()
                )));
            }
            Ok(()) => {}
        }
    }
    let kept = left.and_then(|dir| locks::keep_dir(dir, &places.run_dir).ok().flatten());
    kept.map_or_else(|| outlast(places), |lock| Ok(Some(lock)))
        .map_err(|error| system("lock the run directory", &error))
}

/// Takes the lock. Whoever holds it while no watchd lives is a child that one had just made when it was killed: it is about to
/// clear its descriptors, or to find its gate shut, and is waited for.
fn outlast(places: &Places) -> std::io::Result<Option<Lock>> {
    let end = clock::now().mono + orphans::PATIENCE;
    loop {
        let lock = locks::lock_dir(&places.run_dir)?;
        if lock.is_some() || has_writer(&places.board()) || clock::now().mono > end {
            return Ok(lock);
        }
        orphans::wait();
    }
}

/// Whether the watchd that wrote the board lives.
fn has_writer(board: &Path) -> bool {
    let Ok(header) = read_header(board) else { return false };
    let seen = i32::try_from(header.pid).ok().and_then(daemon::look);
    seen.is_some_and(|seen| !seen.is_over() && seen.start_ticks == header.start_ticks)
}

fn is_trouble(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ReadOnlyFilesystem | ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Reads the config in a child and waits for it.
fn read_config(places: &Places) -> Result<Loaded, Failure> {
    let start = clock::now().mono;
    let mut reading =
        Reading::start(places, start).map_err(|error| system("start a process to read the config", &error))?;
    let answer = loop {
        let left = reading.deadline().saturating_sub(clock::now().mono);
        if left == Duration::ZERO {
            break reading.give_up();
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let _ = poll(&mut [PollFd::new(reading.source(), PollFlags::POLLIN)], timeout);
        if let Some(answer) = reading.advance() {
            // A daemon that cannot start leaves nothing that still looks like one.
            reading.finish();
            break answer;
        }
    };
    reap::drain(&mut |_, _| {});
    match answer {
        Answer::Loaded(loaded) => Ok(*loaded),
        Answer::Refused(faults) => Err(Failure::Config(faults)),
        Answer::Failed(cause) => Err(Failure::System(cause)),
    }
}

/// Leaves nothing behind in the run directory.
pub(super) fn tidy(places: &Places) {
    let _ = std::fs::remove_file(places.board());
    let _ = std::fs::remove_dir(empty_dir(&places.run_dir));
    let _ = std::fs::remove_dir(&places.run_dir);
}

/// The directory that the door is locked into.
pub fn empty_dir(run_dir: &Path) -> std::path::PathBuf {
    run_dir.join("empty")
}

pub(super) fn system(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::System(format!("cannot {what}: {error}"))
}
