//! The programs that promises and checks run: commands, what reports are handed to, questions. Each has a deadline for its whole process group.
//!
//! Their output is read as it comes and only its beginning kept, so a program that writes without end fills no memory and
//! never waits for us.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::agent::CommandEnd;
use crate::model::{Ending, Launch};
use crate::sys::epoll::{Interest, Poller};
use crate::sys::pidfd::Pidfd;
use crate::sys::spawn::{self, Fault, Output, Plan, Report};

use super::services::Ask;
use super::tokens::Token;

/// How much of the output is kept for people.
const EXCERPT: usize = 160;
/// How much of it is read for what it tells.
pub(super) const HEARD: usize = 4 << 10;
/// Between asking a group to end and ending it.
const GRACE: Duration = Duration::from_secs(2);

/// The programs that run now.
#[derive(Default)]
pub struct Errands {
    running: Vec<Errand>,
    next_id: u64,
}

struct Errand {
    id: u64,
    owner: Owner,
    /// What it has started goes on when it ends.
    leaves: bool,
    process: Pidfd,
    report: Option<Report>,
    output: Option<File>,
    excerpt: heapless::Vec<u8, EXCERPT>,
    /// The beginning of all its output, where somebody wants to read it.
    heard: Option<Vec<u8>>,
    deadline: Duration,
    /// It was told to end because it took too long.
    is_late: bool,
}

/// Who wants to know how a program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The place of a promise.
    Promise(usize),
    Check(Ask),
    /// It tries the program that is to take our place.
    Upgrade,
    /// The place of a service one of whose limits was exceeded.
    Limit(u16),
    /// The number of a report on its way.
    Letter(u64),
    /// The place of a promise that has too few processes: what this starts is to stay.
    Crowd(usize),
    /// Its promise has left the policy.
    Nobody,
}

/// A program that has ended.
pub struct Done {
    pub owner: Owner,
    pub end: CommandEnd,
    /// Why it could not be started, or the beginning of its output.
    pub text: String,
    /// The beginning of its output, when that was asked for.
    pub output: Vec<u8>,
}

/// What to start.
pub struct Order<'a> {
    pub owner: Owner,
    pub launch: &'a Launch,
    pub timeout: Duration,
    /// What it gets on standard input.
    pub input: Option<&'a str>,
    /// Its output is read.
    pub is_heard: bool,
}

impl Order<'_> {
    fn leaves(&self) -> bool {
        matches!(self.owner, Owner::Crowd(_))
    }
}

impl Errands {
    /// Starts a program; one that cannot be started is done already.
    pub fn start(&mut self, order: &Order<'_>, poller: &Poller, mono: Duration) -> Option<Done> {
        match self.try_start(order, poller, mono) {
            Ok(()) => None,
            Err(fault) => {
                let end = if is_denial(&fault) { CommandEnd::Denied } else { CommandEnd::NotStarted };
                Some(Done { owner: order.owner, end, text: fault.to_string(), output: Vec::new() })
            }
        }
    }

    fn try_start(&mut self, order: &Order<'_>, poller: &Poller, mono: Duration) -> Result<(), Fault> {
        let system = |what| move |error| Fault::System { what, error };
        let output = if order.leaves() { Output::Policy } else { Output::Pipe };
        let mut plan = Plan::prepare(order.launch, output)?;
        if let Some(input) = order.input {
            plan.set_input(input.as_bytes()).map_err(system("hand over the text"))?;
        }
        let held = spawn::hold(plan)?;
        let process = Pidfd::open(held.pid()).map_err(system("watch the program"))?;
        let running = held.release().map_err(system("let the program go"))?;
        let id = self.next_id;
        self.next_id += 1;
        let output = running.output.map(|output: OwnedFd| File::from(output));
        if let Some(output) = &output {
            let watched = poller.add(output, Token::Errand(id).pack(), Interest::Read);
            watched.inspect_err(|_| drop(process.send_group(libc::SIGKILL))).map_err(system("watch the output"))?;
        }
        self.running.push(Errand {
            id,
            owner: order.owner,
            leaves: order.leaves(),
            process,
            report: Some(running.report),
            output,
            excerpt: heapless::Vec::new(),
            heard: order.is_heard.then(Vec::new),
            deadline: mono + order.timeout,
            is_late: false,
        });
        Ok(())
    }

    /// Takes output.
    pub fn on_ready(&mut self, id: u64, poller: &Poller) {
        if let Some(errand) = self.running.iter_mut().find(|errand| errand.id == id) {
            errand.drain(poller);
        }
    }

    /// A child has ended and is not reaped yet; gives what is done with it.
    pub fn on_child(&mut self, pid: i32, ending: Ending, poller: &Poller) -> Option<Done> {
        let place = self.running.iter().position(|errand| errand.process.pid() == pid)?;
        let mut errand = self.running.swap_remove(place);
        if !errand.leaves || errand.is_late {
            // What it left running in its group ends with it: its time is over.
            let _ = errand.process.send_group(libc::SIGKILL);
        }
        errand.drain(poller);
        if let Some(output) = &errand.output {
            poller.remove(output);
        }
        let trouble = errand.report.take().and_then(Report::read);
        let end = match (&trouble, errand.is_late, ending) {
            (Some(trouble), ..) if is_denied(trouble.errno) => CommandEnd::Denied,
            (Some(_), ..) => CommandEnd::NotStarted,
            (None, true, _) => CommandEnd::Timeout,
            (None, false, Ending::Exit(status)) => CommandEnd::Exit(status),
            (None, false, Ending::Signal(signal)) => CommandEnd::Signal(signal),
            (None, false, Ending::OutOfMemory) => CommandEnd::Signal(libc::SIGKILL),
        };
        let text = trouble.map_or_else(|| String::from_utf8_lossy(&errand.excerpt).into_owned(), |t| t.to_string());
        Some(Done { owner: errand.owner, end, text, output: errand.heard.take().unwrap_or_default() })
    }

    /// When the next program has had enough time.
    pub fn deadline(&self) -> Option<Duration> {
        self.running.iter().map(|errand| errand.deadline).min()
    }

    /// Ends programs that take too long: asks first, then does not ask.
    pub fn expire(&mut self, mono: Duration) {
        for errand in self.running.iter_mut().filter(|errand| errand.deadline <= mono) {
            let signal = if errand.is_late { libc::SIGKILL } else { libc::SIGTERM };
            let _ = errand.process.send_group(signal);
            errand.is_late = true;
            errand.deadline = mono + GRACE;
        }
    }

    /// Takes up another policy: `place` gives where a promise stands now; programs of promises that are gone are ended.
    pub fn adopt(&mut self, place: impl Fn(usize) -> Option<usize>) {
        for errand in &mut self.running {
            if let Owner::Crowd(_) = errand.owner {
                errand.owner = Owner::Nobody;
            }
            let Owner::Promise(promise) = errand.owner else { continue };
            errand.owner = place(promise).map_or(Owner::Nobody, Owner::Promise);
            if errand.owner == Owner::Nobody {
                let _ = errand.process.send_group(libc::SIGKILL);
            }
        }
    }

    /// Whether a program runs, and for which promise the first one does.
    pub fn busy(&self) -> Option<Owner> {
        let owners = || self.running.iter().map(|errand| errand.owner);
        owners().find(|owner| matches!(owner, Owner::Promise(_))).or_else(|| owners().next())
    }

    /// Ends everything that still runs, at once.
    pub fn end_all(&mut self) {
        for errand in self.running.iter().filter(|errand| !errand.leaves) {
            let _ = errand.process.send_group(libc::SIGKILL);
        }
    }
}

impl Errand {
    fn drain(&mut self, poller: &Poller) {
        let mut chunk = [0; 1024];
        while let Some(output) = &mut self.output {
            match output.read(&mut chunk) {
                Ok(read) if read > 0 => {
                    let room = self.excerpt.capacity() - self.excerpt.len();
                    let kept = chunk.get(..read.min(room)).unwrap_or_default();
                    let _ = self.excerpt.extend_from_slice(kept);
                    if let Some(heard) = &mut self.heard {
                        let room = HEARD.saturating_sub(heard.len());
                        heard.extend_from_slice(chunk.get(..read.min(room)).unwrap_or_default());
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => {
                    poller.remove(&*output);
                    self.output = None;
                }
            }
        }
    }
}

fn is_denied(errno: i32) -> bool {
    matches!(errno, libc::EPERM | libc::EACCES)
}

fn is_denial(fault: &Fault) -> bool {
    matches!(fault, Fault::System { error, .. } if error.raw_os_error().is_some_and(is_denied))
}
