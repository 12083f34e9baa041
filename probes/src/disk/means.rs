//! How much of each counter there was in a second, over the last five minutes: what a Munin master draws that asks as often, so that
//! nothing is lost between two questions.
//!
//! Of each device that was ever used the counters of the last five minutes are kept, one reading a minute: 400 bytes. A counter that went
//! down begins them anew.

use std::time::Duration;

use crate::{MetricId, ObjectId, Sink, Value};

const SPAN: Duration = Duration::from_secs(300);
const APART: Duration = Duration::from_secs(60);
const KEPT: usize = 6;

/// Counters of a line that have a mean: their places among its numbers, the metric, and what one of each is.
static MEANS: [(usize, MetricId, f64); 7] = [
    (0, super::MEAN_READS, 1.0),
    (2, super::MEAN_READ_BYTES, 512.0),
    (3, super::MEAN_READ_TIME, 1e-3),
    (4, super::MEAN_WRITES, 1.0),
    (6, super::MEAN_WRITTEN_BYTES, 512.0),
    (7, super::MEAN_WRITE_TIME, 1e-3),
    (9, super::MEAN_IO_TIME, 1e-3),
];

/// The counters of one device at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Reading {
    at: Duration,
    counts: [u64; MEANS.len()],
}

/// What is kept of one device: so many readings, the oldest first.
#[derive(Clone, Copy)]
struct Past {
    device: (u64, u64),
    readings: [Reading; KEPT],
    count: usize,
}

#[derive(Default)]
pub struct Means(Vec<Past>);

impl Means {
    /// Takes the numbers of a device's line, and gives the means, once there are any.
    pub fn take(&mut self, device: (u64, u64), numbers: &[u64], now: Duration, give: (ObjectId, &mut Sink<'_>)) {
        let mut newest = Reading { at: now, ..Reading::default() };
        for ((place, ..), count) in MEANS.iter().zip(&mut newest.counts) {
            let Some(number) = numbers.get(*place) else { return };
            *count = *number;
        }
        let place = self.0.iter().position(|past| past.device == device).or_else(|| {
            // Most devices of most hosts are never used.
            let is_used = newest.counts.iter().any(|count| *count > 0);
            is_used.then(|| {
                self.0.push(Past { device, readings: [Reading::default(); KEPT], count: 0 });
                self.0.len() - 1
            })
        });
        if let Some(before) = place.and_then(|place| self.0.get_mut(place)).and_then(|past| past.before(newest)) {
            newest.give(before, give);
        }
    }
}

impl Past {
    /// The reading that the newest is to be compared with: the oldest of the last five minutes. Keeps the newest, when it is time.
    fn before(&mut self, newest: Reading) -> Option<Reading> {
        let kept = self.readings.get(..self.count).unwrap_or_default();
        let went_down = |last: &Reading| newest.counts.iter().zip(last.counts).any(|(new, old)| *new < old);
        if kept.last().is_some_and(went_down) {
            self.count = 0;
        }
        let kept = self.readings.get(..self.count).unwrap_or_default();
        let is_near = |reading: &&Reading| newest.at.saturating_sub(reading.at) <= SPAN && reading.at < newest.at;
        // After a sleep there is only what is older.
        let before = kept.iter().find(is_near).or_else(|| kept.last().filter(|last| last.at < newest.at)).copied();
        if kept.last().is_none_or(|last| newest.at.saturating_sub(last.at) >= APART) {
            if self.count == KEPT {
                self.readings.rotate_left(1);
                self.count -= 1;
            }
            if let Some(free) = self.readings.get_mut(self.count) {
                *free = newest;
                self.count += 1;
            }
        }
        before
    }
}

impl Reading {
    fn give(&self, before: Self, (device, out): (ObjectId, &mut Sink<'_>)) {
        let apart = self.at.saturating_sub(before.at).as_secs_f64();
        for ((_, metric, one), (count, old)) in MEANS.iter().zip(self.counts.iter().zip(before.counts)) {
            if let Some(grown) = count.checked_sub(old).and_then(|grown| Value::Int(grown).number()) {
                out.put(device, *metric, Value::Float(grown * one / apart));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(at: u64, count: u64) -> Reading {
        Reading { at: Duration::from_secs(at), counts: [count; MEANS.len()] }
    }

    /// How far back each of these is compared, in seconds.
    fn reach(times: impl Iterator<Item = (u64, u64)>) -> Vec<Option<u64>> {
        let mut past = Past { device: (0, 0), readings: [Reading::default(); KEPT], count: 0 };
        times.map(|(at, count)| Some(at - past.before(reading(at, count))?.at.as_secs())).collect()
    }

    #[test]
    fn a_mean_reaches_back_five_minutes_once_there_is_as_much() {
        for (cycle, least) in [(1, 240), (10, 240), (60, 300), (100, 300), (250, 250), (300, 300), (400, 400)] {
            let reached = reach((0..2000 / cycle).map(|turn| (1000 + turn * cycle, turn)));
            assert_eq!(reached[..2], [None, Some(cycle)], "{cycle}");
            for (turn, far) in (0..).zip(&reached).skip(1) {
                let far = far.expect("there is one before");
                let there_is = turn * cycle;
                assert!(
                    far <= there_is && far >= least.min(there_is) && far <= 300.max(cycle),
                    "{cycle}: {far} of {there_is}"
                );
            }
        }
    }

    #[test]
    fn a_counter_that_went_down_begins_anew() {
        assert_eq!(
            reach([(10, 100), (70, 200), (130, 50), (190, 60), (250, 60)].into_iter()),
            [None, Some(60), None, Some(60), Some(120)]
        );
        // The clock stands still, or jumps.
        assert_eq!(reach([(10, 1), (10, 1), (9000, 2), (9001, 2)].into_iter()), [None, None, Some(8990), Some(1)]);
    }
}
