//! What services need from the world, as one trait: the real world is in `system`, a made-up one in the simulator.
//!
//! Nothing here blocks. A process is only ever touched through a grip, and a grip is only given on a process whose
//! identity was compared after it was taken.

use crate::model::{Ending, Errand, Identity, Launch, Pattern};
use crate::supervisor::{Mark, Pidfile, Process, Reach, Rival, Search, Text};

/// Why there is no grip on a process.
#[derive(Clone, Debug, PartialEq)]
pub enum Lost {
    /// It has ended; its pid may be another's.
    Gone,
    CannotTell(Text),
}

/// The ways to touch the world.
pub trait Hands {
    /// A process held fast, which reports its end with a token.
    type Grip;
    /// A child at the gate; dropped, it ends without having run anything.
    type Held;

    /// Makes a child that waits at the gate: a command of the service `id`, or the service itself, which gets a place of its own.
    fn hold(&mut self, launch: &Launch, id: &str, errand: Option<Errand>) -> Result<(Self::Held, Identity), Text>;

    /// All that runs below a process now.
    fn below(&mut self, _: Identity) -> Vec<Identity> {
        Vec::new()
    }

    /// Ends what a service has left: all in its place, and of `known` what is still the same process. False when not all
    /// of it has gone yet.
    fn sweep(&mut self, _id: &str, _known: &[Identity]) -> bool {
        true
    }

    /// Lets a child go on to its program.
    fn release(&mut self, held: Self::Held, grip: &mut Self::Grip) -> Result<(), Text>;

    /// Takes hold of a process; its end will be reported with the token.
    fn grip(&mut self, identity: Identity, token: u64) -> Result<Self::Grip, Lost>;

    /// Lets go. A child of ours that has ended is taken away.
    fn let_go(&mut self, grip: Self::Grip);

    /// Reports its end no more, but keeps hold of it.
    fn mute(&mut self, grip: &Self::Grip);

    /// Whether it has ended, and how; of what is not our child that is known later, or never.
    fn ended(&mut self, grip: &Self::Grip) -> Option<Option<Ending>>;

    /// Who is behind an ending, as far as can be told.
    fn explain(&mut self, ending: Ending) -> Ending {
        ending
    }

    /// Why a child that has ended never became its program.
    fn trouble(&mut self, grip: &mut Self::Grip) -> Option<Text>;

    /// A child has become its program long ago: what was kept for `trouble` can go.
    fn settled(&mut self, grip: &mut Self::Grip);

    /// Sends a signal. A process that has ended already is no failure.
    fn signal(&mut self, grip: &Self::Grip, signal: i32, reach: Reach) -> Result<(), Text>;

    /// Looks one process up. An error is "cannot tell"; none is "there is none".
    fn process(&mut self, pid: i32) -> Result<Option<Process>, Text>;

    fn pidfile(&mut self, path: &str) -> Pidfile;

    /// Gives every running process that matches.
    fn find(&mut self, pattern: &Pattern, give: &mut dyn FnMut(Process)) -> Result<(), Text>;

    /// Gives every running process that was born in time, and what it says whose work it is.
    fn search(&mut self, id: &str, search: &Search, give: &mut dyn FnMut(Process, Mark)) -> Result<(), Text>;

    /// Children of this service that an earlier watchd has left: those that lead their session.
    fn strays(&mut self, _id: &str) -> Result<Vec<Process>, Text> {
        Ok(Vec::new())
    }

    /// Whether a process is this one, descends from it, or lives in the session it leads. Only for one that is held.
    fn belongs(&mut self, pid: i32, to: Identity) -> bool;

    /// Whether a process could send signals to another one by itself.
    fn may_signal(&mut self, _who: i32, _whom: i32) -> bool {
        true
    }

    /// Whose child a process is, unless that is ours, init's or not to be told.
    fn keeper(&mut self, of: Identity) -> Option<Rival>;

    /// The memory that a process and all below it hold for themselves alone, in bytes: about what comes back when they end.
    /// Must not wait for anybody. None is "cannot tell".
    fn own_memory(&mut self, of: Identity) -> Option<u64>;

    /// The pid of watchd itself.
    fn own_pid(&self) -> i32;
}
