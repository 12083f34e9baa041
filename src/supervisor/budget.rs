//! How many restarts are allowed: a bucket that holds `limit.count` of them and refills evenly over `limit.window`.
//!
//! The whole state is one moment, that at which the bucket is full again; each restart moves it by window / count.
//! In any stretch of time there are at most `count` restarts plus those that the stretch itself refills.

use std::time::Duration;

use crate::model::Limit;

/// The restarts of one service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    full: Duration,
}

impl Budget {
    /// Takes up a budget that was remembered. A moment further away than a whole window is one from a longer window.
    pub fn recall(full: Duration, now: Duration, limit: Limit) -> Self {
        Self { full: full.min(now + limit.window) }
    }

    /// When it is full again; what has to be remembered.
    pub fn full(self) -> Duration {
        self.full
    }

    pub fn is_full(self, now: Duration) -> bool {
        self.full <= now
    }

    /// How many restarts are left now.
    pub fn left(self, now: Duration, limit: Limit) -> u32 {
        let share = share(limit).as_nanos().max(1);
        let used = self.full.saturating_sub(now).as_nanos().div_ceil(share);
        limit.count.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX))
    }

    /// The earliest moment at which a restart is allowed.
    pub fn next(self, limit: Limit) -> Duration {
        self.full.saturating_sub(limit.window.saturating_sub(share(limit)))
    }

    /// Counts one restart.
    pub fn take(&mut self, now: Duration, limit: Limit) {
        self.full = self.full.max(now) + share(limit);
    }
}

fn share(limit: Limit) -> Duration {
    limit.window / limit.count.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { count: 3, window: Duration::from_secs(60) };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1000 + seconds)
    }

    #[test]
    fn a_spent_budget_refills_one_by_one() {
        let mut budget = Budget::default();
        for left in [3, 2, 1] {
            assert_eq!(budget.left(at(0), LIMIT), left);
            assert!(budget.next(LIMIT) <= at(0));
            budget.take(at(0), LIMIT);
        }
        assert_eq!(budget.left(at(0), LIMIT), 0);
        assert_eq!(budget.next(LIMIT), at(20));
        assert_eq!(budget.left(at(20), LIMIT), 1);
        assert_eq!(budget.left(at(59), LIMIT), 2);
        assert!(budget.is_full(at(60)));
    }

    #[test]
    fn a_shorter_window_in_the_policy_does_not_lock_a_service_out() {
        let long = Limit { count: 1, window: Duration::from_secs(86_400) };
        let mut budget = Budget::default();
        budget.take(at(0), long);
        let budget = Budget::recall(budget.full(), at(0), LIMIT);
        assert!(budget.next(LIMIT) <= at(60));
    }
}
