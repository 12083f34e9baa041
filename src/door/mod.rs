//! The door: the unprivileged process that faces the network, for Munin masters and HTTP clients.
//!
//! ```text
//!   listeners --> front (slots, deadlines, bounds) --> client (bytes to lines and heads) --> export (snapshot to answer)
//!                                                                                               ^
//!                                                                   board, mapped read-only ----+
//! ```
//!
//! It is forked from the core and executed anew, so that nothing of core's memory is left in it. It gives up descriptors, account, file system, limits
//! and most system calls, and then turns one epoll loop until it is killed or its parent ends. Plugins of others are run by core, which is asked over a private line. All memory is bounded: 256 slots of 1 KiB of input, 64 KiB for longer heads, 256 KiB of answers that wait
//! for slow readers, two pages for the answer in the making, 256 KiB of what plugins said. An idle door has no timer and does not wake.

#![forbid(unsafe_code)]

mod accept;
mod anew;
mod client;
mod front;
mod guests;
pub mod http;
pub mod pages;
mod source;
mod spool;
mod stream;

use std::fs::File;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use crate::export::munin::Guest;
use crate::model::{Network, Settings};
use crate::store::Reader;
use crate::sys::line::Line;
use crate::sys::{clock, drop, fork, landlock, memory, seccomp, stderr};

pub use anew::{NAME, become_door, run_anew};
pub use front::{Answers, Front, SLOTS};
pub use source::Past;

/// What the door is given.
pub struct DoorSpec {
    /// Non-blocking listeners for Munin masters.
    pub munin: Vec<TcpListener>,
    /// The same on a Unix socket, for whom its permissions let in.
    pub munin_unix: Option<UnixListener>,
    /// Expressions for addresses of masters that may ask as well.
    pub munin_patterns: Vec<String>,
    /// Masters that may ask; all others are closed without a word.
    pub munin_allow: Vec<Network>,
    /// The name the node gives itself; it decides where a master keeps its files.
    pub host_name: String,
    /// Plugins of others, and the line to who runs them.
    pub guests: Vec<Guest>,
    pub guest_line: Option<Line>,
    /// Settings of our own plugins.
    pub settings: Settings,
    /// Non-blocking listeners for HTTP.
    pub http: Vec<TcpListener>,
    /// Opened for reading alone.
    pub board: File,
    /// What was.
    pub past: Past,
    /// Uid and gid to become, when we are root.
    pub user: Option<(u32, u32)>,
    /// An empty directory to be shut in, when we are root.
    pub empty_dir: Option<PathBuf>,
    /// The process that forked this one; the door ends with it.
    pub parent: i32,
    /// The other end of the keeper's line: each byte is a question whether the door turns, its end asks the door to leave.
    pub line: Option<UnixStream>,
}

/// Descriptors beside the listeners and slots: standard ones, epoll, board, history, journal, what was learned, both lines, the Unix socket, and one to refuse with.
const RESERVE: usize = 12;

/// What it may have of memory of its own. It needs less than 1 MiB: the rest is what bounds a door that somebody has taken over.
const MEMORY: u64 = 64 << 20;

/// Serves for ever, in a process of its own: everything the parent had open is closed.
pub fn run(spec: DoorSpec) -> ! {
    memory::trim_text();
    let error = match confine(spec) {
        Ok(mut front) => loop {
            if front.is_over() {
                fork::leave(0)
            }
            if let Err(error) = front.turn() {
                break error;
            }
        },
        Err(error) => error,
    };
    stderr::say(format_args!("watchd: cannot keep the door open: {error}"));
    fork::leave(1)
}

/// Shuts this process in for good: it keeps the listeners and the board, and the system calls that serving takes.
pub fn confine(spec: DoorSpec) -> std::io::Result<Front> {
    let front = give_up(spec)?;
    if !seccomp::confine()? {
        stderr::say(format_args!(
            "watchd: the door does without a list of system calls: there is none for this kernel"
        ));
    }
    Ok(front)
}

/// Everything of `confine` but the list of system calls, which would hide whether the other walls hold.
pub fn give_up(spec: DoorSpec) -> std::io::Result<Front> {
    drop::forget_signals()?;
    // The zone of the clock on the wall stands in a file, which it will not be able to open.
    let _ = clock::Civil::local(clock::now().wall);
    if !drop::is_read_only(&spec.board)? {
        return Err(std::io::Error::other("the board was opened for writing"));
    }
    let reader = Reader::of(spec.board).map_err(std::io::Error::other)?;
    for past in spec.past.files() {
        if !drop::is_read_only(past)? {
            return Err(std::io::Error::other("the history, the journal or what was learned was opened for writing"));
        }
    }
    let listeners = spec.munin.iter().chain(&spec.http).map(AsFd::as_fd);
    let past = spec.past.files().map(AsFd::as_fd);
    let lines = spec.line.iter().map(AsFd::as_fd).chain(spec.guest_line.iter().map(AsFd::as_fd));
    let listeners = listeners.chain(spec.munin_unix.iter().map(AsFd::as_fd));
    let kept = listeners.chain(past).chain(lines).chain([reader.source()]);
    drop::close_others(&kept.collect::<Vec<_>>())?;
    let files = SLOTS + guests::RUNS + spec.munin.len() + spec.http.len() + RESERVE;
    let bounds = drop::Bounds {
        name: c"watchd-door",
        user: spec.user,
        root: spec.empty_dir.as_deref(),
        files: u64::try_from(files).unwrap_or(u64::MAX),
        memory: MEMORY,
    };
    drop::privileges(bounds, spec.parent)?;
    let mut answers = Answers::new(reader, spec.host_name, spec.munin_allow);
    answers.show_past(spec.past);
    answers.admit_also(&spec.munin_patterns);
    answers.take_in(guests::Guests::new(spec.guests, spec.guest_line, clock::now().mono), spec.settings);
    let mut front = Front::new(spec.munin, spec.http, answers)?;
    if let Some(listener) = spec.munin_unix {
        front.let_in(listener)?;
    }
    if let Some(line) = spec.line {
        front.obey(line)?;
    }
    // A host with an old kernel wants its graphs too: the other walls stand.
    match landlock::confine() {
        Ok(Some(_)) => {}
        Ok(None) => stderr::say(format_args!("watchd: the door does without Landlock: this kernel has none")),
        Err(error) => stderr::say(format_args!("watchd: the door does without Landlock: {error}")),
    }
    Ok(front)
}
