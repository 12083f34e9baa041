//! Reads the config in a child of ours: TOML costs ten times the memory of what it says, and a bad file can hurt the child only.
//!
//! The child answers with one message, postcard bytes of [`Answer`], and ends. The same child asks for the host's inventory, so that
//! neither the parser nor sysinfo is ever touched by the daemon itself.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use watchd_probes::inventory::Inventory;

use super::policy::{self, Policy};
use crate::model::Places;
use crate::sys::fork::{Helper, end_child, kill_child};

/// Reading a config takes milliseconds; a child that takes this long is stuck on a dead file system.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// A policy is a few KiB; 512 promises with every key set stay below this.
const ANSWER_MAX: usize = 4 << 20;

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    Loaded(Box<Loaded>),
    /// One line for each fault.
    Refused(Vec<String>),
    /// Nobody knows what it says: the system refused.
    Failed(String),
}

/// A config that can be run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Loaded {
    pub policy: Policy,
    pub host: String,
    pub warnings: Vec<String>,
}

/// A config being read.
pub struct Reading {
    helper: Helper,
    bytes: Vec<u8>,
    deadline: Duration,
}

impl Reading {
    /// Starts the child. `mono` is the time of the turn.
    pub fn start(places: &Places, mono: Duration) -> std::io::Result<Self> {
        let helper = Helper::start(&[], |output| {
            let answer = read(places);
            if let Ok(bytes) = postcard::to_stdvec(&answer) {
                let _ = output.write_all(&bytes);
            }
        })?;
        Ok(Self { helper, bytes: Vec::new(), deadline: mono + DEADLINE })
    }

    /// What to wait for.
    pub fn source(&self) -> BorrowedFd<'_> {
        self.helper.output.as_fd()
    }

    pub fn pid(&self) -> i32 {
        self.helper.pid
    }

    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Takes what has come; gives the answer when it is complete.
    pub fn advance(&mut self) -> Option<Answer> {
        let mut chunk = [0; 4096];
        loop {
            match self.helper.output.read(&mut chunk) {
                Ok(0) => {
                    let answer = postcard::from_bytes(&self.bytes);
                    return Some(answer.unwrap_or_else(|_| failed("the reader ended early")));
                }
                Ok(read) => self.bytes.extend(chunk.iter().take(read)),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Some(failed(&error.to_string())),
            }
            if self.bytes.len() > ANSWER_MAX {
                return Some(refused("it says too much"));
            }
        }
    }

    /// Waits for the end of a child that has answered: it holds nothing that could keep it.
    pub fn finish(&self) {
        end_child(self.helper.pid);
    }

    /// Ends a child that took too long.
    pub fn give_up(&self) -> Answer {
        kill_child(self.helper.pid);
        failed(&format!("no answer within {} s; is the file system gone?", DEADLINE.as_secs()))
    }
}

fn refused(cause: &str) -> Answer {
    Answer::Refused(vec![format!("cannot read the config: {cause}")])
}

/// A transient fault must not look like a bad config: what starts us may leave one that was refused alone.
fn failed(cause: &str) -> Answer {
    Answer::Failed(format!("cannot read the config: {cause}"))
}

fn read(places: &Places) -> Answer {
    let inventory = Inventory::take();
    match policy::load(places, &inventory) {
        Ok((policy, warnings)) => Answer::Loaded(Box::new(Loaded {
            policy,
            host: inventory.host_name,
            warnings: warnings.iter().map(ToString::to_string).collect(),
        })),
        Err(faults) => Answer::Refused(faults.iter().map(ToString::to_string).collect()),
    }
}
