//! While it lives: when it counts as ready, what its checks are asked and what follows from their answers.
//!
//! A service that is not ready in time, or unhealthy, is ended and started again, but only when the start can be paid at
//! once and the host lets it: what cannot come back is not ended. Nothing is asked in a pause, and nothing of a service that is being ended.

use std::time::Duration;

use crate::model::{Ailment, EventKind, ServiceSpec};

use super::Action;
use super::health::{Asked, Change, Verdict};
use super::machine::{Daemon, Machine, Phase, Turn};
use super::text::{Span, Text, text};

impl Machine {
    /// When a service that runs has to be looked after.
    pub(super) fn attention(&self, daemon: Daemon, settled: bool, spec: &ServiceSpec) -> Option<Duration> {
        let settles = (!settled && self.health.is_ready()).then(|| daemon.settles(spec));
        if self.pause.is_some() {
            return settles;
        }
        let mends =
            (self.is_unwell(spec) && self.may_start(spec)).then(|| self.mendable(spec).max(self.held_until(spec)));
        [settles, self.health.due(settled), mends].into_iter().flatten().min()
    }

    /// Does what is due for a service that runs.
    pub(super) fn attend(&mut self, daemon: Daemon, mut settled: bool, turn: &mut Turn<'_>) {
        if !settled && self.health.is_ready() && daemon.settles(turn.spec) <= turn.now {
            self.settle(daemon, turn);
            settled = true;
        }
        if self.pause.is_some() {
            return;
        }
        if !settled && self.health.is_overdue(turn.now) {
            let within = turn.spec.care.ready.as_ref().map_or(Duration::ZERO, |ready| ready.within);
            let last = if self.health.has_spoken { self.reason.as_str() } else { "no answer yet" };
            let why =
                text(format_args!("not ready within {}: {}", Span(within), last.trim_start_matches("not ready: ")));
            self.ail(why, EventKind::ServiceFailed, turn);
        }
        if settled {
            self.listen(turn);
        }
        self.mend(daemon, settled, turn);
        // Four questions at once at most; more of them wait for the next turn.
        for _ in 0..4 {
            if !matches!(self.phase, Phase::Alive { .. }) {
                return;
            }
            let Some(asked) = self.health.ask(turn.now, settled, turn.spec) else { return };
            turn.push(Action::Check(asked));
        }
    }

    pub(super) fn ail(&mut self, why: Text, kind: EventKind, turn: &mut Turn<'_>) {
        (self.reason, self.health.has_spoken) = (why, true);
        turn.note(kind, &self.reason.clone());
    }

    /// From when on it could be started again at once.
    pub(super) fn mendable(&self, spec: &ServiceSpec) -> Duration {
        if self.strikes > 0 { self.budget.full() } else { self.budget.next(spec.limit) }
    }

    /// Ends what is not well, when it can be started again at once.
    fn mend(&mut self, daemon: Daemon, settled: bool, turn: &mut Turn<'_>) {
        if !self.is_unwell(turn.spec) {
            self.held = None;
            return;
        }
        let is_due = self.may_start(turn.spec) && self.mendable(turn.spec) <= turn.now;
        if is_due && !self.halting && self.host_forbids(turn).is_none() {
            self.ailment = Some(if settled { Ailment::Unhealthy } else { Ailment::NotReady });
            self.shuffle();
            self.halt(daemon, turn);
        }
    }

    pub(super) fn hear_check(&mut self, asked: Asked, verdict: &Verdict, turn: &mut Turn<'_>) {
        let Phase::Alive { daemon, settled } = self.phase else { return };
        if self.pause.is_some() {
            return;
        }
        match self.health.hear(asked, verdict, turn.now, turn.spec) {
            Change::Nothing => {}
            Change::Said(why) => {
                if !self.health.is_bad() || settled {
                    (self.reason, self.health.has_spoken) = (why, true);
                }
            }
            Change::Cleared | Change::Ready => self.all_well(daemon),
            Change::Fell(why) => self.ail(why, EventKind::ServiceUnhealthy, turn),
            Change::Mended(what) => {
                self.all_well(daemon);
                if !self.health.is_bad() {
                    turn.note(EventKind::ServiceReady, &what);
                }
            }
        }
        self.attend(daemon, settled, turn);
    }

    /// Takes back a reason that no longer holds.
    pub(super) fn all_well(&mut self, daemon: Daemon) {
        if self.health.has_spoken && !self.health.is_bad() {
            self.health.has_spoken = false;
            self.reason = self.running(daemon);
        }
    }
}
