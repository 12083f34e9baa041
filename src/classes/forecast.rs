//! When a disk will be full: the slope of its free space, told only when it is plainly one.
//!
//! The slope is the median of the slopes between all pairs of points (Theil and Sen), so that a clean-up or a burst in less
//! than a quarter of the time does not bend it. Nothing is told when there are too few points or they cover too little of the
//! stretch, when the space does not shrink in most pairs, when what is left over after the line is large beside what the line
//! says, or when the shrinking has ended in the newest third.

use std::time::Duration;

/// The most points that are looked at: 1770 pairs, 14 KiB for the time that it takes.
pub const POINTS: u32 = 60;
/// The fewest that make a line.
const FEWEST: usize = 12;
/// So many of the pairs have to go down.
const AGREE: f64 = 0.8;
/// The line has to say so many times what is left over.
const CLEAR: f64 = 4.0;

/// How much time is left until nothing is. `points` are seconds and what is left then, in the order of time; `stretch` is
/// what they should cover.
pub fn time_left(points: &[(f64, f64)], stretch: Duration) -> Option<Duration> {
    let (first, last) = (points.first()?, points.last()?);
    let covered = last.0 - first.0;
    if points.len() < FEWEST || covered < stretch.as_secs_f64() / 3.0 {
        return None;
    }
    let slope = slope(points)?;
    let newest = points.get(points.len() - points.len() / 3..)?;
    let falls = slope < 0.0 && fraction_down(points) >= AGREE && self::slope(newest)? < slope / 4.0;
    let middle = median(points.iter().map(|(at, left)| left - slope * at).collect())?;
    let rest = median(points.iter().map(|(at, left)| (left - slope * at - middle).abs()).collect())?;
    if !falls || -slope * covered < CLEAR * rest {
        return None;
    }
    Duration::try_from_secs_f64((last.1 / -slope).max(0.0)).ok()
}

fn pairs(points: &[(f64, f64)]) -> impl Iterator<Item = f64> {
    points.iter().enumerate().flat_map(move |(place, (at, left))| {
        let later = points.get(place + 1..).unwrap_or_default();
        later.iter().filter(move |(then, _)| then > at).map(move |(then, other)| (other - left) / (then - at))
    })
}

fn slope(points: &[(f64, f64)]) -> Option<f64> {
    median(pairs(points).collect())
}

fn fraction_down(points: &[(f64, f64)]) -> f64 {
    let (mut down, mut all) = (0.0, 0.0);
    for slope in pairs(points) {
        all += 1.0;
        down += f64::from(u8::from(slope < 0.0));
    }
    if all > 0.0 { down / all } else { 0.0 }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable_by(middle, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: f64 = 3_600.0;
    const STRETCH: Duration = Duration::from_secs(12 * 3_600);

    /// What is left after so many hours, every quarter of an hour for twelve hours; noise from a fixed series.
    fn series(left: impl Fn(f64) -> f64, noise: f64) -> Vec<(f64, f64)> {
        let mut random: u64 = 42;
        (0..48)
            .map(|step| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let shake = f64::from(u32::try_from(random >> 33).expect("31 bits")) / f64::from(1u32 << 31) - 0.5;
                let hours = f64::from(step) / 4.0;
                (hours * HOUR, left(hours) + noise * shake)
            })
            .collect()
    }

    #[test]
    fn only_a_plain_fall_has_an_end() {
        type Left = fn(f64) -> f64;
        let cases: &[(&str, Left, f64, Option<f64>)] = &[
            ("a steady fall", |hours| 100.0 - hours, 0.0, Some(88.25)),
            ("a fall with noise", |hours| 100.0 - hours, 2.0, Some(88.25)),
            (
                "a fall with one clean-up that is used up",
                |hours| 100.0 - hours + if (5.0..7.0).contains(&hours) { 20.0 } else { 0.0 },
                0.5,
                Some(88.25),
            ),
            ("noise alone", |_| 50.0, 5.0, None),
            ("nothing changes", |_| 50.0, 0.0, None),
            ("it gets emptier", |hours| 50.0 + hours, 0.5, None),
            ("it fell and stands still", |hours| 100.0 - hours.min(7.0) * 2.0, 0.1, None),
            ("day and night", |hours| 50.0 + 10.0 * (hours * 2.0).sin(), 0.1, None),
            ("noise larger than the fall", |hours| 50.0 - hours / 10.0, 20.0, None),
        ];
        for (claim, left, noise, expect) in cases {
            let told = time_left(&series(left, *noise), STRETCH).map(|left| left.as_secs_f64() / HOUR);
            match (told, expect) {
                (Some(told), Some(expect)) => assert!((told - expect).abs() < 8.0, "{claim}: {told}"),
                (told, expect) => assert_eq!(told.is_some(), expect.is_some(), "{claim}: {told:?}"),
            }
        }
    }

    #[test]
    fn few_points_and_odd_numbers_tell_nothing() {
        let whole = series(|hours| 100.0 - hours, 0.0);
        assert_eq!(time_left(&whole[..11], STRETCH), None, "too few");
        assert_eq!(time_left(&whole[..15], STRETCH), None, "too short a time");
        assert!(time_left(&whole[..20], STRETCH).is_some());
        assert_eq!(time_left(&[], STRETCH), None);
        assert_eq!(time_left(&[(0.0, f64::NAN); 20], STRETCH), None);
        assert_eq!(time_left(&[(5.0, 1.0); 20], STRETCH), None, "all at one moment");
        let full: Vec<_> = series(|hours| 5.0 - hours, 0.0);
        assert_eq!(time_left(&full, STRETCH), Some(Duration::ZERO), "it is full already");
    }
}
