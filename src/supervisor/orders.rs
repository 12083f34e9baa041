//! What people ask for. Every order may be given twice and does no more the second time.

use std::time::Duration;

use crate::model::{EventKind, Wish};

use super::budget::Budget;
use super::machine::{Machine, Phase, Turn};
use super::text::{Span, Text, text};
use super::{Action, Verb};

impl Machine {
    pub(super) fn on_order(&mut self, verb: Verb, turn: &mut Turn<'_>) {
        if matches!(verb, Verb::Start | Verb::Stop | Verb::Restart | Verb::Reset) {
            self.end_fight("ended by an order", turn);
        }
        match verb {
            Verb::Start => self.order_start(turn),
            Verb::Stop => {
                let again = self.wish == Wish::Stopped && turn.is_child() && matches!(self.phase, Phase::Down { .. });
                (self.wish, self.ailment) = (Wish::Stopped, None);
                self.unpause(turn);
                if !again {
                    self.wind_down(&text(format_args!("stopped on request")), turn);
                }
            }
            Verb::Restart => {
                (self.wish, self.ailment) = (Wish::Up, None);
                self.unpause(turn);
                match self.phase {
                    Phase::Alive { daemon, .. } => {
                        self.reason = text(format_args!("restarted on request"));
                        self.halt(daemon, turn);
                    }
                    Phase::Unsure { .. } => self.halting = true,
                    _ => self.order_start(turn),
                }
            }
            Verb::Reset => {
                (self.budget, self.level, self.strikes, self.earliest) = (Budget::default(), 0, 0, Duration::ZERO);
                self.hurry(turn);
            }
            Verb::Pause(span) => {
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
            Verb::Resume => self.resume("resumed on request", turn),
        }
    }

    fn order_start(&mut self, turn: &mut Turn<'_>) {
        let news = self.wish == Wish::Stopped || self.pause.is_some();
        (self.wish, self.ailment) = (Wish::Up, None);
        self.unpause(turn);
        match self.phase {
            Phase::Down { .. } => {
                self.free = true;
                if news {
                    self.reason = text(format_args!("started on request"));
                }
                self.hurry(turn);
            }
            Phase::Commanding { .. } | Phase::Seeking { .. } => {
                self.free |= self.halting;
                self.halting = false;
            }
            Phase::Unsure { .. } => self.earliest = Duration::ZERO,
            Phase::Alive { .. } => self.yield_to_loss(turn),
            _ => {}
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
                self.phase = Phase::Unsure { next: turn.after(Self::FIRST_GAP), gap: Self::LONGEST_SEEKING_GAP };
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
    pub(super) fn on_depart(&mut self, why: &str, turn: &mut Turn<'_>) {
        if !matches!(self.phase, Phase::Down { .. }) {
            self.ailment = None;
            self.wind_down(&text(format_args!("{why}")), turn);
        }
    }
}
