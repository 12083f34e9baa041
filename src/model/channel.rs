//! Where a report goes besides the journal.

use serde::{Deserialize, Serialize};

use super::Launch;

/// The longest name of a channel.
pub const CHANNEL_NAME: usize = 96;

/// One receiver of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Channel {
    /// As the policy writes it: `syslog`, `mail:root`, `webhook:chat`, `run`.
    pub name: String,
    pub way: Way,
}

/// How a text gets there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Way {
    /// A datagram to the local system log.
    Syslog,
    /// A whole mail on the standard input of a program.
    Mail { to: String, launch: Launch },
    /// The bare text on the standard input of a program.
    Plain(Launch),
    /// An object of JSON on the standard input of a program.
    Json(Launch),
}

impl Channel {
    /// The program that carries it.
    pub fn launch(&self) -> Option<&Launch> {
        match &self.way {
            Way::Syslog => None,
            Way::Mail { launch, .. } | Way::Plain(launch) | Way::Json(launch) => Some(launch),
        }
    }
}
