//! What a promise has done, as it is remembered beyond one run and shared with other runs.

use std::time::Duration;

/// Everything relative to one moment, so that it means the same after a boot and to a process that started later.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Acts {
    /// How long ago all of this was so.
    pub age: Duration,
    /// When it last acted, before that.
    pub last: Option<Duration>,
    /// What was left of its limit.
    pub left: Option<f64>,
    /// How much longer it was to leave things alone.
    pub cooling: Duration,
    /// Its condition was told, its end not yet.
    pub told: bool,
}
