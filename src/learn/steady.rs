//! Nothing measured, and nothing moving: the two faults in which no number is wrong.
//!
//! A gap is an alarm at its first missing value when the quantity never misses one, else before it is three minutes old; where single
//! values were lost of late the second one is waited for. A flat
//! line is an alarm when the run of equal values is three times as surprising as the most surprising run so far: each repetition
//! counts by how rare repetitions are at this hour, so a value that never repeats is caught in minutes, one that rests at night is not.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Steady {
    /// When the gap under way began; 0 when there is none.
    gap_at: i64,
    /// When a single value was last missing.
    lone_at: i64,
    /// Surprise of the run of equal values under way, and its seconds.
    run: f32,
    run_s: f32,
    /// The greatest of both so far.
    most: f32,
    most_s: f32,
    flat: u32,
    spare: u32,
}

/// A gap has to be told before it is this old.
const SOON_S: f32 = 180.0;
/// How long a single missing value is remembered: a quarter.
const LONE_S: i64 = 91 * 86_400;
/// One lost so lately is followed by others.
const LATELY_S: i64 = 14 * 86_400;
/// Steps shorter than this are never judged by one missing value.
const HASTY_S: f32 = 90.0;
/// No run is surprising below this: one chance in a few million.
const LEAST: f32 = 15.0;
const LEAST_S: f32 = 1_200.0;
/// After a flat line the longest run that is usual grows by no more than this.
const AGAIN: f32 = 1.5;
/// "Three times longer than ever."
const TIMES: f32 = 3.0;

impl Steady {
    pub fn begin(&mut self, at: i64) {
        // Until a quarter without one has passed since, single gaps are expected for two weeks.
        self.lone_at = at.saturating_sub(LONE_S - 14 * 86_400);
    }

    /// A value is missing; answers whether that is an alarm.
    pub fn miss(&mut self, at: i64, last_at: i64, step_s: f32) -> bool {
        if self.gap_at == 0 {
            self.gap_at = at;
        }
        let short = |seconds: i64| f32::from(u16::try_from(seconds.clamp(0, 65_535)).unwrap_or_default());
        let steadfast = at.saturating_sub(self.lone_at) > LONE_S && step_s >= HASTY_S;
        let age = short(at.saturating_sub(self.gap_at)).max(short(at.saturating_sub(last_at)) - step_s * 1.5);
        // Where single values are lost, one is no gap, however long the step.
        let is_lone = age == 0.0 && at.saturating_sub(self.lone_at) < LATELY_S;
        steadfast || (age + step_s >= SOON_S && !is_lone)
    }

    /// A value came; answers whether it is part of a flat line. `usual` is the share of repetitions at this hour.
    pub fn same(&mut self, same: bool, usual: f32, dt: f32) -> bool {
        if !same || self.gap_at != 0 {
            // What was flat and moves again is part of what is usual, but not all at once: a fault comes back.
            let most = |most: f32, least: f32| if self.flat == 0 { f32::MAX } else { most.max(least / TIMES) * AGAIN };
            self.most = self.most.max(self.run.min(most(self.most, LEAST)));
            self.most_s = self.most_s.max(self.run_s.min(most(self.most_s, LEAST_S)));
            self.run = 0.0;
            self.run_s = 0.0;
            self.flat = 0;
            return false;
        }
        self.run -= usual.clamp(0.01, 0.999).ln();
        self.run_s += dt;
        let surprising =
            self.run > (TIMES * self.most).max(LEAST) || (self.run_s > TIMES * self.most_s && self.run > LEAST);
        self.flat = u32::from(surprising && self.run_s >= LEAST_S);
        self.flat != 0
    }

    /// The run under way is usual, whatever its length.
    pub const fn accept(&mut self) {
        self.most = self.most.max(self.run);
        self.most_s = self.most_s.max(self.run_s);
        self.flat = 0;
    }

    pub const fn is_flat(&self) -> bool {
        self.flat != 0
    }

    /// Ends the gap, when there was one, after a value has been judged.
    pub fn settle(&mut self, at: i64, step_s: f32) {
        if self.gap_at != 0 {
            let lone = at.saturating_sub(self.gap_at);
            if f32::from(u16::try_from(lone.clamp(0, 65_535)).unwrap_or_default()) < step_s * 1.5 {
                self.lone_at = at;
            }
            self.gap_at = 0;
        }
    }
}
