//! The profiles on disk: the file `learned` in the state directory, read and written a few KiB at a time, so that none is resident.
//!
//! ```text
//!  head 4 KiB | group 0: sheet, sheet, 24 blocks | group 1 ...        8 quantities a group, 64 KiB: 8 KiB each
//!  sheet       the pulses of 8 quantities; two copies, written in turn, so that a torn one costs a minute
//!  block       one hour of the day: its quarters on seven days, on any day, and its spreads; of 8 quantities
//! ```
//!
//! A group is observed once a minute, and touches one sheet and one block: two pages or three. Everything carries a CRC32. A block
//! that is damaged begins anew and is not judged by until its hour has been seen again; a group whose sheets are both damaged begins
//! anew; a file that is none is set aside. Nothing is flushed: what a power cut takes is learned again.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::block::{Block, HOURS};
use super::profile::Pulse;
use super::season::Place;
use super::{Judgement, Sample, Settings, Week};
use crate::model::{QUANTITIES, is_begun};

/// Quantities side by side.
pub const GROUP: usize = 8;
pub const GROUPS: usize = QUANTITIES / GROUP;

const MAGIC: &[u8; 18] = b"watchd learned 2\n\0";
const HEAD: u64 = 4096;
const SHEET: u64 = 4096;
const GROUP_BYTES: u64 = 64 << 10;

#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Row {
    /// Fingerprint of the quantity's name; 0 when the place is free.
    key: u64,
    pulse: Pulse,
}

#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Sheet {
    crc: u32,
    serial: u32,
    rows: [Row; GROUP],
}

const BLOCK: u64 = size_of::<Block>() as u64;
const _: () = assert!(size_of::<Sheet>() as u64 <= SHEET);
const _: () = assert!(2 * SHEET + HOURS as u64 * BLOCK <= GROUP_BYTES && GROUP_BYTES <= GROUP as u64 * 8192);

/// What was found broken when the book was opened.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Where a file that was no book was put.
    pub aside: Option<PathBuf>,
    /// Groups that begin anew.
    pub groups: usize,
}

/// How a group was observed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Its hour begins anew.
    pub is_damaged: bool,
}

/// When a group is observed, and how it is judged.
#[derive(Clone, Copy)]
pub struct Minute<'a> {
    pub at: i64,
    pub week_s: u32,
    pub settings: &'a Settings,
}

/// The open file, and which quantity stands where.
pub struct Book {
    file: File,
    keys: [u64; QUANTITIES],
    serials: [u32; GROUPS],
    groups: usize,
}

/// What a quantity is found by. Never 0.
pub fn key(name: &str) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    name.bytes().fold(0xcbf2_9ce4_8422_2325, mix).max(1)
}

impl Book {
    /// Opens the book for writing, or begins one.
    pub fn open(path: &Path) -> io::Result<(Self, Damage)> {
        let mut damage = Damage::default();
        let mut file = open_or_make(path)?;
        if !is_book(&file)? {
            let aside = PathBuf::from(format!("{}.damaged", path.display()));
            std::fs::rename(path, &aside)?;
            damage.aside = Some(aside);
            file = open_or_make(path)?;
        }
        let mut book = Self::new(file);
        damage.groups = book.take_up()?;
        Ok((book, damage))
    }

    /// Opens it for looking only.
    pub fn open_for_reading(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if !is_book(&file)? {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no book of the learner"));
        }
        Ok(Self::new(file))
    }

    /// A book to look into; who stands where is looked up each time, for its writer may change that.
    pub fn new(file: File) -> Self {
        Self { file, keys: [0; QUANTITIES], serials: [0; GROUPS], groups: 0 }
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// Reads which quantity stands where; gives how many groups are lost.
    fn take_up(&mut self) -> io::Result<usize> {
        let length = self.file.metadata()?.len();
        self.groups = usize::try_from(length.saturating_sub(HEAD) / GROUP_BYTES).unwrap_or(0).min(GROUPS);
        let mut lost = 0;
        for group in 0..self.groups {
            let Some(sheet) = self.newest(group)? else {
                lost += usize::from(!self.was_never_whole(group)?);
                continue;
            };
            let keys = self.keys.iter_mut().skip(group * GROUP);
            keys.zip(&sheet.rows).for_each(|(key, row)| *key = row.key);
            if let Some(serial) = self.serials.get_mut(group) {
                *serial = sheet.serial;
            }
        }
        Ok(lost)
    }

    /// Gives each quantity a place, in the order of their keys; a place of one that is not wanted any more is taken when none is free.
    pub fn adopt(&mut self, wanted: &[u64]) -> io::Result<heapless::Vec<u8, QUANTITIES>> {
        let mut places: [Option<usize>; QUANTITIES] = [None; QUANTITIES];
        let mut fresh = [false; QUANTITIES];
        for (place, key) in places.iter_mut().zip(wanted) {
            *place = self.keys.iter().position(|known| known == key);
        }
        for (place, key) in places.iter_mut().zip(wanted) {
            if place.is_some() {
                continue;
            }
            let free = self.keys.iter().position(|known| *known == 0);
            let unwanted = || self.keys.iter().position(|known| !wanted.contains(known));
            *place = free.or_else(unwanted);
            let Some(place) = *place else { continue };
            if let (Some(known), Some(fresh)) = (self.keys.get_mut(place), fresh.get_mut(place)) {
                (*known, *fresh) = (*key, true);
            }
        }
        let needed = places.iter().flatten().max().map_or(0, |place| place / GROUP + 1);
        self.reserve(needed)?;
        for (group, fresh) in fresh.chunks(GROUP).enumerate().filter(|(_, fresh)| fresh.contains(&true)) {
            self.begin(group, fresh)?;
        }
        Ok(places.iter().zip(wanted).filter_map(|(place, _)| u8::try_from((*place)?).ok()).collect())
    }

    /// The disk's room, so that no later write can find it full.
    fn reserve(&mut self, groups: usize) -> io::Result<()> {
        if groups > self.groups {
            let bytes = i64::try_from(start(groups)).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
            while let Err(errno) = nix::fcntl::posix_fallocate(&self.file, 0, bytes) {
                // A signal meanwhile is no failure.
                if errno != nix::errno::Errno::EINTR {
                    return Err(errno.into());
                }
            }
            self.file.write_all_at(MAGIC, 0)?;
            self.groups = groups;
        }
        Ok(())
    }

    /// Forgets what stood in some places of a group, and writes who stands there now.
    fn begin(&mut self, group: usize, fresh: &[bool]) -> io::Result<()> {
        for hour in 0..HOURS {
            let mut block = self.block(group, hour)?.unwrap_or_else(Block::new_zeroed);
            let each = fresh.iter().enumerate().filter(|(_, fresh)| **fresh);
            for (column, _) in each {
                block.forget(column);
            }
            self.write_block(group, hour, &mut block)?;
        }
        let mut sheet = self.newest(group)?.unwrap_or_else(Sheet::new_zeroed);
        let keys = self.keys.iter().skip(group * GROUP);
        for ((row, key), fresh) in sheet.rows.iter_mut().zip(keys).zip(fresh) {
            row.key = *key;
            if *fresh {
                row.pulse = Pulse::default();
            }
        }
        self.write_sheet(group, &mut sheet)
    }

    /// Observes some quantities of a group; `samples` gives what was measured at a place of the group, `judged` gets the judgement.
    pub fn observe(
        &mut self,
        group: usize,
        minute: Minute<'_>,
        samples: &dyn Fn(usize) -> Option<Option<f64>>,
        judged: &mut dyn FnMut(usize, &Judgement),
    ) -> io::Result<Read> {
        let Minute { at, week_s, settings } = minute;
        let place = Place::of(week_s);
        let hour = place.quarter / 4;
        let mut sheet = self.newest(group)?.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        let block = self.block(group, hour)?;
        let is_damaged = block.is_none();
        let mut block = block.unwrap_or_else(Block::new_zeroed);
        for (column, row) in sheet.rows.iter_mut().enumerate() {
            let Some(value) = samples(column) else { continue };
            let mut moment = block.moment(place, column);
            let judgement = row.pulse.observe(&mut moment, &Sample { at, week_s, value }, settings);
            block.put(place, column, &moment);
            judged(column, &judgement);
        }
        self.write_block(group, hour, &mut block)?;
        self.write_sheet(group, &mut sheet)?;
        Ok(Read { is_damaged })
    }

    /// What is usual for a quantity over the week, as far as is known now; none while it is being learned.
    pub fn week(&self, key: u64, settings: &Settings) -> io::Result<Option<Week>> {
        let Some((group, column, pulse)) = self.pulse(key)? else { return Ok(None) };
        let mut week = Week::new(pulse.since());
        for hour in 0..HOURS {
            // An hour that is damaged, or written just now, is not known.
            let Some(block) = self.block(group, hour)? else { continue };
            for place in Place::of_hour(hour) {
                if let Some(band) = pulse.band(&block.moment(place, column), settings) {
                    week.put(place, band);
                }
            }
        }
        Ok(week.is_known().then_some(week))
    }

    /// Where a quantity stands, and its pulse.
    fn pulse(&self, key: u64) -> io::Result<Option<(usize, usize, Pulse)>> {
        for group in 0..GROUPS {
            let sheet = match self.newest(group) {
                Ok(sheet) => sheet,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error),
            };
            let Some(sheet) = sheet else { continue };
            if let Some((column, row)) = sheet.rows.iter().enumerate().find(|(_, row)| row.key == key) {
                return Ok(Some((group, column, row.pulse.clone())));
            }
        }
        Ok(None)
    }

    /// The newer of the sheets that are whole.
    fn newest(&self, group: usize) -> io::Result<Option<Sheet>> {
        let one = self.sheet(group, 0)?;
        let other = self.sheet(group, 1)?;
        Ok(match (one, other) {
            (Some(one), Some(other)) => Some(if other.serial.wrapping_sub(one.serial) < 1 << 31 { other } else { one }),
            (one, other) => one.or(other),
        })
    }

    fn sheet(&self, group: usize, copy: u64) -> io::Result<Option<Sheet>> {
        let mut sheet = Sheet::new_zeroed();
        self.file.read_exact_at(sheet.as_mut_bytes(), start(group) + copy * SHEET)?;
        Ok((sheet.serial != 0 && sheet.crc == crc(sheet.as_bytes())).then_some(sheet))
    }

    /// One sheet was never written: the other is a first write that was cut at most, and nothing is lost.
    fn was_never_whole(&self, group: usize) -> io::Result<bool> {
        let mut word = [0; 8];
        let mut is_blank = false;
        for copy in 0..2 {
            self.file.read_exact_at(&mut word, start(group) + copy * SHEET)?;
            is_blank |= word == [0; 8];
        }
        Ok(is_blank)
    }

    /// Writes over the older copy.
    fn write_sheet(&mut self, group: usize, sheet: &mut Sheet) -> io::Result<()> {
        sheet.serial = sheet.serial.wrapping_add(1).max(1);
        sheet.crc = crc(sheet.as_bytes());
        self.file.write_all_at(sheet.as_bytes(), start(group) + u64::from(sheet.serial % 2) * SHEET)
    }

    /// None when it is damaged; one that was never written is blank.
    fn block(&self, group: usize, hour: usize) -> io::Result<Option<Block>> {
        let mut block = Block::new_zeroed();
        self.file.read_exact_at(block.as_mut_bytes(), block_start(group, hour))?;
        let blank = block.crc == 0 && block.as_bytes().iter().all(|byte| *byte == 0);
        Ok((blank || block.crc == crc(block.as_bytes())).then_some(block))
    }

    fn write_block(&self, group: usize, hour: usize, block: &mut Block) -> io::Result<()> {
        block.crc = crc(block.as_bytes());
        self.file.write_all_at(block.as_bytes(), block_start(group, hour))
    }
}

/// Of everything behind the first word.
fn crc(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes.get(4..).unwrap_or_default())
}

const fn start(group: usize) -> u64 {
    HEAD + group as u64 * GROUP_BYTES
}

const fn block_start(group: usize, hour: usize) -> u64 {
    start(group) + 2 * SHEET + hour as u64 * BLOCK
}

/// Nothing yet, zeros (reserved, and the power lost before the head was written), or a book.
fn is_book(file: &File) -> io::Result<bool> {
    let mut head = [0; MAGIC.len()];
    match file.read_exact_at(&mut head, 0) {
        Ok(()) => Ok(is_begun(&head, MAGIC)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(file.metadata()?.len() == 0),
        Err(error) => Err(error),
    }
}

fn open_or_make(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC;
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o644).custom_flags(flags).open(path)
}

#[cfg(test)]
mod tests {
    use super::super::Profile;
    use super::*;
    use crate::scratch::Scratch;

    const STEP: i64 = 900;
    const BEGIN: i64 = 1_768_780_800;

    fn settings() -> Settings {
        Settings { learning_s: 7 * 86_400, ..Settings::default() }
    }

    fn value(at: i64, of: usize) -> f64 {
        let hour = (at / 3600 % 24) as f64;
        (of + 1) as f64 * (100.0 + 10.0 * hour) + ((at / STEP * 7919) % 101) as f64
    }

    fn week(at: i64) -> u32 {
        u32::try_from((at - 4 * 86_400).rem_euclid(7 * 86_400)).expect("below a week")
    }

    /// Observes two quantities of group 0 for so long; gives the last judgement of each.
    fn live(book: &mut Book, from: i64, to: i64) -> Vec<(usize, Judgement)> {
        let mut last = Vec::new();
        for at in (from..to).step_by(900) {
            last.clear();
            let sample = |column: usize| (column < 2).then(|| Some(value(at, column)));
            book.observe(
                0,
                Minute { at, week_s: week(at), settings: &settings() },
                &sample,
                &mut |column, judgement| {
                    last.push((column, *judgement));
                },
            )
            .expect("it can be written");
        }
        last
    }

    fn keys() -> [u64; 2] {
        [key("load.one"), key("load.five")]
    }

    #[test]
    fn on_disk_it_learns_what_it_learns_in_memory() {
        let scratch = Scratch::new();
        let (mut book, damage) = Book::open(&scratch.join("learned")).expect("it can be made");
        assert_eq!(damage, Damage::default());
        assert_eq!(book.adopt(&keys()).expect("there is room").as_slice(), [0, 1]);
        let to = BEGIN + 10 * 86_400;
        let on_disk = live(&mut book, BEGIN, to);
        for (column, judgement) in on_disk {
            let mut profile = Profile::default();
            let mut last = None;
            for at in (BEGIN..to).step_by(900) {
                let sample = Sample { at, week_s: week(at), value: Some(value(at, column)) };
                last = Some(profile.observe(&sample, &settings()));
            }
            assert_eq!(Some(judgement), last);
        }
    }

    #[test]
    fn it_goes_on_where_it_was_left_and_keeps_places() {
        let scratch = Scratch::new();
        let path = scratch.join("learned");
        let (mut book, _) = Book::open(&path).expect("it can be made");
        book.adopt(&keys()).expect("there is room");
        let half = BEGIN + 8 * 86_400;
        live(&mut book, BEGIN, half);
        drop(book);
        let (mut again, damage) = Book::open(&path).expect("it opens");
        assert_eq!(damage, Damage::default());
        let [one, five] = keys();
        assert_eq!(again.adopt(&[five, key("new"), one]).expect("there is room").as_slice(), [1, 2, 0]);
        let usual = again.week(five, &settings()).expect("it is read").expect("it is known");
        let now = usual.over(week(half), 900).expect("it is known");
        assert!((f64::from(now.expected) - value(half, 1)).abs() < 150.0, "{now:?}");
        assert!(now.low < now.expected && now.expected < now.high, "{now:?}");
        assert_eq!(usual.since(), u64::try_from(BEGIN).expect("it is after 1970"));
        assert!(again.week(key("new"), &settings()).expect("it is read").is_none());
        let looked = Book::open_for_reading(&path).expect("it opens");
        let looked = looked.week(five, &settings()).expect("it is read").expect("it is known");
        for week_s in (0..7 * 86_400).step_by(900) {
            assert_eq!(looked.over(week_s, 900), usual.over(week_s, 900), "{week_s}");
        }
        // Each hour is found in its own block: values differ from hour to hour by 20, and by chance from 0 to 100.
        for hour in 0..24_u32 {
            let found = usual.over(hour * 3600, 3600).expect("it is known").expected;
            let expect = 200.0 + 20.0 * hour as f32 + 50.0;
            assert!((found - expect).abs() < 60.0, "{hour}: {found}, not {expect}");
        }
        assert!(std::fs::metadata(&path).expect("it is there").len() <= 8192 * 8 + 4096);
    }

    #[test]
    fn what_is_not_wanted_any_more_gives_its_place_when_none_is_free() {
        let scratch = Scratch::new();
        let (mut book, _) = Book::open(&scratch.join("learned")).expect("it can be made");
        let all: Vec<u64> = (0..QUANTITIES).map(|number| key(&format!("q{number}"))).collect();
        assert_eq!(book.adopt(&all).expect("there is room").len(), QUANTITIES);
        let next = [all.get(..QUANTITIES - 1).expect("all but one"), &[key("other")]].concat();
        assert_eq!(book.adopt(&next).expect("there is room").last(), Some(&63));
    }

    #[test]
    fn a_torn_sheet_costs_a_minute_and_a_torn_block_an_hour() {
        let scratch = Scratch::new();
        let path = scratch.join("learned");
        let (mut book, _) = Book::open(&path).expect("it can be made");
        book.adopt(&keys()).expect("there is room");
        let to = BEGIN + 9 * 86_400;
        live(&mut book, BEGIN, to);
        drop(book);
        let file = OpenOptions::new().write(true).open(&path).expect("it opens");
        file.write_all_at(b"torn", start(0) + 100).expect("it can be written");
        let (mut book, damage) = Book::open(&path).expect("it opens");
        assert_eq!(damage, Damage::default(), "the other sheet is whole");
        assert!(book.week(key("load.one"), &settings()).expect("it is read").is_some());
        file.write_all_at(b"torn", block_start(0, 0) + 100).expect("it can be written");
        let mut seen = Vec::new();
        let read = book.observe(
            0,
            Minute { at: to, week_s: week(to), settings: &settings() },
            &|column| (column == 0).then_some(Some(1e9)),
            &mut |_, found| {
                seen.push(*found);
            },
        );
        assert_eq!(read.expect("it is read"), Read { is_damaged: true });
        assert!(
            seen.iter().all(|found| found.classes() == crate::model::Findings::default()),
            "an hour that is not known finds nothing"
        );
        file.write_all_at(b"torn", start(0) + 100)
            .and_then(|()| file.write_all_at(b"torn", start(0) + SHEET + 100))
            .expect("written");
        let (_, damage) = Book::open(&path).expect("it opens");
        assert_eq!(damage, Damage { aside: None, groups: 1 });
    }

    #[test]
    fn what_is_no_book_is_set_aside_and_any_cut_is_borne() {
        let scratch = Scratch::new();
        let path = scratch.join("learned");
        std::fs::write(&path, b"something else entirely").expect("it can be written");
        let (_, damage) = Book::open(&path).expect("it opens");
        assert_eq!(damage.aside, Some(scratch.join("learned.damaged")));
        let (mut book, _) = Book::open(&path).expect("it opens");
        book.adopt(&keys()).expect("there is room");
        live(&mut book, BEGIN, BEGIN + 86_400);
        let whole = std::fs::read(&path).expect("it can be read");
        for cut in (0..whole.len()).step_by(997) {
            std::fs::write(&path, whole.get(..cut).expect("within it")).expect("it can be written");
            let (mut book, _) = Book::open(&path).expect("it opens");
            book.adopt(&keys()).expect("there is room");
            live(&mut book, BEGIN + 86_400, BEGIN + 90_000);
        }
    }

    #[test]
    fn a_clock_that_jumps_is_borne() {
        let scratch = Scratch::new();
        let (mut book, _) = Book::open(&scratch.join("learned")).expect("it can be made");
        book.adopt(&keys()).expect("there is room");
        live(&mut book, BEGIN, BEGIN + 8 * 86_400);
        for at in [BEGIN + 4_000_000_000, 0, i64::MAX, BEGIN, -5, BEGIN + 8 * 86_400] {
            let judged = live(&mut book, at, at.saturating_add(3_600));
            assert!(judged.iter().all(|(_, judgement)| judgement.band.expected.is_finite()), "{at}");
        }
    }
}
