//! `[process.ID]` with `count` or `regex`: how many processes of a kind there are to be, and what a look has found.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Bound, Identity, Launch, StopStep};

/// How many processes of a kind there are to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrowdWork {
    pub who: Selection,
    pub least: u32,
    /// None for any number.
    pub most: Option<u32>,
    /// What each of them may use: memory, processor and age.
    pub bounds: Vec<Bound>,
    /// Run when there are too few.
    pub start: Option<Launch>,
    /// What is done to those that are too many or too large; none for nothing.
    pub signals: Option<Vec<StopStep>>,
    /// How long after an act it is looked whether that helped.
    pub settle: Duration,
}

/// Which processes are meant; all that is said has to be so. Never watchd itself, whoever started it, or a kernel thread.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// The name of its program.
    pub name: Option<String>,
    /// An expression for its whole command line, from end to end, with one blank between the arguments.
    pub regex: Option<String>,
    /// The account whose rights it has.
    pub user: Option<String>,
    /// Letters of the kernel; none for all that live.
    pub states: Option<String>,
    pub terminal: Option<Terminal>,
    /// It began at least so long ago.
    pub older: Option<Duration>,
    /// It has at least so many bytes resident.
    pub larger: Option<u64>,
}

impl Selection {
    /// Whether it says more than a service is found by.
    pub fn is_particular(&self) -> bool {
        let Self { name: _, regex, user: _, states, terminal, older, larger } = self;
        regex.is_some() || states.is_some() || terminal.is_some() || older.is_some() || larger.is_some()
    }
}

/// Where a process can be spoken to by a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Terminal {
    None,
    Any,
    /// The device as the kernel packs its number.
    Is(u32),
}

/// Those of one look that may have to go; more are left to the next one.
pub const MEMBERS: usize = 32;

/// A process that may have to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub identity: Identity,
    pub comm: [u8; 16],
    /// What it uses too much of, one bit for each quantity; none when it is only one too many.
    pub over: u8,
}

impl Member {
    /// Its name for people.
    pub fn name(&self) -> impl std::fmt::Display + '_ {
        let end = self.comm.iter().position(|byte| *byte == 0).unwrap_or(self.comm.len());
        self.comm.get(..end).unwrap_or_default().escape_ascii()
    }
}
