//! What is usual for one quantity in each quarter of an hour of the week, as it is known now: what a graph of the past is drawn with.
//!
//! It is the profile of today laid over days gone by, not what was thought on those days, and it is told of no day before the
//! quantity was followed.

use super::profile::Band;
use super::season::{Place, QUARTER, WEEK};

/// Quarters of an hour in a week.
pub const QUARTERS: usize = (WEEK / QUARTER) as usize;

/// Where values are usual over some time: low, expected, high.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    pub low: f32,
    pub expected: f32,
    pub high: f32,
}

/// A week of them: 8 KiB.
pub struct Week {
    quarters: Vec<Option<Range>>,
    /// Seconds since 1970 from which on it was followed.
    since: u64,
}

impl Week {
    /// One of which nothing is known yet; followed since so many seconds after 1970.
    pub(super) fn new(since: i64) -> Self {
        Self { quarters: vec![None; QUARTERS], since: u64::try_from(since).unwrap_or(0) }
    }

    pub(super) fn put(&mut self, place: Place, band: Band) {
        if let Some(quarter) = self.quarters.get_mut(place.cell) {
            *quarter = Some(Range::of(band));
        }
    }

    pub(super) fn is_known(&self) -> bool {
        self.quarters.iter().any(Option::is_some)
    }

    pub fn since(&self) -> u64 {
        self.since
    }

    /// What is usual in so many seconds from a second of the week on: the mean of what is expected, and what no quarter of an hour
    /// exceeds. None where nothing is known of them.
    pub fn over(&self, week_s: u32, seconds: u64) -> Option<Range> {
        let first = usize::try_from(week_s % WEEK / QUARTER).unwrap_or(0);
        let count = usize::try_from(seconds.div_ceil(u64::from(QUARTER))).unwrap_or(QUARTERS).clamp(1, QUARTERS);
        let each = self.quarters.iter().cycle().skip(first).take(count).flatten();
        let known = u16::try_from(each.clone().count()).ok().filter(|known| *known > 0)?;
        let none = Range { low: f32::INFINITY, expected: 0.0, high: f32::NEG_INFINITY };
        Some(each.fold(none, |whole, quarter| Range {
            low: whole.low.min(quarter.low),
            expected: whole.expected + quarter.expected / f32::from(known),
            high: whole.high.max(quarter.high),
        }))
    }
}

impl Range {
    fn of(band: Band) -> Self {
        use super::profile::narrow;
        Self { low: narrow(band.low), expected: narrow(band.expected), high: narrow(band.high) }
    }

    /// The same of what cannot be less than that.
    pub fn at_least(self, least: f32) -> Self {
        Self { low: self.low.max(least), expected: self.expected.max(least), high: self.high.max(least) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known on Monday alone: 100 from 00:00, 101 from 00:15 and so on, and ten around it.
    fn monday() -> Week {
        let mut week = Week::new(77);
        for week_s in (0..86_400).step_by(900) {
            let expected = 100.0 + f64::from(week_s / 900);
            let (low, high) = (expected - 10.0, expected + 10.0);
            week.put(Place::of(week_s), Band { expected, low, high, least: low, most: high });
        }
        week
    }

    #[test]
    fn a_stretch_has_the_mean_of_its_quarters_and_bounds_them_all() {
        let range = |low, expected, high| Some(Range { low, expected, high });
        for (week_s, seconds, expect) in [
            (0, 10, range(90.0, 100.0, 110.0)),
            (899, 900, range(90.0, 100.0, 110.0)),
            (900, 1800, range(91.0, 101.5, 112.0)),
            (WEEK - 900, 1800, range(90.0, 100.0, 110.0)),
            (WEEK, 0, range(90.0, 100.0, 110.0)),
            (86_400, 86_400, None),
            (86_400, u64::MAX, range(90.0, 147.5, 205.0)),
        ] {
            let found = monday().over(week_s, seconds);
            let is_near = |(one, other): (Range, Range)| {
                one.low == other.low && one.high == other.high && (one.expected - other.expected).abs() < 0.01
            };
            assert!(found == expect || found.zip(expect).is_some_and(is_near), "{week_s} {seconds}: {found:?}");
        }
        assert_eq!(monday().since(), 77);
    }

    #[test]
    fn what_is_not_known_is_none_and_values_may_have_a_sign() {
        let mut week = Week::new(-5);
        assert!(!week.is_known() && week.over(0, 86_400).is_none());
        week.put(Place::of(900), Band { expected: -3.0, low: -10.0, high: 5.0, least: -20.0, most: 9.0 });
        let range = |low, expected, high| Range { low, expected, high };
        assert_eq!(week.over(900, 900), Some(range(-10.0, -3.0, 5.0)));
        assert_eq!(week.over(900, 900).map(|range| range.at_least(0.0)), Some(range(0.0, 0.0, 5.0)));
        week.put(Place::of(900), Band { expected: -3.0, low: -10.0, high: -1.0, least: -20.0, most: 9.0 });
        assert_eq!(week.over(900, 900).map(|range| range.high), Some(-1.0));
        assert!(week.is_known() && week.since() == 0);
    }
}
