//! Has the files of promises looked after, in a child: a dead file system, a slow disk or a large tree holds up nobody else.
//!
//! One child does everything that is due, one promise after the other, and writes a record before and after each. A promise that
//! takes longer than its `timeout` is given up with its child, and is left alone until the kernel lets go of that child, with all
//! that lie on the same foreign file system; the rest goes on in a new one. At most `STUCK_MAX` children are ever stuck.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::model::{Identity, MEMBERS, Marks, Member, Outcome, Tended};
use crate::store::board::{fixed, text};
use crate::sys::fork::{Helper, kill_child};

/// Children that may be stuck at once; each holds about 0.2 MB.
const STUCK_MAX: usize = 2;

/// What the child writes. It is smaller than what a pipe takes at once, so it is never read in part.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Record {
    figures: [f64; 2],
    place: u32,
    marks: u16,
    outcome: u8,
    /// 0 before the work, 1 after it.
    is_done: u8,
    text: [u8; 480],
    /// Of a look at processes.
    members: [Row; MEMBERS],
}

/// A process that may have to go; pid 0 for none.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Row {
    start_ticks: u64,
    pid: i32,
    over: u32,
    comm: [u8; 16],
}

// What is shorter than this is written to a pipe whole.
const _: () = assert!(size_of::<Record>() <= 4096);

/// Promises that wait, the child at work, and those that are stuck.
#[derive(Default)]
pub struct Upkeep {
    waiting: Vec<usize>,
    /// The room of the last round, for what comes during the next.
    spare: Vec<usize>,
    round: Option<Round>,
    stuck: heapless::Vec<(i32, usize), STUCK_MAX>,
}

struct Round {
    helper: Helper,
    /// What the child has still to do, the current one first.
    left: Vec<usize>,
    deadline: Duration,
    patience: Duration,
}

/// What is known of a round when something has happened.
#[allow(clippy::large_enum_variant, reason = "it lives on the stack for a moment; a box would be made in each cycle")]
pub enum Step {
    /// This promise came out so.
    Done(usize, Found),
    /// The child has ended, or was given up.
    Over,
    /// Nothing more to read for now.
    Later,
}

/// The result of one promise.
pub struct Found {
    pub outcome: Outcome,
    pub marks: Marks,
    pub figures: [f64; 2],
    text: [u8; 480],
    members: [Row; MEMBERS],
}

impl Found {
    pub fn text(&self) -> &str {
        text(&self.text)
    }

    /// Of a look at processes: those that may have to go.
    pub fn members(&self) -> impl Iterator<Item = Member> {
        let is_one = |row: &&Row| row.pid != 0;
        self.members.iter().take_while(is_one).map(|row| Member {
            identity: Identity { pid: row.pid, start_ticks: row.start_ticks },
            comm: row.comm,
            over: u8::try_from(row.over).unwrap_or(0),
        })
    }

    fn failed(outcome: Outcome, why: &str) -> Self {
        let none = Row { start_ticks: 0, pid: 0, over: 0, comm: [0; 16] };
        let (marks, figures) = (Marks::default(), [f64::NAN; 2]);
        Self { outcome, marks, figures, text: fixed(why), members: [none; MEMBERS] }
    }
}

impl Upkeep {
    /// This promise is due.
    pub fn push(&mut self, promise: usize) {
        self.waiting.push(promise);
    }

    /// Whether a child could be started now, and for something.
    pub fn is_due(&self) -> bool {
        self.round.is_none() && !self.stuck.is_full() && !self.waiting.is_empty()
    }

    /// Whether a child still waits for something that does not answer.
    pub fn is_any_stuck(&self) -> bool {
        !self.stuck.is_empty()
    }

    /// A promise whose child is still stuck is not tried again, nor one that `is_dead` says would get stuck as well, of it and those
    /// that are; gives one of those that wait.
    pub fn take_stuck(&mut self, is_dead: impl Fn(usize, &[(i32, usize)]) -> bool) -> Option<(usize, Found)> {
        let is_own = |promise: usize| self.stuck.iter().any(|(_, stuck)| *stuck == promise);
        let is_held = |promise: &usize| self.stuck.is_full() || is_own(*promise) || is_dead(*promise, &self.stuck);
        let place = self.waiting.iter().position(is_held)?;
        let why = if self.stuck.is_full() {
            "looks before this one still wait for file systems that do not answer"
        } else {
            "it lies on a file system that does not answer"
        };
        Some((self.waiting.swap_remove(place), Found::failed(Outcome::Timeout, why)))
    }

    /// Starts a child that calls `tend` for each promise that waits.
    pub fn start(
        &mut self,
        keep: &[BorrowedFd<'_>],
        (mono, patience): (Duration, Duration),
        tend: impl Fn(usize) -> Tended,
    ) -> std::io::Result<BorrowedFd<'_>> {
        let left = std::mem::replace(&mut self.waiting, std::mem::take(&mut self.spare));
        let helper = Helper::start(keep, |output| {
            for promise in &left {
                let mut record = Record { place: u32::try_from(*promise).unwrap_or(u32::MAX), ..Record::new_zeroed() };
                let begun = output.write_all(record.as_bytes());
                let tended = tend(*promise);
                record.figures = tended.figures;
                (record.outcome, record.marks, record.is_done) = (tended.outcome.byte(), tended.marks.0, 1);
                record.text = fixed(&tended.text.replace(char::is_control, " "));
                for (row, member) in record.members.iter_mut().zip(&tended.members) {
                    let Identity { pid, start_ticks } = member.identity;
                    *row = Row { start_ticks, pid, over: member.over.into(), comm: member.comm };
                }
                if begun.and_then(|()| output.write_all(record.as_bytes())).is_err() {
                    return;
                }
            }
        });
        match helper {
            Ok(helper) => {
                let round = Round { helper, left, deadline: mono + patience, patience };
                Ok(self.round.insert(round).helper.output.as_fd())
            }
            Err(error) => {
                self.spare = std::mem::replace(&mut self.waiting, left);
                Err(error)
            }
        }
    }

    /// Takes the next thing the child has written. `patience` gives how long a promise may take.
    pub fn advance(&mut self, mono: Duration, patience: impl Fn(usize) -> Duration) -> Step {
        let Some(round) = &mut self.round else { return Step::Later };
        loop {
            let mut record = Record::new_zeroed();
            match round.helper.output.read(record.as_mut_bytes()) {
                Ok(read) if read == size_of::<Record>() => {
                    let promise = usize::try_from(record.place).unwrap_or(usize::MAX);
                    if record.is_done == 0 {
                        round.patience = patience(promise);
                        round.deadline = mono + round.patience;
                        continue;
                    }
                    round.left.retain(|left| *left != promise);
                    let found = Found {
                        outcome: Outcome::from_byte(record.outcome).unwrap_or(Outcome::Unknown),
                        marks: Marks(record.marks),
                        figures: record.figures,
                        text: record.text,
                        members: record.members,
                    };
                    return Step::Done(promise, found);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Step::Later,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => {
                    return self.finish(Found::failed(Outcome::Failed, "the child that looked ended early"));
                }
            }
        }
    }

    /// The round is over. What the child was at comes out as `found`, the rest waits again.
    fn finish(&mut self, found: Found) -> Step {
        let Some(mut round) = self.round.take() else { return Step::Over };
        let current = (!round.left.is_empty()).then(|| round.left.remove(0));
        self.waiting.append(&mut round.left);
        self.spare = round.left;
        current.map_or(Step::Over, |current| Step::Done(current, found))
    }

    /// When the child has had enough time.
    pub fn deadline(&self) -> Option<Duration> {
        self.round.as_ref().map(|round| round.deadline)
    }

    /// Gives a child up that took too long.
    pub fn expire(&mut self, mono: Duration) -> Step {
        let Some(round) = self.round.as_ref().filter(|round| round.deadline <= mono) else { return Step::Later };
        kill_child(round.helper.pid);
        if let Some(current) = round.left.first() {
            let _ = self.stuck.push((round.helper.pid, *current));
        }
        let why = format!("it took longer than its timeout of {} s and was ended", round.patience.as_secs_f32());
        self.finish(Found::failed(Outcome::Timeout, &why))
    }

    /// A child has ended: what it was stuck on may be looked at again.
    pub fn on_child(&mut self, pid: i32) {
        self.stuck.retain(|(stuck, _)| *stuck != pid);
    }

    /// Takes up another policy: `place` gives where a promise stands now. What is being done goes on and is not told.
    pub fn adopt(&mut self, place: impl Fn(usize) -> Option<usize>) {
        self.waiting.clear();
        if let Some(round) = self.round.take() {
            kill_child(round.helper.pid);
        }
        let stuck = std::mem::take(&mut self.stuck);
        self.stuck.extend(stuck.into_iter().map(|(pid, promise)| (pid, place(promise).unwrap_or(usize::MAX))));
    }
}
