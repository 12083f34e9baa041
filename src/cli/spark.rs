//! A short stretch of history in one line of block characters: `▁▁▂▅█▅▂ ▁▁`. What was not measured is a blank.

use crate::export::history::{Query, Stretch};
use crate::store::history::HistoryReader;

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Values at their moments, in seconds, old to new.
pub type Series = Vec<(u64, f64)>;

/// What a metric of the host was; nothing when it has no history.
pub fn past(history: &HistoryReader, metric: &str, (points, seconds): (usize, u64), now_s: u64) -> Series {
    let query = Query {
        metric: Some(metric.to_owned()),
        since: seconds,
        points: u32::try_from(points).unwrap_or(u32::MAX),
        ..Query::default()
    };
    let stretch = query.find(history).and_then(|found| Stretch::read(history, &found, query.span(now_s), now_s));
    let points = stretch.map(|stretch| stretch.points).unwrap_or_default();
    points.iter().map(|point| (point.at, f64::from(point.mean))).collect()
}

/// The share of work in work and rest, where all of them were measured.
pub fn share(work: &[Series], rest: &[Series]) -> Series {
    let Some(first) = rest.first() else { return Series::new() };
    let at = |series: &Series, moment: u64| series.iter().find(|(at, _)| *at == moment).map(|(_, value)| *value);
    let sum = |all: &[Series], moment: u64| all.iter().map(|series| at(series, moment)).sum::<Option<f64>>();
    let busy = |(moment, _): &(u64, f64)| {
        let (work, rest) = (sum(work, *moment)?, sum(rest, *moment)?);
        (work + rest > 0.0).then(|| (*moment, work / (work + rest) * 100.0))
    };
    first.iter().filter_map(busy).collect()
}

/// Draws `width` columns that end at `now_s` and begin `seconds` before. The highest block stands for `full`, or for the
/// highest value when that is more.
pub fn draw(series: &Series, width: usize, seconds: u64, (now_s, full): (u64, f64)) -> String {
    let most = series.iter().map(|(_, value)| *value).fold(full, f64::max);
    let columns = u64::try_from(width).unwrap_or(1).max(1);
    let from = now_s.saturating_sub(seconds);
    // A point stands for the time until the next one, as far apart as they are at the least.
    let step = series.windows(2).filter_map(|pair| pair.last()?.0.checked_sub(pair.first()?.0)).min().unwrap_or(1);
    let column = |number: u64| {
        let (start, end) = (from + seconds * number / columns, from + seconds * (number + 1) / columns);
        let inside: Vec<f64> = series
            .iter()
            .filter(|(at, _)| *at < end.max(start + 1) && *at + step > start)
            .map(|(_, value)| *value)
            .collect();
        let highest =
            inside.into_iter().fold(None, |most: Option<f64>, value| Some(most.map_or(value, |m| m.max(value))))?;
        let step = most / 8.0;
        let place = (1..8_u32).filter(|place| highest >= step * f64::from(*place)).count();
        BLOCKS.get(place).copied()
    };
    (0..columns).map(|number| column(number).unwrap_or(' ')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_follow_values_and_gaps_stay_blank() {
        let series = vec![(100, 0.0), (110, 50.0), (130, 100.0)];
        assert_eq!(draw(&series, 4, 40, (140, 100.0)), "▁▅ █");
        assert_eq!(draw(&vec![(100, 8.0)], 1, 40, (140, 1.0)), "█", "more than full is full");
        assert_eq!(draw(&Vec::new(), 3, 40, (140, 1.0)), "   ");
    }

    #[test]
    fn a_share_is_told_only_where_all_was_measured() {
        let (work, rest) = (vec![(1, 1.0), (2, 1.0)], vec![(1, 3.0), (2, 1.0), (3, 1.0)]);
        assert_eq!(share(&[work], &[rest]), [(1, 25.0), (2, 50.0)]);
        assert_eq!(share(&[], &[]), []);
    }
}
