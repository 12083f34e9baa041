//! What a promise has done, for other runs and taken up from them.

use std::time::Duration;

use super::budget::Budget;
use super::judge::{State, signed};
use super::promise::Promise;
use crate::model::Acts;

/// Moments of two runs that differ by less, in milliseconds, are the same.
const SAME: i64 = 5;

impl State {
    /// What has to be remembered; `now` is monotonic.
    pub fn acts(&self, promise: &Promise, now: Duration) -> Acts {
        let ago = |last: i64| u64::try_from(signed(now).saturating_sub(last)).unwrap_or(0);
        Acts {
            age: Duration::ZERO,
            last: self.last.map(|last| Duration::from_millis(ago(last))),
            left: promise.limit.and_then(|limit| self.budget.map(|mut budget| budget.left(limit, now))),
            cooling: self.cooling.map_or(Duration::ZERO, |until| until.saturating_sub(now)),
            told: self.told,
        }
    }

    /// Takes up what was remembered.
    pub fn recall(&mut self, acts: &Acts, promise: &Promise, now: Duration) {
        self.last = moment(acts, now);
        self.budget = promise.limit.zip(acts.left).map(|(limit, left)| Budget::recall(limit, left, acts.age, now));
        let cooling = acts.cooling.saturating_sub(acts.age).min(promise.cooldown);
        self.cooling = (!cooling.is_zero()).then(|| now.saturating_add(cooling));
        self.is_hearsay = acts.told && !self.told;
        self.told = acts.told;
        self.shared = self.last;
    }

    /// Whether another run has acted since this one last knew.
    pub fn is_news(&self, acts: &Acts, now: Duration) -> bool {
        moment(acts, now).is_some_and(|last| self.shared.is_none_or(|shared| last > shared.saturating_add(SAME)))
    }
}

/// When it last acted, as this run counts.
fn moment(acts: &Acts, now: Duration) -> Option<i64> {
    acts.last.map(|last| signed(now).saturating_sub(signed(last.saturating_add(acts.age))))
}
