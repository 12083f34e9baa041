//! What can be wrong with a quantity, how sure the learner is of it, and the statistics that tell.
//!
//! One table holds every statistic: how long it looks back, which part of its past counts as tail, and how large it has to be
//! before it means anything to a person. A rare but tiny change (a release that costs one per cent more) stays below that floor.

/// What was found. The order is that of the bits in a profile's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Detector {
    High,
    Low,
    BurstHigh,
    BurstLow,
    ShiftHigh,
    ShiftLow,
    LeakUp,
    LeakDown,
    NoiseHigh,
    NoiseLow,
    Missing,
    Flat,
}

impl Detector {
    pub const ALL: [Self; 12] = [
        Self::High,
        Self::Low,
        Self::BurstHigh,
        Self::BurstLow,
        Self::ShiftHigh,
        Self::ShiftLow,
        Self::LeakUp,
        Self::LeakDown,
        Self::NoiseHigh,
        Self::NoiseLow,
        Self::Missing,
        Self::Flat,
    ];

    /// Its word in files and class names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Low => "low",
            Self::BurstHigh => "burst_high",
            Self::BurstLow => "burst_low",
            Self::ShiftHigh => "shift_high",
            Self::ShiftLow => "shift_low",
            Self::LeakUp => "leak_up",
            Self::LeakDown => "leak_down",
            Self::NoiseHigh => "noise_high",
            Self::NoiseLow => "noise_low",
            Self::Missing => "missing",
            Self::Flat => "flat",
        }
    }
}

/// How rare a finding is: about one a day, one a week, one a quarter, per quantity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    #[default]
    Normal,
    Dev1,
    Dev2,
    Anomaly,
}

/// One number that is followed, with a tail on both sides.
pub(super) struct Statistic {
    pub high: Detector,
    pub low: Detector,
    /// Its memory in seconds; 0 for those that know a sample or two.
    pub memory: f32,
    /// The share of samples that are its tail.
    pub tail: f32,
    /// What it exceeds by chance at first, in spreads: a start value only.
    pub guess: f32,
    /// Below this it is never an anomaly: high side, low side.
    pub floor: [f32; 2],
    /// The alarm holds until the number is below this part of the line.
    pub release: f32,
    /// The line lies above the largest value of calm times by this factor: what was seen once in weeks is seen again in a quarter.
    pub beyond: f32,
}

pub(super) const STATISTICS: usize = 9;

/// Places in the table that other code names.
pub(super) const JUMP: usize = 0;
pub(super) const SPIKE: usize = 1;
pub(super) const PAIR: usize = 2;
pub(super) const BURST: usize = 3;
pub(super) const SHIFT: usize = 4;
pub(super) const PLATEAU: usize = 5;
pub(super) const LEAK: usize = 6;
pub(super) const NOISE: usize = 7;
pub(super) const ROUGHNESS: usize = 8;

const fn level(memory: f32, tail: f32, guess: f32, floor: f32, release: f32) -> Statistic {
    Statistic {
        high: Detector::High,
        low: Detector::Low,
        memory,
        tail,
        guess,
        floor: [floor, floor],
        release,
        beyond: if memory > 0.0 { 0.8 } else { 1.05 },
    }
}

pub(super) const TABLE: [Statistic; STATISTICS] = [
    // The step from the last sample, away from the expected, after what one sample tells about the next.
    level(0.0, 0.02, 2.0, 4.5, 0.8),
    // The distance from the expected.
    level(0.0, 0.02, 2.0, 4.5, 0.7),
    // The smaller distance of two neighbours: one wild value of a heavy tail does not move it.
    level(0.0, 0.02, 1.5, 3.0, 0.7),
    Statistic { high: Detector::BurstHigh, low: Detector::BurstLow, ..level(600.0, 0.03, 1.0, 1.8, 0.6) },
    Statistic { high: Detector::ShiftHigh, low: Detector::ShiftLow, ..level(4_800.0, 0.05, 0.5, 1.2, 0.6) },
    Statistic { high: Detector::ShiftHigh, low: Detector::ShiftLow, ..level(21_600.0, 0.08, 0.3, 1.1, 0.6) },
    Statistic { high: Detector::LeakUp, low: Detector::LeakDown, ..level(129_600.0, 0.1, 0.2, 1.1, 0.6) },
    Statistic {
        high: Detector::NoiseHigh,
        low: Detector::NoiseLow,
        floor: [0.4, 0.55],
        ..level(7_200.0, 0.05, 0.2, 0.4, 0.6)
    },
    Statistic {
        high: Detector::NoiseHigh,
        low: Detector::NoiseLow,
        floor: [0.3, 0.5],
        ..level(28_800.0, 0.08, 0.1, 0.3, 0.6)
    },
];
