//! How long the disks of the policy will do, every few minutes, from the history: so a restart forgets nothing and nothing is kept.

use std::time::Duration;

use super::core::Core;
use crate::classes::{POINTS, time_left};
use crate::store::history::{HistoryReader, Span};

/// Between two looks: a forecast of hours does not change faster.
const EVERY: Duration = Duration::from_secs(300);
/// What is looked at, for the shortest and the longest forecast.
const STRETCH: (Duration, Duration) = (Duration::from_secs(3_600), Duration::from_secs(3 * 86_400));

impl Core {
    /// Looks how long the disks will do, when that is due.
    pub(super) fn look_ahead(&mut self) {
        if self.next_forecast > self.now.mono || self.judgement.classes.table().forecasts().is_empty() {
            return;
        }
        self.next_forecast = self.now.mono.saturating_add(EVERY);
        for place in 0..self.judgement.classes.table().forecasts().len() {
            let Some((disk, ahead)) = self.judgement.classes.table().forecasts().get(place).copied() else { continue };
            let left = self.disk_left(disk, (ahead / 2).clamp(STRETCH.0, STRETCH.1));
            self.judgement.classes.expect_full(disk, left);
        }
    }

    /// None also when the history cannot be read.
    fn disk_left(&self, disk: u16, stretch: Duration) -> Option<Duration> {
        let path = self.judgement.classes.table().disks().get(usize::from(disk))?;
        let reader = HistoryReader::of(self.chronicle.file()?.try_clone().ok()?);
        let place = reader.find("filesystem.avail", path.as_bytes()).ok()??;
        let to = self.now.wall.as_secs();
        let span = Span { from: to.saturating_sub(stretch.as_secs()), to, points: POINTS };
        let mut points = Vec::new();
        reader
            .read(place, span, to, &mut |point| {
                let at = u32::try_from(point.at.saturating_sub(span.from)).unwrap_or(u32::MAX);
                points.push((f64::from(at), f64::from(point.mean)));
            })
            .ok()?;
        time_left(&points, stretch)
    }
}
