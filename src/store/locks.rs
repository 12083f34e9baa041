//! What promises have done, and who is at it: the file `promises` in the state directory, shared by the daemon and by passes
//! that cron starts.
//!
//! A header and 512 rows of 64 bytes, found by the hash of the promise's kind and id. A row says when the promise last acted,
//! what is left of its limit and how long it leaves things alone; with the boot id, so that it is understood after a boot.
//! Who acts holds a lock on the bytes of the row (of the open file, so it ends with its holder however that ends). A row that
//! is cut or damaged is as good as none: the promise may act once too early, never too late. Nothing is cached.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use watchd_probes::Now;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::model::{Acts, PROMISES, is_begun};

const MAGIC: [u8; 64] = {
    let mut magic = [0; 64];
    let (head, _) = magic.split_at_mut(18);
    head.copy_from_slice(b"watchd promises 1\n");
    magic
};

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Row {
    crc: u32,
    flags: u32,
    /// 0 in a free row.
    key: u64,
    boot: u64,
    /// When it was written, in milliseconds on both clocks.
    mono: u64,
    wall: u64,
    /// How long ago it had acted last.
    last: u64,
    left: f64,
    cooling: u64,
}

const ROW: usize = size_of::<Row>();
const BYTES: u64 = (ROW * (1 + PROMISES)) as u64;

const TOLD: u32 = 1;
const ACTED: u32 = 2;
const LIMITED: u32 = 4;

/// The open file.
pub struct Locks {
    file: File,
    boot: u64,
}

/// Whether the row of a promise could be taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Taken {
    /// It is ours until [`Locks::release`]; what was remembered, if anything was.
    Ours(Option<Acts>),
    /// Another process is at it.
    Busy,
}

/// The key of a promise; never 0.
pub fn key(kind: &str, id: &str) -> u64 {
    let bytes = kind.bytes().chain([0]).chain(id.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)).max(1)
}

/// A key in half the room, for where a mistake costs a word.
#[allow(clippy::cast_possible_truncation, reason = "half of it is wanted")]
pub const fn short(key: u64) -> u32 {
    (key ^ key >> 32) as u32
}

impl Locks {
    /// Opens or makes the file. What is no such file is set aside and a new one begun: at most a promise acts too early. Gives
    /// also where it was put.
    pub fn open(path: &Path, boot: &[u8; 40]) -> io::Result<(Self, Option<PathBuf>)> {
        let (mut file, mut aside) = (make(path)?, None);
        let mut head = [0; ROW];
        file.read_exact_at(&mut head, 0)?;
        if !is_begun(&head, &MAGIC) {
            let name = PathBuf::from(format!("{}.damaged", path.display()));
            std::fs::rename(path, &name)?;
            (file, aside) = (make(path)?, Some(name));
        }
        if head != MAGIC {
            file.write_all_at(&MAGIC, 0)?;
        }
        Ok((Self { file, boot: u64::from_le_bytes(key_bytes(boot)) }, aside))
    }

    /// Whether somebody has taken the file away.
    pub fn is_removed(&self) -> bool {
        crate::sys::files::is_removed(&self.file)
    }

    /// What is remembered of a promise.
    pub fn read(&self, key: u64, now: Now) -> io::Result<Option<Acts>> {
        Ok(self.find(key)?.and_then(|(_, row)| row).map(|row| row.acts(self.boot, now)))
    }

    /// Takes the row of a promise, unless another process has it.
    pub fn take(&self, key: u64, now: Now) -> io::Result<Taken> {
        let place = match self.find(key)? {
            Some((place, _)) => place,
            None => match self.make(key, now)? {
                Some(place) => place,
                None => return Ok(Taken::Busy),
            },
        };
        if !self.lock(libc::F_WRLCK, offset(place))? {
            return Ok(Taken::Busy);
        }
        // Only what is read now was not changed since.
        let row = self.row(place)?.filter(|row| row.key == key && row.flags != 0);
        Ok(Taken::Ours(row.map(|row| row.acts(self.boot, now))))
    }

    /// Remembers what a promise has done.
    pub fn write(&self, key: u64, acts: &Acts, now: Now) -> io::Result<()> {
        let Some((place, _)) = self.find(key)? else { return Ok(()) };
        self.put(place, Row::of(key, self.boot, acts, now))
    }

    /// Lets the row of a promise go.
    pub fn release(&self, key: u64) -> io::Result<()> {
        match self.find(key)? {
            Some((place, _)) => self.lock(libc::F_UNLCK, offset(place)).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Where the row of a key is. A row that is damaged is nobody's, but does not end the search.
    fn find(&self, key: u64) -> io::Result<Option<(usize, Option<Row>)>> {
        for step in 0..PROMISES {
            let place = home(key, step);
            match self.row(place)? {
                Some(row) if row.key == key => return Ok(Some((place, (row.flags != 0).then_some(row)))),
                Some(row) if row.key == 0 => return Ok(None),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Makes a row for a key: the first that is free, else the one that was written longest ago. None while another
    /// process makes one.
    fn make(&self, key: u64, now: Now) -> io::Result<Option<usize>> {
        if !self.lock(libc::F_WRLCK, 0)? {
            return Ok(None);
        }
        let mut oldest = (u64::MAX, home(key, 0));
        for step in 0..PROMISES {
            let place = home(key, step);
            let age = match self.row(place)? {
                Some(row) if row.key != 0 => row.wall,
                _ => 0,
            };
            oldest = oldest.min((age, place));
            if age == 0 {
                break;
            }
        }
        let mut row = Row::of(key, self.boot, &Acts::default(), now);
        row.flags = 0;
        let made = self.put(oldest.1, row);
        self.lock(libc::F_UNLCK, 0)?;
        made.map(|()| Some(oldest.1))
    }

    /// A row as it stands; none when it is damaged.
    fn row(&self, place: usize) -> io::Result<Option<Row>> {
        let mut row = Row::new_zeroed();
        self.file.read_exact_at(row.as_mut_bytes(), offset(place))?;
        Ok(Some(row).filter(|row| row.as_bytes() == [0; ROW] || row.crc == checksum(row)))
    }

    fn put(&self, place: usize, mut row: Row) -> io::Result<()> {
        row.crc = checksum(&row);
        self.file.write_all_at(row.as_bytes(), offset(place))
    }

    /// Locks or unlocks a row without waiting; says whether that was done.
    fn lock(&self, kind: i32, start: u64) -> io::Result<bool> {
        let short = |value: i32| i16::try_from(value).unwrap_or_default();
        let range = libc::flock {
            l_type: short(kind),
            l_whence: short(libc::SEEK_SET),
            l_start: i64::try_from(start).map_err(|_| io::ErrorKind::InvalidInput)?,
            l_len: i64::try_from(ROW).map_err(|_| io::ErrorKind::InvalidInput)?,
            l_pid: 0,
        };
        match fcntl(&self.file, FcntlArg::F_OFD_SETLK(&range)) {
            Ok(_) => Ok(true),
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

fn make(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    crate::sys::files::reserve(&file, 0, BYTES)?;
    Ok(file)
}

impl Row {
    fn of(key: u64, boot: u64, acts: &Acts, now: Now) -> Self {
        let flag = |on: bool, flag: u32| if on { flag } else { 0 };
        Self {
            crc: 0,
            flags: flag(acts.told, TOLD) | flag(acts.last.is_some(), ACTED) | flag(acts.left.is_some(), LIMITED),
            key,
            boot,
            mono: millis(now.mono),
            wall: millis(now.wall),
            last: millis(acts.last.unwrap_or_default()),
            left: acts.left.unwrap_or_default(),
            cooling: millis(acts.cooling),
        }
    }

    fn acts(&self, boot: u64, now: Now) -> Acts {
        // The clock that nobody sets counts within a boot; over one there is only the calendar.
        let age = if self.boot == boot {
            millis(now.mono).saturating_sub(self.mono)
        } else {
            millis(now.wall).saturating_sub(self.wall)
        };
        Acts {
            age: Duration::from_millis(age),
            last: (self.flags & ACTED != 0).then(|| Duration::from_millis(self.last)),
            left: (self.flags & LIMITED != 0).then_some(self.left),
            cooling: Duration::from_millis(self.cooling),
            told: self.flags & TOLD != 0,
        }
    }
}

/// Where a key is looked for at the given step.
fn home(key: u64, step: usize) -> usize {
    let slots = PROMISES as u64;
    usize::try_from((key % slots + step as u64) % slots).unwrap_or(0)
}

fn offset(place: usize) -> u64 {
    (ROW * (1 + place)) as u64
}

fn checksum(row: &Row) -> u32 {
    crc32fast::hash(row.as_bytes().get(4..).unwrap_or_default())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn key_bytes(boot: &[u8; 40]) -> [u8; 8] {
    key("boot", &String::from_utf8_lossy(boot)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn at(mono: u64, wall: u64) -> Now {
        Now { mono: Duration::from_secs(mono), wall: Duration::from_secs(wall) }
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_row_is_one_processs_at_a_time_and_remembers() {
        let scratch = Scratch::new();
        let path = scratch.join("promises");
        let open = |boot: u8| Locks::open(&path, &[boot; 40]).expect("it can be opened").0;
        let (ours, theirs, key) = (open(1), open(1), key("command", "clean"));
        assert_eq!(ours.read(key, at(5, 50)).expect("it can be read"), None);
        assert_eq!(ours.take(key, at(5, 50)).expect("it works"), Taken::Ours(None));
        assert_eq!(theirs.take(key, at(5, 50)).expect("it works"), Taken::Busy);
        let acts = Acts { last: Some(secs(0)), left: Some(1.5), cooling: secs(9), told: true, ..Acts::default() };
        ours.write(key, &acts, at(6, 60)).expect("it can be written");
        ours.release(key).expect("it works");
        let later = Acts { age: secs(4), ..acts };
        assert_eq!(theirs.take(key, at(10, 3)).expect("it works"), Taken::Ours(Some(later)));
        drop(theirs);
        assert_eq!(
            ours.take(key, at(10, 3)).expect("it works"),
            Taken::Ours(Some(later)),
            "a lock ends with its holder"
        );
        let after_boot = Acts { age: secs(40), ..acts };
        assert_eq!(open(2).read(key, at(1, 100)).expect("it can be read"), Some(after_boot));
        assert_eq!(std::fs::metadata(&path).expect("it is there").len(), BYTES);
    }

    #[test]
    fn damage_forgets_and_never_locks_out() {
        let scratch = Scratch::new();
        let path = scratch.join("promises");
        std::fs::write(&path, "no such file").expect("it can be written");
        let (locks, aside) = Locks::open(&path, &[1; 40]).expect("it is begun anew");
        let kept = std::fs::read(aside.expect("it is kept")).expect("it is there");
        assert!(kept.starts_with(b"no such file"));
        let acts = Acts { last: Some(secs(1)), ..Acts::default() };
        for id in ["a", "b"] {
            assert_eq!(locks.take(key("command", id), at(1, 1)).expect("it works"), Taken::Ours(None));
            locks.write(key("command", id), &acts, at(1, 1)).expect("it can be written");
        }
        let (place, _) = locks.find(key("command", "a")).expect("it can be read").expect("it is there");
        locks.file.write_all_at(b"\xff", offset(place) + 20).expect("it can be written");
        assert_eq!(locks.read(key("command", "a"), at(1, 1)).expect("it can be read"), None);
        assert_eq!(locks.take(key("command", "a"), at(1, 1)).expect("it works"), Taken::Ours(None));
        assert!(locks.read(key("command", "b"), at(1, 1)).expect("it can be read").is_some());
    }

    #[test]
    fn a_full_file_forgets_the_oldest() {
        let scratch = Scratch::new();
        let (locks, _) = Locks::open(&scratch.join("promises"), &[1; 40]).expect("it can be opened");
        let acts = Acts { last: Some(secs(0)), ..Acts::default() };
        for number in 0..=PROMISES as u64 {
            let (key, now) = (key("command", &format!("c{number}")), at(number + 1, number + 1));
            assert!(matches!(locks.take(key, now).expect("it works"), Taken::Ours(_)), "{number}");
            locks.write(key, &acts, now).expect("it can be written");
            locks.release(key).expect("it works");
        }
        let read = |number: usize| locks.read(key("command", &format!("c{number}")), at(1, 1)).expect("it can be read");
        assert_eq!((read(0).is_some(), read(1).is_some(), read(PROMISES).is_some()), (false, true, true));
    }
}
