//! One hour of the day of eight quantities, as it stands in the book: its quarters on seven days, on any day, and its spreads.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::book::GROUP;
use super::season::{Cell, Hour, Moment, Place};

/// Blocks of a group.
pub const HOURS: usize = 24;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Block {
    /// Of all that follows; kept by the book.
    pub crc: u32,
    spare: u32,
    /// Working days, weekends.
    hours: [[Hour; GROUP]; 2],
    day: [[Cell; GROUP]; 4],
    week: [[Cell; GROUP]; 28],
}

impl Block {
    fn places(place: Place) -> (usize, usize, usize) {
        (place.hour / HOURS, place.quarter % 4, place.cell / 96 * 4 + place.quarter % 4)
    }

    /// What a quantity knows of a time of the week within this hour.
    pub fn moment(&self, place: Place, column: usize) -> Moment {
        let (kind, quarter, cell) = Self::places(place);
        let of = |rows: &[[Cell; GROUP]], row: usize| rows.get(row).and_then(|row| row.get(column)).copied();
        Moment {
            cell: of(&self.week, cell).unwrap_or(Cell::NONE),
            day: of(&self.day, quarter).unwrap_or(Cell::NONE),
            hour: self.hours.get(kind).and_then(|row| row.get(column)).copied().unwrap_or(Hour::NONE),
        }
    }

    pub fn put(&mut self, place: Place, column: usize, moment: &Moment) {
        let (kind, quarter, cell) = Self::places(place);
        if let Some(slot) = self.week.get_mut(cell).and_then(|row| row.get_mut(column)) {
            *slot = moment.cell;
        }
        if let Some(slot) = self.day.get_mut(quarter).and_then(|row| row.get_mut(column)) {
            *slot = moment.day;
        }
        if let Some(slot) = self.hours.get_mut(kind).and_then(|row| row.get_mut(column)) {
            *slot = moment.hour;
        }
    }

    /// Begins anew for one quantity.
    pub fn forget(&mut self, column: usize) {
        for cell in self.week.iter_mut().chain(&mut self.day).filter_map(|row| row.get_mut(column)) {
            *cell = Cell::NONE;
        }
        for hour in self.hours.iter_mut().filter_map(|row| row.get_mut(column)) {
            *hour = Hour::NONE;
        }
    }
}
