//! What people ask for. Every order may be given twice and does no more the second time.

use std::time::Duration;

use crate::model::{EventKind, Wish};

use super::Action;
use super::budget::Budget;
use super::machine::{Machine, Phase, Turn};
use super::text::{Span, Text, text};

impl Machine {
    /// It shall run. Says whether that is news.
    fn wish_up(&mut self, turn: &mut Turn<'_>) -> bool {
        self.end_fight("ended by an order", turn);
        let news = self.wish == Wish::Stopped || self.pause.is_some();
        (self.wish, self.ailment) = (Wish::Up, None);
        self.unpause(turn);
        news
    }

    /// Nothing has to be done for it.
    pub(super) fn want_up(&mut self, turn: &mut Turn<'_>) {
        self.wish_up(turn);
    }

    pub(super) fn start_found(&mut self, turn: &mut Turn<'_>) {
        self.wish_up(turn);
        self.earliest = Duration::ZERO;
    }

    pub(super) fn start_down(&mut self, turn: &mut Turn<'_>) {
        if self.wish_up(turn) {
            self.reason = text(format_args!("started on request"));
        }
        self.free = true;
        self.hurry(turn);
    }

    /// It is being started, perhaps to be ended as soon as it is there: not any more.
    pub(super) fn start_instead(&mut self, turn: &mut Turn<'_>) {
        self.wish_up(turn);
        self.free |= self.halting;
        self.halting = false;
    }

    pub(super) fn start_alive(&mut self, turn: &mut Turn<'_>) {
        self.wish_up(turn);
        self.yield_to_loss(turn);
    }

    /// Whatever is found has to end, and comes back then.
    pub(super) fn restart_found(&mut self, turn: &mut Turn<'_>) {
        self.wish_up(turn);
        self.halting = true;
    }

    pub(super) fn restart_down(&mut self, turn: &mut Turn<'_>) {
        self.wish_up(turn);
        self.free = true;
        self.hurry(turn);
    }

    pub(super) fn restart_alive(&mut self, turn: &mut Turn<'_>) {
        self.wish_up(turn);
        if let Phase::Alive { daemon, .. } = self.phase {
            self.reason = text(format_args!("restarted on request"));
            self.halt(daemon, turn);
        }
    }

    pub(super) fn stop(&mut self, turn: &mut Turn<'_>) {
        self.end_fight("ended by an order", turn);
        let again = self.wish == Wish::Stopped && turn.is_child() && matches!(self.phase, Phase::Down { .. });
        (self.wish, self.ailment) = (Wish::Stopped, None);
        self.unpause(turn);
        if !again {
            self.wind_down(&text(format_args!("stopped on request")), turn);
        }
    }

    pub(super) fn reset(&mut self, turn: &mut Turn<'_>) {
        self.end_fight("ended by an order", turn);
        (self.budget, self.level, self.strikes, self.earliest) = (Budget::default(), 0, 0, Duration::ZERO);
        self.hurry(turn);
    }

    pub(super) fn leave_alone(&mut self, span: Option<Duration>, turn: &mut Turn<'_>) {
        let news = self.pause.is_none();
        self.pause = Some(span.map_or(Duration::MAX, |span| turn.after(span)));
        if news {
            let what = match span {
                Some(span) => text(format_args!("left alone for {}", Span(span))),
                None => text(format_args!("left alone until resumed")),
            };
            turn.note(EventKind::ServicePaused, &what);
        }
    }

    /// Ends the waiting, whatever it was for.
    fn hurry(&mut self, turn: &mut Turn<'_>) {
        if matches!(self.phase, Phase::Down { .. }) {
            self.phase = Phase::Down { wait: turn.now };
            self.pursue(turn);
        }
    }

    pub(super) fn resume(&mut self, why: &str, turn: &mut Turn<'_>) {
        if self.unpause(turn) {
            turn.note(EventKind::ServiceResumed, &text(format_args!("{why}")));
            self.yield_to_loss(turn);
            self.pursue(turn);
        }
    }

    /// Ends a pause; whether there was one. What checks said before it counts no more.
    fn unpause(&mut self, turn: &mut Turn<'_>) -> bool {
        let was_paused = self.pause.take().is_some();
        if was_paused {
            self.health.rest(turn.now, turn.spec, self.random);
            self.excess.rest();
        }
        was_paused
    }

    /// Ends what runs, what is being started, and what may be found.
    pub(super) fn wind_down(&mut self, why: &Text, turn: &mut Turn<'_>) {
        match self.phase {
            Phase::Alive { daemon, .. } => {
                self.reason = why.clone();
                self.halt(daemon, turn);
            }
            Phase::Down { .. } if turn.is_child() => self.ended(turn),
            Phase::Down { .. } => {
                self.halting = true;
                let gap = Self::LONGEST_SEEKING_GAP;
                self.phase = Phase::Unsure { next: turn.after(Self::FIRST_GAP), gap, lost: None };
                turn.push(Action::Look);
            }
            Phase::Commanding { command, until, .. } => {
                self.halting = true;
                self.phase = Phase::Commanding { command, until, overdue: true };
                turn.push(Action::KillCommand);
            }
            Phase::Unsure { .. } | Phase::Seeking { .. } | Phase::Checking | Phase::Spawning => self.halting = true,
            Phase::Unwinding { .. } | Phase::Signalling { .. } => {}
        }
    }

    /// The wish stays, so that it comes back with watchd or with its place in the policy.
    pub(super) fn depart(&mut self, why: &str, turn: &mut Turn<'_>) {
        self.ailment = None;
        self.wind_down(&text(format_args!("{why}")), turn);
    }
}
