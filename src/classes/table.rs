//! The classes of a policy: their names, what makes each true, and the compiled expressions.
//!
//! Made once when the policy is read and handed over as bytes, so it is compact: all names in one text, expressions in one
//! list of steps. Interned are the hard and measured classes, the defined ones, and every name that an expression mentions;
//! the state of each service and the outcome of each promise are classes too, but have an entry only when they are mentioned.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::expr::Op;
use super::gauge::Gauge;
use super::time::TimeTest;
use crate::model::{ClassKind, Finding, Mark, Outcome, Quantities, ServiceState};

/// A compiled expression of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExprId(pub(super) u16);

/// What makes a class true.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Source {
    /// It is.
    Hard,
    Time(TimeTest),
    /// The host came up a short while ago.
    Boot,
    Measured(Threshold),
    /// The gauge gave no answer.
    Unread(Gauge),
    State {
        service: u16,
        states: States,
    },
    /// A service uses more than it may; `bit` says of what.
    Over {
        service: u16,
        bit: u8,
    },
    Outcome {
        promise: u16,
        outcome: Outcome,
    },
    /// The limit of a promise is spent.
    Limited {
        promise: u16,
    },
    Defined(ExprId),
    /// What a look at files or numbers has found.
    Mark {
        promise: u16,
        mark: Mark,
    },
    /// The learner found this about a quantity.
    Learned {
        quantity: u16,
        finding: Finding,
    },
    /// What watchd has to remember cannot be written.
    StateUnwritable,
    /// Nothing in this policy; it is false.
    Nothing,
}

/// A level with hysteresis.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Threshold {
    pub gauge: Gauge,
    pub side: Side,
    /// Where it begins to be true.
    pub enter: f32,
    /// Where it ends.
    pub leave: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Side {
    /// True from `enter` up, false below `leave`.
    Above,
    /// True below `enter`, false from `leave` up.
    Below,
}

impl Threshold {
    pub fn holds(&self, level: f64, held: bool) -> bool {
        let (enter, leave) = (f64::from(self.enter), f64::from(self.leave));
        match self.side {
            Side::Above => level >= if held { leave } else { enter },
            Side::Below => level < if held { leave } else { enter },
        }
    }
}

/// A set of service states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct States(u16);

impl States {
    /// Not running although it should: what `ID_down` means.
    pub const DOWN: Self =
        Self(1 << ServiceState::Down.byte() | 1 << ServiceState::Backoff.byte() | 1 << ServiceState::Flapping.byte());

    pub fn one(state: ServiceState) -> Self {
        if state == ServiceState::Down { Self::DOWN } else { Self(1 << state.byte()) }
    }

    pub fn contains(self, state: ServiceState) -> bool {
        self.0 & 1 << state.byte() != 0
    }
}

/// Outcomes that are classes.
pub(super) const OUTCOMES: [Outcome; 7] = [
    Outcome::Kept,
    Outcome::Repaired,
    Outcome::Failed,
    Outcome::Timeout,
    Outcome::Denied,
    Outcome::Would,
    Outcome::Unknown,
];

/// What a promise is besides its outcome when its limit is spent.
pub(super) const LIMITED: &str = "flapping";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// One past the end of its name.
    pub end: u32,
    pub source: Source,
}

/// All classes of a policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    pub(super) text: String,
    pub(super) entries: Vec<Entry>,
    /// Mount points of the disks.
    pub(super) disks: Vec<String>,
    /// The disks that are looked ahead for, and how far.
    pub(super) forecasts: Vec<(u16, Duration)>,
    pub(super) ops: Vec<Op>,
    /// One past the last step of each expression.
    pub(super) ends: Vec<u32>,
    /// The defined classes, each after those it is made of.
    pub(super) order: Vec<u16>,
    /// Classes that stay true for a while after they last held, in the order of the entries.
    pub(super) holds: Vec<(u16, Duration)>,
    /// What the learner follows.
    pub(super) quantities: Quantities,
}

impl Table {
    /// How many classes have an entry, not counting names that nothing can make true.
    pub fn len(&self) -> usize {
        self.entries.iter().filter(|entry| entry.source != Source::Nothing).count()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The mount points of the disks, in the order of their promises.
    pub fn disks(&self) -> &[String] {
        &self.disks
    }

    /// The disks that are looked ahead for, and how far.
    pub fn forecasts(&self) -> &[(u16, Duration)] {
        &self.forecasts
    }

    /// What the learner follows.
    pub fn quantities(&self) -> &Quantities {
        &self.quantities
    }

    pub(super) fn name(&self, class: usize) -> &str {
        let end = |class: usize| self.entries.get(class).and_then(|entry| usize::try_from(entry.end).ok());
        let start = class.checked_sub(1).map_or(Some(0), end);
        start.zip(end(class)).and_then(|(start, end)| self.text.get(start..end)).unwrap_or("")
    }

    pub(super) fn expr(&self, id: ExprId) -> &[Op] {
        let place = usize::from(id.0);
        let end = |place: usize| self.ends.get(place).and_then(|end| usize::try_from(*end).ok());
        let start = place.checked_sub(1).map_or(Some(0), end);
        start.zip(end(place)).and_then(|(start, end)| self.ops.get(start..end)).unwrap_or(&[])
    }
}

impl Source {
    /// Whether it is of a kind that is true for one name at a time.
    pub fn is_moving(&self) -> bool {
        matches!(
            self,
            Self::Time(_)
                | Self::State { .. }
                | Self::Outcome { .. }
                | Self::Limited { .. }
                | Self::Mark { .. }
                | Self::Learned { .. }
                | Self::Unread(_)
        )
    }

    pub fn kind(&self) -> Option<ClassKind> {
        Some(match self {
            Self::Hard => ClassKind::Hard,
            Self::Time(_) | Self::Boot => ClassKind::Time,
            Self::Learned { .. } => ClassKind::Learned,
            Self::State { .. } | Self::Over { .. } => ClassKind::State,
            Self::Measured(_) | Self::Mark { .. } | Self::Unread(_) | Self::StateUnwritable => ClassKind::Measured,
            Self::Outcome { .. } | Self::Limited { .. } => ClassKind::Outcome,
            Self::Defined(_) => ClassKind::Defined,
            Self::Nothing => return None,
        })
    }
}
