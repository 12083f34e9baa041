//! How a service is looked after beyond being alive: what tells that it is ready and well, and what it needs first.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Bound, Command, Launch};

/// Health, readiness and order of one service; the default asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Care {
    pub ready: Option<Readiness>,
    pub checks: Vec<Check>,
    /// How long it may go without saying that it lives.
    pub watchdog: Option<Duration>,
    /// It is started again whatever state the host is in.
    pub is_heedless: bool,
    pub on_pressure: OnPressure,
    /// What it may use.
    pub bounds: Vec<Bound>,
    /// Services that must be ready before it starts, and without which it does not go on.
    pub needs: Vec<String>,
    /// Services that are let go first when they are starting anyway.
    pub after: Vec<String>,
    /// What `@NAME` calls it.
    pub tags: Vec<String>,
    /// How long it is left alone at least once its budget of starts is spent.
    pub cooldown: Duration,
    /// It is stopped when it leaves the policy of a watchd that runs.
    pub ends_with_policy: bool,
}

/// What happens to a service while work on the host waits for memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnPressure {
    #[default]
    Leave,
    /// It is restarted, which gives its memory back.
    Restart,
}

impl Care {
    /// It gets a socket on which it can say how it is.
    pub fn is_heard(&self) -> bool {
        self.watchdog.is_some() || self.ready.as_ref().is_some_and(|ready| ready.target == Target::Notify)
    }
}

/// What has to pass before it counts as ready, and how long that may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Readiness {
    pub target: Target,
    pub within: Duration,
}

/// What has to pass again and again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    pub target: Target,
    pub every: Duration,
    pub timeout: Duration,
    /// How many failures in a row make it unhealthy.
    pub fails: u8,
    /// How many passes in a row make it healthy again.
    pub passes: u8,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Target {
    /// Somebody accepts connections.
    Tcp(SocketAddr),
    Unix(String),
    Http(Http),
    /// A program ends with status 0.
    Exec(Launch),
    /// A file was written within this time.
    Fresh {
        path: String,
        within: Duration,
    },
    /// It says so by itself.
    Notify,
}

/// A page and what its answer must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Http {
    pub address: SocketAddr,
    /// Path and query.
    pub path: String,
    /// The lowest and the highest status that pass.
    pub status: (u16, u16),
    /// A header with this value.
    pub header: Option<(String, String)>,
    /// A text in the body.
    pub contains: Option<String>,
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(out, "tcp {address}"),
            Self::Unix(path) => write!(out, "unix {path}"),
            Self::Http(http) => write!(out, "http://{}{}", http.address, http.path),
            Self::Exec(launch) => match &launch.command {
                Command::Exec(words) => write!(out, "exec {}", words.first().map_or("", String::as_str)),
                Command::Shell(line) => write!(out, "exec {line}"),
            },
            Self::Fresh { path, .. } => write!(out, "file {path}"),
            Self::Notify => out.write_str("READY=1"),
        }
    }
}
