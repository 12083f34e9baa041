//! One connection: bytes in, whole lines or heads to answers, bytes out.
//!
//! While an answer waits for a slow reader nothing more is read, so a client can make us hold one answer and one buffer of input, no
//! more. A line or head that was begun before the other side stopped sending is still answered.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::guests::Order;
use super::http;
use super::source::{Answers, PAGE_KEPT};
use super::spool::{Spool, Step};
use super::stream::Stream;
use crate::export::Page;
use crate::export::munin::{self, Next, Session};
use crate::model::Now;
use crate::sys::epoll::Interest;

/// Input every client may have waiting; what HTTP heads need beyond it comes out of a common store.
pub const INPUT: usize = 1 << 10;

/// Answers to a pile of requests are sent when they have come to this.
const BATCH: usize = 16 << 10;

/// How long an HTTP head may take, how long a connection may last, and how long we read on after a refusal.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
const HTTP_WITHIN: Duration = Duration::from_secs(20);
const LINGER: Duration = Duration::from_secs(2);

/// How long a master may be silent (it may be busy with other nodes), and how long a session may last.
const SILENT: Duration = Duration::from_secs(60);
const SESSION_WITHIN: Duration = Duration::from_secs(900);

/// What the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    Munin(Session),
    Http,
}

/// What is done with bytes that come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hearing {
    /// They are requests.
    Listening,
    /// They belong to a line that is too long; its end is awaited.
    Skipping,
    /// The last answer is sent; they are read away so that it is not lost with them.
    Deaf,
}

/// What a line of a master has to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// Until it is known which plugins of others there are.
    Survey,
    /// A plugin of somebody else.
    Guest(Order),
}

/// A connection and what is known about it.
pub struct Client {
    stream: Stream,
    peer: IpAddr,
    group: u128,
    waits: Option<Wait>,
    /// An answer that is told plugin by plugin.
    spool: Option<Spool>,
    talk: Talk,
    hearing: Hearing,
    input: Vec<u8>,
    /// So much of the input was searched for the end of a head.
    searched: usize,
    pending: Vec<u8>,
    sent: usize,
    is_last: bool,
    has_ended: bool,
    born: Duration,
    /// The last byte received or sent, or the last whole request for HTTP.
    active: Duration,
}

/// What follows after a client was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Stays,
    Leaves,
}

/// What is lent to a client while it is served.
pub struct Desk<'a> {
    pub answers: &'a mut Answers,
    /// Empty before and after.
    pub page: &'a mut Page,
    pub now: Now,
    /// Bytes left in the common store for long heads.
    pub spare: usize,
    /// Pieces of spools that may still be made in this turn.
    pub spools: &'a mut u32,
}

/// Rounds of reading before others have their turn.
const ROUNDS: usize = 8;

impl Client {
    pub fn new(stream: Stream, peer: IpAddr, talk: Talk, now: Now) -> Self {
        Self {
            stream,
            peer,
            group: group(peer),
            waits: None,
            spool: None,
            talk,
            hearing: Hearing::Listening,
            input: Vec::new(),
            searched: 0,
            pending: Vec::new(),
            sent: 0,
            is_last: false,
            has_ended: false,
            born: now.mono,
            active: now.mono,
        }
    }

    pub fn group(&self) -> u128 {
        self.group
    }

    pub fn born(&self) -> Duration {
        self.born
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Bytes that wait for the other side to read.
    pub fn waiting(&self) -> usize {
        self.pending.len() - self.sent
    }

    /// Input beyond what everybody has.
    pub fn extra(&self) -> usize {
        self.input.len().saturating_sub(INPUT)
    }

    pub fn interest(&self) -> Interest {
        match self.waits {
            _ if self.waiting() > 0 => Interest::Write,
            Some(_) => Interest::Nothing,
            // It goes on in the next turn, after everybody else's.
            None if self.spool.is_some() => Interest::Write,
            None => Interest::Read,
        }
    }

    /// Whether it waits for something else than itself.
    pub fn is_waiting(&self) -> bool {
        self.waits.is_some()
    }

    /// When its time is over.
    pub fn deadline(&self) -> Duration {
        match self.talk {
            _ if self.hearing == Hearing::Deaf => self.active + LINGER,
            Talk::Http if self.waiting() > 0 => self.born + HTTP_WITHIN,
            Talk::Http => (self.active + HEAD_WITHIN).min(self.born + HTTP_WITHIN),
            // It is not the master who is silent.
            Talk::Munin(_) if self.waits.is_some() => self.born + SESSION_WITHIN,
            Talk::Munin(_) => (self.active + SILENT).min(self.born + SESSION_WITHIN),
        }
    }

    /// The node speaks first.
    pub fn greet(&mut self, desk: &mut Desk<'_>) -> io::Result<Fate> {
        if matches!(self.talk, Talk::Munin(_)) {
            if desk.answers.greet(desk.page) == Next::Close {
                return Ok(Fate::Leaves);
            }
            self.send(desk.page)?;
        }
        Ok(Fate::Stays)
    }

    /// Does what can be done without waiting.
    pub fn serve(&mut self, desk: &mut Desk<'_>) -> io::Result<Fate> {
        for _ in 0..ROUNDS {
            self.flush(desk.now)?;
            if self.waiting() > 0 {
                return Ok(Fate::Stays);
            }
            if self.is_last && self.hearing != Hearing::Deaf {
                return self.leave(desk.now);
            }
            // What came while an answer waited stands in the input still.
            self.answer(desk)?;
            if (self.is_last && self.hearing != Hearing::Deaf) || self.waiting() > 0 {
                continue;
            }
            if self.waits.is_some() {
                return Ok(Fate::Stays);
            }
            if self.spool.is_some() {
                return Ok(Fate::Stays);
            }
            if self.is_over() {
                return Ok(Fate::Leaves);
            }
            match self.receive(desk) {
                Ok(0) => self.has_ended = true,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Fate::Stays),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            self.answer(desk)?;
        }
        Ok(Fate::Stays)
    }

    /// Nothing more will come and nothing is left to do.
    fn is_over(&self) -> bool {
        self.has_ended && self.input.is_empty() && self.waits.is_none() && self.spool.is_none()
    }

    /// Ends a conversation after the last answer. What the other side may still be sending is read away for a while: closing
    /// over unread bytes would reset the connection and take the answer with it.
    fn leave(&mut self, now: Now) -> io::Result<Fate> {
        if self.has_ended || matches!(self.talk, Talk::Munin(_)) {
            return Ok(Fate::Leaves);
        }
        self.stream.shutdown(Shutdown::Write)?;
        self.hearing = Hearing::Deaf;
        self.input = Vec::new();
        self.active = now.mono;
        Ok(Fate::Stays)
    }

    /// Reads once, at most as much as there is room for.
    fn receive(&mut self, desk: &Desk<'_>) -> io::Result<usize> {
        let mut bytes = [0; INPUT];
        let most = match self.talk {
            _ if self.hearing == Hearing::Deaf => INPUT,
            Talk::Munin(_) => INPUT - self.input.len().min(INPUT),
            Talk::Http => {
                let common = desk.spare.min(http::HEAD_MAX - INPUT);
                (INPUT + common).saturating_sub(self.input.len()).min(INPUT)
            }
        };
        if most == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let read = self.stream.read(bytes.get_mut(..most).unwrap_or_default())?;
        if self.hearing == Hearing::Deaf {
            return Ok(read);
        }
        if matches!(self.talk, Talk::Munin(_)) {
            self.active = desk.now.mono;
        }
        self.input.extend_from_slice(bytes.get(..read).unwrap_or_default());
        Ok(read)
    }

    /// Answers everything that is whole, and stops when an answer has to wait.
    fn answer(&mut self, desk: &mut Desk<'_>) -> io::Result<()> {
        let mut done = 0;
        self.go_on(desk);
        self.tell_spool(desk);
        while !self.is_last
            && self.waits.is_none()
            && self.spool.is_none()
            && self.waiting() == 0
            && self.hearing != Hearing::Deaf
        {
            let taken = match self.talk {
                Talk::Munin(mut session) => {
                    let taken = self.line(done, &mut session, desk);
                    self.talk = Talk::Munin(session);
                    taken
                }
                Talk::Http => self.head(done, desk),
            };
            let Some(taken) = taken else { break };
            done += taken;
            if desk.page.len() >= BATCH {
                self.send(desk.page)?;
            }
        }
        self.input.drain(..done.min(self.input.len()));
        if self.input.is_empty() {
            self.searched = 0;
        }
        self.send(desk.page)
    }

    /// Looks whether what it waits for has come.
    fn go_on(&mut self, desk: &mut Desk<'_>) {
        let is_over = match self.waits {
            None => return,
            Some(Wait::Survey) => desk.answers.guests.is_surveyed(desk.now.mono),
            Some(Wait::Guest(order)) if self.spool.is_some() => desk.answers.guests.is_answered(order, desk.now.mono),
            Some(Wait::Guest(order)) => desk.answers.guests.serve(order, desk.now.mono, desk.page),
        };
        if is_over {
            self.waits = None;
            self.active = desk.now.mono;
        }
    }

    /// Goes on with an answer that is told plugin by plugin.
    fn tell_spool(&mut self, desk: &mut Desk<'_>) {
        let Some(spool) = self.spool.as_mut().filter(|_| self.waits.is_none() && *desk.spools > 0) else { return };
        *desk.spools -= 1;
        while self.waits.is_none() && desk.page.len() < BATCH {
            match spool.step(desk.answers, desk.now, desk.page) {
                Step::More => {}
                Step::Wait(order) => self.waits = Some(Wait::Guest(order)),
                Step::Over => {
                    self.spool = None;
                    break;
                }
            }
        }
        self.active = desk.now.mono;
    }

    /// Answers one line of a master and says how long it was; none when there is no whole line.
    fn line(&mut self, start: usize, session: &mut Session, desk: &mut Desk<'_>) -> Option<usize> {
        let rest = self.input.get(start..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n');
        let (line, taken) = match end {
            Some(end) => (rest.get(..end).unwrap_or_default(), end + 1),
            None if self.has_ended && !rest.is_empty() => (rest, rest.len()),
            // The end of what was too long is an end of a line as well.
            None if self.has_ended && self.hearing == Hearing::Skipping => (rest, 0),
            None if rest.len() >= INPUT => {
                self.hearing = Hearing::Skipping;
                return Some(rest.len());
            }
            None if self.hearing == Hearing::Skipping && !rest.is_empty() => return Some(rest.len()),
            None => return None,
        };
        if self.hearing == Hearing::Skipping {
            self.hearing = Hearing::Listening;
            munin::Session::refuse(desk.page);
            return Some(taken);
        }
        if munin::Session::is_about_names(line) && !desk.answers.guests.is_surveyed(desk.now.mono) {
            self.waits = Some(Wait::Survey);
            return None;
        }
        match desk.answers.line(session, line, desk.now, desk.page) {
            Next::More => {}
            Next::Close => self.is_last = true,
            Next::Spool(since) => self.spool = Some(Spool::begin(since, self.peer, desk.answers, desk.now)),
            Next::Guest(guest, ask) => {
                let order = Order { guest, ask, peer: Some(self.peer) };
                if !desk.answers.guests.serve(order, desk.now.mono, desk.page) {
                    self.waits = Some(Wait::Guest(order));
                }
            }
        }
        Some(taken)
    }

    /// Answers one request and says how long its head was; none when there is no whole head.
    fn head(&mut self, start: usize, desk: &mut Desk<'_>) -> Option<usize> {
        let rest = self.input.get(start..).unwrap_or_default();
        let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if blank > 0 {
            // Empty lines before a request are allowed and mean nothing.
            self.searched = 0;
            return Some(blank);
        }
        let Some(end) = http::head_end(rest, self.searched) else {
            self.searched = rest.len();
            return self.unfinished(rest.len(), desk);
        };
        self.searched = 0;
        self.active = desk.now.mono;
        match http::parse(rest.get(..end).unwrap_or_default()) {
            Ok(request) => {
                self.is_last = request.shape.is_last;
                desk.answers.request(&request, desk.now, desk.page);
            }
            Err(fault) => self.refuse(fault, start, desk),
        }
        Some(end)
    }

    /// A head whose end has not come: refused when there is no room for more of it, or when it will not come.
    fn unfinished(&mut self, len: usize, desk: &mut Desk<'_>) -> Option<usize> {
        let room = (INPUT + desk.spare).min(http::HEAD_MAX);
        let start = self.input.len() - len;
        if len >= room {
            let has_target = self.input.contains(&b'\n');
            self.refuse(if has_target { http::Fault::HeadTooLong } else { http::Fault::TargetTooLong }, start, desk);
        } else if self.has_ended && len > 0 {
            self.refuse(http::Fault::Malformed, start, desk);
        } else {
            return None;
        }
        Some(len)
    }

    /// Refuses the request that begins there, and all after it.
    fn refuse(&mut self, fault: http::Fault, start: usize, desk: &mut Desk<'_>) {
        self.is_last = true;
        desk.answers.refuse(fault, self.input.get(start..).unwrap_or_default(), desk.page);
    }

    /// Sends what stands on the page in one write; what the kernel does not take is kept.
    fn send(&mut self, page: &mut Page) -> io::Result<()> {
        if self.waiting() > 0 || page.is_empty() {
            self.pending.extend_from_slice(page.bytes());
            page.clear();
            return Ok(());
        }
        let written = match self.stream.write(page.bytes()) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => {
                page.clear();
                return Err(error);
            }
        };
        if page.len() - written > PAGE_KEPT {
            // A long rest is not copied: the page becomes what waits.
            (self.pending, self.sent) = (page.take(), written);
        } else {
            self.pending.extend_from_slice(page.bytes().get(written..).unwrap_or_default());
            page.clear();
        }
        Ok(())
    }

    /// Sends what waits.
    fn flush(&mut self, now: Now) -> io::Result<()> {
        if self.waiting() == 0 {
            return Ok(());
        }
        match self.stream.write(self.pending.get(self.sent..).unwrap_or_default()) {
            Ok(written) => self.sent += written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        if matches!(self.talk, Talk::Munin(_)) {
            self.active = now.mono;
        }
        if self.waiting() == 0 {
            self.pending = Vec::new();
            self.sent = 0;
        }
        Ok(())
    }
}

/// Whom to count an address as: an IPv6 host has a whole /64 to itself.
fn group(peer: IpAddr) -> u128 {
    match peer.to_canonical() {
        IpAddr::V4(addr) => u128::from(addr.to_bits()),
        IpAddr::V6(addr) if addr.is_loopback() => u128::MAX,
        IpAddr::V6(addr) => addr.to_bits() & !u128::from(u64::MAX),
    }
}
