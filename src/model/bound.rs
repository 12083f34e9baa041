//! What a service may use, with all processes below it, and what follows when it uses more.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Launch;

super::words! {
    /// What is measured of a service.
    Quantity {
        /// Resident memory in bytes.
        Rss = "rss",
        /// Percent of one processor.
        Cpu = "cpu",
        Fds = "fds",
        Threads = "threads",
        /// Processes below the main one.
        Children = "children",
        /// Milliseconds since the main process began.
        Age = "age",
    }
}

/// The bit beside those of the quantities: it was lately restarted to give its memory back.
pub const PRESSED: u8 = 1 << Quantity::ALL.len();

/// What a service uses now, in the order of [`Quantity::ALL`]; none is "cannot tell".
pub type Figures = [Option<u64>; 6];

/// One limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    pub what: Quantity,
    pub max: u64,
    /// How long it may be exceeded.
    pub lasts: Duration,
    pub deed: Deed,
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Deed {
    Restart,
    /// A class and an event, no more.
    Report,
    /// A program is run, once each time.
    Run(Launch),
}

/// An amount as a person says it.
pub struct Amount(pub Quantity, pub u64);

impl fmt::Display for Amount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(what, amount) = self;
        match what {
            Quantity::Rss if *amount >= 10 << 20 => write!(out, "{}M", amount >> 20),
            Quantity::Rss => write!(out, "{}K", amount >> 10),
            Quantity::Cpu => write!(out, "{amount}%"),
            Quantity::Age => match amount / 1000 {
                seconds @ 0..120 => write!(out, "{seconds}s"),
                seconds @ 120..7200 => write!(out, "{}m", seconds / 60),
                seconds @ 7200..172_800 => write!(out, "{}h", seconds / 3600),
                seconds => write!(out, "{}d", seconds / 86_400),
            },
            Quantity::Fds | Quantity::Threads | Quantity::Children => write!(out, "{amount}"),
        }
    }
}
