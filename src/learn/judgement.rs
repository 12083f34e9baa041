//! What goes into the learner and what comes out: a sample, how sure an alarm has to be, and the judgement.

use super::detector::{Detector, Level};

pub(super) const DAY: f32 = 86_400.0;

/// What the caller measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Seconds of a clock that goes on over restarts.
    pub at: i64,
    /// Seconds since Monday 00:00 on the clock on the wall.
    pub week_s: u32,
    /// None: could not be measured.
    pub value: Option<f64>,
}

/// How sure an alarm has to be, and since when.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Before this nothing but a gap is an alarm.
    pub learning_s: u32,
    /// Seconds between two false alarms of each level, for the quantity as a whole: dev1, dev2, anomaly.
    pub apart_s: [f32; 3],
}

impl Default for Settings {
    fn default() -> Self {
        Self { learning_s: 28 * 86_400, apart_s: [DAY, 7.0 * DAY, 91.0 * DAY] }
    }
}

/// What a sample was found to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    pub expected: f64,
    /// From where on a value is rarer than one a week.
    pub low: f64,
    pub high: f64,
    pub level: Level,
    /// For each detector: its level, and its size in units of its anomaly line.
    findings: [(Level, f32); Detector::ALL.len()],
}

impl Judgement {
    pub(super) fn new() -> Self {
        let findings = [(Level::Normal, 0.0); Detector::ALL.len()];
        Self { expected: f64::NAN, low: f64::NAN, high: f64::NAN, level: Level::Normal, findings }
    }

    pub(super) fn find(&mut self, detector: Detector, level: Level, score: f32) {
        if let Some(finding) = self.findings.get_mut(usize::from(detector as u8)) {
            finding.0 = finding.0.max(level);
            finding.1 = finding.1.max(score);
        }
        self.level = self.level.max(level);
    }

    /// All that is not normal.
    pub fn findings(&self) -> impl Iterator<Item = (Detector, Level, f32)> {
        let all = Detector::ALL.into_iter().zip(self.findings);
        all.filter(|(_, (level, _))| *level > Level::Normal).map(|(detector, (level, score))| (detector, level, score))
    }
}
