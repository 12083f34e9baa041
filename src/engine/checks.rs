//! The checks that are being asked: connections, pages, ages of files, each with a deadline, all at once in the loop's epoll.
//!
//! Nothing here waits. A connection is begun and its outcome comes with the descriptor; a file is looked at in a forked child,
//! because its file system may hang; a program runs as an errand and is not kept here. A socket is closed as soon as there is
//! a verdict. A check costs some 250 bytes while it is asked, and nothing after.

pub mod reply;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use crate::agent::CommandEnd;
use crate::model::{Http, Now, Target};
use crate::supervisor::{Strain, Text, Verdict, text};
use crate::sys::connect;
use crate::sys::epoll::{Interest, Poller};
use crate::sys::fork::{Helper, kill_child};

use super::services::Ask;
use super::tokens::Token;
use reply::Reply;

/// Children that may be stuck in a dead file system at once.
const STUCK_MAX: usize = 8;

/// What is being asked.
#[derive(Default)]
pub struct Checks {
    running: Vec<Running>,
    stuck: heapless::Vec<(i32, Ask), STUCK_MAX>,
    next_id: u64,
}

struct Running {
    id: u64,
    ask: Ask,
    deadline: Duration,
    deed: Deed,
}

enum Deed {
    Connect(TcpStream),
    Page { stream: TcpStream, reply: Reply, has_asked: bool },
    Age(Helper),
}

/// What begins: a verdict at once, or something to wait for.
enum Begun {
    Over(Verdict),
    Deed(Deed),
}

impl Checks {
    /// Asks; gives the verdict when there is one already. Programs are not asked here.
    pub fn start(
        &mut self,
        ask: Ask,
        (target, timeout): (&Target, Duration),
        poller: &Poller,
        mono: Duration,
    ) -> Option<Verdict> {
        let begun = match target {
            Target::Tcp(address) => begin(connect::tcp(*address), Deed::Connect),
            Target::Http(http) => begin(connect::tcp(http.address), |stream| Deed::Page {
                stream,
                reply: Reply::default(),
                has_asked: false,
            }),
            Target::Unix(path) => Begun::Over(connected(connect::unix(Path::new(path)).map(drop))),
            Target::Fresh { path, .. } => self.begin_age(ask, path),
            Target::Exec(_) => Begun::Over(unknown("cannot ask a program here")),
            Target::Notify => Begun::Over(unknown("it says so by itself")),
        };
        let deed = match begun {
            Begun::Over(verdict) => return Some(verdict),
            Begun::Deed(deed) => deed,
        };
        let (id, token) = (self.next_id, Token::Check(self.next_id).pack());
        self.next_id += 1;
        let added = match &deed {
            Deed::Connect(stream) | Deed::Page { stream, .. } => poller.add(stream, token, Interest::Write),
            Deed::Age(helper) => poller.add(&helper.output, token, Interest::Read),
        };
        if let Err(error) = added {
            return Some(Verdict::Unknown(text(format_args!("cannot wait for the answer: {error}"))));
        }
        self.running.push(Running { id, ask, deadline: mono.saturating_add(timeout), deed });
        None
    }

    fn begin_age(&self, ask: Ask, path: &str) -> Begun {
        let is_same = |(_, stuck): &&(i32, Ask)| stuck.place == ask.place && stuck.asked.which == ask.asked.which;
        if self.stuck.is_full() || self.stuck.iter().any(|stuck| is_same(&stuck)) {
            return Begun::Over(unknown("its file system still does not answer"));
        }
        let helper = Helper::start(&[], |output| {
            let _ = output.write_all(&written(path).to_ne_bytes());
        });
        match helper {
            Ok(helper) => Begun::Deed(Deed::Age(helper)),
            Err(error) => Begun::Over(Verdict::Unknown(text(format_args!("cannot start a process to look: {error}")))),
        }
    }

    /// What a running check asks for.
    pub fn ask(&self, id: u64) -> Option<Ask> {
        self.running.iter().find(|running| running.id == id).map(|running| running.ask)
    }

    /// A descriptor is ready; gives the verdict when that is the end of it. Without a target nobody wants to know any more.
    pub fn on_ready(&mut self, id: u64, target: Option<&Target>, poller: &Poller, now: Now) -> Option<(Ask, Verdict)> {
        let place = self.running.iter().position(|running| running.id == id)?;
        let running = self.running.get_mut(place)?;
        let verdict = match (&mut running.deed, target) {
            (Deed::Connect(stream), Some(_)) => Some(connected(connect::outcome(stream))),
            (Deed::Page { stream, reply, has_asked }, Some(Target::Http(http))) => {
                let token = Token::Check(id).pack();
                if *has_asked { read(stream, reply, http) } else { send(stream, has_asked, http, (poller, token)) }
            }
            (Deed::Age(helper), Some(Target::Fresh { within, .. })) => Some(judge_age(helper, *within, now)),
            _ => Some(unknown("the policy has changed")),
        };
        let verdict = verdict?;
        let running = self.running.swap_remove(place);
        running.forget(poller);
        Some((running.ask, verdict))
    }

    /// When the next answer is overdue.
    pub fn deadline(&self) -> Option<Duration> {
        self.running.iter().map(|running| running.deadline).min()
    }

    /// Gives up the next check whose time is over.
    pub fn expire(&mut self, mono: Duration, poller: &Poller) -> Option<Ask> {
        let place = self.running.iter().position(|running| running.deadline <= mono)?;
        let running = self.running.swap_remove(place);
        if let Deed::Age(helper) = &running.deed {
            kill_child(helper.pid);
            let _ = self.stuck.push((helper.pid, running.ask));
        }
        running.forget(poller);
        Some(running.ask)
    }

    /// A child has ended: what hung hangs no more.
    pub fn on_child(&mut self, pid: i32) {
        self.stuck.retain(|(stuck, _)| *stuck != pid);
    }
}

impl Running {
    fn forget(&self, poller: &Poller) {
        match &self.deed {
            Deed::Connect(stream) | Deed::Page { stream, .. } => poller.remove(stream.as_fd()),
            Deed::Age(helper) => poller.remove(&helper.output),
        }
    }
}

fn begin(stream: io::Result<TcpStream>, deed: impl FnOnce(TcpStream) -> Deed) -> Begun {
    match stream {
        Ok(stream) => Begun::Deed(deed(stream)),
        Err(error) => Begun::Over(connected(Err(error))),
    }
}

/// The other side's refusal is a failure; what we lack to ask with says nothing about it.
fn connected(outcome: io::Result<()>) -> Verdict {
    let Err(error) = outcome else { return Verdict::Passed };
    let is_ours = matches!(
        error.raw_os_error(),
        Some(
            libc::EMFILE
                | libc::ENFILE
                | libc::ENOMEM
                | libc::ENOBUFS
                | libc::EADDRNOTAVAIL
                | libc::EACCES
                | libc::EPERM
                | libc::EAFNOSUPPORT
        )
    );
    let why = match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => text(format_args!("connection refused")),
        Some(libc::ENOENT) => text(format_args!("there is no such socket")),
        Some(libc::EAGAIN) => text(format_args!("its queue is full")),
        _ => text(format_args!("{error}")),
    };
    if is_ours { Verdict::Unknown(why) } else { Verdict::Failed(why) }
}

fn unknown(why: &str) -> Verdict {
    let why: Text = text(format_args!("{why}"));
    Verdict::Unknown(why)
}

/// The connection stands, or does not: asks for the page.
fn send(stream: &mut TcpStream, has_asked: &mut bool, http: &Http, (poller, token): (&Poller, u64)) -> Option<Verdict> {
    if let Err(error) = connect::outcome(stream) {
        return Some(connected(Err(error)));
    }
    let mut room = heapless::String::new();
    if reply::question(http, &mut room).is_err() {
        return Some(unknown("the question is too long"));
    }
    // It fits into the empty buffer of a new connection whole.
    match stream.write(room.as_bytes()) {
        Ok(sent) if sent == room.len() => {}
        Ok(_) => return Some(unknown("cannot send the question whole")),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
        Err(error) => return Some(connected(Err(error))),
    }
    *has_asked = true;
    match poller.modify(stream.as_fd(), token, Interest::Read) {
        Ok(()) => None,
        Err(error) => Some(Verdict::Unknown(text(format_args!("cannot wait for the answer: {error}")))),
    }
}

/// Reads what has come, but no more than a turn has time for.
fn read(stream: &mut TcpStream, reply: &mut Reply, http: &Http) -> Option<Verdict> {
    let mut chunk = [0; 2048];
    for _ in 0..16 {
        match stream.read(&mut chunk) {
            Ok(0) => return Some(reply.end(http)),
            Ok(read) => {
                if let Some(verdict) = reply.take(chunk.get(..read).unwrap_or_default(), http) {
                    return Some(verdict);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Some(connected(Err(error))),
        }
    }
    None
}

/// In the child: when a file was written, in milliseconds since 1970; below zero is the system's error.
fn written(path: &str) -> i64 {
    let modified = std::fs::metadata(path).and_then(|facts| facts.modified());
    match modified {
        Ok(time) => {
            time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
        }
        Err(error) => -i64::from(error.raw_os_error().unwrap_or(libc::EIO)),
    }
}

fn judge_age(helper: &mut Helper, within: Duration, now: Now) -> Verdict {
    let mut bytes = [0; 8];
    // So few bytes come in one piece or not at all.
    match helper.output.read(&mut bytes) {
        Ok(8) => age(i64::from_ne_bytes(bytes), within, now.wall),
        _ => unknown("the process that looked gave no answer"),
    }
}

/// A time that lies ahead says that a clock was set, not how old the file is.
fn age(written: i64, within: Duration, wall: Duration) -> Verdict {
    let Ok(millis) = u64::try_from(written) else {
        let errno = i32::try_from(written.unsigned_abs()).unwrap_or(libc::EIO);
        let error = io::Error::from_raw_os_error(errno);
        return match errno {
            libc::ENOENT | libc::ENOTDIR => Verdict::Failed(text(format_args!("it is not there"))),
            _ => Verdict::Unknown(text(format_args!("{error}"))),
        };
    };
    let written = Duration::from_millis(millis);
    let old = wall.saturating_sub(written);
    if written > wall.saturating_add(within) {
        return unknown("it was written in the future");
    }
    if old <= within {
        Verdict::Passed
    } else {
        Verdict::Failed(text(format_args!("{} old", crate::supervisor::Span(old))))
    }
}

/// What the end of a program says.
pub fn judge_program(end: CommandEnd, output: &str, strain: Strain) -> Verdict {
    let line = output.trim().lines().next().unwrap_or_default();
    let colon = if line.is_empty() { "" } else { ": " };
    match end {
        CommandEnd::Exit(0) => Verdict::Passed,
        CommandEnd::Exit(status) => Verdict::Failed(text(format_args!("exit status {status}{colon}{line:.60}"))),
        CommandEnd::Signal(signal) => Verdict::Failed(text(format_args!("killed by signal {signal}"))),
        CommandEnd::Timeout => Verdict::Late(strain),
        CommandEnd::Denied | CommandEnd::NotStarted => {
            Verdict::Unknown(text(format_args!("could not be started{colon}{line:.60}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_as_old_as_its_time_says_unless_that_lies_ahead() {
        let (wall, within) = (Duration::from_secs(1000), Duration::from_secs(60));
        let rows = [
            (1_000_000, Verdict::Passed),
            (940_000, Verdict::Passed),
            (939_999, Verdict::Failed(text(format_args!("1 m old")))),
            (0, Verdict::Failed(text(format_args!("16 m old")))),
            (1_060_000, Verdict::Passed),
            (1_060_001, unknown("it was written in the future")),
            (i64::MAX, unknown("it was written in the future")),
            (-i64::from(libc::ENOENT), Verdict::Failed(text(format_args!("it is not there")))),
            (-i64::from(libc::EACCES), unknown("Permission denied (os error 13)")),
        ];
        for (written, verdict) in rows {
            assert_eq!(age(written, within, wall), verdict, "{written}");
        }
    }

    #[test]
    fn what_we_lack_says_nothing_about_the_service() {
        for (errno, is_failure) in [
            (libc::ECONNREFUSED, true),
            (libc::ENOENT, true),
            (libc::EAGAIN, true),
            (libc::ECONNRESET, true),
            (libc::EMFILE, false),
            (libc::EADDRNOTAVAIL, false),
            (libc::EACCES, false),
        ] {
            let verdict = connected(Err(io::Error::from_raw_os_error(errno)));
            assert_eq!(matches!(verdict, Verdict::Failed(_)), is_failure, "{verdict:?}");
        }
    }

    #[test]
    fn a_program_passes_with_status_0_alone() {
        let failed = |why: &str| Verdict::Failed(text(format_args!("{why}")));
        let rows = [
            (CommandEnd::Exit(0), "noise", Verdict::Passed),
            (CommandEnd::Exit(1), "", failed("exit status 1")),
            (CommandEnd::Exit(2), "no\nmore\n", failed("exit status 2: no")),
            (CommandEnd::Signal(9), "", failed("killed by signal 9")),
            (CommandEnd::Timeout, "", Verdict::Late(Strain::Heavy)),
            (CommandEnd::NotStarted, "EAGAIN", unknown("could not be started: EAGAIN")),
            (CommandEnd::Denied, "", unknown("could not be started")),
        ];
        for (end, output, verdict) in rows {
            assert_eq!(judge_program(end, output, Strain::Heavy), verdict, "{end:?}");
        }
    }
}
