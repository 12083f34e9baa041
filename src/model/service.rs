//! A supervised service: what the policy says about it, which process it is, and what state it is in.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Care, Setting};

/// One `[process.ID]` table, decoded and checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceSpec {
    pub id: String,
    pub form: Form,
    /// How a daemon of its own is started; none means that watchd only watches.
    pub start: Option<Launch>,
    /// How it is stopped; none means `signals` alone.
    pub stop: Option<Launch>,
    /// What follows when `stop` is none or did not end it, in order.
    pub signals: Vec<StopStep>,
    /// Waiting time after the first early death, and the longest.
    pub backoff: (Duration, Duration),
    /// How many starts in which time; spent means flapping.
    pub limit: Limit,
    /// How long it has to live to count as well, and to be looked for after `start`.
    pub settle: Duration,
    /// How long `start` and `stop` commands may take.
    pub timeout: Duration,
    /// What happens to it when watchd is asked to stop.
    pub on_exit: OnExit,
    pub care: Care,
}

impl ServiceSpec {
    /// The policy says how to start it.
    pub fn can_start(&self) -> bool {
        self.start.is_some() || matches!(self.form, Form::Run(_))
    }
}

/// How the process is found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Form {
    /// A child of ours that stays in the foreground.
    Run(Launch),
    /// A daemon that writes its pid into this file.
    Pidfile(String),
    /// A daemon found in the process table.
    Match(Pattern),
}

/// What a process in the table must look like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pattern {
    /// The name of its program: `argv[0]`, with or without its directory.
    pub name: String,
    /// The account it runs as.
    pub user: Option<String>,
}

/// A program to start, and the surroundings it is started in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    pub command: Command,
    pub user: Option<String>,
    pub group: Option<String>,
    pub cwd: Option<String>,
    pub env: Vec<(String, String)>,
    /// None for nothing but the usual.
    pub setting: Option<Box<Setting>>,
}

impl Launch {
    /// A command in the usual surroundings.
    pub fn new(command: Command) -> Self {
        Self { command, user: None, group: None, cwd: None, env: Vec::new(), setting: None }
    }
}

/// A list is started as it is; a text goes through `/bin/sh -c`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    Exec(Vec<String>),
    Shell(String),
}

/// One step of stopping.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum StopStep {
    Signal(i32),
    Wait(Duration),
}

/// So many in such a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    pub count: u32,
    pub window: Duration,
}

/// What a clean stop of watchd does to a service.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum OnExit {
    Leave,
    Stop,
}

/// Which process, beyond doubt within one boot: a pid is used again, a pid with its start time is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub pid: i32,
    /// Field 22 of /proc/PID/stat.
    pub start_ticks: u64,
}

impl Identity {
    /// Time since boot at which it began. The kernel counts in hundredths of a second on every processor family that
    /// Rust has a Linux target for.
    pub fn born(self) -> Duration {
        Duration::from_millis(self.start_ticks.saturating_mul(10))
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Exit(i32),
    Signal(i32),
    /// By the kernel's SIGKILL, when there was no memory left.
    OutOfMemory,
}

impl Ending {
    pub fn is_success(self) -> bool {
        self == Self::Exit(0)
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exit(status) => write!(out, "exit status {status}"),
            Self::Signal(signal) => write!(out, "killed by signal {signal}"),
            Self::OutOfMemory => out.write_str("killed by the kernel, which ran out of memory,"),
        }
    }
}

super::words! {
    /// The state of a service.
    ServiceState {
        /// Down, and meant to be.
        Stopped = "stopped",
        /// Started, not yet seen alive for `settle`, or not yet ready.
        Starting = "starting",
        /// Alive.
        Ready = "ready",
        /// Asked to end.
        Stopping = "stopping",
        /// Died early; waits before the next start.
        Backoff = "backoff",
        /// Died too often; tried again slowly.
        Flapping = "flapping",
        /// Left alone on request.
        Paused = "paused",
        /// Nothing can be said about it; nothing is done.
        Unknown = "unknown",
        /// Down, and nothing says how to start it.
        Down = "down",
        /// Alive, but its checks fail.
        Unhealthy = "unhealthy",
        /// Down until what it needs is ready.
        Waiting = "waiting",
        /// Somebody else brings it back, or keeps ending it: left to them.
        Fight = "fight",
    }
}

/// What those who judge need to know about a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceFact<'a> {
    pub state: ServiceState,
    /// How often this watchd has started it unasked.
    pub starts: u32,
    /// The last attempt to start or stop it did not work.
    pub failed: bool,
    /// What it uses too much of, one bit for each `Quantity`, and `PRESSED`.
    pub over: u8,
    /// For people: `exit status 1 after 3.2 s`.
    pub reason: &'a str,
}
