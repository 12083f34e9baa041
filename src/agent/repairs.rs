//! How often each promise was repaired within the last hour, in buckets of five minutes; and fingerprints of texts.
//!
//! Memory: 16 bytes a promise, taken when the policy is read.

use std::time::Duration;

use serde::{Deserialize, Serialize};

const BUCKETS: u32 = 12;
const BUCKET_S: u64 = 300;

/// All promises, by place.
pub(super) struct Repairs(Vec<Hour>);

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Hour {
    /// The newest bucket, counted since boot.
    newest: u32,
    /// One for each of `BUCKETS`.
    counts: [u8; 12],
}

impl Repairs {
    pub fn new(count: usize) -> Self {
        Self(vec![Hour::default(); count])
    }

    pub fn hour(&self, place: usize) -> Hour {
        self.0.get(place).copied().unwrap_or_default()
    }

    pub fn inherit(&mut self, place: usize, left: Hour) {
        if let Some(hour) = self.0.get_mut(place) {
            *hour = left;
        }
    }

    pub fn count(&mut self, place: usize, mono: Duration) {
        let Some(hour) = self.0.get_mut(place) else { return };
        hour.move_on(bucket(mono));
        if let Some(count) = hour.counts.get_mut(slot(hour.newest)) {
            *count = count.saturating_add(1);
        }
    }

    /// How often within the last hour, to five minutes.
    pub fn within_hour(&self, place: usize, mono: Duration) -> u32 {
        let Some(mut hour) = self.0.get(place).copied() else { return 0 };
        hour.move_on(bucket(mono));
        hour.counts.iter().map(|count| u32::from(*count)).sum()
    }
}

impl Hour {
    /// Empties what lies more than an hour before this bucket.
    fn move_on(&mut self, bucket: u32) {
        for step in 1..=bucket.saturating_sub(self.newest).min(BUCKETS) {
            if let Some(count) = self.counts.get_mut(slot(self.newest.wrapping_add(step))) {
                *count = 0;
            }
        }
        self.newest = self.newest.max(bucket);
    }
}

fn bucket(mono: Duration) -> u32 {
    u32::try_from(mono.as_secs() / BUCKET_S).unwrap_or(u32::MAX)
}

fn slot(bucket: u32) -> usize {
    usize::try_from(bucket % BUCKETS).unwrap_or(0)
}

/// FNV-1a of what is written.
pub(super) struct Fingerprint(pub u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl std::fmt::Write for Fingerprint {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0 = text.bytes().fold(self.0, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Ok(())
    }
}

/// A number from 0 to 1 that is always the same for this host and word, and spreads over many of them.
pub fn share(host: &str, word: &str) -> f64 {
    use std::fmt::Write;
    let mut print = Fingerprint::default();
    let _ = write!(print, "{host}\0{word}");
    // The low bits of FNV are mixed best once more.
    let mixed = (print.0 ^ print.0 >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    f64::from(u32::try_from(mixed).unwrap_or(0)) / f64::from(1_u32 << 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(minutes: u64) -> Duration {
        Duration::from_secs(minutes * 60)
    }

    #[test]
    fn repairs_count_for_an_hour() {
        let mut repairs = Repairs::new(2);
        assert_eq!(repairs.within_hour(1, at(500)), 0);
        for minute in [500, 500, 530, 559] {
            repairs.count(1, at(minute));
        }
        for (now, expect) in [(559, 4), (560, 2), (589, 2), (590, 1), (614, 1), (615, 0), (9_999, 0)] {
            assert_eq!(repairs.within_hour(1, at(now)), expect, "{now}");
        }
        repairs.count(1, at(700));
        assert_eq!((repairs.within_hour(1, at(700)), repairs.within_hour(0, at(700))), (1, 0));
        let mut next = Repairs::new(1);
        next.inherit(0, repairs.hour(1));
        assert_eq!(next.within_hour(0, at(701)), 1);
    }

    #[test]
    fn hosts_are_spread_over_a_splay() {
        assert_eq!(share("a", "x").to_bits(), share("a", "x").to_bits());
        let mut tenths = [0_u32; 10];
        for host in 0..1_000 {
            let share = share(&format!("host{host}.example.org"), "clean");
            assert!((0.0..1.0).contains(&share));
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let tenth = (share * 10.0) as usize;
            tenths[tenth] += 1;
        }
        assert!(tenths.iter().all(|count| (50..=150).contains(count)), "{tenths:?}");
    }
}
