//! The journal: the newest 4096 events, in a ring that never grows. 256 bytes of head, then rows of 256 bytes (1 MiB in all).
//!
//! Event N stands in row (N − 1) mod 4096, written by one pwrite and guarded by a CRC32: a row that was torn, or that a failed write left
//! at its old number, is skipped and never shown. A file of another size or magic is set aside and begun anew; one that is empty, or whose
//! head is zeros, is ours from before the power went.
//! Opening reads the file once in pieces of 4 KiB and so finds the newest number even past damaged rows, where a binary search
//! would take an old number for the newest; numbers therefore go on over restarts. Nothing is mapped: a full or sick disk is an error value here.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::board::EventRow;
use crate::model::is_begun;

/// How many events are kept.
pub const CAPACITY: u64 = 4096;

const ROW: usize = size_of::<EventRow>();
const MAGIC: [u8; 16] = *b"watchd events 1\n";
const BYTES: u64 = (CAPACITY + 1) * ROW as u64;
/// Rows in one piece of the first scan.
const PIECE: usize = 16;

/// The writer's side; there is one, the daemon.
pub struct Journal {
    file: File,
    newest: u64,
}

/// What was found when a journal was opened for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A journal to go on with.
    Whole,
    /// Nothing; a new one was begun.
    Nothing,
    /// Something that is no journal, now called `events.damaged`; a new one was begun.
    Damaged,
}

impl Journal {
    /// Opens the journal, or begins one.
    pub fn open(path: &Path) -> io::Result<(Self, Found)> {
        let found = match OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(path) {
            // A disk that cannot be read now is no reason to begin anew.
            Ok(file) if is_begun_journal(&file)? => {
                file.write_all_at(&MAGIC, 0)?;
                let newest = newest(&file)?;
                return Ok((Self { file, newest }, Found::Whole));
            }
            Ok(file) if file.metadata()?.is_file() && file.metadata()?.len() == 0 => Found::Nothing,
            Ok(_) => {
                std::fs::rename(path, path.with_extension("damaged"))?;
                Found::Damaged
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
            Err(error) => return Err(error),
        };
        Ok((Self { file: begin(path)?, newest: 0 }, found))
    }

    /// The file, to be opened again for reading.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Events since the journal began.
    pub fn total(&self) -> u64 {
        self.newest
    }

    /// Numbers an event and writes it. The number is used up even when the write fails, so that the board never shows two
    /// events under one number.
    pub fn append(&mut self, event: &mut EventRow) -> io::Result<()> {
        self.newest += 1;
        event.number = self.newest;
        event.checksum = checksum(event);
        self.file.write_all_at(event.as_bytes(), place(event.number))
    }

    /// Whether it can be written now, tried with bytes that stand there already.
    pub fn is_writable(&self) -> bool {
        self.file.write_all_at(&MAGIC, 0).is_ok()
    }

    /// The newest events, oldest first; for the board after a restart.
    pub fn last(&self, count: u64) -> Vec<EventRow> {
        since(&self.file, self.newest.saturating_sub(count), self.newest)
    }
}

/// A journal opened by somebody who only reads.
pub struct JournalReader(File);

impl JournalReader {
    /// Opens a journal; one that is damaged is refused as invalid data.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if is_journal(&file)? { Ok(Self(file)) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    /// Reads an open file, which the writer has found to be a journal.
    pub fn of(file: File) -> Self {
        Self(file)
    }

    /// One event, if it is still there.
    pub fn event(&self, number: u64) -> Option<EventRow> {
        row(&self.0, number)
    }

    /// The number of the newest event; 0 when there is none.
    pub fn newest(&self) -> u64 {
        newest(&self.0).unwrap_or(0)
    }

    /// The newest events, oldest first.
    pub fn last(&self, count: u64) -> Vec<EventRow> {
        let newest = self.newest();
        since(&self.0, newest.saturating_sub(count), newest)
    }

    /// What came after event `number`, oldest first, as far as it is still there.
    pub fn after(&self, number: u64) -> Vec<EventRow> {
        since(&self.0, number, self.newest())
    }
}

fn begin(path: &Path) -> io::Result<File> {
    let new = path.with_extension("new");
    let _ = std::fs::remove_file(&new);
    let file = crate::sys::files::create_new(&new)?;
    crate::sys::files::reserve(&file, 0, BYTES)?;
    file.write_all_at(&MAGIC, 0)?;
    std::fs::rename(&new, path)?;
    Ok(file)
}

fn is_journal(file: &File) -> io::Result<bool> {
    Ok(head(file)? == Some(MAGIC))
}

/// A journal, or one whose room was on the disk and its head not yet when the power went.
fn is_begun_journal(file: &File) -> io::Result<bool> {
    Ok(head(file)?.is_some_and(|head| is_begun(&head, &MAGIC)))
}

/// The first bytes of a file of the right size.
fn head(file: &File) -> io::Result<Option<[u8; MAGIC.len()]>> {
    let mut head = [0; MAGIC.len()];
    let found = file.metadata()?;
    if !found.is_file() || found.len() != BYTES {
        return Ok(None);
    }
    file.read_exact_at(&mut head, 0)?;
    Ok(Some(head))
}

fn place(number: u64) -> u64 {
    (number.saturating_sub(1) % CAPACITY + 1) * ROW as u64
}

fn checksum(event: &EventRow) -> u32 {
    crc32fast::hash(EventRow { checksum: 0, ..*event }.as_bytes())
}

/// Whether a row is whole and stands where its number belongs.
fn is_whole(event: &EventRow, at: u64) -> bool {
    event.number != 0 && place(event.number) == at && event.checksum == checksum(event)
}

fn newest(file: &File) -> io::Result<u64> {
    let mut newest = 0;
    let mut rows = [EventRow::new_zeroed(); PIECE];
    for first in (1..=CAPACITY).step_by(PIECE) {
        // A piece passed over could hold the newest, and its number would be given again.
        file.read_exact_at(rows.as_mut_bytes(), place(first))?;
        for (number, row) in (first..).zip(&rows) {
            if row.number > newest && is_whole(row, place(number)) {
                newest = row.number;
            }
        }
    }
    Ok(newest)
}

fn since(file: &File, number: u64, newest: u64) -> Vec<EventRow> {
    let first = number.max(newest.saturating_sub(CAPACITY)) + 1;
    (first..=newest).filter_map(|number| row(file, number)).collect()
}

fn row(file: &File, number: u64) -> Option<EventRow> {
    let mut bytes = [0; ROW];
    file.read_exact_at(&mut bytes, place(number)).ok()?;
    let row = EventRow::read_from_bytes(&bytes).ok()?;
    (row.number == number && is_whole(&row, place(number))).then_some(row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EventKind;
    use crate::scratch::Scratch;
    use crate::store::board::{fixed, text};

    fn event(text: &str) -> EventRow {
        EventRow { kind: EventKind::Report.byte(), text: fixed(text), ..EventRow::new_zeroed() }
    }

    fn write(journal: &mut Journal, count: u64) {
        for number in 0..count {
            journal.append(&mut event(&format!("e{number}"))).expect("the row is written");
        }
    }

    fn numbers(rows: &[EventRow]) -> Vec<u64> {
        rows.iter().map(|row| row.number).collect()
    }

    #[test]
    fn numbers_go_on_over_restarts_and_laps() {
        let scratch = Scratch::new();
        let path = scratch.join("events");
        let (mut journal, found) = Journal::open(&path).expect("it opens");
        assert_eq!((found, journal.total(), journal.last(9).len()), (Found::Nothing, 0, 0));
        for (count, total) in
            [(3, 3), (CAPACITY - 4, CAPACITY - 1), (2, CAPACITY + 1), (CAPACITY + 7, 2 * CAPACITY + 8)]
        {
            write(&mut journal, count);
            drop(journal);
            let reopened = Journal::open(&path).expect("it opens");
            assert_eq!((reopened.1, reopened.0.total()), (Found::Whole, total));
            journal = reopened.0;
        }
        let reader = JournalReader::open(&path).expect("it opens");
        let newest = reader.newest();
        assert_eq!(numbers(&reader.last(3)), [newest - 2, newest - 1, newest]);
        assert_eq!(reader.last(u64::MAX).len() as u64, CAPACITY);
        assert_eq!(numbers(&reader.after(newest - 1)), [newest]);
        assert!(reader.after(newest + 5).is_empty());
        assert_eq!(reader.after(0).len() as u64, CAPACITY);
        assert_eq!(std::fs::metadata(&path).expect("it is there").len(), BYTES);
    }

    #[test]
    fn damaged_rows_are_skipped_and_never_shown() {
        let scratch = Scratch::new();
        let path = scratch.join("events");
        let (mut journal, _) = Journal::open(&path).expect("it opens");
        write(&mut journal, 6);
        for number in [1, 6] {
            journal.file.write_all_at(b"x", place(number) + 100).expect("a byte is written");
        }
        journal.file.write_all_at(event("wrong place").as_bytes(), place(3)).expect("a row is written");
        let (journal, found) = Journal::open(&path).expect("it opens");
        assert_eq!((found, journal.total()), (Found::Whole, 5));
        assert_eq!(numbers(&journal.last(10)), [2, 4, 5]);
        assert_eq!(text(&journal.last(1)[0].text), "e4");
    }

    #[test]
    fn every_cut_of_a_row_is_refused() {
        let scratch = Scratch::new();
        let path = scratch.join("events");
        let (mut journal, _) = Journal::open(&path).expect("it opens");
        let mut row = event("a row that was written to its very last byte, or not at all");
        journal.append(&mut row).expect("the row is written");
        for cut in 0..ROW {
            let mut torn = [0; ROW];
            torn[..cut].copy_from_slice(&row.as_bytes()[..cut]);
            let torn = EventRow::read_from_bytes(&torn).expect("any bytes are a row");
            assert!(torn.as_bytes() == row.as_bytes() || !is_whole(&torn, place(1)), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_journal_is_set_aside() {
        let scratch = Scratch::new();
        let path = scratch.join("events");
        for junk in [&b"junk"[..], &vec![0xff; usize::try_from(BYTES).expect("it fits")]] {
            std::fs::write(&path, junk).expect("it can be written");
            assert!(JournalReader::open(&path).is_err());
            let (mut journal, found) = Journal::open(&path).expect("it opens");
            assert_eq!(found, Found::Damaged);
            assert_eq!(std::fs::read(path.with_extension("damaged")).expect("it was kept"), junk);
            write(&mut journal, 1);
            assert_eq!(JournalReader::open(&path).expect("it opens").newest(), 1);
        }
    }

    #[test]
    fn what_the_power_took_of_a_beginning_is_no_damage() {
        let scratch = Scratch::new();
        let path = scratch.join("events");
        write(&mut Journal::open(&path).expect("it opens").0, 3);
        let whole = std::fs::read(&path).expect("it is there");
        let (head, rows) = whole.split_at(ROW);
        for (kept, expect) in [(0, 3), (7, 3), (MAGIC.len(), 3)] {
            let cut = [head.get(..kept).expect("it is long enough"), &vec![0; ROW - kept], rows].concat();
            std::fs::write(&path, cut).expect("it can be written");
            let (journal, found) = Journal::open(&path).expect("it opens");
            assert_eq!((found, journal.total()), (Found::Whole, expect), "{kept} bytes of the head");
            assert!(JournalReader::open(&path).is_ok());
        }
        std::fs::write(&path, "").expect("it can be written");
        let (journal, found) = Journal::open(&path).expect("it opens");
        assert_eq!((found, journal.total()), (Found::Nothing, 0));
    }

    #[test]
    fn a_failed_write_uses_its_number_up() {
        let scratch = Scratch::new();
        let path = scratch.join("events");
        drop(Journal::open(&path).expect("it opens"));
        let mut journal = Journal { file: File::open(&path).expect("it opens for reading"), newest: 4 };
        assert!(journal.append(&mut event("lost")).is_err());
        assert_eq!(journal.total(), 5);
    }
}
