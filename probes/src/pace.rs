//! Keeping dear work cheap: how long it took decides when it is done again.
//!
//! What costs microseconds is read every turn anyway; what costs milliseconds on a large host (the process table, single
//! interrupts, mounts by the hundred) gives way by itself, whatever the period of the turns is.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::Now;

/// Keeps dear work cheap: what took `t` is not done again before `t` × [`Pace::SHARE`] has passed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    last: Duration,
    next: Duration,
    floor: Duration,
}

impl Pace {
    /// A floor for what changes from cycle to cycle but costs more than the rest: in cycles of the usual 10 s it is read in each.
    pub const USUAL: Duration = Duration::from_secs(9);

    /// A thousandth of one CPU.
    pub const SHARE: u32 = 1000;

    /// A pace that is never faster than this, for what changes seldom anyway.
    pub const fn at_most_every(floor: Duration) -> Self {
        Self { last: Duration::ZERO, next: Duration::ZERO, floor }
    }

    /// How long ago the work was begun that was done last.
    pub fn age(&self, now: Now) -> Duration {
        now.mono.saturating_sub(self.last)
    }

    pub fn is_due(&self, now: Now) -> bool {
        now.mono >= self.next
    }

    /// It is due now, whatever it cost: something was done that changes what it finds.
    pub fn hurry(&mut self) {
        self.next = Duration::ZERO;
    }

    /// Does the work if it is due and remembers how long it took.
    pub fn run<T>(&mut self, now: Now, work: impl FnOnce() -> T) -> Option<T> {
        if !self.is_due(now) {
            return None;
        }
        let start = stopwatch();
        let result = work();
        self.took(now, stopwatch().saturating_sub(start));
        Some(result)
    }

    /// Says how long the work took that was begun at `now`.
    pub fn took(&mut self, now: Now, took: Duration) {
        self.last = now.mono;
        self.next = now.mono + (took * Self::SHARE).max(self.floor);
    }
}

/// A clock for measuring how long work takes; not for telling the time, which is [`Now`]'s.
// That of the standard library asks no kernel for it, rustix' does in a static program.
pub(crate) fn stopwatch() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dear_work_waits_a_thousand_times_as_long_as_it_took() {
        let at = |millis| Now { mono: Duration::from_millis(millis), ..Now::default() };
        for (floor, took, due) in [(0, 5, 5_000), (0, 0, 0), (30_000, 5, 30_000), (1_000, 5, 5_000)] {
            let mut pace = Pace::at_most_every(Duration::from_millis(floor));
            assert!(pace.is_due(at(0)));
            pace.took(at(100), Duration::from_millis(took));
            assert!(pace.is_due(at(100 + due)), "{floor} {took}");
            assert!(due == 0 || !pace.is_due(at(99 + due)), "{floor} {took}");
            assert_eq!(pace.age(at(100 + due)), Duration::from_millis(due), "{floor} {took}");
        }
    }
}
