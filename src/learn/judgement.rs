//! What goes into the learner and what comes out: a sample, how sure an alarm has to be, and the judgement.

use super::detector::{Detector, Level};
use super::profile::Band;
use crate::model::{Finding, Findings};

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
    pub band: Band,
    /// It has learned long enough to judge.
    pub is_judged: bool,
    pub level: Level,
    /// For each detector: its level, and its size in units of its anomaly line.
    findings: [(Level, f32); Detector::ALL.len()],
}

impl Judgement {
    pub(super) fn new() -> Self {
        let findings = [(Level::Normal, 0.0); Detector::ALL.len()];
        let (low, high, least, most) = (f64::NAN, f64::NAN, f64::NAN, f64::NAN);
        Self {
            band: Band { expected: f64::NAN, low, high, least, most },
            is_judged: false,
            level: Level::Normal,
            findings,
        }
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

    /// The same in the words of classes: a level includes those below it, and everything without levels has to be an anomaly.
    pub fn classes(&self) -> Findings {
        let mut all = Findings::default();
        for (detector, level, _) in self.findings() {
            let levels = match detector {
                Detector::High | Detector::BurstHigh => [Finding::HighDev1, Finding::HighDev2, Finding::HighAnomaly],
                Detector::Low | Detector::BurstLow => [Finding::LowDev1, Finding::LowDev2, Finding::LowAnomaly],
                Detector::ShiftHigh => [Finding::ShiftHigh; 3],
                Detector::ShiftLow => [Finding::ShiftLow; 3],
                Detector::LeakUp => [Finding::LeakUp; 3],
                Detector::LeakDown => [Finding::LeakDown; 3],
                Detector::NoiseHigh => [Finding::NoiseHigh; 3],
                Detector::NoiseLow => [Finding::NoiseLow; 3],
                Detector::Missing => [Finding::Missing; 3],
                Detector::Flat => [Finding::Flat; 3],
            };
            let [least, .., most] = levels;
            let reached = usize::from(level as u8);
            if least != most {
                levels.into_iter().take(reached).for_each(|finding| all.add(finding));
            } else if level == Level::Anomaly {
                all.add(most);
            }
        }
        all
    }
}
