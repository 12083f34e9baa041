//! Whether the clock can be believed. Ages of files hang on it, and a clock that jumps must not have everything deleted.
//!
//! Remembered is how far the clock is from the time since boot, and when it was read. A clock that has gone another way by more
//! than `STEP` is believed after `WAIT` of running steadily. A boot begins anew, from the last time that was seen.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::memory::Memory;
use crate::model::Now;

const STEP: Duration = Duration::from_secs(300);
const WAIT: Duration = Duration::from_secs(3_600);
/// A host may have been off for so long.
const OFF: Duration = Duration::from_secs(45 * 86_400);

/// The clock as it was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Clock {
    wall: Duration,
    mono: Duration,
    /// Since when, by the time since boot, it is not believed.
    doubted: Option<Duration>,
}

/// Looks at the clock; false while it is not to be believed.
pub fn is_sober(memory: &Memory, now: Now) -> bool {
    let before: Option<Clock> = memory.load("clock");
    let clock = next(before, now);
    // What cannot be remembered is looked at anew.
    let _ = memory.save("clock", &clock);
    clock.doubted.is_none()
}

fn next(before: Option<Clock>, now: Now) -> Clock {
    let fresh = Clock { wall: now.wall, mono: now.mono, doubted: None };
    let Some(before) = before else { return fresh };
    let is_same_boot = now.mono >= before.mono;
    let passed = if is_same_boot { now.mono - before.mono } else { Duration::ZERO };
    let expected = before.wall + passed;
    let off = now.wall.abs_diff(expected);
    let jumped = if is_same_boot { off > STEP } else { now.wall + STEP < before.wall || off > OFF };
    let doubted = match before.doubted.filter(|_| is_same_boot) {
        _ if jumped => Some(now.mono),
        Some(since) if now.mono.saturating_sub(since) < WAIT => Some(since),
        _ => None,
    };
    Clock { doubted, ..fresh }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_is_believed_when_it_has_run_for_an_hour() {
        let mut clock = None;
        let year = 365 * 86_400;
        for (mono, wall, doubted) in [
            (100, 1_000_000, false),
            (110, 1_000_010, false),
            (120, 1_000_100, false),
            (130, 1_000_110 + year, true),
            (140, 1_000_120 + year, true),
            (3_700, 1_003_680 + year, true),
            (3_740, 1_003_720 + year, false),
            (3_750, 1_003_730, true),
            (10, 1_003_800, false),
            (5, 1_000_000, true),
            (3_700, 1_003_700, false),
            (1, 1_003_700 + 30 * 86_400, false),
            (0, 1_003_700 + year, true),
        ] {
            let secs = Duration::from_secs;
            let next = next(clock, Now { mono: secs(mono), wall: secs(wall) });
            assert_eq!(next.doubted.is_some(), doubted, "at {mono} {wall}");
            clock = Some(next);
        }
    }
}
