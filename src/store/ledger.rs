//! What watchd must know of its services after it was killed: the file `services` in the state directory.
//!
//! A header of 256 bytes, then for each service two copies of a row of 256 bytes. A change goes to the older copy, with a
//! checksum and the next number, so that a write that is cut leaves the copy before it. Nothing is mapped, nothing grows:
//! 65 KB on disk, 2 KB in memory. Writes are not flushed: they survive the death of watchd, which is what they are for.
//! A file that cannot be understood is set aside as `services.damaged`; its sound rows go into the new one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zerocopy::{FromZeros, IntoBytes};

use crate::model::{Record, SERVICES, is_begun};
use crate::sys::files::{is_removed, reserve};

mod row;

use row::{Row, checksum, key};

/// The bytes of a row, and of the header.
const ROW: usize = 256;

/// What the file begins with; the number is the layout's.
const MAGIC: &[u8; 18] = b"watchd services 1\n";

/// Header and two copies of every row.
pub const SIZE: u64 = (ROW * (1 + 2 * SERVICES)) as u64;

/// Which start of the system: /proc/sys/kernel/random/boot_id, filled up with zeros.
pub type BootId = [u8; 40];

/// Where the bytes are: a file, or something that stands in for one in a test.
pub trait Blob {
    fn load(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
    fn store(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
}

impl Blob for File {
    fn load(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(bytes, offset)
    }

    fn store(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }
}

/// What is remembered of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recalled {
    ThisBoot(Record),
    /// Its processes and moments are those of another boot.
    EarlierBoot(Record),
}

/// One copy of a row, as it was found.
enum Copy {
    Empty,
    Sound(Box<Row>),
    Damaged,
}

/// The place of one service.
#[derive(Clone, Copy, Default)]
struct Slot {
    key: u64,
    sequence: u32,
    /// Which copy is the newer one.
    newer: u8,
    /// A service of the policy; others make room when it is needed.
    in_use: bool,
}

/// The open file.
pub struct Ledger<B = File> {
    blob: B,
    boot: BootId,
    slots: [Slot; SERVICES],
}

impl Ledger<File> {
    /// Opens or makes the file. Gives also where a damaged one was put.
    pub fn open(path: &Path, boot: BootId) -> io::Result<(Self, Option<PathBuf>)> {
        let (file, is_new) = make(path)?;
        let mut salvaged = Vec::new();
        if is_new || Self::survey(&file, &mut salvaged)? {
            file.store(&header(), 0)?;
            return Ok((Self::new(file, boot)?, None));
        }
        let aside = PathBuf::from(format!("{}.damaged", path.display()));
        std::fs::rename(path, &aside)?;
        let (file, _) = make(path)?;
        file.store(&header(), 0)?;
        for (place, row) in (0..).zip(salvaged) {
            file.store(row.as_bytes(), offset(place, 0))?;
        }
        Ok((Self::new(file, boot)?, Some(aside)))
    }

    /// Opens a file that cannot be written now, for what it remembers: without it a service that runs would be started once more.
    pub fn open_for_reading(path: &Path, boot: BootId) -> io::Result<Self> {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let found = file.metadata()?;
        let mut head = [0; ROW];
        if !found.is_file() || found.len() != SIZE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        file.load(&mut head, 0)?;
        if head == header() { Self::new(file, boot) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    /// Whether somebody has taken the file away.
    pub fn is_removed(&self) -> bool {
        is_removed(&self.blob)
    }

    /// Whether the whole file is sound; gives the rows that are.
    fn survey(file: &File, sound: &mut Vec<Row>) -> io::Result<bool> {
        let mut head = [0; ROW];
        file.load(&mut head, 0)?;
        let mut is_sound = is_begun(&head, &header());
        for place in 0..SERVICES {
            match newest(file, place)? {
                (Copy::Sound(row), _) => sound.push(*row),
                (Copy::Empty, _) => {}
                (Copy::Damaged, _) => is_sound = false,
            }
        }
        Ok(is_sound)
    }
}

fn make(path: &Path) -> io::Result<(File, bool)> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    // Reserved now, so that a full disk refuses here and not when a row has to be written.
    reserve(&file, 0, SIZE)?;
    Ok((file, found.len() == 0))
}

fn header() -> [u8; ROW] {
    let mut bytes = [0; ROW];
    for (to, from) in bytes.iter_mut().zip(MAGIC) {
        *to = *from;
    }
    bytes
}

impl<B: Blob> Ledger<B> {
    /// Takes up what stands in the rows; damaged ones count as free.
    pub fn new(blob: B, boot: BootId) -> io::Result<Self> {
        let mut slots = [Slot::default(); SERVICES];
        for (place, slot) in slots.iter_mut().enumerate() {
            if let (Copy::Sound(row), newer) = newest(&blob, place)? {
                *slot = Slot { key: row.key, sequence: row.sequence, newer, in_use: false };
            }
        }
        Ok(Self { blob, boot, slots })
    }

    /// What is remembered of a service.
    pub fn recall(&mut self, id: &str) -> io::Result<Option<Recalled>> {
        let Some(place) = self.place(id) else { return Ok(None) };
        let (Copy::Sound(row), _) = newest(&self.blob, place)? else { return Ok(None) };
        let record = row.record();
        let same = row.boot == self.boot;
        if let Some(slot) = self.slots.get_mut(place) {
            slot.in_use = true;
        }
        Ok(Some(if same { Recalled::ThisBoot(record) } else { Recalled::EarlierBoot(record) }))
    }

    /// Remembers a service. When this fails, what was remembered before still stands.
    pub fn write(&mut self, id: &str, record: &Record) -> io::Result<()> {
        let free = |slot: &Slot| slot.key == 0;
        let place = self
            .place(id)
            .or_else(|| self.slots.iter().position(free))
            .or_else(|| self.slots.iter().position(|slot| !slot.in_use))
            .ok_or(io::ErrorKind::StorageFull)?;
        self.put(place, Row::new(id, record, self.boot))
    }

    /// A service is not in the policy any more. It is remembered until its row is needed: should it come back to the
    /// policy, its process must not be started a second time.
    pub fn release(&mut self, id: &str) {
        if let Some(slot) = self.place(id).and_then(|place| self.slots.get_mut(place)) {
            slot.in_use = false;
        }
    }

    fn place(&self, id: &str) -> Option<usize> {
        let key = key(id);
        self.slots.iter().position(|slot| slot.key == key)
    }

    fn put(&mut self, place: usize, mut row: Row) -> io::Result<()> {
        let Some(slot) = self.slots.get_mut(place) else { return Ok(()) };
        let sequence = slot.sequence.wrapping_add(1).max(1);
        let next = Slot { key: row.key, sequence, newer: 1 - slot.newer.min(1), in_use: true };
        row.sequence = next.sequence;
        row.crc = checksum(&row);
        self.blob.store(row.as_bytes(), offset(place, next.newer))?;
        *slot = next;
        Ok(())
    }
}

fn offset(place: usize, copy: u8) -> u64 {
    (ROW * (1 + 2 * place + usize::from(copy))) as u64
}

/// The newer sound copy of a row, and which it is. A single copy that is damaged is a write that was cut; two are damage.
fn newest(blob: &impl Blob, place: usize) -> io::Result<(Copy, u8)> {
    let (first, second) = (copy(blob, place, 0)?, copy(blob, place, 1)?);
    Ok(match (first, second) {
        (Copy::Sound(first), Copy::Sound(second)) => {
            // Numbers wrap; of two neighbours the one just after the other is newer.
            if second.sequence.wrapping_sub(first.sequence) < u32::MAX / 2 {
                (Copy::Sound(second), 1)
            } else {
                (Copy::Sound(first), 0)
            }
        }
        (Copy::Sound(row), _) => (Copy::Sound(row), 0),
        (_, Copy::Sound(row)) => (Copy::Sound(row), 1),
        (Copy::Damaged, Copy::Damaged) => (Copy::Damaged, 0),
        (Copy::Empty | Copy::Damaged, Copy::Empty | Copy::Damaged) => (Copy::Empty, 0),
    })
}

fn copy(blob: &impl Blob, place: usize, copy: u8) -> io::Result<Copy> {
    let mut row = Row::new_zeroed();
    blob.load(row.as_mut_bytes(), offset(place, copy))?;
    Ok(if row.as_bytes() == [0; ROW] {
        Copy::Empty
    } else if row.crc == checksum(&row) {
        Copy::Sound(Box::new(row))
    } else {
        Copy::Damaged
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Errand, Identity, Pause, Wish};
    use crate::scratch::Scratch;

    const BOOT: BootId = [b'1'; 40];

    fn record(restarts: u32) -> Record {
        Record {
            wish: Wish::Stopped,
            halting: true,
            ailment: Some(crate::model::Ailment::Unhealthy),
            started: true,
            own: true,
            seeking: true,
            identity: Some(Identity { pid: 77, start_ticks: 9 }),
            command: Some((Errand::Stop, Identity { pid: 78, start_ticks: 10 })),
            until: Duration::from_millis(5),
            attempt: Duration::from_millis(6),
            pause: Some(Pause { mono: Duration::MAX, wall: Duration::from_secs(1_700_000_000) }),
            budget: Duration::from_secs(8),
            wait: Duration::MAX,
            level: 3,
            strikes: 4,
            restarts,
            heard: true,
            pressed: Some(Duration::from_secs(7)),
            comm: *b"served\0\0\0\0\0\0\0\0\0\0",
        }
    }

    #[test]
    fn what_was_written_is_recalled_in_this_boot_and_told_from_another() {
        let scratch = Scratch::new();
        let path = scratch.join("services");
        let (mut ledger, aside) = Ledger::open(&path, BOOT).expect("a new file can be made");
        assert!(aside.is_none());
        ledger.write("web", &record(1)).expect("a row can be written");
        ledger.write("db", &Record::default()).expect("a row can be written");
        ledger.write("web", &record(2)).expect("a row can be written");
        for (boot, expect) in [(BOOT, Recalled::ThisBoot(record(2))), ([b'2'; 40], Recalled::EarlierBoot(record(2)))] {
            let (mut ledger, aside) = Ledger::open(&path, boot).expect("the file is there");
            assert!(aside.is_none());
            assert_eq!(ledger.recall("web").expect("it can be read"), Some(expect));
            assert_eq!(ledger.recall("mail").expect("it can be read"), None);
        }
        assert_eq!(std::fs::metadata(&path).expect("it is there").len(), SIZE);
    }

    #[test]
    fn a_write_cut_at_any_byte_leaves_the_one_before() {
        for cut in 0..ROW {
            let scratch = Scratch::new();
            let path = scratch.join("services");
            let (mut ledger, _) = Ledger::open(&path, BOOT).expect("a new file can be made");
            ledger.write("web", &record(1)).expect("a row can be written");
            let (mut before, mut after) = ([0; ROW], [0; ROW]);
            ledger.blob.load(&mut before, offset(0, 1)).expect("it can be read");
            ledger.write("web", &record(2)).expect("a row can be written");
            ledger.write("web", &record(3)).expect("a row can be written");
            ledger.blob.load(&mut after, offset(0, 1)).expect("it can be read");
            before[..cut].copy_from_slice(&after[..cut]);
            ledger.blob.store(&before, offset(0, 1)).expect("it can be written");
            let (mut ledger, aside) = Ledger::open(&path, BOOT).expect("the file is there");
            assert!(aside.is_none());
            let recalled = ledger.recall("web").expect("it can be read");
            // A cut before the first changed byte leaves the old copy whole; the second is newer than that.
            let same = before == after;
            assert_eq!(recalled, Some(Recalled::ThisBoot(record(if same { 3 } else { 2 }))), "cut at {cut}");
        }
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_its_sound_rows_are_kept() {
        for (claim, at) in [("its header", 3), ("both copies of a row", offset(1, 0) + 40)] {
            let scratch = Scratch::new();
            let path = scratch.join("services");
            let (mut ledger, _) = Ledger::open(&path, BOOT).expect("a new file can be made");
            for id in ["web", "db"] {
                ledger.write(id, &record(1)).expect("a row can be written");
                ledger.write(id, &record(2)).expect("a row can be written");
            }
            ledger.blob.store(b"\xff\xff", at).expect("it can be written");
            if at > ROW as u64 {
                ledger.blob.store(b"\xff\xff", at + ROW as u64).expect("it can be written");
            }
            let (mut ledger, aside) = Ledger::open(&path, BOOT).expect("a new one is made");
            assert!(aside.is_some_and(|aside| aside.ends_with("services.damaged")), "{claim}");
            assert_eq!(ledger.recall("web").expect("it can be read"), Some(Recalled::ThisBoot(record(2))), "{claim}");
            let db = ledger.recall("db").expect("it can be read");
            assert_eq!(db.is_some(), at == 3, "{claim}");
            let (_, aside) = Ledger::open(&path, BOOT).expect("it is there");
            assert!(aside.is_none(), "the new one is sound");
        }
    }

    #[test]
    fn a_full_policy_fits_and_one_more_is_refused() {
        let scratch = Scratch::new();
        let path = scratch.join("services");
        let (mut ledger, _) = Ledger::open(&path, BOOT).expect("a new file can be made");
        for number in 0..SERVICES {
            ledger.write(&format!("s{number}"), &record(1)).expect("there is room");
        }
        assert!(ledger.write("more", &record(1)).is_err());
        ledger.release("s5");
        ledger.write("more", &record(1)).expect("there is room again");
        assert_eq!(ledger.recall("s5").expect("it can be read"), None);
        assert!(ledger.recall("s6").expect("it can be read").is_some());
    }

    #[test]
    fn what_cannot_be_written_is_remembered_all_the_same() {
        let scratch = Scratch::new();
        let path = scratch.join("services");
        assert!(Ledger::open_for_reading(&path, BOOT).is_err(), "there is none");
        let (mut ledger, _) = Ledger::open(&path, BOOT).expect("a new file can be made");
        ledger.write("web", &record(1)).expect("a row can be written");
        let mut ledger = Ledger::open_for_reading(&path, BOOT).expect("it is there");
        assert_eq!(ledger.recall("web").expect("it can be read"), Some(Recalled::ThisBoot(record(1))));
        assert!(ledger.write("web", &record(2)).is_err());
        std::fs::write(&path, b"short").expect("it can be written");
        assert!(Ledger::open_for_reading(&path, BOOT).is_err());
    }

    #[test]
    fn something_else_in_its_place_is_refused() {
        let scratch = Scratch::new();
        let path = scratch.join("services");
        std::os::unix::fs::symlink("/dev/null", &path).expect("a link can be made");
        assert!(Ledger::open(&path, BOOT).is_err());
    }
}
