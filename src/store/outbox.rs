//! Reports that have not reached their channels yet, on disk: 32 rows of 664 bytes, kept twice, 43 KiB in all and never more.
//!
//! A report is written down before it is sent and taken out when it has arrived, so one that was on its way when watchd died is
//! sent again: rather twice than never.

use std::io;
use std::path::{Path, PathBuf};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::board::{fixed, text};
use super::twin::Twin;
use crate::model::CHANNEL_NAME;

/// How many letters there can be.
pub const LETTERS: usize = 32;
const KIND: [u8; 16] = *b"watchd outbox 1\n";
const SIZE: usize = LETTERS * size_of::<Row>();

/// A report for one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The id of the promise.
    pub report: String,
    /// The name of the channel.
    pub channel: String,
    pub text: String,
    /// When it was written, in milliseconds since 1970.
    pub wall_ms: u64,
    /// How often it was sent in vain.
    pub tries: u32,
    /// It says that something is over.
    pub is_over: bool,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Row {
    wall_ms: u64,
    tries: u32,
    is_over: u32,
    report: [u8; 40],
    channel: [u8; CHANNEL_NAME],
    /// As long as the longest text of a report.
    text: [u8; 512],
}

/// The open file.
pub struct Outbox(Twin);

/// What was found in it.
pub struct Found {
    /// Oldest first.
    pub letters: Vec<Letter>,
    /// Where a damaged file was put.
    pub aside: Option<PathBuf>,
}

impl Outbox {
    pub fn open(path: &Path) -> io::Result<(Self, Found)> {
        let (twin, found) = Twin::open(path, KIND, SIZE)?;
        let block = found.block.unwrap_or_default();
        let rows = block.chunks_exact(size_of::<Row>()).filter_map(|bytes| Row::read_from_bytes(bytes).ok());
        let letters = rows.filter(|row| row.wall_ms != 0).map(|row| row.letter()).collect();
        Ok((Self(twin), Found { letters, aside: found.aside }))
    }

    /// Writes down what there is now; what is more than there is room for is left out.
    pub fn save<'a>(&mut self, letters: impl Iterator<Item = &'a Letter>) -> io::Result<()> {
        let mut block = Vec::with_capacity(SIZE);
        letters.take(LETTERS).for_each(|letter| block.extend_from_slice(Row::of(letter).as_bytes()));
        block.resize(SIZE, 0);
        self.0.write(&block)
    }
}

impl Outbox {
    /// Whether somebody has taken the file away.
    pub fn is_removed(&self) -> bool {
        self.0.is_removed()
    }
}

impl Row {
    fn of(letter: &Letter) -> Self {
        Self {
            // A row of the year 1970 would be a free one.
            wall_ms: letter.wall_ms.max(1),
            tries: letter.tries,
            is_over: letter.is_over.into(),
            report: fixed(&letter.report),
            channel: fixed(&letter.channel),
            text: fixed(&letter.text),
        }
    }

    fn letter(&self) -> Letter {
        Letter {
            report: text(&self.report).to_owned(),
            channel: text(&self.channel).to_owned(),
            text: text(&self.text).to_owned(),
            wall_ms: self.wall_ms,
            tries: self.tries,
            is_over: self.is_over != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn letter(number: u64) -> Letter {
        Letter {
            report: "a".repeat(32),
            channel: format!("mail:{}", "b".repeat(80)),
            text: format!("{number:0512}"),
            wall_ms: number,
            tries: u32::MAX,
            is_over: number.is_multiple_of(2),
        }
    }

    #[test]
    fn letters_are_found_again_in_their_order_and_never_more_than_there_is_room_for() {
        let scratch = Scratch::new();
        let path = scratch.join("outbox");
        let (mut outbox, found) = Outbox::open(&path).expect("it opens");
        assert!(found.letters.is_empty() && found.aside.is_none());
        for count in [1, 3, 0, LETTERS, LETTERS + 5] {
            let letters: Vec<Letter> = (1..).take(count).map(letter).collect();
            outbox.save(letters.iter()).expect("it can be written");
            let (_, found) = Outbox::open(&path).expect("it opens");
            assert_eq!(found.letters, letters[..count.min(LETTERS)]);
        }
        assert_eq!(size_of::<Row>(), 664);
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_a_cut_write_leaves_the_one_before() {
        let scratch = Scratch::new();
        let path = scratch.join("outbox");
        let (mut outbox, _) = Outbox::open(&path).expect("it opens");
        outbox.save([letter(1)].iter()).expect("it can be written");
        let before = std::fs::read(&path).expect("it is there");
        outbox.save([letter(1), letter(2)].iter()).expect("it can be written");
        let after = std::fs::read(&path).expect("it is there");
        for cut in (0..after.len()).step_by(97) {
            let torn = [&after[..cut], &before[cut..]].concat();
            std::fs::write(&path, torn).expect("ours");
            let (_, found) = Outbox::open(&path).expect("it opens");
            assert!(found.aside.is_none() && matches!(found.letters.len(), 1 | 2), "cut at {cut}");
        }
        std::fs::write(&path, b"something else").expect("ours");
        let (_, found) = Outbox::open(&path).expect("it opens");
        assert!(found.letters.is_empty() && found.aside.is_some());
    }
}
