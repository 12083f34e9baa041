//! The host has a say: nothing is started again into a full disk or a heavy stall for memory, which a start only makes worse.
//!
//! What is unwell but runs is not ended either while its start would have to wait.
//!
//! The wait is bounded: a host that stays like that for two minutes gets its service all the same, since that may be what mends it. First
//! starts and orders by people do not wait, nor do services whose policy says `wait-for-host = false`.

use std::time::Duration;

use crate::model::{EventKind, ServiceSpec};

use super::Text;
use super::machine::{Machine, Phase, Turn};

/// How long a start is put off at most.
const PATIENCE: Duration = Duration::from_secs(120);

impl Machine {
    /// What of the host stands in the way of a start, as far as was told.
    pub fn obstacle(&self) -> Option<&Text> {
        self.obstacle.as_ref()
    }

    pub(super) fn heed_host(&mut self, obstacle: Option<Text>, turn: &mut Turn<'_>) {
        self.obstacle = obstacle;
        let Some(since) = self.held.filter(|_| self.obstacle.is_none()) else { return };
        self.held = None;
        if matches!(self.phase, Phase::Down { wait } if wait == since.saturating_add(PATIENCE)) {
            self.phase = Phase::Down { wait: turn.now };
        }
        self.pursue(turn);
    }

    /// Whether a start that nothing else forbids waits for the host; then the wait is set.
    pub(super) fn waits_for_host(&mut self, turn: &mut Turn<'_>) -> bool {
        let Some((why, until)) = self.host_forbids(turn) else { return false };
        (self.reason, self.phase) = (why, Phase::Down { wait: until });
        true
    }

    /// Why the host does not let it be started now, and until when at most. Said once for each wait.
    pub(super) fn host_forbids(&mut self, turn: &mut Turn<'_>) -> Option<(Text, Duration)> {
        let why = self.obstacle.clone().filter(|_| self.minds_host(turn.spec))?;
        let is_news = self.held.is_none();
        let until = self.held.get_or_insert(turn.now).saturating_add(PATIENCE);
        if until <= turn.now {
            return None;
        }
        if is_news {
            turn.note(EventKind::ServiceHeld, &why);
        }
        Some((why, until))
    }

    /// Until when the host keeps it from being started, as far as that was asked.
    pub(super) fn held_until(&self, spec: &ServiceSpec) -> Duration {
        let held = self.held.filter(|_| self.obstacle.is_some() && self.minds_host(spec));
        held.map_or(Duration::ZERO, |since| since.saturating_add(PATIENCE))
    }

    fn minds_host(&self, spec: &ServiceSpec) -> bool {
        self.is_counted() && !spec.care.is_heedless
    }
}
