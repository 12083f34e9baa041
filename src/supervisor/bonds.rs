//! What a service waits for: the services that it needs, and those that it comes after.
//!
//! A need that has gone for good takes its dependents down first, the outermost before the inner; one that is coming back
//! only keeps them from being started. Here it is decided; who needs whom is known to `engine::services`.

use crate::model::{EventKind, ServiceSpec, Wish};

use super::machine::{Machine, Phase, Turn};
use super::text::{Text, text};

/// What the others mean for a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Bond {
    #[default]
    Free,
    /// It may not start; what runs goes on.
    Waits(Text),
    /// It may not start, and what runs has to end.
    Lost(Text),
}

/// What a service means for those that need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Ready and healthy, whatever people asked for.
    Serving,
    /// Not there, and expected back.
    Coming,
    /// Not there, and not expected back soon.
    Gone,
}

impl Machine {
    pub fn bond(&self) -> &Bond {
        &self.bond
    }

    pub fn standing(&self, spec: &ServiceSpec) -> Standing {
        match self.phase {
            Phase::Alive { settled: true, .. } if !self.health.is_bad() => Standing::Serving,
            _ if self.wish == Wish::Stopped => Standing::Gone,
            Phase::Down { .. } if !self.guard => Standing::Gone,
            Phase::Down { .. } if self.strikes > 0 && spec.can_start() && self.pause.is_none() => Standing::Gone,
            _ => Standing::Coming,
        }
    }

    /// It is being started, or will be as soon as others allow. Nobody waits for what a person has paused.
    pub fn is_arriving(&self) -> bool {
        if self.pause.is_some() {
            return false;
        }
        let is_bound = self.wish == Wish::Up && self.guard;
        match self.phase {
            Phase::Checking | Phase::Spawning | Phase::Commanding { .. } | Phase::Seeking { .. } => true,
            Phase::Alive { settled, .. } => !settled && !self.health.is_bad(),
            Phase::Down { .. } => is_bound && matches!(self.bond, Bond::Waits(_)),
            _ => false,
        }
    }

    /// Something of it runs, or may run.
    pub fn is_up(&self) -> bool {
        !matches!(self.phase, Phase::Down { .. })
    }

    /// It would be stopped when what it needs goes.
    pub fn yields(&self) -> bool {
        self.wish == Wish::Up && self.guard && self.pause.is_none() && !self.leaving && !self.is_kept()
    }

    pub(super) fn heed_bond(&mut self, bond: Bond, turn: &mut Turn<'_>) {
        self.bond = bond;
        if self.bond == Bond::Free && matches!(self.phase, Phase::Down { .. }) && self.yields() {
            self.reason = text(format_args!("what it waited for is there"));
        }
        self.yield_to_loss(turn);
        self.pursue(turn);
    }

    /// Says whom it waits for when nothing else keeps it down.
    pub(super) fn explain_wait(&mut self) {
        if let Bond::Waits(why) | Bond::Lost(why) = &self.bond
            && self.yields()
        {
            self.reason = why.clone();
        }
    }

    /// Ends what runs when it cannot do without what has gone.
    pub(super) fn yield_to_loss(&mut self, turn: &mut Turn<'_>) {
        let Bond::Lost(why) = &self.bond else { return };
        let runs = matches!(self.phase, Phase::Alive { .. } | Phase::Commanding { .. } | Phase::Seeking { .. });
        if runs && self.yields() && !self.halting {
            let why = why.clone();
            turn.note(EventKind::ServiceStopped, &why);
            self.wind_down(&why, turn);
        }
    }
}
