//! What answers are made of: the newest page of the board, copied again only when there is a newer one.

use std::fs::File;
use std::net::IpAddr;
use std::time::Duration;

use crate::export::usual::Lessons;
use crate::export::{Page, munin};
use crate::learn::book::Book;
use crate::model::{Network, Now, Regex, Settings};
use crate::store::history::HistoryReader;
use crate::store::journal::JournalReader;
use crate::store::{BoardError, Reader, Snapshot};
use crate::sys::clock::Civil;
use crate::sys::memory;

use super::guests::Guests;
use super::{http, pages};

/// A page that is larger than this is given back to the system after the answer.
pub const PAGE_KEPT: usize = 32 << 10;

/// What was, as far as there is any of it: files opened for reading alone.
#[derive(Default)]
pub struct Past {
    pub history: Option<File>,
    pub journal: Option<File>,
    /// The learner's book.
    pub learned: Option<File>,
}

impl Past {
    /// All there are.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        [&self.history, &self.journal, &self.learned].into_iter().flatten()
    }
}

/// The board and everything that decides how it is told.
pub struct Answers {
    reader: Reader,
    generation: u64,
    snapshot: Snapshot,
    history: Option<HistoryReader>,
    journal: Option<JournalReader>,
    book: Option<Book>,
    host: String,
    allow: Vec<Network>,
    patterns: Vec<Regex>,
    body: Page,
    settings: Settings,
    pub guests: Guests,
    cycle: Duration,
}

impl Answers {
    /// `host` is the name of the Munin node; empty stands for the name on the board.
    pub fn new(reader: Reader, host: String, allow: Vec<Network>) -> Self {
        let (settings, guests, cycle) = (Settings::default(), Guests::default(), Duration::ZERO);
        Self {
            reader,
            generation: 0,
            snapshot: Snapshot::default(),
            history: None,
            journal: None,
            book: None,
            host,
            allow,
            patterns: Vec::new(),
            body: Page::new(Page::LIMIT),
            settings,
            guests,
            cycle,
        }
    }

    /// Lets masters ask whose whole address one of these expressions stands for. What is no expression lets nobody in.
    pub fn admit_also(&mut self, patterns: &[String]) {
        self.patterns = patterns.iter().filter_map(|pattern| Regex::whole(pattern).ok()).collect();
    }

    /// Answers for plugins of others as well, and with settings for our own.
    pub fn take_in(&mut self, guests: Guests, settings: Settings) {
        (self.guests, self.settings) = (guests, settings);
    }

    /// How long what a plugin said is worth telling.
    pub fn cycle(&self) -> Duration {
        self.cycle.max(Duration::from_secs(1))
    }

    /// Tells what was as well, from files opened for reading.
    pub fn show_past(&mut self, past: Past) {
        self.history = past.history.map(HistoryReader::of);
        self.journal = past.journal.map(JournalReader::of);
        self.book = past.learned.map(Book::new);
    }

    /// Whether a master at this address may ask.
    pub fn admits(&self, peer: IpAddr) -> bool {
        // Whom the permissions of a Unix socket let in has no address.
        peer.is_unspecified() || self.allow.iter().any(|network| network.contains(peer)) || self.is_like_allowed(peer)
    }

    fn is_like_allowed(&self, peer: IpAddr) -> bool {
        if self.patterns.is_empty() {
            return false;
        }
        let text = peer.to_canonical().to_string();
        self.patterns.iter().any(|pattern| pattern.is_in(text.as_bytes()))
    }

    /// Copies the newest page of the board unless it is here already.
    fn refresh(&mut self) -> Result<(), BoardError> {
        let generation = self.reader.generation();
        if generation != self.generation || generation == 0 {
            self.generation = 0;
            self.reader.read(&mut self.snapshot)?;
            self.generation = generation;
            self.cycle = Duration::from_millis(self.snapshot.header.cycle_ms);
        }
        // The heartbeat moves between two pages.
        self.snapshot.header.heartbeat_ms = self.reader.heartbeat_ms();
        Ok(())
    }

    /// The greeting of the Munin node; nothing when the board cannot be read.
    pub fn greet(&mut self, page: &mut Page) -> munin::Next {
        if self.refresh().is_err() {
            return munin::Next::Close;
        }
        munin::Session::greet(self.node(), page);
        munin::Next::More
    }

    /// One line of a master.
    pub fn line(&mut self, session: &mut munin::Session, line: &[u8], now: Now, page: &mut Page) -> munin::Next {
        if self.refresh().is_err() {
            return munin::Next::Close;
        }
        let facts = munin::Facts::new(&self.snapshot, now).with(&self.settings, &self.guests.cards);
        session.line(line, self.node(), &facts, page)
    }

    /// What our own plugin in this place has to say since then; false when there is none.
    pub fn spool_own(&mut self, since: u64, place: usize, now: Now, page: &mut Page) -> bool {
        if self.refresh().is_err() {
            return false;
        }
        let facts = munin::Facts::new(&self.snapshot, now).with(&self.settings, &self.guests.cards);
        munin::spool::write(&facts, self.history.as_ref(), since, place, page)
    }

    /// Whether a plugin of somebody else belongs to what is spooled: it says something, and we have none of that name.
    pub fn is_spooled(&self, guest: usize, now: Now) -> bool {
        let facts = munin::Facts::new(&self.snapshot, now);
        let is_told = |card: &munin::Guest| !card.is_silent && !munin::is_ours(&facts, card.name.as_bytes());
        self.snapshot.header.is_fresh(now) && self.guests.cards.get(guest).is_some_and(is_told)
    }

    /// One HTTP request.
    pub fn request(&mut self, request: &http::Request<'_>, now: Now, page: &mut Page) {
        let board = self.refresh();
        self.body.clear();
        // Every part of the work has text of its own; all parts together are what the peak would be.
        memory::trim_grown();
        let answer = match board {
            Ok(()) => {
                let known = pages::Known {
                    snapshot: &self.snapshot,
                    history: self.history.as_ref(),
                    journal: self.journal.as_ref(),
                    lessons: Lessons { book: self.book.as_ref(), week_second: Civil::week_second_at },
                    now,
                };
                pages::answer(request, &known, &mut self.body)
            }
            Err(error) => pages::trouble(&error, &mut self.body),
        };
        memory::trim_grown();
        http::send(&answer, request, &mut self.body, page);
        self.body.shrink(PAGE_KEPT);
    }

    /// An HTTP answer that needs no board: the request itself, as far as it came, was at fault.
    pub fn refuse(&mut self, fault: http::Fault, head: &[u8], page: &mut Page) {
        self.body.clear();
        let answer = http::refusal(fault, &mut self.body);
        http::print(&answer, http::Shape::last(head), self.body.bytes(), page);
    }

    /// Forgets everything that can be made again.
    pub fn rest(&mut self) {
        self.generation = 0;
        self.snapshot = Snapshot::default();
        self.body.shrink(0);
    }

    fn node(&self) -> &str {
        if self.host.is_empty() { crate::store::board::text(&self.snapshot.header.host) } else { &self.host }
    }
}
