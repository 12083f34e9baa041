//! What happened, told three times: a line on standard error, a row in the journal, a row on the board.
//!
//! A journal that cannot be written stops nothing: the event is on the board and in the log, and `is_writable` says so.

use std::fmt::{Display, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use zerocopy::FromZeros;

use crate::log::Log;
use crate::model::{EventKind, Now};
use crate::store::EventRow;
use crate::store::board::{self, EVENTS, fixed};
use crate::store::journal::{Found, Journal};
use crate::sys::files;

/// A board full of events within this time is a flood; in one, so many of a kind about one subject are enough.
const FLOOD_MS: u64 = 10_000;
const FLOOD_LIKE: usize = 4;

/// The newest events, and where they go.
pub struct Notes {
    rows: Vec<EventRow>,
    total: u64,
    journal: Option<Journal>,
    writable: bool,
    /// Events that were not told because the like of them had just been.
    held_back: u32,
    now: Now,
    log: Log,
}

impl Notes {
    /// Opens the journal; without one the board still shows what happened since now.
    pub fn open(path: &Path, now: Now) -> Self {
        let log = Log::from_environment();
        let mut notes =
            Self { rows: Vec::with_capacity(EVENTS), total: 0, journal: None, writable: true, held_back: 0, now, log };
        match Journal::open(path) {
            Ok((journal, found)) => {
                notes.rows.extend(journal.last(EVENTS as u64));
                notes.total = journal.total();
                notes.journal = Some(journal);
                if found == Found::Damaged {
                    let text = "the journal was damaged; it was set aside and a new one begun";
                    notes.add(EventKind::StateDamaged, "events", text);
                }
            }
            Err(error) => notes.lose(&error),
        }
        notes
    }

    /// Notes that are kept nowhere, for a pass that is soon over.
    pub fn passing(now: Now) -> Self {
        let rows = Vec::with_capacity(EVENTS);
        Self { rows, total: 0, journal: None, writable: true, held_back: 0, now, log: Log::from_environment() }
    }

    /// Tells nothing to standard error from now on.
    pub fn be_quiet(&mut self) {
        self.log.be_quiet();
    }

    /// Tries again what could not be opened or written. What happened meanwhile goes into a journal that comes late.
    pub fn retry(&mut self, path: impl FnOnce() -> PathBuf) {
        if self.journal().is_some_and(files::is_removed) {
            // Its newest events stand on the board; they begin the new one.
            // Opened in the next cycle, so that the door sees in between that what it reads is no more.
            self.journal = None;
            return self.lose(&files::removed());
        }
        match &self.journal {
            _ if self.writable => return,
            Some(journal) if !journal.is_writable() => return,
            Some(_) => {}
            None => {
                let Ok((journal, _)) = Journal::open(&path()) else { return };
                self.take_up(journal);
            }
        }
        self.writable = true;
        self.add(EventKind::StateWritable, "events", "the journal can be written again");
    }

    fn take_up(&mut self, mut journal: Journal) {
        let missed = std::mem::replace(&mut self.rows, journal.last(EVENTS as u64));
        self.rows.reserve_exact(EVENTS.saturating_sub(self.rows.len()));
        self.total = journal.total();
        for mut row in missed {
            // A failure is noticed with the next event.
            let _ = journal.append(&mut row);
            self.push(row);
        }
        self.journal = Some(journal);
    }

    /// Sets the time that the next events carry.
    pub fn turn(&mut self, now: Now) {
        self.now = now;
    }

    /// Whether everything could be written so far.
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Says that something happened to `subject` (the id of a service or promise, a class, or nothing).
    pub fn add(&mut self, kind: EventKind, subject: &str, text: &str) {
        let mut row = self.row(kind, subject, text);
        if self.is_flood(&row) {
            self.held_back = self.held_back.saturating_add(1);
            return;
        }
        self.tell_held_back();
        self.tell(&row);
        match self.journal.as_mut().map(|journal| journal.append(&mut row)) {
            Some(Ok(())) if !self.writable => {
                self.writable = true;
                self.push(row);
                self.add(EventKind::StateWritable, "events", "the journal can be written again");
                return;
            }
            Some(Err(error)) if self.writable => {
                self.push(row);
                self.lose(&error);
                return;
            }
            _ => {}
        }
        self.push(row);
    }

    /// The journal's file, for the door to read.
    pub fn journal(&self) -> Option<&std::fs::File> {
        self.journal.as_ref().map(Journal::file)
    }

    /// The newest events, oldest first.
    pub fn rows(&self) -> &[EventRow] {
        &self.rows
    }

    /// How many there have been.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Whether events come so fast that this one, told a few times among the newest, would only push others out of sight.
    fn is_flood(&self, row: &EventRow) -> bool {
        let is_fast = self.rows.len() >= EVENTS
            && self.rows.first().is_some_and(|oldest| row.mono_ms.saturating_sub(oldest.mono_ms) < FLOOD_MS);
        let like = |told: &&EventRow| told.kind == row.kind && told.subject == row.subject;
        is_fast && self.rows.iter().filter(like).count() >= FLOOD_LIKE
    }

    fn tell_held_back(&mut self) {
        let mut text = heapless::String::<80>::new();
        let _ = write!(text, "{} more like those before were held back", self.held_back);
        if self.held_back > 0 && !self.is_flood(&self.row(EventKind::Trouble, "events", &text)) {
            self.held_back = 0;
            self.add(EventKind::Trouble, "events", &text);
        }
    }

    fn lose(&mut self, error: &dyn Display) {
        self.writable = false;
        let mut text = heapless::String::<160>::new();
        let _ = write!(text, "cannot write the journal: {error}");
        let row = self.row(EventKind::StateUnwritable, "events", &text);
        self.tell(&row);
        self.push(row);
    }

    /// A log that is gone or full loses the line, never the daemon.
    fn tell(&mut self, row: &EventRow) {
        self.log.event(
            Duration::from_millis(row.wall_ms),
            row.kind(),
            board::text(&row.subject),
            board::text(&row.text),
        );
    }

    fn push(&mut self, mut row: EventRow) {
        self.total += 1;
        if row.number == 0 {
            row.number = self.total;
        }
        if self.rows.len() >= EVENTS {
            self.rows.remove(0);
        }
        self.rows.push(row);
    }

    fn row(&self, kind: EventKind, subject: &str, text: &str) -> EventRow {
        EventRow {
            wall_ms: u64::try_from(self.now.wall.as_millis()).unwrap_or(u64::MAX),
            mono_ms: u64::try_from(self.now.mono.as_millis()).unwrap_or(u64::MAX),
            kind: kind.byte(),
            subject: fixed(subject),
            text: fixed(text),
            ..EventRow::new_zeroed()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use crate::store::journal::JournalReader;

    #[test]
    fn a_flood_of_the_same_hides_nothing_else() {
        let dir = Scratch::new();
        let mut notes = Notes::open(&dir.join("events"), Now::default());
        let at = |millis| Now { mono: Duration::from_millis(millis), wall: Duration::from_millis(millis) };
        for turn in 0..60_000 / 50 {
            notes.turn(at(1_000_000 + turn * 50));
            notes.add(EventKind::ServiceStarting, "bad", "again");
            notes.add(EventKind::ServiceDied, "bad", "again");
            if turn == 900 {
                notes.add(EventKind::ServiceDied, "good", "once");
            }
        }
        assert!(notes.total() < 64 * 7, "{} events of 2400", notes.total());
        let told = |subject: &str| notes.rows().iter().any(|row| board::text(&row.subject) == subject);
        assert!(told("bad") && told("events"));
        let all = JournalReader::open(&dir.join("events")).expect("it is there").last(4096);
        assert!(all.iter().any(|row| board::text(&row.subject) == "good"));
        for number in 0..200 {
            notes.add(EventKind::ServiceDied, &format!("s{number}"), "all at once");
        }
        assert_eq!(board::text(&notes.rows()[EVENTS - 1].subject), "s199", "what is new is always told");
    }

    #[test]
    fn a_journal_that_comes_late_gets_what_happened_meanwhile() {
        let scratch = Scratch::new();
        let dir = scratch.join("state");
        let path = dir.join("events");
        let mut notes = Notes::open(&path, Now::default());
        notes.add(EventKind::Report, "r", "while there was no journal");
        notes.retry(|| path.clone());
        assert!(!notes.is_writable(), "its directory is missing still");
        std::fs::create_dir_all(&dir).expect("a directory can be made");
        notes.retry(|| path.clone());
        assert!(notes.is_writable());
        notes.add(EventKind::Report, "r", "afterwards");
        let told = |rows: &[EventRow]| rows.iter().map(|row| (row.number, row.kind())).collect::<Vec<_>>();
        let kinds =
            [EventKind::StateUnwritable, EventKind::Report, EventKind::StateWritable, EventKind::Report].into_iter();
        let expect: Vec<_> = (1..).zip(kinds).collect();
        assert_eq!(told(notes.rows()), expect);
        assert_eq!(told(&JournalReader::open(&path).expect("it is there").last(9)), expect);
        assert_eq!(notes.total(), 4);
    }
}
