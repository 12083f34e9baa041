//! What a service says of itself: that it is ready, that it lives, what it does just now, which process it is by now.
//!
//! Who says it was verified before it came here. Silence counts only where a word was promised: by a process that was started
//! with the socket in its environment, or one that has spoken before. Silence that watchd itself notices late says nothing: then
//! it was watchd, or the whole host, that stood still. A host that is only slow is no excuse for a service that is silent.

use std::time::Duration;

use crate::model::{EventKind, Identity};

use super::health::Change;
use super::machine::{Daemon, Machine, Phase, Turn};
use super::notice::Word;
use super::text::{Span, Text, text};

/// How much later than its deadline silence may be noticed; later than that, we were not listening.
const LATE: Duration = Duration::from_secs(5);

impl Machine {
    pub(super) fn hear_word(&mut self, word: Word, turn: &mut Turn<'_>) {
        let Phase::Alive { daemon, settled } = self.phase else { return };
        self.heard = true;
        match word {
            Word::Ready => {
                if self.health.is_told_ready() == Change::Ready {
                    self.all_well(daemon);
                }
            }
            Word::Beat => {
                if let Change::Mended(what) = self.health.beat(turn.now, turn.spec) {
                    self.all_well(daemon);
                    if !self.health.is_bad() {
                        turn.note(EventKind::ServiceReady, &what);
                    }
                }
            }
            Word::Trigger => {
                if self.health.fall_silent() {
                    self.ail(text(format_args!("it says that it is not well")), EventKind::ServiceUnhealthy, turn);
                }
            }
            Word::Stopping => {
                self.health.expect_nothing();
                self.reason = text(format_args!("it says that it is ending"));
            }
            Word::Status(status) => {
                self.status = status;
                if !self.health.has_spoken {
                    self.reason = self.running(daemon);
                }
            }
        }
        self.attend(daemon, settled, turn);
    }

    /// It goes on as another process, one of its own making.
    pub(super) fn follow(&mut self, identity: Identity, born: Duration, turn: &mut Turn<'_>) {
        let Phase::Alive { daemon, settled } = self.phase else { return };
        if daemon.identity == identity {
            return;
        }
        // What it made leads no session that watchd made.
        let moved = Daemon { identity, born, own: false };
        self.phase = Phase::Alive { daemon: moved, settled };
        self.last = Some(moved);
        if !self.health.has_spoken {
            self.reason = self.running(moved);
        }
        self.attend(moved, settled, turn);
    }

    /// Notices that a sign of life is overdue.
    pub(super) fn listen(&mut self, turn: &mut Turn<'_>) {
        let Some(due) = self.health.silence(turn.now) else { return };
        if turn.now > due.saturating_add(LATE) {
            return self.health.wait_for_word(turn.now, turn.spec);
        }
        let period = turn.spec.care.watchdog.unwrap_or_default();
        if self.health.fall_silent() {
            self.ail(text(format_args!("no sign of life within {}", Span(period))), EventKind::ServiceUnhealthy, turn);
        }
    }

    /// What is said of a service that runs and has nothing wrong with it.
    pub(super) fn running(&self, daemon: Daemon) -> Text {
        let pid = daemon.identity.pid;
        if self.is_kept() {
            return self.reason.clone();
        }
        if self.status.is_empty() {
            text(format_args!("runs as process {pid}"))
        } else {
            text(format_args!("runs as process {pid}: {}", self.status))
        }
    }
}
