//! `watchd keepalive`, for cron: silent when all is well, and one line when something had to be done.
//!
//! Alive: nothing. Stopped on purpose in this boot: nothing. Dead or never started: started. Hung: killed, then started.
//! The usual case reads one page of the board, the boot id and one stat file, and is over before anything else is set up.
//! Two at once: the second finds the first's lock and leaves; the daemon's own lock stands behind that.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::given::Given;
use super::life::{self, Life};
use crate::engine::run_as;
use crate::log;
use crate::model::Places;
use crate::store::{BoardError, Header, marker, read_header};
use crate::sys::locks::{self, Lock};
use crate::sys::{clock, daemon, files, stderr};

/// How long a daemon may take until its board beats.
const START: Duration = Duration::from_secs(10);
/// How long a killed process may take to be gone; it may be waiting for a disk.
const END: Duration = Duration::from_secs(10);
/// Cron starts another `keepalive` every minute; none waits longer for a heartbeat.
const LONGEST_CYCLE: Duration = Duration::from_secs(30);
/// How often the new board is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What was done.
#[derive(Debug, PartialEq, Eq)]
enum Deed {
    Nothing,
    Started { pid: i32, why: String },
}

pub fn run(places: &Places, given: &Given) -> ExitCode {
    let done = if given.has("install") { super::install::run(places) } else { keep_alive(places).map(said) };
    match done {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(line)) => {
            super::say(&format!("watchd: {line}\n"));
            ExitCode::SUCCESS
        }
        Err(message) => {
            stderr::say(format_args!("watchd: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn said(deed: Deed) -> Option<String> {
    match deed {
        Deed::Nothing => None,
        Deed::Started { pid, why } => Some(format!("{why}; started it (pid {pid})")),
    }
}

fn keep_alive(places: &Places) -> Result<Deed, String> {
    let boot_id = daemon::boot_id().map_err(|error| format!("cannot read the boot id: {error}"))?;
    match life::look(places, &boot_id, clock::now()) {
        Ok((Life::Alive, _)) => return Ok(Deed::Nothing),
        Ok((Life::Dead | Life::Absent, _)) if marker::is_stopped(&places.stopped(), &boot_id) => {
            return Ok(Deed::Nothing);
        }
        Ok(_) | Err(BoardError::Foreign | BoardError::Torn) => {}
        Err(error) => return Err(error.to_string()),
    }
    // What is made, moved and started from here on is by the rights of who runs the daemon.
    run_as::become_owner(places)?;
    for dir in [&places.run_dir, &places.state_dir] {
        files::own_dir(dir).map_err(|error| format!("cannot use {}: {error}", dir.display()))?;
    }
    let Some(_lock) = lock(&places.state_dir)? else { return Ok(Deed::Nothing) };
    act(places, &boot_id)
}

/// Looks again, now that no other `keepalive` acts, and does what is needed.
fn act(places: &Places, boot_id: &[u8; 40]) -> Result<Deed, String> {
    let why = match life::look(places, boot_id, clock::now()) {
        Ok((Life::Alive, _)) => return Ok(Deed::Nothing),
        Ok((Life::Absent, _)) => "it was not running".to_owned(),
        Ok((Life::Dead, header)) => format!("it had died (pid {})", header.map_or(0, |header| header.pid)),
        Ok((Life::Hung { .. }, Some(header))) if beats_again(places, &header)? => return Ok(Deed::Nothing),
        Ok((Life::Hung { age }, Some(header))) => end(&header, age)?,
        Ok((Life::Hung { .. }, None)) => return Ok(Deed::Nothing),
        Err(BoardError::Foreign | BoardError::Torn) => "its board could not be read".to_owned(),
        Err(error) => return Err(error.to_string()),
    };
    let free = lock(&places.run_dir)?.is_some();
    if free {
        return start(places, boot_id).map(|pid| Deed::Started { pid, why });
    }
    if matches!(life::look(places, boot_id, clock::now()), Err(BoardError::Foreign | BoardError::Torn)) {
        // Another version of watchd holds the lock, so it lives; more cannot be told from here.
        return Ok(Deed::Nothing);
    }
    // Somebody is just starting it by hand.
    wait(places, boot_id, None).map(|_| Deed::Nothing)
}

/// The state directory's lock belongs to the `keepalive` that acts, the run directory's to the daemon.
fn lock(dir: &Path) -> Result<Option<Lock>, String> {
    locks::lock_dir(dir).map_err(|error| format!("cannot lock {}: {error}", dir.display()))
}

/// Whether a heartbeat that is old comes again within a cycle: after the host was suspended it is as old as the sleep was
/// long, and nothing is wrong. A stopped process is not waited for.
fn beats_again(places: &Places, old: &Header) -> Result<bool, String> {
    let cannot = |error: std::io::Error| format!("cannot watch the daemon: {error}");
    let own = daemon::open_self().map_err(cannot)?;
    let deadline = clock::now().mono + Duration::from_millis(old.cycle_ms).min(LONGEST_CYCLE) + Duration::from_secs(1);
    while clock::now().mono < deadline {
        let seen = life::writer(old).and_then(|writer| daemon::look(writer.pid));
        if seen.is_none_or(|seen| seen.is_stopped() || seen.is_over()) {
            return Ok(false);
        }
        if read_header(&places.board()).is_ok_and(|new| new.heartbeat_ms > old.heartbeat_ms) {
            return Ok(true);
        }
        daemon::has_ended(&own, LOOK).map_err(cannot)?;
    }
    Ok(false)
}

fn end(header: &Header, age: Duration) -> Result<String, String> {
    let Some(writer) = life::writer(header) else { return Ok("its board could not be read".to_owned()) };
    let age = age.as_secs();
    match daemon::kill(writer, END) {
        Ok(_) => Ok(format!("it hung (pid {}, no heartbeat for {age} s) and was killed", writer.pid)),
        Err(error) => Err(format!("cannot kill the hung daemon (pid {}): {error}", writer.pid)),
    }
}

fn start(places: &Places, boot_id: &[u8; 40]) -> Result<i32, String> {
    let cannot = |error: std::io::Error| format!("cannot start the daemon: {error}");
    let program = std::env::current_exe().map_err(cannot)?;
    let file = open_log(places).ok();
    // Where this `keepalive` looks, the daemon must be.
    let mut words = places.words();
    words.insert(0, "run".into());
    let pid = daemon::start(&program, &words, (log::FILE, &places.log()), file).map_err(cannot)?;
    wait(places, boot_id, Some(pid))
}

/// The log of the new daemon. It bounds the file itself once it runs; what ends before that is bounded here.
fn open_log(places: &Places) -> std::io::Result<File> {
    let path = places.log();
    if std::fs::symlink_metadata(&path).is_ok_and(|found| found.len() > log::FILE_MAX) {
        std::fs::rename(&path, path.with_extension("old"))?;
    }
    let flags = libc::O_NOFOLLOW | libc::O_NOCTTY;
    OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(flags).open(path)
}

/// Waits until the board beats; gives the pid of its writer. `started` is watched for an early end.
fn wait(places: &Places, boot_id: &[u8; 40], started: Option<i32>) -> Result<i32, String> {
    let cannot = |error: std::io::Error| format!("cannot watch the new daemon: {error}");
    let deadline = clock::now().mono + START;
    // Our own process never ends while we wait for it: it stands in where there is nobody else to wait for.
    let own = daemon::open_self().map_err(cannot)?;
    let mut process = started.map(daemon::open).transpose().map_err(cannot)?.flatten();
    let mut may_end = started.is_some();
    loop {
        if let Ok((Life::Alive, Some(header))) = life::look(places, boot_id, clock::now())
            && let Some(writer) = life::writer(&header)
        {
            return Ok(writer.pid);
        }
        if clock::now().mono > deadline {
            return Err(format!("cannot start the daemon: no heartbeat within {} s", START.as_secs()));
        }
        let ended = daemon::has_ended(process.as_ref().unwrap_or(&own), LOOK).map_err(cannot)?;
        if may_end && (ended || process.is_none()) {
            // Beaten by another start, whose board is still on its way? Its lock tells.
            if locks::lock_dir(&places.run_dir).is_ok_and(|lock| lock.is_some()) {
                return Err(format!("cannot start the daemon: it ended at once{}", last_words(places)));
            }
            (process, may_end) = (None, false);
        }
    }
}

/// The last line of the log, as the reason.
fn last_words(places: &Places) -> String {
    let path = places.log();
    let text = std::fs::read(&path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    match text.lines().rfind(|line| !line.trim().is_empty()) {
        Some(line) => format!(": {line} (see {})", path.display()),
        None => String::new(),
    }
}
