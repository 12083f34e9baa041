//! What happened, told three times: a line on standard error, a row in the journal, a row on the board.
//!
//! A journal that cannot be written stops nothing: the event is on the board and in the log, and `is_writable` says so.

use std::fmt::{Display, Write as _};
use std::path::Path;
use std::time::Duration;

use zerocopy::FromZeros;

use crate::log::Log;
use crate::model::{EventKind, Now};
use crate::store::EventRow;
use crate::store::board::{self, EVENTS, fixed};
use crate::store::journal::{Found, Journal};

/// The newest events, and where they go.
pub struct Notes {
    rows: Vec<EventRow>,
    total: u64,
    journal: Option<Journal>,
    writable: bool,
    now: Now,
    log: Log,
}

impl Notes {
    /// Opens the journal; without one the board still shows what happened since now.
    pub fn open(path: &Path, now: Now) -> Self {
        let log = Log::from_environment();
        let mut notes = Self { rows: Vec::with_capacity(EVENTS), total: 0, journal: None, writable: true, now, log };
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

    /// The newest events, oldest first.
    pub fn rows(&self) -> &[EventRow] {
        &self.rows
    }

    /// How many there have been.
    pub fn total(&self) -> u64 {
        self.total
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
