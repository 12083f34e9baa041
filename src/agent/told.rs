//! What the promises about files and numbers have found: two numbers, some words and some marks for each.
//!
//! Numbers of the host's own metrics are read here at the beginning of each cycle; everything else is handed in when a child has
//! looked. Memory: 104 bytes a promise, and the words of those that have something to say.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use watchd_probes::{MetricId, ObjectId, PROBES};

use super::promise::{Promise, Work};
use crate::classes::Scene;
use crate::model::{Mark, Marks, Outcome, Source};

/// What a look has found.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    pub outcome: Outcome,
    pub marks: Marks,
    pub figures: [f64; 2],
    pub text: &'a str,
    /// Something was done, whether or not it helped: it counts in the limit.
    pub is_deed: bool,
}

/// Words of one promise that are kept.
const WORDS: usize = 400;

/// Everything found, by the places of the promises.
pub(super) struct Told {
    marks: Vec<Marks>,
    found: Vec<Found>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Found {
    figures: [f64; 2],
    words: String,
    /// Its number counts no longer than this; zero means for ever.
    until: Duration,
    /// What is expected of it at this time of the week.
    expected: f64,
    /// The last number of what only grows, and when it was told.
    counted: Option<(f64, Duration)>,
    /// What changed has been there for a whole cycle's pass.
    is_old: bool,
}

impl Default for Found {
    fn default() -> Self {
        let (figures, until, expected) = ([f64::NAN; 2], Duration::ZERO, f64::NAN);
        Self { figures, words: String::new(), until, expected, counted: None, is_old: true }
    }
}

impl Told {
    pub fn new(count: usize) -> Self {
        Self { marks: vec![Marks::default(); count], found: vec![Found::default(); count] }
    }

    pub fn of(&self, place: usize) -> (Marks, Found) {
        (self.marks.get(place).copied().unwrap_or_default(), self.found.get(place).cloned().unwrap_or_default())
    }

    pub fn inherit(&mut self, place: usize, left: (Marks, Found)) {
        if let (Some(marks), Some(found)) = (self.marks.get_mut(place), self.found.get_mut(place)) {
            (*marks, *found) = left;
        }
    }

    pub fn marks(&self) -> &[Marks] {
        &self.marks
    }

    pub fn figures(&self, place: usize) -> [f64; 2] {
        self.found.get(place).map_or([f64::NAN; 2], |found| found.figures)
    }

    pub fn words(&self, place: usize) -> &str {
        self.found.get(place).map_or("", |found| found.words.as_str())
    }

    /// A new cycle: what changed is no news any more, and the host's own metrics are read, for those promises that apply.
    pub fn begin(&mut self, promises: &[Promise], applies: &dyn Fn(usize) -> bool, scene: &Scene<'_>) {
        for (place, (promise, (marks, found))) in
            promises.iter().zip(self.marks.iter_mut().zip(&mut self.found)).enumerate()
        {
            if std::mem::replace(&mut found.is_old, true) {
                *marks = marks.with(Mark::Changed, false);
            }
            let Work::Measure(measure) = &promise.work else { continue };
            if let Source::Metric(probe, metric) = measure.source
                && applies(place)
            {
                let value = level(scene, probe, metric);
                *marks = measure.marks(value, *marks);
                found.figures = [value, f64::NAN];
            }
            if let Source::Told(_) = measure.source
                && found.until <= scene.now.mono
            {
                (found.figures, found.counted) = ([f64::NAN; 2], None);
                *marks = measure.marks(f64::NAN, *marks);
            }
        }
    }

    /// The promise does not apply any more: what its last look has found is no longer known to be so.
    pub fn forget(&mut self, place: usize) {
        if let (Some(marks), Some(found)) = (self.marks.get_mut(place), self.found.get_mut(place)) {
            *marks = Marks::default();
            (found.figures, found.counted) = ([f64::NAN; 2], None);
        }
    }

    /// The number that a command has told counts until then.
    pub fn ends(&mut self, place: usize, until: Duration) {
        if let Some(found) = self.found.get_mut(place) {
            found.until = until;
        }
    }

    pub fn expect(&mut self, place: usize, value: f64) {
        if let Some(found) = self.found.get_mut(place) {
            found.expected = value;
        }
    }

    pub fn expected(&self, place: usize) -> f64 {
        self.found.get(place).map_or(f64::NAN, |found| found.expected)
    }

    pub fn write(&mut self, place: usize, text: &str) {
        if let Some(found) = self.found.get_mut(place) {
            found.words.clear();
            found.words.push_str(text.get(..text.floor_char_boundary(WORDS)).unwrap_or(""));
        }
    }

    /// Takes what a look has found; `now` is monotonic.
    pub fn take(&mut self, place: usize, promise: Option<&Promise>, report: &Report<'_>, now: Duration) {
        let (Some(marks), Some(found)) = (self.marks.get_mut(place), self.found.get_mut(place)) else { return };
        let is_new = report.marks.has(Mark::Changed);
        // A look that comes soon does not take back what the one before has found.
        let is_fresh = is_new || (!found.is_old && marks.has(Mark::Changed));
        found.is_old = !is_new && found.is_old;
        found.figures = report.figures;
        *marks = match promise.map(|promise| &promise.work) {
            // How connections are spread only the look can tell.
            Some(Work::Measure(measure)) => {
                let [number, _] = report.figures;
                let value = if measure.is_rate { found.rate(number, now) } else { number };
                found.figures = [value, f64::NAN];
                // Before there are two numbers there is no rate, and yet nothing is missing.
                measure.marks(value, *marks).with(Mark::Missing, number.is_nan()).and(report.marks)
            }
            _ => report.marks.with(Mark::Changed, is_fresh),
        };
        self.write(place, report.text);
    }
}

impl Found {
    /// How much a number has grown in a second since it was told last; none after it went down, when it began anew, and none over a
    /// time in which it was not told.
    fn rate(&mut self, number: f64, now: Duration) -> f64 {
        let before = self.counted.take();
        self.counted = (!number.is_nan()).then_some((number, now));
        let grown = before.map(|(before, at)| (number - before, now.saturating_sub(at).as_secs_f64()));
        grown
            .filter(|(grown, seconds)| *grown >= 0.0 && *seconds > 0.0)
            .map_or(f64::NAN, |(grown, seconds)| grown / seconds)
    }
}

/// A metric of the whole host; a counter as its growth per second.
fn level(scene: &Scene<'_>, probe: u8, place: u8) -> f64 {
    let id = PROBES.get(usize::from(probe)).map(|info| MetricId::new(info.id, place));
    id.and_then(|id| scene.readings.level(id, ObjectId::HOST)).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_went_down_gives_no_rate_and_a_gap_none_over_it() {
        let mut told = Told::new(1);
        let found = &mut told.found[0];
        let unknown = f64::NAN;
        for (second, number, expect) in [
            (10, 500.0, unknown),
            (20, 520.0, 2.0),
            (40, 520.0, 0.0),
            (40, 530.0, unknown),
            (50, 5.0, unknown),
            (60, 15.0, 1.0),
            (70, unknown, unknown),
            (80, 100.0, unknown),
            (90, 110.0, 1.0),
        ] {
            let rate = found.rate(number, Duration::from_secs(second));
            assert!(rate == expect || (rate.is_nan() && expect.is_nan()), "at {second}: {rate}, not {expect}");
        }
    }
}
