//! The way down: the stop command first, then the signals of the policy, at last SIGKILL, each with a deadline.
//!
//! `halting` stands from the order until the process is gone, also over a crash of watchd. What comes after the end is
//! the wish's business: wanted up means a restart, which a person asked for and which costs nothing.

use std::time::Duration;

use crate::model::{Ailment, Ending, Errand, EventKind, Identity, ServiceSpec, StopStep, Wish};

use super::Action;
use super::machine::{Daemon, Machine, Phase, Turn};
use super::text::{Span, Text, text};

const SIGKILL: i32 = 9;

/// How long a process may take to end after the last signal of the policy, and after SIGKILL.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// The policy's steps, and what follows when they did not help.
fn step_at(spec: &ServiceSpec, step: usize) -> Option<StopStep> {
    match step.checked_sub(spec.signals.len()) {
        None => spec.signals.get(step).copied(),
        Some(0 | 2) => Some(StopStep::Wait(LAST_WAIT)),
        Some(1) => Some(StopStep::Signal(SIGKILL)),
        Some(_) => None,
    }
}

impl Machine {
    /// Begins to end a process that is known.
    pub(super) fn halt(&mut self, daemon: Daemon, turn: &mut Turn<'_>) {
        (self.halting, self.last) = (true, Some(daemon));
        if turn.spec.stop.is_some() {
            let until = turn.after(turn.spec.timeout);
            self.phase = Phase::Unwinding { daemon: Some(daemon), command: None, until };
            turn.push(Action::Run(Errand::Stop));
        } else {
            self.phase = Phase::Signalling { daemon, step: 0, next: turn.now };
            self.signal(turn);
        }
    }

    /// Sends what is due and says when the next step is.
    pub(super) fn signal(&mut self, turn: &mut Turn<'_>) {
        let Phase::Signalling { daemon, mut step, mut next } = self.phase else { return };
        // Four signals at once at most; more of them wait for the next turn.
        for _ in 0..4 {
            let due = step_at(turn.spec, step);
            step = step.saturating_add(1);
            match due {
                Some(StopStep::Signal(signal)) => {
                    turn.push(Action::Signal { identity: daemon.identity, signal, reach: daemon.reach() });
                }
                Some(StopStep::Wait(wait)) => {
                    next = turn.after(wait);
                    break;
                }
                None => {
                    self.reason = text(format_args!("process {} does not end after SIGKILL", daemon.identity.pid));
                    turn.note(EventKind::ServiceFailed, &self.reason.clone());
                    next = Duration::MAX;
                    break;
                }
            }
        }
        self.phase = Phase::Signalling { daemon, step, next };
    }

    pub(super) fn signal_again(&mut self, turn: &mut Turn<'_>) {
        if matches!(self.phase, Phase::Signalling { next, .. } if next <= turn.now) {
            self.signal(turn);
        }
    }

    pub(super) fn know_stop(&mut self, identity: Identity, _: &mut Turn<'_>) {
        if let Phase::Unwinding { command, .. } = &mut self.phase {
            *command = Some(identity);
        }
    }

    /// The stop command, or the process after it, takes too long.
    pub(super) fn end_stop_command(&mut self, turn: &mut Turn<'_>) {
        let Phase::Unwinding { daemon, command, until } = self.phase else { return };
        if until > turn.now {
            return;
        }
        let until = turn.after(LAST_WAIT);
        if command.is_some() {
            self.reason = text(format_args!("stop command did not end within {}", Span(turn.spec.timeout)));
            turn.push(Action::KillCommand);
            self.phase = Phase::Unwinding { daemon, command, until };
        } else {
            self.after_stop_command(daemon, turn);
        }
    }

    /// The stop command is over. Its deadline still stands for the process, which may take longer than its command; one that had to be
    /// killed has used it up.
    pub(super) fn stop_over(&mut self, ending: Option<Ending>, trouble: Option<Text>, turn: &mut Turn<'_>) {
        let Phase::Unwinding { daemon, until, .. } = self.phase else { return };
        let failed = trouble.is_some();
        if let Some(trouble) = trouble {
            self.reason = trouble;
            turn.note(EventKind::ServiceFailed, &self.reason.clone());
        }
        let is_killed = ending == Some(Ending::Signal(SIGKILL));
        if daemon.is_none() || failed || is_killed || until <= turn.now {
            self.after_stop_command(daemon, turn);
        } else {
            self.phase = Phase::Unwinding { daemon, command: None, until };
        }
    }

    pub(super) fn after_stop_command(&mut self, daemon: Option<Daemon>, turn: &mut Turn<'_>) {
        if let Some(daemon) = daemon {
            self.phase = Phase::Signalling { daemon, step: 0, next: turn.now };
            self.signal(turn);
        } else {
            // Gone by our knowledge; one look makes sure that nothing of it is left.
            let gap = Self::LONGEST_SEEKING_GAP;
            self.phase = Phase::Unsure { next: turn.after(gap), gap, lost: None };
            turn.push(Action::Look);
        }
    }

    /// What had to end has ended.
    pub(super) fn ended(&mut self, turn: &mut Turn<'_>) {
        self.halting = false;
        self.count_end(turn);
        let ailment = self.ailment.take();
        if let Some(ailment) = ailment.filter(|_| self.wish == Wish::Up && !self.leaving) {
            return self.fall((ailment == Ailment::Unhealthy).then_some(turn.spec.settle), turn);
        }
        self.level = 0;
        self.phase = Phase::Down { wait: turn.now };
        if self.wish == Wish::Stopped || self.leaving {
            turn.note(EventKind::ServiceStopped, &self.reason.clone());
            self.reason = text(format_args!("stopped on request"));
        } else {
            self.free = true;
            self.pursue(turn);
        }
    }
}
