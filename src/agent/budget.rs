//! `limit = "3/10m"`: a bucket of three that fills again over ten minutes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Limit;

/// What is left of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    left: f64,
    at: Duration,
}

impl Budget {
    /// A full one. `now` is monotonic.
    pub fn new(limit: Limit, now: Duration) -> Self {
        Self { left: f64::from(limit.count), at: now }
    }

    /// One of which so much was left a while ago.
    pub fn recall(limit: Limit, left: f64, age: Duration, now: Duration) -> Self {
        let refilled = age.as_secs_f64() / limit.window.as_secs_f64() * f64::from(limit.count);
        let left = if left.is_finite() { left.max(0.0) + refilled } else { 0.0 };
        Self { left: left.min(f64::from(limit.count)), at: now }
    }

    /// What is left now.
    pub fn left(&mut self, limit: Limit, now: Duration) -> f64 {
        self.has_one(limit, now);
        self.left
    }

    /// Whole actions left now.
    pub fn has_one(&mut self, limit: Limit, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        let count = f64::from(limit.count);
        self.left = (self.left + passed / limit.window.as_secs_f64() * count).min(count);
        self.at = self.at.max(now);
        // A window that has passed must not be spoilt by rounding.
        self.left > 1.0 - 1e-6
    }

    /// Takes one out.
    pub fn spend(&mut self) {
        self.left = (self.left - 1.0).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let limit = Limit { count: 2, window: Duration::from_secs(60) };
        let secs = Duration::from_secs;
        let mut budget = Budget::new(limit, secs(1000));
        for (now, expect) in [
            (1000, true),
            (1000, true),
            (1000, false),
            (1029, false),
            (1030, true),
            (1031, false),
            (1020, false),
            (1060, true),
        ] {
            let has = budget.has_one(limit, secs(now));
            assert_eq!(has, expect, "at {now}");
            if has {
                budget.spend();
            }
        }
        assert!(budget.has_one(limit, secs(1_000_000)));
        budget.spend();
        budget.spend();
        assert!(!budget.has_one(limit, secs(1_000_000)), "it never holds more than its count");
    }
}
