//! What a series has come to since its open slots began, in memory: 104 bytes each.

use std::time::Duration;

use super::TIERS;
use super::level::Scale;

/// What one slot of one series has come to.
#[derive(Clone, Copy)]
pub struct Sum {
    min: f32,
    max: f32,
    sum: f32,
    /// How much the sum weighs: one for 10 s.
    pub weight: f32,
}

impl Sum {
    pub const NONE: Self = Self { min: f32::INFINITY, max: f32::NEG_INFINITY, sum: 0.0, weight: 0.0 };

    pub fn add(&mut self, [min, mean, max]: [f32; 3], weight: f32) {
        self.min = self.min.min(min);
        self.max = self.max.max(max);
        self.sum += mean * weight;
        self.weight += weight;
    }

    pub fn is_empty(&self) -> bool {
        self.weight == 0.0
    }

    /// Min, mean and max; the mean of rounded sums stays between the others.
    pub fn values(&self) -> [f32; 3] {
        [self.min, (self.sum / self.weight).max(self.min).min(self.max), self.max]
    }
}

#[derive(Clone, Copy)]
pub struct Column {
    /// 0 when it is free.
    pub key: u64,
    pub since: u32,
    pub scale: Scale,
    /// The turn and the moment in which the series was seen last.
    pub turn: u32,
    pub seen: Duration,
    pub sums: [Sum; TIERS.len()],
}

impl Column {
    pub const FREE: Self =
        Self { key: 0, since: 0, scale: Scale::Up, turn: 0, seen: Duration::ZERO, sums: [Sum::NONE; TIERS.len()] };
}
