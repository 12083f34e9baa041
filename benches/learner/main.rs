//! What the learner finds in made-up hosts, and how often it is wrong: recall, precision, false alarms, time to detect, and what
//! as many alarms at random times would hit. A seed is a series of fourteen weeks of each kind.
//!
//!     cargo bench --bench learner             seeds 41 to 60, which nothing was tuned on
//!     cargo bench --bench learner -- 1 40     the seeds it was developed with
//!     cargo bench --bench learner -- nab      real series alone, where they are: see `nab`
//!
//! Three families of hosts are measured, each for itself: `generator`, `foreign` and `wild`, which have no law in common; the last one
//! with steps of 60 and 300 seconds as well.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::cast_precision_loss)]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod foreign;
mod generator;
mod nab;
mod score;
mod wild;

use std::time::{Duration, Instant};

use score::Score;
use watchd::learn::{Level, PROFILE_BYTES, Profile, Sample, Settings};

fn main() {
    let nab = nab::find();
    if std::env::args().any(|word| word == "nab") {
        return nab::measure(&nab.expect("no data: name a checkout of NAB with WATCHD_NAB"));
    }
    let seeds: Vec<u64> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let (first, last) = match seeds.as_slice() {
        [first, last, ..] => (*first, *last),
        _ => (41, 60),
    };
    measure("first", (first, last), generator::KINDS_OF_SERIES, generator::series);
    measure("second", (first, last), foreign::KINDS_OF_SERIES, foreign::series);
    measure("third", (first, last), wild::KINDS_OF_SERIES, wild::series);
    let few = (first, last.min(first + 4));
    measure("third, a minute apart,", few, wild::KINDS_OF_SERIES, |seed, kind| wild::series_at(seed, kind, 60));
    measure("third, five minutes apart,", few, wild::KINDS_OF_SERIES, |seed, kind| wild::series_at(seed, kind, 300));
    if let Some(dir) = nab {
        nab::measure(&dir);
    }
}

/// Runs the learner over one family of series, and prints how it did.
fn measure(family: &str, (first, last): (u64, u64), kinds: u64, make: fn(u64, u64) -> generator::Series) {
    let mut score = Score::default();
    let (mut spent, mut samples) = (Duration::ZERO, 0_u32);
    for seed in first..=last {
        for kind in 0..kinds {
            let series = make(seed, kind);
            let begun = Instant::now();
            let alarms = alarms(&series);
            spent += begun.elapsed();
            samples += series.rows.len() as u32;
            score.add(&series, &alarms);
        }
    }
    println!(
        "{family} family, seeds {first} to {last}, {PROFILE_BYTES} bytes per quantity, {:?} per sample",
        spent / samples.max(1)
    );
    score.print();
}

/// Times in alarm at level anomaly, with the detector of the highest score.
fn alarms(series: &generator::Series) -> Vec<(i64, &'static str)> {
    let (mut profile, settings) = (Box::<Profile>::default(), Settings::default());
    let mut alarms = Vec::new();
    for (at, value) in &series.rows {
        let sample = Sample { at: *at, week_s: generator::week_second(*at), value: *value };
        let judgement = profile.observe(&sample, &settings);
        let found = judgement.findings().filter(|(_, level, _)| *level == Level::Anomaly);
        alarms.extend(
            found.max_by(|one, other| one.2.total_cmp(&other.2)).map(|(detector, _, _)| (*at, detector.name())),
        );
    }
    alarms
}
