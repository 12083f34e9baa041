//! One process from /proc/PID/stat: `11206 (a) Z 1) S 812 11206 812 34816 11206 4194304 187 0 0 0 3 1 0 0 20 0 1 0 55170 …`.
//!
//! The name stands in parentheses and may hold blanks and parentheses itself, so it ends at the last one. Fields are
//! those of proc_pid_stat(5) up to the 24th. A text that does not end in a newline was cut and is refused.

use std::os::fd::AsFd;

use crate::path::Path;
use crate::{Cursor, Fault, Fields, Look};

/// Two parentheses, 64 bytes of name and 50 numbers of at most 20 digits.
pub(crate) const STAT_ROOM: usize = 1536;

const PATH: &str = "proc/PID/stat";

/// The kernel's mark of a task without a program, `PF_KTHREAD` of include/linux/sched.h.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// What one process says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub pid: i32,
    pub ppid: i32,
    pub pgrp: i32,
    pub session: i32,
    /// The number of its terminal's device as the kernel packs it; 0 for none.
    pub terminal: u32,
    /// The kernel's letter: `R S D T t Z X I`.
    pub state: u8,
    pub flags: u64,
    /// Times are ticks of 1/100 s.
    pub utime: u64,
    pub stime: u64,
    /// Of children that were waited for, and theirs.
    pub cutime: u64,
    pub cstime: u64,
    pub nice: i64,
    pub threads: u64,
    /// Ticks from boot to start; with the pid it names a process for as long as the host is up.
    pub start_ticks: u64,
    pub vsize: u64,
    pub rss_pages: u64,
    pub comm: Comm,
}

/// The short name of a process: what was run, or what it calls itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Comm {
    bytes: [u8; Comm::ROOM],
    len: u8,
}

impl Comm {
    /// 15 bytes for a program, up to 63 for a kernel worker.
    const ROOM: usize = 64;

    fn new(name: &[u8]) -> Self {
        let mut bytes = [0; Self::ROOM];
        let mut len = 0;
        for (slot, byte) in bytes.iter_mut().zip(name) {
            *slot = *byte;
            len += 1;
        }
        Self { bytes, len }
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl std::fmt::Debug for Comm {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

impl Stat {
    /// Reads the text; none when it is cut or not of this form.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let line = text.strip_suffix(b"\n")?;
        let open = line.iter().position(|byte| *byte == b'(')?;
        let close = line.iter().rposition(|byte| *byte == b')')?;
        let pid = Fields::new(line.get(..open)?).number()?;
        let mut fields = Fields::new(line.get(close + 1..)?);
        let [state] = fields.next()? else { return None };
        let id = |fields: &mut Fields<'_>| i32::try_from(signed(fields.next()?)?).ok();
        let (ppid, pgrp, session) = (id(&mut fields)?, id(&mut fields)?, id(&mut fields)?);
        let mut field = |skip: usize| signed(fields.nth(skip)?);
        // Behind the session: terminal, its foreground group, flags, four counts of faults.
        let [terminal, flags] = [field(0)?, field(1)?];
        let [utime, stime, cutime, cstime] = [field(4)?, field(0)?, field(0)?, field(0)?];
        let [nice, threads, start, vsize, rss] = [field(1)?, field(0)?, field(1)?, field(0)?, field(0)?];
        let count = |value: i128| u64::try_from(value).ok();
        Some(Self {
            pid: i32::try_from(pid).ok()?,
            ppid,
            pgrp,
            session,
            // Written as a signed number, though it is none.
            terminal: u32::try_from(terminal & 0xffff_ffff).ok()?,
            state: *state,
            flags: count(flags)?,
            utime: count(utime)?,
            stime: count(stime)?,
            cutime: count(cutime)?,
            cstime: count(cstime)?,
            nice: i64::try_from(nice).ok()?,
            threads: count(threads)?,
            start_ticks: count(start)?,
            vsize: count(vsize)?,
            rss_pages: count(rss)?,
            comm: Comm::new(line.get(open + 1..close)?),
        })
    }

    pub fn is_kernel_thread(&self) -> bool {
        self.flags & KERNEL_THREAD != 0
    }

    /// Ended, but its parent has not asked how.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }

    /// Ticks of this process and of all its children that were waited for.
    pub fn cpu_ticks(&self) -> u64 {
        [self.stime, self.cutime, self.cstime].into_iter().fold(self.utime, u64::saturating_add)
    }

    /// Reads a process below an open /proc; none when it is gone or does not let itself be read.
    pub(crate) fn read_at(proc: impl AsFd, pid: i32) -> Option<Self> {
        let mut text = [0; STAT_ROOM];
        let path = Path::new("").number(pid).text(b"/stat");
        Self::parse(crate::host::read_small_at(proc, path.bytes(), &mut text).ok()?)
    }
}

/// Reads one process by its pid. A pid that does not exist is [`Fault::Absent`].
pub fn stat(look: &mut Look<'_>, pid: i32) -> Result<Stat, Fault> {
    let mut room = [0; STAT_ROOM];
    let path = Path::new("proc/").number(pid).text(b"/stat");
    match look.host.read_small(path.bytes(), &mut room) {
        Ok(text) => Stat::parse(text).ok_or_else(|| Fault::malformed(PATH, 1, text)),
        // It ended between opening and reading.
        Err(rustix::io::Errno::SRCH) => Err(Fault::Absent { path: PATH }),
        Err(errno) => Err(Fault::io(PATH, errno)),
    }
}

/// A whole number of at most 64 bits with or without a minus.
fn signed(word: &[u8]) -> Option<i128> {
    match word.strip_prefix(b"-") {
        Some(digits) => Cursor::new(digits).whole_number().map(|number| -i128::from(number)),
        None => Cursor::new(word).whole_number().map(i128::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &[u8] = b"812 (sshd) S 1 812 811 -1 -1 4194560 10 20 30 40 31 5 7 11 25 -5 3 0 1000 102607872 5050 \
        18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n";

    #[test]
    fn every_field_is_taken_from_its_place() {
        let stat = Stat::parse(SAMPLE).expect("well-formed");
        assert_eq!((stat.pid, stat.ppid, stat.pgrp, stat.session, stat.state), (812, 1, 812, 811, b'S'));
        assert_eq!((stat.utime, stat.stime, stat.cutime, stat.cstime), (31, 5, 7, 11));
        assert_eq!((stat.nice, stat.threads, stat.start_ticks), (-5, 3, 1000));
        assert_eq!((stat.vsize, stat.rss_pages, stat.flags), (102_607_872, 5050, 4_194_560));
        assert_eq!((stat.comm.as_bytes(), stat.cpu_ticks()), (&b"sshd"[..], 54));
        assert_eq!(stat.terminal, u32::MAX);
    }

    #[test]
    fn a_name_may_look_like_the_fields_behind_it() {
        for name in ["a) Z 1", "x (y) z)", "", ")", "(", " ", "0 (0) R 1 1"] {
            let text = String::from_utf8_lossy(SAMPLE).replace("sshd", name);
            let stat = Stat::parse(text.as_bytes()).expect("well-formed");
            assert_eq!((stat.comm.as_bytes(), stat.state, stat.ppid), (name.as_bytes(), b'S', 1), "{name}");
        }
    }

    #[test]
    fn strange_texts_are_refused() {
        for text in ["", "\n", "1\n", "1 (a\n", "1 a) S\n", "1 (a) S 1 1\n", ") 1 ( S 1 1 1\n", "x (a) S 1 1 1\n"] {
            assert!(Stat::parse(text.as_bytes()).is_none(), "{text}");
        }
        let negative = String::from_utf8_lossy(SAMPLE).replace(" 5050 ", " -5050 ");
        assert!(Stat::parse(negative.as_bytes()).is_none());
    }

    #[test]
    fn a_cut_text_is_refused() {
        for cut in 0..SAMPLE.len() {
            assert!(Stat::parse(&SAMPLE[..cut]).is_none(), "cut at {cut}");
        }
    }
}
