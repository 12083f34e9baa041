//! The way to the host's files: `Host` holds the root directory, `Source` one file that is read again and again.
//!
//! A read goes to the end of the file before anything is parsed, into one shared buffer that grows at most to
//! `BUFFER_MAX`. A source keeps its descriptor open and re-reads it from the start; /proc makes the text anew at offset 0.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use crate::Fault;

/// The largest file a probe reads. /proc/interrupts of 300 CPUs and 1,000 lines is about 4 MB; nothing here needs it whole.
pub const BUFFER_MAX: usize = 1 << 20;

/// Where the buffer starts: /proc/stat of 32 CPUs and a long `intr` line fits.
const BUFFER_START: usize = 16 << 10;

/// Clocks, read once per turn by the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// Time since boot that does not stop and cannot be set; what deadlines are made of.
    pub mono: Duration,
    /// Time since 1970, which may jump.
    pub wall: Duration,
}

/// The root below which `proc` and `sys` are found, held as an open directory.
pub struct Host {
    root: OwnedFd,
    is_native: bool,
}

impl Host {
    /// Opens the root directory, `/` or that of a fixture.
    pub fn open(root: &std::path::Path) -> Result<Self, Fault> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let is_native = root == std::path::Path::new("/");
        let root = rustix::fs::open(root, flags, Mode::empty()).map_err(|errno| Fault::io("", errno))?;
        Ok(Self { root, is_native })
    }

    /// Whether this is the tree we run in, rather than another host's seen from a container, or a fixture.
    pub fn is_native(&self) -> bool {
        self.is_native
    }

    /// Opens a file for reading by its path from the root, without a leading slash.
    pub fn open_file(&self, path: &str) -> Result<OwnedFd, rustix::io::Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        rustix::fs::openat(&self.root, path, flags, Mode::empty())
    }

    /// Reads a small file in one go; its path is made at run time. What does not fit is an error, not a cut text.
    pub fn read_small<'t>(&self, path: &[u8], text: &'t mut [u8]) -> Result<&'t [u8], rustix::io::Errno> {
        read_small_at(&self.root, path, text)
    }

    /// The one number of a file of /proc/sys or /sys that is read so seldom that it is not kept open; none when there is no such file.
    pub fn read_number(&self, path: &'static str) -> Result<Option<u64>, Fault> {
        let mut text = [0; 32];
        let read = self.read_small(path.as_bytes(), &mut text).map_err(|errno| Fault::io(path, errno));
        crate::fault::if_present(read)?.map(|text| only_number(path, text)).transpose()
    }

    /// Whether a directory has this entry; a link is one wherever it leads, and nothing is opened.
    pub fn has_entry(&self, dir: &[u8], name: &[u8]) -> bool {
        let mut path = [0; 256];
        let bytes = dir.iter().chain(name);
        if dir.len() + name.len() > path.len() {
            return false;
        }
        path.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let path = path.get(..dir.len() + name.len()).unwrap_or_default();
        rustix::fs::statat(&self.root, path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// The directory all paths start from.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens a directory to list it.
    pub fn open_dir(&self, path: &str) -> Result<OwnedFd, rustix::io::Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
        rustix::fs::openat(&self.root, path, flags, Mode::empty())
    }
}

fn only_number(path: &'static str, text: &[u8]) -> Result<u64, Fault> {
    let digits = text.strip_suffix(b"\n").unwrap_or_default();
    crate::Cursor::new(digits).whole_number().ok_or_else(|| Fault::malformed(path, 1, text))
}

/// Takes a line and its number from 1.
pub type TakeLine<'t> = dyn FnMut(u32, &[u8]) -> Result<(), Fault> + 't;

/// Reads a small file below an open directory in one call. The kernel gives a file of one record whole or not at all,
/// so a read that leaves room in the text has seen the end.
pub(crate) fn read_small_at<'t>(
    dir: impl AsFd,
    path: &[u8],
    text: &'t mut [u8],
) -> Result<&'t [u8], rustix::io::Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let file = rustix::fs::openat(dir, path, flags, Mode::empty())?;
    let room = text.len();
    let read = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut *text))?;
    if read == room {
        return Err(rustix::io::Errno::FBIG);
    }
    Ok(text.get(..read).unwrap_or_default())
}

/// The one read buffer, shared by all probes of a turn.
pub struct Buffer(Vec<u8>);

impl Default for Buffer {
    fn default() -> Self {
        Self(vec![0; BUFFER_START])
    }
}

impl Buffer {
    /// Reads a descriptor from its start to its end; the text stands in the buffer until the next read.
    pub fn fill(&mut self, file: &OwnedFd, path: &'static str) -> Result<&[u8], Fault> {
        let mut len = 0;
        loop {
            if len == self.0.len() {
                self.grow(path)?;
            }
            let free = self.0.get_mut(len..).unwrap_or_default();
            match rustix::io::pread(file, free, len as u64) {
                Ok(0) => break,
                Ok(read) => len += read,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(Fault::io(path, errno)),
            }
        }
        Ok(self.0.get(..len).unwrap_or_default())
    }
}

impl Buffer {
    /// Gives the complete lines of a file one after the other without ever holding all of it: the buffer grows only
    /// for a line that is longer than it. A last line without its newline is refused.
    pub fn each_line(&mut self, file: &OwnedFd, path: &'static str, give: &mut TakeLine<'_>) -> Result<(), Fault> {
        let (mut kept, mut offset, mut number) = (0, 0, 0);
        loop {
            if kept == self.0.len() {
                self.grow(path)?;
            }
            let free = self.0.get_mut(kept..).unwrap_or_default();
            let read = match rustix::io::pread(file, free, offset) {
                Ok(read) => read,
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(Fault::io(path, errno)),
            };
            let text = self.0.get(..kept + read).unwrap_or_default();
            if read == 0 {
                return if kept == 0 { Ok(()) } else { Err(Fault::malformed(path, number + 1, text)) };
            }
            offset += read as u64;
            let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
            for (_, line) in crate::lines(text.get(..end).unwrap_or_default()) {
                number += 1;
                give(number, line)?;
            }
            self.0.copy_within(end..kept + read, 0);
            kept = kept + read - end;
        }
    }

    fn grow(&mut self, path: &'static str) -> Result<(), Fault> {
        if self.0.len() >= BUFFER_MAX {
            return Err(Fault::TooLong { path });
        }
        self.0.resize(self.0.len() * 2, 0);
        Ok(())
    }
}

/// What a probe gets to work with: the host, the buffer, the time of the turn.
pub struct Look<'a> {
    pub host: &'a Host,
    pub buffer: &'a mut Buffer,
    pub now: Now,
}

/// A file that is read every turn.
pub struct Source {
    path: &'static str,
    file: Option<OwnedFd>,
}

impl Source {
    /// `path` is from the root, without a leading slash: `proc/stat`.
    pub const fn new(path: &'static str) -> Self {
        Self { path, file: None }
    }

    pub fn path(&self) -> &'static str {
        self.path
    }

    /// Whatever the file holds, text or not.
    pub fn read_bytes<'b>(&mut self, look: &'b mut Look<'_>) -> Result<&'b [u8], Fault> {
        let file = match self.file.take() {
            Some(file) => file,
            None => look.host.open_file(self.path).map_err(|errno| Fault::io(self.path, errno))?,
        };
        // A failed read drops the descriptor, so that the next turn opens the file anew.
        let bytes = look.buffer.fill(&file, self.path)?;
        self.file = Some(file);
        Ok(bytes)
    }

    /// The whole text. An empty text, or one that does not end its last line, is refused: half a number is a wrong number.
    pub fn read<'b>(&mut self, look: &'b mut Look<'_>) -> Result<&'b [u8], Fault> {
        let path = self.path;
        let text = self.read_bytes(look)?;
        if text.last() != Some(&b'\n') {
            return Err(Fault::malformed(path, 0, text));
        }
        Ok(text)
    }

    /// The whole text of a list, which is empty where there is nothing to list: a machine without a disk has an empty /proc/diskstats.
    pub fn read_list<'b>(&mut self, look: &'b mut Look<'_>) -> Result<&'b [u8], Fault> {
        let path = self.path;
        let text = self.read_bytes(look)?;
        match text.last() {
            None | Some(b'\n') => Ok(text),
            _ => Err(Fault::malformed(path, 0, text)),
        }
    }

    /// Whether the file is kept open, that is, was read without a failure.
    pub fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Whether the kernel says that the file changed since this was asked last. The mount table does that.
    pub fn has_news(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let Some(file) = &self.file else { return true };
        let mut files = [PollFd::new(file, PollFlags::PRI)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let changed = PollFlags::PRI | PollFlags::ERR;
        poll(&mut files, Some(&now)).is_ok_and(|ready| ready > 0)
            && files.iter().any(|file| file.revents().intersects(changed))
    }

    /// The one number that a file of /sys or /proc/sys holds.
    pub fn single(&mut self, look: &mut Look<'_>) -> Result<u64, Fault> {
        let path = self.path;
        let text = self.read(look)?;
        crate::Fields::new(text).number().ok_or_else(|| Fault::malformed(path, 1, text))
    }

    /// The lines of a file that is too long to be held, one after the other; see [`Buffer::each_line`].
    pub fn each_line(&mut self, look: &mut Look<'_>, give: &mut TakeLine<'_>) -> Result<(), Fault> {
        let file = match self.file.take() {
            Some(file) => file,
            None => look.host.open_file(self.path).map_err(|errno| Fault::io(self.path, errno))?,
        };
        look.buffer.each_line(&file, self.path, give)?;
        self.file = Some(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_cut_or_none_is_refused() {
        let path = "proc/sys/some";
        assert_eq!(only_number(path, b"1532\n"), Ok(1532));
        for text in ["1532", "", "\n", "-1\n", "x\n", "1 2\n", "18446744073709551616\n", "1\0\n"] {
            assert_eq!(only_number(path, text.as_bytes()), Err(Fault::malformed(path, 1, text.as_bytes())), "{text:?}");
        }
    }

    #[test]
    fn a_file_larger_than_the_buffer_is_read_line_by_line() {
        let path = std::env::temp_dir().join(format!("watchd-lines-{}", std::process::id()));
        let text: String = (0..9_000).map(|number| format!("line {number}\n")).collect();
        let read = |text: &str| {
            std::fs::write(&path, text).expect("a file can be written");
            let file = OwnedFd::from(std::fs::File::open(&path).expect("it is there"));
            std::fs::remove_file(&path).expect("it can be removed");
            let mut buffer = Buffer(vec![0; 64]);
            let mut lines = Vec::new();
            let result = buffer.each_line(&file, "some", &mut |number, line| {
                lines.push((number, String::from_utf8_lossy(line).into_owned()));
                Ok(())
            });
            (result, lines, buffer.0.len())
        };
        let (result, lines, room) = read(&text);
        assert_eq!((result, lines.len(), room), (Ok(()), 9_000, 64));
        assert!(
            lines
                .iter()
                .zip(0..)
                .all(|((number, line), place)| *number == place + 1 && *line == format!("line {place}"))
        );
        let (result, lines, _) = read("whole\ncut");
        assert_eq!((result, lines.len()), (Err(Fault::malformed("some", 2, b"cut")), 1));
        let long = "x".repeat(1_000);
        let (result, lines, room) = read(&format!("{long}\n"));
        assert_eq!((result, lines, room), (Ok(()), vec![(1, long)], 1_024));
    }
}
