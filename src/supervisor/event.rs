//! What can happen to a service, and what can be done about it.

use std::time::Duration;

use crate::model::{Ending, Errand, EventKind, Figures, Identity};

use super::{Asked, Bond, Rival, Text, Verdict, Word};

/// What people may ask of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Start,
    Stop,
    Restart,
    /// Forget back-off and spent budget.
    Reset,
    /// Leave it alone, for a while or until resumed.
    Pause(Option<Duration>),
    Resume,
}

/// What a look at the host said.
#[derive(Clone, Debug, PartialEq)]
pub enum Sighting {
    /// It runs, since `born`.
    Found {
        identity: Identity,
        born: Duration,
        /// Whose child it is, when that is neither ours nor init's.
        rival: Option<Box<Rival>>,
    },
    /// It does not run; why we think so.
    NotFound(Text),
    /// Something else runs in its place: it does not run.
    Stranger(Text),
    /// Neither can be said.
    CannotTell(Text),
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A deadline may have passed.
    Tick,
    /// One cycle of looking is over.
    Cycle,
    /// Its pidfile was written.
    Stirred,
    /// The answer to [`Action::Look`].
    Seen(Sighting),
    /// The answers to [`Action::Spawn`].
    Spawned(Identity),
    SpawnFailed(Text),
    /// The process ended; `trouble` when it never got as far as its program.
    Died {
        identity: Identity,
        ending: Option<Ending>,
        trouble: Option<Text>,
    },
    /// How a process ended whose death was reported before that was known.
    Explained(Identity, Ending),
    /// The answers to [`Action::Run`].
    CommandStarted(Identity),
    CommandFailed(Text),
    CommandEnded {
        identity: Identity,
        ending: Option<Ending>,
        trouble: Option<Text>,
    },
    Control(Verb),
    /// Whether the condition of the promise holds.
    Guard(bool),
    ConfigChanged,
    /// The answer to [`Action::Check`].
    Checked(Asked, Verdict),
    /// How those that it needs are has changed.
    Bond(Bond),
    /// What of the host stands in the way of a start now.
    Weather(Option<Text>),
    /// The one who brought it back has ended.
    RivalGone,
    /// What it uses now.
    Measured(Figures),
    /// Work on the host waits for memory, and it is its turn to give back what it holds: so many bytes.
    Pressed(u64),
    /// The service itself said something.
    Told(Word),
    /// The service said that it is this process by now, and it is one of its own.
    Moved {
        identity: Identity,
        born: Duration,
    },
    /// It is not started any more: it has left the policy, or watchd is going to end.
    Leave,
    /// It is in the policy again, and may be started.
    Return,
    /// What runs of it has to end now, for this reason.
    Depart(&'static str),
}

/// Whom a signal goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Process,
    /// The process group it leads.
    Group,
}

/// What has to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start the child and answer.
    Spawn,
    /// Run the start or the stop command and answer.
    Run(Errand),
    /// End the running command with its whole group.
    KillCommand,
    Signal {
        identity: Identity,
        signal: i32,
        reach: Reach,
    },
    /// Look for the service and answer.
    Look,
    /// Ask a check and answer.
    Check(Asked),
    /// Run the program of the limit in this place of the policy's list.
    Deed(u8),
    /// It lived through `settle`.
    Settled,
    /// Tell people.
    Note(EventKind, Text),
}

/// One step's worth of actions.
pub type Actions = heapless::Vec<Action, 8>;
