//! The writer after a crash, or after the clock was set back: open slots are made again from the rows of the finer rings.

use std::io;

use super::TIERS;
use super::rings::{COLUMNS, PIECE};
use super::writer::{History, seconds};
use crate::model::Now;

impl History {
    /// Goes back to the moment of the newest row: its slots are closed by the next cycle, as they would have been.
    pub(super) fn resume(&mut self, now: Now) -> io::Result<()> {
        let [finest, ..] = TIERS;
        let last = finest.slot(now.wall.as_secs()).saturating_add(1);
        let mut piece = [0; PIECE];
        let mut newest = None;
        for panel in 0..self.panels() {
            newest = newest.max(self.rings.newest(panel, last, &mut piece)?);
        }
        let Some(newest) = newest else { return Ok(()) };
        let wall_s = finest.start(newest);
        for (tier, shape) in TIERS.into_iter().enumerate() {
            self.begin(tier, shape.slot(wall_s));
            self.gather(tier)?;
        }
        Ok(())
    }

    /// Adds to the open slot of a tier what is known of it from the tier below; of the finest, what stands in its own row.
    pub(super) fn gather(&mut self, tier: usize) -> io::Result<()> {
        let (slot, below) = (self.opened(tier), tier.saturating_sub(1));
        let (Some(&shape), Some(&finer)) = (TIERS.get(tier), TIERS.get(below)) else { return Ok(()) };
        let ratio = shape.step / finer.step;
        let span = (slot.saturating_mul(ratio), slot.saturating_mul(ratio).saturating_add(ratio - 1));
        let [finest, ..] = TIERS;
        let weight = f32::from(u16::try_from(finer.step / finest.step).unwrap_or(1));
        let open_below = if tier == 0 { 0 } else { self.opened(below) };
        let mut piece = [0; PIECE / 2];
        for (panel, columns) in self.columns.chunks_mut(COLUMNS).enumerate() {
            self.rings.rows((panel, below), span, &mut piece, &mut |slot, row| {
                if slot == open_below {
                    return;
                }
                let end = finer.start(slot) + u64::from(finer.step);
                for (place, column) in columns.iter_mut().enumerate() {
                    let values =
                        row.of(place, column.scale).filter(|_| end > u64::from(column.since) && column.key != 0);
                    if let Some((values, sum)) = values.zip(column.sums.get_mut(tier)) {
                        sum.add(values, weight);
                    }
                }
            })?;
            if open_below < span.0 || open_below > span.1 {
                continue;
            }
            for column in columns {
                let open = column.sums.get(below).copied().filter(|sum| !sum.is_empty());
                if let Some((open, sum)) = open.zip(column.sums.get_mut(tier)) {
                    sum.add(open.values(), open.weight);
                }
            }
        }
        Ok(())
    }

    /// Columns of a series that was first seen in what is now the future belong to it from now on.
    pub(super) fn date_back(&mut self, now: Now) -> io::Result<()> {
        let wall_s = seconds(now.wall);
        for (place, column) in self.columns.iter_mut().enumerate().filter(|(_, column)| column.since > wall_s) {
            column.since = wall_s;
            let (panel, column) = (place / COLUMNS, place % COLUMNS);
            if let Some(name) = self.rings.name(panel, column)? {
                self.rings.write_name(panel, column, &name.since_then(wall_s))?;
            }
        }
        Ok(())
    }
}
