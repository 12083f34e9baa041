//! The front that holds against anybody: slots, deadlines, and who has to leave when there is no room.
//!
//! When all slots are taken, the oldest connection of the address that holds most of them makes room: a crowd from one place
//! turns itself out. A wait ends with the nearest deadline, and without a client there is none.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::client::{Client, Desk, Fate, Talk};
pub use super::source::Answers;
use super::stream::{Entry, Stream};
use crate::export::Page;
use crate::export::munin::Session;
use crate::model::Now;
use crate::sys::epoll::{Events, Interest, Poller, Ready};
use crate::sys::{clock, memory};

/// Connections at a time, of both protocols together.
pub const SLOTS: usize = 256;

/// Connections taken in one turn.
const BURST: usize = 64;

/// Input beyond the first KiB of each client, and answers that wait for slow readers, all clients together.
const EXTRA: usize = 64 << 10;
const WAITING: usize = 256 << 10;

/// Pieces of spools made in one turn, all clients together: each may take milliseconds, and everybody else waits meanwhile.
const SPOOLS: u32 = 1;

/// A listener that the system gives no descriptor for rests so long.
const PAUSE: Duration = Duration::from_secs(1);

/// After so long without a client, memory is given back.
const QUIET: Duration = Duration::from_secs(1);

/// How long a door that was asked to leave goes on with the clients it has.
const FAREWELL: Duration = Duration::from_secs(5);

/// The token of the keeper's line.
const LINE: u64 = u64::MAX;
/// Tokens of listeners begin here, of what plugins write before; below are slots with their generation.
const LISTENERS: u64 = 1 << 63;
const GUESTS: u64 = 1 << 62;
/// The line to who runs them.
const GUEST_LINE: u64 = LISTENERS - 1;

/// What is spoken at a listener.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Service {
    Munin,
    Http,
}

struct Entrance {
    listener: Entry,
    service: Service,
    /// Closed until then: there was no descriptor for another client.
    paused_until: Option<Duration>,
}

#[derive(Default)]
struct Slot {
    /// Tells the clients of one slot apart, so that an event of the last one is not taken for the next one's.
    generation: u32,
    client: Option<Box<Client>>,
}

/// All connections.
pub struct Front {
    poller: Poller,
    events: Events,
    entrances: Vec<Entrance>,
    slots: Vec<Slot>,
    answers: Answers,
    page: Page,
    /// Pieces of spools that may still be made in this turn.
    spools: u32,
    quiet_since: Option<Duration>,
    line: Option<UnixStream>,
    /// Nobody is let in any more, and who is there may stay until then.
    leaves_at: Option<Duration>,
}

impl Front {
    pub fn new(munin: Vec<TcpListener>, http: Vec<TcpListener>, answers: Answers) -> io::Result<Self> {
        let poller = Poller::new()?;
        let entrance =
            |service| move |listener| Entrance { listener: Entry::Tcp(listener), service, paused_until: None };
        let entrances: Vec<_> = munin
            .into_iter()
            .map(entrance(Service::Munin))
            .chain(http.into_iter().map(entrance(Service::Http)))
            .collect();
        for (place, entrance) in (LISTENERS..).zip(&entrances) {
            entrance.listener.bound_buffers()?;
            poller.add(&entrance.listener, place, Interest::Read)?;
        }
        if let Some(line) = answers.guests.line() {
            poller.add(line, GUEST_LINE, Interest::Read)?;
        }
        Ok(Self {
            poller,
            events: Events::default(),
            entrances,
            slots: (0..SLOTS).map(|_| Slot::default()).collect(),
            answers,
            page: Page::new(Page::LIMIT),
            spools: SPOOLS,
            quiet_since: Some(clock::now().mono),
            line: None,
            leaves_at: None,
        })
    }

    /// Answers to its keeper from now on.
    pub fn obey(&mut self, line: UnixStream) -> io::Result<()> {
        self.poller.add(&line, LINE, Interest::Read)?;
        self.line = Some(line);
        Ok(())
    }

    /// It was asked to leave, and has nothing left to do.
    pub fn is_over(&self) -> bool {
        self.leaves_at.is_some_and(|at| self.clients() == 0 || at <= clock::now().mono)
    }

    /// Lets masters in through a Unix socket as well.
    pub fn let_in(&mut self, listener: UnixListener) -> io::Result<()> {
        let token = LISTENERS + u64::try_from(self.entrances.len()).unwrap_or(0);
        self.poller.add(&listener, token, Interest::Read)?;
        let entrance = Entrance { listener: Entry::Unix(listener), service: Service::Munin, paused_until: None };
        self.entrances.push(entrance);
        Ok(())
    }

    /// Waits and serves whoever is ready; ends with an error only when waiting is impossible.
    pub fn turn(&mut self) -> io::Result<()> {
        let timeout = self.timeout(clock::now());
        self.poller.wait(&mut self.events, timeout)?;
        self.spools = SPOOLS;
        let now = clock::now();
        let events = std::mem::take(&mut self.events);
        for ready in events.iter() {
            memory::trim_grown();
            match usize::try_from(ready.token.wrapping_sub(LISTENERS)) {
                _ if ready.token == LINE => self.hear_keeper(now),
                Ok(place) if ready.token >= LISTENERS => self.accept(place, now),
                _ if ready.token >= GUESTS => self.on_guests(ready.token, now)?,
                _ => self.ready(ready, now),
            }
        }
        self.events = events;
        self.expire(now);
        self.go_on(now);
        self.rest(now);
        Ok(())
    }

    /// What core says about plugins, or what one of them writes.
    fn on_guests(&mut self, token: u64, now: Now) -> io::Result<()> {
        let times = (now.mono, self.answers.cycle());
        if token == GUEST_LINE {
            return self.answers.guests.on_line(&self.poller, |ticket| GUESTS | u64::from(ticket), times);
        }
        if let Ok(ticket) = u32::try_from(token & !GUESTS) {
            self.answers.guests.read(ticket, times);
        }
        Ok(())
    }

    /// Answers clients whose plugins have answered.
    fn go_on(&mut self, now: Now) {
        let was_idle = self.answers.guests.is_idle();
        self.answers.guests.expire((now.mono, self.answers.cycle()));
        for place in 0..self.slots.len() {
            let Some(slot) = self.slots.get(place) else { continue };
            if slot.client.as_ref().is_some_and(|client| client.is_waiting()) {
                let token = token(place, slot.generation);
                self.ready(Ready { token, read: false, write: false, hangup: false }, now);
            }
        }
        self.answers.guests.survey();
        if !was_idle && self.answers.guests.is_idle() && self.quiet_since.is_none() {
            memory::trim_heap();
        }
    }

    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.slots.iter().filter(|slot| slot.client.is_some()).count()
    }

    /// Until the nearest deadline; without one for ever.
    fn timeout(&self, now: Now) -> Option<Duration> {
        let clients = self.slots.iter().filter_map(|slot| Some(slot.client.as_ref()?.deadline()));
        let pauses = self.entrances.iter().filter_map(|entrance| entrance.paused_until);
        let quiet = self.quiet_since.map(|since| since + QUIET);
        let guests = self.answers.guests.deadline(now.mono);
        let others = pauses.chain(quiet).chain(guests).chain(self.leaves_at);
        clients.chain(others).min().map(|deadline| deadline.saturating_sub(now.mono))
    }

    /// Each byte is answered with one; the end of the line closes the entrances, which somebody else keeps open by then.
    fn hear_keeper(&mut self, now: Now) {
        let Some(line) = &mut self.line else { return };
        let mut byte = [0];
        match line.read(&mut byte) {
            Ok(1) => {
                // It is never so full that this would not fit: the keeper asks once and waits.
                let _ = line.write(&byte);
                if self.quiet_since.is_none() && self.clients() == 0 {
                    memory::trim_text();
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Ok(_) | Err(_) => {
                self.poller.remove(&*line);
                self.line = None;
                for entrance in self.entrances.drain(..) {
                    // The socket is another process's as well, so closing ours does not end the waiting.
                    self.poller.remove(&entrance.listener);
                }
                self.leaves_at = Some(now.mono + FAREWELL);
            }
        }
    }

    fn accept(&mut self, place: usize, now: Now) {
        for _ in 0..BURST {
            let Some(entrance) = self.entrances.get(place) else { return };
            let service = entrance.service;
            match entrance.listener.accept() {
                Ok((stream, peer)) => self.admit(stream, peer, service, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_shortage(&error) => {
                    if !self.evict() {
                        self.pause(place, now);
                        return;
                    }
                }
                // The client was gone before it was taken; the next one may be there.
                Err(_) => {}
            }
        }
    }

    fn admit(&mut self, stream: Stream, peer: IpAddr, service: Service, now: Now) {
        if (service == Service::Munin && !self.answers.admits(peer)) || stream.set_nonblocking().is_err() {
            return;
        }
        if !self.slots.iter().any(|slot| slot.client.is_none()) {
            self.evict();
        }
        let Some(place) = self.slots.iter().position(|slot| slot.client.is_none()) else { return };
        let talk = if service == Service::Munin { Talk::Munin(Session::default()) } else { Talk::Http };
        let mut client = Box::new(Client::new(stream, peer, talk, now));
        let (answers, page, spools) = (&mut self.answers, &mut self.page, &mut self.spools);
        let mut desk = Desk { answers, page, now, spare: 0, spools };
        if !matches!(client.greet(&mut desk), Ok(Fate::Stays)) {
            return;
        }
        let Some(slot) = self.slots.get_mut(place) else { return };
        slot.generation = slot.generation.wrapping_add(1) & 0x3fff_ffff;
        if self.poller.add(client.fd(), token(place, slot.generation), client.interest()).is_ok() {
            slot.client = Some(client);
            self.quiet_since = None;
        }
    }

    fn ready(&mut self, ready: Ready, now: Now) {
        let spare = EXTRA.saturating_sub(self.clients_iter().map(Client::extra).sum());
        let Some(place) = place(ready.token) else { return };
        let Some(slot) = self.slots.get_mut(place) else { return };
        let generation = slot.generation;
        let Some(client) = slot.client.as_mut().filter(|_| token(place, generation) == ready.token) else { return };
        if ready.hangup && client.is_waiting() {
            return self.dismiss(place);
        }
        let before = client.interest();
        let spare = spare + client.extra();
        let (answers, page, spools) = (&mut self.answers, &mut self.page, &mut self.spools);
        let mut desk = Desk { answers, page, now, spare, spools };
        let fate = client.serve(&mut desk);
        let after = client.interest();
        let keeps = match fate {
            Ok(Fate::Stays) if before == after => true,
            Ok(Fate::Stays) => self.poller.modify(client.fd(), ready.token, after).is_ok(),
            Ok(Fate::Leaves) | Err(_) => false,
        };
        let waits = client.waiting() > 0;
        self.page.clear();
        if !keeps {
            self.dismiss(place);
        } else if waits {
            // Not once a turn: in one turn every slot may ask for the longest page and read none of it.
            self.relieve();
        }
    }

    fn clients_iter(&self) -> impl Iterator<Item = &Client> {
        self.slots.iter().filter_map(|slot| slot.client.as_deref())
    }

    fn dismiss(&mut self, place: usize) {
        if let Some(slot) = self.slots.get_mut(place) {
            // Closing takes it out of the poller.
            slot.client = None;
        }
    }

    /// Makes room; false when there is nobody to leave.
    fn evict(&mut self) -> bool {
        let Some(crowd) = self.largest_crowd() else { return false };
        let members = self.slots.iter().enumerate().filter_map(|(place, slot)| Some((slot.client.as_ref()?, place)));
        let oldest =
            members.filter(|(client, _)| client.group() == crowd).map(|(client, place)| (client.born(), place)).min();
        oldest.inspect(|(_, place)| self.dismiss(*place)).is_some()
    }

    /// The address that holds most slots; among equals the one whose oldest connection is the oldest.
    fn largest_crowd(&self) -> Option<u128> {
        let mut members: Vec<_> = self.clients_iter().map(|client| (client.group(), client.born())).collect();
        members.sort_unstable();
        members
            .chunk_by(|one, other| one.0 == other.0)
            .filter_map(|crowd| crowd.first().map(|(group, oldest)| (crowd.len(), std::cmp::Reverse(*oldest), *group)))
            .max()
            .map(|(_, _, group)| group)
    }

    fn pause(&mut self, place: usize, now: Now) {
        let Some(entrance) = self.entrances.get_mut(place) else { return };
        let token = LISTENERS + u64::try_from(place).unwrap_or(0);
        if self.poller.modify(&entrance.listener, token, Interest::Nothing).is_ok() {
            entrance.paused_until = Some(now.mono + PAUSE);
        }
    }

    /// Ends what has taken too long and opens what has rested.
    fn expire(&mut self, now: Now) {
        for slot in &mut self.slots {
            if slot.client.as_ref().is_some_and(|client| client.deadline() <= now.mono) {
                slot.client = None;
            }
        }
        for (token, entrance) in (LISTENERS..).zip(&mut self.entrances) {
            if entrance.paused_until.is_some_and(|until| until <= now.mono)
                && self.poller.modify(&entrance.listener, token, Interest::Read).is_ok()
            {
                entrance.paused_until = None;
            }
        }
    }

    /// While answers that wait take too much memory, somebody goes. A single one may be as large as a page.
    fn relieve(&mut self) {
        loop {
            let waiting = || self.clients_iter().map(Client::waiting).filter(|waiting| *waiting > 0);
            if waiting().sum::<usize>() <= WAITING || waiting().count() < 2 {
                return;
            }
            let Some(place) = self.least_welcome() else { return };
            self.dismiss(place);
        }
    }

    /// Of the address for which most bytes wait, the oldest connection that has some: who reads, however much it is, does not go
    /// for those who do not.
    fn least_welcome(&self) -> Option<usize> {
        let clients = self.slots.iter().enumerate().filter_map(|(place, slot)| Some((slot.client.as_ref()?, place)));
        let mut holders: Vec<_> = clients
            .filter(|(client, _)| client.waiting() > 0)
            .map(|(client, place)| (client.group(), client.born(), place, client.waiting()))
            .collect();
        holders.sort_unstable();
        let crowds = holders.chunk_by(|one, other| one.0 == other.0);
        let heaviest = crowds.max_by_key(|crowd| crowd.iter().map(|(.., waiting)| waiting).sum::<usize>())?;
        heaviest.first().map(|(_, _, place, _)| *place)
    }

    /// Gives memory back a second after the last client has left.
    fn rest(&mut self, now: Now) {
        if self.page.is_empty() {
            self.page.shrink(super::source::PAGE_KEPT);
        }
        if self.clients_iter().next().is_some() {
            return;
        }
        match self.quiet_since {
            Some(since) if since + QUIET <= now.mono => {
                self.page.shrink(0);
                self.answers.rest();
                memory::trim_heap();
                memory::trim_text();
                self.quiet_since = None;
            }
            Some(_) => {}
            None => self.quiet_since = Some(now.mono),
        }
    }
}

fn token(place: usize, generation: u32) -> u64 {
    u64::try_from(place).unwrap_or(0) | u64::from(generation) << 32
}

fn place(token: u64) -> Option<usize> {
    usize::try_from(token & 0xffff_ffff).ok()
}

/// The system has no descriptor or memory for another connection.
fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
