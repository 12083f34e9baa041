//! A walk over all pids of /proc, in steps: directory entries are asked for in chunks of a few hundred, and between two
//! chunks the walk may rest until the next turn. The buffer is a part of the walk: nothing is allocated.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{RawDir, SeekFrom};

use crate::{Cursor, Fault, Host};

/// An entry of /proc takes 24 to 32 bytes.
const CHUNK: usize = 4 << 10;

const PATH: &str = "proc";

/// What a step of the walk came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    More,
    /// All pids have been given; the next step starts from the beginning.
    End,
}

pub(crate) struct Walk {
    proc: Option<OwnedFd>,
    chunk: [MaybeUninit<u8>; CHUNK],
}

impl Default for Walk {
    fn default() -> Self {
        Self { proc: None, chunk: [MaybeUninit::uninit(); CHUNK] }
    }
}

impl Walk {
    /// Gives the pids of the next chunk, with the directory they are in.
    pub fn step(&mut self, host: &Host, give: &mut dyn FnMut(BorrowedFd<'_>, i32)) -> Result<Step, Fault> {
        let proc = match self.proc.take() {
            Some(proc) => proc,
            None => host.open_dir(PATH).map_err(|errno| Fault::io(PATH, errno))?,
        };
        let mut entries = RawDir::new(&proc, &mut self.chunk);
        let step = loop {
            let Some(entry) = entries.next() else { break Step::End };
            let name = entry.map_err(|errno| Fault::io(PATH, errno))?;
            if let Some(pid) = pid_of(name.file_name().to_bytes()) {
                give(proc.as_fd(), pid);
            }
            if entries.is_buffer_empty() {
                break Step::More;
            }
        };
        if step == Step::End {
            rustix::fs::seek(&proc, SeekFrom::Start(0)).map_err(|errno| Fault::io(PATH, errno))?;
        }
        self.proc = Some(proc);
        Ok(step)
    }
}

/// The pid a directory is named after; none for `self`, `sys` and the like.
pub(crate) fn pid_of(name: &[u8]) -> Option<i32> {
    i32::try_from(Cursor::new(name).whole_number()?).ok().filter(|pid| *pid > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::fixture;

    #[test]
    fn each_round_gives_every_pid_once() {
        let host = Host::open(&fixture("big")).expect("the fixture is there");
        let mut walk = Walk::default();
        for _ in 0..3 {
            let mut pids = Vec::new();
            while walk.step(&host, &mut |_, pid| pids.push(pid)).expect("readable") == Step::More {}
            pids.sort_unstable();
            assert_eq!((pids.len(), pids.first(), pids.last()), (32, Some(&1), Some(&308)));
        }
    }

    #[test]
    fn names_that_are_no_pids_are_passed_over() {
        for name in ["self", "1x", "-1", "", "0", "4294967297", "."] {
            assert_eq!(pid_of(name.as_bytes()), None, "{name}");
        }
    }
}
