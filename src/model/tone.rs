//! How much a state or an outcome matters: one answer for the page, the JSON, the terminal, exit codes and Nagios.

use super::{Outcome, ServiceState};

/// How much it matters; the order is that of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    /// Nothing to judge: it is as somebody asked for.
    Soft,
    Good,
    /// On its way, left alone, or not to be told.
    Warn,
    /// It is not as it should be.
    Bad,
}

impl Tone {
    pub fn word(self) -> &'static str {
        match self {
            Self::Soft => "soft",
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

impl ServiceState {
    /// What `ID_down` calls down is bad: a service in back-off does not run, and has died early. A paused one is in nobody's care.
    pub fn tone(self) -> Tone {
        match self {
            Self::Ready => Tone::Good,
            Self::Stopped => Tone::Soft,
            Self::Starting | Self::Stopping | Self::Waiting | Self::Paused | Self::Unknown => Tone::Warn,
            Self::Backoff | Self::Flapping | Self::Down | Self::Unhealthy | Self::Fight => Tone::Bad,
        }
    }
}

impl Outcome {
    pub fn tone(self) -> Tone {
        match self {
            Self::Kept | Self::Repaired => Tone::Good,
            Self::Skipped => Tone::Soft,
            Self::Would | Self::Pending | Self::Unknown => Tone::Warn,
            Self::Failed | Self::Timeout | Self::Denied => Tone::Bad,
        }
    }

    /// It does not hold, whatever was done about it.
    pub fn is_broken(self) -> bool {
        self.tone() == Tone::Bad || self == Self::Would
    }
}
