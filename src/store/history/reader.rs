//! The reader: which series there are, and one of them over a stretch of time, in as many points as are wanted.
//!
//! Rows come from the ring that fits, and for the newest stretch, which coarse rings do not have yet, from the finer ones. What is read
//! at a time is 8 KiB, whatever the stretch; a year of hours is 1.7 MiB of rows and some milliseconds.

use std::fs::File;
use std::io;
use std::path::Path;

use super::TIERS;
use super::level::Scale;
use super::rings::{COLUMNS, Name, PIECE, Rings};

/// Where a series stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    panel: usize,
    column: usize,
    since: u32,
    scale: Scale,
}

/// What is wanted, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: u64,
    pub to: u64,
    /// The most points; two at least.
    pub points: u32,
}

/// What a series came to in one step of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When the step begins.
    pub at: u64,
    pub min: f32,
    pub mean: f32,
    pub max: f32,
}

/// A history opened by somebody who only reads.
pub struct HistoryReader(Rings);

impl HistoryReader {
    pub fn open(path: &Path) -> io::Result<Self> {
        let reader = Self::of(File::open(path)?);
        match reader.0.panels()? {
            0 => Err(io::Error::new(io::ErrorKind::InvalidData, "it is no history of this version")),
            _ => Ok(reader),
        }
    }

    /// Reads an open file.
    pub fn of(file: File) -> Self {
        Self(Rings::new(file))
    }

    pub fn file(&self) -> &File {
        self.0.file()
    }

    /// Gives every series and where it stands, as long as `give` wants more.
    pub fn each(&self, give: &mut dyn FnMut(&Name, Place) -> bool) -> io::Result<()> {
        for panel in 0..self.0.panels()? {
            for column in 0..COLUMNS {
                if let Some(name) = self.0.name(panel, column)?
                    && !give(&name, Place { panel, column, since: name.since(), scale: name.scale() })
                {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The place of one series.
    pub fn find(&self, metric: &str, object: &[u8]) -> io::Result<Option<Place>> {
        let mut found = None;
        self.each(&mut |name, place| {
            if name.metric() == metric && name.object() == object {
                found = Some(place);
            }
            found.is_none()
        })?;
        Ok(found)
    }

    /// Gives the points of a series from old to new; steps without data have none. Answers how many seconds a step has.
    pub fn read(&self, place: Place, span: Span, now_s: u64, give: &mut dyn FnMut(Point)) -> io::Result<u64> {
        let (chosen, width) = choose(span, now_s);
        let mut piece = vec![0; PIECE];
        let mut bucket = Bucket { width, open: None };
        let mut next = span.from - span.from % width;
        for (tier, shape) in TIERS.into_iter().enumerate().take(chosen + 1).rev() {
            // Slots of the finest tier may be a little ahead of the clock.
            let last = shape.slot(span.to).saturating_add(u32::from(tier == 0));
            let first =
                shape.slot(next.max(now_s.saturating_sub(shape.reach())).next_multiple_of(u64::from(shape.step)));
            self.0.rows((place.panel, tier), (first, last), &mut piece, &mut |slot, row| {
                let start = shape.start(slot);
                next = start + u64::from(shape.step);
                if next > u64::from(place.since)
                    && let Some(values) = row.of(place.column, place.scale)
                {
                    bucket.add(start.min(span.to), values, shape.step, give);
                }
            })?;
        }
        bucket.close(give);
        Ok(width)
    }
}

/// Seconds of a point: what people count in, each a multiple of every tier's step that is not longer.
const WIDTHS: [u64; 20] = [
    10, 20, 30, 60, 120, 180, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 14_400, 21_600, 43_200, 86_400, 172_800,
    604_800, 2_419_200,
];

/// The tier to begin with, and the seconds of a point: the finest that reaches back so far, or a coarser one that is fine enough.
fn choose(span: Span, now_s: u64) -> (usize, u64) {
    let back = now_s.saturating_sub(span.from);
    let reaching = TIERS.iter().position(|tier| tier.reach() >= back).unwrap_or(TIERS.len() - 1);
    let step = |tier: usize| TIERS.get(tier).map_or(u64::MAX, |tier| u64::from(tier.step));
    // The first and the last point are seldom whole, so there can be two of them wherever the borders are.
    let fits = |width: &u64| span.to / width - span.from / width < u64::from(span.points.max(2));
    let [.., widest] = WIDTHS;
    let wider = std::iter::successors(Some(widest), |width| width.checked_mul(2)).skip(1);
    let widths = WIDTHS.into_iter().filter(|width| *width >= step(reaching)).chain(wider);
    let width = { widths }.find(fits).unwrap_or(widest);
    let chosen = (reaching..TIERS.len()).rev().find(|tier| step(*tier) <= width).unwrap_or(reaching);
    (chosen, width)
}

/// The point in the making.
struct Bucket {
    width: u64,
    open: Option<(Point, f32)>,
}

impl Bucket {
    fn add(&mut self, start: u64, [min, mean, max]: [f32; 3], step: u32, give: &mut dyn FnMut(Point)) {
        let at = start - start % self.width;
        // A step is at most an hour of 10 s, which an f32 holds exactly.
        let weight = f32::from(u16::try_from(step / 10).unwrap_or(1));
        match &mut self.open {
            Some((point, heavy)) if point.at == at => {
                point.min = point.min.min(min);
                point.max = point.max.max(max);
                point.mean += (mean - point.mean) * (weight / (*heavy + weight));
                point.mean = point.mean.max(point.min).min(point.max);
                *heavy += weight;
            }
            open => {
                if let Some((point, _)) = open.replace((Point { at, min, mean, max }, weight)) {
                    give(point);
                }
            }
        }
    }

    fn close(self, give: &mut dyn FnMut(Point)) {
        if let Some((point, _)) = self.open {
            give(point);
        }
    }
}
