//! What a child says on its way to its program, and the memory it stands on until it has arrived.
//!
//! The pipe ends when the child has become its program or has ended; in both cases the kernel has taken it off our memory
//! before. Until then that memory may not be given back, whatever became of those who wanted to hear the report.

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::child::Stage;

/// The steps of the child that can fail, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    Session,
    Descriptors,
    OomScore,
    Output,
    Limits,
    Nice,
    IoPriority,
    Root,
    Groups,
    Group,
    User,
    Directory,
    Execute,
}

impl Step {
    const ALL: [Self; 13] = [
        Self::Session,
        Self::Descriptors,
        Self::OomScore,
        Self::Output,
        Self::Limits,
        Self::Nice,
        Self::IoPriority,
        Self::Root,
        Self::Groups,
        Self::Group,
        Self::User,
        Self::Directory,
        Self::Execute,
    ];

    fn words(self) -> &'static str {
        match self {
            Self::Session => "begin a session",
            Self::Descriptors => "arrange descriptors",
            Self::OomScore => "set oom-score-adj",
            Self::Output => "open the output file",
            Self::Limits => "set rlimits",
            Self::Nice => "set nice",
            Self::IoPriority => "set ionice",
            Self::Root => "change the root",
            Self::Groups => "set supplementary groups",
            Self::Group => "set the group",
            Self::User => "set the user",
            Self::Directory => "change to the directory",
            Self::Execute => "execute the program",
        }
    }
}

/// A child that never became its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub step: Step,
    pub errno: i32,
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "cannot {}: {}", self.step.words(), io::Error::from_raw_os_error(self.errno))
    }
}

/// How many milliseconds a child whose gate has closed may take to end.
const FAREWELL: u16 = 50;

/// The end of the pipe on which a child that fails before its program says so.
#[derive(Debug)]
pub struct Report {
    /// None once the pipe has ended.
    pending: Option<(File, Box<Stage>)>,
    trouble: Option<Trouble>,
    /// The child was not let go: dropped, it ends at once.
    at_gate: bool,
}

impl Report {
    pub(super) fn new(pipe: OwnedFd, stage: Box<Stage>) -> Self {
        Self { pending: Some((File::from(pipe), stage)), trouble: None, at_gate: true }
    }

    /// What went wrong; none when the program was executed, or when that is not known yet. Never blocks.
    pub fn read(mut self) -> Option<Trouble> {
        self.drain();
        self.trouble
    }

    /// The child was let go. Waits so many milliseconds for it to have gone on.
    pub(super) fn follow(&mut self, millis: u16) {
        self.at_gate = false;
        self.wait(millis);
    }

    fn wait(&mut self, millis: u16) {
        if let Some((pipe, _)) = &self.pending {
            let _ = poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], PollTimeout::from(millis));
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some((pipe, _)) = &mut self.pending {
            let mut bytes = [0; 5];
            match pipe.read(&mut bytes) {
                // The child has left our memory.
                Ok(0) => {
                    self.pending = None;
                    super::child::restore();
                }
                Ok(read) => self.trouble = trouble(bytes.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.wait(if self.at_gate { FAREWELL } else { 0 });
        if let Some(late) = self.pending.take() {
            put_off(late);
        }
    }
}

/// How many children may be on the way to their program when nobody waits for them any more.
const LATE: usize = 16;

type Late = heapless::Vec<(File, Box<Stage>), LATE>;

thread_local! {
    /// Never dropped: at our own end, children may still stand on these stacks.
    static PUT_OFF: RefCell<ManuallyDrop<Late>> = const { RefCell::new(ManuallyDrop::new(heapless::Vec::new())) };
}

/// Keeps what a child still stands on until it has gone on. Where a file server that does not answer keeps many of them on the
/// way, a leak is the smaller evil.
fn put_off(late: (File, Box<Stage>)) {
    sweep();
    PUT_OFF.with_borrow_mut(|known| {
        if let Err((_, stage)) = known.push(late) {
            std::mem::forget(stage);
        }
    });
}

/// Gives back what children have left that were late; to be called whenever another is begun.
pub(super) fn sweep() {
    PUT_OFF.with_borrow_mut(|known| known.retain_mut(|(pipe, _)| !has_ended(pipe)));
}

/// Whether the child has left our memory. What it has to say comes too late.
fn has_ended(pipe: &mut File) -> bool {
    let mut bytes = [0; 5];
    loop {
        match pipe.read(&mut bytes) {
            Ok(0) => {
                super::child::restore();
                return true;
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
pub(super) fn late() -> usize {
    PUT_OFF.with_borrow(|known| known.len())
}

fn trouble(bytes: &[u8]) -> Option<Trouble> {
    let [step, errno @ ..] = <[u8; 5]>::try_from(bytes).ok()?;
    let step = Step::ALL.get(usize::from(step)).copied()?;
    Some(Trouble { step, errno: i32::from_le_bytes(errno) })
}
