//! Somebody else has a hand in it: brings the service back before us, or keeps ending what we start.
//!
//! Two who both restart a service start it twice, and two who undo each other's work never stop. So watchd stands down:
//! - **kept by another**: three times in a row it came back within a minute of its death without us, or as the child of a
//!   process that is not ours. Then a death is left to the other for a minute; when it is not back by then, or when
//!   the other has ended, the fight is over and watchd starts it again.
//! - **ended by another**: the budget was spent on deaths by signals that people and programs send. The tries grow rare, as
//!   in flapping, and the fight is over when it has lived until the budget is full again. Linux does not say who sent a
//!   signal; that is said, too.
//!
//! An order by a person ends a fight. It goes on over an upgrade; a watchd that was killed finds out anew.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Ending, EventKind, Identity, Wish};

use super::machine::{Machine, Phase, Turn};
use super::text::{Span, Text, text};

/// How soon after a death its return is somebody's answer to it.
const SOON: Duration = Duration::from_secs(60);
/// How long a death is left to the other.
const STAND_ASIDE: Duration = Duration::from_secs(60);
/// How often in a row makes it a fight.
const TIMES: u8 = 3;

/// Who else looks after a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rival {
    pub identity: Identity,
    /// For people: `runsv (process 812 of root)`.
    pub name: Text,
}

/// What the other does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Fight {
    Kept(Option<Rival>),
    Ended,
}

/// What has been seen of another's hand.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Contest {
    /// When it was last seen to die.
    died: Option<Duration>,
    /// How often in a row it came back without us, and was ended by a signal that somebody sends.
    returns: u8,
    kills: u8,
    pub fight: Option<Box<Fight>>,
}

/// A signal that people and programs send; shells tell of their children's in a status.
fn is_sent(ending: Ending) -> bool {
    let signal = match ending {
        Ending::Signal(signal) => signal,
        Ending::Exit(status) => status - 128,
        Ending::OutOfMemory => return false,
    };
    matches!(signal, 1 | 2 | 9 | 15)
}

impl Machine {
    /// It died, though it should live. How is told later, or never, for what is not our child.
    pub(super) fn count_death(&mut self, ending: Option<Ending>, lived: Duration, turn: &mut Turn<'_>) {
        self.contest.died = Some(turn.now);
        if lived >= turn.spec.limit.window {
            (self.contest.returns, self.contest.kills) = (0, 0);
        }
        if let Some(ending) = ending {
            self.count_ending(ending);
        }
    }

    /// It was ended by us; what comes back all the same is another's work.
    pub(super) fn count_end(&mut self, turn: &Turn<'_>) {
        self.contest.died = Some(turn.now);
    }

    /// While another brings it back, a death is left to them for a while.
    pub(super) fn earliest_return(&self, turn: &Turn<'_>) -> Duration {
        if self.is_kept() { turn.after(STAND_ASIDE) } else { Duration::ZERO }
    }

    pub(super) fn count_ending(&mut self, ending: Ending) {
        self.contest.kills = if is_sent(ending) { self.contest.kills.saturating_add(1) } else { 0 };
    }

    /// It runs, by our work or by another's.
    pub(super) fn count_return(&mut self, is_ours: bool, rival: Option<Rival>, turn: &mut Turn<'_>) {
        let is_answer = self.contest.died.is_some_and(|died| turn.now.saturating_sub(died) <= SOON);
        if is_ours && rival.is_none() {
            self.contest.returns = 0;
            return;
        }
        if !is_answer || self.wish != Wish::Up || self.halting || self.leaving {
            return;
        }
        self.contest.returns = self.contest.returns.saturating_add(1);
        if self.contest.returns < TIMES {
            return;
        }
        let is_news = !self.is_kept();
        let who = rival.as_ref().map_or_else(|| text(format_args!("not by watchd")), |rival| by(&rival.name));
        self.reason = text(format_args!("brought back {who}, {TIMES} times or more; left to them"));
        self.contest.fight = Some(Box::new(Fight::Kept(rival)));
        if is_news {
            turn.note(EventKind::ServiceFight, &self.reason.clone());
        }
    }

    /// The budget is spent: on somebody's signals?
    pub(super) fn is_ended_by_another(&self) -> bool {
        self.contest.kills >= TIMES
    }

    pub(super) fn begin_to_yield(&mut self, turn: &mut Turn<'_>) {
        let kills = self.contest.kills;
        let last = &self.reason;
        let what = text(format_args!("ended by somebody's signal {kills} times, whose is not known to Linux; {last}"));
        self.contest.fight = Some(Box::new(Fight::Ended));
        turn.note(EventKind::ServiceFight, &what);
    }

    pub(super) fn is_fighting(&self) -> bool {
        self.contest.fight.is_some()
    }

    /// Another brings it back.
    pub(super) fn is_kept(&self) -> bool {
        matches!(self.contest.fight.as_deref(), Some(Fight::Kept(_)))
    }

    /// The other, while it is known and matters.
    pub fn rival(&self) -> Option<Identity> {
        match self.contest.fight.as_deref() {
            Some(Fight::Kept(Some(rival))) => Some(rival.identity),
            _ => None,
        }
    }

    /// The other has ended.
    pub(super) fn outlive_rival(&mut self, turn: &mut Turn<'_>) {
        if self.rival().is_some() {
            self.end_fight("the other has ended", turn);
            if let Phase::Down { .. } = self.phase {
                self.phase = Phase::Down { wait: turn.now };
            }
            self.pursue(turn);
        }
    }

    /// Whether what we stood aside for has not come.
    pub(super) fn outwait(&mut self, turn: &mut Turn<'_>) {
        let has_waited = self.contest.died.is_none_or(|died| died.saturating_add(STAND_ASIDE) <= turn.now);
        if self.is_kept() && has_waited {
            let what = text(format_args!("not brought back for {}", Span(STAND_ASIDE)));
            self.end_fight(&what, turn);
        }
    }

    /// Nobody has ended it for long enough.
    pub(super) fn outlive(&mut self, turn: &mut Turn<'_>) {
        let Phase::Alive { daemon, settled: true } = self.phase else { return };
        let has_lived = turn.now.saturating_sub(daemon.born) >= turn.spec.limit.window;
        match self.contest.fight.as_deref() {
            Some(Fight::Ended) if self.budget.is_full(turn.now) => self.end_fight("nobody ends it any more", turn),
            // Whoever it was, there was nothing to bring back for long.
            Some(Fight::Kept(None)) if has_lived => self.end_fight("it has lived long enough", turn),
            _ => {}
        }
    }

    pub(super) fn end_fight(&mut self, why: &str, turn: &mut Turn<'_>) {
        (self.contest.returns, self.contest.kills) = (0, 0);
        if self.contest.fight.take().is_some() {
            turn.note(EventKind::ServicePeace, &text(format_args!("{why}")));
            if let Some(daemon) = self.daemon().filter(|_| !self.halting && !self.health.has_spoken) {
                self.reason = self.running(daemon);
            }
            self.yield_to_loss(turn);
        }
    }
}

fn by(name: &Text) -> Text {
    text(format_args!("by {name}"))
}
