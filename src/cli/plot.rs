//! A stretch of history drawn with block characters: solid up to the least of each step, darker shade up to its mean, lighter up to its most.
//!
//! Where a step has one value only, eighths of a block show it. The scale begins at 0 unless all that moves is far above it.

use std::time::Duration;

use crate::export::history::{Stretch, range};
use crate::store::history::Point;
use crate::sys::clock::Civil;

/// Columns for the scale, its mark included.
const SCALE: usize = 9;
/// The least a drawing needs.
const WIDTH_MIN: usize = 30;
const HEIGHT_MIN: usize = 6;
/// Lines that are no drawing: the axis and its times.
const AXIS: usize = 2;

const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What to draw, and in how much room.
pub struct Plot<'a> {
    pub stretch: &'a Stretch,
    pub width: usize,
    pub height: usize,
    /// How a value stands on the scale; at most seven characters.
    pub show: &'a dyn Fn(f32) -> String,
}

/// How many columns are left for points.
pub fn columns(width: usize) -> usize {
    width.max(WIDTH_MIN) - SCALE
}

impl Plot<'_> {
    /// Lines of text, each ended.
    pub fn draw(&self) -> String {
        let columns = columns(self.width);
        let rows = self.height.max(HEIGHT_MIN) - AXIS;
        let (low, high) = range(&self.stretch.points);
        let shown: Vec<Option<&Point>> = (0..columns).map(|column| self.at(column, columns)).collect();
        let mut page = String::new();
        for row in (0..rows).rev() {
            let bottom = low + (high - low) * share(row, rows);
            let top = low + (high - low) * share(row + 1, rows);
            let label = match row {
                _ if row + 1 == rows => (self.show)(high),
                0 => (self.show)(low),
                _ if row == rows / 2 => (self.show)(bottom),
                _ => String::new(),
            };
            page.push_str(&format!("{label:>7} {}", if label.is_empty() { '│' } else { '┤' }));
            let line: String = shown.iter().map(|point| point.map_or(' ', |point| cell(point, bottom, top))).collect();
            page.push_str(line.trim_end());
            page.push('\n');
        }
        page.push_str(&format!("{:>7} └{}\n", "", "─".repeat(columns)));
        page.push_str(&self.times(columns));
        page
    }

    /// The point of a column.
    fn at(&self, column: usize, columns: usize) -> Option<&Point> {
        let wide = (self.stretch.span.to - self.stretch.span.from.min(self.stretch.span.to)) * (2 * column as u64 + 1);
        let at = self.stretch.span.from + wide / (2 * columns as u64).max(1);
        let step = self.stretch.step.max(1);
        let start = at - at % step;
        self.stretch.points.iter().find(|point| point.at == start)
    }

    fn times(&self, columns: usize) -> String {
        let format = |at: u64| {
            let civil = Civil::local(Duration::from_secs(at)).to_string();
            let (day, time) = civil.split_once('T').unwrap_or((&civil, ""));
            let short = time.get(..5).unwrap_or(time).to_owned();
            match self.stretch.span.to - self.stretch.span.from.min(self.stretch.span.to) {
                0..86_401 => short,
                86_401..5_184_000 => format!("{} {short}", day.get(5..).unwrap_or(day)),
                _ => day.to_owned(),
            }
        };
        let [first, middle, last] =
            [self.stretch.span.from, self.stretch.span.from / 2 + self.stretch.span.to / 2, self.stretch.span.to]
                .map(format);
        let left = columns.saturating_sub(first.len() + middle.len() + last.len());
        let gap = " ".repeat(left / 2);
        let rest = " ".repeat(left - left / 2);
        format!("{:SCALE$}{first}{gap}{middle}{rest}{last}\n", "")
    }
}

fn share(row: usize, rows: usize) -> f32 {
    let small = |number: usize| f32::from(u16::try_from(number).unwrap_or(u16::MAX));
    small(row) / small(rows).max(1.0)
}

/// What stands in the part of a column between two values.
fn cell(point: &Point, bottom: f32, top: f32) -> char {
    let middle = (bottom + top) / 2.0;
    if point.max - point.min < top - bottom {
        return eighth((point.mean - bottom) / (top - bottom));
    }
    match () {
        () if point.min >= top || point.min > middle => '█',
        () if point.mean > middle => '▓',
        () if point.max > middle => '░',
        () => ' ',
    }
}

/// A block filled to a part of its height; what is not quite nothing is seen.
fn eighth(part: f32) -> char {
    let steps = [0.06, 0.19, 0.31, 0.44, 0.56, 0.69, 0.81, 0.94];
    let place = steps.iter().filter(|step| part > **step).count();
    EIGHTHS.get(place).copied().unwrap_or(' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::history::Span;

    fn draw(points: &[Point], step: u64, (width, height): (usize, usize)) -> String {
        let span = Span { from: 36_000, to: 36_000 + 60 * 80, points: 100 };
        let show = |value: f32| format!("{value:.1}");
        let stretch = Stretch { span, step, points: points.to_vec() };
        Plot { stretch: &stretch, width, height, show: &show }.draw()
    }

    fn flat(at: u64, value: f32) -> Point {
        Point { at, min: value, mean: value, max: value }
    }

    #[test]
    fn a_drawing_keeps_to_its_room() {
        let points: Vec<Point> = (0..80_u16).map(|at| flat(36_000 + u64::from(at) * 60, f32::from(at))).collect();
        for room in [(80, 22), (40, 10), (200, 60), (1, 1)] {
            let text = draw(&points, 60, room);
            assert_eq!(text.lines().count(), room.1.max(HEIGHT_MIN));
            assert!(text.lines().all(|line| line.chars().count() <= room.0.max(WIDTH_MIN)), "{text}");
        }
    }

    #[test]
    fn a_gap_is_empty_and_a_band_is_shaded() {
        let band = Point { at: 36_000 + 60 * 40, min: 2.0, mean: 5.0, max: 10.0 };
        let text = draw(&[flat(36_000, 10.0), band], 60, (89, 12));
        let column = |at: usize| -> String { text.lines().take(10).filter_map(|line| line.chars().nth(at)).collect() };
        assert_eq!(column(9), "██████████");
        assert_eq!(column(9 + 40), "░░░░░▓▓▓██");
        assert_eq!(column(9 + 20).trim(), "", "nothing was measured there: {text}");
    }

    #[test]
    fn what_hardly_moves_far_from_nothing_has_a_scale_of_its_own() {
        let text = draw(&[flat(36_000, 100.0), flat(36_060, 101.0)], 60, (80, 12));
        assert!(text.starts_with("  101.6 ┤") && text.contains("   97.0 ┤"), "{text}");
        assert!(draw(&[flat(36_000, 0.0)], 60, (80, 12)).contains("    0.0 ┤"));
        assert!(draw(&[], 60, (80, 12)).contains("    0.0 ┤"));
    }
}
