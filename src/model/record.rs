//! What must be remembered about a service when watchd itself is killed: plain data between the supervisor and the ledger.
//!
//! Moments are times since boot and mean nothing in another boot; only `wish`, `pause` and `restarts` outlive one.

use std::time::Duration;

use super::Identity;

/// What the administrator wants of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    #[default]
    Up,
    Stopped,
}

/// Until when a service is left alone. Both clocks, because only one of them survives a boot and only the other a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Time since boot; `MAX` without an end.
    pub mono: Duration,
    /// Time since 1970; `MAX` without an end.
    pub wall: Duration,
}

/// Which command of a service is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    Start,
    Stop,
}

/// Why a service is being ended although it should run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ailment {
    /// It was not ready in time.
    NotReady,
    /// Its checks failed, or it used more than it may.
    Unhealthy,
}

/// One service as it is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub wish: Wish,
    /// It is being ended, and whatever of it is found has to end.
    pub halting: bool,
    /// Its end counts as a death of this kind.
    pub ailment: Option<Ailment>,
    /// It was started before in this boot: what follows are restarts.
    pub started: bool,
    /// The process leads a session that watchd made for it.
    pub own: bool,
    /// Its start command has ended, and it is being looked for.
    pub seeking: bool,
    pub identity: Option<Identity>,
    /// A start or stop command that is running.
    pub command: Option<(Errand, Identity)>,
    /// When `command` or the looking has to be over.
    pub until: Duration,
    /// When the newest start began.
    pub attempt: Duration,
    pub pause: Option<Pause>,
    /// When the budget is full again.
    pub budget: Duration,
    /// When the next start is allowed.
    pub wait: Duration,
    /// How many early deaths in a row.
    pub level: u8,
    /// How often in a row the budget was found spent.
    pub strikes: u8,
    pub restarts: u32,
    /// The process has spoken by itself: signs of life may be expected of it.
    pub heard: bool,
    /// When it last gave its memory back.
    pub pressed: Option<Duration>,
    /// The name of its program when it was last seen; zeros when it was not.
    pub comm: [u8; 16],
}
