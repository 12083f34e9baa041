//! What a machine leaves behind for the next watchd, and how that one takes it up.
//!
//! Within one boot everything comes back: the process, a command that runs, the budget, the wait, the pause. After a boot
//! only what people asked for does.

use std::time::Duration;

use crate::model::{Errand, Now, Pause, Record, ServiceSpec};

use super::budget::Budget;
use super::machine::{Daemon, Machine, Phase};

impl Machine {
    /// A service as it is remembered from earlier in this boot. A command that was running must be said to have ended
    /// (`CommandEnded`) when it has; then a `Tick` makes the machine look for the service.
    pub fn recall(record: &Record, now: Now, spec: &ServiceSpec, seed: u64) -> Self {
        let (mono, until) = (now.mono, record.until);
        let phase = match record.command {
            Some((Errand::Start, command)) => Phase::Commanding { command: Some(command), until, overdue: false },
            Some((Errand::Stop, command)) => Phase::Unwinding { daemon: None, command: Some(command), until },
            None if record.seeking && until <= mono => {
                Phase::Unsure { next: mono, gap: Self::FIRST_GAP, lost: Some(until) }
            }
            None if record.seeking => Phase::Seeking { next: mono, gap: Self::FIRST_GAP, until, failed: false },
            None => Phase::Unsure { next: mono, gap: Self::FIRST_GAP, lost: None },
        };
        // One that is under way is ours to bring to its end.
        let starts = u32::from(record.seeking || matches!(record.command, Some((Errand::Start, _))));
        Self {
            phase,
            starts,
            wish: record.wish,
            halting: record.halting,
            ailment: record.ailment,
            pause: record.pause.map(|pause| pause.mono),
            started: record.started,
            attempt: record.attempt,
            last: record.identity.map(|identity| Daemon { identity, born: identity.born(), own: record.own }),
            earliest: record.wait.min(mono.saturating_add(spec.backoff.1.max(spec.limit.window))),
            budget: Budget::recall(record.budget, mono, spec.limit),
            level: record.level,
            strikes: record.strikes,
            restarts: record.restarts,
            heard: record.heard,
            pressed: record.pressed,
            ..Self::new(mono, seed)
        }
    }

    /// A service as it is remembered from an earlier boot: moments and processes of that boot mean nothing now.
    pub fn recall_over_boot(record: &Record, now: Now, seed: u64) -> Self {
        let pause = record.pause.map(|pause| match pause.wall {
            Duration::MAX => Duration::MAX,
            wall => now.mono.saturating_add(wall.saturating_sub(now.wall)),
        });
        Self { wish: record.wish, pause, restarts: record.restarts, ..Self::new(now.mono, seed) }
    }

    /// What has to be remembered now. `comm` is the caller's.
    pub fn record(&self, now: Now) -> Record {
        let (mut command, mut until, mut wait, mut seeking) = (None, Duration::ZERO, Duration::ZERO, false);
        match self.phase {
            Phase::Commanding { command: running, until: end, .. } => {
                (command, until) = (running.map(|running| (Errand::Start, running)), end);
            }
            Phase::Unwinding { command: running, until: end, .. } => {
                (command, until) = (running.map(|running| (Errand::Stop, running)), end);
            }
            Phase::Seeking { until: end, .. } | Phase::Unsure { lost: Some(end), .. } => (seeking, until) = (true, end),
            Phase::Down { wait: end } => wait = end,
            Phase::Unsure { .. } => wait = self.earliest,
            _ => {}
        }
        let known = self.daemon().or(self.last);
        let pause = self.pause.map(|mono| Pause {
            mono,
            wall: if mono == Duration::MAX { mono } else { now.wall.saturating_add(mono.saturating_sub(now.mono)) },
        });
        Record {
            wish: self.wish,
            halting: self.halting,
            ailment: self.ailment,
            started: self.started,
            own: known.is_some_and(|daemon| daemon.own),
            seeking,
            identity: known.map(|daemon| daemon.identity),
            command,
            until,
            attempt: self.attempt,
            pause,
            budget: self.budget.full(),
            wait,
            level: self.level,
            strikes: self.strikes,
            restarts: self.restarts,
            heard: self.heard,
            pressed: self.pressed,
            comm: [0; 16],
        }
    }
}
