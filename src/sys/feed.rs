//! A file to which somebody appends lines (O_APPEND) and from which we take them, so that whoever writes never waits for us.
//!
//! What was taken is made zeros at once, by punching a hole: the file never needs more room than what is still to be taken, and the
//! zeros themselves say how far we were, whoever takes the next line. Where no hole can be punched, zeros are written, and the file is
//! cut to nothing whenever all of it is taken; what is written in the moment before that cut is lost.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{FallocateFlags, fallocate};

/// A longer line is given in pieces.
pub const LONGEST: usize = 1024;
/// So much is read at once.
const ROOM: usize = 4096;
/// A file of this apparent size is begun anew when all of it is taken.
const FULL: u64 = 1 << 40;

/// The file and how far we are.
#[derive(Debug)]
pub struct Feed {
    file: File,
    at: u64,
    /// How long it was at the last look.
    seen: u64,
    /// A hole could not be punched.
    is_solid: bool,
}

/// How a look at the file came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// What is there has no end yet.
    All,
    /// There is more.
    Some,
    /// Whoever takes the lines did not take the next one.
    Refused,
}

impl Feed {
    /// Opens or makes the file; who writes to it opens it by its name.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        let mut options = OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(false).mode(0o640).custom_flags(flags).open(path)?;
        let found = file.metadata()?;
        if !found.is_file() || found.nlink() > 1 {
            return Err(io::Error::other("it is no file, or has more than one name"));
        }
        Ok(Self { at: first_data(&file, found.len()), file, seen: 0, is_solid: false })
    }

    /// Whether nobody could open it by its name any more.
    pub fn is_removed(&self) -> bool {
        super::files::is_removed(&self.file)
    }

    /// Gives line after line, without their ends, until about `most` bytes are taken or one is refused.
    pub fn take(&mut self, most: u64, give: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<Taken> {
        self.seen = self.file.metadata()?.len();
        let begin = self.at;
        let taken = self.take_from(begin.saturating_add(most), give);
        self.clear(begin)?;
        if matches!(taken, Ok(Taken::All)) {
            self.begin_anew()?;
        }
        taken
    }

    fn take_from(&mut self, end: u64, give: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<Taken> {
        let mut room = [0; ROOM];
        while self.at < end {
            let read = self.file.read_at(&mut room, self.at)?;
            let mut text = room.get(..read).unwrap_or_default();
            let mut has_moved = false;
            while self.at < end {
                let blank = text.iter().take_while(|byte| **byte == 0).count();
                text = text.get(blank..).unwrap_or_default();
                let stop = text.iter().position(|byte| matches!(byte, b'\n' | 0));
                let (line, step) = match stop {
                    Some(stop) => (stop.min(LONGEST), if stop <= LONGEST { stop + 1 } else { LONGEST }),
                    None if text.len() >= LONGEST => (LONGEST, LONGEST),
                    None => {
                        self.at += blank as u64;
                        has_moved |= blank > 0;
                        break;
                    }
                };
                let is_taken = line == 0 || give(text.get(..line).unwrap_or_default());
                self.at += blank as u64;
                if !is_taken {
                    return Ok(Taken::Refused);
                }
                (self.at, has_moved) = (self.at + step as u64, true);
                text = text.get(step..).unwrap_or_default();
            }
            if !has_moved {
                return Ok(Taken::All);
            }
        }
        Ok(Taken::Some)
    }

    /// When more than so many bytes are still to be taken, leaves the newest half of so many. Gives how many are lost by that.
    pub fn skip(&mut self, most: u64) -> io::Result<u64> {
        let size = self.file.metadata()?.len();
        if size < self.at {
            // Somebody has cut it.
            self.at = first_data(&self.file, size);
        }
        let waiting = size.saturating_sub(self.at);
        if waiting <= most {
            return Ok(0);
        }
        let (begin, lost) = (self.at, waiting - most / 2);
        self.at += lost;
        self.clear(begin)?;
        Ok(lost)
    }

    /// Whether something came since the last look.
    pub fn has_more(&self) -> bool {
        self.file.metadata().is_ok_and(|found| found.len() != self.seen)
    }

    /// Makes zeros of what was taken.
    fn clear(&mut self, begin: u64) -> io::Result<()> {
        if begin >= self.at {
            return Ok(());
        }
        if !self.is_solid {
            let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            let range = (libc::off_t::try_from(begin), libc::off_t::try_from(self.at - begin));
            let (Ok(begin), Ok(length)) = range else { return Err(io::ErrorKind::FileTooLarge.into()) };
            self.is_solid = fallocate(&self.file, flags, begin, length).is_err();
        }
        if self.is_solid {
            let mut from = begin;
            while from < self.at {
                let length = (self.at - from).min(ROOM as u64);
                self.file
                    .write_all_at([0; ROOM].get(..usize::try_from(length).unwrap_or(ROOM)).unwrap_or_default(), from)?;
                from += length;
            }
        }
        Ok(())
    }

    /// All of it is taken: a file that only grows is begun anew.
    fn begin_anew(&mut self) -> io::Result<()> {
        let size = self.file.metadata()?.len();
        let is_large = size > FULL || self.is_solid && size > 64 << 10;
        if size < self.at || is_large && size == self.at {
            self.file.set_len(0)?;
            (self.at, self.seen) = (0, 0);
        }
        Ok(())
    }
}

/// Where the first byte is that may be no zero.
fn first_data(file: &File, size: u64) -> u64 {
    // SAFETY: asks for a place in a file of ours; every read says itself where it reads.
    let found = unsafe { libc::lseek(file.as_raw_fd(), 0, libc::SEEK_DATA) };
    match u64::try_from(found) {
        Ok(found) => found,
        // Nothing but a hole.
        Err(_) if io::Error::last_os_error().raw_os_error() == Some(libc::ENXIO) => size,
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::io::Write;

    fn writer(path: &Path) -> File {
        OpenOptions::new().append(true).create(true).open(path).expect("a file can be made")
    }

    fn all(feed: &mut Feed) -> Vec<String> {
        let mut lines = Vec::new();
        let taken = feed.take(1 << 30, &mut |line| {
            lines.push(String::from_utf8_lossy(line).into_owned());
            true
        });
        assert_eq!(taken.expect("it can be read"), Taken::All);
        lines
    }

    #[test]
    fn each_line_is_taken_once_whoever_takes_it_and_leaves_no_room_behind() {
        let dir = Scratch::new();
        let path = dir.join("feed");
        let mut feed = Feed::open(&path).expect("it can be made");
        let mut writer = writer(&path);
        let (mut written, mut taken) = (Vec::new(), Vec::new());
        for round in 0..60 {
            for number in 0..200 {
                let line = format!("line {number} of {round} {}", "x".repeat(number % 90));
                writeln!(writer, "{line}").expect("it can be written");
                written.push(line);
            }
            write!(writer, "part ").expect("it can be written");
            taken.extend(all(&mut feed));
            assert_eq!(taken.len(), written.len(), "what has no end yet stays");
            writeln!(writer, "of {round}").expect("it can be written");
            written.push(format!("part of {round}"));
            if round % 7 == 0 {
                feed = Feed::open(&path).expect("it is there");
            }
        }
        taken.extend(all(&mut feed));
        assert!(taken == written);
        assert!(!feed.has_more());
        let found = std::fs::metadata(&path).expect("it is there");
        assert!(found.len() > 400_000 && found.blocks() * 512 <= 64 << 10, "{} {}", found.len(), found.blocks());
        assert_eq!(all(&mut Feed::open(&path).expect("it is there")), [""; 0]);
    }

    #[test]
    fn what_is_refused_comes_again_and_what_is_too_much_is_counted() {
        let dir = Scratch::new();
        let path = dir.join("feed");
        let mut feed = Feed::open(&path).expect("it can be made");
        let mut writer = writer(&path);
        writeln!(writer, "one\n\ntwo\nthree").expect("it can be written");
        let mut seen = Vec::new();
        let taken = feed.take(1 << 20, &mut |line| {
            seen.push(line.to_vec());
            line != b"two"
        });
        assert_eq!((taken.expect("it can be read"), seen.len()), (Taken::Refused, 2));
        assert_eq!(feed.take(1, &mut |_| true).expect("it can be read"), Taken::Some);
        assert_eq!(all(&mut feed), ["three"]);
        writer.write_all(&b"0123456789\n".repeat(100)).expect("it can be written");
        assert_eq!(feed.skip(1100).expect("it can be asked"), 0);
        assert_eq!(feed.skip(44).expect("it can be asked"), 1100 - 22);
        assert_eq!(all(&mut feed), ["0123456789"; 2]);
    }

    #[test]
    fn what_is_no_line_is_given_in_pieces_and_zeros_are_nothing() {
        let dir = Scratch::new();
        let path = dir.join("feed");
        let mut feed = Feed::open(&path).expect("it can be made");
        let mut writer = writer(&path);
        writer.write_all(&b"x".repeat(5 * LONGEST + 10)).expect("it can be written");
        let lengths = |lines: Vec<String>| lines.iter().map(String::len).collect::<Vec<_>>();
        assert_eq!(lengths(all(&mut feed)), [LONGEST; 5]);
        writer.write_all(b"\n\0\0a\0b\xff\n\0").expect("it can be written");
        assert_eq!(all(&mut feed), ["x".repeat(10), "a".to_owned(), "b\u{fffd}".to_owned()]);
        writer.write_all(&[0; 3 * ROOM]).expect("it can be written");
        assert_eq!(all(&mut feed), [""; 0]);
        writeln!(writer, "behind").expect("it can be written");
        assert_eq!(all(&mut feed), ["behind"]);
    }

    #[test]
    fn where_no_hole_can_be_made_it_is_cut_when_all_is_taken() {
        let dir = Scratch::new();
        let path = dir.join("feed");
        let mut feed = Feed { is_solid: true, ..Feed::open(&path).expect("it can be made") };
        let mut writer = writer(&path);
        for round in 0..5 {
            writer.write_all(&b"0123456789\n".repeat(7000)).expect("it can be written");
            assert_eq!(all(&mut feed).len(), 7000, "{round}");
            assert_eq!(std::fs::metadata(&path).expect("it is there").len(), 0);
        }
        writeln!(writer, "a\nb").expect("it can be written");
        assert_eq!(all(&mut feed), ["a", "b"]);
        assert_eq!(all(&mut Feed::open(&path).expect("it is there")), [""; 0]);
        // Somebody else cuts it.
        writer.set_len(0).expect("it is ours");
        writeln!(writer, "c").expect("it can be written");
        assert_eq!(feed.skip(1 << 20).expect("it can be asked"), 0);
        assert_eq!(all(&mut feed), ["c"]);
    }

    #[test]
    fn a_link_or_a_file_of_two_names_is_refused() {
        let dir = Scratch::new();
        std::fs::write(dir.join("target"), "x\n").expect("a file can be written");
        std::os::unix::fs::symlink(dir.join("target"), dir.join("link")).expect("a link can be made");
        assert!(Feed::open(&dir.join("link")).is_err());
        std::fs::hard_link(dir.join("target"), dir.join("second")).expect("a name can be given");
        assert!(Feed::open(&dir.join("second")).is_err());
        assert!(Feed::open(&dir).is_err());
    }
}
