//! The way to the host's files: `Host` holds the root directory, `Source` one file that is read again and again.
//!
//! A read goes to the end of the file before anything is parsed, into one shared buffer that grows at most to
//! `BUFFER_MAX`. A source keeps its descriptor open and re-reads it from the start; /proc makes the text anew at offset 0.

use std::os::fd::OwnedFd;
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
}

impl Host {
    /// Opens the root directory, `/` or that of a fixture.
    pub fn open(root: &std::path::Path) -> Result<Self, Fault> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(root, flags, Mode::empty()).map_err(|errno| Fault::io("", errno))?;
        Ok(Self { root })
    }

    /// Opens a file for reading by its path from the root, without a leading slash.
    pub fn open_file(&self, path: &str) -> Result<OwnedFd, rustix::io::Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        rustix::fs::openat(&self.root, path, flags, Mode::empty())
    }

    /// Opens a directory to list it.
    pub fn open_dir(&self, path: &str) -> Result<OwnedFd, rustix::io::Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
        rustix::fs::openat(&self.root, path, flags, Mode::empty())
    }
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
                if len >= BUFFER_MAX {
                    return Err(Fault::TooLong { path });
                }
                self.0.resize(len * 2, 0);
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

    /// The whole text. An empty text, or one that does not end its last line, is refused: half a number is a wrong number.
    pub fn read<'b>(&mut self, look: &'b mut Look<'_>) -> Result<&'b [u8], Fault> {
        let file = match self.file.take() {
            Some(file) => file,
            None => look.host.open_file(self.path).map_err(|errno| Fault::io(self.path, errno))?,
        };
        // A failed read drops the descriptor, so that the next turn opens the file anew.
        let text = look.buffer.fill(&file, self.path)?;
        self.file = Some(file);
        if text.last() != Some(&b'\n') {
            return Err(Fault::malformed(self.path, 0, text));
        }
        Ok(text)
    }
}

/// Keeps dear work cheap: what took `t` is not done again before `t` × [`Pace::SHARE`] has passed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    next: Duration,
}

impl Pace {
    /// A thousandth of one CPU.
    pub const SHARE: u32 = 1000;

    pub fn is_due(&self, now: Now) -> bool {
        now.mono >= self.next
    }

    /// Says how long the work took that was begun at `now`.
    pub fn took(&mut self, now: Now, took: Duration) {
        self.next = now.mono + took * Self::SHARE;
    }
}
