//! The history in the turn of the loop: opened at start, given one cycle at a time, asked again when it could not be opened.
//!
//! Nothing here ends the loop: a disk that is full or sick is said once, and once more when it is well again.

use std::path::PathBuf;
use std::time::Duration;

use super::notes::Notes;
use crate::model::{EventKind, Now, Places};
use crate::store::Readings;
use crate::store::history::{COLUMNS, History, PANELS};
use crate::sys::files;

/// What could not be opened is tried again after so long.
const AGAIN: Duration = Duration::from_secs(10);

/// The history of this daemon.
pub struct Chronicle {
    path: PathBuf,
    history: Option<History>,
    again_at: Duration,
    is_writable: bool,
    /// Series without a history were told of.
    is_full: bool,
}

impl Chronicle {
    pub fn open(places: &Places, now: Now, notes: &mut Notes) -> Self {
        let mut chronicle =
            Self { path: places.history(), history: None, again_at: Duration::ZERO, is_writable: true, is_full: false };
        chronicle.try_open(now, notes);
        chronicle
    }

    /// One that records nothing.
    pub fn none(places: &Places) -> Self {
        Self { path: places.history(), history: None, again_at: Duration::MAX, is_writable: true, is_full: false }
    }

    /// Whether everything could be written so far.
    pub fn is_writable(&self) -> bool {
        self.is_writable
    }

    /// The file, for the door to read.
    pub fn file(&self) -> Option<&std::fs::File> {
        self.history.as_ref().map(History::file)
    }

    fn try_open(&mut self, now: Now, notes: &mut Notes) {
        self.again_at = now.mono + AGAIN;
        match History::open(&self.path, now) {
            Ok((history, damage)) => {
                if let Some(damage) = damage {
                    let text = format!("the history was damaged; it is kept as {}", damage.aside.display());
                    notes.add(EventKind::StateDamaged, "history", &text);
                }
                self.history = Some(history);
            }
            Err(error) => self.lose("open", &error, notes),
        }
    }

    /// Records one cycle.
    pub fn record<'m>(
        &mut self,
        (readings, measures): (Readings<'_>, impl Iterator<Item = (&'m str, f64)>),
        now: Now,
        notes: &mut Notes,
    ) {
        if self.file().is_some_and(files::is_removed) {
            // Opened in the next cycle, so that the door sees in between that what it reads is no more.
            (self.history, self.again_at) = (None, now.mono + Duration::from_millis(1));
            self.lose("write", &files::removed(), notes);
        }
        if self.history.is_none() && self.again_at <= now.mono {
            self.try_open(now, notes);
        }
        let Some(history) = &mut self.history else { return };
        let recorded = history.record_with(readings, measures, now);
        match recorded.error {
            Some(error) => self.lose("write", &error, notes),
            None if recorded.without_room == 0 && !self.is_writable => {
                self.is_writable = true;
                notes.add(EventKind::StateWritable, "history", "the history can be written again");
            }
            None => {}
        }
        if recorded.without_room > 0 && self.is_writable && !self.is_full {
            self.is_full = true;
            let (most, left) = (PANELS * COLUMNS, recorded.without_room);
            let text = format!("cannot keep a history of {left} more series: there are {most} already");
            notes.add(EventKind::Trouble, "history", &text);
        }
    }

    fn lose(&mut self, what: &str, error: &std::io::Error, notes: &mut Notes) {
        if self.is_writable {
            self.is_writable = false;
            notes.add(EventKind::StateUnwritable, "history", &format!("cannot {what} the history: {error}"));
        }
    }
}
